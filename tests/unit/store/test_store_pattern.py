"""CloudWatch's filter patterns, the unstructured part."""

import pytest

from jupyter_lambda.errors import ValidationException
from jupyter_lambda.store.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("   ", "anything", True),
        ("ERROR", "[ERROR] x", True),
        ("ERROR", "error", False),
        ("ERROR x", "x then ERROR", True),
        ("ERROR y", "x then ERROR", False),
        ("?ERROR ?WARN", "a WARN", True),
        ("?ERROR ?WARN", "a NOTE", False),
        ("disk ?ERROR ?WARN", "a WARN", False),
        ("disk ?ERROR ?WARN", "disk WARN", True),
        ("-debug", "info", True),
        ("-debug", "debug", False),
        ("ERROR -Timeout", "ERROR Timeout", False),
        ('"exit code"', "the exit code is", True),
        ('"exit code"', "code exit", False),
        ('-"exit code"', "the exit code", False),
        ('?"a b" ?c', "a b", True),
        (r'"say \"hi\""', 'they say "hi"', True),
        ("a-b", "a-b", True),
        ("ü", "grün", True),
        ("-", "x", False),
        ("-", "a - b", True),
    ],
)
def test_matches(pattern: str, message: str, expected: bool):
    assert Pattern.parse(pattern).matches(message.encode()) is expected


@pytest.mark.parametrize("pattern", ['"open', 'a"b', '"a"b', "x" * 1025])
def test_unreadable(pattern: str):
    with pytest.raises(ValidationException, match="pattern"):
        Pattern.parse(pattern)
