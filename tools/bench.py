"""Measures the budgets of the course on this machine, each beside what it is compared with.

    python3 course.py bench            everything, in a few minutes, as Markdown
    python3 course.py bench --quick    without the browser and without running the notebooks
    python3 course.py bench --class 8  eight learners under a JupyterHub: memory and latency of each, nothing else

Medians and 95th percentiles of single moves. Nothing here is a test: times depend on the machine and on what else
it does at the moment.
"""

import argparse
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import course  # noqa: E402
from gclip_lessons.clipping import ClipByGlobalNorm, clip_by_global_norm  # noqa: E402
from gclip_lessons.figures import style  # noqa: E402
from gclip_lessons.lessons import Demo, all_lessons, controls_of  # noqa: E402
from gclip_lessons.models import Quadratic  # noqa: E402
from gclip_lessons.optimizers import SGD  # noqa: E402
from gclip_lessons.training import sweep, train  # noqa: E402
from tools import browser, class_bench  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
IN_BROWSER = ("03", "ball", "max_norm")  # the lesson, demo and slider that the browser moves


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where a figure is only there to compare with."""

    what: str
    budget: str
    measured: str
    met: bool | None = None

    def __str__(self) -> str:
        answer = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.what} | {self.budget} | {self.measured} | {answer} |"


def median(times: list[float]) -> float:
    return statistics.median(times)


def p95(times: list[float]) -> float:
    return float(np.percentile(times, 95))


def spread(times: list[float]) -> str:
    """Median and 95th percentile of times in ms, in words."""
    return f"{median(times):.1f} ms, p95 {p95(times):.1f}"


def timed(call: Callable[[], Any]) -> float:
    """How long a call takes, in ms."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def in_turn(n_rounds: int, **calls: Callable[[], Any]) -> dict[str, list[float]]:
    """Time several calls in turn, so that what disturbs the machine disturbs all alike; a first round is dropped."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(n_rounds + 1):
        for name, call in calls.items():
            taken = timed(call)
            if number:
                times[name].append(taken)
    return times


# --- inside the kernel: functions that run there -------------------------------------------------------------------


def sliders(demo: Demo) -> list[str]:
    """The fields of a demo that are moved by a slider."""
    return [name for name, c in controls_of(demo.state).items() if c.kind in ("log", "linear", "whole")]


def stops(demo: Demo, name: str, n_moves: int) -> list[int]:
    """Neighbouring positions of a slider, over its middle, up and down again."""
    last = len(controls_of(demo.state)[name].values) - 1
    first = max(0, last // 2 - n_moves // 4)
    up = list(range(first, min(last, first + n_moves // 2) + 1))
    there_and_back = up + up[-2:0:-1]
    return [there_and_back[k % len(there_and_back)] for k in range(n_moves + 1)]


def explorer_moves(demo: Demo, density: int, n_moves: int) -> list[float]:
    """Move every slider of an explorer and time each move, from the slider's value to the frame that is sent."""
    from gclip_lessons.explorer import explore

    explorer = explore(demo)
    explorer.picture.density = density
    times = []
    for name in sliders(demo):
        first, *rest = stops(demo, name, n_moves)
        explorer.controls[name].value = first
        for position in rest:
            frame = explorer.picture.frame
            taken = timed(lambda name=name, at=position: setattr(explorer.controls[name], "value", at))
            if explorer.picture.frame is not frame:  # where two stops look alike there is nothing to send
                times.append(taken)
        explorer.preset("reset")
    return times


@contextmanager
def figures_by_pyplot() -> Iterator[Any]:
    """Let the figures of the course be made by pyplot, all of their artists drawn as usual."""
    import matplotlib.pyplot as plt

    ours = style.Figure, style.FigureCanvasAgg
    style.Figure = lambda figsize, dpi: plt.figure(figsize=figsize, dpi=dpi)
    style.FigureCanvasAgg = lambda figure: figure.canvas
    try:
        yield plt
    finally:
        style.Figure, style.FigureCanvasAgg = ours


def drawn_by_pyplot(demo: Demo, result: Any) -> style.LiveFigure:
    """A new figure of a demo, as a notebook without this package's machinery would make it."""
    drawing = demo.figure(result)
    for artist in drawing._moving:
        artist.set_animated(False)
    return drawing


def interact_twin(demo: Demo, name: str) -> Any:
    """`interact` over the same computation and a fresh inline figure of the same content, for one slider."""
    import ipywidgets as widgets
    from IPython import get_ipython

    get_ipython().run_line_magic("matplotlib", "inline")
    values, start = controls_of(demo.state)[name].values, demo.state()

    def show(position: int) -> None:
        with figures_by_pyplot() as plt:
            drawn_by_pyplot(demo, demo.compute(replace(start, **{name: values[position]})))
            plt.show()

    at = controls_of(demo.state)[name].index(getattr(start, name))
    return widgets.interactive(show, position=widgets.IntSlider(at, 0, len(values) - 1))


def interact_moves(demo: Demo, n_moves: int) -> list[float]:
    """Move the first slider of a demo's `interact` twin and time each move."""
    name = sliders(demo)[-1]
    twin = interact_twin(demo, name)
    twin.update()
    times = []
    first, *rest = stops(demo, name, n_moves)
    twin.children[0].value = first
    for position in rest:
        times.append(timed(lambda at=position: setattr(twin.children[0], "value", at)))
    return times


def ipympl_moves(demo: Demo, n_moves: int) -> list[float]:
    """Move the same content in a figure of ipympl: set the artists' data and draw."""
    from IPython import get_ipython

    get_ipython().run_line_magic("matplotlib", "ipympl")
    name, start = sliders(demo)[-1], demo.state()
    values = controls_of(demo.state)[name].values
    with figures_by_pyplot() as plt:
        plt.ioff()
        drawing = drawn_by_pyplot(demo, demo.compute(start))

        def move(position: int) -> None:
            drawing.update(demo.compute(replace(start, **{name: values[position]})))
            drawing.figure.canvas.draw()

        move(0)
        times = [timed(lambda at=position: move(at)) for position in stops(demo, name, n_moves)]
        plt.close("all")
    return times


def measure_demo(number: str, name: str, n_moves: int) -> dict[str, list[float]]:
    """All of the above for one demo; an empty list for what is not installed."""
    demo = all_lessons()[number].demos[name]
    found = {f"{density}x": explorer_moves(demo, density, n_moves) for density in (1, 2)}
    found["interact"] = interact_moves(demo, max(6, n_moves // 5))
    found["ipympl"] = ipympl_moves(demo, max(6, n_moves // 5)) if installed("ipympl") else []
    return found


# --- inside the kernel: the side that asks ---------------------------------------------------------------------------


@contextmanager
def kernel() -> Iterator[Callable[[str], Any]]:
    """Start a real kernel; yield a function that runs an expression there and returns its value through JSON."""
    from jupyter_client.manager import start_new_kernel

    environment = os.environ | {"PYTHONPATH": str(ROOT), "GCLIP_PROGRESS": "off"}
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT), env=environment)

    def ask(expression: str) -> Any:
        printed: list[str] = []

        def collect(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                printed.append(content["text"])
            if message["msg_type"] == "error":
                raise RuntimeError("\n".join(content["traceback"]))

        code = f"import json; from tools import bench; print('@@' + json.dumps({expression}) + '@@')"
        client.execute_interactive(code, output_hook=collect, timeout=300, allow_stdin=False)
        return json.loads("".join(printed).split("@@")[1])

    try:
        yield ask
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def slider_rows(n_moves: int) -> list[Row]:
    """Slider to frame, for every demo of every lesson."""
    rows: list[Row] = []
    with kernel() as ask:
        for number, lesson in all_lessons().items():
            for name in lesson.demos:
                rows += demo_rows(f"{number}.{name}", ask(f"bench.measure_demo({number!r}, {name!r}, {n_moves})"))
    return rows


def demo_rows(title: str, times: dict[str, list[float]]) -> Iterator[Row]:
    once, twice, other = times["1x"], times["2x"], times["interact"]
    yield Row(
        f"slider → frame, {title}",
        "≤ 16 ms, p95 ≤ 33",
        spread(once),
        median(once) <= 16 and p95(once) <= 33,
    )
    yield Row("… at twice the density", "≤ 20 ms", spread(twice), median(twice) <= 20)
    ratio = median(other) / median(once)
    yield Row("… `interact` + fresh inline figure", "≥ 8× slower", f"{median(other):.0f} ms, {ratio:.0f}×", ratio >= 8)
    ipympl = f"{median(times['ipympl']):.0f} ms" if times["ipympl"] else "not installed"
    yield Row("… ipympl, same artists, full draw", "", ipympl)


# --- clipping and training -------------------------------------------------------------------------------------------


def clipping_rows() -> list[Row]:
    """Ten million numbers clipped by their norm, against a copy of them and against torch."""
    grad = np.random.default_rng(0).standard_normal(10**7, dtype=np.float32)
    calls: dict[str, Callable[[], Any]] = {"copy": grad.copy, "clip": lambda: clip_by_global_norm(grad, 1.0)}
    if installed("torch"):
        import torch

        weights = torch.zeros(10**7)
        weights.grad = torch.from_numpy(grad.copy())
        calls["torch"] = lambda: torch.nn.utils.clip_grad_norm_([weights], 1.0)
    times = in_turn(15, **calls)
    ratio = median(times["clip"]) / median(times["copy"])
    found = f"{median(times['clip']):.1f} ms: {ratio:.2f}× a copy of {median(times['copy']):.1f} ms"
    return [
        Row("clip 10⁷ float32 by global norm, into a new array", "≤ 1.5× `numpy.copy`", found, ratio <= 1.5),
        Row(
            "… torch's `clip_grad_norm_`, in place",
            "",
            f"{median(times['torch']):.1f} ms" if "torch" in times else "not installed",
        ),
    ]


def training_rows() -> list[Row]:
    """A map of 64 × 64 settings in one call, against a bare loop over steps and a Python loop over runs."""
    model, start, n_steps = Quadratic.diagonal(np.array([1.0, 10.0])), np.array([3.0, 1.0]), 200
    rates, thresholds = np.geomspace(1e-3, 0.3, 64), np.geomspace(1e-2, 10, 64)
    few = 8

    def as_map() -> None:
        sweep(model, start, SGD, ClipByGlobalNorm, learning_rates=rates, thresholds=thresholds, n_steps=n_steps)

    def bare() -> None:
        rate, limit = rates[:, None, None], thresholds[None, :]
        theta = np.broadcast_to(start, (64, 64, 2))
        for _ in range(n_steps):
            grad = theta * np.array([1.0, 10.0])
            norm = np.sqrt(np.vecdot(grad, grad))
            theta = theta - rate * (grad * np.minimum(1.0, limit / norm)[..., None])

    def runs_one_by_one() -> None:
        for rate, limit in zip(rates[:few], thresholds[:few], strict=True):
            train(model, start, SGD(rate), ClipByGlobalNorm(limit), n_steps=n_steps)

    times = in_turn(7, map=as_map, bare=bare, alone=runs_one_by_one)
    whole, alone = median(times["map"]), median(times["alone"]) * 64 * 64 / few
    return [
        Row(
            "4096 runs, 200 steps, 2 parameters, all recorded",
            "≤ 60 ms",
            f"{whole:.0f} ms; a bare loop over steps, nothing recorded, {median(times['bare']):.0f} ms",
            whole <= 60,
        ),
        Row(
            f"… a Python loop over runs (estimated from {few} of the 4096)",
            "≥ 100× slower",
            f"{alone / 1000:.1f} s, {alone / whole:.0f}×",
            alone / whole >= 100,
        ),
    ]


# --- notebooks ----------------------------------------------------------------------------------------------------


def notebook_rows() -> list[Row]:
    """All notebooks run and compared, as `course.py test` does it."""
    with tempfile.TemporaryDirectory(prefix="gclip-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope", f"--junitxml={report}"]
        began = time.monotonic()
        env = course.isolated(scratch) | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([*command, *course.COMPARE], cwd=ROOT, env=env, capture_output=True, text=True)
        total = time.monotonic() - began
        took: dict[str, float] = defaultdict(float)
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            took[case.get("classname", "?").removesuffix(".ipynb").split(".")[-1]] += float(case.get("time", 0))
    failed = "" if done.returncode == 0 else f" ({done.stdout.strip().splitlines()[-1].strip('= ')})"
    slowest = max(took, key=lambda name: took[name])
    return [
        Row(f"all {len(took)} notebooks run and compared", "≤ 90 s", f"{total:.0f} s{failed}", total <= 90),
        Row("… the slowest", "≤ 15 s", f"{slowest}: {took[slowest]:.1f} s", took[slowest] <= 15),
    ]


# --- in the browser ---------------------------------------------------------------------------------------------------

WATCH = """(root) => {
  const picture = () => root.querySelector('img');
  let last = picture().src, pressed = 0;
  window.gclipTimes = [];
  window.gclipWatch?.disconnect();
  document.addEventListener('keydown', () => { pressed = performance.now(); }, true);
  window.gclipWatch = new MutationObserver(async () => {
    const image = picture();
    if (!image || image.src === last) return;
    last = image.src;
    await image.decode();
    const loaded = performance.now() - pressed;
    requestAnimationFrame(() => window.gclipTimes.push([loaded, performance.now() - pressed]));
  });
  window.gclipWatch.observe(root, { subtree: true, childList: true, attributes: true, attributeFilter: ['src'] });
}"""


def key_presses(page: Any, root: Any, handle: Any, n_presses: int) -> tuple[list[float], list[float]]:
    """Press arrow keys one by one; ms until each new picture is loaded, and until the next frame after it."""
    root.evaluate("(node) => node.scrollIntoView({ block: 'center' })")
    root.evaluate(WATCH)
    handle.focus()
    for number in range(1, n_presses + 1):
        page.keyboard.press("ArrowRight" if number % 20 < 10 else "ArrowLeft")
        page.wait_for_function(f"window.gclipTimes.length >= {number}", timeout=20_000)
        time.sleep(0.1)
    loaded, framed = zip(*page.evaluate("window.gclipTimes")[3:], strict=True)  # the first ones warm up
    return list(loaded), list(framed)


def twin_notebook(folder: Path) -> Path:
    """A notebook with an explorer and its `interact` twin, same figure, same slider."""
    import nbformat

    number, name, field = IN_BROWSER
    demo = f"all_lessons()[{number!r}].demos[{name!r}]"
    cells = [
        "from gclip_lessons.explorer import explore\nfrom gclip_lessons.lessons import all_lessons\n"
        f"explore({demo}, show=({field!r},))",
        f"from tools import bench\nbench.interact_twin({demo}, {field!r})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "twins.ipynb"
    nbformat.write(notebook, path)
    return path


def browser_rows(n_presses: int) -> list[Row]:
    """Key press to picture in a real JupyterLab, and how long a second `lab` takes to the first live figure."""
    with tempfile.TemporaryDirectory(prefix="gclip-") as name:
        scratch = Path(name)
        notebook = twin_notebook(scratch)
        with browser.jupyter_lab(scratch, scratch) as base, browser.chromium() as page:
            browser.open_and_run(page, base, notebook.name)
            page.wait_for_selector(".widget-interact img", timeout=60_000)
            explorer, twin = page.locator(".gclip-explorer"), page.locator(".widget-interact")
            ours, frame = key_presses(page, explorer, explorer.locator(".noUi-handle").first, n_presses)
            theirs, their_frame = key_presses(page, twin, twin.locator(".noUi-handle").first, n_presses // 2)
        opening = first_figure(scratch)
    ratio = median(theirs) / median(ours)
    where = f"{IN_BROWSER[0]}.{IN_BROWSER[1]}"
    return [
        Row(
            f"key press → new picture loaded, in Chromium, {where}",
            "≤ 45 ms, p95 ≤ 75",
            f"{spread(ours)}; next frame {median(frame):.1f}",
            median(ours) <= 45 and p95(ours) <= 75,
        ),
        Row(
            "… `interact`, same figure, same server",
            "≥ 5× slower",
            f"{spread(theirs)}, {ratio:.1f}×; next frame {median(their_frame):.1f}",
            ratio >= 5,
        ),
        Row("`lab` again → first live figure of lesson 00", "≤ 10 s", f"{opening:.1f} s", opening <= 10),
    ]


def first_figure(scratch: Path) -> float:
    """Seconds from starting JupyterLab, as `lab` does, to the first picture of lesson 00 that answers its slider."""
    folder = scratch / "notebooks"
    shutil.copytree(NOTEBOOKS, folder)
    notebook = course.find_lesson("0", folder)
    with browser.chromium() as page:
        began = time.monotonic()
        if course.is_stamped():
            course.ready()  # what `lab` looks at before it starts the server
        with browser.jupyter_lab(folder, scratch) as base:
            browser.open_and_start(page, base, notebook.name)
            page.wait_for_function("document.querySelector('.gclip-image')?.naturalWidth > 0")
            return time.monotonic() - began


# --- the table ----------------------------------------------------------------------------------------------------


def installed(package: str) -> bool:
    """Whether a package can be imported here."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def machine() -> str:
    """The machine and the versions, in two lines."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    load = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    packages = ("numpy", "matplotlib", "ipywidgets", "anywidget", "ipykernel", "jupyterlab", "ipympl", "torch")
    versions = [f"{package} {found}" for package in packages if (found := version_of(package))]
    if browser.CHROMIUM:
        said = subprocess.run([browser.CHROMIUM, "--version"], capture_output=True, text=True).stdout
        versions.append(" ".join(said.split()[:2]))
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{load}.  \n"
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )


def version_of(package: str) -> str:
    """The version of an installed package, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def main(arguments: list[str]) -> int:
    """Print the table; always 0, for a budget that is missed is a finding and no failure."""
    parser = argparse.ArgumentParser("course.py bench", description="Measure the budgets on this machine.")
    parser.add_argument("--quick", action="store_true", help="neither the browser nor the notebooks")
    parser.add_argument("--class", dest="learners", type=int, metavar="N", help="so many learners under a JupyterHub")
    options = parser.parse_args(arguments)
    if options.learners is not None:
        if not 1 <= options.learners <= 32:
            parser.error(f"--class takes 1 to 32 learners on one machine; got {options.learners}")
        with tempfile.TemporaryDirectory(prefix="gclip-") as scratch:
            return class_bench.main(options.learners, Path(scratch), browser.free_port)
    quick = options.quick
    print(machine(), "", "| what | budget | measured | met? |", "|---|---|---|---|", sep="\n", flush=True)
    parts: list[Callable[[], list[Row]]] = [
        lambda: slider_rows(20 if quick else 40),
        clipping_rows,
        training_rows,
    ]
    has_browser = browser.CHROMIUM is not None and installed("playwright")
    if not quick:
        parts += [lambda: browser_rows(60)] * has_browser + [notebook_rows]
    for part in parts:
        for row in part():
            print(row, flush=True)
    if not quick and not has_browser:
        print("\nNothing measured in a browser: Chromium or playwright is missing.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
