"""Packages that a request names by bucket and key: fetched from the cloud that this engine uses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model import limits


async def fetched(call: Call, given: Mapping[str, Any]) -> bytes | None:
    """The package that S3Bucket, S3Key and S3ObjectVersion name; None where they name none.

    Raises:
        InvalidParameterValueException: It can't be had, in AWS's words.
        ServiceUnavailableException: There is no cloud.
    """
    bucket, key, version = given.get("S3Bucket"), given.get("S3Key"), given.get("S3ObjectVersion")
    if not bucket and not key:
        return None
    if not bucket or not key:
        raise InvalidParameterValueException("Please provide both S3Bucket and S3Key.")
    from botocore.exceptions import BotoCoreError, ClientError

    params = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
    cloud = call.triggers.cloud
    try:
        with contextlib.suppress(ClientError):  # an answer without a body; GetObject says what is wrong
            size = (await cloud.call("s3", "HeadObject", params)).get("ContentLength", 0)
            if size > limits.UNZIPPED_MAX_BYTES:  # not fetched at all
                raise InvalidParameterValueException(
                    f"Unzipped size must be smaller than {limits.UNZIPPED_MAX_BYTES} bytes"
                )
        body = (await cloud.call("s3", "GetObject", params))["Body"]
    except ClientError as exc:
        error = exc.response.get("Error", {})
        raise InvalidParameterValueException(
            f"Error occurred while GetObject. S3 Error Code: {error.get('Code', 'Unknown')}. S3 Error Message: "
            f"{error.get('Message', '')}"
        ) from exc
    except BotoCoreError as exc:
        raise InvalidParameterValueException(f"Error occurred while GetObject. {exc}") from exc
    return bytes(body)
