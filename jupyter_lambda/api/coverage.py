"""What of AWS's APIs is built: ``python -m jupyter_lambda.api.coverage > docs/api-coverage.md``."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from jupyter_lambda.triggers.mappings.sources import UNBUILT

from . import description
from .aws_service import Offer, protocols
from .awslambda import registry
from .awslambda.configuration import REFUSED
from .rest_json import Operation, RestJson
from .services import OFFERS

_HEAD = """\
# What of AWS Lambda's API is built

Written from the code by `python -m jupyter_lambda.api.coverage`; don't edit it. Operations are those of the
description that botocore ships (API version {version}).

- A parameter **without effect** is accepted, checked, kept and returned as AWS does, and changes nothing here.
- A parameter that is **refused** answers `NotImplemented`: passing over it would change what the request means.
- An operation that is not built answers HTTP 501, code `NotImplemented`, and a message that names it.
- `S3Bucket` and `S3Key` (code and layers) are refused; packages come as `ZipFile`.

{built} of {total} operations are built.
"""
_OTHER_HEAD = """
# What of the API of {title} is built

API version {version}, protocols {protocols}. {about}

{built} of {total} operations are built:

| operation | parameters without effect |
|---|---|"""
_ABOUT = {
    "logs": "Log groups are those of functions, `/aws/lambda/NAME`; `docs/observability.md` tells more.",
    "cloudwatch": "Metrics only, no alarms and dashboards; `docs/observability.md` tells more.",
    "events": "Targets are functions, SQS, SNS, Kinesis and event buses; `docs/schedules.md` tells more.",
    "scheduler": "Targets are functions, SQS, SNS, Kinesis and event buses; `docs/schedules.md` tells more.",
    "apigatewayv2": "HTTP APIs, no WebSocket APIs; `docs/http.md` tells more.",
    "apigateway": "REST APIs with proxy and MOCK integrations; `docs/http.md` tells more.",
}


def page() -> str:
    """The whole page."""
    service = description.load("lambda")
    api = RestJson(service)
    built = registry.handlers(api.operations)
    text = [_HEAD.format(version=service["metadata"]["apiVersion"], built=len(built), total=len(api.operations))]
    text += ["## Built\n", "| operation | request | parameters without effect | refused |", "|---|---|---|---|"]
    without = registry.without_effect()
    text += [_row(api.operations[name], without.get(name, {})) for name in sorted(built)]
    text += ["\n### Why without effect\n"]
    reasons = {(parameter, why) for found in without.values() for parameter, why in found.items()}
    text += [f"- `{parameter}`: {why}" for parameter, why in sorted(reasons)]
    text += ["\n## Not built\n", "| operation | request |", "|---|---|"]
    missing = sorted(set(api.operations) - set(built))
    text += [f"| {name} | {_request(api.operations[name])} |" for name in missing]
    for offer in OFFERS:
        text += _other(offer)
    return "\n".join(text) + "\n"


def _other(offer: Offer) -> list[str]:
    """One of the services beside Lambda."""
    service = description.load(offer.name)
    metadata, operations = service["metadata"], sorted(service["operations"])
    built = registry.handlers(operations, offer.modules)
    without = registry.without_effect(offer.modules)
    head = _OTHER_HEAD.format(
        title=metadata["serviceFullName"],
        version=metadata["apiVersion"],
        protocols=", ".join(protocols(metadata)),
        about=_ABOUT.get(offer.name, ""),
        built=len(built),
        total=len(operations),
    )
    rows = [f"| {name} | {_names(without.get(name, {}))} |" for name in sorted(built)]
    reasons = {(parameter, why) for found in without.values() for parameter, why in found.items()}
    why = [f"- `{parameter}`: {reason}" for parameter, reason in sorted(reasons)]
    missing = ", ".join(name for name in operations if name not in built)
    return [head, *rows, "", *why, "", f"Not built: {missing}."]


def _row(operation: Operation, without: Mapping[str, str]) -> str:
    unbuilt = UNBUILT if "EventSourceMapping" in operation.name else REFUSED
    refused = [name for name in operation.parameters if name in unbuilt]
    return f"| {operation.name} | {_request(operation)} | {_names(without)} | {_names(refused)} |"


def _request(operation: Operation) -> str:
    return f"`{operation.method} {operation.template}`"


def _names(names: Mapping[str, str] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    sys.stdout.write(page())
