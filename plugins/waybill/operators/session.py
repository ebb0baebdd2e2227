"""The period and run of a task, and its connections to the warehouse and AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from psycopg import Connection
    from pyiceberg.catalog import Catalog

    from waybill.period import Cadence, Period
    from waybill.run import Run

WAREHOUSE = "waybill_warehouse"
AWS = "aws_default"
OUTPUT = "waybill_output"


def period_of(context: Mapping[str, Any], cadence: Cadence) -> Period:
    """Return the period that the run of a task covers."""
    from waybill.period import resolve
    from waybill.settings import settings

    run = context["dag_run"]
    interval = (run.data_interval_start, run.data_interval_end)
    return resolve(
        cadence,
        param=context["params"].get(cadence),
        partition_key=getattr(run, "partition_key", None),
        interval=interval if run.run_type == "scheduled" and all(interval) else None,
        timezone=settings().timezone,
    )


def started_for(partition_key: str | None, conf: Mapping[str, Any] | None) -> str | None:
    """Return the key of the period that a run was started for: its partition, or its parameter; None without one."""
    conf = conf or {}
    return partition_key or conf.get("month") or conf.get("day") or None


def is_dry_run(context: Mapping[str, Any]) -> bool:
    """Return whether the run validates files and loads nothing."""
    return bool(context["params"].get("dry_run"))


def skip_in_dry_run(context: Mapping[str, Any]) -> None:
    """Skip this task, and with it all later tasks, in a dry run."""
    if is_dry_run(context):
        raise AirflowSkipException("a dry run ends here and loads nothing; the intake tasks return what the files hold")


def run_of(context: Mapping[str, Any]) -> Run:
    """Return the run as the ledger records it."""
    from waybill.run import Run, code_version

    return Run(run_id=context["run_id"], code_version=code_version())


@contextmanager
def warehouse() -> Iterator[Connection]:
    """Open the warehouse in autocommit mode, with Airflow's connection or else the settings.

    Errors of PostgreSQL leave without what they quote of rows.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from waybill.warehouse.connection import connect, quote_no_rows

    connection: Any  # of psycopg 3, as SQLAlchemy 2 has it
    try:
        connection = PostgresHook(WAREHOUSE).get_conn()
    except AirflowNotFoundException:
        connection = connect()
    try:
        connection.autocommit = True
        with quote_no_rows():
            yield connection
    finally:
        connection.close()


def s3_client() -> S3Client:
    """Return a client for S3 with Airflow's connection."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(AWS).get_conn()


def output_client() -> S3Client:
    """Return a client for S3 that writes reports, with Airflow's connection `waybill_output` if it exists.

    With this connection, reading input and writing output may use different roles.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.sdk import Connection

    try:
        Connection.get(OUTPUT)
    except AirflowNotFoundException:
        return s3_client()
    return S3Hook(OUTPUT).get_conn()


def sqs_client() -> SQSClient:
    """Return a client for SQS with Airflow's connection. It gives up after three seconds: a page waits."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
    from botocore.config import Config

    limits = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    return AwsGenericHook(AWS, client_type="sqs", config=limits).get_conn()


def lake_catalog(s3: S3Client) -> Catalog:
    """Return the catalog of the lake with the credentials of Airflow's connection."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    from waybill.outputs.iceberg_tables import open_catalog

    return open_catalog(AwsGenericHook(AWS, client_type="s3").get_session(), s3)


@contextmanager
def data_errors_fail_at_once() -> Iterator[None]:
    """Turn a `DataError` into a failure without retries. Other errors are infrastructure and are retried.

    The log has no errors that led to it: its message says what is wrong, and theirs may quote rows.
    """
    from waybill.errors import DataError

    try:
        yield
    except DataError as error:
        error.__cause__, error.__suppress_context__ = None, True
        raise AirflowFailException(str(error)) from error
