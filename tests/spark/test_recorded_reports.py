"""What the job has computed becomes checked tables of PostgreSQL: each period once, and stale if its inputs changed."""

from __future__ import annotations

import io
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection

from support.lake import Lake
from support.ledger import add_file
from waybill.derived.build import BuildInputs, build_from_rows, report_contract
from waybill.derived.refresh import stale_days
from waybill.errors import DataError
from waybill.lakehouse.exchange import (
    ComputedCheck,
    ComputedReport,
    Inputs,
    ReportsRequest,
    ReportsResult,
    receive_request,
    send,
)
from waybill.lakehouse.reports import prepare_reports, record_reports
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse import change_log

DAY = date(2026, 3, 2)
BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)
DATASET, FUNNEL = "clicks.clickstream", "clicks_report.funnel"
REPORTS = ("funnel", "page_statistics", "sessions_by_day")
CHECKS = {"clickstream_present": 7, "clickstream_rows_pct": 100, "clickstream_customer_id_null_pct": 50,
          "clickstream_product_id_null_pct": 50, "clickstream_freshness": 1}  # fmt: skip


class Reports:
    """The tasks around the job, and a job that answers as the test says."""

    def __init__(self, connection: Connection, lake: Lake) -> None:
        self.connection, self.lake, self.requests = connection, lake, 0

    def land(self, day: date = DAY, *changed: date) -> int:
        """Record a loaded file of a day, which changed the rows of some days."""
        key = f"{day}-{self.requests}-{len(changed)}"
        file_id = add_file(self.connection, DATASET, key, day, rows_in=7, inserted=7)
        change_log.record(self.connection, DATASET, changed or [day], file_id)
        return file_id

    def prepare(self, run: str = "first", day: date = DAY) -> tuple[str, ReportsRequest]:
        self.requests += 1
        scratch = f"s3://{self.lake.bucket}/_spark/{self.requests}"
        period = Period.of("day", day)
        address = prepare_reports(self.connection, self.lake.s3, "clicks", Run(run, "code"), scratch, period)
        assert address == f"{scratch}/request.json"
        request = receive_request(self.lake.s3, address)
        assert isinstance(request, ReportsRequest)
        return scratch, request

    def answer(
        self, scratch: str, request: ReportsRequest, failed: dict[str, str] | None = None, **checks: int | None
    ) -> str:
        """Write a result: rows for all reports but the failed ones, and numbers of checks; returns its address."""
        reports = []
        for query in request.queries:
            found = ComputedReport(report=query.report, cadence="day", period=query.period)
            if error := (failed or {}).get(query.report):
                reports.append(found.model_copy(update={"error": error}))
                continue
            rows = rows_of(query.report, query.period)
            address = f"{scratch}/{query.report}-{query.period}.parquet"
            body = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows), body)
            self.lake.s3.put_object(
                Bucket=self.lake.bucket,
                Key=address.removeprefix(f"s3://{self.lake.bucket}/"),
                Body=body.getvalue(),
            )
            reports.append(found.model_copy(update={"rows": len(rows), "address": address}))
        numbers: dict[str, int | None] = {**CHECKS, **checks}
        computed = [
            ComputedCheck(
                dataset=one.dataset,
                check=one.check,
                cadence="day",
                period=one.period,
                observed=None if (number := numbers[one.check]) is None else Decimal(number),
            )
            for one in request.checks
        ]
        result = ReportsResult(reports=tuple(reports), checks=tuple(computed))
        send(self.lake.s3, f"{scratch}/result.json", result)
        return f"{scratch}/result.json"

    def record(self, address: str, run: str = "first") -> dict[str, list[str]]:
        return record_reports(self.connection, self.lake.s3, address, "clicks", Run(run, "code"))

    def publications(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "select report, period, row_count, content_sha256, file_ids, inputs, changes_seen, run_id "
            "from waybill.publication order by 1, 2"
        ).fetchall()

    def stale(self) -> list[date]:
        return [period.start for period in stale_days(self.connection, "clicks")]


def rows_of(report: str, day: date) -> list[dict[str, Any]]:
    if report == "sessions_by_day":
        return [
            {"day": day, "sessions_count": 3, "signed_in_sessions_count": 2, "customers_count": 1, "events_count": 7,
             "single_event_sessions_count": 0, "average_events": Decimal("2.3333"), "average_minutes": Decimal("1.5")}
        ]  # fmt: skip
    if report == "page_statistics":
        return [
            {"day": day, "page": page, "views_count": 4, "sessions_count": 2, "customers_count": 1,
             "entrances_count": 1, "exits_count": 1, "share_of_entrances_pct": Decimal("50.0000"),
             "exit_rate_pct": Decimal("50.0000")}
            for page in ("/", "/a\\b\t'\"\n")
        ]  # fmt: skip
    steps = ("session", "product_view", "add_to_cart", "checkout", "purchase")
    return [
        {"day": day, "step_number": number, "step": step, "sessions_count": 6 - number,
         "lost_sessions_count": int(number > 1), "share_of_sessions_pct": Decimal(f"{120 - 20 * number}.0000"),
         "share_of_previous_step_pct": None if number == 5 else Decimal("50.0000")}
        for number, step in enumerate(steps, 1)
    ]  # fmt: skip


@pytest.fixture
def reports(empty_connection: Connection, lake: Lake) -> Reports:
    return Reports(empty_connection, lake)


def test_the_request_has_each_stale_period_with_its_inputs_and_the_checks_of_the_run(reports: Reports) -> None:
    first, second = reports.land(BEFORE), reports.land(DAY, BEFORE, DAY)
    _, request = reports.prepare()
    assert [(one.report, one.period) for one in request.queries] == [
        (name, day) for name in REPORTS for day in (BEFORE, DAY)
    ]
    of_funnel = request.queries[0]
    # The window of a report has a day more on both sides.
    assert of_funnel.inputs == Inputs(file_ids=(first, second), tables=(DATASET,), changes=3)
    assert of_funnel.text == (Path("include/sql/clicks/funnel.sql")).read_text()
    assert of_funnel.columns["share_of_sessions_pct"] == "numeric(7,4)"
    assert [(one.check, one.period) for one in request.checks] == [(name, DAY) for name in CHECKS]
    assert "`clicks`.`clickstream_as_of`" in request.checks[0].text
    assert request.datasets["clickstream"].table.endswith(".clicks_clickstream")


def test_recorded_reports_are_those_that_one_machine_would_record(reports: Reports) -> None:
    file_id = reports.land()
    scratch, request = reports.prepare()
    address = reports.answer(scratch, request)
    assert reports.record(address) == {f"clicks_report.{name}": [str(DAY)] for name in REPORTS}
    assert reports.stale() == []
    for name in REPORTS:
        contract = report_contract("clicks", name)
        found = reports.connection.execute(f"select {', '.join(contract.names)} from {contract.table}").fetchall()
        assert [dict(zip(contract.names, row, strict=True)) for row in found] == rows_of(name, DAY)
    recorded = reports.publications()
    assert [row[:3] + row[4:] for row in recorded] == [
        (f"clicks_report.{name}", DAY, len(rows_of(name, DAY)), [file_id], [DATASET], 1, "first") for name in REPORTS
    ]
    for name in REPORTS:
        period, inputs = Period.of("day", DAY), BuildInputs([file_id])
        rows = rows_of(name, DAY)
        built = build_from_rows(
            reports.connection, report_contract("clicks", name), lambda i=inputs: i, rows, period, Run("other", "code")
        )
        assert not built.is_changed, "the hash of the content is that of rows that Python inserts"


def test_recording_again_changes_nothing_and_the_next_run_needs_no_spark(reports: Reports) -> None:
    reports.land()
    scratch, request = reports.prepare()
    address = reports.answer(scratch, request)
    reports.record(address)
    before = reports.publications()
    assert reports.record(address, "second") == {}
    assert reports.publications() == before
    scratch, period = f"s3://{reports.lake.bucket}/_spark/idle", Period.of("day", DAY)
    third = Run("third", "code")
    assert prepare_reports(reports.connection, reports.lake.s3, "clicks", third, scratch, period) is None


def test_a_change_while_spark_computes_leaves_the_period_stale(reports: Reports) -> None:
    reports.land()
    scratch, request = reports.prepare()
    address = reports.answer(scratch, request)
    reports.land(AFTER, DAY)
    assert reports.record(address)[FUNNEL] == [str(DAY)]
    assert DAY in reports.stale()
    scratch, request = reports.prepare("second", AFTER)
    assert {one.period for one in request.queries} == {DAY, AFTER}
    newer = reports.answer(scratch, request)
    assert reports.record(newer, "second")[FUNNEL] == [str(AFTER)], "the content of the first day is the same"
    assert reports.stale() == []
    built = reports.publications()
    reports.land(AFTER, AFTER)
    assert reports.record(address, "late") == {}, "an older result does not replace a newer build"
    assert reports.publications() == built


def test_a_failed_query_is_named_and_stays_stale(reports: Reports) -> None:
    reports.land()
    scratch, request = reports.prepare()
    address = reports.answer(scratch, request, {"funnel": "[DIVIDE_BY_ZERO] Division by zero."})
    said = r"^the SQL of clicks_report.funnel 2026-03-02: \[DIVIDE_BY_ZERO\] Division by zero. Correct the SQL.$"
    with pytest.raises(DataError, match=said):
        reports.record(address)
    assert [row[0] for row in reports.publications()] == [
        "clicks_report.page_statistics",
        "clicks_report.sessions_by_day",
    ]
    _, request = reports.prepare("second")
    assert [one.report for one in request.queries] == ["funnel"]


def test_rows_that_break_the_contract_keep_the_earlier_content(reports: Reports, monkeypatch: Any) -> None:
    reports.land()
    reports.record(reports.answer(*reports.prepare()))
    before = reports.publications()
    reports.land(AFTER, DAY)
    scratch, request = reports.prepare("second", AFTER)
    rows = rows_of

    def wrong(report: str, day: date) -> list[dict[str, Any]]:
        found = rows(report, day)
        return [one | {"sessions_count": -1} for one in found] if (report, day) == ("funnel", DAY) else found

    monkeypatch.setitem(globals(), "rows_of", wrong)
    address = reports.answer(scratch, request)
    with pytest.raises(DataError, match=r"^clicks_report.funnel 2026-03-02: its rows do not meet the contract: "):
        reports.record(address, "second")
    of_day = [row for row in reports.publications() if row[:2] == (FUNNEL, DAY)]
    assert of_day == [row for row in before if row[:2] == (FUNNEL, DAY)]
    assert (FUNNEL, AFTER) in [row[:2] for row in reports.publications()]


def test_checks_are_recorded_before_reports_and_errors_stop_them(reports: Reports, include_dir: Path) -> None:
    path = include_dir / "contracts/clicks/clickstream.yaml"
    path.write_text(path.read_text().replace("severity: warning", "severity: error", 1))
    reports.land()
    scratch, request = reports.prepare()
    address = reports.answer(scratch, request, clickstream_present=0, clickstream_rows_pct=None)
    with pytest.raises(
        DataError, match=r"quality checks failed: clicks.clickstream 2026-03-02: clickstream_present is 0"
    ):
        reports.record(address)
    assert reports.publications() == []
    found = reports.connection.execute(
        "select check_name, observed, passed, run_id from waybill.check_result where subject = %s order by 1",
        (DATASET,),
    ).fetchall()
    assert found == sorted(
        [
            ("clickstream_customer_id_null_pct", 50, True, "first"),
            ("clickstream_freshness", 1, True, "first"),
            ("clickstream_present", 0, False, "first"),
            ("clickstream_product_id_null_pct", 50, True, "first"),
            ("clickstream_rows_pct", None, False, "first"),
        ]
    )
    assert reports.record(reports.answer(scratch, request), "second")[FUNNEL] == [str(DAY)]


def test_a_contract_that_changed_meanwhile_waits_for_the_next_run(reports: Reports, include_dir: Path) -> None:
    reports.land()
    scratch, request = reports.prepare()
    address = reports.answer(scratch, request)
    path = include_dir / "contracts/clicks_report/funnel.yaml"
    note = "      - {name: note, description: A note., logicalType: string, physicalType: text}\n"
    path.write_text(path.read_text().replace("slaProperties:", f"{note}slaProperties:"))
    assert FUNNEL not in reports.record(address)
    _, request = reports.prepare("second")
    assert [one.report for one in request.queries] == ["funnel"]
    assert request.queries[0].columns["note"] == "text"


def test_reports_as_of_the_end_of_a_period_have_the_files_until_then(reports: Reports, include_dir: Path) -> None:
    path = include_dir / "domains/clicks.yaml"
    path.write_text(path.read_text().replace("semantics: current", "semantics: as of"))
    first, second = reports.land(BEFORE), reports.land(DAY)
    later = reports.land(AFTER)
    scratch, request = reports.prepare()
    assert {one.period for one in request.queries} == {DAY}
    assert request.queries[0].inputs == Inputs(file_ids=(first, second), tables=(DATASET,), changes=14)
    assert later not in request.queries[0].inputs.file_ids
    assert reports.record(reports.answer(scratch, request))[FUNNEL] == [str(DAY)]
    assert [row[1] for row in reports.publications()] == [DAY] * 3


def test_an_older_result_does_not_replace_a_report_as_of_the_end_of_a_period(
    reports: Reports, include_dir: Path
) -> None:
    path = include_dir / "domains/clicks.yaml"
    path.write_text(path.read_text().replace("semantics: current", "semantics: as of"))
    reports.land(DAY)
    older = reports.answer(*reports.prepare())
    reports.land(BEFORE)
    with pytest.raises(DataError, match=r"funnel 2026-03-02: files .* Nothing was built\. Clear the run from"):
        reports.record(older)
    assert reports.publications() == []
    newer = reports.answer(*reports.prepare("second"))
    assert reports.record(newer, "second")[FUNNEL] == [str(DAY)]
    built = reports.publications()
    assert {len(row[4]) for row in built} == {2}, "two files"
    assert reports.record(older) == {}
    assert reports.publications() == built
    assert reports.record(newer, "second") == {}
