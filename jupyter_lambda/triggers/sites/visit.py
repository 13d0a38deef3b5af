"""One request for a site, on its way to what answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.http1 import Request, Response

from .address import Kind

#: Who has signed a request, for the service of this name. Raises SignatureError.
Identify = Callable[[Request, str], Awaitable[Credential]]


@dataclass(slots=True)
class Visit:
    """What an answerer is given."""

    kind: Kind
    #: Of the Function URL or API.
    id: str
    method: str
    #: Percent-encoded as it was sent, from the site's own root on (an API's stage included); begins with "/".
    path: str
    #: As it was sent, without "?".
    query: str
    #: As they were sent, with the cookies that are the site's.
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes
    #: IP address of the client, or "sandbox:ID".
    peer: str
    #: What stood before ``path`` where the site was addressed by path; "": it was addressed by name.
    prefix: str
    request_id: str
    #: As X-Ray writes it: the client's, or made here.
    trace_id: str
    #: The site's own host name, whatever the request was addressed to.
    domain_name: str
    _request: Request
    _identify: Identify

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case), or None."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.raw_headers if key.lower() == wanted), None)

    async def caller(self, service: str) -> Credential:
        """Who has signed the request.

        Args:
            service: Signing name: "lambda" for Function URLs, "execute-api" for APIs.
        Raises:
            SignatureError: Nobody that is known here.
        """
        return await self._identify(self._request, service)


#: Answers the visits of one kind of site. A LambdaError that it raises becomes ``{"message": …}`` with its status.
Answerer = Callable[[Visit], Awaitable[Response]]
