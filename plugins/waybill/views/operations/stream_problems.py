"""Problems of streams: consumers that lag behind, streams that nobody reads, lost events, and a late archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.settings import settings
from waybill.stream.lag import StreamState, stream_states, supervised
from waybill.views.operations.problem import Action, Problem, runbook
from waybill.views.operations.scope import Scope

STATUS: Final = "waybill stream status"


def stream_problems(connection: Connection, scope: Scope) -> list[Problem]:
    """Return the problems of the streams of a scope, at most one of each kind for each stream.

    Raises `ContractError` if a manifest is not valid.
    """
    names = {dataset: name for dataset, name in supervised().items() if dataset.partition(".")[0] in scope.domains}
    return [problem for state in stream_states(connection, names) for problem in _problems(state)]


def _problems(state: StreamState) -> Iterator[Problem]:
    stream = f"the stream {state.name} of {state.dataset}"
    if not state.is_known:
        cause = "WAYBILL_STREAMS names it, and no consumer has ever found it."
        yield _problem(state, "", f"Nobody has read {stream}", None, cause)
    elif state.is_behind_for_long:
        behind = [one for one in state.shards if one.behind_since]
        unread = [one for one in behind if one.owner is None]
        cause = (
            f"{_shards(len(unread))} no consumer."
            if unread
            else f"The consumers of {count(len(behind), 'shard')} lag by more than {settings().stream_lag_seconds:g} s."
        )
        yield _problem(state, "", f"T{stream[1:]} is not read in time", state.behind_since, cause)
    if lost := state.lost:
        cause = f"The stream removed records of {', '.join(one.shard for one in lost)} before they were read."
        since = max(one.lost_at for one in lost if one.lost_at)
        yield _problem(state, " lost", f"Events of {stream} are lost", since, cause)
    if state.is_archive_late:
        cause = "A file of the archive cannot be written. The log of the consumer says why."
        yield _problem(state, " archive", f"The archive of {stream} is late", state.unwritten_since, cause)


def _problem(state: StreamState, kind: str, what: str, since: datetime | None, cause: str) -> Problem:
    dag = load_manifest(state.dataset.partition(".")[0]).dag
    return Problem(
        "error",
        "streams",
        what,
        since,
        cause,
        (Action("command", "Copy command", STATUS), runbook("stream", dag)),
        topic="stream",
        key=f"stream {state.dataset}{kind}",
    )


def _shards(number: int) -> str:
    return f"{count(number, 'shard')} {'has' if number == 1 else 'have'}"
