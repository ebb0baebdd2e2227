"""Compile the local times of a time zone into offsets, for DuckDB.

The offsets are those of Python's `zoneinfo`, so that they do not depend on the time zones that DuckDB contains.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAY: Final = 86_400
_FIRST_YEAR: Final = 1800
"""Before this year no zone has a rule: local mean time applies."""
_REPEATING: Final = 2100
"""From this year on the rules of a zone do not change, so that its offsets repeat with the calendar."""
_CYCLE: Final = 400
"""Number of years after which the calendar repeats."""
_CYCLE_SECONDS: Final = 146_097 * _DAY
SKIPPED: Final = 1_000_000
"""Stands for the offset of a local time that does not exist."""
DOUBLED: Final = 2_000_000
"""Stands for the offset of a local time that exists twice."""


class _Transition(NamedTuple):
    at: int
    """Seconds since 1970 in UTC."""
    before: int
    """The offset until then, in seconds."""
    after: int


def is_known(zone: str) -> bool:
    """Return whether a name is that of a time zone, whose rules do not depend on the machine."""
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return False
    return zone not in ("localtime", "posixrules")


def _start(year: int) -> int:
    """Return the seconds from 1970 to the start of a year."""
    return (datetime(year, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


@lru_cache(maxsize=32)
def _transitions(name: str, first_year: int, last_year: int) -> tuple[_Transition, ...]:
    """Return the changes of a zone's offset in some years and around them, in their order."""
    return tuple(_search(ZoneInfo(name), first_year, last_year))


def _search(zone: ZoneInfo, first_year: int, last_year: int) -> Iterator[_Transition]:
    """Yield the changes of an offset, which are found by a look at each day."""
    epoch = datetime(1970, 1, 1, tzinfo=zone)

    def offset(at: int) -> int:
        found = zone.fromutc(epoch + timedelta(seconds=at)).utcoffset()
        assert found is not None
        return found // timedelta(seconds=1)

    probes = range(_start(first_year) - 2 * _DAY, _start(last_year + 1) + 2 * _DAY, _DAY)
    before = offset(probes[0])
    yield _Transition(probes[0], before, before)
    for low, high in pairwise(probes):
        first, after = low, offset(high)
        while before != after:
            last = high  # the offset is `before` at first and another one at last
            while last - first > 1:
                middle = (first + last) // 2
                first, last = (middle, last) if offset(middle) == before else (first, middle)
            yield _Transition(last, before, offset(last))
            first, before = last, offset(last)


@lru_cache(maxsize=32)
def _years(
    zone: str, first_year: int, last_year: int, skipped: str, doubled: str
) -> tuple[list[list[int]], list[list[int]]]:
    """Return for each year the local times at which another offset begins to apply, and the offsets before and after.

    Times are seconds from 1970. `skipped` and `doubled` are the rules of the contract for local times that do not exist
    or exist twice.
    """
    starts: list[list[int]] = [[] for _ in range(first_year, last_year + 1)]
    offsets: list[list[int]] = [[] for _ in starts]
    places: list[tuple[int, int]] = []
    for at, before, after in _transitions(zone, first_year, last_year):
        if after > before:
            places += [(at + before, before if skipped == "forward" else SKIPPED), (at + after, after)]
        elif after < before:
            doubtful = {"earlier": before, "later": after}.get(doubled, DOUBLED)
            places += [(at + after, doubtful), (at + before, after)]
        else:
            places.append((at, after))
    offset = places[0][1]
    for year, (begun, applied) in enumerate(zip(starts, offsets, strict=True), start=first_year):
        while places and places[0][0] < _start(year):
            offset = places.pop(0)[1]
        applied.append(offset)
        while places and places[0][0] < _start(year + 1):
            begun.append(places[0][0])
            offset = places.pop(0)[1]
            applied.append(offset)
    return starts, offsets


def offset_of_local(zone: str, skipped: str, doubled: str, local: str, years: tuple[int, int]) -> str:
    """Return the expression of the offset in seconds at `local`, a column of timestamps in a time zone.

    It is `SKIPPED` or `DOUBLED` for local times that the rules of the contract reject, and exact within `years`.
    """
    first, last = max(years[0], _FIRST_YEAR), min(years[1], _REPEATING + _CYCLE - 1)
    starts, offsets = _years(zone, first, last, skipped, doubled)
    cycles = f"greatest(0, (year({local}) - {_REPEATING}) // {_CYCLE})"
    year = f"least(greatest(year({local}) - {cycles} * {_CYCLE} - {first - 1}, 1), {len(starts)})"
    at = f"epoch_us({local}) - {cycles} * {_CYCLE_SECONDS * 1_000_000}"
    begun = f"list_filter(({starts}::bigint[][])[{year}], lambda start: start * 1000000 <= {at})"
    return f"({offsets}::integer[][])[{year}][1 + len({begun})]"
