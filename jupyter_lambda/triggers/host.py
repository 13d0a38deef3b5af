"""All triggers of one engine: made together, started after the ready line, stopped before the service drains."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol, Self

from jupyter_lambda.engine.service import LambdaService

from .cloud.host import Cloud, CloudSettings
from .folders.host import Folders
from .mappings.host import Mappings
from .notifications.host import Notifications
from .outlets import Outlets
from .schedules.host import Schedules
from .sites.apis import Apis
from .sites.host import Sites

log = logging.getLogger(__name__)


class Part(Protocol):
    """One kind of trigger. What it fires goes through the service; what it must not forget is in the store."""

    async def start(self) -> None:
        """Go on from where the last engine stopped. Must be quick: nothing is fired or asked for before it returns."""

    async def stop(self, timeout_s: float) -> None:
        """Fire nothing more, give what runs that long to finish; positions stay in the store. Safe to call twice."""

    def status(self) -> Mapping[str, Any]:
        """A summary for `jupyter lambda status`; empty where there is nothing to say."""


class Triggers:
    """Use as ``async with Triggers(service) as triggers``; parts stop in the reverse order of their start."""

    def __init__(self, service: LambdaService) -> None:
        self.service = service
        settings = service.settings
        homes = CloudSettings(settings.cloud, settings.cloud_server, settings.aws_endpoint_url, settings.aws_profile)
        #: Where S3, SQS, SNS, Kinesis, DynamoDB … live.
        self.cloud = Cloud(homes, settings.account, service.store.state_dir)
        #: Where outcomes of asynchronous events go that are for no function.
        self.outlets = Outlets(self.cloud, clock=service.clock)
        service.bring_outlet(self.outlets)
        #: Function URLs and API Gateway's APIs.
        self.sites = Sites(service)
        self.apis = Apis(service)
        self.sites.answerers["api"] = self.apis.answer
        #: Event source mappings: Kinesis, DynamoDB Streams, SQS.
        self.mappings = Mappings(service, service.store.mappings, self.cloud)
        #: What buckets and topics tell functions.
        self.notifications = Notifications(service, service.store.sources, self.cloud)
        #: Folders whose files fire functions.
        self.folders = Folders(service)
        #: EventBridge's rules, EventBridge Scheduler.
        self.schedules = Schedules(service, self.cloud)
        self.outlets.put_event = self.schedules.put_event
        self.notifications.put_event = self.schedules.put_event
        self._parts: dict[str, Part] = {
            "cloud": self.cloud,
            "sites": self.sites,
            "apis": self.apis,
            "mappings": self.mappings,
            "notifications": self.notifications,
            "folders": self.folders,
            "schedules": self.schedules,
        }
        self._started: list[tuple[str, Part]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop(0.0)
        await self.cloud.close()

    async def start(self) -> None:
        """Start all parts; one that can't start says why in the log and leaves the others alone."""
        for name, part in self._parts.items():
            self._started.append((name, part))
            try:
                await part.start()
            except Exception:
                log.exception("triggers: %s did not start", name)

    async def stop(self, timeout_s: float) -> None:
        """Stop all parts that were started, the last one first, within that time together."""
        until_s = time.monotonic() + timeout_s
        while self._started:
            name, part = self._started.pop()
            try:
                await part.stop(max(0.0, until_s - time.monotonic()))
            except Exception:
                log.exception("triggers: %s did not stop", name)

    def status(self) -> dict[str, Any]:
        """What each part says of itself."""
        said = {name: dict(part.status()) for name, part in self._parts.items()}
        return {name: status for name, status in said.items() if status}
