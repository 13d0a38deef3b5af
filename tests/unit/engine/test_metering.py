"""Billing and the lines AWS writes."""

from __future__ import annotations

import json

import pytest

from jupyter_lambda.engine.metering import Price, billed_ms, end_lines, start_line
from jupyter_lambda.engine.outcomes import exit_text, judge
from jupyter_lambda.model.invocation import InvocationRecord
from jupyter_lambda.sandbox.base import Exit, InitOutcome, SandboxOutcome


@pytest.mark.parametrize(
    ("duration", "increment", "billed"),
    [(0.0, 100, 100), (0.1, 100, 100), (100.0, 100, 100), (100.01, 100, 200), (1.2, 1, 2), (3000, 1, 3000)],
)
def test_billed_duration_is_rounded_up(duration, increment, billed):
    assert billed_ms(duration, increment) == billed


def test_price_of_gb_seconds_and_requests():
    assert Price(0.5, 0.25).of(gb_s=4, requests=2) == 2.5


def record(**changes):
    values = {
        "request_id": "id",
        "function_name": "f",
        "version": "$LATEST",
        "source": "sdk",
        "status": "success",
        "received_s": 0.0,
        "started_s": 0.0,
        "queue_ms": 0.0,
        "init_ms": None,
        "run_ms": 12.345,
        "billed_ms": 13,
        "memory_mb": 128,
        "memory_used_mb": 31,
        "cold": False,
    }
    return InvocationRecord(**(values | changes))


def test_report_line_as_aws_writes_it():
    assert start_line("id", "$LATEST") == b"START RequestId: id Version: $LATEST\n"
    assert end_lines(record(init_ms=101.5)) == (
        b"END RequestId: id\n"
        b"REPORT RequestId: id\tDuration: 12.35 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\t"
        b"Max Memory Used: 31 MB\tInit Duration: 101.50 ms\t\n"
    )


def test_report_names_what_the_platform_saw():
    text = end_lines(record(status="timeout", error_type="Sandbox.Timedout")).decode()
    assert text.endswith("\tStatus: timeout\t\n")
    text = end_lines(record(status="oom", error_type="Runtime.OutOfMemory", memory_used_mb=140)).decode()
    assert "Max Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory" in text
    assert "Status" not in end_lines(record(status="error", error_type="ValueError")).decode()


@pytest.mark.parametrize(
    ("exit_", "text"),
    [
        (Exit(1), "Runtime exited with error: exit status 1"),
        (Exit(0), "Runtime exited without providing a reason"),
        (None, "Runtime exited without providing a reason"),
        (Exit(None, 11), "Runtime exited with error: signal: segmentation fault"),
        (Exit(137, oom_killed=True), "Runtime exited with error: signal: killed"),
        (Exit(139), "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_how_an_exit_is_worded(exit_, text):
    assert exit_text(exit_) == text


@pytest.mark.parametrize(
    ("outcome", "status", "error_type", "message"),
    [
        (SandboxOutcome("timeout", b"", 3000.0), "timeout", "Sandbox.Timedout", "Task timed out after 3.00 seconds"),
        (SandboxOutcome("exit", b"", 1.0, exit=Exit(1)), "exit", "Runtime.ExitError", "exit status 1"),
        (SandboxOutcome("oom", b"", 1.0), "oom", "Runtime.ExitError", "signal: killed"),
        (SandboxOutcome("too_large", b"", 1.0), "too_large", "Function.ResponseSizeTooLarge", "6291556 bytes"),
        (SandboxOutcome("cancelled", b"", 1.0), "cancelled", "Sandbox.Cancelled", "stopped by the caller"),
        (InitOutcome("exit", 1.0, exit=Exit(2)), "init_error", "Runtime.ExitError", "exit status 2"),
        (InitOutcome("timeout", 1.0), "timeout", "Sandbox.Timedout", "Task timed out"),
    ],
)
def test_platform_errors_are_worded_as_aws_words_them(outcome, status, error_type, message):
    verdict = judge(outcome, "id", 3)
    document = json.loads(verdict.payload)
    assert (verdict.status, verdict.function_error) == (status, "Unhandled")
    assert document["errorType"] == error_type
    assert message in document["errorMessage"]


def test_a_functions_own_error_passes_through_untouched():
    verdict = judge(SandboxOutcome("error", b'{"errorType":"E"}', 1.0, error_type="E"), "id", 3)
    assert (verdict.payload, verdict.error_type, verdict.log_line) == (b'{"errorType":"E"}', "E", "")
    verdict = judge(InitOutcome("error", 1.0, b"{}", "Runtime.ImportModuleError"), "id", 3)
    assert (verdict.status, verdict.error_type) == ("init_error", "Runtime.ImportModuleError")


def test_a_system_failure_is_not_the_functions():
    assert judge(SandboxOutcome("system", b"", 0.0), "id", 3).function_error is None
