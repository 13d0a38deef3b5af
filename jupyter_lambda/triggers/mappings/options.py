"""From the members of a request to ``Options``: AWS's defaults, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jupyter_lambda.errors import InvalidParameterValueException, NotImplementedException, ValidationException
from jupyter_lambda.model.mapping import Kind, Options

from .filters import check_filters
from .sources import LIMITS, is_fifo

#: Filters of one mapping. Source: AWS Lambda Developer Guide, "Control which events Lambda sends to your function".
FILTERS_MAX = 5
#: Seconds; MaximumRecordAgeInSeconds is -1 or at least this. Source: AWS CloudFormation, "EventSourceMapping".
RECORD_AGE_MIN_S = 60
#: Services that take batches which are given up. Source: AWS Lambda Developer Guide, "Retain discarded records".
_DESTINATIONS = ("sqs", "sns", "s3")
#: Members that only streams have, and the one that only queues have.
_OF_STREAMS = (
    "ParallelizationFactor",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "TumblingWindowInSeconds",
)
_OF_QUEUES = ("ScalingConfig",)
#: Member of a request → field, where nothing but its name changes.
_PLAIN = {
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "batching_window_s",
    "ParallelizationFactor": "parallelization_factor",
    "MaximumRecordAgeInSeconds": "maximum_record_age_s",
    "BisectBatchOnFunctionError": "bisect_on_error",
    "MaximumRetryAttempts": "maximum_retry_attempts",
    "TumblingWindowInSeconds": "tumbling_window_s",
}


def new_options(kind: Kind, arn: str, params: Mapping[str, Any]) -> Options:
    """The options of a mapping that is created.

    Raises:
        InvalidParameterValueException, ValidationException: AWS's refusals.
    """
    limits = LIMITS[kind]
    position, at = params.get("StartingPosition"), params.get("StartingPositionTimestamp")
    if not limits.stream:
        if position is not None or at is not None:
            raise InvalidParameterValueException(f"StartingPosition is not valid for {limits.title} event sources.")
    else:
        _check_position(kind, arn, position, at)
    given: dict[str, Any] = {"batch_size": limits.batch_size, "starting_position": position}
    if at is not None:
        given["starting_timestamp_s"] = _seconds(at)
    return _checked(kind, arn, given | changed_options(kind, params))


def update_options(kind: Kind, arn: str, options: Options, params: Mapping[str, Any]) -> Options:
    """The options of a mapping after UpdateEventSourceMapping: what the request doesn't name stays.

    Raises:
        InvalidParameterValueException: AWS's refusals.
    """
    before = {name: getattr(options, name) for name in Options.__slots__}
    return _checked(kind, arn, before | changed_options(kind, params))


def changed_options(kind: Kind, params: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a request gives."""
    _refuse_others(kind, params)
    given = {field: params[member] for member, field in _PLAIN.items() if member in params}
    if "DestinationConfig" in params:
        given["on_failure_arn"] = params["DestinationConfig"].get("OnFailure", {}).get("Destination") or None
    if "FunctionResponseTypes" in params:
        given["reports_failures"] = "ReportBatchItemFailures" in params["FunctionResponseTypes"]
    if "FilterCriteria" in params:
        given["filters"] = tuple(one.get("Pattern", "") for one in params["FilterCriteria"].get("Filters", ()))
    if "ScalingConfig" in params:
        given["maximum_concurrency"] = params["ScalingConfig"].get("MaximumConcurrency")
    if "MetricsConfig" in params:
        given["metrics"] = tuple(params["MetricsConfig"].get("Metrics", ()))
    return given


def _refuse_others(kind: Kind, params: Mapping[str, Any]) -> None:
    """Members of other kinds of sources. Recorded: "Unsupported DestinationConfig parameter for given …"."""
    for member in _OF_QUEUES if LIMITS[kind].stream else _OF_STREAMS:
        if member in params:
            raise _unsupported(member)
    destinations = params.get("DestinationConfig", {})
    if "OnSuccess" in destinations:
        raise _unsupported("DestinationConfig")
    if "LoggingConfig" in params:
        raise _unsupported("LoggingConfig")  # of provisioned Kafka pollers alone


def _unsupported(member: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"Unsupported {member} parameter for given event source mapping type.")


def _check_position(kind: Kind, arn: str, position: str | None, at: object) -> None:
    if position is None:
        raise ValidationException(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must "
            "not be null."
        )
    if position != "AT_TIMESTAMP":
        if at is not None:
            raise InvalidParameterValueException("Timestamp only valid with StartingPosition AT_TIMESTAMP")
        return
    if kind == "dynamodb":
        raise InvalidParameterValueException(f"Unsupported starting position for arn type: {arn}")
    if at is None:
        raise InvalidParameterValueException("StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp.")
    if _seconds(at) < 0:
        raise InvalidParameterValueException(
            "Received Exception while reading from provided stream. class java.lang.Long can not be converted to a "
            "Timestamp"
        )


def _seconds(at: Any) -> float:
    return at.timestamp() if isinstance(at, datetime) else float(at)


def _checked(kind: Kind, arn: str, given: dict[str, Any]) -> Options:
    options = Options(**given)
    most = LIMITS[kind].batch_size_max
    if kind == "sqs":
        _check_queue(arn, options)
    if options.batch_size > most:
        raise InvalidParameterValueException(f"BatchSize must be between 1 and {most} for this event source.")
    if 0 <= options.maximum_record_age_s < RECORD_AGE_MIN_S:
        raise InvalidParameterValueException(
            f"MaximumRecordAgeInSeconds must be -1 or at least {RECORD_AGE_MIN_S} seconds."
        )
    _check_destination(options.on_failure_arn)
    if len(options.filters) > FILTERS_MAX:
        raise InvalidParameterValueException("Maximum number of filters per event source mapping exceeded.")
    check_filters(kind, options.filters)
    return options


def _check_queue(arn: str, options: Options) -> None:
    if is_fifo(arn):
        if options.batching_window_s:
            raise InvalidParameterValueException("Batching window is not supported for FIFO queues")
        if options.batch_size > 10:
            raise InvalidParameterValueException("BatchSize must be between 1 and 10 for FIFO queues.")
    elif options.batch_size > 10 and not options.batching_window_s:
        raise InvalidParameterValueException(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def _check_destination(arn: str | None) -> None:
    if arn is None:
        return
    parts = arn.split(":", 5)
    if arn.startswith("kafka://"):
        raise NotImplementedException("Kafka topics as destinations are not built; SQS, SNS and S3 are.")
    if len(parts) < 6 or parts[2] not in _DESTINATIONS or arn.endswith(".fifo"):
        raise InvalidParameterValueException(
            f"The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination={arn}))"
            " is invalid."
        )
