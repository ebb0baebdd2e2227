"""Compare the values of each feature with those of the previous period: the population stability index.

The index of two distributions over the same classes is the sum of (p - q) * ln(p / q), where p and q are the shares of
a class in the period and in the previous one: N. Siddiqi, Credit Risk Scorecards, Wiley 2006. Its distribution is in
B. Yurdakul, Statistical Properties of Population Stability Index, Western Michigan University 2018. It is 0 for equal
shares. By the usual rule, up to 0.1 is no change, and above 0.25 is a large one.

Numbers, dates and instants have the classes between the deciles of the previous period; equal deciles count once.
Texts, booleans and identifiers have a class for each of the twenty most frequent values of the previous period, and
one for the rest. Nulls are a class of their own. A class that is empty in one period counts there as half a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from math import log
from typing import Final

from psycopg import Connection, sql

from waybill.checks import quality
from waybill.checks.quality import CheckResult
from waybill.contracts import Check, Column, Contract
from waybill.contracts.feature_views import FeatureView
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import columns_sql, relation

FEWEST_ROWS: Final = 200
"""With fewer rows in one of the two periods, chance alone gives large indexes, and there is none."""
SAMPLE_ROWS: Final = 20_000
"""Of larger periods, about so many rows are compared: those of the same entities, chosen by a hash."""
_PARTS: Final = 65_536
_MOST_CATEGORIES: Final = 20
_EMPTY_CLASS: Final = 0.5
_CATEGORICAL: Final = ("string", "boolean")

_BOTH: Final = """
with both_periods as materialized (
  select {period} = %(period)s as is_current, {features}
  from {table} as t
  where {period} in (%(period)s, %(previous)s) and {is_sampled}
)
"""
# Scalar subqueries and windows are evaluated once. PostgreSQL would evaluate a join's side again for each row, because
# it knows nothing about the rows of a common table expression.
_NUMBERS: Final = """
select
  {name},
  case
    when {column} is not null then coalesce(width_bucket({column}, (
      select percentile_disc(array[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) within group (order by {column})
      from both_periods
      where not is_current
    )), 0)
  end,
  count(*) filter (where is_current), count(*) filter (where not is_current)
from both_periods
group by 2
"""
_CATEGORIES: Final = """
select
  {name}, case when place <= {most} then place when place is not null then {most} + 1 end,
  sum(of_period)::bigint, sum(of_previous)::bigint
from (
  select
    case
      when value is null then null
      when of_previous = 0 then {most} + 1
      else row_number() over (order by value is null, of_previous desc, value collate "C")
    end as place,
    of_period,
    of_previous
  from (
    select
      {column}::text as value,
      count(*) filter (where is_current) as of_period,
      count(*) filter (where not is_current) as of_previous
    from both_periods
    group by 1
  ) as counted
) as placed
group by 2
"""


def stability_index(counts: Iterable[tuple[int, int]]) -> float:
    """Return the population stability index of (rows, rows of the previous period) by class.

    Both periods need rows. Classes without rows in both do not count.
    """
    found = [pair for pair in counts if any(pair)]
    rows, previous_rows = (sum(column) for column in zip(*found, strict=True))
    index = 0.0
    for of_period, of_previous in found:
        share, previous = (max(of_period, _EMPTY_CLASS) / rows, max(of_previous, _EMPTY_CLASS) / previous_rows)
        index += (share - previous) * log(share / previous)
    return index


def measure(connection: Connection, contract: Contract, period: Period, run: Run) -> list[CheckResult]:
    """Store the indexes of the features of a period, and return the results of their checks.

    There is no result without an index: for the first period, for one after a period that was not built, and for few
    rows. The indexes and results of the next period, which is compared with this one, are renewed, too.
    """
    results = _measure(connection, contract, period)
    following = period.shift(1)
    is_built = connection.execute(
        "select from waybill.publication where report = %s and cadence = %s and period = %s",
        (contract.table, following.cadence, following.start),
    ).fetchone()
    if is_built is not None:
        renewed = _measure(connection, contract, following)
        connection.execute(
            """
            delete from waybill.check_result
            where (subject, cadence, period) = (%s, %s, %s) and check_name = any(%s)
            """,
            (contract.table, following.cadence, following.start, [check.name for check in _checks(contract).values()]),
        )
        quality.record(connection, renewed, run)
    return results


def _checks(contract: Contract) -> dict[str, Check]:
    return {check.columns[0]: check for check in contract.checks if check.metric == "drift"}


def _measure(connection: Connection, contract: Contract, period: Period) -> list[CheckResult]:
    """Store the indexes of a period in place of earlier ones, and return the results of their checks."""
    connection.execute(
        "delete from waybill.feature_drift where feature_table = %s and period = %s", (contract.table, period.start)
    )
    counts = _class_counts(connection, contract, period)
    results = []
    for name, check in _checks(contract).items():
        if name not in counts:
            continue
        classes = counts[name]
        rows, previous_rows = (sum(column) for column in zip(*classes, strict=True))
        index = Decimal(f"{stability_index(classes):.6f}")
        connection.execute(
            """
            insert into waybill.feature_drift (
              feature_table, period, column_name, rows, previous_rows, stability_index
            )
            values (%s, %s, %s, %s, %s, %s)
            """,
            (contract.table, period.start, name, rows, previous_rows, index),
        )
        results.append(CheckResult(contract.table, check, period, index))
    return results


def _class_counts(connection: Connection, contract: Contract, period: Period) -> dict[str, list[tuple[int, int]]]:
    """Return (rows, rows of the previous period) of the classes of each feature; nothing if they are too few."""
    parts: dict[str, sql.Composable] = {"table": relation(contract), "period": sql.Identifier(contract.key[0])}
    bounds = {"period": period.start, "previous": period.shift(-1).start}
    rows, previous_rows = one_row(
        connection,
        sql.SQL(
            "select count(*) filter (where {period} = %(period)s), count(*) filter (where {period} = %(previous)s) "
            "from {table} where {period} in (%(period)s, %(previous)s)"
        ).format(**parts),
        bounds,
    )
    features = [column for column in FeatureView.of(contract).features if column.name in _checks(contract)]
    if min(rows, previous_rows) < FEWEST_ROWS or not features:
        return {}
    parts["features"] = columns_sql([column.name for column in features])
    parts["is_sampled"] = _is_sampled(contract, max(rows, previous_rows))
    classes = sql.SQL("union all").join(_classes(column) for column in features)
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    query = sql.SQL(_BOTH).format(**parts) + classes + sql.SQL("order by 1, 2")
    for name, _, of_period, of_previous in connection.execute(query, bounds):
        found[name].append((of_period, of_previous))
    return {
        name: counts
        for name, counts in found.items()
        if min(sum(column) for column in zip(*counts, strict=True)) >= FEWEST_ROWS
    }


def _classes(column: Column) -> sql.Composed:
    """Return the query of (feature, class, rows, rows of the previous period) of a feature."""
    is_categorical = column.logical_type in _CATEGORICAL or column.name.endswith("_id")
    return sql.SQL(_CATEGORIES if is_categorical else _NUMBERS).format(
        name=sql.Literal(column.name), column=sql.Identifier(column.name), most=sql.Literal(_MOST_CATEGORIES)
    )


def _is_sampled(contract: Contract, rows: int) -> sql.Composable:
    """Return the condition for the rows of the sample: the same entities in every period."""
    if rows <= SAMPLE_ROWS:
        return sql.SQL("true")
    return sql.SQL("hash_record_extended(row({}), 0) & {} < {}").format(
        columns_sql([*FeatureView.of(contract).entity], "t"),
        sql.Literal(_PARTS - 1),
        sql.Literal(_PARTS * SAMPLE_ROWS // rows),
    )
