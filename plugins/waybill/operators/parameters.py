"""Fail a run with unknown parameters before its first task starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException


def reject_unknown_parameters(context: Mapping[str, Any]) -> None:
    """Raise `AirflowFailException` for parameters of a run that its DAG does not declare.

    Airflow accepts parameters with any name, so a misspelt one would have no effect. Airflow itself checks the values
    of declared parameters when the run is created.
    """
    dag, given = context["dag"], getattr(context["dag_run"], "conf", None) or {}
    if problem := unknown_parameters(dag.dag_id, list(dag.params), given):
        raise AirflowFailException(problem)


def unknown_parameters(dag_id: str, known: Iterable[str], given: object) -> str | None:
    """Return what is wrong with the names of the parameters of a run; None if nothing is."""
    from difflib import get_close_matches

    names = sorted(known)
    accepted = f"{dag_id} accepts {', '.join(names) or 'no parameters'}. Nothing was loaded or changed."
    if not isinstance(given, Mapping):
        return f"the parameters of a run must be a JSON object, not {given!r}. {accepted}"
    unknown = sorted(str(name) for name in given if name not in names)
    if not unknown:
        return None
    by_lower = {name.lower(): name for name in names}
    meant = {one: by_lower[close[0]] for one in unknown if (close := get_close_matches(one.lower(), by_lower, 1))}
    hints = "".join(f" Did you mean {name!r} instead of {one!r}?" for one, name in meant.items())
    listed = ", ".join(map(repr, unknown))
    return f"unknown {'parameter' if len(unknown) == 1 else 'parameters'} {listed}: {accepted}{hints}"
