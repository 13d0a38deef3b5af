"""A deployment package as bytes: the same files give the same zip."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping

from jupyter_lambda.model.limits import ZIP_MAX_BYTES

from .errors import CaptureError
from .values import human_size

#: The earliest time a zip can hold: a time of packing would make every package differ.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_READABLE, _EXECUTABLE = 0o644 << 16, 0o755 << 16


def pack(files: Mapping[str, bytes]) -> bytes:
    """Zip files in the order of their paths; shared libraries are executable, everything is readable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = _EXECUTABLE if path.endswith(".so") else _READABLE
            info.create_system = 3
            archive.writestr(info, files[path], compresslevel=6)
    return buffer.getvalue()


def package(files: Mapping[str, bytes]) -> bytes:
    """A function's deployment package.

    Raises:
        CaptureError: Larger than what can be uploaded in one request.
    """
    data = pack(files)
    if len(data) > ZIP_MAX_BYTES:
        raise CaptureError(f"the package is {human_size(len(data))} zipped; Lambda takes {human_size(ZIP_MAX_BYTES)}")
    return data


def code_sha256(data: bytes) -> str:
    """AWS's CodeSha256."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
