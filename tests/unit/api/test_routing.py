"""The router."""

from __future__ import annotations

import pytest

from jupyter_lambda.api import description
from jupyter_lambda.api.rest_json import RestJson
from jupyter_lambda.api.routing import Router
from jupyter_lambda.http1 import Request


@pytest.fixture
def router() -> Router[str]:
    router: Router[str] = Router()
    for method, template in (
        ("GET", "/a"),
        ("GET", "/a?find=x"),
        ("GET", "/a/{Name}"),
        ("GET", "/a/fixed"),
        ("GET", "/a/{Name}/b"),
        ("GET", "/b/{Bucket}/{Key+}"),
        ("DELETE", "/a/{Name}"),
    ):
        router.add(method, template, f"{method} {template}")
    return router


@pytest.mark.parametrize(
    ("method", "path", "query", "target", "labels"),
    [
        ("GET", "/a", "", "GET /a", {}),
        ("GET", "/a/", "", "GET /a", {}),
        ("GET", "/a", "find=x&more=1", "GET /a?find=x", {}),
        ("GET", "/a", "find=y", "GET /a", {}),
        ("GET", "/a/fixed", "", "GET /a/fixed", {}),
        ("GET", "/a/x%2Fy", "", "GET /a/{Name}", {"Name": "x/y"}),
        ("GET", "/a/fixed/b", "", "GET /a/{Name}/b", {"Name": "fixed"}),
        ("GET", "/b/bucket/k/e%20y", "", "GET /b/{Bucket}/{Key+}", {"Bucket": "bucket", "Key": "k/e y"}),
        ("DELETE", "/a/x", "", "DELETE /a/{Name}", {"Name": "x"}),
    ],
)
def test_found(router, method, path, query, target, labels):
    assert router.find(method, path, query) == (target, labels)


@pytest.mark.parametrize(("method", "path"), [("POST", "/a"), ("GET", "/"), ("GET", "/a/b/c"), ("GET", "/b/bucket")])
def test_not_found(router, method, path):
    assert router.find(method, path, "") is None


def test_every_operation_of_lambda_is_found_at_its_address():
    api = RestJson(description.load("lambda"))
    for name, operation in api.operations.items():
        path, _, query = operation.template.partition("?")
        for label in [part for part in path.split("/") if part.startswith("{")]:
            path = path.replace(label, "x")
        request = Request(operation.method, path, query, [], b"", "", None)  # type: ignore[arg-type]
        found, _ = api.find(request)
        assert found.name == name
