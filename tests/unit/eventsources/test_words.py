"""Words: what they mean, their one right spelling, and what is said of mistakes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from jupyter_lambda.eventsources.errors import WordError
from jupyter_lambda.eventsources.words import KINDS, parse, sampled

#: Word → its right spelling, in words.
READ = [
    ("http:/thumb", "http:/thumb", "requests for /thumb"),
    ("http:get /items/{id}", "http:GET /items/{id}", "GET requests for /items/{id}"),
    ("http:ANY /x", "http:/x", "requests for /x"),
    ("http:/{proxy+}", "http:/{proxy+}", "requests for /{proxy+}"),
    ("http:$default", "http:$default", "every request that no other route takes"),
    ("http:POST /a?auth=iam&payload=1.0", "http:POST /a?auth=iam&payload=1.0", "signed POST requests for /a"),
    ("url:", "url:", "its own address, for everyone who can reach it"),
    ("url:none", "url:", "its own address, for everyone who can reach it"),
    ("url:iam?stream=yes", "url:iam?stream=yes", "its own address, for signed requests"),
    ("rate:5 minutes", "rate:5 minutes", "every 5 minutes"),
    ("rate:1 minutes", "rate:1 minute", "every minute"),
    ("rate:2h", "rate:2 hours", "every 2 hours"),
    ("rate:1d?flex=15m", "rate:1 day?flex=15m", "every day, within 15 minutes"),
    (
        "cron:0 9 ? * MON-FRI *@Europe/London",
        "cron:0 9 ? * MON-FRI *@Europe/London",
        "every weekday at 09:00, Europe/London",
    ),
    ("cron:0 9 ? * mon-fri *", "cron:0 9 ? * MON-FRI *", "every weekday at 09:00, UTC"),
    ("at:2026-12-01T09:00", "at:2026-12-01T09:00:00", "once, "),
    ("at:2026-12-01T09:00@Europe/Vienna", "at:2026-12-01T09:00:00@Europe/Vienna", "once, "),
    ("at:2026-12-01T09:00+01:00", "at:2026-12-01T08:00:00", "once, "),
    ("s3:photos", "s3:photos", "objects created in the bucket photos"),
    ("s3:photos/", "s3:photos", "objects created in the bucket photos"),
    ("s3:photos/in/*", "s3:photos/in/", "objects created in the bucket photos that begin with in/"),
    (
        "s3:photos/in/*.csv",
        "s3:photos/in/*.csv",
        "objects created in the bucket photos that begin with in/ and end in .csv",
    ),
    ("s3:photos/*.png", "s3:photos/*.png", "objects created in the bucket photos that end in .png"),
    (
        "s3:photos?events=created,removed",
        "s3:photos?events=created,removed",
        "objects created or removed in the bucket photos",
    ),
    ("table:orders", "table:orders", "changes of the table orders"),
    ("stream:clicks?batch=100", "stream:clicks?batch=100", "records of the stream clicks"),
    ("queue:jobs.fifo?batch=5", "queue:jobs.fifo?batch=5", "messages of the queue jobs.fifo"),
    ("topic:news", "topic:news", "notifications of the topic news"),
    ('events:{"source": ["my.app"]}', 'events:{"source": ["my.app"]}', "events of the default bus that match"),
]


@pytest.mark.parametrize(("word", "spelled", "words"), READ)
def test_words_are_read(word, spelled, words):
    source = parse(word)
    assert source.word == spelled
    assert source.in_words().startswith(words)
    assert parse(source.word) == source


def test_folders_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("1")
    for word, folder, pattern in (
        ("folder:data", tmp_path / "data", "*"),
        ("folder:data/", tmp_path / "data", "*"),
        ("folder:data/*.csv", tmp_path / "data", "*.csv"),
        ("folder:data/a?.csv?existing=fire&deleted=yes", tmp_path / "data", "a?.csv"),
        ("folder:data/**/*.csv", tmp_path / "data", "**/*.csv"),
        ("folder:one.csv", tmp_path, "one.csv"),
        ("folder:*.csv", tmp_path, "*.csv"),
        (f"folder:{tmp_path}/x", tmp_path / "x", "*"),
    ):
        source = parse(word)
        assert (source.folder, source.pattern) == (str(folder), pattern)
        assert parse(source.word) == source
    assert parse("folder:data/*.csv?settle=5s").settle_s == 5


def test_options_become_awss_parameters():
    stream = parse(
        "stream:clicks?batch=7&window=5s&parallel=3&retries=2&age=1h&bisect=yes&tumbling=1m&partial=yes"
        '&filter={"data":{"n":[{"numeric":[">",1]}]}}&failure=arn:aws:sqs:us-east-1:0:dead&start=oldest'
    )
    assert stream.params == {
        "BatchSize": 7,
        "MaximumBatchingWindowInSeconds": 5,
        "ParallelizationFactor": 3,
        "MaximumRetryAttempts": 2,
        "MaximumRecordAgeInSeconds": 3600,
        "BisectBatchOnFunctionError": True,
        "TumblingWindowInSeconds": 60,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": '{"data":{"n":[{"numeric":[">",1]}]}}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:0:dead"}},
    }
    assert stream.start == {"StartingPosition": "TRIM_HORIZON"}
    at = parse("stream:clicks?start=2026-12-01T09:00").start
    assert at == {
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": datetime(2026, 12, 1, 9, tzinfo=UTC),
    }
    queue = parse("queue:jobs?batch=100&concurrency=5")
    assert queue.params == {
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 1,  # AWS wants one above 10
        "ScalingConfig": {"MaximumConcurrency": 5},
    }


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("thumb", "'thumb': a trigger is written KIND:WHERE, e.g. http:/thumb or 'rate:5 minutes'"),
        ("queue", "'queue': a trigger is written KIND:WHERE, e.g. queue:sample"),
        ("quue:x", "quue:x: there is no kind of trigger quue; did you mean queue:?"),
        ("sqs:x", "sqs:x: there is no kind of trigger sqs; write queue:"),
        ("zzz:x", f"zzz:x: there is no kind of trigger zzz; there are {', '.join(KINDS)}"),
        ("http:thumb", "http: the path 'thumb' must begin with /: http:/thumb"),
        ("http:GTE /x", "http: there is no method GTE; did you mean GET?"),
        ("http:/{rest+}/x", "http: {rest+} takes all that follows, so it must be the last part of /{rest+}/x"),
        ("http:/a b", "http: there is no method /A"),
        ("http:/{a", "http: '{a' can't be a part of a path"),
        ("http:/x?atuh=iam", "http: has no option atuh; did you mean auth?"),
        ("http:/x?auth=jwt", "http: auth=jwt; there are none, iam"),
        ("url:x", "url:x: write url: for an open address, or url:iam"),
        ("url:?stream=maybe", "url: stream=maybe: write yes or no"),
        ("rate:5", "rate:5: the unit is minutes, hours or days"),
        ("rate:30 seconds", "rate:30 seconds: the unit is minutes, hours or days; a minute is the least AWS knows"),
        ("rate:5 minuts", "rate:5 minuts: there is no unit minuts; did you mean minute?"),
        ("rate:often", "rate:often: write a number and a unit"),
        ("rate:0 hours", "rate:0 hours: the number must be above 0"),
        ("cron:0 9 * * 1-5", "cron:0 9 * * 1-5 has five fields, as Unix's cron; AWS's has six"),
        ("cron:0 9 * * 1-5", "'cron:0 9 ? * 2-6 *'"),
        ("cron:0 9 *", "cron:0 9 * has 3 fields, not six"),
        ("cron:99 9 ? * MON *", "cron:99 9 ? * MON *: "),
        ("cron:0 9 ? * MON *@London", "cron: there is no time zone London; did you mean Europe/London?"),
        ("at:tomorrow", "at:tomorrow: write a date and time such as at:2026-12-01T09:00"),
        ("at:2026-12-01T09:00@Mars/Olympus", "at: there is no time zone Mars/Olympus"),
        ("s3:Photos", "s3:Photos: a bucket's name has 3 to 63 small letters"),
        ("s3:photos/a*b*c", "s3:photos/a*b*c: S3 knows a prefix and a suffix"),
        ("s3:photos?events=creatd", "s3: there is no event creatd; did you mean created?"),
        ("table:x", "table:x: a table's name has 3 to 255"),
        ("table:orders?start=2026-01-01", "table: start=2026-01-01: a table's stream begins at latest or oldest"),
        ("stream:a b", "stream:a b: a stream's name"),
        ("stream:clicks?batch=0", "stream: batch=0 must be from 1 to 10000"),
        ("stream:clicks?batch=1&batch=2", "stream: the option batch is given twice"),
        ("stream:clicks?window=5x", "stream: window=5x must be from 0 to 300"),
        ("stream:clicks?start=then", "stream: start=then: write latest, oldest or a time"),
        ("stream:clicks?failure=dead", "failure=dead: write the ARN"),
        ("stream:clicks?filter={x", "stream: filter={x is not JSON"),
        ("queue:a!", "queue:a!: a queue's name"),
        ("queue:jobs.fifo?batch=11", "queue: batch=11 must be from 1 to 10"),
        ("queue:jobs?concurency=5", "queue: has no option concurency; did you mean concurrency?"),
        ("topic:a b", "topic:a b: a topic's name"),
        ("topic:news?filter=", "topic: the option 'filter=' is written name=value"),
        ("events:x", "events:x is not JSON"),
        ("events:{}", "events:{}: an event pattern is an object"),
        ("folder:", "folder: which folder?"),
        ("folder:data/*/../x", "folder:data/*/../x: a pattern can't leave its folder"),
        ("folder:data?existing=all", "folder: existing=all; there are fire, skip"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(word, said):
    with pytest.raises(WordError) as caught:
        parse(word)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sample_event(kind, aws):
    event = sampled(kind).sample(aws.place)
    assert json.loads(json.dumps(event)) == event
    assert KINDS[kind].usage
    assert KINDS[kind].summary


def test_samples_bear_the_names_of_the_word(aws):
    record = parse("s3:photos/in/*.csv").sample(aws.place)["Records"][0]
    assert (record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]) == ("photos", "in/sample.csv")
    assert record["eventName"] == "ObjectCreated:Put"
    request = parse("http:GET /items/{id}").sample(aws.place)
    assert request["routeKey"] == "GET /items/{id}"
    assert (request["rawPath"], request["pathParameters"]) == ("/items/id", {"id": "id"})
    assert parse("http:/x?payload=1.0").sample(aws.place)["version"] == "1.0"
    assert parse('rate:1h?input={"a": 1}').sample(aws.place) == {"a": 1}
    detail = parse('events:{"source": ["x"], "detail": {"k": ["v", {"exists": true}]}}').sample(aws.place)
    assert (detail["source"], detail["detail"]) == ("x", {"k": "v"})
    with pytest.raises(WordError, match="did you mean s3"):
        sampled("s33")
