"""The course as a learner meets it: JupyterLab, a real Chromium, a keyboard and a mouse.

One server and one browser for the whole file; each notebook is opened and run once. Every test leaves the page
usable for the next and asks only for changes, so their order does not matter.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gclip_lessons.lessons import Demo, Lesson, all_lessons, controls_of
from tools import browser

if browser.CHROMIUM is None:
    pytest.skip("Chromium is not installed: no browser to test with", allow_module_level=True)
pytest.importorskip("playwright", reason="playwright is not installed: it drives the browser")

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SCREEN = {"width": 1400, "height": 1000}
EXPLORER, PICTURE = ".gclip-explorer", ".gclip-image"
FOCUSABLE = "button, .noUi-handle, input, select"


@dataclass(frozen=True)
class Site:
    """A JupyterLab over a copy of the notebooks, and a page of a browser."""

    base: str
    folder: Path
    page: Any


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("browser")
    folder = scratch / "notebooks"
    folder.mkdir()
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, folder)
    with browser.jupyter_lab(folder, scratch) as base, browser.chromium(**SCREEN) as page:
        page.set_default_timeout(15_000)
        yield Site(base, folder, page)


@dataclass(frozen=True)
class Opened:
    """A lesson, open and run to the end."""

    lesson: Lesson
    path: Path
    page: Any


@pytest.fixture(scope="module", params=all_lessons())
def opened(site: Site, request: pytest.FixtureRequest) -> Opened:
    [path] = site.folder.glob(f"{request.param}_*.ipynb")
    site.page.complaints.clear()
    browser.open_and_run(site.page, site.base, path.name)
    look(site.page, path.read_text(encoding="utf-8").count("after=lesson.PREDICTIONS"))
    return Opened(all_lessons()[request.param], path, site.page)


def look(page: Any, waiting: int) -> None:
    """Open the explorers that wait for a prediction, by keyboard; until then they show no picture."""
    buttons, pictures = page.locator(f"{EXPLORER} button", has_text=re.compile("^Look$")), page.locator(PICTURE)
    n_explorers = page.locator(EXPLORER).count()
    for left in range(waiting, 0, -1):
        until(lambda left=left: buttons.count() == left, f"{left} explorers to wait for a prediction")
        assert pictures.count() == n_explorers - left
        buttons.first.focus()
        page.keyboard.press("Enter")
    until(lambda: pictures.count() == n_explorers, "all pictures")


def until(happens: Callable[[], Any], what: str, seconds: float = 15) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (seen := happens()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.03)
    return seen


def shown(explorer: Any) -> dict[str, str]:
    """Everything an explorer shows, read at one moment."""
    return explorer.evaluate(
        "(node) => { const image = node.querySelector('img');"
        " return { src: image.src, alt: image.alt, sentence: node.querySelector('figcaption').textContent }; }"
    )


def told(handle: Any) -> str:
    """What a screen reader says of a slider's value."""
    return handle.get_attribute("aria-valuetext")


def wait_for_change(explorer: Any, before: dict[str, str], what: str) -> dict[str, str]:
    """Picture, alternative text and sentence all differ from before, and the new picture can be seen."""
    after = until(
        lambda: all((now := shown(explorer))[key] != before[key] for key in before) and now, f"a change by {what}"
    )
    assert after["alt"].endswith(after["sentence"])
    # Asked again and again, not awaited by decode(): that fails where a newer picture takes the place of this one.
    loaded = "image => image.complete && image.naturalWidth > 0"
    until(lambda: explorer.locator(PICTURE).evaluate(loaded), f"the picture after {what} to be loaded")
    return after


def to_the_middle(place: Any) -> None:
    """Scroll to a part of the page, until the cells around it have been laid out and nothing moves any more."""
    before = None
    while (box := place.bounding_box()) != before:
        before = box
        place.evaluate(
            "(node) => { node.scrollIntoView({ block: 'center' });"
            " return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); }"
        )


def explorer_with(page: Any, selector: str) -> Any:
    """The first explorer on the page that has something like this in it."""
    return page.locator(EXPLORER).filter(has=page.locator(selector)).first


def showing(page: Any, demo: Demo, control: str = "") -> Any:
    """The first explorer on the page that shows a demo, and this control of it: a lesson may hide some at first."""
    shows = page.locator(EXPLORER).filter(has=page.locator(f'{PICTURE}[alt^="{demo.figure.description}"]'))
    return (shows.filter(has=page.locator(f".gclip-control-{control}")) if control else shows).first


# --- the page ---


def test_every_cell_ran_without_an_error(opened: Opened):
    def saved() -> list[Any] | None:
        opened.page.keyboard.press("Control+s")
        time.sleep(0.2)
        try:
            cells = json.loads(opened.path.read_text(encoding="utf-8"))["cells"]
        except json.JSONDecodeError:  # JupyterLab is in the middle of writing it
            return None
        code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
        return code if any(widget_view(cell) for cell in code) else None

    for cell in until(saved, "the notebook to be saved"):
        assert cell["execution_count"], cell["source"]
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", output


def widget_view(cell: dict[str, Any]) -> bool:
    """Whether a cell shows a live widget, which the stored notebook does not."""
    return any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in cell["outputs"])


def test_every_explorer_shows_its_picture_text_and_sentence(opened: Opened):
    explorers = opened.page.locator(EXPLORER)
    assert explorers.count() >= len(opened.lesson.demos)
    descriptions = {demo.figure.description for demo in opened.lesson.demos.values()}
    for explorer in explorers.all():
        now = shown(explorer)
        assert any(now["alt"] == f"{text} {now['sentence']}" for text in descriptions)
        assert now["src"].startswith("blob:")
        assert explorer.locator(".gclip-error").text_content() == ""


def test_a_screen_reader_hears_a_name_for_everything_that_can_be_used(opened: Opened):
    devtools = opened.page.context.new_cdp_session(opened.page)
    used = {"button", "slider", "spinbutton", "combobox", "checkbox", "radio", "textbox", "image"}
    heard = set()
    for part in opened.page.locator(f"{EXPLORER}, .gclip-panel").all():
        to_the_middle(part)
        root = devtools.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
        part.evaluate("(node) => { node.id = 'here'; }")
        place = devtools.send("DOM.querySelector", {"nodeId": root, "selector": "#here"})["nodeId"]
        for node in devtools.send("Accessibility.queryAXTree", {"nodeId": place})["nodes"]:
            role = node.get("role", {}).get("value")
            if role in used and not node["ignored"]:
                heard.add(role)
                assert node.get("name", {}).get("value", "").strip(), f"a {role} without a name: {node}"
        part.evaluate("(node) => { node.removeAttribute('id'); }")
    devtools.detach()
    assert {"button", "slider", "spinbutton", "radio", "image"} <= heard


# --- the keyboard ---


def test_arrow_keys_move_a_slider_and_picture_text_and_sentence_follow(opened: Opened):
    demo = next(iter(opened.lesson.demos.values()))
    name, setting = [item for item in controls_of(demo.state).items() if item[1].kind not in ("choice", "switch")][-1]
    explorer = showing(opened.page, demo)
    handle = explorer.locator(f".gclip-control-{name} .noUi-handle")
    assert handle.get_attribute("aria-label") == setting.label
    handle.focus()
    for key in ("ArrowLeft", "ArrowLeft", "PageDown"):
        before, value = shown(explorer), told(handle)
        opened.page.keyboard.press(key)
        wait_for_change(explorer, {"src": before["src"]}, key)
        until(lambda value=value: told(handle) != value, f"{key} to be told")
    for key, end in (("End", setting.high), ("Home", setting.low)):
        before = shown(explorer)
        opened.page.keyboard.press(key)
        until(lambda end=end: told(handle) == f"{end:g}", f"{key} to reach {end:g}, not {told(handle)}")
        wait_for_change(explorer, before, key)


def test_a_typed_number_is_taken_exactly(opened: Opened):
    demo = next(iter(opened.lesson.demos.values()))
    name, setting = next(item for item in controls_of(demo.state).items() if item[1].kind in ("log", "linear"))
    typed = f"{setting.values[1] + (setting.values[2] - setting.values[1]) / 3:.6g}"
    row = showing(opened.page, demo, name).locator(f".gclip-control-{name}")
    row.locator("input[type=number]").fill(typed)
    opened.page.keyboard.press("Enter")
    until(lambda: told(row.locator(".noUi-handle")) == typed, "the number to be told")
    assert float(row.locator("input[type=number]").input_value()) == float(typed) not in setting.values


def test_tab_reaches_every_control_in_reading_order(opened: Opened):
    for explorer in opened.page.locator(EXPLORER).all():
        mark = (
            "(nodes) => nodes.filter((n) => !n.disabled && n.checkVisibility())"
            ".map((n, k) => { n.dataset.place = k; }).length"
        )
        count = explorer.locator(FOCUSABLE).evaluate_all(mark)
        to_the_middle(explorer)
        explorer.locator('[data-place="0"]').first.focus()
        reached = []
        for _ in range(count):
            reached.append(opened.page.evaluate("document.activeElement.dataset.place"))
            opened.page.keyboard.press("Tab")
        assert reached == [str(k) for k in range(count)]
        explorer.locator(FOCUSABLE).evaluate_all("(nodes) => nodes.map((n) => delete n.dataset.place)")


def test_presets_and_reset_are_pressed_by_keyboard(opened: Opened):
    explorer = opened.page.locator(EXPLORER).nth(1)
    named = explorer.locator("button").filter(has_text=re.compile(r"\S")).all()
    assert named[-1].text_content().strip() == "reset"
    seen = set()
    handle = explorer.locator(".noUi-handle").first
    for button in named:
        handle.focus()
        opened.page.keyboard.press("Home")  # where no preset stands, so that each of them shows something new
        before = until(
            lambda: (now := shown(explorer)["src"]) and (time.sleep(0.4) or shown(explorer)["src"]) == now and now,
            "a rest",
        )
        button.focus()
        opened.page.keyboard.press("Enter")
        until(lambda before=before: shown(explorer)["src"] != before, f"a new picture by {button}")
        seen.add(explorer.locator(".gclip-question").text_content())
    assert len(seen) >= len(named) - 1


def test_play_is_started_and_stopped_by_keyboard(opened: Opened):
    if not any(c.play for demo in opened.lesson.demos.values() for c in controls_of(demo.state).values()):
        return  # nothing here has time
    explorer = explorer_with(opened.page, ".widget-play")
    handle = explorer.locator("div", has=opened.page.locator(".widget-play")).last.locator(".noUi-handle")
    to_the_middle(explorer)
    handle.focus()
    opened.page.keyboard.press("Home")
    until(lambda: told(handle) == "0", "the first step")
    explorer.locator('button[title="One step on"]').click()
    until(lambda: told(handle) == "1", "one step on")
    explorer.locator('.widget-play button[aria-label="Play"]').focus()
    opened.page.keyboard.press("Enter")
    until(lambda: int(told(handle)) > 4, "the run to be played")
    explorer.locator('.widget-play button[aria-label="Pause"]').focus()
    opened.page.keyboard.press("Enter")
    still = until(lambda: (now := told(handle)) and (time.sleep(0.5) or told(handle)) == now, "a rest")
    assert still


@pytest.mark.parametrize("kind", ["radio", "text"])
def test_a_prediction_is_recorded_by_keyboard(opened: Opened, kind: str):
    asked = {"text" if not p.options else "radio" for p in opened.lesson.predictions.values()}
    if kind not in asked:
        return  # this lesson has no such prediction
    panel = opened.page.locator(".gclip-panel").filter(has_text="Predict.")
    panel = panel.filter(has=opened.page.locator(f"input[type={kind}]")).first
    to_the_middle(panel)
    status = panel.locator(".gclip-status")
    panel.locator("input").first.focus()
    if kind == "radio":
        opened.page.keyboard.press("Space")
        opened.page.keyboard.press("Tab")
    else:
        opened.page.keyboard.type("1,234.5")
    opened.page.keyboard.press("Enter")
    until(lambda: "You predicted" in status.text_content(), "the contrast of guess and result")
    assert kind == "radio" or panel.locator("input").input_value() == "1234.5"
    until(lambda: panel.locator("button").text_content().strip() == "Recorded", "the button to say so")


def test_a_quiz_question_is_answered_by_keyboard_and_says_why(opened: Opened):
    radios = opened.page.locator("input[type=radio]")
    quiz = opened.page.locator(".gclip-panel").filter(has=radios).last
    to_the_middle(quiz)
    status = quiz.locator(".gclip-status").first
    choices = quiz.locator("[role=radiogroup]").first.locator("input")
    choices.first.focus()
    opened.page.keyboard.press("Space")
    for k in range(1, choices.count()):
        opened.page.keyboard.press("ArrowDown")
        until(choices.nth(k).is_checked, "the arrow to move the choice")
    time.sleep(0.3)
    assert not status.text_content().strip(), "a choice is no answer"
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    reply = until(lambda: status.text_content().strip(), "a reply")
    assert re.match(rf"[✓✗] {'abcdefgh'[choices.count() - 1]}\) (Right|No)\.", reply)


# --- the mouse ---


def drag(page: Any, picture: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from one point of a picture to another, in pixels of the figure as it is shown at 100%."""
    to_the_middle(picture)
    box = picture.bounding_box()
    scale = box["width"] / int(picture.get_attribute("width"))
    (x0, y0), (x1, y1) = ((box["x"] + x * scale, box["y"] + y * scale) for x, y in (start, end))
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=4)
    page.mouse.move(x1, y1, steps=4)
    page.mouse.up()


def drawn(demo: Demo, state: Any) -> Any:
    """The figure of a demo as it stands on the page, to know where its points lie."""
    drawing = demo.figure(demo.compute(state))
    drawing.png()
    return drawing


def test_everything_that_can_be_dragged_is_dragged(opened: Opened):
    dragged = 0
    for demo in opened.lesson.demos.values():
        if demo.drag is None:
            continue
        state = demo.state()
        drawing = drawn(demo, state)
        for panel, axes in drawing.axes.items():
            box, (width, height) = axes.get_position(), drawing.size
            start, end = (
                (width * (box.x0 + u * box.width), height * (1 - box.y0 - v * box.height))
                for u, v in ((0.3, 0.3), (0.62, 0.71))
            )
            if drawing.panel_at(*start) != panel:
                continue  # an inset lies there: its own turn comes
            expected = demo.drag(state, panel, *drawing.to_data(panel, *end))
            if expected == state:
                continue
            explorer = showing(opened.page, demo)
            before = {"src": shown(explorer)["src"]}
            drag(opened.page, explorer.locator(PICTURE), start, end)
            wait_for_change(explorer, before, "the mouse")
            dragged += 1
    assert dragged


def test_the_tip_of_the_gradient_follows_the_mouse(opened: Opened):
    if opened.lesson.number != "03":
        return  # lesson 00 has no arrow; its start point is dragged above
    demo = opened.lesson.demos["ball"]
    drawing = drawn(demo, demo.state())
    explorer = opened.page.locator(EXPLORER).nth(1)
    explorer.locator("button", has_text="reset").click()
    first, second = explorer.locator(".noUi-handle").all()[:2]
    until(lambda: (told(first), told(second)) == ("3", "4"), "the preset")
    before = shown(explorer)
    drag(opened.page, explorer.locator(PICTURE), drawing.place("plane", 3, 4), drawing.place("plane", -5, 1))
    wait_for_change(explorer, before, "the mouse")
    until(lambda: abs(float(told(first)) + 5) < 0.1, "g₁ to be −5")
    assert abs(float(told(second)) - 1) < 0.1
    assert "becomes" in shown(explorer)["sentence"] or "multiplied" in shown(explorer)["sentence"]


# --- the screen ---


def test_at_twice_the_zoom_the_picture_has_twice_the_pixels(opened: Opened):
    """At 200% a page has half the CSS pixels, each of them two device pixels wide."""
    devtools = opened.page.context.new_cdp_session(opened.page)
    width = "images => images.map((image) => image.naturalWidth / image.getAttribute('width'))"
    pictures = opened.page.locator(PICTURE)
    assert set(pictures.evaluate_all(width)) == {1}
    half = {key: value // 2 for key, value in SCREEN.items()}
    devtools.send("Emulation.setDeviceMetricsOverride", {**half, "deviceScaleFactor": 2, "mobile": False})
    try:
        until(lambda: set(pictures.evaluate_all(width)) == {2}, "dense pictures")
        fits = "images => images.every((image) => image.getBoundingClientRect().width <= innerWidth)"
        assert pictures.evaluate_all(fits)
    finally:
        devtools.send("Emulation.setDeviceMetricsOverride", {**SCREEN, "deviceScaleFactor": 1, "mobile": False})
        devtools.detach()
    until(lambda: set(pictures.evaluate_all(width)) == {1}, "plain pictures")


def test_sentences_can_be_read_in_the_dark_theme(opened: Opened):
    page = opened.page
    set_theme(page, "JupyterLab Dark")
    try:
        for contrast in page.locator(".gclip-sentence, .gclip-question").evaluate_all(CONTRASTS):
            assert contrast >= 4.5
    finally:
        set_theme(page, "JupyterLab Light")


def set_theme(page: Any, name: str) -> None:
    """Choose a theme in the menu of settings."""
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Theme")).hover()
    page.locator(".lm-Menu-item", has_text=re.compile(rf"^{name}\s*$")).click()
    until(lambda: page.evaluate("document.body.dataset.jpThemeName") == name, f"the theme {name}")


CONTRASTS = """(nodes) => nodes.filter((node) => node.textContent).map((node) => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opaque = (color) => !/, 0\\)$|transparent/.test(color);
  let behind = node;
  while (behind.parentElement && !opaque(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const [one, other] = [light(getComputedStyle(node).color), light(getComputedStyle(behind).backgroundColor)];
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
})"""


def test_the_page_reports_no_error(opened: Opened):
    assert browser.clean(opened.page.complaints) == []
