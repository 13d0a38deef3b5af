"""Who may use a route of an HTTP API: anybody, whoever signs (AWS_IAM), a JWT, or whom a Lambda authorizer lets in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.errors import SignatureError

from . import events
from .authorizers import Authorizers, Broken, Forbidden, LambdaAuthorizer, Unauthorized
from .integration import Asking, function_of
from .jwt import BadToken, Tokens, TooNarrow, check_scopes, claims_as_text
from .signer import signer
from .visit import Visit

#: Seconds that an answer is kept where the authorizer says nothing.
TTL_DEFAULT_S = 300


class Refused(Exception):
    """The request may not pass, told in other words than 401 Unauthorized and 403 Forbidden alone."""

    def __init__(self, status: int, text: str, headers: list[tuple[str, str]] | None = None) -> None:
        super().__init__(text)
        self.status, self.text = status, text
        self.headers = headers or []


@dataclass(frozen=True, slots=True)
class Door:
    """One request before its route."""

    visit: Visit
    route: Mapping[str, Any]
    #: The document of the route's authorizer; None where it has none.
    authorizer: Mapping[str, Any] | None
    api_id: str
    stage: str
    stage_variables: Mapping[str, str]
    #: Of the request, as execute-api has it.
    arn: str
    #: The event of a payload format: version, authorizer.
    event: Callable[[str, Mapping[str, Any] | None], dict[str, Any]]
    #: How the authorizer's function is asked.
    asking: Callable[[], Asking]


class Authorization:
    """Checks requests; keeps what may be kept."""

    def __init__(self, authorizers: Authorizers, tokens: Tokens, settings: EngineSettings) -> None:
        self._authorizers = authorizers
        self._tokens = tokens
        self._settings = settings

    async def check(self, door: Door) -> Mapping[str, Any] | None:
        """What the event's context tells of the caller, as format 2.0 has it; None where the route is open.

        Raises:
            Refused, Unauthorized, Forbidden: It may not pass.
            Broken: Nobody can say.
        """
        match door.route.get("AuthorizationType", "NONE"):
            case "NONE":
                return None
            case "AWS_IAM":
                return {"iam": await self._signer(door.visit)}
            case "JWT":
                return {"jwt": await self._jwt(door)}
            case "CUSTOM":
                return {"lambda": await self._lambda(door)}
        raise Broken(f"the route's authorization type {door.route['AuthorizationType']} is not known")

    async def _signer(self, visit: Visit) -> dict[str, Any]:
        try:
            caller = await signer(visit, self._settings)
        except SignatureError as error:
            raise Forbidden from error
        return {
            "accessKey": caller.access_key,
            "accountId": self._settings.account.account_id,
            "callerId": caller.principal.rpartition(":")[2],
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": caller.principal,
            "userId": caller.principal.rpartition(":")[2],
        }

    async def _jwt(self, door: Door) -> dict[str, Any]:
        if door.authorizer is None:
            raise Broken("the route's authorizer is gone")
        configuration = door.authorizer.get("JwtConfiguration") or {}
        wanted: Sequence[str] = door.route.get("AuthorizationScopes") or ()
        sources = identity(door.authorizer.get("IdentitySource") or ["$request.header.Authorization"], door)
        if sources is None:
            raise Refused(401, "Unauthorized", [("WWW-Authenticate", "Bearer")])
        kind, _, rest = sources[0].partition(" ")
        token = rest.strip() if kind.lower() == "bearer" else sources[0].strip()
        try:
            claims = await self._tokens.verify(token, configuration["Issuer"], configuration.get("Audience") or ())
            scopes = check_scopes(claims, wanted)
        except BadToken as error:
            raise Refused(401, "Unauthorized", [_challenge("invalid_token", wanted, str(error))]) from error
        except TooNarrow as error:
            why = "the token has none of the scopes"
            raise Refused(403, "Forbidden", [_challenge("insufficient_scope", wanted, why)]) from error
        return {"claims": claims_as_text(claims), "scopes": scopes}

    async def _lambda(self, door: Door) -> Mapping[str, Any]:
        document = door.authorizer
        if document is None:
            raise Broken("the route's authorizer is gone")
        sources = identity(document.get("IdentitySource") or (), door)
        if sources is None:
            raise Unauthorized
        version = document.get("AuthorizerPayloadFormatVersion", "2.0")
        simple = version == "2.0" and bool(document.get("EnableSimpleResponses"))
        authorizer = LambdaAuthorizer(
            key=(door.api_id, door.stage, document["AuthorizerId"]),
            function=function_of(document.get("AuthorizerUri", ""), door.stage_variables),
            ttl_s=document.get("AuthorizerResultTtlInSeconds", TTL_DEFAULT_S),
            simple=simple,
            nested_context=version == "2.0",
        )
        asking = door.asking()
        if document.get("AuthorizerCredentialsArn"):
            asking = Asking(asking.source_arns, asking.source, asking.timeout_s, asking.request_id, as_role=True)
        verdict = await self._authorizers.ask(
            authorizer, sources, authorizer_event(door, version, sources), asking, door.arn
        )
        if version == "2.0":
            return verdict.context
        return {**verdict.context, "principalId": verdict.principal_id}


def authorizer_event(door: Door, version: str, sources: Sequence[str]) -> dict[str, Any]:
    """What an authorizer's function gets: the request's event without its body."""
    event = door.event(version, None)
    for member in ("body", "isBase64Encoded"):
        event.pop(member, None)
    if version == "2.0":
        return {**event, "type": "REQUEST", "routeArn": door.arn, "identitySource": list(sources) or None}
    joined = ",".join(sources)
    extra = {"type": "REQUEST", "methodArn": door.arn, "identitySource": joined, "authorizationToken": joined}
    return {**event, **extra}


def identity(expressions: Sequence[str], door: Door) -> list[str] | None:
    """Values of the identity sources, ``$request.header.X`` and others; None where one is missing."""
    values = [_source(expression, door) for expression in expressions]
    found = [value for value in values if value]
    return found if len(found) == len(values) else None


def _source(expression: str, door: Door) -> str | None:
    place, _, name = expression.removeprefix("$").partition(".")
    match place:
        case "request":
            kind, _, wanted = name.partition(".")
            if kind == "header":
                named = wanted.lower().encode()
                values = [v.decode("latin-1") for k, v in door.visit.raw_headers if k.lower() == named]
                return ",".join(values) or None
            if kind == "querystring":
                return dict(events.query_pairs(door.visit.query)).get(wanted)
        case "stageVariables":
            return door.stage_variables.get(name)
        case "context":
            return _context(name, door)
    return None


def _context(name: str, door: Door) -> str | None:
    known = {
        "apiId": door.api_id,
        "stage": door.stage,
        "routeKey": door.route["RouteKey"],
        "httpMethod": door.visit.method,
        "path": door.visit.path,
        "identity.sourceIp": events.source_ip(door.visit),
        "domainName": door.visit.domain_name,
    }
    return known.get(name)


def _challenge(error: str, scopes: Sequence[str], why: str) -> tuple[str, str]:
    text = why.replace('"', "'")
    return (
        "WWW-Authenticate",
        f'Bearer scope="{" ".join(scopes)}" error="{error}" error_description="{text}"',
    )
