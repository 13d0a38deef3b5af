"""Admin routes of watched folders: AWS has no API for them. Only the engine's owner gets here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model.folder import SETTLE_S
from jupyter_lambda.triggers.folders.host import Folders

if TYPE_CHECKING:
    from .admin import Query


async def put(folders: Folders, query: Query) -> dict[str, Any]:
    """``PUT /folders?function=&folder=&pattern=``: watch, or change how it is watched.

    With ``paused=true`` or ``false``, only that is changed.
    """
    function, folder, pattern = _which(query)
    paused = _yes(query, "paused")
    if paused is not None:
        return await folders.set_paused(function, folder, pattern, paused=paused)
    settle_s = query.number("settle")
    return await folders.put(
        function,
        folder,
        pattern,
        existing=query.text("existing") or "skip",
        deleted=bool(_yes(query, "deleted")),
        content=_yes(query, "content") is not False,
        settle_s=SETTLE_S if settle_s is None else settle_s,
    )


async def remove(folders: Folders, query: Query) -> dict[str, Any]:
    """``DELETE /folders?function=&folder=&pattern=``: watch no more."""
    return await folders.remove(*_which(query))


def _which(query: Query) -> tuple[str, str, str]:
    function, folder = query.text("function"), query.text("folder")
    if not function or not folder:
        raise InvalidParameterValueException("The parameters function and folder are needed.")
    return function, folder, query.text("pattern") or "*"


def _yes(query: Query, name: str) -> bool | None:
    text = query.text(name)
    if text not in (None, "true", "false"):
        raise InvalidParameterValueException(f"{name} must be true or false.")
    return None if text is None else text == "true"
