"""The sandbox object over a fake driver: outcomes, deadlines and ends. The runtime is a raw client on the socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Exit, RuntimeEvent, SandboxSpec
from jupyter_lambda.sandbox.sandboxes import Sandboxes

BASE = "/2018-06-01/runtime"


class FakeProcess:
    def __init__(self) -> None:
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.kills = 0
        self.calls: list[str] = []

    async def wait(self) -> Exit:
        return await asyncio.shield(self.ended)

    async def freeze(self) -> None:
        self.calls.append("freeze")

    def settle(self) -> None:
        self.calls.append("settle")

    async def thaw(self) -> None:
        self.calls.append("thaw")

    async def kill(self) -> None:
        self.kills += 1
        if not self.ended.done():
            self.ended.set_result(Exit(None, signal=9))

    def memory_peak_mb(self) -> int | None:
        return 42


class FakeDriver:
    name, isolated = "fake", True

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.processes: list[FakeProcess] = []
        self.log: Callable[[bytes], None] = lambda data: None

    async def start(self, spec: SandboxSpec, directory: Path, log: Callable[[bytes], None]) -> FakeProcess:
        if self.error:
            raise self.error
        assert (directory / "run/api.sock").is_socket()
        assert (directory / "run/log").is_fifo()
        await self.gate.wait()
        self.log = log
        self.processes.append(FakeProcess())
        return self.processes[-1]


class Client:
    """A runtime, one connection a request."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        head = f"{method} {BASE}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}"
        if "chunked" not in headers:
            head += f"Content-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        answer = await reader.read()
        writer.close()
        top, _, rest = answer.partition(b"\r\n\r\n")
        return int(top.split()[1]), rest


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.state = tmp_path
        self.driver = FakeDriver()
        self.boxes = Sandboxes(self.driver, tmp_path)  # type: ignore[arg-type]
        self.written: list[tuple[str | None, bytes]] = []

    async def start(self):
        spec = SandboxSpec("f" * 16, "fn", "1", 128, 512, "a.b", {}, self.state)
        sandbox = await self.boxes.start(spec, lambda r, d: self.written.append((r, d)))
        self.client = Client(self.state / "sandboxes" / ("f" * 16) / "run/api.sock")
        return sandbox


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.boxes.close()
    assert list((tmp_path / "sandboxes").iterdir()) == []


EVENT = RuntimeEvent("id", b"[1]", "arn", 5)


async def ready(world):
    """A sandbox with an event on its way to the runtime."""
    sandbox = await world.start()
    task = asyncio.create_task(sandbox.invoke(EVENT, 60))
    status, body = await world.client.ask("GET", "/invocation/next")
    assert (status, body) == (200, b"[1]")
    return sandbox, task


async def test_a_response(world):
    sandbox, task = await ready(world)
    assert (await sandbox.init()).kind == "ready"
    assert world.driver.processes[0].calls == ["settle"], "the CPU share of its memory from now on"
    assert await world.client.ask("POST", "/invocation/id/response", b"yes") == (202, b'{"status":"OK"}\n')
    outcome = await task
    assert (outcome.kind, outcome.payload, outcome.memory_used_mb) == ("response", b"yes", 42)


async def test_a_streamed_response(world):
    _, task = await ready(world)
    headers = "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    status, _ = await world.client.ask("POST", "/invocation/id/response", b"3\r\nyes\r\n3\r\nyes\r\n0\r\n\r\n", headers)
    assert (status, (await task).payload) == (202, b"yesyes")


@pytest.mark.parametrize("body", [b'{"errorMessage": "m", "errorType": "T"}', b""])
async def test_a_streamed_response_that_ends_with_an_error(world, body):
    _, task = await ready(world)
    headers = "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    trailers = b"Lambda-Runtime-Function-Error-Type: T\r\nLambda-Runtime-Function-Error-Body: " + base64.b64encode(body)
    await world.client.ask("POST", "/invocation/id/response", b"3\r\nyes\r\n0\r\n" + trailers + b"\r\n\r\n", headers)
    outcome = await task
    assert (outcome.kind, outcome.error_type) == ("error", "T")
    assert json.loads(outcome.payload)["errorType"] == "T"


async def test_an_unknown_response_mode(world):
    _, task = await ready(world)
    headers = "Lambda-Runtime-Function-Response-Mode: sideways\r\n"
    status, body = await world.client.ask("POST", "/invocation/id/response", b"x", headers)
    assert (status, json.loads(body)["errorType"]) == (400, "InvalidFunctionResponseMode")
    assert (await task).error_type == "Runtime.InvalidResponseModeHeader"


@pytest.mark.parametrize("size", [6_291_557, 20_000_000])
async def test_a_response_that_is_too_large(world, size):
    _, task = await ready(world)
    if size < 16_000_000:
        status, body = await world.client.ask("POST", "/invocation/id/response", b"x" * size)
        assert (status, json.loads(body)["errorType"]) == (413, "RequestEntityTooLarge")
    else:
        reader, writer = await asyncio.open_unix_connection(str(world.client.socket))
        writer.write(
            f"POST {BASE}/invocation/id/response HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
    outcome = await task
    assert (outcome.kind, outcome.reusable) == ("too_large", True)


async def test_an_init_error(world):
    sandbox = await world.start()
    document = b'{"errorType": "Runtime.ImportModuleError", "errorMessage": "m"}'
    assert (await world.client.ask("POST", "/init/error", document))[0] == 202
    outcome = await sandbox.init()
    assert (outcome.kind, outcome.payload, outcome.error_type) == ("error", document, "Runtime.ImportModuleError")


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (Exit(1), "exit"),
        (Exit(None, signal=11), "exit"),
        (Exit(137, oom_killed=True), "oom"),
        (Exit(143, system=True), "system"),
    ],
)
async def test_ends(world, end, kind):
    _, task = await ready(world)
    world.driver.processes[0].ended.set_result(end)
    outcome = await task
    assert (outcome.kind, outcome.exit, outcome.reusable, outcome.delivered) == (kind, end, False, True)


async def test_an_end_during_init(world):
    sandbox = await world.start()
    world.driver.processes[0].ended.set_result(Exit(1, oom_killed=True))
    assert (await sandbox.init()).kind == "oom"


async def test_a_driver_that_loses_sight_is_a_system_error(world, caplog):
    sandbox, task = await ready(world)
    world.driver.processes[0].ended.set_exception(DriverError("the daemon went away"))
    outcome = await task
    assert (outcome.kind, outcome.exit.system) == ("system", True)
    assert "lost sight" in caplog.text
    assert (await sandbox.exited).system


async def test_an_event_that_was_never_asked_for_says_so(world):
    sandbox = await world.start()
    task = asyncio.create_task(sandbox.invoke(EVENT, 60))
    await asyncio.sleep(0)
    world.driver.processes[0].ended.set_result(Exit(0))
    outcome = await task
    assert (outcome.kind, outcome.delivered) == ("exit", False)


async def test_an_answer_sent_just_before_the_end_counts(world):
    _, task = await ready(world)
    reader, writer = await asyncio.open_unix_connection(str(world.client.socket))
    await asyncio.sleep(0.01)
    writer.write(f"POST {BASE}/invocation/id/response HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1".encode())
    world.driver.processes[0].ended.set_result(Exit(0))
    assert (await task).kind == "response"
    await reader.readline()
    writer.close()


async def test_a_deadline_kills(world):
    sandbox = await world.start()
    outcome = await sandbox.invoke(EVENT, 0.01)
    assert (outcome.kind, outcome.reusable, outcome.delivered) == ("timeout", False, False)
    assert world.driver.processes[0].kills == 1


async def test_freeze_and_thaw_are_the_drivers(world):
    sandbox = await world.start()
    await sandbox.freeze()
    await sandbox.thaw()
    assert world.driver.processes[0].calls == ["freeze", "thaw"]


async def test_a_start_that_fails_leaves_nothing(world):
    world.driver.error = DriverError("no")
    with pytest.raises(DriverError, match="no"):
        await world.start()


async def test_closing_while_one_starts_leaves_nothing(world):
    world.driver.gate.clear()
    start = asyncio.create_task(world.start())
    await asyncio.sleep(0.01)
    await world.boxes.close()
    world.driver.gate.set()
    with pytest.raises(DriverError, match="closed while it started"):
        await start
    assert world.driver.processes[0].kills == 1


async def test_a_state_directory_that_cannot_be_written_is_a_driver_error(world):
    (world.state / "sandboxes").write_text("a file")
    with pytest.raises(DriverError, match="sandboxes"):
        await world.start()
    (world.state / "sandboxes").unlink()
    (world.state / "sandboxes").mkdir()


async def test_output_carried_by_the_driver_is_attributed(world):
    sandbox, task = await ready(world)
    world.driver.log(b"one\n")
    await world.client.ask("POST", "/invocation/id/response", b"1")
    await task
    world.driver.log(b"two\n")
    assert world.written == [("id", b"one\n"), (None, b"two\n")]
    assert sandbox.log_tail("id") == b"one\n"
    assert sandbox.log_tail("other") == b""


async def test_a_sandbox_may_hold_only_so_many_connections(world):
    await world.start()
    held = [await asyncio.open_unix_connection(str(world.client.socket)) for _ in range(128)]
    reader, writer = await asyncio.open_unix_connection(str(world.client.socket))
    assert await reader.read() == b""
    for _, other in [*held, (reader, writer)]:
        other.close()


async def test_a_cancel_for_another_invocation_does_nothing(world):
    sandbox, task = await ready(world)
    await sandbox.cancel("another")
    assert not task.done()
    await sandbox.cancel("id")
    assert (await task).kind == "cancelled"
