"""Grading a class of honest and hostile notebooks: each costs only itself, and the report says what happened.

One class is graded once, stopped on the way and taken up again; most tests look at what came of it.
"""

import csv
import inspect
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from gclip_lessons.clinic import Treatment, treat
from gclip_lessons.lessons import all_lessons
from gclip_lessons.trials import attempt, packed
from tools import grade
from tools.grading import fence, handed, page, result, run

ROOT = Path(__file__).resolve().parent.parent
LESSONS = all_lessons()
LIMITS = ("--seconds", "60", "--cell-seconds", "6", "--memory", "500", "--jobs", "2")


# --- notebooks ---


def imports(number="03"):
    return (
        f"import numpy as np\nfrom gclip_lessons.lessons import lesson{number} as lesson\n"
        "from gclip_lessons.panels import check, predict, quiz"
    )


def check_of(name):
    return f'check(lesson.EXERCISES["{name}"], {name})'


def cell(number, called, wrong=None):
    """The cell of an exercise, with its solution or the misconception of that name, written by a learner."""
    exercise = LESSONS[number].exercises[called]
    function = exercise.solution
    if wrong:
        function = next(m.function for m in exercise.misconceptions if m.name == wrong)
    source = textwrap.dedent(inspect.getsource(function)).strip()
    return source.replace(f"def {function.__name__}(", f"def {exercise.name}(", 1) + f"\n\n\n{check_of(called)}"


RIGHT, WRONG = cell("03", "clip_to_norm"), cell("03", "clip_to_norm", "always_normalizes")


def notebook(*cells, ran=True, number=None):
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "execution_count": n if ran else None,
                    "id": f"c{n}",
                    "metadata": {},
                    "outputs": [],
                    "source": source.splitlines(keepends=True),
                }
                for n, source in enumerate(cells, start=1)
            ],
            "metadata": {"gclip": {"number": number}} if number else {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


def with_code(*cells, last=RIGHT):
    """A notebook of lesson 03 that does something, and then what is right."""
    return notebook(imports(), *cells, last)


def bare(code):
    """The same without the course, which takes a second to import: a function is tried where nobody checks it, too."""
    return notebook("import numpy as np", code, RIGHT.partition("check(")[0], number="03")


DELETES = """
import os, shutil
for place in {places!r}:
    for path in [os.path.join(place, name) for name in (os.listdir(place) if os.path.isdir(place) else [])]:
        shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else None
        try:
            os.remove(path)
        except OSError:
            pass
"""
PATCHES = """
import gclip_lessons.diagnosis as diagnosis, gclip_lessons.panels as panels, gclip_lessons.trials as trials
right = lambda *args: diagnosis.Report(True, "right", "Right: as it should be.")
diagnosis.judge = diagnosis.diagnose = panels.diagnose = right
trials.call = trials.attempt = right
np.allclose = lambda *args, **options: True
"""
MODULES = """
import sys, types
for name in [name for name in sys.modules if name.startswith("gclip_lessons")]:
    sys.modules[name] = types.SimpleNamespace(diagnose=lambda *args: True)
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
LEAVES = """
import subprocess, time
subprocess.Popen(["sh", "-c", "setsid sleep 54321 & setsid sleep 54321 &"])
time.sleep(0.5)
"""
EATS = """
import mmap
held = mmap.mmap(-1, 4 * 10**9)
for place in range(0, len(held), 4096):
    held[place] = 1
"""

HOSTILE = {
    "damaged": '{"cells": [',
    "no_notebook": "[1, 2, 3]",
    "stranger": notebook("print('of another course')"),
    "never_run": notebook(imports(), RIGHT, ran=False),
    "loops": bare("while True: pass"),
    "function_loops": notebook(
        imports(), "def clip_to_norm(grad, max_norm):\n    while True: pass", cell("03", "total_norm")
    ),
    "eats": bare(EATS),
    "prints": bare("while True: print('x' * 10_000, flush=True)"),
    "deletes": bare(DELETES),
    "new_checker": with_code("check = lambda *args: print('03.1 ✓ Right')", last=WRONG),
    "patches": with_code(PATCHES, last=WRONG),
    "modules": with_code(MODULES, last=WRONG),
    "borrows": with_code("clip_to_norm = lesson.EXERCISES['clip_to_norm'].solution", last=check_of("clip_to_norm")),
    "exits": notebook(imports(), cell("03", "total_norm"), "import os\nos._exit(0)", RIGHT),
    "function_exits": with_code("import os\ndef clip_to_norm(*args): os._exit(0)\nprint('03.1 ✓ Right')", last="1"),
    "leaves": bare(LEAVES),
    "bomb": bare(BOMB),
    "kills": bare("import os\nos.kill(-1, 9)"),
}
ONLY_FENCED = ("bomb", "kills")  # never without a fence, not even in a test
PROGRESS = {
    "exercises": ["03.1", "03.2", "03.3"],  # that is what they say
    "predictions": {"03.a": {"guess": "global", "right": True}, "03.b": {"guess": 1.73, "right": False}},
    "quizzes": {"03": {"score": 3, "of": 4}},
}


def fill(folder, fenced):
    """A class: Ann with two lessons, Bob with a notebook as it was delivered, and all the others."""
    ann = folder / "ann"
    ann.mkdir(parents=True)
    broken = "def turn_per_tensor(norm1, norm2:\n    pass"
    cells = (imports(), RIGHT, cell("03", "total_norm", "adds_the_norms"), broken)
    (ann / "03_clipping_by_norm.ipynb").write_text(notebook(*cells))
    (ann / "02.ipynb").write_text(notebook(imports("02"), cell("02", "clip_to_box", "halves_the_box"), number="02"))
    (ann / ".gclip-progress.json").write_text(json.dumps(PROGRESS))
    delivered = ROOT / "notebooks" / "03_clipping_by_norm.ipynb"
    (folder / f"bob_{delivered.name}").write_bytes(delivered.read_bytes())
    places = repr([str(folder / "graded" / ".results"), str(ann), str(folder)])
    for name, text in HOSTILE.items():
        if fenced or name not in ONLY_FENCED:
            (folder / f"{name}.ipynb").write_text(text.replace("{places!r}", places))


# --- the class, graded ---


def way_for(folder):
    """How learners' code can be kept here; for root without a fence this takes --unfenced."""
    try:
        return grade.surroundings(folder, folder / "graded", False)[0]
    except grade.course.Problem:
        return "none"


def command(folder, *options):
    return [sys.executable, str(ROOT / "tools" / "grade.py"), str(folder), *LIMITS, *options]


def called(folder, *options):
    return subprocess.run(command(folder, *options), capture_output=True, text=True, encoding="utf-8")


def contents(folder):
    """What lies in a folder, by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder):
    with (folder / "graded" / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["notebook"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class: stopped after the third result, and graded to the end by a second call."""
    folder = tmp_path_factory.mktemp("grade") / "class of ’25"
    folder.mkdir()
    way = way_for(folder)
    options = ["--unfenced"] if way == "none" else []
    fill(folder, fenced=way != "none")
    before = contents(folder)
    said = []
    with subprocess.Popen(command(folder, *options), stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for line in process.stdout:
            said.append(line)
            if "] 3/" in line:
                process.send_signal(signal.SIGINT)
        code = process.wait(60)
    kept = contents(folder / "graded" / ".results")
    second = called(folder, *options)
    assert second.returncode == 0, second.stdout + second.stderr
    return SimpleNamespace(
        folder=folder,
        options=options,
        before=before,
        interrupted=SimpleNamespace(code=code, said="".join(said), kept=kept),
        said=second.stdout,
        rows=rows_of(folder),
    )


def test_an_interrupted_call_keeps_what_is_done_and_the_next_one_goes_on(graded):
    first = graded.interrupted
    assert first.code == 130
    assert "Stopped. What is done is kept" in first.said
    assert 3 <= len(first.kept) < len(graded.rows)
    assert f"{len(graded.rows)} notebooks, {len(graded.rows) - len(first.kept)} of them to run." in graded.said
    after = contents(graded.folder / "graded" / ".results")
    assert {name: after[name] for name in first.kept} == first.kept
    assert len(after) == len(graded.rows)


def test_a_third_call_runs_nothing_and_writes_the_same(graded):
    before = contents(graded.folder / "graded")
    third = called(graded.folder, *graded.options)
    assert third.returncode == 0
    assert "to run" not in third.stdout
    assert contents(graded.folder / "graded") == before


def test_every_notebook_has_a_row_and_none_was_changed(graded):
    notebooks = {name.removesuffix(".ipynb") for name in graded.before if name.endswith(".ipynb")}
    assert set(graded.rows) == notebooks
    assert {name: contents(graded.folder)[name] for name in graded.before} == graded.before


def test_the_progress_bar_counts_to_the_end(graded):
    bars = [line for line in graded.said.splitlines() if line.startswith("[")]
    assert bars[-1].startswith(f"[{'#' * 30}] {len(bars)}/{len(bars)} ")


def test_an_honest_notebook_gets_what_it_deserves(graded):
    row = graded.rows["ann/03_clipping_by_norm"]
    assert (row["learner"], row["lesson"], row["status"]) == ("ann", "03", "complete")
    assert (row["right"], row["exercises_right"], row["exercises"]) == ("03.1", "1", "3")
    assert row["misconceptions"] == "03.2=adds_the_norms"
    assert row["not_answered"] == "03.3"
    assert re.fullmatch(r"Cell \[4\] stopped with SyntaxError: .*", row["what_happened"])
    assert graded.rows["ann/02"]["misconceptions"] == "02.1=halves_the_box"


def test_right_and_wrong_of_a_prediction_are_found_out_anew(graded):
    row = graded.rows["ann/03_clipping_by_norm"]  # its progress file says the opposite of both
    assert (row["predictions_right"], row["predictions_made"], row["predictions"]) == ("1", "2", "2")
    assert row["wrong_predictions"] == "03.a=global"
    assert (row["quiz_right"], row["quiz"]) == ("3", "4")


def test_a_notebook_as_it_was_delivered_runs_and_answers_nothing(graded):
    row = graded.rows["bob_03_clipping_by_norm"]
    assert (row["learner"], row["status"], row["what_happened"]) == ("bob", "complete", "")
    assert (row["right"], row["misconceptions"], row["wrong_otherwise"]) == ("", "", "")
    assert row["not_answered"] == "03.1 03.2 03.3"
    assert (row["predictions_made"], row["quiz_right"], row["capstone"]) == ("0", "", "")


# For each hostile notebook: its status, what holds all the same, and what is told of it.
TOLD = {
    "damaged": ("unreadable", "", "It cannot be read as a notebook: Expecting value: line 1 column 12"),
    "no_notebook": ("unreadable", "", "It cannot be read as a notebook: it has no cells."),
    "stranger": ("unreadable", "", "It belongs to no lesson of this course."),
    "never_run": ("complete", "03.1", "It was handed in without having been run."),
    "loops": ("complete", "03.1", "Cell [2] ran longer than 6 s and was interrupted."),
    "function_loops": ("complete", "03.2", ""),
    "eats": ("stopped", "", "Cell [2] took more than 500 MB of memory: the run ended there."),
    "prints": ("stopped", "", "printed or showed without end: the run ended there."),
    "deletes": ("complete", "03.1", ""),
    "new_checker": ("complete", "", "Cell [2] gives `check` another meaning. No verdict depends on that."),
    "patches": ("complete", "", "Cell [2] changes the course itself. No verdict depends on that."),
    "modules": ("complete", "", "Cell [2] reaches into sys.modules. No verdict depends on that."),
    "borrows": ("complete", "", "It shows “✓” for 03.1, and that does not hold."),
    "exits": ("stopped", "03.2", "Cell [3] ended its own kernel: the run ended there."),
    "function_exits": ("stopped", "", "Cell [2] ended its own kernel: the run ended there."),
    "leaves": ("complete", "03.1", "Processes that it left running were ended: 2."),
    "bomb": ("stopped", "", "Cell [2] started more than 32 processes: the run ended there."),
    "kills": ("complete", "03.1", ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_notebook_costs_only_itself_and_the_report_says_what_happened(graded, name):
    if name in ONLY_FENCED and name not in graded.rows:
        assert graded.options == ["--unfenced"]
        return
    row, (status, right, told) = graded.rows[name], TOLD[name]
    assert row["status"] == status
    assert row["right"] == right
    assert told in row["what_happened"]


@pytest.mark.parametrize("name", ["new_checker", "patches", "modules"])
def test_a_redefined_checker_does_not_change_the_verdict(graded, name):
    row = graded.rows[name]
    assert (row["right"], row["misconceptions"]) == ("", "03.1=always_normalizes")
    if name != "modules":  # where the checker is gone, it shows nothing at all
        assert "It shows “✓” for 03.1, and that does not hold." in row["what_happened"]


def test_the_courses_own_solution_is_no_answer(graded):
    assert graded.rows["borrows"]["wrong_otherwise"] == "03.1=borrowed"
    assert graded.rows["borrows"]["look_at"] == "Cell [2] looks into the course's solutions"


def test_a_function_without_end_costs_one_exercise(graded):
    row = graded.rows["function_loops"]
    assert (row["right"], row["wrong_otherwise"]) == ("03.2", "03.1=slow")


def test_what_was_right_before_the_end_stays_right(graded):
    row = graded.rows["exits"]
    assert (row["right"], row["not_answered"]) == ("03.2", "03.1 03.3")


def test_no_process_is_left(graded):
    lines = (psutil_line(process) for process in psutil.process_iter())
    assert [line for line in lines if "54321" in line or str(graded.folder) in line] == []


def psutil_line(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


# --- the pages ---


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_each_learner_has_a_page(graded):
    pages = {path.stem for path in (graded.folder / "graded" / "feedback").iterdir()}
    assert pages == {row["learner"] for row in graded.rows.values()}


def test_a_page_says_what_holds_and_which_misconception_a_wrong_answer_shows(graded):
    text = Tags((graded.folder / "graded" / "feedback" / "ann.html").read_text(encoding="utf-8")).text
    adds = next(m for m in LESSONS["03"].exercises["total_norm"].misconceptions if m.name == "adds_the_norms")
    assert "✓ 03.1 Clip to a ball – holds" in text
    assert "✗ 03.2 Mend the norm over shards – does not hold yet" in text
    assert "This one is known: adds the norms." in text
    assert adds.message in text
    assert "should be 13; yours gave 17" in text
    assert "○ 03.3 How far does it turn? – not answered" in text
    assert "It stopped" not in text
    assert "Its cell stopped with SyntaxError" in text
    assert "You predicted: global norm clipping only ." in text
    assert "3 of 4" in text
    assert "02 · Clipping by value" in text


def test_a_page_of_a_hostile_notebook_says_what_happened(graded):
    text = Tags((graded.folder / "graded" / "feedback" / "exits.html").read_text(encoding="utf-8")).text
    assert "Cell [3] ended its own kernel: the run ended there." in text


def test_pages_need_no_other_file_and_can_be_read_by_all(graded):
    for path in (graded.folder / "graded" / "feedback").iterdir():
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|//|<script|<link|<img|@import|url\(", source), path.name
        tags = Tags(source).seen
        assert ("html", {"lang": "en"}) in tags
        assert [tag for tag, _ in tags].count("title") == [tag for tag, _ in tags].count("main") == 1
        levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 == levels.count(1)
        assert all(level <= above + 1 for above, level in pairwise(levels))
        assert all("scope" in attrs for tag, attrs in tags if tag == "th")


def test_what_learners_write_is_text_on_the_page():
    bad = "<script>alert(1)</script>\u202e\x00 `<b>` **<i>**"
    told = result.event("damaged", text=bad)
    exercise = {"key": "03.1", "title": bad, "kind": "raised", "headline": bad, "detail": bad, "example": bad}
    guess = {"key": "03.a", "question": bad, "outcome": "wrong", "guess": bad, "why": bad}
    found = {"lesson": bad, "status": "stopped", "events": [told], "exercises": [exercise], "predictions": [guess]}
    source = page.page(bad, [(bad, found, [bad])], {})
    kinds = {tag for tag, _ in Tags(source).seen}
    assert not kinds & {"script", "b", "i"}
    assert not re.search("[\u202e\x00]", source)


def test_learners_whose_names_make_one_file_name_get_two():
    taken = set()
    names = [page.file_name(name, taken) for name in ("a/b", "a b", "A_B", "..", "ñ")]
    assert names == ["a_b.html", "a_b-2.html", "A_B-3.html", "learner.html", "ñ.html"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_no_cell_of_the_table_is_a_formula(text):
    assert result.safe_cell(text).startswith("'")


# --- without a fence ---


def test_where_nothing_is_fenced_in_what_was_changed_is_noticed_and_restored(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    kept = folder / "graded" / ".results"
    spoils = DELETES.replace("{places!r}", repr([str(folder)])) + f"os.makedirs({str(kept)!r})\n"
    spoils += f"open({str(kept / 'forged.json')!r}, 'w').close()"
    (folder / "a.ipynb").write_text('{"cells": [')  # has a result before the second one runs
    (folder / "b.ipynb").write_text(bare(spoils))
    (folder / "c.ipynb").write_text(bare("1"))
    before = contents(folder)
    done = called(folder, "--unfenced")
    assert done.returncode == 0
    assert "NOT FENCED IN" in done.stdout
    assert {name: contents(folder)[name] for name in before} == before
    assert len(list(kept.iterdir())) == 3
    rows = rows_of(folder)
    assert [rows[name]["right"] for name in "abc"] == ["", "03.1", "03.1"]
    assert "It changed or deleted 6 files" in rows["b"]["what_happened"]
    assert rows["c"]["what_happened"] == ""


def test_a_changed_course_stops_everything(tmp_path, monkeypatch):
    guard = grade.Guard(tmp_path, tmp_path / "graded", grade.Kept(tmp_path / "graded" / ".results"))
    monkeypatch.setattr(grade, "course_version", lambda: "another")
    with pytest.raises(grade.course.Problem, match="A notebook changed the course itself"):
        guard.restored()


@pytest.mark.skipif(os.name == "nt", reason="there is no root on Windows")
def test_root_does_not_run_learners_code_without_a_fence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(fence, "strongest", lambda *folders: ("none", ["namespaces: not permitted"]))
    with pytest.raises(grade.course.Problem, match="You are root"):
        grade.surroundings(tmp_path, tmp_path / "graded", False)
    assert "(not namespaces: not permitted)" in capsys.readouterr().out
    assert grade.surroundings(tmp_path, tmp_path / "graded", True)[0] == "none"


LOOKS_AROUND = """
import json, os, socket, sys
def can(action, *args):
    try:
        action(*args)
    except OSError:
        return False
    return True
def write(folder):
    open(os.path.join(folder, "gclip-probe"), "w").close()
    os.remove(os.path.join(folder, "gclip-probe"))
def names(folder):
    return sorted(os.listdir(folder)) if can(os.listdir, folder) else []
told = {folder: [can(write, folder), names(folder)] for folder in sys.argv[1:]}
told["net"] = [name for _, name in socket.if_nameindex() if name != "lo"]
told["others"] = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
told["root"] = os.geteuid() == 0 and can(os.chroot, "/")
print(json.dumps(told))
"""


def test_the_fence_keeps_what_it_promises(tmp_path):
    folder, scratch = tmp_path / "class", tmp_path / "scratch"
    for made in (folder, scratch):
        made.mkdir()
    (folder / "ann.ipynb").touch()
    way, hidden, needed = grade.surroundings(folder, folder / "graded", way_for(folder) == "none")
    around = fence.Fence(way, str(scratch), hidden=hidden, needed=needed)
    looks = around.around([sys.executable, "-c", LOOKS_AROUND, str(folder), str(scratch), str(ROOT), "/var/tmp"])
    done = subprocess.run(looks, cwd=scratch, env=fence.environment(str(scratch)), capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert told[str(scratch)][0], "it works in its scratch folder"
    if way != "none":
        assert not told[str(folder)][0]
        assert not told[str(ROOT)][0]
        assert not told["root"]
    if way == "namespaces":
        assert told[str(folder)][1] == [], "other learners' notebooks cannot be seen"
        assert told["others"] == [], "nor can other processes"
        assert told["net"] == [], "nor a network"
        assert not told["/var/tmp"][0], "what everybody may write to is read-only as well"


@pytest.mark.skipif(os.name == "nt", reason="there are no namespaces on Windows")
def test_where_namespaces_can_be_made_they_are_the_fence(tmp_path):
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    apart = ["--mount", "--pid", "--net", "--ipc", "--fork", "--mount-proc"]
    try:
        possible = subprocess.run(["unshare", *rights, *apart, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    assert (way_for(tmp_path) == "namespaces") == possible


def test_the_best_way_that_holds_is_taken_and_the_others_say_why(tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "ways", lambda: ["one", "two", "none"])
    monkeypatch.setattr(fence.Fence, "around", lambda self, command: [sys.executable, "-c", f"exit({self.way!r})"])
    assert fence.strongest((), (), ()) == ("none", ["one: one", "two: two"])
    monkeypatch.setattr(
        fence.Fence, "around", lambda self, command: [sys.executable, "-c", f"exit({self.way!r} == 'one')"]
    )
    assert fence.strongest((), (), ()) == ("two", ["one: 1"])


# --- the capstone ---


TREATED = """
from gclip_lessons.clinic import Treatment
treatments = {"A": Treatment(standardize=True), "B": Treatment(), "C": Treatment("by norm", 1.0)}
"""
ANSWER = {"A": Treatment(standardize=True), "B": Treatment(), "C": Treatment("by norm", 1.0)}
CAPSTONE = LESSONS["12"].capstone


def test_the_capstone_is_scored_on_seeds_that_come_from_a_secret(tmp_path, monkeypatch, capsys):
    asked = []

    def scored(answer, seeds):
        asked.append(list(seeds))
        return CAPSTONE.score(answer, seeds)

    lessons = {**LESSONS, "12": replace(LESSONS["12"], capstone=replace(CAPSTONE, score=scored, n_seeds=20))}
    monkeypatch.setattr(grade, "all_lessons", lambda: lessons)
    (tmp_path / "a.ipynb").write_text(notebook(TREATED, number="12"))
    (tmp_path / "b.ipynb").write_text(notebook("1", number="12"))
    options = ["--unfenced"] if way_for(tmp_path) == "none" else []
    assert grade.main([str(tmp_path), "--secret", "rosebud", *options]) == 0
    seeds = list(grade.seeds_from("rosebud")[:20])
    expected = {name: treat(name, treatment, seeds).solved.mean() for name, treatment in ANSWER.items()}
    assert asked == [seeds]
    rows = rows_of(tmp_path)
    assert float(rows["a"]["capstone"]) == pytest.approx(np.mean(list(expected.values())), abs=1e-4)
    assert rows["b"]["capstone"] == ""
    text = Tags((tmp_path / "graded" / "feedback" / "a.html").read_text(encoding="utf-8")).text
    assert all(f"Patient {name}: {100 * share:.0f} of 100" in text for name, share in expected.items())
    text = Tags((tmp_path / "graded" / "feedback" / "b.html").read_text(encoding="utf-8")).text
    assert "○ Three patients – no answer There is no treatments in the notebook." in text


def capstone_of(value):
    """What the grader makes of a value that a notebook left."""
    told = {"kind": "attempt", "text": packed(attempt(lambda: value, [()]))}
    return result.capstone_result(CAPSTONE, {"attempts": {CAPSTONE.key: told}}, range(5))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "`treatments` must be a dictionary"),
        ({"A": Treatment()}, "with a treatment for A, B, C."),
        ({**ANSWER, "A": 3}, "a treatment must be a Treatment"),
        ({**ANSWER, "A": {"rule": "by magic"}}, "rule must be one of"),
        (dict.fromkeys("ABC", Treatment()), "Nobody is treated yet."),
    ],
)
def test_what_is_no_answer_has_no_score_and_a_reason(value, reason):
    scored = capstone_of(value)
    assert scored["score"] is None
    assert reason in scored["reason"]


def test_an_answer_may_be_written_as_plain_dictionaries():
    plain = {"A": {"standardize": True}, "B": {}, "C": {"rule": "by norm", "threshold": 1.0}}
    assert capstone_of(plain) == capstone_of(ANSWER)
    assert capstone_of(ANSWER)["score"] > 0.5


def test_a_secret_is_made_once_and_decides_the_seeds(tmp_path):
    secret = grade.secret_in(tmp_path)
    assert grade.secret_in(tmp_path) == secret
    assert grade.seeds_from(secret) != grade.seeds_from("another")
    assert len(set(grade.seeds_from(secret)[:100])) == 100


# --- what was handed in ---


@pytest.mark.parametrize(
    ("stem", "learner"),
    [
        ("ann", "ann"),
        ("ann_03_clipping_by_norm", "ann"),
        ("03_clipping_by_norm-ann", "ann"),
        ("03_clipping_by_norm", "03_clipping_by_norm"),
        ("ann_03", "ann_03"),
    ],
)
def test_a_learner_is_named_by_the_file_without_the_lesson(stem, learner):
    assert handed.learner_of(stem) == learner


def test_the_folder_of_a_learner_names_all_that_is_in_it(tmp_path):
    for name in (
        "ann/03.ipynb",
        "ann/my_notebooks/02.ipynb",
        "ann/.ipynb_checkpoints/3.ipynb",
        "ann/glossary.ipynb",
        "graded/x.ipynb",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(notebook(imports()))
    (tmp_path / "ann" / "my_notebooks" / ".gclip-progress.json").write_text("{}")
    found = handed.handed_in(tmp_path, tmp_path / "graded", LESSONS)
    assert [(one.learner, one.name, one.progress) for one in found] == [
        ("ann", "ann/03.ipynb", None),
        ("ann", "ann/my_notebooks/02.ipynb", b"{}"),
    ]


@pytest.mark.parametrize(
    ("said", "code", "name", "number"),
    [
        ("02", "from gclip_lessons.lessons import lesson03", "01.ipynb", "02"),
        ("77", "from gclip_lessons.lessons import lesson03", "01.ipynb", "03"),
        ("", "x = 1", "ann-01.ipynb", "01"),
        ("", "def clip_to_norm(g, c): pass", "2025.ipynb", "03"),
        ("", "x = 1", "2025.ipynb", ""),
    ],
)
def test_the_lesson_is_what_the_notebook_says_or_imports_or_is_called_or_defines(said, code, name, number):
    assert handed.lesson_of(said, [code], name, LESSONS) == number


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows, and there are no pipes in folders")
def test_links_pipes_and_folders_are_not_read(tmp_path):
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    found = handed.handed_in(tmp_path, tmp_path / "graded", LESSONS)
    assert [(one.learner, one.trouble) for one in found] == [
        ("folder", "Is a directory"),
        ("link", "it is a link"),
        ("pipe", "it is no file"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"{}",
        b'{"cells": {}}',
        b'{"cells": [1]}',
        b'{"cells": [{"cell_type": "code", "source": 1}]}',
        b'{"cells": [{"cell_type": "code", "source": [1]}]}',
        b"[" * 10**6,
    ],
)
def test_what_is_no_notebook_is_refused_in_words(tmp_path, content):
    (tmp_path / "a.ipynb").write_bytes(content)
    [found] = handed.handed_in(tmp_path, tmp_path / "graded", LESSONS)
    assert found.trouble
    told = result.result_of(found, {}, LESSONS, ())
    assert result.sentences(told, run.Limits())[0].startswith("It cannot be read as a notebook: ")


# --- what stands in the cells ---


def places_of(*sources):
    tasks = {"03.1": {"called": "clip_to_norm", "name": "clip_to_norm"}}
    return run.places(list(sources), [run.parsed(source) for source in sources], tasks)


@pytest.mark.parametrize(
    ("sources", "place"),
    [
        (["def clip_to_norm(g, c): pass", "x = 1"], (1, "clip_to_norm")),
        (["clip_to_norm = np.clip"], (1, "clip_to_norm")),
        (["def mine(g, c): pass", 'check(lesson.EXERCISES["clip_to_norm"], mine)'], (2, "mine")),
        (['panels.check(EXERCISES["clip_to_norm"], function=mine)', "clip_to_norm = 3"], (1, "mine")),
        (["%time\nclip_to_norm = 1"], (1, "clip_to_norm")),
        (["def clip_to_norm(:"], (1, "clip_to_norm")),
        (['check(lesson.EXERCISES["total_norm"], clip_to_norm)', "check(1)", "x = " + "-" * 50_000 + "1"], None),
    ],
)
def test_a_function_is_tried_where_it_is_handed_to_the_check(sources, place):
    assert places_of(*sources) == ({"03.1": place} if place else {})


@pytest.mark.parametrize(
    ("source", "remark"),
    [
        ("check = 1", "gives `check` another meaning"),
        ("def check(*args): pass", "gives `check` another meaning"),
        ("import gclip_lessons.panels as p\np.check = 1", "changes the course itself"),
        ("from gclip_lessons import panels\nsetattr(panels, 'check', 1)", "changes the course itself"),
        ("from gclip_lessons.lessons import lesson03 as l\nl.EXERCISES['a'] = 1", "changes the course itself"),
        ("import sys\ndel sys.modules['numpy']", "reaches into sys.modules"),
        ("import shutil\nshutil.rmtree('/')", "deletes files"),
        ("import os\nos._exit(0)", "ends its kernel"),
        ("from gclip_lessons.panels import check, solution\nsolution(lesson.EXERCISES['a'])", None),
        ("import numpy as np\nnp.x = 1\nx = [1]\nx.remove(1)", None),
    ],
)
def test_what_a_teacher_may_want_to_look_at(source, remark):
    assert run.remarks([run.parsed(source)]) == ([(1, remark)] if remark else [])


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_delivered_notebooks_give_nothing_to_remark_and_have_a_place_for_every_exercise(path):
    sources, ran, said = handed.code_of(path.read_bytes())
    trees = [run.parsed(source) for source in sources]
    number = handed.lesson_of(said, sources, path.name, LESSONS)
    tasks = {e.key: {"called": called, "name": e.name} for called, e in LESSONS[number].exercises.items()}
    assert ran
    assert run.remarks(trees) == []
    assert set(run.places(sources, trees, tasks)) == set(tasks)


def test_the_probes_of_every_exercise_can_be_sent_to_a_kernel():
    for lesson in LESSONS.values():
        for exercise in lesson.exercises.values():
            pickle.loads(pickle.dumps([probe.args for probe in exercise.probes]))


# --- the command ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "FOLDER must be a folder; got nowhere"),
        (["."], "has no notebooks"),
        ([".", "--seconds", "0"], "--seconds must be positive; got 0"),
    ],
)
def test_a_call_that_cannot_be_right_says_why(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        grade.main(arguments)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_that_could_not_be_run_is_tried_again_by_the_next_call(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.ipynb").write_text(notebook(imports(), RIGHT))
    monkeypatch.setattr(grade, "surroundings", lambda *folders: ("none", (), ()))
    monkeypatch.setattr(grade.Runs, "run", lambda self, one: {"failed": "the kernel did not start", "progress": None})
    assert grade.main([str(tmp_path)]) == 1
    assert rows_of(tmp_path)["a"]["what_happened"] == "It could not be run here: the kernel did not start"
    assert list((tmp_path / "graded" / ".results").iterdir()) == []


def test_a_result_is_that_of_a_notebook_and_of_what_its_learner_recorded(tmp_path):
    def of_ann():
        return handed.handed_in(tmp_path, tmp_path / "graded", LESSONS)[0].digest

    (tmp_path / "ann.ipynb").write_text(notebook(imports()))
    first = of_ann()
    (tmp_path / "ann.gclip-progress.json").write_text("{}")
    second = of_ann()
    (tmp_path / "ann.ipynb").write_text(notebook(imports(), "1"))
    assert len({first, second, of_ann()}) == 3
    assert handed.digest("a", "bc") != handed.digest("ab", "c")
    assert handed.digest(None) != handed.digest("")


def test_a_damaged_result_counts_as_not_there(tmp_path):
    for name, text in {
        "a": "",
        "b": "[]",
        "c": "{}",
        "d": '{"lesson": "03", "status": "complete", "events": []}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert set(grade.Kept(tmp_path).results) == {"d"}
