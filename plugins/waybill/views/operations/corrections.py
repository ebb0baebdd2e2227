"""The routes that write: replays, reveals, withdrawals of files, accepted anomalies and drift, changes of incidents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from psycopg import Connection
from pydantic import BaseModel, Field, StringConstraints, model_validator

from waybill.contracts import Contract
from waybill.errors import CommandFailed, DataError
from waybill.formatting import count
from waybill.intake.withdrawal import accept as keep_rows
from waybill.intake.withdrawal import find_loaded, require_gone
from waybill.intake.withdrawal import withdraw as withdraw_file
from waybill.ops.incidents import acknowledge, close, mute, numbered, unmute
from waybill.ops.reveals import LONGEST_REASON, Place, reveal
from waybill.period import Period
from waybill.run import Run, code_version
from waybill.views import catalog
from waybill.views.access import CurrentAccess
from waybill.views.operations.attention import dag_of
from waybill.views.operations.open_rows import Selected, rows_to_replay
from waybill.views.operations.rejected_rows import REPLAYED_AT_ONCE, SHARD, replay_selected
from waybill.views.operations.scope import Scope
from waybill.views.responses import HEADERS
from waybill.warehouse import LARGEST_INTEGER
from waybill.watch.anomalies import accept as accept_anomalies
from waybill.watch.drift import accept as accept_drift

REPLAYED_BY_KIND: Final = 2_000
"""How many rows, and how many events, of a kind or with a reason one request replays."""
Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
"""The id of a file, or the number of a record."""
ShardId = Annotated[str, StringConstraints(pattern=SHARD)]
SequenceNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,128}$")]


class Selection(BaseModel):
    """Rejected rows and events to replay: these, or the open ones of a kind, or those with a reason."""

    dataset: str
    rows: list[tuple[Number, Number]] = Field(default=[], max_length=REPLAYED_AT_ONCE)
    """Pairs of file id and record."""
    events: list[tuple[ShardId, SequenceNumber]] = Field(default=[], max_length=REPLAYED_AT_ONCE)
    """Pairs of shard and sequence number."""
    kind: Literal["arrived", "changed", "late"] | None = None
    """With `late`, rows that arrived too late are admitted."""
    reason: str | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if sum(map(bool, (self.rows or self.events, self.kind, self.reason))) != 1:
            raise ValueError("name rows and events, a kind or a reason")
        return self


class Withdrawal(BaseModel):
    """A loaded file whose object is gone from the bucket."""

    file_id: Number
    keep: bool
    """Whether its rows stay."""


class IncidentChange(BaseModel):
    """A change of the state of an incident."""

    incident_id: Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
    change: Literal["acknowledge", "mute", "unmute", "close"]
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    """For how many days from now it is muted."""

    @model_validator(mode="after")
    def _days_of_mute(self) -> Self:
        if (self.change == "mute") != (self.days is not None):
            raise ValueError("name the days of a mute, and only of a mute")
        return self


class Acceptance(BaseModel):
    """Anomalies, or schema drift, that a person accepts."""

    anomalies: list[Number] = Field(default=[], max_length=500)
    drift: list[Number] = Field(default=[], max_length=500)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.anomalies) == bool(self.drift):
            raise ValueError("name anomalies or drift")
        return self


class WantedReveal(BaseModel):
    """A rejected row, or an event of a stream, of which a person wants to see the restricted values."""

    dataset: str
    row: tuple[Number, Number] | None = None
    """File id and record."""
    event: tuple[ShardId, SequenceNumber] | None = None
    """Shard and sequence number."""
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_REASON)] = ""

    @model_validator(mode="after")
    def _one_record(self) -> Self:
        if (self.row is None) == (self.event is None):
            raise ValueError("name a row or an event")
        return self


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
    """Replay rows of a dataset that the DAG loads. Return the counts of their outcomes, and a sentence about them."""
    datasets, contract = _datasets(dag_id), _dataset(dag_id, selection.dataset)
    run = Run(f"replay by {_user(request)} in the web UI", code_version())
    with access.writer() as connection:
        found = Selected(selection.rows, selection.events)
        if selection.kind or selection.reason:
            found = rows_to_replay(connection, contract, selection.kind, selection.reason, REPLAYED_BY_KIND + 1)
        chosen = found.first(REPLAYED_BY_KIND)
        result = replay_selected(connection, contract, datasets, run, chosen, admit_late=selection.kind == "late")
        if found != chosen:
            result |= {"is_done": False, "text": f"{result['text']} More rows are left: repeat the request."}
    return JSONResponse(result, headers=HEADERS)


@router.post("/operations/reveal/{dag_id}", dependencies=[Depends(check_origin)])
def show_restricted(access: CurrentAccess, request: Request, dag_id: str, wanted: WantedReveal) -> Response:
    """Return all values of a rejected record of a dataset that the DAG loads, and record who saw them."""
    if not access.may_reveal(request):
        raise HTTPException(403, "To reveal restricted values, you need permission to edit the warehouse's connection.")
    contract = _dataset(dag_id, wanted.dataset)
    place = Place(*wanted.row) if wanted.row else Place(None, None, *(wanted.event or ()))
    with access.writer() as connection:
        try:
            values = reveal(connection, contract, place, by=_user(request), shown_in="page", reason=wanted.reason)
        except DataError as error:
            raise HTTPException(404, str(error)) from error
    text = f"The reveal of {place} is recorded."
    return JSONResponse({"values": values, "text": text}, headers=HEADERS)


@router.post("/operations/withdraw/{dag_id}", dependencies=[Depends(check_origin)])
def withdraw(access: CurrentAccess, dag_id: str, withdrawal: Withdrawal) -> Response:
    """Remove the rows of a file that is gone from the bucket, or keep them. Return a sentence about it."""
    tables = {contract.table: contract for contract in _datasets(dag_id).values()}
    with access.writer() as connection:
        file = find_loaded(connection, str(withdrawal.file_id))
        if file.dataset not in tables or file.file_id != withdrawal.file_id:
            raise HTTPException(404, f"The DAG {dag_id} does not load the file {withdrawal.file_id}.")
        s3, contract, rows = access.s3(), tables[file.dataset], count(file.rows_in, "row")
        if withdrawal.keep:
            require_gone(s3, file)
            keep_rows(connection, file)
            text = f"{file.dataset} keeps {rows} of {file.uri}."
        else:
            done = withdraw_file(connection, s3, contract, file)
            text = f"Withdrew {file.uri} with {rows}."
            if done.days:
                text += f" Run the periods from {Period.of(contract.cadence, file.period)} on again to update reports."
    return JSONResponse({"text": text, "is_done": True}, headers=HEADERS)


@router.post("/operations/incident/{dag_id}", dependencies=[Depends(check_origin)])
def change_incident(access: CurrentAccess, request: Request, dag_id: str, wanted: IncidentChange) -> Response:
    """Acknowledge, mute, unmute or close an incident of a DAG. Return a sentence about it; HTTP 409 if it is closed."""
    number, by = wanted.incident_id, _user(request)
    with access.writer() as connection, connection.transaction():
        try:
            dag = dag_of(connection, numbered(connection, number))
        except CommandFailed as error:
            raise HTTPException(404, str(error)) from error
        if dag != dag_id:
            raise HTTPException(404, f"The incident {number} does not belong to the DAG {dag_id}.")
        try:
            text = _changed(connection, wanted, by)
        except CommandFailed as error:
            raise HTTPException(409, str(error)) from error
    return JSONResponse({"text": text, "is_done": wanted.change == "close"}, headers=HEADERS)


@router.post("/operations/accept/{dag_id}", dependencies=[Depends(check_origin)])
def accept(access: CurrentAccess, request: Request, dag_id: str, acceptance: Acceptance) -> Response:
    """Accept anomalies or drift of tables of a DAG. Return a sentence about it; HTTP 404 if one is not open."""
    domain, by = catalog.domain_of(dag_id), _user(request)
    tables = set(Scope((domain,)).subjects) if domain else set()
    with access.writer() as connection, connection.transaction():
        try:
            if acceptance.drift:
                found = {one.dataset for one in accept_drift(connection, acceptance.drift, by)}
            else:
                done = accept_anomalies(connection, acceptance.anomalies, by, is_step=False)
                found = {dataset for dataset, _ in done}
        except DataError as error:
            raise HTTPException(404, str(error)) from error
        if not found <= tables:
            raise HTTPException(404, f"The DAG {dag_id} does not load or build {', '.join(sorted(found - tables))}.")
    what = "Values" if acceptance.anomalies else "Schema drift"
    return JSONResponse({"text": f"{what} of {', '.join(sorted(found))} accepted.", "is_done": True}, headers=HEADERS)


def _changed(connection: Connection, wanted: IncidentChange, by: str) -> str:
    """Change an incident, and return a sentence about it."""
    number = wanted.incident_id
    match wanted.change:
        case "acknowledge":
            acknowledge(connection, number, by)
            return f"The incident {number} is acknowledged."
        case "mute":
            until = datetime.now(UTC) + timedelta(days=wanted.days or 0)
            mute(connection, number, by, until)
            return f"The incident {number} sends no alerts until {until:%Y-%m-%d %H:%M} UTC."
        case "unmute":
            unmute(connection, number, by)
            return f"The incident {number} is unmuted."
        case "close":
            close(connection, number, by)
            return f"The incident {number} is closed."


def _user(request: Request) -> str:
    return str(getattr(request.state.waybill_user, "get_name", lambda: "someone")())


def _dataset(dag_id: str, table: str) -> Contract:
    """Return the contract of a dataset that a DAG loads. Raises HTTP 404 for any other table."""
    found = next((one for one in _datasets(dag_id).values() if one.table == table), None)
    if found is None:
        raise HTTPException(404, f"The DAG {dag_id} does not load the dataset {table!r}.")
    return found


def _datasets(dag_id: str) -> dict[str, Contract]:
    """Return the contracts of the datasets that a DAG loads, by name; none for any other DAG."""
    domain = catalog.domain_of(dag_id)
    return catalog.of_schema(domain) if domain else {}
