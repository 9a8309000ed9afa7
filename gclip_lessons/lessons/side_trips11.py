"""Side trips of lesson 11: mixed precision, and five more loops to mend."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import clip_by_global_norm, clip_by_norm, global_norm
from gclip_lessons.exercises import Exercise, Misconception, Probe
from gclip_lessons.figures.scaling import ScalingFigure
from gclip_lessons.lessons import Demo, Preset, State, clamp, control
from gclip_lessons.lessons.loops11 import as_loop, bowl, bowl_with_a_spike, nothing, plain, valley

# --- Mixed precision ---------------------------------------------------------------------------------------

POWERS = np.arange(25)
_rng = np.random.default_rng(16)
ENTRIES = 1e-6 * np.exp(3.2 * _rng.normal(size=4096)) * _rng.choice([-1.0, 1.0], 4096)
_EDGES = np.linspace(-14, 3, 69)


@dataclass(frozen=True)
class ScalingState(State):
    power: int = control(16, label="loss scale S = 2^", whole=(0, 24))
    size: float = control(1.0, label="size of the gradient", log=(0.001, 1000), n_stops=25)
    max_norm: float = control(0.03, label="threshold c", log=(0.001, 10), n_stops=41)


@dataclass(frozen=True, eq=False)
class ScalingResult:
    """A gradient that passes float16 under every loss scale: `zero` and `infinite` are the shares of its entries that
    float16 loses, `norms` what is left of its norm once unscaled, `skipped` whether a step is taken at all, each by
    power of two; `steps` are lengths over η, NaN where none is taken, "unscale first" and "clip first".
    `shares` of the entries lie at `places`, their log10 sizes.
    """

    state: ScalingState
    zero: np.ndarray
    infinite: np.ndarray
    norms: np.ndarray
    steps: dict[str, np.ndarray]
    places: np.ndarray
    shares: np.ndarray

    @property
    def powers(self) -> np.ndarray:
        return POWERS

    @property
    def range(self) -> tuple[float, float]:
        """The log10 sizes between which float16 gives neither 0 nor ∞."""
        return float(np.log10(2.0**-25)), float(np.log10(65520.0))

    @property
    def skipped(self) -> np.ndarray:
        return self.infinite > 0

    @property
    def step(self) -> float:
        """The length of the present step over η, in the right order."""
        return float(self.steps["unscale first"][self.state.power])


@lru_cache(maxsize=32)
def through_float16(size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each power of two S: the shares of entries that S·g loses to 0 and to ∞ in float16, and the norm over S."""
    scale = 2.0 ** POWERS[:, None]
    with np.errstate(over="ignore", under="ignore"):
        half = (scale * size * ENTRIES).astype(np.float16).astype(np.float64)
    return (half == 0).mean(-1), np.isinf(half).mean(-1), np.sqrt(np.vecdot(half, half)) / scale[:, 0]


def scale_the_loss(state: ScalingState) -> ScalingResult:
    c, scale = state.max_norm, 2.0**POWERS
    zero, infinite, norms = through_float16(state.size)
    steps = {"unscale first": np.minimum(norms, c), "clip first": np.minimum(scale * norms, c) / scale}
    steps = {order: np.where(infinite > 0, np.nan, lengths) for order, lengths in steps.items()}
    shares = np.histogram(np.log10(np.abs(ENTRIES)), _EDGES)[0] / len(ENTRIES)
    places = (_EDGES[1:] + _EDGES[:-1]) / 2 + np.log10(state.size)
    return ScalingResult(state, zero, infinite, norms, steps, places, shares)


def read_scaling(result: ScalingResult) -> str:
    """The live sentence of the loss scale."""
    power = result.state.power
    lost = (
        f"S = {2**power:,}: on the way through float16 {_share(result.zero[power])} of the entries become 0 and "
        f"{_share(result.infinite[power])} become ∞."
    )
    if result.skipped[power]:
        return f"{lost} The step is skipped, whatever the order, and the scaler halves S."
    right, wrong = result.step, float(result.steps["clip first"][power])
    ratio = right / wrong
    short = "the same" if ratio < 1.005 else f"{plain(ratio)} times too short"
    return (
        f"{lost} Unscaled, the norm is {plain(result.norms[power])}, and clipping at c = {result.state.max_norm:g} "
        f"gives a step of η times {plain(right)}. Clipped before it is unscaled, the step is η times {plain(wrong)}, "
        f"{short}."
    )


def _share(share: float) -> str:
    if share == 0:
        return "none"
    return f"{100 * share:.2g}%" if share >= 0.001 else "less than 0.1%"


def hold_scale(state: ScalingState, panel: str, x: float, y: float) -> ScalingState:
    """The mouse moves the loss scale and the threshold on the right."""
    if panel != "steps":
        return state
    power = round(min(max(x, POWERS[0]), POWERS[-1]))
    return replace(state, power=power, max_norm=clamp("max_norm", ScalingState, max(y, 1e-10)))


SCALING = Demo(
    ScalingState,
    scale_the_loss,
    ScalingFigure,
    read_scaling,
    presets={
        "2¹⁶, as PyTorch starts": Preset(ScalingState(), "How far apart are the two orders?"),
        "no scale": Preset(ScalingState(power=0), "What is a loss scale for?"),
        "too large": Preset(ScalingState(power=22), "What does the scaler do where the step ends?"),
        "small gradients": Preset(ScalingState(size=0.001), "Does clipping first do harm where nothing needs a clip?"),
    },
    drag=hold_scale,
)


# --- Five more loops to mend -------------------------------------------------------------------------------

Logged = tuple[np.ndarray, list[float]]
Tensors = list[np.ndarray]
Gradient = Callable[[np.ndarray, int], np.ndarray]
Trained = tuple[np.ndarray, list[float]]  # the parameters at the end, and the norms as they were logged


def train_d(
    gradients: Callable[[Tensors, int], Tensors],
    params: Tensors,
    learning_rate: float,
    max_norm: float,
    n_steps: int,
) -> tuple[Tensors, list[float]]:
    norms = []
    for step in range(n_steps):
        grads = gradients(params, step)
        norm = np.sqrt(sum(global_norm(grad) ** 2 for grad in grads))
        norms.append(norm)
        grads = [grad * (max_norm / max(norm, max_norm)) for grad in grads]
        params = [param - learning_rate * grad for param, grad in zip(params, grads, strict=True)]
    return params, norms


def train_d_stub(
    gradients: Callable[[Tensors, int], Tensors],
    params: Tensors,
    learning_rate: float,
    max_norm: float,
    n_steps: int,
) -> tuple[Tensors, list[float]]:
    norms = []
    for step in range(n_steps):
        grads = gradients(params, step)
        norms.append(np.sqrt(sum(global_norm(grad) ** 2 for grad in grads)))
        grads = [clip_by_global_norm(grad, max_norm) for grad in grads]
        params = [param - learning_rate * grad for param, grad in zip(params, grads, strict=True)]
    return params, norms


def _total(tensors: Tensors) -> float:
    return np.sqrt(sum(global_norm(tensor) ** 2 for tensor in tensors))


def _shorter(tensors: Tensors, c: float, norm: float) -> Tensors:
    return [tensor * (c / max(norm, c)) for tensor in tensors]


def shares_the_threshold_out(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    return [clip_by_global_norm(grad, c / len(grads) ** 0.5) for grad in grads], [_total(grads)]


def adds_the_norms_of_tensors(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    norm = sum(global_norm(grad) for grad in grads)
    return _shorter(grads, c, norm), [norm]


def takes_the_largest_norm(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    norm = max(global_norm(grad) for grad in grads)
    return _shorter(grads, c, norm), [norm]


def averages_the_norms_of_tensors(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    norm = np.mean([global_norm(grad) for grad in grads])
    return _shorter(grads, c, norm), [norm]


def forgets_the_root_of_the_sum(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    return _shorter(grads, c, _total(grads) ** 2), [_total(grads)]


def clips_each_and_then_all(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    each = [clip_by_global_norm(grad, c) for grad in grads]
    return _shorter(each, c, _total(each)), [_total(grads)]


def lengthens_short_gradients_too(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    norm = _total(grads)
    return [grad * (c / norm if norm else 1.0) for grad in grads], [norm]


def clips_nothing(grads: Tensors, c: float) -> tuple[Tensors, list[float]]:
    return grads, [_total(grads)]


def train_e(gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        if not np.isfinite(norms[-1]):
            continue
        grad = clip_by_global_norm(grad, max_norm)
        params = params - learning_rate * grad
    return params, norms


def train_e_stub(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        grad = clip_by_global_norm(grad, max_norm)
        params = params - learning_rate * grad
    return params, norms


def trusts_the_finite_entries(grad: np.ndarray, c: float) -> Logged:
    kept = np.where(np.isfinite(grad), grad, 0.0)
    return clip_by_global_norm(kept, c), [global_norm(grad)]


def takes_infinity_for_a_large_number(grad: np.ndarray, c: float) -> Logged:
    return clip_by_global_norm(np.nan_to_num(grad), c), [global_norm(grad)]


def clamps_infinity_to_c(grad: np.ndarray, c: float) -> Logged:
    return clip_by_global_norm(np.clip(grad, -c, c), c), [global_norm(grad)]


def hides_it_from_the_log(grad: np.ndarray, c: float) -> Logged:
    finite = np.isfinite(global_norm(grad))
    return clip_by_global_norm(grad, c, nonfinite="zero"), [global_norm(grad)] * bool(finite)


def looks_for_nan_only(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return (np.zeros_like(grad) if np.isnan(norm) else clip_by_global_norm(grad, c)), [norm]


def looks_for_infinity_only(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return (np.zeros_like(grad) if np.isinf(norm) else clip_by_global_norm(grad, c)), [norm]


def steps_unclipped_after_the_check(grad: np.ndarray, c: float) -> Logged:
    finite = np.isfinite(global_norm(grad))
    return (grad if finite else np.zeros_like(grad)), [global_norm(grad)]


def stops_at_the_first_one(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        if not np.isfinite(norms[-1]):
            break
        params = params - learning_rate * clip_by_global_norm(grad, max_norm)
    return params, norms


def train_f(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_workers: int, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        parts = np.array_split(gradient(params, step), n_workers)
        total = np.sqrt(sum(global_norm(part) ** 2 for part in parts))
        norms.append(total)
        parts = [part * (max_norm / max(total, max_norm)) for part in parts]
        params = params - learning_rate * np.concatenate(parts)
    return params, norms


def train_f_stub(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_workers: int, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        parts = np.array_split(gradient(params, step), n_workers)  # each worker holds one
        norms.append(global_norm(parts[0]))  # the first worker writes the log
        parts = [clip_by_global_norm(part, max_norm) for part in parts]
        params = params - learning_rate * np.concatenate(parts)
    return params, norms


def _norms_of_parts(grad: np.ndarray, n_workers: int) -> np.ndarray:
    return np.array([global_norm(part) for part in np.array_split(grad, n_workers)])


def averages_the_norms_of_workers(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    norm = _norms_of_parts(grad, n_workers).mean()
    return grad * (c / max(norm, c)), [norm]


def adds_the_norms_of_workers(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    norm = _norms_of_parts(grad, n_workers).sum()
    return grad * (c / max(norm, c)), [norm]


def takes_the_largest_of_the_workers(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    norm = _norms_of_parts(grad, n_workers).max()
    return grad * (c / max(norm, c)), [norm]


def lets_the_first_worker_decide(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    norm = _norms_of_parts(grad, n_workers)[0]
    return grad * (c / max(norm, c)), [norm]


def logs_the_first_worker_still(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    return clip_by_global_norm(grad, c), [_norms_of_parts(grad, n_workers)[0]]


def mends_the_log_alone(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    parts = [clip_by_global_norm(part, c) for part in np.array_split(grad, n_workers)]
    return np.concatenate(parts), [global_norm(grad)]


def lowers_c_for_each_worker(grad: np.ndarray, c: float, n_workers: int) -> Logged:
    parts = [clip_by_global_norm(part, c / n_workers**0.5) for part in np.array_split(grad, n_workers)]
    return np.concatenate(parts), [global_norm(grad)]


def train_g(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, blocks: tuple, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        grad = clip_by_global_norm(grad, max_norm)
        params = params - learning_rate * grad
    return params, norms


def train_g_stub(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, blocks: tuple, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad = gradient(params, step)
        norms.append(global_norm(grad))
        grad = clip_by_norm(grad, max_norm, blocks=blocks)  # each tensor
        grad = clip_by_global_norm(grad, max_norm)  # and all of them
        params = params - learning_rate * grad
    return params, norms


def keeps_the_other_clip(grad: np.ndarray, c: float, blocks: tuple) -> Logged:
    return clip_by_norm(grad, c, blocks=blocks), [global_norm(grad)]


def exchanges_the_two(grad: np.ndarray, c: float, blocks: tuple) -> Logged:
    return clip_by_norm(clip_by_global_norm(grad, c), c / len(blocks) ** 0.5, blocks=blocks), [global_norm(grad)]


def removes_both(grad: np.ndarray, c: float, blocks: tuple) -> Logged:
    return grad, [global_norm(grad)]


def loosens_the_first_clip(grad: np.ndarray, c: float, blocks: tuple) -> Logged:
    return clip_by_global_norm(clip_by_norm(grad, 2 * c, blocks=blocks), c), [global_norm(grad)]


def logs_between_the_two(grad: np.ndarray, c: float, blocks: tuple) -> Logged:
    each = clip_by_norm(grad, c, blocks=blocks)
    return clip_by_global_norm(each, c), [global_norm(each)]


def logs_behind_the_clip(grad: np.ndarray, c: float, blocks: tuple) -> Logged:
    clipped = clip_by_global_norm(grad, c)
    return clipped, [global_norm(clipped)]


def train_h(gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int) -> Trained:
    norms = []
    for step in range(n_steps):
        grad, new = gradient(params, step), params.copy()
        norm = global_norm(grad)
        norms.append(norm)
        for i in range(len(params)):
            new[i] = params[i] - learning_rate * grad[i] * max_norm / max(norm, max_norm)
        params = new
    return params, norms


def train_h_stub(
    gradient: Gradient, params: np.ndarray, learning_rate: float, max_norm: float, n_steps: int
) -> Trained:
    norms = []
    for step in range(n_steps):
        grad, new = gradient(params, step), params.copy()
        norms.append(global_norm(grad))
        for i in range(len(params)):
            buffer = np.zeros_like(params)  # what is updated already has been cleared
            buffer[i] = grad[i]
            norm = global_norm(buffer)
            new[i] = params[i] - learning_rate * buffer[i] * max_norm / max(norm, max_norm)
        params = new
    return params, norms


def takes_the_largest_entry(grad: np.ndarray, c: float) -> Logged:
    return grad * (c / max(np.abs(grad).max(), c)), [global_norm(grad)]


def adds_the_sizes_of_entries(grad: np.ndarray, c: float) -> Logged:
    return grad * (c / max(np.abs(grad).sum(), c)), [global_norm(grad)]


def gives_each_entry_its_share(grad: np.ndarray, c: float) -> Logged:
    return np.clip(grad, -c / grad.size**0.5, c / grad.size**0.5), [global_norm(grad)]


def lets_the_buffer_fill_up(grad: np.ndarray, c: float) -> Logged:
    sofar = np.sqrt(np.cumsum(grad**2))
    return grad * c / np.maximum(sofar, c), [global_norm(grad)]


def never_clips(grad: np.ndarray, c: float) -> Logged:
    return grad, [global_norm(grad)]


def reaches_c_every_time(grad: np.ndarray, c: float) -> Logged:
    norm = global_norm(grad)
    return grad * (c / norm if norm else 1.0), [norm]


# Gradients to try them on


def two_tensors(params: Tensors, step: int) -> Tensors:
    """The gradient of half the squares of all entries, tensor by tensor."""
    return [1.0 * param for param in params]


def steep_second_tensor(params: Tensors, step: int) -> Tensors:
    """The same, with the second tensor's thirty times as long."""
    return [param * (30.0 if k == 1 else 1.0) for k, param in enumerate(params)]


def once_infinite(params: np.ndarray, step: int) -> np.ndarray:
    """The gradient of ½‖θ‖², whose first entry is infinite in step 1."""
    grad = 1.0 * params
    if step == 1:
        grad[0] = np.inf
    return grad


def once_not_a_number(params: np.ndarray, step: int) -> np.ndarray:
    """The gradient of ½‖θ‖², whose last entry is NaN in step 0."""
    grad = 1.0 * params
    if step == 0:
        grad[-1] = np.nan
    return grad


def always_infinite(params: np.ndarray, step: int) -> np.ndarray:
    """Minus infinity everywhere."""
    return np.full_like(params, -np.inf)


_HERE = np.array([3.0, 4.0, 12.0])
_LOW = np.array([0.3, -0.2, 0.1, 0.0, 0.2])
_PAIR, _SINGLES = (slice(0, 2), slice(2, 3)), (slice(0, 1), slice(1, 2), slice(2, 3))
_SCOPES = (
    Probe((bowl, _HERE, 0.5, 1.0, 2, 1), "(3, 4) and (12), c = 1"),
    Probe((bowl, _HERE, 0.5, 20.0, 2, 2), "c above every norm"),
    Probe((bowl, _HERE, 0.5, 6.0, 2, 3), "c between the two norms"),
    Probe((valley, _LOW, 0.2, 0.3, 2, 5), "five parameters in a valley"),
    Probe((bowl, _HERE, 0.5, 1.0, 3, 2), "three workers"),
    Probe((nothing, _HERE, 0.5, 1.0, 3, 2), "no gradient"),
)

EXERCISES = {
    "train_d": Exercise(
        key="11.4",
        title="Mend: log sheet D",
        solution=train_d,
        stub=train_d_stub,
        probes=(
            Probe((two_tensors, [np.array([3.0, 4.0]), np.array([12.0])], 0.5, 1.0, 1), "(3, 4) and (12), c = 1"),
            Probe((two_tensors, [np.array([3.0, 4.0]), np.array([12.0])], 0.5, 20.0, 2), "nothing to clip"),
            Probe((two_tensors, [np.array([3.0, 4.0]), np.array([12.0])], 0.5, 6.0, 3), "c between the two norms"),
            Probe((steep_second_tensor, [np.array([0.5, 0.1]), np.array([0.2])], 0.01, 1.0, 5), "one tensor is steep"),
            Probe((two_tensors, [np.array([0.6]), np.array([0.6]), np.array([0.6])], 0.1, 1.0, 2), "each below c"),
            Probe((two_tensors, [np.zeros(2), np.zeros(3)], 0.1, 1.0, 2), "no gradient"),
        ),
        misconceptions=(
            Misconception(
                as_loop(shares_the_threshold_out),
                "c/√K for each of K tensors keeps the whole below c, and still turns it: each tensor has a factor of "
                "its own. One factor for all.",
            ),
            Misconception(
                as_loop(adds_the_norms_of_tensors), "Norms of tensors add as squares: √(5² + 12²) is 13, not 17."
            ),
            Misconception(
                as_loop(takes_the_largest_norm), "The longest tensor is not the whole: √(5² + 12²) is 13, not 12."
            ),
            Misconception(
                as_loop(averages_the_norms_of_tensors), "An average of norms is not the norm of the whole: add squares."
            ),
            Misconception(as_loop(forgets_the_root_of_the_sum), "That factor is c/n²: the root is missing."),
            Misconception(
                as_loop(clips_each_and_then_all),
                "All together are clipped now, and each still is before: that has turned the whole already.",
            ),
            Misconception(
                as_loop(lengthens_short_gradients_too),
                "Short gradients are lengthened to c: the factor is min(1, c/n).",
            ),
            Misconception(as_loop(clips_nothing), "Nothing is clipped any more."),
        ),
        hints=(
            "How many factors are there, and how many should there be?",
            "One norm of everything: the root of the sum of all squares. The log has it already.",
            "`norm = ...` as in the log, then `[grad * (max_norm / max(norm, max_norm)) for grad in grads]`.",
        ),
        explanation="In Keras it is one word: `global_clipnorm` in place of `clipnorm`. That the two were taken for "
        "each other is the story of keras 13575 and tensorflow 29108, where tf.keras and Keras meant different "
        "things by one name.",
    ),
    "train_e": Exercise(
        key="11.5",
        title="Mend: log sheet E",
        solution=train_e,
        stub=train_e_stub,
        probes=(
            Probe((once_infinite, np.array([3.0, 4.0]), 0.5, 1.0, 2), "infinite in the second of two steps"),
            Probe((once_infinite, np.array([3.0, 4.0]), 0.5, 2.0, 5), "and three steps after it"),
            Probe((once_not_a_number, np.array([3.0, 4.0]), 0.5, 1.0, 3), "NaN in the first step"),
            Probe((always_infinite, np.array([3.0, 4.0]), 0.5, 1.0, 2), "infinite in every step"),
            Probe((bowl, np.array([3.0, 4.0]), 0.5, 1.0, 3), "all finite, c = 1"),
            Probe((bowl_with_a_spike, np.array([0.6, 0.8]), 0.1, 1.0, 3), "a spike, large but finite"),
        ),
        misconceptions=(
            Misconception(
                as_loop(trusts_the_finite_entries),
                "The infinite entries become 0, and the others are used. They come from the same broken "
                "computation: a gradient that is not finite is no gradient; leave the step out.",
            ),
            Misconception(
                as_loop(takes_infinity_for_a_large_number),
                "`nan_to_num` makes 1.8·10³⁰⁸ of ∞: a direction out of an accident, and clipped to c it is a full step "
                "along it. Leave the step out.",
            ),
            Misconception(
                as_loop(clamps_infinity_to_c),
                "Clamped to c, the broken entry gets a full vote, and ordinary gradients are turned by the clamp too. "
                "Leave the step out.",
            ),
            Misconception(
                as_loop(hides_it_from_the_log),
                "The step is left out, and so is the log's line: nobody will see how often it happens. Log first.",
            ),
            Misconception(
                as_loop(looks_for_nan_only), "NaN is caught and ∞ is not: `np.isfinite` asks for both at once."
            ),
            Misconception(
                as_loop(looks_for_infinity_only), "∞ is caught and NaN is not: `np.isfinite` asks for both at once."
            ),
            Misconception(as_loop(steps_unclipped_after_the_check), "Checked, and no longer clipped."),
            Misconception(
                stops_at_the_first_one,
                "`break` ends the training at the first bad batch. `continue` leaves out the one step.",
            ),
        ),
        hints=(
            "What is c/∞, and what is ∞ times that?",
            "One number tells: the norm is finite just if all entries are (and their squares fit).",
            "After the log: `if not np.isfinite(norms[-1]): continue`.",
        ),
        explanation="It is what PyTorch's scaler does in mixed precision: `scaler.step` leaves a step with ∞ or NaN "
        "out. Without a scaler, `clip_grad_norm_(..., error_if_nonfinite=True)` at least stops. That it does not by "
        "default was asked for in pytorch 46849, made the default in 53843, and taken back in 55169, since too much "
        "code broke. And count the steps that are left out: one in ten thousand is an accident, one in ten is a bug.",
    ),
    "train_f": Exercise(
        key="11.6",
        title="Mend: log sheet F",
        solution=train_f,
        stub=train_f_stub,
        probes=_SCOPES,
        misconceptions=(
            Misconception(
                as_loop(averages_the_norms_of_workers),
                "An average of norms is too small, and the smaller the more workers there are. Squares add.",
            ),
            Misconception(
                as_loop(adds_the_norms_of_workers), "Norms of parts add as squares: √(5² + 12²) is 13, not 17."
            ),
            Misconception(as_loop(takes_the_largest_of_the_workers), "The longest part is not the whole: squares add."),
            Misconception(
                as_loop(lets_the_first_worker_decide),
                "One factor for all, so nothing turns; but it comes from the first worker's part alone.",
            ),
            Misconception(
                as_loop(logs_the_first_worker_still),
                "The steps are right. The log still has the first worker's part in place of the whole.",
            ),
            Misconception(
                as_loop(mends_the_log_alone),
                "The log has the whole norm now, and each worker still clips by its own.",
            ),
            Misconception(
                as_loop(lowers_c_for_each_worker),
                "c/√W for each of W workers keeps the whole below c, and turns it still.",
            ),
        ),
        hints=(
            "What would a single machine do that held all parts?",
            "Each worker sends one number, the square of its norm, and all get the sum back.",
            "`total = np.sqrt(sum(global_norm(part) ** 2 for part in parts))`, one factor for all parts, and log it.",
        ),
        explanation="With FSDP, `torch.nn.utils.clip_grad_norm_` over a worker's own parameters did this, and so "
        "FSDP has a method of its own (pytorch 72548); with pipeline stages it came back (torchtitan 596). The whole "
        "norm costs one sum over the workers, of one number each.",
    ),
    "train_g": Exercise(
        key="11.7",
        title="Mend: log sheet G",
        solution=train_g,
        stub=train_g_stub,
        probes=(
            Probe((bowl, _HERE, 0.5, 1.0, _PAIR, 1), "(3, 4) and (12), c = 1"),
            Probe((bowl, _HERE, 0.5, 20.0, _PAIR, 2), "nothing to clip"),
            Probe((bowl, _HERE, 0.5, 6.0, _PAIR, 3), "c between the two norms"),
            Probe((valley, np.array([0.5, -0.4, 0.6]), 0.2, 1.0, _SINGLES, 4), "each tensor below c or a little above"),
            Probe((bowl_with_a_spike, np.array([0.1, 0.2, 0.3]), 0.1, 1.0, _PAIR, 3), "a spike"),
            Probe((nothing, _HERE, 0.5, 1.0, _PAIR, 2), "no gradient"),
        ),
        misconceptions=(
            Misconception(
                as_loop(keeps_the_other_clip),
                "One clip is left, the wrong one: each tensor by itself turns the step, and lets it be √K times c.",
            ),
            Misconception(
                as_loop(exchanges_the_two), "Still two clips, in the other order: the last one turns the step now."
            ),
            Misconception(as_loop(removes_both), "Both clips are gone: one of them was right."),
            Misconception(
                as_loop(loosens_the_first_clip), "A looser first clip turns less often, and turns still. Remove it."
            ),
            Misconception(
                as_loop(logs_between_the_two),
                "That changes the log, not the steps: and the log should hold the norm before any clip.",
            ),
            Misconception(
                as_loop(logs_behind_the_clip),
                "The steps are right. Log the norm before the clip: it says what was met.",
            ),
        ),
        hints=(
            "Which of the two lines can turn a gradient?",
            "A global clip bounds every tensor as well: no tensor is longer than the whole.",
            "Delete the line with `clip_by_norm`.",
        ),
        explanation="The global clip alone keeps the promise of both: the whole is at most c long, and so is each "
        "tensor. The first clip adds nothing but the turn. From google/automl 910, whose author had added it for one "
        "data set and found that it helped little.",
    ),
    "train_h": Exercise(
        key="11.8",
        title="Mend: log sheet H",
        solution=train_h,
        stub=train_h_stub,
        probes=(
            Probe((bowl, np.array([3.0, 4.0]), 0.5, 1.0, 1), "one step from (3, 4), c = 1"),
            Probe((bowl, np.array([3.0, 4.0]), 0.5, 10.0, 2), "nothing to clip"),
            Probe((bowl, np.array([3.0, 4.0]), 0.5, 4.5, 2), "each entry below c, the whole above"),
            Probe((valley, np.array([0.5, -2.0, 1.0]), 0.1, 1.0, 4), "three parameters in a valley"),
            Probe((bowl_with_a_spike, np.array([0.1, 0.2, 0.3]), 0.1, 1.0, 3), "a spike"),
            Probe((nothing, np.array([3.0, 4.0]), 0.5, 1.0, 2), "no gradient"),
        ),
        misconceptions=(
            Misconception(
                as_loop(takes_the_largest_entry),
                "One factor for all, so nothing turns; but the largest entry is not the norm.",
            ),
            Misconception(
                as_loop(adds_the_sizes_of_entries),
                "That is the 1-norm, the sum of sizes. The Euclidean one adds squares.",
            ),
            Misconception(
                as_loop(gives_each_entry_its_share), "c/√d for each entry keeps the whole below c, and turns it still."
            ),
            Misconception(
                as_loop(lets_the_buffer_fill_up),
                "If the buffer is only filled up, the first entries are clipped by a norm of a part, and the last by "
                "the whole. The norm must be taken before the first entry is updated.",
            ),
            Misconception(as_loop(never_clips), "Nothing is clipped any more."),
            Misconception(as_loop(reaches_c_every_time), "Short gradients are lengthened: the factor is min(1, c/n)."),
        ),
        hints=(
            "Of which vector is the norm taken, and what is in it?",
            "The norm belongs to the whole gradient, so take it while all of the gradient is still there.",
            "Before the inner loop: `norm = global_norm(grad)`; and inside use `grad[i]`.",
        ),
        explanation="A buffer that is cleared too early turns clipping by norm into clipping by value, silently. "
        "In NVIDIA/caffe 462 each parameter was updated, and its gradient cleared, before the next one's norm was "
        "taken.",
    ),
}
