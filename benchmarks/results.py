"""What a measure hands back: rows with all their runs, medians, spread and ratios; as JSON for the report."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity, once for each run."""

    label: str
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all runs."""
        return statistics.median(self.runs)

    @property
    def spread(self) -> float:
        """From the lowest to the highest run, as a part of the median; 0 for a single run."""
        middle = self.median
        return (max(self.runs) - min(self.runs)) / middle if middle else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ours, and what it is held against in the same run."""

    #: As in ``targets.TARGETS`` where the project has set itself one.
    key: str
    title: str
    #: "ms", "µs", "s", "1/s", "MiB", "%" or "×".
    unit: str
    better: Better
    runs: tuple[float, ...]
    #: The first one is what the ratio is taken against: run by run, where it has as many.
    references: tuple[Series, ...] = ()
    #: Requests, starts, … behind all the runs together.
    samples: int = 0
    note: str = ""

    @property
    def ours(self) -> Series:
        """Our runs."""
        return Series(self.title, self.runs)

    @property
    def ratio(self) -> float | None:
        """Ours over the first reference: the median of the runs' own ratios."""
        if not self.references:
            return None
        reference = self.references[0].runs
        if len(reference) == len(self.runs):
            return statistics.median(_over(a, b) for a, b in zip(self.runs, reference, strict=True))
        return _over(self.ours.median, self.references[0].median)


def _over(a: float, b: float) -> float:
    return a / b if b else math.inf


@dataclass(slots=True)
class Outcome:
    """All that one measure saw."""

    measure: str
    title: str
    command: str
    rows: list[Row] = field(default_factory=list)
    #: What was verified while measuring, and what came of it.
    checks: dict[str, Any] = field(default_factory=dict)
    #: Row or measure → why it could not be measured.
    missing: dict[str, str] = field(default_factory=dict)
    quick: bool = False
    started: str = ""
    took_s: float = 0.0
    #: Load average over a minute before and after.
    load_average: tuple[float, float] = (0.0, 0.0)
    #: How much longer a fixed piece of work took at its 90th percentile than at its best, before the measure.
    noise: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    #: Tables of their own, for the sections below the main one.
    extra: dict[str, Any] = field(default_factory=dict)

    def save(self, directory: Path) -> Path:
        """Write it as NAME.json."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.measure}.json"
        data = asdict(self) | {"rows": [describe(row) for row in self.rows]}
        path.write_text(json.dumps(rounded(data), indent=1, ensure_ascii=False) + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Outcome:
        """Read one back."""
        data = json.loads(path.read_text())
        rows = [
            Row(
                key=row["key"],
                title=row["title"],
                unit=row["unit"],
                better=row["better"],
                runs=tuple(row["runs"]),
                references=tuple(Series(r["label"], tuple(r["runs"])) for r in row["references"]),
                samples=row["samples"],
                note=row["note"],
            )
            for row in data.pop("rows")
        ]
        data["load_average"] = tuple(data["load_average"])
        return cls(rows=rows, **data)


def describe(row: Row) -> dict[str, Any]:
    """A row with what follows from its runs, for whoever reads the JSON."""
    return asdict(row) | {
        "median": row.ours.median,
        "spread": row.ours.spread,
        "ratio": row.ratio,
        "references": [{"label": r.label, "runs": r.runs, "median": r.median} for r in row.references],
    }


def rounded(value: Any) -> Any:
    """Five significant digits are more than any run is worth."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def percentile(values: Sequence[float], part: float) -> float:
    """The nearest-rank percentile, ``part`` from 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(part * len(ordered)) - 1))]
