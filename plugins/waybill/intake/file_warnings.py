"""Warnings about files that were loaded: what somebody should look at, although no row broke a rule."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import Connection


class FileWarning(NamedTuple):
    """One warning about one loaded file."""

    dataset: str
    object_key: str
    kind: str
    """What it is about: `columns`, `conflict`, `repeated`, `truncated`."""
    message: str
    """One sentence with the numbers and the next step; it holds no restricted values."""

    def __str__(self) -> str:
        return f"{self.object_key}: {self.message}"


def add(connection: Connection, file_id: int, kind: str, message: str) -> None:
    """Record a warning about a file, in the transaction that loads it; the same warning is recorded once."""
    connection.execute(
        "insert into waybill.file_warning (file_id, kind, message) values (%s, %s, %s) on conflict do nothing",
        (file_id, kind, message),
    )


def of_run(connection: Connection, domain: str, run_id: str) -> list[FileWarning]:
    """The warnings about the files of a domain that a run loaded."""
    rows = connection.execute(
        "select f.dataset, f.object_key, w.kind, w.message from waybill.file_warning as w "
        "inner join waybill.load_file as f using (file_id) "
        "where split_part(f.dataset, '.', 1) = %s and f.run_id = %s "
        "order by f.dataset, f.period, f.object_key, w.kind, w.message",
        (domain, run_id),
    ).fetchall()
    return [FileWarning(*row) for row in rows]
