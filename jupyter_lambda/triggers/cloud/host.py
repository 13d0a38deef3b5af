"""The cloud as everybody else sees it: one call for one operation, wherever the services live."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.http1.client import Reply
from jupyter_lambda.model.arn import Account

from .embedded import Embedded, installed
from .homes import Remote, scope_only
from .hooks import Hook
from .wire import Message, wire

#: Seconds for one call: a long poll of SQS takes 20.
_CALL_MAX_S = 70.0
Home = Literal["embedded", "endpoint", "aws", "none"]
_HOMES: tuple[Home, ...] = ("embedded", "endpoint", "aws", "none")


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """Where the services live; the traitlets behind it are in config.py."""

    #: "auto": an endpoint or profile if one is named, else the embedded cloud if a server is installed, else none.
    home: str = "auto"
    #: "auto", "ministack" or "moto".
    server: str = "auto"
    endpoint_url: str = ""
    profile: str = ""


class Cloud:
    """One of the homes. A part of ``Triggers``, which closes it after all functions have ended."""

    def __init__(self, settings: CloudSettings, account: Account, state_dir: Path) -> None:
        self._settings, self._account = settings, account
        self._directory = state_dir / "cloud"
        #: Service and operation → who answers such requests here, see ``hooks``.
        self.hooks: dict[tuple[str, str], Hook] = {}
        self._embedded: Embedded | None = None
        self._remote: Remote | None = None

    # --- which home

    @property
    def home(self) -> Home:
        """Where the services live."""
        for home in _HOMES:
            if self._settings.home == home:
                return home
        if self._settings.endpoint_url:
            return "endpoint"
        if self._settings.profile:
            return "aws"
        return "embedded" if installed(self._settings.server) else "none"

    def available(self) -> str | None:
        """Why there is no cloud, and what to do; None where there is one."""
        home = self.home
        if home == "none" and self._settings.home == "none":
            return "this engine has no cloud (c.LambdaEngine.cloud = 'none')"
        if home == "endpoint" and not self._settings.endpoint_url:
            return "c.LambdaEngine.cloud is 'endpoint', but c.LambdaEngine.aws_endpoint_url names none"
        if home in ("none", "embedded") and installed(self._settings.server) is None:
            named = "" if self._settings.server == "auto" else f" ({self._settings.server})"
            return (
                f"no server of an embedded cloud{named} is installed: pip install jupyter-lambda[cloud], or name an "
                "endpoint in c.LambdaEngine.aws_endpoint_url or a profile of AWS in c.LambdaEngine.aws_profile"
            )
        return None

    @property
    def endpoint(self) -> str | None:
        """In words, where the services answer; None where there is no cloud."""
        if self.available() is not None:
            return None
        home = self.home
        if home == "embedded":
            return f"embedded ({installed(self._settings.server)})"
        return self._settings.endpoint_url if home == "endpoint" else f"AWS, {self._account.region}"

    # --- calls

    async def call(self, service: str, operation: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call one operation; cancellable, a long poll costs no thread.

        Args:
            service: botocore's name: s3, sqs, sns, kinesis, dynamodb, dynamodbstreams, …
            operation: AWS's name, e.g. "ReceiveMessage". Streaming members of the answer are bytes.
        Raises:
            botocore.exceptions.ClientError: The service's own error.
            botocore.exceptions.BotoCoreError: The parameters don't fit the operation.
            ServiceUnavailableException: There is no cloud, or it does not answer; the message says what to do.
        """
        self.check()
        spoken = await wire(service)
        message = spoken.write(operation, dict(params or {}))
        reply = await self.send(service, spoken.signing_name, message)
        try:
            body = await reply.read()
        except OSError as exc:
            raise self._silent(service, exc) from exc
        return await spoken.read(operation, reply.status, reply.headers, body)

    def check(self) -> None:
        """Raise if there is no cloud.

        Raises:
            ServiceUnavailableException: There is none; the message says what to do.
        """
        problem = self.available()
        if problem is not None:
            raise ServiceUnavailableException(problem)

    async def send(
        self,
        service: str,
        signing_name: str,
        message: Message,
        body: AsyncIterator[bytes] | None = None,
        *,
        timeout_s: float | None = _CALL_MAX_S,
    ) -> Reply:
        """Send one request, signed anew for where it goes; its body may come as it is read.

        Raises:
            ServiceUnavailableException: There is no cloud, or it does not answer.
        """
        self.check()
        try:
            if self.home == "embedded":
                server = self._server()
                await server.ready()
                headers = {"Host": "localhost"} | message.headers
                headers["Authorization"] = self._scope(signing_name)
                client, target = server.client, message.target
            else:
                remote = self._elsewhere()
                address = await remote.address(service)
                headers = await remote.sign(message, address, signing_name, streamed=body is not None)
                client, target = remote.client(address), address.prefix + message.target
            content = message.body if body is None else body
            return await client.request(message.method, target, headers.items(), content, timeout_s=timeout_s)
        except (OSError, TimeoutError) as exc:
            raise self._silent(service, exc) from exc

    def _silent(self, service: str, exc: BaseException) -> ServiceUnavailableException:
        why = str(exc) or type(exc).__name__
        return ServiceUnavailableException(f"{service} at {self.endpoint} does not answer: {why}")

    def _scope(self, signing_name: str) -> str:
        now_text = time.strftime("%Y%m%d", time.gmtime())
        return scope_only(self._account.account_id, self._account.region, signing_name, now_text)

    def _server(self) -> Embedded:
        if self._embedded is None:
            name = installed(self._settings.server)
            assert name is not None, "checked before"
            self._embedded = Embedded(self._directory / name, name, self._account)
        return self._embedded

    def _elsewhere(self) -> Remote:
        if self._remote is None:
            url = self._settings.endpoint_url if self.home == "endpoint" else ""
            self._remote = Remote(self._account.region, endpoint_url=url, profile=self._settings.profile)
        return self._remote

    # --- a part of Triggers

    async def start(self) -> None:
        """Nothing: the embedded cloud starts when it is first needed."""

    async def stop(self, timeout_s: float) -> None:
        """Nothing: functions that finish their work use the cloud until ``close``."""

    async def close(self) -> None:
        """End the embedded cloud, which saves what it can. Safe to call twice."""
        if self._remote is not None:
            self._remote.close()
        if self._embedded is not None:
            await self._embedded.stop()

    def status(self) -> Mapping[str, Any]:
        """For `jupyter lambda status`."""
        problem = self.available()
        if problem is not None:
            return {"home": "none", "why": problem}
        status: dict[str, Any] = {"home": self.home, "at": self.endpoint}
        if self.home == "embedded":
            status |= self._server().status()
        return status
