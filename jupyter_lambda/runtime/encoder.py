"""Results as JSON, as AWS's runtime writes them."""

from __future__ import annotations

import json
import os
import sys

from .errors import Fault

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from typing import Any


class Encoder:
    """JSON as AWS's runtime writes it: NaN allowed, Decimal as a number with all its digits."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}
        self._mark = os.urandom(12).hex()
        self._json = json.JSONEncoder(ensure_ascii=sys.version_info < (3, 12), default=self._default)

    def encode(self, value: object) -> bytes:
        """
        Raises:
            Fault: Runtime.MarshalError.
        """
        try:
            text = self._json.encode(value)
            if self._numbers:
                text = self._put_numbers(text)
            return text.encode()
        except Exception as exc:
            message = f"Unable to marshal response: {exc}"
            if type(value).__name__ == "coroutine":
                value.close()  # type: ignore[attr-defined]
                message += " (AWS Lambda does not await an async handler: call asyncio.run in a plain one)"
            raise Fault("Runtime.MarshalError", message) from exc
        finally:
            self._numbers.clear()

    def _default(self, value: Any) -> Any:
        decimal = sys.modules.get("decimal")
        if decimal is None or not isinstance(value, decimal.Decimal):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
        if value.is_nan():
            return float("nan")
        # The encoder has no way to write a number it doesn't know: a mark stands for it and is replaced afterwards.
        mark = f"{self._mark}{len(self._numbers)}."
        self._numbers[f'"{mark}"'] = str(value)
        return mark

    def _put_numbers(self, text: str) -> str:
        parts = text.split(f'"{self._mark}')
        out = [parts[0]]
        for part in parts[1:]:
            index, _, rest = part.partition('."')
            out.append(self._numbers[f'"{self._mark}{index}."'] + rest)
        return "".join(out)
