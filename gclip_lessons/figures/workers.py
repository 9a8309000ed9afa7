"""Lesson 09: the gradients of several workers, and the two orders of clipping and averaging them."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN, Arrow, ring

WORKER_STYLE = {"color": style.GUIDE, "linestyle": "-", "linewidth": 1.4}
_LOW, _RIGHT = -0.1, 2.6
_TOP = _LOW + (_RIGHT - _LOW) * 272 / 409.5  # as high as the panel is


class WorkersFigure(style.LiveFigure):
    description = (
        "Left: the plane of two parameters with the gradient of one worker along the horizontal axis and that of all "
        "others along the vertical one, in thin grey. Their mean is a dashed arrow, the mean clipped a solid arrow, "
        "the mean of the clipped gradients a dash-dotted one, and the threshold a dotted arc. Right: the direction of "
        "the two results against the threshold, from 0°, that of the one worker, to 90°, that of all others."
    )

    def draw(self, result: Any) -> None:
        names = {
            "mean": (style.RAW_STYLE, style.RAW_TEXT),
            "average, then clip": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "clip, then average": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        plane = self.panel("plane", (0.06, 0.13, 0.455, 0.68), aspect="equal")
        plane.set(xlim=(_LOW, _RIGHT), ylim=(_LOW, _TOP), xlabel="the one worker's direction", ylabel="the others'")
        plane.set(xticks=[0, 1, 2], yticks=[0, 1])
        head(plane, "Two orders, two updates", names, handlelength=1.9)
        self._lone = Arrow(self, plane, "lone", head=0.1, **WORKER_STYLE)
        self._others = Arrow(self, plane, "others", head=0.1, **WORKER_STYLE)
        self._arc = self.moving(plane.plot([], [], **style.THRESHOLD_STYLE)[0], "arc")
        self._last = Arrow(self, plane, "clipped last", head=0.14, **style.CLIPPED_STYLE | {"linewidth": 4})
        self._first = Arrow(self, plane, "clipped first", head=0.11, **style.OTHER_STYLE)
        self._mean = Arrow(self, plane, "mean", head=0.11, **style.RAW_STYLE)
        words = {"fontsize": 10.5, "color": style.MUTED}
        self._says_others = self.moving(plane.text(0.0, 1.06, "", va="bottom", **words), "says others")
        self._says_lone = self.moving(plane.text(_RIGHT, 0.05, "", ha="right", va="bottom", **words), "says lone")

        turn = self.panel("turn", (0.61, 0.13, 0.37, 0.68))
        low, high = result.thresholds[[0, -1]]
        turn.set(xscale="log", xlim=(0.9 * low, 1.1 * high), ylim=(-3, 93), xlabel="threshold c")
        turn.set(xticks=[0.1, 1, 10], yticks=[0, 30, 60, 90])
        turn.xaxis.set_major_formatter(PLAIN)
        turn.xaxis.set_minor_formatter(NullFormatter())
        turn.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}°")
        turn.set_title("Direction of the update", pad=29)
        turn.text(0, 1.03, "0°: the one worker's, 90°: the others'", transform=turn.transAxes, color=style.MUTED)
        self._at = self.moving(turn.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        self._lasts = self.moving(turn.plot([], [], **style.CLIPPED_STYLE)[0], "directions last")
        self._firsts = self.moving(turn.plot([], [], **style.OTHER_STYLE)[0], "directions first")
        self._last_here = ring(self, turn, style.CLIPPED, "last here")
        look = {"markersize": 10, "markeredgecolor": "white", "color": style.OTHER, "zorder": 6}
        self._first_here = self.moving(turn.plot([], [], "D", **look)[0], "first here")

    def update(self, result: Any) -> None:
        state, c = result.state, result.state.max_norm
        around = np.linspace(0, np.pi / 2, 65)
        self._arc.set_data(c * np.cos(around), c * np.sin(around))
        self._lone.set(result.grads[0])
        self._others.set(result.grads[1])
        self._mean.set(result.mean)
        self._last.set(result.last)
        self._first.set(result.first)
        others = state.workers - 1
        self._says_others.set_text(f"{others} worker{'s' if others > 1 else ''}, each (0, 1)")
        self._says_lone.set_text(f"one worker, ({state.lone:g}, 0)")
        self._at.set_data([c] * 3, [-3, 45, 93])
        self._lasts.set_data(result.thresholds, result.directions_last)
        self._firsts.set_data(result.thresholds, result.directions_first)
        self._last_here.set_data([c], [result.direction_last])
        self._first_here.set_data([c], [result.direction_first])
