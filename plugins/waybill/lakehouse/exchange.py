"""The requests that Airflow's tasks send to the Spark job, and its results: JSON objects in the lake's bucket."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from waybill.contracts.locations import bucket_and_key
from waybill.period import Cadence

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_REJECTED: Final = 100_000
"""How many rejected rows of a file go into PostgreSQL. The table of the quarantine has all of them."""


class _Model(BaseModel):
    """A part of a request or result. Unknown members are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Lake(_Model):
    """Where the lake is. Credentials are those of the job."""

    catalog: str
    """The address of the Iceberg REST catalog. Requests are signed with SigV4."""
    warehouse: str
    """What the catalog calls its warehouse; empty if it has only one."""
    region: str
    endpoint: str | None = None
    """The address of S3, if it is not AWS."""


class Dataset(_Model):
    """A dataset of the domain."""

    contract: str
    """The text of its contract."""
    kept: tuple[str, ...] = ()
    """The values of the filtered column whose rows are kept."""
    table: str
    """The Iceberg table of its rows, as `database.table`."""
    quarantine: str
    """The Iceberg table of its rejected rows, as `database.table`."""
    snapshot: int | None = None
    """The recorded snapshot of the rows; None if no file is recorded."""
    quarantine_snapshot: int | None = None
    """The recorded snapshot of the rejected rows."""
    found: tuple[int | None, int | None] = (None, None)
    """The snapshots that the two tables had when the request was written. The job undoes them if they are not recorded,
    and no others."""


class Landed(_Model):
    """A file that is to be loaded."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    landed_at: datetime
    replaces_etag: str | None = None
    """The ETag of the version of the object that the ledger has as loaded."""


class Part(_Model):
    """The files of a dataset that landed for one period."""

    dataset: str
    period: date
    """The first day of the period."""
    files: tuple[Landed, ...]
    """In the order of landing and name."""


class IntakeRequest(_Model):
    """Load files into the recorded snapshots: the parts in their order, each in one commit.

    Those of a dataset are together, by period.
    """

    kind: Literal["intake"] = "intake"
    domain: str
    lake: Lake
    timezone: str
    """The time zone of the business."""
    max_unpack_ratio: float
    duckdb_memory_limit: str
    """Settings of the task by which workers decide about files."""
    scratch: str
    """The address of a folder that the job may fill, without a slash at its end."""
    run_id: str
    code_version: str
    datasets: dict[str, Dataset]
    """All datasets of the domain."""
    parts: tuple[Part, ...]
    rejected: tuple[str, ...] = ()
    """Why other objects are rejected. The run fails with these messages after the files are loaded; the job has no use
    for them."""


class LoadedFile(_Model):
    """What became of a file."""

    dataset: str
    period: date
    key: str
    status: Literal["loaded", "rejected", "changed"]
    """`changed`: the object is no longer the listed one. Nothing was loaded."""
    error: str | None = None
    """Why the file is rejected."""
    broken: dict[str, int] = {}
    """For a rejected file, the number of rows that break each rule."""
    facts: dict[str, Any] = {}
    """The facts of `ReceivedFile` for the ledger: `version_id`, `etag`, `sha256`, `size_bytes`, `ignored`, `brought`,
    `archive_members`, `ignored_lines`."""
    books: dict[str, int] = {}
    """The numbers of rows by outcome."""
    changed_days: tuple[date, ...] = ()
    """The business days whose current rows the file changed."""
    newest: datetime | None = None
    """The greatest value of the period column."""
    warnings: tuple[tuple[str, str], ...] = ()
    """The kind and message of each warning about the form of the file."""


class IntakeResult(_Model):
    """What became of the files of an intake."""

    kind: Literal["intake"] = "intake"
    files: tuple[LoadedFile, ...] = ()
    snapshots: dict[str, int] = {}
    """The last snapshot of each table of the datasets with files, as `database.table`, if it has one."""
    rejected_rows: str | None = None
    """The address of a folder in S3. It has a Parquet file at `address_of_rejects` for each loaded file with rejected
    rows, with at most `MOST_REJECTED` of them:
    `dataset`, `period`, `key`, `record`, `reasons` (a list of texts) and `raw`."""


class Inputs(_Model):
    """The inputs of a period of a report, as they were when the request was written."""

    file_ids: tuple[int, ...]
    tables: tuple[str, ...]
    changes: int | None


class Query(_Model):
    """One period of a report."""

    report: str
    """The name of the report."""
    cadence: Cadence
    period: date
    """The first day of the period."""
    text: str
    """The SQL in Spark's dialect, with markers such as `:period_start` for the parameters of the period."""
    columns: dict[str, str]
    """The columns of the report and their types in the contract."""
    inputs: Inputs


class CheckQuery(_Model):
    """A check of a dataset for one period."""

    dataset: str
    """The name of the dataset."""
    check: str
    cadence: Cadence
    period: date
    """The first day of the period."""
    text: str
    """The SQL in Spark's dialect. It returns one number."""


class ReportsRequest(_Model):
    """Compute checks of datasets and periods of reports."""

    kind: Literal["reports"] = "reports"
    domain: str
    requested_at: datetime
    """When PostgreSQL said what there is to compute. The job reads the lake later."""
    lake: Lake
    timezone: str
    scratch: str
    datasets: dict[str, Dataset]
    checks: tuple[CheckQuery, ...] = ()
    queries: tuple[Query, ...] = ()


class ComputedReport(_Model):
    """The rows of one period of a report."""

    report: str
    cadence: Cadence
    period: date
    rows: int = 0
    address: str | None = None
    """The Parquet file with the rows."""
    error: str | None = None
    """Why the SQL failed."""


class ComputedCheck(_Model):
    """The number of a check of a dataset."""

    dataset: str
    check: str
    cadence: Cadence
    period: date
    observed: Decimal | None = None
    error: str | None = None
    """Why the SQL failed."""


class ReportsResult(_Model):
    """The computed periods, and the numbers of the checks."""

    kind: Literal["reports"] = "reports"
    reports: tuple[ComputedReport, ...] = ()
    checks: tuple[ComputedCheck, ...] = ()


REQUEST: Final = "request.json"
RESULT: Final = "result.json"
"""The names of a request and its result, which are in one folder."""
Request = Annotated[IntakeRequest | ReportsRequest, Field(discriminator="kind")]
Result = Annotated[IntakeResult | ReportsResult, Field(discriminator="kind")]
_REQUEST: TypeAdapter[IntakeRequest | ReportsRequest] = TypeAdapter(Request)
_RESULT: TypeAdapter[IntakeResult | ReportsResult] = TypeAdapter(Result)


def address_of_rejects(folder: str, dataset: str, period: date, key: str) -> str:
    """Return the address of the rejected rows of a file, below the folder that the result names."""
    return f"{folder}/{dataset}/{period}/{sha256(key.encode()).hexdigest()[:16]}.parquet"


def beside(address: str, name: str) -> str:
    """Return the address of another object in the folder of a request or result."""
    return f"{address.rpartition('/')[0]}/{name}"


def send(s3: S3Client, address: str, message: BaseModel) -> None:
    """Write a request or result to an address such as `s3://lake/_spark/run/request.json`."""
    bucket, key = bucket_and_key(address)
    s3.put_object(Bucket=bucket, Key=key, Body=message.model_dump_json().encode(), ContentType="application/json")


def receive_request(s3: S3Client, address: str) -> IntakeRequest | ReportsRequest:
    """Return the request at an address."""
    return _REQUEST.validate_json(_read(s3, address))


def receive_result(s3: S3Client, address: str) -> IntakeResult | ReportsResult:
    """Return the result at an address."""
    return _RESULT.validate_json(_read(s3, address))


def _read(s3: S3Client, address: str) -> bytes:
    bucket, key = bucket_and_key(address)
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
