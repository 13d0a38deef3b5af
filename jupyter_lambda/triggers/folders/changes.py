"""What has changed: pure, so that it is tested without a clock and without files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from jupyter_lambda.model.folder import File

from .scan import Look

Type = Literal["created", "modified", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """A file that has settled in a state that nobody was told of."""

    name: str
    type: Type
    #: The state; of a file that is gone, its last.
    file: File


@dataclass(slots=True)
class _Restless:
    """A file that differs from what was told, and since when it looks as it does."""

    file: File | None
    since_s: float


class Changes:
    """Compares what is found with what was told. Times are seconds of one clock that never goes back."""

    def __init__(self, told: dict[str, File], settle_s: float) -> None:
        #: Name → the state that was told of last.
        self.told = told
        self._settle_s = settle_s
        self._restless: dict[str, _Restless] = {}

    def settle(self, settle_s: float) -> None:
        """Another time to rest."""
        self._settle_s = settle_s

    def look(self, found: Look, now_s: float, wall_s: float, *, names: Collection[str] | None = None) -> None:
        """Take note of what was found.

        Args:
            wall_s: The time of day, to see how long a file has rested already.
            names: What was looked for; None: all of the folder.
        """
        for name, file in found.files.items():
            told = self.told.get(name)
            if told is not None and told.looks_like(file):
                self._restless.pop(name, None)
                continue
            rested_s = wall_s - found.touched_s[name]
            # A time in the future says nothing of how long it has rested.
            self._note(name, file, now_s - (rested_s if rested_s >= 0 else 0.0))
        for name in list(self.told) if names is None else [name for name in names if name in self.told]:
            if name not in found.files and found.covers(name):
                self._note(name, None, now_s)
        for name in list(self._restless) if names is None else list(names):
            if name not in found.files and name not in self.told and found.covers(name):
                self._restless.pop(name, None)  # it came and went

    def due(self, now_s: float) -> Iterator[Change]:
        """Those that have rested long enough."""
        for name, one in list(self._restless.items()):
            if now_s - one.since_s < self._settle_s:
                continue
            told = self.told.get(name)
            if one.file is not None:
                yield Change(name, "created" if told is None else "modified", one.file)
            elif told is not None:
                yield Change(name, "deleted", told)

    def next_s(self) -> float | None:
        """When the next one may have settled; None: nothing is restless."""
        return min((one.since_s + self._settle_s for one in self._restless.values()), default=None)

    def restless(self) -> list[str]:
        """Names that have not settled."""
        return list(self._restless)

    def tell(self, name: str, file: File | None) -> None:
        """It was told, or needs no telling; None: it is gone."""
        self._restless.pop(name, None)
        if file is None:
            self.told.pop(name, None)
        else:
            self.told[name] = file

    def again(self, name: str, file: File | None, now_s: float) -> None:
        """It changed while it was read: it has to rest anew."""
        self._restless[name] = _Restless(file, now_s)

    def _note(self, name: str, file: File | None, since_s: float) -> None:
        known = self._restless.get(name)
        if known is not None:
            same = known.file is file if file is None or known.file is None else file.looks_like(known.file)
            if same:
                return
        self._restless[name] = _Restless(file, since_s)
