"""The engine's routes of notebook jobs: what they answer, what they refuse, and that pages come as strangers."""

from __future__ import annotations

import json

import pytest

from jupyter_lambda.store.runs import Begun

RUN = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def ask(engine):
    """Status, headers and JSON (or text) of a request of the owner."""

    def one(method: str, path: str):
        status, headers, body = engine.signed(method, f"/_jupyter_lambda/{path}")
        return status, headers, json.loads(body) if "json" in headers["content-type"] else body.decode()

    return one


@pytest.fixture
def job(ask, make, name) -> str:
    make()
    assert ask("PUT", f"jobs/{name}?notebook=report.ipynb&kept=5")[0] == 200
    return name


def test_a_function_becomes_a_job_and_is_forgotten(ask, job):
    found = [one for one in ask("GET", "jobs")[2]["jobs"] if one["function_name"] == job]
    assert [(one["notebook"], one["runs_kept"]) for one in found] == [("report.ipynb", 5)]
    assert ask("GET", f"runs?function={job}")[2] == {"runs": []}
    assert ask("DELETE", f"jobs/{job}")[0] == 200
    assert ask("GET", f"runs?function={job}")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("PUT", "jobs/nothing?notebook=x", 404, "There is no function nothing."),
        ("GET", "runs?limit=many", 400, "limit must be a whole number from 1 to 1000"),
        ("GET", "runs?failed_since=yesterday", 400, "'yesterday' is no time in seconds"),
        ("GET", "runs?function=nothing", 404, "nothing is no notebook job"),
        ("GET", "runs/nothing", 404, "There is no run nothing."),
        ("GET", "runs/nothing/report.html", 404, "The run nothing has no report.html."),
        ("GET", "runs/nothing/..%2f..%2fcredentials", 404, "has no"),
        ("GET", "runs/..%2f..%2fcredentials/log.txt", 404, "There is no run"),
        ("PUT", f"runs/{RUN}/log.txt?end=0", 404, "There is no admin route PUT"),
        ("PATCH", "runs", 404, "There is no admin route PATCH"),
    ],
)
def test_what_is_wrong_is_said(ask, method, path, status, message):
    found, _, answer = ask(method, path)
    assert (found, message in str(answer.get("message") or answer["Message"])) == (status, True), answer


def test_a_page_comes_as_a_stranger_and_failures_are_seen(engine, ask, job):
    async def leave() -> None:
        runs = engine.service.store.runs
        run = await runs.begin(Begun(RUN, RUN, job, "schedule:daily", engine.service.clock() - 10, "another"))
        await runs.write(run, "report.html", 0, b"<h1>Report</h1>", last=True)
        await runs.write(run, "parameters.json", 0, b'{"region": "EU"}', last=True)

    engine.run(leave())
    status, headers, page = ask("GET", f"runs/{RUN}/report.html")
    assert (status, page) == (200, "<h1>Report</h1>")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert ask("GET", f"runs/{RUN}")[2]["parameters"] == {"region": "EU"}
    (failed,) = (one for one in ask("GET", "runs?failed_since=seen")[2]["runs"] if one["function_name"] == job)
    assert failed["reason"].startswith("it was cut off half-way")
    assert ask("POST", "runs/seen")[0] == 200
    assert [one for one in ask("GET", "runs?failed_since=seen")[2]["runs"] if one["function_name"] == job] == []
