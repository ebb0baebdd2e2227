"""The sources of the columns of an SQL text are found without a database, however the text is written."""

from __future__ import annotations

import pytest

from support.lineage_cases import CASES, TABLES
from waybill.ops.column_sources import ColumnSources, Dialect, Source, UnresolvedSql, column_sources, table_columns

RELATIONS = {name: table_columns(name, columns) for name, columns in TABLES.items()}
RELATIONS["b.t_as_of"] = RELATIONS["b.t"]


def read(text: str, dialect: Dialect = "postgres") -> ColumnSources:
    return column_sources(text, RELATIONS, dialect)


def names(sources: frozenset[Source]) -> set[str]:
    return {".".join(one) for one in sources}


@pytest.mark.parametrize(("text", "columns", "influences"), CASES)
def test_the_sources_of_each_column(text: str, columns: dict[str, str], influences: str) -> None:
    found = read(text)
    assert {name: names(sources) for name, sources in found.columns.items()} == {
        name: set(sources.split()) for name, sources in columns.items()
    }
    assert names(found.influences) == set(influences.split())


@pytest.mark.parametrize(
    ("text", "columns", "influences"),
    [
        ("select stack(2, 1, x, 2, y) as (n, value) from a.t", {"n": "", "value": "a.t.x a.t.y"}, ""),
        ("select item from b.u lateral view explode(items) list as item", {"item": "b.u.items"}, "b.u.items"),
        ("select min_by(x, struct(y, id)) as first, count_if(x = 1) as n from a.t",
         {"first": "a.t.x", "n": "a.t.*"}, "a.t.y a.t.id a.t.x"),
        ("select x as p, p + 1 as q from a.t where y >= :starts_at", {"p": "a.t.x", "q": "a.t.x"}, "a.t.y"),
        ("select X from A.T left semi join b.u as u on t.id = u.id", {"x": "a.t.x"}, "a.t.id b.u.id"),
        ("select * except (x) from a.t", {"id": "a.t.id", "y": "a.t.y"}, ""),
    ],
)  # fmt: skip
def test_the_sources_of_each_column_in_the_dialect_of_spark(
    text: str, columns: dict[str, str], influences: str
) -> None:
    found = read(text, "spark")
    assert {name: names(sources) for name, sources in found.columns.items()} == {
        name: set(sources.split()) for name, sources in columns.items()
    }
    assert names(found.influences) == set(influences.split())


def test_the_rows_of_every_table_that_is_read_count() -> None:
    text = "with u as (select id from b.u) select t.x from a.t as t where t.id in (select id from u)"
    assert names(read(text).rows) == {"a.t.*", "b.u.*"}
    assert names(read("select 1 as one").rows) == set()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("select\n  x,\n  yy\nfrom a.t", 3, "unknown column 'yy': did you mean `y`?"),
        ("select t.z\nfrom a.t", 1, "unknown column t.z: known are id, x, y"),
        ("select x\nfrom a.tt", 2, "unknown table a.tt: did you mean `a.t`?"),
        ("with part as (select x from a.t)\nselect x from parts", 2, "unknown table 'parts': did you mean `part`?"),
        ("select v.x from a.t as t", 1, "unknown table 'v' of the column 'x': known are t"),
        ("select\nid from a.t as l cross join b.t as r", 2, "the column 'id' is ambiguous: name its table"),
        ("select l.x from a.t as l\njoin b.t as r using (y)", 2, "`using (y)` needs one column 'y' on each side"),
        ("select x from a.t cross join b.t", None, "the name 't' stands for two tables: give one an alias"),
        ("select x from a.t\nunion all\nselect x, z from b.t", None, "union of 1 and 2 columns"),
        ("select x from a.t where (y", 1, "not valid: "),
        ("select x from a.t where\nexists (select 1 from b.t as u\nwhere u.id = q.id)", 3, "unknown table 'q'"),
        ("select x from a.t; select y from a.t", None, "must be one query"),
        ("delete from a.t", None, "must be one query"),
        ("select x from a.t group by 2", None, "there is no column at position 2"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_a_problem_with_its_line(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(UnresolvedSql) as caught:
        read(text)
    assert str(caught.value).startswith(reason)
    assert line is None or caught.value.line == line
