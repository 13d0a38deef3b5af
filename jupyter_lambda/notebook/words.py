"""Words of a magic line: split like a shell would, but JSON needs no quotes and ``$name`` is a Python object."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import MagicUsageError

_PAIRS = {"{": "}", "[": "]"}
_VARIABLE = re.compile(r"\$(?:\{(?P<expression>.+)\}|(?P<name>[A-Za-z_]\w*(?:\.\w+|\[[^\]]*\])*))", re.DOTALL)
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1, None: 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(MB?|GB?)?", re.IGNORECASE)


def split(line: str) -> list[str]:
    """The words of a line.

    Quotes group and vanish; a word that begins with ``{`` or ``[`` runs to its closing bracket, quotes and all.

    Raises:
        MagicUsageError: A quote or bracket isn't closed.
    """
    words: list[str] = []
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        word, at = _word(line, at)
        words.append(word)
    return words


def _word(line: str, at: int) -> tuple[str, int]:
    word = ""
    while at < len(line) and not line[at].isspace():
        character = line[at]
        if character in "'\"":
            end = _closing_quote(line, at)
            word += line[at + 1 : end].replace("\\" + character, character)
            at = end + 1
        elif character in _PAIRS and (not word or word.endswith("=") or "$" in word):
            end = _closing_bracket(line, at)
            word += line[at : end + 1]
            at = end + 1
        elif character == "\\" and at + 1 < len(line):
            word += line[at + 1]
            at += 2
        else:
            word += character
            at += 1
    return word, at


def _closing_quote(line: str, at: int) -> int:
    quote, position = line[at], at + 1
    while position < len(line):
        if line[position] == "\\":
            position += 1
        elif line[position] == quote:
            return position
        position += 1
    raise MagicUsageError(f"a {quote} is not closed: {line[at : at + 40]}")


def _closing_bracket(line: str, at: int) -> int:
    depth, position = 0, at
    while position < len(line):
        character = line[position]
        if character in "'\"":
            position = _closing_quote(line, position)
        elif character in _PAIRS:
            depth += 1
        elif character in _PAIRS.values():
            depth -= 1
            if not depth:
                return position
        position += 1
    raise MagicUsageError(f"a {line[at]} is not closed: {line[at : at + 40]}")


class Reader:
    """Reads words as values, with the notebook's variables at hand."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace

    def event(self, word: str) -> Any:
        """An event: ``$name`` (the object itself), JSON, a Python literal or expression in braces, or ``@file.json``.

        Raises:
            MagicUsageError: None of these.
        """
        if _VARIABLE.fullmatch(word):
            return self._variable(word)
        if word.startswith("@"):
            return _read_json(Path(word[1:]).expanduser())
        try:
            return json.loads(word)
        except ValueError as exc:
            return self._python(word, exc)

    def text(self, word: str) -> str:
        """A word in which a leading ``$name`` stands for that variable; ``$$`` for a dollar sign."""
        if word.startswith("$$"):
            return word[1:]
        return str(self._variable(word)) if _VARIABLE.fullmatch(word) else word

    def texts(self, words: list[str] | None) -> list[str]:
        """Several words; ``$name`` may be a list."""
        found: list[str] = []
        for word in words or ():
            value = self._variable(word) if _VARIABLE.fullmatch(word) else word
            if isinstance(value, list | tuple | set):
                found.extend(str(item) for item in value)
            else:
                found.append(str(value))
        return found

    def setting(self, word: str) -> tuple[str, str]:
        """``KEY=VALUE``.

        Raises:
            MagicUsageError: No equals sign.
        """
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise MagicUsageError(f"--env {word}: write it as NAME=VALUE")
        if not _ENVIRONMENT_NAME.fullmatch(key):
            raise MagicUsageError(f"--env {word}: AWS takes names of two or more letters, digits and _, a letter first")
        return key, self.text(value)

    def _variable(self, word: str) -> Any:
        found = _VARIABLE.fullmatch(word)
        assert found
        return self._evaluate(found["expression"] or found["name"], word)

    def _python(self, word: str, json_error: ValueError) -> Any:
        try:
            tree = ast.parse(word, mode="eval").body
        except SyntaxError:
            raise MagicUsageError(f"the event `{_short(word)}` is neither JSON ({json_error}) nor $variable") from None
        if isinstance(tree, ast.Set) and len(tree.elts) == 1:  # IPython's own way to write an expression: {expr}
            return self._evaluate(ast.unparse(tree.elts[0]), word)
        if isinstance(tree, ast.Dict | ast.List):
            return self._evaluate(word, word)
        if isinstance(tree, ast.Name) and tree.id in self._namespace:
            raise MagicUsageError(f"the event `{word}` is a word; for the variable write ${word}")
        raise MagicUsageError(f"the event `{_short(word)}` is not JSON; a string needs its own quotes: '\"{word}\"'")

    def _evaluate(self, expression: str, word: str) -> Any:
        try:
            # The user's own expression from the user's own cell, in the user's own namespace.
            return eval(expression, dict(self._namespace))  # noqa: S307
        except NameError as exc:
            raise MagicUsageError(f"{_short(word)}: {exc}; run the cell that defines it") from None
        except Exception as exc:  # noqa: BLE001 - whatever the user's expression raises
            raise MagicUsageError(f"{_short(word)}: {type(exc).__name__}: {exc}") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise MagicUsageError(f"@{path}: {exc.strerror or exc}") from None
    except ValueError as exc:
        raise MagicUsageError(f"@{path} is not JSON: {exc}") from None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def seconds(word: str) -> float:
    """A duration: ``90``, ``90s``, ``5m``, ``2h``, ``1d``. Raises ValueError."""
    found = _DURATION.fullmatch(word.strip())
    if not found:
        raise ValueError(word)
    return float(found[1]) * _SECONDS[found[2]]


def megabytes(word: str) -> int:
    """A memory size: ``512``, ``512MB``, ``2GB``. Raises ValueError."""
    found = _MEMORY.fullmatch(word.strip())
    if not found:
        raise ValueError(word)
    return round(float(found[1]) * (1024 if (found[2] or "").upper().startswith("G") else 1))
