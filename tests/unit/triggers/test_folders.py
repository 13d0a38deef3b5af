"""Watched folders: which names count, what is told of, when; and the task that does it, with a store on disk."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException
from jupyter_lambda.http1 import Request
from jupyter_lambda.model.folder import File
from jupyter_lambda.store import Store
from jupyter_lambda.triggers.folders import files, follow
from jupyter_lambda.triggers.folders.changes import Changes
from jupyter_lambda.triggers.folders.host import Folders
from jupyter_lambda.triggers.folders.scan import Look, Pattern, look, open_beneath
from jupyter_lambda.triggers.folders.telling import file_path
from jupyter_lambda.triggers.folders.watching import Watching


@pytest.mark.parametrize(
    ("pattern", "takes", "leaves"),
    [
        ("*", ["a", "a.csv"], ["in/a", ".hidden", "a~", "a.tmp", "a.csv.part", "~$a.xlsx", "#a#", "4913"]),
        ("*.csv", ["a.csv", "b c.csv"], ["a.CSV", "a.csv.tmp", "in/a.csv", ".a.csv"]),
        ("in/*.csv", ["in/a.csv"], ["a.csv", "in/b/a.csv"]),
        ("**/*.csv", ["a.csv", "in/a.csv", "in/b/a.csv"], ["a.txt", ".git/a.csv", "in/.x/a.csv"]),
        ("**", ["a", "in/b/c"], [".git/x"]),
        ("in/**/a?.txt", ["in/a1.txt", "in/x/y/a2.txt"], ["in/a.txt", "a1.txt"]),
        ("[ab]*.log", ["a.log", "bb.log"], ["c.log"]),
        ("*.tmp", ["a.tmp"], ["a.txt", ".a.tmp"]),
        (".env*", [".env", ".env.local"], ["env"]),
    ],
)
def test_patterns(pattern, takes, leaves):
    read = Pattern(pattern)
    assert [name for name in takes if not read.matches(name)] == []
    assert [name for name in leaves if read.matches(name)] == []


def test_patterns_descend_only_where_they_can_match():
    assert [n for n in ("in", "in/b", "out") if Pattern("in/*.csv").descends(n)] == ["in"]
    assert [n for n in ("in", "in/b", ".git") if Pattern("**/*.csv").descends(n)] == ["in", "in/b"]
    assert not Pattern("*.csv").descends("in")


@pytest.mark.parametrize("pattern", ["", "../*.csv", "a/../b", "/etc/*", "a//b", "a\0b", "."])
def test_patterns_that_leave_the_folder_are_refused(pattern):
    with pytest.raises(InvalidParameterValueException):
        Pattern(pattern)


def found(**states: tuple[int, int]) -> Look:
    """name=(size, modified)."""
    look = Look()
    for name, (size, modified_s) in states.items():
        look.files[name] = File(size, modified_s * 10**9, 1)
        look.touched_s[name] = modified_s
    return look


def due(changes: Changes, now_s: float) -> list[tuple[str, str]]:
    told = list(changes.due(now_s))
    for change in told:
        changes.tell(change.name, None if change.type == "deleted" else change.file)
    return [(change.type, change.name) for change in told]


def test_a_file_is_told_of_once_it_rests():
    changes = Changes({}, 2.0)
    changes.look(found(a=(1, 1000)), 50.0, 1000.5)
    assert due(changes, 50.5) == []
    assert changes.next_s() == pytest.approx(51.5)
    changes.look(found(a=(5, 1001)), 51.0, 1001.5)  # written on
    assert due(changes, 51.6) == []
    assert due(changes, 52.6) == [("created", "a")]
    changes.look(found(a=(5, 1001)), 60.0, 1010.0)
    assert due(changes, 70.0) == []
    assert changes.next_s() is None


def test_what_rested_before_it_was_found_is_told_of_at_once():
    changes = Changes({}, 2.0)
    changes.look(found(old=(1, 500)), 50.0, 1000.0)
    assert due(changes, 50.0) == [("created", "old")]


def test_a_time_in_the_future_counts_from_when_it_was_seen():
    changes = Changes({}, 2.0)
    changes.look(found(a=(1, 9000)), 50.0, 1000.0)
    assert due(changes, 51.9) == []
    assert due(changes, 52.0) == [("created", "a")]


def test_an_atomic_replacement_is_one_change_and_no_deletion():
    changes = Changes({"a": File(1, 1, 1)}, 1.0)
    changes.look(found(), 50.0, 1000.0)
    changes.look(found(a=(2, 1000)), 50.5, 1000.5)
    assert due(changes, 60.0) == [("modified", "a")]


def test_what_goes_away_is_told_of_after_a_while():
    changes = Changes({"a": File(1, 1, 1)}, 1.0)
    changes.look(found(), 50.0, 1000.0)
    assert due(changes, 50.5) == []
    assert due(changes, 51.0) == [("deleted", "a")]
    assert changes.told == {}


def test_what_cannot_be_read_is_not_gone():
    changes = Changes({"in/a": File(1, 1, 1), "b": File(1, 1, 1)}, 0.0)
    looked = found()
    looked.unread.append("in")
    changes.look(looked, 50.0, 1000.0)
    assert due(changes, 50.0) == [("deleted", "b")]


def test_a_file_that_came_and_went_is_forgotten():
    changes = Changes({}, 1.0)
    changes.look(found(a=(1, 1000)), 50.0, 1000.0)
    changes.look(found(), 50.1, 1000.1)
    assert due(changes, 60.0) == []
    assert changes.restless() == []


def test_looking_leaves_links_and_pipes_and_the_engines_state(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "state").mkdir()
    for name in ("a.txt", "in/b.txt", "state/c.txt"):
        (tmp_path / name).write_text("x")
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("secret")
    (tmp_path / "link.txt").symlink_to(outside)
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    state = (tmp_path / "state").stat()
    seen = look(str(tmp_path), Pattern("**/*.txt"), beside=(state.st_dev, state.st_ino))
    assert sorted(seen.files) == ["a.txt", "in/b.txt"]
    for name in ("link.txt", "loop/a.txt", "pipe.txt", "../outside.txt", "in", "missing"):
        with pytest.raises(OSError):
            open_beneath(str(tmp_path), name)


# --- the task


class Service:
    """As much of the service as folders need."""

    def __init__(self, store: Store) -> None:
        self.store: Any = store
        self.clock = time.time
        self.functions = {"f"}
        store.functions = SimpleNamespace(get=lambda name: name if name in self.functions else None)

    def entered(self, events: Any) -> None:
        self.store.events.entered(len(events))

    async def events(self) -> list[dict[str, Any]]:
        taken = await self.store.events.lease(time.time() + 1, 1000, 60.0)
        self.sources = {event.source for event in taken}
        return [json.loads(event.payload) for event in taken]


class Engine:
    """Folders on a state directory that outlives them."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    async def __aenter__(self) -> Self:
        self.store = await Store.open(self._state_dir)
        self.service = Service(self.store)
        self.folders = Folders(self.service)  # type: ignore[arg-type]
        self.folders.sign = lambda path: f"http://engine{path}?signed"
        await self.folders.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.folders.stop(0.0)
        await self.store.close()

    async def told(self, count: int) -> list[tuple[str, str]]:
        """Types and names of the next events, once there are so many."""
        async with asyncio.timeout(20):
            while self.store.events.depth()["waiting"] < count:
                await asyncio.sleep(0.02)
        self.last = await self.service.events()
        return sorted((event["type"], event["file"]["path"]) for event in self.last)

    async def quiet(self) -> None:
        """Nothing is under way in any folder, and nothing was told."""
        for one in self.folders._watched.values():
            one.follower.look_soon()
        await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
            while any(one["waiting"] for one in self.folders.described()):
                await asyncio.sleep(0.02)
        assert self.store.events.depth()["waiting"] == 0


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


async def test_files_are_told_of_once_and_again_when_they_change(state_dir, inbox):
    (inbox / "old.csv").write_text("old")
    async with Engine(state_dir) as engine:
        made = await engine.folders.put("f", str(inbox), "*.csv", settle_s=0.0)
        assert made["action"] == "made"
        assert made["notes"] == ["the file that is there already does not fire; ?existing=fire would have"]
        (inbox / "a.csv").write_text("n\n3\n")
        (inbox / "a.txt").write_text("no")
        assert await engine.told(1) == [("created", "a.csv")]
        event = engine.last[0]
        assert event["source"] == "jupyter-lambda.folder"
        assert event["folder"] == str(inbox)
        assert event["file"]["content"] == "n\n3\n"
        assert event["file"]["content_type"] == "text/csv"
        folder_id = engine.folders.described()[0]["id"]
        assert event["file"]["url"] == f"http://engine{file_path(folder_id, 'a.csv')}?signed"
        assert engine.service.sources == {f"folder:{inbox}"}
        (inbox / "old.csv").write_text("new text")
        assert await engine.told(1) == [("modified", "old.csv")]
        os.utime(inbox / "a.csv")  # a touch changes nothing
        await engine.quiet()


async def test_what_happens_while_no_engine_runs_is_told_of_at_the_next_start(state_dir, inbox):
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", deleted=True, settle_s=0.0)
        (inbox / "a").write_text("1")
        (inbox / "b").write_text("1")
        assert await engine.told(2) == [("created", "a"), ("created", "b")]
    (inbox / "a").write_text("changed")
    (inbox / "b").unlink()
    (inbox / "c").write_text("new")
    async with Engine(state_dir) as engine:
        assert await engine.told(3) == [("created", "c"), ("deleted", "b"), ("modified", "a")]
    async with Engine(state_dir) as engine:
        await engine.quiet()


async def test_events_and_what_is_remembered_are_written_together(state_dir, inbox):
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", settle_s=0.0)
        (inbox / "a").write_text("1")
        await engine.told(1)
        folder_id = engine.folders.described()[0]["id"]
        assert set(engine.store.folders.files(folder_id)) == {"a"}
        with pytest.raises(AttributeError):  # the event can't be written: nothing is remembered either
            await engine.store.folders.tell(folder_id, [None], seen={"b": File(1, 1, 1)}, then=engine.service.entered)
        assert set(engine.store.folders.files(folder_id)) == {"a"}


async def test_existing_files_fire_when_asked_for(state_dir, inbox):
    for number in range(120):  # more than one transaction's
        (inbox / f"{number}.txt").write_text(str(number))
    async with Engine(state_dir) as engine:
        made = await engine.folders.put("f", str(inbox), "*.txt", existing="fire", settle_s=0.0)
        assert made["notes"] == ["the 120 files that are there already fire, too"]
        assert len(set(await engine.told(120))) == 120
        again = await engine.folders.put("f", str(inbox), "*.txt", existing="fire", settle_s=0.0)
        assert again["action"] == "unchanged"
        await engine.quiet()


async def test_pausing_holds_the_position(state_dir, inbox):
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", settle_s=0.0)
        paused = await engine.folders.set_paused("f", str(inbox), "*", paused=True)
        assert paused["folder"]["state"] == "paused"
        (inbox / "a").write_text("1")
        await asyncio.sleep(0.3)
        assert engine.store.events.depth()["waiting"] == 0
    async with Engine(state_dir) as engine:
        assert engine.folders.described()[0]["state"] == "paused"
        await engine.folders.set_paused("f", str(inbox), "*", paused=False)
        assert await engine.told(1) == [("created", "a")]


async def test_folders_below_are_followed_and_new_ones_too(state_dir, inbox):
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "**/*.txt", settle_s=0.0)
        (inbox / "x" / "y").mkdir(parents=True)
        (inbox / "x" / "y" / "a.txt").write_text("1")
        assert await engine.told(1) == [("created", "x/y/a.txt")]
        (inbox / "x" / "b.txt").write_text("1")
        assert await engine.told(1) == [("created", "x/b.txt")]
        (inbox / "x").rename(inbox / "z")
        assert await engine.told(2) == [("created", "z/b.txt"), ("created", "z/y/a.txt")]


async def test_a_folder_that_is_deleted_and_made_again_goes_on(state_dir, inbox, monkeypatch):
    monkeypatch.setattr(follow, "RETRY_S", 0.1)
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", settle_s=0.0)
        (inbox / "a").write_text("1")
        await engine.told(1)
        (inbox / "a").unlink()
        inbox.rmdir()
        async with asyncio.timeout(20):
            while not engine.folders.described()[0]["result"]:
                await asyncio.sleep(0.05)
        assert "can't be read" in engine.folders.described()[0]["result"]
        assert engine.folders.status()["trouble"]
        inbox.mkdir()
        (inbox / "b").write_text("1")
        assert await engine.told(1) == [("created", "b")]
        (inbox / "c").write_text("1")
        assert await engine.told(1) == [("created", "c")]


async def test_changes_wait_for_a_function_that_is_gone(state_dir, inbox, monkeypatch):
    monkeypatch.setattr(follow, "RETRY_S", 0.1)
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", settle_s=0.0)
        engine.service.functions.clear()
        (inbox / "a").write_text("1")
        async with asyncio.timeout(20):
            while "no function f" not in engine.folders.described()[0]["result"]:
                await asyncio.sleep(0.05)
        assert engine.store.events.depth()["waiting"] == 0
        engine.service.functions.add("f")
        assert await engine.told(1) == [("created", "a")]


async def test_what_is_heard_while_the_folder_is_looked_at_counts(state_dir, inbox, monkeypatch):
    looking, go_on = threading.Event(), threading.Event()

    def slowly(*args: Any, **options: Any) -> Look:
        found = look(*args, **options)
        looking.set()
        go_on.wait(5)
        return found

    monkeypatch.setattr(Watching, "_begin", lambda self, paths: None)  # no notices but the one below
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "**/*", settle_s=0.0)
        await engine.quiet()
        monkeypatch.setattr(follow, "look", slowly)
        (follower,) = (one.follower for one in engine.folders._watched.values())
        follower.look_soon()
        await asyncio.to_thread(looking.wait, 5)
        (inbox / "x").mkdir()
        (inbox / "x" / "a").write_text("1")
        follower.look_soon()  # as the notice of the new folder does
        go_on.set()
        async with asyncio.timeout(5):
            assert await engine.told(1) == [("created", "x/a")]


async def test_without_notices_changes_are_found_by_looking(state_dir, inbox, monkeypatch):
    def deaf(self: Watching, paths: Any) -> None:
        self.trouble = "changes are found by looking every few seconds: no watches are left"

    monkeypatch.setattr(Watching, "_begin", deaf)
    monkeypatch.setattr(follow, "DEAF_EVERY_S", 0.1)
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", settle_s=0.0)
        (inbox / "a").write_text("1")
        assert await engine.told(1) == [("created", "a")]
        assert "no watches are left" in str(engine.folders.status())


async def test_a_long_queue_is_waited_for(state_dir, inbox, monkeypatch):
    monkeypatch.setattr(follow, "QUEUE_MAX", 1)
    monkeypatch.setattr(follow, "BATCH", 1)
    monkeypatch.setattr(follow, "RETRY_S", 0.1)
    for name in "abcd":
        (inbox / name).write_text(name)
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", existing="fire", settle_s=0.0)
        told = await engine.told(2)
        assert len(told) == 2
        assert len(await engine.told(2)) == 2


async def test_what_can_not_be_watched_says_why(state_dir, inbox):
    (inbox / "file.csv").write_text("1")
    async with Engine(state_dir) as engine:
        put = engine.folders.put
        with pytest.raises(ResourceNotFoundException, match="make it: mkdir"):
            await put("f", str(inbox / "missing"), "*")
        with pytest.raises(InvalidParameterValueException, match="absolute"):
            await put("f", "inbox", "*")
        with pytest.raises(InvalidParameterValueException, match="is a file"):
            await put("f", str(inbox / "file.csv"), "*")
        with pytest.raises(ResourceNotFoundException, match="no function g"):
            await put("g", str(inbox), "*")
        with pytest.raises(InvalidParameterValueException, match="engine's own"):
            await put("f", str(state_dir), "*")
        with pytest.raises(InvalidParameterValueException, match="without"):
            await put("f", str(inbox), "../*")
        with pytest.raises(ResourceNotFoundException, match="not watched"):
            await engine.folders.remove("f", str(inbox), "*")
        assert engine.folders.described() == []


async def test_removing_forgets(state_dir, inbox):
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*", settle_s=0.0)
        folder_id = engine.folders.described()[0]["id"]
        await engine.folders.remove("f", str(inbox), "*")
        assert engine.folders.described("f") == []
        assert engine.store.folders.all() == []
        assert engine.store.folders.files(folder_id) == {}


# --- reading the files


def asked(path: str, **headers: str) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request("GET", path, "", raw, b"", "unix", None)  # type: ignore[arg-type]


async def body_of(response: Any) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join([chunk async for chunk in response.body])


async def test_a_file_is_given_whole_or_in_parts(state_dir, inbox):
    data = bytes(range(256)) * 4096
    (inbox / "ä b.bin").write_bytes(data)
    (inbox / "no.txt").write_text("no")
    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*.bin")
        folder_id = engine.folders.described()[0]["id"]
        path = file_path(folder_id, "ä b.bin")
        whole = await files.answer(engine.folders, asked(path), [])
        assert (whole.status, await body_of(whole)) == (200, data)
        for text, part, shown in (
            ("bytes=0-9", data[:10], "0-9"),
            ("bytes=1048570-", data[1048570:], "1048570-1048575"),
            ("bytes=-5", data[-5:], "1048571-1048575"),
            ("bytes=10-600000", data[10:600001], "10-600000"),
        ):
            got = await files.answer(engine.folders, asked(path, range=text), [])
            assert (got.status, await body_of(got)) == (206, part)
            assert dict(got.headers)["Content-Range"] == f"bytes {shown}/{len(data)}"
        beyond = await files.answer(engine.folders, asked(path, range="bytes=2000000-"), [])
        assert (beyond.status, dict(beyond.headers)["Content-Range"]) == (416, f"bytes */{len(data)}")
        for wrong in (
            file_path(folder_id, "no.txt"),
            file_path(folder_id, "../x.bin"),
            file_path(folder_id, "missing.bin"),
            file_path("other", "ä b.bin"),
            f"/_jupyter_lambda/files/{folder_id}/%%%",
        ):
            with pytest.raises(ResourceNotFoundException):
                await files.answer(engine.folders, asked(wrong), [])


async def test_files_are_closed_whoever_stops_reading_and_whatever_is_asked(state_dir, inbox):
    (inbox / "a.bin").write_bytes(bytes(2_000_000))

    def opened() -> int:
        return sum(os.path.realpath(one).endswith("a.bin") for one in Path("/proc/self/fd").iterdir())

    async with Engine(state_dir) as engine:
        await engine.folders.put("f", str(inbox), "*.bin")
        path = file_path(engine.folders.described()[0]["id"], "a.bin")
        for text in ("bytes=" + "9" * 5_000 + "-", "bytes=0-" + "9" * 5_000, "bytes=-" + "9" * 5_000, "bytes=5-1", ""):
            await body_of(await files.answer(engine.folders, asked(path, range=text), []))
        assert opened() == 0
        never_begun = await files.answer(engine.folders, asked(path), [])
        begun = await files.answer(engine.folders, asked(path), [])
        await anext(begun.body)  # type: ignore[arg-type]
        assert opened() == 2
        for one in (never_begun, begun):
            await one.body.aclose()  # type: ignore[union-attr]
        assert opened() == 0
