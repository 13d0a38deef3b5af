"""Joins ``jupyter_lambda`` to a Jupyter server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from tornado.httpclient import AsyncHTTPClient
from traitlets import default

from jupyter_lambda import __version__
from jupyter_lambda.config import LambdaServer
from jupyter_lambda.connection import default_state_dir

from .feed import Feed
from .handlers import routes
from .keeper import EngineKeeper, KeeperSettings
from .live import LiveHandler
from .notices import FailureNotices

#: Bytes of one answer through the proxy: AWS's 200 MB for a streamed response, and some.
_ANSWER_MAX_BYTES = 210 * 1024 * 1024


class LambdaExtension(ExtensionApp):
    """``c.LambdaServer`` configures it; see config.py."""

    name = "jupyter_lambda"
    version = __version__
    classes = [LambdaServer]  # noqa: RUF012 - traitlets' own class attribute

    _notices: FailureNotices | None = None

    @default("config_file_name")
    def _default_config_file_name(self) -> str:
        return "jupyter_lambda_config"  # the same file that the engine and the commands read

    def initialize_settings(self) -> None:
        """The keeper, the proxy's client, and what kernels inherit."""
        traits = LambdaServer(parent=self)
        state_dir = Path(traits.state_dir).expanduser().absolute() if traits.state_dir else default_state_dir()
        self.keeper = EngineKeeper(
            KeeperSettings(
                state_dir=state_dir,
                engine_url=traits.engine_url.rstrip("/"),
                autostart=traits.autostart,
                stop_engine=traits.stop_engine,
                restart_limit=traits.restart_limit,
            ),
            self.log,
        )
        self._client = AsyncHTTPClient(force_instance=True, max_clients=512, max_body_size=_ANSWER_MAX_BYTES)
        self._feed = Feed(self.keeper, self.log)
        self._environment = _Environment(kernel_environment(self.keeper.settings))
        self.settings.update(
            jupyter_lambda_keeper=self.keeper,
            jupyter_lambda_client=self._client,
            jupyter_lambda_feed=self._feed,
            jupyter_lambda_max_body_mb=traits.max_body_mb,
        )

    def initialize_handlers(self) -> None:
        """The routes; the server adds its base_url."""
        self.handlers.extend([*routes(""), (r"/lambda/api/live", LiveHandler)])

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        await self.keeper.open()
        self._notices = FailureNotices(self.keeper, serverapp.event_logger, self.log)
        self._notices.open()

    async def stop_extension(self) -> None:
        """Called when the server stops."""
        self._environment.restore()
        await self._feed.close()
        self._client.close()
        if self._notices is not None:
            await self._notices.close()
        await self.keeper.close()


def kernel_environment(settings: KeeperSettings) -> dict[str, str]:
    """Variables by which a kernel finds this server's engine, or starts it on the server's behalf."""
    if settings.engine_url:
        return {"JUPYTER_LAMBDA_ENGINE_URL": settings.engine_url}
    return {
        "JUPYTER_LAMBDA_STATE_DIR": str(settings.state_dir),
        "JUPYTER_LAMBDA_OWNER_PID": str(os.getpid() if settings.stop_engine else 0),
    }


class _Environment:
    """Variables of this process, which kernels inherit, set until they are restored."""

    def __init__(self, values: dict[str, str]) -> None:
        self._before = {name: os.environ.get(name) for name in values}
        os.environ.update(values)

    def restore(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
