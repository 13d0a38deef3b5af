"""Nothing accepted is lost: the engine is killed with SIGKILL again and again while invocations pour in."""

from __future__ import annotations

import json
import os
import random
import threading
import time
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from jupyter_lambda.client import Admin, lambda_client
from jupyter_lambda.connection import Connection

from .engine import ROLE, RUNTIME, Engine, package

CODE = "def handler(event, context):\n    return {'n': event['n']}\n"


class Callers:
    """Threads that invoke asynchronously until ``total`` events are acknowledged; they remember each 202."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.connection: Connection | None = None
        self.accepted: dict[str, int] = {}
        self.refused = 0
        self._lock = threading.Lock()
        self._next = iter(range(10**9))
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(4)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _call(self) -> None:
        client, known = None, None
        while True:
            with self._lock:
                if len(self.accepted) >= self.total:
                    return
                n = next(self._next)
            if self.connection is None:
                time.sleep(0.02)
                continue
            if known is not self.connection:
                known = self.connection
                client = lambda_client(known)
            assert client is not None
            try:
                answer = client.invoke(
                    FunctionName="f", InvocationType="Event", Payload=json.dumps({"n": n, "id": str(uuid.uuid4())})
                )
            except (BotoCoreError, ClientError, OSError):
                # No 202: the caller knows nothing of what became of it, and may try again.
                with self._lock:
                    self.refused += 1
                time.sleep(0.02)
                continue
            assert answer["StatusCode"] == 202
            with self._lock:
                self.accepted[answer["ResponseMetadata"]["RequestId"]] = n


def account(connection: Connection, accepted: dict[str, int], timeout_s: float) -> dict[str, int]:
    """Wait until the queue is empty; how many of the accepted events ended how."""
    admin = Admin(connection)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        depth = admin.events()["depth"]
        if not sum(count for state, count in depth.items() if state != "dead"):
            break
        time.sleep(0.1)
    time.sleep(0.2)  # the ledger's last group commit
    ends: dict[str, int] = {}
    for request_id in accepted:
        status = admin.invocation(request_id)["status"]
        ends[status] = ends.get(status, 0) + 1
    return ends


def create(connection: Connection) -> None:
    client = lambda_client(connection)
    client.create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code={"ZipFile": package(CODE)}
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("driver", "kills", "total"),
    [("process", 20, 2000), pytest.param("docker", 3, 200, marks=pytest.mark.docker)],
)
def test_sigkill_loses_nothing(tmp_path, engines, driver, kills, total, record_property):
    state_dir = tmp_path / "state"
    engine = Engine(state_dir, driver, "--LambdaEngine.event_concurrency=4")
    engines.append(engine)
    callers = Callers(total)
    connection = engine.start()
    create(connection)
    callers.connection = connection
    callers.start()
    seed = random.randrange(10**6)
    record_property("seed", seed)
    chance = random.Random(seed)
    for kill in range(1, kills + 1):
        # Spread over the whole run: each kill waits for its share of acknowledgements, then strikes at random.
        share = total * kill // (kills + 1)
        deadline = time.monotonic() + 60
        while len(callers.accepted) < share and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        engine.kill()
        callers.connection = connection = engine.start()
    callers.join()
    ends = account(connection, callers.accepted, 120)
    print(  # noqa: T201 - the account is what this test is for
        f"\n{driver}: {len(callers.accepted)} accepted, {callers.refused} refused, {kills} kills (seed {seed}): {ends}"
    )
    assert len(callers.accepted) >= total
    assert ends == {"success": len(callers.accepted)}
    assert engine.stop() == 0
    assert_nothing_left(state_dir)


def assert_nothing_left(state_dir: Path) -> None:
    """No container, mount, socket or process of this state directory."""
    assert not list((state_dir / "sandboxes").glob("*"))
    assert str(state_dir) not in Path("/proc/self/mounts").read_text()
    own = str(state_dir).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert own not in command, command
