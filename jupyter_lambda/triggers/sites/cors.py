"""Cross-origin requests as an HTTP API's CORS configuration has them: preflights answered, headers of its own.

Source: Amazon API Gateway Developer Guide, "Configure CORS for HTTP APIs": with a configuration, the API answers
preflights itself, even where no route is, and CORS headers that a function answers are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_lambda.http1 import Response

from .visit import Visit

_PREFIX = "access-control-"
#: Origins that stand for all of a scheme.
_SCHEMES = ("http://*", "https://*")


class Cors:
    """One configuration, by AWS's member names: AllowOrigins, AllowMethods, …"""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._origins: list[str] = [origin.lower() for origin in configuration.get("AllowOrigins") or ()]
        self._methods: list[str] = list(configuration.get("AllowMethods") or ())
        self._headers: list[str] = list(configuration.get("AllowHeaders") or ())
        self._exposed: list[str] = list(configuration.get("ExposeHeaders") or ())
        self._max_age_s: int | None = configuration.get("MaxAge")
        self._credentials = bool(configuration.get("AllowCredentials"))

    def preflight(self, visit: Visit) -> Response | None:
        """The answer to a preflight; None for any other request."""
        origin, method = visit.header("origin"), visit.header("access-control-request-method")
        if visit.method != "OPTIONS" or origin is None or method is None:
            return None
        headers = self._allowed(origin)
        if not headers or not self._is_method(method):
            return Response(204)
        if self._methods:
            headers.append(("Access-Control-Allow-Methods", ",".join(self._methods)))
        if self._headers:
            headers.append(("Access-Control-Allow-Headers", ",".join(self._headers)))
        if self._max_age_s is not None:
            headers.append(("Access-Control-Max-Age", str(self._max_age_s)))
        return Response(204, headers)

    def dress(self, response: Response, visit: Visit) -> Response:
        """The answer with this configuration's headers in place of the function's."""
        kept = [(name, value) for name, value in response.headers if not name.lower().startswith(_PREFIX)]
        origin = visit.header("origin")
        if origin is not None:
            added = self._allowed(origin)
            if added and self._exposed:
                added.append(("Access-Control-Expose-Headers", ",".join(self._exposed)))
            kept += added
        response.headers = kept
        return response

    def _allowed(self, origin: str) -> list[tuple[str, str]]:
        if "*" in self._origins:
            found = [("Access-Control-Allow-Origin", "*")]
        elif origin.lower() in self._origins or _has_scheme(origin.lower(), self._origins):
            found = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        else:
            return []
        if self._credentials:
            found.append(("Access-Control-Allow-Credentials", "true"))
        return found

    def _is_method(self, method: str) -> bool:
        return "*" in self._methods or method in self._methods


def _has_scheme(origin: str, patterns: Iterable[str]) -> bool:
    return any(pattern in _SCHEMES and origin.startswith(pattern[:-1]) for pattern in patterns)
