"""Under which names the endpoint may be addressed: a web page must not reach it by a name that it points here."""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_lambda.errors import AccessDeniedException

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_CACHE_MAX = 256


class Hosts:
    """The allow-list of Host headers; any port will do."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._names = frozenset([*_LOOPBACK, *(name.lower() for name in more)])
        #: Host headers that were found good; asked before ``check``, for all but the first request of a client.
        self.seen: set[str | None] = set()

    def check(self, host: str | None) -> None:
        """Refuse a host that is not on the list.

        Raises:
            AccessDeniedException: With what to do.
        """
        if host is None:
            raise AccessDeniedException("The request has no Host header.")
        name = host.strip().lower()
        bare = name if name.endswith("]") else name.rpartition(":")[0] or name
        if bare.rstrip(".") not in self._names:
            raise AccessDeniedException(
                f"The engine is not addressed as {host[:128]!r}. Use 127.0.0.1 or localhost, or add the name to "
                "c.LambdaEngine.allowed_hosts."
            )
        if len(self.seen) < _CACHE_MAX:
            self.seen.add(host)
