"""Speak to an engine: boto3 clients for the AWS API, and ``Admin`` for its own routes. Heavy imports come late."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .connection import Connection
from .errors import ClientError, ResourceNotFoundException, ServiceException, ServiceUnavailableException
from .model import limits

PREFIX = "/_jupyter_lambda"


def aws_client(connection: Connection, service: str, *, pool: int = 64) -> Any:
    """A boto3 client of one AWS service that talks to the engine and to nobody else.

    Nothing of the user's AWS configuration or proxy settings is used, and nothing is tried twice: a repeated Invoke
    would run the function twice.

    Args:
        pool: Connections kept; calls beyond these at one time open more.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    # AWS_PROFILE may name a profile that matters elsewhere and does not exist here.
    core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    session = boto3.session.Session(botocore_session=core)
    return session.client(
        service,
        endpoint_url=connection.url,
        region_name=connection.region,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=connection.secret_key,
        aws_session_token=connection.session_token,
        config=Config(
            connect_timeout=5,
            read_timeout=limits.TIMEOUT_MAX_S + 120,  # a function's time, and waiting for an environment
            retries={"total_max_attempts": 1},
            max_pool_connections=pool,
            proxies={},
            tcp_keepalive=True,
            s3={"addressing_style": "path"},  # names below localhost are not resolved everywhere
        ),
    )


def aws(service: str, connection: Connection | None = None) -> Any:
    """A boto3 client of an AWS service as this engine serves it: Lambda, S3, SQS, DynamoDB, …

    ::

        jupyter_lambda.aws("s3").create_bucket(Bucket="photos")

    Args:
        service: boto3's name of it.
        connection: The engine; None: this notebook's, started if need be.
    """
    from .connection import connect

    return aws_client(connection or connect(), service, pool=10)


def lambda_client(connection: Connection, *, pool: int = 64) -> Any:
    """A boto3 ``lambda`` client of the engine."""
    return aws_client(connection, "lambda", pool=pool)


def with_headers(client: Any) -> Any:
    """Teach a boto3 client to send the headers given as ``_Headers``."""

    def take(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["jupyter_lambda_headers"] = params.pop("_Headers", None)

    def send(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params["headers"].update(context.get("jupyter_lambda_headers") or {})

    client.meta.events.register("before-parameter-build.lambda", take)
    client.meta.events.register("before-call.lambda", send)
    return client


def sign(connection: Connection, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers with AWS's signature version 4 added, as for the service ``lambda``.

    Args:
        url: Whole, with query; what is sent must be exactly this.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    keys = Credentials(connection.access_key, connection.secret_key, connection.session_token)
    SigV4Auth(keys, "lambda", connection.region).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


@dataclass(frozen=True, slots=True)
class Admin:
    """The engine's own routes, signed. Times are seconds since the epoch.

    Every method raises:
        ServiceUnavailableException: The engine does not answer, or is stopping.
        ResourceNotFoundException: What was asked for does not exist.
        ClientError, ServiceException: Any other refusal, with the engine's message.
    """

    connection: Connection
    #: Seconds to wait for an answer.
    timeout_s: float = 10.0

    def status(self) -> dict[str, Any]:
        """Driver, isolation, limits enforced, counts, queue depth, interpreters, environments, uptime."""
        return self.call("GET", "/status")

    def doctor(self) -> list[dict[str, str]]:
        """Findings of the running engine: level, subject, text, advice."""
        findings: list[dict[str, str]] = self.call("GET", "/doctor")["findings"]
        return findings

    def stats(self, function: str | None = None, since_s: float | None = None) -> dict[str, Any]:
        """Invocations, errors, throttles, GB-seconds and price by function."""
        return self.call("GET", "/stats", function=function, since=since_s)

    def bill(self, *, since_s: float, by: str = "function") -> dict[str, Any]:
        """Lines by function, by day or by both, their total, and the prices they were computed with."""
        return self.call("GET", "/bill", since=since_s, by=by)

    def invocations(
        self,
        function: str | None = None,
        *,
        limit: int = 100,
        status: str | None = None,
        since_s: float | None = None,
    ) -> dict[str, Any]:
        """Records, newest first."""
        return self.call("GET", "/invocations", function=function, limit=limit, status=status, since=since_s)

    def invocation(self, request_id: str) -> dict[str, Any]:
        """One record."""
        return self.call("GET", f"/invocations/{quote(request_id, safe='')}")

    def stop(self, request_id: str) -> bool:
        """Stop a running invocation in its sandbox; False when it was not running."""
        return bool(self.call("DELETE", f"/invocations/{quote(request_id, safe='')}")["stopped"])

    def logs(
        self,
        function: str,
        *,
        request_id: str | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
        pattern: str | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Lines in time order, at most the newest ``limit``: timestamp_ms, stream, request_id, message."""
        lines: list[dict[str, Any]] = self.call(
            "GET",
            "/logs",
            function=function,
            request_id=request_id,
            since=since_s,
            until=until_s,
            pattern=pattern,
            limit=limit,
        )["lines"]
        return lines

    def environments(self) -> dict[str, Any]:
        """Execution environments and their states."""
        return self.call("GET", "/environments")

    def events(self) -> dict[str, Any]:
        """The asynchronous queue: depth by state, dead events."""
        return self.call("GET", "/events")

    def schedules(self, function: str | None = None, *, count: int = 3) -> list[dict[str, Any]]:
        """Schedules and scheduled rules, the next due first: in words, next times, last firing and its result."""
        found: list[dict[str, Any]] = self.call("GET", "/schedules", function=function, next=count)["schedules"]
        return found

    def runs(self, function: str | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
        """Runs of notebook jobs, newest first."""
        found: list[dict[str, Any]] = self.call("GET", "/runs", function=function, limit=limit)["runs"]
        return found

    def failed_runs(self, since_s: float | None = None) -> dict[str, Any]:
        """Scheduled runs that failed since then, or since somebody last looked: ``runs`` and ``since_s``."""
        return self.call("GET", "/runs", failed_since="seen" if since_s is None else since_s)

    def run(self, run_id: str) -> dict[str, Any]:
        """One run."""
        return self.call("GET", f"/runs/{quote(run_id, safe='')}")

    def artefact(self, run_id: str, name: str) -> bytes:
        """One file that a run left behind."""
        status, body = self._send("GET", f"/runs/{quote(run_id, safe='')}/{quote(name, safe='')}", {})
        if status != 200:
            _read(status, body, f"{name} of run {run_id}")
        return body

    def saw_runs(self) -> None:
        """What failed so far has been seen."""
        self.call("POST", "/runs/seen")

    def put_job(self, function: str, *, notebook: str, kept: int) -> None:
        """A function runs a notebook, and so many of its runs are kept."""
        self.call("PUT", f"/jobs/{quote(function, safe='')}", notebook=notebook, kept=kept)

    def jobs(self) -> list[dict[str, Any]]:
        """Functions that run notebooks."""
        found: list[dict[str, Any]] = self.call("GET", "/jobs")["jobs"]
        return found

    def forget_job(self, function: str) -> None:
        """Remove what a job's runs left behind."""
        self.call("DELETE", f"/jobs/{quote(function, safe='')}")

    def notifications(self, function: str | None = None) -> list[dict[str, Any]]:
        """What buckets and topics tell functions: state, messages that wait, last result."""
        found: list[dict[str, Any]] = self.call("GET", "/notifications", function=function)["notifications"]
        return found

    def set_notifications_paused(self, function: str, *, paused: bool, **which: str) -> list[dict[str, Any]]:
        """Pause what a bucket or topic tells a function, or go on: ``bucket``, ``topic``, ``configuration``."""
        path = f"/notifications/{'pause' if paused else 'resume'}"
        body = json.dumps({"function": function, **which}).encode()
        status, answer = self._send("POST", path, {}, body)
        found: list[dict[str, Any]] = _read(status, answer, f"POST {PREFIX}{path}")["notifications"]
        return found

    def call(self, method: str, path: str, **query: Any) -> dict[str, Any]:
        """One signed request to an admin route; parameters that are None are left out."""
        status, body = self._send(method, path, query)
        return _read(status, body, f"{method} {PREFIX}{path}")

    def _send(self, method: str, path: str, query: Mapping[str, Any], content: bytes = b"") -> tuple[int, bytes]:
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        given = {key: str(value) for key, value in query.items() if value is not None}
        target = PREFIX + path + (f"?{urlencode(given, quote_via=quote)}" if given else "")
        url = self.connection.url.rstrip("/") + target
        host, port = self.connection.host_port
        kind = HTTPSConnection if url.startswith("https:") else HTTPConnection
        http = kind(host, port, timeout=self.timeout_s)
        signed = sign(self.connection, method, url, {}, content)
        try:
            target = urlsplit(url)._replace(scheme="", netloc="").geturl()
            http.request(method, target, body=content or None, headers=signed)
            answer = http.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as exc:
            raise ServiceUnavailableException(
                f"the engine at {self.connection.url} does not answer ({exc}); is it running? jupyter lambda status"
            ) from exc
        finally:
            http.close()
        return answer.status, body


def _read(status: int, body: bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if status < 300 and isinstance(data, dict):
        return data
    message = f"{what}: HTTP {status}"
    if isinstance(data, dict):
        message = str(data.get("message") or data.get("Message") or message)
    if status == ResourceNotFoundException.http_status:
        raise ResourceNotFoundException(message)
    if status == ServiceUnavailableException.http_status:
        raise ServiceUnavailableException(message)
    raise (ClientError if 400 <= status < 500 else ServiceException)(message)
