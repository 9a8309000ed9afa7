"""Lesson 03: a gradient in the plane, the ball it is clipped to, and output length against input length."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import Arrow, ball


class BallFigure(style.LiveFigure):
    description = (
        "Left: a gradient drawn as a dashed arrow, the ball of radius c, and the clipped gradient as a solid arrow. "
        "Right: the norm after clipping against the norm before, for hard and for smooth clipping."
    )
    reach = 6.5
    longest = 12.5  # a norm may be 12: p = 1 at (6, 6)

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.76), title="The gradient and its ball", aspect="equal")
        plane.set(xlim=(-r, r), ylim=(-r, r), xlabel="g₁", ylabel="g₂")
        plane.set(xticks=range(-6, 7, 2), yticks=range(-6, 7, 2))
        plane.axhline(0, color=style.FAINT, zorder=0)
        plane.axvline(0, color=style.FAINT, zorder=0)
        self._ball = self.moving(plane.plot([], [], **style.THRESHOLD_STYLE)[0])
        self._raw = Arrow(self, plane, "raw", head=0.45, draggable=True, **style.RAW_STYLE)
        self._clipped = Arrow(self, plane, "clipped", head=0.45, **style.CLIPPED_STYLE)
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
        words = {"bbox": paper, "fontsize": 11, "fontweight": "bold", "ha": "center", "va": "center"}
        self._raw_name = self.moving(plane.text(0, 0, "g", color=style.RAW_TEXT, **words))
        self._clipped_name = self.moving(plane.text(0, 0, "clip(g)", color=style.CLIPPED_TEXT, **words))

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
        self._level_name = self.moving(curve.text(top, 0, "c", color=style.THRESHOLD_TEXT, ha="right", va="bottom"))
        self._smooth_name = self.moving(curve.text(top, 0, "smooth", color=style.OTHER_TEXT, ha="right", va="top"))

    def update(self, result: Any) -> None:
        state, c = result.state, result.state.max_norm
        self._ball.set_data(*ball(result.ord, c).T)
        self._raw.set(result.grad)
        self._clipped.set(result.clipped)
        for text, tip, side in ((self._raw_name, result.grad, 1), (self._clipped_name, result.clipped, -1)):
            text.set_position(_beside(tip, side, self.reach))
        hard, smooth = np.minimum(self._lengths, c), self._lengths * c / (c + self._lengths)
        self._hard.set_data(self._lengths, hard)
        self._smooth.set_data(self._lengths, smooth)
        self._level.set_data([0, self._lengths[-1]], [c, c])
        self._at.set_data([result.norm], [result.clipped_norm])
        self._at.set_color(style.OTHER if state.smooth else style.CLIPPED)
        self._level_name.set_position((self.longest - 0.1, c))
        left = smooth[-36]  # where the curve passes the first letter of its name
        above = left < 0.75  # no room between the curve and the axis
        self._smooth_name.set_position((self.longest - 0.5, c) if above else (self.longest - 0.1, left - 0.15))
        self._smooth_name.set_va("bottom" if above else "top")


def _beside(tip: np.ndarray, side: int, reach: float) -> np.ndarray:
    """Where to write an arrow's name: left (1) or right (-1) of its middle, clear of the arrow and inside the axes."""
    length = max(float(np.hypot(*tip)), 1e-9)
    along, across = tip / length, np.array([-tip[1], tip[0]]) / length * side
    clear = across * np.array([1.6 if side < 0 else 0.6, 0.6])
    return np.clip(along * length * 0.5 + clear, [-reach + 1.1, -reach + 0.4], [reach - 1.1, reach - 0.4])
