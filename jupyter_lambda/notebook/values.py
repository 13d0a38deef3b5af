"""A value of the notebook as something a function can carry: a literal in its source, or a pickled data file.

What can't travel (open files, connections, locks, generators, GPU memory) is refused by name with what to do instead.
"""

from __future__ import annotations

import io
import math
import pprint
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import CaptureError

#: Characters of source up to which a literal stands in the module itself.
LITERAL_MAX_CHARS = 4_000
#: Bytes of one value: above, a warning; above, a refusal.
WARN_BYTES, REFUSE_BYTES = 256 * 1024, 16 * 1024 * 1024
#: Readable by Python 3.8 and later, and by every runtime.
PICKLE_PROTOCOL = 5

_INSIDE = "open it inside the function"
#: Module of a type (or the start of its dotted name) → what it is, and what to do. The most exact entry wins.
_UNSHIPPABLE: dict[str, tuple[str, str]] = {
    "_io": ("an open file", "open it inside the function, or bring its content: `text = {name}.read()`"),
    "tempfile": ("an open temporary file", "make it inside the function (/tmp is writable there)"),
    "socket": ("an open socket", "connect inside the function"),
    "ssl": ("an open connection", "connect inside the function"),
    "http.client": ("an open connection", "connect inside the function"),
    "sqlite3": ("an open database connection", "connect inside the function"),
    "psycopg": ("an open database connection", "connect inside the function"),
    "psycopg2": ("an open database connection", "connect inside the function"),
    "pymysql": ("an open database connection", "connect inside the function"),
    "pyodbc": ("an open database connection", "connect inside the function"),
    "duckdb": ("an open database connection", "connect inside the function"),
    "sqlalchemy.engine": ("a database connection", "create the engine inside the function"),
    "sqlalchemy.orm.session": ("a database session", "create the session inside the function"),
    "redis": ("an open connection", "connect inside the function"),
    "pymongo": ("an open connection", "connect inside the function"),
    "botocore": ("an AWS client", "make it inside the function: `boto3.client(…)` has credentials there"),
    "boto3": ("an AWS client", "make it inside the function: `boto3.client(…)` has credentials there"),
    "_thread": ("a lock", "a function runs one event at a time: leave the lock out, or make one inside the function"),
    "threading": ("a thread or a lock", "make it inside the function"),
    "multiprocessing": ("a process, a lock or shared memory", "make it inside the function"),
    "concurrent.futures": ("an executor or a future", "make it inside the function; ship the future's `.result()`"),
    "asyncio": ("a task, loop or lock of asyncio", "make it inside the function"),
    "_asyncio": ("a task of asyncio", "await it and use its result"),
    "subprocess": ("a running process", "start it inside the function"),
    "select": ("an operating-system handle", _INSIDE),
    "mmap": ("a memory map", _INSIDE),
    "ipywidgets": ("a widget", "use its value: `{name}.value`"),
    "IPython": ("an object of the notebook itself", "functions have no notebook; leave it out"),
    "ipykernel": ("an object of the notebook itself", "functions have no notebook; leave it out"),
    "jupyter_lambda": ("a Lambda function's handle", "call it with boto3: `boto3.client('lambda').invoke(…)`"),
    "cupy": ("GPU memory", "copy it to the CPU: `{name} = {name}.get()`"),
}
_GENERATORS: dict[type, tuple[str, str]] = {
    types.GeneratorType: ("a generator", "make it a list: `{name} = list({name})`"),
    types.AsyncGeneratorType: ("an asynchronous generator", "collect it into a list first"),
    types.CoroutineType: ("a coroutine", "await it and use its result"),
    types.FrameType: ("a stack frame", "leave it out"),
    types.TracebackType: ("a traceback", "leave it out"),
}


@dataclass(frozen=True, slots=True)
class Pickled:
    """A value as a data file."""

    data: bytes
    #: Names of the notebook's own classes and functions that it refers to.
    refers_to: tuple[str, ...]
    #: Top-level names of the modules that loading it imports.
    modules: tuple[str, ...]


def literal(value: Any) -> str | None:
    """The value as Python source, or None when it has no short exact one."""
    if not _is_literal(value, depth=0):
        return None
    text = _source(value)
    if len(text) > LITERAL_MAX_CHARS:
        return None
    return text


def _is_literal(value: Any, depth: int) -> bool:
    kind = type(value)
    if value is None or value is Ellipsis or kind in (bool, int, str, bytes, float, complex):
        return True
    if depth > 8:
        return False
    if kind in (tuple, list, set, frozenset):
        return len(value) <= 1000 and all(_is_literal(item, depth + 1) for item in value)
    if kind is dict:
        return len(value) <= 1000 and all(
            _is_literal(k, depth + 1) and _is_literal(v, depth + 1) for k, v in value.items()
        )
    return False


def _source(value: Any) -> str:
    exact = _exact(value)
    return exact if len(exact) <= 100 or _irregular(value) else pprint.pformat(value, width=100, sort_dicts=False)


def _irregular(value: Any) -> bool:
    """Whether it holds something whose repr is not its source, or not always the same one."""
    if isinstance(value, set | frozenset):
        return True
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, complex):
        return True
    if isinstance(value, dict):
        return any(_irregular(k) or _irregular(v) for k, v in value.items())
    if isinstance(value, tuple | list):
        return any(_irregular(item) for item in value)
    return False


def _exact(value: Any) -> str:
    match value:
        case float() if not math.isfinite(value):
            return f'float("{value}")'
        case complex():
            return f"complex({_exact(value.real)}, {_exact(value.imag)})"
        case set() | frozenset() as items:
            inner = ", ".join(sorted(_exact(item) for item in items))
            if isinstance(items, frozenset):
                return f"frozenset({{{inner}}})" if items else "frozenset()"
            return f"{{{inner}}}" if items else "set()"
        case list() as items:
            return "[" + ", ".join(_exact(item) for item in items) + "]"
        case tuple() as items:
            return "(" + ", ".join(_exact(item) for item in items) + ("," if len(items) == 1 else "") + ")"
        case dict() as mapping:
            return "{" + ", ".join(f"{_exact(k)}: {_exact(v)}" for k, v in mapping.items()) + "}"
    return repr(value)


def pickled(name: str, value: Any, namespace: Mapping[str, Any]) -> Pickled:
    """The value as bytes that ``pickle`` loads inside the function.

    The notebook's own classes and functions are stored as references, to be found in the function's module.

    Raises:
        CaptureError: It can't travel, or is too large; the message names the culprit.
    """
    refuse_unshippable(name, value)
    writer = _Capped()
    pickler = _pickler(writer, value, namespace)
    try:
        pickler.dump(value)
    except _TooLarge:
        raise too_large(name, value) from None
    except Exception as exc:  # noqa: BLE001 - any object's __reduce__ may raise anything
        raise _cannot_pickle(name, value, namespace, exc) from None
    return Pickled(writer.getvalue(), tuple(pickler.references), tuple(pickler.modules))


class _TooLarge(Exception):
    pass


class _Capped(io.BytesIO):
    """Stops a pickle as soon as it is too large, before it fills the memory."""

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > REFUSE_BYTES:
            raise _TooLarge
        return super().write(data)


def _pickler(writer: io.BytesIO, root: Any, namespace: Mapping[str, Any]) -> Any:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """cloudpickle for data; the notebook's own definitions by reference."""

        def __init__(self) -> None:
            super().__init__(writer, protocol=PICKLE_PROTOCOL)
            self.references: dict[str, None] = {}
            self.modules: dict[str, None] = {}

        def persistent_id(self, value: Any) -> tuple[str, str] | None:
            name = None if value is root else reference(value, namespace)
            if name is None:
                if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
                    self.modules[str(value.__module__).partition(".")[0]] = None
                return None
            self.references[name.partition(".")[0]] = None
            return "notebook", name

    return Pickler()


def reference(value: Any, namespace: Mapping[str, Any]) -> str | None:
    """The dotted name under which the notebook holds one of its own classes or functions, or None."""
    if not isinstance(value, type | types.FunctionType):
        return None
    own = namespace.get("__name__", "__main__")
    if getattr(value, "__module__", None) not in (own, "__main__"):
        return None
    qualified = value.__qualname__
    if "<" in qualified:
        return None
    first, *rest = qualified.split(".")
    found = namespace.get(first)
    for part in rest:
        found = getattr(found, part, None)
    return qualified if found is value else None


def refuse_unshippable(name: str, value: Any) -> None:
    """Refuse what is known not to travel.

    Raises:
        CaptureError: Says what it is and what to do instead.
    """
    found = _why_not(value)
    if found:
        what, advice = found
        raise CaptureError(f"`{name}` is {what} and can't travel to a function: {advice.format(name=name)}")


def _why_not(value: Any) -> tuple[str, str] | None:
    for kind, reason in _GENERATORS.items():
        if isinstance(value, kind):
            return reason
    if _on_gpu(value):
        return "a tensor on the GPU", "move it to the CPU: `{name} = {name}.cpu()`"
    kind = type(value)
    if isinstance(value, io.StringIO | io.BytesIO | type):
        return None
    for base in kind.__mro__[:-1]:
        dotted = f"{base.__module__}.{base.__qualname__}"
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            known = _UNSHIPPABLE.get(".".join(parts[:length]))
            if known:
                return known if _really(base, parts) else None
    return None


def _really(base: type, parts: list[str]) -> bool:
    """Modules that define both handles and plain data."""
    if parts[0] in ("sqlite3", "duckdb", "psycopg", "psycopg2", "pymysql", "pyodbc", "redis", "pymongo"):
        return any(word in base.__qualname__ for word in ("onnection", "ursor", "lient", "Redis", "Pool", "Blob"))
    if parts[0] == "tempfile":
        return base.__qualname__ != "TemporaryDirectory"
    if issubclass(base, BaseException | dict | list | tuple | str | int):
        return False
    if parts[0] in ("botocore", "boto3"):
        return hasattr(base, "meta") or "ession" in base.__qualname__ or "client" in parts
    return True


def _on_gpu(value: Any) -> bool:
    kind = type(value)
    if kind.__module__.partition(".")[0] != "torch":
        return False
    return getattr(value, "is_cuda", False) is True


def _cannot_pickle(name: str, value: Any, namespace: Mapping[str, Any], exc: Exception) -> CaptureError:
    """Find which part of a value can't be pickled, so that the message names it."""
    path, culprit = _culprit(name, value, namespace, depth=4)
    found = _why_not(culprit)
    inside = "" if path == name else f" (in `{name}`)"
    if found:
        what, advice = found
        return CaptureError(f"`{path}`{inside} is {what} and can't travel to a function: {advice.format(name=path)}")
    kind = type(culprit)
    return CaptureError(
        f"`{path}`{inside}, a {kind.__module__}.{kind.__qualname__}, can't be pickled ({exc}): "
        "make it inside the function instead"
    )


def _culprit(path: str, value: Any, namespace: Mapping[str, Any], depth: int) -> tuple[str, Any]:
    if depth:
        for part_path, part in _parts(path, value):
            if not _picklable(part, namespace):
                return _culprit(part_path, part, namespace, depth - 1)
    return path, value


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", part) for key, part in list(value.items())[:200])
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{index}]", part) for index, part in enumerate(value[:200]))
    elif not isinstance(value, type):
        yield from ((f"{path}.{key}", part) for key, part in getattr(value, "__dict__", {}).items())


def _picklable(value: Any, namespace: Mapping[str, Any]) -> bool:
    try:
        _pickler(_Capped(), value, namespace).dump(value)
    except _TooLarge:
        return True
    except Exception:  # noqa: BLE001 - any object's __reduce__ may raise anything
        return False
    return True


def too_large(name: str, value: Any) -> CaptureError:
    """The refusal of a value over 16 MB, with the line that would fix it."""
    size = estimated_size(value)
    much = human_size(size) if size and size > REFUSE_BYTES else f"more than {human_size(REFUSE_BYTES)}"
    kind = type(value)
    if kind.__name__ == "DataFrame":
        fix = f'`{name}.to_parquet("{name}.parquet")` and read the file inside the function'
    elif hasattr(value, "nbytes") and hasattr(value, "dtype"):
        fix = f"`{name} = {name}[…]`: take the part it needs"
    else:
        fix = f"pass what it needs of it in the event instead of using `{name}` by name"
    return CaptureError(
        f"`{name}` ({kind.__name__}) is {much}; a function may carry {human_size(REFUSE_BYTES)} of data: {fix}"
    )


def estimated_size(value: Any) -> int | None:
    """Bytes of an array or table without copying it; None for anything else."""
    measure: Callable[..., Any] | None = getattr(value, "memory_usage", None)
    try:
        if callable(measure):
            usage = measure(deep=True)
            return int(usage.sum()) if hasattr(usage, "sum") else int(usage)
        size = getattr(value, "nbytes", None)
        if isinstance(size, int):
            return size
        return len(value) if isinstance(value, bytes | bytearray | str) else None
    except Exception:  # noqa: BLE001 - a size is only a courtesy
        return None


def human_size(size: float) -> str:
    """Bytes for people: "12 B", "3.4 kB", "48 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError
