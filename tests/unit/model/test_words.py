"""Names and records of the model."""

from __future__ import annotations

import pytest

from jupyter_lambda.errors import ResourceNotFoundException, ValidationException
from jupyter_lambda.model.arn import Account, FunctionName, LayerName
from jupyter_lambda.model.environment import EnvironmentLife, EnvironmentState, IllegalTransition
from jupyter_lambda.model.function import FunctionVersion, ImageConfig

ACCOUNT = Account()


@pytest.mark.parametrize(
    ("text", "name", "qualifier"),
    [
        ("f", "f", None),
        ("f:1", "f", "1"),
        ("f:$LATEST", "f", "$LATEST"),
        ("000000000000:function:f:live", "f", "live"),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", "f", None),
        ("arn:aws:lambda:us-east-1:000000000000:function:f:2", "f", "2"),
    ],
)
def test_names_partial_arns_and_arns(text, name, qualifier):
    assert FunctionName.parse(text, ACCOUNT) == FunctionName(name, qualifier)


@pytest.mark.parametrize("text", ["", "a b", "arn:aws:lambda:f", "f:a:b", "../f", "invalid:function:name"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValidationException, match="functionName"):
        FunctionName.parse(text, ACCOUNT)


def test_other_regions_and_accounts_are_not_here():
    with pytest.raises(ResourceNotFoundException, match="not reachable in this region"):
        FunctionName.parse("arn:aws:lambda:eu-west-1:000000000000:function:f", ACCOUNT)
    with pytest.raises(ResourceNotFoundException):
        FunctionName.parse("arn:aws:lambda:us-east-1:111111111111:function:f", ACCOUNT)


def test_layer_arns():
    assert LayerName.parse(ACCOUNT.layer_arn("l", 3)) == LayerName("l", 3, "us-east-1", "000000000000")
    assert LayerName.parse(ACCOUNT.layer_arn("l")).version is None
    assert LayerName.parse("l:3") is None


def test_function_version_survives_json():
    version = FunctionVersion(
        "f",
        "$LATEST",
        "role",
        "now",
        "rev",
        "sha",
        layers=("a", "b"),
        environment={"K": "V"},
        image_config=ImageConfig(("a",), None, "/w"),
    )
    assert FunctionVersion.from_json({**version.to_json(), "from_a_later_release": 1}) == version
    assert version.as_version(7).version == "7"


def test_illegal_transition_tells_the_story():
    life = EnvironmentLife("e1", 0.0)
    life.to(EnvironmentState.INITIALIZING, 1.0)
    life.to(EnvironmentState.BUSY, 2.0)
    with pytest.raises(IllegalTransition, match=r"Starting@0.000 → Initializing@1.000 → Busy@2.000 ↛ Starting"):
        life.to(EnvironmentState.STARTING, 3.0)
