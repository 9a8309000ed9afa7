"""Lesson 02: three runs down a narrow valley that can be turned, and their losses."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, drawable, key, off_chart, ring

LEVELS = (0.3, 1, 3, 10, 30, 100)
ROLES = {
    "raw": ("unclipped", style.RAW_STYLE, style.RAW_TEXT),
    "value": ("by value", style.CLIPPED_STYLE, style.CLIPPED_TEXT),
    "norm": ("by global norm", style.OTHER_STYLE, style.OTHER_TEXT),
}


class ValleyFigure(style.LiveFigure):
    description = (
        "Left: contours of a narrow valley with three paths from one start: unclipped (dashed), clipped by "
        "value (solid with dots) and clipped by global norm (dash-dotted). Right: the loss of the three "
        "runs against the step, on a log scale, with a marker at the present step."
    )
    reach = 6.0

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.76), title="Three ways down", aspect="equal")
        plane.set(xlim=(-r, r), ylim=(-r, r), xlabel="θ₁", ylabel="θ₂")
        self._contours = self.moving(
            plane.add_collection(LineCollection([], colors=style.GUIDE, linewidths=0.8, zorder=1))
        )
        self._paths = {}
        for role, (_, look, _) in ROLES.items():
            dots = {"marker": ".", "markersize": 5} if role == "value" else {}
            self._paths[role] = self.moving(plane.plot([], [], **look | dots | {"linewidth": 1.7}, zorder=3)[0], role)
        self._start = ring(self, plane)
        words = {"transform": plane.transAxes, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}}
        self._lost = self.moving(plane.text(0.03, 0.03, "", color=style.INK, **words, zorder=7), "lost")

        loss = self.panel("loss", (0.56, 0.13, 0.41, 0.76), title="Loss")
        loss.set(yscale="log", xlim=(0, result.losses["raw"].size - 1), ylim=(1e-5, 1e3), xlabel="step")
        loss.set(yticks=[1e-4, 1e-2, 1, 100])
        loss.yaxis.set_major_formatter(PLAIN)
        loss.yaxis.set_minor_locator(NullLocator())
        key(loss, {name: (look, color) for name, look, color in ROLES.values()}, "lower left")
        self._curves, self._marks = {}, {}
        for (role, (_, look, _)), marker in zip(ROLES.items(), ("s", "o", "D"), strict=True):
            self._curves[role] = self.moving(loss.plot([], [], **look, zorder=3)[0], f"loss {role}")
            dot = {"markersize": 9, "markeredgecolor": "white", "color": look["color"]}
            self._marks[role] = self.moving(loss.plot([], [], marker, **dot, zorder=5)[0])

    def update(self, result: Any) -> None:
        self._contours.set_segments(_ellipses(result.state.angle, result.condition))
        step = result.state.step
        for role in self._paths:
            self._paths[role].set_data(*drawable(result.paths[role][: step + 1]).T)
            loss = np.clip(np.nan_to_num(result.losses[role], nan=1e6, posinf=1e6), 1e-9, 1e6)
            self._curves[role].set_data(np.arange(loss.size), loss)
            self._marks[role].set_data([step], [loss[step]])
        ends = {name: result.paths[role][step] for role, (name, _, _) in ROLES.items()}
        self._lost.set_text(off_chart({name: not (np.abs(end) <= self.reach).all() for name, end in ends.items()}))
        self._start.set_data(*result.paths["raw"][:1].T)


def _ellipses(angle: float, condition: float) -> np.ndarray:
    """The contours of the valley, (levels, points, 2), its floor at `angle` degrees."""
    around = np.linspace(0, 2 * np.pi, 97)
    along, across = np.cos(around), np.sin(around) / np.sqrt(condition)
    turn = np.radians(angle)
    x, y = np.cos(turn) * along - np.sin(turn) * across, np.sin(turn) * along + np.cos(turn) * across
    return np.sqrt(2 * np.array(LEVELS))[:, None, None] * np.stack([x, y], -1)
