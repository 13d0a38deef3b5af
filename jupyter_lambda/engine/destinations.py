"""What becomes of an asynchronous event at its end: AWS's record of it, and who takes it to a queue, topic or bucket.

Source: AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" and "Adding a dead-letter
queue".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Protocol

from jupyter_lambda.errors import ClientError
from jupyter_lambda.model.invocation import AsyncEvent, InvocationResult

#: Characters of an error message that a dead-letter queue is told.
_MESSAGE_MAX_CHARS = 1024


class UndeliverableError(ClientError):
    """A destination of a kind that can never take an outcome; the event is kept as dead."""


@dataclass(frozen=True, slots=True)
class Done:
    """An event the function is done with: why, and what it answered."""

    condition: str
    result: InvocationResult | None = None

    @property
    def error_message(self) -> str:
        """What a dead-letter queue is told: the function's message, else the condition."""
        document = _json_or_text(self.result.payload) if self.result is not None else None
        message = document.get("errorMessage") if isinstance(document, dict) else None
        return str(message or self.condition)[:_MESSAGE_MAX_CHARS]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One outcome on its way to something that is no function of this engine."""

    destination_arn: str
    function_name: str
    #: With the qualifier.
    function_arn: str
    request_id: str
    #: JSON: AWS's record, or for a dead-letter queue the event itself.
    body: str
    #: None for a dead-letter queue.
    success: bool | None
    #: For a dead-letter queue.
    error_message: str = ""


class Outlet(Protocol):
    """Takes outcomes to what lives outside the engine; the triggers bring it."""

    async def deliver(self, delivery: Delivery) -> None:
        """Returns once it was accepted.

        Raises:
            UndeliverableError: It never can be.
            LambdaError: Not now.
        """


def destination_record(event: AsyncEvent, done: Done, function_arn: str) -> dict[str, Any]:
    """What AWS sends to a destination.

    Args:
        function_arn: Without a qualifier.
    """
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(event.enqueued_s)),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": f"{function_arn}:{event.qualifier}",
            "condition": done.condition,
            "approximateInvokeCount": event.attempts + (done.result is not None),
        },
        "requestPayload": _json_or_text(event.payload),
    }
    if done.result is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": done.result.executed_version}
        if done.result.function_error:
            context["functionError"] = done.result.function_error
        record["responseContext"] = context
        record["responsePayload"] = _json_or_text(done.result.payload)
    return record


def _json_or_text(data: bytes) -> Any:
    try:
        return json.loads(data) if data else {}
    except ValueError:
        return data.decode("utf-8", "replace")
