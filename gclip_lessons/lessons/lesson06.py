"""Lesson 06, noise: clipping buys less variance with bias, and the best threshold is the answer one is looking for."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.resting import RestingFigure
from gclip_lessons.figures.tug import TugFigure
from gclip_lessons.figures.ucurve import UCurveFigure
from gclip_lessons.lessons import (
    Demo,
    Lesson,
    Preset,
    State,
    clamp,
    control,
    controls_of,
    frozen,
    side_trips06,
    signed,
    snap,
)
from gclip_lessons.lessons.side_trips06 import FLIPS, LOSSES, RETURNS, TAILS, THREE
from gclip_lessons.models.checks import whole_number
from gclip_lessons.models.logistic import clipped_root, slope_grads

# --- The U: error of a clipped average against the threshold ------------------------------------------------

TAIL = 2.5  # the noise is Pareto (Lomax) of this index, moved to mean 0: skewed, and its fourth moment is infinite
NOISE_MEAN = 1 / (TAIL - 1)
NOISE_SD = float(np.sqrt(TAIL / (TAIL - 2)) / (TAIL - 1))
EACH, MEAN = "each example", "the batch mean"
N_DRAWS, MOST_BATCHES = 2**18, 2**13


@dataclass(frozen=True)
class UCurveState(State):
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 100), n_stops=91)
    batch: int = control(1, label="batch size B", whole=(1, 256))
    true_gradient: float = control(1.0, label="true gradient", linear=(0.5, 4), n_stops=71)
    clip: str = control(EACH, label="what is clipped", choices=(EACH, MEAN))


@dataclass(frozen=True)
class UCurveResult:
    """Errors, biases (their size) and spreads at `thresholds`; `bias`, `spread` and `error` at the state's own c.

    By formula where each example is clipped (or a batch is one example), and counted over simulated batches where
    their mean is. `raw_error` is by formula, `measured` the simulated error at c, in both cases. `shares` of batches
    fall around `places`.
    """

    state: UCurveState
    thresholds: np.ndarray
    biases: np.ndarray
    spreads: np.ndarray
    errors: np.ndarray
    raw_error: float
    best: float
    bias: float
    spread: float
    error: float
    measured: float
    places: np.ndarray
    shares: np.ndarray
    raw_shares: np.ndarray


THRESHOLDS = np.array(controls_of(UCurveState)["max_norm"].values)
BIN = 0.1
PLACES = np.arange(-0.3, 6.35, BIN)  # the middles of the bins


def pareto_noise(size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Skewed noise of mean exactly 0 and standard deviation exactly 1.491: Lomax(2.5) − 2/3, never below −2/3."""
    return rng.pareto(TAIL, size) - NOISE_MEAN


def clipped_moments(max_norm: np.ndarray, true_gradient: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of clip(g, ±c) in closed form, for g = `true_gradient` + `pareto_noise`.

    With g = s + X, X ≥ 0, clipping g to ±c is clipping X to low = −c − s … high = c − s. From P(X > x) = (1+x)^−a:
    E = low + ∫P(X > x)dx and E² = low² + 2∫x·P(X > x)dx, both from low to high. ValueError unless every c > 0.
    """
    if not np.greater(max_norm, 0).all():
        raise ValueError(f"max_norm must be > 0; got {max_norm}")
    shift = true_gradient - NOISE_MEAN
    low, high = np.maximum(-max_norm - shift, 0), np.maximum(max_norm - shift, 0)

    def area(x: np.ndarray) -> np.ndarray:
        return -((1 + x) ** (1 - TAIL)) / (TAIL - 1)

    def moment(x: np.ndarray) -> np.ndarray:
        return 2 * ((1 + x) ** (1 - TAIL) / (TAIL - 1) - (1 + x) ** (2 - TAIL) / (TAIL - 2))

    first = low + area(high) - area(low)
    second = low**2 + moment(high) - moment(low)
    return np.minimum(shift, max_norm) * (high == 0) + (shift + first) * (high > 0), np.maximum(second - first**2, 0)


def best_threshold(batch: int, true_gradient: float) -> float:
    """The c of the smallest error when each of B examples is clipped, then averaged, by bisection.

    The squared error is bias² + variance/B, and where no example lies below −c its slope in c is zero where
    c − mean = B·(true gradient − mean): with B = 1 at c = the true gradient. ValueError below 1/3 of that,
    where an example could.
    """
    batch = whole_number("batch", batch)
    if true_gradient < 1 / 3:
        raise ValueError(f"true_gradient must be >= 1/3; got {true_gradient}")
    low, high = true_gradient, true_gradient + 100.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = float(clipped_moments(np.array(middle), true_gradient)[0])
        low, high = (middle, high) if middle - mean < batch * (true_gradient - mean) else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    return frozen(pareto_noise((N_DRAWS,), np.random.default_rng(6)))


def _batches(batch: int) -> np.ndarray:
    """The noise in (batches, examples)."""
    n = min(MOST_BATCHES, N_DRAWS // batch)
    return _noise()[: n * batch].reshape(n, batch)


@lru_cache(maxsize=256)
def _noise_of_means(batch: int) -> np.ndarray:
    return frozen(_batches(batch).mean(-1))


@lru_cache(maxsize=256)
def _curve_of_means(batch: int, true_gradient: float) -> tuple[np.ndarray, np.ndarray]:
    """Bias and spread at every threshold where the batch means are clipped."""
    clipped = np.clip(true_gradient + _noise_of_means(batch), -THRESHOLDS[:, None], THRESHOLDS[:, None])
    return frozen(clipped.mean(-1) - true_gradient), frozen(clipped.std(-1))


def _shares(values: np.ndarray) -> np.ndarray:
    """The share of `values` in each bin around PLACES, those beyond left out."""
    bins = np.floor((values - PLACES[0]) / BIN + 0.5).astype(int)
    inside = bins[(bins >= 0) & (bins < len(PLACES))]
    return np.bincount(inside, minlength=len(PLACES)) / len(values)


def average(state: UCurveState) -> UCurveResult:
    mu, c, batch = state.true_gradient, state.max_norm, state.batch
    raw = mu + _noise_of_means(batch)
    if state.clip == EACH or batch == 1:
        means, variances = clipped_moments(np.append(THRESHOLDS, c), mu)
        biases, spreads = means - mu, np.sqrt(variances / batch)
        clipped = np.clip(mu + _batches(batch), -c, c).mean(-1)
        best = best_threshold(batch, mu)
    else:
        clipped = np.clip(raw, -c, c)
        biases, spreads = _curve_of_means(batch, mu)
        biases, spreads = np.append(biases, clipped.mean() - mu), np.append(spreads, clipped.std())
        best = mu
    errors = np.hypot(biases, spreads)
    return UCurveResult(
        state=state,
        thresholds=THRESHOLDS,
        biases=np.abs(biases[:-1]),
        spreads=spreads[:-1],
        errors=errors[:-1],
        raw_error=NOISE_SD / float(np.sqrt(batch)),
        best=best,
        bias=float(biases[-1]),
        spread=float(spreads[-1]),
        error=float(errors[-1]),
        measured=float(np.sqrt(np.mean((clipped - mu) ** 2))),
        places=PLACES,
        shares=_shares(clipped),
        raw_shares=_shares(raw),
    )


def read_ucurve(result: UCurveResult) -> str:
    """The live sentence of the first demo."""
    state = result.state
    size = "one example" if state.batch == 1 else f"batches of {state.batch}"
    what = "" if state.batch == 1 else f", {state.clip} clipped"
    c, mu = f"{state.max_norm:.3g}", f"{state.true_gradient:.3g}"
    return (
        f"With {size}{what} at c = {c}: bias {signed(result.bias)}, spread {result.spread:.3f}, together an error of "
        f"{result.error:.3f}; unclipped it is {result.raw_error:.3f}. The true gradient is {mu}, and the best "
        f"threshold would be {result.best:.3g}."
    )


def hold_ucurve(state: UCurveState, panel: str, x: float, y: float) -> UCurveState:
    """The mouse moves the threshold, in both panels."""
    return replace(state, max_norm=clamp("max_norm", UCurveState, x))


UCURVE = Demo(
    UCurveState,
    average,
    UCurveFigure,
    read_ucurve,
    presets={
        "one example": Preset(UCurveState(), "Which c has the smallest error, and where does the grey band stand?"),
        "another truth": Preset(UCurveState(true_gradient=3.0), "Another true gradient: is c = 1 still the best?"),
        "a batch of 64": Preset(UCurveState(batch=64, max_norm=1.0), "Does a larger batch take the bias away?"),
        "its own best c": Preset(UCurveState(batch=64, max_norm=4.54), "How far has the best c moved with B?"),
        "clip the mean": Preset(
            UCurveState(batch=64, clip=MEAN), "Where is the bottom of the U when the batch mean is clipped?"
        ),
    },
    drag=hold_ucurve,
)

# --- The bias of a run: it leaves the minimum and comes to rest elsewhere -----------------------------------

SPIKE = 2.0
FAR_FROM_0 = 0.015  # of a measured place of rest: beyond what the noise of 100 runs explains
N_RUNS, UNTIL, N_TIMES = 100, 16.0, 81
RATES = ("0.2", "0.05", "0.02")


@dataclass(frozen=True)
class RestingState(State):
    chance: float = control(0.1, label="chance p of a spike", log=(0.02, 0.2), n_stops=31)
    max_norm: float = control(1.0, label="threshold c", log=(0.25, 4), n_stops=21)
    learning_rate: str = control("0.05", label="learning rate η", choices=RATES)


@dataclass(frozen=True)
class RestingResult:
    """Mean paths at `times` (η times the step); places of rest at `thresholds`, by formula and measured."""

    state: RestingState
    times: np.ndarray
    path: np.ndarray
    raw_path: np.ndarray
    thresholds: np.ndarray
    rests: np.ndarray
    most: np.ndarray
    measured: np.ndarray
    rest: float
    measured_here: float
    variance: float


RESTING_THRESHOLDS = np.array(controls_of(RestingState)["max_norm"].values)
EVERY_THRESHOLD = (*RESTING_THRESHOLDS.tolist(), np.inf)


def resting_place(chance: float, spike: float, max_norm: float) -> float:
    if not 0 < chance < 0.5:  # else the other pushes are the longer ones, and are clipped too
        raise ValueError(f"chance must lie between 0 and 0.5; got {chance}")
    excess = max(spike - max_norm, 0.0)
    return chance * excess / (1 - chance)


def spikes(chance: float, spike: float, draws: np.ndarray) -> np.ndarray:
    """Noise of mean 0 from `draws` uniform in [0, 1): +s with probability p < ½, else −s·p/(1−p)."""
    if not 0 < chance < 0.5:
        raise ValueError(f"chance must lie between 0 and 0.5; got {chance}")
    return np.where(draws < chance, spike, -spike * chance / (1 - chance))


def _runs(chances: tuple[float, ...], rate: str, thresholds: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean paths (chances, N_TIMES, thresholds) of runs x ← x − η·clip(x + ξ, ±c) from 0, and means of their last half.

    A loop of its own: `train` would keep every step of every run, of which only means are wanted.
    """
    eta = float(rate)
    n_steps = round(UNTIL / eta)
    draws = np.random.default_rng(16).random((n_steps, N_RUNS))
    noise = np.stack([spikes(p, SPIKE, draws) for p in chances], axis=1)[:, :, None]
    c = np.array(thresholds)[:, None]
    x = np.zeros((len(chances), len(thresholds), N_RUNS))
    path = np.zeros((n_steps + 1, len(chances), len(thresholds)))
    grad = np.empty_like(x)
    for step in range(n_steps):
        np.add(x, noise[step], out=grad)
        np.maximum(grad, -c, out=grad)
        np.minimum(grad, c, out=grad)
        grad *= eta
        x -= grad
        path[step + 1] = x.mean(-1)
    kept = np.round(np.linspace(0, n_steps, N_TIMES)).astype(int)
    return frozen(np.moveaxis(path[kept], 0, 1)), frozen(path[n_steps // 2 :].mean(0))


@lru_cache(maxsize=256)
def rest(chance: float, rate: str, thresholds: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean paths (N_TIMES, thresholds) of the runs at one chance of a spike, and the mean of their last half."""
    paths, ends = _runs((chance,), rate, thresholds)
    return paths[0], ends[0]


@lru_cache
def _all_rests() -> dict[tuple[float, str], tuple[np.ndarray, np.ndarray]]:
    """The runs of every stop of every control, so that no move waits for them."""
    chances = controls_of(RestingState)["chance"].values
    return {
        (p, rate): (path, end)
        for rate in RATES
        for p, path, end in zip(chances, *_runs(chances, rate, EVERY_THRESHOLD), strict=True)
    }


def come_to_rest(state: RestingState) -> RestingResult:
    p, c = state.chance, state.max_norm
    stops = EVERY_THRESHOLD
    here = p, state.learning_rate
    paths, ends = _all_rests()[here] if here in _all_rests() else rest(*here, stops)
    if c in stops:
        path, here = paths[:, stops.index(c)], ends[stops.index(c)]
    else:
        path, here = (part[..., 0] for part in rest(p, state.learning_rate, (c,)))
    variance = SPIKE**2 * p / (1 - p)
    return RestingResult(
        state=state,
        times=np.linspace(0, UNTIL, N_TIMES),
        path=path,
        raw_path=paths[:, -1],
        thresholds=RESTING_THRESHOLDS,
        rests=np.array([resting_place(p, SPIKE, stop) for stop in RESTING_THRESHOLDS]),
        most=variance / (4 * RESTING_THRESHOLDS),
        measured=ends[:-1],
        rest=resting_place(p, SPIKE, c),
        measured_here=float(here),
        variance=variance,
    )


def read_resting(result: RestingResult) -> str:
    """The live sentence of the second demo."""
    state = result.state
    p, c = f"{state.chance:.3g}", f"{state.max_norm:.3g}"
    start = f"Noise of mean 0 that is +2 with p = {p}, clipped at c = {c}, η = {state.learning_rate}: "
    if state.max_norm >= SPIKE:
        wander = (
            "; in steps of this size the runs wander, and some spikes are clipped after all"
            if abs(result.measured_here) >= FAR_FROM_0
            else ""
        )
        return start + (
            f"no spike is longer than c near the minimum, so for small η the place of rest is 0, the minimum itself; "
            f"measured {signed(result.measured_here, 2)}{wander}."
        )
    return start + (
        f"the runs leave the minimum and for small η come to rest at p(2−c)/(1−p) = {result.rest:.4f}; measured "
        f"{signed(result.measured_here, 2)}. No noise of variance {result.variance:.3f} could do more than "
        f"σ²/(4c) = {result.variance / (4 * state.max_norm):.4f}."
    )


def hold_resting(state: RestingState, panel: str, x: float, y: float) -> RestingState:
    """The mouse moves the threshold on the right, from stop to stop."""
    return state if panel != "rest" else replace(state, max_norm=snap("max_norm", RestingState, x))


RESTING = Demo(
    RestingState,
    come_to_rest,
    RestingFigure,
    read_resting,
    presets={
        "away from the minimum": Preset(RestingState(), "The noise has mean 0 and the start is perfect. Why leave?"),
        "a smaller η": Preset(RestingState(learning_rate="0.02"), "Do smaller steps end nearer to the minimum?"),
        "a tighter c": Preset(RestingState(max_norm=0.5), "Half the threshold: how much further away?"),
        "no spike clipped": Preset(RestingState(max_norm=2.64), "When is there no bias at all?"),
        "rarer spikes": Preset(RestingState(chance=0.02), "Rarer spikes are more skewed. Is their bias larger?"),
    },
    drag=hold_resting,
)

# --- Outliers: a tug of war ---------------------------------------------------------------------------------

N_SETS, N_GOOD, NEIGHBOURS = 20, 10_000, 10
COUNTS = ("0", "50", "100", "200", "500")


@dataclass(frozen=True)
class OutliersState(State):
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 1000), n_stops=61)
    outliers: str = control("50", label="outliers of 10,000", choices=COUNTS)


@dataclass(frozen=True)
class OutliersResult:
    """Pulls over `slopes`, of the first data set; places where they cancel at `thresholds`, of all 20."""

    state: OutliersState
    slopes: np.ndarray
    raw_good: np.ndarray
    raw_bad: np.ndarray
    good: np.ndarray
    bad: np.ndarray
    thresholds: np.ndarray
    means: np.ndarray
    band: np.ndarray
    clean: np.ndarray
    raw_slope: float
    slope: float
    spread: float
    first_slope: float
    pull: float


OUTLIER_THRESHOLDS = np.array(controls_of(OutliersState)["max_norm"].values)
SLOPES = np.linspace(-0.1, 5.2, 107)
LEAST = 1e-3  # a pull below this, or the other way, is off the chart


@lru_cache(maxsize=1)
def _margins() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    return frozen(rng.normal(1, 1, (N_SETS, N_GOOD))), frozen(rng.normal(-200, 1, (N_SETS, int(COUNTS[-1]))))


def margins(outliers: int) -> np.ndarray:
    """The margins y·x of 20 data sets, (20, 10,000 + outliers).

    10,000 good examples lie at x ~ N(±1, 1) with label y = ±1; outliers at N(∓200, 1), far on the wrong side. The
    best slope for the good ones alone is 2. ValueError beyond 500 outliers. Setting: Menon et al., ICLR 2020.
    """
    if not 0 <= outliers <= int(COUNTS[-1]):
        raise ValueError(f"outliers must lie between 0 and {COUNTS[-1]}; got {outliers}")
    good, bad = _margins()
    return np.concatenate([good, bad[:, :outliers]], axis=-1)


def grouped(z: np.ndarray) -> np.ndarray:
    """Ten neighbours at a time replaced by their mean: a tenth of the work, and roots within 0.001 for a picture."""
    return np.sort(z, axis=-1).reshape(len(z), -1, NEIGHBOURS).mean(-1)


@lru_cache(maxsize=64)
def _slopes(outliers: int, thresholds: tuple[float, ...]) -> np.ndarray:
    """The slopes (thresholds, 20) at which the clipped pulls cancel."""
    return frozen(clipped_root(grouped(margins(outliers)), np.array(thresholds), bracket=(-1.0, 20.0), n_halvings=26))


@lru_cache(maxsize=1)
def _all_slopes() -> dict[int, np.ndarray]:
    """The slopes at every stop of the slider and unclipped, for every entry of the menu: a second's work, once."""
    every = (*OUTLIER_THRESHOLDS.tolist(), np.inf)
    return {int(count): _slopes(int(count), every) for count in COUNTS}


@lru_cache(maxsize=1)
def _good_pulls() -> np.ndarray:
    """The gradient of each group of good examples in the first data set, at every slope: (slopes, groups)."""
    return frozen(-slope_grads(grouped(_margins()[0][:1])[0], SLOPES[:, None]))


def tug(state: OutliersState) -> OutliersResult:
    c, count = state.max_norm, int(state.outliers)
    every = (*OUTLIER_THRESHOLDS.tolist(), np.inf)
    slopes = _all_slopes()[count]
    here = slopes[every.index(c)] if c in every else _slopes(count, (c,))[0]
    bad = slope_grads(_margins()[1][0, :count], SLOPES[:, None])
    raw_good = NEIGHBOURS * _good_pulls().sum(-1)
    good = NEIGHBOURS * np.clip(_good_pulls(), -c, c).sum(-1)
    at = float(here.mean())
    low, high = slopes[:-1].min(-1), slopes[:-1].max(-1)
    return OutliersResult(
        state=state,
        slopes=SLOPES,
        raw_good=np.maximum(raw_good, LEAST),
        raw_bad=np.maximum(bad.sum(-1), LEAST),
        good=np.maximum(good, LEAST),
        bad=np.maximum(np.clip(bad, -c, c).sum(-1), LEAST),
        thresholds=OUTLIER_THRESHOLDS,
        means=slopes[:-1].mean(-1),
        band=np.concatenate([np.stack([OUTLIER_THRESHOLDS, low], -1), np.stack([OUTLIER_THRESHOLDS, high], -1)[::-1]]),
        clean=_all_slopes()[0][:-1].mean(-1),
        raw_slope=float(slopes[-1].mean()),
        slope=at,
        spread=float(here.std()),
        first_slope=float(here[0]),
        pull=max(float(np.clip(slope_grads(_margins()[1][0, :count], here[0]), -c, c).sum()), LEAST),
    )


def read_outliers(result: OutliersResult) -> str:
    """The live sentence of the third demo."""
    state = result.state
    c, count = f"{state.max_norm:,.0f}" if state.max_norm >= 1000 else f"{state.max_norm:.3g}", state.outliers
    here, clean = (
        f"θ = {signed(result.slope, 2)}",
        signed(float(np.interp(state.max_norm, result.thresholds, result.clean)), 2),
    )
    if count == "0":
        return (
            f"No outliers: at c = {c} the clipped pulls of the good examples alone cancel at {here}, where 2 is true."
        )
    return (
        f"{count} outliers among 10,000, each clipped at c = {c}: the pulls cancel at {here} (the mean of 20 data "
        f"sets, spread {result.spread:.2f}). Without outliers this c would give {clean}; unclipped, the outliers leave "
        f"{signed(result.raw_slope, 2)}. The true slope is 2."
    )


def hold_outliers(state: OutliersState, panel: str, x: float, y: float) -> OutliersState:
    """The mouse moves the threshold on the right; on the left the level of the outliers' pull, their number times c.

    From stop to stop: between them the roots would have to be found anew.
    """
    c = x if panel == "slopes" else y / max(int(state.outliers), 1)
    return replace(state, max_norm=snap("max_norm", OutliersState, c))


OUTLIERS = Demo(
    OutliersState,
    tug,
    TugFigure,
    read_outliers,
    presets={
        "50 outliers, c = 1": Preset(OutliersState(), "Clipping seems to repair the estimate. Does it?"),
        "a tighter c": Preset(OutliersState(max_norm=0.1), "Is more clipping safer?"),
        "a looser c": Preset(OutliersState(max_norm=10.0), "And less?"),
        "500 outliers": Preset(OutliersState(outliers="500"), "The same c = 1, ten times the outliers: what now?"),
        "no outliers": Preset(OutliersState(outliers="0"), "Clean data: does c = 1 leave the estimate alone?"),
    },
    drag=hold_outliers,
)

# --- Predictions --------------------------------------------------------------------------------------------


def kind_of_best() -> str:
    """Which of the things that one could name is the best threshold for single examples nearest to."""
    best = best_threshold(1, 1.0)
    named = {"truth": 1.0, "spread": NOISE_SD, "small": THRESHOLDS[0], "large": THRESHOLDS[-1]}
    return min(named, key=lambda name: abs(np.log(named[name] / best)))


def where_runs_rest() -> str:
    """What a smaller η does to the place of rest, from the runs themselves."""
    here = [float(rest(0.1, rate, (1.0,))[1][0]) for rate in ("0.2", "0.02")]
    if min(here) < 0.05:
        return "stay" if max(here) < 0.05 else "nearer"
    return "same" if abs(here[0] - here[1]) < 0.03 else "nearer" if here[1] < here[0] else "further"


def tighter_slope() -> str:
    """What becomes of the slope at a tenth of the threshold."""
    tight = tug(OutliersState(max_norm=0.1)).slope
    named = {"true": 2.0, "zero": 0.0, "half": 1.0, "double": 4.0}
    return min(named, key=lambda name: abs(named[name] - tight))


PREDICTIONS = {
    "best": Prediction(
        key="06.a",
        question="Gradients arrive one at a time: the true gradient 1, plus skewed noise of mean 0 and standard "
        "deviation 1.49. You clip each at c. Which c makes the typical (root mean square) error smallest?",
        truth=kind_of_best,
        options={
            "small": "the smallest: the less noise the better",
            "spread": "about 1.5, the standard deviation of the noise",
            "large": "the largest: any clipping spoils an unbiased gradient",
            "truth": "1, the true gradient itself",
        },
        explain={
            "small": "The noise does vanish, and the truth with it: at c = 0.1 every estimate is 0.1, and the truth "
            "is 1.",
            "spread": "It would be handy, for a standard deviation can be measured. But a c above 1 only lets through "
            "more of what is too large already: every g > 1 is above the truth.",
            "large": "It is unbiased, and far away nearly every time: a large error that averages out is still an "
            "error.",
            "truth": "Yes, exactly. What lies above the truth is too large, so cut it there and not a bit higher or "
            "lower. But then you must know the answer before you can choose the threshold.",
        },
        evidence=lambda: " ".join(
            f"c = {c:g}: error {average(UCurveState(max_norm=c)).error:.3f}." for c in (0.1, 1.0, 1.5, 100.0)
        ),
    ),
    "rest": Prediction(
        key="06.b",
        question="SGD on f = x²/2 starts at the minimum. The noise of its gradient has mean 0; it is mostly small and "
        "negative, now and then a large spike upwards. Gradients are clipped. Where is x on average, much later, "
        "and what does a ten times smaller η change?",
        truth=where_runs_rest,
        options={
            "stay": "at the minimum, for every η",
            "nearer": "away from it; with the smaller η much nearer",
            "same": "away from it, in the same place with the smaller η",
            "further": "away from it; with the smaller η further still",
        },
        explain={
            "stay": "The noise has mean 0 before it is clipped. Cut only its spikes, and what is left has another "
            "mean: it pushes to one side at every step.",
            "nearer": "A smaller η makes the steps smaller, all alike. It does not change where their pushes cancel.",
            "same": "Yes. η scales all pushes alike; where they cancel is up to c and the noise.",
            "further": "A smaller η takes longer to get there. Where the pushes cancel does not depend on it.",
        },
        evidence=lambda: " ".join(f"η = {rate}: {signed(float(rest(0.1, rate, (1.0,))[1][0]), 2)}." for rate in RATES),
    ),
    "tighter": Prediction(
        key="06.c",
        question="Logistic regression on 10,000 good examples, true slope 2, and 50 outliers. Unclipped the slope "
        "comes out as 0.00; with every example's gradient clipped at c = 1, as 2.03. And with c = 0.1?",
        truth=tighter_slope,
        options={
            "true": "still about 2: the outliers pull even less",
            "double": "more than 4",
            "half": "about 1: such small gradients stop it halfway",
            "zero": "about 0: too little is left of the gradients",
        },
        explain={
            "true": "The outliers do pull less. But the good examples that are on the wrong side, and hold the slope "
            "back from growing, are clipped as well.",
            "double": "Yes. The good examples on the wrong side hold the slope back, and they are clipped too. At c "
            "= 1 that error and the outliers' happened to cancel.",
            "half": "Small gradients make it slow, not short: it rests where the pulls cancel, whatever their size.",
            "zero": "Small gradients make it slow, not short: it rests where the pulls cancel, whatever their size.",
        },
        evidence=lambda: " ".join(
            f"c = {c:g}: {signed(tug(OutliersState(max_norm=c)).slope, 2)}." for c in (10.0, 1.0, 0.1)
        ),
    ),
} | side_trips06.PREDICTIONS

# --- Exercises ----------------------------------------------------------------------------------------------


def clipped_mean(grads: np.ndarray, max_norm: float) -> np.ndarray:
    norms = np.sqrt(np.sum(grads**2, axis=1, keepdims=True))
    clipped = grads * (max_norm / np.maximum(norms, max_norm))
    return clipped.mean(axis=0)


def clipped_mean_stub(grads: np.ndarray, max_norm: float) -> np.ndarray:
    # grads has one row an example: clip each row by its own norm, then average the rows.
    ...


def _norms(grads: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(grads**2, axis=1, keepdims=True))


def _factors(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return max_norm / np.maximum(_norms(grads), max_norm)


def clips_the_mean(grads: np.ndarray, max_norm: float) -> np.ndarray:
    mean = grads.mean(axis=0)
    return mean * (max_norm / max(np.sqrt(np.sum(mean**2)), max_norm))


def forgets_to_average(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return grads * _factors(grads, max_norm)


def adds_up(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.sum(grads * _factors(grads, max_norm), axis=0)


def averages_along_the_rows(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean(grads * _factors(grads, max_norm), axis=1)


def clips_every_coordinate(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.clip(grads, -max_norm, max_norm).mean(axis=0)


def lengthens_the_short(grads: np.ndarray, max_norm: float) -> np.ndarray:
    norms = _norms(grads)
    return np.mean(grads * np.where(norms > 0, max_norm / np.where(norms > 0, norms, 1), 1), axis=0)


def throws_the_long_away(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean(np.where(_norms(grads) <= max_norm, grads, 0), axis=0)


def averages_the_short_alone(grads: np.ndarray, max_norm: float) -> np.ndarray:
    short = (_norms(grads) <= max_norm)[:, 0]
    return grads[short].mean(axis=0) if short.any() else np.zeros(grads.shape[1])


def takes_one_norm_for_all(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return grads.mean(axis=0) * (max_norm / max(np.sqrt(np.sum(grads**2)), max_norm))


def takes_the_norms_of_columns(grads: np.ndarray, max_norm: float) -> np.ndarray:
    norms = np.sqrt(np.sum(grads**2, axis=0, keepdims=True))
    return np.mean(grads * (max_norm / np.maximum(norms, max_norm)), axis=0)


def does_not_clip(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return grads.mean(axis=0)


def averages_over_everything(grads: np.ndarray, max_norm: float) -> float:
    return float(np.mean(grads * _factors(grads, max_norm)))


def divides_by_one_row_less(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.sum(grads * _factors(grads, max_norm), axis=0) / np.float64(len(grads) - 1)


def divides_by_the_clipped_rows(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.sum(grads * _factors(grads, max_norm), axis=0) / max(int(np.sum(_norms(grads) > max_norm)), 1)


def averages_the_long_alone(grads: np.ndarray, max_norm: float) -> np.ndarray:
    long = (_norms(grads) > max_norm)[:, 0]
    return (grads * _factors(grads, max_norm))[long].mean(axis=0) if long.any() else np.zeros(grads.shape[1])


def divides_by_the_columns(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.sum(grads * _factors(grads, max_norm), axis=0) / grads.shape[1]


def takes_the_larger_factor(grads: np.ndarray, max_norm: float) -> np.ndarray:
    norms = _norms(grads)
    return np.mean(grads * np.maximum(1, max_norm / np.where(norms > 0, norms, 1)), axis=0)


def turns_the_ratio_over(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean(grads * np.minimum(1, _norms(grads) / max_norm), axis=0)


def measures_the_largest_entry(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean(grads * (max_norm / np.maximum(np.max(np.abs(grads), axis=1, keepdims=True), max_norm)), axis=0)


def shortens_the_long_to_one(grads: np.ndarray, max_norm: float) -> np.ndarray:
    norms = _norms(grads)
    return np.mean(np.where(norms > max_norm, grads / np.where(norms > 0, norms, 1), grads), axis=0)


def cuts_coordinates_from_above(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.minimum(grads, max_norm).mean(axis=0)


def forgets_the_root_of_the_norm(grads: np.ndarray, max_norm: float) -> np.ndarray:
    squares = np.sum(grads**2, axis=1, keepdims=True)
    return np.mean(grads * (max_norm / np.maximum(squares, max_norm)), axis=0)


def adds_up_sizes(grads: np.ndarray, max_norm: float) -> np.ndarray:
    sizes = np.sum(np.abs(grads), axis=1, keepdims=True)
    return np.mean(grads * (max_norm / np.maximum(sizes, max_norm)), axis=0)


def lets_the_longest_row_decide(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return grads.mean(axis=0) * (max_norm / max(np.max(_norms(grads)), max_norm))


def takes_the_mean_of_the_norms(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return grads.mean(axis=0) * (max_norm / max(np.mean(_norms(grads)), max_norm))


def clips_the_sum(grads: np.ndarray, max_norm: float) -> np.ndarray:
    total = grads.sum(axis=0)
    return total * (max_norm / max(np.sqrt(np.sum(total**2)), max_norm)) / len(grads)


def gives_each_row_its_share_of_c(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return clipped_mean(grads, max_norm / len(grads))


def averages_the_squares(grads: np.ndarray, max_norm: float) -> np.ndarray:
    norms = np.sqrt(np.mean(grads**2, axis=1, keepdims=True))
    return np.mean(grads * (max_norm / np.maximum(norms, max_norm)), axis=0)


def returns_after_the_first_row(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return (grads * _factors(grads, max_norm))[0] / len(grads)


def loses_the_short_rows(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean(np.where(_norms(grads) > max_norm, grads * _factors(grads, max_norm), 0), axis=0)


def puts_c_in_place_of_long_rows(grads: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean(np.where(_norms(grads) > max_norm, max_norm, grads), axis=0)


def error_of(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.mean((estimates - truth) ** 2)))


def error_of_stub(estimates: np.ndarray, truth: float) -> float:
    return float(np.std(estimates))


def takes_the_bias_alone(estimates: np.ndarray, truth: float) -> float:
    return float(abs(np.mean(estimates) - truth))


def keeps_the_sign_of_the_bias(estimates: np.ndarray, truth: float) -> float:
    return float(np.mean(estimates) - truth)


def adds_bias_and_spread(estimates: np.ndarray, truth: float) -> float:
    return float(abs(np.mean(estimates) - truth) + np.std(estimates))


def forgets_the_last_root(estimates: np.ndarray, truth: float) -> float:
    return float(np.mean((estimates - truth) ** 2))


def averages_distances(estimates: np.ndarray, truth: float) -> float:
    return float(np.mean(np.abs(estimates - truth)))


def squares_the_bias_alone(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt((np.mean(estimates) - truth) ** 2 + np.std(estimates)))


def squares_the_spread_alone(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(abs(np.mean(estimates) - truth) + np.var(estimates)))


def adds_up_squares(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.sum((estimates - truth) ** 2)))


def divides_by_one_less(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.sum((estimates - truth) ** 2) / np.float64(len(estimates) - 1)))


def takes_the_largest_distance(estimates: np.ndarray, truth: float) -> float:
    return float(np.max(np.abs(estimates - truth)))


def measures_from_zero(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.mean(estimates**2)))


def shifts_before_the_spread(estimates: np.ndarray, truth: float) -> float:
    return float(np.std(estimates - truth))


def takes_the_variance(estimates: np.ndarray, truth: float) -> float:
    return float(np.var(estimates))


def takes_the_bias_backwards(estimates: np.ndarray, truth: float) -> float:
    return float(truth - np.mean(estimates))


def counts_one_less_in_the_spread(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.var(estimates, ddof=1) + (np.mean(estimates) - truth) ** 2))


def adds_bias_and_variance(estimates: np.ndarray, truth: float) -> float:
    return float(np.var(estimates) + abs(np.mean(estimates) - truth))


def takes_the_worse_of_the_two(estimates: np.ndarray, truth: float) -> float:
    return float(max(np.std(estimates), abs(np.mean(estimates) - truth)))


def takes_the_middle_distance(estimates: np.ndarray, truth: float) -> float:
    return float(np.median(np.abs(estimates - truth)))


def subtracts_the_squares(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(abs(np.mean(estimates**2) - truth**2)))


def takes_the_squared_bias(estimates: np.ndarray, truth: float) -> float:
    return float((np.mean(estimates) - truth) ** 2)


def takes_the_standard_error(estimates: np.ndarray, truth: float) -> float:
    return float(np.std(estimates) / np.sqrt(len(estimates)))


def changes_the_divisor_alone(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.sum((estimates - np.mean(estimates)) ** 2) / np.float64(len(estimates) - 1)))


def writes_a_half_without_brackets(estimates: np.ndarray, truth: float) -> float:
    return float(np.mean((estimates - truth) ** 2) ** 1 / 2)


def adds_the_truth(estimates: np.ndarray, truth: float) -> float:
    return float(np.sqrt(np.mean((estimates + truth) ** 2)))


def resting_place_stub(chance: float, spike: float, max_norm: float) -> float:
    # Where do clipped runs on x²/2 come to rest, if the noise is +spike with this chance, else −spike·p/(1−p)?
    ...


def trusts_the_mean_of_the_noise(chance: float, spike: float, max_norm: float) -> float:
    return 0.0


def clips_what_is_short(chance: float, spike: float, max_norm: float) -> float:
    return chance * (spike - max_norm) / (1 - chance)


def stops_at_the_first_push(chance: float, spike: float, max_norm: float) -> float:
    return chance * max(spike - max_norm, 0.0)


def goes_with_the_push(chance: float, spike: float, max_norm: float) -> float:
    return -chance * max(spike - max_norm, 0.0) / (1 - chance)


def uses_the_bound(chance: float, spike: float, max_norm: float) -> float:
    return spike**2 * chance / (1 - chance) / (4 * max_norm)


def forgets_the_quarter(chance: float, spike: float, max_norm: float) -> float:
    return spike**2 * chance / (1 - chance) / max_norm if max_norm < spike else 0.0


def knows_only_twice_the_threshold(chance: float, spike: float, max_norm: float) -> float:
    return chance * max_norm / (1 - chance) if max_norm < spike else 0.0


def throws_the_spikes_away(chance: float, spike: float, max_norm: float) -> float:
    return chance * spike / (1 - chance) if max_norm < spike else 0.0


def forgets_how_rare_they_are(chance: float, spike: float, max_norm: float) -> float:
    return max(spike - max_norm, 0.0)


def swaps_the_chances(chance: float, spike: float, max_norm: float) -> float:
    return (1 - chance) * max(spike - max_norm, 0.0) / chance


def divides_by_the_chance_of_a_spike(chance: float, spike: float, max_norm: float) -> float:
    return chance * max(spike - max_norm, 0.0) / chance / (1 - chance)


def leaves_out_the_division_and_the_sign(chance: float, spike: float, max_norm: float) -> float:
    return -chance * max(spike - max_norm, 0.0)


def clips_both_sides(chance: float, spike: float, max_norm: float) -> float:
    low = spike * chance / (1 - chance)
    return min(low, max_norm) - chance * min(spike, max_norm) / (1 - chance)


def stops_at_the_threshold(chance: float, spike: float, max_norm: float) -> float:
    return min(chance * max(spike - max_norm, 0.0) / (1 - chance), max_norm)


def takes_the_size_of_the_difference(chance: float, spike: float, max_norm: float) -> float:
    return chance * abs(spike - max_norm) / (1 - chance)


def takes_the_smaller_one(chance: float, spike: float, max_norm: float) -> float:
    return chance * min(spike - max_norm, 0.0) / (1 - chance)


def knows_only_spikes_of_2(chance: float, spike: float, max_norm: float) -> float:
    return chance * max(2 - max_norm, 0.0) / (1 - chance)


def knows_only_one_in_ten(chance: float, spike: float, max_norm: float) -> float:
    return max(spike - max_norm, 0.0) / 9


def knows_only_c_1(chance: float, spike: float, max_norm: float) -> float:
    return chance * max(spike - 1, 0.0) / (1 - chance)


def takes_the_share_cut_off(chance: float, spike: float, max_norm: float) -> float:
    return chance * max(1 - max_norm / spike, 0.0) / (1 - chance)


def writes_one_minus_p_without_brackets(chance: float, spike: float, max_norm: float) -> float:
    return chance * max(spike - max_norm, 0.0) / 1 - chance


def multiplies_by_the_other_chance(chance: float, spike: float, max_norm: float) -> float:
    return chance * (1 - chance) * max(spike - max_norm, 0.0)


def takes_c_from_the_mean_of_the_spikes(chance: float, spike: float, max_norm: float) -> float:
    return max(chance * spike - max_norm, 0.0) / (1 - chance)


EXERCISES = {
    "clipped_mean": Exercise(
        key="06.1",
        title="Clip each example, then average",
        solution=clipped_mean,
        stub=clipped_mean_stub,
        probes=(
            Probe((np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 1.5]]), 2.0), "one row of three too long"),
            Probe((np.array([[0.3, 0.0], [0.0, -0.4], [0.1, 0.1]]), 0.5), "all rows fit"),
            Probe((np.array([[6.0, 8.0], [-16.0, 30.0], [0.0, 2.0]]), 0.5), "all rows too long, c below 1"),
            Probe((np.array([[0.0, 0.0], [5.0, 0.0], [0.0, -0.5]]), 1.0), "a row of zeros"),
            Probe((np.array([[1.0, 1.0], [0.9, -0.9], [0.2, 0.1]]), 1.2), "norms above c, no coordinate"),
            Probe((np.array([[-3.0], [-3.0], [9.0]]), 4.0), "one coordinate, one spike"),
            Probe((np.array([[1e4, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]), 1.0), "one bad example"),
            Probe((np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 4.0]]), 2.0), "more coordinates than examples"),
            Probe(
                (
                    np.array([[1.0, -2.0, 0.5], [4.0, 0.0, 3.0], [0.2, 0.1, 0.0], [-6.0, 2.0, 3.0], [0.0, -0.5, 0.0]]),
                    1.5,
                ),
                "five examples",
            ),
            Probe((np.array([[3.0, 4.0]]), 2.5), "a batch of one"),
        ),
        misconceptions=(
            Misconception(
                clips_the_mean,
                "You average first and clip the mean: that is what `clip_grad_norm_` sees, a batch. By then one bad "
                "example has already turned the mean its own way. Clip the rows first.",
            ),
            Misconception(
                forgets_to_average, "The rows are clipped well; their mean, over `axis=0`, is still missing."
            ),
            Misconception(
                adds_up,
                "That is the sum of the clipped rows, as in some libraries for private training. The mean divides by "
                "the number of rows; without that a larger batch takes a larger step.",
            ),
            Misconception(
                averages_along_the_rows,
                "The mean goes along each row, which mixes the parameters of one example. Over the examples is "
                "`axis=0`.",
            ),
            Misconception(
                clips_every_coordinate,
                "Each coordinate is clamped by itself: that is clipping by value. Here one factor shortens the whole "
                "row.",
            ),
            Misconception(
                lengthens_the_short,
                "Short rows are lengthened to c. An example that is already fitted should pull little, not as much "
                "as any.",
            ),
            Misconception(
                throws_the_long_away,
                "A row that is too long becomes zero here. Clipping keeps its direction and gives it length c.",
            ),
            Misconception(
                averages_the_short_alone,
                "Rows that are too long are left out of the mean. Clipping keeps them, at length c.",
            ),
            Misconception(
                takes_one_norm_for_all,
                "One norm for the whole array, so one long row shrinks all the others. Each row has its own: `axis=1`.",
            ),
            Misconception(
                takes_the_norms_of_columns,
                "Those are the norms of the columns, one a parameter. One an example is the norm along `axis=1`.",
            ),
            Misconception(
                does_not_clip,
                "That is the mean of the rows as they are: nothing is clipped. In a loop, `g = g * c / n` only renames "
                "g and leaves `grads` alone; collect the clipped rows.",
            ),
            Misconception(
                averages_over_everything,
                "`np.mean` without an axis makes one number of the whole array. Over the examples is `axis=0`.",
            ),
            Misconception(
                divides_by_one_row_less,
                "Divided by B − 1. That corrects a variance; a mean divides by B, the number of rows.",
            ),
            Misconception(
                divides_by_the_clipped_rows,
                "Divided by the number of rows that were clipped. The mean is over all rows, clipped or not.",
            ),
            Misconception(
                averages_the_long_alone,
                "Only the clipped rows are averaged. The short ones are left as they are, and count as well.",
            ),
            Misconception(
                divides_by_the_columns,
                "Divided by the number of parameters. The mean is over examples: divide by the number of rows.",
            ),
            Misconception(
                takes_the_larger_factor,
                "max(1, c/n) lengthens short rows and leaves the long ones long. The smaller of the two is wanted.",
            ),
            Misconception(
                turns_the_ratio_over,
                "n/c is the ratio upside down: it shrinks the short rows. A row of norm n gets the length c by c/n.",
            ),
            Misconception(
                measures_the_largest_entry,
                "That measures a row by its largest entry. Its length is the root of the sum of squares.",
            ),
            Misconception(
                shortens_the_long_to_one,
                "Long rows are found by c and then given length 1. Their new length is c: times `max_norm`.",
            ),
            Misconception(
                cuts_coordinates_from_above,
                "Each coordinate is cut from above and none from below. One factor shortens the whole row, whatever "
                "its signs.",
            ),
            Misconception(
                forgets_the_root_of_the_norm,
                "The norm is the root of the sum of squares. Without the root a row of norm 4 is taken for one of 16.",
            ),
            Misconception(
                adds_up_sizes,
                "The sum of the sizes is the 1-norm. Length is meant: the root of the sum of squares.",
            ),
            Misconception(
                lets_the_longest_row_decide,
                "One factor for all, that of the longest row: one bad example shrinks all the others. Each row has "
                "its own.",
            ),
            Misconception(
                takes_the_mean_of_the_norms,
                "One factor for all, from the mean of the norms. Each row is measured and shortened by itself.",
            ),
            Misconception(
                clips_the_sum,
                "You add first and clip the sum. By then one bad example has already turned it its own way. Clip the "
                "rows first.",
            ),
            Misconception(
                gives_each_row_its_share_of_c,
                "c/B for each row is too tight: each may be c long. It is their mean that is c long at the most.",
            ),
            Misconception(
                averages_the_squares,
                "`np.mean` where `np.sum` belongs: a norm is the root of the *sum* of squares.",
            ),
            Misconception(
                returns_after_the_first_row,
                "Only the first row comes out: a `return` inside the loop ends it at once. Move it left, behind the "
                "loop.",
            ),
            Misconception(
                loses_the_short_rows,
                "Rows that fit are never added: an `else` is missing. What is not clipped counts as it is.",
            ),
            Misconception(
                puts_c_in_place_of_long_rows,
                "A long row becomes (c, c, …). Its *norm* should be c, in its own direction: multiply it by c/n.",
            ),
        ),
        hints=(
            "One factor for each row, min(1, c/n), with n the norm of that row. Which shape must the factors have?",
            "`np.sum(grads**2, axis=1, keepdims=True)` has one entry a row and still divides into `grads`.",
            "`grads * (max_norm / np.maximum(norms, max_norm))` clips all rows; then `.mean(axis=0)`.",
        ),
        explanation="The order is the lesson: clip, then average. Afterwards no example can move the mean by more than "
        "c/B, whatever it is. `clip_per_example` in the package does the same for many runs at once.",
    ),
    "error_of": Exercise(
        key="06.2",
        title="Mend: the score that always asks for a smaller c",
        solution=error_of,
        stub=error_of_stub,
        probes=(
            Probe((np.array([0.5, 0.5, 0.5, 0.5]), 1.0), "no spread, all wrong"),
            Probe((np.array([1.0, 3.0]), 2.0), "no bias"),
            Probe((np.array([0.0, 1.0, 5.0]), 2.0), "no bias, three batches"),
            Probe((np.array([2.0, 4.0, 9.0, 1.0, 0.5]), 1.5), "five batches"),
            Probe((np.array([-1.0, -2.0, 0.5]), -3.0), "a negative truth"),
            Probe((np.array([0.3, -0.4, 0.2]), 0.0), "the truth is zero"),
            Probe((np.array([7.0, 7.0]), 7.0), "all right"),
            # So far that the estimates less the truth are all alike to 16 digits, which their spread is not.
            Probe((np.array([1.0, 3.0]), 1e17), "a truth far beyond all estimates"),
        ),
        misconceptions=(
            Misconception(
                shifts_before_the_spread,
                "`np.std` measures from the mean of what it is given, and the mean moves along when you subtract "
                "`truth`: a shift does not change a spread. Square the distances from the truth yourself.",
            ),
            Misconception(
                takes_the_variance,
                "The variance is the spread squared. It still knows nothing of the truth.",
            ),
            Misconception(
                takes_the_bias_backwards,
                "That is the bias alone, and with its sign turned over: an error counts the spread too, and is never "
                "below zero.",
            ),
            Misconception(
                counts_one_less_in_the_spread,
                "Nearly: `ddof=1` estimates the variance of batches that you have not seen. The error of these batches "
                "divides by their number.",
            ),
            Misconception(
                adds_bias_and_variance,
                "A variance is a square and a bias is not: bias² + spread², and then the root.",
            ),
            Misconception(
                takes_the_worse_of_the_two,
                "The larger of bias and spread ignores the other. Both count: √(bias² + spread²).",
            ),
            Misconception(
                takes_the_middle_distance,
                "The middle distance hardly notices the worst batches, and they are what is feared. Asked is the root "
                "of the mean square.",
            ),
            Misconception(
                takes_the_bias_alone,
                "That is the bias alone: it calls unclipped gradients perfect, however wild they are. An error counts "
                "both, the distance of every single estimate from the truth.",
            ),
            Misconception(
                keeps_the_sign_of_the_bias,
                "That is the bias with its sign, so estimates that are far too low score best. Measure distances from "
                "the truth.",
            ),
            Misconception(
                adds_bias_and_spread,
                "Bias and spread add as squares, like the sides of a right angle: √(bias² + spread²).",
            ),
            Misconception(forgets_the_last_root, "The mean of the squares, without the root: its unit is squared too."),
            Misconception(
                averages_distances,
                "The mean distance is an error too, but a large miss counts no more than its share there. Asked is the "
                "root of the mean square.",
            ),
            Misconception(
                squares_the_bias_alone,
                "The spread has to be squared as well before the two are added: bias² + spread².",
            ),
            Misconception(
                squares_the_spread_alone,
                "The bias has to be squared as well before the two are added: bias² + spread².",
            ),
            Misconception(adds_up_squares, "The sum of the squares grows with the number of batches. Take their mean."),
            Misconception(
                divides_by_one_less,
                "n − 1 makes up for a mean that was estimated from the same numbers. Here the truth is given: divide "
                "by n.",
            ),
            Misconception(
                takes_the_largest_distance,
                "The largest miss is one number of many, and under heavy tails a matter of luck. Take all of them.",
            ),
            Misconception(measures_from_zero, "Those are distances from zero. The truth has to be subtracted first."),
            Misconception(
                takes_the_squared_bias,
                "That is bias². The spread² is still missing beside it, and the root around both.",
            ),
            Misconception(
                takes_the_standard_error,
                "The standard error says how well the *mean* is known. And it still knows nothing of the truth.",
            ),
            Misconception(
                changes_the_divisor_alone,
                "`ddof=1` changes the divisor. The distances are still those from the mean of the estimates, and not "
                "from the truth.",
            ),
            Misconception(
                writes_a_half_without_brackets, "`** 1 / 2` is first `** 1`, then `/ 2`. Write `** 0.5`, or `np.sqrt`."
            ),
            Misconception(adds_the_truth, "The truth is added. A distance is a difference: `estimates - truth`."),
            Misconception(
                subtracts_the_squares,
                "Mean square minus squared mean is a variance, if the mean is that of the estimates. With the truth in "
                "its place it is neither. Subtract before you square.",
            ),
        ),
        hints=(
            "Try estimates that are all 0.5 where the truth is 1. What does the code say, and what should it say?",
            "`np.std` measures from the mean of the estimates. From where should one measure?",
            "Subtract `truth` from every estimate, square, take the mean, then the root.",
        ),
        explanation="The square of this is bias² + spread², which is why the U has two arms. By spread alone the best "
        "threshold is the smallest that you dare to try.",
    ),
    "resting_place": Exercise(
        key="06.3",
        title="Where does it come to rest?",
        solution=resting_place,
        stub=resting_place_stub,
        probes=(
            Probe((0.1, 2.0, 1.0), "the run of the lesson"),
            Probe((0.1, 2.0, 0.5), "a tighter threshold"),
            Probe((0.25, 4.0, 1.0), "one in four, four times c"),
            Probe((0.3, 1.0, 0.25), "small spikes, a small c"),
            Probe((0.01, 100.0, 10.0), "rare and huge"),
            Probe((0.45, 3.0, 2.0), "nearly every other"),
            Probe((0.1, 2.0, 2.0), "a spike as long as c"),
            Probe((0.1, 2.0, 5.0), "no spike is clipped"),
        ),
        misconceptions=(
            Misconception(
                trusts_the_mean_of_the_noise,
                "The noise has mean 0 before clipping. Clipped, its spikes count for c and no longer for s, while the "
                "rest stays as it is: the balance is lost.",
            ),
            Misconception(
                clips_what_is_short,
                "Right below s. But where c is larger than the spike, nothing is clipped and nothing is biased; yours "
                "goes below zero there.",
            ),
            Misconception(
                stops_at_the_first_push,
                "That is the push at the minimum, p(s − c). It moves x until the other pushes hold against it, and "
                "only a share 1 − p of them grows with x: divide by that.",
            ),
            Misconception(
                goes_with_the_push,
                "The right distance on the wrong side. Upward spikes of the *gradient* are cut, so the mean of the "
                "clipped gradient is negative, and descent goes against it: x grows.",
            ),
            Misconception(
                leaves_out_the_division_and_the_sign,
                "That is the mean of the clipped noise, −p(s − c). Descent goes against it, so x grows; and only a "
                "share 1 − p of the pushes grows with x: divide by that.",
            ),
            Misconception(
                clips_both_sides,
                "Clipped is the gradient x + ξ, not the noise by itself: at rest the small pushes are short, so only "
                "the spikes are cut.",
            ),
            Misconception(
                stops_at_the_threshold,
                "A step is at most ηc long, a place is not bounded by c: many short steps may lead far away.",
            ),
            Misconception(
                takes_the_size_of_the_difference,
                "Right below s. But where c is larger than the spike, nothing is clipped and nothing is biased: 0, not "
                "the size of the difference.",
            ),
            Misconception(
                takes_the_smaller_one,
                "min(s − c, 0) is 0 exactly where spikes are clipped. What a spike loses is max(s − c, 0).",
            ),
            Misconception(
                knows_only_spikes_of_2,
                "2 is the spike of the lesson's runs. Here it is an argument: `spike`.",
            ),
            Misconception(
                knows_only_one_in_ten,
                "p/(1−p) = 1/9 belongs to p = 0.1, the lesson's runs. Here it is an argument: `chance`.",
            ),
            Misconception(
                knows_only_c_1,
                "1 is the threshold of the lesson's runs. Here it is an argument: `max_norm`.",
            ),
            Misconception(
                uses_the_bound,
                "σ²/(4c) is the most that any noise of this variance can do. This noise does it only if s = 2c.",
            ),
            Misconception(
                forgets_the_quarter,
                "σ²/c gives the order of magnitude. Solve for the place where the mean of the clipped gradient is "
                "zero.",
            ),
            Misconception(
                knows_only_twice_the_threshold,
                "pc/(1−p) is right for s = 2c, the lesson's own numbers. What does a longer spike lose?",
            ),
            Misconception(
                throws_the_spikes_away,
                "So it would be if spikes were thrown away. Clipped, each still pulls by c.",
            ),
            Misconception(
                forgets_how_rare_they_are,
                "s − c is what one spike loses. Spikes come with probability p, all else with 1 − p.",
            ),
            Misconception(
                swaps_the_chances,
                "The two probabilities have changed places: spikes have p, the rest has 1 − p.",
            ),
            Misconception(
                divides_by_the_chance_of_a_spike,
                "p has dropped out. The rarer the spikes, the less is lost: in the limit nothing.",
            ),
            Misconception(
                takes_the_share_cut_off,
                "1 − c/s is the share of a spike that is cut off. What counts is the length that is missing, s − c.",
            ),
            Misconception(
                writes_one_minus_p_without_brackets,
                "`/ 1 - chance` divides by 1 and then subtracts. Brackets: `/ (1 - chance)`.",
            ),
            Misconception(
                multiplies_by_the_other_chance,
                "(1 − p) is on the wrong side: from (1 − p)·x = p·(s − c) follows x = p(s − c)/(1 − p).",
            ),
            Misconception(
                takes_c_from_the_mean_of_the_spikes,
                "p·s − c mixes a mean with a threshold. Each *single* spike is cut from s to c, and p of them come: "
                "p·(s − c).",
            ),
        ),
        hints=(
            "At rest the mean of the clipped gradient x + ξ is zero. Which of the two kinds of ξ is clipped there?",
            "Spikes give c, with probability p. The others, not clipped, give x − sp/(1−p), with probability 1 − p.",
            "Solve p·c + (1−p)·(x − s·p/(1−p)) = 0 for x. And if c ≥ s, nothing is clipped: 0.",
        ),
        explanation="p·c + (1−p)·x − s·p = 0, so x = p(s − c)/(1 − p). η does not occur. With σ² = s²p/(1−p) it is "
        "σ²(s−c)/s², which is largest at s = 2c: σ²/(4c).",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "06",
    (
        Question(
            "A batch holds 99 gradients (0, 1) and one of (1000, 0). What does PyTorch's clip_grad_norm_ with c = 1 "
            "make of it?",
            (
                Option(
                    "about (0.01, 0.99)",
                    "So it would be if each example were clipped by itself. PyTorch sees the batch's mean.",
                ),
                Option("about (0, 1)", "Nothing here looks for outliers and drops them."),
                Option("(1, 0.99)", "That clamps every coordinate of the mean: clipping by value."),
                Option(
                    "about (0.995, 0.1)",
                    "Yes: the mean (10, 0.99), scaled to norm 1. It still points where the one bad example points.",
                    right=True,
                ),
            ),
        ),
        Question(
            "Each example is clipped at c = 1 and the batch grows from 1 to 256. What becomes of the bias of −0.31?",
            (
                Option(
                    "it stays what it is",
                    "The mean of 256 clipped numbers has the mean of one. Only the spread shrinks, by √B.",
                    right=True,
                ),
                Option("it shrinks 16 times", "The spread does, as 1/√B. A bias does not average out."),
                Option("it shrinks 256 times", "That is how the variance goes. A bias does not average out."),
                Option(
                    "it nearly vanishes",
                    "So it would if the batch's mean were clipped. Here each example is, beforehand.",
                ),
            ),
        ),
        Question(
            "With 50 outliers, c = 1 gave a slope of 2.03, and 2 is true. The next data set has 500. Keep c?",
            (
                Option("yes: c = 1 is the right one for this loss", "What the outliers pull is their number times c."),
                Option(
                    "no: take a smaller c, it is always safer", "At c = 0.1 the slope was above 4: clean data bend it."
                ),
                Option(
                    "no: it was right for 50 by luck",
                    "Two errors cancelled at c = 1, and one of them has grown tenfold: the slope is now 1.50.",
                    right=True,
                ),
            ),
        ),
        *side_trips06.QUESTIONS,
    ),
)

LESSON = Lesson(
    "06",
    "Noise",
    {
        "ucurve": UCURVE,
        "resting": RESTING,
        "outliers": OUTLIERS,
        "three": THREE,
        "tails": TAILS,
        "returns": RETURNS,
        "losses": LOSSES,
        "flips": FLIPS,
    },
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
