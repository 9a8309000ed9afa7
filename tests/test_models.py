"""Each model against its own loss and its formula, and the facts that lessons state."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest

from gclip_lessons.clipping import ClipByGlobalNorm, NoClip
from gclip_lessons.data import google_prices, standardize
from gclip_lessons.models import MODELS, Cosh, LineFit, Noisy, Quadratic, TwoLayer, check_gradient
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import sweep, train


@pytest.fixture
def rng():
    return np.random.default_rng(8)


# Every model --------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [(), (3,), (2, 3)])
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_loss(name, runs, rng):
    model = MODELS[name]
    assert check_gradient(model, rng.normal(size=(*runs, model.n_params)), rng) < 1e-7


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_equals_its_runs_alone(name, rng):
    model = MODELS[name]
    params = rng.normal(size=(4, 3, model.n_params))
    before = params.copy()
    loss, grad = model.loss_and_grad(params, 0)
    np.testing.assert_array_equal(params, before)
    assert (loss.shape, grad.shape) == ((4, 3), params.shape)
    for run in np.ndindex(4, 3):
        loss_alone, grad_alone = model.loss_and_grad(params[run], 0)
        np.testing.assert_allclose(loss[run], loss_alone, rtol=1e-13)
        np.testing.assert_allclose(grad[run], grad_alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_models_compute_in_float64(name, dtype):
    model = MODELS[name]
    loss, grad = model.loss_and_grad(np.ones((2, model.n_params), dtype), 0)
    assert loss.dtype == grad.dtype == np.float64


@pytest.mark.parametrize("name", MODELS)
def test_params_of_another_shape_are_refused(name):
    model = MODELS[name]
    n = model.n_params
    for shape in ((n + 1,), (n, 1 if n > 1 else 2), ()):
        message = rf"params must be \(\*runs, {n}\); got shape {re.escape(str(shape))}"
        with pytest.raises(ValueError, match=message):
            model.loss_and_grad(np.ones(shape), 0)
    for junk in ("nothing", [1.0] * (n - 1) + [[1.0, 2.0]]):
        with pytest.raises(TypeError, match="params must be an array of numbers; got"):
            model.loss_and_grad(junk, 0)
    loss, grad = model.loss_and_grad([1.0] * n, 0)
    assert (np.shape(loss), grad.shape) == ((), (n,))


class WrongGradient:
    """A model whose gradient is what `spoil` makes of the right one."""

    def __init__(self, model, spoil):
        self.model, self.spoil, self.n_params = model, spoil, model.n_params

    def loss_and_grad(self, params, step):
        loss, grad = self.model.loss_and_grad(params, step)
        return loss, self.spoil(grad)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: -g,
        lambda g: 2 * g,
        lambda g: g * (1 + 1e-5),
        lambda g: g[..., ::-1],
        lambda g: np.where(np.arange(g.shape[-1]) == 0, 0.0, g),
        lambda g: g * np.nan,
        lambda g: 0 * g,
    ],
    ids=["sign", "factor 2", "one in 1e5", "reversed", "one entry missing", "NaN", "zero"],
)
@pytest.mark.parametrize("name", MODELS)
def test_a_wrong_gradient_is_found(name, spoil, rng):
    model = MODELS[name]
    with pytest.raises(AssertionError, match="wrong gradient in direction"):
        check_gradient(WrongGradient(model, spoil), rng.normal(size=(2, model.n_params)), rng)


def test_the_message_of_a_wrong_gradient_gives_both_numbers_direction_run_and_h(rng):
    model = WrongGradient(Quadratic.diagonal([1.0]), lambda g: g + np.array([[0.0], [1.0]]))
    with pytest.raises(AssertionError) as caught:
        check_gradient(model, np.array([[3.0], [4.0]]), rng, h=1e-4)
    number = r"[-+]?[\d.e-]+"
    found = re.fullmatch(
        rf"wrong gradient in direction 0 of run \(1,\): the gradient gives a slope of ({number}), "
        rf"the central difference ({number}) \(h=0.0001, relative error 0.2\)",
        str(caught.value),
    )
    slope, difference = (abs(float(text)) for text in found.groups())
    assert (slope, difference) == (pytest.approx(5), pytest.approx(4))


def test_a_gradient_of_the_wrong_shape_is_found(rng):
    model = WrongGradient(Cosh(2), lambda g: g[..., :1])
    with pytest.raises(AssertionError, match=r"shapes \(3,\) and \(3, 2\); got \(3,\) and \(3, 1\)"):
        check_gradient(model, np.ones((3, 2)), rng)


def test_the_check_passes_step_on(rng):
    class Drifting:
        n_params = 1

        def loss_and_grad(self, params, step):
            return step * params[..., 0] ** 2, 2 * step * params

    assert check_gradient(Drifting(), np.array([3.0]), rng, step=7) < 1e-8


# Quadratic ----------------------------------------------------------------------------------------


def test_quadratic_is_its_formula(rng):
    root = rng.normal(size=(4, 4))
    hessian, minimum, x = root @ root.T, rng.normal(size=4), rng.normal(size=4)
    model = Quadratic(hessian, minimum)
    loss, grad = model.loss_and_grad(x)
    assert loss == pytest.approx(0.5 * (x - minimum) @ hessian @ (x - minimum))
    np.testing.assert_allclose(grad, hessian @ (x - minimum))
    np.testing.assert_allclose(model.curvatures, np.linalg.eigvalsh(hessian))
    assert model.loss_and_grad(minimum)[0] == 0


def test_quadratic_constructors():
    np.testing.assert_array_equal(Quadratic.diagonal([1, 100]).hessian, [[1, 0], [0, 100]])
    assert Quadratic.diagonal([3, -1]).largest_curvature == 3
    valley = Quadratic.valley(50.0, angle=0.3)
    np.testing.assert_allclose(valley.curvatures, [1, 50])
    floor = np.array([math.cos(0.3), math.sin(0.3)])
    assert valley.loss_and_grad(floor)[0] == pytest.approx(0.5)


def test_descent_on_a_quadratic_is_stable_up_to_two_over_the_largest_curvature():
    model = Quadratic.valley(40.0, angle=1.0)
    rates = 2 / model.largest_curvature * np.array([0.99, 1.01])
    path = train(model, np.array([1.0, 1.0]), SGD(rates), n_steps=2000)
    assert path.loss[-1, 0] < 1e-6
    assert path.loss[-1, 1] > 1e6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1.0, 2.0]],), ValueError, r"hessian must be a square \(n, n\) array; got shape \(1, 2\)"),
        (([[1.0, 2.0], [3.0, 4.0]],), ValueError, "hessian must be symmetric"),
        (([[math.nan]],), ValueError, "hessian must be finite; got nan"),
        ((np.empty((0, 0)),), ValueError, "hessian must be a square"),
        (("bowl",), TypeError, "hessian must be an array of real numbers; got 'bowl'"),
        (([[1.0], [2.0, 3.0]],), TypeError, "hessian must be an array of real numbers"),
        (([[True]],), TypeError, "hessian must be an array of real numbers"),
        (([[1.0]], [1.0, 2.0]), ValueError, r"minimum must have the shape \(1,\); got \(2,\)"),
        (([[1.0]], [math.inf]), ValueError, "minimum must be finite; got inf"),
    ],
)
def test_quadratic_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        Quadratic(*arguments)


def test_quadratic_constructors_refuse():
    with pytest.raises(ValueError, match=r"condition must be >= 1; got 0\.5"):
        Quadratic.valley(0.5)
    with pytest.raises(ValueError, match="condition must be finite; got inf"):
        Quadratic.valley(math.inf)
    with pytest.raises(TypeError, match="condition must be a real number; got 'a'"):
        Quadratic.valley("a")
    with pytest.raises(TypeError, match="angle must be a real number; got None"):
        Quadratic.valley(2.0, angle=None)
    with pytest.raises(ValueError, match="angle must be finite; got nan"):
        Quadratic.valley(2.0, angle=math.nan)
    with pytest.raises(ValueError, match=r"curvatures must be one row of numbers \(n,\)"):
        Quadratic.diagonal([[1.0]])


# Cosh ---------------------------------------------------------------------------------------------


def test_cosh_is_its_formula_and_its_curvature_is_bounded_by_its_gradient(rng):
    x = rng.normal(size=(100, 2)) * 5
    loss, grad = Cosh(2).loss_and_grad(x)
    np.testing.assert_allclose(loss, np.cosh(x[:, 0]) + np.cosh(x[:, 1]))
    np.testing.assert_array_equal(grad, np.sinh(x))
    assert (np.cosh(x).max(-1) <= 1 + np.linalg.norm(grad, axis=-1)).all()


def test_cosh_steps_to_a_gradient_of_one_millionth():
    """Zhang et al., ICLR 2020, from (10, 1): the step counts that lesson 05 prints."""
    model, start = Cosh(2), np.array([10.0, 1.0])

    def steps(trajectory):
        below = trajectory.grad_norm <= 1e-6
        return np.where(below.any(0), below.argmax(0), -1).tolist()

    assert steps(train(model, start, SGD(np.array([0.0017, 0.0019])), n_steps=9000)) == [8557, -1]
    clipper = ClipByGlobalNorm(np.array([1.0, 0.1, 1.0]))
    assert steps(train(model, start, SGD(np.array([0.5, 0.5, 1.0])), clipper, n_steps=300)) == [39, 218, 12]


def test_cosh_descent_diverges_above_its_limit():
    limit = 20 / math.sinh(10)  # |x − η·sinh x| < |x| at x = 10
    path = train(Cosh(2), np.array([10.0, 1.0]), SGD(limit * np.array([0.999, 1.001])), n_steps=2000)
    assert limit == pytest.approx(0.001816, abs=1e-6)
    assert path.diverged.tolist() == [False, True]


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError), ("2", TypeError)])
def test_cosh_refuses(bad, error):
    with pytest.raises(error, match=r"n_params must be .*got"):
        Cosh(bad)


# LineFit ------------------------------------------------------------------------------------------


def residual_formula(x, y, params):
    """Loss and gradient straight from the residuals of all points."""
    residual = params[..., :1] * x + params[..., 1:] - y
    return 0.5 * (residual**2).mean(-1), np.stack([(residual * x).mean(-1), residual.mean(-1)], axis=-1)


@pytest.mark.parametrize("centre", [0.0, 1e4, 1e8])
def test_line_equals_its_residuals(centre, rng):
    x = centre + rng.normal(size=200) * 30
    y = 3 + 0.2 * (x - centre) + rng.normal(size=200)
    model = LineFit(x, y)
    params = model.least_squares() + rng.normal(size=(5, 4, 2))
    loss, grad = model.loss_and_grad(params)
    expected_loss, expected_grad = residual_formula(x, y, params)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-9)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-9)
    np.testing.assert_allclose(model.predict(params), params[..., :1] * x + params[..., 1:])


def test_line_in_closed_form(rng):
    x, y = rng.normal(size=50), rng.normal(size=50)
    model = LineFit(x, y)
    np.testing.assert_allclose(model.least_squares(), np.polyfit(x, y, 1), rtol=1e-10)
    assert model.rmse(model.constant()) == pytest.approx(y.std())
    np.testing.assert_allclose(model.loss_and_grad(model.least_squares())[1], 0, atol=1e-14)


def test_line_costs_no_more_with_more_points(rng):
    """What it keeps for a step are numbers, not points: a step cannot depend on how many there were."""
    model = LineFit(np.arange(1000.0), rng.normal(size=1000))
    used = {key: value for key, value in vars(model).items() if key.startswith("_")}
    assert len(used) == 5
    assert all(isinstance(value, float) for value in used.values())


@pytest.fixture(scope="module")
def prices():
    return google_prices()


def test_prices_best_line_and_best_constant(prices):
    model = LineFit(*prices)
    assert round(float(model.rmse(model.least_squares()))) == 73
    assert round(float(model.rmse(model.constant()))) == 143


def test_prices_on_raw_dates_explode_at_step_21_to_29_without_clipping(prices):
    path = train(LineFit(*prices), np.zeros(2), SGD(np.array([0.1, 0.01, 0.001])), NoClip(), n_steps=3000)
    assert path.diverged.all()
    assert path.first_nonfinite.tolist() == [21, 25, 29]


def test_prices_on_raw_dates_stay_finite_with_clipping_and_fit_badly(prices):
    model = LineFit(*prices)
    path = sweep(
        model,
        np.zeros(2),
        SGD,
        ClipByGlobalNorm,
        learning_rates=[0.1, 0.01, 0.001],
        thresholds=[0.01, 0.1, 1, 10, 100, 1000],
        n_steps=3000,
    )
    rmse = model.rmse(path.params[-1])
    assert not path.diverged.any()
    assert round(float(rmse.min())) == 131
    assert np.sum(rmse < model.rmse(model.constant())) == 6
    # What 131 is: the best line through the origin, for the height b has hardly moved.
    x, y = prices
    through_origin = np.array([x @ y / (x @ x), 0.0])
    assert rmse.min() == pytest.approx(model.rmse(through_origin), rel=1e-4)
    assert np.abs(path.params[-1, ..., 1]).max() < 1


def test_prices_on_scaled_dates_need_no_clipping(prices):
    days, price = prices
    model = LineFit(standardize(days), price)
    path = train(model, np.zeros(2), SGD(0.1), n_steps=3000)
    np.testing.assert_allclose(path.params[-1], model.least_squares(), rtol=1e-9)
    assert round(float(model.rmse(path.params[-1]))) == 73
    assert round(float(model.rmse(path.params[100]))) == 73


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([1.0, 2.0], [1.0], ValueError, r"got shapes \(2,\) and \(1,\)"),
        ([1.0], [1.0], ValueError, "2 points or more"),
        ([[1.0, 2.0]], [[1.0, 2.0]], ValueError, r"x and y must both be \(points,\)"),
        ([1.0, 1.0], [1.0, 2.0], ValueError, "x must not be constant; got 1.0 2 times"),
        ([1.0, math.nan], [1.0, 2.0], ValueError, "x must be finite; got nan"),
        ([1.0, 2.0], [1.0, -math.inf], ValueError, "y must be finite; got -inf"),
        ([1.0, 2.0], ["a", "b"], TypeError, "y must be an array of real numbers; got"),
    ],
)
def test_line_refuses(x, y, error, message):
    with pytest.raises(error, match=message):
        LineFit(x, y)


# TwoLayer -----------------------------------------------------------------------------------------


@pytest.fixture
def network(rng):
    return TwoLayer(rng.normal(size=(6, 3)), rng.normal(size=6), hidden=4)


def test_network_is_its_formula(network, rng):
    params = network.init(rng) + 0.1
    w1, b1, w2, b2 = (params[block] for block in network.blocks)
    out = []
    for row in network.x:
        h = [math.tanh(sum(w1[3 * j + i] * row[i] for i in range(3)) + b1[j]) for j in range(4)]
        out.append(sum(w2[j] * h[j] for j in range(4)) + b2[0])
    np.testing.assert_allclose(network.predict(params), out)
    assert network.loss_and_grad(params)[0] == pytest.approx(0.5 * np.mean((np.array(out) - network.y) ** 2))


def test_network_gradient_equals_a_full_central_difference(network, rng):
    params = network.init(rng)
    grad = network.loss_and_grad(params)[1]
    h = 1e-6 * np.eye(network.n_params)
    difference = (network.loss_and_grad(params + h)[0] - network.loss_and_grad(params - h)[0]) / 2e-6
    np.testing.assert_allclose(grad, difference, atol=1e-8)


def test_network_blocks_cover_each_parameter_once(network):
    assert network.n_params == 4 * 3 + 4 + 4 + 1
    assert (network.blocks[0].start, network.blocks[-1].stop) == (0, network.n_params)
    assert all(left.stop == right.start for left, right in pairwise(network.blocks))
    assert len(network.blocks) == 4


def test_network_init_is_seeded_and_scaled(network):
    params = network.init(np.random.default_rng(1), runs=(5000,))
    np.testing.assert_array_equal(params, network.init(np.random.default_rng(1), runs=(5000,)))
    w1, b1, w2, b2 = (params[:, block] for block in network.blocks)
    assert w1.std() == pytest.approx(3**-0.5, rel=0.02)
    assert w2.std() == pytest.approx(4**-0.5, rel=0.02)
    assert not b1.any()
    assert not b2.any()


def test_network_learns(network, rng):
    path = train(network, network.init(rng, runs=(3,)), SGD(0.2), n_steps=500)
    assert (path.loss[-1] < 0.5 * path.loss[0]).all()


@pytest.mark.parametrize(
    ("x", "y", "hidden", "error", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0], 2, ValueError, r"x must be \(examples, n_in\)"),
        ([[1.0], [2.0]], [1.0], 2, ValueError, r"got shapes \(2, 1\) and \(1,\)"),
        (np.empty((0, 2)), np.empty(0), 2, ValueError, "not empty"),
        ([[1.0]], [1.0], 0, ValueError, "hidden must be >= 1; got 0"),
        ([[1.0]], [1.0], 2.0, TypeError, "hidden must be a whole number; got 2.0"),
        ([[1.0]], [math.nan], 2, ValueError, "y must be finite; got nan"),
        ([[None]], [1.0], 2, TypeError, "x must be an array of real numbers"),
    ],
)
def test_network_refuses(x, y, hidden, error, message):
    with pytest.raises(error, match=message):
        TwoLayer(x, y, hidden)


# Noise --------------------------------------------------------------------------------------------


def test_noise_is_that_of_the_step_and_begins_again_after_the_last():
    noise = np.array([[1.0, 0.0], [0.0, -3.0]])
    model = Noisy(Quadratic.diagonal([1.0, 1.0]), noise)
    at = np.array([2.0, 4.0])
    for step, row in enumerate([*noise, *noise]):
        loss, grad = model.loss_and_grad(at, step)
        assert grad.tolist() == (at + row).tolist()
        assert loss == 10 + row @ at


def test_runs_that_share_an_axis_of_length_1_meet_the_same_noise(rng):
    noise = rng.normal(size=(30, 1, 5, 2))
    clipper = ClipByGlobalNorm(np.array([0.5, np.inf])[:, None])
    model = Noisy(Quadratic.diagonal([1.0, 2.0]), noise)
    together = train(model, np.ones((2, 5, 2)), SGD(0.1), clipper, n_steps=30)
    for i, c in enumerate((0.5, np.inf)):
        for seed in range(5):
            theta = np.ones(2)
            for xi in noise[:, 0, seed]:
                g = np.array([1.0, 2.0]) * theta + xi
                theta = theta - 0.1 * g * min(1.0, c / math.hypot(*g))
            np.testing.assert_allclose(together.params[-1, i, seed], theta, rtol=1e-9)


@pytest.mark.parametrize("noise", [[1.0, 2.0], [[1.0]], np.empty((0, 2)), np.ones((3, 4, 1))])
def test_noise_of_the_wrong_shape_is_refused(noise):
    with pytest.raises(ValueError, match=r"noise must be \(n_steps, \*runs, 2\); got shape"):
        Noisy(Cosh(2), noise)


def test_noise_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="noise must be finite; got nan"):
        Noisy(Cosh(1), [[np.nan]])


@pytest.mark.parametrize(
    ("noise", "params"), [((3, 4, 2), (2,)), ((3, 4, 2), (1, 2)), ((3, 4, 2), (5, 2)), ((3, 2, 4, 2), (4, 2))]
)
def test_runs_that_the_noise_does_not_fit_are_refused(noise, params):
    model = Noisy(Cosh(2), np.zeros(noise))
    with pytest.raises(ValueError, match=r"params must have runs that fit the noise \(.*\); got shape \(.*\)"):
        model.loss_and_grad(np.ones(params), 0)
    with pytest.raises(ValueError, match="params must have runs that fit the noise"):
        train(model, np.ones(params), SGD(0.1), n_steps=2)
