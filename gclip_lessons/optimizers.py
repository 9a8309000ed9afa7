"""Optimisers: what becomes of a (clipped) gradient on its way to the parameters.

An optimiser is a frozen dataclass that holds its settings and no history. The history travels beside it as a
`state`, a tuple of arrays:

    state = optimizer.init(params)
    update, state = optimizer.update(grad, state, params)
    params = params + update

Shapes: `grad` and `params` are (*runs, n); `learning_rate` is a number, or an array over runs, one rate for
each, all > 0 and finite. The formulas, and the defaults of β, ε and λ except momentum (PyTorch's is 0), are those
of `torch.optim`, so that a lesson can be repeated there line by line. As there, float16 rounds ε = 1e-8 to 0, and a
zero gradient then makes Adam and RMSProp give NaN.

Nothing is changed in place, and the dtype of the gradient is kept. A setting outside its range gets a
ValueError, one that is no real number a TypeError; each names the setting, the constraint and what was received.
"""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, ClassVar, Protocol

import numpy as np

Arrays = tuple[np.ndarray, ...]  # the state of an optimiser


class Optimizer(Protocol):
    """What `train` needs of an optimiser."""

    learning_rate: float | np.ndarray

    def init(self, params: np.ndarray) -> Arrays: ...

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]: ...


def _checked_rate(value: Any) -> float | np.ndarray:
    """Return a learning rate as a float or a read-only float64 array."""
    if type(value) is np.ndarray and value.ndim == 0:
        value = value[()]
    if type(value) is not np.ndarray:
        return _checked_setting("learning_rate", value)
    if value.dtype.kind not in "fiu":
        raise TypeError(f"learning_rate must be a real number or an array of them over runs; got {reprlib.repr(value)}")
    rate = value.astype(np.float64)
    if rate.size == 0 or not ((rate > 0) & np.isfinite(rate)).all():
        raise ValueError(f"learning_rate must be > 0 and finite in every run; got {reprlib.repr(value)}")
    rate.setflags(write=False)
    return rate


_BOUNDS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "learning_rate": ("> 0 and finite", lambda value: 0 < value < np.inf),
    "beta": ("in [0, 1)", lambda value: 0 <= value < 1),
    "beta1": ("in [0, 1)", lambda value: 0 <= value < 1),
    "beta2": ("in [0, 1)", lambda value: 0 <= value < 1),
    "eps": ("> 0 and finite", lambda value: 0 < value < np.inf),
    "weight_decay": (">= 0 and finite", lambda value: 0 <= value < np.inf),
}


def _checked_setting(name: str, value: Any) -> float:
    """Return any other setting as a Python float, which keeps the dtype of the array that it multiplies."""
    constraint, holds = _BOUNDS[name]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number {constraint}; got {reprlib.repr(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int can be larger than any float
        number = np.nan
    if not holds(number):
        raise ValueError(f"{name} must be {constraint}, in float64; got {reprlib.repr(value)}")
    return number


@dataclass(frozen=True, eq=False)
class _Rated:
    """What all optimisers share: a learning rate, checked once, that knows how to meet (*runs, n) arrays."""

    learning_rate: float | np.ndarray
    label: ClassVar[str]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            checked = _checked_rate(value) if field.name == "learning_rate" else _checked_setting(field.name, value)
            object.__setattr__(self, field.name, checked)

    def __eq__(self, other: object) -> bool:
        """The same optimiser with the same settings; learning rates for several runs are compared one by one."""
        return type(self) is type(other) and all(np.array_equal(v, vars(other)[k]) for k, v in vars(self).items())

    def __hash__(self) -> int:
        return hash(repr(self))

    def _rate(self, grad: np.ndarray) -> float | np.ndarray:
        """The rate as a factor of `grad`: one column per run, in the dtype of the gradient."""
        if isinstance(self.learning_rate, float):
            return self.learning_rate
        return self.learning_rate[..., None].astype(grad.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class SGD(_Rated):
    """Gradient descent: u = −η·g. It has no memory, so a clipped gradient is a clipped step."""

    label: ClassVar[str] = "SGD"

    def init(self, params: np.ndarray) -> Arrays:
        return ()

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]:
        return -self._rate(grad) * grad, ()


@dataclass(frozen=True, eq=False)
class Momentum(_Rated):
    """Heavy ball: v ← β·v + g, u = −η·v (Polyak, 1964).

    A gradient clipped to c before it enters keeps ‖v‖ ≤ c/(1−β). `beta` is in [0, 1).
    """

    beta: float = 0.9
    label: ClassVar[str] = "momentum"

    def init(self, params: np.ndarray) -> Arrays:
        return (np.zeros_like(params),)

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]:
        velocity = self.beta * state[0] + grad
        return -self._rate(grad) * velocity, (velocity,)


@dataclass(frozen=True, eq=False)
class Nesterov(Momentum):
    """Momentum that looks ahead: v ← β·v + g, u = −η·(g + β·v).

    Nesterov, 1983, in the form of Sutskever et al., ICML 2013. `beta` is in [0, 1).
    """

    label: ClassVar[str] = "Nesterov momentum"

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]:
        velocity = self.beta * state[0] + grad
        return -self._rate(grad) * (grad + self.beta * velocity), (velocity,)


@dataclass(frozen=True, eq=False)
class RMSProp(_Rated):
    """Each coordinate over its recent size: s ← β·s + (1−β)·g², u = −η·g/(√s + ε) (Tieleman & Hinton, 2012).

    `beta` is in [0, 1), `eps` > 0.
    """

    beta: float = 0.99
    eps: float = 1e-8
    label: ClassVar[str] = "RMSProp"

    def init(self, params: np.ndarray) -> Arrays:
        return (np.zeros_like(params),)

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]:
        square = self.beta * state[0] + (1 - self.beta) * grad * grad
        return -self._rate(grad) * grad / (np.sqrt(square) + self.eps), (square,)


@dataclass(frozen=True, eq=False)
class Adam(_Rated):
    """Momentum over size, both corrected for starting at zero (Kingma & Ba, ICLR 2015).

        m ← β₁·m + (1−β₁)·g,   s ← β₂·s + (1−β₂)·g²,   u = −η·m̂/(√ŝ + ε)

    with m̂ = m/(1−β₁ᵗ) and ŝ = s/(1−β₂ᵗ) at step t = 1, 2, …
    The state is (m, s, t). `beta1` and `beta2` are in [0, 1), `eps` > 0.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    label: ClassVar[str] = "Adam"

    def init(self, params: np.ndarray) -> Arrays:
        return np.zeros_like(params), np.zeros_like(params), np.array(0)

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]:
        mean, square, t = state
        t = t + 1
        mean = self.beta1 * mean + (1 - self.beta1) * grad
        square = self.beta2 * square + (1 - self.beta2) * grad * grad
        size = np.sqrt(square) / float(np.sqrt(1 - self.beta2**t)) + self.eps
        update = -self._rate(grad) * mean / float(1 - self.beta1**t) / size
        return update, (mean, square, np.asarray(t))


@dataclass(frozen=True, eq=False)
class AdamW(Adam):
    """Adam whose weights also decay: u = u_Adam − η·λ·θ (Loshchilov & Hutter, ICLR 2019).

    The decay is no part of the gradient, so clipping does not touch it. `weight_decay` λ is ≥ 0.
    """

    weight_decay: float = 0.01
    label: ClassVar[str] = "AdamW"

    def update(self, grad: np.ndarray, state: Arrays, params: np.ndarray) -> tuple[np.ndarray, Arrays]:
        update, state = super().update(grad, state, params)
        return update - self._rate(grad) * self.weight_decay * params, state


OPTIMIZERS: dict[str, type] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
}
