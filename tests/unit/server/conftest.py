"""A real Jupyter server in the test's own loop, and an engine that is only a recording.

pytest-jupyter is not used: its hooks run every coroutine test on a loop of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from traitlets.config import Config

TOKEN = "t0ken"


@pytest.fixture
def engine(recorded_engine: Any) -> Any:
    return recorded_engine


@dataclass
class Served:
    """A Jupyter server and how to ask it."""

    app: ServerApp
    client: AsyncHTTPClient

    @property
    def keeper(self) -> Any:
        return self.app.web_app.settings["jupyter_lambda_keeper"]

    async def fetch(
        self,
        path: str,
        method: str = "GET",
        *,
        token: bool = True,
        headers: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> HTTPResponse:
        """``path`` below base_url; never raises for a status."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"token {TOKEN}"
        if method in ("POST", "PUT", "PATCH"):
            kwargs.setdefault("body", b"{}")
        url = f"http://127.0.0.1:{self.app.port}{self.app.base_url}{path}"
        return await self.client.fetch(
            url, method=method, headers=sent, raise_error=False, follow_redirects=False, **kwargs
        )


@pytest.fixture
async def serve(tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Starts a server with the extension; traits of LambdaServer as keyword arguments."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    for name in [name for name in os.environ if name.startswith("JUPYTER_LAMBDA_")]:
        monkeypatch.delenv(name)
    async with AsyncExitStack() as stack:

        async def start(**traits: Any) -> Served:
            config = Config()
            config.ServerApp.update(
                jpserver_extensions={"jupyter_lambda": True},
                base_url="/a%40b/",
                allow_unauthenticated_access=False,
                reraise_server_extension_failures=True,
                open_browser=False,
                allow_root=True,
                root_dir=str(tmp_path),
                port=0,
                log_level=30,
            )
            config.IdentityProvider.token = TOKEN
            config.LambdaServer.update({"state_dir": str(engine.state_dir)} | traits)
            app = ServerApp(config=config)
            app.init_signal = lambda: None  # type: ignore[method-assign]
            app.initialize(argv=[])
            app.web_app.settings["jupyter_lambda_keeper"]._start = engine.start
            app.start_app()
            await app._post_start()
            client = AsyncHTTPClient(force_instance=True)
            stack.push_async_callback(app._cleanup)
            stack.callback(client.close)
            return Served(app, client)

        yield start
