"""docs/performance.md and its picture, from the results."""

from pathlib import Path


def write_report(results: Path, docs: Path) -> None:
    """Later."""
