"""Deliver rows of the shop in files: most on their day, some late, some again, with injected errors."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from waybill_devtools.sampledata.injected_errors import Kind, Record, changed, fields_with_error
from waybill_devtools.sampledata.lines import InjectedRecord, Layout, Lines, record, splice
from waybill_devtools.sampledata.shop_errors import LOOKBACK_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from waybill_devtools.sampledata.files import SampleBuilder

LATE_SHARE = 0.008
AGAIN_SHARE, AGAIN_IN_SECOND_FILE_SHARE = 0.0015, 0.02  # of the rows of each of the last days; of the first file's
ERROR_SHARE, MAX_ERROR_SHARE = 0.01, 0.02
EVENING = np.timedelta64(18, "h")

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """The properties of a dataset that a feed needs."""

    name: str
    day_column: str
    """The date or instant that decides to which day a row belongs."""
    write: Callable[[Rows, Layout], Lines]
    renew: Callable[[np.random.Generator, Rows], Rows]
    """Gives rows new keys."""
    kinds: Callable[[np.datetime64], list[Kind]]
    layouts: Sequence[Layout]
    """By day in turn."""
    suffixes: Sequence[str]
    """By day in turn; a suffix `.gz` compresses the file."""
    change: Callable[[np.random.Generator, Rows], NDArray[np.bool_]] | None = None
    """Changes sent rows where possible, and returns which were changed."""
    change_share: float = 0.0
    """Share of the rows of each recent day that change on one day."""


class ErrorMix:
    """Chooses the kinds of errors for each file; what a small file cannot take goes to later files."""

    def __init__(self, most_share: float = MAX_ERROR_SHARE) -> None:
        self._most_share, self._owed, self._count = most_share, 0.0, 0

    def choose(self, rows: int, kinds: Sequence[Kind]) -> list[Kind]:
        """Return the kinds for a file with a number of clean rows."""
        self._owed += ERROR_SHARE * rows
        size = min(int(self._owed), int(self._most_share * rows))
        self._owed -= size
        chosen = [kinds[number % len(kinds)] for number in range(self._count, self._count + size)]
        self._count += size
        return chosen


def is_copy(kind: Kind) -> bool:
    """Return whether the kind repeats a valid record that comes earlier in the file."""
    return kind.shape in ("duplicate", "conflict")


def inject(
    rng: np.random.Generator, kinds: Sequence[Kind], clean: Lines, spare: Lines, layout: Layout
) -> list[InjectedRecord]:
    """Return records with errors to insert between clean lines. Each that is not a copy uses one spare line."""
    copies = iter(rng.permutation(len(clean.ends)).tolist())
    spares = iter(range(len(spare.ends)))
    injected = []
    for kind in kinds:
        place = next(copies) if is_copy(kind) else None
        original = spare.line(next(spares)) if place is None else clean.line(place)
        before = int(rng.integers(0 if place is None else place + 1, len(clean.ends) + 1))
        injected.append(
            InjectedRecord(before, _line_with_error(kind, original, layout), kind.reasons, kind.shape == "duplicate")
        )
    return injected


def _line_with_error(kind: Kind, line: bytes, layout: Layout) -> bytes:
    text = line.decode()
    if not text.startswith("{"):
        (fields,) = csv.reader(io.StringIO(text, newline=""))
        return record(fields_with_error(kind, dict(zip(layout.columns, fields, strict=True))), layout.newline)
    values = json.loads(text).values()
    original: Record = {
        name: json.dumps(value, ensure_ascii=False) for name, value in zip(layout.columns, values, strict=True)
    }
    pairs = [f'"{layout.spell(name)}": {value}' for name, value in changed(kind, original).items() if value]
    text = "{" + ", ".join(pairs) + "}"
    if kind.shape == "cut":
        text = text[: len(text) // 2]
    elif kind.shape == "comma":
        text = text[:-1] + ",}"
    elif kind.shape == "quotes":
        text = text.replace('"', "'")
    return text.encode() + layout.newline


class Feed:
    """Builds the files of one dataset, day by day."""

    def __init__(self, source: Source, rng: np.random.Generator, first: np.datetime64, builder: SampleBuilder) -> None:
        self.source, self.rng, self.first, self.builder = source, rng, first, builder
        self._waiting: defaultdict[int, list[Rows]] = defaultdict(list)
        self._sent: deque[Rows] = deque(maxlen=LOOKBACK_DAYS)  # rows by day of delivery, as they are known by now
        self._error_mix = ErrorMix()

    def deliver(self, index: int, own: Rows, lag: Numbers | None = None, parts: int = 1) -> None:
        """Add the files of day number `index`, of which `own` are the new rows, at least one.

        `lag` is the number of days by which each row is late; other rows are late by chance. With two `parts`, the
        second file has the rows of the evening, and repeats a few rows of the first.
        """
        day = self.first + index
        arriving = self._arriving(index, own, lag)
        updated, again = self._known_before(day, own[:0])
        self._sent.append(arriving)
        name = f"{self.source.name}_{day}"
        evening = arriving[self.source.day_column] >= day + EVENING if parts == 2 else np.zeros(len(arriving), bool)
        if not evening.any() or evening.all():
            self._add_file(index, name, arriving, updated, again)
            return
        self._add_file(index, name, arriving[~evening], updated, again)
        twice = arriving[~evening][self._some(int(np.count_nonzero(~evening)), AGAIN_IN_SECOND_FILE_SHARE)]
        self._add_file(index, f"{name}_part2", arriving[evening], updated[:0], twice)
        self.builder.story(str(day), f"the second file of {self.source.name} has {len(twice)} rows of the first again")

    def _arriving(self, index: int, own: Rows, lag: Numbers | None) -> Rows:
        """Hold back late rows, and return the rows that are delivered today."""
        rng = self.rng
        lag = np.zeros(len(own), np.int64) if lag is None else lag
        on_day = own[self.source.day_column].astype("M8[D]") == self.first + index
        late = (rng.random(len(own)) < LATE_SHARE) & on_day & (lag == 0)
        late[np.argmin(lag)] = False  # every day has a row
        lag = np.where(late, rng.integers(1, LOOKBACK_DAYS + 1, len(own)), lag)
        for days in range(1, LOOKBACK_DAYS + 1):
            self._waiting[index + days].append(own[lag == days])
        return np.concatenate([own[lag == 0], *self._waiting.pop(index, [])])

    def _known_before(self, day: np.datetime64, none: Rows) -> tuple[Rows, Rows]:
        """Return rows of the last days that change now, and rows that are sent again unchanged."""
        rng, change, share = self.rng, self.source.change, self.source.change_share
        updated, again = [none], [none]
        for rows in self._sent:
            recent = np.flatnonzero(rows[self.source.day_column].astype("M8[D]") >= day - LOOKBACK_DAYS)
            chosen = recent[self._some(len(recent), share + AGAIN_SHARE)]
            changing, same = np.split(chosen, [rng.binomial(len(chosen), share / (share + AGAIN_SHARE))])
            again.append(rows[same])
            if change:
                changed_rows = rows[changing]
                has_changed = change(rng, changed_rows)
                rows[changing] = changed_rows
                updated.append(changed_rows[has_changed])
        return np.concatenate(updated), np.concatenate(again)

    def _some(self, rows: int, share: float) -> Numbers:
        """Places of about a share of so many rows."""
        return self.rng.choice(rows, self.rng.binomial(rows, share), replace=False)

    def _add_file(self, index: int, name: str, inserted: Rows, updated: Rows, unchanged: Rows) -> None:
        source, rng, day = self.source, self.rng, self.first + index
        layout = source.layouts[index % len(source.layouts)]
        suffix = source.suffixes[index % len(source.suffixes)]
        clean = np.concatenate([inserted, updated, unchanged])
        clean = clean[np.argsort(clean[source.day_column], kind="stable")]
        kinds = self._error_mix.choose(len(clean), source.kinds(day))
        spare = source.renew(rng, clean[rng.integers(0, len(clean), sum(not is_copy(kind) for kind in kinds))])
        lines = source.write(clean, layout)
        injected = inject(rng, kinds, lines, source.write(spare, layout), layout) if kinds else []
        if suffix.startswith(".csv"):
            header = record(map(layout.spell, layout.columns), layout.newline)
        else:
            header = b"\n" if index % 5 == 3 else b""  # a blank line is no record
        self.builder.add(
            source.name,
            str(day),
            name + suffix,
            splice(header, lines, injected),
            inserted=len(inserted),
            updated=len(updated),
            unchanged=len(unchanged),
        )
