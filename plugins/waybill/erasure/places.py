"""Where a person is outside of the tables that are erased at once: what the next run rewrites, and what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from waybill.contracts import Column, Contract, load_all, load_domain
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import SCHEMAS, TRAINING_PREFIX, feature_schema, raw_layout
from waybill.derived.build import report_contracts
from waybill.erasure.person import Target
from waybill.erasure.rows import Erased
from waybill.ops.column_sources import Source, Sources
from waybill.ops.lineage import of_sql, relations_of
from waybill.outputs.publish import csv_key, parquet_key
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import one_row, table_exists
from waybill.warehouse.schema import relation, tables_of


@dataclass(frozen=True)
class IdColumn:
    """A column of a derived table whose values are ids of a kind of person."""

    contract: Contract
    column: Column

    def __str__(self) -> str:
        """Return its name with the table."""
        return f"{self.contract.table}.{self.column.name}"


def _derived(domain: str) -> list[Contract]:
    """Return the contracts of a domain's derived tables, reports and feature views."""
    return [contract for make in SCHEMAS for contract in load_domain(make(domain)).values()]


def value_sources(domain: str) -> dict[Source, Sources]:
    """Return the columns from which the value of each column of the domain's derived tables is computed.

    What a function computes may come from every column of the datasets. Raises `DataError` for an SQL file whose
    columns are not known.
    """
    datasets = load_domain(domain).values()
    derived = _derived(domain)
    relations = relations_of([*datasets, *derived])
    every = frozenset(Source(dataset.table, name) for dataset in datasets for name in dataset.names)
    found: dict[Source, Sources] = {}
    for contract in derived:
        computed = of_sql(contract, relations)
        columns = computed[1].columns if computed else dict.fromkeys(contract.names, every)
        found |= {Source(contract.table, name): of for name, of in columns.items()}
    return found


def derived_ids(target: Target, sources: Mapping[Source, Sources]) -> list[IdColumn]:
    """Return the columns of the domain's derived tables that hold ids.

    They are computed from ids, and have the name of one, or come from ids alone and are UUIDs or texts like these.
    Integers of another name may be numbers of people, which are the same as an id by accident.
    """
    ids = {Source(one.contract.table, column.name): column for one in target.columns for column in one.ids}
    names, reached = {column.name for column in ids.values()}, {*ids}
    while more := {column for column, of in sources.items() if column not in reached and of & reached}:
        reached |= more
    alone = {*ids}
    while more := {column for column, of in sources.items() if column not in alone and of and of <= alone}:
        alone |= more
    kinds = {column.physical_type for column in ids.values()} & {"uuid", "text"}
    return [
        IdColumn(contract, column)
        for contract in _derived(target.domain)
        for column in contract.columns
        if (source := Source(contract.table, column.name)) in reached
        and (column.name in names or (source in alone and column.physical_type in kinds))
    ]


def rows_of(connection: Connection, one: IdColumn, value: str) -> int:
    """Return how many rows of a derived table have an id; of a feature view, also those of its log."""
    tables = tables_of(one.contract) if one.contract.load_mode == "feature" else [relation(one.contract)]
    return sum(
        one_row(
            connection,
            sql.SQL("select count(*) from {} where {} = %s::{}").format(
                table, sql.Identifier(one.column.name), sql.SQL(one.column.physical_type)
            ),
            (value,),
        )[0]
        for table in tables
        if table_exists(connection, table)
    )


def waiting_places(
    connection: Connection, target: Target, erased: Erased, derived: Sequence[IdColumn]
) -> list[dict[str, Any]]:
    """Return what the next run of the domain rewrites: derived tables, days of the lake and published files."""
    found: list[dict[str, Any]] = []
    reports = {contract.table for contract in report_contracts(target.domain).values()}
    for one in derived:
        if rows := rows_of(connection, one, target.value):
            found.append({"place": str(one), "rows": rows})
            if one.contract.table in reports:
                found += _published(connection, one, target.value)
    for dataset, days in sorted(erased.days.items()):
        row = connection.execute(
            "select count(*) from waybill.processed_day where dataset = %s and day = any(%s)", (dataset, [*days])
        ).fetchone()
        if row and row[0]:
            found.append({"place": f"lake: {dataset}", "days": int(row[0])})
    return found


def _published(connection: Connection, one: IdColumn, value: str) -> list[dict[str, Any]]:
    """Return the published files of a report's periods that show an id."""
    contract = one.contract
    cadence = sql.SQL("t.cadence") if len(contract.cadences) > 1 else sql.Literal(contract.cadences[0])
    rows = connection.execute(
        sql.SQL(
            """
            select distinct p.cadence, p.period
            from {table} as t
            inner join waybill.published as p
              on p.report = %(report)s and p.cadence = {cadence} and p.period = t.{period}
            where t.{name} = %(id)s::{kind}
            order by p.period
            """
        ).format(
            table=relation(contract),
            cadence=cadence,
            period=sql.Identifier(contract.key[0]),
            name=sql.Identifier(one.column.name),
            kind=sql.SQL(one.column.physical_type),
        ),
        {"report": contract.table, "id": value},
    ).fetchall()
    bucket = settings().reports_bucket
    return [
        {"place": f"s3://{bucket}/{key(contract, Period.of(length, start))}", "objects": 1}
        for length, start in rows
        for key in (csv_key, parquet_key)
    ]


_TRAINING_SETS = """
select stored.address, s.name, s.deleted_at is not null as is_deleted
from waybill.training_set as s
left join unnest(
  case when s.deleted_at is null then s.earlier_locations || s.location else s.left_locations end
) as stored (address) on true
where s.views && %(tables)s::text[]
  or (
    s.manifest -> 'columns' ?| %(names)s
    and exists (select from unnest(s.views) as v (name) where split_part(v.name, '.', 1) = %(schema)s)
  )
order by stored.address
"""


def training_sets(
    connection: Connection, target: Target, derived: Sequence[IdColumn]
) -> list[tuple[str | None, str, bool]]:
    """Return where training sets are that have columns with ids of people of the domain.

    Each place is (address, name, whether the set was deleted). Of a set that was deleted, these are the files that were
    left; the address is None if none was. A table of the lake is no place of its own: it has the file in the bucket.

    `derived` are the columns of derived tables that hold ids: a set has those of its views, whatever their names.
    """
    parameters = {
        "names": sorted({column.name for one in target.columns for column in one.ids}),
        "schema": feature_schema(target.domain),
        "tables": sorted({one.contract.table for one in derived if one.contract.load_mode == "feature"}),
    }
    return connection.execute(_TRAINING_SETS, parameters).fetchall()


def names_in_sets(target: Target, derived: Sequence[IdColumn]) -> list[str]:
    """Return what columns of training sets with ids of people of the domain are called."""
    names = {column.name for one in target.columns for column in one.ids}
    for one in derived:
        if one.contract.load_mode == "feature":
            view = FeatureView.of(one.contract)
            name = one.column.name
            names |= {name} if name in view.entity else {f"{view.view}__{name}", f"{view.contract.name}__{name}"}
    return sorted(names)


_FILES = """
select f.dataset, f.bucket, f.object_key, f.version_id, f.file_id = any(%(files)s) as holds
from waybill.load_file as f
where f.file_id = any(%(files)s)
  or (f.dataset, f.object_key) in (
    select g.dataset, g.object_key from waybill.load_file as g where g.file_id = any(%(files)s)
  )
order by f.dataset, f.period, f.object_key, f.file_id
"""
_REJECTED = """
select distinct dataset, object_key
from waybill.rejected_file
where dataset = any(%(datasets)s) and deleted_at is null
order by dataset, object_key
"""


def sharing_files(target: Target) -> list[str]:
    """Return the datasets of other domains that read files of the person's datasets."""
    folders = {raw_layout(target.domain, one.contract.name, one.contract.cadence).root for one in target.columns}
    return [
        contract.table
        for contract in load_all().values()
        if contract.is_dataset
        and contract.domain != target.domain
        and raw_layout(contract.domain, contract.name, contract.cadence).root in folders
    ]


def _end_of_set(location: str, name: str, *, is_deleted: bool) -> str:
    command = f"`waybill features delete-set {name}`"
    if is_deleted:
        return f"{command} runs where the file is, or is told by --gone that it is gone: so far it did not reach it"
    where = "" if location.startswith("s3://") else " on the machine with the file"
    return f"an operator runs {command}{where}, or deletes the file"


def left_places(
    connection: Connection,
    target: Target,
    erased: Erased,
    derived: Sequence[IdColumn],
    archives: Sequence[str],
    unreached: Sequence[str],
) -> list[dict[str, str]]:
    """Return what the project cannot erase, each with who removes it and when."""
    by_operator = "an operator deletes the version, or the lifecycle of the bucket removes it"
    found: list[dict[str, str]] = []
    for dataset, bucket, key, version, holds in connection.execute(_FILES, {"files": sorted(erased.files)}):
        what = "holds the person" if holds else "may hold the person: another version of a file that does"
        place = f"s3://{bucket}/{key}" + (f" (version {version})" if version else "")
        found.append({"place": place, "what": f"raw file of {dataset}; {what}", "until": by_operator})
    known = {one["place"] for one in found}
    for key in archives:
        place = f"s3://{settings().raw_bucket}/{key}"
        if not any(one.startswith(place) for one in known):
            found.append({"place": place, "what": "archive of a stream; holds the person", "until": by_operator})
    datasets = [one.contract.table for one in target.columns]
    for dataset, key in connection.execute(_REJECTED, {"datasets": datasets}):
        found.append(
            {
                "place": f"s3://{settings().raw_bucket}/{key}",
                "what": f"rejected file of {dataset}; may hold the person, its rows were never loaded",
                "until": by_operator,
            }
        )
    others = [
        {
            "place": table,
            "what": "has classified columns and no id: the person cannot be found",
            "until": "never",
        }
        for table in unreached
    ]
    others += [
        {
            "place": table,
            "what": "a dataset of another domain that reads the same files; holds the person",
            "until": "somebody forgets the person there, or rewrites the table",
        }
        for table in sharing_files(target)
    ]
    sets = training_sets(connection, target, derived)
    others += [
        {
            "place": location,
            "what": f"training set {name}; may hold the person",
            "until": _end_of_set(location, name, is_deleted=is_deleted),
        }
        for location, name, is_deleted in sets
        if location
    ]
    if sets:
        others.append(
            {
                "place": f"s3://{settings().lake_bucket}/{TRAINING_PREFIX}",
                "what": "earlier versions of training sets, and what runs that died left there",
                "until": "the lifecycle of the bucket removes versions; an operator deletes files that no set has",
            }
        )
    others.append(
        {
            "place": f"rows of {target.domain} without the id, and names of objects",
            "what": "may quote a text of the person: `--verify --value TEXT` finds them",
            "until": "their sender corrects the file",
        }
    )
    snapshots, published = settings().lake_snapshot_days, settings().lake_published_days
    return [
        *others,
        {
            "place": f"s3://{settings().lake_bucket}/",
            "what": "snapshots of the lake's tables before the next run, with their files",
            "until": f"they expire after {snapshots} days (WAYBILL_LAKE_SNAPSHOT_DAYS), those of published reports "
            f"after {published} days (WAYBILL_LAKE_PUBLISHED_DAYS)",
        },
        {
            "place": f"s3://{settings().reports_bucket}/, s3://{settings().dashboard_bucket}/",
            "what": "earlier versions of published files, and pages of the dashboard until it is published again",
            "until": "the lifecycle of the buckets removes earlier versions",
        },
        {
            "place": "backups of the database",
            "what": "earlier states of all tables",
            "until": "they expire",
        },
        {"place": "task logs and messages that were sent", "what": "are not searched", "until": "they expire"},
        {"place": "copies outside of the project", "what": "are not known", "until": "their owners delete them"},
        *found,
    ]
