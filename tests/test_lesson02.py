"""Lesson 02: its claims against plain loops and closed forms, its pictures' extremes, and wrong answers to it."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from pictures import LOST, against, counted, so_far

from gclip_lessons.clipping import clip_by_global_norm, clip_by_value, global_norm
from gclip_lessons.diagnosis import diagnose, undistinguished
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import lesson02 as lesson


def spikes(values: np.ndarray, side: float) -> np.ndarray:
    shown = values[:12]
    return against((np.arange(len(shown)) + 0.5) / len(shown) + side, shown)


# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "box": lambda r: {
        "raw": r.grad[None],
        "clipped": r.clipped[None],
        "turns": against(r.directions, r.turns),
        "at": against([np.degrees(np.arctan2(*r.grad[::-1])) % 360], [r.turn]),
    },
    "spike": lambda r: {
        "raw": spikes(r.grad, -0.016),
        "clipped": spikes(r.clipped, 0.016),
        "turns": against(r.numbers, r.turns),
        "at": against([r.state.n_params], [r.turn]),
    },
    "valley": lambda r: (
        {role: so_far(r, path) for role, path in r.paths.items()}
        | {f"loss {role}": counted(loss) for role, loss in r.losses.items()}
        | LOST
    ),
}


def clamp(x: float, c: float) -> float:
    return -c if x < -c else c if x > c else x


def turn_between(a: list[float], b: list[float]) -> float:
    """By the cosine law in exact sums: nothing of the package takes part."""
    norms = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
    return math.degrees(math.acos(min(1.0, math.fsum(x * y for x, y in zip(a, b, strict=True)) / norms)))


def descend(rule: str, angle: float, c: float, rate: float, n_steps: int = 100) -> list[tuple[float, float, float]]:
    """θ₁, θ₂ and the loss of each step, with the gradient of the turned valley written out in its own axes."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = cos * -5 - sin * 2, sin * -5 + cos * 2
    path = []
    for _ in range(n_steps + 1):
        along, across = cos * x + sin * y, -sin * x + cos * y
        path.append((x, y, 0.5 * along**2 + 10 * across**2))
        gx, gy = cos * along - sin * 20 * across, sin * along + cos * 20 * across
        if rule == "value":
            gx, gy = clamp(gx, c), clamp(gy, c)
        if rule == "sign":
            gx, gy = math.copysign(c, gx), math.copysign(c, gy)
        if rule == "norm":
            k = min(1.0, c / math.hypot(gx, gy))
            gx, gy = k * gx, k * gy
        x, y = x - rate * gx, y - rate * gy
    return path


# ---- the box


@pytest.mark.parametrize(
    ("g1", "g2", "c"), [(5, 1, 2), (1.5, -1, 2), (-5, 3, 2), (4, 4, 1), (6, 0.3, 0.3), (-6, -6, 10)]
)
def test_the_box_clamps_and_turns(g1, g2, c):
    result = lesson.clip_one(lesson.BoxState(g1=float(g1), g2=float(g2), max_value=float(c)))
    expected = [clamp(g1, c), clamp(g2, c)]
    assert result.clipped.tolist() == expected
    assert result.turn == pytest.approx(turn_between([g1, g2], expected), abs=2e-6)


def test_the_curve_of_turns_goes_through_the_marker_and_stays_below_45_degrees():
    for length, c in ((5.0, 2.0), (6.0, 0.1), (1.0, 2.0)):
        result = lesson.clip_one(lesson.BoxState(g1=length, g2=0.0, max_value=c))
        for degrees in range(0, 360, 5):
            g = [length * math.cos(math.radians(degrees)), length * math.sin(math.radians(degrees))]
            expected = turn_between(g, [clamp(x, c) for x in g])
            assert result.turns[2 * degrees] == pytest.approx(expected, abs=3e-6)
        assert result.turns.max() < 45


def test_no_box_turns_the_axes_and_the_diagonals():
    result = lesson.clip_one(lesson.BoxState(g1=6.0, g2=0.0, max_value=0.1))
    assert result.turns[::90] == pytest.approx(0, abs=1e-5)


def test_the_zero_gradient_has_no_direction_and_a_sentence():
    result = lesson.clip_one(lesson.BoxState(g1=0.0, g2=0.0))
    assert result.turn == 0
    assert "zero" in lesson.read_box(result)
    assert "nan" not in lesson.read_box(result)


def test_one_coordinate_over_reads_as_in_the_lesson():
    sentence = lesson.read_box(lesson.clip_one(lesson.BoxState()))
    assert "5.1 becomes 2.24" in sentence
    assert "15.3°" in sentence
    assert math.degrees(math.atan2(1, 2) - math.atan2(1, 5)) == pytest.approx(15.255, abs=1e-3)


# ---- the spike


@pytest.mark.parametrize(("d", "degrees"), [(2, 44.99), (10, 71.55), (100, 84.20)])
def test_one_spike_of_10000_turns_by(d, degrees):
    result = lesson.clip_spike(lesson.SpikeState(n_params=d))
    closed = (1e4 + d - 1) / (math.sqrt(1e8 + d - 1) * math.sqrt(d))
    assert result.turn == pytest.approx(math.degrees(math.acos(closed)), abs=1e-5)
    assert result.turn == pytest.approx(degrees, abs=0.006)
    assert result.turn < lesson.largest_turn(d)


def test_its_cosine_among_ten_is_that_of_the_facts():
    turn = lesson.clip_spike(lesson.SpikeState()).turn
    assert math.cos(math.radians(turn)) == pytest.approx(0.3165, abs=5e-5)
    assert lesson.PREDICTIONS["spike"].truth() == turn


@pytest.mark.parametrize("s", [1.0, 3.0, 1e3, 1e6])
@pytest.mark.parametrize("c", [0.1, 0.7, 1.0, 50.0, 1e6])
def test_the_curve_over_d_is_that_of_gradients_without_filling_zeros(s, c):
    result = lesson.clip_spike(lesson.SpikeState(spike=s, max_value=c))
    for d in (2, 3, 10, 77, 100):
        grad = [s] + [1.0] * (d - 1)
        assert result.turns[d - 2] == pytest.approx(turn_between(grad, [clamp(x, c) for x in grad]), abs=1e-5)


def test_a_spike_of_3_turns_less_among_a_hundred_and_c_below_the_ones_makes_no_difference():
    few, many = (lesson.clip_spike(lesson.SpikeState(n_params=d, spike=3.0)) for d in (10, 100))
    assert many.turn < few.turn
    tiny = lesson.clip_spike(lesson.SpikeState(spike=3.0, max_value=0.1))
    assert tiny.turn == pytest.approx(few.turn, abs=1e-6)


def test_a_spike_of_3_turns_the_furthest_among_four_coordinates():
    turns = lesson.clip_spike(lesson.SpikeState(spike=3.0)).turns
    assert turns[:3] == pytest.approx([math.degrees(math.acos(x)) for x in (4 / 20**0.5, 5 / 33**0.5, 6 / 48**0.5)])
    assert turns.argmax() == 4 - 2
    assert (np.diff(turns[2:]) < 0).all()


def test_in_the_preset_c_too_small_all_are_clamped_and_c_can_still_be_moved_down():
    state = lesson.SPIKE.presets["c too small"].state
    low = controls_of(lesson.SpikeState)["max_value"].low
    assert low < state.max_value < min(1.0, state.spike)
    lower = lesson.clip_spike(replace(state, max_value=low))
    assert lower.turn == pytest.approx(lesson.clip_spike(state).turn, abs=1e-6) != 0


@pytest.mark.parametrize("d", [2, 10, 100])
@pytest.mark.parametrize("s", [3.0, 1e4, 1e6])
def test_a_bound_that_is_not_reached_is_not_printed_as_if_it_were(d, s):
    sentence = lesson.read_spike(lesson.clip_spike(lesson.SpikeState(n_params=d, spike=s)))
    turn, bound = re.findall(r"([\d.]+)°", sentence)
    assert float(turn) < float(bound)


def test_the_bound_holds_for_heavy_tails_and_nothing_points_uphill():
    rng = np.random.default_rng(1)
    for d in (2, 3, 10, 50):
        grads = rng.standard_cauchy((300, d)) ** 3
        for c in (1e-6, 0.1, 10.0):
            for grad in grads.tolist():
                clipped = [clamp(x, c) for x in grad]
                assert sum(x * y for x, y in zip(grad, clipped, strict=True)) > 0
                assert turn_between(grad, clipped) < math.degrees(math.atan(math.sqrt(d - 1))) + 1e-6


def test_the_bound_is_approached_and_grows_with_the_number_of_coordinates():
    assert lesson.largest_turn(1) == 0
    for d in (2, 10, 100):
        grad = [1e9] + [1.0] * (d - 1)
        nearly = turn_between(grad, [1.0] * d)
        assert 0 < lesson.largest_turn(d) - nearly < 1e-4
        assert lesson.largest_turn(d) < lesson.largest_turn(d + 1) < 90


# ---- the valley


@pytest.mark.parametrize("angle", [0, 15, 45, 75, 90])
def test_the_three_runs_are_those_of_a_plain_loop(angle):
    result = lesson.descend_three(lesson.ValleyState(angle=float(angle)))
    for name in ("raw", "value", "norm"):
        plain = np.array(descend(name, angle, 1.0, 0.09))
        np.testing.assert_allclose(result.paths[name], plain[:, :2], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(result.losses[name], plain[:, 2], rtol=1e-7, atol=1e-15)


def test_a_turned_valley_changes_the_run_by_value_alone():
    losses = {
        angle: {rule: descend(rule, angle, 1.0, 0.09)[40][2] for rule in ("raw", "value", "norm")} for angle in (0, 75)
    }
    assert losses[0]["norm"] == pytest.approx(losses[75]["norm"], rel=1e-9)
    assert losses[0]["raw"] == pytest.approx(losses[75]["raw"], rel=1e-9)
    assert losses[0]["norm"] == pytest.approx(4.02, abs=0.005)
    assert losses[0]["value"] == pytest.approx(0.98, abs=0.005)
    assert losses[75]["value"] == pytest.approx(3.17, abs=0.005)
    assert lesson.PREDICTIONS["valley"].truth() == "value"


def test_the_box_inside_the_ball_wins_along_the_axes_and_loses_when_turned():
    ball = descend("norm", 0, 1.0, 0.09)[40][2]
    small = {angle: descend("value", angle, 1 / math.sqrt(2), 0.09)[40][2] for angle in (0, 75)}
    assert small[0] == pytest.approx(3.01, abs=0.005)
    assert small[75] == pytest.approx(6.34, abs=0.005)
    assert small[0] < ball < small[75]
    assert descend("value", 15, 1 / math.sqrt(2), 0.09)[40][2] == pytest.approx(4.19, abs=0.005)
    at_the_angles = [descend("value", angle, 1.0, 0.09)[40][2] for angle in range(0, 91, 15)]
    assert (min(at_the_angles), max(at_the_angles)) == pytest.approx((0.98, 3.17), abs=0.005)


def test_the_limit_of_a_small_c_is_sign_descent_and_it_does_not_arrive():
    sign = np.array(descend("sign", 30, 0.4, 1.0))
    for c in (0.1, 0.01):
        run = lesson.descend("value", 30.0, c, 0.4 / c, -5.0, 2.0)
        np.testing.assert_allclose(run.params, sign[:, :2], atol=1e-12)
    assert sign[-1, 2] == pytest.approx(5.6312, abs=5e-5)
    assert sign[20:, 2].min() > 5.6
    assert descend("value", 30, 10, 0.04)[-1][2] == pytest.approx(0.0038, abs=5e-5)
    assert np.abs(np.array(descend("value", 30, 1, 0.4)) - sign)[:, :2].max() > 1


def test_corners_counts_the_steps_with_both_coordinates_clamped():
    result = lesson.descend_three(lesson.ValleyState())
    steps = np.abs(np.diff(np.array(descend("value", 0, 1.0, 0.09))[:41, :2], axis=0))
    assert result.corners == np.isclose(steps, 0.09).all(-1).sum() == 22


@pytest.mark.parametrize("rate", [0.001, 0.09, 0.11, 10.0])
@pytest.mark.parametrize("c", [0.01, 100.0])
@pytest.mark.parametrize("step", [0, 100])
def test_every_sentence_is_readable_also_when_a_run_diverges(rate, c, step):
    for start in ((-6.0, 4.0), (0.0, 0.0)):
        state = lesson.ValleyState(learning_rate=rate, max_value=c, step=step, along=start[0], across=start[1])
        sentence = lesson.read_valley(lesson.descend_three(state))
        assert "nan" not in sentence
        assert "inf" not in sentence


def test_the_start_follows_the_mouse_in_a_turned_valley():
    state = lesson.hold_start(lesson.ValleyState(angle=90.0), "plane", -1.0, 3.0)
    assert (state.along, state.across) == pytest.approx((3.0, 1.0))
    assert lesson.hold_start(state, "loss", 1.0, 1.0) == state
    far = lesson.hold_start(lesson.ValleyState(), "plane", -60.0, 60.0)
    assert (far.along, far.across) == (-6.0, 4.0)


def test_the_mouse_moves_threshold_and_number_of_coordinates():
    state = lesson.hold_spike(lesson.SpikeState(), "bars", 0.5, 30.0)
    assert state.max_value == 30.0
    assert lesson.hold_spike(state, "angle", 54.4, 3.0).n_params == 54
    assert lesson.hold_spike(state, "angle", 1e9, 3.0).n_params == 100
    assert lesson.hold_spike(state, "bars", 0.5, 1e-30).max_value == controls_of(lesson.SpikeState)["max_value"].low


# ---- length and noise


def test_a_value_threshold_allows_a_norm_of_c_root_d():
    for d in (2, 100, 1_000_000):
        assert global_norm(clip_by_value(np.full(d, 5.0), 1.0)) == pytest.approx(math.sqrt(d))


def test_by_value_no_coordinates_variance_rises_by_norm_one_can():
    pair = np.array([[1.0, 0.0], [1.0, 10.0]])
    k = 1 / math.sqrt(101)
    assert clip_by_global_norm(pair, 1.0)[:, 0].var() == pytest.approx(((1 - k) / 2) ** 2)
    assert ((1 - k) / 2) ** 2 == pytest.approx(0.203, abs=5e-4)
    draws = np.random.default_rng(2).standard_t(2, size=(4000, 3))
    for c in (0.1, 1.0, 5.0):
        assert (clip_by_value(draws, c).var(0) <= draws.var(0)).all()


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
    "clip_to_box": [
        lambda grad, max_value: np.minimum(np.maximum(grad, -max_value), max_value),
        lambda grad, max_value: np.array([max(-max_value, min(max_value, x)) for x in grad]),
        lambda grad, max_value: np.where(np.abs(grad) > max_value, max_value * np.sign(grad), grad),
        lambda grad, max_value: np.sign(grad) * np.minimum(np.abs(grad), max_value),
    ],
    "largest_turn": [
        lambda n_params: np.degrees(np.arctan(np.sqrt(n_params - 1))),
        lambda n_params: math.degrees(math.acos(1 / math.sqrt(n_params))),
        lambda n_params: 90 - np.degrees(np.arcsin(1 / np.sqrt(n_params))),
        lambda n_params: turn_between([1.0] + [0.0] * (n_params - 1), [1.0] * n_params),
    ],
    "shrink_into_box": [
        lambda grad, max_value: grad / max(1.0, np.max(np.abs(grad)) / max_value),
        lambda grad, max_value: clip_by_global_norm(grad, max_value, ord=np.inf),
        lambda grad, max_value: grad * min(1.0, max_value / max(np.max(np.abs(grad)), 1e-12)),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_pass(name):
    for answer in RIGHT[name]:
        report = diagnose(lesson.EXERCISES[name], answer)
        assert report.passed, report


def clips_the_first_three(grad, max_value):
    return np.concatenate([np.clip(grad[:3], -max_value, max_value), grad[3:]])


def clips_the_first_four(grad, max_value):
    return np.concatenate([np.clip(grad[:4], -max_value, max_value), grad[4:]])


@pytest.mark.parametrize("answer", [clips_the_first_three, clips_the_first_four])
def test_a_box_for_the_first_coordinates_alone_does_not_pass(answer):
    assert not diagnose(lesson.EXERCISES["clip_to_box"], answer).passed


@pytest.mark.parametrize(
    "answer",
    [lambda n_params: np.degrees(np.arccos(1 / np.sqrt(n_params + 1))), lambda n: np.degrees(np.arctan(np.sqrt(n)))],
)
def test_the_bound_of_one_coordinate_more_is_called_that_however_it_is_written(answer):
    report = diagnose(lesson.EXERCISES["largest_turn"], answer)
    assert report.misconception == "counts_the_spike_twice"
    assert "d + 1" in report.detail
