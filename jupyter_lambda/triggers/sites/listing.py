"""Which routes of which APIs lead to which functions: what is deployed now, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.arn import Account, FunctionName
from jupyter_lambda.store.http import ApiKind, HttpApis

from .integration import function_of
from .routes import ANY, DEFAULT, split_key


@dataclass(frozen=True, slots=True)
class Served:
    """One route of one stage."""

    api_id: str
    api_name: str
    kind: ApiKind
    stage: str
    #: "GET /pets/{id}" or "$default".
    route: str
    #: "NONE", "AWS_IAM", "JWT" or "CUSTOM".
    authorization: str
    #: Bare name and qualifier of the function.
    function: str
    qualifier: str | None

    @property
    def method(self) -> str:
        """The route's method; ANY for ``$default``."""
        parts = split_key(self.route)
        return parts[0] if parts else ANY

    @property
    def path(self) -> str:
        """From the API's own root on, stage included, variables as they are named."""
        parts = split_key(self.route)
        path = parts[1] if parts else "/"
        return path if self.stage == DEFAULT else f"/{self.stage}{path}"


def served(store: HttpApis, account: Account, function: str | None = None) -> Iterator[Served]:
    """All routes that lead to functions, or to one of them by its bare name."""
    for api in store.apis("http"):
        yield from (one for one in _of_http(store, account, api) if function in (None, one.function))
    for api in store.apis("rest"):
        yield from (one for one in _of_rest(store, account, api) if function in (None, one.function))


def _of_http(store: HttpApis, account: Account, api: Mapping[str, Any]) -> Iterator[Served]:
    for stage, snapshot in deployed(store, "http", api["ApiId"]):
        integrations = {one["IntegrationId"]: one for one in snapshot.get("Integrations", ())}
        for route in snapshot.get("Routes", ()):
            found = integrations.get(str(route.get("Target", "")).removeprefix("integrations/"), {})
            uri = found.get("IntegrationUri") if found.get("IntegrationType") == "AWS_PROXY" else None
            name = _function(uri, stage.get("StageVariables"), account)
            if name is not None:
                kind = route.get("AuthorizationType", "NONE")
                where = (stage["StageName"], route["RouteKey"], kind)
                yield Served(api["ApiId"], api["Name"], "http", *where, name.name, name.qualifier)


def _of_rest(store: HttpApis, account: Account, api: Mapping[str, Any]) -> Iterator[Served]:
    for stage, snapshot in deployed(store, "rest", api["id"]):
        for resource in snapshot.get("Resources", ()):
            for verb, method in resource["resourceMethods"].items():
                found = method.get("methodIntegration") or {}
                uri = found.get("uri") if found.get("type") == "AWS_PROXY" else None
                name = _function(uri, stage.get("variables"), account)
                if name is not None:
                    where = (stage["stageName"], f"{verb} {resource['path']}", method["authorizationType"])
                    yield Served(api["id"], api["name"], "rest", *where, name.name, name.qualifier)


def deployed(store: HttpApis, kind: ApiKind, api_id: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """An API's stages, each with the snapshot of its deployment; an empty one where it has none."""
    member = "DeploymentId" if kind == "http" else "deploymentId"
    for stage in store.parts(api_id, "stage"):
        found = store.part(api_id, "deployment", stage.get(member) or "")
        yield stage, found.get("Snapshot", {}) if found else {}


def _function(uri: str | None, variables: Mapping[str, str] | None, account: Account) -> FunctionName | None:
    if not uri:
        return None
    try:
        return FunctionName.parse(function_of(uri, variables), account)
    except LambdaError:
        return None
