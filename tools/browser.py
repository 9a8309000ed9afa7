"""A real JupyterLab and a real Chromium for the browser test and the bench: isolated, local, stopped at the end."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # for a script in tools/, which finds only its own folder

import course  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SLIDER = ".gclip-explorer .widget-slider .noUi-handle"


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def jupyter_lab(notebooks: Path, scratch: Path) -> Iterator[str]:
    """Start JupyterLab on a folder of notebooks, as `course.py lab` does, and yield its address up to `/lab`.

    RuntimeError with the server's log if it does not answer within a minute.
    """
    port, log = free_port(), scratch / "jupyter.log"
    base = f"http://127.0.0.1:{port}/lab"
    command = course.lab_command(Path(sys.executable), notebooks / "00.ipynb", port, show=False)
    command += ["--IdentityProvider.token=test"]
    with log.open("w") as sink:
        server = subprocess.Popen(
            command,
            env=course.isolated(str(scratch)) | course.LAB_SETTINGS | {"PYTHONPATH": str(ROOT)},
            stdout=sink,
            stderr=sink,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=test", timeout=5):
                    break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}") from None
                time.sleep(0.2)
        yield base
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def chromium(*, width: int = 1400, height: int = 1000, density: float = 1) -> Iterator[Any]:
    """Start Chromium and yield a page; `page.complaints` collects the errors that it reports."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=density)
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: page.complaints.append(message.text) if message.type == "error" else None,
        )
        try:
            yield page
        finally:
            browser.close()


def open_and_start(page: Any, base: str, notebook: str, *, timeout: float = 90) -> None:
    """Open a notebook in JupyterLab, let all its cells run, and wait until the first slider is there."""
    page.goto(f"{base}/tree/{notebook}?token=test&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=timeout * 1000)
    named = ".jp-Toolbar-kernelName:not(:has-text('No Kernel'))"
    for sign in (named, '.jp-Notebook-ExecutionIndicator[data-status="idle"]'):
        page.wait_for_selector(sign, state="attached", timeout=timeout * 1000)  # a narrow page hides them
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).first.click()
    page.wait_for_selector(SLIDER, timeout=timeout * 1000)


def open_and_run(page: Any, base: str, notebook: str, *, timeout: float = 90) -> None:
    """Open a notebook in JupyterLab, run all its cells, and wait until the kernel rests and sliders are there."""
    open_and_start(page, base, notebook, timeout=timeout)
    page.wait_for_function(_ALL_RUN, timeout=timeout * 1000)


_ALL_RUN = """() => {
  const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map((p) => p.textContent);
  const resting = document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle';
  return resting && prompts.length && prompts.every((p) => /\\[\\d+\\]/.test(p) || p.trim() === '');
}"""


def spoken(page: Any, selector: str) -> str:
    """Return what a screen reader is told of a slider's handle: its name and its value in words."""
    return page.eval_on_selector(
        selector, "e => e.getAttribute('aria-label') + ': ' + e.getAttribute('aria-valuetext')"
    )


def clean(complaints: list[str]) -> list[str]:
    """Drop what JupyterLab itself reports without this course (missing fonts or addresses of its own server)."""
    known = re.compile(r"Failed to load resource|favicon|\[Report Only\]|Content.Security.Policy")
    return [complaint for complaint in complaints if not known.search(complaint)]
