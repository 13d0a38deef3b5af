"""The CBOR codec: its own round trip, botocore's reading of it, and bytes that make no sense."""

from __future__ import annotations

import math

import pytest
from botocore.parsers import RpcV2CBORParser
from botocore.serialize import RpcV2CBORSerializer
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.api.protocols import cbor

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.floats(0, 4e9).map(cbor.EpochTime)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


@given(values)
def test_round_trip(value):
    assert cbor.loads(cbor.dumps(value)) == value


@given(st.recursive(st.booleans() | st.integers(0, 2**63) | st.text() | st.binary(), st.lists, max_leaves=20))
def test_botocore_reads_it(value):
    parser = RpcV2CBORParser()
    assert parser.parse_data_item(parser.get_peekable_stream_from_bytes(cbor.dumps(value))) == value


@given(st.floats() | st.integers(-(2**63), 2**63))
def test_botocore_writes_it(value):
    out = bytearray()
    serializer = RpcV2CBORSerializer()
    if isinstance(value, float):
        serializer._serialize_type_double(out, value, None, None)
    else:
        serializer._serialize_type_integer(out, value, None, None)
    found = cbor.loads(bytes(out))
    assert found == value or (math.isnan(value) and math.isnan(found))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data):
    try:
        cbor.loads(data)
    except cbor.CborError as exc:
        assert str(exc)  # noqa: PT017 - either is right


@given(values, st.data())
def test_what_is_cut_short_is_an_error(value, data):
    whole = cbor.dumps(value)
    with pytest.raises(cbor.CborError):
        cbor.loads(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # RFC 8949, appendix A
        ("00", 0),
        ("1864", 100),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3bffffffffffffffff", -(2**64)),
        ("f90001", 5.960464477539063e-8),
        ("fa47c35000", 100000.0),
        ("c11a514b67b0", 1363896240),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("f7", None),
    ],
)
def test_examples(data, expected):
    assert cbor.loads(bytes.fromhex(data)) == expected


@pytest.mark.parametrize(
    "data",
    ["", "1c", "ff", "61ff", "c074", "c1f5", "a10102", "f800", "0000", "5f6161ff", "9b7fffffffffffffff", "81" * 100],
)
def test_what_the_protocol_has_no_use_for(data):
    with pytest.raises(cbor.CborError):
        cbor.loads(bytes.fromhex(data))
