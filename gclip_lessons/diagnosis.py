"""What a learner's function does: right, or wrong in a way that has a name, or wrong with an example.

A misconception is *a wrong function*. `diagnose` runs the learner's function beside the solution and the
known wrong functions on the same probes, names the one that agrees, and shows the smallest call that tells
the two apart. Where none agrees it looks for functions derived from the truth: its negative, its square.
"""

import inspect
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gclip_lessons.clipping import CLIPPERS, ClipByGlobalNorm, NoClip
from gclip_lessons.exercises import Exercise, Misconception, Probe
from gclip_lessons.trials import Attempt, Raised, Trial, attempt, body, brief, call, leaves


@dataclass(frozen=True)
class Report:
    """What `diagnose` found: `kind` for programs; headline, detail (markdown) and example for people."""

    passed: bool
    kind: str
    headline: str
    detail: str = ""
    example: str = ""
    misconception: str | None = None


def diagnose(exercise: Exercise, learner: Callable[..., Any]) -> Report:
    """Run the learner's function on every probe, twice, on copies, and say what it does.

    Anything it raises is caught, except a KeyboardInterrupt, which is the stop button; a loop that never
    ends is not noticed here. What it prints is swallowed, and warnings are kept for the report.
    """
    return judge(exercise, attempt(learner, (probe.args for probe in exercise.probes)))


def judge(exercise: Exercise, made: Attempt) -> Report:
    """Say what an attempt at the exercise does; ValueError where it was not made on the exercise's probes.

    Misconceptions are looked for before anything else, then calls that fail, then patterns in the numbers.
    """
    if not made.callable:
        detail = f"`check` wants the function itself: write `{exercise.name}`, without brackets after it."
        return Report(False, "not_callable", f"That is {_describe(made.given)}, not a function.", detail)
    if _untouched(made, exercise.stub):
        return _nothing_yet(exercise)
    if not made.fits:
        takes = f"yours takes `({', '.join(made.parameters) or 'nothing'})`"
        detail = f"It is called as `{exercise.name}({', '.join(_names(exercise))})`; {takes}."
        return Report(False, "parameters", "It cannot be called as the task says.", detail)
    if len(made.trials) != len(exercise.probes):
        raise ValueError(f"made must have {len(exercise.probes)} pairs of trials; got {len(made.trials)}")

    cases = tuple(
        _Case(probe, call(exercise.solution, probe.args), first, again, exercise)
        for probe, (first, again) in zip(exercise.probes, made.trials, strict=True)
    )
    if all(case.strictly_right and case.repeats for case in cases):
        headline = f"Right: `{exercise.name}` agrees with the solution on all probes ({len(cases)})."
        return Report(True, "right", headline, _notes(cases))
    if _does_nothing(made, cases) and not _is_to_mend(exercise):
        return _nothing_yet(exercise)
    if misconception := _known(exercise, cases):
        headline = f"Not yet. This one is known: {_in_words(misconception)}."
        found = Report(False, "misconception", headline, misconception.message, misconception=misconception.name)
        return _finish(found, exercise, cases)
    if _behaves_as_stub(exercise, cases):
        return _nothing_yet(exercise)
    for look in _LOOKS:
        if found := look(exercise, cases):
            return _finish(found, exercise, cases)
    raise AssertionError("unreachable: _by_label always finds something")


def undistinguished(exercise: Exercise) -> list[tuple[str, str]]:
    """Return the pairs among solution, stub and misconceptions that no probe tells apart: none, we hope."""
    functions = {"the solution": exercise.solution, "the stub": exercise.stub}
    functions |= {m.name: m.function for m in exercise.misconceptions}
    trials = {name: [call(f, probe.args) for probe in exercise.probes] for name, f in functions.items()}
    return [
        (a, b)
        for a, b in itertools.combinations(trials, 2)
        if all(_strictly_same(x, y, exercise) for x, y in zip(trials[a], trials[b], strict=True))
    ]


# ---- one probe, and what the truth and the learner's function make of it


@dataclass(frozen=True, eq=False)
class _Case:
    probe: Probe
    truth: Trial
    theirs: Trial
    again: Trial
    exercise: Exercise

    @property
    def right(self) -> bool:
        return _same(self.theirs, self.truth, self.exercise)

    @property
    def strictly_right(self) -> bool:
        return _strictly_same(self.theirs, self.truth, self.exercise)

    @property
    def repeats(self) -> bool:
        return _same(self.theirs, self.again, self.exercise)

    @property
    def numbers(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The truth and theirs, as float arrays of one shape, or None where they are anything else."""
        truth, theirs = _flat(self.truth.value), _flat(self.theirs.value)
        return (truth, theirs) if truth is not None and theirs is not None else None

    @property
    def same_size(self) -> bool:
        """As many numbers as there should be, in whatever shape."""
        return self.numbers is not None and self.numbers[0].size == self.numbers[1].size


# ---- equality


def _same(a: Trial, b: Trial, exercise: Exercise) -> bool:
    """Equal within the exercise's tolerance, whatever the precision; errors are equal when of one type."""
    if a.error is not None or b.error is not None:
        return a.error is not None and b.error is not None and a.error.kind == b.error.kind
    return _close(a.value, b.value, exercise.rtol, exercise.atol)


def _strictly_same(a: Trial, b: Trial, exercise: Exercise) -> bool:
    """Also the same precision, and the same treatment of the arguments."""
    dtypes = [[x.dtype for x in leaves(t.value) if isinstance(x, np.ndarray) and x.ndim] for t in (a, b)]
    return _same(a, b, exercise) and a.changed == b.changed and dtypes[0] == dtypes[1]


def _close(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_close(x, y, rtol, atol) for x, y in zip(a, b, strict=True))
    x, y = _numbers(a), _numbers(b)
    if x is None or y is None:
        return type(a) is type(b) and isinstance(a, str | None) and a == b
    if x.shape != y.shape or _is_truth_value(a) != _is_truth_value(b):
        return False
    if _is_float(b):
        rtol = max(rtol, 4 * float(np.finfo(b.dtype).eps))
    size = np.max(np.abs(y), initial=0.0, where=np.isfinite(y))
    atol = atol * (min(1.0, size) if size else 1.0)  # a gradient of 1e-20 is not zero
    with np.errstate(all="ignore"):
        return bool(np.allclose(x, y, rtol=rtol, atol=atol, equal_nan=True))


def _numbers(value: Any) -> np.ndarray | None:
    """Return numbers as a float64 array of their shape, and None for anything else."""
    if type(value) is np.ndarray or isinstance(value, int | float | np.generic):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            with np.errstate(all="ignore"):
                return array.astype(np.float64)
    return None


def _flat(value: Any) -> np.ndarray | None:
    """The numbers of a value, or of a tuple of values end to end; a tuple's shapes are not kept."""
    if not isinstance(value, (list, tuple)):
        return _numbers(value)
    parts = [_flat(v) for v in value]
    return None if not parts or any(p is None for p in parts) else np.concatenate([p.ravel() for p in parts])


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f"


def _is_truth_value(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) or (isinstance(value, np.ndarray) and value.dtype.kind == "b")


# ---- calls that cannot be right, whatever the numbers


def _untouched(made: Attempt, stub: Callable[..., Any]) -> bool:
    return made.body is not None and made.n_args == stub.__code__.co_argcount and made.body == body(stub)


def _does_nothing(made: Attempt, cases: tuple[_Case, ...]) -> bool:
    """It says that it is not written yet, or has a body of `pass`, `...` or a docstring alone."""
    if all(c.theirs.error is not None and c.theirs.error.name == "NotImplementedError" for c in cases):
        return True
    if made.body is None or any(c.theirs.value is not None and c.theirs.value is not ... for c in cases):
        return False
    return {step for step, _ in made.body} <= {"RESUME", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def _behaves_as_stub(exercise: Exercise, cases: tuple[_Case, ...]) -> bool:
    """It gives the placeholder that the stub gives; None is no placeholder, it is a forgotten `return`."""
    stubs = [call(exercise.stub, case.probe.args) for case in cases]
    same = all(_strictly_same(c.theirs, stub, exercise) for c, stub in zip(cases, stubs, strict=True))
    return same and any(stub.value is not None for stub in stubs)


def _is_to_mend(exercise: Exercise) -> bool:
    """The stub gives an answer, a wrong one."""
    given = call(exercise.stub, exercise.probes[0].args)
    return given.error is None and given.value is not None and given.value is not Ellipsis


def _nothing_yet(exercise: Exercise) -> Report:
    if _is_to_mend(exercise):
        headline = f"Not mended yet: `{exercise.name}` still does what the given version does."
        return Report(False, "empty", headline, "Find what is wrong with it, mend it and run it again.")
    headline = f"Nothing here yet: `{exercise.name}` is waiting for you."
    return Report(False, "empty", headline, "Write its body and run it again. The hints open one by one.")


def _known(exercise: Exercise, cases: tuple[_Case, ...]) -> Misconception | None:
    """The misconception that agrees on every probe; failing that, one that agrees in all but precision."""
    trials = [(m, [call(m.function, c.probe.args) for c in cases]) for m in exercise.misconceptions]
    for same in (_strictly_same, _same):
        for misconception, ms in trials:
            agrees = all(same(c.theirs, m, exercise) for c, m in zip(cases, ms, strict=True))
            wrong_numbers = any(not _same(m, c.truth, exercise) for c, m in zip(cases, ms, strict=True))
            if agrees and (wrong_numbers or same is _strictly_same):
                return misconception
    return None


def _fails(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """It raises, returns None, or returns the wrong type or shape of thing: told of the simplest such call."""
    wrong = sorted((case for case in cases if not case.right), key=lambda case: (case.same_size, _simplicity(case)))
    for case in wrong:
        if (error := case.theirs.error) is not None:
            what = error.name
            text = _code(f"{what}: {error.text}".rstrip(": "))
            detail = f"For {_quoted([case])} it raised {text}{_line_of(error)}."
            if "ellipsis" in error.text:
                detail += " A `...` is still waiting to be replaced."
            return Report(False, "raised", f"It stopped with {what}.", detail, _example(exercise, case))
    for case in wrong:
        if case.truth.error is not None:
            wanted = case.truth.error.name
            detail = f"For {_quoted([case])} it should raise {wanted}, and it gave an answer."
            headline = "It accepts what it should refuse."
            return Report(False, "not_raised", headline, detail, _example(exercise, case))
    if all(case.theirs.value is None for case in cases):
        return Report(False, "none", "It returned None: is there a `return`?")
    for case in wrong:
        if trouble := _misfit(case.theirs.value, case.truth.value, _has_runs(case.probe.args)):
            kind, sentence = trouble
            detail = f"For {_quoted([case])}: {sentence}"
            return Report(False, kind, f"It returned the wrong {kind}.", detail, _example(exercise, case))
    return None


def _has_runs(args: tuple[Any, ...]) -> bool:
    return any(isinstance(arg, np.ndarray) and arg.ndim > 1 for arg in args)


def _misfit(value: Any, truth: Any, several_runs: bool) -> tuple[str, str] | None:
    """Say ("type" or "shape", a sentence) where value cannot be compared with truth."""
    sentence = f"expected {_describe(truth)}; got {_describe(value)}."
    if isinstance(truth, (list, tuple)):
        if not isinstance(value, (list, tuple)):
            return "type", f"{sentence} Commas after `return` make a tuple."
        if len(value) != len(truth):
            return "shape", f"expected {len(truth)} results; got {len(value)}."
        return next(filter(None, (_misfit(v, t, several_runs) for v, t in zip(value, truth, strict=True))), None)
    wanted, array = _numbers(truth), _numbers(value)
    if wanted is None:
        return None if type(value) is type(truth) else ("type", sentence)
    if array is None or _is_truth_value(value) != _is_truth_value(truth):
        if inspect.isgenerator(value) or inspect.iscoroutine(value):
            sentence += " `yield` and `async` make something else than a plain function."
        elif isinstance(value, (list, tuple)) and wanted.ndim:
            sentence += " Lists do not subtract or scale as arrays do: `np.array(...)` makes one."
        elif _is_truth_value(truth):
            sentence += " A comparison such as `a > b` makes it."
        return "type", sentence
    if array.shape == wanted.shape:
        return None
    if array.T.shape == wanted.shape and np.allclose(array.T, wanted, equal_nan=True):
        sentence += " The numbers are right, with rows and columns exchanged."
    elif array.size == wanted.size and np.allclose(array.ravel(), wanted.ravel(), equal_nan=True):
        sentence += " The numbers are right; look at `keepdims`, `[..., None]` and `reshape`."
    elif several_runs and array.ndim < wanted.ndim:
        sentence += " Did one answer come out for several runs? Work along the last axis only (`axis=-1`)."
    return "shape", sentence


def _line_of(error: Raised) -> str:
    return f" in line {error.line} of your cell, {_code(error.source)}" if error.source else ""


def _is_random(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    if moving := [c for c in cases if not c.repeats]:
        detail = (
            f"Two calls with the same input ({_quoted(moving[:1])}) gave different answers: is there a "
            "random number in it, or a variable outside of the function that it changes?"
        )
        return Report(False, "random", "It does not give the same answer twice.", detail)
    return None


def _is_untidy(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """The numbers are right, but the input was changed or the precision is another."""
    if any(not case.right for case in cases):
        return None
    if any(c.theirs.changed and not c.truth.changed for c in cases):
        detail = (
            "The result is right, but the array that was passed in is no longer what it was, and whoever "
            "passed it may still need it. `x *= k` and `x[...] = y` write into the array; `x = x * k` makes "
            "a new one."
        )
        return Report(False, "changed_input", "Nearly: it changes its input.", detail)
    if any(c.truth.changed and not c.theirs.changed for c in cases):
        detail = "The task asks to change the array that is passed in, and it is still what it was."
        return Report(False, "unchanged_input", "Nearly: it leaves its input alone.", detail)
    case = next(c for c in cases if not c.strictly_right)
    pairs = zip(leaves(case.theirs.value), leaves(case.truth.value), strict=True)
    got, wanted = next((a.dtype, b.dtype) for a, b in pairs if np.ndim(b) and a.dtype != b.dtype)
    detail = f"For {_quoted([case])} the numbers are right, as {got}; they should be {wanted}, like the input."
    return Report(False, "dtype", f"Nearly: it returns {got} where {wanted} is expected.", detail)


# ---- patterns: wrong functions derived from the truth, tried in this order when no listed one agrees


def _resembles(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """A known misconception that agrees on most of the probes where either of the two is wrong."""
    if _is_yes_or_no(cases):
        return None  # two wrong answers are always the same one
    best, share = None, 0.5
    wrong = {i for i, case in enumerate(cases) if not case.right}
    for misconception in exercise.misconceptions:
        trials = [call(misconception.function, case.probe.args) for case in cases]
        theirs = {i for i, (t, c) in enumerate(zip(trials, cases, strict=True)) if not _same(t, c.truth, exercise)}
        common = {i for i in wrong & theirs if _same(trials[i], cases[i].theirs, exercise)}
        if wrong and len(common) / len(wrong | theirs) > share:
            best, share = (misconception, sorted(common)), len(common) / len(wrong | theirs)
    if best is None:
        return None
    misconception, where = best
    places = _quoted([cases[i] for i in where])
    detail = f"{misconception.message}\n\nIt does so for {places}, though not everywhere."
    headline = f"Not yet. It mostly does this: {_in_words(misconception)}."
    return Report(False, "resembles", headline, detail, misconception=misconception.name)


def _library_rule(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """One of the course's own rules in place of the right one, alone or within an update."""
    names = _names(exercise)
    threshold = next((name for name in ("max_norm", "max_value") if name in names), None)
    if "grad" not in names or threshold is None:
        return None
    at, c = names.index("grad"), names.index(threshold)
    for words, rule in _RULES.items():

        def other(*args: Any, rule: Callable[[float], Any] = rule) -> Any:
            args = list(args)
            args[at], args[c] = rule(args[c])(args[at]), np.inf  # clipped already: the solution leaves it as it is
            return exercise.solution(*args)

        if all(_same(call(other, case.probe.args), case.theirs, exercise) for case in cases):
            return _pattern("rule", f"What you wrote is another rule: {words}.")
    return None


_RULES: dict[str, Callable[[float], Any]] = {
    f"{rule.label} (`{rule.__name__}`)": (lambda c: NoClip()) if rule is NoClip else rule for rule in CLIPPERS.values()
}
_RULES |= {
    "global norm, with the 1-norm": partial(ClipByGlobalNorm, ord=1),
    "global norm, with the largest entry for the norm": partial(ClipByGlobalNorm, ord=np.inf),
}


def _an_argument(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    for i, name in enumerate(_names(exercise)[: len(cases[0].probe.args)]):
        if all(_close(c.theirs.value, c.probe.args[i], exercise.rtol, exercise.atol) for c in cases):
            return _pattern("argument", f"It gives `{name}` back as it came.")
    return None


def _swapped_arguments(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    names = _names(exercise)
    for i, j in itertools.combinations(range(len(cases[0].probe.args)), 2):

        def swapped(*args: Any, i: int = i, j: int = j) -> Any:
            order = list(args)
            order[i], order[j] = args[j], args[i]
            return exercise.solution(*order)

        if all(_same(call(swapped, case.probe.args), case.theirs, exercise) for case in cases):
            return _pattern("swapped", f"It is right with `{names[i]}` and `{names[j]}` exchanged: which is which?")
    return None


def _shift(truth: np.ndarray) -> np.ndarray:
    return np.concatenate([truth[..., 1:], truth[..., :1]], axis=-1) if truth.ndim else truth


_DERIVED: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "sign": ("It is the right answer with the opposite sign.", np.negative),
    "absolute": ("It is the right answer with its minus signs lost.", np.abs),
    "inverse": (
        "It is one divided by the right answer: which number stands above the fraction line?",
        np.reciprocal,
    ),
    "complement": ("It is one minus the right answer: the other share.", lambda t: 1 - t),
    "square": ("It is the square of the right answer: a square root is missing.", np.square),
    "root": ("It is the square root of the right answer: one root too many.", np.sqrt),
    "degrees": ("It is the right answer times 180/π: there is one `np.degrees` too many.", np.degrees),
    "radians": ("It is the right answer times π/180: is a `np.degrees` missing?", np.radians),
    "cosine": ("It is the cosine of the right angle: `np.arccos` is missing.", np.cos),
    "cosine_of_degrees": (
        "It is the cosine of the right angle: `np.arccos`, then `np.degrees`.",
        lambda t: np.cos(np.radians(t)),
    ),
    "angle": ("It is the angle, in radians; its cosine is asked for.", np.arccos),
    "angle_in_degrees": (
        "It is the angle, in degrees; its cosine is asked for.",
        lambda t: np.degrees(np.arccos(t)),
    ),
    "logarithm": ("It is the natural logarithm of the right answer.", np.log),
    "logarithm10": ("It is the logarithm to base ten of the right answer.", np.log10),
    "reversed": ("It is the right answer from back to front.", lambda t: np.flip(t, -1) if t.ndim else t),
    "transposed": ("It is the right answer with rows and columns exchanged.", np.transpose),
    "early": ("It is the right answer one place too early: an index is off by one.", _shift),
    "late": (
        "It is the right answer one place too late: an index is off by one.",
        lambda t: np.roll(t, 1, -1) if t.ndim else t,
    ),
    "running_total": (
        "It is the running total of the right answer.",
        lambda t: np.cumsum(t, -1) if t.ndim else t,
    ),
    "positive_part": (
        "It is right where the answer is positive and 0 where it is negative.",
        lambda t: np.maximum(t, 0),
    ),
}


def _is_yes_or_no(cases: tuple[_Case, ...]) -> bool:
    return all(_is_truth_value(case.truth.value) for case in cases)


def _yes_or_no(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """For True and False: the opposite, or one answer whatever is given."""
    if not _is_yes_or_no(cases):
        return None
    truth, theirs = (np.concatenate([case.numbers[i].ravel() for case in cases]) for i in (0, 1))
    if theirs.size > 1 and np.ptp(theirs) == 0:
        return _pattern("constant", f"It says {bool(theirs[0])}: the same answer for every probe.")
    if np.array_equal(theirs, 1 - truth):
        return _pattern("opposite", "It says exactly the opposite of the right answer, every time.")
    return None


def _derived(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    pairs = [case.numbers for case in cases]
    if (
        _is_yes_or_no(cases)
        or any(pair is None for pair in pairs)
        or not any(np.isfinite(theirs).any() for _, theirs in pairs)
    ):
        return None
    for kind, (words, wrong) in _DERIVED.items():
        with np.errstate(all="ignore"):
            if all(_close(theirs, wrong(truth), exercise.rtol, exercise.atol) for truth, theirs in pairs):
                return _pattern(kind, words)
    return None


def _fitted(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """Constants, factors and offsets: what one number explains on every probe."""
    pairs = [case.numbers for case in cases]
    if any(pair is None for pair in pairs):
        return None
    truth, theirs = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    if np.unique(truth.round(12)).size < 3:
        return None
    if np.unique(theirs).size == 1 and (np.isfinite(theirs).all() or np.isinf(truth).any()):
        return _pattern("constant", f"It gives {_show(theirs[0])} whatever it is given.")
    if not np.isfinite(truth).all() or not np.isfinite(theirs).all():
        return None

    sizes = np.concatenate([np.full(t.size, _last_axis(c.probe.args)) for c, (t, _) in zip(cases, pairs, strict=True)])
    for power, words in _SIZE_FACTORS.items():
        if np.unique(sizes).size > 1 and _close(theirs, truth * sizes**power, exercise.rtol, exercise.atol):
            return _pattern("size_factor", words)
    largest = np.argmax(np.abs(truth))
    factor = theirs[largest] / truth[largest]
    if _close(theirs, factor * truth, exercise.rtol, exercise.atol):
        reason = next((words for k, words in _FACTORS.items() if np.isclose(factor, k)), "")
        return _pattern("factor", f"It is {_show(factor)} times the right answer, every time. {reason}".strip())
    offset = theirs[0] - truth[0]
    if _close(theirs - truth, np.full_like(truth, offset), exercise.rtol, exercise.atol):
        return _pattern("offset", f"It is the right answer plus {_show(offset)}, every time.")
    return None


_FACTORS = {
    2.0: "Was something counted twice, or the derivative of a square taken with a ½ that does not belong?",
    0.5: "Was something halved, or the 2 in the derivative of a square lost?",
    100.0: "A share is asked for, not a percentage.",
    0.01: "A percentage is asked for, not a share.",
}
_SIZE_FACTORS = {
    1.0: "It is the right answer times the number of entries: a sum where a mean is asked for.",
    -1.0: "It is the right answer divided by the number of entries: a mean where a sum is asked for.",
    0.5: "It is the right answer times √d, d the number of entries: squares are summed, not averaged.",
    -0.5: "It is the right answer divided by √d, d the number of entries: squares are averaged, not summed.",
}


def _last_axis(args: tuple[Any, ...]) -> int:
    return next((a.shape[-1] for a in args if isinstance(a, np.ndarray) and a.ndim), 1)


def _not_finite(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    """Right wherever it is finite."""
    bad = [c for c in cases if c.numbers and np.any(np.isfinite(c.numbers[0]) & ~np.isfinite(c.numbers[1]))]
    if not bad or any(not case.right for case in cases if case not in bad):
        return None
    seen = np.concatenate([c.numbers[1].ravel() for c in bad])
    what = "NaN" if np.isnan(seen).any() else "infinity"
    if len(bad) == len(cases):
        return _pattern("not_finite", f"It gives {what} for every probe. Is something divided by zero?")
    an_answer = what == "infinity" and any(np.isinf(c.numbers[0]).any() for c in cases if c.numbers)
    why = ", where the answer is finite." if an_answer else ". Is something divided by zero?"
    words = f"Right, except for {_quoted(bad)}: there it gives {what}{why}"
    return _pattern("not_finite", words)


def _nearly(exercise: Exercise, cases: tuple[_Case, ...]) -> Report | None:
    worst = 0.0
    for case in cases:
        if case.numbers is None or case.numbers[0].shape != case.numbers[1].shape:
            return None
        truth, theirs = case.numbers
        with np.errstate(all="ignore"):
            off = np.max(np.abs(theirs - truth), initial=0.0) / np.max(np.abs(truth), initial=0.0)
        worst = max(worst, off) if off == off else worst
    if 0 < worst < 1e-3:
        words = f"Very close: off by {worst:.1e} of the answer at most. Is it an eps, or a rounding?"
        return _pattern("nearly", words)
    return None


def _by_label(exercise: Exercise, cases: tuple[_Case, ...]) -> Report:
    right, wrong = [c for c in cases if c.right], [c for c in cases if not c.right]
    if right:
        words = f"Right for {_quoted(right)}; wrong for {_quoted(wrong)}."
        return Report(False, "some_labels", "Not yet: right in some cases.", words)
    return Report(False, "wrong", "Not yet: the numbers differ on every probe.", "Try the call below by hand.")


# What explains every probe comes before what explains most of them.
_LOOKS: tuple[Callable[[Exercise, tuple[_Case, ...]], Report | None], ...] = (
    _fails,
    _is_random,
    _is_untidy,
    _yes_or_no,
    _an_argument,
    _library_rule,
    _swapped_arguments,
    _derived,
    _fitted,
    _not_finite,
    _resembles,
    _nearly,
    _by_label,
)


def _pattern(kind: str, sentence: str) -> Report:
    return Report(False, kind, "Not yet.", sentence)


# ---- words


def _finish(report: Report, exercise: Exercise, cases: tuple[_Case, ...]) -> Report:
    """Add the notes, and the simplest call that shows the difference where the report has none."""
    wrong = [case for case in cases if not case.right]
    detail = "\n\n".join(filter(None, [report.detail, _notes(cases, report.kind)]))
    example = _example(exercise, min(wrong, key=_simplicity)) if wrong else ""
    return replace(report, detail=detail, example=report.example or example)


def _notes(cases: tuple[_Case, ...], skip: str = "") -> str:
    """What is worth a word beside the verdict."""
    notes = []
    if skip and skip != "changed_input" and any(c.theirs.changed and not c.truth.changed for c in cases):
        notes.append("It also changes the array that it is given.")
    if any(c.theirs.handed_back and not c.truth.handed_back and not c.theirs.changed for c in cases):
        notes.append("It hands back the very array that it was given, where a new one is safer.")
    if warned := [c for c in cases if set(c.theirs.warned) - set(c.truth.warned)]:
        notes.append(f"Python warned for {_quoted(warned[:1])}: {_code(warned[0].theirs.warned[0])}.")
    if any(c.theirs.printed for c in cases):
        notes.append("What it prints is not shown here; call it in a cell of its own to read it.")
    return " ".join(notes)


def _simplicity(case: _Case) -> tuple[int, int, float]:
    """Fewest numbers, then fewest digits, then smallest: what a person can work out by hand."""
    numbers = [n.ravel() for n in map(_flat, case.probe.args) if n is not None]
    count = sum(n.size for n in numbers)
    largest = max((float(np.max(np.abs(n), initial=0.0)) for n in numbers), default=0.0)
    return count, len(_show(case.probe.args)), largest


def _example(exercise: Exercise, case: _Case) -> str:
    names = _names(exercise)
    call = ", ".join(f"{name}={_show(arg)}" for name, arg in zip(names, case.probe.args, strict=False))
    for digits in (4, 7, 11, 17):
        should, gave = (_outcome(trial, digits) for trial in (case.truth, case.theirs))
        if should != gave:
            break
    else:
        should, gave = (f"{text} ({_describe(t.value)})" for text, t in ((should, case.truth), (gave, case.theirs)))
        if should == gave:
            return ""
    should = should if case.truth.error is None else f"raise {should}"
    verb = "should be" if case.truth.error is None else "should"
    did = "gave" if case.theirs.error is None else "raised"
    return f"{exercise.name}({call}) {verb} {should}; yours {did} {gave}"


def _names(exercise: Exercise) -> list[str]:
    return list(inspect.signature(exercise.solution).parameters)


def _outcome(trial: Trial, digits: int) -> str:
    return trial.error.name if trial.error is not None else _show(trial.value, digits)


def _show(value: Any, digits: int = 4) -> str:
    """Write a value as short as a person would: 1 for 1.0, [3, 4] for an array."""
    if isinstance(value, np.ndarray) and value.ndim:
        value = np.asarray(value)  # the rows of a matrix are matrices, without end
        note = "" if value.dtype in (np.float64, np.int64, np.bool_) else f"{value.dtype} "
        return note + _show(list(value) if value.ndim == 1 else [_Plain(_show(v, digits)) for v in value], digits)
    if isinstance(value, (list, tuple)):
        parts = [_show(v, digits) for v in value]
        if len(parts) > 12:
            parts = [*parts[:6], f"… {len(parts) - 8} more …", *parts[-2:]]
        return f"[{', '.join(parts)}]" if isinstance(value, list) else f"({', '.join(parts)})"
    if isinstance(value, bool | np.bool_ | str | None):
        return repr(value if isinstance(value, str | None) else bool(value))
    if isinstance(value, int | np.integer):
        return brief(int(value), 80)
    if (number := _numbers(value)) is not None:
        return f"{float(number):.{digits}g}"
    if inspect.isroutine(value):
        return value.__name__
    return brief(value, 80)


class _Plain(str):
    """Text that shows itself."""

    def __repr__(self) -> str:
        return str(self)


def _in_words(misconception: Misconception) -> str:
    return misconception.name.strip("_").replace("_", " ")


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if _is_truth_value(value) and not np.ndim(value):
        return "True or False"
    if (numbers := _numbers(value)) is not None:
        return f"an array of shape {numbers.shape}" if numbers.ndim else "a number"
    if isinstance(value, np.ndarray) and type(value) is np.ndarray:
        return f"an array of {value.dtype}"
    name = {"str": "text", "tuple": "a tuple", "list": "a list", "dict": "a dictionary"}.get(type(value).__name__)
    return name or f"an object of type {type(value).__name__}"


def _code(text: str) -> str:
    """A markdown code span around any one line of text."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _quoted(cases: list[_Case]) -> str:
    return ", ".join(f"“{case.probe.label}”" for case in cases)
