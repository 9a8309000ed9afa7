"""Lesson 11: the log sheet of a training run, its losses and norms."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key_above, power_of_ten

_LOSSES, _NORMS = (9.0, 100.0), (0.03, 400.0)


class LogSheetFigure(style.LiveFigure):
    description = (
        "Left: the loss of a run over its steps, solid, and of the same loop with clipping off, dashed, on a log "
        "scale. Right: the norms in its log as dots, the length of each step divided by η as a solid line, and the "
        "threshold c dotted, which can be dragged; what lies off the chart is drawn at its edge."
    )

    def draw(self, result: Any) -> None:
        last = len(result.lengths)
        left = self.panel("loss", (0.065, 0.13, 0.375, 0.77), title="Loss")
        left.set(yscale="log", xlim=(0, last), ylim=_LOSSES, xlabel="step")
        left.set_yticks([10, 20, 50], ["10", "20", "50"])
        left.yaxis.set_minor_locator(NullLocator())
        self._loss = self.moving(left.plot([], [], **style.CLIPPED_STYLE, zorder=3)[0], "loss")
        self._off = self.moving(left.plot([], [], **style.RAW_STYLE, zorder=4)[0], "off")
        names = {
            "this run": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "clipping off": (style.RAW_STYLE, style.RAW_TEXT),
        }
        key_above(left, names)

        right = self.panel("norms", (0.515, 0.13, 0.465, 0.77), title="Norms")
        right.set(yscale="log", xlim=(0, last), ylim=_NORMS, xlabel="step", xticks=range(0, last + 1, 50))
        right.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        right.yaxis.set_minor_locator(NullLocator())
        dots = {"color": style.RAW, "marker": "o", "markersize": 3.4, "linestyle": "none", "markeredgewidth": 0}
        self._logged = self.moving(right.plot([], [], **dots, zorder=4)[0], "logged")
        self._level = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=3)[0], "threshold")
        thin = style.CLIPPED_STYLE | {"linewidth": 1.6}
        self._lengths = self.moving(right.plot([], [], **thin, zorder=5)[0], "lengths")
        words = {"transform": right.transAxes, "color": style.INK, "ha": "left", "zorder": 7}
        words["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        self._above = self.moving(right.text(0.02, 0.93, "", va="top", **words), "above")
        self._below = self.moving(right.text(0.02, 0.05, "", va="bottom", **words), "below")
        names = {
            "norm in the log": (dots | {"markersize": 6}, style.RAW_TEXT),
            "step / η": (thin, style.CLIPPED_TEXT),
            "c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key_above(right, names)

    def update(self, result: Any) -> None:
        steps = np.arange(len(result.loss))
        self._loss.set_data(steps, result.loss)
        self._off.set_data(steps, result.loss_off)
        self._logged.set_data(result.times.ravel(), _seen(result.norms.ravel()))
        self._lengths.set_data(steps[:-1], _seen(result.lengths))
        c = result.state.max_norm
        self._level.set_data(steps[[0, 1, -1]], _seen(np.full(3, c)))
        self._above.set_text(_off_chart({"norms": result.norms, "c": np.array([c])}, above=True))
        self._below.set_text(_off_chart({"steps": result.lengths, "c": np.array([c])}, above=False))


def _seen(values: np.ndarray) -> np.ndarray:
    """What is off the chart is drawn just inside its edge."""
    return np.clip(values, 1.15 * _NORMS[0], _NORMS[1] / 1.15)


def _off_chart(values: dict[str, np.ndarray], *, above: bool) -> str:
    """What lies above the chart, or below it, and where."""
    said = []
    for name, numbers in values.items():
        lost = numbers[numbers > _NORMS[1]] if above else numbers[(numbers > 0) & (numbers < _NORMS[0])]
        if lost.size:
            middle = float(np.median(lost))
            said.append(f"{name} around {power_of_ten(middle)}" if np.isfinite(middle) else f"{name}: ∞")
    return f"off the chart: {', '.join(said)}" if said else ""
