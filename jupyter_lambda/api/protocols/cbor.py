"""CBOR as far as AWS's rpc-v2-cbor uses it: no tags but epoch time, text keys only, bounded depth.

Times come and go as ``EpochTime``. Whatever bytes come in, ``loads`` answers a value or raises ``CborError``.
Source: RFC 8949; Smithy specification, "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import struct
from typing import Any

#: Nested arrays, maps and tags.
DEPTH_MAX = 64
_INDEFINITE = 31
_BREAK = 0xFF
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_EPOCH_TAG = 1
_SIMPLES = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_INT_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}


class CborError(ValueError):
    """The bytes are not CBOR, or CBOR that the protocol has no use for."""


class EpochTime(float):
    """Seconds since the epoch."""


def loads(data: bytes) -> Any:
    """The one value that the bytes hold.

    Raises:
        CborError: They are cut short, go on, or hold something that the protocol hasn't.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if reader.position != len(data):
        raise CborError(f"{len(data) - reader.position} bytes follow the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise CborError(f"nested deeper than {DEPTH_MAX} levels")
        first = self._take(1)[0]
        major, info = first >> 5, first & 0x1F
        match major:
            case 0:
                return self._count(info)
            case 1:
                return -1 - self._count(info)
            case 2:
                return self._string(info, _BYTES)
            case 3:
                return self._text(self._string(info, _TEXT))
            case 4:
                return self._array(info, depth)
            case 5:
                return self._map(info, depth)
            case 6:
                return self._tagged(self._count(info), depth)
        return self._simple(info)

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self._data):
            raise CborError("the bytes are cut short")
        piece = self._data[self.position : end]
        self.position = end
        return piece

    def _count(self, info: int) -> int:
        if info < 24:
            return info
        size = _INT_SIZES.get(info)
        if size is None:
            raise CborError(f"additional information {info} has no meaning here")
        return int.from_bytes(self._take(size), "big")

    def _string(self, info: int, major: int) -> bytes:
        if info != _INDEFINITE:
            return self._take(self._count(info))
        pieces = []
        while (first := self._take(1)[0]) != _BREAK:
            if first >> 5 != major or first & 0x1F == _INDEFINITE:
                raise CborError("a piece of a string is of another kind")
            pieces.append(self._take(self._count(first & 0x1F)))
        return b"".join(pieces)

    @staticmethod
    def _text(data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise CborError("a text is not UTF-8") from exc

    def _more(self, left: int | None) -> bool:
        """Whether another item follows; ``left`` None: until the break."""
        if left is not None:
            return left > 0
        if self.position >= len(self._data):
            raise CborError("the bytes are cut short")
        if self._data[self.position] != _BREAK:
            return True
        self.position += 1
        return False

    def _array(self, info: int, depth: int) -> list[Any]:
        left = None if info == _INDEFINITE else self._count(info)
        items = []
        while self._more(left):
            items.append(self.value(depth + 1))
            left = None if left is None else left - 1
        return items

    def _map(self, info: int, depth: int) -> dict[str, Any]:
        left = None if info == _INDEFINITE else self._count(info)
        items: dict[str, Any] = {}
        while self._more(left):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise CborError("the key of a map is not text")
            items[key] = self.value(depth + 1)
            left = None if left is None else left - 1
        return items

    def _tagged(self, tag: int, depth: int) -> EpochTime:
        value = self.value(depth + 1)
        if tag != _EPOCH_TAG or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CborError(f"tag {tag} is none of the protocol's, or not around a number")
        try:
            return EpochTime(value)
        except OverflowError:
            raise CborError("a time is too large") from None

    def _simple(self, info: int) -> Any:
        if info in _SIMPLES:
            return _SIMPLES[info]
        form = _FLOATS.get(info)
        if form is None:
            raise CborError(f"simple value {info} is none of the protocol's")
        return struct.unpack(form[0], self._take(form[1]))[0]


def dumps(value: Any) -> bytes:
    """A value as CBOR, lengths always stated. Times are ``EpochTime``; ints beyond 64 bits raise OverflowError."""
    out = bytearray()
    _write(value, out)
    return bytes(out)


def _write(value: Any, out: bytearray) -> None:
    if value is None or isinstance(value, bool):
        out.append(0xF6 if value is None else 0xF5 if value else 0xF4)
    elif isinstance(value, EpochTime):
        _head(_TAG, _EPOCH_TAG, out)
        seconds = float(value)
        _write(int(seconds) if seconds.is_integer() else seconds, out)
    elif isinstance(value, int):
        _head(_UNSIGNED if value >= 0 else _NEGATIVE, value if value >= 0 else -1 - value, out)
    elif isinstance(value, float):
        out.append(0xFB)
        out += struct.pack(">d", value)
    elif isinstance(value, str):
        data = value.encode()
        _head(_TEXT, len(data), out)
        out += data
    elif isinstance(value, bytes):
        _head(_BYTES, len(value), out)
        out += value
    elif isinstance(value, dict):
        _head(_MAP, len(value), out)
        for key, item in value.items():
            _write(key, out)
            _write(item, out)
    else:
        _head(_ARRAY, len(value), out)
        for item in value:
            _write(item, out)


def _head(major: int, count: int, out: bytearray) -> None:
    if count < 24:
        out.append(major << 5 | count)
        return
    for info, size in _INT_SIZES.items():
        if count < 1 << (8 * size):
            out.append(major << 5 | info)
            out += count.to_bytes(size, "big")
            return
    raise OverflowError("an integer has more than 64 bits")
