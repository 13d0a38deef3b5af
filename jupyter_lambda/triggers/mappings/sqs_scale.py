"""How many batches of a queue may be under way at once. Pure.

AWS begins with five pollers, adds more while there are messages, and takes concurrency away while the function fails or
is throttled. Here each batch that succeeds allows one more, and each that doesn't halves what is allowed.

Source: AWS Lambda Developer Guide, "Configuring scaling behavior for SQS event source mappings" and "Backoff strategy
for failed invocations".
"""

from __future__ import annotations

#: Batches at once to begin with, and at most where ScalingConfig doesn't say. Source: as above; AWS's most is 1,250.
FIRST, MOST = 5, 1_000


class Scale:
    """Of one mapping."""

    def __init__(self, maximum: int | None) -> None:
        """
        Args:
            maximum: MaximumConcurrency; None: as many as the account's concurrency lets run.
        """
        self.maximum = maximum or MOST
        self._allowed = float(min(FIRST, self.maximum))

    @property
    def allowed(self) -> int:
        """Batches that may be under way now; at least one."""
        return int(self._allowed)

    def worked(self) -> None:
        """A batch succeeded."""
        self._allowed = min(float(self.maximum), self._allowed + 1.0)

    def failed(self) -> None:
        """A batch failed or was throttled."""
        self._allowed = max(1.0, self._allowed / 2)
