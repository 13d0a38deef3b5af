"""A watched folder with a real engine: every file fires once, through kills, and a function reads it by its address."""

from __future__ import annotations

import json
import random
import socket
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from jupyter_lambda.client import Admin, lambda_client
from jupyter_lambda.eventsources import acts
from jupyter_lambda.eventsources.place import Place

from .engine import ROLE, RUNTIME, Engine, package

#: Prints one line for each event; reads the file by its address, whole and in part.
SOURCE = """
import hashlib, json, os, urllib.request

def handler(event, context):
    file = event["file"]
    told = {"type": event["type"], "path": file["path"], "inline": "content" in file}
    if "url" in file:
        data = urllib.request.urlopen(file["url"]).read()
        part = urllib.request.urlopen(urllib.request.Request(file["url"], headers={"Range": "bytes=1-3"})).read()
        same = hashlib.sha256(data).hexdigest() == file["sha256"]
        told |= {"bytes": len(data), "sha256": same, "part": part.decode()}
    print("TOLD", json.dumps(told))
    if "TOLD" in os.environ:  # a log's last lines are lost when the engine is killed
        with open(os.environ["TOLD"], "a") as kept:
            kept.write(json.dumps(told | {"id": event["id"]}) + "\\n")
"""


def create(client, name: str, **environment: str) -> None:
    client.create_function(
        FunctionName=name,
        Role=ROLE,
        Runtime=RUNTIME,
        Handler="app.handler",
        Code={"ZipFile": package(SOURCE)},
        Environment={"Variables": environment},
    )


def told(admin: Admin, name: str, count: int, *, seconds: float = 60.0) -> list[dict]:
    """What the function printed, once there are so many lines; in order of their names."""
    until_s = time.monotonic() + seconds
    while True:
        lines = [line["message"] for line in admin.logs(name, pattern="TOLD", limit=10_000)]
        if len(lines) >= count or time.monotonic() > until_s:
            found = [json.loads(line.partition("TOLD ")[2]) for line in lines]
            return sorted(found, key=lambda one: (one["path"], one["type"]))
        time.sleep(0.1)


def test_files_are_read_by_the_function_and_nobody_else(engine, client, tmp_path):
    create(client, "reader")
    place = Place.of_connection(engine.connection)
    made = acts.add(place, "reader", f"folder:{tmp_path}/**/*.txt?deleted=yes")
    assert made.action == "made"
    assert "this engine" in made.notes[0]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ä small.txt").write_text("0123456789")
    (tmp_path / "large.txt").write_text("0123456789" * 100_000)
    (tmp_path / "not.csv").write_text("no")
    admin = Admin(engine.connection)
    small = {"type": "created", "inline": True, "bytes": 10, "sha256": True, "part": "123", "path": "in/ä small.txt"}
    large = {**small, "inline": False, "bytes": 1_000_000, "path": "large.txt"}
    assert told(admin, "reader", 2) == [small, large]
    records = admin.invocations("reader")["invocations"]
    assert {one["source"] for one in records} == {f"folder:{tmp_path}"}
    (tmp_path / "large.txt").unlink()
    assert told(admin, "reader", 3)[-1] == {"type": "deleted", "path": "large.txt", "inline": False}
    # Without the owner's signature the address is worth nothing.
    folder_id = admin.call("GET", "/folders")["folders"][0]["id"]
    for path in (f"/_jupyter_lambda/files/{folder_id}/aW4", "/_jupyter_lambda/folders"):
        with pytest.raises(HTTPError) as refused:
            urlopen(engine.connection.url + path)
        assert refused.value.code == 403
    (one,) = acts.listed(place, place.function("reader")).triggers
    assert one.word.endswith("/**/*.txt?deleted=yes")
    acts.remove(place, "reader", "folder")
    assert admin.call("GET", "/folders")["folders"] == []


@pytest.mark.slow
def test_each_file_fires_once_through_kills_of_the_engine(tmp_path, engines):
    # A port that no other program's connection gets by chance: addresses in events that wait must stay right.
    port = random.SystemRandom().randrange(18_000, 30_000)
    engine = Engine(tmp_path / "state", "process", "--port", str(port))
    engines.append(engine)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    connection = engine.start()
    kept = tmp_path / "told"
    create(lambda_client(connection), "f", TOLD=str(kept))
    acts.add(Place.of_connection(connection), "f", f"folder:{inbox}/*.txt?settle=0")
    chance = random.Random(4)
    written = 0
    for round_ in range(6):
        for _ in range(20):
            draft = inbox / f".{written}.txt.part"
            draft.write_text(f"0123 {written}")
            draft.rename(inbox / f"{written:03}.txt")
            written += 1
            if round_ != 3:  # one round while nothing runs
                time.sleep(chance.uniform(0, 0.02))
        if round_ == 2:
            engine.kill()
            continue
        if round_ != 3:
            time.sleep(chance.uniform(0, 0.8))
            engine.kill()
        connection = engine.start()

    def read(count: int) -> list[dict]:
        until_s = time.monotonic() + 60
        while True:
            found = [json.loads(line) for line in kept.read_text().splitlines()]
            if len({one["path"] for one in found}) >= count or time.monotonic() > until_s:
                return found
            time.sleep(0.1)

    lines = read(written)
    assert {one["path"] for one in lines} == {f"{number:03}.txt" for number in range(written)}
    assert all(one["type"] == "created" for one in lines)
    # One event for each file; what was running when the engine was killed runs again, with the same event.
    assert len({one["id"] for one in lines}) == written
    place = Place.of_connection(connection)
    acts.set_paused(place, "f", "folder", paused=True)
    (inbox / "late.txt").write_text("0123 late")
    time.sleep(1.0)
    assert "late.txt" not in kept.read_text()
    acts.set_paused(place, "f", None, paused=False)
    assert "late.txt" in {one["path"] for one in read(written + 1)}
    assert engine.stop() == 0


def test_the_next_engine_takes_the_same_port_if_it_is_free(tmp_path, engines):
    engine = Engine(tmp_path / "state", "process")
    engines.append(engine)
    first = engine.start().host_port
    engine.kill()
    assert engine.start().host_port == first
    assert engine.stop() == 0
    with socket.socket() as other:
        other.bind(first)
        other.listen()
        assert engine.start().host_port != first
    assert engine.stop() == 0
