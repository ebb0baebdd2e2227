"""Keep feature views up to date. A version that fails does not keep the others from being built.

Where the reports of a domain are current, feature views are rebuilt like them: exactly the stale periods. Where reports
are as of the end of a period, each run builds its own period, and the history that a new version does not have yet.
Either way, a period waits while a derived table that it reads waits for a build within its window: rows of before and
after a change do not belong together, and the log would keep what was computed from both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from psycopg import Connection

from waybill.contracts import ContractError, load_domain
from waybill.contracts.domains import is_on_spark, load_manifest
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import domain_of
from waybill.contracts.odcs import load_derived
from waybill.derived.build import BuildInputs, is_sql_of, known_datasets, known_files
from waybill.derived.feature import build_feature, open_version
from waybill.derived.refresh import (
    Derived,
    changed_inputs,
    days_read,
    derived_inputs,
    derived_tables,
    feature_tables,
    report_builds,
    stale_periods,
)
from waybill.derived.waiting import Waiting, waiting_as_of, waiting_inputs
from waybill.errors import DataError
from waybill.formatting import count, in_series
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure

log = logging.getLogger(__name__)


def refresh_features(
    connection: Connection, domain: str, run: Run, period: Period | None = None
) -> dict[str, list[str]]:
    """Rebuild the periods of a domain's feature views that need it. Return those whose content changed, by table.

    `period` is that of the run. A domain needs it whose reports are as of the end of a period. Each build is one
    transaction. Raises `DataError` at the end with all failures: such periods stay as they were. Raises
    `ContractError` for a domain on Spark.
    """
    if is_on_spark(domain):
        raise ContractError(f"The reports of {domain} are computed by Spark, and feature views need the warehouse.")
    tables = feature_tables(domain)
    is_current = load_manifest(domain).semantics == "current"
    derived = derived_tables(domain, with_features=True) if tables and is_current else []
    every = {one.contract.table: one for one in derived}
    with connection.transaction():  # SQL may name tables for which no file was delivered yet
        for contract in load_domain(domain).values():
            ensure(connection, contract)
        for contract in load_derived(domain).values():
            if contract.load_mode != "feature":
                ensure(connection, contract)
    rebuilt: dict[str, list[str]] = {}
    failures: list[str] = []
    for table in tables:
        try:
            if changed := _refresh(connection, domain, table, every, run, period, failures):
                rebuilt[table.contract.table] = changed
        except DataError as error:
            failures.append(str(error))
    report_builds(rebuilt, failures)
    return rebuilt


def _refresh(
    connection: Connection,
    domain: str,
    table: Derived,
    every: Mapping[str, Derived],
    run: Run,
    period: Period | None,
    failures: list[str],
) -> list[str]:
    """Rebuild periods of one version. Return those whose content changed, and append failures of periods."""
    view = open_version(connection, table.contract, table.text)
    if view is None:
        log.info("%s was retired", table.contract.table)
        return []
    is_current = load_manifest(domain).semantics == "current"
    changed, erasures = [], _erasures(connection)

    def find(one: Period) -> BuildInputs | None:
        if not is_current:
            return _changed_inputs_as_of(connection, table, one, domain=domain)
        if _erasures(connection) != erasures:
            raise DataError(
                f"{table.contract.table} {one}: somebody was forgotten while the task ran. The next run builds it, "
                "after the tables that it reads."
            )
        return changed_inputs(connection, table, one)

    if is_current:
        wanted = stale_periods(connection, domain, table)
        waiting = waiting_inputs(connection, domain, table, every) if wanted else []
    else:
        wanted = _wanted_as_of(connection, domain, table, period)
        waiting = waiting_as_of(connection, domain, table, wanted)
    for one in _buildable(table, wanted, waiting):
        try:
            built = build_feature(connection, view, partial(find, one), table.text, table.datasets, one, run)
        except DataError as error:
            failures.append(str(error))
            continue
        if built.is_changed:
            changed.append(one.key)
    return changed


def _erasures(connection: Connection) -> int:
    (newest,) = one_row(connection, "select coalesce(max(erasure_id), 0) from waybill.erasure")
    return int(newest)


def _buildable(table: Derived, wanted: Iterable[Period], waiting: Sequence[Waiting]) -> list[Period]:
    """Return the periods of a version that read no period of a derived table which waits for a build.

    Such a period would mix rows of before and after a change. Where people can be forgotten, it may also have rows of a
    person who was forgotten since, and the log would keep them.
    """
    found = []
    for period in wanted:
        first, last = days_read(table.contract, period)
        if of_window := sorted(
            {one.table for one in waiting if one.first < (last or date.max) and one.end > (first or date.min)}
        ):
            log.warning(
                "%s %s is not built: %s must be built first for days that it reads. A run after that builds it.",
                table.contract.table,
                period,
                in_series(of_window, "and"),
            )
        else:
            found.append(period)
    return found


def unbuilt_periods(connection: Connection, view: FeatureView) -> list[Period]:
    """Return the periods of a version for which files were delivered and that were never built."""
    domain = domain_of(view.contract.domain)
    [table] = [one for one in feature_tables(domain) if one.contract.table == view.table]
    if load_manifest(domain).semantics != "current":
        return _wanted_as_of(connection, domain, table, None)
    rows = connection.execute("select cadence, period from waybill.publication where report = %s", (view.table,))
    built = {*rows.fetchall()}
    stale = stale_periods(connection, domain, table)
    return [period for period in stale if (period.cadence, period.start) not in built]


def _changed_inputs_as_of(connection: Connection, table: Derived, period: Period, *, domain: str) -> BuildInputs | None:
    """Return the inputs of a period as known at its end, or None if it was built from the same ones."""
    files = known_files(connection, domain, period, table.text)
    derived = derived_inputs(domain, table)
    (changes,) = one_row(
        connection,
        "select coalesce(sum(changes), 0)::bigint from waybill.table_day where table_name = any(%s) and day < %s",
        (derived, period.end),
    )
    inputs = replace(files, tables=table.inputs, changes=(files.changes or 0) + changes)
    before = connection.execute(
        "select file_ids, changes_seen, sql_sha256 from waybill.publication "
        "where report = %s and cadence = %s and period = %s",
        (table.contract.table, period.cadence, period.start),
    ).fetchone()
    is_same = before is not None and before[:2] == (inputs.file_ids, inputs.changes)
    return None if before and is_same and is_sql_of(table.text, before[2]) else inputs


_HISTORY = """
with delivered as (
  select date_trunc(%(cadence)s, period)::date as start
  from waybill.load_file
  where dataset = any(%(datasets)s) and status = 'loaded'
  group by 1
  having count(distinct dataset) = cardinality(%(datasets)s)
),
built as (
  select report, period as start
  from waybill.publication
  where cadence = %(cadence)s and (report = any(%(derived)s) or report = %(table)s)
)
select d.start
from delivered as d
where cardinality(%(derived)s) = (
    select count(*) from built as b where b.start = d.start and b.report = any(%(derived)s)
  )
  and not exists (select from built as b where b.start = d.start and b.report = %(table)s)
order by 1
"""
_KEPT_FROM = "select max(day) from waybill.horizon where dataset = any(%s)"


def _wanted_as_of(connection: Connection, domain: str, table: Derived, period: Period | None) -> list[Period]:
    """Return the period of the run, and earlier and later ones that are complete and were never built."""
    cadence = table.contract.cadence
    datasets = load_domain(domain)
    known, derived = known_datasets(domain, table.text), derived_inputs(domain, table)
    rows = connection.execute(
        _HISTORY,
        {
            "cadence": cadence,
            "datasets": [one.table for one in datasets.values() if one.table in known and not one.lands_any_time],
            "derived": [
                contract.table
                for contract in load_derived(domain).values()
                if contract.table in derived and cadence in contract.cadences
            ],
            "table": table.contract.table,
        },
    ).fetchall()
    own = [Period.of(cadence, period.start)] if period else []
    history = {Period.of(cadence, start) for (start,) in rows}
    (kept_from,) = one_row(connection, _KEPT_FROM, ([*known],))
    if kept_from:  # what was known in earlier periods cannot be told
        former = {one for one in history if one.start < kept_from}
        if former:
            log.info(
                "%s: %s before %s cannot be built, since the retention has removed the history of their datasets",
                *(table.contract.table, count(len(former), cadence), kept_from),
            )
        history -= former
    return sorted({*own, *history})
