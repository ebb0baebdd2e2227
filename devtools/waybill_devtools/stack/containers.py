"""Entry points for the containers of docker-compose.yaml, with the code of the embedded stack.

python -m waybill_devtools.stack.containers prepare    create databases, roles and buckets, before the others start
python -m waybill_devtools.stack.containers s3         run SeaweedFS on all addresses
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from waybill.errors import DataError
from waybill.settings import settings
from waybill_devtools.stack import aws, postgres
from waybill_devtools.stack.state import PREFERRED_PORTS


def prepare() -> None:
    """Create missing databases, roles and buckets.

    The variables of libpq name the server, and the variables `*_PASSWORD` have the passwords of the roles.
    """
    import boto3

    passwords = {role: _secret(f"{secret}_PASSWORD".upper()) for role, secret in postgres.ROLES.items()}
    postgres.create_databases("", passwords)
    buckets = settings()
    aws.make_buckets(
        boto3.client("s3"), buckets.raw_bucket, buckets.lake_bucket, buckets.reports_bucket, buckets.dashboard_bucket
    )
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    for database in (buckets.lake_database, buckets.training_database):
        aws.make_database(str(buckets.lake_catalog), key, secret, database)


def s3() -> None:
    """Replace this process by SeaweedFS with its data in the current folder."""
    ports = {name: PREFERRED_PORTS[name] for name in ("s3", "catalog")}
    command = aws.s3_command(Path.cwd(), ports, "0.0.0.0")  # noqa: S104  # its container's
    os.execv(command[0], command)  # noqa: S606


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise DataError(f"{name} is not set. See .env.example.")
    return value


if __name__ == "__main__":
    {"prepare": prepare, "s3": s3}[sys.argv[1]]()
