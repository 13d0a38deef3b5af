"""Shapes: decoding, AWS's sentences, encoding."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from jupyter_lambda.api import description
from jupyter_lambda.api.scalars import compile_pattern, java_text
from jupyter_lambda.api.shapes import Shapes
from jupyter_lambda.errors import SerializationException

SHAPES = Shapes(
    {
        "shapes": {
            "Text": {"type": "string", "min": 2, "max": 3, "pattern": "[a-z]+"},
            "Plain": {"type": "string"},
            "Secret": {"type": "string", "max": 1, "sensitive": True},
            "Kind": {"type": "string", "enum": ["A", "B"]},
            "Count": {"type": "integer", "min": 1, "max": 5},
            "Share": {"type": "double", "min": 0.0, "max": 1.0},
            "Blob": {"type": "blob"},
            "Flag": {"type": "boolean"},
            "When": {"type": "timestamp"},
            "Kinds": {"type": "list", "member": {"shape": "Kind"}, "min": 1, "max": 2},
            "Shares": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Share"}},
            "Inner": {"type": "structure", "required": ["Name"], "members": {"Name": {"shape": "Text"}}},
            "Inners": {"type": "list", "member": {"shape": "Inner"}},
            "Tree": {"type": "structure", "members": {"Left": {"shape": "Tree"}, "Kind": {"shape": "Kind"}}},
            "Outer": {
                "type": "structure",
                "members": {
                    "Kinds": {"shape": "Kinds"},
                    "Inners": {"shape": "Inners"},
                    "Blob": {"shape": "Blob", "locationName": "blob"},
                    "KMSKeyArn": {"shape": "Text"},
                },
            },
        }
    }
)


def sentences(shape: str, value: Any, path: str = "x") -> list[str]:
    found: list[str] = []
    SHAPES[shape].check(value, path, found)
    return [text.partition("failed to satisfy constraint: ")[2] for text in found]


def test_every_broken_constraint_has_its_sentence():
    assert sentences("Text", "ABCD") == [
        "Member must have length less than or equal to 3",
        "Member must satisfy regular expression pattern: [a-z]+",
    ]
    assert sentences("Text", "") == [
        "Member must have length greater than or equal to 2",
        "Member must satisfy regular expression pattern: [a-z]+",
    ]
    assert sentences("Kind", "C") == ["Member must satisfy enum value set: [A, B]"]
    assert sentences("Count", 6) == ["Member must have value less than or equal to 5"]
    assert sentences("Share", float("nan")) != []
    assert sentences("Kinds", ["A", "B", "A"]) == ["Member must have length less than or equal to 2"]
    assert sentences("Kinds", ["C"]) == [
        "Member must satisfy constraint: [Member must satisfy enum value set: [A, B], Member must not be null]"
    ]
    assert sentences("Shares", {"ab": 0.5}) == []


def test_where_a_constraint_is_broken():
    found: list[str] = []
    SHAPES["Outer"].check({"Inners": [{"Name": "ab"}, {}], "KMSKeyArn": "1"}, "", found)
    assert [text.partition(" failed")[0] for text in found] == [
        "Value null at 'inners.2.member.name'",
        "Value '1' at 'kMSKeyArn'",
        "Value '1' at 'kMSKeyArn'",
    ]


def test_a_sensitive_value_is_not_repeated():
    found: list[str] = []
    SHAPES["Secret"].check("password", "x", found)
    assert found == ["Value at 'x' failed to satisfy constraint: Member must have length less than or equal to 1"]


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("Plain", 1),
        ("Plain", "\ud800"),
        ("Count", "1"),
        ("Count", True),
        ("Count", 1.5),
        ("Count", 2**31),
        ("Share", "x"),
        ("Share", 10**400),
        ("Blob", "no base64!"),
        ("Blob", 1),
        ("Flag", "true"),
        ("When", []),
        ("When", "yesterday"),
        ("Kinds", {}),
        ("Kinds", [None]),
        ("Shares", []),
        ("Outer", "x"),
    ],
)
def test_another_type_is_refused(shape, value):
    with pytest.raises(SerializationException):
        SHAPES[shape].decode(value)


def test_what_is_decoded_and_encoded():
    assert SHAPES["Share"].decode(1) == 1.0
    assert SHAPES["When"].decode("2026-11-23T00:00:00Z") == SHAPES["When"].decode(1795392000)
    assert SHAPES["Flag"].decode_text("True") is True
    outer = SHAPES["Outer"]
    decoded = outer.decode({"blob": base64.b64encode(b"x").decode(), "Unknown": 1, "Kinds": None})
    assert decoded == {"Blob": b"x"}
    assert outer.encode({"Blob": b"x", "Kinds": None}) == {"blob": "eA=="}
    assert SHAPES["Tree"].decode({"Left": {"Left": {"Kind": "A"}}}) == {"Left": {"Left": {"Kind": "A"}}}


def test_java_writes_values_its_own_way():
    assert java_text({"2": 2.0, "b": [True, "x"]}) == "{2=2.0, b=[true, x]}"


def test_every_pattern_of_lambda_can_be_checked():
    shapes = description.load("lambda")["shapes"]
    patterns = {spec["pattern"] for spec in shapes.values() if "pattern" in spec}
    assert [pattern for pattern in patterns if compile_pattern(pattern) is None] == []


def test_unicode_properties():
    pattern = compile_pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)")
    assert pattern is not None
    assert pattern.fullmatch("größe 7/ü\u3000x")
    assert not pattern.fullmatch("a\nb")
    assert not pattern.fullmatch("a#b")
    assert compile_pattern(r"\p{Greek}") is None
