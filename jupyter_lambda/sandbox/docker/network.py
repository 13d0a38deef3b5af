"""The network of functions that may reach out: a bridge of our own on which no container hears another.

Three things a container on a Docker bridge could reach and must not: its neighbours (inter-container traffic is off),
the services of this host that listen on all addresses (dropped in INPUT), and the metadata service of a cloud machine
with its credentials (dropped in DOCKER-USER). The last two need root and iptables; ``Finding``s say where that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.docker.client import Conflict, DockerClient, Missing

log = logging.getLogger(__name__)

#: Link-local (metadata of AWS, Azure, Google, OpenStack; credentials of ECS tasks), Alibaba's, Azure's host agent,
#: and Oracle's.
METADATA = ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
#: Seconds for which the rules are believed to be still there; a firewall's reload may flush them.
_CHECK_EVERY_S = 10.0
_IPTABLES_TIMEOUT_S = 15
#: Where a resolver's address is looked up by Docker too.
_RESOLV = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def bridge_name(installation_id: str) -> str:
    """The bridge's name on this host: 15 characters at most."""
    return f"jl-{installation_id[:10]}"


def name_servers(files: Iterable[Path] = _RESOLV) -> list[str]:
    """IPv4 addresses of the host's resolvers, beyond loopback: containers ask them directly."""
    found: list[str] = []
    for path in files:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                try:
                    address = ipaddress.ip_address(words[1])
                except ValueError:
                    continue  # with a zone, or nonsense: Docker skips it too
                if address.version == 4 and not address.is_loopback and str(address) not in found:
                    found.append(str(address))
    return found


def rules(bridge: str, resolvers: Iterable[str]) -> dict[str, list[list[str]]]:
    """Our chains and what is in them: traffic to the host itself, and traffic through it."""
    ask = [
        ["-d", address, "-p", protocol, "--dport", "53", "-j", "ACCEPT"]
        for address in resolvers
        for protocol in ("udp", "tcp")
    ]
    through = [[*rule[:-1], "RETURN"] for rule in ask]
    return {
        f"{bridge}-in": [*ask, ["-j", "DROP"]],
        f"{bridge}-fwd": [*through, *(["-d", net, "-j", "DROP"] for net in METADATA), ["-j", "RETURN"]],
    }


class Firewall:
    """iptables rules for one bridge. All methods block."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._jumps = (("INPUT", f"{bridge}-in"), ("DOCKER-USER", f"{bridge}-fwd"))

    def in_place(self) -> bool:
        """Whether both jumps and both chains are there."""
        return all(
            _iptables("-C", parent, "-i", self._bridge, "-j", chain) and _iptables("-S", chain)
            for parent, chain in self._jumps
        )

    def raise_(self) -> str | None:
        """Put the rules in place; why it failed, or None. What was there of ours is replaced."""
        if os.geteuid() != 0:
            return "the engine is not root"
        if shutil.which("iptables", path=_PATH) is None:
            return "iptables is not installed"
        self.lower()
        chains = rules(self._bridge, name_servers())
        for parent, chain in self._jumps:
            steps = [["-N", chain], *(["-A", chain, *rule] for rule in chains[chain]),
                     ["-I", parent, "1", "-i", self._bridge, "-j", chain]]  # fmt: skip
            for step in steps:
                if not _iptables(*step):
                    self.lower()
                    return f"`iptables {' '.join(step)}` failed"
        # No IPv6 address is given out on the bridge; should the host have one there, nothing may be reached by it.
        if not _iptables("-C", "INPUT", "-i", self._bridge, "-j", "DROP", tool="ip6tables"):
            _iptables("-I", "INPUT", "1", "-i", self._bridge, "-j", "DROP", tool="ip6tables")
        return None

    def lower(self) -> None:
        """Take the rules away, as many times as they are there."""
        for parent, chain in self._jumps:
            while _iptables("-D", parent, "-i", self._bridge, "-j", chain):
                pass
            _iptables("-F", chain)
            _iptables("-X", chain)
        while _iptables("-D", "INPUT", "-i", self._bridge, "-j", "DROP", tool="ip6tables"):
            pass


_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _iptables(*arguments: str, tool: str = "iptables") -> bool:
    """Whether it succeeded. ``-w``: wait for another program's lock."""
    try:
        done = subprocess.run(
            [tool, "-w", "5", *arguments], capture_output=True, stdin=subprocess.DEVNULL, check=False,
            timeout=_IPTABLES_TIMEOUT_S, env={"PATH": _PATH, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        log.debug("%s %s: %s", tool, " ".join(arguments), exc)
        return False
    return done.returncode == 0


class EgressNetwork:
    """Made when the first function needs it, used again by all, removed when the engine closes."""

    def __init__(self, client: DockerClient, installation_id: str, labels: dict[str, str]) -> None:
        self._client = client
        self._labels = labels
        self._bridge = bridge_name(installation_id)
        self._name = f"jupyter-lambda-{installation_id[:16]}"
        self._firewall = Firewall(self._bridge)
        self._lock = asyncio.Lock()
        self._id: str | None = None
        self._checked_s = float("-inf")
        #: Why services of the host and the metadata service are not shut off; None when they are (or nobody asked).
        self.exposed: str | None = None

    async def made(self) -> str:
        """The network's id; nothing may run on it before ``guarded``.

        Raises:
            DriverError: Docker could not make it.
        """
        async with self._lock:
            if self._id is None:
                self._id = await self._find() or await self._create()
                self._checked_s = float("-inf")
            return self._id

    async def guarded(self) -> None:
        """Its rules are in place, as far as this host lets them: see ``exposed``."""
        async with self._lock:
            if time.monotonic() - self._checked_s > _CHECK_EVERY_S:
                self.exposed = await asyncio.to_thread(self._check)
                self._checked_s = time.monotonic()

    def forget(self) -> None:
        """Look for the network anew next time: Docker said it is gone, or has been restarted."""
        self._id = None

    def _check(self) -> str | None:
        if os.geteuid() == 0 and self._firewall.in_place():
            return None
        return self._firewall.raise_()

    async def _find(self) -> str | None:
        try:
            answer = await self._client.call("look up the egress network", lambda api: api.inspect_network(self._name))
        except Missing:
            return None
        return str(answer["Id"])

    async def _create(self) -> str:
        options = {
            "com.docker.network.bridge.name": self._bridge,
            "com.docker.network.bridge.enable_icc": "false",
            "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        }
        try:
            answer = await self._client.call(
                "make the egress network",
                lambda api: api.create_network(
                    self._name, driver="bridge", options=options, labels=self._labels, check_duplicate=True
                ),
            )
        except Conflict:
            if (found := await self._find()) is not None:
                return found
            raise
        return str(answer["Id"])

    async def probe(self) -> str | None:
        """Why the firewall could not be raised here, tried without a network; None when it can."""
        if self._id is not None:
            return self.exposed
        return await asyncio.to_thread(self._try)

    def _try(self) -> str | None:
        problem = self._firewall.raise_()
        self._firewall.lower()
        return problem

    async def remove(self) -> None:
        """Remove the network and its rules; nothing if it isn't there or still used."""
        async with self._lock:
            self._id = None
            try:
                with contextlib.suppress(Missing):
                    await self._client.call("remove the egress network", lambda api: api.remove_network(self._name))
            except DriverError as exc:
                log.warning("the egress network %s stays: %s", self._name, exc)
                return
            if os.geteuid() == 0:
                await asyncio.to_thread(self._firewall.lower)
