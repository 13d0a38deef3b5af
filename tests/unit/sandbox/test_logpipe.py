"""The log pipe: attribution, the tail, and a sink that fails."""

from __future__ import annotations

import asyncio
import os

import pytest

from jupyter_lambda.sandbox.logpipe import DRAIN_BYTES, LogPipe


@pytest.fixture
async def pipe(tmp_path):
    written = []
    os.mkfifo(tmp_path / "log")
    pipe = LogPipe(lambda request_id, data: written.append((request_id, data)))
    pipe.open(tmp_path / "log")
    writer = os.open(tmp_path / "log", os.O_WRONLY)
    yield pipe, writer, written
    os.close(writer)
    pipe.close()
    pipe.close()


async def test_what_was_written_before_an_answer_belongs_to_its_invocation(pipe):
    pipe, writer, written = pipe
    os.write(writer, b"import\n")
    pipe.drain()
    pipe.begin("a")
    os.write(writer, b"one\n")
    pipe.end()
    os.write(writer, b"between\n")
    pipe.drain()
    pipe.begin("b")
    os.write(writer, b"two\n")
    pipe.drain()
    assert written == [(None, b"import\n"), ("a", b"one\n"), (None, b"between\n"), ("b", b"two\n")]
    assert (pipe.tail("b"), pipe.tail("a")) == (b"two\n", b"")


async def test_the_tail_is_the_last_4_kb(pipe):
    pipe, _, _ = pipe
    pipe.begin("a")
    for n in range(3000):
        pipe.feed(b"%04d\n" % n)
    pipe.feed(b"x" * 10)
    assert len(pipe.tail("a")) == 4096
    assert pipe.tail("a").endswith(b"2999\nxxxxxxxxxx")
    pipe.begin("b")
    assert pipe.tail("b") == b""


async def test_output_is_read_when_it_comes_and_ends_with_no_writer(pipe):
    pipe, writer, written = pipe
    os.write(writer, b"x")
    await asyncio.sleep(0.01)
    assert written == [(None, b"x")]


async def test_draining_ends_although_somebody_goes_on_writing(tmp_path):
    os.mkfifo(tmp_path / "log")
    taken = []

    def sink(_, data):
        taken.append(len(data))
        os.write(writer, data)

    pipe = LogPipe(sink)
    pipe.open(tmp_path / "log")
    writer = os.open(tmp_path / "log", os.O_WRONLY)
    os.write(writer, b"x" * 60_000)
    pipe.drain()
    assert DRAIN_BYTES <= sum(taken) < DRAIN_BYTES + 65_536
    pipe._sink = lambda *_: None
    os.close(writer)
    pipe.close()


async def test_nothing_is_told_after_the_close(tmp_path):
    written = []
    pipe = LogPipe(lambda *one: written.append(one))
    os.mkfifo(tmp_path / "log")
    pipe.open(tmp_path / "log")
    pipe.close()
    pipe.feed(b"late")
    assert written == []


async def test_a_sink_that_fails_fails_nothing_else(pipe, caplog):
    pipe, _, _ = pipe
    pipe._sink = lambda *_: 1 / 0
    pipe.begin("a")
    pipe.feed(b"x")
    assert pipe.tail("a") == b"x"
    assert "could not be kept" in caplog.text
