"""Charts: tables name the values that a script draws, and headings have the unit of their column."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.contracts import load
from waybill.settings import PROJECT_ROOT
from waybill.views import catalog, pages
from waybill.views.business import charts

REPORT = load(PROJECT_ROOT / "include/contracts/orders_report/region_profit.yaml")
PROFIT = next(column for column in REPORT.columns if column.name == "profit")

VALUES = st.decimals(min_value=-(10**9), max_value=10**12, places=2)
SERIES = st.dictionaries(st.integers(0, 400), VALUES, min_size=2, max_size=40)


@given(SERIES)
def test_a_line_lists_each_point_once_newest_first(series: dict[int, Decimal]) -> None:
    points = [(date(2026, 1, 1) + timedelta(days=place), f"day {place}", [series[place]]) for place in sorted(series)]
    line = charts.line(REPORT, [PROFIT], points)
    assert line is not None
    assert [(row.day, row.label, row.values) for row in reversed(line.rows)] == [
        (day, label, {1: value}) for day, label, (value,) in points
    ]
    assert [Decimal(row.cells[1].replace(",", "")) for row in line.rows] == [row.values[1] for row in line.rows]


def test_one_point_is_no_line_and_a_missing_value_is_left_out() -> None:
    first, second = date(2026, 1, 1), date(2026, 2, 1)
    assert charts.line(REPORT, [PROFIT], [(first, "2026-01", [1])]) is None
    line = charts.line(REPORT, [PROFIT, PROFIT], [(first, "2026-01", [1, None]), (second, "2026-02", [2, 3])])
    assert line is not None
    assert [row.cells for row in line.rows] == [["2026-02", "2", "3"], ["2026-01", "1", ""]]
    assert line.rows[1].values == {1: 1, 2: None}
    assert line.has_parts


def test_an_incomplete_period_is_marked() -> None:
    points = [(date(2026, month, 1), f"2026-{month:02d}", [Decimal(month)]) for month in (1, 2)]
    line = charts.line(REPORT, [PROFIT], points, {date(2026, 2, 1): "3 of 28 days"})
    assert line is not None
    assert [row.note for row in line.rows] == ["3 of 28 days", ""]
    assert [row.cells[-1] for row in line.rows] == ["3 of 28 days", ""]


@given(st.lists(st.none() | VALUES, max_size=30), st.integers(1, 12))
def test_bars_show_the_first_rows_that_have_a_value(values: list[Decimal | None], limit: int) -> None:
    nothing = dict.fromkeys(REPORT.names)
    rows = [nothing | {"region": str(place), "profit": value} for place, value in enumerate(values)]
    chart = charts.bars(REPORT, PROFIT, rows, limit)
    wanted = [(str(place), value) for place, value in enumerate(values) if value is not None][:limit]
    assert [(row.label, *row.values.values()) for row in chart.drawn] == wanted
    assert [row.cells[0] for row in chart.rows] == [row["region"] for row in rows], "the table has every row"
    (place,) = {*(place for row in chart.drawn for place in row.values)} or {None}
    assert place is None or chart.headings[place].is_drawn


def test_ranks_within_groups_give_a_small_chart_for_each_group() -> None:
    contract = load(PROJECT_ROOT / "include/contracts/shop_report/top_products_by_category.yaml")
    revenue = next(column for column in contract.columns if column.name == "net_revenue")
    rows = [
        dict.fromkeys(contract.names)
        | {"category": group, "product_id": rank, "product_name": f"{group} {rank}", "net_revenue": Decimal(9 - rank)}
        for group in ("Books", "Toys")
        for rank in (1, 2)
    ]
    chart = charts.bars(contract, revenue, rows, 3)
    assert [(row.group, row.label) for row in chart.drawn] == [
        ("Books", "Books 1"),
        ("Books", "Books 2"),
        ("Toys", "Toys 1"),
        ("Toys", "Toys 2"),
    ]
    assert chart.has_parts


@given(st.dictionaries(st.tuples(st.integers(1, 12), st.integers(0, 11)), st.decimals(0, 100, places=2)))
def test_a_heatmap_has_each_value_in_its_row_and_column(cells: dict[tuple[int, int], Decimal]) -> None:
    chart = charts.heatmap(
        [(date(2026, month, 1), number, value) for (month, number), value in cells.items()], ("Cohort", "Months since")
    )
    found = {
        (int(row.label[-2:]), int(chart.headings[place].text)): value
        for row in chart.rows
        for place, value in row.values.items()
    }
    assert found == cells


def test_the_library_is_the_recorded_file_with_its_licenses() -> None:
    about = (pages.ASSETS / "echarts.LICENSE.txt").read_text("utf-8")
    recorded = dict(line.split(": ", 1) for line in about.splitlines() if line.count(": ") == 1)
    body = (pages.ASSETS / "echarts.min.js").read_bytes()
    assert hashlib.sha256(body).hexdigest() == recorded["SHA-256"]
    assert f'version="{recorded["Version"]}"'.encode() in body
    for words in ("Apache License", "The Apache Software Foundation", "Baidu Inc", "Mike Bostock"):
        assert words in about


@pytest.mark.parametrize(
    ("name", "business_name", "heading"),
    [
        ("amount_eur", None, "Amount (EUR)"),
        ("net_amount_usd", None, "Net amount (USD)"),
        ("return_rate_pct", None, "Return rate (%)"),
        ("amount_eur", "Revenue", "Revenue (EUR)"),
        ("amount_eur", "Revenue in EUR", "Revenue in EUR"),
        ("amount_eur", "Revenue, €", "Revenue, €"),
        ("share_pct", "Share in %", "Share in %"),
        ("eur", None, "EUR"),
        ("shop_id", None, "Shop ID"),
        ("shop", "Branch", "Branch"),
    ],
)
def test_a_heading_has_the_unit_of_the_column_once(name: str, business_name: str | None, heading: str) -> None:
    assert catalog.column_heading(replace(PROFIT, name=name, business_name=business_name)) == heading
