"""Refuse a run that was given parameters which its DAG does not know, before any of its tasks does anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException


def refuse_unknown_parameters(context: Mapping[str, Any]) -> None:
    """Raise `AirflowFailException` for parameters of the run that its DAG does not declare; a task runs this first.

    Airflow merges whatever it is given into the parameters, so that a misspelt one would change nothing. It checks
    the values of those that are declared itself, when the run is made.
    """
    dag, given = context["dag"], getattr(context["dag_run"], "conf", None) or {}
    if problem := unknown_parameters(dag.dag_id, list(dag.params), given):
        raise AirflowFailException(problem)


def unknown_parameters(dag_id: str, known: Iterable[str], given: object) -> str | None:
    """What is wrong with the parameters given to a run of a DAG that knows some; None if nothing is."""
    from difflib import get_close_matches

    names = sorted(known)
    takes = f"{dag_id} takes {', '.join(names) or 'no parameters'}. Nothing was loaded or changed."
    if not isinstance(given, Mapping):
        return f"the parameters of a run are a JSON object, not {given!r}; {takes}"
    unknown = sorted(str(name) for name in given if name not in names)
    if not unknown:
        return None
    by_lower = {name.lower(): name for name in names}
    meant = {one: by_lower[close[0]] for one in unknown if (close := get_close_matches(one.lower(), by_lower, 1))}
    hints = "".join(f" Is {one!r} meant to be {name!r}?" for one, name in meant.items())
    return (
        f"unknown {'parameter' if len(unknown) == 1 else 'parameters'} {', '.join(map(repr, unknown))}: {takes}{hints}"
    )
