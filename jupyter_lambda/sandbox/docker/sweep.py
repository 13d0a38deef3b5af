"""Removing what an earlier engine of this installation left: containers, mounts, directories, the network.

Told by labels, and never anyone else's: a container is ours when it carries this installation's id, and left over
when its epoch is another than this engine's.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.directory import DIRECTORIES
from jupyter_lambda.sandbox.docker.cgroup import CgroupPaths
from jupyter_lambda.sandbox.docker.client import DockerClient
from jupyter_lambda.sandbox.docker.process import remove_container, remove_volumes, thaw_container
from jupyter_lambda.sandbox.docker.scratch import unmount_below

log = logging.getLogger(__name__)

INSTALLATION_LABEL = "jupyter-lambda.installation"
EPOCH_LABEL = "jupyter-lambda.epoch"
SANDBOX_LABEL = "jupyter-lambda.sandbox"
#: Containers removed at once; more only queue up in Docker.
_AT_ONCE = 4


def labels(installation_id: str, epoch: str, sandbox_id: str | None = None) -> dict[str, str]:
    """What everything of ours in Docker carries."""
    marks = {INSTALLATION_LABEL: installation_id, EPOCH_LABEL: epoch}
    return marks if sandbox_id is None else {**marks, SANDBOX_LABEL: sandbox_id}


async def sweep_containers(client: DockerClient, installation_id: str, epoch: str, paths: CgroupPaths | None) -> int:
    """Remove this installation's containers, and their volumes, of other epochs.

    Returns:
        How many there were.
    Raises:
        DriverError: Docker could not list or remove them.
    """
    found = await client.call(
        "list containers",
        lambda api: api.containers(all=True, filters={"label": f"{INSTALLATION_LABEL}={installation_id}"}),
    )
    left = [container for container in found if (container.get("Labels") or {}).get(EPOCH_LABEL) != epoch]
    limit = asyncio.Semaphore(_AT_ONCE)

    async def remove(container: dict[str, Any]) -> None:
        async with limit:
            container_id = str(container["Id"])
            if container.get("State") in ("running", "paused"):
                await thaw_container(client, container_id, paths.of(container_id) if paths else None)
            await remove_container(client, container_id)

    results = await asyncio.gather(*(remove(container) for container in left), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    volumes = await client.call(
        "list volumes", lambda api: api.volumes(filters={"label": f"{INSTALLATION_LABEL}={installation_id}"})
    )
    await remove_volumes(
        client,
        [v["Name"] for v in volumes.get("Volumes") or () if (v.get("Labels") or {}).get(EPOCH_LABEL) != epoch],
    )
    if left:
        log.info("removed %d containers that an earlier engine left", len(left))
    return len(left)


def sweep_directories(state_dir: Path) -> None:
    """Unmount and remove the directories of sandboxes; blocking. Only while none lives.

    Raises:
        DriverError: Something can't be unmounted.
    """
    root = state_dir / DIRECTORIES
    if not root.is_dir():
        return
    unmount_below(root)
    for directory in root.iterdir():
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            raise DriverError(f"{directory}, left by an earlier engine, can't be removed; remove it by hand")
