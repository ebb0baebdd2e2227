"""Profile the rows of a built period of a report, in the transaction of the build."""

from __future__ import annotations

from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.classification import may_be_described
from waybill.contracts.locations import domain_of, report_schema
from waybill.contracts.values import UNCOMPARED
from waybill.period import Period
from waybill.warehouse.schema import columns_sql, relation

SAMPLE_ROWS: Final = 20_000
"""Periods with more rows are profiled by about so many of them, chosen by a hash of their key."""
_PARTS: Final = 65_536

# One scan counts how often each value of each column occurs; all the rest is read from those counts.
_PROFILE: Final = """
with counted as (
  select v.position, v.text, count(*) as occurrences
  from {table} as r
  cross join lateral (values {values}) as v (position, text)
  where {of_period} and {is_sampled}
  group by v.position, v.text
),

described as (
  select
    c.position,
    sum(c.occurrences) as rows,
    coalesce(sum(c.occurrences) filter (where c.text is null), 0) as nulls,
    nullif(count(c.text) filter (where c.position = any(%(compared)s)), 0) as distinct_values,
    sum(c.text::numeric * c.occurrences) filter (where c.position = any(%(numbers)s)) as total,
    sum(length(c.text) * c.occurrences) filter (where c.position = any(%(texts)s)) as characters,
    max(c.occurrences) filter (where c.text is not null and c.position = any(%(compared)s)) as most
  from counted as c
  group by c.position
)

insert into waybill.report_profile (
  report, cadence, period, column_name, rows, nulls, distinct_values, mean, mean_length, top_share
)
select
  %(report)s, %(cadence)s, %(period)s, n.name, coalesce(d.rows, 0), coalesce(d.nulls, 0),
  case when %(is_whole)s then d.distinct_values end,
  case when abs(d.total) < 1e300 then d.total end / nullif(d.rows - d.nulls, 0),
  d.characters / nullif(d.rows - d.nulls, 0),
  d.most / nullif(d.rows - d.nulls, 0)::double precision
from unnest(%(names)s::text[]) with ordinality as n (name, position)
left join described as d using (position)
"""


def is_profiled(contract: Contract) -> bool:
    """Return whether a table is a report or feature view. The tables of star schemas repeat the rows of datasets."""
    if contract.load_mode == "feature":
        return True
    return contract.load_mode == "report" and contract.domain == report_schema(domain_of(contract.domain))


def store(connection: Connection, contract: Contract, period: Period, of_period: sql.Composable, rows: int) -> None:
    """Replace the profile of a period of a report. `of_period` is the condition for its rows, `rows` their number.

    Columns of JSON and lists have no distinct values. Classified columns have no mean, and so do those with NaN.
    """
    columns = dict(enumerate(contract.columns, start=1))
    connection.execute(
        "delete from waybill.report_profile where report = %s and cadence = %s and period = %s",
        (contract.table, period.cadence, period.start),
    )
    connection.execute(
        sql.SQL(_PROFILE).format(
            table=relation(contract),
            values=sql.SQL(", ").join(
                sql.SQL("({}, r.{}::text)").format(sql.Literal(position), sql.Identifier(column.name))
                for position, column in columns.items()
            ),
            of_period=of_period,
            is_sampled=_is_sampled(contract, rows),
        ),
        {
            "report": contract.table,
            "cadence": period.cadence,
            "period": period.start,
            "names": contract.names,
            "numbers": [
                position
                for position, column in columns.items()
                if column.logical_type in ("integer", "number") and may_be_described(column)
            ],
            "texts": [position for position, column in columns.items() if column.logical_type == "string"],
            "compared": [position for position, column in columns.items() if column.physical_type not in UNCOMPARED],
            "is_whole": rows <= SAMPLE_ROWS,
        },
    )


def _is_sampled(contract: Contract, rows: int) -> sql.Composable:
    """Return the condition for the rows of the sample, which depend on their keys only."""
    if rows <= SAMPLE_ROWS:
        return sql.SQL("true")
    return sql.SQL("hash_record_extended(row({}), 0) & {} < {}").format(
        columns_sql(contract.key, "r"), sql.Literal(_PARTS - 1), sql.Literal(_PARTS * SAMPLE_ROWS // rows)
    )


def forget_means(connection: Connection, contract: Contract) -> None:
    """Delete the means of a report's columns that may not be described, or no longer."""
    names = [column.name for column in contract.columns if not may_be_described(column)]
    if names:
        connection.execute(
            "update waybill.report_profile set mean = null "
            "where report = %s and column_name = any(%s) and mean is not null",
            (contract.table, names),
        )
