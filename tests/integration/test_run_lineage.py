"""What a run read and wrote, by the ledger, in the names of OpenLineage."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from openlineage.client.serde import Serde

from support.ledger import add_file
from support.messaging_months import migrate
from waybill.ops.run_lineage import built, exported, loaded


@pytest.fixture
def ledger(warehouse: psycopg.Connection, warehouse_dsn: str) -> psycopg.Connection:
    """A warehouse with two files of one run and one of another."""
    migrate(warehouse_dsn)
    add_file(warehouse, "messaging.traffic", "a", run_id="run", rows_in=10, inserted=6, updated=1, rejected=3)
    add_file(warehouse, "messaging.traffic", "b", run_id="run", rows_in=5, inserted=4, duplicate=1)
    add_file(warehouse, "messaging.traffic", "c", run_id="other", rows_in=7, inserted=7)
    return warehouse


def by_name(datasets: Any) -> dict[str, Any]:
    found = {one.name: Serde.to_dict(one) for one in datasets}
    assert len(found) == len(datasets)
    return found


def test_a_load_has_its_files_rows_and_rejected_rows(ledger: psycopg.Connection) -> None:
    found = loaded(ledger, ["messaging.traffic", "messaging.customers"], "run", "abc123")
    [file] = found.inputs
    assert (file.namespace, file.name) == ("s3://waybill-raw", "raw/messaging/traffic")
    [statistics] = (file.inputFacets or {}).values()
    assert Serde.to_dict(statistics).items() >= {"rowCount": 15, "fileCount": 2, "size": 2}.items()
    database = ledger.info.dbname
    outputs = by_name(found.outputs)
    assert outputs.keys() == {f"{database}.messaging.traffic", f"{database}.waybill.quarantine"}
    assert {one.namespace for one in found.outputs} == {f"postgres://{ledger.info.host}:{ledger.info.port}"}
    rows = {
        name.rpartition(".")[2]: one["outputFacets"]["outputStatistics"]["rowCount"] for name, one in outputs.items()
    }
    assert rows == {"traffic": 11, "quarantine": 3}
    facets = outputs[f"{database}.messaging.traffic"]["facets"]
    fields = {one["name"]: one["type"] for one in facets["schema"]["fields"]}
    assert fields["revenue_eur"].startswith("numeric")
    [source] = facets["columnLineage"]["fields"]["revenue_eur"]["inputFields"]
    assert (source["namespace"], source["name"], source["field"]) == (
        "s3://waybill-raw",
        "raw/messaging/traffic",
        "revenue_eur",
    )
    assert [one["key"] for one in Serde.to_dict(found.run_facets["tags"])["tags"]] == ["code_version"]


def test_a_run_without_files_has_no_inputs_and_outputs(ledger: psycopg.Connection) -> None:
    found = loaded(ledger, ["messaging.traffic"], "nothing", "abc123")
    assert (found.inputs, found.outputs) == ([], [])
    assert built(ledger, ["messaging_report.top_customers"], "nothing", "abc123").outputs == []


def test_a_report_has_its_sources_and_the_hash_of_its_content(ledger: psycopg.Connection) -> None:
    ledger.execute(
        "insert into waybill.publication (report, cadence, period, row_count, content_sha256, exported_sha256, "
        "code_version, file_ids, run_id) values ('messaging_report.top_customers', 'month', '2026-03-01', 10, 'cafe', "
        "'cafe', 'abc123', '{}', 'run')"
    )
    database = ledger.info.dbname
    found = built(ledger, ["messaging_report.top_customers"], "run", "abc123")
    assert {one.name for one in found.inputs} == {f"{database}.messaging.{name}" for name in ("traffic", "customers")}
    [report] = by_name(found.outputs).values()
    assert report["outputFacets"]["outputStatistics"]["rowCount"] == 10
    assert report["facets"]["version"]["datasetVersion"] == "cafe"
    lineage = report["facets"]["columnLineage"]
    [source] = lineage["fields"]["revenue_eur"]["inputFields"]
    assert (source["name"], source["field"]) == (f"{database}.messaging.traffic", "revenue_eur")
    assert [one["type"] for one in source["transformations"]] == ["DIRECT"]
    assert (f"{database}.messaging.traffic", "send_date") in {(one["name"], one["field"]) for one in lineage["dataset"]}
    assert {how["type"] for one in lineage["dataset"] for how in one["transformations"]} == {"INDIRECT"}


def test_a_copy_has_the_columns_of_its_table(ledger: psycopg.Connection) -> None:
    published = exported(ledger, [("messaging_report.top_customers", 10, ["cafe"])], "published", "abc123")
    [output] = by_name(published.outputs).values()
    assert (output["namespace"], output["name"]) == ("s3://waybill-reports", "analytics/top_customers")
    assert output["facets"]["columnLineage"]["fields"]["revenue_eur"]["inputFields"][0]["field"] == "revenue_eur"
    copied = exported(ledger, [("shop.clickstream", 3, ["a", "b"])], "lake", "abc123")
    [output] = by_name(copied.outputs).values()
    assert (output["namespace"], output["name"]) == ("s3://waybill-lake", "waybill_processed/shop_clickstream")
    assert len(output["facets"]["version"]["datasetVersion"]) == 64
