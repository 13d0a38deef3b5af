"""Where GetFunction and GetLayerVersion say that a package can be had: a presigned address at this engine."""

from __future__ import annotations

import base64
import binascii

from jupyter_lambda.api import sigv4
from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import ResourceNotFoundException, StoreError

PREFIX = "/_jupyter_lambda/packages/"
#: Seconds. Source: AWS Lambda API Reference, "GetFunction": "a link to download the deployment package that's valid
#: for 10 minutes".
VALID_S = 600
#: Seconds for which a file's address is good: an event may wait, and be retried.
FILE_VALID_S = 86_400


def package_url(call: Call, code_sha256: str) -> str:
    """The address, as seen by who made the call."""
    host = call.request.headers.get("host", "localhost")
    name = base64.b64decode(code_sha256).hex()
    service = call.service
    path = sigv4.presign(
        service.credentials.owner,
        "GET",
        host,
        f"{PREFIX}{name}.zip",
        region=service.account.region,
        service="lambda",
        now_s=service.clock(),
        expires_s=VALID_S,
    )
    return f"http://{host}{path}"


def file_url(service: LambdaService, endpoint: str, path: str) -> str:
    """A file of a watched folder, as functions reach the engine; good for a day.

    Args:
        endpoint: The engine's address inside sandboxes.
    """
    signed = sigv4.presign(
        service.credentials.owner,
        "GET",
        endpoint.partition("://")[2],
        path,
        region=service.account.region,
        service="lambda",
        now_s=service.clock(),
        expires_s=FILE_VALID_S,
    )
    return f"{endpoint}{signed}"


def package_bytes(service: LambdaService, path: str) -> bytes:
    """The zip behind an address.

    Raises:
        ResourceNotFoundException: It is not, or no longer, in the store.
    """
    name = path.removeprefix(PREFIX).removesuffix(".zip")
    try:
        code_sha256 = base64.b64encode(binascii.unhexlify(name)).decode()
        return service.store.packages.zip_bytes(code_sha256)
    except (ValueError, StoreError):
        raise ResourceNotFoundException(f"There is no package {name[:64]}.") from None
