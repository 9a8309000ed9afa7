"""Clipping against PyTorch.

In ordinary numbers its documented epsilon of 1e-6 is the only difference, and where tensors are long: a float32
norm is added up there in float32, which for 10**6 equal entries is off by up to 7e-4.
"""

import numpy as np
import pytest

from gclip_lessons.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, global_norm

torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs torch: pip install torch")

SHAPES = [[(7,)], [(3, 4)], [(2, 3, 4), (4,), (1, 5)], [(64, 32), (32,), (32, 10), (10,)], [(1,)]]
DTYPES = [np.float16, np.float32, np.float64]


def tensors(shapes: list[tuple[int, ...]], dtype: type, scale: float) -> list[np.ndarray]:
    """One random gradient for each tensor of a model."""
    rng = np.random.default_rng(len(shapes))
    return [(scale * rng.normal(size=shape)).astype(dtype) for shape in shapes]


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    """All tensors in one vector, as this course keeps them."""
    return np.concatenate([array.ravel() for array in arrays])


def in_torch(arrays: list[np.ndarray], function: str, *args: float, **options: float) -> tuple[np.ndarray, object]:
    """The gradients after one of PyTorch's in-place functions, in one vector, and what it returned."""
    params = []
    for array in arrays:
        param = torch.nn.Parameter(torch.zeros(array.shape, dtype=torch.from_numpy(array).dtype))
        param.grad = torch.from_numpy(array.copy())
        params.append(param)
    returned = getattr(torch.nn.utils, function)(params, *args, **options)
    return flat([param.grad.numpy() for param in params]), returned


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ord", [1, 2, 3, np.inf])
@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_clip_grad_norm(shapes: list, dtype: type, ord: float, scale: float) -> None:
    arrays = tensors(shapes, dtype, scale)
    grad, c = flat(arrays), 1.5
    theirs, their_norm = in_torch(arrays, "clip_grad_norm_", c, norm_type=ord)
    ours, n = clip_by_global_norm(grad, c, ord=ord), float(global_norm(grad, ord=ord))

    # PyTorch keeps the norm and the factor in the gradient's dtype; ours are wider.
    rtol = {np.float16: 4e-3, np.float32: 2e-6, np.float64: 1e-12}[dtype]
    atol = float(np.finfo(dtype).smallest_subnormal)
    assert float(their_norm) == pytest.approx(n, rel=rtol)
    exact = grad.astype(np.float64)
    np.testing.assert_allclose(theirs, exact * min(1, c / (n + 1e-6)), rtol=rtol, atol=atol)
    np.testing.assert_allclose(ours, exact * min(1, c / n), rtol=np.finfo(dtype).eps, atol=atol)
    np.testing.assert_allclose(theirs, ours, rtol=1e-6 / n + rtol, atol=atol)


@pytest.mark.parametrize("n", [1.0, 1e-3, 1e-5])
def test_the_epsilon_and_nothing_else(n: float) -> None:
    """At c = n/2 PyTorch's result is shorter by 1e-6/(n + 1e-6), which matters for short gradients."""
    grad = np.array([0.6, 0.8]) * n
    theirs, _ = in_torch([grad], "clip_grad_norm_", n / 2)
    ours = clip_by_global_norm(grad, n / 2)
    np.testing.assert_allclose(1 - theirs / ours, 1e-6 / (n + 1e-6), rtol=1e-6)
    twice, _ = in_torch([theirs], "clip_grad_norm_", n / 2)
    assert (twice <= theirs).all()
    np.testing.assert_allclose(clip_by_global_norm(ours, n / 2), ours, rtol=1e-15)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", [0.1, 1.0, 100.0])
def test_clip_grad_value(shapes: list, dtype: type, c: float) -> None:
    arrays = tensors(shapes, dtype, 1.0)
    theirs, _ = in_torch(arrays, "clip_grad_value_", c)
    np.testing.assert_array_equal(theirs, clip_by_value(flat(arrays), c))


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_call_for_each_tensor_is_clipping_by_block(dtype: type) -> None:
    arrays = tensors([(2, 3), (4,), (5,)], dtype, 3.0)
    theirs = flat([in_torch([array], "clip_grad_norm_", 1.0)[0] for array in arrays])
    ours = clip_by_norm(flat(arrays), 1.0, blocks=[slice(0, 6), slice(6, 10), slice(10, 15)])
    np.testing.assert_allclose(theirs, ours, rtol=4e-3 if dtype == np.float16 else 2e-6)


def test_huge_finite_gradients_become_zero_there_and_keep_their_direction_here() -> None:
    grad = np.array([1e20, 1e20], np.float32)
    theirs, their_norm = in_torch([grad], "clip_grad_norm_", 1.0)
    assert float(their_norm) == np.inf
    np.testing.assert_array_equal(theirs, [0, 0])
    assert global_norm(grad) == pytest.approx(2**0.5 * 1e20)
    np.testing.assert_allclose(clip_by_global_norm(grad, 1.0), [2**-0.5, 2**-0.5], rtol=1e-6)


@pytest.mark.parametrize("bad", [[1.0, np.nan], [1.0, np.inf], [-np.inf, np.nan]])
def test_nonfinite_gradients(bad: list[float]) -> None:
    grad = np.array(bad)
    theirs, _ = in_torch([grad], "clip_grad_norm_", 1.0)
    np.testing.assert_array_equal(theirs, clip_by_global_norm(grad, 1.0))
    theirs, _ = in_torch([grad], "clip_grad_value_", 1.0)
    np.testing.assert_array_equal(theirs, clip_by_value(grad, 1.0))


def test_long_float32_norms_are_less_exact_there() -> None:
    """How much less depends on the machine, so only ours is held to a number."""
    grad = np.full(10**6, 0.7, np.float32)
    exact = float(np.float32(0.7)) * 1e3
    _, theirs = in_torch([grad], "clip_grad_norm_", 1.0)
    ours = abs(float(global_norm(grad)) / exact - 1)
    assert ours < 1e-6
    assert ours <= abs(float(theirs) / exact - 1) < 2e-3
