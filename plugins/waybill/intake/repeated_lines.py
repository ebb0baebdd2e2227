"""Files that repeat all of their lines, as an export with a join that doubles them does.

Where the occurrence within the file tells rows apart, repeated lines are rows of their own and nothing rejects them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.intake.staging import Staging
from waybill.warehouse.schema import columns_sql

KIND: Final = "repeated"
SHARE: Final = 0.9
"""A file is told if so many of its different lines are repeated alike."""

_TIMES = """
select times, count(*)
from (select count(*) as times from ({rows}) as line group by {columns}) as lines
group by times
"""


def find_repeated(connection: Connection, contract: Contract, staging: Staging) -> str | None:
    """What is odd if nearly every line of a file stands in it the same number of times; None if that is not so.

    Only for contracts with an occurrence column. A usual file is told by its rows of occurrence 1: they are too many.
    """
    if contract.occurrence_column is None or staging.first_rows * 2 * SHARE > staging.good_rows:
        return None
    columns = columns_sql([column.name for column in contract.delivered_columns])
    one = sql.SQL("select {} from {}")
    union = sql.SQL(" union all ").join(one.format(columns, place) for place in staging.places)
    return describe(dict(connection.execute(sql.SQL(_TIMES).format(rows=union, columns=columns)).fetchall()))


def describe(lines: Mapping[int, int]) -> str | None:
    """The warning about a file of which so many different lines stand so many times (times: lines); None if usual."""
    different = sum(lines.values())
    repeated = Counter({times: number for times, number in lines.items() if times > 1})
    if not repeated:
        return None
    times = min(repeated, key=lambda one: (-repeated[one], one))
    alike = sum(number for one, number in lines.items() if one % times == 0)  # some may be repeated rightly, too
    if alike < SHARE * different:
        return None
    rows = sum(one * number for one, number in lines.items())
    which = "every line occurs" if alike == different else f"{alike} of {different} different lines occur"
    return (
        f"{which} {times} times in the file ({rows} rows, {different} different lines), and all rows are loaded: "
        "the export may have repeated them. If it has, send the file again without the repetitions, under the same name"
    )
