"""Every S3 prefix and every schema name, in one place.

The raw zone (also called bronze) holds files as they arrived, one prefix a dataset and period; the processed zone
(silver) the rows that were loaded from them, one Parquet file a dataset and day.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from waybill.period import Period
from waybill.settings import settings

OPERATIONS_SCHEMA = "waybill"
CATALOG_DATABASE = "waybill_processed"
"""The database of the Glue Data Catalog that lists the processed zone."""
_PARTITION = {"month": "month", "day": "dt"}


def raw_prefix(domain: str, dataset: str, period: Period | None = None) -> str:
    """Where the files of a dataset land: `raw/messaging/traffic/month=2026-03/`."""
    base = f"raw/{domain}/{dataset}/"
    return base if period is None else f"{base}{_PARTITION[period.cadence]}={period.key}/"


def period_of(key: str) -> str | None:
    """The period key in an object's prefix, or None if the object lies outside of the raw zone's layout."""
    for part in key.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals and name in _PARTITION.values():
            return value
    return None


def processed_prefix(domain: str, dataset: str, day: date | None = None) -> str:
    """Where the rows of a dataset lie for other engines: `processed/shop/reviews/dt=2026-03-31/`."""
    base = f"processed/{domain}/{dataset}/"
    return base if day is None else f"{base}{_PARTITION['day']}={day.isoformat()}/"


def processed_key(domain: str, dataset: str, day: date) -> str:
    """The object that holds a day's rows."""
    return f"{processed_prefix(domain, dataset, day)}{dataset}.parquet"


def catalog_table(domain: str, dataset: str) -> str:
    """The dataset's table in the database of the catalog."""
    return f"{domain}_{dataset}"


def report_prefix(period: Period) -> str:
    """Where the reports of a period are published: `analytics/2026/03/31/`, the period's last day."""
    return f"analytics/{period.end - timedelta(days=1):%Y/%m/%d}/"


def report_schema(domain: str) -> str:
    """The warehouse schema of a domain's reports."""
    return f"{domain}_report"


def star_schema(domain: str) -> str:
    """The warehouse schema of a domain's dimensions and facts."""
    return f"{domain}_star"


def report_files(domain: str) -> list[Path]:
    """The domain's SQL reports, one question a file; the stem is the report's name."""
    return sorted((settings().include_dir / "sql" / domain).glob("*.sql"))
