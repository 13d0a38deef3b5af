"""What the task of a mapping asks of a poller, and which poller reads which kind of source."""

from __future__ import annotations

from typing import Protocol

from jupyter_lambda.model.mapping import Kind

from .context import Context


class Poller(Protocol):
    """Reads one source for one mapping, from one start to one stop.

    Any exception but Stopped that leaves one of these methods means that the source can't be read now: the task tells
    it as StateTransitionReason and tries again, with growing pauses.
    """

    async def check(self) -> None:
        """Whether the source is there and of the right kind.

        Raises:
            SourceProblem: It is not; the message says why.
        """

    async def prepare(self) -> None:
        """Fix, on disk, where reading starts, unless that was done before. The mapping is Enabled only afterwards."""

    async def run(self) -> None:
        """Read, invoke, keep the position, until ``context.stopping``: then finish what is in flight, and return."""


def make(kind: Kind, context: Context) -> Poller:
    """The poller of a mapping; its module is imported when the first such mapping is."""
    if kind == "sqs":
        from .sqs import SqsPoller

        return SqsPoller(context)
    from .streams.poller import StreamPoller

    return StreamPoller(context)
