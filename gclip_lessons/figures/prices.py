"""Lesson 00: a line through share prices, and how its error went while it was trained."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key

_ROOM = 0.4  # height of the part above rmse 1000, relative to a decade below it
_TOP = 1e160
_LOW, _HIGH = -50, 860  # of the price axis


def squeeze(rmse: np.ndarray) -> np.ndarray:
    """Where an rmse stands on the axis: its logarithm up to 1000, and above it the logarithm of that."""
    height = np.log10(np.maximum(rmse, 1e-3))
    return np.where(height <= 3, height, 3 + _ROOM * np.log10(np.maximum(height - 2, 1)))


def stretch(height: np.ndarray) -> np.ndarray:
    """The inverse of `squeeze`, as far as floating point reaches."""
    height = np.asarray(height, float)
    above = np.minimum(2 + 10 ** np.maximum((height - 3) / _ROOM, 0), 300)
    return 10 ** np.where(height <= 3, height, above)


class PricesFigure(style.LiveFigure):
    description = (
        "Left: Google's share price from August 2004 to October 2008, the least-squares line in grey, and the "
        "lines that training ended with, clipped solid and raw dashed. Right: the root mean square error against "
        "the training step, raw dashed, clipped solid, with the best constant and the best line as level lines."
    )

    def draw(self, result: Any) -> None:
        days, last = result.days, result.steps[-1]
        left = self.panel("prices", (0.075, 0.13, 0.385, 0.77), title=f"Share price, and lines after {last} steps")
        left.set(xlim=(days[0] - 20, days[-1] + 20), ylim=(_LOW, _HIGH), ylabel="US dollars")
        years = range(2005, 2009)
        left.set_xticks([_day(year) for year in years], [str(year) for year in years])
        left.plot(days, result.price, color=style.GUIDE, linewidth=0.9)
        left.plot(days[[0, -1]], result.best_line, color=style.INK, linewidth=1.1)
        left.text(days[0] + 11, 322, "best line", color=style.INK)
        left.text(days[0] + 771, 275, "price", color=style.MUTED)
        self._line = self.moving(left.plot([], [], **style.CLIPPED_STYLE)[0], "clipped line")
        self._raw_line = self.moving(left.plot([], [], **style.RAW_STYLE)[0], "raw line")
        names = {
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
        }
        key(left, names, "upper left", labelspacing=0.4)
        words = {"transform": left.transAxes, "ha": "left", "va": "top"}
        self._line_says = self.moving(left.text(0.365, 0.97, "", color=style.CLIPPED_TEXT, **words))
        self._raw_says = self.moving(left.text(0.365, 0.899, "", color=style.RAW_TEXT, **words))
        self._input = self.moving(left.text(days[-1], 55, "", color=style.INK, ha="right", va="bottom"))

        right = self.panel("error", (0.56, 0.13, 0.42, 0.77), title="Error while training")
        right.set_yscale("function", functions=(squeeze, stretch))
        right.set(
            xscale="log",
            xlim=(1, 1.03 * last),
            ylim=(58, _TOP),
            xlabel="training step",
            ylabel="rmse (squeezed above 1000)",
        )
        right.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        ticks = {60: "60", 100: "100", 200: "200", 400: "400", 1000: "1000", 1e6: "10⁶", 1e12: "10¹²", 1e30: "10³⁰"}
        right.set_yticks([*ticks, 1e100], [*ticks.values(), "10¹⁰⁰"])
        right.minorticks_off()
        right.axhspan(1000, _TOP, color="#F4F4F4", zorder=0)
        for level, name in ((result.constant_rmse, "constant"), (result.best_rmse, "best line")):
            right.axhline(level, color=style.GUIDE, linewidth=1)
            right.text(0.97 * last, level * 1.02, f"{name} {level:.0f}", color=style.INK, ha="right", va="bottom")
        self._error = self.moving(right.plot([], [], **style.CLIPPED_STYLE | {"linewidth": 2.0})[0], "clipped")
        self._raw_error = self.moving(right.plot([], [], **style.RAW_STYLE)[0], "raw")
        look = {"markersize": 11, "color": style.RAW, "markeredgecolor": "white", "zorder": 6}
        self._gone = self.moving(right.plot([], [], "X", clip_on=False, **look)[0])
        self._gone_says = self.moving(right.text(1, 1, "", color=style.RAW_TEXT, ha="left", va="top"))

    def update(self, result: Any) -> None:
        ends = result.days[[0, -1]]
        self._line.set_data(ends, np.clip(result.line, -1e5, 1e5))
        self._line_says.set_text(_where(result.line))
        self._error.set_data(result.steps, result.clipped.rmse)
        self._raw_error.set_data(result.steps, result.raw.rmse)
        self._input.set_text("x = {} … {}".format(*map(_short, result.x[[0, -1]])))
        step = result.raw.gone
        if step is None:
            self._raw_line.set_data(ends, np.clip(result.raw_line, -1e5, 1e5))
            self._raw_says.set_text(_where(result.raw_line))
            self._gone.set_data([], [])
            self._gone_says.set_text("")
        else:
            self._raw_line.set_data([], [])
            self._raw_says.set_text("(gone)")
            self._gone.set_data([step], [_TOP])
            self._gone_says.set_position((step * 1.2, _TOP / 1e20))
            self._gone_says.set_text(f"inf at step {step}")


def _where(line: np.ndarray) -> str:
    """What to say of a line that cannot be seen."""
    return "" if line.max() > _LOW and line.min() < _HIGH else "(off the chart)"


def _short(date: float) -> str:
    return f"{date:.2f}".replace("-", "−") if abs(date) < 100 else f"{date:.0f}"


def _day(year: int) -> float:
    """Days from 1970 to the first of January."""
    return float(np.datetime64(f"{year}-01-01").astype("datetime64[D]").astype(int))
