"""Lesson 06: its claims against sums, integrals and plain loops, its pictures' extremes, and wrong answers to it."""

import json
import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pictures import against
from test_side_trips06 import DRAWN as TRIPS_DRAWN

from gclip_lessons.clipping import ClipByGlobalNorm, clip_by_global_norm, clip_per_example
from gclip_lessons.diagnosis import diagnose, undistinguished
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import lesson06 as lesson
from gclip_lessons.models import Logistic, check_gradient, clipped_root
from gclip_lessons.models.logistic import slope_grads
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import sweep

# What each picture shows of a result, by the names of what moves.
DRAWN = TRIPS_DRAWN | {
    "ucurve": lambda r: {
        "truth": against([r.state.true_gradient] * 2, [7e-4, 1.4]),
        "wall": against([r.state.max_norm] * 2, [7e-4, 1.4]),
        "raw": against(r.places, r.raw_shares),
        "clipped": against(r.places, r.shares),
        "mean": against([r.state.true_gradient + r.bias], [8.4e-4]),
        "unclipped": against(r.thresholds[[0, 1, -1]], r.raw_error),
        "bias": against(r.thresholds, r.biases),
        "spread": against(r.thresholds, r.spreads),
        "error": against(r.thresholds, r.errors),
        "measured": against([r.state.max_norm], [r.measured]),
        "truth at": against([r.state.true_gradient] * 2, [0.02, 4]),
        "at": against([r.state.max_norm] * 2, [0.02, 4]),
    },
    "resting": lambda r: {
        "raw": against(r.times, r.raw_path),
        "clipped": against(r.times, r.path),
        "most": against(r.thresholds, r.most),
        "foretold": against(r.thresholds, r.rests),
        "measured": against(r.thresholds, r.measured),
        "here": against([r.state.max_norm], [r.measured_here]),
        "level": against(r.times[[0, 1, -1]], r.rest),
        "at": against([r.state.max_norm] * 2, [-0.05, 0.48]),
    },
    "outliers": lambda r: {
        "raw good": against(r.slopes, r.raw_good),
        "raw outliers": against(r.slopes, r.raw_bad),
        "good": against(r.slopes, r.good),
        "outliers": against(r.slopes, r.bad),
        "meet": against([r.first_slope], [r.pull]),
        "band": r.band,
        "unclipped": against(r.thresholds[[0, -1]], r.raw_slope),
        "slopes": against(r.thresholds, r.means),
        "here": against([r.state.max_norm], [r.slope]),
        "at": against([r.state.max_norm] * 2, [-0.2, 3.2]),
    },
}


def quantiles(n: int) -> np.ndarray:
    """The middles of n equally likely slices of Lomax(2.5) − 2/3, by inverting its distribution."""
    u = (np.arange(n) + 0.5) / n
    return (1 - u) ** -0.4 - 1 - 2 / 3


# ---- the U


@pytest.mark.parametrize("mu", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("c", [0.1, 0.4, 1.0, 2.0, 10.0])
def test_the_moments_in_closed_form_are_those_of_a_sum_over_the_law(mu, c):
    clipped = np.clip(mu + quantiles(1_000_000), -c, c)
    mean, variance = lesson.clipped_moments(np.array(c), mu)
    assert mean == pytest.approx(clipped.mean(), abs=2e-5)
    assert variance == pytest.approx(clipped.var(), abs=2e-4)


def test_the_noise_has_mean_0_and_the_standard_deviation_of_the_lesson():
    noise = lesson.pareto_noise((2_000_000,), np.random.default_rng(1))
    assert noise.min() >= -2 / 3
    assert noise.mean() == pytest.approx(0, abs=0.005)
    t = np.linspace(0, 40, 400_001)  # 2∫x·P(L > x)dx with 1 + x = exp(t)
    second = np.sum(2 * np.expm1(t) * np.exp(-1.5 * t)) * (t[1] - t[0])
    assert math.sqrt(second - (2 / 3) ** 2) == pytest.approx(lesson.NOISE_SD, rel=1e-6)
    assert round(lesson.NOISE_SD, 3) == 1.491


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.5, 4.0])
def test_for_one_example_the_best_threshold_is_the_true_gradient_exactly(mu):
    assert lesson.best_threshold(1, mu) == pytest.approx(mu, abs=1e-9)
    errors = [math.hypot(*error_each(mu, mu * k, 1)) for k in (0.97, 1.0, 1.03)]
    assert min(errors) == errors[1]


def error_each(mu: float, c: float, batch: int) -> tuple[float, float]:
    """Bias and spread by a sum over the law of the noise."""
    clipped = np.clip(mu + quantiles(400_000), -c, c)
    return clipped.mean() - mu, clipped.std() / math.sqrt(batch)


@pytest.mark.parametrize(("batch", "best"), [(1, 1.0), (4, 1.59), (16, 2.65), (64, 4.54), (256, 7.85)])
def test_the_best_threshold_for_examples_grows_with_the_batch(batch, best):
    found = lesson.best_threshold(batch, 1.0)
    assert found == pytest.approx(best, abs=0.005)
    errors = [math.hypot(*error_each(1.0, found * k, batch)) for k in (0.9, 1.0, 1.1)]
    assert min(errors) == errors[1]


@pytest.mark.parametrize("batch", [1, 4, 64, 256])
@pytest.mark.parametrize("law", ["pareto", "gauss", "cauchy"])
def test_whatever_is_clipped_whole_is_best_clipped_at_the_truth(batch, law):
    """If nothing lies below −c, as the lesson says."""
    rng = np.random.default_rng(3)
    draw = {
        "pareto": lambda size: lesson.pareto_noise(size, rng),
        "gauss": lambda size: rng.normal(0, 0.2, size),
        "cauchy": lambda size: np.maximum(rng.standard_cauchy(size), -1),
    }[law]
    means = 1 + draw((2000, batch)).mean(-1)
    thresholds = np.linspace(0.5, 3, 251)
    errors = [np.mean((np.minimum(means, c) - 1) ** 2) for c in thresholds]
    assert thresholds[np.argmin(errors)] == pytest.approx(1.0, abs=1e-9)


def test_the_numbers_of_the_lesson_about_bias_and_error():
    bias, spread = error_each(1.0, 1.0, 1)
    assert (bias, math.hypot(bias, spread)) == pytest.approx((-0.310, 0.396), abs=5e-4)
    assert error_each(1.0, 0.5, 1)[0] == pytest.approx(-0.529, abs=5e-4)
    bias, spread = error_each(1.0, 2.0, 1)
    assert (bias, math.hypot(bias, spread)) == pytest.approx((-0.153, 0.532), abs=5e-4)
    assert math.hypot(*error_each(1.0, 2.0, 64)) == pytest.approx(0.166, abs=5e-4)


@pytest.mark.parametrize("batch", [1, 7, 64, 256])
@pytest.mark.parametrize("c", [0.5, 1.0, 3.0])
def test_the_curve_for_examples_goes_through_what_is_measured(batch, c):
    result = lesson.average(lesson.UCurveState(batch=batch, max_norm=c))
    bias, spread = error_each(1.0, c, batch)
    assert (result.bias, result.spread) == pytest.approx((bias, spread), abs=5e-4)
    assert result.measured == pytest.approx(result.error, rel=0.05)
    assert result.error == pytest.approx(math.hypot(result.bias, result.spread))
    assert result.raw_error == pytest.approx(1.4907 / math.sqrt(batch), rel=1e-4)


def test_clipping_examples_keeps_its_bias_and_clipping_the_mean_loses_it_with_the_batch():
    def bias(batch, clip, c):
        return lesson.average(lesson.UCurveState(batch=batch, clip=clip, max_norm=c)).bias

    assert [round(bias(b, lesson.EACH, 2.0), 3) for b in (1, 4, 16, 64)] == [-0.153] * 4
    means = [bias(b, lesson.MEAN, 2.0) for b in (1, 4, 16, 64)]
    # The second numbers come of millions of other batches.
    assert means == pytest.approx([-0.153, -0.0505, -0.0096, -0.0014], abs=6e-3)
    assert bias(64, lesson.MEAN, 0.5) == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize("batch", [1, 64, 256])
def test_what_is_clipped_does_not_change_the_unclipped_error(batch):
    errors = {
        lesson.average(lesson.UCurveState(batch=batch, clip=clip)).raw_error for clip in (lesson.EACH, lesson.MEAN)
    }
    assert errors == {lesson.NOISE_SD / math.sqrt(batch)}


@pytest.mark.parametrize("batch", [2, 64])
def test_clipping_the_mean_is_counted_over_batches(batch):
    state = lesson.UCurveState(batch=batch, clip=lesson.MEAN, max_norm=1.3)
    result = lesson.average(state)
    noise = np.random.default_rng(6).pareto(2.5, 2**18) - 2 / 3
    n = min(2**13, 2**18 // batch)
    means = [1 + math.fsum(noise[k * batch : (k + 1) * batch]) / batch for k in range(n)]
    errors = [(min(m, 1.3) - 1) ** 2 for m in means]
    assert result.error == pytest.approx(math.sqrt(math.fsum(errors) / n), rel=1e-9)
    assert result.error == pytest.approx(result.measured, rel=1e-9)
    assert result.best == 1
    assert result.thresholds[result.errors.argmin()] == 1
    inside = sum(0.95 <= min(m, 1.3) < 1.05 for m in means) / n
    assert result.shares[np.isclose(result.places, 1.0)][0] == pytest.approx(inside, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: lesson.clipped_moments(np.array([1.0, 0.0]), 1.0), r"max_norm must be > 0; got \[1\. 0\.\]"),
        (lambda: lesson.clipped_moments(math.nan, 1.0), "max_norm must be > 0; got nan"),
        (lambda: lesson.best_threshold(0, 1.0), "batch must be >= 1; got 0"),
        (lambda: lesson.margins(501), "outliers must lie between 0 and 500; got 501"),
        (lambda: lesson.margins(-1), "outliers must lie between 0 and 500; got -1"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_true_gradient_that_lets_an_example_below_minus_c_is_refused():
    with pytest.raises(ValueError, match=r"true_gradient must be >= 1/3; got 0.2"):
        lesson.best_threshold(1, 0.2)


def test_symmetric_noise_biases_every_gradient_but_zero():
    x = np.linspace(-30, 30, 600_001)
    for truth, said in ((0.0, 0.0), (1.0, 0.26), (3.0, 0.67)):
        density = np.exp(-((x - truth) ** 2) / 18) / (3 * math.sqrt(2 * math.pi))
        mean = float(np.sum(np.clip(x, -1, 1) * density) * (x[1] - x[0]))
        assert mean == pytest.approx(said, abs=0.005)


@pytest.mark.parametrize(("sigma", "truth", "best"), [(1, 1, 0.9), (1, 3, 3.0), (3, 1, 0.28), (3, 3, 2.68)])
def test_under_symmetric_noise_the_best_threshold_depends_on_the_truth_and_on_sigma(sigma, truth, best):
    x = np.linspace(truth - 9 * sigma, truth + 9 * sigma, 20_001)
    density = np.exp(-0.5 * ((x - truth) / sigma) ** 2)
    thresholds = np.linspace(0.02, 4, 200)
    errors = [np.sum((np.clip(x, -c, c) - truth) ** 2 * density) for c in thresholds]
    assert thresholds[np.argmin(errors)] == pytest.approx(best, abs=0.03)


# ---- the place of rest


def balance(x: float, chance: float, spike: float, c: float) -> float:
    other = -spike * chance / (1 - chance)
    return chance * max(-c, min(c, x + spike)) + (1 - chance) * max(-c, min(c, x + other))


@pytest.mark.parametrize("chance", [0.02, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("spike", [0.5, 2.0, 40.0])
@pytest.mark.parametrize("c", [0.1, 1.0, 1.9, 2.0, 50.0])
def test_the_formula_is_the_root_of_the_balance_and_below_the_bound(chance, spike, c):
    low, high = -100.0, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if balance(middle, chance, spike, c) < 0 else (low, middle)
    place = lesson.resting_place(chance, spike, c)
    assert place == pytest.approx((low + high) / 2, abs=1e-9)
    assert place <= spike**2 * chance / (1 - chance) / (4 * c) + 1e-12


def test_the_bound_is_met_at_half_the_spike_and_holds_for_other_noise():
    for p in (0.05, 0.1, 0.4):
        assert lesson.resting_place(p, 2.0, 1.0) == pytest.approx(4 * p / (1 - p) / 4)
    rng = np.random.default_rng(5)
    worst = 0.0
    for _ in range(300):
        n = int(rng.integers(2, 6))
        values, weights = rng.standard_cauchy(n) * 3, rng.dirichlet(np.ones(n))
        values -= values @ weights
        c, variance = float(np.exp(rng.normal())), values**2 @ weights
        low, high = -1e4, 1e4
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if np.clip(middle + values, -c, c) @ weights < 0 else (low, middle)
        worst = max(worst, low / (variance / (4 * c)))
    assert 0.5 < worst <= 1 + 1e-9


@pytest.mark.parametrize("eta", lesson.RATES)
@pytest.mark.parametrize("p", [0.02, 0.1, 0.2])
def test_runs_come_to_rest_where_the_formula_says_whatever_the_rate(eta, p):
    state = lesson.RestingState(chance=p, learning_rate=eta)
    result = lesson.come_to_rest(state)
    assert result.measured == pytest.approx(result.rests, abs=0.04)
    assert np.abs(result.measured - result.rests).mean() < 0.012
    assert abs(result.raw_path[40:].mean()) < 0.04
    assert result.rests[0] == pytest.approx(p * 1.75 / (1 - p))
    assert result.most == pytest.approx(p / (1 - p) / result.thresholds)
    assert (result.rests <= result.most + 1e-12).all()
    assert result.most[10] == pytest.approx(result.rests[10])  # at c = 1, half a spike


def test_the_sentence_owns_up_to_runs_that_do_not_rest_where_the_limit_of_small_rates_says():
    def said(**values):
        return lesson.read_resting(lesson.come_to_rest(lesson.RestingState(**values)))

    assert "for small η the place of rest is 0, the minimum itself; measured 0.04; in steps of this size" in said(
        chance=0.2, learning_rate="0.2", max_norm=2.0
    )
    assert "wander" not in said(chance=0.2, learning_rate="0.2", max_norm=4.0)
    assert "wander" not in said(max_norm=2.64)
    assert "for small η come to rest" in said(chance=0.2, learning_rate="0.2", max_norm=1.74)
    measured = [lesson.rest(0.2, rate, (1.74,))[1][0] for rate in lesson.RATES]
    away = [abs(place - lesson.resting_place(0.2, 2.0, 1.74)) for place in measured]
    assert away[0] > 0.01 > away[-1]


def test_the_runs_are_those_of_a_plain_loop():
    paths, ends = lesson.rest(0.1, "0.2", (0.5, np.inf))
    draws = np.random.default_rng(16).random((80, 1, 100))[:, 0]
    for k, c in enumerate((0.5, math.inf)):
        finals = []
        for run in range(100):
            x, path = 0.0, [0.0]
            for u in draws[:, run]:
                g = x + (2.0 if u < 0.1 else -2 * 0.1 / 0.9)
                x -= 0.2 * max(-c, min(c, g))
                path.append(x)
            finals.append(path)
        mean = np.mean(finals, axis=0)
        assert paths[:, k] == pytest.approx(mean)
        assert ends[k] == pytest.approx(mean[40:].mean())


def test_a_threshold_between_the_stops_is_run_by_itself():
    between = lesson.come_to_rest(lesson.RestingState(max_norm=1.234))
    assert between.measured_here == lesson.rest(0.1, "0.05", (1.234,))[1][0]
    assert between.rest == pytest.approx(0.1 * 0.766 / 0.9)
    near = lesson.come_to_rest(lesson.RestingState(max_norm=1.0))
    assert 0 < near.rest - between.rest < 0.04


def test_skewed_noise_of_mean_0():
    noise = lesson.spikes(0.1, 2.0, (np.arange(1000) + 0.5) / 1000)
    assert noise.mean() == pytest.approx(0, abs=1e-12)
    assert noise.var() == pytest.approx(4 / 9)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.9, -0.1, math.nan])
def test_a_chance_for_which_the_formula_fails_is_refused(chance):
    with pytest.raises(ValueError, match=r"chance must lie between 0 and 0.5; got"):
        lesson.resting_place(chance, 2.0, 1.0)
    with pytest.raises(ValueError, match=r"chance must lie between 0 and 0.5; got"):
        lesson.spikes(chance, 2.0, np.zeros(3))


def test_the_inequality_behind_the_bound_holds_for_every_y():
    y, x, c = np.meshgrid(np.linspace(-40, 40, 401), np.linspace(-9, 9, 61), [0.1, 1.0, 5.0])
    clipped = np.clip(y, -c, c)
    assert ((y - x) ** 2 / (4 * c) - (y - clipped) + x / c * clipped >= -1e-9).all()


def test_symmetric_noise_rests_at_the_minimum_if_some_of_it_is_shorter_than_c():
    """And without that everywhere from −2 to 2: the exception that the lesson owns up to."""
    places = np.linspace(-1.9, 1.9, 39)[:, None]
    far, some = np.array([-3.0, 3.0]), np.array([-3.0, -0.5, 0.5, 3.0])
    assert np.clip(places + far, -1, 1).mean(-1) == pytest.approx(0 * places[:, 0])
    pushes = np.clip(places + some, -1, 1).mean(-1)
    assert (np.sign(pushes) == np.sign(places[:, 0].round(9))).all()


def test_no_move_of_the_resting_demo_has_runs_of_its_own():
    for chance, rate in ((0.02, "0.02"), (0.2, "0.2")):
        result = lesson.come_to_rest(lesson.RestingState(chance=chance, learning_rate=rate))
        paths, ends = lesson.rest(chance, rate, lesson.EVERY_THRESHOLD)
        np.testing.assert_allclose(result.measured, ends[:-1], rtol=1e-12)
        np.testing.assert_allclose(result.raw_path, paths[:, -1], rtol=1e-12)
    stops = controls_of(lesson.RestingState)
    assert len(lesson._all_rests()) == len(stops["chance"].values) * len(lesson.RATES)


@pytest.mark.parametrize("c", [2.0, 2.3, 2.64, 3.9])
def test_the_sentence_knows_where_no_spike_is_clipped(c):
    said = lesson.read_resting(lesson.come_to_rest(lesson.RestingState(max_norm=c)))
    assert "no spike is longer than c near the minimum" in said
    below = lesson.read_resting(lesson.come_to_rest(lesson.RestingState(max_norm=c - 2 + 0.26)))
    assert ("the runs leave the minimum" in below) == (c - 2 + 0.26 < 2)


# ---- outliers


def root(z: np.ndarray, c: float) -> float:
    """By Newton's secant on sorted sums of Python floats, from a bracket: nothing of the package takes part."""
    low, high = -1.0, 30.0
    for _ in range(60):
        theta = (low + high) / 2
        pulls = [-x / (1 + math.exp(min(theta * x, 700))) for x in z]
        low, high = (theta, high) if math.fsum(max(-c, min(c, g)) for g in pulls) < 0 else (low, theta)
    return low


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0, math.inf])
def test_the_root_is_where_plain_sums_cancel(c):
    rng = np.random.default_rng(4)
    z = np.concatenate([rng.normal(1, 1, (2, 300)), np.full((2, 2), -50.0)], -1)
    found = clipped_root(z, c, bracket=(-1, 30), n_halvings=60)
    assert found.shape == (2,)
    assert found == pytest.approx([root(row.tolist(), c) for row in z], abs=1e-8)
    both = clipped_root(z, np.array([c, 2.0]), bracket=(-1, 30), n_halvings=60)
    assert both.shape == (2, 2)
    assert both[0].tolist() == found.tolist()


def test_the_root_is_where_per_example_descent_ends():
    z = np.append(np.random.default_rng(4).normal(1, 1, 200), [-30.0, -30.0])
    theta = np.zeros((1, 1))
    for _ in range(4000):
        theta = theta - 1.0 * clip_per_example(Logistic(z[:, None]).per_example(theta), 0.5)
    assert theta[0, 0] == pytest.approx(float(clipped_root(z, 0.5)), abs=1e-6)


def test_without_a_sign_change_the_nearer_end_is_returned():
    assert clipped_root(np.array([1.0, 2.0]), 1.0) == pytest.approx(20)
    assert clipped_root(np.array([-1.0, -2.0]), 1.0) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([[]], 1.0), "margins must be"),
        (([1.0], 0.0), "max_norm must be"),
        (([1.0], [[1.0]]), "max_norm must be"),
        (([np.nan], 1.0), "margins must be finite"),
        (([1.0], []), "max_norm must be"),
        (([1.0], np.nan), "max_norm must be"),
    ],
)
def test_bad_input_to_the_root_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        clipped_root(*arguments)


def test_a_bracket_upside_down_and_no_halving_are_refused():
    with pytest.raises(ValueError, match=r"bracket must be \(low, high\)"):
        clipped_root([1.0], 1.0, bracket=(2.0, 1.0))
    with pytest.raises(ValueError, match="n_halvings must be >= 1; got 0"):
        clipped_root([1.0], 1.0, n_halvings=0)
    with pytest.raises(ValueError, match="bracket must be finite; got inf"):
        clipped_root([1.0], 1.0, bracket=(-2.0, math.inf))
    for bracket, says in (
        (0, r"bracket must be \(low, high\)"),
        ((-2, True), "bracket must be a real number; got True"),
    ):
        with pytest.raises(TypeError, match=says):
            clipped_root([1.0], 1.0, bracket=bracket)
    with pytest.raises(TypeError, match=r"n_halvings must be a whole number; got 2.5"):
        clipped_root([1.0], 1.0, n_halvings=2.5)
    with pytest.raises(TypeError, match="max_norm must be one number or one row of numbers; got 'abc'"):
        clipped_root([1.0], "abc")
    with pytest.raises(TypeError, match="margins and params must be numpy arrays; got list, int"):
        slope_grads([1.0], 1)
    with pytest.raises(ValueError, match="margins must be"):
        Logistic([1.0])


def test_the_slope_has_the_gradient_of_its_loss_also_far_out():
    model = Logistic(np.array([[-200.0], [0.5], [3.0], [1.0]]))
    check_gradient(model, np.array([[0.3], [-2.0], [5.0]]), np.random.default_rng(0))
    assert model.per_example(np.array([[0.0]])).tolist() == [[[100.0], [-0.25], [-1.5], [-0.5]]]
    assert slope_grads(np.array([200.0]), np.array([50.0])).tolist() == [0.0]


def test_logistic_regression_is_that_of_plain_sums():
    z, theta = [[1.0, -2.0], [0.5, 3.0], [-4.0, 0.25]], (0.3, -0.7)
    reach = [a * theta[0] + b * theta[1] for a, b in z]
    model = Logistic(z)
    loss, grad = model.loss_and_grad(np.array([theta]))
    assert loss == pytest.approx([sum(math.log(1 + math.exp(-m)) for m in reach) / 3])
    each = [[-x / (1 + math.exp(m)) for x in row] for row, m in zip(z, reach, strict=True)]
    assert model.per_example(np.array(theta)) == pytest.approx(np.array(each))
    assert grad == pytest.approx(np.array([np.mean(each, axis=0)]))


def test_ten_neighbours_together_move_the_slopes_by_less_than_a_thousandth():
    for count in (0, 50, 500):
        z = lesson.margins(count)[:2]
        for c in (0.1, 1.0, math.inf):
            whole, few = clipped_root(z, c), clipped_root(lesson.grouped(z), c)
            assert few == pytest.approx(whole, abs=1e-3)


def test_the_slopes_of_the_lesson():
    def slope(c, count):
        return lesson.tug(lesson.OutliersState(max_norm=c, outliers=count)).slope

    column = [slope(1.0, count) for count in lesson.COUNTS]
    assert column == pytest.approx([2.11, 2.03, 1.95, 1.82, 1.50], abs=0.006)
    assert [slope(c, "50") for c in (0.1, 10.0, 1000.0)] == pytest.approx([4.36, 1.45, 0.0], abs=0.006)
    assert lesson.tug(lesson.OutliersState()).raw_slope == pytest.approx(0, abs=1e-3)
    assert lesson.tug(lesson.OutliersState(outliers="0")).raw_slope == pytest.approx(2.0, abs=0.01)


def test_the_threshold_that_gives_2_falls_as_outliers_are_added():
    lucky = []
    for count in ("50", "100", "200", "500"):
        result = lesson.tug(lesson.OutliersState(outliers=count))
        assert (np.diff(result.means) <= 1e-6).all()
        lucky.append(10 ** np.interp(-2, -result.means, np.log10(result.thresholds)))
    assert lucky == pytest.approx([1.10, 0.90, 0.71, 0.48], abs=0.01)
    for count in ("50", "100", "200", "500"):
        for c, helps in ((0.5, True), (1.0, True), (2.0, True), (0.1, count == "500")):
            result = lesson.tug(lesson.OutliersState(max_norm=c, outliers=count))
            assert (abs(result.slope - 2) < abs(result.raw_slope - 2)) == helps
    for c in (0.5, 1.0):
        clean = lesson.tug(lesson.OutliersState(max_norm=c, outliers="0"))
        assert abs(clean.slope - 2) > abs(clean.raw_slope - 2) + 0.05


def test_fifty_outliers_leave_the_gradient_of_the_batch_just_short_of_1():
    def longest(count):
        model = Logistic(lesson.margins(count)[0][:, None])
        return np.abs(model.loss_and_grad(np.linspace(-0.5, 2, 101)[:, None])[1]).max()

    assert longest(50) == pytest.approx(0.997, abs=5e-4)
    assert longest(51) > 1


def test_the_pulls_cancel_at_the_ring():
    for c, count in ((0.3, "50"), (1.0, "500"), (20.0, "50"), (0.1, "200")):
        result = lesson.tug(lesson.OutliersState(max_norm=c, outliers=count))
        good = np.interp(result.first_slope, result.slopes, result.good)
        assert good == pytest.approx(result.pull, rel=0.05)
        assert result.pull == pytest.approx(int(count) * c, rel=1e-6)


@pytest.mark.parametrize(("c", "count"), [(1.0, 50), (0.2, 500), (30.0, 100)])
def test_the_pulls_are_sums_over_the_first_data_set(c, count):
    result = lesson.tug(lesson.OutliersState(max_norm=c, outliers=str(count)))
    rng = np.random.default_rng(20)
    good, bad = rng.normal(1, 1, (20, 10_000))[0], rng.normal(-200, 1, (20, 500))[0, :count]
    for k in (0, 2, 40, 80, 106):
        theta = result.slopes[k]
        right, wrong = (z / (1 + np.exp(np.minimum(theta * z, 700))) for z in (good, bad))
        assert result.raw_good[k] == pytest.approx(max(right.sum(), 1e-3), rel=2e-3, abs=2)
        assert result.good[k] == pytest.approx(max(np.clip(right, -c, c).sum(), 1e-3), rel=2e-3, abs=2)
        assert result.raw_bad[k] == pytest.approx(max(-wrong.sum(), 1e-3), rel=1e-9)
        assert result.bad[k] == pytest.approx(max(-np.clip(wrong, -c, c).sum(), 1e-3), rel=1e-9)


def test_the_band_is_from_the_least_to_the_largest_of_20_roots():
    result = lesson.tug(lesson.OutliersState())
    at = result.thresholds.tolist().index(1.0)
    roots = clipped_root(lesson.grouped(lesson.margins(50)), 1.0, bracket=(-1.0, 20.0))
    n = len(result.thresholds)
    assert result.band[at] == pytest.approx([1.0, roots.min()], abs=1e-6)
    assert result.band[2 * n - 1 - at] == pytest.approx([1.0, roots.max()], abs=1e-6)
    assert roots.min() + 0.05 < result.means[at] + 0.03 < roots.max()
    assert result.spread == pytest.approx(roots.std(), abs=1e-6)


@pytest.mark.parametrize("clip", [lesson.EACH, lesson.MEAN])
@pytest.mark.parametrize("batch", [1, 16])
def test_both_heaps_are_counted(clip, batch):
    result = lesson.average(lesson.UCurveState(batch=batch, clip=clip, max_norm=1.2))
    noise = np.random.default_rng(6).pareto(2.5, 2**18) - 2 / 3
    n = min(2**13, 2**18 // batch)
    g = 1 + noise[: n * batch].reshape(n, batch)
    heaps = {"raw": g.mean(-1), "clipped": np.minimum(g, 1.2).mean(-1) if clip == lesson.EACH else None}
    if clip == lesson.MEAN:
        heaps["clipped"] = np.minimum(g.mean(-1), 1.2)
    for heap, shares in ((heaps["raw"], result.raw_shares), (heaps["clipped"], result.shares)):
        counted, _ = np.histogram(heap, np.append(result.places - 0.05, result.places[-1] + 0.05))
        assert shares == pytest.approx(counted / n, abs=2.5 / n)


def test_what_leaves_a_cache_cannot_be_written_to():
    cached = (
        *lesson._margins(),
        lesson._noise(),
        lesson._noise_of_means(4),
        lesson._good_pulls(),
        lesson._all_slopes()[50],
    )
    for array in (*cached, *lesson.rest(0.1, "0.2", (1.0,)), *lesson._curve_of_means(4, 1.0)):
        assert not array.flags.writeable


def test_many_outliers_unclipped_leave_a_slope_just_below_zero():
    """Where 500 outliers at −200 pull as hard as the good examples do at 0, each by 200·σ(200θ) with θ < 0."""
    result = lesson.tug(lesson.OutliersState(max_norm=1000.0, outliers="500"))
    assert result.slope == pytest.approx(math.log(0.05 / 0.95) / 200, abs=2e-3)
    assert "c = 1,000" in lesson.read_outliers(result)
    assert "θ = −0.01" in lesson.read_outliers(result)


def test_the_curve_without_outliers_is_drawn_once_for_all():
    result = lesson.tug(lesson.OutliersState())
    drawing = lesson.OUTLIERS.figure(result)
    lines = [line.get_xydata() for line in drawing.axes["slopes"].lines]
    assert any(line.shape == (61, 2) and np.allclose(line, against(result.thresholds, result.clean)) for line in lines)
    assert (result.clean >= result.means - 1e-9).all()


def test_clipping_the_batch_ends_at_the_outliers_zero():
    model = Logistic(lesson.margins(50)[0][::5, None])  # a fifth: 2000 good ones and 10 outliers
    run = sweep(
        model,
        np.array([2.0]),
        SGD,
        ClipByGlobalNorm,
        learning_rates=np.array([0.1, 1.0]),
        thresholds=np.array([0.1, 1.0]),
        n_steps=300,
    )
    last = np.abs(run.params[-50:]).max((0, -1))
    assert (last < 0.4).all()
    assert (last[0] < 0.05).all()
    assert run.clipped[:, :, 1].sum() <= 2  # at the most the first step


# ---- the second bias


@pytest.mark.parametrize("c", [1.0, 4.0, 6.0, 8.0, 20.0])
def test_three_examples_rest_where_the_formula_says(c):
    x, whole = 5.0, 5.0
    for _ in range(8000):
        x -= 0.05 * sum(max(-c, min(c, x - a)) for a in (-3, -3, 9)) / 3
        whole -= 0.05 * max(-c, min(c, whole - 1))
    assert x == pytest.approx(min(-3 + c / 2, 1), abs=1e-6)
    assert whole == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("c", "exact"), [(1.0, True), (4.0, True), (6.0, True), (8.0, False), (20.0, True)])
def test_one_example_at_random_rests_there_too_but_not_at_the_corner(c, exact):
    def rests(rate, n_steps):
        rng, x = np.random.default_rng(3), np.full(8000, 5.0)
        ends = []
        for _ in range(n_steps):
            x = x - rate * np.clip(x - rng.choice([-3.0, -3.0, 9.0], 8000), -c, c)
            ends.append(x.mean())
        return np.mean(ends[n_steps // 2 :])

    miss = min(-3 + c / 2, 1) - rests(0.05, 1000)
    assert (abs(miss) < 0.06) == exact
    if not exact:
        assert 0.1 < miss < 0.25
        assert 0 < min(-3 + c / 2, 1) - rests(0.0125, 2000) < 0.7 * miss


def test_between_two_examples_all_is_flat():
    for x in (-2.0, -0.5, 0.0, 2.0):
        assert clip_by_global_norm(np.array([[x - 3], [x + 3]]), 1.0).sum() == 0
    assert clip_by_global_norm(np.array([[2.5 - 3], [2.5 + 3]]), 1.0).sum() == 0.5


# ---- predictions and sentences


def test_the_predictions_have_these_answers():
    assert lesson.PREDICTIONS["best"].truth() == "truth"
    assert lesson.PREDICTIONS["rest"].truth() == "same"
    assert lesson.PREDICTIONS["tighter"].truth() == "double"


@pytest.mark.parametrize("name", ["ucurve", "resting", "outliers"])
def test_every_sentence_is_readable_at_the_ends_of_all_controls_together(name):
    demo = lesson.LESSON.demos[name]
    controls = controls_of(demo.state)
    ends = [c.values if c.kind == "choice" else (c.low, c.high) for c in controls.values()]
    for values in product(*ends):
        sentence = demo.caption(demo.compute(demo.state(**dict(zip(controls, values, strict=True)))))
        assert not re.search(r"nan|inf|None|−0\.0+\b(?!\d)|-|e[+−]", sentence), sentence
        assert sentence.endswith(".")


def test_the_sentences_of_the_presets_read_as_in_the_lesson():
    said = {name: demo.caption(demo.compute(demo.state())) for name, demo in lesson.LESSON.demos.items()}
    for part in ("bias −0.310", "spread 0.246", "error of 0.396", "unclipped it is 1.491", "would be 1."):
        assert part in said["ucurve"]
    for part in ("= 0.1111;", "measured 0.11.", "σ²/(4c) = 0.1111"):
        assert part in said["resting"]
    for part in ("θ = 2.03", "would give 2.11", "leave 0.00"):
        assert part in said["outliers"]


def test_the_mouse_moves_the_threshold():
    assert lesson.hold_ucurve(lesson.UCurveState(), "estimates", 3.0, 0.1).max_norm == 3.0
    assert lesson.hold_ucurve(lesson.UCurveState(), "error", -3.0, 0.1).max_norm == 0.1
    state = lesson.RestingState()
    assert lesson.hold_resting(state, "paths", 3.0, 0.1) == state
    assert lesson.hold_resting(state, "rest", 9.0, 0.1).max_norm == 4.0
    state = lesson.OutliersState()
    assert lesson.hold_outliers(state, "pulls", 3.0, 500.0).max_norm == 10.0
    assert lesson.hold_outliers(state, "slopes", 20.0, 500.0).max_norm == 21.5
    assert lesson.hold_outliers(state, "slopes", -20.0, 500.0).max_norm == 0.1
    assert lesson.hold_outliers(replace(state, outliers="0"), "pulls", 1.0, 10.2).max_norm == 10.0


@pytest.mark.parametrize("x", [0.3, 0.777, 1.234, 3.3])
def test_where_other_thresholds_cost_more_the_mouse_moves_from_stop_to_stop(x):
    held = lesson.hold_resting(lesson.RestingState(), "rest", x, 0.1).max_norm
    assert held in controls_of(lesson.RestingState)["max_norm"].values
    held = lesson.hold_outliers(lesson.OutliersState(), "slopes", x, 0.1).max_norm
    assert held in controls_of(lesson.OutliersState)["max_norm"].values


# ---- exercises


@pytest.mark.parametrize("name", lesson.EXERCISES)
def test_the_exercises_know_their_wrong_answers_apart(name):
    exercise = lesson.EXERCISES[name]
    assert undistinguished(exercise) == []
    assert diagnose(exercise, exercise.solution).passed
    assert diagnose(exercise, exercise.stub).kind == "empty"
    for misconception in exercise.misconceptions:
        assert diagnose(exercise, misconception.function).misconception == misconception.name


RIGHT = {
    "clipped_mean": [
        lambda grads, max_norm: clip_per_example(grads, max_norm),
        lambda grads, max_norm: np.mean([clip_by_global_norm(g, max_norm) for g in grads], axis=0),
        lambda grads, max_norm: sum(g * min(1, max_norm / max(np.linalg.norm(g), 1e-30)) for g in grads) / len(grads),
        # as PyTorch has it, with an eps
        lambda grads, max_norm: np.mean(
            grads * np.minimum(1, max_norm / (np.linalg.norm(grads, axis=1, keepdims=True) + 1e-6)), axis=0
        ),
    ],
    "error_of": [
        lambda estimates, truth: np.sqrt(np.var(estimates) + (np.mean(estimates) - truth) ** 2),
        lambda estimates, truth: math.sqrt(sum((e - truth) ** 2 for e in estimates) / len(estimates)),
        lambda estimates, truth: np.linalg.norm(estimates - truth) / np.sqrt(len(estimates)),
    ],
    "resting_place": [
        lambda chance, spike, max_norm: max(chance * (spike - max_norm) / (1 - chance), 0),
        lambda chance, spike, max_norm: (spike - min(spike, max_norm)) * chance / (1 - chance),
        lambda chance, spike, max_norm: where_the_pushes_cancel(chance, spike, max_norm),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_pass(name):
    for answer in RIGHT[name]:
        report = diagnose(lesson.EXERCISES[name], answer)
        assert report.passed, report


def where_the_pushes_cancel(chance, spike, max_norm):
    low, high = -10.0 * spike, 10.0 * spike
    for _ in range(200):
        x = (low + high) / 2
        pushes = np.clip([x + spike, x - spike * chance / (1 - chance)], -max_norm, max_norm)
        low, high = (x, high) if chance * pushes[0] + (1 - chance) * pushes[1] < 0 else (low, x)
    return x


def rebinds_in_a_loop(grads, max_norm):
    for g in grads:
        n = np.linalg.norm(g)
        if n > max_norm:
            g = g * max_norm / n
    return grads.mean(axis=0)


def means_a_list(grads, max_norm):
    rows = []
    for g in grads:
        n = np.linalg.norm(g)
        rows.append(g * max_norm / n if n > max_norm else g)
    return np.mean(rows)


def comes_out_after_one_row(grads, max_norm):
    total = 0
    for g in grads:
        total = total + clip_by_global_norm(g, max_norm)
        return total / len(grads)


def has_no_else(grads, max_norm):
    total = np.zeros(grads.shape[1])
    for g in grads:
        n = np.linalg.norm(g)
        if n > max_norm:
            total += g * max_norm / n
    return total / len(grads)


def factor_for_all(grads, max_norm, norm):
    return grads.mean(0) * min(1, max_norm / norm)


# Written as learners write them, not as the misconceptions are.
WRONG = [
    ("clipped_mean", comes_out_after_one_row, "returns_after_the_first_row"),
    ("clipped_mean", has_no_else, "loses_the_short_rows"),
    (
        "clipped_mean",
        lambda grads, max_norm: factor_for_all(grads, max_norm, max(np.linalg.norm(g) for g in grads)),
        "lets_the_longest_row_decide",
    ),
    (
        "clipped_mean",
        lambda grads, max_norm: factor_for_all(grads, max_norm, np.mean([np.linalg.norm(g) for g in grads])),
        "takes_the_mean_of_the_norms",
    ),
    ("clipped_mean", lambda grads, max_norm: clip_by_global_norm(grads.sum(0), max_norm) / len(grads), "clips_the_sum"),
    (
        "clipped_mean",
        lambda grads, max_norm: clip_per_example(grads, max_norm / len(grads)),
        "gives_each_row_its_share_of_c",
    ),
    (
        "clipped_mean",
        lambda grads, max_norm: np.mean([g / max(1, math.sqrt(np.mean(g * g)) / max_norm) for g in grads], axis=0),
        "averages_the_squares",
    ),
    (
        "clipped_mean",
        lambda grads, max_norm: np.mean(
            [np.full(g.shape, max_norm) if np.linalg.norm(g) > max_norm else g for g in grads], axis=0
        ),
        "puts_c_in_place_of_long_rows",
    ),
    ("error_of", lambda estimates, truth: (estimates.mean() - truth) ** 2, "takes_the_squared_bias"),
    ("error_of", lambda estimates, truth: np.std(estimates) / len(estimates) ** 0.5, "takes_the_standard_error"),
    ("error_of", lambda estimates, truth: np.std(estimates, ddof=1), "changes_the_divisor_alone"),
    ("error_of", lambda estimates, truth: np.mean((truth - estimates) ** 2) ** 1 / 2, "writes_a_half_without_brackets"),
    ("error_of", lambda estimates, truth: np.sqrt(np.mean((truth + estimates) ** 2)), "adds_the_truth"),
    (
        "resting_place",
        lambda chance, spike, max_norm: chance * max(spike - max_norm, 0) / 1 - chance,
        "writes_one_minus_p_without_brackets",
    ),
    (
        "resting_place",
        lambda chance, spike, max_norm: (1 - chance) * (chance * max(spike, max_norm) - chance * max_norm),
        "multiplies_by_the_other_chance",
    ),
    (
        "resting_place",
        lambda chance, spike, max_norm: max(0, chance * spike - max_norm) / (1 - chance),
        "takes_c_from_the_mean_of_the_spikes",
    ),
    ("clipped_mean", lambda grads, max_norm: grads.mean(0), "does_not_clip"),
    ("clipped_mean", rebinds_in_a_loop, "does_not_clip"),
    ("clipped_mean", means_a_list, "averages_over_everything"),
    (
        "clipped_mean",
        lambda grads, max_norm: (
            clip_by_global_norm(grads, max_norm).sum(0) / np.sum(np.linalg.norm(grads, axis=1) > max_norm).clip(1)
        ),
        "divides_by_the_clipped_rows",
    ),
    ("clipped_mean", lambda grads, max_norm: np.minimum(grads, max_norm).mean(0), "cuts_coordinates_from_above"),
    ("error_of", lambda estimates, truth: np.std(estimates - truth), "shifts_before_the_spread"),
    ("error_of", lambda estimates, truth: np.std(estimates) ** 2, "takes_the_variance"),
    ("error_of", lambda estimates, truth: truth - estimates.mean(), "takes_the_bias_backwards"),
    ("resting_place", lambda chance, spike, max_norm: min(chance * (spike - max_norm) / (1 - chance), 0), None),
    (
        "resting_place",
        lambda chance, spike, max_norm: chance * min(spike, max_norm) - spike * chance,
        "leaves_out_the_division_and_the_sign",
    ),
    (
        "resting_place",
        lambda chance, spike, max_norm: 0.1 * max(spike - max_norm, 0) / 0.9,
        "knows_only_one_in_ten",
    ),
]


@pytest.mark.parametrize(("name", "answer", "known_as"), WRONG)
def test_ordinary_wrong_answers_are_named(name, answer, known_as):
    assert diagnose(lesson.EXERCISES[name], answer).misconception == (known_as or "takes_the_smaller_one")


def test_a_missing_axis_is_told_which():
    [message] = [
        m.message for m in lesson.EXERCISES["clipped_mean"].misconceptions if m.name == "averages_over_everything"
    ]
    assert "`axis=0`" in message
    assert "axis=-1" not in diagnose(lesson.EXERCISES["clipped_mean"], means_a_list).detail


# ---- pictures and the page


HANDLES = {
    "ucurve": {"measured": "error"},
    "resting": {"here": "rest"},
    "outliers": {"here": "slopes"},
    "three": {"here": "rest"},
    "returns": {"cut": "tail", "here": "mean"},
    "losses": {"clipped squared here": "squared", "clipped margin here": "margin"},
    "flips": {"here": "slope"},
}


@pytest.mark.parametrize("name", HANDLES)
def test_what_is_dragged_is_drawn_whole_and_within_its_panel(name):
    demo = lesson.LESSON.demos[name]
    controls = controls_of(demo.state)
    ends = [c.values if c.kind == "choice" else (c.low, c.high) for c in controls.values()]
    drawing = demo.figure(demo.compute(demo.state()))
    for values in product(*ends):
        drawing.update(demo.compute(demo.state(**dict(zip(controls, values, strict=True)))))
        for handle, panel in HANDLES[name].items():
            [[x, y]] = drawing.data(handle)
            axes = drawing.axes[panel]
            assert axes.get_xlim()[0] <= x <= axes.get_xlim()[1]
            assert axes.get_ylim()[0] <= y <= axes.get_ylim()[1]
            assert not drawing._named[handle].get_clip_on()


def test_printed_lines_fit_a_page_at_twice_the_size():
    [path] = (Path(__file__).resolve().parent.parent / "notebooks").glob("06_*.ipynb")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            for line in "".join(output.get("text", "")).splitlines():
                assert len(line) <= 66, line


def test_by_spread_alone_the_smallest_threshold_always_wins():
    spreads = lesson.average(lesson.UCurveState()).spreads
    assert (np.diff(spreads) >= 0).all()
