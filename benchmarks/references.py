"""What any such product would have to pay: a container, a process, a commit. Measured beside ours in the same run."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import sqlite3
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from benchmarks.engine import docker_api

_IMAGE = "jupyter-lambda-bench-empty"
#: exit(0) in machine code, and the number of the machine in an ELF header.
_PROGRAMS = {
    "x86_64": (0x3E, "b83c00000031ff0f05"),  # mov eax, 60; xor edi, edi; syscall
    "aarch64": (0xB7, "a80b80d2000080d2010000d4"),  # mov x8, 93; mov x0, 0; svc 0
}


def fork_s() -> float:
    """A bare fork of a small process, until its child has ended; from a helper, for this process is not small."""
    code = (
        "import os,time\nt=time.perf_counter()\np=os.fork()\nif not p: os._exit(0)\nos.waitpid(p,0)\n"
        "print(time.perf_counter()-t)"
    )
    return float(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True).stdout)


def interpreter_s(code: str = "pass", count: int = 1) -> float:
    """fork and exec of the interpreter that runs a line and ends, so many at once."""
    start = time.perf_counter()
    children = [subprocess.Popen([sys.executable, "-I", "-c", code]) for _ in range(count)]
    for child in children:
        child.wait()
    return time.perf_counter() - start


def exit_program() -> bytes:
    """The smallest program there is, so that nothing but Docker is measured: an ELF file that ends at once."""
    number, text = _PROGRAMS[platform.machine()]
    code = bytes.fromhex(text)
    base, start = 0x400000, 64 + 56
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, number, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = start + len(code)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


@contextlib.contextmanager
def empty_image() -> Iterator[str]:
    """An image that holds one program, which ends at once."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        program = exit_program()
        entry = tarfile.TarInfo("exit")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    with docker_api() as api:
        api.import_image_from_data(data.getvalue(), repository=_IMAGE, tag="1")
        try:
            yield f"{_IMAGE}:1"
        finally:
            api.remove_image(f"{_IMAGE}:1", force=True)


def docker_run_s(api: docker.APIClient, image: str, *, network: str = "none") -> float:
    """Create a container, start it and wait until it has ended; removing it does not count."""
    start = time.perf_counter()
    container = api.create_container(image, ["/exit"], host_config=api.create_host_config(network_mode=network))
    try:
        api.start(container)
        code = api.wait(container)["StatusCode"]
        took = time.perf_counter() - start
    finally:
        api.remove_container(container, force=True)
    if code:
        raise RuntimeError(f"the empty container ended with {code}")
    return took


def docker_burst_s(image: str, count: int, at_once: int = 4) -> float:
    """So many of them, a few at once; removing counts, for it can't be put off."""
    from concurrent.futures import ThreadPoolExecutor

    with docker_api() as api, ThreadPoolExecutor(at_once) as threads:
        start = time.perf_counter()
        list(threads.map(lambda _: docker_run_s(api, image), range(count)))
        return time.perf_counter() - start


def commits_per_s(directory: Path, seconds: float) -> float:
    """Rows a second in SQLite with a commit for each, WAL and synchronous=FULL as the engine's queue has them."""
    path = directory / "reference.sqlite"
    payload = os.urandom(200)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, payload BLOB)")
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            database.execute("INSERT INTO event (payload) VALUES (?)", (payload,))
            count += 1
        took = time.perf_counter() - start
    path.unlink()
    return count / took
