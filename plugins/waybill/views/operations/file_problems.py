"""Problems of files: rejected ones, loaded ones whose objects are gone from the bucket, and messages about files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import islice
from typing import Any, Final

from psycopg import Connection, sql

from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.intake.ledger import IS_SETTLED
from waybill.intake.withdrawal import LoadedFile, noticed
from waybill.ops.dead_letters import DeadLetters
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.problem import Action, Problem, runbook, sentence
from waybill.views.operations.scope import Scope

NEWEST: Final = 1_000
"""How many of the newest entries about rejected files of a dataset are searched for open ones."""

_WAITING = """
(
  select r.*
  from unnest(%(datasets)s::text[]) as d (dataset)
  cross join lateral (
    select *
    from waybill.rejected_file as f
    where f.dataset = d.dataset
    order by f.rejected_file_id desc
    limit %(newest)s
  ) as r
  where not {is_settled}
)
"""
_REJECTED = """
with newest as (
  select r.dataset, r.object_key, r.rejected_at, r.message
  from {waiting} as r
  where not exists (
    select from waybill.drift as d
    where d.dataset = r.dataset and r.object_key = any(d.rejected_keys)
      and d.settled_at is null and d.accepted_at is null
  )
),
files as (
  select dataset, object_key, min(rejected_at) as since, max(rejected_at) as last from newest group by 1, 2
)
select
  f.dataset, count(*), min(f.since),
  (array_agg(f.object_key order by f.last desc, f.object_key))[1],
  (
    select n.message from newest as n where n.dataset = f.dataset order by n.rejected_at desc, n.object_key limit 1
  )
from files as f
group by f.dataset
"""


def rejected_files(connection: Connection, scope: Scope) -> list[Problem]:
    """Return a problem for each dataset with rejected files that were not loaded later.

    A file that was rejected because its columns or values drifted belongs to the problem of the drift.
    """
    rows = _of_waiting(connection, scope, sql.SQL(_REJECTED))
    found = []
    for table, files, since, key, message in rows:
        contract = catalog.contracts()[table]
        name = key.rpartition("/")[2]
        what = f"{name} of {table} was rejected" if files == 1 else f"{count(files, 'file')} of {table} were rejected"
        show = Action("page", "Show files", "loads.html", {"dataset": table, "state": "rejected"})
        found.append(
            Problem(
                "error",
                "files",
                what,
                since,
                sentence(message) if files == 1 else f"The newest, {name}: {sentence(message)}",
                (show, runbook("file", load_manifest(contract.domain).dag)),
                number=files,
                topic="file",
                key=f"file {table}",
            )
        )
    return found


def rejected_periods(connection: Connection, scope: Scope) -> set[tuple[str, date]]:
    """Return (dataset, first day of the period) of the newest rejected files that were not loaded later."""
    query = sql.SQL("select r.dataset, r.period from {waiting} as r where r.period is not null")
    return set(_of_waiting(connection, scope, query))


def _of_waiting(connection: Connection, scope: Scope, query: sql.SQL) -> list[tuple[Any, ...]]:
    """Return the rows of a query of `waiting`: the newest rejections of files that wait for a correction."""
    waiting = sql.SQL(_WAITING).format(is_settled=sql.SQL(IS_SETTLED))
    values = {"datasets": scope.datasets, "bucket": settings().raw_bucket, "newest": NEWEST}
    return connection.execute(query.format(waiting=waiting), values).fetchall()


def gone_files(connection: Connection, scope: Scope, limit: int = 100) -> list[Problem]:
    """Return a problem for each loaded file that a run found to be gone from the bucket: so many of each domain."""
    datasets = {*scope.datasets}
    return [
        _gone(file)
        for domain in scope.domains
        for file in islice((file for file in noticed(connection, domain) if file.dataset in datasets), limit)
    ]


def dead_letters(found: Iterable[DeadLetters]) -> list[Problem]:
    """Return a problem for each dead-letter queue that has messages."""
    return [
        Problem(
            "warning",
            "messages",
            f"{count(one.messages, 'message')} about files of {one.domain} in {one.queue}",
            None,
            "They were received several times and never deleted. Their files are loaded by a run without messages.",
            (
                Action("command", "Copy command", f"aws sqs start-message-move-task --source-arn {one.arn}"),
                runbook("dead letters", load_manifest(one.domain).dag),
            ),
            topic="dead letters",
            key=f"dead letters {one.queue}",
        )
        for one in found
    ]


def _gone(file: LoadedFile) -> Problem:
    dag = load_manifest(catalog.contracts()[file.dataset].domain).dag
    rows = count(file.rows_in, "row")
    route = f"withdraw/{dag}"
    return Problem(
        "warning",
        "files",
        f"{file.object_key.rpartition('/')[2]} of {file.dataset} is gone from the bucket",
        file.loaded_at,
        f"Its {rows} are loaded. Withdraw them if the sender took the file back; keep them otherwise.",
        (
            Action(
                "request",
                "Withdraw",
                route,
                {"file_id": file.file_id, "keep": False},
                dag,
                f"This removes {rows} of {file.uri} from the warehouse, as if the file had never been loaded.",
            ),
            Action("request", "Keep rows", route, {"file_id": file.file_id, "keep": True}, dag),
            runbook("gone", dag),
        ),
        topic="gone",
        key=f"gone {file.file_id}",
    )
