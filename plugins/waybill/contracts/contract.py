"""What a contract says: one table, its columns, rules and checks, and how its files are loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from waybill.errors import DataError
from waybill.period import Cadence

Metric = Literal["rowCount", "nullValues", "duplicateValues", "freshness"]
LoadMode = Literal["snapshot", "changes", "merge", "dimension", "summary", "report"]
FileOrder = Literal["landing", "name"]
ControlCharacters = Literal["none", "layout", "any"]
ColumnPolicy = Literal["ignore", "warning", "error"]
HISTORY_COLUMNS = ("valid_from", "valid_to")
"""What a history has beside its contract's columns."""

_RULE_WORDS = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")+)"|([a-z_]\w*)(?!\w*\s*[(])""", re.IGNORECASE)
"""Texts, quoted names, and words that are not called as functions."""


_NUMERIC = re.compile(r"numeric\((\d+),\s*(\d+)\)")


def numeric_digits(physical_type: str) -> tuple[int, int] | None:
    """(digits, digits after the point) of `numeric(p,s)`; None for any other type."""
    found = _NUMERIC.fullmatch(physical_type)
    return (int(found[1]), int(found[2])) if found else None


class ContractError(DataError):
    """A contract or a manifest is missing or not valid, or asks for what cannot be done."""


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
    """Other names under which the column may arrive."""
    reference: tuple[str, str] | None = None
    """(dataset, column) of the same domain that must hold the value."""
    infers_unknown: bool = False
    """An unknown value of the reference is let in: its dimension gets an inferred member."""
    in_force_on: str | None = None
    """The date column on which a row of the reference must be in force: not begin later, by its period column."""
    classification: str | None = None
    business_name: str | None = None
    null_words: tuple[str, ...] = ()
    """Words that stand for an absent value, in any case."""
    date_forms: tuple[str, ...] = ("YYYY-MM-DD",)
    """How a date may be written: some of `DATE_FORMS`."""
    max_years_ahead: int = 10
    """A date or instant that lies more years after its file's period is implausible, unless there is a maximum."""
    control_characters: ControlCharacters = "layout"
    """Which control characters a text may have: tabs and line ends by default."""
    allows_placeholders: bool = False
    """Whether a text like NULL or #N/A is a value."""
    index: Literal["ascending", "descending"] | None = None
    """An index of the column alone, and its direction."""
    only_values_of: ValueFilter | None = None
    """Which values are of interest: rows with another one are filtered."""

    @property
    def checked_reference(self) -> tuple[str, str] | None:
        """The reference by which rows are judged: none if unknown values are let in."""
        return None if self.infers_unknown else self.reference


@dataclass(frozen=True)
class Check:
    """One quality check: a number, compared with a threshold; `error` stops the run, `warning` warns."""

    name: str
    description: str
    query: str | None
    """SQL that gives one number; without it the metric says what is counted in the rows of the period."""
    operator: str
    threshold: float
    severity: Literal["error", "warning"]
    metric: Metric = "rowCount"
    columns: tuple[str, ...] = ()
    """What the metric looks at; a row counts as a whole."""
    is_percent: bool = False
    """Whether the metric is a share of the period's rows."""


@dataclass(frozen=True)
class RowRule:
    """A condition over several columns of a row that must hold; a broken one is the reason `rule:<name>`."""

    name: str
    expression: str
    """In the SQL that PostgreSQL and DuckDB share, over the contract's columns."""

    @property
    def words(self) -> set[str]:
        """The words of the expression that are neither text nor called as functions: columns, and words of SQL."""
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
    """How many periods before its own a file may hold rows of; None: any number."""
    checks: tuple[Check, ...]
    document: str
    """The file's text."""
    cadences: tuple[Cadence, ...] = ()
    """How long the periods are that files or rows stand for; only reports have several."""
    period_column: str | None = None
    """The date or timestamptz column that says to which period a row belongs."""
    version_column: str | None = None
    """Of several rows of a key the one with the greatest value here stands."""
    file_order: FileOrder = "landing"
    """What decides between files of a period that bring the same key: which landed later, or the greater name."""
    landing_day_column: str | None = None
    """Holds the day on which the row's file landed; no file brings it. Files of such a dataset land at any time."""
    occurrence_column: str | None = None
    """Tells rows of a file apart that agree in the rest of the key: 1 for the first; no file brings it."""
    updated_at_column: str | None = None
    """Of a summary: holds when another column of the row changed last; its SQL does not give it."""
    file_names: tuple[str, ...] = ()
    """Globs, in any case: only objects whose name fits one are data; empty: every name is."""
    row_rules: tuple[RowRule, ...] = ()
    days_before: int | None = 0
    """How many days before its period a report reads; None: all."""
    days_after: int = 0
    latency_days: int | None = None
    """How many days after its period's end a file has landed at the latest; None: nothing is promised."""
    max_shrink_pct: float = 90
    """By how many percent a snapshot may have fewer rows than the one before it."""
    missing_columns: ColumnPolicy = "warning"
    """What it is that a file lacks an optional column that earlier files had."""
    unknown_columns: ColumnPolicy = "warning"
    """What it is that a file has a column that the contract does not know."""
    kept: tuple[str, ...] = ()
    """The values of the filtered column whose rows are kept, as the environment said when the contract was loaded."""
    max_warnings: int | None = None
    """With more checks of a report that warn, somebody must approve it before it is published; None: any number."""

    @property
    def table(self) -> str:
        """`schema.name`, for messages and the ledger."""
        return f"{self.domain}.{self.name}"

    @property
    def sha256(self) -> str:
        """Hash of the file's text: tells two contracts of one version apart."""
        return hashlib.sha256(self.document.encode()).hexdigest()

    @property
    def names(self) -> list[str]:
        """Column names in the contract's order."""
        return [column.name for column in self.columns]

    @property
    def delivered_columns(self) -> list[Column]:
        """The columns that files bring, in the contract's order."""
        computed = (self.landing_day_column, self.occurrence_column)
        return [column for column in self.columns if column.name not in computed]

    @property
    def content(self) -> list[str]:
        """Names of the columns beside the key that files bring: deliveries of a key are equal if these are."""
        return [column.name for column in self.delivered_columns if column.key_position is None]

    @property
    def filter_column(self) -> Column | None:
        """The column by which rows are filtered, if the contract says so."""
        return next((column for column in self.columns if column.only_values_of), None)

    @property
    def kept_values(self) -> list[str] | None:
        """The values of that column whose rows are kept; None if nothing is filtered."""
        return [*self.kept] if self.kept else None

    def tolerates(self, rejected: int, rows: int) -> bool:
        """Whether a file may have so many rejected rows."""
        return rejected * 100 <= self.reject_threshold_pct * rows

    @property
    def lands_any_time(self) -> bool:
        """Whether files land when they are ready, several a day or none, and no period waits for one."""
        return self.landing_day_column is not None

    def has_instants(self, name: str | None) -> bool:
        """Whether a column holds instants rather than days."""
        return any(column.name == name and column.physical_type == "timestamptz" for column in self.columns)

    @property
    def key(self) -> list[str]:
        """Names of the primary key's columns, by position."""
        keyed = [column for column in self.columns if column.key_position is not None]
        return [column.name for column in sorted(keyed, key=lambda column: column.key_position or 0)]

    @property
    def row_key(self) -> list[str]:
        """Names of the columns that identify a delivered row: the key, and the version if there are several."""
        return [*self.key, *([self.version_column] if self.version_column else [])]

    @property
    def cadence(self) -> Cadence:
        """How long the periods of a dataset's files are."""
        return self.cadences[0]

    @property
    def is_dataset(self) -> bool:
        """Whether files bring its rows."""
        return self.load_mode in ("snapshot", "changes", "merge")

    @property
    def is_merged(self) -> bool:
        """Whether the rows of its files are merged by their key, so that older versions are kept as superseded."""
        return self.load_mode in ("merge", "changes")

    @property
    def computed_columns(self) -> list[str]:
        """Names of the columns that the SQL of a derived table gives."""
        return [name for name in self.names if name != self.updated_at_column]

    @property
    def day_column(self) -> str | None:
        """The column that says to which calendar day a row belongs, if rows belong to days."""
        if self.is_dataset:
            return self.period_column
        return self.key[0] if self.cadences == ("day",) else None

    @property
    def is_partitioned(self) -> bool:
        """Whether the table has a partition for each month of the period column."""
        return any(column.partitioned for column in self.columns)
