"""The folders of one engine: makes, changes and removes watches, and follows each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException
from jupyter_lambda.model.folder import SETTLE_S, Folder

from .follow import Follower
from .scan import FILES_MAX, Pattern, look
from .watching import Watching

log = logging.getLogger(__name__)

#: Folders that may be watched; each has a task.
FOLDERS_MAX = 500
SETTLE_MAX_S = 3600.0
#: The engine's address inside containers: what their AWS_ENDPOINT_URL says.
SANDBOX_ENDPOINT = "http://127.0.0.1:9001"


@dataclass(slots=True)
class _Watched:
    folder: Folder
    follower: Follower
    task: asyncio.Task[None] | None = None


class Folders:
    """A part of ``Triggers``. Only the engine's owner reaches it: its routes are the engine's own."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service
        self._store = service.store.folders
        self._watched: dict[str, _Watched] = {}
        self._watching = Watching(self._hear)
        self._started = False
        #: The engine's address inside sandboxes.
        self.endpoint = SANDBOX_ENDPOINT
        #: From a path of the engine to an address with the owner's signature; set by who knows how to sign.
        self.sign: Callable[[str], str] = lambda path: path

    # --- the part

    async def start(self) -> None:
        """Go on with all folders: what changed while no engine ran is told of now."""
        self._started = True
        for folder in self._store.all():
            self._follow(folder, Follower(self._service, folder, self._store.files(folder.folder_id), self._sign))
        self._listen()

    async def stop(self, timeout_s: float) -> None:
        """Tell of nothing more; what was told is in the queue."""
        self._started = False
        self._watching.close()
        tasks = [one.task for one in self._watched.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watched.clear()

    def status(self) -> Mapping[str, Any]:
        """How many, and what is wrong."""
        if not self._watched:
            return {}
        trouble = [
            f"{one.folder.path}: {one.follower.trouble}" for one in self._watched.values() if one.follower.trouble
        ]
        if self._watching.trouble:
            trouble.append(self._watching.trouble)
        return {"watched": len(self._watched), **({"trouble": trouble} if trouble else {})}

    # --- what the owner asks for

    async def put(
        self,
        function_name: str,
        path: str,
        pattern: str,
        *,
        existing: str = "skip",
        deleted: bool = False,
        content: bool = True,
        settle_s: float = SETTLE_S,
    ) -> dict[str, Any]:
        """Watch a folder, or change how it is watched.

        Raises:
            InvalidParameterValueException: It can't be watched; why.
            ResourceNotFoundException: There is no such function or folder.
        """
        if self._service.store.functions.get(function_name) is None:
            raise ResourceNotFoundException(f"There is no function {function_name}.")
        if not 0 <= settle_s <= SETTLE_MAX_S:
            raise InvalidParameterValueException(f"settle must be from 0 to {SETTLE_MAX_S:.0f} s.")
        if existing not in ("fire", "skip"):
            raise InvalidParameterValueException("existing must be fire or skip.")
        wanted = Folder(
            uuid.uuid4().hex, function_name, self._checked(path), pattern, deleted, content, settle_s,
            created_s=self._service.clock(),
        )  # fmt: skip
        present = self._find(function_name, wanted.path, pattern)
        if present is not None:
            return await self._change(present, wanted)
        return await self._add(wanted, existing)

    async def set_paused(self, function_name: str, path: str, pattern: str, *, paused: bool) -> dict[str, Any]:
        """Pause or go on; what happens meanwhile is told of then.

        Raises:
            ResourceNotFoundException: It is not watched.
        """
        one = self._known(function_name, path, pattern)
        folder = replace(one.folder, paused=paused)
        await self._store.change(folder)
        one.folder = folder
        one.follower.change(folder)
        return {"folder": _described(one), "action": "changed", "notes": []}

    async def remove(self, function_name: str, path: str, pattern: str) -> dict[str, Any]:
        """Watch no more.

        Raises:
            ResourceNotFoundException: It is not watched.
        """
        one = self._known(function_name, path, pattern)
        if one.task is not None:
            one.task.cancel()
            await asyncio.gather(one.task, return_exceptions=True)
        await self._store.remove(one.folder.folder_id)
        self._watched.pop(one.folder.folder_id, None)
        self._listen()
        return {"folder": _described(one), "action": "removed", "notes": []}

    def described(self, function_name: str | None = None) -> list[dict[str, Any]]:
        """The folders of one function, or all."""
        return [
            _described(one)
            for one in self._watched.values()
            if function_name is None or one.folder.function_name == function_name
        ]

    def folder(self, folder_id: str) -> Folder:
        """A folder, for who reads a file of it.

        Raises:
            ResourceNotFoundException: There is none, or no longer.
        """
        one = self._watched.get(folder_id)
        if one is None:
            raise ResourceNotFoundException("The folder is not watched, or no longer.")
        return one.folder

    # --- inside

    def _checked(self, path: str) -> str:
        chosen = Path(path)
        if not chosen.is_absolute():
            raise InvalidParameterValueException(f"The folder {path[:256]!r} must be an absolute path.")
        plain = os.path.normpath(path)
        if not Path(plain).exists():
            raise ResourceNotFoundException(f"there is no folder {plain} where the engine runs; make it: mkdir {plain}")
        if not Path(plain).is_dir():
            raise InvalidParameterValueException(f"{plain} is a file; watch its folder: folder:{plain}*")
        state = self._service.store.state_dir.resolve()
        if Path(plain).resolve().is_relative_to(state):
            raise InvalidParameterValueException(f"{plain} is the engine's own: what it writes would fire for ever")
        return plain

    async def _add(self, wanted: Folder, existing: str) -> dict[str, Any]:
        if len(self._watched) >= FOLDERS_MAX:
            raise InvalidParameterValueException(f"{FOLDERS_MAX} folders are watched already; that is the most.")
        pattern = Pattern(wanted.pattern)
        try:
            found = await asyncio.to_thread(look, wanted.path, pattern)
        except OSError as exc:
            raise InvalidParameterValueException(f"{wanted.path} can't be read: {exc.strerror}") from exc
        if found.cut:
            raise InvalidParameterValueException(
                f"More than {FILES_MAX:,} files of {wanted.path} match {wanted.pattern}; choose a narrower pattern."
            )
        seen = {} if existing == "fire" else found.files
        await self._store.add(wanted, seen)
        one = self._follow(wanted, Follower(self._service, wanted, dict(seen), self._sign))
        self._listen()
        many = len(found.files)
        there = "the file that is" if many == 1 else f"the {many:,} files that are"
        told = f"{'fires' if many == 1 else 'fire'}, too" if existing == "fire" else (
            f"{'does' if many == 1 else 'do'} not fire; ?existing=fire would have"
        )  # fmt: skip
        notes = [f"{there} there already {told}"] if many else []
        return {"folder": _described(one), "action": "made", "notes": notes}

    async def _change(self, one: _Watched, wanted: Folder) -> dict[str, Any]:
        folder = replace(
            one.folder, deleted=wanted.deleted, content=wanted.content, settle_s=wanted.settle_s, paused=False
        )
        if folder == one.folder:
            return {"folder": _described(one), "action": "unchanged", "notes": []}
        await self._store.change(folder)
        one.folder = folder
        one.follower.change(folder)
        return {"folder": _described(one), "action": "changed", "notes": []}

    def _follow(self, folder: Folder, follower: Follower) -> _Watched:
        one = self._watched[folder.folder_id] = _Watched(folder, follower)
        follower.on_folders = self._listen
        follower.is_deaf = lambda: bool(self._watching.trouble)
        one.task = asyncio.get_running_loop().create_task(follower.run(), name=f"folder {folder.path}")
        return one

    def _find(self, function_name: str, path: str, pattern: str) -> _Watched | None:
        wanted = (function_name, os.path.normpath(path), pattern)
        for one in self._watched.values():
            if (one.folder.function_name, one.folder.path, one.folder.pattern) == wanted:
                return one
        return None

    def _known(self, function_name: str, path: str, pattern: str) -> _Watched:
        one = self._find(function_name, path, pattern)
        if one is None:
            raise ResourceNotFoundException(f"{path[:256]}/{pattern[:256]} is not watched for {function_name[:64]}.")
        return one

    def _sign(self, path: str) -> str:
        return self.sign(path)

    def _listen(self) -> None:
        """Listen where there is something to be heard; whoever was not listened to before looks."""
        if not self._started:
            return
        paths: dict[str, int] = {}
        for one in self._watched.values():
            if not one.folder.paused:
                paths |= one.follower.listen_to()
        if self._watching.listen(paths):
            for one in self._watched.values():
                one.follower.look_soon()

    def _hear(self, paths: set[str]) -> None:
        for one in self._watched.values():
            one.follower.hear(paths)


def _described(one: _Watched) -> dict[str, Any]:
    folder, follower = one.folder, one.follower
    return {
        "id": folder.folder_id,
        "function": folder.function_name,
        "folder": folder.path,
        "pattern": folder.pattern,
        "deleted": folder.deleted,
        "content": folder.content,
        "settle_s": folder.settle_s,
        "state": "paused" if folder.paused else "on",
        "files": len(follower.changes.told),
        "waiting": len(follower.changes.restless()),
        "fired": follower.fired,
        "result": follower.trouble,
    }
