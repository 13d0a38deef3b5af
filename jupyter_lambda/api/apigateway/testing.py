"""TestInvokeMethod: one request to a method as it is configured now, without a deployment or an authorizer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.errors import BadRequestException, MissingAuthenticationTokenException
from jupyter_lambda.http1 import Request
from jupyter_lambda.triggers.sites.address import name_of
from jupyter_lambda.triggers.sites.events import new_trace
from jupyter_lambda.triggers.sites.visit import Visit

from .common import api_of, integration_of, method_of, part_of

WITHOUT_EFFECT = {"TestInvokeMethod": {"clientCertificateId": "nothing here is asked by TLS with certificates"}}
_STAGE = "test-invoke-stage"


async def test_invoke_method(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "TestInvokeMethod". Authorizers are not asked, as on AWS."""
    params = call.params
    api, resource = api_of(call), part_of(call, "resource")
    integration_of(call, resource)  # which must be there
    open_to_all = {**method_of(call, resource), "authorizationType": "NONE", "apiKeyRequired": False}
    tested = resource | {"resourceMethods": {params["httpMethod"]: open_to_all}}
    path, _, query = (params.get("pathWithQueryString") or resource["path"]).partition("?")
    visit = _visit(call, path, query)
    began_s = call.service.clock()
    stage = {"stageName": _STAGE, "variables": params.get("stageVariables") or {}}
    response = await call.triggers.apis.test(api, stage, {"Resources": [tested]}, visit)
    if response is None:
        raise BadRequestException(f"The path {path[:256]} is none of the resource {resource['path']}")
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        headers.setdefault(name, []).append(value)
    body = response.body if isinstance(response.body, bytes) else b""
    why = call.triggers.apis.problem(api["id"], f"{params['httpMethod']} {resource['path']}")
    return {
        "status": response.status,
        "body": body.decode("utf-8", "replace"),
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "log": f"Execution log for request {visit.request_id}\n{why or 'Successfully completed execution'}\n",
        "latency": round((call.service.clock() - began_s) * 1000),
    }


def _visit(call: Call, path: str, query: str) -> Visit:
    """The request that is tried."""
    params, account = call.params, call.plane.account
    several = params.get("multiValueHeaders") or {n: [v] for n, v in (params.get("headers") or {}).items()}
    verb = params["httpMethod"]
    return Visit(
        kind="api",
        id=params["restApiId"],
        method="GET" if verb == "ANY" else verb,
        path=f"/{_STAGE}{path}",
        query=query,
        raw_headers=[(n.encode(), v.encode()) for n, values in several.items() for v in values],
        body=(params.get("body") or "").encode(),
        peer=call.request.peer,
        prefix="",
        request_id=str(uuid.uuid4()),
        trace_id=new_trace(call.service.clock()),
        domain_name=name_of("api", params["restApiId"], account.region),
        _request=call.request,
        _identify=_nobody,
    )


async def _nobody(request: Request, service: str) -> Credential:
    raise MissingAuthenticationTokenException("Missing Authentication Token")
