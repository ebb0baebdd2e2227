"""Read Open Data Contract Standard 3.x files, check them with the standard's own JSON schema.

https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from waybill.errors import DataError
from waybill.settings import settings

LoadMode = Literal["snapshot", "merge", "report"]
_OPERATORS = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
}
_SCHEMA_CUSTOM_PROPERTIES = {"loadMode", "rejectThresholdPct", "lookbackPeriods"}


class ContractError(DataError):
    """A contract file is not valid, or asks for what cannot be done."""


@dataclass(frozen=True)
class Column:
    """One column of a table, as the contract declares it."""

    name: str
    description: str
    logical_type: str
    physical_type: str
    required: bool = False
    unique: bool = False
    partitioned: bool = False
    key_position: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    enum: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    """Other names under which the column may arrive."""
    reference: tuple[str, str] | None = None
    """(dataset, column) of the same domain that must hold the value."""
    classification: str | None = None
    business_name: str | None = None


@dataclass(frozen=True)
class Check:
    """One quality check: a number, compared with a threshold; `error` stops the run, `warning` warns."""

    name: str
    description: str
    query: str | None
    """SQL that gives one number; None counts the rows of the period."""
    operator: str
    threshold: float
    severity: Literal["error", "warning"]


@dataclass(frozen=True)
class Contract:
    """One table: its columns, key, checks and how its files are loaded."""

    domain: str
    name: str
    version: str
    description: str
    grain: str
    columns: tuple[Column, ...]
    load_mode: LoadMode
    reject_threshold_pct: float
    lookback_periods: int
    checks: tuple[Check, ...]
    document: str
    """The file's text."""

    @property
    def table(self) -> str:
        """`schema.name`, for messages and the ledger."""
        return f"{self.domain}.{self.name}"

    @property
    def sha256(self) -> str:
        """Hash of the file's text: tells two contracts of one version apart."""
        return hashlib.sha256(self.document.encode()).hexdigest()

    @property
    def names(self) -> list[str]:
        """Column names in the contract's order."""
        return [column.name for column in self.columns]

    @property
    def key(self) -> list[str]:
        """Names of the primary key's columns, by position."""
        keyed = [column for column in self.columns if column.key_position is not None]
        return [column.name for column in sorted(keyed, key=lambda column: column.key_position or 0)]

    @property
    def period_column(self) -> str | None:
        """The date column that says to which period a row belongs (the partitioned one)."""
        return next((column.name for column in self.columns if column.partitioned), None)


@cache
def _standard() -> Any:
    from jsonschema.validators import validator_for

    text = resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8")
    schema = json.loads(text)
    return validator_for(schema)(schema)


def _check(path: Path, raw: Mapping[str, Any]) -> Check:
    given = [name for name in _OPERATORS if name in raw]
    severity = raw.get("severity")
    if len(given) != 1 or severity not in ("error", "warning") or not raw.get("name"):
        raise ContractError(
            f"{path}: the check {raw.get('name')!r} needs a name, a severity of error or warning "
            f"and one of {', '.join(_OPERATORS)}"
        )
    if raw.get("type") != "sql" and raw.get("metric") != "rowCount":
        raise ContractError(f"{path}: the check {raw['name']!r} must be of type sql, or have the metric rowCount")
    return Check(
        name=raw["name"],
        description=raw.get("description", ""),
        query=raw.get("query"),
        operator=_OPERATORS[given[0]],
        threshold=float(raw[given[0]]),
        severity=severity,
    )


def _column(path: Path, raw: Mapping[str, Any]) -> Column:
    name = raw["name"]
    if "logicalType" not in raw or "physicalType" not in raw:
        raise ContractError(f"{path}: the column {name!r} needs a logicalType and a physicalType")
    reference = None
    for relationship in raw.get("relationships", []):
        dataset, _, column = relationship["to"].rpartition(".")
        reference = (dataset, column)
    return Column(
        name=name,
        description=raw.get("description", ""),
        logical_type=raw["logicalType"],
        physical_type=raw["physicalType"].replace(", ", ","),  # as PostgreSQL writes numeric(12,2)
        required=raw.get("required", False) or raw.get("primaryKey", False),
        unique=raw.get("unique", False),
        partitioned=raw.get("partitioned", False),
        key_position=raw.get("primaryKeyPosition", 1) if raw.get("primaryKey") else None,
        options=raw.get("logicalTypeOptions", {}),
        enum=tuple(str(value["value"]) for value in raw.get("enum", [])),
        spellings=tuple(synonym["synonym"] for synonym in raw.get("synonyms", [])),
        reference=reference,
        classification=raw.get("classification"),
        business_name=raw.get("businessName"),
    )


def load(path: Path) -> Contract:
    """Read one contract file.

    Raises `ContractError` naming the file and the place if the text is not YAML, does not meet the
    standard's JSON schema, or lacks what Waybill needs (one schema object, types, a primary key).
    """
    if not path.is_file():
        raise ContractError(f"{path}: there is no such contract")
    text = path.read_text("utf-8")
    try:
        raw = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: not YAML: {error}") from error
    problems = sorted(_standard().iter_errors(raw), key=lambda problem: problem.json_path)
    if problems:
        lines = "; ".join(f"{problem.json_path}: {problem.message[:200]}" for problem in problems[:5])
        raise ContractError(f"{path}: {len(problems)} departures from the Open Data Contract Standard: {lines}")
    tables = raw.get("schema", [])
    if len(tables) != 1 or not raw.get("domain") or tables[0]["name"] != path.stem:
        raise ContractError(f"{path}: needs a domain and exactly one schema object, named {path.stem!r}")
    table = tables[0]
    custom = {item["property"]: item["value"] for item in table.get("customProperties", [])}
    if unknown := set(custom) - _SCHEMA_CUSTOM_PROPERTIES:
        raise ContractError(f"{path}: unknown custom properties {sorted(unknown)}")
    contract = Contract(
        domain=raw["domain"],
        name=table["name"],
        version=raw["version"],
        description=" ".join(str(raw.get("description", {}).get("purpose", "")).split()),
        grain=table.get("dataGranularityDescription", ""),
        columns=tuple(_column(path, item) for item in table.get("properties", [])),
        load_mode=custom.get("loadMode", "report"),
        reject_threshold_pct=float(custom.get("rejectThresholdPct", 0)),
        lookback_periods=int(custom.get("lookbackPeriods", 0)),
        checks=tuple(_check(path, item) for item in table.get("quality", [])),
        document=text,
    )
    if not contract.key:
        raise ContractError(f"{path}: needs at least one primaryKey column")
    if contract.load_mode not in ("snapshot", "merge", "report"):
        raise ContractError(f"{path}: loadMode {contract.load_mode!r} must be snapshot or merge")
    if contract.load_mode == "merge" and contract.period_column not in contract.key:
        raise ContractError(f"{path}: a merged dataset needs one partitioned date column in its primary key")
    if contract.load_mode == "merge" and any(column.unique for column in contract.columns):
        raise ContractError(f"{path}: unique columns beside the key are checked in snapshots only")
    return contract


def load_domain(domain: str) -> dict[str, Contract]:
    """The contracts of a domain, by name."""
    folder = settings().include_dir / "contracts" / domain
    contracts = [load(path) for path in sorted(folder.glob("*.yaml"))]
    return {contract.name: contract for contract in contracts}


def load_all() -> dict[str, Contract]:
    """Every contract of the project, by `domain.name`."""
    root = settings().include_dir / "contracts"
    contracts = [load(path) for path in sorted(root.glob("*/*.yaml"))]
    return {contract.table: contract for contract in contracts}
