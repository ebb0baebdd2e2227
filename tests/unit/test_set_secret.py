"""`deploy/set_secret.py` stores one key of a secret and keeps the others. moto answers for AWS."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from waybill.errors import DataError
from waybill.ops.bootstrap import change_secret
from waybill.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy" / "set_secret.py"
SECRET, KEY = "waybill-dev/airflow", "OIDC_CLIENT_SECRET"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        client: Any = boto3.client("secretsmanager", region_name="eu-central-1")
        client.create_secret(Name=SECRET)
        yield client


def stored(client: Any) -> dict[str, str]:
    values: dict[str, str] = json.loads(
        client.get_secret_value(SecretId=SECRET, VersionStage="AWSCURRENT")["SecretString"]
    )
    return values


Store = Callable[..., None]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    names: dict[str, Any] = {"__name__": "set_secret"}
    exec(compile(SCRIPT.read_text(), SCRIPT, "exec"), names)

    def run(value: str, secret: str = SECRET) -> None:
        monkeypatch.setattr(sys, "argv", ["set_secret.py", secret, KEY])
        monkeypatch.setattr(sys, "stdin", io.StringIO(value))
        names["main"]()

    return run


def test_a_secret_without_a_value_gets_one(secrets: Any, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store("first of all\n")
    assert stored(secrets) == {KEY: "first of all"}
    assert capsys.readouterr().out == f"{SECRET}: {KEY} is stored. Other keys, unchanged: none.\n"


def test_other_keys_stay_and_no_value_is_printed(
    secrets: Any, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"FERNET_KEY": "key of Fernet", "DATABASE_URL": "postgresql://…", KEY: "the former"}
    secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps(before))
    store("the next")
    assert stored(secrets) == before | {KEY: "the next"}
    printed = capsys.readouterr()
    assert printed.out == f"{SECRET}: {KEY} is replaced. Other keys, unchanged: DATABASE_URL, FERNET_KEY.\n"
    store("the next")
    assert capsys.readouterr().out == f"{SECRET}: {KEY} has this value already.\n"
    assert len(secrets.list_secret_version_ids(SecretId=SECRET)["Versions"]) == 2


@pytest.mark.parametrize("is_first", [False, True])
def test_a_change_that_another_program_makes_meanwhile_is_kept(secrets: Any, is_first: bool) -> None:
    if not is_first:
        secrets.put_secret_value(SecretId=SECRET, SecretString='{"FERNET_KEY": "old"}')
    tries = []

    def change(present: dict[str, str]) -> dict[str, str]:
        tries.append(present)
        if len(tries) < 3:  # bootstrap is faster
            other = json.dumps(present | {f"OTHER_{len(tries)}": "x", "FERNET_KEY": f"new {len(tries)}"})
            secrets.put_secret_value(SecretId=SECRET, SecretString=other)
        return {KEY: "value"}

    before, after = change_secret(secrets, SECRET, change)
    assert len(tries) == 3
    assert stored(secrets) == after == {"OTHER_1": "x", "OTHER_2": "x", "FERNET_KEY": "new 2", KEY: "value"}
    assert before == {name: value for name, value in after.items() if name != KEY}


def test_a_secret_that_never_rests_is_left_as_it_is(secrets: Any) -> None:
    tries = []

    def change(present: dict[str, str]) -> dict[str, str]:
        tries.append(present)
        secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps({"OTHER": str(len(tries))}))
        return {KEY: "value"}

    with pytest.raises(DataError, match="was changed by other programs during 5 attempts"):
        change_secret(secrets, SECRET, change)
    assert stored(secrets) == {"OTHER": "5"}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_every_value_is_stored_as_it_is(secrets: Any, store: Store, value: str) -> None:
    store(value + "\r\n")
    assert stored(secrets)[KEY] == value


@pytest.mark.parametrize("present", ["plain text of a password", '["a list"]'])
def test_a_secret_that_is_no_object_is_not_replaced(secrets: Any, store: Store, present: str) -> None:
    secrets.put_secret_value(SecretId=SECRET, SecretString=present)
    with pytest.raises(SystemExit, match="must be a JSON object") as ended:
        store("value")
    assert present not in str(ended.value)
    assert secrets.get_secret_value(SecretId=SECRET)["SecretString"] == present


def test_a_missing_secret_and_an_empty_value_are_errors(secrets: Any, store: Store) -> None:
    with pytest.raises(SystemExit, match=r"elsewhere: .*ResourceNotFoundException"):
        store("value", "elsewhere")
    with pytest.raises(SystemExit, match=f"{SECRET}: the value of {KEY} is empty. Nothing was changed."):
        store("\n")
    assert "VersionIdsToStages" not in secrets.describe_secret(SecretId=SECRET)


def test_the_script_starts_and_says_what_it_needs() -> None:
    done = subprocess.run([sys.executable, SCRIPT, SECRET], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "Name the secret and its key, such as: waybill-dev/airflow OIDC_CLIENT_SECRET\n"
