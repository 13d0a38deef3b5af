"""The homes that are not the engine's own: an endpoint by its address, and AWS by a profile."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.http1.client import Client

from .wire import Message

#: Seconds to connect.
_CONNECT_MAX_S = 10.0
#: Keys where neither a profile nor the environment has any: servers that are not AWS rarely look at them.
_NO_KEYS = ("test", "test")
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one service of a home answers."""

    scheme: str
    host: str
    port: int
    #: In front of every path.
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``http[s]://host[:port][/prefix]``.

        Raises:
            ValueError: Not of that form.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an address such as http://127.0.0.1:4566")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def netloc(self) -> str:
        """The Host header."""
        usual = self.port == (443 if self.scheme == "https" else 80)
        return self.host if usual else f"{self.host}:{self.port}"


class Remote:
    """Services beyond this engine, signed for with the keys of a profile or of the environment."""

    def __init__(self, region: str, *, endpoint_url: str = "", profile: str = "") -> None:
        """
        Args:
            endpoint_url: Of all services; "": AWS's own endpoint of each.
        """
        self._region, self._profile = region, profile
        self._fixed = Address.parse(endpoint_url) if endpoint_url else None
        self._session: Any = None
        self._keys: Any = None
        self._addresses: dict[str, Address] = {}
        self._clients: dict[Address, Client] = {}
        self._tls: ssl.SSLContext | None = None

    async def address(self, service: str) -> Address:
        """Where a service answers, by botocore's name of it."""
        if self._fixed is not None:
            return self._fixed
        if service not in self._addresses:
            self._addresses[service] = await asyncio.to_thread(self._aws_address, service)
        return self._addresses[service]

    def client(self, address: Address) -> Client:
        """Connections to one address."""
        if address not in self._clients:
            self._clients[address] = Client(lambda protocol: self._connect(address, protocol))
        return self._clients[address]

    async def sign(self, message: Message, address: Address, signing_name: str, *, streamed: bool) -> dict[str, str]:
        """The headers of a signed request, Host included.

        Args:
            streamed: The body is not at hand; S3 allows that.
        Raises:
            ServiceUnavailableException: There are no credentials.
        """
        if self._keys is None:
            self._keys = await asyncio.to_thread(self._find_keys)
        # Credentials that renew themselves may ask somebody.
        keys = await asyncio.to_thread(self._keys.get_frozen_credentials) if self._renewing() else self._frozen()
        return _signed(message, address, keys, signing_name, self._region, streamed=streamed)

    def close(self) -> None:
        """Close idle connections."""
        for client in self._clients.values():
            client.close()

    def _renewing(self) -> bool:
        return hasattr(self._keys, "refresh_needed") and bool(self._keys.refresh_needed())

    def _frozen(self) -> Any:
        return self._keys.get_frozen_credentials()

    def _open_session(self) -> Any:
        if self._session is None:
            from botocore.session import Session

            self._session = Session(profile=self._profile or None)
        return self._session

    def _find_keys(self) -> Any:
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError

        try:
            keys = self._open_session().get_credentials()
        except BotoCoreError as exc:
            raise ServiceUnavailableException(f"the credentials for AWS can't be had: {exc}") from exc
        if keys is not None:
            return keys
        if self._fixed is None:
            raise ServiceUnavailableException(
                f"there are no credentials for AWS in the profile {self._profile or 'default'!r}: log in, or name "
                "another in c.LambdaEngine.aws_profile"
            )
        return Credentials(*_NO_KEYS)

    def _aws_address(self, service: str) -> Address:
        from botocore.config import Config

        client = self._open_session().create_client(
            service,
            self._region,
            aws_access_key_id="none",  # asked for its address only
            aws_secret_access_key="none",  # noqa: S106 - no secret
            config=Config(ignore_configured_endpoint_urls=True),
        )
        return Address.parse(client.meta.endpoint_url)

    async def _connect(self, address: Address, protocol: Any) -> Any:
        tls = None
        if address.scheme == "https":
            if self._tls is None:
                self._tls = await asyncio.to_thread(_tls_context)
            tls = self._tls
        async with asyncio.timeout(_CONNECT_MAX_S):
            return await asyncio.get_running_loop().create_connection(protocol, address.host, address.port, ssl=tls)


def _tls_context() -> ssl.SSLContext:
    import os

    from botocore.httpsession import get_cert_path

    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True))


def _signed(
    message: Message, address: Address, keys: Any, signing_name: str, region: str, *, streamed: bool
) -> dict[str, str]:
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest

    path = address.prefix + message.path
    url = f"{address.scheme}://{address.netloc}{path}" + (f"?{message.query}" if message.query else "")
    headers = {name: value for name, value in message.headers.items() if name.lower() != "host"}
    request = AWSRequest(message.method, url, data=message.body, headers=headers)
    request.headers["Host"] = address.netloc

    class Unsigned(S3SigV4Auth):  # type: ignore[misc]  # untyped
        def payload(self, request: Any) -> str:
            return UNSIGNED

    signer = SigV4Auth if signing_name != "s3" else Unsigned if streamed else S3SigV4Auth
    signer(keys, signing_name, region).add_auth(request)
    return dict(request.headers.items())


def scope_only(account_id: str, region: str, signing_name: str, now_text: str) -> str:
    """An Authorization header for the embedded cloud, which reads account, region and service in it and no signature:
    nobody but the engine reaches it."""
    scope = quote(f"{account_id}/{now_text[:8]}/{region}/{signing_name}/aws4_request", safe="/")
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"
