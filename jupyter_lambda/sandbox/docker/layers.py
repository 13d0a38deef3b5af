"""Layers laid over each other for /opt, as one directory of hard links: made once per list of layers."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

#: Beside the sandboxes' directories, in the state directory.
DIRECTORY = "opt"
#: What hard links fail with across file systems, or where there are too many of one file.
_CANT_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP)


class LayerCache:
    """Merged layers by the list of their directories, whose names are hashes of their content."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / DIRECTORY
        self._lock = threading.Lock()

    def merged(self, layers: Sequence[Path]) -> Path | None:
        """The directory to mount at /opt; blocking. None without layers; the layer itself where there is but one.

        Raises:
            OSError: A layer is gone, or the disk is full.
        """
        if len(layers) <= 1:
            return layers[0] if layers else None
        key = hashlib.sha256("\0".join(map(str, layers)).encode()).hexdigest()[:32]
        target = self._root / key
        with self._lock:
            if not target.is_dir():
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                partial = self._root / f"{key}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(mode=0o755)
                for layer in layers:
                    _lay(layer, partial)
                partial.rename(target)
        return target

    def clear(self) -> None:
        """Forget all; blocking. Only while no sandbox runs."""
        shutil.rmtree(self._root, ignore_errors=True)


def link_tree(source: Path, target: Path) -> None:
    """Fill an existing directory with hard links to the files of another; blocking.

    Raises:
        OSError: The disk is full.
    """
    _lay(source, target)


def _lay(layer: Path, target: Path) -> None:
    """Lay one layer over what is there: its files win, directories join."""
    for directory, names, files in os.walk(layer):
        here = target / Path(directory).relative_to(layer)
        for name in [*files, *(n for n in names if Path(directory, n).is_symlink())]:
            _replace(Path(directory, name), here / name)
        for name in names:
            below = here / name
            if Path(directory, name).is_symlink():
                continue
            if below.is_symlink() or not below.is_dir():
                with contextlib.suppress(FileNotFoundError):
                    below.unlink()
                below.mkdir(mode=0o755)


def _replace(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _CANT_LINK:
            raise
        shutil.copy2(source, target, follow_symlinks=False)
