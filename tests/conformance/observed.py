"""What the tests of services beside Lambda share."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.session
from botocore.config import Config

REGION = "us-east-1"


def service(engine, name: str, protocol: str | None = None, credential: Any = None) -> Any:
    """A boto3 client of a service; ``protocol`` makes it speak that one of those the description lists."""
    keys = credential or engine.service.credentials.owner
    core = botocore.session.Session()
    if protocol is not None:
        loader = core.get_component("data_loader")
        loaded = loader.load_service_model

        def only(service_name: str, kind: str, api_version: str | None = None) -> Any:
            model = loaded(service_name, kind, api_version)
            if kind == "service-2":
                model = {**model, "metadata": {**model["metadata"], "protocol": protocol, "protocols": [protocol]}}
                if protocol == "query":
                    model["metadata"].pop("awsQueryCompatible", None)
            return model

        loader.load_service_model = only
    return boto3.session.Session(botocore_session=core).client(
        name,
        endpoint_url=engine.url,
        region_name=REGION,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, proxies={}),
    )


def invocations(function_arn: str) -> str:
    """The URI by which API Gateway names a function."""
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function_arn}/invocations"
