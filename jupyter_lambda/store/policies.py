"""Resource-based policies of functions and layers, by the ARN they are attached to."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from .part import Part


class Policies(Part):
    """The part of ``Functions`` that keeps policies."""

    def policy(self, resource_arn: str) -> dict[str, Any] | None:
        """The policy attached to a function, version, alias or layer version; None where there is none."""
        row = self._database.first("SELECT body FROM policy WHERE resource_arn = ?", (resource_arn,))
        found: dict[str, Any] | None = json.loads(row[0]) if row else None
        return found

    async def put_policy(self, resource_arn: str, policy: dict[str, Any] | None) -> None:
        """Attach a policy, replacing the one before; None takes it away.

        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            if policy is None:
                connection.execute("DELETE FROM policy WHERE resource_arn = ?", (resource_arn,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO policy (resource_arn, owner, body) VALUES (?,?,?)",
                    (resource_arn, _owner(resource_arn), json.dumps(policy)),
                )

        await self._database.write(run, essential=policy is None)


def _owner(resource_arn: str) -> str:
    """ "function:NAME" or "layer:NAME" of arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]."""
    return ":".join(resource_arn.split(":")[5:7])
