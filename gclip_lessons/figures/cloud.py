"""Lesson 04: a thousand nearby runs at one moment, unclipped and clipped."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.cliff import SQUARE, draw_key, draw_surface


class CloudFigure(style.LiveFigure):
    description = (
        "Left: the map of the loss over weight w and bias b with a thousand runs from nearby starts at one moment, not "
        "clipped, as vermilion dots. Right: the same thousand runs, clipped, as blue dots. A cross shows where the "
        "clouds began."
    )

    def draw(self, result: Any) -> None:
        places = {"raw": (SQUARE[0], "Unclipped", style.RAW), "clipped": (0.505, "Clipped at c", style.CLIPPED)}
        self._dots, self._began, self._lost = {}, {}, {}
        for name, (left, title, color) in places.items():
            panel = self.panel(name, (left, *SQUARE[1:]), title=title, aspect="equal")
            draw_surface(panel, result.surface, result.window)
            panel.set_ylabel("bias b", labelpad=1)
            look = {"color": color, "markersize": 3.2, "markeredgewidth": 0, "zorder": 4}
            self._dots[name] = self.moving(panel.plot([], [], "o", **look)[0], name)
            cross = panel.plot([], [], "+", color=style.INK, markersize=11, zorder=6)[0]
            self._began[name] = self.moving(cross, f"start {name}")
            words = {"transform": panel.transAxes, "ha": "right", "va": "bottom", "color": style.INK}
            box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
            panel.text(0.965, 0.03, "+ start", **words, bbox=box)
            top = {"transform": panel.transAxes, "va": "top", "color": style.INK, "bbox": box, "zorder": 7}
            self._lost[name] = self.moving(panel.text(0.03, 0.965, "", **top), f"lost {name}")
        draw_key(self, (0.882, 0.115, 0.014, 0.715))

    def update(self, result: Any) -> None:
        for name, places in (("raw", result.raw), ("clipped", result.clipped)):
            self._dots[name].set_data(*places.clip(-1e4, 1e4).T)
            self._began[name].set_data(*np.reshape(result.center, (2, 1)))
            lost = result.lost[name]
            self._lost[name].set_text("" if lost == "none" else f"off the chart: {lost}")
