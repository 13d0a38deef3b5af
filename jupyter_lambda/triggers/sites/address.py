"""Which requests are for a site: by name (ID.lambda-url.REGION.localhost) or by path (/_aws/lambda-url/ID/…).

The names are other origins to a browser, and resolve to loopback wherever a resolver follows RFC 6761; the paths work
where one doesn't (Python's on most systems) and through tunnels.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

#: "url": a Function URL; "api": an API of API Gateway.
Kind = Literal["url", "api"]
PATH_PREFIX = "/_aws/"
LABELS: dict[Kind, str] = {"url": "lambda-url", "api": "execute-api"}
_KINDS: dict[str, Kind] = {label: kind for kind, label in LABELS.items()}
_NAME = re.compile(r"([a-z0-9]{1,63})\.(lambda-url|execute-api)\.([a-z0-9-]+)\.localhost\.?(?::[0-9]{1,5})?")
_PATH = re.compile(r"(/_aws/(lambda-url|execute-api)/([A-Za-z0-9]{1,63}))(/.*)?", re.DOTALL)


class Address(NamedTuple):
    """What a request for a site says of it."""

    kind: Kind
    id: str
    #: Percent-encoded as it was sent, from the site's own root on; begins with "/".
    path: str
    #: What stood before ``path``: "/_aws/lambda-url/ID", or "" where the site was addressed by name.
    prefix: str


def by_name(host: str | None, path: str, region: str) -> Address | None:
    """The site that a Host header names; None for all other names."""
    if host is None or ".localhost" not in host:
        return None
    found = _NAME.fullmatch(host.strip().lower())
    if found is None or found[3] != region:
        return None
    return Address(_KINDS[found[2]], found[1], path if path.startswith("/") else "/", "")


def by_path(path: str) -> Address | None:
    """The site that a path names; None for all other paths, and for those that lead out of it."""
    found = _PATH.fullmatch(path)
    if found is None or ".." in path.split("/"):
        return None
    return Address(_KINDS[found[2]], found[3].lower(), found[4] or "/", found[1])


def name_of(kind: Kind, site_id: str, region: str) -> str:
    """A site's host name, without a port."""
    return f"{site_id}.{LABELS[kind]}.{region}.localhost"


def path_of(kind: Kind, site_id: str) -> str:
    """A site's path on the endpoint, without a slash at its end."""
    return f"{PATH_PREFIX}{LABELS[kind]}/{site_id}"
