"""Resource-based policies of functions: kept here; what they allow is decided in ``triggers.permission``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.arn import LATEST

from .control import ControlPlane, check_revision, new_revision

#: Bytes of a policy. Source: AWS Lambda Developer Guide, "Lambda quotas".
POLICY_MAX_CHARS = 20_480


async def add(
    plane: ControlPlane, name: str, qualifier: str | None, statement: Mapping[str, Any], revision_id: str | None
) -> None:
    """Add a statement.

    Raises:
        ResourceNotFoundException: No such function or qualifier.
        InvalidParameterValueException: The qualifier is $LATEST.
        ResourceConflictException: A statement of this Sid exists.
        PreconditionFailedException: ``revision_id`` is not the policy's.
        PolicyLengthExceededException: The policy would be too large.
    """
    async with plane.lock(name):
        plane.version(name, qualifier)
        if qualifier == LATEST:
            raise InvalidParameterValueException("We currently do not support adding policies for $LATEST.")
        arn = plane.account.function_arn(name, qualifier)
        policy = plane.service.store.functions.policy(arn)
        statements = list(policy["Statement"]) if policy else []
        if policy is not None:
            check_revision(revision_id, policy["RevisionId"])
        if any(present["Sid"] == statement["Sid"] for present in statements):
            raise ResourceConflictException(
                f"The statement id ({statement['Sid']}) provided already exists. Please provide a new statement id, or "
                "remove the existing statement."
            )
        changed = {"Statement": [*statements, dict(statement)], "RevisionId": new_revision()}
        if len(str(changed)) > POLICY_MAX_CHARS:
            raise PolicyLengthExceededException("The final policy size exceeds the limit of 20480 bytes.")
        await plane.service.store.functions.put_policy(arn, changed)


async def remove(plane: ControlPlane, name: str, qualifier: str | None, sid: str, revision_id: str | None) -> None:
    """Take a statement away; with the last one the policy goes.

    Raises:
        ResourceNotFoundException: No such function, policy or statement.
        PreconditionFailedException: ``revision_id`` is not the policy's.
    """
    async with plane.lock(name):
        plane.version(name, qualifier)
        arn = plane.account.function_arn(name, qualifier)
        policy = plane.service.store.functions.policy(arn)
        if policy is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        check_revision(revision_id, policy["RevisionId"])
        left = [statement for statement in policy["Statement"] if statement["Sid"] != sid]
        if len(left) == len(policy["Statement"]):
            raise ResourceNotFoundException(f"Statement {sid} is not found in resource policy.")
        changed = {"Statement": left, "RevisionId": new_revision()} if left else None
        await plane.service.store.functions.put_policy(arn, changed)


def get(plane: ControlPlane, name: str, qualifier: str | None) -> dict[str, Any]:
    """``{"Statement": […], "RevisionId": …}``.

    Raises:
        ResourceNotFoundException: No such function or policy.
    """
    plane.version(name, qualifier)
    policy = plane.service.store.functions.policy(plane.account.function_arn(name, qualifier))
    if policy is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return policy
