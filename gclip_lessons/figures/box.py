"""Lesson 02: a gradient in the plane, the box it is clamped to, and the turn in every direction."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import Arrow


class BoxFigure(style.LiveFigure):
    description = (
        "Left: a gradient drawn as a dashed arrow, the square box from minus c to c, the clipped gradient "
        "as a solid arrow, and an arc for the angle between the two. Right: that angle for every direction "
        "of a gradient as long as this one, with a line at the bound of 45 degrees and a ring at this "
        "gradient's direction."
    )
    reach = 6.5

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.76), title="The gradient and its box", aspect="equal")
        plane.set(xlim=(-r, r), ylim=(-r, r), xlabel="g₁", ylabel="g₂")
        plane.set(xticks=range(-6, 7, 2), yticks=range(-6, 7, 2))
        plane.axhline(0, color=style.FAINT, zorder=0)
        plane.axvline(0, color=style.FAINT, zorder=0)
        self._box = self.moving(plane.plot([], [], **style.THRESHOLD_STYLE)[0])
        self._arc = self.moving(plane.plot([], [], color=style.INK, linewidth=1.2, zorder=3)[0])
        self._raw = Arrow(self, plane, "raw", head=0.45, draggable=True, **style.RAW_STYLE)
        self._clipped = Arrow(self, plane, "clipped", head=0.45, **style.CLIPPED_STYLE)
        words = {"fontsize": 11, "fontweight": "bold", "ha": "center", "va": "center"}
        self._raw_name = self.moving(plane.text(0, 0, "g", color=style.RAW_TEXT, **words))
        self._clipped_name = self.moving(plane.text(0, 0, "clip(g)", color=style.CLIPPED_TEXT, **words))
        self._turn_name = self.moving(plane.text(0, 0, "", color=style.INK, **words))

        around = self.panel("around", (0.55, 0.13, 0.42, 0.76), title="Turn for every direction of g")
        around.set(xlim=(0, 360), ylim=(-2, 57), xlabel="direction of g in degrees", ylabel="turn in degrees")
        around.set(xticks=range(0, 361, 45), yticks=range(0, 46, 15))
        around.axhline(45, color=style.GUIDE, linewidth=1)
        around.text(358, 45.7, "bound in the plane: arccos(1/√2) = 45°", color=style.MUTED, ha="right")
        self._curve = self.moving(around.plot([], [], **style.CLIPPED_STYLE)[0], "turns")
        look = {"markersize": 12, "markeredgewidth": 2, "markerfacecolor": "white", "color": style.CLIPPED}
        self._at = self.moving(around.plot([], [], "o", **look, zorder=6)[0], "at")
        self._length = self.moving(around.text(4, 51.5, "", color=style.INK))

    def update(self, result: Any) -> None:
        c = result.state.max_value
        self._box.set_data([-c, c, c, -c, -c], [-c, -c, c, c, -c])
        self._raw.set(result.grad)
        self._clipped.set(result.clipped)
        start, end = (float(np.arctan2(tip[1], tip[0])) for tip in (result.grad, result.clipped))
        away = -1.0 if np.sin(end - start) > 0 else 1.0  # the side of g that clip(g) is not on
        self._raw_name.set_position(self._beside(result.grad, away, (0.85, 0.75), 0.4))
        self._clipped_name.set_position(self._beside(result.clipped, -away, (1.25, 0.65), 1.1))

        shown = result.turn >= 1 and result.norm >= 1.5
        radius = float(np.clip(0.55 * np.hypot(*result.grad), 0.9, 2.6))
        angles = np.linspace(start, end, 33)
        self._arc.set_data(radius * np.cos(angles), radius * np.sin(angles))
        self._arc.set_visible(shown)
        self._turn_name.set_text(f"{result.turn:.0f}°")
        foot = radius * np.array([np.cos(start), np.sin(start)])
        self._turn_name.set_position(self._beside(foot, away, (0.75, 0.7), 0.6))
        self._turn_name.set_visible(shown)

        self._curve.set_data(result.directions, result.turns)
        self._at.set_data([np.degrees(start) % 360], [result.turn])
        self._length.set_text(f"n/c = {result.norm / c:.3g}")

    def _beside(self, tip: np.ndarray, side: float, clear: tuple[float, float], margin: float) -> np.ndarray:
        """A place for words to the left (1) or right (-1) of an arrow's tip, inside the axes."""
        length = float(np.hypot(*tip))
        across = np.array([-tip[1], tip[0]]) / length * side if length else np.array([0.0, side])
        place = tip + across * clear
        return np.clip(place, -self.reach + margin, self.reach - margin)
