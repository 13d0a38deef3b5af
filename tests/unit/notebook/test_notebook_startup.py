"""A kernel's start must stay quick: what may not be loaded by the import and by the start-up hook."""

from __future__ import annotations

import json
import subprocess
import sys

#: Loaded on first use only.
HEAVY = [
    "argparse",
    "boto3",
    "botocore",
    "cloudpickle",
    "docker",
    "httptools",
    "importlib.resources",
    "ipywidgets",
    "jupyter_server",
    "nbformat",
    "numpy",
    "pandas",
    "requests",
    "sqlite3",
    "tornado.web",
    "traitlets.config.loader",
    "urllib.request",
    "urllib3",
    "uvloop",
    "zipfile",
]
PROGRAM = """
import json, sys, time
if sys.argv[1] == "hook":
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
before = set(sys.modules)
began = time.perf_counter()
import jupyter_lambda
if sys.argv[1] == "hook":
    jupyter_lambda.load_ipython_extension(shell)
    jupyter_lambda.load_ipython_extension(shell)
took_ms = (time.perf_counter() - began) * 1000
print(json.dumps([took_ms, sorted(set(sys.modules) - before)]))
"""


def loaded(step: str) -> tuple[float, list[str]]:
    """The quickest of three, and what was loaded."""
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, step], capture_output=True, text=True, timeout=60, check=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    took_ms, modules = min(found)
    return took_ms, modules


def test_importing_loads_nothing_heavy() -> None:
    took_ms, modules = loaded("import")
    assert [m for m in modules if m.startswith("jupyter_lambda.")] == []
    assert not set(HEAVY) & set(modules)
    assert took_ms < 50


def test_the_hook_loads_nothing_heavy() -> None:
    took_ms, modules = loaded("hook")
    ours = {m.removeprefix("jupyter_lambda.") for m in modules if m.startswith("jupyter_lambda.")}
    assert ours == {"errors", "notebook", "notebook.completion", "notebook.errors", "notebook.magics"}
    assert not set(HEAVY) & set(modules)
    assert took_ms < 100


def test_public_names_are_found_when_used() -> None:
    import jupyter_lambda

    for name in jupyter_lambda.__all__:
        assert getattr(jupyter_lambda, name) is not None
    assert set(jupyter_lambda.__all__) <= set(dir(jupyter_lambda))
