"""Where a rule or schedule sends what it fires: functions of this engine at once, everything else by a delivery."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError, NotImplementedException, ValidationException
from jupyter_lambda.model.arn import LATEST, FunctionName
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.limits import EVENT_MAX_BYTES
from jupyter_lambda.model.scheduled import Delivery
from jupyter_lambda.triggers.permission import allowed

from .clockwork import Fired

Kind = Literal["lambda", "sqs", "sns", "kinesis", "events"]

#: Defaults of a retry policy. Source: EventBridge User Guide, "How EventBridge retries delivering events".
RETRIES_MAX, AGE_MAX_S = 185, 86_400.0
#: What of a target's settings its kind needs.
_DETAILS = {"sqs": "SqsParameters", "kinesis": "KinesisParameters", "events": "EventBridgeParameters"}


def kind_of(arn: str, what: str) -> Kind:
    """What an ARN is.

    Args:
        what: "EventBridge's rules" or "EventBridge Scheduler", for the message.
    Raises:
        ValidationException: It is no ARN.
        NotImplementedException: Targets of this kind are not built.
    """
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        raise ValidationException(f"Provided Arn is not in correct format. {arn[:256]}")
    service, resource = parts[2], parts[5]
    if service == "lambda" and resource.startswith("function:"):
        return "lambda"
    if service == "kinesis" and resource.startswith("stream/"):
        return "kinesis"
    if service == "events" and resource.startswith("event-bus/"):
        return "events"
    if service == "sqs":
        return "sqs"
    if service == "sns":
        return "sns"
    named = "universal targets (aws-sdk)" if resource.startswith("aws-sdk:") else f"targets of {service}"
    raise NotImplementedException(
        f"{what}: {named} are not built ({arn[:256]}). Functions, SQS queues, SNS topics, Kinesis streams and event "
        "buses are."
    )


def to_function(
    service: LambdaService,
    arn: str,
    payload: bytes,
    *,
    source: str,
    source_arn: str,
    principal: str | None,
) -> AsyncEvent | str:
    """An asynchronous invocation of a function of this engine; or why there can't be one.

    Args:
        principal: The service whose right the function's policy must give; None: a role acts, no policy is asked.
    """
    try:
        name = FunctionName.parse(arn, service.account)
        service.resolve(FunctionName(name.name), name.qualifier)
    except LambdaError as error:
        return f"{error.code}: {error.message}"
    if principal is not None and not allowed(
        service, arn, principal=principal, source_arn=source_arn, source_account=service.account.account_id
    ):
        return f"AccessDeniedException: the policy of {arn} does not let {principal} invoke it for {source_arn}"
    if len(payload) > EVENT_MAX_BYTES:
        return (
            f"RequestTooLargeException: an asynchronous event of {len(payload)} bytes; {EVENT_MAX_BYTES} are the most"
        )
    try:
        json.loads(payload)
    except ValueError:
        return "InvalidRequestContentException: what the target would get is not JSON"
    return AsyncEvent(
        request_id=str(uuid.uuid4()),
        function_name=name.name,
        qualifier=name.qualifier or LATEST,
        payload=payload,
        source=source,
        enqueued_s=service.clock(),
    )


def to_elsewhere(
    service: LambdaService,
    settings: Mapping[str, Any],
    kind: Kind,
    payload: bytes,
    *,
    source: str,
    source_arn: str,
    details: Mapping[str, Any] | None = None,
) -> Delivery:
    """A delivery to a queue, topic, stream or bus.

    Args:
        settings: The target as AWS's API has it.
        details: More that its kind needs.
    """
    policy: Mapping[str, Any] = settings.get("RetryPolicy", {})
    return Delivery(
        source=source,
        arn=settings["Arn"],
        payload=payload,
        first_s=service.clock(),
        source_arn=source_arn,
        details={**settings.get(_DETAILS.get(kind, ""), {}), **(details or {})},
        retries_max=policy.get("MaximumRetryAttempts", RETRIES_MAX),
        age_max_s=policy.get("MaximumEventAgeInSeconds", AGE_MAX_S),
        dead_letter_arn=settings.get("DeadLetterConfig", {}).get("Arn"),
    )


def refused(
    service: LambdaService, settings: Mapping[str, Any], payload: bytes, why: str, *, source: str, source_arn: str
) -> Fired:
    """Nothing can be delivered: to the target's dead-letter queue at once, as AWS does where a retry can't help."""
    queue = settings.get("DeadLetterConfig", {}).get("Arn")
    if queue is None:
        return Fired(result=why)
    now_s = service.clock()
    return Fired(
        deliveries=[dead_letter(queue, payload, now_s, source, source_arn, settings["Arn"], why, "", 0)],
        result=f"to the dead-letter queue: {why}",
    )


def dead_letter(
    queue_arn: str,
    payload: bytes,
    now_s: float,
    source: str,
    source_arn: str,
    target_arn: str,
    why: str,
    condition: str,
    attempts: int,
) -> Delivery:
    """What a dead-letter queue gets.

    Source: EventBridge User Guide, "Using dead-letter queues to process undelivered events".
    """
    code, _, message = why.partition(": ")
    named = "SCHEDULE_ARN" if ":scheduler:" in source_arn else "RULE_ARN"
    attributes = {
        named: source_arn,
        "TARGET_ARN": target_arn,
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message or why,
        "RETRY_ATTEMPTS": str(attempts),
    }
    if condition:
        attributes["EXHAUSTED_RETRY_CONDITION"] = condition
    return Delivery(source, queue_arn, payload, now_s, source_arn, details={"Attributes": attributes})
