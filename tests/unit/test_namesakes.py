"""Columns of one name mean the same within a domain: the same type, and the same first sentence of the description."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill.cli import app
from waybill.contracts import Column, Contract, load_all
from waybill.contracts.namesakes import namesake_warnings
from waybill.settings import PROJECT_ROOT, settings


def table(
    name: str, kind: str, description: str, domain: str = "shop", column: str = "customer_id", mode: str = "report"
) -> Contract:
    columns = (Column(column, description, "integer", kind),)
    return Contract(domain, name, "1", "", "", columns, mode, 0, 0, (), "")


def test_the_warning_names_the_column_and_each_variant_with_its_tables() -> None:
    contracts = [
        table("customers", "integer", "Identifies a customer; never reused."),
        table("dim_customer", "integer", "Identifies a customer; never reused.", "shop_star"),
        table("transactions", "bigint", "Who bought."),
    ]
    assert namesake_warnings("shop", contracts) == [
        (
            "shop: the column 'customer_id' has 2 types and 2 meanings:\n"
            "  integer, 'Identifies a customer; never reused.': shop.customers, shop_star.dim_customer\n"
            "  bigint, 'Who bought.': shop.transactions"
        )
    ]


@pytest.mark.parametrize(
    ("kind", "description", "differs"),
    [
        ("numeric(12,2)", "Net revenue, in euro.", None),
        ("numeric(16,2)", "Net revenue, in euro.", None),  # a sum has more digits than its parts
        ("numeric(12,2)", "Net revenue, in euro. The day's.", None),
        ("numeric(12,2)", "Net   revenue,\nin euro.", None),
        ("numeric(12,4)", "Net revenue, in euro.", "2 types"),
        ("bigint", "Net revenue, in euro.", "2 types"),
        ("numeric(12,2)", "Net revenue, in cents.", "2 meanings"),
        ("numeric(12,2)", "", "2 meanings"),
    ],
)
def test_only_type_and_first_sentence_count(kind: str, description: str, differs: str | None) -> None:
    contracts = [table("a", "numeric(12,2)", "Net revenue, in euro."), table("b", kind, description)]
    found = [warning.partition(":\n")[0] for warning in namesake_warnings("shop", contracts)]
    assert found == ([f"shop: the column 'customer_id' has {differs}"] if differs else [])


def test_versions_of_one_feature_view_may_differ() -> None:
    versions = [
        table(f"night_v{number}", "numeric(5,2)", f"Share {number}.", "shop_feature", "share", "feature")
        for number in (1, 2)
    ]
    assert namesake_warnings("shop", versions) == []
    other = table("day_v1", "numeric(5,2)", "Share 2.", "shop_feature", "share", "feature")
    [warning] = namesake_warnings("shop", [*versions, other])
    assert "2 meanings" in warning
    assert "'Share 2.': shop_feature.night_v2, shop_feature.day_v1" in warning


def test_another_domain_has_its_own_columns() -> None:
    contracts = [table("a", "integer", "A."), table("b", "bigint", "B.", "orders_report"), table("c", "text", "C", "x")]
    assert namesake_warnings("shop", contracts) == []


@pytest.mark.parametrize("domain", sorted({one.domain for one in load_all().values() if one.is_dataset}))
def test_namesakes_of_the_project_agree(domain: str) -> None:
    assert namesake_warnings(domain, load_all().values()) == []


def test_the_command_prints_warnings_separately_and_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECT_ROOT / "include", include := tmp_path / "include")
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", "postgresql://127.0.0.1:1/none")
    contract = include / "contracts/messaging/channels.yaml"
    contract.write_text(contract.read_text().replace("physicalType: integer", "physicalType: bigint"))
    traffic = include / "contracts/messaging/traffic.yaml"
    traffic.write_text(traffic.read_text().replace("relationships: [{to: channels.channel_id}]", ""))
    settings.cache_clear()
    result = CliRunner().invoke(app, ["contract", "check"])
    monkeypatch.undo()
    settings.cache_clear()
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert "messaging: the column 'channel_id' has 2 types: bigint, 'Identifies a channel" in output
    assert "1 warning; warnings do not fail the check. Give each column the same type" in output
