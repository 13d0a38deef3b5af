"""Request ids: random UUIDs, made by the hundred."""

from __future__ import annotations

import os
from collections.abc import Iterator

#: Ids of one draw from the system's randomness: a call of it costs as much as twenty ids.
_DRAWN = 128
#: Hexadecimal digit → the same with the two bits of RFC 9562's variant.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def request_ids() -> Iterator[str]:
    """Random UUIDs (version 4, RFC 9562) without end, as ``str(uuid.uuid4())`` writes them."""
    while True:
        text = os.urandom(16 * _DRAWN).hex()
        for at in range(0, 32 * _DRAWN, 32):
            variant = _VARIANT[text[at + 16]]
            yield (
                f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-4{text[at + 13 : at + 16]}"
                f"-{variant}{text[at + 17 : at + 20]}-{text[at + 20 : at + 32]}"
            )
