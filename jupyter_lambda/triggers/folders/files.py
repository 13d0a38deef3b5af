"""Give out a file of a watched folder, whole or in part. Source for parts: RFC 9110, "Range Requests"."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
from collections.abc import AsyncIterator
from email.utils import formatdate

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.http1 import Request, Response

from .host import Folders
from .scan import Pattern, open_beneath
from .telling import named

#: Bytes read at one time; what is not larger is answered whole.
_CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def answer(folders: Folders, request: Request, headers: list[tuple[str, str]]) -> Response:
    """The file that a path names, if its folder is watched and its pattern matches.

    Raises:
        ResourceNotFoundException: No such folder or file, or the pattern doesn't take it.
    """
    try:
        folder_id, name = named(request.path)
        folder = folders.folder(folder_id)
        if not Pattern(folder.pattern).matches(name):
            raise ResourceNotFoundException("The folder's pattern doesn't take this file.")
        descriptor = await asyncio.to_thread(open_beneath, folder.path, name)
    except (ValueError, OSError):
        raise ResourceNotFoundException("There is no such file, or no longer.") from None
    status = os.fstat(descriptor)
    size = status.st_size
    shared = [
        *headers,
        ("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream"),
        ("Accept-Ranges", "bytes"),
        ("Last-Modified", formatdate(status.st_mtime, usegmt=True)),
        # A page must not run as one of the engine's.
        ("Content-Disposition", "attachment"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    part = _part(request.headers.get("range"), size)
    if part is None:
        first, last, code = 0, size - 1, 200
    else:
        first, last = part
        if first > last:
            os.close(descriptor)
            return Response(416, [*shared, ("Content-Range", f"bytes */{size}")], b"")
        code = 206
        shared.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    if last - first < _CHUNK_BYTES:
        with os.fdopen(descriptor, "rb") as stream:
            stream.seek(first)
            return Response(code, shared, stream.read(last - first + 1))
    return Response(code, shared, _stream(descriptor, first, last))


async def _stream(descriptor: int, first: int, last: int) -> AsyncIterator[bytes]:
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(first)
        left = last - first + 1
        while left:
            chunk = await asyncio.to_thread(stream.read, min(_CHUNK_BYTES, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


def _part(text: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of one range; None for the whole. An empty range is one that can't be satisfied."""
    found = _RANGE.fullmatch(text.strip()) if text else None
    if not found or found[0] == "bytes=-":
        return None
    if not found[1]:
        count = int(found[2])
        return (max(0, size - count), size - 1) if count else (1, 0)
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < first:
        return None
    return (first, last) if first < size else (1, 0)
