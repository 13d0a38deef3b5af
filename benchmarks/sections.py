"""The sections of docs/performance.md below its main table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.results import Outcome, Row
from benchmarks.sizes import ONE_VCPU_MB

_COMPARED = (
    "warm.http.p50", "warm.http.p99", "warm.boto3.p50", "throughput.8", "throughput.32", "cold.empty.p50",
    "footprint.engine.rss",
)  # fmt: skip
#: Rows of ours that a peer's row stands beside: whoever starts a container for a call pays its whole start.
_BESIDE = {"cold.ready.p50": "cold.empty.p50", "cold.ready.p99": "cold.empty.p99"}

METHOD = """## How it is measured

- The engine is `jupyter-lambda serve --driver docker` on a fresh state directory, with its defaults but for the
  options a measure is about (how many generic containers are kept ready; how many events run at once). Nothing is
  switched off: every request is signed and verified, every invocation runs in a hardened container, is logged and is
  recorded. The suite checks this on the running engine each time and fails otherwise.
- Load comes from a process of its own on the same cores: connections that are kept alive, 500 differing signed
  requests in turn, every status and every body compared with what it must be. Under provisioned concurrency requests
  leave when they are due (a Poisson process), whether or not earlier ones are answered, and latency counts from then.
- A cold start is an invocation after a change of the function's configuration; the ledger must call it cold. Bursts
  sleep in the handler, each must name an environment of its own, and the sleep is subtracted.
- The reference is measured right after ours, in every run: the same HTTP server that only echoes, with the very same
  bytes; `docker run` of an image whose only program ends at once; fork and exec of the interpreter; SQLite with a
  commit for each row. Ratios are taken run by run; the table gives medians.
- Peers are installed from PyPI into environments of their own and get the same function, event and machine. No image
  is pulled: those that need one get one made of this host's interpreter.

```sh
make bench                                # everything: about 20 minutes
make bench ARGS=--no-peers                # without the products that it is compared with
make bench ARGS="warm cold"               # a part; the page is generated anew with it
make bench ARGS=--list                    # the parts
.venv/bin/python -m benchmarks --quick    # a little of everything, writes nothing
.venv/bin/python -m benchmarks --report   # measures nothing, generates this page
```"""


def number(value: float, unit: str) -> str:
    """Three significant digits and the unit, as people write it."""
    if unit == "1/s":
        return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"
    if unit == "ms" and value >= 10_000:
        return number(value / 1000, "s")
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{digits}f} {unit}"


def product(outcome: Outcome) -> str:
    """A peer's name and version; with how its functions run where there are two ways."""
    name = str(outcome.extra.get("product", outcome.title))
    return f"{name}, Docker" if outcome.measure.endswith("-docker") and "Docker" not in name else name


def best_peer(row: Row, peers: dict[str, Outcome]) -> str:
    """The best value that a peer had for a row, and whose."""
    key = _BESIDE.get(row.key, row.key)
    found = [(other.ours.median, peer) for peer in peers.values() for other in peer.rows if other.key == key]
    if not found:
        return ""
    value, peer = (min if row.better == "lower" else max)(found, key=lambda pair: pair[0])
    return f"{product(peer)}: {number(value, row.unit)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def peers_section(ours: dict[str, Outcome], peers: dict[str, Outcome]) -> list[str]:
    """What users could pick instead."""
    if not peers:
        return []
    mine = {row.key: row for outcome in ours.values() for row in outcome.rows}
    rows = []
    for key in _COMPARED:
        values = [{row.key: row for row in peer.rows}.get(key) for peer in peers.values()]
        some = mine.get(key) or next((value for value in values if value), None)
        if some is None:
            continue
        cells = [_against(value, mine.get(key)) for value in values]
        rows.append([some.title, number(mine[key].ours.median, some.unit) if key in mine else "", *cells])
    names = [product(peer) for peer in peers.values()]
    how = [f"- **{product(peer)}**: {peer.extra['how']}." for peer in peers.values() if "how" in peer.extra]
    return [
        "## Peers",
        (
            "What a user could pick instead and what can be installed here, on the same machine with the same function "
            "and event; in brackets how many times better jupyter_lambda is. None of them verified the "
            "requests' signatures."
        ),
        table(["measure", "jupyter_lambda", *names], rows),
        "\n".join(how),
    ]


def _against(value: Row | None, mine: Row | None) -> str:
    if value is None:
        return "–"
    text = number(value.ours.median, value.unit)
    if mine is None:
        return text
    a, b = value.ours.median, mine.ours.median
    times = a / b if value.better == "lower" else b / a
    return f"{text} ({times:,.0f}×)" if times >= 10 else f"{text} ({times:.1f}×)"


def profile_section(outcome: Outcome | None) -> list[str]:
    """Where the time of a warm invocation goes."""
    if outcome is None or "profile.wall" not in outcome.extra:
        return []
    wall = outcome.extra["profile.wall"]
    whole = wall["mean"]
    worked = [("the engine's CPU", "engine"), ("the sandbox's CPU", "sandbox"), ("the caller's CPU", "caller")]
    parts = [(title, wall[key]) for title, key in worked]
    parts.append(("nobody's: waiting for a core, for a wake-up on the other one", whole - sum(us for _, us in parts)))
    text = [
        "## Where the time of a warm invocation goes",
        "One at a time, over HTTP, mean: what each of the three processes worked, by the kernel's count, and the rest.",
        table(["of one invocation", "µs", "part"], [[t, f"{us:,.0f}", f"{us / whole:.0%}"] for t, us in parts]),
    ]
    cpu = outcome.extra.get("profile.cpu")
    if cpu:
        rows = [[c["component"], f"{c['us']:.1f}", f"{c['us'] / cpu['engine_us']:.0%}"] for c in cpu["components"]]
        rows += [[f"thread {n}", f"{us:.1f}", f"{us / cpu['engine_us']:.0%}"] for n, us in _others(cpu["threads"])]
        rows.append(["**all of the engine**", f"**{cpu['engine_us']:.1f}**", "100%"])
        text += [
            (
                f"The engine's CPU for one invocation at {cpu['connections']} connections ({cpu['rate']:,.0f} a "
                f"second): what each thread used is the kernel's count; the loop's thread is divided by "
                f"{cpu['samples']:,} looks at its stack from outside, each counted for the innermost module of ours."
            ),
            table(["component", "µs", "part"], rows),
        ]
    return [*text, "`make bench ARGS=profile`"]


def _others(threads: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, us) for name, us in threads.items() if name != "the loop's thread"]


def throughput_section(outcome: Outcome | None) -> list[str]:
    """Latency under load."""
    if outcome is None or not outcome.extra.get("throughput"):
        return []
    rows = [
        [
            str(row["connections"]), f"{row['rate']:,.0f}",
            *(f"{row[key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms")),
            f"{row['engine_us']:.0f}", f"{row['generator_us']:.0f}", str(row["environments"]),
        ]
        for row in outcome.extra["throughput"]
    ]  # fmt: skip
    head = [
        "connections",
        "a second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "engine's CPU, µs each",
        "generator's",
        "containers",
    ]
    return ["## Under load", table(head, rows), "`make bench ARGS=throughput`"]


def sizes_section(outcome: Outcome | None) -> list[str]:
    """Memory sizes."""
    if outcome is None or not outcome.extra.get("sizes"):
        return []
    rows = [
        [
            f"{row['memory_mb']:,} MB", f"{row['duration_ms']:,.0f} ms", f"{row['cpu_ms']:,.0f} ms",
            f"{row['share']:.1f} %", f"{row['due']:.1f} %", f"{row['off']:+.1f} %",
        ]
        for row in outcome.extra["sizes"]
    ]  # fmt: skip
    head = ["memory", "duration", "CPU used", "of a core, measured", "of a core, due", "duration off proportion"]
    return [
        "## Memory sizes",
        (
            f"The same CPU-bound work at each size. A core's share is memory ÷ {ONE_VCPU_MB:,} MB; what was measured "
            "is the container's control group's CPU time over the invocation."
        ),
        table(head, rows),
        "`make bench ARGS=sizes`",
    ]


def checks_section(outcomes: Iterable[Outcome]) -> list[str]:
    """What the suite verified of the engines that it measured."""
    recorded = containers = refused = 0
    for outcome in outcomes:
        for key, value in outcome.checks.items():
            recorded += value if key.endswith("recorded") else 0
            containers += value if key.endswith("hardened_containers") else 0
            refused += key.endswith("unsigned_request") and value == 403
    if not recorded:
        return []
    return [
        "## What was verified while measuring",
        (
            f"{recorded:,} invocations were sent and exactly as many are in the ledgers. All {containers} containers "
            "looked at were hardened: read-only, no capabilities, no new privileges, a seccomp profile, limits of "
            f"memory and processes, a user of their own. {refused} engines refused an unsigned request. Every "
            "answer's status and body were right."
        ),
    ]


def missing_section(outcomes: Iterable[Outcome]) -> list[str]:
    """What could not be measured, and why."""
    lines = [f"- `{o.measure}` {name}: {why}" for o in outcomes for name, why in o.missing.items()]
    return ["## Not measured", "\n".join(lines)] if lines else []


def machine_section(outcomes: Sequence[Outcome]) -> list[str]:
    """What it ran on, and how quiet that was."""
    if not outcomes:
        return []
    m: dict[str, Any] = outcomes[-1].machine
    rows = [
        [
            f"`{o.measure}`", o.started, f"{o.took_s:.0f} s", f"{o.load_average[0]:.1f} → {o.load_average[1]:.1f}",
            f"{o.noise:.0%}",
        ]
        for o in outcomes
    ]  # fmt: skip
    return [
        "## Machine and noise",
        (
            f"{m.get('cores')} cores ({m.get('processor')}), {m.get('memory_gib')} GiB of memory, {m.get('system')}, "
            f"kernel {m.get('kernel')}, cgroup version {m.get('cgroup')}, Docker {m.get('docker')}, Python "
            f"{m.get('python')}. The load generator, the engine and all containers share these cores. *Noise*: by how "
            "much a fixed piece of work took longer at its 90th percentile than at its best, right before."
        ),
        table(["measure", "started", "took", "load average", "noise"], rows),
    ]
