"""Artefacts on their way out of the sandbox: an answer of a function ends at 6 MB, so they go by requests of their own.

``PUT /_jupyter_lambda/runs/{request id}/{name}``, in pieces, signed with the function's own credentials; the engine
takes them for a running invocation of that very function only.
"""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection, HTTPException
from typing import Any

from .signing import Signer

#: Bytes of one request.
PIECE_BYTES = 4 * 1024 * 1024
#: Seconds to wait for the engine to take one.
TIMEOUT_S = 30.0


class UploadError(Exception):
    """The engine did not take an artefact; the message says why."""


class Uploads:
    """Sends one run's artefacts."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        self._signer = Signer(
            os.environ["AWS_ACCESS_KEY_ID"],
            os.environ["AWS_SECRET_ACCESS_KEY"],
            os.environ.get("AWS_SESSION_TOKEN"),
            host=self._address,
            region=os.environ["AWS_REGION"],
        )

    def put_json(self, name: str, value: Any) -> None:
        """Send a value as JSON; what JSON has no form for goes as text."""
        self.put(name, json.dumps(value, default=str).encode())

    def put(self, name: str, data: bytes) -> None:
        """Send an artefact in the place of an earlier one of that name.

        Raises:
            UploadError: The engine didn't take it.
        """
        for at in range(0, max(1, len(data)), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            last = at + PIECE_BYTES >= len(data)
            self._send(name, f"{'end' if last else 'at'}={at}", piece)

    def _send(self, name: str, query: str, piece: bytes) -> None:
        path = f"/_jupyter_lambda/runs/{self._request_id}/{name}"
        lines = self._signer.headers("PUT", path, query, piece)
        headers = dict(line.split(": ", 1) for line in lines.split("\r\n") if line)
        connection = HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request("PUT", f"{path}?{query}", piece, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, HTTPException) as exc:
            raise UploadError(f"{name} could not be sent: {exc}") from exc
        finally:
            connection.close()
        if answer.status != 200:
            raise UploadError(f"{name} was not taken: {_message(said, answer.status)}")


def _message(said: bytes, status: int) -> str:
    try:
        data = json.loads(said)
        return str(data.get("message") or data.get("Message") or f"HTTP {status}")
    except (ValueError, AttributeError):
        return f"HTTP {status}"
