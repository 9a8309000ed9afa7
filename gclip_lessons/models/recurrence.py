"""One unit that feeds itself for fifty steps: the smallest recurrent network, and it has a cliff."""

from itertools import pairwise

import numpy as np

from gclip_lessons.models.checks import checked_params, real_number, whole_number

_FEW = 64  # runs: up to here a call of numpy costs more than its work


class Recurrence:
    """x_t = w·σ(x_{t−1}) + b from x_0 = `start`, for `n_steps` ≥ 1 steps; L(w, b) = (σ(x_T) − `target`)².

    `params` is (*runs, 2): weight w and bias b. σ is the logistic function. From R. Pascanu, T. Mikolov, Y. Bengio,
    "On the difficulty of training recurrent neural networks" (ICML 2013), figure 6, with their ½, .7 and 50.

    It is computed in z = tanh(x/2) = 2σ(x) − 1, which is the same recurrence in two additions fewer:
    x_t/2 = (w/4)·z_{t−1} + w/4 + b/2, and one step multiplies a derivative by w·σ′(x) = (w/4)·(1 − z²).
    """

    n_params = 2

    def __init__(self, n_steps: int = 50, *, start: float = 0.5, target: float = 0.7) -> None:
        self.n_steps = whole_number("n_steps", n_steps)
        self.start, self.target = real_number("start", start), real_number("target", target)

    def _forward(self, params: np.ndarray) -> np.ndarray:
        """z_0 … z_T, (T+1, *runs)."""
        slope = np.atleast_1d(params[..., 0] / 4)
        shift = slope + params[..., 1] / 2
        z = np.empty((self.n_steps + 1, *slope.shape))
        z[0] = np.tanh(self.start / 2)
        multiply, add, tanh = np.multiply, np.add, np.tanh  # for few runs, looking up a name is part of the cost
        for before, after in pairwise(list(z)):
            multiply(slope, before, after)
            add(after, shift, after)
            tanh(after, after)
        return z.reshape(self.n_steps + 1, *params.shape[:-1])

    def outputs(self, params: np.ndarray) -> np.ndarray:
        """σ(x_0) … σ(x_T), (T+1, *runs)."""
        return (1 + self._forward(checked_params(params, self.n_params))) / 2

    def slopes(self, params: np.ndarray) -> np.ndarray:
        """The factors ∂x_t/∂x_{t−1} = w·σ′(x_{t−1}) for t = 1 … T, (T, *runs)."""
        params = checked_params(params, self.n_params)
        z = self._forward(params)
        return params[..., 0] / 4 * (1 - z[:-1] ** 2)

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, 2) at `params` (*runs, 2); `step` plays no part."""
        params = checked_params(params, self.n_params)
        z = self._forward(params)
        error = (1 + z[-1]) / 2 - self.target
        # Backwards in time: ∂L/∂x_T, and then from step to step one factor w·σ′(x) more.
        factors = 1 - z[:0:-1] ** 2
        factors[0] *= error / 2
        factors[1:] *= params[..., 0] / 4
        delta = _running_product(factors)
        # w and b serve in every step: ∂L/∂w = Σ ∂L/∂x_t · σ(x_{t−1}) and ∂L/∂b = Σ ∂L/∂x_t.
        grad = np.empty_like(params)
        grad[..., 1] = delta.sum(0)
        grad[..., 0] = (grad[..., 1] + (delta * z[-2::-1]).sum(0)) / 2
        return error * error, grad


def _running_product(factors: np.ndarray) -> np.ndarray:
    """The products of the first 1, 2, … of `factors` (T, *runs), which it overwrites."""
    if factors[0].size <= _FEW:
        return np.multiply.accumulate(factors, axis=0)
    for before, after in pairwise(factors):  # the same; over many runs it is faster along the memory
        np.multiply(before, after, after)
    return factors
