"""Lesson 05: a picture of a run whose clip nobody mentions, a run with the learner's threshold, and their steps."""

from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, drawable, key_above, off_chart, ring

_LENGTHS = (1e-4, 1e1)
_PICTURE = {"color": style.OTHER, "linestyle": "-", "linewidth": 4.0}  # thick: in a zigzag no dash can be read
_YOURS = style.CLIPPED_STYLE | {"linewidth": 1.3, "marker": ".", "markersize": 4}


class HiddenClipFigure(style.LiveFigure):
    description = (
        "Left: contours of Rosenbrock's valley with two paths from one start, the picture's with a hidden threshold "
        "(a thick line) and yours (a thin one with dots); the ring at the start can be dragged, and a cross marks the "
        "minimum. Right: the length of the steps of both runs against the step, on a log scale; the dotted line is ηc, "
        "the longest step that your threshold allows."
    )

    def draw(self, result: Any) -> None:
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.77), title="Two paths", aspect="equal")
        plane.set(xlim=(-2.5, 2.5), ylim=(-1.5, 3.5), xlabel="x", ylabel="y")
        levels = 4.0 ** np.arange(0, 7)
        style.draw_contours(plane, lambda points: result.model.loss_and_grad(points)[0], levels=levels)
        plane.plot([1], [1], "+", color=style.INK, markersize=10, markeredgewidth=1.6)
        self._picture = self.moving(plane.plot([], [], **_PICTURE, zorder=3)[0], "picture")
        self._yours = self.moving(plane.plot([], [], **_YOURS, zorder=4)[0], "yours")
        self._start = ring(self, plane, name="start")
        words = {"transform": plane.transAxes, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}}
        self._lost = self.moving(plane.text(0.03, 0.03, "", color=style.INK, **words, zorder=7), "lost")
        names = {"picture": (_PICTURE, style.OTHER_TEXT), "yours": (_YOURS, style.CLIPPED_TEXT)}
        key_above(plane, names)

        right = self.panel("lengths", (0.525, 0.13, 0.445, 0.77), title="Length of the steps")
        right.set(yscale="log", xlim=(0, len(result.lengths["yours"])), ylim=_LENGTHS, xlabel="step")
        right.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=20))
        right.yaxis.set_major_formatter(PLAIN)
        right.yaxis.set_minor_locator(LogLocator(10, subs=range(3, 10), numticks=20))
        right.yaxis.set_minor_formatter(NullFormatter())
        self._level = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold")
        self._picture_steps = self.moving(right.plot([], [], **_PICTURE, zorder=3)[0], "picture steps")
        plain = _YOURS | {"marker": None, "linewidth": 1.6}
        self._steps = self.moving(right.plot([], [], **plain, zorder=4)[0], "your steps")
        names = {"your ηc": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)}
        key_above(right, names)

    def update(self, result: Any) -> None:
        lost = {}
        for name, path, steps in (
            ("picture", self._picture, self._picture_steps),
            ("yours", self._yours, self._steps),
        ):
            points, lengths = result.paths[name], result.lengths[name]
            path.set_data(*drawable(points).T)
            steps.set_data(np.arange(len(lengths)), np.where(lengths < 1e30, lengths, np.nan))
            x, y = points[-1]
            lost[name] = not (abs(x) <= 2.5 and -1.5 <= y <= 3.5)
        self._lost.set_text(off_chart(lost))
        n_steps = len(result.lengths["yours"])
        self._level.set_data([0, n_steps / 2, n_steps], [result.learning_rate * result.state.max_norm] * 3)
        self._start.set_data([result.state.x], [result.state.y])
