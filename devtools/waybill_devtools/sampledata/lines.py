"""Build CSV and JSON lines column by column with numpy, and splice injected records into them.

A column becomes a block: a matrix of characters with one line for each row, and a mask of the characters to keep.
Blocks are joined side by side and masked to give the text of a file. No Python code runs for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Chars = NDArray[np.uint8]
Mask = NDArray[np.bool_]
CHUNK_ROWS = 1 << 17


@dataclass(frozen=True)
class Block:
    """Characters of one column, and a mask of those to keep."""

    chars: Chars
    keep: Mask


Writer = Callable[[NDArray[Any]], Block]
Part = bytes | tuple[Writer, NDArray[Any]]
"""Constant text, or values with the function that writes them."""


@dataclass(frozen=True)
class Lines:
    """Text of many lines with line ends, and the end offset of each line."""

    text: bytes
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Lines:
        """Return lines that were made one by one, for small files."""
        return cls(b"".join(lines), np.cumsum([len(line) for line in lines], dtype=np.int64))

    def line(self, place: int) -> bytes:
        """Return one line (0-based)."""
        return self.text[int(self.ends[place - 1]) if place else 0 : int(self.ends[place])]


@dataclass(frozen=True)
class Layout:
    """The layout of a file: order and spelling of the columns, line end."""

    columns: tuple[str, ...]
    spell: Callable[[str], str] = str
    newline: bytes = b"\n"


@dataclass(frozen=True)
class InjectedRecord:
    """A record to insert before the clean line number `before` (0-based).

    With reasons it is rejected, with `duplicate` it is a duplicate, otherwise it is accepted.
    """

    before: int
    line: bytes
    reasons: tuple[str, ...] = ()
    duplicate: bool = False


@dataclass(frozen=True)
class Spliced:
    """A whole file, its rejected records with their reasons, and its number of duplicates."""

    body: bytes
    rows_in: int
    rejected: list[dict[str, Any]]
    duplicate: int


def integers(values: NDArray[np.int64]) -> Block:
    """Whole numbers from 0 up, without leading zeros."""
    return _digits(values, decimals=0)


def hundredths(values: NDArray[np.int64]) -> Block:
    """Numbers of hundredths, written with a point and two decimals: 5 is `0.05`."""
    block = _digits(values, decimals=2)
    point = block.chars.shape[1] - 2
    return Block(np.insert(block.chars, point, ord("."), axis=1), np.insert(block.keep, point, True, axis=1))


def dates(values: NDArray[np.datetime64]) -> Block:
    """Dates as YYYY-MM-DD."""
    first = values.min()
    days = np.datetime_as_string(np.arange(first, values.max() + 1)).astype("S10")
    chars = days.view(np.uint8).reshape(-1, 10)[(values - first).astype(np.int64)]
    return Block(chars, np.ones(chars.shape, dtype=np.bool_))


def integers_or(absent: bytes) -> Writer:
    """A writer of whole numbers from 1 up, in which 0 is the text of an absent one."""

    def write(values: NDArray[np.int64]) -> Block:
        number, text = integers(values), _constant(absent, len(values))
        is_there = (values > 0)[:, None]
        keep = np.hstack([number.keep & is_there, text.keep & ~is_there])
        return Block(np.hstack([number.chars, text.chars]), keep)

    return write


def choices(texts: Sequence[str]) -> Writer:
    """A writer of places in a list of texts, none of which has a NUL in it."""
    table = np.array([text.encode() for text in texts], dtype=np.bytes_)
    chars = table.view(np.uint8).reshape(len(texts), -1)
    return lambda values: Block(chars[values], chars[values] != 0)


def instants(values: NDArray[np.datetime64]) -> Block:
    """Instants as YYYY-MM-DDTHH:MM:SSZ."""
    days = values.astype("M8[D]")
    times = _times_of_day()[(values - days).astype(np.int64)]
    chars = np.hstack([dates(days).chars, times])
    return Block(chars, np.ones(chars.shape, dtype=np.bool_))


def uuids(values: NDArray[np.uint8]) -> Block:
    """Rows of 16 bytes as UUIDs."""
    digits = np.array([f"{byte:02x}" for byte in range(256)], "S2").view(np.uint8).reshape(256, 2)
    chars = np.insert(digits[values].reshape(-1, 32), (8, 12, 16, 20), ord("-"), axis=1)
    return Block(chars, np.ones(chars.shape, dtype=np.bool_))


def compose(parts: Sequence[Part]) -> Lines:
    """Write parts side by side, at least one of which has values; in chunks, so that memory stays flat."""
    rows = next(len(part[1]) for part in parts if not isinstance(part, bytes))
    texts, lengths = [b""], [np.zeros(0, np.int64)]
    for start in range(0, rows, CHUNK_ROWS):
        size = min(CHUNK_ROWS, rows - start)
        blocks = [
            _constant(part, size) if isinstance(part, bytes) else part[0](part[1][start : start + size])
            for part in parts
        ]
        keep = np.hstack([block.keep for block in blocks])
        texts.append(np.hstack([block.chars for block in blocks])[keep].tobytes())
        lengths.append(keep.sum(axis=1))
    return Lines(b"".join(texts), np.cumsum(np.concatenate(lengths), dtype=np.int64))


def join(columns: Sequence[Sequence[Part]], newline: bytes) -> Lines:
    """Write lines of CSV; a column is the parts that its fields are made of."""
    parts: list[Part] = []
    for column in columns:
        parts += [b",", *column]
    return compose([*parts[1:], newline])


def json_objects(columns: Mapping[str, Sequence[Part]]) -> Lines:
    """Write a JSON object a line; a column is the parts that its values are made of, as JSON text."""
    parts: list[Part] = []
    for name, column in columns.items():
        parts += [f'{", " if parts else "{"}"{name}": '.encode(), *column]
    return compose([*parts, b"}\n"])


def record(fields: Iterable[str], newline: bytes) -> bytes:
    """Write one record; a field is quoted where it must be, and U+DC80 to U+DCFF become the bare byte."""
    return ",".join(map(quoted, fields)).encode(errors="surrogateescape") + newline


def quoted(value: str) -> str:
    """Write a field as CSV does."""
    if any(character in value for character in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def splice(header: bytes, lines: Lines, injected: Iterable[InjectedRecord]) -> Spliced:
    """Insert injected records between clean lines, and number them as a reader of the file does."""
    pieces = [header]
    rejected: list[dict[str, Any]] = []
    duplicate = count = done = 0
    for count, one in enumerate(sorted(injected, key=lambda one: one.before), start=1):
        offset = int(lines.ends[one.before - 1]) if one.before else 0
        pieces += [lines.text[done:offset], one.line]
        done = offset
        duplicate += one.duplicate
        if one.reasons:
            rejected.append({"record": one.before + count, "reasons": sorted(one.reasons)})
    pieces.append(lines.text[done:])
    return Spliced(b"".join(pieces), len(lines.ends) + count, rejected, duplicate)


@cache
def _times_of_day() -> Chars:
    """`THH:MM:SSZ` of every second of a day."""
    seconds = np.datetime_as_string(np.arange(86_400).astype("M8[s]"), timezone="UTC").astype("S20")
    return seconds.view(np.uint8).reshape(-1, 20)[:, 10:]


def _constant(text: bytes, rows: int) -> Block:
    chars = np.tile(np.frombuffer(text, np.uint8), (rows, 1))
    return Block(chars, np.ones(chars.shape, dtype=np.bool_))


def _digits(values: NDArray[np.int64], decimals: int) -> Block:
    width = max(len(str(values.max())), decimals + 1)
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    chars = (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return Block(chars, (values[:, None] >= powers) | (powers <= 10**decimals))
