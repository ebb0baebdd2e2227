"""A feature view with values of two days, built by the code that builds all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from psycopg import Connection

from support.messaging_months import RUN
from waybill.contracts.feature_views import FeatureView, find_feature_view
from waybill.contracts.locations import read_sql
from waybill.derived.build import BuildInputs, sha256
from waybill.derived.feature import build_feature, open_version
from waybill.period import Period
from waybill.settings import settings

DAY = Period.parse("day", "2026-03-31")
ROWS = 400
ORDERS = """
select
    %(period_start)s::date as day,
    n as customer_id,
    %(ends_at)s::timestamptz as event_ts,
    n %% 30 as days_since_order,
    case when n > 100 then 'Books' end as preferred_category,
    null::numeric(5, 2) as days_between_orders,
    (n %% 3)::bigint as orders_7_days,
    (n %% 3)::bigint as orders_30_days,
    (n %% 3)::bigint as orders_90_days,
    0.5::numeric(18, 2) as spend_7_days,
    0.5::numeric(18, 2) as spend_30_days,
    (n * extract(day from %(period_start)s::date))::numeric(18, 2) as spend_90_days,
    null::numeric(7, 4) as return_share_90_days_pct,
    4.5::numeric(3, 2) as mean_rating_90_days
from generate_series(1, 400) as n
"""
"""The spend moves from day to day, and a quarter of the customers has no category."""


def build_orders(connection: Connection[Any]) -> FeatureView:
    """Build two days of the orders of 400 customers, which rest on no file, and return the view."""
    found = find_feature_view("customer_orders:1")
    drift = tuple(check for check in found.contract.checks if check.metric == "drift")
    view = FeatureView.of(replace(found.contract, checks=drift))
    open_version(connection, view.contract, ORDERS)
    for period in (DAY.shift(-1), DAY):
        build_feature(connection, view, lambda: BuildInputs([]), ORDERS, set(), period, RUN)
    of_project = sha256(read_sql(settings().include_dir / "sql/shop_feature/customer_orders_v1.sql"))
    connection.execute(  # readers refuse a version whose file is another one
        "update waybill.feature_version set sql_sha256 = %s where feature_table = %s", (of_project, view.table)
    )
    return found
