"""A streamed answer: order, back-pressure, both sides' ends."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_lambda.errors import TooManyRequestsException
from jupyter_lambda.model.stream import AHEAD_MAX_BYTES, Reading, ResponseStream

OVER = TooManyRequestsException(reason="x")


async def test_a_writer_waits_for_a_slow_reader():
    stream = ResponseStream()
    stream.begin("text/plain")
    await stream.write(b"a" * AHEAD_MAX_BYTES)
    waiting = asyncio.create_task(stream.write(b"b"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await stream.read() == b"a" * AHEAD_MAX_BYTES + b"b"
    await asyncio.wait_for(waiting, 1)
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    assert not reading.done()
    await stream.write(b"c")
    assert await reading == b"c"
    stream.end(OVER)
    assert await stream.read() == b""
    assert stream.size_bytes == AHEAD_MAX_BYTES + 2


async def test_what_is_written_after_the_reader_has_gone_is_dropped():
    stream = ResponseStream()
    stream.begin("")
    waiting = asyncio.create_task(stream.write(b"a" * (AHEAD_MAX_BYTES + 1)))
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.abandon()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(stream.write(b"a" * (AHEAD_MAX_BYTES + 1)), 1)
    stream.end(OVER)
    assert await stream.read() == b""


async def test_the_end_frees_a_writer_and_leaves_what_was_written():
    stream = ResponseStream()
    stream.begin("")
    waiting = asyncio.create_task(stream.write(b"a" * (AHEAD_MAX_BYTES + 1)))
    await asyncio.sleep(0)
    stream.end(OVER)
    await asyncio.wait_for(waiting, 1)
    assert len(await stream.read()) == AHEAD_MAX_BYTES + 1
    assert await stream.read() == b""


async def test_a_refusal_before_the_answer_is_raised_and_after_it_is_not():
    refused = ResponseStream()
    opening = asyncio.create_task(refused.opened())
    await asyncio.sleep(0)
    refused.end(OVER)
    with pytest.raises(TooManyRequestsException):
        await opening
    begun = ResponseStream()
    begun.begin("a/b")
    begun.end(OVER)
    await begun.opened()
    assert (begun.begun, begun.content_type) == (True, "a/b")


async def test_a_reading_that_never_began_gives_its_stream_up():
    stream = ResponseStream()
    stream.begin("")

    async def pieces():
        yield await stream.read()

    waiting = asyncio.create_task(stream.write(b"a" * (AHEAD_MAX_BYTES + 1)))
    await asyncio.sleep(0)
    await Reading(stream, pieces()).aclose()
    await asyncio.wait_for(waiting, 1)
