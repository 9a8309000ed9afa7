"""Lesson 11: its claims against plain loops, closed forms and PyTorch; its recipes in the libraries; wrong answers."""

import json
import math
import re
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import against, counted

from gclip_lessons.diagnosis import diagnose
from gclip_lessons.lessons import lesson11 as lesson
from gclip_lessons.lessons import loops11 as loops
from gclip_lessons.lessons import side_trips11 as trips
from gclip_lessons.lessons.loops11 import CASES, LOOPS
from gclip_lessons.norm_log import log_norm, read_norms
from gclip_lessons.panels import recorded

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "11_in_the_wild.ipynb"
inf, nan = np.inf, np.nan

# What each picture shows of a result, by the names of what moves.
FATES = ("as it came", "shortened", "partly 0", "all 0", "partly NaN", "all NaN", "an error")
SHEET = {
    "loss": lambda r: counted(r.loss),
    "off": lambda r: counted(r.loss_off),
    "logged": lambda r: np.array(
        [(step + k / len(norms), n) for step, norms in enumerate(r.norms) for k, n in enumerate(norms)]
    ),
    "lengths": lambda r: counted(r.lengths),
    "threshold": lambda r: against([0, 1, 200], [r.state.max_norm] * 3),
    "above": lambda r: None,  # words, whose test is of their own
    "below": lambda r: None,
}
DRAWN = {
    "libraries": lambda r: (
        {name: r.marks(name) for name in FATES}
        | {
            "threshold": against([math.log10(r.state.max_norm / 13)] * 3, [-7.5, 0, 0.5]),
            "at": against([r.state.power] * 3, [-7.5, 0, 0.5]),
            "here": against([r.state.power], [-list(lesson.RULES).index(r.state.library)]),
        }
    ),
    "sheets": lambda r: {name: points(r) for name, points in SHEET.items()},
    "more sheets": lambda r: {name: points(r) for name, points in SHEET.items()},
    "scaling": lambda r: {
        "before": against(r.places, r.shares),
        "scaled": against(r.places + r.state.power * math.log10(2), r.shares),
        "threshold": against([-0.6, 0, 24.6], [r.state.max_norm] * 3),
        "clip first": counted(r.steps["clip first"]),
        "unscale first": counted(r.steps["unscale first"]),
        "here": against([r.state.power], [r.steps["unscale first"][r.state.power]]),
    },
}


# --- one gradient, eight rules ---


def test_a_huge_finite_gradient_becomes_zero_as_in_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    param = torch.nn.Parameter(torch.zeros(2))
    param.grad = torch.full((2,), 1e20)
    assert torch.nn.utils.clip_grad_norm_([param], 1.0) == inf
    assert param.grad.tolist() == [0, 0]
    assert lesson.PREDICTIONS["1e20"].truth() == "zero"


@pytest.mark.parametrize("dtype", lesson.DTYPES)
def test_the_walls_stand_at_the_root_of_the_largest_number(dtype: str):
    root = math.sqrt(float(np.finfo(dtype).max))
    walls = {name: lesson.gives_up(name, dtype) for name in lesson.RULES}
    for name in ("optax clip_by_global_norm", "tf.clip_by_global_norm", "Keras global_clipnorm"):
        assert walls[name] == pytest.approx(root, rel=1e-3)
    assert walls["Keras clipnorm"] == pytest.approx(root * 13 / 12, rel=1e-3)  # the longer tensor has 12/13 of n
    for name in ("PyTorch clip_grad_norm_", "PyTorch, error_if_nonfinite"):
        assert walls[name] == (inf if dtype == "float16" else pytest.approx(root, rel=1e-3))
    assert walls["by value, all of them"] == walls["this course, global norm"] == inf


def test_what_comes_out_of_1e20_of_infinity_and_of_nan():
    def numbers(**settings: Any) -> dict[str, str]:
        result = lesson.look_up(lesson.LibrariesState(**settings))
        return dict(zip(result.names, result.numbers, strict=True))

    huge = numbers(power=19.0)
    infinite = numbers(power=0.0, entries=lesson.INFINITE)
    missing = numbers(power=0.0, entries=lesson.NOT_A_NUMBER)
    zero, none, error = "0, 0 | 0", "NaN, NaN | NaN", "error"
    assert huge == dict(zip(lesson.RULES, (zero, error, zero, none, none, zero, "1, 1 | 1", "0.23, 0.31 | 0.92")))  # noqa: B905
    one = "NaN, 0 | 0"
    assert list(infinite.values()) == [one, error, one, none, none, "NaN, 0 | 1", "1, 1 | 1", one]
    assert list(missing.values()) == [none, error, none, none, none, "NaN, NaN | 1", "NaN, 1 | 1", none]


def fate_by_hand(before: list[float], after: list[float] | None) -> str:
    if after is None:
        return "an error"
    if any(math.isnan(value) for value in after):
        return "all NaN" if all(math.isnan(value) for value in after) else "partly NaN"
    lost = [a == 0 and b != 0 for a, b in zip(after, before, strict=True)]
    if all(lost):
        return "all 0"
    if any(lost):
        return "partly 0"
    close = [a == b or math.isclose(a, b, rel_tol=9e-3) for a, b in zip(after, before, strict=True)]
    return "as it came" if all(close) else "shortened"


@pytest.mark.parametrize("dtype", lesson.DTYPES)
@pytest.mark.parametrize("entries", [lesson.FINITE, lesson.INFINITE, lesson.NOT_A_NUMBER])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_fates_on_the_map_are_those_of_single_gradients(dtype: str, entries: str, c: float):
    table = lesson.all_fates(dtype, entries, c)
    for row, rule in enumerate(lesson.RULES.values()):
        for column, power in enumerate(lesson.POWERS):
            grads = lesson.gradients(10.0**power, dtype, entries)
            before = [*map(float, grads[0]), *map(float, grads[1])]
            try:
                after = [float(value) for tensor in rule(grads, c)[0] for value in tensor]
            except RuntimeError:
                after = None
            assert FATES[table[row, column]] == fate_by_hand(before, after), (list(lesson.RULES)[row], power)


def test_the_sentence_tells_what_came_out_of_the_library_that_is_looked_at():
    said = lesson.read_libraries(lesson.look_up(lesson.LibrariesState()))
    assert "all of it becomes 0, and nothing warns: (0, 0 | 0). The norm that it computes is ∞." in said
    assert "2 shortened, 3 all 0, 2 all NaN, 1 an error" in said
    said = lesson.read_libraries(lesson.look_up(lesson.LibrariesState(library="PyTorch, error_if_nonfinite")))
    assert "an error is raised, and nothing is clipped. All 8 rules" in said
    said = lesson.read_libraries(lesson.look_up(lesson.LibrariesState(library="Keras clipnorm", power=0.0)))
    assert "(0.6, 0.8 | 1)" in said
    assert "computes" not in said


def test_the_mouse_chooses_norm_and_row():
    state = lesson.hold_gradient(lesson.LibrariesState(), "rules", 3.0, -4.4)
    assert (state.power, state.library) == (3.0, "Keras global_clipnorm")
    state = lesson.hold_gradient(state, "rules", 99.0, 99.0)
    assert (state.power, state.library) == (38.5, "PyTorch clip_grad_norm_")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.231, "0.23"),
        (1, "1"),
        (9.2e19, "9.2e19"),
        (2.3e-5, "2.3e−5"),
        (inf, "∞"),
        (-inf, "−∞"),
        (nan, "NaN"),
    ],
)
def test_numbers_are_short(value: float, text: str):
    assert lesson.number(value) == text


# --- the loops, once more in plain numpy ---


def norm(vector: np.ndarray) -> float:
    return math.sqrt(sum(float(x) ** 2 for x in vector))


def clip(vector: np.ndarray, c: float) -> np.ndarray:
    n = norm(vector)
    return vector * (c / n) if n > c else vector


def in_pieces(vector: np.ndarray, size: int, c: float) -> np.ndarray:
    return np.concatenate([clip(vector[k : k + size], c) for k in range(0, 12, size)])


def micro_by_hand(micro: list[np.ndarray], c: float) -> tuple[np.ndarray, list[float]]:
    total, logged = np.zeros(12), []
    for grad in micro:
        total = total + grad / 4
        logged.append(norm(total))
        total = clip(total, c)
    return total, logged


def by_hand(use: Callable[[np.ndarray, float], np.ndarray]) -> Callable[..., tuple[np.ndarray, list[float]]]:
    def handle(micro: list[np.ndarray], c: float) -> tuple[np.ndarray, list[float]]:
        grad = sum(micro) / 4
        return use(grad, c), [norm(grad)]

    return handle


BY_HAND = {
    "sound": by_hand(clip),
    "after": by_hand(lambda grad, c: grad),
    "scaled": lambda micro, c: (clip(65536 * sum(micro) / 4, c) / 65536, [65536 * norm(sum(micro) / 4)]),
    "micro": micro_by_hand,
    "tensor": by_hand(lambda grad, c: in_pieces(grad, 3, c)),
    "infinity": by_hand(clip),
    "worker": lambda micro, c: (in_pieces(sum(micro) / 4, 6, c), [norm(sum(micro)[:6] / 4)]),
    "twice": by_hand(lambda grad, c: clip(in_pieces(grad, 3, c), c)),
    "entry": by_hand(lambda grad, c: np.array([min(max(x, -c), c) for x in grad])),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_each_loop_leaves_the_log_of_its_like_written_by_hand(loop: str):
    for k, c in enumerate(thresholds := (0.3, 1.0, 10.0, inf)):
        logs = loops.leave(loop, thresholds)
        params = loops.START
        for step in range(200):
            micro = [
                loops.CURVATURE * (params - centre) + loops.NOISE[step, m] for m, centre in enumerate(loops.CENTRES)
            ]
            used, logged = BY_HAND[loop](micro, c)
            assert logs.norms[step, k] == pytest.approx(logged, rel=1e-9)
            assert logs.lengths[step, k] == pytest.approx(norm(used), rel=1e-9)
            cosine = float(used @ sum(micro)) / norm(used) / norm(sum(micro))
            assert logs.turns[step, k] == pytest.approx(math.degrees(math.acos(min(cosine, 1.0))), abs=1e-4)
            params = params - 0.2 * used
        expected = np.mean([0.5 * sum(loops.CURVATURE * (params - centre) ** 2) for centre in loops.CENTRES])
        assert logs.loss[-1, k] == pytest.approx(expected, rel=1e-9)


def test_the_gradient_of_the_model_is_that_of_its_loss():
    rng = np.random.default_rng(0)
    for point in rng.normal(0, 3, (5, 12)):
        without_noise = loops.micro_gradients(point, 0) - loops.NOISE[0]
        for i, direction in enumerate(np.eye(12)):
            slope = (loops.loss(point + 1e-4 * direction) - loops.loss(point - 1e-4 * direction)) / 2e-4
            assert without_noise.mean(0)[i] == pytest.approx(slope, abs=1e-6)


def test_a_sound_loop_steps_by_the_smaller_of_norm_and_c_and_never_turns():
    thresholds = (0.01, 0.3, 1.0, 10.0, 1e6)
    logs = loops.leave("sound", thresholds)
    np.testing.assert_allclose(logs.lengths, np.minimum(logs.norms[..., 0], thresholds), rtol=1e-12)
    assert logs.turns.max() < 1e-4


def test_a_clip_after_the_step_is_no_clip():
    thresholds = (0.01, 1.0, 100.0, inf)
    logs = loops.leave("after", thresholds)
    for array in (logs.loss, logs.norms, logs.lengths):
        assert (array == array[:, -1:]).all()
    np.testing.assert_array_equal(logs.loss[:, -1], loops.leave("sound", (inf,)).loss[:, 0])


def test_a_clip_before_unscaling_steps_by_c_over_the_scale_and_is_sound_at_c_times_the_scale():
    logs = loops.leave("scaled", (1.0, 65536.0))
    np.testing.assert_allclose(logs.lengths[:, 0], 1 / 65536, rtol=1e-12)
    np.testing.assert_allclose(logs.loss[:, 1], loops.leave("sound", (1.0,)).loss[:, 0], rtol=1e-12)
    assert logs.loss[-1, 0] > 0.999 * logs.loss[0, 0]


def test_clipping_every_micro_batch_gets_worse_as_c_gets_smaller():
    ends = loops.leave("micro", (0.3, 1.0, 3.0, inf)).loss[-1]
    assert ends[0] > ends[1] + 1 > ends[2] + 2
    assert ends[2] == pytest.approx(ends[3], rel=0.01)
    sound = loops.leave("sound", (0.3, 1.0)).loss[-1]
    assert (ends[:2] > sound + 2).all()


@pytest.mark.parametrize(
    ("loop", "longest"),
    [("tensor", 2), ("worker", 2**0.5), ("entry", 12**0.5), ("twice", 1), ("micro", 1), ("sound", 1)],
)
def test_a_step_is_at_most_the_root_of_the_number_of_scopes_times_c(loop: str, longest: float):
    tell = loops.tell(loop)
    assert tell.longest == pytest.approx(longest, rel=5e-3)
    assert tell.longest <= longest * (1 + 1e-9)


def test_the_numbers_that_the_lesson_reads_from_its_table_of_tells():
    said = {
        "sound": (1, "1", 0, "1", 11.0),
        "after": (1, "61.6", 0, "1", 11.1),
        "scaled": (1, "1.53e-05", 0, "1.53e-05", 47.4),
        "micro": (4, "1", 118, "1", 13.8),
    }
    for loop, (norms, longest, turn, ratio, end) in said.items():
        tell = loops.tell(loop)
        assert tell.norms == norms
        assert (f"{tell.longest:.3g}", f"{tell.ratio:.3g}") == (longest, ratio)
        assert (round(tell.turn), round(tell.loss, 1), round(tell.loss_off, 1)) == (turn, end, 11.1)
    alike = [
        loop for loop in LOOPS if (t := loops.tell(loop)).norms == 1 and round(t.longest, 9) == round(t.ratio, 9) == 1
    ]
    assert [loop for loop in alike if loops.tell(loop).turn < 1e-4] == ["sound", "infinity"]
    assert loops.tell("worker").ratio > 1.4 > loops.tell("tensor").ratio


def test_infinity_ends_the_run_and_a_sound_loop_leaves_the_step_out():
    broken, sound = loops.leave("infinity", (1.0,), True), loops.leave("sound", (1.0,), True)
    assert np.isfinite(broken.loss[:121]).all()
    assert np.isnan(broken.loss[121:]).all()
    assert broken.norms[120, 0, 0] == inf
    assert np.isnan(broken.norms[121:]).all()
    assert np.isfinite(sound.loss).all()
    assert sound.lengths[120, 0] == 0
    assert sound.loss[120] == sound.loss[121]
    assert sound.loss[-1, 0] == pytest.approx(loops.leave("sound", (1.0,)).loss[-1, 0], rel=1e-3)


@pytest.mark.parametrize("case", [case for case in CASES if len(case) == 1])
def test_a_bug_is_named_by_its_log_alone(case: str):
    assert loops.name_the_bug(case) == CASES[case]
    naming = lesson.PREDICTIONS[f"sheet {case}"]
    assert naming.truth() == CASES[case]
    assert naming.explain[CASES[case]].startswith("Yes.")
    assert sum(text.startswith("Yes.") for text in naming.explain.values()) == 1


def test_a_log_that_two_loops_leave_names_none():
    with pytest.raises(ValueError, match="one loop"):
        loops.name_the_bug("a worried user")


def test_the_right_name_does_not_always_stand_in_the_same_place():
    places = {list(naming.options).index(naming.truth()) for naming in loops.NAMINGS.values()}
    assert len(places) == 4


def test_a_threshold_between_the_stops_is_trained_by_itself():
    between = loops.read_sheet_of(loops.CaseState(case="C", max_norm=1.1))
    np.testing.assert_array_equal(between.norms, loops.leave("micro", (1.1,)).norms[:, 0])
    at_a_stop = loops.read_sheet_of(loops.CaseState(case="C", max_norm=1.0))
    np.testing.assert_allclose(at_a_stop.norms, loops.leave("micro", (1.0,)).norms[:, 0], rtol=1e-12)


def test_what_is_off_the_chart_is_said():
    figure = lesson.SHEETS.figure
    drawing = figure(loops.read_sheet_of(loops.CaseState(case="B")))
    assert drawing.data("above") == "off the chart: norms around 10⁶"
    assert drawing.data("below") == "off the chart: steps around 10⁻⁵"
    drawing.update(loops.read_sheet_of(loops.MoreState(case="E")))
    assert drawing.data("above") == "off the chart: norms: ∞"
    drawing.update(loops.read_sheet_of(loops.CaseState(case="B", max_norm=1e6)))
    assert "c around 10⁶" in drawing.data("above")
    drawing.update(loops.read_sheet_of(loops.CaseState()))
    assert drawing.data("above") == drawing.data("below") == ""


# --- mixed precision ---


def in_half(value: float) -> float:
    """A number on its way through float16, by the standard library."""
    try:
        return struct.unpack("e", struct.pack("e", value))[0]
    except OverflowError:
        return math.copysign(inf, value)


@pytest.mark.parametrize(("power", "size"), [(0, 1.0), (8, 1.0), (16, 0.001), (22, 1.0), (24, 1000.0)])
def test_what_float16_loses_under_a_scale(power: int, size: float):
    zero, infinite, norms = (row[power] for row in trips.through_float16(size))
    half = [in_half(2.0**power * size * entry) for entry in trips.ENTRIES]
    assert zero == pytest.approx(np.mean([value == 0 for value in half]), abs=1e-12)
    assert infinite == pytest.approx(np.mean([math.isinf(value) for value in half]), abs=1e-12)
    assert norms == pytest.approx(math.sqrt(sum(value**2 for value in half)) / 2**power, rel=1e-12)


def test_the_two_orders_of_mixed_precision():
    result = trips.scale_the_loss(trips.ScalingState())
    usable = ~result.skipped
    assert result.powers[usable][-1] == 20
    np.testing.assert_allclose(result.steps["unscale first"][usable], 0.03)
    np.testing.assert_allclose(result.steps["clip first"][usable], 0.03 / 2.0 ** result.powers[usable], rtol=1e-12)
    small = trips.scale_the_loss(trips.ScalingState(size=0.001))
    assert small.norms[16] < 0.03
    assert small.steps["unscale first"][16] == small.norms[16]
    for power in small.powers[~small.skipped]:
        longest = 0.03 / 2.0**power
        assert small.steps["clip first"][power] == pytest.approx(min(small.norms[power], longest), rel=1e-12)
    assert round(result.zero[0], 2) == 0.14
    assert result.zero[16] == 0


@pytest.mark.parametrize("first", ["unscale", "clip"])
def test_the_two_orders_in_pytorch(first: str):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    param = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer, scaler = torch.optim.SGD([param], lr=1.0), torch.amp.GradScaler("cpu")
    assert scaler.get_scale() == loops.SCALE
    scaler.scale((param**2).sum() / 2).backward()
    if first == "unscale":
        scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_([param], 1.0)
    scaler.step(optimizer)
    moved = float((torch.tensor([3.0, 4.0]) - param.detach()).norm())
    assert moved == pytest.approx(1.0 if first == "unscale" else 1 / 65536, rel=0.02)


def test_the_scaler_of_pytorch_leaves_an_infinite_step_out_and_halves_the_scale():
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    param = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer, scaler = torch.optim.SGD([param], lr=1.0), torch.amp.GradScaler("cpu")
    scaler.scale(param.sum() * 1e36).backward()
    scaler.step(optimizer)
    scaler.update()
    assert param.tolist() == [3, 4]
    assert scaler.get_scale() == loops.SCALE / 2


# --- the log of one's own run ---


def cell(name: str) -> str:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    [source] = ["".join(cell["source"]) for cell in cells if cell["id"] == name]
    return source


def recipe(word: str) -> str:
    """The code that the lesson gives for a library."""
    blocks = re.findall(r"```python\n(.*?)```", cell("recipes"), re.DOTALL)
    [found] = [block for block in blocks if word in block]
    assert len(found.splitlines()) <= 10
    return found


def test_the_recipe_for_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    names = {"torch": torch, "model": model, "optimizer": optimizer, "max_norm": 0.5, "log_norm": log_norm}
    wanted = []
    for step in range(5):
        optimizer.zero_grad()
        ((model(torch.ones(4, 3)) - 5) ** 2).mean().backward()
        wanted.append(math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters())))
        before = [p.detach().clone() for p in model.parameters()]
        exec(recipe("clip_grad_norm_"), names | {"step": step})
        pairs = zip(model.parameters(), before, strict=True)
        moved = math.sqrt(sum(float(((p.detach() - q) ** 2).sum()) for p, q in pairs))
        assert moved == pytest.approx(0.1 * min(0.5, wanted[-1]), rel=1e-4)
    log = read_norms("norms.csv")
    assert log.norms == pytest.approx(wanted, rel=1e-5)
    assert min(wanted) > 0.5, "norms are logged before clipping"


if find_spec("optax"):

    def test_the_recipe_for_jax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        import jax
        import optax

        monkeypatch.chdir(tmp_path)
        rule, params = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1)), {"w": jax.numpy.array([3.0, 4.0])}
        names = {"optax": optax, "optimizer": rule, "state": rule.init(params), "params": params, "grads": params}
        exec(recipe("optax"), names)
        exec(recipe("optax").partition("step: ")[2], {"log_norm": log_norm, "step": 0, "norm": names["norm"]})
        assert read_norms("norms.csv").norms == pytest.approx([5.0])
        assert names["updates"]["w"].tolist() == pytest.approx([-0.03, -0.04])


if find_spec("keras"):

    def test_the_recipe_for_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        import keras

        monkeypatch.chdir(tmp_path)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        model.set_weights([np.zeros((2, 1))])
        exec(recipe("keras"), {"keras": keras, "model": model, "log_norm": log_norm})
        model.fit(np.array([[3.0, 4.0]]), np.array([[1.0]]), epochs=2, verbose=0)
        log = read_norms("norms.csv")
        assert log.norms[0] == pytest.approx(10.0)  # the gradient of (wx − 1)² at w = 0 is −2x
        assert list(log.steps) == [0, 1]


# --- a real network, or its record ---


def test_the_record_holds_where_pytorch_is_installed():
    pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    names: dict[str, Any] = {"lesson": lesson, "recorded": recorded}
    for name in ("torch", "train-lstm", "run-lstm"):
        exec(cell(name), names)
    ends = {key: np.mean(losses[-20:]) for key, (losses, _) in names["runs"].items()}
    blind = math.log(len(names["kinds"]))
    assert (len(names["text"]), len(names["kinds"]), round(blind, 2)) == (856, 45, 3.81)
    assert ends[10, inf] < 1
    assert ends[10, 0.25] < 1
    assert ends[30, 0.25] < 1.6
    assert ends[30, inf] > 2
    clipped, loose = (names["runs"][30, c][1] for c in (0.25, inf))
    assert max(loose) > 2
    assert max(clipped) < 2
    live = lesson.read_lstm(names["runs"])
    assert live.splitlines()[0] in lesson.LSTM_RECORD
    assert len(live.splitlines()) == 5


def test_the_page_is_the_same_with_pytorch_and_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    names: dict[str, Any] = {"lesson": lesson, "recorded": recorded}
    for name in ("torch", "train-lstm"):
        exec(cell(name), names)
    *lines, last = cell("run-lstm").splitlines()
    exec("\n".join(lines), names)
    without = eval(last, names)
    live = recorded(lesson.LSTM_RECORD, "another table", needs="PyTorch")
    assert (without.page(), without.line()) == (live.page(), live.line())
    assert "PyTorch is not installed here" in without.children[0].value
    assert "computed here just now" in live.children[0].value.lower()
    assert "another table" in live.children[0].value
    assert "another table" not in live.page()


# --- wrong answers, on the list and off it ---


def test_the_numbers_of_the_thread_on_accumulation():
    def one_step(train: Callable) -> np.ndarray:
        return -train(lesson.two_and_two, np.zeros(2), 1.0, 1.0, 1)[0]

    assert one_step(lesson.train_c_stub) == pytest.approx([0.447, 0.894], abs=5e-4)
    assert one_step(lesson.train_c) == pytest.approx([0.707, 0.707], abs=5e-4)
    each = next(m.function for m in lesson.EXERCISES["train_c"].misconceptions if m.name == "clips_each_micro_gradient")
    assert one_step(each) == pytest.approx([1, 1])


def test_each_stub_does_what_its_sheet_shows():
    """The loop to mend and the loop behind the log sheet are the same bug."""
    rng = np.random.default_rng(3)
    micro = rng.normal(0, 2, (4, 12))

    def micro_grads(params: np.ndarray, step: int) -> list[np.ndarray]:
        return [grad / 4 for grad in micro]

    def whole(params: np.ndarray, step: int) -> np.ndarray:
        return micro.mean(0)

    def scaled(params: np.ndarray, step: int) -> np.ndarray:
        return 65536 * micro.mean(0)

    def tensors(params: list[np.ndarray], step: int) -> list[np.ndarray]:
        return np.split(micro.mean(0), 4)

    zero, blocks = np.zeros(12), loops.TENSORS
    for c in (0.2, 1.0, 100.0):
        tried = {
            "A": lesson.train_a_stub(whole, zero, 1.0, c, 1),
            "B": lesson.train_b_stub(scaled, zero, 1.0, c, 65536.0, 1),
            "C": lesson.train_c_stub(micro_grads, zero, 1.0, c, 1),
            "D": trips.train_d_stub(tensors, np.split(zero, 4), 1.0, c, 1),
            "E": trips.train_e_stub(whole, zero, 1.0, c, 1),
            "F": trips.train_f_stub(whole, zero, 1.0, c, 2, 1),
            "G": trips.train_g_stub(whole, zero, 1.0, c, blocks, 1),
            "H": trips.train_h_stub(whole, zero, 1.0, c, 1),
        }
        for case, (params, norms) in tried.items():
            used, logged = LOOPS[CASES[case]](micro, np.array(c))
            moved = -np.concatenate(params) if isinstance(params, list) else -params
            np.testing.assert_allclose(moved, used, rtol=1e-12)
            np.testing.assert_allclose(norms, logged, rtol=1e-12)


def a_with_numpy_alone(gradient, params, learning_rate, max_norm, n_steps):
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        n = float(np.linalg.norm(grad))
        norms.append(n)
        if n > max_norm:
            grad = grad * max_norm / n
        params = params - learning_rate * grad
    return params, norms


def b_with_a_larger_threshold(scaled_gradient, params, learning_rate, max_norm, scale, n_steps):
    norms = []
    for step in range(n_steps):
        grad = scaled_gradient(params, step)
        norms.append(np.linalg.norm(grad) / scale)
        grad = lesson.clip_by_global_norm(grad, max_norm * scale)
        params = params - learning_rate * grad / scale
    return params, norms


def c_with_sum(micro_gradients, params, learning_rate, max_norm, n_steps):
    norms = []
    for step in range(n_steps):
        total = np.sum(micro_gradients(params, step), axis=0)
        norms += [np.linalg.norm(total)]
        params = params - learning_rate * lesson.clip_by_global_norm(total, max_norm)
    return params, norms


def e_with_zeros(gradient, params, learning_rate, max_norm, n_steps):
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(np.linalg.norm(grad))
        if not np.all(np.isfinite(grad)):
            grad = np.zeros_like(grad)
        params = params - learning_rate * lesson.clip_by_global_norm(grad, max_norm)
    return params, norms


def h_without_the_inner_loop(gradient, params, learning_rate, max_norm, n_steps):
    return lesson.train_a(gradient, params, learning_rate, max_norm, n_steps)


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("train_a", a_with_numpy_alone),
        ("train_b", b_with_a_larger_threshold),
        ("train_c", c_with_sum),
        ("train_e", e_with_zeros),
        ("train_h", h_without_the_inner_loop),
    ],
)
def test_another_repair_is_right_too(key: str, function: Callable):
    report = diagnose(lesson.EXERCISES[key], function)
    assert report.passed, report


def a_in_place(gradient, params, learning_rate, max_norm, n_steps):
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(np.linalg.norm(grad))
        params -= learning_rate * lesson.clip_by_global_norm(grad, max_norm)
    return params, norms


def a_without_log(gradient, params, learning_rate, max_norm, n_steps):
    return lesson.train_a(gradient, params, learning_rate, max_norm, n_steps)[0]


def a_one_step_too_few(gradient, params, learning_rate, max_norm, n_steps):
    return lesson.train_a(gradient, params, learning_rate, max_norm, n_steps - 1)


def a_with_a_tenth_of_c(gradient, params, learning_rate, max_norm, n_steps):
    return lesson.train_a(gradient, params, learning_rate, max_norm / 10, n_steps)


@pytest.mark.parametrize("function", [a_in_place, a_without_log, a_one_step_too_few, a_with_a_tenth_of_c])
def test_wrong_answers_that_nobody_listed_are_refused_with_an_example(function: Callable):
    report = diagnose(lesson.EXERCISES["train_a"], function)
    assert not report.passed
    assert report.kind != "empty"
    assert report.detail or report.example


def test_every_solution_names_the_thread_that_its_loop_is_from():
    threads = {
        "train_a": ("graphstorm 1366", "onsets-and-frames 24", "10248"),
        "train_b": ("Pytorch-UNet 468", "examples 1196", "apex 1512"),
        "train_c": ("transformers 986", "1563"),
        "train_d": ("keras 13575", "tensorflow 29108"),
        "train_e": ("pytorch 46849", "53843", "55169"),
        "train_f": ("pytorch 72548", "torchtitan 596"),
        "train_g": ("automl 910",),
        "train_h": ("caffe 462",),
    }
    assert set(threads) == set(lesson.EXERCISES)
    for key, names in threads.items():
        assert all(name in lesson.EXERCISES[key].explanation for name in names)
