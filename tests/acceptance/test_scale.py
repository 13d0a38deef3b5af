"""Generic containers, learned imports, freezing, provisioned concurrency: what they do, on both drivers."""

from __future__ import annotations

import json
import threading
import time
import uuid

import pytest

from jupyter_lambda.client import Admin, lambda_client

from .conftest import DRIVERS
from .engine import ROLE, RUNTIME, Engine, package
from .test_crash import assert_nothing_left

ECHO = "def handler(event, context):\n    return event\n"
#: Says whether what it imports was there already; sleeps when asked to, so that two run at once.
IMPORTS = """
import sys, time
THERE = "botocore.session" in sys.modules
import botocore.session
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return THERE
"""
#: A thread that never rests; the handler tells what CPU time the process has used.
SPINS = """
import os, threading, time
def spin():
    while True:
        pass
threading.Thread(target=spin, daemon=True).start()
def handler(event, context):
    return [os.getpid(), time.process_time()]
"""
KIND = """
import os
def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


def until(condition, timeout_s: float = 60.0):
    """What the condition is once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return value


class Owner:
    """boto3's client and the admin routes of an engine."""

    def __init__(self, connection) -> None:
        self.client, self.admin = lambda_client(connection), Admin(connection)

    def deploy(self, source: str, **changes) -> str:
        name = f"f-{uuid.uuid4().hex[:12]}"
        request = {
            "FunctionName": name,
            "Runtime": RUNTIME,
            "Role": ROLE,
            "Handler": "app.handler",
            "Code": {"ZipFile": package(source)},
            "Timeout": 30,
        }
        self.client.create_function(**(request | changes))
        return name

    def invoke(self, name: str, event: object = None, **more) -> object:
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps(event or {}), **more)
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.loads(answer["Payload"].read())

    def environments(self, name: str) -> list[dict]:
        return [row for row in self.admin.environments()["environments"] if row["function_name"] == name]

    def generic(self, *modules: str) -> list[dict]:
        """Generic containers that are ready, with these modules among what they have imported."""
        rows = self.admin.environments()["generic_containers"]
        return [row for row in rows if set(modules) <= set(row["imports"]) and bool(modules) == bool(row["imports"])]

    def ready(self, name: str, qualifier: str) -> dict:
        def answer():
            config = self.client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
            return config if config["Status"] != "IN_PROGRESS" else None

        return until(answer)


@pytest.fixture(scope="module")
def owner(engine) -> Owner:
    return Owner(engine.connection)


def test_a_cold_start_adopts_a_generic_container(owner):
    name = owner.deploy(ECHO)
    ready = {row["environment_id"] for row in until(owner.generic)}
    assert owner.invoke(name, {"n": 1}) == {"n": 1}
    (environment,) = owner.environments(name)
    assert environment["environment_id"] in ready
    # What was taken is replaced, and no container serves two functions.
    until(owner.generic)
    other = owner.deploy(ECHO)
    owner.invoke(other)
    (second,) = owner.environments(other)
    assert second["environment_id"] != environment["environment_id"]


def test_what_acts_at_process_start_is_not_adopted(owner):
    until(owner.generic)
    ready = {row["environment_id"] for row in owner.generic()}
    source = "import sys\ndef handler(event, context):\n    return sys.flags.dont_write_bytecode"
    name = owner.deploy(source, Environment={"Variables": {"PYTHONDONTWRITEBYTECODE": "1"}})
    owner.invoke(name)
    assert owner.environments(name)[0]["environment_id"] not in ready


def test_imports_are_learned_and_preloaded(owner):
    name = owner.deploy(IMPORTS, MemorySize=1769)
    assert owner.invoke(name) is False
    until(lambda: owner.generic("botocore.session"))
    # Two at once: the second needs an environment of its own.
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(Owner(owner.admin.connection).invoke(name, {"sleep": 2})))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, True]


def test_an_idle_environment_is_frozen_and_answers_again(owner):
    name = owner.deploy(SPINS, MemorySize=1769)
    process, _ = owner.invoke(name)
    until(lambda: owner.environments(name)[0]["frozen"])
    before = owner.invoke(name)
    until(lambda: owner.environments(name)[0]["frozen"])
    time.sleep(3.0)
    again, used_s = owner.invoke(name)
    assert (again, before[0]) == (process, process)
    # Awake for the tenth of a second before it is frozen and while it answers; three seconds otherwise.
    assert used_s - before[1] < 1.5


def test_provisioned_concurrency_is_ready_and_used(owner):
    name = owner.deploy(KIND, Publish=True)
    config = {"FunctionName": name, "Qualifier": "1"}
    owner.client.put_provisioned_concurrency_config(**config, ProvisionedConcurrentExecutions=2)
    assert owner.ready(name, "1")["AllocatedProvisionedConcurrentExecutions"] == 2
    before = {row["environment_id"] for row in owner.environments(name)}
    assert owner.invoke(name, Qualifier="1") == "provisioned-concurrency"
    assert owner.invoke(name) == "on-demand"
    assert {row["environment_id"] for row in owner.environments(name) if row["version"] == "1"} == before
    rows = owner.admin.invocations(name)["invocations"]
    assert {row["version"]: row["cold"] for row in rows} == {"1": False, "$LATEST": True}
    owner.client.delete_provisioned_concurrency_config(**config)


def test_provisioned_concurrency_of_what_can_t_initialise(owner):
    name = owner.deploy("raise RuntimeError('no')", Publish=True)
    owner.client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    config = owner.ready(name, "1")
    assert (config["Status"], config["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    owner.client.delete_function(FunctionName=name)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_killed_engine_leaves_nothing_that_the_next_does_not_end(tmp_path, engines, driver):
    """With frozen environments, generic containers and provisioned ones; which are back after the restart."""
    state_dir = tmp_path / "state"
    engine = Engine(state_dir, driver, "--LambdaEngine.warm_containers=2")
    engines.append(engine)
    owner = Owner(engine.start())
    name = owner.deploy(KIND, Publish=True)
    owner.client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    owner.ready(name, "1")
    owner.invoke(name)
    until(lambda: all(row["frozen"] for row in owner.environments(name)))
    until(lambda: [row for row in owner.generic() if row["state"] == "frozen"])
    engine.kill()
    owner = Owner(engine.start())
    assert owner.ready(name, "1")["Status"] == "READY"
    assert owner.invoke(name, Qualifier="1") == "provisioned-concurrency"
    until(owner.generic)
    until(lambda: all(row["frozen"] for row in owner.environments(name)))
    assert engine.stop() == 0
    assert_nothing_left(state_dir)
