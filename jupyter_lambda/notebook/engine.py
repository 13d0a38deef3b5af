"""The notebook's line to an engine, or to AWS itself: one boto3 client and the engine's own routes.

Extension headers go out with single calls: ``client.invoke(…, _Headers={…})``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.arn import Account

from .errors import DeployError, EngineUnavailable, NotebookError

#: Connections kept: more than a map's usual width.
_POOL = 128
#: Execution role that local functions carry; the engine doesn't ask IAM.
_LOCAL_ROLE = "jupyter-lambda"
ROLE_VARIABLE = "JUPYTER_LAMBDA_ROLE"


@dataclass
class Engine:
    """Where functions live."""

    client: Any
    #: The engine's own routes; None at AWS itself.
    admin: Any = None
    #: None at AWS itself.
    connection: Any = None
    #: The lean client of Invoke; None where boto3 makes the calls (AWS itself, an engine behind a proxy).
    invoker: Any = None
    #: AWS profile; None: an engine.
    profile: str | None = None
    region: str = "us-east-1"
    #: Where its triggers are made, and for which engine that was found; see ``triggers.place_of``.
    place: Any = None
    place_key: tuple[Any, ...] = ()
    _interpreters: tuple[str, ...] | None = None

    @property
    def is_aws(self) -> bool:
        """AWS itself."""
        return self.connection is None and self.profile is not None

    @property
    def badge(self) -> str:
        """What the reader must know about where functions run; empty where all is as it should be."""
        if self.is_aws:
            return f"AWS {self.region}"
        if self.connection is not None and not self.connection.isolated:
            return f"{self.connection.driver or 'process'} driver: not isolated"
        return ""

    def role(self, given: str | None) -> str:
        """The execution role for a new function.

        Raises:
            DeployError: AWS wants one and none is known.
        """
        chosen = given or os.environ.get(ROLE_VARIABLE)
        if chosen:
            return chosen
        if self.is_aws:
            raise DeployError(
                "AWS needs an execution role for the function: --role arn:aws:iam::ACCOUNT:role/NAME, or set "
                f"{ROLE_VARIABLE}. To make one: aws iam create-role --role-name jupyter-lambda "
                "--assume-role-policy-document "
                '\'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},'
                '"Action":"sts:AssumeRole"}]}\' and attach AWSLambdaBasicExecutionRole to it'
            )
        account = self.connection.account_id if self.connection is not None else Account().account_id
        return f"arn:aws:iam::{account}:role/{_LOCAL_ROLE}"

    def interpreter(self, path: str) -> str | None:
        """The path of a Python if this engine runs functions with it, else None."""
        if self.admin is None:
            return None
        if self._interpreters is None:
            try:
                self._interpreters = tuple(self.admin.status().get("interpreters", ()))
            except LambdaError as exc:
                raise EngineUnavailable(exc.message) from exc
        return path if path in self._interpreters else None

    def stop(self, request_id: str) -> bool:
        """Stop a running invocation; False where it no longer ran, or can't be stopped (AWS)."""
        if self.admin is None:
            return False
        try:
            return bool(self.admin.stop(request_id))
        except LambdaError:
            return False


@dataclass
class Engines:
    """The engines of this kernel, made when first needed."""

    _known: dict[str | None, Engine] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, profile: str | None = None) -> Engine:
        """The engine, started if need be; with a profile, AWS itself.

        Raises:
            EngineUnavailable: None answers and none could be started; the profile doesn't exist.
        """
        with self._lock:
            if profile not in self._known:
                self._known[profile] = _at_aws(profile) if profile else _local()
            return self._known[profile]

    def renew(self, client: Any) -> Any:
        """The engine that a client spoke to is gone: find or start one in its place; its client, None at AWS itself.

        Raises:
            EngineUnavailable: None could be started.
        """
        with self._lock:
            engine = next((one for one in self._known.values() if one.client is client), None)
            if engine is None or engine.connection is None:
                return None
            fresh = _local()
            engine.client, engine.admin, engine.connection = fresh.client, fresh.admin, fresh.connection
            engine.invoker, engine._interpreters = fresh.invoker, None
            return engine.client

    def known(self, profile: str | None = None) -> Engine | None:
        """The engine if it is connected already; never waits."""
        return self._known.get(profile)

    def put(self, engine: Engine) -> None:
        """Use this engine from now on."""
        self._known[engine.profile] = engine

    def forget(self) -> None:
        """Look for the engine anew at the next call: it went away, or its state directory changed."""
        self._known.clear()


#: This kernel's.
engines = Engines()


def _local() -> Engine:
    from jupyter_lambda.client import Admin, lambda_client, with_headers
    from jupyter_lambda.connection import connect
    from jupyter_lambda.invoke_client import InvokeClient

    try:
        connection = connect()
        client = with_headers(lambda_client(connection, pool=_POOL))
    except LambdaError as exc:
        raise EngineUnavailable(exc.message) from exc
    invoker = InvokeClient(connection) if InvokeClient.serves(connection.url) else None
    return Engine(client, Admin(connection), connection, invoker, region=connection.region)


def _at_aws(profile: str) -> Engine:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    from jupyter_lambda.client import with_headers

    settings = Config(retries={"total_max_attempts": 1}, max_pool_connections=_POOL, read_timeout=1020)
    try:
        session = boto3.session.Session(profile_name=profile)
        client = with_headers(session.client("lambda", config=settings))
    except BotoCoreError as exc:
        raise EngineUnavailable(f"--profile {profile}: {exc}") from None
    return Engine(client, profile=profile, region=client.meta.region_name)


def call(operation: Callable[..., Any], **params: Any) -> Any:
    """Call an operation of the client; its errors become one line.

    Raises:
        DeployError: It was refused; ``code`` is on the cause.
        EngineUnavailable: Nobody answers.
    """
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ParamValidationError

    try:
        try:
            return operation(**params)
        except EndpointConnectionError:  # never sent, so it may be tried again
            client = engines.renew(getattr(operation, "__self__", None))
            if client is None:
                raise
            return getattr(client, operation.__name__)(**params)
    except ClientError as exc:
        raise DeployError(refusal(exc)) from exc
    except ParamValidationError as exc:
        raise DeployError(" ".join(str(exc).split())) from exc
    except BotoCoreError as exc:
        raise unreachable(exc) from exc


def refusal(exc: Any) -> str:
    """What AWS or the engine said."""
    error = exc.response.get("Error", {})
    code, message = error.get("Code", "error"), error.get("Message") or str(exc)
    return f"{code}: {message}"


def code_of_refusal(exc: BaseException | None) -> str:
    """AWS's code of a refusal, from the error that ``call`` raised or from botocore's; "" for anything else."""
    response = getattr(exc, "response", None) or getattr(getattr(exc, "__cause__", None), "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def unreachable(exc: Exception) -> NotebookError:
    """Nobody answers: look for the engine anew next time."""
    engines.forget()
    return EngineUnavailable(f"the engine doesn't answer ({exc}); run the cell again to start it anew")
