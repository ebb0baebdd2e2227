"""The main job as a user starts it: the real scheduler backfills months, and every number is right.

They are more months than Airflow runs at a time. With WHOLE_RANGE=1 in the environment, they are twelve.
"""

from __future__ import annotations

import csv
import io
import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from oracles.messaging import expected
from waybill.contracts.locations import report_prefix
from waybill.period import Period
from waybill.warehouse.connection import connect
from waybill_devtools import demo
from waybill_devtools.sampledata.messaging import generate
from waybill_devtools.stack import Stack

MONTHS = 12 if os.environ.get("WHOLE_RANGE") else 5
PIPELINE = replace(demo.MESSAGING, seeded=MONTHS + 2, backfilled=MONTHS)


@pytest.fixture(scope="module")
def outcome(airflow_stack: Stack) -> demo.Outcome:
    return run_demo(airflow_stack)


def run_demo(stack: Stack) -> demo.Outcome:
    [outcome] = demo.run(stack, step=lambda _: None, progress=lambda *_: None, pipelines=[PIPELINE])
    return outcome


def state(stack: Stack) -> dict[str, Any]:
    """Return the state that a run could change: rows, ledger, exports and their versions."""
    s3 = stack.s3()
    with closing(connect(stack.database_url())) as connection:
        tables = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_type = 'BASE TABLE' and table_schema in ('messaging', 'messaging_report', 'waybill') "
            "order by 1"
        ).fetchall()
        rows = {
            table: connection.execute(
                f"select count(*), md5(string_agg(t::text, chr(10) order by t::text)) from {table} as t"
            ).fetchone()
            for (table,) in tables
        }
    objects = {
        (bucket, item["Key"]): item["VersionId"]
        for bucket in ("waybill-raw", "waybill-reports")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        for item in page.get("Versions", [])
        if item["IsLatest"]
    }
    return {"rows": rows, "objects": objects}


def as_text(value: Any) -> str:
    """Return a value as PostgreSQL writes it to CSV, numbers without trailing zeros."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, Decimal):
        return f"{round(value, 10).normalize():f}"
    return value.isoformat() if isinstance(value, date) else str(value)


def plain(text: str) -> str:
    """Return a field of an exported CSV, numbers without trailing zeros."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    return f"{number.normalize():f}" if "." in text else text


def test_the_books_equal_the_ground_truth_and_nothing_is_missing(outcome: demo.Outcome) -> None:
    assert outcome.run_seconds is not None
    assert outcome.differences == []
    assert outcome.gaps == []
    assert len(outcome.periods) == MONTHS


def test_every_published_number_equals_an_independent_computation(airflow_stack: Stack, outcome: demo.Outcome) -> None:
    sample = generate(outcome.periods[-1].key, PIPELINE.seeded)
    files = tuple((file.key, file.body) for file in sample.files)
    s3 = airflow_stack.s3()
    compared = 0
    for period in outcome.periods:
        for report, rows in expected(files, period.key).items():
            body = s3.get_object(Bucket="waybill-reports", Key=f"{report_prefix(period)}{report}.csv")["Body"].read()
            published = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
            found = sorted(tuple(plain(value) for value in row.values()) for row in published)
            wanted = sorted(tuple(plain(as_text(row[name])) for name in published[0]) for row in rows) if rows else []
            assert found == wanted, f"{report} of {period}"
            compared += len(found)
    assert compared > MONTHS * 350


def test_each_month_has_a_manifest_that_names_files_and_code(airflow_stack: Stack, outcome: demo.Outcome) -> None:
    last: Period = outcome.periods[-1]
    key = f"{report_prefix(last)}manifest_messaging.json"
    manifest = json.load(airflow_stack.s3().get_object(Bucket="waybill-reports", Key=key)["Body"])
    assert manifest["last_day"] == str(last.end - timedelta(days=1))
    assert len(manifest["reports"]) == 8
    assert len(manifest["objects"]) == 16
    assert {file["key"].split("/")[2] for file in manifest["files"]} == {"customers", "channels", "traffic"}


def test_a_second_demo_changes_nothing(airflow_stack: Stack, outcome: demo.Outcome) -> None:
    before = state(airflow_stack)
    again = run_demo(airflow_stack)
    assert again.run_seconds is None
    assert (again.uploaded, again.differences, again.gaps) == (0, [], [])
    assert state(airflow_stack) == before


def test_a_demo_after_another_file_landed_rebuilds_the_dependent_reports(
    airflow_stack: Stack, outcome: demo.Outcome
) -> None:
    last = outcome.periods[-1]
    key = f"raw/messaging/traffic/month={last}/traffic_more.csv"
    with closing(connect(airflow_stack.database_url())) as connection:
        row = connection.execute("select account_id, customer_id, channel_id from messaging.traffic limit 1").fetchone()
        assert row
        body = (
            "traffic_id,send_date,account_id,customer_id,channel_id,interactions_count,revenue_eur\n"
            f"900000001,{last.start},{row[0]},{row[1]},{row[2]},1,0.00\n"
        )
        airflow_stack.s3().put_object(Bucket="waybill-raw", Key=key, Body=body.encode())
        again = run_demo(airflow_stack)
        assert again.run_seconds is not None
        assert (again.uploaded, again.differences, again.gaps) == (0, [], [])
        rested = connection.execute(
            "select count(*) from waybill.publication where period = %s and %s = any(select object_key "
            "from waybill.load_file where file_id = any(file_ids))",
            (last.start, key),
        ).fetchone()
    assert rested == (7,), "six reports and a feature view rest on the file"
