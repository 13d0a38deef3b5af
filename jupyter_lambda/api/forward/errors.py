"""Errors as S3's clients read them: XML, with S3's own codes."""

from __future__ import annotations

from html import escape

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.http1 import Response

#: Our codes → S3's. Source: Amazon S3 API Reference, "Error responses".
_CODES = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidAccessKeyId",
    "IncompleteSignatureException": "AuthorizationHeaderMalformed",
    "MissingAuthenticationTokenException": "AccessDenied",
    "AccessDeniedException": "AccessDenied",
    "ExpiredTokenException": "ExpiredToken",
    "UnknownOperationException": "MethodNotAllowed",
    "SerializationException": "IncompleteBody",
    "RequestEntityTooLargeException": "EntityTooLarge",
    "ServiceUnavailableException": "ServiceUnavailable",
    "NotImplementedException": "NotImplemented",
}
_STATUS = {"MethodNotAllowed": 405, "NotImplemented": 501, "ServiceUnavailable": 503}


def s3_error(error: LambdaError, path: str, request_id: str) -> Response:
    """The answer to a request that was refused."""
    code = _CODES.get(error.code, "InternalError")
    status = _STATUS.get(code, error.http_status)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(error.message)}</Message><Resource>{escape(path)}</Resource>"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    headers = [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
    return Response(status, headers, body.encode("utf-8", "replace"))
