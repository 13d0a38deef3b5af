"""A real IPython shell and packages run in this process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyter_lambda.notebook.build import Build, build
from jupyter_lambda.notebook.cellmagic import cell_of
from jupyter_lambda.notebook.cells import CellIndex


class Notebook:
    """Runs cells and builds packages of others."""

    def __init__(self, shell: Any, folder: Path) -> None:
        self.shell = shell
        self._folder = folder

    def run(self, *cells: str) -> None:
        for cell in cells:
            result = self.shell.run_cell(cell, store_history=True)
            result.raise_error()

    @property
    def names(self) -> dict[str, Any]:
        return self.shell.user_ns

    def build(self, body: str, name: str = "clean", **options: Any) -> Build:
        return build(cell_of(self.shell, name, body), self.shell.user_ns, CellIndex.of_shell(self.shell), **options)

    def load(self, made: Build) -> Callable[..., Any]:
        """The handler of a package, loaded as a function would."""
        folder = self._folder / made.code_sha256.replace("/", "_")
        for path, data in made.generated.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        module_name, _, handler = made.generated.handler.rpartition(".")
        spec = importlib.util.spec_from_file_location(module_name, folder / "lambda_function" / "__init__.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        sys.path.insert(0, str(folder))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(folder))
        return getattr(module, handler)

    def call(self, body: str, event: Any = None, **options: Any) -> Any:
        """Build, load and call."""
        return self.load(self.build(body, **options))({} if event is None else event, None)


@pytest.fixture(scope="session")
def _shell() -> Iterator[Any]:
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "jupyter_lambda")
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def notebook(_shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook with no cells run yet, in an empty folder."""
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    _shell.reset(new_session=True)
    _shell.compile._filename_map.clear()
    _shell.compile.reset_compiler_flags()
    _shell.__dict__.pop("_jupyter_lambda_functions", None)
    yield Notebook(_shell, tmp_path)
    sys.modules.pop("lambda_function", None)
