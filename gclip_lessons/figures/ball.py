"""Lesson 03: a gradient in the plane, the ball it is clipped to, and output length against input length."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import Arrow, ball, key, key_above


class BallFigure(style.LiveFigure):
    description = (
        "Left: a gradient drawn as a dashed arrow, the ball of radius c, and the clipped gradient as a solid arrow. "
        "Right: the norm after clipping against the norm before, for hard and for smooth clipping."
    )
    reach = 6.5
    longest = 12.5  # a norm may be 12: p = 1 at (6, 6)

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.76), title="Gradient and ball", aspect="equal")
        plane.set(xlim=(-r, r), ylim=(-r, r), xlabel="g₁", ylabel="g₂")
        plane.set(xticks=range(-6, 7, 2), yticks=range(-6, 7, 2))
        plane.axhline(0, color=style.FAINT, zorder=0)
        plane.axvline(0, color=style.FAINT, zorder=0)
        self._ball = self.moving(plane.plot([], [], **style.THRESHOLD_STYLE)[0])
        self._raw = Arrow(self, plane, "raw", head=0.45, draggable=True, **style.RAW_STYLE)
        self._clipped = Arrow(self, plane, "clipped", head=0.45, **style.CLIPPED_STYLE)
        drawn = {"g": (style.RAW_STYLE, style.RAW_TEXT), "clip(g)": (style.CLIPPED_STYLE, style.CLIPPED_TEXT)}
        key_above(plane, drawn)

        curve = self.panel("curve", (0.55, 0.13, 0.42, 0.76), title="Norm after against norm before")
        top = self.longest
        curve.set(xlim=(0, top), ylim=(0, 10.8), xlabel="n = ‖g‖ before", ylabel="norm after")
        curve.plot([0, top], [0, top], color=style.GUIDE, linewidth=1, zorder=0)
        curve.text(8.1, 8.65, "not clipped", color=style.MUTED, rotation=43, ha="center", va="center")
        self._lengths = np.linspace(0, top, 251)
        self._level = self.moving(curve.plot([], [], **style.THRESHOLD_STYLE)[0])
        self._hard = self.moving(curve.plot([], [], **style.CLIPPED_STYLE)[0])
        self._smooth = self.moving(curve.plot([], [], **style.OTHER_STYLE)[0])
        look = {"markersize": 10, "markeredgecolor": "white", "zorder": 6}
        self._at = self.moving(curve.plot([], [], "o", color=style.CLIPPED, **look)[0], "at")
        rules = {
            "hard": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "smooth": (style.OTHER_STYLE, style.OTHER_TEXT),
            "c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(curve, rules, "upper left")

    def update(self, result: Any) -> None:
        state, c = result.state, result.state.max_norm
        self._ball.set_data(*ball(result.ord, c).T)
        self._raw.set(result.grad)
        self._clipped.set(result.clipped)
        hard, smooth = np.minimum(self._lengths, c), self._lengths * c / (c + self._lengths)
        self._hard.set_data(self._lengths, hard)
        self._smooth.set_data(self._lengths, smooth)
        self._level.set_data([0, self._lengths[-1]], [c, c])
        self._at.set_data([result.norm], [result.clipped_norm])
        self._at.set_color(style.OTHER if state.smooth else style.CLIPPED)
