"""Lesson 11: what each library makes of a gradient, by the gradient's norm."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import power_of_ten, ring

LOOKS: dict[str, dict[str, Any]] = {
    "as it came": {"marker": ".", "color": style.GUIDE, "markersize": 6},
    "shortened": {"marker": "s", "color": style.CLIPPED, "markersize": 6},
    "partly 0": {"marker": "D", "color": style.RAW, "markersize": 6, "markerfacecolor": "none", "markeredgewidth": 1.6},
    "all 0": {"marker": "o", "color": style.RAW, "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.8},
    "partly NaN": {"marker": "+", "color": style.INK, "markersize": 8, "markeredgewidth": 1.8},
    "all NaN": {"marker": "x", "color": style.INK, "markersize": 7, "markeredgewidth": 1.8},
    "an error": {"marker": "^", "color": style.OTHER, "markersize": 8},
}


class PoliciesFigure(style.LiveFigure):
    description = (
        "One row for each library's rule. Left: what the rule makes of a gradient, against its size, one mark a "
        "power of ten: a dot as it came, a square shortened, an open diamond partly zero, an open circle all zero, a "
        "plus partly NaN, a cross all NaN, a triangle an error; the threshold is dotted, a ring and a line show the "
        "present gradient and rule, which can be dragged. Right: the numbers that come out."
    )

    def draw(self, result: Any) -> None:
        n_rules = len(result.names)
        rows = self.panel("rules", (0.275, 0.13, 0.435, 0.73), xlim=(-3.3, 39.3), ylim=(0.5 - n_rules, 0.5))
        rows.set(xlabel="size s of the gradient (3, 4 | 12)·s")
        rows.set_xticks([0, 10, 20, 30], [power_of_ten(10.0**k) if k else "1" for k in (0, 10, 20, 30)])
        rows.set_yticks(-np.arange(n_rules), result.names)
        rows.tick_params(axis="y", length=0, labelcolor=style.INK)
        look = {"facecolor": "#E8F1F8", "edgecolor": "none", "zorder": 0, "clip_on": False}
        (band,) = rows.fill([0, 0, 0, 0], [0, 0, 0, 0], **look)
        self._band = self.moving(band)
        self._level = self.moving(rows.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold")
        self._line = self.moving(rows.plot([], [], color=style.INK, linewidth=1.2, zorder=1)[0], "at")
        self._marks = {
            name: self.moving(rows.plot([], [], linestyle="none", **look, zorder=3)[0], name)
            for name, look in LOOKS.items()
        }
        self._ring = ring(self, rows, name="here")
        self._ring.set_clip_on(False)
        self._numbers = [self.moving(rows.text(41.1, -k, "", color=style.INK, va="center")) for k in range(n_rules)]
        rows.text(41.1, 0.75, "what comes out at this s", color=style.INK, va="bottom", fontweight="bold")
        rows.text(-3.3, 0.75, "What becomes of it", color=style.INK, va="bottom", fontweight="bold")
        lines = [Line2D([], [], linestyle="none", **look) for look in LOOKS.values()]
        lines.append(Line2D([], [], **style.THRESHOLD_STYLE))
        settings = {"frameon": False, "fontsize": 11, "handlelength": 1.2, "columnspacing": 1.3, "handletextpad": 0.4}
        labels = [*LOOKS, "c"]
        self.figure.legend(lines, labels, loc="upper center", ncols=len(labels), borderaxespad=0.1, **settings)

    def update(self, result: Any) -> None:
        row, ends = -result.row, [0.5 - len(result.names), 0, 0.5]
        self._band.set_xy([(-3.3, row - 0.5), (72, row - 0.5), (72, row + 0.5), (-3.3, row + 0.5)])
        self._level.set_data([result.at_threshold] * 3, ends)
        self._line.set_data([result.state.power] * 3, ends)
        self._ring.set_data([result.state.power], [row])
        for name, marks in self._marks.items():
            marks.set_data(*result.marks(name).T)
        for text, numbers in zip(self._numbers, result.numbers, strict=True):
            text.set_text(numbers)
