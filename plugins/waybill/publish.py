"""Export the reports of a period as CSV and Parquet, with a manifest that says what they rest on."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable
from typing import Any

from psycopg import Connection, sql

from waybill import zones
from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake.ledger import Run
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.schema import columns_sql, relation

log = logging.getLogger(__name__)


def _csv(connection: Connection, contract: Contract, period: Period) -> bytes:
    query = sql.SQL("copy (select {} from {} where {} = {} order by {}) to stdout (format csv, header)").format(
        columns_sql(contract.names),
        relation(contract),
        sql.Identifier(contract.key[0]),
        sql.Literal(period.start),
        columns_sql(contract.key),
    )
    with connection.cursor().copy(query) as copy:
        return b"".join(bytes(chunk) for chunk in copy)


def _parquet(connection: Connection, contract: Contract, period: Period) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    query = sql.SQL("select {} from {} where {} = %s order by {}").format(
        columns_sql(contract.names),
        relation(contract),
        sql.Identifier(contract.key[0]),
        columns_sql(contract.key),
    )
    rows = connection.execute(query, (period.start,)).fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(contract.columns)
    fields = [
        pa.field(column.name, arrow_type(column.physical_type), not column.required) for column in contract.columns
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), buffer)
    return buffer.getvalue()


def arrow_type(physical_type: str) -> Any:
    """The Arrow type for a PostgreSQL type of the contracts; a numeric without precision becomes a double."""
    import pyarrow as pa

    if physical_type.startswith("numeric("):
        precision, scale = physical_type.removeprefix("numeric(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return {
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "numeric": pa.float64(),
        "date": pa.date32(),
        "timestamptz": pa.timestamp("us", "UTC"),
        "boolean": pa.bool_(),
        "text": pa.string(),
    }[physical_type]


def _provenance(connection: Connection, contracts: Iterable[Contract], period: Period) -> dict[str, dict[str, Any]]:
    rows = connection.execute(
        "select p.report, p.row_count, p.content_sha256, p.sql_sha256, p.code_version, "
        "coalesce((select jsonb_agg(jsonb_build_object('key', f.object_key, 'version_id', f.version_id, "
        "'sha256', f.sha256) order by f.file_id) from waybill.load_file as f where f.file_id = any(p.file_ids)), '[]') "
        "from waybill.publication as p where p.report = any(%s) and p.period = %s",
        ([contract.table for contract in contracts], period.start),
    ).fetchall()
    names = ("row_count", "content_sha256", "sql_sha256", "code_version", "files")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def publish(connection: Connection, s3: Any, contracts: Iterable[Contract], period: Period, run: Run) -> list[str]:
    """Write every report of the period and then the manifest; returns the keys.

    All reports are read in one snapshot of the warehouse. An object whose content is there already is not
    written again. Raises `DataError` for a report that was not built for the period.
    """
    contracts = sorted(contracts, key=lambda contract: contract.name)
    bucket, prefix = settings().reports_bucket, zones.report_prefix(period)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        provenance = _provenance(connection, contracts, period)
        if missing := [contract.table for contract in contracts if contract.table not in provenance]:
            raise DataError(f"{', '.join(missing)}: not built for {period}; run the report's task first")
        bodies = {}
        for contract in contracts:
            bodies[f"{prefix}{contract.name}.csv"] = _csv(connection, contract, period)
            bodies[f"{prefix}{contract.name}.parquet"] = _parquet(connection, contract, period)
    files = {file["key"]: file for report in provenance.values() for file in report.pop("files")}
    manifest = {
        "period": period.key,
        "code_version": run.code_version,
        "run_id": run.run_id,
        "reports": provenance,
        "objects": [
            {"key": key, "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for key, body in bodies.items()
        ],
        "files": [files[key] for key in sorted(files)],
    }
    for key, body in bodies.items():
        _put(
            s3,
            bucket,
            key,
            body,
            "text/csv; charset=utf-8" if key.endswith(".csv") else "application/vnd.apache.parquet",
        )
    text = json.dumps(manifest, indent=2, sort_keys=True).encode()
    _put(s3, bucket, f"{prefix}manifest.json", text, "application/json")
    log.info("published %d objects under s3://%s/%s", len(bodies) + 1, bucket, prefix)
    return [*bodies, f"{prefix}manifest.json"]


def _put(s3: Any, bucket: str, key: str, body: bytes, content_type: str) -> None:
    from botocore.exceptions import ClientError

    try:
        if (
            s3.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
            == hashlib.md5(body, usedforsecurity=False).hexdigest()
        ):
            return
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
