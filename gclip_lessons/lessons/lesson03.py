"""Lesson 03, clipping by norm: a ball, one direction, and whose norm it is."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from gclip_lessons.clipping import (
    ClipByGlobalNorm,
    ClipByNorm,
    clip_by_global_norm,
    clip_by_norm,
    clip_smoothly,
    global_norm,
)
from gclip_lessons.data import google_prices, standardize
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.ball import BallFigure
from gclip_lessons.figures.tensors import TensorsFigure
from gclip_lessons.figures.two_layer import TwoLayerFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, control, controls_of, moves
from gclip_lessons.models import TwoLayer
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import Trajectory, angle_between, train

# --- One arrow and its ball ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BallState(State):
    g1: float = control(3.0, label="gradient g₁", linear=(-6, 6))
    g2: float = control(4.0, label="gradient g₂", linear=(-6, 6))
    max_norm: float = control(2.0, label="threshold c", log=(0.1, 10))
    p: str = control("2", label="norm p", choices=("1", "2", "4", "∞"))
    smooth: bool = control(False, label="smooth clipping, g·c/(c+n)")


@dataclass(frozen=True)
class BallResult:
    state: BallState
    grad: np.ndarray
    clipped: np.ndarray
    norm: float
    clipped_norm: float
    ord: float
    turn: float


def clip_one(state: BallState) -> BallResult:
    ord = np.inf if state.p == "∞" else float(state.p)
    grad = np.array([state.g1, state.g2], float)
    clip = clip_smoothly if state.smooth else clip_by_global_norm
    clipped = clip(grad, state.max_norm, ord=ord)
    return BallResult(
        state=state,
        grad=grad,
        clipped=clipped,
        norm=float(global_norm(grad, ord=ord)),
        clipped_norm=float(global_norm(clipped, ord=ord)),
        ord=ord,
        turn=float(angle_between(grad, clipped)),
    )


def read_ball(result: BallResult) -> str:
    """The live sentence of the first demo."""
    norm = f"n = {result.norm:.3g}" + ("" if result.state.p == "2" else f" in the {result.state.p}-norm")
    if result.norm == 0:
        return f"The gradient is zero and stays zero: {norm}, and no threshold changes it."
    if result.state.smooth:
        k = result.clipped_norm / result.norm
        return (
            f"{norm} becomes {result.clipped_norm:.3g}: smooth clipping multiplies by c/(c+n) = {k:.3g}, shrinks every "
            f"gradient and never reaches c = {result.state.max_norm:g}. The arrow turns by {result.turn:.0f}°."
        )
    if result.norm <= result.state.max_norm:
        return f"{norm} lies inside the ball of radius c = {result.state.max_norm:g}: nothing is changed."
    return (
        f"{norm} is above c = {result.state.max_norm:g}: both coordinates are multiplied by c/n = "
        f"{result.state.max_norm / result.norm:.3g}, and the arrow turns by {result.turn:.0f}°."
    )


BALL = Demo(
    BallState,
    clip_one,
    BallFigure,
    read_ball,
    presets={
        "inside": Preset(BallState(g1=1.0, g2=1.0), "What does clipping do to a gradient that is short enough?"),
        "outside": Preset(BallState(g1=3.0, g2=4.0, max_norm=2.0), "Which way does a clipped gradient point?"),
        "a spike": Preset(BallState(g1=6.0, g2=0.5, max_norm=1.0), "What is left of the small coordinate?"),
        "p = ∞": Preset(
            BallState(g1=5.0, g2=2.0, max_norm=2.0, p="∞"), "The ball is a square: is this clipping by value?"
        ),
        "smooth": Preset(BallState(g1=1.0, g2=1.0, smooth=True), "Does smooth clipping leave a short gradient alone?"),
    },
    drag=moves("plane", "g1", "g2"),
)

# --- Two layers: clipped together, or each on its own -------------------------------------------------------------


@dataclass(frozen=True)
class TensorsState(State):
    norm1: float = control(3.0, label="layer 1 norm n₁", linear=(0, 14), n_stops=141)
    norm2: float = control(12.0, label="layer 2 norm n₂", linear=(0, 14), n_stops=141)
    max_norm: float = control(2.0, label="threshold c", log=(0.1, 20))


@dataclass(frozen=True)
class TensorsResult:
    state: TensorsState
    norms: np.ndarray
    together: np.ndarray
    each: np.ndarray
    turn: float
    thresholds: np.ndarray
    turns: np.ndarray


EACH_LAYER = (slice(0, 1), slice(1, 2))


def clip_two(state: TensorsState) -> TensorsResult:
    """Clip a gradient that has one number a layer: its norm. Nothing that clipping by norm does needs to know more."""
    norms = np.array([state.norm1, state.norm2], float)
    together = clip_by_global_norm(norms, state.max_norm)
    each = clip_by_norm(norms, state.max_norm, blocks=EACH_LAYER)
    thresholds = np.array(controls_of(TensorsState)["max_norm"].values)
    swept = clip_by_norm(norms[None, :], thresholds, blocks=EACH_LAYER)
    return TensorsResult(
        state=state,
        norms=norms,
        together=together,
        each=each,
        turn=float(angle_between(norms, each)),
        thresholds=thresholds,
        turns=angle_between(norms[None, :], swept),
    )


def read_tensors(result: TensorsResult) -> str:
    """The live sentence of the second demo."""
    c, total, kept = result.state.max_norm, float(global_norm(result.norms)), float(global_norm(result.together))
    if total <= c:
        return f"The total norm {total:.3g} is below c = {c:g}: neither rule changes anything."
    after = float(global_norm(result.each))
    return (
        f"Global clipping brings the total norm from {total:.3g} to {kept:.3g} and turns by 0°. "
        f"Per tensor, the layers keep {result.each[0]:.3g} and {result.each[1]:.3g}: total norm {after:.3g}, "
        f"turned by {result.turn:.1f}°."
    )


TENSORS = Demo(
    TensorsState,
    clip_two,
    TensorsFigure,
    read_tensors,
    presets={
        "3 and 12": Preset(TensorsState(), "Two layers, c = 2: which rule keeps their proportion?"),
        "one layer over": Preset(
            TensorsState(norm1=1.0, norm2=10.0, max_norm=2.0), "Only layer 2 is above c: does layer 1 change?"
        ),
        "equal layers": Preset(
            TensorsState(norm1=8.0, norm2=8.0), "When does clipping each tensor not turn the update?"
        ),
    },
    drag=moves("plane", "norm1", "norm2"),
)

# --- A network with two layers, trained ---------------------------------------------------------------------------

N_STEPS = 200


@dataclass(frozen=True)
class TrainingState(State):
    learning_rate: str = control("1", label="learning rate η", choices=("0.3", "1", "2"))
    max_norm: float = control(0.5, label="threshold c", log=(0.01, 10), n_stops=61)
    step: int = control(N_STEPS, label="training step", whole=(0, N_STEPS), play=True)


@dataclass(frozen=True)
class TrainingResult:
    """Curves and losses stand in the order unclipped, global, per tensor; turns are of the two that clip."""

    state: TrainingState
    x: np.ndarray
    y: np.ndarray
    curves: tuple[np.ndarray, ...]
    losses: tuple[np.ndarray, ...]
    turns: tuple[float, ...]


@cache
def network() -> TwoLayer:
    """A tanh network with six hidden units for 66 of Google's prices, dates and prices standardised."""
    days, price = google_prices()
    return TwoLayer(standardize(days)[::16, None], standardize(price)[::16], hidden=6)


@cache
def trained(rule: str, learning_rate: float, max_norm: float | None) -> Trajectory:
    """One run with a rule at one threshold, or with None the runs of all the slider's stops at once."""
    model = network()
    start = model.init(np.random.default_rng(3))
    if rule == "none":
        return train(model, start, SGD(learning_rate), n_steps=N_STEPS)
    thresholds = np.array(controls_of(TrainingState)["max_norm"].values) if max_norm is None else max_norm
    clipper = ClipByNorm(thresholds, model.blocks) if rule == "per tensor" else ClipByGlobalNorm(thresholds)
    return train(model, start, SGD(learning_rate), clipper, n_steps=N_STEPS)


def run_of(rule: str, state: TrainingState) -> Trajectory:
    """The run of a rule at the state's settings: looked up at a stop of the slider, computed anywhere else."""
    rate, stops = float(state.learning_rate), controls_of(TrainingState)["max_norm"].values
    if state.max_norm in stops:
        return trained(rule, rate, None).run(stops.index(state.max_norm))
    return trained(rule, rate, state.max_norm)


def train_three(state: TrainingState) -> TrainingResult:
    model = network()
    clipped = [run_of(rule, state) for rule in ("global", "per tensor")]
    runs = [trained("none", float(state.learning_rate), None), *clipped]
    with np.errstate(all="ignore"):
        curves = tuple(model.predict(run.params[state.step]) for run in runs)
    turns = tuple(float(run.angle[: state.step].max(initial=0.0)) for run in clipped)
    return TrainingResult(
        state=state,
        x=model.x[:, 0],
        y=model.y,
        curves=curves,
        losses=tuple(run.loss for run in runs),
        turns=turns,
    )


def read_training(result: TrainingResult) -> str:
    """The live sentence of the third demo."""
    raw, together, each = (_said(losses, result.state.step) for losses in result.losses)
    return (
        f"After {result.state.step} steps at η = {result.state.learning_rate}: loss {raw} without clipping, "
        f"{together} with global and {each} with per-tensor clipping at c = {result.state.max_norm:g}. So far "
        f"per-tensor clipping turned a gradient by up to {result.turns[1]:.0f}°, global by {result.turns[0]:.0f}°."
    )


def _said(losses: np.ndarray, step: int) -> str:
    """The loss in digits only where a run has learnt: above its start it jumps about, and digits would say nothing."""
    return f"{losses[step]:.3g}" if losses[step] <= losses[0] else "above its start"


TRAINING = Demo(
    TrainingState,
    train_three,
    TwoLayerFigure,
    read_training,
    presets={
        "η too large": Preset(TrainingState(), "The unclipped run explodes. Do both rules tame it, and do they agree?"),
        "c too large": Preset(TrainingState(max_norm=10.0), "Both clip. Is that enough?"),
        "η smaller": Preset(TrainingState(learning_rate="0.3"), "Was clipping the only cure?"),
        "c too small": Preset(TrainingState(learning_rate="0.3", max_norm=0.01), "What does caution cost?"),
    },
)

# --- Predictions --------------------------------------------------------------------------------------------------


def norm_of_clipped_shards() -> float:
    """The total norm after (3, 4), (12) and (84) are each clipped to norm 1."""
    shards = np.array([3.0, 4.0, 12.0, 84.0])
    return float(global_norm(clip_by_norm(shards, 1.0, blocks=(slice(0, 2), slice(2, 3), slice(3, 4)))))


def which_rules_turn() -> str:
    """Which of the two rules turns the gradient of layers with norms 3 and 12."""
    result = clip_two(TensorsState())
    turns = {
        "global": angle_between(result.norms, result.together) > 0.1,
        "each": angle_between(result.norms, result.each) > 0.1,
    }
    return {(False, True): "each", (False, False): "neither", (True, True): "both", (True, False): "global"}[
        turns["global"], turns["each"]
    ]


PREDICTIONS = {
    "turn": Prediction(
        key="03.a",
        question="Two layers have gradients of norm 3 and 12, and c = 2. Which rule turns the whole update?",
        truth=which_rules_turn,
        options={
            "neither": "neither: dividing by a norm cannot turn an arrow",
            "global": "global norm clipping only",
            "each": "clipping each tensor by its own norm only",
            "both": "both of them",
        },
        explain={
            "neither": "True of one arrow and one number. Per tensor there are two numbers, 2/3 and 2/12: each layer's "
            "arrow keeps its direction, but the two are shortened unequally, and the whole turns.",
            "global": "The other way round: global clipping multiplies everything by one number.",
            "each": "Yes. Global clipping multiplies everything by one number; per tensor, layer 1 is multiplied by "
            "2/3 and layer 2 by 2/12, so the update leans towards layer 1.",
            "both": "Global clipping multiplies every coordinate by the same c/n, and that cannot turn anything.",
        },
        evidence=lambda: read_tensors(clip_two(TensorsState())),
    ),
    "shards": Prediction(
        key="03.b",
        question="A gradient is spread over three machines, as (3, 4), (12) and (84). Each machine clips its own "
        "part to norm c = 1. What is the norm of the whole afterwards?",
        truth=norm_of_clipped_shards,
        explain={
            "low": "Each part has norm 1 and they stand at right angles in the whole vector, so the norms add as "
            "squares: √(1² + 1² + 1²).",
            "close": "Yes: parts add as squares, √(1² + 1² + 1²) = √3. Over K shards the whole can be √K·c long.",
            "high": "Norms of parts add as squares, not as lengths: √(1² + 1² + 1²), not 1 + 1 + 1.",
        },
        tolerance=0.02,
    ),
}

# --- Exercises ----------------------------------------------------------------------------------------------------


def clip_to_norm(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    if norm <= max_norm:
        return grad.copy()
    return grad * (max_norm / norm)


def clip_to_norm_stub(grad: np.ndarray, max_norm: float) -> np.ndarray:
    # Return grad unchanged if its norm is at most max_norm, else scaled to that norm.
    ...


def always_normalizes(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad * (max_norm / norm) if norm else grad.copy()


def clamps_coordinates(grad: np.ndarray, max_norm: float) -> np.ndarray:
    return np.clip(grad, -max_norm, max_norm)


def forgets_the_root(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sum(grad**2)
    return grad.copy() if norm <= max_norm else grad * (max_norm / norm)


def divides_only(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad.copy() if norm <= max_norm else grad / norm


def drops_long_gradients(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad.copy() if norm <= max_norm else np.zeros_like(grad)


def takes_the_largest(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.max(np.abs(grad))
    return grad.copy() if norm <= max_norm else grad * (max_norm / norm)


def adds_lengths(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sum(np.abs(grad))
    return grad.copy() if norm <= max_norm else grad * (max_norm / norm)


def lengthens_and_never_shortens(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad * max(1.0, max_norm / norm) if norm else grad.copy()


def turns_the_fraction_over(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad.copy() if norm <= max_norm else grad * (norm / max_norm)


def shortens_what_fits(grad: np.ndarray, max_norm: float) -> np.ndarray:
    return grad * min(1.0, np.sqrt(np.sum(grad**2)) / max_norm)


def averages_the_entries(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.mean(grad**2))
    return grad.copy() if norm <= max_norm else grad * (max_norm / norm)


def squares_the_factor(grad: np.ndarray, max_norm: float) -> np.ndarray:
    squares = np.sum(grad**2)
    return grad.copy() if squares <= max_norm**2 else grad * (max_norm**2 / squares)


def compares_the_largest_entry(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad.copy() if np.max(np.abs(grad)) <= max_norm else grad * (max_norm / norm)


def compares_with_the_square(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad.copy() if norm <= max_norm**2 else grad * (max_norm / norm)


def total_norm(shard_norms: np.ndarray) -> float:
    return float(np.sqrt(np.sum(shard_norms**2)))


def total_norm_stub(shard_norms: np.ndarray) -> float:
    return float(np.mean(shard_norms))


def adds_the_norms(shard_norms: np.ndarray) -> float:
    return float(np.sum(shard_norms))


def takes_the_largest_shard(shard_norms: np.ndarray) -> float:
    return float(np.max(shard_norms))


def looks_at_one_shard(shard_norms: np.ndarray) -> float:
    return float(shard_norms[0])


def forgets_the_final_root(shard_norms: np.ndarray) -> float:
    return float(np.sum(shard_norms**2))


def averages_the_squares(shard_norms: np.ndarray) -> float:
    return float(np.sqrt(np.mean(shard_norms**2)))


def forgets_the_squares(shard_norms: np.ndarray) -> float:
    return float(np.sqrt(np.sum(shard_norms)))


def takes_shards_for_equal(shard_norms: np.ndarray) -> float:
    return float(np.mean(shard_norms) * np.sqrt(shard_norms.size))


def takes_all_for_the_largest(shard_norms: np.ndarray) -> float:
    return float(np.max(shard_norms) * np.sqrt(shard_norms.size))


def takes_the_middle_shard(shard_norms: np.ndarray) -> float:
    return float(np.median(shard_norms))


def turn_per_tensor(norm1: float, norm2: float, max_norm: float) -> float:
    before = np.arctan2(norm2, norm1)
    after = np.arctan2(min(norm2, max_norm), min(norm1, max_norm))
    return float(np.degrees(abs(after - before)))


def turn_per_tensor_stub(norm1: float, norm2: float, max_norm: float) -> float:
    # How many degrees does clipping each of two layers to norm max_norm turn their joint gradient?
    ...


def says_no_turn(norm1: float, norm2: float, max_norm: float) -> float:
    return 0.0


def assumes_both_clipped(norm1: float, norm2: float, max_norm: float) -> float:
    return float(np.degrees(abs(np.pi / 4 - np.arctan2(norm2, norm1))))


def answers_in_radians(norm1: float, norm2: float, max_norm: float) -> float:
    return float(np.radians(turn_per_tensor(norm1, norm2, max_norm)))


def gives_the_new_direction(norm1: float, norm2: float, max_norm: float) -> float:
    return float(np.degrees(np.arctan2(min(norm2, max_norm), min(norm1, max_norm))))


def always_the_bound(norm1: float, norm2: float, max_norm: float) -> float:
    return 45.0


def keeps_the_sign(norm1: float, norm2: float, max_norm: float) -> float:
    before = np.arctan2(norm2, norm1)
    return float(np.degrees(np.arctan2(min(norm2, max_norm), min(norm1, max_norm)) - before))


def subtracts_the_other_way(norm1: float, norm2: float, max_norm: float) -> float:
    return -keeps_the_sign(norm1, norm2, max_norm)


def forgets_to_clip(norm1: float, norm2: float, max_norm: float) -> float:
    return float(np.degrees(np.arctan2(norm2, norm1)))


def clips_only_layer_1(norm1: float, norm2: float, max_norm: float) -> float:
    return float(np.degrees(abs(np.arctan2(norm2, min(norm1, max_norm)) - np.arctan2(norm2, norm1))))


def clips_only_layer_2(norm1: float, norm2: float, max_norm: float) -> float:
    return float(np.degrees(abs(np.arctan2(min(norm2, max_norm), norm1) - np.arctan2(norm2, norm1))))


def doubles_the_turn(norm1: float, norm2: float, max_norm: float) -> float:
    return 2 * turn_per_tensor(norm1, norm2, max_norm)


EXERCISES = {
    "clip_to_norm": Exercise(
        key="03.1",
        title="Clip to a ball",
        solution=clip_to_norm,
        stub=clip_to_norm_stub,
        probes=(
            Probe((np.array([3.0, 4.0]), 1.0), "norm above c"),
            Probe((np.array([0.3, 0.4]), 1.0), "norm below c"),
            Probe((np.array([0.3, 0.4]), 0.5), "norm equal to c"),
            Probe((np.array([0.0, 0.0]), 1.0), "zero gradient"),
            Probe((np.array([3.0, -4.0]), 2.5), "negative entries, c not 1"),
            Probe((np.array([0.6, 0.6]), 0.7), "every entry below c, the norm above"),
            Probe((np.array([-2.0]), 0.5), "one parameter"),
            Probe((np.array([1.0, -2.0, 2.0, 4.0, 0.0]), 2.0), "five parameters"),
            Probe((np.array([0.5, 0.5, 0.5]), 0.8), "norm above c and c below 1"),
        ),
        misconceptions=(
            Misconception(
                always_normalizes,
                "This scales *every* gradient to norm c, short ones up as well. That is normalisation: near a minimum, "
                "where gradients are short, the steps never become shorter. Clipping has a `min(1, …)` in it.",
            ),
            Misconception(
                clamps_coordinates,
                "This clamps each coordinate for itself: clipping by value, lesson 02. It turns the arrow, and the "
                "norm afterwards can be c·√d.",
            ),
            Misconception(
                forgets_the_root, "The norm is the square *root* of the sum of squares; here the root is missing."
            ),
            Misconception(
                divides_only,
                "A long gradient comes out with norm 1, whatever c is: multiply by c after dividing by the norm.",
            ),
            Misconception(
                drops_long_gradients,
                "A long gradient is thrown away here. Clipping shortens it: the direction is worth keeping.",
            ),
            Misconception(
                takes_the_largest,
                "You divide by the largest entry: that is clipping with the ∞-norm. It keeps direction, but the ball "
                "is a square, and the 2-norm afterwards can be c·√d.",
            ),
            Misconception(
                adds_lengths,
                "You measured the 1-norm, the sum of absolute values. The 2-norm adds squares and takes the root.",
            ),
            Misconception(
                lengthens_and_never_shortens,
                "A factor of max(1, c/n) is never below 1: short gradients grow and long ones stay. It is the `min`.",
            ),
            Misconception(
                turns_the_fraction_over,
                "n/c is above 1 where n is above c, so a long gradient comes out longer still: the factor is c/n.",
            ),
            Misconception(
                shortens_what_fits,
                "min(1, n/c) is below 1 where n is below c: what fits is shortened, and what is too long stays.",
            ),
            Misconception(
                averages_the_entries,
                "That is the root of the *mean* of squares. A length adds the squares; the mean makes it √d too small.",
            ),
            Misconception(
                squares_the_factor,
                "It clips in the right cases, but by (c/n)², so a long gradient comes out shorter than c. Squares "
                "may be compared, but the factor is c/n.",
            ),
            Misconception(
                compares_with_the_square,
                "It asks whether n is above c². Compare n with c, or the sum of squares, which is n², with c².",
            ),
            Misconception(
                compares_the_largest_entry,
                "The factor is right, but the largest entry decides whether to clip: (0.6, 0.6) is longer than 0.7.",
            ),
        ),
        hints=(
            "Two cases: is the norm above `max_norm` or not? What number do you multiply by in each?",
            "The factor is min(1, c/n). For the zero gradient n = 0: make sure that you never divide by it.",
            "`norm = np.sqrt(np.sum(grad**2))`; return a copy if `norm <= max_norm`, else `grad * (max_norm / norm)`.",
        ),
        explanation="The `if` is the min(1, c/n) of the equation, and it also keeps the zero gradient away from the "
        "division. The course's own rule does the same for many runs at once, and its norm cannot overflow.",
    ),
    "total_norm": Exercise(
        key="03.2",
        title="Mend the norm over shards",
        solution=total_norm,
        stub=total_norm_stub,
        probes=(
            Probe((np.array([5.0, 12.0]),), "two shards"),
            Probe((np.array([2.0]),), "one shard"),
            Probe((np.array([1.0, 1.0, 1.0, 1.0]),), "four equal shards"),
            Probe((np.array([0.0, 3.0]),), "an idle shard"),
            Probe((np.array([2.0, 0.5, 4.0]),), "three shards"),
            Probe((np.array([1.0, 2.0, 0.5, 3.0, 6.0]),), "five shards"),
        ),
        misconceptions=(
            Misconception(adds_the_norms, "Lengths add only along one line. The parts stand at right angles."),
            Misconception(takes_the_largest_shard, "That is the largest part; the others lengthen the whole too."),
            Misconception(
                looks_at_one_shard,
                "That is the norm of the local shard, the trap that pytorch issue 72548 warns of: every machine clips "
                "by another number.",
            ),
            Misconception(forgets_the_final_root, "The squares add, and then the root is still to be taken."),
            Misconception(averages_the_squares, "The squares *add* over shards; averaging them loses a factor √K."),
            Misconception(
                forgets_the_squares, "A root alone is not enough: it is the *squares* of the norms that add."
            ),
            Misconception(
                takes_shards_for_equal,
                "The mean times √K is right only while all K parts are equally long. In general the squares add.",
            ),
            Misconception(
                takes_all_for_the_largest,
                "The largest times √K is the most that it could be, if all K parts were as long. Add the squares.",
            ),
            Misconception(
                takes_the_middle_shard,
                "The median tells of one typical part. Every part lengthens the whole: their squares add.",
            ),
        ),
        hints=(
            "Write the norm of (3, 4, 12) as one square root. Which part of the sum does each machine know?",
            "Each machine knows the sum of squares of its part: its norm, squared.",
            "Square the norms, add them up, take the root.",
        ),
        explanation="Squares add over shards, so one number from each machine is enough to know the total norm.",
    ),
    "turn_per_tensor": Exercise(
        key="03.3",
        title="How far does it turn?",
        solution=turn_per_tensor,
        stub=turn_per_tensor_stub,
        probes=(
            Probe((3.0, 12.0, 1.0), "both layers clipped"),
            Probe((0.5, 12.0, 1.0), "only layer 2 clipped"),
            Probe((12.0, 0.5, 1.0), "only layer 1 clipped"),
            Probe((0.3, 0.4, 1.0), "neither clipped"),
            Probe((5.0, 5.0, 1.0), "equal layers"),
            Probe((1.0, 4.0, 2.0), "c = 2"),
            Probe((3.0, 0.5, 2.0), "only layer 1 clipped, c = 2"),
            Probe((0.0, 5.0, 1.0), "layer 1 has no gradient"),
        ),
        misconceptions=(
            Misconception(
                says_no_turn, "Each layer keeps its own direction, but their proportion changes: the whole turns."
            ),
            Misconception(
                assumes_both_clipped,
                "This takes both layers as clipped to c. A layer whose norm is below c keeps its length.",
            ),
            Misconception(answers_in_radians, "Right, in radians. The question asks for degrees."),
            Misconception(
                gives_the_new_direction, "That is the direction after clipping. The turn is its difference from before."
            ),
            Misconception(
                always_the_bound, "45° is the bound for two tensors. How close a gradient comes depends on its norms."
            ),
            Misconception(
                keeps_the_sign, "Right in size, but a turn is asked for, not to which side: take the absolute value."
            ),
            Misconception(
                subtracts_the_other_way,
                "Right in size. Before minus after says to which side it turns; asked is how far: the absolute value.",
            ),
            Misconception(
                forgets_to_clip, "That is the direction *before* clipping. The turn is what clipping makes of it."
            ),
            Misconception(
                clips_only_layer_1, "Only layer 1 is clipped here. Layer 2 is compared with `max_norm` as well."
            ),
            Misconception(
                clips_only_layer_2, "Only layer 2 is clipped here. Layer 1 is compared with `max_norm` as well."
            ),
            Misconception(doubles_the_turn, "Twice the turn: from the old direction to the new one, counted once."),
        ),
        hints=(
            "Draw the point (n₁, n₂) and where it goes. Per-tensor clipping is a clamp in this plane.",
            "The direction of a point (a, b) is arctan2(b, a). After clipping the point is (min(n₁, c), min(n₂, c)).",
            "`np.degrees(abs(np.arctan2(min(norm2, c), min(norm1, c)) - np.arctan2(norm2, norm1)))` with c = max_norm.",
        ),
        explanation="Per-tensor norm clipping is clipping by value in the space of layer norms, and turns for the same "
        "reason: with K tensors by up to arccos(1/√K).",
        atol=1e-3,
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "03",
    (
        Question(
            "Your log shows a gradient norm of 3.7 although you clip at 1.0. What is the likely reason?",
            (
                Option(
                    "clipping is broken", "Look at what is logged first: nearly every trainer logs the norm it met."
                ),
                Option(
                    "the logged norm is the one before clipping",
                    "Yes: `clip_grad_norm_` returns the norm before clipping, and trainers log what it returns.",
                    right=True,
                ),
                Option(
                    "the norm is not the 2-norm", "Possible, but rare: the default is the 2-norm nearly everywhere."
                ),
                Option(
                    "c must be above every norm", "Then it would never clip; c is a ceiling for what is used, not met."
                ),
            ),
        ),
        Question(
            "Keras' `clipnorm=1.0` on a model of 50 variables: how long can the whole gradient be afterwards?",
            (
                Option("1", "That would be `global_clipnorm`. `clipnorm` clips each variable by its own norm."),
                Option("50", "Lengths at right angles add as squares."),
                Option("√50 ≈ 7.07", "Yes: 50 parts of norm 1 at right angles.", right=True),
                Option(
                    "it depends on the number of weights", "It would for `clipvalue`. Here only the variables count."
                ),
            ),
        ),
        Question(
            "A gradient (5, 2) is clipped with the ∞-norm at c = 2 (PyTorch: `norm_type=inf`). What comes out?",
            (
                Option("(2, 2)", "That is the clamp, `clip_grad_value_`. A norm gives one factor for all coordinates."),
                Option("(2, 0.8)", "Yes: n = 5, so both are multiplied by 2/5. It is no clamp.", right=True),
                Option("(1.86, 0.74)", "That is the 2-norm: n = 5.39."),
                Option("(5, 2)", "The largest entry, 5, is above c = 2, so it is clipped."),
            ),
        ),
        Question(
            "Which gradients does smooth clipping g·c/(c+n) change?",
            (
                Option("those with n > c", "That is hard clipping. Here there is no `min`."),
                Option("none, it only bounds them", "It bounds them *by* shortening every one."),
                Option("those with n < c", "Also, but not only those: c/(c+n) is below 1 for every n > 0."),
                Option("all but the zero gradient", "Yes: at n = c the norm is halved already.", right=True),
            ),
        ),
    ),
)

LESSON = Lesson(
    "03", "Clipping by norm", {"tensors": TENSORS, "ball": BALL, "training": TRAINING}, PREDICTIONS, EXERCISES, QUIZ
)
