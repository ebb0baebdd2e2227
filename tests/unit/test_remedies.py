"""The steps of `waybill books` for gaps: commands that can be run unchanged."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from support.web_domain import add_domain
from waybill.ops.books import CHECK_FAILED, NOT_LOADED, NOTHING, OUT_OF_DATE, REJECTED, UNAPPROVED, GapSummary
from waybill.ops.remedies import remedies
from waybill.period import ALL_TIME, Period

MONTHS = Period.parse("month", "2026-01").until(Period.parse("month", "2026-03"))
DAYS = Period.parse("day", "2026-03-29").until(Period.parse("day", "2026-03-31"))
WEEK = Period.parse("week", "2026-W13")


def test_reports_of_months_are_rebuilt_by_runs_of_these_months() -> None:
    reports = [GapSummary(f"messaging_report.{name}", OUT_OF_DATE, MONTHS[:2]) for name in ("top_customers", "x")]
    (line,) = remedies("messaging", reports, MONTHS)
    assert line == (
        "airflow backfill create --dag-id messaging_monthly --from-date 2026-01-01 --to-date 2026-03-01 "
        "--reprocess-behavior completed"
    )
    (line,) = remedies("messaging", [GapSummary("messaging_report.x", NOTHING, MONTHS[1:2])], MONTHS)
    assert line == """airflow dags trigger messaging_monthly -c '{"month": "2026-02"}'"""


def test_one_run_is_enough_if_it_rebuilds_everything_out_of_date() -> None:
    reports = [
        GapSummary("shop_report.revenue_trend", OUT_OF_DATE, [WEEK]),
        GapSummary("shop_star.x", OUT_OF_DATE, DAYS),
    ]
    assert remedies("shop", reports, DAYS) == ["""airflow dags trigger shop_daily -c '{"day": "2026-03-31"}'"""]
    absent = GapSummary("shop.reviews", NOTHING, DAYS[2:])
    assert remedies("shop", [*reports, absent], DAYS) == [
        """airflow dags trigger shop_daily -c '{"day": "2026-03-30"}'""",
        "waybill drop FILE --domain shop --dataset reviews --period 2026-03-31",
    ]


def test_a_report_of_a_week_or_of_all_time_is_rebuilt_by_a_run_of_a_period_that_was_asked_for() -> None:
    absent = GapSummary("shop.reviews", NOTHING, DAYS)
    weekly = GapSummary("shop_report.revenue_trend", OUT_OF_DATE, [WEEK])
    assert """airflow dags trigger shop_daily -c '{"day": "2026-03-31"}'""" in remedies("shop", [weekly, absent], DAYS)
    always = GapSummary("purchases_star.customer_spend", OUT_OF_DATE, [ALL_TIME])
    assert remedies("purchases", [always], DAYS) == [
        """airflow dags trigger purchases_medallion -c '{"day": "2026-03-31"}'"""
    ]


def test_one_run_loads_all_files_of_a_domain_on_spark(include_dir: Path) -> None:
    add_domain(include_dir)
    landed = [GapSummary("web.hits", f"{NOT_LOADED}s3://b/k{n}", [day]) for n, day in enumerate(DAYS)]
    assert remedies("web", landed, DAYS) == ["""airflow dags trigger web_daily -c '{"day": "2026-03-31"}'"""]


def test_landed_files_are_ingested_by_runs_of_their_periods() -> None:
    landed = [GapSummary("orders.lines", f"{NOT_LOADED}s3://b/k{n}", [day]) for n, day in enumerate(DAYS)]
    (line,) = remedies("orders", landed, DAYS)
    assert line == """airflow dags trigger orders_reports -c '{"day": "2026-03-29", "last_day": "2026-03-31"}'"""
    failed = GapSummary("orders_report.region_profit", f"{CHECK_FAILED}x failed", DAYS[:1])
    (line,) = remedies("orders", [failed], DAYS)
    assert line.endswith("""airflow dags trigger orders_reports -c '{"day": "2026-03-29"}'"""), "a day with files"
    (line,) = remedies("shop", [GapSummary("shop.reviews", f"{NOT_LOADED}s3://b/k", DAYS[:2])], DAYS)
    assert "--from-date 2026-03-29 --to-date 2026-03-31 " in line


@pytest.mark.parametrize("what", [f"{REJECTED}no", UNAPPROVED, f"{CHECK_FAILED}x failed"])
def test_manual_steps_come_before_the_command(what: str) -> None:
    subject = "messaging.traffic" if what.startswith(REJECTED) else "messaging_report.top_customers"
    (line,) = remedies("messaging", [GapSummary(subject, what, MONTHS[:1])], MONTHS)
    assert not line.startswith("airflow")
    words = shlex.split(line)
    assert words[words.index("airflow") :][:4] == ["airflow", "dags", "trigger", "messaging_monthly"]
    assert json.loads(words[-1]) == {"month": "2026-01"}


def test_without_known_gaps_there_are_no_steps() -> None:
    assert remedies("messaging", [], MONTHS) == []
    assert remedies("messaging", [GapSummary("messaging.traffic", "something new", MONTHS)], MONTHS) == []
