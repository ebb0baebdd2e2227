"""Decide which objects a run of a pipeline on arrival looks at: all, those that can be new, or those of messages.

The cost of a run must not grow with the number of files that have landed. So a dataset with many objects is listed
as a whole once in a while, and in between only where new objects are likely.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from psycopg import Connection

from waybill.contracts import Contract, locations
from waybill.contracts.layout import Layout
from waybill.formatting import count
from waybill.intake.landing import Listing, list_likely, list_pages, look_at
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What started a run, as far as it tells which objects may be new."""

    is_routine: bool = False
    """Whether a schedule or a message started the run, so that another run will look at the other objects."""
    keys: Collection[str] | None = None
    """The keys of the objects that messages name; None if no message started the run, or if one cannot be read."""


BY_HAND: Final = Start()
"""The start of a run that looks at all objects."""


@dataclass(frozen=True)
class Scope:
    """The objects that a run looks at."""

    pages: Iterable[Listing]
    is_whole: bool
    """Whether they are all objects of the dataset."""
    began: datetime


def choose_scope(
    connection: Connection, s3: S3Client, contract: Contract, start: Start, now: datetime | None = None
) -> Scope:
    """Return what a run looks at, and note that it has begun: until `settle`, another run would look at everything.

    A routine run looks at everything, too, if there are few objects, the last such run is long ago, or the contract or
    layout has changed since then.
    """
    bucket, began = settings().raw_bucket, now or datetime.now(UTC)
    row = connection.execute(
        """
        with former as (
          select dataset, objects, is_settled
          from waybill.whole_listing
          where (dataset, location, contract_sha256) = (%(dataset)s, %(location)s, %(contract)s)
            and kept_values is not distinct from %(kept_values)s::text[]
            and listed_at > %(since)s
        ),
        begun as (
          update waybill.whole_listing
          set is_settled = false
          where dataset = %(dataset)s
        )
        select objects
        from former
        where is_settled
        """,
        _identity(contract) | {"since": began - timedelta(hours=settings().whole_listing_hours)},
    ).fetchone()
    if not start.is_routine or row is None or row[0] <= settings().whole_listing_objects:
        return Scope(list_pages(s3, bucket, contract, None, None), True, began)
    if start.keys is not None:
        log.info("%s: this run looks at the objects that messages name", contract.table)
        return Scope(look_at(s3, bucket, contract, start.keys), False, began)
    log.info("%s has %s: this run lists only where new ones are likely", contract.table, count(row[0], "object"))
    return Scope(_where_new_ones_are_likely(connection, s3, bucket, contract, began), False, began)


def _where_new_ones_are_likely(
    connection: Connection, s3: S3Client, bucket: str, contract: Contract, now: datetime
) -> Iterator[Listing]:
    """Yield the objects in the folders of recent days, and those whose keys follow the last loaded key."""
    today = Period.of("day", now.astimezone(ZoneInfo(settings().timezone)).date())
    days = today.shift(-settings().recent_days).until(today.shift(1))  # senders may be in another time zone
    layout = _layout(contract)
    (last,) = one_row(
        connection,
        """
        select max(object_key collate "C")
        from waybill.load_file
        where (dataset, bucket, status) = (%s, %s, 'loaded') and starts_with(object_key, %s)
        """,
        (contract.table, bucket, layout.root),
    )
    folders = tuple(dict.fromkeys(layout.prefix(day.start) for day in days))
    yield from list_likely(s3, bucket, contract, folders, after=last)


def settle(connection: Connection, contract: Contract, scope: Scope, objects: int) -> None:
    """Record that a run has loaded or rejected all that it found among a number of objects."""
    if not scope.is_whole:
        connection.execute("update waybill.whole_listing set is_settled = true where dataset = %s", (contract.table,))
        return
    connection.execute(
        """
        insert into waybill.whole_listing (
          dataset, location, contract_sha256, kept_values, listed_at, objects, is_settled
        )
        values (%(dataset)s, %(location)s, %(contract)s, %(kept_values)s, %(began)s, %(objects)s, true)
        on conflict (dataset) do update
        set location = excluded.location, contract_sha256 = excluded.contract_sha256,
          kept_values = excluded.kept_values, listed_at = excluded.listed_at, objects = excluded.objects,
          is_settled = true
        """,
        _identity(contract) | {"began": scope.began, "objects": objects},
    )


def _layout(contract: Contract) -> Layout:
    return locations.raw_layout(contract.domain, contract.name, contract.cadence)


def _identity(contract: Contract) -> dict[str, object]:
    return {
        "dataset": contract.table,
        "location": f"s3://{settings().raw_bucket}/{_layout(contract).pattern}",
        "contract": contract.sha256,
        "kept_values": contract.kept_values,
    }
