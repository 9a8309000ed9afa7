"""A lesson is data: states, pure computations, figures, captions, predictions, exercises and a quiz.

Every module `lessonNN.py` in this folder defines `LESSON`; listing it there is all it takes to be found by the
contents page, the common tests and the bench.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from gclip_lessons.exercises import Capstone, Exercise, Prediction, Quiz


@dataclass(frozen=True)
class Control:
    """How one field of a State is moved: the values of its slider, or the choices of its menu.

    `values` are the slider's stops in rising order (a typed number may lie between them) or the menu's entries;
    `play` marks the training step, which can be played.
    """

    label: str
    values: tuple[Any, ...]
    kind: str
    play: bool = False

    @property
    def low(self) -> Any:
        return self.values[0]

    @property
    def high(self) -> Any:
        return self.values[-1]

    def index(self, value: Any) -> int:
        """Return the position of the stop nearest to `value`, on a log scale where the slider has one."""
        if self.kind in ("choice", "switch"):
            return self.values.index(value)
        stops, at = np.asarray(self.values, float), float(value)
        if self.kind == "log":
            stops, at = np.log(stops), np.log(at)
        return int(np.argmin(np.abs(stops - at)))

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError or TypeError if `value` is not one that this control can take."""
        if self.kind in ("choice", "switch"):
            if value not in self.values:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, self.values))}; got {value!r}")
            return
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"{name} must be a number; got {value!r}")
        if self.kind == "whole" and not isinstance(value, int | np.integer):
            raise ValueError(f"{name} must be a whole number; got {value!r}")
        if not self.low <= value <= self.high:
            raise ValueError(f"{name} must lie between {self.low:g} and {self.high:g}; got {value!r}")


def control(
    default: Any,
    *,
    label: str,
    log: tuple[float, float] | None = None,
    linear: tuple[float, float] | None = None,
    whole: tuple[int, int] | None = None,
    choices: tuple[str, ...] | None = None,
    n_stops: int = 121,
    play: bool = False,
) -> Any:
    """Return a dataclass field that is moved by a slider on a log or linear scale, by whole numbers, or by a menu.

    `log`, `linear` and `whole` give (low, high); a bool `default` makes a switch. Stops are rounded to three
    significant digits, or as many as keep them apart, so that what is shown is what is used. ValueError unless
    the control is exactly one of these and its stops rise.
    """
    given = {"log": log, "linear": linear, "whole": whole, "choices": choices, "switch": isinstance(default, bool)}
    kinds = [kind for kind, value in given.items() if value]
    if len(kinds) != 1:
        raise ValueError(f"control {label!r} must have one of log, linear, whole, choices or a bool; got {kinds}")
    if log:
        stops, kind = _rounded(np.geomspace(*log, n_stops)), "log"
    elif linear:
        stops, kind = _rounded(np.linspace(*linear, n_stops)), "linear"
    elif whole:
        stops, kind = tuple(range(whole[0], whole[1] + 1)), "whole"
    elif choices:
        stops, kind = choices, "choice"
    else:
        stops, kind = (False, True), "switch"
    if not stops or (kind in ("log", "linear") and not _rise(stops)):
        raise ValueError(f"control {label!r} must have low < high; got {given[kind]}")
    return field(default=default, metadata={"control": Control(label, stops, kind, play)})


def _rounded(exact: np.ndarray) -> tuple[float, ...]:
    """The stops to three significant digits, or as many as keep them apart."""
    for digits in range(3, 18):
        stops = tuple(float(f"{stop:.{digits}g}") for stop in exact)
        if _rise(stops):
            break
    return stops


def _rise(stops: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(stops))


class State:
    """Base of the frozen dataclasses that say where the controls of a demo stand; bad values are refused."""

    def __post_init__(self) -> None:
        for name, setting in controls_of(type(self)).items():
            setting.check(name, getattr(self, name))


@cache
def controls_of(state: type) -> dict[str, Control]:
    """Return the controls of a State class by field name, in order."""
    return {f.name: f.metadata["control"] for f in fields(state) if "control" in f.metadata}


@dataclass(frozen=True)
class Preset:
    """A named place to look from: a state, and the question that it answers."""

    state: Any
    question: str


@dataclass(frozen=True)
class Demo:
    """Something to move: State -> compute -> figure and caption.

    `compute` is pure, seeded and vectorised; `caption` reads its result in one sentence of numbers; `drag`
    (state, panel, x, y) -> state says what the mouse moves, and is pure too. `trail` (before, after, pressed) ->
    state, if given, adds what a move by slider or mouse leaves behind, as a brush does, in a field that has no
    control; `pressed` names the panel on which the mouse was put down just now, from where a new stroke begins, and
    is "" for every other move.
    """

    state: type
    compute: Callable[[Any], Any]
    figure: type
    caption: Callable[[Any], str]
    presets: Mapping[str, Preset] = field(default_factory=dict)
    drag: Callable[[Any, str, float, float], Any] | None = None
    trail: Callable[[Any, Any, str], Any] | None = None


@dataclass(frozen=True)
class Lesson:
    """Everything a lesson's notebook draws on, by name."""

    number: str
    title: str
    demos: Mapping[str, Demo]
    predictions: Mapping[str, Prediction]
    exercises: Mapping[str, Exercise]
    quiz: Quiz
    capstone: Capstone | None = None


def clamp(name: str, state: type, value: float) -> float:
    """Return `value` moved into the range of the control `name`, to three digits: what a drag may set."""
    setting = controls_of(state)[name]
    return min(max(float(f"{value:.3g}"), setting.low), setting.high)


def snap(name: str, state: type, value: float) -> Any:
    """Return the stop of the control `name` nearest to `value`: what a drag may set where other values cost more."""
    setting = controls_of(state)[name]
    return setting.values[setting.index(min(max(value, setting.low), setting.high))]


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the array, read-only from now on: what a cache hands out again must stay as it is."""
    array.setflags(write=False)
    return array


def signed(value: float, digits: int = 3) -> str:
    """A number with so many decimals and a true minus; what rounds to zero has no sign."""
    return f"{value:z.{digits}f}".replace("-", "−")


def moves(panel: str, x: str, y: str) -> Callable[[Any, str, float, float], Any]:
    """Return the `drag` of a demo whose mouse moves the fields `x` and `y` over one panel."""

    def drag(state: Any, where: str, across: float, up: float) -> Any:
        if where != panel:
            return state
        return replace(state, **{x: clamp(x, type(state), across), y: clamp(y, type(state), up)})

    return drag


@cache
def all_lessons() -> dict[str, Lesson]:
    """Return every lesson by number, found by looking into this folder."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if re.fullmatch(r"lesson\d\d", m.name))
    lessons = [importlib.import_module(f"{__name__}.{name}").LESSON for name in names]
    return {lesson.number: lesson for lesson in lessons}
