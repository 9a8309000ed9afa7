"""Lesson 06: how far α-stable noise drives a run from the minimum, clipped or not, and what η does about it."""

from typing import Any

from matplotlib.ticker import NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN

_LOW, _HIGH = 1e-2, 1e3  # of the final loss, in both panels
MARKS = {"median": ("o", 8), "ninety": ("^", 9)}


class TailsFigure(style.LiveFigure):
    description = (
        "Left: the share of runs that end above a loss, against that loss, both on log scales, for three cases: "
        "unclipped (dashed), clipped (solid) and Gaussian noise unclipped (dash-dotted), with a circle at the median "
        "and a triangle where one run in ten is above. Right: these two numbers, unclipped and clipped, against the "
        "learning rate η, both on log scales, with a vertical line at the present η."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("survival", (0.085, 0.14, 0.38, 0.665))
        left.set(xscale="log", yscale="log", xlim=(_LOW, _HIGH), ylim=(2e-3, 1.4), xlabel="loss after training")
        left.set(yticks=[0.01, 0.1, 0.5, 1])
        left.set_yticklabels(["1%", "10%", "50%", "all"])
        _losses(left.xaxis)
        left.yaxis.set_minor_locator(NullLocator())
        for share in (0.5, 0.1):
            left.axhline(share, color=style.FAINT, linewidth=1, zorder=1)
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "Gaussian": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        head(left, "Share of runs that end above a loss", names)

        right = self.panel("rates", (0.565, 0.14, 0.415, 0.665))
        low, high = result.rates[0], result.rates[-1]
        right.set(xscale="log", yscale="log", xlim=(low / 1.15, high * 1.15), ylim=(_LOW, _HIGH))
        right.set(xlabel="learning rate η", xticks=[0.02, 0.05, 0.1, 0.2, 0.3])
        right.xaxis.set_major_formatter(PLAIN)
        right.xaxis.set_minor_formatter(NullFormatter())
        right.xaxis.set_minor_locator(NullLocator())
        _losses(right.yaxis)
        plain = {"linestyle": "none", "color": style.MUTED}
        marks = {
            "median": (plain | {"marker": "o", "markersize": 8}, style.INK),
            "nine in ten end below": (plain | {"marker": "^", "markersize": 9}, style.INK),
        }
        head(right, "Final loss, against η", marks, handlelength=1.4, handletextpad=0.3)
        self._at = self.moving(right.plot([], [], color=style.GUIDE, linewidth=1.2, zorder=2)[0], "at")

        looks = {"gauss": style.OTHER_STYLE, "raw": style.RAW_STYLE, "clipped": style.CLIPPED_STYLE}
        self._survival, self._dots, self._curves = {}, {}, {}
        for role, look in looks.items():
            line = left.plot([], [], **look | {"linewidth": 2.0}, zorder=3)[0]
            self._survival[role] = self.moving(line, role)
            for name, (marker, size) in MARKS.items():
                shape = {"marker": marker, "markersize": size, "color": look["color"], "linestyle": "none"}
                if role != "gauss":
                    dot = left.plot([], [], **shape, markeredgecolor="white", zorder=5)[0]
                    self._dots[role, name] = self.moving(dot, f"{name} {role}")
                    shape |= look | {"linewidth": 1.6, "markersize": size - 2}
                    curve = right.plot([], [], **shape, markeredgecolor="white", markeredgewidth=0.6, zorder=4)[0]
                    self._curves[role, name] = self.moving(curve, f"{name} {role} by η")
        big = {"markerfacecolor": "white", "markeredgewidth": 2, "linestyle": "none", "zorder": 6}
        self._now = {
            (role, name): self.moving(
                right.plot([], [], marker=marker, markersize=size + 2, color=looks[role]["color"], **big)[0],
                f"{name} {role} now",
            )
            for role in ("raw", "clipped")
            for name, (marker, size) in MARKS.items()
        }

    def update(self, result: Any) -> None:
        rate = result.state.learning_rate
        for role, line in self._survival.items():
            line.set_data(result.losses[role], result.shares[role])
        for (role, name), dot in self._dots.items():
            dot.set_data([result.now[role][name]], [{"median": 0.5, "ninety": 0.1}[name]])
        for (role, name), curve in self._curves.items():
            curve.set_data(result.rates, result.by_rate[role][name])
        for (role, name), mark in self._now.items():
            mark.set_data([rate], [result.now[role][name]])
        self._at.set_data([rate] * 3, [_LOW, 1, _HIGH])


def _losses(axis: Any) -> None:
    axis.set_ticks([0.01, 0.1, 1, 10, 100, 1000])
    axis.set_major_formatter(PLAIN)
    axis.set_minor_locator(NullLocator())
