"""Charts as tables: which cells of a table a script draws, and how. Without the script, the table is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from waybill.contracts import Column, Contract
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.display import cell
from waybill.formatting import text
from waybill.views import catalog

Kind = Literal["bars", "funnel", "heatmap", "line"]
_NOT_MEASURES = ("_id", "_rank", "_number", "_score")
_NO_FILTERS = frozenset({"cadence", "step", "table_name", "column_name"})
_LEVELS = ("Low", "Mid", "High")


@dataclass(frozen=True)
class Heading:
    """The heading of a column."""

    text: str
    unit: str = ""
    """What follows its values in a chart."""
    is_numeric: bool = True
    is_drawn: bool = False
    """Whether the chart shows its values: each drawn column of a line is a small chart."""
    is_named: bool = False
    """Whether it has identifiers whose names are in another column. Phones leave it out."""

    @property
    def classes(self) -> str:
        """The classes of its cells."""
        return " ".join(["number"] * self.is_numeric + ["named"] * self.is_named)


@dataclass(frozen=True)
class Row:
    """A row, and what a chart shows of it."""

    cells: list[str]
    label: str = ""
    """Its name in the chart; empty if the chart leaves it out."""
    values: Mapping[int, Any] = field(default_factory=dict)
    """The numbers of the drawn columns, by place."""
    note: str = ""
    """What follows the value: a level, or a coverage such as `27 of 30 days`."""
    group: str = ""
    """The small chart that shows it; empty if there is only one."""
    day: date | None = None
    """Its place on a line."""
    pick: tuple[str, str] | None = None
    """The (column, value) by which the page is filtered when one chooses the row in the chart."""
    link: str = ""
    """The address of the rows behind it; empty on the site."""


@dataclass(frozen=True)
class Chart:
    """A table, and how a script draws it."""

    headings: list[Heading]
    rows: list[Row]
    kind: Kind | None = None
    """None for a table without a chart."""

    @property
    def drawn(self) -> list[Row]:
        """The rows that the chart shows."""
        return [row for row in self.rows if row.label] if self.kind else []

    @property
    def linked(self) -> int:
        """The place of the column whose cells link to the rows behind a row: the first that every screen shows."""
        return next((place for place, one in enumerate(self.headings) if not one.is_named), 0)

    @property
    def has_parts(self) -> bool:
        """Whether it is drawn as several small charts."""
        lines = len([one for one in self.headings if one.is_drawn]) if self.kind == "line" else 0
        return lines > 1 or len({row.group for row in self.drawn}) > 1


def measures(contract: Contract) -> list[Column]:
    """Return the numeric columns of a report that are neither keys nor identifiers, ranks, numbers or scores."""
    return [
        column
        for column in contract.columns
        if column.logical_type in ("integer", "number")
        and column.key_position is None
        and not column.name.endswith(_NOT_MEASURES)
    ]


def filter_columns(contract: Contract) -> list[Column]:
    """Return the columns of a report that a page can be filtered by: texts that are not restricted."""
    return [
        column
        for column in contract.columns
        if column.logical_type == "string" and column.classification != RESTRICTED and column.name not in _NO_FILTERS
    ]


def label_columns(contract: Contract) -> list[str]:
    """Return the columns that label a row: names rather than identifiers."""
    found = [_name_column(contract, name) or name for name in contract.key[1:]]
    if "step" in contract.names:
        found = ["step"]
    return [name for name in found if name != "cadence" and name != group_column(contract)]


def _name_column(contract: Contract, column: str) -> str | None:
    """Return the column with the names of a column of identifiers, such as `product_name` of `product_id`."""
    name = f"{column.removesuffix('_id')}_name"
    return name if column.endswith("_id") and name in contract.names else None


def group_column(contract: Contract) -> str | None:
    """Return the column within whose values the rows are ranked; None if there is none, or it is an identifier."""
    inner = rank_within(contract)
    return None if inner is None or inner.endswith("_id") else inner


def rank_within(contract: Contract) -> str | None:
    """Return the column within whose values the rows are ranked; None if the rank spans all rows."""
    ranks = [name for name in contract.names if name.endswith("_rank")]
    return contract.key[1] if len(ranks) == 1 and len(contract.key) > 2 and contract.key[1] != ranks[0] else None


def label_of(contract: Contract, row: Mapping[str, Any]) -> str:
    """Return the label of a row: its names, or its key if a name is missing."""
    names = label_columns(contract)
    if any(row[name] is None for name in names):
        names = [name for name in contract.key[1:] if name != "cadence"]
    headings = {column.name: catalog.column_heading(column) for column in contract.columns}
    # Only the first identifier has its name in front: a second name would push the value out of sight.
    columns = {column.name: column for column in contract.columns}
    parts = [
        f"{headings[name]} {row[name]}"
        if name.endswith("_id") and place == 0
        else _words(columns[name], row[name])
        if columns[name].enum
        else str(row[name])
        for place, name in enumerate(names)
    ]
    return " · ".join(parts)


def _words(column: Column, value: Any) -> str:
    """Return a value as text; a code such as `add_to_cart` of a declared list in words: `Add to cart`."""
    is_code = bool(column.enum) and isinstance(value, str) and value.islower() and value.isascii()
    return catalog.heading(value) if is_code else cell(column, value)


def table(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return rows of a report as a table without a chart and without the period."""
    shown = [column for column in contract.columns if column.name not in (contract.key[0], "cadence")]
    shown = shown or list(contract.columns)
    headings = [
        Heading(
            catalog.column_heading(column, contract),
            is_numeric=column.logical_type in ("integer", "number"),
            is_named=_name_column(contract, column.name) is not None,
        )
        for column in shown
    ]
    return Chart(headings, [Row([_words(column, row[column.name]) for column in shown]) for row in rows])


def bars(contract: Contract, measure: Column, rows: Sequence[Mapping[str, Any]], limit: int) -> Chart:
    """Return rows of a report as a table, with bars for the first ones that have a value.

    Rows that are ranked within groups have a small chart for each group.
    """
    listed, names = table(contract, rows), [column.name for column in contract.columns]
    place = [name for name in names if name not in (contract.key[0], "cadence")].index(measure.name)
    headings = [*listed.headings]
    headings[place] = replace(headings[place], unit=catalog.unit_in(contract, measure.name), is_drawn=True)
    level = next((name for name in names if name.endswith("_category") and measure.name.startswith(name[:-9])), None)
    group = group_column(contract)
    can_pick = {column.name for column in filter_columns(contract)}
    picked = next((name for name in label_columns(contract) if name in can_pick), None)
    found: list[Row] = []
    for row, listed_row in zip(rows, listed.rows, strict=True):
        if row[measure.name] is None or (not group and len([one for one in found if one.label]) == limit):
            found.append(listed_row)
            continue
        found.append(
            replace(
                listed_row,
                label=label_of(contract, row),
                values={place: row[measure.name]},
                note=row[level] if level and row[level] in _LEVELS else "",
                group=str(row[group]) if group else "",
                pick=(picked, str(row[picked])) if picked and row[picked] is not None else None,
            )
        )
    return Chart(headings, found, "funnel" if "step_number" in contract.key else "bars")


def counted_bars(headings: tuple[str, str], counts: Iterable[tuple[str | None, int]], column: str) -> Chart:
    """Return a bar for each (label, number) of a column's values."""
    rows = [
        Row([label or "none", text(number)], label or "none", {1: number}, pick=(column, label) if label else None)
        for label, number in counts
    ]
    return Chart([Heading(headings[0], is_numeric=False), Heading(headings[1], is_drawn=True)], rows, "bars")


def heatmap(cells: Iterable[tuple[date, int, Decimal]], headings: tuple[str, str]) -> Chart:
    """Return a row for each month and a column for each number from 0 on. `cells` are (month, number, percentage)."""
    found: dict[date, dict[int, Decimal]] = {}
    for row, column, value in cells:
        found.setdefault(row, {})[column] = value
    width = 1 + max((column for columns in found.values() for column in columns), default=-1)
    rows = []
    for day, columns in sorted(found.items()):
        shown = [f"{columns[number]:.0f}" if number in columns else "" for number in range(width)]
        values = {number + 1: value for number, value in columns.items()}
        rows.append(Row([f"{day:%Y-%m}", *shown], f"{day:%Y-%m}", values))
    numbers = [Heading(str(number), "%", is_drawn=True) for number in range(width)]
    return Chart([Heading(headings[0], is_numeric=False), *numbers], rows, "heatmap")


def line(
    contract: Contract,
    columns: Sequence[Column],
    points: Sequence[tuple[date, str, Sequence[Any]]],
    coverages: Mapping[date, str] | None = None,
) -> Chart | None:
    """Return a line for each column through (day, label, values), newest first; None for fewer than two points.

    `points` are in order of the day. `coverages` has the coverage of incomplete periods by first day.
    """
    if len(points) < 2:
        return None
    drawn = [
        Heading(catalog.column_heading(one, contract), catalog.unit_in(contract, one.name), is_drawn=True)
        for one in columns
    ]
    headings = [Heading("Period", is_numeric=False), *drawn]
    noted = coverages or {}
    if noted:
        headings.append(Heading("Coverage", is_numeric=False))
    rows = []
    for day, label, values in reversed(points):
        cells = [label, *(_shown(value) for value in values)]
        note = noted.get(day, "")
        rows.append(Row([*cells, note] if noted else cells, label, dict(enumerate(values, 1)), note, day=day))
    return Chart(headings, rows, "line")


def _shown(value: Any) -> str:
    return text(value) if value is not None else ""


def with_unit(unit: str, value: Decimal | int) -> str:
    """Return a number with its unit."""
    return f"{text(value)} {unit}".rstrip()
