"""What is refused of HTTP APIs' routes and integrations, and the integration that quick create makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.gateway import new_id
from jupyter_lambda.errors import BadRequestException, NotImplementedException
from jupyter_lambda.store.http import Document
from jupyter_lambda.triggers.sites.routes import DEFAULT, BadRoute, check_path, split_key

TIMEOUT_MS = 30_000
_FORMATS = ("1.0", "2.0")
_STAGE_NAME = re.compile(r"\$default|[A-Za-z0-9_-]{1,128}")


def check_key(key: str) -> None:
    """Refuse what is no route key.

    Raises:
        BadRequestException: AWS's text.
    """
    if key == DEFAULT:
        return
    parts = split_key(key)
    if parts is None:
        raise BadRequestException(
            "The provided route key is not formatted properly for HTTP protocol. Format should be "
            '"<HTTP METHOD> /<RESOURCE PATH>" or "$default"'
        )
    try:
        check_path(parts[1])
    except BadRoute as error:
        raise BadRequestException(f"The provided route key is not valid: {error}") from None


def shape_of(key: str) -> str:
    """A route key without the names of its variables: two of one shape match the same requests."""
    return re.sub(r"\{[^}+]+", "{", key)


def check_stage_name(name: str) -> None:
    """Refuse what is no name of a stage.

    Raises:
        BadRequestException: AWS's text.
    """
    if not _STAGE_NAME.fullmatch(name):
        raise BadRequestException(
            "Stage name only allows a-zA-Z0-9 or $default as the special value, hyphens and underscores"
        )


def check_integration(integration: Mapping[str, Any]) -> None:
    """Refuse integrations that HTTP APIs don't have, and by name those that are not built.

    Raises:
        BadRequestException: AWS has no such one.
        NotImplementedException: It isn't built here.
    """
    kind, uri = integration["IntegrationType"], integration.get("IntegrationUri")
    if kind not in ("AWS_PROXY", "HTTP_PROXY"):
        raise BadRequestException(
            f"IntegrationType {kind} is for WebSocket APIs; HTTP APIs have AWS_PROXY, HTTP_PROXY."
        )
    if integration.get("ConnectionType") == "VPC_LINK" or integration.get("ConnectionId"):
        raise NotImplementedException("Integrations by VPC link (ConnectionType VPC_LINK) are not built.")
    for member in ("IntegrationSubtype", "RequestParameters", "ResponseParameters", "TlsConfig"):
        if integration.get(member):
            raise NotImplementedException(f"{member} of integrations is not built.")
    if not uri:
        raise BadRequestException(f"IntegrationUri is a required parameter for {kind} integrations.")
    version = integration.get("PayloadFormatVersion")
    if kind == "HTTP_PROXY":
        if not uri.startswith(("http://", "https://")):
            raise BadRequestException("Invalid HTTP endpoint specified for URI")
        if not integration.get("IntegrationMethod"):
            raise BadRequestException("HttpMethod must be specified for HTTP_PROXY integrations.")
        if version not in (None, "1.0"):
            raise BadRequestException("PayloadFormatVersion of HTTP_PROXY integrations must be 1.0.")
        return
    if ":lambda:" not in uri or ":function:" not in uri:
        raise BadRequestException("The integration's URI must be the ARN of a Lambda function.")
    if version not in _FORMATS:
        raise BadRequestException(
            "PayloadFormatVersion is a required parameter for integrations of type AWS_PROXY: 1.0 or 2.0."
        )


def quick_integration(target: str, credentials_arn: str | None) -> Document:
    """What quick create makes of its target, a function's ARN or a URL."""
    by_http = target.startswith(("http://", "https://"))
    integration = {
        "IntegrationId": new_id(7),
        "ApiGatewayManaged": True,
        "IntegrationType": "HTTP_PROXY" if by_http else "AWS_PROXY",
        "IntegrationMethod": "ANY" if by_http else "POST",
        "IntegrationUri": target,
        "PayloadFormatVersion": "1.0" if by_http else "2.0",
        "ConnectionType": "INTERNET",
        "TimeoutInMillis": TIMEOUT_MS,
        **({"CredentialsArn": credentials_arn} if credentials_arn else {}),
    }
    check_integration(integration)
    return integration
