"""The lean Invoke client: signatures as botocore makes them, answers as boto3 gives them, broken lines."""

from __future__ import annotations

import calendar
import json
import socket
import threading
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from jupyter_lambda.connection import Connection
from jupyter_lambda.invoke_client import InvokeClient, InvokeRefused, NotConnected
from jupyter_lambda.signing import Signer


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize("query", ["", "Qualifier=live"])
def test_a_signature_is_botocores(token, query, monkeypatch):
    now = calendar.timegm((2026, 11, 24, 3, 0, 0))
    body = b'{"n": 1}'
    path = "/2015-03-31/functions/f/invocations"
    signer = Signer("AKIDEXAMPLE", "secret", token, host="127.0.0.1:4566", region="eu-central-1")
    lines = signer.headers("POST", path, query, body, {"x-amz-log-type": "Tail"}, now_s=now)
    own = dict(line.split(": ", 1) for line in lines.splitlines())
    request = AWSRequest(
        "POST",
        f"http://127.0.0.1:4566{path}{'?' if query else ''}{query}",
        data=body,
        headers={"X-Amz-Log-Type": "Tail"},
    )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: _When(stamp))
    SigV4Auth(Credentials("AKIDEXAMPLE", "secret", token), "lambda", "eu-central-1").add_auth(request)
    assert own["authorization"] == request.headers["Authorization"]


class _When:
    """Stands for botocore's clock."""

    def __init__(self, stamp: str) -> None:
        self._stamp = stamp

    def strftime(self, _: str) -> str:
        return self._stamp


class Peer:
    """A server that answers each request with the next of the given bytes; b"" closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            stream, _ = self._listener.accept()
            self.connections += 1
            with stream:
                while self._answers:
                    request = stream.recv(65536)
                    if not request:
                        break
                    self.requests.append(request)
                    answer = self._answers.pop(0)
                    if not answer:
                        break
                    stream.sendall(answer)
        self._listener.close()

    def client(self) -> InvokeClient:
        return InvokeClient(Connection(f"http://127.0.0.1:{self.port}", "us-east-1", "A" * 16, "s"))

    def join(self) -> None:
        self._thread.join(5)


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_answers_have_boto3s_shape_and_the_connection_is_kept():
    good = answer(
        "200 OK",
        b'{"a": 1}',
        "x-amzn-RequestId: r-1",
        "X-Amz-Executed-Version: 3",
        "X-Amz-Function-Error: Unhandled",
        "X-Amz-Log-Result: bG9n",
    )
    peer = Peer(good, good)
    client = peer.client()
    for _ in range(2):
        found = client.invoke("f", b"{}", qualifier="live", headers={"x-amz-log-type": "Tail", "x-own": "1"})
        assert found["Payload"].read() == b'{"a": 1}'
        assert (found["StatusCode"], found["ExecutedVersion"], found["FunctionError"]) == (200, "3", "Unhandled")
        assert found["LogResult"] == "bG9n"
        assert found["ResponseMetadata"]["RequestId"] == "r-1"
    client.close()
    peer.join()
    assert peer.connections == 1
    assert peer.requests[0].startswith(b"POST /2015-03-31/functions/f/invocations?Qualifier=live HTTP/1.1\r\n")
    assert b"SignedHeaders=host;x-amz-date;x-amz-log-type," in peer.requests[0]
    assert b"\r\nx-own: 1\r\n" in peer.requests[0]


def test_a_refusal_carries_awss_code():
    body = json.dumps({"Message": "Rate Exceeded.", "Reason": "x"}).encode()
    peer = Peer(answer("429 Too Many Requests", body, "x-amzn-ErrorType: TooManyRequestsException"))
    with pytest.raises(InvokeRefused) as caught:
        peer.client().invoke("f", b"{}", headers={})
    assert (caught.value.status, caught.value.code) == (429, "TooManyRequestsException")
    assert caught.value.message == "Rate Exceeded."


@pytest.mark.parametrize("garbage", [b"", b"not http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_a_request_that_was_sent_is_never_sent_again(garbage):
    peer = Peer(garbage)
    with pytest.raises(OSError, match=r"closed|HTTP"):
        peer.client().invoke("f", b"{}", headers={})
    peer.join()
    assert len(peer.requests) == 1


def test_a_connection_that_was_closed_meanwhile_is_not_used():
    good = answer("200 OK", b"{}", "Connection: close")
    peer = Peer(good, b"", answer("200 OK", b"{}"))
    client = peer.client()
    client.invoke("f", b"{}", headers={})
    with pytest.raises(OSError, match="closed"):
        client.invoke("f", b"{}", headers={})
    assert client.invoke("f", b"{}", headers={})["StatusCode"] == 200
    client.close()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = InvokeClient(Connection(f"http://127.0.0.1:{port}", "us-east-1", "A" * 16, "s"))
    with pytest.raises(NotConnected):
        client.invoke("f", b"{}", headers={})


def test_what_it_leaves_to_boto3():
    assert InvokeClient.serves("http://127.0.0.1:4000")
    assert InvokeClient.serves("http://lab:4000/")
    assert not InvokeClient.serves("https://lab:4000")
    assert not InvokeClient.serves("http://lab/engine")
    assert InvokeClient.takes("clean-2", None)
    assert InvokeClient.takes("clean", "live")
    assert not InvokeClient.takes("arn:aws:lambda:us-east-1:000000000000:function:f", None)
    assert not InvokeClient.takes("clean", "$LATEST")
