"""Lesson 07: a map of (η, c), and of the picked runs what a log would hold, their loss and their gradient norms."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key_above, power_of_ten
from gclip_lessons.figures.rate_map import RateMapFigure

_LEAST = 1e-12  # what is smaller is drawn here, below both panels


class PickedLogFigure(RateMapFigure):
    """The map of a result as `RateMapFigure` has it, whose `losses` and `norms` are (steps, starts) for "raw" and
    "clipped"; runs from several starts are drawn in one colour.
    """

    description = RateMapFigure.description.replace(
        "Right: the loss of the picked run (solid) and of the unclipped run with the same η (dashed) against the step, "
        "on a log scale.",
        "Right, above: the loss of the picked runs (solid) and of the unclipped ones with the same η (dashed) against "
        "the step. Right, below: their gradient norms before clipping, with the threshold as a dotted line. Both on "
        "log scales.",
    )

    scale = (-4, 1, 2)
    bar_every = 1
    n_steps = 100

    def draw_beside(self, result: Any) -> None:
        panels = {
            "loss": ((0.575, 0.57, 0.405, 0.33), "Its loss", (1e-9, 1e3), (-9, -6, -3, 0, 3)),
            "norm": ((0.575, 0.13, 0.405, 0.33), "Its gradient norms before clipping", (1e-6, 1e5), (-6, -3, 0, 3)),
        }
        self._curves = {}
        for name, (place, title, limits, powers) in panels.items():
            panel = self.panel(name, place, title=title, yscale="log", xlim=(0, self.n_steps), ylim=limits)
            panel.set_yticks([10.0**power for power in powers], [power_of_ten(10.0**power) for power in powers])
            panel.minorticks_off()
            for role, look in (("clipped", style.CLIPPED_STYLE), ("raw", style.RAW_STYLE)):
                line = panel.plot([], [], **look | {"linewidth": 1.4}, zorder=4 if role == "raw" else 3)[0]
                self._curves[name, role] = self.moving(line, f"{name} {role}")
        panel.set_xlabel("step")
        self.axes["loss"].set_xticklabels([])
        self._level = self.moving(panel.plot([], [], **style.THRESHOLD_STYLE, zorder=5)[0], "threshold")
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
        }
        key_above(self.axes["loss"], names)
        key_above(panel, {"c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)})

    def update_beside(self, result: Any) -> None:
        for (name, role), curve in self._curves.items():
            values = {"loss": result.losses, "norm": result.norms}[name][role]
            steps = np.append(np.arange(len(values), dtype=float), np.nan)  # a gap between one run and the next
            gap = np.full((1, values.shape[1]), np.nan)
            curve.set_data(np.tile(steps, values.shape[1]), np.vstack([np.maximum(values, _LEAST), gap]).T.ravel())
        self._level.set_data([0, self.n_steps / 2, self.n_steps], [result.state.max_norm] * 3)
