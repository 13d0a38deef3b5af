"""Pages of a log in the order of time: each line once, whatever the size of pages and the order of writing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_lambda.store.logsearch import EventQuery, search
from jupyter_lambda.store.logwriter import LogWriter
from jupyter_lambda.store.pattern import Pattern

lines = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40_000), st.integers(0, 30)), min_size=1, max_size=60)


def written(directory: Path, made, cap_bytes: int = 4_000) -> Path:
    writer = LogWriter(directory, 64 * cap_bytes)
    writer._cap_bytes = cap_bytes * 8
    chunks = [(s, None, f"{n}:{'x' * size}\n".encode(), at_ms, False, at_ms) for n, (s, at_ms, size) in enumerate(made)]
    for start in range(0, len(chunks), 7):
        writer.write({"f": chunks[start : start + 7]}, 0.0, whole=True)
    writer.close()
    return directory / "f"


def numbers(page) -> list[int]:
    return [int(event.message.partition(":")[0]) for event in page.events]


def expected(made, keep=lambda s, at_ms: True) -> list[int]:
    return sorted((n for n, (s, at_ms, _) in enumerate(made) if keep(s, at_ms)), key=lambda n: (made[n][1], n))


@settings(max_examples=40)
@given(lines, st.integers(1, 7), st.booleans())
def test_pages_hold_every_line_once_and_in_order(made, size, oldest_first):
    with TemporaryDirectory() as folder:
        directory = written(Path(folder), made, 200)
        found, edge = [], None
        for _ in range(len(made) + 1):
            query = EventQuery(
                after=edge if oldest_first else None,
                before=None if oldest_first else edge,
                oldest_first=oldest_first,
                limit=size,
            )
            page = search(directory, query)
            found = found + numbers(page) if oldest_first else numbers(page) + found
            if not page.more:
                break
            edge = page.events[-1 if oldest_first else 0].position
        assert [made[n][1] for n in found] == sorted(made[n][1] for n in found)
        assert sorted(found) == list(range(len(made)))


@settings(max_examples=40)
@given(lines, st.integers(0, 40_000), st.integers(0, 40_000), st.sampled_from(["a", "b", None]))
def test_time_and_stream(made, since_ms, until_ms, stream):
    with TemporaryDirectory() as folder:
        streams = None if stream is None else frozenset((stream.encode(),))
        page = search(written(Path(folder), made), EventQuery(since_ms=since_ms, until_ms=until_ms, streams=streams))
    wanted = expected(made, lambda s, at_ms: since_ms <= at_ms <= until_ms and stream in (None, s))
    assert sorted(numbers(page)) == sorted(wanted)
    assert not page.more


@settings(max_examples=40)
@given(lines, st.integers(1, 300))
def test_a_page_has_so_many_bytes_or_one_line(made, size_bytes):
    with TemporaryDirectory() as folder:
        page = search(written(Path(folder), made), EventQuery(size_bytes=size_bytes))
    held = sum(len(event.message) + 26 for event in page.events)
    assert len(page.events) == 1 or held <= size_bytes
    assert page.more is (len(page.events) < len(made))


def test_prefix_pattern_and_nothing(tmp_path):
    directory = written(tmp_path, [("ab", 1, 0), ("ac", 2, 0), ("b", 3, 0)])
    assert len(search(directory, EventQuery(stream_prefix=b"a")).events) == 2
    assert numbers(search(directory, EventQuery(pattern=Pattern.parse('"2:"')))) == [2]
    assert search(tmp_path / "nobody", EventQuery()).events == []
