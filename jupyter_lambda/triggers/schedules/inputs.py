"""What a target is given of an event: all of it, a part, a constant, or a template filled in; pure.

Source: Amazon EventBridge User Guide, "Amazon EventBridge input transformation"; what stands in quotes and what doesn't
as in recorded answers of AWS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.errors import ValidationException

#: Paths of one transformer. Source: EventBridge API Reference, "InputTransformer".
PATHS_MAX = 100
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']+)'\]")
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9._-]+)>")
_NOTHING = object()


def payload(settings: Mapping[str, Any], event: Mapping[str, Any], known: Mapping[str, str]) -> bytes:
    """What a target gets.

    Args:
        settings: The target as AWS's API has it.
        known: AWS's own variables for templates, ``aws.events.rule-arn`` …, without those of the event.
    """
    if settings.get("Input") is not None:
        return str(settings["Input"]).encode()
    if settings.get("InputPath") is not None:
        found = select(event, settings["InputPath"])
        return _json({} if found is _NOTHING else found).encode()
    if settings.get("InputTransformer") is not None:
        return _transform(settings["InputTransformer"], event, known).encode()
    return _json(event).encode()


def check_path(path: str) -> None:
    """Refuse what is no path.

    Raises:
        ValidationException: AWS's text.
    """
    if not path.startswith("$") or _STEP.sub("", path[1:]):
        raise ValidationException(f"Invalid JSON path {path}.")


def check_transformer(transformer: Mapping[str, Any]) -> None:
    """Refuse a transformer that can't be filled in.

    Raises:
        ValidationException: A path is none, or the template has a name without one.
    """
    paths: Mapping[str, str] = transformer.get("InputPathsMap", {})
    if len(paths) > PATHS_MAX:
        raise ValidationException(f"InputPathsMap may have at most {PATHS_MAX} entries.")
    for name, path in paths.items():
        if name.startswith(("AWS", "aws.")):
            raise ValidationException(f"InputPathsMap key {name} is reserved.")
        check_path(path)
    for name in _PLACEHOLDER.findall(transformer["InputTemplate"]):
        if name not in paths and not name.startswith("aws.events."):
            raise ValidationException(
                f"Invalid InputTemplate for target: placeholder <{name}> is not defined in InputPathsMap."
            )


def select(event: Any, path: str) -> Any:
    """The value at a path such as ``$.detail.items[0]``; a marker where there is none."""
    found = event
    for name, index, quoted in _STEP.findall(path[1:]):
        key = name or quoted
        if key and isinstance(found, Mapping) and key in found:
            found = found[key]
        elif index and isinstance(found, list) and int(index) < len(found):
            found = found[int(index)]
        else:
            return _NOTHING
    return found


def _transform(transformer: Mapping[str, Any], event: Mapping[str, Any], known: Mapping[str, str]) -> str:
    values: dict[str, Any] = {name: select(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
    values |= known
    values["aws.events.event"] = {name: value for name, value in event.items() if name != "detail"}
    values["aws.events.event.json"] = event
    template: str = transformer["InputTemplate"]
    text, here, quoted = "", 0, False
    for found in _PLACEHOLDER.finditer(template):
        between = template[here : found.start()]
        quoted ^= len(re.findall(r'(?<!\\)"', between)) % 2 == 1
        text += between + _filled(values.get(found[1], _NOTHING), quoted=quoted)
        here = found.end()
    return text + template[here:]


def _filled(value: Any, *, quoted: bool) -> str:
    """A variable's text: inside quotes a part of that text, outside a value of its own."""
    if value is _NOTHING:
        return "" if quoted else '""'
    if not quoted:
        return _json(value)
    text = value if isinstance(value, str) else _json(value)
    return json.dumps(text)[1:-1]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
