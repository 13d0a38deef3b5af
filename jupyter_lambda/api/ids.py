"""Request ids: UUIDs in the order of their time.

AWS's are random throughout; nobody may read anything into either. In the order of their time, the rows of the queue and
of the ledger, which are indexed by them, share the pages of the index that are written: with a million records in the
ledger, random ids would touch one page each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

#: Ids of one draw from the system's randomness: a call of it costs as much as ten ids.
_DRAWN = 128
#: Hexadecimal digit → the same with the two bits of RFC 9562's variant.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def request_ids(clock: Callable[[], float] = time.time) -> Iterator[str]:
    """UUIDs of version 7 (RFC 9562) without end: milliseconds, a counter within them, 62 random bits."""
    now_ms, count, prefix = -1, 0, ""
    while True:
        text = os.urandom(8 * _DRAWN).hex()
        for at in range(0, 16 * _DRAWN, 16):
            ms = int(clock() * 1000)
            if ms == now_ms:
                count = (count + 1) & 0xFFF
            else:
                now_ms, count, prefix = ms, 0, f"{ms >> 16 & 0xFFFFFFFF:08x}-{ms & 0xFFFF:04x}-7"
            yield f"{prefix}{count:03x}-{_VARIANT[text[at]]}{text[at + 1 : at + 4]}-{text[at + 4 : at + 16]}"
