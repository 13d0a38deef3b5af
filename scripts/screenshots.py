"""Take the pictures of the documentation: notebooks run in a real JupyterLab, light and dark.

Needs Chromium (Debian: ``apt-get install chromium fonts-dejavu-core``) and ``pip install jupyterlab playwright``.
Usage: ``python scripts/screenshots.py [folder [picture…]]``; the default folder is docs/images, all pictures.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
#: Notebook → its picture, and the text of the cell that stands at the top of it ("": the notebook's own top).
PICTURES = {
    "01-first-function.ipynb": ("first-function", ""),
    "06-memory-and-cost.ipynb": ("tuning", "%lambda tune"),
}
#: Chromium's own traffic (updates, look-ups) is not wanted.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextlib.contextmanager
def jupyterlab(folder: Path, theme: str) -> Iterator[str]:
    """A JupyterLab server on ``folder`` with a state directory of its own; yields its address."""
    settings = folder / ".settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
        "JUPYTER_LAMBDA_STATE_DIR": str(folder / ".state"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--expose-app-in-browser",
    ]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    with (folder / ".server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=1).close()  # noqa: S310 - our own server
                break
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(60)


def run_notebook(page: Page, address: str, notebook: str) -> None:
    """Open the notebook, run it whole and wait until the kernel rests."""
    page.goto(f"{address}/lab/tree/{notebook}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=60_000)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    kernel = "window.jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel"
    page.wait_for_function(f"() => {kernel}?.connectionStatus === 'connected'", timeout=60_000)
    page.evaluate(f"() => {kernel}.info")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=180_000)
    page.wait_for_timeout(1500)
    # From the model: what is scrolled out of sight is not on the page.
    failures = page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells
          .filter(cell => cell.cell_type === "code").flatMap(cell => cell.getOutputs())
          .filter(output => output.output_type === "error").map(output => `${output.ename}: ${output.evalue}`)"""
    )
    if failures:
        raise SystemExit(f"{notebook}: a cell failed: {failures[0]}")


#: Scrolls the notebook until the cell with this source is at the top.
_SCROLL = """(text) => {
  const panel = document.querySelector(".jp-WindowedPanel-outer");
  const cell = [...document.querySelectorAll(".jp-Cell")].find(one => text && one.innerText.includes(text));
  const offset = cell ? cell.getBoundingClientRect().top - panel.getBoundingClientRect().top - 8 : -panel.scrollTop;
  panel.scrollTop += offset;
}"""


def main(target: Path, only: set[str]) -> None:
    """One picture of each executed notebook for each theme."""
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for theme, suffix in (("JupyterLab Light", ""), ("JupyterLab Dark", "-dark")):
            for notebook, (picture, top) in PICTURES.items():
                if only and picture not in only:
                    continue
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    shutil.copy(ROOT / "notebooks" / notebook, folder)
                    with jupyterlab(folder, theme) as address:
                        page = browser.new_page(viewport={"width": 1040, "height": 940})
                        run_notebook(page, address, notebook)
                        page.evaluate(_SCROLL, top)
                        page.wait_for_timeout(800)
                        page.evaluate(_SCROLL, top)
                        page.wait_for_timeout(800)
                        page.screenshot(path=target / f"{picture}{suffix}.png")
                        page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images", set(sys.argv[2:]))
