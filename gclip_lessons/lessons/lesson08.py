"""Lesson 08, clipping and the optimiser: what a spike leaves behind in six optimisers, and where the clip stands."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import clip_by_global_norm, global_norm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.fork import ForkFigure
from gclip_lessons.figures.order import OrderFigure
from gclip_lessons.figures.six import SixFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, frozen, side_trips08, snap
from gclip_lessons.lessons.side_trips08 import DECAY, SCALE, number
from gclip_lessons.models import Quadratic
from gclip_lessons.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSProp

# --- Fork the future ----------------------------------------------------------------------------------------

FORK_STEPS, PAUSE = 300, 40
BOWL, FORK_START = Quadratic.diagonal([1.0, 0.4]), np.array([4.0, 3.0])
AWAY = FORK_START / np.linalg.norm(FORK_START)
FORKED: dict[str, Optimizer] = {
    "SGD": SGD(0.03),
    "momentum": Momentum(0.003),
    "Nesterov": Nesterov(0.003),
    "RMSProp": RMSProp(0.03),
    "Adam": Adam(0.03),
    "AdamW": AdamW(0.03),
}
SIX = tuple(FORKED)


@dataclass(frozen=True)
class ForkState(State):
    optimizer: str = control("Adam", label="optimiser", choices=SIX)
    spike: float = control(1000.0, label="size of the spike", log=(1, 1e4), n_stops=13)
    max_norm: float = control(3.16, label="threshold c", log=(0.1, 1000), n_stops=41)
    step: int = control(PAUSE, label="step", whole=(0, FORK_STEPS), play=True)


@dataclass(frozen=True)
class ForkResult:
    """Distances from the minimum: of the futures at all `thresholds` (FORK_STEPS+1, C), of the "raw" one without
    clipping and of the "clipped" one at the state's threshold (FORK_STEPS+1). `ghosts` are the places in
    `thresholds` of those that are drawn.
    """

    state: ForkState
    thresholds: np.ndarray
    ghosts: np.ndarray
    distances: np.ndarray
    raw: np.ndarray
    clipped: np.ndarray
    pause: int = PAUSE


def fork(optimizer: Optimizer, spikes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Distance from the minimum, (FORK_STEPS+1, spikes, thresholds), of one run that forks at PAUSE.

    Up to there nothing is clipped. There the gradient is that of the bowl minus a spike of the given size, which
    points away from the minimum; from there on every future clips at its own threshold.
    """
    params = FORK_START
    state = optimizer.init(params)
    distance = np.empty((FORK_STEPS + 1, len(spikes), len(thresholds)))
    for step in range(FORK_STEPS):
        distance[step] = np.hypot(params[..., 0], params[..., 1])
        grad = BOWL.loss_and_grad(params)[1]
        if step == PAUSE:
            grad = grad - np.multiply.outer(np.tile(spikes[:, None], len(thresholds)), AWAY)
        if step >= PAUSE:
            grad = clip_by_global_norm(grad, thresholds[None])
        update, state = optimizer.update(grad, state, params)
        params = params + update
    distance[-1] = np.hypot(params[..., 0], params[..., 1])
    return frozen(distance)


_SPIKES = frozen(np.array(controls_of(ForkState)["spike"].values))
_LIMITS = frozen(np.array([*controls_of(ForkState)["max_norm"].values, np.inf]))  # the last one clips nothing


@lru_cache(maxsize=len(SIX))
def all_futures(optimizer: str) -> np.ndarray:
    """The futures of an optimiser at every stop of the sliders, and without clipping: (steps, spikes, C+1)."""
    return fork(FORKED[optimizer], _SPIKES, _LIMITS)


@lru_cache(maxsize=16)
def futures(optimizer: str, spike: float) -> np.ndarray:
    """Its futures after one spike, (steps, C+1): looked up, or computed where the slider has no such stop."""
    if spike in _SPIKES:
        return all_futures(optimizer)[:, int(np.flatnonzero(spike == _SPIKES)[0])]
    return fork(FORKED[optimizer], np.array([spike]), _LIMITS)[:, 0]


@lru_cache(maxsize=16)
def future(optimizer: str, spike: float, max_norm: float) -> np.ndarray:
    """One future, (steps)."""
    if max_norm in _LIMITS:
        return futures(optimizer, spike)[:, int(np.flatnonzero(max_norm == _LIMITS)[0])]
    return fork(FORKED[optimizer], np.array([spike]), np.array([max_norm]))[:, 0, 0]


def look_ahead(state: ForkState) -> ForkResult:
    for optimizer in SIX:  # whichever the menu may ask for next, so that it need not be waited for
        all_futures(optimizer)
    every = futures(state.optimizer, state.spike)
    return ForkResult(
        state=state,
        thresholds=_LIMITS[:-1],
        ghosts=np.arange(0, len(_LIMITS) - 1, 5),
        distances=every[:, :-1],
        raw=every[:, -1],
        clipped=future(state.optimizer, state.spike, state.max_norm),
    )


def read_fork(result: ForkResult) -> str:
    """The live sentence of the fork."""
    state, c = result.state, result.state.max_norm
    here = number(result.raw[state.step])
    if state.step <= PAUSE:
        return (
            f"{state.optimizer}, step {state.step}: {here} from the minimum. The spike of {state.spike:g} comes after "
            f"step {PAUSE}; {FORK_STEPS - PAUSE} steps after it the run will be {number(result.raw[-1])} from the "
            f"minimum unclipped, and {number(result.clipped[-1])} clipped at c = {c:g}."
        )
    at = np.round(result.distances[state.step, result.ghosts], 6)
    best = result.thresholds[result.ghosts[at.argmin()]]
    return (
        f"{state.optimizer}, {state.step - PAUSE} steps after the pause at {number(result.raw[PAUSE])} and a spike of "
        f"{state.spike:g}: {here} from the minimum unclipped, {number(result.clipped[state.step])} clipped at "
        f"c = {c:g}. The nearest of the {len(result.ghosts)} ghosts is the one with c = {best:g}, at "
        f"{number(at.min())}."
    )


def hold_fork(state: ForkState, panel: str, x: float, y: float) -> ForkState:
    """The mouse moves the step on the left, and the threshold on the right."""
    if panel == "time":
        return replace(state, step=round(clamp("step", ForkState, x)))
    return replace(state, max_norm=snap("max_norm", ForkState, x))


FORK = Demo(
    ForkState,
    look_ahead,
    ForkFigure,
    read_fork,
    presets={
        "Adam, paused": Preset(ForkState(), "Play it: which futures get to the minimum, and which do not move?"),
        "Adam, the end": Preset(ForkState(step=FORK_STEPS), "Whose step was longer at the spike, Adam's or SGD's?"),
        "SGD, the end": Preset(
            ForkState(optimizer="SGD", step=FORK_STEPS), "The unclipped run was thrown far. What brings it back?"
        ),
        "a spike of 10": Preset(ForkState(spike=10.0, step=FORK_STEPS), "Is a spike of 10 worth a threshold?"),
        "c too small": Preset(
            ForkState(optimizer="SGD", max_norm=0.1, step=FORK_STEPS), "What does the careful run pay, and when?"
        ),
    },
    drag=hold_fork,
)

# --- Six optimisers, one spike ------------------------------------------------------------------------------

HORIZON = 30_000  # steps after the spike that are counted; with β₂ = .999 its trace is e⁻³⁰ by then
SHOWN = frozen(np.unique(np.geomspace(1, HORIZON, 240).astype(int)))
RMSPROP_BETA = RMSProp(1.0).beta


@dataclass(frozen=True)
class SpikeState(State):
    optimizer: str = control("Adam", label="optimiser", choices=SIX)
    spike: float = control(1000.0, label="size of the spike", log=(1, 1e5), n_stops=51)
    max_norm: float = control(1.0, label="threshold c", log=(1, 1e5), n_stops=51)
    beta: float = control(0.9, label="β, and β₁ of Adam", linear=(0, 0.99), n_stops=100)
    beta2: str = control("0.999", label="β₂ of Adam", choices=("0.9", "0.99", "0.999"))


@dataclass(frozen=True)
class SpikeResult:
    """The "raw" and the "clipped" `update` of the chosen optimiser, in usual updates, at `steps` (counted from the
    spike, which is 1); for each of `names` the `cost` of the spike in usual steps; of the chosen one `wrong`, how
    many steps go the wrong way, and `back`, how many are shorter than half the usual one or go the wrong way.
    """

    state: SpikeState
    steps: np.ndarray
    update: dict[str, np.ndarray]
    cost: dict[str, np.ndarray]
    wrong: dict[str, int]
    back: dict[str, int]
    names: tuple[str, ...] = SIX


@lru_cache(maxsize=32)
def after_spike(optimizer: str, spike: float, beta: float, beta2: float) -> np.ndarray:
    """The updates (HORIZON) from a gradient of −spike among ones on, in units of the usual update.

    The optimiser has met ones for a long time before, so that its state has settled: a velocity of 1/(1−β), or
    m = s = 1. β is `beta` for momentum and β₁ for Adam; RMSProp keeps its β = .99; ε is left out. AdamW is Adam
    here, since the parameter that would decay is 0.
    """
    kick = 1.0 + spike  # by how much the gradient differs from a usual one
    if optimizer == "SGD":
        return frozen(1 - kick * _powers(0.0))
    if optimizer == "momentum":
        return frozen(1 - kick * (1 - beta) * _powers(beta))
    if optimizer == "Nesterov":
        return frozen(1 - kick * (1 - beta) * (_powers(0.0) + beta * _powers(beta)))
    if optimizer == "RMSProp":
        beta, beta2 = 0.0, RMSPROP_BETA
    mean = 1 - kick * (1 - beta) * _powers(beta)
    size = 1 + (spike**2 - 1) * (1 - beta2) * _powers(beta2)
    return frozen(mean / np.sqrt(size))


@lru_cache(maxsize=16)
def _powers(beta: float) -> np.ndarray:
    """β⁰, β¹, β², … (HORIZON), with 0⁰ = 1, and 0 from where they are below 1e-30: numbers near 1e-308 are slow."""
    powers = np.zeros(HORIZON)
    count = min(HORIZON, int(-30 / np.log10(beta)) + 1) if beta else 1
    powers[:count] = beta ** np.arange(count)
    return frozen(powers)


@lru_cache(maxsize=256)
def toll(optimizer: str, spike: float, beta: float, beta2: float) -> tuple[float, int, int]:
    """What a spike costs: usual steps in all, steps that go the wrong way, steps until half the usual one is back."""
    update = after_spike(optimizer, spike, beta, beta2)
    slow = np.flatnonzero(update < 0.5)
    return float(np.sum(1 - update)), int((update < 0).sum()), int(slow[-1]) + 1 if slow.size else 0


def meet_spike(state: SpikeState) -> SpikeResult:
    settings = state.beta, float(state.beta2)
    sizes = {"raw": state.spike, "clipped": min(state.spike, state.max_norm)}
    mine = {run: toll(state.optimizer, size, *settings) for run, size in sizes.items()}
    return SpikeResult(
        state=state,
        steps=SHOWN,
        update={run: after_spike(state.optimizer, size, *settings)[SHOWN - 1] for run, size in sizes.items()},
        cost={run: np.array([toll(name, size, *settings)[0] for name in SIX]) for run, size in sizes.items()},
        wrong={run: of[1] for run, of in mine.items()},
        back={run: of[2] for run, of in mine.items()},
    )


def read_spike(result: SpikeResult) -> str:
    """The live sentence of the six optimisers."""
    state, row = result.state, result.names.index(result.state.optimizer)
    first = {run: number(update[0]) for run, update in result.update.items()}
    cost = {run: f"{costs[row]:,.0f}" for run, costs in result.cost.items()}
    raw = (
        f"A gradient of −{state.spike:g} among ones. {state.optimizer}, unclipped: the first update is {first['raw']} "
        f"usual ones, {result.wrong['raw']:,} of them go the wrong way, half the usual update is back after step "
        f"{result.back['raw']:,}, and {cost['raw']} usual steps are lost"
    )
    if state.spike <= state.max_norm:
        return f"{raw}. The threshold c = {state.max_norm:g} does not touch it."
    return (
        f"{raw}. Clipped at c = {state.max_norm:g}: {first['clipped']}, then {result.wrong['clipped']:,}, "
        f"{result.back['clipped']:,} and {cost['clipped']}."
    )


def hold_row(state: SpikeState, panel: str, x: float, y: float) -> SpikeState:
    """The mouse chooses a row on the right."""
    if panel != "cost":
        return state
    return replace(state, optimizer=SIX[::-1][min(max(round(y), 0), len(SIX) - 1)])


SPIKE = Demo(
    SpikeState,
    meet_spike,
    SixFigure,
    read_spike,
    presets={
        "Adam": Preset(SpikeState(), "The step at the spike is short. Where are the steps lost?"),
        "momentum": Preset(SpikeState(optimizer="momentum"), "How does it pay the same price as SGD?"),
        "RMSProp": Preset(SpikeState(optimizer="RMSProp"), "What does it share with Adam, and what not?"),
        "c = 10": Preset(SpikeState(max_norm=10.0), "Ten times the usual gradient passes. What does Adam lose now?"),
        "a shorter memory": Preset(SpikeState(beta2="0.99"), "How much of the loss does β₂ alone take away?"),
    },
    drag=hold_row,
)


def updates_after(optimizer: Optimizer, spikes: np.ndarray, n_before: int, n_after: int) -> np.ndarray:
    """The updates (n_after, spikes) from the spike on, by the optimiser itself, in units of the one before it.

    It meets `n_before` gradients of 1, then one of −spike, then ones again.
    """
    params, ones = np.zeros((len(spikes), 1)), np.ones((len(spikes), 1))
    state, met = optimizer.init(params), np.empty((n_before + n_after, len(spikes)))
    for step in range(n_before + n_after):
        grad = -np.asarray(spikes)[:, None] if step == n_before else ones
        update, state = optimizer.update(grad, state, params)
        met[step] = update[:, 0]
    return met[n_before:] / met[n_before - 1]


# --- Where the clip stands ----------------------------------------------------------------------------------

ORDER_STEPS, SPIKE_AT, LOSS_SCALE = 200, 30, 65_536.0
PULLS = {"A": (0.8, -0.5), "B": (-2.4, 1.5)}  # where each of the two micro-batches would go by itself
_CENTRES, _CURVATURES = np.array(list(PULLS.values())), np.array([1.5, 0.5])  # together they pull to the origin
ORDER_START, ORDER_WINDOW = np.array([-2.5, -2.5]), (-3.2, 2.4)
BAD_BATCH = 1000 * np.array([-0.8, 0.6])
TRAINED: dict[str, Optimizer] = {"SGD": SGD(0.05), "momentum": Momentum(0.005), "Adam": Adam(0.05)}
IN_PLACE, NOWHERE = "in its place", "nowhere"
AFTER, UPDATE, EACH, BUFFER, SCALED = (
    "after the step",
    "on the update",
    "on every micro-batch",
    "on the buffer, each time",
    "before unscaling",
)


@dataclass(frozen=True)
class OrderState(State):
    place: str = control(UPDATE, label="the clip stands", choices=(AFTER, UPDATE, EACH, BUFFER, SCALED))
    optimizer: str = control("Adam", label="optimiser", choices=tuple(TRAINED))
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 10), n_stops=41)
    step: int = control(ORDER_STEPS, label="step", whole=(0, ORDER_STEPS), play=True)


@dataclass(frozen=True)
class OrderResult:
    """Paths (ORDER_STEPS+1, 2) of the runs "raw", "elsewhere" and "clipped" (in its place), their distances from the
    minimum (ORDER_STEPS+1), and how far each is from the start at the state's step.
    """

    state: OrderState
    paths: dict[str, np.ndarray]
    distances: dict[str, np.ndarray]
    moved: dict[str, float]
    pulls: dict[str, tuple[float, float]]
    spike_at: int = SPIKE_AT
    window: tuple[float, float] = ORDER_WINDOW


def micro_gradients(params: np.ndarray, step: int) -> np.ndarray:
    """The gradients (2, *runs, 2) of the two micro-batches A and B at `params` (*runs, 2); their sum is the batch's.

    At SPIKE_AT an example in A adds BAD_BATCH.
    """
    away = params[None] - _CENTRES.reshape(2, *(1,) * (params.ndim - 1), 2)
    grads = _CURVATURES.reshape(2, *(1,) * params.ndim) * away
    if step == SPIKE_AT:
        grads[0] += BAD_BATCH
    return grads


def gradient_for(place: str, scaled: np.ndarray, max_norm: np.ndarray) -> np.ndarray:
    """What the optimiser is given. `scaled` (2, *runs, 2) is what two backward passes gave, LOSS_SCALE times too
    large; `max_norm` is (*runs).
    """
    if place == SCALED:
        return clip_by_global_norm(scaled[0] + scaled[1], max_norm) / LOSS_SCALE
    one, two = scaled / LOSS_SCALE
    if place == EACH:
        return clip_by_global_norm(one, max_norm) + clip_by_global_norm(two, max_norm)
    if place == BUFFER:
        buffer = clip_by_global_norm(one, max_norm)
        return clip_by_global_norm(buffer + two, max_norm)
    if place == IN_PLACE:
        return clip_by_global_norm(one + two, max_norm)
    return one + two  # the clip comes later, or not at all


def walk(place: str, optimizer: Optimizer, max_norm: np.ndarray) -> np.ndarray:
    """The path (ORDER_STEPS+1, C, 2) of a run for each threshold (C), with the clip at `place`."""
    params = np.tile(ORDER_START, (len(max_norm), 1))
    path, state = np.empty((ORDER_STEPS + 1, *params.shape)), optimizer.init(params)
    for step in range(ORDER_STEPS):
        path[step] = params
        grad = gradient_for(place, LOSS_SCALE * micro_gradients(params, step), max_norm)
        update, state = optimizer.update(grad, state, params)
        if place == UPDATE:
            update = clip_by_global_norm(update, optimizer.learning_rate * max_norm)
        params = params + update
    path[-1] = params
    return frozen(path)


_ORDER_LIMITS = controls_of(OrderState)["max_norm"].values


@lru_cache(maxsize=32)
def all_walks(place: str, optimizer: str) -> np.ndarray:
    """The paths at every stop of the threshold's slider, (ORDER_STEPS+1, C, 2)."""
    return walk(place, TRAINED[optimizer], np.array(_ORDER_LIMITS))


@lru_cache(maxsize=64)
def one_walk(place: str, optimizer: str, max_norm: float) -> np.ndarray:
    """One path (ORDER_STEPS+1, 2): looked up, or computed where the slider has no such stop."""
    if max_norm in _ORDER_LIMITS:
        return all_walks(place, optimizer)[:, _ORDER_LIMITS.index(max_norm)]
    return walk(place, TRAINED[optimizer], np.array([max_norm]))[:, 0]


def put_the_clip(state: OrderState) -> OrderResult:
    places = {"raw": NOWHERE, "elsewhere": state.place, "clipped": IN_PLACE}
    paths = {run: one_walk(place, state.optimizer, state.max_norm) for run, place in places.items()}
    return OrderResult(
        state=state,
        paths=paths,
        distances={run: global_norm(path) for run, path in paths.items()},
        moved={run: float(global_norm(path[state.step] - path[0])) for run, path in paths.items()},
        pulls=PULLS,
    )


def read_order(result: OrderResult) -> str:
    """The live sentence of the three runs."""
    state = result.state
    at = {run: number(distance[state.step]) for run, distance in result.distances.items()}
    sentence = (
        f"{state.optimizer}, c = {state.max_norm:g}, step {state.step}: clipped {state.place} the run is "
        f"{at['elsewhere']} from the minimum, in its place {at['clipped']}, unclipped {at['raw']}"
    )
    if np.allclose(result.paths["elsewhere"], result.paths["raw"], rtol=0, atol=1e-9):
        return f"{sentence}; clipped {state.place} and unclipped it is one and the same run."
    if np.allclose(result.paths["elsewhere"], result.paths["clipped"], rtol=0, atol=1e-9):
        return f"{sentence}; for {state.optimizer} these two places are one and the same."
    return f"{sentence}. It has come {number(result.moved['elsewhere'])} from the start."


def hold_order(state: OrderState, panel: str, x: float, y: float) -> OrderState:
    """The mouse moves the step on the right."""
    return replace(state, step=round(clamp("step", OrderState, x))) if panel == "time" else state


ORDER = Demo(
    OrderState,
    put_the_clip,
    OrderFigure,
    read_order,
    presets={
        "on the update": Preset(OrderState(), "No step of Adam's is long here. What did the spike do all the same?"),
        "after the step": Preset(OrderState(place=AFTER, optimizer="SGD", step=45), "What is left for the clip to do?"),
        "every micro-batch": Preset(OrderState(place=EACH, optimizer="SGD"), "It is at rest. Why not at the minimum?"),
        "before unscaling": Preset(OrderState(place=SCALED, optimizer="SGD"), "Is the dash-dotted run alive?"),
        "Adam hides it": Preset(OrderState(place=SCALED), "The same mistake. Who would notice it here?"),
    },
    drag=hold_order,
)


# --- Predictions --------------------------------------------------------------------------------------------

MICRO = np.array([[2.0, 0.0], [0.0, 2.0]])  # the gradients of two micro-batches, losses summed


def accumulate(place: str, max_norm: float = 1.0) -> np.ndarray:
    """The two gradients of MICRO made one, (2): clipped EACH by itself, the BUFFER each time, or IN_PLACE the sum."""
    return gradient_for(place, LOSS_SCALE * MICRO[:, None], np.array([max_norm]))[0]


def how_long_adam_is_slow() -> str:
    """How many updates go by after a spike of 1000 until Adam is back at half its usual one, in words."""
    _, _, back = toll("Adam", 1000.0, 0.9, 0.999)
    return ("ten", "fifty", "hundreds", "thousands")[int(np.searchsorted([20, 150, 2000], back))]


def what_the_buffer_gives() -> str:
    """Which result clipping the buffer after each backward pass gives, by its first entry."""
    return {"0.71": "diagonal", "0.45": "turned", "1.00": "longer"}[f"{accumulate(BUFFER)[0]:.2f}"]


def who_notices() -> str:
    """Whose runs stand still when the clip stands before the unscaling."""
    moved = {name: global_norm(one_walk(SCALED, name, 1.0)[-1] - ORDER_START) for name in ("SGD", "Adam")}
    still = tuple(name for name, distance in moved.items() if distance < 0.01)
    return {("SGD",): "sgd", ("Adam",): "adam", ("SGD", "Adam"): "both", (): "neither"}[still]


PREDICTIONS = {
    "back": Prediction(
        key="08.a",
        question="A settled run of Adam, PyTorch's defaults, meets gradients of 1 at every step. Then comes one of "
        "−1000, and after it ones again. How many steps later are the updates back at half their usual size?",
        truth=how_long_adam_is_slow,
        options={
            "ten": "about 10: m forgets with β₁ = 0.9",
            "fifty": "about 50: when m has the right sign again",
            "hundreds": "some hundred",
            "thousands": "several thousand",
        },
        explain={
            "ten": "1/(1 − β₁) = 10 steps is how long m remembers an ordinary gradient. This one was a thousand times "
            "as large, and it went into s as well.",
            "fifty": "After 44 updates m points the right way again. But u = m/√s, and √s is 30 times too large by "
            "then: s forgets with β₂ = 0.999.",
            "hundreds": "s forgets with 1/(1 − β₂) = 1000 steps, and what it has to forget is the *square* of the "
            "spike, a million, of which it took a thousandth.",
            "thousands": "Yes. s took in a thousandth of the spike's square, a million. It must fall from 1000 to 4 "
            "before √s is only twice too large, at 1‰ a step.",
        },
        evidence=lambda: read_spike(meet_spike(SpikeState())),
    ),
    "buffer": Prediction(
        key="08.b",
        question="Two micro-batches make one batch, and their gradients are added in a buffer: [2, 0], then [0, 2]. "
        "Somebody clips the buffer to norm 1 after each backward pass. What does the optimiser get?",
        truth=what_the_buffer_gives,
        options={
            "diagonal": "[0.71, 0.71]: the sum, clipped to norm 1",
            "turned": "[0.45, 0.89]: mostly the second one",
            "longer": "[1, 1]: one from each",
        },
        explain={
            "diagonal": "That is what it should be: add, then clip once. Here the first gradient is cut to [1, 0] "
            "before the second arrives in full length.",
            "turned": "Yes. The buffer is [1, 0] after the first pass and [1, 2] before the second clip. What comes "
            "last weighs most.",
            "longer": "That is clipping each micro-gradient by itself. Here it is the buffer that is clipped, and the "
            "second time it holds both.",
        },
        evidence=lambda: (
            "In place, the buffer each time, each by itself: "
            + ", ".join(f"[{a:.3g}, {b:.3g}]" for a, b in map(accumulate, (IN_PLACE, BUFFER, EACH)))
            + "."
        ),
    ),
    "unscaling": Prediction(
        key="08.c",
        question="The gradients are 65,536 times too large when they arrive. Somebody clips them at c = 1 and unscales "
        "them *afterwards*. What becomes of SGD, and of Adam?",
        truth=who_notices,
        options={
            "neither": "both train on: c only acts a little earlier",
            "both": "both stand still: the gradients are 65,536 times too short",
            "sgd": "SGD stands still, Adam trains on",
            "adam": "Adam stands still, SGD trains on",
        },
        explain={
            "neither": "Clipped to 1 first, every gradient is at most 1/65,536 long after unscaling, and so is SGD's "
            "step, times η.",
            "both": "The gradients are, and SGD steps that little. But Adam divides by their size.",
            "sgd": "Yes: SGD's steps are at most η·c/65,536. Adam divides by the size of its gradients, so a common "
            "factor cancels, and nobody notices that every gradient has been cut to one length.",
            "adam": "The other way round: Adam divides a common factor out, SGD does not.",
        },
        evidence=lambda: " ".join(
            read_order(put_the_clip(OrderState(place=SCALED, optimizer=name))) for name in ("SGD", "Adam")
        ),
    ),
} | side_trips08.PREDICTIONS

# --- Exercises ----------------------------------------------------------------------------------------------


def longest_update(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * (1 - beta**n_steps) / (1 - beta)


def longest_update_stub(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    # v = 0 at first; then n_steps times v ← beta·v + g with ‖g‖ ≤ max_norm. How long can the last update be?
    ...


def believes_the_step_is_clipped(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm


def takes_the_limit(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm / (1 - beta)


def averages_the_gradients(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * (1 - beta**n_steps)


def forgets_nothing(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * n_steps


def looks_at_the_first_only(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * beta ** (n_steps - 1)


def counts_one_gradient_too_few(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * (1 - beta ** (n_steps - 1)) / (1 - beta)


def counts_one_gradient_too_many(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * (1 - beta ** (n_steps + 1)) / (1 - beta)


def forgets_the_rate(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return max_norm * (1 - beta**n_steps) / (1 - beta)


def multiplies_by_what_is_forgotten(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * (1 - beta)


def divides_by_beta(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm / beta


def decays_the_newest_too(learning_rate: float, beta: float, max_norm: float, n_steps: int) -> float:
    return learning_rate * max_norm * beta * (1 - beta**n_steps) / (1 - beta)


def training_step(
    theta: np.ndarray,
    velocity: np.ndarray,
    scaled_grads: np.ndarray,
    scale: float,
    learning_rate: float,
    max_norm: float,
) -> tuple[np.ndarray, np.ndarray]:
    grad = scaled_grads.mean(axis=0) / scale
    grad = clip_by_global_norm(grad, max_norm)
    velocity = 0.9 * velocity + grad
    return theta - learning_rate * velocity, velocity


def training_step_stub(
    theta: np.ndarray,
    velocity: np.ndarray,
    scaled_grads: np.ndarray,
    scale: float,
    learning_rate: float,
    max_norm: float,
) -> tuple[np.ndarray, np.ndarray]:
    grad = np.zeros_like(theta)
    for scaled in scaled_grads:
        grad = grad + clip_by_global_norm(scaled, max_norm) / scale
    velocity = 0.9 * velocity + grad / len(scaled_grads)
    return theta - learning_rate * velocity, velocity


Step = tuple[np.ndarray, np.ndarray]  # the new parameters and the new velocity


def _wrong_gradient(make: Callable[[np.ndarray, float, float], np.ndarray]) -> Callable[..., Step]:
    """The training step that is right but for the gradient that `make` makes of (scaled_grads, scale, max_norm)."""

    def step(
        theta: np.ndarray, velocity: np.ndarray, scaled_grads: np.ndarray, scale: float, rate: float, max_norm: float
    ) -> Step:
        velocity = 0.9 * velocity + make(scaled_grads, scale, max_norm)
        return theta - rate * velocity, velocity

    step.__name__ = make.__name__
    return step


def _wrong_end(finish: Callable[[np.ndarray, np.ndarray, np.ndarray, float, float], Step]) -> Callable[..., Step]:
    """The training step that is right up to the true gradient, from which `finish` goes on with (…, η, c)."""

    def step(
        theta: np.ndarray, velocity: np.ndarray, scaled_grads: np.ndarray, scale: float, rate: float, max_norm: float
    ) -> Step:
        return finish(theta, velocity, scaled_grads.mean(0) / scale, rate, max_norm)

    step.__name__ = finish.__name__
    return step


@_wrong_gradient
def clips_before_unscaling(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads.mean(0), c) / scale


@_wrong_gradient
def clips_each_micro_batch(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads / scale, c).mean(0)


@_wrong_gradient
def clips_the_buffer_each_time(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    buffer = np.zeros(grads.shape[1])
    for grad in grads:
        buffer = clip_by_global_norm(buffer + grad / scale / len(grads), c)
    return buffer


@_wrong_gradient
def forgets_to_clip(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return grads.mean(0) / scale


@_wrong_gradient
def forgets_to_unscale(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads.mean(0), c)


@_wrong_gradient
def unscales_twice(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads.mean(0) / scale, c) / scale


@_wrong_gradient
def multiplies_by_the_scale(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads.mean(0) * scale, c)


@_wrong_gradient
def adds_instead_of_averaging(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads.sum(0) / scale, c)


@_wrong_gradient
def averages_after_the_clip(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return clip_by_global_norm(grads.sum(0) / scale, c) / len(grads)


@_wrong_gradient
def clamps(grads: np.ndarray, scale: float, c: float) -> np.ndarray:
    return np.clip(grads.mean(0) / scale, -c, c)


@_wrong_end
def clips_the_velocity(theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float) -> Step:
    velocity = clip_by_global_norm(0.9 * velocity + grad, c)
    return theta - rate * velocity, velocity


@_wrong_end
def clips_the_update(theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float) -> Step:
    velocity = 0.9 * velocity + grad
    return theta - rate * clip_by_global_norm(velocity, c), velocity


@_wrong_end
def clips_the_whole_step(theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float) -> Step:
    velocity = 0.9 * velocity + grad
    return theta - clip_by_global_norm(rate * velocity, c), velocity


@_wrong_end
def averages_the_velocity(theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float) -> Step:
    velocity = 0.9 * velocity + 0.1 * clip_by_global_norm(grad, c)
    return theta - rate * velocity, velocity


@_wrong_end
def puts_the_rate_into_the_velocity(
    theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float
) -> Step:
    velocity = 0.9 * velocity - rate * clip_by_global_norm(grad, c)
    return theta + velocity, velocity


@_wrong_end
def steps_with_the_old_velocity(
    theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float
) -> Step:
    return theta - rate * velocity, 0.9 * velocity + clip_by_global_norm(grad, c)


@_wrong_end
def climbs(theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float) -> Step:
    velocity = 0.9 * velocity + clip_by_global_norm(grad, c)
    return theta + rate * velocity, velocity


@_wrong_end
def forgets_the_velocity(theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float) -> Step:
    grad = clip_by_global_norm(grad, c)
    return theta - rate * grad, grad


@_wrong_end
def hands_back_the_old_velocity(
    theta: np.ndarray, velocity: np.ndarray, grad: np.ndarray, rate: float, c: float
) -> Step:
    return theta - rate * (0.9 * velocity + clip_by_global_norm(grad, c)), velocity


def steps_to_half(spike: float, beta2: float) -> float:
    excess = (1 - beta2) * (spike**2 - 1)
    return float(np.log(excess / 3) / -np.log(beta2)) if excess > 3 else 0.0


def steps_to_half_stub(spike: float, beta2: float) -> float:
    # s was 1 before the spike and is 1 + excess after it. How many steps until 1/√s is ½? (0 if it never is below)
    ...


def _log_steps(excess: float, level: float, beta: float) -> float:
    return float(np.log(excess / level) / -np.log(beta)) if excess > level else 0.0


def forgets_the_root_of_s(spike: float, beta2: float) -> float:
    return _log_steps((1 - beta2) * (spike**2 - 1), 1, beta2)


def forgets_the_square_of_the_spike(spike: float, beta2: float) -> float:
    return _log_steps((1 - beta2) * spike, 3, beta2)


def forgets_that_s_takes_a_share(spike: float, beta2: float) -> float:
    return _log_steps(spike**2 - 1, 3, beta2)


def forgets_the_usual_gradients(spike: float, beta2: float) -> float:
    return _log_steps((1 - beta2) * spike**2, 4, beta2)


def halves_the_excess(spike: float, beta2: float) -> float:
    return float(np.log(2) / -np.log(beta2)) if (1 - beta2) * (spike**2 - 1) > 3 else 0.0


def takes_the_memory_for_the_answer(spike: float, beta2: float) -> float:
    return 1 / (1 - beta2) if (1 - beta2) * (spike**2 - 1) > 3 else 0.0


def forgets_as_m_does(spike: float, beta2: float) -> float:
    return _log_steps((1 - beta2) * (spike**2 - 1), 3, 0.9)


def waits_for_m_alone(spike: float, beta2: float) -> float:
    return float(np.log(0.1 * (1 + spike)) / -np.log(0.9)) if 0.1 * (1 + spike) > 1 else 0.0


def takes_the_loss_per_step_for_the_logarithm(spike: float, beta2: float) -> float:
    excess = (1 - beta2) * (spike**2 - 1)
    return float(np.log(excess / 3) / (1 - beta2)) if excess > 3 else 0.0


def counts_in_tens(spike: float, beta2: float) -> float:
    excess = (1 - beta2) * (spike**2 - 1)
    return float(np.log10(excess / 3) / (1 - beta2)) if excess > 3 else 0.0


def waits_for_all_of_it(spike: float, beta2: float) -> float:
    return _log_steps((1 - beta2) * (spike**2 - 1), 0.01, beta2)


EXERCISES = {
    "longest_update": Exercise(
        key="08.1",
        title="The longest update of momentum",
        solution=longest_update,
        stub=longest_update_stub,
        probes=(
            Probe((0.1, 0.5, 1.0, 2), "two gradients, β = ½"),
            Probe((1.0, 0.9, 2.0, 1), "one gradient"),
            Probe((0.01, 0.9, 1.0, 10), "ten gradients, β = 0.9"),
            Probe((0.01, 0.9, 1.0, 1000), "a thousand gradients"),
            Probe((0.2, 0.99, 0.5, 30), "β = 0.99"),
        ),
        misconceptions=(
            Misconception(
                believes_the_step_is_clipped,
                "That caps one gradient, ηc. The velocity adds up many: after a second one it is c + βc.",
            ),
            Misconception(
                takes_the_limit,
                "That is the bound that is never reached, ηc/(1−β). After `n_steps` gradients the sum c + βc + β²c + … "
                "has only that many terms.",
            ),
            Misconception(
                averages_the_gradients,
                "That is right for the averaging form, v ← β·v + (1−β)·g, which stays below c. Here the new gradient "
                "enters in full.",
            ),
            Misconception(
                forgets_nothing, "Without forgetting they would add up to n·c. Each step multiplies what is old by β."
            ),
            Misconception(
                looks_at_the_first_only,
                "That is what is left of the first gradient. The later ones are in the velocity too: add them all.",
            ),
            Misconception(
                counts_one_gradient_too_few,
                "One gradient too few: after the first the velocity is c, and 1 − β⁰ would be 0.",
            ),
            Misconception(
                counts_one_gradient_too_many, "One gradient too many: after the first the velocity is c, not c + βc."
            ),
            Misconception(forgets_the_rate, "That is the velocity. The update is η times as long."),
            Misconception(
                multiplies_by_what_is_forgotten,
                "1 − β is the share that is forgotten in a step. The sum of a geometric series *divides* by it.",
            ),
            Misconception(divides_by_beta, "The series 1 + β + β² + … sums to 1/(1−β), not to 1/β."),
            Misconception(
                decays_the_newest_too,
                "The newest gradient enters in full length: v ← β·v + g multiplies only the old velocity by β.",
            ),
        ),
        hints=(
            "When is the sum of several arrows of length at most c as long as it can be?",
            "When all point one way: c + βc + β²c + …, with `n_steps` terms.",
            "A geometric series: (1 − βⁿ)/(1 − β).",
        ),
        explanation="The longer β remembers, the later the bound is reached: with β = 0.9 ten gradients make 65% of "
        "it. A threshold that was chosen for SGD lets momentum step up to 1/(1−β) times as far.",
    ),
    "training_step": Exercise(
        key="08.2",
        title="Mend: everything in its place",
        solution=training_step,
        stub=training_step_stub,
        probes=(
            Probe(
                (np.array([1.0, 2.0]), np.zeros(2), np.array([[16.0, 0.0], [0.0, 16.0]]), 8.0, 0.1, 1.0),
                "two micro-batches, both long",
            ),
            Probe(
                (np.array([1.0, 2.0]), np.array([0.5, 0.0]), np.array([[0.16, 0.0], [0.08, 0.08]]), 8.0, 0.1, 1.0),
                "nothing to clip once it is unscaled",
            ),
            Probe(
                (np.array([0.0, 1.0]), np.array([3.0, -4.0]), np.array([[4.0, 8.0]]), 4.0, 0.5, 1.5),
                "one micro-batch, a long velocity",
            ),
            Probe(
                (np.array([0.5, 0.5]), np.zeros(2), np.array([[40.0, 4.0], [-40.0, 2.0], [4.0, 0.0]]), 4.0, 0.1, 1.0),
                "long micro-batches that cancel",
            ),
            Probe(
                (np.array([1.0, 1.0, 1.0]), np.ones(3), 65536 * np.array([[3.0, 0, 1], [0, -6, 2]]), 65536.0, 0.01, 2),
                "scale 65,536",
            ),
            Probe((np.ones(2), np.array([1.0, 0.0]), np.zeros((2, 2)), 8.0, 0.1, 1.0), "a zero gradient"),
            Probe(
                (np.zeros(2), np.array([30.0, 40.0]), np.array([[2.0, 0.0], [0.0, 6.0]]), 1.0, 1.0, 2.0),
                "no scaling, η = 1",
            ),
        ),
        misconceptions=(
            Misconception(
                clips_before_unscaling,
                "The clip stands before the unscaling, so what is left is at most c/scale long. Unscale first.",
            ),
            Misconception(
                clips_each_micro_batch,
                "Unscaled first: good. But each micro-batch is clipped by itself, which turns the sum (and holds c for "
                "each of them). Average first, clip once.",
            ),
            Misconception(
                clips_the_buffer_each_time,
                "The buffer is clipped while it fills, so what comes last weighs most. Clip when it is full.",
            ),
            Misconception(
                clips_the_velocity,
                "The velocity is clipped, not the gradient: the new gradient enters unclipped, and all that was "
                "remembered is cut with it.",
            ),
            Misconception(
                clips_the_update,
                "The step is short, but the velocity has kept the whole spike and will push for many steps. Clip "
                "before the velocity.",
            ),
            Misconception(
                clips_the_whole_step,
                "c is a bound for the gradient; here it bounds the step η·v, and the velocity is not clipped at all.",
            ),
            Misconception(
                forgets_to_clip,
                "Averaged and unscaled, but nothing is clipped. (A clip after the step would not help: the step is "
                "taken.)",
            ),
            Misconception(
                forgets_to_unscale,
                "Never unscaled: long gradients come out right by luck, short ones too long, up to c.",
            ),
            Misconception(
                unscales_twice,
                "It is unscaled twice: once before the clip, which is right, and once after it.",
            ),
            Misconception(
                multiplies_by_the_scale,
                "The gradients arrive `scale` times too large: divide by it.",
            ),
            Misconception(
                adds_instead_of_averaging,
                "The sum, not the mean: more micro-batches would mean a longer gradient for the same data.",
            ),
            Misconception(
                averages_after_the_clip,
                "The sum is clipped and then divided by the number of micro-batches: the result is at most c/number "
                "long. Average before the clip.",
            ),
            Misconception(
                clamps,
                "In the right place, but it is clamped, entry by entry, and turns (lesson 02). Clip by norm.",
            ),
            Misconception(
                averages_the_velocity,
                "The gradient is right. The velocity is another one: 0.9·v + 0.1·g where 0.9·v + g was given.",
            ),
            Misconception(
                puts_the_rate_into_the_velocity,
                "The gradient is right. The velocity holds −η·g here; in the given version η enters with the step "
                "alone.",
            ),
            Misconception(
                steps_with_the_old_velocity,
                "The step is taken with the velocity of the step before. First the velocity, then the step.",
            ),
            Misconception(
                climbs,
                "The gradient is right, but what was in the velocity is gone: 0.9·v + g.",
            ),
            Misconception(
                hands_back_the_old_velocity,
                "The new θ is right. The velocity that comes back is still the old one.",
            ),
        ),
        hints=(
            "Which vector is *the* gradient of the batch, in its true size? That one is clipped.",
            "Average over the micro-batches and divide by the scale, in either order. Then clip, then the velocity.",
            "`grad = clip_by_global_norm(scaled_grads.mean(axis=0) / scale, max_norm)`, and the last two lines as "
            "usual.",
        ),
        explanation="One gradient, in its true size, clipped once, before anything remembers it. The given version "
        "broke two of these: it clipped every micro-batch, and it clipped while the numbers were still scaled.",
    ),
    "steps_to_half": Exercise(
        key="08.3",
        title="How long is s too large?",
        solution=steps_to_half,
        stub=steps_to_half_stub,
        probes=(
            Probe((1000.0, 0.999), "the spike of the lesson"),
            Probe((100.0, 0.999), "a spike of 100"),
            Probe((1000.0, 0.99), "β₂ = 0.99"),
            Probe((10000.0, 0.9), "β₂ = 0.9"),
            Probe((10.0, 0.999), "too small to halve the step"),
            Probe((1.0, 0.999), "no spike at all"),
        ),
        misconceptions=(
            Misconception(
                forgets_the_root_of_s,
                "The update is divided by √s. It is halved where √s is 2, that is s = 4, an excess of 3.",
            ),
            Misconception(
                forgets_the_square_of_the_spike,
                "s averages *squares*: a spike of G enters with G², a million for 1000.",
            ),
            Misconception(
                forgets_that_s_takes_a_share, "s ← β₂·s + (1 − β₂)·g²: only the share 1 − β₂ of the square enters."
            ),
            Misconception(
                forgets_the_usual_gradients,
                "Close, but the ones go on coming in and keep s from falling below 1: s = 1 + excess·β₂ᵏ, so it is the "
                "excess that falls to 3.",
            ),
            Misconception(
                halves_the_excess, "That is how long the excess takes to halve. It has to fall all the way to 3."
            ),
            Misconception(
                takes_the_memory_for_the_answer,
                "1/(1 − β₂) steps is how long s remembers a gradient of ordinary size: after them a third is left. Of "
                "an excess of 1000 that is far too much.",
            ),
            Misconception(forgets_as_m_does, "That is β₁ = 0.9, with which m forgets. s forgets with β₂."),
            Misconception(
                waits_for_m_alone,
                "After so many steps m points the right way again. The update is m/√s, and √s is still far too large.",
            ),
            Misconception(
                takes_the_loss_per_step_for_the_logarithm,
                "Nearly: 1 − β₂ stands for ln(1/β₂), which is good near 1 and not at β₂ = 0.9. Use `np.log`.",
            ),
            Misconception(counts_in_tens, "`np.log10` where the natural logarithm, `np.log`, belongs."),
            Misconception(
                waits_for_all_of_it,
                "That waits until nearly all of the excess is gone. Half the usual update is back much earlier, at "
                "s = 4.",
            ),
        ),
        hints=(
            "What is s right after the spike, and to what value must it fall so that 1/√s is ½?",
            "s = 1 + excess·β₂ᵏ with excess = (1 − β₂)(G² − 1), and it must fall to 4.",
            "excess·β₂ᵏ = 3, so k = ln(excess/3)/ln(1/β₂); 0 if the excess is not above 3.",
        ),
        explanation="k grows with the *logarithm* of the spike, and in proportion to the memory 1/(1 − β₂). Ten times "
        "the spike costs 2·ln 10 memories more, and that is why a shorter memory helps Adam more than a smaller spike.",
        rtol=1e-3,
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "08",
    (
        Question(
            "With Adam no update is longer than a few η, whatever the gradient. Is clipping needed?",
            (
                Option(
                    "No: Adam clips by itself, its step is bounded",
                    "The step is. But the spike stays in m for tens of steps and in s for thousands, and shortens "
                    "every update until it is forgotten.",
                ),
                Option(
                    "Yes: it keeps the spike out of m and s",
                    "Yes. With Adam clipping protects the state, not the step.",
                    right=True,
                ),
                Option(
                    "Yes: without it the update after a spike of 1000 is 1000η long",
                    "That is SGD. Adam's is about 3η.",
                ),
                Option(
                    "No: s makes Adam ignore the scale of gradients",
                    "It ignores a factor that all of them share. One large gradient among small ones is no such "
                    "factor.",
                ),
            ),
        ),
        Question(
            "Four micro-batches are accumulated into one gradient. Where does the clip belong?",
            (
                Option(
                    "After every backward pass, so that the buffer never overflows",
                    "Then early micro-batches are cut and the last one weighs most: the direction turns.",
                ),
                Option(
                    "On each micro-gradient at c/4, so that the sum stays below c",
                    "The sum does, and it turns too: long micro-gradients lose more than short ones.",
                ),
                Option(
                    "Once, on the full buffer, before the step",
                    "Yes: the same as if the batch had been computed in one piece.",
                    right=True,
                ),
            ),
        ),
        Question(
            "Mixed precision, scale 65,536, SGD: the loss does not move at all. The same code with Adam trains. First "
            "suspicion?",
            (
                Option(
                    "Gradients are clipped before they are unscaled",
                    "Yes: SGD's steps are at most ηc/65,536 then. Adam divides the common factor out and hides it.",
                    right=True,
                ),
                Option(
                    "c is too large, nothing is clipped",
                    "Then SGD would train, or diverge. It would not stand still.",
                ),
                Option(
                    "SGD cannot train in float16",
                    "It can, if the gradients that it is given have their true size.",
                ),
                Option(
                    "The gradients have overflowed",
                    "Then steps would be skipped for Adam as well.",
                ),
            ),
        ),
        Question(
            "Gradients are clipped at c = 1, and the optimiser has weight_decay = 0.1. What does the clip do to the "
            "decay?",
            (
                Option(
                    "It is clipped along: all that moves a weight is in its gradient",
                    "Only if λ/2·‖θ‖² is part of the loss. The optimiser's own decay comes after the clip.",
                ),
                Option(
                    "Nothing, coupled or decoupled: it enters inside the step",
                    "Yes. So a weight of norm 1000 moves by η·100, whatever c is.",
                    right=True,
                ),
                Option(
                    "Nothing if it is decoupled; coupled decay is clipped",
                    "Coupled decay is added to the gradient inside the optimiser's step, which comes after the clip.",
                ),
            ),
        ),
        Question(
            "The training loop calls `step()` and then clips. What has been clipped?",
            (
                Option(
                    "The next step: the clipped gradient is still there",
                    "It is zeroed, or overwritten by the next backward pass, before anything uses it.",
                ),
                Option(
                    "The state: m and s see the clipped gradient",
                    "They saw the gradient as it was when `step()` ran.",
                ),
                Option(
                    "Nothing: the step was taken with the unclipped gradient",
                    "Yes. The run is the unclipped one, step for step.",
                    right=True,
                ),
            ),
        ),
    ),
)

LESSON = Lesson(
    "08",
    "Clipping and the optimiser",
    {"fork": FORK, "spike": SPIKE, "order": ORDER, "scale": SCALE, "decay": DECAY},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
