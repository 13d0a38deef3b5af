"""Every option, as traitlets: what it means, its unit, its default and the reason for that.

Set them in ``jupyter_lambda_config.py`` (``c.LambdaEngine.…``; ``jupyter lambda serve --generate-config`` writes one),
in ``jupyter_server_config.py`` (``c.LambdaServer.…``), or on the command line (``--LambdaEngine.keep_alive_s=60``).
Inner code never sees these classes: ``cli/settings.py`` and ``server/`` turn them into plain values.
"""

from __future__ import annotations

import re
from typing import Any

from traitlets import Bool, CaselessStrEnum, Dict, Enum, Float, Int, List, TraitError, Tuple, Unicode, validate
from traitlets.config import Configurable

from .model import limits

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")
_ACCESS_KEY = re.compile(r"[A-Z0-9]{16,128}")


class LambdaEngine(Configurable):
    """The engine (``jupyter lambda serve``)."""

    region = Unicode(
        "us-east-1",
        help="AWS region that the engine says it is in. Default us-east-1: what AWS's own examples use.",
    ).tag(config=True)
    account_id = Unicode(
        "000000000000",
        help="AWS account id that the engine says it is, 12 digits. Default all zeros: no real account has it.",
    ).tag(config=True)
    access_key = Unicode(
        "",
        help="Access key id of the owner, 16 to 128 capital letters and digits. Default empty: one is generated at the "
        "first start and kept in the state directory's file `credentials`; the secret is always generated.",
    ).tag(config=True)
    port = Int(
        0,
        min=0,
        max=65535,
        help="TCP port on 127.0.0.1. Default 0: the system chooses a free one, so that several engines never collide, "
        "and later starts take it again; `jupyter lambda env` tells it.",
    ).tag(config=True)
    driver = CaselessStrEnum(
        ["auto", "docker", "process"],
        default_value="auto",
        help="What functions run in. docker: one hardened container each. process: plain processes, NOT isolated. "
        "Default auto: docker where an engine answers, else process with a warning, so that it works everywhere.",
    ).tag(config=True)
    docker_url = Unicode(
        "",
        help="Address of the Docker engine, e.g. unix:///run/user/1000/docker.sock. Default empty: DOCKER_HOST, else "
        "Docker's usual socket.",
    ).tag(config=True)
    transport = Enum(
        ["unix", "tcp"],
        default_value="unix",
        help="How containers reach the engine. Default unix: a socket in a mounted directory, the engine listens "
        "nowhere beyond loopback. tcp: with a token per sandbox, where sockets can't cross (Docker Desktop).",
    ).tag(config=True)
    default_network = Enum(
        ["egress", "none"],
        default_value="egress",
        help="Network of functions that don't choose one. Default egress: they reach the internet as on AWS, but not "
        "each other. none: nothing but the engine's AWS endpoint.",
    ).tag(config=True)
    concurrency_limit = Int(
        limits.CONCURRENCY_DEFAULT,
        min=1,
        help="Invocations that may run at once in the whole account; more are throttled. Default 1000: AWS's quota.",
    ).tag(config=True)
    billing_increment_ms = Int(
        100,
        min=1,
        help="Milliseconds; billed duration is rounded up to a multiple. Default 100, as the product's specification "
        "says; 1 is what AWS does today.",
    ).tag(config=True)
    price_gb_s = Float(
        0.0000166667,
        min=0,
        help="US dollars for a GB-second. Default: AWS's for x86_64 in us-east-1, first tier.",
    ).tag(config=True)
    price_request = Float(
        0.0000002, min=0, help="US dollars for one request. Default: AWS's, 0.20 dollars a million."
    ).tag(config=True)
    price_provisioned_gb_s = Float(
        0.0000041667,
        min=0,
        help="US dollars for a GB-second of provisioned concurrency, used or not. Default: AWS's for x86_64 in "
        "us-east-1.",
    ).tag(config=True)
    keep_alive_s = Float(
        600.0,
        min=0,
        help="Seconds after which an idle environment is stopped, as long as nothing better is learned of its function "
        "(keep_alive_learned). Default 600: long enough to stay warm while one writes the next cell, short enough to "
        "give memory back.",
    ).tag(config=True)
    keep_alive_learned = Bool(
        True,
        help="Whether an idle environment is kept for as long as its function's arrivals make likely to be of use, "
        "and started again ahead of a call that is foreseen. Default True; False: keep_alive_s for all.",
    ).tag(config=True)
    keep_alive_min_s = Float(
        60.0,
        min=0,
        help="Seconds: the shortest keep-alive that is learned. Default 60: a break in a burst ends nothing.",
    ).tag(config=True)
    keep_alive_max_s = Float(
        14_400.0,
        min=0,
        help="Seconds: the longest keep-alive that is learned. Default 14400: what comes less often than every four "
        "hours pays for its start.",
    ).tag(config=True)
    cold_start_worth = Float(
        2.0,
        min=0,
        help="What avoiding a cold start is worth when keep-alive is learned: idling for so many times keep_alive_s. "
        "Default 2: fewer cold starts than with a fixed time, for less idle memory.",
    ).tag(config=True)
    prewarm_min_s = Float(
        120.0,
        min=0,
        help="Seconds for which memory must be freed for an environment to be ended and started again ahead of its "
        "next invocation. Default 120: what is needed sooner stays.",
    ).tag(config=True)
    yield_after_s = Float(
        1.0,
        min=0,
        help="Seconds that a function waits for memory before one beyond its fair share gives up environments as they "
        "become free. Default 1: a passing burst takes nothing away.",
    ).tag(config=True)
    patience = Float(
        1.0,
        min=0,
        help="How many starts' time an invocation may wait for a busy environment, where that is likely to be free "
        "sooner than a new one is up. Default 1. 0: one start for every waiting invocation, as AWS does.",
    ).tag(config=True)
    starts_at_once = Int(
        2,
        min=1,
        help="Starts of containers in flight beyond which those ahead of need wait. Default 2: more only delay each "
        "other on a small machine.",
    ).tag(config=True)
    memory_budget_mb = Int(
        None,
        allow_none=True,
        min=limits.MEMORY_MIN_MB,
        help="MB that all environments together may be promised. Default None: three quarters of the host's, so that "
        "the notebook itself has room.",
    ).tag(config=True)
    queue_timeout_s = Float(
        60.0,
        min=0,
        help="Seconds that an invocation waits for an environment before it is throttled. Default 60: most bursts "
        "on one machine pass within that.",
    ).tag(config=True)
    scaling_per_10s = Int(
        1_000,
        min=1,
        help="Environments that one function may start within ten seconds. Default 1000: AWS's quota.",
    ).tag(config=True)
    freeze_delay_s = Float(
        0.1,
        min=0,
        allow_none=True,
        help="Seconds after which an idle environment is frozen: nothing in it runs until its next invocation. None: "
        "never. Default 0.1: an environment in steady use is never frozen and thawed in between (AWS freezes at once).",
    ).tag(config=True)
    busy_poll_us = Int(
        200,
        min=0,
        max=10_000,
        help="Microseconds for which the engine looks for the answer of an invocation that runs alone before it sleeps:"
        " waking a core takes longer than a short invocation. 0: never. Default 200: what it costs in CPU it saves in "
        "wake-ups; under load it does not happen.",
    ).tag(config=True)
    warm_containers = Int(
        2,
        min=0,
        help="Generic containers that are kept ready, so that a cold start takes milliseconds: with the engine's own "
        "interpreter and the default network. 0: none. Default 2: a burst of two finds them, and they hold about "
        "20 MB; as many as a burst has make the whole burst fast.",
    ).tag(config=True)
    warm_memory_mb = Int(
        1_024,
        min=0,
        help="MB that all generic containers together are counted with at most: 16 for one, 96 for one that has "
        "imported what a function was seen to import. Default 1024: ten functions with large imports.",
    ).tag(config=True)
    warm_imports_s = Float(
        1_800.0,
        min=0,
        help="Seconds that a container with a function's imports is kept ready after the function last needed one. "
        "Default 1800: a working session's pauses.",
    ).tag(config=True)
    event_concurrency = Int(
        64,
        min=1,
        help="Asynchronous events that may run at once. Default 64: leaves the rest of the account's concurrency to "
        "callers who wait.",
    ).tag(config=True)
    event_retry_delays_s = Tuple(
        Float(min=0),
        Float(min=0),
        default_value=(60.0, 120.0),
        help="Seconds before the first and the second retry of an asynchronous event whose function failed. Default "
        "60, 120: AWS's.",
    ).tag(config=True)
    event_backoff_s = Tuple(
        Float(min=0.01),
        Float(min=0.01),
        default_value=(1.0, 300.0),
        help="Seconds between tries of an asynchronous event that was throttled or hit a system error: first and "
        "longest. Default 1, 300: AWS's.",
    ).tag(config=True)
    missed_ticks = CaselessStrEnum(
        ["once", "skip", "all"],
        default_value="once",
        help="What becomes of a schedule's ticks that were missed by more than a minute, while no engine ran or the "
        "machine slept. once: one run makes up for all. skip: none. all: each runs, the latest missed_ticks_max of "
        "them. Default once: a report that was due in the night is there in the morning, and nothing floods.",
    ).tag(config=True)
    missed_ticks_max = Int(
        100,
        min=1,
        help="Ticks of one schedule that run at most when missed ones are caught up with (missed_ticks = all). Default "
        "100: what a schedule of every minute misses in an hour and a half.",
    ).tag(config=True)
    ledger_max_records = Int(
        1_000_000,
        min=1000,
        help="Records of single invocations that are kept; the oldest go first and their totals stay. Default a "
        "million: about 300 MB.",
    ).tag(config=True)
    log_cap_mb = Int(
        64, min=1, help="MB of log kept for each function; the oldest goes first. Default 64: weeks of ordinary use."
    ).tag(config=True)
    state_cap_mb = Int(
        20_480,
        min=0,
        help="MB that the state directory may hold; above it the oldest log lines go first, those of deleted functions "
        "before all others. 0: no limit but those of its parts. Default 20480: 10 GB of logs and as much of functions, "
        "on a laptop's disk.",
    ).tag(config=True)
    drain_timeout_s = Float(
        30.0,
        min=0,
        help="Seconds that work in flight may take to finish when the engine stops. Default 30: what service managers "
        "and Docker wait before they kill.",
    ).tag(config=True)
    interpreters = List(
        Unicode(),
        help="Python interpreters (absolute paths) that functions may run in, besides the engine's own and those of "
        "the installed Jupyter kernels. Default none.",
    ).tag(config=True)
    host_paths = List(
        Unicode(),
        help="Directories of this host that sandboxes may read, besides the interpreters' own: shared data, packages "
        "installed elsewhere. Default none: what a function can read is decided here and never by a request.",
    ).tag(config=True)
    runtime_images = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Runtime identifier → local Docker image that provides it, e.g. {'nodejs22.x': "
        "'public.ecr.aws/lambda/nodejs:22'}. Default none: only this host's interpreters.",
    ).tag(config=True)
    function_permissions = List(
        Unicode(),
        default_value=[
            "lambda:InvokeFunction",
            "lambda:InvokeFunctionUrl",
            "lambda:InvokeAsync",
            "lambda:Get*",
            "lambda:List*",
            "cloudwatch:PutMetricData",
            "cloudwatch:GetMetric*",
            "cloudwatch:ListMetrics",
            "logs:Describe*",
            "logs:GetLogEvents",
            "s3:AbortMultipartUpload",
            "s3:CompleteMultipartUpload",
            "s3:CopyObject",
            "s3:CreateBucket",
            "s3:CreateMultipartUpload",
            "s3:DeleteObject*",
            "s3:GetBucketLocation",
            "s3:GetObject*",
            "s3:Head*",
            "s3:List*",
            "s3:PutObject*",
            "s3:UploadPart*",
            "sqs:*",
            "kinesis:*",
            "dynamodb:*",
            "sns:Get*",
            "sns:List*",
            "sns:Publish*",
            "events:PutEvents",
            "secretsmanager:GetSecretValue",
            "ssm:GetParameter*",
            "kms:Decrypt",
            "kms:Encrypt",
            "kms:GenerateDataKey*",
            "sts:GetCallerIdentity",
        ],
        help="Actions that functions may call with their own credentials, by the names of the operations; * at the end "
        "matches any rest. Default: invoke, read, publish metrics, and use the data of buckets, queues, streams and "
        "tables, so that one function can call another but none can change any, or what fires it.",
    ).tag(config=True)
    cloud = CaselessStrEnum(
        ["auto", "embedded", "endpoint", "aws", "none"],
        default_value="auto",
        help="Where S3, SQS, SNS, Kinesis, DynamoDB and their like live, which fire functions and which functions use. "
        "embedded: a server that the engine starts when something first needs it and stops with itself (pip install "
        "jupyter-lambda[cloud]). endpoint: at aws_endpoint_url. aws: at AWS, by aws_profile. none: nowhere. Default "
        "auto: aws_endpoint_url or aws_profile where one is set, else embedded where a server is installed, else none.",
    ).tag(config=True)
    cloud_server = CaselessStrEnum(
        ["auto", "ministack", "moto"],
        default_value="auto",
        help="The server of the embedded cloud. ministack keeps its data in the state directory; moto forgets at stop. "
        "Default auto: the first of them that is installed; docs/cloud.md compares them.",
    ).tag(config=True)
    aws_endpoint_url = Unicode(
        "",
        help="Address of a server that speaks S3, SQS and so on, e.g. http://127.0.0.1:4566, for cloud = endpoint. Its "
        "keys come from aws_profile or AWS's variables in the engine's environment. Default empty: none.",
    ).tag(config=True)
    aws_profile = Unicode(
        "",
        help="Profile in AWS's own configuration whose keys the engine uses for cloud = aws (region and account_id "
        "must be the real ones). Default empty: with cloud = aws, AWS's default credentials.",
    ).tag(config=True)
    aws_for_functions = Bool(
        False,
        help="Whether functions may use AWS through the engine with the keys of aws_profile, within "
        "function_permissions; only for cloud = aws. Default False: they are the owner's own keys.",
    ).tag(config=True)
    allowed_hosts = List(
        Unicode(),
        help="Host names, besides loopback's, under which the endpoint may be addressed (the Host header). Default "
        "none: a web page can't reach the engine by a name that it made point here.",
    ).tag(config=True)

    @validate("region")
    def _valid_region(self, proposal: dict[str, Any]) -> str:
        return _matching(proposal, _REGION, "an AWS region such as eu-central-1")

    @validate("aws_endpoint_url")
    def _valid_endpoint_url(self, proposal: dict[str, Any]) -> str:
        return str(proposal["value"]) and _matching(proposal, _URL, "an address such as http://127.0.0.1:4566")

    @validate("account_id")
    def _valid_account_id(self, proposal: dict[str, Any]) -> str:
        return _matching(proposal, re.compile(r"\d{12}"), "12 digits")

    @validate("access_key")
    def _valid_access_key(self, proposal: dict[str, Any]) -> str:
        return str(proposal["value"]) and _matching(proposal, _ACCESS_KEY, "16 to 128 capital letters and digits")


class LambdaServer(Configurable):
    """The engine as the Jupyter server looks after it."""

    engine_url = Unicode(
        "",
        help="Address of an engine that runs elsewhere, for a class or a lab; none is started then, and its "
        "credentials come from JUPYTER_LAMBDA_ACCESS_KEY_ID and JUPYTER_LAMBDA_SECRET_ACCESS_KEY in the server's "
        "environment. Default empty: an own engine on this machine.",
    ).tag(config=True)
    state_dir = Unicode(
        "",
        help="Directory of the engine's functions, logs and queue. Default empty: JUPYTER_LAMBDA_STATE_DIR, else "
        "`lambda` in Jupyter's data directory, so that functions outlive the server.",
    ).tag(config=True)
    autostart = Enum(
        ["demand", "always", "never"],
        default_value="demand",
        help="When the server starts an engine. Default demand: at the first use of it, so that a server that doesn't "
        "use it costs nothing. always: with the server. never: somebody else starts it.",
    ).tag(config=True)
    stop_engine = Bool(
        True,
        help="Whether an engine that this server started stops with it. Default True: nothing is left running. False: "
        "schedules and queued work go on.",
    ).tag(config=True)
    restart_limit = Int(
        5,
        min=0,
        help="Times within ten minutes that an engine that died is started again before the server gives up and shows "
        "why. Default 5: enough for a passing fault, few enough not to hide a lasting one.",
    ).tag(config=True)
    max_body_mb = Int(
        80,
        min=1,
        help="MB of a request that the proxy passes to the engine. Default 80: AWS's 50 MB zip as base64, and some.",
    ).tag(config=True)


def _matching(proposal: dict[str, Any], pattern: re.Pattern[str], what: str) -> str:
    value = str(proposal["value"])
    if not pattern.fullmatch(value):
        raise TraitError(f"{proposal['trait'].name} must be {what}, not {value!r}")
    return value
