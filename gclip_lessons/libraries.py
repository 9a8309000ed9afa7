"""What PyTorch, TensorFlow, Keras and optax do with a gradient, written in numpy, one pure function for each call.

The rules of `clipping.py` say what clipping means; these say what a library computes, with its own order of operations
and in its own number format: sums of squares that overflow, and what then becomes of the gradient. They were read in
the sources of torch 2.13, tensorflow 2.21, keras 3.15 (on TensorFlow and JAX) and optax 0.2.8, and are held to these
libraries on the CPU by tests/test_libraries.py, where they are installed and from a record where they are not.

A gradient is a sequence of tensors (..., n_k), numpy arrays of one dtype, float16, float32 or float64; leading axes are
runs. The threshold is a number > 0. Each function returns the clipped tensors, new and of the same dtype, and the norm
that the library computed on the way, (...), or None where it computes none for the whole gradient. Nothing is an error
but what is one in the library, and nothing warns.
"""

from collections.abc import Sequence

import numpy as np

Tensors = Sequence[np.ndarray]
Clipped = tuple[list[np.ndarray], np.ndarray | None]

_quiet = np.errstate(all="ignore")  # overflow is what these functions are about


def _sum_of_squares(tensor: np.ndarray) -> np.ndarray:
    """Σgᵢ² in the tensor's own number format: in float16 it is infinite once it exceeds 65504."""
    return np.square(tensor).sum(-1, dtype=np.float64).astype(tensor.dtype)


def _total(grads: Tensors) -> np.ndarray:
    """√ΣΣgᵢ² over all tensors, in their own number format."""
    return np.sqrt(sum(_sum_of_squares(tensor) for tensor in grads))


@_quiet
def pytorch_clip_grad_norm(grads: Tensors, max_norm: float, *, error_if_nonfinite: bool = False) -> Clipped:
    """`torch.nn.utils.clip_grad_norm_`: g·min(1, c/(n + 1e-6)), n the norm of the tensors' norms.

    Squares of float16 are added in float32, and only the norm must fit float16 again. RuntimeError, with
    `error_if_nonfinite`, if some n is not finite. torch/nn/utils/clip_grad.py.
    """
    dtype = grads[0].dtype
    wide = np.promote_types(dtype, np.float32)
    norms = [np.sqrt(_sum_of_squares(tensor.astype(wide))).astype(dtype) for tensor in grads]
    total = np.sqrt(sum(np.square(norm.astype(wide)) for norm in norms)).astype(dtype)
    if error_if_nonfinite and not np.isfinite(total).all():
        raise RuntimeError("The total norm of order 2.0 for gradients from `parameters` is non-finite")
    factor = np.minimum(max_norm / (total + 1e-6), 1.0).astype(dtype)
    return [tensor * factor[..., None] for tensor in grads], total


@_quiet
def tensorflow_clip_by_global_norm(grads: Tensors, clip_norm: float) -> Clipped:
    """`tf.clip_by_global_norm`, and `global_clipnorm` of Keras: g·c·min(1/n, 1/c) + (n − n).

    The last term is 0, or NaN where n is not finite: every entry is NaN then, on purpose.
    tensorflow/python/ops/clip_ops.py, keras/src/optimizers/base_optimizer.py.
    """
    total = _total(grads)
    factor = clip_norm * np.minimum(1 / total, 1 / clip_norm) + (total - total)
    return [tensor * factor.astype(tensor.dtype)[..., None] for tensor in grads], total


@_quiet
def keras_clipnorm(grads: Tensors, clipnorm: float) -> Clipped:
    """`clipnorm` of Keras' optimisers: each tensor by its own norm, (g·c)/max(n, c).

    keras/src/optimizers/base_optimizer.py.
    """
    norms = [np.sqrt(_sum_of_squares(tensor)) for tensor in grads]
    longer = [np.maximum(norm, clipnorm)[..., None] for norm in norms]
    return [tensor * clipnorm / n for tensor, n in zip(grads, longer, strict=True)], None


@_quiet
def optax_clip_by_global_norm(grads: Tensors, max_norm: float) -> Clipped:
    """`optax.clip_by_global_norm`: g where n < c, else (g/n)·c. optax/transforms/_clipping.py."""
    total = _total(grads)
    inside = (total < max_norm)[..., None]
    return [np.where(inside, tensor, tensor / total[..., None] * max_norm) for tensor in grads], total


@_quiet
def clip_each_value(grads: Tensors, max_value: float) -> Clipped:
    """`torch.nn.utils.clip_grad_value_`, `clipvalue` of Keras, `tf.clip_by_value` and `optax.clip`: each entry clamped.

    All four turn ±∞ into ±c and leave NaN.
    """
    return [np.clip(tensor, -max_value, max_value) for tensor in grads], None
