"""Lesson 08: optimisers under a spike and misplaced clips against loops over plain floats, closed forms and PyTorch."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from pictures import LOST, against, counted, so_far

from gclip_lessons.diagnosis import diagnose
from gclip_lessons.figures import style
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import lesson08 as lesson
from gclip_lessons.lessons import side_trips08 as trips
from gclip_lessons.optimizers import OPTIMIZERS, Adam, AdamW

RUNS = ("raw", "elsewhere", "clipped")


def ghost_lines(result):
    """Every ghost from the pause on, with a gap after it."""
    rows = []
    for k in result.ghosts:
        rows += [(step, result.distances[step, k]) for step in range(result.pause, len(result.raw))]
        rows.append((math.nan, math.nan))
    return np.array(rows)


def ghosts_now(result, x):
    return against(x, result.distances[result.state.step, result.ghosts])


# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "fork": lambda r: {
        "raw": counted(r.raw),
        "clipped": counted(r.clipped),
        "at raw": against([r.state.step], r.raw[[r.state.step]]),
        "at clipped": against([r.state.step], r.clipped[[r.state.step]]),
        "ghosts": ghost_lines(r),
        "heads": ghosts_now(r, [r.state.step]),
        "dots": ghosts_now(r, r.thresholds[r.ghosts]),
        "curve": against(r.thresholds, r.distances[r.state.step]),
        "level": against(r.thresholds[[0, -1]], r.raw[r.state.step]),
        "here": against([r.state.max_norm], r.clipped[[r.state.step]]),
        "threshold": None,  # its ends lie on the frame; it has a test of its own, and so has the cursor
        "cursor": None,
    },
    "spike": lambda r: (
        {run: against(r.steps, r.update[run]) for run in ("raw", "clipped")}
        | {"cost raw": against(r.cost["raw"], np.arange(5, -1, -1) + 0.13)}
        | {"cost clipped": against(r.cost["clipped"], np.arange(5, -1, -1) - 0.13), "row": None}
    ),
    "order": lambda r: (
        {run: so_far(r, r.paths[run]) for run in RUNS}
        | {f"here {run}": r.paths[run][[r.state.step]] for run in RUNS}
        | {f"distance {run}": counted(np.hypot(*r.paths[run].T)) for run in RUNS}
        | {f"at {run}": against([r.state.step], [math.hypot(*r.paths[run][r.state.step])]) for run in RUNS}
        | LOST
    ),
    "scale": lambda r: (
        {"raw": counted(r.norms), "clipped": counted(np.minimum(r.norms, r.state.max_norm))}
        | {name: against(r.thresholds, r.sizes[name]) for name in ("Adam", "SGD")}
        | {f"at {name}": against([r.state.max_norm], [r.here[name]]) for name in ("Adam", "SGD")}
        | {"threshold": None, "at": None}
    ),
    "decay": lambda r: (
        {form: counted(r.weights[form]) for form in trips.FORMS}
        | {f"left {form}": against(r.thresholds, r.left[form]) for form in trips.FORMS}
        | {f"at {form}": against([r.state.max_norm], r.weights[form][[-1]]) for form in trips.FORMS}
        | {"threshold": None}
    ),
}


class Bare:
    """An optimiser over plain floats, as the papers write it; `step` gives what is to be subtracted."""

    def __init__(self, name, rate, n, *, beta=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
        self.name, self.rate, self.beta, self.beta2, self.eps = name, rate, beta, beta2, eps
        self.weight_decay = weight_decay if name == "AdamW" else 0.0
        self.m, self.s, self.t = [0.0] * n, [0.0] * n, 0

    def step(self, grad, theta):
        self.t += 1
        return [self._one(i, g, x) for i, (g, x) in enumerate(zip(grad, theta, strict=True))]

    def _one(self, i, g, x):
        b, b2 = self.beta, self.beta2
        if self.name == "SGD":
            return self.rate * g
        if self.name in ("momentum", "Nesterov"):
            self.m[i] = b * self.m[i] + g
            return self.rate * (self.m[i] if self.name == "momentum" else g + b * self.m[i])
        if self.name == "RMSProp":
            self.s[i] = 0.99 * self.s[i] + 0.01 * g * g
            return self.rate * g / (math.sqrt(self.s[i]) + self.eps)
        self.m[i] = b * self.m[i] + (1 - b) * g
        self.s[i] = b2 * self.s[i] + (1 - b2) * g * g
        m, s = self.m[i] / (1 - b**self.t), self.s[i] / (1 - b2**self.t)
        return self.rate * (m / (math.sqrt(s) + self.eps) + self.weight_decay * x)


def cut(vector, c):
    norm = math.hypot(*vector)
    return [v * min(1.0, c / norm) if norm else v for v in vector]


# ---- fork the future


def one_future(name, spike, c):
    theta, distances = [4.0, 3.0], []
    bare = Bare(name, 0.003 if name in ("momentum", "Nesterov") else 0.03, 2)
    for step in range(301):
        distances.append(math.hypot(*theta))
        grad = [theta[0], 0.4 * theta[1]]
        if step == 40:
            grad = [grad[0] - 0.8 * spike, grad[1] - 0.6 * spike]
        if step >= 40:
            grad = cut(grad, c)
        theta = [x - u for x, u in zip(theta, bare.step(grad, theta), strict=True)]
    return np.array(distances)


@pytest.mark.parametrize("name", lesson.SIX)
def test_futures_are_those_of_a_plain_loop(name):
    for spike, c in ((1000.0, 3.16), (1000.0, 0.1), (10_000.0, 1000.0), (1.0, 1.0), (77.7, 2.345)):
        result = lesson.look_ahead(lesson.ForkState(optimizer=name, spike=spike, max_norm=c))
        np.testing.assert_allclose(result.clipped, one_future(name, spike, c), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(result.raw, one_future(name, spike, math.inf), rtol=1e-6, atol=1e-9)
        for k in (0, 15, 40):
            future = one_future(name, spike, result.thresholds[k])
            np.testing.assert_allclose(result.distances[:, k], future, rtol=1e-6, atol=1e-9)


def test_there_is_one_past_and_it_parts_after_the_spike():
    result = lesson.look_ahead(lesson.ForkState())
    assert (np.ptp(result.distances[:41], axis=1) == 0).all()
    assert np.ptp(result.distances[41]) > 0.01
    assert result.thresholds[result.ghosts] == pytest.approx(10 ** np.arange(-1, 3.1, 0.5), rel=3e-3)


def test_sgd_is_thrown_and_returns_where_adam_hardly_moves_and_stays():
    sgd, adam = (lesson.look_ahead(lesson.ForkState(optimizer=name)) for name in ("SGD", "Adam"))
    assert sgd.raw[[40, 41, 300]] == pytest.approx([2.20, 32.02, 0.87], abs=0.005)
    assert adam.raw[[40, 41, 300]] == pytest.approx([3.40, 3.42, 3.31], abs=0.005)
    assert (sgd.clipped[-1], adam.clipped[-1]) == pytest.approx((0.084, 0.040), abs=5e-4)
    assert lesson.future("SGD", 1000.0, 0.1)[-1] == pytest.approx(1.49, abs=0.005)
    assert lesson.future("Adam", 1000.0, 0.1)[-1] == pytest.approx(2.45, abs=0.005)
    # The longest step that clipping spares SGD is thirty times what is left; Adam's is a hundredth of it.
    assert sgd.raw[41] - sgd.raw[40] > 29
    assert adam.raw[41] - adam.raw[40] < 0.03


def test_adam_is_slow_at_a_small_threshold_only_because_it_remembers_unclipped_gradients():
    theta, bare = [4.0, 3.0], Bare("Adam", 0.03, 2)
    for _ in range(300):  # clipped from the start, without a spike
        theta = [x - u for x, u in zip(theta, bare.step(cut([theta[0], 0.4 * theta[1]], 0.1), theta), strict=True)]
    assert math.hypot(*theta) < 0.1
    assert lesson.future("Adam", 1.0, 0.1)[-1] > 2  # clipped from step 40 on, with hardly a spike


def test_no_gradient_of_the_bowl_is_longer_than_the_distance():
    points = np.random.default_rng(0).normal(size=(100, 2))
    assert (np.hypot(*lesson.BOWL.loss_and_grad(points)[1].T) <= np.hypot(*points.T) + 1e-12).all()


@pytest.mark.parametrize("name", lesson.SIX)
@pytest.mark.parametrize("step", [0, 40, 41, 300])
def test_sentences_of_the_fork(name, step):
    for spike in (1.0, 1000.0, 10_000.0):
        for c in (0.1, 3.16, 1000.0):
            result = lesson.look_ahead(lesson.ForkState(optimizer=name, step=step, spike=spike, max_norm=c))
            sentence = lesson.read_fork(result)
            assert sentence.startswith(name)
            assert not re.search(r"nan|inf\b|\de[-+]?\d|  ", sentence)
            raw, clipped = lesson.number(result.raw[step]), lesson.number(result.clipped[step])
            if step <= 40:
                assert f"step {step}: {raw} from the minimum." in sentence
                assert f"{lesson.number(result.clipped[-1])} clipped at c = {c:g}." in sentence
                continue
            assert f"{step - 40} steps after the pause" in sentence
            assert f"{raw} from the minimum unclipped, {clipped} clipped at c = {c:g}." in sentence
            best = float(re.search(r"the one with c = ([\d.]+), at", sentence)[1])
            at = dict(zip(result.thresholds, result.distances[step], strict=True))
            assert at[best] <= min(at[result.thresholds[k]] for k in result.ghosts) + 1e-6


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0.0, "below 0.001"),
        (9.9e-4, "below 0.001"),
        (0.04, "0.04"),
        (3.3149, "3.31"),
        (12345.6, "12,300"),
        (-3.1322, "−3.13"),
        (-0.00042, "−0.00042"),
        (-99_000.0, "−99,000"),
    ],
)
def test_numbers_have_three_digits(value, says):
    assert lesson.number(value) == says


def test_the_mouse_moves_step_and_threshold_of_the_fork():
    assert lesson.hold_fork(lesson.ForkState(), "time", 123.4, 5.0).step == 123
    assert lesson.hold_fork(lesson.ForkState(), "now", 9.6, 5.0).max_norm == 10.0
    assert lesson.hold_fork(lesson.ForkState(), "now", 1e9, 5.0).max_norm == 1000.0


# ---- six optimisers, one spike


def settled(name, spike, beta, beta2, n):
    """The updates from a spike on, of an optimiser without start correction whose state is that of endless ones."""
    m, s, met = 1.0 if name.startswith("Adam") else 1 / (1 - beta), 1.0, []
    usual = {"SGD": 1.0, "RMSProp": 1.0, "Adam": 1.0, "AdamW": 1.0}.get(name, m)
    for k in range(n):
        g = -spike if k == 0 else 1.0
        if name == "SGD":
            u = g
        elif name == "RMSProp":
            s = 0.99 * s + 0.01 * g * g
            u = g / math.sqrt(s)
        elif name in ("momentum", "Nesterov"):
            m = beta * m + g
            u = m if name == "momentum" else g + beta * m
        else:
            m, s = beta * m + (1 - beta) * g, beta2 * s + (1 - beta2) * g * g
            u = m / math.sqrt(s)
        met.append(u / usual)
    return np.array(met)


@pytest.mark.parametrize("name", lesson.SIX)
def test_the_formulas_are_what_a_loop_over_floats_gives(name):
    for spike, beta, beta2 in ((1000.0, 0.9, 0.999), (3.0, 0.0, 0.9), (1e5, 0.99, 0.99), (1.0, 0.5, 0.999)):
        loop = settled(name, spike, beta, beta2, lesson.HORIZON)
        np.testing.assert_allclose(lesson.after_spike(name, spike, beta, beta2), loop, rtol=1e-7, atol=1e-8)
        lost, wrong, back = lesson.toll(name, spike, beta, beta2)
        assert lost == pytest.approx(math.fsum(1 - loop), rel=1e-6, abs=1e-4)
        assert wrong == sum(u < 0 for u in loop)
        assert back == max((k + 1 for k, u in enumerate(loop) if u < 0.5), default=0)


@pytest.mark.parametrize("name", lesson.SIX)
def test_the_optimisers_themselves_do_what_the_formulas_say(name):
    make = dict(zip(lesson.SIX, OPTIMIZERS.values(), strict=True))[name]
    met = lesson.updates_after(make(0.01), np.array([1000.0, 1.0]), n_before=8000, n_after=6000)
    for run, spike in zip(met.T, (1000.0, 1.0), strict=True):
        np.testing.assert_allclose(run, lesson.after_spike(name, spike, 0.9, 0.999)[:6000], atol=4e-4, rtol=4e-4)


@pytest.mark.parametrize("name", lesson.SIX)
def test_and_so_do_those_of_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    theirs = {
        "SGD": lambda p: torch.optim.SGD(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "Nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        "RMSProp": lambda p: torch.optim.RMSprop(p, lr=0.01),
        "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
    }[name]([weight])
    make = dict(zip(lesson.SIX, OPTIMIZERS.values(), strict=True))[name]
    ours = lesson.updates_after(make(0.01), np.array([1000.0]), n_before=300, n_after=200)[:, 0]
    met = []
    for step in range(500):
        with torch.no_grad():
            weight.zero_()  # so that nothing decays, as in ours
        weight.grad = torch.tensor([-1000.0 if step == 300 else 1.0], dtype=torch.float64)
        theirs.step()
        met.append(weight.item())
    np.testing.assert_allclose(ours, np.array(met[300:]) / met[299], rtol=1e-6, atol=1e-9)


def test_one_spike_costs_adam_thousands_of_steps_and_no_step_is_long():
    update = lesson.after_spike("Adam", 1000.0, 0.9, 0.999)
    lost, wrong, back = lesson.toll("Adam", 1000.0, 0.9, 0.999)
    assert update[0] == np.abs(update).max() * -1 == pytest.approx(-99.1 / math.sqrt(1000.999 + 1e-3), rel=1e-4)
    # m = 1 − 100.1·0.9ᵏ is negative up to k = 43, s = 1 + 999.999·0.999ᵏ is above 4 up to k = 5806.
    assert wrong == math.floor(math.log(100.1) / -math.log(0.9)) + 1 == 44
    assert back == math.floor(math.log((1e6 - 1) * 0.001 / 3) / -math.log(0.999)) + 1 == 5807
    assert update[100] == pytest.approx(0.033, abs=5e-4)
    # ∫ (1 − 1/√(1 + a·e^{−t/τ})) dt = 2τ·ln((1 + √(1 + a))/2), and m's own part on top.
    tau, a = -1 / math.log(0.999), (1e6 - 1) * 0.001
    assert lost == pytest.approx(2 * tau * math.log((1 + math.sqrt(1 + a)) / 2), rel=0.01)
    assert lost == pytest.approx(5614, abs=0.5)
    assert lesson.after_spike("Adam", 1e5, 0.9, 0.999)[0] == pytest.approx(-0.1 / math.sqrt(0.001), rel=1e-3)


@pytest.mark.parametrize("spike", [1.0, 30.0, 1000.0, 1e5])
def test_whatever_divides_by_nothing_loses_one_more_than_the_spike(spike):
    for name in ("SGD", "momentum", "Nesterov"):
        for beta in (0.0, 0.9, 0.99):
            assert lesson.toll(name, spike, beta, 0.999)[0] == pytest.approx(1 + spike, rel=1e-9)


def test_the_table_of_the_six():
    rows = {
        "SGD": (-1000.0, 1, 1, 1001),
        "momentum": (-99.1, 44, 51, 1001),
        "Nesterov": (-189.19, 43, 50, 1001),
        "RMSProp": (-10.0, 1, 808, 791),
        "Adam": (-3.13, 44, 5807, 5614),
        "AdamW": (-3.13, 44, 5807, 5614),
    }
    for name, (first, wrong, back, lost) in rows.items():
        assert lesson.after_spike(name, 1000.0, 0.9, 0.999)[0] == pytest.approx(first, abs=0.006)
        assert lesson.toll(name, 1000.0, 0.9, 0.999) == (pytest.approx(lost, abs=0.5), wrong, back)
        assert lesson.toll(name, 1.0, 0.9, 0.999)[0] == pytest.approx(2.0)


def test_what_a_loose_threshold_costs():
    lost = [round(lesson.toll("Adam", c, 0.9, 0.999)[0]) for c in (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)]
    assert lost == [2, 8, 58, 369, 1569, 3354, 5614]


@pytest.mark.parametrize(
    ("before", "beta2", "first", "back"),
    [
        (10, 0.999, -0.48, 5810),
        (100, 0.999, -0.97, 5809),
        (3000, 0.999, -3.05, 5807),
        (3000, 0.99, -0.99, 808),
        (3000, 0.9, -0.31, 99),
    ],
)
def test_an_early_spike_and_another_memory(before, beta2, first, back):
    bare, met = Bare("Adam", 1.0, 1, beta2=beta2), []
    for step in range(before + 6000):
        met.append(bare.step([-1000.0 if step == before else 1.0], [0.0])[0])
    met = np.array(met[before:]) / met[before - 1]
    ours = lesson.updates_after(Adam(0.01, beta2=beta2), np.array([1000.0]), before, 6000)[:, 0]
    np.testing.assert_allclose(ours, met, rtol=1e-7, atol=1e-10)
    assert met[0] == pytest.approx(first, abs=0.006)
    assert np.flatnonzero(met < 0.5)[-1] + 1 == back
    assert np.sum(met < 0) == 44


@pytest.mark.parametrize("name", lesson.SIX)
def test_sentences_of_the_six(name):
    for spike in (1.0, 37.0, 1e5):
        for c in (1.0, 50.0, 1e5):
            for beta, beta2 in ((0.0, "0.9"), (0.99, "0.999")):
                state = lesson.SpikeState(optimizer=name, spike=spike, max_norm=c, beta=beta, beta2=beta2)
                result = lesson.meet_spike(state)
                sentence = lesson.read_spike(result)
                assert not re.search(r"nan|inf\b|  ", sentence)
                assert (f"The threshold c = {c:g} does not touch it" in sentence) == (spike <= c)
                lost, wrong, back = lesson.toll(name, spike, beta, float(beta2))
                assert f"{wrong:,} of them go the wrong way" in sentence
                assert f"back after step {back:,}, and {lost:,.0f} usual steps are lost" in sentence
                lost, wrong, back = lesson.toll(name, min(spike, c), beta, float(beta2))
                assert spike <= c or sentence.endswith(f"then {wrong:,}, {back:,} and {lost:,.0f}.")


def test_a_click_on_a_row_chooses_it_and_shades_it():
    drawing = lesson.SPIKE.figure(lesson.meet_spike(lesson.SpikeState()))
    for row, name in zip((5, 4, 3, 2, 1, 0), lesson.SIX, strict=True):
        state = lesson.hold_row(lesson.SpikeState(), "cost", 100.0, row + 0.3)
        assert state.optimizer == name
        drawing.update(lesson.meet_spike(state))
        assert drawing.data("row")[:, 1].min() == row - 0.5
        assert drawing.data("row")[:, 1].max() == row + 0.5
    assert lesson.hold_row(lesson.SpikeState(), "cost", 100.0, -99.0).optimizer == "AdamW"
    assert lesson.hold_row(lesson.SpikeState(), "update", 3.0, 0.0) == lesson.SpikeState()


# ---- momentum


@pytest.mark.parametrize(("beta", "at_random"), [(0.0, 1.0), (0.5, 1.58), (0.9, 3.74), (0.99, 11.11)])
def test_clipped_gradients_bound_the_velocity(beta, at_random):
    grads = np.random.default_rng(0).normal(size=(2000, 10))
    grads *= 2 / np.linalg.norm(grads, axis=1, keepdims=True)
    longest = {}
    for way, stream in (("random", grads), ("one", np.tile([2.0, 0.0], (2000, 1)))):
        velocity, average, norms = 0.0, 0.0, []
        for grad in stream:
            velocity, average = beta * velocity + grad, beta * average + (1 - beta) * grad
            assert np.linalg.norm(average) <= 2 * (1 + 1e-12)
            norms.append(np.linalg.norm(velocity))
        longest[way] = max(norms) / 2
    assert longest["one"] == pytest.approx(1 / (1 - beta), rel=1e-6)
    assert longest["random"] == pytest.approx(at_random, abs=0.006)


# ---- where the clip stands

CENTRES = ((0.8, -0.5), (-2.4, 1.5))


def test_micro_gradients_are_slopes_of_two_bowls_whose_sum_rests_at_the_origin():
    def loss(k, theta):
        return (0.75, 0.25)[k] * sum((x - p) ** 2 for x, p in zip(theta, CENTRES[k], strict=True))

    theta, h = [0.3, -1.1], 1e-6
    grads = lesson.micro_gradients(np.array(theta), 0)
    for k in range(2):
        for i in range(2):
            up, down = ([x + s * h * (j == i) for j, x in enumerate(theta)] for s in (1, -1))
            assert grads[k, i] == pytest.approx((loss(k, up) - loss(k, down)) / (2 * h), rel=1e-6)
    assert lesson.micro_gradients(np.zeros(2), 3).sum(0) == pytest.approx([0, 0], abs=1e-12)
    spike = lesson.micro_gradients(np.zeros(2), 30) - lesson.micro_gradients(np.zeros(2), 29)
    assert spike.tolist() == [pytest.approx([-800, 600]), [0, 0]]


def pulls(theta):
    """The gradients of the two micro-batches."""
    return [
        [k * (x - p) for x, p in zip(theta, centre, strict=True)] for k, centre in zip((1.5, 0.5), CENTRES, strict=True)
    ]


def bare_walk(place, name, c, n_steps=200):
    bare = Bare(name, 0.005 if name == "momentum" else 0.05, 2)
    theta, path = [-2.5, -2.5], []
    for step in range(n_steps + 1):
        path.append(theta)
        one, two = pulls(theta)
        if step == 30:
            one = [one[0] - 800, one[1] + 600]
        if place == "on every micro-batch":
            one, two = cut(one, c), cut(two, c)
        if place == "on the buffer, each time":
            one = cut(one, c)
        grad = [a + b for a, b in zip(one, two, strict=True)]
        if place in ("in its place", "on the buffer, each time"):
            grad = cut(grad, c)
        if place == "before unscaling":
            grad = [g / 65536 for g in cut([65536 * g for g in grad], c)]
        update = bare.step(grad, theta)
        if place == "on the update":
            update = cut(update, bare.rate * c)
        theta = [x - u for x, u in zip(theta, update, strict=True)]
    return np.array(path)


@pytest.mark.parametrize("name", lesson.TRAINED)
@pytest.mark.parametrize(
    "place", [lesson.IN_PLACE, lesson.AFTER, lesson.UPDATE, lesson.EACH, lesson.BUFFER, lesson.SCALED]
)
def test_walks_are_those_of_a_plain_loop(place, name):
    for c in (0.1, 1.0, 2.34567):
        ours, theirs = lesson.one_walk(place, name, c), bare_walk(place, name, c)
        until = 201
        if (place, name) == (lesson.SCALED, "Adam"):  # gradients of one length never settle: rounding grows
            until = 60
            assert np.hypot(*ours[-1]) < 0.02 > np.hypot(*theirs[-1])
        np.testing.assert_allclose(ours[:until], theirs[:until], rtol=1e-5, atol=1e-6)


def end(place, name, c=1.0):
    return lesson.one_walk(place, name, c)[-1]


def test_clipping_after_the_step_is_not_clipping():
    for name in lesson.TRAINED:
        assert (lesson.one_walk(lesson.AFTER, name, 0.3) == lesson.one_walk(lesson.NOWHERE, name, 1.0)).all()
    far = np.hypot(*lesson.one_walk(lesson.AFTER, "SGD", 1.0).T)
    assert far[31:].max() == pytest.approx(49.98, abs=0.005)
    assert math.hypot(*end(lesson.AFTER, "Adam")) == pytest.approx(1.216, abs=5e-4)


def test_clipping_the_update_is_clipping_for_sgd_alone():
    np.testing.assert_allclose(
        lesson.one_walk(lesson.UPDATE, "SGD", 1.0), lesson.one_walk(lesson.IN_PLACE, "SGD", 1.0), atol=1e-12
    )
    steps = np.hypot(*np.diff(lesson.one_walk(lesson.UPDATE, "Adam", 1.0), axis=0).T)
    assert (steps <= 0.05 * (1 + 1e-9)).all()
    assert math.hypot(*end(lesson.UPDATE, "Adam")) == pytest.approx(1.571, abs=5e-4)
    assert math.hypot(*end(lesson.UPDATE, "momentum")) == pytest.approx(2.623, abs=5e-4)


def test_clipping_micro_batches_rests_in_the_wrong_place():
    x = end(lesson.EACH, "SGD")
    one, two = pulls(x.tolist())
    assert np.add(cut(one, 1.0), cut(two, 1.0)) == pytest.approx([0, 0], abs=0.01)
    (along, up), (dx, dy) = np.subtract(*CENTRES), x - CENTRES[0]
    assert along * dy - up * dx == pytest.approx(0, abs=0.03)  # it lies on the line from A to B
    assert math.hypot(*x) == pytest.approx(0.831, abs=5e-4)
    # The buffer rests where B's pull, half its distance, is as long as c: 2c from B.
    for c in (0.5, 1.0):
        long = lesson.walk(lesson.BUFFER, lesson.TRAINED["momentum"], np.array([c]))[-1, 0]
        assert math.dist(long, CENTRES[1]) == pytest.approx(2 * c, abs=0.03)


def test_clipping_before_unscaling_stops_sgd_and_not_adam():
    walked = math.dist(end(lesson.SCALED, "SGD"), (-2.5, -2.5))
    assert walked == pytest.approx(200 * 0.05 / 65536, rel=0.02)
    assert f"{walked:.2g}" == "0.00015"
    assert math.hypot(*end(lesson.SCALED, "Adam")) == pytest.approx(0.004, abs=5e-4)


@pytest.mark.parametrize("name", lesson.TRAINED)
def test_in_place_all_arrive(name):
    assert math.hypot(*end(lesson.IN_PLACE, name)) < 1e-3


def test_the_three_accumulations():
    ours = [lesson.accumulate(place) for place in (lesson.IN_PLACE, lesson.BUFFER, lesson.EACH)]
    root = math.sqrt(0.5)
    for got, want in zip(ours, ([root, root], [1 / math.sqrt(5), 2 / math.sqrt(5)], [1, 1]), strict=True):
        assert got == pytest.approx(want)


def test_torch_accumulates_and_unscales_alike():
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    micro = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)

    def after(each_time):
        weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        for grad in micro:
            (weight * grad).sum().backward()
            if each_time:
                torch.nn.utils.clip_grad_norm_([weight], 1.0)
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        return weight.grad.numpy()

    assert after(False) == pytest.approx(lesson.accumulate(lesson.IN_PLACE), rel=1e-5)
    assert after(True) == pytest.approx(lesson.accumulate(lesson.BUFFER), rel=1e-5)

    def step(unscale_first):
        weight = torch.zeros(2, requires_grad=True)
        optimizer, scaler = torch.optim.SGD([weight], lr=0.05), torch.amp.GradScaler("cpu", init_scale=65536.0)
        for grad in micro.float():
            scaler.scale((weight * grad).sum()).backward()
        if unscale_first:
            scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        scaler.step(optimizer)
        return -weight.detach().numpy() / 0.05

    for first, place in ((True, lesson.IN_PLACE), (False, lesson.SCALED)):
        ours = lesson.gradient_for(place, 65536 * lesson.MICRO[:, None], np.array([1.0]))[0]
        assert step(first) == pytest.approx(ours, rel=1e-4)


SAME = "it is one and the same run"


@pytest.mark.parametrize("place", [lesson.AFTER, lesson.UPDATE, lesson.EACH, lesson.BUFFER, lesson.SCALED])
@pytest.mark.parametrize("name", lesson.TRAINED)
def test_sentences_of_the_order(place, name):
    for c in (0.1, 1.0, 10.0):
        for step in (0, 31, 200):
            result = lesson.put_the_clip(lesson.OrderState(place=place, optimizer=name, max_norm=c, step=step))
            sentence = lesson.read_order(result)
            assert not re.search(r"nan|inf\b|\de[-+]?\d|  ", sentence)
            for run, words in (("elsewhere", f"clipped {place} the run is "), ("clipped", "in its place ")):
                assert words + lesson.number(math.hypot(*result.paths[run][step])) in sentence
            assert f"unclipped {lesson.number(math.hypot(*result.paths['raw'][step]))}" in sentence
            assert (SAME in sentence) == (
                place == lesson.AFTER or (place == lesson.UPDATE and name == "Adam" and c > 2)
            )
            assert ("these two places are one" in sentence) == (place == lesson.UPDATE and name == "SGD")
            if "It has come" in sentence:
                moved = math.dist(result.paths["elsewhere"][step], (-2.5, -2.5))
                assert f"It has come {lesson.number(moved)} from the start." in sentence


def test_runs_off_the_map_are_named_and_those_on_it_are_not():
    drawing = lesson.ORDER.figure(lesson.put_the_clip(lesson.ORDER.presets["after the step"].state))
    assert drawing.data("lost") == "off the chart: unclipped, clipped elsewhere"
    drawing.update(lesson.put_the_clip(lesson.OrderState()))
    assert drawing.data("lost") == ""


def test_the_mouse_moves_the_step_of_the_order():
    assert lesson.hold_order(lesson.OrderState(), "time", 41.7, 1.0).step == 42
    assert lesson.hold_order(lesson.OrderState(), "plane", 41.7, 1.0) == lesson.OrderState()


# ---- does Adam see the scale?


def test_a_common_factor_changes_adam_by_the_order_of_eps_over_g():
    rng = np.random.default_rng(0)
    for size, most in ((1.0, 1e-7), (1e-3, 2e-4)):
        grads = size * rng.uniform(0.5, 2, 300) * rng.choice([-1, 1], 300)
        one, hundred = Bare("Adam", 1.0, 1), Bare("Adam", 1.0, 1)
        change = [abs(one.step([g], [0])[0] / hundred.step([100 * g], [0])[0] - 1) for g in grads.tolist()]
        assert most / 100 < np.median(change) < most


@pytest.mark.parametrize("c", [1e-3, 1e-5, 1e-6, 1e-7, 1e-8])
def test_with_norms_alike_adam_notices_the_threshold_near_eps_only(c):
    [size] = [trips.mean_updates(Adam(1.0), np.array([0.0]), np.array([c, np.inf]))[0]]
    root = c / math.sqrt(10)  # √s of each of ten coordinates that share a norm of c
    assert size[0] / size[1] == pytest.approx(root / (root + 1e-8), abs=2e-3)


def test_with_lognormal_norms_clipping_lengthens_the_updates():
    rng = np.random.default_rng(3)
    gain = {}
    for spread in (0.0, 0.5, 1.0, 1.5):
        m, s, total = np.zeros((2, 100, 10)), np.zeros((2, 100, 10)), np.zeros(2)
        for t in range(1, 2001):
            g = rng.normal(size=(100, 10))
            g /= np.sqrt((g**2).sum(-1, keepdims=True))
            n = np.exp(spread * rng.normal(size=(100, 1)))
            g = np.stack([g * n, g * np.minimum(n, 1e-3)])
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
            total += np.abs(m / (1 - 0.9**t) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)).mean((1, 2)) / 2000
        gain[spread] = total[1] / total[0] - 1
        assert total[1] == pytest.approx(0.185, abs=1.5e-3)
    # Over draws of a hundred streams the gain at 1.5 varies by about .02; at 0 it is that of ε alone.
    assert gain == pytest.approx({0.0: 0, 0.5: 0.014, 1.0: 0.105, 1.5: 0.305}, abs=0.045)
    for spread, most in (("0", 1e-3), ("0.5", 0.02), ("1", 0.06), ("1.5", 0.12)):
        here = trips.feed_streams(trips.ScaleState(spread=spread)).here["Adam"]
        assert here - 1 == pytest.approx(gain[float(spread)], abs=most)


def test_sgd_shrinks_as_the_clipped_gradients_do():
    directions, logs = trips.stream()
    assert np.sqrt((directions**2).sum(-1)) == pytest.approx(np.ones(logs.shape))
    for spread, c in (("0", 0.001), ("1.5", 1.0), ("1.5", 0.37)):
        norms = np.exp(float(spread) * logs)
        weight = np.abs(directions).sum(-1)
        want = (np.minimum(norms, c) * weight).sum() / (norms * weight).sum()
        assert trips.feed_streams(trips.ScaleState(spread=spread, max_norm=c)).here["SGD"] == pytest.approx(want)


def test_a_typed_threshold_lies_between_its_neighbours():
    here = [trips.feed_streams(trips.ScaleState(spread="1.5", max_norm=c)).here["Adam"] for c in (1e-8, 2e-8, 3.16e-8)]
    assert here == sorted(here)


@pytest.mark.parametrize("spread", trips.SPREADS)
@pytest.mark.parametrize("c", [1e-9, 1e-3, 1.0, 1e3])
def test_sentences_of_the_streams(spread, c):
    result = trips.feed_streams(trips.ScaleState(spread=spread, max_norm=c))
    sentence = trips.read_scale(result)
    norms = np.exp(float(spread) * trips.stream()[1])
    share = 100 * np.mean(norms > 1.0001 * c)
    assert f"clips {share:.0f}% of the gradients" in sentence
    assert sentence.startswith("All norms are 1" if spread == "0" else f"Log norms spread by {spread}")
    sgd, adam = (trips.number(result.here[name]) for name in ("SGD", "Adam"))
    assert sentence.endswith(f"is {sgd} of the unclipped one for SGD, {adam} for Adam.")


def test_the_mouse_moves_the_threshold_of_the_streams():
    assert trips.hold_scale(trips.ScaleState(), "norms", 100.0, 1.1e-6).max_norm == pytest.approx(1e-6)
    assert trips.hold_scale(trips.ScaleState(), "sizes", 1.1e-6, 1.0).max_norm == pytest.approx(1e-6)


# ---- weight decay


@pytest.mark.parametrize("name", trips.DECAYED)
@pytest.mark.parametrize("form", trips.FORMS)
def test_idle_weights_are_those_of_a_plain_loop(name, form):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], 400)
    for decay, c in (("0.1", 1.0), ("1", 0.0123), ("0.01", 100.0)):
        bare, rate = Bare(name, {"SGD": 0.05, "Adam": 0.005}[name], 2), {"SGD": 0.05, "Adam": 0.005}[name]
        theta, idle, strength = [0.0, 1.0], [], float(decay)
        for sign in signs.tolist():
            idle.append(theta[1])
            pull = [strength * x for x in theta]
            grad = [10 * sign, 0.0]
            if form == "in the loss":
                grad = [g + p for g, p in zip(grad, pull, strict=True)]
            grad = cut(grad, c)
            if form == "coupled":
                grad = [g + p for g, p in zip(grad, pull, strict=True)]
            update = bare.step(grad, theta)
            if form == "decoupled":
                update = [u + rate * p for u, p in zip(update, pull, strict=True)]
            theta = [x - u for x, u in zip(theta, update, strict=True)]
        idle.append(theta[1])
        np.testing.assert_allclose(trips.idle_weight(name, decay, form, c), idle, rtol=1e-6, atol=1e-9)


def test_the_clip_reaches_decay_in_the_loss_alone():
    def left(name, decay, form, c):
        return trips.idle_weight(name, decay, form, c)[-1]

    for c in (0.01, 1.0, 100.0):
        for form in ("coupled", "decoupled"):
            assert left("SGD", "0.1", form, c) == pytest.approx((1 - 0.05 * 0.1) ** 400)
    assert left("SGD", "0.1", "in the loss", 100.0) == pytest.approx((1 - 0.05 * 0.1) ** 400)
    assert left("SGD", "0.1", "in the loss", 1.0) == pytest.approx((1 - 0.05 * 0.1 * 0.1) ** 400, rel=1e-3)
    assert left("SGD", "0.1", "in the loss", 0.01) == pytest.approx(0.998, abs=5e-4)
    for decay in ("0.01", "0.1", "1"):
        assert left("Adam", decay, "coupled", 1.0) == pytest.approx(0.0254, abs=1e-3)
        assert left("Adam", decay, "in the loss", 1.0) == pytest.approx(0.0254, abs=1e-3)
        assert left("Adam", decay, "decoupled", 1.0) == pytest.approx((1 - 0.005 * float(decay)) ** 400)


def test_decay_in_torchs_optimisers_comes_after_the_clip():
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    moved = {}
    for name, make in (
        ("SGD", lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1)),
        ("AdamW", lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
    ):
        weight = torch.tensor([1000.0], dtype=torch.float64, requires_grad=True)
        weight.grad = torch.tensor([50.0], dtype=torch.float64)
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        make([weight]).step()
        moved[name] = (1000 - weight.item()) / 0.01
    assert moved["SGD"] == pytest.approx(101, rel=1e-6)
    assert moved["AdamW"] == pytest.approx(101, rel=1e-6)
    ours = AdamW(0.01, weight_decay=0.1)
    theta = np.array([1000.0])
    update, _ = ours.update(np.array([1.0]), ours.init(theta), theta)
    assert -update[0] / 0.01 == pytest.approx(moved["AdamW"], rel=1e-6)


@pytest.mark.parametrize("name", trips.DECAYED)
@pytest.mark.parametrize("decay", ["0.01", "1"])
def test_sentences_of_decay(name, decay):
    for c in (0.01, 1.0, 100.0):
        result = trips.let_decay(trips.DecayState(optimizer=name, weight_decay=decay, max_norm=c))
        left = [trips.number(abs(trips.idle_weight(name, decay, form, c)[-1])) for form in trips.FORMS]
        assert trips.read_decay(result) == (
            f"{name}, λ = {decay}, c = {c:g}: after 400 steps the size of the idle weight is {left[0]} with the decay "
            f"in the loss, {left[1]} coupled, {left[2]} decoupled."
        )


def test_the_mouse_moves_the_threshold_of_decay():
    assert trips.hold_decay(trips.DecayState(), "left over", 0.0101, 0.5).max_norm == 0.01
    assert trips.hold_decay(trips.DecayState(), "weight", 0.0101, 0.5) == trips.DecayState()


# ---- pictures


@pytest.mark.parametrize(
    ("demo", "name", "axis"),
    [
        (lesson.FORK, "threshold", 0),
        (trips.SCALE, "threshold", 1),
        (trips.SCALE, "at", 0),
        (trips.DECAY, "threshold", 0),
    ],
)
def test_the_dotted_line_is_the_threshold(demo, name, axis):
    state = demo.state(max_norm=0.37)
    drawing = demo.figure(demo.compute(state))
    assert (drawing.data(name)[:, axis] == 0.37).all()
    axes = drawing._named[name].axes
    low, high = axes.get_xlim() if axis else axes.get_ylim()
    ends = sorted(drawing.data(name)[:, 1 - axis])
    assert low <= ends[0] < ends[1] <= high
    assert drawing._named[name].get_color() == style.THRESHOLD


def test_the_cursor_stands_at_the_step():
    drawing = lesson.FORK.figure(lesson.look_ahead(lesson.ForkState(step=123)))
    assert (drawing.data("cursor")[:, 0] == 123).all()


def test_a_mark_beyond_the_chart_lies_on_its_edge():
    result = lesson.look_ahead(lesson.ForkState(optimizer="RMSProp", step=300))
    assert result.clipped[-1] < 0.01
    drawing = lesson.FORK.figure(result)
    assert drawing.data("at clipped").tolist() == [[300, 0.01]]
    assert drawing.data("here").tolist() == [[3.16, 0.01]]
    result = lesson.put_the_clip(lesson.OrderState(optimizer="SGD"))
    assert lesson.ORDER.figure(result).data("at clipped").tolist() == [[200, 0.001]]


KEYS = {
    "fork": {"time": {"unclipped": "raw", "clipped at c": "clipped", "other thresholds": "ghosts"}},
    "spike": {"update": {"unclipped": "raw", "clipped": "clipped"}},
    "order": {"time": {"unclipped": "raw", "clipped elsewhere": "elsewhere", "in its place": "clipped"}},
    "scale": {
        "norms": {"before": "raw", "after": "clipped", "threshold c": "threshold"},
        "sizes": {"Adam": "Adam", "SGD": "SGD"},
    },
    "decay": {"weight": {"coupled": "coupled", "in the loss (clipped)": "in the loss", "decoupled": "decoupled"}},
}


@pytest.mark.parametrize("name", KEYS)
def test_the_key_shows_each_line_as_it_is_drawn(name):
    demo = lesson.LESSON.demos[name]
    drawing = demo.figure(demo.compute(demo.state()))
    for panel, lines in KEYS[name].items():
        legend = drawing.axes[panel].get_legend()
        shown = dict(zip([text.get_text() for text in legend.get_texts()], legend.get_lines(), strict=True))
        for words, role in lines.items():
            assert shown[words].get_color() == drawing._named[role].get_color()
            assert shown[words].get_linestyle() == drawing._named[role].get_linestyle()
    for role, look in (("raw", style.RAW_STYLE), ("clipped", style.CLIPPED_STYLE)):
        assert role not in drawing._named or drawing._named[role].get_color() == look["color"]


def arrays(value):
    if isinstance(value, np.ndarray):
        yield value
    for part in value.values() if isinstance(value, dict) else ():
        yield from arrays(part)


@pytest.mark.parametrize("name", lesson.LESSON.demos)
def test_nobody_can_spoil_what_is_kept(name):
    demo = lesson.LESSON.demos[name]
    first = demo.compute(demo.state())
    copies = [array.copy() for part in vars(first).values() for array in arrays(part)]
    for array in (array for part in vars(first).values() for array in arrays(part)):
        if array.flags.writeable:
            array[...] = 0
    fresh = [array for part in vars(demo.compute(demo.state())).values() for array in arrays(part)]
    for array, copy in zip(fresh, copies, strict=True):
        assert np.array_equal(array, copy, equal_nan=True)


# ---- predictions and exercises


def test_the_answers_to_the_predictions():
    answers = {name: prediction.truth() for name, prediction in lesson.PREDICTIONS.items()}
    assert answers == {"back": "thousands", "buffer": "turned", "unscaling": "sgd", "scale": "longer"}


def unscale_then_average(theta, velocity, scaled_grads, scale, learning_rate, max_norm):
    grad = np.zeros_like(theta)
    for scaled in scaled_grads:
        grad = grad + scaled / scale / len(scaled_grads)
    norm = np.linalg.norm(grad)
    if norm > max_norm:
        grad = grad * max_norm / norm
    velocity = 0.9 * velocity + grad
    return theta - learning_rate * velocity, velocity


def clips_at_a_scaled_threshold(theta, velocity, scaled_grads, scale, learning_rate, max_norm):
    grad = lesson.clip_by_global_norm(scaled_grads.mean(0), scale * max_norm) / scale
    velocity = 0.9 * velocity + grad
    return theta - learning_rate * velocity, velocity


RIGHT = {
    "longest_update": [
        lambda learning_rate, beta, max_norm, n_steps: learning_rate * sum(max_norm * beta**k for k in range(n_steps)),
    ],
    "training_step": [unscale_then_average, clips_at_a_scaled_threshold],
    "steps_to_half": [
        lambda spike, beta2: max(0.0, math.log(max((1 - beta2) * (spike**2 - 1) / 3, 1)) / math.log(1 / beta2)),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_pass(name):
    for answer in RIGHT[name]:
        report = diagnose(lesson.EXERCISES[name], answer)
        assert report.passed, report


def test_the_longest_update_is_reached_by_no_other_stream_of_gradients():
    rng = np.random.default_rng(5)
    for beta, n_steps in ((0.9, 10), (0.5, 3), (0.0, 4)):
        most = lesson.longest_update(0.1, beta, 2.0, n_steps)
        for grads in (np.tile([2.0, 0.0], (n_steps, 1)), rng.normal(size=(n_steps, 2)), -np.eye(2)[[0] * n_steps]):
            velocity = np.zeros(2)
            for grad in grads:
                velocity = beta * velocity + cut(grad, 2.0)
            assert 0.1 * math.hypot(*velocity) <= most * (1 + 1e-12)
        assert most == pytest.approx(0.1 * 2.0 * sum(beta**k for k in range(n_steps)))


def test_half_the_step_is_back_when_a_loop_says_so():
    for spike, beta2 in ((1000.0, 0.999), (100.0, 0.999), (1000.0, 0.99), (10_000.0, 0.9)):
        s, k = 1 + (1 - beta2) * (spike**2 - 1), 0
        while 1 / math.sqrt(s) < 0.5:
            s, k = beta2 * s + (1 - beta2), k + 1
        assert k - 1 < lesson.steps_to_half(spike, beta2) <= k
    assert lesson.steps_to_half(10.0, 0.999) == 0


def test_the_training_step_is_that_of_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    rng = np.random.default_rng(6)
    theta, scaled = rng.normal(size=3), 1024 * rng.normal(size=(4, 3))
    weight = torch.tensor(theta, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    velocity = np.zeros(3)
    for _ in range(5):
        weight.grad = torch.tensor(scaled).mean(0) / 1024
        torch.nn.utils.clip_grad_norm_([weight], 0.5)
        optimizer.step()
        theta, velocity = lesson.training_step(theta, velocity, scaled, 1024.0, 0.1, 0.5)
        assert theta == pytest.approx(weight.detach().numpy(), rel=1e-5)


def test_wrong_answers_that_are_not_on_the_list_are_not_taken_for_right():
    def clips_each_share(theta, velocity, scaled_grads, scale, learning_rate, max_norm):
        grad = sum(lesson.clip_by_global_norm(g / scale / len(scaled_grads), max_norm) for g in scaled_grads)
        velocity = 0.9 * velocity + grad
        return theta - learning_rate * velocity, velocity

    def clips_only_spikes_away(theta, velocity, scaled_grads, scale, learning_rate, max_norm):
        grad = scaled_grads.mean(0) / scale
        velocity = 0.9 * velocity + grad * (np.linalg.norm(grad) <= max_norm)
        return theta - learning_rate * velocity, velocity

    def gives_the_parameters_alone(theta, velocity, scaled_grads, scale, learning_rate, max_norm):
        return lesson.training_step(theta, velocity, scaled_grads, scale, learning_rate, max_norm)[0]

    for wrong in (clips_each_share, clips_only_spikes_away, gives_the_parameters_alone):
        report = diagnose(lesson.EXERCISES["training_step"], wrong)
        assert not report.passed
        assert report.detail
    for wrong in (lambda spike, beta2: 5806.0, lambda spike, beta2: math.floor(lesson.steps_to_half(spike, beta2) / 2)):
        assert not diagnose(lesson.EXERCISES["steps_to_half"], wrong).passed


def test_controls_reach_what_the_presets_need():
    for name, demo in lesson.LESSON.demos.items():
        for preset in demo.presets.values():
            for field, setting in controls_of(demo.state).items():
                if setting.kind in ("log", "linear"):
                    assert getattr(preset.state, field) in setting.values, (name, field)


def test_a_result_is_about_its_own_state():
    state = lesson.SpikeState(optimizer="RMSProp", spike=50.0, max_norm=5.0)
    assert lesson.meet_spike(state).update["clipped"][0] == pytest.approx(-5 / math.sqrt(1 + 24 * 0.01))
    other = lesson.meet_spike(replace(state, max_norm=100.0))
    assert other.update["clipped"] == pytest.approx(other.update["raw"])
