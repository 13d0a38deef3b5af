"""What the control plane's modules share: names, one change of a function at a time, revisions, pages."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.arn import LATEST, Account, FunctionName
from jupyter_lambda.model.function import Alias, Function, FunctionVersion

if TYPE_CHECKING:
    from .service import LambdaService

#: Items of a page where the caller asks for none in particular, and the most that AWS returns.
PAGE_ITEMS = 50
#: Names of functions whose parts are kept, all dropped when there are more.
_NAMES_MAX = 4096


class ControlPlane:
    """The service as the control plane sees it. All changes of functions go through one of these per engine."""

    def __init__(self, service: LambdaService) -> None:
        self.service = service
        #: Held while a decision depends on all functions together; taken before a function's lock.
        self.account_lock = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._names: dict[tuple[str, str | None], tuple[str, str | None]] = {}

    @property
    def account(self) -> Account:
        """Region and account."""
        return self.service.settings.account

    def lock(self, name: str) -> asyncio.Lock:
        """Held while a function or layer is read, decided about and written."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def function(self, name: str, qualifier: str | None = None) -> Function:
        """A function by its bare name.

        Raises:
            ResourceNotFoundException: With the ARN that was asked for.
        """
        function = self.service.store.functions.get(name)
        if function is None:
            raise self.not_found(name, qualifier)
        return function

    def version(self, name: str, qualifier: str | None) -> FunctionVersion:
        """The version that a qualifier names: $LATEST, a number, or an alias's own version whatever its weights.

        Raises:
            ResourceNotFoundException: No such function, version or alias.
        """
        function = self.function(name, qualifier)
        if qualifier is None or qualifier == LATEST:
            return function.latest
        number = qualifier
        if not qualifier.isdigit():
            alias = self.alias(name, qualifier)
            number = alias.function_version if alias else ""
        version = self.service.store.functions.version(name, number) if number else None
        if version is None:
            raise self.not_found(name, qualifier)
        return version

    def alias(self, name: str, alias: str) -> Alias | None:
        """An alias, or None."""
        return self.service.store.functions.alias(name, alias)

    def not_found(self, name: str, qualifier: str | None = None) -> ResourceNotFoundException:
        """AWS's answer about a function that is not there."""
        return ResourceNotFoundException(f"Function not found: {self.account.function_arn(name, qualifier)}")

    def named(self, text: str, qualifier: str | None = None) -> tuple[str, str | None]:
        """Bare name and qualifier, from a name, partial ARN or ARN and a separate qualifier.

        Raises:
            InvalidParameterValueException: The two qualifiers differ.
            ValidationException, ResourceNotFoundException: see ``FunctionName.parse``.
        """
        known = self._names.get((text, qualifier))
        if known is not None:
            return known
        name = FunctionName.parse(text, self.account)
        if name.qualifier and qualifier and name.qualifier != qualifier:
            raise InvalidParameterValueException(
                "The derived qualifier from the function name does not match the specified qualifier."
            )
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()
        found = self._names[text, qualifier] = name.name, qualifier or name.qualifier
        return found

    def now_text(self) -> str:
        """The time as AWS writes LastModified."""
        moment = datetime.fromtimestamp(self.service.clock(), UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def new_revision() -> str:
    """A fresh RevisionId."""
    return str(uuid.uuid4())


def check_revision(given: str | None, current: str) -> None:
    """Optimistic locking.

    Raises:
        PreconditionFailedException: The caller has seen an older revision.
    """
    if given is not None and given != current:
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id"
        )


def page_size(asked: int | None, most: int = PAGE_ITEMS) -> int:
    """How many items a page has: what was asked for, up to AWS's most."""
    return min(asked or most, most)


def read_marker(marker: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The key after which a page starts; None at the beginning.

    Args:
        kinds: Types of the key's parts.
    Raises:
        InvalidParameterValueException: Not a marker that was handed out here for such a list.
    """
    if not marker:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(marker.encode()))
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise InvalidParameterValueException("Invalid pagination token (Marker) provided.")
    return tuple(parts)


def write_marker(*after: str | int) -> str:
    """What a caller sends to get the page after this key."""
    return base64.urlsafe_b64encode(json.dumps(after, separators=(",", ":")).encode()).decode()
