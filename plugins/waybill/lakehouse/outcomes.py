"""What becomes of the rows of a part: inserted, updated, unchanged or stale, and the business days that they change.

The rows of a file are compared with the last delivery of each key among the rows that the table has and the earlier
files of the part. The replaced version of a file counts until the file itself is loaded, as on one machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final

from waybill.contracts import Contract
from waybill.lakehouse.columns import place_columns, quoted, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_KEYS: Final = 1_000_000
"""Up to this number of incoming and replaced rows, the hashes of their keys fit into the memory of each worker."""
_SEEN = "one._of is null or one._of < _for and one._is_new or one._of > _for and not one._is_new"
"""The versions that the table has, apart from those of a file itself, when the file is loaded."""


@dataclass
class Settled:
    """What became of the rows of one file."""

    outcomes: Counter[str] = field(default_factory=Counter)
    changed_days: set[date] = field(default_factory=set)


def settle(
    versions: DataFrame, contract: Contract, timezone: str, *, returned: Mapping[int, bool]
) -> dict[int, Settled]:
    """Return what becomes of the rows of each file of a part, by its place among them.

    `versions` has the columns of the contract and of `place_columns`, and `_of` and `_is_new`: new rows have the place
    of their file, rows of a replaced version the place of the file that replaces it, and other rows of the table have
    none. `returned` says of each file whether it comes before the version that it replaces.
    """
    key, names = (", ".join(map(quoted, some)) for some in (contract.row_key, contract.names))
    at = f"struct({', '.join(place_columns(contract))})"
    back = ", ".join(str(place) for place, is_back in returned.items() if is_back)
    is_back = f"_for in ({back})" if back else "false"
    grouped = versions.selectExpr(
        f"struct({key}) as _key", f"struct({at} as at, struct({names}) as row, _of, _is_new) as _one"
    )
    spark = versions.sparkSession
    grouped.createOrReplaceTempView("waybill_versions")
    found = spark.sql(
        f"""
        with {_compared(is_back, len(returned))},
        decided as (
          select
            _for,
            case
              when own is null then 'withdrawn'
              when known is null then 'inserted'
              when known.at > own.at then 'stale'
              when known.row <=> own.row then 'unchanged'
              else 'updated'
            end as outcome,
            case
              when before.row <=> after.row then array()
              else array({_day(contract, "before.row", timezone)}, {_day(contract, "after.row", timezone)})
            end as days
          from compared
        )
        select _for, outcome, count(*) as rows, array_distinct(flatten(collect_set(days))) as days
        from decided
        group by _for, outcome
        """
    ).collect()
    settled = {place: Settled() for place in returned}
    for place, outcome, rows, days in found:
        one = settled[place]
        one.changed_days |= {day for day in days if day is not None}
        if outcome != "withdrawn":
            one.outcomes[outcome] += rows
    return settled


def _compared(is_back: str, files: int) -> str:
    """Return the tables of a `with` whose last one, `compared`, has the last versions of each key for each file."""
    versions = {
        "own": "one._of <=> _for and one._is_new",
        "known": f"{_SEEN} or one._of <=> _for and not one._is_new and not {is_back}",
        "before": f"{_SEEN} or one._of <=> _for and not one._is_new",
        "after": f"{_SEEN} or one._of <=> _for and one._is_new",
    }
    if files == 1:  # without arrays, which are slow
        last = ", ".join(f"max(one) filter (where {condition}) as {name}" for name, condition in versions.items())
        return f"""
        tagged as (
          select _key, _one as one, 0 as _for from waybill_versions
        ),
        compared as (
          select 0 as _for, {last} from tagged group by _key having count(one._of) > 0
        )"""
    last = ", ".join(f"{_last(condition)} as {name}" for name, condition in versions.items())
    return f"""
        by_key as (
          select collect_list(_one) as _all from waybill_versions group by _key
        ),
        asked as (
          select _all, explode(array_distinct(filter(transform(_all, one -> one._of), place -> place is not null)))
            as _for
          from by_key
        ),
        compared as (
          select _for, {last} from asked
        )"""


def with_keys_of(known: DataFrame, incoming: DataFrame, contract: Contract, rows: int) -> DataFrame:
    """Return the known rows that may have a key of the incoming or the replaced rows, for `settle`.

    `known` has `_of`, and `rows` is the number of incoming rows. Few keys are sent to all workers, so that other rows
    are not moved between them. Rows whose keys only have the same hash may remain: they count for nothing.
    """
    from pyspark.sql import functions

    key = f"xxhash64({', '.join(map(quoted, contract.row_key))}) as _key_hash"
    replaced = known.where("_of is not null").selectExpr(key)
    if rows + replaced.limit(MOST_KEYS + 1).count() > MOST_KEYS:
        return known
    keys = functions.broadcast(incoming.selectExpr(key).unionAll(replaced).distinct())
    return known.selectExpr("*", key).join(keys, "_key_hash", "left_semi").drop("_key_hash")


def all_inserted(rows: DataFrame, contract: Contract, timezone: str, inserted: int) -> Settled:
    """Return what becomes of the valid rows of a file if no other row has one of its keys."""
    row = rows.selectExpr(f"struct({', '.join(map(quoted, contract.names))}) as row")
    days = row.selectExpr(f"{_day(contract, 'row', timezone)} as day").distinct().collect()
    return Settled(Counter(inserted=inserted) if inserted else Counter(), {day for (day,) in days})


def _last(condition: str) -> str:
    """Return the expression of the last version of a key among those that meet a condition."""
    return f"array_max(filter(_all, one -> {condition}))"


def _day(contract: Contract, row: str, timezone: str) -> str:
    """Return the expression of the business day of a row."""
    assert contract.period_column
    value = f"{row}.{quoted(contract.period_column)}"
    if contract.has_instants(contract.period_column):
        value = f"from_utc_timestamp({value}, {text(timezone)})"
    return f"cast({value} as date)"
