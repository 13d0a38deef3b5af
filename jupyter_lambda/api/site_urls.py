"""Addresses of APIs as their callers can reach them."""

from __future__ import annotations

from typing import Any

from jupyter_lambda.model.arn import Account
from jupyter_lambda.triggers.sites.address import name_of, path_of
from jupyter_lambda.triggers.sites.apis import Apis
from jupyter_lambda.triggers.sites.listing import served

from .call import Call


def endpoint_of(call: Call, api_id: str) -> str:
    """``http://ID.execute-api.REGION.localhost:PORT``."""
    return by_name(call.request.headers.get("host", ""), call.plane.account, api_id)


def by_name(host: str, account: Account, api_id: str) -> str:
    """An API's own origin, without a slash at its end.

    Args:
        host: The Host header of whoever asks: the port by which it has come is the one that it can reach.
    """
    port = host.rpartition(":")[2]
    return f"http://{name_of('api', api_id, account.region)}{f':{port}' if port.isdigit() else ''}"


def by_path(host: str, api_id: str) -> str:
    """An API below the endpoint's own address, for clients that don't resolve names under localhost."""
    return f"http://{host or '127.0.0.1'}{path_of('api', api_id)}"


def routes(apis: Apis, account: Account, host: str, function: str | None) -> list[dict[str, Any]]:
    """Routes of all APIs that lead to functions, or to one of them, each with both of its addresses."""
    return [
        {
            "api_id": one.api_id,
            "api": one.api_name,
            "kind": one.kind,
            "stage": one.stage,
            "route": one.route,
            "method": one.method,
            "authorization": one.authorization,
            "function": one.function,
            "qualifier": one.qualifier,
            "url": by_name(host, account, one.api_id) + one.path,
            "path_url": by_path(host, one.api_id) + one.path,
            "problem": apis.problem(one.api_id, one.route),
        }
        for one in served(apis.store, account, function)
    ]
