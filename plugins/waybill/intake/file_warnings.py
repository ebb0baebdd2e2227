"""Warnings about loaded files: observations that somebody should check, although no row breaks a rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Final, NamedTuple

from psycopg import Connection, sql
from psycopg.rows import class_row

from waybill.warehouse.connection import one_row

IN_MESSAGE: Final = 20
"""Number of warnings that one message shows."""


class FileWarning(NamedTuple):
    """A warning about a loaded file."""

    dataset: str
    period: date
    """First day of the file's period."""
    file_id: int
    object_key: str
    kind: str
    """The subject, for example `columns`, `conflict`, `repeated` or `truncated`."""
    message: str
    """The observation with its numbers and the next step, without restricted values."""

    def __str__(self) -> str:
        return f"{self.object_key}: {self.message}"


_WARNINGS = """
select f.dataset, f.period, f.file_id, f.object_key, w.kind, w.message
from waybill.file_warning as w
inner join waybill.load_file as f using (file_id)
where f.status = 'loaded' and {condition}
order by {order}, f.object_key, w.kind, w.message
"""
_IN_ORDER = "f.dataset, f.period"


def add(connection: Connection, file_id: int, kind: str, message: str) -> None:
    """Record a warning about a file in the transaction that loads it. Repeated calls record it once."""
    connection.execute(
        "insert into waybill.file_warning (file_id, kind, message) values (%s, %s, %s) on conflict do nothing",
        (file_id, kind, message),
    )


def replace(connection: Connection, file_id: int, kind: str, messages: Sequence[str]) -> None:
    """Replace all warnings of a kind about a file."""
    connection.execute(
        "delete from waybill.file_warning where file_id = %s and kind = %s and message <> all(%s)",
        (file_id, kind, [*messages]),
    )
    for message in messages:
        add(connection, file_id, kind, message)


def of_run(connection: Connection, domain: str, run_id: str) -> list[FileWarning]:
    """Return the warnings about current files of a domain that a run loaded."""
    condition = "split_part(f.dataset, '.', 1) = %s and f.run_id = %s"
    return _found(connection, condition, _IN_ORDER, (domain, run_id))


def of_periods(connection: Connection, domain: str, starts: Sequence[date]) -> list[FileWarning]:
    """Return the warnings about current files of some periods; `starts` are their first days."""
    condition = "split_part(f.dataset, '.', 1) = %s and f.period = any(%s)"
    return _found(connection, condition, _IN_ORDER, (domain, [*starts]))


def of_files(connection: Connection, file_ids: Collection[int]) -> dict[int, list[FileWarning]]:
    """Return the warnings about current files by file id, without files that have none."""
    found: dict[int, list[FileWarning]] = {}
    for warning in _found(connection, "w.file_id = any(%s)", _IN_ORDER, ([*file_ids],)):
        found.setdefault(warning.file_id, []).append(warning)
    return found


def newest(
    connection: Connection, datasets: Sequence[str], run_id: str | None, limit: int
) -> tuple[list[FileWarning], int]:
    """Return the newest warnings about current files of some datasets, at most `limit`, and the number of all of them.

    With a run, only warnings about the files that it loaded count.
    """
    condition = "f.dataset = any(%s) and (%s::text is null or f.run_id = %s)"
    parameters = ([*datasets], run_id, run_id)
    (warnings,) = one_row(
        connection,
        sql.SQL(
            "select count(*) from waybill.file_warning as w inner join waybill.load_file as f using (file_id) "
            "where f.status = 'loaded' and {}"
        ).format(sql.SQL(condition)),
        parameters,
    )
    return _found(connection, condition, "w.file_id desc", (*parameters, limit), " limit %s"), int(warnings)


def _found(
    connection: Connection, condition: str, order: str, parameters: Sequence[object], limit: str = ""
) -> list[FileWarning]:
    query = sql.SQL(_WARNINGS + limit).format(condition=sql.SQL(condition), order=sql.SQL(order))
    return connection.cursor(row_factory=class_row(FileWarning)).execute(query, parameters).fetchall()


def lines(warnings: Sequence[FileWarning], limit: int = IN_MESSAGE) -> list[str]:
    """Return the first warnings as lines of a message, and a line with the number of all if there are more."""
    shown = [f"Warning: {warning}" for warning in warnings[:limit]]
    left_out = len(warnings) - len(shown)
    return [*shown, f"{len(shown)} of {len(warnings)} warnings are shown."] if left_out else shown
