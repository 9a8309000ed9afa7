"""Runs one learner's notebook for `grade.py`, and says what happened; judges nothing.

It reads one line of JSON from its standard input and writes one to its standard output. The notebook runs in a kernel
of its own behind a fence, cell by cell. After the cell that hands an exercise to `check`, the function is tried
in that kernel on the arguments that came with the order, and what it did travels back as text (`trials.py`).
When the standard input is closed, the one who ordered is gone: the kernel is ended, and this process too.
"""

import ast
import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from tools.grading import fence  # noqa: E402

TRIALS = (ROOT / "gclip_lessons" / "trials.py").read_text(encoding="utf-8")
OWN_MEMORY = 2**30  # bytes for this process: who floods it ends it, and nothing else
START = 60  # seconds in which a kernel must be there
GRACE = 3  # seconds from an interrupt to its effect
ALL_SHOWN = 2  # seconds from the answer of a cell to the last that it showed
MANY_FILES = 20_000
LONG_ANSWER = 2**24  # letters of an attempt that is read


@dataclass(frozen=True)
class Limits:
    """What one notebook may use. Sizes are in bytes, times in seconds."""

    seconds: float = 120
    cell_seconds: float = 30
    memory: int = 2**30
    output: int = 20 * 10**6
    disk: int = 2**28
    processes: int = 32


class NotStarted(Exception):
    """There is no kernel; no learner's code has run."""


class Stopped(Exception):
    """The kernel is gone; the argument is why: time, stuck, memory, output, disk, processes or died."""


@dataclass
class Reply:
    """What came of one cell."""

    error: str = ""
    interrupted: bool = False
    text: str = ""
    expressions: dict[str, Any] = field(default_factory=dict)


class Kernel:
    """A fenced kernel and the watch over it. Raises NotStarted where there is none."""

    def __init__(self, around: fence.Fence, limits: Limits) -> None:
        self.limits, self.scratch = limits, around.scratch
        self.reason, self.written = "", 0
        file = os.path.join(around.scratch, "kernel.json")
        # Named sockets, where there are any: they lead through the fence, and no other process can reach them.
        place = {} if os.name == "nt" else {"transport": "ipc", "ip": os.path.join(around.scratch, "s")}
        write_connection_file(file, key=os.urandom(16).hex().encode(), **place)
        os.chmod(file, 0o644)  # in a folder that nobody else may enter
        self.process = subprocess.Popen(
            around.around([sys.executable, "-m", "ipykernel_launcher", "-f", file]),
            cwd=around.scratch,
            env=fence.environment(around.scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.client = BlockingKernelClient()
        self.client.load_connection_file(file)
        self.client.start_channels(stdin=False, hb=False)
        self._wait()
        self.last = time.monotonic() + limits.seconds
        threading.Thread(target=self._watch, daemon=True).start()

    def _wait(self) -> None:
        """Wait until the kernel answers, on both channels."""
        last = time.monotonic() + START
        while time.monotonic() < last and self.process.poll() is None:
            self.client.kernel_info()
            with contextlib.suppress(queue.Empty):
                self.client.get_shell_msg(timeout=1)
                self.client.get_iopub_msg(timeout=1)
                return
        self.end()
        raise NotStarted(f"the kernel did not start (exit code {self.process.returncode})")

    def _watch(self) -> None:
        """End the kernel where it takes more than it may."""
        try:
            self._watch_on()
        except BaseException:  # an unwatched kernel must not go on, and ends with this process
            os._exit(1)

    def _watch_on(self) -> None:
        for count in range(10**9):
            held = fence.family()
            if len(held) > self.limits.processes:
                self._stop("processes")
            elif fence.memory(held, self.limits.memory) > self.limits.memory:
                self._stop("memory")
            elif time.monotonic() > self.last:
                self._stop("time")
            elif count % 10 == 9 and used(self.scratch) > self.limits.disk:
                self._stop("disk")
            if self.reason:
                return
            time.sleep(0.1)

    def _stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.end()

    def end(self) -> None:
        """End the kernel and all that it left behind."""
        fence.end_family()
        self.process.poll()

    def execute(self, code: str, expressions: dict[str, str] | None = None) -> Reply:
        """Run a cell to its end or its time limit. Raises Stopped where the kernel does not survive it.

        It has ended when its answer is there and all that it showed has come; of a flood, some is lost on the way.
        """
        sent = self.client.execute(
            code, silent=bool(expressions), user_expressions=expressions or {}, allow_stdin=False, stop_on_error=False
        )
        reply, answer, lost = Reply(), None, 0.0
        over = time.monotonic() + self.limits.cell_seconds
        for message in self._messages():
            if message is None:
                now = time.monotonic()
                if answer is None and (answer := self._answer(sent, 0)) is not None:
                    lost = now + ALL_SHOWN
                if answer is not None and now > lost:
                    break
                if now > over + GRACE:
                    self._stop("stuck")
                elif now > over and not reply.interrupted:
                    reply.interrupted = True
                    self.client.control_channel.send(self.client.session.msg("interrupt_request"))
            elif message["msg_type"] == "stream":
                reply.text += message["content"]["text"]
            elif message["msg_type"] in ("execute_result", "display_data"):
                reply.text += str(message["content"]["data"].get("text/plain", ""))
            elif (message["content"].get("execution_state"), message["parent_header"].get("msg_id")) == ("idle", sent):
                answer = answer or self._answer(sent, ALL_SHOWN)
                break
        if answer and answer.get("status") == "error":
            reply.error = f"{answer.get('ename')}: {answer.get('evalue')}"[:300].removesuffix(": ")
        reply.expressions = (answer or {}).get("user_expressions") or {}
        return reply

    def _messages(self) -> Iterator[dict[str, Any] | None]:
        """What the kernel shows, and None at least ten times a second."""
        ticked = 0.0
        while True:
            if self.reason:
                raise Stopped(self.reason)
            message = None
            with contextlib.suppress(queue.Empty):
                message = self.client.get_iopub_msg(timeout=0.1)
            if message is not None:
                self.written += 500 + weight(message)
                if self.written > self.limits.output:
                    self._stop("output")
                    continue
                yield message
            elif self.process.poll() is not None:
                self._stop("died")
                continue
            if message is None or time.monotonic() > ticked + 0.1:
                ticked = time.monotonic()
                yield None

    def _answer(self, sent: str, seconds: float) -> dict[str, Any] | None:
        """The kernel's answer to a request, where it comes within so many seconds."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self.client.get_shell_msg(timeout=seconds)
                if message["parent_header"].get("msg_id") == sent:
                    return message["content"]
        return None


def weight(message: dict[str, Any]) -> int:
    """About how many bytes a message shows."""
    pending, total = [message["content"]], sum(map(len, message.get("buffers") or []))
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value
            total += 10 * len(value)
        elif isinstance(value, str):
            total += len(value)
    return total


def used(folder: str) -> int:
    """The bytes that a folder takes on the disk; more than any limit where it holds very many files."""
    total = count = 0
    for place, folders, files in os.walk(folder):
        count += len(folders) + len(files)
        if count > MANY_FILES:
            return sys.maxsize
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


# --- what stands in the cells ---


def parsed(source: str) -> ast.Module | None:
    """The syntax tree of a cell, as IPython runs it; None where it has none."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        pass
    except (RecursionError, MemoryError):
        return None
    from IPython.core.inputtransformer2 import TransformerManager  # knows %magic and !command

    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def places(
    sources: list[str], trees: list[ast.Module | None], tasks: dict[str, dict[str, str]]
) -> dict[str, tuple[int, str]]:
    """Where each task is to be tried: the number of the cell (from 1) and the expression for the function.

    That is the last cell that hands the exercise to `check`; failing that, the last that defines its function.
    """
    found: dict[str, tuple[int, str]] = {}
    for key, task in tasks.items():
        defined = checked = None
        for number, tree in enumerate(trees, start=1):
            for node in ast.walk(tree) if tree else ():
                if expression := checks(node, task["called"]):
                    checked = number, expression
                if isinstance(node, ast.FunctionDef) and node.name == task["name"]:
                    defined = number, task["name"]
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == task["name"]:
                    defined = number, task["name"]
            if tree is None and f"def {task['name']}(" in sources[number - 1]:  # it does not even parse
                checked = number, task["name"]
        if checked or defined:
            found[key] = checked or defined
    return found


def checks(node: ast.AST, exercise: str) -> str:
    """What `check(….EXERCISES["…"], function)` hands over for this exercise; empty for every other expression."""
    if not isinstance(node, ast.Call) or name_of(node.func) != "check" or not node.args:
        return ""
    subject = node.args[0]
    named = isinstance(subject, ast.Subscript) and isinstance(subject.slice, ast.Constant)
    given = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "function")]
    if not (named and subject.slice.value == exercise and given):
        return ""
    try:
        return ast.unparse(given[0])
    except RecursionError:
        return ""


def name_of(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def root_of(node: ast.AST) -> str:
    """The first part of a dotted name with indices."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


CALLS = {
    "rmtree": "deletes files",
    "unlink": "deletes files",
    "os.remove": "deletes files",
    "os.system": "starts other programs",
    "Popen": "starts other programs",
    "subprocess.run": "starts other programs",
    "os.fork": "starts other programs",
    "os._exit": "ends its kernel",
    "os.kill": "sends signals",
}
ANSWERS = ("solution", "solution_source", "misconceptions", "probes")


def remarks(trees: list[ast.Module | None]) -> list[tuple[int, str]]:
    """What a teacher may want to look at, by number of cell. Signs, not proofs: code can hide what it does."""
    found = [(number, node) for number, tree in enumerate(trees, start=1) for node in (ast.walk(tree) if tree else ())]
    course = {name for _, node in found for name in imported(node, "gclip_lessons")}
    return list(dict.fromkeys((number, what) for number, node in found for what in remark(node, course)))


def imported(node: ast.AST, package: str) -> list[str]:
    """The names that an import binds to a package or to what is in it."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        return [alias.asname or package for alias in node.names if alias.name.startswith(package)]
    return []


def remark(node: ast.AST, course: set[str]) -> Iterator[str]:
    """What one node of a syntax tree gives to remark."""
    stored = isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
    if (isinstance(node, ast.Name) and stored and node.id == "check") or (
        isinstance(node, ast.FunctionDef) and node.name == "check"
    ):
        yield "gives `check` another meaning"
    if isinstance(node, ast.Attribute | ast.Subscript) and stored and root_of(node) in course:
        yield "changes the course itself"
    if isinstance(node, ast.Attribute) and (root_of(node), node.attr) == ("sys", "modules"):
        yield "reaches into sys.modules"
    if isinstance(node, ast.Attribute) and node.attr in ANSWERS and root_of(node) != "panels":
        yield "looks into the course's solutions"
    if isinstance(node, ast.Call):
        name = name_of(node.func)
        if name in ("setattr", "__setattr__", "delattr") and node.args and root_of(node.args[0]) in course:
            yield "changes the course itself"
        for known in (name, f"{root_of(node.func)}.{name}"):
            if known in CALLS:
                yield CALLS[known]


# --- the whole run ---


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Run the cells and try the functions. The result holds events, attempts, claims, remarks and progress."""
    around, limits = fence.Fence(**order["fence"]), Limits(**order["limits"])
    cells, tasks = order["cells"], order["tasks"]
    trees = [parsed(source) for source in cells]
    where = places(cells, trees, tasks)
    told: dict[str, Any] = {"events": [], "attempts": {}, "claims": {}, "remarks": remarks(trees)}
    told["places"] = {key: number for key, (number, _) in where.items()}
    kernel = Kernel(around, limits)
    number = 0
    try:
        for number, source in enumerate(cells, start=1):
            if not source.strip():
                continue
            reply = kernel.execute(source)
            if reply.interrupted:
                told["events"].append({"kind": "slow", "cell": number})
            elif reply.error:
                told["events"].append({"kind": "error", "cell": number, "text": reply.error})
            for key in [key for key, (cell, _) in where.items() if cell == number]:
                told["claims"][key] = "✓" in reply.text
                told["attempts"][key] = tried(kernel, where[key][1], tasks[key])
        left = len(fence.family()) - (2 if around.way == "namespaces" else 1)
        if left > 0:
            told["events"].append({"kind": "left", "cell": 0, "text": str(left)})
    except Stopped as stopped:
        told["events"].append({"kind": str(stopped), "cell": number})
    finally:
        kernel.end()
    return told


def tried(kernel: Kernel, expression: str, task: dict[str, str]) -> dict[str, str]:
    """An attempt as text, or why there is none: "slow", or the error. A task without a check is a value."""
    arguments = f"__import__('pickle').loads(__import__('base64').b64decode({task['probes']!r}))"
    if not task["called"]:
        expression = f"(lambda value: lambda: value)({expression})"
    made = f"space['packed'](space['attempt']({expression}, {arguments}))"
    code = f"(lambda space: (exec({TRIALS!r}, space), {made})[1])({{'__name__': 'gclip_attempt'}})"
    reply = kernel.execute("", {"attempt": code})
    if reply.interrupted:
        return {"kind": "slow"}
    answer = reply.expressions.get("attempt") or {}
    if answer.get("status") == "error":
        kind = "missing" if answer["ename"] == "NameError" else "lost"
        return {"kind": kind, "text": f"{answer['ename']}: {answer['evalue']}"[:300]}
    text = str(answer.get("data", {}).get("text/plain"))
    if len(text) > LONG_ANSWER:
        return {"kind": "lost", "text": "the answer is too long"}
    try:
        return {"kind": "attempt", "text": str(ast.literal_eval(text))}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"kind": "lost", "text": "there was no answer"}


def end_with_the_caller(scratch: str, caller: int, ending: threading.Event) -> None:
    """Wait until standard input is closed, then end everything; tidy up where the caller cannot."""
    sys.stdin.read()
    ending.set()
    fence.end_family()
    if os.getppid() != caller:
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Carry out one order."""
    order, ending = json.loads(sys.stdin.readline()), threading.Event()
    fence.adopt_orphans()
    watched = order["fence"]["scratch"], os.getppid(), ending
    watcher = threading.Thread(target=end_with_the_caller, args=watched, daemon=True)
    watcher.start()
    if os.name != "nt":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (OWN_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    try:
        told = run(order)
    except NotStarted as error:
        told = {"failed": str(error)}
    except Exception as error:
        told = {"crashed": f"{type(error).__name__}: {error}"[:300]}
    if ending.is_set():
        watcher.join()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
