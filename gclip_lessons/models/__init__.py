"""Toy losses, one family a file. All compute in float64, for any number of runs at once."""

from gclip_lessons.models.cosh import Cosh
from gclip_lessons.models.deep_net import DeepNet
from gclip_lessons.models.gradient_check import check_gradient
from gclip_lessons.models.line import LineFit
from gclip_lessons.models.logistic import Logistic, clipped_root
from gclip_lessons.models.model import Model
from gclip_lessons.models.noisy import Noisy
from gclip_lessons.models.power import Power
from gclip_lessons.models.quadratic import Quadratic
from gclip_lessons.models.recurrence import Recurrence
from gclip_lessons.models.rnn import RNN
from gclip_lessons.models.rosenbrock import Rosenbrock
from gclip_lessons.models.symbol_rnn import SymbolRNN
from gclip_lessons.models.two_layer import TwoLayer, TwoLayerClassifier
from gclip_lessons.models.wells import Wells

__all__ = [
    "MODELS",
    "RNN",
    "Cosh",
    "DeepNet",
    "LineFit",
    "Logistic",
    "Model",
    "Noisy",
    "Power",
    "Quadratic",
    "Recurrence",
    "Rosenbrock",
    "SymbolRNN",
    "TwoLayer",
    "TwoLayerClassifier",
    "Wells",
    "check_gradient",
    "clipped_root",
]


# One small specimen of each family: listed here, a model is met by the common gradient check.
MODELS: dict[str, Model] = {
    "quadratic": Quadratic([[3.0, 1.0], [1.0, 2.0]], minimum=[0.5, -1.0]),
    "valley": Quadratic.valley(100.0, angle=0.6),
    "cosh": Cosh(3),
    "noisy": Noisy(Quadratic.diagonal([1.0, 2.0]), [[0.5, -2.0]]),
    "logistic": Logistic([[-3.0, 0.5], [0.5, 1.0], [1.0, -2.0], [2.5, 1.5]]),
    "power": Power(4, 3),
    "recurrence": Recurrence(),
    "rnn": RNN([[0.5, -1.0], [1.0, 0.0], [-0.3, 0.8]], [0.5, -0.5]),
    "linear_rnn": RNN([[0.5, -1.0], [1.0, 0.0], [-0.3, 0.8]], [0.5, -0.5], linear=True),
    "rosenbrock": Rosenbrock(),
    "wells": Wells(width=0.7),
    "line": LineFit([0.0, 1.0, 2.0, 4.0], [1.0, 3.0, 2.0, 5.0]),
    "two_layer": TwoLayer([[0.0, 1.0], [1.0, -1.0], [0.5, 2.0]], [1.0, -1.0, 0.5], hidden=4),
    "deep_net": DeepNet([[0.0, 1.0], [1.0, -1.0], [0.5, 2.0]], [1.0, -1.0, 0.5], (4, 3)),
    "deep_linear_net": DeepNet([[0.0, 1.0], [1.0, -1.0], [0.5, 2.0]], [1.0, -1.0, 0.5], (3,), linear=True),
    "deep_ntk_net": DeepNet([[0.0, 1.0], [1.0, -1.0], [0.5, 2.0]], [1.0, -1.0, 0.5], (4, 3), ntk=True),
    "classifier": TwoLayerClassifier([[0.0, 1.0], [1.0, -1.0], [0.5, 2.0]], [1.0, -1.0, 1.0], hidden=4),
    "symbol_rnn": SymbolRNN([[[0, 1], [1, 2], [0, 0]]], [[[1, 2], [0, 1]]], n_symbols=3, n_answers=3, hidden=3),
}
