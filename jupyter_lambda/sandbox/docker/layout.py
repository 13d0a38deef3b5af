"""Which of the host's paths an interpreter needs, and nothing that holds a secret.

Mounted: the system's programs and libraries, the certificates it trusts, the interpreter's prefix and base prefix.
Never: /etc as a whole, a home directory, the state directory, Docker's socket.
"""

from __future__ import annotations

import asyncio
import json
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.docker.profile import Mount

#: Our files that run inside; mounted at /var/runtime.
RUNTIME_DIR = Path(__file__).resolve().parents[2] / "runtime"
#: Seconds an interpreter may take to tell where it lives.
_ASK_TIMEOUT_S = 20
_ASK = (
    "import compileall,json,sys,sysconfig;"
    # Without bytecode every start would compile the runtime anew.
    "compileall.compile_dir(sys.argv[1],quiet=2,maxlevels=0);"
    "print(json.dumps([sys.executable,sys.prefix,sys.base_prefix,sysconfig.get_path('stdlib'),"
    "sysconfig.get_path('platlib'),'%d.%d'%sys.version_info[:2]]))"
)

#: Where the system keeps programs and libraries. /usr itself is not mounted whole: /usr/local/etc may hold secrets.
SYSTEM_DIRECTORIES = (
    "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share",
    "/usr/local/bin", "/usr/local/lib", "/usr/local/lib64", "/usr/local/share",
)  # fmt: skip
#: Links of the merged-/usr scheme; directories of their own on older systems. Not /sbin: Docker mounts its init there.
ROOT_DIRECTORIES = ("/bin", "/lib", "/lib32", "/lib64")
#: Of /etc only what libraries look up. /etc/ssl/private stays out.
SYSTEM_FILES = (
    "/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted", "/etc/crypto-policies/back-ends", "/etc/fonts", "/etc/mime.types", "/etc/services",
    "/etc/protocols",
)  # fmt: skip
#: Never mounted, and nothing that contains one of them.
FORBIDDEN = (
    "/", "/boot", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/srv", "/sys",
    "/tmp", "/usr", "/var", "/var/lib", "/var/run",  # noqa: S108  # not used, but kept away from
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """One interpreter, and the mounts with which it works inside a container."""

    #: As it is called inside: the same path as outside.
    executable: str
    version: str
    mounts: tuple[Mount, ...]


def system_mounts(root: Path = Path("/")) -> tuple[Mount, ...]:
    """The system's directories and files that are there."""
    mounts = [Mount(path, name) for name in SYSTEM_DIRECTORIES if (path := _under(root, name)).is_dir()]
    for name in ROOT_DIRECTORIES:
        path = _under(root, name)
        if path.is_dir() and not path.is_symlink():
            mounts.append(Mount(path, name))
    mounts += [Mount(path.resolve(), name) for name in SYSTEM_FILES if (path := _under(root, name)).exists()]
    return tuple(mounts)


def root_links(root: Path = Path("/")) -> dict[str, str]:
    """Name → target of the links in / that the image must have too."""
    return {
        name.lstrip("/"): str(path.readlink()).lstrip("/")
        for name in ROOT_DIRECTORIES
        if (path := _under(root, name)).is_symlink()
    }


def _under(root: Path, name: str) -> Path:
    return root / name.lstrip("/")


async def examine(interpreter: Path, forbidden: Iterable[Path]) -> Layout:
    """Run an interpreter to learn where it lives.

    Args:
        forbidden: Beside ``FORBIDDEN``: the state directory, Docker's socket.
    Raises:
        DriverError: It doesn't run, or lives where nothing may be mounted from, or others can't read it.
    """
    answer = await _ask(interpreter)
    executable, prefix, base_prefix, stdlib, platlib, version = (str(value) for value in answer)
    mounts: dict[str, Mount] = {}
    for place in _prefixes(Path(executable), Path(prefix), Path(base_prefix)):
        refuse(place, forbidden, f"the interpreter {interpreter}")
        mounts[str(place)] = Mount(place, str(place))
    for path in (Path(stdlib) / "os.py", Path(platlib)):
        _check_readable(path, interpreter)
    return Layout(executable, version, tuple(mounts.values()))


async def _ask(interpreter: Path) -> list[object]:
    try:
        process = await asyncio.create_subprocess_exec(
            interpreter, "-I", "-c", _ASK, RUNTIME_DIR, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as exc:
        raise DriverError(f"the interpreter {interpreter} can't be run: {exc}") from exc
    try:
        out, err = await asyncio.wait_for(process.communicate(), _ASK_TIMEOUT_S)
        answer = json.loads(out)
    except TimeoutError as exc:
        raise DriverError(f"the interpreter {interpreter} did not answer within {_ASK_TIMEOUT_S} s") from exc
    except ValueError as exc:
        text = err.decode("utf-8", "replace").strip()[-500:]
        raise DriverError(f"the interpreter {interpreter} can't tell where it lives: {text or 'no output'}") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return list(answer)


def _prefixes(executable: Path, prefix: Path, base_prefix: Path) -> list[Path]:
    """The directories to mount, under every name by which they are referred to, outermost only."""
    named = [prefix, base_prefix, executable.resolve().parent.parent]
    named += [path.resolve() for path in named]
    system = [Path(name) for name in SYSTEM_DIRECTORIES]
    places: list[Path] = []
    for place in sorted(set(named), key=lambda p: len(p.parts)):
        if place in (Path("/usr"), Path("/usr/local")):
            continue  # their parts are among the system's directories
        if any(place.is_relative_to(other) for other in [*system, *places]):
            continue
        places.append(place)
    return places


def refuse(path: Path, forbidden: Iterable[Path], what: str) -> None:
    """Check that nothing secret would be mounted with a path.

    Raises:
        DriverError: It is, or contains, a home directory, the state directory, or a directory of the system.
    """
    real = path.resolve()
    closed = [Path(name) for name in FORBIDDEN] + list(forbidden) + _homes()
    for place in (path, real):
        for other in closed:
            if other == place or other.is_relative_to(place) or other.resolve().is_relative_to(place):
                raise DriverError(
                    f"{what} would need {place} mounted into sandboxes, and with it {other}: use an interpreter with a "
                    "directory of its own, such as a virtual environment (python3 -m venv)"
                )


def _homes() -> list[Path]:
    """Directories of the people of this host, and of root."""
    return [
        Path(entry.pw_dir)
        for entry in pwd.getpwall()
        if (entry.pw_uid == 0 or entry.pw_uid >= 1000) and len(Path(entry.pw_dir).parts) > 1
    ]


def _check_readable(path: Path, interpreter: Path) -> None:
    """A sandbox reads as nobody in particular: files must be readable by others."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # e.g. a standard library kept in a zip file
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    if mode & wanted != wanted:
        raise DriverError(
            f"{path} of the interpreter {interpreter} can't be read by sandboxes, which run as users of their own: "
            f"`chmod -R o+rX {path.parent}` (the directories above it may stay closed)"
        )
