"""The file that IPython runs at the start of every kernel of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

HOOK = Path(__file__).parents[3] / "etc/ipython/startup/50-jupyter-lambda.py"


def run(monkeypatch: pytest.MonkeyPatch, load: object) -> dict[str, object]:
    import jupyter_lambda

    monkeypatch.setattr(jupyter_lambda, "load_ipython_extension", load)
    namespace: dict[str, object] = {"get_ipython": lambda: "the shell"}
    exec(compile(HOOK.read_text(), str(HOOK), "exec"), namespace)
    return {name: value for name, value in namespace.items() if not name.startswith("__") and name != "get_ipython"}


def test_loads_the_extension_and_leaves_no_name_behind(monkeypatch):
    given: list[object] = []
    assert run(monkeypatch, given.append) == {}
    assert given == ["the shell"]


def test_a_failure_is_one_line_and_no_exception(monkeypatch, capsys):
    def fail(_shell: object) -> None:
        raise ImportError("no module named x")

    assert run(monkeypatch, fail) == {}
    assert capsys.readouterr().out == "jupyter_lambda: %%lambda is not available: ImportError: no module named x\n"
