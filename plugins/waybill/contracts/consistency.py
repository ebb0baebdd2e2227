"""Find contradictions between the columns, load mode, key and checks of a contract."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from waybill.contracts.contract import (
    FEATURE_LOG_COLUMNS,
    FEATURE_VERSION,
    FLOATS,
    HISTORY_COLUMNS,
    MOST_COLUMNS,
    SYSTEM_COLUMNS,
    Column,
    Contract,
    numeric_digits,
)
from waybill.contracts.retention import ELEMENTS, Retention
from waybill.contracts.standard import Problem, likeliest

_SQL_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "and any all as between bigint boolean case cast date day distinct double else end escape extract false from "
        "hour ilike in integer interval is like minute month not null numeric or precision real second similar "
        "smallint text then time timestamp timestamptz to true varchar when year",
    )
)
_WITH_NUMBERS: Final = ("json", "parquet", "xlsx")
"""The formats whose files have numbers besides texts."""
_PLACES_OF_PERCENT: Final = 2
_TABLE: Final = ("schema", 0)
_DATED: Final = ("date", "timestamp", "timestamptz")
_NO_IDENTITY: Final[Mapping[str, str]] = {
    **dict.fromkeys(FLOATS, "holds the nearest binary number: change the physicalType to numeric(p,s)"),
    **dict.fromkeys(("jsonb", "text[]"), "holds several values: declare a column for the one that identifies the row"),
}
"""Why values of a type cannot identify a row or order versions, and what to do."""


def problems(contract: Contract) -> Iterator[Problem]:
    """Yield the problems of a contract whose parts are each valid."""
    yield from _of_names(contract)
    yield from _of_key(contract)
    yield from _of_identity(contract)
    yield from _of_periods(contract)
    yield from _of_version(contract)
    yield from _of_landing_day(contract)
    yield from _of_summary(contract)
    yield from _of_feature(contract)
    yield from _of_files(contract)
    yield from _of_null_words(contract)
    yield from _of_number_formats(contract)
    yield from _of_rules(contract)


def _column(contract: Contract, column: Column, *more: str) -> tuple[str | int, ...]:
    """Return the place of a column in the document."""
    return (*_TABLE, "properties", contract.columns.index(column), *more)


def _type(contract: Contract, name: str | None) -> str | None:
    return next((column.physical_type for column in contract.columns if column.name == name), None)


def _of_names(contract: Contract) -> Iterator[Problem]:
    if contract.is_dataset and (columns := len(contract.columns)) > MOST_COLUMNS:
        yield Problem(_TABLE, f"has {columns:,} columns, but a dataset can have {MOST_COLUMNS:,}: remove some")
    names = Counter(contract.names)
    for name in sorted(name for name, times in names.items() if times > 1):
        yield Problem(_TABLE, f"column names must be unique: {name!r} occurs {names[name]} times")
    reserved = (*SYSTEM_COLUMNS, *(HISTORY_COLUMNS if contract.load_mode == "snapshot" else ()))
    for column in contract.columns:
        if column.name.startswith("_") or column.name in reserved:
            yield Problem(
                _column(contract, column, "name"),
                f"reserved names: those with a leading underscore, {', '.join(SYSTEM_COLUMNS)}, and in snapshots "
                "valid_from and valid_to",
            )


def _of_key(contract: Contract) -> Iterator[Problem]:
    if not contract.key:
        yield Problem(_TABLE, "needs at least one primaryKey column")
    positions = Counter(column.key_position for column in contract.columns if column.key_position)
    for position in sorted(position for position, times in positions.items() if times > 1):
        yield Problem(_TABLE, f"several columns of the primary key have the primaryKeyPosition {position}")
    occurrence = contract.occurrence_column
    if occurrence is not None and not (occurrence in contract.key and _type(contract, occurrence) == "integer"):
        yield Problem(_TABLE, "the occurrenceColumn must be an integer and part of the key")


def _of_identity(contract: Contract) -> Iterator[Problem]:
    """Yield columns that identify rows or order versions, but whose type cannot."""
    for column in contract.columns:
        uses = {
            "a primaryKey": column.key_position is not None,
            "unique": column.unique,
            "the versionColumn": column.name == contract.version_column,
            "part of a relationship": column.reference is not None,
        }
        roles = [use for use, is_used in uses.items() if is_used]
        if roles and (why := _NO_IDENTITY.get(column.physical_type)):
            yield Problem(
                _column(contract, column), f"{column.physical_type} is not allowed for {' and '.join(roles)}. It {why}"
            )


def _of_periods(contract: Contract) -> Iterator[Problem]:
    name = contract.period_column
    if not contract.cadences and contract.load_mode not in ("dimension", "summary"):
        yield Problem((), "slaProperties must include a frequency, whose unit is the length of a period")
    if contract.is_dataset and len(contract.cadences) > 1:
        yield Problem(("slaProperties",), "a dataset must have one frequency; only a report can have several")
    if contract.is_merged and name is None:
        yield Problem(_TABLE, "a merged dataset needs a period column")
    if name is not None and _type(contract, name) not in ("date", "timestamp", "timestamptz"):
        yield Problem(_TABLE, "the periodColumn must be a date, a timestamp or a timestamptz")
    elif contract.is_partitioned and (name not in contract.key or _type(contract, name) != "date"):
        yield Problem(_TABLE, "the partitioned date column must be part of the primary key")
    if contract.retention and contract.load_mode != "snapshot" and contract.day_column is None:
        yield Problem(("slaProperties",), "a retention removes days from the lake, but this table has no days there")
    kept = (contract.raw_retention, contract.quarantine_retention, contract.history_retention)
    if any(kept) and not contract.is_dataset:
        yield Problem(
            ("slaProperties",),
            f"a retention of {', '.join(ELEMENTS)} is for datasets: a derived table has none of them",
        )
    yield from _of_horizon(contract)
    # The lake writes a day again from the history, for example after an erasure.
    has_days = contract.load_mode == "snapshot" or (contract.load_mode == "changes" and contract.day_column is not None)
    if (
        contract.is_dataset
        and (history := contract.history_retention)
        and has_days
        and not (contract.retention and contract.retention.is_within(history))
    ):
        yield Problem(
            ("slaProperties",),
            f"the lake makes its days from the history, which is kept for {history}: declare a retention of the table, "
            "too, that is not longer",
        )
    partitioned = [column for column in contract.columns if column.partitioned]
    if len(partitioned) > 1 or any(column.name != name for column in partitioned):
        yield Problem(_TABLE, "only the periodColumn can partition a table")


def _of_horizon(contract: Contract) -> Iterator[Problem]:
    """Yield a retention of the history that refuses files which land in time, or rows that they may have."""
    history = contract.history_retention
    if history is None or not contract.is_dataset or not contract.cadences:
        return
    number, days = 1 + (contract.lookback_periods or 0), contract.latency_days or 0
    least = Retention(number, "months") if contract.cadence == "month" else Retention(number, "d")
    if contract.cadence == "week":
        least = Retention(7 * number, "d")
    if not least.is_within(history, days):
        needed = f"{least} and {days} days" if days else str(least)
        yield Problem(
            ("slaProperties",),
            f"the history is kept for {history}, and files of earlier periods are refused: it must be kept for "
            f"{needed} or longer, which are a period, its latency and its lookbackPeriods",
        )


def _of_version(contract: Contract) -> Iterator[Problem]:
    name = contract.version_column
    if (contract.load_mode == "changes") != (name is not None):
        yield Problem(_TABLE, "versionColumn is required for the loadMode changes and not allowed for any other")
    if any(column.name == name and (not column.required or column.key_position) for column in contract.columns):
        yield Problem(_TABLE, "the versionColumn must be required and not part of the key")


def _of_landing_day(contract: Contract) -> Iterator[Problem]:
    name = contract.landing_day_column
    if name is not None and contract.lookback_periods is not None:
        yield Problem(
            _TABLE,
            "lookbackPeriods has no effect beside landingDayColumn: rows of any period are accepted. Remove one",
        )
    for column in contract.columns:
        if column.name == name and (
            column.physical_type != "date" or not column.required or column.key_position is not None
        ):
            yield Problem(
                _column(contract, column), "the landingDayColumn must be a required date and not part of the key"
            )


def _of_summary(contract: Contract) -> Iterator[Problem]:
    is_summary = contract.load_mode == "summary"
    if is_summary and (len(contract.key) != 1 or _type(contract, contract.updated_at_column) != "timestamptz"):
        yield Problem(_TABLE, "a summary needs a key of one column and an updatedAtColumn of the type timestamptz")


def _of_feature(contract: Contract) -> Iterator[Problem]:
    """Yield what keeps a table from being one version of a feature view."""
    if contract.load_mode != "feature":
        return
    number = FEATURE_VERSION.fullmatch(contract.name)
    if number is None or number["version"] != contract.version.partition(".")[0]:
        yield Problem(
            (*_TABLE, "name"),
            f"a feature view is named <view>_v<N>, where N is the major number of its version; {contract.name!r} has "
            f"the version {contract.version}",
        )
    if contract.cadences not in (("day",), ("month",)):
        yield Problem(("slaProperties",), "a feature view has one frequency: a day (unit d) or a month (unit months)")
    first, *entity = contract.key or [""]
    if (first,) != contract.cadences or _type(contract, first) != "date":
        yield Problem(
            _TABLE,
            "the key of a feature view begins with the period: a date named day or month, as its frequency says",
        )
    at = next((column for column in contract.columns if column.name == "event_ts"), None)
    if at is None or at.physical_type != "timestamptz" or not at.required:
        yield Problem(_TABLE, "a feature view needs a required timestamptz `event_ts`: when a value begins to hold")
    if "event_ts" in entity[:-1]:
        yield Problem(_TABLE, "in the key of a feature view, event_ts is the last column")
    if not set(entity) - {"event_ts"}:
        yield Problem(_TABLE, "the key of a feature view has at least one column of the entity after the period")
    if not set(contract.names) - {*contract.key, "event_ts"}:
        yield Problem(_TABLE, "a feature view needs at least one feature: a column besides key and event_ts")
    for column in contract.columns:
        if column.name in FEATURE_LOG_COLUMNS:
            yield Problem(
                _column(contract, column, "name"),
                f"reserved names in a feature view: {', '.join(FEATURE_LOG_COLUMNS)}, which its log has",
            )


def _of_files(contract: Contract) -> Iterator[Problem]:
    """Yield properties that are not allowed for the load mode of the table or the type of the column."""
    if not contract.is_dataset and contract.latency_days is not None:  # that of a feature view is no landing
        yield Problem(("slaProperties",), "a latency is the latest landing of a file, but a derived table has no files")
    for column in contract.columns:
        if column.spellings and not contract.is_dataset:
            yield Problem(
                _column(contract, column, "synonyms"),
                "synonyms are names in the header of a file, but a derived table has no files",
            )
        if column.partitioned and not contract.is_merged:
            yield Problem(_column(contract, column, "partitioned"), "only merged datasets can have partitions")
        if column.unique and contract.load_mode != "snapshot":
            yield Problem(
                _column(contract, column, "unique"), "unique columns besides the key are supported in snapshots only"
            )
        if column.in_force_on is not None and (
            _type(contract, column.in_force_on) != "date" or column.physical_type != "text"
        ):
            yield Problem(
                _column(contract, column),
                "inForceOn must be a date of the contract, at a column of the type text",
            )
        if column.only_values_of and (column.physical_type != "text" or column is not contract.filter_column):
            yield Problem(_column(contract, column), "onlyValuesOf is allowed for one column of the type text")
        if column.max_years_ahead != Column.max_years_ahead and column.physical_type not in _DATED:
            yield Problem(_column(contract, column), f"maxYearsAhead is only allowed for the types {', '.join(_DATED)}")
        if column.list_separator and column.physical_type != "text[]":
            yield Problem(_column(contract, column), "listSeparator is only allowed for the type text[]")
        if column.physical_type not in ("text", "text[]") and (
            column.allows_placeholders or column.control_characters not in ("layout", "none")
        ):
            yield Problem(
                _column(contract, column),
                "allowsPlaceholders and controlCharacters are only allowed for the types text and text[]",
            )


def _of_null_words(contract: Contract) -> Iterator[Problem]:
    for column in contract.columns:
        absent = {word.lower() for word in column.null_words}
        for position, value in enumerate(column.enum):
            if value.lower() in absent:
                yield Problem(
                    (*_column(contract, column, "enum"), position, "value"),
                    f"{value!r} is also one of the nullWords, so no row can have it",
                )


def _of_number_formats(contract: Contract) -> Iterator[Problem]:
    for column in contract.columns:
        if column.number_format is None:
            continue
        digits = numeric_digits(column.physical_type)
        if column.logical_type not in ("integer", "number"):
            yield Problem(_column(contract, column), "numberFormat is only allowed for columns of numbers")
        elif column.number_format.percent == "fraction" and (
            column.logical_type == "integer" or (digits and digits[1] < _PLACES_OF_PERCENT)
        ):
            yield Problem(
                _column(contract, column),
                f"the numberFormat reads 12% as 0.12, which is no {column.physical_type}: write `percent: number`, or "
                "two or more digits after the point",
            )
        elif contract.file_format.name in _WITH_NUMBERS and column.number_format.decimal != ".":
            yield Problem(
                _column(contract, column),
                f"numbers in files of the format {contract.file_format.name} have a decimal point: remove `decimal` "
                "from the numberFormat",
            )
        elif contract.file_format.name == "xlsx" and column.number_format.percent:
            yield Problem(
                _column(contract, column),
                "a cell that shows 12% holds the number 0.12: remove `percent` from the numberFormat",
            )


def _of_rules(contract: Contract) -> Iterator[Problem]:
    names = Counter(check.name for check in contract.checks)
    for name in sorted(name for name, times in names.items() if times > 1):
        yield Problem(_TABLE, f"names of checks must be unique: {name!r} occurs {names[name]} times")
    for rule in contract.row_rules:
        for word in sorted(rule.words - _SQL_WORDS.union(contract.names)):
            yield Problem(
                _TABLE,
                f"the names in a row rule must be columns of the contract, but {word!r} in {rule.name!r} is not: "
                f"{likeliest(word, frozenset(contract.names))}",
            )
