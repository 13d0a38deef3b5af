"""What a function's own credentials allow; the owner may do everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.errors import AccessDeniedException
from jupyter_lambda.model.arn import Account

#: Operations whose IAM action has another name. Source: Service Authorization Reference, "AWS Lambda".
_ACTIONS = {
    "Invoke": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
    "GetLayerVersionByArn": "GetLayerVersion",
}


class Permissions:
    """Answers whether a caller may call an operation."""

    def __init__(
        self, allowed: Iterable[str], operations: Iterable[str], account: Account, *, prefix: str = "lambda"
    ) -> None:
        """
        Args:
            allowed: Actions of functions, e.g. "lambda:Get*": a star at the end matches any rest.
            prefix: What the service's actions begin with.
        """
        self._account = account
        self._prefix = prefix
        patterns = [pattern.lower() for pattern in allowed]
        self._allowed = {name for name in operations if any(_matches(action(name, prefix), p) for p in patterns)}

    def check(self, caller: Credential, operation: str, labels: Mapping[str, str]) -> None:
        """Refuse what a function may not do.

        Raises:
            AccessDeniedException: AWS's text.
        """
        if caller.function_name is None or operation in self._allowed:
            return
        named = labels.get("FunctionName")
        resource = "*"
        if named:
            resource = named if named.startswith("arn:") else self._account.function_arn(named)
        named_action = action(operation, self._prefix)
        raise AccessDeniedException(
            f"User: {caller.principal} is not authorized to perform: {named_action} on resource: {resource} "
            f"because no identity-based policy allows the {named_action} action"
        )


def action(operation: str, prefix: str = "lambda") -> str:
    """The IAM action of an operation: Invoke → lambda:InvokeFunction."""
    return f"{prefix}:{_ACTIONS.get(operation, operation) if prefix == 'lambda' else operation}"


def _matches(name: str, pattern: str) -> bool:
    lowered = name.lower()
    return lowered.startswith(pattern[:-1]) if pattern.endswith("*") else lowered == pattern
