"""A dry run of a proposed contract counts the rows that it newly rejects or accepts, with reasons."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.landing import CUSTOMERS, MONTH, TRAFFIC, Amend, Landing, csv_body, customer_rows, traffic_rows
from support.messaging_months import month
from waybill.cli import app
from waybill.contracts import load
from waybill.intake.dry_run import FileDryRun, dry_run_pending, try_contract
from waybill.intake.landing import list_landed
from waybill.ops.lint import lint
from waybill.settings import PROJECT_ROOT, settings

TODAY = (PROJECT_ROOT / "include/contracts/messaging/traffic.yaml").read_text()
INTERACTIONS = "logicalTypeOptions: {minimum: 0}\n        required: true\n        synonyms: [{synonym: interactions}]"


def tried(landing: Landing, folder: Path, *changes: tuple[str, str]) -> list[FileDryRun]:
    text = TODAY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "traffic.yaml").write_text(text)
    landed = list_landed(landing.s3, landing.bucket, landing.contracts["traffic"], None, month(MONTH))
    proposed = load(folder / "traffic.yaml")
    today = landing.contracts["traffic"]
    return try_contract(landing.connection, landing.s3, today, proposed, landing.contracts, landed)


def test_rows_that_a_tighter_rule_rejects_are_counted_with_reasons_and_records(
    landing: Landing, tmp_path: Path
) -> None:
    rows = [*traffic_rows(20), "21,2026-03-21,1,1,1,-5,1.00", '22,2026-03-22,1,1,1,"7",1.00', "23,2026-03-23,1,1,1,7"]
    landing.put("traffic", MONTH, csv_body(TRAFFIC, rows))
    [result] = tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: 8")))
    # Records 21 (negative) and 23 (ragged) are rejected today as well.
    assert (result.rows, result.rows_newly_rejected, result.rows_newly_accepted) == (23, 1, 0)
    assert result.reasons == {"range:interactions_count": 1}
    assert result.examples == {"range:interactions_count": [22]}


def test_rows_that_a_looser_rule_accepts_are_counted(landing: Landing, tmp_path: Path) -> None:
    landing.put("traffic", MONTH, csv_body(TRAFFIC, [*traffic_rows(20), "21,2026-03-21,1,1,1,-5,1.00"]))
    [result] = tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: -9")))
    assert (result.rows_newly_rejected, result.rows_newly_accepted) == (0, 1)


def test_a_file_without_a_newly_required_column_would_be_rejected(landing: Landing, tmp_path: Path) -> None:
    landing.put("traffic", MONTH, csv_body(TRAFFIC, traffic_rows(3)))
    [result] = tried(landing, tmp_path, ("      - name: traffic_id\n", "      - name: batch_id\n"))
    assert result.rejection is not None
    assert "batch_id" in result.rejection


def test_a_dry_run_covers_files_that_the_effective_contract_rejects(landing: Landing, tmp_path: Path) -> None:
    header = TRAFFIC.replace("interactions_count", "how_many")
    assert header != TRAFFIC
    landing.put("traffic", MONTH, csv_body(header, [*traffic_rows(3), "4,2026-03-04,1,1,1,-5,1.00"]), "a.csv")
    landing.put("traffic", MONTH, b"", "b.csv")
    both = "synonyms: [{synonym: interactions}, {synonym: how_many}]"
    other, empty = tried(landing, tmp_path, ("synonyms: [{synonym: interactions}]", both))
    assert (other.rows, other.rows_newly_rejected, other.rows_newly_accepted) == (4, 0, 3)
    assert "1 of 4 rows do not meet the contract" in str(other.rejection)
    assert str(other.rejection).endswith("range:interactions_count in 1 row: record 4 (interactions_count '-5')")
    assert (empty.rows, empty.rows_newly_accepted) == (0, 0)
    assert "b.csv: the file is empty" in str(empty.rejection)


def test_a_dry_run_and_a_load_reject_a_file_with_the_same_message(landing: Landing, tmp_path: Path) -> None:
    rows = [*traffic_rows(17), "18,2026-03-18,1,1,1,5,1.00", "19,2026-03-19,1,1,1", "20,2026-03-20,99,99,1,5,-1"]
    landing.put("traffic", MONTH, csv_body(TRAFFIC, rows))
    [result] = tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: 6")))
    today = dry_run_pending(
        landing.connection, landing.s3, landing.contracts["traffic"], landing.contracts, month(MONTH)
    )
    message = landing.reject("traffic", csv_body(TRAFFIC, rows))
    [dry] = today.values()
    assert dry["file_rejected"] == message
    assert (dry["rejected"], result.is_rejected_today, result.is_newly_rejected) == (2, True, False)
    assert result.rows_newly_rejected == 1
    assert "range:interactions_count in 2 rows: record 18 (interactions_count '5')" in str(result.rejection)


def test_a_dry_run_of_a_snapshot_rejects_one_that_has_shrunk(landing: Landing) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(41)), key_month="2026-02")
    landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(4)))
    found = dry_run_pending(
        landing.connection, landing.s3, landing.contracts["customers"], landing.contracts, month(MONTH)
    )
    [rejection] = [outcome["file_rejected"] for outcome in found.values()]
    assert rejection == landing.reject("customers", csv_body(CUSTOMERS, customer_rows(4)))


def test_a_dry_run_writes_nothing(landing: Landing, tmp_path: Path) -> None:
    landing.put("traffic", MONTH, csv_body(TRAFFIC, traffic_rows(3)))
    before = landing.row_counts()
    tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: 11")))
    assert landing.row_counts() == before


def test_the_command_reads_a_contract_of_any_file_name_and_names_missing_inputs(
    landing_dsn: str,
    landing: Landing,
    stack_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", landing_dsn)
    settings.cache_clear()
    path = tmp_path / "traffic_new.yaml"

    def output_of(text: str, exit_code: int) -> str:
        path.write_text(text)
        result = CliRunner().invoke(app, ["contract", "try", str(path)])
        assert result.exit_code == exit_code, result.output
        return " ".join(result.output.split())

    assert f"No file of messaging.traffic has landed in s3://{landing.bucket}." in output_of(TODAY, 0)
    landing.put("traffic", MONTH, csv_body(TRAFFIC, traffic_rows(3)))
    assert "part-1.csv" in output_of(TODAY, 0)
    wider = TODAY.replace("physicalType: numeric(12,2)", "physicalType: numeric(14,2)")
    assert wider != TODAY
    assert (
        "The next load with this contract would stop: the contract of messaging.traffic (version 1.0.1) needs more "
        "than new nullable columns and wider numbers: column 'revenue_eur' is numeric(12,2) not null in the table "
        "and numeric(14,2) not null"
    ) in output_of(wider, 1)
    assert "there is no dataset 'trafic' in messaging" in output_of(
        TODAY.replace("- name: traffic\n", "- name: trafic\n").replace("element: traffic.", "element: trafic."), 1
    )
    report = (PROJECT_ROOT / "include/contracts/messaging_report/segment_share.yaml").read_text()
    assert "messaging_report.segment_share is a derived table" in output_of(report, 1)


def test_a_contract_that_changed_under_its_version_is_reported(
    landing: Landing, amend: Amend, caplog: pytest.LogCaptureFixture
) -> None:
    landing.load("traffic", csv_body(TRAFFIC, traffic_rows(3)))
    assert lint(landing.connection)[1] == []
    amend("traffic", "minimum: 0", "minimum: 1")
    [problem] = lint(landing.connection)[1]
    assert problem.endswith(
        "traffic.yaml: has changed since it was applied and is still version 1.0.1: raise the version"
    )
    with caplog.at_level(logging.WARNING):
        landing.load("traffic", csv_body(TRAFFIC, traffic_rows(4)))
    assert "the contract of messaging.traffic has changed and is still version 1.0.1" in caplog.text
    amend("traffic", "version: 1.0.1", "version: 1.1.0")
    assert lint(landing.connection)[1] == []
