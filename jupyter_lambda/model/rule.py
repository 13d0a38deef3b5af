"""EventBridge's words: buses, rules, targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The bus that every account has.
DEFAULT_BUS = "default"


@dataclass(frozen=True, slots=True)
class EventBus:
    """One bus."""

    name: str
    #: Seconds since the epoch.
    created_s: float
    modified_s: float
    description: str | None = None
    #: The resource policy, kept and returned.
    policy: Mapping[str, Any] | None = None
    #: KmsKeyIdentifier, DeadLetterConfig, LogConfig: kept and returned.
    extras: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it is about (a pattern, a schedule, or both), and whether it acts."""

    bus: str
    name: str
    #: Text of the event pattern as it was given.
    pattern: str | None = None
    #: rate(…) or cron(…), in UTC.
    schedule: str | None = None
    state: str = "ENABLED"
    description: str | None = None
    role_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        """Whether it acts."""
        return self.state != "DISABLED"


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """Where a rule's events go."""

    target_id: str
    arn: str
    #: The target as AWS's API has it: Input, InputPath, InputTransformer, RetryPolicy, DeadLetterConfig …
    settings: Mapping[str, Any]
