"""However a client's bytes are cut on the way, the same requests come out of them and the same answers go back."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.http1 import Connection, Request, Response, Server

LINES = st.sampled_from(
    [
        b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nX-One: 1\r\nx-one: 2\r\n\r\n",
        b"POST /p%20q HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n",
        b"GET /e HTTP/1.1\r\nX-Empty:\r\nX-Latin: \xe9\r\n\r\n",
        b"POST /big HTTP/1.1\r\nContent-Length: 200\r\n\r\n" + b"z" * 200,
    ]
)


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return None

    def write(self, data: bytes) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        return None

    resume_reading = pause_reading


def talk(pieces: list[bytes], **options: int) -> tuple[list[tuple[Any, ...]], Transport]:
    """Give a connection the pieces one by one: the requests that its handler saw, and the transport."""
    seen: list[tuple[Any, ...]] = []

    def handler(request: Request) -> Response:
        seen.append(
            (request.method, request.path, request.query, dict(request.headers), request.body, list(request.trailers))
        )
        return Response(200, [("X-Number", str(len(seen)))], request.body)

    async def run() -> Transport:
        server = Server(handler, **options)
        connection, transport = Connection(server), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        for piece in pieces:
            connection.data_received(piece)
        await server.close()
        return transport

    return seen, asyncio.run(run())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


@given(st.lists(LINES, min_size=1, max_size=6), st.lists(st.integers(0, 2000), max_size=12))
def test_cuts_make_no_difference(requests, places):
    data = b"".join(requests)
    whole, answers = talk([data])
    assert len(whole) == len(requests)
    pieces, answered = talk(cut(data, places))
    assert pieces == whole
    assert answered.written == answers.written


@pytest.mark.parametrize("limit", [3, 4])
@given(st.lists(st.integers(0, 2000), max_size=12))
def test_limits_hold_wherever_the_cut_is(limit, places):
    data = b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
    seen, transport = talk(cut(data, places), max_body_bytes=limit)
    assert not seen
    assert transport.written.startswith(b"HTTP/1.1 413 ")
    assert transport.closed


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_rubbish_neither_raises_nor_is_answered_after_the_end(data, places):
    talk(cut(b"GET / HTTP/1.1\r\n\r\n" + data, places))
