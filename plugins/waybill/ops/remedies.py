"""The commands that bring what is incomplete up to date."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import dag_of
from waybill.contracts.locations import star_schema
from waybill.formatting import count
from waybill.ops.books import CHECK_FAILED, NOT_LOADED, NOTHING, OUT_OF_DATE, REFUSED, UNAPPROVED, Missing
from waybill.period import Period


def remedies(domain: str, lacking: Iterable[Missing], asked: Sequence[Period]) -> list[str]:
    """What to do about all that a domain lacks in the periods that were asked for: a line for each command, once."""
    lacking = [*lacking]
    datasets = {contract.table: contract for contract in load_domain(domain).values()}
    without_file = {
        period for one in lacking if one.subject in datasets and one.what == NOTHING for period in one.periods
    }
    complete = [period for period in asked if period not in without_file]
    lines: dict[str, list[Period]] = {}
    for one in lacking:
        contract = datasets.get(one.subject)
        if contract and one.what == NOTHING:
            lines[_landing(contract, one.periods)] = []
        elif contract and one.what.startswith(REFUSED):
            lines.setdefault("Mend the refused files and let them land again. Then {}", []).extend(one.periods)
        elif contract and one.what.startswith(NOT_LOADED):
            lines.setdefault("{}", []).extend(one.periods)
        elif one.what in (NOTHING, OUT_OF_DATE):
            lines.setdefault("{}", []).extend(_periods_to_run(domain, one.periods, complete))
        elif one.what == UNAPPROVED:
            text = "Answer in Airflow under Browse, Required Actions; to be asked again {}"
            lines.setdefault(text, []).extend(_periods_to_run(domain, one.periods, complete))
        elif one.what.startswith(CHECK_FAILED):
            text = "Mend the data that the failed checks are about and let it land again. Then {}"
            lines.setdefault(text, []).extend(_periods_to_run(domain, one.periods, complete))
    return [text.replace("{}", _run(domain, periods)) for text, periods in lines.items() if periods or "{}" not in text]


def _landing(contract: Contract, periods: Sequence[Period]) -> str:
    """How the first file that lacks lands, and for how many other periods one does."""
    command = f"waybill drop FILE --domain {contract.domain} --dataset {contract.name} --period {periods[0]}"
    others = len(periods) - 1
    more = f", and a file for {count(others, f'more {periods[0].cadence}')}" if others else ""
    return f"{command}{more}"


def _periods_to_run(domain: str, periods: Sequence[Period], complete: Sequence[Period]) -> Sequence[Period]:
    """The periods whose runs build reports anew; where a run builds all that is out of date, the newest one."""
    if load_domain(star_schema(domain)) or _lands_any_time(domain):
        return complete[-1:] or periods[-1:]
    return periods


def _lands_any_time(domain: str) -> bool:
    return any(contract.lands_any_time for contract in load_domain(domain).values())


def _run(domain: str, periods: Iterable[Period]) -> str:
    """The command that runs the domain's DAG for some periods, and those between them."""
    dag, wanted = dag_of(domain), sorted(set(periods))
    if not wanted:
        return ""
    first, last = wanted[0], wanted[-1]
    conf: dict[str, str] = {first.cadence: first.key}
    if first != last and not _lands_any_time(domain):
        return (
            f"airflow backfill create --dag-id {dag} --from-date {first.start} --to-date {last.end} "
            "--reprocess-behavior completed"
        )
    if first != last:
        conf["last_day"] = last.key
    return f"airflow dags trigger {dag} -c '{json.dumps(conf)}'"
