"""Is a gradient by hand the gradient of its loss? Ask the loss itself, by differences."""

import numpy as np

from gclip_lessons.models.model import Model


def check_gradient(
    model: Model,
    params: np.ndarray,
    rng: np.random.Generator,
    *,
    step: int = 0,
    n_directions: int = 5,
    h: float = 1e-5,
    rtol: float = 1e-6,
) -> float:
    """Compare g·v with (L(θ + h·v) − L(θ − h·v)) / 2h along random unit directions v.

    `params` is (*runs, n) and every run gets its own directions. The relative error is |g·v − difference|
    over the larger of the two, with an allowance for the rounding of the loss, eps·|L|/h; the largest is
    returned. AssertionError with both numbers, the direction and h where it exceeds `rtol`. A direction
    costs two losses, however many parameters there are.
    """
    params = np.asarray(params, dtype=np.float64)
    with np.errstate(all="ignore"):
        loss, grad = model.loss_and_grad(params, step)
    if grad.shape != params.shape or np.shape(loss) != params.shape[:-1]:
        raise AssertionError(
            f"loss and gradient must have shapes {params.shape[:-1]} and {params.shape}; "
            f"got {np.shape(loss)} and {grad.shape}"
        )
    rounding = np.finfo(np.float64).eps * np.abs(loss) / h
    worst = 0.0
    for direction in range(n_directions):
        v = rng.normal(size=params.shape)
        v /= np.sqrt(np.vecdot(v, v))[..., None]
        with np.errstate(all="ignore"):
            ahead, behind = (model.loss_and_grad(params + s * h * v, step)[0] for s in (1, -1))
            slope, difference = np.vecdot(grad, v), (ahead - behind) / (2 * h)
            size = np.maximum(np.abs(slope), np.abs(difference)) + rounding / rtol
            error = np.where(slope == difference, 0.0, np.abs(slope - difference) / size)
        run = np.unravel_index(np.argmax(error), error.shape)  # argmax finds a NaN first
        if not error[run] <= rtol:
            where = f" of run {tuple(int(i) for i in run)}" if run else ""
            raise AssertionError(
                f"wrong gradient in direction {direction}{where}: the gradient gives a slope of "
                f"{slope[run]:.10g}, the central difference {difference[run]:.10g} "
                f"(h={h:g}, relative error {error[run]:.2g})"
            )
        worst = max(worst, float(error[run]))
    return worst
