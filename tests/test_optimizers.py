"""Optimisers against torch.optim, against loops over plain Python floats, and against bad settings."""

import math
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest

from gclip_lessons.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Momentum, Nesterov, RMSProp


def scalar_step(optimizer, t, g, theta, memory):
    """How much to subtract from one float, as the papers write the rules. `memory` is a dict."""
    lr = optimizer.learning_rate
    match optimizer:
        case Nesterov():
            memory["v"] = v = optimizer.beta * memory.get("v", 0.0) + g
            return lr * (g + optimizer.beta * v)
        case Momentum():
            memory["v"] = v = optimizer.beta * memory.get("v", 0.0) + g
            return lr * v
        case RMSProp():
            memory["s"] = s = optimizer.beta * memory.get("s", 0.0) + (1 - optimizer.beta) * g * g
            return lr * g / (math.sqrt(s) + optimizer.eps)
        case Adam():
            memory["m"] = m = optimizer.beta1 * memory.get("m", 0.0) + (1 - optimizer.beta1) * g
            memory["s"] = s = optimizer.beta2 * memory.get("s", 0.0) + (1 - optimizer.beta2) * g * g
            corrected = m / (1 - optimizer.beta1**t), s / (1 - optimizer.beta2**t)
            decay = lr * optimizer.weight_decay * theta if isinstance(optimizer, AdamW) else 0.0
            return lr * corrected[0] / (math.sqrt(corrected[1]) + optimizer.eps) + decay
        case SGD():
            return lr * g


def scalar_loop(optimizer, grads, theta):
    memory = {}
    for t, g in enumerate(grads, start=1):
        theta -= scalar_step(optimizer, t, g, theta, memory)
    return theta


def walk(optimizer, grads, params):
    """Apply `grads` (steps, *runs, n) from `params`; the parameters after every step."""
    state, path = optimizer.init(params), []
    for grad in grads:
        update, state = optimizer.update(grad, state, params)
        params = params + update
        path.append(params)
    return np.stack(path)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equal_to_a_loop_over_plain_floats(name, rng):
    optimizer = OPTIMIZERS[name](0.03)
    grads, params = rng.normal(size=(60, 2, 3)), rng.normal(size=(2, 3))
    after = walk(optimizer, grads, params)[-1]
    for place in np.ndindex(2, 3):
        expected = scalar_loop(optimizer, grads[(slice(None), *place)].tolist(), float(params[place]))
        assert after[place] == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equal_to_torch(name, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    ours, theirs = {
        "sgd": (SGD(0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
        "momentum": (Momentum(0.05, beta=0.8), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8)),
        "nesterov": (
            Nesterov(0.05, beta=0.8),
            lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
        ),
        "rmsprop": (
            RMSProp(0.05, beta=0.95, eps=1e-6),
            lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.95, eps=1e-6),
        ),
        "adam": (
            Adam(0.05, beta1=0.8, beta2=0.95, eps=1e-6),
            lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6),
        ),
        "adamw": (
            AdamW(0.05, weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
        ),
    }[name]
    params = rng.normal(size=7).astype(dtype)
    grads = (rng.normal(size=(100, 7)) * 10 ** rng.uniform(-3, 3, size=(100, 1))).astype(dtype)
    tensor = torch.tensor(params.copy(), requires_grad=True)
    reference = theirs([tensor])
    for ours_now, grad in zip(walk(ours, grads, params), grads, strict=True):
        tensor.grad = torch.tensor(grad)
        reference.step()
        tolerance = {np.float32: 2e-5, np.float64: 1e-12}[dtype]
        scale = np.abs(ours_now).max()
        np.testing.assert_allclose(ours_now, tensor.detach().numpy(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("rmsprop", "RMSprop"), ("adam", "Adam"), ("adamw", "AdamW")],
)
def test_defaults_are_those_of_torch(name, theirs):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    ours = OPTIMIZERS[name](0.1)
    defaults = getattr(torch.optim, theirs)([torch.zeros(1)], lr=0.1).defaults
    assert ours.eps == defaults["eps"]
    if name == "rmsprop":
        assert ours.beta == defaults["alpha"]
    else:
        assert (ours.beta1, ours.beta2) == defaults["betas"]
    if name == "adamw":
        assert ours.weight_decay == defaults["weight_decay"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.1, np.float64(0.1), np.array([0.1, 0.2])], ids=["float", "numpy", "array"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_dtype_is_kept_and_nothing_is_changed_in_place(name, rate, dtype):
    optimizer = OPTIMIZERS[name](rate)
    params, grad = np.ones((2, 3), dtype), np.full((2, 3), 0.5, dtype)
    state = optimizer.init(params)
    for _ in range(2):
        before = [part.copy() for part in (*state, params, grad)]
        update, after = optimizer.update(grad, state, params)
        assert all(np.array_equal(now, then) for now, then in zip((*state, params, grad), before, strict=True))
        assert update.dtype == dtype
        assert update is not grad
        assert all(part.dtype == dtype for part in after if part.ndim)
        state = after


@pytest.mark.parametrize("name", ["momentum", "rmsprop", "adamw"])
def test_settings_that_are_numpy_numbers_do_not_widen_the_gradient(name):
    settings = {
        field.name: np.float64(getattr(OPTIMIZERS[name](0.1), field.name)) for field in fields(OPTIMIZERS[name])
    }
    optimizer, grad = OPTIMIZERS[name](**settings), np.ones(3, np.float32)
    update, state = optimizer.update(grad, optimizer.init(grad), grad)
    assert update.dtype == state[0].dtype == np.float32


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_per_run_equals_each_run_alone(name, rng):
    rates = np.array([[0.1], [0.01], [0.3]])
    grads, params = rng.normal(size=(20, 3, 2, 4)), rng.normal(size=(3, 2, 4))
    together = walk(OPTIMIZERS[name](rates), grads, params)
    for run in np.ndindex(3, 2):
        alone = walk(OPTIMIZERS[name](float(rates[run[0], 0])), grads[:, *run], params[run])
        np.testing.assert_array_equal(together[:, *run], alone)


def test_the_first_step_of_adam_has_the_size_of_the_rate_whatever_the_gradient(rng):
    grad = np.array([1e-3, -5.0, 1e6])
    optimizer = Adam(0.01)
    update, _ = optimizer.update(grad, optimizer.init(grad), np.zeros(3))
    np.testing.assert_allclose(update, -0.01 * np.sign(grad), rtol=1e-4)


def test_weight_decay_stands_outside_the_gradient():
    optimizer = AdamW(0.1, weight_decay=0.5)
    params = np.array([2.0, -4.0])
    update, _ = optimizer.update(np.zeros(2), optimizer.init(params), params)
    np.testing.assert_allclose(update, -0.1 * 0.5 * params)


def test_a_rate_cannot_be_changed_behind_the_optimisers_back():
    rates = np.array([0.1, 0.2])
    optimizer = SGD(rates)
    rates[0] = -1.0
    assert optimizer.learning_rate[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        optimizer.learning_rate[0] = -1.0


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("rate", "error"),
    [
        *[(bad, ValueError) for bad in (0, -0.1, math.nan, math.inf, np.array([0.1, 0.0]), np.array([]))],
        *[(bad, TypeError) for bad in (True, "0.1", None, 1j, [0.1], np.array([True]), np.array([None]))],
        (np.ma.masked, TypeError),
    ],
    ids=repr,
)
def test_a_bad_learning_rate_is_named(name, rate, error):
    with pytest.raises(error, match="learning_rate must be") as caught:
        OPTIMIZERS[name](rate)
    assert repr(rate) in str(caught.value)


@pytest.mark.parametrize(
    ("optimizer", "setting", "bad", "error"),
    [
        (Momentum, "beta", 1.0, ValueError),
        (Nesterov, "beta", -0.1, ValueError),
        (RMSProp, "beta", math.nan, ValueError),
        (RMSProp, "eps", 0.0, ValueError),
        (Adam, "beta1", 1, ValueError),
        (Adam, "beta2", True, TypeError),
        (Adam, "beta2", "0.9", TypeError),
        (Adam, "eps", -1e-8, ValueError),
        (AdamW, "weight_decay", -0.01, ValueError),
        (AdamW, "weight_decay", math.inf, ValueError),
        (AdamW, "weight_decay", None, TypeError),
    ],
)
def test_any_other_bad_setting_is_named(optimizer, setting, bad, error):
    with pytest.raises(error, match=f"{setting} must be .*got") as caught:
        optimizer(0.1, **{setting: bad})
    assert repr(bad) in str(caught.value)


def test_numbers_that_no_float_holds_are_refused_and_exact_ones_taken():
    for bad in (10**400, -(10**400)):
        with pytest.raises(ValueError, match=r"learning_rate must be > 0 and finite, in float64; got .{1,60}$"):
            SGD(bad)
    assert SGD(Fraction(1, 4)) == SGD(np.array(0.25)) == SGD(0.25)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_are_equal_by_value(name):
    rates = np.array([0.1, 0.2])
    one, same = OPTIMIZERS[name](rates), OPTIMIZERS[name](rates.copy())
    assert one == same
    assert hash(one) == hash(same)
    assert one != OPTIMIZERS[name](2 * rates)
    assert one != OPTIMIZERS[name](0.1)
    assert one != rates[0]


def test_repr_is_fit_for_a_legend_and_equal_settings_are_equal():
    assert repr(SGD(0.1)) == "SGD(learning_rate=0.1)"
    assert repr(Momentum(1)) == "Momentum(learning_rate=1.0, beta=0.9)"
    assert Adam(0.1) == Adam(np.float64(0.1))
    assert len({cls.label for cls in OPTIMIZERS.values()}) == len(OPTIMIZERS)
