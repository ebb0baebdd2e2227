"""Descriptive statistics and quartile categories, exact.

PostgreSQL's own `percentile_cont` computes in double precision. Here the quartiles are interpolated in
`numeric` (in PostgreSQL) and `Decimal` (in Python), so that equal inputs give equal digits everywhere.
Quartiles interpolate linearly between the two nearest values, as `percentile_cont` and pandas do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from psycopg import Connection

    from waybill.contracts import Column

Category = Literal["Low", "Mid", "High"]

_NUMERIC_TYPES = ("smallint", "integer", "bigint", "numeric", "decimal")
_FEWEST_VALUES = 4
_EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation])

# One scan counts how often each value of each column occurs; all the rest is read from those counts, which
# are fewer than the rows. A value's last_position is the 1-based place of its last occurrence when sorted.
# A quotient or a root keeps the 30 decimals of its operand. By itself it has 16 digits, and would be rounded twice.
_DESCRIBE = sql.SQL("""
with counted as (
    select
        {names},
        array[{groupings}] as groupings,
        count(*) as frequency
    from {relation} as source
    group by grouping sets ({sets})
),

frequencies as (
    select
        measure.position,
        nullif(measure.value, 'NaN') as value,
        counted.frequency
    from counted
    cross join lateral (values {measures}) as measure (position, value)
    where counted.groupings[measure.position] = 0
),

missing as (
    select
        position,
        sum(frequency) as null_count
    from frequencies
    where value is null
    group by position
),

positioned as (
    select
        position,
        value,
        frequency,
        sum(frequency) over (partition by position order by value) as last_position,
        sum(frequency) over (partition by position) as row_count
    from frequencies
    where value is not null
),

described as (
    select
        position,
        row_count,
        min(value) as min_value,
        max(value) as max_value,
        sum(value * frequency) as total,
        sum(value * value * frequency) as total_of_squares,
        min(value) filter (where last_position > div(row_count - 1, 4)) as q1_below,
        min(value) filter (where last_position > ceil((row_count - 1) * 0.25)) as q1_above,
        min(value) filter (where last_position > div(row_count - 1, 2)) as median_below,
        min(value) filter (where last_position > ceil((row_count - 1) * 0.5)) as median_above,
        min(value) filter (where last_position > div((row_count - 1) * 3, 4)) as q3_below,
        min(value) filter (where last_position > ceil((row_count - 1) * 0.75)) as q3_above
    from positioned
    group by position, row_count
)

select
    coalesce(described.row_count, 0)::bigint as row_count,
    coalesce(missing.null_count, 0)::bigint as null_count,
    described.min_value,
    described.max_value,
    round(round(described.total, 30) / described.row_count, 10) as mean_value,
    median_below + (median_above - median_below) * mod(described.row_count - 1, 2) * 0.5 as median_value,
    round(
        sqrt(
            round(described.row_count * described.total_of_squares - described.total * described.total, 30)
            / nullif(described.row_count * (described.row_count - 1), 0)
        ),
        10
    ) as stddev_value,
    q1_below + (q1_above - q1_below) * mod(described.row_count - 1, 4) * 0.25 as q1_value,
    q3_below + (q3_above - q3_below) * mod((described.row_count - 1) * 3, 4) * 0.25 as q3_value
from generate_series(1, {columns_count}) as asked (position)
left join described on described.position = asked.position
left join missing on missing.position = asked.position
order by asked.position
""")


@dataclass(frozen=True)
class Description:
    """The statistics of one column, in the column's unit. Without values, the numbers are None."""

    column_name: str
    row_count: int
    """Values that are neither NULL nor NaN."""
    null_count: int
    """Values that are NULL or NaN."""
    min_value: Decimal | None
    max_value: Decimal | None
    mean_value: Decimal | None
    """Rounded to 10 decimals."""
    median_value: Decimal | None
    stddev_value: Decimal | None
    """Standard deviation of a sample (n - 1), rounded to 10 decimals; None for fewer than two values."""
    q1_value: Decimal | None
    q3_value: Decimal | None


@dataclass(frozen=True)
class Source:
    """A table to describe: its name, the relation with its rows, and its measures."""

    table_name: str
    relation: sql.Composable
    columns: Sequence[str]


@dataclass(frozen=True)
class Categories:
    """The category of each input value, in the order of the input, and the quartiles."""

    categories: list[Category | None]
    q1: Decimal | None
    q3: Decimal | None
    is_degenerate: bool
    """Whether there are fewer than four values, or all are equal. Then every value is Mid."""


def measures(columns: Sequence[Column]) -> list[str]:
    """Return the names of the columns that are measures: exact numbers, and neither identifiers nor ranks.

    Keys, references and columns named `…_id` are identifiers; columns named `…_rank` are ranks.
    """
    return [
        column.name
        for column in columns
        if column.physical_type.partition("(")[0].strip().lower() in _NUMERIC_TYPES
        and column.key_position is None
        and column.reference is None
        and not column.name.endswith(("_id", "_rank"))
    ]


def describe(
    connection: Connection[Any], relation: sql.Composable, columns: Sequence[str], params: Mapping[str, Any]
) -> list[Description]:
    """Return the statistics of integer or numeric columns of a relation, in their order, from one scan.

    `relation` is an item of a `from` clause: a table, a function call or a subquery in parentheses. It may bind
    `params`.
    """
    if not columns:
        return []
    comma = sql.SQL(", ")
    names = [sql.Identifier("source", name) for name in columns]
    query = _DESCRIBE.format(
        relation=relation,
        names=comma.join(names),
        groupings=comma.join(sql.SQL("grouping({})").format(name) for name in names),
        sets=comma.join(sql.SQL("({})").format(name) for name in names),
        measures=comma.join(
            sql.SQL("({}, counted.{}::numeric)").format(sql.Literal(position), sql.Identifier(name))
            for position, name in enumerate(columns, start=1)
        ),
        columns_count=sql.Literal(len(columns)),
    )
    rows = connection.execute(query, params).fetchall()
    return [Description(name, *row) for name, row in zip(columns, rows, strict=True)]


def descriptive_statistics(
    connection: Connection[Any], month: date, sources: Sequence[Source], params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row for each measure of the sources, with its statistics.

    `month` is the first day of the month. `params` are bound in the relations of the sources.
    """
    return [
        {"month": month, "table_name": source.table_name, **asdict(description)}
        for source in sources
        for description in describe(connection, source.relation, source.columns, params)
    ]


def quartile_categories(values: Sequence[Decimal | int | None]) -> Categories:
    """Return the category of each value: Low below the first quartile, High above the third, else Mid.

    None and NaN have no category and do not count. Raises `ValueError` for an infinite value.
    """
    numbers = [None if value is None or Decimal(value).is_nan() else Decimal(value) for value in values]
    ordered = sorted(number for number in numbers if number is not None)
    if any(number.is_infinite() for number in ordered):
        raise ValueError("quartiles of an infinite value are not defined")
    if not ordered:
        return Categories([None] * len(numbers), None, None, is_degenerate=True)
    q1, q3 = _quartile(ordered, 1), _quartile(ordered, 3)
    is_degenerate = len(ordered) < _FEWEST_VALUES or ordered[0] == ordered[-1]
    categories: list[Category | None] = []
    for number in numbers:
        if number is None:
            categories.append(None)
        elif is_degenerate or q1 <= number <= q3:
            categories.append("Mid")
        else:
            categories.append("Low" if number < q1 else "High")
    return Categories(categories, q1, q3, is_degenerate)


def _quartile(ordered: Sequence[Decimal], quarters: int) -> Decimal:
    below, part = divmod((len(ordered) - 1) * quarters, 4)
    if part == 0:
        return ordered[below]
    with localcontext(_EXACT):
        return ordered[below] + (ordered[below + 1] - ordered[below]) * part / 4
