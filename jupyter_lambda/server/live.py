"""``lambda/api/live``: a websocket for each page, that tells of the engine's changes as they happen."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .feed import Feed, Page
from .handlers import RESOURCE


class LiveHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """Messages are JSON; what they hold is in docs/architecture.md. What a page says is not read."""

    auth_resource = RESOURCE
    _track_activity = False  # an open panel must not keep an idle server alive
    _task: asyncio.Task[None] | None = None

    @ws_authenticated
    @authorized
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """``?after=SEQ&epoch=EPOCH`` of the last message go on from there."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin to tell."""
        super().open(*args, **kwargs)
        after, epoch = self.get_query_argument("after", ""), self.get_query_argument("epoch", "")
        known = after.isascii() and after.isdigit() and len(after) < 20 and epoch
        self._page = Page(int(after), epoch) if known else Page()
        self._feed: Feed = self.settings["jupyter_lambda_feed"]
        self._feed.join(self._page)
        self._task = asyncio.get_running_loop().create_task(self._tell(), name="jupyter_lambda live page")

    def on_message(self, message: str | bytes) -> None:
        """Nothing is expected."""

    def on_close(self) -> None:
        """The page has gone."""
        super().on_close()
        if self._task is not None:
            self._task.cancel()
            self._feed.leave(self._page)

    def get_compression_options(self) -> dict[str, Any]:
        """Batches of a busy engine are long and alike."""
        return {"compression_level": 1}

    async def _tell(self) -> None:
        with contextlib.suppress(WebSocketClosedError):
            while True:
                await self.write_message(await self._feed.next(self._page))
