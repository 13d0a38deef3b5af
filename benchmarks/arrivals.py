"""Open-loop load: requests leave when they are due, whether or not earlier ones have been answered.

Latency counts from the time a request was due, so that a stall of the engine (or of this generator) shows in every
request it delayed: no coordinated omission. Waits in ``select``, whose timer is exact to some ten microseconds.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from benchmarks.load import split_answer

#: Seconds after the last arrival by which all must be answered.
_GRACE_S = 30.0


@dataclass(slots=True)
class Arrivals:
    """What came of them, in seconds."""

    latencies: list[float] = field(default_factory=list)
    #: How late this generator itself sent each request.
    late: list[float] = field(default_factory=list)
    bad: int = 0
    #: Most requests that were in flight at once.
    in_flight: int = 0


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times of a Poisson process, from 0."""
    chance = random.Random(seed)  # noqa: S311 - arrivals are no secret
    times, now = [], 0.0
    while (now := now + chance.expovariate(rate)) < seconds:
        times.append(now)
    return times


class _Line:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.due = 0.0

    def fileno(self) -> int:
        return self.socket.fileno()


def run(port: int, request: bytes, times: list[float], *, body: bytes | None = None, status: int = 200) -> Arrivals:
    """Send one request at each of ``times`` over as many connections as it takes.

    Raises:
        RuntimeError: An answer was wrong, or missing at the end.
    """
    seen = Arrivals()
    idle = deque(_Line(port) for _ in range(32))
    every = list(idle)
    busy: set[_Line] = set()
    waiting = deque(times)
    start = time.perf_counter() + 0.05
    deadline = start + (times[-1] if times else 0) + _GRACE_S
    try:
        while waiting or busy:
            now = time.perf_counter()
            if now > deadline:
                raise RuntimeError(f"{len(busy) + len(waiting)} requests had no answer {_GRACE_S:.0f} s after the last")
            while waiting and start + waiting[0] <= now:
                if not idle:
                    every.append(_Line(port))
                    idle.append(every[-1])
                line = idle.popleft()
                line.due = start + waiting.popleft()
                line.socket.sendall(request)
                seen.late.append(now - line.due)
                busy.add(line)
            seen.in_flight = max(seen.in_flight, len(busy))
            pause = start + waiting[0] - time.perf_counter() if waiting else 1.0
            for line in select.select(busy, (), (), max(0.0, min(pause, 1.0)))[0]:
                if _receive(line, seen, status, body):
                    busy.discard(line)
                    idle.append(line)
    finally:
        for line in every:
            line.socket.close()
    if seen.bad:
        raise RuntimeError(f"{seen.bad} of {len(times)} answers were wrong")
    return seen


def _receive(line: _Line, seen: Arrivals, status: int, body: bytes | None) -> bool:
    data = line.socket.recv(65536)
    if not data:
        raise RuntimeError("the connection was closed before its answer")
    line.buffer += data
    answer = split_answer(line.buffer)
    if answer is None:
        return False
    line.buffer = b""
    seen.latencies.append(time.perf_counter() - line.due)
    seen.bad += answer[0] != status or (body is not None and answer[1] != body)
    return True
