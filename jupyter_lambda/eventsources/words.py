"""From a word to a source: the kinds there are."""

from __future__ import annotations

import difflib

from .base import Source
from .buckets import BucketSource
from .errors import WordError
from .folders import FolderSource
from .http import HttpSource
from .options import BEGIN, Options
from .queues import QueueSource
from .rules import RuleSource
from .schedules import AtSource, CronSource, RateSource
from .streams import StreamSource
from .tables import TableSource
from .topics import TopicSource
from .urls import UrlSource

#: What stands before the colon → its class, in the order in which help shows them.
KINDS: dict[str, type[Source]] = {
    source.kind: source
    for source in (
        HttpSource,
        UrlSource,
        RateSource,
        CronSource,
        AtSource,
        BucketSource,
        TableSource,
        StreamSource,
        QueueSource,
        TopicSource,
        RuleSource,
        FolderSource,
    )
}
#: What people write instead.
_ALSO = {
    "api": "http",
    "bucket": "s3",
    "dynamodb": "table",
    "kinesis": "stream",
    "sqs": "queue",
    "sns": "topic",
    "event": "events",
    "eventbridge": "events",
    "schedule": "rate",
    "every": "rate",
    "file": "folder",
    "files": "folder",
    "dir": "folder",
    "directory": "folder",
}


def parse(word: str) -> Source:
    """The source that a word means.

    Raises:
        WordError: It can't be read; the one line says why.
    """
    name, colon, rest = word.strip().partition(":")
    kind = name.strip().lower()
    if not colon:
        raise WordError(f"{word!r}: a trigger is written KIND:WHERE, e.g. {_example(kind)}")
    if kind not in KINDS:
        raise WordError(f"{word}: there is no kind of trigger {name}{suggestion(kind)}")
    found = BEGIN.search(rest) if kind != "events" else None
    where, text = (rest[: found.start()], rest[found.end() :]) if found else (rest, "")
    source = KINDS[kind]
    return source.read(where.strip(), Options(kind, text, source.known))


def sampled(word: str) -> Source:
    """The source that a word means, or a typical one of a kind alone: ``s3``.

    Raises:
        WordError: There is no such kind.
    """
    if ":" in word:
        return parse(word)
    if word not in KINDS:
        raise WordError(f"there is no kind of trigger {word}{suggestion(word)}")
    return parse(_EXAMPLES[word])


def suggestion(kind: str) -> str:
    """The kind that may be meant, or all."""
    if kind in _ALSO:
        return f"; write {_ALSO[kind]}:"
    near = difflib.get_close_matches(kind, KINDS, n=1)
    return f"; did you mean {near[0]}:?" if near else f"; there are {', '.join(KINDS)}"


_EXAMPLES = {
    "http": "http:/sample",
    "url": "url:",
    "rate": "rate:5 minutes",
    "cron": "cron:0 9 ? * MON-FRI *",
    "at": "at:2099-01-01T09:00",
    "s3": "s3:sample-bucket/sample.txt",
    "table": "table:sample",
    "stream": "stream:sample",
    "queue": "queue:sample",
    "topic": "topic:sample",
    "events": 'events:{"source": ["my.app"]}',
    "folder": "folder:sample",
}


def _example(kind: str) -> str:
    chosen = _ALSO.get(kind, kind)
    return _EXAMPLES.get(chosen, "http:/thumb or 'rate:5 minutes'")
