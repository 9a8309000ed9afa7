"""The explorer: what a slider, a number box, a button or the mouse does to state, picture and sentence."""

import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pytest
from PIL import Image

from gclip_lessons import progress
from gclip_lessons.exercises import Prediction
from gclip_lessons.explorer import Explorer, explore
from gclip_lessons.figures.style import LiveFigure
from gclip_lessons.lessons import Control, Demo, Preset, State, clamp, control, moves

# --- a demo small enough to know by heart ---


@dataclass(frozen=True)
class ToyState(State):
    rate: float = control(0.1, label="learning rate η", log=(1e-3, 10))
    slope: float = control(0.0, label="slope", linear=(-2, 2))
    rule: str = control("norm", label="rule", choices=("none", "value", "norm"))
    smooth: bool = control(False, label="smooth")
    step: int = control(0, label="step", whole=(0, 20), play=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slope == 1.25:
            raise ValueError("slope must not be 1.25 here; got 1.25")


@dataclass(frozen=True)
class ToyResult:
    state: ToyState
    height: float


def compute(state: ToyState) -> ToyResult:
    if state.step == 13:
        raise ArithmeticError("step 13 is unlucky")
    return ToyResult(state, state.rate * 2 + state.slope + state.step)


class ToyFigure(LiveFigure):
    size = (300, 200)
    description = "Left: a point. Right: a line."

    def draw(self, result: ToyResult) -> None:
        left = self.panel("left", (0.1, 0.1, 0.35, 0.8), xlim=(0, 10), ylim=(-2, 2), xscale="linear")
        right = self.panel("right", (0.6, 0.1, 0.35, 0.8), xlim=(0, 1), ylim=(-3, 43))
        self._point = self.moving(left.plot([], [], "o")[0])
        self._line = self.moving(right.plot([], [])[0])
        self._name = self.moving(right.text(0.5, 0, ""))

    def update(self, result: ToyResult) -> None:
        self._point.set_data([result.state.rate], [result.state.slope])
        self._line.set_data([0, 1], [0, result.height])
        self._name.set_text(result.state.rule)


def caption(result: ToyResult) -> str:
    return f"At η = {result.state.rate:.6g} the <line> ends at {result.height:.6g}."


def drag(state: ToyState, panel: str, x: float, y: float) -> ToyState:
    if panel != "left":
        return state
    return replace(state, rate=clamp("rate", ToyState, x), slope=clamp("slope", ToyState, y))


PRESETS = {
    "five": Preset(ToyState(rate=5.0), "Does 5 stay 5?"),
    "late": Preset(ToyState(step=20, rule="value", smooth=True), "What is there at the end?"),
}
TOY = Demo(ToyState, compute, ToyFigure, caption, PRESETS, drag)


@pytest.fixture
def toy() -> Explorer:
    return explore(TOY)


def assert_consistent(explorer: Explorer) -> None:
    """State, controls, sentence, words for screen readers and picture all tell of the same state."""
    state, demo = explorer.state, explorer.demo
    result = demo.compute(state)
    assert explorer.sentence == demo.caption(result)
    assert explorer.picture.frame["png"] == demo.figure(result).png(explorer.picture.density)
    for link in explorer._links:
        assert link.widget.value == link.show(getattr(state, link.name)), link.name
    for name, words in explorer.picture.frame["controls"].items():
        value = getattr(state, name)
        assert words["text"] == (f"{value:g}" if isinstance(value, float) else str(value))


def buttons(widget: widgets.Widget) -> Iterator[widgets.Button]:
    """Every button inside a widget."""
    if isinstance(widget, widgets.Button):
        yield widget
    for child in getattr(widget, "children", ()):
        yield from buttons(child)


def press(explorer: Explorer, tooltip: str) -> None:
    [button] = [b for b in buttons(explorer) if b.tooltip == tooltip]
    button.click()


def gesture(explorer: Explorer, start: tuple[float, float], end: tuple[float, float], seq: int = 1) -> None:
    explorer.picture.gesture = {"from": [*start], "to": [*end], "seq": seq}


# --- what is shown is what is used ---


def test_every_field_has_its_control_and_every_number_its_box(toy: Explorer):
    assert list(toy.controls) == ["rate", "slope", "rule", "smooth", "step"]
    assert list(toy.boxes) == ["rate", "slope", "step"]
    assert list(toy.players) == ["step"]
    assert list(toy.buttons) == ["five", "late", "reset"]
    assert_consistent(toy)


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("rate", 0, 0.001),
        ("rate", 60, 0.1),
        ("slope", 120, 2.0),
        ("rule", "none", "none"),
        ("smooth", True, True),
        ("step", 20, 20),
    ],
)
def test_a_control_moves_its_field_and_nothing_else(toy: Explorer, name: str, index: Any, value: Any):
    toy.controls[name].value = index
    assert toy.state == replace(ToyState(), **{name: value})
    assert_consistent(toy)


@pytest.mark.parametrize("typed", [5.0, 0.123456, 1 / 3, 0.001, 8.9999])
def test_a_typed_value_is_kept_exactly(toy: Explorer, typed: float):
    toy.boxes["rate"].value = typed
    assert toy.state.rate == typed
    assert toy.boxes["rate"].value == typed
    assert_consistent(toy)
    toy.controls["step"].value = 3
    assert toy.state.rate == typed


def test_set_moves_several_fields_at_once(toy: Explorer):
    frames: list[Any] = []
    toy.picture.observe(lambda change: frames.append(change.new), "frame")
    toy.set(rate=0.37, step=7, rule="value")
    assert toy.state == ToyState(rate=0.37, step=7, rule="value")
    assert len(frames) == 1
    assert_consistent(toy)


def test_one_move_of_a_slider_sends_one_picture(toy: Explorer):
    frames: list[Any] = []
    toy.picture.observe(lambda change: frames.append(change.new), "frame")
    toy.controls["rate"].value = 10
    toy.boxes["rate"].value = 0.777
    assert len(frames) == 2


def test_displaying_changes_no_value(toy: Explorer):
    toy.set(rate=5.0, slope=0.12345)
    state, frame = toy.state, toy.picture.frame
    for _ in range(2):
        toy._repr_mimebundle_()
    toy.get_state()
    assert toy.state is state
    assert toy.picture.frame is frame
    assert toy.boxes["rate"].value == 5.0
    assert toy.boxes["slope"].value == 0.12345


def test_two_explorers_do_not_disturb_each_other():
    one, other = explore(TOY), explore(TOY, preset="five")
    before = other.picture.frame
    one.controls["rate"].value = 3
    one.preset("late")
    gesture(one, (60, 100), (80, 90))
    assert other.state == PRESETS["five"].state
    assert other.picture.frame is before
    assert_consistent(one)
    assert_consistent(other)


# --- presets, reset, play and step ---


def test_a_preset_is_gone_to_with_its_question(toy: Explorer):
    toy.buttons["late"].click()
    assert toy.state == PRESETS["late"].state
    assert toy.picture.frame["question"] == "What is there at the end?"
    assert_consistent(toy)


@pytest.mark.parametrize("start", [None, "five", "late"])
def test_reset_goes_back_to_where_this_explorer_started(start: str | None):
    explorer = explore(TOY, preset=start)
    began = explorer.state
    question = explorer.picture.frame["question"]
    explorer.preset("late" if start == "five" else "five")
    explorer.set(rate=0.02, rule="none")
    explorer.buttons["reset"].click()
    assert explorer.state == began == (PRESETS[start].state if start else ToyState())
    assert explorer.picture.frame["question"] == question
    assert_consistent(explorer)


def test_play_and_the_step_buttons_move_the_step_and_stop_at_the_ends(toy: Explorer):
    toy.players["step"].value = 5
    assert toy.state.step == 5
    press(toy, "One step on")
    assert toy.state.step == 6
    assert toy.players["step"].value == 6
    press(toy, "One step back")
    assert toy.state.step == 5
    toy.set(step=20)
    press(toy, "One step on")
    assert toy.state.step == 20
    toy.set(step=0)
    press(toy, "One step back")
    assert toy.state.step == 0
    assert_consistent(toy)


def test_show_leaves_out_controls_but_no_field():
    explorer = explore(TOY, preset="five", show=("slope", "step"))
    assert list(explorer.controls) == ["slope", "step"]
    explorer.controls["slope"].value = 0
    assert explorer.state == ToyState(rate=5.0, slope=-2.0)
    explorer.preset("reset")
    assert explorer.state == PRESETS["five"].state
    assert_consistent(explorer)


@pytest.mark.parametrize(
    ("preset", "show", "offered"),
    [
        (None, ("rate",), ["five"]),
        (None, ("step", "smooth", "rule"), ["late"]),
        (None, ("step",), []),
        ("five", ("slope",), ["five"]),
        ("five", ("rate", "step", "smooth", "rule"), ["five", "late"]),
    ],
)
def test_only_presets_that_move_no_hidden_control_are_offered(preset: Any, show: tuple[str, ...], offered: list[str]):
    explorer = explore(TOY, preset=preset, show=show)
    assert list(explorer.buttons) == [*offered, "reset"]
    for name in {*PRESETS} - {*offered}:
        with pytest.raises(ValueError, match=r"preset must be one of .*'reset'; got"):
            explorer.preset(name)


# --- after a prediction ---


def guess_of(key: str) -> Prediction:
    return Prediction(key, "How high?", lambda: 1.0, {"low": "", "close": "", "high": ""})


def test_a_picture_waits_for_its_prediction_behind_a_button():
    explorer = explore(TOY, preset="five", after=guess_of("99.a"))
    assert [child.value for child in explorer.children[:-1]] == ["Predict first, in the cell above."]
    assert explorer.picture not in explorer.children
    explorer.set(step=3)
    explorer.look.click()
    assert explorer.picture in explorer.children
    assert explorer.look not in explorer.children
    assert explorer.state.step == 3
    assert_consistent(explorer)


def test_a_guess_that_is_recorded_opens_the_picture_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("GCLIP_PROGRESS", str(tmp_path / "progress.json"))
    progress.record_prediction("99.a", 1.0, right=True)
    for key, is_open in (("99.a", True), ("99.b", False)):
        explorer = explore(TOY, after=guess_of(key))
        assert (explorer.picture in explorer.children) == is_open


def test_the_stored_output_after_a_prediction_gives_no_answer_away():
    explorer = explore(TOY, after=guess_of("99.a"))
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == "Predict first, then look."
    page = Tags(bundle["text/html"])
    assert list(page.attributes) == ["details", "summary", "figure", "img", "figcaption"]
    assert "open" not in page.attributes["details"]
    assert page.text["summary"] == "The picture, when you have predicted"
    assert page.text["figcaption"] == explorer.sentence


@pytest.mark.parametrize(
    ("call", "names"),
    [
        ({"preset": "fife"}, ["preset", "'fife'", "'five'", "'late'"]),
        ({"show": ("rate", "c")}, ["show", "'c'", "'rate'", "'slope'"]),
    ],
)
def test_unknown_names_are_refused_with_those_that_exist(call: dict[str, Any], names: list[str]):
    with pytest.raises(ValueError, match="must be one of") as refused:
        explore(TOY, **call)
    for name in names:
        assert name in str(refused.value)


def test_a_preset_that_does_not_exist_is_refused_later_too(toy: Explorer):
    state = toy.state
    with pytest.raises(ValueError, match=r"preset must be one of 'five', 'late', 'reset'; got 'fife'"):
        toy.preset("fife")
    assert toy.state is state
    assert_consistent(toy)


# --- what cannot be shown ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": -1.0}, "rate must lie between 0.001 and 10; got -1.0"),
        ({"rate": float("nan")}, "rate must lie between 0.001 and 10; got nan"),
        ({"step": 2.5}, "step must be a whole number; got 2.5"),
        ({"rule": "ball"}, "rule must be one of 'none', 'value', 'norm'; got 'ball'"),
    ],
)
def test_a_value_that_a_control_cannot_take_changes_nothing(toy: Explorer, changes: dict[str, Any], message: str):
    before, picture = toy.state, toy.picture.frame["png"]
    with pytest.raises(ValueError, match="must") as refused:
        toy.set(**changes)
    assert str(refused.value) == message
    assert toy.picture.frame["error"] == f"ValueError: {message}"
    assert toy.state is before
    assert toy.picture.frame["png"] == picture
    assert_consistent(toy)
    toy.set(step=1)
    assert toy.picture.frame["error"] == ""
    assert_consistent(toy)


def test_a_typed_value_that_the_state_refuses_goes_back_in_the_box(toy: Explorer):
    toy.boxes["slope"].value = 0.5
    with pytest.raises(ValueError, match="must not be"):
        toy.boxes["slope"].value = 1.25
    assert toy.state.slope == 0.5
    assert toy.boxes["slope"].value == 0.5
    assert "must not be 1.25" in toy.picture.frame["error"]
    toy.set()
    assert_consistent(toy)


@pytest.mark.parametrize(("typed", "taken"), [(99.0, 10), (-3.0, 0.001)])
def test_a_number_beyond_the_end_is_the_end(toy: Explorer, typed: float, taken: float):
    toy.boxes["rate"].value = typed
    assert toy.state.rate == taken
    assert toy.boxes["rate"].value == taken
    assert_consistent(toy)


def test_an_error_in_compute_is_shown_and_raised_and_the_last_good_picture_stays(toy: Explorer):
    toy.preset("five")
    good, state, result = toy.picture.frame, toy.state, toy.result
    with pytest.raises(ArithmeticError):
        toy.controls["step"].value = 13
    frame = toy.picture.frame
    assert frame == {**good, "error": "ArithmeticError: step 13 is unlucky"}
    assert (toy.state, toy.result) == (state, result)
    assert toy.controls["step"].value == toy.boxes["step"].value == toy.players["step"].value == 0
    assert_consistent(toy)
    toy.controls["step"].value = 14
    assert toy.picture.frame["error"] == ""
    assert toy.state == ToyState(rate=5.0, step=14)
    assert_consistent(toy)


def test_a_preset_that_cannot_be_shown_leaves_the_question_of_the_picture():
    explorer = explore(replace(TOY, presets={**PRESETS, "bad": Preset(ToyState(step=13), "Is it lucky?")}), "five")
    with pytest.raises(ArithmeticError):
        explorer.preset("bad")
    assert explorer.state == PRESETS["five"].state
    assert explorer.picture.frame["question"] == "Does 5 stay 5?"
    explorer.set(slope=1.0)
    assert explorer.picture.frame["question"] == "Does 5 stay 5?"


@pytest.mark.parametrize("part", ["figure", "caption"])
def test_an_error_in_figure_or_caption_is_shown_too(part: str):
    class Fragile(ToyFigure):
        def update(self, result: ToyResult) -> None:
            super().update(result)
            if part == "figure" and result.state.step == 3:
                raise RuntimeError("no ink")

    def fragile(result: ToyResult) -> str:
        if part == "caption" and result.state.step == 3:
            raise RuntimeError("no words")
        return caption(result)

    explorer = explore(replace(TOY, figure=Fragile, caption=fragile))
    good = explorer.picture.frame
    with pytest.raises(RuntimeError, match="no "):
        explorer.controls["step"].value = 3
    assert explorer.picture.frame["error"].startswith("RuntimeError: no ")
    assert explorer.picture.frame["png"] == good["png"] == explorer.drawing.png()
    assert explorer.state == explorer.result.state == ToyState()
    assert_consistent(explorer)
    explorer.controls["step"].value = 4
    assert explorer.picture.frame["error"] == ""
    assert_consistent(explorer)


def test_an_error_at_the_start_is_raised_at_once():
    with pytest.raises(ArithmeticError):
        explore(replace(TOY, presets={"bad": Preset(ToyState(step=13), "?")}), preset="bad")


# --- the mouse ---


def test_a_drag_moves_what_the_panel_says(toy: Explorer):
    start, end = toy.drawing.place("left", 1, 0), toy.drawing.place("left", 4, -1.5)
    gesture(toy, start, end)
    assert toy.state.rate == pytest.approx(4)
    assert toy.state.slope == pytest.approx(-1.5)
    assert_consistent(toy)


@pytest.mark.parametrize("start", [(1, 1), (150, 100), (299, 199), (-20, 500)])
def test_a_press_outside_the_panels_does_nothing(toy: Explorer, start: tuple[float, float]):
    state, frame = toy.state, toy.picture.frame
    gesture(toy, start, toy.drawing.place("left", 4, 1))
    assert toy.state is state
    assert toy.picture.frame is frame


def test_a_panel_without_anything_to_drag_does_nothing(toy: Explorer):
    frame = toy.picture.frame
    gesture(toy, toy.drawing.place("right", 0.5, 10), toy.drawing.place("right", 0.9, 20))
    assert toy.picture.frame is frame


def test_a_drag_that_leaves_its_panel_stays_with_it_and_ends_at_the_edge(toy: Explorer):
    start = toy.drawing.place("left", 1, 0)
    gesture(toy, start, toy.drawing.place("right", 0.5, 0), 1)
    assert toy.state.rate == 10
    gesture(toy, start, (-500.0, -500.0), 2)
    assert toy.state.rate == 0.001
    assert toy.state.slope == 2.0
    assert_consistent(toy)


def test_a_drag_lands_at_the_same_place_at_twice_the_density(toy: Explorer):
    toy.picture.density = 2
    gesture(toy, toy.drawing.place("left", 1, 0), toy.drawing.place("left", 7, 1))
    assert (toy.state.rate, toy.state.slope) == pytest.approx((7, 1))


def test_a_demo_without_drag_has_a_picture_that_is_not_draggable():
    explorer = explore(replace(TOY, drag=None))
    assert not explorer.picture.draggable
    state = explorer.state
    gesture(explorer, explorer.drawing.place("left", 1, 0), explorer.drawing.place("left", 7, 1))
    assert explorer.state is state


# --- the picture ---


def test_the_picture_has_the_size_and_the_density_of_the_screen(toy: Explorer):
    toy.set(rate=5.0)
    state, sentence = toy.state, toy.sentence
    for density in (1, 2, 1):
        toy.picture.density = density
        assert Image.open(io.BytesIO(toy.picture.frame["png"])).size == (300 * density, 200 * density)
        assert_consistent(toy)
    assert toy.state == state
    assert toy.sentence == sentence


def test_picture_text_and_words_travel_in_one_message(toy: Explorer):
    toy.set(rate=2.0, rule="none")
    frame = toy.picture.frame
    assert set(frame) == {"png", "alt", "sentence", "question", "error", "controls"}
    assert frame["alt"] == f"{ToyFigure.description} {toy.sentence}"
    assert frame["controls"]["rate"] == {"label": "learning rate η", "text": "2"}
    assert frame["controls"]["rule"] == {"label": "rule", "text": "none"}


class Tags(HTMLParser):
    """The tags of a piece of HTML, and the text inside each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes[tag] = dict(attrs)
        if tag != "img":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self._open[-1]] = self.text.get(self._open[-1], "") + data


def test_the_stored_output_reads_without_a_kernel(toy: Explorer):
    bundle = toy._repr_mimebundle_()
    assert bundle["text/plain"] == toy.sentence
    assert "application/vnd.jupyter.widget-view+json" in bundle
    page = Tags(bundle["text/html"])
    assert list(page.attributes) == ["figure", "img", "figcaption"]
    assert page.attributes["img"]["alt"] == f"{ToyFigure.description} {toy.sentence}"
    assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", page.attributes["img"]["src"] or "")
    assert page.text["figcaption"] == toy.sentence  # "<line>" in it is text, no tag


# --- controls ---


def made(default: Any, **options: Any) -> Control:
    return control(default, label="knob", **options).metadata["control"]


@pytest.mark.parametrize(
    ("default", "options"),
    [
        (1.0, {}),
        (1.0, {"log": (0.1, 10), "linear": (0, 1)}),
        (True, {"choices": ("a", "b")}),
        (1.0, {"linear": (1, 1)}),
        (1.0, {"linear": (2, 1)}),
        (1.0, {"log": (10, 0.1)}),
        (1, {"whole": (3, 2)}),
    ],
)
def test_a_control_is_of_one_kind_and_rises(default: Any, options: dict[str, Any]):
    with pytest.raises(ValueError, match="control 'knob' must have"):
        made(default, **options)


def test_stops_have_as_many_digits_as_keep_them_apart():
    narrow = made(1005.0, linear=(1000, 1010))
    assert len(set(narrow.values)) == 121
    assert (narrow.low, narrow.high) == (1000, 1010)
    assert narrow.values == tuple(sorted(narrow.values))
    assert made(1.0, log=(0.001, 10)).values[1] == 0.00108
    assert made(True).values == (False, True)


@pytest.mark.parametrize("value", [3.0, float("inf"), float("nan"), np.float64(2), 2.5])
def test_a_whole_control_takes_whole_numbers_alone(value: float):
    with pytest.raises(ValueError, match="step must be a whole number; got"):
        made(1, whole=(0, 20)).check("step", value)


def test_moves_takes_two_fields_with_the_mouse_and_keeps_them_in_range():
    drag = moves("left", "rate", "slope")
    assert drag(ToyState(), "left", 3.14159, 9) == ToyState(rate=3.14, slope=2.0)
    assert drag(ToyState(), "right", 3, 1) == ToyState()


# --- many hands at once ---

TEN = [f"knob{k}" for k in range(10)]
TenState = make_dataclass(
    "TenState",
    [(name, float, control(1.0, label=name, log=(0.1, 10))) for name in TEN],
    bases=(State,),
    frozen=True,
)


class TenFigure(LiveFigure):
    size = (200, 100)
    description = "Ten points."

    def draw(self, result: Any) -> None:
        axes = self.panel("points", (0.1, 0.1, 0.8, 0.8), xlim=(-1, 10), ylim=(0, 11))
        self._points = self.moving(axes.plot([], [], "o")[0])

    def update(self, result: Any) -> None:
        self._points.set_data(range(10), result)


TEN_KNOBS = Demo(
    TenState,
    lambda state: np.array([getattr(state, name) for name in TEN]),
    TenFigure,
    lambda result: "The points are at " + ", ".join(f"{value:g}" for value in result) + ".",
)


def run_together(*tasks: Any) -> None:
    """Run functions on threads of their own, all starting at the same moment; errors are raised here."""
    gate, failures = threading.Barrier(len(tasks)), []

    def work(task: Any) -> None:
        gate.wait()
        try:
            task()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "an explorer is stuck"
    if failures:
        raise failures[0]


def test_ten_sliders_moved_fast_from_five_threads_leave_the_last_state_on_the_screen():
    explorer = explore(TEN_KNOBS)
    rng = np.random.default_rng(3)
    stops = rng.integers(0, 121, size=(10, 30)).tolist()

    def turn(two: list[int]) -> None:
        for positions in zip(*(stops[k] for k in two), strict=True):
            for k, position in zip(two, positions, strict=True):
                explorer.controls[TEN[k]].value = position

    run_together(*(lambda two=[k, k + 5]: turn(two) for k in range(5)))
    for k, name in enumerate(TEN):
        assert explorer.controls[name].value == stops[k][-1]
        assert getattr(explorer.state, name) == pytest.approx(0.1 * 100 ** (stops[k][-1] / 120), rel=6e-3)
    assert_consistent(explorer)


def test_a_step_goes_on_from_where_another_thread_has_left_the_step(toy: Explorer):
    stepping = threading.Thread(target=press, args=(toy, "One step on"))
    with toy._lock:
        stepping.start()
        stepping.join(0.2)  # it waits for the lock by now
        toy.set(step=10)
    stepping.join(60)
    assert toy.state.step == 11
    assert_consistent(toy)


def test_one_slider_its_box_a_preset_and_the_screen_moved_at_once_end_consistent():
    for _ in range(5):
        explorer = explore(TOY)

        def slide(explorer: Explorer = explorer) -> None:
            for position in range(0, 100, 7):
                explorer.controls["rate"].value = position

        def type_in(explorer: Explorer = explorer) -> None:
            for k in range(12):
                explorer.boxes["rate"].value = 0.31 + k / 7

        def choose(explorer: Explorer = explorer) -> None:
            for name in ("five", "late", "reset") * 3:
                explorer.buttons[name].click()

        def look(explorer: Explorer = explorer) -> None:
            for density in (2, 1) * 4:
                explorer.picture.density = density

        run_together(slide, type_in, choose, look)
        assert explorer.picture.frame["error"] == ""
        assert_consistent(explorer)


# --- what stays out ---


def test_an_explorer_loads_neither_pyplot_nor_torch():
    program = (
        "import sys\n"
        "from gclip_lessons.explorer import explore\n"
        "from gclip_lessons.lessons import all_lessons\n"
        "demo = next(iter(next(iter(all_lessons().values())).demos.values()))\n"
        "explorer = explore(demo)\n"
        "next(iter(explorer.controls.values())).get_state()\n"
        "print([m for m in ('matplotlib.pyplot', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- a brush ---


@dataclass(frozen=True)
class BrushState(State):
    x: float = control(0.5, label="x", linear=(0, 1))
    down: bool = control(True, label="brush down")
    dabs: tuple[float, ...] = ()


def paint(before: BrushState, after: BrushState, pressed: str) -> BrushState:
    return replace(after, dabs=(*after.dabs, after.x)) if after.down and (pressed or after.x != before.x) else after


class BrushFigure(ToyFigure):
    def update(self, result: ToyResult) -> None:
        self._point.set_data([result.height], [len(result.state.dabs)])


BRUSH = Demo(
    BrushState,
    lambda state: ToyResult(state, state.x),
    BrushFigure,
    lambda result: f"{len(result.state.dabs)} dabs.",
    presets={
        "blank": Preset(BrushState(), "What stays?"),
        "painted": Preset(BrushState(dabs=(0.1, 0.2)), "What was there?"),
    },
    drag=lambda state, panel, x, y: replace(state, x=clamp("x", BrushState, x / 10)),
    trail=paint,
)


def test_what_a_move_leaves_behind_is_kept_by_slider_box_and_mouse_until_a_preset_or_reset():
    explorer = explore(BRUSH, preset="painted")
    explorer.controls["x"].value = 0
    explorer.boxes["x"].value = 0.123456
    assert explorer.state.dabs == (0.1, 0.2, 0.0, 0.123456)
    gesture(explorer, (60, 100), (60, 100))
    assert explorer.state.dabs[4:] == (explorer.state.x,)
    explorer.controls["down"].value = False
    explorer.set(x=0.9)
    assert (len(explorer.state.dabs), explorer.sentence) == (5, "5 dabs.")
    explorer.preset("blank")
    assert explorer.state == BrushState()
    explorer.set(x=1.0)
    explorer.preset("reset")
    assert explorer.state.dabs == (0.1, 0.2)


def test_a_press_begins_a_stroke_and_a_move_goes_on_with_it():
    seen = []

    def look(before: BrushState, after: BrushState, pressed: str) -> BrushState:
        seen.append((before.x, after.x, pressed))
        return paint(before, after, pressed)

    explorer = explore(replace(BRUSH, trail=look))
    places = [explorer.drawing.place("left", 10 * x, 0) for x in (0.2, 0.4, 0.8)]
    at = [explorer.demo.drag(BrushState(), "left", *explorer.drawing.to_data("left", *p)).x for p in places]
    one, two, three = at
    for seq, (start, end) in enumerate([(0, 0), (0, 1), (0, 1), (2, 2), (2, 2), (1, 0)]):
        gesture(explorer, places[start], places[end], seq)
    assert seen == [
        (0.5, one, "left"),
        (one, two, ""),  # on with the stroke; the mouse is let go where it was
        (two, three, "left"),
        (three, three, "left"),  # a press on the very spot where the brush is
        (three, two, "left"),  # a press that the browser has merged with the move after it
        (two, one, ""),
    ]
    explorer.set(x=0.5)
    assert seen[-1] == (one, 0.5, "")
    assert explorer.state.dabs == (one, two, three, three, two, one, 0.5)


def test_a_trail_that_fails_leaves_the_last_good_state():
    def refuse(before: BrushState, after: BrushState, pressed: str) -> BrushState:
        raise ValueError("no paint left")

    explorer = explore(replace(BRUSH, trail=refuse))
    with pytest.raises(ValueError, match="no paint left"):
        explorer.set(x=0.2)
    assert explorer.state == BrushState()
    assert "no paint left" in explorer.picture.frame["error"]
