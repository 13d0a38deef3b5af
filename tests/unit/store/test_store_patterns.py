"""CloudWatch's filter patterns for JSON lines, fields between blanks and regular expressions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.errors import ValidationException
from jupyter_lambda.store.pattern import Pattern

EVENT = {
    "level": "ERROR",
    "user": {"id": 7, "name": "J. Doe", "admin": True, "email": None},
    "codes": [404, 500],
    "list": [{"k": "a"}, {"k": "b"}],
    "a b": 1,
    "dash-ed": "x",
    "ratio": 0.5,
}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.level = "ERROR" }', True),
        ("{ $.level = ERROR }", True),
        ('{ $.level = "error" }', False),
        ('{ $.level = "E*R" }', True),
        ('{ $.level = "*RR*" }', True),
        ('{ $.level != "INFO" }', True),
        ('{ $.missing != "INFO" }', True),
        ('{ $.missing = "*" }', False),
        ("{ $.user.id = 7 }", True),
        ("{ $.user.id >= 7.0 && $.user.id < 8 }", True),
        ("{ $.user.id > 7 }", False),
        ("{ $.ratio = 5e-1 }", True),
        ("{ $.level > 1 }", False),
        ('{ ($.level = "INFO" || $.user.id = 7) && $.codes[1] = 500 }', True),
        ("{ $.codes[*] = 404 }", True),
        ("{ $.codes[2] = 404 }", False),
        ('{ $.list[*].k = "b" }', True),
        ("{ $['a b'] = 1 }", True),
        ('{ $.dash-ed = "x" }', True),
        ("{ $.user.admin IS TRUE }", True),
        ("{ $.user.admin is false }", False),
        ("{ $.user.email IS NULL }", True),
        ("{ $.user.phone NOT EXISTS }", True),
        ("{ $.user.email NOT EXISTS }", False),
        ("{ $.user.name = %^J.*e$% }", True),
        ("{ $.user.name = %doe% }", False),
    ],
)
def test_json(pattern: str, expected: bool):
    assert Pattern.parse(pattern).matches(json.dumps(EVENT).encode()) is expected


@pytest.mark.parametrize("line", ["", "plain", "[1]", '"x"', '{"level": "ERROR"', "{" * 5000])
def test_lines_that_are_no_json_objects_never_match(line: str):
    assert not Pattern.parse("{ $.level NOT EXISTS }").matches(line.encode())


LINE = b'127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html?x=1 HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ip, id, user, when, request, status, size]", True),
        ("[ip, user]", False),
        ("[ip, id, user, when, request, status = 4*, size]", True),
        ("[ip, id, user, when, request, status = 5*, size]", False),
        ("[..., status = 404, size]", True),
        ("[..., size > 1000]", True),
        ("[..., size > 1534]", False),
        ("[ip, ..., status = 404 || status = 410, size]", True),
        ("[ip, ..., size >= 1000 && size < 2000]", True),
        ('[ip, id, user, when, request = "*index.html*", ...]', True),
        ("[ip != 10.*, ...]", True),
        ("[ip = %127\\.0\\.0\\.[12]%, ...]", True),
        ("[...]", True),
        ("[a, b, c, d, e, f, g, ...]", True),
        ("[a, b, c, d, e, f, g, h, ...]", False),
    ],
)
def test_fields(pattern: str, expected: bool):
    assert Pattern.parse(pattern).matches(LINE) is expected


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("%40[34]%", "status 404", True),
        ("%40[34]%", "status 405", False),
        ("GET %4\\d\\d%", "GET 404", True),
        ("GET -%4\\d\\d%", "GET 404", False),
        ("?%4\\d\\d% ?WARN", "a WARN", True),
        ("?%4\\d\\d% ?WARN", "a 404", True),
        ("?%4\\d\\d% ?WARN", "fine", False),
        ("?%4\\d\\d%", "fine", False),
    ],
)
def test_regular_expressions(pattern: str, message: str, expected: bool):
    assert Pattern.parse(pattern).matches(message.encode()) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a }",
        "{ $.a = }",
        "{ a = 1 }",
        "{ $.a > x }",
        "{ ($.a = 1 }",
        "{ $.a = 1 && }",
        "{ $.a = 1 $.b = 2 }",
        "{ $.a IS MAYBE }",
        "{ $.a = %(b)% }",
        "{ $.a = %[% }",
        "{" + "(" * 100 + "}",
        "[..., ...]",
        "[1a]",
        "[a > x]",
        "[a = 1 && b = 2]",
        "[a = 1 &&]",
        "[a b]",
        "%(a+)+%",
        "%[%",
    ],
)
def test_what_makes_no_sense(pattern: str):
    with pytest.raises(ValidationException, match="pattern"):
        Pattern.parse(pattern)


@given(st.text(alphabet="{}[]$.a1=!<>&|()%*\"'? -,", max_size=40), st.binary(max_size=40))
def test_any_pattern_is_read_or_refused(pattern, message):
    try:
        assert Pattern.parse(pattern).matches(message) in (True, False)
    except ValidationException as exc:
        assert exc.message  # noqa: PT017 - either is right
