"""What a resource-based policy allows, statement by statement as AddPermission writes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_lambda.triggers.permission import INVOKE_URL, allowed, arn_like
from jupyter_lambda.triggers.wildcards import wildcards

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
ROLE_SESSION = "arn:aws:sts::000000000000:assumed-role/lambda/g"


def service(*statements: dict[str, Any]) -> Any:
    policies = {FUNCTION: {"Statement": list(statements), "RevisionId": "r"}} if statements else {}
    return SimpleNamespace(store=SimpleNamespace(functions=SimpleNamespace(policy=policies.get)))


def statement(principal: Any, action: str = "lambda:InvokeFunction", **condition: dict[str, Any]) -> dict[str, Any]:
    return {"Sid": "s", "Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition}


def test_without_a_policy_no_service_may_invoke():
    assert not allowed(service(), FUNCTION, principal="s3.amazonaws.com")


def test_a_policy_is_of_one_arn_only():
    """Source: AddPermission: "the invoker must use the full Amazon Resource Name (ARN) of that version or alias"."""
    held = service(statement({"Service": "s3.amazonaws.com"}))
    assert allowed(held, FUNCTION, principal="s3.amazonaws.com")
    assert not allowed(held, f"{FUNCTION}:prod", principal="s3.amazonaws.com")


@pytest.mark.parametrize(
    ("stated", "principal", "expected"),
    [
        ({"Service": "s3.amazonaws.com"}, "s3.amazonaws.com", True),
        ({"Service": "s3.amazonaws.com"}, "sns.amazonaws.com", False),
        ("*", "*", True),
        ("*", "s3.amazonaws.com", True),
        ({"AWS": "arn:aws:iam::000000000000:root"}, "000000000000", True),
        ({"AWS": "arn:aws:iam::000000000000:root"}, ROLE_SESSION, True),
        ({"AWS": "arn:aws:iam::111111111111:root"}, ROLE_SESSION, False),
        ({"AWS": "arn:aws:iam::000000000000:role/lambda"}, ROLE_SESSION, True),
        ({"AWS": "arn:aws:iam::000000000000:role/other"}, ROLE_SESSION, False),
        ({"AWS": "arn:aws:iam::000000000000:root"}, "*", False),
        ({"AWS": "arn:aws:iam::000000000000:root"}, "s3.amazonaws.com", False),
    ],
)
def test_principals(stated, principal, expected):
    assert allowed(service(statement(stated)), FUNCTION, principal=principal) is expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [("lambda:InvokeFunction", True), ("lambda:*", True), ("*", True), ("lambda:GetFunction", False)],
)
def test_actions(action, expected):
    assert allowed(service(statement("*", action)), FUNCTION, principal="x") is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"source_arn": "arn:aws:s3:::photos", "source_account": "000000000000"}, True),
        ({"source_arn": "arn:aws:s3:::other", "source_account": "000000000000"}, False),
        ({"source_arn": "arn:aws:s3:::photos", "source_account": "111111111111"}, False),
        ({"source_arn": "arn:aws:s3:::photos"}, False),
        ({"source_account": "000000000000"}, False),
    ],
)
def test_all_conditions_must_hold_and_one_of_what_is_not_told_does_not(given, expected):
    held = service(
        statement(
            {"Service": "s3.amazonaws.com"},
            ArnLike={"AWS:SourceArn": "arn:aws:s3:::photos"},
            StringEquals={"AWS:SourceAccount": "000000000000"},
        )
    )
    assert allowed(held, FUNCTION, principal="s3.amazonaws.com", **given) is expected


def test_a_condition_that_is_not_known_does_not_hold():
    assert not allowed(service(statement("*", NumericLessThan={"x:y": "3"})), FUNCTION, principal="x")
    assert not allowed(service(statement("*", StringNotEquals={"AWS:SourceArn": "a"})), FUNCTION, principal="x")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("arn:aws:execute-api:us-east-1:000000000000:abc/*/GET/things", True),
        ("arn:aws:execute-api:us-east-1:000000000000:abc/*/*/*", True),
        ("arn:aws:execute-api:*:*:abc/*", True),
        ("arn:aws:execute-api:us-east-1:000000000000:ab?/prod/*", True),
        ("arn:aws:execute-api:us-east-1:000000000000:abc/*/POST/*", False),
        ("arn:*", False),
        ("arn:aws:execute-api:us-east-1:*", False),
    ],
)
def test_arn_like_compares_part_by_part(pattern, expected):
    """Source: IAM User Guide: "Each of the six colon-delimited components of the ARN is checked separately"."""
    arn = "arn:aws:execute-api:us-east-1:000000000000:abc/prod/GET/things"
    assert arn_like(arn, pattern) is expected
    assert (
        allowed(service(statement("*", ArnLike={"aws:SourceArn": pattern})), FUNCTION, principal="x", source_arn=arn)
        is expected
    )


def test_a_function_urls_two_statements():
    """Source: AWS Lambda Developer Guide, "Control access to Lambda function URLs": both actions are needed."""
    url = statement("*", INVOKE_URL, StringEquals={"lambda:FunctionUrlAuthType": "NONE"})
    via = statement("*", Bool={"lambda:InvokedViaFunctionUrl": "true"})
    held = service(url, via)
    assert allowed(held, FUNCTION, principal="*", action=INVOKE_URL, function_url_auth_type="NONE")
    assert not allowed(held, FUNCTION, principal="*", action=INVOKE_URL, function_url_auth_type="AWS_IAM")
    assert allowed(held, FUNCTION, principal="*", via_function_url=True)
    assert not allowed(held, FUNCTION, principal="*")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a*c", "abc", True), ("a*c", "ac", True), ("a*c", "abcd", False), ("a?c", "abc", True), ("a?c", "ac", False),
        ("*", "", True), ("", "", True), ("", "a", False), ("a[b]*", "a[b]c", True), ("a[bc]", "ab", False),
        ("a.c", "abc", False), ("a*b*c", "a\nb\nc", True), ("[!a]", "b", False), ("a\\*", "a\\b", True),
        ("A*", "ab", False),
    ],
)  # fmt: skip
def test_wildcards(pattern: str, text: str, matches: bool) -> None:
    assert (wildcards(pattern).fullmatch(text) is not None) is matches


@pytest.mark.timeout(10)
def test_no_path_takes_long_to_be_compared() -> None:
    path = "api/" + "/" * 60_000 + "x"
    assert not wildcards("api/*/*/pets").fullmatch(path)
    assert not wildcards("api/*/*/*/?*/pets").fullmatch(path)
