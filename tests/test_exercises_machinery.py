"""The diagnosis of learners' functions: it survives anything, and names what it sees."""

import functools
import re
import warnings

import numpy as np
import pytest

from gclip_lessons.diagnosis import _untouched, diagnose, undistinguished
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.trials import attempt


def clip(grad, max_norm):
    norm = np.sqrt(np.sum(grad * grad, axis=-1, keepdims=True))
    return np.where(norm > max_norm, grad * (max_norm / np.where(norm > 0, norm, 1)), grad).astype(grad.dtype)


def clip_stub(grad, max_norm):
    """Scale grad to max_norm where it is longer."""
    # your code here
    ...


def by_value(grad, max_norm):
    return np.clip(grad, -max_norm, max_norm)


def over_all_runs(grad, max_norm):
    norm = np.sqrt(np.sum(grad * grad))
    return grad * np.minimum(1, max_norm / norm).astype(grad.dtype) if norm else grad.copy()


def in_place(grad, max_norm):
    grad[...] = clip(grad, max_norm)
    return grad


def array(*numbers, dtype=np.float64):
    return np.array(numbers, dtype)


CLIP = Exercise(
    key="99.1",
    title="Clip",
    solution=clip,
    stub=clip_stub,
    probes=(
        Probe((array(3, 4), 1.0), "norm above c"),
        Probe((array(0.3, 0.4), 1.0), "norm below c"),
        Probe((array(0, 0), 1.0), "zero gradient"),
        Probe((array(-6, 8, 0), 5.0), "three coordinates"),
        Probe((array([3, 4], [0.3, 0.4]), 1.0), "two runs at once"),
        Probe((array(30, 40, dtype=np.float32), 2.0), "float32"),
    ),
    misconceptions=(Misconception(by_value, "A box, not a ball."), Misconception(over_all_runs, "One norm for all.")),
    hints=("one", "two", "three"),
    explanation="So it goes.",
)


def mean(values):
    return float(np.mean(values))


def first(values):
    return float(values[0])


MEAN = Exercise(
    key="99.2",
    title="Mean",
    solution=mean,
    stub=lambda values: None,
    probes=(
        Probe((array(1, 2, 6),), "three"),
        Probe((array(0.5, 0.25),), "two"),
        Probe((array(-1, -2, -3, -4),), "negative"),
        Probe((array(0.1),), "one"),
    ),
    misconceptions=(Misconception(first, "Only the first."),),
    hints=("one", "two", "three"),
    explanation="Add and divide.",
)


def exercise(solution, *args_of_probes, **changes):
    """A bare exercise over one solution, for patterns."""
    probes = tuple(Probe(args, f"case {i}") for i, args in enumerate(args_of_probes))
    words = {"key": "99.9", "title": "t", "hints": ("a", "b", "c"), "explanation": "e"}
    rest = {"solution": solution, "stub": lambda *a: NotImplemented, "probes": probes, "misconceptions": ()}
    return Exercise(**rest | words | changes)


@pytest.mark.parametrize("case", [CLIP, MEAN], ids=lambda case: case.name)
def test_solution_stub_and_misconceptions_are_known(case):
    assert diagnose(case, case.solution).passed
    assert diagnose(case, case.stub).kind == "empty"
    for wrong in case.misconceptions:
        report = diagnose(case, wrong.function)
        assert (report.kind, report.misconception) == ("misconception", wrong.name)
        assert wrong.message in report.detail
    assert undistinguished(case) == []


def test_the_smallest_example_separates():
    report = diagnose(CLIP, by_value)
    assert report.example == "clip(grad=[3, 4], max_norm=1) should be [0.6, 0.8]; yours gave [1, 1]"
    assert diagnose(MEAN, first).example == "mean(values=[0.5, 0.25]) should be 0.375; yours gave 0.5"


def test_undistinguished_names_the_pairs():
    def also_by_value(grad, max_norm):
        return np.maximum(np.minimum(grad, max_norm), -max_norm)

    def also_right(grad, max_norm):
        return clip(grad, max_norm)

    wrong = (Misconception(by_value, "m"), Misconception(also_by_value, "m"), Misconception(also_right, "m"))
    case = Exercise("1", "t", clip, clip_stub, CLIP.probes, wrong, ("a", "b", "c"), "e")
    assert set(undistinguished(case)) == {("the solution", "also_right"), ("by_value", "also_by_value")}


# ---- other ways to be right


def right_with_epsilon(grad, max_norm):
    norm = np.sqrt(np.sum(grad**2, axis=-1, keepdims=True))
    return (grad * np.minimum(1, max_norm / (norm + 1e-6))).astype(grad.dtype)


def right_and_talkative(grad, max_norm):
    print("norm", np.sum(grad))
    return clip(grad, max_norm)


def right_by_warning(grad, max_norm):
    norm = np.sqrt(np.sum(grad**2, axis=-1, keepdims=True))
    return np.nan_to_num(grad * np.minimum(1, max_norm / norm)).astype(grad.dtype)


def right_or_the_input_itself(grad, max_norm):
    return grad if np.all(np.linalg.norm(grad, axis=-1) <= max_norm) else clip(grad, max_norm)


@pytest.mark.parametrize(
    "learner",
    [
        right_with_epsilon,
        right_and_talkative,
        right_by_warning,
        right_or_the_input_itself,
        functools.partial(clip),
        lambda g, c: clip(g, c),
        lambda *args: clip(*args),
        lambda g, c, extra=None: clip(g, c),
    ],
)
def test_other_right_answers_pass_without_a_sound(learner, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnose(CLIP, learner).passed
    assert capfd.readouterr() == ("", "")


def test_notes_beside_a_pass():
    warned = diagnose(CLIP, right_by_warning).detail
    assert re.fullmatch(r"Python warned for “zero gradient”: `divide by zero.*`\.", warned)
    assert "very array" in diagnose(CLIP, right_or_the_input_itself).detail
    assert "prints" in diagnose(CLIP, right_and_talkative).detail
    assert diagnose(MEAN, lambda v: np.mean(v)).passed
    assert diagnose(MEAN, lambda v: np.array(np.mean(v))).passed


# ---- learners' code that does not work


def does_pass(grad, max_norm):
    pass


def only_words(grad, max_norm):
    """To be done."""


def not_implemented(grad, max_norm):
    raise NotImplementedError("later")


def forgot_return(grad, max_norm):
    grad = grad * max_norm


def divides_by_nothing(grad, max_norm):
    x = 1
    return x / 0


def still_dots(grad, max_norm):
    scale = ...
    return grad * scale


def exits(grad, max_norm):
    raise SystemExit(3)


def recurses(grad, max_norm):
    return recurses(grad, max_norm)


class Nasty(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def nasty(grad, max_norm):
    raise Nasty


async def asynchronous(grad, max_norm):
    return clip(grad, max_norm)


def generates(grad, max_norm):
    yield clip(grad, max_norm)


def at_random(grad, max_norm):
    return clip(grad, max_norm) * np.random.default_rng().normal()


_calls = []


def remembers(grad, max_norm):
    _calls.append(1)
    return clip(grad, max_norm) + len(_calls)


class Odd:
    def __eq__(self, other):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError

    __hash__ = None


def within_itself(grad, max_norm):
    endless = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("learner", "kind", "words"),
    [
        (does_pass, "empty", "waiting"),
        (only_words, "empty", "waiting"),
        (not_implemented, "empty", "waiting"),
        (lambda grad, max_norm: ..., "empty", "waiting"),
        (clip(array(3, 4), 1.0), "not_callable", "without brackets"),
        (None, "not_callable", "without brackets"),
        (lambda grad: grad, "parameters", "`clip(grad, max_norm)`; yours takes `(grad)`"),
        (lambda: None, "parameters", "(nothing)"),
        (lambda grad, max_norm, eps: grad, "parameters", "eps"),
        (lambda *, grad, max_norm: grad, "parameters", "grad"),
        (forgot_return, "none", "`return`"),
        (divides_by_nothing, "raised", "ZeroDivisionError"),
        (divides_by_nothing, "raised", "`return x / 0`"),
        (still_dots, "raised", "waiting to be replaced"),
        (exits, "raised", "SystemExit"),
        (recurses, "raised", "RecursionError"),
        (within_itself, "raised", "RecursionError"),
        (nasty, "raised", "Nasty"),
        (asynchronous, "type", "async"),
        (generates, "type", "yield"),
        (lambda g, c: clip(g, c).tolist(), "type", "np.array"),
        (lambda g, c: "text", "type", "text"),
        (lambda g, c: Odd(), "type", "Odd"),
        (lambda g, c: {"clipped": g}, "type", "dictionary"),
        (lambda g, c: np.array([None, 1]), "type", "object"),
        (lambda g, c: g > c, "type", "array"),
        (lambda g, c: clip, "type", "function"),
        (lambda g, c: np.ma.array(clip(g, c)), "type", "MaskedArray"),
        (lambda g, c: np.matrix(clip(g, c)), "type", "matrix"),
        (lambda g, c: clip(g, c)[..., None], "shape", "keepdims"),
        (lambda g, c: 1.0, "shape", "a number"),
        (lambda g, c: np.sum(g), "shape", "a number"),
        (lambda g, c: clip(g, c).astype(np.float64), "dtype", "float32"),
        (in_place, "changed_input", "no longer what it was"),
        (at_random, "random", "random"),
        (remembers, "random", "variable outside"),
    ],
)
def test_what_does_not_work_is_said(learner, kind, words, capfd):
    report = diagnose(CLIP, learner)
    assert not report.passed
    assert report.kind == kind, report
    assert words in f"{report.headline} {report.detail}", report
    assert capfd.readouterr() == ("", "")


def test_an_answer_is_shown_with_its_type_where_the_numbers_are_the_same():
    example = diagnose(CLIP, lambda g, c: clip(g, c).tolist()).example
    assert example.endswith("should be [0, 0] (an array of shape (2,)); yours gave [0, 0] (a list)")
    assert "an object of type MaskedArray" in diagnose(CLIP, lambda g, c: np.ma.array(clip(g, c))).example
    case = exercise(lambda v: (v, v), (array(1, 2),))
    assert diagnose(case, lambda v: (v.tolist(), v.tolist())).example == "", "nothing that differs can be shown"


@pytest.mark.parametrize("learner", [generates, lambda g, c: [object()], lambda g, c: {1: Odd}, lambda g, c: Bare()])
def test_no_memory_address_is_shown(learner):
    report = diagnose(CLIP, learner)
    assert "0x" not in f"{report.headline} {report.detail} {report.example}"


class Bare:
    pass


def test_numbers_of_any_size_are_shown():
    report = diagnose(MEAN, lambda v: 10**5000)
    assert report.kind == "type"


@pytest.mark.parametrize(
    "learner",
    [
        lambda g, c: clip(g, c).tolist() if g.ndim == 1 else g,
        lambda g, c: 1 / 0 if g.size == 3 else clip(g, c).ravel(),
        lambda g, c: clip(g, c)[..., None] if g.size > 2 or g[0] == 0.3 else clip(g, c) + 1,
        lambda g, c: clip(g, c)[1:] if g.size == 2 else clip(g, c)[..., :1],
    ],
)
def test_label_and_example_are_of_one_probe(learner):
    report = diagnose(CLIP, learner)
    assert report.kind in ("type", "shape", "raised")
    [probe] = [probe for probe in CLIP.probes if f"“{probe.label}”" in report.detail.split(":")[0]]
    assert report.example.startswith(f"clip(grad={str(probe.args[0].tolist()).replace('.0', '')},")
    assert ("raised" in report.example) == (report.kind == "raised")


def test_a_wrong_shape_is_shown_where_the_count_is_wrong_too():
    case = exercise(lambda v: bool((v > 2).all()), (array(1),), (array(3, 4, 5),))
    report = diagnose(case, lambda v: v > 2)
    assert "got an array of shape (3,)" in report.detail
    assert "v=[3, 4, 5]" in report.example


def test_one_answer_for_several_runs_is_said_of_several_runs_alone():
    def one_norm(grad):
        return np.sqrt(np.sum(grad**2, axis=-1, keepdims=True))

    def one_for_all(grad):
        return np.sqrt(np.sum(grad**2))

    runs = exercise(one_norm, (array([3, 4], [6, 8]),))
    alone = exercise(one_norm, (array(3, 4),))
    assert "axis=-1" in diagnose(runs, one_for_all).detail
    assert "axis=-1" not in diagnose(alone, one_for_all).detail


def test_none_for_a_function_to_mend_is_none():
    case = exercise(mean, (array(1, 2),), (array(3, 5, 9),), stub=lambda values: 0.0)
    assert diagnose(case, case.stub).kind == "empty"
    assert "mended" in diagnose(case, lambda values: 0.0).headline
    assert diagnose(case, lambda values: None).kind == "none"


def test_the_stop_button_works():
    def stopped(grad, max_norm):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose(CLIP, stopped)


def test_warnings_are_told_when_the_answer_is_wrong():
    def unguarded(grad, max_norm):
        norm = np.sqrt(np.sum(grad**2, axis=-1, keepdims=True))
        return (grad / norm * np.minimum(norm, max_norm)).astype(grad.dtype)

    report = diagnose(CLIP, unguarded)
    assert report.kind == "not_finite"
    assert "“zero gradient”" in report.detail
    assert "invalid value" in report.detail
    assert report.example == "clip(grad=[0, 0], max_norm=1) should be [0, 0]; yours gave [nan, nan]"


def test_probes_are_never_changed_by_learners():
    diagnose(CLIP, in_place)
    assert diagnose(CLIP, clip).passed
    assert CLIP.probes[0].args[0].tolist() == [3, 4]


def test_a_learner_who_breaks_numpys_settings_does_no_harm():
    def careless(grad, max_norm):
        np.seterr(all="raise")
        return clip(grad, max_norm)

    before = np.geterr()
    assert diagnose(CLIP, careless).passed
    assert np.geterr() == before


def test_one_buffer_for_all_results_is_no_trick():
    buffer = np.zeros(2)

    def reuses(grad, max_norm):
        buffer[:] = clip(grad, max_norm) if grad.shape == (2,) else 0
        return buffer

    assert diagnose(exercise(clip, (array(3, 4), 1.0), (array(6, 8), 1.5)), reuses).passed


# ---- wrong answers that are on no list


@pytest.mark.parametrize(
    ("learner", "kind"),
    [
        (lambda v: -np.mean(v), "sign"),
        (lambda v: 2 * np.mean(v), "factor"),
        (lambda v: np.sum(v), "size_factor"),
        (lambda v: np.mean(v) / v.size, "size_factor"),
        (lambda v: np.mean(v) + 1, "offset"),
        (lambda v: 0.0, "constant"),
        (lambda v: 7, "constant"),
        (lambda v: np.mean(v) ** 2, "square"),
        (lambda v: 1 / np.mean(v), "inverse"),
        (lambda v: abs(np.mean(v)), "absolute"),
        (lambda v: 1 - np.mean(v), "complement"),
        (lambda v: max(np.mean(v), 0.0), "positive_part"),
        (lambda v: np.degrees(np.mean(v)), "degrees"),
        (lambda v: np.cos(np.mean(v)), "cosine"),
        (lambda v: np.float16(np.mean(v) * 1.0002), "nearly"),
        (lambda v: np.mean(v) if v.size > 1 else np.nan, "not_finite"),
        (lambda v: np.nan, "not_finite"),
        (lambda v: np.mean(v) if v.size < 3 else 17.0, "some_labels"),
        (lambda v: np.median(v), "some_labels"),
        (lambda v: float(v[0]) if v.size > 2 else np.mean(v), "resembles"),
    ],
)
def test_patterns_in_numbers(learner, kind):
    report = diagnose(MEAN, learner)
    assert report.kind == kind, report
    assert report.example.startswith("mean(values=")


def angle(x, y):
    return float(np.degrees(np.arctan2(y, x)))


ANGLE = exercise(angle, (1.0, 2.0), (3.0, 1.0), (2.0, 0.5))


@pytest.mark.parametrize(
    ("case", "learner", "kind"),
    [
        (ANGLE, lambda x, y: np.arctan2(y, x), "radians"),
        (ANGLE, lambda x, y: np.degrees(np.arctan2(x, y)), "swapped"),
        (ANGLE, lambda x, y: np.cos(np.arctan2(y, x)), "cosine_of_degrees"),
        (ANGLE, lambda x, y: y, "argument"),
        (exercise(clip, *(p.args for p in CLIP.probes)), by_value, "rule"),
        (exercise(clip, *(p.args for p in CLIP.probes)), lambda g, c: g.copy(), "argument"),
        (exercise(np.flip, (array(1, 2, 5),), (array(3, 9),)), lambda v: v, "argument"),
        (exercise(np.sort, (array(3, 1, 2),), (array(9, 4),)), lambda v: np.sort(v)[::-1], "reversed"),
        (exercise(np.sort, (array(3, 1, 2),), (array(9, 4, 0),)), lambda v: np.roll(np.sort(v), 1), "late"),
        (exercise(lambda m: m * 2, (array([1, 2], [3, 4]),)), lambda m: m.T * 2, "transposed"),
        (exercise(lambda m: m * 2, (array([1, 2, 3]),)), lambda m: m.T * 2, "shape"),
    ],
)
def test_patterns_in_arguments_and_arrays(case, learner, kind):
    assert diagnose(case, learner).kind == kind


def above(n, limit):
    return bool(n > limit)


def far_above(n, limit):
    return bool(n > 2 * limit)


ABOVE = exercise(
    above,
    *[(0.5, 1.0), (2.0, 1.0), (1.5, 1.0), (3.0, 2.0), (0.0, 5.0), (9.0, 1.0)],
    misconceptions=(Misconception(far_above, "Twice too far."),),
)


@pytest.mark.parametrize(
    ("learner", "kind", "words"),
    [
        (far_above, "misconception", "Twice too far"),
        (lambda n, limit: n <= limit, "opposite", "exactly the opposite"),
        (lambda n, limit: not n > limit, "opposite", "exactly the opposite"),
        (lambda n, limit: True, "constant", "True: the same answer for every probe"),
        (lambda n, limit: False, "constant", "False: the same answer for every probe"),
        (lambda n, limit: n > 1.8, "some_labels", "wrong for “case 2”"),
    ],
)
def test_patterns_in_true_and_false(learner, kind, words):
    report = diagnose(ABOVE, learner)
    assert report.kind == kind, report
    assert words in report.detail


def step(theta, grad, learning_rate, max_norm):
    return theta - learning_rate * clip(grad, max_norm)


STEP = exercise(step, *[(array(1, 2), g, 0.5, c) for g, c in [(array(3, 4), 1.0), (array(0.3, 0.1), 2.0)]])


@pytest.mark.parametrize(
    ("clipped", "words"),
    [
        (lambda g, c: g * c / (c + np.linalg.norm(g)), "smooth"),
        (lambda g, c: g * min(1.0, c / np.abs(g).max()), "largest entry"),
        (lambda g, c: g * min(1.0, c / np.abs(g).sum()), "1-norm"),
        (lambda g, c: np.clip(g, -c, c), "value"),
    ],
)
def test_another_rule_within_an_update_is_named(clipped, words):
    report = diagnose(STEP, lambda theta, grad, lr, c: theta - lr * clipped(grad, c))
    assert report.kind == "rule", report
    assert words in report.detail


def test_an_angle_converted_twice_is_not_told_to_be_in_the_wrong_unit():
    detail = diagnose(ANGLE, lambda x, y: np.degrees(angle(x, y))).detail
    assert "one `np.degrees` too many" in detail
    assert "radians are asked for" not in detail


def test_tiny_answers_are_not_taken_for_zero():
    case = exercise(lambda g: g * 0.5, (array(1e-20, 3e-20),), (array(2e-30),))
    assert not diagnose(case, np.zeros_like).passed


def test_tuples_texts_and_truth_values():
    def two(v):
        return np.sum(v), v > 1

    case = exercise(two, (array(1, 2),), (array(3),))
    assert diagnose(case, two).passed
    assert diagnose(case, lambda v: [np.sum(v), v > 1]).passed
    assert diagnose(case, lambda v: np.sum(v)).kind == "type"
    assert diagnose(case, lambda v: (np.sum(v),)).kind == "shape"
    assert diagnose(case, lambda v: (np.sum(v), (v > 1).astype(int))).kind == "type"
    assert not diagnose(case, lambda v: (np.sum(v), v < 1)).passed

    case = exercise(lambda n: "clips" if n > 1 else "sleeps", (0.5,), (2.0,))
    assert diagnose(case, lambda n: "clips").kind == "some_labels"
    assert diagnose(case, lambda n: n > 1).kind == "type"
    case = exercise(lambda n: n > 1, (0.5,), (2.0,))
    assert diagnose(case, lambda n: np.bool_(n > 1)).passed
    assert diagnose(case, lambda n: int(n > 1)).kind == "type"


def test_a_solution_may_refuse_or_change_its_input():
    def refuses(c):
        if c <= 0:
            raise ValueError("max_norm must be > 0")
        return c

    case = exercise(refuses, (1.0,), (-1.0,))
    assert diagnose(case, refuses).passed
    assert diagnose(case, lambda c: c).kind == "not_raised"

    def halves(x):
        x *= 0.5
        return x

    case = exercise(halves, (array(2, 4),))
    assert diagnose(case, halves).passed
    assert diagnose(case, lambda x: x * 0.5).kind == "unchanged_input"


def test_infinite_and_nan_truths_compare():
    case = exercise(lambda x: x * 2, (array(np.inf, np.nan),), (array(1, 2),))
    assert diagnose(case, lambda x: x + x).passed
    assert not diagnose(case, lambda x: np.nan_to_num(x) * 2).passed


def test_a_failing_probe_list_is_long_but_the_example_is_short():
    case = exercise(lambda v: v, (np.arange(100.0),), (np.arange(50.0),))
    report = diagnose(case, lambda v: v + np.sin(v))
    assert len(report.example) < 300
    assert "42 more" in report.example


# ---- the data refuse what cannot work


def test_bad_lesson_data_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="hints must be 3"):
        exercise(clip, (array(1.0), 1.0), hints=("one",))
    with pytest.raises(ValueError, match="probes must not be empty"):
        exercise(clip)
    with pytest.raises(ValueError, match="names that differ"):
        Exercise(**{**vars(CLIP), "misconceptions": CLIP.misconceptions[:1] * 2})
    with pytest.raises(ValueError, match="explain must have the keys"):
        Prediction("1.a", "?", lambda: "a", {"a": "x"}, {"a": "A", "b": "B"})
    with pytest.raises(ValueError, match="close"):
        Prediction("1.a", "?", lambda: 1.0, {"right": "x"})
    with pytest.raises(ValueError, match="exactly one that is right; got 2"):
        Question("?", (Option("a", "w", True), Option("b", "w", True)))
    with pytest.raises(ValueError, match="questions must be 3 to 5; got 0"):
        Quiz("1", ())


def test_a_stub_is_known_by_what_it_does_also_where_python_compiles_its_calls_otherwise():
    source = "def f(x):\n    for k in range(3):\n        x = np.tanh(x) + k\n    return [np.sum(y) for y in x]\n"
    names: dict[str, dict] = {}
    for where, text in {
        "module": f"import numpy as np\n{source}",
        "cell": source,
        "more": source.replace("range(3)", "range(4)"),
        "other": source.replace("tanh", "sin"),
        "inside": source.replace("np.sum(y)", "np.sum(x)"),
    }.items():
        exec(text, names.setdefault(where, {"np": np}))
    untouched = {where: _untouched(attempt(found["f"], []), names["module"]["f"]) for where, found in names.items()}
    assert untouched == {"module": True, "cell": True, "more": False, "other": False, "inside": False}
