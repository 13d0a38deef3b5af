"""URLs presigned the old way (signature version 2), which is still boto3's way for S3 in us-east-1.

Source: Amazon S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)", "Query string
request authentication alternative".
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, unquote_plus

from jupyter_lambda.api.sigv4 import MISMATCH, Credential, Credentials
from jupyter_lambda.errors import (
    AccessDeniedException,
    ExpiredTokenException,
    InvalidSignatureException,
    UnrecognizedClientException,
)
from jupyter_lambda.http1 import Request

C = TypeVar("C", bound=Credential)
MARK = "AWSAccessKeyId="
NAMES = frozenset({"awsaccesskeyid", "signature", "expires"})
#: Parameters that belong to the resource. Source: the same; as botocore has them.
_OF_RESOURCE = frozenset(
    {
        *("accelerate", "acl", "cors", "defaultObjectAcl", "location", "logging", "partNumber", "policy"),
        *("requestPayment", "torrent", "versioning", "versionId", "versions", "website", "uploads", "uploadId"),
        *("response-content-type", "response-content-language", "response-expires", "response-cache-control"),
        *("response-content-disposition", "response-content-encoding", "delete", "lifecycle", "tagging", "restore"),
        *("storageClass", "notification", "replication", "analytics", "metrics", "inventory", "select"),
        *("select-type", "object-lock"),
    }
)


def verify(credentials: Credentials[C], request: Request, path: str, now_s: float) -> C:
    """Who has presigned a request.

    Args:
        path: In path style, /BUCKET/KEY, percent-encoded as it was sent.
    Raises:
        SignatureError, AccessDeniedException: Nobody that is known here, not this request, or it has expired.
    """
    fields = dict(parse_qsl(request.query, keep_blank_values=True))
    access_key, signature, expires = (fields.get(name, "") for name in ("AWSAccessKeyId", "Signature", "Expires"))
    credential = credentials.lookup(access_key)
    if credential is None:
        if credentials.expired(access_key):
            raise ExpiredTokenException("The provided token has expired.")
        raise UnrecognizedClientException("The AWS Access Key Id you provided does not exist in our records.")
    if not expires.isdecimal() or len(expires) > 12:
        raise AccessDeniedException("Invalid date (should be seconds since epoch): " + expires[:64])
    if fields.get("x-amz-security-token") != credential.token:
        raise UnrecognizedClientException("The security token included in the request is invalid.")
    text = _signed_text(request, path, fields, expires)
    expected = b64encode(hmac.digest(credential.secret_key.encode(), text.encode(), "sha1"))
    if not hmac.compare_digest(expected, signature.encode()):
        raise InvalidSignatureException(MISMATCH)
    if int(expires) < now_s:
        raise AccessDeniedException("Request has expired")
    return credential


def _signed_text(request: Request, path: str, fields: dict[str, str], expires: str) -> str:
    headers = request.headers
    custom = {name: value.strip() for name, value in headers.items() if name.startswith("x-amz-")}
    custom |= {name.lower(): value for name, value in fields.items() if name.lower().startswith("x-amz-")}
    resource = sorted(
        (name, f"{name}={unquote(value)}" if equals else name)
        for name, equals, value in (piece.partition("=") for piece in request.query.split("&"))
        if unquote_plus(name) in _OF_RESOURCE
    )
    lines = [request.method, headers.get("content-md5", ""), headers.get("content-type", ""), expires]
    lines += [f"{name}:{custom[name]}" for name in sorted(custom)]
    return "\n".join([*lines, path + ("?" + "&".join(text for _, text in resource) if resource else "")])
