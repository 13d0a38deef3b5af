"""What is kept of an address's earlier requests changes nothing of what is read from the next one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.api import description
from jupyter_lambda.api.rest_json import Operation, RestJson
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.http1 import Request

SERVICE = RestJson(description.load("lambda"))
INVOKE = SERVICE.operations["Invoke"]
HEADERS = st.dictionaries(
    st.sampled_from(["X-Amz-Invocation-Type", "X-Amz-Log-Type", "X-Amz-Client-Context", "X-Amz-Tenant-Id", "X-Other"]),
    st.sampled_from(["Event", "RequestResponse", "DryRun", "Tail", "None", "", "e30=", "x" * 300]),
    max_size=4,
)


def sent(headers: dict[str, str], body: bytes) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request("POST", "/2015-03-31/functions/f/invocations", "", raw, body, "127.0.0.1", None)  # type: ignore[arg-type]


def read(operation: Operation, request: Request, *known: dict[Any, dict[str, Any]]) -> object:
    try:
        return operation.input.parse(request, {"FunctionName": "f"}, *known)
    except LambdaError as error:
        return type(error), error.message


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=8)), max_size=30))
def test_requests_of_one_address_are_read_as_if_each_were_the_first(requests):
    known: dict[Any, dict[str, Any]] = {}
    for headers, body in requests:
        assert read(INVOKE, sent(headers, body), known) == read(INVOKE, sent(headers, body))
    assert len(known) <= 16
    assert not any("Payload" in params for params in known.values())


def test_what_one_request_does_to_its_parameters_is_not_seen_by_the_next():
    known: dict[Any, dict[str, Any]] = {}
    for _ in range(3):
        params = INVOKE.input.parse(sent({}, b"1"), {"FunctionName": "f"}, known)
        assert params == {"FunctionName": "f", "Payload": b"1"}
        params["LogType"] = "Tail"


@pytest.mark.parametrize("name", ["CreateFunction", "UpdateFunctionCode", "GetFunction"])
def test_nothing_is_kept_of_operations_whose_body_is_a_document(name):
    known: dict[Any, dict[str, Any]] = {}
    read(SERVICE.operations[name], sent({}, b"{}"), known)
    assert not known
