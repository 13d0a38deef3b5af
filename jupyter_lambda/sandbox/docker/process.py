"""One running container: wait, freeze, thaw, kill."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_lambda.errors import DriverError
from jupyter_lambda.model.limits import INIT_TIMEOUT_S
from jupyter_lambda.sandbox.base import Assignment, Exit, SandboxSpec
from jupyter_lambda.sandbox.docker.attach import OutputStream
from jupyter_lambda.sandbox.docker.cgroup import CPU_PERIOD_US, Cgroup, CgroupError
from jupyter_lambda.sandbox.docker.client import Conflict, DockerClient, Missing
from jupyter_lambda.sandbox.docker.events import ExitWatch
from jupyter_lambda.sandbox.docker.profile import INIT_CPUS, cpu_quota_us, cpus

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

#: Seconds to read the rest of an image's output after its end.
_OUTPUT_TIMEOUT_S = 5.0
#: Bytes of what a host environment said before its log was open.
_EARLY_OUTPUT_LINES = 50
MB = 1024 * 1024
#: `adopt.Generic.adopt`
Adopt = Callable[[SandboxSpec, Cgroup | None], Awaitable[Assignment]]


async def remove_container(client: DockerClient, name: str) -> None:
    """Kill and remove a container and its volumes; nothing if it is gone or going.

    Raises:
        DriverError: Docker could not.
    """
    try:
        await client.call(f"remove container {name}", lambda api: api.remove_container(name, v=True, force=True))
    except (Missing, Conflict):
        return


async def remove_volumes(client: DockerClient, names: Iterable[str]) -> None:
    """Remove volumes whose containers are gone.

    Raises:
        DriverError: Docker could not.
    """
    for name in names:
        with contextlib.suppress(Missing):
            await client.call(f"remove volume {name}", partial(_remove_volume, name))


def _remove_volume(name: str, api: APIClient) -> None:
    api.remove_volume(name)


async def thaw_container(client: DockerClient, container_id: str, cgroup: Cgroup | None) -> None:
    """Let a container go on, however it was frozen: signals, SIGKILL included, wait for frozen tasks to thaw."""
    if cgroup is not None and cgroup.writable:
        with contextlib.suppress(CgroupError):
            cgroup.thaw()
        return
    with contextlib.suppress(DriverError):  # not paused, or gone
        await client.call(f"unpause container {container_id[:12]}", lambda api: api.unpause(container_id))


@dataclass(slots=True)
class Parts:
    """What belongs to one sandbox in Docker: filled in as it is started, taken away whole."""

    name: str
    container_id: str | None = None
    #: Names of the volumes that hold what the image declares as such.
    volumes: tuple[str, ...] = ()
    end: asyncio.Future[Exit] | None = None
    output: OutputStream | None = None
    #: The container that carries the loopback forwarder of an image's function.
    sidecar_id: str | None = None
    sidecar_name: str | None = None
    sidecar_end: asyncio.Future[Exit] | None = None


class DockerProcess:
    """A started container."""

    def __init__(
        self,
        client: DockerClient,
        watch: ExitWatch,
        parts: Parts,
        *,
        memory_mb: int,
        directory: Path,
        cgroup: Cgroup | None,
        log_sink: Callable[[bytes], None],
        on_gone: Callable[[DockerProcess], None],
        adopt: Adopt | None = None,
    ) -> None:
        """
        Args:
            parts: Of a started container.
            directory: The sandbox's own, removed with it.
            cgroup: None where this process can't see the control group.
            adopt: Of a generic one: makes it a function's, given the control group that may be written, if any.
        """
        assert parts.container_id is not None
        assert parts.end is not None
        self.container_id = parts.container_id
        self._end = parts.end
        self._memory_mb = memory_mb
        self._directory = directory
        self._cgroup = cgroup
        #: The same where it may be written too; without it Docker is asked.
        self._control = cgroup if cgroup is not None and cgroup.writable else None
        self._client = client
        self._watch = watch
        self._parts = parts
        self._log_sink = log_sink
        self._on_gone = on_gone
        self._adopt = adopt
        self._frozen = False
        #: CPUs it has been given; None before it was given other than at its creation.
        self._cpus: float | None = None
        self._peak_mb: int | None = None
        self._killing: asyncio.Task[None] | None = None
        self._accounting: asyncio.Task[Exit] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._settle_timer: asyncio.TimerHandle | None = None

    async def adopt(self, spec: SandboxSpec) -> Assignment:
        """Make a generic one this function's. Once.

        Raises:
            DriverError: It can't be; kill it.
        """
        adopt, self._adopt = self._adopt, None
        if adopt is None:
            raise DriverError(f"container {self._parts.name} has its function already")
        if self._frozen:
            await self.thaw()
        assignment = await adopt(spec, self._control)
        self._memory_mb = spec.memory_mb
        self.boost()
        return assignment

    # --- CPU

    def boost(self) -> None:
        """Give it a CPU to initialise with, until ``settle`` or the initialisation's time limit; a generic one until
        it has been adopted and settles. Without the control group it has one since its creation (``init_cpus``).
        """
        own = cpus(self._memory_mb)
        self._set_cpu(max(own, INIT_CPUS))
        if own < INIT_CPUS and self._adopt is None:
            self._settle_timer = asyncio.get_running_loop().call_later(INIT_TIMEOUT_S, self.settle)

    def _set_cpu(self, share: float) -> None:
        if self._control is not None and share != self._cpus:
            self._cpus = share
            with contextlib.suppress(CgroupError):  # ended already
                self._control.set_cpu(share)

    def settle(self) -> None:
        """Initialisation is over: from now on the CPU share is the one that goes with the memory. Idempotent."""
        if self._settle_timer is None:
            return
        self._settle_timer.cancel()
        self._settle_timer = None
        if self._control is not None:
            self._set_cpu(cpus(self._memory_mb))
        elif self._killing is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle_by_docker())

    async def _settle_by_docker(self) -> None:
        quota = cpu_quota_us(self._memory_mb)
        try:
            await self._client.call(
                f"set the CPU share of container {self._parts.name}",
                lambda api: api.update_container(self.container_id, cpu_period=CPU_PERIOD_US, cpu_quota=quota),
            )
        except Missing:
            return
        except DriverError as exc:
            log.debug("it keeps the CPU share of its initialisation: %s", exc)  # Podman can't change it

    # --- Process

    async def wait(self) -> Exit:
        """Until it has ended, and all it wrote has been handed over."""
        if self._accounting is None:
            self._accounting = asyncio.get_running_loop().create_task(self._account())
        return await asyncio.shield(self._accounting)

    async def _account(self) -> Exit:
        end = await self._ended()
        if self._settle_timer is not None:
            self._settle_timer.cancel()
        if end.oom_killed:
            self._peak_mb = self._memory_mb
        if self._parts.output is not None:
            await self._parts.output.finish(_OUTPUT_TIMEOUT_S)
        elif self._killing is None and end.code != 0:
            await self._hand_over_early_output()
        return end

    async def _ended(self) -> Exit:
        """The end of the function's container, or of the one that connects it: without that it can't go on."""
        sidecar = self._parts.sidecar_end
        if sidecar is None:
            return await asyncio.shield(self._end)
        await asyncio.wait({self._end, sidecar}, return_when=asyncio.FIRST_COMPLETED)
        if self._end.done() and not await self._sidecar_lost():
            return self._end.result()
        return Exit(None, system=True)

    async def _sidecar_lost(self) -> bool:
        """Whether the function may have ended only because its way to the Runtime API had gone."""
        if self._killing is not None or self._parts.sidecar_id is None:
            return False
        sidecar_id = self._parts.sidecar_id
        try:
            answer = await self._client.call(
                f"look at container {self._parts.sidecar_name}", lambda api: api.inspect_container(sidecar_id)
            )
        except DriverError:
            return True
        return not answer["State"].get("Running")

    async def _hand_over_early_output(self) -> None:
        """What a runtime said before its log was open is why it didn't get further. For people, never a result."""
        with contextlib.suppress(DriverError):
            text = await self._client.call(
                f"read the output of container {self.container_id[:12]}",
                lambda api: api.logs(self.container_id, tail=_EARLY_OUTPUT_LINES),
            )
            if text:
                self._log_sink(text)

    async def freeze(self) -> None:
        """Stop all its tasks. Returns when the kernel has been told: it stops each as soon as it next runs.

        Raises:
            DriverError: It has ended, or Docker can't.
        """
        self._frozen = True
        self.settle()
        if self._control is not None:
            try:
                self._control.freeze()
            except CgroupError as exc:
                raise DriverError(f"container {self._parts.name} can't be frozen: {exc}") from exc
            return
        await self._client.call(f"pause container {self._parts.name}", lambda api: api.pause(self.container_id))

    async def thaw(self) -> None:
        """Let them go on.

        Raises:
            DriverError: It has ended, or Docker can't.
        """
        if self._control is not None:
            try:
                self._control.thaw()
            except CgroupError as exc:
                raise DriverError(f"container {self._parts.name} can't be thawed: {exc}") from exc
        else:
            await self._client.call(f"unpause container {self._parts.name}", lambda api: api.unpause(self.container_id))
        self._frozen = False

    async def kill(self) -> None:
        """Kill and remove it with all that belongs to it. Idempotent: a second call awaits the first, or tries again
        where that failed.

        Raises:
            DriverError: Docker could not; the container goes with the next sweep.
        """
        if self._killing is None:
            self._killing = asyncio.get_running_loop().create_task(self._kill())
        try:
            await asyncio.shield(self._killing)
        except DriverError:
            self._killing = None
            raise

    async def _kill(self) -> None:
        self.memory_peak_mb()
        if self._settle_timer is not None:
            self._settle_timer.cancel()
            self._settle_timer = None
        self._watch.killing(self.container_id)
        if self._frozen:
            await thaw_container(self._client, self.container_id, self._cgroup)
        names = [name for name in (self._parts.name, self._parts.sidecar_name) if name is not None]
        if self._parts.sidecar_id is not None:
            self._watch.killing(self._parts.sidecar_id)
        results = await asyncio.gather(
            *(remove_container(self._client, name) for name in names), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        await remove_volumes(self._client, self._parts.volumes)
        self._watch.removed(self.container_id)
        if self._parts.sidecar_id is not None:
            self._watch.removed(self._parts.sidecar_id)
        if self._parts.output is not None:
            await self._parts.output.finish(_OUTPUT_TIMEOUT_S)
        if self._settling is not None:
            await self._settling
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        self._on_gone(self)

    def memory_peak_mb(self) -> int | None:
        """Most memory used so far, in MB rounded up; the last known figure once it has ended."""
        if self._cgroup is not None and (size := self._cgroup.memory_peak_bytes()) is not None:
            self._peak_mb = -(-size // MB)
        return self._peak_mb
