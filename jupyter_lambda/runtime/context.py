"""The context object: what the handler gets as its second argument."""

from __future__ import annotations

import json
import os
import time

from .errors import Fault
from .logs import write_log

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class _Record:
    """An object with the given attributes, None where the source has none."""

    def __init__(self, names: Sequence[str] = (), source: dict[str, Any] | None = None) -> None:
        source = source or {}
        for name in names:
            setattr(self, name, source.get(name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class ClientContext(_Record):
    """``context.client_context``."""


class MobileClient(_Record):
    """``context.client_context.client``."""


class CognitoIdentity(_Record):
    """``context.identity``."""

    cognito_identity_id: str | None
    cognito_identity_pool_id: str | None


class Environment:
    """What the context says of the function and its environment: the same for every event, so read once."""

    def __init__(self) -> None:
        env = os.environ.get
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION")
        #: A string, as on AWS.
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME")


class LambdaContext:
    """What the handler gets as its second argument."""

    def __init__(self, headers: dict[str, str], environment: Environment) -> None:
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.function_name = environment.function_name
        self.function_version = environment.function_version
        self.memory_limit_in_mb = environment.memory_limit_in_mb
        self.log_group_name = environment.log_group_name
        self.log_stream_name = environment.log_stream_name
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = _client_context(headers.get("lambda-runtime-client-context"))
        identity = _parse_header(headers.get("lambda-runtime-cognito-identity"), "Cognito Identity") or {}
        self.identity = CognitoIdentity()
        self.identity.cognito_identity_id = identity.get("cognitoIdentityId")
        self.identity.cognito_identity_pool_id = identity.get("cognitoIdentityPoolId")
        self._deadline_ms = int(headers["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is stopped; never negative."""
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message: object) -> None:
        """Write to the function's log."""
        write_log(str(message))

    def __repr__(self) -> str:
        return f"LambdaContext({', '.join(f'{k}={v!r}' for k, v in vars(self).items() if not k.startswith('_'))})"


def _client_context(header: str | None) -> ClientContext | None:
    fields = _parse_header(header, "Client Context")
    if fields is None:
        return None
    context = ClientContext(("custom", "env", "client"), fields)
    if isinstance(context.client, dict):  # type: ignore[attr-defined]
        names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
        context.client = MobileClient(names, context.client)  # type: ignore[attr-defined]
    return context


def _parse_header(text: str | None, name: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise Fault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {exc}") from exc
    return value if isinstance(value, dict) else None
