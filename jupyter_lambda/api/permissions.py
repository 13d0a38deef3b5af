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
        self,
        allowed: Iterable[str],
        operations: Iterable[str],
        account: Account,
        *,
        prefix: str = "lambda",
        actions: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            allowed: Actions of functions, e.g. "lambda:Get*": a star at the end matches any rest.
            prefix: What the service's actions begin with.
            actions: Operation → what its action is called after the prefix, where that is not the operation's name.
        """
        self._account = account
        self._prefix = prefix
        self._actions = _ACTIONS if prefix == "lambda" else actions or {}
        patterns = [pattern.lower() for pattern in allowed]
        self._allowed = {name for name in operations if any(_matches(self._action(name), p) for p in patterns)}

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
        named_action = self._action(operation)
        raise AccessDeniedException(
            f"User: {caller.principal} is not authorized to perform: {named_action} on resource: {resource} "
            f"because no identity-based policy allows the {named_action} action"
        )

    def _action(self, operation: str) -> str:
        """The IAM action of an operation: Invoke → lambda:InvokeFunction."""
        return f"{self._prefix}:{self._actions.get(operation, operation)}"


def _matches(name: str, pattern: str) -> bool:
    lowered = name.lower()
    return lowered.startswith(pattern[:-1]) if pattern.endswith("*") else lowered == pattern
