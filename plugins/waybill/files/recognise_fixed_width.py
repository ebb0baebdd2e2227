"""Recognise text whose columns have fixed widths: values are padded with blanks, and no delimiter is between them."""

from __future__ import annotations

from itertools import groupby

_LEAST_LINES = 3
_MOST_LINES = 200


def fixed_width_columns(text: str) -> int:
    """Return how many columns of padded values begin or end at the same places in nearly all lines; 0 if one or none.

    One line in ten may be a title or a total. Columns without a blank between them count as one.
    """
    lines = [line.rstrip() for line in text.split("\n") if line.strip()][:_MOST_LINES]
    padded = sum("  " in line.lstrip() for line in lines)
    if len(lines) < _LEAST_LINES or 2 * padded < len(lines):
        return 0
    filled = [sum(bool(line[place : place + 1].strip()) for line in lines) for place in range(max(map(len, lines)))]
    odd = max(len(lines) // 10, len(lines) > _LEAST_LINES)
    columns = sum(
        not is_gap and 2 * max(counts) >= len(lines) for is_gap, counts in groupby(filled, lambda count: count <= odd)
    )
    return columns if columns > 1 else 0
