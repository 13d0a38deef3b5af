"""Web pages that functions serve can't act on Jupyter or on the engine: a real browser, logged in to a real server."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from jupyter_lambda.client import lambda_client
from jupyter_lambda.connection import find

from .browser import browser
from .engine import ROLE, RUNTIME, package
from .test_server_engine import TOKEN, Server, server

__all__ = ["browser", "server"]
pytestmark = [pytest.mark.slow, pytest.mark.browser]

FUNCTION = """
import json, pathlib

PAGE = pathlib.Path(__file__).with_name("page.html").read_text()

def handler(event, context):
    if event["rawPath"].endswith("/worker.js"):
        return {"statusCode": 200, "headers": {"Content-Type": "text/javascript"}, "body": "self.onfetch = () => {}"}
    seen = json.dumps({"cookies": event.get("cookies", []), "headers": sorted(event["headers"])})
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "text/html", "Service-Worker-Allowed": "/", "Clear-Site-Data": '"cookies"'},
        "cookies": ["own=1; HttpOnly", "_xsrf=evil; Path=/; Domain=localhost"],
        "body": PAGE.replace("SEEN", seen),
    }
"""
#: Tries what a page might; ``tried`` says of each whether it came to anything.
PAGE = """<!doctype html><title>page</title><body><script>
const seen = SEEN;
async function attempts(jupyter, engine) {
  const tried = {};
  async function attempt(name, work) {
    try { tried[name] = await work(); } catch (error) { tried[name] = "refused: " + error.name; }
  }
  const reading = (url) => async () => {
    const answer = await fetch(url, {credentials: "include"});
    return "read " + (await answer.text()).slice(0, 80);
  };
  const writing = (url, body) => async () => {
    await fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body});
    return "sent";
  };
  await attempt("cookies", async () => document.cookie ? "read " + document.cookie : "none");
  await attempt("storage", async () => { localStorage.setItem("a", "1"); return "wrote"; });
  await attempt("contents", reading(jupyter + "api/contents"));
  await attempt("proxy", reading(jupyter + "lambda/engine/2015-03-31/functions"));
  await attempt("engine", reading(engine + "/2015-03-31/functions"));
  await attempt("admin", reading(engine + "/_jupyter_lambda/status"));
  await attempt("kernel", writing(jupyter + "api/kernels", "{}"));
  await attempt("delete", writing(jupyter + "lambda/engine/2015-03-31/functions", "{}"));
  await attempt("frame", () => new Promise((resolve, reject) => {
    const frame = document.createElement("iframe");
    frame.src = jupyter + "api/status";
    frame.onload = () => {
      try { resolve("read " + frame.contentWindow.document.body.innerText); } catch (error) { reject(error); }
    };
    document.body.append(frame);
  }));
  await attempt("worker", async () => {
    await navigator.serviceWorker.register("worker.js", {scope: "/"});
    return "registered";
  });
  return tried;
}
</script>"""


@pytest.fixture
def site(server: Server) -> Iterator[tuple[str, str]]:
    """A function with a page, on the engine of the Jupyter server: the engine's address and the URL's id."""
    assert server.ask("lambda/engine/2015-03-31/functions")[0] == 200
    connection = find(server.home / "state")
    assert connection is not None
    client = lambda_client(connection)
    code = {"ZipFile": package({"app.py": FUNCTION, "page.html": PAGE})}
    client.create_function(FunctionName="page", Role=ROLE, Runtime=RUNTIME, Handler="app.handler", Code=code)
    url = client.create_function_url_config(FunctionName="page", AuthType="NONE")["FunctionUrl"]
    everybody = {"FunctionName": "page", "Principal": "*"}
    client.add_permission(**everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    client.add_permission(**everybody, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    yield f"http://localhost:{urlsplit(url).port}", urlsplit(url).hostname.partition(".")[0]
    client.close()


def kernels(server: Server) -> Any:
    request = urllib.request.Request(server.url + "api/kernels", headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_page_of_a_function_can_do_nothing_to_jupyter(server, site, browser):
    engine, url_id = site
    jupyter = server.url.replace("127.0.0.1", "localhost")
    page = browser.new_context().new_page()
    page.goto(f"{jupyter}api/status?token={TOKEN}")
    assert page.goto(f"{jupyter}api/contents").status == 200, "the browser is logged in to Jupyter"
    page.goto(f"{jupyter}static/favicon.ico")
    own = page.evaluate("async url => (await fetch(url)).status", f"{jupyter}lambda/engine/2015-03-31/functions")
    assert own == 200, "what a page of Jupyter's own may do"
    logged_in = {cookie["name"]: cookie["value"] for cookie in page.context.cookies(jupyter)}
    assert logged_in
    by_path = f"{engine}/_aws/lambda-url/{url_id}/"
    by_name = f"http://{url_id}.lambda-url.us-east-1.localhost:{urlsplit(engine).port}/"

    for address in (by_path, by_name):
        page.goto(address)
        page.goto(address)  # with the cookies that the first answer set
        seen = page.evaluate("seen")
        assert seen["cookies"] == ["own=1", "_xsrf=evil"], "its own, by the names it gave them, and no other"
        tried = page.evaluate("urls => attempts(...urls)", [jupyter, engine])
        if address == by_name:  # what is its own origin's
            assert tried.pop("storage") == "wrote"
            assert tried.pop("worker") == "registered"
            assert tried.pop("cookies") == "read _xsrf=evil"
        for name in ("kernel", "delete"):  # may be sent blindly: it does nothing, see below
            assert tried.pop(name) in ("sent", "refused: TypeError")
        assert {name: what for name, what in tried.items() if not what.startswith("refused")} == {}

    through = page.goto(f"{jupyter}lambda/engine/_aws/lambda-url/{url_id}/")
    assert through.status == 200
    assert through.headers["content-security-policy"].endswith("; sandbox"), "no scripts at all on Jupyter's own port"
    assert '"cookies": []' in through.text(), "no cookie passes the proxy"
    assert "AWS4-HMAC" not in through.text()
    assert '"authorization"' not in through.text(), "nor the signature that the proxy made"

    assert kernels(server) == []
    assert server.ask("lambda/engine/2015-03-31/functions")[1]["Functions"][0]["FunctionName"] == "page"
    after = {cookie["name"]: cookie["value"] for cookie in page.context.cookies(jupyter)}
    assert {name: after.get(name) for name in logged_in} == logged_in, "Jupyter's cookies are as they were"
    assert page.goto(f"{jupyter}api/contents").status == 200
