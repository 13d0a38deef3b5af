"""What the engine is told at start, as plain values; the traitlets behind them are in config.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import Account


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Durations in seconds, sizes in MB, prices in US dollars."""

    account: Account = field(default_factory=Account)
    #: Concurrent executions of the whole account.
    concurrency_limit: int = limits.CONCURRENCY_DEFAULT
    #: Network of functions that don't choose one: "none" or "egress".
    default_network: str = "egress"
    #: Billed duration is rounded up to a multiple of this many milliseconds; 1 is AWS's today.
    billing_increment_ms: int = 100
    #: Price of a GB-second and of one request (AWS, x86_64, us-east-1, first tier).
    price_gb_s: float = 0.0000166667
    price_request: float = 0.0000002
    #: Price of a GB-second of provisioned concurrency (the same).
    price_provisioned_gb_s: float = 0.0000041667
    #: An idle environment is stopped after this long, while nothing better is learned of its function.
    keep_alive_s: float = 600.0
    #: Whether keep-alive follows each function's arrivals, and the bounds of what is learned.
    keep_alive_learned: bool = True
    keep_alive_min_s: float = 60.0
    keep_alive_max_s: float = 14_400.0
    #: Idle time, in multiples of ``keep_alive_s``, that avoiding a cold start is worth.
    cold_start_worth: float = 2.0
    #: An environment is started ahead of its next invocation only if ending it first frees its memory for this long.
    prewarm_min_s: float = 120.0
    #: A function beyond its share of memory gives up environments once another has waited for this long.
    yield_after_s: float = 1.0
    #: A busy environment is waited for at most this many starts' time before another is started; 0: never.
    patience: float = 1.0
    #: Starts from nothing beyond which those ahead of need wait.
    starts_at_once: int = 2
    #: Memory that all environments together may be promised; None: three quarters of the host's.
    memory_budget_mb: int | None = None
    #: An invocation waits this long for an environment before it is throttled.
    queue_timeout_s: float = 60.0
    #: Environments that one function may start within ten seconds.
    scaling_per_10s: int = 1_000
    #: An idle environment is frozen after this long; None: never.
    freeze_delay_s: float | None = 0.1
    #: Generic containers of the default kind that are kept ready.
    warm_containers: int = 2
    #: MB that all generic containers together are counted with at most.
    warm_memory_mb: int = 1_024
    #: A container with a function's imports is kept ready for this long after the function last needed one.
    warm_imports_s: float = 1_800.0
    #: Invocations of asynchronous events that may run at once.
    event_concurrency: int = 64
    #: Seconds before the first and second retry of an asynchronous event after a function error.
    event_retry_delays_s: tuple[float, float] = (60.0, 120.0)
    #: A throttled or system-failed asynchronous event backs off from the first of these to the second.
    event_backoff_s: tuple[float, float] = (1.0, 300.0)
    #: What becomes of a schedule's ticks that were missed while no engine ran, and how many fire at most.
    missed_ticks: Literal["once", "skip", "all"] = "once"
    missed_ticks_max: int = 100
    #: Records the ledger keeps; the oldest go first, their totals stay.
    ledger_max_records: int = 1_000_000
    #: MB of log kept for each function.
    log_cap_mb: int = 64
    #: MB that the state directory may hold, logs of all functions first; 0: whatever its parts' own limits allow.
    state_cap_mb: int = 20_480
    #: Interpreters of host runtime environments; the first is the engine's own, the default.
    interpreters: tuple[Path, ...] = ()
    #: Runtime identifier → local image that provides it, for runtimes the host's interpreters don't cover.
    runtime_images: Mapping[str, str] = field(default_factory=dict)
    #: Actions that a function's own credentials allow; "*" at the end matches any rest.
    function_permissions: tuple[str, ...] = (
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
    )
    #: Where S3, SQS and their like live: "auto", "embedded", "endpoint", "aws" or "none".
    cloud: str = "auto"
    #: Server of the embedded cloud: "auto", "ministack" or "moto".
    cloud_server: str = "auto"
    #: For "endpoint".
    aws_endpoint_url: str = ""
    #: Whose keys an endpoint or AWS gets; "": those of the environment.
    aws_profile: str = ""
    #: Whether functions may use AWS with these keys.
    aws_for_functions: bool = False
    #: Host names, besides loopback's, under which the endpoint may be addressed.
    allowed_hosts: tuple[str, ...] = ()
