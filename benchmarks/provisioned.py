"""Provisioned concurrency under open-loop arrivals: what a caller waits who does not wait for other callers."""

from __future__ import annotations

from botocore.exceptions import ClientError

from benchmarks import arrivals, echo
from benchmarks.bench import Bench, milliseconds, until
from benchmarks.engine import EVENT, Engine, Unavailable
from benchmarks.results import Outcome, Row, Series

_RATE = 200
_ENVIRONMENTS = 10
_PARTS = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


def run(bench: Bench, outcome: Outcome) -> None:
    """Poisson arrivals; the first invocation after READY counts as every other."""
    ours: dict[str, list[float]] = {name: [] for name, _ in _PARTS}
    bare: dict[str, list[float]] = {name: [] for name, _ in _PARTS}
    samples, late = 0, []
    with bench.engine() as engine, echo.running() as (port, _):
        try:
            _provision(engine)
        except Unavailable as exc:
            outcome.missing["provisioned"] = str(exc)
            return
        engine.settle()
        for number in range(bench.runs):
            times = arrivals.poisson(_RATE, 10 if not bench.quick else 0.5, seed=number)
            request = engine.request("provisioned", qualifier="1")
            mine = arrivals.run(engine.port, request, times, body=EVENT)
            engine.sent["provisioned"] = engine.sent.get("provisioned", 0) + len(times)
            reference = arrivals.run(port, request, times[: len(times) // 2], body=EVENT)
            samples += len(times)
            late += mine.late
            for name, part in _PARTS:
                ours[name].append(milliseconds(mine.latencies, part))
                bare[name].append(milliseconds(reference.latencies, part))
        outcome.checks |= engine.verify()
        cold = engine.admin.invocations("provisioned", limit=1000)["invocations"]
        outcome.checks["cold_starts_seen_by_callers"] = sum(bool(record["cold"]) for record in cold)
    for name, _ in _PARTS:
        label = f"p{name[1:3]}{'.' + name[3:] if name[3:] else ''}"
        outcome.rows.append(
            Row(
                f"provisioned.{name}", f"provisioned concurrency, {_RATE} arrivals a second, {label}", "ms", "lower",
                tuple(ours[name]), (Series("bare echo, the same arrivals", tuple(bare[name])),), samples,
                f"from when each was due; the generator itself was late by {milliseconds(late, 0.99):.2f} ms at p99",
            )
        )  # fmt: skip


def _provision(engine: Engine) -> None:
    engine.deploy("provisioned", memory_mb=512, Publish=True)
    name = {"FunctionName": "provisioned", "Qualifier": "1"}
    try:
        engine.boto3.put_provisioned_concurrency_config(**name, ProvisionedConcurrentExecutions=_ENVIRONMENTS)
    except ClientError as exc:
        if exc.response["ResponseMetadata"]["HTTPStatusCode"] == 501 or exc.response["Error"]["Code"] in (
            "NotImplemented",
            "UnknownOperationException",
        ):
            raise Unavailable("this engine has no provisioned concurrency") from exc
        raise

    def ready() -> bool:
        answer = engine.boto3.get_provisioned_concurrency_config(**name)
        if answer["Status"] == "FAILED":
            raise RuntimeError(f"provisioned concurrency failed: {answer.get('StatusReason')}")
        return bool(answer["Status"] == "READY")

    if not until(ready, 60, 0.1):
        raise RuntimeError("provisioned concurrency was not READY after 60 s")
