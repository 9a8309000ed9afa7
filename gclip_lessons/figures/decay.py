"""Lesson 08: a weight that only decay moves, for three places where the decay can stand."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key

_LOOKS = {
    "coupled": (style.OTHER_STYLE, "D", style.OTHER_TEXT),
    "in the loss": (style.CLIPPED_STYLE, "o", style.CLIPPED_TEXT),
    "decoupled": (style.RAW_STYLE, "s", style.RAW_TEXT),
}
_SAYS = {"in the loss": "in the loss (clipped)", "coupled": "coupled", "decoupled": "decoupled"}


class DecayFigure(style.LiveFigure):
    description = (
        "Left: a weight that has no gradient of its own against the step, with its decay in the loss and so clipped "
        "(solid), coupled (dash-dotted) and decoupled (dashed). Right: what is left of it at the end against the "
        "threshold, on a log scale, with the threshold as a dotted line that can be dragged."
    )

    def draw(self, result: Any) -> None:
        last = len(result.weights["coupled"]) - 1
        left = self.panel("weight", (0.075, 0.13, 0.40, 0.77), title="An idle weight")
        right = self.panel("left over", (0.555, 0.13, 0.425, 0.77), title="What is left of it at the end")
        left.set(xlim=(0, 1.02 * last), ylim=(-0.05, 1.4), xlabel="step", yticks=[0, 0.25, 0.5, 0.75, 1])
        low, high = result.thresholds[[0, -1]]
        right.set(xscale="log", xlim=(low / 1.2, high * 1.2), ylim=(-0.05, 1.4), xlabel="threshold c")
        right.set(xticks=[0.01, 0.1, 1, 10, 100], yticks=[0, 0.25, 0.5, 0.75, 1])
        right.xaxis.set_minor_locator(NullLocator())
        for axis in (left.yaxis, right.xaxis, right.yaxis):
            axis.set_major_formatter(PLAIN)
        for panel in (left, right):
            panel.axhline(0, color=style.GUIDE, linewidth=1)
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "threshold")
        self._weights, self._left, self._marks = {}, {}, {}
        for name, (look, marker, _) in _LOOKS.items():
            wide = 2 * (name == "coupled")  # where two of them are one, the wider line is seen behind the other
            look = look | {"linewidth": look["linewidth"] + wide}
            mark = {"markersize": 9 + 2 * wide, "markeredgecolor": "white", "color": look["color"], "clip_on": False}
            self._weights[name] = self.moving(left.plot([], [], **look, zorder=4)[0], name)
            self._left[name] = self.moving(right.plot([], [], **look, zorder=4)[0], f"left {name}")
            self._marks[name] = self.moving(right.plot([], [], marker, **mark, zorder=6)[0], f"at {name}")
        names = {_SAYS[n]: (look | {"marker": m, "markersize": 6}, text) for n, (look, m, text) in _LOOKS.items()}
        key(left, names, "upper right", labelspacing=0.3)

    def update(self, result: Any) -> None:
        c = result.state.max_norm
        self._at.set_data([c, c], [-0.05, 1.4])
        for name, weight in result.weights.items():
            self._weights[name].set_data(np.arange(len(weight)), weight)
            self._left[name].set_data(result.thresholds, result.left[name])
            self._marks[name].set_data([c], weight[[-1]])
