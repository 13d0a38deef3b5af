"""Filter patterns for JSON log lines: ``{ $.level = "ERROR" && $.retries > 2 }``.

Selectors ``$.a.b``, ``$.a[0]``, ``$['a b']`` and ``[*]``; ``=`` and ``!=`` with text (``*`` stands for anything) and
numbers, ``< > <= >=`` with numbers, ``IS NULL``, ``IS TRUE``, ``IS FALSE``, ``NOT EXISTS``, regular expressions between
``%``, ``&&``, ``||`` and parentheses. Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax", JSON log
events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from jupyter_lambda.errors import ValidationException

Test = Callable[[Any], bool]
_TOKEN = re.compile(
    r"\s*(?:(?P<and>&&)|(?P<or>\|\|)|(?P<open>\()|(?P<close>\))"
    r"|(?P<selector>\$(?:\.[A-Za-z0-9_\-]+|\[(?:\d+|\*|'[^']*'|\"[^\"]*\")\]|\.\*)*)"
    r"|(?P<operator>!=|<=|>=|=|<|>)|(?P<regex>%[^%]*%)|(?P<text>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<word>[^\s\"%()&|=<>!$]+))"
)
_STEP = re.compile(r"\.([A-Za-z0-9_\-]+|\*)|\[(?:(\d+)|(\*)|'([^']*)'|\"([^\"]*)\")\]")
#: Nested parentheses.
_DEPTH_MAX = 32
_MISSING = object()
#: Characters of a line or value that a regular expression looks at: what it costs can grow faster than the length.
EXPRESSION_SEES = 4_096


class JsonPattern:
    """A parsed pattern."""

    def __init__(self, text: str) -> None:
        """
        Args:
            text: What stands between the braces.
        Raises:
            ValidationException: It can't be read.
        """
        self._tokens = _tokens(text)
        self._at = 0
        self._test = self._either(0)
        if self._at < len(self._tokens):
            raise _invalid(self._tokens[self._at][1])

    def matches(self, message: bytes) -> bool:
        """Whether a line is a JSON object that passes."""
        if not message.lstrip().startswith(b"{"):
            return False
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return self._test(document)

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _invalid("the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, kind: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == kind:
            self._at += 1
            return True
        return False

    def _either(self, depth: int) -> Test:
        tests = [self._both(depth)]
        while self._accept("or"):
            tests.append(self._both(depth))
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _both(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._accept("and"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _one(self, depth: int) -> Test:
        if depth > _DEPTH_MAX:
            raise ValidationException(f"Invalid filter pattern: nested deeper than {_DEPTH_MAX} levels")
        kind, text = self._next()
        if kind == "open":
            test = self._either(depth + 1)
            if not self._accept("close"):
                raise _invalid("a missing )")
            return test
        if kind != "selector":
            raise _invalid(text)
        steps = _steps(text)
        kind, text = self._next()
        if kind == "word":
            return self._words(steps, text.upper())
        if kind != "operator":
            raise _invalid(text)
        return _comparison(steps, text, *self._next())

    def _words(self, steps: list[str | int], first: str) -> Test:
        kind, second = self._next()
        words = f"{first} {second.upper()}" if kind == "word" else first
        if words == "NOT EXISTS":
            return lambda document: next(_values(document, steps), _MISSING) is _MISSING
        if words == "IS NULL":
            return lambda document: any(value is None for value in _values(document, steps))
        if words in ("IS TRUE", "IS FALSE"):
            wanted = words == "IS TRUE"
            return lambda document: any(value is wanted for value in _values(document, steps))
        raise _invalid(words)


def _comparison(steps: list[str | int], operator: str, kind: str, text: str) -> Test:
    wanted = _wanted(operator, kind, text)
    if operator == "!=":
        # Also true where the field isn't there at all.
        return lambda document: not any(wanted(value) for value in _values(document, steps))
    return lambda document: any(wanted(value) for value in _values(document, steps))


def _wanted(operator: str, kind: str, text: str) -> Callable[[Any], bool]:
    if operator in ("=", "!="):
        return value_test(kind, text)
    number = number_of(text) if kind == "word" else None
    if number is None:
        raise _invalid(text)
    return lambda value: ordered(operator, value, number)


def value_test(kind: str, text: str) -> Callable[[Any], bool]:
    """A test for equality with a word, a quoted text (both may have ``*``) or a regular expression.

    Raises:
        ValidationException: A regular expression that can't be read.
    """
    if kind == "regex":
        regex = expression(text[1:-1])
        return lambda value: isinstance(value, str) and regex.search(value[:EXPRESSION_SEES]) is not None
    if kind not in ("text", "word"):
        raise _invalid(text)
    if kind == "text":
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    parts = text.split("*")
    number = number_of(text) if kind == "word" else None

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return _alike(value, parts)
        if isinstance(value, bool) or value is None:
            return text.lower() == json.dumps(value)
        if isinstance(value, (int, float)):
            return value == number if number is not None else _alike(json.dumps(value), parts)
        return False

    return test


def expression(text: str) -> re.Pattern[str]:
    """A regular expression of AWS's subset, which has no groups.

    Raises:
        ValidationException: It can't be read, or has groups.
    """
    if "(" in re.sub(r"\\.", "", text):
        raise ValidationException(f"Invalid filter pattern: regular expression %{text[:64]}%: it has parentheses")
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValidationException(f"Invalid filter pattern: regular expression %{text[:64]}%: {exc}") from None


def _alike(value: str, parts: list[str]) -> bool:
    """Whether a text consists of these parts with anything in between; takes no more than one pass."""
    if len(parts) == 1:
        return value == parts[0]
    first, *middle, last = parts
    if not value.startswith(first) or not value.endswith(last) or len(value) < len(first) + len(last):
        return False
    position, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def ordered(operator: str, value: Any, number: float) -> bool:
    """Whether a value is a number of the right size."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    match operator:
        case "<":
            return value < number
        case ">":
            return value > number
        case "<=":
            return value <= number
    return value >= number


def number_of(text: str) -> float | None:
    """The number that a word is, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _values(document: Any, steps: list[str | int]) -> Iterator[Any]:
    """Everything that a selector points at; nothing where a step leads nowhere."""
    if not steps:
        yield document
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        items = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
        for item in items:
            yield from _values(item, rest)
    elif isinstance(step, int):
        if isinstance(document, list) and step < len(document):
            yield from _values(document[step], rest)
    elif isinstance(document, dict) and step in document:
        yield from _values(document[step], rest)


def _steps(selector: str) -> list[str | int]:
    steps: list[str | int] = []
    for match in _STEP.finditer(selector, 1):
        name, index, star, single, double = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(next(part for part in (name, star, single, double) if part is not None))
    return steps


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _invalid(text[position:].strip()[:40])
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        position = match.end()
    return found


def _invalid(text: str) -> ValidationException:
    return ValidationException(
        f'Invalid filter pattern at {text[:40]!r}: write conditions such as {{ $.level = "ERROR" && $.retries > 2 }}'
    )
