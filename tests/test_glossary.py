"""The glossary: every word stands in the lessons that it names, and every name of the table exists in its library."""

import importlib
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def text(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


PAGE = text(NOTEBOOKS / "glossary.ipynb")
WORDS = re.findall(r"(?m)^\*\*([^*]+)\*\*(?: \([^)]*\))?: (.+?) ((?:\[\d\d\]\([^)]+\)(?:, )?)+)$", PAGE)
ROWS = [[part.strip() for part in row.strip("|").split("|")] for row in PAGE.splitlines() if row.startswith("| `")]
LIBRARIES = {"torch": 1, "keras": 2, "optax": 3}


def test_every_entry_has_a_sentence_and_a_lesson():
    entries = re.findall(r"(?m)^\*\*[^*]+\*\*", PAGE)
    assert len(WORDS) == len(entries) > 35
    assert [word.casefold() for word, _, _ in WORDS] == sorted((word.casefold() for word, _, _ in WORDS), key=plain)
    for word, sentence, _ in WORDS:
        assert sentence.endswith("."), word


def plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.casefold().replace("α", "alpha"))


@pytest.mark.parametrize(("word", "links"), [(word, links) for word, _, links in WORDS], ids=[w for w, _, _ in WORDS])
def test_a_word_is_used_in_the_lessons_that_it_names(word: str, links: str):
    for name in re.findall(r"\]\(([^)]+)\)", links):
        lesson = text(NOTEBOOKS / name).casefold()
        stems = [re.sub(r"(ing|ed|s)$", "", one) for one in re.findall(r"[\w-]{3,}", word.casefold())]
        assert any(stem in lesson for stem in stems), f"{name} does not speak of {word}"


def test_every_name_of_ours_exists():
    found = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[0])}
    places = [importlib.import_module(f"gclip_lessons.{name}") for name in ("clipping", "optimizers")]
    assert {name for name in found if not any(hasattr(place, name) for place in places)} <= {"grad", "params"}
    assert {"clip_by_global_norm", "clip_by_value", "AdamW", "global_norm"} <= found


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_name_of_a_library_exists_there(library: str):
    module = pytest.importorskip(library, reason=f"the names are looked up in {library}")
    column = [row[LIBRARIES[library]] for row in ROWS if len(row) == 4]
    names = {name for cell in column for name in re.findall(rf"`({library}\.[\w.]+)`", cell)}
    assert names
    for name in names:
        place = module
        for part in name.split(".")[1:]:
            assert hasattr(place, part), name
            place = getattr(place, part)


def test_keras_optimisers_take_the_clips_of_the_table():
    keras = pytest.importorskip("keras", reason="the arguments are tried in keras")
    for name in re.findall(r"`(\w+)=` of an optimiser", PAGE):
        assert getattr(keras.optimizers.SGD(**{name: 1.0}), name) == 1.0
