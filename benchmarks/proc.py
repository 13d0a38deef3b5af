"""What the kernel says of processes and control groups: CPU time, memory, the machine itself."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its threads have used, its ended children not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def exact_cpu_s(pid: int) -> float:
    """The same of the threads alive, to the nanosecond where the kernel tells it so; 0 once the process has gone."""
    threads = thread_times(pid)
    try:
        return sum(ran for ran, _ in threads.values()) or cpu_s(pid)
    except OSError:
        return 0.0


def thread_times(pid: int) -> dict[int, tuple[float, float]]:
    """Seconds that each thread of a process ran, and that it waited for a core to run on."""
    found = {}
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return {}
    for task in tasks:
        try:
            ran, waited, _ = (task / "schedstat").read_text().split()
        except (OSError, ValueError):
            continue
        found[int(task.name)] = (int(ran) / 1e9, int(waited) / 1e9)
    return found


def memory_mib(pid: int) -> dict[str, float]:
    """``rss``, ``pss`` (shared pages divided among those who share them) and ``private``, in MiB."""
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) / 1024
    return {
        "rss": values["Rss"],
        "pss": values["Pss"],
        "private": values["Private_Clean"] + values["Private_Dirty"],
    }


def available_mib() -> float:
    """Memory that new processes could have."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise LookupError("/proc/meminfo has no MemAvailable")


def named(name: str) -> list[int]:
    """Process ids of a program."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and (path / "comm").read_text().strip() == name:
                found.append(int(path.name))
        except OSError:
            continue
    return found


def group(pid: int, controller: str) -> Path:
    """The control group directory of a process, version 1 or 2.

    Raises:
        LookupError: Not mounted here.
    """
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path("/sys/fs/cgroup", controller, path.lstrip("/"))
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup", path.lstrip("/"))
    raise LookupError(f"process {pid} has no control group of {controller}")


def group_memory_mib(pid: int) -> float:
    """Memory of a process's control group without the page cache that could go at once, as ``docker stats`` counts."""
    directory = group(pid, "memory")
    usage = directory / "memory.usage_in_bytes"
    version2 = not usage.exists()
    used = int((directory / "memory.current" if version2 else usage).read_text())
    for line in (directory / "memory.stat").read_text().splitlines():
        name, value = line.split()
        if name == ("inactive_file" if version2 else "total_inactive_file"):
            used -= int(value)
    return used / MIB


def group_cpu_s(pid: int) -> float:
    """Seconds of CPU that a process's control group has used."""
    try:
        return int((group(pid, "cpuacct") / "cpuacct.usage").read_text()) / 1e9
    except (LookupError, FileNotFoundError):
        text = (group(pid, "cpu") / "cpu.stat").read_text()
        return int(text.split("usage_usec ")[1].split()[0]) / 1e6


def load_average() -> float:
    """Over the last minute."""
    return os.getloadavg()[0]


def noise(rounds: int = 40) -> float:
    """How much longer a fixed piece of work takes at its 90th percentile than at its best: 0 on a quiet machine."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        sum(range(100_000))
        took.append(time.perf_counter() - start)
    took.sort()
    return took[int(rounds * 0.9)] / took[0] - 1


def machine(docker_version: dict[str, Any]) -> dict[str, Any]:
    """What is measured on, without names of hosts or paths."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model or platform.machine(),
        "memory_gib": round(total / MIB, 1),
        "kernel": platform.release(),
        "system": next((x.partition("=")[2].strip('"') for x in _lines("/etc/os-release") if "PRETTY" in x), ""),
        "docker": docker_version.get("Version", "none"),
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
