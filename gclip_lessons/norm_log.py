"""A learner's own log of gradient norms: read it from a file, and say what is in it and what is not.

    log = read_norms("norms.csv")    # or JSON lines, or a trainer_state.json
    print(advise(log).text)

Reading keeps facts and says what it did: `NormLog.notes` names every row that was left out, and NaN and infinite norms
stay in the log. What cannot be read is a `LogError`, whose message names the file, the line, what was expected, what
was found, and what to do. Every sentence of `advise` is computed from the log it speaks of.
"""

import csv
import gc
import json
import math
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gclip_lessons.thresholds import THRESHOLDS, clip_rate, follow, left_over_trend

Floats = NDArray[np.float64]

# What columns of norms are called, the best first, in lower case and without what stands before a "/".
NAMES = (
    "grad_norm_before_clip", "grad_norm_before_clipping", "norm_before_clip", "norm_before_clipping",
    "unclipped_grad_norm", "grad_norm_unclipped", "raw_grad_norm",
    "grad_norm", "gradient_norm", "gradnorm", "grad_norm_total", "total_grad_norm", "total_norm", "global_grad_norm",
    "global_norm", "grad_2_0_norm_total", "gnorm", "grad_norms", "norm", "norms",
)  # fmt: skip
STEPS = ("step", "global_step", "steps", "iteration", "iter", "update", "num_updates", "batch")
# A column that is called by one of these words is not taken for norms without being asked for.
NO_NORM = {"loss", "lr", "rate", "acc", "accuracy", "epoch", "time", "perplexity", "ppl", "reward", "score"}
_MISSING = {"", "none", "null", "na", "n/a", "-"}
_NEVER = "\x1f"  # separates nothing: lines of one cell
_SHOWN = 5  # lines or steps that a sentence names

FEWEST = 20  # with fewer finite norms no spike is told from the others, and no threshold suggested
LONGEST = 20_000  # the rules take about 0.1 ms a step for all of them: of a longer log they see the end


class LogError(ValueError):
    """A log that cannot be read, with the file, the line, what was expected and found, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the message. The calls that led to it are not the learner's."""
        return [f"LogError: {self}"]


@dataclass(frozen=True, eq=False)
class NormLog:
    """Gradient norms in the order in which they were logged: `norms` (n,), n ≥ 1, ≥ 0 or not finite.

    `steps` (n,) are the step numbers, 0 to n − 1 where there are none; they may go back, as after a resumed run.
    `source` says where the norms came from, `notes` what was left out or read in another way than it stood there.
    """

    norms: Floats
    steps: NDArray[Any] | None = None
    source: str = "norms"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        norms = np.asarray(self.norms)
        if norms.dtype.kind not in "iuf" or norms.ndim != 1 or norms.size == 0:
            raise ValueError(f"norms must be one axis of real numbers, at least one; got {reprlib.repr(self.norms)}")
        norms = norms.astype(np.float64)
        if (norms < 0).any():
            raise ValueError(f"norms must be >= 0; got {norms[norms < 0][0]}")
        steps = np.arange(norms.size) if self.steps is None else np.array(self.steps)
        if steps.shape != norms.shape or steps.dtype.kind not in "iuf":
            raise ValueError(f"steps must be numbers, one for each of the {norms.size} norms; got shape {steps.shape}")
        for name, array in (("norms", norms), ("steps", steps)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return self.norms.size

    @property
    def in_order(self) -> bool:
        """Whether every step number is larger than the one before it."""
        return bool((np.diff(self.steps) > 0).all())


# --- Writing -----------------------------------------------------------------------------------------------


def log_norm(path: str, step: int, norm: float) -> None:
    """Append the norm of a step to a CSV file that `read_norms` reads; a new file begins with a header.

    `norm` is the norm before clipping: anything that `float` takes, also a tensor of one entry, ∞ and NaN. The function
    needs nothing else and may be copied into any training script.
    """
    with open(path, "a", encoding="utf-8") as file:
        if file.tell() == 0:
            file.write("step,grad_norm_before_clip\n")
        file.write(f"{int(step)},{float(norm)}\n")


# --- Reading -----------------------------------------------------------------------------------------------


def read_norms(path: str | Path, column: str | int | None = None) -> NormLog:
    """Read a log from a CSV file, JSON lines, or the trainer_state.json of Hugging Face's Trainer.

    The column is found by its name (`NAMES`), or is `column`: a name, or a number from 1 where there is no header.
    One column without header is taken as norms, two as steps and norms. Commas, semicolons, tabs and blanks separate;
    between the others a comma may be the decimal point. Raises LogError, a ValueError, for all that is wrong with
    the file, and TypeError for a `column` that is neither name nor number.
    """
    path = Path(path)
    if column is not None and (isinstance(column, bool) or not isinstance(column, str | int)):
        raise TypeError(f"column must be a name or a number from 1; got {reprlib.repr(column)}")
    text, notes = _text(path)
    with _no_collection():
        table = (_json_table if text.lstrip()[:1] in ("{", "[") else _csv_table)(text, path, column)
        return _log(table, path, notes)


@contextmanager
def _no_collection() -> Iterator[None]:
    """A million rows make Python look for garbage cycles again and again, where there are none: 4 s instead of 1."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass
class _Table:
    """One column of a file, not yet numbers; cell i stands on line (or is entry) `numbers[i]`."""

    name: str
    cells: Sequence[Any]
    steps: Sequence[Any] | None
    numbers: Sequence[int]
    kind: str = "line"
    decimal_comma: bool = True
    notes: list[str] = field(default_factory=list)

    def place(self, i: int) -> str:
        return f"{self.kind} {self.numbers[i]}"

    def places(self, at: Sequence[int]) -> str:
        return _named(self.kind, [self.numbers[i] for i in at[:_SHOWN]], len(at))

    def only(self, keep: Sequence[int]) -> "_Table":
        """The table with the cells at `keep` alone."""
        steps = None if self.steps is None else [self.steps[i] for i in keep]
        cells, numbers = [self.cells[i] for i in keep], [self.numbers[i] for i in keep]
        return replace(self, cells=cells, steps=steps, numbers=numbers)


def _text(path: Path) -> tuple[str, list[str]]:
    """The file's text with plain line ends, and notes on its encoding."""
    if path.is_dir():
        inside = [name for name in ("trainer_state.json", "norms.csv") if (path / name).is_file()]
        cure = f"name the file in it, perhaps {path / inside[0]}" if inside else "name the file in it"
        raise LogError(f"{path} is a folder, not a log of norms: {cure}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LogError(f"there is no file {path} (looked for in {Path.cwd()}): check its name and folder") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise LogError(f"{path} cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    notes = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    elif b"\0" in data[:8192] or data.startswith((b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\x93NUMPY")):
        raise LogError(
            f"{path.name} is no text: expected CSV, JSON lines or a trainer_state.json, found {data[:4]!r} at its "
            "start; export the norms as CSV, one row a step"
        )
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text = data.decode("latin-1")
            line = data.count(b"\n", 0, error.start) + 1
            notes.append(f"Line {line} is not UTF-8; the file was read as Latin-1, which leaves digits as they are.")
    if not text.strip():
        raise LogError(f"{path.name} is empty: expected a column of norms, found nothing; was the log ever written?")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _csv_table(text: str, path: Path, column: str | int | None) -> _Table:
    lines = text.rstrip().split("\n")
    numbers: Sequence[int] = range(1, len(lines) + 1)
    if re.search(r"^\s*(#|\n)", text, re.MULTILINE):
        numbers = [i for i, line in enumerate(lines, 1) if line and not line.isspace() and line.lstrip()[0] != "#"]
        lines = [lines[i - 1] for i in numbers]
    if not lines:
        raise LogError(f"{path.name} holds comments alone: expected a column of norms")
    separator = next((s for s in "\t;," if s in lines[0]), None)
    if separator is None and len(lines[-1].split()) > 1 and all(map(_is_number, lines[-1].split())):
        separator = " "
    cut = None if separator == " " else separator or _NEVER  # None takes any run of blanks for one

    def rows_of(lines: list[str], numbers: Sequence[int]) -> tuple[list[list[str]], Sequence[int]]:
        if '"' in text:
            return _quoted_rows(lines, numbers, separator or _NEVER, path)
        return [line.split(cut) for line in lines], numbers

    sample, _ = rows_of(lines[:201], numbers[:201])
    first = [cell.strip() for cell in sample[0]]
    while len(first) > 1 and not first[-1]:
        first.pop()  # a comma at the end of each line
    header = not any(map(_is_number, first))
    names = first if header else [str(k) for k in range(1, len(first) + 1)]
    if header:
        sample, lines, numbers = sample[1:], lines[1:], numbers[1:]
        if not lines:
            raise LogError(f"{path.name} has a header and no rows: expected a norm on each line after it, found none")
    wide = [i for i, row in enumerate(sample) if any(map(str.strip, row[len(names) :]))]
    if len(wide) > len(sample) / 2:
        raise LogError(
            f"{path.name}, line {numbers[wide[0]]}: expected {_count(len(names), 'cell')} as in the first line, found "
            f"{len(sample[wide[0]])}; if these are decimal commas, save the file with semicolons between the cells"
        )
    at, step_at = _choose(names, column, path, header, sample)
    wanted = [at] if step_at is None else [at, step_at]
    columns = _plain_columns(lines, cut, wanted)
    if columns is None:
        rows, numbers = rows_of(lines, numbers)
        columns = [[row[k] if len(row) > k else "" for row in rows] for k in wanted]  # a row may be cut short
    name = f"column {names[at]!r}" if header else "its only column" if len(names) == 1 else f"column {at + 1}"
    table = _Table(name, columns[0], columns[1] if len(wanted) > 1 else None, numbers, "line", separator != ",")
    again = [i for i, cell in enumerate(columns[0]) if cell == names[at]] if isinstance(columns[0], list) else []
    if header and again:
        table.notes.append(f"The header stands again on {table.places(again)}: several runs in one file?")
        table = table.only(sorted(set(range(len(columns[0]))) - set(again)))
    return table


def _plain_columns(rows: list[str], separator: str | None, wanted: list[int]) -> list[Any] | None:
    """The wanted columns as arrays, where every cell of them is a plain number: numpy reads these the fastest."""
    try:
        read = np.loadtxt(rows, delimiter=separator, usecols=wanted, comments=None, quotechar='"', ndmin=2)
    except ValueError:
        return None
    return list(read.T) if len(read) == len(rows) else None


def _quoted_rows(
    lines: list[str], numbers: Sequence[int], separator: str, path: Path
) -> tuple[list[list[str]], list[int]]:
    """Rows whose cells may stand in quotes, and the line that each ends on."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    rows, ends = [], []
    try:
        for row in reader:
            rows.append(row)
            ends.append(numbers[reader.line_num - 1])
    except csv.Error as error:
        line = numbers[min(reader.line_num, len(numbers)) - 1]
        raise LogError(f"{path.name}, line {line}: expected cells in pairs of quotes, found {error}") from None
    return rows, ends


def _json_table(text: str, path: Path, column: str | int | None) -> _Table:
    notes: list[str] = []
    kind, where = "entry", ""
    try:
        stored = json.loads(text)
        numbers: Sequence[int] = ()
    except RecursionError:
        raise LogError(f"{path.name} is JSON that is nested without end: expected one object a line") from None
    except ValueError as error:
        kind = "line"
        stored, numbers = _json_lines(text, path, error, notes)
    if isinstance(stored, dict) and isinstance(stored.get("log_history"), list):
        stored, where = stored["log_history"], "log_history: "
    elif isinstance(stored, dict) and stored and all(isinstance(value, list) for value in stored.values()):
        names = list(stored)
        at, step_at = _choose(names, column, path, True, [])
        cells, steps = stored[names[at]], None if step_at is None else stored[names[step_at]]
        if steps is not None and len(steps) != len(cells):
            steps = None
        return _Table(f"list {names[at]!r}", cells, steps, range(1, len(cells) + 1), kind)
    elif isinstance(stored, dict):
        stored = [stored]
    numbers = numbers or range(1, len(stored) + 1)
    if not any(isinstance(entry, dict) for entry in stored):
        return _Table("its list", stored, None, numbers, kind, True, notes)
    objects = stored if set(map(type, stored)) == {dict} else [one for one in stored if isinstance(one, dict)]
    kinds = dict.fromkeys(map(tuple, objects))  # entries of a log are of few kinds
    names = list(dict.fromkeys(name for kind in kinds for name in kind))
    at, step_at = _choose(names, column, path, True, [])
    name = names[at]
    keep: Sequence[int] = range(len(stored))
    if objects is not stored or not all(name in one for one in kinds):
        keep = [i for i, entry in enumerate(stored) if isinstance(entry, dict) and name in entry]
        notes.append(f"{len(stored) - len(keep):,} of {_count(len(stored), 'entry')} without {name!r}: left out.")
    cells = [stored[i][name] for i in keep]
    steps = None if step_at is None else [stored[i].get(names[step_at]) for i in keep]
    return _Table(f"{where}{name!r}", cells, steps, [numbers[i] for i in keep], kind, True, notes)


def _json_lines(text: str, path: Path, error: ValueError, notes: list[str]) -> tuple[list[Any], list[int]]:
    """The JSON value of each line, and the lines' numbers. `error` is why the file as a whole was refused."""
    every = text.split("\n")
    numbers = [i for i, line in enumerate(every, 1) if line and not line.isspace()]
    lines = [every[i - 1] for i in numbers]
    try:
        found = json.loads("[" + ",".join(lines) + "]")  # one call for all of them takes half the time
        if len(found) == len(lines):
            return found, numbers
    except (ValueError, RecursionError):
        pass
    found, good, bad = [], [], []
    for number, line in zip(numbers, lines, strict=True):
        try:
            found.append(json.loads(line))
            good.append(number)
        except (ValueError, RecursionError):
            bad.append(number)
    if len(bad) > len(good):
        at = getattr(error, "lineno", 1) if bad[0] == numbers[0] else bad[0]
        raise LogError(
            f"{path.name}, line {at}: expected JSON, one object a line or a whole trainer_state.json, found "
            f"{reprlib.repr(every[at - 1].strip())}; was the file cut short, or are these lines that print wrote?"
        )
    notes.append(f"{_count(len(bad), 'line')} cannot be read as JSON ({_named('line', bad, len(bad))}): left out.")
    return found, good


def _choose(
    names: list[str], column: str | int | None, path: Path, header: bool, sample: list[list[str]]
) -> tuple[int, int | None]:
    """Which column holds the norms, and which the steps, if any."""
    plain = [_plain(name) for name in names]
    step_at = next((plain.index(name) for name in STEPS if name in plain), None)
    listed = ", ".join(map(repr, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    if column is not None:
        exact = [k for k, name in enumerate(names) if name == str(column)]
        alike = [k for k, name in enumerate(plain) if name == _plain(str(column))]
        found = exact or alike
        if not found and str(column).isdecimal() and 1 <= int(column) <= len(names):
            found = [int(column) - 1]
        if len(found) != 1:
            several = "several columns are" if found else "no column is"
            raise LogError(f"{path.name}: {several} called {str(column)!r}; it has {listed}")
        if not header and len(names) == 2 and found[0] == 1 and _counts_up(sample):
            step_at = 0
        return found[0], None if step_at == found[0] else step_at
    cure = "say which one with column= (in the terminal: --column)"
    if not header:
        if len(names) == 1:
            return 0, None
        if len(names) == 2 and _counts_up(sample):
            return 1, 0
        raise LogError(f"{path.name} has {len(names)} columns and no header: {cure} and its number, from 1")
    for name in NAMES:
        found = [k for k, one in enumerate(plain) if one == name]
        if len(found) > 1:
            raise LogError(f"{path.name}: {' and '.join(repr(names[k]) for k in found)} may both be meant: {cure}")
        if found:
            return found[0], step_at
    others = [k for k in range(len(names)) if k != step_at]
    if len(others) == 1 and sample and not set(plain[others[0]].split("_")) & NO_NORM:
        return others[0], step_at
    raise LogError(
        f"{path.name}: expected a column called grad_norm, total_norm, norm or the like, found {listed}: {cure}; "
        "if none of them is a norm, log what clip_grad_norm_ returns"
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.split("/")[-1].split(" - ")[-1].lower()).strip("_")


def _counts_up(sample: list[list[str]]) -> bool:
    """Whether the first of two columns looks like steps: whole numbers that rise (or the only row there is)."""
    try:
        steps = [float(row[0]) for row in sample if row]
    except ValueError:
        return False
    return all(s == int(s) for s in steps if math.isfinite(s)) and all(np.diff(steps) > 0)


def _is_number(cell: str) -> bool:
    return isinstance(_number(cell, True), float)


def _number(cell: Any, decimal_comma: bool) -> float | str | None:
    """A float; None where nothing stands; otherwise a string: what stands there instead of a number."""
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return reprlib.repr(cell)
    try:
        return float(cell)
    except OverflowError:  # JSON has whole numbers of any length
        return math.inf
    except ValueError:
        cell = cell.strip().strip("\"'").strip()
    if cell.lower() in _MISSING:
        return None
    try:
        return float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return cell or repr(cell)


def _floats(cells: Sequence[Any]) -> Sequence[float]:
    """All cells as floats; TypeError or ValueError if one is none. True is no number here, though Python says 1."""
    if isinstance(cells, np.ndarray):
        return cells
    if bool in set(map(type, cells)):
        raise TypeError("a truth value")
    return list(map(float, cells))


def _log(table: _Table, path: Path, notes: list[str]) -> NormLog:
    """The numbers of a table, and notes on what was left out."""
    notes = [*notes, *table.notes]
    keep: Sequence[int] = range(len(table.cells))
    if not len(table.cells):
        raise LogError(f"{path.name}: {table.name} holds nothing: expected norms; was the log ever written?")
    try:
        norms = np.array(_floats(table.cells))
    except (ValueError, TypeError, OverflowError):  # some cell is no plain number
        found: list[Any] = []
        for start in range(0, len(table.cells), 1000):
            some = table.cells[start : start + 1000]
            try:
                found += _floats(some)
            except (ValueError, TypeError, OverflowError):
                found += [_number(cell, table.decimal_comma) for cell in some]
        keep = [i for i, value in enumerate(found) if isinstance(value, float)]
        missing = [i for i, value in enumerate(found) if value is None]
        wrong = [i for i, value in enumerate(found) if isinstance(value, str)]
        if len(wrong) > len(keep) or not keep:
            at = (wrong or missing)[0]
            shown = reprlib.repr(found[at]) if wrong else "nothing"
            raise LogError(
                f"{path.name}, {table.place(at)}: expected a norm in {table.name}, found {shown}, and a number in only "
                f"{len(keep):,} of {len(found):,} rows; is it the right column? Name another with column= (--column)"
            ) from None
        if missing:
            notes.append(f"{_count(len(missing), 'row')} without a norm ({table.places(missing)}): left out.")
        if wrong:
            shown = reprlib.repr(found[wrong[0]])
            where = f"{table.places(wrong)}, first {shown}"
            notes.append(f"{_count(len(wrong), 'row')} without a number ({where}): left out.")
        if any(isinstance(table.cells[i], str) and "," in table.cells[i] for i in keep):
            notes.append("Decimal commas were read as decimal points.")
        norms = np.array([found[i] for i in keep])
    below = np.flatnonzero(norms < 0)
    if below.size:
        if (norms[below] != -1).any():
            at = int(below[norms[below] != -1][0])
            raise LogError(
                f"{path.name}, {table.place(keep[at])}: expected a norm, which is never below 0, found {norms[at]:g}; "
                f"does {table.name} hold something else, a logarithm or a loss? Name another with column= (--column)"
            )
        rows = _count(below.size, "row")
        notes.append(f"−1 stands in {rows}, as some libraries write an overflow: kept as not finite.")
        norms[below] = np.nan
    steps, said = _steps(table, keep, norms.size)
    return NormLog(norms, steps, f"{path.name}, {table.name}", (*notes, *said))


def _steps(table: _Table, keep: Sequence[int], size: int) -> tuple[NDArray[Any], list[str]]:
    counted = np.arange(size)
    if table.steps is None:
        return counted, ["There is no column of steps: rows are counted from 0."]
    try:
        chosen = table.steps if len(keep) == len(table.steps) else [table.steps[i] for i in keep]
        steps = np.fromiter(map(float, chosen), float, len(chosen))
    except (ValueError, TypeError, OverflowError):
        steps = np.array([np.nan])
    if not np.isfinite(steps).all() or np.abs(steps).max() > 2**53:
        return counted, ["Some steps are no numbers: rows are counted from 0."]
    if (steps == np.floor(steps)).all():
        steps = steps.astype(np.int64)
    back = np.flatnonzero(np.diff(steps) <= 0) + 1
    if not back.size:
        return steps, []
    first = int(back[0])
    times = "" if back.size == 1 else f" and {back.size - 1:,} times more"
    return steps, [
        f"The step does not rise at {table.place(keep[first])} (from {steps[first - 1]} to {steps[first]}){times}: a "
        "resumed run, or several norms a step? Norms are taken in the order of the file."
    ]


# --- Advice ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Advice:
    """What a log of norms says about clipping: `lines` of text, and the numbers behind them.

    `finite` (m,) are the places of the finite norms in the log; `trend` (m,) the norm that was due at each of them;
    `spikes` the places, in the log, of the norms that exceed `spike_limit` times the trend. `threshold` is the
    suggested c, or None where none can be suggested. `grid` and `fraction` are thresholds and the shares of finite
    norms above each. `rules` maps the keys of THRESHOLDS to the share of steps that each rule would have clipped, and
    `paths` to the thresholds that it would have set, for the last finite norms, as many as it has seen. `rule` is the
    one of them to show in the picture, or None.
    """

    log: NormLog
    lines: tuple[str, ...]
    finite: NDArray[np.int_]
    trend: Floats
    spikes: NDArray[np.int_]
    spike_limit: float
    threshold: float | None
    grid: Floats
    fraction: Floats
    rules: dict[str, float]
    paths: dict[str, Floats]
    rule: str | None = None

    @property
    def text(self) -> str:
        """All lines: what the command line prints."""
        return "\n".join(self.lines)

    def clip_fraction(self, c: float) -> float:
        """The share of the finite norms above c, in [0, 1]; NaN where none is finite."""
        norms = self.log.norms[self.finite]
        return float((norms > c).mean()) if norms.size else math.nan


def advise(log: NormLog) -> Advice:
    """Read a log of norms: its level, trend and spikes, what thresholds would have clipped, and what it cannot tell."""
    finite = np.flatnonzero(log.norms <= _HUGE)
    norms = np.where(log.norms < 1 / _HUGE, 0, log.norms)[finite]
    lines = [*_what_it_is(log, finite)]
    trend, limit, spikes = _trend(norms), math.nan, np.empty(0, int)
    level = after = None
    varied = norms.size > 0 and norms.max() > norms.min()
    if norms.size:
        lines += _level(norms)
    if varied:
        after = _clipped_at(norms)
        if after is not None:
            share = (norms >= after * (1 - _SAME)).mean()
            lines.append(
                f"{percent(share)} of the norms lie at the very maximum, {short(after)}: this looks like a log of "
                f"norms AFTER clipping at c = {short(after)}. What they were before is not in it. Log the norm before "
                "clipping, which is what PyTorch's clip_grad_norm_ returns."
            )
        lines += _drift(norms)
    if varied and norms.size >= FEWEST:
        limit = _spike_limit(norms, trend)
        spikes = np.flatnonzero(norms > limit * trend)
        lines += _spikes(log, finite, norms, trend, limit, spikes)
    rules: dict[str, float] = {}
    paths: dict[str, Floats] = {}
    grid = fraction = np.empty(0)
    if norms.size and norms.max() > 0:
        grid = _grid(norms)
        fraction = _above(norms, grid)
        lines += ["", "The share of steps that a fixed c would have clipped:", *_table(norms)]
        rules, paths, said = _rules(norms, trend, spikes)
        lines += ["", *said]
        level, said = _suggestion(norms, trend, spikes, after)
        lines += ["", *said]
    lines += ["", *_unknown(log)]
    return Advice(log, tuple(lines), finite, trend, finite[spikes], limit, level, grid, fraction, rules, paths)


_SAME = 1e-5  # PyTorch's clipped norms are short of c by a relative 1e-6/n, and float32 adds 1e-7
_HUGE = 1e150  # larger norms count as infinite and norms below its inverse as 0: any ratio of two others is a number
_BLOCK = 25  # norms, at least, behind each median of the trend where there are so many


def _what_it_is(log: NormLog, finite: NDArray[np.int_]) -> Iterable[str]:
    n, bad = len(log), np.delete(np.arange(len(log)), finite)
    at = f"at step {log.steps[0]}" if n == 1 else f"from step {log.steps[0]} to step {log.steps[-1]}"
    yield f"{log.source}: {_count(n, 'norm')}, {at}."
    yield from log.notes
    if bad.size:
        nan, infinite = int(np.isnan(log.norms).sum()), int((log.norms == np.inf).sum())
        kinds = {"NaN": nan, "infinite": infinite, f"above {short(_HUGE)}": bad.size - nan - infinite}
        said = " and ".join(f"{k:,} {name}" for name, k in kinds.items() if k)
        left = "What follows leaves them out" if finite.size else "There is nothing else"
        yield (
            f"{_are(bad.size, n)} not finite ({said}), {_at_steps(log, bad)}. {left}. Clipping by norm does not mend "
            "them: it makes zeros and NaN of such a gradient. Find out where they come from."
        )
    distance = np.diff(log.steps)
    if n > 2 and log.in_order and np.median(distance) > 1:
        yield f"A norm is logged every {short(np.median(distance))} steps: spikes between them are not in this log."


def _level(norms: Floats) -> Iterable[str]:
    zeros = int((norms == 0).sum())
    if zeros == norms.size:
        yield "No finite norm is above 0: no gradient arrived, or the wrong thing was logged. There is nothing to clip."
        return
    if norms.size == 1:
        yield f"The only finite norm is {short(norms[0])}: one number has no spread, no trend and no spikes."
    elif norms.min() == norms.max():
        yield (
            f"All {norms.size:,} finite norms are {short(norms[0])}. Norms of a training run vary; this may be a "
            "threshold, a norm after clipping or of normalised gradients, or a log that was filled with one value."
        )
    else:
        low, half, high = np.percentile(norms, (10, 50, 90))
        yield (
            f"Median {short(half)}, mean {short(norms.mean())}, 10th percentile {short(low)}, 90th percentile "
            f"{short(high)}; the smallest is {short(norms.min())}, the largest {short(norms.max())}."
        )
    if zeros:
        yield (
            f"{_are(zeros, norms.size)} exactly 0: no gradient arrived there, or the step was skipped. Clipping leaves "
            "0 as it is."
        )


def _drift(norms: Floats) -> Iterable[str]:
    if norms.size < FEWEST:
        yield f"With {_count(norms.size, 'finite norm')} there is no telling a trend or a spike from chance."
        return
    a, b, clear = _change(norms)
    if 0 in (a, b):
        yield f"The median of the first quarter is {short(a)}, of the last {short(b)}."
    elif clear:
        word = "rise" if b > a else "fall"
        yield (
            f"The norms {word}: the last quarter's median, {short(b)}, is {short(b / a)} times that of the first, "
            f"{short(a)}."
        )
    else:
        yield (
            f"No clear trend: the last quarter's median, {short(b)}, is {short(b / a)} times that of the first, "
            f"{short(a)}."
        )


def _change(norms: Floats) -> tuple[float, float, bool]:
    """The medians of the first and the last quarter, and whether they differ by more than chance and a quarter.

    Chance: three standard errors of a difference of two medians, on a logarithmic scale.
    """
    first, last = _ends(norms)
    a, b = float(np.median(first)), float(np.median(last))
    if 0 in (a, b):
        return a, b, False
    logs = [np.log(part[part > 0] / middle) for part, middle in ((first, a), (last, b))]
    spread = 1.4826 * max(float(np.median(np.abs(one))) for one in logs)
    chance = 3 * 1.2533 * spread * math.sqrt(2 / first.size)
    return a, b, abs(math.log(b) - math.log(a)) > max(math.log(1.25), chance)


def _spikes(
    log: NormLog, finite: NDArray[np.int_], norms: Floats, trend: Floats, limit: float, spikes: NDArray[np.int_]
) -> Iterable[str]:
    above = f"more than {short(limit)} times the median around them"
    if not spikes.size:
        yield f"No spikes: no norm is {above.replace('them', 'it')}."
        return
    size = norms[spikes] / trend[spikes]
    top = spikes[size.argmax()]
    share = spikes.size / norms.size
    many = ". That is more than one in ten: no rare exceptions, but the way this run goes" if share > 0.1 else ""
    what = "spike" if spikes.size == 1 else "spikes"
    yield (
        f"{spikes.size:,} {what}, {percent(share)} of the norms ({above}), {_at_steps(log, finite[spikes])}. The "
        f"largest is {short(size.max())} times the trend: {short(norms[top])} at step {log.steps[finite[top]]}{many}."
    )


def _table(norms: Floats) -> Iterable[str]:
    half = float(np.median(norms)) or float(np.median(norms[norms > 0]))
    what = "the median" if np.median(norms) > 0 else "the median above 0"
    named = {half / 2: f"half {what}", half: what} | {k * half: f"{k} × {what}" for k in (2, 5, 10)}
    if not any(math.isclose(c, 1.0) for c in named):
        named[1.0] = "a common default"
    for c in sorted(named):
        yield f"  c = {short(c):<9} {percent(float((norms > c).mean())):>11}   {named[c]}"


def _rules(
    norms: Floats, trend: Floats, spikes: NDArray[np.int_]
) -> tuple[dict[str, float], dict[str, Floats], list[str]]:
    start = max(norms.size - LONGEST, 0)
    seen = norms[start:]
    of = f", seen by the last {LONGEST:,} of {norms.size:,} norms" if start else ""
    lines = [f"What each rule would have clipped, with its published settings{of}:"]
    rates: dict[str, float] = {}
    paths: dict[str, Floats] = {}
    hit = spikes[spikes >= start] - start
    for key, kind in THRESHOLDS.items():
        if kind.scope == "element":
            continue
        rule = kind()
        paths[key] = thresholds = follow(rule, seen)
        rates[key] = float(clip_rate(seen, thresholds))
        name = "fixed c = 1" if key == "fixed" else rule.label
        name += ", the whole gradient as its one block" if rule.scope == "block" else ""
        name += f" from C = {short(rule.initial)}" if hasattr(rule, "initial") else ""
        left = ""
        if hit.size:
            rest = float(np.median(left_over_trend(seen, thresholds, trend[start:])[hit]))
            left = f"; leaves {'the spike' if hit.size == 1 else 'a spike'} at {short(rest)} times the trend"
        warm = getattr(rule, "warmup", getattr(rule, "steps", 0))
        note = f" (all of this log lies in its warm-up of {warm} steps)" if warm >= seen.size else ""
        lines.append(f"  {percent(rates[key]):>11}  {name}{left}{note}")
    elements = ", ".join(kind.label for kind in THRESHOLDS.values() if kind.scope == "element")
    lines.append(f"  {'?':>11}  {elements}: it looks at single elements, which norms do not show")
    return rates, paths, lines


def _suggestion(
    norms: Floats, trend: Floats, spikes: NDArray[np.int_], after: float | None
) -> tuple[float | None, list[str]]:
    none = "No threshold is suggested: "
    if after is not None:
        return None, [f"{none}these norms seem to be clipped already, at {short(after)}."]
    if norms.min() == norms.max():
        return None, [f"{none}norms without spread give no reason for one c rather than another."]
    if norms.size < FEWEST:
        return None, [f"{none}that takes at least {FEWEST} finite norms."]
    ordinary = np.delete(norms, spikes)
    c = _round_up(float(np.percentile(ordinary, 99)))
    if not 0 < c < math.inf:
        return None, [f"{none}99 in 100 of the norms that are no spikes are 0, or too large for a number."]
    share = percent(float((norms > c).mean()))
    lines = [f"Suggested threshold: c = {short(c)}, the 99th percentile of the norms that are no spikes, rounded up."]
    if spikes.size:
        size = norms[spikes] / trend[spikes]
        top = int(spikes[size.argmax()])
        cut = int((norms[spikes] > c).sum())
        which = "the spike" if spikes.size == 1 else f"{cut:,} of the {spikes.size:,} spikes"
        if spikes.size == 1 and not cut:
            which = "not the spike, which lies where norms are small"
        lines.append(
            f"It would have clipped {share} of the steps, {which}, and left the largest spike, {short(size.max())} "
            f"times the trend, at {short(min(norms[top], c) / trend[top])} times."
        )
    else:
        lines.append(
            f"It would have clipped {share} of the steps. There is no spike for it to cut: it is a net, and this log "
            "gives no reason to expect much of it."
        )
    early, late, clear = _change(norms)
    if clear and max(early, late) > 3 * min(early, late):
        calm = _ends(norms, np.delete(np.arange(norms.size), spikes))
        begin, end = (_round_up(float(np.percentile(part, 99))) for part in calm)
        lines.append(
            f"But no single c fits this run from end to end: the same reasoning gives {short(begin)} for its first "
            f"quarter and {short(end)} for its last. A rule that follows the norms, or another c for each phase, would "
            "fit better."
        )
    mean = float(norms.mean())
    lines.append(
        f"Another rule of thumb, ½ to 10 times the average norm (Pascanu, Mikolov, Bengio, ICML 2013), gives "
        f"{short(mean / 2)} to {short(10 * mean)}."
    )
    return c, lines


def _unknown(log: NormLog) -> Iterable[str]:
    yield "What this log cannot tell:"
    yield "  - whether training would have gone better: with another c, later norms would have been others"
    yield "  - the learning rate η, the optimiser, the batch size, and whether the loss is a mean or a sum: c means"
    yield "    nothing without them (with plain SGD a clipped step has length η·c; Adam divides sizes out)"
    yield "  - the norms of single layers, examples or workers: one layer may spike unseen in the norm of the whole"
    yield "  - whether these are norms before clipping, of averaged and unscaled gradients; make sure that they are"
    yield "  - the next run: another seed, model or batch size has another log. Sweep η and c together, then watch the"
    yield "    share of clipped steps."


def _trend(norms: Floats) -> Floats:
    """The norm that was due at each step: the median of the norms around it, as a running median keeps a rise sharp.

    Of `_BLOCK` norms, or a 400th of a long log, for which it is computed five times a window and joined between, on a
    logarithmic scale. At the ends the log is mirrored. > 0, or NaN where all norms are 0.
    """
    if not norms.size or norms.max() == 0:
        return np.full(norms.size, np.nan)
    half = min(max(_BLOCK, norms.size // 400), norms.size) // 2
    every = 1 if norms.size <= 400 * _BLOCK else half // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(norms, half, mode="symmetric"), 2 * half + 1)[::every]
    medians = np.maximum(np.median(around, axis=-1), norms[norms > 0].min())
    places = np.arange(0, norms.size, every)
    return np.exp(np.interp(np.arange(norms.size), places, np.log(medians)))


def _spike_limit(norms: Floats, trend: Floats) -> float:
    """How many times the trend a spike is: e^(4s), s the spread of the logarithms by their median deviation; ≥ 3."""
    away = np.log(norms[norms > 0] / trend[norms > 0])
    spread = 1.4826 * float(np.median(np.abs(away - np.median(away))))
    return max(3.0, math.exp(min(4 * spread, math.log(_HUGE))))


def _clipped_at(norms: Floats) -> float | None:
    """The maximum, where so many norms lie there that they seem to have been clipped to it; else None.

    At least 5 of them and one in twenty, and twice as many as share any other value (norms with few digits do).
    """
    top = float(norms.max())
    at_top = norms >= top * (1 - _SAME)
    count = int(at_top.sum())
    if count < max(5, 0.05 * norms.size):
        return None
    others = np.sort(norms[~at_top])
    alike = 1
    if others.size:
        changes = np.flatnonzero(np.diff(others) > _SAME * others[1:])
        alike = int(np.diff(np.concatenate([[-1], changes, [others.size - 1]])).max())
    return top if count > 2 * alike else None


def _ends(norms: Floats, places: NDArray[np.int_] | None = None) -> tuple[Floats, Floats]:
    """The first quarter of a log and its last; of these, the norms at `places` alone, if there are any."""
    quarter = norms.size // 4
    if places is None:
        return norms[:quarter], norms[-quarter:]
    first, last = norms[places[places < quarter]], norms[places[places >= norms.size - quarter]]
    return first if first.size else norms[:quarter], last if last.size else norms[-quarter:]


def _grid(norms: Floats) -> Floats:
    """Thresholds from below the smallest norm to above the largest, evenly on a logarithmic scale."""
    low, high = math.log(norms[norms > 0].min()), math.log(norms.max())
    room = max(0.06 * (high - low), 0.25)
    return np.exp(np.linspace(low - room, high + room, 201))


def _above(norms: Floats, grid: Floats) -> Floats:
    return 1 - np.searchsorted(np.sort(norms), grid, side="right") / norms.size


def _round_up(c: float) -> float:
    """Rounded up to two significant digits."""
    if not 0 < c < math.inf:
        return c
    unit = math.floor(math.log10(c)) - 1
    digits = math.ceil(round(c / 10.0**unit, 6)) if -300 < unit < 300 else 0
    return float(f"{digits}e{unit}") if digits else c


# --- Words -------------------------------------------------------------------------------------------------


def short(value: float) -> str:
    """A number with three significant digits."""
    return f"{float(f'{value:.3g}'):g}"


def percent(share: float) -> str:
    """A share in [0, 1] as percent with one decimal; 0% and 100% only where it is exactly that."""
    if 0 < share < 0.001:
        return "under 0.1%"
    if 0.999 < share < 1:
        return "over 99.9%"
    return f"{100 * share:.1f}%" if 0 < share < 1 else f"{100 * share:.0f}%"


def _count(n: int, what: str) -> str:
    plural = what.removesuffix("y") + "ies" if what.endswith("y") else what + "s"
    return f"{n:,} {what if n == 1 else plural}"


def _are(n: int, of: int) -> str:
    return f"{n:,} of {_count(of, 'norm')} {'is' if n == 1 else 'are'}"


def _named(kind: str, first: Sequence[Any], of: int) -> str:
    """The first few of `of` lines or steps by their numbers."""
    more = f" and {of - _SHOWN:,} more" if of > _SHOWN else ""
    return f"{kind}{'s' if of > 1 else ''} {', '.join(map(str, first[:_SHOWN]))}{more}"


def _at_steps(log: NormLog, at: NDArray[np.int_]) -> str:
    return "at " + _named("step", log.steps[at[:_SHOWN]].tolist(), len(at))
