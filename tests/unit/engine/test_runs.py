"""Runs as people see them: whatever end they came to, and who may leave artefacts."""

from __future__ import annotations

import pytest

from jupyter_lambda.engine.runs import RunBook
from jupyter_lambda.errors import AccessDeniedException, ResourceNotFoundException
from jupyter_lambda.model.invocation import InvocationRecord
from jupyter_lambda.store import Store
from jupyter_lambda.store.runs import Job

ID = "11111111-1111-1111-1111-111111111111"


class Engine:
    """As much of the service as runs need."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_s = 1_000.0
        self.started_s = 900.0
        self.invocations: list[dict[str, object]] = []

    def clock(self) -> float:
        return self.now_s

    def running(self) -> list[dict[str, object]]:
        return self.invocations

    def begin(self, request_id: str = ID, name: str = "report", source: str = "schedule:daily") -> None:
        self.invocations.append(
            {"request_id": request_id, "function_name": name, "source": source, "age_s": 0.5, "state": "running"}
        )

    def end(self, status: str = "success", request_id: str = ID, attempt: int = 1, **more: object) -> None:
        self.invocations = [one for one in self.invocations if one["request_id"] != request_id]
        started_s = more.pop("started_s", self.now_s - 2.0)
        self.store.ledger.record(
            InvocationRecord(
                **{
                    "request_id": request_id,
                    "function_name": "report",
                    "version": "$LATEST",
                    "source": "schedule:daily",
                    "status": status,
                    "received_s": self.now_s - 3.0,
                    "started_s": started_s,
                    "queue_ms": 0.0,
                    "init_ms": None,
                    "run_ms": 2_000.0,
                    "billed_ms": 2_000,
                    "memory_mb": 512,
                    "memory_used_mb": 100,
                    "cold": False,
                    "attempt": attempt,
                    **more,
                }
            )
        )


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(tmp_path / "state")
    await store.runs.put_job(Job("report", "report.ipynb", 3, 1.0))
    yield store
    await store.close()


@pytest.fixture
def engine(store) -> Engine:
    return Engine(store)


@pytest.fixture
def book(engine) -> RunBook:
    return RunBook(engine)


async def leave(book, name, data=b"{}", request_id=ID, caller="report"):
    return await book.take(caller, request_id, name, 0, data, last=True)


async def test_from_its_first_artefact_to_its_end(engine, book):
    engine.begin()
    await leave(book, "parameters.json", b'{"region": "EU"}')
    (run,) = await book.all("report", 10)
    assert (run.status, run.parameters, run.source, run.ended_s) == (
        "running",
        {"region": "EU"},
        "schedule:daily",
        None,
    )
    await leave(book, "notebook.ipynb", b"{...}")
    await leave(book, "result.json", b'{"status": "success"}')
    engine.now_s += 1.5
    engine.end()
    (run,) = await book.all(None, 10)
    assert (run.run_id, run.status, run.reason, run.ended_s) == (ID, "success", "", 1_001.5)
    assert run.files == {"notebook.ipynb": 5, "parameters.json": 16, "result.json": 21}
    assert await book.artefact(ID, "notebook.ipynb") == b"{...}"
    assert await book.failed(0.0) == []


async def test_a_failure_says_which_cell(engine, book):
    engine.begin()
    await leave(book, "parameters.json")
    await leave(book, "result.json", b'{"status": "error", "failure": "cell 3: ValueError: no data"}')
    engine.end("error")
    (run,) = await book.failed(0.0)
    assert (run.status, run.reason) == ("failed", "cell 3: ValueError: no data")
    assert await book.failed(run.ended_s) == []


@pytest.mark.parametrize(("status", "reason"), [("timeout", "its time was over"), ("oom", "it ran out of memory")])
async def test_a_run_that_was_killed_keeps_what_there_is(engine, book, status, reason):
    engine.begin()
    await leave(book, "parameters.json")
    await leave(book, "notebook.ipynb", b"half")
    engine.end(status)
    (run,) = await book.all("report", 10)
    assert (run.status, run.reason, run.files["notebook.ipynb"]) == ("failed", reason, 4)


async def test_a_run_is_no_failure_while_its_record_is_on_its_way(engine, book):
    engine.begin()
    await leave(book, "parameters.json")
    engine.now_s += 60.0
    assert (await book.get(ID)).status == "running"
    engine.invocations = []
    engine.now_s += 2.0
    assert (await book.get(ID)).status == "running"
    engine.now_s += 2.0
    assert (await book.get(ID)).reason.startswith("it was cut off half-way")


async def test_a_run_goes_on_until_all_it_made_has_come(engine, book):
    engine.begin()
    await leave(book, "parameters.json")
    await leave(book, "result.json", b'{"status": "success", "seconds": 1.5}')
    assert (await book.get(ID)).status == "running"
    engine.invocations = []
    assert ((await book.get(ID)).status, (await book.get(ID)).ended_s) == ("success", 1_001.5)


@pytest.mark.parametrize(
    "document",
    [
        b'{"seconds": "long"}', b'{"seconds": 1e999, "status": []}', b'{"seconds": NaN, "failure": {}}', b"[" * 100_000,
        b'{"seconds": [1]}', b"5", b'{"seconds": true}', b'{"seconds": -5}',
    ],
)  # fmt: skip
async def test_whatever_a_job_leaves_as_its_result_runs_can_be_told(engine, book, document):
    engine.begin()
    for name in ("parameters.json", "result.json"):
        await leave(book, name, document)
    engine.invocations = []
    engine.now_s += 60.0
    (run,) = await book.all("report", 10)
    assert (run.status, run.ended_s) in (("failed", 1_000.0), ("success", 1_000.0))


async def test_one_that_could_not_start_is_a_run_too(engine, book):
    engine.end("init_error", run_ms=0.0)
    (run,) = await book.failed(0.0)
    assert (run.reason, run.files) == ("it could not start", {})
    assert await book.artefact(ID, "log.txt") == b""
    with pytest.raises(ResourceNotFoundException):
        await book.artefact(ID, "report.html")


async def test_after_a_killed_engine_the_half_and_the_repeated_run_are_told_apart(engine, book, store):
    engine.begin()
    await leave(book, "parameters.json")
    store.epoch, engine.started_s, engine.now_s = "another", 1_100.0, 1_200.0
    again = RunBook(engine)
    (run,) = await again.failed(0.0)
    assert run.reason.startswith("it was cut off half-way")
    assert run.ended_s == 1_100.0
    await leave(again, "parameters.json")
    assert {run.run_id: run.status for run in await again.all("report", 10)} == {ID: "failed", f"{ID}.2": "running"}
    await leave(again, "notebook.ipynb", b"whole")
    engine.now_s += 1.0
    engine.end()
    assert {run.run_id: run.status for run in await again.all("report", 10)} == {ID: "failed", f"{ID}.2": "success"}
    assert await again.artefact(f"{ID}.2", "notebook.ipynb") == b"whole"


async def test_every_attempt_is_a_run(engine, book):
    for attempt in (1, 2):
        engine.begin()
        await leave(book, "parameters.json")
        engine.now_s += 1.0
        engine.end("error", attempt=attempt)
        engine.now_s += 60.0
    runs = await book.all("report", 10)
    assert [(run.run_id, run.attempt, run.status) for run in runs] == [(f"{ID}.2", 2, "failed"), (ID, 1, "failed")]


async def test_only_a_functions_own_running_invocation_may_leave_anything(engine, book, store):
    with pytest.raises(AccessDeniedException):
        await leave(book, "parameters.json")
    engine.begin()
    with pytest.raises(AccessDeniedException):
        await leave(book, "parameters.json", caller="other")
    engine.begin("2" * 8, "plain")
    with pytest.raises(ResourceNotFoundException, match="plain is no notebook job"):
        await leave(book, "parameters.json", request_id="2" * 8, caller="plain")
    assert store.runs.of("report") == []


async def test_failures_of_runs_by_hand_are_not_news_and_old_files_go(engine, book):
    for number in range(5):
        request_id = f"{number}" * 8
        engine.begin(request_id, source="async")
        await leave(book, "parameters.json", request_id=request_id)
        engine.now_s += 1.0
        engine.end("error", request_id, source="async")
        engine.now_s += 10.0
    assert await book.failed(0.0) == []
    assert [run.run_id for run in await book.all("report", 10)] == ["4" * 8, "3" * 8, "2" * 8]


async def test_one_that_waits_is_shown(engine, book):
    engine.begin()
    (run,) = await book.all("report", 10)
    assert (run.status, run.started_s) == ("running", 999.5)
    assert (await book.get(ID)).run_id == ID
    with pytest.raises(ResourceNotFoundException):
        await book.get("other")
    with pytest.raises(ResourceNotFoundException):
        await book.all("other", 1)
