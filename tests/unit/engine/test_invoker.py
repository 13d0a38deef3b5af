"""One invocation's way through the service: environments, throttles, failures, cancellation, records."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from jupyter_lambda.errors import (
    DriverError,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    TooManyRequestsException,
)
from jupyter_lambda.model.arn import FunctionName
from jupyter_lambda.model.function import Alias
from jupyter_lambda.model.invocation import Invocation
from jupyter_lambda.sandbox.base import Exit, InitOutcome, SandboxOutcome

from .conftest import answer, version_of


def invocation(
    payload: bytes = b"{}", *, name: str = "f", version: str = "$LATEST", request_id: str = ""
) -> Invocation:
    return Invocation(request_id or str(uuid.uuid4()), name, version, "arn", payload, received_s=1.0)


async def settle(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_cold_then_warm(service, function, sandboxes, store):
    cold = await service.invoke(invocation(b'{"n": 1}'))
    warm = await service.invoke(invocation(b'{"n": 2}'))
    assert (cold.payload, warm.payload) == (b'{"n": 1}', b'{"n": 2}')
    assert (cold.record.cold, cold.record.init_ms) == (True, 5.0)
    assert (warm.record.cold, warm.record.init_ms) == (False, None)
    assert len(sandboxes.started) == 1
    await store.ledger.flush()
    assert store.ledger.get(warm.record.request_id).billed_ms == 100
    assert cold.record.gb_s == pytest.approx(128 / 1024 * 0.1)


async def test_log_tail_runs_from_start_to_report(service, function):
    result = await service.invoke(invocation())
    lines = result.log_tail.decode().splitlines()
    assert lines[0] == f"START RequestId: {result.record.request_id} Version: $LATEST"
    assert lines[1] == "output"
    assert lines[2] == f"END RequestId: {result.record.request_id}"
    assert "Init Duration: 5.00 ms" in lines[3]


async def test_log_tail_is_at_most_4_kb(service, function, sandboxes):
    async def wordy(sandbox, event):
        sandbox.log_tail = lambda request_id: b"x" * 4096
        return answer(1)

    sandboxes.behaviour = wordy
    assert len((await service.invoke(invocation())).log_tail) == 4096


async def test_environment_sees_awss_variables_and_its_own_credentials(service, store, sandboxes):
    from jupyter_lambda.model.function import Function

    await store.functions.create(Function("g", version_of("g", environment={"K": "V", "TZ": "UTC"}, memory_mb=256)))
    await service.invoke(invocation(name="g"))
    spec = sandboxes.started[0].spec
    seen = spec.environment
    assert (seen["K"], seen["TZ"]) == ("V", "UTC")
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "g"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert seen["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/g"
    assert "[$LATEST]" in seen["AWS_LAMBDA_LOG_STREAM_NAME"]
    credential = service.credentials.lookup(seen["AWS_ACCESS_KEY_ID"])
    assert credential.function_name == "g"
    assert credential.secret_key == seen["AWS_SECRET_ACCESS_KEY"] != service.credentials.owner.secret_key
    assert spec.image == "sha256:" + "0" * 64


async def test_concurrent_invocations_get_an_environment_each(service, function, sandboxes):
    leave = asyncio.Event()

    async def slow(sandbox, event):
        await leave.wait()
        return answer(sandbox.sandbox_id)

    sandboxes.behaviour = slow
    calls = [asyncio.create_task(service.invoke(invocation())) for _ in range(5)]
    await settle(lambda: sum(s.busy for s in sandboxes.started) == 5)
    leave.set()
    results = await asyncio.gather(*calls)
    assert len({r.payload for r in results}) == 5


async def test_reserved_concurrency_throttles_and_is_counted(service, function, store):
    await store.functions.put(replace(function, reserved_concurrency=0))
    with pytest.raises(TooManyRequestsException) as caught:
        await service.invoke(invocation())
    assert caught.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    await store.ledger.flush()
    assert [s.throttles for s in store.ledger.stats()] == [1]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (SandboxOutcome("error", b'{"errorType":"E"}', 1.0, "E"), "error"),
        (SandboxOutcome("timeout", b"", 3000.0, reusable=False), "timeout"),
        (SandboxOutcome("exit", b"", 1.0, exit=Exit(1), reusable=False), "exit"),
        (SandboxOutcome("oom", b"", 1.0, reusable=False), "oom"),
        (SandboxOutcome("too_large", b"", 1.0), "too_large"),
    ],
)
async def test_a_failing_function_is_a_result(service, function, sandboxes, outcome, status):
    async def fail(sandbox, event):
        return outcome

    sandboxes.behaviour = fail
    result = await service.invoke(invocation())
    assert result.function_error == "Unhandled"
    assert result.record.status == status
    await settle(lambda: bool(sandboxes.alive) == outcome.reusable)


async def test_failed_initialisation_is_told_and_the_next_one_starts_afresh(service, function, sandboxes):
    sandboxes.init_outcomes = [InitOutcome("error", 7.0, b'{"errorType":"Runtime.ImportModuleError"}', "X")]
    result = await service.invoke(invocation())
    assert (result.record.status, result.payload) == ("init_error", b'{"errorType":"Runtime.ImportModuleError"}')
    assert result.record.init_ms == 7.0
    assert (await service.invoke(invocation())).record.status == "success"
    await settle(lambda: len(sandboxes.alive) == 1)


async def test_driver_failure_is_a_service_exception(service, function, sandboxes):
    sandboxes.start_errors = [DriverError("docker is gone")]
    with pytest.raises(ServiceException, match="docker is gone"):
        await service.invoke(invocation())
    assert (await service.invoke(invocation())).record.status == "success"


async def test_system_failure_is_recorded_and_raised(service, function, sandboxes, store):
    async def fail(sandbox, event):
        return SandboxOutcome("system", b"", 1.0, reusable=False)

    sandboxes.behaviour = fail
    request = invocation()
    with pytest.raises(ServiceException, match="no fault of the function"):
        await service.invoke(request)
    await store.ledger.flush()
    assert store.ledger.get(request.request_id).status == "system"


async def test_environment_that_died_before_the_event_is_replaced_silently(service, function, sandboxes):
    async def die_once(sandbox, event):
        if sandbox is sandboxes.started[0]:
            return SandboxOutcome("exit", b"", 0.0, exit=Exit(1), reusable=False, delivered=False)
        return answer("ok")

    sandboxes.behaviour = die_once
    assert (await service.invoke(invocation())).payload == b'"ok"'
    assert len(sandboxes.started) == 2


async def test_environment_that_ends_while_idle_is_forgotten(service, function, sandboxes):
    await service.invoke(invocation())
    sandboxes.started[0].exited.set_result(Exit(1))
    await settle(lambda: not service.environments())
    await service.invoke(invocation())
    assert len(sandboxes.started) == 2


async def test_cancel_a_running_invocation(service, function, sandboxes):
    async def hang(sandbox, event):
        await sandbox.cancelled.wait()
        return SandboxOutcome("cancelled", b"", 5.0, reusable=False)

    sandboxes.behaviour = hang
    request = invocation()
    call = asyncio.create_task(service.invoke(request))
    await settle(lambda: any(s.busy for s in sandboxes.started))
    assert service.running()[0]["state"] == "running"
    assert service.cancel(request.request_id) is True
    assert (await call).record.status == "cancelled"
    assert service.cancel(request.request_id) is False


async def test_cancel_a_waiting_invocation(service, function, sandboxes):
    sandboxes.gate.clear()
    request = invocation()
    call = asyncio.create_task(service.invoke(request))
    await settle(lambda: service.running())
    assert service.cancel(request.request_id) is True
    result = await call
    assert (result.record.status, result.record.billed_ms) == ("cancelled", 0)
    sandboxes.gate.set()
    assert (await service.invoke(invocation())).record.status == "success"


async def test_caller_that_is_cancelled_leaves_no_busy_environment(service, function, sandboxes):
    async def hang(sandbox, event):
        await asyncio.Event().wait()

    sandboxes.behaviour = hang
    call = asyncio.create_task(service.invoke(invocation()))
    await settle(lambda: any(s.busy for s in sandboxes.started))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await settle(lambda: not service.environments())


async def test_changed_function_runs_its_new_revision(service, function, store, sandboxes):
    await service.invoke(invocation())
    await store.functions.put(replace(function, latest=version_of(revision_id="r2")))
    await service.retire("f")
    await settle(lambda: not sandboxes.alive)
    await service.invoke(invocation())
    assert len(sandboxes.started) == 2


async def test_retire_leaves_what_has_not_changed(service, function, sandboxes):
    await service.invoke(invocation())
    await service.retire("f")
    await service.invoke(invocation())
    assert len(sandboxes.started) == 1


async def test_draining_refuses_and_lets_the_rest_finish(service, function, sandboxes):
    leave = asyncio.Event()

    async def slow(sandbox, event):
        await leave.wait()
        return answer("done")

    sandboxes.behaviour = slow
    call = asyncio.create_task(service.invoke(invocation()))
    await settle(lambda: any(s.busy for s in sandboxes.started))
    draining = asyncio.create_task(service.drain(5))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailableException):
        await service.invoke(invocation())
    leave.set()
    assert (await call).payload == b'"done"'
    await draining


async def test_resolve(service, function, store):
    assert service.resolve(FunctionName("f")).version == "$LATEST"
    one, two = version_of().as_version(1), version_of().as_version(2)
    await store.functions.publish(replace(function, next_version=2), one)
    await store.functions.publish(replace(function, next_version=3), two)
    await store.functions.put_alias(Alias("f", "live", "1", "", "r"))
    assert service.resolve(FunctionName("f", "1")) == one
    assert service.resolve(FunctionName("f"), "live") == one
    await store.functions.put_alias(Alias("f", "live", "1", "", "r", {"2": 1.0}))
    assert service.resolve(FunctionName("f"), "live") == two
    await store.functions.put_alias(Alias("f", "live", "1", "", "r", {"2": 0.5}))
    drawn = [service.resolve(FunctionName("f"), "live").version for _ in range(400)]
    assert 120 < drawn.count("2") < 280
    for qualifier in ("3", "nobody"):
        with pytest.raises(ResourceNotFoundException, match=f"function:f:{qualifier}"):
            service.resolve(FunctionName("f"), qualifier)
    with pytest.raises(ResourceNotFoundException, match="Function not found: arn"):
        service.resolve(FunctionName("g"))
    with pytest.raises(InvalidParameterValueException, match="derived qualifier"):
        service.resolve(FunctionName("f", "1"), "2")


async def test_status_tells_what_is_there(service, function):
    await service.invoke(invocation())
    status = service.status()
    assert status["driver"] == "fake"
    assert status["environments"] == {"Idle": 1}
    assert status["functions"] == 1
    assert service.environments()[0]["function_name"] == "f"
