"""What `waybill books` says to do about what is incomplete: commands that can be run as they stand."""

from __future__ import annotations

import json
import shlex

import pytest

from waybill.ops.books import CHECK_FAILED, NOT_LOADED, NOTHING, OUT_OF_DATE, REJECTED, UNAPPROVED, GapSummary
from waybill.ops.remedies import remedies
from waybill.period import Period

MONTHS = Period.parse("month", "2026-01").until(Period.parse("month", "2026-03"))
DAYS = Period.parse("day", "2026-03-29").until(Period.parse("day", "2026-03-31"))
WEEK = Period.parse("week", "2026-W13")


def test_reports_of_months_are_built_again_by_the_runs_of_the_months() -> None:
    reports = [GapSummary(f"messaging_report.{name}", OUT_OF_DATE, MONTHS[:2]) for name in ("top_customers", "x")]
    (line,) = remedies("messaging", reports, MONTHS)
    assert line == (
        "airflow backfill create --dag-id messaging_monthly --from-date 2026-01-01 --to-date 2026-03-01 "
        "--reprocess-behavior completed"
    )
    (line,) = remedies("messaging", [GapSummary("messaging_report.x", NOTHING, MONTHS[1:2])], MONTHS)
    assert line == """airflow dags trigger messaging_monthly -c '{"month": "2026-02"}'"""


def test_where_a_run_builds_all_that_is_out_of_date_one_is_enough() -> None:
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


def test_files_that_landed_are_taken_in_by_the_runs_of_their_periods() -> None:
    landed = [GapSummary("orders.lines", f"{NOT_LOADED}s3://b/k{n}", [day]) for n, day in enumerate(DAYS)]
    (line,) = remedies("orders", landed, DAYS)
    assert line == """airflow dags trigger orders_reports -c '{"day": "2026-03-29", "last_day": "2026-03-31"}'"""
    (line,) = remedies("shop", [GapSummary("shop.reviews", f"{NOT_LOADED}s3://b/k", DAYS[:2])], DAYS)
    assert "--from-date 2026-03-29 --to-date 2026-03-31 " in line


@pytest.mark.parametrize("what", [f"{REJECTED}no", UNAPPROVED, f"{CHECK_FAILED}x failed"])
def test_what_a_person_must_do_first_comes_first(what: str) -> None:
    subject = "messaging.traffic" if what.startswith(REJECTED) else "messaging_report.top_customers"
    (line,) = remedies("messaging", [GapSummary(subject, what, MONTHS[:1])], MONTHS)
    assert not line.startswith("airflow")
    words = shlex.split(line)
    assert words[words.index("airflow") :][:4] == ["airflow", "dags", "trigger", "messaging_monthly"]
    assert json.loads(words[-1]) == {"month": "2026-01"}


def test_nothing_lacks_nothing_to_do() -> None:
    assert remedies("messaging", [], MONTHS) == []
    assert remedies("messaging", [GapSummary("messaging.traffic", "something new", MONTHS)], MONTHS) == []
