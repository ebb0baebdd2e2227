"""Messages name only DAGs that exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from waybill.contracts import domains, load_all
from waybill.contracts.domains import dag_of, existing_dag_of, without_dag
from waybill.settings import PROJECT_ROOT

DOMAINS = sorted({contract.domain for contract in load_all().values() if contract.is_dataset})


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_projects_domains_have_the_dag_that_the_rule_names(domain: str) -> None:
    assert existing_dag_of(domain) == dag_of(domain)


@pytest.mark.parametrize(
    ("text", "exists"),
    [
        ('with DAG(dag_id="orders_reports", schedule=None):\n    pass\n', True),
        ('DAG("orders_reports")\n', True),
        ('import airflow.sdk\n@airflow.sdk.dag(dag_id="orders_reports")\ndef f(): ...\n', True),
        ('# DAG(dag_id="orders_reports")\n', False),
        ("TEXT = 'DAG(dag_id=\"orders_reports\")'\n", False),
        ('DAG(dag_id="orders_reports_old")\n', False),
        ("", False),
    ],
)
def test_a_dag_exists_if_a_file_defines_it(
    text: str, exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "some.py").write_text(text)
    assert existing_dag_of("orders") == ("orders_reports" if exists else None)
    assert without_dag("orders") == (
        f"No DAG takes in the files of orders: {tmp_path} has none named orders_reports. "
        f"Write {tmp_path}/orders/orders_reports.py, like the ones that are there."
    )


def test_folders_that_are_links_are_searched_and_broken_files_define_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders").symlink_to(PROJECT_ROOT / "dags" / "orders")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "latin.py").write_bytes(b"# \xe4\n")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    assert existing_dag_of("orders") == "orders_reports"
    assert existing_dag_of("shop") is None


def test_dags_are_looked_up_without_airflow() -> None:
    code = (
        "import sys; from waybill.contracts.domains import existing_dag_of as f; "
        "f('orders'); print('airflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PROJECT_ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
    assert domains.existing_dag_of("orders") == "orders_reports"
