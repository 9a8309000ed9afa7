"""The teacher's guide: a page for every lesson, plans that add up, and nothing named that the lesson does not have."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gclip_lessons.lessons import Demo, controls_of

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "teaching.md"
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
PAGES = {number: ROOT / "docs" / "teaching" / f"{number}.md" for number in NOTEBOOKS}
CALL = re.compile(
    r'explore\(\s*lesson\.([A-Z_]+)(?:[^()]*?preset="([^"]+)")?(?:[^()]*?show=[\[(]([^\])]*)[\])])?', re.S
)


@pytest.fixture(params=NOTEBOOKS)
def number(request: pytest.FixtureRequest) -> str:
    return request.param


def lesson_module(number: str) -> ModuleType:
    return importlib.import_module(f"gclip_lessons.lessons.lesson{number}")


def demos(number: str) -> dict[str, Demo]:
    """The explorers of a lesson by the names that its notebook calls them by."""
    return {name: thing for name, thing in vars(lesson_module(number)).items() if isinstance(thing, Demo)}


def cells(number: str) -> list[dict[str, Any]]:
    return json.loads(NOTEBOOKS[number].read_text(encoding="utf-8"))["cells"]


def notebook_text(number: str) -> str:
    """All that a lesson says: its cells, and what they printed."""
    texts = []
    for cell in cells(number):
        texts.append("".join(cell["source"]))
        for output in cell.get("outputs", []):
            texts.append("".join(output.get("text", output.get("data", {}).get("text/plain", ""))))
    return "\n".join(texts)


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading that begins so, without its two header lines."""
    [section] = re.findall(rf"(?ms)^## {heading}.*?$\n(.*?)(?=^## |\Z)", page)
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[field.strip() for field in re.split(r"(?<!\|)\|(?!\|)", line.strip("|"))] for line in lines]


def test_every_lesson_has_a_page_and_the_guide_links_them(number: str):
    assert PAGES[number].exists()
    assert f"(teaching/{number}.md)" in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("length", [50, 90])
def test_the_minutes_of_a_plan_add_up(number: str, length: int):
    plan = rows(PAGES[number].read_text(encoding="utf-8"), f"{length} minutes")
    minutes = [int(row[0]) for row in plan]
    assert sum(minutes) == length
    assert len(minutes) >= 5
    assert max(minutes) <= length / 2


def test_the_syllabuses_of_the_guide_add_up():
    guide = GUIDE.read_text(encoding="utf-8")
    for heading, total in re.findall(r"(?m)^## ((?:Four weeks|One afternoon)[^\n]*?(\d+) minutes[^\n]*)$", guide):
        assert sum(int(row[0]) for row in rows(guide, re.escape(heading))) == int(total), heading
    assert len(re.findall(r"(?m)^## (?:Four weeks|One afternoon)[^\n]*\d+ minutes", guide)) == 2


def test_what_the_guide_names_exists():
    guide = GUIDE.read_text(encoding="utf-8")
    lessons = [lesson_module(number).LESSON for number in NOTEBOOKS]
    keys = {item.key for lesson in lessons for item in (*lesson.predictions.values(), *lesson.exercises.values())}
    named = set(re.findall(r"`(\d\d\.\w)`", guide))
    assert named
    assert {key for key in named if key[:2] in NOTEBOOKS} <= keys
    [(number, (name, preset, show))] = [
        (number, call)
        for number, block in re.findall(r"import lesson(\d\d) as lesson\n(.*?)```", guide, re.S)
        for call in CALL.findall(block)
    ]
    assert preset in demos(number)[name].presets
    assert set(re.findall(r'"([^"]+)"', show)) <= set(controls_of(demos(number)[name].state))


def test_the_cards_are_those_that_present_shows(number: str):
    page = PAGES[number].read_text(encoding="utf-8")
    shown = [
        (name, preset or next(iter(demos(number)[name].presets)))
        for cell in cells(number)
        if cell["cell_type"] == "code"
        for name, preset, _ in CALL.findall("".join(cell["source"]))
    ]
    listed = rows(page, "The cards of")
    assert [tuple(re.fullmatch(r"`([A-Z_]+) · (.+)`", row[1]).groups()) for row in listed] == shown
    assert [row[0] for row in listed] == [str(k + 1) for k in range(len(shown))]
    assert f"`python3 course.py present {number}`" in page


def test_explorers_presets_and_controls_exist(number: str):
    page, known = PAGES[number].read_text(encoding="utf-8"), demos(number)
    named = re.findall(r"`([A-Z_]{3,})(?: · ([^`]+))?`", page)
    assert named
    for name, preset in named:
        assert name in known, name
        assert not preset or preset in known[name].presets, f"{name} · {preset}"
    for name, preset, show in CALL.findall(page):
        assert preset in known[name].presets, preset
        assert set(re.findall(r'"([^"]+)"', show)) <= set(controls_of(known[name].state)), show


def test_predictions_and_exercises_exist_and_none_is_left_out(number: str):
    lesson, page = lesson_module(number).LESSON, PAGES[number].read_text(encoding="utf-8")
    predictions = {p.key for p in lesson.predictions.values()}
    exercises = {e.key for e in lesson.exercises.values()}
    named = set(re.findall(r"`(\d\d\.\w)`", page))
    own = {key for key in named if key.startswith(number)}
    assert own == predictions | exercises
    assert named == own
    assert {row[0].strip("`") for row in rows(page, "Predictions")} == predictions


def test_misconceptions_and_functions_exist(number: str):
    lesson, page = lesson_module(number).LESSON, PAGES[number].read_text(encoding="utf-8")
    known = {m.name for exercise in lesson.exercises.values() for m in exercise.misconceptions}
    words = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", page))
    assert words & known, "no wrong answer of an exercise is named"
    said = notebook_text(number)
    assert [word for word in words - known - {"my_notebooks"} if word not in said] == []


def test_numbers_stand_in_the_lesson(number: str):
    lesson, page = lesson_module(number).LESSON, PAGES[number].read_text(encoding="utf-8")
    said = notebook_text(number)
    for one in lesson.predictions.values():
        said += "\n".join(["", one.question, *one.options.values(), *one.explain.values(), ""])
    page = re.sub(r"`[^`]*`|\]\([^)]*\)", "", page)
    [asked] = re.findall(r"(?ms)^## Questions for the class$(.*?)^## ", page)
    # Everywhere what has a decimal or three digits; of what the class is asked and told, every number.
    written = re.findall(r"(?<![\w.,])\d+(?:[.,]\d+|\d\d)(?![\w.,]?\d)", page)
    written += re.findall(r"(?<![\w.,])\d+(?:[.,]\d+)?(?![\w.,]?\d)", asked)
    missing = [w for w in sorted(set(written)) if not re.search(rf"(?<![\d.,]){re.escape(w)}(?![.,]?\d)", said)]
    assert missing == []


@pytest.mark.parametrize("path", [GUIDE, *PAGES.values()], ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert links
    assert [link for link in links if "://" in link or not (path.parent / link).exists()] == []
