"""The two models of lesson 10 against plain loops and PyTorch: a network that reads symbols, and a classifier."""

import math

import numpy as np
import pytest

from gclip_lessons.models import SymbolRNN, TwoLayerClassifier, check_gradient
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import train

HIDDEN, SYMBOLS, ANSWERS = 3, 4, 2


def reader(rng, *, batches=1, steps=5, asked=5, seeds=(), examples=2, answers=ANSWERS) -> SymbolRNN:
    symbols = rng.integers(0, SYMBOLS, (batches, steps, *seeds, examples))
    targets = rng.integers(0, answers, (batches, asked, *seeds, examples))
    return SymbolRNN(symbols, targets, SYMBOLS, answers, HIDDEN)


def matrices(model, params):
    """W, U, b, V, a as nested lists."""
    h, n, k = model.hidden, model.n_symbols, model.n_answers
    shapes = ((h, h), (n, h), (h,), (h, k), (k,))
    cut = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    return [params[a:b].reshape(shape).tolist() for a, b, shape in zip(cut[:-1], cut[1:], shapes, strict=True)]


def scores_by_hand(model, params, read):
    """The scores after each symbol of one sequence, in plain Python."""
    w, u, b, v, a = matrices(model, params)
    state, scores = [0.0] * model.hidden, []
    for symbol in read:
        units = range(model.hidden)
        state = [math.tanh(sum(state[i] * w[i][j] for i in units) + u[symbol][j] + b[j]) for j in units]
        scores.append([sum(state[j] * v[j][k] for j in units) + a[k] for k in range(model.n_answers)])
    return scores


def surprise(scores, right):
    return math.log(sum(math.exp(s) for s in scores)) - scores[right]


@pytest.mark.parametrize("asked", [1, 3, 5])
def test_the_reader_is_its_formula(asked):
    rng = np.random.default_rng(1)
    model, params = reader(rng, asked=asked), rng.normal(size=SYMBOLS * HIDDEN + HIDDEN**2 + HIDDEN + HIDDEN * 2 + 2)
    losses = []
    for example in range(2):
        scores = scores_by_hand(model, params, model.symbols[0, :, example])[-asked:]
        losses += [surprise(s, r) for s, r in zip(scores, model.targets[0, :, example], strict=True)]
    assert model.loss_and_grad(params)[0] == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    assert check_gradient(model, params, rng) < 1e-7


@pytest.mark.parametrize("asked", [1, 5])
def test_the_gradient_through_time_is_that_of_pytorch(asked):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    model = reader(rng, asked=asked, examples=4)
    params = rng.normal(size=model.n_params)
    theta = torch.tensor(params, requires_grad=True)
    cell = torch.nn.RNN(SYMBOLS, HIDDEN).double()
    w, u, b, v, a = (
        theta[block].reshape(shape)
        for block, shape in zip(
            model.blocks, ((HIDDEN, HIDDEN), (SYMBOLS, HIDDEN), (HIDDEN,), (HIDDEN, ANSWERS), (ANSWERS,)), strict=True
        )
    )
    one_hot = torch.nn.functional.one_hot(torch.tensor(model.symbols[0]), SYMBOLS).double()
    names = {"weight_hh_l0": w.T, "weight_ih_l0": u.T, "bias_hh_l0": b, "bias_ih_l0": torch.zeros(HIDDEN).double()}
    states, _ = torch.func.functional_call(cell, names, (one_hot,))
    scores = (states[-asked:] @ v + a).reshape(-1, ANSWERS)
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(model.targets[0]).reshape(-1))
    loss.backward()
    ours, grad = model.loss_and_grad(params)
    assert ours == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(grad, theta.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_each_step_reads_its_batch_and_begins_again_after_the_last():
    rng = np.random.default_rng(3)
    model = reader(rng, batches=3)
    params = rng.normal(size=model.n_params)
    for step in range(7):
        alone = SymbolRNN(model.symbols[[step % 3]], model.targets[[step % 3]], SYMBOLS, ANSWERS, HIDDEN)
        loss, grad = model.loss_and_grad(params, step)
        assert loss == alone.loss_and_grad(params)[0]
        np.testing.assert_array_equal(grad, alone.loss_and_grad(params)[1])


def test_runs_of_one_seed_share_its_batches():
    rng = np.random.default_rng(4)
    model = reader(rng, seeds=(3,), asked=2)
    params = rng.normal(size=(2, 3, model.n_params))
    loss, grad = model.loss_and_grad(params)
    assert (loss.shape, grad.shape) == ((2, 3), params.shape)
    for seed in range(3):
        alone = SymbolRNN(model.symbols[:, :, seed], model.targets[:, :, seed], SYMBOLS, ANSWERS, HIDDEN)
        for run in range(2):
            one_loss, one_grad = alone.loss_and_grad(params[run, seed])
            assert loss[run, seed] == pytest.approx(one_loss, rel=1e-13)
            np.testing.assert_allclose(grad[run, seed], one_grad, rtol=1e-12, atol=1e-15)


def test_the_answer_is_the_one_with_the_highest_score():
    rng = np.random.default_rng(5)
    model = reader(rng, seeds=(2,), examples=6, answers=4)
    params = rng.normal(size=(3, 2, model.n_params))
    answers = model.answers(params, model.symbols[0])
    for run, seed, example in np.ndindex(3, 2, 6):
        scores = scores_by_hand(model, params[run, seed], model.symbols[0, :, seed, example])[-1]
        assert answers[run, seed, example] == scores.index(max(scores))


def test_the_start_has_the_radius_and_the_deviations_that_are_asked_for():
    model = SymbolRNN([[[0]]], [[[0]]], 50, 40, hidden=60)
    params = model.init(np.random.default_rng(6), radius=1.2, inputs=0.5, outputs=0.3)
    w, u, b, v, a = (params[block] for block in model.blocks)
    assert np.abs(np.linalg.eigvals(w.reshape(60, 60))).max() == pytest.approx(1.2)
    assert u.std() == pytest.approx(0.5, rel=0.05)
    assert v.std() == pytest.approx(0.3, rel=0.05)
    assert not b.any()
    assert not a.any()
    again = model.init(np.random.default_rng(6), radius=1.2, inputs=0.5, outputs=0.3)
    np.testing.assert_array_equal(params, again)


def test_what_is_written_is_drawn_from_the_answers():
    """The first letter over many networks that are all one: frequencies against the chances by hand."""
    rng = np.random.default_rng(7)
    model = reader(rng, answers=SYMBOLS)
    params = rng.normal(size=model.n_params)
    letters = np.array([model.sample(params, 1, np.random.default_rng(seed), first=2)[0] for seed in range(4000)])
    scores = scores_by_hand(model, params, [2])[-1]
    chances = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(np.bincount(letters, minlength=SYMBOLS) / 4000, chances, atol=0.025)


def test_every_letter_that_is_written_is_read_as_the_next_symbol():
    rng = np.random.default_rng(8)
    model = reader(rng, answers=SYMBOLS)
    params = 40 * rng.normal(size=(6, model.n_params))  # so sure of itself that nothing is left to chance
    written = model.sample(params, 12, np.random.default_rng(0), first=1)
    assert written.shape == (12, 6)
    for run in range(6):
        read = [1, *written[:-1, run].tolist()]
        best = [s.index(max(s)) for s in scores_by_hand(model, params[run], read)]
        assert written[:, run].tolist() == best


def test_networks_that_diverged_write_too_and_nothing_warns():
    model = reader(np.random.default_rng(9), answers=SYMBOLS)
    for value in (np.inf, np.nan, 1e300):
        written = model.sample(np.full(model.n_params, value), 5, np.random.default_rng(0))
        assert ((written >= 0) & (written < SYMBOLS)).all()


def test_a_reader_learns_to_repeat_what_it_read():
    symbols = np.random.default_rng(10).integers(0, 3, (50, 6, 8))
    model = SymbolRNN(symbols, symbols, 3, 3, hidden=8)
    start = model.init(np.random.default_rng(11), radius=0.5, inputs=0.5, outputs=0.3)
    loss = train(model, start, SGD(1.0), n_steps=200).loss
    assert loss[-1] < 0.1 < 1.0 < loss[0]


# --- the classifier ---


def points(rng, seeds=(), n=5):
    x = rng.normal(size=(*seeds, n, 2))
    return x, np.where(rng.random((*seeds, n)) < 0.5, -1.0, 1.0)


def loss_by_hand(params, x, y, hidden):
    w1, b1, w2, b2 = params[: 2 * hidden], params[2 * hidden : 3 * hidden], params[3 * hidden : -1], params[-1]
    outs = [
        sum(w2[j] * math.tanh(w1[2 * j] * row[0] + w1[2 * j + 1] * row[1] + b1[j]) for j in range(hidden)) + b2
        for row in x
    ]
    return sum(math.log1p(math.exp(-label * out)) for label, out in zip(y, outs, strict=True)) / len(y), outs


def test_the_classifier_is_its_formula():
    rng = np.random.default_rng(1)
    x, y = points(rng)
    model, params = TwoLayerClassifier(x, y, 4), rng.normal(size=17)
    loss, outs = loss_by_hand(params, x, y, 4)
    assert model.loss_and_grad(params)[0] == pytest.approx(loss)
    assert model.loss(params) == pytest.approx(loss)
    np.testing.assert_allclose(model.predict(params), outs)
    fresh = rng.normal(size=(3, 2))
    np.testing.assert_allclose(model.predict(params, fresh), loss_by_hand(params, fresh, np.ones(3), 4)[1])
    assert check_gradient(model, params, rng) < 1e-7


def test_the_classifiers_gradient_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    x, y = points(rng, n=9)
    model, params = TwoLayerClassifier(x, y, 5), rng.normal(size=21)
    theta = torch.tensor(params, requires_grad=True)
    hidden = torch.tanh(torch.tensor(x) @ theta[:10].reshape(5, 2).T + theta[10:15])
    out = hidden @ theta[15:20] + theta[20]
    loss = torch.nn.functional.softplus(-torch.tensor(y) * out).mean()
    loss.backward()
    np.testing.assert_allclose(model.loss_and_grad(params)[1], theta.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_each_step_learns_from_its_batch_of_its_seed():
    rng = np.random.default_rng(3)
    x, y = points(rng, (2,), 6)
    batches = rng.integers(0, 6, (3, 2, 4))
    model, params = TwoLayerClassifier(x, y, 4, batches), rng.normal(size=(5, 2, 17))
    for step in range(5):
        loss, grad = model.loss_and_grad(params, step)
        for run, seed in np.ndindex(5, 2):
            chosen = batches[step % 3, seed]
            alone = TwoLayerClassifier(x[seed, chosen], y[seed, chosen], 4)
            assert loss[run, seed] == pytest.approx(alone.loss_and_grad(params[run, seed])[0])
            np.testing.assert_allclose(grad[run, seed], alone.loss_and_grad(params[run, seed])[1], atol=1e-14)
    for seed in range(2):
        assert model.loss(params)[0, seed] == pytest.approx(
            TwoLayerClassifier(x[seed], y[seed], 4).loss(params[0, seed])
        )


def test_far_away_the_classifier_neither_warns_nor_overflows():
    x, y = points(np.random.default_rng(4))
    loss, grad = TwoLayerClassifier(x, y, 4).loss_and_grad(np.full((2, 17), 1e5))
    assert np.isfinite(loss).all()
    assert np.isfinite(grad).all()


CODES = np.zeros((2, 3, 4), dtype=int)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: SymbolRNN(CODES, CODES, 2.0, 2, 3), TypeError, "n_symbols must be a whole number; got 2.0"),
        (lambda: SymbolRNN(CODES, CODES, 2, 2, 0), ValueError, "hidden must be >= 1; got 0"),
        (lambda: SymbolRNN(CODES + 0.5, CODES, 2, 2, 3), TypeError, "symbols must be an array of whole numbers"),
        (lambda: SymbolRNN(CODES, CODES + 2, 2, 2, 3), ValueError, "targets must lie in 0 to 1; got 2 to 2"),
        (lambda: SymbolRNN(CODES - 1, CODES, 2, 2, 3), ValueError, "symbols must lie in 0 to 1; got -1 to -1"),
        (lambda: SymbolRNN(CODES[:, :2], CODES, 2, 2, 3), ValueError, r"got shapes \(2, 2, 4\) and \(2, 3, 4\)"),
        (lambda: SymbolRNN(CODES, CODES[:1], 2, 2, 3), ValueError, "targets the same with 1 to T steps"),
        (lambda: SymbolRNN(CODES[0], CODES[0], 2, 2, 3), ValueError, "symbols must be"),
        (lambda: SymbolRNN(CODES[:0], CODES[:0], 2, 2, 3), ValueError, "not empty"),
        (lambda: TwoLayerClassifier([1.0], [1.0], 2), ValueError, r"x must be \(\*seeds, points, n_in\)"),
        (lambda: TwoLayerClassifier([[1.0]], [0.0], 2), ValueError, "y must hold labels −1 and 1; got 0.0"),
        (lambda: TwoLayerClassifier([[1.0]], [1.0], 0), ValueError, "hidden must be >= 1; got 0"),
        (lambda: TwoLayerClassifier([[1.0]], [1.0], 2, [[0.0]]), TypeError, "batches must hold whole numbers"),
        (lambda: TwoLayerClassifier([[1.0]], [1.0], 2, [[1]]), ValueError, "batches must lie in 0 to 0; got 1 to 1"),
        (lambda: TwoLayerClassifier([[1.0]], [1.0], 2, [0]), ValueError, r"batches must be \(batches, \*seeds, ex"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(make, error, says):
    with pytest.raises(error, match=says):
        make()
