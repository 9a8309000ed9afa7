"""Lesson 02, clipping by value: a box, every coordinate for itself, and a direction that turns."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import CLIPPERS, clip_by_value, global_norm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.box import BoxFigure
from gclip_lessons.figures.spike import SpikeFigure
from gclip_lessons.figures.valley import ValleyFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, moves
from gclip_lessons.models import Quadratic
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import Trajectory, angle_between, train


def largest_turn(n_params: int) -> float:
    """The bound arccos(1/√d) on how far clipping by value turns a gradient, in degrees; never reached for d ≥ 2."""
    return float(np.degrees(np.arccos(1 / np.sqrt(n_params))))


# --- One arrow and its box ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoxState(State):
    g1: float = control(5.0, label="gradient g₁", linear=(-6, 6))
    g2: float = control(1.0, label="gradient g₂", linear=(-6, 6))
    max_value: float = control(2.0, label="threshold c", log=(0.1, 10))


@dataclass(frozen=True)
class BoxResult:
    """`turns` are those of gradients as long as `grad` in the `directions` 0 to 360; angles in degrees."""

    state: BoxState
    grad: np.ndarray
    clipped: np.ndarray
    norm: float
    turn: float
    directions: np.ndarray
    turns: np.ndarray


DIRECTIONS = np.linspace(0, 360, 721)
AROUND = np.stack([np.cos(np.radians(DIRECTIONS)), np.sin(np.radians(DIRECTIONS))], axis=-1)


def clip_one(state: BoxState) -> BoxResult:
    grad = np.array([state.g1, state.g2], float)
    clipped, norm = clip_by_value(grad, state.max_value), float(global_norm(grad))
    circle = norm * AROUND
    turns = angle_between(circle, clip_by_value(circle, state.max_value))
    return BoxResult(
        state=state,
        grad=grad,
        clipped=clipped,
        norm=norm,
        turn=float(angle_between(grad, clipped)),
        directions=DIRECTIONS,
        turns=turns,
    )


def read_box(result: BoxResult) -> str:
    """The live sentence of the first demo."""
    g, c = result.grad, result.state.max_value
    over = [f"g{'₁₂'[i]} = {g[i]:g}" for i in range(2) if abs(g[i]) > c]
    if result.norm == 0:
        return f"The gradient is zero: it lies inside every box, here c = {c:g}, and stays what it is."
    if not over:
        return f"Both coordinates lie between −c and c = {c:g}: the gradient is inside the box, and nothing is changed."
    length = f"its length {result.norm:.3g} becomes {float(global_norm(result.clipped)):.3g}"
    if len(over) == 2:
        return (
            f"Both coordinates are beyond c = {c:g}: the arrow lands in a corner, {length} = c·√2, and it "
            f"turns by {result.turn:.1f}°. Of the gradient only the two signs are left."
        )
    i = int(abs(g[1]) > c)
    return (
        f"Only {over[0]} is beyond c = {c:g} and is clamped to {result.clipped[i]:g}; g{'₂₁'[i]} = "
        f"{g[1 - i]:g} stays. So {length}, and the arrow turns by {result.turn:.1f}°."
    )


BOX = Demo(
    BoxState,
    clip_one,
    BoxFigure,
    read_box,
    presets={
        "one coordinate over": Preset(BoxState(), "Only g₁ is too long. Where does the arrow point afterwards?"),
        "inside": Preset(BoxState(g1=1.5, g2=-1.0), "What does the box do to a gradient that fits?"),
        "both over": Preset(BoxState(g1=-5.0, g2=3.0), "What does the clipped arrow still know of the gradient?"),
        "on the diagonal": Preset(BoxState(g1=4.0, g2=4.0, max_value=1.0), "Is there a direction that a box keeps?"),
        "nearly on an axis": Preset(
            BoxState(g1=6.0, g2=0.3, max_value=0.3),
            "How far can two coordinates turn, and do they get there?",
        ),
    },
    drag=moves("plane", "g1", "g2"),
)

# --- One spike among many coordinates -----------------------------------------------------------------------


@dataclass(frozen=True)
class SpikeState(State):
    n_params: int = control(10, label="coordinates d", whole=(2, 100))
    spike: float = control(1e4, label="spike s", log=(1, 1e6))
    max_value: float = control(1.0, label="threshold c", log=(0.1, 1e6))


@dataclass(frozen=True)
class SpikeResult:
    """`turns` in degrees are those of the same spike and threshold among the `numbers` of coordinates."""

    state: SpikeState
    grad: np.ndarray
    clipped: np.ndarray
    turn: float
    numbers: np.ndarray
    turns: np.ndarray


NUMBERS = np.arange(2, 101)
# Row by row one gradient of d coordinates, filled up with zeros, which take no part in any angle.
ONES = (np.arange(100) < NUMBERS[:, None]).astype(float)


def clip_spike(state: SpikeState) -> SpikeResult:
    grads = ONES.copy()
    grads[:, 0] = state.spike
    turns = angle_between(grads, clip_by_value(grads, state.max_value))
    row, d = state.n_params - 2, state.n_params
    grad = grads[row, :d]
    return SpikeResult(
        state=state,
        grad=grad,
        clipped=clip_by_value(grad, state.max_value),
        turn=float(turns[row]),
        numbers=NUMBERS,
        turns=turns,
    )


def read_spike(result: SpikeResult) -> str:
    """The live sentence of the second demo."""
    d, s, c = result.state.n_params, result.state.spike, result.state.max_value
    if s <= c:
        return (
            f"Neither the spike s = {_number(s)} nor any of the ones is beyond c = {_number(c)}: nothing is changed, "
            "and nothing turns."
        )
    ones, bound = "the ones stay" if c >= 1 else "the ones as well", largest_turn(d)
    digits = 2 if bound - result.turn > 0.01 else 5  # enough to show that the bound is not reached
    return (
        f"The spike s = {_number(s)} is clamped to c = {_number(c)}, {ones}. That turns the arrow "
        f"by {result.turn:.{digits}f}°; the bound for {d} coordinates, "
        f"arccos(1/√{d}) = {bound:.{digits}f}°, is never reached."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def hold_spike(state: SpikeState, panel: str, x: float, y: float) -> SpikeState:
    """The mouse moves the threshold line on the left, and the number of coordinates on the right."""
    if panel == "bars":
        return replace(state, max_value=clamp("max_value", SpikeState, y))
    return replace(state, n_params=round(clamp("n_params", SpikeState, x)))


SPIKE = Demo(
    SpikeState,
    clip_spike,
    SpikeFigure,
    read_spike,
    presets={
        "one among ten": Preset(SpikeState(), "How far does one spike turn ten coordinates?"),
        "one among a hundred": Preset(SpikeState(n_params=100), "Do more coordinates make it better or worse?"),
        "a small spike": Preset(SpikeState(spike=3.0), "Does it take a huge spike to turn the arrow?"),
        "c a hundred times the ones": Preset(SpikeState(max_value=100.0), "What does a generous threshold buy?"),
        "c too small": Preset(SpikeState(spike=3.0, max_value=0.5), "Once every coordinate is clamped, does c matter?"),
    },
    drag=hold_spike,
)

# --- A narrow valley that can be turned ---------------------------------------------------------------------

N_STEPS = 100
CONDITION = 20.0  # curvature 1 along the floor and 20 across: plain descent needs η < 2/20
RULES = {"raw": "none", "value": "value", "norm": "global_norm"}


@dataclass(frozen=True)
class ValleyState(State):
    """The start is given along and across the floor of the valley, so that it turns with it."""

    angle: float = control(0.0, label="valley turned by (°)", linear=(0, 90), n_stops=91)
    max_value: float = control(1.0, label="threshold c", log=(0.01, 100))
    learning_rate: float = control(0.09, label="learning rate η", log=(0.001, 10))
    along: float = control(-5.0, label="start along", linear=(-6, 6))
    across: float = control(2.0, label="start across", linear=(-4, 4), n_stops=81)
    step: int = control(40, label="step", whole=(0, N_STEPS), play=True)


@dataclass(frozen=True)
class ValleyResult:
    """Paths (N_STEPS+1, 2) and losses of the runs "raw", "value" and "norm".

    `turn` is the angle by which the box turns the gradient at the state's step; in `corners` steps before it
    both coordinates were clamped.
    """

    state: ValleyState
    paths: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    turn: float
    corners: int
    condition: float = CONDITION


def valley_axes(angle: float) -> np.ndarray:
    """The matrix that takes (along, across) of a valley turned by `angle` degrees to (θ₁, θ₂)."""
    turn = np.radians(angle)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


@lru_cache(maxsize=512)
def descend(rule: str, angle: float, threshold: float, learning_rate: float, along: float, across: float) -> Trajectory:
    """One run of plain descent under a rule of CLIPPERS in the valley turned by `angle` degrees."""
    start = valley_axes(angle) @ np.array([along, across])
    model = Quadratic.valley(CONDITION, np.radians(angle))
    return train(model, start, SGD(learning_rate), CLIPPERS[rule](threshold), n_steps=N_STEPS)


def descend_three(state: ValleyState) -> ValleyResult:
    settings = (state.angle, state.max_value, state.learning_rate, state.along, state.across)
    runs = {name: descend(rule, *settings) for name, rule in RULES.items()}
    value = runs["value"]
    grads = Quadratic.valley(CONDITION, np.radians(state.angle)).loss_and_grad(value.params[: state.step + 1])[1]
    turn = float(angle_between(grads[-1], clip_by_value(grads[-1], state.max_value)))
    corners = int((np.abs(grads[:-1]) > state.max_value).all(-1).sum())
    return ValleyResult(
        state=state,
        paths={name: run.params for name, run in runs.items()},
        losses={name: run.loss for name, run in runs.items()},
        turn=turn,
        corners=corners,
    )


def read_valley(result: ValleyResult) -> str:
    """The live sentence of the third demo."""
    state = result.state
    raw, value, norm = (_loss(result.losses[name][state.step]) for name in RULES)
    signs = f"In {result.corners} of these steps both coordinates were clamped" if result.corners else ""
    return (
        f"After {state.step} steps the loss is {raw} unclipped, {value} by value and {norm} by global "
        f"norm. Here the box turns the gradient by {result.turn:.1f}°. "
        + (
            f"{signs}: steps of ±ηc = {_number(state.learning_rate * state.max_value)} each, sign descent."
            if signs
            else ""
        )
    ).strip()


def _loss(loss: float) -> str:
    return f"{loss:.3g}" if loss < 1e4 else "beyond 10,000"


def hold_start(state: ValleyState, panel: str, x: float, y: float) -> ValleyState:
    """The mouse moves the start."""
    if panel != "plane":
        return state
    along, across = valley_axes(state.angle).T @ np.array([x, y])
    return replace(state, along=clamp("along", ValleyState, along), across=clamp("across", ValleyState, across))


VALLEY = Demo(
    ValleyState,
    descend_three,
    ValleyFigure,
    read_valley,
    presets={
        "along the axes": Preset(ValleyState(), "Which of the two clipped runs is ahead, and why?"),
        "turned 45°": Preset(ValleyState(angle=45.0), "The same valley, turned: which of the three curves moved?"),
        "c small: sign descent": Preset(
            ValleyState(angle=30.0, max_value=0.1, learning_rate=4.0),
            "What is left of the gradient in every step?",
        ),
        "c small, η kept": Preset(ValleyState(max_value=0.02), "And if η does not make up for the small c?"),
        "c large": Preset(ValleyState(angle=30.0, max_value=100.0), "Was clipping needed here at all?"),
    },
    drag=hold_start,
)

# --- Predictions --------------------------------------------------------------------------------------------


def which_runs_change() -> str:
    """Which clipped runs have another loss after 40 steps once the valley is turned by 45°."""
    before, after = (descend_three(ValleyState(angle=angle)).losses for angle in (0.0, 45.0))
    changes = {name: not np.isclose(before[name][40], after[name][40], rtol=1e-6) for name in RULES}
    known = {(False, False): "none", (True, False): "value", (False, True): "norm", (True, True): "both"}
    return known[changes["value"], changes["norm"]]


PREDICTIONS = {
    "spike": Prediction(
        key="02.a",
        question="A gradient has ten coordinates: one spike of 10,000 and nine ones. By how many "
        "degrees does clipping by value with c = 1 turn it?",
        truth=lambda: clip_spike(SpikeState()).turn,
        unit="°",
        tolerance=0.04,
        explain={
            "low": "It is more. Before, the arrow lies almost on the axis of the spike; afterwards all ten "
            "coordinates are equal. The angle between an axis and that diagonal has the cosine 1/√10.",
            "close": "Yes: from almost along one axis to the diagonal of ten coordinates, an angle of cosine 1/√10.",
            "high": "It is less: the clipped arrow keeps a part along the spike, and no clamp "
            "reaches 90°. The angle between an axis and the diagonal of ten coordinates has "
            "the cosine 1/√10.",
        },
        evidence=lambda: read_spike(clip_spike(SpikeState())),
    ),
    "valley": Prediction(
        key="02.b",
        question="Two runs go down a narrow valley that lies along the axes, one clipped by value, one by "
        "global norm. Now valley and start are turned together by 45°. Whose loss after 40 steps "
        "changes?",
        truth=which_runs_change,
        options={
            "none": "neither: it is the same valley",
            "norm": "that of clipping by global norm",
            "both": "both: clipping changes steps",
            "value": "that of clipping by value",
        },
        explain={
            "none": "The valley is the same, but the box is not: it stays with the axes while the valley turns.",
            "norm": "The other way round: a ball looks the same from every side, a box does not.",
            "both": "A ball looks the same from every side: turn the valley, and the run by norm turns with it.",
            "value": "Yes. A ball turns into itself, a box does not: which coordinates are too long "
            "depends on the axes.",
        },
        evidence=lambda: " ".join(
            f"Turned by {angle:g}°: {_loss(losses['value'][40])} by value, {_loss(losses['norm'][40])} by norm."
            for angle in (0.0, 45.0)
            for losses in [descend_three(ValleyState(angle=angle)).losses]
        ),
    ),
}

# --- Exercises ----------------------------------------------------------------------------------------------


def clip_to_box(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.clip(grad, -max_value, max_value)


def clip_to_box_stub(grad: np.ndarray, max_value: float) -> np.ndarray:
    # Return a new array in which every coordinate lies between -max_value and max_value.
    ...


def clamps_only_from_above(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.minimum(grad, max_value)


def clamps_only_from_below(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.maximum(grad, -max_value)


def cuts_off_negatives(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.clip(grad, 0, max_value)


def turns_large_negatives_positive(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.where(np.abs(grad) > max_value, max_value, grad)


def loses_the_signs(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.minimum(np.abs(grad), max_value)


def zeroes_large_coordinates(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.where(np.abs(grad) > max_value, 0.0, grad)


def divides_by_the_largest(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = np.max(np.abs(grad))
    return grad * (max_value / largest) if largest > max_value else grad.copy()


def scales_by_the_norm(grad: np.ndarray, max_value: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad * (max_value / norm) if norm > max_value else grad.copy()


def keeps_only_the_signs(grad: np.ndarray, max_value: float) -> np.ndarray:
    return max_value * np.sign(grad)


def halves_the_box(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.clip(grad, -max_value / 2, max_value / 2)


def clamps_to_one(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.clip(grad, -1.0, 1.0)


def swaps_the_walls(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.clip(grad, max_value, -max_value)


def squashes_smoothly(grad: np.ndarray, max_value: float) -> np.ndarray:
    return max_value * np.tanh(grad / max_value)


def drops_the_whole_gradient(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.zeros_like(grad) if np.max(np.abs(grad)) > max_value else grad.copy()


def wraps_around(grad: np.ndarray, max_value: float) -> np.ndarray:
    return (grad + max_value) % (2 * max_value) - max_value


def largest_turn_stub(n_params: int) -> float:
    # How many degrees does clipping by value turn a gradient with n_params coordinates at most?
    ...


def knows_only_the_plane(n_params: int) -> float:
    return 45.0


def says_a_right_angle(n_params: int) -> float:
    return 90.0


def forgets_the_root(n_params: int) -> float:
    return float(np.degrees(np.arccos(1 / n_params)))


def takes_the_other_angle(n_params: int) -> float:
    return float(np.degrees(np.arcsin(1 / np.sqrt(n_params))))


def counts_the_spike_twice(n_params: int) -> float:
    return float(np.degrees(np.arccos(1 / np.sqrt(n_params + 1))))


def leaves_out_the_spike(n_params: int) -> float:
    return float(np.degrees(np.arccos(1 / np.sqrt(n_params - 1))))


def forgets_the_root_of_the_tangent(n_params: int) -> float:
    return float(np.degrees(np.arctan(n_params - 1)))


def interpolates(n_params: int) -> float:
    return 90.0 * (1 - 1 / n_params)


def answers_in_radians(n_params: int) -> float:
    return float(np.arccos(1 / np.sqrt(n_params)))


def shrink_into_box(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = np.max(np.abs(grad))
    if largest <= max_value:
        return grad.copy()
    return grad * (max_value / largest)


def shrink_into_box_stub(grad: np.ndarray, max_value: float) -> np.ndarray:
    return grad * (max_value / np.max(grad))


def forgets_negative_coordinates(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = np.max(grad)
    return grad * (max_value / largest) if largest > max_value else grad.copy()


def takes_the_absolute_too_late(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = abs(np.max(grad))
    return grad * (max_value / largest) if largest > max_value else grad.copy()


def lengthens_short_gradients(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = np.max(np.abs(grad))
    return grad * (max_value / largest) if largest else grad.copy()


def clamps_and_turns(grad: np.ndarray, max_value: float) -> np.ndarray:
    return np.clip(grad, -max_value, max_value)


def shrinks_by_the_norm(grad: np.ndarray, max_value: float) -> np.ndarray:
    norm = np.sqrt(np.sum(grad**2))
    return grad * (max_value / norm) if norm > max_value else grad.copy()


def shrinks_to_one(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = np.max(np.abs(grad))
    return grad / largest if largest > max_value else grad.copy()


def shrinks_what_fits(grad: np.ndarray, max_value: float) -> np.ndarray:
    norm, largest = np.sqrt(np.sum(grad**2)), np.max(np.abs(grad))
    return grad * (max_value / largest) if norm > max_value else grad.copy()


def looks_at_the_first_only(grad: np.ndarray, max_value: float) -> np.ndarray:
    first = np.abs(grad[0])
    return grad * (max_value / first) if first > max_value else grad.copy()


def shrinks_by_the_average(grad: np.ndarray, max_value: float) -> np.ndarray:
    average = np.mean(np.abs(grad))
    return grad * (max_value / average) if average > max_value else grad.copy()


def mixes_up_min_and_max(grad: np.ndarray, max_value: float) -> np.ndarray:
    largest = np.max(np.abs(grad))
    return grad * max(1.0, max_value / largest) if largest else grad.copy()


EXERCISES = {
    "clip_to_box": Exercise(
        key="02.1",
        title="Clip to a box",
        solution=clip_to_box,
        stub=clip_to_box_stub,
        probes=(
            Probe((np.array([5.0, 1.0]), 2.0), "one coordinate above c"),
            Probe((np.array([-3.0, 0.5]), 1.0), "a large negative coordinate"),
            Probe((np.array([4.0, -4.0, 0.25]), 0.5), "both sides, c below 1"),
            Probe((np.array([0.5, -1.5]), 2.0), "inside the box"),
            Probe((np.array([1.5, -1.5, 1.5]), 2.0), "inside the box, the norm above c"),
            Probe((np.array([2.0, -2.0]), 2.0), "on the edge of the box"),
            Probe((np.array([0.0, 0.0]), 1.0), "zero gradient"),
            Probe((np.array([1e4, 1.0, -1.0, 1.0]), 1.0), "a spike"),
            Probe((np.array([1.0, -2.5, 0.0, 4.0, -9.0]), 2.0), "five coordinates"),
            Probe((np.array([np.inf, 0.5, -np.inf]), 2.0), "infinite coordinates"),
        ),
        misconceptions=(
            Misconception(
                clamps_only_from_above,
                "The upper wall stands, the lower one is missing: a coordinate of −1000 walks straight "
                "through. A box has two walls for each coordinate.",
            ),
            Misconception(
                clamps_only_from_below,
                "The lower wall stands, the upper one is missing: a coordinate of 1000 walks straight "
                "through. A box has two walls for each coordinate.",
            ),
            Misconception(
                cuts_off_negatives,
                "The lower wall stands at 0 instead of −c, so every negative coordinate is lost. Half of all "
                "gradients are negative.",
            ),
            Misconception(
                turns_large_negatives_positive,
                "What is too large becomes +c, also where it was negative: that parameter would now move uphill.",
            ),
            Misconception(
                loses_the_signs,
                "The sizes are right and the minus signs are gone: those parameters would now move uphill.",
            ),
            Misconception(
                zeroes_large_coordinates,
                "You throw the large coordinates away. Clipping shortens them to c: their sign is worth keeping.",
            ),
            Misconception(
                divides_by_the_largest,
                "One number, taken from the largest coordinate, multiplies all. That keeps the direction, "
                "and it is clipping by the ∞-norm (exercise 02.3). By value every coordinate is for itself.",
            ),
            Misconception(
                scales_by_the_norm,
                "That is clipping by the norm: one factor for all, a ball instead of a box. Lesson 03 is about it.",
            ),
            Misconception(
                keeps_only_the_signs,
                "Every coordinate becomes ±c here, small ones too. That is the limit of a tiny c, sign "
                "descent; clipping leaves a coordinate alone that fits.",
            ),
            Misconception(
                swaps_the_walls,
                "The walls have changed places: `np.clip` wants the lower one first, and with the upper one first "
                "everything becomes −c.",
            ),
            Misconception(
                squashes_smoothly,
                "That squashes smoothly: every coordinate comes out a little shorter, those that fit as well. A box "
                "leaves alone what lies inside.",
            ),
            Misconception(
                drops_the_whole_gradient,
                "One large coordinate and the whole step is skipped. Clipping keeps the step, and each coordinate "
                "is for itself.",
            ),
            Misconception(
                wraps_around,
                "What leaves the box on one side comes in again on the other, so a large coordinate may change its "
                "sign. It has to stop at the wall.",
            ),
            Misconception(halves_the_box, "The box reaches from −c to c, so it is 2c wide; yours is c wide."),
            Misconception(clamps_to_one, "The walls stand at ±1 whatever c is: `max_value` is not used."),
        ),
        hints=(
            "Look at one coordinate. Which three cases are there, and what becomes of it in each?",
            "The lower wall is `-max_value`, the upper one `max_value`. numpy has one function for both walls at once.",
            "`np.clip(array, low, high)` puts every entry between `low` and `high`, and returns a new array.",
        ),
        explanation="No case distinction is needed: the nearest point of a box is found coordinate by "
        "coordinate. `np.minimum(np.maximum(grad, -c), c)` says the same. Infinity becomes "
        "±c; a NaN is neither above nor below and stays NaN, also in PyTorch's "
        "`clip_grad_value_`.",
    ),
    "largest_turn": Exercise(
        key="02.2",
        title="How far can it turn?",
        solution=largest_turn,
        stub=largest_turn_stub,
        probes=(
            Probe((1,), "one coordinate"),
            Probe((2,), "the plane"),
            Probe((3,), "three coordinates"),
            Probe((4,), "four coordinates"),
            Probe((10,), "ten coordinates"),
            Probe((100,), "a hundred coordinates"),
            Probe((1_000_000,), "a million coordinates"),
        ),
        misconceptions=(
            Misconception(
                knows_only_the_plane,
                "45° is right in the plane. With more coordinates the diagonal lies further from every axis.",
            ),
            Misconception(
                says_a_right_angle,
                "The turn comes near 90° only as the number of coordinates grows. With two coordinates it "
                "cannot pass 45°.",
            ),
            Misconception(
                forgets_the_root,
                "A root is missing: the diagonal (1, …, 1) has the length √d, and dividing by that length "
                "gives the cosine.",
            ),
            Misconception(
                takes_the_other_angle,
                "That is what is left to 90°: the angle whose *sine* is 1/√d. Between axis and diagonal lies the one "
                "with that cosine.",
            ),
            Misconception(
                counts_the_spike_twice,
                "One coordinate too many: that is the bound for d + 1. The diagonal has d entries, the clipped spike "
                "among them, so its length is √d. One coordinate alone cannot turn.",
            ),
            Misconception(
                leaves_out_the_spike,
                "One coordinate too few: that is the bound for d − 1. The clipped spike is an entry of the diagonal "
                "as well, so its length is √d.",
            ),
            Misconception(
                forgets_the_root_of_the_tangent,
                "Its tangent is d − 1, as if the ones lay along one line. They stand at right angles to each other: "
                "together they are √(d−1) long.",
            ),
            Misconception(
                interpolates,
                "Right for one and two coordinates and close to it for very many, but in between it is a guess. "
                "Write down the two arrows and the cosine of their angle.",
            ),
            Misconception(answers_in_radians, "Right, in radians. The question asks for degrees: `np.degrees`."),
        ),
        hints=(
            "Before: (huge, 1, …, 1), almost an axis. After, with c = 1: (1, 1, …, 1). What is the angle between them?",
            "cos = a·b/(‖a‖‖b‖) with a = (1, 0, …, 0) and b = (1, 1, …, 1).",
            "a·b = 1, ‖a‖ = 1 and ‖b‖ = √d: `np.degrees(np.arccos(1 / np.sqrt(n_params)))`.",
        ),
        explanation="One coordinate cannot turn: there the bound, 0, is what happens. From two on the spike would have "
        "to be infinite to lie on its axis, so the bound is approached and never reached. It grows with d: the "
        "larger the model, the further a spike can turn it.",
        atol=1e-3,
    ),
    "shrink_into_box": Exercise(
        key="02.3",
        title="Mend: into the box without a turn",
        solution=shrink_into_box,
        stub=shrink_into_box_stub,
        probes=(
            Probe((np.array([5.0, 1.0]), 2.0), "one coordinate above c"),
            Probe((np.array([-4.0, 1.0]), 2.0), "the largest is negative"),
            Probe((np.array([-4.0, 3.0]), 2.0), "a larger negative beside a large positive"),
            Probe((np.array([-4.0, -3.0]), 2.0), "all negative"),
            Probe((np.array([0.5, 0.25]), 2.0), "inside the box"),
            Probe((np.array([0.9, 0.9]), 1.0), "inside the box, the norm above c"),
            Probe((np.array([0.0, 0.0]), 1.0), "zero gradient"),
            Probe((np.array([8.0, -2.0, 0.0, 4.0]), 0.5), "four coordinates, c below 1"),
            Probe((np.array([1.0, -2.0, 6.0]), 1.5), "the largest stands last"),
        ),
        misconceptions=(
            Misconception(
                forgets_negative_coordinates,
                "`np.max(grad)` does not see −1000. Largest in *size* is meant: `np.abs` comes first.",
            ),
            Misconception(
                takes_the_absolute_too_late,
                "The absolute value comes too late here: first `np.abs`, then the maximum.",
            ),
            Misconception(
                lengthens_short_gradients,
                "A gradient that fits is lengthened to the wall of the box. Near a minimum steps would "
                "never become shorter.",
            ),
            Misconception(
                clamps_and_turns,
                "Each coordinate is for itself again: that turns the arrow. One factor for all!",
            ),
            Misconception(
                shrinks_by_the_norm,
                "The direction is kept, but the arrow ends at the *ball* of radius c, which lies inside "
                "the box: it could be longer.",
            ),
            Misconception(
                shrinks_to_one, "The largest coordinate comes out as 1, whatever c is: multiply by c as well."
            ),
            Misconception(
                looks_at_the_first_only,
                "It looks at the first coordinate. The largest may stand anywhere: `np.max` of the sizes.",
            ),
            Misconception(
                shrinks_by_the_average,
                "By the average size the largest coordinate still sticks out of the box. The largest decides.",
            ),
            Misconception(
                mixes_up_min_and_max,
                "`max(1, …)` lengthens what fits and leaves what does not. The factor must never exceed 1: `min`.",
            ),
            Misconception(
                shrinks_what_fits,
                "The factor is right, but you ask the norm whether to shrink, and (0.9, 0.9) fits into the "
                "box of c = 1.",
            ),
        ),
        hints=(
            "Keeping the direction means one factor for all coordinates. Which coordinate decides how large it may be?",
            "The one that is largest in *size* must land on ±c. And what is the factor when everything fits already?",
            "`largest = np.max(np.abs(grad))`; a copy if `largest <= max_value`, else `grad * (max_value / largest)`.",
        ),
        explanation="This is clipping by the ∞-norm, what PyTorch does for `clip_grad_norm_(…, "
        "norm_type=inf)`: the box of this lesson with the one factor of the next. The price: "
        "a spike shrinks every other coordinate along with it.",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "02",
    (
        Question(
            "PyTorch's `clip_grad_value_` with c = 1 meets the gradient (∞, −3, 0.5, NaN). What is left?",
            (
                Option(
                    "(NaN, NaN, NaN, NaN)",
                    "That is what a *norm* makes of it: one NaN in the norm spoils every entry.",
                ),
                Option(
                    "(1, −1, 0.5, 0)",
                    "NaN compares with nothing: it is not above 1, not below −1, and not replaced.",
                ),
                Option(
                    "(1, −1, 0.5, NaN)",
                    "Yes: every entry is for itself, so ∞ becomes c, and a NaN stays a NaN. It does not spread here.",
                    right=True,
                ),
                Option(
                    "(NaN, 0, 0, NaN)",
                    "An infinite *norm* does that: finite entries become 0, infinite ones NaN.",
                ),
            ),
        ),
        Question(
            "A model has a million parameters and is clipped by value at c = 1. How long can the clipped gradient be?",
            (
                Option("1", "That is the longest *coordinate*. A limit on the length is clipping by norm."),
                Option(
                    "1,000",
                    "Yes: c·√d, when every coordinate stands at ±1. The same c is another limit in another model.",
                    right=True,
                ),
                Option(
                    "1,000,000",
                    "That is the sum of the sizes, the 1-norm. Lengths add as squares: √1,000,000.",
                ),
                Option(
                    "as long as before",
                    "Only where no coordinate is beyond c. A spike of 10,000 loses its length.",
                ),
            ),
        ),
        Question(
            "Which of these clamps every coordinate for itself?",
            (
                Option(
                    "PyTorch: clip_grad_norm_(p, 1, norm_type=inf)",
                    "One factor for all, from the largest coordinate: no clamp.",
                ),
                Option("TensorFlow: tf.clip_by_global_norm(grads, 1)", "One factor for all variables together."),
                Option(
                    "Keras: SGD(clipnorm=1)",
                    "One factor for each variable: the direction inside a variable is kept.",
                ),
                Option(
                    "Keras: SGD(clipvalue=1)",
                    "Yes; in PyTorch it is `clip_grad_value_`, in optax `clip`.",
                    right=True,
                ),
            ),
        ),
        Question(
            "In every step all coordinates are beyond c. You divide c by 10 and multiply η by 10. What changes?",
            (
                Option(
                    "nothing at all",
                    "Yes: each step is ηc·sign(g), before and after. This is sign descent.",
                    right=True,
                ),
                Option(
                    "steps are ten times longer",
                    "They would be if c were kept. ηc is what counts here, and it is the same.",
                ),
                Option(
                    "steps are ten times shorter",
                    "They would be if η were kept. ηc is what counts here, and it is the same.",
                ),
                Option(
                    "the direction turns further",
                    "It has turned as far as it goes: only the signs are left already.",
                ),
            ),
        ),
    ),
)

LESSON = Lesson("02", "Clipping by value", {"box": BOX, "spike": SPIKE, "valley": VALLEY}, PREDICTIONS, EXERCISES, QUIZ)
