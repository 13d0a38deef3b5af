"""Fills a state directory through the store's own code: `python -m benchmarks.seed DIR`."""

from __future__ import annotations

import argparse
import asyncio
import io
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine import ECHO, ROLE, RUNTIME
from jupyter_lambda.model.function import Function, FunctionVersion
from jupyter_lambda.model.invocation import InvocationRecord
from jupyter_lambda.store import Store
from jupyter_lambda.store.ledger import RECORDS_MAX
from jupyter_lambda.store.logwriter import FunctionLog, directory_name

_CHUNK_LINES = 500
_LINE = b"a line of output like any other, with a number that a search may look for: %08d\n"
#: Days over which the records are spread.
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is to be."""

    functions: int = 10
    records: int = 1_000
    log_bytes: int = 10_000_000


def function_name(number: int) -> str:
    """Of one of the functions."""
    return f"seeded-{number:06d}"


async def seed(directory: Path, amount: Amount) -> None:
    """Make it; nothing else may run on the directory."""
    store = await Store.open(directory, records_max=max(amount.records, RECORDS_MAX))
    logs = ProcessPoolExecutor(1)
    try:
        logged = logs.submit(_logs, directory / "logs", amount)
        for start in range(0, amount.functions, 200):
            numbers = range(start, min(start + 200, amount.functions))
            await asyncio.gather(*(_function(store, number) for number in numbers))
        for start in range(0, amount.records, 1_000):
            for number in range(start, min(start + 1_000, amount.records)):
                store.ledger.record(_record(number, amount))
            await store.ledger.flush()
        await asyncio.wrap_future(logged)
    finally:
        await store.close()
        await asyncio.to_thread(logs.shutdown)


async def _function(store: Store, number: int) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("app.py", f"{ECHO}\nNUMBER = {number}\n")
    package = await store.packages.add_zip(data.getvalue())
    fields: dict[str, Any] = {
        "role": ROLE,
        "runtime": RUNTIME,
        "handler": "app.handler",
        "last_modified": "2026-11-23T08:44:39.000+0000",
        "revision_id": f"{number:032x}",
        "code_sha256": package.code_sha256,
        "code_size": package.code_size,
        "memory_mb": 128,
    }
    name = function_name(number)
    await store.functions.create(Function(name, FunctionVersion(name, "$LATEST", **fields)))


def _record(number: int, amount: Amount) -> InvocationRecord:
    age_s = (1 - number / amount.records) * _DAYS * 86_400
    received_s = time.time() - age_s
    failed = number % 100 == 0
    return InvocationRecord(
        request_id=f"{int(received_s * 1000):012x}-{number:020x}",
        function_name=function_name(number * 7 % amount.functions),
        version="$LATEST",
        source="sdk",
        status="error" if failed else "success",
        received_s=received_s,
        started_s=received_s + 0.001,
        queue_ms=1.0,
        init_ms=None,
        run_ms=5.0,
        billed_ms=100,
        memory_mb=128,
        memory_used_mb=40,
        cold=False,
        gb_s=0.0125,
    )


def _logs(directory: Path, amount: Amount) -> None:
    chunk = b"".join(_LINE % number for number in range(_CHUNK_LINES))
    each_bytes = amount.log_bytes // amount.functions
    for number in range(amount.functions):
        written = FunctionLog(directory / directory_name(function_name(number)), 64 * 1024 * 1024)
        begin_ms = int((time.time() - _DAYS * 86_400) * 1000)
        size, part = 0, 0
        while size < each_bytes:
            stamp = begin_ms + part * 60_000
            written.write([("2026/11/23/[$LATEST]0f3c", f"{part:032x}", chunk, stamp, False, stamp)], 0.0, whole=True)
            # As it stands in the file: with time, stream and request id before each line.
            size, part = size + len(chunk) + 72 * _CHUNK_LINES, part + 1
        written.close()


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--functions", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--log-bytes", type=float, default=10e9)
    chosen = parser.parse_args()
    asyncio.run(seed(chosen.directory, Amount(chosen.functions, chosen.records, int(chosen.log_bytes))))


if __name__ == "__main__":
    main()
