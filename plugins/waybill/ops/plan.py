"""The plan of a backfill: what runs of consecutive periods would load and build, and its text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from waybill.formatting import count, part_of, some_of
from waybill.ops.remedies import Runs

STATES: Final = ("new", "changed", "loaded", "rejected", "gone", "missing")
"""The states of files that a plan counts."""
_MANY_PERIODS: Final = 24


@dataclass(frozen=True)
class PeriodFiles:
    """The number of files of a dataset and period, by state."""

    period: str
    dataset: str
    new: int
    changed: int
    loaded: int
    rejected: int
    gone: int
    missing: int
    """The number of periods of which the bucket has no file, so that their runs would wait."""


@dataclass(frozen=True)
class FileToLoad:
    """A file that runs would load."""

    dataset: str
    period: str
    uri: str
    etag: str
    is_new: bool
    """Whether the ledger has no loaded version of it."""


@dataclass(frozen=True)
class Note:
    """A rejected file, or a loaded file whose object is gone, with the next step."""

    dataset: str
    period: str
    message: str


@dataclass(frozen=True)
class Rebuild:
    """A period of a report or of another derived table that runs would build."""

    table: str
    period: str
    is_published: bool
    """Whether the period is published, so that its published content may change."""


@dataclass(frozen=True)
class Estimate:
    """The time that loads and builds would take one after the other."""

    seconds: float
    """The sum of the median times of the dataset or report, as far as they are recorded."""
    unknown: list[str]
    """The datasets and reports of which no time is recorded yet."""

    @property
    def text(self) -> str:
        """Return the estimate as a sentence."""
        known = (
            f"Loads and builds take about {_duration(self.seconds)} one after the other, without waits and downloads"
        )
        if not self.unknown:
            return f"{known}."
        some = some_of(self.unknown)
        return f"{known}, and the time of {some}: no history yet." if self.seconds else f"No history yet of {some}."


@dataclass
class Plan:
    """What runs of the periods `first` to `last` of a domain would do."""

    domain: str
    first: str
    last: str
    files: list[PeriodFiles]
    to_load: list[FileToLoad]
    """In the order in which they apply, by dataset."""
    rejected: list[Note]
    """Files that runs would reject again, and objects whose folders name no period."""
    gone: list[Note]
    waiting: list[str]
    """The periods whose runs would wait for a file."""
    rebuilds: list[Rebuild]
    """If reports are current, of any period; else of those of the runs."""
    outdated_later: list[Rebuild]
    """Reports of later periods that would be out of date afterwards, and that these runs do not build."""
    estimate: Estimate
    steps: list[str]
    """The commands that start the runs, and what to do before."""
    runs: Runs | None
    """The runs among the steps that can start at once."""
    newest_file_id: int
    """The newest file of the ledger, and the newest build, when the plan was made: runs come after them."""
    newest_build: str | None
    loads_earlier: bool
    """Whether runs also load files of earlier periods, which the plan does not list."""

    @property
    def is_done(self) -> bool:
        """Return whether there is nothing to do."""
        return not (self.to_load or self.rejected or self.gone or self.waiting or self.rebuilds)

    def rebuilds_by_table(self) -> dict[str, list[Rebuild]]:
        """Return the periods that would be built, by table."""
        found: dict[str, list[Rebuild]] = {}
        for one in self.rebuilds:
            found.setdefault(one.table, []).append(one)
        return found

    def listed_files(self) -> list[PeriodFiles]:
        """Return the numbers of files by period and dataset; of more than 24 periods, the sums by dataset."""
        if len({row.period for row in self.files}) <= _MANY_PERIODS:
            return self.files
        sums: dict[str, PeriodFiles] = {}
        for row in self.files:
            before = sums.get(row.dataset)
            added = {name: getattr(row, name) + (getattr(before, name) if before else 0) for name in STATES}
            sums[row.dataset] = replace(row, period=f"{self.first} to {self.last}", **added)
        return [*sums.values()]

    def sentences(self) -> list[str]:
        """Return what the plan means."""
        if self.is_done:
            return [f"Nothing to do: every file of {self.first} to {self.last} is loaded, every report up to date."]
        published = sum(one.is_published for one in self.rebuilds)
        work = f"Runs would load {count(len(self.to_load), 'file')}"
        if self.rebuilds:
            work += f" and build up to {count(len(self.rebuilds), 'period')} of reports and derived tables. "
            work += f"{part_of(published, len(self.rebuilds), 'period', 'is')} published and may change"
        found = [f"{work}.", *([self.estimate.text] if self.to_load or self.rebuilds else [])]
        found += [f"Rejected: {one.dataset} {one.period}: {one.message}" for one in self.rejected]
        if self.rejected:
            found.append("Runs fail until the rejected files are corrected or deleted. The plan is for the time after.")
        found += [f"Gone: {one.dataset} {one.period}: {one.message}" for one in self.gone]
        if self.waiting:
            found.append(f"Runs of these periods would wait for a file: {some_of(self.waiting)}.")
        if self.outdated_later:
            later = sorted({one.period for one in self.outdated_later})
            found.append(
                f"Afterwards, {count(len(self.outdated_later), 'period')} of reports would be out of date, from "
                f"{later[0]} to {later[-1]}. Plan to {later[-1]} to build them, too."
            )
        if self.loads_earlier:
            found.append(
                f"Runs also load files of periods before {self.first} that are not loaded. They are not listed."
            )
        return found


def _duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours, rounded."""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return count(round(seconds / size), unit)
    return count(max(1, round(seconds)), "second")
