"""Lesson 11, in the wild: what libraries make of one gradient, and training loops that clip in the wrong place."""

import codecs
import io
import math
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import clip_by_global_norm, clip_by_value, global_norm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.policies import LOOKS, PoliciesFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, loops11, side_trips11
from gclip_lessons.lessons.loops11 import MORE_SHEETS, SHEETS, as_loop, bowl, bowl_with_a_spike, nothing, valley
from gclip_lessons.lessons.side_trips11 import SCALING
from gclip_lessons.libraries import (
    Clipped,
    Tensors,
    clip_each_value,
    keras_clipnorm,
    optax_clip_by_global_norm,
    pytorch_clip_grad_norm,
    tensorflow_clip_by_global_norm,
)

# --- One gradient, eight rules -----------------------------------------------------------------------------


def pytorch_that_raises(grads: Tensors, c: float) -> Clipped:
    return pytorch_clip_grad_norm(grads, c, error_if_nonfinite=True)


def this_course(grads: Tensors, c: float) -> Clipped:
    """`clip_by_global_norm` of all tensors end to end."""
    ends = np.cumsum([tensor.shape[-1] for tensor in grads])[:-1]
    return np.split(clip_by_global_norm(np.concatenate(grads, -1), c), ends, axis=-1), None


RULES: dict[str, Callable[[Tensors, float], Clipped]] = {
    "PyTorch clip_grad_norm_": pytorch_clip_grad_norm,
    "PyTorch, error_if_nonfinite": pytorch_that_raises,
    "optax clip_by_global_norm": optax_clip_by_global_norm,
    "tf.clip_by_global_norm": tensorflow_clip_by_global_norm,
    "Keras global_clipnorm": tensorflow_clip_by_global_norm,
    "Keras clipnorm": keras_clipnorm,
    "by value, all of them": clip_each_value,
    "this course, global norm": this_course,
}
DTYPES = "float16", "float32", "float64"
FINITE, INFINITE, NOT_A_NUMBER = "all finite", "one is ∞", "one is NaN"


@dataclass(frozen=True)
class LibrariesState(State):
    library: str = control("PyTorch clip_grad_norm_", label="library", choices=tuple(RULES))
    dtype: str = control("float32", label="number format", choices=DTYPES)
    entries: str = control(FINITE, label="entries", choices=(FINITE, INFINITE, NOT_A_NUMBER))
    power: float = control(19.0, label="size s = 10^", linear=(-2.5, 38.5), n_stops=42)
    max_norm: float = control(1.0, label="threshold c", log=(0.01, 100), n_stops=13)


@dataclass(frozen=True, eq=False)
class LibrariesResult:
    """What every rule makes of gradients of every size: `fates` (rules, sizes) are places in LOOKS.

    `gradient` (3,) is the present one, `came_out` (3,) what each rule makes of it and `now` its fate, a key of LOOKS;
    `computed` is the norm that the library computes, or None.
    """

    state: LibrariesState
    fates: np.ndarray
    gradient: np.ndarray
    came_out: list[np.ndarray]
    now: list[str]
    computed: float | None
    names: tuple[str, ...] = tuple(RULES)

    @property
    def row(self) -> int:
        """The row of the library that is looked at."""
        return self.names.index(self.state.library)

    @property
    def at_threshold(self) -> float:
        """The power of ten at which the gradient's norm is the threshold."""
        return math.log10(self.state.max_norm / 13)

    @property
    def numbers(self) -> list[str]:
        """What comes out of each rule, in words."""
        pairs = zip(self.came_out, self.now, strict=True)
        return ["error" if fate == "an error" else in_words(out) for out, fate in pairs]

    def marks(self, fate: str) -> np.ndarray:
        """The places (power, −row) of all gradients that have this fate."""
        rows, columns = np.nonzero(self.fates == list(LOOKS).index(fate))
        return np.stack([POWERS[columns], -rows], -1)


POWERS = np.array(controls_of(LibrariesState)["power"].values)


def gradients(sizes: np.ndarray, dtype: str, entries: str) -> list[np.ndarray]:
    """Gradients of two tensors, (3, 4 | 12) times each size, in a number format; (sizes, 2) and (sizes, 1)."""
    with np.errstate(over="ignore", under="ignore"):
        whole = (np.asarray(sizes)[..., None] * np.array([3.0, 4.0, 12.0])).astype(dtype)
    if entries != FINITE:
        whole[..., 0] = np.inf if entries == INFINITE else np.nan
    return [whole[..., :2], whole[..., 2:]]


def apply_each(rule: Callable[[Tensors, float], Clipped], grads: Tensors, c: float) -> tuple[np.ndarray, np.ndarray]:
    """What a rule makes of each run, its entries end to end (runs, 3), and whether it raises there (runs)."""
    try:
        return np.concatenate(rule(grads, c)[0], -1), np.zeros(len(grads[0]), bool)
    except RuntimeError:
        if len(grads[0]) == 1:
            return np.concatenate(grads, -1), np.ones(1, bool)
        alone = [apply_each(rule, [tensor[k : k + 1] for tensor in grads], c) for k in range(len(grads[0]))]
        return np.concatenate([out for out, _ in alone]), np.concatenate([raised for _, raised in alone])


def fates_of(before: np.ndarray, after: np.ndarray, raised: np.ndarray) -> np.ndarray:
    """The places in LOOKS of what became of gradients (runs, 3): the first that holds."""
    with np.errstate(invalid="ignore"):
        missing, lost = np.isnan(after), (after == 0) & (before != 0)
        # PyTorch's 1e-6 and rounding change nothing that counts; nothing finite is close to ∞.
        slack = (8 * float(np.finfo(after.dtype).eps) + 2e-5) * np.where(np.isfinite(before), np.abs(before), 0)
        changed = (after != before) & ~(np.abs(after - before) <= slack)
    holds = {
        "an error": raised,
        "all NaN": missing.all(-1),
        "partly NaN": missing.any(-1),
        "all 0": lost.any(-1) & ~after.any(-1),
        "partly 0": lost.any(-1),
        "shortened": changed.any(-1),
        "as it came": np.ones(len(before), bool),
    }
    return np.select(list(holds.values()), [list(LOOKS).index(name) for name in holds])


@lru_cache(maxsize=256)
def all_fates(dtype: str, entries: str, c: float) -> np.ndarray:
    """What becomes of gradients of every power of POWERS under every rule, (rules, powers), as places in LOOKS."""
    grads = gradients(10.0**POWERS, dtype, entries)
    before = np.concatenate(grads, -1)
    return np.stack([fates_of(before, *apply_each(rule, grads, c)) for rule in RULES.values()])


def look_up(state: LibrariesState) -> LibrariesResult:
    c, grads = state.max_norm, gradients(np.array([10.0**state.power]), state.dtype, state.entries)
    before = np.concatenate(grads, -1)
    came_out = [apply_each(rule, grads, c) for rule in RULES.values()]
    computed = None if came_out[list(RULES).index(state.library)][1] else RULES[state.library](grads, c)[1]
    return LibrariesResult(
        state=state,
        fates=all_fates(state.dtype, state.entries, c),
        gradient=before[0],
        came_out=[out[0] for out, _ in came_out],
        now=[list(LOOKS)[fates_of(before, *came)[0]] for came in came_out],
        computed=None if computed is None else float(computed[0]),
    )


def number(value: float) -> str:
    """Two digits, short: 0.23, 2.3e−5, ∞, NaN."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    text = f"{float(f'{value:.2g}'):g}"
    return text.replace("e-0", "e-").replace("e+", "e").replace("-", "−")


def in_words(entries: np.ndarray) -> str:
    """The entries of both tensors, with a bar between the tensors."""
    one, two, three = map(number, map(float, entries))
    return f"{one}, {two} | {three}"


_SAYS = {
    "as it came": "it stays as it came",
    "shortened": "it is shortened",
    "partly 0": "one tensor becomes 0, and the other does not",
    "all 0": "all of it becomes 0, and nothing warns",
    "partly NaN": "some of it becomes or stays NaN",
    "all NaN": "all of it becomes NaN",
    "an error": "an error is raised, and nothing is clipped",
}


def read_libraries(result: LibrariesResult) -> str:
    """The live sentence of the libraries."""
    state, fate = result.state, result.now[result.row]
    became = "" if fate == "an error" else f": ({result.numbers[result.row]})"
    computed = "" if result.computed is None else f" The norm that it computes is {number(result.computed)}."
    tally = ", ".join(f"{result.now.count(name)} {name}" for name in LOOKS if name in result.now)
    return (
        f"{state.library}, {state.dtype}, c = {state.max_norm:g}: the gradient is ({in_words(result.gradient)}), and "
        f"{_SAYS[fate]}{became}.{computed} All {len(result.now)} rules: {tally}."
    )


def hold_gradient(state: LibrariesState, panel: str, x: float, y: float) -> LibrariesState:
    """The mouse moves the size along its axis, and from row to row."""
    names = list(RULES)
    power = clamp("power", LibrariesState, x)
    return replace(state, power=power, library=names[min(max(round(-y), 0), len(names) - 1)])


LIBRARIES = Demo(
    LibrariesState,
    look_up,
    PoliciesFigure,
    read_libraries,
    presets={
        "1e20": Preset(LibrariesState(), "A finite gradient and a finite c: how many rules shorten it to c?"),
        "half precision": Preset(LibrariesState(dtype="float16", power=1.5), "Where does each rule give up?"),
        "one infinity": Preset(LibrariesState(entries=INFINITE, power=0.0), "Which rules let you see where it was?"),
        "one NaN": Preset(LibrariesState(entries=NOT_A_NUMBER, power=0.0), "Does any rule here repair a NaN?"),
        "ordinary": Preset(LibrariesState(power=0.0), "Which two rows differ from the others, and why?"),
    },
    drag=hold_gradient,
)


# --- Predictions -------------------------------------------------------------------------------------------


def what_pytorch_makes_of_1e20() -> str:
    """Which option of the prediction comes out for two float32 entries of 1e20 at c = 1."""
    (clipped,), _ = pytorch_clip_grad_norm([np.array([1e20, 1e20], np.float32)], 1.0)
    if np.isnan(clipped).any():
        return "nan"
    return "zero" if not clipped.any() else "clipped" if np.allclose(clipped, 0.5**0.5) else "kept"


PREDICTIONS = {
    "1e20": Prediction(
        key="11.0",
        question="Two gradients of a model are 1e20, both finite float32 numbers. In PyTorch you call "
        "`clip_grad_norm_(parameters, max_norm=1.0)`. What are they afterwards?",
        truth=what_pytorch_makes_of_1e20,
        options={
            "clipped": "0.707 and 0.707: the same direction, with norm 1",
            "zero": "0 and 0",
            "nan": "NaN and NaN",
            "kept": "1e20 and 1e20, with a warning",
        },
        explain={
            "clipped": "So the equation says. But the norm is computed in float32 as well, and 1e20 squared is 1e40, "
            "above the largest float32, 3.4e38: the norm comes out infinite, and 1/∞ is 0.",
            "zero": "Yes. 1e20 squared does not fit float32, so the norm comes out infinite, and the factor 1/∞ is 0. "
            "No warning, no error: the step is silently left out.",
            "nan": "TensorFlow does that, on purpose, so that you notice. In PyTorch the factor is 1/∞ = 0, and 0 "
            "times a finite number is 0.",
            "kept": "There is no warning, unless you ask for an error by `error_if_nonfinite=True`. The norm comes out "
            "infinite, and the factor 1/∞ is 0.",
        },
        evidence=lambda: (
            "The norm that the stand-in computes is "
            + number(float(pytorch_clip_grad_norm([np.array([1e20, 1e20], np.float32)], 1.0)[1]))
            + f", and the largest float32 is {float(np.finfo(np.float32).max):.2g}."
        ),
    ),
} | loops11.NAMINGS


# --- Where each rule gives up ------------------------------------------------------------------------------


def gives_up(library: str, dtype: str) -> float:
    """The smallest norm of a gradient (3, 4 | 12)·s that a rule no longer clips at c = 1, to three digits.

    Infinite if it clips every gradient that fits the format.
    """
    largest = 0.99 * float(np.finfo(dtype).max)

    def clips(norm: float) -> bool:
        grads = gradients(np.array([norm / 13]), dtype, FINITE)
        before = np.concatenate(grads, -1)
        fate = fates_of(before, *apply_each(RULES[library], grads, 1.0))[0]
        return list(LOOKS)[fate] == "shortened"

    low, high = 10.0, largest
    if clips(high):
        return math.inf
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = (middle, high) if clips(middle) else (low, middle)
    return high


# --- A real network ----------------------------------------------------------------------------------------

LSTM_STEPS, LSTM_LAST = 120, 20
LSTM_RECORD = """\
Recorded with torch 2.13 on a CPU, seed 0. A blind guess among 45 characters has a loss of 3.81.

   η      c   loss at the end   largest norm   steps clipped
  10   none              0.71           0.44              0%
  10   0.25              0.76           0.51             81%
  30   none              3.94          12.36              0%
  30   0.25              1.11           0.84             61%

The loss at the end, from the best to the worst of 20 seeds:
  10   none      0.65 to 0.91
  10   0.25      0.71 to 0.81
  30   none       2.4 to 6.8
  30   0.25      1.03 to 1.33"""


def zen() -> str:
    """The Zen of Python (Tim Peters), which every Python holds, as text."""
    with redirect_stdout(io.StringIO()):
        import this
    return codecs.decode(this.s, "rot13")


def read_lstm(runs: dict[tuple[float, float], tuple[list[float], list[float]]]) -> str | None:
    """A table of runs, {(η, c): (losses, norms before clipping)}; None where there are none."""
    if not runs:
        return None
    lines = [f"{'η':>4s}{'c':>7s}{'loss at the end':>18s}{'largest norm':>15s}{'steps clipped':>16s}"]
    for (rate, c), (losses, norms) in runs.items():
        end, share = np.mean(losses[-LSTM_LAST:]), np.mean(np.array(norms) > c)
        limit = f"{c:g}" if c < np.inf else "none"
        lines.append(f"{rate:4g}{limit:>7s}{end:18.2f}{max(norms):15.2f}{share:16.0%}")
    return "\n".join(lines)


# --- Exercises ---------------------------------------------------------------------------------------------

Trained = tuple[np.ndarray, list[float]]  # the parameters at the end, and the norms as they were logged
Gradient = Callable[[np.ndarray, int], np.ndarray]


def train_a(gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        grad = clip_by_global_norm(grad, max_norm)
        params = params - learning_rate * grad
    return params, norms


def train_a_stub(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        params = params - learning_rate * grad
        norms.append(global_norm(grad))
        grad = clip_by_global_norm(grad, max_norm)
    return params, norms


def clips_the_step(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    def handle(grad: np.ndarray, c: float) -> tuple[np.ndarray, list[float]]:
        return clip_by_global_norm(learning_rate * grad, c) / learning_rate, [global_norm(grad)]

    return as_loop(handle)(gradient, params, learning_rate, max_norm, n_steps)


def clips_the_parameters(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        params = clip_by_global_norm(params - learning_rate * grad, max_norm)
    return params, norms


def takes_a_second_step(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    def handle(grad: np.ndarray, c: float) -> tuple[np.ndarray, list[float]]:
        return grad + clip_by_global_norm(grad, c), [global_norm(grad)]

    return as_loop(handle)(gradient, params, learning_rate, max_norm, n_steps)


Logged = tuple[np.ndarray, list[float]]


def logs_the_norm_after_clipping(grad: np.ndarray, c: float) -> Logged:
    clipped = clip_by_global_norm(grad, c)
    return clipped, [global_norm(clipped)]


def lengthens_short_gradients(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return grad * (c / norm if norm else 1.0), [norm]


def leaves_out_long_gradients(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return grad * (norm <= c), [norm]


def clamps_every_entry(grad: np.ndarray, c: float) -> Logged:
    return clip_by_value(grad, c), [global_norm(grad)]


def divides_by_the_norm_alone(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return grad / max(norm, 1.0), [norm]


def logs_only_what_is_clipped(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return clip_by_global_norm(grad, c), [norm] * (norm > c)


def train_b(
    scaled_gradient: Gradient,
    params: np.ndarray,
    learning_rate: float,
    max_norm: float,
    scale: float,
    n_steps: int,
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = scaled_gradient(params, step) / scale
        norms.append(global_norm(grad))
        grad = clip_by_global_norm(grad, max_norm)
        params = params - learning_rate * grad
    return params, norms


def train_b_stub(
    scaled_gradient: Gradient,
    params: np.ndarray,
    learning_rate: float,
    max_norm: float,
    scale: float,
    n_steps: int,
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = scaled_gradient(params, step)  # of scale times the loss
        norms.append(global_norm(grad))
        grad = clip_by_global_norm(grad, max_norm)
        params = params - learning_rate * grad / scale
    return params, norms


def unscales_twice(grad: np.ndarray, c: float, scale: float) -> Logged:
    return clip_by_global_norm(grad / scale, c) / scale, [global_norm(grad / scale)]


def never_unscales(grad: np.ndarray, c: float, scale: float) -> Logged:
    return clip_by_global_norm(grad, c), [global_norm(grad)]


def clips_right_and_logs_scaled_norms(grad: np.ndarray, c: float, scale: float) -> Logged:
    return clip_by_global_norm(grad, c * scale) / scale, [global_norm(grad)]


def unscales_only_the_log(grad: np.ndarray, c: float, scale: float) -> Logged:
    return clip_by_global_norm(grad, c) / scale, [global_norm(grad) / scale]


def takes_the_root_of_the_scale(grad: np.ndarray, c: float, scale: float) -> Logged:
    return clip_by_global_norm(grad / scale**0.5, c), [global_norm(grad / scale**0.5)]


def multiplies_by_the_scale(grad: np.ndarray, c: float, scale: float) -> Logged:
    return clip_by_global_norm(grad * scale, c), [global_norm(grad * scale)]


def unscales_without_clipping(grad: np.ndarray, c: float, scale: float) -> Logged:
    return grad / scale, [global_norm(grad / scale)]


def train_c(
    micro_gradients: Callable[[np.ndarray, int], list[np.ndarray]],
    params: np.ndarray,
    learning_rate: float,
    max_norm: float,
    n_steps: int,
) -> Trained:
    norms = []
    for step in range(n_steps):
        total = np.zeros_like(params)
        for grad in micro_gradients(params, step):
            total = total + grad
        norms.append(global_norm(total))
        total = clip_by_global_norm(total, max_norm)
        params = params - learning_rate * total
    return params, norms


def train_c_stub(
    micro_gradients: Callable[[np.ndarray, int], list[np.ndarray]],
    params: np.ndarray,
    learning_rate: float,
    max_norm: float,
    n_steps: int,
) -> Trained:
    norms = []
    for step in range(n_steps):
        total = np.zeros_like(params)
        for grad in micro_gradients(params, step):  # of losses divided by their number
            total = total + grad
            norms.append(global_norm(total))
            total = clip_by_global_norm(total, max_norm)
        params = params - learning_rate * total
    return params, norms


Micro = list[np.ndarray]


def clips_each_micro_gradient(micro: Micro, c: float) -> Logged:
    return sum(clip_by_global_norm(grad, c) for grad in micro), [global_norm(sum(micro))]


def clips_each_micro_gradient_and_the_sum(micro: Micro, c: float) -> Logged:
    total = sum(clip_by_global_norm(grad, c) for grad in micro)
    return clip_by_global_norm(total, c), [global_norm(total)]


def gives_each_its_share_of_c(micro: Micro, c: float) -> Logged:
    return sum(clip_by_global_norm(grad, c / len(micro)) for grad in micro), [global_norm(sum(micro))]


def logs_every_partial_sum(micro: Micro, c: float) -> Logged:
    partial = np.cumsum(micro, axis=0)
    return clip_by_global_norm(partial[-1], c), [global_norm(total) for total in partial]


def divides_a_second_time(micro: Micro, c: float) -> Logged:
    mean = sum(micro) / len(micro)
    return clip_by_global_norm(mean, c), [global_norm(mean)]


def keeps_only_the_last(micro: Micro, c: float) -> Logged:
    return clip_by_global_norm(micro[-1], c), [global_norm(micro[-1])]


def adds_the_norms(micro: Micro, c: float) -> Logged:
    norm = sum(global_norm(grad) for grad in micro)
    return sum(micro) * (c / max(norm, c)), [norm]


def forgets_to_clip_the_sum(micro: Micro, c: float) -> Logged:
    return sum(micro), [global_norm(sum(micro))]


def clips_all_but_the_last(micro: Micro, c: float) -> Logged:
    total = clip_by_global_norm(sum(micro[:-1]), c) if len(micro) > 1 else 0.0
    return total + micro[-1], [global_norm(total + micro[-1])]


def logs_the_sum_after_clipping(micro: Micro, c: float) -> Logged:
    return logs_the_norm_after_clipping(sum(micro), c)


def forgets_to_start_anew(
    micro_gradients: Callable[[np.ndarray, int], list[np.ndarray]],
    params: np.ndarray,
    learning_rate: float,
    max_norm: float,
    n_steps: int,
) -> Trained:
    norms, total = [], np.zeros_like(params)
    for step in range(n_steps):
        for grad in micro_gradients(params, step):
            total = total + grad
        norms.append(global_norm(total))
        total = clip_by_global_norm(total, max_norm)
        params = params - learning_rate * total
    return params, norms


def scaled_bowl(params: np.ndarray, step: int) -> np.ndarray:
    """A thousand times the gradient of ½‖θ‖²."""
    return 1000.0 * params


def scaled_valley(params: np.ndarray, step: int) -> np.ndarray:
    """65,536 times the gradient of a valley."""
    return 65536.0 * valley(params, step)


def two_and_two(params: np.ndarray, step: int) -> list[np.ndarray]:
    """[2, 0], then [0, 2], wherever one is."""
    return [np.array([2.0, 0.0]), np.array([0.0, 2.0])]


def four_pulls(params: np.ndarray, step: int) -> list[np.ndarray]:
    """A quarter of the pull to each of four corners, one after the other."""
    return [(params - np.array(corner)) / 4 for corner in ((9.0, 9.0), (9.0, -1.0), (-9.0, 1.0), (-9.0, -9.0))]


def one_alone(params: np.ndarray, step: int) -> list[np.ndarray]:
    """A single micro-batch: the gradient of ½‖θ‖²."""
    return [1.0 * params]


def halves(params: np.ndarray, step: int) -> list[np.ndarray]:
    """Two halves of the gradient of ½‖θ‖², which point the same way."""
    return [params / 2, params / 2]


_THERE = np.array([3.0, 4.0])

EXERCISES = {
    "train_a": Exercise(
        key="11.1",
        title="Mend: log sheet A",
        solution=train_a,
        stub=train_a_stub,
        probes=(
            Probe((bowl, _THERE, 0.5, 1.0, 1), "one step from a norm of 5, c = 1"),
            Probe((bowl, _THERE, 0.5, 10.0, 3), "c above every norm"),
            Probe((bowl, _THERE, 0.5, 2.0, 4), "four steps, c = 2"),
            Probe((bowl_with_a_spike, np.array([0.6, 0.8]), 0.1, 1.0, 3), "a spike in the second step"),
            Probe((valley, np.array([1.0, -2.0, 0.5]), 0.2, 0.7, 6), "three parameters in a valley"),
            Probe((nothing, _THERE, 0.5, 1.0, 2), "no gradient"),
            Probe((bowl, _THERE, 0.5, np.inf, 2), "c = ∞"),
        ),
        misconceptions=(
            Misconception(
                as_loop(logs_the_norm_after_clipping),
                "The steps are right. But the norm is logged after clipping: it never exceeds c, and the log no longer "
                "tells how often and how much is clipped.",
            ),
            Misconception(
                clips_the_step,
                "That clips the step η·g to length c. The threshold is for the gradient: a clipped step is ηc long.",
            ),
            Misconception(
                clips_the_parameters,
                "That clips the *parameters*. They may be as far from 0 as they like; the gradient is what is clipped.",
            ),
            Misconception(
                takes_a_second_step,
                "Now there are two steps, one with the raw gradient and one with the clipped one. Move the line that "
                "clips, and leave one step.",
            ),
            Misconception(
                as_loop(lengthens_short_gradients),
                "Every gradient gets norm c, short ones too. Clipping multiplies by min(1, c/n).",
            ),
            Misconception(
                as_loop(leaves_out_long_gradients),
                "A gradient above c is left out altogether. It should be shortened to c.",
            ),
            Misconception(
                as_loop(clamps_every_entry), "That clips by value, each entry for itself, and turns the step."
            ),
            Misconception(
                as_loop(divides_by_the_norm_alone),
                "Long gradients come out with norm 1, whatever c is. It is c/n that multiplies.",
            ),
            Misconception(
                as_loop(logs_only_what_is_clipped),
                "The steps are right, and the log has holes: write the norm of every step, or no share of clipped "
                "steps can be read from it.",
            ),
        ),
        hints=(
            "Which gradient does the line with the step use: the one that came from the model, or the clipped one?",
            "An optimiser that has taken its step has used the gradient. What changes the gradient belongs before it.",
            "Move `params = params - learning_rate * grad` to the end of the loop.",
        ),
        explanation="backward, clip, step: the optimiser must meet the clipped gradient. Nothing fails loudly if the "
        "two are exchanged: the next call of backward overwrites what was clipped. awslabs/graphstorm 1366 was such "
        "a loop, in five trainers; jongwook/onsets-and-frames 24 another, where norms lay below c anyway; a "
        "development version of PyTorch Lightning a third (10248).",
    ),
    "train_b": Exercise(
        key="11.2",
        title="Mend: log sheet B",
        solution=train_b,
        stub=train_b_stub,
        probes=(
            Probe((scaled_bowl, _THERE, 0.5, 1.0, 1000.0, 1), "one step, c = 1, scale 1000"),
            Probe((scaled_bowl, _THERE, 0.5, 10.0, 1000.0, 3), "nothing to clip once unscaled"),
            Probe((scaled_bowl, _THERE, 0.5, 2.0, 1000.0, 4), "four steps, c = 2"),
            Probe((scaled_valley, np.array([1.0, -2.0, 0.5]), 0.2, 0.7, 65536.0, 6), "a valley, scale 65,536"),
            Probe((bowl, _THERE, 0.5, 1.0, 1.0, 2), "scale 1"),
            Probe((nothing, _THERE, 0.5, 1.0, 1000.0, 2), "no gradient"),
        ),
        misconceptions=(
            Misconception(
                as_loop(unscales_twice),
                "Unscaled before the clip, and divided by the scale once more in the step: one of the two is too many. "
                "(PyTorch's scaler remembers that `unscale_` was called, and does not divide again.)",
            ),
            Misconception(
                as_loop(never_unscales),
                "The division is gone, and the gradient is still that of the scaled loss. Divide, before you clip.",
            ),
            Misconception(
                as_loop(clips_right_and_logs_scaled_norms),
                "The steps are right. But the log still holds the norms of the scaled loss, which jump whenever the "
                "scaler changes its scale. Divide before anything else looks at the gradient.",
            ),
            Misconception(
                as_loop(unscales_only_the_log),
                "Now the log is right and the steps are as short as before: what is clipped must be unscaled too.",
            ),
            Misconception(
                as_loop(takes_the_root_of_the_scale), "A gradient is proportional to its loss: divide by scale itself."
            ),
            Misconception(as_loop(multiplies_by_the_scale), "The gradient is scaled already: divide by the scale."),
            Misconception(as_loop(unscales_without_clipping), "Unscaled, and no longer clipped: clip after unscaling."),
        ),
        hints=(
            "For which gradient is c meant: that of the loss, or that of 65,536 times the loss?",
            "Divide by the scale before anything looks at the gradient, and only once.",
            "`grad = scaled_gradient(params, step) / scale`, and no division in the step.",
        ),
        explanation="Scale the loss, all backward passes, unscale, clip, step: in PyTorch "
        "`scaler.unscale_(optimizer)` stands before `clip_grad_norm_`. Clipped first, every gradient is longer than "
        "c, and SGD steps by ηc/65,536. Adam hides it, since it divides the size out again. milesial/Pytorch-UNet "
        "468 and pytorch/examples 1196 are such loops; in NVIDIA/apex 1512 an optimiser mixed the two up inside.",
    ),
    "train_c": Exercise(
        key="11.3",
        title="Mend: log sheet C",
        solution=train_c,
        stub=train_c_stub,
        probes=(
            Probe((two_and_two, np.zeros(2), 1.0, 1.0, 1), "[2, 0], then [0, 2], c = 1"),
            Probe((two_and_two, np.zeros(2), 1.0, 10.0, 2), "nothing to clip"),
            Probe((four_pulls, np.array([6.0, -3.0]), 0.5, 1.0, 5), "four micro-batches that pull apart"),
            Probe((four_pulls, np.array([0.1, 0.2]), 0.5, 0.3, 4), "near the minimum, where they cancel"),
            Probe((one_alone, _THERE, 0.5, 1.0, 2), "a single micro-batch"),
            Probe((halves, _THERE, 0.5, 2.0, 4), "two halves that agree"),
        ),
        misconceptions=(
            Misconception(
                as_loop(clips_each_micro_gradient),
                "Each micro-batch's gradient is clipped by itself, and their sum by nobody: it may be longer than c, "
                "and it turns.",
            ),
            Misconception(
                as_loop(clips_each_micro_gradient_and_the_sum),
                "The sum is clipped, and the parts still are, each by itself: that has turned the sum before. Leave "
                "the parts alone.",
            ),
            Misconception(
                as_loop(gives_each_its_share_of_c),
                "A share c/k for each part keeps the sum below c, and turns it: long parts lose more than short ones.",
            ),
            Misconception(
                as_loop(logs_every_partial_sum),
                "The steps are right. The log still gets a norm for each micro-batch, of sums that are not whole yet: "
                "one norm a step, of the whole sum.",
            ),
            Misconception(
                as_loop(divides_a_second_time),
                "Divided by the number of micro-batches, although their losses are divided already: add them.",
            ),
            Misconception(
                as_loop(keeps_only_the_last), "Each micro-batch replaces the one before. They should be added."
            ),
            Misconception(
                as_loop(adds_the_norms),
                "Norms of parts do not add: the parts point different ways and may cancel. Take the norm of the sum.",
            ),
            Misconception(as_loop(forgets_to_clip_the_sum), "The sum is right. Now clip it, once."),
            Misconception(
                as_loop(clips_all_but_the_last),
                "Clipped before the last micro-batch is added, and not after it: clip once, behind the inner loop.",
            ),
            Misconception(
                as_loop(logs_the_sum_after_clipping),
                "The steps are right; the norm is logged after clipping, where it never exceeds c.",
            ),
            Misconception(
                forgets_to_start_anew,
                "The sum of the step before is still in `total` when the next begins: it starts at zero in every step.",
            ),
        ),
        hints=(
            "Which gradient would one large batch have had? What has been done to the first micro-batch by the time "
            "the last is added?",
            "Nothing may be clipped before the sum is whole.",
            "Move the two lines that log and clip out of the inner loop: one level to the left.",
        ),
        explanation="[2, 0] and then [0, 2] at c = 1: the first becomes [1, 0], the sum [1, 2] becomes [0.447, "
        "0.894]; it should be [0.707, 0.707]. These are the numbers of huggingface/transformers 986, about the BERT "
        "examples of the time; 1563 says it again, and there it was mended.",
    ),
} | side_trips11.EXERCISES

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "11",
    (
        Question(
            "The trainer's dashboard shows grad_norm at 3 to 12, and max_grad_norm is 1.0. What is wrong?",
            (
                Option(
                    "Clipping does not work: the norm should never exceed 1",
                    "So thought the users of verl 2282 and LLaMA-Factory 3996. What is logged is the norm that "
                    "clip_grad_norm_ returns, and that is the norm before clipping.",
                ),
                Option(
                    "Nothing: that is the norm before clipping",
                    "Yes. And it is the number to log: the clipped norm would be 1 nearly everywhere. What it does "
                    "say: every step shown is clipped.",
                    right=True,
                ),
                Option(
                    "The clip comes after the step",
                    "It may, and this number cannot tell: the norm before clipping is the same either way. Look at how "
                    "far the parameters moved.",
                ),
                Option(
                    "The loss must have been scaled",
                    "Then the norms would be tens of thousands of times too large, not a few times.",
                ),
            ),
        ),
        Question(
            "A model of 100 tensors is ported from PyTorch to Keras, and clip_grad_norm_(parameters, 1.0) becomes "
            "clipnorm=1.0. How long can a step of plain SGD be now?",
            (
                Option(
                    "η, as before",
                    "In PyTorch one norm is taken of all tensors. Keras' clipnorm takes one of each.",
                ),
                Option(
                    "100 η: one for each tensor",
                    "Lengths at right angles add as squares: √100, not 100.",
                ),
                Option(
                    "10 η, and it may turn",
                    "Yes: each of 100 tensors may have norm 1, and √100 = 10. The same as before is "
                    "global_clipnorm=1.0.",
                    right=True,
                ),
            ),
        ),
        Question(
            "In TensorFlow the weights are NaN from one step to the next. The loss was finite, the gradient too, and "
            "tf.clip_by_global_norm was on. Can clipping have done it?",
            (
                Option(
                    "Yes: a norm too large for its number format makes every entry NaN",
                    "Yes. Entries above 256 in float16, or 1.8e19 in float32, have squares that do not fit. "
                    "TensorFlow then returns NaN on purpose, so that it is noticed.",
                    right=True,
                ),
                Option(
                    "No: clipping never makes a finite gradient NaN",
                    "The equation does not. Its arithmetic can, where the squares do not fit the number format.",
                ),
                Option(
                    "No: a norm that is too large makes the gradient 0",
                    "In PyTorch and optax it does. TensorFlow and Keras' global_clipnorm make NaN of it.",
                ),
            ),
        ),
        Question(
            "Four workers each clip their own gradient at c = 1, and then the gradients are averaged. Is that clipping "
            "by the global norm?",
            (
                Option(
                    "Yes: the average of vectors of norm 1 has norm 1",
                    "At most 1, so no step is too long. But a worker with a long gradient is cut more than the "
                    "others, and the average turns.",
                ),
                Option(
                    "Yes, if all workers use the same c",
                    "The same c, and different factors: each has a norm of its own.",
                ),
                Option(
                    "No: first the average, then one clip",
                    "Yes. Lesson 09 has the numbers. TensorFlow once refused clipnorm with several workers, because "
                    "it would have clipped before the sum (tensorflow 33929).",
                    right=True,
                ),
                Option(
                    "No: c must be 4 for four workers",
                    "No other c keeps the direction, as long as each worker clips by itself.",
                ),
            ),
        ),
        Question(
            "The model is trained and answers questions. Should its server clip too?",
            (
                Option(
                    "Yes, with the same c: training and use must agree",
                    "c changes no prediction: at frozen weights it stands in no formula. Lesson 01 has shown it.",
                ),
                Option(
                    "Yes, against inputs that are too large",
                    "That would be a clip of inputs or activations, another thing altogether.",
                ),
                Option(
                    "No: where nothing learns there is no gradient to clip",
                    "Yes. Clipping shortens steps of the parameters, and here they stand still.",
                    right=True,
                ),
            ),
        ),
    ),
)

LESSON = Lesson(
    "11",
    "In the wild",
    {"libraries": LIBRARIES, "sheets": SHEETS, "scaling": SCALING, "more sheets": MORE_SHEETS},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
