"""Scan the XML of a workbook with bounded memory, independently of the library that reads its values.

The scan counts the rows, and finds the cells that the library returns empty or as another value.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from xml.parsers import expat

from waybill.blanks import strip
from waybill.errors import DataError
from waybill.files.unpacking import CHUNK_BYTES, limited
from waybill.files.zip_archives import named_errors

Attributes = Mapping[str, str]

_LAST: Final = 2**20
_CELL: Final = re.compile(r"([A-Z]+)([0-9]+)")
_AREA: Final = re.compile(r"([A-Z]+)([0-9]+):([A-Z]+)([0-9]*)")


class Area(NamedTuple):
    """A range of cells; rows and columns count from 1 and include the last ones."""

    first_row: int = 1
    first_column: int = 1
    last_row: int = _LAST
    last_column: int = _LAST

    @classmethod
    def named(cls, cells: str | None) -> Area:
        """Return a declared range such as `B3:F` or `A1:D200`; None: all cells."""
        if cells is None:
            return cls()
        found = _AREA.fullmatch(cells)
        assert found, "the contract is checked"
        first, top, last, bottom = found.groups()
        return cls(int(top), _number(first), int(bottom or _LAST), _number(last))

    def below(self, rows: int) -> Area:
        """Return the area without its first rows."""
        return self._replace(first_row=self.first_row + rows)

    def holds(self, row: int, column: int) -> bool:
        """Return whether a cell is in the area."""
        return self.first_row <= row <= self.last_row and self.first_column <= column <= self.last_column


def cell_name(row: int, column: int) -> str:
    """Return the name of a cell, such as `B3`."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


@lru_cache
def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


@dataclass
class Box:
    """The smallest range that has all values."""

    first_row: int = _LAST
    last_row: int = 0
    first_column: int = _LAST
    last_column: int = 0

    def extend(self, row: int, column: int) -> None:
        """Add a cell."""
        if not self.first_row <= row <= self.last_row:
            self.first_row, self.last_row = min(self.first_row, row), max(self.last_row, row)
        if not self.first_column <= column <= self.last_column:
            self.first_column, self.last_column = min(self.first_column, column), max(self.last_column, column)

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return max(self.last_row - self.first_row + 1, 0) * max(self.last_column - self.first_column + 1, 0)


@dataclass
class Scan:
    """What a scan found in an area of a sheet. Cells are pairs of row and column."""

    rows: int = 0
    """Number of rows with a value that does not consist of blanks."""
    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    """The texts of cells with an error, such as `#N/A`."""
    odd_numbers: dict[tuple[int, int], str] = field(default_factory=dict)
    """Numbers that are no time of day and no date: negative ones and day 60, 29 February 1900."""
    with_fractions: set[int] = field(default_factory=set)
    """The columns that have a number with a fraction; if they are dates, they have times."""
    without_value: dict[int, list[int]] = field(default_factory=dict)
    """For each row with formulas without a stored value their columns."""
    below: set[int] = field(default_factory=set)
    """The rows below the area that have values in its columns."""
    area: Box = field(default_factory=Box)
    """The values in the area."""
    sheet: Box = field(default_factory=Box)
    """The values in the whole sheet."""


class WorkbookXml:
    """The parts of a workbook in the format .xlsx."""

    def __init__(self, name: str, path: Path) -> None:
        """Raises `DataError` if the workbook is corrupt. `name` is its name for messages."""
        self._name, self._path = name, path
        self._blank_strings: set[str] | None = None
        relations = {one.get("Id"): one for one in self._elements("xl/_rels/workbook.xml.rels", "Relationship")}
        self.sheets: dict[str, str] = {}
        """For each sheet with cells the name of its part."""
        self.hidden: list[str] = []
        """The names of sheets that Excel does not show."""
        for sheet in self._elements("xl/workbook.xml", "sheet"):
            identifier = next((value for key, value in sheet.items() if key.endswith(" id")), None)
            relation = relations.get(identifier, {})
            if relation.get("Type", "").endswith("/worksheet"):
                self.sheets[sheet.get("name", "")] = _part(relation)
                if sheet.get("state", "visible") != "visible":
                    self.hidden.append(sheet.get("name", ""))
        shared = (_part(one) for one in relations.values() if one.get("Type", "").endswith("/sharedStrings"))
        self._shared_strings = next(shared, None)

    def has_values(self, sheet: str) -> bool:
        """Return whether a sheet has a value; reads no further than the first one."""
        found = False

        def stop(_row: int, _column: int, _kind: str, _value: str, _is_formula: bool) -> bool:
            nonlocal found
            found = True
            return True

        self._parse(self.sheets[sheet], _Cells(stop, self._blanks()))
        return found

    def scan(self, sheet: str, area: Area) -> Scan:
        """Return what is in an area of a sheet. Raises `DataError` if the sheet is corrupt."""
        found, last, last_row = Scan(), (0, 0), 0

        def note(row: int, column: int, kind: str, value: str, is_formula: bool) -> bool:
            nonlocal last, last_row
            if row == last[0] and column <= last[1]:  # the reader would keep one of two values
                raise ValueError(f"the cell {cell_name(row, column)} occurs twice or after a cell to its right")
            last = row, column
            found.sheet.extend(row, column)
            if not area.holds(row, column):
                if row > area.last_row and area.first_column <= column <= area.last_column:
                    found.below.add(row)
                return False
            found.area.extend(row, column)
            if is_formula and not value:
                found.without_value.setdefault(row, []).append(column)
            if kind == "e":
                found.errors[row, column] = value
            elif kind == "n":
                if value[:1] == "-" or value == "60" or value.startswith("60."):
                    found.odd_numbers[row, column] = value
                if "." in value:
                    found.with_fractions.add(column)
            if row != last_row:
                found.rows += 1
                last_row = row
            return False

        self._parse(self.sheets[sheet], _Cells(note, self._blanks()))
        return found

    def _elements(self, part: str, name: str) -> list[Attributes]:
        """Return the attributes of the elements of a name in a part."""
        handler = _Elements(name)
        self._parse(part, handler)
        return handler.found

    def _chunks(self, archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
        with archive.open(part) as stream:
            yield from limited(self._name, self._path.stat().st_size, iter(lambda: stream.read(CHUNK_BYTES), b""))

    def _blanks(self) -> set[str]:
        """Return the numbers of the shared strings that consist of blanks."""
        if self._blank_strings is None:
            strings = _SharedStrings()
            if self._shared_strings:
                self._parse(self._shared_strings, strings)
            self._blank_strings = strings.blank
        return self._blank_strings

    def _parse(self, part: str, handler: _Handler) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = handler.start
        parser.EndElementHandler = handler.end
        parser.CharacterDataHandler = handler.text
        parser.StartDoctypeDeclHandler = handler.refuse
        with named_errors(self._name), zipfile.ZipFile(self._path) as archive:
            try:
                for chunk in self._chunks(archive, part):
                    parser.Parse(chunk)
                    if handler.is_done:
                        return
                parser.Parse(b"", True)
            except KeyError:
                raise self._corrupt(f"{part} is missing") from None
            except (expat.ExpatError, ValueError) as error:
                raise self._corrupt(f"{part}: {error}") from error

    def _corrupt(self, reason: str) -> DataError:
        return DataError(f"{self._name}: the workbook is corrupt ({reason}). Send the file again.")


def _is_blank(text: str) -> bool:
    return not text[:1].isalnum() and not strip(text)


def _part(relation: Attributes) -> str:
    """Return the name of the part to which a relation of the workbook leads."""
    return posixpath.normpath(posixpath.join("/xl", relation.get("Target", ""))).lstrip("/")


class _Handler(ABC):
    """Collects the text of some elements."""

    is_done = False

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._collects = False

    @abstractmethod
    def start(self, name: str, attributes: Attributes) -> None: ...

    def end(self, name: str) -> None:  # noqa: B027  # most handlers need no end
        pass

    def text(self, text: str) -> None:
        if self._collects:
            self._texts.append(text)

    def refuse(self, *_declaration: object) -> None:
        raise ValueError("it has a document type")


class _Elements(_Handler):
    """Collects the attributes of the elements of a name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = f" {name}"
        self.found: list[Attributes] = []

    def start(self, name: str, attributes: Attributes) -> None:
        if name.endswith(self._name):
            self.found.append(attributes)


class _Cells(_Handler):
    """Calls `note` for each cell whose value does not consist of blanks, until it returns True."""

    def __init__(self, note: Callable[[int, int, str, str, bool], bool], blank_strings: set[str]) -> None:
        super().__init__()
        self._note, self._blank_strings = note, blank_strings
        self._row = self._column = 0
        self._kind, self._is_formula = "n", False

    def start(self, name: str, attributes: Attributes) -> None:
        element = name.rpartition(" ")[2]
        if element in ("v", "t"):
            self._collects = True
        elif element == "c":
            self._texts.clear()
            self._kind, self._is_formula = attributes.get("t", "n"), False
            place = _CELL.fullmatch(attributes.get("r", ""))
            self._column = _number(place[1]) if place else self._column + 1
        elif element == "f":
            self._is_formula = True
        elif element == "row":
            self._row, self._column = int(attributes.get("r", self._row + 1)), 0

    def end(self, name: str) -> None:
        self._collects = False
        if not name.endswith(" c") or self.is_done:
            return
        value = "".join(self._texts)
        is_blank = value in self._blank_strings if self._kind == "s" else _is_blank(value)
        if not is_blank or (self._is_formula and self._kind != "str"):
            self.is_done = self._note(self._row, self._column, self._kind, value, self._is_formula)


class _SharedStrings(_Handler):
    """Finds the shared strings that consist of blanks."""

    def __init__(self) -> None:
        super().__init__()
        self.blank: set[str] = set()
        self._strings = 0

    def start(self, name: str, _attributes: Attributes) -> None:
        if name.endswith(" si"):
            self._texts.clear()
        self._collects = name.endswith(" t")

    def end(self, name: str) -> None:
        self._collects = False
        if name.endswith(" si"):
            if _is_blank("".join(self._texts)):
                self.blank.add(str(self._strings))
            self._strings += 1
