"""Runs a command where it can do no harm outside its own scratch folder, as far as this system allows.

Three ways, the best first; `strongest` takes the first that holds when it is tried:

- "namespaces" (Linux, as root or where ordinary users may make them): everything is read-only but the scratch folder,
  hidden folders are empty, and there is no network and no other process. Root becomes a user without rights.
- "user" (root where namespaces are forbidden): a user without rights.
- "none": limits alone. Who calls must notice what was changed, and mend it.

Run as a script, this file is the gate: it builds the fence from inside, sets the limits and becomes the command.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

WAYS = {
    "namespaces": "Learners' code runs fenced in: all but its scratch folder is read-only, and it sees no other "
    "notebook, no network and no other process.",
    "user": "Learners' code runs as a user without rights: it cannot change your files, but it reads what everybody "
    "may read, and it has the network.",
    "none": "Learners' code is NOT FENCED IN, it runs with your own rights. Notebooks and results that it changes are "
    "restored; your other files are not. Use a throw-away account, container or machine.",
}
LINUX = sys.platform.startswith("linux")
FIRST_UID = 61184  # up to 65519: the range that Linux systems keep for users who come and go
MORE_PROCESSES = 128  # threads among them: a kernel needs about 15

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC = 0x2, 0x4, 0x1000, 0x4000
SYS_MOUNT_SETATTR, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, 0x8000, 0x1  # one number on every architecture
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38


@dataclass(frozen=True)
class Fence:
    """How a command is kept: one of WAYS, the folder that it may write to, its limits in bytes.

    Folders in `hidden` are empty for it, except for what lies in `needed`.
    """

    way: str
    scratch: str
    memory: int = 2**30
    file_size: int = 2**28
    hidden: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()

    def around(self, command: list[str]) -> list[str]:
        """The command line that runs `command` behind this fence."""
        if os.name == "nt":
            return command
        as_root = os.geteuid() == 0
        uid = FIRST_UID + os.getpid() % 4000 if as_root and self.way != "none" else 0
        if uid:
            for place, _, files in os.walk(self.scratch):
                for path in (place, *(os.path.join(place, name) for name in files)):
                    os.chown(path, uid, uid, follow_symlinks=False)
        n_processes = MORE_PROCESSES + (0 if uid else threads_of_this_user()) if LINUX else None
        told = {**asdict(self), "uid": uid, "n_processes": n_processes, "command": command}
        gate = [sys.executable, "-I", __file__, json.dumps(told)]
        if self.way != "namespaces":
            return gate
        rights = [] if as_root else ["--user", "--map-root-user"]
        apart = ["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        return ["setpriv", "--pdeathsig", "KILL", "unshare", *rights, *apart, "--", *gate]


def ways() -> list[str]:
    """The ways that may hold on this system, the best first."""
    root = os.name != "nt" and os.geteuid() == 0
    return [*(["namespaces"] if LINUX else []), *(["user"] if root else []), "none"]


PROBE = """
import os, sys, tempfile
import ipykernel.kernelapp, gclip_lessons.panels
tempfile.TemporaryFile().close()
for folder in sys.argv[1:]:
    try:
        file = os.open(os.path.join(folder, "gclip-probe"), os.O_CREAT | os.O_WRONLY)
    except OSError:
        continue
    os.close(file)
    os.remove(os.path.join(folder, "gclip-probe"))
    sys.exit(folder + " can be written to")
"""


def strongest(hidden: tuple[str, ...], needed: tuple[str, ...], safe: tuple[str, ...]) -> tuple[str, list[str]]:
    """The best way that holds here, and why each better one does not: a line each.

    A way holds if a kernel of the course starts in it and cannot write into the folders `safe`.
    """
    why = []
    for way in ways():
        if way == "none":
            break
        with tempfile.TemporaryDirectory(prefix="gclip-") as scratch:
            fence = Fence(way, scratch, hidden=hidden, needed=needed)
            try:
                done = subprocess.run(
                    fence.around([sys.executable, "-c", PROBE, *safe]),
                    cwd=scratch,
                    env=environment(scratch),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=120,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                why.append(f"{way}: {error}")
                continue
        if done.returncode == 0:
            return way, why
        why.append(f"{way}: {(done.stderr.strip() or str(done.returncode)).splitlines()[-1]}")
    return "none", why


def environment(scratch: str) -> dict[str, str]:
    """The environment of a fenced command: where programs are, and a home in its scratch folder."""
    kept = ("PATH", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "LANG", "LC_ALL")
    ours = {"HOME": scratch, "USERPROFILE": scratch, "TMPDIR": scratch, "TEMP": scratch, "TMP": scratch}
    folders = ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **ours,
        **{name: os.path.join(scratch, f".{name.lower()}") for name in folders},
        **one_thread,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


# --- the watch: a process and all that it started ---


def adopt_orphans() -> None:
    """Let what a child leaves behind become a child of this process (Linux), so that `family` finds it."""
    if LINUX:
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def family() -> list[psutil.Process]:
    """All living descendants of this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [child] if child.status() != psutil.STATUS_ZOMBIE else []
    return found


def memory(members: list[psutil.Process], enough: int) -> int:
    """The bytes that processes hold; pages that they share count once, where the plain sum is more than `enough`."""
    total = sum(_held(child, "memory_info", "rss") for child in members)
    if total <= enough or not LINUX:
        return total
    return sum(_held(child, "memory_full_info", "pss") for child in members)


def _held(child: psutil.Process, method: str, name: str) -> int:
    try:
        return getattr(getattr(child, method)(), name)
    except psutil.Error:  # it has just ended
        return 0


def end_family(seconds: float = 10) -> None:
    """Kill all descendants of this process; those that make new ones are killed again."""
    last = time.monotonic() + seconds
    while (alive := family()) and time.monotonic() < last:
        for child in alive:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(alive, timeout=0.02)


def threads_of_this_user() -> int:
    """How many threads run for the user of this process."""
    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            count += process.num_threads() if process.uids().real == os.getuid() else 0
    return count


# --- the gate: this file as a script ---


def gate(told: dict[str, Any]) -> None:
    """Build the fence from inside, set the limits, and become the command."""
    import resource  # not on Windows, where there is no gate

    if told["way"] == "namespaces":
        build(told["scratch"], told["hidden"], told["needed"])
    os.chdir(told["scratch"])
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": told["file_size"], "RLIMIT_NPROC": told["n_processes"]}
    limits["RLIMIT_DATA" if LINUX else "RLIMIT_AS"] = told["memory"]
    for name, limit in limits.items():
        if limit is not None:
            with contextlib.suppress(OSError, ValueError):  # macOS refuses some
                resource.setrlimit(getattr(resource, name), (limit, limit))
    if told["uid"]:
        os.setgroups([])
        os.setresgid(*[told["uid"]] * 3)
        os.setresuid(*[told["uid"]] * 3)
    if LINUX:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if not told["uid"] and told["way"] == "namespaces":
            for capability in range(64):  # what root may do in its own namespaces, as to mount: gone with the next exec
                with contextlib.suppress(OSError):
                    prctl(PR_CAPBSET_DROP, capability)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which forgets it
    os.execvpe(told["command"][0], told["command"], os.environ)


def build(scratch: str, hidden: list[str], needed: list[str]) -> None:
    """Make all mounts read-only but `scratch`, and `hidden` folders empty but for what is `needed`."""
    kept = {folder: os.open(folder, os.O_PATH) for folder in {*needed, scratch}}
    covered = [folder for folder in hidden if folder != "/"]
    steps = [(folder.count("/"), folder in kept, folder) for folder in [*covered, *kept]]
    for _, _, folder in sorted(set(steps)):  # from the root down; in one place first what hides
        if folder in covered and os.path.isdir(folder):
            mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
        if folder in kept and (folder == scratch or any(is_within(folder, other) for other in covered)):
            os.makedirs(folder, exist_ok=True)
            mount(f"/proc/self/fd/{kept[folder]}", folder, None, MS_BIND | MS_REC)
    set_readonly("/", True, AT_RECURSIVE)
    set_readonly(scratch, False)
    if os.path.isdir("/dev/shm"):
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=1777")


def is_within(folder: str, other: str) -> bool:
    """Whether a path is another or lies below it."""
    return Path(folder).is_relative_to(other)


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Make the system call mount; raises OSError."""
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_LIBC.mount(*words[:3], ctypes.c_ulong(flags), words[3]), target)


def set_readonly(target: str, readonly: bool, flags: int = 0) -> None:
    """Make the system call mount_setattr, new in Linux 5.12; raises OSError."""
    change = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY * readonly, MOUNT_ATTR_RDONLY * (not readonly))
    size = ctypes.c_size_t(ctypes.sizeof(change))
    path = os.fsencode(target)
    _checked(_LIBC.syscall(SYS_MOUNT_SETATTR, -100, path, flags, ctypes.byref(change), size), target)


def prctl(option: int, value: int) -> None:
    """Make the system call prctl; raises OSError."""
    _checked(_LIBC.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3))


def _checked(status: int, path: str | None = None) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


_LIBC = ctypes.CDLL(None, use_errno=True) if LINUX else None

if __name__ == "__main__":
    gate(json.loads(sys.argv[1]))
