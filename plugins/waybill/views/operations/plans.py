"""Plans of backfills that are small enough for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import HTTPException
from psycopg import Connection

from waybill.errors import DataError
from waybill.ops.make_plan import make_plan
from waybill.ops.plan import Plan
from waybill.period import Cadence, Period
from waybill.views import catalog

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_DAYS: Final = 366
MOST_OBJECTS: Final = 20_000
"""The largest number of objects of a dataset that a page lists, in requests of a thousand."""


def cadence_of(domain: str) -> Cadence:
    """Return the length of the periods of a domain's runs."""
    return next(iter(catalog.of_schema(domain).values())).cadence


def plan_between(connection: Connection, s3: S3Client, domain: str, first: str, last: str) -> Plan:
    """Return the plan of the periods between two keys.

    Raises HTTP 422 for other text and more than `MOST_DAYS`, and `DataError` for more than `MOST_OBJECTS`.
    """
    try:
        begin, end = (Period.parse(cadence_of(domain), key) for key in (first, last))
        if (end.start - begin.start).days >= MOST_DAYS:
            raise DataError(f"{begin} to {end} are more than {MOST_DAYS} days; choose fewer {begin.cadence}s")
        periods = begin.until(end)
    except DataError as error:
        raise HTTPException(422, str(error)) from error
    return make_plan(connection, s3, domain, periods, MOST_OBJECTS)
