"""Lesson 06: how hard each example pulls at a slope when labels are flipped, and the slope that comes out."""

from typing import Any

from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN

_TOP = 4.5


class FlipsFigure(style.LiveFigure):
    description = (
        "Left: the length of one example's gradient against y·x, unclipped dashed and clipped solid, over the "
        "densities of rightly labelled examples (grey) and of flipped ones (pink); c is a dotted line. "
        "Right: the slope that training ends with against c, clipped solid and unclipped dashed, with the slope of "
        "clean labels, 2, as a thin line; the ring can be dragged."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("pull", (0.07, 0.14, 0.395, 0.665))
        left.set(xlim=(-4, 4), ylim=(0, _TOP), xlabel="y·x (below 0: label and place disagree)")
        left.set(xticks=[-4, -2, 0, 2, 4], yticks=range(5))
        left.xaxis.set_major_formatter(PLAIN)
        left.axvline(0, color=style.FAINT, linewidth=1, zorder=0)
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(left, "How hard one example pulls", names)
        self._areas = {
            role: self.moving(left.fill([0, 0, 0], [0, 0, 0], linewidth=0, zorder=1, **look)[0], role)
            for role, look in (("right", {"color": style.FAINT}), ("wrong", {"color": style.OTHER, "alpha": 0.55}))
        }
        areas = [Patch(color=style.FAINT), Patch(color=style.OTHER, alpha=0.55)]
        words = ["examples, label right", "examples, label flipped"]
        left.add_artist(left.get_legend())
        left.legend(areas, words, loc="upper right", frameon=False, fontsize=11, handlelength=1.2, borderaxespad=0.2)
        self._level = self.moving(left.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "level")
        looks = {"raw": style.RAW_STYLE, "clipped": style.CLIPPED_STYLE}
        self._pull = {
            role: self.moving(left.plot([], [], **look, zorder=3)[0], f"pull {role}") for role, look in looks.items()
        }

        right = self.panel("slope", (0.555, 0.14, 0.425, 0.665))
        right.set(xscale="log", xlim=(0.027, 11), ylim=(0, 8), xlabel="threshold c", yticks=range(0, 9, 2))
        right.set_xticks([0.03, 0.1, 0.3, 1, 3, 10])
        right.xaxis.set_major_formatter(PLAIN)
        right.xaxis.set_minor_locator(NullLocator())
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "clean labels: 2": ({"color": style.GUIDE, "linewidth": 1.4}, style.MUTED),
        }
        head(right, "The slope that training ends with", names)
        right.axhline(2, color=style.GUIDE, linewidth=1.4, zorder=1)
        self._raw = self.moving(right.plot([], [], **style.RAW_STYLE, zorder=3)[0], "raw slope")
        self._curve = self.moving(right.plot([], [], **style.CLIPPED_STYLE, zorder=4)[0], "slopes")
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "at")
        hollow = {"markersize": 12, "markeredgewidth": 2, "markerfacecolor": "white", "zorder": 6}
        self._here = self.moving(right.plot([], [], "o", color=style.CLIPPED, clip_on=False, **hollow)[0], "here")

    def update(self, result: Any) -> None:
        c, places = result.state.max_norm, result.places
        for role, area in self._areas.items():
            density = {"right": result.right, "wrong": result.wrong}[role]
            area.set_xy([(places[0], 0), *zip(places, 2 * density, strict=True), (places[-1], 0)])
        for role, line in self._pull.items():
            line.set_data(places, result.pull[role])
        self._level.set_data([-4, 0, 4], [c] * 3)
        self._raw.set_data([0.027, 1, 11], [result.raw_slope] * 3)
        self._curve.set_data(result.thresholds, result.slopes)
        self._at.set_data([c] * 3, [0, 1, 8])
        self._here.set_data([c], [result.slope])
