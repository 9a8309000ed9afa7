"""Lesson 07, choosing a threshold: the log, the rules that learn from it, the map of (η, c), and a run of one's own."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.norms import NormsFigure
from gclip_lessons.figures.picked_log import PickedLogFigure
from gclip_lessons.figures.rules import RulesFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, frozen, snap
from gclip_lessons.lessons.lesson05 import hold_cross, plain, walk
from gclip_lessons.models import Logistic, Model, Noisy, Quadratic, Recurrence
from gclip_lessons.norm_log import Advice, NormLog, advise, percent, read_norms, short
from gclip_lessons.optimizers import SGD
from gclip_lessons.thresholds import (
    SPAM,
    THRESHOLDS,
    AdaGC,
    AutoClip,
    FixedThreshold,
    QuantileTracker,
    Stream,
    ThresholdRule,
    ZClip,
    clip_rate,
    clipped_norms,
    follow,
    lag,
    left_over_trend,
    norm_stream,
)
from gclip_lessons.training import Trajectory, sweep, train

# --- Streams of norms that are made for the purpose ---------------------------------------------------------------

RISE_AT = 1100
RISES = {"rise ×3": 3.0, "rise ×10": 10.0}
STREAMS = ("falling", "flat", *RISES)


def norms_of(name: str, rng: np.random.Generator, runs: tuple[int, ...] = ()) -> Stream:
    """2000 norms a run, with 1% spikes ×50: falling from 5 to 0.7, or flat, or falling with a rise at RISE_AT."""
    decay, rise = 0.0 if name == "flat" else 2.0, RISES.get(name, 1.0)
    return norm_stream(rng, 2000, runs, decay=decay, rise=rise, rise_at=RISE_AT)


@cache
def stream(name: str) -> Stream:
    """The stream of the pictures: the same noise and the same spikes under every name."""
    made = norms_of(name, np.random.default_rng(0))
    for array in (made.norms, made.trend, made.spikes):
        frozen(array)
    return made


# --- A log, and a threshold to drag over it -----------------------------------------------------------------------

SHORT = {
    "fixed": "fixed c",
    "percentile": "AutoClip",
    "quantile": "tracker",
    "z_score": "ZClip",
    "block_average": "AdaGC",
    "element": "SPAM",
    "warm_up": "warm-up",
}
ON_NORMS = tuple(key for key in SHORT if key not in ("fixed", "element"))  # rules that a log of norms can show


_SAID = {"quantile": "The tracker", "warm_up": "A fixed c for 100 steps and then AutoClip"}


def watch(
    load: Callable[[], Advice], low: float, high: float, start: float, places: Mapping[str, tuple[float, str, str]]
) -> Demo:
    """An explorer of one log, read when it is looked at: a threshold from `low` to `high`, and a rule beside it.

    `places` are presets: a threshold, a rule ("none" or one of SHORT's names) and a question.
    """
    read = cache(load)

    @dataclass(frozen=True)
    class LogState(State):
        max_norm: float = control(start, label="threshold c", log=(low, high), n_stops=181)
        rule: str = control("none", label="a rule beside it", choices=("none", *(SHORT[key] for key in ON_NORMS)))

    def look(state: LogState) -> Advice:
        rule = next((key for key in ON_NORMS if SHORT[key] == state.rule), None)
        return replace(read(), threshold=state.max_norm, rule=rule)

    presets = {name: Preset(LogState(c, rule), question) for name, (c, rule, question) in places.items()}
    return Demo(LogState, look, NormsFigure, read_log, presets=presets, drag=hold_threshold)


def hold_threshold(state: Any, panel: str, x: float, y: float) -> Any:
    """The mouse takes the threshold, which lies at one height in all three panels."""
    return replace(state, max_norm=clamp("max_norm", type(state), y))


def read_log(shown: Advice) -> str:
    """The live sentence of a log."""
    c, log = shown.threshold, shown.log
    norms = log.norms[shown.finite]
    if not norms.size:
        return f"None of the {len(log):,} norms is finite: 0 steps could be clipped."
    over, quarter = norms > c, max(1, norms.size // 4)
    words = f"c = {short(c)} would have clipped {percent(over.mean())} of {norms.size:,} steps"
    if norms.size >= 8:
        words += (
            f": {percent(over[:quarter].mean())} of the first quarter, {percent(over[-quarter:].mean())} of the last"
        )
    at = np.flatnonzero(np.isin(shown.finite, shown.spikes))
    if at.size:
        size = norms[at] / shown.trend[at]
        top = at[size.argmax()]
        left = short(min(norms[top], c) / shown.trend[top])
        cut = int(over[at].sum())
        if at.size == 1:
            words += f". It {'cuts' if cut else 'does not cut'} the one spike, and leaves it at {left} times the trend"
        else:
            words += f". It cuts {cut} of {at.size} spikes, and leaves the largest of them at {left} times the trend"
    if shown.rule:
        seen = len(shown.paths.get(shown.rule, ()))
        of = f" of the last {seen:,}" if seen < norms.size else ""
        name, rate = _SAID.get(shown.rule, SHORT[shown.rule]), shown.rules.get(shown.rule, 0.0)
        words += f". {name} would have clipped {percent(rate)}{of}"
    return f"{words}."


LOG = watch(
    lambda: advise(NormLog(stream("falling").norms, source="a made stream")),
    0.1,
    1000.0,
    1.0,
    {
        "c = 1": (1.0, "none", "How many steps does the most common threshold clip early, and how many late?"),
        "a net for spikes": (7.1, "none", "Which steps does this c touch, and what is left of the spikes at the end?"),
        "half of all": (1.86, "none", "Half of the steps are clipped: which half?"),
        "AutoClip beside it": (1.0, "AutoClip", "Where does the learned threshold run, and how much does it clip?"),
    },
)

# --- One stream, all rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RulesState(State):
    stream: str = control("flat", label="norms", choices=STREAMS)
    rule: str = control("AutoClip", label="picked rule", choices=tuple(SHORT.values()))
    percentile: float = control(10.0, label="AutoClip's p", linear=(0, 100), n_stops=51)
    quantile: float = control(0.5, label="tracker's γ", linear=(0.02, 0.98), n_stops=49)
    max_z: float = control(2.5, label="ZClip's z", linear=(0.5, 6), n_stops=56)
    factor: float = control(1.05, label="AdaGC's λ", linear=(1, 2), n_stops=21)
    theta: float = control(5000.0, label="SPAM's θ", log=(5, 50_000), n_stops=41)
    max_norm: float = control(1.0, label="fixed c", log=(0.1, 100), n_stops=61)


MAKE: dict[str, tuple[str, Callable[[np.ndarray | float], ThresholdRule]]] = {
    "fixed": ("max_norm", FixedThreshold),
    "percentile": ("percentile", AutoClip),
    "quantile": ("quantile", QuantileTracker),
    "z_score": ("max_z", ZClip),
    "block_average": ("factor", AdaGC),
    "element": ("theta", SPAM),
}
WARM_UP = 100  # steps of a fixed c before AutoClip, in the rule "warm-up"


@dataclass(frozen=True)
class RulesResult:
    """The stream's `norms`, their `trend`, the picked rule's `thresholds` and what it leaves, `clipped`, all (steps).

    Of every rule, in the order of `names`: the share of steps that it clips (`rates`), what it leaves of a spike in
    units of the norm due, by the median over spikes (`left`), and its lag behind the rise (`lags`, NaN without one).
    """

    state: RulesState
    norms: np.ndarray
    trend: np.ndarray
    thresholds: np.ndarray
    clipped: np.ndarray
    rates: np.ndarray
    left: np.ndarray
    lags: np.ndarray
    picked: int
    names = tuple(SHORT.values())


@cache
def _at_all_stops(name: str, key: str) -> np.ndarray:
    """The thresholds of a rule on a stream for every stop of its slider, (stops, steps)."""
    setting, make = MAKE[key]
    stops = np.array(controls_of(RulesState)[setting].values)
    return frozen(np.ascontiguousarray(follow(make(stops), stream(name).norms).T))


@lru_cache(maxsize=256)
def _thresholds(name: str, key: str, value: float) -> np.ndarray:
    """The same for one value: looked up at a stop, followed alone between stops."""
    setting, make = MAKE[key]
    stops = controls_of(RulesState)[setting].values
    if value in stops:
        return _at_all_stops(name, key)[stops.index(value)]
    return frozen(follow(make(value), stream(name).norms))


def thresholds_of(state: RulesState, key: str) -> np.ndarray:
    """The thresholds of one rule on the state's stream, (steps)."""
    if key != "warm_up":
        return _thresholds(state.stream, key, float(getattr(state, MAKE[key][0])))
    learned = thresholds_of(state, "percentile")  # it learns from the first norm on, whatever c is used meanwhile
    return np.where(np.arange(len(learned)) < WARM_UP, state.max_norm, learned)


def measure(made: Stream, thresholds: np.ndarray, rise: float | None) -> tuple[float, float, float]:
    """Share clipped, what is left of a spike (median, × the norm due), and lag behind the rise (NaN without one)."""
    left = np.median(left_over_trend(made.norms, thresholds, made.trend)[made.spikes])
    behind = float(lag(thresholds, RISE_AT, rise)) if rise else np.nan
    return float(clip_rate(made.norms, thresholds)), float(left), behind


def compare(state: RulesState) -> RulesResult:
    made, rise = stream(state.stream), RISES.get(state.stream)
    paths = {key: thresholds_of(state, key) for key in SHORT}
    rates, left, lags = np.transpose([measure(made, path, rise) for path in paths.values()])
    picked = list(SHORT.values()).index(state.rule)
    path = list(paths.values())[picked]
    return RulesResult(state, made.norms, made.trend, path, clipped_norms(made.norms, path), rates, left, lags, picked)


def read_rules(result: RulesResult) -> str:
    """The live sentence of the rules."""
    state, k = result.state, result.picked
    key = list(SHORT)[k]
    settings = {
        "fixed": f"c = {state.max_norm:g}",
        "percentile": f"p = {state.percentile:g}",
        "quantile": f"γ = {state.quantile:g}",
        "z_score": f"z = {state.max_z:g}",
        "block_average": f"λ = {state.factor:g}",
        "element": f"θ = {plain(state.theta)}",
        "warm_up": f"c = {state.max_norm:g} for {WARM_UP} steps, then AutoClip with p = {state.percentile:g}",
    }
    words = (
        f"{state.stream[0].upper()}{state.stream[1:]}: {result.names[k]} ({settings[key]}) clips "
        f"{percent(result.rates[k])} of 2,000 steps and leaves a spike at {short(result.left[k])} times the norm due"
    )
    behind = result.lags[k]
    if np.isnan(behind):
        return f"{words}."
    if np.isinf(behind):
        return f"{words}. In the {2000 - RISE_AT} steps after the rise it does not follow half of the way."
    steps = f"after {behind:g} step{'' if behind == 1 else 's'}" if behind else "at once"
    return f"{words}. It has followed the rise half of the way {steps}."


def hold_rule(state: RulesState, panel: str, x: float, y: float) -> RulesState:
    """The mouse moves a fixed c in the left panel, and picks a rule by its row in the others."""
    if panel == "norms":
        return replace(state, rule=SHORT["fixed"], max_norm=clamp("max_norm", RulesState, y))
    from_below = tuple(SHORT.values())[::-1]
    return replace(state, rule=from_below[round(float(np.clip(y, 0, len(from_below) - 1)))])


RULES = Demo(
    RulesState,
    compare,
    RulesFigure,
    read_rules,
    presets={
        "AutoClip, flat": Preset(RulesState(), "Percentile 10: are a tenth of the steps clipped?"),
        "AutoClip, falling": Preset(RulesState(stream="falling"), "Why does it clip less and less as the norms fall?"),
        "ZClip, falling": Preset(
            RulesState(stream="falling", rule="ZClip"), "Which steps does a rule clip that asks how unusual a norm is?"
        ),
        "ZClip, rise ×3": Preset(
            RulesState(stream="rise ×3", rule="ZClip"), "How long does it take a rise for a spike?"
        ),
        "ZClip, rise ×10": Preset(RulesState(stream="rise ×10", rule="ZClip"), "And a larger rise?"),
    },
    drag=hold_rule,
)


@cache
def over_seeds(name: str, seeds: int = 20) -> dict[str, np.ndarray]:
    """`measure` of every rule with its published settings on streams of other seeds: (3, seeds) a rule."""
    made, rise = norms_of(name, np.random.default_rng(1), (seeds,)), RISES.get(name)
    found = {}
    for key in SHORT:
        paths = follow(THRESHOLDS[key](), made.norms)
        runs = [Stream(made.norms[:, i], made.trend[:, i], made.spikes[:, i]) for i in range(seeds)]
        found[key] = np.transpose([measure(run, paths[:, i], rise) for i, run in enumerate(runs)])
        frozen(found[key])
    return found


# --- The map of (η, c) --------------------------------------------------------------------------------------------

N_MAP = 100
ARRIVED = 0.05  # on the cliff a run has arrived when its loss is no larger (lesson 04)


@dataclass(frozen=True)
class Land:
    """What the runs of a map train: a model, from so many starts (S, 2), and the least loss there is."""

    model: Model
    starts: np.ndarray
    least: float


def margins() -> np.ndarray:
    """32 examples of a logistic regression with two features of scale 1 and 3, each times its label, (32, 2)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(32, 2)) * (1.0, 3.0)
    likely = 1 / (1 + np.exp(-x @ np.array([1.5, -0.5])))
    return np.where(rng.random(32) < likely, 1.0, -1.0)[:, None] * x


@cache
def land(name: str) -> Land:
    """The two losses of the map; on the cliff, near which one run proves nothing, five starts around (5, −2)."""
    if name == "the cliff":
        return Land(Recurrence(), np.random.default_rng(0).normal((5.0, -2.0), 0.05, (5, 2)), 0.0)
    model = Logistic(margins())
    rest, _ = next(itertools.islice(walk(model, np.zeros(2), 1.0, np.inf), 2000, None))  # where plain descent ends
    return Land(model, np.array([[-4.0, 4.0]]), float(model.loss_and_grad(rest)[0]))


@dataclass(frozen=True)
class MapState(State):
    loss: str = control("logistic regression", label="loss", choices=("logistic regression", "the cliff"))
    learning_rate: float = control(1.0, label="learning rate η", log=(1e-3, 1e3), n_stops=67)
    max_norm: float = control(1.0, label="threshold c", log=(1e-4, 1e2), n_stops=67)


@dataclass(frozen=True)
class MapResult:
    """`values` (rates, thresholds) and `unclipped` (rates): final losses above the least, medians over starts.

    `losses` (N_MAP+1, starts) and `norms` before clipping (N_MAP, starts) are those of the "clipped" runs of the picked
    cell, and of the "raw" ones with the same rate; `clipped` is the share of steps that were clipped.
    """

    state: MapState
    rates: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray
    unclipped: np.ndarray
    losses: dict[str, np.ndarray]
    norms: dict[str, np.ndarray]
    clipped: float


def stops() -> tuple[np.ndarray, np.ndarray]:
    """The rates and thresholds of the map's cells."""
    return tuple(np.array(controls_of(MapState)[name].values) for name in ("learning_rate", "max_norm"))


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of every rate with every threshold from every start: losses above the least (n_steps+1, L, C, S), gradient
    norms before clipping (n_steps, L, C, S), and the share of steps clipped (L, C, S).
    """

    losses: np.ndarray
    norms: np.ndarray
    clipped: np.ndarray


def train_all(name: str, rates: np.ndarray, thresholds: np.ndarray) -> Runs:
    """Train on a loss of the map with every rate and threshold, in single precision of what is kept."""
    here = land(name)
    path = sweep(
        here.model,
        here.starts,
        SGD,
        ClipByGlobalNorm,
        learning_rates=rates,
        thresholds=thresholds,
        n_steps=N_MAP,
    )
    return Runs((path.loss - here.least).astype("f4"), path.grad_norm.astype("f4"), path.clipped.mean(0))


@cache
def every_run(name: str) -> Runs:
    """The runs of all cells of the map, and in the last column those without threshold.

    Two rates at a time: more runs at once need arrays that no cache holds, and take twice as long.
    """
    rates, thresholds = stops()
    parts = [train_all(name, rates[i : i + 2], np.append(thresholds, np.inf)) for i in range(0, len(rates), 2)]
    losses, norms = (np.concatenate([getattr(part, kind) for part in parts], axis=1) for kind in ("losses", "norms"))
    return Runs(*map(frozen, (losses, norms, np.concatenate([part.clipped for part in parts]))))


def final_losses(name: str) -> np.ndarray:
    """The final losses above the least, medians over starts, (rates, thresholds + 1), the last threshold inf."""
    return np.median(every_run(name).losses[-1], axis=-1)


@lru_cache(maxsize=64)
def _picked(name: str, learning_rate: float, max_norm: float) -> Runs:
    """The runs at (η, c) and at (η, inf): those of the map where it has such a cell."""
    rates, thresholds = (values.tolist() for values in stops())
    if learning_rate in rates and max_norm in thresholds:
        runs, i, cells = every_run(name), rates.index(learning_rate), [thresholds.index(max_norm), -1]
        return Runs(runs.losses[:, [i]][:, :, cells], runs.norms[:, [i]][:, :, cells], runs.clipped[[i]][:, cells])
    return train_all(name, np.array([learning_rate]), np.array([max_norm, np.inf]))


def pick(state: MapState) -> MapResult:
    (rates, thresholds), values = stops(), final_losses(state.loss)
    runs, roles = _picked(state.loss, float(state.learning_rate), float(state.max_norm)), ("clipped", "raw")
    return MapResult(
        state,
        rates,
        thresholds,
        values[:, :-1],
        values[:, -1],
        {role: runs.losses[:, 0, k] for k, role in enumerate(roles)},
        {role: runs.norms[:, 0, k] for k, role in enumerate(roles)},
        float(runs.clipped[0, 0].mean()),
    )


def read_map(result: MapResult) -> str:
    """The live sentence of the map; near the cliff, where rounding decides over single runs, in coarse words."""
    state, c = result.state, result.state.max_norm
    at = f"η = {state.learning_rate:g}, c = {plain(c)}, {N_MAP} steps"
    if state.loss == "the cliff":
        clipped, raw = (int((result.losses[name][-1] <= ARRIVED).sum()) for name in ("clipped", "raw"))
        return f"The cliff, {at}: of 5 starts {clipped} arrive clipped and {raw} unclipped (loss ≤ {ARRIVED:g})."
    clipped, raw = (_loss(float(result.losses[name][-1, 0])) for name in ("clipped", "raw"))
    return (
        f"Logistic regression, {at}: {percent(result.clipped)} of the steps are clipped, and the loss ends at "
        f"{clipped} above its least; unclipped at {raw}."
    )


def _loss(loss: float) -> str:
    return plain(float(f"{loss:.2g}")) if loss > 1e-8 else "1e-8 or less"


def hold_map(state: MapState, panel: str, x: float, y: float) -> MapState:
    """The mouse picks a cell, x and y being powers of ten, or in the panel of norms the threshold of the same rate."""
    if panel == "norm":
        return replace(state, max_norm=snap("max_norm", MapState, y))
    return hold_cross(state, panel, x, y)


MAP = Demo(
    MapState,
    pick,
    PickedLogFigure,
    read_map,
    presets={
        "logistic regression": Preset(MapState(), "Which c does this loss need?"),
        "every step clipped": Preset(
            MapState(learning_rate=0.1, max_norm=0.01), "Go ten times up in η and ten times down in c: what changes?"
        ),
        "the cliff": Preset(
            MapState(loss="the cliff", max_norm=0.1), "For which c does this η work, and what is the strip above?"
        ),
        "the cliff, c = 100": Preset(
            MapState(loss="the cliff", max_norm=100.0), "Below, in the norms: which c would have caught the blow?"
        ),
    },
    drag=hold_map,
)


def rates_with(name: str, most: float) -> tuple[int, int]:
    """At how many of the map's rates the loss ends within `most` of the least: with some threshold, and unclipped."""
    values = final_losses(name)
    return int((values[:, :-1] <= most).any(1).sum()), int((values[:, -1] <= most).sum())


# --- A run of one's own -------------------------------------------------------------------------------------------

DIMENSIONS, EXAMPLE_STEPS = 20, 1500
EXAMPLE_BOWL = Quadratic.diagonal(np.geomspace(0.05, 1.0, DIMENSIONS))
EXAMPLE_RATE = 0.1


def example_noise(rng: np.random.Generator, seeds: int, spike: float = 50.0) -> np.ndarray:
    """Gradient noise (steps, seeds, dimensions) of norm about 1, and in one step of a hundred `spike` times that."""
    noise = rng.normal(size=(EXAMPLE_STEPS, seeds, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    return noise * np.where(rng.random((EXAMPLE_STEPS, seeds, 1)) < 0.01, spike, 1.0)


def train_example(noise: np.ndarray, max_norm: float = np.inf, learning_rate: float = EXAMPLE_RATE) -> Trajectory:
    """Train in a bowl of 20 dimensions under such noise, from far away; runs are the seeds of the noise."""
    start = np.full(noise.shape[1:], 3.0)
    clipper = ClipByGlobalNorm(max_norm)
    return train(Noisy(EXAMPLE_BOWL, noise), start, SGD(learning_rate), clipper, n_steps=EXAMPLE_STEPS)


@cache
def example_log() -> NormLog:
    """The norms before clipping of one run of the example, unclipped."""
    run = train_example(example_noise(np.random.default_rng(7), 1))
    return NormLog(run.grad_norm[:, 0], source="the example of lesson 07")


OWN = watch(
    lambda: advise(example_log()),
    0.4,
    200.0,
    3.3,
    {
        "suggested": (3.3, "none", "What does the suggested c cut, and what does it leave alone?"),
        "a common default": (1.0, "none", "Would you call this clipping, or a step of one length?"),
        "ZClip beside it": (3.3, "ZClip", "Where does a rule that learns put its threshold?"),
        "tracker beside it": (3.3, "tracker", "And one that is told to leave half of the steps alone?"),
    },
)


def advice(path: str | Path | None = None, column: str | int | None = None) -> Advice:
    """What a log says: the learner's file, or without one the example."""
    return advise(example_log() if path is None else read_norms(path, column))


def your_run(path: str | Path, column: str | int | None = None) -> Demo:
    """The explorer of a learner's own log: a CSV column, JSON lines, or a trainer_state.json; LogError for others."""
    log = read_norms(path, column)
    norms = log.norms[(log.norms >= 1e-150) & (log.norms <= 1e150)]
    low, high, middle = (norms.min() / 2, norms.max() * 2, np.median(norms)) if norms.size else (0.1, 10.0, 1.0)
    found = advise(log)
    start = found.threshold or float(f"{middle:.3g}")
    places = {"suggested": (start, "none", "What does the suggested c cut, and what does it leave alone?")}
    return watch(lambda: found, low, high, start, places if found.threshold else {})


# --- Predictions --------------------------------------------------------------------------------------------------


def flat_rate() -> float:
    """The share of the flat stream, in percent, that AutoClip clips at its 10th percentile."""
    made = stream("flat")
    return 100 * float(clip_rate(made.norms, follow(AutoClip(), made.norms)))


def zclip_lags() -> tuple[float, float]:
    """ZClip's lag, in steps, behind the rise ×3 and behind the rise ×10: medians over seeds."""
    small, large = (float(np.median(over_seeds(name)["z_score"][2])) for name in RISES)
    return small, large


def which_rise_is_followed() -> str:
    """Which of the two rises ZClip follows sooner."""
    small, large = zclip_lags()
    return "same" if small == large else "small" if small < large else "large"


def descend(times: float, learning_rate: float, max_norm: float) -> np.ndarray:
    """Clipped descent on `times` the mean loss of the 32 examples: 100 steps, their points (101, 2)."""
    here = land("logistic regression")
    theta, points = here.starts[0], [here.starts[0]]
    for _ in range(N_MAP):
        grad = times * here.model.loss_and_grad(theta)[1]
        theta = theta - learning_rate * min(1.0, max_norm / np.linalg.norm(grad)) * grad
        points.append(theta)
    return np.array(points)


COPIED = {"mean": (1.0, 1.0, 0.3), "smaller": (32.0, 1 / 32, 0.3 / 32), "same": (32.0, 1 / 32, 0.3)}
COPIED |= {"larger": (32.0, 1 / 32, 0.3 * 32)}


def which_threshold_carries_over() -> str:
    """Which c makes the run on the summed loss the one on the mean loss, by the largest distance on the way."""
    mean = descend(*COPIED["mean"])
    return min(("smaller", "same", "larger"), key=lambda name: float(np.abs(descend(*COPIED[name]) - mean).max()))


PREDICTIONS = {
    "autoclip": Prediction(
        key="07.a",
        question="A rule that learns: append each norm to a list, then clip at the 10th percentile of the list. On a "
        "run whose norms neither rise nor fall, what share of the steps does it clip?",
        truth=flat_rate,
        unit="% of the steps",
        tolerance=0.08,
        explain={
            "low": "Far more. A tenth of the norms lie *below* the 10th percentile, and what lies above is clipped: "
            "nine in ten. The percentile names the share that is left alone.",
            "close": "Yes: a tenth of the norms lie below the 10th percentile, and all others are clipped. The "
            "percentile names the share that is left alone.",
            "high": "Nearly all, but not quite: the tenth of the norms below the percentile is left alone.",
        },
        evidence=lambda: f"At p = 10 it clips {flat_rate():.1f}% of 2,000 norms without a trend, 1% of them spikes.",
    ),
    "rise": Prediction(
        key="07.b",
        question="ZClip measures how unusual a norm is, by a moving average of mean and standard deviation over the "
        "last 30 steps or so. The norms of one run rise threefold, and stay there; those of another tenfold. Which "
        "rise does its threshold follow sooner?",
        truth=which_rise_is_followed,
        options={
            "large": "the tenfold one: it is the plainer signal",
            "same": "both alike: the average has the same memory",
            "small": "the threefold one",
        },
        explain={
            "large": "A plain signal of what? To this rule a norm far above the mean is a spike, the more surely the "
            "farther. It cuts it harder, and learns from what is left.",
            "same": "The memory is the same, but what goes into it is not: it learns from *clipped* norms, and cuts a "
            "norm the harder the farther it is out.",
            "small": "Yes. It learns from clipped norms and cuts the harder the farther a norm is out. So what is "
            "left of a tenfold rise barely moves its mean.",
        },
        evidence=lambda: (
            "Steps until the threshold has gone half of the way (log scale), medians over 20 seeds: "
            "×3 {:.0f}, ×10 {}.".format(
                zclip_lags()[0], "not within 900" if np.isinf(zclip_lags()[1]) else f"{zclip_lags()[1]:.0f}"
            )
        ),
    ),
    "copied": Prediction(
        key="07.c",
        question="A recipe says c = 0.3, with plain SGD and the loss *averaged* over 32 examples. Your loss is the "
        "*sum* over the same 32, and you have divided η by 32, so that without clipping the two runs are the same. "
        "Which c gives the recipe's run?",
        truth=which_threshold_carries_over,
        options={
            "same": "c = 0.3: a threshold is a threshold",
            "smaller": "c = 0.3/32: it shrinks like η",
            "larger": "c = 0.3 × 32",
        },
        explain={
            "same": "The summed loss has gradients 32 times as long. At c = 0.3 nearly all of them are clipped.",
            "smaller": "η shrinks because the gradients have grown. The threshold is compared with those gradients, "
            "so it has to grow with them.",
            "larger": "Yes: gradients are 32 times as long, so is the threshold; and the clipped step η·c is what it "
            "was.",
        },
        evidence=lambda: "Largest distance from the recipe's run within {} steps: {}.".format(
            N_MAP,
            ", ".join(
                f"{np.abs(descend(*COPIED[name]) - descend(*COPIED['mean'])).max():.2g} with c = {words}"
                for name, words in (("smaller", "0.3/32"), ("same", "0.3"))
            )
            + (", and 0 with c = 0.3 × 32" if _carries_over() else ""),
        ),
    ),
}


def _carries_over() -> bool:
    return bool(np.allclose(descend(*COPIED["larger"]), descend(*COPIED["mean"]), rtol=1e-9, atol=1e-12))


@dataclass(frozen=True)
class Recipe:
    """A published threshold and what it came with; `rate` is the largest learning rate."""

    name: str
    max_norm: float
    optimizer: str
    rate: float


PUBLISHED = (
    Recipe("seq2seq LSTM, 2014", 5.0, "SGD", 0.7),
    Recipe("PyTorch word language model", 0.25, "SGD", 20.0),
    Recipe("AWD-LSTM, 2018", 0.25, "SGD", 30.0),
    Recipe("BERT, 2019", 1.0, "AdamW", 1e-4),
    Recipe("GPT-3 175B, 2020", 1.0, "Adam", 0.6e-4),
    Recipe("DDPM on CIFAR-10, 2020", 1.0, "Adam", 2e-4),
    Recipe("DETR, 2020", 0.1, "AdamW", 1e-4),
    Recipe("nanoGPT", 1.0, "AdamW", 6e-4),
    Recipe("LLaMA 65B, 2023", 1.0, "AdamW", 1.5e-4),
    Recipe("CleanRL, PPO", 0.5, "Adam", 2.5e-4),
    Recipe("Stable-Baselines3, DQN", 10.0, "Adam", 1e-4),
)

# --- Exercises ----------------------------------------------------------------------------------------------------


def threshold_for(norms: np.ndarray, share: float) -> float:
    finite = norms[np.isfinite(norms)]
    return float(np.quantile(finite, 1 - share))


def threshold_for_stub(norms: np.ndarray, share: float) -> float:
    # The c that would have clipped this share (0 to 1) of the finite norms.
    ...


def takes_the_share_for_the_quantile(norms: np.ndarray, share: float) -> float:
    return float(np.quantile(norms[np.isfinite(norms)], share))


def lets_nan_in(norms: np.ndarray, share: float) -> float:
    return float(np.quantile(norms, 1 - share))


def drops_nan_alone(norms: np.ndarray, share: float) -> float:
    return float(np.nanquantile(norms, 1 - share))


def takes_the_share_for_the_quantile_and_lets_nan_in(norms: np.ndarray, share: float) -> float:
    return float(np.quantile(norms, share))


def takes_the_share_for_the_quantile_and_drops_nan_alone(norms: np.ndarray, share: float) -> float:
    return float(np.nanquantile(norms, share))


def asks_percentile_for_a_share(norms: np.ndarray, share: float) -> float:
    return float(np.percentile(norms[np.isfinite(norms)], 1 - share))


def takes_a_share_of_the_largest(norms: np.ndarray, share: float) -> float:
    return float((1 - share) * norms[np.isfinite(norms)].max())


def takes_a_share_between_smallest_and_largest(norms: np.ndarray, share: float) -> float:
    finite = norms[np.isfinite(norms)]
    return float(finite.max() - share * (finite.max() - finite.min()))


def takes_a_share_of_the_mean(norms: np.ndarray, share: float) -> float:
    return float((1 - share) * norms[np.isfinite(norms)].mean())


def takes_the_norm_at_that_place_in_time(norms: np.ndarray, share: float) -> float:
    finite = norms[np.isfinite(norms)]
    return float(finite[round((1 - share) * (finite.size - 1))])


def takes_the_norm_above(norms: np.ndarray, share: float) -> float:
    return float(np.quantile(norms[np.isfinite(norms)], 1 - share, method="higher"))


def takes_the_norm_below(norms: np.ndarray, share: float) -> float:
    return float(np.quantile(norms[np.isfinite(norms)], 1 - share, method="lower"))


def trusts_a_normal_law(norms: np.ndarray, share: float) -> float:
    from statistics import NormalDist

    finite = norms[np.isfinite(norms)]
    return float(finite.mean() + NormalDist().inv_cdf(1 - share) * finite.std())


def same_run(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate / batch, max_norm * batch


def same_run_stub(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    # (η, c) for the summed loss that give the run which (learning_rate, max_norm) give for the mean.
    ...


def keeps_the_threshold(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate / batch, max_norm


def keeps_both(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate, max_norm


def keeps_the_rate(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate, max_norm * batch


def divides_both(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate / batch, max_norm / batch


def goes_the_other_way(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate * batch, max_norm / batch


def multiplies_both(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate * batch, max_norm * batch


def keeps_the_rate_and_divides_the_threshold(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate, max_norm / batch


def multiplies_the_rate_alone(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate * batch, max_norm


def scales_by_the_root(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate / np.sqrt(batch), max_norm * np.sqrt(batch)


def scales_the_threshold_by_the_root(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return learning_rate / batch, max_norm * np.sqrt(batch)


def gives_the_threshold_first(learning_rate: float, max_norm: float, batch: int) -> tuple[float, float]:
    return max_norm * batch, learning_rate / batch


def track(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    c, thresholds = initial, []
    for norm in norms:
        thresholds.append(c)
        below = float(norm <= c)
        c = c * np.exp(-rate * (below - quantile))
    return np.array(thresholds)


def track_stub(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    c, thresholds = initial, []
    for norm in norms:
        norm = min(norm, c)
        thresholds.append(c)
        below = float(norm <= c)
        c = c * np.exp(-rate * (below - quantile))
    return np.array(thresholds)


def counts_a_norm_at_the_threshold_as_above(
    norms: np.ndarray, quantile: float, rate: float, initial: float
) -> np.ndarray:
    c, thresholds = initial, []
    for norm in norms:
        thresholds.append(c)
        below = float(norm < c)
        c = c * np.exp(-rate * (below - quantile))
    return np.array(thresholds)


def moves_away_from_the_quantile(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    return track(norms, quantile, -rate, initial)


def takes_the_quantile_for_the_share_clipped(
    norms: np.ndarray, quantile: float, rate: float, initial: float
) -> np.ndarray:
    return track(norms, 1 - quantile, rate, initial)


def gives_the_threshold_after_the_norm(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    return track(np.append(norms, 0.0), quantile, rate, initial)[1:]


def compares_with_the_first_threshold(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    c, thresholds = initial, []
    for norm in norms:
        thresholds.append(c)
        c = c * np.exp(-rate * (float(norm <= initial) - quantile))
    return np.array(thresholds)


def steps_by_addition(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    c, thresholds = initial, []
    for norm in norms:
        thresholds.append(c)
        c = c - rate * (float(norm <= c) - quantile)
    return np.array(thresholds)


def asks_what_is_above(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    c, thresholds = initial, []
    for norm in norms:
        thresholds.append(c)
        c = c * np.exp(-rate * (float(norm > c) - quantile))
    return np.array(thresholds)


def lets_the_threshold_stand_still(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    return np.full(len(norms), initial)


def gives_what_is_left_of_the_norms(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    return np.minimum(norms, track(norms, quantile, rate, initial))


def compares_with_the_last_clipped_norm(norms: np.ndarray, quantile: float, rate: float, initial: float) -> np.ndarray:
    c, before, thresholds = initial, initial, []
    for norm in norms:
        thresholds.append(c)
        below = float(norm <= before)
        before = min(norm, c)
        c = c * np.exp(-rate * (below - quantile))
    return np.array(thresholds)


_SOME = np.array([4.0, 0.5, 2.0, 1.0, 8.0, 3.0, 0.25, 6.0])

EXERCISES = {
    "threshold_for": Exercise(
        key="07.1",
        title="The threshold that clips a given share",
        solution=threshold_for,
        stub=threshold_for_stub,
        probes=(
            Probe((np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]), 0.1), "eleven norms in order"),
            Probe((_SOME, 0.25), "eight norms out of order"),
            Probe((np.array([4.0, np.nan, 5.0, 1.0, 2.0]), 0.25), "one norm is NaN"),
            Probe((np.array([2.0, np.inf, 5.0, 4.0, np.nan, 1.0, 0.0]), 0.3), "NaN, an infinity and a zero"),
            Probe((np.append(50.0, np.linspace(1.1, 0.9, 21)), 0.1), "calm norms and one spike"),
            Probe((np.array([3.0, 3.0, 3.0]), 0.5), "all norms alike"),
        ),
        misconceptions=(
            Misconception(
                takes_the_share_for_the_quantile,
                'The quantile at `share` leaves that share *below* c, and clips all the rest. This is how a "10th '
                'percentile" comes to clip nine steps in ten. Ask for the quantile at 1 − share.',
            ),
            Misconception(
                lets_nan_in,
                "One NaN, or infinity, in the log spoils the quantile. Keep the finite norms first: `np.isfinite`.",
            ),
            Misconception(
                drops_nan_alone,
                "`nanquantile` drops NaN and keeps infinities. Both are overflows, and neither is a norm to set c by.",
            ),
            Misconception(
                takes_the_share_for_the_quantile_and_lets_nan_in,
                "Two things. The quantile at `share` leaves that share below c and clips the rest: ask for 1 − share. "
                "And keep only the finite norms first.",
            ),
            Misconception(
                takes_the_share_for_the_quantile_and_drops_nan_alone,
                "Two things. The quantile at `share` leaves that share below c and clips the rest: ask for 1 − share. "
                "And `nanquantile` keeps infinities.",
            ),
            Misconception(
                asks_percentile_for_a_share,
                "`np.percentile` wants percent, 0 to 100. 1 − share is a share, 0 to 1: that is `np.quantile`.",
            ),
            Misconception(
                takes_a_share_of_the_largest,
                "A share of the *largest norm* says nothing about how many norms lie above it: one spike moves it at "
                "will.",
            ),
            Misconception(
                takes_a_share_between_smallest_and_largest,
                "That is a place between the smallest and the largest norm. Asked for is a share of *steps*: sort "
                "them.",
            ),
            Misconception(
                takes_a_share_of_the_mean,
                "A multiple of the mean is a rule of thumb, but not one that clips a given share of the steps.",
            ),
            Misconception(
                takes_the_norm_at_that_place_in_time,
                "The norms stand in the order in which they came. By size they have to be sorted first, as "
                "`np.quantile` does.",
            ),
            Misconception(
                takes_the_norm_above,
                "Sorted and counted, right. But this takes the next larger norm of the log; between two norms "
                "`np.quantile` interpolates.",
            ),
            Misconception(
                takes_the_norm_below,
                "Sorted and counted, right. But this takes the next smaller norm of the log; between two norms "
                "`np.quantile` interpolates.",
            ),
            Misconception(
                trusts_a_normal_law,
                "Norms are not normally distributed: they are positive, skewed, and have spikes. Count them instead.",
            ),
        ),
        hints=(
            "A share of the norms is to lie *above* c. Which share lies below?",
            "Keep the finite norms, `norms[np.isfinite(norms)]`; then `np.quantile` knows where a share lies below.",
            "`np.quantile(norms[np.isfinite(norms)], 1 - share)`",
        ),
        explanation="The share clipped is what matters to a run; a percentile counts from the other side. Norms that "
        "are not finite are left out: they have to be found and mended, not clipped.",
    ),
    "same_run": Exercise(
        key="07.2",
        title="Carry a recipe over",
        solution=same_run,
        stub=same_run_stub,
        probes=(
            Probe((0.1, 1.0, 32), "a batch of 32"),
            Probe((20.0, 0.25, 4), "a large rate"),
            Probe((0.5, 3.0, 1), "a batch of one: sum and mean are the same"),
            Probe((1e-3, 10.0, 100), "a batch of 100"),
        ),
        misconceptions=(
            Misconception(
                keeps_the_threshold,
                "The summed loss has gradients `batch` times as long. At the old c they are clipped where they were "
                "not, and a clipped step η·c is `batch` times too short.",
            ),
            Misconception(
                keeps_both,
                "The summed loss has gradients `batch` times as long: even without clipping that is another run.",
            ),
            Misconception(
                keeps_the_rate,
                "The threshold is right. But a step that is not clipped is η·g, and g has grown: η has to shrink.",
            ),
            Misconception(
                divides_both,
                "η shrinks *because* the gradients have grown. The threshold is compared with these gradients: it "
                "grows.",
            ),
            Misconception(
                goes_the_other_way,
                "This is the way back, from the sum to the mean. Of a sum the gradients are *longer*.",
            ),
            Misconception(
                multiplies_both,
                "The threshold grows with the gradients, right. The rate does the opposite, so that η·g stays what it "
                "was.",
            ),
            Misconception(
                keeps_the_rate_and_divides_the_threshold,
                "Clipped steps would be as short as you wish, but which steps are clipped has changed, and all others "
                "are too long. Both settings have to follow the gradient.",
            ),
            Misconception(
                multiplies_the_rate_alone,
                "Of a sum the gradients are longer, so the rate has to be *smaller*; and the threshold larger.",
            ),
            Misconception(
                scales_by_the_root,
                "√batch is how the *noise* of a sum grows. Sum and mean of the same examples differ by the factor "
                "`batch`.",
            ),
            Misconception(
                scales_the_threshold_by_the_root,
                "The rate is right. The threshold has to grow by the factor of the gradient itself, `batch`, not its "
                "root.",
            ),
            Misconception(gives_the_threshold_first, "The right numbers in the wrong order: first η, then c."),
        ),
        hints=(
            "By what factor is the gradient of the summed loss longer?",
            "A step is η·min(1, c/n)·g. With g and n `batch` times as large: which η and c give the same step?",
            "min(1, c/n) stays if c grows as n does; η·g stays if η shrinks: `(learning_rate / batch, max_norm * "
            "batch)`.",
        ),
        explanation="The product η·c is the same before and after: a clipped step is η·c long, whatever the unit of "
        "the loss. With Adam the rate would stay, since it divides sizes out; the threshold would still have to grow.",
    ),
    "track": Exercise(
        key="07.3",
        title="Mend: a threshold that falls for ever",
        solution=track,
        stub=track_stub,
        probes=(
            Probe((np.array([1.0, 3.0]), 0.5, 0.2, 2.0), "one norm below, one above"),
            Probe((_SOME, 0.5, 0.2, 2.0), "eight norms around the first threshold"),
            Probe((_SOME, 0.9, 0.3, 0.1), "all norms above the first threshold, quantile 0.9"),
            Probe((np.array([2.0, 2.0, 1.0, 4.0]), 0.25, 0.5, 2.0), "a norm exactly at the threshold"),
            Probe((np.full(6, 100.0), 0.5, 1.0, 1.0), "a long way up"),
        ),
        misconceptions=(
            Misconception(
                counts_a_norm_at_the_threshold_as_above,
                "Nearly. A norm that equals c is not clipped: it counts as left alone, n ≤ c. (With `<` a norm that "
                "was clipped first counts as above, which hides the fault. The line that clips has to go.)",
            ),
            Misconception(
                moves_away_from_the_quantile,
                "The sign: while too many norms are left alone, c has to *fall*.",
            ),
            Misconception(
                takes_the_quantile_for_the_share_clipped,
                "γ is the share that is left alone, n ≤ c, not the share that is clipped.",
            ),
            Misconception(
                gives_the_threshold_after_the_norm,
                "These are the thresholds *after* each norm. Asked for is the one that each norm meets.",
            ),
            Misconception(
                compares_with_the_first_threshold,
                "Each norm is compared with the first threshold. It has to be the present one, c.",
            ),
            Misconception(
                steps_by_addition,
                "A step of fixed length: too long for small norms, where c falls below 0, too short for large ones. "
                "The rule is geometric: it multiplies.",
            ),
            Misconception(
                asks_what_is_above,
                "You count the norms *above* c. Then c falls when much is clipped, and rises when little is.",
            ),
            Misconception(
                lets_the_threshold_stand_still,
                "It no longer falls, because it no longer moves. It has to learn from the norms.",
            ),
            Misconception(
                gives_what_is_left_of_the_norms,
                "These are the clipped norms. Asked for are the thresholds that they met.",
            ),
            Misconception(
                compares_with_the_last_clipped_norm,
                "Each norm is compared with what was left of the last one. It has to be compared with c.",
            ),
        ),
        hints=(
            "Print `below` for a stream of norms that are all above c. What should it be?",
            "The norm is clipped first, and compared with c afterwards. What can the comparison still find out?",
            "Leave out the line `norm = min(norm, c)`: a rule has to see the norm *before* clipping.",
        ),
        explanation="A clipped norm is never above c, so the rule believed that everything was left alone and lowered "
        "c at every step. It is the same mistake as a log of norms after clipping: what was cut off cannot be seen in "
        "it.",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "07",
    (
        Question(
            "Training logs grad_norm = 3.7 although max_norm = 1.0 is set. What is wrong?",
            (
                Option("clipping is broken", "The most usual guess, in the bug reports of many libraries, and not so."),
                Option(
                    "nothing: the norm is logged before clipping",
                    "Yes. clip_grad_norm_ returns the norm from before, and that is the one to log.",
                    right=True,
                ),
                Option("the learning rate is too large", "That may be so or not; the log does not say it."),
                Option(
                    "clipping came after the step",
                    "A real mistake, but not one that this number shows: the norm before clipping is the same.",
                ),
            ),
        ),
        Question(
            "A log in which a quarter of the norms are exactly 1.000 and none is larger: what does it show?",
            (
                Option("a well-trained network", "Norms of a run vary. That many do not end at one number by chance."),
                Option(
                    "that c = 1 is a good threshold", "It shows that c = 1 was used. What it cut off is not in the log."
                ),
                Option(
                    "norms after clipping at 1: useless for choosing c",
                    "Yes: how long the clipped gradients were cannot be seen. Log the norm before clipping.",
                    right=True,
                ),
            ),
        ),
        Question(
            "Your run clips 100% of its steps, and somebody proposes to tune c at the present η. What would that tune?",
            (
                Option(
                    "the length of every step, η·c: the same as tuning η",
                    "Yes: where every step is clipped, only the product counts. Half of c or half of η is one run.",
                    right=True,
                ),
                Option("how many steps are clipped", "All of them are, and stay so for any smaller c."),
                Option(
                    "how spikes are treated",
                    "A spike gets a step of length η·c, as every other gradient does: it is no exception any more.",
                ),
                Option("nothing, c no longer matters", "It matters as η does: each step is η·c long."),
            ),
        ),
        Question(
            "The norms of a run rise for good, tenfold. Which rule's threshold is there first?",
            (
                Option(
                    "AutoClip: it knows the whole history",
                    "That is why it is slow: its 10th percentile lies among the old norms for nine times as long as "
                    "they lasted.",
                ),
                Option(
                    "the quantile tracker: it can rise by a tenth at each step",
                    "Yes: by exp(0.2·γ) a step, 1.105 with γ = ½. It remembers one number.",
                    right=True,
                ),
                Option(
                    "ZClip: its average forgets within some 30 steps",
                    "It learns from clipped norms, and cuts a tenfold rise so hard that its average hardly moves.",
                ),
                Option(
                    "a fixed c",
                    "It does not move at all. Whether that is bad depends on where it stands.",
                ),
            ),
        ),
    ),
)

LESSON = Lesson(
    "07",
    "Choosing a threshold",
    {"log": LOG, "rules": RULES, "map": MAP, "own": OWN},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
