"""Tokens: what is looked at, what is refused, how an issuer's keys are kept."""

from __future__ import annotations

import base64
import http.client
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from jupyter_lambda.triggers.sites.authorizers import Broken
from jupyter_lambda.triggers.sites.jwt import BadToken, Tokens, TooNarrow, check_scopes, claims_as_text

ISSUER = "https://issuer.example"
NOW_S = 1_795_000_000.0
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})


class Issuer:
    def __init__(self) -> None:
        self.keys, self.read, self.down = [KEY], 0, False

    def __call__(self, url: str) -> Any:
        self.read += 1
        if self.down:
            raise OSError("no route to host")
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return {"jwks_uri": f"{ISSUER}/keys"}
        assert url == f"{ISSUER}/keys"
        return KeySet(self.keys).as_dict(private=False)


class Clock:
    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock) -> Tokens:
    return Tokens(clock, issuer)


def token(key: RSAKey = KEY, algorithm: str = "RS256", **claims: Any) -> str:
    body = {"iss": ISSUER, "aud": "me", "exp": int(NOW_S) + 60, **claims}
    header = {"alg": algorithm, "kid": key.kid}
    return jwt.encode(header, {name: value for name, value in body.items() if value is not None}, key)


async def test_a_good_token(tokens: Tokens):
    assert (await tokens.verify(token(sub="x"), ISSUER, ["other", "me"]))["sub"] == "x"
    assert await tokens.verify(token(aud=None, client_id="me"), ISSUER, ["me"])
    assert await tokens.verify(token(aud=["a", "me"], nbf=NOW_S, iat=NOW_S), ISSUER, ["me"])


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other"},
        {"iss": None},
        {"aud": "you"},
        {"aud": None},
        {"exp": int(NOW_S)},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": int(NOW_S) + 1},
        {"iat": int(NOW_S) + 1},
        {"iat": "today"},
        {"exp": True},
    ],
)
async def test_claims_that_are_refused(tokens: Tokens, claims: dict[str, Any]):
    with pytest.raises(BadToken):
        await tokens.verify(token(**claims), ISSUER, ["me"])


async def test_signatures_that_are_refused(tokens: Tokens):
    good = token()
    head, body, signature = good.split(".")
    unsigned = "eyJhbGciOiJub25lIiwia2lkIjoib25lIn0"  # {"alg":"none","kid":"one"}
    hmac = "eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9"  # {"alg":"HS256","kid":"one"}
    forged = token(RSAKey.generate_key(2048, {"kid": "one"}))
    for bad in (
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{unsigned}.{body}.",
        f"{hmac}.{body}.{signature}",
        forged,
        "",
        "a.b.c",
        "x",
    ):
        with pytest.raises(BadToken):
            await tokens.verify(bad, ISSUER, ["me"])


async def test_keys_are_kept_and_a_new_key_is_looked_for_once_a_minute(tokens: Tokens, issuer: Issuer, clock: Clock):
    await tokens.verify(token(), ISSUER, ["me"])
    await tokens.verify(token(), ISSUER, ["me"])
    assert issuer.read == 2
    issuer.keys = [OTHER]
    with pytest.raises(BadToken):
        await tokens.verify(token(OTHER), ISSUER, ["me"])
    assert issuer.read == 2
    clock.now_s += 60
    with pytest.raises(BadToken, match="expired"):
        await tokens.verify(token(OTHER), ISSUER, ["me"])
    await tokens.verify(token(OTHER, exp=NOW_S + 3600), ISSUER, ["me"])
    assert issuer.read == 4


async def test_an_issuer_that_is_away(tokens: Tokens, issuer: Issuer, clock: Clock):
    issuer.down = True
    with pytest.raises(Broken, match="no route to host"):
        await tokens.verify(token(), ISSUER, ["me"])
    issuer.down = False
    clock.now_s += 5
    await tokens.verify(token(), ISSUER, ["me"])
    issuer.down = True
    clock.now_s += 7_201
    assert await tokens.verify(token(exp=clock.now_s + 60), ISSUER, ["me"]), "the keys that are known still serve"


async def test_an_issuer_that_is_away_is_left_alone_for_a_while(tokens: Tokens, issuer: Issuer):
    issuer.down = True
    for _ in range(20):
        with pytest.raises(Broken, match="no route to host"):
            await tokens.verify(token(), ISSUER, ["me"])
    assert issuer.read == 1


@pytest.mark.parametrize("keys", [5, {"keys": 5}, {"keys": [5]}, {"keys": [{"kty": "RSA"}]}, {}])
async def test_documents_that_are_none(clock: Clock, keys: Any):
    tokens = Tokens(clock, lambda url: {"jwks_uri": "x"} if url.startswith(ISSUER) else keys)
    with pytest.raises(Broken, match="can't be read"):
        await tokens.verify(token(), ISSUER, ["me"])


async def test_an_answer_that_is_no_http(clock: Clock):
    def read(url: str) -> Any:
        raise http.client.BadStatusLine("hello")

    with pytest.raises(Broken, match="hello"):
        await Tokens(clock, read).verify(token(), ISSUER, ["me"])


async def test_what_a_token_claims_of_itself_is_no_failure(tokens: Tokens):
    for audience in ([{}], {}, [["me"]]):
        with pytest.raises(BadToken):
            await tokens.verify(token(aud=audience), ISSUER, ["me"])
    head = base64.urlsafe_b64encode(b'{"alg": "RS256", "crit": 5}').decode().rstrip("=")
    with pytest.raises(BadToken):
        await tokens.verify(f"{head}.e30.AA", ISSUER, ["me"])


def test_scopes():
    assert check_scopes({"scope": "a b"}, []) is None
    assert check_scopes({"scope": "a b"}, ["b", "c"]) == ["b"]
    assert check_scopes({"scp": ["c"]}, ["b", "c"]) == ["c"]
    with pytest.raises(TooNarrow):
        check_scopes({"scope": "ab"}, ["a"])


def test_claims_in_events_are_text():
    claims = {"sub": "x", "exp": 12, "yes": True, "groups": ["a", "b"], "f": 1.5}
    assert claims_as_text(claims) == {"sub": "x", "exp": "12", "yes": "true", "groups": "[a b]", "f": "1.5"}
