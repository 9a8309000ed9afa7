"""Side trips of lesson 09: rules that are related to clipping, two that are not, and the size of a model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import adaptive_clip, clip_by_global_norm, global_norm, normalize_gradient, sign_gradient
from gclip_lessons.exercises import Option, Prediction, Question
from gclip_lessons.figures.relatives import RelativesFigure
from gclip_lessons.figures.sizes import SizesFigure
from gclip_lessons.lessons import Demo, Preset, State, clamp, control, frozen
from gclip_lessons.lessons.lesson04 import two_digits
from gclip_lessons.models import DeepNet
from gclip_lessons.training import angle_between

# --- Relatives: rules that also change the length of an update ----------------------------------------------


def trust_ratio(update: np.ndarray, params: np.ndarray, trust: float) -> np.ndarray:
    """LARS: u·τ‖w‖/‖u‖ for one layer, u where either norm is 0: always the same share of the weights, τ.

    `update` and `params` are (*runs, n), `trust` τ > 0. Taken of the gradient it is LARS (You, Gitman, Ginsburg,
    2017), of Adam's update, with τ = 1, LAMB (You et al., ICLR 2020); weight decay is left out here.
    """
    n, w = global_norm(update)[..., None], global_norm(params)[..., None]
    ratio = trust * w / np.where(n > 0, n, 1.0)
    return update * np.where((n > 0) & (w > 0), ratio, 1.0)


def adafactor_clip(update: np.ndarray, threshold: float) -> np.ndarray:
    """u/max(1, RMS(u)/d), with the root of the mean square of u and d = `threshold` > 0.

    `update` u, (*runs, n), has gone through the preconditioner already (Shazeer and Stern, ICML 2018).
    """
    rms = global_norm(update)[..., None] / update.shape[-1] ** 0.5
    return update / np.maximum(1.0, rms / threshold)


SHARE_OF_NOW = 1000**-0.8  # of g² in Adafactor's mean of squares, 1 − β₂ at step 1000


def precondition(grad: np.ndarray, past: np.ndarray | float) -> np.ndarray:
    """g/√v, entry by entry, with v = β₂·past² + (1 − β₂)·g²: Adafactor's update before it is clipped, at step 1000.

    `past` > 0 is the root of the mean of the squares so far. The mean is kept whole here; for matrices Adafactor keeps
    the means of its rows and columns alone.
    """
    return grad / np.sqrt((1 - SHARE_OF_NOW) * past**2 + SHARE_OF_NOW * grad**2)


Rule = Callable[[np.ndarray, float, float], np.ndarray]  # gradients (*runs, 2), threshold, reference


def _weights(grad: np.ndarray, norm: float) -> np.ndarray:
    """Weights of this norm, one row a run."""
    return np.broadcast_to(norm * np.array([0.6, 0.8]), grad.shape)


RULES: dict[str, Rule] = {
    "clipping": lambda g, c, ref: clip_by_global_norm(g, c),
    "normalised": lambda g, c, ref: normalize_gradient(g, c),
    "sign": lambda g, c, ref: sign_gradient(g, c),
    "AGC": lambda g, c, ref: adaptive_clip(g, _weights(g, ref), c, units=(slice(None),)),
    "LARS": lambda g, c, ref: trust_ratio(g, _weights(g, ref), c),
    "Adafactor": lambda g, c, ref: adafactor_clip(precondition(g, ref), c),
}
THRESHOLD_IS = dict.fromkeys(RULES, "c") | {"AGC": "λ", "LARS": "τ", "Adafactor": "d"}
COMPARED_WITH = {"AGC": "‖w‖", "LARS": "‖w‖", "Adafactor": "past gradients of"}


@dataclass(frozen=True)
class RelativesState(State):
    rule: str = control("clipping", label="rule", choices=tuple(RULES))
    norm: float = control(10.0, label="gradient norm n", log=(0.01, 100), n_stops=81)
    angle: float = control(20.0, label="its direction", linear=(0, 90), n_stops=91)
    threshold: float = control(1.0, label="threshold c (λ, τ, d)", log=(0.01, 10), n_stops=61)
    reference: float = control(1.0, label="‖w‖ or past g", log=(0.01, 100), n_stops=81)


@dataclass(frozen=True)
class RelativesResult:
    """The length of what a rule makes of a gradient (over η), at other `norms` and here, and where it points.

    `clip_lengths` are those of clipping by norm at the length that the rule allows: c for most, λ‖w‖ for AGC, τ‖w‖ for
    LARS, and for rules that look at entries that of d entries as large as they may be.
    """

    state: RelativesState
    norms: np.ndarray
    lengths: np.ndarray
    clip_lengths: np.ndarray
    grad: np.ndarray
    update: np.ndarray
    length: float
    turn: float


NORMS = np.geomspace(0.01, 100, 97)


def level(state: RelativesState) -> float:
    """The length beyond which no update of the rule goes (nor below which, if it enlarges too)."""
    by_rule = {"AGC": state.reference, "LARS": state.reference, "sign": 2**0.5, "Adafactor": 2**0.5}
    return state.threshold * by_rule.get(state.rule, 1.0)


def relate(state: RelativesState) -> RelativesResult:
    way = np.array([np.cos(np.radians(state.angle)), np.sin(np.radians(state.angle))])
    grads = np.append(NORMS, state.norm)[:, None] * way
    updates = RULES[state.rule](grads, state.threshold, state.reference)
    lengths = global_norm(updates)
    return RelativesResult(
        state=state,
        norms=NORMS,
        lengths=lengths[:-1],
        clip_lengths=np.minimum(NORMS, level(state)),
        grad=grads[-1],
        update=updates[-1],
        length=float(lengths[-1]),
        turn=float(angle_between(grads[-1], updates[-1])),
    )


def read_relatives(result: RelativesResult) -> str:
    """The live sentence of the relatives."""
    state = result.state
    n, factor = state.norm, result.length / state.norm
    with_what = f", {COMPARED_WITH[state.rule]} {state.reference:g}" if state.rule in COMPARED_WITH else ""
    if f"{factor:.2g}" == "1":
        change = "as long as it was"
    else:
        change = f"{two_digits(factor)} times as long" + (" (enlarged)" if factor > 1 else "")
    return (
        f"{state.rule[0].upper()}{state.rule[1:]}, {THRESHOLD_IS[state.rule]} = {state.threshold:g}{with_what}: a "
        f"gradient of norm {n:g} becomes an update of length {two_digits(result.length)}, {change}, and turned by "
        f"{result.turn:.0f}°."
    )


def hold_relatives(state: RelativesState, panel: str, x: float, y: float) -> RelativesState:
    """The mouse moves the norm of the gradient on the left, its direction on the right."""
    if panel == "lengths":
        return replace(state, norm=clamp("norm", RelativesState, x))
    return replace(state, angle=clamp("angle", RelativesState, float(np.degrees(np.arctan2(max(y, 0), max(x, 0))))))


RELATIVES = Demo(
    RelativesState,
    relate,
    RelativesFigure,
    read_relatives,
    presets={
        "normalised": Preset(RelativesState(rule="normalised", norm=0.1), "What becomes of a gradient that is short?"),
        "sign": Preset(RelativesState(rule="sign", norm=0.1), "And which way does it point afterwards?"),
        "AGC": Preset(RelativesState(rule="AGC", threshold=0.01, reference=100.0), "λ = 0.01: why is the limit 1?"),
        "LARS": Preset(RelativesState(rule="LARS", norm=0.1), "What does the trust ratio do to a short gradient?"),
        "Adafactor": Preset(
            RelativesState(rule="Adafactor", norm=0.5, reference=0.1), "n = 0.5 is below d = 1. Why is it clipped?"
        ),
    },
    drag=hold_relatives,
)

# --- Size: what happens to the norm as a network grows ------------------------------------------------------

WIDTHS = (8, 16, 32, 64, 128, 256, 512)
N_IN, N_NETS, BATCH = 10, 10, 16
STARTS = FAN_IN, EQUAL, NTK = "1/√fan-in", "0.3 for all", "1, and 1/√fan-in outside"


@dataclass(frozen=True)
class SizesState(State):
    start: str = control(FAN_IN, label="size of the weights", choices=STARTS)
    width: str = control("8", label="width", choices=tuple(map(str, WIDTHS)))
    max_norm: float = control(1.0, label="threshold c", log=(0.1, 100), n_stops=61)


@dataclass(frozen=True)
class SizesResult:
    """Norms of the gradient (widths, 20) of networks of `params` parameters at their start, and the share beyond c.

    `power` is the slope of their medians against the number of parameters, on log scales.
    """

    state: SizesState
    params: np.ndarray
    norms: np.ndarray
    medians: np.ndarray
    shares: np.ndarray
    power: float


def networks(width: int, rng: np.random.Generator) -> dict[str, tuple[DeepNet, np.ndarray]]:
    """One tanh network 10–width–width–1 on a batch of 16, and its weights (n,) for each kind of start.

    The inputs are N(0, 1), and y is the sign of the product of the first two. All starts are made of the same draws.
    """
    x = rng.normal(size=(BATCH, N_IN))
    nets = {start: DeepNet(x, np.sign(x[:, 0] * x[:, 1]), (width, width), ntk=start == NTK) for start in STARTS}
    draws = rng.normal(size=nets[NTK].n_params)
    fan_in = np.repeat([N_IN, width, width], [N_IN * width, width * width, width])
    return {FAN_IN: (nets[FAN_IN], draws / np.sqrt(fan_in)), EQUAL: (nets[EQUAL], 0.3 * draws), NTK: (nets[NTK], draws)}


def norms_at(width: int) -> np.ndarray:
    """The gradient norms (starts, N_NETS) of networks of one width, each with weights and a batch of its own."""
    rng = np.random.default_rng(width)
    drawn = [networks(width, rng) for _ in range(N_NETS)]
    return np.array([[global_norm(n.loss_and_grad(w)[1]) for n, w in (one[s] for one in drawn)] for s in STARTS])


@lru_cache(maxsize=1)
def _all_norms() -> dict[str, np.ndarray]:
    """The norms (widths, N_NETS) of all starts: half a second's work, once."""
    norms = np.stack([norms_at(width) for width in WIDTHS], axis=1)
    return dict(zip(STARTS, frozen(norms), strict=True))


N_PARAMS = np.array([N_IN * w + w * w + w for w in WIDTHS])


def grow(state: SizesState) -> SizesResult:
    norms = _all_norms()[state.start]
    medians = np.median(norms, axis=-1)
    return SizesResult(
        state=state,
        params=N_PARAMS,
        norms=norms,
        medians=medians,
        shares=(norms > state.max_norm).mean(-1),
        power=float(np.polyfit(np.log(N_PARAMS), np.log(medians), 1)[0]),
    )


def read_sizes(result: SizesResult) -> str:
    """The live sentence of the last side trip."""
    state, k = result.state, WIDTHS.index(int(result.state.width))
    grown, norm = result.params[-1] / result.params[0], result.medians[-1] / result.medians[0]
    return (
        f"Weights of size {state.start}: at width {state.width} the median norm is {two_digits(result.medians[k])} for "
        f"{result.params[k]:,} parameters, and c = {state.max_norm:g} clips {100 * result.shares[k]:.0f}% of the "
        f"gradients. From width 8 to 512 the parameters grow {grown:,.0f} times and the norm {two_digits(norm)} times: "
        f"about (parameters)^{result.power:.2f}."
    )


def hold_sizes(state: SizesState, panel: str, x: float, y: float) -> SizesState:
    """The mouse moves the threshold on the left and the width on the right."""
    if panel == "norms":
        return replace(state, max_norm=clamp("max_norm", SizesState, max(y, 1e-9)))
    nearest = int(np.argmin(np.abs(np.log(np.array(WIDTHS) / max(x, 1e-9)))))
    return replace(state, width=str(WIDTHS[nearest]))


SIZES = Demo(
    SizesState,
    grow,
    SizesFigure,
    read_sizes,
    presets={
        "the usual start": Preset(SizesState(), "Along which grey line do the norms grow?"),
        "a wide one": Preset(SizesState(width="512"), "The same c = 1: how many of its gradients are clipped?"),
        "equal weights": Preset(
            SizesState(start=EQUAL, width="512"), "Weights of one size: do norms grow like √d now?"
        ),
        "factors outside": Preset(SizesState(start=NTK, width="512"), "The same networks, other parameters: and now?"),
    },
    drag=hold_sizes,
)

DEMOS = {"relatives": RELATIVES, "sizes": SIZES}

# --- What the lesson asks about them ------------------------------------------------------------------------


def growth() -> float:
    """By how much the median norm grows from width 8 to 512, with the usual start."""
    medians = grow(SizesState()).medians
    return float(medians[-1] / medians[0])


PREDICTIONS = {
    "size": Prediction(
        key="09.d",
        question="A tanh network of three layers, with the usual random start, grows from width 8 to 512, and its "
        "parameters from 152 to 267,776: 1,762 times as many. By what factor does the norm of its gradient grow?",
        truth=growth,
        unit="times",
        tolerance=0.3,
        explain={
            "low": "It does grow: a wider layer hands on more values, each of about the same size.",
            "close": "Yes, about the fourth root of the number of parameters: they are more, and each has less to say.",
            "high": "√1762 = 42 would be right for entries of one size. But in a wider network each entry of the "
            "gradient is smaller.",
        },
        evidence=lambda: " ".join(
            f"Width {w}: norm {two_digits(n)}." for w, n in zip(WIDTHS, grow(SizesState()).medians, strict=True)
        ),
    ),
}

QUESTION = Question(
    "A reinforcement learner reports ‘PPO, clip = 0.2’. Can a gradient of norm 1000 reach its optimiser?",
    (
        Option("no: 0.2 is the largest norm", "0.2 is about a ratio of probabilities, not about the gradient."),
        Option("no: its entries are clamped to ±0.2", "That would be clipping by value. 0.2 is about a ratio."),
        Option(
            "yes, unless the norm is clipped as well",
            "Right: the ratio's clip switches a gradient off or leaves it as it is, and shortens none. Many programs "
            "clip the norm too, by another setting.",
            right=True,
        ),
        Option("yes, but only while the ratio is outside 0.8 … 1.2", "Outside is where it may be switched off."),
    ),
)
