"""What the project's own files promise each other."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest
from traitlets.utils.importstring import import_item

import jupyter_lambda
from jupyter_lambda.cli.app import LambdaApp
from jupyter_lambda.cli.settings import engine_settings, interpreters, sandbox_settings
from jupyter_lambda.config import LambdaEngine, LambdaServer
from jupyter_lambda.engine.settings import EngineSettings

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OPERATIONS = (ROOT / "docs/operations.md").read_text()
DEPENDENCIES = (ROOT / "docs/dependencies.md").read_text()


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[^\w.-]", requirement)[0] for requirement in requirements]


def test_the_version_is_written_once():
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "jupyter_lambda/__init__.py"
    assert "version" not in PROJECT["project"]
    assert (ROOT / "CHANGELOG.md").read_text().count(f"## [{jupyter_lambda.__version__.partition('.dev')[0]}]") == 1


def test_the_server_configuration_enables_the_extension():
    data = json.loads((ROOT / "etc/jupyter/jupyter_server_config.d/jupyter_lambda.json").read_text())
    assert data == {"ServerApp": {"jpserver_extensions": {"jupyter_lambda": True}}}


def test_every_dependency_has_its_reason():
    groups = PROJECT["project"]["optional-dependencies"]
    for name in names([*PROJECT["project"]["dependencies"], *chain.from_iterable(groups.values())]):
        assert f"**{name}**" in DEPENDENCIES, f"docs/dependencies.md says nothing of {name}"


@pytest.mark.parametrize("name", LambdaApp.subcommands)
def test_every_command_and_its_options_are_documented(name):
    command = import_item(LambdaApp.subcommands[name][0])
    section = OPERATIONS.partition(f"\n### `jupyter lambda {name}`")[2].partition("\n### ")[0]
    assert section, f"docs/operations.md has no section for jupyter lambda {name}"
    common = {"config", "debug", "generate-config", "state-dir"}
    for keys in (*command.aliases, *command.flags):
        for key in (keys,) if isinstance(keys, str) else keys:
            dashes = "-" if len(key) == 1 else "--"
            assert key in common or f"`{dashes}{key}" in section, f"{dashes}{key} of {name} is not documented"
    for key in common:
        assert f"`--{key}" in OPERATIONS


@pytest.mark.parametrize("cls", [LambdaEngine, LambdaServer])
def test_every_option_is_documented_with_its_default(cls):
    for name, trait in cls.class_own_traits(config=True).items():
        default = getattr(cls(), name)
        shown = "empty" if default == "" else f"`{default}`"
        assert f"| `{name}` | {shown} |" in OPERATIONS, f"docs/operations.md: {cls.__name__}.{name}, default {shown}"
        assert trait.help.strip(), name
        assert "Default" in trait.help, f"the help of {cls.__name__}.{name} gives no reason for its default"


def test_every_engine_setting_is_an_option():
    named = {"account": {"region", "account_id"}}
    for field in fields(EngineSettings):
        for name in named.get(field.name, {field.name}):
            assert LambdaEngine.class_traits(config=True).get(name), f"no option sets EngineSettings.{field.name}"


def test_options_and_settings_have_the_same_defaults():
    given, plain = engine_settings(LambdaEngine()), EngineSettings()
    for field in fields(EngineSettings):
        if field.name != "interpreters":
            assert getattr(given, field.name) == getattr(plain, field.name), field.name


def test_options_become_plain_values(tmp_path):
    traits = LambdaEngine(region="eu-west-1", account_id="123456789012", runtime_images={"nodejs22.x": "node"})
    traits.host_paths, traits.docker_url, traits.transport = ["~/data"], "unix:///x", "tcp"
    settings = engine_settings(traits)
    assert settings.account.function_arn("f") == "arn:aws:lambda:eu-west-1:123456789012:function:f"
    assert settings.runtime_images == {"nodejs22.x": "node"}
    sandbox = sandbox_settings(traits, tmp_path, "aa", "bb")
    assert sandbox.host_paths == (Path.home() / "data",)
    assert (sandbox.docker_url, sandbox.transport) == ("unix:///x", "tcp")


def test_interpreters_of_kernels_are_found_and_broken_kernelspecs_are_not(tmp_path, monkeypatch):
    import sys

    python = tmp_path / "env" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    (python.parent / "python").symlink_to("python3")
    (python.parent / "python-config").symlink_to("python3")
    texts = {
        "good": json.dumps({"language": "python", "argv": [str(python), "-m", "ipykernel_launcher"]}),
        "relative": json.dumps({"language": "python", "argv": ["python3"]}),
        "gone": json.dumps({"language": "python", "argv": ["/no/such/python"]}),
        "other": json.dumps({"language": "R", "argv": ["/bin/sh"]}),
        "empty": json.dumps({"language": "python", "argv": []}),
        "broken": "{",
    }
    for name, text in texts.items():
        (tmp_path / "kernels" / name).mkdir(parents=True)
        (tmp_path / "kernels" / name / "kernel.json").write_text(text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    found = interpreters()
    assert found[0] == Path(sys.executable)
    assert python in found
    assert python.parent / "python" in found
    assert python.parent / "python-config" not in found
    assert not {Path("python3"), Path("/no/such/python"), Path("/bin/sh")} & set(found)


def test_contracts_name_modules_that_exist():
    """A contract about a module that is gone holds nothing."""
    from configparser import ConfigParser

    contracts = ConfigParser()
    contracts.read(ROOT / "setup.cfg")
    for section in contracts.sections():
        for word in re.findall(r"jupyter_lambda(?:\.\w+)+", str(dict(contracts[section]))):
            path = ROOT / word.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), word
