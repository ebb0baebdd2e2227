"""The files of a dataset in which drift can show: the newest loaded ones, and rejected ones that wait."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection, sql
from psycopg.rows import class_row

from waybill.contracts import Contract
from waybill.files.landed_file import LandedFile
from waybill.files.spellings import find_column, normalise, spellings_of
from waybill.intake.ledger import IS_SETTLED
from waybill.intake.withdrawal import is_there
from waybill.period import Period
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

FILES: Final = 500
"""How many of the newest loaded files of a dataset, and of its newest rejections, are looked at."""

_NAMELESS: Final = "(field "
"""The beginning of what the ledger has for a field without a name."""


@dataclass(frozen=True)
class SeenFile:
    """A loaded file, or a rejected one that was not loaded later."""

    file_id: int | None
    """None for a rejected file."""
    bucket: str
    object_key: str
    etag: str
    size_bytes: int | None
    period: date
    landed_at: datetime
    brought: Sequence[str] | None
    """The contract's columns that the file has; None if they are not known."""
    ignored: Sequence[str] | None
    accepted_rows: int | None
    contract_version: str | None
    reasons: Sequence[Mapping[str, Any]]
    """Of a rejected file: its broken rules with rows and examples."""

    @property
    def is_rejected(self) -> bool:
        """Return whether the file waits for a correction of itself or of the contract."""
        return self.file_id is None

    def landed(self, contract: Contract) -> LandedFile:
        """Return the object of the file."""
        period = Period.of(contract.cadence, self.period)
        return LandedFile(self.bucket, self.object_key, self.etag, self.size_bytes or 0, period, self.landed_at)


@dataclass(frozen=True)
class Columns:
    """The columns of a file, as the contract of today matches them."""

    file: SeenFile
    brought: frozenset[str]
    unknown: Mapping[str, str]
    """The other names of the file, by normalised name."""


_SEEN = """
with newest as (
  select r.*
  from waybill.rejected_file as r
  where r.dataset = %(dataset)s
  order by r.rejected_file_id desc
  limit %(files)s
),

waiting as (
  select distinct on (r.object_key) r.*
  from newest as r
  where not {is_settled}
  order by r.object_key, r.rejected_file_id desc
),

loaded as (
  select f.*
  from waybill.load_file as f
  where f.dataset = %(dataset)s and f.status = 'loaded'
  order by f.period desc, f.file_id desc
  limit %(files)s
)

select
  file_id, bucket, object_key, etag, size_bytes, period, coalesce(landed_at, loaded_at) as landed_at,
  brought_columns as brought, ignored_columns as ignored, rows_in - rejected as accepted_rows, contract_version,
  '[]'::jsonb as reasons
from loaded
union all
select
  null, %(bucket)s, object_key, etag, size_bytes, period, rejected_at, brought_columns, ignored_columns,
  rows_in, contract_version, coalesce(reasons, '[]'::jsonb)
from waiting
order by period, landed_at, object_key
"""


def seen_files(connection: Connection, contract: Contract) -> list[SeenFile]:
    """Return the files of a dataset, the earliest period first. `accepted_rows` of a rejected file are all its rows."""
    return (
        connection.cursor(row_factory=class_row(SeenFile))
        .execute(
            sql.SQL(_SEEN).format(is_settled=sql.SQL(IS_SETTLED)),
            {"dataset": contract.table, "bucket": settings().raw_bucket, "files": FILES},
        )
        .fetchall()
    )


def without_deleted(
    connection: Connection, s3: S3Client, contract: Contract, files: Sequence[SeenFile]
) -> list[SeenFile]:
    """Return the files without rejected ones whose objects are gone from the bucket, and record these."""
    deleted = {file.object_key for file in files if file.is_rejected and _is_deleted(s3, file)}
    if deleted:
        connection.execute(
            "update waybill.rejected_file set deleted_at = now() where dataset = %s and object_key = any(%s)",
            (contract.table, sorted(deleted)),
        )
    return [file for file in files if not (file.is_rejected and file.object_key in deleted)]


def _is_deleted(s3: S3Client, file: SeenFile) -> bool:
    """Return whether the object of a file is gone from the bucket; False if S3 does not say."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return not is_there(s3, file.bucket, file.object_key)
    except (BotoCoreError, ClientError) as error:
        log.warning("s3://%s/%s: S3 does not say whether it is there: %s", file.bucket, file.object_key, error)
        return False


def columns_of(contract: Contract, files: Sequence[SeenFile]) -> list[Columns]:
    """Return the columns of those files whose columns are known.

    A name that the contract has learnt since the file was loaded counts as its column.
    """
    spellings, found = spellings_of(contract), []
    for file in files:
        if file.brought is None:
            continue
        columns = {name: find_column(spellings, name) for name in file.ignored or ()}
        unknown = {
            normalise(name): name
            for name, column in columns.items()
            if not column and not name.startswith(_NAMELESS) and normalise(name)
        }
        found.append(Columns(file, frozenset({*file.brought, *filter(None, columns.values())}), unknown))
    return found
