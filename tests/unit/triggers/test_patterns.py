"""Event patterns: AWS's own examples, what Event Ruler refuses and how, and lists of objects."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.errors import InvalidEventPatternException
from jupyter_lambda.triggers.patterns import COMBINATIONS_MAX, EventPattern

EC2 = {
    "version": "0",
    "id": "ddddd4-aaaa-7777-4444-345dd43cc333",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "012345679012",
    "time": "2017-10-02T16:24:49Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000"],
    "detail": {
        "c-count": 5,
        "d-count": 3,
        "x-limit": 301.8,
        "source-ip": "10.0.0.33",
        "instance-id": "i-000000aaaaaa00000",
        "state": "running",
        "nothing": None,
        "empty": "",
        "list": [],
        "on": True,
    },
}


def matches(pattern: object, event: dict = EC2) -> bool:
    return EventPattern.parse(json.dumps(pattern)).matches(event)


CLOSED = (
    "Unrecognized token 'closed': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
)


def reason(text: str) -> str:
    with pytest.raises(InvalidEventPatternException) as caught:
        EventPattern.parse(text)
    assert caught.value.code == "InvalidEventPatternException"
    assert caught.value.message.startswith("Event pattern is not valid. Reason: ")
    return caught.value.message.removeprefix("Event pattern is not valid. Reason: ")


@pytest.mark.parametrize(
    "pattern",
    [
        {"detail-type": ["EC2 Instance State-change Notification"], "detail": {"state": ["initializing", "running"]}},
        {"resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000", "other"]},
        {"time": [{"prefix": "2017-10-02"}]},
        {"source": [{"suffix": "ec2"}]},
        {"source": [{"suffix": {"equals-ignore-case": "EC2"}}]},
        {"source": [{"prefix": {"equals-ignore-case": "AWS."}}]},
        {"source": [{"equals-ignore-case": "AWS.ec2"}]},
        {"source": [{"exactly": "aws.ec2"}]},
        {"source": [{"wildcard": "aws.*2"}]},
        {"source": [{"wildcard": "*"}]},
        {"detail": {"c-count": [5]}},
        {"detail": {"c-count": [5.0]}},
        {"detail": {"x-limit": [{"numeric": ["=", 3.018e2]}]}},
        {"detail": {"c-count": [{"numeric": [">", 0, "<=", 5]}], "d-count": [{"numeric": ["<", 10]}]}},
        {"detail": {"state": [{"anything-but": "initializing"}]}},
        {"detail": {"state": [{"anything-but": ["stopped", "overloaded"]}]}},
        {"detail": {"x-limit": [{"anything-but": [100, 200, 300]}]}},
        {"detail": {"state": [{"anything-but": {"prefix": "init"}}]}},
        {"detail": {"state": [{"anything-but": {"prefix": ["init", "stop"]}}]}},
        {"detail": {"state": [{"anything-but": {"suffix": "ed"}}]}},
        {"detail": {"state": [{"anything-but": {"equals-ignore-case": ["STOPPED", "x"]}}]}},
        {"detail": {"state": [{"anything-but": {"wildcard": "*stop*"}}]}},
        {"detail": {"source-ip": [{"cidr": "10.0.0.0/24"}]}},
        {"detail": {"c-count": [{"exists": True}]}},
        {"detail": {"q-count": [{"exists": False}]}},
        {"detail": {"list": [{"exists": False}]}},
        {"detail": [{"exists": False}]},  # "exists" only works on the leaves
        {"detail": {"nothing": [None], "empty": [""], "on": [True]}},
        {"detail": {"nothing": [{"exists": True}]}},
        {"detail": {"nothing": [{"anything-but": "x"}], "c-count": [{"anything-but": "5"}]}},
        {"detail": {"state": ["no", {"prefix": "run"}]}},
        {"$or": [{"source": ["aws.s3"]}, {"detail": {"c-count": [5]}}]},
        {"source": ["aws.ec2"], "$or": [{"region": ["x"]}, {"account": ["012345679012"], "region": ["us-east-1"]}]},
        {"detail": {"$or": [{"c-count": [1]}, {"$or": [{"d-count": [3]}, {"x-limit": [1]}]}]}},
    ],
)
def test_matches(pattern):
    """Event Ruler, README, "Ruler by Example": all of its examples match this event, and others beside them."""
    assert matches(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["AWS.EC2"]},
        {"source": [{"wildcard": "aws.*3"}]},
        {"source": [{"prefix": "EC2"}]},
        {"detail": {"c-count": ["5"]}},
        {"detail": {"c-count": [{"prefix": "5"}]}},
        {"detail": {"c-count": [{"numeric": [">", 5]}]}},
        {"detail": {"state": [{"numeric": [">", 5]}]}},
        {"detail": {"on": [1]}},
        {"detail": {"nothing": [""]}},
        {"detail": {"empty": [None]}},
        {"detail": {"q-count": [{"anything-but": "x"}]}},
        {"detail": {"state": [{"anything-but": ["running"]}]}},
        {"detail": {"state": [{"anything-but": {"prefix": ["x", "run"]}}]}},
        {"detail": {"source-ip": [{"cidr": "10.0.1.0/24"}]}},
        {"detail": {"source-ip": [{"cidr": "2001:db8::/32"}]}},
        {"detail": {"c-count": [{"exists": False}]}},
        {"detail": {"list": [{"exists": True}]}},
        {"detail": [{"exists": True}]},
        {"detail": {"state": {"deeper": ["x"]}}},
        {"source": ["aws.ec2"], "region": ["eu-west-1"]},
        {"$or": [{"source": ["aws.s3"]}, {"detail": {"c-count": [6]}}]},
        {"source": ["aws.s3"], "$or": [{"region": ["us-east-1"]}, {"account": ["x"]}]},
    ],
)
def test_does_not_match(pattern):
    assert not matches(pattern)


def test_several_fields_in_a_list_of_objects_are_met_by_one_object():
    """Event Ruler, README, "JSON Array Matching": fields are not combined across the elements of an array."""
    employees = {
        "employees": [
            {"firstName": "John", "lastName": "Doe", "ids": [1, 2]},
            {"firstName": "Anna", "lastName": "Smith"},
        ]
    }
    both = {"employees": {"firstName": ["Anna"], "lastName": ["Smith"]}}
    crossed = {"employees": {"firstName": ["Anna"], "lastName": ["Doe"]}}
    assert matches(both, employees)
    assert not matches(crossed, employees)
    assert matches({"employees": {"lastName": ["Doe"], "ids": [2]}}, employees)
    assert not matches({"employees": {"lastName": ["Smith"], "ids": [2]}}, employees)


def test_or_as_the_name_of_a_field():
    """Event Ruler, README: with fewer than two objects, or with operators in them, it is a field like any other."""
    assert matches({"$or": ["a"]}, {"$or": "a"})
    assert matches({"$or": {"x": [1]}}, {"$or": {"x": 1}})
    assert matches({"$or": [{"prefix": "a"}, {"prefix": "b"}]}, {"$or": "bc"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Unexpected end-of-input"),
        ("nonsense", "Unrecognized token 'nonsense'"),
        ("[]", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        ('{"a": {}}', "Empty objects are not allowed"),
        ('{"a": []}', "Empty arrays are not allowed"),
        ('{"a": "b"}', '"a" must be an object or an array'),
        ('{"a": [["b"]]}', "Match value must be String, number, true, false, or null"),
        ('{"a": [{}]}', "Match expression name not found"),
        ('{"a": [{"prefix": 1}]}', "prefix match pattern must be a string"),
        ('{"a": [{"suffix": ["x"]}]}', "suffix match pattern must be a string"),
        ('{"a": [{"prefix": "x", "suffix": "y"}]}', "Only one key allowed in match expression"),
        ('{"a": [{"starts": "x"}]}', "Unrecognized match type starts"),
        ('{"a": [{"exists": 1}]}', "exists match pattern must be either true or false."),
        ('{"a": [{"numeric": 1}]}', "Value of numeric must be an array."),
        ('{"a": [{"numeric": ["~", 1]}]}', "Unrecognized numeric range operator: ~"),
        ('{"a": [{"numeric": [">", "1"]}]}', "Value of > must be numeric"),
        ('{"a": [{"numeric": ["=", 1, "<", 2]}]}', "Too many elements in numeric expression"),
        ('{"a": [{"numeric": [">", 1, ">", 2]}]}', "Bad numeric range operator: >"),
        ('{"a": [{"numeric": [">", 1, "<", 2, 3]}]}', "Too many terms in numeric range expression"),
        ('{"a": [{"numeric": [">", 2, "<", 1]}]}', "Bottom must be less than top"),
        ('{"a": [{"numeric": [">", 6000000000]}]}', "Value must be between -5.0E9 and 5.0E9, inclusive"),
        ('{"a": [{"anything-but": null}]}', "Value of anything-but must be an array or single string/number value."),
        ('{"a": [{"anything-but": [1, "x"]}]}', "Inside anything but list, either all values are number or string"),
        ('{"a": [{"anything-but": [{"wildcard": "x"}]}]}', "Inside anything but list, start|null|boolean"),
        ('{"a": [{"anything-but": {"numeric": ["=", 1]}}]}', "Unsupported anything-but pattern: numeric"),
        ('{"a": [{"anything-but": {"prefix": ""}}]}', "Null prefix/suffix not allowed"),
        ('{"a": [{"wildcard": "a**b"}]}', "Consecutive wildcard characters at pos 2"),
        ('{"a": [{"wildcard": "a\\\\b"}]}', "Invalid escape character at pos 2"),
        ('{"a": [{"cidr": "10.0.0.0"}]}', "Malformed CIDR, one '/' required"),
        ("{" + '"a":{' * 300 + "}" * 301, "Document nesting depth exceeds the maximum allowed"),
    ],
)
def test_what_is_wrong_is_said(text, why):
    assert reason(text).startswith(why)


@pytest.mark.parametrize(
    ("pattern", "why", "column"),
    [
        ('{"int": 42}', '"int" must be an object or an array', 11),
        ('{"string": "my-value"}', '"string" must be an object or an array', 13),
        ('{"resources": []}', "Empty arrays are not allowed", 17),
        ('{"detail": {"equal": [{"NUMERIC": ["=", 5]}]}}', "Unrecognized match type NUMERIC", 36),
        ('{"my_key": [{"EXISTS": true}]}', "Unrecognized match type EXISTS", 28),
        ('{"detail": {"c-count": [{"numeric": [">", 0, ">", 0]}]}}', "Bad numeric range operator: >", 49),
        ('{"detail": {"c-count": [{"numeric": [">", 0, "<"]}]}}', "Value of < must be numeric", 50),
        ('{"EventBusArn": [{"wildcard": 123}]}', "wildcard match pattern must be a string", 34),
        ('{"time": [{"prefix": ["2022-07-13"]}]}', "prefix match pattern must be a string", 23),
        ('{"FileName": [{"suffix": 123}]}', "suffix match pattern must be a string", 29),
        (
            '{"detail": {"state": [{"anything-but": {"equals-ignore-case": 123}}]}}',
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
            66,
        ),
        (
            '{"detail": {"state": [{"anything-but": {"prefix": 123}}]}}',
            "prefix/suffix match pattern must be a string",
            54,
        ),
        (
            '{"detail": {"FileName": [{"anything-but": {"prefix": {"equals-ignore-case": "file"}}}]}}',
            "Value of anything-but must be an array or single string/number value.",
            55,
        ),
        (
            "{'bad': 'quotation'}",
            "Unexpected character (''' (code 39)): was expecting double-quote to start field name",
            2,
        ),
        ('["not", "a", "dict"]', "Filter is not an object", 2),
        (
            '{"not": closed mark"',
            CLOSED,
            15,
        ),
        (
            '{"detail-type":["Object Created"],"source":"aws.s3","detail":{"bucket":"sabi-test-bucket"}}',
            '"source" must be an object or an array',
            45,
        ),
    ],
)
def test_the_place_is_told_as_aws_tells_it(pattern, why, column):
    """Recorded answers of AWS to PutRule and TestEventPattern."""
    assert reason(pattern) == f'{why}\n at [Source: (String)"{pattern}"; line: 1, column: {column}]'


@pytest.mark.parametrize(
    ("pattern", "why", "column"),
    [
        (
            '{"detail": {"state": [{"anything-but": {"equals-ignore-case": [123, 456]}}]}}',
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
            67,
        ),
        (
            '{"detail": {"state": [{"anything-but": {"wildcard": [123, "*/dir/*"]}}]}}',
            "wildcard match pattern must be a string",
            57,
        ),
        (
            '{"detail": {"FileName": [{"anything-but": {"suffix": [123, ".txt"]}}]}}',
            "prefix/suffix match pattern must be a string",
            58,
        ),
    ],
)
def test_of_lists_aws_tells_the_place_twice(pattern, why, column):
    """Recorded answers of AWS."""
    place = f'\n at [Source: (String)"{pattern}"; line: 1, column: {column}]'
    assert reason(pattern) == why + 2 * place


@pytest.mark.parametrize(
    ("cidr", "why"),
    [
        ("bad-filter", "Malformed CIDR, one '/' required"),
        ("10.0.0.0/xx", "Malformed CIDR, mask bits must be an integer"),
        ("xx.11.xx/8", "Nonstandard IP address: xx.11.xx"),
        ("xxxx:db8:1234:1a00::/64", "Nonstandard IP address: xxxx:db8:1234:1a00::"),
        ("10.0.0.0/32", "IPv4 mask bits must be < 32"),
    ],
)
def test_of_networks_aws_tells_no_place(cidr, why):
    """Recorded answers of AWS."""
    assert reason(json.dumps({"ip": [{"cidr": cidr}]})) == why


def test_a_dot_in_a_name_is_as_good_as_two_names():
    """Recorded answers of AWS: both match."""
    assert matches({"detail.c-count": [5]})
    assert matches({"detail": {"c-count": [5]}}, {"detail.c-count": 5})
    assert not matches({"detail.c-count": [6]})


def test_or_has_a_limit():
    choice = {"$or": [{"a": [1]}, {"b": [1]}]}
    deep = choice
    for _ in range(8):
        deep = {"x": deep, "$or": [{"c": [1]}, {"d": [1]}]}
    assert COMBINATIONS_MAX >= 2**9
    EventPattern.parse(json.dumps(deep))
    deeper = {"x": deep, "$or": [{"c": [1]}, {"d": [1]}]}
    assert "rule combinations" in reason(json.dumps(deeper))


@given(st.text(alphabet="ab*\\", max_size=8), st.text(alphabet="ab*\\", max_size=10))
def test_wildcards_are_what_a_regular_expression_says(pattern, value):
    parts, here = [], 0
    try:
        parsed = EventPattern.parse(json.dumps({"a": [{"wildcard": pattern}]}))
    except InvalidEventPatternException:
        return
    while here < len(pattern):
        if pattern[here] == "*":
            parts.append(".*")
        else:
            here += pattern[here] == "\\"
            parts.append(re.escape(pattern[here]))
        here += 1
    assert parsed.matches({"a": value}) == bool(re.fullmatch("".join(parts), value, re.DOTALL))


@given(st.text(max_size=40))
def test_whatever_text_comes_is_answered(text):
    try:
        EventPattern.parse(text)
    except InvalidEventPatternException as error:
        assert "Reason" in error.message  # noqa: PT017


@pytest.mark.timeout(10)
def test_no_event_takes_long_to_be_compared() -> None:
    present = [{"exists": True}]
    pattern = EventPattern.parse(json.dumps({"a": present, "b": present, "c": present, "d": present, "z": ["never"]}))
    long = [1] * 20_000
    assert not pattern.matches({"a": long, "b": long, "c": long, "d": long, "z": "x"})
    fields = {"x": present, "y": present}
    pattern = EventPattern.parse(json.dumps({"a": fields, "b": fields, "c": {**fields, "z": ["never"]}}))
    rows = [{"x": 1, "y": 2, "z": "x"} for _ in range(3_000)]
    assert not pattern.matches({"a": rows, "b": rows, "c": [*rows, {"z": "never"}]})
    assert pattern.matches({"a": rows, "b": rows, "c": [*rows, {"x": 1, "y": 2, "z": "never"}]})


def test_an_event_nested_deeply_matches_nothing() -> None:
    deep: list[Any] = [1]
    for _ in range(5_000):
        deep = [deep]
    assert not EventPattern.parse('{"a": [1]}').matches({"a": deep})
