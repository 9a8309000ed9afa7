"""The project's own promises: one set of versions, layers that import downwards, one form of notebook."""

import ast
import base64
import copy
import importlib
import inspect
import io
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from packaging.requirements import Requirement
from PIL import Image

import gclip_lessons
from tools import bench, build

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gclip_lessons"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# From the ground up: each may import what stands before it, and what stands on its own line.
LAYERS = (
    ("clipping", "libraries"),
    ("thresholds",),
    ("optimizers",),
    ("models",),
    ("data",),
    ("training",),
    ("clinic",),
    ("norm_log",),
    ("figures",),
    ("exercises",),
    ("trials",),
    ("diagnosis",),
    ("progress",),
    ("lessons",),
    ("view",),
    ("explorer", "panels"),
    ("capstone",),
    ("watching",),
    ("__main__",),
)
FREE = ("server",)  # runs in Jupyter's process and imports nothing of the package
ONLY_IN = {
    "matplotlib": {"figures", "data"},  # data: only the path of the sample data, inside a function
    "ipywidgets": {"view", "explorer", "panels", "watching"},
    "anywidget": {"view", "explorer", "panels"},
    "IPython": {"view", "explorer", "panels", "watching"},
    "jupyter_server": {"server"},
    "torch": set(),
    "optax": set(),
}


# --- versions ---


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by their normal name."""
    return {normal(one.name): one for one in map(Requirement, lines)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def conda_lines() -> list[str]:
    """The packages of environment.yml, by their names on PyPI."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    names = re.findall(r"^  - ([a-z].*[^:\n])$", text.partition("dependencies:")[2], re.MULTILINE)
    return [name.replace("matplotlib-base", "matplotlib") for name in names]


def test_environment_yml_has_the_ranges_of_pyproject():
    conda = requirements(conda_lines())
    assert str(conda.pop("python").specifier) == PROJECT["requires-python"]
    conda.pop("pip")
    assert {name: one.specifier for name, one in conda.items()} == {
        name: one.specifier for name, one in requirements(PROJECT["dependencies"]).items()
    }


def locked() -> dict[str, list[Requirement]]:
    """What requirements.txt pins; a package may be pinned once for each kind of system."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            one = Requirement(line)
            found.setdefault(normal(one.name), []).append(one)
    return found


def test_the_lock_pins_every_package_exactly():
    for one in (one for pins in locked().values() for one in pins):
        assert [part.operator for part in one.specifier] == ["=="], one


def test_the_lock_covers_every_dependency_within_its_range():
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["test"] + extras["class"]
    pins = locked()
    for name, one in requirements(wanted).items():
        assert name in pins, f"{name} is not in requirements.txt"
        for pin in pins[name]:
            assert one.specifier.contains(next(iter(pin.specifier)).version), (one, pin)


def test_the_package_says_the_version_of_the_project():
    assert gclip_lessons.__version__ == PROJECT["version"]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "environment.yml", ".ci/run"])
def test_no_address_is_written_where_versions_are(name: str):
    assert "://" not in (ROOT / name).read_text(encoding="utf-8")


def test_no_file_names_a_package_index():
    host = re.compile("|".join([r"pypi\.org", r"pythonhosted", r"anaconda\.org", r"npmjs", r"index" + "-url"]))
    kinds = {".py", ".toml", ".txt", ".yml", ".md", ".js", ".css", ".cfg", ".ipynb"}
    files = [*ROOT.glob("*"), *(ROOT / ".ci").glob("*")]
    for folder in ("gclip_lessons", "tests", "tools", "notebooks", "docs"):
        files += (ROOT / folder).rglob("*")
    for path in files:
        if path.suffix in kinds and path.is_file() and ".ipynb_checkpoints" not in path.parts:
            assert not host.search(path.read_text(encoding="utf-8")) or path == Path(__file__), path


# --- layers ---


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    """The layer that a file of the package belongs to; empty for the package's own __init__."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0].replace("__init__", "")


def imports(path: Path) -> Iterator[str]:
    """The full names of what a file imports, at its top or inside a function."""
    package = ("gclip_lessons", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{start}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path: Path):
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    layer = layer_of(path)
    if not layer:
        return
    assert layer in height or layer in FREE, f"{layer} has no place in LAYERS"
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "gclip_lessons":
            below = rest.partition(".")[0]
            assert below in height, f"{path.name} imports {name}, which is no layer: import the module itself"
            assert layer not in FREE, f"{layer} must import nothing of the package; it imports {name}"
            assert height[below] <= height[layer], f"{layer} imports {name}, which stands above it"
        assert layer in ONLY_IN.get(top, {layer}), f"{layer} imports {top}; only {ONLY_IN[top]} may"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_pyplot(path: Path):
    assert not any("pyplot" in name or "pylab" in name for name in imports(path))


def loaded_by(statement: str, *names: str) -> set[str]:
    """Which of `names` a fresh Python has loaded after `statement`."""
    code = f"import sys; {statement}; print(*[name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_clipping_and_training_load_numpy_alone():
    others = ("matplotlib", "ipywidgets", "anywidget", "IPython", "PIL", "torch")
    statement = "from gclip_lessons import clipping, data, models, optimizers, training"
    assert loaded_by(statement, "numpy", *others) == {"numpy"}


def test_the_server_loads_no_numpy():
    assert loaded_by("import gclip_lessons.server", "numpy", "matplotlib") == set()


# --- the public face ---


def public() -> Iterator[tuple[str, object]]:
    """Every public function, class and method of the package with its full name."""
    for info in pkgutil.walk_packages(gclip_lessons.__path__, "gclip_lessons."):
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            ours = getattr(thing, "__module__", None) == info.name
            if name.startswith("_") or not ours or not (inspect.isfunction(thing) or inspect.isclass(thing)):
                continue
            yield f"{info.name}.{name}", thing
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    if not method.startswith("_") and inspect.isfunction(function):
                        yield f"{info.name}.{name}.{method}", function


def test_every_public_thing_has_a_docstring_and_annotations():
    bare = []
    for name, thing in public():
        # In a lesson the names speak: a wrong function has its message, a state its labels. A method is
        # described by its class.
        method, lesson = "." in thing.__qualname__, name.startswith("gclip_lessons.lessons.")
        docstring = inspect.getdoc(thing) or ""
        written = docstring and not docstring.startswith(f"{thing.__name__}(")  # that one a dataclass makes up
        if not (written or method or lesson):
            bare.append(f"{name}: no docstring")
        if inspect.isfunction(thing):
            unsaid = [
                argument
                for argument, parameter in inspect.signature(thing).parameters.items()
                if argument != "self" and parameter.annotation is parameter.empty
            ]
            if "return" not in thing.__annotations__:
                unsaid.append("return")
            bare += [f"{name}: {argument} has no annotation" for argument in unsaid]
    assert not bare, "\n".join(bare)


# --- notebooks ---


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_in_the_normal_form(path: Path):
    assert build.faults(path) == []


def test_the_table_of_lessons_is_that_of_the_notebooks():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert build.with_table(readme, NOTEBOOKS) == readme


def picture(*, colours: int) -> str:
    """A noisy PNG as a data URI."""
    image = Image.effect_noise((40, 40), 90).convert("RGB")
    if colours <= 256:
        image = image.quantize(colours)
    stored = io.BytesIO()
    image.save(stored, "PNG")
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    """A notebook as JupyterLab may leave it: counts out of order, dead widgets, times, a large picture."""
    v4 = nbformat.v4
    html = f'<figure><img alt="an arrow" src="{picture(colours=10**6)}"><figcaption>Seen.</figcaption></figure>'
    view = {build.WIDGET_VIEW: {"model_id": "4"}}
    result = v4.new_output("execute_result", {**view, "text/html": html, "text/plain": "Seen."}, execution_count=9)
    streams = [v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    return v4.new_notebook(
        metadata={
            "gclip": {"number": "03", "title": "By norm", "claim": "direction stays", "minutes": 30},
            "language_info": {"name": "python", "version": "3.11.7"},
            "widgets": {"state": {}},
        },
        cells=[
            v4.new_markdown_cell("# By norm", id="title"),
            v4.new_code_cell("show()", id="hook", execution_count=9, outputs=[result]),
            v4.new_code_cell(
                "print()",
                id="facts",
                execution_count=12,
                outputs=[*streams, v4.new_output("display_data", view)],
                metadata={"execution": {"iopub.execute_input": "now"}, "collapsed": True, "tags": ["fact"]},
            ),
        ],
    )


def stored(notebook: nbformat.NotebookNode, folder: Path, *, normal: bool = True) -> Path:
    """A notebook as a file, in the normal form or as it is."""
    path = folder / "03_norm.ipynb"
    path.write_bytes(build.written(build.normalise(notebook) if normal else notebook))
    return path


def test_the_normal_form_keeps_what_a_lesson_says_and_drops_the_rest(notebook: nbformat.NotebookNode):
    before = copy.deepcopy(notebook)
    normal = build.normalise(notebook)
    title, hook, facts = normal.cells
    assert [cell.id for cell in normal.cells] == ["title", "hook", "facts"]
    assert title.source == "# By norm"
    assert (hook.execution_count, hook.outputs[0].execution_count, facts.execution_count) == (1, 1, 2)
    assert set(hook.outputs[0].data) == {"text/html", "text/plain"}
    assert 'alt="an arrow"' in hook.outputs[0].data["text/html"]
    assert "<figcaption>Seen.</figcaption>" in hook.outputs[0].data["text/html"]
    assert [output.text for output in facts.outputs] == ["a\nb\n"]
    assert facts.metadata == {"tags": ["fact"]}
    assert set(normal.metadata) == {"gclip", "kernelspec", "language_info"}
    assert "version" not in normal.metadata.language_info
    assert notebook == before


def test_a_cell_that_was_never_run_takes_no_number(notebook: nbformat.NotebookNode):
    notebook.cells[1].execution_count = None
    assert [cell.execution_count for cell in build.normalise(notebook).cells[1:]] == [None, 1]


def test_the_normal_form_is_its_own_and_survives_storing(notebook: nbformat.NotebookNode, tmp_path: Path):
    path = stored(notebook, tmp_path)
    assert build.normalise(build.read(path)) == build.normalise(notebook)
    assert build.faults(path) == []
    assert path.read_bytes().endswith(b"}\n")
    assert b"\r" not in path.read_bytes()


def test_pictures_get_a_palette_once():
    large = picture(colours=10**6)
    small = build.PICTURE.sub(build.smaller_picture, large)
    assert len(small) < len(large)
    assert Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))).mode == "P"
    for done in (small, picture(colours=200)):  # whoever wrote it
        assert build.PICTURE.sub(build.smaller_picture, done) == done


def test_a_cell_without_an_id_gets_its_position(notebook: nbformat.NotebookNode, tmp_path: Path):
    del notebook.cells[1]["id"]
    path = tmp_path / "03_norm.ipynb"
    path.write_text(nbformat.v4.nbjson.JSONWriter().writes(notebook), encoding="utf-8")
    assert [cell.id for cell in build.read(path).cells] == ["title", "cell-02", "facts"]


def broken(change: str, notebook: nbformat.NotebookNode) -> None:
    """Do one thing to a normal notebook that its check must find."""
    title, hook, facts = notebook.cells
    if change == "never run":
        facts.execution_count = None
    elif change == "no slug":
        facts.id = "Facts_1"
    elif change == "stores an error":
        facts.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="c", traceback=[])]
    elif change == "writes to stderr":
        facts.outputs = [nbformat.v4.new_output("stream", name="stderr", text="RuntimeWarning")]
    elif change == "has no alternative text":
        hook.outputs[0].data["text/html"] = hook.outputs[0].data["text/html"].replace("an arrow", " ")
    elif change == "without alternative text":
        hook.outputs[0].data["image/png"] = "iVBORw0KGgo="
    elif change == "image arrow.png has no":
        title.source += "\n\n![](arrow.png)"
    elif change == "only top heading":
        title.source += "\n\n# Another"
    elif change == "level 3 follows one of level 1":
        title.source += "\n\n### Deep"
    elif change == "metadata.gclip.claim":
        notebook.metadata.gclip.claim = ""
    elif change == "number is '04'":
        notebook.metadata.gclip.number = "04"


@pytest.mark.parametrize(
    "change",
    [
        "never run",
        "no slug",
        "stores an error",
        "writes to stderr",
        "has no alternative text",
        "without alternative text",
        "image arrow.png has no",
        "only top heading",
        "level 3 follows one of level 1",
        "metadata.gclip.claim",
        "number is '04'",
    ],
)
def test_the_check_finds(change: str, notebook: nbformat.NotebookNode, tmp_path: Path):
    normal = build.normalise(notebook)
    broken(change, normal)
    assert any(change in fault for fault in build.faults(stored(normal, tmp_path, normal=False)))


def test_the_check_finds_a_doubled_id(notebook: nbformat.NotebookNode, tmp_path: Path):
    path = stored(notebook, tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"id": "facts"', b'"id": "hook"'))
    assert build.faults(path) == ["cannot be read: cell id hook stands twice"]


def test_the_check_finds_what_is_not_normal_or_no_notebook(notebook: nbformat.NotebookNode, tmp_path: Path):
    assert "is not in the normal form" in build.faults(stored(notebook, tmp_path, normal=False))[0]
    path = tmp_path / "04_bad.ipynb"
    path.write_text("{")
    assert build.faults(path)[0].startswith("cannot be read")


def test_a_heading_inside_code_is_none():
    cell = nbformat.v4.new_markdown_cell("# Top\n\n```python\n# a comment\n```\n\n## Part")
    assert build.headings(nbformat.v4.new_notebook(cells=[cell])) == [1, 2]


def test_the_table_is_renewed_in_its_place(notebook: nbformat.NotebookNode, tmp_path: Path):
    path = stored(notebook, tmp_path)
    readme = "# Course\n<!-- lessons:begin -->\nold\n<!-- lessons:end -->\nrest\n"
    new = build.with_table(readme, [path])
    assert "| 03 | [By norm](notebooks/03_norm.ipynb) | direction stays | 30 |" in new
    assert "old" not in new
    assert new.endswith("<!-- lessons:end -->\nrest\n")
    assert build.with_table(new, [path]) == new
    with pytest.raises(ValueError, match="lessons:begin"):
        build.with_table("# Course\n", [path])


@pytest.mark.parametrize("lacking", ["title", "claim", "minutes"])
def test_a_fact_that_the_table_lacks_is_a_finding(
    lacking: str, notebook: nbformat.NotebookNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    del notebook.metadata["gclip"][lacking]
    stored(notebook, tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- lessons:begin -->\n<!-- lessons:end -->\n")
    monkeypatch.setattr(build, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(build, "README", readme)
    assert build.check([]) == [f"03_norm.ipynb: metadata.gclip has no {lacking}"]


def test_the_bench_needs_no_browser(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for part in ("slider_rows", "clipping_rows", "training_rows", "notebook_rows"):
        monkeypatch.setattr(bench, part, lambda *_, part=part: [bench.Row(part, "", "")])
    monkeypatch.setattr(bench.browser, "CHROMIUM", None)
    assert bench.main([]) == 0
    said = capsys.readouterr().out
    assert "notebook_rows" in said
    assert said.endswith("Nothing measured in a browser: Chromium or playwright is missing.\n")


def test_a_cell_that_fails_stops_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    cells = [nbformat.v4.new_code_cell("print(1)", id="one")]
    path = stored(nbformat.v4.new_notebook(cells=cells), tmp_path)
    before = path.read_bytes()

    def fail(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
        raise CellExecutionError("Traceback of cell one", "NameError", "epsilon")

    monkeypatch.setattr(build, "execute", fail)
    assert "Traceback of cell one" in build.build([path])[0]
    assert path.read_bytes() == before
