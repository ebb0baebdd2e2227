"""CSV text made column by column with numpy, and planted records put between its lines.

A column becomes a block: a matrix of characters, one line per row, and a mask of the characters to keep.
Blocks side by side, with the mask applied, are the text of the file; no Python code runs per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Chars = NDArray[np.uint8]
Mask = NDArray[np.bool_]
CHUNK_ROWS = 1 << 17


@dataclass(frozen=True)
class Block:
    """Characters of one column, and which of them count."""

    chars: Chars
    keep: Mask


Writer = Callable[[NDArray[Any]], Block]


@dataclass(frozen=True)
class Lines:
    """Text of many lines, each with its line end, and the offset behind each line."""

    text: bytes
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Lines:
        """Lines made one by one, for files that are small."""
        return cls(b"".join(lines), np.cumsum([len(line) for line in lines], dtype=np.int64))


@dataclass(frozen=True)
class Planted:
    """One record put before the clean line number `before` (0-based).

    It is rejected when it has reasons, a duplicate when it says so, and otherwise accepted.
    """

    before: int
    line: bytes
    reasons: tuple[str, ...] = ()
    duplicate: bool = False


@dataclass(frozen=True)
class Spliced:
    """A whole file and what is wrong in it: rejected records with their reasons, number of duplicates."""

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


def join(columns: Sequence[tuple[Writer, NDArray[Any]]], newline: bytes) -> Lines:
    """Write columns side by side, separated by commas; in chunks, so that memory stays flat."""
    texts, lengths = [b""], [np.zeros(0, np.int64)]
    for start in range(0, len(columns[0][1]), CHUNK_ROWS):
        blocks = [write(values[start : start + CHUNK_ROWS]) for write, values in columns]
        rows = len(blocks[0].chars)
        separators = [_constant(b",", rows)] * (len(blocks) - 1) + [_constant(newline, rows)]
        parts = [part for pair in zip(blocks, separators, strict=True) for part in pair]
        keep = np.hstack([part.keep for part in parts])
        texts.append(np.hstack([part.chars for part in parts])[keep].tobytes())
        lengths.append(keep.sum(axis=1))
    return Lines(b"".join(texts), np.cumsum(np.concatenate(lengths), dtype=np.int64))


def record(fields: Iterable[str], newline: bytes) -> bytes:
    """Write one record; a field is quoted where it must be, and U+DC80 to U+DCFF become the bare byte."""
    return ",".join(map(quoted, fields)).encode(errors="surrogateescape") + newline


def quoted(value: str) -> str:
    """Write a field as CSV does."""
    if any(character in value for character in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def splice(header: bytes, lines: Lines, planted: Iterable[Planted]) -> Spliced:
    """Put planted records between clean lines and number them as a reader of the file will."""
    pieces = [header]
    rejected: list[dict[str, Any]] = []
    duplicate = count = done = 0
    for count, plant in enumerate(sorted(planted, key=lambda plant: plant.before), start=1):
        offset = int(lines.ends[plant.before - 1]) if plant.before else 0
        pieces += [lines.text[done:offset], plant.line]
        done = offset
        duplicate += plant.duplicate
        if plant.reasons:
            rejected.append({"record": plant.before + count, "reasons": sorted(plant.reasons)})
    pieces.append(lines.text[done:])
    return Spliced(b"".join(pieces), len(lines.ends) + count, rejected, duplicate)


def _constant(text: bytes, rows: int) -> Block:
    chars = np.tile(np.frombuffer(text, np.uint8), (rows, 1))
    return Block(chars, np.ones(chars.shape, dtype=np.bool_))


def _digits(values: NDArray[np.int64], decimals: int) -> Block:
    width = max(len(str(values.max())), decimals + 1)
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    chars = (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return Block(chars, (values[:, None] >= powers) | (powers <= 10**decimals))
