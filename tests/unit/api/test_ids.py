"""Request ids are UUIDs like any others, and sort by their time."""

from __future__ import annotations

from itertools import count, islice
from uuid import RFC_4122, UUID

from jupyter_lambda.api.ids import request_ids


def test_ids_are_uuids_of_the_seventh_version():
    made = list(islice(request_ids(), 1000))
    for text in made:
        parsed = UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == RFC_4122
    assert {text[19] for text in made} == set("89ab")


def test_ids_differ_within_a_millisecond_and_between_two_generators():
    clocks = [lambda: 1_763_950_000.0] * 2
    made = [text for clock in clocks for text in islice(request_ids(clock), 5000)]
    assert len(set(made)) == len(made)


def test_ids_come_in_the_order_of_their_time():
    ticks = count()
    made = list(islice(request_ids(lambda: 1_763_950_000.0 + next(ticks) / 3000), 3000))
    assert made == sorted(made)
    assert int(made[0].replace("-", "")[:12], 16) == 1_763_950_000_000
