"""Lesson 04: how much gradient arrives k steps back, and what clipping does to its parts."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key

_LOW, _HIGH = 1e-10, 1e10
LINEAR_STYLE = style.OTHER_STYLE
TANH_STYLE: dict[str, Any] = {"color": style.INK, "linestyle": "-", "linewidth": 2.2}


class JacobiansFigure(style.LiveFigure):
    description = (
        "Left: on a log scale, how much of the last step's gradient arrives k steps further back, in a linear network "
        "(dash-dotted) and in a tanh network (solid), beside two thin lines, the power of the largest singular value, "
        "which bounds both, and that of the spectral radius. Right: the norm of the part that each step contributes to "
        "the tanh network's gradient, raw dashed and clipped solid, with the threshold, "
        "which is for the norm of their sum, as a dotted line."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("arriving", (0.065, 0.13, 0.40, 0.77), title="Gradient that arrives")
        right = self.panel("parts", (0.56, 0.13, 0.42, 0.77), title="Parts of ∂L/∂W, tanh")
        for panel in (left, right):
            panel.set(yscale="log", xlim=(0, 60), ylim=(_LOW, _HIGH), xlabel="steps before the end")
            panel.set_yticks([1e-8, 1e-4, 1, 1e4, 1e8], ["10⁻⁸", "10⁻⁴", "1", "10⁴", "10⁸"])
            panel.yaxis.set_minor_locator(NullLocator())
            panel.axhline(1, color=style.FAINT, linewidth=1, zorder=0)
        guide = {"color": style.GUIDE, "linewidth": 1.1}
        self._bound = self.moving(left.plot([], [], linestyle="-", **guide)[0], "bound")
        self._power = self.moving(left.plot([], [], linestyle=(0, (2, 2)), **guide)[0], "power")
        self._arriving = {
            name: self.moving(left.plot([], [], **look, zorder=4)[0], name)
            for name, look in (("linear", LINEAR_STYLE), ("tanh", TANH_STYLE))
        }
        names = {
            "σ₁ᵏ": ({**guide, "linestyle": "-"}, style.MUTED),
            "ρᵏ": ({**guide, "linestyle": (0, (2, 2))}, style.MUTED),
            "linear": (LINEAR_STYLE, style.OTHER_TEXT),
            "tanh": (TANH_STYLE, style.INK),
        }
        key(left, names, "lower left", ncols=2, columnspacing=1.2, labelspacing=0.3)
        self._level = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "threshold")
        self._clipped = self.moving(right.plot([], [], **style.CLIPPED_STYLE, zorder=4)[0], "clipped")
        self._raw = self.moving(right.plot([], [], **style.RAW_STYLE, zorder=5)[0], "raw")
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "threshold c, for the norm of the sum": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(right, names, "upper left", labelspacing=0.3)

    def update(self, result: Any) -> None:
        k = np.arange(result.state.n_steps + 1)
        self._bound.set_data(k, _seen(result.sigma**k))
        self._power.set_data(k, _seen(result.state.radius**k))
        for name, line in self._arriving.items():
            line.set_data(k, _seen(result.arriving[name]))
        for line, parts in ((self._raw, result.parts), (self._clipped, result.clipped)):
            line.set_data(np.arange(len(parts)), _seen(parts))
        self._level.set_data([0, 60], [result.state.max_norm] * 2)


def _seen(values: np.ndarray) -> np.ndarray:
    """A log axis takes no zero."""
    return np.clip(values, 1e-30, 1e30)
