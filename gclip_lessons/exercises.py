"""What a lesson asks, as data: predictions, exercises with their known wrong answers, and quizzes.

`diagnosis` looks at what learners write, and `panels` shows it in a notebook.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Misconception:
    """A wrong function that somebody could believe in, and what to say to them (markdown)."""

    function: Callable[..., Any]
    message: str

    @property
    def name(self) -> str:
        """The function's own name: it says what is believed, as in `clips_each_layer`."""
        return self.function.__name__


@dataclass(frozen=True)
class Probe:
    """Arguments to try a function on, in order, and what is special about them in words ("zero gradient")."""

    args: tuple[Any, ...]
    label: str


@dataclass(frozen=True)
class Exercise:
    """A function to write: `solution` is the truth, and its source is the worked solution.

    `key` is lesson and number ("03.1"). The notebook says what the task is; `explanation` is said beside the
    solution, in markdown with plain Unicode mathematics. `stub` is what the notebook's cell starts with, where
    it bears the solution's name. `probes` must tell every misconception from the solution and from each other
    (`undistinguished` in diagnosis.py). Results are compared at `rtol` (wide enough for an epsilon of 1e-6 in
    a denominator) and `atol`.
    """

    key: str
    title: str
    solution: Callable[..., Any]
    stub: Callable[..., Any]
    probes: tuple[Probe, ...]
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, str, str]
    explanation: str
    rtol: float = 1e-5
    atol: float = 1e-9

    def __post_init__(self) -> None:
        names = [m.name for m in self.misconceptions]
        if len(set(names)) < len(names):
            raise ValueError(f"misconceptions must have names that differ; got {names}")
        if len(self.hints) != 3:
            raise ValueError(f"hints must be 3, from a nudge to nearly the answer; got {len(self.hints)}")
        if not self.probes:
            raise ValueError("probes must not be empty; got ()")

    @property
    def name(self) -> str:
        """The name of the function that the learner writes."""
        return self.solution.__name__

    @property
    def solution_source(self) -> str:
        """The worked solution, as text."""
        return textwrap.dedent(inspect.getsource(self.solution)).strip()


@dataclass(frozen=True)
class Prediction:
    """A guess to record before the answer is shown; the answer, `truth()`, is computed when it is asked for.

    With `options` ({"a": "it doubles", ...}) truth returns one of their keys, and `explain` has a text for
    each. Without options the answer is a number in `unit`; a guess is close within `tolerance`, relative to
    the truth, and `explain` has texts for "low", "close" and "high". `evidence()`, if given, is a sentence
    with the computed numbers.
    """

    key: str
    question: str
    truth: Callable[[], str | float]
    explain: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    tolerance: float = 0.1
    evidence: Callable[[], str] | None = None

    def __post_init__(self) -> None:
        wanted = set(self.options) or {"low", "close", "high"}
        if set(self.explain) != wanted:
            raise ValueError(f"explain must have the keys {sorted(wanted)}; got {sorted(self.explain)}")

    def outcome(self, guess: str | float) -> str:
        """Return "right" or "wrong", and for a number "low" or "high" instead of wrong."""
        truth = self.truth()
        if self.options:
            return "right" if guess == truth else "wrong"
        if abs(guess - truth) <= self.tolerance * abs(truth):
            return "right"
        return "low" if guess < truth else "high"

    def why(self, guess: str | float) -> str:
        """Return what is said to a guess."""
        outcome = self.outcome(guess)
        return self.explain[guess] if self.options else self.explain["close" if outcome == "right" else outcome]


@dataclass(frozen=True)
class Option:
    """One answer of a quiz question and why it is right or wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with options, of which exactly one is right; learners see them as a, b, c, in this order."""

    text: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        n_right = sum(option.right for option in self.options)
        if n_right != 1:
            raise ValueError(f"options must have exactly one that is right; got {n_right}")


@dataclass(frozen=True)
class Quiz:
    """Three to five questions that close a lesson; `key` is the lesson's number ("03")."""

    key: str
    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        if not 3 <= len(self.questions) <= 5:
            raise ValueError(f"questions must be 3 to 5; got {len(self.questions)}")


@dataclass(frozen=True)
class Capstone:
    """A task that is scored, not checked: the notebook leaves its answer in the variable `name`.

    `key` is lesson and word ("12.capstone"). `score(answer, seeds)` says what each part of an answer is worth on
    seeds that were hidden until then, {part: 0 to 1}, and raises ValueError or TypeError with a reason for what is no
    answer. The answer comes as plain data: numbers, arrays, text, lists, tuples, dictionaries, and dataclasses as
    dictionaries of their fields. The score is the mean over the parts.
    """

    key: str
    title: str
    name: str
    score: Callable[[Any, Sequence[int]], Mapping[str, float]]
    n_seeds: int = 200
