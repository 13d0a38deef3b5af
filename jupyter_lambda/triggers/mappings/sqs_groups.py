"""Message groups of a FIFO queue: one batch under way for each, in the order of its messages. Pure.

SQS itself keeps a group back while any of its messages is invisible. Servers that stand in for it do so less well: moto
hands out a group's last message first when several have become visible by themselves. So a message that was received
before, and that this poller did not return by its own word, goes back once with all of its group: the queue then has
it in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_lambda.triggers.queue import Attributes

from .sqs_records import Message

#: Ids of returned messages that are remembered; more are forgotten together.
RETURNED_MAX = 10_000
#: Seconds after which a message that came while its group was busy is looked at again.
BUSY_S = 1


class Groups:
    """Of one queue; does nothing for a standard one, whose messages have no group."""

    def __init__(self, attributes: Attributes, *, trusts_order: bool) -> None:
        """
        Args:
            trusts_order: The queue is AWS's own.
        """
        self._attributes = attributes
        self._trusts_order = trusts_order
        #: Group → ids of its messages that are under way.
        self._under_way: dict[str, set[str]] = {}
        self._returned: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether any group has messages under way."""
        return bool(self._under_way)

    def take(self, messages: Sequence[Message]) -> tuple[list[Message], list[Message], list[Message]]:
        """Messages that were received: those to run now, those to give back at once, those for ``BUSY_S``."""
        unsure = {one.group_id for one in messages if not self._is_sure(one)}
        taken: list[Message] = []
        at_once: list[Message] = []
        later: list[Message] = []
        for one in messages:
            if one.group_id in self._under_way:
                later.append(one)
            elif one.group_id in unsure:
                at_once.append(one)
            else:
                taken.append(one)
        self.returns(at_once)
        self.returns(later)
        for one in taken:
            if one.group_id is not None:
                self._under_way.setdefault(one.group_id, set()).add(one.message_id)
        return taken, at_once, later

    def leave(self, messages: Sequence[Message]) -> None:
        """These are no longer under way."""
        for one in messages:
            group = self._under_way.get(one.group_id or "")
            if group is not None:
                group.discard(one.message_id)
                if not group:
                    del self._under_way[one.group_id or ""]

    def returns(self, messages: Sequence[Message]) -> None:
        """These go back by our own word, in their order."""
        if len(self._returned) > RETURNED_MAX:
            self._returned.clear()
        self._returned.update(one.message_id for one in messages)

    def _is_sure(self, one: Message) -> bool:
        if self._trusts_order or one.receive_count <= 1 or one.message_id in self._returned:
            return True
        most = self._attributes.receives_max
        # Another reception would send it to the dead-letter queue before the function has seen it.
        return most is not None and one.receive_count >= most
