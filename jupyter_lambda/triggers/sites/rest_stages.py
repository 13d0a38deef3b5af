"""REST APIs as they are served: stages with what is deployed to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .routes import Routes


@dataclass(frozen=True, slots=True)
class Target:
    """A method of a resource, with their documents."""

    resource: Mapping[str, Any]
    method: Mapping[str, Any]


@dataclass(slots=True)
class Stage:
    """A stage with what is deployed to it."""

    name: str
    document: Mapping[str, Any]
    routes: Routes[Target]
    authorizers: Mapping[str, Mapping[str, Any]]

    @property
    def variables(self) -> Mapping[str, str]:
        """Stage variables."""
        found: Mapping[str, str] = self.document.get("variables") or {}
        return found

    def limits(self, path: str, method: str) -> tuple[float | None, int | None]:
        """Rate per second and burst of a method: its own settings, or those of all (``*/*``)."""
        settings = self.document.get("methodSettings") or {}
        own: Mapping[str, Any] = {}
        for key, found in settings.items():
            resource, _, verb = key.rpartition("/")
            if resource.replace("~1", "/").strip("/") == path.strip("/") and verb in (method, "*"):
                own = found
        default = settings.get("*/*") or {}
        rate = own.get("throttlingRateLimit", default.get("throttlingRateLimit"))
        burst = own.get("throttlingBurstLimit", default.get("throttlingBurstLimit"))
        return rate, burst


@dataclass(slots=True)
class RestApi:
    """An API as it is served: made anew after each change of it."""

    api_id: str
    disabled: bool
    binary_media_types: tuple[str, ...]
    #: Whether API keys come from an authorizer and not in a header.
    keys_of_authorizer: bool
    stages: Mapping[str, Stage]


def compiled(api: Mapping[str, Any], stages: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> RestApi:
    """An API from its documents.

    Args:
        stages: Name → stage and its deployment's snapshot.
    """
    return RestApi(
        api["id"],
        bool(api.get("disableExecuteApiEndpoint")),
        tuple(api.get("binaryMediaTypes") or ()),
        api.get("apiKeySource") == "AUTHORIZER",
        {name: _stage(name, stage, snapshot) for name, (stage, snapshot) in stages.items()},
    )


def _stage(name: str, stage: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Stage:
    """A stage from its documents."""
    routes: Routes[Target] = Routes(slash_matters=False)
    for resource in snapshot.get("Resources", ()):
        for verb, method in (resource.get("resourceMethods") or {}).items():
            routes.add(verb, resource["path"], Target(resource, method))
    return Stage(name, stage, routes, {one["id"]: one for one in snapshot.get("Authorizers", ())})


def is_binary(content_type: str, binary_media_types: tuple[str, ...]) -> bool:
    """Whether a media type is one of the API's binary ones; ``image/*`` and ``*/*`` stand for several."""
    media = content_type.partition(";")[0].strip().lower()
    for wanted in binary_media_types:
        kind = wanted.lower()
        if kind in ("*/*", media) or (kind.endswith("/*") and media.startswith(kind[:-1])):
            return True
    return False
