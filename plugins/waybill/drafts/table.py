"""Write what the files show about a table as a contract: its columns, key and load, each doubt at its line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from waybill.contracts import Column
from waybill.contracts.file_format import UNDECLARED
from waybill.contracts.namesakes import first_sentence
from waybill.contracts.standard import Steps
from waybill.drafts.column import DraftColumn
from waybill.drafts.documents import document_of
from waybill.drafts.draft_type import DraftType
from waybill.drafts.formats import FoundFormat
from waybill.drafts.keys import Key
from waybill.drafts.layout import to_yaml
from waybill.drafts.rows import FileRows
from waybill.formatting import count, in_series, part_of

_REJECTED_PCT: Final = 5
_FEW_ROWS: Final = 100
_REASONS: Final = 5
"""Number of reasons that are named for a file."""
_TABLE: Final[Steps] = ("schema", 0)
_REPAIRABLE: Final = ("quote", "ragged")
LANDED: Final = "landed_on"
_LANDING_DAY: Final = "Landing day of the first file with the row, in the business time zone; computed, not delivered."
_OCCURRENCE: Final = "Numbers the rows of a file with equal values in the rest of the key; computed, not delivered."
_WITHOUT_LANDING_DAY: Final = "remove landingDayColumn and its column"
_CHANGED: Final = re.compile(r"(?:last_)?(?:updated|modified|changed)(?:_?(?:at|on|date|time|ts|timestamp))?|version")


@dataclass
class DraftTable:
    """A drafted contract."""

    domain: str
    dataset: str
    form: FoundFormat
    files: list[FileRows]
    columns: list[DraftColumn]
    key: Key
    shared_keys: tuple[int, int]
    """How many keys occur in several files, and how many there are; (0, 0) for one file."""
    same_landed: Column | None = None
    """The landing day of another dataset of the domain."""
    purpose: str | None = None
    """The description in an imported contract."""
    contradictions: list[str] = field(default_factory=list)
    """What an imported contract says that the files do not show."""

    @property
    def rows(self) -> int:
        """Return the number of rows of all files."""
        return sum(file.rows for file in self.files)

    @cached_property
    def _names(self) -> set[str]:
        return {column.name for column in self.columns}

    def _free(self, name: str) -> str:
        return name if name not in self._names else self._free(f"{name}_of_file")

    @property
    def text(self) -> str:
        """Return the contract as YAML."""
        key, last = self.key.columns, []
        if not self.key.is_unique:
            last.append(
                {
                    "name": self._occurrence,
                    "description": _OCCURRENCE,
                    **DraftType("integer").declared,
                    "primaryKey": True,
                    "primaryKeyPosition": len(key) + 1,
                    "required": True,
                }
            )
        landed = first_sentence(self.same_landed.description) if self.same_landed else _LANDING_DAY
        last.append({"name": self._landed, "description": landed, **DraftType("date").declared, "required": True})
        columns = [column.document(key, has_rows=self.rows > 0) for column in self.columns]
        document = document_of(
            self.domain,
            self.dataset,
            [*columns, *last],
            custom=self._custom,
            file_format=self.form.format,
            purpose=self.purpose or f"Write what {self.dataset} holds.",
            grain=f"One row per {in_series([*key, *([] if self.key.is_unique else [self._occurrence])])}.",
        )
        comments: dict[Steps, list[str]] = {(): [self._origin], ("servers",): [*self.form.evidence]}
        for name, doubt in self._doubts():
            comments.setdefault(self._place(name), []).append(f"check: {doubt}")
        for position, column in enumerate(self.columns):
            here = (*_TABLE, "properties", position)
            for name, doubts in column.doubts.items():
                place = (*here, name) if name in columns[position] else here
                comments.setdefault(place, []).extend(f"check: {doubt}" for doubt in doubts)
        return to_yaml(document, comments)

    @property
    def _origin(self) -> str:
        names = ", ".join(file.name for file in self.files[:3]) + (" and others" if len(self.files) > 3 else "")
        return (
            f"Drafted from {names}: {count(self.rows, 'row')}. "
            "Resolve each comment that begins with check, and remove it."
        )

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """Return each doubt, with the column or the property of the table that it is about."""
        of_columns = ((column.name, doubts) for column in self.columns for doubts in column.doubts.values())
        return [*self._doubts(), *((name, doubt) for name, doubts in of_columns for doubt in doubts)]

    @property
    def _custom(self) -> dict[str, Any]:
        """Return the custom properties of the table."""
        return {
            "loadMode": "merge",
            "landingDayColumn": self._landed,
            **({} if self.key.is_unique else {"occurrenceColumn": self._occurrence}),
            "rejectThresholdPct": self._threshold,
        }

    @property
    def _landed(self) -> str:
        return self._free(LANDED)

    @property
    def _occurrence(self) -> str:
        return self._free("occurrence")

    @property
    def _threshold(self) -> int:
        """Return the percentage of rejected rows that lets every given file load."""
        worst = max((100 * file.rejected / file.rows for file in self.files if file.rows), default=0)
        return max(_REJECTED_PCT, math.ceil(worst))

    def _place(self, name: str) -> Steps:
        """Return the place of a property of the table in the document."""
        if name in self._custom:
            return (*_TABLE, "customProperties", [*self._custom].index(name))
        return (name,) if name in ("servers", "schema") else (*_TABLE, name)

    def _doubts(self) -> Iterator[tuple[str, str]]:
        """Yield the doubts about the table, each with the property that it is about."""
        of_format = "servers" if self.form.format != UNDECLARED else "schema"
        yield from ((of_format, f"{doubt[0].lower()}{doubt[1:]}") for doubt in self.form.doubts)
        yield from (("rejectThresholdPct", text) for text in self._of_rejects())
        yield from (("loadMode", text) for text in self._of_load_mode())
        yield from (("landingDayColumn", text) for text in self._of_period())
        yield from (("dataGranularityDescription", text) for text in self._of_key())
        yield from (("properties", text) for text in self.contradictions)
        if self.rows < _FEW_ROWS:
            yield "properties", f"`required` and the types are based on only {count(self.rows, 'row')}."

    def _of_rejects(self) -> Iterator[str]:
        for file in self.files:
            if file.rejected:
                reasons = ", ".join(
                    f"{rule.reason} ({rule.rows:,}, first in record {rule.first[0].record:,})"
                    for rule in file.broken[:_REASONS]
                )
                kinds = {rule.reason for rule in file.broken}
                advice = "" if kinds.isdisjoint(_REPAIRABLE) else " The server's `repairs` can read some of them."
                if "json" in kinds:
                    advice += " A JSON record is an object that names each column once, in any case."
                rejected = count(file.rejected, "rejected row")
                yield f"{file.name} has {rejected} of {file.rows:,}: {reasons}.{advice}"
                for rule in file.broken:
                    if rule.reason == "header":
                        first = f"record {rule.first[0].record:,} of {file.name}"
                        yield f"{first} repeats the header: the records below may be another table."

    def _of_key(self) -> Iterator[str]:
        key = self.key
        if key.is_guess:
            yield "the files have no rows, so the key is a guess."
            return
        if not key.is_unique:
            tried = "no combination of up to three columns that may be a key identifies a row"
            if key.columns:
                yield f"{tried}, so rows with equal values in {in_series(key.columns)} are numbered in file order."
            else:
                yield f"{tried}, and every column has absent values, so the rows of each file are numbered."
            if key.measures:
                yield (
                    f"columns that differ in every row, but look like measures: {', '.join(key.measures)}. If one "
                    "identifies a row, make it the primaryKey, and remove occurrenceColumn and its column."
                )
        elif key.is_weak:
            yield f"the key is unique in {count(self.rows, 'row')}, but it does not look like an identifier."
        if key.others:
            others = "; ".join(", ".join(columns) for columns in key.others)
            yield f"other unique keys: {others}."
        if key.repeated:
            result = "" if key.is_unique else ", which are loaded as rows of their own"
            rows = count(key.repeated, "duplicate row")
            yield f"the files have {rows}, equal to an earlier row in every column{result}."

    def _of_load_mode(self) -> Iterator[str]:
        shared, keys = self.shared_keys
        fact = "a row in a later file replaces the row with the same key"
        if shared * 10 >= keys * 9 > 0:
            fact = f"{part_of(shared, keys, 'key', 'occurs')} in several files"
        yield f"{fact}. If each file contains the whole table, write snapshot, and {_WITHOUT_LANDING_DAY}."
        versions = (
            one.name
            for one in self.columns
            if (one.type.is_moment or one.type.physical in ("integer", "bigint"))
            and one.nulls == 0
            and _CHANGED.fullmatch(one.name)
            and one.name not in self.key.columns
        )
        if version := next(versions, None):
            yield (
                f"if files contain versions of rows, write changes, add {{property: versionColumn, value: {version}}} "
                f"and a periodColumn, and {_WITHOUT_LANDING_DAY}."
            )

    def _of_period(self) -> Iterator[str]:
        moments = (one for one in self.columns if one.type.is_moment and one.nulls == 0 and not one.personal)
        column = next(moments, None)
        if column is None:
            return
        yield (
            "files can land at any time. If each file covers one day or month, replace this line with "
            f"{{property: periodColumn, value: {column.name}}}, and remove the column {self._landed}."
        )
        if column.days > 1:
            yield (
                f"with this periodColumn, rows of earlier periods are rejected as too_late, and one file spans "
                f"{column.days:,} days. If each file covers a month, write the frequency {{value: 1, unit: months}}. "
                f"Otherwise, add {{property: lookbackPeriods, value: {column.days - 1}}} or more. With both "
                "landingDayColumn and periodColumn, rows belong to the day in the periodColumn, and none is too late."
            )
