"""Lesson 00: what it claims, recomputed in plain loops and closed forms that share nothing with the package."""

import math

import numpy as np
import pytest
from pictures import against, counted, so_far

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.data import google_prices
from gclip_lessons.diagnosis import diagnose, undistinguished
from gclip_lessons.figures.parts import drawable
from gclip_lessons.lessons import lesson00 as lesson
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import train

# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "prices": lambda r: {
        "clipped line": against(r.days[[0, -1]], r.clipped.line[0] * r.x[[0, -1]] + r.clipped.line[1]),
        "raw line": against(r.days[[0, -1]], r.raw.line[0] * r.x[[0, -1]] + r.raw.line[1]),
        "clipped": against(r.steps, r.clipped.rmse),
        "raw": against(r.steps, r.raw.rmse),
    },
    "cosh": lambda r: {
        "clipped": so_far(r, r.clipped.points),
        "raw": so_far(r, r.raw.points),
        "clipped norm": counted(r.clipped.norm),
        "raw norm": counted(r.raw.norm),
    },
}


@pytest.fixture(scope="module")
def prices():
    return google_prices()


def plain_line(x, y, learning_rate, max_norm, n_steps, start=(0.0, 0.0)):
    """The rmse before each step and after the last, by the normal sums and one float at a time."""
    mx, my, mxx, mxy, myy = (float(np.mean(v)) for v in (x, y, x * x, x * y, y * y))
    a, b = start
    rmses = []
    for step in range(n_steps + 1):
        rmses.append(math.sqrt(max(a * a * mxx + b * b + myy + 2 * (a * b * mx - a * mxy - b * my), 0.0)))
        if step == n_steps:
            break
        grad_a, grad_b = a * mxx + b * mx - mxy, a * mx + b - my
        k = min(1.0, max_norm / (math.hypot(grad_a, grad_b) or 1.0))
        a, b = a - learning_rate * k * grad_a, b - learning_rate * k * grad_b
    return np.array(rmses), (a, b)


def test_references_are_the_textbook_ones(prices):
    days, price = prices
    line = np.polyval(np.polyfit(days - days.mean(), price, 1), days - days.mean())
    result = lesson.fit_prices(lesson.PricesState())
    assert result.best_rmse == pytest.approx(math.sqrt(np.mean((price - line) ** 2)), rel=1e-9)
    assert result.constant_rmse == pytest.approx(price.std(), rel=1e-12)
    assert (round(result.best_rmse), round(result.constant_rmse)) == (73, 143)
    np.testing.assert_allclose(result.best_line, line[[0, -1]], rtol=1e-9)


@pytest.mark.parametrize(("rate", "step"), [("0.1", 21), ("0.01", 25), ("0.001", 29)])
def test_raw_runs_are_gone_after_21_25_and_29_steps(prices, rate, step):
    days, price = prices
    params = np.zeros(2)
    taken = 0
    # The mean of the squares overflows when its root does; squares added up first would do so a step earlier.
    while (size := np.abs(days * params[0] + params[1] - price).max()) < 1e300:
        residual = (days * params[0] + params[1] - price) / size
        if size * math.sqrt(np.mean(residual**2)) > math.sqrt(np.finfo(float).max):
            break
        params = params - float(rate) * size * np.array([np.mean(residual * days), np.mean(residual)])
        taken += 1
    assert taken == step
    assert lesson.fit_prices(lesson.PricesState(learning_rate=rate)).raw.gone == step


def test_eighteen_settings_against_a_plain_loop(prices):
    low, high = lesson.try_settings()
    for i, rate in enumerate(lesson.RATES):
        for j, c in enumerate(lesson.THRESHOLDS):
            last = plain_line(*prices, rate, c, 3000)[0][-2:]
            assert low[i, j] == pytest.approx(last.min(), rel=2e-3)
            assert high[i, j] == pytest.approx(last.max(), rel=2e-3)
    assert round(low.min()) == 131
    assert np.sum(high < prices[1].std()) == 6
    assert np.sum(high < 1.01 * low.min()) == 6  # "six tie"
    assert lesson.quality_of_best_clip() == "hardly"


def test_131_is_the_best_line_through_the_origin(prices):
    days, price = prices
    slope = days @ price / (days @ days)
    rmse = math.sqrt(np.mean((slope * days - price) ** 2))
    assert lesson.try_settings()[0].min() == pytest.approx(rmse, rel=1e-3)
    tiny = lesson.fit_prices(lesson.PricesState(max_norm=1e7, learning_rate="1e-8"))
    assert tiny.raw.final == pytest.approx(rmse, rel=1e-6)
    assert tiny.clipped.n_clipped == 0


def test_scaled_dates_reach_the_best_line_and_clipping_only_delays_it(prices):
    days, price = prices
    x = (days - days.mean()) / days.std()
    result = lesson.fit_prices(lesson.PRICES.presets["dates scaled"].state)
    for run, c in ((result.raw, math.inf), (result.clipped, 10.0)):
        rmse = plain_line(x, price, 0.1, c, 3000)[0]
        assert run.arrives == int(np.argmax(rmse <= 1.01 * result.best_rmse))
        assert run.final == pytest.approx(result.best_rmse, rel=1e-9)
    assert (result.raw.arrives, result.clipped.arrives) == (36, 413)


def test_every_threshold_of_the_slider_keeps_the_run_finite():
    controls = lesson.controls_of(lesson.PricesState)
    for rate in controls["learning_rate"].values:
        for run in lesson.fits(float(rate), False, controls["max_norm"].values):
            assert run.gone is None
            assert np.isfinite(run.rmse).all()


def test_a_huge_threshold_clips_and_does_not_keep_the_run_finite():
    path = train(lesson.price_model(), np.zeros(2), SGD(0.1), ClipByGlobalNorm(1e160), n_steps=40)
    assert path.clipped.any()
    assert path.first_nonfinite <= 40


def test_the_grid_of_steps_shows_both_ends_of_a_run_that_jumps(prices):
    result = lesson.fit_prices(lesson.PricesState(max_norm=1.0))
    rmse = plain_line(*prices, 0.1, 1.0, 3000)[0]
    np.testing.assert_allclose(result.clipped.lately, [rmse[-100:].min(), rmse[-100:].max()], rtol=1e-3)
    late = result.clipped.rmse[lesson.STEPS > 100]
    np.testing.assert_allclose([late.min(), late.max()], [rmse[101:].min(), rmse[101:].max()], rtol=1e-2)


def test_typed_threshold_is_exact_and_not_the_nearest_stop(prices):
    result = lesson.fit_prices(lesson.PricesState(max_norm=0.0123, learning_rate="0.01"))
    assert result.clipped.final == pytest.approx(plain_line(*prices, 0.01, 0.0123, 3000)[0][-1], rel=1e-3)


def test_curvatures_differ_by_1e11_on_raw_dates(prices):
    days = prices[0]
    trace, det = np.mean(days**2) + 1, np.var(days)
    steep = trace / 2 + math.sqrt(trace**2 / 4 - det)
    flat = det / steep
    assert steep / flat == pytest.approx(1.68e11, rel=0.01)
    assert 2 / steep == pytest.approx(1.11e-8, rel=0.01)
    solution = lesson.EXERCISES["will_explode"].solution
    curvatures = np.array([flat, steep])
    assert [solution(rate, curvatures) for rate in (1e-7, 1e-8)] == [True, False]


# The wall ---------------------------------------------------------------------------------------------------------


def plain_wall(learning_rate, max_norm, n_steps, x=10.0, y=1.0):
    """The first step with a gradient norm of at most 1e-6; None if there is none, or the run overflows."""
    for step in range(n_steps + 1):
        if max(abs(x), abs(y)) > 700:
            return None
        gx, gy = math.sinh(x), math.sinh(y)
        norm = math.hypot(gx, gy)
        if norm <= 1e-6:
            return step
        k = min(1.0, max_norm / norm)
        x, y = x - learning_rate * k * gx, y - learning_rate * k * gy
    return None


def test_steps_down_the_wall():
    rates, thresholds = [0.0017, 0.0019, 0.5, 0.5, 0.5, 1.0], [math.inf, math.inf, math.inf, 1.0, 0.1, 1.0]
    counted = [plain_wall(rate, c, 9000) for rate, c in zip(rates, thresholds, strict=True)]
    assert counted == [8557, None, None, 39, 218, 12]
    assert lesson.steps_to_goal(rates, thresholds, 9000) == counted


def test_limit_of_the_rate_without_clipping():
    """The first step from 10 lands at 10 − η·sinh 10: across 0 from η = 10/sinh 10, farther out from 20/sinh 10."""
    limit = 20 / math.sinh(10)
    for factor, lands in ((0.49, 0.2), (0.51, -0.2), (1.01, -10.2)):
        (raw,) = lesson.descents(factor * limit, (10.0, 1.0), (math.inf,))
        assert raw.points[1, 0] == pytest.approx(lands, abs=1e-9)
    assert 0.0018 < limit < 0.0019
    assert plain_wall(0.99 * limit, math.inf, 9000) is not None
    assert plain_wall(1.02 * limit, math.inf, 9000) is None


def test_clipped_at_a_large_threshold_the_wall_is_still_lost():
    result = lesson.descend(lesson.COSH.presets["c too large"].state)
    x = 10 - 0.5 * 2000 * math.sinh(10) / math.hypot(math.sinh(10), math.sinh(1))
    assert result.clipped.points[1, 0] == pytest.approx(x, rel=1e-12)
    assert x == pytest.approx(-990, abs=0.1)
    assert result.clipped.n_clipped >= 1
    assert result.clipped.gone == 1
    assert lesson.steps_to_goal([0.5], [2000.0], 100) == [None]
    with pytest.raises(OverflowError):
        math.cosh(x)


@pytest.mark.parametrize(("x", "y", "c"), [(10.0, 1.0, 1.0), (-3.5, 8.0, 0.5), (0.0, 0.0, 1.0), (5.0, -5.0, 3.17)])
def test_wall_demo_from_any_start(x, y, c):
    result = lesson.descend(lesson.CoshState(max_norm=c, x=x, y=y))
    assert result.clipped.arrives == plain_wall(0.5, c, lesson.WALL_STEPS, x, y)


def test_wall_drag_moves_the_start_and_stays_on_the_map():
    state = lesson.CoshState(step=7)
    assert lesson.COSH.drag(state, "plane", 2.34, -5.6) == lesson.CoshState(x=2.34, y=-5.6, step=7)
    assert lesson.COSH.drag(state, "plane", 99, -99) == lesson.CoshState(x=11.0, y=-11.0, step=7)
    assert lesson.COSH.drag(state, "norm", 1, 1) is state


# Sentences and exercises ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("demo", "preset", "says"),
    [
        ("prices", "it explodes", ["η = 0.1", "gone at step 21", "jumps between 428 and 1.3e9"]),
        ("prices", "clipped", ["jumps between 429 and 943"]),
        ("prices", "best clip", ["η = 0.01", "gone at step 25", "rmse 131", "constant has 143", "best line 73"]),
        ("prices", "tiny η, no clip", ["η = 1e-8", "finite by itself", "rmse 131", "changed nothing"]),
        ("prices", "dates scaled", ["η = 0.1", "at step 36", "until step 413"]),
        ("cosh", "explodes", ["gone at step 1 (inf); its first step was 5507 long"]),
        ("cosh", "clipped", ["‖g‖ ≤ 1e-6 at step 39", "19 of 220 steps"]),
        ("cosh", "c too small", ["at step 218", "202 of 220"]),
        ("cosh", "c too large", ["gone at step 1 (inf); its first step was 1000 long"]),
        ("cosh", "small η without clipping", ["nothing is clipped", "2.4 after 220 steps"]),
    ],
)
def test_sentences(demo, preset, says):
    demo = lesson.LESSON.demos[demo]
    sentence = demo.caption(demo.compute(demo.presets[preset].state))
    assert all(words in sentence for words in says), sentence


def test_sentence_of_a_start_at_the_minimum():
    assert "‖g‖ ≤ 1e-6 at step 0" in lesson.read_cosh(lesson.descend(lesson.CoshState(x=0.0, y=0.0)))


def test_a_leap_off_the_map_is_drawn_in_its_direction():
    start = np.array([-9.39, 8.88])
    result = lesson.descend(lesson.CoshState(x=start[0], y=start[1]))
    drawn = drawable(result.raw.points)
    leap, gradient = drawn[1] - start, np.sinh(start)
    assert len(drawn) == 2
    assert leap[1] / leap[0] == pytest.approx(gradient[1] / gradient[0], rel=1e-9)


def test_figures_after_a_move_show_what_fresh_ones_show():
    for demo in lesson.LESSON.demos.values():
        results = [demo.compute(preset.state) for preset in demo.presets.values()]
        moved = demo.figure(results[0])
        for result in results[1:]:
            moved.update(result)
            assert moved.shown() == demo.figure(result).shown()


@pytest.mark.parametrize("name", lesson.EXERCISES)
def test_probes_tell_all_known_mistakes_apart(name):
    assert undistinguished(lesson.EXERCISES[name]) == []


def in_place(x):
    x -= x.mean()
    x /= x.std()
    return x


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("standardize", lambda x: x / np.linalg.norm(x)),
        ("standardize", lambda x: [(v - x.mean()) / x.std() for v in x]),
        ("standardize", in_place),
        ("will_explode", lambda rate, curvatures: rate * np.linalg.norm(curvatures) > 2),
        ("will_explode", lambda rate, curvatures: rate * curvatures.max() > 2.05),
        ("will_explode", lambda rate, curvatures: rate * curvatures.max() > 1.95),
        ("will_explode", lambda rate, curvatures: True),
        ("will_explode", lambda rate, curvatures: abs(1 - rate * curvatures.max())),
    ],
)
def test_other_mistakes_are_caught(name, function):
    report = diagnose(lesson.EXERCISES[name], function)
    assert not report.passed
    assert report.headline


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("standardize", lambda x: (x - np.mean(x)) / np.sqrt(np.mean((x - np.mean(x)) ** 2))),
        ("standardize", lambda x: (x - x.mean()) / (x.std() + 1e-8)),
        ("will_explode", lambda rate, curvatures: any(rate * k > 2 for k in curvatures)),
        ("will_explode", lambda rate, curvatures: np.max(np.abs(1 - rate * curvatures)) > 1),
    ],
)
def test_other_right_answers_pass(name, function):
    assert diagnose(lesson.EXERCISES[name], function).passed
