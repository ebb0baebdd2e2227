"""Keep derived tables up to date: rebuild exactly the periods whose inputs have changed since they were built.

Loads and builds write to `waybill.change` which days of their table changed. A period of a report is stale if the log
has more changes of its inputs within its window than were counted when it was built, or if its SQL or its contract has
changed, except for descriptions. Therefore derived tables depend on the loaded rows alone, and not on the order of
loads or the number of runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

from psycopg import Connection

from waybill.contracts import Contract, ContractError, load_domain
from waybill.contracts.domains import is_on_spark, load_manifest
from waybill.contracts.locations import (
    SCHEMAS,
    feature_schema,
    read_sql,
    report_files,
    report_schema,
    sql_folder,
    star_schema,
)
from waybill.derived.build import (
    BuildInputs,
    build_from_sql,
    dataset_relations,
    known_datasets,
    named_tables,
    report_contracts,
    sha256,
)
from waybill.derived.dimension import build_dimension
from waybill.derived.feature import is_retired
from waybill.derived.summary import build_summary
from waybill.errors import DataError
from waybill.period import ALL_TIME, Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure, equivalent_hashes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Derived:
    """A table that is computed from others by one SQL text."""

    contract: Contract
    text: str
    inputs: tuple[str, ...]
    """The tables that the text names, as the change log calls them."""
    datasets: frozenset[str]
    """The datasets that it reads, also through other derived tables; all of the domain if it reads none."""


def derived_tables(domain: str, *, with_features: bool = False) -> list[Derived]:
    """Return the star schema's tables and the reports of a domain, each after the tables that it reads.

    Feature views are returned on demand only: a mistake in one of them must not keep reports from being built. Raises
    `DataError` for a contract without an SQL file or an SQL file without a contract.
    """
    return _in_order(domain, SCHEMAS if with_features else (star_schema, report_schema))


def feature_tables(domain: str) -> list[Derived]:
    """Return the versions of a domain's feature views, each after those that it reads. Raises as `derived_tables`."""
    if not (settings().include_dir / "contracts" / feature_schema(domain)).is_dir():
        return []
    if load_manifest(domain).semantics == "current":
        return [one for one in derived_tables(domain, with_features=True) if one.contract.load_mode == "feature"]
    return _in_order(domain, (feature_schema,), (star_schema, report_schema))  # functions may compute its reports


def _in_order(
    domain: str, schemas: Iterable[Callable[[str], str]], others: Iterable[Callable[[str], str]] = ()
) -> list[Derived]:
    """Return the tables of derived schemas, which may read those of others, each after the tables that it reads."""
    contracts: dict[str, Contract] = {}
    texts: dict[str, str] = {}
    for make in schemas:
        schema = make(domain)
        contracts |= {contract.table: contract for contract in load_domain(schema).values()}
        texts |= {f"{schema}.{path.stem}": read_sql(path) for path in report_files(sql_folder(domain, make))}
    if alone := sorted(contracts.keys() ^ texts.keys()):
        raise DataError(f"{', '.join(alone)}: a derived table needs an SQL file and a contract of the same name")
    readable = {*contracts, *(one.table for make in others for one in load_domain(make(domain)).values())}
    logged = dataset_relations(domain) | {table: table for table in readable}
    named = {table: named_tables(text, logged) - {table} for table, text in texts.items()}
    order = TopologicalSorter({table: inputs & contracts.keys() for table, inputs in named.items()}).static_order()
    every = frozenset(contract.table for contract in load_domain(domain).values())
    read: dict[str, frozenset[str]] = {}
    found = []
    for table in order:
        of_inputs = (read.get(one, frozenset({one}) if one in every else every) for one in named[table])
        read[table] = frozenset[str]().union(*of_inputs)
        found.append(Derived(contracts[table], texts[table], tuple(sorted(named[table])), read[table] or every))
    return found


def refresh(connection: Connection, domain: str, schema: str, run: Run) -> dict[str, list[str]]:
    """Rebuild the stale periods of a schema's derived tables. Return the periods whose content changed, by table.

    Each period is one transaction. Periods that fail do not keep the others from being built: they stay stale, and
    `DataError` names them at the end. Raises `ContractError` for a domain on Spark.
    """
    if is_on_spark(domain):
        raise ContractError(
            f"The reports of {domain} are computed by Spark (engine: spark): use `spark_tasks` in the DAG instead of "
            "this task."
        )
    rebuilt: dict[str, list[str]] = {}
    failures = []
    if schema == feature_schema(domain):
        raise ContractError(f"{schema} has feature views: use `FeaturesOperator` in the DAG instead of this task.")
    datasets, tables = load_domain(domain).values(), derived_tables(domain)
    with connection.transaction():  # SQL may name tables for which no file was delivered yet
        for contract in (*datasets, *(table.contract for table in tables)):
            ensure(connection, contract)
    for table in tables:
        contract = table.contract
        if contract.domain != schema:
            continue
        summaries = [
            one.contract for one in tables if one.contract.load_mode == "summary" and contract.table in one.inputs
        ]
        for period in stale_periods(connection, domain, table):
            find_inputs = partial(changed_inputs, connection, table, period)
            try:
                if contract.load_mode == "dimension":
                    built = build_dimension(connection, contract, find_inputs, table.text, run, datasets)
                elif contract.load_mode == "summary":
                    built = build_summary(connection, contract, find_inputs, table.text, run)
                else:
                    built = build_from_sql(connection, contract, find_inputs, table.text, period, run, summaries)
            except DataError as error:
                failures.append(str(error))
                continue
            if built.is_changed:
                rebuilt.setdefault(contract.table, []).append(period.key)
    report_builds(rebuilt, failures)
    return rebuilt


def report_builds(rebuilt: Mapping[str, Iterable[str]], failures: Iterable[str]) -> None:
    """Log the periods with new content by table. Raises `DataError` with the failures, if there are some."""
    for name, periods in rebuilt.items():
        log.info("%s: new content for %s", name, ", ".join(periods))
    if text := "; ".join(failures):
        raise DataError(text)


_STALE = """
with delivered as (
  select date_trunc(%(cadence)s, day)::date as start, bool_or(table_name = any(%(read)s)) as is_input
  from waybill.table_day
  where table_name = any(%(datasets)s) and is_delivered
    and (%(since)s::date is null or day >= date_trunc(%(cadence)s, %(since)s::date)::date)
    and (%(until)s::date is null
      or day < (date_trunc(%(cadence)s, %(until)s::date - 1) + ('1 ' || %(cadence)s)::interval)::date)
  group by 1
),
bounds as ( -- of the window of each period, the last one exclusive
  select start, (start + ('1 ' || %(cadence)s)::interval)::date + %(days_after)s::integer as at, 1 as sign
  from delivered
  union all
  select start, start - %(days_before)s::integer, -1
  from delivered
  where %(days_before)s::integer is not null
),
sums as ( -- of the changes before each bound
  select start, sign, sum(changes) over (order by at, start is null) as changes
  from (
    select start, sign, at, 0 as changes from bounds
    union all
    select null, null, day, changes from waybill.table_day where table_name = any(%(inputs)s)
  ) as steps
),
counted as (
  select start, sum(sign * changes)::bigint as changes
  from sums
  where start is not null
  group by start
)
select c.start
from counted as c
inner join delivered as d using (start)
left join waybill.publication as p on p.report = %(report)s and p.cadence = %(cadence)s and p.period = c.start
where (p.report is not null or d.is_input or c.changes > 0)
  and (
    p.report is null
    or (p.changes_seen, p.sql_sha256) is distinct from (c.changes, %(sql)s)
    or (p.contract_sha256 = any(%(contracts)s)) is not true
  )
order by c.start
"""


def stale_periods(
    connection: Connection, domain: str, table: Derived, within: Sequence[Period] | None = None
) -> list[Period]:
    """Return the stale periods of every cadence among the periods for which files were delivered.

    A period is first built when a file of a dataset that the table reads was delivered for it, or when its window has
    changes of an input: a report of a dataset that has not arrived waits.

    With `within`, only periods that overlap with these consecutive periods. The one period of a dimension or summary is
    always returned: its build finds out whether it is stale.
    """
    contract, found = table.contract, []
    if contract.load_mode in ("dimension", "summary"):
        return [ALL_TIME]
    if is_retired(connection, contract):
        return []
    for cadence in contract.cadences:
        rows = connection.execute(
            _STALE,
            {
                "cadence": cadence,
                "datasets": [dataset.table for dataset in load_domain(domain).values()],
                "read": sorted(table.datasets),
                "since": within[0].start if within else None,
                "until": within[-1].end if within else None,
                "inputs": list(table.inputs),
                "days_before": contract.days_before,
                "days_after": contract.days_after,
                "report": contract.table,
                "sql": sha256(table.text),
                "contracts": equivalent_hashes(connection, contract),
            },
        ).fetchall()
        found += [Period.of(cadence, start) for (start,) in rows]
    return found


def stale_days(connection: Connection, domain: str) -> list[Period]:
    """Return the stale days of all tables derived from the domain's datasets, in order."""
    return sorted(
        {
            period
            for table in derived_tables(domain)
            for period in stale_periods(connection, domain, table)
            if period.cadence == "day"
        }
    )


_FILES = """
with files as (
  select file_id
  from waybill.change
  where table_name = any(%(inputs)s)
    and (%(first)s::date is null or day >= %(first)s::date)
    and (%(last)s::date is null or day < %(last)s::date)
  union
  select unnest(file_ids)
  from waybill.publication
  where report = any(%(inputs)s) and cadence = 'day'
    and (%(first)s::date is null or period >= %(first)s::date)
    and (%(last)s::date is null or period < %(last)s::date)
)
select array(
  select f.file_id
  from waybill.load_file as f
  inner join files on f.file_id = files.file_id
  where f.status = 'loaded'
  order by f.file_id
)
"""


def days_read(contract: Contract, period: Period) -> tuple[date | None, date | None]:
    """Return the first day that a period of a derived table reads, and the day after the last one; None: any."""
    if period is ALL_TIME:
        return None, None
    first = None if contract.days_before is None else period.start - timedelta(days=contract.days_before)
    return first, period.end + timedelta(days=contract.days_after)


def _window(table: Derived, period: Period) -> dict[str, Any]:
    """Return the inputs of a period, and the days that it reads."""
    first, last = days_read(table.contract, period)
    return {"inputs": list(table.inputs), "first": first, "last": last}


def changed_inputs(connection: Connection, table: Derived, period: Period) -> BuildInputs | None:
    """Return the inputs of a period, or None if it was built from the same inputs."""
    changes = unseen_changes(connection, table, period)  # counted first: what is loaded meanwhile makes it stale again
    if changes is None:
        return None
    (file_ids,) = one_row(connection, _FILES, _window(table, period))
    return BuildInputs(file_ids, table.inputs, changes)


def unseen_changes(connection: Connection, table: Derived, period: Period) -> int | None:
    """Return the number of changes in the window of a period, or None if it was built from the same inputs."""
    (changes,) = one_row(
        connection,
        """
        select coalesce(sum(changes), 0)::bigint
        from waybill.table_day
        where table_name = any(%(inputs)s)
          and (%(first)s::date is null or day >= %(first)s::date)
          and (%(last)s::date is null or day < %(last)s::date)
        """,
        _window(table, period),
    )
    return None if _is_fresh(connection, table, period, changes) else int(changes)


def _is_fresh(connection: Connection, table: Derived, period: Period, changes: int) -> bool:
    found = connection.execute(
        """
        select
        from waybill.publication
        where report = %s and cadence = %s and period = %s and (changes_seen, sql_sha256) = (%s, %s)
          and contract_sha256 = any(%s)
        """,
        (
            table.contract.table,
            period.cadence,
            period.start,
            changes,
            sha256(table.text),
            equivalent_hashes(connection, table.contract),
        ),
    ).fetchone()
    return found is not None


def out_of_date(
    connection: Connection,
    domain: str,
    periods: Sequence[Period],
    only: str | None = None,
    *,
    with_features: bool = False,
) -> list[tuple[str, Period]]:
    """Return (table, period) of the domain's derived tables that are out of date within the periods, in order.

    With `only`, these periods of this table alone. Feature views are returned on demand only. For reports that are
    current, these are the stale periods. A report as of the end of a period is out of date if other files have been
    delivered by then, or if a replay has added rows.
    """
    if load_manifest(domain).semantics == "current":
        return [
            (table.contract.table, period)
            for table in derived_tables(domain, with_features=with_features)
            if only in (None, table.contract.table)
            for period in stale_periods(connection, domain, table, periods)
            if only is None or period in periods
            if period is not ALL_TIME or unseen_changes(connection, table, period) is not None
        ]
    found = []
    for contract, datasets, derived in tables_as_of(domain, with_features=with_features):
        if only not in (None, contract.table) or is_retired(connection, contract):
            continue
        asked = [Period.of(contract.cadence, period.start) for period in periods]
        rows = connection.execute(
            _OUT_OF_DATE,
            {
                "report": contract.table,
                "cadence": contract.cadence,
                "starts": [period.start for period in asked],
                "ends": [period.end for period in asked],
                "datasets": datasets,
                "derived": derived,
            },
        ).fetchall()
        found += [(contract.table, Period.of(contract.cadence, start)) for (start,) in rows]
    return found


def tables_as_of(domain: str, *, with_features: bool) -> list[tuple[Contract, list[str], list[str]]]:
    """Return the reports and feature views of a domain whose reports are as of the end of a period.

    Each has the datasets whose files it rests on, and for feature views the derived tables that it reads.
    """
    texts = {path.stem: read_sql(path) for path in report_files(domain)}
    found = [
        (contract, known_datasets(domain, texts.get(name)), list[str]())
        for name, contract in report_contracts(domain).items()
    ]
    return found + [
        (table.contract, known_datasets(domain, table.text), derived_inputs(domain, table))
        for table in (feature_tables(domain) if with_features else ())
    ]


def derived_inputs(domain: str, table: Derived) -> list[str]:
    """Return the derived tables that an SQL text names."""
    return sorted(set(table.inputs) - {contract.table for contract in load_domain(domain).values()})


def up_to_date(connection: Connection, domain: str) -> set[str]:
    """Return the derived tables of a domain that are built from the current rows of their datasets in all periods."""
    found: set[str] = set()
    derived = derived_tables(domain)
    names = {table.contract.table for table in derived}
    for table in derived:
        is_stale = any(
            period is not ALL_TIME or unseen_changes(connection, table, period) is not None
            for period in stale_periods(connection, domain, table)
        )
        if not is_stale and names.intersection(table.inputs) <= found:
            found.add(table.contract.table)
    return found


# Compares the result of `known_files` with the recorded one for several periods at once, by sums of file ids.
_OUT_OF_DATE = """
with delivered as (
  select period, count(*) as files, sum(file_id) as ids, sum(rows_in - rejected) as accepted
  from waybill.load_file
  where dataset = any(%(datasets)s) and status = 'loaded'
  group by period
),
known as (
  select
    period, sum(files) over by_then as files, sum(ids) over by_then as ids, sum(accepted) over by_then as accepted
  from delivered
  window by_then as (order by period)
)
select distinct p.period
from waybill.publication as p
inner join unnest(%(starts)s::date[], %(ends)s::date[]) as asked (period, period_end) using (period)
left join lateral (
  select * from known as k where k.period < asked.period_end order by k.period desc limit 1
) as k on true
where p.report = %(report)s and p.cadence = %(cadence)s
  and (coalesce(k.files, 0), coalesce(k.ids, 0), coalesce(k.accepted, 0)) is distinct from (
    cardinality(p.file_ids), (select coalesce(sum(f.id), 0) from unnest(p.file_ids) as f (id)),
    p.changes_seen - (
      select coalesce(sum(d.changes), 0)
      from waybill.table_day as d
      where d.table_name = any(%(derived)s) and d.day < asked.period_end
    )
  )
order by p.period
"""
