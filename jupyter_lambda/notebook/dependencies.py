"""Packages that a function needs beyond the notebook's own: built once with uv (or pip) into layers.

A build is kept in the user's cache under the hash of what was asked for, so that asking again costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jupyter_lambda.model.limits import LAYERS_MAX, UNZIPPED_MAX_BYTES, ZIP_MAX_BYTES

from .errors import DependencyError
from .package import pack
from .values import human_size

#: PEP 723, "Inline script metadata": its reference regular expression.
_SCRIPT_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
#: Bytes one layer's zip may reach: base64 in a request body, with room for the rest.
_LAYER_BYTES = ZIP_MAX_BYTES - 4 * 1024 * 1024
#: Seconds without the build's saying anything.
_BUILD_TIMEOUT_S = 900
_JUNK = frozenset({"__pycache__", "bin", ".lock"})

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What to install, for which Python."""

    packages: tuple[str, ...]
    #: "3.11"
    python: str
    #: "x86_64" or "aarch64"
    machine: str
    #: AWS itself: wheels for its Linux, whatever this machine is.
    for_aws: bool = False

    @property
    def key(self) -> str:
        """Hash of everything that decides what is installed."""
        target = "aws" if self.for_aws else platform.system().lower()
        text = json.dumps([1, sorted(self.packages), self.python, self.machine, target])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Layers:
    """A build: zips of at most what one request can carry."""

    key: str
    packages: tuple[str, ...]
    zips: tuple[Path, ...]


def requirements(
    source: str,
    pip: Iterable[str],
    file: str | None,
    *,
    python: str,
    machine: str | None = None,
    for_aws: bool = False,
) -> Requirements | None:
    """Gather what ``--pip``, ``-r`` and a PEP 723 block ask for; None when nothing does.

    Raises:
        DependencyError: The file can't be read, or the block isn't valid.
    """
    packages = [*pip, *_from_file(file), *_from_block(source, python)]
    if not packages:
        return None
    unique = tuple(dict.fromkeys(package.strip() for package in packages if package.strip()))
    return Requirements(unique, python, machine or platform.machine(), for_aws)


def _from_file(file: str | None) -> list[str]:
    if file is None:
        return []
    path = Path(file).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise DependencyError(f"-r {file}: {exc.strerror or exc}") from None
    found: list[str] = []
    for line in lines:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text.startswith(("-r", "--requirement")):
            found.extend(_from_file(str(path.parent / text.split(None, 1)[-1])))
        elif text:
            found.append(text)
    return found


def _from_block(source: str, python: str) -> list[str]:
    blocks = [found for found in _SCRIPT_BLOCK.finditer(source + "\n") if found["type"] == "script"]
    if not blocks:
        return []
    if len(blocks) > 1:
        raise DependencyError("the cell has several `# /// script` blocks; PEP 723 allows one")
    content = "".join(
        line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].splitlines(keepends=True)
    )
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as exc:
        raise DependencyError(f"the `# /// script` block isn't TOML: {exc}") from None
    wanted = data.get("requires-python")
    if wanted:
        _check_python(str(wanted), python)
    dependencies = data.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise DependencyError("`dependencies` in the `# /// script` block must be a list of strings")
    return dependencies


def _check_python(wanted: str, python: str) -> None:
    have = tuple(int(part) for part in python.split("."))
    for clause in wanted.split(","):
        found = re.fullmatch(r"\s*(>=|>|<=|<|==)\s*(\d+)\.(\d+)[\d.*]*\s*", clause)
        if not found:
            continue
        bound = (int(found[2]), int(found[3]))
        holds = {">=": have >= bound, ">": have > bound, "<=": have <= bound, "<": have < bound, "==": have == bound}
        if not holds[found[1]]:
            raise DependencyError(f"the cell requires Python {wanted}; the function's is {python}: use --runtime")


def build(wanted: Requirements, say: Say) -> Layers:
    """Install the packages into layer zips, or find them built already.

    Args:
        say: Takes each line of the installer as it comes.
    Raises:
        DependencyError: The installer failed (its own words), or the result is larger than Lambda takes.
    """
    folder = cache_folder() / "layers" / wanted.key
    zips = tuple(sorted(folder.glob("*.zip")))
    if zips and (folder / "complete").exists():
        return Layers(wanted.key, wanted.packages, zips)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        target = Path(scratch, "python")
        _install(wanted, target, say)
        result = Path(scratch, "result")
        result.mkdir()
        for number, data in enumerate(_pack(target)):
            (result / f"{number}.zip").write_bytes(data)
        (result / "complete").write_text("\n".join(wanted.packages))
        if folder.exists():
            shutil.rmtree(folder)
        result.rename(folder)
    return Layers(wanted.key, wanted.packages, tuple(sorted(folder.glob("*.zip"))))


def cache_folder() -> Path:
    """Where builds are kept: JUPYTER_LAMBDA_CACHE_DIR, else the user's cache."""
    chosen = os.environ.get("JUPYTER_LAMBDA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "jupyter-lambda"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-lambda"


def clear_cache() -> int:
    """Forget all builds; bytes freed."""
    folder = cache_folder() / "layers"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return size


def _install(wanted: Requirements, target: Path, say: Say) -> None:
    command = [*_installer(wanted, target), *wanted.packages]
    tail: list[str] = []
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=_environment()
        )
    except OSError as exc:
        raise DependencyError(f"{command[0]} can't be started: {exc}") from exc
    assert process.stdout is not None
    try:
        for line in process.stdout:
            say(line.rstrip())
            tail.append(line.rstrip())
        code = process.wait(_BUILD_TIMEOUT_S)
    except BaseException:
        process.terminate()
        process.wait(10)
        raise
    finally:
        process.stdout.close()
    if code:
        raise DependencyError(f"--pip {' '.join(wanted.packages)}: {_reason(tail)}")


def _installer(wanted: Requirements, target: Path) -> list[str]:
    foreign = wanted.for_aws or wanted.python != f"{sys.version_info[0]}.{sys.version_info[1]}"
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv:
        command = [uv, "pip", "install", "--no-progress", "--link-mode", "copy", "--target", str(target)]
        if not foreign:
            return [*command, "--python", sys.executable]
        command += ["--python-version", wanted.python, "--only-binary", ":all:"]
        return [*command, "--python-platform", f"{wanted.machine}-manylinux_2_28"] if wanted.for_aws else command
    command = [sys.executable, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--target", str(target)]
    if foreign:
        command += ["--python-version", wanted.python, "--only-binary", ":all:"]
        if wanted.for_aws:
            command += [
                "--platform",
                f"manylinux_2_28_{wanted.machine}",
                "--platform",
                f"manylinux2014_{wanted.machine}",
            ]
    return command


def _environment() -> dict[str, str]:
    """uv doesn't read pip's settings; where only those name an index, it is told."""
    environment = dict(os.environ)
    for ours, theirs in (
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ):
        if ours in environment:
            environment.setdefault(theirs, environment[ours])
    return environment


def _reason(tail: list[str]) -> str:
    """The installer's own explanation: from its first line that tells of an error."""
    lines = [line.strip() for line in tail if line.strip()]
    starts = [i for i, line in enumerate(lines) if re.match(r"(×|error\b|ERROR:|  ×)", line, re.IGNORECASE)]
    chosen = lines[starts[0] :] if starts else lines[-3:]
    text = " ".join(re.sub(r"^[×╰▶─│├\s]+|^(?i:error):?\s*", "", line) for line in chosen[:6])
    return re.sub(r"\s+", " ", text) or "the installer failed and said nothing"


def _pack(target: Path) -> Iterator[bytes]:
    """Zips with ``python/…``, as few as fit."""
    entries: list[tuple[int, dict[str, bytes]]] = []
    unzipped = 0
    for top in sorted(target.iterdir()):
        files = dict(_files(top, target))
        unzipped += sum(map(len, files.values()))
        if files:
            entries.append((len(pack(files)), files))
    if unzipped > UNZIPPED_MAX_BYTES:
        raise DependencyError(
            f"the packages are {human_size(unzipped)} unpacked; Lambda takes {human_size(UNZIPPED_MAX_BYTES)}: "
            "use a container image, or fewer packages"
        )
    bins: list[tuple[int, dict[str, bytes]]] = []
    for size, files in sorted(entries, key=lambda entry: -entry[0]):
        if size > _LAYER_BYTES:
            raise DependencyError(
                f"{next(iter(files)).split('/')[1]} alone is {human_size(size)}, more than a layer takes"
            )
        for number, (filled, content) in enumerate(bins):
            if filled + size <= _LAYER_BYTES:
                bins[number] = (filled + size, content | files)
                break
        else:
            bins.append((size, files))
    if len(bins) > LAYERS_MAX:
        raise DependencyError(
            f"the packages need {len(bins)} layers; a function takes {LAYERS_MAX}: use fewer packages"
        )
    for _, files in bins:
        yield pack(files)


def _files(top: Path, target: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted([top] if top.is_file() else top.rglob("*")):
        parts = path.relative_to(target).parts
        if path.is_file() and not _JUNK.intersection(parts) and path.suffix != ".pyc":
            yield "/".join(("python", *parts)), path.read_bytes()
