"""A request that is looked at here and goes on to the cloud all the same, for what follows from its answer."""

from __future__ import annotations

import json
import re

from jupyter_lambda.http1 import Response
from jupyter_lambda.triggers.cloud.hooks import Forwarded
from jupyter_lambda.triggers.cloud.host import Cloud
from jupyter_lambda.triggers.cloud.wire import Message

from .own_queues import is_own

#: Headers of one hop, and those of the signature, which is made anew.
_NOT_SENT_ON = frozenset(
    {
        *("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade", "expect"),
        *("transfer-encoding", "authorization", "x-amz-security-token", "content-length"),
    }
)
_NOT_SENT_BACK = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"))
_QUEUE_URL = re.compile(rb"<QueueUrl>([^<]*)</QueueUrl>")


async def pass_on(cloud: Cloud, forwarded: Forwarded) -> Response:
    """Send a request on as it came; the cloud's answer, whole.

    Raises:
        ServiceUnavailableException: The cloud does not answer.
    """
    headers = {name.title(): value for name, value in forwarded.headers.items() if name not in _NOT_SENT_ON}
    if forwarded.service == "s3":
        headers["Host"] = "localhost"  # a bucket in the name stands in the path by now
    message = Message(forwarded.method, forwarded.path, forwarded.query, headers, forwarded.body)
    reply = await cloud.send(forwarded.service, forwarded.service, message)
    body = await reply.read()
    kept = [
        (name, value)
        for name, value in reply.headers.items()
        if name not in _NOT_SENT_BACK and not name.startswith("access-control-")
    ]
    return Response(reply.status, kept, body)


def hide_queues(answer: Response) -> Response:
    """ListQueues' answer without the queues that belong to engines; both of SQS's protocols."""
    body = answer.body
    assert isinstance(body, bytes)
    if answer.status != 200:
        return answer
    if body.lstrip()[:1] == b"{":
        document = json.loads(body)
        urls = document.get("QueueUrls")
        if urls:
            document["QueueUrls"] = [url for url in urls if not is_own(url)]
        body = json.dumps(document).encode()
    else:
        body = _QUEUE_URL.sub(lambda found: b"" if is_own(found[1].decode("utf-8", "replace")) else found[0], body)
    return Response(answer.status, [(name, value) for name, value in answer.headers if name != "x-amz-crc32"], body)
