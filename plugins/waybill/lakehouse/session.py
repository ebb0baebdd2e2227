"""Open the Spark session of a job: the meaning of its expressions, and its catalog `lake`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from waybill.lakehouse.exchange import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CATALOG: Final = "lake"
"""The name of the catalog in SQL: `lake.database.table`."""
_MEANING: Final = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.variable.substitute": "false",  # keys of objects and texts in SQL may have `${…}`
}
"""Settings that give every expression one meaning, whatever the defaults of the platform are."""


def open_session(domain: str, lake: Lake) -> SparkSession:
    """Return a session whose catalog `lake` has the tables of the lake.

    Global temporary views are in the schema of the domain: SQL reads `billing.invoices`. Without another setting of
    the platform, the job runs on two cores of this machine.
    """
    from pyspark.sql import SparkSession

    settings = {
        **_MEANING,
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.globalTempDatabase": domain,
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        **{f"spark.sql.catalog.{CATALOG}{name}": value for name, value in _catalog(lake).items()},
    }
    builder = SparkSession.builder.appName(f"waybill {domain}")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    # Later, Spark would name another cause than a catalog that cannot be reached.
    spark._jsparkSession.sessionState().catalogManager().catalog(CATALOG)
    return spark


def _catalog(lake: Lake) -> dict[str, str]:
    host = urlsplit(lake.catalog).hostname or ""
    found = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "rest",
        ".uri": lake.catalog,
        ".warehouse": lake.warehouse,
        ".rest.sigv4-enabled": "true",
        ".rest.signing-name": "s3tables" if host.startswith("s3tables.") else "glue",
        ".rest.signing-region": lake.region,
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".client.region": lake.region,
        ".http-client.type": "urlconnection",
        ".cache-enabled": "false",  # the tables have other writers
        ".s3.endpoint": lake.endpoint or "",
        ".s3.path-style-access": "true" if lake.endpoint else "",
    }
    return {name: value for name, value in found.items() if value}
