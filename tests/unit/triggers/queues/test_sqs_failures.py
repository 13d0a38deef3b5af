"""Which messages a function has not dealt with. Source: "Implementing partial batch responses" for Amazon SQS."""

from __future__ import annotations

import pytest

from jupyter_lambda.triggers.mappings.sqs_failures import failed
from jupyter_lambda.triggers.mappings.sqs_records import Message

BATCH = [Message(f"m{n}", f"h{n}", None, 1, 0, b"{}") for n in range(4)]


def ids(answer: bytes) -> list[str]:
    return [one.message_id for one in failed(answer, BATCH)]


@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"{}", b'{"batchItemFailures": []}', b'{"batchItemFailures": null}', b'{"statusCode": 200}'],
)
def test_complete_success(answer):
    assert ids(answer) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b'"done"',
        b"[]",
        b'{"batchItemFailures": "m1"}',
        b'{"batchItemFailures": ["m1"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifier": 7}]}',
        b'{"batchItemFailures": [{"itemidentifier": "m1"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m99"}]}',
    ],
)
def test_complete_failure(answer):
    assert ids(answer) == ["m0", "m1", "m2", "m3"]


def test_some_failed():
    assert ids(b'{"batchItemFailures": [{"itemIdentifier": "m3"}, {"itemIdentifier": "m1"}]}') == ["m1", "m3"]


def test_what_follows_a_failure_in_its_group_failed_too():
    batch = [Message(f"m{n}", f"h{n}", "ab"[n % 2], 1, 0, b"{}") for n in range(6)]
    told = failed(b'{"batchItemFailures": [{"itemIdentifier": "m2"}]}', batch)
    assert [one.message_id for one in told] == ["m2", "m4"]
