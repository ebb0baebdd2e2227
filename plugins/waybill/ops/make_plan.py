"""Make the plan of a backfill. Planning only reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import Connection

from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import load_manifest
from waybill.derived.affected import affected
from waybill.files.landed_file import LandedFile
from waybill.ops.books import NOT_LOADED, NOTHING, OUT_OF_DATE, REJECTED, Gap, summarise
from waybill.ops.bucket_state import BucketState, bucket_state
from waybill.ops.plan import Estimate, FileToLoad, Note, PeriodFiles, Plan, Rebuild
from waybill.ops.remedies import ready_runs, remedies
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class _Dataset:
    """The files of a dataset that are not loaded."""

    contract: Contract
    state: BucketState
    todo: list[LandedFile]
    """The files that are new or changed."""
    rejected: list[tuple[LandedFile, str]]
    """The files that this version of the contract has rejected, and misplaced objects, each with the message."""
    loaded_keys: set[str]
    """The keys of files in `todo` of which another version is loaded."""


def make_plan(
    connection: Connection, s3: S3Client, domain: str, periods: Sequence[Period], most_objects: int | None = None
) -> Plan:
    """Return what runs of consecutive periods would do, once rejected files are corrected.

    Lists only the folders of the periods. Raises `DataError` if a dataset has more than `most_objects` objects there.
    The files are not read: a run may reject some of them or some of their rows.
    """
    newest_file_id, newest_build = one_row(
        connection,
        "select (select coalesce(max(file_id), 0) from waybill.load_file), "
        "(select max(built_at)::text from waybill.publication)",
    )
    is_current = load_manifest(domain).semantics == "current"
    datasets = [
        _dataset(connection, contract, bucket_state(connection, s3, contract, periods, most_objects))
        for contract in load_domain(domain).values()
    ]
    any_time = any(one.contract.lands_any_time for one in datasets)
    missing = (
        []
        if any_time
        else [
            Gap(period, one.contract.table, NOTHING)
            for one in datasets
            for period in periods
            if not one.state.landed[period]
        ]
    )
    waiting = sorted({gap.period for gap in missing})
    runs = [period for period in periods if period not in waiting]
    to_load = [(one, file) for one in datasets for file in one.todo if runs and file.period <= runs[-1]]
    files = [(one.contract, file.period) for one, file in to_load]
    found = affected(connection, domain, files, periods) if runs else []
    rebuilds = [(table, period) for table, period in found if is_current or period in runs]
    later = [(table, period) for table, period in found if not is_current and period > periods[-1]]
    rejected = [
        Gap(file.period, one.contract.table, f"{REJECTED}{message}")
        for one in datasets
        for file, message in one.rejected
    ]
    gaps = rejected + missing
    gaps += [Gap(file.period, one.contract.table, f"{NOT_LOADED}{file.uri}") for one in datasets for file in one.todo]
    if not (is_current and files):  # else the runs that load the files build everything
        gaps += [Gap(period, table, OUT_OF_DATE) for table, period in rebuilds]
    summary = summarise(gaps)
    published = _published(connection, {table for table, _ in found})
    return Plan(
        domain=domain,
        first=periods[0].key,
        last=periods[-1].key,
        files=_period_files(connection, domain, datasets, periods),
        to_load=[
            FileToLoad(one.contract.table, file.period.key, file.uri, file.etag, file.key not in one.loaded_keys)
            for one, file in to_load
        ],
        rejected=[Note(gap.subject, gap.period.key, gap.what.removeprefix(REJECTED)) for gap in rejected],
        gone=[
            Note(one.contract.table, Period.of(one.contract.cadence, file.period).key, file.advice)
            for one in datasets
            for file in one.state.gone
        ],
        waiting=[period.key for period in waiting],
        rebuilds=[Rebuild(table, period.key, (table, period) in published) for table, period in rebuilds],
        outdated_later=[Rebuild(table, period.key, (table, period) in published) for table, period in later],
        estimate=_estimate(
            connection, Counter(contract.table for contract, _ in files), Counter(table for table, _ in rebuilds)
        ),
        steps=sorted(remedies(domain, summary, periods), key=lambda step: step.startswith("airflow")),
        runs=ready_runs(domain, summary, periods),
        newest_file_id=newest_file_id,
        newest_build=newest_build,
        loads_earlier=not any_time,
    )


def _dataset(connection: Connection, contract: Contract, state: BucketState) -> _Dataset:
    todo, rejected = [], []
    for file in state.todo:
        rejection = state.rejection(file)
        if rejection and rejection.contract_version in (None, contract.version):
            rejected.append((file, rejection.message))
        else:
            todo.append(file)
    rejected += [(one.file, one.message) for one in state.misplaced]
    rows = connection.execute(
        "select object_key from waybill.load_file "
        "where (dataset, bucket, status) = (%s, %s, 'loaded') and object_key = any(%s)",
        (contract.table, settings().raw_bucket, [file.key for file in todo]),
    ).fetchall()
    return _Dataset(contract, state, todo, rejected, {key for (key,) in rows})


def _period_files(
    connection: Connection, domain: str, datasets: Sequence[_Dataset], periods: Sequence[Period]
) -> list[PeriodFiles]:
    """Return the numbers of files of each period and dataset."""
    loaded = _loaded(connection, domain, periods)
    found = {}
    for one in datasets:
        contract, table = one.contract, one.contract.table
        changed = Counter(file.period for file in one.todo if file.key in one.loaded_keys)
        new = Counter(file.period for file in one.todo) - changed
        rejected = Counter(file.period for file, _ in one.rejected)
        gone = Counter(Period.of(contract.cadence, file.period) for file in one.state.gone)
        for period in periods:
            found[period, table] = PeriodFiles(
                period.key,
                table,
                new=new[period],
                changed=changed[period],
                loaded=loaded[table, period] - changed[period] - gone[period],
                rejected=rejected[period],
                gone=gone[period],
                missing=int(not contract.lands_any_time and not one.state.landed[period]),
            )
    return [found[period, one.contract.table] for period in periods for one in datasets]


def _loaded(connection: Connection, domain: str, periods: Sequence[Period]) -> Counter[tuple[str, Period]]:
    """Return the number of loaded files of each dataset and period."""
    datasets = {contract.table: contract for contract in load_domain(domain).values()}
    rows = connection.execute(
        "select dataset, period, count(*) from waybill.load_file "
        "where dataset = any(%s) and bucket = %s and status = 'loaded' and period between %s and %s "
        "group by dataset, period",
        ([*datasets], settings().raw_bucket, periods[0].start, periods[-1].start),
    ).fetchall()
    return Counter({(name, Period.of(datasets[name].cadence, start)): number for name, start, number in rows})


def _published(connection: Connection, reports: Iterable[str]) -> set[tuple[str, Period]]:
    """Return the published periods of reports."""
    rows = connection.execute(
        "select report, cadence, period from waybill.published where report = any(%s)", ([*reports],)
    ).fetchall()
    return {(report, Period.of(cadence, start)) for report, cadence, start in rows}


_SECONDS = """
select
  n.name,
  coalesce(
    (
      select percentile_cont(0.5) within group (order by f.seconds)
      from (
        select seconds
        from waybill.load_file
        where dataset = n.name and seconds is not null
        order by file_id desc
        limit 100
      ) as f
    ),
    (select percentile_cont(0.5) within group (order by p.seconds) from waybill.publication as p where report = n.name)
  )
from unnest(%s::text[]) as n (name)
"""


def _estimate(connection: Connection, files: Counter[str], builds: Counter[str]) -> Estimate:
    """Return the sum of median times: of the last hundred loads of a dataset, of the newest builds of a report."""
    numbers = files + builds
    median: dict[str, float | None] = dict(connection.execute(_SECONDS, (sorted(numbers),)).fetchall())
    return Estimate(
        sum(numbers[name] * seconds for name, seconds in median.items() if seconds is not None),
        [name for name in sorted(numbers) if median[name] is None],
    )
