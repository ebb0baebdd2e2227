"""Erase a person in records that are kept as they arrived: the quarantine and events of streams."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection

from waybill.erasure.person import Target, without_person
from waybill.erasure.phrases import LONGEST
from waybill.erasure.rows import Erased
from waybill.erasure.texts import replaced_in
from waybill.intake.validate import open_duckdb
from waybill.scratch import scratch_folder
from waybill.stream.declared import Declared, streams_of
from waybill.stream.events import Record, check
from waybill.warehouse.forgotten import Forgotten, Person, hash_of, key_of_hashes

_BATCH: Final = 1000
_MOST_PATTERNS: Final = 30
"""The most texts that are searched for by patterns of SQL."""
_LIKE: Final = re.compile(r"([\\%_])")
_AS_IT_IS: Final = r"\\\1"


def erase_quarantine(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in the rejected rows of all datasets of the domain.

    The retention may remove texts after they were read: these stay removed.
    """
    query = """
    select f.dataset, q.file_id, q.record, q.raw
    from waybill.quarantine as q
    inner join waybill.load_file as f using (file_id)
    where split_part(f.dataset, '.', 1) = %(domain)s
      and (lower(q.raw) like any(%(texts)s) or strpos(q.raw, %(escape)s) > 0)
    order by q.file_id, q.record
    """
    for rows in _batches(connection, "quarantined", query, _candidates(target)):
        changed = [
            (text, file_id, record)
            for dataset, file_id, record, raw in rows
            if (text := without_person(target, dataset, raw)) is not None
        ]
        connection.cursor().executemany(
            "update waybill.quarantine set raw = %s where file_id = %s and record = %s and removed_at is null", changed
        )
        erased.add("waybill.quarantine", len(changed))
        erased.files.update(file_id for _, file_id, _ in changed)


def erase_rejected_events(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in the rejected events of the domain's streams. Texts that the retention removes stay so."""
    query = """
    select r.dataset, r.shard, r.sequence, r.raw
    from waybill.stream_rejected as r
    where split_part(r.dataset, '.', 1) = %(domain)s
      and (lower(r.raw) like any(%(texts)s) or strpos(r.raw, %(escape)s) > 0)
    order by r.dataset, r.shard, r.sequence
    """
    for rows in _batches(connection, "rejected", query, _candidates(target)):
        changed = [
            (text, dataset, shard, sequence)
            for dataset, shard, sequence, raw in rows
            if (text := without_person(target, dataset, raw)) is not None
        ]
        connection.cursor().executemany(
            "update waybill.stream_rejected set raw = %s "
            "where dataset = %s and shard = %s and sequence = %s and removed_at is null",
            changed,
        )
        erased.add("waybill.stream_rejected", len(changed))


def erase_events(connection: Connection, target: Target, erased: Erased) -> list[str]:
    """Replace the person in the events of streams that are still kept; return the keys of the archives with them.

    The events with the id are checked like new ones, so that a repeated event is recognised as before. Loads do not
    recognise the person in other events: of these, texts change that the person alone has, and the hash stays.
    """
    archives: set[str] = set()
    for declared in streams_of(target.domain):
        parameters = {**_candidates(target), "dataset": declared.dataset}
        one = target.of_dataset(declared.dataset)
        forgotten = Forgotten((one,), {target.kind: _known(target)}, 0, key_of_hashes()) if one else None
        with scratch_folder() as folder, closing(open_duckdb(folder)) as duck:
            for rows in _batches(connection, "kept", _EVENTS, parameters):
                checked = _checked(duck, folder, declared, forgotten, rows) if forgotten else {}
                archives |= _erase_some(connection, target, declared, rows, checked, erased)
    return sorted(archives)


_EVENTS: Final = """
select e.event_id, e.sequence::text, e.arrived_at, e.raw, a.object_key
from waybill.stream_event as e
left join waybill.stream_archive as a using (archive_id)
where e.dataset = %(dataset)s and (lower(e.raw) like any(%(texts)s) or strpos(e.raw, %(escape)s) > 0)
"""


def _known(target: Target) -> dict[str, Person]:
    """Return the person by the hashes of all ids that records may have."""
    key = key_of_hashes()
    return {hash_of(key, target.domain, target.kind, value): target.person for value in target.ids}


def _candidates(target: Target) -> dict[str, Any]:
    """Return the parameters of a query for records that may show a person. Each of them is then read.

    Which characters are the same in another case depends on the database for all but ASCII, numbers may be written
    with signs between their digits, and many patterns take longer than reading: then all records are read. JSON may
    have any character as an escape sequence.
    """
    texts = {*target.ids, *target.values} | {value.replace("-", "") for value in target.ids}
    likes = [f"%{_LIKE.sub(_AS_IT_IS, text[:LONGEST].lower())}%" for text in sorted(texts)]
    has_signs = any(column.number_format for one in target.columns for column in one.ids)
    if has_signs or len(texts) > _MOST_PATTERNS or not all(text.isascii() for text in texts):
        likes = ["%"]
    return {"domain": target.domain, "texts": likes, "escape": "\\"}


def _checked(
    duck: Any, folder: Path, declared: Declared, forgotten: Forgotten, rows: list[tuple[Any, ...]]
) -> dict[str, tuple[str, str | None]]:
    """Return (content without the person, new hash) of the events that name the person, by their ids."""
    named = [row for row in rows if _names(forgotten, row[3])]
    records = [Record(sequence, arrived_at, raw.encode()) for _, sequence, arrived_at, raw, _ in named]
    batch = check(duck, folder, declared, records, None, forgotten)
    found: dict[int, tuple[str, str | None]] = {id(one.record): (one.raw, one.digest) for one in batch.events}
    found |= {id(one.record): (one.raw, None) for one in batch.rejected}  # by a newer contract
    return {row[0]: found[id(record)] for record, row in zip(records, named, strict=True)}


def _erase_some(
    connection: Connection,
    target: Target,
    declared: Declared,
    rows: list[tuple[Any, ...]],
    checked: Mapping[str, tuple[str, str | None]],
    erased: Erased,
) -> set[str]:
    changed, archives = [], set()
    for event_id, _, _, raw, key in rows:
        text, digest = checked.get(event_id, (raw, None))
        content = json.loads(text)
        found = replaced_in(content, lambda _, value: target.phrases.replaced(value, target.text))
        if found != content:
            text = json.dumps(found, ensure_ascii=False)
        if text != raw:
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
    one, content = forgotten.people[0], json.loads(raw)
    values = content.values() if isinstance(content, dict) else ()
    return any(forgotten.person(one, column, value) for column in one.ids for value in values)


def _batches(
    connection: Connection, name: str, query: LiteralString, parameters: Any
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query in batches: memory does not grow with their number."""
    with connection.cursor(name=name) as cursor:
        cursor.execute(query, parameters)
        while rows := cursor.fetchmany(_BATCH):
            yield rows
