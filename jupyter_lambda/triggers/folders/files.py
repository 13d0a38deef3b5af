"""Give out a file of a watched folder, whole or in part. Source for parts: RFC 9110, "Range Requests"."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
from email.utils import formatdate
from io import BufferedReader

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.http1 import Request, Response

from .host import Folders
from .scan import Pattern, open_beneath
from .telling import named

#: Bytes read at one time; what is not larger is answered whole.
_CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


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
    # From here on it is closed by whoever holds it, whatever happens.
    stream = os.fdopen(descriptor, "rb")
    try:
        response = _response(stream, name, request.headers.get("range"), headers)
    except BaseException:
        stream.close()
        raise
    if isinstance(response.body, bytes):
        stream.close()
    return response


def _response(stream: BufferedReader, name: str, wanted: str | None, headers: list[tuple[str, str]]) -> Response:
    status = os.fstat(stream.fileno())
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
    part = _part(wanted, size)
    if part is None:
        first, last, code = 0, size - 1, 200
    else:
        first, last = part
        if first > last:
            return Response(416, [*shared, ("Content-Range", f"bytes */{size}")], b"")
        code = 206
        shared.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    stream.seek(first)
    if last - first < _CHUNK_BYTES:
        return Response(code, shared, stream.read(last - first + 1))
    return Response(code, shared, _Rest(stream, last - first + 1))


class _Rest:
    """Bytes of a file as they are read; closes it at the end, also where nobody begins to read."""

    def __init__(self, stream: BufferedReader, left: int) -> None:
        self._stream, self._left = stream, left

    def __aiter__(self) -> _Rest:
        return self

    async def __anext__(self) -> bytes:
        chunk = await asyncio.to_thread(self._stream.read, min(_CHUNK_BYTES, self._left)) if self._left else b""
        if not chunk:
            self._stream.close()
            raise StopAsyncIteration
        self._left -= len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Read no more."""
        self._left = 0
        self._stream.close()


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
