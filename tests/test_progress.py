"""The progress file: whatever is in it, reading works; whatever happens, the learner can go on."""

import json
import os
import threading

import pytest

from gclip_lessons import progress


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "ordner mit ö" / "progress.json"
    path.parent.mkdir()
    monkeypatch.setenv("GCLIP_PROGRESS", str(path))
    return path


def test_everything_is_kept_and_summed_up(file):
    assert progress.load() == progress.Progress()
    assert progress.record_exercise("03.1") == ""
    assert progress.record_exercise("03.2") == ""
    assert progress.record_prediction("03.a", "each", True) == ""
    assert progress.record_prediction("01.b", 1.5, False) == ""
    assert progress.record_quiz("03", 2, 4) == ""
    assert progress.summary() == {
        "01": {"exercises": 0, "predictions": 1, "quiz": 0},
        "03": {"exercises": 2, "predictions": 1, "quiz": 2},
    }
    assert not progress.load().damaged
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_the_first_guess_and_the_best_quiz_stay(file):
    progress.record_prediction("03.a", "each", True)
    progress.record_prediction("03.a", "both", False)
    assert progress.load().predictions["03.a"] == {"guess": "each", "right": True}
    for score in (2, 4, 3):
        progress.record_quiz("03", score, 4)
    assert progress.load().quizzes["03"] == {"score": 4, "of": 4}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"exercises": ["03.1"',
        b"\x00\xff\xfe\x80",
        b"[1, 2]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"another": "program"}',
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_kept_aside_once(file, content):
    file.write_bytes(content)
    assert progress.load().exercises == set()
    assert progress.load().damaged
    assert progress.record_exercise("03.1") == ""
    assert progress.load().exercises == {"03.1"}
    backup = file.with_name(file.name + ".bak")
    assert backup.read_bytes() == content
    file.write_bytes(b"damaged again")
    progress.record_exercise("03.2")
    assert backup.read_bytes() == content


def test_sound_parts_of_a_damaged_file_are_kept(file):
    stored = {
        "exercises": ["03.1", 7, None],
        "predictions": {
            "a": {"guess": "each", "right": True},
            "b": {"guess": [1], "right": True},
            "c": 3,
            "d": {"guess": 10**400, "right": False},
        },
        "quizzes": {"03": {"score": 5, "of": 4}, "02": {"score": 1, "of": 4}, "01": {"score": True, "of": 4}},
    }
    file.write_text(json.dumps(stored), encoding="utf-8")
    found = progress.load()
    assert found.damaged
    assert found.exercises == {"03.1"}
    assert list(found.predictions) == ["a"]
    assert list(found.quizzes) == ["02"]


def test_a_part_of_the_wrong_type_leaves_the_others(file):
    file.write_text('{"exercises": {"03.1": true}, "predictions": [], "quizzes": {"02": {"score": 1, "of": 4}}}')
    assert progress.load().quizzes == {"02": {"score": 1, "of": 4}}
    assert progress.load().exercises == set()


def test_odd_keys_survive_a_rewrite(file):
    file.write_bytes(b'{"exercises": ["\\ud800", "03.1"], "predictions": {}, "quizzes": {}}')
    assert progress.record_exercise("03.2") == ""
    assert "03.1" in progress.load().exercises


def test_a_folder_that_cannot_be_written_gives_a_note(file, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(progress.tempfile, "mkstemp", refuse)
    note = progress.record_exercise("03.1")
    assert "could not be kept" in note
    assert "Permission denied" in note


def test_a_missing_folder_gives_a_note(file):
    file.parent.rmdir()
    assert "could not be kept" in progress.record_exercise("03.1")


def test_a_folder_in_the_place_of_the_file_gives_a_note(file):
    file.mkdir()
    assert progress.load().unreadable
    assert "could not be kept" in progress.record_exercise("03.1")


def test_a_failed_replacement_leaves_the_old_file_and_no_rubbish(file, monkeypatch):
    progress.record_exercise("03.1")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress.os, "replace", fail)
    assert "No space left" in progress.record_exercise("03.2")
    assert progress.load().exercises == {"03.1"}
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_two_notebooks_add_to_each_other(file):
    """What another process wrote since we last looked is still there after our own record."""
    progress.record_exercise("03.1")
    other = json.loads(file.read_text())
    other["exercises"].append("02.1")
    file.write_text(json.dumps(other))
    progress.record_exercise("03.2")
    assert progress.load().exercises == {"02.1", "03.1", "03.2"}


def test_threads_lose_nothing(file):
    threads = [threading.Thread(target=progress.record_exercise, args=(f"03.{i}",)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(progress.load().exercises) == 20


def test_off_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GCLIP_PROGRESS", "off")
    monkeypatch.chdir(tmp_path)
    assert progress.record_exercise("03.1") == ""
    assert progress.load() == progress.Progress()
    assert os.listdir(tmp_path) == []


def test_the_default_is_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.delenv("GCLIP_PROGRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    progress.record_exercise("03.1")
    assert os.listdir(tmp_path) == [".gclip-progress.json"]
