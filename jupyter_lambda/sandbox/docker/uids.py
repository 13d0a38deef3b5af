"""One uid per sandbox: what sandboxes share by uid (signals, limits, inotify watches, files) they then don't share."""

from __future__ import annotations

from jupyter_lambda.errors import DriverError


class UidPool:
    """Hands out uids of a range in turn, so that one that was given back rests longest."""

    def __init__(self, base: int, count: int, installation_id: str) -> None:
        self._base = base
        self._count = count
        # Engines of one host share the range: where each begins is spread by its installation.
        self._next = int(installation_id[:8] or "0", 16) % count
        self._taken: set[int] = set()

    def take(self) -> int:
        """A uid no living sandbox has.

        Raises:
            DriverError: All are taken.
        """
        for _ in range(self._count):
            uid = self._base + self._next
            self._next = (self._next + 1) % self._count
            if uid not in self._taken:
                self._taken.add(uid)
                return uid
        raise DriverError(f"all {self._count} uids for sandboxes are in use; raise uid_count")

    def give_back(self, uid: int) -> None:
        """Its sandbox is gone with all its processes and files."""
        self._taken.discard(uid)
