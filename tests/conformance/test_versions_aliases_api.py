"""Versions and aliases over the wire."""

from __future__ import annotations

import base64
import hashlib

from .conftest import zipped

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def test_publishing_without_a_change_returns_the_same_version(make, client, name):
    """PublishVersion: "Lambda doesn't publish a version if the function's configuration and code haven't changed since
    the last version.\""""
    make()
    first = client.publish_version(FunctionName=name, Description="one")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["Version"], first["FunctionArn"], first["Description"]) == ("1", f"{ARN}{name}:1", "one")
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    client.update_function_configuration(FunctionName=name, Description="changed")
    second = client.publish_version(FunctionName=name)
    assert (second["Version"], second["Description"]) == ("2", "changed")
    listed = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [v["FunctionArn"] for v in listed] == [f"{ARN}{name}:{v}" for v in ("$LATEST", "1", "2")]


def test_creating_and_publishing_at_once(make, name):
    answer = make(Publish=True)
    assert (answer["Version"], answer["FunctionArn"]) == ("1", ARN + name)


def test_a_published_version_does_not_change(make, client, name):
    make(Publish=True)
    client.update_function_code(FunctionName=name, ZipFile=zipped(app__py="def handler(e, c): return 2"))
    old = client.get_function_configuration(FunctionName=name, Qualifier="1")
    assert old["CodeSha256"] == base64.b64encode(hashlib.sha256(zipped()).digest()).decode()


def test_numbers_are_not_used_again(make, client, name):
    make(Publish=True)
    client.delete_function(FunctionName=name, Qualifier="1")
    assert client.publish_version(FunctionName=name)["Version"] == "2"


def test_publish_checks_the_code(make, client, refused, name):
    current = make()["CodeSha256"]
    wrong = "a" * 32
    assert refused("publish_version", FunctionName=name, CodeSha256=wrong) == (
        "InvalidParameterValueException",
        400,
        (
            f"CodeSHA256 ({wrong}) is different from current CodeSHA256 in $LATEST ({current}). Please try again "
            "with the CodeSHA256 in $LATEST."
        ),
    )
    assert client.publish_version(FunctionName=name, CodeSha256=current)["Version"] == "1"


def test_versions_page(make, client, name):
    make()
    for number in range(4):
        client.update_function_configuration(FunctionName=name, Description=str(number))
        client.publish_version(FunctionName=name)
    pages = client.get_paginator("list_versions_by_function").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    assert [v["Version"] for page in pages for v in page["Versions"]] == ["$LATEST", "1", "2", "3", "4"]


def test_an_alias(make, client, refused, name):
    make(Publish=True)
    alias = client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", Description="d")
    assert alias["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert alias["AliasArn"] == f"{ARN}{name}:live"
    assert refused("create_alias", FunctionName=name, Name="live", FunctionVersion="1") == (
        "ResourceConflictException",
        409,
        f"Alias already exists: {ARN}{name}:live",
    )
    assert client.get_function_configuration(FunctionName=name, Qualifier="live")["FunctionArn"] == f"{ARN}{name}:live"
    moved = client.update_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    assert (moved["FunctionVersion"], moved["Description"]) == ("$LATEST", "d")
    assert moved["RevisionId"] != alias["RevisionId"]
    stale = refused("update_alias", FunctionName=name, Name="live", RevisionId=alias["RevisionId"])
    assert stale[:2] == ("PreconditionFailedException", 412)
    assert client.delete_alias(FunctionName=name, Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused("get_alias", FunctionName=name, Name="live") == (
        "ResourceNotFoundException",
        404,
        f"Cannot find alias arn: {ARN}{name}:live",
    )


def test_aliases_are_listed_by_version(make, client, name):
    make(Publish=True)
    for alias, version in (("a", "1"), ("b", "$LATEST"), ("c", "1")):
        client.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
    pages = client.get_paginator("list_aliases").paginate(FunctionName=name, PaginationConfig={"PageSize": 2})
    assert [a["Name"] for page in pages for a in page["Aliases"]] == ["a", "b", "c"]
    assert [a["Name"] for a in client.list_aliases(FunctionName=name, FunctionVersion="1")["Aliases"]] == ["a", "c"]


def test_routing(make, client, refused, name):
    make(Publish=True)
    client.update_function_configuration(FunctionName=name, Description="x")
    client.publish_version(FunctionName=name)

    def weights(version: str, given: dict[str, float]) -> tuple[str, int, str]:
        return refused(
            "create_alias",
            FunctionName=name,
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": given},
        )

    invalid = "InvalidParameterValueException"
    assert weights("1", {"1": 0.5}) == (
        invalid,
        400,
        "Invalid function version 1. Function version 1 is already included in routing configuration.",
    )
    assert weights("$LATEST", {"1": 0.5}) == (
        invalid,
        400,
        "$LATEST is not supported for an alias pointing to more than 1 version",
    )
    assert weights("1", {"2": 0.1, "3": 0.1}) == (
        invalid,
        400,
        "Number of items in AdditionalVersionWeights cannot be greater than 1",
    )
    assert weights("1", {"9": 0.1}) == ("ResourceNotFoundException", 404, f"Function not found: {ARN}{name}:9")
    assert weights("1", {"2": 2.0})[2] == (
        "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy "
        "constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must "
        "have value greater than or equal to 0.0, Member must not be null]"
    )
    assert weights("1", {"$LATEST": 0.5})[2].startswith(
        "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to "
        "satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, "
    )
    client.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )
    seen = {client.invoke(FunctionName=name, Qualifier="live")["ExecutedVersion"] for _ in range(30)}
    assert seen == {"1", "2"}
    cleared = client.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert "RoutingConfig" not in cleared
    assert client.invoke(FunctionName=name, Qualifier="live")["ExecutedVersion"] == "1"
