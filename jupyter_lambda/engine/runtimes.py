"""Which of AWS's runtime identifiers can run on this host, and with which interpreter."""

from __future__ import annotations

import logging
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_lambda.errors import InvalidParameterValueException, ServiceException

from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.sandbox.base import Driver

log = logging.getLogger(__name__)

#: Python versions that the bootstrap inside sandboxes supports.
PYTHON_MINORS = range(9, 15)
#: Runtimes whose package brings its own ``bootstrap``.
CUSTOM = ("provided.al2023", "provided.al2")
#: Identifiers that AWS takes today. Source: AWS Lambda Developer Guide, "Lambda runtimes".
CURRENT = (
    *("nodejs20.x", "nodejs22.x", "nodejs24.x"),
    *(f"python3.{minor}" for minor in PYTHON_MINORS),
    *("java8.al2", "java11", "java17", "java21", "java25"),
    *("dotnet8", "dotnet10"),
    *("ruby3.2", "ruby3.3", "ruby3.4"),
    *CUSTOM,
)
#: Identifiers that AWS knew and refuses now.
DEPRECATED = frozenset(
    {
        *("nodejs", "nodejs4.3", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x", "nodejs14.x", "nodejs16.x"),
        *("nodejs18.x", "nodejs4.3-edge", "java8", "python2.7", "python3.6", "python3.7", "python3.8"),
        *("dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "dotnet6"),
        *("go1.x", "ruby2.5", "ruby2.7", "provided"),
    }
)
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
#: Seconds an interpreter may take to say its version.
_ASK_TIMEOUT_S = 5.0
_VERSION = re.compile(r"(\d+)\.(\d+)")
_BINARY = re.compile(r"python(\d+)\.(\d+)(?:\.exe)?")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One Python of this host."""

    path: Path
    #: (3, 11)
    version: tuple[int, int]

    @property
    def runtime(self) -> str:
        """The identifier that it serves: python3.11."""
        return f"python{self.version[0]}.{self.version[1]}"


class Runtimes:
    """What can run here. The first interpreter is the engine's own, the default of its version."""

    def __init__(self, settings: EngineSettings, driver: Driver | None = None) -> None:
        """
        Args:
            driver: Without one, and with the process driver, images can't be run.
        """
        self.interpreters = tuple(i for path in settings.interpreters if (i := identify(path)) is not None)
        self.containers = driver is not None and driver.name != "process"
        self.images: Mapping[str, str] = settings.runtime_images if self.containers else {}
        machine = platform.machine()
        #: AWS's name for this host's architecture.
        self.architecture = _ARCHITECTURES.get(machine.lower(), machine)
        self._by_runtime: dict[str, Interpreter] = {}
        for interpreter in self.interpreters:
            self._by_runtime.setdefault(interpreter.runtime, interpreter)

    def available(self) -> list[str]:
        """Runtime identifiers that a Zip function can have here."""
        own = sorted(self._by_runtime, key=lambda runtime: self._by_runtime[runtime].version)
        return [*own, *CUSTOM, *(name for name in sorted(self.images) if name not in self._by_runtime)]

    def check(self, runtime: str | None, handler: str | None, package_type: str, architectures: Sequence[str]) -> None:
        """Refuse what can't run here, before it is stored.

        Raises:
            InvalidParameterValueException: With AWS's text where AWS refuses it too, else naming what is available.
        """
        if any(name != self.architecture for name in architectures):
            raise InvalidParameterValueException(
                f"This engine's host is {self.architecture}: functions for {', '.join(architectures)} can't run here. "
                f"Leave Architectures out, or give [{self.architecture}]."
            )
        if package_type == "Image":
            if not self.containers:
                raise InvalidParameterValueException(
                    "Functions with PackageType Image need a container engine, and this engine has none: start Docker "
                    "and the engine with --driver docker, or deploy the function as a Zip."
                )
            return
        if not runtime or not handler:
            raise InvalidParameterValueException(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        if runtime in self._by_runtime or runtime in self.images or runtime in CUSTOM:
            return
        raise InvalidParameterValueException(self._refusal(runtime))

    def interpreter(self, runtime: str | None, chosen: str | None) -> str | None:
        """The interpreter that a version is bound to: the one that was asked for; None: whichever serves its runtime.

        Args:
            chosen: Path the caller asked for; must be one that is known here and serve the runtime.
        Raises:
            InvalidParameterValueException: It isn't.
        """
        if chosen is None or not (runtime or "").startswith("python"):
            return None
        if not any(str(i.path) == chosen and i.runtime == runtime for i in self.interpreters):
            known = ", ".join(f"{i.path} ({i.runtime})" for i in self.interpreters)
            raise InvalidParameterValueException(
                f"The interpreter {chosen[:256]} is not one that this engine runs {runtime} with. Known: {known}."
            )
        return chosen

    def path(self, runtime: str, chosen: str | None) -> Path:
        """Where the interpreter of a stored version is now.

        Raises:
            ServiceException: This engine, unlike the one that took the version, has none for it.
        """
        if chosen is None:
            found = self._by_runtime.get(runtime)
        else:
            found = next((i for i in self.interpreters if str(i.path) == chosen), None)
        if found is None:
            raise ServiceException(
                f"no interpreter for {runtime}{f' at {chosen}' if chosen else ''} is known to this engine any more: "
                "deploy the function again, or add one to c.LambdaEngine.interpreters"
            )
        return found.path

    def _refusal(self, runtime: str) -> str:
        if runtime in DEPRECATED:
            return (
                f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda "
                "functions. We recommend you use a supported runtime while creating or updating functions."
            )
        here = ", ".join(self.available())
        if runtime not in CURRENT:
            return (
                f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
                f"[{here}] or be a valid ARN"
            )
        advice = "a container image (PackageType Image)" if self.containers else "a container image, with Docker"
        return f"The runtime {runtime} can't run on this engine's host. Available here: {here}; any other in {advice}."


def identify(path: Path) -> Interpreter | None:
    """An interpreter and its version; None, and a warning, where it has none that sandboxes support.

    The version is read where it is written (pyvenv.cfg, the binary's name); only where it isn't, the interpreter runs.
    """
    version = sys.version_info[:2] if path == Path(sys.executable) else _written(path) or _asked(path)
    if version is None:
        return None
    if version[0] != 3 or version[1] not in PYTHON_MINORS:
        log.warning("%s is Python %d.%d, for which there is no runtime; it is left out", path, *version)
        return None
    return Interpreter(path, version)


def _written(path: Path) -> tuple[int, int] | None:
    try:
        lines = (path.parent.parent / "pyvenv.cfg").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info") and (found := _VERSION.match(value.strip())):
            return int(found[1]), int(found[2])
    found = _BINARY.fullmatch(path.resolve().name)
    return (int(found[1]), int(found[2])) if found else None


def _asked(path: Path) -> tuple[int, int] | None:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [path, "-I", "-S", "-c", code], capture_output=True, timeout=_ASK_TIMEOUT_S, check=True, text=True
        )
        major, minor = (int(part) for part in answer.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        log.warning("the interpreter %s does not say its version (%s); it is left out", path, exc)
        return None
    return major, minor
