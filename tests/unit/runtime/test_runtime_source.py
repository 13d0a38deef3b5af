"""The runtime's files: old Pythons can read them, and they import little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_lambda import runtime

FILES = sorted(Path(runtime.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_python_3_9_can_read_it(path):
    assert isinstance(ast.parse(path.read_text(), feature_version=(3, 9)), ast.Module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_the_standard_library_and_its_own_folder_only(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module.split(".")[0] in sys.stdlib_module_names


def test_starting_loads_no_more_than_it_must():
    """Each of these would cost every cold start a millisecond or more."""
    folder = str(FILES[0].parent)
    code = (
        "import sys; package = type(sys)('_lambda_runtime'); "
        f"package.__path__ = [{folder!r}]; sys.modules['_lambda_runtime'] = package; "
        "import _lambda_runtime.python; print(*sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    heavy = {"typing", "socket", "logging", "threading", "traceback", "ctypes", "pathlib", "importlib", "inspect"}
    assert not loaded & heavy
