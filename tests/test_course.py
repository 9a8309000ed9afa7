"""course.py: the learner's work is safe, and every failure names its cause and its cure."""

import ast
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import course

ROOT = Path(__file__).resolve().parent.parent


def make_release(folder: Path, **lessons: str) -> Path:
    """A folder of notebooks, as a release brings it: the keyword _03_norm becomes 03_norm.ipynb."""
    folder.mkdir(exist_ok=True)
    for name, content in lessons.items():
        (folder / f"{name[1:]}.ipynb").write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The first release, in a folder whose name has a space and a letter beyond ASCII."""
    (tmp_path / "my läb").mkdir()
    return make_release(tmp_path / "my läb" / "notebooks", _00_start="zero", _03_norm="three")


@pytest.fixture
def copy(source: Path) -> Path:
    """The learner's copy of the first release."""
    folder = source.parent / "my_notebooks"
    assert course.deliver(source, folder) == []
    return folder


def content(copy: Path) -> dict[str, str]:
    """What the notebooks of a folder hold."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(copy.glob("*.ipynb"))}


# --- the learner's work is safe ---


def test_the_first_call_copies_every_lesson(copy: Path):
    assert content(copy) == {"00_start.ipynb": "zero", "03_norm.ipynb": "three"}


def test_a_release_adds_lessons_and_renews_the_untouched(source: Path, copy: Path):
    make_release(source, _03_norm="three, better", _04_cliffs="four")
    assert course.deliver(source, copy) == []
    assert content(copy) == {
        "00_start.ipynb": "zero",
        "03_norm.ipynb": "three, better",
        "04_cliffs.ipynb": "four",
    }


def test_a_touched_lesson_is_kept_and_the_learner_is_told(source: Path, copy: Path):
    (copy / "03_norm.ipynb").write_text("my answer")
    assert course.deliver(source, copy) == []  # nothing is newer yet
    make_release(source, _03_norm="three, better")
    (note,) = course.deliver(source, copy)
    assert "Lesson 03 is newer in this release; yours is kept." in note
    assert "python3 course.py lab --fresh 03" in note
    assert content(copy)["03_norm.ipynb"] == "my answer"
    assert course.deliver(source, copy) == [note]  # told until they have seen it


def test_a_fresh_copy_lies_beside_the_old_and_never_replaces_another(source: Path, copy: Path):
    (copy / "03_norm.ipynb").write_text("my answer")
    make_release(source, _03_norm="three, better")
    original = course.find_lesson("3", source)
    names = [course.put_fresh(original, copy).name for _ in range(3)]
    assert names == ["03_norm.fresh.ipynb", "03_norm.fresh-2.ipynb", "03_norm.fresh-3.ipynb"]
    assert content(copy)["03_norm.ipynb"] == "my answer"
    assert content(copy)["03_norm.fresh.ipynb"] == "three, better"
    assert course.deliver(source, copy) == []  # they have it now
    make_release(source, _03_norm="three, best")
    assert len(course.deliver(source, copy)) == 1


def test_a_deleted_lesson_is_delivered_again(source: Path, copy: Path):
    (copy / "00_start.ipynb").unlink()
    course.deliver(source, copy)
    assert content(copy)["00_start.ipynb"] == "zero"


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe\x00", b'{"03_norm.ipynb": 7}'])
def test_with_a_damaged_manifest_every_file_counts_as_touched(source: Path, copy: Path, damage: bytes):
    (copy / course.MANIFEST).write_bytes(damage)
    make_release(source, _03_norm="three, better")
    (note,) = course.deliver(source, copy)
    assert "Lesson 03" in note
    assert "yours is kept" in note
    assert content(copy) == {"00_start.ipynb": "zero", "03_norm.ipynb": "three"}
    assert isinstance(json.loads((copy / course.MANIFEST).read_text()), dict)  # whole again


def test_without_a_manifest_every_file_counts_as_touched(source: Path, copy: Path):
    (copy / course.MANIFEST).unlink()
    make_release(source, _03_norm="three, better")
    (note,) = course.deliver(source, copy)
    assert "differs from this release" in note  # which of the two is newer, nobody knows
    assert content(copy)["03_norm.ipynb"] == "three"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_that_leads_nowhere_is_not_replaced(source: Path, copy: Path):
    (copy / "03_norm.ipynb").unlink()
    (copy / "03_norm.ipynb").symlink_to(copy / "elsewhere")
    make_release(source, _03_norm="three, better")
    assert len(course.deliver(source, copy)) == 1
    assert (copy / "03_norm.ipynb").is_symlink()


def test_a_write_that_fails_leaves_the_old_file(copy: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        course.write(copy / "00_start.ipynb", b"new")
    assert sorted(path.name for path in copy.iterdir()) == [
        course.MANIFEST,
        "00_start.ipynb",
        "03_norm.ipynb",
    ]
    assert content(copy)["00_start.ipynb"] == "zero"


def test_a_file_is_replaced_whole(copy: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(part: Path, path: Path) -> None:
        assert part.read_bytes() == b"new"
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(course.os, "replace", fail)
    with pytest.raises(OSError, match="Permission"):
        course.write(copy / "00_start.ipynb", b"new")
    assert content(copy)["00_start.ipynb"] == "zero"


@pytest.mark.parametrize("wanted", ["3", "03", "03_norm", "03_n"])
def test_a_lesson_is_found_by_number_or_name(source: Path, wanted: str):
    assert course.find_lesson(wanted, source).name == "03_norm.ipynb"


@pytest.mark.parametrize("wanted", ["7", "norm", "../03", "x"])
def test_an_unknown_lesson_is_answered_with_those_there_are(source: Path, wanted: str):
    with pytest.raises(course.Problem, match=r"(?s)There is no lesson .*00_start, 03_norm"):
        course.find_lesson(wanted, source)


# --- an old Python ---


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 0), (3, 10, 13)])
def test_an_old_python_hears_what_it_lacks(version: tuple[int, int, int]):
    with pytest.raises(SystemExit) as stop:
        course.refuse_old_python(version)
    assert f"this is Python {version[0]}.{version[1]}, and the course needs 3.11 or newer" in str(stop.value)
    assert "Install a newer Python" in str(stop.value)


def test_a_new_python_is_welcome():
    assert course.refuse_old_python((3, 11, 0)) is None
    assert course.refuse_old_python((4, 0)) is None


def test_the_file_parses_on_an_old_python_and_asks_its_version_before_all_else():
    tree = ast.parse((ROOT / "course.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    names = [ast.unparse(node) for node in tree.body]
    check = names.index("refuse_old_python(sys.version_info)")
    early = [node for node in tree.body[:check] if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign)]
    assert [node.name for node in early] == ["refuse_old_python"]
    assert early[0].returns is None  # newer annotations would already fail here
    imported = {name.split()[1].split(".")[0] for name in names if name.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names


# --- setup: found, made, brought up to date, mended ---


class Machine:
    """Stands in for processes: `answers` maps a word of the command to what the process would say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands, self.answers = folder, [], {}

    def run(self, command: list[str], echo: str = "") -> tuple[int, str]:
        line = " ".join(command)
        self.commands.append(line)
        for word, answer in self.answers.items():
            if word in line:
                return answer.pop(0) if isinstance(answer, list) and answer else answer or (0, "")
        if "-m venv" in line:
            (self.folder / ".venv").mkdir()
        return 0, ""

    def count(self, word: str) -> int:
        return sum(word in line for line in self.commands)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A course in an empty folder, on a machine whose processes are played and that has no uv."""
    (tmp_path / "requirements.txt").write_text("numpy==2.4\n")
    machine = Machine(tmp_path)
    monkeypatch.setattr(course, "HERE", tmp_path)
    monkeypatch.setattr(course, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(course, "run", machine.run)
    monkeypatch.setattr(course, "uv", lambda: None)
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**12))
    return machine


def test_setup_installs_once_and_then_finds_all_ready(machine: Machine):
    course.ready()
    assert machine.count("pip install") == 1
    before = len(machine.commands)
    course.ready()
    assert len(machine.commands) == before + 1  # one look at what is there


def test_new_versions_are_installed_into_what_is_there(machine: Machine):
    course.ready()
    (machine.folder / "requirements.txt").write_text("numpy==2.5\n")
    course.ready()
    assert (machine.count("-m venv"), machine.count("pip install")) == (1, 2)


def test_uv_is_used_where_it_answers(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(course, "uv", lambda: "/bin/uv")
    course.ready()
    assert machine.count("/bin/uv venv --seed") == 1
    assert machine.count("/bin/uv pip install --link-mode=copy --python") == 1


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("import pip._internal", "No module named 'pip'"),
        ("import pip._internal", "python does not start: No such file or directory"),
        ("pip install", "AttributeError: module 'pip' has no attribute 'main'"),
        ("import numpy,", "ImportError: numpy.core failed to import"),
    ],
)
def test_a_half_made_environment_is_said_and_made_afresh(
    machine: Machine, capsys: pytest.CaptureFixture[str], word: str, what: str
):
    old = machine.folder / ".venv" / "lib"
    old.mkdir(parents=True)
    machine.answers[word] = [(1, f"Traceback\n{what}\n")]
    course.ready()
    assert f".venv is damaged ({what}). Making it afresh." in capsys.readouterr().out
    assert not old.exists()
    assert "--no-cache-dir" in [line for line in machine.commands if "pip install" in line][-1]
    assert course.is_stamped()


def test_a_stamped_environment_that_lost_a_package_is_mended(machine: Machine):
    course.ready()
    machine.answers["find_spec"] = [(1, "numpy not found")]
    course.ready()
    assert machine.count("pip install") == 2


def test_an_installation_that_was_cut_short_is_not_taken_for_whole(machine: Machine):
    course.ready()
    machine.answers["find_spec"] = [(1, "numpy not found")]
    machine.answers["pip install"] = (1, "Network is unreachable")
    with pytest.raises(course.Problem, match="could not be downloaded"):
        course.ready()
    assert not course.is_stamped()


def test_an_environment_that_stays_broken_is_not_made_a_third_time(machine: Machine):
    machine.answers["import numpy,"] = (1, "ImportError: no libstdc++")
    with pytest.raises(course.Problem, match=r"(?s)do not work: ImportError: no libstdc.*Try another Python"):
        course.ready()
    assert machine.count("-m venv") == 1
    assert not course.is_stamped()


@pytest.mark.parametrize(
    ("output", "cause", "cure"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full", "Free at least"),
        ("failed to write to file: (os error 28)", "disk is full", "Free at least"),
        (
            "WARNING: Retrying after NewConnectionError: Failed to establish a new connection: [Errno -3] "
            "Temporary failure in name resolution\nERROR: No matching distribution found for anyio==4.16.0",
            "could not be downloaded",
            "Connect this machine to the network",
        ),
        ("error: error sending request for url: dns error", "could not be downloaded", "HTTPS_PROXY"),
        ("ERROR: [Errno 13] Permission denied: '.venv/lib'", "cannot be written to", "you may write there"),
        ("ERROR: Failed building wheel for numpy", "no ready-made version", "python3.12 course.py lab"),
    ],
)
def test_a_failed_installation_names_cause_and_cure_and_keeps_what_is_there(
    machine: Machine, capsys: pytest.CaptureFixture[str], output: str, cause: str, cure: str
):
    (machine.folder / ".venv").mkdir()
    machine.answers["pip install"] = (1, output)
    assert course.main(["setup"]) == 1
    said = capsys.readouterr().err
    assert cause in said
    assert cure in said
    assert len(said.strip().splitlines()) == 2  # a cause and a cure, no traceback
    assert machine.count("-m venv") == 0  # a new one would not help
    assert (machine.folder / ".venv").is_dir()
    assert not course.is_stamped()


def test_debian_without_venv_is_told_the_package(machine: Machine, capsys: pytest.CaptureFixture[str]):
    machine.answers["-m venv"] = (1, "The virtual environment was not created: ensurepip is not available.")
    assert course.main(["setup"]) == 1
    assert "apt install python3-venv" in capsys.readouterr().err
    assert not (machine.folder / ".venv").exists()


def test_a_nearly_full_disk_is_refused_before_the_download(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: SimpleNamespace(free=12 * 10**6))
    assert course.main(["setup"]) == 1
    assert "12 MB are free" in capsys.readouterr().err
    assert machine.count("pip install") == 0


@pytest.mark.parametrize(
    ("number", "cause"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot be written"), (errno.EROFS, "cannot be written")],
)
def test_errors_of_the_system_name_cause_and_cure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, cause: str
):
    def fail(arguments: list[str]) -> int:
        raise OSError(number, os.strerror(number), "my_notebooks")

    monkeypatch.setitem(course.COMMANDS, "lab", fail)
    assert course.main(["lab"]) == 1
    assert cause in capsys.readouterr().err


def test_a_program_that_is_not_there_is_an_answer_not_a_crash():
    status, output = course.run(["/nowhere/python", "-c", ""])
    assert status == 127
    assert "/nowhere/python does not start" in output


def test_the_interpreters_of_both_worlds(monkeypatch: pytest.MonkeyPatch):
    venv = Path("a b")
    monkeypatch.setattr(course.os, "name", "posix")
    assert course.interpreter(venv) == venv / "bin" / "python"
    monkeypatch.setattr(course.os, "name", "nt")
    assert course.interpreter(venv) == venv / "Scripts" / "python.exe"


def test_other_environments_do_not_lead_ours_astray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", "/opt/other")
    monkeypatch.setenv("CONDA_PREFIX", "/opt/conda")
    env = course.environment(GCLIP_PROGRESS="off")
    assert "PYTHONPATH" not in env
    assert "CONDA_PREFIX" not in env
    assert env["GCLIP_PROGRESS"] == "off"


# --- lab ---


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The command that starts JupyterLab, on a machine where the class for the websocket may be missing."""

    def build(*, port: int | None = None, show: bool = True, importable: bool = True) -> list[str]:
        monkeypatch.setattr(course, "fault", lambda python, code: "" if importable else "ImportError")
        return course.lab_command(Path("py"), Path("/tmp/a b/03_é.ipynb"), port, show)

    return build


def test_lab_is_local_keeps_its_token_and_opens_the_lesson(command: Callable[..., list[str]]):
    line = command()
    assert "--ServerApp.ip=127.0.0.1" in line
    assert not any("token" in word or "password" in word for word in line)
    assert f"--ServerApp.root_dir={Path('/tmp/a b')}" in line
    assert "--LabApp.default_url=/lab/tree/03_%C3%A9.ipynb" in line
    assert "--no-browser" not in line
    assert not any("port" in word for word in line)


def test_lab_starts_without_the_websocket_class_where_it_cannot_be_imported(
    command: Callable[..., list[str]],
):
    name = "--ServerApp.kernel_websocket_connection_class=gclip_lessons.server.NoDelayConnection"
    assert name in command()
    assert name not in command(importable=False)


def test_lab_on_a_chosen_port_takes_no_other(command: Callable[..., list[str]]):
    assert {"--ServerApp.port=8931", "--ServerApp.port_retries=0", "--no-browser"} <= set(
        command(port=8931, show=False)
    )


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no root")
@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_let_in(command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, user: int, allowed: bool):
    monkeypatch.setattr(course.os, "geteuid", lambda: user)
    assert ("--allow-root" in command()) is allowed


def test_without_a_display_the_address_is_printed(monkeypatch: pytest.MonkeyPatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(course.sys, "platform", "linux")
    assert not course.has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert course.has_display()
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.setattr(course.sys, "platform", "darwin")
    assert course.has_display()


def test_a_taken_port_is_named_before_anything_starts(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert course.main(["lab", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"Port {port} is taken" in said
    assert "Choose another" in said


def test_a_port_is_a_number_in_range():
    with pytest.raises(course.Problem, match="from 1 to 65535; got 70000"):
        course.require_free(70000)


# --- commands ---


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert course.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("lab", "test", "setup", "build", "bench"))


def test_an_unknown_command_fails(capsys: pytest.CaptureFixture[str]):
    assert course.main(["lba"]) == 2
    assert "there is no command 'lba'" in capsys.readouterr().err


def test_every_tool_is_a_script():
    assert all((ROOT / "tools" / f"{name}.py").is_file() for name in course.TOOLS)


def test_one_failing_check_fails_the_tests_and_all_are_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(course, "ready", lambda: Path("py"))
    monkeypatch.setattr(course, "call", lambda command, env: int("--check" in command))
    assert course.main(["test"]) == 1
    said = capsys.readouterr().out
    assert "ruff format  FAILED (exit code 1)" in said
    assert [line.split()[-1] for line in said.splitlines() if "FAILED" not in line] == ["ok"] * 3


def test_tests_run_apart_from_the_callers_settings(tmp_path: Path):
    env = course.isolated(str(tmp_path))
    assert (env["PYTHONHASHSEED"], env["MPLBACKEND"], env["GCLIP_PROGRESS"]) == ("0", "Agg", "off")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        assert env[name].startswith(str(tmp_path))


def test_the_file_runs_by_itself(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "course.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0
    assert "python3 course.py COMMAND" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="execve is how every other system hands over")
def test_lab_starts_without_the_echo_of_sliders(monkeypatch: pytest.MonkeyPatch):
    def become(path: str, command: list[str], env: dict[str, str]) -> None:
        assert (path, env["JUPYTER_WIDGETS_ECHO"]) == ("/bin/jupyter", "0")
        raise SystemExit(0)  # like execve, it does not come back

    monkeypatch.setattr(os, "execve", become)
    with pytest.raises(SystemExit):
        course.hand_over(["/bin/jupyter", "lab"])


# --- tools ---


def test_a_tool_runs_in_the_callers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[Path] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "ready", lambda: Path("py"))
    monkeypatch.setattr(course, "call", lambda command, env, cwd: seen.append(cwd) or 0)
    assert course.main(["grade", "my class"]) == 0
    assert seen == [tmp_path]


TIDIES = """
import time
try:
    print("running", flush=True)
    time.sleep(60)
finally:
    time.sleep(0.5)
    print("tidied", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing on Windows")
def test_after_ctrl_c_a_command_may_tidy_up():
    code = f"import course, sys; course.call([sys.executable, '-c', {TIDIES!r}], None)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "running\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.read() == "tidied\n"
        assert process.wait() != 0
