"""Write what the files show about a table as a contract: its columns, key and load, each doubt at its line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from waybill.blanks import strip
from waybill.contracts import Column
from waybill.contracts.file_format import UNDECLARED
from waybill.contracts.namesakes import first_sentence
from waybill.contracts.standard import Steps
from waybill.drafts.documents import document_of
from waybill.drafts.formats import FoundFormat
from waybill.drafts.keys import MOMENTS, Candidate, Key
from waybill.drafts.layout import one_line, to_yaml
from waybill.drafts.names import needs_synonym
from waybill.drafts.references import Reference
from waybill.drafts.rows import FileRows
from waybill.drafts.types import Choice
from waybill.files.spellings import normalise
from waybill.formatting import count

_REJECTED_PCT: Final = 5
_FEW_ROWS: Final = 100
_REASONS: Final = 5
"""Number of reasons that are named for a file."""
_TABLE: Final[Steps] = ("schema", 0)
_REPAIRABLE: Final = ("quote", "ragged")
LANDED: Final = "landed_on"
_LANDING_DAY: Final = "Landing day of the first file with the row, in the business time zone; computed, not delivered."
_CHANGED: Final = re.compile(r"(?:last_)?(?:updated|modified|changed)(?:_?(?:at|on|date|time|ts|timestamp))?|version")


@dataclass
class DraftColumn:
    """A column of the drafted contract, and what the files show about it."""

    name: str
    header: str
    """The name as files write it; empty if they have none."""
    spelling: str
    """The name by which files match the column; empty if they do by order."""
    choice: Choice
    distinct: int
    longest: int
    """The length of the longest value."""
    shape: str
    personal: str | None
    """What the column holds, if it looks personal."""
    vocabulary: list[str]
    is_clean: bool
    """Whether a key may have all values: none has invisible characters."""
    reference: Reference | None = None
    """The key of another dataset to which the column may refer."""
    namesake: Column | None = None
    """A column of another dataset with the same name and type."""
    days: int = 0
    """Of a date or an instant: the largest number of days from the first to the last value of a file."""
    nulls: int = 0
    """Number of rows without a value, after null words were read."""
    said: dict[str, str] = field(default_factory=dict)
    """Properties that an imported contract has."""

    @property
    def synonyms(self) -> dict[str, Any]:
        """Return the synonym that files need to match the column."""
        is_needed = self.spelling and needs_synonym(self.name, self.spelling)
        return {"synonyms": [{"synonym": self.spelling}]} if is_needed else {}

    @property
    def relationships(self) -> dict[str, Any]:
        """Return the reference, if the other dataset has every value."""
        found = self.reference
        return {"relationships": [{"to": found.name}]} if found and found.is_confirmed else {}

    @property
    def normal_names(self) -> set[str]:
        """Return the names by which other contracts may know the column, as files match names."""
        return {normalise(self.header), normalise(self.name)}

    @property
    def candidate(self) -> Candidate:
        """Return the column as a part of the key."""
        is_complete = self.nulls == 0 and self.is_clean
        return Candidate(
            self.name, self.choice.kind, self.distinct, is_complete, self.longest, is_named=bool(strip(self.header))
        )

    @property
    def checks(self) -> dict[str, list[str]]:
        """Return the doubts about the column by the property that they are about."""
        found = {place: [*texts] for place, texts in self.choice.checks.items()}
        if self.personal:
            found["classification"] = [
                f"the values look like {self.personal}. Remove the line if they are not personal."
            ]
        if self.reference:
            place, doubts = _of_reference(self.reference)
            found[place] = doubts
        if self.vocabulary:
            enum = one_line([{"value": word} for word in self.vocabulary])
            found.setdefault("physicalType", []).append(
                f"{len(self.vocabulary)} different values. If there can be no others, add: enum: {enum}"
            )
        return found

    def description(self, *, is_key: bool) -> str:
        """Return a sentence that says what is to be written, or the first one of the column's namesake."""
        if self.namesake and self.namesake.description:
            return first_sentence(self.namesake.description)
        if is_key:
            return f"Write what {self.name} identifies."
        kind = self.choice.kind
        if kind.startswith(("numeric", "double", "real")):
            return f"Write what {self.name} measures, and its unit."
        if kind in ("date", "timestamptz", "timestamp", "time"):
            return f"Write what happens at {self.name}."
        return f"Write what {self.name} means."


def _listed(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _of_reference(found: Reference) -> tuple[str, list[str]]:
    """Return the place of a doubt about a reference, and the doubt."""
    if found.is_confirmed:
        text = f"all {found.values:,} values are in {found.name}. Rows with other values will be rejected."
        return "relationships", [text]
    missing = "" if found.values is None else f" {found.missing:,} of {found.values:,} values are not there yet."
    text = (
        f"{found.name} has a like name and the same type.{missing} If each value must be there, add: "
        f"relationships: [{{to: {found.name}}}]"
    )
    return "relationships", [text]


@dataclass
class DraftTable:
    """A drafted contract."""

    domain: str
    dataset: str
    form: FoundFormat
    files: list[FileRows]
    columns: list[DraftColumn]
    key: Key | None
    """None if there are no rows."""
    shared_keys: Mapping[str, int] | None
    """How many keys occur in several files, and how many there are."""
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
    def _key_columns(self) -> list[str]:
        """Return the delivered columns of the key; without rows, the first column is a guess."""
        return [*self.key.columns] if self.key else [self.columns[0].name]

    @property
    def text(self) -> str:
        """Return the contract as YAML."""
        landed, occurrence, is_unique = self._landed, self._occurrence, self._is_unique
        columns = [self._column(column) for column in self.columns]
        if not is_unique:
            columns.append(
                {
                    "name": occurrence,
                    "description": "Numbers the rows of a file with equal values in the rest of the key; computed, not "
                    "delivered.",
                    "logicalType": "integer",
                    "physicalType": "integer",
                    "primaryKey": True,
                    "primaryKeyPosition": len(self._key_columns) + 1,
                    "required": True,
                }
            )
        columns.append(
            {
                "name": landed,
                "description": first_sentence(self.same_landed.description) if self.same_landed else _LANDING_DAY,
                "logicalType": "date",
                "physicalType": "date",
                "required": True,
            }
        )
        document = document_of(
            self.domain,
            self.dataset,
            columns,
            custom=self._custom,
            file_format=self.form.format,
            purpose=self.purpose or f"Write what {self.dataset} holds.",
            grain=f"One row per {_listed([*self._key_columns, *([] if is_unique else [occurrence])])}.",
        )
        comments: dict[Steps, list[str]] = {(): [self._origin]}
        comments[("servers",)] = [*self.form.evidence]
        for place, check in self._checks():
            comments.setdefault(place, []).append(f"check: {check}")
        for position, column in enumerate(self.columns):
            here = (*_TABLE, "properties", position)
            for name, checks in column.checks.items():
                place = (*here, name) if name in columns[position] else here
                comments.setdefault(place, []).extend(f"check: {check}" for check in checks)
        return to_yaml(document, comments)

    @property
    def _origin(self) -> str:
        names = ", ".join(file.name for file in self.files[:3]) + (" and others" if len(self.files) > 3 else "")
        return (
            f"Drafted from {names}: {count(self.rows, 'row')}. "
            "Decide each comment that begins with check, and remove it."
        )

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """Return each doubt, with the column or the property of the table that it is about."""
        of_table = [
            (str(place[-1]) if isinstance(place[-1], str) else [*self._custom][place[-1]], text)
            for place, text in self._checks()
        ]
        return of_table + [
            (column.name, text) for column in self.columns for texts in column.checks.values() for text in texts
        ]

    @property
    def _custom(self) -> dict[str, Any]:
        """Return the custom properties of the table."""
        return {
            "loadMode": "merge",
            "landingDayColumn": self._landed,
            **({} if self._is_unique else {"occurrenceColumn": self._occurrence}),
            "rejectThresholdPct": self._threshold,
        }

    @property
    def _is_unique(self) -> bool:
        return self.key is not None and self.key.is_unique

    @property
    def _landed(self) -> str:
        return self._free(LANDED)

    @property
    def _occurrence(self) -> str:
        return self._free("occurrence")

    def _column(self, column: DraftColumn) -> dict[str, Any]:
        is_key = column.name in self._key_columns
        has_heading = column.header != column.name and bool(strip(column.header))
        declared = dict(column.choice.declared)
        custom = declared.pop("customProperties", None)
        return {
            "name": column.name,
            **({"businessName": strip(column.header)} if has_heading else {}),
            "description": column.description(is_key=is_key),
            **declared,
            **({"primaryKey": True, "primaryKeyPosition": self._key_columns.index(column.name) + 1} if is_key else {}),
            **({"required": True} if is_key or (column.nulls == 0 and self.rows) else {}),
            **({"classification": "restricted"} if column.personal else {}),
            **column.synonyms,
            **column.relationships,
            **({"customProperties": custom} if custom else {}),
            **column.said,
        }

    @property
    def _threshold(self) -> int:
        """Return the percentage of rejected rows that lets every given file load."""
        worst = max((100 * file.rejected / file.rows for file in self.files if file.rows), default=0)
        return max(_REJECTED_PCT, math.ceil(worst))

    def _checks(self) -> Iterator[tuple[Steps, str]]:
        """Yield the doubts about the table, each with its place."""
        places: dict[str, Steps] = {
            name: (*_TABLE, "customProperties", place) for place, name in enumerate(self._custom)
        }
        place = ("servers",) if self.form.format != UNDECLARED else ("schema",)
        yield from ((place, f"{doubt[0].lower()}{doubt[1:]}") for doubt in self.form.doubts)
        yield from ((places["rejectThresholdPct"], text) for text in self._of_rejects())
        yield from ((places["loadMode"], text) for text in self._of_load_mode())
        yield from ((places["landingDayColumn"], text) for text in self._of_period())
        yield from (((*_TABLE, "dataGranularityDescription"), text) for text in self._of_key())
        yield from (((*_TABLE, "properties"), text) for text in self.contradictions)
        if self.rows < _FEW_ROWS:
            text = f"`required` and the types rest on {count(self.rows, 'row')} only."
            yield (*_TABLE, "properties"), text

    def _of_rejects(self) -> Iterator[str]:
        for file in self.files:
            if file.rejected:
                reasons = ", ".join(
                    f"{rule.reason} ({rule.rows:,}, first in record {rule.first[0].record:,})"
                    for rule in file.broken[:_REASONS]
                )
                kinds = {rule.reason for rule in file.broken}
                advice = "" if kinds.isdisjoint(_REPAIRABLE) else " The server's `repairs` may read some of them."
                yield f"{count(file.rejected, 'row')} of {file.rows:,} in {file.name} are rejected: {reasons}.{advice}"

    def _of_key(self) -> Iterator[str]:
        key = self.key
        if key is None:
            yield "the files have no rows, so the key is a guess."
            return
        if not key.is_unique:
            tried = "no column that may be a key identifies a row, nor do two or three of them"
            if self._key_columns:
                yield f"{tried}, so rows that agree in {', '.join(self._key_columns)} are numbered by their order."
            else:
                yield f"{tried}, and every column has rows without a value, so the rows of a file are numbered."
            if key.measures:
                yield (
                    f"{_listed(key.measures)} differ in every row, but look like measures. If one identifies a row, "
                    "make it the primaryKey, and remove occurrenceColumn and its column."
                )
        elif key.is_weak:
            yield f"the key holds in all {self.rows:,} rows, but it does not look like an identifier."
        if key.others:
            others = "; ".join(", ".join(columns) for columns in key.others)
            yield f"other keys that hold in every row: {others}."
        if key.repeated and key.is_unique:
            yield f"{count(key.repeated, 'row')} repeat an earlier row in every column and count as duplicates."

    def _of_load_mode(self) -> Iterator[str]:
        shared = self.shared_keys
        if shared and shared["shared"] * 10 >= shared["keys"] * 9:
            yield (
                f"{shared['shared']:,} of {shared['keys']:,} keys occur in several files. If each file is the whole "
                "state, write snapshot, and remove landingDayColumn and its column."
            )
        else:
            yield (
                "a row of a later file replaces the row with the same key. If each file is the whole state of the "
                "table, write snapshot, and remove landingDayColumn and its column."
            )
        for column in self.columns:
            if (
                column.choice.kind in (*MOMENTS, "integer", "bigint")
                and column.nulls == 0
                and _CHANGED.fullmatch(column.name)
                and column.name not in self._key_columns
            ):
                yield (
                    "if files bring versions of rows, write changes, add "
                    f"{{property: versionColumn, value: {column.name}}} and a periodColumn, and remove "
                    "landingDayColumn and its column."
                )
                return

    def _of_period(self) -> Iterator[str]:
        column = next(
            (
                one
                for one in self.columns
                if one.choice.kind in MOMENTS and one.nulls == 0 and not one.personal and one.name != self._landed
            ),
            None,
        )
        if column is None:
            return
        yield (
            "files land at any time. If each file is for one day or month, write "
            f"{{property: periodColumn, value: {column.name}}} in place of this line, and remove the column."
        )
        if column.days > 1:
            yield (
                f"with this periodColumn, rows of earlier periods are rejected as too_late, and a file has rows of "
                f"{column.days:,} days. Write the frequency {{value: 1, unit: months}} if each file is for a month, or "
                f"add {{property: lookbackPeriods, value: {column.days - 1}}} or more. With both landingDayColumn and "
                "periodColumn, rows have the days of the periodColumn, but none are rejected for their day."
            )
