"""A generic container becomes one function's: its code and layers appear, its limits become the function's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Assignment, GenericSpec, SandboxSpec
from jupyter_lambda.sandbox.docker.cgroup import CPU_PERIOD_US, Cgroup
from jupyter_lambda.sandbox.docker.client import DockerClient
from jupyter_lambda.sandbox.docker.environment import host_variables
from jupyter_lambda.sandbox.docker.layers import LayerCache
from jupyter_lambda.sandbox.docker.layout import Layout
from jupyter_lambda.sandbox.docker.namespace import Furniture, Namespaces
from jupyter_lambda.sandbox.docker.profile import INIT_CPUS, MB, cpu_quota_us, cpu_shares, shm_bytes
from jupyter_lambda.sandbox.docker.slot import TASK, Slot, has_hardware_libraries


def can_adopt(spec: SandboxSpec) -> bool:
    """Not a function whose libraries the linker would have to know of when its process starts."""
    return not any(has_hardware_libraries(place) for place in (spec.code_dir, *spec.layer_dirs))


@dataclass(frozen=True, slots=True)
class Adopter:
    """What one driver's generic containers share."""

    client: DockerClient
    layers: LayerCache
    #: None where this process can't mount into containers: links are made instead.
    namespaces: Namespaces | None


@dataclass(frozen=True, slots=True)
class Generic:
    """One generic container."""

    adopter: Adopter
    spec: GenericSpec
    container_id: str
    layout: Layout
    slot: Slot

    async def adopt(self, spec: SandboxSpec, cgroup: Cgroup | None) -> Assignment:
        """Make it this function's. Its CPU is its process's business (`DockerProcess.boost`, ``settle``).

        Args:
            cgroup: None where this process may not write it.
        Returns:
            What its runtime is to be told.
        Raises:
            DriverError: It can't be made so; start afresh.
        """
        if not can_adopt(spec):
            raise DriverError(f"function {spec.function_name} has libraries for certain processors; start it afresh")
        furnishing = asyncio.get_running_loop().create_task(self._furnish(spec, cgroup))
        try:
            if cgroup is None:
                await self._limit_by_docker(spec.memory_mb)
            else:
                await asyncio.sleep(0)  # the thread that mounts goes first
                cgroup.set_memory(spec.memory_mb * MB, self.spec.memory_mb * MB)
                cgroup.set_shares(cpu_shares(spec.memory_mb))
            await furnishing
        except OSError as exc:
            raise DriverError(f"function {spec.function_name} can't adopt sandbox {spec.sandbox_id}: {exc}") from exc
        finally:
            await asyncio.wait({furnishing})
        return Assignment(self._variables(spec), TASK)

    def _variables(self, spec: SandboxSpec) -> Mapping[str, str]:
        return host_variables({"_HANDLER": spec.handler, **spec.environment}, self.layout)

    async def _furnish(self, spec: SandboxSpec, cgroup: Cgroup | None) -> None:
        namespaces, layers, slot = self.adopter.namespaces, self.adopter.layers, self.slot
        assert spec.code_dir is not None
        code: Path = spec.code_dir
        if namespaces is None or cgroup is None:
            await asyncio.to_thread(lambda: slot.fill(code, layers.merged(spec.layer_dirs)))
            return

        def furniture() -> Furniture:
            grafts = slot.grafts(code, layers.merged(spec.layer_dirs))
            return Furniture(cgroup.first_pid(), grafts, shm_bytes(spec.memory_mb))

        await namespaces.graft(furniture)

    async def _limit_by_docker(self, memory_mb: int) -> None:
        size = memory_mb * MB
        quota = max(cpu_quota_us(memory_mb), round(INIT_CPUS * CPU_PERIOD_US))
        await self.adopter.client.call(
            f"set the limits of container {self.container_id[:12]}",
            lambda api: api.update_container(
                self.container_id,
                mem_limit=size,
                memswap_limit=size,
                cpu_period=CPU_PERIOD_US,
                cpu_quota=quota,
                cpu_shares=cpu_shares(memory_mb),
            ),
        )
