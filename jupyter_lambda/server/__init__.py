"""The Jupyter server extension: looks after the engine and proxies it for authenticated users.

========== =====================================================================================
extension  joins it to the server: settings, routes, environment of kernels, start and stop
keeper     the engine of this server: started on demand, watched, started again, stopped
notices    tells of scheduled runs that failed, by events of the server
handlers   the routes below ``base_url`` + ``lambda/``
live       the websocket of each page, fed by ``feed``, which shares one ``subscription`` to the engine
========== =====================================================================================
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """For jupyter_server; imported only when a server asks."""
    from .extension import LambdaExtension

    return [{"module": "jupyter_lambda.server", "app": LambdaExtension}]
