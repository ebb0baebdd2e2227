"""A change of a contract tells what rests on the columns that it touches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill.cli import app
from waybill.cli.contracts import _wrapped

TRAFFIC = "contracts/messaging/traffic.yaml"


@pytest.fixture
def committed(include_dir: Path) -> Path:
    """The contracts, manifests and SQL in a commit."""
    git = ("git", "-C", str(include_dir), "-c", "user.name=a", "-c", "user.email=a@example.com")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "contracts")):
        subprocess.run([*git, *arguments], check=True)
    return include_dir


def impact(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["contract", "impact", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def replaced(path: Path, *pairs: tuple[str, str]) -> str:
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_a_changed_type_names_what_rests_on_the_column(committed: Path) -> None:
    path = committed / TRAFFIC
    path.write_text(replaced(path, ("physicalType: numeric(12,2)", "physicalType: numeric(14,2)")))
    lines = impact().splitlines()
    assert lines[0] == "* `messaging.traffic.revenue_eur`: type numeric(12,2) -> numeric(14,2)"
    assert not [line for line in lines[1:] if not line.startswith("    * ")], "no other column has changed"
    by_kind = dict(line.strip(" *").split(": ", 1) for line in lines[1:])
    computes = "`include/sql/messaging/top_customers.sql` computes `messaging_report.top_customers.revenue_eur` from it"
    assert any(line.startswith(f"    * may break: {computes}, which is numeric(") for line in lines)
    assert "`messaging_report.top_customers.revenue_eur`" in by_kind["report"]
    assert "`analytics/YYYY/MM/DD/top_customers.revenue_eur`" in by_kind["published"]
    assert "`dashboard of messaging.Revenue`" in by_kind["dashboard"]
    assert "`messaging_report.top_customers`" in by_kind["decides rows of"]
    assert "`messaging.traffic`" not in by_kind["decides rows of"]


@pytest.mark.parametrize("is_sql_renamed", [True, False])
def test_a_renamed_column_is_gone_whether_the_sql_is_changed_or_not(committed: Path, is_sql_renamed: bool) -> None:
    path = committed / "contracts/orders/lines.yaml"
    path.write_text(replaced(path, ("- name: region\n", "- name: area\n")))
    if is_sql_renamed:
        report = committed / "sql/orders/region_profit.sql"
        report.write_text(report.read_text().replace("        region,", "        area as region,", 1))
    found = impact()
    assert found.startswith("* `orders.lines.region`: gone\n")
    names = (
        "breaks: `include/sql/orders/region_profit.sql` names it, so `orders_report.region_profit` cannot be built\n"
    )
    assert (names in found) is not is_sql_renamed


def test_a_terminal_shows_no_line_longer_than_itself() -> None:
    line = "    * report: " + ", ".join(f"`billing_report.revenue.column_{number}`" for number in range(20))
    wrapped = _wrapped(line, 80).splitlines()
    assert max(map(len, wrapped)) <= 80
    assert " ".join(one.strip() for one in wrapped) == line.strip()
    assert {one[:6] for one in wrapped[1:]} == {"      "}


def test_what_nobody_reads_differently_is_not_a_change(committed: Path) -> None:
    path = committed / TRAFFIC
    path.write_text(
        replaced(path, ("description: Net revenue, in euro.", "description: Net revenue,  in euro.")) + "# a\n"
    )
    assert impact() == "No column has changed in name, type or meaning.\n"


def test_a_deleted_contract_has_no_column_left(committed: Path) -> None:
    (committed / "contracts/messaging_report/top_customers.yaml").unlink()
    found = impact()
    assert "* `messaging_report.top_customers.revenue_eur`: gone" in found
    assert "    * published: `analytics/YYYY/MM/DD/top_customers.revenue_eur`" in found


def test_a_proposed_contract_is_compared_with_that_of_the_project(include_dir: Path, tmp_path: Path) -> None:
    proposed = tmp_path / "proposed.yaml"
    source = include_dir / "contracts/shop/clickstream.yaml"
    proposed.write_text(replaced(source, ("description: Path of the page.", "description: Address of the page.")))
    lines = impact(str(proposed)).splitlines()
    assert lines[0] == "* `shop.clickstream.page`: meaning"
    assert "    * loaded from the same files: `clicks.clickstream.page`" in lines
    assert any(line.startswith("    * stream: `stream of shop.clickstream.events by page`") for line in lines)


def test_without_a_commit_the_next_step_is_named(committed: Path) -> None:
    done = CliRunner().invoke(app, ["contract", "impact", "--base", "nowhere"])
    assert done.exit_code == 1
    assert "Name a commit with --base, or a proposed contract." in " ".join(done.stderr.split())
