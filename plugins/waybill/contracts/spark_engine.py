"""What datasets of a domain with `engine: spark` cannot have."""

from __future__ import annotations

from waybill.contracts.classification import restricted_names
from waybill.contracts.contract import Contract, ContractError
from waybill.contracts.domains import is_on_spark


def unsupported(contract: Contract) -> list[str]:
    """Return what Spark cannot do for a dataset: each is a property of its contract with the reason."""
    found = []
    if contract.load_mode == "snapshot":
        found.append("loadMode `snapshot` needs the history of PostgreSQL")
    if contract.lands_any_time:
        found.append(
            f"`{contract.landing_day_column}` is a landing day: files that land at any time have no period, and a "
            "period is what one commit replaces"
        )
    if restricted := sorted(restricted_names(contract)):
        found.append(f"{_named(restricted)} restricted, and the lake would have the values instead of pseudonyms")
    if checked := [column.name for column in contract.columns if column.checked_reference]:
        found.append(
            f"{_named(checked)} checked against another dataset, which needs its rows in PostgreSQL. Declare "
            "`onUnknown: infer`"
        )
    for element, kept in (("quarantine", contract.quarantine_retention), ("history", contract.history_retention)):
        if kept:
            found.append(
                f"a retention with `element: {element}` needs the rows in PostgreSQL. A retention of the table drops "
                "days of rows and of rejected rows from the lake"
            )
    for name, policy in (("missingColumns", contract.missing_columns), ("unknownColumns", contract.unknown_columns)):
        if policy == "error":
            found.append(f"`{name}: error` compares a file with earlier files of the ledger, which the job cannot read")
    return found


def _named(columns: list[str]) -> str:
    return f"{', '.join(f'`{name}`' for name in columns)} {'is' if len(columns) == 1 else 'are'}"


def require_warehouse(contract: Contract, what: str, instead: str) -> None:
    """Raise `ContractError` if a dataset is on Spark: `what` needs its rows in PostgreSQL; `instead` is the next step.

    Both are sentences without their last stop.
    """
    if is_on_spark(contract.domain):
        raise ContractError(
            f"{contract.table} is loaded by Spark (engine: spark), and its rows are in the lake: {what}. {instead}."
        )
