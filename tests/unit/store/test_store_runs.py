"""What runs of notebooks leave: whole or not at all, within limits, kept as long as was said."""

from __future__ import annotations

import pytest

from jupyter_lambda.errors import InvalidParameterValueException, RequestEntityTooLargeException
from jupyter_lambda.store import runs as module
from jupyter_lambda.store.runs import Begun, Job, Runs

FIRST = "11111111-1111-1111-1111-111111111111"


def begun(request_id=FIRST, started_s=10.0, name="report") -> Begun:
    return Begun(request_id, request_id, name, "schedule:daily", started_s, "epoch")


@pytest.fixture
async def runs(tmp_path) -> Runs:
    runs = Runs(tmp_path / "runs")
    await runs.put_job(Job("report", "report.ipynb", 2, 1.0))
    return runs


async def test_a_job_is_remembered_changed_and_forgotten(runs, tmp_path):
    assert Runs(tmp_path / "runs").jobs() == [Job("report", "report.ipynb", 2, 1.0)]
    await runs.put_job(Job("report", "other.ipynb", 5, 2.0))
    assert runs.job("report") == Job("report", "other.ipynb", 5, 2.0)
    assert runs.job("nothing") is None
    assert runs.job("../report") is None
    await runs.begin(begun())
    await runs.forget_job("report")
    assert (runs.jobs(), runs.of("report")) == ([], [])
    with pytest.raises(InvalidParameterValueException):
        await runs.put_job(Job("..", "x"))


async def test_a_run_that_begins_again_takes_nothing_from_the_earlier_one(runs):
    first = await runs.begin(begun())
    await runs.write(first, "notebook.ipynb", 0, b"half", last=True)
    second = await runs.begin(begun(started_s=20.0))
    await runs.write(second, "notebook.ipynb", 0, b"whole", last=True)
    assert [run.run_id for run in runs.of("report")] == [f"{FIRST}.2", FIRST]
    assert runs.read(first, "notebook.ipynb") == b"half"
    assert runs.read(runs.find(f"{FIRST}.2"), "notebook.ipynb") == b"whole"
    assert runs.find("../../etc") is None


async def test_pieces_come_in_order_and_are_seen_when_all_are_there(runs):
    run = await runs.begin(begun())
    await runs.write(run, "report.html", 0, b"one ", last=False)
    assert runs.read(run, "report.html") is None
    assert runs.files(run) == {}
    with pytest.raises(InvalidParameterValueException, match="does not follow"):
        await runs.write(run, "report.html", 9, b"three", last=True)
    await runs.write(run, "report.html", 4, b"two", last=True)
    assert runs.read(run, "report.html") == b"one two"
    await runs.write(run, "report.html", 0, b"anew", last=True)
    assert runs.files(run) == {"report.html": 4}


@pytest.mark.parametrize("name", ["../job.json", "run.json", "x", "notebook.ipynb.part", ""])
async def test_other_names_are_refused(runs, name):
    run = await runs.begin(begun())
    with pytest.raises(InvalidParameterValueException, match="A run has no"):
        await runs.write(run, name, 0, b"x", last=True)
    assert runs.read(run, name) is None


async def test_one_run_has_a_limit_and_what_was_kept_stays(runs, monkeypatch):
    monkeypatch.setattr(module, "RUN_MAX_BYTES", 1_000)
    run = await runs.begin(begun())
    await runs.write(run, "notebook.ipynb", 0, b"x" * 500, last=True)
    await runs.write(run, "notebook.ipynb", 0, b"y" * 700, last=True)
    await runs.write(run, "report.html", 0, b"z" * 100, last=False)
    with pytest.raises(RequestEntityTooLargeException, match=r"report\.html is too large"):
        await runs.write(run, "report.html", 100, b"z" * 300, last=True)
    assert runs.files(run) == {"notebook.ipynb": 700}


async def test_the_oldest_go_but_none_that_runs(runs):
    ids = [f"{number}" * 8 for number in range(5)]
    for number, name in enumerate(ids):
        await runs.begin(begun(name, float(number)))
    assert await runs.keep(runs.job("report"), {ids[0]}) == 2
    assert [run.request_id for run in runs.of("report")] == [ids[4], ids[3], ids[0]]


async def test_the_state_cap_takes_the_oldest_of_all_jobs(runs):
    await runs.put_job(Job("other", "other.ipynb"))
    for number, name in enumerate(("report", "other", "report")):
        run = await runs.begin(begun(f"{number}" * 8, float(number), name))
        await runs.write(run, "log.txt", 0, b"x" * 1000, last=True)
    before = runs.size_bytes()
    freed = await runs.drop(1_500, {"0" * 8})
    assert before - runs.size_bytes() == freed > 2_000
    assert [run.request_id for name in ("report", "other") for run in runs.of(name)] == ["0" * 8]


async def test_what_people_have_seen_lasts(runs, tmp_path):
    assert runs.seen_s == 0.0
    await runs.saw(12.5)
    assert Runs(tmp_path / "runs").seen_s == 12.5


async def test_the_cap_of_the_state_directory_counts_runs(store):
    await store.runs.put_job(Job("report", "report.ipynb"))
    run = await store.runs.begin(begun())
    await store.runs.write(run, "report.html", 0, b"x" * 100_000, last=True)
    usage = await store.disk.fit(0)
    assert usage.runs > 100_000
    after = await store.disk.fit(usage.total - 50_000)
    assert (after.runs, store.runs.of("report")) == (after.runs, [])
    assert after.runs < 1_000
