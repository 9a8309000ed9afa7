"""The training loop of the course, for one run or for thousands at once.

The last axis of `params` is parameters; all axes before it are runs. A threshold sweep, a seed sweep or a map
of (η, c) is one call of `train`, and its loop goes over steps alone.
"""

import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import reduce
from threading import RLock
from typing import Any

import numpy as np

from gclip_lessons.clipping import Clipper, NoClip, global_norm
from gclip_lessons.models import Model
from gclip_lessons.models.checks import whole_number
from gclip_lessons.optimizers import Arrays, Optimizer

_NO_CLIP = NoClip()
# Norms are taken over several steps at a time; this many numbers of three kinds stay well inside the cache.
_CHUNK = 1 << 15
_FEW = 4  # parameters: up to here, going column by column beats numpy's reductions over so short an axis


@dataclass(frozen=True, eq=False)
class Trajectory:
    """All that happened in training. Steps come first, then the axes of runs; the arrays are read-only.

    `params` (n_steps+1, *runs, n) and `loss` (n_steps+1, *runs) start before the first step and end after
    the last. The others are (n_steps, *runs): `grad_norm` before clipping, `clipped_norm` after it,
    `update_norm` of the step that the optimiser made of it, `cosine` of the angle between gradient and
    clipped gradient, and `clipped`, bool: did the rule change any entry of the gradient? Norms are
    Euclidean. Divergence is data: inf and NaN stand where they arose.
    """

    params: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray
    clipped_norm: np.ndarray
    update_norm: np.ndarray
    cosine: np.ndarray
    clipped: np.ndarray

    def __post_init__(self) -> None:
        for field in fields(self):
            getattr(self, field.name).setflags(write=False)

    @property
    def n_steps(self) -> int:
        """The number of steps taken."""
        return self.loss.shape[0] - 1

    @property
    def runs(self) -> tuple[int, ...]:
        """The shape of the runs: () for a single one."""
        return self.loss.shape[1:]

    @property
    def scale(self) -> np.ndarray:
        """Norm after clipping over norm before, (n_steps, *runs); 1 where they are equal, so also at 0."""
        with np.errstate(all="ignore"):
            return np.where(self.grad_norm == self.clipped_norm, 1.0, self.clipped_norm / self.grad_norm)

    @property
    def angle(self) -> np.ndarray:
        """How far clipping turned the gradient, (n_steps, *runs), in degrees, good to 2e-6 of one."""
        return np.degrees(np.arccos(self.cosine))

    @property
    def first_nonfinite(self) -> np.ndarray:
        """The first index where loss or parameters are not finite, (*runs); n_steps + 1 if there is none."""
        bad = ~np.isfinite(self.loss) | _any_entry(~np.isfinite(self.params))
        return np.where(bad.any(0), bad.argmax(0), self.n_steps + 1)

    @property
    def diverged(self) -> np.ndarray:
        """Did the run end in inf or NaN? (*runs), bool. One that came back from an infinite loss did not."""
        return ~(np.isfinite(self.loss[-1]) & np.isfinite(self.params[-1]).all(-1))

    def run(self, *index: int) -> "Trajectory":
        """One run by its position, an integer for each axis of `runs`; the arrays are views."""
        if len(index) != len(self.runs):
            raise ValueError(f"index must have one integer for each axis of runs {self.runs}; got {index}")
        return Trajectory(**{field.name: getattr(self, field.name)[:, *index] for field in fields(self)})


def train(
    model: Model,
    params: np.ndarray,
    optimizer: Optimizer,
    clipper: Callable[[np.ndarray, np.ndarray], np.ndarray] = _NO_CLIP,
    *,
    n_steps: int,
) -> Trajectory:
    """Clip, step, record, `n_steps` times: θ ← θ + optimizer(clipper(∇L(θ))).

    `params` is a finite float array, (n,) or (*runs, n). A learning rate or a threshold that is an array has
    one axis for each axis of runs, of equal length or 1; a single start, rate or threshold serves all runs.
    The parameters keep their dtype, and the gradient is rounded to it before it is clipped. Nothing that a
    run does raises or warns: inf and NaN are recorded. TypeError or ValueError for arguments that do not
    fit.
    """
    n_steps, runs = _checked(model, params, optimizer, clipper, n_steps)
    history = np.empty((n_steps + 1, *runs, model.n_params), params.dtype)
    loss = np.empty((n_steps + 1, *runs))
    recorder = _Recorder(n_steps, runs, model.n_params)
    history[0] = params
    with np.errstate(all="ignore"):
        theta = history[0]
        state = optimizer.init(theta)
        for step in range(n_steps):
            loss[step], grad, clipped, update, state = _step(model, optimizer, clipper, theta, state, step)
            theta = np.add(theta, update, out=history[step + 1])
            recorder.record(grad, clipped, update)
        loss[n_steps] = model.loss_and_grad(theta, n_steps)[0]
    return Trajectory(history, loss, **recorder.finish())


class LongRun:
    """Training that takes its time: the steps of `train`, one by one, to be watched, stopped, and taken up again.

    The arguments are those of `train`. `loss` and `grad_norm` (before clipping) are (n_steps, *runs), and NaN from
    `step` on, the number of steps done. `params` (*runs, n) are the present ones; of the others it keeps those
    after the steps that `keep` lists, 0 for the start: `kept` is {step: params}. An interrupt at any moment costs at
    most the step that was under way, which `advance` then begins anew; threads may share a run.
    """

    def __init__(
        self,
        model: Model,
        params: np.ndarray,
        optimizer: Optimizer,
        clipper: Callable[[np.ndarray, np.ndarray], np.ndarray] = _NO_CLIP,
        *,
        n_steps: int,
        keep: Iterable[int] = (),
    ) -> None:
        self.n_steps, self.runs = _checked(model, params, optimizer, clipper, n_steps)
        self.loss, self.grad_norm = (np.full((self.n_steps, *self.runs), np.nan) for _ in range(2))
        self.model = model
        self._parts = model, optimizer, clipper
        self._keep = frozenset(keep)
        theta = np.broadcast_to(params, (*self.runs, model.n_params)).copy()
        self.kept = {0: theta} if 0 in self._keep else {}
        self._now = 0, theta, optimizer.init(theta)  # always replaced whole, so that it is never half a step
        self._lock = RLock()

    def __repr__(self) -> str:
        return f"LongRun({self.step} of {self.n_steps} steps, runs {self.runs})"

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self._now[0]

    @property
    def params(self) -> np.ndarray:
        """The parameters after `step` steps, (*runs, n)."""
        return self._now[1]

    def advance(self) -> None:
        """Take the next step; none if all are done."""
        with self._lock, np.errstate(all="ignore"):
            step, theta, state = self._now
            if step == self.n_steps:
                return
            loss, grad, _, update, state = _step(*self._parts, theta, state, step)
            theta = theta + update
            self.loss[step], self.grad_norm[step] = loss, global_norm(grad)
            if step + 1 in self._keep:
                self.kept[step + 1] = theta
            self._now = step + 1, theta, state

    def finish(self) -> "LongRun":
        """Take all steps that are left, and return the run."""
        while self.step < self.n_steps:
            self.advance()
        return self


def sweep(
    model: Model,
    params: np.ndarray,
    optimizer: Callable[[Any], Optimizer],
    clipper: Callable[[Any], Any],
    *,
    learning_rates: np.ndarray,
    thresholds: np.ndarray,
    n_steps: int,
) -> Trajectory:
    """Train with every learning rate and every threshold, from every start, in one vectorised call.

    `learning_rates` is (L,), `thresholds` (C,), `params` (n,) or (*starts, n); runs are (L, C, *starts).
    `optimizer` is called with the rates and `clipper` with the thresholds: `SGD`, `ClipByGlobalNorm`, or a
    lambda that adds other settings.
    """
    _check_params(params, model.n_params)
    for name, make in (("optimizer", optimizer), ("clipper", clipper)):
        if not callable(make) or isinstance(make, Clipper):
            raise TypeError(f"{name} must be a function of the values, such as the class; got {reprlib.repr(make)}")
    rates, limits = np.asanyarray(learning_rates), np.asanyarray(thresholds)  # masked arrays are refused below
    for name, values in (("learning_rates", rates), ("thresholds", limits)):
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"{name} must be one row of numbers, not empty; got shape {values.shape}")
    starts = (1,) * (params.ndim - 1)
    return train(
        model,
        params[None, None],
        optimizer(rates.reshape(-1, 1, *starts)),
        clipper(limits.reshape(1, -1, *starts)),
        n_steps=n_steps,
    )


def angle_between(before: np.ndarray, after: np.ndarray) -> Any:
    """The angle in degrees between arrays (..., n) that broadcast together, of shape (...).

    Two zeros have angle 0; a zero and anything else have none: NaN.
    """
    pair = np.stack(np.broadcast_arrays(before, after)).astype(np.float64)[:, None]
    with np.errstate(all="ignore"):
        return np.degrees(np.arccos(_cosine(*pair, *_norm(pair))))[0]


def _step(
    model: Model, optimizer: Optimizer, clipper: Callable[..., np.ndarray], theta: np.ndarray, state: Arrays, step: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Arrays]:
    """One step at `theta`: loss, gradient, clipped gradient, update, and the optimiser's next state."""
    loss, grad = model.loss_and_grad(theta, step)
    grad = grad.astype(theta.dtype, copy=False)
    clipped = clipper(grad, theta)
    if type(clipped) is not np.ndarray or clipped.shape != grad.shape:
        got = f"shape {clipped.shape}" if type(clipped) is np.ndarray else reprlib.repr(clipped)
        raise ValueError(f"clipper must return an array of the gradient's shape {grad.shape}; {clipper} gave {got}")
    return loss, grad, clipped, *optimizer.update(clipped, state, theta)


def _checked(model: Any, params: Any, optimizer: Any, clipper: Any, n_steps: Any) -> tuple[int, tuple[int, ...]]:
    """The number of steps and the shape of the runs, once all arguments fit."""
    _check_part("model", model, "n_params", "loss_and_grad")
    _check_part("optimizer", optimizer, "learning_rate", "init", "update")
    _check_part("clipper", clipper, "__call__")
    _check_params(params, model.n_params)
    n_steps = whole_number("n_steps", n_steps)
    return n_steps, _runs(
        params.shape[:-1], np.shape(optimizer.learning_rate), np.shape(getattr(clipper, "threshold", 1.0))
    )


def _check_part(name: str, part: Any, *needed: str) -> None:
    missing = [attribute for attribute in needed if not hasattr(part, attribute)]
    if missing or isinstance(part, type):
        hint = " (call it to make one)" if isinstance(part, type) else f", which lacks {', '.join(missing)}"
        raise TypeError(f"{name} must be an object with {', '.join(needed)}; got {reprlib.repr(part)}{hint}")


def _check_params(params: Any, n_params: int) -> None:
    if type(params) is not np.ndarray or params.dtype not in (np.float16, np.float32, np.float64):
        kind = f"an array of {params.dtype}" if type(params) is np.ndarray else reprlib.repr(params)
        raise TypeError(f"params must be a numpy array of floats, such as np.array([1.0, 2.0]); got {kind}")
    if params.ndim == 0 or params.shape[-1] != n_params or params.size == 0:
        raise ValueError(f"params must have shape (*runs, {n_params}), as the model has; got {params.shape}")
    if not np.isfinite(params).all():
        raise ValueError(f"params must be finite; got {params[~np.isfinite(params)][0]}")


def _runs(params: tuple[int, ...], rate: tuple[int, ...], threshold: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of runs. What would match by accident alone, such as (2,) and (3, 2), is refused."""
    shapes = [shape for shape in (params, rate, threshold) if shape]
    lengths = [set(axis) - {1} for axis in zip(*shapes, strict=False)]
    if len({len(shape) for shape in shapes}) > 1 or any(len(length) > 1 for length in lengths):
        raise ValueError(
            "the axes of runs must agree one by one, equal or 1: "
            f"params have {params}, learning_rate {rate}, threshold {threshold}"
        )
    return tuple(length.pop() if length else 1 for length in lengths)


class _Recorder:
    """Norms and angles of each step, measured for every rule alike.

    Gradients wait in a buffer until several steps can be measured by one call of numpy. So a small model
    spends its time on training, not on bookkeeping, and a large one needs memory for the gradients of one
    step alone.
    """

    def __init__(self, n_steps: int, runs: tuple[int, ...], n_params: int) -> None:
        size = max(1, int(np.prod((*runs, n_params))))
        self._length = min(n_steps, max(1, _CHUNK // size))
        self._buffer = np.empty((3, self._length, *runs, n_params))
        self._grad, self._after, self._update = self._buffer
        self._measured = 0
        self._waiting = 0
        self._norms = np.empty((3, n_steps, *runs))
        self._cosine = np.empty((n_steps, *runs))
        self._clipped = np.empty((n_steps, *runs), dtype=bool)

    def record(self, grad: np.ndarray, clipped: np.ndarray, update: np.ndarray) -> None:
        place = self._waiting
        self._grad[place] = grad
        self._after[place] = clipped
        self._update[place] = update
        self._waiting += 1
        if self._waiting == self._length:
            self._measure()

    def _measure(self) -> None:
        count, self._waiting = self._waiting, 0
        steps = slice(self._measured, self._measured + count)
        self._measured += count
        grad, after = self._grad[:count], self._after[:count]
        norms = _norm(self._buffer[:, :count])
        self._norms[:, steps] = norms
        self._cosine[steps] = _cosine(grad, after, norms[0], norms[1])
        changed = grad != after
        if np.isnan(norms).any():  # NaN differs from itself, which is no work of the rule
            changed &= ~(np.isnan(grad) & np.isnan(after))
        self._clipped[steps] = _any_entry(changed)

    def finish(self) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            if self._waiting:
                self._measure()
        names = ("grad_norm", "clipped_norm", "update_norm")
        return dict(zip(names, self._norms, strict=True)) | {"cosine": self._cosine, "clipped": self._clipped}


def _any_entry(flags: np.ndarray) -> np.ndarray:
    """flags.any(-1), by columns where parameters are few."""
    return reduce(np.logical_or, np.moveaxis(flags, -1, 0)) if flags.shape[-1] <= _FEW else flags.any(-1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """np.vecdot(a, b), by columns where parameters are few."""
    n = a.shape[-1]
    if n > _FEW:
        return np.vecdot(a, b)
    return reduce(np.add, (a[..., i] * b[..., i] for i in range(n)))


def _outside(values: np.ndarray, low: float, high: float) -> np.ndarray | None:
    """A mask of values that are NaN or not between `low` and `high`; None, and cheaper, if none are."""
    if low < values.min() and values.max() < high:
        return None
    return ~((values > low) & (values < high))


def _norm(a: np.ndarray) -> np.ndarray:
    """`global_norm`, called only where the squares do not fit in float64."""
    norm = np.sqrt(_dot(a, a))
    extreme = _outside(norm, 1e-150, 1e150)
    if extreme is not None:
        norm[extreme] = global_norm(a[extreme])
    return norm


def _cosine(grad: np.ndarray, after: np.ndarray, n: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The cosine of the angle between two arrays (..., n) of norms n and m; 1 where both are zero."""
    product = n * m
    cosine = _dot(grad, after) / product
    extreme = _outside(product, 1e-200, 1e200)
    if extreme is not None:
        n, m = n[extreme], m[extreme]
        apart = _dot(grad[extreme] / n[:, None], after[extreme] / m[:, None])
        cosine[extreme] = np.where((n == 0) & (m == 0), 1.0, apart)
    return np.clip(cosine, -1.0, 1.0)
