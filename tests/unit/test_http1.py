"""The HTTP server, spoken to over raw sockets."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_lambda.http1 import MAX_HEADER_BYTES, CutShort, Request, Response, Server, encode_head


async def echo(request: Request) -> Response:
    if request.path == "/boom":
        raise RuntimeError("boom")
    if request.path == "/stream":

        async def parts():
            for i in range(3):
                yield b"part%d;" % i

        return Response(200, [("X-A", "b")], parts())
    if request.path in ("/broken-stream", "/cut-short"):

        async def broken():
            yield b"begin"
            raise CutShort if request.path == "/cut-short" else RuntimeError("halfway")

        return Response(200, (), broken())
    text = f"{request.method} {request.path} {request.query} {request.headers.get('x-two', '')} "
    return Response(200, [("Content-Type", "text/plain")], text.encode() + request.body)


@pytest.fixture
async def server():
    server = Server(echo, max_body_bytes=1000)
    host, port = await server.listen_tcp("127.0.0.1", 0)
    yield server, host, port
    await server.close()


async def talk(server, data: bytes, *, more: bytes = b"") -> bytes:
    _, host, port = server
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    if more:
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(more)
    await writer.drain()
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_answers_and_keeps_the_connection(server):
    one = b"POST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Two: 1\r\nx-two: 2\r\n\r\nhi"
    answer = await talk(server, one + one.replace(b"\r\nHost: h", b"\r\nHost: h\r\nConnection: close"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"POST /a%20b x=1 1,2 hi") == 2


async def test_chunked_body_and_expect_continue(server):
    head = (
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    answer = await talk(server, head, more=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert answer.endswith(b"abcde")


async def test_streamed_response_is_chunked(server):
    answer = await talk(server, b"GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in answer
    assert answer.endswith(b"6\r\npart0;\r\n6\r\npart1;\r\n6\r\npart2;\r\n0\r\n\r\n")


async def test_a_connection_goes_on_after_a_streamed_response(server):
    one = b"GET /stream HTTP/1.1\r\nHost: h\r\n"
    answer = await talk(server, (one + b"\r\n") * 2 + one + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == answer.count(b"part2;\r\n0\r\n\r\n") == 3


async def test_the_answer_to_head_has_no_body_even_where_it_would_be_streamed(server):
    one = b"HEAD /stream HTTP/1.1\r\nHost: h\r\n"
    answer = await talk(server, one + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"part" not in answer
    assert answer.endswith(b"\r\n\r\n")
    assert b"0\r\n\r\n" not in answer


async def test_a_body_that_says_it_is_cut_short_leaves_nothing_in_the_log(server, caplog):
    try:
        answer = await talk(server, b"GET /cut-short HTTP/1.1\r\nHost: h\r\n\r\n")
    except ConnectionResetError:
        answer = b""
    assert not answer.endswith(b"0\r\n\r\n")
    assert caplog.records == []


async def test_broken_stream_is_cut_so_that_the_client_notices(server):
    try:
        answer = await talk(server, b"GET /broken-stream HTTP/1.1\r\nHost: h\r\n\r\n")
    except ConnectionResetError:
        answer = b""
    assert not answer.endswith(b"0\r\n\r\n")


async def test_failing_handler_is_a_500_without_a_traceback(server):
    answer = await talk(server, b"GET /boom HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"Traceback" not in answer
    assert b"boom" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", b"413"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n",
            b"413",
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_what_is_not_http_or_too_large_is_refused(server, data, status):
    answer = await talk(server, data)
    assert answer.split()[1] == status


async def test_an_offer_to_upgrade_is_ignored(server):
    answer = await talk(server, b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answer


def test_a_header_value_cannot_smuggle_another_header():
    with pytest.raises(ValueError, match="line break"):
        encode_head(200, [("X", "a\r\nSet-Cookie: b")], 0, close=False)


async def test_close_lets_requests_in_flight_finish():
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        entered.set()
        await leave.wait()
        return Response(body=b"done")

    server = Server(slow)
    host, port = await server.listen_tcp("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await entered.wait()
    closing = asyncio.create_task(server.close(grace_s=5))
    await asyncio.sleep(0)
    leave.set()
    assert (await reader.read()).endswith(b"done")
    await closing
    writer.close()
    await writer.wait_closed()


async def test_a_stalled_request_times_out():
    server = Server(echo, stall_timeout_s=0.05)
    host, port = await server.listen_tcp("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()
    await server.close()


async def test_unix_socket_and_peer(tmp_path):
    seen = []

    async def note(request: Request) -> Response:
        seen.append(request.peer)
        return Response(close=True)

    server = Server(note)
    path = tmp_path / "s"
    path.write_text("left by another process")
    await server.listen_unix(path)
    assert path.stat().st_mode & 0o777 == 0o600
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert seen == ["unix"]
    await server.close()


@pytest.fixture
async def serve():
    """Start a server with a handler; returns what opens a connection to it."""
    servers = []

    async def start(handler, **options):
        server = Server(handler, **options)
        servers.append(server)
        host, port = await server.listen_tcp("127.0.0.1", 0)
        return server, host, port

    yield start
    for server in servers:
        await server.close()


async def test_a_handler_may_answer_at_once(serve):
    at = await serve(lambda request: Response(200, (), request.path.encode()))
    answer = await talk(
        at, b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b"/a") < answer.index(b"/b")
    assert answer.endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\n")


async def test_answers_keep_the_order_of_the_requests_however_they_are_made(serve):
    later = []

    async def slowly(request):
        await asyncio.sleep(0)
        return Response(body=request.path.encode())

    def handler(request):
        if request.path == "/later":
            later.append(request)
            return None
        return slowly(request) if request.path == "/slow" else Response(body=request.path.encode())

    _, host, port = await serve(handler)
    reader, writer = await asyncio.open_connection(host, port)
    paths = ["/slow", "/now", "/later", "/slow", "/now", "/last"]
    writer.write(b"".join(f"GET {path} HTTP/1.1\r\n\r\n".encode() for path in paths))
    await reader.readuntil(b"/now")
    while not later:
        await asyncio.sleep(0)
    assert later[0].connection.busy
    assert later[0].connection.answer(Response(body=b"/later"))
    assert not later[0].connection.answer(Response(body=b"twice"))
    rest = await reader.readuntil(b"/last")
    assert [part.split(b"HTTP")[0] for part in rest.split(b"\r\n\r\n")[1:]] == [b"/later", b"/slow", b"/now", b"/last"]
    writer.close()
    await writer.wait_closed()


async def test_who_answers_later_learns_that_nobody_waits_any_more(serve):
    left = asyncio.Queue()
    _, host, port = await serve(left.put_nowait)
    _, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    request = await left.get()
    writer.transport.abort()
    while not request.connection.closed:
        await asyncio.sleep(0)
    assert not request.connection.answer(Response())


async def test_one_task_answers_for_the_whole_connection(serve):
    tasks: list[asyncio.Task] = []

    async def handler(request: Request) -> Response:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        return Response(200, (), request.body)

    _, host, port = await serve(handler)
    reader, writer = await asyncio.open_connection(host, port)
    for text in (b"one", b"two", b"three"):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(len(text)) == text
    assert len(tasks) == 3
    assert len(set(tasks)) == 1
    writer.close()
    await writer.wait_closed()
    await asyncio.wait(set(tasks), timeout=5)
    assert tasks[0].done(), "and ends with it"


async def test_a_failing_direct_handler_is_a_500(serve):
    def boom(request):
        raise RuntimeError("boom")

    answer = await talk(await serve(boom), b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")


async def test_an_answer_with_a_broken_header_is_a_500_and_the_connection_goes_on(serve):
    def handler(request):
        return Response(200, [("X", request.query.replace("-", "\n"))], b"ok")

    answer = await talk(
        await serve(handler), b"GET /?a-b HTTP/1.1\r\n\r\nGET /?ab HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"ok")


async def test_headers_without_end_are_refused_in_time(serve):
    _, host, port = await serve(echo)
    reader, writer = await asyncio.open_connection(host, port)
    begin = b"GET / HTTP/1.1\r\nX: "
    writer.write(begin)
    await asyncio.sleep(0)
    # Not a byte more: a client that still sends when it is refused may lose the answer.
    writer.write(b"y" * (2 * MAX_HEADER_BYTES + 1 - len(begin)))
    assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()
    await writer.wait_closed()


async def test_many_pipelined_requests_are_all_answered(serve):
    answer = await talk(
        await serve(echo), b"GET /x HTTP/1.1\r\n\r\n" * 99 + b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 100


async def test_a_large_answer_arrives_whole_and_in_order(serve):
    body = bytes(range(256)) * 4096
    at = await serve(lambda request: Response(200, (), body))
    answer = await talk(at, b"GET / HTTP/1.1\r\n\r\n" * 3 + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.count(body) == 4


async def test_close_waits_for_those_who_answer_later(serve):
    left = asyncio.Queue()
    server, host, port = await serve(left.put_nowait)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    request = await left.get()
    closing = asyncio.create_task(server.close(grace_s=5))
    await asyncio.sleep(0)
    assert request.connection.answer(Response(body=b"done"))
    await closing
    assert (await reader.read()).endswith(b"Connection: close\r\n\r\ndone")
    writer.close()
    await writer.wait_closed()
