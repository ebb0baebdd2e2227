"""datacontract-cli, an independent reader of the standard, agrees with the contracts and with the warehouse."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.testing import CliRunner

from support.messaging_months import build_month, database, ingest_month, put, sample
from waybill.cli import app
from waybill.contracts import Contract, ContractError, load, load_all
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

BIN = PROJECT_ROOT / ".waybill/datacontract/bin"
SCRIPT = PROJECT_ROOT / "tests/support/datacontract_results.py"
MONTHS = ("2026-03", "2026-04")
Results = dict[str, list[tuple[str, str, str]]]

pytestmark = pytest.mark.skipif(
    not (BIN.parent / "installed").exists(), reason="`make datacontract` has not installed datacontract-cli"
)


def run(action: str, *paths: Path, **variables: str) -> Results:
    """Return result, name and reason of each check by the name of the file."""
    words = [str(BIN / "python"), str(SCRIPT), action, *map(str, paths)]
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    done = subprocess.run(words, env=clean | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(path).name: [tuple(one) for one in found] for path, found in json.loads(done.stdout).items()}


def failures(results: Results) -> dict[str, dict[str, str]]:
    """Return the reasons by file and check, without references, which it cannot follow into other contracts."""
    return {
        path: others
        for path, found in results.items()
        if (others := {name: why for result, name, why in found if result != "passed" and "relationship" not in why})
    }


def export(*words: str) -> str:
    done = CliRunner().invoke(app, ["contract", "export", *words])
    assert done.exit_code == 0, done.output
    return done.output


def declared_checks(table: str) -> int:
    document = yaml.safe_load(load_all()[table].document)
    return sum(len(owner.get("quality", [])) for one in document["schema"] for owner in (one, *one["properties"]))


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Iterator[dict[str, str]]:
    """A warehouse with two months of messaging; the variables with which datacontract-cli reads it."""
    patch = pytest.MonkeyPatch()
    s3, bucket = stack.s3(), "datacontract"
    s3.create_bucket(Bucket=bucket)
    put(s3, bucket, sample(MONTHS[-1], 2))
    with database(stack) as dsn:
        patch.setenv("WAYBILL_RAW_BUCKET", bucket)
        patch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        with connect(dsn) as connection:
            for month in MONTHS:
                ingest_month(connection, s3, month)
                build_month(connection, month)
        yield {
            "DATACONTRACT_POSTGRES_USERNAME": "waybill_reader",
            "DATACONTRACT_POSTGRES_PASSWORD": stack.state.secrets["reader"],
            "AIRFLOW_CONN_WAYBILL_WAREHOUSE": dsn,
        }
    patch.undo()
    settings.cache_clear()


def test_every_contract_is_valid() -> None:
    paths = sorted((PROJECT_ROOT / "include/contracts").glob("*/*.yaml"))
    results = run("lint", *paths)
    assert len(results) > 30
    for path, found in results.items():
        [(result, name, _), *others] = found
        assert (result, name) == ("passed", "Data contract is valid against ODCS v3.1.0"), path
        for result, name, why in others:
            assert (result, name.startswith("Quality rule on ")) == ("warning", True), path
            assert "unit:percent" in why, "it cannot run a rule that the standard allows"


def test_the_exported_contracts_hold_in_the_warehouse(reader: Mapping[str, str], tmp_path: Path) -> None:
    words = ("messaging", "messaging_report", "--to", "datacontract")
    export(*words, "--folder", str(tmp_path / "with"), "--period", MONTHS[-1])
    output = export(*words, "--folder", str(tmp_path / "without"))
    names = [table for table in load_all() if table.startswith(("messaging.", "messaging_report."))]
    checks = sum(declared_checks(table) for table in names)
    assert f"Left out {checks} of {checks} checks" in output
    copies = sorted((tmp_path / "with").iterdir())
    assert [path.stem for path in copies] == names
    results = run("test", *copies, **reader)
    assert failures(results) == {}
    kinds = {name.split(" ", 4)[-1] for found in results.values() for _, name, _ in found}
    assert any("physical type numeric" in kind for kind in kinds)
    assert failures(run("test", *sorted((tmp_path / "without").iterdir()), **reader)) == {}
    assert sum(map(len, results.values())) - checks > 200, "columns, types, keys and rules, besides our own checks"


def test_planted_faults_are_found(reader: Mapping[str, str], tmp_path: Path) -> None:
    export("messaging_report", "--to", "datacontract", "--folder", str(tmp_path), "--period", MONTHS[-1])
    paths = [tmp_path / f"messaging_report.{name}.yaml" for name in ("top_customers", "segment_share")]
    with psycopg.connect(reader["AIRFLOW_CONN_WAYBILL_WAREHOUSE"], autocommit=True) as admin:
        assert failures(run("test", *paths, **reader)) == {}
        admin.execute(
            "update messaging_report.top_customers set revenue_eur = revenue_eur + 0.01 where customer_rank = 1"
        )
        admin.execute("alter table messaging_report.segment_share alter column share_pct type float8")
    found = failures(run("test", *paths, **reader))
    different = "Customers whose revenue differs from the month's traffic, or who are missing from the list."
    assert {path: [*checks] for path, checks in found.items()} == {
        "messaging_report.top_customers.yaml": [different],
        "messaging_report.segment_share.yaml": ["Check that field share_pct has physical type numeric(5,2)"],
    }
    command = [str(BIN / "datacontract"), "test", str(paths[0])]
    done = subprocess.run(command, env=os.environ | reader, capture_output=True, text=True, check=False)
    assert done.returncode == 1


def test_a_copy_has_the_address_and_no_secret(reader: Mapping[str, str]) -> None:
    text = export("messaging.traffic", "--to", "datacontract", "--period", MONTHS[0])
    document = yaml.safe_load(text)
    [server] = document["servers"]
    assert {**server, "port": 0, "database": ""} == {
        "server": "warehouse",
        "type": "postgres",
        "host": "127.0.0.1",
        "port": 0,
        "database": "",
        "schema": "messaging",
    }
    assert psycopg.conninfo.conninfo_to_dict(reader["AIRFLOW_CONN_WAYBILL_WAREHOUSE"])["password"] not in text
    assert "%(" not in text


def test_other_formats_come_from_datacontract_cli(
    reader: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    schema: dict[str, Any] = json.loads(export("messaging.channels", "--to", "json-schema"))
    contract = load_all()["messaging.channels"]
    assert [*schema["properties"]] == contract.names
    assert schema["required"] == [column.name for column in contract.columns if column.required]
    [source] = yaml.safe_load(export("messaging.channels", "--to", "dbt"))["sources"]
    assert source["schema"] == "messaging"
    [table] = source["tables"]
    assert {one["name"]: one["data_type"] for one in table["columns"]} == {
        column.name: column.physical_type for column in contract.columns
    }
    output = export("messaging.channels", "--to", "html", "--folder", str(tmp_path))
    page = tmp_path / "messaging.channels.html"
    assert str(page) in output.replace("\n", "")
    assert "channel_id" in page.read_text()


def test_without_datacontract_cli_the_message_says_how_to_install_it(
    reader: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(app, ["contract", "export", "messaging.channels", "--to", "html"])
    assert done.exit_code == 1
    assert "There is no command `datacontract` on the PATH." in done.output
    assert "run `make datacontract`, `uv tool install 'datacontract-cli[postgres]==1.2.8'`" in done.output


def import_contract(target: Path, *words: str, **variables: str) -> Path:
    """Return what `datacontract import` writes."""
    command = [str(BIN / "datacontract"), "import", *words, "--output", str(target)]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def complete(file: Path, imported: Path, include_dir: Path, dataset: str) -> tuple[Contract, str]:
    """Return the contract that `waybill contract new` writes from both, and its text."""
    words = ["contract", "new", str(file), "--domain", "billing", "--dataset", dataset, "--from", str(imported)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    path = include_dir / "contracts/billing" / f"{dataset}.yaml"
    return load(path), path.read_text()


def test_a_contract_that_it_imports_from_a_file_is_completed(include_dir: Path, tmp_path: Path) -> None:
    orders = PROJECT_ROOT / "examples/orders.csv"
    imported = import_contract(tmp_path / "orders_imported.yaml", "csv", "--source", str(orders))
    with pytest.raises(ContractError, match="needs a domain"):
        load(imported, is_proposal=True)
    contract, text = complete(orders, imported, include_dir, "orders")
    [table] = yaml.safe_load(imported.read_text())["schema"]
    assert [one.business_name or one.name for one in contract.delivered_columns] == [
        one["name"] for one in table["properties"]
    ]
    assert contract.description == "Write what orders holds."
    assert contract.lands_any_time
    assert contract.cadence == "day"
    assert "# check: orders_imported.yaml says double precision." in text
    [(result, *_), *others] = run("lint", include_dir / "contracts/billing/orders.yaml")["orders.yaml"]
    assert (result, others) == ("passed", [])


def test_a_contract_that_it_imports_from_a_table_brings_the_descriptions(
    reader: Mapping[str, str], include_dir: Path, tmp_path: Path
) -> None:
    address = psycopg.conninfo.conninfo_to_dict(reader["AIRFLOW_CONN_WAYBILL_WAREHOUSE"])
    words = ("postgres", "--source", str(address["host"]), "--port", str(address["port"]))
    words += ("--database", str(address["dbname"]), "--schema", "messaging_report", "--table", "industry_exposure")
    imported = import_contract(tmp_path / "table.yaml", *words, **reader)
    file = tmp_path / "exposure.csv"
    with connect(reader["AIRFLOW_CONN_WAYBILL_WAREHOUSE"]) as connection, file.open("wb") as target:
        query = "copy (select * from messaging_report.industry_exposure order by 1, 2) to stdout (format csv, header)"
        with connection.cursor().copy(query) as copy:
            target.writelines(copy)
    contract, _ = complete(file, imported, include_dir, "exposure")
    original = load_all()["messaging_report.industry_exposure"]
    described = {column.name: column.description for column in contract.delivered_columns}
    assert described == {column.name: column.description for column in original.columns}
    assert contract.key == original.key
