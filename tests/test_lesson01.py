"""Lesson 01's claims, each from plain loops or closed forms beside what the lesson computes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pictures import LOST, against, counted, so_far

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.diagnosis import diagnose
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import lesson01 as lesson
from gclip_lessons.models import Quadratic, check_gradient
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import sweep, train

# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "twins": lambda r: (
        {
            "raw": so_far(r, r.raw),
            "A": so_far(r, r.paths[0]),
            "B": so_far(r, r.paths[1]),
            "length A": counted(r.lengths[0][: r.state.step], 1),
            "length B": counted(r.lengths[1][: r.state.step], 1),
        }
        | LOST
    ),
    "floor": lambda r: {
        "clipped": counted(r.clipped),
        "raw": counted(r.raw),
        "amplitudes": against(r.rates, r.amplitudes),
        "at": against([r.state.learning_rate], [r.amplitude]),
    },
    "program": lambda r: (
        {f"θ{k}": counted(r.clipped[:, k]) for k in range(r.clipped.shape[1])}
        | {"clipped": counted(r.clipped_loss), "raw": counted(r.raw_loss)}
    ),
}


def walk(curvatures, start, eta, c, n_steps):
    """Clipped descent on ½Σλx², by hand: points (n_steps + 1, n) and which steps were clipped."""
    at, points, clipped = list(start), [list(start)], []
    for _ in range(n_steps):
        grad = [a * x for a, x in zip(curvatures, at, strict=True)]
        norm = math.sqrt(sum(g * g for g in grad))
        k = min(1.0, c / norm) if norm else 1.0
        at = [x - eta * k * g for x, g in zip(at, grad, strict=True)]
        points.append(at)
        clipped.append(norm > c)
    return np.array(points), np.array(clipped)


# ---- twins


@pytest.mark.parametrize("r", [0.3, 0.5, 1.7, 4.0])
def test_where_every_step_is_clipped_only_the_product_matters(r):
    a, all_a = walk((1, 4), (-3.5, 2.5), 0.1, 0.5, 60)
    b, all_b = walk((1, 4), (-3.5, 2.5), 0.1 * r, 0.5 / r, 60)
    assert all_a.all()
    assert all_b.all()
    assert np.max(np.abs(a - b)) < 1e-12
    result = lesson.run_twins(lesson.TwinsState(ratio=r))
    np.testing.assert_allclose(result.paths[0], a, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.paths[1], b, rtol=0, atol=1e-12)
    assert "All 60 steps" in lesson.read_twins(result)


def test_a_factor_that_is_a_power_of_two_gives_the_same_bits():
    result = lesson.run_twins(lesson.TwinsState())
    assert np.array_equal(*result.paths)
    assert result.apart == 0


def test_the_paths_part_at_the_first_step_that_is_not_clipped():
    state = lesson.TwinsState(max_norm=1.0)
    a, clipped = walk((1, 4), (-3.5, 2.5), 0.1, 1.0, 60)
    b, _ = walk((1, 4), (-3.5, 2.5), 0.4, 0.25, 60)
    first = int(np.argmin(clipped))
    assert np.max(np.abs(a - b)[: first + 1]) < 1e-12
    assert np.max(np.abs(a - b)[first + 1]) > 1e-4
    apart = np.max(np.hypot(*(a - b).T))
    says = lesson.read_twins(lesson.run_twins(state))
    assert f"At step {first + 1} A is not clipped" in says
    assert f"{apart:.3g}" in says
    # Up to there the sentence still says that they are one.
    assert "the same" in lesson.read_twins(lesson.run_twins(replace(state, step=first)))


def test_with_c_above_every_norm_only_eta_matters():
    a, clipped = walk((1, 4), (-3.5, 2.5), 0.05, 100, 60)
    assert not clipped.any()
    for c in (100.0, 50.0):
        result = lesson.run_twins(lesson.TwinsState(learning_rate=0.05, max_norm=c, ratio=1.0))
        np.testing.assert_allclose(result.paths[0], a, rtol=0, atol=1e-12)
        np.testing.assert_allclose(result.raw, a, rtol=0, atol=1e-12)
        assert "No step of either run is clipped" in lesson.read_twins(result)


def test_no_step_is_longer_than_the_ceiling():
    for preset in lesson.TWINS.presets.values():
        result = lesson.run_twins(preset.state)
        ceiling = preset.state.learning_rate * preset.state.max_norm
        assert max(np.max(lengths) for lengths in result.lengths) <= ceiling * (1 + 1e-12)


def test_a_start_at_the_minimum_stays_there():
    result = lesson.run_twins(lesson.TwinsState(x=0.0, y=0.0))
    assert not result.paths[0].any()
    assert "gradient is zero" in lesson.read_twins(result)


def test_the_start_is_dragged_in_the_plane_only():
    state = lesson.TwinsState()
    moved = lesson.TWINS.drag(state, "plane", 1.234567, -9.0)
    assert (moved.x, moved.y) == (1.23, -4.0)
    assert lesson.TWINS.drag(state, "length", 1.0, 1.0) == state


def test_the_table_of_forty_steps():
    rates, thresholds = (0.025, 0.05, 0.1, 0.2), (0.125, 0.25, 0.5, 1.0, 100.0)
    ends, always = {}, {}
    for eta in rates:
        for c in thresholds:
            points, clipped = walk((1, 4), (-3.5, 2.5), eta, c, 40)
            ends[eta, c], always[eta, c] = math.hypot(*points[-1]), clipped.all()
    assert all(ends[p] == pytest.approx(3.495, abs=5e-4) for p in [(0.025, 1), (0.05, 0.5), (0.1, 0.25), (0.2, 0.125)])
    assert all(ends[p] == pytest.approx(2.688, abs=5e-4) for p in [(0.05, 1), (0.1, 0.5), (0.2, 0.25)])
    assert (always[0.2, 0.5], always[0.1, 1.0]) == (True, False)
    assert ends[0.2, 0.5] == pytest.approx(0.807, abs=5e-4)
    assert ends[0.1, 1.0] == pytest.approx(0.816, abs=5e-4)
    assert ends[0.025, 100] == pytest.approx(1.272, abs=5e-4)
    assert ends[0.2, 100] < 5e-4
    # … "at the rates of the table": near 2/λ = 0.5 it is the clipped run that gets nearer.
    unclipped, clipped = (math.hypot(*walk((1, 4), (-3.5, 2.5), 0.49, c, 40)[0][-1]) for c in (100, 1.0))
    assert clipped < unclipped / 100
    for eta in rates:  # "got nearer than every clipped run of its row"
        assert ends[eta, 100] < min(ends[eta, c] for c in thresholds[:-1])
    runs = sweep(
        lesson.BOWL,
        np.array([-3.5, 2.5]),
        SGD,
        ClipByGlobalNorm,
        learning_rates=np.array(rates),
        thresholds=np.array(thresholds),
        n_steps=40,
    )
    got = np.hypot(*np.moveaxis(runs.params[-1], -1, 0))
    np.testing.assert_allclose(got.ravel(), list(ends.values()), rtol=1e-9)


# ---- the floor


def test_two_dimensions_end_at_half_of_eta_c():
    points, _ = walk((1, 100), (1.0, 1.0), 0.021, 1.0, 4000)
    assert np.abs(points[-2:, 1]) == pytest.approx(0.0105, abs=1e-9)
    off_centre, _ = walk((1, 100), (10.0, 1.0), 0.021, 1.0, 4000)
    low, high = sorted(off_centre[-2:, 1])
    assert (high - low) / 2 == pytest.approx(0.0105, abs=1e-9)
    assert (low, high) == pytest.approx((-0.0107, 0.0103), abs=5e-5)
    run = train(
        Quadratic.diagonal(np.array([1.0, 100.0])),
        np.array([1.0, 1.0]),
        SGD(0.021),
        ClipByGlobalNorm(1.0),
        n_steps=4000,
    )
    assert np.abs(run.params[-2:, 1]) == pytest.approx(0.0105, abs=1e-9)


@pytest.mark.parametrize(
    ("eta", "c"), [(0.021, 1.0), (0.021, 0.2), (0.021, 2.0), (0.025, 0.5), (0.0333, 1.1), (0.05, 3.0)]
)
def test_above_the_limit_the_swing_is_one_clipped_step_wide(eta, c):
    points, clipped = walk((100,), (math.sqrt(0.005),), eta, c, 300)
    assert clipped[-20:].all()
    assert (points[-20:].max() - points[-20:].min()) / 2 == pytest.approx(eta * c / 2, rel=1e-9)
    result = lesson.find_floor(lesson.FloorState(learning_rate=eta, max_norm=c))
    assert result.amplitude == pytest.approx(eta * c / 2, rel=1e-9)
    # Single runs near a cycle agree to rounding times growth, not to the last bit.
    np.testing.assert_allclose(result.clipped[:30], points[:30, 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("eta", [0.005, 0.015, 0.019])
def test_below_the_limit_clipping_falls_asleep_and_the_run_converges(eta):
    points, clipped = walk((100,), (math.sqrt(0.005),), eta, 1.0, 300)
    assert clipped[0]
    assert not clipped[100:].any()
    assert abs(points[-1, 0]) < 1e-9
    says = lesson.read_floor(lesson.find_floor(lesson.FloorState(learning_rate=eta)))
    assert f"shortens {clipped.sum()} of 300 steps" in says
    assert "below 1e-9" in says


def test_without_clipping_the_steep_coordinate_grows_by_the_closed_form():
    result = lesson.find_floor(lesson.FloorState())
    assert result.raw[-1] == pytest.approx(math.sqrt(0.005) * (1 - 0.021 * 100) ** 300, rel=1e-9)


def test_typed_values_are_run_and_stops_looked_up_with_the_same_result():
    stops = controls_of(lesson.FloorState)
    eta, c = 0.021, 1.0
    assert eta in stops["learning_rate"].values
    assert c in stops["max_norm"].values
    looked_up = lesson.find_floor(lesson.FloorState(eta, c))
    rates = np.array([eta, *stops["learning_rate"].values])
    run = lesson._steep_runs(rates, np.array([c, np.inf]))
    np.testing.assert_array_equal(looked_up.clipped, run[:, 0, 0])
    typed = lesson.find_floor(lesson.FloorState(0.02137, 1.0137))
    assert typed.amplitude == pytest.approx(0.02137 * 1.0137 / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("eta", "c", "says"),
    [
        (0.02, 1.0, "exactly 2/λ"),
        (0.001, 0.1, "still on its way to the minimum"),
        (0.0199, 1.0, "still falling"),
        (0.021, 1.0, "amplitude 0.0105, and ηc/2 = 0.0105"),
    ],
)
def test_every_regime_of_the_floor_has_its_sentence(eta, c, says):
    assert says in lesson.read_floor(lesson.find_floor(lesson.FloorState(eta, c)))


# ---- the article's program


def test_each_broken_state_of_the_program_fails_as_told():
    column = np.random.default_rng(1).normal(size=(10, 1))
    nothing = np.gradient(np.sum(column**2))
    assert len(nothing) == 0
    after = column - np.clip(nothing, -0.1, 0.1)
    assert after.shape == (10, 0)
    assert np.sum(after**2) == 0
    with pytest.raises(ValueError, match="broadcast"):
        column.ravel() - np.clip(nothing, -0.1, 0.1)
    assert np.gradient(np.array([1.0, 4.0, 9.0, 16.0])).tolist() == [3, 4, 6, 7]


def test_without_a_rate_the_parameters_flip_or_move_by_the_threshold():
    theta = lesson.ten_parameters()
    assert np.sum(theta**2) == pytest.approx(4.47, abs=5e-3)
    path = lesson.run_program(lesson.ProgramState()).clipped
    np.testing.assert_array_equal(path[::2], np.broadcast_to(theta, (31, 10)))
    np.testing.assert_array_equal(path[1::2], np.broadcast_to(-theta, (30, 10)))
    tight = lesson.run_program(lesson.ProgramState(max_value=0.1))
    assert np.abs(tight.clipped[1] - theta) == pytest.approx(0.1, rel=1e-12)
    assert np.max(np.abs(tight.clipped[-1])) <= 0.05
    np.testing.assert_array_equal(tight.clipped[-1], tight.clipped[-3])
    assert tight.clipped_loss[-1] > 1e-3
    assert np.abs(2 * theta).min() == pytest.approx(0.588, abs=5e-4)  # so all gradients are above ε at first


@pytest.mark.parametrize(
    ("eta", "c", "says"),
    [
        (1.0, 10.0, "The last step flips the sign of 10 of 10 parameters, and moves no parameter by more than 2.6"),
        (0.01, 10.0, "The last step flips no sign, and moves no parameter by more than"),
    ],
)
def test_the_sentence_of_the_program_says_what_its_last_step_does(eta, c, says):
    assert says in lesson.read_program(lesson.run_program(lesson.ProgramState(eta, c)))


def test_the_mended_program_is_what_train_does():
    theta = lesson.ten_parameters().tolist()
    for _ in range(60):
        theta = [t - 0.1 * max(-1.0, min(1.0, 2 * t)) for t in theta]
    result = lesson.run_program(lesson.ProgramState(learning_rate=0.1, max_value=1.0))
    np.testing.assert_allclose(result.clipped[-1], theta, rtol=1e-9)
    assert sum(t * t for t in theta) < 1e-9


def test_the_gradient_check_passes_the_truth_and_fails_the_half():
    theta = lesson.ten_parameters()
    assert check_gradient(lesson.SUM_OF_SQUARES, theta, np.random.default_rng(0)) < 1e-6

    class ForgotTheTwo:
        n_params = 10

        def loss_and_grad(self, params, step=0):
            return np.vecdot(params, params), params

    with pytest.raises(AssertionError, match="wrong gradient in direction 0"):
        check_gradient(ForgotTheTwo(), theta, np.random.default_rng(0))


# ---- predictions and exercises


def test_the_answers_to_the_predictions():
    assert {name: p.truth() for name, p in lesson.PREDICTIONS.items()} == {
        "twins": "same",
        "floor": "bounces",
        "no_rate": "flips",
    }


def test_bounce_is_what_a_long_run_does():
    for probe in lesson.EXERCISES["bounce"].probes:
        eta, curvature, c = probe.args
        points, _ = walk((curvature,), (1.2345,), eta, c, 5000)
        width = points[-20:].max() - points[-20:].min()
        assert lesson.bounce(eta, curvature, c) == pytest.approx(width / 2, abs=1e-9)


@pytest.mark.parametrize("limit", [1.95, 2.05, 2.09])
def test_another_limit_than_two_is_caught(limit):
    def nearly(learning_rate, curvature, max_norm):
        return 0.0 if learning_rate * curvature < limit else learning_rate * max_norm / 2

    assert not diagnose(lesson.EXERCISES["bounce"], nearly).passed


def test_an_update_written_for_three_parameters_is_caught():
    def sees_three(theta, grad, learning_rate, max_norm):
        norm = np.linalg.norm(grad[:3])
        return theta - learning_rate * grad * (min(1.0, max_norm / norm) if norm else 1.0)

    assert not diagnose(lesson.EXERCISES["update"], sees_three).passed


def test_an_update_in_place_is_not_passed():
    def in_place(theta, grad, learning_rate, max_norm):
        norm = np.sqrt(np.sum(grad**2))
        theta -= learning_rate * grad * (max_norm / norm if norm > max_norm else 1.0)
        return theta

    report = diagnose(lesson.EXERCISES["update"], in_place)
    assert not report.passed
    assert report.kind == "changed_input"


def test_an_epsilon_in_the_factor_is_accepted():
    def as_in_pytorch(theta, grad, learning_rate, max_norm):
        return theta - learning_rate * grad * min(1.0, max_norm / (np.linalg.norm(grad) + 1e-6))

    assert diagnose(lesson.EXERCISES["update"], as_in_pytorch).passed


def test_the_central_difference_agrees_with_derivatives_by_hand():
    theta = np.array([2.0, 3.0, 4.0])
    got = lesson.central_difference(lesson.product, theta, 0.1)
    assert got == pytest.approx([12.0, 8.0, 6.0], rel=1e-12)
    cubes = lesson.central_difference(lesson.sum_of_cubes, np.array([1.0, 2.0]), 0.5)
    assert cubes == pytest.approx([3 + 0.25, 12 + 0.25], rel=1e-12)  # 3θ² + h²
