"""The route that replays selected rows: the only one that writes."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from waybill.run import Run, code_version
from waybill.views import catalog
from waybill.views.access import CurrentAccess
from waybill.views.operations.rejected_rows import REPLAYED_AT_ONCE, replay_selected
from waybill.views.responses import HEADERS
from waybill.warehouse import LARGEST_INTEGER

Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
"""The id of a file, or the number of a record."""


class Selection(BaseModel):
    """Quarantined rows to replay."""

    dataset: str
    rows: list[tuple[Number, Number]] = Field(min_length=1, max_length=REPLAYED_AT_ONCE)
    """Pairs of file id and record."""


def check_origin(request: Request) -> None:
    """Raise HTTP 403 for a request that a page of another site made, HTTP 415 for a body that is not JSON."""
    headers = request.headers
    is_same_site = headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if "origin" in headers:
        is_same_site = is_same_site and urlsplit(headers["origin"]).netloc == headers.get("host")
    if not is_same_site:
        raise HTTPException(403, "Requests from other sites are not allowed.")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "The body must be JSON, with the header `Content-Type: application/json`.")


router = APIRouter()


@router.post("/operations/replay/{dag_id}", dependencies=[Depends(check_origin)])
def replay(access: CurrentAccess, request: Request, dag_id: str, selection: Selection) -> Response:
    """Replay the selected rows of a dataset that the DAG loads, and return the counts of their outcomes."""
    domain = catalog.domain_of(dag_id)
    datasets = catalog.of_schema(domain) if domain else {}
    contract = next((one for one in datasets.values() if one.table == selection.dataset), None)
    if contract is None:
        raise HTTPException(404, f"The DAG {dag_id} does not load the dataset {selection.dataset!r}.")
    user = getattr(request.state.waybill_user, "get_name", lambda: "someone")()
    run = Run(f"replay by {user} in the web UI", code_version())
    with access.writer() as connection:
        result = replay_selected(connection, contract, datasets, run, selection.rows)
    return JSONResponse(result, headers=HEADERS)
