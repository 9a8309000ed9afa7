"""Lesson 09: its claims against plain loops, PyTorch and optax, its pictures' extremes, and answers to it."""

import itertools
import math
import re

import numpy as np
import pytest
from pictures import against
from test_side_trips09 import DRAWN as TRIPS_DRAWN

from gclip_lessons.clipping import ClipByGlobalNorm, ClipByNorm, adaptive_clip, clip_by_global_norm, clip_per_example
from gclip_lessons.diagnosis import diagnose
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import lesson09 as lesson
from gclip_lessons.models import Logistic
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import train

SKIP = "torch is not installed: .ci/run installs it"


def drawn_workers(r):
    c = r.state.max_norm
    around = np.linspace(0, np.pi / 2, 65)
    return {
        "lone": against([r.state.lone], [0.0]),
        "others": against([0.0], [1.0]),
        "arc": against(c * np.cos(around), c * np.sin(around)),
        "mean": against([r.state.lone / r.state.workers], [1 - 1 / r.state.workers]),
        "clipped last": against(*r.last[:, None]),
        "clipped first": against(*r.first[:, None]),
        "says others": None,
        "says lone": None,
        "at": against([c] * 3, [-3, 45, 93]),
        "directions last": against(r.thresholds, r.directions_last),
        "directions first": against(r.thresholds, r.directions_first),
        "last here": against([c], [r.direction_last]),
        "first here": against([c], [r.direction_first]),
    }


def drawn_leaving(r):
    c, leaver = r.state.max_norm, r.state.leaver - 1
    around = np.linspace(0, 2 * np.pi, 129)
    return {
        "noise": r.noise,
        "raw": -r.grads,
        "clipped": -r.clipped,
        "circle": against(c * np.cos(around), c * np.sin(around)),
        "raw move": -r.grads[leaver : leaver + 1],
        "move": -r.clipped[leaver : leaver + 1],
        "at": against([c] * 3, [2e-3, 0.1, 3.0]),
        "biases": against(r.thresholds, r.biases),
        "spreads": against(r.thresholds, r.spreads),
        "errors": against(r.thresholds, r.errors),
        "here": against([c], [r.error]),
    }


def drawn_scopes(r):
    places = np.array([1, 2, 3, 4, 5, 6, 7, 8, 10.8])
    bars = {
        f"{role} layer {layer}": against(ends, values[layer - 1])
        for role, values in (("raw", r.raw_layers), ("clipped", r.clipped_layers))
        for layer, ends in ((1, (0.5, 8.5)), (2, (10.1, 11.5)))
    }
    return bars | {
        "level": against([0.2, 6, 11.8], r.threshold) if r.adaptive else np.zeros((0, 2)),
        "raw units": against(places, r.raw_units),
        "clipped units": against(places, r.clipped_units),
        "at": against([r.threshold] * 3, [1e-8, 1, 1e6]),
        "layer 1": against(r.thresholds, r.curves[:, 0]),
        "layer 2": against(r.thresholds, r.curves[:, 1]),
        "here 1": against([r.threshold], [r.clipped_layers[0]]),
        "here 2": against([r.threshold], [r.clipped_layers[1]]),
    }


# What each picture shows of a result, by the names of what moves.
DRAWN = {"workers": drawn_workers, "leaving": drawn_leaving, "scopes": drawn_scopes} | TRIPS_DRAWN


def clipped_list(vector, c):
    """Clipping in Python floats."""
    n = math.sqrt(math.fsum(x * x for x in vector))
    return [x * (c / n) if n > c else x for x in vector]


@pytest.mark.parametrize("name", ["workers", "leaving", "scopes"])
def test_every_sentence_is_readable_at_all_ends_together(name):
    demo = lesson.LESSON.demos[name]
    ends = [
        setting.values if setting.kind == "choice" else (setting.low, setting.high)
        for setting in controls_of(demo.state).values()
    ]
    for values in itertools.product(*ends):
        state = demo.state(**dict(zip(controls_of(demo.state), values, strict=True)))
        sentence = demo.caption(demo.compute(state))
        assert not re.search(r"nan|inf\b|None|e[+-]\d|  |-\d|\b1.0 times|−0", sentence), sentence
        assert sentence.endswith(".")


# ---- workers


def test_the_four_workers_of_the_lesson():
    first, last = lesson.both_orders(np.array([[8.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]), 1.0)
    assert first == pytest.approx([0.25, 0.75], abs=1e-12)
    assert last == pytest.approx([2 / math.hypot(2, 0.75), 0.75 / math.hypot(2, 0.75)])
    assert last.round(2).tolist() == [0.94, 0.35]
    turned = math.degrees(math.atan2(0.75, 0.25) - math.atan2(0.75, 2))
    assert turned == pytest.approx(51, abs=0.1)
    assert lesson.ways_of_both_orders() == "up-right"


def test_both_orders_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason=SKIP)
    rng = np.random.default_rng(4)
    grads = rng.standard_cauchy((5, 7))
    sent = []
    for row in (*grads, grads.mean(0)):
        param = torch.nn.Parameter(torch.zeros(7, dtype=torch.float64))
        param.grad = torch.tensor(row)
        torch.nn.utils.clip_grad_norm_([param], 0.7)
        sent.append(param.grad.numpy())
    first, last = lesson.both_orders(grads, 0.7)
    np.testing.assert_allclose(first, np.mean(sent[:5], axis=0), rtol=1e-5)
    np.testing.assert_allclose(last, sent[5], rtol=1e-5)


def test_average_then_clip_does_not_depend_on_how_examples_are_dealt_out():
    rng = np.random.default_rng(5)
    for _ in range(30):
        examples = rng.standard_cauchy((24, 3))
        c = float(np.exp(rng.normal()))
        alone = clipped_list([math.fsum(column) / 24 for column in examples.T.tolist()], c)
        firsts = []
        for workers in (1, 2, 3, 8, 24):
            sent = examples.reshape(workers, -1, 3).mean(1)
            first, last = lesson.both_orders(sent, c)
            assert last == pytest.approx(alone, rel=1e-9)
            assert np.linalg.norm(first) <= c * (1 + 1e-12)
            firsts.append(first)
        assert firsts[0] == pytest.approx(alone, rel=1e-9)
        assert not np.allclose(firsts[0], firsts[-1], rtol=1e-3)
        each = np.mean([clipped_list(example, c) for example in examples.tolist()], axis=0)
        assert firsts[-1] == pytest.approx(each)


def test_the_examples_of_the_table():
    examples = np.array([[16.0, 0.0]] + [[0.0, 1.0]] * 7)
    said = {1: (0.92, 0.40), 2: (0.49, 0.59), 4: (0.25, 0.77), 8: (0.12, 0.88)}
    for workers, wanted in said.items():
        sent = [[math.fsum(column) / (8 // workers) for column in part.T] for part in np.split(examples, workers)]
        first = np.mean([clipped_list(row, 1.0) for row in sent], axis=0)
        assert first == pytest.approx(wanted, abs=0.0051)


@pytest.mark.parametrize("lone", [0.5, 1.0, 8.0, 12.0])
@pytest.mark.parametrize("workers", [2, 4, 16])
def test_the_directions_are_those_of_one_vote_each_or_of_the_mean(lone, workers):
    for c in (0.1, 0.7, 1.0, 3.0, 20.0):
        result = lesson.share_work(lesson.WorkersState(max_norm=c, lone=lone, workers=workers))
        votes = math.atan2((workers - 1) * min(1, c), min(lone, c))
        assert result.direction_first == pytest.approx(math.degrees(votes))
        assert result.direction_last == pytest.approx(math.degrees(math.atan2(workers - 1, lone)))
        alike = c >= max(1, lone)
        assert np.array_equal(result.first, result.last) == alike
        assert ("both orders give the mean itself" in lesson.read_workers(result)) == alike
        kept = not alike and c >= math.hypot(lone, workers - 1) / workers
        assert ("(it is short enough, and kept)" in lesson.read_workers(result)) == kept
        k = int(np.argmin(np.abs(np.log(result.thresholds / c))))
        at = result.thresholds[k]
        votes = math.atan2((workers - 1) * min(1, at), min(lone, at))
        assert result.directions_first[k] == pytest.approx(math.degrees(votes))


# ---- examples


@pytest.mark.parametrize("c", [0.01, 1.0, 50.0])
def test_no_example_that_leaves_moves_the_clipped_sum_by_more_than_c_and_none_that_is_replaced_by_more_than_2c(c):
    rng = np.random.default_rng(6)
    for n, d in ((1, 1), (3, 2), (20, 5), (7, 300)):
        grads = rng.standard_cauchy((n, d)) * 10 ** rng.uniform(-3, 6, (n, 1))
        whole = clip_per_example(grads, c, reduction="sum")
        longest = np.linalg.norm(grads, axis=1)
        for i in range(n):
            others = [clipped_list(row, c) for k, row in enumerate(grads.tolist()) if k != i]
            without = [math.fsum(column) for column in zip(*others, strict=True)] if others else [0.0] * d
            moved = math.dist(whole, without)
            assert moved <= c * (1 + 1e-9)
            assert moved == pytest.approx(min(c, longest[i]), rel=1e-6)
            other = grads.copy()
            other[i] = -1e7 * grads[i]
            replaced = math.dist(whole, clip_per_example(other, c, reduction="sum"))
            assert replaced <= 2 * c * (1 + 1e-9)
            if longest[i] >= c:
                assert replaced == pytest.approx(2 * c, rel=1e-6)


def test_clipping_the_sum_instead_bounds_no_example_at_c():
    """The batch clipped whole moves by 2C when its longest example leaves: noise for a move of C would be too small."""
    grads = np.array([[-5.0, 0.0], [10.0, 0.0]])
    whole, without = (clip_by_global_norm(part.sum(0), 1.0) for part in (grads, grads[:1]))
    assert np.linalg.norm(whole - without) == 2.0


def test_the_sum_and_the_count_are_those_of_optax():
    """What optax 0.2.8 gives for per_example_global_norm_clip, the sum and how many were clipped."""
    grads = np.array([[3.0, 4.0], [0.0, 1.0], [0.5, 0.0], [-6.0, 8.0]])
    for c, total, count in ((0.25, [0.25, 0.65], 4), (1.0, [0.5, 2.6], 2), (7.0, [-0.7, 10.6], 1)):
        np.testing.assert_allclose(clip_per_example(grads, c, reduction="sum"), total, rtol=1e-12)
        assert sum(math.hypot(*row) > c for row in grads) == count


@pytest.mark.parametrize("examples", ["25", "100", "400"])
@pytest.mark.parametrize("c", [0.05, 1.0, 20.0])
def test_the_moves_in_the_picture_are_what_happens_when_somebody_leaves(examples, c):
    state = lesson.LeavingState(examples=examples, max_norm=c, leaver=3)
    result = lesson.leave(state)
    n = int(examples)
    raw = [[-0.5 * x for x in row] for row in lesson.margins(n).tolist()]  # at θ = 0 every example is doubted by half
    raw.sort(key=lambda row: -math.hypot(*row))
    np.testing.assert_allclose(result.grads, raw)
    without = [clipped_list(row, c) for k, row in enumerate(raw) if k != 2]
    whole = [math.fsum(column) for column in zip(*without, clipped_list(raw[2], c), strict=True)]
    moved = np.array([math.fsum(column) for column in zip(*without, strict=True)]) - whole
    np.testing.assert_allclose(-result.clipped[2], moved, atol=1e-12)
    said = re.search(r"the sum moves by ([\d.]+), unclipped by ([\d.]+);", lesson.read_leaving(result)).groups()
    assert [float(number) for number in said] == pytest.approx([np.hypot(*moved), math.hypot(*raw[2])], rel=5e-3)


def test_the_error_is_that_of_drawn_noise():
    rng = np.random.default_rng(7)
    for state in (lesson.LeavingState(), lesson.LeavingState(max_norm=5.0, noise=3.0, examples="25")):
        n, c = int(state.examples), state.max_norm
        grads = -0.5 * lesson.margins(n)
        lengths = np.linalg.norm(grads, axis=1, keepdims=True)
        total = (grads * np.minimum(1, c / lengths)).sum(0)
        means = (total + state.noise * c * rng.normal(size=(40_000, 2))) / n
        off = math.sqrt(np.mean(((means - grads.mean(0)) ** 2).sum(-1)))
        result = lesson.leave(state)
        assert result.error == pytest.approx(off, rel=0.01)
        assert result.error == pytest.approx(math.hypot(result.bias, result.spread))
        k = int(np.argmin(np.abs(np.log(result.thresholds / c))))
        assert result.errors[k] == pytest.approx(result.error, rel=0.02)
        assert result.noise.std() == pytest.approx(state.noise * c, rel=0.2)


def test_the_error_is_a_u_whose_bottom_moves_with_noise_and_number():
    best = {}
    for examples, noise in itertools.product(("25", "100", "400"), (0.1, 1.0, 3.98, 10.0)):
        result = lesson.leave(lesson.LeavingState(examples=examples, noise=noise))
        lowest = int(result.errors.argmin())
        assert (np.diff(result.errors[: lowest + 1]) < 0).all()
        assert (np.diff(result.errors[lowest:]) > 0).all()
        assert result.best == result.thresholds[lowest]
        best[examples, noise] = result.best
        assert np.diff(result.biases).max() <= 1e-12
        np.testing.assert_allclose(result.spreads, noise * result.thresholds * math.sqrt(2) / int(examples))
    for examples in ("25", "100", "400"):
        line = [best[examples, noise] for noise in (0.1, 1.0, 3.98, 10.0)]
        assert line == sorted(line, reverse=True)
        assert line[0] > line[-1]
    for noise in (1.0, 3.98, 10.0):
        assert best["25", noise] < best["100", noise] < best["400", noise]
    assert lesson.share_clipped_at_best() == "few"
    norms = np.linalg.norm(lesson.leave(lesson.LeavingState()).grads, axis=1)
    assert np.sum(norms > best["100", 1.0]) == 2
    noisy = lesson.leave(lesson.LeavingState(noise=10.0))  # there the rule of thumb, the median, comes near
    assert 0.25 < np.mean(norms > noisy.best) < 0.5
    at_median = [
        lesson.leave(lesson.LeavingState(noise=s, max_norm=float(np.median(norms)))).error for s in (1.0, 10.0)
    ]
    assert at_median[1] < 1.15 * noisy.errors.min()
    assert at_median[0] > 4 * lesson.leave(lesson.LeavingState()).errors.min()


def test_the_u_survives_training():
    """Other noise, and a loop of its own."""
    z = lesson.margins(100)
    theta = np.zeros(2)
    for _ in range(4000):
        theta = theta + (z / (1 + np.exp(z @ theta))[:, None]).mean(0)
    best, rng = theta, np.random.default_rng(99)
    off = {}
    for c in (0.1, 1.0, 3.0, 30.0):
        ends = []
        for _ in range(12):
            theta = np.zeros(2)
            for _ in range(200):
                grads = -z / (1 + np.exp(np.clip(z @ theta, -500, 500)))[:, None]
                grads *= np.minimum(1, c / np.linalg.norm(grads, axis=1))[:, None]
                theta = theta - (grads.sum(0) + c * rng.normal(size=2)) / 100
            ends.append(((theta - best) ** 2).sum())
        off[c] = math.sqrt(np.mean(ends))
    assert off[3.0] == pytest.approx(0.1, abs=0.05)
    assert off[0.1] == pytest.approx(2.3, abs=0.1)
    assert min(off[0.1], off[30.0]) > 10 * off[3.0]
    assert off[1.0] > 2 * off[3.0]


# ---- layers and units


def bare_net(scale):
    """Weights, gradients and outputs of the linear net, with matrices of its own."""
    net, params = lesson.linear_net(), lesson.weights(scale)
    w1, w2 = params[:32].reshape(4, 8), params[32:].reshape(8, 1)
    error = (net.x @ w1 @ w2)[:, 0] - net.y
    g1 = net.x.T @ (error[:, None] @ w2.T) / 32
    g2 = (net.x @ w1).T @ error[:, None] / 32
    return (w1, w2), (g1, g2)


def share(g, w):
    return np.linalg.norm(g) / np.linalg.norm(w)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1000.0])
@pytest.mark.parametrize("threshold", [0.001, 0.02, 1.0, 10.0])
def test_relative_steps_under_the_four_scopes(scale, threshold):
    (w1, w2), (g1, g2) = bare_net(scale)
    columns = [(g1[:, j], w1[:, j]) for j in range(8)] + [(g2[:, 0], w2[:, 0])]
    n = math.sqrt((g1**2).sum() + (g2**2).sum())
    c = max(threshold, 0.1)
    one = min(1, c / n)
    wanted = {
        lesson.GLOBAL: [one * share(g1, w1), one * share(g2, w2)],
        lesson.LAYER: [min(np.linalg.norm(g), c) / np.linalg.norm(w) for g, w in ((g1, w1), (g2, w2))],
        lesson.AGC_LAYER: [min(share(g1, w1), threshold), min(share(g2, w2), threshold)],
    }
    units = [min(share(g, w), threshold) for g, w in columns]
    sizes = np.array([np.linalg.norm(w) for _, w in columns])
    wanted[lesson.AGC_UNIT] = [np.linalg.norm(units[:8] * sizes[:8]) / np.linalg.norm(w1), units[8]]
    for scope, layers in wanted.items():
        state = lesson.ScopesState(scope=scope, scale=scale, max_norm=c, clipping=threshold)
        result = lesson.scope_out(state)
        assert result.clipped_layers == pytest.approx(layers)
        assert result.raw_layers == pytest.approx([share(g1, w1), share(g2, w2)])
        assert result.raw_units == pytest.approx([share(g, w) for g, w in columns])
        if scope == lesson.AGC_UNIT:
            assert result.clipped_units == pytest.approx(units)
        at = threshold if result.adaptive else c
        curve = [np.interp(np.log(at), np.log(result.thresholds), np.log(result.curves[:, k])) for k in (0, 1)]
        assert np.exp(curve) == pytest.approx(layers, rel=0.05)


def test_the_numbers_of_the_lesson_about_layers():
    def layers(scope, **values):
        return lesson.scope_out(lesson.ScopesState(scope=scope, **values)).clipped_layers

    assert layers(lesson.GLOBAL) == pytest.approx([0.358, 3.76e-4], rel=0.01)
    for scope in (lesson.AGC_LAYER, lesson.AGC_UNIT):
        assert layers(scope) == pytest.approx([0.02, 0.02])
    ratios = [np.divide(*layers(lesson.GLOBAL, scale=s)) for s in (1.0, 10.0, 100.0, 1000.0)]
    assert ratios == pytest.approx([0.099, 9.1, 950, 96_000], rel=0.02)
    by_unit = lesson.scope_out(lesson.ScopesState(scope=lesson.AGC_UNIT)).clipped_units
    by_layer = lesson.scope_out(lesson.ScopesState(scope=lesson.AGC_LAYER)).clipped_units
    assert by_unit == pytest.approx(np.full(9, 0.02))
    assert (by_layer[:8].min(), by_layer[:8].max()) == pytest.approx((0.0035, 0.0589), rel=0.02)
    assert lesson.ratio_of_steps() == "thousand"


def test_the_large_layer_stands_still_with_other_draws_too():
    ratios = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, w1 = rng.normal(size=(32, 4)), rng.normal(size=(4, 8)) / 2
        w2 = 100 * rng.normal(size=(8, 1)) / 8**0.5
        error = x @ (w1 @ w2)[:, 0] - x @ rng.normal(size=4)
        g1, g2 = x.T @ np.outer(error, w2[:, 0]), (x @ w1).T @ error
        ratios.append(share(g1, w1) / share(g2, w2))
    assert 800 < np.median(ratios) < 4000
    assert np.mean(np.array(ratios) > 300) > 0.95


def test_what_each_scope_does_to_the_direction():
    _, (g1, g2) = bare_net(100.0)
    net, params = lesson.linear_net(), lesson.weights(100.0)
    grad = np.concatenate([g1.ravel(), g2.ravel()])
    np.testing.assert_allclose(net.loss_and_grad(params)[1], grad)
    turns = {}
    for scope, threshold in ((lesson.GLOBAL, 1.0), (lesson.LAYER, 1.0), (lesson.AGC_LAYER, 0.02)):
        clipped = lesson.clip_in_scope(scope, grad, params, threshold)
        cosine = clipped @ grad / np.linalg.norm(clipped) / np.linalg.norm(grad)
        turns[scope] = math.degrees(math.acos(min(1, cosine)))
        assert cosine > 0
    assert list(turns.values()) == pytest.approx([0, 43.5, 86.2], abs=0.1)


def test_agc_is_that_of_optax():
    """What optax 0.2.8 gives for adaptive_grad_clip(0.1) on a matrix (in, out)."""
    weights = np.array([[0.3, -1.2, 0.0], [0.4, 0.5, 0.0]])
    grad = np.array([[2.0, 0.01, 3.0], [-1.0, 0.02, -4.0]])
    wanted = [[0.044721359549995794, 0.01, 6e-05], [-0.022360679774997897, 0.02, -8e-05]]
    units = tuple(slice(j, 6, 3) for j in range(3))
    np.testing.assert_allclose(adaptive_clip(grad.ravel(), weights.ravel(), 0.1, units=units), np.ravel(wanted))
    np.testing.assert_allclose(lesson.clip_units(weights, grad, 0.1), wanted)


def test_even_steps_are_no_better_ones_on_this_net():
    net, start = lesson.linear_net(), lesson.weights(100.0)
    rates = np.geomspace(1e-6, 10, 29)
    lowest = {}
    for name, rule in {
        "none": ClipByGlobalNorm(np.inf),
        "global": ClipByGlobalNorm(1.0),
        "AGC": lambda g, w: adaptive_clip(g, w, 0.02, units=net.units),
    }.items():
        ends = train(net, np.tile(start, (29, 1)), SGD(rates), rule, n_steps=300).loss[-1]
        lowest[name] = ends[np.isfinite(ends)].min()
    assert max(lowest.values()) < 0.05  # the lesson says 0.1
    assert lowest["none"] < 1e-9
    assert min(lowest["global"], lowest["AGC"]) > 1e-4  # the lesson says 1e-6


# ---- shards


@pytest.mark.parametrize("machines", [1, 2, 4, 8])
def test_one_number_a_machine_gives_the_run_of_a_single_one_and_own_norms_do_not(machines):
    net, start = lesson.linear_net(), lesson.weights(3.0)
    width = 40 // machines
    shards = [slice(k * width, (k + 1) * width) for k in range(machines)]

    def one_number(grad, params):
        return np.concatenate(lesson.clip_shards([grad[shard] for shard in shards], 1.0))

    alone, sent, own = (
        train(net, start, SGD(0.02), rule, n_steps=50)
        for rule in (ClipByGlobalNorm(1.0), one_number, ClipByNorm(1.0, blocks=shards))
    )
    np.testing.assert_allclose(sent.params, alone.params, rtol=0, atol=1e-12)
    assert alone.clipped.any()
    assert alone.clipped_norm.max() == pytest.approx(1)
    longest = {1: 1.0, 2: 1.41, 4: 1.74, 8: 2.45}[machines]
    assert own.clipped_norm.max() == pytest.approx(longest, abs=0.006)
    assert own.clipped_norm.max() <= math.sqrt(machines) + 1e-12
    assert own.angle.max() == pytest.approx({1: 0, 2: 29, 4: 20, 8: 18}[machines], abs=0.5)
    assert np.allclose(own.params, alone.params, atol=1e-3) == (machines == 1)
    assert own.loss[-1] == pytest.approx({1: 0.0023, 2: 0.0024, 4: 0.0010, 8: 0.0007}[machines], abs=6e-5)


def test_squares_of_shards_add_up_exactly_where_they_are_whole_numbers():
    shards = [np.array([3.0, 4.0]), np.array([12.0]), np.array([84.0])]
    together = np.concatenate(lesson.clip_shards(shards, 17.0))
    assert np.array_equal(together, np.concatenate(shards) * (17 / 85))  # 85 is the norm, to the last bit
    assert np.array_equal(together, clip_by_global_norm(np.concatenate(shards), 17.0))


# ---- exercises and quiz


def test_other_right_answers_pass():
    def repeats_the_rows(grads, counts, max_norm):
        examples = np.repeat(grads, counts, axis=0)
        return clip_by_global_norm(examples.mean(axis=0), max_norm)

    def weighs_by_hand(grads, counts, max_norm):
        mean = np.average(grads, axis=0, weights=counts)
        n = np.linalg.norm(mean)
        return mean if n <= max_norm else mean * max_norm / n

    def with_an_epsilon(shards, max_norm):
        total = math.sqrt(sum(float(shard @ shard) for shard in shards))
        return [shard * min(1.0, max_norm / (total + 1e-7)) for shard in shards]

    def column_by_column(weights, grad, clipping):
        out = grad.copy()
        for j in range(grad.shape[1]):
            limit = clipping * max(np.linalg.norm(weights[:, j]), 1e-3)
            n = np.linalg.norm(grad[:, j])
            if n > limit:
                out[:, j] *= limit / n
        return out

    for key, answer in (
        ("shared_gradient", repeats_the_rows),
        ("shared_gradient", weighs_by_hand),
        ("clip_shards", with_an_epsilon),
        ("clip_units", column_by_column),
    ):
        assert diagnose(lesson.EXERCISES[key], answer).passed, answer.__name__


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("shared_gradient", lambda grads, counts, max_norm: -lesson.shared_gradient(grads, counts, max_norm)),
        ("shared_gradient", lambda grads, counts, max_norm: grads),
        ("shared_gradient", lambda grads, counts, max_norm: np.median(grads, axis=0)),
        ("clip_shards", lambda shards, max_norm: [2 * shard for shard in lesson.clip_shards(shards, max_norm)]),
        ("clip_shards", lambda shards, max_norm: shards[0]),
        ("clip_units", lambda weights, grad, clipping: lesson.clip_units(grad, weights, clipping)),
        ("clip_units", lambda weights, grad, clipping: grad / np.linalg.norm(grad, axis=0)),
    ],
)
def test_wrong_answers_off_the_list_get_an_example(key, wrong):
    report = diagnose(lesson.EXERCISES[key], wrong)
    assert not report.passed
    assert report.example
    assert report.detail


def test_the_explanation_of_the_shards_misconceptions():
    """What the messages say of c/√K, of sums and of means of norms."""
    shards = [np.array([3.0, 4.0]), np.array([12.0])]
    part = lesson.gives_each_shard_its_part_of_c(shards, 1.0)
    assert np.linalg.norm(np.concatenate(part)) == pytest.approx(1.0)
    assert np.linalg.norm(np.concatenate(lesson.adds_up_norms(shards, 1.0))) == pytest.approx(13 / 17)
    assert np.linalg.norm(np.concatenate(lesson.averages_norms(shards, 1.0))) == pytest.approx(13 / 8.5)


def test_the_quiz_is_right_about_means_and_norms():
    rng = np.random.default_rng(8)
    for workers in (4, 64):
        grads = 100 * rng.normal(size=(workers, 3))
        assert np.linalg.norm(lesson.both_orders(grads, 1.0)[0]) <= 1
    quarters = [np.array([5.0]), np.array([6.0]), np.array([7.0]), np.array([8.0])]
    assert np.linalg.norm(np.concatenate(lesson.clip_shards_stub(quarters, 1.0))) == pytest.approx(2)


def test_per_example_gradients_of_the_lesson_are_those_of_the_model():
    model = Logistic(lesson.margins(25))
    theta = np.array([0.3, -0.2])
    rows = [-z / (1 + math.exp(z @ theta)) for z in lesson.margins(25)]
    np.testing.assert_allclose(model.per_example(theta), rows)
    np.testing.assert_allclose(np.mean(rows, axis=0), model.loss_and_grad(theta)[1])
    assert lesson.margins(25).tolist() == lesson.margins(400)[:25].tolist()
