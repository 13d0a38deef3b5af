"""A Function URL's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

AuthType = Literal["NONE", "AWS_IAM"]
InvokeMode = Literal["BUFFERED", "RESPONSE_STREAM"]


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """At most one for each function and for each of its aliases."""

    function_name: str
    #: Name of an alias, or "$LATEST".
    qualifier: str
    #: The first label of its host name; never changes, and is never given out again.
    url_id: str
    auth_type: AuthType
    #: Text as AWS writes times.
    created: str
    modified: str
    #: None: not said, which means "BUFFERED".
    invoke_mode: InvokeMode | None = None
    #: Members as AWS names them; None: no CORS headers are added and preflights go to the function.
    cors: Mapping[str, Any] | None = None
