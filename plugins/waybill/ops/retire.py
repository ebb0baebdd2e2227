"""Retire a dataset or a derived table whose contract is no longer part of the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from psycopg import Connection, errors, sql

from waybill.contracts import Contract
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import raw_prefix
from waybill.contracts.odcs import contract_path, recorded, references
from waybill.errors import DataError
from waybill.formatting import count, some_of
from waybill.settings import in_project, settings
from waybill.warehouse.connection import one_row, table_exists
from waybill.warehouse.feature_tables import lock_exclusive, lock_sets, refuse_used, training_sets
from waybill.warehouse.schema import as_of_function, drop_readers, tables_of

_PROFILES = """
delete from waybill.file_profile as p
using waybill.load_file as f
where p.file_id = f.file_id and f.dataset = %(name)s
"""
_PERSONAL = """
delete from waybill.personal_column as p
using waybill.load_file as f
where p.file_id = f.file_id and f.dataset = %(name)s
"""
_CHANGES = (
    "update waybill.load_file set status = 'withdrawn', gone = null where dataset = %(name)s and status = 'loaded'",
    "delete from waybill.check_result where subject = %(name)s",
    "delete from waybill.processed_day where dataset = %(name)s",
    "delete from waybill.checkpoint where dataset = %(name)s",
    "delete from waybill.whole_listing where dataset = %(name)s",
    "delete from waybill.horizon where dataset = %(name)s",
    "delete from waybill.anomaly where dataset = %(name)s",
    "delete from waybill.watched where dataset = %(name)s",
    "delete from waybill.drift where dataset = %(name)s",
    "delete from waybill.report_profile where report = %(name)s",
    "delete from waybill.feature_drift where feature_table = %(name)s",
    _PROFILES,
    _PERSONAL,
    "delete from waybill.change where table_name = %(name)s",
    "delete from waybill.table_day where table_name = %(name)s",
    "delete from waybill.feature_version where feature_table = %(name)s",
    "delete from waybill.stream where dataset = %(name)s",
    "delete from waybill.stream_consumer where dataset = %(name)s",
    "delete from waybill.stream_shard where dataset = %(name)s",
    "delete from waybill.stream_event where dataset = %(name)s",
    "delete from waybill.stream_count where dataset = %(name)s",
    "delete from waybill.stream_session where dataset = %(name)s",
    "delete from waybill.stream_rejected where dataset = %(name)s",
    "delete from waybill.stream_archive where dataset = %(name)s",
    "delete from waybill.stream_measurement where dataset = %(name)s",
    # No layout is 0, so a contract with the same text creates the table again.
    "update waybill.contract set layout = 0 where dataset = %(name)s",
)

_CONSEQUENCE = "Without the log they cannot be made again, and their models expect its values online."


@dataclass(frozen=True)
class Retirement:
    """What retiring a table would drop, and what it would keep."""

    contract: Contract
    """The contract that was applied last."""
    drops: list[str]
    keeps: list[str]
    is_forced: bool
    """Whether training sets may rest on the table."""


def plan(connection: Connection, name: str, *, is_forced: bool = False) -> Retirement:
    """Return what retiring a table (`schema.name`) would do.

    Raises `DataError` if no contract of this name was applied, the project still has the contract, another file of the
    project names the table, or, unless forced, training sets rest on it; `ContractError` if another dataset refers to
    it.
    """
    row = connection.execute(
        "select document from waybill.contract where dataset = %s order by contract_id desc limit 1", (name,)
    ).fetchone()
    if row is None:
        raise DataError(f"no contract of {name} was ever applied. Name the table with its schema: billing.invoices")
    contract = recorded(row[0])
    file = contract_path(name)
    if file.is_file():
        raise DataError(
            f"{name} has a contract. Delete {in_project(file)} and the SQL file of the table, if it has one. "
            "Deploy this change, so that no run creates the table again, and repeat the command."
        )
    if readers := list(_readers(contract)):
        raise DataError(f"{name} is named in {', '.join(map(str, readers))}. Change or delete these files first.")
    references(contract.domain)  # raises if a dataset of the domain refers to it
    view = FeatureView.of(contract) if contract.load_mode == "feature" else None
    if view and not is_forced:
        refuse_used(connection, view, _CONSEQUENCE)
    drops = []
    for table in tables_of(contract):
        if table_exists(connection, table):
            (rows,) = one_row(connection, sql.SQL("select count(*) from {}").format(table))
            drops.append(f"the table {'.'.join(table._obj)} with {count(rows, 'row')}")
    files, open_rows, checks, builds, shards, events, rejected = one_row(
        connection,
        """
        select
          (select count(*) from waybill.load_file where dataset = %(name)s),
          (
            select count(*)
            from waybill.quarantine as q
            inner join waybill.load_file as f using (file_id)
            where f.dataset = %(name)s and f.status = 'loaded' and q.resolved_as is null
          ),
          (select count(*) from waybill.check_result where subject = %(name)s),
          (select count(*) from waybill.publication where report = %(name)s),
          (select count(*) from waybill.stream_shard where dataset = %(name)s),
          (select count(*) from waybill.stream_event where dataset = %(name)s and archive_id is null),
          (select count(*) from waybill.stream_rejected where dataset = %(name)s)
        """,
        {"name": name},
    )
    drops.append(f"{count(checks, 'result')} of checks")
    if view and is_forced and (sets := training_sets(connection, view)):
        were = "was" if len(sets) == 1 else "were"
        names = some_of([one.name for one in sets])
        drops.append(f"what {count(len(sets), 'training set')} {were} made from: {names}")
    if shards:
        drops.append(
            f"what was counted of its stream, with {count(events, 'event')} that no file has yet "
            f"and {count(rejected, 'rejected event')}"
        )
    keeps = []
    if contract.is_dataset:
        keeps += [
            f"the books of {count(files, 'file')}, as withdrawn",
            f"the quarantine, of which {count(open_rows, 'row')} will no longer be open",
            f"the files under s3://{settings().raw_bucket}/{raw_prefix(contract.domain, contract.name)}",
        ]
    else:
        keeps.append(f"the records of {count(builds, 'build')}, for `waybill trace`")
    keeps.append("what was exported to reports, the lake and its catalog")
    return Retirement(contract, drops, keeps, is_forced)


def retire(connection: Connection, retirement: Retirement) -> None:
    """Drop a table and its check results, and mark its files as withdrawn, in one transaction.

    A later contract of the same name loads all landed files again. Raises `DataError` if another object of the
    database depends on the table, and, unless forced, if training sets rest on it.
    """
    contract = retirement.contract
    try:
        with connection.transaction():
            if contract.load_mode == "feature":
                view = FeatureView.of(contract)
                lock_sets(connection, [view], is_shared=False)
                lock_exclusive(connection, view)
                if not retirement.is_forced:
                    refuse_used(connection, view, _CONSEQUENCE)
            connection.execute("select pg_advisory_xact_lock(hashtext('waybill.contract'))")
            for statement in drop_readers(contract):
                connection.execute(statement)
            for table in tables_of(contract):
                connection.execute(sql.SQL("drop table if exists {}").format(table))
            for change in _CHANGES:
                connection.execute(change, {"name": contract.table})
    except errors.DependentObjectsStillExist as error:
        raise DataError(
            f"{contract.table} was not retired: {error.diag.message_detail}. Drop what depends on it first."
        ) from error


def _readers(contract: Contract) -> Iterator[Path]:
    """Return the SQL files and contracts of the project that name the table, its view or its function."""
    names = {identifier._obj[-1] for identifier in [*tables_of(contract), as_of_function(contract)]} | {contract.name}
    listed = "|".join(map(_identifier, sorted(names)))
    # Prose of a contract may have a stop and a space between the two words.
    space = {".sql": r"\s*", ".yaml": ""}
    named = {
        suffix: re.compile(rf"(?<!\w){_identifier(contract.domain)}{gap}\.{gap}({listed})(?!\w)(?!\.)")
        for suffix, gap in space.items()
    }
    root = settings().include_dir
    for path in sorted([*root.glob("sql/**/*.sql"), *root.glob("contracts/*/*.yaml")]):
        if named[path.suffix].search(path.read_text()):
            yield in_project(path)


def _identifier(name: str) -> str:
    """Return the pattern of a name as SQL may write it: between quotes, or in small or capital letters without them."""
    text = re.escape(name)
    return f'(?:"{text}"|(?i:{text}))'
