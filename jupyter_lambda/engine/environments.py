"""From a function version to a running sandbox: its code, layers, environment variables and credentials."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jupyter_lambda.errors import ServiceException
from jupyter_lambda.model import limits
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.sandbox.base import SandboxSpec

from .freezer import Freezable
from .functions import LAYER_PACKAGES
from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

    from .credentials import Credential, Credentials
    from .runtimes import Runtimes


#: How an environment came to be initialised, in AWS's words: AWS_LAMBDA_INITIALIZATION_TYPE.
InitializationType = Literal["on-demand", "provisioned-concurrency"]


@dataclass(slots=True, eq=False)
class Environment(Freezable):
    """One execution environment as the engine holds it."""

    environment_id: str
    version: FunctionVersion
    credential: Credential
    log_stream: str
    #: What it wrote outside invocations, from its start on; bounded.
    init_output: bytearray = field(default_factory=bytearray)
    #: From its start to its first ``next``, in ms; None once an invocation has reported it.
    init_ms: float | None = None
    provisioned: bool = False
    #: It waits for an invocation: initialised, and nothing runs in it.
    idle: bool = False


#: What a function may set otherwise.
DEFAULT_VARIABLES: Mapping[str, str] = {"LANG": "en_US.UTF-8", "TZ": ":UTC"}


def new_sandbox_id() -> str:
    """16 hex digits."""
    return uuid.uuid4().hex[:16]


def log_stream_name(version: str, sandbox_id: str, now_s: float) -> str:
    """``2026/11/23/[$LATEST]0123456789abcdef…``: one stream for each environment, as AWS names them."""
    day = time.strftime("%Y/%m/%d", time.gmtime(now_s))
    return f"{day}/[{version}]{sandbox_id}{uuid.uuid4().hex[:16]}"


class Specs:
    """Makes the specification of a sandbox for a version; paths come from the store and from configuration only."""

    def __init__(self, settings: EngineSettings, store: Store, credentials: Credentials, runtimes: Runtimes) -> None:
        self._settings = settings
        self._runtimes = runtimes
        self._store = store
        self._credentials = credentials

    async def make(
        self,
        version: FunctionVersion,
        now_s: float,
        *,
        sandbox_id: str | None = None,
        initialization: InitializationType = "on-demand",
    ) -> tuple[SandboxSpec, Credential, str]:
        """The specification, the credential issued for it, and the name of its log stream.

        Args:
            sandbox_id: Of the generic container that is to become it; None: a new one.
        Raises:
            ServiceException: A layer, the package or the interpreter is no longer there.
        """
        sandbox_id = sandbox_id or new_sandbox_id()
        stream = log_stream_name(version.version, sandbox_id, now_s)
        image = version.package_type == "Image" or version.runtime in self._settings.runtime_images
        code_dir = None
        if version.package_type == "Zip":
            code_dir = await self._store.packages.unpacked(version.code_sha256)
        layers = [await self._layer(arn, version) for arn in version.layers]
        credential = self._credentials.issue(version)
        config = version.image_config
        spec = SandboxSpec(
            sandbox_id=sandbox_id,
            function_name=version.name,
            version=version.version,
            memory_mb=version.memory_mb,
            ephemeral_storage_mb=version.ephemeral_storage_mb,
            handler=version.handler or "",
            environment=self._variables(version, stream, credential, initialization),
            code_dir=code_dir,
            layer_dirs=tuple(layers),
            kind="image" if image else "host",
            interpreter=None if image else self._interpreter(version),
            image=self._image(version),
            entry_point=config.entry_point if config else None,
            command=config.command if config else None,
            working_directory=config.working_directory if config else None,
            network=self._network(version),
        )
        return spec, credential, stream

    def outline(self, version: FunctionVersion) -> SandboxSpec | None:
        """What of the specification decides which generic containers a version may adopt; None: it may adopt none.

        Its code is not looked at: whether that allows modules imported ahead is checked when it is adopted.
        """
        if version.package_type != "Zip" or version.runtime in self._settings.runtime_images:
            return None
        try:
            interpreter = self._interpreter(version)
        except ServiceException:
            return None
        if interpreter is None:
            return None
        return SandboxSpec(
            sandbox_id="",
            function_name=version.name,
            version=version.version,
            memory_mb=version.memory_mb,
            ephemeral_storage_mb=version.ephemeral_storage_mb,
            handler=version.handler or "",
            environment={**DEFAULT_VARIABLES, **version.environment},
            code_dir=Path("/var/task"),
            interpreter=interpreter,
            network=self._network(version),
        )

    def default_outline(self) -> SandboxSpec | None:
        """The same for a function that chooses nothing; None: this engine has no interpreter."""
        if not self._runtimes.interpreters:
            return None
        return SandboxSpec(
            sandbox_id="",
            function_name="",
            version="",
            memory_mb=limits.MEMORY_DEFAULT_MB,
            ephemeral_storage_mb=limits.TMP_MIN_MB,
            handler="",
            environment=DEFAULT_VARIABLES,
            code_dir=Path("/var/task"),
            interpreter=self._runtimes.interpreters[0].path,
            network="none" if self._settings.default_network == "none" else "egress",
        )

    def _network(self, version: FunctionVersion) -> Literal["none", "egress"]:
        return "none" if (version.network or self._settings.default_network) == "none" else "egress"

    def _image(self, version: FunctionVersion) -> str | None:
        # The digest, not the name: what a tag means may change after the function was created.
        if version.package_type == "Image":
            return f"sha256:{version.code_sha256}"
        return self._settings.runtime_images.get(version.runtime or "")

    def _interpreter(self, version: FunctionVersion) -> Path | None:
        runtime = version.runtime or ""
        return self._runtimes.path(runtime, version.interpreter) if runtime.startswith("python") else None

    async def _layer(self, arn: str, version: FunctionVersion) -> Path:
        """A layer version may have been deleted since: functions that have it keep it, as on AWS."""
        for kept in version.extras.get(LAYER_PACKAGES, ()):
            if kept["Arn"] == arn:
                return await self._store.packages.unpacked(kept["CodeSha256"])
        raise ServiceException(f"the package of layer version {arn} is not known; attach the layer again")

    def _variables(
        self, version: FunctionVersion, stream: str, credential: Credential, initialization: InitializationType
    ) -> dict[str, str]:
        """Source: AWS Lambda Developer Guide, "Defined runtime environment variables"."""
        region = self._settings.account.region
        variables = {**DEFAULT_VARIABLES, **version.environment}
        variables |= {
            "_HANDLER": version.handler or "",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_LAMBDA_FUNCTION_NAME": version.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": version.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{version.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_ACCESS_KEY_ID": credential.access_key,
            "AWS_SECRET_ACCESS_KEY": credential.secret_key,
            "AWS_SESSION_TOKEN": credential.token or "",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
        }
        if version.runtime:
            variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{version.runtime}"
        return variables
