"""How fast the queue of asynchronous events is worked off while new ones pour in.

Taking an event in means a promise and a few microseconds; running it takes the machine's whole way through a sandbox.
If both had the same right to it, whoever hands in a burst of events would wait for their own events to run. So a flood
is taken in first and worked off right after, as by AWS's queue in front of Lambda; one that does not end gets its share
of the machine back bit by bit, so that the queue can't grow for ever while the machine has power to spare.

What is a flood does not depend on how fast the machine is: it is when those who hand events in stand in line for it.
"""

from __future__ import annotations

#: Events that are being taken in at once, on average, from which on it is a flood: one more than can't be helped.
FLOOD_LINE = 2.0
#: Seconds over which the line is watched, and how many events must have come in them.
WINDOW_S, WINDOW_EVENTS = 0.05, 10
#: Seconds between two looks at the queue during a flood.
LOOK_EVERY_S = 0.02
#: Seconds of a flood in which one event is begun at each look; from then on twice as many with every second.
PATIENCE_S = 5.0


class Pace:
    """Says how many events may be begun now. Pure: the time is told to it, in any clock's seconds."""

    def __init__(self) -> None:
        #: Events that are being taken in.
        self._line = 0
        #: Of this window: events that came, and how long the line was for each, itself included.
        self._came = self._lengths = 0
        self._window_since_s: float | None = None
        self._flood_since_s: float | None = None

    def comes(self) -> None:
        """An event is handed in."""
        self._line += 1
        self._came += 1
        self._lengths += self._line

    def came(self) -> None:
        """It is taken in, or refused."""
        self._line -= 1

    def flooded(self, now_s: float) -> bool:
        """Whether events pour in; asked before each look at the queue."""
        since_s = self._window_since_s
        if since_s is None:
            since_s = self._window_since_s = now_s
        if now_s - since_s >= WINDOW_S:
            if self._came < WINDOW_EVENTS or self._lengths < FLOOD_LINE * self._came:
                self._flood_since_s = None
            elif self._flood_since_s is None:
                self._flood_since_s = since_s
            self._window_since_s = now_s
            self._came = self._lengths = 0
        return self._flood_since_s is not None

    def allowance(self, now_s: float, room: int) -> int:
        """How many may be begun at this look.

        Args:
            room: How many could be, if nothing came in.
        """
        if self._flood_since_s is None:
            return room
        impatient_s = now_s - self._flood_since_s - PATIENCE_S
        return min(room, 1 if impatient_s < 0 else 2 ** min(16, int(impatient_s) + 1))
