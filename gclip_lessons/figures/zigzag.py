"""Lesson 05: three wells, a path into one of them, and the final loss over c of one start and of a thousand."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import drawable, key_above, ring

_MIDDLE = {"color": style.OTHER, "linestyle": style.OTHER_STYLE["linestyle"], "linewidth": 2.6}


class ZigzagFigure(style.LiveFigure):
    description = (
        "Left: contours of three narrow wells in a plain, with the path of the clipped run (solid) and of the "
        "unclipped run (dashed); an inset shows a thousand starts, a thousand times enlarged, with a ring at this one. "
        "Right: the final loss against the threshold on a log scale, of this start as dots joined by a line, and of "
        "the thousand starts as a median (dash-dotted) in a grey band from the lower to the upper quartile; the dotted "
        "line is the threshold of the path."
    )

    def draw(self, result: Any) -> None:
        inset = self.panel("starts", (0.306, 0.645, 0.095, 0.2138), xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
        inset.set(xticks=[], yticks=[], zorder=5)
        inset.set_title("starts × 1000", fontsize=10, fontweight="normal", pad=3)
        inset.spines[:].set_visible(True)
        inset.plot(*1000 * result.starts.T, ".", color=style.GUIDE, markersize=1.5)
        self._start = ring(self, inset, name="start")

        plane = self.panel("surface", (0.075, 0.13, 0.335, 0.77), title="The path")
        plane.set(xlim=(-1.6, 2.0), ylim=(-1.7, 1.7), xlabel="x", ylabel="y")
        levels = [0.01, 0.05, 0.25, 0.75, 1.5, 2.5, 3.5]
        style.draw_contours(plane, lambda points: -result.model.loss_and_grad(points)[0], levels=levels)
        self._raw_path = self.moving(plane.plot([], [], **style.RAW_STYLE, zorder=4)[0], "raw path")
        dots = style.CLIPPED_STYLE | {"marker": ".", "markersize": 5, "linewidth": 1.2}
        self._path = self.moving(plane.plot([], [], **dots, zorder=3)[0], "path")
        end = {"markersize": 9, "markeredgecolor": "white", "zorder": 6}
        self._end = self.moving(plane.plot([], [], "o", color=style.CLIPPED, **end)[0], "end")
        self._raw_end = self.moving(plane.plot([], [], "s", color=style.RAW, **end)[0], "raw end")
        names = {"unclipped": (style.RAW_STYLE, style.RAW_TEXT), "clipped": (dots, style.CLIPPED_TEXT)}
        key_above(plane, names)

        right = self.panel("loss", (0.475, 0.13, 0.495, 0.77), title="Final loss")
        right.set(xscale="log", xlim=(0.01, 10), ylim=(-4.15, 0.15), xlabel="threshold c")
        right.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        right.set_yticks([-4, -3, -2, -1, 0], ["−4", "−3", "−2", "−1", "0"])
        right.minorticks_off()
        self._band = self.moving(right.fill([0.01, 0.01, 10], [0, 0, 0], color=style.FAINT, zorder=1)[0], "band")
        self._middle = self.moving(right.plot([], [], **_MIDDLE, zorder=4)[0], "median")
        self._level = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold")
        joined = style.CLIPPED_STYLE | {"marker": ".", "markersize": 6, "linewidth": 1.2}
        self._zigzag = self.moving(right.plot([], [], **joined, zorder=3)[0], "zigzag")
        self._at = self.moving(right.plot([], [], "o", color=style.CLIPPED, clip_on=False, **end)[0], "at")
        names = {
            "one start": (joined, style.CLIPPED_TEXT),
            "median": (_MIDDLE, style.OTHER_TEXT),
            "middle half": ({"color": style.FAINT, "linewidth": 9, "solid_capstyle": "butt"}, style.MUTED),
        }
        key_above(right, names)

    def update(self, result: Any) -> None:
        state = result.state
        self._start.set_data([1000 * state.x], [1000 * state.y])
        for path, end, points in (
            (self._path, self._end, result.path),
            (self._raw_path, self._raw_end, result.raw_path),
        ):
            path.set_data(*drawable(points).T)
            end.set_data(*points[-1:].T)
        low, middle, high = result.quartiles
        around = np.concatenate([result.thresholds, result.thresholds[::-1]])
        self._band.set_xy(np.stack([around, np.concatenate([low, high[::-1]])], -1))
        self._middle.set_data(result.thresholds, middle)
        self._level.set_data([state.max_norm] * 3, [-5, -2, 1])
        self._zigzag.set_data(result.thresholds, result.zigzag)
        self._at.set_data([state.max_norm], [result.final])
