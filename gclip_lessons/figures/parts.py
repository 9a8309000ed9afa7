"""Pieces that several figures share: arrows, rings to drag, paths, legends, and the outline of a p-norm ball."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from gclip_lessons.figures import style
from gclip_lessons.figures.style import LiveFigure

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLAIN = FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−"))  # tick labels without mathtext


def power_of_ten(value: float, _: Any = None) -> str:
    """A power of ten in plain characters, for ticks too: mathtext is kept out of live figures."""
    return "10" + f"{round(np.log10(value))}".translate(_SUPERSCRIPTS)


class Arrow:
    """A moving arrow on axes of equal aspect, with a ring at its tip if the mouse can take it there.

    `LiveFigure.data(name)[0]` is where its tip is drawn.
    """

    def __init__(
        self, figure: LiveFigure, axes: Axes, name: str, *, head: float, draggable: bool = False, **look: Any
    ) -> None:
        self._head = head
        self._shaft = figure.moving(axes.plot([], [], **look, zorder=4)[0])
        self._point = figure.moving(axes.fill([0, 0, 0], [0, 0, 0], color=look["color"], zorder=5)[0], name)
        self._ring = ring(figure, axes, look["color"]) if draggable else None

    def set(self, tip: np.ndarray, tail: tuple[float, float] = (0.0, 0.0)) -> None:
        """Point from `tail` to `tip`; an arrow shorter than its head shrinks the head."""
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


def ring(figure: LiveFigure, axes: Axes, color: str = style.INK, name: str | None = None) -> Line2D:
    """Return a moving ring, which says that the mouse can take what is in it; `data` finds it by `name`."""
    look = {"markersize": 15, "markeredgewidth": 1.8, "markerfacecolor": "none", "color": color}
    return figure.moving(axes.plot([], [], "o", **look, zorder=6)[0], name)


def drawable(points: np.ndarray, far: float = 1e3) -> np.ndarray:
    """Return a path (n, 2) up to where it leaves the map for good, by a coordinate beyond `far` or not finite.

    A leap that is too long to draw keeps its direction and is shortened.
    """
    points = points[np.isfinite(points).all(-1)]
    outside = (np.abs(points) > far).any(-1)
    if not outside.any():
        return points
    first = int(outside.argmax())
    if first == 0:
        return points[:0]
    leap = points[first] - points[first - 1]
    return np.vstack([points[:first], points[first - 1] + leap * (far / np.abs(leap).max())])


Names = dict[str, tuple[dict[str, Any], str]]  # name -> look of its line, colour of its words


def key(axes: Axes, names: Names, where: str, **place: Any) -> None:
    """Say which line is which, in a corner without data."""
    lines = [Line2D([], [], **look) for look, _ in names.values()]
    settings = {"frameon": False, "handlelength": 2.6, "fontsize": 11, "borderaxespad": 0.2} | place
    legend = axes.legend(lines, names, loc=where, **settings)
    for text, (_, color) in zip(legend.get_texts(), names.values(), strict=True):
        text.set_color(color)


def key_above(axes: Axes, names: Names) -> None:
    """Say which line is which, in one row above the panel, beside its title."""
    row = {"ncols": len(names), "bbox_to_anchor": (1.04, 0.99), "columnspacing": 0.8, "handletextpad": 0.5}
    key(axes, names, "lower right", handlelength=1.6, borderpad=0.2, **row)


def off_chart(lost: dict[str, Any]) -> str:
    """What to say of runs that cannot be seen, {name: whether}; nothing where all can."""
    names = [name for name, is_lost in lost.items() if is_lost]
    if len(names) == len(lost):
        return "off the chart: all of them"
    return f"off the chart: {', '.join(names)}" if names else ""


def ball(p: float, radius: float = 1.0, n_points: int = 257) -> np.ndarray:
    """Return the outline of the ball of the p-norm in the plane, as points (n_points, 2)."""
    around = np.linspace(0, 2 * np.pi, n_points)
    points = np.stack([np.cos(around), np.sin(around)], axis=-1)
    return radius * points / np.linalg.norm(points, ord=p, axis=-1, keepdims=True)
