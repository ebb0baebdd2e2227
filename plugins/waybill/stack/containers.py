"""What the containers of docker-compose.yaml do with the embedded stack's own code.

python -m waybill.stack.containers prepare    databases, roles and buckets, before anything else starts
python -m waybill.stack.containers users      the file with the log-ins, where Airflow's user interface starts
python -m waybill.stack.containers s3         SeaweedFS, for all addresses
python -m waybill.stack.containers imports    print the module that Airflow imports at start
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from waybill.errors import DataError
from waybill.settings import settings
from waybill.stack import airflow, aws, postgres
from waybill.stack.state import PREFERRED_PORTS, write_private


def prepare() -> None:
    """Make what is not there; libpq's variables say where the server is, `*_PASSWORD` what the roles' passwords are."""
    import boto3

    passwords = {role: _secret(f"{secret}_PASSWORD".upper()) for role, secret in postgres.ROLES.items()}
    postgres.create_databases("", passwords)
    buckets = settings()
    aws.make_buckets(
        boto3.client("s3"), buckets.raw_bucket, buckets.lake_bucket, buckets.reports_bucket, buckets.dashboard_bucket
    )


def users() -> None:
    """Write the log-ins from `ADMIN_PASSWORD`, `OPERATOR_PASSWORD` and `VIEWER_PASSWORD`."""
    passwords = {user: _secret(f"{user}_PASSWORD".upper()) for user in airflow.USERS}
    file = os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]
    write_private(Path(file), json.dumps(passwords) + "\n")


def s3() -> None:
    """Become SeaweedFS, with its data in the current folder."""
    command = aws.s3_command(Path.cwd(), {"s3": PREFERRED_PORTS["s3"]}, "0.0.0.0")  # noqa: S104  # its container's
    os.execv(command[0], command)  # noqa: S606


def imports() -> None:
    """Print Airflow's local settings."""
    print(airflow.LOCAL_SETTINGS, end="")


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise DataError(f"{name} is not set: see .env.example")
    return value


if __name__ == "__main__":
    {"prepare": prepare, "users": users, "s3": s3, "imports": imports}[sys.argv[1]]()
