"""Words against the engine's own services, by boto3 over the wire: made, fired, listed, paused, removed."""

from __future__ import annotations

import json
import time
from urllib.request import Request, urlopen

import pytest

from jupyter_lambda.connection import Connection
from jupyter_lambda.eventsources import acts
from jupyter_lambda.eventsources.errors import TriggerError
from jupyter_lambda.eventsources.place import Place
from jupyter_lambda.eventsources.words import parse

from .conftest import REGION

WORDS = [
    "http:GET /items/{id}",
    "http:/signed?auth=iam",
    "http:/old?payload=1.0",
    "url:",
    "url:iam?stream=yes",
    "rate:5 minutes?flex=2m",
    "cron:0 9 ? * MON-FRI *@Europe/London",
    'at:2099-12-01T09:00:00?input={"a":1}',
    'events:{"source": ["my.app"]}',
]


@pytest.fixture
def place(engine) -> Place:
    owner = engine.service.credentials.owner
    return Place.of_connection(Connection(engine.url, REGION, owner.access_key, owner.secret_key))


@pytest.fixture
def function(make, name, place):
    make()
    made = place.function(name)
    yield made
    acts.remove_all(place, made)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_made_found_again_and_removed(place, function, word):
    made = acts.add(place, function.name, word)
    assert made.action == "made"
    assert made.trigger.word == parse(word).word
    found = acts.listed(place, function)
    assert found.problems == ()
    assert [one.word for one in found.triggers] == [parse(word).word]
    assert acts.add(place, function.name, word).action == "unchanged"
    acts.remove(place, function.name, word)
    assert acts.listed(place, function) == acts.Listed(())
    with pytest.raises(TriggerError, match="it has none"):
        acts.remove(place, function.name, word)


@pytest.mark.parametrize("word", ["rate:5 minutes", 'events:{"source": ["my.app"]}'])
def test_a_word_is_paused_and_resumed(place, function, word):
    acts.add(place, function.name, word)
    for paused, state in ((True, "paused"), (False, "on")):
        acts.set_paused(place, function.name, None, paused=paused)
        assert [one.state for one in acts.listed(place, function).triggers] == [state]


def test_addresses_answer(place, function):
    route = acts.add(place, function.name, "http:POST /sum/{id}").trigger.try_it[0]
    event = json.load(urlopen(Request(route, data=b'{"n": 3}', method="POST")))["event"]
    assert (event["routeKey"], event["pathParameters"], event["rawPath"]) == ("POST /sum/{id}", {"id": "id"}, "/sum/id")
    own = acts.add(place, function.name, "url:").trigger.try_it[0]
    assert json.load(urlopen(f"{own}x?y=1"))["event"]["rawPath"] == "/x"


def test_an_event_of_the_bus_fires(place, function, engine):
    acts.add(place, function.name, 'events:{"source": ["test.bus"], "detail": {"n": [{"numeric": [">", 2]}]}}')
    entries = [{"Source": "test.bus", "DetailType": "t", "Detail": json.dumps({"n": n})} for n in (1, 3)]
    assert place.call("events", "put_events", Entries=entries)["FailedEntryCount"] == 0
    until_s = time.monotonic() + 20
    records: list[dict] = []
    while not records and time.monotonic() < until_s:
        assert place.admin is not None
        records = place.admin.invocations(function.name)["invocations"]
        time.sleep(0.05)
    assert len(records) == 1
    assert records[0]["source"].startswith("rule:")


def test_a_cells_words_are_remembered_in_a_tag_that_the_api_takes(place, function):
    first = acts.apply(place, function.name, [parse("http:/a"), parse("rate:1h")])
    assert [made.action for made in first.made] == ["made", "made"]
    second = acts.apply(place, function.name, [parse("http:/a")])
    assert (second.made[0].action, second.removed) == ("unchanged", ("rate:1 hour",))
    acts.apply(place, function.name, [])
    tags = place.call("lambda", "list_tags", Resource=function.arn).get("Tags", {})
    assert acts.TAG not in tags


def test_folders_are_the_owners_alone(place, function, tmp_path, engine):
    acts.add(place, function.name, f"folder:{tmp_path}/*.csv?deleted=yes&content=no&settle=2s")
    (one,) = acts.listed(place, function).triggers
    assert one.word == f"folder:{tmp_path}/*.csv?deleted=yes&content=no&settle=2s"
    version = engine.service.store.functions.get(function.name).latest
    credential = engine.service.credentials.issue(version)
    stranger = Place.of_connection(
        Connection(engine.url, REGION, credential.access_key, credential.secret_key, credential.token)
    )
    for act in (lambda: parse(one.word).remove(stranger, function), lambda: parse(one.word).make(stranger, function)):
        with pytest.raises(TriggerError, match="may not use the engine's own routes"):
            act()
    with pytest.raises(TriggerError, match="make it: mkdir"):
        acts.add(place, function.name, f"folder:{tmp_path}/missing")
