"""Search for a person where the project keeps data: every table of the warehouse, the lake and the published files."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg import Connection, sql

from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import bucket_and_key, star_schema
from waybill.contracts.people import people_of
from waybill.derived.build import report_contracts
from waybill.erasure.person import Target, is_person, target_of, with_values
from waybill.erasure.phrases import LONGEST
from waybill.erasure.places import derived_ids, names_in_sets, rows_of, training_sets, value_sources
from waybill.erasure.texts import BETWEEN, FREE_TEXTS, RECORDS, domain_parameters, of_domain
from waybill.outputs import iceberg_tables
from waybill.outputs.publish import csv_key, manifest_key, parquet_key
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import table_exists
from waybill.warehouse.forgotten import id_text
from waybill.warehouse.pseudonyms import pseudonym
from waybill.warehouse.schema import tables_of

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog

log = logging.getLogger(__name__)

_TABLES: Final = """
select n.nspname, c.relname, array_agg(a.attname order by a.attnum)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_attribute as a on a.attrelid = c.oid
where c.relkind in ('r', 'p', 'm') and not c.relispartition and a.attnum > 0 and not a.attisdropped
  and n.nspname !~ '^(pg_|information_schema$)'
group by n.nspname, c.relname
order by n.nspname, c.relname
"""


@dataclass(frozen=True)
class Hit:
    """Where something of a person was found."""

    place: str
    """A table with its column, a table of the lake or an object."""
    number: int
    """How many rows, or files."""
    rewritten_by: str | None = None
    """The DAG whose next run after an erasure rewrites the place; None if the erasure itself changes it, or nobody."""


def search(
    connection: Connection, s3: S3Client, catalog: Catalog, domain: str, kind: str, given: str, values: Sequence[str]
) -> list[Hit]:
    """Return where an id of a kind of person is, and texts that belong to the person.

    The id is searched for in the columns that hold ids, and after their names in messages; the texts everywhere, in any
    case, and as pseudonyms in the lake. Raises `DataError` as `waybill.erasure.person.target_of` does.
    """
    target = with_values(target_of(connection, domain, kind, given, people_of(domain)), values)
    return [
        *_in_id_columns(connection, target),
        *_in_texts(connection, target),
        *_in_lake(catalog, target, values),
        *_in_published(connection, s3, target),
        *_in_training_sets(connection, s3, target),
    ]


def _in_id_columns(connection: Connection, target: Target) -> Iterator[Hit]:
    for one in target.columns:
        for table in tables_of(one.contract):
            if not table_exists(connection, table):
                continue
            found = connection.execute(
                sql.SQL("select count(*) from {} as t where {}").format(table, is_person(one)), {"ids": [target.value]}
            ).fetchone()
            if found and found[0]:
                yield Hit(table.as_string(None).replace('"', ""), found[0])
    dag = load_manifest(target.domain).dag
    for column in derived_ids(target, value_sources(target.domain)):
        if rows := rows_of(connection, column, target.value):
            yield Hit(str(column), rows, dag)


def _in_texts(connection: Connection, target: Target) -> Iterator[Hit]:
    """Yield the tables with a value of the person as a text, and those of the schema waybill that name the id."""
    parameters = {**domain_parameters(target.domain), "texts": _patterns(target), "id": _id_pattern(target)}
    contracts = [*load_domain(star_schema(target.domain)).values(), *report_contracts(target.domain).values()]
    derived = {contract.table: load_manifest(target.domain).dag for contract in contracts}
    for schema, table, columns in connection.execute(_TABLES).fetchall():
        is_about: sql.Composable = sql.SQL("t.whole ~* any(%(texts)s)")
        searched = columns
        if schema == "waybill":
            searched = [*FREE_TEXTS.get(table, ()), *RECORDS.get(table, ())]
            is_about = sql.SQL("(t.whole ~* any(%(texts)s) or t.whole ~* %(id)s) and {}").format(of_domain(columns))
        if not searched:
            continue
        text_of = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("r", name)) for name in searched)
        row = connection.execute(
            sql.SQL(
                "select count(*) from (select *, concat_ws(chr(10), {}) as whole from {} as r) as t where {}"
            ).format(text_of, sql.Identifier(schema, table), is_about),
            parameters,
        ).fetchone()
        if row and row[0]:
            yield Hit(f"{schema}.{table}", row[0], derived.get(f"{schema}.{table}"))


def _id_pattern(target: Target) -> str:
    """Return the regular expression of PostgreSQL for the id after the name of its column."""
    names = "|".join(sorted({column.name for one in target.columns for column in one.ids}))
    return rf"\m(?:{names}){BETWEEN}{_escaped(target.value)}(?![\w-])"


def _patterns(target: Target) -> list[str]:
    """Return the regular expressions of PostgreSQL for the texts of a person, as they are and as JSON has them."""
    return [
        rf"(?<!\w){_escaped(form[:LONGEST])}" + ("" if len(form) > LONGEST else r"(?!\w)")
        for value in sorted(target.values)
        for form in sorted({value, json.dumps(value, ensure_ascii=False)[1:-1]})
    ]


def _escaped(text: str) -> str:
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _in_lake(catalog: Catalog, target: Target, values: Sequence[str]) -> Iterator[Hit]:
    """Yield the tables of the lake whose current files have rows of the person."""
    hashes = _pseudonyms(values)
    contracts = [*load_domain(target.domain).values(), *load_domain(star_schema(target.domain)).values()]
    for contract in contracts:
        table = iceberg_tables.find_table(catalog, contract)
        if table is None:
            continue
        ids = _ids_of(contract, target)
        rows = sum(_matching(batch, ids, target, hashes) for batch in table.scan().to_arrow_batch_reader())
        if rows:
            yield Hit(f"lake: {contract.table}", rows, load_manifest(target.domain).dag)


def _ids_of(contract: Contract, target: Target) -> list[str]:
    """Return the names of the columns of a table in which ids may be."""
    names = {column.name for one in target.columns for column in one.ids}
    one = target.of_dataset(contract.table)
    return [column.name for column in one.ids] if one else [name for name in contract.names if name in names]


def _pseudonyms(values: Sequence[str]) -> set[str]:
    """Return the pseudonyms that values have in the lake and in exports."""
    key = settings().mask_key
    return {pseudonym(key.get_secret_value().encode(), value) for value in values} if key else set()


def _matching(batch: pa.RecordBatch, ids: Sequence[str], target: Target, hashes: Collection[str] = ()) -> int:
    import pyarrow as pa

    column = target.columns[0].ids[0]
    found: set[int] = set()
    for name in batch.schema.names:
        values = batch.column(name)
        if name in ids:
            found |= {at for at, value in enumerate(values.to_pylist()) if id_text(column, value) == target.value}
        elif target.values and (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            texts = enumerate(values.to_pylist())
            found |= {at for at, text in texts if text and (text in hashes or target.is_in(text))}
    return len(found)


def _in_published(connection: Connection, s3: S3Client, target: Target) -> Iterator[Hit]:
    """Yield the published files that show the person."""
    contracts = {contract.table: contract for contract in report_contracts(target.domain).values()}
    keys: dict[str, Contract | None] = {}
    rows = connection.execute(
        "select report, cadence, period from waybill.published where report = any(%s) order by period, report",
        ([*contracts],),
    ).fetchall()
    for report, cadence, start in rows:
        contract, period = contracts[report], Period.of(cadence, start)
        keys |= {csv_key(contract, period): contract, parquet_key(contract, period): contract}
        keys[manifest_key(target.domain, period)] = None
    bucket = settings().reports_bucket
    for key, of in keys.items():
        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            log.warning("s3://%s/%s is absent: it was published and is not there", bucket, key)
            continue
        if _shows(key, body, of, target):
            yield Hit(f"s3://{bucket}/{key}", 1, load_manifest(target.domain).dag)


def _in_training_sets(connection: Connection, s3: S3Client, target: Target) -> Iterator[Hit]:
    """Yield the training sets with rows of the person. Those in folders of other machines cannot be read."""
    import pyarrow.parquet as pq

    derived = derived_ids(target, value_sources(target.domain))
    ids = names_in_sets(target, derived)
    for location, name, _ in training_sets(connection, target, derived):
        if location is None:
            continue
        try:
            if location.startswith("s3://"):
                bucket, key = bucket_and_key(location)
                body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            else:
                body = Path(location).read_bytes()
        except (s3.exceptions.NoSuchKey, OSError):
            log.warning("%s is absent: the training set %s was there, or is on another machine", location, name)
            continue
        batches = pq.ParquetFile(io.BytesIO(body)).iter_batches()
        if rows := sum(_matching(batch, ids, target) for batch in batches):
            yield Hit(location, rows)


def _shows(key: str, body: bytes, contract: Contract | None, target: Target) -> bool:
    import pyarrow.parquet as pq

    if contract is None:
        return target.is_in(body.decode())
    ids = _ids_of(contract, target)
    if key.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(body))
        return any(_matching(batch, ids, target) for batch in table.to_batches())
    text = body.decode("utf-8-sig")
    column = target.columns[0].ids[0]
    named = any(
        id_text(column, row.get(name)) == target.value for row in csv.DictReader(io.StringIO(text)) for name in ids
    )
    return named or target.is_in(text) or target.is_in(json.dumps(text))
