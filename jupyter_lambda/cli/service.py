"""``service``: an engine that is there from login on, and with lingering from boot on, as a systemd user unit."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from jupyter_lambda.connection import ends_with, find

from .command import ENGINE_ALIASES, EXIT_FAILURE, EXIT_USAGE, LambdaCommand

UNIT = "jupyter-lambda.service"
#: Seconds before the engine is started again after it ended unasked.
RESTART_S = 5
#: Seconds for systemctl to answer.
_TIMEOUT_S = 20.0
_VERBS = ("install", "uninstall", "status")


class ServiceCommand(LambdaCommand):
    """Leave an engine running: a systemd user unit."""

    name = "jupyter-lambda-service"
    description = (
        "jupyter lambda service install|uninstall|status [--state-dir D] [--port P] [--driver auto|docker|process]: "
        "leave an engine running by a systemd user unit, so that schedules fire whether Jupyter runs or not. It takes "
        "the options of serve."
    )
    examples = """
    jupyter lambda service install
    jupyter lambda service status
    loginctl enable-linger            # also while nobody is logged in
    jupyter lambda service uninstall
    """
    words = (1, 1)
    words_help = "install, uninstall or status"
    aliases = ENGINE_ALIASES

    def run(self) -> int:
        """Says exactly what it does."""
        verb = self.extra_args[0]
        if verb not in _VERBS:
            self.fail(f"there is no service {verb!r}; there are {', '.join(_VERBS)}", EXIT_USAGE)
        if not sys.platform.startswith("linux"):
            self.fail(
                "services are systemd's here and this system has none (launchd is not built); `jupyter lambda start` "
                "leaves an engine running until you log out"
            )
        return {"install": self._install, "uninstall": self._uninstall, "status": self._status}[verb]()

    def _install(self) -> int:
        path, text = unit_path(), unit(self.directory, self.passed_on())
        known = _read(path)
        if known != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(f"{'unchanged' if known == text else 'wrote' if known is None else 'rewrote'} {path}")
        running = find(self.directory)
        commands = [["daemon-reload"], ["enable", "--now", UNIT]]
        if known is not None and known != text:
            commands.append(["restart", UNIT])
        problem = _all(commands)
        if problem:
            print(f"systemd did not take it: {problem}")
            print(f"where it runs: systemctl --user daemon-reload && systemctl --user enable --now {UNIT}")
        if running is not None and (owner := ends_with(running)) is not None:
            print(
                f"an engine runs already and ends with process {owner} (Jupyter's); the service takes over then, or "
                "now with: jupyter lambda stop"
            )
        if _lingers() is not True:
            print("it runs while you are logged in; without a login too after: loginctl enable-linger")
        return EXIT_FAILURE if problem else 0

    def _uninstall(self) -> int:
        path = unit_path()
        if not path.exists():
            print(f"there is no service: {path} does not exist")
            return 0
        problem = _all([["disable", "--now", UNIT]])
        path.unlink()
        print(f"removed {path}")
        problem = problem or _all([["daemon-reload"]])
        if problem:
            print(f"systemd was not told: {problem}; if it runs still: systemctl --user stop {UNIT}")
        print(f"functions, schedules and runs stay in {self.directory}")
        return 0

    def _status(self) -> int:
        path = unit_path()
        text = _read(path)
        if text is None:
            print(f"no service: {path} does not exist; jupyter lambda service install makes it")
        else:
            differs = text != unit(self.directory, self.passed_on())
            print(f"unit     {path}{' (install would write it anew)' if differs else ''}")
            code, said = _systemctl("is-active", UNIT)
            print(f"systemd  {said or ('active' if not code else 'unknown')}")
            lingers = _lingers()
            print(f"linger   {'unknown' if lingers is None else 'yes' if lingers else 'no: loginctl enable-linger'}")
        running = find(self.directory)
        if running is None:
            print(f"engine   none runs on {self.directory}")
            return EXIT_FAILURE
        owner = ends_with(running)
        ends = f", ends with process {owner}" if owner else ", stays when Jupyter ends"
        print(f"engine   {running.describe()}, process {running.pid}{ends}")
        return 0


def unit_path() -> Path:
    """Where systemd looks for a user's own units. Source: systemd.unit(5), "Unit File Load Path"."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "systemd" / "user" / UNIT


def unit(directory: Path, options: list[str]) -> str:
    """The unit's text. Sources: systemd.unit(5), systemd.service(5), systemd.exec(5).

    No hardening here: an engine starts containers, or processes of the user's own.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "jupyter_lambda.cli",
        "serve",
        "--wait",
        "--state-dir",
        str(directory),
        *options,
    ]
    lines = [
        "# Written by `jupyter lambda service install`, which would write it again.",
        "[Unit]",
        "Description=AWS Lambda inside the notebook: the engine",
        "After=docker.service",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"ExecStart={' '.join(_quoted(word.replace('$', '$$')) for word in command)}",
        "Restart=on-failure",
        f"RestartSec={RESTART_S}",
        "# 2: its options make no sense.",
        "RestartPreventExitStatus=2",
        "KillMode=mixed",
        "TimeoutStopSec=90",
        *(f"Environment={_quoted(f'{name}={os.environ[name]}')}" for name in _PASSED if os.environ.get(name)),
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    ]
    return "\n".join(lines)


#: Variables of this terminal that decide what the engine is and finds; a unit has none of them by itself.
_PASSED = ("PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "DOCKER_HOST")


def _quoted(word: str) -> str:
    """A word as systemd reads it: in quotes where need be; a % means itself."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(sign in word for sign in " \t\"'\\;") or not word else escaped


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _all(commands: list[list[str]]) -> str:
    """Run them in order until one fails; what that one said, "" where none did."""
    for command in commands:
        code, said = _systemctl(*command)
        if code:
            return f"systemctl --user {shlex.join(command)}: {said}"
    return ""


def _systemctl(*arguments: str) -> tuple[int, str]:
    return _said("systemctl", "--user", *arguments)


def _said(*command: str) -> tuple[int, str]:
    if shutil.which(command[0]) is None:
        return 127, f"{command[0]} is not installed"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return 1, str(exc)
    return done.returncode, (done.stdout.strip() or done.stderr.strip()).partition("\n")[0]


def _lingers() -> bool | None:
    """Whether the user's services run without a login; None where that can't be told."""
    code, said = _said("loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value")
    return None if code or said not in ("yes", "no") else said == "yes"
