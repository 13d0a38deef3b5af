"""What is decided without I/O: retries, splitting, progress, windows, reports."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.model.mapping import Options
from jupyter_lambda.triggers.mappings.streams import windows
from jupyter_lambda.triggers.mappings.streams.progress import SKIPPED, Progress
from jupyter_lambda.triggers.mappings.streams.report import answer_of, first_failure
from jupyter_lambda.triggers.mappings.streams.retries import expired, judge
from jupyter_lambda.triggers.mappings.streams.source import Start
from jupyter_lambda.triggers.mappings.streams.state import Lane, Segment, ShardState, Window

OPTIONS = Options(batch_size=100)


def play(count: int, poisons: set[int], options: Options, *, reports: bool) -> tuple[list[int], list[list[int]], int]:
    """Send a batch of so many records until nothing is left: what succeeded, what was given up, invocations."""
    done: list[int] = []
    given_up: list[list[int]] = []
    invokes = 0
    pending = [Segment(0, count - 1, 0, 0)]
    while pending:
        segment = pending.pop(0)
        numbers = [n for n in range(count) if segment.first <= n <= segment.last]
        invokes += 1
        assert invokes < 100_000
        bad = [index for index, n in enumerate(numbers) if n in poisons]
        failed_at = None if not bad else (bad[0] if reports else 0)
        verdict = judge(numbers, segment, failed_at, options)
        done += numbers[: verdict.done]
        gone = verdict.done + verdict.discarded
        if verdict.discarded:
            given_up.append(numbers[verdict.done : gone])
        rest = [n for one in verdict.segments for n in numbers if one.first <= n <= one.last]
        assert numbers[:gone] + rest == numbers, "nothing is skipped, nothing changes places"
        pending = list(verdict.segments) + pending
    return done, given_up, invokes


@given(st.integers(1, 60), st.data(), st.integers(0, 3), st.booleans())
def test_bisecting_always_isolates(count, data, retries, reports):
    poisons = data.draw(st.sets(st.integers(0, count - 1)))
    options = replace(OPTIONS, bisect_on_error=True, maximum_retry_attempts=retries)
    done, given_up, _ = play(count, poisons, options, reports=reports)
    assert given_up == [[n] for n in sorted(poisons)]
    assert done == [n for n in range(count) if n not in poisons]


@given(st.integers(1, 60), st.data(), st.integers(0, 3))
def test_without_splitting_a_batch_is_given_up_as_a_whole(count, data, retries):
    poisons = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    options = replace(OPTIONS, maximum_retry_attempts=retries)
    done, given_up, invokes = play(count, poisons, options, reports=False)
    assert (done, given_up) == ([], [list(range(count))])
    assert invokes == retries + 1


def test_a_report_gives_up_from_the_failure_on():
    options = replace(OPTIONS, maximum_retry_attempts=1)
    assert play(10, {6}, options, reports=True) == ([0, 1, 2, 3, 4, 5], [[6, 7, 8, 9]], 2)


def test_endless_retries_never_give_up():
    segment = Segment(0, 9, 10_000, 10_000)
    verdict = judge(range(10), segment, 0, OPTIONS)
    assert verdict.discarded == 0
    assert verdict.segments == (Segment(0, 9, 10_001, 10_001),)


@given(st.lists(st.integers(-1, 3), max_size=60), st.data())
def test_progress_is_the_longest_prefix_that_is_done(lanes, data):
    progress = Progress("")
    dones = [-1] * 4
    for number, lane in enumerate(lanes):
        progress.read(number, str(number), lane if lane >= 0 else SKIPPED)
    for _ in range(10):
        lane = data.draw(st.integers(0, 3))
        dones[lane] = max(dones[lane], data.draw(st.integers(-1, 60)))
        progress.advance(dones)
        prefix = 0
        while prefix < len(lanes) and (lanes[prefix] < 0 or prefix <= dones[lanes[prefix]]):
            prefix += 1
        assert progress.after == (str(prefix - 1) if prefix else "")


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=5),
    st.lists(st.integers(1, 10), max_size=4),
    st.integers(-1, 40),
)
def test_dividing_anew_forgets_nothing_that_was_done(dones, factors, after):
    state = ShardState(Start("TRIM_HORIZON"), after=str(after) if after >= 0 else "", lanes=[Lane(n) for n in dones])
    before = {(number, key): state.is_done(number, key) for number in range(60) for key in range(20)}
    for factor in factors:
        state.divide(factor)
        state = ShardState.from_json(json.loads(json.dumps(state.to_json())))
    assert before == {(number, key): state.is_done(number, key) for number in range(60) for key in range(20)}


def test_a_state_comes_back_whole():
    lane = Lane(10**56, [Segment(1, 2, 3, 4)], Window(60.0, 120.0, {"a": [1]}, terminated_early=True, attempts=2))
    state = ShardState(Start("AT_TIMESTAMP", timestamp_s=1.5), ("p",), "495", False, [lane], [[10**60, 3]])
    assert ShardState.from_json(json.loads(json.dumps(state.to_json()))) == state


SUCCESSES = [b"", b"null", b"{}", b"[]", b'""', b'{"batchItemFailures": []}', b'{"batchItemFailures": null}', b'"fine"']
FAILURES = [
    b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
    b'{"batchItemFailures": [{"itemIdentifier": null}]}',
    b'{"batchItemFailures": [{"foo": "2"}]}',
    b'{"batchItemFailures": [{"itemIdentifier": 2}]}',
    b'{"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "nobody"}]}',
    b'{"batchItemFailures": [null]}',
    b'{"batchItemFailures": "2"}',
]


@pytest.mark.parametrize("payload", SUCCESSES)
def test_a_batch_is_a_complete_success(payload):
    """ "Lambda treats a batch as a complete success if you return any of the following: an empty batchItemFailure list,
    a null batchItemFailure list, an empty EventResponse, a null EventResponse."""
    assert first_failure(answer_of(payload), ["1", "2", "3"]) is None


@pytest.mark.parametrize("payload", FAILURES)
def test_a_batch_is_a_complete_failure(payload):
    """ "… a complete failure if you return any of the following: an empty string itemIdentifier, a null itemIdentifier,
    an itemIdentifier with a bad key name."""
    assert first_failure(answer_of(payload), ["1", "2", "3"]) == 0


def test_the_lowest_failure_is_the_checkpoint():
    payload = b'{"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "2"}]}'
    assert first_failure(answer_of(payload), ["1", "2", "3"]) == 1


def test_ages():
    options = replace(OPTIONS, maximum_record_age_s=60)
    assert expired([0.0, 39.0, 40.0, 41.0], 100.0, options, 1e9) == 2
    assert expired([0.0, 39.0], 100.0, OPTIONS, 99.0) == 1
    assert expired([0.0, 39.0], 100.0, OPTIONS, 1e9) == 0


def test_windows_begin_at_multiples_of_their_length():
    window = windows.window_at(1607497475.0, 120)
    text = b"{" + windows.members(window, "shardId-000000000006", "arn", final=False) + b"}"
    assert json.loads(text) == {
        "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
        "state": {},
        "shardId": "shardId-000000000006",
        "eventSourceARN": "arn",
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }
    assert windows.belongs(window, window.end_s - 0.001)
    assert not windows.belongs(window, window.end_s)
    assert windows.belongs(window, window.start_s - 5), "one that came late"


def test_a_state_of_more_than_1_mb_ends_its_window():
    """ "Your state can be a maximum of 1 MB per shard. If it exceeds that size, Lambda terminates the window early."""
    window = windows.window_at(0.0, 60)
    assert not windows.with_answer(window, {"state": {"a": "x" * 1_048_000}}).terminated_early
    large = windows.with_answer(window, {"state": {"a": "x" * 1_048_576}})
    assert large.terminated_early
    assert windows.is_over(large, 1.0, at_tip=False)
    assert windows.with_answer(window, {"result": 1}) is None
    assert windows.with_answer(window, None) is None
