"""Export rows of the warehouse as CSV and Parquet, and write objects to S3 only if their content changed."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.contracts.contract import numeric_digits
from waybill.errors import CommandFailed
from waybill.outputs.formulas import neutralised
from waybill.outputs.masking import masked_columns, masked_select, use_key
from waybill.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_EPOCH = date(1970, 1, 1)
PARQUET = "application/vnd.apache.parquet"
_ROW_GROUP_BYTES = 16 * 2**20
"""Size of a row group as CSV. It bounds the memory of readers and of the writer."""


def csv_for_people(connection: Connection, contract: Contract, rows: sql.Composable) -> Iterator[bytes]:
    """Return the output of `copy_csv`, with formulas neutralised unless the settings disable that."""
    return copy_csv(connection, contract, rows, neutralise=settings().neutralise_formulas)


def copy_csv(
    connection: Connection, contract: Contract, rows: sql.Composable, *, neutralise: bool = False
) -> Iterator[bytes]:
    """Yield the columns of a contract as CSV, the header first. Restricted columns are pseudonyms.

    `rows` follows the select list: from, where and order by. NULL is an empty field, an empty text is `""`, and
    instants are in UTC. Lists of texts are JSON. With `neutralise`, spreadsheets run no text as a formula. Needs an
    open transaction. Raises `SettingsError` if a key is needed and missing.
    """
    connection.execute("select set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true)")
    use_key(connection, contract)
    query = sql.SQL("copy (select {} {}) to stdout (format csv, header, encoding 'UTF8')").format(
        masked_select(contract, partial(_exported, neutralise=neutralise)), rows
    )
    with connection.cursor().copy(query) as copy:
        yield from map(bytes, copy)  # libpq returns whole rows


def _exported(column: Column, *, neutralise: bool) -> sql.Composable:
    """Return a column for the select list of an export."""
    name = sql.Identifier(column.name)
    if column.physical_type == "text[]":
        return sql.SQL("to_json({0})::text as {0}").format(name)
    return neutralised(column) if neutralise else name


def parquet_schema(contract: Contract) -> pa.Schema:
    """Return the columns of a contract for `write_parquet`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.physical_type), nullable=not column.required)
            for column in masked_columns(contract)
        ]
    )


def write_parquet(csv: Iterable[bytes], schema: pa.Schema, target: BinaryIO, day: date | None = None) -> int:
    """Write the output of `copy_csv` as Parquet with the types of a schema; returns the number of rows.

    With `day`, the last column of the schema is this day in all rows, and the CSV does not have it. `csv` may be split
    into other pieces that end with a row. Memory is bounded by the size of a row group. Equal pieces give equal bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = schema if day is None else pa.schema([*schema][:-1])
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for table in arrow_tables(csv, read):
            if day is None:
                writer.write_table(table)
            else:
                writer.write_table(table.append_column(schema.field(-1), _repeated(day, table.num_rows)))
            rows += table.num_rows
    return rows


def arrow_tables(csv: Iterable[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the output of `copy_csv` as tables with the types of a schema, each of about the size of a row group.

    `csv` may be split into other pieces that end with a row.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    lists = [field for field in schema if pa.types.is_list(field.type)]
    convert = pa_csv.ConvertOptions(
        column_types={field.name: pa.string() if field in lists else field.type for field in schema},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    for place, group in enumerate(_groups(csv)):
        # One block, so that rows may have any length. Only the first group begins with the header.
        read = pa_csv.ReadOptions(
            use_threads=False, block_size=len(group), column_names=schema.names, skip_rows=0 if place else 1
        )
        table = pa_csv.read_csv(pa.BufferReader(group), read, parse, convert)
        for field in lists:
            texts = table[field.name].to_pylist()
            values = pa.array([None if text is None else json.loads(text) for text in texts], field.type)
            table = table.set_column(schema.names.index(field.name), field, values)
        yield table.cast(schema)


def _repeated(day: date, rows: int) -> pa.Array:
    """Return a column with the same day in all rows. `pa.array` would import pandas."""
    import pyarrow as pa

    days = array("i", [(day - _EPOCH).days]) * rows
    return pa.Array.from_buffers(pa.date32(), rows, [None, pa.py_buffer(days)])


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
    """Return the Arrow type for a PostgreSQL type of the contracts.

    A numeric without precision becomes a double, and uuid, time and jsonb become text, because Athena and Hive lack
    these types.
    """
    import pyarrow as pa

    if digits := numeric_digits(physical_type):
        return pa.decimal128(*digits)
    return {
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "numeric": pa.float64(),
        "date": pa.date32(),
        "time": pa.string(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
        "boolean": pa.bool_(),
        "jsonb": pa.string(),
        "text": pa.string(),
        "text[]": pa.list_(pa.string()),
        "uuid": pa.string(),
    }[physical_type]


def put(
    s3: S3Client, bucket: str, key: str, body: BufferedReader | BytesIO, content_type: str, cache_control: str = ""
) -> bool:
    """Write an object unless it has this content already; returns whether it was written.

    The SHA-256 of the content is stored with the object: the ETag of multipart and encrypted objects is no hash.
    """
    sha256 = hashlib.file_digest(body, "sha256").hexdigest()
    current = _head(s3, bucket, key)
    if current is not None and current["Metadata"].get("sha256") == sha256:
        return False
    body.seek(0)
    headers = {"ContentType": content_type} | ({"CacheControl": cache_control} if cache_control else {})
    s3.upload_fileobj(body, bucket, key, headers | {"Metadata": {"sha256": sha256}})
    return True


@contextmanager
def errors_of_s3(what: str, outcome: str) -> Iterator[None]:
    """Name what S3 refuses, what that means for a command that may be repeated, and the next step."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import ClientError

    try:
        yield
    except (ClientError, S3UploadFailedError) as error:
        refused = error if isinstance(error, ClientError) else error.__context__
        if not isinstance(refused, ClientError):
            raise
        code = refused.response.get("Error", {}).get("Code", "unknown")
        raise CommandFailed(
            f"S3 refused {refused.operation_name} of {what}: {code}. {outcome}. Check the credentials and their rights "
            "to the bucket, and run the command again: it completes what is there."
        ) from error


def remove(s3: S3Client, bucket: str, key: str) -> None:
    """Delete an object if it exists. A versioned bucket keeps its versions."""
    if exists(s3, bucket, key):
        s3.delete_object(Bucket=bucket, Key=key)


def exists(s3: S3Client, bucket: str, key: str) -> bool:
    """Return whether there is an object."""
    return _head(s3, bucket, key) is not None


def _head(s3: S3Client, bucket: str, key: str) -> HeadObjectOutputTypeDef | None:
    from botocore.exceptions import ClientError

    try:
        return s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
