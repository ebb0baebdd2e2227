"""Texts of SQL that are hard to read, with the columns that each column comes from, as a person wrote them down."""

from __future__ import annotations

from typing import Final

TABLES: Final = {"a.t": ["id", "x", "y"], "b.t": ["id", "x", "z"], "b.u": ["id", "items", "Exact"]}
"""The columns of the tables that the texts read. They are numbers, and the items are an array of numbers."""

# In PostgreSQL's dialect. With the sources of each column's value, and the columns that decide which rows count.
CASES: Final[list[tuple[str, dict[str, str], str]]] = [
    ("select x from a.t where y > 0", {"x": "a.t.x"}, "a.t.y"),
    ("select x + y as sum, 1 as one from a.t", {"sum": "a.t.x a.t.y", "one": ""}, ""),
    # a common table expression with the name of a table
    ("with t as (select y as x from a.t) select x from t", {"x": "a.t.y"}, ""),
    ("with t as (select y as x from a.t) select t.x from a.t as t", {"x": "a.t.x"}, ""),
    ("with t as (select x from a.t), u as (with t as (select z as x from b.t) select x from t) select x from u",
     {"x": "b.t.z"}, ""),
    ("with t (p, q) as (select x, y from a.t) select q from t", {"q": "a.t.y"}, ""),
    ("""with recursive t as (select id, x from a.t union all select t.id, u.z from t join b.t as u on u.id = t.id)
     select x from t""", {"x": "a.t.x b.t.z"}, "a.t.id b.t.id"),
    # the same names in two tables
    ("select one.x as p, other.x as q from a.t as one join b.t as other on one.id = other.id",
     {"p": "a.t.x", "q": "b.t.x"}, "a.t.id b.t.id"),
    ("select one.x as p, other.y as q from a.t as one cross join a.t as other", {"p": "a.t.x", "q": "a.t.y"}, ""),
    # using, natural joins and stars
    ("select id, y, z from a.t as l full join b.t as r using (id)",
     {"id": "a.t.id b.t.id", "y": "a.t.y", "z": "b.t.z"}, "a.t.id b.t.id"),
    ("select * from (select id, y from a.t) as l join (select id, z from b.t) as r using (id)",
     {"id": "a.t.id b.t.id", "y": "a.t.y", "z": "b.t.z"}, "a.t.id b.t.id"),
    ("select r.id from a.t as l left join b.t as r using (id)", {"id": "b.t.id"}, "a.t.id b.t.id"),
    ("select y, z from a.t as l natural join b.t as r", {"y": "a.t.y", "z": "b.t.z"},
     "a.t.id b.t.id a.t.x b.t.x"),
    ("select * from a.t", {"id": "a.t.id", "x": "a.t.x", "y": "a.t.y"}, ""),
    ("select r.*, 1 as n from a.t as l cross join b.t as r", {"id": "b.t.id", "x": "b.t.x", "z": "b.t.z", "n": ""},
     ""),
    # aggregates, filters and order in them
    ("select count(*) as n, sum(x) filter (where y > 0) as s from a.t group by id", {"n": "a.t.*", "s": "a.t.x"},
     "a.t.y a.t.id"),
    ("select (array_agg(x order by y desc))[1] as first from a.t", {"first": "a.t.x"}, "a.t.y"),
    ("select percentile_cont(0.5) within group (order by x) as median from a.t", {"median": "a.t.x"}, ""),
    ("select count(distinct x) as n, string_agg(y::text, ',' order by id) as s from a.t",
     {"n": "a.t.x", "s": "a.t.y"}, "a.t.id"),
    ("select case when x > 0 then y end as c from a.t", {"c": "a.t.x a.t.y"}, ""),
    ("select x as n from a.t group by n", {"n": "a.t.x"}, "a.t.x"),
    ("select x, count(*) as n from a.t group by 1 having max(y) > 1", {"x": "a.t.x", "n": "a.t.*"}, "a.t.x a.t.y"),
    ("select x, y from a.t group by rollup (x, y)", {"x": "a.t.x", "y": "a.t.y"}, "a.t.x a.t.y"),
    ("select x, y from a.t group by grouping sets ((x), (y))", {"x": "a.t.x", "y": "a.t.y"}, "a.t.x a.t.y"),
    # windows
    ("select row_number() over (partition by x order by y) as n from a.t", {"n": "a.t.*"}, "a.t.x a.t.y"),
    ("select lag(x) over w as p from a.t window w as (partition by y order by id)", {"p": "a.t.x"}, "a.t.y a.t.id"),
    ("select sum(x) filter (where y > 0) over (order by id) as s from a.t", {"s": "a.t.x"}, "a.t.y a.t.id"),
    ("select sum(count(*)) over () as n from a.t group by x", {"n": "a.t.*"}, "a.t.x"),
    # unions and other operations on sets
    ("select x from a.t union all select z from b.t", {"x": "a.t.x b.t.z"}, ""),
    ("select x from a.t union select z from b.t", {"x": "a.t.x b.t.z"}, "a.t.x b.t.z"),
    ("select x from a.t except select z from b.t", {"x": "a.t.x"}, "a.t.x b.t.z"),
    ("select x from a.t intersect select z from b.t order by x limit 1", {"x": "a.t.x"}, "a.t.x b.t.z"),
    ("(select x from a.t order by y limit 1) union all select z from b.t", {"x": "a.t.x b.t.z"}, "a.t.y"),
    # subqueries
    ("select (select max(z) from b.t as u where u.id = t.id) as z from a.t as t", {"z": "b.t.z"}, "b.t.id a.t.id"),
    ("select x from a.t where exists (select 1 from b.t as u where u.z = y)", {"x": "a.t.x"}, "b.t.z a.t.y"),
    ("select x from a.t where id in (select u.id from b.t as u)", {"x": "a.t.x"}, "a.t.id b.t.id"),
    ("select q.p from (select x as p from a.t) as q", {"p": "a.t.x"}, ""),
    # lateral, functions and lists of values
    ("select l.z from a.t as t cross join lateral (select z from b.t as u where u.id = t.id limit 1) as l",
     {"z": "b.t.z"}, "b.t.id a.t.id"),
    ("select item from b.u cross join unnest(u.items) as list (item)", {"item": "b.u.items"}, "b.u.items"),
    ("select item from b.u, unnest(items) as item", {"item": "b.u.items"}, "b.u.items"),
    ("select v.n, v.c from a.t cross join lateral (values (1, x), (2, y)) as v (n, c)",
     {"n": "", "c": "a.t.x a.t.y"}, ""),
    ("select v.c from (values (1, 'one')) as v (n, c)", {"c": ""}, ""),
    ("select x from b.t_as_of(%(period_end)s) where z > %(day)s::date - current_date and x::text like '%%1'",
     {"x": "b.t.x"}, "b.t.z b.t.x"),
    # order: it decides only with a limit
    ("select x from a.t order by y", {"x": "a.t.x"}, ""),
    ("select x from a.t order by y limit 1", {"x": "a.t.x"}, "a.t.y"),
    ("select y as x from a.t order by x limit 1", {"x": "a.t.y"}, "a.t.y"),
    ("select distinct on (id) x from a.t order by id, y", {"x": "a.t.x"}, "a.t.id a.t.y"),
    ("select distinct x from a.t", {"x": "a.t.x"}, "a.t.x"),
    # names
    ('select X, u."Exact" from a.T as t, b.u', {"x": "a.t.x", "Exact": "b.u.Exact"}, ""),
    ("select row(t.*)::text as whole, to_jsonb(t) as json from a.t as t",
     {"whole": "a.t.id a.t.x a.t.y", "json": "a.t.id a.t.x a.t.y"}, ""),
    ("select x::text collate \"C\" as x, extract(year from to_timestamp(y)) as z, x * interval '1 day' as d from a.t",
     {"x": "a.t.x", "z": "a.t.y", "d": "a.t.x"}, ""),
    ("select t.x from (a.t as t join b.t as u on t.id = u.id) join b.u as v on v.id = u.id", {"x": "a.t.x"},
     "a.t.id b.t.id b.u.id"),
]  # fmt: skip
