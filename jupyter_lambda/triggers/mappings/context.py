"""What a poller is given: the cloud, its mapping, and ways to invoke, wait, filter and tell how it goes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError, ResourceNotFoundException, TooManyRequestsException
from jupyter_lambda.model.arn import FunctionName
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.model.invocation import Invocation, InvocationResult
from jupyter_lambda.model.mapping import CALL_FAILED, OK, EventSourceMapping
from jupyter_lambda.store.mappings import Mappings as Rows

from .backoff import Backoff
from .counts import FAILED, Counts
from .filters import Filters

log = logging.getLogger(__name__)

#: Seconds between attempts where the function is throttled or the engine can't run it: first, and longest.
THROTTLE_FIRST_S, THROTTLE_LONGEST_S = 0.2, 30.0


class Cloud(Protocol):
    """Where sources and destinations live."""

    def available(self) -> str | None:
        """None, or why there is no cloud."""

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One operation of AWS; raises botocore's ClientError and what else can go wrong on the way."""


class Stopped(Exception):
    """The poller is to stop, and what it was doing counts as not done."""


class Throttled(Exception):
    """The function could not be reached for as long as the poller would wait; the message says why."""


class SourceProblem(Exception):
    """The source can't be read now; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one invocation that reached the function."""

    request_id: str
    #: None or "Unhandled".
    function_error: str | None
    payload: bytes
    executed_version: str

    @property
    def ok(self) -> bool:
        """The function answered."""
        return self.function_error is None


class Context:
    """One mapping's, from one start of its poller to the end."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        *,
        service: LambdaService,
        rows: Rows,
        cloud: Cloud,
        counts: Counts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.mapping = mapping
        self.options = mapping.options
        self.rows = rows
        self.cloud = cloud
        self.counts = counts
        self.clock = clock
        self.filters = Filters(mapping.kind, mapping.options.filters)
        #: Set once the poller is to finish what it has in flight and return.
        self.stopping = asyncio.Event()
        self._service = service
        self._on_stop: list[Callable[[], object]] = []

    @property
    def function_arn(self) -> str:
        """As invocation records name it."""
        return self._service.account.function_arn(self.mapping.function_name, self.mapping.qualifier)

    @property
    def draining(self) -> bool:
        """The engine is about to end."""
        return self._service.draining

    @property
    def region(self) -> str:
        """Of the events."""
        return self._service.account.region

    def stop(self) -> None:
        """Ask the poller to finish; also for the poller itself, when one of its parts fails."""
        if not self.stopping.is_set():
            self.stopping.set()
            for call in self._on_stop:
                call()

    def on_stop(self, call: Callable[[], object]) -> None:
        """Have something called when the poller is asked to finish."""
        self._on_stop.append(call)

    def check_cloud(self) -> None:
        """Raises SourceProblem where there is no cloud, saying what to do."""
        why = self.cloud.available()
        if why is not None:
            raise SourceProblem(why)

    def role(self) -> str:
        """The function's execution role; "" where the function is gone."""
        try:
            return self._version().role
        except ResourceNotFoundException:
            return ""

    def timeout_s(self) -> int:
        """The function's timeout; 0 where the function is gone."""
        try:
            return self._version().timeout_s
        except ResourceNotFoundException:
            return 0

    async def invoke(self, payload: bytes, count: int, *, patience_s: float = math.inf) -> Outcome:
        """Invoke the function; throttles and failures of the engine are waited out.

        Args:
            payload: The event, at most 6 MB.
            count: Records in it.
            patience_s: Nothing new is tried after that long.
        Raises:
            Stopped: The poller is to stop and the function was not reached.
            Throttled: It was not reached in ``patience_s``.
        """
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + patience_s
        backoff = Backoff(THROTTLE_FIRST_S, THROTTLE_LONGEST_S)
        while True:
            try:
                result = await self._invoke(payload)
            except LambdaError as error:
                if self._service.draining:
                    raise Stopped from None
                self.tell(_problem(error))
                pause_s = backoff.next_s()
                if now_s() + pause_s >= until_s:
                    raise Throttled(error.message) from None
                await self.pause(pause_s)
            else:
                self.counts.batch(count)
                if result.function_error is not None:
                    self.counts.add(FAILED, count)
                record = result.record
                return Outcome(record.request_id, result.function_error, result.payload, result.executed_version)

    async def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: The poller is to stop.
        """
        if not self.stopping.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self.stopping.wait()
            except TimeoutError:
                return
        raise Stopped

    def tell(self, result: str) -> None:
        """LastProcessingResult."""
        self.rows.result(self.mapping.uuid, result)

    def told(self, *, ok: bool) -> None:
        """LastProcessingResult after a batch that the function got."""
        self.tell(OK if ok else CALL_FAILED)

    async def _invoke(self, payload: bytes) -> InvocationResult:
        version = self._version()
        invocation = Invocation(
            request_id=str(uuid.uuid4()),
            function_name=version.name,
            version=version.version,
            invoked_arn=self.function_arn,
            payload=payload,
            source=self.mapping.trigger,
            received_s=self.clock(),
        )
        return await self._service.invoke(invocation, version)

    def _version(self) -> FunctionVersion:
        return self._service.resolve(FunctionName(self.mapping.function_name), self.mapping.qualifier)


def _problem(error: LambdaError) -> str:
    if isinstance(error, TooManyRequestsException):
        return f"PROBLEM: Function call was throttled ({error.reason}); trying again"
    return f"PROBLEM: {error.message}"


def describe(error: Exception) -> str:
    """One line for people: an AWS error's code and message, or what else went wrong."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict) and "Error" in answer:
        text = f"{answer['Error'].get('Code', '')}: {answer['Error'].get('Message', '')}".strip()
    else:
        text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:500]
