"""``http:`` — a route of one HTTP API that all such words share.

Source: Amazon API Gateway Developer Guide, "HTTP APIs".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from . import samples
from .base import MARK, Action, Made, Source, Trigger, allow, disallow
from .errors import Refused, TriggerError, WordError
from .options import Options, nearest
from .place import Function, Place

#: The HTTP API that holds the routes of all words.
API_NAME = MARK
METHODS = ("ANY", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_VARIABLE = re.compile(r"\{[A-Za-z0-9._-]+\+?\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]*")
_SERVICE = "apigatewayv2"


@dataclass(frozen=True)
class HttpSource(Source):
    """A method and a path."""

    kind: ClassVar[str] = "http"
    usage: ClassVar[str] = "http:/thumb or 'http:GET /items/{id}'"
    summary: ClassVar[str] = "a route of the HTTP API jupyter-lambda; {name} is a variable, {rest+} all that follows"
    known: ClassVar[dict[str, str]] = {
        "auth": "iam: signed requests only",
        "payload": "1.0 or 2.0 (the default): the event's format",
    }
    unpausable: ClassVar[str] = "a route is there or it isn't; take it away with %lambda trigger rm"

    auth: str = "NONE"
    payload: str = "2.0"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """``/path``, ``METHOD /path`` or ``$default``."""
        auth = "AWS_IAM" if options.one_of("auth", ("none", "iam")) == "iam" else "NONE"
        payload = options.one_of("payload", ("1.0", "2.0")) or "2.0"
        return cls(_route_key(where), auth=auth, payload=payload, options=options.pairs())

    @property
    def identity(self) -> str:
        """``http:/thumb`` for ANY."""
        return f"http:{self.where.removeprefix('ANY ')}"

    @property
    def _split(self) -> tuple[str, str]:
        method, _, path = self.where.rpartition(" ")
        return ("GET" if method in ("", "ANY") else method), ("/" if path == "$default" else path)

    def in_words(self) -> str:
        """The route."""
        if self.where == "$default":
            return "every request that no other route takes"
        method, _, path = self.where.partition(" ")
        signed = "signed " if self.auth == "AWS_IAM" else ""
        return f"{signed}requests for {path}" if method == "ANY" else f"{signed}{method} requests for {path}"

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [f"the route {self.where} of the HTTP API {API_NAME}, integrated with {function_name}"]

    def make(self, place: Place, function: Function) -> Made:
        """The API where there is none yet, an integration, the route, and API Gateway's permission."""
        api = _api(place) or _create_api(place)
        api_id = str(api["ApiId"])
        present = self._route(place, api_id)
        if present is not None:
            self._check_owner(place, api_id, present, function)
        integration = self._integration(place, api_id, function)
        wanted = {
            "RouteKey": self.where,
            "Target": f"integrations/{integration}",
            "AuthorizationType": self.auth,
        }
        action: Action = "unchanged"
        if present is None:
            place.call(_SERVICE, "create_route", ApiId=api_id, **wanted)
            action = "made"
        elif any(present.get(key, "NONE") != value for key, value in wanted.items()):
            place.call(_SERVICE, "update_route", ApiId=api_id, RouteId=present["RouteId"], **wanted)
            action = "changed"
        allow(
            place,
            function,
            self.mark(function),
            principal="apigateway.amazonaws.com",
            source_arn=place.arn("execute-api", f"{api_id}/*/*"),
        )
        return Made(self._trigger(place, api), action)

    def remove(self, place: Place, function: Function) -> None:
        """The route, and the integration where no other route uses it; the API stays, so that addresses stay."""
        api = _api(place)
        if api is not None:
            api_id = str(api["ApiId"])
            present = self._route(place, api_id)
            if present is not None and _arn_of(place, api_id, present) == function.arn:
                place.call(_SERVICE, "delete_route", ApiId=api_id, RouteId=present["RouteId"])
                target = str(present.get("Target", ""))
                if all(route.get("Target") != target for route in _routes(place, api_id)):
                    place.call(_SERVICE, "delete_integration", ApiId=api_id, IntegrationId=target.rpartition("/")[2])
        disallow(place, function, self.mark(function))

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """The routes of the shared API that lead to it."""
        api = _api(place)
        if api is None:
            return []
        api_id = str(api["ApiId"])
        own = {
            f"integrations/{one['IntegrationId']}": str(one.get("PayloadFormatVersion", "2.0"))
            for one in _integrations(place, api_id)
            if one.get("IntegrationUri") == function.arn
        }
        found = []
        for route in _routes(place, api_id):
            payload = own.get(str(route.get("Target")))
            if payload is not None:
                found.append(_source(route, payload)._trigger(place, api))
        return sorted(found, key=lambda one: one.word)

    def sample(self, place: Place) -> dict[str, Any]:
        """A request of the route, its variables named after themselves."""
        method, path = self._split
        made = samples.http_v1 if self.payload == "1.0" else samples.http
        return made(method, path, self.where, place)

    def _route(self, place: Place, api_id: str) -> dict[str, Any] | None:
        return next((route for route in _routes(place, api_id) if route["RouteKey"] == self.where), None)

    def _check_owner(self, place: Place, api_id: str, route: Mapping[str, Any], function: Function) -> None:
        other = _arn_of(place, api_id, route)
        if other not in ("", function.arn):
            name = other.rpartition(":")[2]
            raise TriggerError(
                f"{self.identity} already leads to {name}; choose another path, or %lambda trigger rm {name} "
                f"'{self.identity}'"
            )

    def _integration(self, place: Place, api_id: str, function: Function) -> str:
        for one in _integrations(place, api_id):
            if one.get("IntegrationUri") == function.arn and one.get("PayloadFormatVersion") == self.payload:
                return str(one["IntegrationId"])
        made = place.call(
            _SERVICE,
            "create_integration",
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationMethod="POST",
            IntegrationUri=function.arn,
            PayloadFormatVersion=self.payload,
        )
        return str(made["IntegrationId"])

    def _trigger(self, place: Place, api: Mapping[str, Any]) -> Trigger:
        method, path = self._split
        shown = _VARIABLE.sub(lambda found: found[0].strip("{+}"), path)
        url = place.here(f"/_aws/execute-api/{api['ApiId']}{shown}", f"{api.get('ApiEndpoint', '')}{shown}")
        quoted = f"'{url}'" if "$" in url else url
        with_body = " -H 'content-type: application/json' -d '{\"n\": 3}'" if method in ("POST", "PUT", "PATCH") else ""
        verb = "" if method == "GET" else f"-X {method} "
        return Trigger(self.word, self.in_words(), "on", (url, f"curl {verb}{quoted}{with_body}"))


def _route_key(where: str) -> str:
    if where == "$default":
        return where
    method, blank, path = where.strip().partition(" ")
    if not blank:
        method, path = "ANY", method
    path, method = path.strip(), method.upper()
    if method not in METHODS:
        raise WordError(f"http: there is no method {method}{nearest(method, METHODS)}")
    if not path.startswith("/"):
        raise WordError(f"http: the path {path!r} must begin with /: http:/{path}")
    segments = path[1:].split("/")
    for at, segment in enumerate(segments):
        if _VARIABLE.fullmatch(segment):
            if segment.endswith("+}") and at != len(segments) - 1:
                raise WordError(f"http: {segment} takes all that follows, so it must be the last part of {path}")
        elif not _SEGMENT.fullmatch(segment):
            raise WordError(f"http: {segment!r} can't be a part of a path; a variable is written {{name}}")
    return f"{method} {path}"


def _source(route: Mapping[str, Any], payload: str) -> HttpSource:
    auth = "AWS_IAM" if route.get("AuthorizationType") == "AWS_IAM" else "NONE"
    options = (("auth", "iam"),) if auth == "AWS_IAM" else ()
    if payload != "2.0":
        options = (*options, ("payload", payload))
    return HttpSource(str(route["RouteKey"]), auth=auth, payload=payload, options=options)


def _api(place: Place) -> dict[str, Any] | None:
    own = (one for one in place.pages(_SERVICE, "get_apis", "Items") if one.get("Name") == API_NAME)
    return next((one for one in own if one.get("ProtocolType") == "HTTP"), None)


def _create_api(place: Place) -> dict[str, Any]:
    api = place.call(
        _SERVICE,
        "create_api",
        Name=API_NAME,
        ProtocolType="HTTP",
        Description="Routes of functions that were deployed with --trigger http:…",
    )
    place.call(_SERVICE, "create_stage", ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
    return api


def _routes(place: Place, api_id: str) -> list[dict[str, Any]]:
    return list(place.pages(_SERVICE, "get_routes", "Items", ApiId=api_id))


def _integrations(place: Place, api_id: str) -> list[dict[str, Any]]:
    return list(place.pages(_SERVICE, "get_integrations", "Items", ApiId=api_id))


def _arn_of(place: Place, api_id: str, route: Mapping[str, Any]) -> str:
    """The function that a route leads to; "" for none."""
    target = str(route.get("Target") or "").rpartition("/")[2]
    if not target:
        return ""
    try:
        found = place.call(_SERVICE, "get_integration", ApiId=api_id, IntegrationId=target)
    except Refused as exc:
        if exc.aws_code == "NotFoundException":
            return ""
        raise
    return str(found.get("IntegrationUri", ""))
