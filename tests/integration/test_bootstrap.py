"""`waybill bootstrap` on a real PostgreSQL, as an administrator who is no superuser, and moto's Secrets Manager."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import boto3
import psycopg
import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from psycopg import sql
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from waybill.cli import app
from waybill.errors import DataError
from waybill.ops.bootstrap import Deployment, bootstrap
from waybill.warehouse import roles
from waybill_devtools.stack import Stack


class Account:
    """An account before its first bootstrap: two databases of an administrator, and secrets without values."""

    def __init__(self, stack: Stack, admin: psycopg.Connection) -> None:
        mark = uuid.uuid4().hex[:8]
        self.stack, self.mark = stack, mark
        self.secrets: Any = boto3.client("secretsmanager")
        self.elasticache = Mock()  # moto cannot change a user
        name = sql.Identifier(f"admin_{mark}")
        if not admin.execute("select 1 from pg_roles where rolname = 'rds_iam'").fetchone():
            admin.execute("create role rds_iam")
        admin.execute(sql.SQL("create role {} login createrole createdb password 'of the administrator'").format(name))
        admin.execute(sql.SQL("grant rds_iam to {} with admin option").format(name))
        for database in ("warehouse", "metadata"):
            admin.execute(
                sql.SQL("create database {} template template0 owner {}").format(
                    sql.Identifier(f"{database}_{mark}"), name
                )
            )
        for secret in ("airflow", "settings"):
            self.secrets.create_secret(Name=f"{mark}/{secret}")
        credentials = {"username": f"admin_{mark}", "password": "of the administrator"}
        self.secrets.create_secret(Name=f"{mark}/admin", SecretString=json.dumps(credentials))
        self.description = {
            "airflow_secret": f"{mark}/airflow",
            "settings_secret": f"{mark}/settings",
            "warehouse": self._database("warehouse", f"waybill_{mark}"),
            "metadata": self._database("metadata", f"airflow_{mark}"),
            "broker": {"host": "broker.example.com", "user_id": f"{mark}-user", "user": "celery"},
        }

    def _database(self, name: str, owner: str) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.stack.state.ports["postgres"],
            "database": f"{name}_{self.mark}",
            "owner": owner,
            "admin_secret": f"{self.mark}/admin",
            "sslmode": "prefer",
        }

    def bootstrap(self, *rotate: str) -> list[str]:
        deployment = Deployment.model_validate(self.description)
        return list(bootstrap(deployment, self.secrets, self.elasticache, rotate))

    def values(self, secret: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(
            self.secrets.get_secret_value(SecretId=f"{self.mark}/{secret}", VersionStage="AWSCURRENT")["SecretString"]
        )
        return found

    def versions(self) -> int:
        return sum(
            len(self.secrets.list_secret_version_ids(SecretId=f"{self.mark}/{secret}")["Versions"])
            for secret in ("airflow", "settings")
        )


@pytest.fixture
def account(stack: Stack, stack_environment: dict[str, str]) -> Iterator[Account]:
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        made = Account(stack, admin)
        yield made
        for database in ("warehouse", "metadata"):
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(f"{database}_{made.mark}")))


def libpq(url: str) -> str:
    return url.replace("+psycopg2", "")


def test_a_new_account_gets_roles_an_extension_and_all_secrets(account: Account) -> None:
    lines = account.bootstrap()
    values = account.values("airflow")
    assert values.keys() == {"FERNET_KEY", "JWT_SECRET", "SESSION_SECRET", "DATABASE_URL", "BROKER_URL"}
    assert Fernet(values["FERNET_KEY"])
    assert len(set(values.values())) == 5
    assert min(len(value) for value in values.values()) > 40
    assert len(account.values("settings")["WAYBILL_MASK_KEY"]) >= 32
    assert not any(value in line for line in lines for value in values.values())
    with psycopg.connect(libpq(values["DATABASE_URL"])) as connection:
        connection.execute("create table of_airflow ()")  # it owns the database, so it may
        assert connection.execute("select current_user, current_database()").fetchone() == (
            f"airflow_{account.mark}",
            f"metadata_{account.mark}",
        )
    password = values["BROKER_URL"].split(":")[2].split("@")[0]
    account.elasticache.modify_user.assert_called_once_with(
        UserId=f"{account.mark}-user", AuthenticationMode={"Type": "password", "Passwords": [password]}
    )


def test_the_warehouse_is_entered_by_tokens_only(account: Account, stack: Stack) -> None:
    account.bootstrap()
    with psycopg.connect(stack.database_url("postgres", f"warehouse_{account.mark}")) as admin:
        roles = admin.execute(
            "select rolname, rolsuper, rolcreaterole, rolpassword is null, pg_has_role(rolname, 'rds_iam', 'usage') "
            "from pg_authid where rolname = %s",
            (f"waybill_{account.mark}",),
        ).fetchall()
        assert roles == [(f"waybill_{account.mark}", False, False, True, True)]
        for reader in ("waybill_reader", "waybill_analyst"):
            assert admin.execute("select pg_has_role(%s, 'rds_iam', 'usage')", (reader,)).fetchone() == (True,)
        assert admin.execute("select 1 from pg_extension where extname = 'btree_gist'").fetchone()
        rights = {
            (role, right): admin.execute(
                "select has_database_privilege(%s, current_database(), %s)", (role, right)
            ).fetchone()
            for role in (f"waybill_{account.mark}", "waybill_reader", "waybill_analyst", "airflow")
            for right in ("connect", "create")
        }
    allowed = {key for key, row in rights.items() if row == (True,)}
    owner = f"waybill_{account.mark}"
    may_connect = {(role, "connect") for role in (owner, "waybill_reader", "waybill_analyst")}
    assert allowed == may_connect | {(owner, "create")}


def test_the_administrator_keeps_its_password(account: Account, stack: Stack) -> None:
    """RDS asks members of rds_iam for a token, also those who are members by way of another role."""
    for _ in range(2):
        account.bootstrap()
        with psycopg.connect(stack.database_url("postgres", "postgres")) as admin:
            by_way = admin.execute(
                "select roleid::regrole::text from pg_auth_members "
                "where member = %s::regrole and roleid = %s::regrole and (inherit_option or set_option)",
                (f"admin_{account.mark}", f"waybill_{account.mark}"),
            ).fetchall()
        assert by_way == []


def test_airflow_enters_its_database_with_both_drivers(account: Account) -> None:
    account.bootstrap()
    url = account.values("airflow")["DATABASE_URL"]

    async def first() -> Any:
        engine = create_async_engine(url.replace("+psycopg2", "+asyncpg"))  # as Airflow does
        async with engine.connect() as connection:
            found = await connection.scalar(text("select current_user"))
        await engine.dispose()
        return found

    assert asyncio.run(first()) == f"airflow_{account.mark}"
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == f"airflow_{account.mark}"
    engine.dispose()


def test_a_second_bootstrap_changes_no_value(account: Account) -> None:
    account.bootstrap()
    before = account.values("airflow"), account.values("settings"), account.versions()
    account.bootstrap()
    assert (account.values("airflow"), account.values("settings"), account.versions()) == before


def test_a_bootstrap_that_was_interrupted_is_completed(account: Account) -> None:
    account.elasticache.modify_user.side_effect = ConnectionError
    with pytest.raises(ConnectionError):
        account.bootstrap()
    stored = account.values("airflow")
    account.elasticache.modify_user.side_effect = None
    account.bootstrap()
    assert account.values("airflow") == stored
    assert account.values("settings")["WAYBILL_MASK_KEY"]


def test_a_key_that_is_stored_by_hand_must_be_there(account: Account) -> None:
    account.description["stored_by_hand"] = ["OIDC_CLIENT_SECRET"]
    with pytest.raises(DataError, match=f"The secret {account.mark}/airflow has no OIDC_CLIENT_SECRET. Store it"):
        account.bootstrap()
    stored = account.values("airflow") | {"OIDC_CLIENT_SECRET": "of the issuer"}
    account.secrets.put_secret_value(SecretId=f"{account.mark}/airflow", SecretString=json.dumps(stored))
    account.bootstrap()
    assert account.values("airflow") == stored


def test_the_server_sees_no_password(stack: Stack, stack_environment: dict[str, str]) -> None:
    address, role = stack.database_url("postgres", "postgres"), f"logged_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(address, autocommit=True) as admin, psycopg.connect(address, autocommit=True) as other:
        roles.set_role(admin, role, "of the role")
        (statement,) = other.execute(
            "select query from pg_stat_activity where pid = %s", (admin.info.backend_pid,)
        ).fetchone() or ("",)
        assert statement.startswith("alter role")
        assert "of the role" not in statement
        psycopg.connect(address, user=role, password="of the role").close()
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_rotated_password_replaces_the_old_one(account: Account) -> None:
    account.bootstrap()
    before = account.values("airflow")
    account.bootstrap("DATABASE_URL", "FERNET_KEY")
    after = account.values("airflow")
    assert {name for name in after if after[name] != before[name]} == {"DATABASE_URL", "FERNET_KEY"}
    psycopg.connect(libpq(after["DATABASE_URL"])).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(libpq(before["DATABASE_URL"]))
    keys = [Fernet(key) for key in after["FERNET_KEY"].split(",")]
    stored = Fernet(before["FERNET_KEY"]).encrypt(b"a connection")
    assert MultiFernet(keys).decrypt(stored) == b"a connection"
    with pytest.raises(InvalidToken):
        keys[0].decrypt(stored)
    account.bootstrap("FERNET_KEY")  # before Airflow has encrypted its values again
    keys = [Fernet(key) for key in account.values("airflow")["FERNET_KEY"].split(",")]
    assert MultiFernet(keys).decrypt(stored) == b"a connection"


def test_the_key_of_the_pseudonyms_and_unknown_keys_cannot_be_rotated(account: Account) -> None:
    for name in ("WAYBILL_MASK_KEY", "NOTHING"):
        with pytest.raises(DataError, match=f"{name} cannot be rotated. Keys that can: FERNET_KEY, JWT_SECRET"):
            account.bootstrap(name)
    with pytest.raises(account.secrets.exceptions.ResourceNotFoundException):
        account.values("airflow")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "WAYBILL_BOOTSTRAP is not set"),
        ("{", "WAYBILL_BOOTSTRAP: : Invalid JSON"),
        ('{"airflow_secret": "a"}', "settings_secret: Field required; warehouse: Field required"),
    ],
)
def test_a_wrong_description_is_one_message(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_BOOTSTRAP", text)
    done = CliRunner().invoke(app, ["bootstrap"])
    assert done.exit_code == 1
    assert message in done.stderr


def test_the_command_tells_its_steps(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.description["broker"] = None
    monkeypatch.setenv("WAYBILL_BOOTSTRAP", json.dumps(account.description))
    done = CliRunner().invoke(app, ["bootstrap"])
    assert done.exit_code == 0, done.output
    others = "waybill_reader and waybill_analyst may connect"
    assert done.stdout.splitlines() == [
        f"warehouse_{account.mark}: belongs to the role waybill_{account.mark}, and {others}",
        "FERNET_KEY: created",
        "JWT_SECRET: created",
        "SESSION_SECRET: created",
        "DATABASE_URL: created",
        f"metadata_{account.mark}: belongs to the role airflow_{account.mark}",
        "WAYBILL_MASK_KEY: created. Keep a copy: another key gives other pseudonyms.",
        "The deployment is prepared.",
    ]
