"""Debian's packages, for the scripts that see to what the tests need."""

from __future__ import annotations

import os
import shutil
import subprocess


class NotInstalled(Exception):
    """They could not be installed; the message says why."""


def install(*packages: str) -> None:
    """By apt-get, as root, without questions.

    Raises:
        NotInstalled: There is no apt-get, or it failed.
    """
    if not shutil.which("apt-get"):
        raise NotInstalled(f"there is no apt-get to install it with: install {' and '.join(packages)} and try again")
    print(f"installing {' and '.join(packages)} (half a minute)", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
