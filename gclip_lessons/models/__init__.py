"""Toy losses, one family a file. All compute in float64, for any number of runs at once."""

from gclip_lessons.models.cosh import Cosh
from gclip_lessons.models.gradient_check import check_gradient
from gclip_lessons.models.line import LineFit
from gclip_lessons.models.model import Model
from gclip_lessons.models.quadratic import Quadratic
from gclip_lessons.models.two_layer import TwoLayer

__all__ = ["MODELS", "Cosh", "LineFit", "Model", "Quadratic", "TwoLayer", "check_gradient"]


# One small specimen of each family: listed here, a model is met by the common gradient check.
MODELS: dict[str, Model] = {
    "quadratic": Quadratic([[3.0, 1.0], [1.0, 2.0]], minimum=[0.5, -1.0]),
    "valley": Quadratic.valley(100.0, angle=0.6),
    "cosh": Cosh(3),
    "line": LineFit([0.0, 1.0, 2.0, 4.0], [1.0, 3.0, 2.0, 5.0]),
    "two_layer": TwoLayer([[0.0, 1.0], [1.0, -1.0], [0.5, 2.0]], [1.0, -1.0, 0.5], hidden=4),
}
