"""From a change to the event that tells of it."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.folder import File, Folder
from jupyter_lambda.model.invocation import AsyncEvent

from .changes import Change
from .scan import open_beneath, state_of

#: Bytes of a text that an event carries.
CONTENT_MAX_BYTES = 64 * 1024
#: Bytes of a file that is hashed, to tell a change from a touch.
HASHED_MAX_BYTES = 16 * 1024 * 1024
#: Where files are to be had. A name is written in base64, as it may hold any sign.
FILES_PATH = "/_jupyter_lambda/files/"


@dataclass(frozen=True, slots=True)
class Read:
    """A file as it was read for its event."""

    file: File
    #: The text; None: too large, or none.
    content: str | None


def read(folder: Folder, change: Change) -> Read | None:
    """Read what an event says of a file; None: it is no longer as it was found.

    Raises:
        PermissionError: It may not be read.
    """
    try:
        descriptor = open_beneath(folder.path, change.name)
    except PermissionError:
        raise
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        before = state_of(os.fstat(descriptor))
        if not before.looks_like(change.file):
            return None
        digest, data = hashlib.sha256(), b""
        hashed = before.size_bytes <= HASHED_MAX_BYTES
        if hashed:
            while chunk := stream.read(256 * 1024):
                digest.update(chunk)
                if before.size_bytes <= CONTENT_MAX_BYTES:
                    data += chunk
        if not state_of(os.fstat(descriptor)).looks_like(before):
            return None
    file = replace(before, sha256=digest.hexdigest() if hashed else None)
    return Read(file, _text(data) if folder.content and before.size_bytes <= CONTENT_MAX_BYTES else None)


def is_touch(told: File | None, found: File) -> bool:
    """Whether only the time has changed, not what is in the file."""
    return (
        told is not None
        and told.sha256 is not None
        and told.sha256 == found.sha256
        and told.size_bytes == found.size_bytes
    )


def event(folder: Folder, change: Change, found: Read | None, now_s: float, sign: Callable[[str], str]) -> AsyncEvent:
    """The durable event.

    Args:
        found: None for a file that is gone.
        sign: From a path of the engine to the whole address that is good for reading it.
    """
    request_id = str(uuid.uuid4())
    described: dict[str, Any] = {
        "path": change.name,
        "name": change.name.rpartition("/")[2],
        "size": change.file.size_bytes,
        "modified": iso(change.file.mtime_ns / 1e9),
        "content_type": mimetypes.guess_type(change.name)[0] or "application/octet-stream",
    }
    if found is not None:
        described["url"] = sign(file_path(folder.folder_id, change.name))
        if found.file.sha256:
            described["sha256"] = found.file.sha256
        if found.content is not None:
            described["content"] = found.content
    body = {
        "version": "1.0",
        "source": "jupyter-lambda.folder",
        "id": request_id,
        "time": iso(now_s),
        "type": change.type,
        "folder": folder.path,
        "file": described,
    }
    return AsyncEvent(
        request_id=request_id,
        function_name=folder.function_name,
        qualifier=LATEST,
        payload=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        source=f"folder:{folder.path}",
        enqueued_s=now_s,
    )


def file_path(folder_id: str, name: str) -> str:
    """Where a file is to be had at the engine."""
    return f"{FILES_PATH}{folder_id}/{base64.urlsafe_b64encode(name.encode()).decode().rstrip('=')}"


def named(path: str) -> tuple[str, str]:
    """Folder and name of such a path.

    Raises:
        ValueError: It is none.
    """
    folder_id, slash, coded = path.removeprefix(FILES_PATH).partition("/")
    if not slash:
        raise ValueError(path)
    return folder_id, base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()


def iso(seconds: float) -> str:
    """A time as AWS's events have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(data: bytes) -> str | None:
    """The text, if it is one."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
