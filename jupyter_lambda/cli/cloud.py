"""Doctor's line about the cloud: where S3, SQS and their like live, and what becomes of their data."""

from __future__ import annotations

import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.model.arn import Account
from jupyter_lambda.sandbox.base import Finding
from jupyter_lambda.triggers.cloud.embedded import installed
from jupyter_lambda.triggers.cloud.homes import Address
from jupyter_lambda.triggers.cloud.host import Cloud, CloudSettings

_CONNECT_MAX_S = 3.0


def check_cloud(traits: LambdaEngine, directory: Path) -> Finding:
    """Where the services live that buckets, queues, streams and tables need; nothing is started for it."""
    settings = CloudSettings(traits.cloud, traits.cloud_server, traits.aws_endpoint_url, traits.aws_profile)
    cloud = Cloud(settings, Account(traits.region, traits.account_id), directory)
    problem = cloud.available()
    if problem is not None and traits.cloud in ("auto", "none"):
        return Finding("ok", "cloud", f"none: {problem}")
    if problem is not None:
        return Finding("error", "cloud", problem, "install the server, or change c.LambdaEngine.cloud")
    if cloud.home == "embedded":
        return _embedded(traits.cloud_server, directory)
    if cloud.home == "endpoint":
        return _endpoint(traits.aws_endpoint_url)
    keys = f"profile {traits.aws_profile}" if traits.aws_profile else "AWS's default credentials"
    return Finding("ok", "cloud", f"AWS itself, {traits.region}, account {traits.account_id}, by {keys}")


def _embedded(wanted: str, directory: Path) -> Finding:
    server = installed(wanted)
    assert server is not None, "checked before"
    try:
        named = f"{server} {version(server)}"
    except PackageNotFoundError:
        named = server
    if server == "moto":
        advice = "pip install jupyter-lambda[cloud] brings ministack, which keeps its data"
        return Finding("warning", "cloud", f"embedded: {named}; it forgets everything when the engine stops", advice)
    return Finding("ok", "cloud", f"embedded: {named}, its data is kept in {directory / 'cloud'}")


def _endpoint(url: str) -> Finding:
    address = Address.parse(url)
    try:
        socket.create_connection((address.host, address.port), timeout=_CONNECT_MAX_S).close()
    except OSError as exc:
        advice = "start the server there, or change c.LambdaEngine.aws_endpoint_url"
        return Finding("warning", "cloud", f"{url} does not answer: {exc}", advice)
    return Finding("ok", "cloud", f"at {url}")
