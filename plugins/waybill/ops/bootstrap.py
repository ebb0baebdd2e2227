"""Prepare a new deployment on AWS: secret values, roles and extensions of PostgreSQL, and the broker's password.

Runs once in the private network, and again to rotate a secret. A second run changes nothing.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import psycopg
from psycopg import Connection, sql
from pydantic import BaseModel, ValidationError

from waybill.errors import DataError
from waybill.settings import SettingsError
from waybill.warehouse import roles
from waybill.warehouse.schema import ANALYST_ROLE, READER_ROLE

if TYPE_CHECKING:
    from mypy_boto3_elasticache import ElastiCacheClient
    from mypy_boto3_elasticache.type_defs import AuthenticationModeTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import UpdateSecretVersionStageRequestTypeDef

VARIABLE: Final = "WAYBILL_BOOTSTRAP"
MASK_KEY: Final = "WAYBILL_MASK_KEY"
_ATTEMPTS: Final = 5
_CURRENT: Final = "AWSCURRENT"
_NEXT: Final = "WAYBILLNEXT"
"""The label of a version that is about to become the current one."""
IAM_ROLE: Final = "rds_iam"
"""The role of RDS whose members log in with a token instead of a password."""


class Database(BaseModel):
    """A database, and the secret with the name and password of its administrator."""

    host: str
    port: int = 5432
    database: str
    owner: str
    """The role that shall own the database."""
    admin_secret: str
    sslmode: str = "require"


class Broker(BaseModel):
    """The broker of Celery, and its user in ElastiCache."""

    host: str
    port: int = 6379
    user_id: str
    user: str


class Deployment(BaseModel):
    """What a deployment consists of, as Terraform describes it in `WAYBILL_BOOTSTRAP`."""

    airflow_secret: str
    settings_secret: str
    warehouse: Database
    metadata: Database
    broker: Broker | None = None
    stored_by_hand: list[str] = []
    """Keys of Airflow's secret that come from elsewhere."""

    @classmethod
    def parse(cls, text: str) -> Deployment:
        """Return the deployment that a JSON object describes. Raises `SettingsError`."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise SettingsError(f"{VARIABLE}: {problems}") from None


def fernet_key(present: str = "") -> str:
    """Return a new key of Airflow, followed by the present ones, with which stored values can still be read."""
    made = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return ",".join([made, present]) if present else made


def generators(deployment: Deployment) -> dict[str, Callable[[str], str]]:
    """Return for each key of Airflow's secret how its value is made from the present one."""
    metadata, broker = deployment.metadata, deployment.broker

    def database_url(_: str) -> str:
        # Without `sslmode`, which asyncpg does not accept from SQLAlchemy. All drivers read PGSSLMODE.
        place = f"{metadata.host}:{metadata.port}/{metadata.database}"
        return f"postgresql+psycopg2://{metadata.owner}:{secrets.token_urlsafe(32)}@{place}"

    def random(_: str) -> str:
        return secrets.token_urlsafe(48)

    made: dict[str, Callable[[str], str]] = {
        "FERNET_KEY": fernet_key,
        "JWT_SECRET": random,
        "SESSION_SECRET": random,
        "DATABASE_URL": database_url,
    }
    if broker is not None:
        made["BROKER_URL"] = lambda _: (
            f"rediss://{quote(broker.user)}:{secrets.token_urlsafe(32)}@{broker.host}:{broker.port}/0"
            "?ssl_cert_reqs=required"
        )
    return made


def bootstrap(
    deployment: Deployment,
    client: SecretsManagerClient,
    elasticache: ElastiCacheClient,
    rotate: Collection[str] = (),
) -> Iterator[str]:
    """Create what is missing and yield a line for each step. Values of secrets are never part of a line.

    Args:
        deployment: what there is.
        client: client of Secrets Manager.
        elasticache: client of ElastiCache, used with a broker only.
        rotate: keys of Airflow's secret that get a new value.

    Raises:
        DataError: `rotate` names a key that does not exist or must not change, a secret is no JSON object, or Airflow's
            secret lacks a key that is stored by hand.
    """
    made = generators(deployment)
    if unknown := sorted(set(rotate) - made.keys()):
        raise DataError(f"{', '.join(unknown)} cannot be rotated. Keys that can: {', '.join(made)}.")
    with administrator(deployment.warehouse, client) as connection:
        _prepare_warehouse(connection, deployment.warehouse)
    warehouse = deployment.warehouse
    others = f"{READER_ROLE} and {ANALYST_ROLE} may connect"
    yield f"{warehouse.database}: belongs to the role {warehouse.owner}, and {others}"
    # A run that is interrupted after this repeats what follows with the values that are stored.
    before, airflow = change_secret(
        client,
        deployment.airflow_secret,
        lambda present: {
            name: make(present.get(name, "")) for name, make in made.items() if name in rotate or not present.get(name)
        },
    )
    for name in [name for name in made if airflow[name] != before.get(name)]:
        yield f"{name}: {'rotated' if name in rotate else 'created'}"
    with administrator(deployment.metadata, client) as connection:
        roles.set_role(connection, deployment.metadata.owner, _password(airflow["DATABASE_URL"]))
        roles.limit_idle_transactions(connection, deployment.metadata.owner)
        _own(connection, deployment.metadata)
    yield f"{deployment.metadata.database}: belongs to the role {deployment.metadata.owner}"
    if deployment.broker is not None:
        # Terraform creates the user without a password, for authentication by IAM.
        mode: AuthenticationModeTypeDef = {"Type": "password", "Passwords": [_password(airflow["BROKER_URL"])]}
        elasticache.modify_user(UserId=deployment.broker.user_id, AuthenticationMode=mode)
        yield f"{deployment.broker.user}: has the password of BROKER_URL"
    before, settings = change_secret(
        client,
        deployment.settings_secret,
        lambda present: {} if present.get(MASK_KEY) else {MASK_KEY: secrets.token_hex(32)},
    )
    if settings != before:
        yield f"{MASK_KEY}: created. Keep a copy: another key gives other pseudonyms."
    for name in deployment.stored_by_hand:
        if not airflow.get(name):
            raise DataError(
                f"The secret {deployment.airflow_secret} has no {name}. Store it, then apply again: "
                f"deploy/set_secret.py {deployment.airflow_secret} {name}"
            )


def _prepare_warehouse(connection: Connection, warehouse: Database) -> None:
    """Create the owner, the reader and the analysts of the warehouse, who log in with tokens of AWS, and their rights.

    RDS refuses the password of each member of `rds_iam`, also of indirect ones. The administrator must be a member of
    the owner to prepare its database, and is one within this transaction only.
    """
    database, owner = sql.Identifier(warehouse.database), sql.Identifier(warehouse.owner)
    with connection.transaction():
        for role in (warehouse.owner, READER_ROLE, ANALYST_ROLE):
            roles.set_role(connection, role)
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(IAM_ROLE), sql.Identifier(role)))
        _own(connection, warehouse)
        roles.prepare_warehouse(connection)
        connection.execute(sql.SQL("grant connect on database {} to current_user").format(database))
        connection.execute(sql.SQL("revoke {} from current_user").format(owner))


@contextmanager
def administrator(database: Database, client: SecretsManagerClient) -> Iterator[Connection]:
    """Open a database as its administrator, in autocommit mode."""
    who = read_secret(client, database.admin_secret)
    with psycopg.connect(
        host=database.host,
        port=database.port,
        dbname=database.database,
        user=who["username"],
        password=who["password"],
        sslmode=database.sslmode,
        autocommit=True,
        application_name="waybill bootstrap",
    ) as connection:
        yield connection


def _own(connection: Connection, database: Database) -> None:
    """Make the role own the database. The administrator must be its member to do so."""
    owner = sql.Identifier(database.owner)
    connection.execute(sql.SQL("grant {} to current_user").format(owner))
    statement = sql.SQL("alter database {} owner to {}")
    connection.execute(statement.format(sql.Identifier(database.database), owner))


def _password(url: str) -> str:
    """Return the password of an address. Ours need no escapes."""
    return url.split("://", 1)[1].split("@", 1)[0].split(":", 1)[1]


def read_secret(client: SecretsManagerClient, secret: str) -> dict[str, str]:
    """Return a secret's JSON object; empty if the secret has no value yet. Raises `DataError` for another content."""
    return _read(client, secret)[0]


def _read(client: SecretsManagerClient, secret: str) -> tuple[dict[str, str], str | None]:
    """Return a secret's JSON object, and the id of this version; None if it has no value yet."""
    try:
        found = client.get_secret_value(SecretId=secret, VersionStage=_CURRENT)
    except client.exceptions.ResourceNotFoundException:
        client.describe_secret(SecretId=secret)  # raises if there is no such secret
        return {}, None
    try:
        content = json.loads(found["SecretString"])
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DataError(f"The secret {secret} must be a JSON object.")
    return content, found["VersionId"]


def change_secret(
    client: SecretsManagerClient, secret: str, change: Callable[[dict[str, str]], dict[str, str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Set keys of a secret's JSON object, and keep the others. Return the object before and after.

    `change` returns the keys to set from the present object. If another program changes the secret meanwhile, this
    repeats with the new object, so that no change is lost. Raises `DataError` after five attempts.
    """
    for _ in range(_ATTEMPTS):
        before, version = _read(client, secret)
        after = before | change(before)
        if after == before or _replace(client, secret, version, after):
            return before, after
    raise DataError(f"The secret {secret} was changed by other programs during {_ATTEMPTS} attempts. Try again.")


def _replace(client: SecretsManagerClient, secret: str, version: str | None, content: dict[str, str]) -> bool:
    """Replace a version of a secret. Return False, and change nothing, if it is not the current one any more."""
    # The first version of a secret becomes the current one at once.
    stored = client.put_secret_value(SecretId=secret, SecretString=json.dumps(content), VersionStages=[_NEXT])
    if _CURRENT in stored["VersionStages"]:
        return True
    place: UpdateSecretVersionStageRequestTypeDef = {
        "SecretId": secret,
        "VersionStage": _CURRENT,
        "MoveToVersionId": stored["VersionId"],
    }
    if version is not None:
        place["RemoveFromVersionId"] = version
    try:
        client.update_secret_version_stage(**place)
    except client.exceptions.InvalidParameterException:
        return False
    return True
