"""The views as a web application. The caller decides who may see and do what: Airflow, or a test."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from waybill.views import assets, online_features
from waybill.views.access import Access
from waybill.views.business import routes as business
from waybill.views.error_pages import add_error_pages
from waybill.views.live import routes as live
from waybill.views.live.shared import Shared
from waybill.views.operations import corrections
from waybill.views.operations import routes as operations
from waybill.views.parameters import BlankParameters


def make_app(access: Access) -> FastAPI:
    """Return the application. Every route checks the user's permissions with `access`."""
    guard = [Depends(access.identify), Depends(access.view)]
    app = FastAPI(title="Waybill", openapi_url=None, docs_url=None, redoc_url=None, dependencies=guard)
    app.state.access = access
    app.state.live = Shared[live.Answer]()
    app.add_middleware(BlankParameters)
    add_error_pages(app)
    for views in (assets, business, live, online_features, operations):
        app.include_router(views.router)
    app.include_router(corrections.router, dependencies=[Depends(access.run)])
    return app
