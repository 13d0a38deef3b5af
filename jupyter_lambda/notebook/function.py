"""The handle of a deployed function: what ``clean`` is in the notebook after ``%%lambda clean``."""

from __future__ import annotations

import difflib
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from jupyter_lambda.invoke_client import InvokeRefused, NotConnected

from . import events
from .engine import Engine, call, code_of_refusal, engines, refusal, unreachable
from .errors import DeployError, Interrupted, NotebookError, one_line
from .invocation import FunctionError, Invocation, Throttled, from_response

if TYPE_CHECKING:
    from .mapping import MapResult
    from .tuning import Strategy, Tuning

#: Seconds that a call keeps trying while it is throttled.
_THROTTLE_PATIENCE_S = 10.0
_LOG_LINES = 10_000
_EXECUTOR_THREADS = 64
#: Names of the decorator's arguments → the magic's.
_SETTING_NAMES = {"memory_mb": "memory", "timeout_s": "timeout"}


class LambdaFunction:
    """A deployed function. Calling it runs it remotely and gives its result.

    ::

        clean({"n": 3})                    the result; FunctionError if it fails
        clean(n=3)                         the same: keywords make the event
        clean.invoke({"n": 3})             everything about the call, failed or not
        await clean.invoke_async(event)    the same, without blocking
        clean.submit(event)                a Future of the result
        clean.send(event)                  queued; nobody waits
        clean.map(events)                  many at once
    """

    def __init__(
        self,
        name: str,
        *,
        profile: str | None = None,
        places: Mapping[str, str] | None = None,
        resolve: Callable[[], Engine] | None = None,
    ) -> None:
        """
        Args:
            name: The function's name.
            profile: AWS profile; None: the engine.
            places: Label of a cell in remote tracebacks → how to show it, e.g. "In [5]".
            resolve: Gives the engine; None: this kernel's.
        """
        self.name = name
        self.profile = profile
        #: The last invocation that failed, for inspection; None if none did.
        self.last_failure: Invocation | None = None
        #: The last invocation, and the last map.
        self.last: Invocation | None = None
        self.last_map: MapResult | None = None
        self._places = dict(places or {})
        self._resolve = resolve
        self._threads: ThreadPoolExecutor | None = None

    @property
    def engine(self) -> Engine:
        """Where it lives."""
        return self._resolve() if self._resolve else engines.get(self.profile)

    @property
    def is_local_too(self) -> bool:
        """Whether it can also run in this process (``@lambda_function``)."""
        return False

    def forget(self) -> None:
        """It was deleted: forget what was known of its deployment."""
        self.last = self.last_failure = None

    # calls

    def __call__(self, event: Any = None, /, **fields: Any) -> Any:
        """Run it and give its result.

        Raises:
            FunctionError: It failed.
            KeyboardInterrupt: The cell was interrupted; the invocation was stopped in its sandbox.
        """
        return self.invoke(self._event(event, fields)).raise_for_error().result

    def invoke(self, event: Any = None, *, qualifier: str | None = None, request_id: str | None = None) -> Invocation:
        """Run it and tell everything about the call; a failure is kept in ``last_failure``, not raised.

        Args:
            event: JSON-like; ``{}`` if None.
            qualifier: Version or alias.
            request_id: Chosen by the caller (a UUID), so that the call can be stopped from elsewhere.
        Raises:
            NotebookError: It could not be called at all (no such function, throttled, event too large).
        """
        payload = events.encode({} if event is None else event)
        chosen = request_id or str(uuid.uuid4())
        engine = self.engine
        try:
            response = self._patiently(lambda: self._request(engine, payload, chosen, qualifier), qualifier)
        except KeyboardInterrupt:
            stopped = engine.stop(chosen)
            became = "its invocation was stopped" if stopped else "its invocation was not running"
            raise Interrupted(f"{self.name} interrupted; {became}") from None
        found = from_response(
            self.name, chosen, event, response, places=self._places, full_log=lambda found: self._log_of(engine, found)
        )
        self.last = found
        if not found.ok:
            self.last_failure = found
        return found

    async def invoke_async(self, event: Any = None, /, **fields: Any) -> Any:
        """Run it without blocking and give its result. Cancelling stops the invocation.

        Raises:
            FunctionError: It failed.
        """
        import asyncio

        request_id = str(uuid.uuid4())
        chosen = self._event(event, fields)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._executor, lambda: self.invoke(chosen, request_id=request_id))
        except asyncio.CancelledError:
            await asyncio.shield(loop.run_in_executor(self._executor, lambda: self.engine.stop(request_id)))
            raise
        return found.raise_for_error().result

    def submit(self, event: Any = None, /, **fields: Any) -> Future[Any]:
        """A Future of the result; it fails with FunctionError."""
        chosen = self._event(event, fields)
        return self._executor.submit(lambda: self.invoke(chosen).raise_for_error().result)

    def send(self, event: Any = None, /, **fields: Any) -> str:
        """Queue the event (InvocationType Event) and return its request id; the engine keeps and retries it."""
        payload = events.encode(self._event(event, fields))
        response = self._patiently(
            lambda: self.engine.client.invoke(FunctionName=self.name, InvocationType="Event", Payload=payload)
        )
        return str(response["ResponseMetadata"]["RequestId"])

    def map(self, items: Iterable[Any], *, max_parallel: int = 50, progress: bool = True) -> MapResult:
        """Run it with each event, at most ``max_parallel`` at one time; results in the order of the events.

        An event that fails keeps its error in its place. Interrupting stops what runs.
        """
        from .mapping import run_map

        if isinstance(items, Mapping | str | bytes) or not isinstance(items, Iterable):
            raise NotebookError(f"{self.name}.map takes a list of events, not a {type(items).__name__}")
        return run_map(self, list(items), max_parallel=max_parallel, progress=progress)

    # what is known about it

    def logs(
        self,
        *,
        request_id: str | None = None,
        since_s: float | None = None,
        pattern: str | None = None,
        limit: int = 1000,
    ) -> Any:
        """Its log lines, oldest first: at most the newest ``limit``.

        Args:
            since_s: Only the last so many seconds.
        """
        from .log_view import LogView

        admin = self._admin("logs")
        start = time.time() - since_s if since_s is not None else None
        with one_line():
            lines = admin.logs(self.name, request_id=request_id, since_s=start, pattern=pattern, limit=limit)
        return LogView(self.name, lines)

    def stats(self, *, since_s: float | None = None) -> dict[str, Any]:
        """Invocations, errors, throttles, GB-seconds and price, as the engine keeps them."""
        admin = self._admin("stats")
        start = time.time() - since_s if since_s is not None else None
        with one_line():
            found = admin.stats(self.name, start)
        return dict(next(iter(found.get("functions", [])), {}))

    def configuration(self) -> dict[str, Any]:
        """AWS's FunctionConfiguration."""
        found = call(self.engine.client.get_function, FunctionName=self.name)
        return dict(found["Configuration"])

    def config(self, **changes: Any) -> dict[str, Any]:
        """Show the configuration, or change it: ``memory=512, timeout=60, env={"K": "V"}, network="none"``.

        Changes last until the cell is deployed again. ``memory_mb`` and ``timeout_s``, as ``lambda_function`` calls
        them, are taken too.

        Raises:
            NotebookError: There is no such setting.
        """
        from .deploy import SETTINGS, reconfigure

        given = {_SETTING_NAMES.get(key, key): value for key, value in changes.items()}
        for key in given:
            if key not in SETTINGS:
                near = difflib.get_close_matches(key, SETTINGS, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(SETTINGS)}"
                raise NotebookError(f"a function has no setting {key}{hint}")
        return reconfigure(self.engine, self.name, **given) if given else self.configuration()

    def tune(
        self,
        memory: Sequence[int] | None = None,
        *,
        n: int = 20,
        event: Any = None,
        strategy: Strategy = "balanced",
        apply: bool = False,
        progress: bool = True,
    ) -> Tuning:
        """Run it ``n`` times at each memory size (MB) and choose one by ``cost``, ``speed`` or both (``balanced``).

        Raises:
            FunctionError: It fails with this event; nothing was measured.
        """
        from .mapping import progress_bar
        from .tuning import DEFAULT_SIZES_MB, tune

        sizes = memory or DEFAULT_SIZES_MB
        bar = progress_bar(self.name, len(set(sizes)) * (n + 1), wanted=progress)
        try:
            return tune(
                self,
                sizes,
                runs=n,
                event=event,
                strategy=strategy,
                apply=apply,
                show=lambda done, _: bar.show(done, 0),
            )
        finally:
            bar.close()

    def versions(self) -> list[dict[str, Any]]:
        """The published versions, newest first."""
        from .deploy import versions

        return versions(self.engine, self.name)

    def rollback(self, version: str | int | None = None) -> str:
        """Put an earlier version's code and configuration back; the version before the present one if not said.

        Returns:
            The version that is in force again.
        """
        from .deploy import rollback

        return rollback(self.engine, self.name, str(version) if version is not None else None)

    def triggers(self) -> Any:
        """What fires it: a table, whose ``.triggers`` are the single ones."""
        from .triggers import view

        return view(self.engine, self.name)

    def fire(self, trigger: str, event: Any = None) -> Invocation:
        """Run it with the event that a kind of trigger (``s3``) or a trigger's whole word would send.

        Args:
            event: Instead of the sample.
        """
        from .triggers import fire_function

        return cast("Invocation", fire_function(self, trigger, event))

    def delete(self) -> None:
        """Delete it with its versions; its triggers are taken away first."""
        from .triggers import remove_all

        remove_all(self.engine, self.name, str(self.configuration()["FunctionArn"]))
        call(self.engine.client.delete_function, FunctionName=self.name)

    def stop(self) -> int:
        """Stop all its running invocations; how many."""
        from .deploy import stop_running

        return stop_running(self.engine, self.name)

    def __repr__(self) -> str:
        return f"<LambdaFunction {self.name}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .render import FunctionCard

        try:
            card = FunctionCard.of(self.engine, self.name)
        except NotebookError as exc:
            return {"text/plain": f"{self!r}: {exc.message}"}
        return card.bundle()

    # inside

    @staticmethod
    def _event(event: Any, fields: Mapping[str, Any]) -> Any:
        if event is not None and fields:
            raise TypeError("give the event or its fields as keywords, not both")
        return {} if event is None and not fields else (fields or event)

    @property
    def _executor(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_EXECUTOR_THREADS, thread_name_prefix=f"lambda-{self.name}")
        return self._threads

    def _admin(self, what: str) -> Any:
        engine = self.engine
        if engine.admin is None:
            raise NotebookError(f"{what} of functions at AWS are in CloudWatch; this shows the engine's")
        return engine.admin

    def _log_of(self, engine: Engine, request_id: str) -> str | None:
        if engine.admin is None:
            return None
        try:
            lines = engine.admin.logs(self.name, request_id=request_id, limit=_LOG_LINES)
        except Exception:  # noqa: BLE001 - the tail that came with the answer is shown instead
            return None
        return "\n".join(str(line["message"]) for line in lines)

    def _request(self, engine: Engine, payload: bytes, request_id: str, qualifier: str | None) -> Mapping[str, Any]:
        headers = {"x-jupyter-lambda-record": "1", "x-jupyter-lambda-request-id": request_id}
        if engine.invoker is not None and engine.invoker.takes(self.name, qualifier):
            headers["x-amz-log-type"] = "Tail"
            answer: Mapping[str, Any] = engine.invoker.invoke(self.name, payload, qualifier=qualifier, headers=headers)
            return answer
        extra = {"Qualifier": qualifier} if qualifier else {}
        found: Mapping[str, Any] = engine.client.invoke(
            FunctionName=self.name,
            Payload=payload,
            LogType="Tail",
            _Headers=None if engine.is_aws else headers,
            **extra,
        )
        return found

    def _patiently(self, request: Callable[[], Mapping[str, Any]], qualifier: str | None = None) -> Mapping[str, Any]:
        """Throttled calls wait and try again, a little longer each time."""
        from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

        renewed = False
        deadline = time.monotonic() + _THROTTLE_PATIENCE_S
        pause = 0.05
        while True:
            try:
                return request()
            except (ClientError, InvokeRefused) as exc:
                code = exc.code if isinstance(exc, InvokeRefused) else code_of_refusal(exc)
                why = str(exc) if isinstance(exc, InvokeRefused) else refusal(exc)
                if code == "ResourceNotFoundException" and qualifier:
                    raise DeployError(f"there is no version or alias {qualifier} of {self.name}") from exc
                if code == "ResourceNotFoundException":
                    raise DeployError(f"there is no function {self.name}; run its %%lambda cell again") from exc
                if code != "TooManyRequestsException":
                    raise DeployError(why) from exc
                if time.monotonic() > deadline:
                    raise Throttled(f"{self.name} is throttled: {why}") from exc
            except (EndpointConnectionError, NotConnected) as exc:  # never sent, so it may be tried again
                if renewed or engines.renew(self.engine.client) is None:
                    raise unreachable(exc) from exc
                renewed = True
            except (BotoCoreError, OSError) as exc:
                raise unreachable(exc) from exc
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, 1.0)


__all__ = ["FunctionError", "LambdaFunction"]
