"""docs/api-coverage.md says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_lambda.api import coverage, description
from jupyter_lambda.api.awslambda import registry
from jupyter_lambda.api.rest_json import RestJson
from jupyter_lambda.api.services import OFFERS

PAGE = Path(__file__).parents[3] / "docs" / "api-coverage.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == coverage.page(), "run: python -m jupyter_lambda.api.coverage > docs/api-coverage.md"


def test_every_function_bears_the_name_of_an_operation_and_its_source():
    operations = RestJson(description.load("lambda")).operations
    names = {registry.function_name(name): name for name in operations}
    for module in registry.MODULES:
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and not name.startswith("_"):
                assert name in names, f"{module.__name__}.{name} is no operation"
                assert f'"{names[name]}"' in (value.__doc__ or ""), f"{name} does not name its source"


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_so_do_those_of_the_other_services(offer):
    operations = description.load(offer.name)["operations"]
    shapes = description.load(offer.name)["shapes"]
    names = {registry.function_name(name): name for name in operations}
    for module in offer.modules:
        for name, value in vars(module).items():
            own = callable(value) and getattr(value, "__module__", "") == module.__name__
            if own and not name.startswith("_") and not isinstance(value, type):
                assert name in names, f"{module.__name__}.{name} is no operation"
                assert f'"{names[name]}"' in (value.__doc__ or ""), f"{name} does not name its source"
    for name, parameters in registry.without_effect(offer.modules).items():
        assert set(parameters) <= set(shapes[operations[name]["input"]["shape"]]["members"])


def test_parameters_without_effect_exist():
    operations = RestJson(description.load("lambda")).operations
    for operation, parameters in registry.without_effect().items():
        assert set(parameters) <= set(operations[operation].parameters)
