"""The start of one sandbox, step by step, so that what was made can be unmade wherever it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Exit
from jupyter_lambda.sandbox.docker.attach import OutputStream
from jupyter_lambda.sandbox.docker.client import DockerClient, EngineFacts
from jupyter_lambda.sandbox.docker.events import ExitWatch
from jupyter_lambda.sandbox.docker.process import Parts, remove_container, remove_volumes
from jupyter_lambda.sandbox.docker.profile import ContainerSpec, container_config
from jupyter_lambda.sandbox.docker.sidecar import Readiness

log = logging.getLogger(__name__)


class Start:
    """What has been made so far."""

    def __init__(self, client: DockerClient, watch: ExitWatch, facts: EngineFacts, sandbox_id: str) -> None:
        self._client = client
        self._watch = watch
        self._facts = facts
        self._names: list[str] = []
        self.parts = Parts(name=f"jl-{sandbox_id}")

    async def _create(self, name: str, spec: ContainerSpec) -> tuple[str, asyncio.Future[Exit]]:
        config = container_config(spec, self._facts)
        self._names.append(name)
        answer = await self._client.call(
            f"create container {name}", lambda api: api.create_container_from_config(config, name)
        )
        container_id = str(answer["Id"])
        return container_id, self._watch.watch(container_id)

    async def sidecar(self, spec: ContainerSpec, readiness: Readiness) -> str:
        """Start an image's forwarder and wait until it listens.

        Returns:
            Its container's id.
        Raises:
            DriverError: It could not be started, or ended at once.
        """
        name = f"{self.parts.name}-net"
        container_id, end = await self._create(name, spec)
        self.parts.sidecar_id, self.parts.sidecar_name, self.parts.sidecar_end = container_id, name, end
        await self._client.call(f"start container {name}", lambda api: api.start(container_id))
        await readiness.wait(end)
        return container_id

    async def function(
        self,
        spec: ContainerSpec,
        output: Callable[[bytes], None] | None = None,
        *,
        guarded: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Create and start the function's container.

        Args:
            guarded: What must be so before it runs, seen to while it is created.
            output: Takes what it writes, from the first byte; None where its log is another.
        Raises:
            DriverError: It could not be.
        """
        self.parts.volumes = tuple(spec.volumes)
        guarding = asyncio.ensure_future(guarded()) if guarded is not None else None
        try:
            container_id, end = await self._create(self.parts.name, spec)
            self.parts.container_id, self.parts.end = container_id, end
        finally:
            if guarding is not None:
                await guarding
        if output is not None:
            self.parts.output = await OutputStream.attach(self._client, container_id, output)
        await self._client.call(f"start container {self.parts.name}", lambda api: api.start(container_id))

    async def undo(self) -> None:
        """Remove what was made; what can't be removed is left to the next sweep."""
        for container_id in (self.parts.container_id, self.parts.sidecar_id):
            if container_id is not None:
                self._watch.killing(container_id)
        for name in self._names:
            try:
                await remove_container(self._client, name)
            except DriverError as exc:
                log.warning("container %s is left for the next start to sweep: %s", name, exc)
        try:
            await remove_volumes(self._client, self.parts.volumes)
        except DriverError as exc:
            log.warning("a volume is left for the next start to sweep: %s", exc)
        for container_id in (self.parts.container_id, self.parts.sidecar_id):
            if container_id is not None:
                self._watch.removed(container_id)
        if self.parts.output is not None:
            await self.parts.output.close()
