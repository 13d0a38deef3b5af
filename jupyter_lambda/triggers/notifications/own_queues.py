"""Queues that belong to the engine, one for each notification: there what a bucket or topic says waits."""

from __future__ import annotations

import json
import logging

from jupyter_lambda.model.notification import OWN_QUEUES, Notification
from jupyter_lambda.triggers.queue import Cloud, Queue, is_absent

log = logging.getLogger(__name__)

#: Seconds that a message is kept: SQS's longest.
RETENTION_S = 1_209_600
#: Seconds in which a message is turned into an asynchronous invocation; then it comes again.
VISIBILITY_S = 30
_PRINCIPALS = {"s3": "s3.amazonaws.com", "sns": "sns.amazonaws.com"}


def principal(notification: Notification) -> str:
    """The service that sends, and that the function's policy must allow."""
    return _PRINCIPALS[notification.kind]


async def open_queue(cloud: Cloud, notification: Notification) -> tuple[Queue, str]:
    """The queue of a notification and its ARN, made if it isn't there.

    Raises:
        botocore.exceptions.ClientError: The cloud refuses.
        ServiceUnavailableException: There is no cloud, or it does not answer.
    """
    attributes = {"MessageRetentionPeriod": str(RETENTION_S), "VisibilityTimeout": str(VISIBILITY_S)}
    try:
        found = await cloud.call("sqs", "GetQueueUrl", {"QueueName": notification.queue_name})
    except Exception as error:
        if not is_absent(error):
            raise
        params = {"QueueName": notification.queue_name, "Attributes": attributes}
        found = await cloud.call("sqs", "CreateQueue", params)
    queue = Queue(cloud, found["QueueUrl"])
    arn = (await queue.attributes()).arn
    policy = {"Attributes": {"Policy": _policy(notification, arn)}}
    await cloud.call("sqs", "SetQueueAttributes", {"QueueUrl": queue.url, **policy})
    return queue, arn


async def drop_queue(cloud: Cloud, notification: Notification) -> None:
    """Delete the queue of a notification that is no more; what can't be deleted stays, and nobody reads it."""
    try:
        found = await cloud.call("sqs", "GetQueueUrl", {"QueueName": notification.queue_name})
        await cloud.call("sqs", "DeleteQueue", {"QueueUrl": found["QueueUrl"]})
    except Exception as error:  # noqa: BLE001 - the notification is gone whatever becomes of its queue
        if not is_absent(error):
            log.warning("the queue %s could not be deleted: %s", notification.queue_name, error)


def is_own(queue: str) -> bool:
    """Whether a queue, by name, ARN or URL, belongs to an engine."""
    return queue.replace("/", ":").rsplit(":", 1)[-1].startswith(OWN_QUEUES)


def _policy(notification: Notification, queue_arn: str) -> str:
    """Lets the bucket or topic, and nothing else, send."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": principal(notification)},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": notification.source_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
