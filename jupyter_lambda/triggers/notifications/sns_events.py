"""What a topic sends to a function, made of the notification that its queue was given.

Source: AWS Lambda Developer Guide, "Using AWS Lambda with Amazon SNS", the example event.
"""

from __future__ import annotations

import json
from typing import Any

from jupyter_lambda.model.notification import Notification

#: Member of the notification in a queue → member of the function's event.
_MEMBERS = {
    "Type": "Type",
    "MessageId": "MessageId",
    "TopicArn": "TopicArn",
    "Subject": "Subject",
    "Message": "Message",
    "Timestamp": "Timestamp",
    "SignatureVersion": "SignatureVersion",
    "Signature": "Signature",
    "SigningCertURL": "SigningCertUrl",
    "UnsubscribeURL": "UnsubscribeUrl",
}


def event(body: str, notification: Notification) -> dict[str, Any]:
    """The event of one notification.

    Raises:
        ValueError: The message is not one of SNS's.
    """
    given = json.loads(body)
    if not isinstance(given, dict) or "Message" not in given:
        raise ValueError("an SNS notification is a JSON object with a Message")
    told = {name: given.get(member) for member, name in _MEMBERS.items()}
    told["Type"] = "Notification"
    told["TopicArn"] = told["TopicArn"] or notification.resource
    told["MessageAttributes"] = given.get("MessageAttributes") or {}
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": notification.subscription_arn,
                "Sns": told,
            }
        ]
    }
