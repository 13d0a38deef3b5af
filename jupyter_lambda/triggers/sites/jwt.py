"""JWT authorizers of HTTP APIs: tokens of an issuer whose keys are found by its discovery document.

Needs the extra ``jwt`` (joserfc); imported when the first token is looked at.

Source: Amazon API Gateway Developer Guide, "Control access to HTTP APIs with JWT authorizers": RSA signatures only;
kid, iss, aud or client_id, exp, nbf, iat, scope or scp are looked at.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib.util
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .authorizers import Broken

log = logging.getLogger(__name__)

EXTRA = "JWT authorizers need the package joserfc: pip install 'jupyter-lambda[jwt]', then restart the engine"
_ALGORITHMS = ["RS256", "RS384", "RS512"]
#: Seconds that an issuer's keys are good for (AWS: two hours), and between two looks for a key that wasn't there.
_KEYS_S, _AGAIN_S = 7_200.0, 60.0
#: Seconds that an issuer whose keys can't be read is left alone, whoever sends tokens.
_BROKEN_S = 5.0
#: Seconds for an issuer to answer; bytes of its documents.
_FETCH_S, _FETCH_MAX_BYTES = 5.0, 1024 * 1024
DISCOVERY = "/.well-known/openid-configuration"

#: Reads a JSON document by its URL. Raises OSError or ValueError.
Fetch = Callable[[str], Any]


class BadToken(Exception):
    """The token is not good; the message tells the client why."""


class TooNarrow(Exception):
    """The token is good and has none of the scopes."""


@dataclass(slots=True)
class _Keys:
    #: joserfc's KeySet.
    found: Any
    fetched_s: float


def available() -> bool:
    """Whether tokens can be looked at in this installation."""
    return importlib.util.find_spec("joserfc") is not None


def fetch(url: str) -> Any:
    """A JSON document; http and https only."""
    import urllib.request

    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url[:128]} is no URL of the Web")
    with urllib.request.urlopen(url, timeout=_FETCH_S) as answer:  # noqa: S310 - the scheme is checked above
        data = answer.read(_FETCH_MAX_BYTES + 1)
    if len(data) > _FETCH_MAX_BYTES:
        raise ValueError(f"{url[:128]} answers more than {_FETCH_MAX_BYTES} bytes")
    return json.loads(data)


class Tokens:
    """Verifies tokens; keeps issuers' keys."""

    def __init__(self, clock: Callable[[], float], read: Fetch = fetch) -> None:
        self._clock = clock
        self._read = read
        self._keys: dict[str, _Keys] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        #: Issuer → why its keys could not be read, and when.
        self._broken: dict[str, tuple[str, float]] = {}

    async def verify(self, token: str, issuer: str, audience: Sequence[str]) -> dict[str, Any]:
        """The claims of a good token.

        Raises:
            BadToken: It isn't.
            Broken: The issuer's keys can't be had, or joserfc isn't installed.
        """
        if not available():
            raise Broken(EXTRA)
        kid = _header_of(token).get("kid")
        keys = await self._keys_of(issuer, kid)
        claims = await asyncio.to_thread(_decode, token, keys)
        self._check(claims, issuer, audience)
        return claims

    def _check(self, claims: Mapping[str, Any], issuer: str, audience: Sequence[str]) -> None:
        now_s = self._clock()
        if claims.get("iss") != issuer:
            raise BadToken("the issuer of the token does not match")
        named = claims.get("aud", claims.get("client_id"))
        if not any(one in audience for one in (named if isinstance(named, list) else [named])):
            raise BadToken("the token has an invalid audience")
        for claim in ("exp", "nbf", "iat"):
            if claim in claims and (isinstance(claims[claim], bool) or not isinstance(claims[claim], int | float)):
                raise BadToken(f"the token's {claim} is no time")
        if claims.get("exp") is None or claims["exp"] <= now_s:
            raise BadToken("the token has expired")
        if claims.get("nbf", now_s) > now_s:
            raise BadToken("the token is not valid yet")
        if claims.get("iat", now_s) > now_s:
            raise BadToken("the token was issued in the future")

    async def _keys_of(self, issuer: str, kid: Any) -> Any:
        async with self._locks.setdefault(issuer, asyncio.Lock()):
            known, now_s = self._keys.get(issuer), self._clock()
            if known is not None:
                age_s = now_s - known.fetched_s
                if age_s < _KEYS_S and (_has(known.found, kid) or age_s < _AGAIN_S):
                    return known.found
            why, since_s = self._broken.get(issuer, ("", -_BROKEN_S))
            if not 0 <= now_s - since_s < _BROKEN_S:
                try:
                    found = await asyncio.to_thread(self._fetch_keys, issuer)
                except Exception as exc:  # noqa: BLE001 - the network's, HTTP's, whatever the documents hold
                    why = f"the keys of the issuer {issuer} can't be read: {exc or type(exc).__name__}"
                    self._broken[issuer] = (why, now_s)
                    log.warning("%s", why)
                else:
                    self._broken.pop(issuer, None)
                    self._keys[issuer] = _Keys(found, now_s)
                    return found
            if known is not None:
                return known.found
            raise Broken(why)

    def _fetch_keys(self, issuer: str) -> Any:
        from joserfc.jwk import KeySet

        where = self._read(issuer.rstrip("/") + DISCOVERY)
        keys = self._read(where["jwks_uri"])
        usable = [key for key in keys["keys"] if key.get("kty") == "RSA" and key.get("use", "sig") == "sig"]
        if not usable:
            raise ValueError("it has no RSA key for signatures")
        return KeySet.import_key_set({"keys": usable})


def _has(keys: Any, kid: Any) -> bool:
    return any(key.kid == kid for key in keys.keys)


def _header_of(token: str) -> dict[str, Any]:
    head = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise BadToken("the token is not a JSON Web Token")
    return header


def _decode(token: str, keys: Any) -> dict[str, Any]:
    """The claims of a token whose signature is right."""
    from joserfc import jwt
    from joserfc.errors import JoseError

    try:
        claims: dict[str, Any] = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
    except (JoseError, ValueError, TypeError) as exc:
        raise BadToken(f"the signature of the token is not valid: {type(exc).__name__}") from None
    return claims


def check_scopes(claims: Mapping[str, Any], wanted: Sequence[str]) -> list[str] | None:
    """The scopes of the token among those that a route wants; None where it wants none.

    Raises:
        TooNarrow: It has none of them.
    """
    if not wanted:
        return None
    given = claims.get("scope", claims.get("scp", ""))
    texts = given if isinstance(given, list) else str(given).split()
    found = [scope for scope in wanted if scope in texts]
    if not found:
        raise TooNarrow
    return found


def claims_as_text(claims: Mapping[str, Any]) -> dict[str, str]:
    """Claims as events have them: every value is a string, a list is ``[a b]``."""
    return {name: _text(value) for name, value in claims.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{name}:{_text(item)}" for name, item in value.items()) + "]"
    return str(value)
