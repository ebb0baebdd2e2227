"""The reports of the messaging domain that are computed in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.period import Period


def descriptive_statistics(connection: Connection, period: Period) -> list[dict[str, Any]]:
    """Return statistics of all measures of the datasets, as known at the end of the month, and of industry exposure."""
    from psycopg import sql

    from waybill.contracts import load_domain
    from waybill.derived.build import report_contract
    from waybill.derived.statistics import Source, measures
    from waybill.derived.statistics import descriptive_statistics as describe_sources
    from waybill.warehouse.schema import as_of_function, relation

    datasets, exposure = load_domain("messaging"), report_contract("messaging", "industry_exposure")
    sources = []
    for name, contract in datasets.items():
        rows = sql.SQL("select * from {}(%(period_end)s)").format(as_of_function(contract))
        if contract.period_column:
            rows += sql.SQL(" where {0} >= %(period_start)s and {0} < %(period_end)s").format(
                sql.Identifier(contract.period_column)
            )
        sources.append(Source(name, sql.SQL("({})").format(rows), measures(contract.columns)))
    of_month = sql.SQL("(select * from {} where month = %(period_start)s)").format(relation(exposure))
    sources.append(Source(exposure.name, of_month, measures(exposure.columns)))
    bounds = {"period_start": period.start, "period_end": period.end}
    return describe_sources(connection, period.start, sources, bounds)


def industry_exposure_extended(connection: Connection, period: Period) -> list[dict[str, Any]]:
    """Return industry exposure with the bands Low, Mid and High for revenue and number of customers."""
    from psycopg.rows import dict_row

    from waybill.derived.statistics import quartile_categories

    with connection.cursor(row_factory=dict_row) as cursor:
        exposures = cursor.execute(
            """
            select month, industry, revenue_eur, revenue_share_pct, customers_count, industry_rank
            from messaging_report.industry_exposure
            where month = %s
            order by industry_rank
            """,
            (period.start,),
        ).fetchall()
    revenue = quartile_categories([exposure["revenue_eur"] for exposure in exposures])
    customers = quartile_categories([exposure["customers_count"] for exposure in exposures])
    return [
        {
            **exposure,
            "revenue_category": revenue_category,
            "customers_category": customers_category,
            "is_degenerate_revenue": revenue.is_degenerate,
            "is_degenerate_customers": customers.is_degenerate,
        }
        for exposure, revenue_category, customers_category in zip(
            exposures, revenue.categories, customers.categories, strict=True
        )
    ]
