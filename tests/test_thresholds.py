"""The rules that learn a threshold: each against a plain loop, then what all of THRESHOLDS have in common."""

import math
import pickle
import statistics
from dataclasses import FrozenInstanceError, fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gclip_lessons.clipping import clip_by_global_norm, clip_by_norm
from gclip_lessons.thresholds import (
    SPAM,
    THRESHOLDS,
    AdaGC,
    AutoClip,
    FixedThreshold,
    QuantileTracker,
    ThresholdRule,
    WarmUp,
    ZClip,
    clip_rate,
    clipped_norms,
    follow,
    lag,
    left_over_trend,
    norm_stream,
)

KEYS = list(THRESHOLDS)
NAN, INF = np.nan, np.inf
often = settings(deadline=None, max_examples=40, derandomize=True)


def promising(promise: str) -> list[str]:
    keys = [key for key, rule in THRESHOLDS.items() if promise in rule.promises]
    assert keys, f"no rule promises {promise!r}"
    return keys


def rule_of(key: str) -> ThresholdRule:
    """The rule with its defaults, but with its warm-ups and resets short enough to be left and met again."""
    rule = THRESHOLDS[key]()
    short = {"warmup": 7, "reset_every": 23, "steps": 5}
    return replace(rule, **{name: value for name, value in short.items() if name in vars(rule)})


def stepwise(rule: ThresholdRule, norms: np.ndarray) -> np.ndarray:
    """What `follow` should give, by `update` alone."""
    state, thresholds = rule.init(norms.shape[1:]), []
    for norm in norms:
        threshold, state = rule.update(state, norm)
        thresholds.append(threshold)
    return np.stack(thresholds)


def streams(length: int = 60, runs: tuple[int, ...] = ()) -> st.SearchStrategy:
    """Norms of all sizes, many alike, some 0."""
    elements = st.floats(0, 1e6) | st.sampled_from([0.0, 1.0, 1.0, 2.0, 50.0])
    return st.integers(1, length).flatmap(lambda n: hnp.arrays(float, (n, *runs), elements=elements, fill=st.nothing()))


# --- each rule against a loop over plain numbers: None for a threshold that clips nothing ---


def percentile(norms: list[float], p: float) -> float:
    """The p-th percentile by its definition: sort, and interpolate between two neighbours."""
    norms, rank = sorted(norms), p / 100 * (len(norms) - 1)
    low = norms[math.floor(rank)]
    return low + (rank - math.floor(rank)) * (norms[math.ceil(rank)] - low)


def loop_autoclip(rule: AutoClip, norms: list[float]) -> list[float]:
    return [percentile(norms[: t + 1], rule.percentile) for t in range(len(norms))]


def loop_quantile(rule: QuantileTracker, norms: list[float]) -> list[float]:
    thresholds, c = [], rule.initial
    for n in norms:
        thresholds.append(c)
        below = 1.0 if n <= c else 0.0
        c = c * math.exp(-rule.rate * (below - rule.quantile))
    return thresholds


def loop_zclip(rule: ZClip, norms: list[float]) -> list[float | None]:
    """What is done to norms that pass is left open by the paper: None."""
    thresholds, buffer = [], []
    mean = var = None
    for n in norms:
        if mean is None:
            thresholds.append(None)
            buffer.append(n)
            if len(buffer) == rule.warmup:
                mean, var = statistics.fmean(buffer), statistics.pvariance(buffer)
            continue
        z = (n - mean) / (math.sqrt(var) + rule.eps)
        c = None
        if z > rule.max_z:
            c = mean + rule.max_z * math.sqrt(var) / (z / rule.max_z)
        thresholds.append(c)
        left = n if c is None else c
        mean = rule.alpha * mean + (1 - rule.alpha) * left
        var = rule.alpha * var + (1 - rule.alpha) * (left - mean) ** 2
    return thresholds


def loop_adagc(rule: AdaGC, norms: list[float]) -> list[float]:
    thresholds, gamma = [], None
    for t, n in enumerate(norms, start=1):
        if t <= rule.warmup:
            c = rule.max_norm
            gamma = min(n, c) if gamma is None else min(gamma, n, c)
        else:
            c = rule.factor * gamma
            gamma = rule.beta * gamma + (1 - rule.beta) * min(n, c)
        thresholds.append(c)
    return thresholds


def loop_spam(rule: SPAM, grads: list[float]) -> list[float | None]:
    thresholds, v = [], 0.0
    for t, g in enumerate(grads, start=1):
        if t % rule.reset_every == 0:
            v = 0.0
        c = None
        if t % rule.reset_every >= rule.warmup:
            c = math.sqrt(rule.theta * v)
            if g * g > rule.theta * v:
                g = math.copysign(c, g)
        thresholds.append(c)
        v = rule.beta * v + (1 - rule.beta) * g * g
    return thresholds


def loop_warm_up(rule: WarmUp, norms: list[float]) -> list[float | None]:
    thresholds = LOOPS[type(rule.rule)](rule.rule, norms)
    for t in range(min(rule.steps, len(norms))):
        thresholds[t] = rule.start + (rule.end - rule.start) * (t / (rule.steps - 1) if rule.steps > 1 else 0)
    return thresholds


LOOPS = {
    FixedThreshold: lambda rule, norms: [rule.max_norm] * len(norms),
    AutoClip: loop_autoclip,
    QuantileTracker: loop_quantile,
    ZClip: loop_zclip,
    AdaGC: loop_adagc,
    SPAM: loop_spam,
    WarmUp: loop_warm_up,
}


def same_clipping(rule: ThresholdRule, norms: np.ndarray, rtol: float = 1e-9) -> int:
    """Compare with the loop; where the loop clips nothing, the rule must clip nothing. Returns how many were clipped.

    ZClip's z is compared with z* in another order here than there: a norm that lies exactly on the edge may count
    as either, with a threshold that is the norm itself.
    """
    thresholds = follow(rule, norms)
    expected = LOOPS[type(rule)](rule, norms.tolist())
    clipped = 0
    for n, c, e in zip(norms.tolist(), thresholds.tolist(), expected, strict=True):
        if e is None:
            assert c >= n * (1 - rtol)
        else:
            assert c == pytest.approx(e, rel=rtol, abs=1e-300)
            clipped += n > e
    return clipped


RULES = [
    FixedThreshold(2.0),
    AutoClip(),
    AutoClip(0),
    AutoClip(37.3),
    AutoClip(90),
    AutoClip(100),
    QuantileTracker(),
    QuantileTracker(0.9, 0.05, 30.0),
    ZClip(),
    ZClip(1.5, 0.8, 3, 0.1),
    ZClip(warmup=1),
    AdaGC(),
    AdaGC(1.5, 0.9, 4.0, 10),
    SPAM(),
    SPAM(theta=4.0, beta=0.9, warmup=3, reset_every=50),
    WarmUp(),
    WarmUp(ZClip(), 30, 1.0, 7.0),
    WarmUp(FixedThreshold(3.0), 1, 9.0),
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_equal_to_a_plain_loop(rule: ThresholdRule):
    clipped = 0
    for seed in range(3):
        stream = norm_stream(np.random.default_rng(seed), 700, rise=3.0, spike_rate=0.03)
        clipped += same_clipping(rule, stream.norms)
    assert clipped > 20 or rule in (SPAM(), AutoClip(100))


@pytest.mark.parametrize("rule", [r for r in RULES if not isinstance(r, ZClip | WarmUp)], ids=repr)
@often
@given(norms=streams())
def test_equal_to_a_plain_loop_for_norms_of_any_size(rule: ThresholdRule, norms: np.ndarray):
    same_clipping(rule, norms)


@pytest.mark.parametrize("key", KEYS)
@often
@given(norms=streams(40, (2,)))
def test_follow_is_update_step_by_step(key: str, norms: np.ndarray):
    rule = rule_of(key)
    np.testing.assert_allclose(follow(rule, norms), stepwise(rule, norms), rtol=1e-12)


@often
@given(norms=streams(), p=st.floats(0, 100))
def test_autoclip_is_numpys_percentile(norms: np.ndarray, p: float):
    expected = [np.percentile(norms[: t + 1], p) for t in range(len(norms))]
    np.testing.assert_allclose(follow(AutoClip(p), norms), expected, rtol=1e-12, atol=1e-300)


def test_autoclip_of_a_long_stream_ends_at_the_percentile_of_all():
    norms = np.random.default_rng(0).lognormal(size=100_000)
    for p in (0.1, 10, 50, 99.9):
        thresholds = follow(AutoClip(p), norms)
        for t in (0, 1, 10, 5_000, 99_999):
            assert thresholds[t] == pytest.approx(np.percentile(norms[: t + 1], p), rel=1e-12)


def test_numbers_by_hand():
    np.testing.assert_array_equal(follow(AutoClip(50), np.array([4.0, 2.0, 9.0])), [4, 3, 4])
    half = math.exp(0.1)
    np.testing.assert_allclose(
        follow(QuantileTracker(initial=1.0), np.array([5.0, 5.0, 0.1])), [1, half, half**2], rtol=1e-15
    )
    # mean 2 and s 1 after two norms; z = 8 at 10, so c = 2 + 2.5/3.2
    assert follow(ZClip(warmup=2, eps=0), np.array([1.0, 3.0, 10.0]))[2] == pytest.approx(2 + 2.5 * 2.5 / 8)
    np.testing.assert_allclose(follow(AdaGC(warmup=2), np.array([0.5, 0.2, 9, 9])), [1, 1, 0.21, 1.05 * 0.2002])
    np.testing.assert_allclose(follow(WarmUp(FixedThreshold(8), 3, 1, 5), np.ones(5)), [1, 3, 5, 8, 8])


def test_zclip_cuts_the_harder_the_larger_the_spike():
    calm = np.tile([0.9, 1.1], 100)
    met = [follow(ZClip(), np.append(calm, size))[-1] for size in (1.1, 1.3, 2, 10, 1e3, 1e9)]
    assert met[0] == pytest.approx(1 + 2.5 * 0.1, rel=0.05)
    assert all(later < earlier for earlier, later in pairwise(met[1:]))
    assert met[-1] == pytest.approx(calm.mean(), rel=0.01)


def test_adagc_follows_a_rise_by_a_tenth_of_a_percent_a_step():
    rule = AdaGC(max_norm=10.0)
    thresholds = follow(rule, np.append(np.ones(100), np.full(500, 3.0)))
    np.testing.assert_allclose(thresholds[101:] / thresholds[100:-1], 1.001, rtol=1e-12)


def test_adagc_per_block_clips_gradients_as_the_paper_does():
    """Whole gradients through a plain loop: the global norm first, then each block against its own average."""
    rng, rule = np.random.default_rng(3), AdaGC(warmup=10, per_block=True)
    blocks = [slice(0, 2), slice(2, 7), slice(7, 8)]
    grads = rng.normal(size=(60, 8)) * rng.lognormal(0, 1.5, (60, 1)) * np.array([1, 1, 9, 9, 9, 9, 9, 0.1])
    state, gamma, cut = rule.init((3,)), [math.inf] * 3, 0
    for t, grad in enumerate(grads, start=1):
        norms = np.array([math.hypot(*grad[b]) for b in blocks])
        threshold, state = rule.update(state, norms)
        ours = np.concatenate([clip_by_global_norm(grad[b], float(c)) for b, c in zip(blocks, threshold, strict=True)])
        expected = grad.copy()
        if t <= 10:
            expected *= min(1.0, 1.0 / math.hypot(*grad))
        for k, b in enumerate(blocks):
            if t > 10:
                expected[b] *= min(1.0, 1.05 * gamma[k] / math.hypot(*grad[b]))
                gamma[k] = 0.98 * gamma[k] + 0.02 * math.hypot(*expected[b])
            else:
                gamma[k] = min(gamma[k], math.hypot(*expected[b]))
        cut += not np.allclose(ours, grad)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert cut > 20


def test_adagc_with_one_block_is_adagc_per_block_of_one():
    norms = norm_stream(np.random.default_rng(0), 300, (4,)).norms
    per_block = follow(AdaGC(per_block=True), norms[..., None])[..., 0]
    np.testing.assert_allclose(per_block, follow(AdaGC(), norms), rtol=1e-15)


def test_spam_clips_elements_as_a_plain_loop_does():
    rng, rule = np.random.default_rng(4), SPAM(theta=20.0, beta=0.9, warmup=5, reset_every=40)
    grads = rng.standard_t(1.5, size=(130, 2, 3))
    grads[:, 1, 2] = np.where(np.arange(130) < 20, 0, 1)  # v is still 0 when clipping begins
    state, ours = rule.init((2, 3)), []
    for grad in grads:
        clipped, state = rule.clip(state, grad)
        ours.append(clipped)
    ours = np.stack(ours)
    for element in np.ndindex(2, 3):
        v = 0.0
        for t, g in enumerate(grads[:, *element].tolist(), start=1):
            v = 0.0 if t % 40 == 0 else v
            if t % 40 >= 5 and g * g > 20 * v:
                g = math.copysign(math.sqrt(20 * v), g)
            assert ours[t - 1, *element] == pytest.approx(g, rel=1e-12, abs=1e-300)
            v = 0.9 * v + 0.1 * g * g
    assert (ours != grads).any()
    assert (np.sign(ours) * np.sign(grads) >= 0).all()
    held = ours[:, 1, 2]
    assert held[20:39].max() < 1e-300  # a 1 that is held at 0 ...
    np.testing.assert_array_equal(held[39:], 1)  # ... until the reset


# --- what all rules have in common ---


@pytest.mark.parametrize("key", KEYS)
def test_every_rule_is_a_labelled_value_with_defaults(key: str):
    rule = THRESHOLDS[key]()
    assert isinstance(rule, ThresholdRule)
    assert rule == THRESHOLDS[key]()
    assert hash(rule) == hash(THRESHOLDS[key]())
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert rule != 1.0
    assert rule.scope in ("gradient", "block", "element")
    assert rule.promises <= {"scale", "before", "robust"}
    with pytest.raises(FrozenInstanceError):
        setattr(rule, fields(rule)[0].name, 1.0)
    assert len({r.label for r in THRESHOLDS.values()}) == len(THRESHOLDS)


@pytest.mark.parametrize("key", KEYS)
@often
@given(norms=streams(30, (3, 2)))
def test_one_run_is_its_place_in_a_batch(key: str, norms: np.ndarray):
    rule = rule_of(key)
    together = follow(rule, norms)
    assert together.shape == norms.shape
    for run in np.ndindex(3, 2):
        np.testing.assert_allclose(together[:, *run], follow(rule, norms[:, *run]), rtol=1e-13)


@pytest.mark.parametrize("key", KEYS)
def test_a_setting_for_each_run_is_that_run_alone(key: str):
    names = {
        "fixed": ("max_norm", [0.5, 2, INF]), "percentile": ("percentile", [0, 30, 95]),
        "quantile": ("quantile", [0.1, 0.5, 0.9]), "z_score": ("max_z", [1, 2, 3]),
        "block_average": ("factor", [1, 1.2, 2]), "element": ("theta", [1, 4, 9]), "warm_up": ("start", [1, 2, 9]),
    }  # fmt: skip
    name, values = names[key]
    norms = norm_stream(np.random.default_rng(2), 90, rise=4).norms
    rule = replace(rule_of(key), **{name: np.array(values, float)})
    for stream in (norms, np.where(np.arange(90) % 11 == 4, NAN, norms)):
        together = follow(rule, stream)
        assert together.shape == (90, 3)
        np.testing.assert_array_equal(together, follow(rule, stream[:, None]))
        np.testing.assert_allclose(together, stepwise(rule, np.repeat(stream[:, None], 3, 1)), rtol=1e-12)
        for k, value in enumerate(values):
            alone = follow(replace(rule_of(key), **{name: value}), stream)
            np.testing.assert_allclose(together[:, k], alone, rtol=1e-13)
    rule = WarmUp(AutoClip(np.array([10.0, 90.0])))
    assert follow(rule, norms).shape == (90, 2)


@pytest.mark.parametrize("key", KEYS)
@often
@given(norms=streams(50, (2,)))
def test_thresholds_are_positive_and_numbers(key: str, norms: np.ndarray):
    assert (follow(rule_of(key), norms) > 0).all()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", [1e300, 1.7e308, 1e-300, 5e-324, 0.0])
def test_norms_at_the_edge_of_the_numbers(key: str, size: float):
    rng = np.random.default_rng(0)
    for norms in (np.full(40, size), np.append(rng.lognormal(size=30), [size] * 10), size * rng.random(40)):
        thresholds = follow(rule_of(key), np.append(norms, rng.lognormal(size=400)))
        assert (thresholds > 0).all()
        assert not np.isnan(thresholds).any()


def test_the_tracker_comes_back_from_the_ends_of_the_numbers():
    up = follow(QuantileTracker(initial=1.65e308), np.array([1.7e308, 1.0, 1.0]))
    assert up[1] == np.finfo(float).max
    assert up[2] == pytest.approx(up[1] * math.exp(-0.1))
    down = follow(QuantileTracker(initial=2.3e-308), np.array([0.0, 0.0, 1.0, 1.0]))
    assert down[1] == down[2] == np.finfo(float).tiny
    assert down[3] == pytest.approx(down[2] * math.exp(0.1))


@pytest.mark.parametrize("key", KEYS)
def test_inputs_and_states_stay_as_they_were(key: str):
    rule, norms = rule_of(key), norm_stream(np.random.default_rng(1), 60, (2,)).norms
    norms.flags.writeable = False
    before = norms.copy()
    follow(rule, norms)
    np.testing.assert_array_equal(norms, before)
    state = rule.init((2,))
    for norm in norms[:30]:
        _, state = rule.update(state, norm)
    kept = pickle.loads(pickle.dumps(state))
    first, after = rule.update(state, norms[30])
    rule.update(after, norms[31])
    second, _ = rule.update(state, norms[30])  # a state can be taken up twice: nothing in it has moved
    np.testing.assert_array_equal(first, second)
    for now, then in zip(state, kept, strict=True):
        for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (now, then)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("broken", [NAN, INF])
def test_a_norm_that_is_not_finite_teaches_nothing(key: str, broken: float):
    """With the broken steps taken out, the thresholds are those of the rest; at them they are numbers."""
    rule, rng = rule_of(key), np.random.default_rng(5)
    norms = norm_stream(rng, 120, (2,)).norms
    bad = rng.random((120, 2)) < 0.2
    bad[0] = True  # from the very first
    met = follow(rule, np.where(bad, broken, norms))
    np.testing.assert_allclose(stepwise(rule, np.where(bad, broken, norms)), met, rtol=1e-12)
    for run in range(2):
        good = ~bad[:, run]
        np.testing.assert_allclose(met[good, run], follow(rule, norms[good, run]), rtol=1e-12)
    assert not np.isnan(met).any()
    assert (met > 0).all()
    only = follow(rule, np.full((5, 2), broken))
    assert (only > 0).all()


@pytest.mark.parametrize("key", promising("scale"))
@often
@given(norms=streams(60), k=st.floats(1e-3, 1e3))
def test_scale(key: str, norms: np.ndarray, k: float):
    rule = rule_of(key)
    if hasattr(rule, "eps"):
        rule = replace(rule, eps=0.0)
        norms = norms + 1e-3 * np.arange(len(norms))  # with s = 0 a rounding error is a spike
    once, scaled = follow(rule, norms), follow(rule, k * norms)
    on_edge = np.isclose(once, norms, rtol=1e-6) & (norms > 0)
    if not (hasattr(rule, "eps") and on_edge.any()):
        np.testing.assert_allclose(scaled, k * once, rtol=1e-6, atol=1e-290)


@pytest.mark.parametrize("key", sorted(set(KEYS) - set(promising("scale"))))
def test_rules_that_do_not_scale_do_not(key: str):
    norms = norm_stream(np.random.default_rng(0), 20).norms
    assert not np.allclose(follow(THRESHOLDS[key](), 1e3 * norms), 1e3 * follow(THRESHOLDS[key](), norms))


@pytest.mark.parametrize("key", promising("before"))
@often
@given(norms=streams(40), other=st.floats(0, 1e9))
def test_before(key: str, norms: np.ndarray, other: float):
    changed = np.append(norms[:-1], other)
    assert follow(rule_of(key), norms)[-1] == follow(rule_of(key), changed)[-1]


@pytest.mark.parametrize("key", sorted(set(KEYS) - set(promising("before"))))
def test_rules_that_look_at_the_norm_do(key: str):
    norms = norm_stream(np.random.default_rng(0), 60).norms
    last = [follow(rule_of(key), np.append(norms, size))[-1] for size in (0.0, 1.0, 1e3)]
    assert len(set(last)) > 1


@pytest.mark.parametrize("key", promising("robust"))
def test_robust(key: str):
    for seed in range(20):
        norms = norm_stream(np.random.default_rng(seed), 200, decay=0, spike_rate=0).norms
        paths = []
        for size in (1e3, 1e4, 1e12):
            norms[150] = size
            paths.append(follow(rule_of(key), norms)[151:])
        assert (paths[1] <= paths[0] * (1 + 1e-9)).all()
        assert (paths[2] <= paths[1] * (1 + 1e-9)).all()


def test_every_promise_has_its_test():
    made = set().union(*(rule.promises for rule in THRESHOLDS.values()))
    assert made == {"scale", "before", "robust"}
    assert all(f"test_{promise}" in globals() for promise in made)


# --- what came out of a trial: a stream of 2000 norms, a hundred seeds at once ---


@pytest.fixture(scope="module")
def decaying():
    return norm_stream(np.random.default_rng(7), 2000, (100,))


@pytest.mark.parametrize(
    ("key", "rate", "margin"), [("percentile", 0.57, 0.03), ("quantile", 0.50, 0.01), ("z_score", 0.03, 0.01)]
)
def test_clip_rates_on_the_decaying_stream(key: str, rate: float, margin: float, decaying):
    rates = clip_rate(decaying.norms, follow(THRESHOLDS[key](), decaying.norms))
    assert rates.mean() == pytest.approx(rate, abs=margin)
    assert rates.std() < 0.02


def test_a_fixed_c_clips_all_of_the_beginning_and_a_third_of_the_end(decaying):
    thresholds = follow(FixedThreshold(), decaying.norms)
    assert clip_rate(decaying.norms[:500], thresholds[:500]).mean() == pytest.approx(1.0, abs=0.002)
    assert clip_rate(decaying.norms[1500:], thresholds[1500:]).mean() == pytest.approx(0.35, abs=0.02)


def test_the_tenth_percentile_clips_nine_in_ten_of_a_flat_stream():
    flat = norm_stream(np.random.default_rng(8), 2000, (100,), decay=0, spike_rate=0).norms
    assert clip_rate(flat, follow(AutoClip(), flat)).mean() == pytest.approx(0.90, abs=0.01)
    for p in (25, 75):
        assert clip_rate(flat, follow(AutoClip(p), flat)).mean() == pytest.approx(1 - p / 100, abs=0.01)


def test_the_tracker_clips_what_it_is_asked_for_whatever_the_trend():
    for decay in (-2, 0, 4):
        norms = norm_stream(np.random.default_rng(9), 2000, (50,), decay=decay).norms
        for quantile in (0.2, 0.5, 0.9):
            rate = clip_rate(norms, follow(QuantileTracker(quantile), norms))[None].mean()
            assert rate == pytest.approx(1 - quantile, abs=0.04)


def test_after_a_rise_some_follow_at_once_some_late_and_some_never():
    stream = norm_stream(np.random.default_rng(10), 2000, (50,), decay=0, rise=3.0, rise_at=1000)
    late = {key: np.median(lag(follow(rule(), stream.norms), 1000, 3.0)) for key, rule in THRESHOLDS.items()}
    assert late["fixed"] == late["percentile"] == INF
    assert late["quantile"] < 15 < late["z_score"] < 150 < late["block_average"] < 700
    # ½·ln 3/ln 1.001 = 550 steps of 1.001, for a rule that clips every step from the rise on
    assert late["block_average"] == pytest.approx(0.5 * math.log(3) / math.log(1.001), rel=0.15)


# --- the measures and the stream ---


def test_measures_by_hand():
    norms, thresholds = np.array([1.0, 5.0, NAN, INF, 2.0]), np.array([2.0, 2.0, 2.0, 2.0, 2.0])
    assert clip_rate(norms, thresholds) == pytest.approx(1 / 3)
    np.testing.assert_array_equal(clipped_norms(norms, thresholds), [1, 2, NAN, 2, 2])
    np.testing.assert_array_equal(left_over_trend(norms, thresholds, np.full(5, 0.5)), [2, 4, NAN, 4, 4])
    assert np.isnan(clip_rate(np.array([NAN]), np.array([1.0])))
    np.testing.assert_allclose(clip_rate(norms[:, None], np.array([[1.0, 4.0]])), [2 / 3, 1 / 3])
    path = np.array([1.0, 1.0, 1.0, 1.0, 1.5, 2.5, 4.0])
    assert lag(path, 3, 4.0) == 2
    assert lag(path, 3, 4.0, share=1.0) == 3
    assert lag(path, 3, 5.0, share=1.0) == INF
    assert lag(np.array([9.0, 1.0, 1.0, 1.0, 2.0]), 3, 2.0, share=1, window=2) == 1
    np.testing.assert_array_equal(lag(np.stack([path, np.ones(7)], 1), 3, 4.0), [2, INF])
    with pytest.raises(ValueError, match=r"rise must lie between .* 1 to 6; got 7"):
        lag(path, 7, 2.0)
    with pytest.raises(ValueError, match="factor must be > 1; got 1"):
        lag(path, 3, 1)


def test_the_stream_is_what_it_says():
    stream = norm_stream(np.random.default_rng(0), 4000, (20,), rise=3.0, rise_at=3000)
    assert stream.norms.shape == stream.trend.shape == stream.spikes.shape == (4000, 20)
    ratio = np.log(stream.norms / stream.trend)
    assert np.median(ratio) == pytest.approx(0, abs=0.01)
    assert ratio[~stream.spikes].std() == pytest.approx(0.3, rel=0.02)
    assert np.median(ratio[stream.spikes]) == pytest.approx(math.log(50), abs=0.05)
    assert stream.spikes.mean() == pytest.approx(0.01, abs=0.002)
    assert stream.trend[0, 0] == 5
    np.testing.assert_allclose(stream.trend[3000, 0] / stream.trend[2999, 0], 3 * math.exp(-2 / 4000))
    assert norm_stream(np.random.default_rng(0), 10).norms.shape == (10,)
    assert norm_stream(np.random.default_rng(0), 10, rise=2.0, decay=0).trend.tolist() == [5] * 5 + [10] * 5


def test_an_array_of_thresholds_goes_into_the_clippers():
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(30, 4, 5))
    norms = np.linalg.norm(grads, axis=-1)
    rule = AutoClip(50)
    state = rule.init((4,))
    for grad, norm in zip(grads, norms, strict=True):
        threshold, state = rule.update(state, norm)
        clipped = clip_by_global_norm(grad, threshold)
        np.testing.assert_allclose(np.linalg.norm(clipped, axis=-1), np.minimum(norm, threshold), rtol=1e-12)
    assert clip_by_norm(grads[0], float(threshold[0]), blocks=[slice(None)]).shape == (4, 5)


# --- bad input ---


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: FixedThreshold(0), ValueError, "max_norm must be > 0; got 0"),
        (lambda: FixedThreshold("1"), TypeError, "max_norm must be a real number .* > 0; got '1'"),
        (lambda: FixedThreshold(True), TypeError, "max_norm .* got True"),
        (lambda: FixedThreshold([1.0]), TypeError, r"max_norm .* got \[1.0\]"),
        (lambda: FixedThreshold(np.array([])), ValueError, "max_norm must be > 0"),
        (lambda: FixedThreshold(np.array([1.0, NAN])), ValueError, "max_norm must be > 0; got array"),
        (lambda: FixedThreshold(10**400), ValueError, "max_norm must be > 0"),
        (lambda: AutoClip(101), ValueError, r"percentile must be in \[0, 100\]; got 101"),
        (lambda: AutoClip(-1), ValueError, r"percentile must be in \[0, 100\]; got -1"),
        (lambda: QuantileTracker(0), ValueError, r"quantile must be in \(0, 1\); got 0"),
        (lambda: QuantileTracker(rate=0), ValueError, "rate must be > 0 and finite; got 0"),
        (lambda: QuantileTracker(initial=INF), ValueError, "initial must be > 0 and finite; got inf"),
        (lambda: ZClip(max_z=-1), ValueError, "max_z must be > 0 and finite; got -1"),
        (lambda: ZClip(alpha=1), ValueError, r"alpha must be in \[0, 1\); got 1"),
        (lambda: ZClip(warmup=0), ValueError, "warmup must be a whole number >= 1; got 0"),
        (lambda: ZClip(warmup=2.0), TypeError, "warmup must be a whole number >= 1; got 2.0"),
        (lambda: ZClip(eps=-1), ValueError, "eps must be >= 0 and finite; got -1"),
        (lambda: AdaGC(factor=0.9), ValueError, "factor must be >= 1 and finite; got 0.9"),
        (lambda: AdaGC(per_block=1), TypeError, "per_block must be True or False; got 1"),
        (lambda: AdaGC(per_block=True).init(), ValueError, r"runs must end in the number of blocks .* got \(\)"),
        (lambda: SPAM(theta=0), ValueError, "theta must be > 0 and finite; got 0"),
        (lambda: SPAM(reset_every=True), TypeError, "reset_every must be a whole number >= 1; got True"),
        (lambda: WarmUp(3.0), TypeError, "rule must be one of the rules .* got 3.0"),
        (lambda: WarmUp(steps=0), ValueError, "steps must be a whole number >= 1; got 0"),
        (lambda: WarmUp(end=-2.0), ValueError, "end must be > 0; got -2.0"),
        (lambda: ZClip(np.ones(2), np.full(3, 0.5)), ValueError, "settings must fit the runs .* got shapes"),
        (lambda: follow(AutoClip(np.ones(3)), np.ones((5, 2))), ValueError, r"settings must fit the runs \(2,\)"),
        (lambda: follow(AutoClip(), 3.0), ValueError, r"norms must be \(n_steps, \*runs\)"),
        (lambda: follow(AutoClip(), np.array([1.0, -2.0, -3.0])), ValueError, "norms must be >= 0; got -2.0 and 1"),
        (lambda: follow(AutoClip(), np.array(["a"])), TypeError, "norms must be real numbers"),
        (lambda: ZClip().update(ZClip().init(), -1.0), ValueError, "norm must be >= 0; got -1.0"),
        (lambda: ZClip().update(ZClip().init((2,)), np.ones(3)), ValueError, r"norm must fit the runs \(2,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, error: type, says: str):
    with pytest.raises(error, match=says):
        make()


def test_a_rule_without_equation_says_so():
    with pytest.raises(NotImplementedError):
        ThresholdRule().init()
    with pytest.raises(NotImplementedError):
        ThresholdRule().learn((), np.ones(1))


def test_settings_cannot_change_behind_the_rule():
    p = np.array([10.0, 20.0])
    rule = AutoClip(p)
    p[:] = 90
    np.testing.assert_array_equal(rule.percentile, [10, 20])
    with pytest.raises(ValueError, match="read-only"):
        rule.percentile[0] = 5
    assert rule == AutoClip(np.array([10.0, 20.0]))
    assert rule != AutoClip(np.array([10.0, 21.0]))
    assert WarmUp(ZClip()) != WarmUp(AdaGC())
