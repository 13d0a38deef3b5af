"""``folder:`` — files of a folder on the engine's machine. AWS has nothing like it: the engine's own routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from jupyter_lambda.errors import LambdaError, ResourceNotFoundException

from . import samples
from .base import Made, Source, Trigger
from .errors import TriggerError, WordError
from .options import Options
from .place import Function, Place

#: Characters that make a part of a path a pattern.
_GLOB = set("*?[")


@dataclass(frozen=True)
class FolderSource(Source):
    """A folder and which of its files."""

    kind: ClassVar[str] = "folder"
    usage: ClassVar[str] = "'folder:data/*.csv'"
    summary: ClassVar[str] = "files that appear or change in a folder of the engine's machine; ** is any folders below"
    known: ClassVar[Mapping[str, str]] = {
        "existing": "fire: for the files that are there already, too; skip: not (the default)",
        "deleted": "yes: fires for files that go away, too",
        "settle": "how long a file must rest before it counts, e.g. 2s (default 1s)",
        "content": "no: never put a small text file's content into the event",
    }

    existing: str = "skip"
    deleted: bool = False
    settle_s: int = 1
    content: bool = True

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """``FOLDER``, ``FOLDER/PATTERN``; relative paths begin at the notebook's folder."""
        if not where:
            raise WordError("folder: which folder? Write folder:data or 'folder:data/*.csv'")
        folder, pattern = split(where)
        if ".." in Path(pattern).parts:
            raise WordError(f"folder:{where}: a pattern can't leave its folder with ..")
        settle_s = options.seconds("settle", 0, 3600)
        content = options.yes("content")
        return cls(
            f"{folder.rstrip('/') or '/'}/{pattern}" if folder != "/" else f"/{pattern}",
            existing=options.one_of("existing", ("fire", "skip")) or "skip",
            deleted=bool(options.yes("deleted")),
            settle_s=1 if settle_s is None else settle_s,
            content=True if content is None else content,
            options=options.pairs(),
        )

    @property
    def word(self) -> str:
        """As it would be written here."""
        tail = super().word.removeprefix(self.identity)
        return f"folder:{_short(self.folder)}{self.pattern}{tail}"

    @property
    def folder(self) -> str:
        """Its path, absolute."""
        return split(self.where)[0]

    @property
    def pattern(self) -> str:
        """Of its files, relative to the folder."""
        return split(self.where)[1]

    def in_words(self) -> str:
        """What fires it."""
        what = "appear, change or go away" if self.deleted else "appear or change"
        return f"files {self.pattern} that {what} in {self.folder}"

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [
            f"a watch of the folder {self.folder} for {self.pattern}, which fires {function_name} (this engine's only)"
        ]

    def make(self, place: Place, function: Function) -> Made:
        """The watch."""
        answer = self._ask(
            place,
            "PUT",
            function,
            existing=self.existing,
            deleted=str(self.deleted).lower(),
            settle=self.settle_s,
            content=str(self.content).lower(),
        )
        notes = ("folders are watched by this engine, while it runs; AWS has nothing like it",)
        return Made(_trigger(answer["folder"]), answer["action"], (*notes, *answer.get("notes", ())))

    def remove(self, place: Place, function: Function) -> None:
        """The watch and what it remembers."""
        self._ask(place, "DELETE", function, missing_ok=True)

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """The folders that are watched for it."""
        if place.admin is None:
            return []
        try:
            answer = place.admin.call("GET", "/folders", function=function.name)
        except LambdaError as exc:
            raise TriggerError(exc.message) from exc
        return [_trigger(one) for one in answer["folders"]]

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Pause: what happens meanwhile fires when it is resumed."""
        self._ask(place, "PUT", function, paused=str(paused).lower(), only="state")

    def sample(self, place: Place) -> dict[str, Any]:
        """A file that appeared."""
        name = self.pattern.replace("**/", "").replace("*", "sample").replace("?", "x")
        return samples.folder(self.folder, name if "[" not in name else "sample.txt")

    def _ask(
        self, place: Place, method: str, function: Function, *, missing_ok: bool = False, **query: Any
    ) -> dict[str, Any]:
        if place.admin is None:
            raise TriggerError(f"{self.word}: folders are watched by an engine only; AWS has nothing like it")
        try:
            return place.admin.call(
                method, "/folders", function=function.name, folder=self.folder, pattern=self.pattern, **query
            )
        except ResourceNotFoundException as exc:
            if missing_ok:
                return {}
            raise TriggerError(exc.message) from exc
        except LambdaError as exc:
            raise TriggerError(exc.message) from exc


def split(where: str) -> tuple[str, str]:
    """The folder, absolute, and the pattern of its files; ``*`` where none is written."""
    path = Path(where).expanduser()
    parts = path.parts
    first = next((at for at, part in enumerate(parts) if set(part) & _GLOB), len(parts))
    if first == len(parts) and path.is_file():
        first -= 1
    folder = Path(*parts[:first]) if first else Path()
    pattern = "/".join(parts[first:]) or "*"
    return str(Path.cwd() / folder if not folder.is_absolute() else folder), pattern


def _short(folder: str) -> str:
    """As it would be written here: relative where it lies below the notebook's folder."""
    path, here = Path(folder), Path.cwd()
    if path == here:
        return ""
    return f"{path.relative_to(here) if path.is_relative_to(here) else folder.rstrip('/')}/"


def _trigger(one: Mapping[str, Any]) -> Trigger:
    options = []
    if one.get("deleted"):
        options.append("deleted=yes")
    if not one.get("content", True):
        options.append("content=no")
    if one.get("settle_s", 1) != 1:
        options.append(f"settle={one['settle_s']:g}s")
    shown = _short(str(one["folder"]))
    word = f"folder:{shown}{one['pattern']}" + (f"?{'&'.join(options)}" if options else "")
    what = "appear, change or go away" if one.get("deleted") else "appear or change"
    name = str(one["pattern"]).replace("**/", "").replace("*", "sample").replace("?", "x")
    line = f"cp some.file {one['folder'].rstrip('/')}/{name}"
    words = f"files {one['pattern']} that {what} in {one['folder']}"
    return Trigger(word, words, str(one.get("state", "on")), (line,), str(one.get("result", "")))
