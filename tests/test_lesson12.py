"""Lesson 12: the duel against a plain loop, its machines, its captions and pictures, wrong answers, the links."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pictures import against

from gclip_lessons.diagnosis import diagnose
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import lesson12 as lesson

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
ACROSS = np.array([-15.0, 0.0, 15.0])


def drawn_line(line):
    ends = line[0] + line[1] * ACROSS
    return against(ACROSS, ends if np.abs(ends).max() < 1e4 else [np.nan] * 3)


# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "duel": lambda r: {
        "board": r.board,
        "best": drawn_line(r.best),
        "honest": r.honest,
        "raw": drawn_line(r.lines["raw"]),
        "clipped": drawn_line(r.lines["clipped"]),
        "point": np.array([[r.state.x, r.state.y]]),
        "core": np.array([[r.state.x, r.state.y]]),
        "threshold": against(r.state.max_norm, [-1, 0.5, 2]),
        "here": np.array([[r.state.max_norm, r.lost]]),
        "lost lines": None,
    }
}


def plain_fit(point, rule, c):
    """Height and slope by a loop over steps and examples."""
    x = [*lesson.honest()[:, 0], point[0]]
    y = [*lesson.honest()[:, 1], point[1]]
    a = b = 0.0
    for _ in range(200):
        grads = []
        for u, v in zip(x, y, strict=True):
            g = np.array([1.0, u]) * (a + b * u - v)
            if rule == "each example":
                g *= min(1.0, c / max(np.linalg.norm(g), 1e-300))
            grads.append(g)
        g = np.mean(grads, axis=0)
        if rule == "batch, by norm":
            g = g * min(1.0, c / max(np.linalg.norm(g), 1e-300))
        if rule == "batch, by value":
            g = np.clip(g, -c, c)
        a, b = a - 0.3 * g[0], b - 0.3 * g[1]
    return np.array([a, b])


@pytest.mark.parametrize("rule", lesson.GUARDS)
@pytest.mark.parametrize("c", [0.02, 1.0, 30.0])
def test_the_line_is_that_of_a_plain_loop(rule: str, c: float):
    points = np.array([[3.0, -8.0], [0.5, 12.0], [-9.0, 4.0]])
    expected = [plain_fit(point, rule, c) for point in points]
    np.testing.assert_allclose(lesson.fit(points, rule, c), expected, rtol=1e-6, atol=1e-9)


def test_without_a_clip_it_is_the_line_of_least_squares_or_overflows():
    x, y = np.vstack([lesson.honest(), [3.0, -8.0]]).T
    np.testing.assert_allclose(
        lesson.fit(np.array([[3.0, -8.0]]), "none", np.inf)[0], np.polyfit(x, y, 1)[::-1], rtol=1e-6
    )
    x, _ = np.vstack([lesson.honest(), [12.0, -12.0]]).T
    curvature = np.linalg.eigvalsh(np.cov(x, bias=True) * np.diag([0, 1.0]) + np.outer([1, x.mean()], [1, x.mean()]))[
        -1
    ]
    assert curvature > 2 / lesson.RATE
    assert not lesson.distance(lesson.fit(np.array([[12.0, -12.0]]), "none", np.inf))[0] < 1e4


def test_the_distance_is_the_root_mean_square_between_the_lines():
    line = np.array([0.5, -1.0])
    gaps = [
        line[0] + line[1] * x - lesson.honest_line()[0] - lesson.honest_line()[1] * x for x in lesson.honest()[:, 0]
    ]
    assert lesson.distance(line) == pytest.approx(np.sqrt(np.mean(np.square(gaps))))
    assert lesson.distance(np.array([np.nan, 0.0])) == np.inf


# --- the claims ---


def test_a_clip_of_the_batch_loses_most_of_the_board_and_one_of_each_example_none():
    lost = {rule: (lesson.damage(rule, 1.0) > lesson.SURVIVED).mean() for rule in ("none", *lesson.GUARDS)}
    assert 0.7 < lost["none"] < 0.8
    assert 0.6 < lost["batch, by norm"] < 0.7
    assert 0.6 < lost["batch, by value"] < 0.7
    for c in (0.0562, 0.1, 0.316, 1.0, 3.16, 5.62):
        assert lesson.damage("each example", c).max() < lesson.SURVIVED
    assert lesson.damage("each example", 0.01).min() > lesson.SURVIVED  # nobody arrives


def test_under_a_clip_of_each_example_the_strongest_place_is_near():
    x, y, away = lesson.strongest("each example", 1.0)
    assert max(abs(x), abs(y)) <= 3
    corners = np.abs(lesson.places()).min(1) > 10
    assert lesson.damage("each example", 1.0)[corners].max() < away
    assert lesson.PREDICTIONS["place"].truth() == "near"
    assert np.abs(lesson.strongest("batch, by norm", 1.0)[:2]).max() == 15


def test_an_honest_stranger_overflows_without_a_clip():
    height, slope = lesson.honest_line()
    point = np.array([[12.0, height + 12 * slope]])
    assert not lesson.distance(lesson.fit(point, "none", np.inf))[0] < 1e4
    assert lesson.distance(lesson.fit(point, "each example", 0.1))[0] < 0.1


def test_the_machines_find_the_best_of_what_they_may_choose():
    *_, away = lesson.strongest("batch, by norm", 1.0)
    harm = [lesson.distance(plain_fit(p, "batch, by norm", 1.0)) for p in lesson.places()[::7]]
    assert away >= max(harm) - 0.01
    rule, c, held = lesson.best_guard(12, -12)
    stops = controls_of(lesson.DuelState)["max_norm"].values
    others = [lesson.distance(plain_fit((12, -12), g, s)) for g in lesson.GUARDS for s in stops[::4]]
    assert held <= min(others) + 1e-9
    assert (rule, c in stops) == ("each example", True)


def test_the_referee():
    assert lesson.bout((12, -12), "batch, by value", 0.3).endswith("the saboteur wins.")
    assert lesson.bout((12, -12), "each example", 1.0).endswith("the line survives.")
    with pytest.raises(ValueError, match="x must lie between -15 and 15; got 99"):
        lesson.bout((99, 0), "each example", 1.0)
    with pytest.raises(ValueError, match="rule must be one of 'each example'"):
        lesson.bout((0, 0), "none", 1.0)


def test_one_patient_needs_no_clip():
    assert lesson.PREDICTIONS["patients"].truth() == "one"


def test_the_harm_of_one_example_is_bounded_and_the_bound_is_reached():
    rng, c, n = np.random.default_rng(0), 1.5, 5

    def clipped(grad):
        return grad * min(1, c / np.linalg.norm(grad))

    most = {"each example": 0.0, "batch": 0.0}
    for _ in range(500):
        others = rng.normal(size=(n - 1, 2)) * rng.choice([0.1, 100])
        way = rng.normal(size=2)
        old, new = 1e6 * way, -1e6 * way  # from one side to the other
        each = (clipped(old) - clipped(new)) / n
        batch = clipped((others.sum(0) + old) / n) - clipped((others.sum(0) + new) / n)
        most = {
            "each example": max(most["each example"], np.hypot(*each)),
            "batch": max(most["batch"], np.hypot(*batch)),
        }
    for place, seen in most.items():
        assert lesson.most_harm(place, c, n) == pytest.approx(seen, rel=1e-3)


# --- captions ---


def test_the_sentence_at_the_ends():
    near = lesson.read_duel(lesson.duel(lesson.DuelState(x=0.0, y=1.0)))
    assert "the line survives" in near
    far = lesson.read_duel(lesson.duel(lesson.DuelState(max_norm=100.0)))
    assert "by more than 10,000 without clipping" in far
    result = lesson.duel(lesson.DuelState(rule="each example", max_norm=0.01))
    assert "From 100% of the board" in lesson.read_duel(result)
    assert lesson.far_in_words(np.inf) == "infinitely far"


def test_the_mouse_moves_the_point_and_the_threshold():
    state = lesson.DuelState()
    moved = lesson.hold_point(state, "board", 3.0, -40.0)
    assert (moved.x, moved.y) == (3.0, -15.0)
    assert lesson.hold_point(state, "shares", 0.11, 0.5).max_norm == 0.1


# --- exercises ---


def choose_in_another_way(losses):
    best, position = None, 0
    for k, row in enumerate(losses):
        ordered = sorted(x if np.isfinite(x) else float("inf") for x in row)
        middle = (ordered[(len(row) - 1) // 2] + ordered[len(row) // 2]) / 2
        if best is None or middle < best:
            best, position = middle, k
    return position


def most_harm_in_another_way(place, max_norm, n_examples):
    if place == "none":
        return float("inf")
    return max_norm * 2 / (n_examples if place == "each example" else 1)


@pytest.mark.parametrize(
    ("name", "answer"), [("choose_setting", choose_in_another_way), ("most_harm", most_harm_in_another_way)]
)
def test_another_right_answer_is_right(name: str, answer):
    assert diagnose(lesson.EXERCISES[name], answer).passed


# --- links ---


def slug(heading: str) -> str:
    return heading.strip().replace(" ", "-")


def test_the_links_of_the_question_lab_lead_to_headings_that_are_there():
    [path] = NOTEBOOKS.glob("12_*.ipynb")
    text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    questions = re.findall(r"(?m)^### (\d+)\. .*\?$", text)
    assert questions == [str(k) for k in range(1, 19)]
    links = re.findall(r"\]\((\d\d_\w+\.ipynb)(?:#([^)]+))?\)", text)
    assert len({name for name, _ in links}) >= 11
    for name, anchor in links:
        cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
        headings = re.findall(
            r"(?m)^#+ (.+)$", "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        )
        assert not anchor or anchor in map(slug, headings), f"{name} has no heading {anchor}"
