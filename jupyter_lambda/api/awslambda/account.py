"""Limits and usage of the account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.concurrency import taken_from_unreserved
from jupyter_lambda.model import limits


async def get_account_settings(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetAccountSettings"."""
    functions = call.service.store.functions
    concurrency = call.service.settings.concurrency_limit
    unreserved = concurrency - functions.total_reserved() - taken_from_unreserved(functions)
    return {
        "AccountLimit": {
            "TotalCodeSize": limits.CODE_STORAGE_MAX_BYTES,
            "CodeSizeUnzipped": limits.UNZIPPED_MAX_BYTES,
            "CodeSizeZipped": limits.ZIP_MAX_BYTES,
            "ConcurrentExecutions": concurrency,
            "UnreservedConcurrentExecutions": unreserved,
        },
        "AccountUsage": {"TotalCodeSize": functions.code_storage_bytes(), "FunctionCount": functions.count()},
    }
