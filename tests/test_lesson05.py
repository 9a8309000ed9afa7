"""Lesson 05: its counts against plain loops, its maps against single runs, its captions at the ends, wrong answers."""

import io
import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from pictures import LOST, against, counted

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.diagnosis import diagnose
from gclip_lessons.explorer import explore
from gclip_lessons.figures import rate_map
from gclip_lessons.lessons import controls_of, snap
from gclip_lessons.lessons import lesson05 as lesson
from gclip_lessons.models import Wells
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import train


def ends(run, steps):
    return against([] if steps is None else [steps], [] if steps is None else run.norm[-1:])


def drawn_wall(r):
    norms = np.geomspace(1e-7, 1e6, 60)
    corners = np.array([1e-7, r.state.max_norm, 1e6])
    rate, c = r.state.learning_rate, r.state.max_norm
    shapes = {"cosh": np.cosh, "x⁴": lambda x: 12 * x**2, "bowl": np.ones_like}
    with np.errstate(over="ignore"):
        points = {
            name: against(run.norm, shapes[r.state.loss](run.points).max(-1))[np.isfinite(run.norm)]
            for name, run in (("points", r.clipped), ("raw points", r.raw))
        }
    bound = {"cosh": 1 + norms, "x⁴": 16 + norms, "bowl": np.ones(60)}[r.state.loss]
    return points | {
        "bound": against(norms, bound),
        "threshold": against(c, [1e-2, 1, 1e6]),
        "raw ceiling": against([1e-7, 1, 1e6], 2 / r.state.raw_rate),
        "ceiling": against(corners, [2 / rate, 2 / rate, 2e6 / (rate * c)]),
        "knee": against([c], [2 / rate]),
        "goal": against([0, 10, 20_000], {"x⁴": 1e-3}.get(r.state.loss, 1e-6)),
        "norm": against(r.clipped.steps, r.clipped.norm),
        "raw norm": against(r.raw.steps, r.raw.norm)[np.isfinite(r.raw.norm)],
        "end": ends(r.clipped, r.clipped.arrives),
        "raw end": ends(r.raw, r.raw.arrives),
        "gone": None,
        "raw gone": None,
    }


def drawn_map(r):
    x, y = math.log10(r.state.learning_rate), math.log10(r.state.max_norm)
    land = {"cosh": (0, 0, 12), "bowl": (0, 0, 12), "Rosenbrock": (0, 1, 2.5)}[r.state.loss]
    paths = {
        f"path {name}": (path - land[:2])[: steps_on_the_map(path, land)] / land[2] for name, path in r.paths.items()
    }
    return paths | {
        "values": shades(r.values.T),
        "unclipped": shades(r.unclipped[None]),
        "same ηc": against([x - 20, x, x + 20], [y + 20, y, y - 20]),
        "picked": against([x], [y]),
        "below": against([x], [y]),
        "start": np.array([[-2.0, 1.0] if r.state.loss == "Rosenbrock" else [10.0, 1.0]]) / land[2],
        "minimum": np.array([[1.0, 0.0]]) / 2.5 if r.state.loss == "Rosenbrock" else np.zeros((1, 2)),
        **{f"contours {name}": None for name in lesson.LANDS},
        "η": against([x], [0.5]),
        "loss raw": counted(r.losses["raw"]),
        "loss clipped": counted(r.losses["clipped"]),
    }


def steps_on_the_map(path, land):
    with np.errstate(invalid="ignore"):
        inside = (np.abs(path - land[:2]) <= 40 * land[2]).all(-1)
    return len(path) if inside.all() else int(inside.argmin())


def shades(losses):
    """One power of ten to a colour, by a plain loop: 0 for at most 1e-8, 12 for more than 1e3, NaN beyond 1e6."""
    limits = [10.0**power for power in range(-8, 4)]
    rows = [[sum(x > limit for limit in limits) if x <= 1e6 else np.nan for x in row] for row in losses.tolist()]
    return np.array(rows, float)


def drawn_wells(r):
    c = r.thresholds
    low, middle, high = r.quartiles
    return {
        "path": r.path,
        "raw path": r.raw_path,
        "end": r.path[-1:],
        "raw end": r.raw_path[-1:],
        "start": 1000 * np.array([[r.state.x, r.state.y]]),
        "band": np.concatenate([against(c, low), against(c[::-1], high[::-1])]),
        "median": against(c, middle),
        "threshold": against(r.state.max_norm, [-5, -2, 1]),
        "zigzag": against(c, r.zigzag),
        "at": against([r.state.max_norm], [r.final]),
    }


# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "wall": drawn_wall,
    "map": drawn_map,
    "wells": drawn_wells,
    "hidden": lambda r: (
        r.paths
        | {
            "picture steps": counted(r.lengths["picture"]),
            "your steps": counted(r.lengths["yours"]),
            "start": np.array([[r.state.x, r.state.y]]),
            "threshold": against([0, 150, 300], r.learning_rate * r.state.max_norm),
        }
        | LOST
    ),
}

GRADS = {
    "cosh": lambda x, y: (math.sinh(x), math.sinh(y)),
    "x⁴": lambda x, y: (4 * x**3, 4 * y**3),
    "bowl": lambda x, y: (x, y),
    "Rosenbrock": lambda x, y: (-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)),
}


def plain_path(grad, x, y, rate, c, n_steps):
    """Points of clipped descent by a plain loop, until it overflows."""
    path = [(x, y)]
    for _ in range(n_steps):
        try:
            gx, gy = grad(x, y)
            norm = math.hypot(gx, gy)
        except OverflowError:
            break
        k = min(1.0, c / norm) if norm else 1.0
        x, y = x - rate * k * gx, y - rate * k * gy
        path.append((x, y))
    return path


def plain_count(grad, x, y, rate, c, goal, most):
    """Steps to the goal by a plain loop: a number, "gone", or None."""
    for step, (a, b) in enumerate(plain_path(grad, x, y, rate, c, most)):
        try:
            if math.hypot(*grad(a, b)) <= goal:
                return step
        except OverflowError:
            return "gone"
    return None


# ---- the wall


@pytest.mark.parametrize(
    ("rate", "c", "steps"),
    [(0.5, 1.0, 39), (0.5, 0.1, 218), (1.0, 1.0, 12), (1.0, 9.0, 4)],
)
def test_the_clipped_counts_of_the_lesson(rate, c, steps):
    assert lesson.clipped_run("cosh", 10, rate, c).arrives == steps
    assert plain_count(GRADS["cosh"], 10, 1, rate, c, 1e-6, 400) == steps


@pytest.mark.parametrize(
    ("rate", "steps"), [(0.0017, 8557), (0.00175, 7844), (0.00181, 8026), (0.0019, "gone"), (0.5, "gone")]
)
def test_the_unclipped_counts_of_the_lesson(rate, steps):
    run = lesson.raw_runs("cosh", (rate,))[10, rate]
    assert plain_count(GRADS["cosh"], 10, 1, rate, math.inf, 1e-6, 10_000) == steps
    if steps == "gone":
        assert run.arrives is None
        assert run.gone is not None
    else:
        assert (run.arrives, run.gone) == (steps, None)
        assert run.steps[-1] == steps
        assert 0.998e-6 < run.norm[-1] <= 1e-6


def test_the_best_unclipped_rate_of_the_scan_is_not_the_largest():
    grid = tuple(np.arange(0.0016, 0.00183, 0.00001).round(6).tolist())
    counts = {rate: plain_count(GRADS["cosh"], 10, 1, rate, math.inf, 1e-6, 10_000) for rate in grid}
    arrived = {rate: steps for rate, steps in counts.items() if isinstance(steps, int)}
    assert min(arrived, key=arrived.get) == 0.00175
    assert max(arrived) == 0.00181 < 20 / math.sinh(10) < 0.00182
    assert {rate: run.arrives for (x, rate), run in lesson.raw_runs("cosh", grid).items() if x == 10} == {
        rate: arrived.get(rate) for rate in grid
    }


@pytest.mark.parametrize(("loss", "goal"), [("cosh", 1e-6), ("x⁴", 1e-3), ("bowl", 1e-6)])
@pytest.mark.parametrize("start", [1, 4, 11])
def test_both_runs_are_those_of_a_plain_loop(loss, goal, start):
    for rate, c, raw_rate in ((0.5, 1.0, 0.004), (0.03, 20.0, 0.00135), (1.5, 0.3, 0.25)):
        state = lesson.WallState(loss=loss, start=start, learning_rate=rate, max_norm=c, raw_rate=raw_rate)
        result = lesson.climb(state)
        for run, at, limit, most in ((result.clipped, rate, c, 400), (result.raw, raw_rate, math.inf, 10_000)):
            expected = plain_count(GRADS[loss], start, 1.0, at, limit, goal, most)
            assert run.arrives == (expected if isinstance(expected, int) else None)
            assert (run.gone is not None) == (expected == "gone")
            path = plain_path(GRADS[loss], start, 1.0, at, limit, 60)
            kept = run.steps < min(60, len(path), run.gone or 60)
            np.testing.assert_allclose(run.points[kept], np.array(path)[run.steps[kept]], rtol=1e-7, atol=1e-9)


def test_a_rate_on_a_stop_is_looked_up_in_the_same_runs_as_a_typed_one():
    stop = controls_of(lesson.WallState)["raw_rate"].values[17]
    looked_up = lesson.climb(lesson.WallState(raw_rate=stop)).raw
    alone = lesson.raw_runs("cosh", (stop,))[10, stop]
    assert looked_up.arrives == alone.arrives
    np.testing.assert_allclose(looked_up.norm, alone.norm, rtol=1e-9)
    assert 0.0017 in controls_of(lesson.WallState)["raw_rate"].values


@pytest.mark.parametrize("loss", lesson.SURFACES)
def test_the_curvature_is_that_of_second_differences_and_below_its_bound(loss):
    surface = lesson.SURFACES[loss]
    points = np.random.default_rng(5).uniform(-6, 6, size=(50, 2))
    h = 1e-4
    for point in points:
        columns = [
            (surface.model.loss_and_grad(point + h * axis)[1] - surface.model.loss_and_grad(point - h * axis)[1])
            / (2 * h)
            for axis in np.eye(2)
        ]
        hessian = np.array(columns)
        largest = np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1]
        assert surface.curvature(point) == pytest.approx(largest, rel=1e-5)
        norm = np.linalg.norm(surface.model.loss_and_grad(point)[1])
        assert largest <= surface.l0 + surface.l1 * norm + 1e-6 * largest


def test_under_the_ceiling_from_the_knee_on_no_step_of_the_wall_overshoots():
    for rate, c in ((0.5, 1.0), (1.0, 1.0), (0.19, 9.0)):
        assert 2 / rate >= 1 + c
        for start in lesson.STARTS:
            result = lesson.climb(lesson.WallState(learning_rate=rate, max_norm=c, start=start))
            assert result.above == 0
            norms = result.clipped.norm
            assert (np.diff(norms) < 0).all()


def test_the_ceiling_is_two_over_the_rate_at_which_a_run_really_steps():
    result = lesson.climb(lesson.WallState(learning_rate=0.3, max_norm=0.2))
    for norm in (1e-6, 0.1, 0.2, 0.5, 1.0, 1e4):
        assert result.ceiling(np.array(norm)) == pytest.approx(2 / (0.3 * min(1.0, 0.2 / norm)))


def test_clipped_steps_above_the_ceiling_are_counted():
    result = lesson.climb(lesson.WallState(learning_rate=1.0, max_norm=9.0))
    ceiling = [2.0 * max(1.0, norm / 9.0) for norm in result.clipped.norm]
    curvature = [math.cosh(abs(point).max()) for point in result.clipped.points]
    left = list(zip(curvature, ceiling, strict=True))[:-1]  # from the last point no step is taken
    assert result.above == sum(a > b for a, b in left) > 0
    assert f"above its ceiling at {result.above} step" in lesson.read_wall(result)


def test_only_steps_that_were_taken_are_counted_against_the_ceiling():
    for rate, c in ((10.0, 1e5), (2.0, 1.0), (5.0, 1e-3), (1.0, 9.0)):
        for loss in lesson.SURFACES:
            result = lesson.climb(lesson.WallState(loss=loss, learning_rate=rate, max_norm=c))
            assert result.above <= len(result.clipped.norm) - 1
    gone = lesson.read_wall(lesson.climb(lesson.WallState(learning_rate=10.0, max_norm=1e5)))
    assert "gone at step 1 (inf), above its ceiling at 1 step. " in gone


def test_a_start_may_be_asked_alone():
    for x in (3, 9):
        rate = 0.9 * 2 * x / math.sinh(x)
        alone = lesson.raw_runs("cosh", (rate,), (x,))
        assert list(alone) == [(x, rate)]
        assert alone[x, rate].arrives == plain_count(GRADS["cosh"], x, 1, rate, math.inf, 1e-6, 10_000)


def test_how_many_times_faster_depends_on_the_start():
    """The table of the fair race, each best rate found again by a plain loop."""
    found = {}
    for x, best in ((3, 17), (5, 95), (8, 1343), (9, 3222), (10, 7986)):
        limit = 2 * x / math.sinh(x)
        rates = [limit * (0.5 + 0.499 * k / 49) for k in range(50)]
        runs = lesson.raw_runs("cosh", tuple(rates), (x,))
        counts = {rate: runs[x, rate].arrives for rate in rates}
        assert min(filter(None, counts.values())) == best
        fastest = min((rate for rate in rates if counts[rate]), key=counts.get)
        assert plain_count(GRADS["cosh"], x, 1, fastest, math.inf, 1e-6, 10_000) == best
        assert plain_count(GRADS["cosh"], x * (1 + 1e-12), 1, fastest, math.inf, 1e-6, 10_000) == best
        assert plain_count(GRADS["cosh"], x, 1, 1.001 * limit, math.inf, 1e-6, 10_000) == "gone"
        found[x] = best / plain_count(GRADS["cosh"], x, 1, 0.5, 1.0, 1e-6, 400)
    assert list(found.values()) == sorted(found.values())
    assert found[3] < 1
    assert found[10] == pytest.approx(205, abs=0.5)


def test_in_the_bowl_clipping_gains_nothing_over_the_best_constant_rate():
    assert lesson.bowl_steps() == (39, 24)
    assert lesson.bowl_steps(1.0) == (11, 1)
    assert lesson.bowl_steps(1.7) == (40, 46), "at a rate that is too bold, clipping may save steps"
    assert plain_count(GRADS["bowl"], 10, 1, 1.7, 1.0, 1e-6, 400) == 40
    assert plain_count(GRADS["bowl"], 10, 1, 1.7, math.inf, 1e-6, 400) == 46
    assert "40 and 46" in lesson.PREDICTIONS["bowl"].evidence()
    assert lesson.PREDICTIONS["bowl"].truth() == "more"
    for rate in (0.1, 0.5, 1.0):
        free = plain_count(GRADS["bowl"], 10, 1, rate, math.inf, 1e-6, 2000)
        for c in (0.1, 1.0, 5.0, 20.0):
            assert plain_count(GRADS["bowl"], 10, 1, rate, c, 1e-6, 5000) >= free


def test_a_warm_up_does_as_well_and_the_textbook_rate_is_slow():
    x, y, steps = 10.0, 1.0, 0
    while math.hypot(math.sinh(x), math.sinh(y)) > 1e-6:
        rate = 0.0017 if steps < 20 else 0.5
        x, y, steps = x - rate * math.sinh(x), y - rate * math.sinh(y), steps + 1
    assert steps == 41
    assert plain_count(GRADS["cosh"], 10, 1, 2 / math.cosh(10), math.inf, 1e-6, 100_000) == 80_415


def test_the_knee_follows_the_mouse():
    state = lesson.hold_ceiling(lesson.WallState(), "curvature", 20.0, 8.0)
    assert (state.max_norm, state.learning_rate) == (20.0, 0.25)
    assert lesson.hold_ceiling(state, "norm", 1.0, 1.0) == state
    far = lesson.hold_ceiling(state, "curvature", 1e-30, -5.0)
    assert (far.max_norm, far.learning_rate) == (1e-3, 10.0)


def test_the_sentence_of_the_wall_in_its_cases():
    def read(**settings):
        return lesson.read_wall(lesson.climb(lesson.WallState(**settings)))

    assert read().endswith("39 steps, never above its ceiling. Unclipped (η = 0.0017): 8557 steps, 219 times as many.")
    assert "gone at step 1 (inf)." in read(raw_rate=0.5)
    assert "not there after 400 steps" in read(max_norm=1e-3)
    assert "not there after 10000 steps" in read(raw_rate=1.7e-4)
    assert read(loss="bowl", raw_rate=0.5).endswith("24 steps, 15 fewer.")
    assert read(loss="bowl", raw_rate=0.5, max_norm=1e5).endswith("24 steps, as many.")
    assert "Clipped (η = 1, c = 100000): 1 step," in read(loss="bowl", learning_rate=1.0, max_norm=1e5)


# ---- the map


@pytest.mark.parametrize("loss", lesson.LANDS)
def test_cells_of_the_map_are_those_of_a_plain_loop(loss):
    values, unclipped = lesson.final_losses(loss)
    rates = controls_of(lesson.MapState)["learning_rate"].values
    thresholds = controls_of(lesson.MapState)["max_norm"].values
    assert values.shape == (len(rates), len(thresholds))
    x, y = (-2.0, 2.0) if loss == "Rosenbrock" else (10.0, 1.0)
    losses = {
        "cosh": lambda x, y: math.cosh(x) + math.cosh(y) - 2,
        "bowl": lambda x, y: (x * x + y * y) / 2,
        "Rosenbrock": lambda x, y: 100 * (y - x * x) ** 2 + (1 - x) ** 2,
    }
    checked = 0
    for i, j in itertools.product(range(0, 60, 6), range(0, 71, 7)):
        if loss == "Rosenbrock" and rates[i] * thresholds[j] > 0.01 and rates[i] > 1e-3:
            continue  # torn: rounding decides
        path = plain_path(GRADS[loss], x, y, rates[i], thresholds[j], 200)
        try:
            expected = losses[loss](*path[-1]) if len(path) == 201 else math.inf
        except OverflowError:
            expected = math.inf
        if math.isinf(expected) or expected > 1e100:
            assert values[i, j] > 1e100
        else:
            assert values[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-9)
        checked += 1
    assert checked > 50
    for i in range(0, 71, 7):
        path = plain_path(GRADS[loss], x, y, rates[i], math.inf, 200)
        if len(path) == 201 and max(map(abs, path[-1])) < 100:
            assert unclipped[i] == pytest.approx(losses[loss](*path[-1]), rel=1e-6, abs=1e-9)


def test_how_many_rates_work_on_the_map():
    assert lesson.rates_that_work() == (25, 0)
    assert lesson.PREDICTIONS["rates"].truth() == 25
    rates = np.array(controls_of(lesson.MapState)["learning_rate"].values)
    works = {name: (lesson.final_losses(name)[0] <= 1e-6).any(1) for name in lesson.LANDS}
    assert rates[works["cosh"]].max() == rates[works["bowl"]].max() == 1.93 < 2 < rates[rates > 1.93].min()
    assert rates[works["cosh"]].min() == pytest.approx(0.0373)
    assert works["bowl"].sum() == (lesson.final_losses("bowl")[1] <= 1e-6).sum() == 24
    assert not works["Rosenbrock"].any()
    values, strip = lesson.final_losses("bowl")
    assert not ((values <= 1e-6) & ~(strip <= 1e-6)[:, None]).any(), "no cell arrives where the strip does not"
    assert (np.isfinite(values) & ~(strip <= rate_map.LOST)[:, None]).any(), (
        "and yet cells stay finite where it does not"
    )


def test_every_step_clipped_follows_the_product_and_no_step_clipped_the_rate():
    runs = [lesson.picked("cosh", rate, 0.01 / rate)[0][:, 0] for rate in (0.01, 0.1, 1.0)]
    for run in runs[1:]:
        np.testing.assert_allclose(run, runs[0], rtol=1e-9)
    assert lesson.picked("cosh", 0.1, 0.1)[1][-1, 0] == pytest.approx(1490.02, abs=0.005)
    values, unclipped = lesson.final_losses("cosh")
    gentle = np.array(controls_of(lesson.MapState)["learning_rate"].values) <= 0.0017
    np.testing.assert_allclose(values[gentle, -1], unclipped[gentle], rtol=1e-9)


def test_the_picked_run_is_the_cell():
    for loss, rate, c in (("cosh", 0.1, 1.0), ("bowl", 0.01, 10.0), ("Rosenbrock", 0.001, 10.0)):
        stops = [controls_of(lesson.MapState)[name].values for name in ("learning_rate", "max_norm")]
        cell = stops[0].index(rate), stops[1].index(c)
        result = lesson.pick(lesson.MapState(loss=loss, learning_rate=rate, max_norm=c))
        assert result.losses["clipped"][-1] == pytest.approx(result.values[cell], rel=1e-9, abs=1e-12)
        raw = result.losses["raw"][-1]
        assert (raw if np.isfinite(raw) else np.inf) == pytest.approx(result.unclipped[cell[0]], rel=1e-9, abs=1e-12)


def test_the_cross_jumps_from_cell_to_cell():
    stops = controls_of(lesson.MapState)
    for x, y in ((-1.02, 0.04), (-9.0, 9.0), (5.0, -5.0)):
        state = lesson.hold_cross(lesson.MapState(), "map", x, y)
        for name, power in (("learning_rate", x), ("max_norm", y)):
            near = min(stops[name].values, key=lambda stop: abs(math.log10(stop) - power))
            assert getattr(state, name) == near
        on_the_strip = lesson.hold_cross(lesson.MapState(), "strip", x, 0.5)
        assert (on_the_strip.learning_rate, on_the_strip.max_norm) == (state.learning_rate, 1e5)
    assert lesson.hold_cross(lesson.MapState(), "loss", 0.0, 0.0) == lesson.MapState()


def test_only_the_torn_map_depends_on_a_trillionth():
    for name, torn in (("cosh", False), ("bowl", False), ("Rosenbrock", True)):
        land = lesson.LANDS[name]
        moved = replace(land, start=tuple(x * (1 + 1e-12) for x in land.start))
        before = shades(lesson.final_losses(name)[0])
        lesson.LANDS[name], original = moved, land
        try:
            after = shades(lesson.final_losses.__wrapped__(name)[0])
        finally:
            lesson.LANDS[name] = original
        changed = ~((before == after) | (np.isnan(before) & np.isnan(after)))
        assert changed.sum() > 150 if torn else not changed.any()


def test_colours_of_the_map():
    values = np.array([0.0, 1e-8, 1.01e-8, 0.5, 1.0, 1.01, 1e4, 9e5, 1.1e6, np.inf, np.nan])
    assert rate_map.colours(values).tolist()[:8] == [0, 0, 1, 8, 8, 9, 12, 12]
    assert np.isnan(rate_map.colours(values)[8:]).all()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (0.0, "the loss is down to 1e-8 or less"),
        (1e-8, "the loss is down to 1e-8 or less"),
        (1.1e-8, "the loss is 1.1e-8"),
        (1e-3, "the loss is 0.001"),
        (9999.0, "the loss is 10000"),
        (1e4, "the loss is beyond 10,000"),
        (np.inf, "the run is gone (inf)"),
        (np.nan, "the run is gone (inf)"),
    ],
)
def test_a_final_loss_in_words(loss, words):
    assert lesson._final(loss) == words


def test_the_thin_line_of_the_map_joins_pairs_of_one_product():
    for rate, c in ((0.5, 1.0), (0.002, 300.0)):
        line = 10 ** lesson.MAP.figure(lesson.pick(lesson.MapState(learning_rate=rate, max_norm=c))).data("same ηc")
        assert line.prod(-1) == pytest.approx(np.full(3, rate * c))


@pytest.mark.parametrize("preset", lesson.MAP.presets)
def test_the_numbers_of_the_maps_sentence(preset):
    state = lesson.MAP.presets[preset].state
    sentence = lesson.read_map(lesson.pick(state))
    grad, x, y, loss = {
        "cosh": (GRADS["cosh"], 10, 1, lambda x, y: math.cosh(x) + math.cosh(y) - 2),
        "bowl": (GRADS["bowl"], 10, 1, lambda x, y: (x * x + y * y) / 2),
        "Rosenbrock": (GRADS["Rosenbrock"], -2, 2, lambda x, y: 100 * (y - x * x) ** 2 + (1 - x) ** 2),
    }[state.loss]
    for c, before in ((state.max_norm, f"at c = {lesson.plain(state.max_norm)} "), (math.inf, "unclipped ")):
        path = plain_path(grad, x, y, state.learning_rate, c, 200)
        end = loss(*path[-1]) if len(path) == 201 else math.inf
        assert f"{before}{lesson._final(end)}" in sentence
    values, strip = lesson.final_losses(state.loss)
    there = sum(v <= 1e-6 for v in values.ravel().tolist())
    rates = sum(min(row) <= 1e-6 for row in values.tolist())
    assert f"{there} of 5041 cells, at {rates} of 71 rates; unclipped {sum(strip <= 1e-6)} of 71." in sentence


def test_no_preset_stands_where_a_trillionth_decides():
    for preset in lesson.MAP.presets.values():
        s = preset.state
        land = lesson.LANDS[s.loss]
        for c in (s.max_norm, math.inf):
            ends = [
                plain_path(GRADS[s.loss], *(x * (1 + nudge) for x in land.start), s.learning_rate, c, 200)[-1]
                for nudge in (0, 1e-12)
            ]
            if max(map(abs, ends[0])) < 1e3:
                assert ends[0] == pytest.approx(ends[1], rel=1e-6, abs=1e-9)


def test_contours_and_colours_are_those_of_the_model():
    drawing = lesson.MAP.figure(lesson.pick(lesson.MapState()))
    assert drawing.axes["path"].get_aspect() == 1
    for loss, land in lesson.LANDS.items():
        drawing.update(lesson.pick(lesson.MapState(loss=loss)))
        shown = [name for name in lesson.LANDS if drawing._named[f"contours {name}"].get_visible()]
        assert shown == [loss]
        lines = drawing._named[f"contours {loss}"].get_segments()
        assert len(lines) >= len(land.levels) - 2
        for line in lines:
            values = np.log(land.model.loss_and_grad(np.array(land.middle) + land.reach * line)[0])
            nearest = np.log(land.levels)[np.abs(np.log(land.levels) - np.median(values)).argmin()]
            assert np.median(values) == pytest.approx(nearest, abs=0.3 if loss == "Rosenbrock" else 0.05)
    cells = drawing._named["values"]
    brightness = [sum(cells.to_rgba(float(k))[:3]) for k in range(13)]
    assert brightness == sorted(brightness, reverse=True), "the brighter, the smaller"
    bar = next(axes for axes in drawing.figure.axes if axes.get_label() == "bar")
    ticks = zip(bar.get_yticks(), [text.get_text() for text in bar.get_yticklabels()], strict=True)
    assert [(at, text) for at, text in ticks] == [(0, "10⁻⁸"), (4, "10⁻⁴"), (8, "10⁰"), (12, "10⁴")]
    assert rate_map.colours(np.array([1e-8, 1e-4, 1.0, 1e4])).tolist() == [0, 4, 8, 12]


def key_of(axes):
    legend = axes.get_legend()
    return {
        text.get_text(): line.get_color() for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }


@pytest.mark.parametrize(
    ("demo", "panel", "names"),
    [
        (
            "wall",
            "curvature",
            {"unclipped": "raw points", "clipped": "points", "c": "threshold", "L0 + L1‖g‖": "bound"},
        ),
        ("wall", "norm", {"unclipped": "raw norm", "clipped": "norm"}),
        ("map", "loss", {"unclipped": "loss raw", "clipped": "loss clipped"}),
        ("wells", "surface", {"unclipped": "raw path", "clipped": "path"}),
        ("wells", "loss", {"one start": "zigzag", "median": "median", "middle half": "band"}),
        ("hidden", "plane", {"picture": "picture", "yours": "yours"}),
        ("hidden", "lengths", {"your ηc": "threshold"}),
    ],
)
def test_the_keys_name_the_lines_that_they_mean(demo, panel, names):
    it = lesson.LESSON.demos[demo]
    drawing = it.figure(it.compute(it.state()))
    colours = {
        words: to_hex(a.get_facecolor() if name == "band" else a.get_color())
        for words, name in names.items()
        for a in [drawing._named[name]]
    }
    assert {words: to_hex(color) for words, color in key_of(drawing.axes[panel]).items()} == colours


def test_the_inset_is_a_thousand_times_enlarged():
    result = lesson.bounce(lesson.WellsState())
    axes = lesson.WELLS.figure(result).axes["starts"]
    [dots] = [line for line in axes.lines if len(line.get_xydata()) == 1000]
    assert dots.get_xydata() == pytest.approx(1000 * result.starts)
    assert axes.get_title(loc="left") == "starts × 1000"
    moved = lesson.WELLS.figure(lesson.bounce(lesson.WellsState(x=0.001, y=-0.002)))
    assert moved.data("start") == pytest.approx(np.array([[1.0, -2.0]]))


@pytest.mark.parametrize(("demo", "panel", "model"), [("wells", "surface", "wells"), ("hidden", "plane", "Rosenbrock")])
def test_the_other_contours_are_those_of_the_model_too(demo, panel, model):
    it = lesson.LESSON.demos[demo]
    drawing = it.figure(it.compute(it.state()))
    [lines] = [c for c in drawing.axes[panel].collections if hasattr(c, "levels")]
    model = Wells() if model == "wells" else lesson.HiddenResult.model
    sign = -1 if demo == "wells" else 1
    checked = 0
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        for x, y in path.vertices[::25]:
            assert sign * model.loss_and_grad(np.array([x, y]))[0] == pytest.approx(
                level, rel=0.3, abs=0.6 if demo == "hidden" else 0.05
            )
            checked += 1
    assert checked > 30


def test_what_a_cache_gives_out_cannot_be_changed():
    wall, pick = lesson.climb(lesson.WallState()), lesson.pick(lesson.MapState())
    wells, hidden = lesson.bounce(lesson.WellsState()), lesson.hide(lesson.HiddenState())
    arrays = [run.points for run in (wall.raw, wall.clipped)] + [run.norm for run in (wall.raw, wall.clipped)]
    arrays += [pick.values, pick.unclipped, *pick.paths.values(), *pick.losses.values()]
    arrays += [wells.quartiles, wells.band, wells.starts, wells.thresholds, lesson.band(0.5, 0.0123)]
    arrays += [*hidden.paths.values(), *hidden.lengths.values()]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_snap_gives_the_nearest_stop_and_never_leaves_the_range():
    stops = controls_of(lesson.WellsState)["max_norm"].values
    for value in (0.0099, 0.0202, 0.3, 7.0, 1e9, 0.0, -4.0):
        assert snap("max_norm", lesson.WellsState, value) == min(
            stops, key=lambda stop: abs(math.log(stop) - math.log(min(max(value, 0.01), 10)))
        )
    assert snap("x", lesson.WellsState, 0.00012) == 0.0001
    assert snap("start", lesson.WallState, 7.4) == 7


@pytest.mark.parametrize("loss", lesson.LANDS)
def test_the_sentence_of_the_map_at_its_corners(loss):
    for rate, c in itertools.product((1e-4, 10.0), (0.01, 1e5)):
        sentence = lesson.read_map(lesson.pick(lesson.MapState(loss=loss, learning_rate=rate, max_norm=c)))
        assert "nan" not in sentence
        assert "of 71" in sentence


# ---- the wells


def wells_path(x, y, rate, c, n_steps=100):
    centres = ((1.0, -0.5), (-1.0, 0.5), (-0.5, -0.8))

    def holes(x, y):
        return [math.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.08) / (0.08 * math.pi) for a, b in centres]

    losses = []
    for _ in range(n_steps + 1):
        h = holes(x, y)
        losses.append(-sum(h))
        gx = sum(k * (x - a) / 0.04 for k, (a, _) in zip(h, centres, strict=True))
        gy = sum(k * (y - b) / 0.04 for k, (_, b) in zip(h, centres, strict=True))
        k = rate * min(1.0, c / math.hypot(gx, gy)) if gx or gy else 0.0
        x, y = x - k * gx, y - k * gy
    return losses


@pytest.mark.parametrize(
    ("c", "loss"),
    [(math.inf, 0.0), (2.0, -5e-5), (1.0, -3.83), (0.7, -2.36), (0.5, -2.47), (0.2, -3.73), (0.05, -3.978)],
)
def test_the_zigzag_of_one_start(c, loss):
    assert wells_path(0.0, 0.0, 0.5, c)[-1] == pytest.approx(loss, abs=0.006)
    assert lesson.last_losses(0.5, np.array([c]), np.zeros(2)) == pytest.approx(
        [wells_path(0, 0, 0.5, c)[-1]], abs=1e-6
    )


def test_one_step_earlier_the_order_is_the_opposite():
    half, one = wells_path(0, 0, 0.5, 0.5), wells_path(0, 0, 0.5, 1.0)
    assert half[100] - one[100] > 1
    assert one[99] - half[99] > 3
    assert half[99] == pytest.approx(-3.83, abs=0.005)
    assert one[99] == pytest.approx(-0.33, abs=0.005)
    assert lesson.PREDICTIONS["wells"].truth() == "much"
    assert 0.5 * 1 / (2 * math.pi * 0.2**4) / 2 == pytest.approx(25, abs=0.2)


def test_a_thousand_starts_make_one_smooth_valley():
    low, middle, high = lesson.quartiles(0.5)
    assert (low <= middle).all()
    assert (middle <= high).all()
    deepest = middle.argmin()
    assert lesson.THRESHOLDS[deepest] == pytest.approx(0.05, rel=0.05)
    assert middle[deepest] == pytest.approx(-3.97, abs=0.005)
    # It falls to the bottom and rises from it, with ripples that are small against the zigzag: all falls on the way up.
    assert np.diff(middle[: deepest + 1]).max() <= 0
    zigzag = lesson.last_losses(0.5, lesson.THRESHOLDS, np.zeros(2))
    ripples, teeth = (-np.minimum(np.diff(losses[deepest:]), 0).sum() for losses in (middle, zigzag))
    assert ripples < 0.2
    assert teeth > 4


def test_quartiles_are_those_of_single_runs():
    starts = lesson.thousand_starts()
    assert starts.shape == (1000, 2)
    assert starts.std() == pytest.approx(0.001, rel=0.05)
    few = [wells_path(x, y, 0.5, 0.2)[-1] for x, y in starts[:40].tolist()]
    assert lesson.last_losses(0.5, np.array([0.2]), starts[:40])[0] == pytest.approx(few, abs=1e-3)
    again = lesson.last_losses(0.5, lesson.THRESHOLDS[[5, 30]], starts)
    np.testing.assert_allclose(lesson.quartiles(0.5)[1, [5, 30]], np.median(again, axis=1), atol=1e-6)


def test_plain_descent_inside_the_limit_arrives_if_it_is_given_time():
    assert wells_path(0.0, 0.0, 0.02, math.inf, 100)[-1] > -0.01
    assert wells_path(0.0, 0.0, 0.02, math.inf, 5000)[-1] == pytest.approx(-Wells().depth, abs=1e-3)


def test_the_result_of_the_wells_is_its_own_runs():
    result = lesson.bounce(lesson.WellsState(max_norm=0.33, x=0.001, y=-0.0005))
    assert result.final == pytest.approx(wells_path(0.001, -0.0005, 0.5, 0.33)[-1], abs=1e-6)
    assert result.raw == pytest.approx(wells_path(0.001, -0.0005, 0.5, math.inf)[-1], abs=1e-6)
    assert result.zigzag[40] == pytest.approx(wells_path(0.001, -0.0005, 0.5, lesson.THRESHOLDS[40])[-1], abs=1e-6)
    for path, end in ((result.path, result.final), (result.raw_path, result.raw)):
        assert path[0].tolist() == [0.001, -0.0005]
        assert Wells().loss_and_grad(path[-1])[0] == pytest.approx(end, abs=1e-12)
    own = lesson.last_losses(0.5, np.array([0.33]), lesson.thousand_starts())
    assert result.band.tolist() == np.percentile(own, [25, 50, 75]).tolist()
    at_a_stop = lesson.bounce(lesson.WellsState(max_norm=0.1))
    assert at_a_stop.band.tolist() == at_a_stop.quartiles[:, lesson.THRESHOLDS.tolist().index(0.1)].tolist()


def test_the_mouse_moves_start_and_threshold_of_the_wells():
    state = lesson.hold_wells(lesson.WellsState(), "starts", 1.5, -99.0)
    assert (state.x, state.y) == (0.0015, -0.003)
    assert lesson.hold_wells(state, "loss", 0.0202, -1.0).max_norm == 0.02
    assert lesson.hold_wells(state, "loss", 1e-9, -1.0).max_norm == 0.01
    assert lesson.hold_wells(state, "surface", 1.0, 1.0) == state


def test_the_sentence_of_the_wells_has_true_minus_signs_and_no_minus_zero():
    assert (lesson.two(-0.0001), lesson.two(-2.465), lesson.two(1e-9)) == ("0.00", "−2.46", "0.00")
    for state in (lesson.WellsState(max_norm=10.0), lesson.WellsState(max_norm=0.01, learning_rate="0.2", x=-0.003)):
        sentence = lesson.read_wells(lesson.bounce(state))
        assert not re.search(r"−0\.00[ ;.]", sentence)
        assert "-" not in sentence
        assert "between 0.00 and 0.00" not in sentence
    assert "0.00, and the middle half of them all end there." in sentence


@pytest.mark.parametrize("preset", lesson.WELLS.presets)
def test_the_numbers_of_the_wells_sentence(preset):
    s = lesson.WELLS.presets[preset].state
    rate = float(s.learning_rate)
    losses = sorted(lesson.last_losses(rate, np.array([s.max_norm]), lesson.thousand_starts())[0].tolist())
    low, high = losses[249] * 0.25 + losses[250] * 0.75, losses[749] * 0.75 + losses[750] * 0.25
    numbers = [wells_path(s.x, s.y, rate, s.max_norm)[-1], wells_path(s.x, s.y, rate, math.inf)[-1]]
    numbers += [(losses[499] + losses[500]) / 2, low, high, -1 / (0.08 * math.pi)]
    said = re.findall(r"−?\d\.\d\d\b", lesson.read_wells(lesson.bounce(s)).partition("the loss after")[2])
    assert [float(word.replace("−", "-")) for word in said] == pytest.approx(numbers, abs=0.0051)


def test_why_a_small_threshold_does_not_arrive():
    """At c = 0.02 a third of the steps is clipped; the others creep over the plain, where nothing is."""
    path = train(Wells(), np.zeros(2), SGD(0.5), ClipByGlobalNorm(0.02), n_steps=100)
    assert path.clipped.sum() == 36
    assert math.hypot(*path.params[-1]) == pytest.approx(0.49, abs=0.005)
    assert min(math.hypot(*centre) for centre in Wells().centres) == pytest.approx(0.943, abs=0.001)
    assert not path.clipped[0]
    assert lesson.quartiles(0.2)[1].min() > -0.01, "at η = 0.2 no threshold reaches a well"


def test_the_median_has_luck_of_its_own():
    draws = [np.random.default_rng(seed).normal(0, 0.001, (1000, 2)) for seed in range(20)]
    at_one, at_a_twentieth = (
        [float(np.median(lesson.last_losses(0.5, np.array([c]), starts))) for starts in draws] for c in (1.0, 0.05)
    )
    assert (round(min(at_one), 1), round(max(at_one), 1)) == (-2.1, -1.5)
    assert np.ptp(at_a_twentieth) < 0.005


def test_how_far_down_the_knee_may_go_on_the_fourth_power():
    for rate, above, steps in ((2 / 17, 0, None), (0.5, 0, 92), (0.7, 0, 66), (1.0, 1, 44), (2.0, 396, None)):
        result = lesson.climb(lesson.WallState(loss="x⁴", learning_rate=rate, max_norm=1.0))
        assert (result.above, result.clipped.arrives) == (above, steps)
        assert plain_count(GRADS["x⁴"], 10, 1, rate, 1.0, 1e-3, 400) == steps


# ---- Rosenbrock


@pytest.mark.parametrize("puzzle", lesson.PUZZLES)
def test_each_picture_is_found_at_its_own_threshold_and_not_at_the_stops_beside_it(puzzle):
    hidden = lesson.PUZZLES[puzzle][1]
    stops = controls_of(lesson.HiddenState)["max_norm"].values
    start = {} if puzzle != "D" else {"x": -2.4, "y": -1.4}
    at = stops.index(hidden)
    found = lesson.hide(lesson.HiddenState(puzzle=puzzle, max_norm=hidden, **start))
    assert found.apart == 0
    assert "found" in lesson.read_hidden(found)
    for beside in (at - 1, at + 1):
        result = lesson.hide(lesson.HiddenState(puzzle=puzzle, max_norm=stops[beside], **start))
        assert result.apart > lesson.FOUND
        assert "found" not in lesson.read_hidden(result)


def test_no_sentence_gives_the_threshold_away_before_it_is_found():
    for preset in lesson.HIDDEN.presets.values():
        sentence = lesson.read_hidden(lesson.hide(preset.state))
        assert "found" not in sentence
        hidden = lesson.PUZZLES[preset.state.puzzle][1]
        assert f"c = {lesson.plain(hidden)} " not in sentence


def test_the_sleeping_clip_is_awake_from_another_start():
    asleep = lesson.hide(lesson.HiddenState(puzzle="D", max_norm=1e4))
    assert asleep.apart == 0
    assert not any(asleep.clipped.values())
    assert asleep.longest == pytest.approx(math.hypot(-1606, -400))
    awake = lesson.hide(lesson.HiddenState(puzzle="D", max_norm=1e4, x=-2.4, y=-1.4))
    assert awake.clipped["picture"]
    assert awake.apart > lesson.FOUND


@pytest.mark.parametrize("c", [1650.0, 1655.0])
def test_a_clip_of_ones_own_is_not_taken_for_that_of_the_picture(c):
    """The longest gradient of this picture is 1655.06, so its own clip sleeps: there is nothing to be found."""
    own = lesson.hide(lesson.HiddenState(puzzle="D", max_norm=c))
    assert own.apart <= lesson.FOUND
    assert own.clipped == {"picture": False, "yours": True}
    sentence = lesson.read_hidden(own)
    assert "found" not in sentence
    assert f"at c = {c:g}, but the picture is not clipped at any step. The longest gradient is 1,655" in sentence
    asleep = lesson.read_hidden(lesson.hide(lesson.HiddenState(puzzle="D", max_norm=1e4)))
    assert "but neither is clipped at any step. The longest gradient is 1,655" in asleep


@pytest.mark.parametrize("puzzle", lesson.PUZZLES)
def test_the_paths_of_a_picture_are_plain_loops_and_its_plateau_betrays_it(puzzle):
    rate, hidden = lesson.PUZZLES[puzzle]
    result = lesson.hide(lesson.HiddenState(puzzle=puzzle, max_norm=3.0))
    for name, c in (("picture", hidden), ("yours", 3.0)):
        path = np.array(plain_path(GRADS["Rosenbrock"], -2.0, 2.0, rate, c, 40))
        np.testing.assert_allclose(result.paths[name][:41], path, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(result.lengths[name][:40], np.hypot(*np.diff(path, axis=0).T), rtol=1e-5, atol=1e-8)
        assert result.lengths[name].max() <= rate * c * (1 + 1e-12)
    if puzzle != "D":
        assert result.lengths["picture"].max() / rate == pytest.approx(hidden)


def test_the_limit_without_clipping_and_where_a_clipped_run_ends():
    def last(rate, c):
        path = plain_path(GRADS["Rosenbrock"], -2.0, 2.0, rate, c, 20_000)
        return path[-1] if len(path) == 20_001 and math.isfinite(path[-1][0]) else None

    assert last(0.0018, math.inf) == pytest.approx((1, 1), abs=0.01)
    for rate, arrives in ((0.00181, False), (0.00182, True), (0.00183, False), (0.00185, False)):
        assert (last(rate, math.inf) is not None) is arrives, "the limit is ragged"
    assert last(0.1, 1.0) == pytest.approx((0.46, 0.28), abs=0.005)


def test_the_sentences_of_the_pictures_at_the_ends():
    for puzzle, c, x, y in itertools.product(lesson.PUZZLES, (0.1, 1e4), (-2.4, 2.4), (-1.4, 3.4)):
        sentence = lesson.read_hidden(lesson.hide(lesson.HiddenState(puzzle=puzzle, max_norm=c, x=x, y=y)))
        assert "nan" not in sentence
        assert "inf" not in sentence
    lost = lesson.hide(lesson.HiddenState(puzzle="A", max_norm=1e4))
    assert "leaves the chart" in lesson.read_hidden(lost)
    drawing = lesson.HIDDEN.figure(lost)
    assert drawing.data("lost") == "off the chart: yours"


def test_the_mouse_moves_the_start_and_the_plateau():
    state = lesson.hold_hidden(lesson.HiddenState(), "plane", -1.0, 99.0)
    assert (state.x, state.y) == (-1.0, 3.4)
    assert lesson.hold_hidden(state, "lengths", 50.0, 0.25).max_norm == 2.5
    assert lesson.hold_hidden(state, "lengths", 50.0, 1e-30).max_norm == 0.1


# ---- walking


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: lesson.clipped_run("hill", 10, 0.5, 1.0), "loss must be one of 'cosh', 'x⁴', 'bowl'; got 'hill'"),
        (lambda: lesson.raw_runs("hill", (0.5,)), "loss must be one of 'cosh', 'x⁴', 'bowl'; got 'hill'"),
        (lambda: lesson.final_losses("x⁴"), "loss must be one of 'cosh', 'bowl', 'Rosenbrock'; got 'x⁴'"),
        (lambda: lesson.picked("x⁴", 0.5, 1.0), "loss must be one of 'cosh', 'bowl', 'Rosenbrock'; got 'x⁴'"),
        (lambda: lesson.picked("cosh", 0.5, 0.0), r"max_norm must be > 0 in every run; got \[0\.\]"),
        (lambda: lesson.clipped_run("cosh", 10, -0.5, 1.0), r"learning_rate must be > 0 and finite.*got -0\.5"),
        (lambda: lesson.clipped_run("cosh", 10, 0.5, math.nan), "max_norm must be > 0; got nan"),
        (lambda: lesson.last_losses(0.5, np.array([1.0, -1.0]), np.zeros(2)), "max_norm must be > 0 in every run"),
        (lambda: lesson.last_losses(0.5, np.ones(1), np.zeros((4, 3))), r"params must be \(\*runs, 2\); got shape"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_no_menu_has_to_be_waited_for():
    """Opening an explorer computes the batches of every entry of its menus."""
    for demo, field, batches in (
        (lesson.WALL, "loss", lesson.raw_runs),
        (lesson.MAP, "loss", lesson.final_losses),
        (lesson.WELLS, "learning_rate", lesson.quartiles),
    ):
        demo.compute(demo.state())
        before = batches.cache_info().misses
        for entry in controls_of(demo.state)[field].values:
            demo.compute(demo.state(**{field: entry}))
        assert batches.cache_info().misses == before


def test_walk_begins_at_the_start_clips_and_does_not_raise():
    model = lesson.SURFACES["cosh"].model
    start = np.array([[3.0, 1.0], [3.0, 1.0], [400.0, 0.0]])
    before = start.copy()
    points = [point for point, _ in itertools.islice(lesson.walk(model, start, 0.5, np.array([1.0, np.inf, 1.0])), 8)]
    np.testing.assert_array_equal(start, before)
    np.testing.assert_array_equal(points[0], before)
    np.testing.assert_allclose([point[0] for point in points], plain_path(GRADS["cosh"], 3, 1, 0.5, 1.0, 7))
    assert points[7][2] == pytest.approx((400 - 7 * 0.5, 0)), (
        "a gradient whose square overflows is clipped all the same"
    )


# ---- exercises

RIGHT = {
    "steps_to_goal": [
        lambda start, learning_rate, max_norm, goal, max_steps: count_by_hand(
            start, learning_rate, max_norm, goal, max_steps
        ),
    ],
    "largest_rate": [
        lambda start, max_norm: max(1 / (2 * start**2), 1 / (2 * (max_norm / 4) ** (2 / 3))),
        lambda start, max_norm: by_bisection(start, max_norm),
    ],
    "fair_comparison": [
        lambda clipped, raw: tuple(
            min(float(np.median([np.inf if np.isnan(x) else x for x in row])) for row in losses)
            for losses in (clipped, raw)
        ),
        lambda clipped, raw: tuple(
            float(np.min(np.median(np.nan_to_num(x, nan=np.inf, posinf=np.inf), 1))) for x in (clipped, raw)
        ),
    ],
}


def count_by_hand(start, rate, c, goal, most):
    theta = list(start)
    for step in range(most + 1):
        grad = [math.sinh(x) for x in theta]
        norm = math.sqrt(math.fsum(g * g for g in grad))
        if norm <= goal:
            return step
        theta = [x - rate * g * min(1.0, c / norm) for x, g in zip(theta, grad, strict=True)]
    return np.inf


def by_bisection(start, c):
    """The limit found by trying: does any start between 0 and |start| move outwards?"""
    x = np.concatenate([np.geomspace(1e-4 * abs(start), abs(start), 300_001), [min(abs(start), (c / 4) ** (1 / 3))]])
    grad = np.minimum(4 * x**3, c)
    low, high = 0.0, 1e6
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if (np.abs(x - middle * grad) <= x).all() else (low, middle)
    return low


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_pass(name):
    for answer in RIGHT[name]:
        report = diagnose(lesson.EXERCISES[name], answer)
        assert report.passed, report


def test_the_largest_safe_rate_is_what_trying_finds():
    for start, c in ((10.0, 4.0), (0.5, 4.0), (-3.0, 1.0), (10.0, 500.0), (2.0, 1e12)):
        assert lesson.largest_rate(start, c) == pytest.approx(by_bisection(start, c), rel=1e-4)


def test_wrong_answers_that_passed_once_have_names():
    def chosen_by_the_mean(clipped, raw):
        answer = []
        for losses in (clipped, raw):
            losses = np.where(np.isnan(losses), np.inf, losses)
            answer.append(np.median(losses, axis=1)[np.argmin(losses.mean(axis=1))])
        return tuple(answer)

    def one_step_more(start, learning_rate, max_norm, goal, max_steps):
        return count_by_hand(start, learning_rate, max_norm, goal, max_steps + 1)

    for name, answer, known in (
        ("steps_to_goal", one_step_more, "allows_one_step_too_many"),
        ("fair_comparison", chosen_by_the_mean, "chooses_the_rate_by_the_mean"),
    ):
        report = diagnose(lesson.EXERCISES[name], answer)
        assert (report.passed, report.misconception) == (False, known)


def counted_with(factor=lambda n, c: min(1.0, c / n), arrived=lambda n, theta, goal: n <= goal, size=np.linalg.norm):
    """The count as learners write it, with one piece of their own."""

    def steps_to_goal(start, learning_rate, max_norm, goal, max_steps):
        theta = np.array(start)
        for step in range(max_steps + 1):
            g = np.sinh(theta)
            n = size(g)
            if arrived(n, theta, goal):
                return step
            with np.errstate(all="ignore"):
                theta = theta - learning_rate * factor(n, max_norm) * g
        return float("inf")

    return steps_to_goal


def leaves_after_one_step(start, learning_rate, max_norm, goal, max_steps):
    for step in range(max_steps + 1):
        if np.linalg.norm(np.sinh(start)) <= goal:
            return step
        return np.inf


def falls_off_the_end(start, learning_rate, max_norm, goal, max_steps):
    steps = counted_with()(start, learning_rate, max_norm, goal, max_steps)
    if steps < np.inf:
        return steps


def upper_middle(losses):
    losses = [sorted(np.inf if np.isnan(x) else x for x in row) for row in losses]
    return min(row[len(row) // 2] for row in losses)


def median_of_the_luckiest_rate(losses):
    losses = np.nan_to_num(losses, nan=np.inf, posinf=np.inf)
    return np.median(losses[np.unravel_index(losses.argmin(), losses.shape)[0]])


def worst_of_each_rate(losses):
    return min(max(np.inf if np.isnan(x) else x for x in row) for row in losses)


# Written as learners write them, not as the misconceptions are.
WRONG = [
    ("steps_to_goal", counted_with(lambda n, c: max(1.0, c / n)), "takes_the_larger_factor"),
    ("steps_to_goal", counted_with(lambda n, c: min(1.0, n / c)), "turns_the_factor_over"),
    ("steps_to_goal", counted_with(size=lambda g: np.linalg.norm(g, 1)), "adds_up_sizes"),
    (
        "steps_to_goal",
        counted_with(lambda n, c: min(1, c / (n + 1e-9)), arrived=lambda n, theta, goal: np.linalg.norm(theta) <= goal),
        "measures_the_way_to_the_minimum",
    ),
    (
        "steps_to_goal",
        counted_with(lambda n, c: min(1, c / (n + 1e-9)), arrived=lambda n, theta, goal: not n < goal),
        "stops_while_still_far",
    ),
    ("steps_to_goal", leaves_after_one_step, "never_comes_nearer"),
    ("steps_to_goal", falls_off_the_end, "says_nothing_of_runs_that_do_not_arrive"),
    (
        "steps_to_goal",
        lambda start, rate, c, goal, most: counted_with(lambda n, c: c / n / rate if n > c else 1)(
            start, rate, c, goal, most
        ),
        "leaves_the_rate_out_where_it_clips",
    ),
    (
        "steps_to_goal",
        lambda start, rate, c, goal, most: counted_with()(start, rate, c, 1e-6, most),
        "knows_only_the_goal_of_the_lesson",
    ),
    ("largest_rate", lambda start, max_norm: 2 / (16 + 1 * max_norm), "trusts_the_rule_of_the_lesson"),
    (
        "largest_rate",
        lambda start, max_norm: 0.5 / min(abs(start), np.cbrt(max_norm) / 4) ** 2,
        "divides_after_the_root",
    ),
    ("largest_rate", lambda start, max_norm: min(abs(start), np.cbrt(max_norm / 4)), "gives_the_knee"),
    ("fair_comparison", lambda a, b: (upper_middle(a), upper_middle(b)), "takes_one_of_the_two_middle_runs"),
    ("fair_comparison", lambda a, b: (worst_of_each_rate(a), worst_of_each_rate(b)), "takes_the_worst_seed"),
    (
        "fair_comparison",
        lambda a, b: (median_of_the_luckiest_rate(a), median_of_the_luckiest_rate(b)),
        "chooses_the_rate_by_its_best_run",
    ),
    (
        "fair_comparison",
        lambda a, b: (lesson.fair_comparison(a, b)[0], min(x for x in [*b.ravel(), np.inf] if not np.isnan(x))),
        "mends_only_the_clipped_side",
    ),
]


@pytest.mark.parametrize(("exercise", "answer", "known_as"), WRONG)
def test_ordinary_wrong_answers_are_named(exercise, answer, known_as):
    assert diagnose(lesson.EXERCISES[exercise], answer).misconception == known_as


def test_a_rate_that_is_left_out_is_not_taken_for_a_threshold_that_is():
    [answer] = [answer for _, answer, known_as in WRONG if known_as == "leaves_the_rate_out_where_it_clips"]
    assert "No step is clipped" not in diagnose(lesson.EXERCISES["steps_to_goal"], answer).detail


@pytest.mark.parametrize("answer", [np.inf, 0, 39])
def test_a_constant_is_called_a_constant_where_inf_is_an_answer(answer):
    report = diagnose(lesson.EXERCISES["steps_to_goal"], lambda start, learning_rate, max_norm, goal, max_steps: answer)
    assert report.kind == "constant"
    assert str(answer) in report.detail


def test_nobody_is_asked_about_a_division_where_inf_is_an_answer():
    def gives_up_early(start, learning_rate, max_norm, goal, max_steps):
        return count_by_hand(start, learning_rate, max_norm, goal, min(max_steps, 11))

    report = diagnose(lesson.EXERCISES["steps_to_goal"], gives_up_early)
    assert report.kind == "not_finite"
    assert "divided" not in report.detail
    assert "there it gives infinity, where the answer is finite." in report.detail


def test_the_hook_does_not_give_the_first_prediction_away():
    cells = json.loads((Path(__file__).parent.parent / "notebooks" / "05_speed.ipynb").read_text("utf-8"))["cells"]
    ids = [cell["id"] for cell in cells]
    source = "".join(cells[ids.index("explore-wall")]["source"])
    hook = eval(source, {"explore": explore, "lesson": lesson})
    assert "loss" not in hook.controls
    assert {"bowl", "x⁴"}.isdisjoint(hook.buttons)
    assert "8557 or 39" in hook.buttons
    assert ids.index("explore-wall") < ids.index("predict-bowl") < ids.index("explore-bowl")


def test_the_map_can_be_saved_cropped_to_its_content_as_inline_figures_are():
    drawing = lesson.MAP.figure(lesson.MAP.compute(lesson.MapState()))
    for axes in drawing.axes.values():
        for artist in axes.get_children():
            artist.set_animated(False)
    with io.BytesIO() as file:
        drawing.figure.savefig(file, format="png", bbox_inches="tight")
        assert file.tell() > 10_000
