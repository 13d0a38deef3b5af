"""The poller of streams on a Kinesis made of lists, in simulated time."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise

import pytest

from jupyter_lambda.errors import TooManyRequestsException


def ordered_once_the_first_time(seen, keys):
    """Each key's records came in order the first time each of them came; none is missing."""
    for key, count in keys.items():
        first = []
        for found_key, number in seen:
            if found_key == key and number not in first:
                first.append(number)
        assert first == list(range(count)), key


def test_records_come_in_order_in_batches(virtual, world):
    async def story():
        w = world(batch_size=10)
        for n in range(35):
            w.cloud.put("k", n)
        await w.run_for(5)
        assert w.data == list(range(35))
        assert [len(b) for b in w.batches] == [10, 10, 10, 5]
        assert w.rows.results[-1] == "OK"
        assert w.service.sources[0] == "kinesis:clicks"
        assert w.counts.totals["PolledEventCount"] == w.counts.totals["InvokedEventCount"] == 35
        assert w.counts.iterator_age_ms is not None

    virtual(story())


def test_the_event_is_aws_s(virtual, world):
    async def story():
        w = world()
        sequence = w.cloud.put("user-1", b"hello", at_s=1_800_000_000.1239)
        await w.run_for(1)
        assert w.service.events[0] == {
            "Records": [
                {
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": "user-1",
                        "sequenceNumber": sequence,
                        "data": "aGVsbG8=",
                        "approximateArrivalTimestamp": 1_800_000_000.124,
                    },
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": f"shardId-000000000000:{sequence}",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "arn:aws:iam::000000000000:role/r",
                    "awsRegion": "us-east-1",
                    "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
                }
            ]
        }

    virtual(story())


def test_a_restart_goes_on_after_the_last_batch(virtual, world):
    async def story():
        w = world()
        w.cloud.put("k", 1)
        await w.run_for(2)
        w.cloud.put("k", 2)
        await w.run_for(2)
        assert w.data == [1, 2]

    virtual(story())


def test_a_batching_window_gathers(virtual, world):
    """ "Specify the maximum amount of time to gather records before invoking the function, in seconds."""

    async def story():
        w = world(batching_window_s=10)
        running = asyncio.create_task(w.poller().run())
        for n in range(5):
            w.cloud.put("k", n)
            await asyncio.sleep(1)
        assert w.batches == []
        await asyncio.sleep(6)
        assert w.batches == [[0, 1, 2, 3, 4]]
        for n in range(100):
            w.cloud.put("k", n)
        await asyncio.sleep(2)
        assert len(w.batches) == 2, "a full batch does not wait"
        w.context.stop()
        await running

    virtual(story())


def test_a_batch_is_at_most_6_mb(virtual, world):
    async def story():
        w = world(batch_size=10_000)
        for _ in range(9):
            w.cloud.put("k", b"x" * 1_000_000)
        await w.run_for(20)
        sizes = [len(json.dumps(event, separators=(",", ":"))) for event in w.service.events]
        assert sum(len(event["Records"]) for event in w.service.events) == 9
        assert max(sizes) <= 6_291_456
        assert len(sizes) == 3

    virtual(story())


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_out_of_order_through_kills(virtual, world, lanes, seed):
    async def story():
        draw = random.Random(seed)

        def handler(event):
            if draw.random() < 0.2:
                raise ValueError("now and then")

        w = world(handler, batch_size=7, parallelization_factor=lanes, shards=2, bisect_on_error=seed % 2 == 0)
        keys = dict.fromkeys("abcdef", 0)
        for _ in range(200):
            key = draw.choice("abcdef")
            w.cloud.put(key, [key, keys[key]], shard=f"shardId-00000000000{ord(key) % 2}")
            keys[key] += 1
        for _ in range(20):
            await w.kill_after(draw.uniform(0.0, 0.6))
        w.service.handler = lambda event: None
        await w.run_for(200)
        ordered_once_the_first_time(w.data, keys)

    virtual(story())


def test_lanes_run_at_once_and_keys_stay_in_order(virtual, world):
    """ParallelizationFactor: "Lambda still ensures in-order processing at the partition-key level"."""

    async def story():
        w = world(batch_size=5, parallelization_factor=4)
        keys = {f"k{n}": 0 for n in range(20)}
        for n in range(400):
            key = f"k{n % 20}"
            w.cloud.put(key, [key, keys[key]])
            keys[key] += 1
        w.service.took_s = 0.5
        await w.run_for(60)
        assert w.service.most_running == 4
        assert len(w.data) == 400
        for key in keys:
            assert [n for k, n in w.data if k == key] == list(range(20))

    virtual(story())


def test_another_factor_repeats_and_skips_nothing(virtual, world):
    async def story():
        w = world(batch_size=2, parallelization_factor=3)
        for n in range(60):
            w.cloud.put(f"k{n % 7}", n)
        w.service.took_s = 1.0
        await w.run_for(6)
        early = len(w.data)
        assert 0 < early < 60
        w.options(parallelization_factor=2)
        await w.run_for(6)
        w.options(parallelization_factor=5)
        await w.run_for(60)
        assert sorted(w.data) == list(range(60))

    virtual(story())


def test_a_poison_record_is_isolated_and_told(virtual, world, queue_arn):
    async def story():
        def handler(event):
            if any(one["kinesis"]["partitionKey"] == "poison" for one in event["Records"]):
                raise ValueError("poison")

        w = world(handler, batch_size=50, bisect_on_error=True, maximum_retry_attempts=2, on_failure_arn=queue_arn)
        for n in range(50):
            w.cloud.put("poison" if n == 33 else "k", n)
        await w.run_for(300)
        assert len(w.cloud.delivered) == 1
        url, told = w.cloud.delivered[0]
        assert url == "http://queues/failed"
        info = told["KinesisBatchInfo"]
        assert info["batchSize"] == 1
        assert info["startSequenceNumber"] == info["endSequenceNumber"]
        assert info["streamArn"] == "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
        assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert told["responseContext"] == {
            "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"
        }  # fmt: skip
        good = [batch for batch in w.batches if 33 not in batch]
        assert sorted({n for batch in good for n in batch}) == [n for n in range(50) if n != 33]
        assert [batch for batch in w.batches if batch == [33]] == [[33]] * 3, "once, and two retries"
        assert w.counts.totals["OnFailureDestinationDeliveredEventCount"] == 1
        assert w.counts.totals["DroppedEventCount"] == 0

    virtual(story())


def test_retries_are_counted_across_kills(virtual, world):
    async def story():
        def handler(event):
            raise ValueError("always")

        w = world(handler, maximum_retry_attempts=4)
        w.cloud.put("k", 1)
        for _ in range(10):
            await w.kill_after(0.8)
        await w.run_for(60)
        assert w.counts.totals["DroppedEventCount"] == 1
        # A kill while the function runs may repeat that attempt.
        assert 5 <= len(w.batches) <= 15
        w.cloud.put("k", 2)
        w.service.handler = lambda event: None
        await w.run_for(5)
        assert w.batches[-1] == [2]

    virtual(story())


def test_old_records_are_discarded(virtual, world, queue_arn):
    """MaximumRecordAgeInSeconds: "Discard records older than the specified age."""

    async def story():
        w = world(maximum_record_age_s=60, on_failure_arn=queue_arn)
        now_s = w.cloud.now()
        w.cloud.put("k", "old", at_s=now_s - 100)
        w.cloud.put("k", "older", at_s=now_s - 90)
        w.cloud.put("k", "new")
        await w.run_for(5)
        assert w.data == ["new"]
        ((_, told),) = w.cloud.delivered
        assert told["requestContext"]["condition"] == "RecordAgeExceeded"
        assert told["requestContext"]["approximateInvokeCount"] == 0
        assert told["KinesisBatchInfo"]["batchSize"] == 2

    virtual(story())


def test_a_record_grows_too_old_while_it_is_retried(virtual, world):
    async def story():
        def handler(event):
            raise ValueError("always")

        w = world(handler, maximum_record_age_s=60)
        w.cloud.put("k", 1)
        await w.run_for(180)
        assert w.counts.totals["DroppedEventCount"] == 1

    virtual(story())


def test_without_an_age_records_are_retried_until_the_stream_drops_them(virtual, world):
    async def story():
        def handler(event):
            if event["Records"][0]["kinesis"]["partitionKey"] == "bad":
                raise ValueError("always")

        w = world(handler, batch_size=1)
        w.cloud.retention_h = 1
        w.cloud.put("bad", 1)
        w.cloud.put("good", 2, at_s=w.cloud.now() + 3000)
        await w.run_for(3500)
        assert 2 not in w.data
        await w.run_for(300)
        assert w.data[-1] == 2

    virtual(story())


def test_batch_item_failures(virtual, world):
    """ "Lambda uses the record with the lowest sequence number as the checkpoint. Lambda then retries all records
    starting from that checkpoint."""

    async def story():
        asked = []

        def handler(event):
            sequences = [one["kinesis"]["sequenceNumber"] for one in event["Records"]]
            asked.append(len(sequences))
            if len(asked) == 1:
                return {"batchItemFailures": [{"itemIdentifier": sequences[7]}, {"itemIdentifier": sequences[4]}]}
            return {"batchItemFailures": []}

        w = world(handler, reports_failures=True)
        for n in range(10):
            w.cloud.put("k", n)
        await w.run_for(10)
        assert w.batches == [list(range(10)), [4, 5, 6, 7, 8, 9]]
        assert w.counts.totals["FailedInvokeEventCount"] == 6

    virtual(story())


def test_throttles_are_waited_out_and_are_no_retries(virtual, world):
    """ "This doesn't apply to service errors or throttles where the batch didn't reach the function."""

    async def story():
        w = world(maximum_retry_attempts=0)
        w.service.throttles = [TooManyRequestsException(reason="ConcurrentInvocationLimitExceeded")] * 6
        w.cloud.put("k", 1)
        await w.run_for(1)
        assert w.data == []
        assert "throttled" in w.rows.results[-1]
        await w.run_for(60)
        assert w.data == [1]
        assert w.counts.totals["DroppedEventCount"] == 0

    virtual(story())


def test_the_position_waits_for_the_destination(virtual, world, queue_arn):
    async def story():
        def handler(event):
            raise ValueError("always")

        w = world(handler, maximum_retry_attempts=0, on_failure_arn=queue_arn)
        w.cloud.refuse_deliveries = 5
        w.cloud.put("k", 1)
        await w.run_for(10)
        assert w.cloud.delivered == []
        assert "destination" in w.rows.results[-1]
        w.cloud.refuse_deliveries = 0
        await w.run_for(60)
        assert len(w.cloud.delivered) == 1

    virtual(story())


def test_a_bucket_gets_the_records_too(virtual, world):
    async def story():
        def handler(event):
            raise ValueError("always")

        w = world(handler, maximum_retry_attempts=0, on_failure_arn="arn:aws:s3:::lost")
        w.cloud.put("k", 1)
        await w.run_for(10)
        ((place, told),) = w.cloud.delivered
        assert place.startswith("lost/aws/lambda/u/shardId-000000000000/20")
        assert json.loads(told["payload"])["Records"][0]["kinesis"]["partitionKey"] == "k"

    virtual(story())


@pytest.mark.parametrize("endless", [False, True])
def test_children_wait_for_their_parent(virtual, world, endless):
    async def story():
        w = world(batch_size=3)
        w.cloud.endless = endless
        for n in range(10):
            w.cloud.put("k", n)
        children = w.cloud.split("shardId-000000000000")
        for n in range(10, 20):
            w.cloud.put("k", n, shard=children[n % 2])
        w.service.took_s = 1.0
        await w.run_for(90)
        assert sorted(w.data) == list(range(20))
        assert w.data[:10] == list(range(10))

    virtual(story())


def test_shards_that_appear_are_read_from_their_beginning(virtual, world):
    async def story():
        w = world(starting_position="LATEST")
        w.cloud.put("k", "before")
        await w.poller().prepare()
        children = w.cloud.split("shardId-000000000000")
        for child in children:
            w.cloud.put("k", child, shard=child)
        await w.run_for(60)
        assert sorted(w.data) == sorted(children)

    virtual(story())


@pytest.mark.parametrize("quiet_s", [0, 3600])
def test_latest_loses_nothing_put_after_it_is_enabled(virtual, world, quiet_s):
    async def story():
        w = world(starting_position="LATEST")
        w.cloud.put("k", "before")
        await asyncio.sleep(quiet_s)
        await w.poller().prepare()
        w.cloud.put("k", "at once")
        # A kill before anything was read: the position is on disk.
        await w.kill_after(0.0)
        await asyncio.sleep(7200)
        w.cloud.put("k", "later")
        await w.run_for(30)
        assert w.data == ["at once", "later"]

    virtual(story())


def test_at_timestamp(virtual, world):
    async def story():
        w = world(starting_position="AT_TIMESTAMP")
        now_s = w.cloud.now()
        w.options(starting_timestamp_s=now_s - 50)
        for ago in (100, 60, 50, 10):
            w.cloud.put("k", ago, at_s=now_s - ago)
        await w.run_for(10)
        assert w.data == [50, 10]

    virtual(story())


def test_an_expired_iterator_is_replaced(virtual, world):
    async def story():
        w = world()
        w.cloud.put("k", 1)
        running = asyncio.create_task(w.poller().run())
        await asyncio.sleep(5)
        w.cloud.expire()
        w.cloud.put("k", 2)
        await asyncio.sleep(5)
        assert w.data == [1, 2]
        w.context.stop()
        await running

    virtual(story())


def test_trimmed_data(virtual, world, refuse):
    async def story():
        w = world()
        w.cloud.put("k", 1)
        await w.run_for(5)
        w.cloud.shards["shardId-000000000000"].records.clear()
        w.cloud.put("k", 3)
        w.cloud.errors = [refuse("TrimmedDataAccessException")]
        await w.run_for(5)
        assert w.data == [1, 3]
        assert any("trimmed" in result for result in w.rows.results)

    virtual(story())


def test_a_shard_that_vanished_is_finished(virtual, world):
    async def story():
        w = world(shards=2)
        w.cloud.put("k", 1, shard="shardId-000000000001")
        running = asyncio.create_task(w.poller().run())
        await asyncio.sleep(3)
        del w.cloud.shards["shardId-000000000000"]
        await asyncio.sleep(30)
        w.cloud.put("k", 2, shard="shardId-000000000001")
        await asyncio.sleep(5)
        assert w.data == [1, 2]
        w.context.stop()
        await running

    virtual(story())


def test_a_source_that_fails_for_long_ends_the_poller(virtual, world, refuse):
    async def story():
        w = world()
        w.cloud.errors = [refuse("InternalFailure")] * 50
        with pytest.raises(Exception, match="InternalFailure"):
            await w.poller().run()
        w.cloud.errors = [refuse("ProvisionedThroughputExceededException")] * 10
        w.cloud.put("k", 1)
        await w.run_for(120)
        assert w.data == [1]

    virtual(story())


def test_a_stream_of_the_same_name_is_another_one(virtual, world):
    async def story():
        w = world(starting_position="LATEST")
        await w.poller().prepare()
        w.cloud.put("k", 1)
        await w.run_for(3)
        w.cloud.__init__()
        w.cloud.created_s = 2.0
        w.cloud.put("k", "new")
        await w.run_for(3)
        assert w.data == [1, "new"]

    virtual(story())


def test_stopping_lets_the_batch_finish(virtual, world):
    async def story():
        w = world()
        w.service.took_s = 60
        w.cloud.put("k", 1)
        running = asyncio.create_task(w.poller().run())
        await asyncio.sleep(5)
        w.context.stop()
        await running
        await w.run_for(5)
        assert w.data == [1], "it was not sent again"

    virtual(story())


def test_what_filters_pass_over_moves_the_position(virtual, world):
    async def story():
        w = world(filters=('{"data": {"n": [{"numeric": [">", 90]}]}}',), batch_size=10)
        for n in range(100):
            w.cloud.put("k", {"n": n})
        await w.run_for(5)
        assert [one["n"] for one in w.data] == list(range(91, 100))
        assert w.counts.totals["FilteredOutEventCount"] == 91
        w.cloud.put("k", {"n": 1})
        await w.run_for(5)
        sequences = [one["SequenceNumber"] for one in w.cloud.shards["shardId-000000000000"].records]
        assert json.loads(w.rows.disk["shardId-000000000000"])["after"] in sequences[98:]

    virtual(story())


def test_a_lane_that_is_stuck_does_not_hold_the_others(virtual, world):
    async def story():
        def handler(event):
            if any(one["kinesis"]["partitionKey"] == "bad" for one in event["Records"]):
                raise ValueError("always")

        w = world(handler, batch_size=2, parallelization_factor=4)
        w.cloud.put("bad", -1)
        for n in range(40):
            w.cloud.put(f"k{n}", n)
        await w.kill_after(30)
        done = {n for batch in w.batches if -1 not in batch for n in batch}
        assert len(done) > 20
        before = len(w.data)
        await w.run_for(60)
        again = [one for one in w.data[before:] if one in done]
        assert again == [], "what lanes have done beyond the stuck record is not sent again"

    virtual(story())


def test_memory_is_bounded_while_a_function_is_slow(virtual, world):
    async def story():
        w = world(batch_size=10)
        for n in range(20_000):
            w.cloud.put("k", n)
        w.service.took_s = 5
        poller = w.poller()
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(30)
        (reader,) = poller._readers.values()
        assert len(reader.lanes[0].queue) <= 2 * 10 + 2 * 2_000
        w.context.stop()
        await running
        first = [n for batch in w.batches for n in batch]
        assert all(b - a == 1 for a, b in pairwise(first))

    virtual(story())
