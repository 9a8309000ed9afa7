"""Lesson 11: training loops that clip in a wrong way, one that does not, and the log sheets that they leave.

All loops train one small model: twelve parameters in four tensors, four micro-batches a step. They differ in what they
do with the micro-batches' gradients, and so each is one function (micro, c) -> (what the optimiser gets, what the log
gets).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gclip_lessons.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, global_norm
from gclip_lessons.exercises import Prediction
from gclip_lessons.figures.log_sheet import LogSheetFigure
from gclip_lessons.figures.parts import power_of_ten
from gclip_lessons.lessons import Demo, Preset, State, clamp, control, controls_of
from gclip_lessons.training import angle_between

# --- The model that all of them train ---------------------------------------------------------------------

N_STEPS, N_MICRO, N_PARAMS = 200, 4, 12
TENSORS = tuple(slice(k, k + 3) for k in range(0, N_PARAMS, 3))
WORKERS = slice(0, 6), slice(6, 12)  # each holds one half of the parameters
LEARNING_RATE, SCALE = 0.2, 65536.0  # SCALE is what PyTorch's GradScaler starts with
BAD = {60: 1, 105: 2, 160: 0}  # step: the micro-batch whose noise is 400 times as large
OVERFLOW = 120  # in one case, the step at which one entry of one gradient is infinite

_rng = np.random.default_rng(11)
CURVATURE = np.repeat([1.0, 0.7, 0.5, 0.4], 3)
START = np.repeat([8.0, 3.2, 1.6, 0.8], 3) * np.tile([1, -1, 1], 4) / math.sqrt(3)
_pull = _rng.normal(size=N_PARAMS)
# The data come sorted: the first two micro-batches have their minimum on one side, the last two on the other.
CENTRES = np.outer([1, 1, -1, -1], 6 * _pull / np.linalg.norm(_pull))
NOISE = _rng.normal(0, 0.15, (N_STEPS, N_MICRO, N_PARAMS))
for _step, _micro in BAD.items():
    NOISE[_step, _micro] *= 400


def loss(params: np.ndarray) -> np.ndarray:
    """The mean over the micro-batches of ½Σa(θ − centre)², (*runs), at `params` (*runs, 12)."""
    return 0.5 * (CURVATURE * (params[..., None, :] - CENTRES) ** 2).sum(-1).mean(-1)


def micro_gradients(params: np.ndarray, step: int, overflow: bool = False) -> np.ndarray:
    """The gradients of the four micro-batches of a step, (*runs, 4, 12), noise included."""
    micro = CURVATURE * (params[..., None, :] - CENTRES) + NOISE[step]
    if overflow and step == OVERFLOW:
        micro[..., 2, 4] = np.inf
    return micro


# --- The loops ---------------------------------------------------------------------------------------------

Handled = tuple[np.ndarray, np.ndarray]  # what the optimiser gets (*runs, 12), what the log gets (*runs, norms a step)


def _logged(grad: np.ndarray) -> np.ndarray:
    return global_norm(grad)[..., None]


def sound(micro: np.ndarray, c: np.ndarray) -> Handled:
    """The mean, clipped by its norm; a gradient that is not finite is skipped."""
    grad = micro.mean(-2)
    return clip_by_global_norm(grad, c, nonfinite="zero"), _logged(grad)


def clips_after_the_step(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = micro.mean(-2)
    return grad, _logged(grad)


def clips_before_unscaling(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = SCALE * micro.mean(-2)
    return clip_by_global_norm(grad, c) / SCALE, _logged(grad)


def clips_every_micro_batch(micro: np.ndarray, c: np.ndarray) -> Handled:
    total, norms = np.zeros_like(micro[..., 0, :]), []
    for k in range(N_MICRO):
        total = total + micro[..., k, :] / N_MICRO
        norms.append(global_norm(total))
        total = clip_by_global_norm(total, c)
    return total, np.stack(norms, -1)


def clips_each_tensor(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = micro.mean(-2)
    return clip_by_norm(grad, c, blocks=TENSORS), _logged(grad)


def lets_infinity_in(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = micro.mean(-2)
    return clip_by_global_norm(grad, c), _logged(grad)


def clips_each_worker(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = micro.mean(-2)
    return clip_by_norm(grad, c, blocks=WORKERS), _logged(grad[..., WORKERS[0]])


def clips_twice(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = micro.mean(-2)
    return clip_by_global_norm(clip_by_norm(grad, c, blocks=TENSORS), c), _logged(grad)


def clips_each_entry(micro: np.ndarray, c: np.ndarray) -> Handled:
    grad = micro.mean(-2)
    return clip_by_value(grad, c), _logged(grad)


LOOPS: dict[str, Callable[[np.ndarray, np.ndarray], Handled]] = {
    "sound": sound,
    "after": clips_after_the_step,
    "scaled": clips_before_unscaling,
    "micro": clips_every_micro_batch,
    "tensor": clips_each_tensor,
    "infinity": lets_infinity_in,
    "worker": clips_each_worker,
    "twice": clips_twice,
    "entry": clips_each_entry,
}
CASES = {
    "A": "after",
    "B": "scaled",
    "C": "micro",
    "D": "tensor",
    "E": "infinity",
    "F": "worker",
    "G": "twice",
    "H": "entry",
    "a worried user": "sound",
}


@dataclass(frozen=True, eq=False)
class Logs:
    """What a loop leaves, for R thresholds: `loss` (steps+1, R), `norms` (steps, R, norms a step) as it logged them,
    `lengths` (steps, R) of its steps divided by η, and `turns` (steps, R), their angles to the gradient in degrees.
    """

    loss: np.ndarray
    norms: np.ndarray
    lengths: np.ndarray
    turns: np.ndarray


@lru_cache(maxsize=64)
def leave(loop: str, thresholds: tuple[float, ...], overflow: bool = False) -> Logs:
    """Train by a loop with each of the thresholds, inf among them."""
    handle, c = LOOPS[loop], np.array(thresholds)
    params = np.tile(START, (len(c), 1))
    losses, norms, lengths, turns = [loss(params)], [], [], []
    with np.errstate(all="ignore"):
        for step in range(N_STEPS):
            micro = micro_gradients(params, step, overflow)
            used, logged = handle(micro, c)
            params = params - LEARNING_RATE * used
            losses.append(loss(params))
            norms.append(logged)
            lengths.append(global_norm(used))
            turns.append(angle_between(micro.mean(-2), used))
    return Logs(*map(np.stack, (losses, norms, lengths, turns)))


# --- The log sheets ----------------------------------------------------------------------------------------


def _case_control(cases: str) -> str:
    names = tuple(name for name in CASES if name in cases or (len(name) > 1 and "A" in cases))
    return control(names[0], label="log sheet", choices=names)


@dataclass(frozen=True)
class CaseState(State):
    case: str = _case_control("ABC")
    max_norm: float = control(1.0, label="threshold c", log=(0.01, 1e6), n_stops=81)


@dataclass(frozen=True)
class MoreState(State):
    case: str = _case_control("DEFGH")
    max_norm: float = control(1.0, label="threshold c", log=(0.01, 1e6), n_stops=81)


@dataclass(frozen=True, eq=False)
class SheetResult:
    """One log sheet: `loss` and, with clipping off, `loss_off` (steps+1), `norms` (steps, norms a step), `lengths`
    (steps) of the steps over η, and the largest of their `turns`, in degrees.
    """

    state: CaseState | MoreState
    loss: np.ndarray
    loss_off: np.ndarray
    norms: np.ndarray
    lengths: np.ndarray
    turn: float

    @property
    def times(self) -> np.ndarray:
        """When each norm was logged: several within one step stand between two whole numbers."""
        steps, per_step = self.norms.shape
        return np.arange(steps)[:, None] + np.arange(per_step) / per_step


def read_sheet_of(state: CaseState | MoreState) -> SheetResult:
    """The log sheet of a case: stops of the slider are trained in one batch, other thresholds when asked for."""
    stops, overflow = controls_of(CaseState)["max_norm"].values, state.case == "E"
    if state.max_norm in stops:
        logs, k = leave(CASES[state.case], (*stops, math.inf), overflow), stops.index(state.max_norm)
    else:
        logs, k = leave(CASES[state.case], (state.max_norm, math.inf), overflow), 0
    turns = logs.turns[:, k]
    turn = float(np.max(turns, initial=0.0, where=np.isfinite(turns)))
    return SheetResult(state, logs.loss[:, k], logs.loss[:, -1], logs.norms[:, k], logs.lengths[:, k], turn)


def read_sheet(result: SheetResult) -> str:
    """The live sentence of a log sheet."""
    case, c, norms, lengths = result.state.case, result.state.max_norm, result.norms, result.lengths
    finite, gone = norms[np.isfinite(norms)], np.flatnonzero(~np.isfinite(result.loss))
    end = (
        f"from step {gone[0]} on the loss is no number"
        if gone.size
        else f"after {N_STEPS} steps the loss is {result.loss[-1]:.3g}, with clipping off {result.loss_off[-1]:.3g}"
    )
    share = f"{100 * np.mean(finite > c):.0f}% of them above c = {c:g}"
    then = "" if finite.size == norms.size else "; then one that is ∞, and then no numbers"
    longest = float(np.max(lengths, initial=0.0, where=np.isfinite(lengths)))
    turned = f"steps turned from the gradient by up to {result.turn:.0f}°"
    if result.turn < 0.5:
        turned = "no step turned from its gradient"
    return (
        f"Log sheet {'of ' * (len(case) > 1)}{case}: {end}. {finite.size} norms were logged, the largest "
        f"{plain(finite.max())}, {share}{then}. The longest step was η times {plain(longest)}, which is "
        f"{plain(longest / c)} times ηc, and {turned}."
    )


def plain(value: float) -> str:
    if value == 0 or 1e-3 <= value < 1e5:
        return f"{float(f'{value:.3g}'):,g}"
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}·{power_of_ten(10.0 ** int(power))}"


def hold_threshold(state: CaseState | MoreState, panel: str, x: float, y: float) -> CaseState | MoreState:
    """The mouse moves the threshold over the norms."""
    return replace(state, max_norm=clamp("max_norm", CaseState, y)) if panel == "norms" else state


SHEETS = Demo(
    CaseState,
    read_sheet_of,
    LogSheetFigure,
    read_sheet,
    presets={
        "a worried user": Preset(CaseState(case="a worried user"), "The log shows norms above c: is clipping broken?"),
        "sheet A": Preset(CaseState(case="A"), "What do the steps do when you move c?"),
        "sheet B": Preset(CaseState(case="B"), "Why does the loss stand still, and at which c would it move?"),
        "sheet C": Preset(CaseState(case="C"), "Why is it worse off than with clipping off?"),
    },
    drag=hold_threshold,
)
MORE_SHEETS = Demo(
    MoreState,
    read_sheet_of,
    LogSheetFigure,
    read_sheet,
    presets={
        "sheet D": Preset(MoreState(case="D"), "How many times c is the longest step?"),
        "sheet E": Preset(MoreState(case="E"), "What came first, the loss or the norm?"),
        "sheet F": Preset(MoreState(case="F"), "Raise c until nothing is clipped: do log and steps agree?"),
        "sheet G": Preset(MoreState(case="G"), "No step is too long: is anything wrong?"),
        "sheet H": Preset(MoreState(case="H"), "How many times c is the longest step here?"),
    },
    drag=hold_threshold,
)


# --- Naming the bug ----------------------------------------------------------------------------------------

TELLS = {
    "sound": "A sound loop steps by η times the smaller of norm and c, and never turns.",
    "after": "A clip after the step leaves steps as long as the gradients, and moving c changes nothing at all.",
    "scaled": "Clipped before it is unscaled, a gradient is 65,536 times too large for c: every step is clipped, to "
    "ηc/65,536, and the log shows the scaled norms.",
    "micro": "Clipping the sum after every micro-batch logs several norms a step; no step is too long, but the first "
    "micro-batches are cut again and again, and the last counts most: steps turn.",
    "tensor": "With each tensor clipped by itself, four tensors can step by up to √4 = 2 times ηc, turned. With a "
    "large c, steps and log agree.",
    "worker": "With each of two workers clipping its own half, steps reach √2 times ηc, turned; and one worker's norm "
    "in the log is smaller than the step even where nothing is clipped.",
    "twice": "Clipped twice, first each tensor, then all, no step is too long, and one norm a step is logged; but the "
    "first clip has turned it.",
    "entry": "With each entry clipped by itself, twelve entries can step by up to √12 = 3.5 times ηc, turned.",
    "infinity": "An infinite norm makes the factor c/n zero: finite entries become 0, and infinite ones ∞·0, which is "
    "NaN. One such step, and the parameters are NaN for ever.",
    "rate": "η is the same with clipping off. A bad η shows there as well.",
    "small": "Too small a c makes short steps, η times c, and turns none of them.",
}
NAMES = {
    "sound": "nothing is wrong: that is how clipping looks",
    "after": "it clips after the step",
    "scaled": "it clips gradients of the scaled loss, before they are unscaled",
    "micro": "it clips the sum again after every micro-batch",
    "tensor": "it clips each tensor by its own norm",
    "worker": "each worker clips its part by the norm of that part",
    "twice": "it clips twice, each tensor and then all together",
    "entry": "it clips each entry by itself",
    "infinity": "it takes a step although the norm is infinite",
    "rate": "the learning rate does not suit the model",
    "small": "c is too small",
}
_CHOICES = {
    "A": ("scaled", "tensor", "after", "sound"),
    "B": ("rate", "scaled", "after", "small"),
    "C": ("small", "twice", "sound", "micro"),
    "D": ("tensor", "after", "worker", "entry"),
    "E": ("rate", "after", "infinity", "scaled"),
    "F": ("tensor", "worker", "after", "sound"),
    "G": ("sound", "micro", "small", "twice"),
    "H": ("tensor", "entry", "after", "worker"),
}


@lru_cache
def name_the_bug(case: str) -> str:
    """The one loop that leaves this very log, of all of them, at each of three thresholds."""
    overflow, thresholds = case == "E", (0.3, 1.0, 10.0)
    sheet = leave(CASES[case], thresholds, overflow)
    alike = [
        name
        for name in LOOPS
        for logs in [leave(name, thresholds, overflow)]
        if logs.norms.shape == sheet.norms.shape
        and np.array_equal(logs.norms, sheet.norms, equal_nan=True)
        and np.array_equal(logs.lengths, sheet.lengths, equal_nan=True)
    ]
    if len(alike) != 1:
        raise ValueError(f"case must leave a log that one loop leaves; {case!r} has {alike}")
    return alike[0]


def _naming(case: str) -> Prediction:
    options = _CHOICES[case]
    right = CASES[case]
    demo = CaseState if case in "ABC" else MoreState
    return Prediction(
        key=f"11.{case.lower()}",
        question=f"Log sheet {case}. Which loop leaves such a log? Move c before you answer.",
        truth=lambda: name_the_bug(case),
        options={name: NAMES[name] for name in options},
        explain={name: f"Yes. {TELLS[name]}" if name == right else TELLS[name] for name in options},
        evidence=lambda: read_sheet(read_sheet_of(demo(case=case))),
    )


NAMINGS = {f"sheet {case}": _naming(case) for case in _CHOICES}


# --- All tells in one table --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tell:
    """What gives a loop away at a threshold: `norms` logged a step, the `longest` step over ηc, the largest `turn` in
    degrees, the longest step over η and the norm logged for it with clipping off (`ratio`), and the losses at the end.
    """

    norms: int
    longest: float
    turn: float
    ratio: float
    loss: float
    loss_off: float


def tell(loop: str, c: float = 1.0) -> Tell:
    """Put the questions to the log of a loop."""
    logs = leave(loop, (c, math.inf))
    return Tell(
        norms=logs.norms.shape[-1],
        longest=float(logs.lengths[:, 0].max() / c),
        turn=float(logs.turns[:, 0].max()),
        ratio=float((logs.lengths[:, 1] / logs.norms[:, 1, -1]).max()),
        loss=float(logs.loss[-1, 0]),
        loss_off=float(logs.loss[-1, 1]),
    )


# --- Gradients to try a mended loop on ---------------------------------------------------------------------


def bowl(params: np.ndarray, step: int) -> np.ndarray:
    """The gradient of ½‖θ‖²."""
    return 1.0 * params


def bowl_with_a_spike(params: np.ndarray, step: int) -> np.ndarray:
    """The same, a hundred times as long in step 1."""
    return params * (100.0 if step == 1 else 1.0)


def valley(params: np.ndarray, step: int) -> np.ndarray:
    """The gradient of a bowl with curvatures 1, 2, 3, …"""
    return params * np.arange(1.0, params.size + 1)


def nothing(params: np.ndarray, step: int) -> np.ndarray:
    """No gradient at all."""
    return 0.0 * params


def as_loop(handle: Callable[..., tuple[Any, list[float]]]) -> Callable[..., tuple[Any, list[float]]]:
    """The training loop around `handle`, which says what is done with each gradient and bears the loop's name.

    `handle(gradient, max_norm, *settings)` returns what the optimiser gets, an array or a list of tensors like the
    parameters, and what is logged. The loop is called (gradient, params, learning_rate, max_norm, *settings, n_steps)
    and returns the parameters at the end and all that was logged.
    """

    def train(gradient: Any, params: Any, learning_rate: float, max_norm: float, *rest: Any) -> tuple[Any, list[float]]:
        *settings, n_steps = rest
        norms: list[float] = []
        for step in range(n_steps):
            used, logged = handle(gradient(params, step), max_norm, *settings)
            norms += logged
            if isinstance(params, list):
                params = [tensor - learning_rate * grad for tensor, grad in zip(params, used, strict=True)]
            else:
                params = params - learning_rate * used
        return params, norms

    train.__name__ = handle.__name__
    return train
