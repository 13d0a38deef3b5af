"""A run that was asked for now: queued durably, followed until it ends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.errors import LambdaError, ResourceNotFoundException
from jupyter_lambda.notebook.engine import Engine, call
from jupyter_lambda.notebook.errors import Interrupted, NotebookError

from .view import RunCard

#: Seconds between two looks.
LOOK_EVERY_S = 0.25


def start(engine: Engine, name: str) -> str:
    """Queue a run; its request id. The engine keeps and runs it whatever becomes of this kernel."""
    request_id = str(uuid.uuid4())
    answer = call(
        engine.client.invoke,
        FunctionName=name,
        InvocationType="Event",
        Payload=b"{}",
        _Headers={"X-Jupyter-Lambda-Request-Id": request_id},
    )
    return str(answer["ResponseMetadata"].get("RequestId") or request_id)


def follow(engine: Engine, name: str, request_id: str) -> RunCard:
    """Wait until a run has ended.

    Raises:
        NotebookError: The engine can't be asked any more.
        KeyboardInterrupt: The cell was interrupted; the run goes on.
    """
    try:
        while True:
            run = _look(engine, request_id)
            if run is not None and run["status"] != "running":
                return RunCard(run)
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        raise Interrupted(f"{name} goes on: %lambda runs {name} shows it, %lambda stop {request_id} stops it") from None


def _look(engine: Engine, request_id: str) -> Mapping[str, Any] | None:
    """The run; None while the event waits for its turn."""
    try:
        found: Mapping[str, Any] = engine.admin.run(request_id)
    except ResourceNotFoundException:
        return None
    except LambdaError as exc:
        raise NotebookError(exc.message) from exc
    return found
