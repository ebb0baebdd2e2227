"""Every S3 prefix and every schema name, in one place.

The raw zone (also called bronze) holds files as they arrived, one prefix a dataset and period; the processed zone
(silver) the rows that were loaded from them, one Parquet file a table and day. Where the rest of a company expects
another layout, as for purchases, a dataset has one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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
        return self.root + "".join(f"{folder}/" for folder in self.folders_of(start))

    @property
    def pattern(self) -> str:
        """The prefix as messages write it: `raw/shop/reviews/dt=YYYY-MM-DD/`."""
        forms = {"%Y": "YYYY", "%m": "MM", "%d": "DD"}
        return self.root + "".join(
            f"{name}={re.sub('%.', lambda found: forms[found[0]], form)}/" for name, form in self.folders
        )

    def folders_of(self, start: date) -> list[str]:
        """The folders of a period by its first day: `["dt=2026-03-31"]`."""
        return [f"{name}={value}" for (name, _), value in zip(self.folders, self.values(start), strict=True)]

    def day_of(self, folders: Sequence[str]) -> date | None:
        """The first day of the period that folders name; None unless they are written exactly as `folders_of` does."""
        values = "/".join(folder.partition("=")[2] for folder in folders)
        try:
            day = datetime.strptime(values, "/".join(form for _, form in self.folders)).date()  # noqa: DTZ007
        except ValueError:
            return None
        return day if self.folders_of(day) == [*folders] else None


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


def read_sql(path: Path) -> str:
    """The text of an SQL file with every byte of it: the hash of the text is the hash of the file."""
    return path.read_bytes().decode("utf-8")


def report_files(domain: str) -> list[Path]:
    """The domain's SQL reports, one question a file; the stem is the report's name."""
    return sorted((settings().include_dir / "sql" / domain).glob("*.sql"))
