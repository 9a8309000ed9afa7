"""Lesson 01, one update and two knobs: η, c, what they share, and the article's program mended."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm, ClipByValue
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.floor import FloorFigure
from gclip_lessons.figures.program import ProgramFigure
from gclip_lessons.figures.twins import TwinsFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, control, controls_of, moves
from gclip_lessons.models import Quadratic
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import sweep, train

# --- Two runs that share ηc -------------------------------------------------------------------------------------------

BOWL = Quadratic.diagonal(np.array([1.0, 4.0]))
TWIN_STEPS = 60
ONE = 1e-9  # two paths that stay nearer than this are one path, up to rounding


@dataclass(frozen=True)
class TwinsState(State):
    learning_rate: float = control(0.1, label="learning rate η of A", log=(0.01, 1))
    max_norm: float = control(0.5, label="threshold c of A", log=(0.01, 100))
    ratio: float = control(4.0, label="r: B has rη and c/r", log=(0.1, 10))
    x: float = control(-3.5, label="start x", linear=(-4, 4), n_stops=161)
    y: float = control(2.5, label="start y", linear=(-4, 4), n_stops=161)
    step: int = control(TWIN_STEPS, label="step", whole=(0, TWIN_STEPS), play=True)


@dataclass(frozen=True)
class TwinsResult:
    """Paths are (n_steps + 1, 2); `lengths` of the steps and `clipped` are (n_steps,), for A and for B."""

    state: TwinsState
    raw: np.ndarray
    paths: tuple[np.ndarray, np.ndarray]
    lengths: tuple[np.ndarray, np.ndarray]
    clipped: tuple[np.ndarray, np.ndarray]
    loss: Callable[[np.ndarray], np.ndarray]
    n_steps: int

    @property
    def apart(self) -> float:
        """The largest distance between A and B at equal steps, over the steps that are shown."""
        shown = slice(0, self.state.step + 1)
        return float(np.max(np.hypot(*(self.paths[0] - self.paths[1])[shown].T)))


def bowl_loss(points: np.ndarray) -> np.ndarray:
    """The height of the bowl at points (..., 2)."""
    return BOWL.loss_and_grad(points)[0]


@lru_cache(maxsize=64)
def _run_twins(start: TwinsState) -> TwinsResult:
    eta, c, r = start.learning_rate, start.max_norm, start.ratio
    runs = train(
        BOWL,
        np.array([[start.x, start.y]]),
        SGD(np.array([eta, r * eta, eta])),
        ClipByGlobalNorm(np.array([c, c / r, np.inf])),
        n_steps=TWIN_STEPS,
    )
    a, b, raw = (runs.run(k) for k in range(3))
    return TwinsResult(
        start,
        raw.params,
        (a.params, b.params),
        (a.update_norm, b.update_norm),
        (a.clipped, b.clipped),
        bowl_loss,
        TWIN_STEPS,
    )


def run_twins(state: TwinsState) -> TwinsResult:
    """A with (η, c), B with (rη, c/r), and A without clipping, from one start."""
    return replace(_run_twins(replace(state, step=TWIN_STEPS)), state=state)


def read_twins(result: TwinsResult) -> str:
    """The live sentence of the first demo."""
    state, n = result.state, result.state.step
    if n == 0:
        return f"Step 0: both runs stand at the start, x = {state.x:g} and y = {state.y:g}."
    if state.x == state.y == 0:
        return "Both runs start at the minimum. The gradient is zero, and so is every step."
    eta, product = state.learning_rate, state.learning_rate * state.max_norm
    slept = [np.flatnonzero(~clipped[:n]) for clipped in result.clipped]
    apart = "0" if result.apart < ONE else f"{result.apart:.3g}"
    if not any(len(steps) for steps in slept):
        how_many = f"All {n} steps" if n > 1 else "The first step"
        return (
            f"{how_many} of both runs {'are' if n > 1 else 'is'} clipped to the length ηc = {product:.3g}: "
            f"the two paths are the same (largest distance {apart})."
        )
    if all(len(steps) == n for steps in slept):
        return (
            f"No step of either run is clipped, so c plays no part: A goes by η = {eta:.3g}, B by "
            f"η = {eta * state.ratio:.3g}, and they are up to {apart} apart."
        )
    first = min((int(steps[0]), name) for steps, name in zip(slept, "AB", strict=True) if len(steps))
    both = len(slept[0]) and len(slept[1]) and slept[0][0] == slept[1][0]
    who = "neither run is" if both else f"{first[1]} is not"
    share = [1 - len(steps) / n for steps in slept]
    return (
        f"At step {first[0] + 1} {who} clipped: from there the paths may part, here by up to {apart}. "
        f"Clipped steps: {share[0]:.0%} of A's, {share[1]:.0%} of B's."
    )


TWINS = Demo(
    TwinsState,
    run_twins,
    TwinsFigure,
    read_twins,
    presets={
        "one path": Preset(TwinsState(), "B has four times the η of A and a quarter of its c. Where does B go?"),
        "they part": Preset(
            TwinsState(max_norm=1.0), "c twice as large: from which step is ηc no longer all that matters?"
        ),
        "no clipping": Preset(
            TwinsState(learning_rate=0.05, max_norm=100.0), "c above every norm: which knob is left?"
        ),
        "η too large": Preset(
            TwinsState(learning_rate=0.6, max_norm=0.3, ratio=0.5),
            "Not clipped, this η diverges. What do A and B do instead?",
        ),
    },
    drag=moves("plane", "x", "y"),
)

# --- Why clipping cannot calm a minimum -------------------------------------------------------------------------------

CURVATURE = 100.0
STEEP = Quadratic.diagonal(np.array([CURVATURE]))
FLOOR_START, FLOOR_STEPS = float(np.sqrt(0.005)), 300  # no number of steps ηc leads from a root to 0 exactly


@dataclass(frozen=True)
class FloorState(State):
    learning_rate: float = control(0.021, label="learning rate η", linear=(0.001, 0.05), n_stops=99)
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 10**0.5), n_stops=31)


@dataclass(frozen=True)
class FloorResult:
    """`clipped` and `raw` are (n_steps + 1,); `amplitudes` are left at the end for each of the `rates`."""

    state: FloorState
    clipped: np.ndarray
    raw: np.ndarray
    amplitude: float
    rates: np.ndarray
    amplitudes: np.ndarray
    curvature: float = CURVATURE
    limit: float = 2 / CURVATURE
    n_steps: int = FLOOR_STEPS

    @property
    def half_step(self) -> float:
        """ηc/2: what a swing between two clipped steps must come to."""
        return self.state.learning_rate * self.state.max_norm / 2


def swing(values: np.ndarray, n_last: int = 20) -> np.ndarray:
    """Half the width of what `values` (steps, ...) still do in their last `n_last` steps, of shape (...)."""
    last = values[-n_last:]
    return (last.max(axis=0) - last.min(axis=0)) / 2


def _steep_runs(rates: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The steep coordinate of every (η, c), shape (n_steps + 1, rates, limits)."""
    runs = sweep(
        STEEP,
        np.array([FLOOR_START]),
        SGD,
        ClipByGlobalNorm,
        learning_rates=rates,
        thresholds=limits,
        n_steps=FLOOR_STEPS,
    )
    return runs.params[..., 0]


@cache
def _floor_map() -> np.ndarray:
    """All slider stops of η and c at once; the last column is not clipped."""
    stops = controls_of(FloorState)
    return _steep_runs(np.array(stops["learning_rate"].values), np.array([*stops["max_norm"].values, np.inf]))


def find_floor(state: FloorState) -> FloorResult:
    """One steep coordinate from near its minimum; slider stops are looked up, typed values are run."""
    stops = controls_of(FloorState)
    rates, limits = stops["learning_rate"].values, stops["max_norm"].values
    eta, c = state.learning_rate, state.max_norm
    if eta in rates and c in limits:
        row, runs = rates.index(eta), _floor_map()[..., [limits.index(c), -1]]
    else:
        row, runs = 0, _steep_runs(np.array([eta, *rates]), np.array([c, np.inf]))
    amplitudes = swing(runs[..., 0])
    at = float(amplitudes[row])
    return FloorResult(state, runs[:, row, 0], runs[:, row, 1], at, np.array(rates), amplitudes[-len(rates) :])


def read_floor(result: FloorResult) -> str:
    """The live sentence of the second demo."""
    eta, c, n = result.state.learning_rate, result.state.max_norm, result.n_steps
    end, half = abs(float(result.clipped[-1])), result.half_step
    # Not the clipped flags of training: a settled swing has every step clipped, a sleeping one has none.
    awake = int(np.sum(result.curvature * np.abs(result.clipped[:-1]) > c))
    if np.isclose(eta, result.limit, rtol=1e-9):
        return (
            f"η = {eta:g} is exactly 2/λ: the swing neither grows nor dies, here at amplitude "
            f"{result.amplitude:.3g}, and ηc/2 = {half:.3g} is the most it can be."
        )
    if awake == n and result.clipped.min() > 0:
        return (
            f"All {n} steps are clipped to the length ηc = {2 * half:.2g}, and the run is still on its way to the "
            f"minimum, at y = {end:.3g}."
        )
    if eta < result.limit:
        return (
            f"η = {eta:g} is below 2/λ = {result.limit:g}: clipping shortens {awake} of {n} steps, then it "
            f"sleeps, and the run {_arrives(end)}."
        )
    if result.amplitude < 0.999 * half:
        return (
            f"η = {eta:g} is just above 2/λ = {result.limit:g}: the swing has grown to amplitude "
            f"{result.amplitude:.3g} and is on its way to ηc/2 = {half:.3g}."
        )
    return (
        f"η = {eta:g} is above 2/λ = {result.limit:g}: after {n} steps the run still swings with amplitude "
        f"{result.amplitude:.3g}, and ηc/2 = {half:.3g}. Not clipped, y would be of size {abs(result.raw[-1]):.0e}."
    )


def _arrives(end: float) -> str:
    return "arrives (|y| below 1e-9)" if end < 1e-9 else f"is at |y| = {end:.2g} and still falling"


FLOOR = Demo(
    FloorState,
    find_floor,
    FloorFigure,
    read_floor,
    presets={
        "η just too large": Preset(FloorState(), "The limit is 2/λ = 0.02. What does clipping make of η = 0.021?"),
        "η below the limit": Preset(FloorState(learning_rate=0.019), "Below the limit: how long is clipping at work?"),
        "smaller c": Preset(FloorState(max_norm=0.2), "Does a tighter threshold make the run converge?"),
        "larger c": Preset(FloorState(max_norm=2.0), "What does a looser one cost?"),
    },
)

# --- The article's program, mended ------------------------------------------------------------------------------------

N_PARAMS, PROGRAM_STEPS = 10, 60
SUM_OF_SQUARES = Quadratic.diagonal(np.full(N_PARAMS, 2.0))  # ½·Σ 2θᵢ² = Σ θᵢ²


def ten_parameters() -> np.ndarray:
    """The article's start: ten random parameters, here always the same ten."""
    return np.random.default_rng(1).normal(size=N_PARAMS)


@dataclass(frozen=True)
class ProgramState(State):
    learning_rate: float = control(1.0, label="learning rate η", log=(0.01, 1.5))
    max_value: float = control(10.0, label="threshold c", log=(0.01, 10))


@dataclass(frozen=True)
class ProgramResult:
    """`clipped` parameters are (n_steps + 1, 10), losses (n_steps + 1,)."""

    state: ProgramState
    clipped: np.ndarray
    clipped_loss: np.ndarray
    raw_loss: np.ndarray
    n_steps: int = PROGRAM_STEPS


@lru_cache(maxsize=256)
def run_program(state: ProgramState) -> ProgramResult:
    """The sum of ten squares, clipped by value as in the article, and not clipped."""
    clipper = ClipByValue(np.array([state.max_value, np.inf]))
    optimizer = SGD(np.array([state.learning_rate]))
    runs = train(SUM_OF_SQUARES, ten_parameters()[None, :], optimizer, clipper, n_steps=PROGRAM_STEPS)
    return ProgramResult(state, runs.params[:, 0], runs.loss[:, 0], runs.loss[:, 1])


def read_program(result: ProgramResult) -> str:
    """The live sentence of the third demo."""
    eta, before, after = result.state.learning_rate, *result.clipped[-2:]
    flips = int(np.sum(before * after < 0))
    first, last = result.clipped_loss[[0, -1]]
    missing = ", as if η were missing" if eta == 1 else ""
    flipped = f"the sign of {flips} of {len(after)} parameters" if flips else "no sign"
    return (
        f"η = {eta:g}{missing}: in {result.n_steps} steps the loss goes from {first:.3g} to {last:.3g}. The last step "
        f"flips {flipped}, and moves no parameter by more than {np.max(np.abs(after - before)):.2g} "
        f"(ηc = {eta * result.state.max_value:.3g})."
    )


PROGRAM = Demo(
    ProgramState,
    run_program,
    ProgramFigure,
    read_program,
    presets={
        "no η, ε = 10": Preset(ProgramState(), "No learning rate means η = 1. Why do the parameters never settle?"),
        "no η, ε = 0.1": Preset(ProgramState(max_value=0.1), "Now the threshold is the step. Where does it end?"),
        "mended": Preset(
            ProgramState(learning_rate=0.1, max_value=1.0), "η and c apart: which of the two is at work, and when?"
        ),
    },
)

# --- Predictions ------------------------------------------------------------------------------------------------------


def fate_of_twins() -> str:
    """What the second of two runs with equal ηc does, from the runs themselves."""
    result = run_twins(TwinsState())
    if result.apart < ONE:
        return "same"
    a, b = (float(np.hypot(*path[-1])) for path in result.paths)
    return "further" if b < a else "behind"


def fate_on_the_floor() -> str:
    """Where a clipped run with η just above 2/λ is after 300 steps."""
    result = find_floor(FloorState())
    if abs(result.clipped[-1]) > 1:
        return "diverges"
    if result.amplitude > 1e-6:
        return "bounces"
    return "converges" if abs(result.clipped[-1]) < 1e-6 else "stops"


def fate_without_rate() -> str:
    """What becomes of the ten parameters under θ ← θ − clip(2θ) with a threshold that is never reached."""
    path = run_program(ProgramState()).clipped
    if np.array_equal(path[1], -path[0]) and np.array_equal(path[2], path[0]):
        return "flips"
    last = np.max(np.abs(path[-1]))
    return "zero" if last == 0 else "shrinks" if last < np.max(np.abs(path[0])) else "explodes"


PREDICTIONS = {
    "twins": Prediction(
        key="01.a",
        question="Run A has η = 0.1 and c = 0.5. Run B has η = 0.4 and c = 0.125. Both start at (−3.5, 2.5), where the "
        "gradient has norm 10.6, and make 60 steps. How do they compare?",
        truth=fate_of_twins,
        options={
            "further": "B gets further: its learning rate is four times as large",
            "behind": "B falls behind: its threshold is four times as small",
            "same": "both follow one and the same path",
            "other": "they end at the same place, by different paths",
        },
        explain={
            "further": "η multiplies what clipping leaves, and in B clipping leaves a quarter of what it leaves in A.",
            "behind": "c shortens the gradient to a quarter, and then B's η multiplies it by four.",
            "same": "Yes. A clipped gradient has length c, so the step has length ηc: 0.05 in both runs, in the "
            "direction of the same gradient. Equal steps from equal places make equal paths.",
            "other": "Look at the first step: same place, same direction, same length ηc. So is the second, and so on.",
        },
        evidence=lambda: read_twins(run_twins(TwinsState())),
    ),
    "floor": Prediction(
        key="01.b",
        question="Loss 50·y², so the curvature is λ = 100, and plain descent diverges for η above 2/λ = 0.02. You take "
        "η = 0.021 and clip the gradient at c = 1. Where is y after 300 steps?",
        truth=fate_on_the_floor,
        options={
            "converges": "at the minimum: clipping keeps the steps short enough",
            "stops": "at rest, where the gradient has just reached the threshold",
            "bounces": "swinging about the minimum for ever",
            "diverges": "far away: η is above the limit",
        },
        explain={
            "converges": "It would need shorter and shorter steps. But near the minimum gradients are below c, "
            "clipping leaves them alone, and this η throws y further out at every step.",
            "stops": "Only a zero gradient can stop it. At the threshold the step still has length ηc.",
            "bounces": "Yes. Inside |y| < c/λ clipping sleeps and η drives y outwards, outside clipping holds it: it "
            "ends in a swing of width ηc, amplitude ηc/2.",
            "diverges": "It would, were it not clipped: far from the minimum each step is only ηc long, and leads "
            "back.",
        },
        evidence=lambda: read_floor(find_floor(FloorState())),
    ),
    "no_rate": Prediction(
        key="01.c",
        question="The loss is the sum of squares, its gradient 2θ. A program without a learning rate does "
        "θ ← θ − clip(2θ), with a threshold so large that nothing is clipped. What happens to θ?",
        truth=fate_without_rate,
        options={
            "zero": "it is zero after one step",
            "shrinks": "it shrinks towards zero, slowly",
            "flips": "it changes its sign at every step, for ever",
            "explodes": "it grows without bound",
        },
        explain={
            "zero": "That would be θ − θ. The gradient of θ² is 2θ, twice as long.",
            "shrinks": "It would with a small η in front. Without one, the step is the whole gradient.",
            "flips": "Yes: θ − 2θ = −θ, and then θ again. A missing η is η = 1, here exactly the limit 2/λ with λ = 2.",
            "explodes": "That takes η above 2/λ = 1. A missing η is η = 1: exactly at the limit.",
        },
        evidence=lambda: read_program(run_program(ProgramState())),
    ),
}

# --- Exercises --------------------------------------------------------------------------------------------------------


def update(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    if norm > max_norm:
        grad = grad * (max_norm / norm)
    return theta - learning_rate * grad


def update_stub(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    # Clip grad to norm max_norm, then make one step of gradient descent from theta.
    ...


def _clip(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad * (max_norm / norm) if norm > max_norm else grad


def clips_the_step(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - _clip(learning_rate * grad, max_norm)


def takes_c_for_the_rate(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - max_norm * grad


def exchanges_the_knobs(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - max_norm * _clip(grad, learning_rate)


def climbs(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta + learning_rate * _clip(grad, max_norm)


def clamps_coordinates(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - learning_rate * np.clip(grad, -max_norm, max_norm)


def always_normalizes(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return theta - learning_rate * grad * (max_norm / norm if norm else 1.0)


def forgets_the_learning_rate(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - _clip(grad, max_norm)


def never_clips(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - learning_rate * grad


def divides_by_the_norm_only(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return theta - learning_rate * (grad / norm if norm > max_norm else grad)


def returns_the_step_only(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return -learning_rate * _clip(grad, max_norm)


def clips_the_parameters(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return _clip(theta - learning_rate * grad, max_norm)


def forgets_the_root(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sum(grad**2)
    return theta - learning_rate * (grad * max_norm / norm if norm > max_norm else grad)


def steps_by_c(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - max_norm * _clip(grad, max_norm)


def takes_the_max(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return theta - learning_rate * grad * (max(1.0, max_norm / norm) if norm else 1.0)


def skips_long_gradients(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - learning_rate * grad * (np.sqrt(np.sum(grad**2)) <= max_norm)


def measures_the_1_norm(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sum(np.abs(grad))
    return theta - learning_rate * (grad * max_norm / norm if norm > max_norm else grad)


def measures_the_largest_entry(
    theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float
) -> np.ndarray:
    norm = np.max(np.abs(grad))
    return theta - learning_rate * (grad * max_norm / norm if norm > max_norm else grad)


def takes_the_root_of_the_mean(
    theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float
) -> np.ndarray:
    norm = np.sqrt(np.mean(grad**2))
    return theta - learning_rate * (grad * max_norm / norm if norm > max_norm else grad)


def turns_the_factor_over(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return theta - learning_rate * (grad * (norm / max_norm) if norm > max_norm else grad)


def clips_smoothly(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - learning_rate * grad * max_norm / (max_norm + np.sqrt(np.sum(grad**2)))


def compares_with_eta_c(theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float) -> np.ndarray:
    return theta - learning_rate * _clip(grad, learning_rate * max_norm)


def returns_the_clipped_gradient(
    theta: np.ndarray, grad: np.ndarray, learning_rate: float, max_norm: float
) -> np.ndarray:
    return _clip(grad, max_norm)


def central_difference(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    grad = np.zeros(theta.size)
    for i in range(theta.size):
        nudge = np.zeros(theta.size)
        nudge[i] = h
        grad[i] = (loss(theta + nudge) - loss(theta - nudge)) / (2 * h)
    return grad


def central_difference_stub(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    # Two bugs: the slopes come out too small, and the caller's theta is written to. Mend both.
    grad = np.zeros(theta.size)
    for i in range(theta.size):
        theta[i] = theta[i] + h
        ahead = loss(theta)
        theta[i] = theta[i] - h
        grad[i] = (ahead - loss(theta)) / (2 * h)
    return grad


def _differences(loss: Callable[[np.ndarray], float], theta: np.ndarray, ahead: float, behind: float) -> np.ndarray:
    nudges = np.eye(theta.size)
    return np.array([loss(theta + ahead * e) - loss(theta - behind * e) for e in nudges])


def looks_ahead_only(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, h, 0) / h


def looks_behind_only(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, 0, h) / h


def looks_ahead_but_divides_by_2h(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, h, 0) / (2 * h)


def divides_by_h(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, h, h) / h


def forgets_to_divide(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, h, h)


def multiplies_by_h_over_2(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, h, h) / 2 * h  # Python reads this as (… / 2)·h


def asks_np_gradient(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return np.array(np.gradient(loss(theta)))


def moves_all_coordinates(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return np.full(theta.size, (loss(theta + h) - loss(theta - h)) / (2 * h))


def leaves_coordinates_behind(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    grad, moved = np.zeros(theta.size), theta.astype(float)
    for i in range(theta.size):
        moved[i] += h
        ahead = loss(moved)
        moved[i] -= 2 * h
        grad[i] = (ahead - loss(moved)) / (2 * h)
    return grad


def nudges_whole_numbers(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    grad = np.zeros(theta.size)
    for i in range(theta.size):
        ahead, behind = theta.copy(), theta.copy()
        ahead[i] = theta[i] + h
        behind[i] = theta[i] - h
        grad[i] = (loss(ahead) - loss(behind)) / (2 * h)
    return grad


def knows_one_loss(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return 2.0 * theta


def goes_half_the_way(loss: Callable[[np.ndarray], float], theta: np.ndarray, h: float) -> np.ndarray:
    return _differences(loss, theta, h / 2, h / 2) / h


def sum_of_squares(theta: np.ndarray) -> float:
    return float(np.sum(theta**2))


def sum_of_cubes(theta: np.ndarray) -> float:
    return float(np.sum(theta**3))


def product(theta: np.ndarray) -> float:
    return float(np.prod(theta))


def bounce(learning_rate: float, curvature: float, max_norm: float) -> float:
    if learning_rate < 2 / curvature:
        return 0.0
    return learning_rate * max_norm / 2


def bounce_stub(learning_rate: float, curvature: float, max_norm: float) -> float:
    # Half the width of the swing that is left in the end; 0 if the run converges.
    ...


def gives_the_whole_width(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate < 2 / curvature else learning_rate * max_norm


def ends_where_clipping_begins(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate < 2 / curvature else max_norm / curvature


def always_bounces(learning_rate: float, curvature: float, max_norm: float) -> float:
    return learning_rate * max_norm / 2


def always_converges(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0


def takes_half_the_limit(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate < 1 / curvature else learning_rate * max_norm / 2


def runs_away(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate < 2 / curvature else np.inf


def leaves_the_rate_out(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate < 2 / curvature else max_norm / 2


def compares_the_other_way(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate > 2 / curvature else learning_rate * max_norm / 2


def compares_with_c(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate * max_norm < 2 / curvature else learning_rate * max_norm / 2


def gives_the_threshold(learning_rate: float, curvature: float, max_norm: float) -> float:
    return 0.0 if learning_rate < 2 / curvature else max_norm


def always_one_step_wide(learning_rate: float, curvature: float, max_norm: float) -> float:
    return learning_rate * max_norm


def always_where_clipping_begins(learning_rate: float, curvature: float, max_norm: float) -> float:
    return max_norm / curvature


EXERCISES = {
    "update": Exercise(
        key="01.1",
        title="One clipped step",
        solution=update,
        stub=update_stub,
        probes=(
            Probe((np.array([1.0, 1.0]), np.array([3.0, 4.0]), 0.1, 2.0), "norm above c"),
            Probe((np.array([1.0, 1.0]), np.array([0.3, -0.4]), 0.1, 2.0), "norm below c"),
            Probe((np.array([2.0]), np.array([4.0]), 0.1, 1.0), "one parameter, gradient above c, ηn below c"),
            Probe((np.array([3.0]), np.array([4.0]), 1.0, 2.0), "η = 1"),
            Probe((np.array([1.0]), np.array([0.5]), 3.0, 1.0), "η = 3, a step longer than c"),
            Probe((np.array([1.0, -2.0]), np.array([0.0, 0.0]), 0.1, 1.0), "zero gradient"),
            Probe((np.array([0.0, 0.0, 5.0]), np.array([-2.0, 1.0, 2.0]), 0.5, 0.75), "three parameters, c below 1"),
            Probe((np.arange(5.0), np.array([2.0, -1.0, 2.0, 0.0, 4.0]), 0.2, 1.0), "five parameters"),
        ),
        misconceptions=(
            Misconception(
                clips_the_step,
                "You clip ηg, the step, at c. Clipping compares the *gradient* with c: the step may be ηc long, and no "
                "longer. Written your way, c is a bound on the step, and η and c are no longer apart.",
            ),
            Misconception(
                takes_c_for_the_rate,
                "Here c multiplies the gradient: it plays the learning rate. That is the article's mistake, one letter "
                "for two numbers. η scales the step; c is only compared with the norm.",
            ),
            Misconception(
                exchanges_the_knobs,
                "η and c have changed places: c belongs into the clip, η in front. (Where the gradient is clipped both "
                "ways give ηc, so this can go unnoticed for long.)",
            ),
            Misconception(climbs, "The sign: this goes uphill. Descent subtracts the gradient."),
            Misconception(
                clamps_coordinates,
                "This clamps each coordinate to [−c, c]: clipping by value, the next lesson. By norm, all coordinates "
                "are multiplied by the same number.",
            ),
            Misconception(
                always_normalizes,
                "This makes *every* step ηc long, short gradients are stretched. Clipping has a min(1, …): a gradient "
                "below c stays as it is, and steps become shorter near a minimum.",
            ),
            Misconception(
                forgets_the_learning_rate,
                "η is missing, and then the threshold *is* the step: the article's program. Multiply by learning_rate.",
            ),
            Misconception(never_clips, "Plain descent: `max_norm` is never looked at."),
            Misconception(
                divides_by_the_norm_only,
                "A long gradient comes out with norm 1, whatever c is: after dividing by the norm, multiply by c.",
            ),
            Misconception(
                returns_the_step_only, "That is the step. The task asks where it leads: theta plus the step."
            ),
            Misconception(
                forgets_the_root, "The norm is the square *root* of the sum of squares; here the root is missing."
            ),
            Misconception(
                steps_by_c,
                "The clip is right, but c multiplies the result once more, where η belongs: c has done its work in "
                "the clip.",
            ),
            Misconception(
                takes_the_max,
                "A max where the min belongs: short gradients are stretched to c, and long ones stay as they are.",
            ),
            Misconception(
                skips_long_gradients,
                "A long gradient makes no step at all here. Clipping shortens it: its direction is worth following.",
            ),
            Misconception(
                measures_the_1_norm,
                "You measure the sum of the entries' sizes, the 1-norm. It is longer than the root of the sum of "
                "squares, and clips too early and too much.",
            ),
            Misconception(
                measures_the_largest_entry,
                "You measure the largest entry. A gradient with many middling entries is long as well: take the root "
                "of the sum of their squares.",
            ),
            Misconception(
                takes_the_root_of_the_mean,
                "A *mean* of squares under the root: √(number of parameters) too small. The norm takes their sum.",
            ),
            Misconception(
                turns_the_factor_over, "The fraction is turned over: n/c makes a long gradient longer still. It is c/n."
            ),
            Misconception(
                clips_smoothly,
                "That is smooth clipping, g·c/(c + n): it shortens every gradient, also one below c, which should stay "
                "as it is.",
            ),
            Misconception(
                compares_with_eta_c,
                "You clip the gradient at ηc. It is the *step* that comes out ηc long: clip at c, then multiply by η.",
            ),
            Misconception(
                returns_the_clipped_gradient,
                "That is the clipped gradient. The task asks for the new parameters: theta minus η times it.",
            ),
            Misconception(
                clips_the_parameters,
                "You clip the new *parameters*. That is another thing (weight clipping): clip the gradient, before "
                "the step.",
            ),
        ),
        hints=(
            "Two things, in this order: what does clipping make of `grad`? Then, where does the step lead?",
            "The factor is min(1, c/n) with n the norm of `grad`; the step is −η times the clipped gradient.",
            "If `norm > max_norm`: `grad = grad * (max_norm / norm)`. Then return `theta - learning_rate * grad`.",
        ),
        explanation="c is compared with the norm and may shorten the gradient; η multiplies whatever is left. "
        "`grad = grad * k` makes a new array, where `grad *= k` would write into the caller's.",
    ),
    "central_difference": Exercise(
        key="01.2",
        title="Mend the gradient check",
        solution=central_difference,
        stub=central_difference_stub,
        probes=(
            Probe((sum_of_squares, np.array([1.0]), 0.1), "one parameter"),
            Probe((sum_of_squares, np.array([1.0, -2.0]), 0.01), "two parameters, h = 0.01"),
            Probe((sum_of_squares, np.array([0.0, 3.0]), 0.5), "one parameter at its minimum"),
            Probe((sum_of_cubes, np.array([1.0, 2.0]), 0.5), "a cubic loss, a wide h"),
            Probe((product, np.array([2.0, 3.0, 4.0]), 0.1), "parameters that multiply each other"),
            Probe((sum_of_squares, np.array([3, -1]), 0.5), "whole numbers"),
        ),
        misconceptions=(
            Misconception(
                looks_ahead_only,
                "The difference from θ to θ + h: forward, not central. Its error shrinks like h, the central one's "
                "like h².",
            ),
            Misconception(
                looks_behind_only, "The difference from θ − h to θ: backward, not central. Go one h to *each* side."
            ),
            Misconception(
                looks_ahead_but_divides_by_2h,
                "From θ to θ + h is one h, and you divide by two: half the slope. Go to θ − h for the second value.",
            ),
            Misconception(divides_by_h, "From θ − h to θ + h it is 2h, not h: this is twice the slope."),
            Misconception(
                forgets_to_divide, "These are differences of losses. A slope is a difference divided by the way, 2h."
            ),
            Misconception(
                multiplies_by_h_over_2,
                "`/ 2 * h` divides by 2 and then *multiplies* by h. Write `/ (2 * h)`.",
            ),
            Misconception(
                asks_np_gradient,
                "`np.gradient` takes differences along the axes of an array. The value of a loss has no axis, so "
                "nothing comes out. It never sees your function: call `loss` at nudged parameters.",
            ),
            Misconception(
                moves_all_coordinates,
                "All parameters are nudged at once: that is the slope along (1, 1, …), the sum of the gradient's "
                "entries. Nudge one parameter at a time.",
            ),
            Misconception(
                knows_one_loss,
                "2θ is the gradient of the sum of squares alone. A check has to ask the `loss` that it is given.",
            ),
            Misconception(
                goes_half_the_way,
                "A central difference, with half the h: θ ± h/2. Sound, but the task says θ ± h, and 2h below.",
            ),
            Misconception(
                leaves_coordinates_behind,
                "A parameter that was nudged is not put back before the next one's turn. It does not show where the "
                "loss is a sum over parameters; with a product it does.",
            ),
            Misconception(
                nudges_whole_numbers,
                "Right for floats. In an array of whole numbers `theta[i] + h` is cut back to a whole number as it is "
                "stored: build `theta + nudge` with a float nudge instead.",
            ),
        ),
        hints=(
            "How far apart are the two points at which the loss is asked? And by what is the difference divided?",
            "The second value belongs at θ − h·eᵢ. And never write into `theta`: build new arrays `theta + nudge`, "
            "`theta - nudge`, where `nudge` is zero but for one h.",
            "`nudge = np.zeros(theta.size); nudge[i] = h; grad[i] = (loss(theta + nudge) - loss(theta - nudge)) / (2 "
            "* h)`",
        ),
        explanation="`theta + nudge` is a new array, float even where theta is whole, and nothing needs to be put "
        "back. On sums of squares the central difference is exact but for rounding; elsewhere its error is of "
        "order h².",
    ),
    "bounce": Exercise(
        key="01.3",
        title="What is left in the end?",
        solution=bounce,
        stub=bounce_stub,
        probes=(
            Probe((0.021, 100.0, 1.0), "η above 2/λ"),
            Probe((0.019, 100.0, 1.0), "η below 2/λ"),
            Probe((0.0199, 100.0, 1.0), "η = 1.99/λ, just below the limit"),
            Probe((0.0201, 100.0, 1.0), "η = 2.01/λ, just above the limit"),
            Probe((0.005, 100.0, 1.0), "η far below 2/λ"),
            Probe((3.0, 1.0, 4.0), "η = 3, λ = 1"),
            Probe((0.5, 10.0, 0.2), "λ = 10, a small c"),
            Probe((0.1, 5.0, 8.0), "η below 2/λ, a large c"),
        ),
        misconceptions=(
            Misconception(
                gives_the_whole_width,
                "ηc is the whole width, from one side to the other: the swing crosses the minimum, and the amplitude "
                "is half.",
            ),
            Misconception(
                ends_where_clipping_begins,
                "At |y| = c/λ the gradient just reaches the threshold. That is the edge of the zone where clipping "
                "sleeps, and not where the run ends: no step is zero there.",
            ),
            Misconception(
                always_bounces,
                "Below 2/λ the run converges: once gradients are below c, clipping sleeps and plain descent finishes "
                "the work.",
            ),
            Misconception(
                always_converges,
                "Clipping cannot make an η above 2/λ converge: it sleeps near the minimum, just where it would be "
                "needed.",
            ),
            Misconception(
                takes_half_the_limit,
                "The limit is 2/λ. Between 1/λ and 2/λ descent crosses the minimum at every step and still converges.",
            ),
            Misconception(
                runs_away,
                "Without clipping, yes. Clipped, no step is longer than ηc, and away from the minimum each leads back.",
            ),
            Misconception(
                gives_the_threshold, "c is a length of gradients, not of steps, and half of a step is asked for: ηc/2."
            ),
            Misconception(
                always_one_step_wide,
                "ηc is how long a clipped step is: the whole width of the swing. And below 2/λ there is no swing at "
                "all.",
            ),
            Misconception(
                always_where_clipping_begins,
                "c/λ is the edge of the zone where clipping sleeps. A run with η < 2/λ goes on to the minimum from "
                "there, any other swings about it.",
            ),
            Misconception(leaves_the_rate_out, "c is the length of the clipped *gradient*. The step is η times that."),
            Misconception(compares_the_other_way, "The cases are exchanged: small η converge, large ones bounce."),
            Misconception(
                compares_with_c,
                "You compare ηc with 2/λ. Near the minimum clipping sleeps: whether a run converges is decided by η "
                "alone.",
            ),
        ),
        hints=(
            "Two cases, and near the minimum clipping sleeps: which of the two knobs decides between them?",
            "Above 2/λ the run ends in a swing with every step clipped, to and fro. How long is each such step?",
            "0 if η < 2/λ. Otherwise the swing is one clipped step wide, ηc, and the amplitude is half of that.",
        ),
        explanation="Stability at a minimum is plain descent's: η < 2/λ. Where that fails, the swing grows until "
        "clipping wakes, and then each step is ηc long, to and fro: amplitude ηc/2 (unless a step happens to land on 0 "
        "exactly). A smaller c makes it narrower, and slower to reach.",
    ),
}

# --- Quiz -------------------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "01",
    (
        Question(
            "Every step of a run is clipped by norm. You double η and halve c. What changes?",
            (
                Option(
                    "nothing at all",
                    "Yes: each step is ηc long in the gradient's direction, and ηc is as before.",
                    right=True,
                ),
                Option("it is twice as fast", "It would be if c stayed. The clipped gradient is half as long now."),
                Option(
                    "it is half as fast", "It would be if η stayed. Each clipped gradient is multiplied by twice the η."
                ),
                Option("it may diverge: η doubled", "That is decided where steps are *not* clipped, near the minimum."),
            ),
        ),
        Question(
            "A text writes θ_new = θ − ε·∇L and calls ε the clipping coefficient. What is ε there?",
            (
                Option("a clipping threshold", "A threshold is compared with the gradient; it does not multiply it."),
                Option(
                    "both: they are one thing",
                    "A threshold of 1 and a rate of 1 are two statements: the one compares, the other multiplies.",
                ),
                Option("a learning rate", "Yes: it scales every gradient, long or short, and clips none.", right=True),
                Option("a weight decay", "That would multiply θ, not the gradient."),
            ),
        ),
        Question(
            "Curvature λ = 50, η = 0.05, c = 1: a run bounces with amplitude 0.025. What does c = 0.5 do?",
            (
                Option("the run converges", "The limit 2/λ = 0.04 is about η alone: no c puts η = 0.05 below it."),
                Option("the bounce halves to 0.0125", "Yes: ηc/2. Narrower, and never zero.", right=True),
                Option("the bounce doubles to 0.05", "A smaller c makes shorter steps: ηc/2 falls with c."),
                Option(
                    "nothing: clipping sleeps there",
                    "It sleeps for |y| < c/λ; this bounce lies outside, and every step is clipped.",
                ),
            ),
        ),
        Question(
            "A colleague leaves clipping switched on when the trained model is tested. What does it change?",
            (
                Option("predictions are less noisy", "Clipping acts on gradients, and predicting takes none."),
                Option(
                    "long predictions are cut", "That would be clipping outputs. Gradient clipping never sees them."
                ),
                Option(
                    "the result is slightly biased",
                    "Bias enters through training steps, and here the weights are frozen.",
                ),
                Option("nothing: no gradient is used", "Yes: at frozen weights c has nothing to act on.", right=True),
            ),
        ),
    ),
)

LESSON = Lesson(
    "01",
    "One update, two knobs",
    {"twins": TWINS, "floor": FLOOR, "program": PROGRAM},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
