"""Filter patterns for space-delimited log lines: ``[ip, user, ..., status = 4*, size > 1000]``.

A line is cut at blanks, but not within ``"…"`` and ``[…]``. Each name stands for a field, ``...`` for any number of
them; a condition may follow a name, several joined by ``&&`` and ``||``, each beginning with the name again.
Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax", space-delimited log events.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from jupyter_lambda.errors import ValidationException

from .pattern_json import number_of, ordered, value_test

Test = Callable[[str], bool]
_FIELD = re.compile(r'"([^"]*)"|\[([^\]]*)\]|(\S+)')
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
_TOKEN = re.compile(
    r"\s*(?:(?P<and>&&)|(?P<or>\|\|)|(?P<operator>!=|<=|>=|=|<|>)|(?P<regex>%[^%]*%)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<word>[^\s\"%=<>!&|]+))"
)
_ANY = "..."


class FieldPattern:
    """A parsed pattern."""

    def __init__(self, text: str) -> None:
        """
        Args:
            text: What stands between the brackets.
        Raises:
            ValidationException: It can't be read.
        """
        parts = [part.strip() for part in _split(text)]
        if parts.count(_ANY) > 1:
            raise ValidationException("Invalid filter pattern: ... may stand in it once only")
        self._tests = [None if part == _ANY else _condition(part) for part in parts]

    def matches(self, message: bytes) -> bool:
        """Whether a line has these fields and they pass."""
        found = _FIELD.findall(message.decode("utf-8", "replace"))
        fields = [quoted or bracketed or word for quoted, bracketed, word in found]
        tests = self._tests
        if None not in tests:
            return len(fields) == len(tests) and self._pass(tests, fields)
        gap = tests.index(None)
        after = tests[gap + 1 :]
        if len(fields) < len(tests) - 1:
            return False
        tail = fields[len(fields) - len(after) :] if after else []
        return self._pass(tests[:gap], fields[:gap]) and self._pass(after, tail)

    @staticmethod
    def _pass(tests: list[Test | None], fields: list[str]) -> bool:
        return all(test is None or test(field) for test, field in zip(tests, fields, strict=True))


def _split(text: str) -> list[str]:
    """The parts between commas that are not in quotation marks."""
    return re.findall(r'(?:"(?:[^"\\]|\\.)*"|%[^%]*%|[^,"%])+', text) or [""]


def _condition(part: str) -> Test:
    name = _NAME.match(part)
    if name is None:
        raise _invalid(part)
    tokens = _tokens(part)
    if len(tokens) == 1:
        return lambda field: True
    either: list[list[Test]] = [[]]
    position = 0
    while True:
        # name operator value, joined by && and ||
        triple = tokens[position : position + 3]
        if len(triple) < 3 or triple[0] != ("word", name[0]) or triple[1][0] != "operator":
            raise _invalid(part)
        either[-1].append(_test(triple[1][1], *triple[2]))
        position += 3
        if position == len(tokens):
            return lambda field: any(all(test(field) for test in tests) for tests in either)
        kind = tokens[position][0]
        if kind not in ("and", "or"):
            raise _invalid(part)
        if kind == "or":
            either.append([])
        position += 1


def _test(operator: str, kind: str, text: str) -> Test:
    if operator in ("=", "!="):
        same = value_test(kind, text)
        number = number_of(text) if kind == "word" else None

        def equal(field: str) -> bool:
            return same(field) or (number is not None and number_of(field) == number)

        return equal if operator == "=" else lambda field: not equal(field)
    number = number_of(text) if kind == "word" else None
    if number is None:
        raise _invalid(text)
    limit = number

    def compared(field: str) -> bool:
        value = number_of(field)
        return value is not None and ordered(operator, value, limit)

    return compared


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _invalid(text[position:])
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        position = match.end()
    return found


def _invalid(text: str) -> ValidationException:
    return ValidationException(
        f"Invalid filter pattern at {text[:40]!r}: write fields such as [ip, user, ..., status = 4*, size > 1000]"
    )
