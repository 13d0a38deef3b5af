"""The load generator, a process of its own: sends signed requests, each another, and checks every answer.

Reads a ``Load`` as JSON from standard input and writes what it saw to standard output. Only to 127.0.0.1, and it
always ends: after ``seconds``, after ``count`` answers, or ``_GRACE_S`` later whatever happens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Where this package is found.
ROOT = Path(__file__).parents[1]
#: Seconds beyond its time that a run may take: a last answer, a burst's slowest container.
_GRACE_S = 90.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to send."""

    port: int
    #: Heads and bodies of the requests, base64, sent in turn: so many that no answer can come out of a memory.
    requests: list[str]
    #: What each one's body must be, base64; None: any.
    expected: list[str] | None = None
    connections: int = 1
    #: Seconds that count; 0: as long as it takes.
    seconds: float = 0.0
    #: Seconds before them that don't.
    warmup_s: float = 0.0
    #: Answers after which it ends; 0: no such limit.
    count: int = 0
    status: int = 200
    #: A process whose CPU time is read at the beginning and the end.
    pid: int = 0
    #: Keep the bodies: for bursts.
    bodies: bool = False


@dataclass(slots=True)
class Seen:
    """What came of it. Latencies in seconds."""

    count: int
    #: All that were sent, those of the warm-up too.
    sent: int
    bad: int
    first_bad: str
    wall_s: float
    latencies: list[float]
    #: CPU seconds of the process watched, and of this one.
    cpu_s: float
    own_cpu_s: float
    bodies: list[str]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.wall_s if self.wall_s else 0.0


def run(load: Load) -> Seen:
    """Run it in a process of its own.

    Raises:
        RuntimeError: Answers were wrong, or it could not run.
    """
    limit = load.seconds + load.warmup_s + _GRACE_S + 30
    # Into a file: after a loop of uvloop's, what goes into a pipe may be cut off at a multiple of 64 KiB.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            input=json.dumps(asdict(load)),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=limit,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            raise RuntimeError(f"the load generator failed:\n{done.stderr[-2000:]}")
        output.seek(0)
        seen = Seen(**json.load(output))
    if seen.bad or not seen.count:
        raise RuntimeError(f"{seen.bad} of {seen.sent} answers were wrong; the first: {seen.first_bad or 'none came'}")
    return seen


def encoded(data: bytes) -> str:
    """For JSON."""
    return base64.b64encode(data).decode()


def split_answer(data: bytes) -> tuple[int, bytes] | None:
    """Status and body of a whole answer; None when more has to come."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    mark = head.find(b"\r\ncontent-length:")
    size = int(head[mark + 17 :].split(b"\r", 1)[0]) if mark >= 0 else 0
    if len(data) < end + 4 + size:
        return None
    return int(data[9:12]), data[end + 4 :]


class Run:
    """What the connections of one run share."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = [base64.b64decode(text) for text in load.requests]
        self.expected = None if load.expected is None else [base64.b64decode(text) for text in load.expected]
        self.latencies: list[float] = []
        self.bodies: list[bytes] = []
        self.sent = self.bad = 0
        self.first_bad = b""
        self.begin = self.stop = float("inf")

    def take(self, now: float, started: float, number: int, answer: tuple[int, bytes]) -> None:
        """Count and check the answer to one request."""
        status, body = answer
        if status != self.load.status or (self.expected is not None and body != self.expected[number]):
            self.bad += 1
            self.first_bad = self.first_bad or b"%d %s" % (status, body[:300])
        if started >= self.begin and now <= self.stop:
            self.latencies.append(now - started)
        if self.load.bodies:
            self.bodies.append(body)


class Client(asyncio.Protocol):
    """One connection: the next request goes out with the answer to the last."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._started = 0.0
        self._number = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready; ``go`` begins."""
        self._transport: Any = transport

    def go(self) -> None:
        """Send one."""
        run = self._run
        if run.load.count and run.sent >= run.load.count:
            self._finish()
            return
        self._number = run.sent % len(run.requests)
        run.sent += 1
        self._started = time.perf_counter()
        self._transport.write(run.requests[self._number])

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        buffer = self._buffer + data if self._buffer else data
        answer = split_answer(buffer)
        if answer is None:
            self._buffer = buffer
            return
        self._buffer = b""
        now = time.perf_counter()
        self._run.take(now, self._started, self._number, answer)
        if now < self._run.stop:
            self.go()
        else:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """The engine should not have closed it."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the connection was closed before its answer"))

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self._transport.close()


async def _drive(load: Load) -> Seen:
    from benchmarks.proc import exact_cpu_s

    run = Run(load)
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for _ in range(load.connections):
        _, client = await loop.create_connection(lambda: Client(run), "127.0.0.1", load.port)
        clients.append(client)
    cpu = own = 0.0

    def begin() -> None:
        nonlocal cpu, own
        cpu, own = exact_cpu_s(load.pid) if load.pid else 0.0, time.process_time()
        run.begin = time.perf_counter()
        run.stop = run.begin + load.seconds if load.seconds else float("inf")

    if load.warmup_s:
        loop.call_later(load.warmup_s, begin)
    else:
        begin()
    for client in clients:
        client.go()
    async with asyncio.timeout(load.seconds + load.warmup_s + _GRACE_S):
        await asyncio.gather(*(client.done for client in clients))
    ended = time.perf_counter()
    wall = (min(ended, run.stop) if run.stop < float("inf") else ended) - run.begin
    return Seen(
        count=len(run.latencies),
        sent=run.sent,
        bad=run.bad,
        first_bad=run.first_bad.decode("utf-8", "replace"),
        wall_s=wall,
        latencies=run.latencies,
        cpu_s=(exact_cpu_s(load.pid) - cpu) if load.pid else 0.0,
        own_cpu_s=time.process_time() - own,
        bodies=[body.decode("utf-8", "replace") for body in run.bodies],
    )


def main(arguments: Sequence[str]) -> int:
    """As a program."""
    import uvloop

    load = Load(**json.loads(sys.stdin.read()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_drive(load))
    sys.stdout.write(json.dumps(asdict(seen)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
