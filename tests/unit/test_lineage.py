"""The lineage of columns is what a person reads in the SQL files, and agrees with itself in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill.cli import app
from waybill.contracts import load_all
from waybill.contracts.odcs import sql_path
from waybill.errors import DataError
from waybill.ops.column_sources import ROWS, Source
from waybill.ops.lineage import Lineage, lineage_into, project_lineage, shown, sql_problems
from waybill.ops.lint import lint
from waybill.settings import PROJECT_ROOT

# Written down by reading the SQL files. A letter stands for a table; `T.*` are the rows of the table T. The line `rows`
# has the columns in filters, joins, groups, windows and orders.
BY_HAND = {
    "clicks_report.page_statistics": """
        C = clicks.clickstream
        page: C.page
        views_count: C.*
        sessions_count: C.session_id
        customers_count: C.customer_id
        entrances_count: C.*
        exits_count: C.*
        share_of_entrances_pct: C.*
        exit_rate_pct: C.* C.session_id
        rows: C.ts C.session_id C.event_id C.page
    """,
    "messaging_report.industry_exposure": """
        C = messaging.customers
        T = messaging.traffic
        industry: C.industry
        revenue_eur: T.revenue_eur
        revenue_share_pct: T.revenue_eur
        customers_count: C.customer_id
        industry_rank: C.* T.*
        rows: T.send_date T.customer_id C.customer_id T.revenue_eur C.industry
    """,
    "messaging_report.segment_changes": """
        C = messaging.customers
        customer_id: C.customer_id
        customer_name: C.customer_name
        segment_12_months_ago: C.segment
        segment_now: C.segment
        changed_net: C.segment
        changed_ever: C.customer_id
        rows: C.customer_id C.segment C.valid_from C.valid_to
    """,
    "orders_report.region_profit": """
        L = orders.lines
        region: L.region
        profit: L.list_price L.discount_percent L.cost_price L.quantity
        revenue: L.list_price L.discount_percent L.quantity
        orders_count: L.order_id
        lines_count: L.*
        profit_rank: L.*
        is_tied: L.*
        rows: L.landed_on L.region L.list_price L.discount_percent L.cost_price L.quantity
    """,
    "orders_report.shipping_methods": """
        L = orders.lines
        category: L.category
        ship_mode: L.ship_mode
        category_orders_count: L.order_id
        orders_count: L.order_id
        is_tied: L.*
        rows: L.landed_on L.category L.ship_mode L.order_id
    """,
    "purchases_star.fact_purchases": """
        P = purchases.purchases
        R = purchases.rates
        ingested_on: P.ingested_on
        purchase_id: P.purchase_id
        customer_id: P.customer_id
        first_name: P.first_name
        last_name: P.last_name
        email: P.email
        purchase_date: P.purchase_date
        amount: P.amount
        currency: P.currency
        aud_rate: R.aud_rate
        amount_aud: P.amount R.aud_rate
        rows: R.currency P.currency R.valid_from P.purchase_date P.ingested_on
    """,
    "shop_report.co_purchases": """
        S = shop_star.fact_sales
        D = shop_star.dim_product
        product_id: S.product_id
        product_name: D.name
        recommendation_rank: S.*
        recommended_product_id: S.product_id
        recommended_product_name: D.name
        baskets_count: S.*
        recommended_baskets_count: S.*
        common_baskets_count: S.*
        support_pct: S.*
        confidence_pct: S.*
        lift: S.*
        rows: S.sale_date S.customer_id S.product_id S.status D.product_id D.valid_from
    """,
    "shop_report.conversion_funnel": """
        S = shop_star.fact_sessions
        sessions_count: S.*
        lost_sessions_count: S.*
        share_of_sessions_pct: S.*
        share_of_previous_step_pct: S.*
        rows: S.session_date S.reached_product_view S.reached_add_to_cart S.reached_checkout S.reached_purchase
    """,
    "shop_report.customer_lifetime_value": """
        S = shop_star.fact_sales
        customer_id: S.customer_id
        orders_count: S.*
        returned_orders_count: S.*
        gross_revenue: S.total_amount
        returned_revenue: S.total_amount
        net_revenue: S.total_amount
        first_purchase_date: S.sale_date
        last_purchase_date: S.sale_date
        average_order_value: S.total_amount S.*
        rows: S.sale_date S.customer_id S.status
    """,
    "shop_report.top_buyers": """
        S = shop_star.fact_sales
        C = shop_star.dim_customer
        buyer_rank: S.*
        customer_id: S.customer_id
        country: C.country
        orders_count: S.*
        net_revenue: S.total_amount
        revenue_share_pct: S.total_amount
        last_purchase_date: S.sale_date
        rows: S.sale_date S.status S.customer_id S.customer_key S.total_amount C.customer_key C.valid_from
    """,
    "shop_star.dim_customer": """
        C = shop.customers
        K = shop.clickstream
        T = shop.transactions
        R = shop.reviews
        customer_key: C.customer_id K.customer_id T.customer_id R.customer_id
        customer_key: C.name C.email C.registration_date C.country C.updated_at
        customer_id: C.customer_id K.customer_id T.customer_id R.customer_id
        name: C.name
        email: C.email
        registration_date: C.registration_date
        country: C.country
        valid_from: C.name C.email C.registration_date C.country C.updated_at
        valid_to: C.name C.email C.registration_date C.country C.updated_at
        rows: C.customer_id K.customer_id T.customer_id R.customer_id
        rows: C.name C.email C.registration_date C.country C.updated_at
    """,
    "shop_star.fact_sessions": """
        K = shop.clickstream
        C = shop_star.dim_customer
        session_id: K.session_id
        customer_key: C.customer_key
        customer_id: K.customer_id
        started_at: K.ts
        ended_at: K.ts
        events: K.*
        reached_product_view: K.ts
        reached_add_to_cart: K.ts
        reached_checkout: K.ts
        reached_purchase: K.ts K.event_type
        device: K.device
        rows: K.ts K.session_id K.event_type K.customer_id K.event_id C.customer_id C.valid_from C.valid_to
    """,
}  # fmt: skip

# They are written in the SQL, or are parameters of the run: the period, its cadence, and the steps of a funnel.
CONSTANTS = {
    "clicks_report.funnel": {"day", "step_number", "step"},
    "clicks_report.page_statistics": {"day"},
    "clicks_report.sessions_by_day": {"day"},
    "messaging_feature.customer_revenue_v1": {"month", "event_ts"},
    "messaging_report.industry_exposure": {"month"},
    "messaging_report.loyal_top_customers": {"month"},
    "messaging_report.revenue_by_period": {"month"},
    "messaging_report.segment_changes": {"month"},
    "messaging_report.segment_share": {"month"},
    "messaging_report.top_customers": {"month"},
    "orders_report.orders_by_category": {"day"},
    "orders_report.region_profit": {"day"},
    "orders_report.shipping_methods": {"day"},
    "purchases_report.top_purchasers": {"day"},
    "purchases_star.customer_spend": {"as_of"},
    "purchases_star.customer_purchase_summary": {"updated_at"},
    "shop_feature.customer_orders_v1": {"day", "event_ts"},
    "shop_feature.customer_sessions_v1": {"day", "event_ts"},
    "shop_feature.product_neighbours_v1": {"day", "event_ts"},
    "shop_feature.product_sales_v1": {"day", "event_ts"},
    "shop_report.average_order_value_by_country": {"month"},
    "shop_report.best_sellers_by_category": {"month"},
    "shop_report.co_purchases": {"month"},
    "shop_report.cohort_retention": {"month"},
    "shop_report.conversion_funnel": {"day", "step_number", "step"},
    "shop_report.customer_lifetime_value": {"month"},
    "shop_report.daily_kpis": {"day"},
    "shop_report.return_rate": {"month"},
    "shop_report.revenue_trend": {"period", "cadence"},
    "shop_report.rfm_segments": {"month"},
    "shop_report.top_buyers": {"month"},
    "shop_report.top_products_30_days": {"day"},
    "shop_report.top_products_by_category": {"month"},
    "shop_star.dim_customer": {"is_inferred"},
    "shop_star.dim_product": {"is_inferred"},
    "shop_star.fact_reviews": {"review_date"},
    "shop_star.fact_sales": {"sale_date"},
    "shop_star.fact_sessions": {"session_date"},
}


@pytest.fixture(scope="module")
def graph() -> Lineage:
    return project_lineage()


def written_down(text: str) -> tuple[dict[str, set[str]], set[str]]:
    """Return the sources by column and those of the rows, with the names of tables."""
    letters: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if "=" in line:
            letter, _, table = line.partition(" = ")
            letters[letter] = table
            continue
        name, _, sources = line.partition(":")
        pairs = [one.split(".") for one in sources.split()]
        found.setdefault(name, set()).update(f"{letters[letter]}.{column}" for letter, column in pairs)
    return found, found.pop("rows")


@pytest.mark.parametrize("table", BY_HAND)
def test_columns_come_from_what_a_person_reads(table: str, graph: Lineage) -> None:
    columns, rows = written_down(BY_HAND[table])
    found = {
        name: {".".join(step.source) for step in graph.into[Source(table, name)] if step.effect == "value"}
        for name in graph.tables[table].columns
    }
    assert found == columns | {name: set() for name in CONSTANTS.get(table, ())}
    influences = {step.source for step in graph.into[Source(table, ROWS)]}
    assert {".".join(one) for one in influences if one.column != ROWS} == rows


def test_every_sql_file_is_read_and_returns_the_columns_of_its_contract() -> None:
    contracts = load_all()
    assert sql_problems(contracts.values()) == {}
    read = {sql_path(one) for one in contracts.values() if not one.is_dataset and sql_path(one).is_file()}
    assert read == {*(PROJECT_ROOT / "include/sql").rglob("*.sql")}
    assert len(read) >= 35


def test_every_column_has_a_source_or_is_a_listed_constant(graph: Lineage) -> None:
    constants: dict[str, set[str]] = {}
    for table in graph.tables.values():
        if table.kind == "file":
            continue
        for name in table.columns:
            if not any(step.effect == "value" for step in graph.into.get(Source(table.name, name), ())):
                constants.setdefault(table.name, set()).add(name)
    assert constants == CONSTANTS


def test_every_column_rests_on_files(graph: Lineage) -> None:
    for table in graph.tables.values():
        for name in table.columns if table.kind != "file" else ():
            node = Source(table.name, name)
            steps = graph.upstream([node])
            assert any(graph.tables[step.source.table].kind == "file" for step in steps), node


def nodes(graph: Lineage) -> Iterator[Source]:
    for table in graph.tables:
        yield from graph.nodes_of(table)


def test_downstream_is_the_inverse_of_upstream(graph: Lineage) -> None:
    below = {node: {step.target for step in graph.downstream([node])} for node in nodes(graph)}
    above: dict[Source, set[Source]] = {node: set() for node in below}
    for node, targets in below.items():
        for target in targets:
            above[target].add(node)
    assert sum(map(len, below.values())) > 10_000
    for node, sources in above.items():
        assert {step.source for step in graph.upstream([node])} == sources, node


def test_exports_have_the_columns_of_their_table(graph: Lineage) -> None:
    lake = {name for name, table in graph.tables.items() if table.kind == "lake"}
    assert lake == {
        "waybill_processed.clicks_clickstream",
        "waybill_processed.purchases_star_customer_spend",
        "waybill_processed.purchases_star_fact_purchases",
        *(f"waybill_processed.{one.replace('.', '_')}" for one in load_all() if one.startswith("shop.")),
    }
    [step] = graph.into[Source("analytics/YYYY/MM/DD/top_customers", "revenue_eur")]
    assert shown(step.source) == "messaging_report.top_customers.revenue_eur"


def test_two_domains_may_read_the_same_files(graph: Lineage) -> None:
    file = Source("raw/shop/clickstream/dt=YYYY-MM-DD/", "ts")
    assert {shown(step.target) for step in graph.out_of[file]} == {"shop.clickstream.ts", "clicks.clickstream.ts"}
    assert [shown(one) for one in graph.siblings(Source("shop.clickstream", "ts"))] == ["clicks.clickstream.ts"]
    assert [shown(one) for one in graph.siblings(Source("clicks.clickstream", "ts"))] == ["shop.clickstream.ts"]
    assert graph.siblings(Source("messaging.traffic", "revenue_eur")) == []
    assert "Loaded from the same files" in command("shop.clickstream.ts")


def test_dashboards_streams_and_checks_rest_on_what_a_person_reads(graph: Lineage) -> None:
    found = {
        (table, figure): {".".join(step.source) for step in graph.into[Source(table, figure)]}
        for table, figure in (
            ("dashboard of messaging", "Revenue"),
            ("stream of shop.clickstream", "Revenue"),
            ("stream of shop.clickstream", "funnel"),
            ("checks of shop.clickstream", "clickstream_unknown_products_pct"),
            ("checks of shop.clickstream", "clickstream_present"),
            ("checks of shop_report.top_buyers", "top_buyers_largest_share_pct"),
        )
    }
    assert found == {
        ("dashboard of messaging", "Revenue"): {"messaging_report.industry_exposure.revenue_eur"},
        ("stream of shop.clickstream", "Revenue"): {
            "shop.clickstream.event_type",
            "shop.clickstream.product_id",
            "shop.products.price",
        },
        ("stream of shop.clickstream", "funnel"): {"shop.clickstream.session_id", "shop.clickstream.event_type"},
        ("checks of shop.clickstream", "clickstream_unknown_products_pct"): {
            "shop.clickstream.*",
            "shop.clickstream.product_id",
            "shop.clickstream.ts",
            "shop.products.*",
            "shop.products.product_id",
            "shop.products.valid_from",
        },
        ("checks of shop.clickstream", "clickstream_present"): {"shop.clickstream.*"},
        ("checks of shop_report.top_buyers", "top_buyers_largest_share_pct"): {
            "shop_report.top_buyers.*",
            "shop_report.top_buyers.month",
            "shop_report.top_buyers.revenue_share_pct",
        },
    }


@pytest.mark.parametrize(
    "table", ["shop_report.top_buyers", "shop.clickstream", "messaging_report.descriptive_statistics"]
)
def test_the_graph_of_some_tables_is_a_part_of_the_whole(table: str, graph: Lineage) -> None:
    part = lineage_into([table])
    exports = {
        step.target.table
        for step in graph.out_of[Source(table, ROWS)]
        if graph.tables[step.target.table].kind in ("published", "lake")
    }
    for name in (table, *exports):
        assert part.tables[name] == graph.tables[name]
        for node in graph.nodes_of(name):
            assert part.into.get(node) == graph.into.get(node), node
    assert {step.target.table for step in part.steps} == {table, *exports}
    assert {one.name: one.kind for one in part.tables.values()}.items() <= {
        one.name: one.kind for one in graph.tables.values()
    }.items()


def test_a_function_rests_on_the_tables_that_it_names(graph: Lineage) -> None:
    found = graph.into[Source("messaging_report.industry_exposure_extended", "revenue_category")]
    assert {shown(step.source) for step in found if step.effect == "value"} == {"messaging_report.industry_exposure"}
    assert {step.by for step in found if step.effect == "value"} == {"dags/messaging/reports.py"}
    below = {shown(step.target) for step in graph.downstream([Source("messaging.traffic", "revenue_eur")])}
    assert {"messaging_report.descriptive_statistics", "messaging_report.industry_exposure_extended"} <= below


@pytest.mark.parametrize(
    ("name", "domain", "found"),
    [
        ("traffic.revenue_eur", None, "messaging.traffic.revenue_eur"),
        ("messaging.traffic.revenue_eur", None, "messaging.traffic.revenue_eur"),
        ("fact_sales", None, "shop_star.fact_sales"),
        ("shop_star.fact_sales", None, "shop_star.fact_sales"),
        ("clickstream.ts", "clicks", "clicks.clickstream.ts"),
        ("top_buyers.net_revenue", "shop", "shop_report.top_buyers.net_revenue"),
        ("customers.valid_from", "messaging", "messaging.customers.valid_from"),
    ],
)
def test_names_are_found(name: str, domain: str | None, found: str, graph: Lineage) -> None:
    assert shown(graph.find(name, domain)) == found


@pytest.mark.parametrize(
    ("name", "domain", "message"),
    [
        ("traffic.revenue", None, "messaging.traffic has no column 'revenue': did you mean `revenue_eur`?"),
        ("trafic.revenue_eur", None, "there is no table or column 'trafic.revenue_eur': did you mean `traffic`?"),
        ("fact_sale", "shop", "there is no table or column 'fact_sale' in shop: did you mean `fact_sales`?"),
        ("clickstream.ts", None, "is the name of several: clicks.clickstream.ts, shop.clickstream.ts"),
        ("revenue_eurr", None, "or `traffic.revenue_eur`?"),
        ("revenue_eur", "messaging", "did you mean `industry_exposure.revenue_eur` or"),
        ("profitt", "orders", "did you mean `region_profit.profit`?"),
        ("traffic", "nothing", "there is no table of the domain 'nothing'"),
        ("zzz", "orders", "there are orders.lines, orders_report."),
    ],
)
def test_the_nearest_name_is_suggested(name: str, domain: str | None, message: str, graph: Lineage) -> None:
    with pytest.raises(DataError) as caught:
        graph.find(name, domain)
    assert message in str(caught.value)


# --- faults in SQL files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("messaging/top_customers.sql", "    sum(revenue_eur) as revenue_eur\n", "sum(revenue) as revenue_eur\n",
         ", line 23: unknown column 'revenue': did you mean `revenue_eur`?"),
        ("clicks/page_statistics.sql", "count(distinct customer_id)", "count(distinct customer)",
         ", line 37: unknown column 'customer': did you mean `customer_id`?"),
        ("shop/top_buyers.sql", "from shop_star.dim_customer", "from shop_star.dim_customers",
         ", line 21: unknown table shop_star.dim_customers: did you mean `shop_star.dim_customer`?"),
        ("shop_star/fact_sales.sql", "    transactions.status,\n", "", ": does not return the column 'status'"),
        ("orders/region_profit.sql", "    region,\n    profit", "    region as area,\n    profit",
         ": does not return the column 'region'"),
        ("orders/region_profit.sql", "group by region", "group by (region", ", line 28: not valid: "),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_line_and_column(
    name: str, old: str, new: str, problem: str, include_dir: Path
) -> None:
    path = include_dir / "sql" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    _, problems = lint(None)
    assert [one for one in problems if not one.startswith(f"{path}")] == []
    assert problems[0].startswith(f"{path}{problem}"), problems


def test_a_report_may_have_the_name_of_a_dataset(include_dir: Path) -> None:
    (include_dir / "sql/messaging/traffic.sql").write_text("select 1 as one")
    assert sql_problems(load_all().values()) == {}
    assert shown(project_lineage().into[Source("messaging.traffic", "revenue_eur")][0].source).startswith("raw/")


def test_the_command_names_the_file_with_a_fault(include_dir: Path) -> None:
    path = include_dir / "sql/messaging/top_customers.sql"
    path.write_text(path.read_text().replace("sum(revenue_eur)", "sum(revenue)", 1))
    done = CliRunner().invoke(app, ["lineage", "traffic.revenue_eur"])
    assert done.exit_code == 1


# --- the command ------------------------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["lineage", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_prints_a_tree_from_the_file_to_the_export() -> None:
    above = command("top_buyers.net_revenue", "--upstream")
    order = (
        "shop_report.top_buyers.net_revenue",
        "shop_star.fact_sales.total_amount",
        "shop.transactions.total_amount",
        "file raw/shop/transactions/dt=YYYY-MM-DD/ total_amount",
    )
    places = [above.index(one) for one in order]
    assert places == sorted(places)
    assert "[shop/top_buyers.sql]" in above
    assert "Used by" not in above
    below = command("fact_sales.total_amount", "--downstream")
    assert "Comes from" not in below
    assert "shop_report.top_buyers.net_revenue" in below
    assert "published: analytics/YYYY/MM/DD/top_buyers net_revenue" in below


@pytest.mark.parametrize("name", ["shop.transactions.status", "shop.products.name", "fact_sales", "dim_date"])
def test_a_tree_is_short(name: str) -> None:
    lines = command(name).splitlines()
    assert max(map(len, lines)) <= 140
    assert len(lines) < 150


def test_a_long_line_of_a_tree_is_not_cut() -> None:
    done = CliRunner().invoke(app, ["lineage", "daily_kpis.net_revenue"], env={"COLUMNS": "40"})
    names = "brand, category, name, price, product_id, supplier, valid_from, valid_to"
    assert f"├── shop.products: {names}\n" in done.stdout


def test_the_command_prints_every_step_as_json(graph: Lineage) -> None:
    found = json.loads(command("messaging.traffic.revenue_eur", "--json"))
    assert found["name"] == "messaging.traffic.revenue_eur"
    [step] = [one for one in found["upstream"] if one["effect"] == "value"]
    assert step == {
        "source": {"table": "raw/messaging/traffic/month=YYYY-MM/", "column": "revenue_eur"},
        "target": {"table": "messaging.traffic", "column": "revenue_eur"},
        "effect": "value",
        "by": None,
    }
    assert len(found["downstream"]) == len(graph.downstream([Source("messaging.traffic", "revenue_eur")]))
    assert {"include/sql/messaging/top_customers.sql", None} <= {one["by"] for one in found["downstream"]}
    assert "downstream" not in json.loads(command("traffic", "--json", "--upstream"))
