"""Whole notebooks as jobs, by the magics of real kernels against real engines: schedules, failures, kills, access."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from jupyter_lambda.cli import service
from jupyter_lambda.client import Admin
from jupyter_lambda.connection import alive, announced, find

from .engine import Engine
from .test_magic_kernel import Kernel
from .test_server_engine import TOKEN, Server, server, until  # noqa: F401 - a fixture

REPORT = (
    "import helper\nprint(region, days, helper.twice(3))",
    "open('data.csv').read()",
    "open('beside.txt', 'w').write('x')",
)


def write(folder: Path, name: str, *cells: str) -> None:
    parameters = new_code_cell("region = 'UK'\ndays = 7", metadata={"tags": ["parameters"]})
    made = [new_markdown_cell("# A report"), parameters, *map(new_code_cell, cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), folder / name)


def schedule(kernel: Kernel, line: str, *more: str) -> str:
    """Deploy a job, then let it run once in a moment; what the first line said."""
    said = kernel.run(line)
    at = datetime.now(UTC) + timedelta(seconds=4)
    again = kernel.run(f"{line} --schedule 'at:{at:%Y-%m-%dT%H:%M:%S}' {' '.join(more)}")
    assert "once, on" in again
    return said + again


def ended(admin: Admin, name: str, count: int = 1, timeout_s: float = 60.0) -> list[dict[str, Any]]:
    """A job's runs once so many have ended, newest first."""

    def done() -> Any:
        runs = admin.runs(name)
        return len(runs) >= count and all(run["status"] != "running" for run in runs)

    wait(done, timeout_s)
    return admin.runs(name)


def wait(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


def executed(admin: Admin, run: dict[str, Any]) -> Any:
    return nbformat.reads(admin.artefact(run["run_id"], "notebook.ipynb").decode(), as_version=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    return tmp_path


@pytest.fixture
def kernel(engine: Engine, folder: Path) -> Iterator[Kernel]:
    made = Kernel(engine.state_dir, folder)
    yield made
    made.stop()


@pytest.fixture
def admin(engine: Engine) -> Admin:
    return Admin(engine.connection)


def test_a_notebook_runs_on_its_schedule_and_leaves_what_it_made(kernel: Kernel, folder: Path, admin: Admin) -> None:
    write(folder, "report.ipynb", *REPORT)
    line = "%lambda notebook report.ipynb -p region=EU --with data.csv --network none"
    said = schedule(kernel, line, "'cron:0 9 ? * MON-FRI *@Europe/London'")
    assert "report: created" in said
    assert "every weekday at 09:00, Europe/London" in said
    (run,) = ended(admin, "report")
    assert (run["status"], run["reason"], run["parameters"]) == ("success", "", {"region": "EU"})
    assert run["source"].startswith("schedule:")
    assert set(run["files"]) == {"notebook.ipynb", "report.html", "log.txt", "parameters.json", "result.json"}
    cells = executed(admin, run).cells
    assert [cell.metadata.get("tags") for cell in cells[1:3]] == [["parameters"], ["injected-parameters"]]
    assert cells[3].outputs[0].text == "EU 7 6\n"
    assert "a,b" in cells[4].outputs[0].data["text/plain"]
    page = admin.artefact(run["run_id"], "report.html").decode()
    assert "A report" in page
    assert "EU 7 6" in page
    assert "EU 7 6" in admin.artefact(run["run_id"], "log.txt").decode()
    shown = kernel.run("%lambda runs report")
    assert "✓ success" in shown
    assert "at:" in shown
    assert "region=EU" in shown
    kernel.run("%lambda rm report")


def test_a_failing_run_keeps_its_notebook_and_is_told(kernel: Kernel, folder: Path, admin: Admin) -> None:
    kernel.run(
        "%%lambda told --memory 256\n\ndef handler(event, context):\n    print(event['requestContext']['condition'])"
    )
    write(folder, "bad.ipynb", "print('so far')", "1 / days", "print('never')")
    kernel.run("%lambda runs")
    schedule(kernel, "%lambda notebook bad.ipynb -p days=0 --on-failure told")
    (run,) = ended(admin, "bad")
    assert (run["status"], run["reason"]) == ("failed", "cell 4: ZeroDivisionError: division by zero")
    cells = executed(admin, run).cells
    assert cells[3].outputs[0].text == "so far\n"
    assert cells[4].outputs[0].ename == "ZeroDivisionError"
    assert cells[5].outputs == []
    assert "ZeroDivisionError" in admin.artefact(run["run_id"], "report.html").decode()
    wait(lambda: admin.invocations("told")["invocations"])
    assert "RetriesExhausted" in "".join(line["message"] for line in admin.logs("told"))
    time.sleep(5)  # for so long a kernel doesn't ask again
    assert "1 scheduled run failed since" in kernel.run("%lambda list told")
    assert "cell 4: ZeroDivisionError" in kernel.run("%lambda runs")
    assert admin.failed_runs()["runs"] == []


def test_a_run_now_and_one_whose_time_is_over(kernel: Kernel, folder: Path, admin: Admin) -> None:
    write(folder, "slow.ipynb", "print('begun', flush=True)\nimport time\ntime.sleep(60)")
    said = kernel.run("%lambda notebook slow.ipynb --timeout 12 --run")
    assert "✗ failed" in said
    assert "TimeoutError: the function's time was nearly over" in said
    (run,) = admin.runs("slow")
    outputs = executed(admin, run).cells[2].outputs
    assert outputs[0].text == "begun\n"
    assert outputs[-1].ename == "TimeoutError"
    write(folder, "quick.ipynb", "print(days)")
    assert "✓ success" in kernel.run("%lambda notebook quick.ipynb --run")
    assert "unchanged" in kernel.run("%lambda notebook quick.ipynb")
    said = kernel.run('%lambda invoke quick {"parameters": {"days": 3}}')
    assert "'cells': 3" in said or '"cells": 3' in said
    assert admin.runs("quick", limit=1)[0]["parameters"] == {"days": 3}


def test_a_kernel_without_memory_is_told_so(kernel: Kernel, folder: Path, admin: Admin, engine: Engine) -> None:
    if engine.driver != "docker":
        pytest.skip("processes have no limit of memory")
    write(folder, "big.ipynb", "x = bytearray(1 << 30)\nx[::4096] = b'x' * len(x[::4096])\nprint(len(x))")
    kernel.run("%lambda notebook big.ipynb --memory 320 --run")
    (run,) = admin.runs("big")
    assert run["status"] == "failed"
    assert "memory" in run["reason"]
    assert "parameters.json" in run["files"]


def test_a_function_leaves_nothing_but_its_own(kernel: Kernel, admin: Admin) -> None:
    kernel.run(
        "%%lambda stranger --memory 256\n"
        "import os, urllib.error, urllib.request\n"
        "from botocore.auth import SigV4Auth\nfrom botocore.awsrequest import AWSRequest\n"
        "from botocore.session import Session\n\n"
        "def ask(method, path):\n"
        "    url = os.environ['AWS_ENDPOINT_URL'] + '/_jupyter_lambda/' + path\n"
        "    request = AWSRequest(method=method, url=url, data=b'x' if method == 'PUT' else b'')\n"
        "    SigV4Auth(Session().get_credentials(), 'lambda', os.environ['AWS_REGION']).add_auth(request)\n"
        "    sent = urllib.request.Request(url, request.body or None, dict(request.headers.items()), method=method)\n"
        "    try:\n"
        "        return urllib.request.urlopen(sent).status\n"
        "    except urllib.error.HTTPError as exc:\n"
        "        return exc.code\n\n"
        "def handler(event, context):\n"
        "    own = context.aws_request_id\n"
        "    paths = [('PUT', f'runs/{own}/log.txt?end=0'), ('PUT', 'runs/11111111/log.txt?end=0'), ('GET', 'runs'),\n"
        "             ('PUT', 'jobs/stranger'), ('POST', 'runs/seen'), ('GET', 'status')]\n"
        "    return [ask(*one) for one in paths]"
    )
    assert kernel.run("stranger({})") == "[404, 403, 403, 403, 403, 403]"


def test_a_run_that_a_killed_engine_cut_off_runs_again(folder: Path, engines: list[Engine]) -> None:
    engine = Engine(folder / "state", "process")
    engines.append(engine)
    admin = Admin(engine.start())
    kernel = Kernel(engine.state_dir, folder)
    try:
        write(folder, "long.ipynb", "print('first')", "import time\ntime.sleep(4)", "print('last')")
        schedule(kernel, "%lambda notebook long.ipynb")
        wait(lambda: any("notebook.ipynb" in run["files"] for run in admin.runs("long")))
        engine.kill()
        admin = Admin(engine.start())
        again, cut = ended(admin, "long", 2)
    finally:
        kernel.stop()
    assert (cut["status"], again["status"]) == ("failed", "success")
    assert cut["reason"].startswith("it was cut off half-way")
    assert again["run_id"] == f"{cut['run_id']}.2"
    assert "notebook.ipynb" in cut["files"]
    assert executed(admin, again).cells[-1].outputs[0].text == "last\n"
    assert [run["run_id"] for run in admin.failed_runs()["runs"]] == [cut["run_id"]]


async def test_a_page_hears_of_it_by_an_event_of_the_server(server: Server) -> None:  # noqa: F811
    assert server.ask("lambda/api/engine", "POST", b"{}")[0] == 200
    write(server.home, "bad.ipynb", "raise ValueError('no data')")
    kernel = Kernel(server.home / "state", server.home)
    url = server.url.replace("http:", "ws:") + "api/events/subscribe"
    socket = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"}))
    try:
        said = schedule(kernel, "%lambda notebook bad.ipynb")
        assert f"it ends with process {server.process.pid} (Jupyter's)" in said
        assert "jupyter lambda service install" in said
        while True:
            event = json.loads(await socket.read_message())
            if event["schema_id"].endswith("jupyter_lambda/run_failed/v1"):
                break
    finally:
        socket.close()
        kernel.stop()
    assert (event["job"], event["notebook"], event["reason"]) == ("bad", "bad.ipynb", "cell 2: ValueError: no data")
    assert event["source"].startswith("schedule:")
    assert "report.html" in event["files"]
    status, _ = server.ask(f"lambda/engine/_jupyter_lambda/runs/{event['run_id']}/parameters.json")
    assert status == 200


def test_an_engine_of_jupyter_stays_once_it_is_told_to(server: Server) -> None:  # noqa: F811
    server.ask("lambda/api/engine", "POST", b"{}")
    pid = server.engine["pid"]
    command = [*_cli(), "start", "--state-dir", str(server.home / "state")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert f"it stays now when process {server.process.pid} (Jupyter's) ends" in done.stdout
    server.process.terminate()
    server.process.wait(30)
    time.sleep(1.5)
    try:
        assert alive(pid)
        assert find(server.home / "state") is not None
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid))


def test_what_the_unit_starts_is_an_engine_that_waits_for_its_turn(tmp_path: Path, engines: list[Engine]) -> None:
    state = tmp_path / "the state"
    first = Engine(state, "process")
    engines.append(first)
    before = first.start()
    text = service.unit(state, ["--LambdaEngine.driver=process"])
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix("ExecStart="))]
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(words, cwd="/", stdout=output, stderr=output)
    try:
        wait(lambda: b"waiting: " in (tmp_path / "out").read_bytes())
        assert find(state).pid == before.pid
        assert first.stop() == 0
        wait(lambda: announced(state) and find(state))
        assert announced(state)["owner_pid"] == 0
        assert find(state).pid == process.pid
    finally:
        process.terminate()
    assert process.wait(60) == 0


def _cli() -> list[str]:
    import sys

    return [sys.executable, "-m", "jupyter_lambda.cli"]
