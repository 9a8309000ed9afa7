"""Lesson 12, the question lab and the capstone: a duel over one data point, and what decides it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gclip_lessons.clinic import PATIENTS, Treatment, score, treat, treatment_from
from gclip_lessons.exercises import Capstone, Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.duel import DuelFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, frozen

# --- Saboteur: one point against one clip -------------------------------------------------------------------

SIDE = 15.0  # the board reaches from −SIDE to SIDE in x and y
N_HONEST, N_STEPS, RATE = 20, 200, 0.3
SURVIVED = 0.5  # a line has survived when it is no further than this from the honest one
GUARDS = ("each example", "batch, by norm", "batch, by value")


@lru_cache(maxsize=1)
def honest() -> np.ndarray:
    """The twenty points (20, 2) that nobody tampers with: y = 1 + 0.8x, give or take 0.3."""
    x = np.linspace(-2, 2, N_HONEST)
    return frozen(np.stack([x, 1 + 0.8 * x + np.random.default_rng(0).normal(0, 0.3, N_HONEST)], axis=-1))


@lru_cache(maxsize=1)
def honest_line() -> tuple[float, float]:
    """Height and slope of the best line through the honest points alone."""
    slope, height = np.polyfit(*honest().T, 1)
    return float(height), float(slope)


def fit(points: np.ndarray, rule: str, max_norm: np.ndarray | float, *, n_steps: int = N_STEPS) -> np.ndarray:
    """Train one line on the honest points and one point more, for each of `points` (R, 2): heights and slopes (R, 2).

    Plain descent on the mean of ½(a + bx − y)² with η = 0.3, clipped by one of GUARDS, or not at all by "none".
    `max_norm` is one number or (R). What overflows becomes inf or NaN.
    """
    x, y = (np.concatenate([np.broadcast_to(h, (len(points), N_HONEST)), p[:, None]], 1) for h, p in _columns(points))
    lengths, c = np.sqrt(1 + x * x), np.broadcast_to(max_norm, len(points))
    a, b = np.zeros(len(points)), np.zeros(len(points))
    with np.errstate(all="ignore"):
        for _ in range(n_steps):
            residual = a[:, None] + b[:, None] * x - y
            if rule == "each example":  # the gradient of one example is residual · (1, x)
                residual *= np.minimum(1, c[:, None] / np.maximum(np.abs(residual) * lengths, 1e-300))
            along_a, along_b = residual.mean(1), (residual * x).mean(1)
            if rule == "batch, by norm":
                factor = np.minimum(1, c / np.maximum(np.hypot(along_a, along_b), 1e-300))
                along_a, along_b = factor * along_a, factor * along_b
            elif rule == "batch, by value":
                along_a, along_b = np.clip(along_a, -c, c), np.clip(along_b, -c, c)
            a, b = a - RATE * along_a, b - RATE * along_b
    return np.stack([a, b], axis=-1)


def _columns(points: np.ndarray) -> zip:
    return zip(honest().T, points.T, strict=True)


def distance(lines: np.ndarray) -> np.ndarray:
    """How far lines (…, 2) lie from the honest one: the root mean square over the honest x, inf for what overflowed."""
    height, slope = np.moveaxis(lines, -1, 0)
    with np.errstate(all="ignore"):
        gaps = (height - honest_line()[0])[..., None] + (slope - honest_line()[1])[..., None] * honest()[:, 0]
        away = np.sqrt(np.mean(gaps * gaps, axis=-1))
    return np.where(np.isfinite(away), away, np.inf)


N_PLACES = 21


@lru_cache(maxsize=1)
def places() -> np.ndarray:
    """Where the saboteur is tried, (N_PLACES², 2), x fastest."""
    along = np.linspace(-SIDE, SIDE, N_PLACES)
    return frozen(np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2))


@lru_cache(maxsize=8)
def _boards(rule: str) -> np.ndarray:
    """The distance that each place does at each stop of the threshold, (stops, places), in one call."""
    stops = np.array(controls_of(DuelState)["max_norm"].values)
    every = np.tile(places(), (len(stops), 1))
    lines = fit(every, rule, np.repeat(stops, len(places())))
    return frozen(distance(lines).reshape(len(stops), -1))


@lru_cache(maxsize=32)
def damage(rule: str, max_norm: float) -> np.ndarray:
    """The distance that a point at each of `places` does against a clip, (places); inf where the run overflows."""
    if rule == "none":
        return frozen(distance(fit(places(), rule, np.inf)))
    stops = controls_of(DuelState)["max_norm"].values
    if max_norm in stops:
        return _boards(rule)[stops.index(max_norm)]
    return frozen(distance(fit(places(), rule, max_norm)))


@dataclass(frozen=True)
class DuelState(State):
    x: float = control(12.0, label="point at x", linear=(-SIDE, SIDE))
    y: float = control(-12.0, label="point at y", linear=(-SIDE, SIDE))
    rule: str = control("batch, by norm", label="clip", choices=GUARDS)
    max_norm: float = control(1.0, label="threshold c", log=(0.01, 100), n_stops=17)


@dataclass(frozen=True)
class DuelResult:
    """Lines (height, slope) "raw" and "clipped" and their `distances`; `board` (N_PLACES, N_PLACES), y along the first
    axis, is 1 where a point would win against this clip, `lost` the share of such places; `shares` of each rule at
    the `thresholds`, and `unclipped`.
    """

    state: DuelState
    lines: dict[str, np.ndarray]
    distances: dict[str, float]
    board: np.ndarray
    lost: float
    thresholds: np.ndarray
    shares: dict[str, np.ndarray]
    unclipped: float
    honest: np.ndarray
    best: tuple[float, float]
    places: np.ndarray
    side: float = SIDE


def duel(state: DuelState) -> DuelResult:
    point = np.array([[state.x, state.y]])
    lines = {"raw": fit(point, "none", np.inf)[0], "clipped": fit(point, state.rule, state.max_norm)[0]}
    board = damage(state.rule, state.max_norm) > SURVIVED
    return DuelResult(
        state=state,
        lines=lines,
        distances={name: float(distance(line)) for name, line in lines.items()},
        board=board.reshape(N_PLACES, N_PLACES).astype(float),
        lost=float(board.mean()),
        thresholds=np.array(controls_of(DuelState)["max_norm"].values),
        shares={rule: (_boards(rule) > SURVIVED).mean(1) for rule in GUARDS},
        unclipped=float((damage("none", np.inf) > SURVIVED).mean()),
        honest=honest(),
        best=honest_line(),
        places=np.linspace(-SIDE, SIDE, N_PLACES),
    )


def far_in_words(value: float) -> str:
    """A distance in three digits, or what stands for it when there is none."""
    return f"{value:.3g}" if value < 1e4 else "more than 10,000" if np.isfinite(value) else "infinitely far"


def read_duel(result: DuelResult) -> str:
    """The live sentence of the duel."""
    state = result.state
    at = f"({state.x:g}, {state.y:g})".replace("-", "−")
    raw, clipped = (result.distances[name] for name in ("raw", "clipped"))
    verdict = "the line survives" if clipped <= SURVIVED else "the saboteur wins"
    return (
        f"One point at {at} moves the line by {far_in_words(raw)} without clipping and by {far_in_words(clipped)} "
        f"clipped at c = {state.max_norm:g} ({state.rule}): {verdict}. From {result.lost:.0%} of the board one point "
        f"would win against this clip."
    )


def hold_point(state: DuelState, panel: str, x: float, y: float) -> DuelState:
    """The mouse moves the saboteur's point on the board, and the threshold beside it."""
    if panel == "board":
        return replace(state, x=clamp("x", DuelState, x), y=clamp("y", DuelState, y))
    stops = controls_of(DuelState)["max_norm"]
    return replace(state, max_norm=stops.values[stops.index(min(max(x, stops.low), stops.high))])


DUEL = Demo(
    DuelState,
    duel,
    DuelFigure,
    read_duel,
    presets={
        "one point": Preset(DuelState(), "The clipped run is finite. Has the clip saved the line?"),
        "each by itself": Preset(
            DuelState(rule="each example"), "What changes when every example is cut before the mean?"
        ),
        "a small c": Preset(
            DuelState(x=3.0, rule="each example", max_norm=0.01),
            "Why is the most careful of the clips beaten everywhere?",
        ),
        "an honest stranger": Preset(
            DuelState(x=12.0, y=10.6, rule="each example", max_norm=0.1),
            "This point tells the truth. What does it do to a run without a clip?",
        ),
    },
    drag=hold_point,
)


def strongest(rule: str, max_norm: float = np.inf) -> tuple[float, float, float]:
    """The machine as saboteur: the place (x, y) on the board from which one point does most harm, and the distance.

    Of several that are equally harmful, to three digits or as runs that diverge, the one nearest to the middle.
    ValueError for a rule that is neither "none" nor in GUARDS, or a threshold that is not on the board.
    """
    if rule != "none":
        DuelState(rule=rule, max_norm=max_norm)
    harm = np.array([float(f"{min(away, 1e4):.3g}") for away in damage(rule, max_norm)])
    worst = np.flatnonzero(harm == harm.max())
    chosen = worst[np.argmin(np.hypot(*places()[worst].T))]
    return (*map(float, places()[chosen]), float(harm[chosen]))


def best_guard(x: float, y: float) -> tuple[str, float, float]:
    """The machine as defender: the rule and threshold that hold the line best against a point, and the distance.

    ValueError for a place that is not on the board.
    """
    DuelState(x=x, y=y)
    stops = np.array(controls_of(DuelState)["max_norm"].values)
    point = np.tile([float(x), float(y)], (len(stops), 1))
    found = [
        (float(d), rule, float(c))
        for rule in GUARDS
        for d, c in zip(distance(fit(point, rule, stops)), stops, strict=True)
    ]
    away, rule, c = min(found)
    return rule, c, away


def bout(point: Sequence[float], rule: str, max_norm: float) -> str:
    """The referee: what becomes of the line when `point` meets a clip that was chosen without seeing it.

    ValueError for a rule that is not in GUARDS, or a place or threshold that is not on the board or no pair.
    """
    if np.shape(point) != (2,):
        raise ValueError(f"point must be a pair (x, y); got {point!r}")
    x, y = point
    state = DuelState(x=x, y=y, rule=rule, max_norm=max_norm)
    away = float(distance(fit(np.array([[state.x, state.y]]), rule, max_norm))[0])
    verdict = "the line survives" if away <= SURVIVED else "the saboteur wins"
    return f"The line is moved by {far_in_words(away)}: {verdict}."


# --- Predictions --------------------------------------------------------------------------------------------


def where_harm_is_done() -> str:
    """From where one point harms a run most whose every example is clipped at c = 1."""
    x, y, _ = strongest("each example", 1.0)
    return (
        "corner"
        if min(abs(x), abs(y)) > 10
        else "tall"
        if abs(y) > 10
        else "near"
        if max(abs(x), abs(y)) < 5
        else "far"
    )


def how_much_harm() -> str:
    """The strongest places against three clips, in numbers."""
    lines = []
    for rule in ("none", "batch, by norm", "each example"):
        x, y, away = strongest(rule, 1.0)
        name, place = "no clip" if rule == "none" else rule, f"({x:g}, {y:g})".replace("-", "−")
        lines.append(f"{name}: {place}, moved by {far_in_words(away)}")
    return "The machine's choice against " + "; ".join(lines) + "."


@lru_cache(maxsize=1)
def how_many_need_no_clip() -> str:
    """Of how many patients nearly all runs learn without any clip, once their features are standardised."""
    well = [treat(name, Treatment(standardize=True)).solved.mean() > 0.95 for name in PATIENTS]
    return ("none", "one", "two", "three")[sum(well)]


PREDICTIONS = {
    "place": Prediction(
        key="12.a",
        question="Now every example is clipped by itself at c = 1, and then the mean is taken. From where does one "
        "point do the most harm?",
        truth=where_harm_is_done,
        options={
            "corner": "from a corner: far out in x and in y",
            "far": "from far out in x",
            "tall": "from high above or far below the others",
            "near": "from among the others",
        },
        explain={
            "corner": "That is the place against a run without a clip: there a far x is a long lever. Clipped by "
            "itself, no example counts for more than c, however far it lies.",
            "far": "A far x makes the gradient long, and that is what is cut. What is left has length c and points "
            "along (1, x): it turns the line where nobody else stands, and the honest points hardly notice.",
            "tall": "A large residual makes the gradient long, and that is what is cut. From beyond a certain height "
            "nothing is gained any more.",
            "near": "Yes. Its gradient has length c, as from everywhere else, but here it pulls at the line where "
            "the honest points stand. Who wants to do harm under such a clip has to come close to the others.",
        },
        evidence=how_much_harm,
    ),
    "patients": Prediction(
        key="12.b",
        question="Three patients lie in the ward. How many of them need no clip at all?",
        truth=how_many_need_no_clip,
        options={"none": "none", "one": "one", "two": "two", "three": "all three"},
        explain={
            "none": "One of them does. Which one, the logs say: does its error end in infinity, or in something else?",
            "one": "Yes. Which one, and what it needs instead, is for you to find out.",
            "two": "Only one. Two of them meet gradients that no scale of the data and no η would keep short.",
            "three": "Only one. Two of them meet gradients that no scale of the data and no η would keep short.",
        },
    ),
}

# --- Exercises ----------------------------------------------------------------------------------------------


def choose_setting(losses: np.ndarray) -> int:
    losses = np.where(np.isfinite(losses), losses, np.inf)
    return int(np.argmin(np.median(losses, axis=1)))


def choose_setting_stub(losses: np.ndarray) -> int:
    # Which row has the best median run? A run that ended in inf or NaN is worse than any other.
    ...


def takes_the_mean(losses: np.ndarray) -> int:
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf).mean(1)))


def takes_the_best_run(losses: np.ndarray) -> int:
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf).min(1)))


def takes_the_worst_run(losses: np.ndarray) -> int:
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf).max(1)))


def leaves_out_what_diverged(losses: np.ndarray) -> int:
    return int(np.argmin([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.inf for row in losses]))


def averages_what_did_not_diverge(losses: np.ndarray) -> int:
    return int(np.argmin([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.inf for row in losses]))


def lets_nan_win(losses: np.ndarray) -> int:
    with np.errstate(invalid="ignore"):
        return int(np.argmin(np.median(losses, axis=1)))


def looks_at_one_seed(losses: np.ndarray) -> int:
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)[:, 0]))


def takes_the_largest(losses: np.ndarray) -> int:
    return int(np.argmax(np.median(np.where(np.isfinite(losses), losses, np.inf), axis=1)))


def takes_the_median_over_settings(losses: np.ndarray) -> int:
    return int(np.argmin(np.median(np.where(np.isfinite(losses), losses, np.inf), axis=0)))


def returns_the_loss(losses: np.ndarray) -> float:
    return float(np.median(np.where(np.isfinite(losses), losses, np.inf), axis=1).min())


def counts_what_diverged_as_zero(losses: np.ndarray) -> int:
    return int(np.argmin(np.median(np.where(np.isfinite(losses), losses, 0.0), axis=1)))


def counts_runs_that_did_not_diverge(losses: np.ndarray) -> int:
    return int(np.argmax(np.isfinite(losses).sum(1)))


def counts_from_one(losses: np.ndarray) -> int:
    return choose_setting(losses) + 1


def finds_the_smallest_of_all(losses: np.ndarray) -> int:
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))


def takes_the_lower_middle(losses: np.ndarray) -> int:
    ordered = np.sort(np.where(np.isfinite(losses), losses, np.inf), axis=1)
    return int(np.argmin(ordered[:, (losses.shape[1] - 1) // 2]))


def takes_the_upper_middle(losses: np.ndarray) -> int:
    ordered = np.sort(np.where(np.isfinite(losses), losses, np.inf), axis=1)
    return int(np.argmin(ordered[:, losses.shape[1] // 2]))


def leaves_out_what_is_nan(losses: np.ndarray) -> int:
    return int(np.argmin([np.median(row[~np.isnan(row)]) if not np.isnan(row).all() else np.inf for row in losses]))


def counts_nan_as_zero(losses: np.ndarray) -> int:
    return int(np.argmin(np.median(np.nan_to_num(losses, posinf=np.inf), axis=1)))


def takes_the_mean_as_it_is(losses: np.ndarray) -> int:
    return int(np.argmin(losses.mean(1)))


def asks_a_quantile_of_infinity(losses: np.ndarray) -> int:
    with np.errstate(invalid="ignore"):
        return int(np.argmin(np.quantile(np.where(np.isfinite(losses), losses, np.inf), 0.5, axis=1)))


def lets_every_seed_vote(losses: np.ndarray) -> int:
    return int(np.bincount(np.argmin(np.where(np.isfinite(losses), losses, np.inf), axis=0)).argmax())


def rules_out_who_ever_diverged(losses: np.ndarray) -> int:
    return int(np.argmin([np.median(row) if np.isfinite(row).all() else np.inf for row in losses]))


def most_harm(place: str, max_norm: float, n_examples: int) -> float:
    return {"each example": 2 * max_norm / n_examples, "batch": 2 * max_norm, "none": np.inf}[place]


def most_harm_stub(place: str, max_norm: float, n_examples: int) -> float:
    # `place` is "each example", "batch" or "none". How far can the clipped mean gradient move, at most?
    ...


def forgets_that_one_leaves(place: str, max_norm: float, n_examples: int) -> float:
    return most_harm(place, max_norm, n_examples) / 2


def forgets_the_mean(place: str, max_norm: float, n_examples: int) -> float:
    return np.inf if place == "none" else 2 * max_norm


def divides_the_batch_too(place: str, max_norm: float, n_examples: int) -> float:
    return np.inf if place == "none" else 2 * max_norm / n_examples


def swaps_the_places(place: str, max_norm: float, n_examples: int) -> float:
    other = {"each example": "batch", "batch": "each example", "none": "none"}[place]
    return most_harm(other, max_norm, n_examples)


def averages_like_noise(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm / np.sqrt(n_examples) if place == "each example" else most_harm(place, max_norm, n_examples)


def believes_the_batch_hides_one(place: str, max_norm: float, n_examples: int) -> float:
    return 0.0 if place == "batch" else most_harm(place, max_norm, n_examples)


def trusts_the_unclipped(place: str, max_norm: float, n_examples: int) -> float:
    return 0.0 if place == "none" else most_harm(place, max_norm, n_examples)


def clips_the_unclipped(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm if place == "none" else most_harm(place, max_norm, n_examples)


def averages_the_unclipped(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm / n_examples if place == "none" else most_harm(place, max_norm, n_examples)


def leaves_one_out_of_the_mean(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm / (n_examples - 1) if place == "each example" else most_harm(place, max_norm, n_examples)


def lets_the_batch_move_by_c(place: str, max_norm: float, n_examples: int) -> float:
    return max_norm if place == "batch" else most_harm(place, max_norm, n_examples)


def turns_by_a_right_angle(place: str, max_norm: float, n_examples: int) -> float:
    return most_harm(place, max_norm, n_examples) / np.sqrt(2)


def takes_the_threshold_for_one(place: str, max_norm: float, n_examples: int) -> float:
    return most_harm(place, 1.0, n_examples)


def averages_the_batch_like_noise(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm / np.sqrt(n_examples) if place == "batch" else most_harm(place, max_norm, n_examples)


def has_one_bound_for_all(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm / n_examples


def lets_the_others_outvote_it(place: str, max_norm: float, n_examples: int) -> float:
    return max_norm / n_examples if place == "batch" else most_harm(place, max_norm, n_examples)


def adds_a_threshold_for_every_example(place: str, max_norm: float, n_examples: int) -> float:
    return 2 * max_norm * n_examples if place == "each example" else most_harm(place, max_norm, n_examples)


_INF, _NAN = np.inf, np.nan

EXERCISES = {
    "choose_setting": Exercise(
        key="12.1",
        title="Choose by evidence",
        solution=choose_setting,
        stub=choose_setting_stub,
        probes=(
            Probe((np.array([[1.0, 1.0, 1.0], [0.9, 0.9, 9.0], [2.0, 2.0, 2.0]]),), "one bad seed in the best row"),
            Probe((np.array([[0.5, 3.0, 3.0], [1.0, 1.0, 1.0], [5.0, 0.1, 5.0]]),), "two lucky seeds"),
            Probe(
                (np.array([[0.1, _INF, _INF], [1.0, 1.0, 2.0], [0.2, _INF, 0.2]]),), "two rows with runs that diverged"
            ),
            Probe((np.array([[0.1, _NAN, _NAN], [3.0, 2.0, 2.0], [4.0, 4.0, 1.0]]),), "a row that ends in NaN"),
            Probe((np.array([[5.0, 5.0, 5.0, 5.0], [4.0, 4.0, 9.0, 9.0], [3.0, 3.0, 3.5, _NAN]]),), "four seeds"),
            Probe((np.array([[2.0, 0.3, 2.0], [2.5, 0.2, 0.3], [0.1, 2.0, 2.2], [1.0, 1.1, 1.2]]),), "four settings"),
            Probe((np.array([[_INF, _INF], [_INF, _INF], [7.0, 8.0]]),), "all but one row diverged"),
            Probe(
                (np.array([[6.0, 6.0, 6.0], [0.0, 7.0, 7.0], [5.0, 5.0, _INF]]),), "one diverged run in the best row"
            ),
            Probe((np.array([[4.0, 4.0, 4.0, 4.0], [1.0, 1.0, 6.0, 9.0], [4.4, 4.4, 4.4, 4.4]]),), "a wide middle"),
            Probe((np.array([[1.0, 1.0, 8.0, 8.0], [4.0, 4.0, 4.0, 4.0], [3.9, 3.9, 9.0, 9.0]]),), "two and two"),
            Probe((np.array([[2.0, 4.0, _NAN], [2.5, 2.5, 2.6], [3.5, 3.5, _INF]]),), "one NaN beside two good runs"),
            Probe((np.array([[1.0, 1.0, 1.1], [5.0, 0.9, 0.9], [5.0, 5.0, _NAN]]),), "a NaN in the worst row"),
        ),
        misconceptions=(
            Misconception(
                takes_the_mean,
                "That is the mean: one bad run, or one that diverged, then decides alone. The median asks for what a "
                "typical run does.",
            ),
            Misconception(
                takes_the_best_run,
                "That is the best single run, and with enough seeds every setting has a lucky one. Lesson 05 met "
                "such a zigzag.",
            ),
            Misconception(
                takes_the_worst_run,
                "That judges each setting by its worst run. The task asks for the typical one, the median.",
            ),
            Misconception(
                leaves_out_what_diverged,
                "Runs that diverged are left out, so a setting that mostly diverges looks good by the few that did "
                "not. A run that diverged is the worst result there is: count it as infinity.",
            ),
            Misconception(
                averages_what_did_not_diverge,
                "That is the mean of the runs that were lucky. What diverged has to count, as the worst result there "
                "is.",
            ),
            Misconception(
                lets_nan_win,
                "`argmin` takes NaN for the smallest of all. Turn NaN into infinity before you compare.",
            ),
            Misconception(looks_at_one_seed, "That looks at the first seed alone. One run proves nothing."),
            Misconception(
                takes_the_largest, "That is the largest median. A loss is better when it is smaller: `argmin`."
            ),
            Misconception(
                takes_the_median_over_settings,
                "The median runs along the wrong axis. Seeds are the second: `axis=1` leaves one number for each "
                "setting.",
            ),
            Misconception(
                returns_the_loss, "That is the loss of the best setting. Its *position* was asked for: `argmin`."
            ),
            Misconception(
                counts_what_diverged_as_zero,
                "A run that diverged counts as 0 here, as if it were perfect. It should be infinity.",
            ),
            Misconception(
                counts_runs_that_did_not_diverge,
                "That is the setting in which most runs stay finite. Finite is not learned: compare the losses.",
            ),
            Misconception(counts_from_one, "One too many: Python counts positions from 0."),
            Misconception(
                takes_the_lower_middle,
                "With an even number of seeds there are two in the middle. That takes the better of them; the median "
                "is their mean.",
            ),
            Misconception(
                takes_the_upper_middle,
                "With an even number of seeds there are two in the middle. That takes the worse of them; the median "
                "is their mean.",
            ),
            Misconception(
                leaves_out_what_is_nan,
                "NaN is left out, as `np.nanmedian` does, so a run that ended in NaN costs its setting nothing. It "
                "should count as infinity.",
            ),
            Misconception(
                counts_nan_as_zero,
                "`np.nan_to_num` makes 0 of NaN: the best loss there is, for a run that diverged. Make it infinity.",
            ),
            Misconception(
                takes_the_mean_as_it_is,
                "That is the mean, and where a row holds NaN its mean is NaN, which `argmin` takes for the smallest. "
                "Turn NaN into infinity, then take the median.",
            ),
            Misconception(
                asks_a_quantile_of_infinity,
                "`np.quantile` and `np.percentile` subtract neighbours, and ∞ − ∞ is NaN, which `argmin` takes for the "
                "smallest. `np.median` takes infinity as it is.",
            ),
            Misconception(
                lets_every_seed_vote,
                "Every seed votes for its best setting here. A setting can win many seeds by a little and lose the "
                "others by much; compare medians.",
            ),
            Misconception(
                rules_out_who_ever_diverged,
                "One diverged run rules a setting out here. It is the worst of its runs, no more: the median may still "
                "be the best.",
            ),
            Misconception(
                finds_the_smallest_of_all,
                "`argmin` over all numbers gives a position in the whole table, and of one lucky run. First one "
                "number for each row.",
            ),
        ),
        hints=(
            "What is a run worth that ended in NaN? And which of mean, median and minimum does one odd run not move?",
            "Replace what is not finite by infinity with `np.where(np.isfinite(losses), losses, np.inf)`, then take "
            "one median a row.",
            "`return int(np.argmin(np.median(…, axis=1)))`.",
        ),
        explanation="A setting is judged by what it does for a typical seed, and a run that diverged is the worst "
        "that it can do. With an even number of seeds the median is the mean of the two in the middle; one infinity "
        "there makes it infinite, as it should.",
    ),
    "most_harm": Exercise(
        key="12.2",
        title="How much can one example do?",
        solution=most_harm,
        stub=most_harm_stub,
        probes=(
            Probe(("each example", 1.0, 20), "each of 20 examples, c = 1"),
            Probe(("each example", 0.5, 4), "each of 4 examples, c = ½"),
            Probe(("batch", 1.0, 20), "the batch, c = 1"),
            Probe(("batch", 3.0, 5), "the batch, c = 3"),
            Probe(("none", 1.0, 20), "no clip"),
            Probe(("none", 5.0, 3), "no clip, three examples"),
            Probe(("each example", 2.0, 7), "each of 7 examples, c = 2"),
        ),
        misconceptions=(
            Misconception(
                forgets_that_one_leaves,
                "Half of it. The old gradient leaves and the new one comes: from one side of the ball of radius c to "
                "the other it is 2c.",
            ),
            Misconception(
                forgets_the_mean,
                "That is the change of one clipped gradient, 2c. In the mean of B it counts for 1/B of that.",
            ),
            Misconception(
                divides_the_batch_too,
                "A batch clipped whole is different: before the clip one example can move the mean anywhere, and so "
                "turn the clipped gradient from one side of the ball to the other. Nothing is divided by B.",
            ),
            Misconception(
                swaps_the_places,
                "The two places are swapped. Whose gradients are cut *before* the mean, there one example counts for "
                "1/B.",
            ),
            Misconception(
                averages_like_noise,
                "√B is for independent noise that partly cancels. This example is chosen to do harm: 1/B.",
            ),
            Misconception(
                believes_the_batch_hides_one,
                "A batch does not hide one example: with a gradient long enough it alone decides where the mean "
                "points.",
            ),
            Misconception(
                trusts_the_unclipped, "Without a clip there is no bound: a gradient can be as long as it likes."
            ),
            Misconception(clips_the_unclipped, "With “none” nothing is clipped, so c bounds nothing."),
            Misconception(
                averages_the_unclipped,
                "The mean divides by B, and an unclipped gradient can be longer than any B times c.",
            ),
            Misconception(leaves_one_out_of_the_mean, "The mean is over all B examples, the replaced one included."),
            Misconception(
                lets_the_batch_move_by_c,
                "Within the ball of radius c the clipped gradient can go from one side to the other: that is 2c.",
            ),
            Misconception(
                turns_by_a_right_angle,
                "√2·c is the distance of two gradients at right angles. Opposite ones are 2c apart, and that is the "
                "most.",
            ),
            Misconception(takes_the_threshold_for_one, "That is right for c = 1 alone: the bound grows with c."),
            Misconception(
                averages_the_batch_like_noise,
                "Averaging does not protect a batch that is clipped whole: one gradient, long enough, decides where "
                "the mean points, however many others there are.",
            ),
            Misconception(
                has_one_bound_for_all,
                "One bound for all three places. It holds for one of them: where is each example cut by itself?",
            ),
            Misconception(
                lets_the_others_outvote_it,
                "A gradient that is long enough outvotes all others in the mean: clipped whole, it can go from one "
                "side of the ball to the other.",
            ),
            Misconception(
                adds_a_threshold_for_every_example,
                "Only one example is replaced. The others stay, and the mean divides by B.",
            ),
        ),
        hints=(
            "A clipped gradient lies in a ball of radius c. How far apart can two points of that ball be?",
            "Clipped one by one, the replaced example moves by at most that, and counts for 1/B in the mean. Clipped "
            "whole, the mean itself can be anywhere before the clip.",
            "2c/B for each example, 2c for the batch, and infinity without a clip.",
        ),
        explanation="This is why a clip on each example holds the line and one on the batch does not: the harm of "
        "one point shrinks with the number of honest ones. With noise added, the same bound is what DP-SGD builds on "
        "(Abadi and others, 2016).",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "12",
    (
        Question(
            "The loss of a new model is infinite after five steps. What do you look at first?",
            (
                Option(
                    "At c: lower it until the loss stays finite",
                    "Finite is not learned, and the cause stays. Data first.",
                ),
                Option("At the scale of the data", "Yes: then at η, and then at clipping.", right=True),
                Option(
                    "At the optimiser: Adam does not overflow", "It hides the scale for a while, and the cause stays."
                ),
                Option("At the seed", "A cause that depends on the seed shows in some runs. This one would come back."),
            ),
        ),
        Question(
            "A batch of 256 holds one example with a wrong label and an enormous gradient. The batch gradient is "
            "clipped at c = 1. What does the clip do?",
            (
                Option(
                    "It takes the bad example out",
                    "It shortens the mean of all 256, in which the bad one decides the direction. The others are cut "
                    "with it.",
                ),
                Option(
                    "It keeps the step short, and the bad example decides where it goes",
                    "Yes. To take its weight away, clip each example before the mean, or mend the label.",
                    right=True,
                ),
                Option(
                    "It divides the bad example by 256", "The mean does that. It may still be far longer than the rest."
                ),
                Option(
                    "Nothing, since the loss is averaged", "An average of 256 with one enormous member is enormous."
                ),
            ),
        ),
        Question(
            "A sweep of 30 pairs (η, c), one seed each, has a clear winner. What do you know?",
            (
                Option(
                    "The best pair",
                    "Of thirty lucky draws one is the luckiest. Lesson 05 shows a zigzag that was luck.",
                ),
                Option(
                    "Which pairs to run again with more seeds, and then to compare by their median on fresh ones",
                    "Yes: a winner is chosen on some seeds and judged on others.",
                    right=True,
                ),
                Option("That clipping helps here", "Compare with the best η *without* a clip, over seeds."),
                Option(
                    "The best c for every η", "Where every step is clipped only ηc matters: c means little by itself."
                ),
            ),
        ),
        Question(
            "A paper trains with c = 1. You take c = 1 for your model. What else must be the same for that to mean "
            "anything?",
            (
                Option(
                    "Nothing: norms are norms", "A norm grows with the number of parameters and with a summed loss."
                ),
                Option("The random seed", "It changes single runs, not the scale of all norms."),
                Option(
                    "η, the optimiser, sum or mean in the loss, and the size of the model",
                    "Yes. Log your own norms before clipping instead, and choose from them.",
                    right=True,
                ),
                Option("The number of steps", "It says how long the run is, not how long its gradients are."),
            ),
        ),
    ),
)

# --- The capstone, as the grader scores it ------------------------------------------------------------------


def score_of(treatments: Any, seeds: Sequence[int]) -> Mapping[str, float]:
    """The share of each patient's runs that learn, over `seeds`; ValueError or TypeError for what is no answer."""
    if not isinstance(treatments, dict) or set(treatments) != set(PATIENTS):
        raise ValueError(f"`treatments` must be a dictionary with a treatment for {', '.join(PATIENTS)}.")
    chosen = {patient: treatment_from(treatments[patient]) for patient in PATIENTS}
    if all(treatment == Treatment() for treatment in chosen.values()):
        raise ValueError("Nobody is treated yet.")
    return {f"Patient {patient}": score(patient, treatment, seeds) for patient, treatment in chosen.items()}


CAPSTONE = Capstone("12.capstone", "Three patients", "treatments", score_of)

LESSON = Lesson("12", "The question lab and capstone", {"duel": DUEL}, PREDICTIONS, EXERCISES, QUIZ, CAPSTONE)
