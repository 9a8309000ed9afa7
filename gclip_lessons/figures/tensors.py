"""Lesson 03: the gradient norms of two layers, clipped together and each on its own."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, Arrow, key_above


class TensorsFigure(style.LiveFigure):
    description = (
        "Left: the plane of two layers' gradient norms with the gradient as a dashed arrow, a quarter disc for "
        "global clipping (solid arrow) and a square for per-tensor clipping (dash-dotted arrow). "
        "Right: how far per-tensor clipping turns the whole gradient, against the threshold."
    )
    reach = 14.6

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.70), aspect="equal")
        plane.set_title("Norms of two layers", pad=24)  # the names stand below it
        plane.set(xlim=(0, r), ylim=(0, r), xlabel="n₁, layer 1", ylabel="n₂, layer 2")
        plane.set(xticks=range(0, 15, 2), yticks=range(0, 15, 2))
        self._disc = self.moving(plane.plot([], [], **style.THRESHOLD_STYLE)[0])
        self._square = self.moving(plane.plot([], [], **style.THRESHOLD_STYLE | {"linewidth": 1.4})[0])
        self._raw = Arrow(self, plane, "raw", head=0.5, draggable=True, **style.RAW_STYLE)
        self._global = Arrow(self, plane, "global", head=0.5, **style.CLIPPED_STYLE)
        self._each = Arrow(self, plane, "per tensor", head=0.5, **style.OTHER_STYLE)
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "global": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "per tensor": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        key_above(plane, names)

        turn = self.panel("turn", (0.55, 0.13, 0.42, 0.76), title="Turn of the whole gradient")
        turn.set(xscale="log", xlim=(0.1, 20), ylim=(-2, 50), xlabel="threshold c", ylabel="turn in degrees")
        turn.xaxis.set_major_formatter(PLAIN)
        turn.axhline(45, color=style.GUIDE, linewidth=1)
        turn.text(20, 45.7, "bound for two tensors: arccos(1/√2) = 45°", color=style.MUTED, ha="right")
        turn.plot([0.1, 20], [0, 0], **style.CLIPPED_STYLE)
        turn.text(0.11, 1.2, "global: 0", color=style.CLIPPED_TEXT)
        self._curve = self.moving(turn.plot([], [], **style.OTHER_STYLE)[0], "turns")
        self._line = self.moving(turn.plot([], [], **style.THRESHOLD_STYLE)[0])
        look = {"markersize": 10, "markeredgecolor": "white", "color": style.OTHER, "zorder": 6}
        self._at = self.moving(turn.plot([], [], "D", **look)[0], "at")

    def update(self, result: Any) -> None:
        c = result.state.max_norm
        around = np.linspace(0, np.pi / 2, 65)
        self._disc.set_data(c * np.cos(around), c * np.sin(around))
        self._square.set_data([0, c, c], [c, c, 0])
        self._raw.set(result.norms)
        self._global.set(result.together)
        self._each.set(result.each)
        self._curve.set_data(result.thresholds, result.turns)
        self._line.set_data([c, c], [-2, 44])
        self._at.set_data([c], [result.turn])
