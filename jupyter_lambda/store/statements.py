"""Many rows with few statements: each execution hands the interpreter's lock over, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]
#: Most rows of one INSERT; powers of two up to it keep the number of prepared statements small.
ROWS_MAX = 64


def insert_rows(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    """Insert many rows with few statements: each one hands the interpreter's lock over, and back.

    Args:
        table: Table with its columns, "event (due_ms, …)"; never made from input.
    """
    place = f"({','.join('?' * len(rows[0]))})" if rows else ""
    for chunk in _chunks(rows):
        values = [value for row in chunk for value in row]
        connection.execute(f"INSERT INTO {table} VALUES {','.join([place] * len(chunk))}", values)  # noqa: S608


def each(connection: sqlite3.Connection, sql: str, values: Sequence[Any], *first: Any) -> list[Row]:
    """Run a statement that ends in "IN (?)" for many values with few executions; returns all rows, in any order.

    Args:
        first: Parameters before them.
    """
    rows: list[Row] = []
    for chunk in _chunks(values):
        places = ",".join("?" * len(chunk))
        rows += connection.execute(sql.replace("IN (?)", f"IN ({places})"), (*first, *chunk)).fetchall()
    return rows


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """In powers of two up to ``ROWS_MAX``, so that the statements made for them are few and stay prepared."""
    start, left = 0, len(items)
    while left:
        count = min(ROWS_MAX, 1 << (left.bit_length() - 1))
        yield items[start : start + count]
        start += count
        left -= count
