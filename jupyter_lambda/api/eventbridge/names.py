"""What the operations share: buses and rules by name or ARN, pages of lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException, ValidationException
from jupyter_lambda.model.rule import DEFAULT_BUS, EventBus, Rule
from jupyter_lambda.triggers.schedules.rules import local_bus

T = TypeVar("T")
#: Items of a page, at most and by default. Source: EventBridge API Reference, "ListRules".
PAGE = 100
#: Held while buses, rules and targets are read, decided about and written.
LOCK = "EventBridge"


def bus(call: Call, parameter: str = "EventBusName") -> EventBus:
    """The bus a request is about; the default one where it names none.

    Raises:
        ResourceNotFoundException: AWS's text.
    """
    named: str = call.params.get(parameter) or DEFAULT_BUS
    found = call.triggers.schedules.rules.rows.buses().get(local_bus(call.service.account, named) or "")
    if found is None:
        raise ResourceNotFoundException(f"Event bus {named} does not exist.")
    return found


def rule(call: Call, parameter: str = "Name") -> Rule:
    """The rule a request is about.

    Raises:
        ResourceNotFoundException: AWS's text.
    """
    on = bus(call).name
    found = call.triggers.schedules.rules.rows.rules(on).get(call.params[parameter])
    if found is None:
        raise ResourceNotFoundException(f"Rule {call.params[parameter]} does not exist on EventBus {on}.")
    return found


def page(call: Call, items: Mapping[str, T], names: Iterable[str]) -> tuple[list[T], str | None]:
    """The items of one page by their names, and the token of the next one.

    Args:
        names: Of all that are asked for.
    Raises:
        ValidationException: The token is none that was handed out here.
    """
    try:
        marker = read_marker(call.params.get("NextToken"), str)
    except InvalidParameterValueException:
        raise ValidationException("Invalid NextToken.") from None
    size = call.params.get("Limit", PAGE)
    left = sorted(name for name in names if marker is None or name > marker[0])
    token = write_marker(left[size - 1]) if len(left) > size else None
    return [items[name] for name in left[:size]], token


def optional(**members: Any) -> dict[str, Any]:
    """Members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
