"""The model of a contract: one table, its columns, rules and checks, and how its files are loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from waybill.contracts.file_format import UNDECLARED, FileFormat
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.retention import Retention
from waybill.errors import DataError
from waybill.period import Cadence

Metric = Literal["rowCount", "nullValues", "duplicateValues", "freshness", "drift"]
LoadMode = Literal["snapshot", "changes", "merge", "dimension", "summary", "report", "feature"]
FileOrder = Literal["landing", "name"]
ControlCharacters = Literal["none", "layout", "any"]
ColumnPolicy = Literal["ignore", "warning", "error"]
UNIVERSAL = ("UTC", "Etc/UTC")
"""The names of the time zone of instants without an offset, unless the contract declares another one."""
SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
"""Names that PostgreSQL reserves in every table."""
MOST_COLUMNS = 800
"""Of a dataset. Loads compare two versions of a row, and PostgreSQL joins at most 1,664 columns."""
FEATURE_VERSION = re.compile(r"(?P<view>[a-z]\w*)_v(?P<version>[1-9]\d*)")
"""Matches the name of a version of a feature view."""
FEATURE_LOG_COLUMNS = ("known_ts", "is_removed", "run_id")
"""Columns of the log of a feature view besides those of its contract."""
HISTORY_COLUMNS = ("valid_from", "valid_to")
"""Columns of a history besides those of its contract."""

_RULE_WORDS = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")+)"|([a-z_]\w*)(?!\w*\s*[(])""", re.IGNORECASE)
"""Matches texts, quoted names, and words that are not function calls."""


FLOATS = ("double precision", "real")
"""Types of binary floating-point numbers."""
_NUMERIC = re.compile(r"numeric\((\d+),\s*(\d+)\)")


def numeric_digits(physical_type: str) -> tuple[int, int] | None:
    """Return precision and scale of `numeric(p,s)`, or None for another type."""
    found = _NUMERIC.fullmatch(physical_type)
    return (int(found[1]), int(found[2])) if found else None


class ContractError(DataError):
    """A contract or manifest is missing, invalid or not supported."""


@dataclass(frozen=True)
class ValueFilter:
    """The values of a column that are of interest."""

    variable: str
    """The environment variable that lists them."""
    default: tuple[str, ...]
    """The values if the variable is not set."""


@dataclass(frozen=True)
class Column:
    """One column of a table, as the contract declares it."""

    name: str
    description: str
    logical_type: str
    physical_type: str
    required: bool = False
    unique: bool = False
    partitioned: bool = False
    key_position: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    enum: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    """Other names of the column in files."""
    reference: tuple[str, str] | None = None
    """(dataset, column) of the same domain that must hold the value."""
    infers_unknown: bool = False
    """Whether an unknown value is accepted: the dimension then gets an inferred member."""
    in_force_on: str | None = None
    """The date column on which the referenced row must be effective: its period must not start later."""
    classification: str | None = None
    business_name: str | None = None
    null_words: tuple[str, ...] = ()
    """Words that mean an absent value, in any case."""
    number_format: NumberFormat | None = None
    """The signs with which numbers are written; None: digits, a point and a sign."""
    date_forms: tuple[str, ...] = ("YYYY-MM-DD",)
    """The accepted forms of a date or time: patterns and words. The default means ISO 8601 for every type."""
    pivot_year: int | None = None
    """The first of the hundred years that two digits can mean."""
    skipped_hour: Literal["reject", "forward"] = "reject"
    """How to read a local time that daylight saving time skips."""
    doubled_hour: Literal["reject", "earlier", "later"] = "reject"
    """Which instant a local time means that occurs twice, when daylight saving time ends."""
    max_years_ahead: int = 10
    """Without a maximum, dates and instants that are more years after the file's period are rejected."""
    control_characters: ControlCharacters = "layout"
    """The accepted control characters of a text: tabs and line ends by default."""
    allows_placeholders: bool = False
    """Whether a text such as NULL or #N/A is accepted."""
    list_separator: str | None = None
    """The characters between the items of a `text[]` in files; None: items are a JSON array."""
    index: Literal["ascending", "descending"] | None = None
    """The direction of an index on this column, if there is one."""
    only_values_of: ValueFilter | None = None
    """Which values are of interest: rows with another one are filtered."""

    @property
    def local_zone(self) -> str | None:
        """Return the time zone in which instants without an offset are written; None for UTC."""
        zone = self.options.get("defaultTimezone", "UTC")
        return None if self.physical_type != "timestamptz" or zone in UNIVERSAL else zone

    @property
    def checked_reference(self) -> tuple[str, str] | None:
        """Return the reference that rows must meet: None if unknown values are accepted."""
        return None if self.infers_unknown else self.reference


@dataclass(frozen=True)
class Check:
    """A quality check that compares a number with a threshold. `error` stops the run, `warning` warns."""

    name: str
    description: str
    query: str | None
    """SQL that returns one number; without a query, the metric of the period's rows is computed."""
    operator: str
    threshold: float
    severity: Literal["error", "warning"]
    metric: Metric = "rowCount"
    columns: tuple[str, ...] = ()
    """The columns of the metric; empty for whole rows."""
    is_percent: bool = False
    """Whether the metric is a percentage of the period's rows."""


@dataclass(frozen=True)
class RowRule:
    """A condition over several columns of a row. Rows that break it are rejected for the reason `rule:<name>`."""

    name: str
    expression: str
    """SQL over the contract's columns, valid in PostgreSQL and DuckDB."""

    @property
    def words(self) -> set[str]:
        """Return the column names and SQL keywords in the expression."""
        return {quoted or word.lower() for quoted, word in _RULE_WORDS.findall(self.expression)} - {""}


@dataclass(frozen=True)
class Contract:
    """One table: its columns, key, checks and how its files are loaded."""

    domain: str
    name: str
    version: str
    description: str
    grain: str
    columns: tuple[Column, ...]
    load_mode: LoadMode
    reject_threshold_pct: float
    lookback_periods: int | None
    """Number of periods before its own of which a file may have rows; None: any number."""
    checks: tuple[Check, ...]
    document: str
    """The text of the file."""
    cadences: tuple[Cadence, ...] = ()
    """The lengths of the periods that files or rows cover; only reports have several."""
    period_column: str | None = None
    """The date, timestamp or timestamptz column that determines the period of a row."""
    version_column: str | None = None
    """Among rows with the same key, the row with the greatest value in this column is current."""
    file_order: FileOrder = "landing"
    """Which file of a period wins if several have the same key: the last to land, or the last by name."""
    landing_day_column: str | None = None
    """A computed column with the landing day of the row's file. Files of such a dataset land at any time."""
    occurrence_column: str | None = None
    """A computed column that numbers the rows of a file with equal values in the rest of the key, from 1."""
    updated_at_column: str | None = None
    """A computed column of a summary with the time of the last change of another column."""
    file_format: FileFormat = UNDECLARED
    """How the files are written."""
    file_names: tuple[str, ...] = ()
    """Patterns of the names of data objects, in any case; empty: every name."""
    row_rules: tuple[RowRule, ...] = ()
    days_before: int | None = 0
    """Number of days before its period that a report reads; None: all."""
    days_after: int = 0
    latency_days: int | None = None
    """Number of days after the end of its period within which a file lands; None: no service level."""
    ttl: timedelta | None = None
    """How long after its instant a feature has a value; None: for ever."""
    latency: timedelta = timedelta(0)
    """How long after its instant a feature is known in regular operation."""
    owner: str = ""
    """The name of the team that owns the table."""
    retention: Retention | None = None
    """How long the lake keeps its days; None: for ever."""
    raw_retention: Retention | None = None
    """How long the raw bucket keeps its files; None: for ever."""
    quarantine_retention: Retention | None = None
    """How long rejected rows and events keep their text; None: for ever."""
    history_retention: Retention | None = None
    """How long former states of its rows are kept; None: for ever."""
    max_shrink_pct: float = 90
    """The largest decrease of rows from one snapshot to the next, in percent."""
    missing_columns: ColumnPolicy = "warning"
    """How to report a file without an optional column that earlier files have."""
    unknown_columns: ColumnPolicy = "warning"
    """How to report a column that is not in the contract."""
    kept: tuple[str, ...] = ()
    """The values of the filtered column whose rows are kept, as the environment said when the contract was loaded."""
    max_warnings: int | None = None
    """With more warnings from checks, a report needs approval before publication; None: any number."""

    @property
    def table(self) -> str:
        """Return `schema.name`, for messages and the ledger."""
        return f"{self.domain}.{self.name}"

    @property
    def sha256(self) -> str:
        """Return the hash of the file's text, which distinguishes contracts with the same version."""
        return hashlib.sha256(self.document.encode()).hexdigest()

    @property
    def names(self) -> list[str]:
        """Return the column names in the contract's order."""
        return [column.name for column in self.columns]

    @property
    def delivered_columns(self) -> list[Column]:
        """Return the columns of files, without computed ones, in the contract's order."""
        computed = (self.landing_day_column, self.occurrence_column)
        return [column for column in self.columns if column.name not in computed]

    @property
    def content(self) -> list[str]:
        """Return the names of file columns outside the key. Deliveries of a key are equal if these are."""
        return [column.name for column in self.delivered_columns if column.key_position is None]

    @property
    def filter_column(self) -> Column | None:
        """Return the column by which rows are filtered, or None."""
        return next((column for column in self.columns if column.only_values_of), None)

    @property
    def kept_values(self) -> list[str] | None:
        """The values of that column whose rows are kept; None if nothing is filtered."""
        return [*self.kept] if self.kept else None

    def tolerates(self, rejected: int, rows: int) -> bool:
        """Return whether a file may have this number of rejected rows."""
        return rejected * 100 <= self.reject_threshold_pct * rows

    @property
    def lands_any_time(self) -> bool:
        """Return whether files land at any time, several a day or none, and no period requires a file."""
        return self.landing_day_column is not None

    def has_instants(self, name: str | None) -> bool:
        """Return whether a column has instants rather than days."""
        return any(column.name == name and column.physical_type == "timestamptz" for column in self.columns)

    @property
    def key(self) -> list[str]:
        """Return the names of the columns of the primary key, by position."""
        keyed = [column for column in self.columns if column.key_position is not None]
        return [column.name for column in sorted(keyed, key=lambda column: column.key_position or 0)]

    @property
    def row_key(self) -> list[str]:
        """Return the names of the columns that identify a delivered row: the key and the version column."""
        return [*self.key, *([self.version_column] if self.version_column else [])]

    @property
    def cadence(self) -> Cadence:
        """Return the length of the periods of a dataset."""
        return self.cadences[0]

    @property
    def is_dataset(self) -> bool:
        """Return whether the rows come from files."""
        return self.load_mode in ("snapshot", "changes", "merge")

    @property
    def is_merged(self) -> bool:
        """Return whether rows of files are merged by key, so that older versions are kept as superseded."""
        return self.load_mode in ("merge", "changes")

    @property
    def computed_columns(self) -> list[str]:
        """Return the names of the columns that the SQL of a derived table returns."""
        return [name for name in self.names if name != self.updated_at_column]

    @property
    def day_column(self) -> str | None:
        """Return the column with the calendar day of a row, if rows belong to days."""
        if self.is_dataset:
            return self.period_column
        return self.key[0] if self.cadences == ("day",) else None

    @property
    def has_days(self) -> bool:
        """Return whether the lake can have the table: it has rows of days, or versions of rows that days see."""
        return self.load_mode == "snapshot" or self.day_column is not None

    @property
    def is_partitioned(self) -> bool:
        """Return whether the table has a partition for each month of the period column."""
        return any(column.partitioned for column in self.columns)
