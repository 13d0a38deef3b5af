"""Lists, maps and structures of a service's description, and the description's shapes as a whole.

What AWS's servers check beyond or differently from the published description stands in ``TIGHTER`` and ``LATER``.
"""
# ruff: noqa: D102 - what the methods of each shape do is said once, in Shape

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.errors import SerializationException

from .scalars import (
    NOT_NULL,
    BlobShape,
    BooleanShape,
    NumberShape,
    Shape,
    StringShape,
    TimestampShape,
    json_kind,
    member_path,
)

#: Shape → constraints that AWS's servers apply to functions instead of the description's wider ones.
#: Source: AWS Lambda Developer Guide, "Lambda quotas".
TIGHTER: dict[str, dict[str, Any]] = {"MemorySize": {"max": 10_240}, "Timeout": {"max": 900}}
#: Members whose constraints AWS's servers check later, with other sentences, as the engine does.
LATER = frozenset({("CreateFunctionRequest", "Runtime"), ("UpdateFunctionConfigurationRequest", "Runtime")})
_BETWEEN = re.compile(r"(?:String|Uri)WithLengthBetween(\d+)And(\d+)")


class ListShape(Shape):
    """A list; a member's broken constraint is told of the whole list, as AWS does."""

    kind = "list"

    def __init__(self, name: str, spec: Mapping[str, Any], member: Shape) -> None:
        super().__init__(name, spec)
        self.member = member
        self.min: int = spec.get("min", 0)
        self.max: int | None = spec.get("max")
        self.free = not self.min and self.max is None and member.free

    def decode(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise SerializationException(f"{json_kind(value)} can not be converted to a list")
        decode = self.member.decode
        if None in value:
            raise SerializationException(f"A list has a null where {NOT_NULL.lower()}")
        return [decode(item) for item in value]

    def encode(self, value: Any) -> Any:
        encode = self.member.encode
        return [encode(item) for item in value]

    def problems(self, value: list[Any]) -> list[str]:
        found = []
        if self.max is not None and len(value) > self.max:
            found.append(f"Member must have length less than or equal to {self.max}")
        if len(value) < self.min:
            found.append(f"Member must have length greater than or equal to {self.min}")
        return found

    def constraints(self) -> list[str]:
        upper = [] if self.max is None else [f"Member must have length less than or equal to {self.max}"]
        return upper + ([f"Member must have length greater than or equal to {self.min}"] if self.min else [])

    def check(self, value: list[Any], path: str, found: list[str]) -> None:
        super().check(value, path, found)
        if self.member.free:
            return
        if self.member.kind == "structure":
            for number, item in enumerate(value, 1):
                self.member.check(item, f"{path}.{number}.member", found)
        elif any(self.member.problems(item) for item in value):
            rules = ", ".join([*self.member.constraints(), NOT_NULL])
            if self.name == "CompatibleRuntimes":  # the one list for which AWS's servers say it otherwise
                found.append(self.sentence(value, path, f"{self.member.constraints()[0]} or be a valid ARN"))
            else:
                found.append(self.sentence(value, path, f"Member must satisfy constraint: [{rules}]"))


class MapShape(Shape):
    """A map of strings to values."""

    kind = "map"

    def __init__(self, name: str, spec: Mapping[str, Any], key: Shape, value: Shape) -> None:
        super().__init__(name, spec)
        self.key = key
        self.value = value
        self.free = key.free and value.free

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise SerializationException(f"{json_kind(value)} can not be converted to a map")
        return {self.key.decode(k): self.value.decode(v) for k, v in value.items() if v is not None}

    def encode(self, value: Any) -> Any:
        encode = self.value.encode
        return {k: encode(v) for k, v in value.items()}

    def check(self, value: dict[str, Any], path: str, found: list[str]) -> None:
        if not self.key.free and any(self.key.problems(key) for key in value):
            rules = ", ".join([*self.key.constraints(), NOT_NULL])
            found.append(self.sentence(value, path, f"Map keys must satisfy constraint: [{rules}]"))
        if not self.value.free and any(self.value.problems(item) for item in value.values()):
            rules = ", ".join([*self.value.constraints(), NOT_NULL])
            found.append(self.sentence(value, path, f"Map value must satisfy constraint: [{rules}]"))


class StructureShape(Shape):
    """Named members; those that the description doesn't know are passed over, as AWS does."""

    kind = "structure"

    def __init__(self, name: str, spec: Mapping[str, Any]) -> None:
        super().__init__(name, spec)
        self.free = False  # until ``fill`` knows better
        self.required: frozenset[str] = frozenset(spec.get("required", ()))
        #: Member → (name on the wire, shape).
        self.members: dict[str, tuple[str, Shape]] = {}

    def fill(self, members: dict[str, tuple[str, Shape]]) -> None:
        """Set the members, after they are built: shapes may contain themselves."""
        self.members = members
        self.free = not self.required and all(shape.free for _, shape in members.values())

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise SerializationException(f"{json_kind(value)} can not be converted to a structure")
        decoded = {}
        for name, (wire, shape) in self.members.items():
            item = value.get(wire)
            if item is not None:
                decoded[name] = shape.decode(item)
        return decoded

    def encode(self, value: Any) -> Any:
        encoded = {}
        for name, (wire, shape) in self.members.items():
            item = value.get(name)
            if item is not None:
                encoded[wire] = shape.encode(item)
        return encoded

    def check(self, value: dict[str, Any], path: str, found: list[str]) -> None:
        prefix = f"{path}." if path else ""
        for name, (_, shape) in self.members.items():
            item = value.get(name)
            if item is None:
                if name in self.required:
                    where = prefix + member_path(name)
                    found.append(f"Value null at '{where}' failed to satisfy constraint: {NOT_NULL}")
            elif not shape.free:
                shape.check(item, prefix + member_path(name), found)


class Shapes:
    """The shapes of one description, each compiled when it is first needed."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._specs: Mapping[str, Any] = description["shapes"]
        self._built: dict[str, Shape] = {}

    def __getitem__(self, name: str) -> Shape:
        shape = self._built.get(name)
        return shape if shape is not None else self._build(name)

    def spec(self, name: str) -> Mapping[str, Any]:
        """The description of one shape as it stands."""
        found: Mapping[str, Any] = self._specs[name]
        return found

    def structure(self, name: str) -> StructureShape:
        """A shape that is known to be a structure."""
        shape = self[name]
        assert isinstance(shape, StructureShape), name
        return shape

    def _build(self, name: str) -> Shape:
        spec = {**_named_bounds(name), **self._specs[name], **TIGHTER.get(name, {})}
        shape: Shape
        match spec["type"]:
            case "string":
                shape = StringShape(name, spec)
            case "integer" | "long" | "double" | "float":
                shape = NumberShape(name, spec)
            case "boolean":
                shape = BooleanShape(name, spec)
            case "blob":
                shape = BlobShape(name, spec)
            case "timestamp":
                shape = TimestampShape(name, spec)
            case "list":
                shape = ListShape(name, spec, self[spec["member"]["shape"]])
            case "map":
                shape = MapShape(name, spec, self[spec["key"]["shape"]], self[spec["value"]["shape"]])
            case "structure":
                shape = self._built[name] = StructureShape(name, spec)
                members = spec.get("members", {})
                shape.fill({m: (ref.get("locationName", m), self._member(name, m, ref)) for m, ref in members.items()})
            case unknown:
                raise AssertionError(f"shape {name} has the unknown type {unknown}")
        self._built[name] = shape
        return shape

    def _member(self, structure: str, member: str, ref: Mapping[str, Any]) -> Shape:
        if (structure, member) in LATER:
            return StringShape(ref["shape"], {"type": "string"})
        return self[ref["shape"]]


def _named_bounds(name: str) -> dict[str, int]:
    """The bounds that a shape of API Gateway has in its name only."""
    found = _BETWEEN.fullmatch(name)
    return {"min": int(found[1]), "max": int(found[2])} if found else {}
