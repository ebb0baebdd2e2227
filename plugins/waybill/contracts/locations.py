"""Every S3 prefix and every schema name.

The raw zone (also called bronze) holds files as they arrived, one prefix a dataset and period. The processed zone
(silver) holds the rows that were loaded from them, one partition of an Iceberg table a day. A domain's manifest may
name other prefixes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from waybill.contracts.domains import domain_names, load_manifest
from waybill.contracts.layout import Layout
from waybill.period import Cadence, Period
from waybill.settings import settings

OPERATIONS_SCHEMA = "waybill"

TRAINING_PREFIX: Final = "training/"
"""The prefix of the lake's bucket for training sets: `training/<name>.parquet` and `training/<name>.json`."""

_MONTH: Final = (("month", "%Y-%m"),)
_DAY: Final = (("dt", "%Y-%m-%d"),)


def raw_layout(domain: str, dataset: str, cadence: Cadence = "day") -> Layout:
    """Return the layout of a dataset's files: that of the manifest, else one folder for each month or day."""
    default = Layout(f"raw/{domain}/{dataset}/", _MONTH if cadence == "month" else _DAY)
    return load_manifest(domain).prefixes.raw.get(dataset, default)


def raw_prefix(domain: str, dataset: str, period: Period | None = None) -> str:
    """Return the prefix where the files of a dataset land: `raw/billing/invoices/month=2026-03/`."""
    if period is None:
        return raw_layout(domain, dataset).prefix()
    return raw_layout(domain, dataset, period.cadence).prefix(period.start)


def processed_layout(schema: str, table: str) -> Layout:
    """Return the layout of a table for other engines: `processed/billing/invoices/dt=2026-03-31/`."""
    manifest = load_manifest(domain_of(schema))
    return manifest.prefixes.processed.get(f"{schema}.{table}", Layout(f"processed/{schema}/{table}/", _DAY))


def catalog_table(schema: str, table: str) -> str:
    """Return the name of a table in the database of the catalog."""
    return f"{schema}_{table}"


def report_prefix(period: Period) -> str:
    """Return the prefix of a period's published reports: `analytics/2026/03/31/`, the period's last day."""
    return f"analytics/{period.end - timedelta(days=1):%Y/%m/%d}/"


def report_schema(domain: str) -> str:
    """Return the warehouse schema of a domain's reports."""
    return f"{domain}_report"


def star_schema(domain: str) -> str:
    """Return the warehouse schema of a domain's dimensions and facts."""
    return f"{domain}_star"


def feature_schema(domain: str) -> str:
    """Return the warehouse schema of a domain's feature views."""
    return f"{domain}_feature"


SCHEMAS: Final = (star_schema, report_schema, feature_schema)
"""Return the schemas of a domain's derived tables, each after those whose tables it may read."""


def domain_of(schema: str) -> str:
    """Return the domain to which a warehouse schema belongs; a schema of no domain's is its own."""
    schemas = {make(domain): domain for domain in domain_names() for make in SCHEMAS}
    return schemas.get(schema, schema)


def read_sql(path: Path) -> str:
    """Return the text of an SQL file with every byte of it: the hash of the text is the hash of the file."""
    return path.read_bytes().decode("utf-8")


def report_files(domain: str) -> list[Path]:
    """Return the files of a domain's SQL reports, one question a file; the stem is the report's name."""
    return sorted((settings().include_dir / "sql" / domain).glob("*.sql"))


def sql_folder(domain: str, make: Callable[[str], str]) -> str:
    """Return the folder in `include/sql` of a schema of a domain's derived tables; `make`, of `SCHEMAS`, names it."""
    return domain if make is report_schema else make(domain)


def bucket_and_key(address: str) -> tuple[str, str]:
    """Return the bucket and the key, or prefix, of an address such as `s3://lake/processed/a.parquet`."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key
