"""Feature views: owners, freshness, the state of each feature, and the training sets that use them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from zoneinfo import ZoneInfo

from psycopg import Connection, sql

from waybill.contracts import Column
from waybill.contracts.feature_views import EVENT_TS, FeatureView, feature_views
from waybill.contracts.locations import feature_schema
from waybill.formatting import length
from waybill.period import Period
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.freshness import distance
from waybill.views.operations.scope import Scope
from waybill.warehouse.feature_tables import Gone, UsingSet, gone_versions, training_sets
from waybill.warehouse.schema import relation

NOTABLE: Final = 0.1
"""Above this population stability index, the values have changed; by the usual rule they have not up to it."""
_TIMES: Final = ("days", "months")

Drift = Literal["stable", "changed", "drifted"]


@dataclass(frozen=True)
class Feature:
    """A feature, and its values in the newest period."""

    column: Column
    unit: str
    null_pct: Decimal | None
    """The share of null, in percent; None without rows."""
    index: Decimal | None
    """The population stability index against the period before; None without one."""
    threshold: float

    @property
    def drift(self) -> Drift | None:
        """How much the values differ from those of the period before."""
        if self.index is None:
            return None
        if self.index > self.threshold:
            return "drifted"
        return "changed" if self.index > NOTABLE else "stable"


@dataclass(frozen=True)
class FailedCheck:
    """A check that failed."""

    name: str
    severity: str
    observed: Decimal | None
    expected: str
    """Like `<= 0.25`."""


@dataclass(frozen=True)
class FeatureState:
    """A version of a feature view, as the warehouse has it."""

    view: FeatureView
    created_at: datetime | None
    retired_at: datetime | None
    newest: Period | None
    """The newest built period."""
    event_ts: datetime | None
    """The newest instant from which values hold."""
    rows: int
    """Rows of the newest period."""
    late: int
    """How many periods are overdue."""
    features: tuple[Feature, ...]
    failed: tuple[FailedCheck, ...]
    """Checks of the newest period."""
    training_sets: tuple[UsingSet, ...]
    """Those that use the version, newest first."""

    @property
    def ttl(self) -> str:
        """How long a value counts, in words."""
        return length(self.view.ttl) if self.view.ttl else "for ever"

    @property
    def latency(self) -> str:
        """How long after its instant a value is known, in words."""
        return length(self.view.latency) if self.view.latency else "at once"


_VERSION: Final = """
select v.created_at, v.retired_at, p.cadence, p.period, p.row_count
from (values (%(table)s::text)) as t (feature_table)
left join waybill.feature_version as v using (feature_table)
left join lateral (
  select cadence, period, row_count
  from waybill.publication
  where report = t.feature_table
  order by period desc
  limit 1
) as p on true
"""
_VALUES: Final = """
select p.column_name, round(100.0 * p.nulls / nullif(p.rows, 0), 2), d.stability_index
from waybill.report_profile as p
left join waybill.feature_drift as d on (d.feature_table, d.period, d.column_name) = (p.report, p.period, p.column_name)
where p.report = %(table)s and p.period = %(period)s
"""
_FAILED: Final = """
select check_name, severity, observed, operator, threshold
from waybill.check_result
where subject = %(table)s and period = %(period)s and not passed
order by severity, check_name
"""


def feature_states(connection: Connection, scope: Scope, now: datetime) -> list[FeatureState]:
    """Return the versions of the feature views of a scope, those in use first, then by domain, view and version."""
    found = [_state(connection, view, now) for domain in scope.domains for view in feature_views(domain)]
    return sorted(found, key=lambda one: one.retired_at is not None)


def gone_of(connection: Connection, scope: Scope) -> list[Gone]:
    """Return the versions of a scope that were built, and whose files are no longer in the project."""
    tables = [view.table for domain in scope.domains for view in feature_views(domain)]
    schemas = {feature_schema(domain) for domain in scope.domains}
    return [one for one in gone_versions(connection, tables) if one.table.partition(".")[0] in schemas]


def _state(connection: Connection, view: FeatureView, now: datetime) -> FeatureState:
    created_at, retired_at, cadence, start, rows = connection.execute(_VERSION, {"table": view.table}).fetchall()[0]
    newest = Period.of(cadence, start) if start else None
    event_ts = _newest_event(connection, view, newest) if newest and not retired_at else None
    of_newest = {"table": view.table, "period": newest.start if newest else None}
    values = {name: (null_pct, index) for name, null_pct, index in connection.execute(_VALUES, of_newest)}
    failed = tuple(
        FailedCheck(name, severity, observed, f"{operator} {threshold:g}")
        for name, severity, observed, operator, threshold in connection.execute(_FAILED, of_newest)
    )
    thresholds = {check.columns[0]: check.threshold for check in view.contract.checks if check.metric == "drift"}
    return FeatureState(
        view,
        created_at,
        retired_at,
        newest,
        event_ts,
        rows or 0,
        _late(view, newest, now) if newest and not retired_at else 0,
        tuple(
            Feature(
                column,
                _unit(view, column),
                *values.get(column.name, (None, None)),
                threshold=thresholds.get(column.name, 0),
            )
            for column in view.features
        ),
        failed,
        tuple(training_sets(connection, view)),
    )


def _newest_event(connection: Connection, view: FeatureView, newest: Period) -> datetime | None:
    query = sql.SQL("select max({}) from {} where {} = %s").format(
        sql.Identifier(EVENT_TS), relation(view.contract), sql.Identifier(view.contract.key[0])
    )
    ((found,),) = connection.execute(query, (newest.start,)).fetchall()
    moment: datetime | None = found
    return moment


def _late(view: FeatureView, newest: Period, now: datetime) -> int:
    """Return how many periods after the newest one should be known by now."""
    known = (now - view.latency).astimezone(ZoneInfo(settings().timezone)).date()
    due = Period.of(newest.cadence, known).shift(-1)
    return distance(newest, due) if due > newest else 0


def _unit(view: FeatureView, column: Column) -> str:
    """Return the unit of a feature: from its name, or from the manifest of its domain."""
    first = column.name.partition("_")[0]
    return catalog.unit_in(view.contract, column.name) or (first if first in _TIMES else "")
