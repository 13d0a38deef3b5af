"""Where triggers are made: an engine or AWS itself, reached by boto3 alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import Refused, TriggerError

if TYPE_CHECKING:
    from jupyter_lambda.client import Admin
    from jupyter_lambda.connection import Connection

#: Connections of each service's client: triggers are made one after another.
_POOL = 4


@dataclass(frozen=True, slots=True)
class Function:
    """The function that is fired."""

    name: str
    arn: str


class Place:
    """An engine, or AWS itself."""

    def __init__(
        self,
        client: Callable[[str], Any],
        *,
        region: str,
        account_id: str,
        partition: str = "aws",
        url: str | None = None,
        admin: Admin | None = None,
        profile: str | None = None,
    ) -> None:
        """
        Args:
            client: Makes a boto3 client of a service; it is made once and kept.
            url: The engine's; None at AWS itself.
            admin: The engine's own routes; None at AWS itself.
        """
        self.region, self.account_id, self.partition = region, account_id, partition
        self.url, self.admin, self.profile = url, admin, profile
        self._make = client
        self._clients: dict[str, Any] = {}
        self._remembered: dict[tuple[str, str, str], dict[str, Any]] | None = None

    @classmethod
    def of_connection(cls, connection: Connection) -> Place:
        """An engine."""
        from jupyter_lambda.client import Admin, aws_client

        return cls(
            lambda service: aws_client(connection, service, pool=_POOL),
            region=connection.region,
            account_id=connection.account_id,
            url=connection.url.rstrip("/"),
            admin=Admin(connection),
        )

    @classmethod
    def of_profile(cls, profile: str) -> Place:
        """AWS itself, by a profile.

        Raises:
            TriggerError: There is no such profile, or it can't be used.
        """
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            session = boto3.session.Session(profile_name=profile)
            arn = session.client("sts").get_caller_identity()["Arn"]
        except (BotoCoreError, ClientError) as exc:
            raise TriggerError(f"--profile {profile}: {exc}") from exc
        region = session.region_name or "us-east-1"
        _, partition, _, _, account_id, _ = arn.split(":", 5)
        return cls(session.client, region=region, account_id=account_id, partition=partition, profile=profile)

    @property
    def is_aws(self) -> bool:
        """AWS itself."""
        return self.url is None

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """One operation of a service, by boto3's name of it.

        Raises:
            Refused: The service said no, or nobody answered.
        """
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

        key = (service, operation, repr(sorted(params.items())))
        if self._remembered is not None and key in self._remembered:
            return self._remembered[key]
        try:
            answer: dict[str, Any] = getattr(self._client(service), operation)(**params)
        except ClientError as exc:
            error = exc.response.get("Error", {})
            code = str(error.get("Code", ""))
            raise Refused(f"{service}: {code}: {error.get('Message') or exc}", code) from exc
        except ParamValidationError as exc:
            raise Refused(f"{service}: {' '.join(str(exc).split())}", "ParamValidationError") from exc
        except BotoCoreError as exc:
            where = f"the engine at {self.url}" if self.url else "AWS"
            raise Refused(f"{service}: {where} does not answer: {exc}") from exc
        if self._remembered is not None:
            self._remembered[key] = answer
        return answer

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within it, what was asked once is not asked again: for looking only."""
        before = self._remembered
        self._remembered = {} if before is None else before
        try:
            yield
        finally:
            self._remembered = before

    def pages(
        self,
        service: str,
        operation: str,
        member: str,
        *,
        token: tuple[str, str] = ("NextToken", "NextToken"),
        **params: Any,
    ) -> Iterator[dict[str, Any]]:
        """The items of a listing, page after page.

        Args:
            member: Of the answer, that holds the items.
            token: The answer's member that names the next page, and the request's that takes it.
        """
        while True:
            answer = self.call(service, operation, **params)
            yield from answer.get(member) or ()
            if not answer.get(token[0]):
                return
            params[token[1]] = answer[token[0]]

    def function(self, name: str) -> Function:
        """A function by name.

        Raises:
            TriggerError: There is none.
        """
        try:
            found = self.call("lambda", "get_function_configuration", FunctionName=name)
        except Refused as exc:
            if exc.aws_code == "ResourceNotFoundException":
                raise TriggerError(f"there is no function {name}; run its %%lambda cell first") from exc
            raise
        return Function(str(found["FunctionName"]), str(found["FunctionArn"]))

    def arn(self, service: str, resource: str, *, bare: bool = False) -> str:
        """``arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE``; ``bare``: without region and account, as buckets have it."""
        where = ":" if bare else f"{self.region}:{self.account_id}"
        return f"arn:{self.partition}:{service}:{where}:{resource}"

    def here(self, path: str, host: str) -> str:
        """An address that works on this machine.

        Args:
            path: Of the engine's endpoint, as names below localhost are not resolved everywhere.
            host: The whole address as AWS gives it.
        """
        return f"{self.url}{path}" if self.url else host

    def offer(self, python: str, command: str) -> str:
        """The one line that makes what is missing: in the notebook for an engine, in a terminal for AWS."""
        return f"jupyter_lambda.{python}" if self.url else f"{command} --profile {self.profile}"

    def command(self, line: str) -> str:
        """A line of the AWS CLI that reaches this place."""
        return f"{line} --endpoint-url {self.url}" if self.url else f"{line} --profile {self.profile}"

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]


def last(arn: str) -> str:
    """The name at the end of an ARN."""
    return arn.rpartition(":")[2].rpartition("/")[2]
