"""Charts as numbers: bars, lines over time and heatmaps. A template draws them as SVG that fits any width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from waybill.contracts import Column, Contract
from waybill.contracts.display import cell
from waybill.formatting import text
from waybill.views import catalog

_NOT_MEASURES = ("_id", "_rank", "_number", "_score")
_LEVELS = ("Low", "Mid", "High")
_BETWEEN_PCT, _BEFORE_LAST_PCT = 27, 33
"""The least distance of labels. The last label ends at its point, the others are centred."""
_CHARACTER_PX, _GAP_PX, _NARROWEST_PX = 7, 10, 38


@dataclass(frozen=True)
class Bar:
    """A bar: its label, its value as text, and its length and start in percent of the space for all bars."""

    label: str
    text: str
    length_pct: float
    level: str = ""
    """Low, Mid or High; empty if the report has no such column."""
    start_pct: float = 0
    is_negative: bool = False
    """Whether the bar ends at zero. Other bars begin there."""


@dataclass(frozen=True)
class Point:
    """A point of a line: its distance in percent from the left and from the top."""

    label: str
    text: str
    x_pct: float
    y_pct: float
    coverage: str = ""
    """Like `27 of 30 days`; empty for a complete period."""


@dataclass(frozen=True)
class Line:
    """A line over time, with the labels of both axes."""

    points: list[Point]
    levels: list[tuple[float, str]]
    """(percent from the top, value) of the grid lines."""
    marks: list[tuple[float, str]]
    """(percent from the left, label) of the horizontal axis."""
    zero_pct: float

    @property
    def gutter_px(self) -> int:
        """Width of the labels beside the plot."""
        return max(_NARROWEST_PX, _GAP_PX + _CHARACTER_PX * max(len(value) for _, value in self.levels))

    @property
    def path(self) -> str:
        """The line as an SVG path in a box of 1000 by 100."""
        return "M" + " L".join(f"{point.x_pct * 10:.2f},{point.y_pct:.2f}" for point in self.points)


def measures(contract: Contract) -> list[Column]:
    """Return the numeric columns of a report that are neither keys nor identifiers, ranks, numbers or scores."""
    return [
        column
        for column in contract.columns
        if column.logical_type in ("integer", "number")
        and column.key_position is None
        and not column.name.endswith(_NOT_MEASURES)
    ]


def label_columns(contract: Contract) -> list[str]:
    """Return the columns that label a row: names rather than identifiers."""
    found = []
    for name in contract.key[1:]:
        label = f"{name.removesuffix('_id')}_name"
        found.append(label if name.endswith("_id") and label in contract.names else name)
    if "step" in contract.names:
        found = ["step"]
    return [name for name in found if name != "cadence"]


def label_of(contract: Contract, row: dict[str, Any]) -> str:
    """Return the label of a row: its names, or its key if a name is missing."""
    names = label_columns(contract)
    if any(row[name] is None for name in names):
        names = [name for name in contract.key[1:] if name != "cadence"]
    headings = {column.name: catalog.column_heading(column) for column in contract.columns}
    # Only the first identifier has its name in front: a second name would push the value out of sight.
    parts = [
        f"{headings[name]} {row[name]}" if name.endswith("_id") and place == 0 else str(row[name])
        for place, name in enumerate(names)
    ]
    return " · ".join(parts)


def bars(contract: Contract, measure: Column, rows: Sequence[dict[str, Any]]) -> list[Bar]:
    """Return a bar for each row with a value, with a length in proportion to the measure.

    All bars share one zero: those of negative values lie left of it.
    """
    rows = [row for row in rows if row[measure.name] is not None]
    values = [row[measure.name] for row in rows]
    low = min(0, *values) if values else 0
    span = max(0, *values) - low if values else 0
    level = next(
        (name for name in contract.names if name.endswith("_category") and measure.name.startswith(name[:-9])), None
    )

    def percent(value: Any) -> float:
        return round(float(value / span) * 100, 2) if span else 0

    return [
        Bar(
            label=label_of(contract, row),
            text=cell_with_unit(measure, value),
            length_pct=percent(abs(value)),
            level=row[level] if level and row[level] in _LEVELS else "",
            start_pct=percent(min(value, 0) - low),
            is_negative=value < 0,
        )
        for row, value in zip(rows, values, strict=True)
    ]


def counted_bars(counts: Iterable[tuple[str, int]]) -> list[Bar]:
    """Return a bar for each (label, number)."""
    listed = list(counts)
    longest = max((number for _, number in listed), default=0)
    return [Bar(label, text(number), round(100 * number / longest, 2) if longest else 0) for label, number in listed]


@dataclass(frozen=True)
class HeatmapCell:
    """A cell: its value as text, and its shade from 0 to 9."""

    text: str
    shade: int


@dataclass(frozen=True)
class Heatmap:
    """A table of shaded cells: headings of the columns, and (label, cells) of each row."""

    headings: list[str]
    rows: list[tuple[str, list[HeatmapCell | None]]]


def heatmap(cells: Iterable[tuple[date, int, Decimal]]) -> Heatmap:
    """Return a row for each month and a column for each number from 0 on. `cells` are (month, number, percentage)."""
    found: dict[date, dict[int, Decimal]] = {}
    for row, column, value in cells:
        found.setdefault(row, {})[column] = value
    width = 1 + max((column for columns in found.values() for column in columns), default=-1)
    rows = [
        (
            f"{row:%Y-%m}",
            [
                HeatmapCell(f"{columns[number]:.0f}", min(int(columns[number]) // 10, 9)) if number in columns else None
                for number in range(width)
            ],
        )
        for row, columns in sorted(found.items())
    ]
    return Heatmap([str(number) for number in range(width)], rows)


def line(
    unit: str, values: Sequence[tuple[date, str, Decimal | int]], coverages: Mapping[date, str] | None = None
) -> Line | None:
    """Return a line through (day, label, value), which are in order of the day; None for fewer than two.

    The vertical axis includes zero. `coverages` has the coverage of incomplete periods by first day.
    """
    if len(values) < 2:
        return None
    first, last = values[0][0], values[-1][0]
    low, high = min(0, *(value for *_, value in values)), max(0, *(value for *_, value in values))
    step = _step(float(high - low))
    bottom, top = math.floor(float(low) / step) * step, math.ceil(float(high) / step) * step

    def height(value: float) -> float:
        return round(100 * (top - value) / (top - bottom), 3) if top > bottom else 100.0

    points = [
        Point(
            label,
            with_unit(unit, value),
            round(100 * (day - first) / (last - first), 3),
            height(float(value)),
            (coverages or {}).get(day, ""),
        )
        for day, label, value in values
    ]
    levels = [
        (height(bottom + n * step), text(Decimal(str(bottom + n * step)), 0 if step >= 1 else 2))
        for n in range(round((top - bottom) / step) + 1)
    ]
    return Line(points, levels, _marks(points), height(0))


def _marks(points: Sequence[Point]) -> list[tuple[float, str]]:
    """Return the labels of the first and the last point, and of points between them whose labels fit on a phone."""
    marked = [points[0]]
    for point in points[1:-1]:
        if point.x_pct - marked[-1].x_pct >= _BETWEEN_PCT and points[-1].x_pct - point.x_pct >= _BEFORE_LAST_PCT:
            marked.append(point)
    return [(point.x_pct, point.label) for point in (*marked, points[-1])]


def _step(span: float) -> float:
    """Return a round distance between grid lines, for about four lines."""
    if span <= 0:
        return 1
    power = 10 ** math.floor(math.log10(span / 4))
    return float(next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 5))


def cell_with_unit(column: Column, value: Any) -> str:
    """Return a value of a column with its unit and at most two decimals."""
    shown = cell(column, value) if not isinstance(value, Decimal) else text(value)
    return f"{shown} {catalog.unit_of(column.name)}".rstrip()


def with_unit(unit: str, value: Decimal | int) -> str:
    """Return a number with its unit."""
    return f"{text(value)} {unit}".rstrip()
