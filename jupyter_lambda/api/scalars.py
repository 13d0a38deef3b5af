"""Scalar shapes of a service's description, compiled: each decodes what JSON carried, checks it and encodes answers.

Checks give AWS's own sentences.
"""
# ruff: noqa: D102 - what the methods of each shape do is said once, in Shape

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jupyter_lambda.errors import SerializationException

#: What ``\p{Z}`` is inside a Python character class.
_SPACES = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_PROPERTIES = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": _SPACES}
#: Above this length a value that is too long anyway is not matched against its pattern.
_PATTERN_MAX_CHARS = 4_096
#: A refused value is repeated up to this length.
_SHOWN_MAX_CHARS = 10_240
NOT_NULL = "Member must not be null"


class Shape:
    """One shape. ``problems`` are the constraints a value breaks, ``constraints`` all that the shape has."""

    kind = "any"

    def __init__(self, name: str, spec: Mapping[str, Any]) -> None:
        self.name = name
        self.sensitive = bool(spec.get("sensitive"))
        #: True when ``check`` can never find anything.
        self.free = True

    def decode(self, value: Any) -> Any:
        """JSON value → Python value.

        Raises:
            SerializationException: Another JSON type than the shape's.
        """
        return value

    def decode_text(self, text: str) -> Any:
        """The same from a path segment, a query value or a header."""
        return self.decode(text)

    def encode(self, value: Any) -> Any:
        """Python value → JSON value."""
        return value

    def problems(self, value: Any) -> list[str]:
        """The constraints of this shape itself that the value breaks."""
        return []

    def constraints(self) -> list[str]:
        """All constraints of this shape, in AWS's order."""
        return []

    def check(self, value: Any, path: str, found: list[str]) -> None:
        """Add a sentence to ``found`` for each constraint broken here or below."""
        found.extend(self.sentence(value, path, constraint) for constraint in self.problems(value))

    def sentence(self, value: Any, path: str, constraint: str) -> str:
        """AWS's sentence for one broken constraint; the value of a sensitive shape is not repeated."""
        shown = "Value" if self.sensitive else f"Value '{java_text(value)[:_SHOWN_MAX_CHARS]}'"
        return f"{shown} at '{path}' failed to satisfy constraint: {constraint}"


class StringShape(Shape):
    """Text, with length, pattern and enumeration."""

    kind = "string"

    def __init__(self, name: str, spec: Mapping[str, Any]) -> None:
        super().__init__(name, spec)
        self.min: int = spec.get("min", 0)
        self.max: int | None = spec.get("max")
        self.enum: tuple[str, ...] = tuple(spec.get("enum", ()))
        self.pattern_text: str | None = spec.get("pattern")
        self.pattern = compile_pattern(self.pattern_text) if self.pattern_text else None
        self.free = not (self.min or self.max is not None or self.enum or self.pattern)

    def decode(self, value: Any) -> Any:
        if isinstance(value, str):
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise SerializationException("A string has a surrogate code point without its pair") from None
            return value
        raise SerializationException(f"{json_kind(value)} can not be converted to a String")

    def problems(self, value: str) -> list[str]:
        found = []
        size = len(value)
        if self.max is not None and size > self.max:
            found.append(f"Member must have length less than or equal to {self.max}")
        if size < self.min:
            found.append(f"Member must have length greater than or equal to {self.min}")
        if self.enum and value not in self.enum:
            found.append(self._enum_text())
        if self.pattern and (size <= _PATTERN_MAX_CHARS or not found) and not self.pattern.fullmatch(value):
            found.append(f"Member must satisfy regular expression pattern: {self.pattern_text}")
        return found

    def constraints(self) -> list[str]:
        found = []
        if self.max is not None:
            found.append(f"Member must have length less than or equal to {self.max}")
        if self.min:
            found.append(f"Member must have length greater than or equal to {self.min}")
        if self.enum:
            found.append(self._enum_text())
        if self.pattern_text:
            found.append(f"Member must satisfy regular expression pattern: {self.pattern_text}")
        return found

    def _enum_text(self) -> str:
        return f"Member must satisfy enum value set: [{', '.join(self.enum)}]"


class NumberShape(Shape):
    """integer, long, double or float, with a range."""

    kind = "number"
    _WHOLE = {"integer": ("Integer", 2**31), "long": ("Long", 2**63)}  # noqa: RUF012

    def __init__(self, name: str, spec: Mapping[str, Any]) -> None:
        super().__init__(name, spec)
        self.whole = self._WHOLE.get(spec["type"])
        self.min = spec.get("min")
        self.max = spec.get("max")
        self.free = self.min is None and self.max is None

    def decode(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            target = self.whole[0] if self.whole else "Double"
            raise SerializationException(f"{json_kind(value)} can not be converted to {_article(target)}")
        if self.whole:
            name, bound = self.whole
            if isinstance(value, float) or not -bound <= value < bound:
                raise SerializationException(f"{value} can not be converted to {_article(name)}")
            return value
        try:
            return float(value)
        except OverflowError:
            raise SerializationException("a number is too large for a Double") from None

    def decode_text(self, text: str) -> Any:
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            target = self.whole[0] if self.whole else "Double"
            raise SerializationException(f"STRING_VALUE can not be converted to {_article(target)}") from None
        return self.decode(value)

    def problems(self, value: float) -> list[str]:
        found = []
        if self.max is not None and not value <= self.max:
            found.append(f"Member must have value less than or equal to {self.max}")
        if self.min is not None and not value >= self.min:
            found.append(f"Member must have value greater than or equal to {self.min}")
        return found

    def constraints(self) -> list[str]:
        upper = [] if self.max is None else [f"Member must have value less than or equal to {self.max}"]
        lower = [] if self.min is None else [f"Member must have value greater than or equal to {self.min}"]
        return upper + lower


class BooleanShape(Shape):
    """true or false."""

    kind = "boolean"

    def decode(self, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        raise SerializationException(f"{json_kind(value)} can not be converted to a Boolean")

    def decode_text(self, text: str) -> Any:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise SerializationException("STRING_VALUE can not be converted to a Boolean")


class BlobShape(Shape):
    """Bytes; base64 inside JSON."""

    kind = "blob"

    def decode(self, value: Any) -> Any:
        if isinstance(value, bytes):  # CBOR carries them as they are
            return value
        if not isinstance(value, str):
            raise SerializationException(f"{json_kind(value)} can not be converted to a Blob")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise SerializationException(f"a blob is not valid base64: {exc}") from None

    def encode(self, value: Any) -> Any:
        return base64.b64encode(value).decode()


class TimestampShape(Shape):
    """Seconds since the epoch; in JSON a number (ISO 8601 is understood too), or ISO 8601 where the shape says so."""

    kind = "timestamp"

    def __init__(self, name: str, spec: Mapping[str, Any]) -> None:
        super().__init__(name, spec)
        self._iso8601 = spec.get("timestampFormat") == "iso8601"

    def encode(self, value: Any) -> Any:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if self._iso8601 else value

    def decode(self, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str):
            return self.decode_text(value)
        raise SerializationException(f"{json_kind(value)} can not be converted to a Timestamp")

    def decode_text(self, text: str) -> Any:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SerializationException(f"'{text[:64]}' is not an ISO 8601 time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def compile_pattern(text: str) -> re.Pattern[str] | None:
    """A Java pattern for Python; None where it uses what Python hasn't (it is then not checked)."""
    for java, python in _PROPERTIES.items():
        text = text.replace(java, python)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(text)
    except re.error:
        return None


def member_path(name: str) -> str:
    """How AWS writes a member in its sentences: FunctionName → functionName."""
    return name[:1].lower() + name[1:]


def java_text(value: Any) -> str:
    """How a value looks in AWS's sentences, which Java's toString wrote."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}={java_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(java_text(item) for item in value) + "]"
    return str(value)


def json_kind(value: Any) -> str:
    """What AWS's parser calls a JSON value of the wrong type."""
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    if isinstance(value, (int, float)):
        return "NUMBER_VALUE"
    if value is None:
        return "NULL_VALUE"
    return "START_ARRAY" if isinstance(value, list) else "START_OBJECT"


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "AEIOU" else f"a {noun}"
