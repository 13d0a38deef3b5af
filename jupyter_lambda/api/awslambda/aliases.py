"""Aliases of functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import aliases
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.model.function import Alias


async def create_alias(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "CreateAlias"."""
    params = call.params
    name, _ = call.named()
    alias = await aliases.create(
        call.plane,
        name,
        params["Name"],
        params["FunctionVersion"],
        description=params.get("Description", ""),
        routing=_routing(params),
    )
    return _configuration(call, alias)


async def get_alias(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetAlias"."""
    name, _ = call.named()
    return _configuration(call, aliases.get(call.plane, name, call.params["Name"]))


async def update_alias(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UpdateAlias"."""
    params = call.params
    name, _ = call.named()
    alias = await aliases.update(
        call.plane,
        name,
        params["Name"],
        version=params.get("FunctionVersion"),
        description=params.get("Description"),
        routing=_routing(params),
        revision_id=params.get("RevisionId"),
    )
    return _configuration(call, alias)


async def delete_alias(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteAlias"."""
    name, _ = call.named()
    await aliases.delete(call.plane, name, call.params["Name"])
    return {}


async def list_aliases(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListAliases"."""
    params = call.params
    name, _ = call.named()
    size = page_size(params.get("MaxItems"))
    after = read_marker(params.get("Marker"), str)
    found = aliases.listed(call.plane, name, params.get("FunctionVersion"), after[0] if after else None, size + 1)
    return {
        "Aliases": [_configuration(call, alias) for alias in found[:size]],
        "NextMarker": write_marker(found[size - 1].name) if len(found) > size else None,
    }


def _routing(params: Mapping[str, Any]) -> dict[str, float] | None:
    """None where the request says nothing of routing; {} where it takes it away."""
    given = params.get("RoutingConfig")
    return None if given is None else given.get("AdditionalVersionWeights", {})


def _configuration(call: Call, alias: Alias) -> dict[str, Any]:
    return {
        "AliasArn": call.plane.account.function_arn(alias.function_name, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RoutingConfig": {"AdditionalVersionWeights": dict(alias.routing)} if alias.routing else None,
        "RevisionId": alias.revision_id,
    }
