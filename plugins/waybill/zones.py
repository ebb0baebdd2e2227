"""Every S3 prefix and every schema name, in one place.

The raw zone (also called bronze) holds files as they arrived, one prefix a dataset and period; the processed zone
(silver) the rows that were loaded from them, one Parquet file a table and day. Where the rest of a company expects
another layout, as for purchases, a dataset has one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from waybill.period import Cadence, Period
from waybill.settings import settings

OPERATIONS_SCHEMA = "waybill"
CATALOG_DATABASE = "waybill_processed"
"""The database of the Glue Data Catalog that lists the processed zone."""


@dataclass(frozen=True)
class Layout:
    """Where the objects of a table lie: a prefix, and below it folders that name a month or day."""

    root: str
    folders: tuple[tuple[str, str], ...]
    """For each folder its name and how `strftime` writes its value: `dt=2026-03-31/`."""

    def values(self, start: date) -> list[str]:
        """The folders' values for a period by its first day."""
        return [start.strftime(form) for _, form in self.folders]

    def prefix(self, start: date | None = None) -> str:
        """The prefix of a period's objects, by its first day; of all objects without one."""
        if start is None:
            return self.root
        values = zip(self.folders, self.values(start), strict=True)
        return self.root + "".join(f"{name}={value}/" for (name, _), value in values)


_MONTH, _DAY = (("month", "%Y-%m"),), (("dt", "%Y-%m-%d"),)
_CALENDAR = (("year", "%Y"), ("month", "%m"), ("day", "%d"))
_RAW = {"purchases.purchases": Layout("datalake/bronze/", _CALENDAR)}
_PROCESSED = {
    "purchases_star.fact_purchases": Layout("datalake/silver/", (("ingestion_date", "%Y-%m-%d"),)),
    "purchases_star.customer_spend": Layout("datalake/gold/", _CALENDAR),
}


def raw_layout(domain: str, dataset: str, cadence: Cadence = "day") -> Layout:
    """How the files of a dataset are laid out, whose periods are days or months."""
    default = Layout(f"raw/{domain}/{dataset}/", _MONTH if cadence == "month" else _DAY)
    return _RAW.get(f"{domain}.{dataset}", default)


def raw_prefix(domain: str, dataset: str, period: Period | None = None) -> str:
    """Where the files of a dataset land: `raw/messaging/traffic/month=2026-03/`."""
    if period is None:
        return raw_layout(domain, dataset).prefix()
    return raw_layout(domain, dataset, period.cadence).prefix(period.start)


def period_of(key: str) -> str | None:
    """The period key in an object's prefix, or None if no folder names one."""
    folders = dict(folder.split("=", 1) for folder in key.split("/")[:-1] if "=" in folder)
    if "year" in folders:
        return "-".join(folders.get(name, "") for name, _ in _CALENDAR)
    return folders.get("month") or folders.get("dt") or folders.get("ingestion_date")


def processed_layout(domain: str, table: str) -> Layout:
    """How a table is laid out for other engines: `processed/shop/reviews/dt=2026-03-31/`."""
    return _PROCESSED.get(f"{domain}.{table}", Layout(f"processed/{domain}/{table}/", _DAY))


def processed_key(domain: str, dataset: str, day: date) -> str:
    """The object that holds a day's rows."""
    return f"{processed_layout(domain, dataset).prefix(day)}{dataset}.parquet"


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
