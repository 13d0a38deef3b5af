"""Layers over the wire."""

from __future__ import annotations

import urllib.request

import pytest

from .conftest import RUNTIME, zipped

ARN = "arn:aws:lambda:us-east-1:000000000000:layer:"


@pytest.fixture
def publish(client, name):
    def call(**changes):
        return client.publish_layer_version(LayerName=name, Content={"ZipFile": zipped(a__txt="a")}, **changes)

    return call


def test_publish_and_get(publish, client, name):
    first = publish(Description="d", CompatibleRuntimes=[RUNTIME], LicenseInfo="MIT")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["Version"], first["LayerArn"]) == (1, ARN + name)
    assert first["LayerVersionArn"] == f"{ARN}{name}:1"
    assert publish()["Version"] == 2
    found = client.get_layer_version(LayerName=ARN + name, VersionNumber=1)
    assert (found["Description"], found["CompatibleRuntimes"], found["LicenseInfo"]) == ("d", [RUNTIME], "MIT")
    by_arn = client.get_layer_version_by_arn(Arn=f"{ARN}{name}:1")
    assert by_arn["LayerVersionArn"] == f"{ARN}{name}:1"
    with urllib.request.urlopen(by_arn["Content"]["Location"]) as download:
        assert download.read() == zipped(a__txt="a")


def test_lists(publish, client, name):
    publish(CompatibleRuntimes=[RUNTIME])
    publish()
    publish()
    pages = client.get_paginator("list_layer_versions").paginate(LayerName=name, PaginationConfig={"PageSize": 2})
    assert [v["Version"] for page in pages for v in page["LayerVersions"]] == [3, 2, 1]
    fitting = client.list_layer_versions(LayerName=name, CompatibleRuntime=RUNTIME)["LayerVersions"]
    assert [v["Version"] for v in fitting] == [1]
    layers = [layer for page in client.get_paginator("list_layers").paginate() for layer in page["Layers"]]
    assert [layer["LatestMatchingVersion"]["Version"] for layer in layers if layer["LayerName"] == name] == [3]


def test_what_is_not_there(publish, client, refused, name):
    publish()
    missing = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    assert refused("get_layer_version", LayerName=name, VersionNumber=9) == missing
    assert refused("get_layer_version", LayerName="none", VersionNumber=1) == missing
    assert refused("get_layer_version", LayerName=name, VersionNumber=0)[0] == "InvalidParameterValueException"
    assert client.delete_layer_version(LayerName=name, VersionNumber=1)["ResponseMetadata"]["HTTPStatusCode"] == 204
    client.delete_layer_version(LayerName=name, VersionNumber=1)
    assert refused("get_layer_version", LayerName=name, VersionNumber=1) == missing
    assert publish()["Version"] == 2


def test_attaching(publish, make, client, name):
    one, two = publish()["LayerVersionArn"], publish()["LayerVersionArn"]

    def refusal(*layers: str) -> tuple[str, str]:
        with pytest.raises(client.exceptions.ClientError) as caught:
            make(Layers=list(layers))
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    invalid = "InvalidParameterValueException"
    assert refusal(one, two) == (
        invalid,
        (
            "Two different versions of the same layer are not allowed to be referenced in the same function. "
            f"{one} and {two} are versions of the same layer."
        ),
    )
    assert refusal(f"{ARN}{name}:9") == (invalid, f"Layer version {ARN}{name}:9 does not exist.")
    assert refusal(one.replace("us-east-1", "eu-west-1")) == (
        invalid,
        "Layers are not in the same region as the function. Layers are expected to be in region us-east-1.",
    )
    assert refusal(*[f"{ARN}l{n}:1" for n in range(6)]) == (invalid, "Cannot reference more than 5 layers.")
    assert refusal(one.replace("000000000000", "111111111111"))[0] == "AccessDeniedException"
    assert refusal("no-arn")[0] == "ValidationException"
    answer = make(Layers=[two])
    assert answer["Layers"] == [{"Arn": two, "CodeSize": len(zipped(a__txt="a"))}]
    assert "Layers" not in client.update_function_configuration(FunctionName=name, Layers=[])


def test_unknown_compatible_runtimes(client, refused, name):
    code, status, message = refused(
        "publish_layer_version",
        LayerName=name,
        Content={"ZipFile": zipped()},
        CompatibleRuntimes=["invalidruntime", "invalidruntime2"],
        CompatibleArchitectures=["invalidarch"],
    )
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith("2 validation errors detected: ")
    assert (
        "Value '[invalidruntime, invalidruntime2]' at 'compatibleRuntimes' failed to satisfy constraint: Member must "
        "satisfy enum value set: [" in message
    )
    assert "] or be a valid ARN" in message
    assert (
        "Value '[invalidarch]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy "
        "constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]" in message
    )
