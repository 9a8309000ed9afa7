#!/usr/bin/env python3
"""Sets the course up, opens it and tests it. Needs Python 3.11 or newer and nothing else.

    python3 course.py lab              open lesson 00 in JupyterLab
    python3 course.py lab 03           open lesson 03
    python3 course.py test             every test; with arguments, pytest with those alone
    python3 course.py                  all commands

The first call makes the folder .venv beside this file and installs the exact versions of requirements.txt
in it; later calls find it ready. Standard library only, and the whole file parses on Python 3.6, so that an
old Python hears what it lacks instead of a syntax error.
"""

import argparse
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

OLDEST_PYTHON = (3, 11)


def refuse_old_python(version):
    """Exit with cause and cure where `version` (a tuple) is older than the course needs."""
    if tuple(version[:2]) < OLDEST_PYTHON:
        sys.exit(
            "course.py: this is Python {}.{}, and the course needs {}.{} or newer.\n"
            "  Install a newer Python and call it by its name, for example: python3.12 course.py lab".format(
                *version[:2], *OLDEST_PYTHON
            )
        )


refuse_old_python(sys.version_info)

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
LESSONS = HERE / "notebooks"
COPY = HERE / "my_notebooks"
MANIFEST = ".delivered.json"
STAMP = "course-stamp"
SPACE_NEEDED = 1000 * 10**6  # bytes; .venv takes about 600 MB, the downloads the rest

# How stored notebooks are run and compared with what they say.
COMPARE = (
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=120",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    "notebooks",
)

# What must be found on every call, and what is truly imported after an installation: an installer trusts
# metadata. The font manager is there because its first import builds a cache that no learner should wait for.
PRESENT = ("numpy", "matplotlib", "ipywidgets", "anywidget", "jupyterlab", "pytest", "gclip_lessons")
IMPORTED = "numpy, matplotlib.font_manager, ipywidgets, anywidget, jupyterlab, nbclient, nbval, pytest"

# Commands that are a script in tools/, run by the Python of .venv: one line each.
TOOLS = {
    "build": "run the notebooks and store them in the normal form: build [NN ...] [--check]",
    "bench": "measure the budgets on this machine",
    "present": "show a lesson's explorers to a class, full screen: present NN [--slides]",
    "site": "write the course as pages that any browser opens: site [NN ...] [--to FOLDER]",
    "grade": "run learners' notebooks and write what holds: grade FOLDER",
}


class Problem(Exception):
    """Something a person can mend: one line for the cause, one for the cure."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(f"{cause}\n  {cure}")


FREE_SOME_SPACE = f"Free at least {SPACE_NEEDED // 10**6} MB, then call the same command again."
MAY_WRITE = "Close what still runs from it and check that you may write there, or move the course to your own folder."

# Words in the output of pip, uv and venv, and what they mean. The first match wins.
FAULTS = (
    (
        r"No space left|not enough space|disk is full|disk quota|os error (28|112)\b|Errno 28\b",
        "The disk is full: the packages did not fit.",
        FREE_SOME_SPACE,
    ),
    (
        r"ensurepip is not available|No module named '?(ensurepip|venv)\b|python3-venv|ensurepip.*non-zero",
        "This Python cannot make environments: its venv module is incomplete.",
        "On Debian or Ubuntu: apt install python3-venv. Elsewhere: install Python from its own installer.",
    ),
    (
        r"name resolution|Name or service not known|getaddrinfo|nodename nor servname|dns error|"
        r"Failed to establish a new connection|Network is unreachable|No route to host|"
        r"Connection ?(refused|reset)|error sending request|timed? ?out|ProxyError|Max retries exceeded|"
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|network connectivity is disabled",
        "The packages could not be downloaded: there is no way to the package index.",
        "Connect this machine to the network (behind a proxy, set HTTPS_PROXY), then call the command again.",
    ),
    (
        r"Permission denied|Read-only file system|Access is denied|not permitted|os error (13|30)\b",
        f"{HERE} cannot be written to.",
        MAY_WRITE,
    ),
    (
        r"No matching distribution|No solution found|Failed building|Failed to build|a different Python",
        "A package has no ready-made version for Python {}.{} on this machine.".format(*sys.version_info[:2]),
        "Use a Python that is a year or two old, for example: python3.12 course.py lab",
    ),
)


def known_fault(output: str) -> Problem | None:
    """The Problem that the output of an installer tells of, or None where it tells of none that is known."""
    for pattern, cause, cure in FAULTS:
        if re.search(pattern, output, re.IGNORECASE):
            return Problem(cause, cure)
    return None


def problem_of(error: OSError) -> Problem:
    """The Problem behind an operating system's error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("The disk is full.", FREE_SOME_SPACE)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Problem(f"{error.filename or HERE} cannot be written to.", MAY_WRITE)
    return Problem(f"{error}", "Mend that, then call the same command again.")


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


# --- .venv --------------------------------------------------------------------------------------------------


def interpreter(venv: Path) -> Path:
    """The Python of an environment, on every system."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def environment(**changes: str) -> dict[str, str]:
    """The environment for our own processes: the caller's, without what would lead their Python elsewhere."""
    elsewhere = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")
    return {**{key: value for key, value in os.environ.items() if key not in elsewhere}, **changes}


def run(command: list[str], echo: str = "") -> tuple[int, str]:
    """Run a command; return its exit code and all it printed. Lines that match `echo` are shown at once."""
    try:
        with subprocess.Popen(
            command,
            cwd=HERE,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if echo and re.match(echo, line):
                    say("  " + line.strip()[:100])
    except OSError as error:  # a Python that is no longer there, or no program at all
        return 127, f"{command[0]} does not start: {error.strerror or error}"
    return process.returncode, "".join(lines)


def last_line(output: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def fault(python: Path, code: str) -> str:
    """Why `python` cannot run `code`, in one line; empty where it can."""
    status, output = run([str(python), "-c", code])
    return last_line(output) if status else ""


def missing(python: Path) -> str:
    """What of PRESENT the environment cannot find; empty where all is there. Imports nothing: 50 ms."""
    return fault(
        python,
        "from importlib.util import find_spec\n"
        f"lost = [name for name in {PRESENT} if find_spec(name) is None]\n"
        "raise SystemExit(', '.join(lost) + ' not found' if lost else 0)",
    )


def fingerprint() -> str:
    """Changes when the versions to install change."""
    return hashlib.sha256((HERE / "requirements.txt").read_bytes()).hexdigest()


def is_stamped() -> bool:
    """Whether an installation of these very versions was finished and verified."""
    stamp = VENV / STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii", errors="replace") == fingerprint()


def uv() -> str | None:
    """The path of a uv that answers (a name on the PATH may be an empty shim), or None."""
    path = shutil.which("uv")
    return path if path and run([path, "--version"])[0] == 0 else None


def ready() -> Path:
    """The Python of .venv, with the packages in it: found, made, brought up to date or mended."""
    python = interpreter(VENV)
    if is_stamped() and not missing(python):
        return python
    if shutil.disk_usage(HERE).free < SPACE_NEEDED:
        free = shutil.disk_usage(HERE).free // 10**6
        raise Problem(f"The disk is nearly full: {free} MB are free.", FREE_SOME_SPACE)
    installer, flags = uv(), ()
    if os.path.lexists(VENV):
        trouble = fault(python, "import pip._internal") or install(python, installer)
        if not trouble:
            return python
        say(f".venv is damaged ({trouble}). Making it afresh.")
        remove(VENV)
        flags = ("--no-cache-dir",)  # the damage may lie in what was downloaded, and come back with it
    make(installer)
    trouble = install(python, installer, *flags)
    if trouble:
        raise Problem(
            f"The packages are installed but do not work: {trouble}",
            "Try another Python (3.11 or newer), for example: python3.12 course.py lab",
        )
    return python


def remove(path: Path) -> None:
    """Remove a folder, or whatever stands in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def make(installer: str | None) -> None:
    """Make an empty .venv."""
    here = [sys.executable, "-m", "venv", str(VENV)]
    status, output = run([installer, "venv", "--seed", "--python", sys.executable, str(VENV)] if installer else here)
    if status:
        shutil.rmtree(VENV, ignore_errors=True)
        raise known_fault(output) or Problem(f"No environment could be made: {last_line(output)}", MAY_WRITE)


def install(python: Path, installer: str | None, *flags: str) -> str:
    """Install the exact versions and verify them: what is wrong in one line, or empty. Raises Problem where
    a new .venv would not help.
    """
    stamp = VENV / STAMP
    stamp.unlink(missing_ok=True)
    wanted = [*flags, "-r", str(HERE / "requirements.txt")]
    say("Installing the packages into .venv: once, for a minute or so.")
    if installer:  # copies, not links: who edits a file in .venv must not edit the cache that others install from
        command = [installer, "pip", "install", "--link-mode=copy", "--python", str(python), *wanted]
    else:
        command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *wanted]
    status, output = run(command, echo=r"\s*Downloading .*MB|Installing collected|Resolved|Prepared|Installed")
    if status:
        problem = known_fault(output)
        if problem:
            raise problem
        return last_line(output)
    trouble = connect(python) or fault(python, f"import {IMPORTED}") or missing(python)
    if not trouble:
        stamp.write_text(fingerprint(), encoding="ascii")
    return trouble


def connect(python: Path) -> str:
    """Let .venv find the package in this folder, and JupyterLab start without its question about news.

    A relative path in a .pth file needs no build tool and no network, survives moving the folder, and stays
    ASCII where the folder's own name is not.
    """
    trouble = fault(
        python,
        "import os, sysconfig\n"
        "packages = sysconfig.get_path('purelib')\n"
        "with open(os.path.join(packages, 'gclip_lessons.pth'), 'w', encoding='ascii') as file:\n"
        f"    file.write(os.path.relpath({str(HERE)!a}, packages) + os.linesep)",
    )
    settings = VENV / "etc" / "jupyter" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    settings.write_text(json.dumps(quiet) + "\n", encoding="ascii")
    return trouble


# --- the learner's private copy -----------------------------------------------------------------------------


def digest(path: Path) -> str | None:
    """The sha256 of a file; None for what cannot be read as one."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_manifest(copy: Path) -> dict[str, str]:
    """What was delivered: name -> sha256. Empty where it is damaged, so that every file counts as touched."""
    try:
        delivered = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return delivered if isinstance(delivered, dict) else {}


def write_manifest(copy: Path, delivered: dict[str, str]) -> None:
    """Remember what was delivered."""
    write(copy / MANIFEST, (json.dumps(delivered, indent=1, sort_keys=True) + "\n").encode())


def deliver(source: Path, copy: Path) -> list[str]:
    """Bring the notebooks of a release into the learner's copy and return what the learner should know.

    New lessons are added, a copy that is as it was delivered is replaced, and one that was touched is kept.
    """
    copy.mkdir(exist_ok=True)
    delivered, notes = read_manifest(copy), []
    for original in sorted(source.glob("*.ipynb")):
        name, number = original.name, original.stem.partition("_")[0]
        content = original.read_bytes()
        released = hashlib.sha256(content).hexdigest()
        theirs = digest(copy / name)
        if theirs is not None and theirs == released:
            delivered[name] = released
        elif not os.path.lexists(copy / name) or (theirs is not None and theirs == delivered.get(name)):
            write(copy / name, content)
            delivered[name] = released
        elif delivered.get(name) != released:
            news = "is newer in this release" if name in delivered else "differs from this release"
            notes.append(
                f"Lesson {number} {news}; yours is kept. "
                f"`python3 course.py lab --fresh {number}` puts the new one beside it."
            )
    write_manifest(copy, delivered)
    return notes


def put_fresh(original: Path, copy: Path) -> Path:
    """Put a lesson as released beside the learner's own, under a name that is still free."""
    count, target = 1, copy / f"{original.stem}.fresh.ipynb"
    while os.path.lexists(target):
        count += 1
        target = copy / f"{original.stem}.fresh-{count}.ipynb"
    content = original.read_bytes()
    write(target, content)
    delivered = read_manifest(copy)
    delivered[original.name] = hashlib.sha256(content).hexdigest()  # they have this release: no need to tell again
    write_manifest(copy, delivered)
    return target


def find_lesson(wanted: str, source: Path) -> Path:
    """The notebook of a lesson given as "3", "03" or the beginning of its file name."""
    prefix = f"{int(wanted):02d}_" if wanted.isdecimal() else wanted
    lessons = sorted(source.glob("*.ipynb"))
    for path in lessons:
        if path.name.startswith(prefix):
            return path
    raise Problem(
        f"There is no lesson {wanted!r}.",
        "Lessons: " + (", ".join(path.stem for path in lessons) or "none yet"),
    )


# --- commands -----------------------------------------------------------------------------------------------


def setup(arguments: list[str]) -> int:
    """Make or mend .venv, and nothing else."""
    argparse.ArgumentParser("course.py setup", description=setup.__doc__).parse_args(arguments)
    say(f"Ready: {ready()}")
    return 0


def lab(arguments: list[str]) -> int:
    """Open a lesson in JupyterLab, in a private copy that no update overwrites."""
    parser = argparse.ArgumentParser("course.py lab", description=lab.__doc__)
    parser.add_argument("lesson", nargs="?", default=None, help="such as 03; lesson 00 unless given")
    parser.add_argument("--source", action="store_true", help="open the originals, for authors")
    parser.add_argument("--fresh", metavar="NN", help="put lesson NN as released beside yours, and open it")
    parser.add_argument("--port", type=int, help="on which to listen; the first free one from 8888 unless given")
    parser.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    options = parser.parse_args(arguments)
    if options.fresh and (options.source or options.lesson):
        parser.error("--fresh NN opens that lesson: leave out --source and any other lesson")
    if options.port is not None:
        require_free(options.port)
    original = find_lesson(options.fresh or options.lesson or "0", LESSONS)
    python = ready()
    if options.source:
        opened = original
    else:
        notes = deliver(LESSONS, COPY)
        if notes and not options.fresh:  # who asks for a fresh copy knows
            say("\n".join(notes))
        opened = put_fresh(original, COPY) if options.fresh else COPY / original.name
    show = not options.no_browser and has_display()
    if not show:
        say("Open the address that JupyterLab prints below, with its token, in a browser on this machine.")
    return hand_over(lab_command(python, opened, options.port, show))


# ipywidgets sends each move of a slider back to where it came from, before the picture; nobody else looks on.
LAB_SETTINGS = {"JUPYTER_WIDGETS_ECHO": "0"}


def lab_command(python: Path, opened: Path, port: int | None, show: bool) -> list[str]:
    """The JupyterLab that opens a notebook, on this machine's own address, its token left on."""
    command = [
        *(str(python), "-m", "jupyterlab"),
        f"--ServerApp.root_dir={opened.parent}",
        f"--LabApp.default_url=/lab/tree/{quote(opened.name)}",
        "--ServerApp.ip=127.0.0.1",
    ]
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if not show:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if not fault(python, "import gclip_lessons.server"):  # a class that cannot be imported would stop the server
        command.append("--ServerApp.kernel_websocket_connection_class=gclip_lessons.server.NoDelayConnection")
    return command


def has_display() -> bool:
    """Whether a browser can be opened here."""
    return not sys.platform.startswith("linux") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


def require_free(port: int) -> None:
    """Raise Problem where nothing can listen on `port`."""
    another = "Choose another, or leave out --port: a free one is then found."
    if not 1 <= port <= 65535:
        raise Problem(f"A port is a number from 1 to 65535; got {port}.", another)
    with socket.socket() as probe:
        if os.name != "nt":  # on Windows this option would let two servers share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Problem(f"Port {port} is taken ({error.strerror}).", another) from None


def hand_over(command: list[str]) -> int:
    """Become `command`, so that signals and Ctrl-C reach it alone; on Windows, wait for it."""
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, environment(**LAB_SETTINGS))
    with subprocess.Popen(command, env=environment(**LAB_SETTINGS)) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # JupyterLab got it too, and asks
                continue


def isolated(scratch: str) -> dict[str, str]:
    """The environment in which tests and builds give the same everywhere: none of the caller's settings."""
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return environment(
        PYTHONHASHSEED="0",
        MPLBACKEND="Agg",
        GCLIP_PROGRESS="off",
        **{name: os.path.join(scratch, name.lower()) for name in folders},
    )


def call(command: list[str], env: dict[str, str], cwd: Path = HERE) -> int:
    """Run a command in this terminal; its exit code. It gets Ctrl-C too, and may tidy up before it ends."""
    sys.stdout.flush()
    with subprocess.Popen(command, cwd=cwd, env=env) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait(20)
            raise


def test(arguments: list[str]) -> int:
    """Run every test: style, the suite, the notebooks. With arguments: pytest with them."""
    python = str(ready())
    pytest = [python, "-m", "pytest"]
    together = ["-n", "2", "--dist", "loadscope"]
    checks = {
        "ruff check": [python, "-m", "ruff", "check"],
        "ruff format": [python, "-m", "ruff", "format", "--check"],
        "tests": [*pytest, *together, "tests"],
        "notebooks": [*pytest, *together, *COMPARE],
    }
    if arguments:
        checks = {"pytest": [*pytest, *arguments]}
    with tempfile.TemporaryDirectory(prefix="gclip-") as scratch:
        codes = {name: call(command, isolated(scratch)) for name, command in checks.items()}
    for name, code in codes.items():
        say(f"{name:<12} {'ok' if code == 0 else f'FAILED (exit code {code})'}")
    return int(any(codes.values()))


def tool(name: str, arguments: list[str]) -> int:
    """Run tools/NAME.py with the Python of .venv, in the caller's folder: arguments may be paths."""
    python = str(ready())
    with tempfile.TemporaryDirectory(prefix="gclip-") as scratch:
        return call([python, str(HERE / "tools" / f"{name}.py"), *arguments], isolated(scratch), Path.cwd())


COMMANDS = {"lab": lab, "test": test, "setup": setup}


def usage() -> str:
    """The commands, one a line."""
    lines = {name: command.__doc__.splitlines()[0] for name, command in COMMANDS.items()}
    lines.update({name: help[0].upper() + help[1:] + "." for name, help in TOOLS.items()})
    width = max(map(len, lines))
    return "usage: python3 course.py COMMAND\n\n" + "\n".join(
        f"  {name:<{width}}  {line}" for name, line in lines.items()
    )


def main(arguments: list[str]) -> int:
    """Carry out one command; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a path may hold letters that this terminal does not
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help", "help"):
        say(usage())
        return 0
    if name not in COMMANDS and name not in TOOLS:
        print(f"course.py: there is no command {name!r}.\n{usage()}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name](rest) if name in COMMANDS else tool(name, rest)
    except Problem as problem:
        print(f"course.py: {problem}", file=sys.stderr)
    except OSError as error:
        print(f"course.py: {problem_of(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("course.py: stopped.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
