"""An image that the peers can run functions in, made of this host's interpreter: no registry need be reached.

Holds what AWS's base image holds for them: the interpreter, awslambdaric, a shell with the few programs that their
build steps call, a ``/lambda-entrypoint.sh``, and, where it is at hand, AWS's Runtime Interface Emulator.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import docker

from benchmarks.engine import docker_api

#: How repositories of this suite's own begin.
OWN = "jupyter-lambda-bench"
_BUILD = Path(__file__).resolve().parents[2] / "tests" / "docker_image" / "build.py"
_PROGRAMS = ("sh", "mv", "chmod", "cp", "rm", "sleep")
#: As AWS's base images begin: under the emulator, unless there is a real Runtime API.
_ENTRYPOINT = """#!/bin/sh
export _HANDLER="$1"
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
fi
exec /var/runtime/bootstrap
"""
#: What the emulator starts.
_BOOTSTRAP = """#!/bin/sh
exec /python/bin/python3 -m awslambdaric "$_HANDLER"
"""
#: Handler and event as arguments, the answer on the last line: how images of the docker-lambda kind are called.
_ONCE = """
import importlib, json, sys
sys.path.insert(0, "/var/task")
module, _, name = sys.argv[1].rpartition(".")
print(json.dumps(getattr(importlib.import_module(module), name)(json.loads(sys.argv[2]), None)))
"""


def _recipe() -> ModuleType:
    """What the tests' image is made of."""
    spec = importlib.util.spec_from_file_location("docker_image_build", _BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def image(name: str, *, entrypoint: str, emulator: Path | None = None) -> Iterator[str]:
    """Import it, unless the name is taken, and remove it and what was built upon it at the end.

    Args:
        name: Repository and tag.
        entrypoint: As JSON.
        emulator: AWS's Runtime Interface Emulator for this machine.
    """
    with docker_api() as api:
        taken = bool(api.images(name))
        if not taken:
            _import(api, name, entrypoint, emulator)
        try:
            yield name
        finally:
            # A repository of this suite's own may hold what a peer built upon the image.
            mine = api.images(name.partition(":")[0] if name.startswith(OWN) else name)
            for found in () if taken else mine:
                for left in api.containers(all=True, filters={"ancestor": found["Id"]}):
                    api.remove_container(left["Id"], force=True)
                api.remove_image(found["Id"], force=True)


def _import(api: docker.APIClient, name: str, entrypoint: str, emulator: Path | None) -> None:
    recipe = _recipe()
    files: dict[str, Path] = recipe.content()
    programs = [Path(found) for program in _PROGRAMS if (found := shutil.which(program))]
    files |= {f"bin/{path.name}": path.resolve() for path in programs}
    files |= recipe.shared_libraries(programs)
    if emulator is not None:
        files["usr/local/bin/aws-lambda-rie"] = emulator
    texts = {"lambda-entrypoint.sh": _ENTRYPOINT, "var/runtime/bootstrap": _BOOTSTRAP, "once.py": _ONCE}
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for target, path in sorted(files.items()):
                entry = tar.gettarinfo(path.resolve(), target)
                entry.uid = entry.gid = 0
                entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            for target, text in texts.items():
                entry = tarfile.TarInfo(target)
                entry.size, entry.mode = len(text), 0o755
                tar.addfile(entry, io.BytesIO(text.encode()))
            for target in ("tmp", "proc", "sys", "dev", "etc", "opt", "var/task", "var/rapid"):
                entry = tarfile.TarInfo(target)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if target == "tmp" else 0o755
                tar.addfile(entry)
        archive.seek(0)
        repository, _, tag = name.rpartition(":")
        changes = [
            "ENV PYTHONHOME=/python PYTHONPATH=/packages:/var/task LD_LIBRARY_PATH=/lib",
            "ENV PATH=/python/bin:/bin LAMBDA_TASK_ROOT=/var/task",
            "WORKDIR /var/task",
            f"ENTRYPOINT {entrypoint}",
        ]
        api.import_image_from_data(archive, repository=repository, tag=tag, changes=changes)
