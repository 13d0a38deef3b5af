"""What a person sees beside the notebook: a function that was deployed in a cell appears, runs, counts, and goes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import TOKEN, Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

#: Where to leave pictures of what the test saw; none without it.
PICTURES = os.environ.get("JUPYTER_LAMBDA_TEST_PICTURES")

CELL = """%%lambda clean --trigger 'cron:0 9 * * ? *'
def handler(event, context):
    if event.get("n", 0) < 0:
        raise ValueError("n is negative")
    return {"squared": event.get("n", 0) ** 2}
"""
LOOPS = "for n in range(40):\n    clean({'n': n})\nprint('all', 'done')"
FAILS = "try:\n    clean({'n': -1})\nexcept Exception as error:\n    print('it', 'failed')"


def notebook(*cells: str) -> str:
    made = [
        {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None, "id": f"c{n}"}
        for n, text in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def run_cells(page: Page) -> None:
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")


@pytest.fixture
def page(browser: Any, lab: Lab) -> Any:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    problems: list[str] = []
    # Of ours only: Notebook 7 has errors of its own at times.
    page.on("pageerror", lambda error: problems.append(str(error)) if "jupyter-lambda" in (error.stack or "") else None)
    yield page
    context.close()
    assert problems == []


def opened(page: Page, lab: Lab, *cells: str) -> Any:
    """The notebook in JupyterLab, and the panel."""
    (lab.home / "work" / "demo.ipynb").write_text(notebook(*cells))
    page.goto(f"{lab.url}lab/tree/demo.ipynb?token={TOKEN}")
    page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)
    page.evaluate("() => void window.jupyterapp.commands.execute('jupyter-lambda:open')")
    panel = page.locator("#jupyter-lambda-panel")
    expect(panel).to_be_visible()
    return panel


def test_a_function_appears_counts_and_goes(page, lab):
    panel = opened(page, lab, CELL, LOOPS, FAILS)
    expect(panel.get_by_role("status")).to_contain_text("No engine runs")
    picture(page, "panel-no-engine")
    run_cells(page)

    row = panel.locator('[data-function="clean"]')
    expect(row).to_be_visible(timeout=60_000)
    expect(panel.get_by_role("status")).to_contain_text("not isolated")
    expect(page.get_by_text("it failed", exact=True)).to_be_visible(timeout=60_000)
    expect(row).to_contain_text("41 runs")
    expect(row).to_contain_text("1 error")
    expect(row).to_have_attribute("data-state", "failed")
    schedules = panel.get_by_role("list", name="Schedules")
    expect(schedules.get_by_role("listitem")).to_contain_text(re.compile(r"in \d+ (h|min|s)"))
    expect(schedules.get_by_role("listitem")).to_contain_text("9:00")
    picture(page, "panel-light")

    # With the keyboard alone: to the search, to the row, the event, and sent.
    panel.get_by_role("searchbox").fill("cle")
    row.focus()
    page.keyboard.press("Enter")
    editor = page.get_by_role("textbox", name="Event, JSON")
    expect(editor).to_be_focused()
    editor.fill('{"n": 12')
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Invoke", exact=True).press("Enter")
    expect(page.get_by_text("Not JSON")).to_be_visible()
    page.get_by_role("textbox", name="Event, JSON").fill('{"n": 12}')
    picture(page, "panel-invoke")
    page.get_by_role("button", name="Invoke", exact=True).press("Enter")
    expect(page.get_by_text('clean: {"squared": 144}').first).to_be_visible()
    expect(row).to_contain_text("42 runs")
    expect(row).to_have_attribute("data-state", "idle")

    page.evaluate("() => void window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    row.click(button="right")
    expect(page.get_by_role("menuitem", name="Copy Call")).to_be_visible()
    picture(page, "panel-dark-menu")
    page.get_by_role("menuitem", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    assert lab.ask("lambda/engine/2015-03-31/functions")["Functions"] == []


def test_what_runs_is_seen_and_stopped_while_the_kernel_is_busy(page, lab):
    slow = "%%lambda slow --timeout 120\nimport time\n\ndef handler(event, context):\n    time.sleep(100)\n"
    panel = opened(page, lab, slow, "try:\n    slow({})\nexcept BaseException as error:\n    print('it was', 'ended')")
    run_cells(page)
    row = panel.locator('[data-function="slow"]')
    expect(row).to_contain_text("1 running", timeout=60_000)
    expect(page.locator(".jp-LambdaStatus")).to_contain_text("1 running")
    picture(page, "panel-running")
    row.click(button="right")
    page.get_by_role("menuitem", name="Stop What Runs").click()
    expect(page.get_by_text("it was ended", exact=True)).to_be_visible(timeout=30_000)
    expect(page.get_by_text("slow: stopped 1 invocation").first).to_be_visible()
    expect(row).not_to_contain_text("running")
    expect(row).to_contain_text("1 error")


def test_notebook_7_has_the_panel_and_failures_of_scheduled_runs_are_told(page, lab):
    (lab.home / "work" / "demo.ipynb").write_text(notebook("1 + 1"))
    page.goto(f"{lab.url}notebooks/demo.ipynb?token={TOKEN}")
    page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
    page.wait_for_function("window.jupyterapp.commands.hasCommand('jupyter-lambda:open')", timeout=60_000)
    page.evaluate("() => void window.jupyterapp.commands.execute('jupyter-lambda:open')")
    panel = page.locator("#jupyter-lambda-panel")
    expect(panel.get_by_role("status")).to_contain_text("No engine runs", timeout=30_000)
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_role("status")).to_contain_text("Runs in processes", timeout=30_000)
    expect(panel).to_contain_text("%%lambda NAME")
    run = {"run_id": "r1", "job": "report", "notebook": "report.ipynb", "reason": "cell 3: ValueError: no data"}
    run |= {"source": "schedule:daily", "started_s": 100.0, "ended_s": 101.5, "files": []}
    event = {"schema_id": "https://schema.jupyter.org/jupyter_lambda/run_failed/v1", "version": "1", "data": run}
    lab.ask("api/events", "POST", json.dumps(event).encode())
    said = page.get_by_text("The scheduled run of report.ipynb failed: cell 3: ValueError: no data")
    expect(said.first).to_be_visible(timeout=20_000)
    picture(page, "notebook-7")
