"""Results as JSON."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.runtime.encoder import Encoder
from jupyter_lambda.runtime.errors import Fault

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_infinity=False, allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_decimals_keep_all_their_digits(value):
    try:
        text = Encoder().encode(value)
    except Fault:  # Python 3.12 and later write text as it is, and half a surrogate pair can't be
        assert any(0xD800 <= ord(c) < 0xE000 for c in repr(value))
        return
    again = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    assert again == value


def test_an_encoder_is_clean_after_a_failure():
    encoder = Encoder()
    with pytest.raises(Fault, match="Object of type set is not JSON serializable"):
        encoder.encode([Decimal("1.5"), {1}])
    assert encoder.encode([Decimal("2.5")]) == b"[2.5]"


def test_circles_are_a_marshal_error():
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(Fault, match="Unable to marshal response: Circular reference detected"):
        Encoder().encode(circle)
