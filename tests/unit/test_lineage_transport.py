"""Events leave with names and numbers only, and a broken receiver neither fails nor delays a task for long."""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    data_quality_metrics_input_dataset,
    documentation_dataset,
    documentation_job,
    error_message_run,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
    source_code_job,
    sql_job,
    tags_run,
)
from openlineage.client.serde import Serde

from support.openlineage import faults
from waybill.outputs.lineage_transport import FAILED, LONGEST_SECONDS, PAUSE_SECONDS, names_only

WRAPPER = "waybill.outputs.lineage_transport.NamesOnlyTransport"
VALUE = "jane.doe@example.com"


def event() -> RunEvent:
    """An event with a value of a row wherever Airflow or another operator may put one."""
    metrics = data_quality_metrics_input_dataset.ColumnMetrics(min=1.0, max=4711.0)
    return RunEvent(
        eventType=RunState.FAIL,
        eventTime="2026-03-01T00:00:00+00:00",
        run=Run(
            runId=str(uuid4()),
            facets={
                "errorMessage": error_message_run.ErrorMessageRunFacet(
                    f"duplicate key: (email)=({VALUE})", "python", f"raise Error({VALUE!r})"
                ),
                "airflow": tags_run.TagsRunFacet([tags_run.TagsRunFacetFields("conf", VALUE)]),
                "nominalTime": nominal_time_run.NominalTimeRunFacet("2026-03-01T00:00:00Z"),
                "parent": parent_run.ParentRunFacet(
                    parent_run.Run(str(uuid4())), parent_run.Job("waybill", "billing_monthly")
                ),
                "tags": tags_run.TagsRunFacet([tags_run.TagsRunFacetFields("code_version", "abc123", "WAYBILL")]),
            },
        ),
        job=Job(
            namespace="waybill",
            name="billing_monthly.load",
            facets={
                "sql": sql_job.SQLJobFacet(query=f"select * from a where email = '{VALUE}'"),
                "sourceCode": source_code_job.SourceCodeJobFacet("python", f"mail = {VALUE!r}"),
                "documentation": documentation_job.DocumentationJobFacet("Loads invoices."),
            },
        ),
        producer="https://example.com/waybill",
        inputs=[
            InputDataset(
                namespace="s3://raw",
                name="raw/billing/invoices",
                facets={"documentation": documentation_dataset.DocumentationDatasetFacet(f"about {VALUE}")},
                inputFacets={
                    "dataQualityMetrics": data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
                        columnMetrics={VALUE: metrics}
                    )
                },
            )
        ],
        outputs=[
            OutputDataset(
                namespace="postgres://db:5432",
                name="waybill.billing.invoices",
                facets={
                    "schema": schema_dataset.SchemaDatasetFacet(
                        [schema_dataset.SchemaDatasetFacetFields("amount", "numeric(18,2)")]
                    )
                },
                outputFacets={
                    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(12)
                },
            )
        ],
    )


def test_only_listed_facets_are_kept() -> None:
    sent = json.loads(Serde.to_json(names_only(event())))
    assert VALUE not in json.dumps(sent)
    assert "4711" not in json.dumps(sent)
    assert faults(sent) == []
    assert sent["run"]["facets"].keys() == {"errorMessage", "nominalTime", "parent", "tags"}
    assert sent["run"]["facets"]["errorMessage"]["message"] == FAILED
    assert "stackTrace" not in sent["run"]["facets"]["errorMessage"]
    assert sent["job"]["facets"].keys() == {"documentation"}
    [output] = sent["outputs"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 12
    assert output["facets"]["schema"]["fields"] == [{"name": "amount", "type": "numeric(18,2)", "fields": []}]


def test_the_check_of_events_finds_faults() -> None:
    sent = json.loads(Serde.to_json(event()))
    assert faults(sent) == []
    del sent["job"]["name"]
    sent["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] = "12"
    sent["run"]["facets"]["tags"]["tags"][0].pop("key")
    sent["inputs"][0]["facets"]["documentation"]["_schemaURL"] = "https://example.com/none.json"
    assert len(faults(sent)) == 4, faults(sent)


def test_another_transport_sends_the_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    to = {"type": "file", "log_file_path": str(path), "append": True}
    OpenLineageClient(config={"transport": {"type": WRAPPER, "to": to}}).emit(event())
    [line] = path.read_text().splitlines()
    assert json.loads(line)["job"]["name"] == "billing_monthly.load"


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def closed() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_broken_receiver_costs_two_seconds_in_a_minute(
    is_silent: bool, silent: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    transport = {"type": WRAPPER, "to": {"type": "http", "url": silent if is_silent else closed()}}

    def seconds() -> float:
        client, began = OpenLineageClient(config={"transport": transport}), time.monotonic()  # as each task does
        client.emit(event())
        return time.monotonic() - began

    with caplog.at_level(logging.WARNING):
        assert seconds() < 2 * LONGEST_SECONDS
    assert "the lineage event of billing_monthly.load is lost" in caplog.text
    assert VALUE not in caplog.text
    assert seconds() < LONGEST_SECONDS, "the receiver gets a minute"
    [lost] = tmp_path.iterdir()
    minute_ago = time.time() - PAUSE_SECONDS
    os.utime(lost, (minute_ago, minute_ago))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert seconds() < 2 * LONGEST_SECONDS
    assert "is lost" in caplog.text, "it was tried again"


def test_a_transport_without_another_one_is_refused() -> None:
    with pytest.raises(ValueError, match='needs another one under "to"'):
        OpenLineageClient(config={"transport": {"type": WRAPPER}})
