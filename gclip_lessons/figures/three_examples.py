"""Lesson 06: how three examples pull when each is clipped, and where the run comes to rest."""

from typing import Any

from matplotlib.ticker import NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN, key, ring

_LEAST, _MOST = -5.0, 2.0  # of the place of rest


class ThreeExamplesFigure(style.LiveFigure):
    description = (
        "Left: the mean gradient of three examples, two at −3 and one at 9, against the place x: unclipped dashed, "
        "each example clipped solid, and their mean clipped whole dash-dotted; the ring is where the solid line "
        "crosses zero. Right: the place of rest against the threshold: a solid line by formula, with measured circles "
        "for each example clipped and diamonds for one example drawn at random in each step, and a dash-dotted line "
        "with squares for their mean clipped whole; the dotted line is the threshold, and the ring can be dragged."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("pulls", (0.065, 0.14, 0.40, 0.665))
        left.set(xlim=(-6, 11), ylim=(-6, 6), xlabel="place x", ylabel="mean gradient")
        left.set(xticks=[-3, 0, 3, 6, 9], yticks=[-6, -3, 0, 3, 6])
        left.yaxis.labelpad = 1
        for axis in (left.xaxis, left.yaxis):
            axis.set_major_formatter(PLAIN)
        left.axhline(0, color=style.GUIDE, linewidth=1, zorder=1)
        for place, words, height in ((-3, "two examples", 5.2), (9, "one", -5.2)):
            left.plot([place, place], [0, height], color=style.FAINT, linewidth=1, zorder=0)
            left.plot([place], [0], "^", color=style.INK, markersize=9, zorder=3)
            left.annotate(words, (place, height), ha="center", va="center", color=style.INK, backgroundcolor="white")
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "each clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "mean clipped": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        head(left, "Which way the three examples pull", names, handlelength=1.9)
        looks = {"each": style.CLIPPED_STYLE, "whole": style.OTHER_STYLE, "raw": style.RAW_STYLE}
        self._pulls = {role: self.moving(left.plot([], [], **look)[0], f"pull {role}") for role, look in looks.items()}
        self._cross = ring(self, left, name="cross")

        right = self.panel("rest", (0.545, 0.14, 0.435, 0.665))
        right.set(xscale="log", xlim=(0.46, 35), ylim=(_LEAST, _MOST), xlabel="threshold c")
        right.set(xticks=[0.5, 1, 2, 4, 8, 16, 32], yticks=range(-3, 3))
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_formatter(PLAIN)
        right.xaxis.set_minor_formatter(NullFormatter())
        right.xaxis.set_minor_locator(NullLocator())
        thin = style.CLIPPED_STYLE | {"linewidth": 1.4}
        dots = {"marker": "o", "markersize": 9, "linestyle": "none", "color": style.CLIPPED, "markerfacecolor": "white"}
        random = {"marker": "D", "markersize": 4, "linestyle": "none", "color": style.INK}
        squares = style.OTHER_STYLE | {"marker": "s", "markersize": 5, "markeredgecolor": "white"}
        names = {
            "min(−3+c/2, 1)": (thin, style.CLIPPED_TEXT),
            "one at random": (random, style.INK),
            "each clipped": (dots, style.CLIPPED_TEXT),
            "mean clipped": (squares, style.OTHER_TEXT),
        }
        key(right, names, "lower right", ncols=2, handlelength=1.8, columnspacing=1.2)
        right.add_artist(right.get_legend())
        head(right, "Where clipped runs come to rest", {"threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)})
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        self._whole = self.moving(right.plot([], [], **squares)[0], "whole")
        self._line = self.moving(right.plot([], [], **thin)[0], "formula")
        self._each = self.moving(right.plot([], [], **dots)[0], "each")
        self._random = self.moving(right.plot([], [], **random)[0], "random")
        self._here = ring(self, right, style.THRESHOLD, "here")
        self._here.set_clip_on(False)

    def update(self, result: Any) -> None:
        c = result.state.max_norm
        for role, line in self._pulls.items():
            line.set_data(result.places, result.pulls[role])
        self._cross.set_data([result.rest], [0])
        self._at.set_data([c] * 3, [-3.2, 0, _MOST])  # down to the key
        self._line.set_data(result.thresholds, result.rests)
        for role, line in (("whole", self._whole), ("each", self._each), ("random", self._random)):
            line.set_data(result.thresholds, result.measured[role])
        self._here.set_data([c], [result.here["each"]])
