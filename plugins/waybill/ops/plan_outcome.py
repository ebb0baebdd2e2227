"""Compare a plan with what runs have done since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from waybill.contracts.locations import SCHEMAS
from waybill.errors import DataError
from waybill.formatting import count, some_of
from waybill.period import Period


@dataclass(frozen=True)
class Done:
    """Planned things that were done, planned ones that were not, and others that were done."""

    done: list[str]
    undone: list[str]
    unplanned: list[str]

    @classmethod
    def of(cls, planned: Iterable[str], found: Iterable[str]) -> Done:
        """Compare names of planned things with those that were found, both in any order."""
        wanted, there = {*planned}, {*found}
        return cls(sorted(wanted & there), sorted(wanted - there), sorted(there - wanted))

    def lines(self, verb: str, noun: str) -> list[str]:
        """Return the comparison in sentences, such as `Loaded 3 of 4 planned files`."""
        found = [f"{verb} {len(self.done)} of {count(len(self.done) + len(self.undone), f'planned {noun}')}."]
        if self.undone:
            found.append(f"Not {verb.lower()}: {some_of(self.undone)}")
        if self.unplanned:
            found.append(f"{verb}, but not planned: {some_of(self.unplanned)}")
        return found


@dataclass(frozen=True)
class Outcome:
    """What runs have done since a plan was made."""

    files: Done
    """By address."""
    builds: Done
    """By table and period. The undone ones turned out to have the same inputs, or wait."""

    def lines(self) -> list[str]:
        """Return the comparison in sentences."""
        return [*self.files.lines("Loaded", "file"), *self.builds.lines("Built", "period")]


def outcome(connection: Connection, plan: Mapping[str, Any]) -> Outcome:
    """Compare a plan, as `waybill plan --json` prints it, with the ledger. Raises `DataError` for anything else."""
    try:
        domain, file_id, build = plan["domain"], plan["newest_file_id"], plan["newest_build"]
        files = {one["uri"]: one["etag"] for one in plan["to_load"]}
        builds = [f"{one['table']} {one['period']}" for one in plan["rebuilds"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"the plan has no {error}; write it with `waybill plan FIRST LAST --json`") from None
    loaded = connection.execute(
        """
        with file as (
          select file_id, 's3://' || bucket || '/' || object_key as uri, etag
          from waybill.load_file
          where split_part(dataset, '.', 1) = %s
        )
        select uri
        from file
        where file_id > %s or (uri, etag) in (select p.uri, p.etag from unnest(%s::text[], %s::text[]) as p (uri, etag))
        """,  # content that was loaded already has the new ETag
        (domain, file_id, [*files], [*files.values()]),
    ).fetchall()
    built = connection.execute(
        "select report, cadence, period from waybill.publication "
        "where split_part(report, '.', 1) = any(%s) and built_at > coalesce(%s::timestamptz, '-infinity')",
        ([make(domain) for make in SCHEMAS], build),
    ).fetchall()
    return Outcome(
        Done.of(files, (uri for (uri,) in loaded)),
        Done.of(builds, (f"{report} {Period.of(cadence, start).key}" for report, cadence, start in built)),
    )
