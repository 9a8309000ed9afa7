"""Lesson 10, training something real: networks that diverge without clipping, and ones that do not care."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.characters import CharactersFigure
from gclip_lessons.figures.rates import RatesFigure
from gclip_lessons.figures.temporal_order import OrderFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, control, controls_of, snap
from gclip_lessons.lessons.experiments10 import (
    CHANCE,
    CHARACTER_STEPS,
    GUESSING,
    ORDER_STEPS,
    RATES,
    SOLVED,
    THRESHOLDS,
    Task,
    characters,
    record,
    spelled,
    temporal_order,
)
from gclip_lessons.lessons.side_trips10 import OVERFITTING, OVERFITTING_PREDICTION
from gclip_lessons.training import LongRun

# --- A character model --------------------------------------------------------------------------------------

SEEDS = (0, 1, 2)
FAST, SLOW = 5.0, 1.0  # learning rates
WRITTEN_EVERY, LETTERS = 25, 176
_MEAN_OF = 20  # steps, for a calmer curve


@dataclass(frozen=True)
class CharactersState(State):
    max_norm: float = control(0.1, label="threshold c", log=(0.01, 10), n_stops=4)
    seed: int = control(0, label="seed", whole=(SEEDS[0], SEEDS[-1]))
    step: int = control(CHARACTER_STEPS, label="step", whole=(0, CHARACTER_STEPS), play=True)


@dataclass(frozen=True)
class CharactersResult:
    """Losses (N+1) and gradient norms (N) of the runs "raw", "clipped" and, losses alone, "slow"; what the first two
    write after `written_after` steps, the last moment before the state's step at which they were asked to.
    """

    state: CharactersState
    losses: dict[str, np.ndarray]
    norms: dict[str, np.ndarray]
    texts: dict[str, str]
    written_after: int
    guessing: float = GUESSING


STOPS = controls_of(CharactersState)["max_norm"].values
# The learning rate and the threshold of each setting that is trained at once: unclipped, slow, and the slider's stops.
SETTINGS = (FAST, SLOW, *(FAST for _ in STOPS)), (np.inf, np.inf, *STOPS)


@lru_cache(maxsize=1)
def character_runs() -> LongRun:
    """Every setting with every seed, (settings, seeds), not begun: to be watched, or finished by the explorer."""
    return _character_run(*SETTINGS)


def _character_run(rates: tuple[float, ...], thresholds: tuple[float, ...]) -> LongRun:
    keep = range(0, CHARACTER_STEPS + 1, WRITTEN_EVERY)
    return characters(SEEDS, CHARACTER_STEPS).train(np.array(rates), np.array(thresholds), CHARACTER_STEPS, keep)


@lru_cache(maxsize=8)
def _typed(max_norm: float) -> LongRun:
    """The runs of a threshold that no stop has."""
    return _character_run((FAST,), (max_norm,))


@lru_cache(maxsize=8)
def _written(run: LongRun) -> np.ndarray:
    """What the models of a finished run write, (letters, moments, settings, seeds)."""
    moments = np.stack([run.kept[step] for step in sorted(run.kept)])
    return run.model.sample(moments, LETTERS, np.random.default_rng(7))


def read_aloud(state: CharactersState) -> CharactersResult:
    """What is known of the runs at the state's step."""
    runs = character_runs().finish()
    places = {"raw": (runs, 0), "slow": (runs, 1)}
    if state.max_norm in STOPS:
        places["clipped"] = runs, 2 + STOPS.index(state.max_norm)
    else:
        places["clipped"] = _typed(state.max_norm).finish(), 0
    moment = state.step // WRITTEN_EVERY
    return CharactersResult(
        state=state,
        losses={name: _calmer(run.loss[:, setting, state.seed]) for name, (run, setting) in places.items()},
        norms={name: run.grad_norm[:, setting, state.seed] for name, (run, setting) in places.items()},
        texts={name: spelled(_written(run)[:, moment, setting, state.seed]) for name, (run, setting) in places.items()},
        written_after=WRITTEN_EVERY * moment,
    )


def _calmer(loss: np.ndarray) -> np.ndarray:
    """After k steps the mean loss of the last 20, for k = 0 … N; after none, the first loss."""
    total = np.concatenate([[0.0], np.cumsum(loss)])
    k = np.arange(1, len(total))
    first = np.maximum(0, k - _MEAN_OF)
    return np.concatenate([loss[:1], (total[k] - total[first]) / (k - first)])


def read_characters(result: CharactersResult) -> str:
    """The live sentence of the character model."""
    state = result.state
    loss = {name: values[state.step] for name, values in result.losses.items()}
    said = {
        name: f"a loss of {value:.2f}" if value < GUESSING else f"a loss no better than guessing ({GUESSING:.2f})"
        for name, value in loss.items()
    }
    clipped = result.norms["clipped"][: state.step] > state.max_norm
    share = f"; {share_of(clipped)} of its steps were clipped" if state.step else ""
    return (
        f"After {state.step} steps at η = {FAST:g}: unclipped, {said['raw']}; clipped at c = {state.max_norm:g}, "
        f"{said['clipped']}{share}."
    )


def share_of(flags: np.ndarray) -> str:
    """The share of true flags in a word, which the rounding of another machine does not change."""
    share = float(np.mean(flags))
    if share in (0, 1):
        return "all" if share else "none"
    return "few" if share < 0.1 else "most" if share > 0.6 else "some"


def hold_characters(state: CharactersState, panel: str, x: float, y: float) -> CharactersState:
    """The mouse moves the step on the left, and the threshold on the right."""
    if panel == "loss":
        return replace(state, step=snap("step", CharactersState, x))
    return replace(state, max_norm=snap("max_norm", CharactersState, y))


CHARACTERS = Demo(
    CharactersState,
    read_aloud,
    CharactersFigure,
    read_characters,
    presets={
        "c = 0.1": Preset(CharactersState(), "Which of the two models writes English?"),
        "the first 50 steps": Preset(CharactersState(step=50), "When do the two part?"),
        "c = 1": Preset(CharactersState(max_norm=1.0), "Most recipes clip at 1. Does it help here?"),
        "c = 10": Preset(CharactersState(max_norm=10.0), "How much does a clip help that acts once in a while?"),
        "c = 0.01": Preset(CharactersState(max_norm=0.01), "What does it cost to be ten times more careful?"),
    },
    drag=hold_characters,
)


# --- Temporal order -----------------------------------------------------------------------------------------

HEADLINE = "0.3"
HALF_WAY = 15  # hundred steps
TWENTY = slice(20)  # of the seeds that were measured: as many lines as a picture can hold


@dataclass(frozen=True)
class OrderState(State):
    learning_rate: str = control(HEADLINE, label="learning rate η", choices=tuple(f"{eta:g}" for eta in RATES["order"]))
    max_norm: float = control(1.0, label="threshold c", log=(THRESHOLDS[0], THRESHOLDS[-1]), n_stops=len(THRESHOLDS))
    hundreds: int = control(30, label="steps ÷ 100", whole=(0, 30), play=True)


@dataclass(frozen=True)
class OrderResult:
    """Accuracies (checkpoints, seeds) of "raw" and "clipped" after each of `steps`; at the state's step, how many seeds
    are `solved` at each of `thresholds`, `raw_solved` without clipping, and `count` at `threshold`, the one that was
    measured nearest to the state's.
    """

    state: OrderState
    steps: np.ndarray
    accuracy: dict[str, np.ndarray]
    thresholds: np.ndarray
    solved: np.ndarray
    raw_solved: int
    threshold: float
    count: int
    chance: float = CHANCE
    solved_at: float = SOLVED


def measured(state: OrderState) -> OrderResult:
    """Look up what was measured."""
    accuracy = record()["order"][RATES["order"].index(float(state.learning_rate)), ..., TWENTY]
    here = controls_of(OrderState)["max_norm"].index(state.max_norm)
    solved = (accuracy[state.hundreds] > SOLVED).sum(-1)
    return OrderResult(
        state=state,
        steps=100 * np.arange(len(accuracy)),
        accuracy={"raw": accuracy[:, -1], "clipped": accuracy[:, here]},
        thresholds=np.array(THRESHOLDS),
        solved=solved[:-1],
        raw_solved=int(solved[-1]),
        threshold=THRESHOLDS[here],
        count=int(solved[here]),
    )


def read_order(result: OrderResult) -> str:
    """The live sentence of the temporal-order task."""
    state, seeds = result.state, result.accuracy["raw"].shape[1]
    nearest = "" if result.threshold == state.max_norm else f" (measured nearest to your {state.max_norm:g})"
    mean = {name: values[state.hundreds].mean() for name, values in result.accuracy.items()}
    return (
        f"After {result.steps[state.hundreds]} steps at η = {state.learning_rate}, {result.raw_solved} of {seeds} "
        f"seeds have solved the task unclipped and {result.count} of {seeds} clipped at c = "
        f"{result.threshold:g}{nearest}; the mean accuracy is {mean['raw']:.2f} and {mean['clipped']:.2f}."
    )


def hold_order(state: OrderState, panel: str, x: float, y: float) -> OrderState:
    """The mouse moves the step on the left, and the threshold on the right."""
    if panel == "accuracy":
        return replace(state, hundreds=snap("hundreds", OrderState, x / 100))
    return replace(state, max_norm=snap("max_norm", OrderState, x))


ORDER = Demo(
    OrderState,
    measured,
    OrderFigure,
    read_order,
    presets={
        "η = 0.3, c = 1": Preset(OrderState(), "How many of twenty does the clip rescue?"),
        "c = 10": Preset(OrderState(max_norm=10.0), "And a clip that cuts only the largest?"),
        "c = 0.1": Preset(OrderState(max_norm=0.1), "Is ten times more careful ten times safer?"),
        "a small η": Preset(OrderState(learning_rate="0.01"), "Does it need the clip at all?"),
        "η = 1": Preset(OrderState(learning_rate="1"), "At which c would this η work?"),
    },
    drag=hold_order,
)


@lru_cache(maxsize=1)
def order_runs() -> LongRun:
    """Temporal order at η = 0.3, unclipped and at c = 1, with the first five seeds of the record: not begun."""
    return order_task().train(float(HEADLINE), np.array([np.inf, 1.0]), ORDER_STEPS)


@lru_cache(maxsize=1)
def order_task() -> Task:
    """The task of `order_runs`."""
    return temporal_order(range(5), ORDER_STEPS)


def wilson(successes: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share after Wilson (J. American Statistical Association, 1927): (low, high)."""
    z2 = 1.96**2
    centre, spread = successes + z2 / 2, np.sqrt(z2) * np.sqrt(successes * (of - successes) / of + z2 / 4)
    return float((centre - spread) / (of + z2)), float((centre + spread) / (of + z2))


# --- Three tasks at every learning rate ---------------------------------------------------------------------


@dataclass(frozen=True)
class RatesState(State):
    max_norm: float = control(0.1, label="threshold c", log=(THRESHOLDS[0], THRESHOLDS[-1]), n_stops=len(THRESHOLDS))


@dataclass(frozen=True)
class Reached:
    """What the seeds reach at each learning rate, (rates): the middle, the lowest and the highest of them."""

    middle: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


@dataclass(frozen=True)
class RatesResult:
    """For each task its learning rates and what "raw" and "clipped" runs reach; `threshold` is the one measured nearest
    to the state's.
    """

    state: RatesState
    rates: dict[str, tuple[float, ...]]
    reached: dict[str, dict[str, Reached]]
    threshold: float


@lru_cache(maxsize=1)
def reached_by_seed() -> dict[str, np.ndarray]:
    """What each seed reaches, (rates, thresholds and inf, seeds): loss of characters, 1 or 0 for order, solved or
    not after 1500 steps and after twice as many ("longer"), accuracy on two classes.
    """
    kept = record()
    solved = (kept["order"][:, [HALF_WAY, -1]] > SOLVED).astype(float)
    return {
        "characters": kept["characters"],
        "order": solved[:, 0],
        "longer": solved[:, 1],
        "classes": kept["classes"],
    }


def at_every_rate(state: RatesState) -> RatesResult:
    """Look up what was measured."""
    here = controls_of(RatesState)["max_norm"].index(state.max_norm)
    reached: dict[str, dict[str, Reached]] = {}
    for task in RATES:
        values = reached_by_seed()[task]
        for name, column in (("raw", -1), ("clipped", here)):
            seeds = values[:, column]
            middle = seeds.sum(-1) if task == "order" else np.median(seeds, axis=-1)
            reached.setdefault(task, {})[name] = Reached(middle, seeds.min(-1), seeds.max(-1))
    return RatesResult(state, RATES, reached, THRESHOLDS[here])


def read_rates(result: RatesResult) -> str:
    """The live sentence of the three tasks."""
    parts = []
    for task, word in (("characters", "loss"), ("order", "solved"), ("classes", "accuracy")):
        pick = np.argmin if task == "characters" else np.argmax
        best = {}
        for name, values in result.reached[task].items():
            at = int(pick(values.middle))
            best[name] = f"{values.middle[at]:.3g} {{}} (η = {result.rates[task][at]:g})"
        parts.append(f"{word} {best['raw'].format('unclipped')} and {best['clipped'].format('clipped')}")
    nearest = "" if result.threshold == result.state.max_norm else f" (measured nearest to {result.state.max_norm:g})"
    return f"Each way at its own best η, clipped at c = {result.threshold:g}{nearest}: {'; '.join(parts)}."


RATES_DEMO = Demo(
    RatesState,
    at_every_rate,
    RatesFigure,
    read_rates,
    presets={
        "c = 0.1": Preset(RatesState(), "Where do the two curves part, and which of them is the better at its best?"),
        "c = 1": Preset(RatesState(max_norm=1.0), "On which of the three tasks does the best get better?"),
        "c = 10": Preset(RatesState(max_norm=10.0), "Where does a clip that hardly acts still help?"),
        "c = 0.01": Preset(RatesState(max_norm=0.01), "Which η does a tiny threshold ask for?"),
    },
)


# What is compared in each task, in words.
SCORES = {
    "characters": "characters, loss",
    "order": "order, solved by 1500",
    "longer": "order, solved by 3000",
    "classes": "two classes, accuracy",
}


# What counts as working at a learning rate, in words and as a function of what the seeds reach, (..., seeds) -> (...).
WORKS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "characters": ("characters, loss below 2", lambda seeds: np.median(seeds, axis=-1) < 2),
    "order": ("order, 45 of 50 by 1500", lambda seeds: seeds.sum(-1) >= 45),
    "classes": ("two classes, accuracy above 0.94", lambda seeds: np.median(seeds, axis=-1) > 0.94),
}


@dataclass(frozen=True)
class Best:
    """The best setting without clipping and the best with it, chosen on half the seeds, and each seed of the other half
    with both: `unclipped` and `clipped` (seeds).
    """

    rate: float
    clipped_rate: float
    threshold: float
    unclipped: np.ndarray
    clipped: np.ndarray

    @property
    def gain(self) -> tuple[float, float]:
        """The mean gain by clipping and twice its standard error, over the seeds: positive where clipping is better."""
        gains = self.clipped - self.unclipped
        return float(gains.mean()), float(2 * gains.std(ddof=1) / np.sqrt(len(gains)))


def best_of(task: str) -> Best:
    """The best η without clipping against the best (η, c), of what was measured; scores are such that high is good."""
    scores = -reached_by_seed()[task] if task == "characters" else reached_by_seed()[task]
    half = scores.shape[-1] // 2
    chosen_by, judged = scores[..., :half].mean(-1), scores[..., half:]
    raw = int(chosen_by[:, -1].argmax())
    rate, threshold = np.unravel_index(chosen_by[:, :-1].argmax(), chosen_by[:, :-1].shape)
    rates = RATES["order" if task == "longer" else task]
    return Best(rates[raw], rates[rate], THRESHOLDS[threshold], judged[raw, -1], judged[rate, threshold])


# --- Predictions --------------------------------------------------------------------------------------------


def last_losses(max_norm: float) -> np.ndarray:
    """The mean loss of the last 50 steps at η = 5, (seeds), for a stop of the threshold slider."""
    return character_runs().finish().loss[-50:, 2 + STOPS.index(max_norm)].mean(0)


def what_clipping_at_one_does() -> str:
    """Whether at η = 5 the runs clipped at c = 1 end below those clipped at 0.1, near them, or above guessing."""
    careful, usual = last_losses(0.1), last_losses(1.0)
    if not (usual < GUESSING).any():
        return "lost"
    return "better" if (usual < careful - 0.05).all() else "same"


def gain_in_words() -> str:
    """Whether on characters the best clipped setting is better than the best unclipped by a tenth, or worse."""
    gain = best_of("characters").gain[0]
    return "much" if gain > 0.1 else "worse" if gain < -0.1 else "little"


def solved_by(max_norm: float) -> int:
    """How many of the twenty seeds have solved temporal order after 3000 steps at η = 0.3; inf for no clipping."""
    if max_norm == np.inf:
        return measured(OrderState()).raw_solved
    return measured(OrderState(max_norm=max_norm)).count


PREDICTIONS = {
    "one": Prediction(
        key="10.a",
        question="At η = 5 the character model diverges without clipping and learns with c = 0.1. Most recipes in "
        "print clip at c = 1. What happens with c = 1 at this η?",
        truth=what_clipping_at_one_does,
        options={
            "better": "it learns faster: steps may be longer",
            "same": "it learns about as well: clipping is on",
            "lost": "it ends no better than guessing",
        },
        explain={
            "better": "Steps are longer, up to ηc = 5, and that is the trouble. At c = 0.1 they were 0.5 long.",
            "same": "Clipping is on and acts at nearly every step, but a clipped step is ηc long: ten times as long as "
            "with c = 0.1. What c can do depends on η.",
            "lost": "Yes. A clipped step is ηc long, here 5 instead of 0.5, and this network does not survive it. A "
            "threshold without its η says nothing.",
        },
        evidence=lambda: (
            f"The mean loss of the last 50 steps, over {len(SEEDS)} seeds: {last_losses(0.1).min():.1f} to "
            f"{last_losses(0.1).max():.1f} with c = 0.1; with c = 1, {int((last_losses(1.0) > GUESSING).sum())} of "
            f"{len(SEEDS)} end above guessing, {GUESSING:.2f}."
        ),
    ),
    "twenty": Prediction(
        key="10.b",
        question="Temporal order, η = 0.3, 3000 steps. Of twenty seeds not one solves the task without clipping. The "
        "same twenty are trained again from the same starts on the same sequences, clipped at c = 1. How many solve "
        "it?",
        truth=lambda: solved_by(1.0),
        unit="of 20",
        tolerance=0.1,
        explain={
            "low": "More than that. The task was never too hard for the network: what failed was the step after a "
            "large gradient, and that is just what the clip shortens.",
            "close": "Yes, all or nearly all: the network could do it all along. What failed was the step after a "
            "large gradient.",
            "high": "There are only twenty.",
        },
        evidence=lambda: (
            f"Solved after 3000 steps at η = 0.3: {solved_by(np.inf)} of 20 unclipped, {solved_by(1.0)} of 20 at c = 1."
        ),
    ),
    "gain": Prediction(
        key="10.c",
        question="The character model again. Now each way gets its own best learning rate: the best unclipped η "
        "against the best clipped (η, c). By how much is the clipped model better?",
        truth=gain_in_words,
        options={
            "much": "by much: without clipping it diverged",
            "little": "by next to nothing",
            "worse": "it is worse: clipping throws gradient away",
        },
        explain={
            "much": "It diverged at η = 5. At η = 1 it did not, and learns nearly as much in the same number of steps.",
            "little": "Yes. Clipping made more learning rates usable, and the best of them hardly better.",
            "worse": "What is thrown away is length, and a larger η gives it back.",
        },
        evidence=lambda: (
            f"On seeds that took no part in the choice the gain is {best_of('characters').gain[0]:.2f} ± "
            f"{best_of('characters').gain[1]:.2f} of loss."
        ),
    ),
    "overfitting": OVERFITTING_PREDICTION,
}

# --- Exercises ----------------------------------------------------------------------------------------------


def one_step_back(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * (1 - state**2)) @ weights.T


def one_step_back_stub(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # state = tanh(before @ weights + input). delta is ∂L/∂state: return ∂L/∂before.
    ...


def forgets_the_slope(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return delta @ weights.T


def goes_back_through_the_matrix_as_it_went_on(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * (1 - state**2)) @ weights


def forgets_slope_and_transpose(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return delta @ weights


def crosses_the_matrix_first(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta @ weights.T) * (1 - state**2)


def stops_before_the_matrix(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return delta * (1 - state**2)


def takes_the_slope_of_the_logistic_function(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * state * (1 - state)) @ weights.T


def puts_the_state_through_tanh_again(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * (1 - np.tanh(state) ** 2)) @ weights.T


def forgets_the_square(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * (1 - state)) @ weights.T


def passes_through_tanh_instead_of_its_slope(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * state) @ weights.T


def divides_by_the_slope(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta / (1 - state**2)) @ weights.T


def takes_the_slope_twice(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * (1 - state**2) ** 2) @ weights.T


def undoes_the_matrix(delta: np.ndarray, state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (delta * (1 - state**2)) @ np.linalg.pinv(weights)


def gain(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    half = clipped.shape[1] // 2
    best = clipped[clipped[:, :half].mean(axis=1).argmax(), half:]
    best_unclipped = unclipped[unclipped[:, :half].mean(axis=1).argmax(), half:]
    return float((best - best_unclipped).mean())


def gain_stub(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    # Both are accuracies (learning rates, seeds). Choose each way's rate on the first half of the seeds, and
    # return the mean difference, clipped less unclipped, over the second half.
    ...


def _gain(
    clipped: np.ndarray,
    unclipped: np.ndarray,
    *,
    choose: str = "first",
    judge: str = "second",
    rate: str = "own",
    middle: Callable[..., np.ndarray] = np.mean,
) -> float:
    """The gain with one of its pieces wrong, as the misconceptions below have it."""
    half = clipped.shape[1] // 2
    parts = {"first": np.s_[:, :half], "second": np.s_[:, half:], "all": np.s_[:, :]}
    ours, theirs = (int(middle(scores[parts[choose]], axis=1).argmax()) for scores in (clipped, unclipped))
    if rate == "clipped":
        theirs = ours
    elif rate == "unclipped":
        ours = theirs
    return float(clipped[parts[judge]][ours].mean() - unclipped[parts[judge]][theirs].mean())


def compares_at_the_clipped_rate(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, rate="clipped")


def compares_at_the_unclipped_rate(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, rate="unclipped")


def judges_by_the_seeds_that_chose(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, judge="first")


def uses_all_seeds_for_both(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, choose="all", judge="all")


def chooses_by_all_seeds(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, choose="all")


def chooses_by_the_second_half(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, choose="second")


def judges_by_all_seeds(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, judge="all")


def swaps_the_halves(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, choose="second", judge="first")


def chooses_by_the_luckiest_seed(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return _gain(clipped, unclipped, middle=np.max)


def compares_the_two_best_runs(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return float(clipped.max() - unclipped.max())


def averages_over_all_rates(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    half = clipped.shape[1] // 2
    return float((clipped - unclipped)[:, half:].mean())


def takes_the_rate_where_they_differ_most(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    half = clipped.shape[1] // 2
    ahead = clipped - unclipped
    return float(ahead[ahead[:, :half].mean(axis=1).argmax(), half:].mean())


def gives_each_seed_its_own_rate(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    half = clipped.shape[1] // 2
    return float((clipped[:, half:].max(axis=0) - unclipped[:, half:].max(axis=0)).mean())


def turns_the_difference_round(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return -_gain(clipped, unclipped)


def chooses_the_worst(clipped: np.ndarray, unclipped: np.ndarray) -> float:
    return -_gain(-clipped, -unclipped)


def says_where_the_best_is(clipped: np.ndarray, unclipped: np.ndarray) -> int:
    half = clipped.shape[1] // 2
    return int(clipped[:, :half].mean(axis=1).argmax())


def at_equal_loss(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(accuracy[reached.argmax()]) if reached.any() else float("nan")


def at_equal_loss_stub(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    return float(accuracy[-1])


def takes_the_start_where_it_is_never_reached(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    return float(accuracy[(loss <= level).argmax()])


def takes_the_end_where_it_is_never_reached(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(accuracy[reached.argmax()]) if reached.any() else float(accuracy[-1])


def takes_the_nearest_loss(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    return float(accuracy[np.abs(loss - level).argmin()])


def takes_the_last_time_that_it_comes_below(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = np.flatnonzero(loss <= level)
    return float(accuracy[reached[-1]]) if len(reached) else float("nan")


def wants_less_than_the_level(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss < level
    return float(accuracy[reached.argmax()]) if reached.any() else float("nan")


def looks_above_the_level(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss >= level
    return float(accuracy[reached.argmax()]) if reached.any() else float("nan")


def takes_the_best_of_what_comes_after(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(accuracy[reached].max()) if reached.any() else float("nan")


def averages_all_that_comes_after(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(accuracy[reached].mean()) if reached.any() else float("nan")


def takes_the_lowest_loss(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    return float(accuracy[loss.argmin()])


def takes_the_step_before(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(accuracy[max(0, reached.argmax() - 1)]) if reached.any() else float("nan")


def gives_the_step(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(reached.argmax()) if reached.any() else float("nan")


def gives_the_loss(loss: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    reached = loss <= level
    return float(loss[reached.argmax()]) if reached.any() else float("nan")


_LOPSIDED = np.array([[0.5, -2.0], [1.0, 0.25]])
_SCORES = np.random.default_rng(4).uniform(0.3, 0.9, (2, 4, 6)).round(2)

EXERCISES = {
    "one_step_back": Exercise(
        key="10.1",
        title="One step back through time",
        solution=one_step_back,
        stub=one_step_back_stub,
        probes=(
            Probe((np.array([1.0, 0.0]), np.array([0.0, 0.0]), _LOPSIDED), "a state of 0, where tanh has slope 1"),
            Probe((np.array([1.0, -2.0]), np.array([0.5, 0.5]), _LOPSIDED), "both units at ½"),
            Probe((np.array([1.0, -2.0]), np.array([0.8, -0.6]), _LOPSIDED), "a negative state"),
            Probe((np.array([3.0]), np.array([0.5]), np.array([[2.0]])), "one unit"),
            Probe((np.array([1.0, 1.0]), np.array([0.999, 0.2]), _LOPSIDED), "one unit nearly saturated"),
            Probe(
                (
                    np.array([0.5, -1.0, 2.0]),
                    np.array([0.1, -0.7, 0.4]),
                    np.array([[0.0, 1.0, -1.0], [2.0, 0.5, 0.0], [0.3, 0.0, 1.5]]),
                ),
                "three units",
            ),
            Probe((np.zeros(2), np.array([0.3, 0.9]), _LOPSIDED), "nothing to carry back"),
        ),
        misconceptions=(
            Misconception(
                forgets_the_slope,
                "Going back crosses two things, tanh and the matrix. Yours crosses the matrix alone: the slope of "
                "tanh, 1 − h², is missing.",
            ),
            Misconception(
                goes_back_through_the_matrix_as_it_went_on,
                "The step went on by `before @ weights`, so `before[i]` reached state j by `weights[i, j]`. The way "
                "back sums over j: `@ weights.T`.",
            ),
            Misconception(
                forgets_slope_and_transpose,
                "Two things at once: the slope of tanh, 1 − h², is missing, and the way back is `@ weights.T`, the "
                "transpose.",
            ),
            Misconception(
                crosses_the_matrix_first,
                "The order is turned round. On the way on, the matrix came first and then tanh; on the way back tanh "
                "comes first. The slope belongs to the units of `state`.",
            ),
            Misconception(
                stops_before_the_matrix,
                "That is the gradient at what stands inside tanh. One more crossing is left, the matrix, to reach "
                "the step before.",
            ),
            Misconception(
                takes_the_slope_of_the_logistic_function,
                "h(1 − h) is the slope of the logistic function. That of tanh is 1 − h².",
            ),
            Misconception(
                puts_the_state_through_tanh_again,
                "`state` is tanh already, so its slope is 1 − h² with h as it is. Yours takes tanh once more.",
            ),
            Misconception(forgets_the_square, "1 − h instead of 1 − h²: the square is missing."),
            Misconception(
                passes_through_tanh_instead_of_its_slope,
                "Backwards one multiplies by the *slope* of tanh, 1 − h², not by its value h.",
            ),
            Misconception(
                divides_by_the_slope,
                "The chain rule multiplies by the slope. Dividing would make the gradient explode just where tanh is "
                "flat.",
            ),
            Misconception(takes_the_slope_twice, "The slope stands in there twice. tanh is crossed once."),
            Misconception(
                undoes_the_matrix,
                "That inverts the step. A gradient goes back by the *transpose*: it says how much each unit "
                "contributed, not where it came from.",
            ),
        ),
        hints=(
            "On the way on: first the matrix, then tanh. On the way back: first tanh, then the matrix.",
            "The slope of tanh, where its value is h, is 1 − h². Multiply unit by unit.",
            "`(delta * (1 - state**2)) @ weights.T`",
        ),
        explanation="This line, T times, is backpropagation through time; the model has it in the last lines of its "
        "loop. Each passage multiplies by a Jacobian of lesson 04, so the gradient may grow or shrink by a factor "
        "every step: that is where the spikes in the log of norms come from.",
    ),
    "gain": Exercise(
        key="10.2",
        title="A fair comparison",
        solution=gain,
        stub=gain_stub,
        probes=(
            Probe((np.array([[0.9, 0.8]]), np.array([[0.7, 0.7]])), "one rate, two seeds"),
            Probe(
                (np.array([[0.5, 0.6], [0.9, 0.8]]), np.array([[0.8, 0.7], [0.2, 0.3]])),
                "each way has its own best rate",
            ),
            Probe(
                (np.array([[0.9, 0.2, 0.3, 0.4], [0.6, 0.6, 0.7, 0.5]]), np.array([[0.5, 0.5, 0.6, 0.4], [0.1] * 4])),
                "a lucky seed at a bad rate",
            ),
            Probe((_SCORES[0], _SCORES[1]), "four rates, six seeds"),
            Probe((_SCORES[1], _SCORES[0]), "the same the other way round"),
            Probe((_SCORES[0, :, ::-1], _SCORES[1, ::-1]), "and once more, turned"),
            Probe((_SCORES[0], _SCORES[0]), "the same runs both ways"),
        ),
        misconceptions=(
            Misconception(
                compares_at_the_clipped_rate,
                "Both ways are judged at the rate that is best *with* clipping. There the unclipped run may diverge, "
                "and anything looks like a gain. Each way gets its own best rate.",
            ),
            Misconception(
                compares_at_the_unclipped_rate,
                "Both ways are judged at the rate that is best *without* clipping. Each way gets its own best rate: "
                "a clip may pay at a larger η only.",
            ),
            Misconception(
                judges_by_the_seeds_that_chose,
                "The seeds that chose the rate also judge it. The best of many looks better than it is: judge by the "
                "second half.",
            ),
            Misconception(
                uses_all_seeds_for_both,
                "All seeds choose and all seeds judge. The best of many looks better than it is: choose by the first "
                "half and judge by the second.",
            ),
            Misconception(chooses_by_all_seeds, "The judges, the second half, took part in the choice."),
            Misconception(chooses_by_the_second_half, "The second half chooses *and* judges. The first half chooses."),
            Misconception(
                judges_by_all_seeds, "The seeds that chose are among the judges. Only the second half should judge."
            ),
            Misconception(swaps_the_halves, "Sound, but the other way round: the *first* half chooses."),
            Misconception(
                chooses_by_the_luckiest_seed,
                "A rate is chosen by its luckiest seed. Choose by the mean over the seeds: luck does not come again.",
            ),
            Misconception(
                compares_the_two_best_runs,
                "That compares the luckiest run of each way. Two more seeds, and it says something else.",
            ),
            Misconception(
                averages_over_all_rates,
                "The mean over all rates depends on which rates were tried: add one at which the unclipped run "
                "diverges, and the gain grows.",
            ),
            Misconception(
                takes_the_rate_where_they_differ_most,
                "That picks the rate at which clipping looks best. It is the way to make any remedy look good.",
            ),
            Misconception(
                gives_each_seed_its_own_rate,
                "Each seed gets the rate that was best for it, which nobody can know beforehand. One rate for all "
                "seeds.",
            ),
            Misconception(turns_the_difference_round, "The sign is turned round: clipped less unclipped."),
            Misconception(chooses_the_worst, "The *worst* rate is chosen: accuracies are good when they are high."),
            Misconception(
                says_where_the_best_is, "That is the place of the best rate. What is asked for is the difference there."
            ),
        ),
        hints=(
            "Two choices, one for each way, and each of them by the mean over the first half of the seeds.",
            "`scores[:, :half].mean(axis=1).argmax()` is the row that the first half chooses.",
            "Then `(clipped[row, half:] - unclipped[other_row, half:]).mean()`.",
        ),
        explanation="Clipping makes more learning rates usable. Whoever compares at one rate measures that, and may "
        "choose the rate so that the gain is as large as they like. What a remedy is worth shows when everything "
        "else is at its own best, judged on seeds that had no part in the choice.",
    ),
    "at_equal_loss": Exercise(
        key="10.3",
        title="Mend: who overfits less?",
        solution=at_equal_loss,
        stub=at_equal_loss_stub,
        probes=(
            Probe((np.array([0.7, 0.5, 0.3, 0.1]), np.array([0.5, 0.7, 0.8, 0.75]), 0.35), "a falling loss"),
            Probe((np.array([0.7, 0.5, 0.3, 0.1]), np.array([0.5, 0.7, 0.8, 0.75]), 0.5), "exactly at the level"),
            Probe((np.array([0.7, 0.6, 0.4]), np.array([0.5, 0.6, 0.9]), 0.3), "never reached"),
            Probe(
                (np.array([0.7, 0.28, 0.5, 0.2, 0.33]), np.array([0.5, 0.7, 0.65, 0.9, 0.6]), 0.3),
                "a loss that goes up and down",
            ),
            Probe((np.array([0.2, 0.1, 0.05]), np.array([0.9, 0.8, 0.7]), 0.3), "reached from the start"),
            Probe(
                (np.array([0.6, 0.39, 0.31, 0.22, 0.24, 0.1]), np.array([0.5, 0.62, 0.71, 0.83, 0.79, 0.64]), 0.3),
                "a nearer loss just above",
            ),
        ),
        misconceptions=(
            Misconception(
                takes_the_start_where_it_is_never_reached,
                "`argmax` of nothing but False is 0: a run that never comes so low is judged by its start. Say NaN.",
            ),
            Misconception(
                takes_the_end_where_it_is_never_reached,
                "A run that never comes so low is judged by its end, at a higher loss. There is nothing to compare: "
                "NaN.",
            ),
            Misconception(
                takes_the_nearest_loss,
                "The nearest loss may lie above the level, or far beyond the first time: take the first that is at or "
                "below.",
            ),
            Misconception(
                takes_the_last_time_that_it_comes_below,
                "The *last* time, long after: by then it has overfitted. Take the first.",
            ),
            Misconception(wants_less_than_the_level, "At the level counts as reached: `<=`, not `<`."),
            Misconception(looks_above_the_level, "The comparison is turned round: the loss comes from above."),
            Misconception(
                takes_the_best_of_what_comes_after,
                "The best accuracy from there on: chosen by the very points that should judge.",
            ),
            Misconception(
                averages_all_that_comes_after,
                "The mean over all that comes after mixes in lower losses. One moment is asked for, the first.",
            ),
            Misconception(
                takes_the_lowest_loss, "That is where the run itself is lowest, not where both are equally low."
            ),
            Misconception(
                takes_the_step_before,
                "One too early: there the loss is still above the level.",
            ),
            Misconception(gives_the_step, "That is when. What is asked for is the accuracy there."),
            Misconception(gives_the_loss, "That is the loss there. What is asked for is the accuracy."),
        ),
        hints=(
            "After the same number of steps the two have fitted the data to a different degree. What should be equal?",
            "`reached = loss <= level` says where; `argmax` of it is the first place, if there is one.",
            "`accuracy[reached.argmax()]` if `reached.any()`, else `float('nan')`.",
        ),
        explanation="At equal steps a slower run has fitted less, so it has overfitted less: every brake looks like a "
        "regulariser. At equal training loss the question is the right one: for the same fit, who does better on fresh "
        "points?",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "10",
    (
        Question(
            "A paper trains at η = 5 with and without clipping. Without, the loss ends at 48; with, at 1.9. What is "
            "shown?",
            (
                Option(
                    "Clipping makes the model better",
                    "At that η. The unclipped model may reach the same at an η of its own; here it did.",
                ),
                Option(
                    "Clipping makes η = 5 usable",
                    "Yes. Whether that is worth anything shows when each way gets its own best η.",
                    right=True,
                ),
                Option(
                    "The unclipped run has a bug",
                    "Nothing but the length of its steps is wrong with it.",
                ),
            ),
        ),
        Question(
            "An unclipped tanh network has diverged: its loss is 48, and it stays there. Why is it not inf or NaN?",
            (
                Option(
                    "Then it has not diverged; it needs more steps",
                    "Guessing has a loss of 3.3. It is surer and more wrong than that, and does not come back.",
                ),
                Option(
                    "numpy rounds infinite losses down",
                    "It does not. An overflow would show as inf.",
                ),
                Option(
                    "Its states are bounded by 1, so its scores are no larger than its weights",
                    "Yes. The weights are large and finite, the units saturated, and hardly any gradient is left to "
                    "bring them back. Finite is not converged.",
                    right=True,
                ),
            ),
        ),
        Question(
            "At η = 5 and c = 0.1 every step is clipped. You take η = 0.5 and c = 1. What happens to the steps?",
            (
                Option(
                    "They stay exactly as they were",
                    "Only where the norm is above 1, so that both are clipped: then a step is ηc long. Here most "
                    "norms are below 1.",
                ),
                Option(
                    "They keep their length where the norm is above 1, and get shorter below",
                    "Yes. Clipped steps are ηc = 0.5 long both ways; below c = 1 the second takes steps of ηn.",
                    right=True,
                ),
                Option(
                    "They become ten times as long",
                    "c became ten times as large and η ten times as small: the product is the same.",
                ),
            ),
        ),
        Question(
            "After 4000 steps a tightly clipped classifier is better on fresh points. What should you look at next?",
            (
                Option(
                    "Its training loss: has it fitted as much?",
                    "Yes. If not, compare at equal training loss, and with an unclipped run at a smaller η.",
                    right=True,
                ),
                Option(
                    "Nothing: the test set has spoken",
                    "It has said that the clipped run is better at that moment, not that clipping is the reason.",
                ),
                Option(
                    "A still tighter clip",
                    "It may be better at that moment for the same reason: it has fitted less. At some point it has "
                    "fitted too little.",
                ),
            ),
        ),
        Question(
            "At a small η, 7 of 10 seeds solve a task unclipped and 9 of 10 clipped. Does clipping help there?",
            (
                Option("Yes, by 20 percentage points", "Two seeds more or less is what chance does with ten."),
                Option(
                    "Ten seeds cannot tell",
                    "Yes. The 95% intervals are wide and overlap. It takes many more seeds, or a larger effect, such "
                    "as 0 against 20 of 20.",
                    right=True,
                ),
                Option(
                    "No: a difference that small is none",
                    "Ten seeds cannot show that either. No difference seen is not the same as none.",
                ),
            ),
        ),
    ),
)

LESSON = Lesson(
    "10",
    "Training something real",
    {"characters": CHARACTERS, "order": ORDER, "rates": RATES_DEMO, "overfitting": OVERFITTING},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
