"""Lesson 10: accuracy at equal steps, and what is left of a difference at equal training losses."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key

_FULL = FuncFormatter(lambda value, _: f"{value:+.0f}".replace("-", "−") if value else "0")


class MatchedFigure(style.LiveFigure):
    description = (
        "Left: the mean accuracy on fresh points against the step on a log scale, unclipped dashed, unclipped with a "
        "smaller learning rate dash-dotted and clipped solid, with a vertical line at the step. Right: how many points "
        "of accuracy the clipped runs are ahead of either, against the training loss at which both are compared, with "
        "bars of two standard errors; a thin level shows the difference at equal steps, a vertical line the loss."
    )

    def draw(self, result: Any) -> None:
        gentle = style.OTHER_STYLE
        left = self.panel("steps", (0.068, 0.13, 0.4, 0.77), title="Accuracy")
        left.set(xscale="log", xlim=(20, 8000), ylim=(0.5, 0.88), xlabel="step")
        left.set_xticks([30, 100, 300, 1000, 3000], ["30", "100", "300", "1000", "3000"])
        left.xaxis.set_minor_locator(NullLocator())
        left.yaxis.set_major_formatter(PLAIN)
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "η = 0.05": (gentle, style.OTHER_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
        }
        key(left, names, "upper left", labelspacing=0.25)
        looks = {"raw": style.RAW_STYLE, "gentle": gentle, "clipped": style.CLIPPED_STYLE}
        self._curves = {name: self.moving(left.plot([], [], **look, zorder=3)[0], name) for name, look in looks.items()}
        guide = {"color": style.INK, "linewidth": 1.2}
        self._step = self.moving(left.plot([], [], **guide, zorder=4)[0], "step")

        right = self.panel("matched", (0.558, 0.13, 0.425, 0.77), title="Ahead at equal training loss, in points")
        right.set(xlim=(0.13, 0.52), ylim=(-5.2, 8.2), xlabel="training loss of both")
        right.xaxis.set_major_formatter(PLAIN)
        right.yaxis.set_major_formatter(_FULL)
        right.plot([0.13, 0.52], [0, 0], color=style.GUIDE, linewidth=1.2, zorder=1)
        self._level = self.moving(right.plot([], [], color=style.RAW, linewidth=1.0, zorder=2)[0], "equal steps")
        self._line = self.moving(right.plot([], [], **guide, zorder=2)[0], "level")
        self._ahead, self._bars = {}, {}
        for name, marker in (("raw", "s"), ("gentle", "D")):
            look = looks[name]
            bars = right.plot([], [], color=look["color"], linewidth=1.2, zorder=3)[0]
            self._bars[name] = self.moving(bars, f"{name} bars")
            joined = look | {"marker": marker, "markersize": 6, "linewidth": 1.4}
            self._ahead[name] = self.moving(right.plot([], [], **joined, zorder=4)[0], f"ahead of {name}")
        marked = {"markersize": 6}
        names = {
            "of unclipped": (looks["raw"] | {"marker": "s"} | marked, style.RAW_TEXT),
            "of unclipped, η = 0.05": (gentle | {"marker": "D"} | marked, style.OTHER_TEXT),
            "of unclipped, at equal steps": ({"color": style.RAW, "linewidth": 1.0}, style.RAW_TEXT),
        }
        key(right, names, "upper left", labelspacing=0.25)

    def update(self, result: Any) -> None:
        for name, line in self._curves.items():
            line.set_data(result.steps, result.accuracy[name])
        self._step.set_data([result.steps[result.at]] * 2, [0, 1])
        self._level.set_data([0, 1], [100 * result.ahead["raw"].mean] * 2)
        self._line.set_data([result.state.level] * 2, [-9, 5.1])
        for name in self._ahead:
            mean, margin = (
                100 * np.array([getattr(d, part) for d in result.matched[name]]) for part in ("mean", "margin")
            )
            self._ahead[name].set_data(result.levels, mean)
            x = np.repeat(result.levels + (0.002 if name == "raw" else -0.002), 3)
            ends = np.stack([mean - margin, mean + margin, np.full(len(mean), np.nan)], -1)
            self._bars[name].set_data(x, ends.ravel())
