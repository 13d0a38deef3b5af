"""Each kind against AWS in memory: made once, found as the same word, changed, paused, removed with all it made."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_lambda.eventsources import acts, schedules
from jupyter_lambda.eventsources.errors import Refused, TriggerError
from jupyter_lambda.eventsources.words import KINDS, parse

#: A word of each kind, the same trigger with other options, and the calls that make it.
WORDS = [
    ("http:/thumb", "http:/thumb?auth=iam", ["create_api", "create_stage", "create_integration", "create_route"]),
    ("http:GET /items/{id}", None, ["create_api", "create_stage", "create_integration", "create_route"]),
    ("url:", "url:iam", ["create_function_url_config"]),
    ("url:iam", "url:iam?stream=yes", ["create_function_url_config"]),
    ("rate:5 minutes", "rate:5 minutes?flex=2m", ["create_schedule"]),
    ("cron:0 9 ? * MON-FRI *@Europe/London", None, ["create_schedule"]),
    ("at:2099-12-01T09:00", 'at:2099-12-01T09:00?input={"a": 1}', ["create_schedule"]),
    ("s3:photos/in/*.csv", "s3:photos/in/*.csv?events=removed", ["put_bucket_notification_configuration"]),
    ("s3:photos", None, ["put_bucket_notification_configuration"]),
    ("table:orders", "table:orders?batch=5", ["update_table", "create_event_source_mapping"]),
    ("stream:clicks?batch=7", "stream:clicks", ["create_event_source_mapping"]),
    ("queue:jobs", "queue:jobs?concurrency=5&partial=yes", ["create_event_source_mapping"]),
    ("queue:jobs.fifo", None, ["create_event_source_mapping"]),
    ("topic:news", 'topic:news?filter={"kind":["a"]}', ["subscribe"]),
    ('events:{"source": ["my.app"]}', None, ["put_rule", "put_targets"]),
    ("folder:data/*.csv", "folder:data/*.csv?deleted=yes", []),
]
PAUSABLE = ("s3", "topic", "rate", "cron", "at", "table", "stream", "queue", "events", "folder")


def words(aws: Any, name: str = "f") -> list[str]:
    found = acts.listed(aws.place, aws.place.function(name))
    assert found.problems == ()
    return [one.word for one in found.triggers]


@pytest.mark.parametrize(("word", "other", "calls"), WORDS)
def test_made_once_and_found_as_it_was_written(aws, word, other, calls):
    made = acts.add(aws.place, "f", word)
    assert made.action == "made"
    changes = aws.changes()
    assert [call for call in changes if call in calls] == calls
    source = parse(word)
    assert [parse(one).identity for one in words(aws)] == [source.identity]
    assert parse(words(aws)[0]).word == source.word
    assert made.trigger.try_it
    aws.calls.clear()
    again = acts.add(aws.place, "f", word)
    assert again.action == "unchanged"
    # What may always be sent again changes nothing.
    assert set(aws.changes()) <= {"add_permission", "remove_permission", "put_targets", "call"}
    assert words(aws, "g") == []
    if other is not None:
        changed = acts.add(aws.place, "f", other)
        assert changed.action == ("unchanged" if other.startswith("folder") else "changed")
        if not other.startswith("folder"):
            assert [parse(one).word for one in words(aws)] == [parse(other).word]


@pytest.mark.parametrize(("word", "other", "calls"), WORDS)
def test_removed_with_all_that_was_made_for_it(aws, word, other, calls):
    acts.add(aws.place, "f", word)
    acts.add(aws.place, "g", "http:/g")
    assert [source.identity for source in acts.remove(aws.place, "f", word)] == [parse(word).identity]
    assert words(aws) == []
    assert aws.lambda_._policies["f"] == {}
    assert not aws.scheduler._schedules
    assert not aws.lambda_._mappings
    assert not aws.lambda_._urls
    assert not aws.events._rules
    assert not aws.admin.folders
    assert aws.s3._buckets["photos"] == {}
    assert [one["RouteKey"] for one in aws.apigatewayv2._routes.values()] == ["ANY /g"]
    assert len(aws.apigatewayv2._integrations) == 1
    parse(word).remove(aws.place, aws.place.function("f"))  # nothing happens where it is gone
    assert words(aws, "g") == ["http:/g"]


@pytest.mark.parametrize(("word", "other", "calls"), WORDS)
def test_paused_and_resumed_or_says_why_not(aws, word, other, calls):
    acts.add(aws.place, "f", word)
    source = parse(word)
    if source.kind not in PAUSABLE:
        with pytest.raises(TriggerError, match=r"can't be paused: "):
            acts.set_paused(aws.place, "f", word, paused=True)
        with pytest.raises(TriggerError, match=r"f has no trigger that can be paused; it has"):
            acts.set_paused(aws.place, "f", None, paused=True)
        return
    acts.set_paused(aws.place, "f", source.kind, paused=True)
    assert [one.state for one in acts.listed(aws.place, aws.place.function("f")).triggers] == ["paused"]
    acts.set_paused(aws.place, "f", None, paused=False)
    assert [one.state for one in acts.listed(aws.place, aws.place.function("f")).triggers] == ["on"]
    acts.set_paused(aws.place, "f", word, paused=True)
    acts.add(aws.place, "f", word)  # deploying the cell again starts it
    assert [one.state for one in acts.listed(aws.place, aws.place.function("f")).triggers] == ["on"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("s3:missing", 'there is no bucket missing here; make it: jupyter_lambda.aws("s3").create_bucket('),
        ("table:missing", 'there is no table missing here; make it: jupyter_lambda.aws("dynamodb").create_table('),
        ("stream:missing", 'there is no stream missing here; make it: jupyter_lambda.aws("kinesis").create_stream('),
        ("queue:missing", 'jupyter_lambda.aws("sqs").create_queue(QueueName="missing")'),
        ("queue:missing.fifo", 'Attributes={"FifoQueue": "true"}'),
        ("topic:missing", 'jupyter_lambda.aws("sns").create_topic(Name="missing")'),
        ("folder:missing/*", "make it: mkdir "),
        ("at:2020-01-01T00:00", "at:2020-01-01T00:00:00 is past: it is "),
    ],
)
def test_what_can_not_work_says_so_at_once_and_makes_nothing(aws, word, said):
    with pytest.raises(TriggerError) as caught:
        acts.add(aws.place, "f", word)
    assert said in caught.value.message
    assert not {call for call in aws.changes() if call != "call"}
    with pytest.raises(TriggerError, match="there is no function h; run its %%lambda cell first"):
        acts.add(aws.place, "h", word)


def test_a_table_without_a_stream_gets_one_and_misses_nothing(aws):
    made = acts.add(aws.place, "f", "table:orders")
    assert made.notes == ("the table orders had no stream: it has one now (NEW_AND_OLD_IMAGES)",)
    (mapping,) = aws.lambda_._mappings.values()
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    acts.add(aws.place, "g", "table:orders")
    assert list(aws.lambda_._mappings.values())[1]["StartingPosition"] == "LATEST"


def test_a_streams_beginning_is_now_unless_the_word_says_otherwise(aws):
    acts.add(aws.place, "f", "stream:clicks")
    acts.add(aws.place, "g", "stream:clicks?start=oldest")
    positions = [one["StartingPosition"] for one in aws.lambda_._mappings.values()]
    assert positions == ["AT_TIMESTAMP", "TRIM_HORIZON"]


def test_options_that_a_word_no_longer_says_go_back_to_their_defaults(aws):
    acts.add(aws.place, "f", "queue:jobs?partial=yes&window=5s&concurrency=5")
    acts.add(aws.place, "f", "queue:jobs")
    (mapping,) = aws.lambda_._mappings.values()
    assert mapping["FunctionResponseTypes"] == []
    assert mapping["MaximumBatchingWindowInSeconds"] == 0
    assert mapping["ScalingConfig"] == {}
    assert words(aws) == ["queue:jobs"]


def test_other_notifications_of_a_bucket_stay(aws):
    other = {"Id": "x", "QueueArn": "arn:aws:sqs:us-east-1:0:q", "Events": ["s3:ObjectCreated:*"]}
    aws.s3._buckets["photos"] = {"QueueConfigurations": [other]}
    acts.add(aws.place, "f", "s3:photos/in/*.csv")
    acts.add(aws.place, "f", "s3:photos/out/")
    acts.add(aws.place, "g", "s3:photos/in/*.csv")
    assert words(aws) == ["s3:photos/in/*.csv", "s3:photos/out/"]
    acts.remove(aws.place, "f", "s3")
    assert words(aws) == []
    assert words(aws, "g") == ["s3:photos/in/*.csv"]
    assert aws.s3._buckets["photos"]["QueueConfigurations"] == [other]


def test_a_route_of_another_function_is_not_taken(aws):
    acts.add(aws.place, "g", "http:/thumb")
    with pytest.raises(
        TriggerError, match=r"http:/thumb already leads to g; choose another path, or %lambda trigger rm g"
    ):
        acts.add(aws.place, "f", "http:/thumb")
    acts.add(aws.place, "f", "http:/thumb2")
    assert len(aws.apigatewayv2._apis) == 1


def test_addresses_work_on_this_machine(aws, real_aws):
    here = acts.add(aws.place, "f", "http:/items/{id}").trigger.try_it
    assert here == (
        "http://127.0.0.1:9/_aws/execute-api/a1/items/id",
        "curl http://127.0.0.1:9/_aws/execute-api/a1/items/id",
    )
    there = acts.add(real_aws.place, "f", "http:/items/{id}").trigger.try_it
    assert there[0] == "https://a1.execute-api.us-east-1.amazonaws.com/items/id"
    assert acts.add(aws.place, "f", "url:").trigger.try_it[0] == "http://127.0.0.1:9/_aws/lambda-url/abc/"
    assert acts.add(real_aws.place, "f", "url:").trigger.try_it[0] == "https://abc.lambda-url.us-east-1.on.aws/"
    assert "--endpoint-url http://127.0.0.1:9" in acts.add(aws.place, "f", "s3:photos").trigger.try_it[0]
    assert "--profile work" in acts.add(real_aws.place, "f", "s3:photos").trigger.try_it[0]


def test_a_public_url_has_both_permissions_and_a_signed_one_none(aws):
    acts.add(aws.place, "f", "url:")
    actions = {(one["Action"], one.get("InvokedViaFunctionUrl")) for one in aws.lambda_._policies["f"].values()}
    assert actions == {("lambda:InvokeFunctionUrl", None), ("lambda:InvokeFunction", True)}
    acts.add(aws.place, "f", "url:iam")
    assert aws.lambda_._policies["f"] == {}


def test_at_aws_folders_and_schedules_without_a_role_say_why(real_aws, monkeypatch):
    monkeypatch.delenv("JUPYTER_LAMBDA_SCHEDULER_ROLE", raising=False)
    with pytest.raises(TriggerError, match="watched by an engine only; AWS has nothing like it"):
        acts.add(real_aws.place, "f", "folder:data")
    with pytest.raises(TriggerError, match=r"needs a role that may invoke the function: add \?role=ARN"):
        acts.add(real_aws.place, "f", "rate:1h")
    acts.add(real_aws.place, "f", "rate:1h?role=arn:aws:iam::1:role/r")
    assert real_aws.scheduler._schedules.popitem()[1]["Target"]["RoleArn"] == "arn:aws:iam::1:role/r"
    with pytest.raises(TriggerError, match="aws s3 mb s3://missing --profile work"):
        acts.add(real_aws.place, "f", "s3:missing")


def test_at_aws_buckets_and_topics_can_not_be_paused(real_aws):
    for word in ("s3:photos", "topic:news"):
        acts.add(real_aws.place, "f", word)
        with pytest.raises(TriggerError, match=r"can't be paused: at AWS, S"):
            acts.set_paused(real_aws.place, "f", word, paused=True)
    with pytest.raises(TriggerError, match="has no trigger that can be paused"):
        acts.set_paused(real_aws.place, "f", None, paused=True)


def test_what_others_made_for_a_bucket_is_paused_too_and_a_changed_word_goes_on(aws):
    acts.add(aws.place, "f", "s3:photos/in/")
    entries = aws.place.call("s3", "get_bucket_notification_configuration", Bucket="photos")
    entries["LambdaFunctionConfigurations"][0]["Id"] = "theirs"
    del entries["ResponseMetadata"]
    aws.place.call("s3", "put_bucket_notification_configuration", Bucket="photos", NotificationConfiguration=entries)
    acts.set_paused(aws.place, "f", "s3", paused=True)
    assert [(one["configuration"], one["state"]) for one in aws.admin.held] == [("theirs", "paused")]
    acts.remove(aws.place, "f", "s3")
    acts.add(aws.place, "f", "s3:photos/in/")
    acts.set_paused(aws.place, "f", "s3", paused=True)
    assert acts.add(aws.place, "f", "s3:photos/in/?events=removed").action == "changed"
    assert [one.state for one in acts.listed(aws.place, aws.place.function("f")).triggers] == ["on"]


def test_triggers_of_all_functions(aws):
    acts.add(aws.place, "g", "queue:jobs")
    acts.add(aws.place, "f", "topic:news")
    acts.add(aws.place, "f", "http:/a")
    found = acts.every(aws.place)
    assert [(name, one.word) for name, one in found.triggers] == [
        ("f", "http:/a"),
        ("f", "topic:news"),
        ("g", "queue:jobs"),
    ]
    assert found.problems == ()


def test_schedules_say_when_they_fire_next(aws, monkeypatch):
    monkeypatch.setattr(schedules, "stays_or_ends", lambda connection: "it ends with Jupyter")
    made = acts.add(aws.place, "f", "cron:0 9 1 1 ? *@Europe/London")
    (line,) = made.trigger.try_it
    assert line.startswith("fires next: ")
    assert line.count("01 Jan") == 3
    assert line.endswith("09:00 (Europe/London)")
    assert made.notes == ("it ends with Jupyter",)
    monkeypatch.undo()
    assert acts.add(aws.place, "f", "cron:0 9 1 1 ? *@Europe/London").notes == ()
    past = acts.add(aws.place, "f", "at:2099-01-01T00:00").trigger
    assert "2099" in past.try_it[0]


def test_a_problem_of_a_mapping_is_told(aws):
    acts.add(aws.place, "f", "queue:jobs")
    (mapping,) = aws.lambda_._mappings.values()
    mapping |= {"LastProcessingResult": "PROBLEM: Function call failed", "StateTransitionReason": "it is full"}
    (one,) = acts.listed(aws.place, aws.place.function("f")).triggers
    assert one.result == "PROBLEM: Function call failed (it is full)"


# --- what a cell says


def apply(aws: Any, *given: str) -> acts.Applied:
    return acts.apply(aws.place, "f", [parse(word) for word in given])


def test_a_cell_is_the_whole_truth_about_the_triggers_it_made(aws):
    acts.add(aws.place, "f", "queue:jobs")  # by %lambda trigger add: not the cell's
    first = apply(aws, "http:/a", "rate:5 minutes", "url:")
    assert [made.action for made in first.made] == ["made"] * 3
    assert sorted(words(aws)) == ["http:/a", "queue:jobs", "rate:5 minutes", "url:"]
    second = apply(aws, "http:/a", "rate:10 minutes")
    assert [(made.trigger.word, made.action) for made in second.made] == [
        ("http:/a", "unchanged"),
        ("rate:10 minutes", "made"),
    ]
    assert sorted(second.removed) == ["rate:5 minutes", "url:"]
    assert sorted(words(aws)) == ["http:/a", "queue:jobs", "rate:10 minutes"]
    aws.calls.clear()
    assert apply(aws, "http:/a", "rate:10 minutes").removed == ()
    assert set(aws.changes()) == {"add_permission"}
    assert sorted(apply(aws).removed) == ["http:/a", "rate:10 minutes"]
    assert words(aws) == ["queue:jobs"]
    aws.calls.clear()
    assert apply(aws) == acts.Applied()
    assert aws.changes() == []


def test_what_can_not_be_made_is_told_and_the_rest_is_remembered(aws):
    applied = apply(aws, "http:/a", "queue:missing", "url:")
    assert [made.trigger.word for made in applied.made] == ["http:/a"]
    assert applied.problem is not None
    assert "there is no queue missing" in applied.problem
    assert apply(aws, "url:").removed == ("http:/a",)


def test_what_was_removed_by_hand_does_not_disturb(aws):
    apply(aws, "http:/a", "url:")
    acts.remove(aws.place, "f", "http:/a")
    assert apply(aws, "url:").removed == ()


def test_a_cell_has_as_many_triggers_as_a_tag_remembers(aws):
    given = [f"http:/{number}" for number in range(acts.CELL_MAX)]
    apply(aws, *given)
    (tags,) = aws.lambda_._tags.values()
    assert len(tags[acts.TAG]) <= 256
    with pytest.raises(TriggerError, match="a cell may have 22 triggers"):
        apply(aws, *given, "url:")


def test_remove_all_before_the_function_goes(aws):
    apply(aws, "http:/a", "url:", "s3:photos", "queue:jobs")
    removed, problems = acts.remove_all(aws.place, aws.place.function("f"))
    assert {source.kind for source in removed} == {"http", "url", "s3", "queue"}
    assert problems == []
    assert words(aws) == []


def test_choosing_says_what_there_is(aws):
    with pytest.raises(TriggerError, match="f has no trigger http; it has none"):
        acts.remove(aws.place, "f", "http")
    acts.add(aws.place, "f", "url:")
    with pytest.raises(TriggerError, match="f has no trigger http:/x; it has url:"):
        acts.remove(aws.place, "f", "http:/x")
    with pytest.raises(TriggerError, match=r"f has no trigger that can be paused; it has url:"):
        acts.set_paused(aws.place, "f", None, paused=True)


def test_one_service_that_does_not_answer_hides_no_other(aws, monkeypatch):
    acts.add(aws.place, "f", "url:")
    call = aws.place.call

    def broken(service: str, operation: str, **params: Any) -> Any:
        if service in ("scheduler", "events"):
            raise Refused(f"{service}: the engine at http://x does not answer")
        return call(service, operation, **params)

    monkeypatch.setattr(aws.place, "call", broken)
    found = acts.listed(aws.place, aws.place.function("f"))
    assert [one.word for one in found.triggers] == ["url:"]
    assert len(found.problems) == 2


def test_every_kind_can_be_listed_and_has_help():
    for kind in KINDS.values():
        assert kind.known is not None
        assert all(text for text in kind.known.values())
