"""Sessions of tasks if Airflow has no connection to the warehouse, or if a setting is wrong."""

from __future__ import annotations

import json
import traceback

import boto3
import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.exceptions import AirflowFailException
from psycopg.errors import DivisionByZero, InvalidTextRepresentation

from waybill.errors import DataError
from waybill.operators.session import data_errors_fail_at_once, lake_catalog, s3_client, warehouse
from waybill.ops.incident_updates import is_data_error
from waybill.settings import PROJECT_ROOT, settings


@pytest.fixture
def secret(stack_environment: dict[str, str], warehouse_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the warehouse, which only a secret contains."""
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE")
    content = json.dumps({"AIRFLOW_CONN_WAYBILL_WAREHOUSE": warehouse_dsn})
    boto3.client("secretsmanager").create_secret(Name="of-the-session", SecretString=content)  # type: ignore[attr-defined]
    monkeypatch.setenv("WAYBILL_SECRET_ID", "of-the-session")
    settings.cache_clear()
    return warehouse_dsn


def test_airflow_without_the_connection_uses_the_secret(secret: str) -> None:
    with data_errors_fail_at_once(), warehouse() as connection:
        assert connection.autocommit
        assert connection.execute("select current_database()").fetchone() == (secret.rpartition("/")[2],)


def test_a_wrong_setting_fails_a_task_at_once(
    stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_PROFILE", "prod")
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE")
    settings.cache_clear()
    with (
        pytest.raises(AirflowFailException, match=r"WAYBILL_LAKE_BUCKET.* must be set"),
        data_errors_fail_at_once(),
        warehouse(),
    ):
        pass
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("warehouse_dsn")
def test_the_log_of_a_task_has_no_values_of_rows() -> None:
    """Neither from the details of PostgreSQL, nor from an error that led to another one."""
    row = "ada@example.com"
    with pytest.raises(DivisionByZero) as divided, data_errors_fail_at_once(), warehouse() as connection:
        connection.execute("select 1 / 0")
    assert str(divided.value) == "division by zero"
    with pytest.raises(InvalidTextRepresentation) as quoted, data_errors_fail_at_once(), warehouse() as connection:
        connection.execute("select %s::text::integer", (row,))
    error = DataError("a value is no number")
    error.__cause__ = ValueError(row)
    with pytest.raises(AirflowFailException, match="a value is no number") as caused, data_errors_fail_at_once():
        raise error
    for caught in (quoted, caused):
        assert row not in "".join(traceback.format_exception(caught.value))
    assert is_data_error(caused.value)


def test_a_missing_setting_is_an_import_error_of_the_dags(
    stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = PROJECT_ROOT / "dags"
    monkeypatch.setenv("WAYBILL_PROFILE", "prod")
    settings.cache_clear()
    found = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder").import_errors
    monkeypatch.undo()
    settings.cache_clear()
    assert found
    for message in found.values():
        assert "SettingsError: WAYBILL_RAW_BUCKET, WAYBILL_REPORTS_BUCKET, WAYBILL_LAKE_BUCKET must be set" in message


def test_the_catalog_is_reached_by_airflows_connection(stack_environment: dict[str, str]) -> None:
    assert {("waybill_processed",), ("waybill_training",)} <= set(lake_catalog(s3_client()).list_namespaces())
