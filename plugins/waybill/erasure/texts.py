"""Erase a person in texts that Waybill wrote itself: messages, examples, profiles and counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from psycopg import Connection, sql

from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import SCHEMAS
from waybill.erasure.person import Target
from waybill.erasure.rows import Erased
from waybill.warehouse.forgotten import id_text

FREE_TEXTS: Final = {
    "alert": ("message",),
    "alert_delivery": ("error",),
    "drift": ("name",),
    "file_profile": ("minimum", "maximum", "top_values"),
    "file_warning": ("message",),
    "incident": ("what", "cause", "remedy"),
    "load_file": ("ignored_columns",),
    "rejected_file": ("message", "reasons", "ignored_columns"),
    "reveal": ("reason",),
    "stream_count": ("value",),
}
"""The columns of the schema waybill that may hold values of rows. All others are keys, names and hashes."""
RECORDS: Final = {"quarantine": ("raw",), "stream_event": ("raw",), "stream_rejected": ("raw",)}
"""The columns with records as they arrived."""
BETWEEN: Final = r"""["'\\]*[ :=]*["'\\]*"""
"""The pattern of what may stand between the name of a column and a value."""
_COLUMNS: Final = """
select a.attname, a.atttypid::regtype::text
from pg_attribute as a
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
"""
_CHANGE: Final = """
update {table} as t
set {column} = c.new::{kind}
from unnest(%(old)s::text[], %(new)s::text[]) as c (old, new)
where t.{column}::text = c.old and {is_of_domain}
"""
# A new value is another one than the person's, and must be a value of its own.
_CHANGE_DRIFT: Final = """
update waybill.drift as t
set name = c.new || '-' || t.drift_id
from unnest(%(old)s::text[], %(new)s::text[]) as c (old, new)
where t.name = c.old and {is_of_domain}
"""
_CHANGE_COUNTS: Final = """
with gone as (
  delete from waybill.stream_count as t
  using unnest(%(old)s::text[], %(new)s::text[]) as c (old, new)
  where t.value = c.old and {is_of_domain}
  returning t.dataset, t.minute, t.kind, t.dimension, c.new, t.events, t.late
)

insert into waybill.stream_count as s (dataset, minute, kind, dimension, value, events, late)
select dataset, minute, kind, dimension, new, sum(events), sum(late)
from gone
group by dataset, minute, kind, dimension, new
on conflict (dataset, minute, kind, dimension, value)
do update set events = s.events + excluded.events, late = s.late + excluded.late
"""
_STATEMENTS: Final = {"drift": _CHANGE_DRIFT, "stream_count": _CHANGE_COUNTS}


def erase_texts(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in the free texts of the domain in the schema waybill.

    Values that only the person has are replaced everywhere, and the id where it follows the name of its column.
    """
    replace = _Replacement(target)
    for table, columns in FREE_TEXTS.items():
        kinds: dict[str, str] = dict(connection.execute(_COLUMNS, (f"waybill.{table}",)).fetchall())
        for column in columns:
            parts = {
                "table": sql.Identifier("waybill", table),
                "column": sql.Identifier(column),
                "kind": sql.SQL(kinds[column]),
                "is_of_domain": of_domain(kinds),
            }
            parameters = {**domain_parameters(target.domain), "old": [], "new": []}
            query = sql.SQL("select distinct t.{column}::text from {table} as t where {is_of_domain}").format(**parts)
            with connection.cursor(name="texts") as cursor:
                for (text,) in cursor.execute(query, parameters):
                    new = text if text is None else replace.in_column(text, kinds[column])
                    if new != text:
                        parameters["old"].append(text)
                        parameters["new"].append(new)
            if parameters["old"]:
                statement = sql.SQL(_STATEMENTS.get(table, _CHANGE)).format(**parts)
                erased.add(f"waybill.{table}", connection.execute(statement, parameters).rowcount)


class _Replacement:
    """What becomes of texts with a person."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._ids = {column.name: column for one in target.columns for column in one.ids}
        names = "|".join(map(re.escape, sorted(self._ids)))
        self._id = re.compile(rf"(\b(?:{names}){BETWEEN}){re.escape(target.value)}(?![\w-])", re.IGNORECASE)

    def in_column(self, text: str, kind: str) -> str:
        """Return the text of a value of a column of this type."""
        if kind != "jsonb":
            return self._in_text("", text)
        content = json.loads(text)
        found = replaced_in(content, self._in_text)
        return text if found == content else json.dumps(found, ensure_ascii=False)

    def _in_text(self, name: str, text: str) -> str:
        if name in self._ids and id_text(self._ids[name], text) == self._target.value:
            return self._target.person.tombstone
        named = self._id.sub(rf"\g<1>{self._target.person.tombstone}", text)
        return self._target.phrases.replaced(named, self._target.text)


def replaced_in(content: Any, replace: Callable[[str, str], str], name: str = "") -> Any:
    """Return what JSON holds, with each text or whole number that `replace` changes.

    `replace` is called with the name of the member, and the text.
    """
    if isinstance(content, dict):
        return {key: replaced_in(value, replace, key) for key, value in content.items()}
    if isinstance(content, list):
        return [replaced_in(value, replace, name) for value in content]
    if isinstance(content, str):
        return replace(name, content)
    if isinstance(content, int) and not isinstance(content, bool):
        text = replace(name, str(content))
        return int(text) if text.isdecimal() else text
    return content


def domain_parameters(domain: str) -> dict[str, Any]:
    """Return the parameters of `of_domain`."""
    schemas = [domain, *(make(domain) for make in SCHEMAS)]
    return {
        "domain": domain,
        "dag": load_manifest(domain).dag,
        "schemas": schemas,
        "named": rf"\m({'|'.join(schemas)})[.]",
    }


def of_domain(columns: Any) -> sql.SQL:
    """Return the condition that a record of the schema waybill, with these columns, is about the domain."""
    for name in ("dataset", "table_name", "report", "subject"):
        if name in columns:
            return sql.SQL("split_part(t.{}, '.', 1) = any(%(schemas)s)".replace("{}", name))
    if "domain" in columns:
        return sql.SQL("t.domain = %(domain)s")
    if "file_id" in columns:
        return sql.SQL(
            "t.file_id in (select f.file_id from waybill.load_file as f "
            "where split_part(f.dataset, '.', 1) = any(%(schemas)s))"
        )
    if "dag_id" in columns:
        return sql.SQL("(t.dag_id = %(dag)s or t::text ~ %(named)s)")
    return sql.SQL("t::text ~ %(named)s")


def erase_profiles(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the id in the profiles of the columns that hold it."""
    for one in target.columns:
        rows = connection.execute(
            """
            update waybill.file_profile as p
            set minimum = nullif(p.minimum, %(id)s), maximum = nullif(p.maximum, %(id)s),
              mean = nullif(p.mean::text, %(id)s)::double precision,
              quartile_1 = nullif(p.quartile_1::text, %(id)s)::double precision,
              median = nullif(p.median::text, %(id)s)::double precision,
              quartile_3 = nullif(p.quartile_3::text, %(id)s)::double precision,
              top_values = coalesce((
                select jsonb_agg(
                  case when v.pair ->> 0 = %(id)s then jsonb_set(v.pair, '{0}', %(instead)s::jsonb) else v.pair end
                )
                from jsonb_array_elements(p.top_values) as v (pair)
              ), '[]')
            from waybill.load_file as f
            where f.file_id = p.file_id and f.dataset = %(dataset)s and p.column_name = any(%(columns)s)
              and (%(id)s in (
                p.minimum, p.maximum, p.mean::text, p.quartile_1::text, p.median::text, p.quartile_3::text
              ) or exists (select from jsonb_array_elements(p.top_values) as v (pair) where v.pair ->> 0 = %(id)s))
            """,
            {
                "id": target.value,
                "instead": json.dumps(target.person.tombstone),
                "dataset": one.contract.table,
                "columns": [column.name for column in one.ids],
            },
        ).rowcount
        erased.add("waybill.file_profile", rows)
