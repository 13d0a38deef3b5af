"""The services that are handed on to the cloud, and which operation a request for one of them means.

A request goes on only for an operation that botocore's description of its service has: the servers behind find out by
themselves whom a request is for, by paths and headers of whatever kind, and nothing but this list is meant to be
reached through here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode

from jupyter_lambda.api.canonical import normal_path
from jupyter_lambda.api.routing import Router
from jupyter_lambda.errors import AccessDeniedException, RequestEntityTooLargeException, UnknownOperationException
from jupyter_lambda.http1 import Request

from . import presigned_v2


@dataclass(frozen=True, slots=True)
class Forwardable:
    """One service."""

    #: botocore's name of it.
    name: str
    #: In a credential's scope.
    signing_name: str
    #: What its IAM actions begin with.
    action_prefix: str


#: What the engine serves itself is not here; nor is what starts programs (Step Functions, CodeBuild …).
SERVICES = (
    Forwardable("s3", "s3", "s3"),
    Forwardable("sqs", "sqs", "sqs"),
    Forwardable("sns", "sns", "sns"),
    Forwardable("kinesis", "kinesis", "kinesis"),
    Forwardable("dynamodb", "dynamodb", "dynamodb"),
    Forwardable("dynamodbstreams", "dynamodb", "dynamodb"),
    Forwardable("secretsmanager", "secretsmanager", "secretsmanager"),
    Forwardable("ssm", "ssm", "ssm"),
    Forwardable("kms", "kms", "kms"),
    Forwardable("sts", "sts", "sts"),
    Forwardable("iam", "iam", "iam"),
)
#: Signed as all others are; S3 has its own way.
SIGNING_NAMES = frozenset(service.signing_name for service in SERVICES) - {"s3"}


#: A queue's address, to which clients before SQS spoke JSON send what is for it.
_QUEUE_PATH = re.compile(r"/(queue/)?\d{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?")
_FORM = "application/x-www-form-urlencoded"
#: Bytes and fields of a form: a batch of messages has 1 MB, three times as much where all is percent-encoded, and some
#: hundred fields. Reading one takes the engine's time, whoever sends it.
_FORM_MAX_BYTES, _FIELDS_MAX = 4 * 1024 * 1024, 10_000


class Found(NamedTuple):
    """What a request means."""

    operation: str
    labels: dict[str, str]


class Rpc:
    """A service whose operations are named in a header (JSON, CBOR) or in a form (query)."""

    def __init__(self, service: Forwardable, description: dict[str, Any]) -> None:
        self.service = service
        self.operations: frozenset[str] = frozenset(description["operations"])
        self._prefix = str(description["metadata"].get("targetPrefix", "")) + "."

    def means(self, request: Request) -> bool:
        """Whether a request is for this service rather than for another of the same signing name."""
        target = request.headers.get("x-amz-target")
        return target is None or target.startswith(self._prefix)

    def find(self, request: Request) -> Found:
        """The operation, which must be told once and in one way: the servers behind read what they come upon first.

        Raises:
            AccessDeniedException: The path is none of this service's.
            UnknownOperationException: None of this service's.
        """
        if request.path not in ("/", "") and not (self.service.name == "sqs" and _QUEUE_PATH.fullmatch(request.path)):
            raise AccessDeniedException(f"{unquote(request.path)[:256]!r} is no path of {self.service.name}")
        named = self._named(request)
        if named not in self.operations:
            told = named or request.headers.get("x-amz-target") or ""
            raise UnknownOperationException(f"{self.service.name} has no operation {told[:128]!r}")
        return Found(named, {})

    def _named(self, request: Request) -> str:
        target, content_type = request.headers.get("x-amz-target"), request.headers.get("content-type", "")
        if target is not None:
            alone = not request.query and not content_type.lower().startswith((_FORM, "multipart/"))
            return target.removeprefix(self._prefix) if alone and target.startswith(self._prefix) else ""
        if len(request.body) > _FORM_MAX_BYTES:
            raise RequestEntityTooLargeException(f"a form may have {_FORM_MAX_BYTES} bytes at most")
        told, form = _actions(request.query), request.body.decode("utf-8", "replace")
        if not told:
            told = _actions(form)
        elif form:
            return ""
        return told[0] if len(told) == 1 else ""


def _actions(form: str) -> list[str]:
    try:
        return parse_qs(form, keep_blank_values=True, max_num_fields=_FIELDS_MAX).get("Action", [])
    except ValueError:
        raise RequestEntityTooLargeException(f"a form may have {_FIELDS_MAX} fields at most") from None


class S3:
    """S3, whose operations are found by method, path, query and, for copies, a header."""

    service = SERVICES[0]

    def __init__(self, description: dict[str, Any]) -> None:
        self.operations: frozenset[str] = frozenset(description["operations"])
        self._router: Router[str] = Router()
        #: Parameters that make another operation of an address by being there, whatever their value (``?policy``).
        self._marks: set[str] = set()
        for name, spec in description["operations"].items():
            path, _, query = spec["http"]["requestUri"].partition("?")
            kept = "&".join(piece for piece in query.split("&") if piece and not piece.startswith("x-id="))
            # Deprecated ones share the address of what replaced them.
            if not spec.get("deprecated") and name not in _TOLD_OTHERWISE:
                self._router.add(spec["http"]["method"], f"{path}?{kept}" if kept else path, name)
                self._marks |= {piece for piece in kept.split("&") if piece and "=" not in piece}

    def find(self, method: str, path: str, query: str, headers: dict[str, str]) -> Found:
        """The operation, with Bucket and Key.

        Raises:
            AccessDeniedException: The path leads out of all buckets.
            UnknownOperationException: No such operation.
        """
        bucket = path.split("/", 2)[1] if path.startswith("/") else ""
        inside = _is_bucket(bucket) and normal_path(path).split("/", 2)[1:2] == [bucket]
        if not inside and path not in ("/", ""):
            raise AccessDeniedException(f"{unquote(path)[:256]!r} is in no bucket")
        given = parse_qsl(query, keep_blank_values=True)
        marks = {key for key, _ in given if key in self._marks}
        found = self._router.find(method, path, urlencode([(key, "" if key in marks else text) for key, text in given]))
        name = found[0] if found else ""
        if not name or name not in self.operations or len(marks) > 1:
            raise UnknownOperationException(f"S3 has no operation for {method} {unquote(path)[:256]}?{query[:256]}")
        if any(key == "uploadId" for key, _ in given):
            name = _OF_UPLOADS.get(name, name)
        if method == "PUT" and "x-amz-copy-source" in headers:
            name = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(name, name)
        parts = path[1:].split("/", 1)
        labels = {"Bucket": unquote(parts[0])} | ({"Key": unquote(parts[1])} if len(parts) > 1 and parts[1] else {})
        return Found(name, labels)


#: What an operation on an object is on a multipart upload, whose id is in the query.
_OF_UPLOADS = {"DeleteObject": "AbortMultipartUpload", "PutObject": "UploadPart", "GetObject": "ListParts"}
#: Operations that share their address with another, and one that is for S3 Object Lambda only.
_TOLD_OTHERWISE = frozenset(
    {*_OF_UPLOADS.values(), "CopyObject", "UploadPartCopy", "ListDirectoryBuckets", "WriteGetObjectResponse"}
)
#: Names that S3 doesn't allow, or that mean something of its own to a server behind.
_NO_BUCKETS = frozenset({"moto-api", "latest", "favicon.ico", "iceberg"})


def _is_bucket(name: str) -> bool:
    """Whether the first segment of a path may be a bucket's name, and no route of a server's own."""
    return bool(name) and name not in _NO_BUCKETS and name[0].isalnum() and name.isascii() and "%" not in name


def without_signature(query: str) -> str:
    """A presigned query without what was signed for: the request is signed anew for where it goes."""
    names = {
        "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
        "x-amz-security-token", *presigned_v2.NAMES,
    }  # fmt: skip
    return "&".join(piece for piece in query.split("&") if piece.partition("=")[0].lower() not in names)
