"""The numpy stand-ins against the libraries: a record of what these gave, and the libraries where they are installed.

The record was taken on a CPU with torch 2.13, tensorflow 2.21, keras 3.15.1 (on TensorFlow and JAX) and optax 0.2.8.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from gclip_lessons import libraries
from gclip_lessons.clipping import clip_by_global_norm, clip_by_norm, clip_by_value

inf, nan = np.inf, np.nan
RTOL = {"float16": 4e-3, "float32": 2e-6, "float64": 1e-12}
TORCH, TENSORFLOW, KERAS, OPTAX, VALUE = (
    libraries.pytorch_clip_grad_norm,
    libraries.tensorflow_clip_by_global_norm,
    libraries.keras_clipnorm,
    libraries.optax_clip_by_global_norm,
    libraries.clip_each_value,
)
RULES = (TORCH, TENSORFLOW, KERAS, OPTAX, VALUE)

# Two tensors, and what the five rules made of them at c: in the order of RULES, to four digits.
RECORD = {
    "ordinary": ("float32", 1.0, [[3, 4], [12]], (
        [[0.2308, 0.3077], [0.9231]], [[0.2308, 0.3077], [0.9231]], [[0.6, 0.8], [1]], [[0.2308, 0.3077], [0.9231]],
        [[1, 1], [1]])),
    "short": ("float32", 1.0, [[0.3, 0.4], [0.2]], ([[0.3, 0.4], [0.2]],) * 5),
    "huge": ("float32", 1.0, [[1e20, 1e20], [3]], (
        [[0, 0], [0]], [[nan, nan], [nan]], [[0, 0], [1]], [[0, 0], [0]], [[1, 1], [1]])),
    "infinite": ("float32", 1.0, [[inf, 1], [2]], (
        [[nan, 0], [0]], [[nan, nan], [nan]], [[nan, 0], [1]], [[nan, 0], [0]], [[1, 1], [1]])),
    "NaN": ("float32", 1.0, [[nan, 1], [-2]], (
        [[nan, nan], [nan]], [[nan, nan], [nan]], [[nan, nan], [-1]], [[nan, nan], [nan]], [[nan, 1], [-1]])),
    "both": ("float32", 1.0, [[-inf, 1], [nan]], (
        [[nan, nan], [nan]], [[nan, nan], [nan]], [[nan, 0], [nan]], [[nan, nan], [nan]], [[-1, 1], [nan]])),
    "half": ("float16", 1.0, [[3, 4], [12]], (
        [[0.2307, 0.3076], [0.9229]], [[0.2307, 0.3076], [0.9229]], [[0.6001, 0.7998], [1]],
        [[0.2307, 0.3076], [0.9229]], [[1, 1], [1]])),
    "half, entries above 256": ("float16", 1.0, [[300, 300], [3]], (
        [[0.707, 0.707], [0.007072]], [[nan, nan], [nan]], [[0, 0], [1]], [[0, 0], [0]], [[1, 1], [1]])),
    "half, only the sum above": ("float16", 1.0, [[200], [200]], (
        [[0.707], [0.707]], [[nan], [nan]], [[1], [1]], [[0], [0]], [[1], [1]])),
    "half, near its end": ("float16", 1.0, [[6e4], [6e4]], (
        [[0], [0]], [[nan], [nan]], [[0], [0]], [[0], [0]], [[1], [1]])),
    "half, infinite": ("float16", 1.0, [[inf, 1], [2]], (
        [[nan, 0], [0]], [[nan, nan], [nan]], [[nan, 0], [1]], [[nan, 0], [0]], [[1, 1], [1]])),
    "double": ("float64", 2.0, [[3, -4], [12]], (
        [[0.4615, -0.6154], [1.846]], [[0.4615, -0.6154], [1.846]], [[1.2, -1.6], [2]],
        [[0.4615, -0.6154], [1.846]], [[2, -2], [2]])),
    "double, 1e20": ("float64", 1.0, [[1e20, 1e20], [3]], (
        [[0.7071, 0.7071], [2.121e-20]], [[0.7071, 0.7071], [2.121e-20]], [[0.7071, 0.7071], [1]],
        [[0.7071, 0.7071], [2.121e-20]], [[1, 1], [1]])),
    "double, huge": ("float64", 1.0, [[1e200, 1], [0]], (
        [[0, 0], [0]], [[nan, nan], [nan]], [[0, 0], [0]], [[0, 0], [0]], [[1, 1], [0]])),
}  # fmt: skip


def tensors(lists: list[list[float]], dtype: str) -> list[np.ndarray]:
    return [np.array(one, dtype) for one in lists]


@pytest.mark.parametrize("k", range(len(RULES)), ids=[rule.__name__ for rule in RULES])
@pytest.mark.parametrize("name", RECORD)
def test_each_rule_gives_what_its_library_gave(name: str, k: int):
    dtype, c, grads, recorded = RECORD[name]
    clipped, _ = RULES[k](tensors(grads, dtype), c)
    assert [tensor.dtype for tensor in clipped] == [np.dtype(dtype)] * len(clipped)
    for ours, theirs in zip(clipped, recorded[k], strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs, rtol=5e-4, atol=0)


# --- the libraries themselves, one tensor after the other as in a model ---


def in_torch(name: str) -> Callable[..., tuple[list[np.ndarray], float | None]]:
    import torch

    def call(grads: list[np.ndarray], c: float, **options: bool) -> tuple[list[np.ndarray], float | None]:
        params = [torch.nn.Parameter(torch.zeros_like(torch.from_numpy(grad))) for grad in grads]
        for param, grad in zip(params, grads, strict=True):
            param.grad = torch.from_numpy(grad.copy())
        norm = getattr(torch.nn.utils, name)(params, c, **options)
        return [param.grad.numpy() for param in params], None if norm is None else norm.item()

    return call


def in_tensorflow() -> Callable[..., tuple[list[np.ndarray], float | None]]:
    import tensorflow as tf

    def call(grads: list[np.ndarray], c: float) -> tuple[list[np.ndarray], float]:
        clipped, norm = tf.clip_by_global_norm([tf.constant(grad) for grad in grads], c)
        return [tensor.numpy() for tensor in clipped], norm.numpy().item()

    return call


def in_keras(option: str) -> Callable[..., tuple[list[np.ndarray], None]]:
    import keras

    def call(grads: list[np.ndarray], c: float) -> tuple[list[np.ndarray], None]:
        optimizer = keras.optimizers.SGD(1.0, **{option: c})
        weights = [keras.Variable(np.zeros_like(grad), dtype=str(grad.dtype)) for grad in grads]
        optimizer.apply([keras.ops.convert_to_tensor(grad, dtype=str(grad.dtype)) for grad in grads], weights)
        return [-np.asarray(weight) for weight in weights], None  # one step of η = 1 from 0

    return call


def in_optax(name: str) -> Callable[..., tuple[list[np.ndarray], float]]:
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)

    def call(grads: list[np.ndarray], c: float) -> tuple[list[np.ndarray], float]:
        rule, there = getattr(optax, name)(c), [jax.numpy.asarray(grad) for grad in grads]
        return [np.asarray(tensor) for tensor in rule.update(there, rule.init(there))[0]], float(optax.tree.norm(there))

    return call


def real() -> dict[str, tuple[Callable, Callable]]:
    """What is installed here: a library's function, and the rule that stands for it."""
    found = {}
    if find_spec("torch"):
        found["torch clip_grad_norm_"] = in_torch("clip_grad_norm_"), TORCH
        found["torch clip_grad_value_"] = in_torch("clip_grad_value_"), VALUE
    if find_spec("tensorflow"):
        found["tf.clip_by_global_norm"] = in_tensorflow(), TENSORFLOW
    # On PyTorch, Keras turns c into a float32, which a float64 gradient can show.
    if find_spec("keras") and os.environ.get("KERAS_BACKEND", "tensorflow") != "torch":
        found["keras global_clipnorm"] = in_keras("global_clipnorm"), TENSORFLOW
        found["keras clipnorm"] = in_keras("clipnorm"), KERAS
        found["keras clipvalue"] = in_keras("clipvalue"), VALUE
    if find_spec("optax"):
        found["optax.clip_by_global_norm"] = in_optax("clip_by_global_norm"), OPTAX
        found["optax.clip"] = in_optax("clip"), VALUE
    return found


REAL = real()


def gradient(trial: int, dtype: str) -> list[np.ndarray]:
    """Two or three tensors of any size that the dtype has squares for, and far beyond; some with ∞ or NaN in them."""
    rng = np.random.default_rng(trial)
    largest = {"float16": 4.5, "float32": 38, "float64": 300}[dtype]
    size = 10 ** rng.uniform(-3, largest)
    with np.errstate(over="ignore"):
        grads = [(size * rng.normal(size=n)).astype(dtype) for n in ((3, 4, 1), (2, 1))[trial % 2]]
    grads[0][0] = {0: inf, 3: nan, 5: -inf}.get(trial % 7, grads[0][0])
    return grads


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("name", REAL)
def test_each_rule_is_its_library_where_that_is_installed(name: str, dtype: str):
    theirs, ours = REAL[name]
    for trial in range(20):
        grads, c = gradient(trial, dtype), float(10 ** np.random.default_rng(trial).uniform(-2, 2))
        (wanted, their_norm), (clipped, our_norm) = theirs(grads, c), ours(grads, c)
        for one, other in zip(clipped, wanted, strict=True):
            atol = 2 * float(np.finfo(dtype).tiny)  # TensorFlow and Keras flush smaller numbers to 0
            np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=RTOL[dtype], atol=atol)
        if our_norm is not None and their_norm is not None:
            assert float(our_norm) == pytest.approx(their_norm, rel=RTOL[dtype], nan_ok=True)


# --- what is said of them ---


@pytest.mark.parametrize("bad", [[[1e20, 1e20]], [[inf, 1.0]], [[nan, 1.0]]])
def test_pytorch_raises_where_it_is_asked_to(bad: list[list[float]]):
    grads = tensors(bad, "float32")
    with pytest.raises(RuntimeError, match="non-finite"):
        TORCH(grads, 1.0, error_if_nonfinite=True)
    if "torch clip_grad_norm_" in REAL:
        with pytest.raises(RuntimeError, match="non-finite"):
            REAL["torch clip_grad_norm_"][0](grads, 1.0, error_if_nonfinite=True)
    assert TORCH(tensors([[3, 4]], "float32"), 1.0, error_if_nonfinite=True)[1] == 5


def test_in_ordinary_numbers_they_are_the_rules_of_the_course():
    rng = np.random.default_rng(0)
    grads = [rng.normal(size=(50, n)) for n in (3, 5, 1)]
    whole, blocks = np.concatenate(grads, -1), (slice(0, 3), slice(3, 8), slice(8, 9))
    for c in (0.1, 1.0, 3.0, 10.0):
        for rule in (TENSORFLOW, OPTAX):
            clipped, norm = rule(grads, c)
            np.testing.assert_allclose(np.concatenate(clipped, -1), clip_by_global_norm(whole, c), rtol=1e-14)
            np.testing.assert_allclose(norm, np.linalg.norm(whole, axis=-1), rtol=1e-14)
        clipped, norm = TORCH(grads, c)
        n = np.linalg.norm(whole, axis=-1, keepdims=True)
        np.testing.assert_allclose(np.concatenate(clipped, -1), whole * np.minimum(1, c / (n + 1e-6)), rtol=1e-14)
        np.testing.assert_allclose(np.concatenate(KERAS(grads, c)[0], -1), clip_by_norm(whole, c, blocks=blocks))
        np.testing.assert_array_equal(np.concatenate(VALUE(grads, c)[0], -1), clip_by_value(whole, c))


@pytest.mark.parametrize("rule", RULES)
def test_runs_are_clipped_one_by_one_and_nothing_is_changed_in_place(rule: Callable):
    grads = [np.array([[3.0, 4.0], [0.1, 0.2], [1e200, 0.0]]), np.array([[12.0], [0.1], [1.0]])]
    before = [grad.copy() for grad in grads]
    together, norms = rule(grads, 1.0)
    for k in range(3):
        alone, norm = rule([grad[k] for grad in grads], 1.0)
        np.testing.assert_array_equal([*together[0][k], *together[1][k]], [*alone[0], *alone[1]])
        assert norms is None or norms[k] == pytest.approx(norm)
    for grad, kept in zip(grads, before, strict=True):
        np.testing.assert_array_equal(grad, kept)
