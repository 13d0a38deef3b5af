"""``trigger``: what fires a function, on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from traitlets import Bool, Unicode

from jupyter_lambda.client import lambda_client
from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.eventsources import acts
from jupyter_lambda.eventsources.base import Made, Trigger
from jupyter_lambda.eventsources.options import nearest
from jupyter_lambda.eventsources.place import Place

from .command import EXIT_FAILURE, EXIT_USAGE, LambdaCommand, aws_errors, table
from .functions import read_payload

ACTS = ("add", "rm", "list", "pause", "resume", "fire")


class TriggerCommand(LambdaCommand):
    """Add, remove, list, pause, resume or fire what fires a function."""

    name = "jupyter-lambda-trigger"
    description = (
        "jupyter lambda trigger add|rm|list|pause|resume|fire NAME [TRIGGER…]: what fires a function; list without "
        "NAME: all functions. TRIGGER is a "
        "word such as http:/thumb, 'rate:5 minutes', s3:bucket/prefix*.csv, queue:jobs or folder:data/*.csv; for rm, "
        "pause, resume and fire its kind alone (s3) will do. docs/triggers.md lists all kinds."
    )
    examples = """
    jupyter lambda trigger add thumb http:/thumb s3:photos/in/*.png
    jupyter lambda trigger list thumb
    jupyter lambda trigger list
    jupyter lambda trigger pause thumb
    jupyter lambda trigger fire thumb s3 --show
    """
    words = (1, 30)
    words_help = "add, rm, list, pause, resume or fire"
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    event = Unicode("", help="fire: another event than the sample: JSON, @FILE, or - for standard input.").tag(
        config=True
    )
    show = Bool(False, help="fire: only print the event that would be sent.").tag(config=True)
    profile = Unicode("", help="A profile of your AWS configuration: the triggers of a function at AWS itself.").tag(
        config=True
    )
    aliases = {("p", "payload"): "TriggerCommand.event", "profile": "TriggerCommand.profile"}
    flags = {
        "json": ({"TriggerCommand": {"as_json": True}}, "Print JSON."),
        "show": ({"TriggerCommand": {"show": True}}, "fire: only print the event that would be sent."),
    }

    def run(self) -> int:
        """One act."""
        act, *rest = self.extra_args
        if act not in ACTS:
            raise InvalidParameterValueException(f"there is nothing called {act!r} to do{nearest(act, ACTS)}")
        if not rest:
            if act != "list":
                self.fail(f"the function's name is missing: jupyter lambda trigger {act} NAME", EXIT_USAGE)
            return self._list_all(self._place())
        name, *words = rest
        if act == "list" and words:
            raise InvalidParameterValueException(f"{words[0]!r} is one word too many")
        if act in ("add", "rm", "fire") and not words:
            raise InvalidParameterValueException(
                f"which trigger? For example: jupyter lambda trigger {act} {name} http:/{name}"
            )
        place = self._place()
        match act:
            case "list":
                return self._list(place, name)
            case "add":
                return self._add(place, name, words)
            case "fire":
                return self._fire(place, name, words)
            case "rm":
                gone = [source.word for word in words for source in acts.remove(place, name, word)]
                print(f"removed {', '.join(gone)}")
            case _:
                each: list[str | None] = list(words) or [None]
                paused = act == "pause"
                done = [source.word for word in each for source in acts.set_paused(place, name, word, paused=paused)]
                print(f"{'paused' if paused else 'resumed'} {', '.join(done)}")
        return 0

    def _place(self) -> Place:
        return Place.of_profile(self.profile) if self.profile else Place.of_connection(self.connection())

    def _list_all(self, place: Place) -> int:
        found = acts.every(place)
        if self.as_json:
            print(json.dumps([{"function": name, **_plain(one)} for name, one in found.triggers], indent=2))
        elif found.triggers:
            rows = [[name, one.word, one.words, one.state, one.result] for name, one in found.triggers]
            print(table([["function", "trigger", "fires on", "state", "last result"], *rows]))
        else:
            print("no function has triggers; jupyter lambda trigger add NAME TRIGGER")
        return _tell(found.problems)

    def _list(self, place: Place, name: str) -> int:
        found = acts.listed(place, place.function(name))
        if self.as_json:
            print(json.dumps([_plain(one) for one in found.triggers], indent=2))
        elif found.triggers:
            rows = [[one.word, one.words, one.state, one.result] for one in found.triggers]
            print(table([["trigger", "fires on", "state", "last result"], *rows]))
        else:
            print(f"{name} has no triggers; jupyter lambda trigger add {name} http:/{name}")
        return _tell(found.problems)

    def _add(self, place: Place, name: str, words: list[str]) -> int:
        sources = [acts.parse(word) for word in words]
        function = place.function(name)
        made: list[Made] = []
        for source in sources:
            one = source.make(place, function)
            made.append(one)
            if not self.as_json:
                print(f"{one.trigger.word}: {one.trigger.words} ({one.action})")
                for line in (*one.trigger.try_it, *(f"note: {note}" for note in one.notes)):
                    print(f"  {line}")
        if self.as_json:
            print(
                json.dumps(
                    [{**_plain(one.trigger), "action": one.action, "notes": one.notes} for one in made], indent=2
                )
            )
        return 0

    def _fire(self, place: Place, name: str, words: list[str]) -> int:
        if len(words) > 1:
            raise InvalidParameterValueException(f"{words[1]!r} is one word too many: fire sends one event")
        function = place.function(name)
        own = acts.listed(place, function).triggers if ":" not in words[0] else ()
        event = json.dumps(acts.sample(place, words[0], own), indent=2)
        if self.show:
            print(event)
            return 0
        body = read_payload(self.event) if self.event else event.encode()
        if self.profile:
            answer = place.call("lambda", "invoke", FunctionName=name, Payload=body)
        else:
            with aws_errors():
                answer = lambda_client(self.connection(), pool=1).invoke(FunctionName=name, Payload=body)
        print(answer["Payload"].read().decode("utf-8", "replace"))
        if error := answer.get("FunctionError"):
            print(f"the function failed ({error})", file=sys.stderr)
            return EXIT_FAILURE
        return 0


def _tell(problems: Iterable[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 0


def _plain(one: Trigger) -> dict[str, Any]:
    return {
        "trigger": one.word,
        "words": one.words,
        "state": one.state,
        "try_it": list(one.try_it),
        "last_result": one.result,
    }
