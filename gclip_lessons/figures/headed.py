"""A title with its key in a row beneath it, for panels whose data fills every corner."""

from matplotlib.axes import Axes

from gclip_lessons.figures.parts import Names, key


def head(axes: Axes, title: str, names: Names, **place: float) -> None:
    """Put `title` above the panel and between the two a row that says which line is which."""
    axes.set_title(title, pad=29)
    row = {"ncols": len(names), "bbox_to_anchor": (-0.02, 1.0), "columnspacing": 1.0, "handletextpad": 0.5}
    key(axes, names, "lower left", **({"handlelength": 2.2, "borderpad": 0.1} | row | place))
