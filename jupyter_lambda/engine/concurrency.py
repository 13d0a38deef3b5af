"""The account's concurrency: what is reserved, what is provisioned, and what must stay for everybody."""

from __future__ import annotations

from dataclasses import replace

from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model import limits
from jupyter_lambda.store import Functions

from .control import ControlPlane


async def reserve(plane: ControlPlane, name: str, concurrency: int | None) -> None:
    """Reserve concurrency for a function; None gives it back.

    Raises:
        ResourceNotFoundException: No such function.
        InvalidParameterValueException: Too little would be left for the others, or for what is provisioned.
    """
    functions = plane.service.store.functions
    limit = plane.service.settings.concurrency_limit
    async with plane.account_lock, plane.lock(name):
        function = plane.function(name)
        others = functions.total_reserved() - (function.reserved_concurrency or 0)
        others += taken_from_unreserved(functions, but=name)
        provisioned = requested(functions, name)
        if concurrency is not None and concurrency < provisioned:
            raise InvalidParameterValueException(
                f"ReservedConcurrentExecutions  {concurrency} should not be lower than function's total provisioned "
                f"concurrency [{provisioned}]."
            )
        minimum = unreserved_minimum(limit)
        if concurrency and limit - others - concurrency < minimum:
            raise InvalidParameterValueException(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{minimum}]."
            )
        await functions.put(replace(function, reserved_concurrency=concurrency))


def unreserved_minimum(limit: int) -> int:
    """Concurrency that must stay unreserved: AWS's 100, or a tenth of an account limit that is smaller than AWS's."""
    return min(limits.CONCURRENCY_UNRESERVED_MIN, limit // 10)


def requested(functions: Functions, name: str, *, but: str | None = None) -> int:
    """What a function's versions and aliases have provisioned together, one qualifier left out."""
    return sum(c.requested for c in functions.provisioned_configs(name) if c.qualifier != but)


def taken_from_unreserved(functions: Functions, *, but: str | None = None) -> int:
    """What functions without reserved concurrency have provisioned together, one function left out.

    Source: AWS Lambda Developer Guide, "Understanding Lambda function scaling": provisioned concurrency counts towards
    a function's reserved concurrency, and where it has none, towards the account's.
    """
    taken = 0
    for config in functions.provisioned_configs():
        function = functions.get(config.function_name)
        if function is not None and function.reserved_concurrency is None and function.name != but:
            taken += config.requested
    return taken
