"""``url:`` — a function URL. Source: AWS Lambda Developer Guide, "Lambda function URLs"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from . import samples
from .base import MARK, Action, Made, Source, Trigger, allow, disallow
from .errors import Refused, WordError
from .options import Options
from .place import Function, Place

#: Statement ids of the two permissions that a public address needs. Source: the Guide, "Control access to function
#: URLs": since October 2025 InvokeFunction beside InvokeFunctionUrl.
_SIDS = (f"{MARK}-url", f"{MARK}-url-invoke")


@dataclass(frozen=True)
class UrlSource(Source):
    """An address of the function's own."""

    kind: ClassVar[str] = "url"
    usage: ClassVar[str] = "url: or url:iam"
    summary: ClassVar[str] = "an address of its own; iam: for signed requests only"
    known: ClassVar[dict[str, str]] = {"stream": "yes: the response is sent as it is written (RESPONSE_STREAM)"}
    unpausable: ClassVar[str] = "a function URL is there or it isn't; take it away with %lambda trigger rm"

    stream: bool = False

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """Nothing, ``none`` or ``iam``."""
        if where not in ("", "none", "iam"):
            raise WordError(f"url:{where}: write url: for an open address, or url:iam for signed requests only")
        stream = bool(options.yes("stream"))
        return cls("iam" if where == "iam" else "", stream=stream, options=options.pairs())

    @property
    def identity(self) -> str:
        """A function has one URL."""
        return "url:"

    @property
    def word(self) -> str:
        """With who may call it."""
        return f"url:{self.where}" + ("?stream=yes" if self.stream else "")

    def in_words(self) -> str:
        """Who may call it."""
        return "its own address, for " + ("signed requests" if self.where == "iam" else "everyone who can reach it")

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [f"a function URL of {function_name}, AuthType {self._auth}"]

    @property
    def _auth(self) -> str:
        return "AWS_IAM" if self.where == "iam" else "NONE"

    def make(self, place: Place, function: Function) -> Made:
        """The URL, and the policy that opens it."""
        wanted = {"AuthType": self._auth, "InvokeMode": "RESPONSE_STREAM" if self.stream else "BUFFERED"}
        present = _config(place, function)
        action: Action = "unchanged"
        if present is None:
            present = place.call("lambda", "create_function_url_config", FunctionName=function.name, **wanted)
            action = "made"
        elif any(present.get(key) != value for key, value in wanted.items()):
            present = place.call("lambda", "update_function_url_config", FunctionName=function.name, **wanted)
            action = "changed"
        if self.where == "iam":
            _close(place, function)
        else:
            _open(place, function)
        return Made(_trigger(place, present), action)

    def remove(self, place: Place, function: Function) -> None:
        """The URL and its policy."""
        try:
            place.call("lambda", "delete_function_url_config", FunctionName=function.name)
        except Refused as exc:
            if exc.aws_code != "ResourceNotFoundException":
                raise
        _close(place, function)

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """The function's URL."""
        present = _config(place, function)
        return [_trigger(place, present)] if present else []

    def sample(self, place: Place) -> dict[str, Any]:
        """A GET of /."""
        return samples.http("GET", "/", "/", place)


def _open(place: Place, function: Function) -> None:
    allow(
        place,
        function,
        _SIDS[0],
        principal="*",
        action="lambda:InvokeFunctionUrl",
        FunctionUrlAuthType="NONE",
    )
    allow(place, function, _SIDS[1], principal="*", InvokedViaFunctionUrl=True)


def _close(place: Place, function: Function) -> None:
    for statement_id in _SIDS:
        disallow(place, function, statement_id)


def _config(place: Place, function: Function) -> dict[str, Any] | None:
    try:
        return place.call("lambda", "get_function_url_config", FunctionName=function.name)
    except Refused as exc:
        if exc.aws_code == "ResourceNotFoundException":
            return None
        raise


def _trigger(place: Place, present: dict[str, Any]) -> Trigger:
    signed = present["AuthType"] == "AWS_IAM"
    source = UrlSource("iam" if signed else "", stream=present.get("InvokeMode") == "RESPONSE_STREAM")
    url = str(present["FunctionUrl"])
    name = url.partition("://")[2].partition(".")[0]
    here = place.here(f"/_aws/lambda-url/{name}/", url)
    if not signed:
        return Trigger(source.word, source.in_words(), "on", (here, f"curl {here}"))
    sign = f'--aws-sigv4 "aws:amz:{place.region}:lambda" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    return Trigger(source.word, source.in_words(), "on", (here, f"curl {here} {sign}"))
