"""FilterCriteria: AWS's tables of what happens where record and pattern are of different forms.

Source: AWS Lambda Developer Guide, "Control which events Lambda sends to your function".
"""

from __future__ import annotations

import base64

import pytest

from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.triggers.mappings.filters import Filters


def kinesis(data: bytes, key: str = "1") -> dict[str, object]:
    return {"kinesis": {"partitionKey": key, "data": base64.b64encode(data).decode()}, "eventSource": "aws:kinesis"}


def sqs(body: str) -> dict[str, object]:
    return {"messageId": "m", "body": body, "eventSource": "aws:sqs"}


JSON, TEXT = '{"City": "Seattle"}', "plain text"


@pytest.mark.parametrize(
    ("pattern", "record", "passes"),
    [
        ('{"data": {"City": ["Seattle"]}}', JSON, True),
        ('{"data": {"City": ["London"]}}', JSON, False),
        ('{"data": {"City": ["Seattle"]}}', TEXT, False),
        ('{"partitionKey": ["1"]}', JSON, True),
        ('{"partitionKey": ["1"]}', TEXT, True),
        ('{"partitionKey": ["2"]}', TEXT, False),
        ('{"partitionKey": ["1"], "data": {"City": [{"prefix": "Sea"}]}}', JSON, True),
    ],
)
def test_kinesis(pattern, record, passes):
    assert Filters("kinesis", [pattern]).accepts(kinesis(record.encode())) is passes


@pytest.mark.parametrize(
    ("pattern", "record", "passes"),
    [
        ('{"body": ["plain text"]}', TEXT, True),
        ('{"messageId": ["m"]}', TEXT, True),
        ('{"body": {"City": ["Seattle"]}}', TEXT, False),
        ('{"body": ["plain text"]}', JSON, False),
        ('{"body": [{"prefix": "{"}]}', JSON, False),
        ('{"messageId": ["m"]}', JSON, True),
        ('{"body": {"City": ["Seattle"]}}', JSON, True),
    ],
)
def test_sqs(pattern, record, passes):
    assert Filters("sqs", [pattern]).accepts(sqs(record)) is passes


def test_dynamodb():
    record = {"eventName": "INSERT", "dynamodb": {"Keys": {"Id": {"N": "101"}}}}
    assert Filters("dynamodb", ['{"dynamodb": {"Keys": {"Id": {"N": ["101"]}}}}']).accepts(record)
    assert not Filters("dynamodb", ['{"eventName": ["REMOVE"]}']).accepts(record)


def test_any_of_the_filters_will_do_and_none_lets_all_through():
    filters = Filters("sqs", ['{"body": ["a"]}', '{"body": {"x": [1]}}'])
    assert filters.accepts(sqs("a"))
    assert filters.accepts(sqs('{"x": 1}'))
    assert not filters.accepts(sqs("b"))
    assert Filters("sqs", []).accepts(sqs("b"))


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("kinesis", '{"data": ["text"]}'),
        ("kinesis", "not JSON"),
        ("dynamodb", '{"dynamodb": ["text"]}'),
        ("sqs", '{"body": 1}'),
        ("sqs", "{}"),
        ("kinesis", '{"$or": [{"data": {"a": [1]}}, {"data": ["b"]}]}'),
    ],
)
def test_what_can_t_be_a_filter(kind, pattern):
    with pytest.raises(InvalidParameterValueException, match=r"^Invalid filter pattern definition\.$"):
        Filters(kind, [pattern])
