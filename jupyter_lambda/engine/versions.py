"""Published versions: what PublishVersion means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model.function import Function, FunctionVersion

from .control import ControlPlane, check_revision, new_revision

#: In a version's extras: the revision of $LATEST that it was published from.
PUBLISHED_FROM = "PublishedFrom"


async def publish(
    plane: ControlPlane,
    name: str,
    *,
    description: str | None = None,
    code_sha256: str | None = None,
    revision_id: str | None = None,
) -> FunctionVersion:
    """Publish $LATEST under the next number.

    "Lambda doesn't publish a version if the function's configuration and code haven't changed since the last version":
    then that version is returned. Unlike on AWS, publishing leaves the RevisionId of $LATEST as it is, for a new one
    would end its warm environments.

    Raises:
        ResourceNotFoundException: No such function.
        PreconditionFailedException: ``revision_id`` is not $LATEST's.
        InvalidParameterValueException: ``code_sha256`` is not $LATEST's.
    Source: AWS Lambda API Reference, "PublishVersion".
    """
    async with plane.lock(name):
        function = plane.function(name)
        latest = function.latest
        check_revision(revision_id, latest.revision_id)
        if code_sha256 is not None and code_sha256 != latest.code_sha256:
            raise InvalidParameterValueException(
                f"CodeSHA256 ({code_sha256}) is different from current CodeSHA256 in $LATEST ({latest.code_sha256}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        return await publish_locked(plane, function, description)


async def publish_locked(plane: ControlPlane, function: Function, description: str | None = None) -> FunctionVersion:
    """``publish`` for who holds the function's lock and has its present state."""
    functions = plane.service.store.functions
    latest = function.latest
    previous = functions.version(function.name, str(function.next_version - 1)) if function.next_version > 1 else None
    if previous is not None and previous.extras.get(PUBLISHED_FROM) == latest.revision_id:
        return previous
    version = latest.as_version(
        function.next_version,
        revision_id=new_revision(),
        last_modified=plane.now_text(),
        description=latest.description if description is None else description,
        extras={**latest.extras, PUBLISHED_FROM: latest.revision_id},
    )
    await functions.publish(replace(function, next_version=function.next_version + 1), version)
    return version


def listed(plane: ControlPlane, name: str, after: str | None, limit: int) -> Sequence[FunctionVersion]:
    """$LATEST, then the published versions in order.

    Raises:
        ResourceNotFoundException: No such function.
    """
    plane.function(name)
    return plane.service.store.functions.versions(name, after, limit)
