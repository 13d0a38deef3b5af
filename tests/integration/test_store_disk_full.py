"""A file system that is really full: nothing acknowledged is lost, acknowledgements and deletes go on."""

from __future__ import annotations

import io
import os
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_lambda.errors import StoreError
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.store import Store, ballast

#: MiB of the file system.
SIZE_MIB = 48


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=755", "jupyter-lambda-test", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, timeout=10, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def event(number: int) -> AsyncEvent:
    return AsyncEvent(f"e{number}", "f", "$LATEST", os.urandom(200_000), "sdk", time.time())


async def enqueue_until_refused(store: Store) -> int:
    """How many events were accepted before the disk was full."""
    for number in range(1000):
        try:
            await store.events.enqueue(event(1000 + number))
        except StoreError:
            return number
    pytest.fail("the disk never became full")


async def test_life_on_a_full_disk(small_disk: Path, monkeypatch):
    monkeypatch.setattr(ballast, "RESTORE_INTERVAL_S", 0.0)
    store = await Store.open(small_disk / "state")
    assert (small_disk / "state" / "ballast").stat().st_size == ballast.BALLAST_BYTES
    accepted = await enqueue_until_refused(store)
    assert accepted > 10
    fill(small_disk / "filler")
    with pytest.raises(StoreError, match="disk full"):
        await store.events.enqueue(event(5000))
    # Reads, logs and packages bear it.
    assert store.events.depth()["waiting"] == accepted
    store.logs.append("f", "s", "r", b"x" * 100_000 + b"\n", 1)
    await store.logs.flush()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("big", os.urandom(500_000))
    with pytest.raises(StoreError, match="No space left"):
        await store.packages.add_zip(packed.getvalue())
    assert [path.name for path in (small_disk / "state" / "packages").rglob("*")] == [".under-way"]
    await store.close()


async def test_acknowledgements_go_on(small_disk: Path):
    store = await Store.open(small_disk / "state")
    for number in range(20):
        await store.events.enqueue(event(number))
    leased = await store.events.lease(time.time(), 20, 60)
    assert len(leased) == 20
    fill(small_disk / "filler")
    # The write-ahead log has room of its own for a while: use that up, so that the disk is felt.
    await enqueue_until_refused(store)
    assert not (small_disk / "state" / "ballast").exists()
    for one in leased:
        await store.events.succeed(one.request_id, None)
    assert not {one.request_id for one in leased} & {
        row[0] for row in store._database.query("SELECT request_id FROM event")
    }
    await store.close()
    # Closing gave room back: the write-ahead log's.
    fill(small_disk / "filler too")
    # And a start on a full disk works too, for what needs no space.
    store = await Store.open(small_disk / "state")
    with pytest.raises(StoreError, match="disk full"):
        await store.events.enqueue(event(300))
    (small_disk / "filler").unlink()
    (small_disk / "filler too").unlink()
    deadline = time.monotonic() + 10
    while True:
        try:
            await store.events.enqueue(event(301))
        except StoreError:
            assert time.monotonic() < deadline
        else:
            break
    assert (small_disk / "state" / "ballast").exists()
    await store.close()
