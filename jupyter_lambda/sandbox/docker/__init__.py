"""Sandboxes in Docker containers.

========== =========================================================================================
driver     the ``Driver``: opens, starts, sweeps, closes
process    one running container: wait, freeze, thaw, kill
client     docker-py behind threads and time limits; its errors become ``DriverError`` there only
events     who ended and why, from one event stream for the whole engine
profile    what every container is given: the hardening, the limits, the mounts; pure
layout     which of the host's paths an interpreter needs
image      the empty image into which they are mounted
layers     layers laid over each other for /opt
scratch    /tmp of the size asked for
network    the network of functions that may reach out
cgroup     the container's control group: freezer, CPU quota, peak memory
attach     what the function of an image writes to stdout and stderr
probe      one container at the start that tells whether all this is really enforced
========== =========================================================================================
"""

from __future__ import annotations

from jupyter_lambda.sandbox.docker.driver import DockerDriver

__all__ = ["DockerDriver"]
