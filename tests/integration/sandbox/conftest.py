"""Sandboxes of the process driver, and proof after each test that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import textwrap
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda import http1
from jupyter_lambda.sandbox import process_tree
from jupyter_lambda.sandbox.base import RuntimeEvent, SandboxOutcome, SandboxSettings, SandboxSpec
from jupyter_lambda.sandbox.process import ProcessDriver
from jupyter_lambda.sandbox.sandbox import Sandbox
from jupyter_lambda.sandbox.sandboxes import Sandboxes


class Kit:
    """Makes packages and runs them."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.driver = ProcessDriver(SandboxSettings(state_dir, "installation", "epoch"))
        self.sandboxes = Sandboxes(self.driver, state_dir)
        self.written: list[tuple[str | None, bytes]] = []

    @property
    def log(self) -> str:
        return b"".join(data for _, data in self.written).decode(errors="replace")

    def package(self, files: str | Mapping[str, str]) -> Path:
        """A directory with the files; text alone is app.py."""
        folder = self.state_dir / f"code-{secrets.token_hex(4)}"
        for name, text in ({"app.py": files} if isinstance(files, str) else files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            if text.startswith("#!"):
                path.chmod(0o755)
        return folder

    def spec(self, files: str | Mapping[str, str], handler: str = "app.handler", **more: Any) -> SandboxSpec:
        environment = {
            "_HANDLER": handler,
            "TZ": ":UTC",
            "AWS_LAMBDA_FUNCTION_NAME": "fn",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/fn",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            **more.pop("environment", {}),
        }
        values: dict[str, Any] = {"interpreter": Path(sys.executable), "memory_mb": 256, "ephemeral_storage_mb": 512}
        return SandboxSpec(
            sandbox_id=secrets.token_hex(8),
            function_name="fn",
            version="$LATEST",
            handler=handler,
            environment=environment,
            code_dir=self.package(files),
            **{**values, **more},
        )

    async def start(self, files: str | Mapping[str, str], handler: str = "app.handler", **more: Any) -> Sandbox:
        spec = self.spec(files, handler, **more)
        return await self.sandboxes.start(spec, lambda request_id, data: self.written.append((request_id, data)))

    async def ready(self, files: str | Mapping[str, str], handler: str = "app.handler", **more: Any) -> Sandbox:
        """A sandbox that has asked for its first event."""
        sandbox = await self.start(files, handler, **more)
        outcome = await sandbox.init(20)
        assert outcome.kind == "ready", (outcome, self.log)
        return sandbox

    def event(self, payload: Any = None, timeout_s: float = 10, **more: Any) -> RuntimeEvent:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        deadline = int((time.time() + timeout_s) * 1000)
        return RuntimeEvent(
            str(uuid.uuid4()), data, "arn:aws:lambda:us-east-1:000000000000:function:fn", deadline, **more
        )

    async def invoke(self, sandbox: Sandbox, payload: Any = None, timeout_s: float = 10, **more: Any) -> SandboxOutcome:
        return await sandbox.invoke(self.event(payload, timeout_s, **more), timeout_s)

    async def run(self, files: str | Mapping[str, str], payload: Any = None, **more: Any) -> SandboxOutcome:
        """One event in a new sandbox."""
        sandbox = await self.ready(files, **more)
        return await self.invoke(sandbox, payload)

    def leftovers(self) -> list[int]:
        """Processes of any sandbox that still run."""
        return list(process_tree.marked(process_tree.marker_of(str(self.state_dir / "sandboxes"))))

    def attach(self, handler: http1.Handler) -> None:
        self.sandboxes.aws_handler = handler


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    kit = Kit(tmp_path)
    await kit.driver.open()
    yield kit
    await kit.sandboxes.close()
    await kit.driver.close()
    assert kit.leftovers() == []
    assert [path.name for path in (tmp_path / "sandboxes").glob("*")] == []
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert [task for task in others if "pytest" not in repr(task)] == []
