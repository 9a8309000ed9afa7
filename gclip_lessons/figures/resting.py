"""Lesson 06: runs that start at the minimum and leave it, and where they come to rest."""

from typing import Any

from matplotlib.ticker import NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key, ring


class RestingFigure(style.LiveFigure):
    description = (
        "Left: the average place of many runs that start at the minimum, against the learning rate times the step, "
        "unclipped dashed and clipped solid; the place foretold for the clipped runs is a thin level line. Right: the "
        "place of rest against the threshold: a solid line by formula with measured dots on it, below a dash-dotted "
        "curve, the most that any noise of this variance can do; the dotted line with its ring is the threshold."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("paths", (0.075, 0.13, 0.375, 0.77), title="From the minimum, 0: mean of 100 runs")
        left.set(xlim=(0, result.times[-1]), ylim=(-0.14, 0.56), xlabel="η × step")
        left.set_xticks(range(0, 17, 4))
        left.yaxis.set_major_formatter(PLAIN)
        left.axhline(0, color=style.GUIDE, linewidth=1)
        self._foretold = self.moving(left.plot([], [], color=style.INK, linewidth=1.1)[0], "level")
        self._raw = self.moving(left.plot([], [], **style.RAW_STYLE | {"linewidth": 1.6})[0], "raw")
        self._clipped = self.moving(left.plot([], [], **style.CLIPPED_STYLE)[0], "clipped")
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "foretold": ({"color": style.INK, "linewidth": 1.1}, style.INK),
        }
        key(left, names, "upper left", ncols=3, columnspacing=1.0, handlelength=2.2)

        right = self.panel("rest", (0.545, 0.13, 0.435, 0.77), title="Where clipped runs come to rest")
        right.set(xscale="log", xlim=(0.23, 4.35), ylim=(-0.05, 0.75), xlabel="threshold c")
        right.set(xticks=[0.25, 0.5, 1, 2, 4])
        right.xaxis.set_major_formatter(PLAIN)
        right.xaxis.set_minor_formatter(NullFormatter())
        right.xaxis.set_minor_locator(NullLocator())
        right.yaxis.set_major_formatter(PLAIN)
        right.axhline(0, color=style.GUIDE, linewidth=1)
        dots = {"marker": "o", "markersize": 6, "linestyle": "none", "color": style.CLIPPED, "markeredgecolor": "white"}
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        self._most = self.moving(right.plot([], [], **style.OTHER_STYLE)[0], "most")
        self._line = self.moving(right.plot([], [], **style.CLIPPED_STYLE | {"linewidth": 1.6})[0], "foretold")
        self._dots = self.moving(right.plot([], [], **dots, zorder=5)[0], "measured")
        self._here = ring(self, right, style.THRESHOLD, "here")
        self._here.set_clip_on(False)
        names = {
            "p(s−c)/(1−p)": (style.CLIPPED_STYLE | {"linewidth": 1.6}, style.CLIPPED_TEXT),
            "measured": (dots, style.CLIPPED_TEXT),
            "σ²/(4c), the most": (style.OTHER_STYLE, style.OTHER_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(right, names, "upper right", labelspacing=0.35)

    def update(self, result: Any) -> None:
        c = result.state.max_norm
        self._foretold.set_data(result.times[[0, 1, -1]], [result.rest] * 3)
        self._raw.set_data(result.times, result.raw_path)
        self._clipped.set_data(result.times, result.path)
        self._at.set_data([c, c], [-0.05, 0.48])
        self._most.set_data(result.thresholds, result.most)
        self._line.set_data(result.thresholds, result.rests)
        self._dots.set_data(result.thresholds, result.measured)
        self._here.set_data([c], [result.measured_here])
