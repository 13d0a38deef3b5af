"""Filter patterns for log lines: the unstructured part of Amazon CloudWatch Logs' syntax.

``ERROR timeout``: both must occur · ``?ERROR ?WARN``: at least one · ``-debug``: must not · ``"exit code"``: as it is.
Case matters, as it does there. With both kinds, a line needs all plain terms and, where there are any, one of the ``?``
terms. Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax", unstructured log events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jupyter_lambda.errors import ValidationException

#: Characters of a pattern; CloudWatch's limit.
PATTERN_MAX = 1_024
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern, in the bytes that are looked for."""

    required: tuple[bytes, ...] = ()
    optional: tuple[bytes, ...] = ()
    excluded: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern; an empty one matches everything.

        Raises:
            ValidationException: Too long, or a quotation mark is missing.
        """
        if len(text) > PATTERN_MAX:
            raise ValidationException(
                f"The filter pattern has {len(text)} characters; at most {PATTERN_MAX} are allowed"
            )
        terms: dict[str, list[bytes]] = {"": [], "?": [], "-": []}
        position, text = 0, text.rstrip()
        while position < len(text):
            found = _TERM.match(text, position)
            if found is None:
                raise ValidationException(
                    f"Invalid filter pattern at {text[position:].strip()[:40]!r}: "
                    'put terms with quotation marks or blanks in quotation marks, as in "exit code"'
                )
            sign, phrase, word = found.groups()
            term = _ESCAPED.sub(r"\1", phrase) if phrase is not None else word
            if term:
                terms[sign].append(term.encode("utf-8", "surrogatepass"))
            position = found.end()
        return cls(tuple(terms[""]), tuple(terms["?"]), tuple(terms["-"]))

    def matches(self, message: bytes) -> bool:
        """Whether a line's message passes."""
        return (
            all(term in message for term in self.required)
            and (not self.optional or any(term in message for term in self.optional))
            and not any(term in message for term in self.excluded)
        )
