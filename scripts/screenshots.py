"""Take the pictures of the documentation: the first notebook, run in a real JupyterLab, light and dark.

Needs Chromium (Debian: ``apt-get install chromium fonts-dejavu-core``) and ``pip install jupyterlab playwright``.
Usage: ``python scripts/screenshots.py [folder]``; the default folder is docs/images.
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
NOTEBOOK = "01-first-function.ipynb"
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


def run_notebook(page: Page, address: str) -> None:
    """Open the notebook, run it whole and wait until the kernel rests."""
    page.goto(f"{address}/lab/tree/{NOTEBOOK}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=60_000)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=180_000)
    page.wait_for_timeout(1500)


def main(target: Path) -> None:
    """One picture of the top of the executed notebook for each theme."""
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for theme, suffix in (("JupyterLab Light", ""), ("JupyterLab Dark", "-dark")):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                shutil.copy(ROOT / "notebooks" / NOTEBOOK, folder)
                with jupyterlab(folder, theme) as address:
                    page = browser.new_page(viewport={"width": 1040, "height": 940})
                    run_notebook(page, address)
                    page.locator(".jp-WindowedPanel-outer").first.evaluate("e => { e.scrollTop = 0 }")
                    page.wait_for_timeout(800)
                    page.screenshot(path=target / f"first-function{suffix}.png")
                    page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
