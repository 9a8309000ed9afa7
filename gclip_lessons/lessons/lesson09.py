"""Lesson 09, whose norm? Layers, examples and workers: what shares one norm decides what clipping does."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import adaptive_clip, clip_by_global_norm, clip_by_norm, clip_per_example, global_norm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.leaving import LeavingFigure
from gclip_lessons.figures.scopes import ScopesFigure
from gclip_lessons.figures.workers import WorkersFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, frozen, side_trips09
from gclip_lessons.lessons.lesson04 import two_digits
from gclip_lessons.lessons.side_trips09 import RELATIVES, SIZES
from gclip_lessons.models import DeepNet, Logistic

# --- Workers: clip, then average, or average, then clip -----------------------------------------------------


@dataclass(frozen=True)
class WorkersState(State):
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 20), n_stops=47)
    workers: int = control(4, label="workers", whole=(2, 16))
    lone: float = control(8.0, label="norm of the one", linear=(0.5, 12), n_stops=47)


@dataclass(frozen=True)
class WorkersResult:
    """One worker's gradient (lone, 0), all others' (0, 1), and the two updates that can be made of them.

    `first` is the mean of the clipped gradients, `last` the clipped mean. Directions are in degrees from (1, 0).
    """

    state: WorkersState
    grads: np.ndarray
    mean: np.ndarray
    first: np.ndarray
    last: np.ndarray
    thresholds: np.ndarray
    directions_first: np.ndarray
    directions_last: np.ndarray
    direction_first: float
    direction_last: float


WORKER_THRESHOLDS = np.array(controls_of(WorkersState)["max_norm"].values)


def both_orders(grads: np.ndarray, max_norm: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Clip, then average, and average, then clip: both (*runs, n), for `grads` (*runs, workers, n)."""
    return clip_per_example(grads, max_norm), clip_by_global_norm(grads.mean(-2), max_norm)


def direction(vectors: np.ndarray) -> np.ndarray:
    """Degrees from (1, 0), for vectors (..., 2)."""
    return np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0]))


def share_work(state: WorkersState) -> WorkersResult:
    grads = np.tile([0.0, 1.0], (state.workers, 1))
    grads[0] = state.lone, 0.0
    thresholds = np.append(WORKER_THRESHOLDS, state.max_norm)
    first, last = both_orders(np.tile(grads, (len(thresholds), 1, 1)), thresholds)
    return WorkersResult(
        state=state,
        grads=grads,
        mean=grads.mean(0),
        first=first[-1],
        last=last[-1],
        thresholds=WORKER_THRESHOLDS,
        directions_first=direction(first[:-1]),
        directions_last=direction(last[:-1]),
        direction_first=float(direction(first[-1])),
        direction_last=float(direction(last[-1])),
    )


def pair(vector: np.ndarray) -> str:
    """A vector of two with two decimals."""
    return f"({vector[0]:.2f}, {vector[1]:.2f})"


def read_workers(result: WorkersResult) -> str:
    """The live sentence of the first demo."""
    state = result.state
    who = f"{state.workers} workers, c = {state.max_norm:g}: "
    if np.array_equal(result.first, result.last):
        return who + f"no gradient is longer than c, and both orders give the mean itself, {pair(result.mean)}."
    kept = "" if (result.last != result.mean).any() else " (it is short enough, and kept)"
    return who + (
        f"clip, then average gives {pair(result.first)}, {result.direction_first:.0f}° from the one worker's "
        f"direction; average, then clip gives {pair(result.last)}, {result.direction_last:.0f}°, as the mean "
        f"{pair(result.mean)}{kept}."
    )


def hold_arc(state: WorkersState, panel: str, x: float, y: float) -> WorkersState:
    """The mouse moves the threshold in both panels: on the left it is a distance from the origin."""
    return replace(state, max_norm=clamp("max_norm", WorkersState, float(np.hypot(x, y)) if panel == "plane" else x))


WORKERS = Demo(
    WorkersState,
    share_work,
    WorkersFigure,
    read_workers,
    presets={
        "four workers": Preset(WorkersState(), "Which way does the update go, in which order?"),
        "a tighter c": Preset(
            WorkersState(max_norm=0.25), "Every gradient is clipped: what does that do to each order?"
        ),
        "a milder worker": Preset(WorkersState(lone=2.0), "The one sends (2, 0), not (8, 0). Which order notices?"),
        "nothing clipped": Preset(WorkersState(max_norm=8.25), "From which c on does the order not matter?"),
        "sixteen workers": Preset(WorkersState(workers=16), "More workers agree on (0, 1): which order hears them?"),
    },
    drag=hold_arc,
)

# --- Examples: how far can one move the sum? ----------------------------------------------------------------

MOST_EXAMPLES = 400
N_NOISE = 120


@dataclass(frozen=True)
class LeavingState(State):
    max_norm: float = control(1.0, label="threshold C", log=(0.05, 20), n_stops=53)
    noise: float = control(1.0, label="noise σ", log=(0.1, 10), n_stops=41)
    examples: str = control("100", label="examples", choices=("25", "100", "400"))
    leaver: int = control(1, label="who leaves", whole=(1, 25))


@dataclass(frozen=True)
class LeavingResult:
    """Gradients of the examples, longest first, raw and clipped at C, and draws of the noise for their sum.

    At `thresholds`: the bias ‖mean of the clipped − mean‖, the spread of the noise σC√d/N, and both together.
    """

    state: LeavingState
    grads: np.ndarray
    clipped: np.ndarray
    noise: np.ndarray
    thresholds: np.ndarray
    biases: np.ndarray
    spreads: np.ndarray
    errors: np.ndarray
    best: float
    bias: float
    spread: float
    error: float


LEAVING_THRESHOLDS = np.array(controls_of(LeavingState)["max_norm"].values)


def margins(examples: int) -> np.ndarray:
    """The margins y·x of so many examples (examples, 2): around (1, ½), some much further out than others."""
    rng = np.random.default_rng(9)
    spread = np.exp(0.4 * rng.normal(size=(MOST_EXAMPLES, 1)))
    return np.array([1.0, 0.5]) + (spread * rng.normal(size=(MOST_EXAMPLES, 2)))[:examples]


@lru_cache
def _example_grads(examples: int) -> np.ndarray:
    """The gradient of every example at θ = 0, longest first."""
    grads = Logistic(margins(examples)).per_example(np.zeros(2))
    return frozen(grads[np.argsort(-global_norm(grads))])


@lru_cache
def _biases(examples: int) -> np.ndarray:
    grads = _example_grads(examples)
    clipped = clip_per_example(np.tile(grads, (len(LEAVING_THRESHOLDS), 1, 1)), LEAVING_THRESHOLDS)
    return frozen(global_norm(clipped - grads.mean(0)))


@lru_cache
def _unit_noise() -> np.ndarray:
    return frozen(np.random.default_rng(19).normal(size=(N_NOISE, 2)))


def leave(state: LeavingState) -> LeavingResult:
    c, n = state.max_norm, int(state.examples)
    grads, biases = _example_grads(n), _biases(n)
    clipped = clip_by_global_norm(grads, c)
    per_threshold = state.noise * np.sqrt(grads.shape[1]) / n  # of the mean: σC in each of d coordinates of the sum
    errors = np.hypot(biases, per_threshold * LEAVING_THRESHOLDS)
    bias = float(global_norm(clipped.mean(0) - grads.mean(0)))
    return LeavingResult(
        state=state,
        grads=grads,
        clipped=clipped,
        noise=state.noise * c * _unit_noise(),
        thresholds=LEAVING_THRESHOLDS,
        biases=biases,
        spreads=per_threshold * LEAVING_THRESHOLDS,
        errors=errors,
        best=float(LEAVING_THRESHOLDS[errors.argmin()]),
        bias=bias,
        spread=per_threshold * c,
        error=float(np.hypot(bias, per_threshold * c)),
    )


def read_leaving(result: LeavingResult) -> str:
    """The live sentence of the second demo."""
    state, k = result.state, result.state.leaver - 1
    raw, moved = float(global_norm(result.grads[k])), float(global_norm(result.clipped[k]))
    who = "the longest gradient" if k == 0 else f"number {k + 1} by length"
    return (
        f"{state.examples} examples, C = {state.max_norm:g}: if {who} leaves, the sum moves by "
        f"{moved:.3g}, unclipped by {raw:.3g}; no example moves the clipped sum by more than C. With noise of "
        f"{state.noise:g}·C in each coordinate the mean is off by {two_digits(result.error)}: bias "
        f"{two_digits(result.bias)}, noise {two_digits(result.spread)}. The error is smallest near C = "
        f"{two_digits(result.best)}."
    )


def hold_leaving(state: LeavingState, panel: str, x: float, y: float) -> LeavingState:
    """The mouse moves C in both panels: on the left it is a distance from the origin."""
    return replace(state, max_norm=clamp("max_norm", LeavingState, float(np.hypot(x, y)) if panel == "moves" else x))


LEAVING = Demo(
    LeavingState,
    leave,
    LeavingFigure,
    read_leaving,
    presets={
        "one leaves": Preset(LeavingState(), "Can you see in the noise who left?"),
        "a tighter C": Preset(LeavingState(max_norm=0.2), "The noise is a fifth: why is the error not?"),
        "a looser C": Preset(LeavingState(max_norm=10.0), "Nobody is clipped: where does the error come from now?"),
        "more examples": Preset(LeavingState(examples="400"), "Four times the examples: what becomes of the error?"),
        "much noise": Preset(LeavingState(noise=10.0), "Ten times the noise: where is the bottom of the U now?"),
    },
    drag=hold_leaving,
)

# --- Layers and their units ---------------------------------------------------------------------------------

GLOBAL, LAYER, AGC_LAYER, AGC_UNIT = "global", "each layer", "AGC, each layer", "AGC, each unit"


@dataclass(frozen=True)
class ScopesState(State):
    scope: str = control(GLOBAL, label="scope", choices=(GLOBAL, LAYER, AGC_LAYER, AGC_UNIT))
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 1e5), n_stops=61)
    clipping: float = control(0.02, label="AGC's λ", log=(0.001, 10), n_stops=61)
    scale: float = control(100.0, label="scale of layer 2", log=(1, 1000), n_stops=31)


@dataclass(frozen=True)
class ScopesResult:
    """Norm of the gradient over norm of the weights, for nine units and for two layers, raw and clipped.

    `threshold` is c or, if `adaptive`, λ; `curves` (thresholds, 2) are the layers' at other `thresholds`, clipped.
    """

    state: ScopesState
    threshold: float
    adaptive: bool
    raw_units: np.ndarray
    clipped_units: np.ndarray
    raw_layers: np.ndarray
    clipped_layers: np.ndarray
    thresholds: np.ndarray
    curves: np.ndarray


SCOPE_THRESHOLDS = np.geomspace(1e-3, 1e5, 97)


@lru_cache(maxsize=1)
def linear_net() -> DeepNet:
    """A linear 4–8–1 net on 32 examples of a linear function."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(32, 4))
    return DeepNet(x, x @ rng.normal(size=4), (8,), linear=True)


def weights(scale: float) -> np.ndarray:
    """Weights (40,) of the linear net, N(0, 1/fan-in), those of layer 2 times `scale`."""
    rng = np.random.default_rng(2)
    return np.concatenate([rng.normal(0, 4**-0.5, 32), scale * rng.normal(0, 8**-0.5, 8)])


def clip_in_scope(scope: str, grad: np.ndarray, params: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    """The gradient of the linear net clipped at c, or with AGC at λ, each scope by its own norm."""
    net = linear_net()
    if scope == GLOBAL:
        return clip_by_global_norm(grad, threshold)
    if scope == LAYER:
        return clip_by_norm(grad, threshold, blocks=net.blocks)
    return adaptive_clip(grad, params, threshold, units=net.blocks if scope == AGC_LAYER else net.units)


def relative(grad: np.ndarray, params: np.ndarray, parts: tuple[slice, ...]) -> np.ndarray:
    """‖g‖/‖w‖ of each part: (*runs, parts)."""
    return np.stack([global_norm(grad[..., part]) / global_norm(params[..., part]) for part in parts], axis=-1)


@lru_cache(maxsize=256)
def _curves(scope: str, scale: float) -> np.ndarray:
    net, params = linear_net(), np.tile(weights(scale), (len(SCOPE_THRESHOLDS), 1))
    grad = net.loss_and_grad(params)[1]
    return frozen(relative(clip_in_scope(scope, grad, params, SCOPE_THRESHOLDS), params, net.blocks))


def scope_out(state: ScopesState) -> ScopesResult:
    net, params = linear_net(), weights(state.scale)
    adaptive = state.scope in (AGC_LAYER, AGC_UNIT)
    threshold = state.clipping if adaptive else state.max_norm
    grad = net.loss_and_grad(params)[1]
    clipped = clip_in_scope(state.scope, grad, params, threshold)
    return ScopesResult(
        state=state,
        threshold=threshold,
        adaptive=adaptive,
        raw_units=relative(grad, params, net.units),
        clipped_units=relative(clipped, params, net.units),
        raw_layers=relative(grad, params, net.blocks),
        clipped_layers=relative(clipped, params, net.blocks),
        thresholds=SCOPE_THRESHOLDS,
        curves=_curves(state.scope, state.scale),
    )


def compare(one: float, two: float) -> str:
    """How layer 1's step compares with layer 2's."""
    if np.isclose(one, two, rtol=0.005):
        return "the same for both"
    ratio = max(one / two, two / one)
    said = f"{ratio:.1f}" if ratio < 9.95 else two_digits(ratio)
    return f"{said} times as much for layer {1 if one > two else 2}"


def read_scopes(result: ScopesResult) -> str:
    """The live sentence of the third demo."""
    state = result.state
    named = {GLOBAL: "One norm for all", LAYER: "A norm for each layer"}
    named |= {AGC_LAYER: "AGC with a norm for each layer", AGC_UNIT: "AGC with a norm for each unit"}
    one, two = result.clipped_layers
    start = f"{named[state.scope]}, {'λ' if result.adaptive else 'c'} = {result.threshold:g}: "
    if np.array_equal(result.clipped_units, result.raw_units):
        start += "nothing is clipped; "
    return start + (
        f"per unit of η layer 1 moves by {two_digits(one)} of its weights and layer 2 by {two_digits(two)}, "
        f"{compare(one, two)}. Unclipped it would be {two_digits(result.raw_layers[0])} and "
        f"{two_digits(result.raw_layers[1])}."
    )


def hold_scope(state: ScopesState, panel: str, x: float, y: float) -> ScopesState:
    """The mouse moves the threshold of the present scope on the right, and AGC's λ on the left."""
    adaptive = state.scope in (AGC_LAYER, AGC_UNIT)
    if panel == "units":
        return replace(state, clipping=clamp("clipping", ScopesState, y)) if adaptive else state
    name = "clipping" if adaptive else "max_norm"
    return replace(state, **{name: clamp(name, ScopesState, x)})


SCOPES = Demo(
    ScopesState,
    scope_out,
    ScopesFigure,
    read_scopes,
    presets={
        "global": Preset(ScopesState(), "One factor for all: is the step fair to both layers?"),
        "each layer": Preset(ScopesState(scope=LAYER), "Each layer gets a step of length c: is it fair now?"),
        "AGC, each layer": Preset(ScopesState(scope=AGC_LAYER), "Where do the two lines on the right run now?"),
        "AGC, each unit": Preset(ScopesState(scope=AGC_UNIT), "And the units of layer 1, beside each other?"),
        "equal layers": Preset(ScopesState(scale=1.0), "Layers of one scale: does the scope still matter?"),
    },
    drag=hold_scope,
)

# --- Predictions --------------------------------------------------------------------------------------------


def ways_of_both_orders() -> str:
    """Which way the two updates of the four workers point mostly: right is the one worker's way, up the others'."""
    result = share_work(WorkersState())
    return "-".join("up" if abs(up) > abs(right) else "right" for right, up in (result.first, result.last))


def share_clipped_at_best() -> str:
    """How many of the 100 examples are clipped at the best C."""
    result = leave(LeavingState())
    share = float(np.mean(global_norm(result.grads) > result.best))
    return "none" if share == 0 else "few" if share < 0.25 else "half" if share < 0.75 else "all"


def ratio_of_steps() -> str:
    """Layer 1's relative step over layer 2's under one norm, to the nearest power of ten."""
    one, two = scope_out(ScopesState()).clipped_layers
    return {0: "same", 1: "ten", 2: "hundred", 3: "thousand"}[round(float(np.log10(one / two)))]


def seen_at(max_norm: float) -> str:
    """The error at one C, for 100 examples and σ = 1."""
    return f"C = {two_digits(max_norm)}: error {two_digits(leave(LeavingState(max_norm=max_norm)).error)}."


def evidence_of_leaving() -> str:
    """Errors at the ends, at the median norm, and at the best C."""
    result = leave(LeavingState())
    norms = global_norm(result.grads)
    clipped = round(100 * float(np.mean(norms > result.best)))
    places = (LEAVING_THRESHOLDS[0], float(np.median(norms)), result.best, LEAVING_THRESHOLDS[-1])
    return " ".join(map(seen_at, places)) + f" The third is the best, and clips {clipped} in 100."


PREDICTIONS = {
    "orders": Prediction(
        key="09.a",
        question="Four workers share a batch. One sends the gradient (8, 0), to the right, three send (0, 1), up. "
        "Program A clips each of the four at c = 1 and averages; program B averages and clips the mean at c = 1. Which "
        "way do the updates point?",
        truth=ways_of_both_orders,
        options={
            "right-right": "both mostly right: (8, 0) outweighs the rest",
            "up-up": "both mostly up: it is three against one",
            "right-up": "A mostly right, B mostly up",
            "up-right": "A mostly up, B mostly right",
        },
        explain={
            "right-right": "In the mean it does. But program A has cut (8, 0) down to (1, 0) before it is averaged, "
            "and there it stands against three.",
            "up-up": "If each has one vote. In program B the vote counts by length: (8, 0) is longer than the three "
            "together, and to clip the mean does not turn it.",
            "right-up": "The other way round: what is clipped first has one vote, what is averaged first counts by its "
            "length.",
            "up-right": "Yes. Clipped first, each worker has at most one vote of length c. Averaged first, the longest "
            "gradient sets the direction, and clipping keeps it.",
        },
        evidence=lambda: "A: {}. B: {}.".format(*map(pair, both_orders(share_work(WorkersState()).grads, 1.0))),
    ),
    "best": Prediction(
        key="09.b",
        question="The gradients of 100 examples are clipped one by one at C, added up, and noise of standard "
        "deviation σC with σ = 1 is added to the sum. The error is the distance of the mean from the unclipped one. "
        "At which C is it smallest?",
        truth=share_clipped_at_best,
        options={
            "all": "the smallest C: the noise is the smallest there",
            "half": "the median of their norms: half of them clipped",
            "few": "a C that clips only a few of them",
            "none": "a C that clips none of them: no bias",
        },
        explain={
            "all": "The noise is, and the gradient with it: what is left of it is much shorter than it should be.",
            "half": "That is the rule of thumb of the first paper. Here it cuts off more than the noise is worth; with "
            "ten times the noise it comes near.",
            "few": "Yes: where the bias has become as small as the noise. With more noise, or fewer examples, it lies "
            "lower.",
            "none": "No bias, but the noise grows with C, and the last few long gradients are dear: for their sake all "
            "the noise is larger.",
        },
        evidence=evidence_of_leaving,
    ),
    "layers": Prediction(
        key="09.c",
        question="A net has two layers, and the weights of layer 2 are 100 times as large. The whole gradient is "
        "clipped at c = 1, by one factor for all. Measured against its own weights, how much further does layer 1 "
        "move than layer 2?",
        truth=ratio_of_steps,
        options={
            "same": "as far: one factor keeps all proportions",
            "ten": "about ten times as far",
            "hundred": "about a hundred times as far",
            "thousand": "about a thousand times as far",
        },
        explain={
            "same": "It keeps the proportions of the gradient. They are not those of the weights.",
            "ten": "More. The large weights of layer 2 make the gradient of layer 1 long, and they are what layer 2's "
            "own step is measured against: it counts twice.",
            "hundred": "The factor of 100 counts twice: it makes the gradient of layer 1 longer, and it is what layer "
            "2's own step is measured against.",
            "thousand": "Yes. The factor of 100 counts twice: it makes the gradient of layer 1 longer, and it is what "
            "layer 2's own step is measured against.",
        },
        evidence=lambda: "Relative steps per unit of η: layer 1 {}, layer 2 {}.".format(
            *map(two_digits, scope_out(ScopesState()).clipped_layers)
        ),
    ),
} | side_trips09.PREDICTIONS

# --- Exercises ----------------------------------------------------------------------------------------------


def shared_gradient(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    mean = counts @ grads / np.sum(counts)
    return mean * (max_norm / max(np.sqrt(np.sum(mean**2)), max_norm))


def shared_gradient_stub(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    # grads has one row a worker, its mean over counts[i] examples. What would one machine with all examples use?
    ...


def _clipped_to(vector: np.ndarray, max_norm: float) -> np.ndarray:
    return vector * (max_norm / max(np.sqrt(np.sum(vector**2)), max_norm))


def _clipped_rows(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.array([_clipped_to(row, max_norm) for row in grads])


def gives_each_worker_one_vote(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_to(grads.mean(axis=0), max_norm)


def clips_each_worker_first(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return counts @ _clipped_rows(grads, max_norm) / np.sum(counts)


def clips_first_and_forgets_the_counts(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_rows(grads, max_norm).mean(axis=0)


def clips_the_sum_of_all_examples(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_to(counts @ grads, max_norm)


def adds_up_the_workers(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_to(grads.sum(axis=0), max_norm)


def divides_by_the_workers(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_to(counts @ grads / len(counts), max_norm)


def clips_the_sums_of_workers(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_rows(counts[:, None] * grads, max_norm).sum(axis=0) / np.sum(counts)


def does_not_clip_the_mean(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return counts @ grads / np.sum(counts)


def clips_every_coordinate(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return np.clip(counts @ grads / np.sum(counts), -max_norm, max_norm)


def lengthens_the_short(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    mean = counts @ grads / np.sum(counts)
    norm = np.sqrt(np.sum(mean**2))
    return mean * (max_norm / norm) if norm > 0 else mean


def averages_the_norms(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    norm = counts @ np.sqrt(np.sum(grads**2, axis=1)) / np.sum(counts)
    return counts @ grads / np.sum(counts) * (max_norm / max(norm, max_norm))


def takes_the_longest_norm(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.max(np.sqrt(np.sum(grads**2, axis=1)))
    return counts @ grads / np.sum(counts) * (max_norm / max(norm, max_norm))


def takes_one_norm_of_all_rows(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return counts @ grads / np.sum(counts) * (max_norm / max(np.sqrt(np.sum(grads**2)), max_norm))


def shares_out_the_threshold(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped_to(counts @ grads / np.sum(counts), max_norm / len(grads))


def forgets_the_root_of_the_norm(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> np.ndarray:
    mean = counts @ grads / np.sum(counts)
    return mean * (max_norm / max(np.sum(mean**2), max_norm))


def averages_over_everything(grads: np.ndarray, counts: np.ndarray, max_norm: float) -> float:
    mean = float(np.mean(grads))
    return mean * (max_norm / max(abs(mean), max_norm))


def clip_shards(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    total = np.sqrt(sum(np.sum(shard**2) for shard in shards))  # the squares are all that has to be sent around
    return [shard * (max_norm / max(total, max_norm)) for shard in shards]


def clip_shards_stub(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return [shard * (max_norm / max(np.sqrt(np.sum(shard**2)), max_norm)) for shard in shards]


def _times_factor(shards: list[np.ndarray], total: float, max_norm: float) -> list[np.ndarray]:
    return [shard * (max_norm / max(total, max_norm)) for shard in shards]


def _shard_norms(shards: list[np.ndarray]) -> np.ndarray:
    return np.array([np.sqrt(np.sum(shard**2)) for shard in shards])


def adds_up_norms(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return _times_factor(shards, np.sum(_shard_norms(shards)), max_norm)


def averages_norms(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return _times_factor(shards, np.mean(_shard_norms(shards)), max_norm)


def averages_squares(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return _times_factor(shards, np.sqrt(np.mean(_shard_norms(shards) ** 2)), max_norm)


def takes_the_largest_shard(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return _times_factor(shards, np.max(_shard_norms(shards)), max_norm)


def forgets_the_last_root(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return _times_factor(shards, np.sum(_shard_norms(shards) ** 2), max_norm)


def takes_the_first_machines_norm(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return _times_factor(shards, _shard_norms(shards)[0], max_norm)


def gives_each_shard_its_part_of_c(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    part = max_norm / np.sqrt(len(shards))
    return [shard * (part / max(norm, part)) for shard, norm in zip(shards, _shard_norms(shards), strict=True)]


def divides_c_by_the_shards(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    part = max_norm / len(shards)
    return [shard * (part / max(norm, part)) for shard, norm in zip(shards, _shard_norms(shards), strict=True)]


def clips_shards_and_then_the_whole(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return clip_shards(clip_shards_stub(shards, max_norm), max_norm)


def stretches_to_c(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    total = np.sqrt(np.sum(_shard_norms(shards) ** 2))
    return [shard * (max_norm / total) if total > 0 else shard.copy() for shard in shards]


def leaves_them_alone(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return [shard.copy() for shard in shards]


def gathers_the_whole(shards: list[np.ndarray], max_norm: float) -> np.ndarray:
    return _clipped_to(np.concatenate(shards), max_norm)


def clamps_entries(shards: list[np.ndarray], max_norm: float) -> list[np.ndarray]:
    return [np.clip(shard, -max_norm, max_norm) for shard in shards]


def clip_units(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    limit = clipping * np.maximum(np.sqrt(np.sum(weights**2, axis=0)), 1e-3)
    norm = np.sqrt(np.sum(grad**2, axis=0))
    return grad * (limit / np.maximum(norm, limit))


def clip_units_stub(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    # Both are (in, out); a column leads into one unit. Let no column of grad be longer than
    # clipping times the same column of weights, whose length counts as 1e-3 at the least.
    ...


def _lengths(matrix: np.ndarray, axis: int | None) -> np.ndarray:
    return np.sqrt(np.sum(matrix**2, axis=axis, keepdims=True))


def _limited(grad: np.ndarray, limit: np.ndarray, axis: int | None) -> np.ndarray:
    return grad * (limit / np.maximum(_lengths(grad, axis), limit))


def takes_rows_for_units(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return _limited(grad, clipping * np.maximum(_lengths(weights, 1), 1e-3), 1)


def takes_the_whole_matrix(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return _limited(grad, clipping * np.maximum(_lengths(weights, None), 1e-3), None)


def stops_units_at_zero(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    limit = clipping * _lengths(weights, 0)
    norm = _lengths(grad, 0)
    return grad * np.minimum(1, limit / np.where(norm > 0, norm, 1))


def ignores_the_weights(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return _limited(grad, clipping, 0)


def stretches_every_unit(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    norm = _lengths(grad, 0)
    return grad * np.where(norm > 0, clipping * np.maximum(_lengths(weights, 0), 1e-3) / np.where(norm > 0, norm, 1), 1)


def puts_the_floor_under_the_limit(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return _limited(grad, np.maximum(clipping * _lengths(weights, 0), 1e-3), 0)


def adds_the_floor(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return _limited(grad, clipping * (_lengths(weights, 0) + 1e-3), 0)


def compares_entry_by_entry(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    limit = clipping * np.maximum(np.abs(weights), 1e-3)
    return np.clip(grad, -limit, limit)


def measures_largest_entries(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    limit = clipping * np.maximum(np.max(np.abs(weights), axis=0), 1e-3)
    return grad * (limit / np.maximum(np.max(np.abs(grad), axis=0), limit))


def forgets_both_roots(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    limit = clipping * np.maximum(np.sum(weights**2, axis=0), 1e-3)
    return grad * (limit / np.maximum(np.sum(grad**2, axis=0), limit))


def divides_by_the_clipping(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return _limited(grad, np.maximum(_lengths(weights, 0), 1e-3) / clipping, 0)


def limits_by_the_gradient(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    limit = clipping * np.maximum(_lengths(grad, 0), 1e-3)
    return grad * (limit / np.maximum(_lengths(weights, 0), limit))


def leaves_units_alone(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return grad.copy()


def clips_the_weights(weights: np.ndarray, grad: np.ndarray, clipping: float) -> np.ndarray:
    return np.clip(weights, -clipping, clipping)


EXERCISES = {
    "shared_gradient": Exercise(
        key="09.1",
        title="What one machine would have used",
        solution=shared_gradient,
        stub=shared_gradient_stub,
        probes=(
            Probe(
                (np.array([[8.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]), np.array([2, 2, 2, 2]), 1.0), "the lesson"
            ),
            Probe((np.array([[8.0, 0.0], [0.0, 1.0]]), np.array([1, 15]), 0.5), "one example against fifteen"),
            Probe((np.array([[0.3, 0.4], [0.1, -0.2]]), np.array([1, 1]), 1.0), "everything fits"),
            Probe((np.array([[3.0, 4.0], [-3.0, -4.0]]), np.array([1, 1]), 2.0), "two that cancel"),
            Probe((np.array([[6.0, 0.0], [0.0, 0.6]]), np.array([1, 9]), 1.0), "long rows, a short mean"),
            Probe(
                (np.array([[1.5, 2.0, 0.0], [0.0, 3.0, 4.0], [2.0, 0.0, 1.0]]), np.array([4, 1, 2]), 1.5),
                "three of each",
            ),
            Probe((np.array([[3.0, 4.0]]), np.array([5]), 2.5), "a single worker"),
            Probe((np.array([[2.0, 0.5], [1.0, 1.0]]), np.array([2, 6]), 0.2), "c below 1"),
        ),
        misconceptions=(
            Misconception(
                gives_each_worker_one_vote,
                "The order is right, the mean is not: a worker that saw fifteen examples counts here no more than one "
                "that saw a single one. Weigh the rows by `counts`.",
            ),
            Misconception(
                clips_each_worker_first,
                "Each row is clipped before it is averaged. One machine would have seen the mean alone: average "
                "first, then clip.",
            ),
            Misconception(
                clips_first_and_forgets_the_counts,
                "Each row is clipped before it is averaged, and all rows count alike. Weigh them by `counts`, and "
                "clip what comes out.",
            ),
            Misconception(
                clips_the_sum_of_all_examples,
                "That clips the sum over all examples. The loss is their mean, and so is its gradient: divide by the "
                "number of examples before you clip.",
            ),
            Misconception(
                adds_up_the_workers,
                "That clips the sum of the rows. Each row is a mean; together they make a mean as well, weighed by "
                "`counts`.",
            ),
            Misconception(
                divides_by_the_workers,
                "`counts @ grads` is the sum over all examples. Divide it by the number of examples, not of workers.",
            ),
            Misconception(
                clips_the_sums_of_workers,
                "Each worker's sum is clipped before it is sent. Add up first, divide, and clip the mean once.",
            ),
            Misconception(
                does_not_clip_the_mean, "That is the mean of all examples, weighed as it should be. Now clip it."
            ),
            Misconception(
                clips_every_coordinate,
                "The mean is right, but each coordinate is clamped by itself. By norm, one factor shortens all.",
            ),
            Misconception(
                lengthens_the_short,
                "A mean that is shorter than c is lengthened here. Clipping leaves it alone.",
            ),
            Misconception(
                averages_the_norms,
                "The factor is taken from the mean of the workers' norms. Gradients that point apart cancel, and "
                "their mean is shorter than that: take the norm of the mean.",
            ),
            Misconception(
                takes_the_longest_norm,
                "The factor is taken from the longest row. It is the mean that must not be longer than c.",
            ),
            Misconception(
                takes_one_norm_of_all_rows,
                "Squares add over *parts* of one gradient. These rows are gradients of their own: average them, and "
                "take the norm of that.",
            ),
            Misconception(
                shares_out_the_threshold,
                "c is divided among the workers here. The mean is one gradient and has the whole c.",
            ),
            Misconception(
                forgets_the_root_of_the_norm,
                "The norm is the root of the sum of squares. Without the root a mean of norm 4 is taken for one of 16.",
            ),
            Misconception(
                averages_over_everything,
                "`np.mean` without an axis makes one number of the whole array. Average over the workers, `axis=0`.",
            ),
        ),
        hints=(
            "One machine would average over all examples and clip once. How much of that mean comes from each row?",
            "Row i is a mean over counts[i] examples, so its sum is counts[i] times the row: `counts @ grads` adds "
            "them up.",
            "`mean = counts @ grads / counts.sum()`, and then `mean * (max_norm / max(norm, max_norm))`, with its "
            "norm.",
        ),
        explanation="Average first, then clip: the update no longer depends on how the examples were dealt out, or to "
        "how many workers.",
    ),
    "clip_shards": Exercise(
        key="09.2",
        title="Mend: every machine by its own norm",
        solution=clip_shards,
        stub=clip_shards_stub,
        probes=(
            Probe(([np.array([3.0, 4.0]), np.array([12.0, 0.0])], 1.0), "two machines"),
            Probe(
                ([np.array([3.0, 4.0]), np.array([12.0, 0.0]), np.array([0.0, 84.0])], 10.0), "one long shard of three"
            ),
            Probe(([np.array([0.3, 0.4]), np.array([0.2, 0.0])], 1.0), "everything fits"),
            Probe(
                ([np.array([1.0, 1.0]), np.array([1.0, -1.0]), np.array([1.0, 0.0])], 2.0),
                "the whole alone is too long",
            ),
            Probe(([np.array([0.0, 0.0]), np.array([5.0, 0.0])], 2.0), "a shard of zeros"),
            Probe(([np.array([0.3]), np.array([0.4])], 0.25), "c and norms below 1"),
            Probe(([np.array([2.0, -6.0, 3.0])], 3.5), "a single machine"),
            Probe(
                ([np.array([0.6, 0.0]), np.array([0.0, 6.3]), np.array([1.6, 0.0])], 3.0), "the first is the shortest"
            ),
        ),
        misconceptions=(
            Misconception(
                adds_up_norms,
                "Norms of parts do not add up, their squares do: 5 and 12 make 13, not 17. This clips more than it "
                "should.",
            ),
            Misconception(
                averages_norms,
                "The mean of the norms is shorter than the whole: the more machines, the less is clipped. Squares add.",
            ),
            Misconception(
                averages_squares,
                "The squares are averaged, which makes the norm too small by √K for K machines. Add them up.",
            ),
            Misconception(
                takes_the_largest_shard,
                "The longest shard is not the whole: that is the largest of the norms. Add up squares.",
            ),
            Misconception(
                forgets_the_last_root,
                "The squares are added, and that is the square of the norm. Its root is missing.",
            ),
            Misconception(
                takes_the_first_machines_norm,
                "One factor for all, from the norm of the first machine's shard. The others have to send theirs too.",
            ),
            Misconception(
                gives_each_shard_its_part_of_c,
                "With c/√K each the whole is never longer than c. But a shard that is short is still not shortened "
                "along with the others: the direction turns. One factor for all.",
            ),
            Misconception(
                divides_c_by_the_shards,
                "c/K each: still every machine by its own norm, so the direction turns, and the whole is shorter than "
                "need be. One factor for all.",
            ),
            Misconception(
                clips_shards_and_then_the_whole,
                "The total is right, but it comes too late: the shards were clipped by their own norms before, which "
                "turned the direction.",
            ),
            Misconception(
                stretches_to_c, "A gradient that is shorter than c is lengthened here. Clipping leaves it alone."
            ),
            Misconception(
                leaves_them_alone, "Nothing is clipped any more. One factor, c over the total norm, for all."
            ),
            Misconception(
                gathers_the_whole,
                "The numbers are right, but nobody holds the whole: give back a list, each machine's shard by itself.",
            ),
            Misconception(
                clamps_entries, "That clamps every entry: clipping by value. By norm, one factor shortens all shards."
            ),
        ),
        hints=(
            "Take (3, 4) and (12) at c = 1. What is the norm of the whole, before and after, and what should it be?",
            "Every machine may send one number to all others. Which number, so that their sum says something about "
            "the whole?",
            "Add up `np.sum(shard**2)` over all shards, take the root, and use that one norm in the factor of every "
            "shard.",
        ),
        explanation="One number a machine, whatever the size of the model. In a real trainer the sum is an "
        "all-reduce; it has to come after all gradients are there and before any is clipped.",
    ),
    "clip_units": Exercise(
        key="09.3",
        title="Optional: AGC, unit by unit",
        solution=clip_units,
        stub=clip_units_stub,
        probes=(
            Probe(
                (np.array([[3.0, 0.6], [4.0, 0.8]]), np.array([[6.0, 0.0], [8.0, 0.01]]), 0.1),
                "one unit of two too long",
            ),
            Probe(
                (np.array([[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]]), np.array([[2.0, 0.5, 1.0], [0.0, 0.5, 1.0]]), 0.5),
                "two inputs, three units",
            ),
            Probe((np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([[0.01, 0.0], [0.0, 0.01]]), 0.1), "everything fits"),
            Probe((np.zeros((2, 2)), np.array([[3.0, 0.0], [4.0, 1e-6]]), 0.1), "all weights zero"),
            Probe((np.array([[1.0], [2.0], [2.0]]), np.array([[-2.0], [1.0], [2.0]]), 0.5), "a single unit"),
            Probe((np.array([[5.0, 1.0]]), np.array([[0.2, -3.0]]), 0.02), "a single input"),
            Probe((np.array([[3.0, 0.0], [4.0, 1.0]]), np.array([[0.0, 2.0], [0.0, 0.0]]), 0.2), "a gradient of zero"),
            Probe((np.array([[0.3, 4.0], [0.4, 3.0]]), np.array([[2.0, 0.1], [1.5, 0.2]]), 2.0), "λ above 1"),
        ),
        misconceptions=(
            Misconception(
                takes_rows_for_units,
                "Those are the rows, what leaves one input. What leads into one unit is a column here: `axis=0`. (In "
                "PyTorch, where weights are (out, in), it is a row.)",
            ),
            Misconception(
                takes_the_whole_matrix,
                "That is AGC by layer: one norm for the whole matrix, and one long unit shortens all. By unit, take "
                "norms along `axis=0`.",
            ),
            Misconception(
                stops_units_at_zero,
                "A unit whose weights are zero gets a limit of zero, and never learns. Its length counts as 1e-3 at "
                "the least.",
            ),
            Misconception(
                ignores_the_weights,
                "The limit is the same for all units. It should be λ times the length of its weights.",
            ),
            Misconception(
                stretches_every_unit,
                "Short columns are lengthened to the limit: that is LARS. Clipping leaves them alone.",
            ),
            Misconception(
                puts_the_floor_under_the_limit,
                "The 1e-3 stands under λ‖w‖ here. It belongs under ‖w‖, so λ multiplies it as well.",
            ),
            Misconception(adds_the_floor, "1e-3 is added to every length. It is a floor: the larger of ‖w‖ and 1e-3."),
            Misconception(
                compares_entry_by_entry,
                "Every entry is held against its own weight, and the column turns. Hold the whole column against the "
                "whole column.",
            ),
            Misconception(
                measures_largest_entries,
                "That measures a column by its largest entry. Its length is the root of the sum of squares.",
            ),
            Misconception(
                forgets_both_roots,
                "The lengths are roots of sums of squares. Squared on both sides, λ would have to be squared too.",
            ),
            Misconception(divides_by_the_clipping, "‖w‖/λ is a limit far above the weights themselves. It is λ·‖w‖."),
            Misconception(
                limits_by_the_gradient,
                "The two have changed places: the limit comes from the weights, and the gradient is held against it.",
            ),
            Misconception(leaves_units_alone, "Nothing is clipped: every column comes back as it was."),
            Misconception(
                clips_the_weights,
                "That clamps the weights. They are what the gradient is measured against, and stay as they are.",
            ),
        ),
        hints=(
            "Clipping by norm, once a column, each with a threshold of its own. Which?",
            "The lengths of all columns at once: `np.sqrt(np.sum(weights**2, axis=0))`. None counts for less than "
            "1e-3.",
            "`limit = clipping * np.maximum(lengths, 1e-3)`, then `grad * (limit / np.maximum(norm, limit))`.",
        ),
        explanation="One threshold for each unit, and no c at all: λ = 0.02 means that no unit moves by more than 2% "
        "of its weights at η = 1, whatever their size. In the package it is `adaptive_clip`.",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "09",
    (
        Question(
            "A training script clips each worker's gradient at c = 1 before the gradients are averaged. It moves from "
            "4 workers to 64, with the same batch in all. What changes?",
            (
                Option(
                    "nothing: the mean of clipped gradients is the clipped mean",
                    "Only if no gradient is longer than c.",
                ),
                Option(
                    "the norm of the update: it may now be up to 64",
                    "A mean of vectors no longer than 1 is no longer than 1, however many they are.",
                ),
                Option(
                    "the update: each worker's part is smaller, and clipped by itself",
                    "Yes: the more workers, the nearer it comes to clipping single examples. It changes in direction "
                    "too.",
                    right=True,
                ),
                Option(
                    "only the speed",
                    "So it would be if the gradients were averaged first and clipped once, afterwards.",
                ),
            ),
        ),
        Question(
            "A model is spread over 4 machines, a quarter of its parameters on each. Each clips its quarter by the "
            "norm of that quarter, at c = 1. What can be said of the whole?",
            (
                Option(
                    "its norm may be 2, and its direction has turned",
                    "Yes: four parts of norm 1 make √4. It is clipping by block, with blocks that nobody chose.",
                    right=True,
                ),
                Option(
                    "its norm is at most 1, as asked for", "Each quarter's is. Squares add: four of them may make 4."
                ),
                Option(
                    "its norm may be 4", "Norms add up only if all parts point the same way; parts are at right angles."
                ),
                Option(
                    "it is what a single machine would have used",
                    "For that they would have to share the sum of their squares before anything is clipped.",
                ),
            ),
        ),
        Question(
            "Each example is clipped at C = 1 and the clipped gradients are added up. One example is replaced by "
            "another. How far can the sum move?",
            (
                Option("1", "By so much if one leaves, or one joins. Replacing is both."),
                Option(
                    "2",
                    "Yes: one gradient of norm 1 leaves, and another joins, perhaps the opposite one. Which of the "
                    "two is meant changes what a promise of privacy says.",
                    right=True,
                ),
                Option("1/B, with B examples", "That is about the mean, and about leaving."),
                Option("any distance: the new example may be an outlier", "It is clipped before it is added."),
            ),
        ),
        Question(
            "Noise of standard deviation σC is added to the sum of clipped gradients. Is the trained model now "
            "private?",
            (
                Option(
                    "yes: nobody can tell what an example contributed", "Not from one sum. Training publishes many."
                ),
                Option(
                    "yes, if C is small enough",
                    "The noise shrinks with C: the largest move over the noise is 1/σ, whatever C is.",
                ),
                Option(
                    "not by that alone",
                    "Right. It takes an account of all steps, batches drawn at random, noise that nobody can draw "
                    "again, and a C that was not read off the data.",
                    right=True,
                ),
            ),
        ),
        side_trips09.QUESTION,
    ),
)

LESSON = Lesson(
    "09",
    "Whose norm?",
    {"workers": WORKERS, "leaving": LEAVING, "scopes": SCOPES, "relatives": RELATIVES, "sizes": SIZES},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
