"""Whatever the services that speak rest-json are asked, no answer is a 500."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_lambda.api import description
from jupyter_lambda.api.aws_service import protocols
from jupyter_lambda.api.awslambda.registry import handlers
from jupyter_lambda.api.rest_json import RestJson
from jupyter_lambda.api.services import OFFERS

from .observed import REGION, service
from .test_fuzz import JSON
from .test_fuzz_observed import typed

REST = [one for one in OFFERS if "rest-json" in protocols(description.load(one.name)["metadata"])]
QUIET = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def known(engine) -> list[str]:
    """Ids of things that exist, so that not every request ends at a 404."""
    v2, v1 = service(engine, "apigatewayv2"), service(engine, "apigateway")
    target = f"arn:aws:lambda:{REGION}:000000000000:function:fuzz"
    http = v2.create_api(Name="fuzz", ProtocolType="HTTP", Target=target)["ApiId"]
    found = [http, "$default", v2.get_routes(ApiId=http)["Items"][0]["RouteId"]]
    found += [v2.get_integrations(ApiId=http)["Items"][0]["IntegrationId"]]
    rest = v1.create_rest_api(name="fuzz")
    at = {"restApiId": rest["id"], "resourceId": rest["rootResourceId"], "httpMethod": "GET"}
    v1.put_method(**at, authorizationType="NONE")
    v1.put_integration(**at, type="MOCK")
    deployment = v1.create_deployment(restApiId=rest["id"], stageName="s")
    arns = [f"arn:aws:apigateway:{REGION}::/apis/{http}", f"arn:aws:apigateway:{REGION}::/restapis/{rest['id']}"]
    return [*found, rest["id"], rest["rootResourceId"], deployment["id"], "s", "GET", "default", *arns]


@pytest.mark.parametrize("offer", REST, ids=lambda offer: offer.name)
@QUIET
@given(data=st.data())
def test_operations(engine, known, offer, data):
    described = description.load(offer.name)
    api = RestJson(described)
    built = handlers(api.operations, offer.modules).keys() - {"DeleteApi", "DeleteRestApi"}
    name = data.draw(st.sampled_from(sorted(built)))
    operation, spec = api.operations[name], described["shapes"][described["operations"][name]["input"]["shape"]]
    path, query, body = operation.template.partition("?")[0], {}, {}
    for member, ref in spec["members"].items():
        shape, wire = operation.input.shape.members[member][1], ref.get("locationName", member)
        value: Any
        if ref.get("location") == "uri":
            value = data.draw(st.sampled_from(known) | st.text(min_size=1, max_size=8))
            path = path.replace(f"{{{wire}}}", quote(value.replace("\ud800", "x"), safe="", errors="replace"))
        elif member in spec.get("required", ()) or data.draw(st.booleans()):
            value = data.draw(typed(shape))
            if ref.get("location") == "querystring":
                query[wire] = value
            else:
                body[wire] = value
    if data.draw(st.integers(0, 9)) == 0 and body:
        body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JSON)
    target = path + (f"?{urlencode(query, doseq=True, errors='replace')}" if query else "")
    sent = json.dumps(body).encode() if operation.method not in ("GET", "DELETE") else b""
    keys = engine.service.credentials.owner
    request = AWSRequest(operation.method, engine.url + target, data=sent)
    SigV4Auth(Keys(keys.access_key, keys.secret_key), offer.signing_name, REGION).add_auth(request)
    status, _, answer = engine.raw(operation.method, target, sent, dict(request.headers.items()))
    assert status < 500 or status == 501, (name, target, body, answer)
