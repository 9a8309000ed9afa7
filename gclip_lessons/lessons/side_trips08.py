"""Side trips of lesson 08: Adam under streams of every scale, and the weight decay that clipping does not see."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import clip_by_global_norm, global_norm
from gclip_lessons.exercises import Prediction
from gclip_lessons.figures.decay import DecayFigure
from gclip_lessons.figures.scale import ScaleFigure
from gclip_lessons.lessons import Demo, Preset, State, control, controls_of, frozen, snap
from gclip_lessons.optimizers import SGD, Adam, Optimizer


def number(value: float) -> str:
    """Three digits, with commas for thousands; what is below a thousandth is said to be."""
    if 0 <= value < 1e-3:
        return "below 0.001"
    return f"{float(f'{value:.3g}'):,.10g}".replace("-", "−")


# --- Does Adam see the scale? -------------------------------------------------------------------------------

STREAM_STEPS, STREAMS, DIMENSIONS = 2000, 16, 10
SPREADS = ("0", "0.5", "1", "1.5")


@dataclass(frozen=True)
class ScaleState(State):
    spread: str = control("0", label="spread of log n", choices=SPREADS)
    max_norm: float = control(0.001, label="threshold c", log=(1e-9, 1e3), n_stops=25)


@dataclass(frozen=True)
class ScaleResult:
    """`norms` (shown) of one stream; the mean size of the updates of "Adam" and "SGD" over that without clipping, at
    all `thresholds` (C) as `sizes` and at the state's as `here`; `clipped` is the share of gradients that c cuts.
    """

    state: ScaleState
    norms: np.ndarray
    thresholds: np.ndarray
    sizes: dict[str, np.ndarray]
    here: dict[str, float]
    clipped: float


@lru_cache(maxsize=1)
def stream() -> tuple[np.ndarray, np.ndarray]:
    """Random directions (steps, streams, dimensions), and standard normal logs of norms (steps, streams)."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(STREAM_STEPS, STREAMS, DIMENSIONS))
    directions /= global_norm(directions)[..., None]
    return frozen(directions), frozen(rng.normal(size=(STREAM_STEPS, STREAMS)))


def mean_updates(optimizer: Optimizer, spreads: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The mean of |uᵢ| over steps, streams and coordinates, (spreads, thresholds).

    The gradients are n·d with random directions d and norms n = exp(spread·z), z standard normal. Clipped at c such a
    gradient is min(n, c)·d.
    """
    directions, logs = stream()
    params = np.zeros((len(spreads), len(thresholds), STREAMS, DIMENSIONS))
    state, total = optimizer.init(params), np.zeros(params.shape[:2])
    for direction, log in zip(directions, logs, strict=True):
        norms = np.exp(np.multiply.outer(spreads, log))[:, None]
        grad = np.minimum(norms, thresholds[:, None])[..., None] * direction
        update, state = optimizer.update(grad, state, params)
        total += np.abs(update).mean((-2, -1))
    return total / STREAM_STEPS


def mean_gradients(spreads: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The same for SGD at η = 1, whose update is the clipped gradient itself."""
    directions, logs = stream()
    sizes = np.abs(directions).mean(-1)
    norms = np.exp(np.multiply.outer(spreads, logs))
    return np.stack([(np.minimum(norms, c) * sizes).mean((1, 2)) for c in thresholds], axis=-1)


_SCALE_LIMITS = frozen(np.array([*controls_of(ScaleState)["max_norm"].values, np.inf]))


@lru_cache(maxsize=1)
def _all_sizes() -> dict[str, np.ndarray]:
    """The mean updates at every stop of the sliders over those without clipping, (spreads, C)."""
    spreads = np.array([float(spread) for spread in SPREADS])
    sizes = {"Adam": mean_updates(Adam(1.0), spreads, _SCALE_LIMITS), "SGD": mean_gradients(spreads, _SCALE_LIMITS)}
    return {name: frozen(size[:, :-1] / size[:, -1:]) for name, size in sizes.items()}


@lru_cache(maxsize=16)
def _sizes_at(spread: str, max_norm: float) -> dict[str, float]:
    """The same at one threshold: looked up, or computed where the slider has no such stop."""
    if max_norm in _SCALE_LIMITS:
        place = SPREADS.index(spread), int(np.flatnonzero(max_norm == _SCALE_LIMITS)[0])
        return {name: float(size[place]) for name, size in _all_sizes().items()}
    pair, spreads = np.array([max_norm, np.inf]), np.array([float(spread)])
    sizes = {"Adam": mean_updates(Adam(1.0), spreads, pair)[0], "SGD": mean_gradients(spreads, pair)[0]}
    return {name: float(clipped / raw) for name, (clipped, raw) in sizes.items()}


def feed_streams(state: ScaleState) -> ScaleResult:
    norms = np.exp(float(state.spread) * stream()[1])
    row = SPREADS.index(state.spread)
    return ScaleResult(
        state=state,
        norms=norms[:200, 0],
        thresholds=_SCALE_LIMITS[:-1],
        sizes={name: size[row] for name, size in _all_sizes().items()},
        here=_sizes_at(state.spread, state.max_norm),
        clipped=float((norms > state.max_norm * (1 + 1e-9)).mean()),  # a norm of 1 is 1 but for rounding
    )


def read_scale(result: ScaleResult) -> str:
    """The live sentence of the streams."""
    state, here = result.state, result.here
    norms = "all norms are 1" if state.spread == "0" else f"log norms spread by {state.spread}"
    return (
        f"{norms[0].upper()}{norms[1:]}; c = {state.max_norm:g} clips {100 * result.clipped:.0f}% of the gradients. "
        f"The mean update is {number(here['SGD'])} of the unclipped one for SGD, {number(here['Adam'])} for Adam."
    )


def hold_scale(state: ScaleState, panel: str, x: float, y: float) -> ScaleState:
    """The mouse moves the threshold: upwards on the left, sideways on the right."""
    return replace(state, max_norm=snap("max_norm", ScaleState, y if panel == "norms" else x))


SCALE = Demo(
    ScaleState,
    feed_streams,
    ScaleFigure,
    read_scale,
    presets={
        "norms alike": Preset(ScaleState(), "How far down can c go before Adam notices?"),
        "near ε": Preset(ScaleState(max_norm=1e-7), "Which number of Adam's does the gradient meet here?"),
        "lognormal norms": Preset(ScaleState(spread="1.5"), "Every gradient is cut. Why are the updates longer?"),
        "lognormal, c = 1": Preset(ScaleState(spread="1.5", max_norm=1.0), "Is it enough to cut half of them?"),
    },
    drag=hold_scale,
)

# --- Weight decay -------------------------------------------------------------------------------------------

DECAY_STEPS, NOISE = 400, 10.0
DECAYED: dict[str, Optimizer] = {"SGD": SGD(0.05), "Adam": Adam(0.005)}
IN_LOSS, COUPLED, DECOUPLED = FORMS = ("in the loss", "coupled", "decoupled")


@dataclass(frozen=True)
class DecayState(State):
    optimizer: str = control("SGD", label="optimiser", choices=tuple(DECAYED))
    weight_decay: str = control("0.1", label="weight decay λ", choices=("0.01", "0.1", "1"))
    max_norm: float = control(1.0, label="threshold c", log=(0.01, 100), n_stops=41)


@dataclass(frozen=True)
class DecayResult:
    """The idle weight, (DECAY_STEPS+1), for each of FORMS, and what is `left` of it at all `thresholds` (C)."""

    state: DecayState
    weights: dict[str, np.ndarray]
    thresholds: np.ndarray
    left: dict[str, np.ndarray]


def decay(optimizer: Optimizer, weight_decay: float, thresholds: np.ndarray, form: str) -> np.ndarray:
    """An idle weight that starts at 1, (DECAY_STEPS+1, C), beside a busy one with gradients of ±NOISE.

    In the loss, the pull λθ is part of the gradient that is clipped; coupled, the optimiser adds it to the clipped
    gradient; decoupled, it is subtracted from the weights and the optimiser never sees it.
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], DECAY_STEPS)
    params = np.tile([0.0, 1.0], (len(thresholds), 1))
    idle, state = np.empty((DECAY_STEPS + 1, len(thresholds))), optimizer.init(params)
    for step, sign in enumerate(signs):
        idle[step] = params[:, 1]
        grad, pull = np.tile([NOISE * sign, 0.0], (len(thresholds), 1)), weight_decay * params
        if form == IN_LOSS:
            grad = grad + pull
        grad = clip_by_global_norm(grad, thresholds)
        if form == COUPLED:
            grad = grad + pull
        update, state = optimizer.update(grad, state, params)
        params = params + update - (optimizer.learning_rate * pull if form == DECOUPLED else 0)
    idle[-1] = params[:, 1]
    return frozen(idle)


_DECAY_LIMITS = controls_of(DecayState)["max_norm"].values


@lru_cache(maxsize=32)
def _all_decays(optimizer: str, weight_decay: str, form: str) -> np.ndarray:
    return decay(DECAYED[optimizer], float(weight_decay), np.array(_DECAY_LIMITS), form)


@lru_cache(maxsize=64)
def idle_weight(optimizer: str, weight_decay: str, form: str, max_norm: float) -> np.ndarray:
    """The idle weight at one threshold: looked up, or computed where the slider has no such stop."""
    if max_norm in _DECAY_LIMITS:
        return _all_decays(optimizer, weight_decay, form)[:, _DECAY_LIMITS.index(max_norm)]
    return decay(DECAYED[optimizer], float(weight_decay), np.array([max_norm]), form)[:, 0]


def let_decay(state: DecayState) -> DecayResult:
    setting = state.optimizer, state.weight_decay
    return DecayResult(
        state=state,
        weights={form: idle_weight(*setting, form, state.max_norm) for form in FORMS},
        thresholds=np.array(_DECAY_LIMITS),
        left={form: _all_decays(*setting, form)[-1] for form in FORMS},
    )


def read_decay(result: DecayResult) -> str:
    """The live sentence of weight decay."""
    state = result.state
    left = {form: number(abs(weight[-1])) for form, weight in result.weights.items()}
    return (
        f"{state.optimizer}, λ = {state.weight_decay}, c = {state.max_norm:g}: after {DECAY_STEPS} steps the size of "
        f"the idle weight is {left[IN_LOSS]} with the decay in the loss, {left[COUPLED]} coupled, {left[DECOUPLED]} "
        "decoupled."
    )


def hold_decay(state: DecayState, panel: str, x: float, y: float) -> DecayState:
    """The mouse moves the threshold on the right."""
    return replace(state, max_norm=snap("max_norm", DecayState, x)) if panel == "left over" else state


DECAY = Demo(
    DecayState,
    let_decay,
    DecayFigure,
    read_decay,
    presets={
        "SGD": Preset(DecayState(), "Which of the three forms does the threshold slow down?"),
        "SGD, c too small": Preset(DecayState(max_norm=0.01), "Who would miss the decay that is gone here?"),
        "Adam": Preset(DecayState(optimizer="Adam"), "Two of the forms forget λ. Why?"),
        "Adam, λ = 0.01": Preset(
            DecayState(optimizer="Adam", weight_decay="0.01"), "λ is a tenth of that. Which lines have moved?"
        ),
    },
    drag=hold_decay,
)

# --- What the side trips ask --------------------------------------------------------------------------------


def what_clipping_all_does() -> str:
    """What becomes of Adam's mean update where log norms spread by 1.5 and every gradient is clipped."""
    ratio = _sizes_at("1.5", 0.001)["Adam"]
    return "longer" if ratio > 1.1 else "same" if ratio > 0.9 else "shorter"


PREDICTIONS = {
    "scale": Prediction(
        key="08.d",
        question="Adam meets gradients whose norms differ widely (lognormal, a few of them a hundred times the usual). "
        "Now every single gradient is clipped to c = 0.001, far below all of them. What becomes of the mean size of "
        "Adam's updates?",
        truth=what_clipping_all_does,
        options={
            "shorter": "much shorter: c is a thousandth of a usual norm",
            "same": "the same: Adam divides by the size of the gradients",
            "longer": "longer, by a quarter or more",
        },
        explain={
            "shorter": "That is SGD. Adam divides by √s, the size of the gradients that it has met, and those are "
            "clipped too: a common factor cancels.",
            "same": "It would be so if all norms were alike: a common factor cancels. Here clipping does not multiply "
            "all gradients by one factor: it makes them equal, and so takes away the rare long ones that kept √s "
            "large.",
            "longer": "Yes. Clipping makes all norms equal. The rare long gradients, which kept √s large and all other "
            "updates short, are gone.",
        },
        evidence=lambda: read_scale(feed_streams(ScaleState(spread="1.5"))),
    ),
}
