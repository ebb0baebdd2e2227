"""The page of the lineage shows what the graph says, and draws it from left to right."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest

from support.views import Page, check_inert
from waybill.ops.column_sources import ROWS, Source
from waybill.ops.lineage import TABLES, Lineage, current_lineage, project_lineage
from waybill.views import pages
from waybill.views.operations.lineage import LineagePage, lineage_page
from waybill.views.operations.lineage_drawing import LINES, Drawing
from waybill.views.operations.scope import Scope, scope_of


@pytest.fixture(scope="module")
def graph() -> Lineage:
    return project_lineage()


@pytest.fixture(scope="module")
def every() -> Scope:
    found = scope_of(None, None, None)
    assert found
    return found


def of(graph: Lineage, scope: Scope, table: str, column: str | None = None, *, with_rows: bool = True) -> LineagePage:
    return lineage_page(graph, scope, table, column, with_rows=with_rows, links=[])


def check(drawing: Drawing) -> None:
    """Assert that no boxes overlap, and that every line leads from the right of one to the left of another."""
    for one, other in combinations(drawing.boxes, 2):
        assert one.x != other.x or one.y + one.height < other.y or other.y + other.height < one.y
    for box in drawing.boxes:
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
        assert len(box.lines) <= LINES + 1
    rights, lefts = {box.x + box.width for box in drawing.boxes}, {box.x for box in drawing.boxes}
    for curve in drawing.curves:
        numbers = [float(one) for one in curve.path[1:].replace("C", " ").split()]
        assert numbers[0] in rights
        assert numbers[-2] in lefts
        assert numbers[0] < numbers[-2]


def test_every_table_and_column_can_be_drawn(graph: Lineage, every: Scope) -> None:
    check(lineage_page(graph, every, None, None, with_rows=True, links=[]).drawing)
    tables = [table for table in graph.tables.values() if table.kind in TABLES]
    for table in tables:
        check(of(graph, every, table.name).drawing)
        for column in table.columns[::4]:
            check(of(graph, every, table.name, column).drawing)


@pytest.mark.parametrize("node", ["messaging.traffic.revenue_eur", "shop.transactions.total_amount"])
def test_a_column_has_everything_that_rests_on_its_value(node: str, graph: Lineage, every: Scope) -> None:
    table, _, column = node.rpartition(".")
    page = of(graph, every, table, column, with_rows=False)
    reached, waiting = set[Source](), [Source(table, column)]
    while waiting:
        for step in graph.out_of.get(waiting.pop(), ()):
            if step.effect == "value" and step.target not in reached:
                reached.add(step.target)
                waiting.append(step.target)
    listed = {one for related in page.users for one in related.columns}
    assert listed == {one for one in reached if one.column != ROWS}
    assert {related.effect for related in page.users} == {"its value"}
    assert {curve.effect for curve in page.drawing.curves} == {"value"}


def test_rows_are_told_apart_from_values(graph: Lineage, every: Scope) -> None:
    page = of(graph, every, "messaging.traffic", "send_date")
    effects = {related.table.name: related.effect for related in page.users}
    assert effects["messaging_report.top_customers"] == "which rows count"
    assert effects["analytics/YYYY/MM/DD/top_customers"] == "which rows count"
    uses = {one.kind for one in of(graph, every, "shop.clickstream", "ts").users}
    assert uses == {"derived", "report", "published file", "lake table", "dashboard", "checks", "stream"}


def test_the_page_is_inert_and_names_no_table_of_another_scope(graph: Lineage) -> None:
    scope = scope_of("messaging", None, None)
    assert scope
    page = of(graph, scope, "messaging.traffic", "revenue_eur")
    assert {name.partition(".")[0] for names in page.groups.values() for name in names} == {
        "messaging",
        "messaging_report",
        "messaging_feature",
    }
    text = Page(pages.lineage(scope, None, page, with_rows=True))
    check_inert(text)
    assert "Determines" in text.text
    for table, column in (("shop.transactions", None), ("messaging.traffic", "revenue"), ("nothing", None)):
        with pytest.raises(KeyError):
            of(graph, scope, table, column)


def test_datasets_of_the_same_files_lead_to_each_other(graph: Lineage, every: Scope) -> None:
    for one, other in (("shop.clickstream", "clicks.clickstream"), ("clicks.clickstream", "shop.clickstream")):
        assert of(graph, every, one, "ts").siblings == (Source(other, "ts"),)
        assert of(graph, every, one).siblings == (Source(other, ROWS),)


def test_the_graph_is_computed_anew_only_if_the_content_changes(include_dir: Path) -> None:
    first = current_lineage()
    path = include_dir / "sql/messaging/top_customers.sql"
    os.utime(path, (1, 1))
    assert current_lineage() is first
    path.write_text(path.read_text().replace("sum(revenue_eur) as", "sum(revenue_eur + 0) as"))
    assert current_lineage() is not first
    assert current_lineage().steps == first.steps
