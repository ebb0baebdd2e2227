"""Rows of the warehouse as CSV and Parquet, and as objects of S3 that are written only when they differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from typing import Any, BinaryIO

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.contract import numeric_digits
from waybill.outputs.formulas import neutralised
from waybill.outputs.masking import masked_columns, masked_select, use_key
from waybill.settings import settings

PARQUET = "application/vnd.apache.parquet"
_ROW_GROUP_BYTES = 16 * 2**20
"""Size of a row group as CSV: what one reader takes at once, and what writing holds."""


def csv_for_people(connection: Connection, contract: Contract, rows: sql.Composable) -> Iterator[bytes]:
    """What `copy_csv` gives, with formulas neutralised unless the settings say otherwise."""
    return copy_csv(connection, contract, rows, neutralise=settings().neutralise_formulas)


def copy_csv(
    connection: Connection, contract: Contract, rows: sql.Composable, *, neutralise: bool = False
) -> Iterator[bytes]:
    """The contract's columns, restricted ones as pseudonyms, as CSV: first the header, then row by row.

    With `neutralise` no text is a formula to a spreadsheet.

    `rows` is what follows the columns in a select: from, where and order by. NULL is written as nothing, an empty
    text as `""`, an instant in UTC. Needs an open transaction. Raises `SettingsError` if a key is needed and missing.
    """
    connection.execute("select set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true)")
    use_key(connection, contract)
    query = sql.SQL("copy (select {} {}) to stdout (format csv, header, encoding 'UTF8')").format(
        masked_select(contract, neutralised) if neutralise else masked_select(contract), rows
    )
    with connection.cursor().copy(query) as copy:
        yield from map(bytes, copy)  # libpq gives whole rows


def write_parquet(csv: Iterable[bytes], contract: Contract, target: BinaryIO) -> int:
    """Write what `copy_csv` gives as Parquet with the contract's types; returns the number of rows.

    `csv` may come in other pieces if they end where a row ends. Memory is bounded by the size of a row group. The same
    rows give the same bytes if the pieces are the same.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    columns = masked_columns(contract)
    schema = pa.schema(
        [pa.field(column.name, arrow_type(column.physical_type), nullable=not column.required) for column in columns]
    )
    convert = pa_csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for group in _groups(csv):
            # One block: a row may be as long as it likes. Only the first group begins with the header.
            read = pa_csv.ReadOptions(
                use_threads=False, block_size=len(group), column_names=schema.names, skip_rows=0 if rows else 1
            )
            table = pa_csv.read_csv(pa.BufferReader(group), read, parse, convert)
            writer.write_table(table.cast(schema))
            rows += table.num_rows
    return rows


def _groups(csv: Iterable[bytes]) -> Iterator[bytearray]:
    group = bytearray()
    for piece in csv:
        group += piece
        if len(group) >= _ROW_GROUP_BYTES:
            yield group
            group = bytearray()
    if group:
        yield group


def arrow_type(physical_type: str) -> Any:
    """The Arrow type for a PostgreSQL type of the contracts.

    A numeric without precision becomes a double, and a uuid its text, because Athena and Hive know no such type.
    """
    import pyarrow as pa

    if digits := numeric_digits(physical_type):
        return pa.decimal128(*digits)
    return {
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "numeric": pa.float64(),
        "date": pa.date32(),
        "timestamptz": pa.timestamp("us", "UTC"),
        "boolean": pa.bool_(),
        "text": pa.string(),
        "uuid": pa.string(),
    }[physical_type]


def put(s3: Any, bucket: str, key: str, body: BufferedIOBase, content_type: str, cache_control: str = "") -> bool:
    """Write the object, in parts if it is large, unless it is there with this content; returns whether it wrote.

    The content's SHA-256 is kept with the object: an ETag is no hash of objects in parts or encrypted ones.
    """
    sha256 = hashlib.file_digest(body, "sha256").hexdigest()
    there = _head(s3, bucket, key)
    if there is not None and there["Metadata"].get("sha256") == sha256:
        return False
    body.seek(0)
    headers = {"ContentType": content_type} | ({"CacheControl": cache_control} if cache_control else {})
    s3.upload_fileobj(body, bucket, key, headers | {"Metadata": {"sha256": sha256}})
    return True


def remove(s3: Any, bucket: str, key: str) -> None:
    """Delete the object if it is there; a bucket with versions keeps what it was."""
    if _head(s3, bucket, key) is not None:
        s3.delete_object(Bucket=bucket, Key=key)


def _head(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    return found
