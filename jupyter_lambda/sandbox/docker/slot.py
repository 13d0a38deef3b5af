"""Where a generic container's function will be: two empty directories of the host, mounted at /var/task and /opt.

As root the function's package and layers are mounted over them (`namespace`); otherwise hard links fill them.
"""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_lambda.sandbox.docker.layers import link_tree
from jupyter_lambda.sandbox.docker.namespace import Graft
from jupyter_lambda.sandbox.docker.profile import Mount

TASK, OPT = "/var/task", "/opt"
#: What the linker looks into, by LD_LIBRARY_PATH: what is not there when a process starts it never looks into again.
_LIBRARIES = "lib"


class Slot:
    """The slot of one sandbox. All methods block."""

    def __init__(self, directory: Path) -> None:
        self._task, self._opt = directory / "slot/task", directory / "slot/opt"

    def create(self) -> tuple[Mount, ...]:
        """Make the directories; returns their mounts."""
        for place in (self._task, self._opt):
            (place / _LIBRARIES).mkdir(parents=True)
            place.chmod(0o755)
        return Mount(self._task, TASK), Mount(self._opt, OPT)

    def grafts(self, code: Path, opt: Path | None) -> list[Graft]:
        """What to mount over the slot; the part of it that stays visible is made as a fresh container has it."""
        if opt is None:
            (self._opt / _LIBRARIES).rmdir()
            return [Graft(code, TASK)]
        return [Graft(code, TASK), Graft(opt, OPT)]

    def fill(self, code: Path, opt: Path | None) -> None:
        """Fill the slot with links, where nothing can be mounted.

        Raises:
            OSError: Out of space, or of links.
        """
        for place, source in ((self._task, code), (self._opt, opt)):
            (place / _LIBRARIES).rmdir()
            if source is not None:
                link_tree(source, place)


def has_hardware_libraries(place: Path | None) -> bool:
    """Whether a package has libraries for certain processors, whose directories the linker must know at the start."""
    return place is not None and any(
        os.path.isdir(os.path.join(place, name, "glibc-hwcaps"))  # noqa: PTH112, PTH118  # on the way of every cold start
        for name in ("", _LIBRARIES)
    )
