"""The deep network against plain loops, PyTorch, and what its ways of writing weights have in common."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest

from gclip_lessons.models import DeepNet, check_gradient


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def outputs(x, matrices, linear, ntk):
    """One example and one unit at a time, in Python floats."""
    found = []
    for example in x.tolist():
        h = example
        for depth, w in enumerate(matrices):
            a = len(h) ** -0.5 if ntk else 1.0
            z = [a * math.fsum(h[i] * w[i][j] for i in range(len(h))) for j in range(len(w[0]))]
            h = z if linear or depth == len(matrices) - 1 else [math.tanh(value) for value in z]
        found.append(h[0])
    return found


@pytest.mark.parametrize(("linear", "ntk"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("hidden", [(), (1,), (4, 3), (2, 5, 3)])
def test_the_loss_and_the_slices_are_those_of_plain_loops(rng, hidden, linear, ntk):
    x, y = rng.normal(size=(5, 3)), rng.normal(size=5)
    widths = (3, *hidden, 1)
    matrices = [rng.normal(size=(i, o)) for i, o in pairwise(widths)]
    net = DeepNet(x, y, hidden, linear=linear, ntk=ntk)
    params = np.concatenate([w.ravel() for w in matrices])
    assert net.n_params == params.size
    assert net.widths == widths
    out = outputs(x, [w.tolist() for w in matrices], linear, ntk)
    loss = math.fsum(0.5 * (o - t) ** 2 for o, t in zip(out, y.tolist(), strict=True)) / 5
    assert net.loss_and_grad(params)[0] == pytest.approx(loss)
    for block, w in zip(net.blocks, matrices, strict=True):
        assert np.array_equal(params[block].reshape(w.shape), w)
    columns = [w[:, j] for w in matrices for j in range(w.shape[1])]
    assert len(net.units) == len(columns)
    for unit, column in zip(net.units, columns, strict=True):
        assert np.array_equal(params[unit], column)
    assert check_gradient(net, rng.normal(size=(2, net.n_params)), rng) < 1e-7


@pytest.mark.parametrize(("linear", "ntk"), [(False, False), (True, False), (False, True)])
def test_the_gradient_is_pytorchs(rng, linear, ntk):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    x, y = rng.normal(size=(6, 4)), rng.normal(size=6)
    net = DeepNet(x, y, (5, 3), linear=linear, ntk=ntk)
    params = rng.normal(size=net.n_params)
    flat = torch.tensor(params, requires_grad=True)
    h, start = torch.tensor(x), 0
    for depth, (i, o) in enumerate([(4, 5), (5, 3), (3, 1)]):
        z = h @ flat[start : start + i * o].reshape(i, o) * (i**-0.5 if ntk else 1.0)
        h, start = z if linear or depth == 2 else torch.tanh(z), start + i * o
    loss = 0.5 * ((h[:, 0] - torch.tensor(y)) ** 2).mean()
    loss.backward()
    ours = net.loss_and_grad(params)
    assert ours[0] == pytest.approx(loss.item())
    np.testing.assert_allclose(ours[1], flat.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_a_factor_in_front_changes_no_output_and_shortens_the_gradient_by_itself(rng):
    x, y = rng.normal(size=(6, 4)), rng.normal(size=6)
    inside, outside = (DeepNet(x, y, (9, 9), ntk=ntk) for ntk in (False, True))
    fan_in = np.repeat([4, 9, 9], [36, 81, 9])
    params = rng.normal(size=inside.n_params)
    loss, grad = inside.loss_and_grad(params / np.sqrt(fan_in))
    other_loss, other_grad = outside.loss_and_grad(params)
    assert other_loss == pytest.approx(loss)
    np.testing.assert_allclose(other_grad, grad / np.sqrt(fan_in))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1.0, 2.0]], [1.0, 2.0], (3,)), ValueError, r"x must be (examples, n_in) and y (examples,)"),
        (([1.0, 2.0], [1.0, 2.0], (3,)), ValueError, "got shapes (2,) and (2,)"),
        ((np.zeros((0, 2)), [], (3,)), ValueError, "not empty; got shapes (0, 2) and (0,)"),
        (([[np.inf]], [1.0], (3,)), ValueError, "x must be finite; got inf"),
        (([[1.0]], ["a"], (3,)), TypeError, "y must be an array of real numbers"),
        (([[1.0]], [1.0], (0,)), ValueError, "hidden must be >= 1; got 0"),
        (([[1.0]], [1.0], (2.5,)), TypeError, "hidden must be a whole number; got 2.5"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        DeepNet(*arguments)
