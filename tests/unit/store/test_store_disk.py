"""The cap of the state directory: what goes, in which order, and what never does."""

from __future__ import annotations

import os

import pytest

from jupyter_lambda.store import Store
from jupyter_lambda.store.segments import segments

KB = 1024


@pytest.fixture
async def filled(store, make_function, make_event, tmp_path):
    """Functions a and b with a log each, a log of one that was deleted, an event that waits, 3 dead ones."""
    for name in ("a", "b"):
        await store.functions.create(make_function(name))
    for age, name in enumerate(("b", "a", "gone")):
        for part in range(4):
            # Every write closes its segment: the cap of the function's own log is not what is tested.
            store.logs.append(name, "s", f"r{part}", b"x" * 10 * KB + b"\n", 1_000 * part)
            await store.logs.flush()
            store.logs._writer._log(name).close()
        for part, segment in enumerate(segments(tmp_path / "state/logs" / name)):
            for path in (segment.path, segment.index_path):
                os.utime(path, (age * 10 + part, age * 10 + part))
    await store.events.enqueue(make_event("waits", payload=b"w" * 50 * KB))
    for number in range(3):
        await store.events.enqueue(make_event(f"dead{number}", payload=b"d" * 50 * KB))
        await store.events.bury(f"dead{number}", "test")
    return store


def left(store: Store, name: str) -> int:
    return len(segments(store.state_dir / "logs" / name))


async def test_nothing_goes_without_a_cap_or_below_it(filled):
    usage = await filled.disk.fit(0)
    assert usage.logs > 120 * KB
    assert usage.database > 8 * 1024 * KB  # the reserve alone
    assert usage.excess_bytes == 0
    assert await filled.disk.fit(usage.total) == filled.disk.usage
    assert [left(filled, name) for name in ("a", "b", "gone")] == [4, 4, 4]


async def test_logs_of_deleted_functions_go_first_then_the_oldest(filled):
    total = (await filled.disk.fit(0)).total
    for keep, expected in ((total - 15 * KB, [4, 4, 2]), (total - 45 * KB, [4, 3, 0]), (total - 75 * KB, [4, 0, 0])):
        assert await filled.disk._drop_logs(filled.disk._segments(), filled.disk.usage.total - keep) > 0
        assert [left(filled, name) for name in ("a", "b", "gone")] == expected
        await filled.disk.fit(0)
    assert not (filled.state_dir / "logs/gone").exists()


async def test_what_was_accepted_never_goes_and_what_can_not_go_is_told(filled):
    usage = await filled.disk.fit(1)
    assert usage.excess_bytes == usage.total - 1
    assert usage.logs == 0
    assert filled.events.depth() == {"waiting": 1, "leased": 0, "outcome": 0, "dead": 0}
    assert filled.events.get("waits") is not None
    assert filled.functions.count() == 2


async def test_a_function_logs_on_after_its_log_was_dropped(filled):
    filled.logs.append("a", "s", "r", b"before\n", 9_000)
    await filled.logs.flush()
    await filled.disk.fit(1)
    filled.logs.append("a", "s", "r", b"after\n", 10_000)
    await filled.logs.flush()
    assert [line.message for line in filled.logs.read("a")] == ["after"]


async def test_packages_count_with_their_files(store, tmp_path):
    import io
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", b"#" * 100 * KB)
    package = await store.packages.add_zip(data.getvalue())
    assert (await store.disk.fit(0)).packages == package.code_size + 100 * KB
    (tmp_path / "state/packages" / ("0" * 64)).mkdir()  # damaged: not counted, not in the way
    assert (await store.disk.fit(0)).packages == package.code_size + 100 * KB


async def test_functions_with_a_log_are_listed_anew_when_one_is_added(store):
    assert store.logs.functions() == []
    store.logs.append("b", "s", None, b"x\n", 1)
    store.logs.append("a", "s", None, b"x\n", 1)
    await store.logs.flush()
    assert store.logs.functions() == store.logs.functions() == ["a", "b"]
    await store.logs.delete("b")
    assert store.logs.functions() == ["a"]
