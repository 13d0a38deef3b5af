"""The reference of everything that speaks HTTP: the engine's own HTTP server, which answers with what it was sent.

``python -m benchmarks.echo`` prints its port and ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.load import ROOT
from jupyter_lambda import http1


async def answer(request: http1.Request) -> http1.Response:
    """The body, as JSON, as an invocation's answer would be."""
    return http1.Response(200, [("Content-Type", "application/json")], request.body)


async def serve() -> None:
    """Until standard input ends."""
    server = http1.Server(answer)
    _, port = await server.listen_tcp("127.0.0.1", 0)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


@contextlib.contextmanager
def running() -> Iterator[tuple[int, int]]:
    """A bare echo in a process of its own: its port and process id."""
    command = [sys.executable, "-m", "benchmarks.echo"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()
            process.wait(20)


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
