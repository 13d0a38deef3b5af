"""Event source mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.engine.functions import check_tags
from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.mapping import NOTHING_YET, EventSourceMapping
from jupyter_lambda.triggers.mappings.options import new_options, update_options
from jupyter_lambda.triggers.mappings.sources import LIMITS, kind_of, refuse_unbuilt

#: Mappings of a page. Source: AWS Lambda API Reference, "ListEventSourceMappings": 100 at most.
PAGE_ITEMS = 100


async def create_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "CreateEventSourceMapping"."""
    params = call.params
    refuse_unbuilt(params)
    arn = params.get("EventSourceArn", "")
    kind = kind_of(arn, call.plane.account.region)
    options = new_options(kind, arn, params)
    name, qualifier = _function(call)
    tags = params.get("Tags", {})
    check_tags(tags)
    mapping = await call.triggers.mappings.create(
        kind, arn, name, qualifier, options, enabled=params.get("Enabled", True), tags=tags
    )
    return _configuration(mapping, call.plane.account)


async def get_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetEventSourceMapping"."""
    return _configuration(call.triggers.mappings.get(call.params["UUID"]), call.plane.account)


async def update_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UpdateEventSourceMapping"."""
    params = call.params
    refuse_unbuilt(params)
    before = call.triggers.mappings.get(params["UUID"])
    options = update_options(before.kind, before.source_arn, before.options, params)
    function = _function(call) if "FunctionName" in params else None
    mapping = await call.triggers.mappings.update(
        before.uuid, options=options, function=function, enabled=params.get("Enabled")
    )
    return _configuration(mapping, call.plane.account)


async def delete_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteEventSourceMapping"."""
    return _configuration(await call.triggers.mappings.delete(call.params["UUID"]), call.plane.account)


async def list_event_source_mappings(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListEventSourceMappings"."""
    params = call.params
    size = page_size(params.get("MaxItems"), PAGE_ITEMS)
    after = read_marker(params.get("Marker"), str)
    found = call.triggers.mappings.rows.all()
    if "EventSourceArn" in params:
        found = [one for one in found if one.source_arn == params["EventSourceArn"]]
    if "FunctionName" in params:
        name, qualifier = call.named()
        call.plane.function(name, qualifier)
        found = [one for one in found if one.function_name == name and qualifier in (None, one.qualifier)]
    left = [one for one in found if after is None or one.uuid > after[0]]
    return {
        "EventSourceMappings": [_configuration(one, call.plane.account) for one in left[:size]],
        "NextMarker": write_marker(left[size - 1].uuid) if len(left) > size else None,
    }


def _configuration(mapping: EventSourceMapping, account: Account) -> dict[str, Any]:
    """A mapping as AWS's EventSourceMappingConfiguration; which members there are depends on the kind of source."""
    options = mapping.options
    answer: dict[str, Any] = {
        "UUID": mapping.uuid,
        "BatchSize": options.batch_size,
        "MaximumBatchingWindowInSeconds": options.batching_window_s,
        "EventSourceArn": mapping.source_arn,
        "FunctionArn": account.function_arn(mapping.function_name, mapping.qualifier),
        "LastModified": mapping.last_modified_s,
        "State": mapping.state,
        "StateTransitionReason": mapping.reason,
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if options.reports_failures else [],
        "EventSourceMappingArn": account.mapping_arn(mapping.uuid),
        "FilterCriteria": {"Filters": [{"Pattern": text} for text in options.filters]} if options.filters else None,
        "ScalingConfig": _given("MaximumConcurrency", options.maximum_concurrency),
        "MetricsConfig": _given("Metrics", list(options.metrics) or None),
    }
    if mapping.last_result != NOTHING_YET:
        answer["LastProcessingResult"] = mapping.last_result
    if LIMITS[mapping.kind].stream:
        answer |= {
            "StartingPosition": options.starting_position,
            "StartingPositionTimestamp": options.starting_timestamp_s,
            "ParallelizationFactor": options.parallelization_factor,
            "LastProcessingResult": mapping.last_result,
            "DestinationConfig": {"OnFailure": _given("Destination", options.on_failure_arn) or {}},
            "MaximumRecordAgeInSeconds": options.maximum_record_age_s,
            "BisectBatchOnFunctionError": options.bisect_on_error,
            "MaximumRetryAttempts": options.maximum_retry_attempts,
            "TumblingWindowInSeconds": options.tumbling_window_s,
        }
    return answer


def _given(name: str, value: Any) -> dict[str, Any] | None:
    return None if value is None else {name: value}


def _function(call: Call) -> tuple[str, str | None]:
    """Name and qualifier of the function that is to be invoked.

    Raises:
        InvalidParameterValueException: It does not exist; AWS's answer to this operation.
    """
    name, qualifier = call.named()
    try:
        call.plane.version(name, qualifier)
    except ResourceNotFoundException:
        raise InvalidParameterValueException("Function does not exist") from None
    return name, qualifier
