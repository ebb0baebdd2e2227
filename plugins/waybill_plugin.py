"""Registers the views of Waybill with Airflow.

Every process of Airflow imports this file, including each task, so the views are imported only at the first request.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


async def views(scope: Any, receive: Any, send: Any) -> None:
    """The views as an ASGI application."""
    from waybill.operators.web import application

    await application()(scope, receive, send)


class WaybillPlugin(AirflowPlugin):
    """Adds Business and Data operations to the navigation, and Data operations as a tab of each DAG and run."""

    name = "waybill"
    fastapi_apps = [{"app": views, "url_prefix": "/waybill", "name": "Waybill"}]  # noqa: RUF012  # as in Airflow's base class
    # Addresses without a leading slash also work if Airflow is served under a path prefix.
    external_views = [  # noqa: RUF012
        {
            "name": "Business",
            "href": "waybill/business/index.html",
            "url_route": "business",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "waybill/icons/business.svg",
            "icon_dark_mode": "waybill/icons/business_dark.svg",
        },
        {
            "name": "Data ops",  # Airflow cuts names of more than eight letters
            "href": "waybill/operations/index.html",
            "url_route": "data-operations",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "waybill/icons/operations.svg",
            "icon_dark_mode": "waybill/icons/operations_dark.svg",
        },
        {
            # Not in the navigation: the other views link to it where there is a stream.
            "name": "Live",
            "href": "waybill/live/index.html",
            "url_route": "live",
            "destination": "base",
        },
        {
            "name": "Data operations",
            "href": "waybill/operations/index.html?dag_id={DAG_ID}",
            "url_route": "dag-data-operations",
            "destination": "dag",
        },
        {
            "name": "Data operations",
            "href": "waybill/operations/index.html?dag_id={DAG_ID}&run_id={RUN_ID}",
            "url_route": "run-data-operations",
            "destination": "dag_run",
        },
    ]
