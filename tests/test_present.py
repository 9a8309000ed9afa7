"""`course.py present`: the cards it makes of a lesson, and its page in a real browser, by keyboard and offline."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tools import browser, present

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
READY = ".gclip-image"


@pytest.mark.parametrize("path", LESSONS, ids=[path.stem[:2] for path in LESSONS])
def test_a_lesson_becomes_one_card_for_each_explorer(path: Path):
    lesson = nbformat.read(path, as_version=4)
    made = present.cards(lesson)
    shown = [cell.source for cell in lesson.cells if cell.cell_type == "code" and "explore(" in cell.source]
    cards = [cell.source for cell in made.cells if cell.cell_type == "code"][1:]
    assert cards == [re.sub(r", after=.*\)$", ")", source) for source in shown]
    assert "after=" not in "".join(cards)
    headings = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
    assert len(headings) == len(cards)
    assert made.cells[0].source == headings[0]
    text = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    assert all(heading.removeprefix("### ") in text for heading in headings)
    assert len(present.slides(lesson).cells) == len(lesson.cells)


def test_a_lesson_without_explorers_is_refused():
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    with pytest.raises(ValueError, match="no explorers"):
        present.cards(bare)


def test_an_unknown_lesson_or_a_taken_port_is_said_in_a_line(capsys: pytest.CaptureFixture[str]):
    assert present.main(["77"]) == 1
    assert present.main(["03", "--port", "0"]) == 1
    assert capsys.readouterr().err.count("course.py: ") == 2


def test_the_page_stands_on_this_machine_behind_a_token():
    words = present.command(Path("x.ipynb"), 8900, show=False)
    assert {"--token", "--Voila.ip=127.0.0.1", "--port=8900", "--no-browser"} <= set(words)
    assert "--no-browser" not in present.command(Path("x.ipynb"), None, show=True)


# --- in a browser ---


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="playwright is not installed: it drives the browser")
    if browser.CHROMIUM is None:
        pytest.skip("Chromium is not installed: no browser to test with")
    with browser.chromium(width=1600, height=900) as page:
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


@pytest.fixture(scope="module", params=["03", "03 --slides"])
def shown(request: pytest.FixtureRequest, page: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    log = tmp_path_factory.mktemp("present") / "log"
    command = [sys.executable, str(ROOT / "tools" / "present.py"), *request.param.split(), "--no-browser"]
    with log.open("w") as sink:
        running = subprocess.Popen(
            [*command, f"--port={browser.free_port()}"], stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\S+token=\S+", log.read_text())):
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        page.complaints.clear()
        page.goto(found[0], timeout=90_000)
        page.wait_for_selector(".deck-bar", timeout=90_000)
        page.wait_for_selector(READY, state="attached", timeout=90_000)
        yield page
        page.goto("about:blank")  # before its server goes
    finally:
        os.killpg(running.pid, 2)  # as Ctrl-C does
        running.wait(20)


def at(page: Any) -> tuple[int, int]:
    k, _, n = page.locator(".deck-bar [role=status]").text_content().partition(" of ")
    return int(k), int(n)


def until(happens: Any, what: str, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := happens()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)
    return seen


def visible(page: Any, selector: str) -> list[Any]:
    return [place for place in page.locator(selector).all() if place.is_visible()]


def to_an_explorer(page: Any) -> Any:
    """Go on to the first slide that shows a picture."""
    page.keyboard.press("Home")
    until(lambda: at(page)[0] == 1, "the first slide")
    while not visible(page, READY):
        before = at(page)[0]
        page.keyboard.press("ArrowRight")
        until(lambda before=before: at(page)[0] > before, "the next slide")
        time.sleep(0.3)
    return visible(page, ".gclip-explorer")[0]


def test_arrow_keys_switch_between_slides_and_stop_at_the_ends(shown: Any):
    shown.keyboard.press("Home")
    until(lambda: at(shown)[0] == 1, "the first slide")
    shown.keyboard.press("ArrowLeft")
    assert at(shown)[0] == 1
    shown.keyboard.press("ArrowRight")
    until(lambda: at(shown)[0] == 2, "the second slide")
    shown.keyboard.press("End")
    until(lambda: at(shown)[0] == at(shown)[1] > 2, "the last slide")
    shown.keyboard.press("PageDown")
    assert at(shown)[0] == at(shown)[1]
    shown.locator(".deck-bar button").first.click()
    until(lambda: at(shown)[0] == at(shown)[1] - 1, "one slide back")


def test_the_explorer_is_enlarged_sharp_and_whole_on_the_screen(shown: Any):
    explorer = to_an_explorer(shown)
    picture = explorer.locator(READY)
    sharp = "image => image.complete && image.naturalWidth >= image.getBoundingClientRect().width"
    until(lambda: picture.evaluate(sharp), "a pixel for every pixel")
    least = 900 if at(shown)[1] > 8 else 1000  # on a slide with much text there is room for less
    box = until(lambda: (box := picture.bounding_box()) and box["width"] >= least and box, "a large picture")
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1600
    assert len(visible(shown, READY)) == 1


def test_a_slider_that_has_the_focus_keeps_its_arrow_keys_until_escape(shown: Any):
    explorer = to_an_explorer(shown)
    handle = until(lambda: explorer.locator(".noUi-handle").all(), "the sliders")[0]
    slide, value = at(shown)[0], handle.get_attribute("aria-valuetext")
    picture = explorer.locator(READY).get_attribute("src")
    handle.focus()
    shown.keyboard.press("ArrowLeft")
    until(lambda: handle.get_attribute("aria-valuetext") != value, "the slider to move")
    until(lambda: explorer.locator(READY).get_attribute("src") != picture, "a new picture")
    assert at(shown)[0] == slide
    shown.keyboard.press("Escape")
    shown.keyboard.press("ArrowRight")
    until(lambda: at(shown)[0] == slide + 1, "the next slide")


def test_nothing_is_asked_of_another_machine(shown: Any):
    elsewhere = [url for url in shown.asked if not re.match(r"http://127\.0\.0\.1|ws://127\.0\.0\.1|blob:|data:", url)]
    assert elsewhere == []
    assert browser.clean(shown.complaints) == []
