"""Measures a class: a real JupyterHub on this machine, N learners who open a lesson and drag its sliders.

    python3 course.py bench --class 8

Needs JupyterHub and its proxy, which learners do not: `HUB_NEEDS` says how to get them. Everything runs on loopback,
for a bounded time, in a scratch folder, and is stopped at the end. Linux only: memory is read from /proc.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"

HUB_NEEDS = (
    "The class bench needs JupyterHub and its proxy:\n"
    "  .venv/bin/python -m pip install jupyterhub\n"
    "  npm install --prefix .venv/hub configurable-http-proxy"
)
PROXY = ROOT / ".venv" / "hub" / "node_modules" / ".bin" / "configurable-http-proxy"
LESSON, DEMO = "04", "cliff"
# A learner needs neither terminals nor the language server, and each extension costs every learner its memory.
LEAN = tuple(
    f"--ServerApp.jpserver_extensions={name}=False"
    for name in ("jupyter_lsp", "jupyter_server_terminals", "notebook_shim", "voila.server_extension")
)
# What glibc and OpenBLAS keep for speed on many cores, a class can do without.
THRIFTY = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "100000", "OPENBLAS_NUM_THREADS": "1"}
MOVES, PAUSE = 60, 0.15  # of one learner: so many moves, so many seconds between two

CONFIG = """
import os
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.db_url = "sqlite:///{scratch}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{scratch}/cookie"
c.JupyterHub.pid_file = ""
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{scratch}/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", {connection!r}, *{lean!r}]
c.Spawner.environment = {environment!r}
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.JupyterHub.concurrent_spawn_limit = 2
c.JupyterHub.log_level = "WARN"
c.JupyterHub.services = [{{"name": "bench", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{
    "name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers", "access:servers"],
}}]
"""


@dataclass
class Learner:
    """One learner: the memory of server and kernel in MiB, and the latency of every move in ms."""

    name: str
    base: str
    token: str
    server: float = 0.0
    kernel: float = 0.0
    latencies: list[float] = field(default_factory=list)
    error: str = ""

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the hub or to the learner's own server, as JSON."""
        request = urllib.request.Request(
            f"{self.base}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def open_lesson(self) -> None:
        """Log in, let the hub start a server, and run the cell that opens an explorer in a kernel of one's own."""
        from websockets.sync.client import connect

        self.ask("POST", f"/hub/api/users/{self.name}")
        self.ask("POST", f"/hub/api/users/{self.name}/server")
        deadline = time.monotonic() + 120
        while not (self.ask("GET", f"/hub/api/users/{self.name}").get("servers") or {}).get("", {}).get("ready"):
            if time.monotonic() > deadline:
                raise TimeoutError("the hub did not start a server within two minutes")
            time.sleep(0.3)
        kernel = self.ask("POST", f"/user/{self.name}/api/kernels", {"name": "python3"})["id"]
        address = f"{self.base.replace('http', 'ws')}/user/{self.name}/api/kernels/{kernel}/channels"
        self.socket = connect(
            address, additional_headers={"Authorization": f"token {self.token}"}, max_size=None, open_timeout=60
        )
        shown = self.run(
            "from gclip_lessons.explorer import explore\n"
            f"from gclip_lessons.lessons import lesson{LESSON} as lesson\n"
            f"explorer = explore(lesson.{DEMO.upper()})\n"
            "import json, os\n"
            "slider = explorer.controls['max_norm']\n"
            "print(json.dumps([os.getpid(), slider.model_id, slider.max, explorer.picture.model_id]))"
        )
        self.pid, self.slider, self.last, self.picture = json.loads(shown)

    def send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        """Send one message of the kernel's protocol; its id."""
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": kind, "username": self.name, "session": self.name, "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel}
        self.socket.send(json.dumps(message | {"buffers": []}))
        return number

    def received(self, timeout: float) -> dict[str, Any]:
        """The next message, without its pictures: a binary one begins with offsets, the first part is JSON."""
        content = self.socket.recv(timeout=timeout)
        if isinstance(content, bytes):
            count = int.from_bytes(content[:4], "big")
            offsets = [int.from_bytes(content[4 * k : 4 * k + 4], "big") for k in range(1, count + 1)]
            content = content[offsets[0] : offsets[1] if count > 1 else None].decode()
        return json.loads(content)

    def run(self, code: str) -> str:
        """Run a cell; what it printed. RuntimeError for a cell that failed."""
        number = self.send("execute_request", {"code": code, "silent": False, "store_history": True})
        printed = ""
        while True:
            message = self.received(120)
            if message["parent_header"].get("msg_id") != number:
                continue
            if message["msg_type"] == "error":
                raise RuntimeError("\n".join(message["content"]["traceback"]))
            if message["msg_type"] == "stream":
                printed += message["content"]["text"]
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return printed

    def move(self, position: int) -> float:
        """Move the slider as a browser does; ms until the whole new picture is here."""
        began = time.perf_counter()
        update = {"method": "update", "state": {"value": position}, "buffer_paths": []}
        self.send("comm_msg", {"comm_id": self.slider, "data": update})
        while True:
            message = self.received(30)
            content = message["content"]
            new = message["msg_type"] == "comm_msg" and content["comm_id"] == self.picture
            if new and "frame" in content["data"].get("state", {}):
                return 1000 * (time.perf_counter() - began)

    def drag(self, rng: np.random.Generator) -> None:
        """Drag the slider to and fro, MOVES times."""
        at = self.last // 2
        for _ in range(MOVES):
            at = int((at + rng.choice([-3, -2, -1, 1, 2, 3])) % (self.last + 1))
            self.latencies.append(self.move(at))
            time.sleep(PAUSE)


def pss(pid: int) -> float:
    """The proportional set size of a process in MiB: its own memory, and its share of what others use too."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"process {pid} has no Pss")


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue
    return found


def missing() -> str:
    """What the class bench lacks on this machine, in words; empty where nothing."""
    if not sys.platform.startswith("linux"):
        return "The class bench reads memory from /proc: Linux only."
    try:
        import jupyterhub  # noqa: F401
        import websockets  # noqa: F401
    except ImportError:
        return HUB_NEEDS
    return "" if proxy() else HUB_NEEDS


def proxy() -> str | None:
    """The proxy's program: in .venv/hub, or wherever the PATH has it."""
    return str(PROXY) if PROXY.exists() else shutil.which("configurable-http-proxy")


def measure(n_learners: int, scratch: Path, free_port: Any) -> tuple[list[Learner], dict[str, float]]:
    """Start a hub, let all learners in, measure; the learners, and the memory of "hub" and "proxy" in MiB."""
    port, token = free_port(), secrets.token_hex(16)
    connection = "--ServerApp.kernel_websocket_connection_class=gclip_lessons.server.NoDelayConnection"
    environment = {"PYTHONPATH": str(ROOT), "JUPYTER_WIDGETS_ECHO": "0", "GCLIP_PROGRESS": "off", **THRIFTY}
    names = [f"learner{k}" for k in range(n_learners)]
    for name in names:
        (scratch / name).mkdir()
        for path in NOTEBOOKS.glob(f"{LESSON}_*.ipynb"):
            shutil.copy(path, scratch / name)
    config = scratch / "jupyterhub_config.py"
    ports = {"port": port, "hub_port": free_port(), "proxy_port": free_port()}
    config.write_text(
        CONFIG.format(
            **ports, scratch=scratch, proxy=proxy(), python=sys.executable, connection=connection, token=token,
            lean=LEAN, environment=environment,
        )
    )  # fmt: skip
    log = scratch / "hub.log"
    with log.open("w") as sink:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=scratch, stdout=sink, stderr=sink, start_new_session=True,
            env=os.environ | {"CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16)},
        )  # fmt: skip
    try:
        learners = [Learner(name, f"http://127.0.0.1:{port}", token) for name in names]
        deadline = time.monotonic() + 60
        while True:
            try:
                learners[0].ask("GET", "/hub/api/")
                break
            except OSError:
                if hub.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterHub did not start:\n{log.read_text()}") from None
                time.sleep(0.3)
        together(learners, Learner.open_lesson, at_once=2)
        seeds = np.random.default_rng(0).spawn(n_learners)
        together(learners, lambda one: one.drag(seeds[learners.index(one)]))
        running = processes()
        for one in learners:
            one.kernel, one.server = pss(one.pid), pss(running[one.pid][0])
        rest = {"hub": pss(hub.pid)}
        rest["proxy"] = sum(pss(pid) for pid, (_, words) in running.items() if "configurable-http-proxy" in words)
        return learners, rest
    finally:
        stop(hub)


def together(learners: list[Learner], action: Any, at_once: int = 0) -> None:
    """Let all learners do something at the same time, or only so many; RuntimeError with the first that could not."""
    gate = threading.Semaphore(at_once or len(learners))

    def one_does(one: Learner) -> None:
        with gate:
            try:
                action(one)
            except Exception as error:
                one.error = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=one_does, args=(one,)) for one in learners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken := [one for one in learners if one.error]:
        raise RuntimeError(f"{broken[0].name} could not go on: {broken[0].error}")


def stop(hub: subprocess.Popen) -> None:
    """End the hub, which ends its proxy and servers, and whatever of them is left."""
    family, running = {hub.pid}, processes()
    while more := {pid for pid, (parent, _) in running.items() if parent in family} - family:
        family |= more
    hub.send_signal(signal.SIGINT)
    try:
        hub.wait(20)
    except subprocess.TimeoutExpired:
        hub.kill()
        hub.wait()
    for pid in family - {hub.pid}:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue


def report(learners: list[Learner], rest: dict[str, float]) -> str:
    """The table, and how many learners fit in a machine of so much memory."""
    kernel, server = (median(getattr(one, what) for one in learners) for what in ("kernel", "server"))
    both = kernel + server
    moves = np.concatenate([one.latencies for one in learners])
    shared = sum(rest.values())
    met = {True: "yes", False: "**no**"}
    fits = ", ".join(f"{int((1024 * gib * 0.8 - shared) // both)} in {gib} GiB" for gib in (4, 16, 64))
    return "\n".join(
        [
            f"{len(learners)} learners under JupyterHub on {os.cpu_count()} cores, lesson {LESSON}, "
            f"{MOVES} moves each, {PAUSE:g} s apart; memory as proportional set size.",
            "",
            "| what | budget | measured | met? |",
            "|---|---|---|---|",
            f"| kernel with one explorer open, median | ≤ 90 MiB | {kernel:.0f} MiB | {met[kernel <= 90]} |",
            f"| server and kernel of a learner, median | ≤ 190 MiB | {both:.0f} MiB | {met[both <= 190]} |",
            f"| hub and proxy, once for all | | {rest['hub']:.0f} and {rest['proxy']:.0f} MiB | |",
            f"| slider to picture at the learner | | {median(moves):.0f} ms, p95 {np.percentile(moves, 95):.0f} | |",
            "",
            f"With a fifth of the memory kept free: {fits}.",
        ]
    )


def main(n_learners: int, scratch: Path, free_port: Any) -> int:
    """Measure and print; 1, and what is missing, where it cannot be measured."""
    if lacking := missing():
        print(lacking, file=sys.stderr)
        return 1
    print(report(*measure(n_learners, scratch, free_port)))
    return 0
