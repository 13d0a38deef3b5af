"""Lines of a log as the notebook shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import render


class LogView(Sequence[str]):
    """Log lines: a list of text that shows itself well."""

    def __init__(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        self.name = name
        #: As the engine gave them: timestamp_ms, stream, request_id, message.
        self.lines = list(lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [str(line["message"]) for line in self.lines[index]]
        return str(self.lines[index]["message"])

    def __repr__(self) -> str:
        return "\n".join(self._stamped()) or f"(no log of {self.name})"

    def _stamped(self) -> list[str]:
        return [f"{_clock(line['timestamp_ms'])}  {str(line['message']).rstrip()}" for line in self.lines]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": render._pre(repr(self), f"log of {self.name}")}


def _clock(timestamp_ms: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(timestamp_ms / 1000)) + f".{int(timestamp_ms) % 1000:03d}"
