"""Erase a person in records that are kept as text: the quarantine, events of streams, messages and profiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection, sql

from waybill.contracts.locations import report_schema, star_schema
from waybill.erasure.person import LONGEST, Target, without_person
from waybill.erasure.rows import Erased
from waybill.intake.validate import open_duckdb
from waybill.scratch import scratch_folder
from waybill.stream.declared import Declared, streams_of
from waybill.stream.events import Record, check
from waybill.warehouse.forgotten import Forgotten, key_of_hashes

_BATCH: Final = 1000
_LIKE: Final = re.compile(r"([\\%_])")
_AS_IT_IS: Final = r"\\\1"


def erase_quarantine(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in the rejected rows of all datasets of the domain."""
    query = """
    select f.dataset, q.file_id, q.record, q.raw
    from waybill.quarantine as q
    inner join waybill.load_file as f using (file_id)
    where split_part(f.dataset, '.', 1) = %(domain)s
      and (strpos(replace(lower(q.raw), '-', ''), %(id)s) > 0 or lower(q.raw) like any(%(values)s))
    """
    for rows in _batches(connection, "quarantined", query, _candidates(target)):
        changed = [
            (text, file_id, record)
            for dataset, file_id, record, raw in rows
            if (text := without_person(target, dataset, raw)) is not None
        ]
        connection.cursor().executemany(
            "update waybill.quarantine set raw = %s where file_id = %s and record = %s", changed
        )
        erased.add("waybill.quarantine", len(changed))
        erased.files.update(file_id for _, file_id, _ in changed)


def erase_rejected_events(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in the rejected events of the domain's streams."""
    query = """
    select r.dataset, r.shard, r.sequence, r.raw
    from waybill.stream_rejected as r
    where split_part(r.dataset, '.', 1) = %(domain)s
      and (strpos(replace(lower(r.raw), '-', ''), %(id)s) > 0 or lower(r.raw) like any(%(values)s))
    """
    for rows in _batches(connection, "rejected", query, _candidates(target)):
        changed = [
            (text, dataset, shard, sequence)
            for dataset, shard, sequence, raw in rows
            if (text := without_person(target, dataset, raw)) is not None
        ]
        connection.cursor().executemany(
            "update waybill.stream_rejected set raw = %s where dataset = %s and shard = %s and sequence = %s", changed
        )
        erased.add("waybill.stream_rejected", len(changed))


def erase_events(connection: Connection, target: Target, erased: Erased) -> list[str]:
    """Replace the person in the events of streams that are still kept; return the keys of the archives with them.

    The events are checked like new ones, so that a repeated event is recognised as before.
    """
    archives: set[str] = set()
    for declared in streams_of(target.domain):
        one = target.of_dataset(declared.dataset)
        if one is None:
            continue
        known = {target.kind: {target.hash: target.person}}
        forgotten = Forgotten((one,), known, 0, key_of_hashes())
        with scratch_folder() as folder, closing(open_duckdb(folder)) as duck:
            for rows in _batches(connection, "kept", _EVENTS, {"dataset": declared.dataset, "id": _squeezed(target)}):
                archives |= _erase_some(connection, duck, folder, declared, forgotten, rows, erased)
    return sorted(archives)


_EVENTS: Final = """
select e.event_id, e.sequence::text, e.arrived_at, e.raw, a.object_key
from waybill.stream_event as e
left join waybill.stream_archive as a using (archive_id)
where e.dataset = %(dataset)s and strpos(replace(lower(e.raw), '-', ''), %(id)s) > 0
"""


def _squeezed(target: Target) -> str:
    return target.value.lower().replace("-", "")


def _candidates(target: Target) -> dict[str, Any]:
    """Return the parameters of a query for records that may show a person. Each of them is then read.

    Which characters are the same in another case depends on the database for all but ASCII: then all are read.
    """
    forms = {json.dumps(value, ensure_ascii=False)[1:-1] for value in target.values} | target.values
    likes = [f"%{_LIKE.sub(_AS_IT_IS, form.lower())}%" for form in sorted(forms)]
    if not all(form.isascii() for form in forms):
        likes = ["%"]
    return {"domain": target.domain, "id": _squeezed(target), "values": likes}


def _erase_some(
    connection: Connection,
    duck: Any,
    folder: Path,
    declared: Declared,
    forgotten: Forgotten,
    rows: list[tuple[Any, ...]],
    erased: Erased,
) -> set[str]:
    records = [Record(sequence, arrived_at, raw.encode()) for _, sequence, arrived_at, raw, _ in rows]
    batch = check(duck, folder, declared, records, None, forgotten)
    checked: dict[int, tuple[str, str | None]] = {id(one.record): (one.raw, one.digest) for one in batch.events}
    checked |= {id(one.record): (one.raw, None) for one in batch.rejected}  # by a newer contract
    changed, archives = [], set()
    for record, (event_id, _, _, raw, key) in zip(records, rows, strict=True):
        text, digest = checked[id(record)]
        if text != raw and _names(forgotten, raw):
            changed.append((text, digest, declared.dataset, event_id))
            archives |= {key} - {None}
    connection.cursor().executemany(
        "update waybill.stream_event set raw = %s, digest = coalesce(%s::uuid, digest) "
        "where dataset = %s and event_id = %s",
        changed,
    )
    erased.add("waybill.stream_event", len(changed))
    return archives


def _names(forgotten: Forgotten, raw: str) -> bool:
    """Return whether a kept event is about a forgotten person. Its members may be spelled otherwise than columns."""
    one = forgotten.people[0]
    values = json.loads(raw).values() if raw.startswith("{") else ()
    return any(forgotten.person(one, column, value) for column in one.ids for value in values)


def _batches(
    connection: Connection, name: str, query: LiteralString, parameters: Any
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query in batches: memory does not grow with their number."""
    with connection.cursor(name=name) as cursor:
        cursor.execute(query, parameters)
        while rows := cursor.fetchmany(_BATCH):
            yield rows


OWN_TEXTS: Final = (
    ("quarantine", "raw"),
    ("stream_event", "raw"),
    ("stream_rejected", "raw"),
    ("erasure", "*"),
    ("contract", "*"),
    ("stream_count", "*"),
)
"""Texts of the schema waybill that have their own form, no values of rows, or values of columns that are not erased."""
NAMES: Final = ("bucket", "first_key", "last_key", "location", "name_key", "object_key")
"""Columns by which objects are found: a changed name would be that of another object."""
_TEXT_COLUMNS: Final = """
select c.relname, a.attname, a.atttypid::regtype::text,
  array(select b.attname from pg_attribute as b where b.attrelid = c.oid and b.attnum > 0 and not b.attisdropped)
from pg_class as c
inner join pg_attribute as a on a.attrelid = c.oid
where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  and a.attnum > 0 and not a.attisdropped and a.atttypid::regtype::text in ('text', 'jsonb', 'text[]')
order by c.relname, a.attnum
"""


def erase_messages(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in all other texts of the schema waybill, such as messages, examples and profiles.

    Values that only the person has are replaced everywhere, and the id where it follows the name of its column in
    records of the domain.
    """
    patterns = text_patterns(target)
    for table, column, kind, others in connection.execute(_TEXT_COLUMNS).fetchall():
        if (table, column) in OWN_TEXTS or (table, "*") in OWN_TEXTS or column in NAMES:
            continue
        for pattern, instead, is_id in patterns:
            statement = sql.SQL(
                """
                update {table} as t
                set {column} = regexp_replace(t.{column}::text, %(pattern)s, %(instead)s, 'gi')::{kind}
                where t.{column}::text ~* %(pattern)s and {is_of_domain}
                """
            ).format(
                table=sql.Identifier("waybill", table),
                column=sql.Identifier(column),
                kind=sql.SQL(kind),
                is_of_domain=of_domain(others) if is_id else sql.SQL("true"),
            )
            parameters = {
                "pattern": pattern,
                "instead": instead,
                "domain": target.domain,
                "schemas": schemas_of(target),
            }
            erased.add(f"waybill.{table}", connection.execute(statement, parameters).rowcount)
    _erase_profiles(connection, target, erased)


def schemas_of(target: Target) -> list[str]:
    """Return the schemas of a domain."""
    return [target.domain, star_schema(target.domain), report_schema(target.domain)]


def text_patterns(target: Target) -> list[tuple[str, str, bool]]:
    """Return (regular expression of PostgreSQL, what replaces it, whether it is the id) of a person in texts."""
    names = "|".join(sorted({column.name for one in target.columns for column in one.ids}))
    between = r"""["'\\]*[ :=]*["'\\]*"""
    id_pattern = rf"(\m(?:{names}){between}){_escaped(target.value)}(?![\w-])"
    found = [(id_pattern, rf"\1{target.person.tombstone}", True)]
    for value in sorted(target.values):
        for form in {value, json.dumps(value, ensure_ascii=False)[1:-1]}:
            end = r"""[^"'…]*""" if len(value) == LONGEST else r"(?!\w)"  # the rest of a value in quotes
            found.append((rf"(?<!\w){_escaped(form)}{end}", target.text, False))
    return found


def _escaped(text: str) -> str:
    return re.sub(r"([^\w\s])", r"\\\1", text)


def of_domain(columns: list[str]) -> sql.SQL:
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
    return sql.SQL(r"t::text ~ ('\m(' || array_to_string(%(schemas)s::text[], '|') || ')\M')")


def _erase_profiles(connection: Connection, target: Target, erased: Erased) -> None:
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
