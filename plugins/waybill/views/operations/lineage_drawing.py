"""Where the boxes and lines of a lineage stand: columns from left to right, from files to what is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from waybill.ops.column_sources import ROWS, Source
from waybill.ops.lineage import Effect, Kind, Table

LINES: Final = 8
"""How many columns a box shows. The others share one line."""
_WIDTH, _GAP, _BETWEEN = 208, 56, 12
_HEAD, _LINE, _TOP = 40, 19, 30
_LETTERS: Final = 29
_STAGES: Final[tuple[tuple[str, tuple[Kind, ...]], ...]] = (
    ("Files", ("file",)),
    ("Datasets", ("dataset",)),
    ("Derived tables", ("derived",)),
    ("Reports", ("report",)),
    ("Exports and uses", ("published", "lake", "dashboard", "stream", "check")),
)
_NAMES: Final[Mapping[Kind, str]] = {"published": "published file", "lake": "lake table", "check": "checks"}


@dataclass(frozen=True)
class Line:
    """A column in a box, the rows of its table, or the columns that are left out."""

    text: str
    title: str
    node: Source | None
    """None for the columns that are left out."""
    y: float
    is_chosen: bool


@dataclass(frozen=True)
class Box:
    """A table."""

    table: Table
    above: str
    """Its kind, and its schema or folder."""
    text: str
    x: float
    y: float
    height: float
    lines: tuple[Line, ...]
    is_chosen: bool
    width: float = _WIDTH


@dataclass(frozen=True)
class Curve:
    """A line between two boxes."""

    path: str
    """As the attribute `d` of SVG."""
    effect: Effect


@dataclass(frozen=True)
class Drawing:
    """A picture of a lineage."""

    width: float
    height: float
    headings: tuple[tuple[str, float], ...]
    """(text, x) of each stage."""
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]


class Link(NamedTuple):
    """A source and what it determines, as it is drawn."""

    source: Source
    target: Source
    effect: Effect


def kind_name(kind: Kind) -> str:
    """Return a kind of table in words."""
    return _NAMES.get(kind, kind)


def draw(tables: Iterable[Table], links: Iterable[Link], chosen: Source | None, *, columns: bool) -> Drawing:
    """Return the picture of tables and links. With `columns`, boxes list the linked columns."""
    shown, links = {table.name: table for table in tables}, list(dict.fromkeys(links))
    stages = _stages(shown, links)
    listed = _listed(shown, links, chosen) if columns else {name: [] for name in shown}
    boxes: dict[str, Box] = {}
    for place, (_, names) in enumerate(stages):
        y: float = _TOP
        for name in _ordered(names, links, boxes):
            boxes[name] = _box(shown[name], listed[name], place * (_WIDTH + _GAP), y, chosen)
            y += boxes[name].height + _BETWEEN
    return Drawing(
        width=max(len(stages) * (_WIDTH + _GAP) - _GAP, _WIDTH),
        height=max((box.y + box.height for box in boxes.values()), default=_TOP) + 2,
        headings=tuple((heading, place * (_WIDTH + _GAP)) for place, (heading, _) in enumerate(stages)),
        boxes=tuple(boxes.values()),
        curves=tuple(_curves(links, boxes)),
    )


def _stages(tables: Mapping[str, Table], links: Iterable[Link]) -> list[tuple[str, list[str]]]:
    """Return (heading, tables) of each stage that is not empty. Tables that read others of their kind stand behind."""
    read: dict[str, set[str]] = {name: set() for name in tables}
    for link in links:
        if link.source.table != link.target.table:
            read[link.target.table].add(link.source.table)
    depths: dict[str, int] = {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in depths:
            same = [one for one in read[name] - above if tables[one].kind == tables[name].kind]
            depths[name] = max((depth(one, above | {name}) + 1 for one in same), default=0)
        return depths[name]

    found = []
    for heading, kinds in _STAGES:
        members = {name: depth(name, frozenset({name})) for name, table in tables.items() if table.kind in kinds}
        for place in sorted({*members.values()}):
            names = [name for name, one in members.items() if one == place]
            found.append((heading if place == min(members.values()) else "", names))
    return found


def _ordered(names: list[str], links: Iterable[Link], placed: Mapping[str, Box]) -> list[str]:
    """Return tables of a stage in the order of the middle of their sources, so that few lines cross."""
    sources: dict[str, list[float]] = {name: [] for name in names}
    for link in links:
        if link.target.table in sources and link.source.table in placed:
            sources[link.target.table].append(placed[link.source.table].y)
    return sorted(names, key=lambda name: (sum(sources[name]) / len(sources[name]) if sources[name] else -1, name))


def _listed(tables: Mapping[str, Table], links: Iterable[Link], chosen: Source | None) -> dict[str, list[str]]:
    """Return the columns of each table that a link needs, in the order of the table, its rows last."""
    needed: dict[str, set[str]] = {name: set() for name in tables}
    for node in [*(node for link in links for node in (link.source, link.target)), *([chosen] if chosen else [])]:
        needed[node.table].add(node.column)
    return {name: [one for one in (*table.columns, ROWS) if one in needed[name]] for name, table in tables.items()}


def _box(table: Table, columns: list[str], x: float, y: float, chosen: Source | None) -> Box:
    first = columns
    if len(columns) > LINES + 1:
        first = columns[:LINES]
        if chosen and chosen.table == table.name and chosen.column not in first and chosen.column in columns:
            first = [*first[:-1], chosen.column]
    lines = [
        Line(
            "all rows" if name == ROWS else _short(name),
            f"rows of {table.name}" if name == ROWS else f"{table.name}.{name}",
            Source(table.name, name),
            y + _HEAD + place * _LINE + _LINE / 2,
            chosen == Source(table.name, name),
        )
        for place, name in enumerate(first)
    ]
    if left := [name for name in columns if name not in first]:
        names = ", ".join("all rows" if name == ROWS else name for name in left)
        at = y + _HEAD + len(lines) * _LINE + _LINE / 2
        lines.append(Line(f"and {len(left)} more", names, None, at, is_chosen=False))
    above, text = _name(table)
    is_chosen = chosen is not None and chosen.table == table.name
    height = _HEAD + len(lines) * _LINE + (6 if lines else 0)
    return Box(table, _short(above), _short(text, _LETTERS - 5), x, y, height, tuple(lines), is_chosen)


def _name(table: Table) -> tuple[str, str]:
    """Return the two lines at the top of a box."""
    kind = kind_name(table.kind)
    match table.kind:
        case "file":
            return kind, table.name.partition("YYYY")[0].rpartition("/")[0].removeprefix("raw/")
        case "published":
            return kind, table.name.rpartition("/")[2]
        case "dashboard":
            return kind, table.name.partition(" of ")[2]
    folder, _, last = table.name.rpartition(" of ")[2].rpartition(".")
    return f"{kind} · {folder}", last


def _short(text: str, letters: int = _LETTERS) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _curves(links: Iterable[Link], boxes: Mapping[str, Box]) -> Iterable[Curve]:
    def height(node: Source) -> float:
        box = boxes[node.table]
        at: Callable[[Line], bool] = lambda line: line.node == node  # noqa: E731
        found = next(filter(at, box.lines), None) or (box.lines[-1] if box.lines else None)
        return found.y if found else box.y + box.height / 2

    drawn: dict[str, Effect] = {}
    for link in links:
        if link.source.table == link.target.table:
            continue
        x, to_x = boxes[link.source.table].x + _WIDTH, boxes[link.target.table].x
        y, to_y, bend = height(link.source), height(link.target), max((to_x - x) / 2, _GAP / 2)
        path = f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
        if drawn.get(path) != "value":
            drawn[path] = link.effect
    return [Curve(path, effect) for path, effect in drawn.items()]
