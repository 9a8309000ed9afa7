"""Noise, drawn beforehand: every run of a sweep then meets the same."""

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array
from gclip_lessons.models.model import Model


class Noisy:
    """Any model with noise ξ added to its gradient: L(θ) + ξ·θ, gradient ∇L(θ) + ξ, with another ξ each step.

    `noise` is a finite array (n_steps, *runs, n). Runs that share a noise have an axis of length 1 there, so that
    thresholds and learning rates are compared on one and the same draw and only seeds differ. After the last
    step the noise begins again. The loss without noise is that of `model`.
    """

    def __init__(self, model: Model, noise: np.ndarray) -> None:
        self.model, self.n_params = model, model.n_params
        self.noise = finite_array("noise", noise)
        if self.noise.ndim < 2 or self.noise.shape[-1] != self.n_params or not len(self.noise):
            raise ValueError(f"noise must be (n_steps, *runs, {self.n_params}); got shape {self.noise.shape}")

    def loss_and_grad(self, params: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n) with the noise of `step`, from 0.

        ValueError for runs that the noise does not fit.
        """
        params = checked_params(params, self.n_params)
        noise = self.noise[step % len(self.noise)]
        if not _fits(noise.shape, params.shape):
            raise ValueError(f"params must have runs that fit the noise {noise.shape}; got shape {params.shape}")
        loss, grad = self.model.loss_and_grad(params, step)
        return loss + np.vecdot(noise, params), grad + noise


def _fits(noise: tuple[int, ...], params: tuple[int, ...]) -> bool:
    """Whether adding the noise leaves the params their shape."""
    try:
        return np.broadcast_shapes(noise, params) == params
    except ValueError:
        return False
