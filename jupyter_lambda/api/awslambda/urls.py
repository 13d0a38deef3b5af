"""Function URLs: their configurations. What answers their requests is ``triggers.sites.urls``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import urls
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function_url import FunctionUrl
from jupyter_lambda.triggers.sites.address import name_of


async def create_function_url_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "CreateFunctionUrlConfig"."""
    name, qualifier = call.named()
    members = _members(call, await urls.create(call.plane, name, qualifier, _settings(call.params)))
    del members["LastModifiedTime"]
    return members


async def get_function_url_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetFunctionUrlConfig"."""
    name, qualifier = call.named()
    return _members(call, urls.get(call.plane, name, qualifier))


async def update_function_url_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UpdateFunctionUrlConfig"."""
    name, qualifier = call.named()
    return _members(call, await urls.update(call.plane, name, qualifier, _settings(call.params)))


async def delete_function_url_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteFunctionUrlConfig"."""
    name, qualifier = call.named()
    await urls.delete(call.plane, name, qualifier)
    return {}


async def list_function_url_configs(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListFunctionUrlConfigs"."""
    name, _ = call.named()
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"), str)
    found = urls.listed(call.plane, name, after[0] if after else None, limit + 1)
    page = found[:limit]
    marker = write_marker(page[-1].qualifier) if len(found) > limit else None
    return {"FunctionUrlConfigs": [_members(call, url) for url in page], "NextMarker": marker}


def _settings(params: Mapping[str, Any]) -> urls.Settings:
    return urls.Settings(params.get("AuthType"), params.get("InvokeMode"), params.get("Cors"))


def _members(call: Call, url: FunctionUrl) -> dict[str, Any]:
    account = call.plane.account
    # The port by which the caller has come: the one it can reach the URL by.
    port = call.request.headers.get("host", "").rpartition(":")[2]
    return {
        "FunctionUrl": f"http://{name_of('url', url.url_id, account.region)}{f':{port}' if port.isdigit() else ''}/",
        "FunctionArn": account.function_arn(url.function_name, None if url.qualifier == LATEST else url.qualifier),
        "AuthType": url.auth_type,
        "Cors": url.cors,
        "CreationTime": url.created,
        "LastModifiedTime": url.modified,
        "InvokeMode": url.invoke_mode,
    }
