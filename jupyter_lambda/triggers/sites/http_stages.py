"""HTTP APIs as they are served: stages with what is deployed to them, and which of them a path means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .cors import Cors
from .routes import DEFAULT, Routes, split_key


@dataclass(slots=True)
class Stage:
    """A stage with what is deployed to it."""

    name: str
    document: Mapping[str, Any]
    #: Routes by what they match; a route is its document.
    routes: Routes[Mapping[str, Any]]
    integrations: Mapping[str, Mapping[str, Any]]
    authorizers: Mapping[str, Mapping[str, Any]]

    @property
    def variables(self) -> Mapping[str, str]:
        """Stage variables."""
        found: Mapping[str, str] = self.document.get("StageVariables") or {}
        return found

    def limits(self, route_key: str) -> tuple[float | None, int | None]:
        """Rate per second and burst of a route: its own settings, or the stage's."""
        default = self.document.get("DefaultRouteSettings") or {}
        own = (self.document.get("RouteSettings") or {}).get(route_key) or {}
        rate = own.get("ThrottlingRateLimit", default.get("ThrottlingRateLimit"))
        burst = own.get("ThrottlingBurstLimit", default.get("ThrottlingBurstLimit"))
        return rate, burst


@dataclass(slots=True)
class HttpApi:
    """An API as it is served: made anew after each change of it."""

    api_id: str
    disabled: bool
    cors: Cors | None
    stages: Mapping[str, Stage]


def compiled(api: Mapping[str, Any], stages: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> HttpApi:
    """An API from its documents.

    Args:
        stages: Name → stage and its deployment's snapshot.
    """
    cors = api.get("CorsConfiguration")
    return HttpApi(
        api["ApiId"],
        bool(api.get("DisableExecuteApiEndpoint")),
        Cors(cors) if cors else None,
        {name: _stage(name, stage, snapshot) for name, (stage, snapshot) in stages.items()},
    )


def _stage(name: str, stage: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Stage:
    routes: Routes[Mapping[str, Any]] = Routes(slash_matters=True)
    for route in snapshot.get("Routes", ()):
        parts = split_key(route["RouteKey"])
        if parts is None:
            routes.default = route
        else:
            routes.add(*parts, route)
    return Stage(
        name,
        stage,
        routes,
        {one["IntegrationId"]: one for one in snapshot.get("Integrations", ())},
        {one["AuthorizerId"]: one for one in snapshot.get("Authorizers", ())},
    )


def stage_of(api: HttpApi, path: str) -> tuple[Stage, str] | None:
    """The stage that a path names, and the rest of it; else ``$default`` and all of it."""
    first, slash, rest = path[1:].partition("/")
    stage = api.stages.get(unquote(first))
    if stage is not None and stage.name != DEFAULT:
        return stage, f"/{rest}" if slash else "/"
    stage = api.stages.get(DEFAULT)
    return (stage, path) if stage is not None else None
