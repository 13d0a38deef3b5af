"""``simulate``: the pool policy in simulated time, against fixed keep-alives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from traitlets import Bool, Enum, Float, Int, Unicode

from jupyter_lambda.engine import simulate, simulate_picture, simulate_traces
from jupyter_lambda.engine.simulate import Outcome
from jupyter_lambda.engine.simulate_traces import Trace
from jupyter_lambda.errors import InvalidParameterValueException, StoreError

from .command import LambdaCommand, table
from .functions import duration_s

#: Memory budget where none is given: as much as no trace needs.
_UNBOUNDED_MB = 1_000_000_000


class SimulateCommand(LambdaCommand):
    """Try the pool policy in simulated time."""

    name = "jupyter-lambda-simulate"
    description = (
        "jupyter lambda simulate [--pattern mixed] [--trace FILE | --from-ledger DIR] [--out picture.svg]: drive the "
        "engine's own pool policy through a trace in simulated time, and tell cold starts, idle memory and waits of "
        "the learned keep-alive beside fixed ones. Needs no engine and changes nothing."
    )
    examples = """
    jupyter lambda simulate
    jupyter lambda simulate --pattern cron --functions 1000 --duration 2d --out picture.svg
    jupyter lambda simulate --trace arrivals.csv          # time_s,function,duration_ms,memory_mb
    jupyter lambda simulate --from-ledger ~/.local/share/jupyter/lambda
    jupyter lambda simulate --pattern poisson --functions 10000 --rate 1000000 --duration 1s --keep-alive 10
    """
    pattern = Enum(
        simulate_traces.PATTERNS,
        "mixed",
        help="Arrivals: mixed, poisson, diurnal, bursts, cron or onoff. Default mixed.",
    ).tag(config=True)
    functions = Int(300, min=1, help="How many functions; their popularity follows Zipf's law. Default 300.").tag(
        config=True
    )
    rate = Float(1.0, help="Invocations a second, all together, scheduled ones not counted. Default 1.").tag(
        config=True
    )
    duration = Unicode("24h", help="Simulated time: 45s, 10m, 2h or 7d. Default 24h.").tag(config=True)
    seed = Int(1, help="The same seed gives the same figures. Default 1.").tag(config=True)
    trace = Unicode("", help="A recorded trace: CSV with a heading, or one JSON object a line.").tag(config=True)
    ledger = Unicode("", help="A state directory; its engine's records, read-only, are the trace.").tag(config=True)
    keep_alive = Unicode(
        "2,5,10,20,60", help="Fixed keep-alives to compare with, in minutes. Default 2,5,10,20,60."
    ).tag(config=True)
    memory = Int(0, min=0, help="Memory budget in MB; 0: unlimited. Default 0.").tag(config=True)
    concurrency = Int(1_000_000, min=1, help="Concurrent executions of the account. Default 1,000,000.").tag(
        config=True
    )
    stock = Int(0, min=0, help="Generic containers kept ready. Default 0.").tag(config=True)
    patience = Float(
        1.0, min=0, help="Cold starts for which a busy environment is waited for; 0: as AWS. Default 1."
    ).tag(config=True)
    out = Unicode("", help="Write the picture here, as SVG.").tag(config=True)
    theme = Enum(
        simulate_picture.THEMES, "auto", help="Colours of the picture: light, dark, or auto as the reader prefers."
    ).tag(config=True)
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    aliases = {
        "pattern": "SimulateCommand.pattern",
        "functions": "SimulateCommand.functions",
        "rate": "SimulateCommand.rate",
        "duration": "SimulateCommand.duration",
        "seed": "SimulateCommand.seed",
        "trace": "SimulateCommand.trace",
        "from-ledger": "SimulateCommand.ledger",
        "keep-alive": "SimulateCommand.keep_alive",
        "memory": "SimulateCommand.memory",
        "concurrency": "SimulateCommand.concurrency",
        "stock": "SimulateCommand.stock",
        "patience": "SimulateCommand.patience",
        ("o", "out"): "SimulateCommand.out",
        "theme": "SimulateCommand.theme",
    }
    flags = {"json": ({"SimulateCommand": {"as_json": True}}, "Print JSON.")}

    def run(self) -> int:
        """Run all policies, print the table, write the picture."""
        trace = self._trace()
        outcomes = simulate.compare(
            trace,
            self._keep_alives_s(),
            memory_mb=self.memory or _UNBOUNDED_MB,
            concurrency=self.concurrency,
            seed=self.seed,
            stock=self.stock,
            patience=self.patience,
        )
        if self.out:
            path = Path(self.out).expanduser()
            try:
                path.write_text(simulate_picture.draw(trace, outcomes, theme=self.theme), encoding="utf-8")
            except OSError as exc:
                raise StoreError(f"the picture can't be written to {path}: {exc.strerror or exc}") from exc
        if self.as_json:
            print(json.dumps([_figures(outcome) for outcome in outcomes], indent=1))
            return 0
        print(f"{trace.title}, {outcomes[0].invocations:,} invocations")
        print(table(_rows(outcomes), right=frozenset(range(1, 9))))
        events, took_s = sum(o.events for o in outcomes), sum(o.took_s for o in outcomes)
        print(f"{events:,} events at {events / max(took_s, 1e-9):,.0f} a second", file=sys.stderr)
        if self.out:
            print(f"picture: {path}")
        return 0

    def _trace(self) -> Trace:
        if self.trace and self.ledger:
            raise InvalidParameterValueException("--trace and --from-ledger are both a trace; give one of them")
        if self.trace:
            return simulate_traces.recorded(Path(self.trace).expanduser())
        if self.ledger:
            return simulate_traces.from_ledger(Path(self.ledger).expanduser())
        return simulate_traces.synthetic(
            self.pattern,
            functions=self.functions,
            rate=self.rate,
            duration_s=duration_s(self.duration),
            seed=self.seed,
        )

    def _keep_alives_s(self) -> list[float]:
        try:
            minutes = [float(word) for word in self.keep_alive.split(",") if word.strip()]
        except ValueError:
            minutes = []
        if not minutes or not all(0 < m <= 100_000 for m in minutes):
            raise InvalidParameterValueException(
                f"--keep-alive takes minutes, separated by commas, as in 5,10,20; not {self.keep_alive!r}"
            )
        return [m * 60 for m in minutes]


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "policy": outcome.policy,
        "invocations": outcome.invocations,
        "cold": outcome.cold,
        "cold_rate": round(outcome.cold_rate, 6),
        "throttled": outcome.throttled,
        "wasted_mb_s": round(outcome.wasted_mb_s),
        "busy_mb_s": round(outcome.busy_mb_s),
        "generic_mb_s": round(outcome.generic_mb_s),
        "waited": len(outcome.waits),
        "wait_p50_ms": round(outcome.wait_s(0.5) * 1000, 3),
        "wait_p99_ms": round(outcome.wait_s(0.99) * 1000, 3),
        "started": outcome.started,
        "prewarmed": outcome.prewarmed,
        "environments_max": outcome.environments_max,
    }


def _rows(outcomes: list[Outcome]) -> list[list[str]]:
    heading = ["keep-alive", "cold", "idle GB·h", "waited", "p50 wait", "p99 wait", "throttled", "started", "ahead"]
    return [heading, *(_row(outcome) for outcome in outcomes)]


def _row(o: Outcome) -> list[str]:
    return [
        o.policy,
        f"{o.cold_rate:.2%}",
        f"{(o.wasted_mb_s + o.generic_mb_s) / 1024 / 3600:,.1f}",
        f"{len(o.waits) / max(1, o.invocations):.2%}",
        f"{o.wait_s(0.5) * 1000:.1f} ms",
        f"{o.wait_s(0.99) * 1000:.1f} ms",
        f"{o.throttled:,}",
        f"{o.started:,}",
        f"{o.prewarmed:,}",
    ]
