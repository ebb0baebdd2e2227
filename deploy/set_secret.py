"""Store one key of a secret in AWS Secrets Manager, and keep the others.

    python deploy/set_secret.py waybill-dev/airflow OIDC_CLIENT_SECRET

Reads the value from standard input, or asks for it without showing it.
"""

from __future__ import annotations

import os
import sys
from getpass import getpass

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from waybill.errors import DataError
from waybill.ops.bootstrap import change_secret


def main() -> None:
    """Store the value, and print what was done."""
    if len(sys.argv) != 3:
        sys.exit("Name the secret and its key, such as: waybill-dev/airflow OIDC_CLIENT_SECRET")
    secret, key = sys.argv[1:]
    value = (getpass(f"{key}: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not value:
        sys.exit(f"{secret}: the value of {key} is empty. Nothing was changed.")
    try:
        # boto3 does not read AWS_REGION, which the AWS CLI prefers.
        client = boto3.client("secretsmanager", region_name=os.environ.get("AWS_REGION"))
        present, after = change_secret(client, secret, lambda _: {key: value})
    except (BotoCoreError, ClientError, DataError) as error:
        sys.exit(f"{secret}: {error}")
    if after == present:
        print(f"{secret}: {key} has this value already.")
        return
    others = ", ".join(sorted(present.keys() - {key})) or "none"
    print(f"{secret}: {key} is {'replaced' if key in present else 'stored'}. Other keys, unchanged: {others}.")


if __name__ == "__main__":
    main()
