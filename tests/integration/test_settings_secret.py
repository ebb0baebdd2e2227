"""Settings and the warehouse's address from AWS Secrets Manager."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from waybill.cli import app
from waybill.settings import SettingsError, read_settings, settings
from waybill.warehouse.connection import connect, warehouse_address
from waybill_devtools.stack import Stack

KEY = "0123456789abcdef" * 2
Put = Callable[..., str]


@pytest.fixture
def put(stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Store the content as the secret that the settings name, and return its name."""
    monkeypatch.delenv("WAYBILL_MASK_KEY", raising=False)
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", raising=False)
    client: Any = boto3.client("secretsmanager")

    def change(content: object = None, **secret: Any) -> str:
        name = f"waybill-{uuid.uuid4().hex[:8]}"
        client.create_secret(Name=name, **(secret or {"SecretString": json.dumps(content)}))
        monkeypatch.setenv("WAYBILL_SECRET_ID", name)
        settings.cache_clear()
        return name

    yield change
    settings.cache_clear()


def test_a_secret_supplies_settings_that_the_environment_lacks(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = {f"WAYBILL_{name}_BUCKET": f"acme-{name.lower()}" for name in ("RAW", "REPORTS", "LAKE")}
    put({**buckets, "WAYBILL_MASK_KEY": KEY, "WAYBILL_PROFILE": "prod", "OF_SOMEBODY_ELSE": "1"})
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", "from-the-environment")
    found = read_settings()
    assert (found.profile, found.raw_bucket, found.lake_bucket) == ("prod", "from-the-environment", "acme-lake")
    assert found.mask_key
    assert found.mask_key.get_secret_value() == KEY


def test_prod_rejects_a_secret_without_a_required_key(put: Put) -> None:
    put({"WAYBILL_PROFILE": "prod", "WAYBILL_RAW_BUCKET": "acme-raw"})
    with pytest.raises(SettingsError, match="WAYBILL_REPORTS_BUCKET, WAYBILL_LAKE_BUCKET, WAYBILL_MASK_KEY must be"):
        read_settings()


def test_the_warehouse_is_that_of_the_secret_unless_the_variable_is_set(
    put: Put, warehouse_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE")
    put({"AIRFLOW_CONN_WAYBILL_WAREHOUSE": warehouse_dsn})
    with connect() as connection:
        assert connection.execute("select current_database()").fetchone() == (warehouse_dsn.rpartition("/")[2],)
    put({"AIRFLOW_CONN_WAYBILL_WAREHOUSE": "postgresql://nobody@127.0.0.1:1/away"})
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", warehouse_dsn)
    settings.cache_clear()
    connect().close()


@pytest.mark.parametrize(
    "secret",
    [
        {"SecretString": "WAYBILL_MASK_KEY=hunter2"},
        {"SecretString": '["hunter2"]'},
        {"SecretString": '"hunter2"'},
        {"SecretBinary": b"hunter2"},
    ],
    ids=str,
)
def test_a_secret_of_another_form_is_named_and_not_shown(put: Put, secret: dict[str, Any]) -> None:
    name = put(**secret)
    with pytest.raises(SettingsError, match=f"WAYBILL_SECRET_ID: the secret '{name}' must be a JSON object") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_value_in_the_secret_is_named_and_not_shown(put: Put) -> None:
    put({"WAYBILL_MASK_KEY": "hunter2"})
    with pytest.raises(SettingsError, match=r"^WAYBILL_MASK_KEY: ") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_is_not_there_is_a_message_of_the_command_line(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put({})
    monkeypatch.setenv("WAYBILL_SECRET_ID", "no-such-secret")
    settings.cache_clear()
    result = CliRunner().invoke(app, ["migrate"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "WAYBILL_SECRET_ID: the secret 'no-such-secret' cannot be read" in result.stderr


def test_the_warehouse_may_be_written_as_a_connection_of_airflow(
    stack: Stack, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": stack.state.ports["postgres"],
        "schema": "warehouse",
        "login": "waybill_etl",
        "password": stack.state.secrets["warehouse"],
        "extra": {"connect_timeout": 5, "options": "-c search_path=waybill"},
    }
    for text in (json.dumps(given), json.dumps({**given, "extra": json.dumps(given["extra"])})):
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", text)
        settings.cache_clear()
        with connect() as connection:
            found = connection.execute(
                "select current_user, current_database(), current_setting('search_path')"
            ).fetchone()
        assert found == ("waybill_etl", "warehouse", "waybill")


def test_the_role_of_the_machine_signs_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    extra = {"iam": True, "aws_conn_id": "aws_default", "sslmode": "require"}
    given = {"conn_type": "postgres", "host": "db.example.com", "login": "waybill", "schema": "waybill", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", json.dumps(given))
    settings.cache_clear()
    address = conninfo_to_dict(warehouse_address())
    token = urlsplit(f"https://{address.pop('password')}")
    assert address == {
        "host": "db.example.com",
        "port": "5432",
        "user": "waybill",
        "dbname": "waybill",
        "sslmode": "require",
    }
    assert token.netloc == "db.example.com:5432"
    query = parse_qs(token.query)
    assert (query["Action"], query["DBUser"], query["X-Amz-Expires"]) == (["connect"], ["waybill"], ["900"])
    assert "/eu-central-1/rds-db/aws4_request" in query["X-Amz-Credential"][0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{}", "it has no 'host'"), ("{", "it is no JSON object"), ('{"host": "a"}', "it has no 'login'")],
)
def test_a_connection_that_cannot_be_read_is_named_without_its_text(
    text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", text)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=f"AIRFLOW_CONN_WAYBILL_WAREHOUSE cannot be read: {problem}"):
        connect()
