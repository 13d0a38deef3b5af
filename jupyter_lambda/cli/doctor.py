"""``doctor``: what is right, what is not, and what to do about it; with or without a running engine."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from traitlets import Bool

from jupyter_lambda.client import Admin
from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.connection import find
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.sandbox.base import Driver, Finding, SandboxSettings

from .cloud import check_cloud
from .command import EXIT_FAILURE, LambdaCommand
from .settings import interpreters, sandbox_settings

_SIGNS = {"ok": "✓", "warning": "!", "error": "✗"}
#: Free GB in the state directory's file system below which doctor warns, and complains.
_DISK_LOW_GB, _DISK_EMPTY_GB = 5.0, 0.5
#: Seconds for the container engine to be examined.
_PROBE_TIMEOUT_S = 60.0


class DoctorCommand(LambdaCommand):
    """Check Docker, limits, disk and Python, and say what to do."""

    name = "jupyter-lambda-doctor"
    description = (
        "jupyter lambda doctor [--state-dir D] [--json]: check Docker, whether limits are really enforced, the cgroup "
        "version, disk and Python, and say what to do about each finding. Exit code 1 when something does not work."
    )
    examples = """
    jupyter lambda doctor
    jupyter lambda doctor --json
    """
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    aliases = {"driver": "LambdaEngine.driver"}
    flags = {"json": ({"DoctorCommand": {"as_json": True}}, "Print JSON.")}

    def run(self) -> int:
        """One line for each finding; advice below it."""
        traits = LambdaEngine(parent=self)
        told = self._sandboxes(traits)
        said = {finding.subject for finding in told}
        own = [check_python(), check_interpreters(traits), check_disk(self.directory), check_cgroup()]
        own += [check_cloud(traits, self.directory), check_labextension()]
        # The driver sees what the container engine sees, which may be another host: its word goes first.
        findings = [finding for finding in own if finding.subject not in said] + told
        if self.as_json:
            print(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            width = max(len(finding.subject) for finding in findings)
            for finding in findings:
                print(f"{_SIGNS[finding.level]} {finding.subject:{width}}  {finding.text}")
                if finding.advice:
                    print(f"  {'':{width}}  → {finding.advice}")
        return EXIT_FAILURE if any(finding.level == "error" for finding in findings) else 0

    def _sandboxes(self, traits: LambdaEngine) -> list[Finding]:
        """Of the running engine, which knows best; else of drivers opened for this alone."""
        engine = find(self.directory)
        if engine is None:
            idle = Finding("ok", "engine", f"none is running on {self.directory}; one starts when it is needed")
            if self.directory.exists():
                return [idle, *asyncio.run(probe_drivers(traits, self.directory))]
            with tempfile.TemporaryDirectory(prefix="jupyter-lambda-doctor-") as elsewhere:  # leave no trace
                found = asyncio.run(probe_drivers(traits, Path(elsewhere)))
            return [idle, *(finding for finding in found if elsewhere not in finding.text)]
        state = Finding("ok", "engine", f"{engine.describe()}, process {engine.pid}, version {engine.version}")
        try:
            admin = Admin(engine, timeout_s=_PROBE_TIMEOUT_S)
            told = admin.doctor()
            return [state, *check_cap(admin.status()), *(Finding(**finding) for finding in told)]  # type: ignore[arg-type]  # the engine wrote them
        except (LambdaError, TypeError) as exc:
            advice = f"look into {self.directory / 'engine.log'}"
            return [state, Finding("error", "engine", f"it can't be examined: {exc}", advice)]


async def probe_drivers(traits: LambdaEngine, directory: Path) -> list[Finding]:
    """What the drivers say when no engine runs; they are opened under a name of their own and sweep nothing."""
    from jupyter_lambda.sandbox.docker import DockerDriver
    from jupyter_lambda.sandbox.process import ProcessDriver

    found: list[Finding] = []
    settings = sandbox_settings(traits, directory, secrets.token_hex(16), secrets.token_hex(8))
    kinds: dict[str, Callable[[SandboxSettings], Driver]] = {"docker": DockerDriver, "process": ProcessDriver}
    for name, kind in kinds.items():
        if traits.driver not in ("auto", name):
            continue
        driver = kind(settings)
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                try:
                    await driver.open()
                    found += await driver.probe()
                finally:
                    await driver.close()
        except (LambdaError, TimeoutError) as exc:
            level: Literal["warning", "error"] = "error" if traits.driver == name else "warning"
            said = str(exc) or f"it did not answer within {_PROBE_TIMEOUT_S:.0f} s"
            found.append(Finding(level, name, said, "functions run as plain processes, not isolated, until it works"))
        else:
            break
    return found


def check_python() -> Finding:
    """Of the engine itself."""
    return Finding("ok", "python", f"{platform.python_version()}, {sys.executable}")


def check_interpreters(traits: LambdaEngine) -> Finding:
    """Those in which functions may run: each is started once."""
    good, bad = [], []
    for path in {(path.parent, path.resolve()): path for path in reversed(interpreters(traits.interpreters))}.values():
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run(
                [path, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=20, check=True
            )
            good.append(f"{path} ({done.stdout.strip()})")
        except (OSError, subprocess.SubprocessError) as exc:
            bad.append(f"{path}: {exc}")
    missing = [path for path in traits.interpreters if not os.access(path, os.X_OK)]
    if bad or missing:
        text = "; ".join(bad + [f"{path} is not there" for path in missing])
        return Finding("warning", "interpreters", text, "reinstall them, or remove their kernelspec or configuration")
    return Finding("ok", "interpreters", ", ".join(good))


def check_labextension() -> Finding:
    """The JupyterLab extension: a package that was built where npm can't be reached comes without it."""
    from jupyter_core.paths import jupyter_path

    places = [Path(path) / "jupyter-lambda" for path in jupyter_path("labextensions")]
    found = next((place for place in places if (place / "package.json").exists()), None)
    if found is not None:
        return Finding("ok", "jupyterlab panel", str(found))
    text = "it is not installed: npm could not be reached when this package was"
    advice = "pip install --force-reinstall --no-deps jupyter-lambda, with npm in reach; all else works without it"
    return Finding("warning", "jupyterlab panel", text, advice)


def check_disk(directory: Path) -> Finding:
    """Room for functions, logs and the queue; the directory may not exist yet."""
    place = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding(
            "error", "state directory", f"{place} can't be written by this user", "choose another with --state-dir"
        )
    free_gb = shutil.disk_usage(place).free / 1e9
    text = f"{free_gb:.1f} GB free for {directory}"
    if free_gb < _DISK_EMPTY_GB:
        return Finding("error", "state directory", text, "make room, or choose another place with --state-dir")
    if free_gb < _DISK_LOW_GB:
        return Finding(
            "warning", "state directory", text, "make room soon: functions, logs and the queue are kept there"
        )
    return Finding("ok", "state directory", text)


def check_cap(status: dict[str, Any]) -> list[Finding]:
    """What a running engine says of its state directory's size."""
    state = status.get("state", {})
    if problem := state.get("problem"):
        return [Finding("warning", "state cap", problem, "see state_cap_mb in docs/operations.md")]
    if "used_mb" not in state:
        return []
    cap = f"of {state['cap_mb']} MB" if state["cap_mb"] else "(no cap)"
    return [Finding("ok", "state cap", f"{state['used_mb']:.0f} MB {cap} in use")]


def check_cgroup(root: Path = Path("/sys/fs/cgroup")) -> Finding:
    """Version 2 or 1 of the kernel's control groups, which enforce memory and CPU limits."""
    if (root / "cgroup.controllers").exists():
        return Finding("ok", "cgroup", "version 2")
    if (root / "memory").is_dir():
        return Finding("ok", "cgroup", "version 1 (works; version 2 measures memory more exactly)")
    if sys.platform != "linux":
        return Finding("ok", "cgroup", "in Docker's own virtual machine")
    advice = "mount them (systemd does), or expect that memory limits are not enforced"
    return Finding("warning", "cgroup", f"no control groups are mounted at {root}", advice)
