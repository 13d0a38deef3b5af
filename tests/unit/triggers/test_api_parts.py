"""Parts of API Gateway that decide without I/O: throttling, policies, verdicts, CORS, MOCK."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.http1 import Response
from jupyter_lambda.triggers.sites import mock
from jupyter_lambda.triggers.sites.authorizers import Broken, read_verdict
from jupyter_lambda.triggers.sites.cors import Cors
from jupyter_lambda.triggers.sites.iam_policy import NoPolicy, decide
from jupyter_lambda.triggers.sites.integration import function_of
from jupyter_lambda.triggers.sites.rest_stages import Stage, is_binary
from jupyter_lambda.triggers.sites.routes import Routes
from jupyter_lambda.triggers.sites.throttle import Throttle
from jupyter_lambda.triggers.sites.usage import period_start

ARN = "arn:aws:execute-api:us-east-1:000000000000:abc/dev/GET/pets/1"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


# --- throttling


@given(
    st.floats(0.5, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate(rate, burst, gaps):
    clock = Clock()
    throttle = Throttle(clock)
    passed = 0
    for gap in gaps:
        clock.now_s += gap
        passed += throttle.allows(("a",), rate, burst)
        assert passed <= burst + rate * (clock.now_s - 100.0) + 1e-6
    assert passed >= min(len(gaps), burst)


def test_buckets_are_apart_and_fill_again():
    clock = Clock()
    throttle = Throttle(clock)
    assert [throttle.allows(("a",), 1.0, 1) for _ in range(2)] == [True, False]
    assert throttle.allows(("b",), 1.0, 1)
    clock.now_s += 1
    assert throttle.allows(("a",), 1.0, 1)


def test_no_limit_and_a_limit_of_nothing():
    throttle = Throttle(Clock())
    assert all(throttle.allows(("a",), None, None) for _ in range(1000))
    assert not throttle.allows(("b",), 0.0, 0)


def test_a_changed_limit_holds_at_once():
    throttle = Throttle(Clock())
    assert [throttle.allows(("a",), 1.0, 1) for _ in range(2)] == [True, False]
    assert throttle.allows(("a",), 1.0, 5)


def test_method_settings_by_path_and_for_all():
    settings = {
        "*/*": {"throttlingRateLimit": 5.0, "throttlingBurstLimit": 6},
        "~1pets~1{id}/GET": {"throttlingRateLimit": 1.0},
        "cats/POST": {"throttlingBurstLimit": 2},
    }
    stage = Stage("dev", {"methodSettings": settings}, Routes(slash_matters=False), {})
    assert stage.limits("/pets/{id}", "GET") == (1.0, 6)
    assert stage.limits("/cats", "POST") == (5.0, 2)
    assert stage.limits("/cats", "GET") == (5.0, 6)


@pytest.mark.parametrize(
    ("day", "week", "month"),
    [
        (date(2026, 11, 25), date(2026, 11, 22), date(2026, 11, 1)),  # a Wednesday
        (date(2026, 11, 22), date(2026, 11, 22), date(2026, 11, 1)),  # a Sunday
        (date(2026, 1, 1), date(2025, 12, 28), date(2026, 1, 1)),
    ],
)
def test_periods_of_quotas(day, week, month):
    assert [period_start(day, period) for period in ("DAY", "WEEK", "MONTH")] == [day, week, month]


# --- policies


def statement(effect: str, action: Any = "execute-api:Invoke", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "decision"),
    [
        ([statement("Allow")], "allow"),
        ([statement("Allow", "*")], "allow"),
        ([statement("Allow", "EXECUTE-API:*", "arn:aws:execute-api:*:*:abc/dev/*/pets/?")], "allow"),
        ([statement("Allow", ["s3:Get*", "execute-api:Invoke"], ["x", ARN])], "allow"),
        ([statement("Allow", resource="arn:aws:execute-api:*:*:abc/prod/*")], "nothing"),
        ([statement("Allow", "execute-api:ManageConnections")], "nothing"),
        ([statement("Allow"), statement("Deny", resource=ARN)], "deny"),
        ([statement("Deny", resource="other"), statement("Allow")], "allow"),
        ([statement("Allow", Condition={"IpAddress": {}})], "nothing"),
        ([statement("Deny", Condition={"IpAddress": {}}), statement("Allow")], "deny"),
        (statement("Allow"), "allow"),
        ([], "nothing"),
    ],
)
def test_policies(statements, decision):
    assert decide({"Statement": statements}, ARN) == decision


@pytest.mark.parametrize("document", [None, [], {}, {"Statement": ["x"]}, {"Statement": [{"Effect": "Allow"}]}])
def test_what_is_no_policy(document):
    with pytest.raises(NoPolicy):
        decide(document, ARN)


# --- verdicts


@pytest.mark.parametrize(
    "answer", ["nonsense", "[]", "{}", '{"isAuthorized": 1}', '{"isAuthorized": true, "context": 1}']
)
def test_broken_simple_verdicts(answer):
    with pytest.raises(Broken):
        read_verdict(answer.encode(), simple=True, nested_context=True)


@pytest.mark.parametrize(
    "answer", [{}, {"principalId": "a"}, {"policyDocument": {}}, {"principalId": 1, "policyDocument": {}}]
)
def test_broken_policies_as_verdicts(answer):
    with pytest.raises(Broken):
        read_verdict(json.dumps(answer).encode(), simple=False, nested_context=False)


def test_contexts_of_rest_apis_are_flat():
    answer = json.dumps({"principalId": "a", "policyDocument": {}, "context": {"list": [1]}}).encode()
    with pytest.raises(Broken):
        read_verdict(answer, simple=False, nested_context=False)
    assert read_verdict(answer, simple=False, nested_context=True).context == {"list": [1]}


# --- CORS


class Visit:
    def __init__(self, method: str, **headers: str) -> None:
        self.method = method
        self.headers = {name.replace("_", "-").lower(): value for name, value in headers.items()}

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


def visit(method: str, **headers: str) -> Any:
    return Visit(method, **headers)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["*"], "http://x", "*"),
        (["https://a.example"], "https://a.example", "https://a.example"),
        (["https://a.example"], "https://b.example", None),
        (["https://a.example"], "https://a.example.evil", None),
        (["https://*"], "https://b.example", "https://b.example"),
        (["https://*"], "http://b.example", None),
    ],
)
def test_origins(origins, origin, allowed):
    cors = Cors({"AllowOrigins": origins, "AllowMethods": ["*"]})
    for answer in (
        cors.preflight(visit("OPTIONS", Origin=origin, Access_Control_Request_Method="PUT")),
        cors.dress(Response(200, [("access-control-allow-origin", "http://own")]), visit("GET", Origin=origin)),
    ):
        assert answer is not None
        named = {name.lower(): value for name, value in answer.headers}
        assert named.get("access-control-allow-origin") == allowed


def test_an_options_request_that_is_no_preflight_goes_on():
    cors = Cors({"AllowOrigins": ["*"]})
    assert cors.preflight(visit("OPTIONS", Origin="http://x")) is None
    assert cors.preflight(visit("GET", Origin="http://x", Access_Control_Request_Method="PUT")) is None


def test_a_method_that_is_not_allowed_gets_no_headers():
    cors = Cors({"AllowOrigins": ["*"], "AllowMethods": ["GET"]})
    answer = cors.preflight(visit("OPTIONS", Origin="http://x", Access_Control_Request_Method="DELETE"))
    assert answer is not None
    assert (answer.status, list(answer.headers)) == (204, [])


# --- MOCK, URIs, media types


def test_mock_answers_by_its_status():
    integration = {
        "requestTemplates": {"application/json": '{"statusCode": 404}'},
        "integrationResponses": {
            "200": {"statusCode": "200"},
            "404": {"statusCode": "410", "selectionPattern": "4\\d\\d", "responseTemplates": {"text/plain": "gone"}},
        },
    }
    answer = mock.answer(integration, None)
    assert (answer.status, answer.body) == (410, b"gone")
    assert ("Content-Type", "text/plain") in list(answer.headers)
    with pytest.raises(mock.BadTemplate):
        mock.answer({"requestTemplates": {}}, None)
    with pytest.raises(mock.BadTemplate):
        mock.answer({"requestTemplates": {"application/json": '{"statusCode": 200}'}}, None)


def test_functions_in_uris():
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}:${{stageVariables.alias}}/invocations"
    assert function_of(uri, {"alias": "live"}) == f"{arn}:live"
    assert function_of(arn) == arn


@pytest.mark.parametrize(
    ("media", "wanted", "binary"),
    [
        ("image/png; q=1", ("image/png",), True),
        ("IMAGE/PNG", ("image/*",), True),
        ("text/html", ("image/*",), False),
        ("anything", ("*/*",), True),
        ("image/png", (), False),
    ],
)
def test_binary_media_types(media, wanted, binary):
    assert is_binary(media, wanted) is binary
