"""Lesson 09: what a relative of clipping does to the length of an update, and to its direction."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN, Arrow, ring


class RelativesFigure(style.LiveFigure):
    description = (
        "Left: the length of the update (over η) against the norm of the gradient on log scales, for the chosen rule "
        "solid, without a rule dashed, and for clipping at the same level dotted; a ring marks the present gradient. "
        "Right: a quarter of the unit circle with the direction of the gradient as a dashed arrow and that of the "
        "update as a solid one."
    )

    def draw(self, result: Any) -> None:
        lengths = self.panel("lengths", (0.08, 0.13, 0.465, 0.68))
        limits = {"xscale": "log", "yscale": "log", "xlim": (0.009, 110), "ylim": (0.0009, 2000)}
        lengths.set(**limits, xlabel="norm n of the gradient", xticks=[0.01, 0.1, 1, 10, 100])
        lengths.set(yticks=[0.001, 0.01, 0.1, 1, 10, 100, 1000])
        for axis in (lengths.xaxis, lengths.yaxis):
            axis.set_major_formatter(PLAIN)
            axis.set_minor_formatter(NullFormatter())
        names = {
            "no rule": (style.RAW_STYLE, style.RAW_TEXT),
            "this rule": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "clipping at its level": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(lengths, "Length of the update, over η", names, handlelength=1.9)
        self._at = self.moving(lengths.axvline(1, color=style.GUIDE, linewidth=1.2, zorder=1))
        lengths.plot([0.009, 110], [0.009, 110], **style.RAW_STYLE, zorder=2)
        self._rule = self.moving(lengths.plot([], [], **style.CLIPPED_STYLE, zorder=3)[0], "rule")
        self._clip = self.moving(lengths.plot([], [], **style.THRESHOLD_STYLE, zorder=2.5)[0], "clip")
        self._raw_here = self.moving(
            lengths.plot([], [], "x", color=style.RAW, markersize=9, markeredgewidth=2, zorder=5)[0], "raw here"
        )
        self._here = ring(self, lengths, style.CLIPPED, "here")

        ways = self.panel("ways", (0.645, 0.13, 0.32, 0.68), aspect="equal")
        ways.set(xlim=(0, 1.12), ylim=(0, 1.12), xticks=[0, 1], yticks=[0, 1])
        ways.set(xlabel="first parameter", ylabel="second")
        around = np.linspace(0, np.pi / 2, 65)
        ways.plot(np.cos(around), np.sin(around), color=style.FAINT, linewidth=1.2)
        names = {
            "gradient": (style.RAW_STYLE, style.RAW_TEXT),
            "update": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
        }
        head(ways, "Its direction", names)
        self._update = Arrow(self, ways, "update way", head=0.09, **style.CLIPPED_STYLE | {"linewidth": 4})
        self._grad = Arrow(self, ways, "gradient way", head=0.07, draggable=True, **style.RAW_STYLE)

    def update(self, result: Any) -> None:
        n = result.state.norm
        self._at.set_xdata([n, n])
        self._rule.set_data(result.norms, result.lengths)
        self._clip.set_data(result.norms, result.clip_lengths)
        self._raw_here.set_data([n], [n])
        self._here.set_data([n], [result.length])
        self._update.set(result.update / result.length)
        self._grad.set(result.grad / n)
