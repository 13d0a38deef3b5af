"""Request ids are what the standard library's would be."""

from __future__ import annotations

from itertools import islice
from uuid import RFC_4122, UUID

from jupyter_lambda.api.ids import request_ids


def test_ids_are_random_uuids_and_differ():
    made = list(islice(request_ids(), 1000))
    assert len(set(made)) == 1000
    for text in made:
        parsed = UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == RFC_4122
    assert {text[19] for text in made} == set("89ab")
