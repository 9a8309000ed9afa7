"""Lesson 11: a gradient in float16 under a loss scale, and the step that comes of it."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key, power_of_ten, ring

WRONG_STYLE = style.OTHER_STYLE


class ScalingFigure(style.LiveFigure):
    description = (
        "Left: how the sizes of a gradient's entries are spread, as they are dashed and times the loss scale solid, "
        "with the range of float16 between two lines: below it an entry becomes zero, above it infinite. Right: the "
        "length of the step over η against the loss scale, solid if gradients are unscaled before they are clipped, "
        "dash-dotted if they are clipped first, with the threshold dotted and a ring at the present scale."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("sizes", (0.06, 0.13, 0.41, 0.77), title="Entries of the gradient, times S")
        left.set(xlim=(-14, 8), ylim=(0, 0.12), xlabel="size")
        left.set_yticks([0, 0.05, 0.1], ["0", "5%", "10%"])
        left.set_xticks([-12, -8, -4, 0, 4, 8], [power_of_ten(10.0**k) if k else "1" for k in (-12, -8, -4, 0, 4, 8)])
        for low, high, says, x in ((-14, result.range[0], "becomes 0", -10.6), (result.range[1], 8, "∞", 6.4)):
            left.axvspan(low, high, color="#F0F0F0", zorder=0)
            left.axvline(high if low == -14 else low, color=style.GUIDE, linewidth=1.2, zorder=1)
            left.text(x, 0.113, says, color=style.MUTED, ha="center", va="center")
        left.text(
            (result.range[0] + result.range[1]) / 2, 0.113, "float16", color=style.MUTED, ha="center", va="center"
        )
        thin = style.RAW_STYLE | {"linewidth": 1.6}
        self._before = self.moving(left.plot([], [], **thin, drawstyle="steps-mid", zorder=3)[0], "before")
        self._scaled = self.moving(
            left.plot([], [], **style.CLIPPED_STYLE, drawstyle="steps-mid", zorder=4)[0], "scaled"
        )
        names = {"g": (thin, style.RAW_TEXT), "S·g": (style.CLIPPED_STYLE, style.CLIPPED_TEXT)}
        key(left, names, "upper left", bbox_to_anchor=(0.0, 0.91))

        right = self.panel("steps", (0.57, 0.13, 0.41, 0.77), title="Length of the step / η")
        right.set(yscale="log", xlim=(-0.6, 24.6), ylim=(1e-10, 100), xlabel="loss scale S")
        right.set_xticks([0, 4, 8, 12, 16, 20, 24], ["1", "2⁴", "2⁸", "2¹²", "2¹⁶", "2²⁰", "2²⁴"])
        right.set_yticks([1e-8, 1e-6, 1e-4, 1e-2, 1], ["10⁻⁸", "10⁻⁶", "10⁻⁴", "0.01", "1"])
        right.yaxis.set_minor_locator(NullLocator())
        self._level = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold")
        disc, diamond = {"marker": "o", "markersize": 5}, {"marker": "D", "markersize": 5}
        self._wrong = self.moving(right.plot([], [], **WRONG_STYLE, **diamond, zorder=3)[0], "clip first")
        self._right = self.moving(right.plot([], [], **style.CLIPPED_STYLE, **disc, zorder=4)[0], "unscale first")
        self._here = ring(self, right, name="here")
        words = {"transform": right.transAxes, "color": style.INK, "ha": "right", "va": "top"}
        self._says = self.moving(right.text(0.99, 0.99, "", **words))
        names = {
            "unscale, then clip": (style.CLIPPED_STYLE | disc, style.CLIPPED_TEXT),
            "clip, then unscale": (WRONG_STYLE | diamond, style.OTHER_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(right, names, "lower left")

    def update(self, result: Any) -> None:
        state = result.state
        self._before.set_data(result.places, result.shares)
        self._scaled.set_data(result.places + state.power * np.log10(2), result.shares)
        self._level.set_data([-0.6, 0, 24.6], [state.max_norm] * 3)
        self._right.set_data(result.powers, result.steps["unscale first"])
        self._wrong.set_data(result.powers, result.steps["clip first"])
        self._here.set_data([state.power], [result.step])
        skipped = np.flatnonzero(result.skipped)
        self._says.set_text(f"skipped from S = 2{_raised(result.powers[skipped[0]])} on" if skipped.size else "")


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
