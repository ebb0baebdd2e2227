"""The newest values of an entity as JSON, for programs that read features online."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from waybill.contracts import ContractError
from waybill.contracts.feature_views import FeatureView, find_feature_view
from waybill.errors import DataError
from waybill.features.online import NotBuilt, as_json, read_latest
from waybill.views.access import CurrentAccess
from waybill.views.parameters import check_domain
from waybill.views.responses import HEADERS

router = APIRouter(prefix="/features")


@router.get("/{name}")
def newest_values(access: CurrentAccess, request: Request, name: str, domain: str | None = None) -> Response:
    """Return the newest values of the entity that the query names, without restricted features.

    Decimals are texts, so that they stay exact. Values older than the ttl are null.
    """
    if domain:
        check_domain(domain)
    try:
        view = find_feature_view(name, domain or None)
    except ContractError as error:
        raise HTTPException(404, str(error)) from None
    entity = _entity(request, view)
    with access.reader() as connection:
        try:
            found = read_latest(connection, view, entity)
        except NotBuilt as error:
            raise HTTPException(404, str(error)) from None
        except DataError as error:
            raise HTTPException(422, str(error)) from None
    if found is None:
        raise HTTPException(404, f"{view.name} has no values of this entity.")
    return Response(as_json(view, found), headers=HEADERS, media_type="application/json")


def _entity(request: Request, view: FeatureView) -> dict[str, str]:
    """Return the entity in the query. Raises HTTP 422 for a column that is missing, unknown or given twice."""
    given = [pair for pair in request.query_params.multi_items() if pair[0] != "domain" or "domain" in view.entity]
    names = [name for name, _ in given]
    if sorted(names) != sorted(view.entity):
        wanted = "&".join(f"{column}=…" for column in view.entity)
        raise HTTPException(422, f"{view.name} is found by {', '.join(view.entity)}: write ?{wanted}")
    return dict(given)
