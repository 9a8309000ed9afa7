"""Lesson 08: gradient norms cut at a threshold, and how long the updates of Adam and of SGD are then."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key

_LOW, _HIGH = 1e-9, 1e3
_POWERS = [10.0**power for power in range(-9, 4, 3)]
_ROW = {"ncols": 3, "columnspacing": 1.2, "handlelength": 2.0}
_NAMES = ["10⁻⁹", "10⁻⁶", "0.001", "1", "1000"]


class ScaleFigure(style.LiveFigure):
    description = (
        "Left: the gradient norms of 200 steps on a log scale, before clipping as squares and after it as dots, with "
        "the threshold as a dotted line. Right: the mean size of the updates against the threshold, on a log scale, in "
        "units of the unclipped one, a dashed level at 1: of Adam solid, of SGD dash-dotted, each with a mark at the "
        "threshold."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("norms", (0.075, 0.13, 0.38, 0.77), title="Norms of 200 gradients")
        left.set(yscale="log", xlim=(0, 200), ylim=(_LOW / 2, 1e6), xlabel="step", yticks=_POWERS)
        left.set_yticklabels(_NAMES)
        left.yaxis.set_minor_locator(NullLocator())
        self._level = self.moving(left.plot([], [], **style.THRESHOLD_STYLE)[0], "threshold")
        raw = {"linestyle": "none", "marker": "s", "color": style.RAW, "markersize": 4, "markeredgewidth": 0}
        clipped = {"linestyle": "none", "marker": "o", "color": style.CLIPPED, "markersize": 3, "markeredgewidth": 0}
        self._raw = self.moving(left.plot([], [], **raw, zorder=3)[0], "raw")
        self._clipped = self.moving(left.plot([], [], **clipped, zorder=4)[0], "clipped")
        names = {
            "before": (raw | {"markersize": 7}, style.RAW_TEXT),
            "after": (clipped | {"markersize": 7}, style.CLIPPED_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(left, names, "upper left", **_ROW)

        right = self.panel("sizes", (0.545, 0.13, 0.435, 0.77), title="Mean update, over the unclipped one")
        right.set(xscale="log", xlim=(_LOW / 2, 2 * _HIGH), ylim=(-0.04, 1.75), xlabel="threshold c", xticks=_POWERS)
        right.set_xticklabels(_NAMES)
        right.xaxis.set_minor_locator(NullLocator())
        right.yaxis.set_major_formatter(PLAIN)
        right.plot([_LOW / 2, 2 * _HIGH], [1, 1], **style.RAW_STYLE)
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        looks = {"SGD": (style.OTHER_STYLE, "D", style.OTHER), "Adam": (style.CLIPPED_STYLE, "o", style.CLIPPED)}
        self._lines, self._marks = {}, {}
        for name, (look, marker, color) in looks.items():
            mark = {"markersize": 9, "markeredgecolor": "white", "color": color, "clip_on": False, "zorder": 6}
            self._lines[name] = self.moving(right.plot([], [], **look, zorder=4)[0], name)
            self._marks[name] = self.moving(right.plot([], [], marker, **mark)[0], f"at {name}")
        names = {
            "Adam": (style.CLIPPED_STYLE | {"marker": "o", "markersize": 6}, style.CLIPPED_TEXT),
            "SGD": (style.OTHER_STYLE | {"marker": "D", "markersize": 6}, style.OTHER_TEXT),
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
        }
        key(right, names, "upper left", **_ROW)

    def update(self, result: Any) -> None:
        c, steps = result.state.max_norm, np.arange(len(result.norms))
        self._level.set_data([0, 200], [c, c])
        self._raw.set_data(steps, result.norms)
        self._clipped.set_data(steps, np.minimum(result.norms, c))
        self._at.set_data([c, c], [-0.04, 1.55])
        for name, line in self._lines.items():
            line.set_data(result.thresholds, result.sizes[name])
            self._marks[name].set_data([c], [result.here[name]])
