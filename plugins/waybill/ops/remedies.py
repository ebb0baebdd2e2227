"""The commands that complete incomplete periods, and the runs that they start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import Connection

from waybill.contracts import Contract, load_domain
from waybill.contracts.dag_files import defined_dag_of, without_dag
from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.ops.books import CHECK_FAILED, NOT_LOADED, NOTHING, OUT_OF_DATE, REJECTED, UNAPPROVED, GapSummary
from waybill.period import Period
from waybill.warehouse.connection import one_row

_RUN = "{}"
"""A step without anything to do before its runs."""


@dataclass(frozen=True)
class Runs:
    """A backfill or a single run, as a command and as a request to Airflow's REST API."""

    dag_id: str
    command: str
    path: str
    """The path of the request, below the address of Airflow."""
    body: dict[str, Any]


def remedies(domain: str, gaps: Iterable[GapSummary], asked: Sequence[Period]) -> list[str]:
    """Return the steps that complete the gaps of a domain in the periods that were asked for, each once."""
    found = []
    for text, periods in _steps(domain, [*gaps], asked).items():
        runs = _runs(domain, periods) if "{}" in text and periods else None
        if runs or "{}" not in text:
            found.append(text.replace("{}", runs.command if runs else ""))
    return found


def ready_runs(domain: str, gaps: Iterable[GapSummary], asked: Sequence[Period]) -> Runs | None:
    """Return the runs among the remedies that need no other step before; None if there are none."""
    periods = _steps(domain, [*gaps], asked).get(_RUN)
    return _runs(domain, periods) if periods else None


def _steps(domain: str, gaps: Sequence[GapSummary], asked: Sequence[Period]) -> dict[str, list[Period]]:
    """Return the text of each step, in which `{}` stands for the command that runs its periods."""
    datasets = {contract.table: contract for contract in load_domain(domain).values()}
    without_file = {period for one in gaps if one.subject in datasets and one.what == NOTHING for period in one.periods}
    runnable = [period for period in asked if period not in without_file] or asked
    lines: dict[str, list[Period]] = {}
    for one in gaps:
        contract = datasets.get(one.subject)
        if contract and one.what == NOTHING:
            lines[_drop_command(contract, one.periods)] = []
        elif contract and one.what.startswith(REJECTED):
            lines.setdefault("Correct the rejected files and upload them again. Then run: {}", []).extend(one.periods)
        elif contract and one.what.startswith(NOT_LOADED):
            lines.setdefault(_RUN, []).extend(one.periods)
        elif one.what in (NOTHING, OUT_OF_DATE):
            lines.setdefault(_RUN, []).extend(_periods_to_run(domain, one.periods, runnable))
        elif one.what == UNAPPROVED:
            text = "Answer in Airflow under Browse → Required Actions. To be asked again, run: {}"
            lines.setdefault(text, []).extend(_periods_to_run(domain, one.periods, runnable))
        elif one.what.startswith(CHECK_FAILED):
            text = "Correct the data on which the checks failed and upload it again, or correct the check. Then run: {}"
            lines.setdefault(text, []).extend(_periods_to_run(domain, one.periods, runnable))
    return lines


def _drop_command(contract: Contract, periods: Sequence[Period]) -> str:
    """Return the command that uploads the first missing file, and for how many more periods a file is missing."""
    command = f"waybill drop FILE --domain {contract.domain} --dataset {contract.name} --period {periods[0]}"
    others = count(len(periods) - 1, f"more {periods[0].cadence}")
    return command if len(periods) == 1 else f"{command}, and a file for {others}"


def _periods_to_run(domain: str, periods: Sequence[Period], runnable: Sequence[Period]) -> Sequence[Period]:
    """Return the periods to run: the newest if one run builds everything that is out of date, else all of them.

    `runnable` are periods of runs; those of reports may be weeks, or all time.
    """
    if _lands_any_time(domain):  # the other periods may have no file
        return [period for period in periods if period.cadence == runnable[-1].cadence][-1:] or runnable[-1:]
    if load_manifest(domain).semantics == "current":
        return runnable[-1:]
    return periods


def _lands_any_time(domain: str) -> bool:
    return any(contract.lands_any_time for contract in load_domain(domain).values())


def _runs(domain: str, periods: Iterable[Period]) -> Runs:
    """Return the runs of the domain's DAG from the first to the last of the periods."""
    dag, wanted = load_manifest(domain).dag, sorted(set(periods))
    if load_manifest(domain).engine == "spark" and load_manifest(domain).semantics == "current":
        wanted = wanted[-1:]  # one run loads the files of all periods before, too, with one start of Spark
    first, last = wanted[0], wanted[-1]
    conf: dict[str, str] = {first.cadence: first.key}
    if first != last and not _lands_any_time(domain):
        command = (
            f"airflow backfill create --dag-id {dag} --from-date {first.start} --to-date {last.end} "
            "--reprocess-behavior completed"
        )
        dates = {"from_date": f"{first.start}T00:00:00Z", "to_date": f"{last.end}T00:00:00Z"}
        return Runs(dag, command, "api/v2/backfills", {"dag_id": dag, **dates, "reprocess_behavior": "completed"})
    if first != last:
        conf["last_day"] = last.key
    command = f"airflow dags trigger {dag} -c '{json.dumps(conf)}'"
    return Runs(dag, command, f"api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})


def how_to_rebuild(connection: Connection, contract: Contract, first: Period, what: str) -> str:
    """Return how to rebuild the reports that use rows of a dataset which changed (`what`) from a period on."""
    dag_id = defined_dag_of(contract.domain)
    if dag_id is None:
        return f"{what} in {first} and later. {without_dag(contract.domain)}"
    if contract.cadence != "month":
        return f"{what}. The next run of {dag_id} rebuilds everything that uses them."
    (newest,) = one_row(connection, "select max(period) from waybill.load_file where dataset = %s", (contract.table,))
    last_day = Period.of(contract.cadence, newest).end - timedelta(days=1)
    return (
        f"{what} in {first} and later. To rebuild the reports that use them, run:\n"
        f"airflow backfill create --dag-id {dag_id} --from-date {first.start} "
        f"--to-date {last_day} --reprocess-behavior completed"
    )
