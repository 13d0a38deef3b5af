"""What was acknowledged survives SIGKILL at any moment."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from jupyter_lambda.store import Store

KILLS = 25

#: Enqueues, leases, succeeds and records as fast as it can, and prints each id once its promise is given.
CHILD = """
import asyncio, sys, time, uuid
from pathlib import Path
from jupyter_lambda.model.invocation import AsyncEvent, InvocationRecord
from jupyter_lambda.store import Store

def say(word, request_id):
    sys.stdout.write(f"{word} {request_id}\\n")
    sys.stdout.flush()

def record(request_id):
    now = time.time()
    return InvocationRecord(
        request_id, "f", "$LATEST", "async", "success", now, now, 0.0, None, 1.0, 100, 128, None, False
    )

async def produce(store):
    while True:
        request_id = str(uuid.uuid4())
        payload = request_id.encode() * (1 + hash(request_id) % 200)
        await store.events.enqueue(AsyncEvent(request_id, "f", "$LATEST", payload, "sdk", time.time()))
        say("queued", request_id)

async def consume(store):
    while True:
        for event in await store.events.lease(time.time(), 3, 3600):
            say("began", event.request_id)
            await store.events.succeed(event.request_id, record(event.request_id))
            say("done", event.request_id)
        store.logs.append("f", "s", None, b"a line of the log\\n", int(time.time() * 1000))
        await asyncio.sleep(0.002)

async def main():
    store = await Store.open(Path(sys.argv[1]))
    await store.events.reclaim()
    say("open", "-")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(produce(store))
        tasks.create_task(consume(store))

asyncio.run(main())
"""


def run_until_killed(state_dir: Path, seconds: float) -> list[tuple[str, str]]:
    """Start the child, kill it ``seconds`` after it opened the store, and return what it said in whole lines."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(state_dir)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    first = child.stdout.readline()
    assert first == b"open -\n"
    # Read while it runs: a full pipe would stop it.
    deadline = time.monotonic() + seconds
    said = bytearray()
    while time.monotonic() < deadline:
        said += child.stdout.read1(65_536)
    child.kill()
    said += child.stdout.read()
    child.stdout.close()
    child.wait(10)
    return [(word, request_id) for word, request_id in map(str.split, said.decode().splitlines()[:-1])]


async def test_no_acknowledged_event_is_lost(tmp_path: Path):
    chance = random.Random(1)
    queued: set[str] = set()
    began: set[str] = set()
    done: set[str] = set()
    for _ in range(KILLS):
        said = await asyncio.to_thread(run_until_killed, tmp_path, chance.uniform(0.0, 0.15))
        queued |= {request_id for word, request_id in said if word == "queued"}
        began |= {request_id for word, request_id in said if word == "began"}
        done |= {request_id for word, request_id in said if word == "done"}
    store = await Store.open(tmp_path)
    assert store._database.query("PRAGMA integrity_check") == [("ok",)]
    await store.events.reclaim()
    left: dict[str, bytes] = {}
    while events := await store.events.lease(time.time() + 1, 1000, 3600):
        left |= {event.request_id: event.payload for event in events}
    recorded = {row[0] for row in store._database.query("SELECT request_id FROM invocation")}
    assert len(queued) > 100
    assert len(done) > 5
    # Each is either still in the queue, whole, or was removed together with its record; never both, never neither.
    assert queued <= left.keys() | recorded
    assert not left.keys() & recorded
    assert done <= recorded
    assert recorded <= began | queued
    assert all(payload.startswith(request_id.encode()) for request_id, payload in left.items())
    assert store.events.depth()["leased"] == len(left)
    assert store.ledger.stats()[0].invocations == len(recorded)
    assert {line.message for line in store.logs.read("f")} <= {"a line of the log"}
    await store.close()
