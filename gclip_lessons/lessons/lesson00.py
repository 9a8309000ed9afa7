"""Lesson 00, start here: clipping may keep an exploding run finite, which is not the same as learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.data import google_prices
from gclip_lessons.data import standardize as standardize_dates
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.cosh import CoshFigure
from gclip_lessons.figures.prices import PricesFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, control, controls_of, moves
from gclip_lessons.models import Cosh, LineFit
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import sweep, train

# --- A line through share prices ----------------------------------------------------------------------------------

N_STEPS = 3000
RATES = (0.1, 0.01, 0.001)
THRESHOLDS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
# Every early step, later ones in neighbouring pairs: a run that jumps to and fro at every step looks on this grid as
# it does in full.
_PAIRS = np.unique(2 * (np.geomspace(40, N_STEPS - 1, 70) // 2).astype(int))
STEPS = np.unique(np.concatenate([np.arange(1, 41), _PAIRS, _PAIRS + 1, [N_STEPS]]))


@dataclass(frozen=True)
class PricesState(State):
    max_norm: float = control(1e6, label="threshold c", log=(1e-3, 1e7))
    learning_rate: str = control("0.1", label="learning rate η", choices=("1e-8", "0.001", "0.01", "0.1"))
    scaled: bool = control(False, label="dates standardised")


@dataclass(frozen=True)
class Fit:
    """One run on the prices: its rmse at STEPS and its last line, and how many of its steps were clipped.

    `lately` is the least and the largest rmse of its last 100 steps, `gone` the step at which it became infinite,
    `arrives` the step from which its rmse stays within 1% of the best line's; None where that did not happen.
    """

    rmse: np.ndarray
    lately: tuple[float, float]
    line: np.ndarray
    n_clipped: int
    gone: int | None
    arrives: int | None

    @property
    def final(self) -> float:
        return float(self.rmse[-1])


@dataclass(frozen=True)
class PricesResult:
    state: PricesState
    days: np.ndarray
    price: np.ndarray
    x: np.ndarray
    clipped: Fit
    raw: Fit
    best_line: np.ndarray
    best_rmse: float
    constant_rmse: float

    steps = STEPS

    @property
    def line(self) -> np.ndarray:
        """The clipped run's last line, at the first and the last day."""
        return self._ends(self.clipped)

    @property
    def raw_line(self) -> np.ndarray:
        return self._ends(self.raw)

    def _ends(self, fit: Fit) -> np.ndarray:
        return fit.line[0] * self.x[[0, -1]] + fit.line[1]


@cache
def price_model(scaled: bool = False) -> LineFit:
    """The line through the prices, on days since 1970 as they come, or on the same days standardised."""
    days, price = google_prices()
    return LineFit(standardize_dates(days) if scaled else days, price)


@lru_cache(maxsize=16)
def fits(learning_rate: float, scaled: bool, thresholds: tuple[float, ...]) -> tuple[Fit, ...]:
    """Train from (0, 0) with every threshold, all in one batch; the threshold inf clips nothing."""
    model = price_model(scaled)
    path = train(
        model,
        np.zeros((len(thresholds), 2)),
        SGD(learning_rate),
        ClipByGlobalNorm(np.array(thresholds)),
        n_steps=N_STEPS,
    )
    with np.errstate(all="ignore"):
        rmse = np.sqrt(2 * path.loss)
    far = ~(rmse <= 1.01 * model.rmse(model.least_squares()))
    arrives = N_STEPS + 1 - far[::-1].argmax(0)
    lately = np.stack([rmse[-100:].min(0), rmse[-100:].max(0)], axis=-1)
    return tuple(
        Fit(
            rmse[STEPS, k],
            tuple(lately[k].tolist()),
            path.params[-1, k].copy(),
            int(path.clipped[:, k].sum()),
            _by_end(path.first_nonfinite[k]),
            _by_end(arrives[k]),
        )
        for k in range(len(thresholds))
    )


def _by_end(step: int) -> int | None:
    return int(step) if step <= N_STEPS else None


def fit_prices(state: PricesState) -> PricesResult:
    """The raw and the clipped run; a threshold on a stop of the slider is looked up, another is trained."""
    rate, model = float(state.learning_rate), price_model(state.scaled)
    stops = (*controls_of(PricesState)["max_norm"].values, np.inf)
    *at_stops, raw = fits(rate, state.scaled, stops)
    if state.max_norm in stops:
        clipped = at_stops[stops.index(state.max_norm)]
    else:
        (clipped,) = fits(rate, state.scaled, (float(state.max_norm),))
    days, price = google_prices_once()
    best = model.least_squares()
    return PricesResult(
        state,
        days,
        price,
        model.x,
        clipped,
        raw,
        best[0] * model.x[[0, -1]] + best[1],
        float(model.rmse(best)),
        float(model.rmse(model.constant())),
    )


@cache
def google_prices_once() -> tuple[np.ndarray, np.ndarray]:
    return google_prices()


def plain(value: float) -> str:
    """A threshold without a padded exponent: 0.01, 1e6."""
    return f"{value:g}".replace("e+0", "e").replace("e-0", "e-")


def short(value: float) -> str:
    """An rmse in at most three digits: 131, 4.24e+03 as 4240, 1.3e9."""
    return f"{value:.0f}" if value < 1e4 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def span(low: float, high: float) -> str:
    """Two rmse values as one word: a single number where they agree within 1%."""
    return short(low) if high < 1.01 * low else f"{short(low)}–{short(high)}"


def read_prices(result: PricesResult) -> str:
    """The live sentence of the first demo."""
    c, raw, clipped = result.state.max_norm, result.raw, result.clipped
    low, high = clipped.lately
    unclipped = f"Raw, η = {result.state.learning_rate}:"
    if raw.gone is not None:
        begin = (
            f"{unclipped} gone at step {raw.gone} (inf). Clipped at c = {plain(c)}: finite for all {N_STEPS} steps, "
        )
        if high > 1.01 * low:
            return begin + f"but not fitted. At the end its rmse still jumps between {short(low)} and {short(high)}."
        return begin + _against(result, clipped.final)
    arrival, clipped_arrival = raw.arrives, clipped.arrives
    if clipped.n_clipped == 0:
        end = f"No gradient was longer than c = {plain(c)}: clipping changed nothing."
    elif clipped_arrival is not None:
        end = f"Clipped at c = {plain(c)} it takes until step {clipped_arrival}."
    else:
        end = f"Clipped at c = {plain(c)} it has rmse {short(clipped.final)} after {N_STEPS} steps."
    if arrival is not None:
        return f"{unclipped} reaches the best line's rmse of {result.best_rmse:.0f}, to 1%, at step {arrival}. {end}"
    return f"{unclipped} finite by itself, {_against(result, raw.final)} {end}"


def _against(result: PricesResult, rmse: float) -> str:
    best, constant = f"the best line {result.best_rmse:.0f}", f"a constant has {result.constant_rmse:.0f}"
    return f"rmse {short(rmse)}; {constant}, {best}."


PRICES = Demo(
    PricesState,
    fit_prices,
    PricesFigure,
    read_prices,
    presets={
        "it explodes": Preset(PricesState(), "How far down must c go until the clipped run settles?"),
        "clipped": Preset(PricesState(max_norm=1.0), "The run is finite now. Is it a fit?"),
        "best clip": Preset(
            PricesState(max_norm=0.01, learning_rate="0.01"), "No setting of 18 did better: what did it learn?"
        ),
        "tiny η, no clip": Preset(
            PricesState(max_norm=1e7, learning_rate="1e-8"), "Does a small enough η do what clipping does?"
        ),
        "dates scaled": Preset(
            PricesState(max_norm=10.0, scaled=True), "Same η, no explosion: what does clipping do to a healthy run?"
        ),
    },
)


def try_settings() -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest rmse of the last two steps, (3, 6): unscaled dates, every one of RATES x THRESHOLDS."""
    model = price_model()
    path = sweep(
        model,
        np.zeros(2),
        SGD,
        ClipByGlobalNorm,
        learning_rates=np.array(RATES),
        thresholds=np.array(THRESHOLDS),
        n_steps=N_STEPS,
    )
    last = model.rmse(path.params[-2:])
    return last.min(0), last.max(0)


# --- A wall where clipping does converge --------------------------------------------------------------------------

GOAL = 1e-6
WALL_STEPS = 220


@dataclass(frozen=True)
class CoshState(State):
    max_norm: float = control(1.0, label="threshold c", log=(1e-2, 1e5), n_stops=71)
    learning_rate: float = control(0.5, label="learning rate η", log=(1e-3, 1))
    x: float = control(10.0, label="start x", linear=(-11, 11), n_stops=221)
    y: float = control(1.0, label="start y", linear=(-11, 11), n_stops=221)
    step: int = control(WALL_STEPS, label="step", whole=(0, WALL_STEPS), play=True)


@dataclass(frozen=True)
class Descent:
    """One run on the wall: where it was, how long its gradients were, and when it reached the goal or was gone."""

    points: np.ndarray
    norm: np.ndarray
    n_clipped: int
    gone: int | None

    @property
    def arrives(self) -> int | None:
        """The first step with a gradient no longer than GOAL, or None."""
        there = self.norm <= GOAL
        return int(there.argmax()) if there.any() else None


@dataclass(frozen=True)
class CoshResult:
    state: CoshState
    clipped: Descent
    raw: Descent

    n_steps = WALL_STEPS
    goal = GOAL


@lru_cache(maxsize=16)
def descents(learning_rate: float, start: tuple[float, float], thresholds: tuple[float, ...]) -> tuple[Descent, ...]:
    """Descend cosh x + cosh y with every threshold, all in one batch; the threshold inf clips nothing."""
    model = Cosh()
    path = train(
        model,
        np.tile(start, (len(thresholds), 1)),
        SGD(learning_rate),
        ClipByGlobalNorm(np.array(thresholds)),
        n_steps=WALL_STEPS,
    )
    with np.errstate(all="ignore"):
        last = np.linalg.norm(model.loss_and_grad(path.params[-1])[1], axis=-1)
    norm = np.concatenate([path.grad_norm, last[None]])
    n_clipped, gone = path.clipped.sum(0), path.first_nonfinite
    return tuple(
        Descent(path.params[:, k], norm[:, k], int(n_clipped[k]), int(gone[k]) if gone[k] <= WALL_STEPS else None)
        for k in range(len(thresholds))
    )


def descend(state: CoshState) -> CoshResult:
    """The clipped and the raw run from one start, as a batch of two."""
    clipped, raw = descents(state.learning_rate, (state.x, state.y), (state.max_norm, np.inf))
    return CoshResult(state, clipped, raw)


def read_cosh(result: CoshResult) -> str:
    """The live sentence of the second demo."""
    state, clipped, raw = result.state, result.clipped, result.raw
    now = f"Step {state.step}: clipped ‖g‖ = {clipped.norm[state.step]:.3g}. " if _is_inside(result) else ""
    if clipped.n_clipped == 0 and clipped.gone is None:
        return f"{now}c = {plain(state.max_norm)} is above every norm met: nothing is clipped. Both runs: {_fate(raw)}."
    first = state.learning_rate * min(clipped.norm[0], state.max_norm)
    share = (
        f"clipped {clipped.n_clipped} of {WALL_STEPS} steps"
        if clipped.gone is None
        else f"its first step was {short(first)} long"
    )
    settings = f"(η = {state.learning_rate:g}, c = {plain(state.max_norm)})"
    return f"{now}Clipped {settings}: {_fate(clipped)}; {share}. Raw: {_fate(raw)}."


def _is_inside(result: CoshResult) -> bool:
    step = result.state.step
    return step < WALL_STEPS and bool(np.isfinite(result.clipped.norm[step]))


def _fate(run: Descent) -> str:
    if run.gone is not None:
        return f"gone at step {run.gone} (inf)"
    if run.arrives is not None:
        return f"down to ‖g‖ ≤ 1e-6 at step {run.arrives}"
    return f"‖g‖ = {run.norm[-1]:.2g} after {WALL_STEPS} steps"


COSH = Demo(
    CoshState,
    descend,
    CoshFigure,
    read_cosh,
    presets={
        "explodes": Preset(CoshState(max_norm=1e5), "c is above every norm here. How many steps does the run last?"),
        "clipped": Preset(CoshState(), "Same η, same start, c = 1: does it only survive, or does it arrive?"),
        "c too small": Preset(CoshState(max_norm=0.1), "What does a ten times smaller c cost?"),
        "c too large": Preset(CoshState(max_norm=2000.0), "The first step is clipped, to ηc. Is that short enough?"),
        "small η without clipping": Preset(
            CoshState(max_norm=1e5, learning_rate=0.0017),
            "The largest steps that are safe at the top: enough at the bottom?",
        ),
    },
    drag=moves("plane", "x", "y"),
)


def steps_to_goal(learning_rates: Sequence[float], thresholds: Sequence[float], n_steps: int) -> list[int | None]:
    """How many steps from (10, 1) to ‖g‖ ≤ 1e-6, for each pair (η, c), all in one batch; None if not that soon."""
    norm = train(
        Cosh(),
        np.tile((10.0, 1.0), (len(thresholds), 1)),
        SGD(np.array(learning_rates)),
        ClipByGlobalNorm(np.array(thresholds)),
        n_steps=n_steps,
    ).grad_norm
    there = norm <= GOAL
    return [int(first) if found else None for first, found in zip(there.argmax(0), there.any(0), strict=True)]


# --- Predictions --------------------------------------------------------------------------------------------------


def quality_of_best_clip() -> str:
    """Where the best of the 18 settings lies between the best constant (0) and the best line (1)."""
    model = price_model()
    constant, line = float(model.rmse(model.constant())), float(model.rmse(model.least_squares()))
    reached = (constant - float(try_settings()[0].min())) / (constant - line)
    return "worse" if reached < 0 else "hardly" if reached < 0.25 else "half" if reached < 0.75 else "best"


def numbers_of_best_clip() -> str:
    model = price_model()
    return (
        f"best constant {float(model.rmse(model.constant())):.0f}, best of the 18 clipped runs "
        f"{float(try_settings()[0].min()):.0f}, best line {float(model.rmse(model.least_squares())):.0f} dollars"
    )


PREDICTIONS = {
    "finite": Prediction(
        key="00.a",
        question="A trend line is trained on share prices, with the date as it comes: a day number near 13 000. "
        "Without clipping the run is infinite within 30 steps. You try 18 settings of η and c, 3000 steps each, and "
        "all of them stay finite. How good is the best of them?",
        truth=quality_of_best_clip,
        options={
            "best": "as good as the best line there is, or nearly",
            "half": "halfway between a constant guess and the best line",
            "hardly": "hardly better than a constant guess",
            "worse": "worse than a constant guess",
        },
        explain={
            "best": "That is what one hopes for. Clipping took the explosion away, but not what caused it: day "
            "numbers so large that slope and height of the line need steps of very different size.",
            "half": "Not even that. The slope is found quickly and the height of the line hardly moves in 3000 steps.",
            "hardly": "Yes. Finite is not fitted: the slope is found and the height of the line hardly moves.",
            "worse": "Twelve of the 18 are, or are at every other step. The best learn the slope of a line through "
            "0 dollars in 1970, and that is a little better than a constant.",
        },
        evidence=numbers_of_best_clip,
    ),
    "wall": Prediction(
        key="00.b",
        question="Next, a wall: cosh x + cosh y from the point (10, 1). Unclipped, η = 0.5 is infinite after one "
        "step, and the small η that survives needs thousands of steps to bring ‖g‖ down to 1e-6. How many steps does "
        "η = 0.5 need with c = 1?",
        truth=lambda: float(descend(CoshState()).clipped.arrives),
        unit="steps",
        explain={
            "low": "A clipped step has length ηc = 0.5, and the start is 10 away: that alone takes about 20. Then the "
            "gradient is short, clipping sleeps, and plain descent halves the distance at each step: 20 more.",
            "close": "Yes: about 20 clipped steps of length ηc = 0.5 from 10 to 0, and about 20 halvings down to 1e-6.",
            "high": "It is quicker. Each clipped step has the full length ηc = 0.5, so 10 takes about 20 of them; then "
            "the gradient is short, clipping sleeps, and each plain step halves the distance: about 20 more.",
        },
        tolerance=0.4,
    ),
}

# --- Exercises ----------------------------------------------------------------------------------------------------


def standardize(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std()


def standardize_stub(x: np.ndarray) -> np.ndarray:
    # Return x moved and scaled so that its mean is 0 and its standard deviation 1.
    ...


def only_centres(x: np.ndarray) -> np.ndarray:
    return x - x.mean()


def only_divides(x: np.ndarray) -> np.ndarray:
    return x / x.std()


def forgets_the_brackets(x: np.ndarray) -> np.ndarray:
    return x - x.mean() / x.std()


def stretches_to_0_1(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / (x.max() - x.min())


def divides_by_the_variance(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.var()


def divides_by_n_minus_1(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std(ddof=1)


def divides_by_the_largest(x: np.ndarray) -> np.ndarray:
    return x / np.abs(x).max()


def counts_from_the_first_day(x: np.ndarray) -> np.ndarray:
    return (x - x[0]) / x.std()


def scales_to_norm_1(x: np.ndarray) -> np.ndarray:
    away = x - x.mean()
    return away / np.sqrt(np.sum(away**2))


def divides_by_the_mean(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.mean()


def clips_the_dates(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -1.0, 1.0)


def divides_by_the_range(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / (x.max() - x.min())


def stretches_to_minus_1_1(x: np.ndarray) -> np.ndarray:
    return 2 * (x - x.min()) / (x.max() - x.min()) - 1


def centres_on_the_median(x: np.ndarray) -> np.ndarray:
    return (x - np.median(x)) / x.std()


def divides_by_the_largest_distance(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.abs(x - x.mean()).max()


def centres_and_divides_by_the_maximum(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.max()


def divides_by_the_root_mean_square(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(np.mean(x**2))


def divides_by_the_mean_distance(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.abs(x - x.mean()).mean()


def divides_by_the_root_of_the_spread(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.std())


def multiplies_by_the_spread(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) * x.std()


def will_explode(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2 / curvatures.max())


def will_explode_stub(learning_rate: float, curvatures: np.ndarray) -> bool:
    # One step multiplies the distance along curvature λ by 1 − ηλ. Does any distance grow?
    ...


def one_over_the_curvature(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 1 / curvatures.max())


def looks_at_the_flattest(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2 / curvatures.min())


def averages_the_curvatures(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2 / curvatures.mean())


def adds_the_curvatures(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2 / curvatures.sum())


def says_when_it_converges(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate < 2 / curvatures.max())


def counts_the_limit_too(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate >= 2 / curvatures.max())


def turns_the_fraction_over(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > curvatures.max() / 2)


def forgets_the_curvature(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2)


def drops_the_bars(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool((1 - learning_rate * curvatures > 1).any())


def multiplies_the_factors(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(abs(np.prod(1 - learning_rate * curvatures)) > 1)


def compares_with_1(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 1)


def looks_at_the_last(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2 / curvatures[-1])


def looks_at_the_first(learning_rate: float, curvatures: np.ndarray) -> bool:
    return bool(learning_rate > 2 / curvatures[0])


EXERCISES = {
    "standardize": Exercise(
        key="00.1",
        title="The cure",
        solution=standardize,
        stub=standardize_stub,
        probes=(
            Probe((np.array([1.0, 3.0]),), "two values"),
            Probe((np.array([2.0, 4.0, 9.0]),), "three values"),
            Probe((np.array([12649.0, 12650.0, 12651.0, 12654.0]),), "day numbers"),
            Probe((np.array([-5.0, 1.0, 0.0, 4.0, 30.0]),), "negative values, zero, an outlier"),
            Probe((np.array([0.1, -0.2, 0.3]),), "values below 1"),
            Probe((np.array([8.0, 6.0, 1.0]),), "falling values"),
        ),
        misconceptions=(
            Misconception(
                only_centres, "The mean is 0 now, but the spread is what it was: divide by the standard deviation too."
            ),
            Misconception(
                only_divides,
                "The spread is 1 now, but the mean is not 0. It is the large mean that makes slope and height pull "
                "at each other.",
            ),
            Misconception(
                forgets_the_brackets, "Division comes before subtraction: write brackets round `x - x.mean()`."
            ),
            Misconception(
                stretches_to_0_1,
                "That is min–max scaling, to between 0 and 1. It would also train, but its mean is not 0 and one "
                "outlier squeezes all the others together.",
            ),
            Misconception(
                divides_by_the_variance,
                "You divide by the variance. Its square root, the standard deviation, has the unit of x.",
            ),
            Misconception(
                divides_by_n_minus_1,
                "With `ddof=1` the sum is divided by n − 1. For training it makes no difference worth having; the "
                "task asks for numpy's `std` as it comes.",
            ),
            Misconception(
                divides_by_the_largest,
                "Now |x| ≤ 1, but day numbers 12649 to 14166 become 0.893 to 1: nearly a constant, and hard to train "
                "on.",
            ),
            Misconception(
                counts_from_the_first_day,
                "You count from the first value. Its mean is not 0: subtract the mean instead.",
            ),
            Misconception(
                scales_to_norm_1,
                "You divide by the norm of the whole array, so the entries become smaller the more there are: a "
                "factor √n is missing.",
            ),
            Misconception(divides_by_the_mean, "You divide by the mean, where the spread is meant: `x.std()`."),
            Misconception(
                divides_by_the_range,
                "You divide by the range, from the smallest to the largest. The standard deviation is meant: one "
                "outlier cannot decide it alone.",
            ),
            Misconception(
                stretches_to_minus_1_1,
                "That is min–max scaling, to between −1 and 1. It would train, but in general its mean is not 0.",
            ),
            Misconception(centres_on_the_median, "You subtract the median. The mean afterwards is 0 only by accident."),
            Misconception(
                divides_by_the_largest_distance,
                "You divide by the largest distance from the mean: one outlier decides. The standard deviation asks "
                "all.",
            ),
            Misconception(
                centres_and_divides_by_the_maximum,
                "The mean is 0, but the largest value is no measure of spread: for day numbers it is near 14 000.",
            ),
            Misconception(
                divides_by_the_root_mean_square,
                "The root mean square is taken of x as it came. Take it of x − mean: that is the standard deviation.",
            ),
            Misconception(
                divides_by_the_mean_distance,
                "You divide by the mean distance from the mean, a sound measure of spread, but not the standard "
                "deviation: that is the root of the mean *squared* distance.",
            ),
            Misconception(
                divides_by_the_root_of_the_spread,
                "One root too many: `x.std()` is the root of the variance already.",
            ),
            Misconception(
                multiplies_by_the_spread,
                "You multiply by the standard deviation: the wider the values lie, the wider they become. Divide.",
            ),
            Misconception(
                clips_the_dates,
                "That clips the *data*: every day number becomes 1, and the dates are lost. Clipping is for gradients.",
            ),
        ),
        hints=(
            "Two things are to be done, one after the other: move, then scale. By which two numbers?",
            "Subtract `x.mean()` from every entry, then divide what you have by the standard deviation.",
            "`(x - x.mean()) / x.std()`, brackets included.",
        ),
        explanation="Afterwards both curvatures of the loss are 1 and one learning rate suits slope and height "
        "alike. The course's own `data.standardize` does this for every column, and refuses a constant one.",
    ),
    "will_explode": Exercise(
        key="00.2",
        title="Will it explode?",
        solution=will_explode,
        stub=will_explode_stub,
        probes=(
            Probe((0.5, np.array([1.0])), "one direction, far below the limit"),
            Probe((3.0, np.array([1.0])), "one direction, above the limit"),
            Probe((2.0, np.array([1.0])), "exactly at the limit"),
            Probe((1.5, np.array([1.0])), "past the minimum, but nearer at each step"),
            Probe((0.3, np.array([1.0, 10.0])), "one steep direction, the last"),
            Probe((0.3, np.array([10.0, 1.0])), "one steep direction, the first"),
            Probe((0.199, np.array([1.0, 10.0])), "just below the limit"),
            Probe((0.19, np.array([5.0, 10.0, 2.0])), "three directions, below the limit"),
            Probe((0.201, np.array([1.0, 10.0])), "just above the limit"),
            Probe((0.3, np.array([1.0, 10.0, 2.0])), "one steep direction, in the middle"),
            Probe((0.8, np.array([1.0])), "one direction, η = 0.8"),
            Probe((3.0, np.array([0.1, 0.5])), "a large η on a flat bowl"),
            Probe((1e-7, np.array([1e-3, 1.8e8])), "share prices on raw dates, η = 1e-7"),
            Probe((1e-8, np.array([1e-3, 1.8e8])), "share prices on raw dates, η = 1e-8"),
            Probe((0.1, np.array([1.0, 1.0])), "share prices on scaled dates, η = 0.1"),
        ),
        misconceptions=(
            Misconception(
                one_over_the_curvature,
                "Between 1/λ and 2/λ the run steps *across* the minimum, and still comes nearer at each step. It "
                "grows from 2/λ on.",
            ),
            Misconception(
                looks_at_the_flattest,
                "You look at the smallest curvature. The steepest direction is the first to explode.",
            ),
            Misconception(
                averages_the_curvatures, "An average hides the one steep direction, and one is enough to explode."
            ),
            Misconception(
                adds_the_curvatures,
                "Directions do not add up: each has its own factor 1 − ηλ. Look at the largest λ alone.",
            ),
            Misconception(
                says_when_it_converges, "This is `True` when the run is safe: the comparison is the wrong way round."
            ),
            Misconception(
                counts_the_limit_too,
                "At η = 2/λ the factor is exactly −1: the run jumps to and fro, but the distance does not grow.",
            ),
            Misconception(
                turns_the_fraction_over, "λ/2 is the fraction turned over: the larger λ, the smaller η must be."
            ),
            Misconception(
                forgets_the_curvature,
                "η = 2 is the limit only where λ = 1. On raw dates λ is 1.8e8, and the limit 1.1e-8.",
            ),
            Misconception(
                drops_the_bars,
                "1 − ηλ is never above 1 here. It is when it falls below −1 that the distance grows: |1 − ηλ| > 1.",
            ),
            Misconception(
                multiplies_the_factors,
                "You multiply the factors 1 − ηλ of all directions. They do not mix: one distance can grow while the "
                "others shrink.",
            ),
            Misconception(
                compares_with_1, "η = 1 is nothing special: whether it is too large depends on the curvature."
            ),
            Misconception(
                looks_at_the_last, "You look at the last curvature only. Any direction can be the steep one."
            ),
            Misconception(
                looks_at_the_first, "You look at the first curvature only. Any direction can be the steep one."
            ),
        ),
        hints=(
            "The distance grows where |1 − ηλ| > 1. With η and λ above 0, which of the two ends can that be?",
            "1 − ηλ < −1 means η > 2/λ. For which λ does that happen first?",
            "Compare `learning_rate` with `2 / curvatures.max()`, and think of the case where they are equal.",
        ),
        explanation="The steepest direction sets the limit, η ≤ 2/λmax, and the flattest one pays for it: about "
        "1/(ηλmin) steps for each factor of e that it comes nearer. On raw dates the two differ by a factor of 1.7e11, "
        "and that, not the gradient's length, is the illness.",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "00",
    (
        Question(
            "A run ends in inf. What do you look at first?",
            (
                Option(
                    "the threshold: lower c until it is finite",
                    "It will be finite, and may have learned nothing: see the prices.",
                ),
                Option(
                    "the optimiser: Adam does not explode",
                    "It hides the scale of the data rather than mending it. Look at the data first.",
                ),
                Option(
                    "the data: their scale, and entries that do not belong",
                    "Yes. It costs one line, and on the prices it was the whole cure. Then η, then clipping.",
                    right=True,
                ),
                Option(
                    "the learning rate: halve it until it is finite",
                    "That is second. On the prices it gave a finite run and no fit.",
                ),
            ),
        ),
        Question(
            "With clipping, a run on raw dates stays finite. What has been shown?",
            (
                Option(
                    "that no step was longer than ηc",
                    "Yes, that and no more. Whether it fits, the loss must say.",
                    right=True,
                ),
                Option("that the run converges", "It may jump to and fro for ever, as at c = 1 and η = 0.1."),
                Option(
                    "that the gradients became small",
                    "They stay as long as they were: only the step that is made of them is shortened.",
                ),
                Option(
                    "that c was chosen well", "Every c of the slider keeps this run finite, good and bad ones alike."
                ),
            ),
        ),
        Question(
            "On cosh x + cosh y clipping turned thousands of steps into dozens. Why there, and not on the prices?",
            (
                Option(
                    "cosh has no noise, prices have",
                    "Neither training run has noise: both use all their data at each step.",
                ),
                Option(
                    "on cosh the curvature is large only where the gradient is",
                    "Yes: clip far out, and near the minimum a large η is safe. On the prices the curvature is the "
                    "same everywhere.",
                    right=True,
                ),
                Option("cosh has two parameters only", "So has the line: slope and height."),
                Option("the threshold for the prices was too large", "You tried thresholds over ten powers of ten."),
            ),
        ),
        Question(
            "The dates are scaled and η = 0.1 converges. What does c = 10 add?",
            (
                Option(
                    "speed: the direction is kept",
                    "Shorter steps in the same direction arrive later: see the last preset.",
                ),
                Option("a better fit in the end", "The best line is the same one, and both runs reach it."),
                Option("accuracy: it removes noise", "There is no noise here to remove."),
                Option(
                    "nothing good: it is slower to arrive",
                    "Yes: the same line, about ten times as many steps.",
                    right=True,
                ),
            ),
        ),
    ),
)

LESSON = Lesson("00", "Start here", {"prices": PRICES, "cosh": COSH}, PREDICTIONS, EXERCISES, QUIZ)
