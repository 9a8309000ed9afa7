"""`course.py site`: what stands on a page, and the page in a real browser, from a folder, wide and on a telephone."""

import io
import json
import re
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from PIL import Image

from gclip_lessons.exercises import Prediction
from gclip_lessons.lessons import all_lessons, controls_of
from tools import browser, site

LESSON = "03"
FRAMES = 36


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with one lesson, and fewer frames than there could be, for speed."""
    folder = tmp_path_factory.mktemp("site") / "with a space"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "MOST_FRAMES", FRAMES)
        assert site.main([LESSON, "--to", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    [path] = folder.glob(f"{LESSON}_*.html")
    return path


class Tags(HTMLParser):
    """Every tag of a page with its attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def explorers(path: Path) -> list[dict[str, Any]]:
    """What the page's script is told of each explorer."""
    parts = re.findall(r'<script type="application/json">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    return [told for told in map(json.loads, parts) if "controls" in told]


# --- the page as a file ---


def test_no_address_outside_the_site_is_in_any_file(folder: Path):
    for file in folder.rglob("*"):
        if file.suffix in (".html", ".css", ".js"):
            found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+/[^\s\"'<)]*", file.read_text(encoding="utf-8")))
            links = {one for one in found if "w3.org" not in one}
            outside = {one for one in links if f'href="{one}' not in file.read_text(encoding="utf-8")}  # a link waits
            assert outside == set(), file


def test_everything_that_a_page_names_is_there_and_it_weighs_less_than_5_mb(folder: Path, path: Path):
    text = path.read_text(encoding="utf-8")
    named = [
        attrs.get("src") or attrs.get("href") for tag, attrs in Tags(text).found if tag in ("img", "script", "link")
    ]
    local = {name for name in named if name and not name.startswith("data:")}
    frames = {frame["src"] for told in explorers(path) for frame in (told["start"], *frames_of(told))}
    for name in local | frames:
        assert (folder / name).is_file(), name
    weight = len(text.encode()) + sum((folder / name).stat().st_size for name in local | frames)
    assert weight * site.MOST_FRAMES / FRAMES < 5_000_000
    assert (folder / "katex" / "LICENSE").is_file()


def frames_of(told: dict[str, Any]) -> list[dict[str, str]]:
    return [frame for control in told["controls"] for frame in control["frames"]]


def test_a_page_has_at_most_its_frames_and_sliders_for_every_explorer(path: Path):
    every = explorers(path)
    assert len(every) == path.read_text(encoding="utf-8").count('class="explorer"') >= 2
    assert len({frame["src"] for told in every for frame in (told["start"], *frames_of(told))}) <= FRAMES
    for told in every:
        assert told["controls"]
        for control in told["controls"]:
            assert len(control["frames"]) >= 2
            home = control["frames"][control["at"]]  # a slider at rest says what the first picture shows
            assert (home["src"], home["says"]) == (told["start"]["src"], told["start"]["says"])


def test_sentence_and_picture_of_a_frame_are_those_of_its_state(folder: Path, path: Path):
    demo, found = all_lessons()[LESSON].demos["ball"], []
    starts = {demo.caption(demo.compute(preset.state)): preset.state for preset in demo.presets.values()}
    setting = controls_of(demo.state)["max_norm"]
    for told in explorers(path):
        for control in told["controls"]:
            ends = control["frames"][0]["at"], control["frames"][-1]["at"]
            if told["start"]["says"] in starts and ends == (f"{setting.low:g}", f"{setting.high:g}"):
                found += [(starts[told["start"]["says"]], control["frames"][end]) for end in (0, -1)]
    assert found
    for state, frame in found:
        result = demo.compute(replace(state, max_norm=float(frame["at"])))
        assert frame["says"] == demo.caption(result)
        drawn = Image.open(io.BytesIO(demo.figure(result).png(site.DENSITY))).convert("L")
        stored = Image.open(folder / frame["src"]).convert("L")
        assert drawn.size == stored.size
        off = [abs(a - b) for a, b in zip(drawn.tobytes()[::997], stored.tobytes()[::997], strict=True)]
        assert sum(off) / len(off) < 2


def test_a_page_that_weighs_too_much_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert site.main(["glossary", "--to", str(tmp_path)]) == 0
    monkeypatch.setattr(site, "MOST_BYTES", 1000)
    assert site.main(["glossary", "--to", str(tmp_path)]) == 1
    assert "glossary with 0.0" in capsys.readouterr().err
    assert "00_start_here" not in (tmp_path / "index.html").read_text(encoding="utf-8")  # it is not there


def test_every_picture_has_alternative_text_and_headings_are_in_order(path: Path):
    tags = Tags(path.read_text(encoding="utf-8")).found
    for tag, attrs in tags:
        assert tag != "img" or len(attrs.get("alt") or "") > 40
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_frames_are_given_to_thresholds_first_and_never_more_than_there_are():
    demo = all_lessons()["04"].demos["cliff"]
    assert list(site.shares(demo, 13)) == ["max_norm", "step"]
    assert list(site.shares(demo, 2)) == ["max_norm"]
    assert list(site.shares(demo, 40, ["step"])) == ["step"]
    for other in (demo for lesson in all_lessons().values() for demo in lesson.demos.values()):
        for frames in (2, 5, 6, 13, 40):
            given = site.shares(other, frames)
            assert 1 + sum(n - 1 for n in given.values()) <= frames
            assert all(2 <= n <= len(controls_of(other.state)[name].values) for name, n in given.items())


def test_stops_run_from_end_to_end_in_order_through_the_start():
    setting = controls_of(all_lessons()["04"].demos["cliff"].state)["max_norm"]
    for start in (setting.low, setting.high, setting.values[1], 0.37 * setting.high):
        for count in (3, 6, 1000):
            found = site.stops(setting, start, count)
            assert len(found) == min(count, len(setting.values))
            assert found == sorted(found)
            assert start in found
            assert (found[0], found[-1]) == (setting.low, setting.high)


def test_no_page_can_have_more_frames_than_it_may():
    for path in site.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        calls = [call for _, call in site.cells_of(nbformat.read(path, as_version=4)) if call]
        explorers = [call for call in calls if call.kind == "explore"]
        assert explorers, path
        assert {"quiz"} < {call.kind for call in calls}, path
        total = 0
        for call in explorers:
            given = site.shares(call.thing, site.MOST_FRAMES // len(explorers), call.options.get("show"))
            assert given, path
            total += 1 + sum(n - 1 for n in given.values())
        assert total <= site.MOST_FRAMES, path


def test_a_cell_that_needs_an_earlier_one_shows_what_was_stored(tmp_path: Path):
    names = {"lesson": types.SimpleNamespace(QUIZ="questions")}
    assert site.asked("quiz(lesson.QUIZ)", names) == site.Asked("quiz", "questions", {})
    assert site.asked("mine = None\nquiz(lesson.QUIZ if mine is None else mine)", names).thing == "questions"
    assert site.asked("explore(own(log), preset='a')", names) is None
    assert site.asked("log = own()\nexplore(log)", names) is None
    assert "mine" not in names
    stored = nbformat.v4.new_output("display_data", {"text/html": "<p>stored</p>", "text/plain": "kept"})
    cells = [nbformat.v4.new_code_cell("explore(own(log))", outputs=[stored])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    body = site.lesson_page(tmp_path / "one.ipynb", tmp_path, lambda: None)
    assert "explore(own(log))" in body
    assert body.endswith("<p>stored</p>")


def test_every_picture_that_waits_has_a_prediction_that_opens_it():
    for path in site.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        calls = [call for _, call in site.cells_of(nbformat.read(path, as_version=4)) if call]
        asked = [call.thing.key for call in calls if call.kind == "predict"]
        assert len(asked) == len(set(asked))
        assert {call.options["after"].key for call in calls if "after" in call.options} <= set(asked), path


def test_links_lead_to_pages_of_the_site(path: Path):
    text = path.read_text(encoding="utf-8")
    assert ".ipynb" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert 'href="02_clipping_by_value.html"' in text


def test_links_to_a_heading_find_it():
    pages = {}
    for path in site.NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        made = "".join(site.markdown(cell.source) for cell in cells if cell.cell_type == "markdown")
        pages[f"{path.stem}.html"] = Tags(made).found
    ids = {name: {unquote(attrs["id"]) for _, attrs in tags if attrs.get("id")} for name, tags in pages.items()}
    links = [(name, attrs["href"]) for name, tags in pages.items() for tag, attrs in tags if attrs.get("href")]
    inside = [(name, href) for name, href in links if "#" in href and not href.startswith("http")]
    assert ("03_clipping_by_norm.html", "00_start_here.html#The-lessons") in inside
    for name, href in inside:
        page, _, heading = href.partition("#")
        assert unquote(heading) in ids[page or name], (name, href)


def test_an_unknown_lesson_or_a_folder_that_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        site.main(["77"])
    assert "there is no lesson 77" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert site.main([LESSON, "--to", str(tmp_path / "file" / "site")]) == 1
    assert "choose another with --to" in capsys.readouterr().err


# --- in a browser ---


@pytest.fixture(scope="module", params=[(1200, 900), (390, 800)], ids=["desktop", "telephone"])
def page(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    pytest.importorskip("playwright", reason="playwright is not installed: it drives the browser")
    if browser.CHROMIUM is None:
        pytest.skip("Chromium is not installed: no browser to test with")
    width, height = request.param
    with browser.chromium(width=width, height=height) as page:
        page.asked = []
        page.on("request", lambda one: page.asked.append(one.url))
        page.goto(path.as_uri())
        yield page


def until(happens: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := happens()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.03)
    return seen


def test_arrow_keys_move_a_slider_and_picture_text_and_sentence_follow(page: Any):
    page.evaluate("document.querySelectorAll('details.after').forEach((one) => { one.open = true; })")
    box = page.locator(".explorer").first
    slider, image, sentence = box.locator("input[type=range]").first, box.locator("img"), box.locator("figcaption")
    slider.focus()
    page.keyboard.press("Home")
    before = image.get_attribute("src"), image.get_attribute("alt"), sentence.text_content()
    told = slider.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    until(lambda: image.get_attribute("src") != before[0], "another picture")
    assert image.get_attribute("alt").endswith(sentence.text_content())
    assert sentence.text_content() != before[2]
    assert slider.get_attribute("aria-valuetext") != told
    until(lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"), "the picture to be loaded")
    box.locator("button").click()
    assert sentence.text_content() == explorer_start(page)


def explorer_start(page: Any) -> str:
    return json.loads(page.locator(".explorer script").first.text_content())["start"]["says"]


def test_one_control_at_a_time_is_away_from_the_start(page: Any):
    for box in page.locator(".explorer").all():
        sliders = box.locator("input[type=range]").all()
        if len(sliders) < 2 or not sliders[0].is_visible():
            continue
        sliders[0].focus()
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        sliders[1].focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        told = json.loads(box.locator("script").text_content())
        assert int(sliders[0].input_value()) == told["controls"][0]["at"]
        assert int(sliders[1].input_value()) == 1
        return
    pytest.fail("no explorer has two sliders")


def test_a_prediction_answers_and_opens_its_picture(page: Any):
    ask = page.locator('.ask[data-kind="choice"], .ask[data-kind="number"]').first
    ask.locator("button").click()
    assert "first." in ask.locator(".answer").text_content()
    field = ask.locator("input").first
    if ask.get_attribute("data-kind") == "choice":
        field.focus()
        page.keyboard.press("Space")
    else:
        field.fill("1,234.5")
    ask.locator("button").click()
    assert len(ask.locator(".answer").text_content()) > 40
    [hidden] = page.locator(f'details.after[data-after="{ask.get_attribute("data-key")}"]').all()
    assert hidden.evaluate("node => node.open")


@pytest.mark.parametrize(
    ("typed", "read"), [("1,234.5", 1234.5), ("0,125", 0.125), ("−2,5", -2.5), ("50 %", 50), ("30°", 30), ("", None)]
)
def test_a_number_is_read_as_the_live_course_reads_it(page: Any, typed: str, read: float | None):
    """A page of its own: lesson 03 may ask for no number."""
    guess = Prediction("x", "How much?", lambda: 50.0, dict.fromkeys(("low", "close", "high"), "so"), unit="%")
    before = page.url
    body = site.prediction_html(guess, "x")
    (Path(before.removeprefix("file://").replace("%20", " ")).parent / "number.html").write_text(site.page("x", body))
    page.goto(before.rpartition("/")[0] + "/number.html")
    page.locator(".ask input").fill(typed)
    page.locator(".ask input").press("Enter")
    said = page.locator(".answer").text_content()
    assert said == "Write a number first." if read is None else said.startswith(f"You predicted {read:g}. It is 50 %.")
    page.goto(before)


def test_a_quiz_says_why(page: Any):
    for ask in page.locator('.ask[data-kind="quiz"]').all():
        told = json.loads(ask.locator("script").text_content())
        for radio in ask.locator("input").all():
            radio.check()
            ask.locator("button").click()
            answer = ask.locator(".answer").text_content()
            assert answer.startswith("✓" if radio.get_attribute("value") == told["truth"] else "✗")
            assert told["explain"][radio.get_attribute("value")] in answer


def test_mathematics_is_typeset(page: Any):
    assert page.locator("main .katex").count()
    assert page.locator("main .katex-error").count() == 0
    body = page.locator("main").inner_text()
    assert "$" not in re.sub(r"`[^`]*`", "", body)


def test_the_page_is_no_wider_than_the_screen(page: Any):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_light_and_dark_can_be_read(page: Any):
    for _ in range(2):
        colours = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
            ".map((c) => c.match(/\\d+/g).slice(0, 3).map(Number))"
        )
        ink, ground = (sum(one) / 3 for one in colours)
        assert abs(ink - ground) > 180
        page.locator("#theme").click()


def test_it_prints_to_a_few_pages(page: Any, tmp_path: Path):
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 30


def test_no_request_leaves_the_folder(page: Any, folder: Path):
    assert {url.partition(":")[0] for url in page.asked} <= {"file", "data"}
    assert page.complaints == []
