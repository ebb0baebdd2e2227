"""The change of a contract that takes a drift in, as the text of the contract with the change."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.contracts import Column, Contract
from waybill.contracts.classification import may_be_described
from waybill.contracts.domains import is_on_spark
from waybill.contracts.standard import Steps
from waybill.contracts.yaml_files import read_text
from waybill.drafts.column import DraftColumn
from waybill.drafts.draft import draft_contract
from waybill.drafts.files import given_files
from waybill.drafts.layout import one_line, to_yaml
from waybill.errors import DataError
from waybill.files.spellings import find_column, normalise
from waybill.scratch import scratch_folder
from waybill.watch.yaml_edits import ContractText

if TYPE_CHECKING:
    from waybill.watch.drift import Drift


@dataclass
class Proposal:
    """A contract before and after a change."""

    path: Path
    before: str
    after: str
    advice: list[str] = field(default_factory=list)
    """What a person must decide besides."""

    def diff(self, root: Path) -> str:
        """Return the change as `git apply` and `patch -p1` read it in the folder `root`; "" without a change."""
        name = self.path.relative_to(root) if self.path.is_relative_to(root) else self.path.name
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def propose(drift: Drift, contract: Contract, path: Path, others: Mapping[str, Contract]) -> Proposal:
    """Return the change of a contract that takes a drift in. `others` are the other contracts of the domain.

    For a new column and another type, the last file with the drift is read. Raises `DataError` if that fails, or if the
    values of the column may not be shown.
    """
    before = read_text(path)
    if drift.kind == "missing column":
        return Proposal(path, before, before, [_advice(drift, contract)])
    text, advice, is_breaking = ContractText(before), [], False
    if drift.kind == "renamed column":
        text.add_item(drift.column_name, "synonyms", one_line({"synonym": drift.name}))
        advice.append("Check that it is the same column. The next run with this contract loads the files again.")
    elif drift.kind == "new value":
        text.add_item(drift.column_name, "enum", one_line({"value": _value(drift, contract)}))
        advice.append(
            "The next run with this contract loads the files again that have rejected rows."
            if is_on_spark(contract.domain)
            else f"After the next load, replay the rejected rows: waybill replay {drift.dataset}"
        )
    elif drift.kind == "new column":
        column = _drafted(drift, contract, others)
        text.add_property(_lines(column))
        advice.append(
            "Resolve the comments that begin with check, and write the description. The next run with this contract "
            "loads the files again."
        )
    else:
        column, is_breaking = _drafted(drift, contract, others), True
        _set_type(text, drift.column_name, column.type.declared)
        advice.append(f"The values of {drift.column_name} look like {column.type.physical} now.")
    text.set_version(one_line(raised(contract.version, is_breaking=is_breaking)))
    return Proposal(path, before, text.edited, advice)


def _column(drift: Drift, contract: Contract) -> Column:
    """Return the column of the contract that a drift is about. Raises `DataError` if the contract has dropped it."""
    for column in contract.columns:
        if column.name == drift.column_name:
            return column
    raise DataError(f"the contract of {drift.dataset} no longer has the column {drift.column_name}: nothing to propose")


def _advice(drift: Drift, contract: Contract) -> str:
    column = _column(drift, contract)
    if column.required:
        return (
            f"Nothing to propose: {column.name} is required, and no row can be loaded without it. Ask the sender for "
            "the column, and send the files again under the same names."
        )
    return (
        f"Nothing to change: {column.name} is optional, and null in the rows of such files. If the sender left it out "
        "by mistake, send the files again. If files may lack it, declare {property: missingColumns, value: ignore}."
    )


def _value(drift: Drift, contract: Contract) -> str | int:
    column = _column(drift, contract)
    if not may_be_described(column) or not drift.name:
        why = "are classified" if not may_be_described(column) else "are many, or long"
        raise DataError(
            f"the new values of {drift.dataset}.{column.name} {why}: nothing is proposed. `waybill quarantine "
            f"{drift.dataset}` lists the rejected rows; add the values that are right to the enum by hand."
        )
    is_number = column.logical_type == "integer" and re.fullmatch(r"-?\d+", drift.name)
    return int(drift.name) if is_number else drift.name


def _drafted(drift: Drift, contract: Contract, others: Mapping[str, Contract]) -> DraftColumn:
    """Return the column as a draft from the last file with the drift has it."""
    files = given_files([f"s3://{drift.bucket}/{drift.last_key}"])
    spellings = {normalise(name): name for name in (drift.column_name, drift.name) if name}
    with scratch_folder() as folder:
        draft = draft_contract(files, contract.domain, contract.name, folder, others)
    known = next((one for one in contract.columns if one.name == drift.column_name), None)
    spellings |= {normalise(name): name for name in (known.spellings if known else ())}
    for column in draft.columns:
        if find_column(spellings, column.header or column.name):
            return column
    raise DataError(f"{files[0].landed.uri} no longer has the column {drift.name or drift.column_name!r}")


def _lines(column: DraftColumn) -> list[str]:
    """Return a column as a contract has it, with its doubts. Rows that are loaded have no value: it is not required."""
    document = {**column.document((), has_rows=False)}
    here: Steps = ("properties", 0)
    comments: dict[Steps, list[str]] = {}
    for name, doubts in column.doubts.items():
        place = (*here, name) if name in document else here
        comments.setdefault(place, []).extend(f"check: {doubt}" for doubt in doubts)
    _, *lines = to_yaml({"properties": [document]}, comments).splitlines()
    return [line.removeprefix("  ") for line in lines]


def _set_type(text: ContractText, name: str, declared: Mapping[str, Any]) -> None:
    for key in ("logicalType", "physicalType"):
        text.set_pair(name, key, one_line(declared[key]))
    options, custom = declared.get("logicalTypeOptions"), declared.get("customProperties", ())
    text.set_pair(name, "logicalTypeOptions", one_line(options) if options else None)
    text.set_custom_properties(name, {item["property"]: one_line(item) for item in custom})


def raised(version: str, *, is_breaking: bool = False) -> str:
    """Return the next version: of a semantic one the next minor or major, else the next last number."""
    if found := re.fullmatch(r"(\d+)\.(\d+)\.\d+.*", version):
        return f"{int(found[1]) + 1}.0.0" if is_breaking else f"{found[1]}.{int(found[2]) + 1}.0"
    if found := re.fullmatch(r"(.*?)(\d+)", version):
        return f"{found[1]}{int(found[2]) + 1}"
    return f"{version}.1"
