"""What all figures stand on: the canvas that redraws what moves, the PNG writer, the palette, arrows, balls."""

import importlib
import io
import threading
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter
from PIL import Image

from gclip_lessons.explorer import explore
from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, Arrow, ball, drawable, off_chart
from gclip_lessons.lessons import all_lessons


class Dot(style.LiveFigure):
    """A dot at (result, result), a line to it, and a text that names it."""

    size = (360, 200)
    description = "A dot."

    def draw(self, result: float) -> None:
        left = self.panel("left", (0.15, 0.2, 0.3, 0.7), xlim=(-1, 1), ylim=(-1, 1), title="left")
        self.panel("log", (0.6, 0.2, 0.35, 0.7), xscale="log", xlim=(0.01, 100), ylim=(0, 5))
        self.axes["log"].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        self.dot = self.moving(left.plot([], [], "o")[0])
        self.line = self.moving(left.plot([], [], **style.CLIPPED_STYLE)[0])
        self.name = self.moving(left.text(0, 0, ""))
        self.over_all = self.moving(self.figure.text(0.5, 0.02, "both"))

    def update(self, result: float) -> None:
        self.dot.set_data([result], [result])
        self.line.set_data([0, result], [0, result])
        self.name.set_text(f"at {result:g}")


def pixels(png: bytes) -> np.ndarray:
    """What a browser shows of a PNG, read by a library that is not ours."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


# --- drawn once, then moved ---


@pytest.mark.parametrize("density", [1, 2])
def test_moving_on_shows_the_same_as_drawing_anew(density: int):
    moved = Dot(0.9)
    moved.png(density)
    for value in (-0.5, np.nan, np.inf, 0.3):
        moved.update(value)
        moved.png(density)
    fresh = Dot(0.3)
    assert moved.shown() == fresh.shown()
    assert moved.png(density) == fresh.png(density)


def test_the_cached_background_looks_like_a_full_drawing():
    figure = Dot(0.9)
    figure.png()
    figure.update(0.25)
    quick = pixels(figure.png())
    for artist in figure._moving:
        artist.set_animated(False)
    with matplotlib.rc_context(style.RC):
        figure._canvas.draw()
    differs = (quick != np.asarray(figure._canvas.buffer_rgba())).any(-1)
    assert differs.mean() < 1e-3  # where a moving artist crosses the frame, it lies above it


def test_what_is_not_registered_as_moving_stays_as_it_was():
    figure = Dot(0.5)
    before = figure.png()
    figure.axes["left"].set_title("another title")
    assert figure.png() == before


def test_shown_tells_different_data_texts_and_colours_apart():
    figure = Dot(0.5)
    first = figure.shown()
    assert figure.shown() == first
    figure.update(0.6)
    assert figure.shown() != first
    figure.update(0.5)
    assert figure.shown() == first
    for change in (
        lambda: figure.name.set_text("other"),
        lambda: figure.line.set_color("red"),
        lambda: figure.dot.set_visible(False),
    ):
        before = figure.shown()
        change()
        assert figure.shown() != before


def test_the_density_gives_more_pixels_of_the_same_picture():
    figure = Dot(0.5)
    single, double = pixels(figure.png(1)), pixels(figure.png(2))
    assert single.shape == (200, 360, 4)
    assert double.shape == (400, 720, 4)
    halved = double.reshape(200, 2, 360, 2, 4).mean((1, 3))
    assert np.abs(halved - single).mean() < 4
    assert np.array_equal(pixels(figure.png(1)), single)


def test_the_picture_is_opaque_for_dark_themes():
    assert (pixels(Dot(0.5).png())[..., 3] == 255).all()


def test_a_figure_without_draw_and_update_says_so():
    with pytest.raises(NotImplementedError):
        style.LiveFigure(None)


def test_figures_on_several_threads_draw_what_they_draw_alone():
    values = (-0.8, -0.2, 0.4, 0.9)
    alone = [Dot(value).png() for value in values]
    together: dict[int, list[bytes]] = {}

    def work(k: int) -> None:
        figure = Dot(0.0)
        together[k] = []
        for _ in range(5):
            figure.update(values[k])
            together[k].append(figure.png())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(values))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert together == {k: [png] * 5 for k, png in enumerate(alone)}


# --- where the mouse is ---


@pytest.mark.parametrize("density", [1, 2])
@pytest.mark.parametrize(
    ("panel", "x", "y"), [("left", 0.0, 0.0), ("left", -0.99, 0.99), ("log", 0.02, 4.5), ("log", 50.0, 0.5)]
)
def test_place_and_to_data_are_each_others_inverse(density: int, panel: str, x: float, y: float):
    figure = Dot(0.5)
    figure.png(density)
    at = figure.place(panel, x, y)
    assert figure.panel_at(*at) == panel
    assert figure.to_data(panel, *at) == pytest.approx((x, y))
    assert figure.place(panel, x, y) == pytest.approx(Dot(0.5).place(panel, x, y))


def test_places_are_css_pixels_from_the_top_left():
    left, top = Dot(0.5).place("left", -1, 1)
    assert (left, top) == pytest.approx((0.15 * 360, (1 - 0.9) * 200))


@pytest.mark.parametrize("point", [(0, 0), (190, 100), (359, 199), (-5, 1000)])
def test_between_and_beyond_the_panels_is_no_panel(point: tuple[float, float]):
    assert Dot(0.5).panel_at(*point) is None


# --- PNG ---


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (200, 360)])
def test_the_png_writer_is_lossless(shape: tuple[int, int]):
    rgba = np.random.default_rng(1).integers(0, 256, (*shape, 4), dtype=np.uint8)
    image = Image.open(io.BytesIO(style.encode_png(rgba)))
    image.verify()
    assert np.array_equal(pixels(style.encode_png(rgba)), rgba)


def test_the_png_holds_what_the_canvas_drew():
    figure = Dot(0.5)
    assert np.array_equal(pixels(figure.png()), np.asarray(figure._canvas.buffer_rgba()))


# --- the look ---


def contrast(color: str) -> float:
    """The contrast of a colour with white, 1 to 21, as WCAG 2 defines it."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 1.05 / (np.dot(channels, (0.2126, 0.7152, 0.0722)) + 0.05)


@pytest.mark.parametrize("name", ["RAW_TEXT", "CLIPPED_TEXT", "THRESHOLD_TEXT", "OTHER_TEXT", "INK", "MUTED"])
def test_text_has_a_contrast_of_at_least_4_5_on_white(name: str):
    assert contrast(getattr(style, name)) >= 4.5


def test_the_four_roles_differ_without_their_colours():
    roles = [style.RAW_STYLE, style.CLIPPED_STYLE, style.THRESHOLD_STYLE, style.OTHER_STYLE]
    assert len({str(role["linestyle"]) for role in roles}) == 4
    assert len({role["color"] for role in roles}) == 4


def simulated(color: str, kind: str) -> np.ndarray:
    """A colour as dichromats see it (Viénot, Brettel & Mollon, 1999), linear RGB."""
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)])
    matrix = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }[kind]
    return np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_raw_clipped_and_threshold_stay_apart_for_colour_blind_eyes(kind: str):
    seen = [simulated(color, kind) for color in (style.RAW, style.CLIPPED, style.THRESHOLD)]
    for k, one in enumerate(seen):
        for other in seen[k + 1 :]:
            assert np.linalg.norm(one - other) > 0.2


def test_making_a_figure_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    Dot(0.5).png()
    assert dict(matplotlib.rcParams) == before


# --- arrows, balls, contours ---


def drawn_arrow(tip: Any, tail: tuple[float, float] = (0.0, 0.0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shaft, the head and the ring of an arrow on a small figure."""
    figure = Dot(0.0)
    arrow = Arrow(figure, figure.axes["left"], "arrow", head=0.2, draggable=True, **style.RAW_STYLE)
    arrow.set(np.asarray(tip, float), tail)
    return arrow._shaft.get_xydata(), arrow._point.get_xy()[:3], arrow._ring.get_xydata()


def test_an_arrow_goes_from_tail_to_tip_with_its_ring_there():
    shaft, head, ring = drawn_arrow((0.6, 0.8), (0.0, 0.0))
    assert shaft[0] == pytest.approx((0, 0))
    assert shaft[1] == pytest.approx((0.48, 0.64))
    assert head[0] == pytest.approx((0.6, 0.8))
    assert head.mean(0) - (0.6, 0.8) == pytest.approx(np.array((-0.6, -0.8)) * 0.2 * 2 / 3)
    assert ring[0] == pytest.approx((0.6, 0.8))


def test_a_short_arrow_has_a_shorter_head_and_a_zero_arrow_is_a_point():
    shaft, head, _ = drawn_arrow((0.1, 0.0))
    assert shaft[1] == pytest.approx((0.04, 0))
    assert head[0] == pytest.approx((0.1, 0))
    for part in drawn_arrow((0.5, 0.5), (0.5, 0.5)):
        assert part == pytest.approx(np.full(part.shape, 0.5))


@pytest.mark.parametrize("p", [1, 2, 4, np.inf])
def test_the_outline_of_a_ball_has_its_radius_in_its_own_norm(p: float):
    outline = ball(p, 2.5)
    lengths = np.abs(outline).max(-1) if np.isinf(p) else (np.abs(outline) ** p).sum(-1) ** (1 / p)
    assert lengths == pytest.approx(np.full(len(outline), 2.5))
    assert outline[0] == pytest.approx(outline[-1])


def test_contours_follow_the_loss_over_the_limits_of_the_axes():
    figure = Figure()
    axes = figure.add_subplot(xlim=(-2, 2), ylim=(-1, 3))
    style.draw_contours(axes, lambda points: (points**2).sum(-1), levels=[1.0])
    [line] = axes.collections[0].get_paths()
    corners = np.hypot(*line.vertices.T)
    assert corners == pytest.approx(np.ones(len(corners)), abs=5e-3)
    assert (axes.get_xlim(), axes.get_ylim()) == ((-2, 2), (-1, 3))


def test_a_path_is_drawn_to_where_it_leaves_and_in_its_own_direction():
    path = np.array([[1.0, 2.0], [3.0, 1.0], [4e5, -8e5], [np.inf, 0.0], [np.nan, 1.0]])
    shown = drawable(path)
    assert np.array_equal(shown[:2], path[:2])
    assert len(shown) == 3
    assert np.cross(*np.pad([shown[2] - shown[1], path[2] - path[1]], ((0, 0), (0, 1))))[2] == pytest.approx(
        0, abs=1e-3
    )
    assert np.abs(shown[2] - shown[1]).max() == pytest.approx(1000)
    assert np.array_equal(drawable(path[:2]), path[:2])
    assert len(drawable(path[2:])) == 0


def test_a_tick_is_plain_text_with_a_true_minus():
    assert [PLAIN(value, 0) for value in (100.0, 0.25, -2.0, 1e-6)] == ["100", "0.25", "−2", "1e−06"]


def test_runs_off_the_chart_are_named():
    assert off_chart({"A": False, "B": False}) == ""
    assert off_chart({"A": False, "B": True}) == "off the chart: B"
    assert off_chart({"A": True, "B": True}) == "off the chart: all of them"


# --- the lessons' pictures draw what was computed ---


def inside(axes: Any, points: np.ndarray) -> np.ndarray:
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    with np.errstate(invalid="ignore"):
        return ((low < points) & (points < high)).all(-1)


DRAWN = {
    f"{number}.{name}": points
    for number in all_lessons()
    for name, points in importlib.import_module(f"test_lesson{number}").DRAWN.items()
}


def test_every_demo_says_what_its_picture_should_show():
    assert set(DRAWN) == {f"{number}.{name}" for number, lesson in all_lessons().items() for name in lesson.demos}


@pytest.mark.parametrize("name", DRAWN)
def test_what_can_be_seen_of_a_result_is_drawn_where_it_is(name: str):
    number, _, demo_name = name.partition(".")
    explorer = explore(all_lessons()[number].demos[demo_name])
    seen = set()
    for preset in explorer.demo.presets:
        explorer.preset(preset)
        roles = DRAWN[name](explorer.result)
        assert set(roles) == set(explorer.drawing._named)
        for role, points in roles.items():
            shown = explorer.drawing.data(role)
            if points is None:
                continue
            if isinstance(explorer.drawing._named[role], AxesImage):
                assert np.asarray(shown) == pytest.approx(points, nan_ok=True), f"{role} at {preset!r}"
                seen |= {role}
                continue
            visible = inside(explorer.drawing._named[role].axes, points)
            here = np.flatnonzero(visible[: len(shown)])
            assert shown[here] == pytest.approx(points[here]), f"{role} at {preset!r}"
            seen |= {role} if len(here) else set()
    assert seen == {role for role, points in roles.items() if points is not None}


@pytest.mark.parametrize("role", ["raw", "value", "norm"])
def test_a_run_that_leaves_the_valley_is_drawn_in_the_direction_of_its_leap(role: str):
    demo = all_lessons()["02"].demos["valley"]
    result = demo.compute(demo.state(max_value=100.0, angle=20.0, learning_rate=10.0))
    drawing = demo.figure(result)
    for k in range(len(drawing.data(role)) - 1):
        shown, leap = (np.diff(path[k : k + 2], axis=0)[0] for path in (drawing.data(role), result.paths[role]))
        assert shown / np.hypot(*shown) == pytest.approx(leap / np.hypot(*leap), abs=1e-9)
    assert drawing.data("lost") == "off the chart: all of them"
    drawing.update(demo.compute(demo.state()))
    assert drawing.data("lost") == ""


def test_runs_of_the_other_lessons_that_leave_the_chart_are_named_too():
    twins, training = all_lessons()["01"].demos["twins"], all_lessons()["03"].demos["training"]
    assert (
        twins.figure(twins.compute(twins.state(learning_rate=0.6, max_norm=0.3))).data("lost") == "off the chart: raw"
    )
    assert training.figure(training.compute(training.state())).data("lost") == "off the chart: raw"


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("03.ball", {"g1": 6.0, "g2": 6.0, "p": "1", "max_norm": 10.0}),
        ("03.tensors", {"norm1": 14.0, "norm2": 14.0}),
        ("02.box", {"g1": 6.0, "g2": -6.0}),
    ],
)
def test_the_ring_and_the_marker_are_whole_at_the_ends_of_the_sliders(name: str, most: dict[str, Any]):
    demo = all_lessons()[name[:2]].demos[name[3:]]
    drawing = demo.figure(demo.compute(demo.state(**most)))
    ring = drawing._raw._ring.get_xydata()
    assert inside(drawing.axes["plane"], ring * 1.025).all()
    assert inside(drawing._named["at"].axes, drawing.data("at")).all()
