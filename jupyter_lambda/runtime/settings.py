"""What a sandbox tells its first process by the environment."""

from __future__ import annotations

import os


class Settings:
    """Taken out of the environment before the function's code runs.

    ``JUPYTER_LAMBDA_SOCKET``: the Runtime API's Unix socket (default /run/jl/api.sock); "" for TCP, where
    ``AWS_LAMBDA_RUNTIME_API`` is ``host:port`` or ``host:port/token``.
    ``JUPYTER_LAMBDA_LOG``: the FIFO for stdout and stderr (default /run/jl/log); "" leaves them as they are.
    ``JUPYTER_LAMBDA_FORWARD``: where to listen inside the sandbox for SDKs (default 127.0.0.1:9001; port 0 chooses);
    "" for no forwarder.
    ``JUPYTER_LAMBDA_OPT``: the layers' directory (default /opt).
    ``JUPYTER_LAMBDA_SITE``: more directories of packages, after the interpreter's own, divided by ":" (the user's site
    directory, which ``-I`` leaves out).
    ``JUPYTER_LAMBDA_GENERIC``: there is no function yet; a JSON list of modules to import ahead (`generic.py`).
    """

    def __init__(self) -> None:
        self.socket = os.environ.pop("JUPYTER_LAMBDA_SOCKET", "/run/jl/api.sock")
        self.log = os.environ.pop("JUPYTER_LAMBDA_LOG", "/run/jl/log")
        self.forward = os.environ.pop("JUPYTER_LAMBDA_FORWARD", "127.0.0.1:9001")
        self.opt = os.environ.pop("JUPYTER_LAMBDA_OPT", "/opt")
        self.site = os.environ.pop("JUPYTER_LAMBDA_SITE", "")
        self.generic = os.environ.pop("JUPYTER_LAMBDA_GENERIC", "")
        self.wrapped = os.environ.pop("JUPYTER_LAMBDA_WRAPPED", "") == "1"
        #: ``host:port[/token]`` where there is no socket.
        self.tcp_address = "" if self.socket else os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
        self.task_root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")

    def restore(self) -> dict[str, str]:
        """The environment with these settings in it again, for a program that starts this one anew."""
        return dict(
            os.environ,
            JUPYTER_LAMBDA_SOCKET=self.socket,
            JUPYTER_LAMBDA_LOG=self.log,
            JUPYTER_LAMBDA_FORWARD=self.forward,
            JUPYTER_LAMBDA_OPT=self.opt,
            JUPYTER_LAMBDA_SITE=self.site,
            JUPYTER_LAMBDA_WRAPPED="1",
        )

    def redirect_output(self) -> None:
        """Let file descriptors 1 and 2 write to the engine's FIFO; they stay as they are where it can't be opened."""
        if not self.log:
            return
        try:
            # Without O_NONBLOCK a FIFO that nobody reads would hold this process for ever.
            fd = os.open(self.log, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as exc:
            os.write(2, f"the log at {self.log} can't be opened: {exc}\n".encode())
            return
        os.set_blocking(fd, True)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
