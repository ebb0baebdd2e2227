"""Anomalies: periods of datasets and reports whose measures are outside the range expected from past periods."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import dropwhile
from typing import Any, Final
from zoneinfo import ZoneInfo

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.ops.incident_updates import end
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.watch import causes, changed_periods
from waybill.watch.forecast import WINDOW, Expected, expected
from waybill.watch.series import MEASURES, ROWS, Measure, Series, series_of

_KEPT: Final = 28
"""How many past values are stored with an anomaly."""


_DAYS: Final = {"week": 7, "month": 31}
"""The most days of a period."""


@dataclass(frozen=True)
class Anomaly:
    """A value outside its expected range."""

    dataset: str
    period: Period
    measure: Measure
    column: str
    """Empty for a measure of the whole dataset."""
    observed: float
    expected: Expected
    past: Sequence[tuple[date, float]]

    def __str__(self) -> str:
        subject = f"{self.measure.label} of {self.column}" if self.column else self.measure.label
        low = self.expected.low if self.measure.is_signed else max(self.expected.low, 0)
        high = min(self.expected.high, 100) if self.measure.is_share else self.expected.high
        observed, least, most = map(self.measure.written, (self.observed, low, high))
        return f"{subject}: {observed}, expected {least} to {most}"


def find(connection: Connection, contract: Contract, first: Period, last: Period) -> list[Anomaly]:
    """Return the anomalies of a table with one cadence in the periods from the first to the last one.

    A period is compared with earlier ones only, so later files change nothing. Where a step was accepted, the past
    begins with it; one of a dataset is a step of the reports that read it. Reports of all time are not compared: they
    only grow.
    """
    if contract.days_before is None:
        return []
    since = first.start - _window(contract)
    own: dict[tuple[str, str], list[date]] = {}
    of_inputs: list[date] = []
    inputs = [] if contract.is_dataset else [one.table for one in causes.inputs_of(contract)]
    for dataset, measure, column, start in connection.execute(
        "select dataset, measure, column_name, period from waybill.anomaly where accepted_as = 'step' "
        "and (dataset = any(%s) or (dataset, cadence) = (%s, %s)) order by period",
        (inputs, contract.table, contract.cadence),
    ):
        (own.setdefault((measure, column), []) if dataset == contract.table else of_inputs).append(start)
    found = []
    for (measure, column), series in series_of(connection, contract, since, last.start).items():
        steps = [*own.get((measure.name, column), []), *of_inputs]
        found += _outside(contract, measure, column, series, first.start, steps)
    return sorted(found, key=lambda one: (one.period, [*MEASURES].index(one.measure.name), one.column))


def _outside(
    contract: Contract, measure: Measure, column: str, series: Series, first: date, steps: Sequence[date]
) -> list[Anomaly]:
    """Return the anomalies of one series from a day on."""
    found, values = [], [*series.values.items()]
    starts = [start for start, _ in values]
    for place, (start, observed) in enumerate(values):
        if start < first:
            continue
        begins = max([start - _window(contract), *(step for step in steps if step <= start)])
        past = values[bisect_left(starts, begins) : place]
        if measure is ROWS and not contract.is_dataset:  # a report may need a year of files before its first row
            past = [*dropwhile(lambda one: not one[1], past)]
        if not past or not measure.applies([(value, series.sizes[day]) for day, value in past]):
            continue
        tolerance = partial(measure.tolerance, size=series.sizes[start])
        range_ = expected(past, start, contract.cadence, tolerance, _overlap(contract))
        if range_ is not None and not range_.includes(observed):
            period = Period.of(contract.cadence, start)
            found.append(Anomaly(contract.table, period, measure, column, observed, range_, past[-_KEPT:]))
    return found


def _overlap(contract: Contract) -> int:
    """Return from how many periods a value of a table follows: reports may read days before and after their period."""
    length = _DAYS.get(contract.cadence, 1)
    return 1 if contract.is_dataset else -(-(length + (contract.days_before or 0) + contract.days_after) // length)


def record(
    connection: Connection, contract: Contract, first: Period, found: Sequence[Anomaly], run: Run
) -> list[Anomaly]:
    """Store the anomalies of a dataset from a period on, settle those that are gone, and return the new ones."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"anomalies {contract.table}",))
        accepted = {
            (period, measure, column): value
            for period, measure, column, value in connection.execute(
                "select period, measure, column_name, case when accepted_as is not null then observed end "
                "from waybill.anomaly where dataset = %s and cadence = %s and settled_at is null",
                (contract.table, contract.cadence),
            )
        }
        keys = [(one.period.start, one.measure.name, one.column) for one in found]
        # Another value than the accepted one is new.
        known = {
            key
            for key, one in zip(keys, found, strict=True)
            if key in accepted and accepted[key] in (None, one.observed)
        }
        for key, one in zip(keys, found, strict=True):
            connection.execute(_RECORD, _parameters(one, key, run, is_new=key not in known))
        connection.execute(
            """
            update waybill.anomaly as a
            set settled_at = now()
            where dataset = %s and cadence = %s and period >= %s and settled_at is null
              and accepted_as is null
              and (period, measure, column_name) not in (select * from unnest(%s::date[], %s::text[], %s::text[]))
            """,
            (
                contract.table,
                first.cadence,
                first.start,
                *([key[place] for key in keys] for place in range(3)),
            ),
        )
    return [one for key, one in zip(keys, found, strict=True) if key not in known]


_RECORD: Final = """
insert into waybill.anomaly as a (
  dataset, cadence, period, measure, column_name, observed, expected, low, high, past, run_id
)
values (
  %(dataset)s, %(cadence)s, %(period)s, %(measure)s, %(column)s, %(observed)s, %(expected)s, %(low)s, %(high)s,
  %(past)s, %(run_id)s
)
on conflict (dataset, cadence, period, measure, column_name) do update
set observed = excluded.observed, expected = excluded.expected, low = excluded.low, high = excluded.high,
  past = excluded.past, settled_at = null,
  run_id = case when %(is_new)s then excluded.run_id else a.run_id end,
  found_at = case when %(is_new)s then now() else a.found_at end,
  accepted_as = case when not %(is_new)s then a.accepted_as end
"""


def _parameters(one: Anomaly, key: tuple[date, str, str], run: Run, *, is_new: bool) -> dict[str, Any]:
    period, measure, column = key
    return {
        "dataset": one.dataset,
        "cadence": one.period.cadence,
        "period": period,
        "measure": measure,
        "column": column,
        "observed": one.observed,
        "expected": one.expected.value,
        "low": one.expected.low,
        "high": one.expected.high,
        "past": Jsonb([[str(start), value] for start, value in one.past]),
        "run_id": run.run_id,
        "is_new": is_new,
    }


def watch(connection: Connection, contracts: Iterable[Contract], run: Run, moment: datetime) -> list[Anomaly]:
    """Look at the periods of tables that changed since the last look; return the new anomalies.

    Datasets come before the reports that read them. Periods that have not ended at the moment are left for a later
    look: more rows may come.
    """
    found = []
    today = moment.astimezone(ZoneInfo(settings().timezone)).date()
    for contract in contracts:
        for cadence in contract.cadences:
            one = replace(contract, cadences=(cadence,))
            with connection.transaction():
                if one.is_dataset:
                    connection.execute(_SETTLE_GONE, {"dataset": one.table})
                changed = changed_periods.take(
                    connection, one, Period.of(cadence, today).shift(-1), _window(one), moment
                )
                if changed:
                    unusual = find(connection, one, *changed)
                    found += record(connection, one, changed[0], _unexplained(connection, one, unusual), run)
    return found


def _unexplained(connection: Connection, contract: Contract, found: Sequence[Anomaly]) -> list[Anomaly]:
    """Return the anomalies that nothing else explains, so that one cause is one anomaly."""
    periods = sorted({one.period for one in found})
    if not found:
        return []
    if contract.is_dataset:
        lacking = causes.lacking_columns(connection, contract.table, periods)
        return [one for one in found if (one.period.start, one.column) not in lacking]
    explained = causes.explained(connection, contract, causes.inputs_of(contract), periods)
    return [one for one in found if one.period not in explained]


def _window(contract: Contract) -> timedelta:
    return timedelta(days=WINDOW.get(contract.cadence, 0) * _DAYS.get(contract.cadence, 1))


_SETTLE_GONE: Final = """
update waybill.anomaly as a
set settled_at = now()
where a.dataset = %(dataset)s and a.settled_at is null and a.accepted_as is null
  and not exists (
    select
    from waybill.load_file as f
    where (f.dataset, f.period, f.status) = (a.dataset, a.period, 'loaded')
  )
"""


def described(found: Iterable[Anomaly]) -> list[str]:
    """Return a line for each dataset and period: `billing.invoices 2026-03: rows: 12, expected 90 to 110`."""
    lines: dict[tuple[str, Period], list[str]] = {}
    for one in found:
        lines.setdefault((one.dataset, one.period), []).append(str(one))
    return [f"{dataset} {period}: {'; '.join(texts)}" for (dataset, period), texts in sorted(lines.items())]


def accept(connection: Connection, anomaly_ids: Sequence[int], by: str, *, is_step: bool) -> list[tuple[str, str]]:
    """Record that anomalies are explained; return the dataset and period of each.

    The last open one of a dataset closes its incident. With `is_step`, the value is the new level: periods before it
    are no longer compared with later ones. Raises `DataError` for an unknown anomaly.
    """
    rows = connection.execute(
        "update waybill.anomaly set accepted_as = %s, accepted_by = %s, accepted_at = now() "
        "where anomaly_id = any(%s) and settled_at is null returning anomaly_id, dataset, cadence, period",
        ("step" if is_step else "exception", by, [*anomaly_ids]),
    ).fetchall()
    if unknown := sorted({*anomaly_ids} - {row[0] for row in rows}):
        raise DataError(f"no open anomaly has the number {unknown[0]}; `waybill watch list` shows them")
    for _, dataset, cadence, start in rows if is_step else ():  # this period and later ones are judged anew
        changed_periods.take_again(connection, dataset, Period.of(cadence, start))
    for dataset in sorted({row[1] for row in rows}):
        if not open_anomalies(connection, [dataset], 1):
            end(connection, f"anomaly {dataset}", by)
    return [(dataset, str(Period.of(cadence, start))) for _, dataset, cadence, start in rows]


@dataclass(frozen=True)
class OpenAnomaly:
    """An anomaly that nobody has accepted."""

    anomaly_id: int
    anomaly: Anomaly
    found_at: datetime


def open_anomalies(connection: Connection, datasets: Sequence[str], limit: int = 500) -> list[OpenAnomaly]:
    """Return the open anomalies of datasets, the newest period first."""
    rows = connection.execute(
        _STORED.format(
            sql.SQL(
                "dataset = any({}) and settled_at is null and accepted_as is null and measure = any({}) "
                "order by period desc, dataset, anomaly_id limit {}"
            ).format([*datasets], [*MEASURES], limit)
        )
    ).fetchall()
    return [_stored(*row) for row in rows]


_STORED: Final = sql.SQL(
    "select anomaly_id, dataset, cadence, period, measure, column_name, observed, expected, low, high, past, found_at "
    "from waybill.anomaly where {}"
)


def _stored(
    anomaly_id: int,
    dataset: str,
    cadence: Any,
    start: date,
    measure: str,
    column: str,
    observed: float,
    middle: float,
    low: float,
    high: float,
    past: list[list[Any]],
    found_at: datetime,
) -> OpenAnomaly:
    values = [(date.fromisoformat(day), value) for day, value in past]
    anomaly = Anomaly(
        dataset,
        Period.of(cadence, start),
        MEASURES[measure],
        column,
        observed,
        Expected(middle, low, high, len(values)),
        values,
    )
    return OpenAnomaly(anomaly_id, anomaly, found_at)
