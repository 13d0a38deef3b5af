"""One API call on its way to the function that bears its operation's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.http1 import Request
from jupyter_lambda.triggers.host import Triggers


@dataclass(slots=True)
class Call:
    """What an operation's function is given."""

    service: LambdaService
    plane: ControlPlane
    triggers: Triggers
    #: The request's members by AWS's names, of the types and within the constraints of the service's description.
    params: dict[str, Any]
    request: Request
    request_id: str
    caller: Credential
    #: Headers that the response gets beyond those of the operation's description.
    headers: list[tuple[str, str]] = field(default_factory=list)

    def named(self, parameter: str = "FunctionName") -> tuple[str, str | None]:
        """Bare name and qualifier of the function the call is about; see ``ControlPlane.named``."""
        return self.plane.named(self.params[parameter], self.params.get("Qualifier"))


#: Takes a call, answers the members of the operation's output.
Handler = Callable[[Call], Awaitable[Mapping[str, Any]]]
