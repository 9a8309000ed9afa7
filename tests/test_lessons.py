"""What every lesson keeps: its demos at every end of every control, its pictures, its notebook.

A lesson is tested by being listed: nothing here names one.
"""

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pytest
from matplotlib.text import Text

from gclip_lessons.explorer import Explorer, explore
from gclip_lessons.lessons import Demo, Lesson, all_lessons, controls_of

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LESSONS = all_lessons()
DEMOS = {f"{number}.{name}": demo for number, it in LESSONS.items() for name, demo in it.demos.items()}
PLAYED = {name: demo for name, demo in DEMOS.items() if any(c.play for c in controls_of(demo.state).values())}

every_demo = pytest.mark.parametrize("demo", DEMOS.values(), ids=DEMOS.keys())
every_lesson = pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS.keys())


def assert_good(explorer: Explorer) -> None:
    """The screen shows the state, freshly computed and drawn; the words are there, no number is missing."""
    demo, state, frame = explorer.demo, explorer.state, explorer.picture.frame
    result = demo.compute(state)
    fresh = demo.figure(result)
    assert explorer.drawing.shown() == fresh.shown(), f"update differs from a new figure at {state}"
    assert frame["png"] == fresh.png(explorer.picture.density), f"something moves unregistered at {state}"
    assert frame["sentence"] == demo.caption(result)
    assert frame["error"] == ""
    assert frame["alt"] == f"{demo.figure.description} {frame['sentence']}"
    words = [frame["sentence"], *(text.get_text() for text in explorer.drawing.figure.findobj(Text))]
    for word in words:
        assert not re.search(r"\bnan\b|\bNone\b|\$|\*\*", word), f"{word!r} at {state}"
    assert "  " not in frame["sentence"]
    assert re.search(r"\d", frame["sentence"]), f"the sentence reads no number: {frame['sentence']!r}"
    assert frame["sentence"].strip()[-1] in ".!?"


def off_grid(demo: Demo, name: str) -> Any:
    """A value that no stop of the slider has."""
    setting = controls_of(demo.state)[name]
    low, high = setting.values[len(setting.values) // 3 : len(setting.values) // 3 + 2]
    return low + (high - low) / np.pi


def gesture(explorer: Explorer, start: tuple[float, float], end: tuple[float, float]) -> None:
    seq = explorer.picture.gesture.get("seq", 0) + 1
    explorer.picture.gesture = {"from": [*start], "to": [*end], "seq": seq}


def at(explorer: Explorer, panel: str, across: float, up: float) -> tuple[float, float]:
    """A point of a panel in CSS pixels, given as fractions of its width and height."""
    box = explorer.drawing.axes[panel].get_position()
    width, height = explorer.drawing.size
    return width * (box.x0 + across * box.width), height * (1 - box.y0 - up * box.height)


# --- every demo ---


@every_demo
def test_every_control_at_both_ends_and_between_its_stops(demo: Demo):
    explorer = explore(demo)
    assert_good(explorer)
    for name, setting in controls_of(demo.state).items():
        before = getattr(explorer.state, name)
        if name in explorer.boxes:
            control = explorer.controls[name]
            for position, value in ((control.max, setting.high), (control.min, setting.low)):
                control.value = position
                assert explorer.state == replace(explorer.state, **{name: value})
                assert_good(explorer)
            if setting.kind != "whole":
                typed = off_grid(demo, name)
                explorer.boxes[name].value = typed
                assert getattr(explorer.state, name) == typed
                assert explorer.boxes[name].value == typed
                assert_good(explorer)
        else:
            for value in setting.values:
                explorer.controls[name].value = value
                assert getattr(explorer.state, name) == value
                assert_good(explorer)
        explorer.set(**{name: before})


@every_demo
def test_all_numbers_at_one_end_together(demo: Demo):
    explorer = explore(demo)
    numbers = {name: c for name, c in controls_of(demo.state).items() if name in explorer.boxes}
    for end in ("low", "high"):
        explorer.set(**{name: getattr(setting, end) for name, setting in numbers.items()})
        assert_good(explorer)


@every_demo
def test_every_preset_then_reset(demo: Demo):
    assert 2 <= len(demo.presets) <= 5
    explorer = explore(demo)
    start = explorer.state
    for name, preset in demo.presets.items():
        explorer.buttons[name].click()
        assert explorer.state == preset.state
        assert explorer.picture.frame["question"] == preset.question
        assert_good(explorer)
        explorer.buttons["reset"].click()
        assert explorer.state == start
    assert_good(explorer)


@every_demo
def test_presets_ask_questions_and_are_places_of_their_own(demo: Demo):
    for preset in demo.presets.values():
        assert preset.question.strip().endswith("?")
    assert len({p.question for p in demo.presets.values()}) == len(demo.presets)
    states = [preset.state for preset in demo.presets.values()]
    assert all(one != other for one, other in combinations(states, 2))


@every_demo
def test_the_same_state_gives_the_same_picture_at_twice_the_density(demo: Demo):
    explorer = explore(demo)
    explorer.picture.density = 2
    explorer.preset(next(iter(demo.presets)))
    assert_good(explorer)


@every_demo
def test_the_mouse_moves_what_drag_says_in_every_panel(demo: Demo):
    explorer = explore(demo)
    assert explorer.picture.draggable == (demo.drag is not None)
    moved = False
    for panel in explorer.drawing.axes:
        start = at(explorer, panel, 0.5, 0.5)
        if explorer.drawing.panel_at(*start) != panel:
            continue  # an inset lies there: its own turn comes
        pressed = False
        for across, up in ((0.3, 0.7), (0.05, 0.05), (0.95, 0.95), (1.4, -0.4), (-9, 9)):
            before, end = explorer.state, at(explorer, panel, across, up)
            gesture(explorer, start, end)
            if demo.drag is None:
                assert explorer.state == before
                continue
            x, y = explorer.drawing.to_data(panel, *end)
            assert demo.drag(before, panel, x, y) == demo.drag(before, panel, x, y)
            expected = before
            if demo.trail and not pressed:  # the mouse is put down at `start`, and moved from there
                held = demo.drag(before, panel, *explorer.drawing.to_data(panel, *start))
                expected, pressed = demo.trail(before, held, panel), True
            held = demo.drag(expected, panel, x, y)
            expected = demo.trail(expected, held, "") if demo.trail and held != expected else held
            assert explorer.state == expected
            moved = moved or expected != before
            assert_good(explorer)
    assert moved == (demo.drag is not None), "there is nothing that the mouse can take"


@every_demo
def test_a_press_on_the_margin_moves_nothing(demo: Demo):
    explorer = explore(demo)
    before = explorer.state
    gesture(explorer, (1, 1), (450, 200))
    assert explorer.state == before


@pytest.mark.parametrize("demo", PLAYED.values(), ids=PLAYED.keys())
def test_play_and_step(demo: Demo):
    explorer = explore(demo)
    for name, player in explorer.players.items():
        setting = controls_of(demo.state)[name]
        back, on = (b for b in all_buttons(explorer) if b.tooltip in ("One step back", "One step on"))
        player.value = setting.low
        assert getattr(explorer.state, name) == setting.low
        back.click()
        assert getattr(explorer.state, name) == setting.low
        on.click()
        assert getattr(explorer.state, name) == setting.low + 1 == player.value
        assert_good(explorer)
        player.value = setting.high
        on.click()
        assert getattr(explorer.state, name) == setting.high
        back.click()
        assert getattr(explorer.state, name) == setting.high - 1
        assert_good(explorer)


def all_buttons(widget: widgets.Widget) -> Iterator[widgets.Button]:
    if isinstance(widget, widgets.Button):
        yield widget
    for child in getattr(widget, "children", ()):
        yield from all_buttons(child)


@every_demo
def test_every_control_has_a_label_of_its_own(demo: Demo):
    labels = [setting.label for setting in controls_of(demo.state).values()]
    assert all(label.strip() for label in labels)
    assert len(set(labels)) == len(labels)


# --- every picture ---


@every_demo
def test_the_description_tells_what_the_panels_show(demo: Demo):
    description = demo.figure.description
    assert len(description) > 40
    assert description.endswith(".")
    assert len(demo.figure(demo.compute(demo.state())).axes) < 2 or "Right" in description


@every_demo
def test_text_is_large_enough_and_free_of_mathtext(demo: Demo):
    drawing = explore(demo).drawing
    for text in visible_texts(drawing):
        assert text.get_fontsize() >= 10, text
        assert "$" not in text.get_text(), text


@every_demo
def test_no_text_lies_on_another_or_leaves_the_picture(demo: Demo):
    explorer = explore(demo)
    for preset in (None, *demo.presets):
        explorer.preset(preset or "reset")
        renderer = explorer.drawing._canvas.get_renderer()
        boxes = {text: outline(text, renderer) for text in visible_texts(explorer.drawing)}
        for text, corners in boxes.items():
            inside = (corners >= -1).all() and (corners <= np.array(explorer.drawing.size) + 1).all()
            assert inside, f"{text.get_text()!r} leaves the picture at preset {preset!r}"
        for (one, here), (other, there) in combinations(boxes.items(), 2):
            clash = f"{one.get_text()!r} lies on {other.get_text()!r} at preset {preset!r}"
            assert not overlap(here, there), clash


def visible_texts(drawing: Any) -> list[Text]:
    """Texts that are drawn; a tick outside the limits of its axis is not."""
    drawing.png()
    hidden = set()
    for axes in drawing.axes.values():
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {tick.label1, tick.label2}
    texts = drawing.figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip())
    return [text for text in texts if text not in hidden and drawn_at_all(text)]


def drawn_at_all(text: Text) -> bool:
    """Whether everything that holds the text is visible too, and its position is a place."""
    x, y = text.get_transform().transform(text.get_unitless_position())
    return bool(np.isfinite([x, y]).all()) and (text.axes is None or text.axes.get_visible())


def outline(text: Text, renderer: Any) -> np.ndarray:
    """The corners (4, 2) of a text as it is turned, a little inside, for glyphs do not fill their boxes."""
    centre = text.get_window_extent(renderer).get_points().mean(0)
    angle = text.get_rotation()
    text.set_rotation(0)
    box = text.get_window_extent(renderer)
    text.set_rotation(angle)
    half = np.maximum(np.array([box.width / 2 - 1, box.height / 2 - 2.5]), 0.5)
    turn = np.radians(angle)
    along = np.array([np.cos(turn), np.sin(turn)]) * half[0]
    across = np.array([-np.sin(turn), np.cos(turn)]) * half[1]
    return np.stack(
        [centre + along + across, centre + along - across, centre - along - across, centre - along + across]
    )


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two rectangles share area: no side of either separates them."""
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[2] - corners[1]):
            a, b = one @ side, other @ side
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True


# --- every lesson and its notebook ---


def notebooks() -> dict[str, Path]:
    """The notebooks of lessons, NN_name.ipynb, by number; other pages have no number."""
    return {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}


def cells(lesson: Lesson, kind: str) -> list[str]:
    """The sources of a lesson's notebook, cell by cell."""
    notebook = json.loads(notebooks()[lesson.number].read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_every_lesson_has_its_notebook_and_every_notebook_its_lesson():
    assert LESSONS
    assert list(notebooks()) == list(LESSONS)
    assert list(LESSONS) == sorted(LESSONS)


@every_lesson
def test_number_and_title_agree_everywhere(lesson: Lesson):
    path = notebooks()[lesson.number]
    facts = json.loads(path.read_text(encoding="utf-8"))["metadata"]["gclip"]
    assert (facts["number"], facts["title"]) == (lesson.number, lesson.title)
    first = cells(lesson, "markdown")[0].splitlines()[0]
    assert first == f"# {lesson.number} · {lesson.title}"
    assert lesson.quiz.key == lesson.number
    for thing in (*lesson.exercises.values(), *lesson.predictions.values()):
        assert thing.key.startswith(f"{lesson.number}.")
    keys = [thing.key for thing in (*lesson.exercises.values(), *lesson.predictions.values())]
    assert len(set(keys)) == len(keys)


@every_lesson
def test_every_lesson_has_demos_predictions_exercises_and_a_quiz(lesson: Lesson):
    assert lesson.demos
    assert lesson.predictions
    assert len(lesson.exercises) >= 2
    assert 3 <= len(lesson.quiz.questions) <= 5
    right = [[o.right for o in question.options].index(True) for question in lesson.quiz.questions]
    assert len(set(right)) > 1, "the right answer always stands in the same place"


@every_lesson
def test_the_notebook_shows_everything_that_the_lesson_has(lesson: Lesson):
    module = importlib.import_module(f"gclip_lessons.lessons.lesson{lesson.number}")
    code = "\n".join(cells(lesson, "code"))
    names = {id(value): name for name, value in vars(module).items() if isinstance(value, Demo)}
    for key, demo in lesson.demos.items():
        name = names[id(demo)]
        assert re.search(rf"explore\(\s*lesson\.{name}\b", code), f"demo {key!r} is not shown"
    for key in lesson.predictions:
        assert f'predict(lesson.PREDICTIONS["{key}"])' in code
    for key, exercise in lesson.exercises.items():
        place = rf'\(\s*lesson\.EXERCISES\["{key}"\]'
        for panel in ("check", "hint", "solution"):
            assert re.search(panel + place, code), f"{panel} of exercise {key!r} is not in the notebook"
        assert f"def {exercise.name}(" in code, f"exercise {key!r} has no stub in the notebook"
    assert "quiz(lesson.QUIZ)" in code


@every_lesson
def test_presets_that_the_notebook_names_exist(lesson: Lesson):
    module = importlib.import_module(f"gclip_lessons.lessons.lesson{lesson.number}")
    code = "\n".join(cells(lesson, "code"))
    for name, preset in re.findall(r'explore\(\s*lesson\.(\w+),[^)]*?preset="([^"]*)"', code):
        assert preset in getattr(module, name).presets


@every_lesson
def test_cells_are_short(lesson: Lesson):
    for source in cells(lesson, "code"):
        lines = [line for line in source.splitlines() if line.strip()]
        assert len(lines) <= 15, source
