"""Lesson 04: where painted starts end, and the shares of each fate at every threshold."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.cliff import SQUARE, draw_surface
from gclip_lessons.figures.parts import key

LOOKS = {
    "arrived": (style.CLIPPED, "o", style.CLIPPED_STYLE, style.CLIPPED_TEXT),
    "thrown": (style.RAW, "X", style.RAW_STYLE, style.RAW_TEXT),
    "under way": (style.OTHER, "D", style.OTHER_STYLE, style.OTHER_TEXT),
}
_SIZES = {"arrived": 4.6, "thrown": 5.6, "under way": 4.0}


class FatesFigure(style.LiveFigure):
    description = (
        "Left: the map of the loss over weight w and bias b, with the painted starts on it: a blue dot where the run "
        "arrives, a vermilion cross where it is thrown, a pink diamond where it is still under way; a circle shows the "
        "brush. Right: the shares of the three fates among the painted starts against the threshold, with the present "
        "threshold as a dotted line that can be dragged."
    )

    def draw(self, result: Any) -> None:
        plane = self.panel("plane", SQUARE, title="Starts, and where they end", aspect="equal")
        draw_surface(plane, result.surface, result.window)
        plane.set_ylabel("bias b", labelpad=1)
        self._dots = {}
        for name, (color, marker, _, _) in LOOKS.items():
            look = {"color": color, "markersize": _SIZES[name], "markeredgewidth": 0, "zorder": 4}
            self._dots[name] = self.moving(plane.plot([], [], marker, linestyle="none", **look)[0], name)
        around = np.linspace(0, 2 * np.pi, 49)
        self._round = result.radius * np.stack([np.cos(around), np.sin(around)], axis=-1)
        self._brush = self.moving(plane.plot([], [], color=style.INK, linewidth=1.8, zorder=6)[0], "rim")
        self._point = self.moving(plane.plot([], [], "+", color=style.INK, markersize=8, zorder=6)[0], "brush")

        share = self.panel("share", (0.51, 0.115, 0.305, 0.8), title="Share of the painted starts")
        low, high = result.thresholds[[0, -1]]
        share.set(xscale="log", xlim=(low / 1.2, high * 1.2), ylim=(-0.03, 1.03), xlabel="threshold c")
        share.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        share.xaxis.set_minor_locator(NullLocator())
        share.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        self._level = self.moving(share.plot([], [], **style.THRESHOLD_STYLE)[0], "threshold")
        self._curves, self._marks = {}, {}
        for name, (color, marker, line, _) in LOOKS.items():
            small = {"marker": marker, "markersize": 5}
            self._curves[name] = self.moving(share.plot([], [], **line | small, zorder=4)[0], f"share {name}")
            dot = {"markersize": 10, "markeredgecolor": "white", "color": color, "zorder": 6}
            self._marks[name] = self.moving(share.plot([], [], marker, clip_on=False, **dot)[0], f"at {name}")
        names = {
            name: (line | {"marker": marker, "markersize": 6}, text) for name, (_, marker, line, text) in LOOKS.items()
        }
        names["threshold c"] = (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)
        key(share, names, "center left", bbox_to_anchor=(1.02, 0.5), labelspacing=0.9)

    def update(self, result: Any) -> None:
        state = result.state
        fates = result.fates[result.painted]
        for k, name in enumerate(result.names):
            self._dots[name].set_data(*result.starts[result.painted[fates == k]].T)
            seen = bool(result.painted.size)
            self._curves[name].set_data(result.thresholds if seen else [], result.shares[:, k] if seen else [])
            self._marks[name].set_data([state.max_norm] if seen else [], [result.share[k]] if seen else [])
        self._level.set_data([state.max_norm] * 2, [-0.03, 1.03])
        self._brush.set_data(*np.add(self._round, (state.w, state.b)).T)
        self._brush.set_linestyle("-" if state.brush else (0, (1, 2)))
        self._point.set_data([state.w], [state.b])
