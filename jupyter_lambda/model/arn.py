"""Names of functions and layers as AWS writes them: ARNs, partial ARNs, qualifiers.

Source: AWS Lambda API Reference, "Invoke": FunctionName as name, partial ARN or ARN, each with an optional version or
alias after a colon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jupyter_lambda.errors import ResourceNotFoundException, ValidationException

LATEST = "$LATEST"

_FUNCTION = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)
_LAYER = re.compile(
    r"arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):(?P<account>\d{12})"
    r":layer:(?P<name>[a-zA-Z0-9_-]+)(?::(?P<version>\d+))?"
)
#: What AWS prints as the pattern of ``functionName``.
FUNCTION_NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
    r"(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True, slots=True)
class Account:
    """Where this engine says it is."""

    region: str = "us-east-1"
    account_id: str = "000000000000"
    partition: str = "aws"

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        """``arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]``."""
        arn = f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:function:{name}"
        return f"{arn}:{qualifier}" if qualifier else arn

    def layer_arn(self, name: str, version: int | None = None) -> str:
        """``arn:aws:lambda:REGION:ACCOUNT:layer:NAME[:VERSION]``."""
        arn = f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:layer:{name}"
        return f"{arn}:{version}" if version is not None else arn

    def mapping_arn(self, uuid: str) -> str:
        """``arn:aws:lambda:REGION:ACCOUNT:event-source-mapping:UUID``."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:event-source-mapping:{uuid}"


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function as a caller named it: ``name`` and, if given, the qualifier (version or alias)."""

    name: str
    qualifier: str | None = None

    @classmethod
    def parse(cls, text: str, account: Account) -> FunctionName:
        """Read a name, partial ARN or ARN.

        Raises:
            ValidationException: Not of any of the three forms.
            ResourceNotFoundException: An ARN of another region or account.
        """
        found = _FUNCTION.fullmatch(text)
        if not found or (text.startswith("arn:") and not (found["region"] and found["account"])):
            raise ValidationException(
                f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {FUNCTION_NAME_PATTERN}"
            )
        if found["region"] and found["region"] != account.region:
            raise ResourceNotFoundException(
                f"Functions from '{found['region']}' are not reachable in this region ('{account.region}')"
            )
        if found["account"] and found["account"] != account.account_id:
            raise ResourceNotFoundException(f"Function not found: {text}")
        return cls(found["name"], found["qualifier"])


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer, or one version of it, as a caller named it by ARN."""

    name: str
    version: int | None
    region: str
    account_id: str

    @classmethod
    def parse(cls, arn: str) -> LayerName | None:
        """Read a layer ARN with or without a version; None when it is not one."""
        found = _LAYER.fullmatch(arn)
        if not found:
            return None
        version = int(found["version"]) if found["version"] else None
        return cls(found["name"], version, found["region"], found["account"])
