"""The verifier against botocore's signers, over whatever can stand in a request."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_lambda import signing
from jupyter_lambda.api import canonical, sigv4
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.errors import InvalidSignatureException, SignatureError, UnrecognizedClientException
from jupyter_lambda.http1 import Request

OWNER = Credential("AKIAEXAMPLE", "secret/+=", None, "arn:aws:iam::000000000000:root", None)
FUNCTION = Credential("ASIAEXAMPLE", "other", "token+/=", "arn:aws:sts::000000000000:assumed-role/r/f", "f")
HOST = "127.0.0.1:9001"
PATHS = st.one_of(
    st.text(max_size=40).map(lambda text: "/" + quote(text, safe="/~:+,;=@!$&'()*")),
    st.lists(
        st.sampled_from(["a", "", ".", "..", "%2F", "%25", "a%20b", "é", "arn:aws:x", "~", "-._"]), max_size=6
    ).map(lambda parts: quote("/" + "/".join(parts), safe="/%:~")),
)
NAMES = st.text(min_size=1, max_size=8)
QUERIES = st.lists(st.tuples(NAMES, st.text(max_size=12)), max_size=5).map(
    lambda pairs: "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)
)
RAW_QUERIES = st.lists(
    st.sampled_from(["a", "a=", "a=1", "b=x+y", "b=%7E", "b=~", "c=%2f", "=", "a=b=c", "A=1", "%41=2", "k=!*'()"]),
    max_size=5,
).map("&".join)
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
HEADERS = st.dictionaries(st.from_regex(r"[Xx]-[A-Za-z0-9-]{1,8}", fullmatch=True), HEADER_TEXT, max_size=4)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE"])
KNOWN = {c.access_key: c for c in (OWNER, FUNCTION)}


def verifier() -> sigv4.Verifier:
    credentials = SimpleNamespace(lookup=KNOWN.get, expired=lambda key: False)
    return sigv4.Verifier(credentials, "us-east-1", frozenset({"lambda"}))


def now() -> float:
    return datetime.now(UTC).timestamp()


def sent(request: AWSRequest, body: bytes) -> Request:
    """What the server sees of a signed request."""
    parts = urlsplit(request.url)
    raw = [(b"Host", HOST.encode())]
    for name, value in request.headers.items():
        text = value if isinstance(value, str) else value.decode()
        raw.append((name.encode(), text.strip().encode("latin-1", "replace")))
    return Request(request.method, parts.path, parts.query, raw, body, "127.0.0.1", None)  # type: ignore[arg-type]


def keys(credential: Credential) -> Keys:
    return Keys(credential.access_key, credential.secret_key, credential.token)


def verify(request: Request, checker: sigv4.Verifier | None = None) -> Credential:
    return (checker or verifier()).verify(request, hashlib.sha256(request.body).hexdigest(), now())[0]


@settings(max_examples=300, deadline=None)
@given(
    METHODS, PATHS, st.one_of(QUERIES, RAW_QUERIES), HEADERS, st.binary(max_size=30), st.sampled_from([OWNER, FUNCTION])
)
@example("GET", "/", "", {}, b"", OWNER)
@example("GET", "//a/../b/./", "", {}, b"", OWNER)
@example("PUT", "/2017-03-31/tags/arn%3Aaws%3Alambda", "tagKeys=b&tagKeys=a", {"X-a": " x   y "}, b"{}", FUNCTION)
def test_what_botocore_signs_is_accepted(method, path, query, headers, body, credential):
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=body, headers=headers)
    SigV4Auth(keys(credential), "lambda", "us-east-1").add_auth(request)
    assert verify(sent(request, body)) is credential


@settings(max_examples=150, deadline=None)
@given(PATHS, QUERIES, st.sampled_from([OWNER, FUNCTION]))
def test_what_botocore_presigns_is_accepted(path, query, credential):
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest("GET", url)
    SigV4QueryAuth(keys(credential), "lambda", "us-east-1", expires=60).add_auth(request)
    assert verify(sent(request, b"")) is credential


@settings(max_examples=150, deadline=None)
@given(PATHS, PATHS, QUERIES, QUERIES, st.binary(max_size=5), st.binary(max_size=5))
def test_any_change_is_noticed(path, other_path, query, other_query, body, other_body):
    request = AWSRequest("POST", f"http://{HOST}{path}" + (f"?{query}" if query else ""), data=body)
    SigV4Auth(keys(OWNER), "lambda", "us-east-1").add_auth(request)
    genuine = sent(request, body)
    changed = Request("POST", other_path, other_query, genuine.raw_headers, other_body, "", None)  # type: ignore[arg-type]
    same = (
        canonical.normal_path(path) == canonical.normal_path(other_path)
        and sorted(query.split("&")) == sorted(other_query.split("&"))
        and body == other_body
    )
    if same:
        verify(changed)
    else:
        with pytest.raises(InvalidSignatureException):
            verify(changed)


def signed(**headers: str) -> Request:
    request = AWSRequest("GET", f"http://{HOST}/a", headers=headers)
    SigV4Auth(keys(OWNER), "lambda", "us-east-1").add_auth(request)
    return sent(request, b"")


def test_a_repeated_header_is_signed_as_one():
    request = AWSRequest("GET", f"http://{HOST}/a")
    request.headers.add_header("X-Thing", "one")
    request.headers.add_header("X-Thing", "two")
    SigV4Auth(keys(OWNER), "lambda", "us-east-1").add_auth(request)
    assert verify(sent(request, b"")) is OWNER


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_header_values_beyond_ascii_in_either_encoding(encoding):
    """botocore signs UTF-8; http.client sends Latin-1, other clients UTF-8."""
    request = signed(**{"X-Thing": "naïve à"})
    for place, (name, _) in enumerate(request.raw_headers):
        if name == b"X-Thing":
            request.raw_headers[place] = (name, "naïve à".encode(encoding))
    assert verify(request) is OWNER


def test_a_query_that_the_client_encoded_otherwise():
    """botocore signs the query as it is sent; by the specification it is encoded anew. Both are good."""
    request = AWSRequest("GET", f"http://{HOST}/a?k=%7E&l=a%2fb")
    SigV4Auth(keys(OWNER), "lambda", "us-east-1").add_auth(request)
    assert verify(sent(request, b"")) is OWNER
    request = AWSRequest("GET", f"http://{HOST}/a?k=~&l=a%2Fb")
    SigV4Auth(keys(OWNER), "lambda", "us-east-1").add_auth(request)
    answer = sent(request, b"")
    answer.query = "k=%7E&l=a%2fb"
    assert verify(answer) is OWNER


def test_a_cached_claim_is_not_a_cached_verdict():
    checker = verifier()
    genuine = signed()
    assert verify(genuine, checker) is OWNER
    place = next(i for i, (name, _) in enumerate(genuine.raw_headers) if name == b"Authorization")
    value = genuine.raw_headers[place][1]
    for forged in (value[:-1] + (b"0" if value[-1:] != b"0" else b"1"), value[:-64], value + b"0"):
        headers = [*genuine.raw_headers]
        headers[place] = (b"Authorization", forged)
        request = Request("GET", "/a", "", headers, b"", "", None)  # type: ignore[arg-type]
        with pytest.raises(SignatureError):
            verify(request, checker)


def test_the_session_token_must_be_the_credentials_own():
    request = AWSRequest("GET", f"http://{HOST}/a")
    SigV4Auth(Keys(FUNCTION.access_key, FUNCTION.secret_key, "stolen"), "lambda", "us-east-1").add_auth(request)
    with pytest.raises(UnrecognizedClientException):
        verify(sent(request, b""))
    request = AWSRequest("GET", f"http://{HOST}/a")
    SigV4Auth(Keys(OWNER.access_key, OWNER.secret_key, "unasked"), "lambda", "us-east-1").add_auth(request)
    with pytest.raises(UnrecognizedClientException):
        verify(sent(request, b""))


def test_parts_of_the_header_in_another_order():
    request = signed()
    place = next(i for i, (name, _) in enumerate(request.raw_headers) if name == b"Authorization")
    algorithm, _, rest = request.raw_headers[place][1].partition(b" ")
    parts = [part.strip() for part in rest.split(b",")]
    request.raw_headers[place] = (b"Authorization", algorithm + b" " + b",".join(reversed(parts)))
    assert verify(request) is OWNER


@settings(deadline=None)
@given(PATHS, st.integers(60, 1000))
def test_our_presigned_addresses_are_accepted(path, expires):
    path = canonical.normal_path(path)
    for credential in (OWNER, FUNCTION):
        url = sigv4.presign(
            credential, "GET", HOST, path, region="us-east-1", service="lambda", now_s=now(), expires_s=expires
        )
        target, _, query = url.partition("?")
        request = Request("GET", target, query, [(b"host", HOST.encode())], b"", "", None)  # type: ignore[arg-type]
        assert verify(request) is credential


@given(PATHS)
def test_the_routed_path_has_no_dot_segments(path):
    normal = canonical.normal_path(path)
    assert not {"", ".", ".."} & set(normal.strip("/").split("/")) - {""}
    assert "//" not in normal
    assert canonical.normal_path(normal) == normal


def test_a_new_credential_under_an_old_key_is_verified_with_its_own_secret():
    """What is kept of a client's Authorization header must not outlive the credential it was kept for."""
    known = {OWNER.access_key: OWNER}
    credentials = SimpleNamespace(lookup=known.get, expired=lambda key: False)
    checker = sigv4.Verifier(credentials, "us-east-1", frozenset({"lambda"}))
    request = AWSRequest("GET", f"http://{HOST}/a")
    SigV4Auth(Keys(OWNER.access_key, OWNER.secret_key), "lambda", "us-east-1").add_auth(request)
    for _ in range(2):
        assert verify(sent(request, b""), checker) is OWNER
    known[OWNER.access_key] = Credential(OWNER.access_key, "new", None, OWNER.principal, None)
    with pytest.raises(InvalidSignatureException):
        verify(sent(request, b""), checker)
    del known[OWNER.access_key]
    with pytest.raises(UnrecognizedClientException):
        verify(sent(request, b""), checker)


@given(st.binary(min_size=1, max_size=80).map(bytes.hex), st.text(max_size=300))
def test_the_half_fed_key_signs_as_hmac_does(secret, text):
    day = signing.signing_key(secret, "20261124", "us-east-1", "lambda")
    expected = hmac.new(day, text.encode(), "sha256").hexdigest()
    assert sigv4.SigningKey(secret, "20261124", "us-east-1", "lambda").sign(text) == expected


def test_strangers_leave_nothing_behind():
    checker = verifier()
    for number in range(50):
        stranger = Request("GET", "/", "", [(b"Host", HOST.encode())], b"", "127.0.0.1", None)
        head = f"AWS4-HMAC-SHA256 Credential=AKIA{number}/20261124/us-east-1/lambda/aws4_request, SignedHeaders=host, "
        stranger.raw_headers.append((b"Authorization", f"{head}Signature=0".encode()))
        stranger.raw_headers.append((b"X-Amz-Date", b"20261124T000000Z"))
        with pytest.raises(UnrecognizedClientException):
            verify(stranger, checker)
    assert not checker._layouts
