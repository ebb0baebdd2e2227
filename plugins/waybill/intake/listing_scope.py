"""Decide which objects a run of a pipeline on arrival looks at: all, those that can be new, or those of messages.

The cost of a run must not grow with the number of files that have landed. So a dataset with many objects is listed
as a whole once in a while, and in between only where new objects are likely.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
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

LARGEST_NUMBER_OF_KEYS: Final = 1000
"""With more named keys, listing all objects is faster: a request lists 1,000 objects, and looks at one key."""
_OVERLAP: Final = timedelta(minutes=2)
"""How long before the last run messages are read again: clocks differ, and messages are stored with a delay."""


def _no_keys(_: datetime) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class Start:
    """What started a run, as far as it tells which objects may be new."""

    is_routine: bool = False
    """Whether a schedule or a message started the run, so that another run will look at the other objects."""
    keys: Collection[str] | None = None
    """The keys of the objects that messages name; None if no message started the run, or if one cannot be read."""
    named_since: Callable[[datetime], Collection[str] | None] = field(default=_no_keys, compare=False)
    """Returns the keys that all messages since an instant name; None if they are too many. The scheduler gives a run
    only the first of the messages that arrive while another run is active."""


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

    A routine run looks at everything, too, if there are few objects, the last such run is long ago, the contract or
    layout has changed since then, or messages name many objects. Otherwise it looks at the objects of all messages
    since the last run, and a scheduled run also where new ones are likely.
    """
    bucket, began = settings().raw_bucket, now or datetime.now(UTC)
    last = _begin(connection, contract, began)
    named = None
    if start.is_routine and last is not None and last[0] > settings().whole_listing_objects:
        named = start.named_since(last[1] - _OVERLAP)
    keys = named if named is None else {*named, *(start.keys or ())}
    if last is None or keys is None or len(keys) > LARGEST_NUMBER_OF_KEYS:
        return Scope(list_pages(s3, bucket, contract, None, None), True, began)
    if start.keys is not None:
        log.info("%s: this run looks at the objects that messages name", contract.table)
        return Scope(look_at(s3, bucket, contract, keys), False, began)
    log.info("%s has %s: this run lists only where new ones are likely", contract.table, count(last[0], "object"))
    return Scope(_where_new_ones_are_likely(connection, s3, bucket, contract, began, keys), False, began)


def _begin(connection: Connection, contract: Contract, began: datetime) -> tuple[int, datetime] | None:
    """Note that a run has begun. Return the number of objects and the beginning of the last run.

    Returns None if this run must look at everything.
    """
    names = _identity(contract) | {"began": began, "since": began - timedelta(hours=settings().whole_listing_hours)}
    with connection.transaction():
        row = connection.execute(
            """
            select
              objects, begun_at,
              is_settled and listed_at > %(since)s
                and (location, contract_sha256) = (%(location)s, %(contract)s)
                and kept_values is not distinct from %(kept_values)s::text[] as is_known
            from waybill.whole_listing
            where dataset = %(dataset)s
            for update
            """,
            names,
        ).fetchone()
        connection.execute(
            """
            insert into waybill.whole_listing (
              dataset, location, contract_sha256, kept_values, listed_at, objects, is_settled, begun_at
            )
            values (%(dataset)s, %(location)s, %(contract)s, %(kept_values)s, '-infinity', 0, false, %(began)s)
            on conflict (dataset) do update
            set is_settled = false, begun_at = excluded.begun_at
            """,
            names,
        )
    return (row[0], row[1]) if row is not None and row[2] else None


def _where_new_ones_are_likely(
    connection: Connection, s3: S3Client, bucket: str, contract: Contract, now: datetime, named: Collection[str]
) -> Iterator[Listing]:
    """Yield the objects in the folders of recent days, those whose keys follow the last loaded key, and named ones."""
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
    follows = last is not None and last.encode()
    elsewhere = [
        key
        for key in named
        if not key.startswith(folders) and not (follows and key.encode(errors="surrogatepass") > follows)
    ]
    yield from look_at(s3, bucket, contract, elsewhere)


def settle(connection: Connection, contract: Contract, scope: Scope, objects: int) -> None:
    """Record that a run has loaded or rejected all that it found among a number of objects.

    If another run has begun since then, the next run looks at everything until the other one has ended, too.
    """
    connection.execute(
        """
        update waybill.whole_listing
        set is_settled = is_settled or begun_at = %(began)s
        where dataset = %(dataset)s
        """,
        {"dataset": contract.table, "began": scope.began},
    )
    if scope.is_whole:
        connection.execute(
            """
            update waybill.whole_listing
            set location = %(location)s, contract_sha256 = %(contract)s, kept_values = %(kept_values)s,
              listed_at = %(began)s, objects = %(objects)s
            where dataset = %(dataset)s
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
