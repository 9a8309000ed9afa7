"""Lesson 12: how a patient's runs went, all of them at once, and the gradient norms that they met."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key, key_above, power_of_ten

_GOAL: dict[str, Any] = {"color": style.INK, "linestyle": (0, (1, 2)), "linewidth": 1.4}
_RANGE = (1e-3, 1e6)


class WardFigure(style.LiveFigure):
    """A `Course` of clinic.py: the error of every run, and the norms, with their median in bold."""

    size = (900, 330)
    description = (
        "Left: the error on unseen examples of many runs against the step, on a log scale, thin lines with their "
        "median in bold; a dotted line marks the error at which a run counts as solved. Right: the gradient norms of "
        "the same runs before any clipping, their median and the largest, and where the clip stands on gradients its "
        "threshold as a dotted line."
    )

    def draw(self, result: Any) -> None:
        n_steps = len(result.grad_norm)
        powers = 10.0 ** np.arange(-3, 7, 3)
        for name, left, title in (("error", 0.065, "Error"), ("norm", 0.56, "Gradient norm")):
            axes = self.panel(name, (left, 0.16, 0.412, 0.73), title=title, yscale="log")
            axes.set(xlim=(0, n_steps), ylim=_RANGE, xlabel="step")
            axes.set_yticks(powers, [power_of_ten(power) for power in powers])
            axes.yaxis.set_minor_locator(NullLocator())
        thin = {"linewidth": 0.6, "alpha": 0.35}
        error, norm = self.axes["error"], self.axes["norm"]
        self._runs = [self.moving(error.plot([], [], **thin, zorder=2)[0]) for _ in range(result.error.shape[1])]
        self._median = self.moving(error.plot([], [], **style.CLIPPED_STYLE, zorder=4)[0], "median")
        error.axhline(result.goal, **_GOAL, zorder=3)
        key_above(error, {"solved below": (_GOAL, style.INK)})
        self._norm = self.moving(norm.plot([], [], **style.RAW_STYLE, zorder=4)[0], "norm")
        self._most = self.moving(norm.plot([], [], **style.OTHER_STYLE | {"linewidth": 1}, zorder=3)[0], "largest")
        self._level = self.moving(norm.plot([], [], **style.THRESHOLD_STYLE, zorder=5)[0], "threshold")
        names = {
            "median": (style.RAW_STYLE, style.RAW_TEXT),
            "largest of all runs": (style.OTHER_STYLE, style.OTHER_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(norm, names, "upper right", labelspacing=0.3, frameon=True, framealpha=0.9, edgecolor="none")

    def update(self, result: Any) -> None:
        look = style.RAW_STYLE if result.treatment.rule == "none" else style.CLIPPED_STYLE
        for line in (*self._runs, self._median):
            line.set_color(look["color"])
        self._median.set_linestyle(look["linestyle"])
        steps, error = np.arange(len(result.error)), _shown(result.error)
        for k, line in enumerate(self._runs):
            line.set_data(steps, error[:, k])
        self._median.set_data(steps, np.median(error, axis=1))
        norms = _shown(result.grad_norm)
        self._norm.set_data(steps[:-1], np.median(norms, axis=1))
        self._most.set_data(steps[:-1], norms.max(axis=1))
        level = result.treatment.threshold if result.treatment.rule != "none" else np.nan
        self._level.set_data([0, len(norms)], [level, level])


def _shown(values: np.ndarray) -> np.ndarray:
    """What is not a number or too large to draw lies above the picture."""
    return np.clip(np.nan_to_num(values, nan=1e12, posinf=1e12), 1e-6, 1e12)
