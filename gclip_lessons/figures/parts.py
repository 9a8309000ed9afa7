"""Pieces that several figures share: arrows, paths, and the outline of a p-norm ball."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gclip_lessons.figures.style import LiveFigure


class Arrow:
    """A moving arrow on axes of equal aspect, with a ring at its tip if the mouse can take it there."""

    def __init__(self, figure: LiveFigure, axes: Axes, *, head: float, ring: bool = False, **style: Any) -> None:
        color = style["color"]
        self._head = head
        self._shaft = figure.moving(axes.plot([], [], **style, zorder=4)[0])
        self._point = figure.moving(axes.fill([0, 0, 0], [0, 0, 0], color=color, zorder=5)[0])
        self._ring = None
        if ring:
            look = {"markersize": 15, "markeredgewidth": 1.8, "markerfacecolor": "none", "color": color}
            self._ring = figure.moving(axes.plot([], [], "o", **look, zorder=6)[0])

    def set(self, tip: np.ndarray, tail: tuple[float, float] = (0.0, 0.0)) -> None:
        """Point from ``tail`` to ``tip``; an arrow shorter than its head shrinks the head."""
        start, end = np.asarray(tail, float), np.asarray(tip, float)
        along = end - start
        length = float(np.hypot(*along))
        head = min(self._head, 0.6 * length)
        unit = along / length if length else along
        side = np.array([-unit[1], unit[0]]) * head * 0.42
        neck = end - unit * head
        self._shaft.set_data(*np.stack([start, neck], axis=1))
        self._point.set_xy([end, neck + side, neck - side])
        if self._ring:
            self._ring.set_data([end[0]], [end[1]])


def key(axes: Axes, entries: dict[str, tuple[dict[str, Any], str]], where: str) -> None:
    """Say which line is which, in a corner without data: {name: (line style, colour of the name)}."""
    lines = [Line2D([], [], **look) for look, _ in entries.values()]
    legend = axes.legend(lines, entries, loc=where, frameon=False, handlelength=2.6, fontsize=11, borderaxespad=0.2)
    for text, (_, color) in zip(legend.get_texts(), entries.values(), strict=True):
        text.set_color(color)


def ball(p: float, radius: float = 1.0, n_points: int = 257) -> np.ndarray:
    """Return the outline of the ball of the p-norm in the plane, as points (n_points, 2)."""
    around = np.linspace(0, 2 * np.pi, n_points)
    points = np.stack([np.cos(around), np.sin(around)], axis=-1)
    return radius * points / np.linalg.norm(points, ord=p, axis=-1, keepdims=True)
