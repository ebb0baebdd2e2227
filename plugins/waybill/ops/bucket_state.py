"""What the bucket has of consecutive periods of a dataset, compared with the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.formatting import count
from waybill.intake.comparison import compare
from waybill.intake.landing import Listing, Misplaced, list_within
from waybill.intake.withdrawal import LoadedFile, gone_files
from waybill.period import Period
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Rejection:
    """The newest rejection of a version of an object."""

    message: str
    contract_version: str | None


@dataclass(frozen=True)
class BucketState:
    """The objects of consecutive periods of a dataset, compared with the ledger."""

    landed: Counter[Period]
    """The number of files of each period in the bucket."""
    todo: list[LandedFile]
    """The files of the periods that are not loaded, in the order in which they apply."""
    rejections: Mapping[tuple[str, str], Rejection]
    """For the key and ETag of those of them that a run has rejected."""
    misplaced: list[Misplaced]
    """Objects whose folders name no period, with the period in which they landed."""
    gone: list[LoadedFile]
    """The loaded files of the periods whose objects are gone from the bucket."""

    def rejection(self, file: LandedFile) -> Rejection | None:
        """Return the newest rejection of a file, or None."""
        return self.rejections.get((file.key, file.etag))


def bucket_state(
    connection: Connection,
    s3: S3Client,
    contract: Contract,
    periods: Sequence[Period],
    most_objects: int | None = None,
) -> BucketState:
    """Return what the bucket has of consecutive periods. Raises `DataError` for more than `most_objects` objects.

    Objects whose folders name no period are included, unless they are below the folder of another period.
    """
    first, last = periods[0], periods[-1]
    pages = list_within(s3, settings().raw_bucket, contract, first, last)
    compared = compare(connection, contract, pages if most_objects is None else _bounded(pages, contract, most_objects))
    todo = [file for file in compared.todo if first <= file.period <= last]
    rows = connection.execute(
        """
        select distinct on (r.object_key, r.etag) r.object_key, r.etag, r.message, r.contract_version
        from unnest(%s::text[], %s::text[]) as f (object_key, etag)
        inner join waybill.rejected_file as r using (object_key, etag)
        where r.dataset = %s
        order by r.object_key, r.etag, r.rejected_file_id desc
        """,
        ([file.key for file in todo], [file.etag for file in todo], contract.table),
    ).fetchall()
    return BucketState(
        compared.landed,
        todo,
        {(key, etag): Rejection(message, version) for key, etag, message, version in rows},
        compared.misplaced,
        gone_files(connection, contract, compared.seen, first, last),
    )


def _bounded(pages: Iterator[Listing], contract: Contract, most: int) -> Iterator[Listing]:
    """Yield the pages of a listing. Raises `DataError` when they have more than `most` objects."""
    objects = 0
    for page in pages:
        objects += len(page.landed) + len(page.misplaced) + len(page.ignored)
        if objects > most:
            raise DataError(
                f"{contract.table} has more than {count(most, 'object')} in these periods. "
                "Choose fewer periods, or run `waybill plan`, which lists any number."
            )
        yield page
