"""A generic container becomes one function's: its code and layers appear, its limits become the function's."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Assignment, SandboxSpec
from jupyter_lambda.sandbox.docker.cgroup import CPU_PERIOD_US, Cgroup
from jupyter_lambda.sandbox.docker.client import DockerClient
from jupyter_lambda.sandbox.docker.environment import host_variables
from jupyter_lambda.sandbox.docker.layers import LayerCache
from jupyter_lambda.sandbox.docker.layout import Layout
from jupyter_lambda.sandbox.docker.namespace import Namespaces
from jupyter_lambda.sandbox.docker.profile import INIT_CPUS, MB, cpu_quota_us, cpu_shares, cpus, shm_bytes
from jupyter_lambda.sandbox.docker.slot import TASK, Slot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adopter:
    """What one driver's generic containers share."""

    client: DockerClient
    layers: LayerCache
    #: None where this process can't mount into containers: links are made instead.
    namespaces: Namespaces | None

    async def adopt(
        self, spec: SandboxSpec, container_id: str, directory: Path, layout: Layout, cgroup: Cgroup | None
    ) -> Assignment:
        """Make a container this function's.

        Args:
            cgroup: None where this process may not write it.
        Returns:
            What its runtime is to be told.
        Raises:
            DriverError: It can't be made so; start afresh.
        """
        try:
            await self._furnish(spec, directory, cgroup)
            if cgroup is not None:
                _limit(cgroup, spec.memory_mb)
            else:
                await self._limit_by_docker(container_id, spec.memory_mb)
        except OSError as exc:
            raise DriverError(f"function {spec.function_name} can't adopt sandbox {spec.sandbox_id}: {exc}") from exc
        return Assignment(host_variables({"_HANDLER": spec.handler, **spec.environment}, layout), TASK)

    async def _furnish(self, spec: SandboxSpec, directory: Path, cgroup: Cgroup | None) -> None:
        assert spec.code_dir is not None
        code, slot = spec.code_dir, Slot(directory)
        if len(spec.layer_dirs) > 1:
            opt = await asyncio.to_thread(self.layers.merged, spec.layer_dirs)
        else:
            opt = self.layers.merged(spec.layer_dirs)
        if self.namespaces is not None and cgroup is not None:
            shm = shm_bytes(spec.memory_mb)
            await self.namespaces.graft(cgroup.first_pid(), slot.grafts(code, opt), shm)
        else:
            await asyncio.to_thread(slot.fill, code, opt)

    async def _limit_by_docker(self, container_id: str, memory_mb: int) -> None:
        size = memory_mb * MB
        quota = max(cpu_quota_us(memory_mb), round(INIT_CPUS * CPU_PERIOD_US))
        await self.client.call(
            f"set the limits of container {container_id[:12]}",
            lambda api: api.update_container(
                container_id,
                mem_limit=size,
                memswap_limit=size,
                cpu_period=CPU_PERIOD_US,
                cpu_quota=quota,
                cpu_shares=cpu_shares(memory_mb),
            ),
        )


def _limit(cgroup: Cgroup, memory_mb: int) -> None:
    """Give a container the limits of a memory size.

    Raises:
        CgroupError: It has gone.
    """
    cgroup.set_memory(memory_mb * MB)
    cgroup.set_shares(cpu_shares(memory_mb))
    cgroup.set_cpu(cpus(memory_mb))
