"""Functions over the wire. Texts: recorded answers of AWS, or the AWS page that is named."""
# ruff: noqa: E501 - AWS's own sentences

from __future__ import annotations

import base64
import hashlib
import urllib.request

import pytest

from .conftest import ROLE, RUNTIME, zipped

LATEST_ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def test_create_answers_as_aws_does(make, name):
    answer = make(Description="d", Environment={"Variables": {"AA": "b"}}, Tags={"team": "x"})
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    assert answer.pop("RevisionId")
    assert answer.pop("LastModified").endswith("+0000")
    assert answer.pop("RuntimeVersionConfig")["RuntimeVersionArn"].startswith("arn:aws:lambda:us-east-1::runtime:")
    assert answer == {
        "FunctionName": name,
        "FunctionArn": LATEST_ARN + name,
        "Runtime": RUNTIME,
        "Role": ROLE,
        "Handler": "app.handler",
        "CodeSize": len(zipped()),
        "Description": "d",
        "Timeout": 3,
        "MemorySize": 128,
        "CodeSha256": base64.b64encode(hashlib.sha256(zipped()).digest()).decode(),
        "Version": "$LATEST",
        "Environment": {"Variables": {"AA": "b"}},
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }


def test_get_function_has_a_location_that_really_downloads(make, client, name):
    make(Tags={"team": "x"})
    answer = client.get_function(FunctionName=name)
    assert answer["Configuration"]["FunctionArn"] == LATEST_ARN + name
    assert answer["Tags"] == {"team": "x"}
    assert answer["Code"]["RepositoryType"] == "S3"
    with urllib.request.urlopen(answer["Code"]["Location"]) as download:
        assert download.read() == zipped()


def test_a_location_with_another_signature_does_not_download(make, client, name):
    make()
    url = client.get_function(FunctionName=name)["Code"]["Location"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert caught.value.code == 403
    caught.value.close()


def test_configuration_is_found_by_name_partial_arn_and_arn(make, client, name):
    make()
    for spelling in (name, f"000000000000:function:{name}", f"function:{name}", LATEST_ARN + name):
        assert client.get_function_configuration(FunctionName=spelling)["FunctionName"] == name
    qualified = client.get_function_configuration(FunctionName=f"{LATEST_ARN}{name}:$LATEST")
    assert qualified["FunctionArn"] == f"{LATEST_ARN}{name}:$LATEST"


def test_create_twice_conflicts(make, refused, name):
    make()
    request = {"FunctionName": name, "Role": ROLE, "Runtime": RUNTIME, "Handler": "a.b", "Code": {"ZipFile": zipped()}}
    assert refused("create_function", **request) == (
        "ResourceConflictException",
        409,
        f"Function already exist: {name}",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"Role": "r1"},
            (
                "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy "
                r"regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
            ),
        ),
        (
            {"Architectures": ["X86_64"]},
            (
                "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must "
                "satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
            ),
        ),
        (
            {"Architectures": ["x86_64", "arm64"]},
            (
                "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: "
                "Member must have length less than or equal to 1"
            ),
        ),
        (
            {"Timeout": 901},
            (
                "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value "
                "less than or equal to 900"
            ),
        ),
        (
            {"MemorySize": 127, "Timeout": 0},
            (
                "2 validation errors detected: Value '0' at 'timeout' failed to satisfy constraint: Member must have value "
                "greater than or equal to 1; Value '127' at 'memorySize' failed to satisfy constraint: Member must have "
                "value greater than or equal to 128"
            ),
        ),
        (
            {"PackageType": "Tar"},
            (
                "1 validation error detected: Value 'Tar' at 'packageType' failed to satisfy constraint: Member must "
                "satisfy enum value set: [Zip, Image]"
            ),
        ),
        (
            {"Role": None},
            "1 validation error detected: Value null at 'role' failed to satisfy constraint: Member must not be null",
        ),
    ],
)
def test_broken_constraints_of_the_model(make, client, changes, expected):
    with pytest.raises(client.exceptions.ClientError) as caught:
        make(**changes)
    response = caught.value.response
    assert response["Error"] == {"Code": "ValidationException", "Message": expected}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"FunctionName": "a" * 65},
            (
                f"1 validation error detected: Value '{'a' * 65}' at 'functionName' failed to satisfy constraint: Member "
                "must have length less than or equal to 64"
            ),
        ),
        (
            {"Runtime": "nodejs12.x"},
            (
                "The runtime parameter of nodejs12.x is no longer supported for creating or updating AWS Lambda functions. "
                "We recommend you use a supported runtime while creating or updating functions."
            ),
        ),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            (
                "Lambda was unable to configure your environment variables because the environment variables you have "
                "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
                "this request: AWS_REGION"
            ),
        ),
        (
            {"Handler": None},
            "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
        ),
        (
            {"Code": {"ImageUri": "x"}},
            "Please don't provide ImageUri when creating a function with packageType Zip.",
        ),
        (
            {"Code": {"ZipFile": b"no zip"}},
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
    ],
)
def test_what_the_control_plane_refuses(make, client, changes, expected):
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        make(**changes)
    response = caught.value.response
    assert response["Error"]["Message"] == expected
    assert response["Type"] == "User"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_unknown_runtime_names_those_available(make, client):
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        make(Runtime="non-existent-runtime")
    message = caught.value.response["Error"]["Message"]
    assert message.startswith(
        "Value non-existent-runtime at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
    )
    assert message.endswith("] or be a valid ARN")
    assert RUNTIME in message


def test_more_than_4_kb_of_environment(make, client):
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        make(Environment={"Variables": {"LARGE_VAR": "x" * 4096}})
    assert caught.value.response["Error"]["Message"].startswith(
        "Lambda was unable to configure your environment variables because the environment variables you have provided "
        'exceeded the 4KB limit. String measured: {"LARGE_VAR":"xxx'
    )


def test_an_image_must_be_on_the_host(make, client, name):
    answer = make(PackageType="Image", Code={"ImageUri": "local/image:1"}, Runtime=None, Handler=None)
    assert answer["PackageType"] == "Image"
    assert answer["CodeSha256"] == "ab" * 32
    code = client.get_function(FunctionName=name)["Code"]
    assert code == {
        "RepositoryType": "ECR",
        "ImageUri": "local/image:1",
        "ResolvedImageUri": "local/image@sha256:" + "ab" * 32,
    }
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="does not exist on this host"):
        client.create_function(FunctionName="none", Role=ROLE, PackageType="Image", Code={"ImageUri": "no/such"})
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="Please provide ImageUri when updating"):
        client.update_function_code(FunctionName=name, ZipFile=zipped())


def test_parameters_that_are_not_built_are_named(make, client):
    with pytest.raises(client.exceptions.ClientError) as caught:
        make(DurableConfig={"ExecutionTimeout": 10})
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_code_by_bucket_and_key_that_is_not_there(make, client):
    """Recorded of AWS: InvalidParameterValueException, "Error occurred while GetObject. S3 Error Code: …"."""
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="S3 Error Code: NoSuchBucket"):
        make(Code={"S3Bucket": "my-bucket", "S3Key": "k"})
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="S3Bucket and S3Key"):
        make(Code={"S3Bucket": "my-bucket"})


def test_parameters_without_effect_come_back(make, client, name):
    make(
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        TracingConfig={"Mode": "Active"},
        LoggingConfig={"LogFormat": "JSON"},
        KMSKeyArn="arn:aws:kms:us-east-1:000000000000:key/1",
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"},
    )
    answer = client.get_function_configuration(FunctionName=name)
    assert answer["VpcConfig"]["SubnetIds"] == ["subnet-1"]
    assert answer["TracingConfig"] == {"Mode": "Active"}
    assert answer["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": f"/aws/lambda/{name}"}
    assert answer["DeadLetterConfig"] == {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"}
    changed = client.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in changed


def test_update_configuration_changes_what_is_given(make, client, name):
    before = make(Environment={"Variables": {"AA": "1"}})
    after = client.update_function_configuration(FunctionName=name, MemorySize=256)
    assert after["MemorySize"] == 256
    assert after["Environment"] == {"Variables": {"AA": "1"}}
    assert after["RevisionId"] != before["RevisionId"]
    emptied = client.update_function_configuration(FunctionName=name, Environment={"Variables": {}})
    assert "Environment" not in emptied


def test_a_stale_revision_is_refused(make, client, name):
    make()
    for operation, changes in (
        ("update_function_configuration", {"Description": "x"}),
        ("update_function_code", {"ZipFile": zipped()}),
        ("publish_version", {}),
    ):
        with pytest.raises(client.exceptions.PreconditionFailedException) as caught:
            getattr(client, operation)(FunctionName=name, RevisionId="stale", **changes)
        assert caught.value.response["Error"]["Message"] == (
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id"
        )
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_update_code(make, client, name):
    before = make()
    other = zipped(app__py="def handler(event, context): return 2")
    would = client.update_function_code(FunctionName=name, ZipFile=other, DryRun=True)
    assert would["CodeSha256"] != before["CodeSha256"]
    assert client.get_function_configuration(FunctionName=name)["CodeSha256"] == before["CodeSha256"]
    after = client.update_function_code(FunctionName=name, ZipFile=other, RevisionId=before["RevisionId"])
    assert after["CodeSha256"] == would["CodeSha256"]
    published = client.update_function_code(FunctionName=name, ZipFile=zipped(), Publish=True)
    assert published["Version"] == "1"
    assert published["FunctionArn"].endswith(f"{name}:1")


def test_update_code_ImageUri_of_a_zip_function(make, refused, name):  # noqa: N802
    make()
    assert refused("update_function_code", FunctionName=name, ImageUri="x") == (
        "InvalidParameterValueException",
        400,
        "Please don't provide ImageUri when updating a function with packageType Zip.",
    )


def test_delete_and_what_is_not_there(make, client, refused, name):
    make()
    assert client.delete_function(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    not_found = ("ResourceNotFoundException", 404, f"Function not found: {LATEST_ARN}{name}")
    for operation in ("get_function", "get_function_configuration", "delete_function", "invoke", "get_policy"):
        assert refused(operation, FunctionName=name) == not_found
    assert refused("get_function", FunctionName=name, Qualifier="7")[2] == f"Function not found: {LATEST_ARN}{name}:7"
    assert refused("get_function", FunctionName=f"arn:aws:lambda:ap-southeast-1:000000000000:function:{name}") == (
        "ResourceNotFoundException",
        404,
        "Functions from 'ap-southeast-1' are not reachable in this region ('us-east-1')",
    )


def test_delete_of_versions(make, client, refused, name):
    make(Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert refused("delete_function", FunctionName=name, Qualifier="$LATEST")[2] == (
        "$LATEST version cannot be deleted without deleting the function."
    )
    assert refused("delete_function", FunctionName=name, Qualifier="live")[2] == (
        "Deletion of aliases is not currently supported."
    )
    assert refused("delete_function", FunctionName=name, Qualifier="1")[:2] == ("ResourceConflictException", 409)
    client.delete_alias(FunctionName=name, Name="live")
    client.delete_function(FunctionName=name, Qualifier="1")
    assert [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"]] == ["$LATEST"]


def test_list_functions_pages(make, client, name):
    for number in range(5):
        make(FunctionName=f"{name}-{number}", Publish=number == 0)
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    listed = [f["FunctionName"] for page in pages for f in page["Functions"] if f["FunctionName"].startswith(name)]
    assert listed == [f"{name}-{number}" for number in range(5)]
    every = client.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 3})
    arns = [f["FunctionArn"] for page in every for f in page["Functions"] if f["FunctionName"] == f"{name}-0"]
    assert arns == [f"{LATEST_ARN}{name}-0:$LATEST", f"{LATEST_ARN}{name}-0:1"]


def test_lists_have_a_subset_of_the_fields(make, client, name):
    """ListFunctions: "returns a subset of the FunctionConfiguration fields. To get the additional fields (State, …) for
    a function or version, use GetFunction.\""""
    make()
    found = client.get_paginator("list_functions").paginate().search(f"Functions[?FunctionName=='{name}']")
    assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(next(iter(found)))


def test_a_foreign_marker_is_refused(refused):
    for marker in ("x", "bnVsbA==", "WzEsMl0=", "eyJhIjoxfQ=="):
        assert refused("list_functions", Marker=marker)[0] == "InvalidParameterValueException"


def test_extension_headers(engine, make, name):
    import json

    make()
    path = f"/2015-03-31/functions/{name}/configuration"
    status, _, body = engine.signed("PUT", path, b"{}", {"X-Jupyter-Lambda-Network": "internet"})
    assert (status, json.loads(body)["message"]) == (400, "X-Jupyter-Lambda-Network must be none or egress.")
    assert engine.signed("PUT", path, b"{}", {"X-Jupyter-Lambda-Network": "none"})[0] == 200
    assert engine.service.store.functions.get(name).latest.network == "none"
    status, _, body = engine.signed("PUT", path, b"{}", {"X-Jupyter-Lambda-Interpreter": "/bin/sh"})
    assert status == 400
    assert "is not one that this engine runs" in json.loads(body)["message"]


def test_tags(make, client, refused, name):
    arn = make(Tags={"a": "1"})["FunctionArn"]
    client.tag_resource(Resource=arn, Tags={"b": "ü 2"})
    assert client.list_tags(Resource=arn)["Tags"] == {"a": "1", "b": "ü 2"}
    client.untag_resource(Resource=arn, TagKeys=["a", "nothing"])
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "ü 2"}
    assert refused("tag_resource", Resource=f"{arn}:1", Tags={"a": "b"})[2] == (
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
    )
    assert refused("tag_resource", Resource=arn, Tags={str(n): "" for n in range(50)})[2] == (
        "Number of tags exceeds resource tag limit."
    )


def test_reserved_concurrency(make, client, refused, name):
    make()
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
    assert client.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 7
    assert client.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    limits = client.get_account_settings()["AccountLimit"]
    assert limits["ConcurrentExecutions"] - limits["UnreservedConcurrentExecutions"] == 7
    assert refused("put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=901) == (
        "InvalidParameterValueException",
        400,
        (
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
            "its minimum value of [100]."
        ),
    )
    client.delete_function_concurrency(FunctionName=name)
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=name)


def test_policies(make, client, refused, name):
    make()
    assert refused("get_policy", FunctionName=name)[2] == "The resource you requested does not exist."
    assert refused("remove_permission", FunctionName=name, StatementId="x")[2] == (
        "No policy is associated with the given resource."
    )
    given = {"FunctionName": name, "StatementId": "s1", "Action": "lambda:InvokeFunction"}
    client.add_permission(**given, Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::bucket")
    assert refused("add_permission", **given, Principal="s3.amazonaws.com") == (
        "ResourceConflictException",
        409,
        (
            "The statement id (s1) provided already exists. Please provide a new statement id, or remove the existing "
            "statement."
        ),
    )
    assert refused("add_permission", **(given | {"StatementId": "s2"}), Principal="wrong")[2] == (
        "The provided principal was invalid. Please check the principal and try again."
    )
    assert (
        '"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}'
        in client.get_policy(FunctionName=name)["Policy"]
    )
    assert refused("remove_permission", FunctionName=name, StatementId="non-existent")[2] == (
        "Statement non-existent is not found in resource policy."
    )
    client.remove_permission(FunctionName=name, StatementId="s1")


def test_invoke_configs(make, client, refused, name):
    make()
    assert refused("put_function_event_invoke_config", FunctionName=name)[2] == (
        "You must specify at least one of error handling or destination setting."
    )
    assert refused("get_function_event_invoke_config", FunctionName=name) == (
        "ResourceNotFoundException",
        404,
        f"The function {LATEST_ARN}{name}:$LATEST doesn't have an EventInvokeConfig",
    )
    assert refused("put_function_event_invoke_config", FunctionName="none", MaximumRetryAttempts=1)[2] == (
        "The function doesn't exist."
    )
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    queue = "arn:aws:sqs:us-east-1:000000000000:q"
    client.update_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    config = client.get_function_event_invoke_config(FunctionName=name)
    assert config["MaximumRetryAttempts"] == 0
    assert config["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": queue}}
    assert config["LastModified"].year >= 2026
    listed = client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert [c["FunctionArn"] for c in listed] == [f"{LATEST_ARN}{name}:$LATEST"]
    client.delete_function_event_invoke_config(FunctionName=name)
    assert client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []
