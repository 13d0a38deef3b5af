"""How APIs ask functions: who may, how long, and what happens to those that are late."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_lambda.errors import ResourceNotFoundException, ServiceUnavailableException, TooManyRequestsException
from jupyter_lambda.model.arn import Account, FunctionName
from jupyter_lambda.model.invocation import Invocation
from jupyter_lambda.triggers.sites.integration import Asking, Failed, FunctionFailed, Functions, TimedOut, Unavailable

ACCOUNT = Account()
ARN = ACCOUNT.function_arn("f")
SOURCE = "arn:aws:execute-api:us-east-1:000000000000:abc/dev/GET/a"


class Service:
    """One function that answers when it is told to."""

    account = ACCOUNT

    def __init__(self, source_arn: str = SOURCE) -> None:
        self.asked: list[Invocation] = []
        self.go = asyncio.Event()
        self.answer: Any = b"{}"
        self.ended = 0
        condition = {"ArnLike": {"AWS:SourceArn": source_arn}}
        who = {"Service": "apigateway.amazonaws.com"}
        statement = {"Effect": "Allow", "Principal": who, "Action": "lambda:InvokeFunction", "Condition": condition}
        policy = {ARN: {"Statement": [statement]}}
        self.store = SimpleNamespace(functions=SimpleNamespace(policy=policy.get))

    def clock(self) -> float:
        return 1.0

    def resolve(self, name: FunctionName) -> Any:
        if name.name != "f":
            raise ResourceNotFoundException("Function not found: " + name.name)
        return SimpleNamespace(version="$LATEST")

    async def invoke(self, invocation: Invocation, version: Any) -> Any:
        self.asked.append(invocation)
        await self.go.wait()
        self.ended += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        failed = self.answer.startswith(b"!")
        return SimpleNamespace(payload=self.answer.lstrip(b"!"), function_error="Unhandled" if failed else None)


def asking(timeout_s: float = 5.0, *, as_role: bool = False) -> Asking:
    return Asking((SOURCE,), "http:GET /a", timeout_s, "id", as_role=as_role)


@pytest.fixture
def service() -> Any:
    return Service()


async def test_an_answer(service: Any):
    service.go.set()
    assert await Functions(service).ask(ARN, {"a": 1}, asking()) == b"{}"
    (invocation,) = service.asked
    assert (invocation.source, invocation.payload, invocation.invoked_arn) == ("http:GET /a", b'{"a":1}', ARN)


async def test_who_may_ask():
    service: Any = Service("arn:aws:execute-api:*:*:other/*")
    service.go.set()
    with pytest.raises(Failed, match="does not allow apigateway"):
        await Functions(service).ask(ARN, {}, asking())
    assert service.asked == []
    assert await Functions(service).ask(ARN, {}, asking(as_role=True)) == b"{}", "a role needs no policy"


@pytest.mark.parametrize("function", ["gone", "arn:aws:lambda:eu-west-1:000000000000:function:f", "not a name!", ""])
async def test_functions_that_are_not_there(service: Any, function: str):
    with pytest.raises(Failed):
        await Functions(service).ask(function, {}, asking(as_role=True))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'!{"errorMessage": "x"}', FunctionFailed),
        (TooManyRequestsException(reason="x"), Unavailable),
        (ServiceUnavailableException("draining"), Unavailable),
        (ResourceNotFoundException("gone meanwhile"), Failed),
    ],
)
async def test_what_may_go_wrong(service: Any, answer: Any, kind: type[Failed]):
    service.answer = answer
    service.go.set()
    with pytest.raises(Failed) as caught:
        await Functions(service).ask(ARN, {}, asking())
    assert type(caught.value) is kind


async def test_a_late_function_runs_on(service: Any):
    functions = Functions(service)
    with pytest.raises(TimedOut):
        await functions.ask(ARN, {}, asking(0.01))
    assert service.ended == 0
    service.go.set()
    await functions.close(5.0)
    assert service.ended == 1, "and is waited for when the engine drains"


async def test_closing_waits_only_so_long(service: Any):
    functions = Functions(service)
    asked = asyncio.ensure_future(functions.ask(ARN, {}, asking()))
    await asyncio.sleep(0)
    await functions.close(0.01)
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert service.ended == 0


async def test_an_event_that_is_too_large(service: Any):
    with pytest.raises(Failed, match="more than 6291456"):
        await Functions(service).ask(ARN, {"body": "x" * 6_291_456}, asking())
