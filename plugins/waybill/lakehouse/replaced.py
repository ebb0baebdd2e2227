"""Find the rows of the versions that files of a request replace, also if a run that died has removed them.

A job that dies after a commit leaves a table without these rows, although its files are not in the ledger. The next try
reads them from the snapshot before that commit, so that its books and changed days are those of an uninterrupted run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from waybill.lakehouse.columns import text
from waybill.lakehouse.commits import DAYS, REQUEST, instant_of, microseconds, rows_at
from waybill.lakehouse.exchange import Landed, Part
from waybill.lakehouse.session import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_COMMITS: Final = 3
"""How many commits to a period are looked behind for rows that the table does not have any more."""


@dataclass(frozen=True)
class Replaced:
    """The rows of a replaced version."""

    snapshot: int
    landed_at: datetime
    """When that version landed."""


@dataclass(frozen=True)
class _Commit:
    snapshot: int
    parent: int | None
    request: str | None
    days: frozenset[str]


def find_replaced(
    spark: SparkSession, table: str, current: int | None, parts: Iterable[Part], request: str
) -> dict[tuple[date, str], Replaced]:
    """Return where the rows of replaced versions are, by period and key; versions without rows are left out.

    `request` identifies the request: its earlier commits are those of a try that died.
    """
    files = [(part.period, file) for part in parts for file in part.files if file.replaces_etag]
    if current is None or not files:
        return {}
    commits = _commits(spark, table)
    there = {commit.snapshot for commit in commits}
    waiting = {
        (day, file.key): (file, [one for one in _candidates(commits, current, day, request) if one in there])
        for day, file in files
    }
    found: dict[tuple[date, str], Replaced] = {}
    for number in range(_COMMITS + 1):
        by_snapshot: dict[int, list[tuple[date, Landed]]] = defaultdict(list)
        for (day, key), (file, candidates) in waiting.items():
            if (day, key) not in found and number < len(candidates):
                by_snapshot[candidates[number]].append((day, file))
        for snapshot, some in by_snapshot.items():
            rows = rows_at(spark, table, snapshot).where(replaced_rows(some))
            for day, key, at in rows.groupBy("_delivered", "_object").agg(microseconds("max(_landed_at)")).collect():
                found[day, key] = Replaced(snapshot, instant_of(at))
    return found


def replaced_rows(files: Iterable[tuple[date, Landed]]) -> str:
    """Return the condition of the rows of the replaced versions of some files, with their periods."""
    conditions = [
        f"_delivered = date '{day}' and _object = {text(file.key)} and _etag = {text(file.replaces_etag or '')}"
        for day, file in files
    ]
    return " or ".join(f"({one})" for one in conditions) or "false"


def _candidates(commits: list[_Commit], current: int, day: date, request: str) -> list[int | None]:
    """Return the snapshots in which the rows of a replaced version may be, the likeliest first."""
    of_day = [commit for commit in commits if str(day) in commit.days]
    if own := [commit for commit in of_day if commit.request == request]:
        return [own[-1].parent]
    return [current, *(commit.parent for commit in of_day[:_COMMITS])]


def _commits(spark: SparkSession, table: str) -> list[_Commit]:
    """Return the commits of a table, the newest first."""
    rows = spark.sql(
        f"""
        select snapshot_id, parent_id, summary['{REQUEST}'] as request, summary['{DAYS}'] as days
        from {CATALOG}.{table}.snapshots
        order by committed_at desc
        """
    ).collect()
    return [_Commit(row[0], row[1], row[2], frozenset(json.loads(row[3] or "{}"))) for row in rows]
