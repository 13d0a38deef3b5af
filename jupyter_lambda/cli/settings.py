"""From traitlets to the plain values that the engine and its sandboxes receive."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.model.arn import Account
from jupyter_lambda.sandbox.base import SandboxSettings

_NAME = re.compile(r"python(\d(\.\d+)?)?")
#: Fields of EngineSettings that are traits of the same name and form.
_SAME = (
    "concurrency_limit",
    "default_network",
    "billing_increment_ms",
    "price_gb_s",
    "price_request",
    "price_provisioned_gb_s",
    "keep_alive_s",
    "keep_alive_learned",
    "keep_alive_min_s",
    "keep_alive_max_s",
    "cold_start_worth",
    "prewarm_min_s",
    "yield_after_s",
    "patience",
    "starts_at_once",
    "memory_budget_mb",
    "queue_timeout_s",
    "scaling_per_10s",
    "freeze_delay_s",
    "warm_containers",
    "warm_memory_mb",
    "warm_imports_s",
    "event_concurrency",
    "event_retry_delays_s",
    "event_backoff_s",
    "missed_ticks",
    "missed_ticks_max",
    "ledger_max_records",
    "log_cap_mb",
    "state_cap_mb",
    "cloud",
    "cloud_server",
    "aws_endpoint_url",
    "aws_profile",
    "aws_for_functions",
)


def engine_settings(traits: LambdaEngine) -> EngineSettings:
    """What the engine is told."""
    return EngineSettings(
        account=Account(traits.region, traits.account_id),
        interpreters=interpreters(traits.interpreters),
        runtime_images=dict(traits.runtime_images),
        function_permissions=tuple(traits.function_permissions),
        allowed_hosts=tuple(traits.allowed_hosts),
        **{name: getattr(traits, name) for name in _SAME},
    )


def sandbox_settings(traits: LambdaEngine, state_dir: Path, installation_id: str, epoch: str) -> SandboxSettings:
    """What the drivers are told."""
    return SandboxSettings(
        state_dir=state_dir,
        installation_id=installation_id,
        epoch=epoch,
        docker_url=traits.docker_url or None,
        host_paths=tuple(Path(path).expanduser().absolute() for path in traits.host_paths),
        transport="tcp" if traits.transport == "tcp" else "unix",
    )


def interpreters(more: Iterable[str] = ()) -> tuple[Path, ...]:
    """Pythons for host environments: this one first, then those of the installed kernels, then ``more``.

    Symbolic links stay as they are: a virtual environment's interpreter is one. Each is known by all its names there
    (python, python3, python3.11), since a kernel may have been started by another one. What does not exist is left out.
    """
    chosen = [Path(sys.executable), *_kernels(), *(Path(path).expanduser() for path in more)]
    usable = [path for path in chosen if path.is_absolute() and os.access(path, os.X_OK)]
    return tuple(dict.fromkeys([*usable, *(name for path in usable for name in _other_names(path))]))


def _other_names(path: Path) -> list[Path]:
    return [
        other for other in sorted(path.parent.glob("python*")) if _NAME.fullmatch(other.name) and other.samefile(path)
    ]


def _kernels() -> list[Path]:
    """Interpreters that the installed Python kernelspecs name by an absolute path; broken specs are left out."""
    from jupyter_core.paths import jupyter_path

    found = []
    for directory in jupyter_path("kernels"):
        for spec in sorted(Path(directory).glob("*/kernel.json")):
            try:
                data = json.loads(spec.read_bytes())
                if str(data.get("language", "")).lower() == "python":
                    found.append(Path(data["argv"][0]))
            except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
                continue
    return found
