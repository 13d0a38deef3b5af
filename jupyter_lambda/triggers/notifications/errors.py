"""What S3 and SNS answer to requests about notifications, by their own codes."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_lambda.errors import ClientError, LambdaError


class InvalidArgument(ClientError, status=400):
    """S3: an argument is not valid.

    Args:
        details: What S3 puts beside the message, "ArgumentName" and "ArgumentValue".
    """

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class MalformedXML(ClientError, status=400):
    """S3: the body is not the document that the operation takes."""


class InvalidParameterException(ClientError, status=400):
    """SNS: a parameter is not valid; "InvalidParameter" on the wire."""


class NoCloud(LambdaError, status=503, code="ServiceUnavailable"):
    """There is no cloud that could be asked; the message says why."""


def from_cloud(error: Exception) -> LambdaError:
    """botocore's ClientError as an error of ours, with the cloud's own code, status and message.

    Raises:
        Exception: ``error`` itself, where it is anything else.
    """
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        raise error
    told = response.get("Error", {})
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 400)
    base = ClientError if status < 500 else LambdaError
    kind: type[LambdaError] = type("CloudError", (base,), {}, status=status, code=str(told.get("Code") or "Unknown"))
    return kind(str(told.get("Message") or error))
