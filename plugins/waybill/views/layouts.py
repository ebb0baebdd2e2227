"""What the business view puts first for a domain. Whatever is not named here is drawn by its contract alone."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kpi:
    """A number of a period: the sum of a column over the report's rows in it, or a ratio of two sums."""

    label: str
    report: str
    column: str
    """The column to sum; `*` counts rows."""
    per: str | None = None
    """The column whose sum divides it."""
    percent: bool = False


@dataclass(frozen=True)
class Trend:
    """A line over the periods: the sum of a column of a report in each."""

    label: str
    report: str
    column: str


@dataclass(frozen=True)
class Matrix:
    """A table of shades: the percentages of a report's rows of several periods, by two of its columns."""

    row: str
    """A date of the key: a line for each of the newest."""
    column: str
    """An integer from 0 on."""
    value: str
    """A percentage."""


@dataclass(frozen=True)
class Layout:
    """The order and the charts of a domain."""

    kpis: tuple[Kpi, ...] = ()
    trends: tuple[Trend, ...] = ()
    first: tuple[str, ...] = ()
    """Reports in the order in which they are shown; the others follow by name."""
    last: tuple[str, ...] = ()
    """Reports that come after those."""
    measure: dict[str, str] = field(default_factory=dict)
    """The column that a report's bars or line show, if not the first one that measures something."""
    matrix: dict[str, Matrix] = field(default_factory=dict)
    """Reports that are drawn as a table of shades, over the periods up to the shown one."""
    counted: dict[str, str] = field(default_factory=dict)
    """The column by whose values a report's rows are counted instead of drawn one by one."""


LAYOUTS: dict[str, Layout] = {
    "messaging": Layout(
        kpis=(
            Kpi("Revenue", "industry_exposure", "revenue_eur"),
            Kpi("Customers", "segment_share", "customers_count"),
            Kpi("Revenue per customer", "industry_exposure", "revenue_eur", per="customers_count"),
            Kpi("Changed segment in a year", "segment_changes", "*"),
        ),
        trends=(Trend("Revenue", "industry_exposure", "revenue_eur"),),
        first=("industry_exposure_extended", "segment_share", "top_customers", "loyal_top_customers"),
        last=("segment_changes", "industry_exposure", "descriptive_statistics"),
    ),
    "orders": Layout(
        kpis=(
            Kpi("Profit", "region_profit", "profit"),
            Kpi("Revenue", "region_profit", "revenue"),
            Kpi("Profit by revenue", "region_profit", "profit", per="revenue", percent=True),
        ),
        trends=(Trend("Profit", "region_profit", "profit"),),
        first=("region_profit", "shipping_methods", "orders_by_category"),
    ),
    "purchases": Layout(
        kpis=(
            Kpi("Spent by the top customers, AUD", "top_purchasers", "total_spent_aud"),
            Kpi("Their purchases", "top_purchasers", "purchases_count"),
            Kpi("Spent by purchase, AUD", "top_purchasers", "total_spent_aud", per="purchases_count"),
        ),
        measure={"top_purchasers": "total_spent_aud"},
    ),
    "shop": Layout(
        kpis=(
            Kpi("Net revenue", "daily_kpis", "net_revenue"),
            Kpi("Orders", "daily_kpis", "orders_count"),
            Kpi("Average order value", "daily_kpis", "net_revenue", per="orders_count"),
            Kpi("Conversion", "daily_kpis", "purchase_sessions_count", per="sessions_count", percent=True),
            Kpi("Returned share", "daily_kpis", "returned_revenue", per="gross_revenue", percent=True),
            Kpi("Sessions", "daily_kpis", "sessions_count"),
        ),
        trends=(Trend("Net revenue", "revenue_trend", "net_revenue"),),
        first=(
            "conversion_funnel",
            "top_products_30_days",
            "customer_lifetime_value",
            "rfm_segments",
            "return_rate",
            "cohort_retention",
        ),
        measure={
            "co_purchases": "lift",
            "return_rate": "return_rate_pct",
            "customer_lifetime_value": "net_revenue",
            "top_products_30_days": "net_revenue",
            "top_products_by_category": "net_revenue",
            "top_buyers": "net_revenue",
            "average_order_value_by_country": "average_order_value",
            "daily_kpis": "net_revenue",
            "revenue_trend": "net_revenue",
        },
        last=("daily_kpis", "revenue_trend"),
        counted={"rfm_segments": "segment"},
        matrix={"cohort_retention": Matrix("cohort_month", "months_since", "retention_pct")},
    ),
}
