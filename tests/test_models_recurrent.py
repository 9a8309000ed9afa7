"""The recurrent models against plain Python loops, closed forms, and the bounds that lessons state."""

import math

import numpy as np
import pytest

from gclip_lessons.models import RNN, Recurrence, check_gradient


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def by_hand(w: float, b: float, n_steps: int = 50, start: float = 0.5, target: float = 0.7) -> tuple[float, ...]:
    """Loss, gradient and factors of the recurrence, with the derivatives carried forwards through time."""
    x, along_w, along_b, factors = start, 0.0, 0.0, []
    for _ in range(n_steps):
        s = sigmoid(x)
        factors.append(w * s * (1 - s))
        along_w, along_b = s + factors[-1] * along_w, 1 + factors[-1] * along_b
        x = w * s + b
    s = sigmoid(x)
    outer = 2 * (s - target) * s * (1 - s)
    return (s - target) ** 2, outer * along_w, outer * along_b, factors


POINTS = [(6.0, -2.5), (5.0, -2.0), (0.0, 0.0), (-3.0, 2.0), (4.5, -2.4), (1e4, -50.0), (3.0, 30.0)]


@pytest.mark.parametrize(("w", "b"), POINTS)
def test_the_recurrence_is_its_formula(w, b):
    loss, grad = Recurrence().loss_and_grad(np.array([w, b]))
    expected = by_hand(w, b)
    assert loss == pytest.approx(expected[0], rel=1e-9)
    assert grad == pytest.approx(expected[1:3], rel=1e-7, abs=1e-12)
    assert Recurrence().slopes(np.array([w, b])) == pytest.approx(expected[3], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_steps_start_and_target_are_the_ones_given(n_steps):
    model = Recurrence(n_steps, start=-1.0, target=0.2)
    loss, grad = model.loss_and_grad(np.array([2.0, 0.5]))
    expected = by_hand(2.0, 0.5, n_steps, -1.0, 0.2)
    assert (loss, *grad) == pytest.approx(expected[:3], rel=1e-12)
    outputs = model.outputs(np.array([2.0, 0.5]))
    assert len(outputs) == n_steps + 1
    assert outputs[0] == pytest.approx(sigmoid(-1.0))
    assert (outputs[-1] - 0.2) ** 2 == pytest.approx(loss)


@pytest.mark.parametrize("n_runs", [1, 63, 65, 500])
def test_few_runs_and_many_give_the_same(n_runs):
    params = np.random.default_rng(1).uniform([3, -4], [7, 0], (n_runs, 2))
    loss, grad = Recurrence().loss_and_grad(params)
    for run in {0, n_runs // 2, n_runs - 1}:
        expected = by_hand(*params[run].tolist())
        assert (loss[run], *grad[run]) == pytest.approx(expected[:3], rel=1e-6, abs=1e-12)


def test_the_recurrence_takes_runs_of_any_shape_and_leaves_them_alone():
    params = np.random.default_rng(2).uniform([3, -4], [7, 0], (3, 40, 2))
    before = params.copy()
    loss, grad = Recurrence().loss_and_grad(params)
    assert (params == before).all()
    flat_loss, flat_grad = Recurrence().loss_and_grad(params.reshape(-1, 2))
    assert (loss.ravel() == flat_loss).all()
    assert (grad.reshape(-1, 2) == flat_grad).all()


@pytest.mark.filterwarnings("error")
def test_far_away_nothing_warns_and_all_is_finite():
    far = np.array([[1e300, -1e300], [-1e300, 1e300], [1e300, 1e300], [-747.0, -1212.0]])
    loss, grad = Recurrence().loss_and_grad(far)
    assert np.isfinite(loss).all()
    assert np.isfinite(grad).all()


def test_below_w_4_no_factor_is_above_1_and_above_it_some_are():
    w = np.linspace(0.1, 8, 80)
    b = np.linspace(-5, 1, 241)
    params = np.stack(np.meshgrid(w, b), -1)
    largest = Recurrence().slopes(params).max((0, 1))
    assert (largest <= w / 4 + 1e-12).all()
    assert (largest[w < 4] < 1).all()
    assert (largest[w > 4.1] > 1).all()


@pytest.mark.parametrize("linear", [False, True])
def test_the_network_is_its_formula(linear):
    rng = np.random.default_rng(3)
    inputs, target, matrix = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 3))
    network = RNN(inputs, target, linear=linear)
    h = [0.0, 0.0, 0.0]
    for x in inputs.tolist():
        z = [sum(m * v for m, v in zip(row, h, strict=True)) + x_i for row, x_i in zip(matrix.tolist(), x, strict=True)]
        h = z if linear else [math.tanh(v) for v in z]
    loss, _ = network.loss_and_grad(matrix.ravel())
    assert network.forward(matrix.ravel())[-1] == pytest.approx(h)
    assert loss == pytest.approx(0.5 * sum((a - b) ** 2 for a, b in zip(h, target.tolist(), strict=True)))
    assert check_gradient(network, matrix.ravel(), rng, h=1e-6, rtol=1e-5) < 1e-5


def test_parts_of_a_gradient_add_up_to_it():
    """Each part is computed here as the gradient for a matrix of its own in that step, by differences."""
    rng = np.random.default_rng(4)
    inputs, target, matrix = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(2, 2))
    network = RNN(inputs, target)

    def loss(matrices):
        h = np.zeros(2)
        for m, x in zip(matrices, inputs, strict=True):
            h = np.tanh(m @ h + x)
        return 0.5 * np.sum((h - target) ** 2)

    parts = np.zeros((3, 2, 2))
    for index in np.ndindex(parts.shape):
        step = np.zeros((3, 2, 2))
        step[index] = 1e-6
        parts[index] = (loss(matrix + step) - loss(matrix - step)) / 2e-6
    h = network.forward(matrix.ravel())
    delta = network.backward(matrix.ravel(), h)
    assert network.part_norms(h, delta) == pytest.approx(np.linalg.norm(parts, axis=(1, 2)), abs=1e-8)
    assert network.gradient(h, delta) == pytest.approx(parts.sum(0).ravel(), abs=1e-8)
    assert (network.loss_and_grad(matrix.ravel())[1] == network.gradient(h, delta)).all()


def test_many_networks_at_once_are_each_of_them():
    rng = np.random.default_rng(9)
    network, params = RNN(rng.normal(size=(4, 3)), rng.normal(size=3)), rng.normal(size=(2, 5, 9))
    loss, grad = network.loss_and_grad(params)
    h = network.forward(params)
    parts = network.part_norms(h, network.backward(params, h))
    assert (loss.shape, grad.shape, parts.shape) == ((2, 5), (2, 5, 9), (4, 2, 5))
    alone = network.forward(params[1, 3])
    assert parts[:, 1, 3] == pytest.approx(network.part_norms(alone, network.backward(params[1, 3], alone)))
    assert grad[1, 3] == pytest.approx(network.loss_and_grad(params[1, 3])[1])


@pytest.mark.parametrize("linear", [False, True])
def test_the_gradient_that_arrives_is_bounded_by_the_largest_singular_value(linear):
    rng = np.random.default_rng(5)
    network = RNN(0.3 * rng.normal(size=(20, 5)), rng.normal(size=5), linear=linear)
    for scale in (0.1, 0.4, 1.0):
        matrix = scale * rng.normal(size=(5, 5))
        delta = network.backward(matrix.ravel(), network.forward(matrix.ravel()))
        arriving = np.linalg.norm(delta, axis=-1)[::-1]
        sigma = math.sqrt(np.linalg.eigvalsh(matrix.T @ matrix)[-1])
        assert (arriving <= arriving[0] * sigma ** np.arange(21) * (1 + 1e-9)).all()


def test_an_orthogonal_matrix_keeps_the_length_of_a_linear_gradient():
    turn = np.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    network = RNN(np.ones((30, 2)), np.zeros(2), linear=True)
    for radius in (0.9, 1.0, 1.1):
        matrix = radius * turn
        size = np.linalg.norm(network.backward(matrix.ravel(), network.forward(matrix.ravel())), axis=-1)[::-1]
        assert size / size[0] == pytest.approx(radius ** np.arange(31.0))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Recurrence(0), ValueError, "n_steps must be >= 1; got 0"),
        (lambda: Recurrence(2.5), TypeError, "n_steps must be a whole number; got 2.5"),
        (lambda: Recurrence(start=math.nan), ValueError, "start must be finite; got nan"),
        (lambda: Recurrence(target="high"), TypeError, "target must be a real number; got 'high'"),
        (lambda: RNN([1.0, 2.0], [1.0, 2.0]), ValueError, r"inputs must be \(steps, width\) .* got shapes \(2,\) and"),
        (lambda: RNN([[1.0, 2.0]], [1.0]), ValueError, r"got shapes \(1, 2\) and \(1,\)"),
        (lambda: RNN(np.empty((0, 2)), [1.0, 2.0]), ValueError, "not empty"),
        (lambda: RNN([[math.inf, 2.0]], [1.0, 2.0]), ValueError, "inputs must be finite; got inf"),
    ],
)
def test_bad_input_is_refused_by_name(make, error, says):
    with pytest.raises(error, match=says):
        make()
