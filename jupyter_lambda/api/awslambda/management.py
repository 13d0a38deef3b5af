"""What tools ask of every function and nobody sets here: code signing, runtime updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.model.arn import LATEST


async def get_function_code_signing_config(call: Call) -> Mapping[str, Any]:
    """No function has one, and AWS answers that with an empty document.

    Source: AWS Lambda API Reference, "GetFunctionCodeSigningConfig"; recorded answers.
    """
    name, qualifier = call.named()
    call.plane.version(name, qualifier)
    return {}


async def get_runtime_management_config(call: Call) -> Mapping[str, Any]:
    """Runtimes are this host's own and change with it, which AWS calls Auto.

    Source: AWS Lambda API Reference, "GetRuntimeManagementConfig".
    """
    name, qualifier = call.named()
    call.plane.version(name, qualifier)
    return {"UpdateRuntimeOn": "Auto", "FunctionArn": call.plane.account.function_arn(name, qualifier or LATEST)}
