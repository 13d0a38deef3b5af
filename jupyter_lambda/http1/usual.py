"""What a client sends again and again: heads that differ from the last one in a few values only.

A client of an API sends the same request line and headers for hours; date, signature and length change. Such a head is
compared with the last one that the parser has read, line by line, and only the values that differ are looked at. That
takes a third of the parser's time. It is no second way of reading HTTP: names, order, spacing and everything that says
where a message ends must be those that the parser has accepted; whatever is not so plain is left to the parser.
"""

from __future__ import annotations

import re

#: Values that may differ from the last head's: visible ASCII, with spaces inside.
_PLAIN = re.compile(rb"[!-~](?:[ -~]*[!-~])?").fullmatch
#: Headers that say how a message is delimited or the connection goes on: a head with one of them, but for the last, is
#: always the parser's.
_FRAMING = frozenset({"connection", "expect", "te", "trailer", "transfer-encoding", "upgrade", "keep-alive"})
_LENGTH = "content-length"
#: Decimal digits of a length that can't be too large to be looked at.
_DIGITS_MAX = 9
#: Longest head that is kept.
_HEAD_MAX_BYTES = 4096


class Usual:
    """The last request's head, taken apart."""

    __slots__ = ("_headers", "_length", "_lines", "_names", "_prefixes", "_raw", "method", "path", "query")

    def __init__(self, method: str, path: str, query: str, raw: list[tuple[bytes, bytes]], lines: list[bytes]) -> None:
        self.method, self.path, self.query = method, path, query
        self._lines, self._raw = lines, raw
        self._names = [name.decode("ascii").lower() for name, _ in raw]
        self._prefixes = [line[: len(line) - len(value)] for line, (_, value) in zip(lines[1:], raw, strict=True)]
        self._headers = {name: value.decode("ascii") for name, (_, value) in zip(self._names, raw, strict=True)}
        self._length = self._names.index(_LENGTH) if _LENGTH in self._names else -1

    @classmethod
    def learn(
        cls, data: bytes, method: str, path: str, query: str, raw: list[tuple[bytes, bytes]], body_bytes: int
    ) -> Usual | None:
        """Of one whole request that the parser has read and after which the connection goes on; None if it isn't plain.

        Args:
            data: All of it, head and body.
        """
        head, mark, body = data.partition(b"\r\n\r\n")
        if not mark or len(head) > _HEAD_MAX_BYTES or len(body) != body_bytes or not head.isascii():
            return None
        lines = head.split(b"\r\n")
        if len(lines) != len(raw) + 1 or not lines[0].endswith(b" HTTP/1.1"):
            return None
        names = [name.lower() for name, _ in raw]
        if len(set(names)) != len(names) or not _FRAMING.isdisjoint(name.decode("latin-1") for name in names):
            return None
        for line, (name, value) in zip(lines[1:], raw, strict=True):
            if not (_PLAIN(value) and line.startswith(name + b":") and line.endswith(value)):
                return None
            if line[len(name) + 1 : len(line) - len(value)].strip(b" "):
                return None
        return cls(method, path, query, raw, lines)

    def read(self, data: bytes) -> tuple[list[tuple[bytes, bytes]], dict[str, str], bytes] | None:
        """Headers as they came, headers by name, and the body, of a whole request like the last one; None for another.

        Args:
            data: What came since the last request ended.
        """
        end = data.find(b"\r\n\r\n")
        lines = data[:end].split(b"\r\n") if end > 0 else []
        known = self._lines
        if len(lines) != len(known) or lines[0] != known[0]:
            return None
        raw, headers = self._raw.copy(), self._headers.copy()
        for at, prefix in enumerate(self._prefixes):
            line = lines[at + 1]
            if line == known[at + 1]:
                continue
            value = line[len(prefix) :]
            if not (line.startswith(prefix) and _PLAIN(value)):
                return None
            raw[at] = (raw[at][0], value)
            headers[self._names[at]] = value.decode("ascii")
        size_bytes = 0
        if self._length >= 0:
            digits = raw[self._length][1]
            if not digits.isdigit() or len(digits) > _DIGITS_MAX:
                return None
            size_bytes = int(digits)
        body = data[end + 4 :]
        return (raw, headers, body) if len(body) == size_bytes else None
