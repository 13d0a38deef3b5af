"""What all peers have in common: an environment of their own, a server, and the same questions."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks import proc
from benchmarks.bench import Bench, milliseconds
from benchmarks.engine import EVENT, Unavailable
from benchmarks.results import Outcome, Row
from jupyter_lambda import client as engine_client
from jupyter_lambda.connection import Connection, alive

#: Seconds that an installation may take.
_INSTALL_S = 300
#: Seconds until a peer's server answers.
_START_S = 90
#: Seconds for each quantity: some of them take one for each invocation.
_RUN_S = 8.0
PATH = "/2015-03-31/functions/echo/invocations"


@dataclass(frozen=True, slots=True)
class Peer:
    """One that runs."""

    port: int
    pid: int

    @property
    def connection(self) -> Connection:
        """As if it were an engine; it believes any key."""
        return Connection(f"http://127.0.0.1:{self.port}", "us-east-1", "AKIAEXAMPLE000000000", "example")


def install(bench: Bench, name: str, *requirements: str) -> Path:
    """Its ``bin`` directory, in a scratch environment.

    Raises:
        Unavailable: It can't be installed here.
    """
    place = bench.scratch / f"peer-{name}"
    if place.is_dir():
        return place / "bin"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    python = place / "bin" / "python"
    if uv:
        commands = [[uv, "venv", "-q", "--python", sys.executable, str(place)]]
        commands += [[uv, "pip", "install", "-q", "--python", str(python), *requirements]]
    else:
        commands = [[sys.executable, "-m", "venv", str(place)]]
        commands += [[str(python), "-m", "pip", "install", "-q", "--no-input", *requirements]]
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except (subprocess.SubprocessError, OSError) as exc:
        said = str(getattr(exc, "stderr", "") or exc).strip().splitlines()
        raise Unavailable(f"not installed here: {said[-1][:200] if said else exc}") from exc
    return place / "bin"


def version(directory: Path, distribution: str) -> str:
    """Of what is installed there."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return subprocess.run([directory / "python", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def server(
    bench: Bench, command: Sequence[str | Path], environment: Mapping[str, str], port: int, *, how: int = signal.SIGTERM
) -> Iterator[Peer]:
    """Start it on a port of 127.0.0.1 and stop it with all that it started.

    Raises:
        Unavailable: It does not start here.
    """
    log = bench.scratch / "peer.log"
    keys = {"AWS_ACCESS_KEY_ID": "example", "AWS_SECRET_ACCESS_KEY": "example", "AWS_DEFAULT_REGION": "us-east-1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **keys, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=bench.scratch,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise Unavailable(f"does not start here: {(said or ['it said nothing'])[0][:200]}")
            time.sleep(0.1)
        yield Peer(port, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if alive(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def invoke(peer: Peer, stream: HTTPConnection, payload: bytes = EVENT) -> float:
    """Seconds of one signed invocation; its answer is checked.

    Raises:
        RuntimeError: It was wrong.
    """
    url = peer.connection.url + PATH
    signed = engine_client.sign(peer.connection, "POST", url, {"Content-Type": "application/octet-stream"}, payload)
    start = time.perf_counter()
    stream.request("POST", PATH, payload, signed)
    answer = stream.getresponse()
    body = answer.read()
    took = time.perf_counter() - start
    if answer.status != 200 or b"".join(body.split()) != b"".join(payload.split()):
        raise RuntimeError(f"HTTP {answer.status}: {body[:200]!r}")
    return took


def load(peer: Peer, connections: int, seconds: float, most: int) -> tuple[list[float], float]:
    """Latencies of a closed loop of threads, and how long it took; these are slow enough for that."""
    latencies: list[float] = []
    errors: list[str] = []
    stop = time.perf_counter() + seconds

    def client() -> None:
        stream = HTTPConnection("127.0.0.1", peer.port, timeout=60)
        try:
            while time.perf_counter() < stop and len(latencies) < most and not errors:
                latencies.append(invoke(peer, stream))
        except (OSError, HTTPException, RuntimeError) as exc:
            errors.append(f"{type(exc).__name__}: {exc}")
        finally:
            stream.close()

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors or not latencies:
        raise RuntimeError(f"{len(latencies)} answers, then: {errors[0] if errors else 'none'}")
    return latencies, time.perf_counter() - start


def ask(bench: Bench, outcome: Outcome, peer: Peer, *, most: int = 2000) -> None:
    """The rows that a warm function gives, under the same keys as ours."""
    seconds = min(_RUN_S, bench.seconds(_RUN_S))
    alone, _ = load(peer, 1, seconds, most)
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        outcome.rows.append(
            Row(f"warm.http.{name}", f"warm invocation over HTTP, {name}", "ms", "lower",
                (milliseconds(alone, part),), samples=len(alone))
        )  # fmt: skip
    client = engine_client.lambda_client(peer.connection)
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(took) < 300:
        start = time.perf_counter()
        client.invoke(FunctionName="echo", Payload=EVENT)["Payload"].read()
        took.append(time.perf_counter() - start)
    client.close()
    outcome.rows.append(
        Row("warm.boto3.p50", "the same through boto3", "ms", "lower", (milliseconds(took, 0.5),), samples=len(took))
    )
    for connections in (8, 32):
        try:
            latencies, wall = load(peer, connections, seconds, most)
        except RuntimeError as exc:
            outcome.missing[f"throughput.{connections}"] = str(exc)[:300]
            continue
        outcome.rows.append(
            Row(f"throughput.{connections}", f"invocations a second, {connections} connections", "1/s", "higher",
                (len(latencies) / wall,), samples=len(latencies))
        )  # fmt: skip
    rss = proc.memory_mib(peer.pid)["rss"]
    outcome.rows.append(Row("footprint.engine.rss", "its own process, RSS", "MiB", "lower", (rss,)))


def cold(outcome: Outcome, took: Sequence[float], note: str) -> None:
    """The row of its cold starts, in seconds."""
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        outcome.rows.append(
            Row(f"cold.empty.{name}", f"cold start, {name}", "ms", "lower", (milliseconds(took, part),),
                samples=len(took), note=note)
        )  # fmt: skip


def once(peer: Peer) -> float:
    """One invocation over a new connection."""
    stream = HTTPConnection("127.0.0.1", peer.port, timeout=120)
    try:
        return invoke(peer, stream)
    except (OSError, HTTPException) as exc:
        raise RuntimeError(f"{type(exc).__name__}: {exc}") from exc
    finally:
        stream.close()


def starts(peer: Peer, count: int, renew: Callable[[int], None]) -> list[float]:
    """Cold starts: ``renew`` makes the next invocation one."""
    took = []
    for number in range(count):
        renew(number)
        took.append(once(peer))
    return took
