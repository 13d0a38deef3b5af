"""The ``Driver`` that runs each sandbox in a Docker container of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Finding, GenericSpec, Process, SandboxSettings, SandboxSpec
from jupyter_lambda.sandbox.directory import grant
from jupyter_lambda.sandbox.docker.adopt import Adopter, Generic, can_adopt
from jupyter_lambda.sandbox.docker.client import DockerClient, Missing, find_url
from jupyter_lambda.sandbox.docker.environment import (
    Place,
    generic_environment,
    host_environment,
    image_environment,
    runtime_mount,
    write_passwd,
)
from jupyter_lambda.sandbox.docker.events import ExitWatch
from jupyter_lambda.sandbox.docker.host import Host, examine_host
from jupyter_lambda.sandbox.docker.image import image_id
from jupyter_lambda.sandbox.docker.layers import LayerCache
from jupyter_lambda.sandbox.docker.layout import Layout, examine, refuse
from jupyter_lambda.sandbox.docker.namespace import Namespaces
from jupyter_lambda.sandbox.docker.network import EgressNetwork
from jupyter_lambda.sandbox.docker.process import Adopt, DockerProcess
from jupyter_lambda.sandbox.docker.profile import Mount
from jupyter_lambda.sandbox.docker.scratch import Scratch
from jupyter_lambda.sandbox.docker.sidecar import Readiness, sidecar_spec
from jupyter_lambda.sandbox.docker.slot import Slot
from jupyter_lambda.sandbox.docker.start import Start
from jupyter_lambda.sandbox.docker.sweep import INSTALLATION_LABEL, labels, sweep_containers, sweep_directories
from jupyter_lambda.sandbox.docker.uids import UidPool

log = logging.getLogger(__name__)

#: Containers created and started at once. On two cores four at once start fifty in 6.8 s, two in 9.0 s; more make each
#: slower and none earlier.
STARTS_AT_ONCE = max(4, 2 * (os.cpu_count() or 2))
#: Generic containers started at once, beside those: nobody waits for them, and a function's start must not either.
PREPARES_AT_ONCE = max(1, (os.cpu_count() or 2) // 2)
#: Containers removed at once in ``close``.
_KILLS_AT_ONCE = 8


class DockerDriver:
    """Sandboxes in containers. Belongs to one event loop, from ``open`` to ``close``."""

    name = "docker"
    isolated = True
    can_prepare = True

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._client = DockerClient(find_url(settings.docker_url))
        self._labels = labels(settings.installation_id, settings.epoch)
        self._uids = UidPool(settings.uid_base, settings.uid_count, settings.installation_id)
        self._layers = LayerCache(settings.state_dir)
        self._scratch = Scratch(settings.state_dir)
        self._network = EgressNetwork(self._client, settings.installation_id, self._labels)
        self._namespaces = Namespaces() if os.geteuid() == 0 else None
        self._adopter = Adopter(self._client, self._layers, self._namespaces)
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._prepares = asyncio.Semaphore(PREPARES_AT_ONCE)
        self._layouts: dict[Path, asyncio.Task[Layout]] = {}
        self._processes: set[DockerProcess] = set()
        self._undoing: set[asyncio.Task[None]] = set()
        self._host: Host | None = None
        self._watch: ExitWatch | None = None

    @property
    def limits_enforced(self) -> bool:
        """Whether memory, process and CPU limits hold, as read back inside a container."""
        return self._host is not None and self._host.enforced.limits

    # --- opening and closing

    async def open(self) -> None:
        """Connect, look inside a trial container, and sweep what an earlier engine of this installation left.

        Raises:
            DriverError: Docker can't be reached or used; the message says why and what to do.
        """
        host = self._host = await self._examine()
        if not self.limits_enforced:
            log.warning("Docker does not enforce the limits of sandboxes; `jupyter lambda doctor` says which and why")
        settings = self._settings
        await sweep_containers(self._client, settings.installation_id, settings.epoch, host.cgroups)
        await self._network.remove()
        await asyncio.to_thread(sweep_directories, settings.state_dir)
        await asyncio.to_thread(self._layers.clear)
        self._watch = ExitWatch(self._client, host.facts, f"{INSTALLATION_LABEL}={settings.installation_id}")
        self._watch.on_return.append(self._network.forget)
        await self._watch.open()

    async def _examine(self) -> Host:
        if self._settings.transport != "unix":
            raise DriverError("the Docker driver reaches sandboxes by Unix sockets only; set the transport to unix")
        closed = self._closed_paths()
        for path in self._settings.host_paths:
            refuse(path, closed, f"the configured host path {path}")
        uid = self._uids.take()
        try:
            return await examine_host(
                self._client,
                state_dir=self._settings.state_dir,
                host_paths=self._settings.host_paths,
                scratch=self._scratch,
                uid=uid,
                labels=self._labels,
                layout=self._layout,
            )
        finally:
            self._uids.give_back(uid)

    def _closed_paths(self) -> list[Path]:
        url = self._client.url
        sockets = [Path(url.removeprefix("unix://"))] if url.startswith("unix://") else []
        return [self._settings.state_dir.absolute(), *sockets]

    async def close(self) -> None:
        """Kill and remove every sandbox that is left, the network, and the connections."""
        if self._undoing:
            await asyncio.wait(self._undoing)
        limit = asyncio.Semaphore(_KILLS_AT_ONCE)

        async def kill(process: DockerProcess) -> None:
            async with limit:
                try:
                    await process.kill()
                except DriverError as exc:
                    log.warning("a container is left for the next start to sweep: %s", exc)

        await asyncio.gather(*(kill(process) for process in list(self._processes)))
        if self._watch is not None:
            await self._network.remove()
            await self._watch.close()
            await asyncio.to_thread(self._layers.clear)
            self._watch = None
        self._host = None
        if self._namespaces is not None:
            self._namespaces.close()
        self._client.close()

    # --- starting

    async def start(self, spec: SandboxSpec, directory: Path, log: Callable[[bytes], None]) -> Process:
        """Start one sandbox in a container of its own.

        Cancelled, it removes in the background what it had begun: Docker's calls can't be broken off half-way.

        Raises:
            DriverError: It could not be started; nothing of it is left.
        """
        return await self._begin(spec, directory, log)

    async def prepare(self, spec: GenericSpec, directory: Path, log: Callable[[bytes], None]) -> Process:
        """Start a container that waits for its function.

        Raises:
            DriverError: It could not be started; nothing of it is left.
        """
        return await self._begin(spec, directory, log)

    def can_adopt(self, spec: SandboxSpec) -> bool:
        """See `adopt.can_adopt`."""
        return can_adopt(spec)

    async def _begin(
        self, spec: SandboxSpec | GenericSpec, directory: Path, log: Callable[[bytes], None]
    ) -> DockerProcess:
        if self._watch is None or self._host is None:
            raise DriverError("the Docker driver is not open")
        start = Start(self._client, self._watch, self._host.facts, spec.sandbox_id)
        task = asyncio.get_running_loop().create_task(self._start(spec, directory, log, start, self._watch, self._host))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            undoing = asyncio.get_running_loop().create_task(_undo(task))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise

    async def _start(
        self,
        spec: SandboxSpec | GenericSpec,
        directory: Path,
        log_sink: Callable[[bytes], None],
        start: Start,
        watch: ExitWatch,
        host: Host,
    ) -> DockerProcess:
        async with self._prepares if isinstance(spec, GenericSpec) else self._starts:
            uid = self._uids.take()
            try:
                place = await self._prepare(spec, directory, uid, host)
                adopt = None
                if isinstance(spec, GenericSpec):
                    adopt = await self._start_generic(spec, place, start, host)
                elif spec.kind == "image":
                    await self._start_image(spec, place, start, host, log_sink)
                else:
                    await self._start_host(spec, place, start, host)
                await asyncio.to_thread(self._scratch.release, directory)
            except BaseException as exc:
                await start.undo()
                await asyncio.to_thread(self._let_go, directory)
                self._uids.give_back(uid)
                if isinstance(exc, OSError):
                    raise DriverError(f"sandbox {spec.sandbox_id} could not be prepared: {exc}") from exc
                raise

        def gone(process: DockerProcess) -> None:
            self._processes.discard(process)
            self._uids.give_back(uid)

        process = DockerProcess(
            self._client,
            watch,
            start.parts,
            memory_mb=spec.memory_mb,
            directory=directory,
            cgroup=host.cgroups.of(str(start.parts.container_id)) if host.cgroups else None,
            log_sink=log_sink,
            on_gone=gone,
            adopt=adopt,
        )
        self._processes.add(process)
        process.boost()
        return process

    async def _prepare(self, spec: SandboxSpec | GenericSpec, directory: Path, uid: int, host: Host) -> Place:
        network = await self._network.made() if spec.network == "egress" else "none"
        marks = labels(self._settings.installation_id, self._settings.epoch, spec.sandbox_id)

        def prepare() -> Place:
            grant(directory / "run", uid)
            opt = self._layers.merged(spec.layer_dirs) if isinstance(spec, SandboxSpec) else None
            on_disk = host.scratch_problem is None
            scratch = self._scratch.mount(directory, spec.ephemeral_storage_mb, uid) if on_disk else None
            return Place(uid, directory, scratch, opt, network, marks)

        return await asyncio.to_thread(prepare)

    def _let_go(self, directory: Path) -> None:
        """Of a start that came to nothing; its caller may have gone long since."""
        try:
            self._scratch.release(directory)
        except DriverError as exc:
            log.warning("%s is left for the next start to sweep: %s", directory, exc)
            return
        shutil.rmtree(directory, ignore_errors=True)

    async def _start_host(self, spec: SandboxSpec, place: Place, start: Start, host: Host) -> None:
        layout = await self._layout(spec.interpreter or Path(sys.executable))
        passwd = await asyncio.to_thread(write_passwd, place.directory, place.uid)
        container = host_environment(spec, place, layout, host.image, [*host.mounts, passwd])
        await start.function(replace(container, init_cpus=host.init_cpus), guarded=self._guarded(spec))

    def _guarded(self, spec: SandboxSpec | GenericSpec) -> Callable[[], Awaitable[None]] | None:
        return self._network.guarded if spec.network == "egress" else None

    async def _start_generic(self, spec: GenericSpec, place: Place, start: Start, host: Host) -> Adopt:
        layout = await self._layout(spec.interpreter)
        passwd = await asyncio.to_thread(write_passwd, place.directory, place.uid)
        slot = Slot(place.directory)
        mounts = [*host.mounts, passwd, *(await asyncio.to_thread(slot.create))]
        container = generic_environment(spec, place, layout, host.image, mounts)
        await start.function(replace(container, init_cpus=host.init_cpus), guarded=self._guarded(spec))
        return Generic(self._adopter, spec, str(start.parts.container_id), layout, slot).adopt

    async def _start_image(
        self, spec: SandboxSpec, place: Place, start: Start, host: Host, log_sink: Callable[[bytes], None]
    ) -> None:
        wanted = spec.image or ""
        try:
            image = await self._client.call(f"look up the image {wanted}", lambda api: api.inspect_image(wanted))
        except Missing as exc:
            raise DriverError(f"the image {wanted} is not on this host: `docker pull` or build it") from exc
        layout = await self._layout(Path(sys.executable))
        if spec.network == "egress":
            await self._network.guarded()
        run = place.directory / "run"
        mounts = (*host.mounts, runtime_mount(), Mount(run, "/run/jl"))
        with await asyncio.to_thread(Readiness, run, place.uid) as readiness:
            sidecar = sidecar_spec(host.image, place.uid, layout, mounts, place.network, place.labels)
            sidecar_id = await start.sidecar(sidecar, readiness)
        joined = replace(place, network=f"container:{sidecar_id}")
        await start.function(replace(image_environment(spec, joined, image), init_cpus=host.init_cpus), log_sink)

    async def _layout(self, interpreter: Path) -> Layout:
        """Of an interpreter, asked once; asked again after a failure."""
        task = self._layouts.get(interpreter)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.get_running_loop().create_task(examine(interpreter, self._closed_paths()))
            self._layouts[interpreter] = task
        return await asyncio.shield(task)

    # --- telling

    async def image_exists(self, image: str) -> str | None:
        """The image's id if it is on this host, else None; never pulls.

        Raises:
            DriverError: Docker can't be asked.
        """
        return await image_id(self._client, image)

    async def probe(self) -> list[Finding]:
        """Findings for ``doctor``; on a driver that is not open too, and then without touching a running engine's."""
        try:
            host = self._host or await self._examine()
            problem = await self._network.probe()
            return await asyncio.to_thread(host.findings, self._client.url, self._settings.state_dir, problem)
        except DriverError as exc:
            advice = "until then functions run without isolation, on the process driver"
            return [Finding("error", "docker", exc.message, advice)]


async def _undo(starting: asyncio.Task[DockerProcess]) -> None:
    """Take away what was started for somebody who no longer waits."""
    try:
        process = await starting
        await process.kill()
    except DriverError as exc:
        log.info("a start that nobody waited for any more has failed: %s", exc)
