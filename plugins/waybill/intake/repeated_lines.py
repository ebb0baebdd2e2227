"""Warn about files that repeat nearly all of their lines, for example after a faulty join in an export.

If the occurrence within the file is part of a row's key, repeated lines are distinct rows and no rule rejects them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.formatting import count
from waybill.intake.staging import Staging
from waybill.warehouse.schema import columns_sql

KIND: Final = "repeated"
SHARE: Final = 0.9
"""Share of the distinct lines that must be repeated for a warning."""

_TIMES = """
select times, count(*)
from (select count(*) as times from ({rows}) as line group by {columns}) as lines
group by times
"""


def find_repeated(connection: Connection, contract: Contract, staging: Staging) -> str | None:
    """Return a warning if nearly every line of a file occurs the same number of times, else None.

    Only for contracts with an occurrence column. A file with many rows of occurrence 1 needs no query.
    """
    if contract.occurrence_column is None or staging.first_rows * 2 * SHARE > staging.good_rows:
        return None
    columns = columns_sql([column.name for column in contract.delivered_columns])
    one = sql.SQL("select {} from {}")
    union = sql.SQL(" union all ").join(one.format(columns, place) for place in staging.places)
    return describe(dict(connection.execute(sql.SQL(_TIMES).format(rows=union, columns=columns)).fetchall()))


def describe(lines: Mapping[int, int]) -> str | None:
    """Return the warning for numbers of distinct lines by how often they occur; None if few are repeated."""
    different = sum(lines.values())
    repeated = Counter({times: number for times, number in lines.items() if times > 1})
    if not repeated:
        return None
    times = min(repeated, key=lambda one: (-repeated[one], one))
    alike = sum(number for one, number in lines.items() if one % times == 0)  # some lines may be repeated legitimately
    if alike < SHARE * different:
        return None
    rows = sum(one * number for one, number in lines.items())
    which = "every line occurs" if alike == different else f"{alike} of {different} distinct lines occur"
    return (
        f"{which} {times} times in the file ({count(rows, 'row')}, {count(different, 'distinct line')}). All rows were "
        "loaded. If the export repeated them by mistake, send the file again without repetitions under the same name."
    )
