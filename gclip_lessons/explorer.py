"""explore(demo): sliders, number boxes, presets, play and the mouse over one live picture.

State -> compute -> figure.update -> one message. ipywidgets' callbacks may run on several threads (JupyterLab 4.4
and ipykernel 7 have subshells), so each explorer has one lock, and whoever holds it renders the newest state.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from threading import RLock
from typing import Any

import ipywidgets as widgets

from gclip_lessons import progress
from gclip_lessons.exercises import Prediction
from gclip_lessons.lessons import Control, Demo, Preset, controls_of
from gclip_lessons.view import Picture, static_html


@dataclass(frozen=True, eq=False)
class _Link:
    """A widget that moves one field: `show` turns the field's value into the widget's, `read` turns it back."""

    name: str
    widget: widgets.Widget
    show: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


class Explorer(widgets.VBox):
    """A demo with its controls: `state`, `result` and `sentence` say what is on the screen.

    `controls` and `boxes` hold the sliders (or menus) and number boxes by field name, `players` the play buttons,
    `buttons` the presets and "reset". `set` moves several fields at once. What cannot be shown leaves the last good
    state, result and picture, with the error in red below it, and is raised. After a prediction that nobody has
    made yet, all is behind the button `look`.
    """

    def __init__(
        self,
        demo: Demo,
        preset: str | None = None,
        show: Iterable[str] | None = None,
        after: Prediction | None = None,
    ) -> None:
        named = controls_of(demo.state)
        shown = list(named) if show is None else list(show)
        for parameter, names, known in (("preset", [preset], [None, *demo.presets]), ("show", shown, named)):
            for name in names:
                if name not in known:
                    raise ValueError(f"{parameter} must be one of {', '.join(map(repr, known))}; got {name!r}")
        self.demo = demo
        self._lock = RLock()
        self._after = after
        self._stroke: Sequence[float] | None = None  # where the mouse was last pressed
        self._start = demo.presets.get(preset) or Preset(demo.state(), "")
        self.state = self._start.state
        self.result = demo.compute(self.state)
        self.drawing = demo.figure(self.result)
        width, height = demo.figure.size
        self.picture = Picture(width=width, height=height, draggable=demo.drag is not None)
        self.picture.frame = self._frame(self._start.question)
        self.controls, self.boxes, self.players = {}, {}, {}
        self._links: list[_Link] = []
        rows = [self._row(name, named[name]) for name in shown]
        kept = [name for name in named if name not in shown]  # a preset that changes these could not be followed
        reachable = {name: p for name, p in demo.presets.items() if _values(p.state, kept) == _values(self.state, kept)}
        self._places = {**reachable, "reset": self._start}
        self.buttons = {name: _button(name, p.question) for name, p in reachable.items()}
        self.buttons["reset"] = _button("reset", "Back to where this picture started", icon="undo")
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self.preset(name))
        for link in self._links:
            link.widget.observe(lambda _, link=link: self._moved(link), "value")
        self.picture.observe(self._dragged, "gesture")
        self.picture.observe(lambda _: self.set(), "density")
        self.look = _button("Look", "Open the picture without a prediction")
        self.look.layout.align_self = "flex-start"
        self.look.on_click(lambda _: self._open())
        super().__init__([widgets.Label("Predict first, in the cell above."), self.look])
        self._inside = [_line(self.buttons.values()), _line(rows), self.picture]
        if after is None or after.key in progress.load().predictions:
            self._open()
        self.add_class("gclip-explorer")

    def _open(self) -> None:
        self.children = self._inside

    @property
    def sentence(self) -> str:
        """The live sentence under the picture."""
        return self.picture.frame["sentence"]

    def set(self, **changes: Any) -> None:
        """Move the named fields; a value that a control cannot take raises ValueError and changes nothing."""
        self._change(changes)

    def preset(self, name: str) -> None:
        """Go to a preset, or with "reset" back to the start."""
        if name not in self._places:
            raise ValueError(f"preset must be one of {', '.join(map(repr, self._places))}; got {name!r}")
        place = self._places[name]
        self._change(_values(place.state), question=place.question)

    def _change(
        self, changes: dict[str, Any], origin: _Link | None = None, question: str | None = None, pressed: str = ""
    ) -> None:
        """Go to a new state and its question, or stay with the last good one: all of it or nothing."""
        with self._lock:
            before, result = self.state, self.result
            try:
                self.state = replace(before, **changes)
                if self.demo.trail and question is None:
                    self.state = self.demo.trail(before, self.state, pressed)
                self.result = self.demo.compute(self.state)
                self.drawing.update(self.result)
                self.picture.frame = self._frame(self.picture.frame["question"] if question is None else question)
            except Exception as error:
                self.state, self.result = before, result
                self.drawing.update(result)
                self.picture.frame = {**self.picture.frame, "error": f"{type(error).__name__}: {error}"}
                raise
            finally:
                self._follow(before, origin)

    def _follow(self, before: Any, origin: _Link | None) -> None:
        """Let the widgets show what changed, after the picture, which should not wait for them.

        A widget whose field did not change is left alone: a newer value may be waiting in it for the lock.
        """
        refused = self.state is before
        for link in self._links:
            value = getattr(self.state, link.name)
            goes_back = refused and link is origin
            lags_behind = value != getattr(before, link.name) and link is not origin
            if goes_back or lags_behind:
                link.widget.value = link.show(value)

    def _moved(self, link: _Link) -> None:
        """Take over what a widget says now, unless it only shows what the state already is.

        The exact value in the state is therefore never replaced by the slider's nearest stop.
        """
        with self._lock:
            if link.widget.value != link.show(getattr(self.state, link.name)):
                self._change({link.name: link.read(link.widget.value)}, link)

    def _dragged(self, _: Any) -> None:
        """Move what the mouse holds: the panel where the drag began decides, also when the pointer leaves it."""
        with self._lock:
            gesture = self.picture.gesture
            start, end, last_start = gesture["from"], gesture["to"], self._stroke
            self._stroke = start
            panel = self.drawing.panel_at(*start)
            if panel and self.demo.drag:
                # The browser may merge a press with the moves after it, so a stroke is known by its start too.
                if self.demo.trail and (start != last_start or start == end):
                    self._hold(panel, start, pressed=panel)
                self._hold(panel, end)

    def _hold(self, panel: str, place: Sequence[float], pressed: str = "") -> None:
        state = self.demo.drag(self.state, panel, *self.drawing.to_data(panel, *place))
        if pressed or state != self.state:
            self._change(_values(state), pressed=pressed)

    def _frame(self, question: str) -> dict[str, Any]:
        """Everything the browser needs to show the current result, as one value."""
        sentence = self.demo.caption(self.result)
        return {
            "png": self.drawing.png(self.picture.density),
            "alt": f"{self.drawing.description} {sentence}".strip(),
            "sentence": sentence,
            "question": question,
            "error": "",
            "controls": {
                name: {"label": control.label, "text": f"{value:g}" if isinstance(value, float) else str(value)}
                for name, control in controls_of(self.demo.state).items()
                for value in [getattr(self.state, name)]
            },
        }

    def _row(self, name: str, control: Control) -> widgets.Widget:
        """Make the slider or menu of a field, its number box, and for a training step its play buttons."""
        value = getattr(self.state, name)
        named = {"description": control.label, "style": {"description_width": "130px"}, "layout": {"width": "330px"}}
        if control.kind == "switch":
            self.controls[name] = widgets.Checkbox(
                value, description=control.label, indent=False, layout={"width": "auto"}
            )
        elif control.kind == "choice":
            self.controls[name] = widgets.Dropdown(options=control.values, value=value, **named)
        else:
            at, last = control.index(value), len(control.values) - 1
            self.controls[name] = widgets.IntSlider(at, 0, last, readout=False, **named)
            box = widgets.BoundedIntText if control.kind == "whole" else widgets.BoundedFloatText
            self.boxes[name] = box(value, min=control.low, max=control.high, layout={"width": "84px"})
        row = [self.controls[name]]
        slides = name in self.boxes
        self._links.append(
            _Link(name, row[0], control.index, control.values.__getitem__) if slides else _Link(name, row[0])
        )
        if slides:
            row.append(self.boxes[name])
        if control.play:
            self.players[name] = widgets.Play(value, min=control.low, max=control.high, interval=60, show_repeat=False)
            row += [self.players[name], *self._steps(name, control)]
        self._links += [_Link(name, widget) for widget in (self.boxes.get(name), self.players.get(name)) if widget]
        return widgets.HBox(row, _dom_classes=[f"gclip-control-{name}"])

    def _steps(self, name: str, control: Control) -> list[widgets.Button]:
        """Two buttons that take one step back and one step on."""
        buttons = _button("", "One step back", icon="step-backward"), _button("", "One step on", icon="step-forward")
        for button, by in zip(buttons, (-1, 1), strict=True):
            button.on_click(lambda _, by=by: self._step(name, by, control))
        return list(buttons)

    def _step(self, name: str, by: int, control: Control) -> None:
        """Move a step on or back from where it stands now, which only the holder of the lock knows."""
        with self._lock:
            self.set(**{name: min(max(getattr(self.state, name) + by, control.low), control.high)})

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        live = super()._repr_mimebundle_(**options) or {}
        html, plain = static_html(self.picture.frame, self.picture.width), self.sentence
        if self._after:  # what is stored must not give the answer away
            summary = "<summary>The picture, when you have predicted</summary>"
            html, plain = f"<details>{summary}{html}</details>", "Predict first, then look."
        return {**live, "text/html": html, "text/plain": plain}


def explore(
    demo: Demo,
    preset: str | None = None,
    show: Iterable[str] | None = None,
    after: Prediction | None = None,
) -> Explorer:
    """Return the explorer of a demo: the whole cell of a notebook.

    `preset` names the preset to start from; `show` lists the controls that a teacher wants on the screen, and
    only presets that move nothing else are offered; `after` is a prediction to make before the picture opens.
    Raises ValueError for a preset or control that the demo does not have.
    """
    return Explorer(demo, preset, show, after)


def _values(state: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The named fields of a state, or all of them, those without a control too."""
    return {name: getattr(state, name) for name in ([f.name for f in fields(state)] if names is None else names)}


def _button(text: str, says: str, icon: str = "") -> widgets.Button:
    width = "auto" if text else "36px"
    return widgets.Button(description=text, tooltip=says, icon=icon, layout={"width": width})


def _line(children: Iterable[widgets.Widget]) -> widgets.HBox:
    return widgets.HBox(list(children), layout={"flex_flow": "row wrap"})
