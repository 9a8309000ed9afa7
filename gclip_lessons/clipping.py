"""Gradient clipping: every rule of the course as a function of a gradient and a threshold.

Notation: g the gradient, n its norm ‖g‖, c the threshold (`max_norm`, `max_value`, `clipping`).

Arrays. The last axis of `grad` holds the d parameters, leading axes are runs (a sweep, several seeds), each
clipped on its own; `grad` is a numpy array of float16, float32 or float64. A threshold is one number > 0, or
an array with one axis for each axis of runs, of equal length or 1. The threshold inf clips nothing.

Results. Always a new array of the gradient's dtype; the input is never changed. Norms and scale factors
neither overflow nor underflow on the way. Non-finite gradients become what `nonfinite` says:
    "propagate"  what the equation gives. By norm at a finite c, a NaN makes its whole scope NaN; an infinity
                 makes finite entries 0 and infinite ones NaN (as in PyTorch). By value, ±inf becomes ±c, with c
                 rounded to the gradient's dtype, and NaN stays. At c = inf everything stays as it is.
    "zero"       a run with any non-finite entry becomes all zeros: a skipped step (per example: the whole batch's).
    "raise"      ValueError, with their number.

Errors. TypeError for the wrong kind of thing, ValueError for a wrong value or shape; the message names the
parameter, the constraint and what was received.
"""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Threshold = float | NDArray[np.float64]
Slices = Sequence[slice]

_EVERYTHING = (slice(None),)
_SUMMED = 2**12  # squares added up in the gradient's own precision: a longer float32 sum loses digits
_PIECE = 2**16  # parameters multiplied at a time where there are many
_quiet = np.errstate(all="ignore")  # divergence is data: inf and NaN are answers here, not accidents


# --- The rules ---------------------------------------------------------------------------------------------


@_quiet
def global_norm(grad: Array, *, ord: float = 2) -> NDArray[np.float64]:
    """The norm n = (Σ|gᵢ|ᵖ)^(1/p) of each run, in float64; `ord` is p > 0, or inf for max|gᵢ|.

    [1e200, 1e200] has norm 1.41e200, although its squares overflow. The answer is inf only where
    an entry is infinite or the norm itself exceeds the largest float64, and NaN where an entry is
    NaN. Squares of float32 are added in float32, 4096 at a time, and these sums in float64: the
    norm is good to about 1e-6.
    """
    _check_array(grad, "grad")
    return _norm(grad, _number(ord, "ord"))[()]


@_quiet
def clip_by_value(grad: Array, max_value: Threshold, *, nonfinite: str = "propagate") -> Array:
    """Clamp each entry to [−c, c]: the nearest point of a box.

    It turns the direction: cos(angle) > 1/√d for d ≥ 2, and one huge entry among d − 1 others comes
    close to that.
    """
    grad, c = _inputs(grad, max_value, "max_value", nonfinite)
    c = np.asarray(c, grad.dtype)[..., None]
    return np.clip(grad, -c, c)  # max(−c, min(c, gᵢ))


@_quiet
def clip_by_global_norm(grad: Array, max_norm: Threshold, *, ord: float = 2, nonfinite: str = "propagate") -> Array:
    """g·min(1, c/n), n over all parameters: for p = 2 the nearest point of a ball.

    The direction is kept. Computed as g·c/max(n, c), which needs no special case at n = 0.
    PyTorch's `clip_grad_norm_` takes min(1, c/(n + 1e-6)): shorter by a relative 1e-6/n, so that
    there clipping twice shortens twice; its float32 norm of 10⁶ equal entries is off by up to 7e-4;
    and finite float32 gradients of 1e20, whose squares overflow, silently become zeros there,
    while here they get norm c. Pascanu, Mikolov, Bengio, ICML 2013.
    """
    grad, c = _inputs(grad, max_norm, "max_norm", nonfinite)
    return _scaled(grad, c, over=np.maximum, ord=_number(ord, "ord"))  # g·c/max(n, c)


@_quiet
def clip_by_norm(
    grad: Array, max_norm: Threshold, *, blocks: Slices, ord: float = 2, nonfinite: str = "propagate"
) -> Array:
    """Each block (a layer, a tensor) by its own norm: g_b·min(1, c/n_b).

    Keras calls this `clipnorm`. `blocks` are slices of the last axis that cover each parameter
    exactly once. With K blocks the direction turns by up to arccos(1/√K), and the norm of the whole
    may reach c√K.
    """
    grad, c = _inputs(grad, max_norm, "max_norm", nonfinite)
    ord = _number(ord, "ord")

    def clip_block(block: slice) -> Array:
        return _scaled(grad[..., block], c, over=np.maximum, ord=ord)  # g_b·c/max(n_b, c)

    return _each(blocks, "blocks", grad, clip_block)


@_quiet
def clip_smoothly(grad: Array, max_norm: Threshold, *, ord: float = 2, nonfinite: str = "propagate") -> Array:
    """g·c/(c + n): no corner at n = c, always shorter than c, and ½ to 1 times the hard clip.

    Zhang, He, Sra, Jadbabaie, ICLR 2020 (normalised gradient descent is clipping, up to a factor
    of 2).
    """
    grad, c = _inputs(grad, max_norm, "max_norm", nonfinite)
    return _scaled(grad, c, over=np.add, ord=_number(ord, "ord"))  # g·c/(n + c)


@_quiet
def adaptive_clip(
    grad: Array,
    params: Array,
    clipping: Threshold,
    *,
    units: Slices,
    eps: float = 1e-3,
    nonfinite: str = "propagate",
) -> Array:
    """Each unit's gradient against its own weights: g_u·min(1, m/n_u), where m = c·max(‖w_u‖, eps).

    `units` are slices of the last axis that cover each parameter exactly once (column j of a
    flattened (in, out) matrix is slice(j, in*out, out)). `params` has the axes of `grad`.
    AGC: Brock, De, Smith, Simonyan, ICML 2021.
    """
    grad, c = _inputs(grad, clipping, "clipping", nonfinite)
    _check_array(params, "params")
    if params.shape[-1] != grad.shape[-1]:
        raise ValueError(f"params must have the axes of grad, {grad.shape}; got shape {params.shape}")
    _check_runs(params.shape[:-1], grad.shape[:-1], "params")
    eps = _number(eps, "eps")

    def clip_unit(unit: slice) -> Array:
        m = c * np.maximum(_norm(params[..., unit], 2), eps)
        return _scaled(grad[..., unit], m, over=np.maximum)  # g_u·m/max(n_u, m)

    return _each(units, "units", grad, clip_unit)


@_quiet
def clip_per_example(
    grads: Array, max_norm: Threshold, *, reduction: str = "mean", nonfinite: str = "propagate"
) -> Array:
    """Each example's gradient by its own norm, then the "mean" or "sum" of all.

    `grads` is (..., examples, d), the result (..., d).
    No example moves the sum by more than c, whatever it is: Abadi et al., CCS 2016 (DP-SGD).
    """
    grads, c = _inputs(grads, max_norm, "max_norm", nonfinite, run_axes=2)
    clipped = _scaled(grads, np.asarray(c)[..., None], over=np.maximum)  # g·c/max(n, c)
    reduce = {"mean": np.mean, "sum": np.sum}[_choice(reduction, "reduction")]
    return reduce(clipped, axis=-2, dtype=np.float64).astype(grads.dtype)


@_quiet
def normalize_gradient(grad: Array, max_norm: Threshold, *, ord: float = 2, nonfinite: str = "propagate") -> Array:
    """g·c/n: every gradient gets length c, short ones too; 0 stays 0.

    `max_norm` must be finite; where it exceeds 0.999 of the largest number of the gradient's dtype,
    it is taken as that. Hazan, Levy, Shalev-Shwartz, NeurIPS 2015.
    """
    grad, c = _inputs(grad, max_norm, "max_norm", nonfinite, finite=True)
    return _scaled(grad, c, over=lambda n, c: n, ord=_number(ord, "ord"))  # g·c/n


@_quiet
def sign_gradient(grad: Array, max_value: Threshold, *, nonfinite: str = "propagate") -> Array:
    """c·sign(g): what clipping by value becomes when c lies below every entry; 0 stays 0.

    `max_value` must be finite; where it exceeds 0.999 of the largest number of the gradient's
    dtype, it is taken as that.
    """
    grad, c = _inputs(grad, max_value, "max_value", nonfinite, finite=True)
    return np.asarray(c, grad.dtype)[..., None] * np.sign(grad)


# --- The rules with their thresholds: values that can be named, shown in a legend, and called --------------


@dataclass(frozen=True, repr=False, eq=False)
class Clipper:
    """A rule with its threshold, called `clipper(grad, params=None)`. The fields are the rule's arguments.

    `label` is for menus. `promises` are properties that the rule has; the tests hold each rule to its own
    list (with default options, one example, and parameters of norm 1):
        "direction" parallel to g, "projection" the nearest point of a convex set (hence non-expansive),
        "identity_inside" g itself where n <= c, "idempotent" twice is once,
        "tighter_wins" clip, then clip tighter, is the tighter clip, "shorter" never longer than g,
        "norm_bounded" norm <= c, "entries_bounded" every |entry| <= c.
    """

    nonfinite: str = field(default="propagate", kw_only=True)
    rule: ClassVar[Callable[..., Array]]
    label: ClassVar[str]
    promises: ClassVar[frozenset[str]]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check = _threshold if name == self.__match_args__[0] else _CHECKS[name]
            object.__setattr__(self, name, check(value, name))

    def __call__(self, grad: Array, params: Array | None = None) -> Array:
        """The clipped gradient, in a new array; rules that do not look at the parameters ignore them."""
        return self.rule(grad, **vars(self))

    @property
    def threshold(self) -> Threshold:
        """The threshold, whatever its field is called: it is the first."""
        return getattr(self, self.__match_args__[0])

    def __repr__(self) -> str:
        """Only what differs from the defaults: `ClipByGlobalNorm(max_norm=1.0)`."""
        nonfinite, *others = fields(self)
        values = [(f.name, getattr(self, f.name), f.default) for f in (*others, nonfinite) if f.repr]
        shown = [f"{name}={_short(value)}" for name, value, default in values if not np.array_equal(value, default)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """The same rule with the same settings; thresholds for several runs are compared one by one."""
        return type(self) is type(other) and all(np.array_equal(v, vars(other)[k]) for k, v in vars(self).items())

    def __hash__(self) -> int:
        """Equal clippers have equal names; neither arrays nor (before Python 3.12) slices have a hash."""
        return hash(repr(self))


_PROJECTION = {"projection", "identity_inside", "idempotent", "tighter_wins", "shorter"}
_BOUNDED = {"norm_bounded", "entries_bounded"}


@dataclass(frozen=True, repr=False, eq=False)
class NoClip(Clipper):
    """The gradient as it is (in a new array): a rule like any other, so that no code needs a special case.

    It takes a threshold, as the others do, and keeps only its shape: its own is inf, which clips nothing.
    """

    max_value: Threshold = field(default=np.inf, repr=False)
    rule = staticmethod(clip_by_value)
    label = "no clipping"
    promises = frozenset({"direction"} | _PROJECTION)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "max_value", _threshold(self.max_value * np.inf, "max_value"))


@dataclass(frozen=True, repr=False, eq=False)
class ClipByValue(Clipper):
    """Each entry clamped: `clip_by_value`."""

    max_value: Threshold
    rule = staticmethod(clip_by_value)
    label = "value"
    promises = frozenset(_PROJECTION | {"entries_bounded"})


@dataclass(frozen=True, repr=False, eq=False)
class ClipByNorm(Clipper):
    """Each block by its own norm: `clip_by_norm`. By default all parameters are one block."""

    max_norm: Threshold
    blocks: Slices = _EVERYTHING
    ord: float = 2.0
    rule = staticmethod(clip_by_norm)
    label = "norm per block"
    promises = frozenset({"direction"} | _PROJECTION | _BOUNDED)


@dataclass(frozen=True, repr=False, eq=False)
class ClipByGlobalNorm(Clipper):
    """All parameters by their common norm: `clip_by_global_norm`."""

    max_norm: Threshold
    ord: float = 2.0
    rule = staticmethod(clip_by_global_norm)
    label = "global norm"
    promises = frozenset({"direction"} | _PROJECTION | _BOUNDED)


@dataclass(frozen=True, repr=False, eq=False)
class ClipSmoothly(Clipper):
    """By the global norm, without a corner: `clip_smoothly`."""

    max_norm: Threshold
    ord: float = 2.0
    rule = staticmethod(clip_smoothly)
    label = "smooth"
    promises = frozenset({"direction", "shorter"} | _BOUNDED)


@dataclass(frozen=True, repr=False, eq=False)
class AdaptiveClip(Clipper):
    """Each unit against its own weights: `adaptive_clip`, called with params. By default all are one unit."""

    clipping: Threshold
    units: Slices = _EVERYTHING
    eps: float = 1e-3
    rule = staticmethod(adaptive_clip)
    label = "adaptive (AGC)"
    promises = frozenset({"direction"} | _PROJECTION | _BOUNDED)

    def __call__(self, grad: Array, params: Array | None = None) -> Array:
        """The clipped gradient, in a new array."""
        return self.rule(grad, params, **vars(self))


@dataclass(frozen=True, repr=False, eq=False)
class ClipPerExample(Clipper):
    """Each example by its norm, then their mean or sum: `clip_per_example` of (..., examples, n)."""

    max_norm: Threshold
    reduction: str = "mean"
    rule = staticmethod(clip_per_example)
    label = "per example"
    promises = frozenset({"direction"} | _PROJECTION | _BOUNDED)


@dataclass(frozen=True, repr=False, eq=False)
class NormalizeGradient(Clipper):
    """Always the same length: `normalize_gradient`."""

    max_norm: Threshold
    ord: float = 2.0
    rule = staticmethod(normalize_gradient)
    label = "normalised"
    promises = frozenset({"direction", "idempotent"} | _BOUNDED)


@dataclass(frozen=True, repr=False, eq=False)
class SignGradient(Clipper):
    """Always the same size of entries: `sign_gradient`."""

    max_value: Threshold
    rule = staticmethod(sign_gradient)
    label = "sign"
    promises = frozenset({"idempotent", "entries_bounded"})


CLIPPERS: dict[str, type[Clipper]] = {
    "none": NoClip,
    "value": ClipByValue,
    "norm": ClipByNorm,
    "global_norm": ClipByGlobalNorm,
    "smooth": ClipSmoothly,
    "adaptive": AdaptiveClip,
    "per_example": ClipPerExample,
    "normalize": NormalizeGradient,
    "sign": SignGradient,
}


# --- Arithmetic that stays inside the number range ---------------------------------------------------------

# For each dtype of gradients: the dtype to compute in, its smallest number with all digits, and its largest.
# float16 is computed in float32, where none of its squares overflows or vanishes.
_RANGES = {
    np.dtype(t): (np.dtype(w), float(np.finfo(w).tiny), float(np.finfo(w).max))
    for t, w in ((np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64))
}


_EXACT = float(np.finfo(np.float64).tiny) * 2**53  # a smaller norm may be rounded to few digits


def _norm(grad: Array, ord: float) -> NDArray[np.float64]:
    """The norm of each run: from the squares as they are, and with care only where these do not fit."""
    if ord != 2:
        return _norm_of_any_size(grad, ord)
    dtype, smallest, _ = _RANGES[grad.dtype]
    squares = _sum_of_squares(grad.astype(dtype, copy=False))
    n = np.asarray(np.sqrt(squares))
    floor = smallest * 2**53 * grad.shape[-1]  # above it, squares lost to underflow cannot matter in the sum
    if not (floor <= squares.min() and squares.max() < np.inf):
        runs = np.asarray((squares < floor) | (squares == np.inf))
        if runs.any():
            runs[runs] = grad[runs].any(-1)  # the norm of nothing but zeros is right already
        if runs.any():
            n[runs] = _norm_of_any_size(grad[runs], 2)
    return n


def _sum_of_squares(grad: Array) -> NDArray[np.float64]:
    """Σgᵢ² of each run, in float64 from short sums."""
    whole = grad.shape[-1] // _SUMMED * _SUMMED
    rest = grad[..., whole:]
    squares = np.asarray(np.vecdot(rest, rest), np.float64)
    if whole:
        pieces = grad[..., :whole].reshape(*grad.shape[:-1], -1, _SUMMED)
        squares = squares + np.vecdot(pieces, pieces).sum(-1, dtype=np.float64)
    return squares


def _norm_of_any_size(grad: Array, ord: float) -> NDArray[np.float64]:
    """m·‖g/m‖ with m = max|g|: nothing that is summed exceeds 1, whatever the size of g."""
    sizes = np.ascontiguousarray(np.moveaxis(np.abs(grad, dtype=np.float64), -1, 0))  # faster for many runs
    m = np.asarray(sizes.max(0))
    if ord == np.inf:
        return m
    sizes /= np.where((m > 0) & (m < np.inf), m, 1)
    return np.asarray(m * (sizes**ord).sum(0) ** (1 / ord))


def _scaled(grad: Array, c: Threshold, *, over: Callable[..., Any], ord: float = 2) -> Array:
    """g·c/over(n, c): the rules by norm differ in their denominator alone, `np.maximum` for a hard clip."""
    _, smallest, largest = _RANGES[grad.dtype]
    n = _norm(grad, ord)
    total = over(n, c)
    k = c / total
    if smallest <= k.min() and k.max() <= largest and total.min() >= _EXACT:
        return _times(grad, k)

    # Some k is NaN, or does not fit the dtype though the product may, or comes from a norm that does not fit.
    k = np.where((c == np.inf) | (total == 0), 1.0, k)  # c = inf clips nothing, and 0 stays 0
    clipped = _times(grad, k)
    runs = np.asarray((k < smallest) | (k > largest) | ((n > 0) & (total < _EXACT)))
    if not runs.any():
        return clipped
    grad, c = np.broadcast_to(grad, clipped.shape)[runs].astype(np.float64), np.broadcast_to(c, k.shape)[runs]
    m = _norm_of_any_size(grad, np.inf)
    runs[runs] = finite = np.isfinite(m)
    if not finite.any():
        return clipped
    grad, c, m = grad[finite], c[finite], m[finite]
    # The rule is linear in (g, c) together. So bring g near c by a power of two, which loses no digits that count
    # in a norm (p ≥ 1).
    shift = np.minimum(np.frexp(c)[1], 960) - np.frexp(m)[1]
    grad = np.ldexp(grad, shift[:, None])
    clipped[runs] = _times(grad, c / over(_norm(grad, ord), np.ldexp(c, shift)))
    return clipped


def _times(grad: Array, k: NDArray[np.float64]) -> Array:
    """g·k. Long runs in pieces from the end, which the norm has just left in the processor's cache."""
    k = np.asarray(k, _RANGES[grad.dtype][0])[..., None]
    if grad.shape[-1] <= _PIECE:
        return (grad * k).astype(grad.dtype, copy=False)
    result = np.empty(np.broadcast_shapes(grad.shape, k.shape), grad.dtype)
    for start in reversed(range(0, grad.shape[-1], _PIECE)):
        part = np.s_[..., start : start + _PIECE]
        np.multiply(grad[part], k, out=result[part], casting="same_kind")
    return result


def _each(slices: Slices, name: str, grad: Array, clip_one: Callable[[slice], Array]) -> Array:
    """The slices of the last axis clipped one by one, put together again."""
    slices = [s for s in _slices(slices, name) if range(grad.shape[-1])[s]]
    _check_cover(tuple((s.start, s.stop, s.step) for s in slices), grad.shape[-1], name)
    parts = [clip_one(s) for s in slices]
    result = np.empty((*parts[0].shape[:-1], grad.shape[-1]), grad.dtype)
    for s, part in zip(slices, parts, strict=True):
        result[..., s] = part
    return result


# --- Checks of what comes in -------------------------------------------------------------------------------


def _inputs(
    grad: Array, c: Any, name: str, nonfinite: str, *, finite: bool = False, run_axes: int = 1
) -> tuple[Array, Threshold]:
    """The gradient, checked and with its non-finite runs treated, and the checked threshold.

    `run_axes` is the number of last axes that make one run: parameters, or examples and parameters.
    """
    of = "grad" if run_axes == 1 else "grads"
    _check_array(grad, of)
    if grad.ndim < run_axes:
        raise ValueError(f"{of} must have the axes (..., examples, parameters); got shape {grad.shape}")
    c = _threshold(c, name)
    if finite:
        if np.max(c) == np.inf:
            raise ValueError(f"{name} must be finite: it is the size itself; got {_short(c)}")
        c = np.minimum(c, 0.999 * float(np.finfo(grad.dtype).max))  # which leaves room for rounding
    if not isinstance(c, float):
        _check_runs(c.shape, grad.shape[:-run_axes], name)
    if _choice(nonfinite, "nonfinite") != "propagate":
        bad = ~np.isfinite(grad)
        if bad.any() and nonfinite == "raise":
            raise ValueError(f"{of} must be finite; got {bad.sum()} non-finite entries of {bad.size}")
        skipped = bad.any(tuple(range(-run_axes, 0)), keepdims=True)
        grad = np.where(skipped, grad.dtype.type(0), grad)
    return grad, c


def _check_array(grad: Array, name: str) -> None:
    if isinstance(grad, list | tuple):
        raise TypeError(
            f"{name} must be one array, not a {type(grad).__name__}: concatenate the layers into one vector "
            f"and name its blocks; got {_short(grad)}"
        )
    if type(grad) is not np.ndarray:
        raise TypeError(f"{name} must be a numpy array; got {_short(grad)} ({type(grad).__name__})")
    if grad.dtype not in _RANGES:
        raise TypeError(f"{name} must be of dtype float16, float32 or float64; got {grad.dtype}")
    if grad.ndim == 0 or grad.size == 0:
        raise ValueError(f"{name} must have at least one axis and one entry; got shape {grad.shape}")


def _check_runs(shape: tuple[int, ...], runs: tuple[int, ...], name: str) -> None:
    """Axis by axis, equal or 1: numpy's matching from the right would accept shapes by accident."""
    if len(shape) == len(runs) and all(a == b or 1 in (a, b) for a, b in zip(shape, runs, strict=True)):
        return
    cure = "one run takes one number; for several, give grad a leading axis: grad[None, :]"
    if runs:
        ways = [", ".join(":" if j == i else "None" for j in range(len(runs))) for i in range(len(runs))]
        cure = "values along one axis are written " + " or ".join(f"{name}[{way}]" for way in ways)
    raise ValueError(f"{name} must fit the runs {runs}, each axis equal or 1; got shape {shape} ({cure})")


def _threshold(value: Any, name: str) -> Threshold:
    """A float, or a read-only float64 array."""
    if type(value) is np.ndarray and value.ndim == 0:
        value = value[()]
    if type(value) is not np.ndarray:  # a masked array or a matrix would multiply by rules of its own
        return _number(value, name, "a real number or a numpy array of them")
    if value.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a real number or an array of them; got dtype {value.dtype}")
    c = value.astype(np.float64)
    if c.size == 0 or not (c > 0).all():
        raise ValueError(f"{name} must be > 0 in every run; got {_short(c[~(c > 0)])} in shape {c.shape}")
    c.flags.writeable = False
    return c


def _number(value: Any, name: str, kind: str = "a real number") -> float:
    if type(value) is not float and (isinstance(value, bool | np.bool_) or not isinstance(value, Real)):
        raise TypeError(f"{name} must be {kind}; got {_short(value)} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:  # an int can be larger than any float
        raise ValueError(f"{name} must be a number that fits a float64; got {_short(value)}") from None
    if not number > 0:
        raise ValueError(f"{name} must be > 0; got {_short(value)}")
    return number


def _choice(value: Any, name: str) -> str:
    choices = {"nonfinite": ("propagate", "zero", "raise"), "reduction": ("mean", "sum")}[name]
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {_short(value)}")
    return value


def _slices(slices: Any, name: str) -> tuple[slice, ...]:
    if not isinstance(slices, list | tuple) or not all(isinstance(s, slice) for s in slices):
        raise TypeError(f"{name} must be a sequence of slices; got {_short(slices)} ({type(slices).__name__})")
    for s in slices:
        try:
            s.indices(0)
        except (TypeError, ValueError) as error:
            wrong = f"{name} must be slices of whole numbers with a step other than 0; got {_short(s)}"
            raise type(error)(wrong) from None
    return tuple(slices)


@lru_cache  # what passed is remembered: training asks at every step
def _check_cover(bounds: tuple[tuple[Any, ...], ...], n_params: int, name: str) -> None:
    times = np.zeros(n_params, int)
    for bound in bounds:
        times[slice(*bound)] += 1
    missed, doubled = np.flatnonzero(times == 0).tolist(), np.flatnonzero(times > 1).tolist()
    if missed or doubled:
        raise ValueError(
            f"{name} must cover each of the {n_params} parameters exactly once; "
            f"got missed {_short(missed)}, doubled {_short(doubled)}"
        )


def _short(value: Any) -> str:
    """A value in an error message or a legend: never long."""
    if isinstance(value, np.ndarray):
        return " ".join(np.array2string(value, precision=3, threshold=4, edgeitems=1).split())
    if isinstance(value, int) and abs(value) > 10**40:  # Python refuses to write some of these
        return f"an integer of {value.bit_length()} bits"
    return reprlib.repr(value)


# How each option of a clipper is checked, once, when it is made. (Its first field is the threshold.)
_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("ord", "eps"), _number),
    **dict.fromkeys(("blocks", "units"), _slices),
    **dict.fromkeys(("reduction", "nonfinite"), _choice),
}
