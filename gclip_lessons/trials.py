"""What a learner's function does when it is tried: an `Attempt`, plain data that can travel between processes.

`diagnosis` judges attempts. In a notebook both happen in one process. The grader runs this file's *source* in the
learner's kernel, where anything may have been changed, and judges in another process: so this file imports nothing
of the package, and `unpacked` trusts nothing that it reads.
"""

import base64
import binascii
import copy
import dis
import inspect
import io
import json
import linecache
import re
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

LARGEST = 2**22  # bytes of an array that travels
LONGEST = 1000  # letters of a text that travels


@dataclass(frozen=True)
class Raised:
    """What a function raised: the class as "builtins.ValueError", its text, and the line of the function's file."""

    kind: str
    text: str
    line: int = 0
    source: str = ""

    @property
    def name(self) -> str:
        """The class without its module."""
        return self.kind.rpartition(".")[2]


@dataclass(frozen=True)
class Trial:
    """One call of a function: its value or its error, and what else it did.

    `changed` says that an argument is no longer what it was, `handed_back` that the result shares memory with one.
    """

    value: Any = None
    error: Raised | None = None
    changed: bool = False
    handed_back: bool = False
    printed: bool = False
    warned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """What was handed in as a function, and for each list of arguments two calls of it; none where it takes others.

    `body` is what a plain function does, step by step, and None for any other callable; `given` is what was handed
    in where that cannot be called at all.
    """

    callable: bool
    given: Any = None
    n_args: int = 0
    body: tuple[tuple[str, str], ...] | None = None
    parameters: tuple[str, ...] = ()
    fits: bool = True
    module: str = ""
    trials: tuple[tuple[Trial, Trial], ...] = ()


def attempt(function: Any, probes: Iterable[tuple[Any, ...]]) -> Attempt:
    """Try a function on copies of each of the `probes`, twice, and return all there is to know for a judge."""
    if not callable(function):
        return Attempt(False, given=function)
    probes = list(probes)
    plain = inspect.isfunction(function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        signature = None
    fits = signature is None or all(_binds(signature, args) for args in probes[:1])
    return Attempt(
        True,
        n_args=function.__code__.co_argcount if plain else 0,
        body=body(function) if plain else None,
        parameters=tuple(signature.parameters) if signature else (),
        fits=fits,
        module=str(getattr(function, "__module__", "")),
        trials=tuple((call(function, args), call(function, args)) for args in probes) if fits else (),
    )


def call(function: Callable[..., Any], args: tuple[Any, ...]) -> Trial:
    """Call a function on copies of `args`; what it raises is caught, except a KeyboardInterrupt: the stop button."""
    args, before = copy.deepcopy(args), copy.deepcopy(args)
    value, error, handed_back = None, None, False
    with (
        warnings.catch_warnings(record=True) as caught,
        np.errstate(all="warn"),
        redirect_stdout(io.StringIO()) as out,
    ):
        warnings.simplefilter("always")
        try:
            leaves(returned := function(*args))  # a list within itself has no end, and is stopped here
            value = returned
            handed_back = any(_shares_memory(value, arg) for arg in args)
            if inspect.iscoroutine(value):
                value.close()
            # The function may give out the same array again and overwrite it in the next call.
            elif isinstance(value, (np.ndarray, list, tuple)):
                value = copy.deepcopy(value)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # SystemExit and its like must not end the learner's kernel
            error = _raised(raised)
    warned = tuple(dict.fromkeys(str(w.message) for w in caught))
    return Trial(value, error, not _identical(before, args), handed_back, bool(out.getvalue()), warned)


def _binds(signature: inspect.Signature, args: tuple[Any, ...]) -> bool:
    try:
        signature.bind(*args)
    except TypeError:
        return False
    return True


def leaves(value: Any) -> list[Any]:
    """What lists and tuples hold, however deep."""
    return [leaf for v in value for leaf in leaves(v)] if isinstance(value, (list, tuple)) else [value]


def body(function: Any) -> tuple[tuple[str, str], ...]:
    """What a function does, step by step; the same in a notebook, where Python calls np.sum in another way."""
    ways_to_call = ("PUSH_NULL", "PRECALL", "CACHE", "NOP")
    jumps = (*dis.hasjrel, *dis.hasjabs)

    def what(value: Any) -> str:
        return repr(body(value)) if inspect.iscode(value) else repr(value)

    return tuple(
        (step.opname.replace("LOAD_METHOD", "LOAD_ATTR"), "" if step.opcode in jumps else what(step.argval))
        for step in dis.get_instructions(function)
        if step.opname not in ways_to_call
    )


def brief(value: Any, limit: int = 200) -> str:
    """Any value as a short text."""
    try:
        text = str(value)
    except Exception:  # a learner's class may have a broken __str__
        return f"<{type(value).__name__}>"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    return text if len(text) <= limit else text[:limit] + "…"


def _shares_memory(value: Any, arg: Any) -> bool:
    return isinstance(value, np.ndarray) and isinstance(arg, np.ndarray) and np.may_share_memory(value, arg)


def _identical(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_identical, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(map(_identical, a.values(), b.values()))
    return True  # numbers and text cannot change; functions and models are not looked into


def _raised(error: BaseException) -> Raised:
    """The error, and where in the learner's own code it arose: the deepest frame in the file that `call` called."""
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = next((name for name, _ in frames if name != call.__code__.co_filename), None)
    line = next((line for name, line in reversed(frames) if name == own), None)
    source = linecache.getline(own, line).strip() if own and line else ""
    return Raised(f"{type(error).__module__}.{type(error).__name__}", brief(error), line or 0, source)


# ---- an attempt as text, and back


class Stranger:
    """Stands for an object that did not travel; its class bears the name of the object's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Record(dict):
    """Stands for a dataclass that did not travel: its fields by name. The class bears the dataclass's name."""

    text = ""

    def __str__(self) -> str:
        return self.text


def packed(made: Attempt) -> str:
    """An attempt as text."""
    trials = [[_packed_trial(trial) for trial in pair] for pair in made.trials]
    body = made.body and [[name, what[: 20 * LONGEST]] for name, what in made.body[:LONGEST]]
    told = {**made.__dict__, "given": _packed(made.given), "body": body, "trials": trials}
    return json.dumps(told)


def unpacked(text: str) -> Attempt:
    """The attempt that a text tells of; ValueError where it tells of none. The text may come from anywhere."""
    try:
        told = json.loads(text)
        trials = tuple((_unpacked_trial(a), _unpacked_trial(b)) for a, b in told["trials"])
        body = told["body"] and tuple((str(name), str(what)) for name, what in told["body"])
        return Attempt(
            bool(told["callable"]),
            _unpacked(told["given"]),
            int(told["n_args"]),
            body,
            tuple(map(str, told["parameters"])),
            bool(told["fits"]),
            str(told["module"]),
            trials,
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"text must be an attempt; got {type(error).__name__}: {brief(error)}") from None


def _packed_trial(trial: Trial) -> dict[str, Any]:
    error = trial.error and {**trial.error.__dict__, "source": trial.error.source[:LONGEST]}
    warned = [brief(text) for text in trial.warned[:5]]
    return {**trial.__dict__, "value": _packed(trial.value), "error": error, "warned": warned}


def _unpacked_trial(told: dict[str, Any]) -> Trial:
    error = told["error"]
    return Trial(
        _unpacked(told["value"]),
        error and Raised(str(error["kind"]), str(error["text"]), int(error["line"]), str(error["source"])),
        *(bool(told[name]) for name in ("changed", "handed_back", "printed")),
        tuple(map(str, told["warned"])),
    )


def _packed(value: Any) -> list[Any]:
    """A value as JSON: its kind, then what it takes to make it again."""
    if value is None or value is ...:
        return [repr(value)]
    if type(value) in (np.ndarray, *_SCALARS):
        if value.dtype.kind not in "biufc":
            return ["odd array", value.dtype.str] if isinstance(value, np.ndarray) else _stranger(value)
        if value.nbytes > LARGEST:
            return ["stranger", "ndarray", f"an array of shape {value.shape}"]
        data = base64.b64encode(value.tobytes()).decode()
        return ["array", isinstance(value, np.generic), value.dtype.str, list(np.shape(value)), data]
    if type(value) in (bool, str):
        return [type(value).__name__, value[: 10 * LONGEST] if isinstance(value, str) else value]
    if type(value) is int and value.bit_length() < LONGEST:
        return ["int", hex(value)]
    if type(value) is float:
        return ["float", value.hex()]
    if isinstance(value, (list, tuple)):
        return ["list" if isinstance(value, list) else "tuple", [_packed(v) for v in value]]
    if type(value) is dict and all(type(key) is str for key in value):
        return ["dict", [[key, _packed(v)] for key, v in value.items()]]
    if inspect.isgenerator(value) or inspect.iscoroutine(value):
        return ["generator"]
    if is_dataclass(value) and not isinstance(value, type):
        named = [[field.name, _packed(getattr(value, field.name))] for field in fields(value)]
        return ["record", type(value).__name__, brief(value), named]
    return _stranger(value)


def _stranger(value: Any) -> list[Any]:
    text = value.__name__ if inspect.isroutine(value) else brief(value)
    return ["stranger", type(value).__name__, text]


_SCALARS = tuple({np.dtype(code).type for code in np.typecodes["All"]})


def _unpacked(told: list[Any]) -> Any:
    kind, *rest = told
    if kind in ("None", "Ellipsis"):
        return None if kind == "None" else ...
    if kind == "array":
        return _array(*rest)
    if kind == "odd array":
        return np.empty(0, dtype=str(rest[0]))
    if kind in ("bool", "str"):
        return bool(rest[0]) if kind == "bool" else str(rest[0])
    if kind == "int":
        return int(rest[0], 16)
    if kind == "float":
        return float.fromhex(rest[0])
    if kind in ("list", "tuple"):
        values = map(_unpacked, rest[0])
        return list(values) if kind == "list" else tuple(values)
    if kind == "dict":
        return {str(key): _unpacked(value) for key, value in rest[0]}
    if kind == "generator":
        return (_ for _ in ())
    if kind == "record":
        record = type(str(rest[0]), (Record,), {"text": str(rest[1])})()
        record.update({str(key): _unpacked(value) for key, value in rest[2]})
        return record
    if kind == "stranger":
        return type(str(rest[0]), (Stranger,), {})(str(rest[1]))
    raise ValueError(f"kind of a value must be a known one; got {kind!r}")


def _array(scalar: bool, dtype: str, shape: list[int], data: str) -> Any:
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    kind = np.dtype(str(dtype))
    if kind.kind not in "biufc":
        raise ValueError(f"dtype must be a number's; got {dtype!r}")
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"shape must be whole numbers; got {shape!r}")
    array = (np.frombuffer(raw, kind) if raw else np.empty(0, kind)).reshape(shape).copy()
    return array[()] if scalar else array
