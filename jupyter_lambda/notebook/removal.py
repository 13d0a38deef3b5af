"""``%lambda rm`` and ``%lambda clean``: functions go, and their triggers before them."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from . import deploy as deployment
from . import triggers
from .cellmagic import deployed
from .engine import call, code_of_refusal, engines
from .errors import DeployError, NotebookError
from .values import human_size


def rm(shell: Any, arguments: argparse.Namespace) -> None:
    """``%lambda rm NAME…``"""
    from .linemagic import configuration

    for name in arguments.names:
        configuration(shell, name)  # all names are right before the first is deleted
    _say([_delete(shell, name) for name in arguments.names])


def _say(gone: list[tuple[str, list[str]]]) -> None:
    plain = [name for name, words in gone if not words]
    for name, words in gone:
        if words:
            print(f"deleted {name} and what fired it: {', '.join(words)}")  # noqa: T201
    if plain or not gone:
        print("deleted " + ", ".join(plain) if plain else "there was nothing to delete")  # noqa: T201


def _delete(shell: Any, name: str) -> tuple[str, list[str]]:
    """Delete a function with its triggers; its name and their words."""
    from .linemagic import bound_as, configuration, engine_of

    engine = engine_of(shell, name)
    removed: list[str] = []
    with contextlib.suppress(NotebookError):  # it is gone already, and what fired it was gone before
        arn = str(configuration(shell, name)["FunctionArn"])
        removed, problems = triggers.remove_all(engine, name, arn)
        for problem in problems:
            print(f"warning: {problem}")  # noqa: T201
    try:
        call(engine.client.delete_function, FunctionName=name)
    except DeployError as exc:
        if code_of_refusal(exc) != "ResourceNotFoundException":
            raise
    known = deployed(shell).pop(name, None)
    bound = bound_as(shell, name)
    if known is not None and known.is_local_too:
        known.forget()  # its definition stays; the next call deploys it again
    elif bound:
        del shell.user_ns[bound]
    return name, removed


def clean(shell: Any, arguments: argparse.Namespace) -> None:
    """``%lambda clean``"""
    engine = engines.get()
    present = {str(one["FunctionName"]) for one in deployment.functions(engine)}
    own = {name for name, function in deployed(shell).items() if function.profile is None}
    names = sorted(present if arguments.all else present & own)
    _say([_delete(shell, name) for name in names])
    if arguments.cache:
        from .dependencies import clear_cache

        print(f"{human_size(clear_cache())} of cached packages removed")  # noqa: T201
