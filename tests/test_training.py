"""The vectorised loop against a plain one, run by run, and what a Trajectory says of a run."""

import math
import warnings
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from test_optimizers import scalar_step

from gclip_lessons.clipping import (
    CLIPPERS,
    AdaptiveClip,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    ClipPerExample,
    ClipSmoothly,
    NoClip,
    NormalizeGradient,
)
from gclip_lessons.models import Cosh, LineFit, Quadratic
from gclip_lessons.optimizers import OPTIMIZERS, SGD, Momentum
from gclip_lessons.training import _CHUNK, Trajectory, angle_between, sweep, train

BOWL = Quadratic.diagonal([1.0, 100.0])
START = np.array([1.0, 1.0])


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def assert_same(one, other, rtol=0.0):
    for field in fields(Trajectory):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.shape == b.shape, field.name
        np.testing.assert_allclose(a, b, rtol=rtol, atol=0, err_msg=field.name)


# Against a plain loop -----------------------------------------------------------------------------


def plain_clip(clipper, grad):
    n = math.hypot(*grad)
    match clipper:
        case ClipByGlobalNorm():
            return [g * min(1.0, clipper.max_norm / n) for g in grad]
        case ClipByValue():
            return [max(-clipper.max_value, min(clipper.max_value, g)) for g in grad]
        case ClipSmoothly():
            return [g * clipper.max_norm / (clipper.max_norm + n) for g in grad]
        case NoClip():
            return list(grad)


@pytest.mark.parametrize("clipper", [NoClip(), ClipByValue(0.5), ClipByGlobalNorm(0.7), ClipSmoothly(0.7)], ids=repr)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equal_to_a_plain_loop_over_floats(name, clipper):
    """Every recorded array, to 1e-12 of its size: the two differ only in the order of roundings."""
    optimizer, curvatures, n_steps = OPTIMIZERS[name](0.01), [2.0, 30.0, 0.5], 150
    ours = train(Quadratic.diagonal(curvatures), np.array([1.0, -2.0, 3.0]), optimizer, clipper, n_steps=n_steps)

    theta, memory = [1.0, -2.0, 3.0], [{} for _ in curvatures]
    plain = {field.name: [] for field in fields(Trajectory)}
    for t in range(1, n_steps + 2):
        grad = [a * x for a, x in zip(curvatures, theta, strict=True)]
        plain["params"].append(theta)
        plain["loss"].append(sum(0.5 * g * x for g, x in zip(grad, theta, strict=True)))
        if t > n_steps:
            break
        after = plain_clip(clipper, grad)
        steps = [scalar_step(optimizer, t, g, x, m) for g, x, m in zip(after, theta, memory, strict=True)]
        theta = [x - step for x, step in zip(theta, steps, strict=True)]
        plain["grad_norm"].append(math.hypot(*grad))
        plain["clipped_norm"].append(math.hypot(*after))
        plain["update_norm"].append(math.hypot(*steps))
        dot = sum(g * h for g, h in zip(grad, after, strict=True))
        plain["cosine"].append(dot / math.hypot(*grad) / math.hypot(*after))
        plain["clipped"].append(grad != after)
    for key, values in plain.items():
        size = np.abs(values).max()
        np.testing.assert_allclose(getattr(ours, key), values, rtol=1e-9, atol=1e-12 * size, err_msg=key)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    "rule",
    [ClipByGlobalNorm, ClipByValue, ClipSmoothly, ClipByNorm, AdaptiveClip],
    ids=lambda rule: rule.__name__,
)
def test_a_batch_equals_its_runs_alone_to_the_last_digit(rule, name, rng):
    params = rng.normal(size=(3, 2, 2))
    rates, limits = np.array([[0.001], [0.01], [0.05]]), np.array([[0.1, 2.0]])
    together = train(BOWL, params, OPTIMIZERS[name](rates), rule(limits), n_steps=40)
    assert together.runs == (3, 2)
    for i, j in np.ndindex(3, 2):
        alone = train(BOWL, params[i, j], OPTIMIZERS[name](float(rates[i, 0])), rule(float(limits[0, j])), n_steps=40)
        assert_same(together.run(i, j), alone)


def test_sweep_equals_nested_loops(rng):
    rates, limits, starts = [0.001, 0.01, 0.03], [0.5, 5.0], rng.normal(size=(4, 2))
    swept = sweep(BOWL, starts, Momentum, ClipByGlobalNorm, learning_rates=rates, thresholds=limits, n_steps=25)
    assert swept.runs == (3, 2, 4)
    for i, rate in enumerate(rates):
        for j, limit in enumerate(limits):
            for k, start in enumerate(starts):
                alone = train(BOWL, start, Momentum(rate), ClipByGlobalNorm(limit), n_steps=25)
                assert_same(swept.run(i, j, k), alone)


def test_sweep_from_one_start_and_without_a_threshold():
    swept = sweep(BOWL, START, SGD, lambda c: NoClip(), learning_rates=[0.001, 0.01], thresholds=[1.0], n_steps=5)
    assert swept.runs == (2, 1)
    assert_same(swept.run(1, 0), train(BOWL, START, SGD(0.01), n_steps=5))


@pytest.mark.parametrize("n_params", [2, 3, 7, 5000])
@pytest.mark.parametrize("n_steps", [1, 7, 50])
def test_records_do_not_depend_on_how_steps_are_gathered(n_params, n_steps, rng, monkeypatch):
    model = Quadratic.diagonal(np.ones(n_params)) if n_params < 100 else Cosh(n_params)
    args = (model, rng.normal(size=(3, n_params)), SGD(0.1), ClipByGlobalNorm(0.5))
    gathered = train(*args, n_steps=n_steps)
    monkeypatch.setattr("gclip_lessons.training._CHUNK", 1)
    assert_same(gathered, train(*args, n_steps=n_steps))
    assert _CHUNK > 1


@pytest.mark.parametrize("key", sorted(set(CLIPPERS) - {"per_example"}))
def test_every_rule_trains_and_is_measured_alike(key, rng):
    clipper = CLIPPERS[key]() if key == "none" else CLIPPERS[key](0.5)
    path = train(BOWL, rng.normal(size=(6, 2)), SGD(0.01), clipper, n_steps=30)
    gradients = path.params[:-1] * [1, 100]
    for step, run in np.ndindex(30, 6):
        g = gradients[step, run]
        h = clipper(g, path.params[step, run])
        assert path.grad_norm[step, run] == pytest.approx(np.linalg.norm(g))
        assert path.clipped_norm[step, run] == pytest.approx(np.linalg.norm(h))
        assert path.clipped[step, run] == (g != h).any()
    np.testing.assert_allclose(path.update_norm, 0.01 * path.clipped_norm)
    assert ((path.angle >= 0) & (path.angle <= 90)).all()


# What the lessons rely on -------------------------------------------------------------------------


def test_where_every_step_is_clipped_only_the_product_of_rate_and_threshold_matters():
    model, start = Quadratic.diagonal([3.0, 5.0]), np.array([100.0, 100.0])
    rates = np.array([0.5, 0.25, 0.125])  # powers of two, so that even the roundings agree
    path = train(model, start, SGD(rates), ClipByGlobalNorm(0.5 / rates), n_steps=100)
    assert path.clipped.all()
    assert (path.params == path.params[:, :1]).all()


def test_where_nothing_is_clipped_only_the_rate_matters():
    path = train(BOWL, START, SGD(0.001), ClipByGlobalNorm(np.array([1e3, 1e6])), n_steps=50)
    assert not path.clipped.any()
    assert_same(path.run(0), path.run(1))
    assert (path.scale == 1).all()
    assert (path.angle < 2e-6).all()


def test_too_high_a_rate_bounces_for_ever_at_half_rate_times_threshold():
    """Near the minimum clipping sleeps: η = .021 > 2/100, so the valley floor stays out of reach."""
    path = train(BOWL, START, SGD(0.021), ClipByGlobalNorm(1.0), n_steps=5000)
    last = path.params[-6:, 1]
    np.testing.assert_allclose(np.abs(last), 0.021 * 1.0 / 2, rtol=1e-12)
    assert (last[1:] * last[:-1] < 0).all()
    assert train(BOWL, START, SGD(0.021), n_steps=5000).diverged


def test_momentum_is_bounded_by_the_threshold_over_one_minus_beta(rng):
    beta, c, rate = 0.9, 0.5, 0.1
    path = train(
        Quadratic.diagonal([1e4, 1e4]),
        rng.normal(size=(20, 2)) * 100,
        Momentum(rate, beta),
        ClipByGlobalNorm(c),
        n_steps=400,
    )
    bound = rate * c / (1 - beta)
    assert path.update_norm.max() <= bound * (1 + 1e-12)
    assert path.update_norm.max() > 0.9 * bound


def test_clipping_by_norm_keeps_the_direction_and_by_value_does_not():
    start = np.array([10.0, 1.0])
    by_norm = train(BOWL, start, SGD(0.001), ClipByGlobalNorm(1.0), n_steps=1)
    by_value = train(BOWL, start, SGD(0.001), ClipByValue(1.0), n_steps=1)
    assert by_norm.angle[0] < 2e-6
    expected = 45 - math.degrees(math.atan2(10, 100))
    assert by_value.angle[0] == pytest.approx(expected)
    assert by_value.clipped_norm[0] == pytest.approx(math.sqrt(2))


# Divergence is data -------------------------------------------------------------------------------


def test_divergence_is_recorded_and_neither_raises_nor_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="raise"):
            path = train(BOWL, START, SGD(np.array([1.0, 0.001])), n_steps=200)
            assert path.diverged.tolist() == [True, False]
            first = path.first_nonfinite
            assert [path.scale.shape, path.angle.shape] == [(200, 2), (200, 2)]
    assert first[1] == 201
    assert np.isfinite(path.loss[: first[0], 0]).all()
    assert not np.isfinite(path.loss[first[0], 0])
    assert np.isnan(path.loss[-1, 0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_survives_divergence(name):
    path = train(Cosh(2), np.array([800.0, 1.0]), OPTIMIZERS[name](10.0), n_steps=20)
    assert path.loss[0] == np.inf
    assert path.first_nonfinite == 0
    assert path.clipped.dtype == bool


def test_a_run_that_comes_back_from_an_infinite_loss_has_not_diverged():
    path = train(Cosh(1), np.array([800.0]), SGD(1.0), ClipByValue(100.0), n_steps=10)
    assert path.first_nonfinite == 0
    assert not path.diverged
    assert path.scale[0] == 0
    assert np.isfinite(path.loss[-1])


def test_skipped_steps_change_nothing():
    path = train(Cosh(1), np.array([800.0]), SGD(1.0), ClipByGlobalNorm(1.0, nonfinite="zero"), n_steps=3)
    assert (path.params == 800).all()
    assert (path.update_norm == 0).all()
    assert path.clipped.all()


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 1e-310])
def test_norms_and_angles_neither_overflow_nor_underflow(size):
    class Steep:
        n_params = 2

        def loss_and_grad(self, params, step):
            return params[..., 0], np.broadcast_to([3 * size, 4 * size], params.shape)

    path = train(Steep(), START, SGD(1e-3), ClipByValue(3.5 * size), n_steps=3)
    np.testing.assert_allclose(path.grad_norm, 5 * size, rtol=1e-3)
    np.testing.assert_allclose(path.clipped_norm, math.hypot(3, 3.5) * size, rtol=1e-3)
    np.testing.assert_allclose(path.angle, math.degrees(math.atan2(4, 3) - math.atan2(3.5, 3)), rtol=1e-3)


def test_a_gradient_of_zero_has_scale_1_and_angle_0():
    path = train(BOWL, np.zeros(2), SGD(0.1), ClipByGlobalNorm(1.0), n_steps=2)
    assert (path.scale == 1).all()
    assert (path.angle == 0).all()
    assert not path.clipped.any()


# Shapes, dtypes, refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "rate", "limit", "runs"),
    [
        ((), (), (), ()),
        ((3,), (), (), (3,)),
        ((), (4,), (), (4,)),
        ((), (), (5,), (5,)),
        ((3,), (1,), (3,), (3,)),
        ((1,), (4,), (4,), (4,)),
        ((1, 1), (3, 1), (1, 4), (3, 4)),
        ((3, 4), (), (1, 4), (3, 4)),
        ((2, 1, 1), (1, 3, 1), (1, 1, 4), (2, 3, 4)),
        ((1,), (), (), (1,)),
    ],
)
def test_runs_are_the_common_shape(start, rate, limit, runs):
    path = train(BOWL, np.ones((*start, 2)), SGD(np.full(rate, 0.01)), ClipByGlobalNorm(np.full(limit, 1.0)), n_steps=3)
    assert path.runs == path.diverged.shape == path.first_nonfinite.shape == runs
    assert path.params.shape == (4, *runs, 2)
    assert path.loss.shape == (4, *runs)
    for values in (path.grad_norm, path.clipped_norm, path.update_norm, path.cosine, path.clipped):
        assert values.shape == (3, *runs)
    assert path.scale.shape == path.angle.shape == (3, *runs)
    assert path.n_steps == 3


@pytest.mark.parametrize(
    ("start", "rate", "limit"),
    [
        ((3,), (2,), ()),
        ((2, 3), (3,), ()),
        ((2, 3), (), (3,)),
        ((), (3,), (2,)),
        ((), (3,), (3, 1)),
        ((5,), (), (4,)),
    ],
)
def test_runs_that_match_by_accident_or_not_at_all_are_refused(start, rate, limit):
    with pytest.raises(ValueError, match="the axes of runs must agree") as caught:
        train(
            BOWL,
            np.ones((*start, 2)),
            SGD(np.full(rate, 0.01)),
            ClipByGlobalNorm(np.full(limit, 1.0)),
            n_steps=3,
        )
    assert f"params have {start}, learning_rate {rate}, threshold {limit}" in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_params_keep_their_dtype(name, dtype):
    seen = []

    def clipper(grad, params):
        seen.append((grad.dtype, params.dtype))
        return grad.copy()

    path = train(BOWL, START.astype(dtype), OPTIMIZERS[name](np.array([0.001, 0.01])), clipper, n_steps=3)
    assert path.params.dtype == dtype
    assert set(seen) == {(np.dtype(dtype), np.dtype(dtype))}


def test_a_plain_function_will_do_as_a_clipper():
    path = train(BOWL, START, SGD(0.01), lambda grad, params: grad / 2, n_steps=4)
    np.testing.assert_array_equal(path.scale, 0.5)


def test_the_start_is_copied_and_the_steps_are_counted():
    class Counting:
        n_params = 1
        steps = ()

        def loss_and_grad(self, params, step):
            self.steps += (step,)
            return params[..., 0] ** 2, 2 * params

    model, start = Counting(), np.array([1.0])
    path = train(model, start, SGD(0.25), n_steps=3)
    assert model.steps == (0, 1, 2, 3)
    assert start[0] == 1
    start[0] = 7.0
    assert path.params[:, 0].tolist() == [1, 0.5, 0.25, 0.125]
    assert path.loss.tolist() == [1, 0.25, 0.0625, 0.015625]


def test_a_trajectory_is_read_only():
    path = train(BOWL, START, SGD(0.01), n_steps=2)
    with pytest.raises(FrozenInstanceError):
        path.loss = None
    for field in fields(path):
        with pytest.raises(ValueError, match="read-only"):
            getattr(path, field.name)[0] = 0


def test_run_wants_one_integer_for_each_axis():
    path = train(BOWL, np.ones((2, 3, 2)), SGD(0.01), n_steps=2)
    assert path.run(1, -1).runs == ()
    with pytest.raises(ValueError, match=r"one integer for each axis of runs \(2, 3\); got \(1,\)"):
        path.run(1)
    with pytest.raises(IndexError):
        path.run(2, 0)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([1.0, 1.0], TypeError, r"params must be a numpy array of floats.*got \[1.0, 1.0\]"),
        (np.array([1, 1]), TypeError, "got an array of int64"),
        (np.ma.masked_array([1.0, 1.0], [0, 1]), TypeError, "got masked_array"),
        (np.array([1j, 1]), TypeError, "got an array of complex128"),
        (np.array(1.0), ValueError, r"as the model has; got \(\)"),
        (np.ones(3), ValueError, r"shape \(\*runs, 2\), as the model has; got \(3,\)"),
        (np.ones((0, 2)), ValueError, r"as the model has; got \(0, 2\)"),
        (np.array([1.0, math.nan]), ValueError, "params must be finite; got nan"),
    ],
)
def test_bad_params_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        train(BOWL, params, SGD(0.1), n_steps=1)
    with pytest.raises(error, match=message):
        sweep(BOWL, params, SGD, ClipByValue, learning_rates=[0.1], thresholds=[1.0], n_steps=1)


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_bad_n_steps_is_refused(bad, error):
    with pytest.raises(error, match=f"n_steps must be .*got {bad}"):
        train(BOWL, START, SGD(0.1), n_steps=bad)


@pytest.mark.parametrize("bad", [0.1, [], [[0.1]]])
def test_bad_axes_of_a_sweep_are_refused(bad):
    good = {"learning_rates": [0.1], "thresholds": [1.0]}
    for name in good:
        with pytest.raises(ValueError, match=f"{name} must be one row of numbers"):
            sweep(BOWL, START, SGD, ClipByValue, **(good | {name: bad}), n_steps=1)


def test_a_sweep_wants_makers_and_plain_values():
    values = {"learning_rates": [0.1], "thresholds": [1.0], "n_steps": 1}
    with pytest.raises(TypeError, match=r"optimizer must be a function of the values, .* got SGD"):
        sweep(BOWL, START, SGD(0.1), ClipByValue, **values)
    with pytest.raises(TypeError, match=r"clipper must be a function of the values, .* got ClipByValue"):
        sweep(BOWL, START, SGD, ClipByValue(1.0), **values)
    with pytest.raises(TypeError, match=r"max_value must be .*Masked"):
        sweep(BOWL, START, SGD, ClipByValue, **values | {"thresholds": np.ma.masked_array([1.0, 2.0], [0, 1])})


def test_a_rule_over_examples_is_refused_where_there_are_none():
    with pytest.raises(
        ValueError, match=r"clipper must return an array .* shape \(5, 2\); ClipPerExample.* gave shape"
    ):
        train(BOWL, np.ones((5, 2)), SGD(0.1), ClipPerExample(1.0), n_steps=1)


@pytest.mark.parametrize("returned", [[1.0, 1.0], None, np.ma.ones(2), np.ones(3), np.ones((1, 2))], ids=repr)
def test_a_clipper_that_returns_something_else_is_refused_at_any_step(returned):
    steps = iter([np.ones(2), returned])
    with pytest.raises(ValueError, match=r"clipper must return an array of the gradient's shape \(2,\); .* gave"):
        train(BOWL, START, SGD(0.1), lambda grad, params: next(steps), n_steps=2)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"optimizer": SGD}, "optimizer must be an object with learning_rate, init, update; got <class .*call it"),
        ({"optimizer": 0.1}, "optimizer must be .* got 0.1, which lacks learning_rate, init, update"),
        ({"clipper": ClipByGlobalNorm}, "clipper must be .*; got <class .*call it"),
        ({"clipper": None}, "clipper must be an object with __call__; got None"),
        ({"model": Quadratic}, "model must be .*; got <class .*call it"),
        ({"model": None}, "model must be an object with n_params, loss_and_grad; got None"),
    ],
)
def test_what_is_no_model_optimiser_or_clipper_is_named(bad, message):
    parts = {"model": BOWL, "optimizer": SGD(0.1), "clipper": NoClip()} | bad
    with pytest.raises(TypeError, match=message):
        train(parts["model"], START, parts["optimizer"], parts["clipper"], n_steps=1)


def test_normalised_steps_all_have_one_length():
    path = train(LineFit([0.0, 1.0], [1.0, 2.0]), START * 9, SGD(0.1), NormalizeGradient(2.0), n_steps=20)
    np.testing.assert_allclose(path.update_norm, 0.2)


# angle_between ------------------------------------------------------------------------------------


def test_angle_between():
    east, north = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    assert angle_between(east, north) == 90
    assert angle_between(east, -east) == 180
    assert angle_between(0 * east, 0 * east) == 0
    assert np.isnan(angle_between(0 * east, east))
    assert angle_between(np.array([1e200, 1e200]), np.array([1e-200, 0.0])) == pytest.approx(45)
    spike = np.array([1e4] + 9 * [1.0])
    assert angle_between(spike, np.ones(10)) == pytest.approx(math.degrees(math.acos(0.3165)), abs=0.01)
    assert angle_between(np.ones((4, 1, 3)), np.ones((5, 3))).shape == (4, 5)


# What comes back finite, and what does not ---------------------------------------------------------


def test_a_run_whose_parameters_alone_overflow_is_found():
    class Slope:
        n_params = 1

        def loss_and_grad(self, params, step):
            return np.zeros(params.shape[:-1]), np.full_like(params, -1e308)

    path = train(Slope(), np.zeros((1, 1)), SGD(1.0), n_steps=3)
    assert np.isfinite(path.loss).all()
    assert path.first_nonfinite.tolist() == [2]
    assert path.diverged.tolist() == [True]


def test_no_clip_never_counts_as_clipping_even_after_divergence() -> None:
    model = LineFit(np.arange(5.0) * 100, np.arange(5.0))
    run = train(model, np.zeros(2), SGD(0.5), NoClip(), n_steps=200)
    assert np.isnan(run.grad_norm[-1])
    assert not run.clipped.any()
