"""What stands behind the ``?`` of a trigger's word: ``batch=100&window=5s``."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import WordError

#: Where options begin: a ``?`` before ``name=``; so a ``?`` of a cron expression or a glob pattern is none.
BEGIN = re.compile(r"\?(?=[a-z]+=)")
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)?")
_SECONDS = {"s": 1, None: 1, "m": 60, "h": 3600, "d": 86400}
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def nearest(word: str, candidates: Sequence[str]) -> str:
    """ "; did you mean …?" or what there is."""
    near = difflib.get_close_matches(word, candidates, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(candidates)}"


def _pieces(text: str) -> list[str]:
    """The parts between ``&``; one inside braces or brackets divides nothing."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "{[") - (character in "}]")
        if character == "&" and not depth:
            found.append(text[start:at])
            start = at + 1
    return [*found, text[start:]]


class Options:
    """The options of one word, by name; every mistake is a ``WordError`` that names the word."""

    def __init__(self, kind: str, text: str, known: Mapping[str, str]) -> None:
        """
        Args:
            kind: For messages.
            text: What stands behind the ``?``.
            known: The names there are, with their help.
        Raises:
            WordError: No such option, given twice, or without a value.
        """
        self._kind = kind
        self._given: dict[str, str] = {}
        for piece in _pieces(text) if text else ():
            name, equals, value = piece.partition("=")
            if not equals or not value:
                raise WordError(f"{kind}: the option {piece!r} is written name=value")
            if name not in known:
                there = nearest(name, list(known)) if known else "; it has none"
                raise WordError(f"{kind}: has no option {name}{there}")
            if name in self._given:
                raise WordError(f"{kind}: the option {name} is given twice")
            self._given[name] = value

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """As given, by name."""
        return tuple(sorted(self._given.items()))

    def text(self, name: str) -> str | None:
        """As it stands."""
        return self._given.get(name)

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number."""
        value = self._given.get(name)
        if value is None:
            return None
        number = int(value) if re.fullmatch(r"-?\d+", value) else None
        return self._bounded(name, value, number, least, most)

    def seconds(self, name: str, least: int, most: int) -> int | None:
        """A length of time: ``5``, ``5s``, ``10m``, ``2h``, ``1d``."""
        value = self._given.get(name)
        if value is None:
            return None
        found = _DURATION.fullmatch(value)
        return self._bounded(name, value, int(found[1]) * _SECONDS[found[2]] if found else None, least, most)

    def yes(self, name: str) -> bool | None:
        """``yes`` or ``no``."""
        value = self._given.get(name)
        if value is None:
            return None
        if value.lower() not in _YES:
            raise WordError(f"{self._kind}: {name}={value}: write yes or no")
        return _YES[value.lower()]

    def one_of(self, name: str, choices: Sequence[str]) -> str | None:
        """One of a few words."""
        value = self._given.get(name)
        if value is not None and value not in choices:
            raise WordError(f"{self._kind}: {name}={value}{nearest(value, choices)}")
        return value

    def json(self, name: str) -> Any:
        """JSON."""
        value = self._given.get(name)
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError as exc:
            raise WordError(f"{self._kind}: {name}={value} is not JSON: {exc}") from None

    def _bounded(self, name: str, text: str, value: int | None, least: int, most: int) -> int:
        if value is None or not least <= value <= most:
            raise WordError(f"{self._kind}: {name}={text} must be from {least} to {most}")
        return value
