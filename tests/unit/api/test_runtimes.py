"""Which runtimes can run here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jupyter_lambda.engine.runtimes import Runtimes, identify
from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.errors import InvalidParameterValueException, ServiceException

OWN = f"python3.{sys.version_info.minor}"
DOCKER = SimpleNamespace(name="docker")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def runtimes() -> Runtimes:
    settings = EngineSettings(interpreters=(Path(sys.executable),), runtime_images={"nodejs22.x": "node:22"})
    return Runtimes(settings, DOCKER)  # type: ignore[arg-type]


def test_the_version_is_read_where_it_is_written(tmp_path):
    virtual = script(tmp_path / "venv/bin/python", "#!/bin/sh\nexit 1\n")
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr\nversion = 3.12.4\n")
    assert identify(virtual).version == (3, 12)
    binary = script(tmp_path / "bin/python3.10", "#!/bin/sh\nexit 1\n")
    link = tmp_path / "bin/python3"
    link.symlink_to(binary)
    assert identify(link).runtime == "python3.10"
    assert identify(link).path == link


def test_an_interpreter_is_asked_where_nothing_is_written(tmp_path, caplog):
    assert identify(script(tmp_path / "python", "#!/bin/sh\necho 3 13\n")).version == (3, 13)
    for number, answer in enumerate(("exit 1", "echo hello", "echo 2 7", "echo 3 8")):
        assert identify(script(tmp_path / f"bad{number}", f"#!/bin/sh\n{answer}\n")) is None
    assert identify(tmp_path / "missing") is None
    assert caplog.text.count("left out") == 5


def test_what_is_available(runtimes):
    assert runtimes.available() == [OWN, "provided.al2023", "provided.al2", "nodejs22.x"]
    for runtime in runtimes.available():
        runtimes.check(runtime, "a.b", "Zip", ())
    runtimes.check(None, None, "Image", ())


def test_what_is_not(runtimes):
    def refusal(*given: object) -> str:
        with pytest.raises(InvalidParameterValueException) as caught:
            runtimes.check(*given)
        return caught.value.message

    assert refusal(None, "a.b", "Zip", ()).startswith("Runtime and Handler are mandatory")
    assert refusal(OWN, "", "Zip", ()).startswith("Runtime and Handler are mandatory")
    assert "is no longer supported" in refusal("go1.x", "a.b", "Zip", ())
    assert OWN in refusal("java21", "a.b", "Zip", ())
    assert "or be a valid ARN" in refusal("cobol", "a.b", "Zip", ())
    other = "arm64" if runtimes.architecture == "x86_64" else "x86_64"
    assert f"This engine's host is {runtimes.architecture}" in refusal(OWN, "a.b", "Zip", (other,))


def test_images_need_containers():
    alone = Runtimes(EngineSettings(interpreters=(Path(sys.executable),), runtime_images={"ruby3.3": "r"}))
    assert "ruby3.3" not in alone.available()
    with pytest.raises(InvalidParameterValueException, match="need a container engine"):
        alone.check(None, None, "Image", ())


def test_the_interpreter_of_a_version(tmp_path):
    other = script(tmp_path / "venv/bin/python", "#!/bin/sh\n")
    (tmp_path / "venv/pyvenv.cfg").write_text("version = 3.9.1\n")
    runtimes = Runtimes(EngineSettings(interpreters=(Path(sys.executable), other)))
    assert runtimes.interpreter(OWN, None) is None
    assert runtimes.interpreter("python3.9", None) is None
    assert runtimes.path("python3.9", None) == other
    with pytest.raises(ServiceException, match=r"no interpreter for python3\.10 is known"):
        runtimes.path("python3.10", None)
    assert runtimes.interpreter("python3.9", str(other)) == str(other)
    assert runtimes.interpreter("provided.al2", "/bin/anything") is None
    for runtime, chosen in ((OWN, str(other)), (OWN, "/bin/sh")):
        with pytest.raises(InvalidParameterValueException, match="is not one that this engine runs"):
            runtimes.interpreter(runtime, chosen)
