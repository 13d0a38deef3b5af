"""The empty image of host environments: mount points, a few files of /etc, and nothing else.

Its tag is the hash of what is in it, so a changed list makes a new image and an old one is never mistaken for it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping

from jupyter_lambda.sandbox.docker.client import DockerClient, Missing
from jupyter_lambda.sandbox.docker.layout import SYSTEM_DIRECTORIES, root_links

REPOSITORY = "jupyter-lambda-host"
#: Marks images this project made, so that `docker image prune --filter label=…` can take them away.
IMAGE_LABEL = "jupyter-lambda.image"

_DIRECTORIES = ("dev", "etc", "opt", "proc", "run", "run/jl", "sbin", "sys", "tmp", "usr", "usr/local", "var",
                "var/runtime", "var/task", "var/tmp")  # fmt: skip
#: ctypes.util.find_library asks it by this path.
_LINKS = {"sbin/ldconfig": "/usr/sbin/ldconfig"}
_FILES = {
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/host.conf": "multi on\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
}


def image_tar(links: Mapping[str, str] | None = None) -> bytes:
    """The image's only layer; the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted({*_DIRECTORIES, *(d.lstrip("/") for d in SYSTEM_DIRECTORIES)}):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name in ("tmp", "var/tmp") else 0o755
            tar.addfile(entry)
        own = {**_LINKS, **(root_links() if links is None else links)}
        for name, target in sorted(own.items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for name, text in sorted(_FILES.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


async def ensure_host_image(client: DockerClient) -> str:
    """Import the image unless it is there.

    Returns:
        Its id (sha256:…).
    Raises:
        DriverError: Docker could not import it.
    """
    data = image_tar()
    tag = hashlib.sha256(data).hexdigest()[:12]
    found = await image_id(client, f"{REPOSITORY}:{tag}")
    if found is not None:
        return found
    await client.call(
        "import the image of host environments",
        lambda api: api.import_image_from_data(
            data, repository=REPOSITORY, tag=tag, changes=[f"LABEL {IMAGE_LABEL}=1"]
        ),
    )
    found = await image_id(client, f"{REPOSITORY}:{tag}")
    if found is None:
        raise Missing(f"Docker imported {REPOSITORY}:{tag} but does not list it")
    return found


async def image_id(client: DockerClient, image: str) -> str | None:
    """The id of an image of this host; None where there is none. Never pulls."""
    try:
        answer = await client.call(f"look up the image {image}", lambda api: api.inspect_image(image))
    except Missing:
        return None
    return str(answer["Id"])
