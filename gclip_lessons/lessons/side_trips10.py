"""Side trips of lesson 10: does clipping regularise, and a training of one's own."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.exercises import Prediction
from gclip_lessons.figures.matched import MatchedFigure
from gclip_lessons.lessons import Demo, Preset, State, clamp, control, controls_of, snap
from gclip_lessons.lessons.experiments10 import (
    GUESSING,
    OVERFIT_SETTINGS,
    OVERFIT_STEPS,
    characters,
    record,
    spelled,
)
from gclip_lessons.training import LongRun

# --- Overfitting --------------------------------------------------------------------------------------------

LEVELS = np.linspace(0.15, 0.5, 15)
ENOUGH = 8  # seeds that must have reached a training loss for a comparison there
RATE, GENTLE = (rate for rate, c in OVERFIT_SETTINGS if c == np.inf)
_LIMITS = tuple(c for _, c in OVERFIT_SETTINGS if c < np.inf)


@dataclass(frozen=True)
class OverfittingState(State):
    max_norm: float = control(0.1, label="threshold c", log=(0.01, 1), n_stops=5)
    steps: float = control(4030.0, label="steps", log=(20, 8000), n_stops=81)
    level: float = control(0.3, label="training loss", linear=(0.15, 0.5), n_stops=15)


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, twice its standard error, and over how many seeds; NaN if they are too few."""

    mean: float
    margin: float
    seeds: int


@dataclass(frozen=True)
class OverfittingResult:
    """Mean accuracy (checkpoints) of "raw", "gentle" and "clipped" runs after each of `steps`, of which `at` is the
    state's. `ahead` says by how much the clipped runs are better than the others after that many steps, and `matched`
    (levels) at equal training losses; `here` is that at the state's level.
    """

    state: OverfittingState
    steps: np.ndarray
    accuracy: dict[str, np.ndarray]
    at: int
    threshold: float
    levels: np.ndarray
    ahead: dict[str, Difference]
    matched: dict[str, tuple[Difference, ...]]
    here: dict[str, Difference]


def _difference(ahead: np.ndarray, both: np.ndarray | None = None) -> Difference:
    """Of the seeds for which `both` holds; all without it."""
    kept = ahead if both is None else ahead[both]
    if len(kept) < ENOUGH:
        return Difference(np.nan, np.nan, len(kept))
    return Difference(float(kept.mean()), float(2 * kept.std(ddof=1) / np.sqrt(len(kept))), len(kept))


def at_level(loss: np.ndarray, accuracy: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The accuracy of each seed when its training loss first is `level` or less, and whether it ever is: both (seeds).

    `loss` and `accuracy` are (checkpoints, seeds).
    """
    reached = loss <= level
    return np.take_along_axis(accuracy, reached.argmax(0)[None], 0)[0], reached.any(0)


_COLUMNS = {"raw": 0, "gentle": 1}  # of the record, and behind them a column for each threshold


def compare(state: OverfittingState) -> OverfittingResult:
    """Compare clipped runs with unclipped ones at equal steps and at equal training losses."""
    here = controls_of(OverfittingState)["max_norm"].index(state.max_norm)
    at = int(np.abs(np.log(np.array(OVERFIT_STEPS) / state.steps)).argmin())
    accuracy = record()["overfit_accuracy"]
    ours = accuracy[:, 2 + here]
    return OverfittingResult(
        state=state,
        steps=np.array(OVERFIT_STEPS),
        accuracy={"clipped": ours.mean(-1)} | {name: accuracy[:, k].mean(-1) for name, k in _COLUMNS.items()},
        at=at,
        threshold=_LIMITS[here],
        levels=LEVELS,
        ahead={name: _difference(ours[at] - accuracy[at, k]) for name, k in _COLUMNS.items()},
        matched={name: _at_all_levels(2 + here, k) for name, k in _COLUMNS.items()},
        here={name: _at_equal_loss(2 + here, k, state.level) for name, k in _COLUMNS.items()},
    )


@lru_cache
def _at_all_levels(clipped: int, other: int) -> tuple[Difference, ...]:
    return tuple(_at_equal_loss(clipped, other, level) for level in LEVELS)


def _at_equal_loss(clipped: int, other: int, level: float) -> Difference:
    """How far the setting in the one column of the record is ahead of the other, where both have come to `level`."""
    loss, accuracy = record()["overfit_loss"], record()["overfit_accuracy"]
    (ours, we_do), (theirs, they_do) = (at_level(loss[:, k], accuracy[:, k], level) for k in (clipped, other))
    return _difference(ours - theirs, we_do & they_do)


def signed(difference: Difference) -> str:
    """A difference with its margin, in percentage points of accuracy; a dash where seeds are too few."""
    if np.isnan(difference.mean):
        return "–"
    mean, margin = 100 * difference.mean, 100 * difference.margin
    return f"{mean:+.1f} ± {margin:.1f}".replace("-", "−")


def read_overfitting(result: OverfittingResult) -> str:
    """The live sentence of the comparison."""
    state, raw, gentle = result.state, result.here["raw"], result.here["gentle"]
    nearest = "" if result.threshold == state.max_norm else f" (measured nearest to your {state.max_norm:g})"
    first = (
        f"Clipped at c = {result.threshold:g}{nearest} minus unclipped, both at η = {RATE:g}, in points of accuracy ± "
        f"two standard errors: {signed(result.ahead['raw'])} after {result.steps[result.at]} steps"
    )
    if np.isnan(raw.mean) or np.isnan(gentle.mean):
        few = min(raw.seeds, gentle.seeds)
        return f"{first}; too few seeds ({few}) reach a training loss of {state.level:.3g} both ways to compare there."
    return (
        f"{first}, {signed(raw)} where both have a training loss of {state.level:.3g} ({raw.seeds} seeds). Minus "
        f"unclipped at η = {GENTLE:g}: {signed(gentle)} there."
    )


def hold_overfitting(state: OverfittingState, panel: str, x: float, y: float) -> OverfittingState:
    """The mouse moves the steps on the left, and the training loss on the right."""
    if panel == "steps":
        return replace(state, steps=snap("steps", OverfittingState, x))
    return replace(state, level=clamp("level", OverfittingState, x))


OVERFITTING = Demo(
    OverfittingState,
    compare,
    MatchedFigure,
    read_overfitting,
    presets={
        "c = 0.1": Preset(OverfittingState(), "What is left of the gain where the training loss is the same?"),
        "c = 1": Preset(OverfittingState(max_norm=1.0), "What does a clip do that hardly ever acts?"),
        "early": Preset(OverfittingState(steps=200.0, level=0.45), "Who is ahead before anything overfits?"),
        "c = 0.03": Preset(OverfittingState(max_norm=0.0316), "Is tighter better still?"),
    },
    drag=hold_overfitting,
)

OVERFITTING_PREDICTION = Prediction(
    key="10.d",
    question="60 training points, some of them with a wrong label. After the same number of steps, tightly clipped "
    "runs are better on fresh points than unclipped ones. Now compare both where their training losses are equal. "
    "What becomes of the difference?",
    truth=lambda: what_is_left(),
    options={
        "stays": "it stays: clipping regularises",
        "shrinks": "most of it goes: clipping made training slower",
        "turns": "it turns round: clipping did harm all along",
    },
    explain={
        "stays": "A regulariser would fit the training set as well and still do better on fresh points. Most of the "
        "difference was that the clipped runs had fitted less.",
        "shrinks": "Yes. Short steps fit slowly, and who has fitted less has overfitted less. An unclipped run with a "
        "smaller η does the same.",
        "turns": "Tight clipping does no harm here. It is just slower.",
    },
    evidence=lambda: read_overfitting(compare(OverfittingState())),
)


def what_is_left() -> str:
    """Whether the gain of c = 0.1 at equal steps stays, shrinks below half, or turns round at equal training loss."""
    result = compare(OverfittingState())
    share = result.here["raw"].mean / result.ahead["raw"].mean
    return "stays" if share > 0.75 else "turns" if share < -0.5 else "shrinks"


# --- A training of one's own --------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def own_training(learning_rate: float, max_norm: float, seed: int = 0, n_steps: int = 1000) -> LongRun:
    """The character model with a rate and a threshold of your own, inf for no clipping: to be watched.

    The same numbers give the same run, so a training that was stopped goes on when it is asked for again.
    """
    return characters((seed,), n_steps).train(learning_rate, max_norm, n_steps)


def tell(run: LongRun, max_norm: float, letters: int = 240) -> str:
    """What a run has come to, as text: also one that was stopped."""
    done = run.step
    if not done:
        return "Not a single step is done."
    loss, norms = run.loss[:done, 0, 0], run.grad_norm[:done, 0, 0]
    part = min(50, done)
    text = spelled(run.model.sample(run.params, letters, np.random.default_rng(7))[:, 0, 0])
    lines = [text[k : k + 80].rstrip() for k in range(0, letters, 80)]
    return (
        f"{done} of {run.n_steps} steps; loss {loss[:part].mean():.2f} at first, {loss[-part:].mean():.2f} at the "
        f"end (guessing: {GUESSING:.2f})\n"
        f"norms: median {np.median(norms):.2g}, largest {norms.max():.2g}; "
        f"steps clipped: {np.mean(norms > max_norm):.0%}\n" + "\n".join(lines)
    )
