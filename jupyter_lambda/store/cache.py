"""A bounded map of what was read last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Least recently used entries leave first. Used by the loop's thread only.

    Correct without locks because every write of the store passes through this process, and the writer thread reports
    commits to the loop in their order: see ``Database.write``'s ``then``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[K, V] = {}

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The entry, loaded where it is missing."""
        try:
            value = self._entries.pop(key)
        except KeyError:
            value = load()
            while len(self._entries) >= self._limit:
                del self._entries[next(iter(self._entries))]
        self._entries[key] = value
        return value

    def put(self, key: K, value: V) -> None:
        """Remember what was just committed."""
        self._entries.pop(key, None)
        self._entries[key] = value
        while len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]

    def forget(self, key: K) -> None:
        """Drop one entry."""
        self._entries.pop(key, None)

    def forget_where(self, belongs: Callable[[K], bool]) -> None:
        """Drop every entry whose key belongs to something that is gone."""
        for key in [k for k in self._entries if belongs(k)]:
            del self._entries[key]
