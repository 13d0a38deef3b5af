"""What every kind of trigger has in common."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from .errors import Refused, TriggerError
from .options import Options
from .place import Function, Place

#: What begins the names of everything that is made for a trigger.
MARK = "jupyter-lambda"
Action = Literal["made", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as it is found."""

    #: As it would be written to make it.
    word: str
    #: What it does, for people: "every 5 minutes, UTC".
    words: str
    #: "on", "paused", or what the service says.
    state: str = "on"
    #: How to try it: lines for people, the first one best.
    try_it: tuple[str, ...] = ()
    #: What the last run gave, where the service knows.
    result: str = ""

    @property
    def kind(self) -> str:
        """The word before the colon."""
        return self.word.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Made:
    """What came of making one."""

    trigger: Trigger
    action: Action
    #: What was done besides, or must be known.
    notes: tuple[str, ...] = ()

    def noting(self, *notes: str) -> Made:
        """The same with more to say."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True)
class Source(ABC):
    """Where events come from: one trigger's word, read. Each kind is a class with its AWS calls."""

    #: What stands before the colon.
    kind: ClassVar[str]
    #: How it is written, what it is, for help.
    usage: ClassVar[str]
    summary: ClassVar[str]
    #: Name of each option → its help.
    known: ClassVar[Mapping[str, str]] = {}
    #: Why it can't be paused at AWS; "" where it can.
    unpausable: ClassVar[str] = ""

    #: What stands after the colon, in its one right spelling.
    where: str
    #: As given, by name.
    options: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)

    @classmethod
    @abstractmethod
    def read(cls, where: str, options: Options) -> Self:
        """What stands after the colon. Raises WordError."""

    @property
    def identity(self) -> str:
        """What makes two words the same trigger, whatever their options."""
        return f"{self.kind}:{self.where}"

    @property
    def word(self) -> str:
        """As it is written."""
        tail = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self.identity}?{tail}" if tail else self.identity

    def mark(self, function: Function) -> str:
        """A short name for what is made, the same each time."""
        digest = hashlib.sha256(f"{function.name} {self.identity}".encode()).hexdigest()
        return f"{MARK}-{digest[:10]}"

    @abstractmethod
    def in_words(self) -> str:
        """What it does, for people."""

    @abstractmethod
    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made, one line each; asks nobody."""

    @abstractmethod
    def make(self, place: Place, function: Function) -> Made:
        """Make it, or bring what is there to what is wanted.

        Raises:
            TriggerError: It can't work; why, and what to do.
        """

    @abstractmethod
    def remove(self, place: Place, function: Function) -> None:
        """Take it away with all that was made for it; nothing happens where it is gone."""

    @classmethod
    @abstractmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """The triggers of this kind that a function has, whoever made them."""

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Pause or go on.

        Raises:
            TriggerError: This kind can't be paused.
        """
        verb = "paused" if paused else "resumed"
        raise TriggerError(f"{self.word} can't be {verb}: {self.unpausable}")

    def can_pause(self, place: Place) -> bool:
        """Whether pausing holds its place, or lets its time pass, here."""
        del place
        return not self.unpausable

    @abstractmethod
    def sample(self, place: Place) -> dict[str, Any]:
        """An event as this source sends them."""


def allow(
    place: Place,
    function: Function,
    statement_id: str,
    *,
    principal: str,
    source_arn: str | None = None,
    action: str = "lambda:InvokeFunction",
    **more: Any,
) -> None:
    """Let a service invoke the function; nothing happens where it may already."""
    params = {"SourceArn": source_arn} if source_arn else {}
    try:
        place.call(
            "lambda",
            "add_permission",
            FunctionName=function.name,
            StatementId=statement_id,
            Action=action,
            Principal=principal,
            **params,
            **more,
        )
    except Refused as exc:
        if exc.aws_code != "ResourceConflictException":
            raise


def disallow(place: Place, function: Function, statement_id: str) -> None:
    """Take the statement away; nothing happens where there is none."""
    try:
        place.call("lambda", "remove_permission", FunctionName=function.name, StatementId=statement_id)
    except Refused as exc:
        if exc.aws_code != "ResourceNotFoundException":
            raise


def permitted_sources(place: Place, function: Function, principal: str) -> list[str]:
    """ARNs from which a service may invoke the function, as its policy says; in their order, each once."""
    try:
        policy = json.loads(place.call("lambda", "get_policy", FunctionName=function.name)["Policy"])
    except Refused as exc:
        if exc.aws_code == "ResourceNotFoundException":
            return []
        raise
    found: dict[str, None] = {}
    for statement in policy.get("Statement", ()):
        who = statement.get("Principal")
        if isinstance(who, dict) and who.get("Service") == principal:
            for condition in statement.get("Condition", {}).values():
                for key, arn in condition.items():
                    if key.lower() == "aws:sourcearn":
                        found.setdefault(str(arn))
    return list(found)
