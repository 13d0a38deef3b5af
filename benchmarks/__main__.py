"""``python -m benchmarks``: measure, save, report."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import proc
from benchmarks.bench import Bench
from benchmarks.engine import Unavailable, docker_api
from benchmarks.registry import MEASURES, PEERS, measure
from benchmarks.report import write_report
from benchmarks.results import Outcome

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 when a measure failed."""
    options = _options(arguments)
    if options.list:
        for name, entry in (MEASURES | PEERS).items():
            print(f"{name:23}{entry.title}")
        return 0
    names = _chosen(options)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that everything is stopped and removed
    results = options.results or (None if options.quick else RESULTS)
    failed = []
    if not options.report:
        bench = Bench(quick=options.quick)
        try:
            for name in names:
                outcome = one(bench, name)
                show(outcome)
                if "error" in outcome.missing:
                    failed.append(name)
                if results is not None:
                    outcome.save(results)
        finally:
            bench.close()
    if results == RESULTS or options.report:
        write_report(results or RESULTS, ROOT / "docs")
        print("bench: docs/performance.md and its picture written")
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MEASURE", help="what to measure; none: all (--list names them)")
    parser.add_argument("--quick", action="store_true", help="a little of everything, in a minute; for tests")
    parser.add_argument("--no-peers", action="store_true", help="without the products that it is compared with")
    parser.add_argument("--results", type=Path, help="directory of the JSON files (default benchmarks/results; with "
                        "--quick none)")  # fmt: skip
    parser.add_argument("--report", action="store_true", help="measure nothing, write docs/performance.md anew")
    parser.add_argument("--list", action="store_true", help="name the measures")
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> list[str]:
    known = MEASURES | PEERS
    if unknown := sorted(set(options.names) - set(known)):
        raise SystemExit(f"bench: there is no measure {', '.join(unknown)}; there are {', '.join(known)}")
    if options.names:
        return list(options.names)
    if options.quick:
        return [name for name, entry in MEASURES.items() if entry.quick]
    return [*MEASURES, *(() if options.no_peers else PEERS)]


def one(bench: Bench, name: str) -> Outcome:
    """One measure, whatever comes of it."""
    entry = measure(name)
    outcome = Outcome(name, entry.title, f'make bench ARGS="{name}"', quick=bench.quick)
    outcome.started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"bench: {name}: {entry.title}", flush=True)
    outcome.noise, load_before, start = proc.noise(), proc.load_average(), time.monotonic()
    try:
        with docker_api() as api:
            outcome.machine = proc.machine(api.version())
        entry.run(bench, outcome)
    except Unavailable as exc:
        outcome.missing[name] = str(exc)
    except Exception as exc:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        traceback.print_exc()
        outcome.missing["error"] = f"{type(exc).__name__}: {exc}"
    outcome.took_s = time.monotonic() - start
    outcome.load_average = (load_before, proc.load_average())
    return outcome


def show(outcome: Outcome) -> None:
    """As it comes, for whoever waits."""
    for row in outcome.rows:
        ours = row.ours
        line = f"  {row.title:64} {ours.median:10,.2f} {row.unit:4} ±{ours.spread:4.0%}"
        if row.references:
            line += f"   {row.references[0].label} {row.references[0].median:,.2f}: × {row.ratio:.2f}"
        print(line)
    for name, why in outcome.missing.items():
        print(f"  {name}: not measured: {why}")
    low, high = outcome.load_average
    print(f"  {outcome.took_s:.0f} s, load average {low:.1f} → {high:.1f}, noise {outcome.noise:.0%}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
