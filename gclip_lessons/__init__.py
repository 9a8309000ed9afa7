"""Gradient clipping, hands on: the small numpy package under the notebooks.

Names are loaded when they are first used, so that `gclip_lessons.server` costs a Jupyter server nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "clipping": (
        "CLIPPERS AdaptiveClip ClipByGlobalNorm ClipByNorm ClipByValue ClipPerExample ClipSmoothly NoClip"
        " NormalizeGradient SignGradient adaptive_clip clip_by_global_norm clip_by_norm clip_by_value"
        " clip_per_example clip_smoothly global_norm normalize_gradient sign_gradient"
    ),
    "optimizers": "OPTIMIZERS SGD Adam AdamW Momentum Nesterov RMSProp",
    "models": "MODELS Cosh LineFit Quadratic TwoLayer check_gradient",
    "data": "google_prices standardize",
    "training": "Trajectory angle_between sweep train",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOMES})
