"""Problems of streams: consumers that lag behind, and streams that nobody has ever read."""

from __future__ import annotations

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
    """Return a problem for each stream of a scope whose consumers have lagged for five minutes, or that has none.

    Raises `ContractError` if a manifest is not valid.
    """
    names = {dataset: name for dataset, name in supervised().items() if dataset.partition(".")[0] in scope.domains}
    return [problem for state in stream_states(connection, names) if (problem := _problem(state))]


def _problem(state: StreamState) -> Problem | None:
    """Return the problem of a stream; None if it has none."""
    if not state.is_known:
        what = f"Nobody has read the stream {state.name} of {state.dataset}"
        cause = "WAYBILL_STREAMS names it, and no consumer has ever found it."
    elif state.is_behind_for_long:
        behind = [one for one in state.shards if one.behind_since]
        unread = [one for one in behind if one.owner is None]
        what = f"The stream {state.name} of {state.dataset} is not read in time"
        cause = (
            f"{_shards(len(unread))} no consumer."
            if unread
            else f"The consumers of {count(len(behind), 'shard')} lag by more than {settings().stream_lag_seconds:g} s."
        )
    else:
        return None
    dag = load_manifest(state.dataset.partition(".")[0]).dag
    return Problem(
        "error",
        "streams",
        what,
        state.behind_since,
        cause,
        (Action("command", "Copy command", STATUS), runbook("stream", dag)),
        topic="stream",
        key=f"stream {state.dataset}",
    )


def _shards(number: int) -> str:
    return f"{count(number, 'shard')} {'has' if number == 1 else 'have'}"
