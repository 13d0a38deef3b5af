"""Schedules of a real engine that is killed again and again around their ticks: each tick fires exactly once."""

from __future__ import annotations

import calendar
import json
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from jupyter_lambda.client import Admin, lambda_client
from jupyter_lambda.connection import Connection

from .engine import ROLE, RUNTIME, Engine, package

#: The engine as users have it, but that rates know seconds.
SECONDS = """
import sys
from jupyter_lambda.cli import main
from jupyter_lambda.model import schedule_timing
sys.argv[0] = "jupyter-lambda"
schedule_timing.UNITS_S["second"] = 1
sys.exit(main())
"""
#: Notes each run, its tick and its event: a line that short is written whole.
CODE = """
import os

def handler(event, context):
    line = f"{event['name']} {event['at']} {context.aws_request_id}\\n"
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
"""


def scheduler(connection: Connection) -> Any:
    return boto3.client(
        "scheduler",
        endpoint_url=connection.url,
        region_name=connection.region,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=connection.secret_key,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def create(connection: Connection, notes: Path, periods_s: dict[str, int]) -> None:
    """A function, and schedules that invoke it."""
    client = lambda_client(connection)
    arn = client.create_function(
        FunctionName="f",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": package(CODE)},
        Environment={"Variables": {"NOTES": str(notes)}},
    )["FunctionArn"]
    schedules = scheduler(connection)
    for name, period_s in periods_s.items():
        schedules.create_schedule(
            Name=name,
            ScheduleExpression=f"rate({period_s} seconds)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": arn,
                "RoleArn": ROLE,
                "Input": json.dumps({"name": name, "at": "<aws.scheduler.scheduled-time>"}),
            },
        )


def pause_all(connection: Connection, names: list[str]) -> dict[str, float]:
    """Disable the schedules; the last tick of each."""
    schedules = scheduler(connection)
    for name in names:
        found = schedules.get_schedule(Name=name)
        kept = {key: found[key] for key in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
        schedules.update_schedule(**kept, State="DISABLED")
    told = Admin(connection).schedules()
    return {one["trigger"].removeprefix("schedule:"): one["last_tick_s"] for one in told}


def settle(connection: Connection, timeout_s: float) -> None:
    """Until the queue of events is empty."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        depth = Admin(connection).events()["depth"]
        if not sum(count for state, count in depth.items() if state != "dead"):
            assert depth["dead"] == 0
            return
        time.sleep(0.1)
    raise AssertionError("events are left")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sigkill_loses_and_doubles_no_tick(tmp_path, engines, record_property):
    periods_s = {f"s{n}": 1 + n % 3 for n in range(12)}
    notes = tmp_path / "notes"
    # However slow the machine is, no tick may be left out.
    every = ("--LambdaEngine.missed_ticks=all", "--LambdaEngine.missed_ticks_max=10000")
    engine = Engine(tmp_path / "state", "process", *every)
    engine.program = ("-c", SECONDS)
    engines.append(engine)
    connection = engine.start()
    begin_s = time.time()
    create(connection, notes, periods_s)
    seed = random.randrange(10**6)
    record_property("seed", seed)
    chance = random.Random(seed)
    for _ in range(20):
        # Around a tick: a tenth of a second before or after the full second.
        ahead_s = 1.0 - time.time() % 1.0
        time.sleep(ahead_s + chance.uniform(-0.1, 0.1) if ahead_s > 0.1 else ahead_s + chance.uniform(0.0, 0.1))
        engine.kill()
        connection = engine.start()
    time.sleep(2.0)
    last = pause_all(connection, list(periods_s))
    settle(connection, 60)
    events: dict[str, dict[float, set[str]]] = defaultdict(lambda: defaultdict(set))
    runs = 0
    for line in notes.read_text().splitlines():
        name, at, request_id = line.split()
        events[name][calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))].add(request_id)
        runs += 1
    ticks = 0
    for name, period_s in periods_s.items():
        first = min(events[name])
        assert begin_s - 1 <= first <= begin_s + 30
        wanted = [first + n * period_s for n in range(int((last[name] - first) // period_s) + 1)]
        assert sorted(events[name]) == wanted, f"seed {seed}"
        doubled = {at: ids for at, ids in events[name].items() if len(ids) > 1}
        assert not doubled, f"seed {seed}"
        ticks += len(wanted)
    print(f"\n{ticks} ticks of {len(periods_s)} schedules, 20 kills (seed {seed}): {ticks} events, {runs} runs")  # noqa: T201
    assert ticks > 100
    assert engine.stop() == 0
