"""Side trips of lesson 06: heavy tails made and found, and what clipping makes of a loss and of flipped labels."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.data import alpha_stable, google_returns
from gclip_lessons.exercises import Option, Prediction, Question
from gclip_lessons.figures.flips import FlipsFigure
from gclip_lessons.figures.losses import LossesFigure
from gclip_lessons.figures.returns import ReturnsFigure
from gclip_lessons.figures.tails import TailsFigure
from gclip_lessons.figures.three_examples import ThreeExamplesFigure
from gclip_lessons.lessons import Demo, Preset, State, clamp, control, controls_of, frozen, signed, snap
from gclip_lessons.models.logistic import clipped_root, slope_grads
from gclip_lessons.models.robust import clipped_mean, cross_entropy_derivative, huber_derivative, squared_derivative
from gclip_lessons.optimizers import SGD

# --- Three examples: a second bias ---------------------------------------------------------------------------

EXAMPLES = np.array([-3.0, -3.0, 9.0])
BEGIN, PULL_RATE, N_PULLS, N_DRAWN = 5.0, 0.05, 2000, 200
ROLES = ("each", "random", "whole")


@dataclass(frozen=True)
class ThreeState(State):
    max_norm: float = control(4.0, label="threshold c", log=(0.5, 32), n_stops=25)


@dataclass(frozen=True)
class ThreeResult:
    """Mean gradients at `places`: unclipped ("raw"), of the examples clipped one by one ("each"), their mean clipped
    ("whole"). `rests` at `thresholds` and `rest` at c are by formula, `measured` and `here` by descent with "each",
    with one example at "random" in each step (the mean of 200 runs), and with the "whole" batch.
    """

    state: ThreeState
    places: np.ndarray
    pulls: dict[str, np.ndarray]
    thresholds: np.ndarray
    rests: np.ndarray
    rest: float
    measured: dict[str, np.ndarray]
    here: dict[str, float]


THREE_THRESHOLDS = np.array(controls_of(ThreeState)["max_norm"].values)
PULL_PLACES = np.linspace(-6, 11, 86)


def rest_of_three(max_norm: np.ndarray | float) -> np.ndarray | float:
    """Where the clipped pulls of examples at −3, −3 and 9 cancel: at −3 + c/2, and from c = 8 on at the minimum, 1."""
    return np.minimum(-3 + np.asarray(max_norm) / 2, 1)


@lru_cache(maxsize=64)
def pull_to_rest(thresholds: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Where descent from 5 comes to rest, (thresholds), for each of ROLES: means over the last quarter of the steps."""
    c = np.array(thresholds)[:, None]
    drawn = np.random.default_rng(3).choice(EXAMPLES, size=(N_PULLS, N_DRAWN))
    x = {role: np.full((len(c), N_DRAWN if role == "random" else 1), BEGIN) for role in ROLES}
    total = {role: np.zeros(len(c)) for role in ROLES}
    for step in range(N_PULLS):
        x["each"] = x["each"] - PULL_RATE * np.clip(x["each"] - EXAMPLES, -c, c).mean(-1, keepdims=True)
        x["random"] = x["random"] - PULL_RATE * np.clip(x["random"] - drawn[step], -c, c)
        x["whole"] = x["whole"] - PULL_RATE * np.clip(x["whole"] - EXAMPLES.mean(), -c, c)
        if step >= 3 * N_PULLS // 4:
            for role in ROLES:
                total[role] += x[role].mean(-1)
    return {role: frozen(4 * value / N_PULLS) for role, value in total.items()}


def pull(state: ThreeState) -> ThreeResult:
    c, stops = state.max_norm, tuple(THREE_THRESHOLDS.tolist())
    measured = pull_to_rest(stops)
    at = stops.index(c) if c in stops else None
    here = {role: float(pull_to_rest((c,))[role][0] if at is None else measured[role][at]) for role in ROLES}
    gaps = PULL_PLACES[:, None] - EXAMPLES
    return ThreeResult(
        state=state,
        places=PULL_PLACES,
        pulls={
            "raw": gaps.mean(-1),
            "each": np.clip(gaps, -c, c).mean(-1),
            "whole": np.clip(gaps.mean(-1), -c, c),
        },
        thresholds=THREE_THRESHOLDS,
        rests=rest_of_three(THREE_THRESHOLDS),
        rest=float(rest_of_three(c)),
        measured=measured,
        here=here,
    )


def read_three(result: ThreeResult) -> str:
    """The live sentence of the three examples."""
    c, here = f"{result.state.max_norm:.3g}", result.here
    where = (
        f"x = −3 + c/2 = {signed(result.rest, 2)}"
        if result.rest < 1
        else "x = 1, the minimum, since near it no pull is cut"
    )
    return (
        f"Examples at −3, −3 and 9, each clipped at c = {c}: their pulls cancel at {where}; measured "
        f"{signed(here['each'], 2)}, and {signed(here['random'], 1)} if one example is drawn at random in each step. "
        f"Their mean, clipped whole, comes to rest at {signed(here['whole'], 2)}."
    )


def hold_three(state: ThreeState, panel: str, x: float, y: float) -> ThreeState:
    """The mouse moves the threshold on the right, from stop to stop."""
    return state if panel != "rest" else replace(state, max_norm=snap("max_norm", ThreeState, x))


THREE = Demo(
    ThreeState,
    pull,
    ThreeExamplesFigure,
    read_three,
    presets={
        "each clipped": Preset(ThreeState(), "Unclipped, the three balance at 1. Whose pull is cut here?"),
        "a tighter c": Preset(ThreeState(max_norm=1.0), "Where does the run go if every example has nearly one vote?"),
        "just enough": Preset(
            ThreeState(max_norm=8.0), "From here on no pull is cut at the minimum. Who still rests below it?"
        ),
    },
    drag=hold_three,
)

# --- Heavy-tailed noise in a bowl ---------------------------------------------------------------------------

DIMENSIONS, N_STEPS, N_SEEDS = 10, 200, 300
_EULER = 12  # M of Euler's method: half the number of its terms
CHART_ENDS = 1000.0
ALPHAS = ("2", "1.7", "1.5", "1.2")
# Close together at the top too, where nearly all runs end above a loss.
SHARES = np.concatenate([1 - np.geomspace(1e-4, 0.1, 16), np.geomspace(0.89, 1 / N_SEEDS, 50)])


@dataclass(frozen=True)
class TailsState(State):
    alpha: str = control("1.5", label="tail index α", choices=ALPHAS)
    max_norm: float = control(3.0, label="threshold c", log=(0.3, 300), n_stops=13)
    learning_rate: float = control(0.0566, label="learning rate η", log=(0.02, 0.32), n_stops=9)


@dataclass(frozen=True)
class TailsResult:
    """Losses that shares of the runs end above, for the runs "gauss" and "raw" (by their law) and "clipped".

    `now` and `by_rate` hold their "median" and the loss that "ninety" in a hundred end below, at the state's rate
    and at all `rates`. `beyond` is the share of unclipped runs that end off the chart.
    """

    state: TailsState
    losses: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    now: dict[str, dict[str, float]]
    rates: np.ndarray
    by_rate: dict[str, dict[str, np.ndarray]]
    beyond: float


def end_in_a_bowl(noise: np.ndarray, learning_rates: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Loss ½‖θ‖² after clipped SGD from (1, …, 1) with gradient θ + noise: (rates, thresholds, seeds).

    `noise` is (steps, dimensions, seeds), the same for every rate and threshold. A loop of its own, since of a
    hundred settings times 300 seeds `train` would keep every step; and in float32, in half the time.
    """
    if noise.ndim != 3:
        raise ValueError(f"noise must be (steps, dimensions, seeds); got shape {noise.shape}")
    noise = noise.astype(np.float32)
    rate = SGD(np.ravel(learning_rates)).learning_rate.astype(np.float32)[:, None, None]
    c = ClipByGlobalNorm(np.ravel(thresholds)).max_norm.astype(np.float32)[:, None]
    theta = np.ones((noise.shape[1], len(rate), len(c), noise.shape[2]), np.float32)
    grad, square = np.empty_like(theta), np.empty_like(theta)
    with np.errstate(over="ignore"):
        for xi in noise:
            np.add(theta, xi[:, None, None], out=grad)
            norm = np.sqrt(np.multiply(grad, grad, out=square).sum(0))
            grad *= rate * np.minimum(1, c / norm)
            theta -= grad
    return 0.5 * (theta.astype(np.float64) ** 2).sum(0)


def settled_scale(alpha: float, learning_rate: np.ndarray | float) -> np.ndarray | float:
    """The scale of each coordinate that an unclipped run settles to under α-stable noise of scale 1.

    θ is then the sum of −η·(1−η)^k·ξ over all past steps, which is stable as well, of scale
    η·(Σ|1−η|^(αk))^(1/α): the rate changes the scale and nothing else about the law. ValueError unless 0 < η < 2.
    """
    shrinks = np.abs(1 - learning_rate)
    if not np.less(shrinks, 1).all():
        raise ValueError(f"learning_rate must lie between 0 and 2; got {learning_rate}")
    return learning_rate / (1 - shrinks**alpha) ** (1 / alpha)


@lru_cache
def _noise(alpha: str) -> np.ndarray:
    return frozen(alpha_stable(float(alpha), (N_STEPS, DIMENSIONS, N_SEEDS), np.random.default_rng(6)))


def share_above(alpha: float, losses: np.ndarray) -> np.ndarray:
    """The probability that ½‖Z‖² exceeds `losses` > 0 (n,), for Z of ten α-stable coordinates of scale 1; to 1e-5.

    No draws: with a standard normal N, E exp(−sZᵢ²/2) = E exp(i√s·N·Zᵢ) = E exp(−s^(α/2)|N|^α), an integral over
    N. Its tenth power is the Laplace transform of the law, turned back by Euler's method (Abate, Whitt, INFORMS
    Journal on Computing, 2006).
    """
    u = (np.arange(400) + 0.5) / 400
    normal, weight = 9 * u**3, u**2 * np.exp(-0.5 * (9 * u**3) ** 2)  # finer near 0, where |N|^α has its corner
    weight /= weight.sum()
    binomials = np.array([math.comb(_EULER, j) for j in range(_EULER + 1)])
    halved = np.cumsum(binomials[::-1])[::-1] / 2**_EULER  # 1, …, 2^−M: Euler's mean of the last M partial sums
    k = np.arange(2 * _EULER + 1)
    terms = np.r_[0.5, np.ones(_EULER - 1), halved] * (-1.0) ** k * 10 ** (_EULER / 3)
    s = (_EULER * math.log(10) / 3 + 1j * np.pi * k) / losses[:, None]
    parts = np.exp(-(s[..., None] ** (alpha / 2)) * normal**alpha)
    transform = np.einsum("xsn,n->xs", parts, weight) ** DIMENSIONS
    return 1 - (terms * (transform / s).real).sum(-1) / losses


@lru_cache
def _law(alpha: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses of scale 1 in even steps of their logarithm, and the share of the law above each."""
    losses = np.geomspace(0.3, 3e5, 301)
    return frozen(losses), frozen(np.maximum.accumulate(share_above(float(alpha), losses)[::-1])[::-1])


def _loss_above(alpha: str, shares: np.ndarray) -> np.ndarray:
    """The losses of scale 1 that these shares of the law lie above, between the steps by their logarithm."""
    losses, above = _law(alpha)
    return np.exp(np.interp(-np.asarray(shares), -above, np.log(losses)))


@lru_cache
def _all_ends() -> dict[str, np.ndarray]:
    """The clipped runs of every stop of every control, (rates, thresholds, seeds) for each α."""
    stops = controls_of(TailsState)
    rates, thresholds = (np.array(stops[name].values) for name in ("learning_rate", "max_norm"))
    return {alpha: frozen(np.sort(end_in_a_bowl(_noise(alpha), rates, thresholds))) for alpha in ALPHAS}


@lru_cache(maxsize=256)
def _clipped_ends(alpha: str, max_norm: float, learning_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Sorted losses (rates, seeds) of the clipped runs at every stop of η, and (seeds) at this one."""
    stops = controls_of(TailsState)
    rates, thresholds = stops["learning_rate"].values, stops["max_norm"].values
    if max_norm in thresholds:
        ends = _all_ends()[alpha][:, thresholds.index(max_norm)]
        if learning_rate in rates:
            return ends, ends[rates.index(learning_rate)]
        here = end_in_a_bowl(_noise(alpha), np.array([learning_rate]), np.array([max_norm]))
        return ends, frozen(np.sort(here[0, 0]))
    ends = frozen(np.sort(end_in_a_bowl(_noise(alpha), np.array([*rates, learning_rate]), np.array([max_norm]))[:, 0]))
    return ends[:-1], ends[-1]


def _middle_and_ninety(losses: np.ndarray) -> dict[str, np.ndarray]:
    median, ninety = np.quantile(losses, (0.5, 0.9), axis=-1)
    return {"median": median, "ninety": ninety}


def run_tails(state: TailsState) -> TailsResult:
    rates = np.array(controls_of(TailsState)["learning_rate"].values)
    _prepare_tails()
    by_rate, here = _clipped_ends(state.alpha, state.max_norm, state.learning_rate)
    losses, now, scales = {"clipped": here}, {"clipped": _middle_and_ninety(here)}, {}
    for role, alpha in (("gauss", "2"), ("raw", state.alpha)):
        scales[role] = settled_scale(float(alpha), state.learning_rate) ** 2
        losses[role] = scales[role] * _quantiles(alpha)
        now[role] = {name: scales[role] * value for name, value in _law_marks(alpha).items()}
    by_law = settled_scale(float(state.alpha), rates) ** 2
    unclipped = {name: by_law * value for name, value in _law_marks(state.alpha).items()}
    law = _law(state.alpha)
    return TailsResult(
        state=state,
        losses=losses,
        shares={"gauss": SHARES, "raw": SHARES, "clipped": 1 - np.arange(N_SEEDS) / N_SEEDS},
        now=now,
        rates=rates,
        by_rate={"raw": unclipped, "clipped": _middle_and_ninety(by_rate)},
        beyond=float(np.interp(np.log(CHART_ENDS / scales["raw"]), np.log(law[0]), law[1])),
    )


@lru_cache
def _prepare_tails() -> None:
    """Open with everything that a menu may ask for, so that no later move waits."""
    _all_ends()
    for alpha in ALPHAS:
        _quantiles(alpha)
        _law_marks(alpha)


@lru_cache
def _quantiles(alpha: str) -> np.ndarray:
    return frozen(_loss_above(alpha, SHARES))


@lru_cache
def _law_marks(alpha: str) -> dict[str, float]:
    median, ninety = _loss_above(alpha, np.array([0.5, 0.1]))
    return {"median": median, "ninety": ninety}


def read_tails(result: TailsResult) -> str:
    """The live sentence of the first side trip."""
    state, raw, clipped = result.state, result.now["raw"], result.now["clipped"]
    noise = "Gaussian noise (α = 2)" if state.alpha == "2" else f"noise of tail index α = {state.alpha}"
    reach = state.learning_rate * state.max_norm * N_STEPS
    distance = math.sqrt(DIMENSIONS)
    late = (
        f" But {N_STEPS} steps of at most ηc cover {_two(reach)}, and the minimum is {_two(distance)} away: "
        "c is too small."
        if reach < distance
        else ""
    )
    lost = f" Off the chart: {100 * result.beyond:.0f}% of the unclipped runs." if result.beyond >= 0.005 else ""
    return (
        f"Under {noise} at η = {state.learning_rate:g}, half of the unclipped runs end above a loss of "
        f"{_two(raw['median'])} and one in ten above {_two(raw['ninety'])}: {_times(raw)} times as "
        f"much, whatever η is. Clipped at c = {state.max_norm:g} it is {_two(clipped['median'])} and "
        f"{_two(clipped['ninety'])}, {_times(clipped)} times as much.{late}{lost}"
    )


def _two(value: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{value:.2g}'):,g}"


def _times(ends: dict[str, float]) -> str:
    ratio = ends["ninety"] / ends["median"]
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def hold_rate(state: TailsState, panel: str, x: float, y: float) -> TailsState:
    """The mouse moves η on the right, from stop to stop."""
    if panel != "rates":
        return state
    stops = controls_of(TailsState)["learning_rate"]
    return replace(state, learning_rate=stops.values[stops.index(max(x, 1e-9))])


TAILS = Demo(
    TailsState,
    run_tails,
    TailsFigure,
    read_tails,
    presets={
        "heavy tails": Preset(TailsState(), "How much worse than the middle run is an unlucky one?"),
        "a smaller η": Preset(TailsState(learning_rate=0.02), "Everybody's cure for noise: does it help the unlucky?"),
        "Gaussian": Preset(TailsState(alpha="2"), "What is there to gain where the tails are light?"),
        "very heavy": Preset(TailsState(alpha="1.2"), "And if the tails are heavier still?"),
        "c too small": Preset(TailsState(max_norm=0.3, learning_rate=0.02), "Why not the smallest c of all?"),
    },
    drag=hold_rate,
)

# --- Real heavy tails: share prices -------------------------------------------------------------------------

N_RESAMPLES = 200
PERIODS = {"all days": slice(None), "first half": slice(None, 523), "second half": slice(523, None)}


@dataclass(frozen=True)
class ReturnsState(State):
    max_norm: float = control(1.69, label="threshold c (%)", log=(0.03, 30), n_stops=61)
    period: str = control("all days", label="period", choices=tuple(PERIODS))


@dataclass(frozen=True)
class ReturnsResult:
    """In percent a day. `shares` of the days lie further than `distances` from the mean, `gauss` (n, 2) likewise.

    `means` and bootstrap standard `errors` belong to `thresholds`; `mean`, `error` and the share of days that are
    clipped belong to the state's threshold. `band` is the outline of means ± errors.
    """

    state: ReturnsState
    n_days: int
    total: float
    distances: np.ndarray
    shares: np.ndarray
    gauss: np.ndarray
    thresholds: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    band: np.ndarray
    raw_mean: float
    raw_error: float
    mean: float
    error: float
    clipped_share: float


@lru_cache
def _period(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The returns of a period, and how often each day is in each resample of the bootstrap."""
    returns = google_returns()[1][PERIODS[name]]
    rng = np.random.default_rng(64)
    counts = rng.multinomial(returns.size, np.full(returns.size, 1 / returns.size), N_RESAMPLES)
    return frozen(returns), frozen(counts.astype(float))


@lru_cache
def _means(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Clipped means and their standard errors at every stop of the slider."""
    returns, counts = _period(name)
    thresholds = np.array(controls_of(ReturnsState)["max_norm"].values)
    return frozen(clipped_mean(returns, thresholds)), frozen(clipped_mean(returns, thresholds, counts).std(-1))


@lru_cache(maxsize=256)
def _mean_at(name: str, max_norm: float) -> tuple[float, float]:
    stops = controls_of(ReturnsState)["max_norm"].values
    if max_norm in stops:
        means, errors = _means(name)
        return float(means[stops.index(max_norm)]), float(errors[stops.index(max_norm)])
    returns, counts = _period(name)
    return float(clipped_mean(returns, max_norm)), float(clipped_mean(returns, max_norm, counts).std())


@lru_cache
def _tail(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances from the mean, sorted, the share of days beyond each, and what a Gaussian would have."""
    returns, _ = _period(name)
    distances = np.sort(np.abs(returns - returns.mean()))
    ranks = np.unique(returns.size - np.geomspace(1, returns.size, 160).round().astype(int))  # all in the tail
    distances, shares = distances[ranks], 1 - (ranks + 1) / returns.size
    at = np.geomspace(0.03, 30, 121)
    gauss = np.array([math.erfc(x / (returns.std() * math.sqrt(2))) for x in at])
    return frozen(distances), frozen(shares), frozen(np.stack([at, gauss], -1))


@lru_cache
def _prepare_returns() -> None:
    """Open with every period, so that the menu does not wait."""
    for period in PERIODS:
        _means(period)
        _tail(period)


def fit_returns(state: ReturnsState) -> ReturnsResult:
    _prepare_returns()
    returns, counts = _period(state.period)
    distances, shares, gauss = _tail(state.period)
    thresholds = np.array(controls_of(ReturnsState)["max_norm"].values)
    means, errors = _means(state.period)
    mean, error = _mean_at(state.period, state.max_norm)
    return ReturnsResult(
        state=state,
        n_days=returns.size,
        total=float(returns.sum()),
        distances=distances,
        shares=shares,
        gauss=gauss,
        thresholds=thresholds,
        means=means,
        errors=errors,
        band=np.stack([np.r_[thresholds, thresholds[::-1]], np.r_[means - errors, (means + errors)[::-1]]], -1),
        raw_mean=float(returns.mean()),
        raw_error=float((counts @ returns / returns.size).std()),
        mean=mean,
        error=error,
        clipped_share=float(np.mean(np.abs(returns - mean) > state.max_norm)),
    )


def read_returns(result: ReturnsResult) -> str:
    """The live sentence of the second side trip."""
    state, n = result.state, result.n_days
    clipped = round(result.clipped_share * n)
    days = f"{clipped} of {n} days are" if clipped > 1 else f"1 of {n} days is" if clipped else f"No day of {n} is"
    kept, true = (math.exp(total / 100) for total in (result.mean * n, result.total))
    return (
        f"{days} clipped at c = {state.max_norm:g}%. The mean return is "
        f"{signed(result.mean)} ± {result.error:.3f}% a day, unclipped {signed(result.raw_mean)} ± "
        f"{result.raw_error:.3f}%. Held every day, that would multiply the price by {kept:.2f}; it was multiplied "
        f"by {true:.2f}."
    )


def hold_threshold(state: ReturnsState, panel: str, x: float, y: float) -> ReturnsState:
    """The mouse moves the threshold in both panels."""
    return replace(state, max_norm=clamp("max_norm", ReturnsState, max(x, 1e-9)))


RETURNS = Demo(
    ReturnsState,
    fit_returns,
    ReturnsFigure,
    read_returns,
    presets={
        "all days": Preset(ReturnsState(), "Which c gives the narrowest band, and is it the right mean?"),
        "hardly clipped": Preset(ReturnsState(max_norm=9.49), "How much do the few wildest days decide?"),
        "nearly the median": Preset(ReturnsState(max_norm=0.03), "What is left if every day has one vote?"),
        "first half": Preset(ReturnsState(period="first half"), "Which way does clipping move a good time's mean?"),
        "second half": Preset(ReturnsState(period="second half"), "And in a time of falling prices?"),
    },
    drag=hold_threshold,
)

# --- Losses ------------------------------------------------------------------------------------------------

RESIDUALS = np.linspace(-6, 6, 241)


@dataclass(frozen=True)
class LossesState(State):
    size: float = control(3.0, label="size ‖x‖", log=(0.25, 4))
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 4))
    residual: float = control(3.0, label="residual r", linear=(-6, 6))
    margin: float = control(-3.0, label="margin m", linear=(-6, 6))


@dataclass(frozen=True)
class LossesResult:
    """Gradients along x over `axis`, raw and clipped, for "squared" error and for the "margin" of cross-entropy.

    `huber` is Huber's with δ = c/‖x‖, times ‖x‖; `bare` is the derivative of cross-entropy before it meets x.
    """

    state: LossesState
    axis: np.ndarray
    raw: dict[str, np.ndarray]
    clipped: dict[str, np.ndarray]
    huber: np.ndarray
    bare: np.ndarray
    raw_here: dict[str, float]
    clipped_here: dict[str, float]


def clip_losses(state: LossesState) -> LossesResult:
    at = {"squared": np.append(RESIDUALS, state.residual), "margin": np.append(RESIDUALS, state.margin)}
    rules = {"squared": squared_derivative, "margin": cross_entropy_derivative}
    raw = {name: rule(at[name]) * state.size for name, rule in rules.items()}
    clipped = {name: np.clip(grad, -state.max_norm, state.max_norm) for name, grad in raw.items()}
    return LossesResult(
        state=state,
        axis=RESIDUALS,
        raw={name: grad[:-1] for name, grad in raw.items()},
        clipped={name: grad[:-1] for name, grad in clipped.items()},
        huber=huber_derivative(RESIDUALS, state.max_norm / state.size) * state.size,
        bare=cross_entropy_derivative(RESIDUALS),
        raw_here={name: float(grad[-1]) for name, grad in raw.items()},
        clipped_here={name: float(grad[-1]) for name, grad in clipped.items()},
    )


def read_losses(result: LossesResult) -> str:
    """The live sentence of the third side trip."""
    state = result.state
    becomes = {
        name: (
            f"{_short(raw)} becomes {_short(result.clipped_here[name])}"
            if raw != result.clipped_here[name]
            else f"{_short(raw)} is kept"
        )
        for name, raw in result.raw_here.items()
    }
    squared = (
        f"Squared error: what clipping leaves is Huber's with δ = c/‖x‖ = {state.max_norm / state.size:.3g}; at "
        f"r = {_short(state.residual)} the gradient {becomes['squared']}."
    )
    if state.size <= state.max_norm:
        where = f"so c = {state.max_norm:g} clips no margin at all"
    else:
        where = f"and is clipped at margins below {_short(math.log(state.size / state.max_norm - 1))}"
    return (
        f"{squared} Cross-entropy: the gradient never gets longer than ‖x‖ = {state.size:g}, {where}; at "
        f"m = {_short(state.margin)} it is {_short(result.raw_here['margin'])}"
        + (
            "."
            if result.raw_here["margin"] == result.clipped_here["margin"]
            else f" and becomes {_short(result.clipped_here['margin'])}."
        )
    )


def _short(value: float) -> str:
    return f"{value + 0.0:.3g}".replace("-", "−")


def hold_example(state: LossesState, panel: str, x: float, y: float) -> LossesState:
    """The mouse moves the residual on the left and the margin on the right."""
    name = {"squared": "residual", "margin": "margin"}[panel]
    return replace(state, **{name: clamp(name, LossesState, x)})


LOSSES = Demo(
    LossesState,
    clip_losses,
    LossesFigure,
    read_losses,
    presets={
        "a large example": Preset(LossesState(), "Whose loss do you get by clipping a squared error?"),
        "a small example": Preset(LossesState(size=0.5), "Same c, a smaller x: where does Huber's corner go?"),
        "far and wrong": Preset(
            LossesState(size=4.0, margin=-5.0), "Cross-entropy is said to be bounded already. Is its gradient?"
        ),
        "bounded already": Preset(LossesState(size=0.75), "When does clipping do nothing to cross-entropy?"),
    },
    drag=hold_example,
)

# --- Flipped labels ---------------------------------------------------------------------------------------------

N_EXAMPLES = 2000
# Margins of right-labelled examples, N(1, 1): its quantiles at even steps, a sample without luck.
MARGINS = np.array([NormalDist(1, 1).inv_cdf((i + 0.5) / N_EXAMPLES) for i in range(N_EXAMPLES)])
PLACES = np.linspace(-4, 4, 161)
TRUE_SLOPE = 2.0  # what clean labels give: the classes N(±1, 1) have log-odds 2x


@dataclass(frozen=True)
class FlipsState(State):
    flipped: float = control(0.2, label="share flipped", linear=(0, 0.4), n_stops=9)
    max_norm: float = control(1.0, label="threshold c", log=(0.03, 10), n_stops=41)


@dataclass(frozen=True)
class FlipsResult:
    """Slopes that training ends with: `slopes` at `thresholds`, `slope` at the state's, `raw_slope` unclipped.

    `pull` is the length of one example's gradient there against `places`, its y·x, raw and clipped. `right` and `wrong`
    are the densities of examples whose labels are right and flipped. `lucky` is the threshold that gives 2.
    """

    state: FlipsState
    thresholds: np.ndarray
    slopes: np.ndarray
    slope: float
    raw_slope: float
    lucky: float
    places: np.ndarray
    pull: dict[str, np.ndarray]
    right: np.ndarray
    wrong: np.ndarray


def flip_evenly(flipped: float) -> np.ndarray:
    """The margins with a share of labels flipped, evenly over the sample: margins y·x that change their sign."""
    if not 0 <= flipped <= 1:
        raise ValueError(f"flipped must lie between 0 and 1; got {flipped}")
    count = np.floor(np.arange(N_EXAMPLES + 1) * flipped + 0.5 + 1e-9)  # the middle one of each block
    return np.where(np.diff(count) > 0, -MARGINS, MARGINS)


@lru_cache(maxsize=64)
def _slopes(flipped: float) -> np.ndarray:
    """Slopes at every stop of the slider, and unclipped at the end."""
    thresholds = np.array([*controls_of(FlipsState)["max_norm"].values, np.inf])
    return frozen(clipped_root(flip_evenly(flipped), thresholds))


@lru_cache(maxsize=256)
def _slope_at(flipped: float, max_norm: float) -> float:
    stops = controls_of(FlipsState)["max_norm"].values
    if max_norm in stops:
        return float(_slopes(flipped)[stops.index(max_norm)])
    return float(clipped_root(flip_evenly(flipped), max_norm))


@lru_cache
def _prepare_flips() -> None:
    """Open with every share of flips, so that the slider does not wait."""
    for stop in controls_of(FlipsState)["flipped"].values:
        _slopes(stop)


def fit_flipped(state: FlipsState) -> FlipsResult:
    _prepare_flips()
    thresholds = np.array(controls_of(FlipsState)["max_norm"].values)
    *slopes, raw = _slopes(state.flipped)
    slope = _slope_at(state.flipped, state.max_norm)
    pull = np.abs(slope_grads(PLACES, np.array(slope)))
    density = np.exp(-0.5 * (PLACES - 1) ** 2) / math.sqrt(2 * math.pi)
    return FlipsResult(
        state=state,
        thresholds=thresholds,
        slopes=np.array(slopes),
        slope=slope,
        raw_slope=float(raw),
        # where the falling curve passes the right answer
        lucky=float(np.exp(np.interp(-TRUE_SLOPE, -np.array(slopes), np.log(thresholds)))),
        places=PLACES,
        pull={"raw": pull, "clipped": np.minimum(pull, state.max_norm)},
        right=(1 - state.flipped) * density,
        wrong=state.flipped * density[::-1],
    )


def read_flips(result: FlipsResult) -> str:
    """The live sentence of the fourth side trip."""
    state = result.state
    share = "No label is flipped" if state.flipped == 0 else f"{100 * state.flipped:.3g}% of the labels are flipped"
    lucky = (
        "Without flips, no clipping is the best that can be done."
        if state.flipped == 0
        else f"The right answer, {TRUE_SLOPE:g}, is met near c = {_two(result.lucky)}, for this share of flips."
    )
    return (
        f"{share}: the slope is {result.raw_slope:.2f} unclipped and {result.slope:.2f} when each example is clipped "
        f"at c = {state.max_norm:g}. {lucky}"
    )


def hold_flips(state: FlipsState, panel: str, x: float, y: float) -> FlipsState:
    """The mouse moves the threshold: up and down on the left, sideways on the right."""
    value = y if panel == "pull" else x
    return replace(state, max_norm=clamp("max_norm", FlipsState, max(value, 1e-9)))


FLIPS = Demo(
    FlipsState,
    fit_flipped,
    FlipsFigure,
    read_flips,
    presets={
        "one in five": Preset(FlipsState(), "Does clipping at c = 1 take the flips out?"),
        "a lucky c": Preset(FlipsState(max_norm=0.237), "Which c gives the slope of clean labels?"),
        "the same c, other flips": Preset(
            FlipsState(flipped=0.4, max_norm=0.237), "Is that c the right one in general?"
        ),
        "clean labels": Preset(
            FlipsState(flipped=0.0, max_norm=0.237), "What does it do to labels that are all right?"
        ),
    },
    drag=hold_flips,
)

# --- For the lesson ---------------------------------------------------------------------------------------------


def ends_unclipped(alpha: float, learning_rates: tuple[float, ...], n_seeds: int = 1000) -> np.ndarray:
    """Final losses (rates, n_seeds) of simulated unclipped runs, 300 steps under α-stable noise."""
    noise = alpha_stable(alpha, (300, DIMENSIONS, n_seeds), np.random.default_rng(7))
    return end_in_a_bowl(noise, np.array(learning_rates), np.array([np.inf]))[:, 0]


@lru_cache
def _two_rates() -> tuple[dict[str, float], dict[str, float]]:
    large, small = ends_unclipped(1.5, (0.32, 0.02))
    return _middle_and_ninety(large), _middle_and_ninety(small)


def what_a_smaller_rate_does() -> str:
    """What becomes of the unlucky runs' loss over the median, in simulated runs, when η is divided by 16."""
    large, small = (ends["ninety"] / ends["median"] for ends in _two_rates())
    return "falls" if small < large / 1.5 else "rises" if small > large * 1.5 else "stays"


def rates_in_words() -> str:
    """The evidence for it, by the law that runs settle to."""
    marks = _law_marks("1.5")
    large, small = (
        {name: settled_scale(1.5, rate) ** 2 * value for name, value in marks.items()} for rate in (0.32, 0.02)
    )
    return (
        f"Half of the runs end above a loss of {_two(large['median'])} at η = 0.32 and above "
        f"{_two(small['median'])} at η = 0.02; one in ten ends above {_two(large['ninety'])} and "
        f"{_two(small['ninety'])}: {_times(large)} and {_times(small)} times as much."
    )


PREDICTIONS = {
    "tails": Prediction(
        key="06.t",
        question="Unclipped SGD under noise of tail index α = 1.5: one run in ten ends with more than about five times "
        "the loss of the middle run. Now η is divided by 16, and there are steps enough. What becomes of that factor?",
        truth=what_a_smaller_rate_does,
        options={
            "falls": "it falls: smaller steps average the noise out",
            "stays": "it stays: all runs shrink alike",
            "rises": "it rises: one wild step now stands out more",
        },
        explain={
            "falls": "The losses fall, the factor does not. Averages of Gaussian noise calm down; with α < 2 a single "
            "draw can outweigh all others together, and smaller steps shrink them all alike.",
            "stays": "Stable noise summed up is the same noise at another scale. η sets the scale, and the factor "
            "does not know it.",
            "rises": "Nor that: the wild step shrinks with η just as the others do. Sums of stable noise have the same "
            "law at every scale.",
        },
        evidence=rates_in_words,
    ),
}

QUESTIONS = (
    Question(
        "(From the side trips.) Where does clipping pay most, and leave the place where the run comes to rest as it "
        "was?",
        (
            Option(
                "under Gaussian noise around the minimum",
                "It stays in place, but there is little to gain: no draw is far out, and a smaller η does the same.",
            ),
            Option(
                "under skewed noise with rare large values",
                "There it pays in variance and shifts the place of rest: the rare side loses its weight.",
            ),
            Option(
                "under symmetric noise of tail index α = 1.2",
                "What is cut off on one side is cut off on the other, and the unlucky runs are no longer far out.",
                right=True,
            ),
            Option(
                "with one label in five flipped",
                "Flipped labels are no rare large values. Clipping changes the slope, and which c gives the right one "
                "depends on the share of flips.",
            ),
        ),
    ),
    Question(
        "(From the side trips.) The model is a line, the loss is squared error, and each example's gradient is clipped "
        "by its norm at c = 1. Which loss does this train?",
        (
            Option(
                "Huber's with δ = 1/‖xᵢ‖, for each example its own",
                "The gradient is rᵢ·xᵢ, so its norm passes 1 where the residual passes 1/‖xᵢ‖.",
                right=True,
            ),
            Option(
                "Huber's with δ = 1 for all examples",
                "That would be clipping each residual's derivative. The norm of a gradient contains the size of x too.",
            ),
            Option(
                "the squared error, with a smaller η",
                "That is true of clipping the gradient of the whole batch, where one factor serves all. Here each "
                "example has a factor of its own.",
            ),
            Option(
                "the absolute error",
                "That is the limit of a tiny c. At c = 1, small residuals are squared as before.",
            ),
        ),
    ),
)
