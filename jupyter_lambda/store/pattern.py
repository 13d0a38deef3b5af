"""Filter patterns for log lines, in Amazon CloudWatch Logs' syntax.

``ERROR timeout``: both must occur · ``?ERROR ?WARN``: at least one · ``-debug``: must not · ``"exit code"``: as it is ·
``%40[34]%``: a regular expression. ``{ … }`` is for JSON lines (``pattern_json``), ``[ … ]`` for fields between blanks
(``pattern_fields``).
Case matters, as it does there. With both kinds, a line needs all plain terms and, where there are any, one of the ``?``
terms. Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax", unstructured log events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from jupyter_lambda.errors import ValidationException

from .pattern_fields import FieldPattern
from .pattern_json import EXPRESSION_SEES, JsonPattern, expression

#: Characters of a pattern; CloudWatch's limit.
PATTERN_MAX = 1_024
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]+)%|([^\s"]+))(?=\s|$)')
_ESCAPED = re.compile(r"\\(.)")


class Matcher(Protocol):
    """A parsed pattern of any kind."""

    def matches(self, message: bytes) -> bool:
        """Whether a line's message passes."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern of terms, in the bytes that are looked for."""

    required: tuple[bytes, ...] = ()
    optional: tuple[bytes, ...] = ()
    excluded: tuple[bytes, ...] = ()
    #: Regular expressions with the sign before them.
    expressions: tuple[tuple[str, re.Pattern[str]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Read a pattern of any kind; an empty one matches everything.

        Raises:
            ValidationException: Too long, or not of the syntax.
        """
        if len(text) > PATTERN_MAX:
            raise ValidationException(
                f"The filter pattern has {len(text)} characters; at most {PATTERN_MAX} are allowed"
            )
        bare = text.strip()
        if bare.startswith("{") and bare.endswith("}"):
            return JsonPattern(bare[1:-1])
        if bare.startswith("[") and bare.endswith("]"):
            return FieldPattern(bare[1:-1])
        expressions: list[tuple[str, re.Pattern[str]]] = []
        terms: dict[str, list[bytes]] = {"": [], "?": [], "-": []}
        position, text = 0, text.rstrip()
        while position < len(text):
            found = _TERM.match(text, position)
            if found is None:
                raise ValidationException(
                    f"Invalid filter pattern at {text[position:].strip()[:40]!r}: "
                    'put terms with quotation marks or blanks in quotation marks, as in "exit code"'
                )
            sign, phrase, expressed, word = found.groups()
            position = found.end()
            if expressed is not None:
                expressions.append((sign, expression(expressed)))
                continue
            term = _ESCAPED.sub(r"\1", phrase) if phrase is not None else word
            if term:
                terms[sign].append(term.encode("utf-8", "surrogatepass"))
        return cls(tuple(terms[""]), tuple(terms["?"]), tuple(terms["-"]), tuple(expressions))

    def matches(self, message: bytes) -> bool:
        """Whether a line's message passes."""
        return (
            all(term in message for term in self.required)
            and not any(term in message for term in self.excluded)
            and (not self.expressions or self._expressed(message))
            and (not self.optional or any(term in message for term in self.optional) or self._optionally(message))
        )

    def _expressed(self, message: bytes) -> bool:
        """Whether the regular expressions agree; one of those with ``?`` must where no plain term has a ``?``."""
        text = message.decode("utf-8", "replace")[:EXPRESSION_SEES]
        found: dict[str, list[bool]] = {"": [], "?": [], "-": []}
        for sign, regex in self.expressions:
            found[sign].append(regex.search(text) is not None)
        if not all(found[""]) or any(found["-"]):
            return False
        return bool(self.optional) or not found["?"] or any(found["?"])

    def _optionally(self, message: bytes) -> bool:
        text = message.decode("utf-8", "replace")[:EXPRESSION_SEES]
        return any(sign == "?" and regex.search(text) for sign, regex in self.expressions)
