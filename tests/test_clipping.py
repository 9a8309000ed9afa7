"""The clipping rules: numbers known by hand, then properties that hold for every rule listed in CLIPPERS."""

import inspect
import math
import pickle
from dataclasses import FrozenInstanceError
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gclip_lessons.clipping import (
    CLIPPERS,
    AdaptiveClip,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    Clipper,
    ClipPerExample,
    ClipSmoothly,
    NoClip,
    NormalizeGradient,
    SignGradient,
    adaptive_clip,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    clip_per_example,
    clip_smoothly,
    global_norm,
    normalize_gradient,
    sign_gradient,
)

DTYPES = [np.float16, np.float32, np.float64]
KEYS = list(CLIPPERS)
LAYERS = (slice(0, 2), slice(2, 3))
LAST_DIGITS = 2e-323  # a result below the normal numbers is rounded to steps of 5e-324
often = settings(deadline=None, max_examples=50, derandomize=True)
seldom = settings(deadline=None, max_examples=20, derandomize=True)  # where each example tries several calls


def apply(clipper: Clipper, grad: np.ndarray) -> np.ndarray:
    """Call any rule alike: parameters of norm 1 for the adaptive rule, one example where there are many."""
    if isinstance(clipper, ClipPerExample):
        return clipper(grad[..., None, :])
    params = np.zeros_like(grad)
    params[..., 0] = 1
    return clipper(grad, params)


def norm(x: np.ndarray) -> float:
    """An independent norm, of any finite float64."""
    return math.hypot(*np.asarray(x, float).ravel())


def promising(promise: str) -> list[str]:
    """The rules that make a promise."""
    keys = [key for key, clipper in CLIPPERS.items() if promise in clipper.promises]
    assert keys, f"no rule promises {promise!r}"
    return keys


def gradients(dtype: type = np.float64, limit: float = 1e6, runs: tuple = ()) -> st.SearchStrategy:
    """Finite gradients with entries up to limit, many of them 0 or ±1."""
    shape = st.integers(1, 6).map(lambda d: (*runs, d))
    entries = st.floats(-limit, limit, width=np.dtype(dtype).itemsize * 8) | st.sampled_from([0.0, 1.0, -1.0])
    return hnp.arrays(dtype, shape, elements=entries, fill=st.nothing())


thresholds = st.floats(1e-6, 1e6)


# Numbers known by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("none", [3, -4]),
        ("value", [1, -1]),
        ("norm", [0.6, -0.8]),
        ("global_norm", [0.6, -0.8]),
        ("smooth", [0.5, -4 / 6]),
        ("adaptive", [0.6, -0.8]),
        ("per_example", [0.6, -0.8]),
        ("normalize", [0.6, -0.8]),
        ("sign", [1, -1]),
    ],
)
def test_three_four_at_threshold_one(key: str, expected: list[float], dtype: type) -> None:
    clipped = apply(CLIPPERS[key](1), np.array([3, -4], dtype))
    np.testing.assert_allclose(clipped, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("ord", "expected"), [(1, 7), (2, 5), (3, 91 ** (1 / 3)), (0.5, 7 + 4 * 3**0.5), (np.inf, 4)])
def test_global_norm_of_any_order(ord: float, expected: float) -> None:
    assert global_norm(np.array([3.0, -4.0]), ord=ord) == pytest.approx(expected, rel=1e-14)
    clipped = clip_by_global_norm(np.array([[3.0, -4.0]]), 1.0, ord=ord)
    np.testing.assert_allclose(clipped, np.array([[3.0, -4.0]]) / expected, rtol=1e-14)


def test_global_norm_is_float64_of_the_runs_shape() -> None:
    for ord in (1, 2, np.inf):
        n = global_norm(np.ones((5, 3, 4), np.float16), ord=ord)
        assert n.shape == (5, 3)
        assert n.dtype == np.float64


def test_ten_million_float32_keep_their_digits() -> None:
    grad = np.random.default_rng(0).normal(size=10**7).astype(np.float32)
    exact = np.linalg.norm(grad.astype(np.float64))
    assert global_norm(grad) == pytest.approx(exact, rel=1e-7)
    clipped = clip_by_global_norm(grad, 1.0)  # long enough to be multiplied in pieces
    np.testing.assert_allclose(clipped, grad / exact, rtol=1e-6)


def test_long_runs_at_the_edges_of_pieces() -> None:
    for d in (2**16 - 1, 2**16, 2**16 + 1, 2**17 + 3):
        for dtype in DTYPES:
            grad = np.ones((2, d), dtype)
            clipped = clip_by_global_norm(grad, np.array([1.0, np.inf]))
            np.testing.assert_allclose(
                clipped[0], np.full(d, d**-0.5, dtype), rtol=2e-3 if dtype == np.float16 else 1e-6
            )
            np.testing.assert_array_equal(clipped[1], grad[1])


def test_one_spike_among_ten_turns_the_arrow() -> None:
    grad = np.ones(10)
    grad[3] = 1e4
    clipped = clip_by_value(grad, 1.0)
    cosine = grad @ clipped / (norm(grad) * norm(clipped))
    assert cosine == pytest.approx(0.3165, abs=5e-5)
    assert cosine > 10**-0.5


def test_norm_per_block_turns_too_and_shards_are_not_the_whole() -> None:
    grad, shards = np.array([3.0, 4.0, 12.0]), LAYERS
    by_shard = clip_by_norm(grad, 1.0, blocks=shards)
    assert norm(by_shard) == pytest.approx(2**0.5)
    assert norm(clip_by_global_norm(grad, 1.0)) == pytest.approx(1)
    squares = sum(float(global_norm(grad[shard])) ** 2 for shard in shards)  # what an all-reduce adds up
    assert squares**0.5 == pytest.approx(13)
    cosine = grad @ by_shard / (norm(grad) * norm(by_shard))
    assert 2**-0.5 < cosine < 0.93


@often
@given(gradients(limit=1e3), st.floats(1e-3, 1e3), st.integers(1, 6))
def test_norm_per_block_turns_at_most_to_one_over_root_k(grad: np.ndarray, c: float, n_blocks: int) -> None:
    n_blocks = min(n_blocks, grad.size)
    assume(norm(grad) > 1e-3)
    edges = np.linspace(0, grad.size, n_blocks + 1).astype(int)
    clipped = clip_by_norm(grad, c, blocks=[slice(a, b) for a, b in pairwise(edges)])
    assert grad @ clipped >= (1 - 1e-9) * norm(grad) * norm(clipped) / n_blocks**0.5


@often
@given(gradients(limit=1e3), st.floats(1e-3, 1e3))
def test_value_turns_at_most_to_one_over_root_d(grad: np.ndarray, c: float) -> None:
    assume(norm(grad) > 1e-3)
    clipped = clip_by_value(grad, c)
    assert grad @ clipped >= (1 - 1e-9) * norm(grad) * norm(clipped) / grad.size**0.5


@often
@given(gradients(), thresholds)
def test_smooth_is_between_half_and_all_of_hard(grad: np.ndarray, c: float) -> None:
    smooth, hard = norm(clip_smoothly(grad, c)), norm(clip_by_global_norm(grad, c))
    assert 0.5 * hard * (1 - 1e-12) <= smooth <= hard * (1 + 1e-12)


@often
@given(gradients())
def test_sign_is_the_limit_of_clipping_by_value(grad: np.ndarray) -> None:
    c = float(np.abs(grad[grad != 0]).min(initial=1.0))
    np.testing.assert_array_equal(clip_by_value(grad, c), sign_gradient(grad, c))


def test_every_orthodox_way_of_clipping_one_block_is_the_same() -> None:
    grad = np.random.default_rng(1).normal(size=(50, 7)) * 3
    expected = clip_by_global_norm(grad, 1.5)
    np.testing.assert_array_equal(clip_by_norm(grad, 1.5, blocks=[slice(None)]), expected)
    np.testing.assert_array_equal(clip_per_example(grad[:, None, :], 1.5), expected)


def test_per_example_sum_moves_by_at_most_c() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        grads = rng.standard_cauchy((8, 5))
        moved = clip_per_example(grads, 1.0, reduction="sum") - clip_per_example(grads[1:], 1.0, reduction="sum")
        assert norm(moved) <= 1 + 1e-12


def test_per_example_is_not_the_clip_of_the_mean() -> None:
    workers = np.array([[8.0, 0], [0, 1], [0, 1], [0, 1]])
    np.testing.assert_allclose(clip_per_example(workers, 1.0), [0.25, 0.75])
    np.testing.assert_allclose(clip_by_global_norm(workers.mean(0), 1.0), [0.94, 0.35], atol=0.005)


def test_per_example_with_runs_and_thresholds_per_run() -> None:
    grads = np.random.default_rng(3).normal(size=(2, 3, 6, 4))
    c = np.array([[0.5], [2.0]])
    clipped = clip_per_example(grads, c, reduction="sum")
    assert clipped.shape == (2, 3, 4)
    np.testing.assert_allclose(clipped[1, 2], clip_per_example(grads[1, 2], 2.0, reduction="sum"))
    with pytest.raises(ValueError, match="max_norm"):
        clip_per_example(grads, np.ones(6))


def test_float16_examples_are_added_wider() -> None:
    grads = np.full((100, 1), 1000, np.float16)
    np.testing.assert_array_equal(clip_per_example(grads, 1e9), [1000])


@pytest.mark.parametrize("dtype", DTYPES)
def test_adaptive_against_a_loop_over_units(dtype: type) -> None:
    """(4, 8) weights, flattened; each column is one unit; some columns start at zero, and there eps acts."""
    rng = np.random.default_rng(4)
    weights, grad = (
        rng.normal(size=(3, 4, 8)),
        100.0 ** rng.uniform(-2, 1, size=(3, 1, 8)) * rng.normal(size=(3, 4, 8)),
    )
    weights[:, :, 2] = 0
    weights, grad = weights.astype(dtype), grad.astype(dtype)
    units = [slice(column, 4 * 8, 8) for column in range(8)]
    clipped = adaptive_clip(grad.reshape(3, 32), weights.reshape(3, 32), 0.1, units=units).reshape(3, 4, 8)
    n_clipped = 0
    for run in range(3):
        for column in range(8):
            g = [float(x) for x in grad[run, :, column]]
            m = 0.1 * max(math.hypot(*weights[run, :, column].astype(float)), 1e-3)
            n_clipped += math.hypot(*g) > m
            expected = [x * m / math.hypot(*g) for x in g] if math.hypot(*g) > m else g
            np.testing.assert_allclose(
                clipped[run, :, column],
                expected,
                rtol=4 * np.finfo(dtype).eps,
                atol=np.finfo(dtype).smallest_subnormal,
            )
    assert 3 < n_clipped < 24


@pytest.mark.parametrize("eps", [1e-3, 0.5, 4.0])
def test_adaptive_floor_for_small_weights(eps: float) -> None:
    grad, weights = np.array([30.0, 40.0]), np.array([0.0, 1.0])
    clipped = adaptive_clip(grad, weights, 0.1, units=[slice(None)], eps=eps)
    assert norm(clipped) == pytest.approx(0.1 * max(1.0, eps))
    np.testing.assert_array_equal(AdaptiveClip(0.1, eps=eps)(grad, weights), clipped)


@pytest.mark.parametrize(("ord", "n"), [(1, 7.0), (2, 5.0), (np.inf, 4.0)])
def test_smooth_and_normalised_by_any_norm(ord: float, n: float) -> None:
    grad = np.array([3.0, -4.0])
    np.testing.assert_allclose(clip_smoothly(grad, 2.0, ord=ord), grad * 2 / (2 + n))
    np.testing.assert_allclose(normalize_gradient(grad, 2.0, ord=ord), grad * 2 / n)
    np.testing.assert_array_equal(ClipSmoothly(2.0, ord=ord)(grad), clip_smoothly(grad, 2.0, ord=ord))
    np.testing.assert_array_equal(NormalizeGradient(2.0, ord=ord)(grad), normalize_gradient(grad, 2.0, ord=ord))


def test_adaptive_step_relative_to_the_weights() -> None:
    """Two layers of scale 1 and 100: the same relative step for both, which no common threshold gives."""
    params = np.concatenate([np.full(4, 1.0), np.full(4, 100.0)])
    grad = np.concatenate([np.full(4, 100.0), np.full(4, 50.0)])
    layers = [slice(0, 4), slice(4, 8)]
    step = adaptive_clip(grad, params, 0.02, units=layers)
    assert [norm(step[u]) / norm(params[u]) for u in layers] == pytest.approx([0.02, 0.02])


def test_total_variance_cannot_rise_but_one_coordinate_may() -> None:
    grads = np.random.default_rng(5).standard_normal((4000, 2)) * [3, 0] + [0, 2]
    clipped = clip_by_global_norm(grads, 1.0)
    assert clipped.var(0).sum() < grads.var(0).sum()
    assert grads[:, 1].var() == 0
    assert clipped[:, 1].var() > 0.05


# Numbers that do not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "entry"),
    [
        (np.float16, 300), (np.float16, 6e4), (np.float16, 6e-8),
        (np.float32, 1e20), (np.float32, 3e38), (np.float32, 1e-30), (np.float32, 1.4e-45),
        (np.float64, 1e200), (np.float64, 1.7e308), (np.float64, 1e-200), (np.float64, 5e-324),
    ],
)  # fmt: skip
@pytest.mark.parametrize("runs", [(), (3,)])
def test_norms_neither_overflow_nor_vanish(dtype: type, entry: float, runs: tuple[int, ...]) -> None:
    grad = np.full((*runs, 4), entry, dtype)
    one = float(dtype(entry))
    expected = np.inf if entry == 1.7e308 else 2 * one
    np.testing.assert_allclose(global_norm(grad), np.full(runs, expected), rtol=1e-14)
    np.testing.assert_array_equal(global_norm(grad, ord=np.inf), np.full(runs, one))
    unit = np.full((*runs, 4), 0.5)
    for rule in (clip_by_global_norm, normalize_gradient):
        c = min(1.0, one)
        rtol = 2e-3 if dtype == np.float16 else 1e-6
        subnormal = float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(rule(grad, c), unit * c, rtol=rtol, atol=subnormal)
    smooth = clip_smoothly(grad, one)
    np.testing.assert_allclose(smooth, np.full((*runs, 4), one / 3), rtol=rtol, atol=subnormal)


@pytest.mark.parametrize(
    ("dtype", "entry", "c"),
    [
        (np.float16, 6e4, 1e-3),  # k = 8e-9 is 0 in float16
        (np.float32, 1e30, 1e-12),  # k = 5e-43 has two digits in float32
        (np.float32, 3e38, 1e-37),
        (np.float64, 1e300, 1e-12),  # k = 5e-313
        (np.float64, 1.7e308, 1e-300),  # neither k nor n fits
        (np.float64, 1.7e308, 1e-20),
    ],
)
@pytest.mark.parametrize("rule", [clip_by_global_norm, clip_smoothly, normalize_gradient])
def test_scale_factors_that_do_not_fit(rule, dtype: type, entry: float, c: float) -> None:
    grad = np.full((2, 4), entry, dtype)
    grad[1] = -1  # a tame run beside it
    rtol = 2e-3 if dtype == np.float16 else 1e-6
    clipped = rule(grad, c)
    assert clipped.dtype == dtype
    np.testing.assert_allclose(clipped[0], np.full(4, c / 2), rtol=rtol)
    np.testing.assert_array_equal(clipped[1], rule(grad[1], c))


def test_float16_is_rounded_once() -> None:
    grad = (30 * np.random.default_rng(8).normal(size=(500, 9))).astype(np.float16)
    exact = clip_by_global_norm(grad.astype(np.float64), 1.0)
    half_a_digit = 0.501 * float(np.finfo(np.float16).eps)
    np.testing.assert_allclose(clip_by_global_norm(grad, 1.0), exact, rtol=half_a_digit, atol=3e-8)


def test_norm_beyond_float64_with_smaller_entries() -> None:
    grad = np.array([1.5e308, 1.5e308, 1e290, -3.0])
    expected = np.array([2**-0.5, 2**-0.5, 1e-18 / 1.5 / 2**0.5, -2e-308 / 2**0.5]) * 1e300
    np.testing.assert_allclose(clip_by_global_norm(grad, 1e300), expected, rtol=1e-12)


def test_many_small_entries_beside_a_larger_one() -> None:
    """Squares of 3e-23 lose all their digits in float32, and all together they are 6% of the sum."""
    grad = np.full(10**6 + 1, 3e-23, np.float32)
    grad[0] = 1.2e-19
    exact = math.sqrt(float(grad[0]) ** 2 + 1e6 * float(grad[1]) ** 2)
    assert global_norm(grad) / exact == pytest.approx(1, rel=1e-6)


def test_a_size_beyond_the_dtype_is_the_largest_that_fits() -> None:
    grad = np.array([0, 1, -2], np.float32)
    largest = float(np.finfo(np.float32).max)
    np.testing.assert_allclose(sign_gradient(grad, 1e39), [0, 0.999 * largest, -0.999 * largest])
    np.testing.assert_allclose(
        normalize_gradient(grad, 1e39), 0.999 * largest * np.array([0, 1, -2]) / 5**0.5, rtol=1e-6
    )
    np.testing.assert_array_equal(clip_by_value(grad, 1e39), grad)


def test_short_gradients_beside_a_broken_one() -> None:
    """What the slow path does for one run must not reach the others."""
    grad = np.array([[5e-320, 0.0], [np.nan, 1.0], [1e300, 0.0]])
    for rule in (clip_by_global_norm, clip_smoothly):
        np.testing.assert_array_equal(rule(grad, 1.0)[0], rule(grad[0], 1.0))


def test_short_gradients_can_be_normalised_far_up() -> None:
    np.testing.assert_array_equal(normalize_gradient(np.array([5e-324, 0]), 1.0), [1, 0])
    np.testing.assert_allclose(normalize_gradient(np.array([3e-45, 0], np.float32), 1e30), [1e30, 0], rtol=1e-6)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_finite_input_gives_finite_output(key: str, dtype: type) -> None:
    info = np.finfo(dtype)
    for entry in (info.max, info.max / 3, info.tiny, info.smallest_subnormal, 0, -info.max):
        for others in (0, 1, entry):
            grad = np.array([entry, others, others], dtype)
            for c in (float(info.smallest_subnormal), 1e-3, 1.0, 1e3, float(info.max), 1e5, 1e39, 1.7e308):
                clipped = apply(CLIPPERS[key](c), grad)
                assert np.isfinite(clipped).all(), (entry, others, c)
                if "norm_bounded" in CLIPPERS[key].promises:
                    assert norm(clipped) <= c * (1 + 3 * float(info.eps)) + 2 * float(info.smallest_subnormal)


# What every rule promises alike ----------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("dtype", DTYPES)
@seldom
@given(data=st.data(), c=thresholds)
def test_dtype_kept_input_unchanged_new_array(key: str, dtype: type, data: st.DataObject, c: float) -> None:
    grad = data.draw(gradients(dtype, 6e4, runs=(2,)))
    before = grad.copy()
    grad.flags.writeable = False
    clipped = apply(CLIPPERS[key](c), grad)
    assert type(clipped) is np.ndarray
    assert clipped.dtype == dtype
    assert clipped.shape == grad.shape
    assert clipped.flags.writeable
    assert not np.shares_memory(clipped, grad)
    np.testing.assert_array_equal(grad, before)
    for untouched in (grad, grad[0]):
        assert not np.shares_memory(apply(CLIPPERS[key](1e9), untouched), untouched)


@pytest.mark.parametrize("key", KEYS)
@seldom
@given(grad=gradients(limit=1e300, runs=(2, 3)), c=st.floats(1e-300, 1e300))
def test_each_run_of_a_batch_is_that_run_alone(key: str, grad: np.ndarray, c: float) -> None:
    per_run = c * np.array([[1.0, 0.5, 0.25], [2.0, 4.0, 8.0]])
    together = apply(CLIPPERS[key](per_run), grad)
    for run in np.ndindex(2, 3):
        alone = apply(CLIPPERS[key](float(per_run[run])), grad[run])
        np.testing.assert_allclose(together[run], alone, rtol=1e-14, atol=LAST_DIGITS)


@pytest.mark.parametrize("key", KEYS)
def test_thresholds_and_runs_broadcast_axis_by_axis(key: str) -> None:
    grad = np.random.default_rng(6).normal(size=(1, 3, 4)) * 5
    c = np.geomspace(0.1, 10, 5)[:, None]
    clipper = CLIPPERS[key](c)
    clipped = apply(clipper, grad)
    assert clipped.shape == (5, 3, 4)
    np.testing.assert_allclose(clipped[2], apply(CLIPPERS[key](1.0), grad[0]), rtol=1e-14)
    assert np.shape(clipper.threshold) == (5, 1)


@pytest.mark.parametrize("key", KEYS)
@often
@given(grad=gradients(), c=thresholds)
def test_never_against_the_gradient(key: str, grad: np.ndarray, c: float) -> None:
    clipped = apply(CLIPPERS[key](c), grad)
    assert (grad * clipped >= 0).all()
    assert grad @ clipped > 0 or norm(grad) < 1e-140


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_stays_zero(key: str, dtype: type) -> None:
    for c in (1e-3, 1.0, 1e3):
        np.testing.assert_array_equal(apply(CLIPPERS[key](c), np.zeros((2, 3), dtype)), np.zeros((2, 3)))


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("normalize", "sign")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threshold_inf_gives_the_very_values(key: str, dtype: type) -> None:
    info = np.finfo(dtype)
    grad = np.array([[info.max, -info.max, 1.0], [info.smallest_subnormal, -0.0, 0.0]], dtype)
    for c in (np.inf, np.full((2,), np.inf)):
        clipped = apply(CLIPPERS[key](c), grad)
        assert (clipped == grad).all()
        if key != "per_example":  # a sum of one starts from +0
            np.testing.assert_array_equal(np.signbit(clipped), np.signbit(grad))


# One property for each promise, over all rules that make it ------------------------------------------


@pytest.mark.parametrize("key", promising("direction"))
@often
@given(grad=gradients(limit=1e3), c=thresholds)
def test_direction(key: str, grad: np.ndarray, c: float) -> None:
    assume(norm(grad) > 1e-6)
    clipped = apply(CLIPPERS[key](c), grad)
    np.testing.assert_allclose(clipped / norm(clipped), grad / norm(grad), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", promising("projection"))
@often
@given(a=gradients(), shift=gradients(), c=thresholds)
def test_projection(key: str, a: np.ndarray, shift: np.ndarray, c: float) -> None:
    """The nearest point of a convex set: no point of the set is nearer, hence distances never grow."""
    b = a + np.resize(shift, a.shape)
    clipper = CLIPPERS[key](c)
    to_a, to_b = apply(clipper, a), apply(clipper, b)
    assert norm(to_a - to_b) <= norm(a - b) + 1e-9 * (norm(a) + norm(b))
    assert norm(a - to_a) <= norm(a - to_b) + 1e-9 * (norm(a) + norm(b))


@pytest.mark.parametrize("key", promising("projection"))
@often
@given(grads=gradients(limit=1e3, runs=(6,)), c=thresholds)
def test_projection_never_raises_total_variance(key: str, grads: np.ndarray, c: float) -> None:
    clipped = apply(CLIPPERS[key](c), grads)
    before = grads.var(0).sum()
    assert clipped.var(0).sum() <= before * (1 + 1e-9) + 1e-15 * (grads**2).sum()


@pytest.mark.parametrize("key", promising("identity_inside"))
@pytest.mark.parametrize("dtype", DTYPES)
@often
@given(data=st.data())
def test_identity_inside(key: str, dtype: type, data: st.DataObject) -> None:
    grad = data.draw(gradients(dtype, 1e3))
    for c in (float(global_norm(grad)), float(global_norm(grad)) * 2):
        assume(c > 0)
        np.testing.assert_array_equal(apply(CLIPPERS[key](c), grad), grad)


@pytest.mark.parametrize("key", promising("idempotent"))
@often
@given(grad=gradients(), c=thresholds)
def test_idempotent(key: str, grad: np.ndarray, c: float) -> None:
    once = apply(CLIPPERS[key](c), grad)
    np.testing.assert_allclose(apply(CLIPPERS[key](c), once), once, rtol=1e-14, atol=LAST_DIGITS)


@pytest.mark.parametrize("key", promising("tighter_wins"))
@often
@given(grad=gradients(), c=thresholds, tighter=st.floats(1e-3, 1))
def test_tighter_wins(key: str, grad: np.ndarray, c: float, tighter: float) -> None:
    twice = apply(CLIPPERS[key](c * tighter), apply(CLIPPERS[key](c), grad))
    np.testing.assert_allclose(twice, apply(CLIPPERS[key](c * tighter), grad), rtol=1e-13, atol=LAST_DIGITS)


@pytest.mark.parametrize("key", promising("shorter"))
@often
@given(grad=gradients(), c=thresholds)
def test_shorter(key: str, grad: np.ndarray, c: float) -> None:
    assert norm(apply(CLIPPERS[key](c), grad)) <= norm(grad) * (1 + 1e-14)


@pytest.mark.parametrize("key", promising("norm_bounded"))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@often
@given(data=st.data(), c=thresholds)
def test_norm_bounded(key: str, dtype: type, data: st.DataObject, c: float) -> None:
    grad = data.draw(gradients(dtype))
    assert norm(apply(CLIPPERS[key](c), grad)) <= c * (1 + 4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("key", promising("entries_bounded"))
@often
@given(grad=gradients(), c=thresholds)
def test_entries_bounded(key: str, grad: np.ndarray, c: float) -> None:
    assert np.abs(apply(CLIPPERS[key](c), grad)).max() <= c * (1 + 1e-14)


def test_every_promise_has_its_test() -> None:
    made = set().union(*(clipper.promises for clipper in CLIPPERS.values()))
    assert made == {name.removeprefix("test_") for name in globals() if name.removeprefix("test_") in made}


# Gradients that are not finite -----------------------------------------------------------------------

BROKEN = np.array([[1.0, np.nan, 2.0], [1.0, np.inf, 2.0], [1.0, 2.0, 3.0], [-np.inf, np.inf, 2.0]])


@pytest.mark.parametrize("key", KEYS)
def test_nonfinite_zero_skips_the_run(key: str) -> None:
    clipped = apply(CLIPPERS[key](1.0, nonfinite="zero"), BROKEN)
    np.testing.assert_array_equal(clipped[[0, 1, 3]], np.zeros((3, 3)))
    np.testing.assert_array_equal(clipped[2], apply(CLIPPERS[key](1.0), BROKEN[2]))


@pytest.mark.parametrize("key", KEYS)
def test_nonfinite_raise_counts(key: str) -> None:
    with pytest.raises(ValueError, match=r"grads? must be finite; got 4 non-finite entries of 12"):
        apply(CLIPPERS[key](1.0, nonfinite="raise"), BROKEN)
    apply(CLIPPERS[key](1.0, nonfinite="raise"), BROKEN[2])


def test_nonfinite_per_example_belongs_to_the_whole_run() -> None:
    grads = np.ones((2, 3, 4))
    grads[0, 1, 2] = np.nan
    clipped = clip_per_example(grads, 9.0, nonfinite="zero")
    np.testing.assert_array_equal(clipped, [[0] * 4, [1] * 4])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nonfinite_propagates_as_the_equation_says(key: str, dtype: type) -> None:
    clipped = apply(CLIPPERS[key](1.0), BROKEN.astype(dtype))
    nan = np.nan
    expected = {
        "none": BROKEN,
        "value": [[1, nan, 1], [1, 1, 1], [1, 1, 1], [-1, 1, 1]],
        "sign": [[1, nan, 1], [1, 1, 1], [1, 1, 1], [-1, 1, 1]],
    }.get(key)
    if expected is None:
        expected = [[nan] * 3, [0, nan, 0], apply(CLIPPERS[key](1.0), BROKEN[2]), [nan, nan, 0]]
    np.testing.assert_allclose(clipped, np.array(expected, dtype), rtol=2 * np.finfo(dtype).eps)


def test_nonfinite_stays_in_its_block() -> None:
    clipped = clip_by_norm(np.array([1.0, np.nan, 5.0]), 1.0, blocks=LAYERS)
    np.testing.assert_array_equal(clipped, [np.nan, np.nan, 1])


# Bad input -------------------------------------------------------------------------------------------

BAD_THRESHOLDS = [
    (0, ValueError, "0"),
    pytest.param(10**400, ValueError, "float64; got an integer of 1329 bits", id="larger than any float"),
    pytest.param(-(10**5000), ValueError, "float64; got an integer", id="longer than Python prints"),
    pytest.param(np.longdouble("1e-4000"), ValueError, "> 0", id="below any float"),
    pytest.param(np.array([1, np.longdouble("1e-4000")]), ValueError, "> 0", id="one below any float"),
    (np.ma.masked_array([2.0, 3.0], [0, 1]), TypeError, "MaskedArray"),
    (np.ma.masked, TypeError, "Masked"),
    (np.ones(2).view(np.recarray), TypeError, "recarray"),
    (-1.0, ValueError, "-1.0"),
    (float("nan"), ValueError, "nan"),
    (-float("inf"), ValueError, "-inf"),
    (np.array([1.0, -2.0]), ValueError, "-2"),
    (np.array([1.0, np.nan]), ValueError, "nan"),
    (np.array([]), ValueError, r"\(0,\)"),
    (True, TypeError, "True"),
    (np.True_, TypeError, "True"),
    ("1", TypeError, "'1'"),
    (None, TypeError, "None"),
    (1j, TypeError, "1j"),
    ([1.0], TypeError, r"\[1.0\]"),
    (np.array([1j]), TypeError, "complex128"),
    (np.array([True]), TypeError, "bool"),
    (np.array(["a"]), TypeError, "<U1"),
    (np.array([None]), TypeError, "object"),
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("value", "error", "shown"), BAD_THRESHOLDS)
def test_bad_thresholds(key: str, value: object, error: type, shown: str) -> None:
    name = CLIPPERS[key].__match_args__[0]
    with pytest.raises(error, match=rf"{name} must be .*{shown}"):
        CLIPPERS[key](value)
    arguments = vars(CLIPPERS[key](1)) | {name: value}
    if "params" in inspect.signature(CLIPPERS[key].rule).parameters:
        arguments["params"] = np.ones((2, 2))
    with pytest.raises(error, match=rf"{name} must be .*{shown}") as caught:
        CLIPPERS[key].rule(np.ones((2, 2)), **arguments)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("grad", "error", "shown"),
    [
        ([1.0, 2.0], TypeError, r"one array, not a list: concatenate .* blocks; got \[1.0, 2.0\]"),
        ((np.ones(2), np.ones(3)), TypeError, "one array, not a tuple"),
        (1.0, TypeError, "1.0"),
        (None, TypeError, "None"),
        ("ab", TypeError, "'ab'"),
        (np.arange(3), TypeError, "int64|int32"),
        (np.array([True]), TypeError, "bool"),
        (np.array([1j]), TypeError, "complex128"),
        (np.array([1.0, None]), TypeError, "object"),
        (np.array([np.ones(2), np.ones(3)], dtype=object), TypeError, "object"),
        (np.ones(3, ">f8"), TypeError, ">f8"),
        (np.ma.ones(3), TypeError, "Masked"),
        (np.ones((2, 2)).view(np.matrix), TypeError, "matrix"),
        (np.array([]), ValueError, r"\(0,\)"),
        (np.ones((3, 0)), ValueError, r"\(3, 0\)"),
        (np.array(1.0), ValueError, r"\(\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_bad_gradients(key: str, grad: object, error: type, shown: str) -> None:
    with pytest.raises(error, match=f"grads? must .*({shown})"):
        CLIPPERS[key](1.0)(grad, grad)
    with pytest.raises(error, match=f"grad must .*({shown})"):
        global_norm(grad)


@pytest.mark.parametrize(
    ("runs", "shape", "advice"),
    [
        ((), (3,), r"grad\[None, :\]"),
        ((5, 3), (3,), r"max_norm\[None, :\]"),
        ((3, 5), (3,), r"max_norm\[:, None\]"),
        ((5,), (5, 1), "5"),
        ((5, 3), (3, 5), "5, 3"),
        ((5,), (4,), "5"),
    ],
)
def test_shapes_that_match_by_accident_are_refused(runs: tuple, shape: tuple, advice: str) -> None:
    with pytest.raises(ValueError, match=rf"max_norm must fit the runs .*{advice}") as caught:
        ClipByGlobalNorm(np.ones(shape))(np.ones((*runs, 3)))
    assert str(shape) in str(caught.value)


def test_bad_options() -> None:
    grad = np.ones(3)
    with pytest.raises(ValueError, match="ord must be > 0; got 0"):
        global_norm(grad, ord=0)
    with pytest.raises(TypeError, match="ord must be a real number; got 'fro'"):
        ClipByGlobalNorm(1.0, ord="fro")
    with pytest.raises(ValueError, match="eps must be > 0; got -1"):
        AdaptiveClip(1.0, eps=-1)
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum'; got 'max'"):
        ClipPerExample(1.0, reduction="max")
    with pytest.raises(ValueError, match=r"nonfinite must be one of .*; got 'ignore'"):
        ClipByValue(1.0, nonfinite="ignore")
    with pytest.raises(ValueError, match=r"nonfinite must be one of .*; got \['zero' 'raise'\]"):
        clip_by_value(grad, 1.0, nonfinite=np.array(["zero", "raise"]))
    with pytest.raises(ValueError, match=r"grads must have the axes .* got shape \(3,\)"):
        clip_per_example(grad, 1.0)
    with pytest.raises(ValueError, match=r"max_norm must be finite.*got inf"):
        normalize_gradient(grad, np.inf)
    with pytest.raises(ValueError, match=r"max_value must be finite.*got inf"):
        sign_gradient(grad, np.inf)


@pytest.mark.parametrize(
    ("blocks", "error", "shown"),
    [
        ([slice(0, 2)], ValueError, r"missed \[2\]"),
        ([slice(0, 2), slice(1, 3)], ValueError, r"doubled \[1\]"),
        ([], ValueError, r"missed \[0, 1, 2\]"),
        (slice(None), TypeError, "slice"),
        ([0, 1], TypeError, r"\[0, 1\]"),
        (3, TypeError, "3"),
        ([slice(0, 3, 0)], ValueError, r"whole numbers with a step other than 0; got slice\(0, 3, 0\)"),
        ([slice(0.0, 3.0)], TypeError, r"whole numbers .* got slice\(0.0, 3.0, None\)"),
        ([slice("a")], TypeError, r"whole numbers .* got slice\(None, 'a', None\)"),
    ],
)
def test_bad_blocks(blocks: object, error: type, shown: str) -> None:
    with pytest.raises(error, match=f"blocks must .*{shown}"):
        ClipByNorm(1.0, blocks)(np.ones(3))
    with pytest.raises(error, match=f"units must .*{shown}"):
        AdaptiveClip(1.0, blocks)(np.ones(3), np.ones(3))


def test_bad_params() -> None:
    with pytest.raises(TypeError, match=r"params must .* got None"):
        AdaptiveClip(1.0)(np.ones(3))
    with pytest.raises(ValueError, match=r"params must .* got shape \(4,\)"):
        AdaptiveClip(1.0)(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="params must fit the runs"):
        AdaptiveClip(1.0)(np.ones((2, 3)), np.ones((5, 3)))


# The clippers as values ------------------------------------------------------------------------------


def test_clippers_are_small_values() -> None:
    assert repr(ClipByGlobalNorm(1)) == "ClipByGlobalNorm(max_norm=1.0)"
    assert repr(ClipByGlobalNorm(0.5, ord=np.inf)) == "ClipByGlobalNorm(max_norm=0.5, ord=inf)"
    assert repr(ClipByValue(2.0, nonfinite="zero")) == "ClipByValue(max_value=2.0, nonfinite='zero')"
    assert repr(ClipByGlobalNorm(np.geomspace(0.01, 1, 9)[None])) == "ClipByGlobalNorm(max_norm=[[0.01 ... 1. ]])"
    assert ClipByGlobalNorm(1) == ClipByGlobalNorm(1.0)
    assert repr(ClipByGlobalNorm(1, ord=2)) == "ClipByGlobalNorm(max_norm=1.0)"
    assert ClipByGlobalNorm(1.0) != ClipSmoothly(1.0)
    with pytest.raises(FrozenInstanceError):
        ClipByValue(1.0).max_value = 2.0


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("threshold", [0.5, np.array([0.5, 2.0]), np.geomspace(0.1, 1, 9)[:, None]], ids=np.shape)
def test_clippers_are_equal_by_value_and_survive_a_pickle(key: str, threshold: object) -> None:
    clipper, again = CLIPPERS[key](threshold), CLIPPERS[key](np.copy(threshold))
    for same in (again, pickle.loads(pickle.dumps(clipper))):
        assert same == clipper
        assert hash(same) == hash(clipper)
        assert repr(same) == repr(clipper)
    assert clipper != CLIPPERS[key](threshold, nonfinite="zero")
    assert clipper != 0.5
    if key != "none":
        assert clipper != CLIPPERS[key](np.asarray(threshold) * 2)


def test_no_clip_keeps_the_shape_of_a_threshold_and_ignores_its_value() -> None:
    assert repr(NoClip()) == "NoClip()"
    assert NoClip(3.0) == NoClip()
    assert NoClip().threshold == np.inf
    np.testing.assert_array_equal(NoClip(np.ones((1, 3))).threshold, np.full((1, 3), np.inf))


def test_an_array_of_thresholds_cannot_change_behind_the_clipper() -> None:
    c = np.ones(2)
    clipper = ClipByGlobalNorm(c)
    c[:] = 5
    np.testing.assert_array_equal(clipper.threshold, [1, 1])
    with pytest.raises(ValueError, match="read-only"):
        clipper.threshold[0] = 5


@pytest.mark.parametrize("key", KEYS)
def test_every_rule_is_listed_labelled_and_made_from_its_threshold(key: str) -> None:
    clipper = CLIPPERS[key](2)
    assert isinstance(clipper, Clipper)
    assert clipper.label
    assert clipper.threshold == (np.inf if key == "none" else 2.0)
    assert len({c.label for c in CLIPPERS.values()}) == len(CLIPPERS)


@pytest.mark.parametrize("threshold", [1, Fraction(1), np.int64(1), np.float32(1), np.array(1.0)])
def test_real_numbers_of_any_kind_are_thresholds(threshold: object) -> None:
    assert isinstance(ClipByGlobalNorm(threshold).threshold, float)


def test_unusual_memory_layouts() -> None:
    grad = np.asfortranarray(np.random.default_rng(7).normal(size=(3, 4, 6)) * 9)[::-1, :, ::2]
    expected = apply(ClipByGlobalNorm(1.0), np.ascontiguousarray(grad))
    np.testing.assert_allclose(clip_by_global_norm(grad, 1.0), expected, rtol=1e-14)
    constant = np.broadcast_to(np.array([3.0, 4.0]), (5, 2))
    np.testing.assert_allclose(NormalizeGradient(1.0)(constant), [[0.6, 0.8]] * 5)
    np.testing.assert_array_equal(SignGradient(1.0)(constant), np.ones((5, 2)))


def test_subnormal_gradients_are_normalised_to_the_length_asked_for() -> None:
    """Their norm itself is rounded to few digits: 5e-324 twice has norm 7e-324, which float64 cannot hold."""
    grad = np.full(2, 5e-324)
    np.testing.assert_allclose(normalize_gradient(grad, 1e-16), np.full(2, 1e-16 / np.sqrt(2)), rtol=1e-14)


@pytest.mark.parametrize("n", [4095, 4096, 65536, 100_001])
def test_long_float32_norms_keep_their_digits(n: int) -> None:
    grad = np.full((2, n), 0.7, np.float32)
    np.testing.assert_allclose(global_norm(grad), np.float64(np.float32(0.7)) * np.sqrt(n), rtol=1e-6)
