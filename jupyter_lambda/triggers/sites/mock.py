"""MOCK integrations of REST APIs: an answer made of the configuration alone; what CORS preflights are made with.

Templates are JSON as it stands; a template with Velocity's ``$`` or ``#`` is refused where it is configured.

Source: Amazon API Gateway Developer Guide, "Mock integrations for REST APIs".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.http1 import Response

_VELOCITY = re.compile(r"[$#]")
_HEADER = "method.response.header."


class BadTemplate(Exception):
    """The configuration can't make an answer; the message says why."""


def is_plain(template: str) -> bool:
    """Whether a template is one that can be used as it stands."""
    return not _VELOCITY.search(template)


def answer(integration: Mapping[str, Any], content_type: str | None) -> Response:
    """The answer that an integration's documents describe.

    Raises:
        BadTemplate: They describe none.
    """
    status = _status(integration, content_type)
    found = _response_for(integration.get("integrationResponses") or {}, status)
    headers = []
    for name, value in (found.get("responseParameters") or {}).items():
        if name.startswith(_HEADER) and value[:1] == value[-1:] == "'":
            headers.append((name.removeprefix(_HEADER), value[1:-1]))
    templates = found.get("responseTemplates") or {}
    media, body = next(iter(templates.items()), ("application/json", ""))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", media))
    return Response(int(found["statusCode"]), headers, (body or "").encode())


def _status(integration: Mapping[str, Any], content_type: str | None) -> str:
    templates = integration.get("requestTemplates") or {}
    media = (content_type or "application/json").partition(";")[0].strip().lower()
    text = templates.get(media, templates.get("application/json", ""))
    try:
        # Many write the key without quotes, which Velocity's JSON reader takes.
        document = json.loads(re.sub(r"([{,]\s*)([A-Za-z_]\w*)(\s*:)", r'\1"\2"\3', text)) if text else {}
    except ValueError as exc:
        raise BadTemplate(f"the request template is no JSON: {exc}") from None
    status = document.get("statusCode") if isinstance(document, dict) else None
    if status is None:
        raise BadTemplate("the request template has no statusCode")
    return str(status)


def _response_for(found: Mapping[str, Mapping[str, Any]], status: str) -> Mapping[str, Any]:
    default = None
    for one in found.values():
        pattern = one.get("selectionPattern")
        if pattern and re.fullmatch(pattern, status):
            return one
        if not pattern:
            default = one
    if default is None:
        raise BadTemplate(f"no integration response is for the status {status}")
    return default
