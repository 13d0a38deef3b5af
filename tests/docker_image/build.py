"""Builds an image from this host's interpreter, with no registry: the official ``awslambdaric`` and a function.

A virtual environment's interpreter, its standard library, the shared libraries they need (as the dynamic loader
resolves them) and awslambdaric with what it requires, in one tar for ``docker import``. Works on the system's Python as
on one of a user's own. About 90 MB, 2 s; kept by the hash of what goes in.

Usage: ``python tests/docker_image/build.py`` prints the image's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import docker

REPOSITORY = "jupyter-lambda-test-function"
#: Raise when the recipe itself changes.
RECIPE = "5"
#: Of the standard library, what no function needs.
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "__pycache__", "site-packages",
            "dist-packages", "pydoc_data"}  # fmt: skip
FUNCTION = """
import json, os, signal, sys

def handler(event, context):
    action = event.get("action", "echo")
    if action == "echo":
        print("echo", event["value"])
        return {"value": event["value"], "uid": os.getuid(), "name": context.function_name}
    if action == "evaluate":
        return eval(event["expression"], {"os": os, "sys": sys, "open": open, "__import__": __import__})
    if action == "fail":
        raise ValueError("as asked")
    if action == "write":
        for number in range(event["lines"]):
            print(f"line {number} " + "x" * 80)
        return event["lines"]
    if action == "exit":
        sys.stdout.write("last words\\n" * event.get("times", 1))
        sys.stdout.flush()
        os._exit(event["code"])
    raise LookupError(action)
"""


def requirements(name: str, seen: set[str] | None = None) -> set[str]:
    """A distribution and all that it requires here, extras aside."""
    seen = set() if seen is None else seen
    if name.lower() in seen:
        return seen
    seen.add(name.lower())
    for requirement in metadata.distribution(name).requires or ():
        if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
            try:
                metadata.distribution(match[0])
            except metadata.PackageNotFoundError:
                continue  # for another system or Python
            requirements(match[0], seen)
    return seen


def package_files(names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Path in the image and on the host of each installed file."""
    for name in sorted(names):
        for file in metadata.distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                yield f"packages/{file}", Path(str(file.locate()))


def library_files(stdlib: Path) -> Iterator[tuple[str, Path]]:
    """The standard library."""
    for directory, names, files in os.walk(stdlib):
        names[:] = [name for name in names if name not in LEFT_OUT and not name.startswith("config-")]
        for file in files:
            path = Path(directory, file)
            yield f"python/lib/{stdlib.name}/{path.relative_to(stdlib)}", path


def shared_libraries(binaries: Iterable[Path]) -> dict[str, Path]:
    """Path in the image → host path of all that the loader loads for them, and the loader itself."""
    found: dict[str, Path] = {}
    for binary in binaries:
        done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if match := re.search(r"(?:(\S+) => )?(/\S+) \(0x", line):
                path = Path(match[2])
                # The loader at the path the binaries name; libraries by the name they are asked for.
                target = str(path) if "ld-linux" in path.name else f"/lib/{match[1] or path.name}"
                found[target.lstrip("/")] = path.resolve()
    return found


def content() -> dict[str, Path]:
    """All files of the image but the generated ones."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    program = Path(sys.executable).resolve()
    files = dict(library_files(stdlib))
    files.update(package_files(requirements("awslambdaric")))
    files["python/bin/python3"] = program
    binaries = [path for path in files.values() if path.suffix == ".so" or ".so." in path.name]
    files.update(shared_libraries([program, *binaries]))
    return files


def build() -> str:
    """Import the image unless it is here.

    Returns:
        Its name.
    """
    stamp = [RECIPE, FUNCTION, sys.version, str(Path(sys.executable).resolve())]
    stamp += [f"{name} {metadata.version(name)}" for name in sorted(requirements("awslambdaric"))]
    image = f"{REPOSITORY}:{hashlib.sha256(repr(stamp).encode()).hexdigest()[:12]}"
    with contextlib.closing(docker.APIClient(version="auto", timeout=60)) as api:
        if not api.images(image):
            _import(api, image)
    return image


def _import(api: docker.APIClient, image: str) -> None:
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, path in sorted(content().items()):
                entry = tar.gettarinfo(path.resolve(), name)
                entry.uid = entry.gid = 0
                entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            for name in ("tmp", "proc", "sys", "dev", "etc"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            entry = tarfile.TarInfo("var/task/app.py")
            entry.size, entry.mode = len(FUNCTION.encode()), 0o644
            tar.addfile(entry, io.BytesIO(FUNCTION.encode()))
        archive.seek(0)
        changes = [
            "ENV PYTHONHOME=/python PYTHONPATH=/packages LD_LIBRARY_PATH=/lib PATH=/python/bin",
            "WORKDIR /var/task",
            'ENTRYPOINT ["/python/bin/python3","-m","awslambdaric"]',
            'CMD ["app.handler"]',
            "VOLUME /var/task",
        ]
        repository, tag = image.split(":")
        api.import_image_from_data(archive, repository=repository, tag=tag, changes=changes)


if __name__ == "__main__":
    print(build())  # noqa: T201  # what it is for
