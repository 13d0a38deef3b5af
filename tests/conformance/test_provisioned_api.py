"""Provisioned concurrency over the wire. Texts are AWS's recorded answers."""

from __future__ import annotations

import base64
import contextlib
import json
import time

import pytest

from .conftest import zipped

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
READY = {"Status": "READY"}


def plain(answer: dict) -> dict:
    return {k: v for k, v in answer.items() if k not in ("ResponseMetadata", "LastModified")}


def until_ready(client, name: str, qualifier: str) -> dict:
    """Provisioned environments come up in the background."""
    for _ in range(500):
        answer = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        if answer["Status"] != "IN_PROGRESS":
            return answer
        time.sleep(0.01)
    raise AssertionError(answer)


@pytest.fixture
def two_versions(make, client, name):
    make(Publish=True)
    client.update_function_code(FunctionName=name, ZipFile=zipped(app__py="def handler(e, c): return 2"), Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):
        client.delete_function(FunctionName=name)


def put(name: str, qualifier: str, count: int = 2) -> dict:
    return {"FunctionName": name, "Qualifier": qualifier, "ProvisionedConcurrentExecutions": count}


def test_from_put_to_delete(two_versions, client, refused):
    """PutProvisionedConcurrencyConfig: "Adds a provisioned concurrency configuration to a function's alias or
    version." HTTP 202, Status IN_PROGRESS; then READY; then ProvisionedConcurrencyConfigNotFoundException."""
    name = two_versions
    answer = client.put_provisioned_concurrency_config(**put(name, "1"))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert plain(answer) == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    assert plain(until_ready(client, name, "1")) == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": 2,
        "Status": "READY",
    }
    deleted = client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused("get_provisioned_concurrency_config", FunctionName=name, Qualifier="1") == (
        "ProvisionedConcurrencyConfigNotFoundException",
        404,
        "No Provisioned Concurrency Config found for this function",
    )
    # Deleting what is not there is no error.
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")


def test_invocations_use_it(two_versions, client, engine):
    name = two_versions
    client.put_provisioned_concurrency_config(**put(name, "live", 1))
    until_ready(client, name, "live")
    answer = client.invoke(FunctionName=name, Qualifier="live", LogType="Tail", Payload=b"{}")
    assert json.loads(answer["Payload"].read())["version"] == "1"
    assert b"Init Duration" not in base64.b64decode(answer["LogResult"])
    assert sum(row["function_name"] == name for row in engine.service.environments()) == 1


def test_unpublished(two_versions, client, refused):
    """PutProvisionedConcurrencyConfig: "Qualifier: The version number or alias name."; never $LATEST."""
    name = two_versions
    assert refused("put_provisioned_concurrency_config", **put(name, "$LATEST")) == (
        "InvalidParameterValueException",
        400,
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )
    for operation in ("get_provisioned_concurrency_config", "delete_provisioned_concurrency_config"):
        assert refused(operation, FunctionName=name, Qualifier="$LATEST") == (
            "InvalidParameterValueException",
            400,
            "The function resource provided must be an alias or a published version.",
        )
    client.create_alias(FunctionName=name, Name="newest", FunctionVersion="$LATEST")
    assert refused("put_provisioned_concurrency_config", **put(name, "newest"))[0] == "InvalidParameterValueException"


def test_what_is_not_there(two_versions, refused):
    name = two_versions
    missing = ("ResourceNotFoundException", 404)
    assert refused("put_provisioned_concurrency_config", **put("nobody", "1")) == (
        *missing,
        f"Function not found: {ARN}nobody:1",
    )
    assert refused("put_provisioned_concurrency_config", **put(name, "9")) == (
        *missing,
        f"Function not found: {ARN}{name}:9",
    )
    assert refused("get_provisioned_concurrency_config", FunctionName=name, Qualifier="no") == (
        *missing,
        f"Cannot find alias arn: {ARN}{name}:no",
    )
    assert refused("list_provisioned_concurrency_configs", FunctionName="nobody")[:2] == missing


def test_at_least_one(two_versions, refused):
    assert refused("put_provisioned_concurrency_config", **put(two_versions, "1", 0))[:2] == (
        "ValidationException",
        400,
    )


def test_a_version_and_its_alias_exclude_each_other(two_versions, client, refused):
    """AWS Lambda Developer Guide: "You can't allocate provisioned concurrency to both an alias and the version"."""
    name = two_versions
    client.put_provisioned_concurrency_config(**put(name, "1"))
    assert refused("put_provisioned_concurrency_config", **put(name, "live")) == (
        "ResourceConflictException",
        409,
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
    )
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    client.put_provisioned_concurrency_config(**put(name, "live"))
    assert refused("put_provisioned_concurrency_config", **put(name, "1")) == (
        "ResourceConflictException",
        409,
        "Version is pointed by a Provisioned Concurrency alias",
    )
    client.put_provisioned_concurrency_config(**put(name, "2"))
    assert (
        refused("update_alias", FunctionName=name, Name="live", FunctionVersion="2")[0] == "ResourceConflictException"
    )
    assert client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"


def test_an_alias_with_weights(two_versions, client, refused):
    name = two_versions
    client.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})
    assert refused("put_provisioned_concurrency_config", **put(name, "live")) == (
        "InvalidParameterValueException",
        400,
        "Alias with weights can not be used with Provisioned Concurrency",
    )


def test_a_moved_alias_takes_it_along(two_versions, client, engine):
    """Weights that come later, as in gradual deployments, share it out between the two versions."""
    name = two_versions

    def versions() -> list[object]:
        rows = [row for row in engine.service.environments() if row["function_name"] == name]
        return sorted(row["version"] for row in rows if row["state"] in ("Idle", "Initializing", "Starting"))

    client.put_provisioned_concurrency_config(**put(name, "live", 4))
    until_ready(client, name, "live")
    assert versions() == ["1"] * 4
    client.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}})
    until_ready(client, name, "live")
    assert versions() == ["1"] * 3 + ["2"]
    client.update_alias(
        FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}}
    )
    until_ready(client, name, "live")
    assert versions() == ["2"] * 4


def test_listed(two_versions, client):
    name = two_versions
    client.put_provisioned_concurrency_config(**put(name, "live", 1))
    client.put_provisioned_concurrency_config(**put(name, "2", 1))
    until_ready(client, name, "live")
    until_ready(client, name, "2")
    first = client.list_provisioned_concurrency_configs(FunctionName=name, MaxItems=1)
    assert [plain(c) for c in first["ProvisionedConcurrencyConfigs"]] == [
        {
            "FunctionArn": f"{ARN}{name}:2",
            "RequestedProvisionedConcurrentExecutions": 1,
            "AvailableProvisionedConcurrentExecutions": 1,
            "AllocatedProvisionedConcurrentExecutions": 1,
            "Status": "READY",
        }
    ]
    second = client.list_provisioned_concurrency_configs(FunctionName=name, Marker=first["NextMarker"])
    assert [c["FunctionArn"] for c in second["ProvisionedConcurrencyConfigs"]] == [f"{ARN}{name}:live"]
    assert "NextMarker" not in second


def test_more_than_is_reserved(two_versions, client, refused):
    """PutFunctionConcurrency and provisioned concurrency: "the sum … can't exceed the reserved concurrency"."""
    name = two_versions
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    client.put_provisioned_concurrency_config(**put(name, "1"))
    expected = (
        "InvalidParameterValueException",
        400,
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function",
    )
    assert refused("put_provisioned_concurrency_config", **put(name, "1", 4)) == expected
    assert refused("put_provisioned_concurrency_config", **put(name, "2", 2)) == expected
    assert refused("put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=1) == (
        "InvalidParameterValueException",
        400,
        "ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].",
    )


def test_more_than_the_account_has(two_versions, client, refused):
    """AWS Lambda Developer Guide: "Lambda reserves 100 units of concurrency for functions without reservation"."""
    name = two_versions
    # Other tests' functions may hold some of the account's 1,000.
    left = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    assert refused("put_provisioned_concurrency_config", **put(name, "1", left + 1)) == (
        "InvalidParameterValueException",
        400,
        f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{left}].",
    )
    assert refused("put_provisioned_concurrency_config", **put(name, "1", left - 99)) == (
        "InvalidParameterValueException",
        400,
        (
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            "minimum value of [100]."
        ),
    )


def test_the_account_says_what_is_left(two_versions, client):
    name = two_versions

    def unreserved() -> int:
        return client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]

    before = unreserved()
    client.put_provisioned_concurrency_config(**put(name, "1"))
    assert unreserved() == before - 2
    # What is provisioned counts towards the function's own reservation.
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    assert unreserved() == before - 5


@pytest.mark.parametrize("what", ["alias", "version", "function"])
def test_deleting_what_it_belongs_to(two_versions, client, engine, what):
    name = two_versions
    qualifier = {"alias": "live", "version": "2", "function": "2"}[what]
    client.put_provisioned_concurrency_config(**put(name, qualifier))
    until_ready(client, name, qualifier)
    if what == "alias":
        client.delete_alias(FunctionName=name, Name="live")
    elif what == "version":
        client.delete_function(FunctionName=name, Qualifier="2")
    else:
        client.delete_function(FunctionName=name)
    assert engine.service.allocations(name) == []
    for _ in range(500):
        if not any(row["function_name"] == name for row in engine.service.environments()):
            return
        time.sleep(0.01)
    raise AssertionError("provisioned environments are left")


def test_what_terraform_reads_of_every_function(make, client, refused, name):
    make()
    answer = client.get_function_code_signing_config(FunctionName=name)
    assert set(answer) == {"ResponseMetadata"}
    answer = client.get_runtime_management_config(FunctionName=name)
    assert plain(answer) == {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{ARN}{name}:$LATEST"}
    assert refused("get_runtime_management_config", FunctionName="nobody")[1] == 404
