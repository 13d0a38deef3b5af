"""How far a shard is done with as a whole, while its lanes are at different places."""

from __future__ import annotations

from collections import deque

#: In place of a lane: done with by being passed over.
SKIPPED = -1


class Progress:
    """Records in the order they were read; the ones at the head leave once their lane has passed them."""

    def __init__(self, after: str) -> None:
        #: Everything up to this sequence number is done with.
        self.after = after
        self._pending: deque[tuple[int, str, int]] = deque()

    def read(self, number: int, sequence: str, lane: int) -> None:
        """A record was read.

        Args:
            lane: The one that it belongs to, or ``SKIPPED``.
        """
        self._pending.append((number, sequence, lane))

    def advance(self, dones: list[int]) -> bool:
        """Move ``after`` as far as may be; whether it moved.

        Args:
            dones: For each lane, the number of the last record that is done with.
        """
        pending, before = self._pending, self.after
        while pending and (pending[0][2] == SKIPPED or pending[0][0] <= dones[pending[0][2]]):
            self.after = pending.popleft()[1]
        return self.after != before
