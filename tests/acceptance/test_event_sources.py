"""One word each for the services of the embedded cloud, with both of its servers: what is sent fires the function."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jupyter_lambda.client import Admin, aws, lambda_client
from jupyter_lambda.eventsources import acts
from jupyter_lambda.eventsources.errors import TriggerError
from jupyter_lambda.eventsources.place import Place

from .engine import ROLE, RUNTIME, Engine, package

SOURCE = "import json\ndef handler(event, context):\n    print('GOT', json.dumps(event))\n"
TOPIC = "arn:aws:sns:us-east-1:000000000000:news"
KEY = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}
#: Word → what must be there, what is sent, and what the function must see of it.
CASES = {
    "s3:photos/in/*.txt": (
        lambda a: a("s3").create_bucket(Bucket="photos"),
        lambda a: a("s3").put_object(Bucket="photos", Key="in/a b.txt", Body=b"x"),
        lambda record: record["s3"]["bucket"]["name"] == "photos" and record["s3"]["object"]["key"] == "in/a+b.txt",
    ),
    "table:orders": (
        lambda a: a("dynamodb").create_table(TableName="orders", BillingMode="PAY_PER_REQUEST", **KEY),
        lambda a: a("dynamodb").put_item(TableName="orders", Item={"id": {"S": "1"}}),
        lambda record: record["dynamodb"]["NewImage"] == {"id": {"S": "1"}},
    ),
    "stream:clicks": (
        lambda a: a("kinesis").create_stream(StreamName="clicks", ShardCount=1),
        lambda a: a("kinesis").put_record(StreamName="clicks", Data=b"x", PartitionKey="1"),
        lambda record: record["kinesis"]["data"] == "eA==",
    ),
    "queue:jobs?batch=2": (
        lambda a: a("sqs").create_queue(QueueName="jobs"),
        lambda a: a("sqs").send_message(
            QueueUrl=a("sqs").get_queue_url(QueueName="jobs")["QueueUrl"], MessageBody="hello"
        ),
        lambda record: record["body"] == "hello",
    ),
    "topic:news": (
        lambda a: a("sns").create_topic(Name="news"),
        lambda a: a("sns").publish(TopicArn=TOPIC, Message="hello"),
        lambda record: record["Sns"]["Message"] == "hello",
    ),
}


@pytest.fixture(scope="module", params=["ministack", "moto"])
def cloud(request, tmp_path_factory):
    """An engine with an embedded cloud; functions are processes."""
    folder = tmp_path_factory.mktemp(request.param)
    engine = Engine(folder / "state", "process", f"--LambdaEngine.cloud_server={request.param}")
    connection = engine.start()
    yield connection
    assert engine.stop() == 0, engine.output[-3000:]


@pytest.mark.parametrize("word", CASES)
def test_what_is_sent_fires_the_function(cloud, word):
    create, send, sees = CASES[word]
    kind = word.partition(":")[0]
    clients: dict = {}

    def client(service):
        return clients.setdefault(service, aws(service, cloud))

    place, admin = Place.of_connection(cloud), Admin(cloud)
    lambda_client(cloud).create_function(
        FunctionName=kind, Role=ROLE, Runtime=RUNTIME, Handler="app.handler", Code={"ZipFile": package(SOURCE)}
    )
    with pytest.raises(TriggerError, match=r"there is no .* here; make it: jupyter_lambda.aws\("):
        acts.add(place, kind, word)
    create(client)
    assert acts.add(place, kind, word).action == "made"
    assert acts.add(place, kind, word).action == "unchanged"
    (one,) = acts.listed(place, place.function(kind)).triggers
    assert (one.word, one.state) == (word, "on")
    send(client)
    until_s = time.monotonic() + 60
    while not (lines := admin.logs(kind, pattern="GOT")) and time.monotonic() < until_s:
        time.sleep(0.1)
    records = [record for line in lines for record in json.loads(line["message"].partition("GOT ")[2])["Records"]]
    assert [sees(record) for record in records] == [True], records
    paused_and_resumed(place, admin, client, kind, send)
    removed, problems = acts.remove_all(place, place.function(kind))
    assert ([source.word for source in removed], problems) == ([word], [])
    assert acts.listed(place, place.function(kind)) == acts.Listed(())


def paused_and_resumed(place: Place, admin: Admin, client, kind: str, send) -> None:
    """What is sent while a trigger is paused fires once it is resumed."""

    def ran() -> int:
        return len(admin.invocations(kind)["invocations"])

    acts.set_paused(place, kind, None, paused=True)
    assert [one.state for one in acts.listed(place, place.function(kind)).triggers] == ["paused"]
    before = ran()
    if kind == "table":  # another change: the same item again is none
        client("dynamodb").put_item(TableName="orders", Item={"id": {"S": "2"}})
    else:
        send(client)
    time.sleep(2.0)
    assert ran() == before
    acts.set_paused(place, kind, kind, paused=False)
    until_s = time.monotonic() + 60
    while ran() == before and time.monotonic() < until_s:
        time.sleep(0.1)
    assert ran() == before + 1


@pytest.mark.slow
def test_the_lines_on_the_cards_work_in_a_terminal(cloud, tmp_path, monkeypatch):
    """Each as it stands there, with the environment of ``jupyter lambda env`` and no more."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("sample.txt", "some.file"):
        (tmp_path / name).write_text("x")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), **cloud.environment()}
    place, admin = Place.of_connection(cloud), Admin(cloud)
    lambda_client(cloud).create_function(
        FunctionName="lines", Role=ROLE, Runtime=RUNTIME, Handler="app.handler", Code={"ZipFile": package(SOURCE)}
    )
    aws("s3", cloud).create_bucket(Bucket="line-photos")
    aws("sqs", cloud).create_queue(QueueName="line-jobs.fifo", Attributes={"FifoQueue": "true"})
    aws("sns", cloud).create_topic(Name="line-news")
    aws("kinesis", cloud).create_stream(StreamName="line-clicks", ShardCount=1)
    aws("dynamodb", cloud).create_table(TableName="line-orders", BillingMode="PAY_PER_REQUEST", **KEY)

    def ran() -> int:
        return len(admin.invocations("lines", limit=1000)["invocations"])

    for word in (
        "http:POST /x/{id}",
        "url:",
        "url:iam",
        "s3:line-photos/in/",
        "queue:line-jobs.fifo",
        "topic:line-news",
        "stream:line-clicks",
        "table:line-orders",
        'events:{"source":["my.lines"]}',
        "folder:in/*.csv",
    ):
        line = acts.add(place, "lines", word).trigger.try_it[-1]
        before = ran()
        done = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        until_s = time.monotonic() + 30
        while ran() == before and time.monotonic() < until_s:
            time.sleep(0.1)
        assert ran() > before, line
