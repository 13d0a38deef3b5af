"""Addresses of APIs as their callers can reach them."""

from __future__ import annotations

from jupyter_lambda.http1 import Request
from jupyter_lambda.model.arn import Account
from jupyter_lambda.triggers.sites.address import name_of, path_of

from .call import Call


def endpoint_of(call: Call, api_id: str) -> str:
    """``http://ID.execute-api.REGION.localhost:PORT``."""
    return by_name(call.request, call.plane.account, api_id)


def by_name(request: Request, account: Account, api_id: str) -> str:
    """An API's own origin, without a slash at its end, by the port by which the caller has come."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"http://{name_of('api', api_id, account.region)}{f':{port}' if port.isdigit() else ''}"


def by_path(request: Request, api_id: str) -> str:
    """An API below the endpoint's own address, for clients that don't resolve names under localhost."""
    return f"http://{request.headers.get('host', '127.0.0.1')}{path_of('api', api_id)}"
