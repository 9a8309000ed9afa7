"""Lesson 05: curvature against gradient norm along two runs, the ceilings over them, and how long they take."""

from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key, power_of_ten, ring

_NORMS = (1e-7, 1e6)
_CURVATURES = (1e-2, 1e6)
_BOUND = {"color": style.INK, "linestyle": "-", "linewidth": 1.0}
_RAW_DOTS = {"color": style.RAW, "linestyle": "", "marker": "s", "markersize": 7}
_DOTS = {"color": style.CLIPPED, "linestyle": "", "marker": "o", "markersize": 3.5}


class CeilingFigure(style.LiveFigure):
    description = (
        "Left: the curvature against the gradient norm, both on log scales, at the points of a clipped run (dots) and "
        "of an unclipped one (squares), with the bound L0 + L1·norm as a thin line and the ceiling above which a step "
        "overshoots: flat at 2/η for the unclipped run, rising to the right of the threshold for the clipped one. "
        "Right: the gradient norm against the step, both on log scales, down to the goal, with a cross where a run is "
        "gone."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("curvature", (0.075, 0.13, 0.40, 0.77), title="Curvature, and the ceiling over it")
        left.set(xscale="log", yscale="log", xlim=_NORMS, ylim=_CURVATURES, xlabel="gradient norm ‖g‖")
        _decades(left.xaxis, range(-6, 7, 2))
        _decades(left.yaxis, range(-2, 7, 2))
        names = {
            "unclipped": (_RAW_DOTS | {"linestyle": style.RAW_STYLE["linestyle"]}, style.RAW_TEXT),
            "clipped": (_DOTS | {"linestyle": "-"}, style.CLIPPED_TEXT),
            "c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
            "L0 + L1‖g‖": (_BOUND, style.INK),
        }
        key(left, names, "upper left", labelspacing=0.3)
        self._bound = self.moving(left.plot([], [], **_BOUND, zorder=2)[0], "bound")
        self._level = self.moving(left.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold")
        self._raw_ceiling = self.moving(left.plot([], [], **style.RAW_STYLE, zorder=3)[0], "raw ceiling")
        self._ceiling = self.moving(left.plot([], [], **style.CLIPPED_STYLE, zorder=3)[0], "ceiling")
        self._raw_points = self.moving(left.plot([], [], **_RAW_DOTS, zorder=4)[0], "raw points")
        self._points = self.moving(left.plot([], [], **_DOTS, zorder=5)[0], "points")
        self._knee = ring(self, left, style.CLIPPED, "knee")

        right = self.panel("norm", (0.565, 0.13, 0.415, 0.77), title="Gradient norm ‖g‖")
        right.set_xscale("symlog", linthresh=1, linscale=0.4)
        right.set(yscale="log", xlim=(0, 1.3 * result.n_raw), ylim=_NORMS, xlabel="step")
        right.set_xticks([0, 1, 10, 100, 1000, 10000], ["0", "1", "10", "100", "1000", "10,000"])
        right.xaxis.set_minor_locator(FixedLocator([]))
        _decades(right.yaxis, range(-6, 7, 2))
        self._goal = self.moving(right.plot([], [], color=style.GUIDE, linewidth=1.2)[0], "goal")
        self._goal_says = self.moving(right.text(0.2, 1, "goal", color=style.MUTED, va="bottom"))
        self._raw_norm = self.moving(right.plot([], [], **style.RAW_STYLE, zorder=3)[0], "raw norm")
        self._norm = self.moving(right.plot([], [], **style.CLIPPED_STYLE, zorder=4)[0], "norm")
        end = {"markersize": 10, "markeredgecolor": "white", "zorder": 6, "clip_on": False}
        self._raw_end = self.moving(right.plot([], [], "s", color=style.RAW, **end)[0], "raw end")
        self._end = self.moving(right.plot([], [], "o", color=style.CLIPPED, **end)[0], "end")
        cross = {"markeredgecolor": "white", "zorder": 7, "clip_on": False}
        self._gone = self.moving(right.plot([], [], "X", color=style.CLIPPED, markersize=15, **cross)[0], "gone")
        self._raw_gone = self.moving(right.plot([], [], "X", color=style.RAW, markersize=11, **cross)[0], "raw gone")
        names = {
            "unclipped": (style.RAW_STYLE | {"marker": "s", "markersize": 6}, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE | {"marker": "o", "markersize": 6}, style.CLIPPED_TEXT),
        }
        key(right, names, "upper right", labelspacing=0.3)

    def update(self, result: Any) -> None:
        state, surface = result.state, result.surface
        norms = np.geomspace(*_NORMS, 60)
        self._bound.set_data(norms, surface.l0 + surface.l1 * norms)
        self._level.set_data([state.max_norm] * 3, [_CURVATURES[0], 1, _CURVATURES[1]])
        self._raw_ceiling.set_data([_NORMS[0], 1, _NORMS[1]], [2 / state.raw_rate] * 3)
        corners = np.array([_NORMS[0], state.max_norm, _NORMS[1]])
        self._ceiling.set_data(corners, result.ceiling(corners))
        self._knee.set_data([state.max_norm], [2 / state.learning_rate])
        self._goal.set_data([0, 10, 2 * result.n_raw], [surface.goal] * 3)
        self._goal_says.set_y(surface.goal * 1.4)
        for run, points, curve, end, gone in (
            (result.raw, self._raw_points, self._raw_norm, self._raw_end, self._raw_gone),
            (result.clipped, self._points, self._norm, self._end, self._gone),
        ):
            norm = np.where(np.isfinite(run.norm), np.minimum(run.norm, 1e30), np.nan)
            points.set_data(norm, surface.curvature(np.where(np.isfinite(norm), run.points.T, np.nan).T))
            curve.set_data(run.steps, norm)
            there = run.arrives is not None
            end.set_data([run.arrives] if there else [], [norm[-1]] if there else [])
            gone.set_data([run.gone] if run.gone is not None else [], [_NORMS[1]] if run.gone is not None else [])


def _decades(axis: Any, powers: range) -> None:
    axis.set_major_locator(FixedLocator([10.0**power for power in powers]))
    axis.set_major_formatter(FuncFormatter(power_of_ten))
    axis.set_minor_locator(FixedLocator([]))
