"""Logs: lines, files, index, search, rotation, floods, full disks."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jupyter_lambda.errors import ValidationException
from jupyter_lambda.store import logwriter
from jupyter_lambda.store.logs import LogLine, Logs
from jupyter_lambda.store.logwriter import directory_name
from jupyter_lambda.store.segments import Run, Segment, merge, segments

STREAM = "2026/11/23/[$LATEST]0f3c9a6b"
OTHER = "2026/11/23/[7]ffff0000"
NOW_MS = 1_763_887_479_000


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[Logs]:
    opened = Logs(tmp_path / "logs")
    yield opened
    await opened.close()


def messages(logs: Logs, function_name: str = "f", **query) -> list[str]:
    return [line.message for line in logs.read(function_name, **query)]


async def test_lines_come_back_with_all_they_had(logs: Logs):
    logs.append("f", STREAM, "r1", b"START\nhello world\n", NOW_MS)
    logs.append("f", OTHER, None, b"init\n", NOW_MS + 1)
    logs.append("f", STREAM, "r1", "ü\r\n\n tail".encode(), NOW_MS + 2)
    assert logs.read("f") == []
    await logs.flush()
    assert logs.read("f") == [
        LogLine(NOW_MS, STREAM, "r1", "START"),
        LogLine(NOW_MS, STREAM, "r1", "hello world"),
        LogLine(NOW_MS + 1, OTHER, None, "init"),
        LogLine(NOW_MS + 2, STREAM, "r1", "ü"),
        LogLine(NOW_MS + 2, STREAM, "r1", ""),
        LogLine(NOW_MS + 2, STREAM, "r1", " tail"),
    ]
    assert logs.read("g") == []


async def test_file_can_be_searched_with_grep(logs: Logs, tmp_path: Path):
    logs.append("f", STREAM, "r1", b"hello\n", NOW_MS)
    await logs.flush()
    (segment,) = segments(tmp_path / "logs" / "f")
    assert segment.path.read_text() == f"{NOW_MS} {STREAM} r1 hello\n"


async def test_written_by_itself_within_a_moment(logs: Logs):
    logs.append("f", STREAM, "r1", b"whole\nprogress: 10%", NOW_MS)
    async with asyncio.timeout(10):
        while messages(logs) != ["whole"]:
            await asyncio.sleep(0.01)
        while messages(logs) != ["whole", "progress: 10%"]:  # a line's beginning, half a second later
            await asyncio.sleep(0.01)
    assert messages(logs) == ["whole", "progress: 10%"]


async def test_lines_in_pieces(logs: Logs):
    logs.append("f", STREAM, "r1", b"one ", NOW_MS)
    logs.append("f", OTHER, "r2", b"else\n", NOW_MS)
    logs.append("f", STREAM, "r1", b"line", NOW_MS + 5)
    logs.append("f", STREAM, "r1", b"\nnext", NOW_MS + 6)
    logs.append("f", STREAM, "r3", b"another request\n", NOW_MS + 7)
    logs.append("f", STREAM, "r3", b"no end", NOW_MS + 8)
    logs.append("f", STREAM, "r3", b"END RequestId: r3\n", NOW_MS + 8, platform=True)
    await logs.flush()
    assert messages(logs, stream=STREAM) == [
        "one line",
        "next",
        "another request",
        "no end",
        "END RequestId: r3",
    ]
    assert logs.read("f", request_id="r1")[0].timestamp_ms == NOW_MS


async def test_endless_line_is_cut(logs: Logs, monkeypatch):
    monkeypatch.setattr(logwriter, "LINE_MAX_BYTES", 10)
    logs.append("f", STREAM, "r1", b"a" * 25, NOW_MS)
    logs.append("f", STREAM, "r1", b"b" * 12 + b"\n", NOW_MS)
    await logs.flush()
    assert messages(logs) == ["a" * 10, "a" * 10, "aaaaabbbbb", "b" * 7]


async def test_any_bytes_and_any_names(logs: Logs, tmp_path: Path):
    stream, request_id = "../../x y\n\t%ü/\0", "r 1\n"
    for name in ("../../etc", "..", "a/b", "", "n" * 500, "UPPER_lower-1"):
        logs.append(name, stream, request_id, b"\xff\0\x1b[31m red\n", NOW_MS)
        await logs.flush()
        assert logs.read(name, request_id=request_id, stream=stream) == [
            LogLine(NOW_MS, stream, request_id, "\ufffd\0\x1b[31m red")
        ]
        assert [s.name for s in logs.streams(name)] == [stream]
    found = [(place, names) for place, _, names in os.walk(tmp_path) if names]
    assert len(found) == 6
    assert all(Path(place).parent == tmp_path / "logs" and len(names) == 2 for place, names in found)
    assert directory_name("UPPER_lower-1") == "UPPER_lower-1"


async def test_search(logs: Logs):
    for number in range(10):
        request_id, stream = f"r{number // 2}", (STREAM, OTHER)[number % 2]
        logs.append("f", stream, request_id, f"n={number} {'ERROR' if number % 3 == 0 else 'ok'}\n".encode(), number)
    await logs.flush()
    assert messages(logs, request_id="r1") == ["n=2 ok", "n=3 ERROR"]
    assert messages(logs, request_id="r") == []
    assert messages(logs, request_id="r1", stream=OTHER) == ["n=3 ERROR"]
    assert messages(logs, since_ms=7, until_ms=8) == ["n=7 ok", "n=8 ok"]
    assert messages(logs, pattern="ERROR", limit=2) == ["n=6 ERROR", "n=9 ERROR"]
    assert messages(logs, limit=3) == ["n=7 ok", "n=8 ok", "n=9 ERROR"]
    assert messages(logs, pattern="ERROR -n=9", since_ms=5) == ["n=6 ERROR"]
    assert [(s.name, s.first_ms, s.last_ms) for s in logs.streams("f")] == [(OTHER, 1, 9), (STREAM, 0, 8)]
    with pytest.raises(ValidationException):
        logs.read("f", pattern='"open')


async def test_rotation_and_cap(tmp_path: Path):
    logs = Logs(tmp_path, cap_bytes=80_000)
    for number in range(3000):
        logs.append("f", STREAM, f"r{number}", b"x" * 50 + b"\n", NOW_MS + number)
        if number % 100 == 0:
            await logs.flush()
    await logs.flush()
    files = segments(tmp_path / "f")
    total = sum(f.stat().st_size for f in (tmp_path / "f").iterdir())
    assert len(files) >= 4
    assert 40_000 < total <= 80_000 + 10_000
    assert all(f.path.stat().st_size <= 10_000 for f in files)
    assert [f.index_path.exists() for f in files] == [True] * len(files)
    lines = logs.read("f")
    assert [line.request_id for line in lines] == [f"r{n}" for n in range(3000 - len(lines), 3000)]
    assert messages(logs, request_id="r0") == []
    for number in (2999, 2850):
        assert len(logs.read("f", request_id=f"r{number}")) == 1
    assert len(logs.read("f", since_ms=NOW_MS + 2990)) == 10
    await logs.close()


async def test_a_request_over_many_segments(tmp_path: Path):
    logs = Logs(tmp_path, cap_bytes=80_000)
    for number in range(400):
        logs.append("f", STREAM, ("long", f"r{number}")[number % 2], f"{number:0100}\n".encode(), NOW_MS + number)
    await logs.flush()
    assert len(segments(tmp_path / "f")) > 4
    assert [int(m) for m in messages(logs, request_id="long")] == list(range(0, 400, 2))
    await logs.close()


async def test_restart_goes_on_in_a_new_segment_and_counts_the_old(tmp_path: Path):
    for start in range(5):
        logs = Logs(tmp_path, cap_bytes=8_000)
        logs.append("f", STREAM, f"r{start}", b"x" * 900 + b"\n", NOW_MS - start)  # the clock may go backwards
        await logs.close()
    reader = Logs(tmp_path)
    assert [s.first_ms for s in segments(tmp_path / "f")] == [NOW_MS] * 5
    assert {line.request_id for line in reader.read("f")} == {f"r{n}" for n in range(5)}
    await reader.close()


@pytest.mark.parametrize("damage", ["missing index", "short index", "torn index", "torn line", "garbage"])
async def test_what_a_crash_leaves_is_readable(tmp_path: Path, damage: str):
    logs = Logs(tmp_path)
    for number in range(5):
        logs.append("f", STREAM, f"r{number}", f"line {number}\n".encode(), NOW_MS + number)
        await logs.flush()
    await logs.close()
    (segment,) = segments(tmp_path / "f")
    index = segment.index_path.read_bytes()
    if damage == "missing index":
        segment.index_path.unlink()
    elif damage == "short index":
        segment.index_path.write_bytes(b"".join(index.splitlines(keepends=True)[:2]))
    elif damage == "torn index":
        segment.index_path.write_bytes(index[:-10])
    elif damage == "torn line":
        with segment.path.open("ab") as file:
            file.write(b"17638874")
    else:
        with segment.path.open("ab") as file:
            file.write(b"\0\0\0\0\n\n")
    again = Logs(tmp_path)
    again.append("f", STREAM, "new", b"after\n", NOW_MS + 100)
    await again.flush()
    assert messages(again) == [*(f"line {n}" for n in range(5)), "after"]
    for number in range(5):
        assert messages(again, request_id=f"r{number}") == [f"line {number}"]
    assert messages(again, stream=STREAM)[-1] == "after"
    await again.close()


async def test_flood_is_dropped_with_one_line(tmp_path: Path):
    logs = Logs(tmp_path, rate_bytes_s=1024 * 1024, burst_bytes=10_000)
    logs.append("f", STREAM, "r1", b"START\n", NOW_MS, platform=True)
    for _ in range(1000):
        logs.append("f", STREAM, "r1", b"y" * 999 + b"\n", NOW_MS)
    logs.append("f", STREAM, "r1", b"END\n", NOW_MS, platform=True)
    logs.append("g", STREAM, "r2", b"not my flood\n", NOW_MS)
    await logs.flush()
    found = messages(logs)
    assert len(found) == 13
    assert (found[0], found[11]) == ("START", "END")
    assert found[12] == "[jupyter_lambda] 990,000 bytes of output dropped: the function logs more than 1 MiB/s"
    assert messages(logs, "g") == ["not my flood"]
    await logs.close()


async def test_flood_is_told_of_when_it_is_over_though_nobody_flushes(tmp_path: Path):
    logs = Logs(tmp_path, rate_bytes_s=1, burst_bytes=10)
    logs.append("f", STREAM, "r1", b"z" * 100, NOW_MS)
    async with asyncio.timeout(10):
        while not messages(logs):
            await asyncio.sleep(0.01)
    assert messages(logs) == ["[jupyter_lambda] 100 bytes of output dropped: the function logs more than 0 MiB/s"]
    await logs.close()


async def test_budget_comes_back(tmp_path: Path):
    logs = Logs(tmp_path, rate_bytes_s=1e9, burst_bytes=100)
    for _ in range(3):
        logs.append("f", STREAM, "r", b"w" * 99 + b"\n", NOW_MS)
        logs.append("f", STREAM, "r", b"too much\n", NOW_MS)
        await logs.flush()
        await asyncio.sleep(0.001)
    assert [m[0] for m in messages(logs)] == ["w", "["] * 3
    await logs.close()


async def test_full_disk_drops_and_says_so(logs: Logs, tmp_path: Path, monkeypatch):
    logs.append("f", STREAM, "r1", b"before\n", NOW_MS)
    await logs.flush()
    real_write = os.write
    full = True

    def write(descriptor: int, data: bytes) -> int:
        if full and "/logs/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            if len(data) > 4:
                return real_write(descriptor, data[:4])  # half a line gets through
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    for _ in range(3):
        logs.append("f", STREAM, "r2", b"lost\n", NOW_MS + 1)
        await logs.flush()
    full = False
    logs.append("f", STREAM, "r3", b"after\n", NOW_MS + 2)
    await logs.flush()
    assert messages(logs) == [
        "before",
        "[jupyter_lambda] 3 lines of the log could not be written: No space left on device",
        "after",
    ]


async def test_index_that_cannot_be_written(logs: Logs, monkeypatch):
    real = logwriter.write_all
    monkeypatch.setattr(
        logwriter,
        "write_all",
        lambda fd, data: (
            (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")) if data.startswith(b"r1 ") else real(fd, data)
        ),
    )
    logs.append("f", STREAM, "r1", b"one\n", NOW_MS)
    await logs.flush()
    logs.append("f", STREAM, "r2", b"two\n", NOW_MS)
    await logs.flush()
    assert messages(logs, request_id="r1") == ["one"]
    assert messages(logs, request_id="r2") == ["two"]


async def test_unwritable_directory_never_raises(tmp_path: Path):
    (tmp_path / "logs").write_text("in the way")
    logs = Logs(tmp_path / "logs")
    logs.append("f", STREAM, "r1", b"x\n", NOW_MS)
    await logs.flush()
    await logs.delete("f")
    await logs.close()


async def test_slow_disk_bounds_what_waits(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("jupyter_lambda.store.logs.WAITING_MAX_BYTES", 1000)
    logs = Logs(tmp_path)
    for _ in range(50):
        logs.append("f", STREAM, "r1", b"v" * 99 + b"\n", NOW_MS)
    assert logs._waiting_bytes <= 1100
    await logs.flush()
    assert "bytes of output dropped" in messages(logs)[-1]
    await logs.close()


async def test_delete(logs: Logs, tmp_path: Path):
    for name in ("f", "g"):
        logs.append(name, STREAM, "r1", b"x\nrest", NOW_MS)
    await logs.flush()
    logs.append("f", STREAM, "r1", b"unwritten", NOW_MS)
    logs.delete("f")
    await logs.delete("unknown")
    assert logs.read("f") == []
    assert not (tmp_path / "logs" / "f").exists()
    assert messages(logs, "g") == ["x", "rest"]
    logs.append("f", STREAM, "r2", b"again\n", NOW_MS)
    await logs.flush()
    assert messages(logs) == ["again"]


async def test_after_close(tmp_path: Path):
    logs = Logs(tmp_path)
    await logs.close()
    await logs.close()
    logs.append("f", STREAM, "r", b"late\n", NOW_MS)
    await logs.flush()
    await logs.delete("f")
    assert logs.read("f") == []


async def test_many_functions_keep_few_files_open(logs: Logs):
    for turn in range(2):
        for number in range(200):
            logs.append(f"f{number}", STREAM, "r", f"{turn}\n".encode(), NOW_MS + turn)
        await logs.flush()
    assert sum(log._descriptors is not None for log in logs._writer._logs.values()) <= logwriter.OPEN_MAX
    assert all(messages(logs, f"f{n}") == ["0", "1"] for n in range(200))


async def test_reading_while_rotating(tmp_path: Path):
    """A reader in another thread meets every moment of the writer's life, and never an error."""
    logs = Logs(tmp_path, cap_bytes=16_000)
    done = False

    def read() -> int:
        count = 0
        while not done:
            logs.read("f", request_id="r5")
            logs.read("f", limit=50)
            logs.streams("f")
            count += 1
        return count

    reading = asyncio.create_task(asyncio.to_thread(read))
    for number in range(4000):
        logs.append("f", STREAM, f"r{number % 7}", b"u" * 80 + b"\n", NOW_MS + number)
        if number % 20 == 0:
            await logs.flush()
    done = True
    assert await reading > 0
    await logs.close()


def test_lines_from_the_end_over_block_borders(tmp_path: Path, monkeypatch):
    path = tmp_path / "0000000000001-0000.log"
    lines = [f"line {n} {'x' * (n % 13)}".encode() for n in range(100)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    for block in (1, 2, 7, 16, 1000, 10_000):
        monkeypatch.setattr("jupyter_lambda.store.segments._BLOCK_BYTES", block)
        assert list(Segment(path).lines([(0, path.stat().st_size)])) == lines[::-1]
    middle = len(b"\n".join(lines[:50])) + 1
    assert list(Segment(path).lines([(0, len(lines[0]) + 1), (middle, path.stat().st_size)])) == [
        *lines[:49:-1],
        lines[0],
    ]


def test_ranges_are_joined():
    def run(start: int, end: int) -> Run:
        return Run(b"r", b"s", 0, 0, start, end)

    assert merge([run(50, 60), run(0, 10), run(5, 20), run(20, 30)]) == [(0, 30), (50, 60)]
    assert merge([]) == []
    assert Run.decode(b"r s 1 2 3") is None
    assert Run.decode(b"r s 1 2 3 x") is None


async def test_start_is_written_with_what_follows_at_its_own_time(logs):
    logs.begin("f", STREAM, "r1", b"START r1\n", NOW_MS)
    logs.begin("f", OTHER, "r2", b"START r2\n", NOW_MS + 1)
    logs.append("f", OTHER, "r2", b"printed\n", NOW_MS + 2)
    logs.end("f", STREAM, "r1", b"END r1\nREPORT r1\n", NOW_MS + 3)
    logs.end("f", OTHER, "r2", b"END r2\n", NOW_MS + 4)
    logs.begin("f", STREAM, "r3", b"START r3\n", NOW_MS + 5)
    await logs.flush()
    found = [(line.timestamp_ms - NOW_MS, line.stream, line.message) for line in logs.read("f")]
    assert found == [
        (0, STREAM, "START r1"),
        (1, OTHER, "START r2"),
        (2, OTHER, "printed"),
        (3, STREAM, "END r1"),
        (3, STREAM, "REPORT r1"),
        (4, OTHER, "END r2"),
        (5, STREAM, "START r3"),
    ], "a START whose invocation goes on is not kept back"
    assert [line.message for line in logs.read("f", request_id="r1", until_ms=NOW_MS + 1)] == ["START r1"]
    logs.end("f", STREAM, "r3", b"END r3\n", NOW_MS + 6)
    await logs.flush()
    assert [line.message for line in logs.read("f", request_id="r3")] == ["START r3", "END r3"]


async def test_a_start_goes_with_its_functions_log(logs):
    logs.begin("f", STREAM, "r1", b"START r1\n", NOW_MS)
    await logs.delete("f")
    await logs.flush()
    assert logs.read("f") == []


async def test_the_lines_of_one_piece_are_divided_between_segments(tmp_path):
    logs = Logs(tmp_path, clock=lambda: NOW_MS / 1000, cap_bytes=8 * 120)
    for number in range(3):
        logs.begin("f", STREAM, f"r{number}", b"START\n", NOW_MS)
        logs.end("f", STREAM, f"r{number}", b"END\nREPORT\n", NOW_MS + 7)
    await logs.flush()
    assert [line.message for line in logs.read("f")] == ["START"] * 3 + ["END", "REPORT"] * 3
    assert max(path.stat().st_size for path in tmp_path.glob("f/*.log")) <= 120
    assert [line.timestamp_ms for line in logs.read("f", request_id="r1")] == [NOW_MS, NOW_MS + 7, NOW_MS + 7]
    await logs.close()
