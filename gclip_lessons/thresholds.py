"""Thresholds that learn from the history of gradient norms.

A rule is a frozen dataclass that holds its settings and no history. The history travels beside it as a `state`:

    state = rule.init(runs)
    threshold, state = rule.update(state, norm)
    grad = clip_by_global_norm(grad, threshold)

or, for a whole stream of norms at once, `follow(rule, norms)`. The threshold that `update` returns is the one this
very norm meets; whether it depends on that norm is the rule's affair (`promises`). Rules learn from norms before
clipping; those that learn from clipped norms, as ZClip, AdaGC and SPAM do, clip for themselves.

Shapes. `norm` is (*runs), float64, each run for itself; `runs` is () for one. A setting is one number, or an array
that fits the runs, one for each: `AutoClip(np.array([5, 10, 50]))` follows three percentiles at once.

Size. A threshold is > 0 and at least 2.2e-308, also where an equation gives 0; inf means that nothing is clipped.

Norms that are not finite teach nothing: a NaN or an infinity leaves the state of its run as it was, and meets the
threshold that a norm of 0 would have met there. So one overflow does not poison the history. (What becomes of such a
gradient is the clipper's `nonfinite`.) Norms below 0 are refused with a ValueError.

Errors. TypeError for the wrong kind of thing, ValueError for a wrong value or shape; the message names the
setting, the constraint and what was received.
"""

import heapq
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Setting = float | Floats
State = tuple[Any, ...]

_SMALLEST, _LARGEST = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
_quiet = np.errstate(all="ignore")


# --- The rules ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ThresholdRule:
    """What all rules share: settings checked once, and what becomes of norms that are not finite.

    `label` is for menus. `scope` says what one norm is taken of: the "gradient", a "block" or an "element".
    `promises` are properties that the rule has; the tests hold each rule to its own list:
        "scale"   norms k times as large give thresholds k times as large (where `eps` is 0),
        "before"  the threshold is set before the norm that it meets is seen (where the run has one block),
        "robust"  after the warm-up, a spike ten times as large raises no later threshold.
    """

    label: ClassVar[str]
    scope: ClassVar[str] = "gradient"
    promises: ClassVar[frozenset[str]]

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _checked(one.name, getattr(self, one.name)))
        self._runs(())  # settings that do not fit each other are found here

    def __eq__(self, other: object) -> bool:
        """The same rule with the same settings."""
        return type(self) is type(other) and all(np.array_equal(v, vars(other)[k]) for k, v in vars(self).items())

    def __hash__(self) -> int:
        return hash(repr(self))

    def init(self, runs: tuple[int, ...] = ()) -> State:
        """The state before the first norm, for the shape `runs`."""
        raise NotImplementedError

    def learn(self, state: State, norm: Floats) -> tuple[Floats, State]:
        """The equation: from a finite norm, the threshold that it meets and the state after it."""
        raise NotImplementedError

    def update(self, state: State, norm: Setting) -> tuple[Floats, State]:
        """The threshold that `norm` meets, and the state after it."""
        norm, runs = _checked_norms(norm), np.shape(state[-1])
        if norm.shape != runs and norm.shape:
            raise ValueError(f"norm must fit the runs {runs} of the state; got shape {norm.shape}")
        return self._update(state, norm)

    @_quiet
    def _update(self, state: State, norm: Floats) -> tuple[Floats, State]:
        finite = np.isfinite(norm)
        threshold, learned = self.learn(state, np.where(finite, norm, 0.0))
        state = tuple(np.where(finite, new, old) for new, old in zip(learned, state, strict=True))
        return np.maximum(threshold, _SMALLEST), state

    @_quiet
    def _follow(self, norms: Floats) -> Floats:
        update = self.learn if np.isfinite(norms).all() else self._update  # what can be asked once is not asked often
        state, thresholds = self.init(norms.shape[1:]), np.empty(norms.shape)
        for t, norm in enumerate(norms):
            thresholds[t], state = update(state, norm)
        return np.maximum(thresholds, _SMALLEST)

    def _runs(self, runs: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of `runs` with that of the settings."""
        shapes = {one.name: np.shape(getattr(self, one.name)) for one in fields(self)}
        try:
            return np.broadcast_shapes(runs, *shapes.values())
        except ValueError:
            given = {name: shape for name, shape in shapes.items() if shape}
            raise ValueError(f"settings must fit the runs {runs} and each other; got shapes {given}") from None


@dataclass(frozen=True, eq=False)
class FixedThreshold(ThresholdRule):
    """c, whatever happens: the usual clipping, as a rule like any other. `max_norm` is > 0; inf clips nothing."""

    max_norm: Setting = 1.0
    label = "fixed c"
    promises = frozenset({"before", "robust"})

    def init(self, runs: tuple[int, ...] = ()) -> State:
        return (np.full(self._runs(runs), self.max_norm),)

    def learn(self, state: State, norm: Floats) -> tuple[Floats, State]:
        return state[0], state


@dataclass(frozen=True, eq=False)
class AutoClip(ThresholdRule):
    """The p-th percentile of all norms so far, this one included (it is appended first, then clipped).

    p is the share that is *left alone*: at p = 10 a stream without a trend is clipped nine times in ten. Between two
    norms the percentile is interpolated, as numpy does. Before the first finite norm it is inf. Nothing is ever
    forgotten: if all norms rise after T steps, the percentile lies among the old ones for another T·(100 − p)/p
    steps, 9T at p = 10. `percentile` is in [0, 100].
    Seetharaman, Wichern, Pardo, Le Roux, MLSP 2020, and the authors' code (pseeth/autoclip).

    `update` inserts into a sorted history, which costs O(t) at step t; `follow` keeps two heaps and costs
    O(T·log T) for T steps of a run.
    """

    percentile: Setting = 10.0
    label = "percentile of all history (AutoClip)"
    promises = frozenset({"scale", "robust"})

    def init(self, runs: tuple[int, ...] = ()) -> State:
        runs = self._runs(runs)
        return np.empty((*runs, 0)), np.zeros(runs, int)  # the history, sorted, and how much of it is finite

    @_quiet
    def _update(self, state: State, norm: Floats) -> tuple[Floats, State]:
        history, count = state
        new = np.broadcast_to(np.where(np.isfinite(norm), norm, np.inf), count.shape)[..., None]  # inf: past the end
        place, here = np.arange(history.shape[-1] + 1), (history <= new).sum(-1, keepdims=True)
        before, after = np.append(history, new, axis=-1), np.append(new, history, axis=-1)
        history = np.where(place < here, before, np.where(place == here, new, after))
        count = count + (new[..., 0] < np.inf)

        last = np.maximum(count - 1, 0)
        rank = self.percentile / 100 * last
        low = np.floor(rank).astype(int)
        a, b = (np.take_along_axis(history, i[..., None], -1)[..., 0] for i in (low, np.minimum(low + 1, last)))
        threshold = np.where(count > 0, a + (rank - low) * (b - a), np.inf)
        return np.maximum(threshold, _SMALLEST), (history, count)

    def _follow(self, norms: Floats) -> Floats:
        # A heap is no array, so here runs are taken one by one; a run costs about a microsecond a step.
        thresholds, percentiles = np.empty(norms.shape), np.broadcast_to(self.percentile, norms.shape[1:])
        for run in np.ndindex(norms.shape[1:]):
            each = np.s_[:, *run]
            thresholds[each] = _running_percentile(norms[each].tolist(), float(percentiles[run]) / 100)
        return np.maximum(thresholds, _SMALLEST)


def _running_percentile(norms: list[float], share: float) -> list[float]:
    """The percentile of each beginning of a stream: `low` holds the smallest norms (negative), `high` the others."""
    low, high, found = [], [], []
    threshold, last = math.inf, -1
    for norm in norms:
        if math.isfinite(norm):
            last += 1
            rank = share * last
            heapq.heappush(high, -heapq.heappushpop(low, -norm))
            while len(low) <= int(rank):
                heapq.heappush(low, -heapq.heappop(high))
            threshold = -low[0]
            if high:
                threshold += (rank - int(rank)) * (high[0] - threshold)
        found.append(threshold)
    return found


@dataclass(frozen=True, eq=False)
class QuantileTracker(ThresholdRule):
    """A threshold that steps towards a quantile of the norms: C ← C·exp(−η·(b − γ)), b = 1 where n ≤ C, else 0.

    γ is the share to be left alone, so that 1 − γ of the norms are clipped in the long run, whatever the trend.
    It remembers one number. It can fall by a factor of at most exp(−η(1−γ)) a step and rise by exp(ηγ).
    `quantile` γ is in (0, 1), `rate` η > 0, `initial` > 0.
    Andrew, Thakkar, McMahan, Ramaswamy, NeurIPS 2021, without the noise of differential privacy and with one norm a
    round; TensorFlow Privacy's QuantileEstimatorQuery with geometric_update has the same equation.
    """

    quantile: Setting = 0.5
    rate: Setting = 0.2
    initial: Setting = 0.1
    label = "quantile tracker"
    promises = frozenset({"before", "robust"})

    def init(self, runs: tuple[int, ...] = ()) -> State:
        return (np.full(self._runs(runs), self.initial),)

    def learn(self, state: State, norm: Floats) -> tuple[Floats, State]:
        (c,) = state
        moved = c * np.exp(-self.rate * ((norm <= c) - self.quantile))
        # Neither 0 nor inf could ever move again.
        return c, (np.minimum(np.maximum(moved, _SMALLEST), _LARGEST),)


@dataclass(frozen=True, eq=False)
class ZClip(ThresholdRule):
    """Clips where z = (n − μ)/(s + ε) exceeds z*, and the more the larger z is: to c = μ + z*·s·z*/z.

    μ and s are moving averages of what was left of the norms: μ ← αμ + (1−α)n, s² ← αs² + (1−α)(n − μ)², with
    the new μ in the second. The first `warmup` norms are only collected: their mean and standard deviation start μ
    and s, nothing is clipped, and a spike among them stays in μ and s. Where nothing is to clip, the threshold
    given is the largest norm that would pass, μ + z*·(s + ε).
    `max_z` z* is > 0, `alpha` in [0, 1), `warmup` a whole number ≥ 1, `eps` ≥ 0.
    Kumar, Owen, Chowdhury, Güra, "ZClip", arXiv 2504.02507, 2025, and the authors' code (bluorion-com/ZClip), which
    clips at a fixed 1.0 as well unless it is told not to.
    """

    max_z: Setting = 2.5
    alpha: Setting = 0.97
    warmup: int = 25
    eps: Setting = 1e-6
    label = "z-score (ZClip)"
    promises = frozenset({"scale", "robust"})

    def init(self, runs: tuple[int, ...] = ()) -> State:
        runs = self._runs(runs)
        return np.zeros(runs), np.zeros(runs), np.zeros(runs)  # μ, s and how many norms there were

    def learn(self, state: State, norm: Floats) -> tuple[Floats, State]:
        mean, std, count = state
        warm = count < self.warmup
        passes = np.where(warm, np.inf, mean + self.max_z * (std + self.eps))
        z = (norm - mean) / (std + self.eps)
        threshold = np.where(norm > passes, mean + self.max_z * std * self.max_z / z, passes)

        norm = np.minimum(norm, threshold)
        weight = np.where(warm, 1 / (count + 1), 1 - self.alpha)
        away = norm - mean
        # The spread of all norms in the warm-up, then the moving average; by hypot, since squares may overflow.
        spread = np.where(warm, np.sqrt(weight * (1 - weight)), np.sqrt(weight) * (1 - weight)) * away
        return threshold, (mean + weight * away, np.hypot(np.sqrt(1 - weight) * std, spread), count + 1)


@dataclass(frozen=True, eq=False)
class AdaGC(ThresholdRule):
    """Each block against a moving average of its own clipped norms: c = λ·γ, then γ ← βγ + (1−β)·min(n, c).

    In the first `warmup` steps the whole gradient is clipped at `max_norm` and γ is the smallest clipped norm so far.
    After them a clipped step raises γ by the factor 1 + (1−β)(λ−1), 1.001 with the defaults: that is how fast it
    follows a rise. A norm of 0 in the warm-up leaves γ at 0, and the threshold at its smallest, for ever.
    With `per_block` the last axis of the norms is the blocks of one gradient, and there is a threshold for each; in
    the warm-up these are the shares of `max_norm` that leave the direction alone. Without it every entry is a run
    whose gradient is one block.
    `factor` λ is ≥ 1, `beta` in [0, 1), `max_norm` > 0, `warmup` a whole number ≥ 1.
    Wang et al., "AdaGC", arXiv 2502.11034, 2025.
    """

    factor: Setting = 1.05
    beta: Setting = 0.98
    max_norm: Setting = 1.0
    warmup: int = 100
    per_block: bool = False
    label = "moving average per block (AdaGC)"
    scope = "block"
    promises = frozenset({"before", "robust"})

    def init(self, runs: tuple[int, ...] = ()) -> State:
        runs = self._runs(runs)
        if self.per_block and not runs:
            raise ValueError("runs must end in the number of blocks where per_block is True; got ()")
        return np.full(runs, np.inf), np.zeros(runs)  # γ and how many norms there were

    def learn(self, state: State, norm: Floats) -> tuple[Floats, State]:
        average, count = state
        warm = count < self.warmup
        share = 1.0
        if self.per_block:
            whole = np.hypot.reduce(norm, axis=-1, keepdims=True)
            share = np.where(whole > 0, norm / whole, 1.0)
        threshold = np.where(warm, self.max_norm * share, self.factor * average)

        norm = np.minimum(norm, threshold)
        moved = self.beta * average + (1 - self.beta) * norm
        return threshold, (np.where(warm, np.minimum(average, norm), moved), count + 1)


@dataclass(frozen=True, eq=False)
class SPAM(ThresholdRule):
    """Each element of the gradient against its own second moment: where g² > θ·v, g becomes sign(g)·√(θ·v).

    Then v ← βv + (1−β)g² with what is left of g, not corrected for its start at 0. Every `reset_every` steps v is set
    to 0, and for `warmup` steps from there nothing is clipped. An element that was 0 all through these steps has v = 0
    and is held at 0 until the next reset. θ = 5000 means: 71 times the root mean square.
    Here a "norm" is |g| of one element, and (*runs) is (*runs, n); `clip` takes the gradient itself. The rest of the
    optimiser (momentum that is reset too, a warm-up of the learning rate after it) is not clipping.
    `theta` θ is > 0, `beta` in [0, 1), `warmup` and `reset_every` are whole numbers ≥ 1.
    Huang et al., "SPAM", ICLR 2025; the 20 steps of `warmup` are those of the authors' code.
    """

    theta: Setting = 5000.0
    beta: Setting = 0.999
    warmup: int = 20
    reset_every: int = 500
    label = "element against its second moment (SPAM)"
    scope = "element"
    promises = frozenset({"scale", "before", "robust"})

    def init(self, runs: tuple[int, ...] = ()) -> State:
        runs = self._runs(runs)
        return np.zeros(runs), np.zeros(runs, int)  # √v and the step

    def learn(self, state: State, norm: Floats) -> tuple[Floats, State]:
        root, step = state
        since = (step + 1) % self.reset_every
        root = np.where(since == 0, 0.0, root)
        threshold = np.where(since >= self.warmup, np.sqrt(self.theta) * root, np.inf)

        norm = np.minimum(norm, threshold)
        return threshold, (np.hypot(np.sqrt(self.beta) * root, np.sqrt(1 - self.beta) * norm), step + 1)

    def clip(self, state: State, grad: Floats) -> tuple[Floats, State]:
        """The gradient (*runs, n) with its spikes cut, and the state after it; NaN stays, ±inf is cut as well."""
        threshold, state = self.update(state, np.abs(grad))
        return np.clip(grad, -threshold, threshold), state


@dataclass(frozen=True, eq=False)
class WarmUp(ThresholdRule):
    """Another rule, but in the first `steps` steps a c of one's own, which goes in equal steps from `start` to `end`.

    The other rule learns from the first norm on. `end` None is `start`: a fixed c. `steps` is a whole number ≥ 1,
    `start` and `end` are > 0. No paper: it is what a learner may want where a rule begins badly, as AutoClip does,
    whose first threshold is the first norm, be it a spike.
    """

    rule: ThresholdRule = field(default_factory=AutoClip)
    steps: int = 100
    start: Setting = 1.0
    end: Setting | None = None
    label = "warm-up, then AutoClip"
    promises = frozenset({"robust"})

    def __post_init__(self) -> None:
        if not isinstance(self.rule, ThresholdRule):
            raise TypeError(f"rule must be one of the rules of thresholds.py; got {reprlib.repr(self.rule)}")
        if self.end is None:
            object.__setattr__(self, "end", self.start)
        super().__post_init__()

    def init(self, runs: tuple[int, ...] = ()) -> State:
        runs = self._runs(runs)
        return self.rule.init(runs), np.zeros(runs, int)

    def _runs(self, runs: tuple[int, ...]) -> tuple[int, ...]:
        return self.rule._runs(super()._runs(runs))

    def _update(self, state: State, norm: Floats) -> tuple[Floats, State]:
        inner, step = state
        threshold, inner = self.rule._update(inner, norm)
        return self._or_own(threshold, step), (inner, step + np.isfinite(norm))

    def _follow(self, norms: Floats) -> Floats:
        finite = np.isfinite(norms)
        return self._or_own(self.rule._follow(norms), finite.cumsum(0) - finite)

    def _or_own(self, threshold: Floats, step: NDArray[np.int_]) -> Floats:
        way = step / max(self.steps - 1, 1)
        return np.where(step < self.steps, (1 - way) * self.start + way * self.end, threshold)


THRESHOLDS: dict[str, type[ThresholdRule]] = {
    "fixed": FixedThreshold,
    "percentile": AutoClip,
    "quantile": QuantileTracker,
    "z_score": ZClip,
    "block_average": AdaGC,
    "element": SPAM,
    "warm_up": WarmUp,
}


# --- A whole stream, and what became of it -----------------------------------------------------------------


def follow(rule: ThresholdRule, norms: Floats) -> Floats:
    """The thresholds that a stream of norms (n_steps, *runs) meets, one after the other, in its shape.

    Where settings of the rule are arrays, the runs are spread over them: norms (n_steps,) and three percentiles
    give (n_steps, 3).
    """
    norms = _checked_norms(norms, "norms")
    if norms.ndim == 0:
        raise ValueError("norms must be (n_steps, *runs); got one number")
    runs = rule._runs(norms.shape[1:])
    lacking = [1] * (len(runs) + 1 - norms.ndim)
    spread = norms.reshape(len(norms), *lacking, *norms.shape[1:])
    return rule._follow(np.broadcast_to(spread, (len(norms), *runs)))


def clipped_norms(norms: Floats, thresholds: Floats) -> Floats:
    """min(n, c): what clipping leaves of each norm. NaN stays."""
    return np.minimum(norms, thresholds)


@_quiet
def clip_rate(norms: Floats, thresholds: Floats) -> Floats:
    """The share of steps, in [0, 1], whose norm exceeds its threshold; (n_steps, *runs) gives (*runs).

    Norms that are not finite count neither as clipped nor as steps; with none that is finite the rate is NaN.
    """
    finite, over = np.isfinite(norms), norms > thresholds
    return (over & finite).sum(0) / np.broadcast_to(finite, over.shape).sum(0)


def left_over_trend(norms: Floats, thresholds: Floats, trend: Floats) -> Floats:
    """min(n, c)/trend: what is left of a spike, in units of the norm that was due. At a spike, 1 is a perfect cut."""
    return clipped_norms(norms, thresholds) / trend


def lag(thresholds: Floats, rise: int, factor: float, *, share: float = 0.5, window: int = 50) -> Floats:
    """How many steps a threshold needs to follow a genuine rise of the norms by `factor` > 1 at step `rise`.

    It has followed when it reaches factor^share times its median over the `window` steps before: half of the way
    on a logarithmic scale, by default; inf, which clips nothing, is there at once. (n_steps, *runs) gives (*runs);
    inf where it never does.
    """
    if not 0 < rise < len(thresholds):
        raise ValueError(f"rise must lie between the first step and the last, 1 to {len(thresholds) - 1}; got {rise}")
    if not factor > 1:
        raise ValueError(f"factor must be > 1; got {factor}")
    before = np.median(thresholds[max(rise - window, 0) : rise], axis=0)
    there = thresholds[rise:] >= before * factor**share
    return np.where(there.any(0), there.argmax(0), np.inf)


@dataclass(frozen=True)
class Stream:
    """Gradient norms made for the purpose, all (n_steps, *runs): `norms`, their `trend`, and where `spikes` are."""

    norms: Floats
    trend: Floats
    spikes: NDArray[np.bool_]


def norm_stream(
    rng: np.random.Generator,
    n_steps: int = 2000,
    runs: tuple[int, ...] = (),
    *,
    start: float = 5.0,
    decay: float = 2.0,
    sigma: float = 0.3,
    spike_rate: float = 0.01,
    spike: float = 50.0,
    rise: float = 1.0,
    rise_at: int | None = None,
) -> Stream:
    """Norms that decay, with noise, spikes and a rise: start·e^(−decay·t/n_steps)·LogNormal(0, sigma).

    A share `spike_rate` of them is multiplied by `spike`; from step `rise_at` on (the middle, by default) all are
    multiplied by `rise`. The trend is the median without spikes. decay = 0 is a flat stream.
    """
    t = np.arange(n_steps)
    trend = start * np.exp(-decay * t / n_steps) * np.where(t < (n_steps // 2 if rise_at is None else rise_at), 1, rise)
    trend = np.broadcast_to(trend.reshape(-1, *[1] * len(runs)), (n_steps, *runs))
    noise = rng.lognormal(0.0, sigma, trend.shape)
    spikes = rng.random(trend.shape) < spike_rate
    return Stream(trend * noise * np.where(spikes, spike, 1.0), trend, spikes)


# --- Checks of what comes in -------------------------------------------------------------------------------

_POSITIVE: tuple[str, Callable[[Any], Any]] = ("> 0", lambda value: value > 0)
_FINITE: tuple[str, Callable[[Any], Any]] = ("> 0 and finite", lambda value: (value > 0) & (value < np.inf))
_DECAY: tuple[str, Callable[[Any], Any]] = ("in [0, 1)", lambda value: (value >= 0) & (value < 1))
_BOUNDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("max_norm", "start", "end"), _POSITIVE),
    **dict.fromkeys(("rate", "initial", "max_z", "theta"), _FINITE),
    **dict.fromkeys(("alpha", "beta"), _DECAY),
    "percentile": ("in [0, 100]", lambda value: (value >= 0) & (value <= 100)),
    "quantile": ("in (0, 1)", lambda value: (value > 0) & (value < 1)),
    "eps": (">= 0 and finite", lambda value: (value >= 0) & (value < np.inf)),
    "factor": (">= 1 and finite", lambda value: (value >= 1) & (value < np.inf)),
}
_WHOLE = ("warmup", "steps", "reset_every")


def _checked(name: str, value: Any) -> Any:
    """A setting: a rule, a truth value, a whole number, a float, or a read-only float64 array."""
    if name == "rule":
        return value
    if name == "per_block":
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be True or False; got {reprlib.repr(value)}")
        return bool(value)
    if name in _WHOLE:
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be a whole number >= 1; got {reprlib.repr(value)}")
        if value < 1:
            raise ValueError(f"{name} must be a whole number >= 1; got {reprlib.repr(value)}")
        return int(value)
    constraint, holds = _BOUNDS[name]
    number = not isinstance(value, bool | np.bool_) and isinstance(value, Real)
    if not number and not (type(value) is np.ndarray and value.dtype.kind in "iuf"):
        raise TypeError(f"{name} must be a real number or an array of them, {constraint}; got {reprlib.repr(value)}")
    try:
        setting = np.array(value, np.float64)
    except OverflowError:  # an int can be larger than any float
        setting = np.array(np.nan)
    if setting.size == 0 or not np.all(holds(setting)):
        raise ValueError(f"{name} must be {constraint}; got {reprlib.repr(value)}")
    setting.setflags(write=False)
    return setting if setting.ndim else float(setting)


def _checked_norms(value: Any, name: str = "norm") -> Floats:
    """Norms as float64; they may be NaN or inf, but not below 0."""
    norms = np.asarray(value)
    if norms.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real numbers; got {reprlib.repr(value)}")
    norms = norms.astype(np.float64, copy=False)
    if (norms < 0).any():
        raise ValueError(f"{name} must be >= 0; got {norms[norms < 0][0]} and {(norms < 0).sum() - 1} more below 0")
    return norms
