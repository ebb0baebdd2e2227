"""Files that are rejected because of their rows: the rules that rows break, with counts and example records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.classification import MASK, restricted_names
from waybill.contracts.people import people_in
from waybill.errors import DataError
from waybill.formatting import count, printable, text
from waybill.intake import quarantine
from waybill.intake.expectations import columns_of, expected_form

EXAMPLES: Final = 3
"""Number of example records of each rule."""
_RULES_LISTED = 10
_CHARACTERS = 60


@dataclass(frozen=True)
class Example:
    """A record that breaks a rule."""

    record: int
    """Number of the record within the file, from 1."""
    values: Mapping[str, str | None]
    """The values that the rule reads, by column; for a record without fields its text. Restricted ones are masked."""

    def __str__(self) -> str:
        values = ", ".join(f"{name} {_quoted(value)}" for name, value in self.values.items())
        return f"record {self.record}" + (f" ({values})" if values else "")


@dataclass
class BrokenRule:
    """A rule that rows of a file break."""

    reason: str
    rows: int = 0
    first: list[Example] = field(default_factory=list)
    expected: str = ""
    """What the contract requires, if the reason does not say it."""

    def __str__(self) -> str:
        rule = f"{self.reason} (must be {self.expected})" if self.expected else self.reason
        return f"{rule} in {count(self.rows, 'row')}: {', '.join(map(str, self.first))}"

    def as_json(self) -> dict[str, Any]:
        """Return the rule as `waybill.rejected_file` stores it."""
        first = [{"record": one.record, "values": dict(one.values)} for one in self.first]
        return {"reason": self.reason, "rows": self.rows, "first": first}


class RejectedFileError(DataError):
    """A file is rejected because of its rows. The message lists the broken rules."""

    def __init__(self, message: str, broken: Sequence[BrokenRule] = ()) -> None:
        listed = [f"  {rule}" for rule in broken[:_RULES_LISTED]]
        if len(broken) > _RULES_LISTED:
            listed.append(f"  {_RULES_LISTED} of {len(broken)} reasons are shown.")
        super().__init__("\n".join([f"{message} Reasons:", *listed]) if listed else message)
        self.broken = list(broken)


class BrokenRules:
    """Counts the broken rules of a file and keeps the first records of each."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._by_reason: dict[str, BrokenRule] = {}

    def add(self, record: int, reasons: Iterable[str], raw: str) -> None:
        """Count a rejected row; `raw` is its content as in the quarantine."""
        for reason in reasons:
            rule = self._by_reason.setdefault(
                reason, BrokenRule(reason, expected=expected_form(self._contract, reason))
            )
            rule.rows += 1
            if len(rule.first) < EXAMPLES or record < rule.first[-1].record:
                rule.first.append(_example(self._contract, record, reason, raw))
                rule.first = sorted(rule.first, key=lambda one: one.record)[:EXAMPLES]

    def listed(self) -> list[BrokenRule]:
        """Return the rules, the most frequent first."""
        return sorted(self._by_reason.values(), key=lambda rule: (-rule.rows, rule.reason))


def broken_rules(connection: Connection, contract: Contract, file_id: int) -> list[BrokenRule]:
    """Return the rules that the quarantined rows of a file break, the most frequent first."""
    return [
        BrokenRule(
            reason,
            rows,
            [
                _example(contract, record, reason, raw)
                for record, raw in quarantine.first_rows(connection, file_id, reason, EXAMPLES)
            ],
            expected_form(contract, reason),
        )
        for reason, rows in quarantine.reason_counts(connection, file_id)
    ]


def too_many_rejects(
    name: str, contract: Contract, rejected: int, rows_in: int, broken: Sequence[BrokenRule], hint: str = ""
) -> RejectedFileError:
    """Return the error about a file with more rejected rows than its contract allows; `hint` is a likely cause."""
    return RejectedFileError(
        f"{name}: {text(rejected)} of {text(rows_in)} rows do not meet the contract of {contract.table} "
        f"{contract.version}. The contract allows {contract.reject_threshold_pct:g} % (rejectThresholdPct). "
        f"Nothing was loaded. Correct the file and send it again under the same name.{hint}",
        broken,
    )


def check_snapshot(
    name: str, contract: Contract, rows: int, rows_before: int, rows_in: int, broken: Sequence[BrokenRule]
) -> str | None:
    """Return a warning if a snapshot has at most half as many rows as the one before it, else None.

    Raises `RejectedFileError` if it has no row, or has shrunk more than the contract allows.
    """
    if rows == 0:
        raise RejectedFileError(
            f"{name}: the snapshot has no valid row ({count(rows_in, 'record')}) and would end every row of "
            f"{contract.table}. Nothing was loaded. Send the whole snapshot again under the same name.",
            broken,
        )
    shrunk = f"the snapshot has {count(rows, 'row')}; the previous one has {text(rows_before)}"
    if (rows_before - rows) * 100 > contract.max_shrink_pct * rows_before:
        raise RejectedFileError(
            f"{name}: {shrunk}. It would end {count(rows_before - rows, 'row')}, more than the "
            f"{contract.max_shrink_pct:g} % that {contract.table} allows (maxShrinkPct). Nothing was loaded. Send the "
            f"whole snapshot again under the same name. If it is correct, raise maxShrinkPct in the contract.",
            broken,
        )
    if rows * 2 > rows_before:
        return None
    return f"{shrunk}. Absent rows have ended. If the file is incomplete, send it again under the same name."


def _example(contract: Contract, record: int, reason: str, raw: str) -> Example:
    restricted = restricted_names(contract)
    content = json.loads(raw, parse_int=str, parse_float=str)
    if not isinstance(content, dict):
        is_masked = restricted or people_in(contract)
        return Example(record, {"text": MASK if is_masked else _shown(str(content).rstrip("\r\n"))})
    columns = columns_of(contract, reason)
    return Example(
        record,
        {
            name: MASK if name in restricted and content.get(name) is not None else _shown(content.get(name))
            for name in columns
        },
    )


def _shown(value: object) -> str | None:
    """Return a value for a message: short, on one line, and without characters that PostgreSQL's JSON cannot hold."""
    if value is None:
        return None
    whole = str(value)
    cut = whole if len(whole) <= _CHARACTERS else f"{whole[:_CHARACTERS]}…"
    return printable(cut)


def _quoted(value: str | None) -> str:
    return "absent" if value is None else MASK if value == MASK else f"'{value}'"
