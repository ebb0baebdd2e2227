"""Read Open Data Contract Standard 3.x files, check them with the standard's own JSON schema.

https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml

from waybill.contracts.contract import (
    HISTORY_COLUMNS,
    Check,
    Column,
    Contract,
    ContractError,
    LoadMode,
    Metric,
    RowRule,
    numeric_digits,
)
from waybill.period import Cadence
from waybill.settings import PREFIX, Settings, settings

_OPERATORS = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
}
_COLUMN_CUSTOM_PROPERTIES = {"dateForms", "index", "nullWords", "onlyValuesOf"}
DATE_FORMS = ("YYYY-MM-DD", "M/D/YYYY")
_TYPES = ("integer", "bigint", "text", "date", "timestamptz", "boolean", "uuid")
_MOST_DIGITS = 38
_CADENCES: dict[str, Cadence] = {"d": "day", "w": "week", "months": "month"}
_SCHEMA_CUSTOM_PROPERTIES = {
    "daysAfter",
    "daysBefore",
    "landingDayColumn",
    "loadMode",
    "occurrenceColumn",
    "lookbackPeriods",
    "maxShrinkPct",
    "maxWarnings",
    "periodColumn",
    "rejectThresholdPct",
    "rowRules",
    "updatedAtColumn",
    "versionColumn",
}
_SQL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "and any all as between bigint boolean case cast date day distinct else end escape extract false from hour "
        "ilike in integer interval is like minute month not null numeric or second similar text then time timestamp "
        "timestamptz to true varchar when year",
    )
)


@cache
def _standard() -> Any:
    import jsonschema_rs

    text = resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8")
    return jsonschema_rs.validator_for(json.loads(text))


def _place(problem: Any) -> str:
    """Where in the document a problem is: `$.schema[0].properties[2]`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.instance_path)
    return "$" + "".join(parts)


def _check(path: Path, raw: Mapping[str, Any], column: str | None = None) -> Check:
    given = [name for name in _OPERATORS if name in raw]
    severity = raw.get("severity")
    if len(given) != 1 or severity not in ("error", "warning") or not raw.get("name"):
        raise ContractError(
            f"{path}: the check {raw.get('name')!r} needs a name, a severity of error or warning "
            f"and one of {', '.join(_OPERATORS)}"
        )
    metric: Metric = raw.get("metric", "rowCount")
    columns = tuple(raw.get("arguments", {}).get("properties", [column] if column else []))
    if raw.get("type") != "sql":
        if raw.get("metric") not in ("rowCount", "nullValues", "duplicateValues"):
            raise ContractError(
                f"{path}: the check {raw['name']!r} must be of type sql, or have a metric: "
                "rowCount, nullValues or duplicateValues"
            )
        if metric != "rowCount" and not columns:
            raise ContractError(
                f"{path}: the check {raw['name']!r} needs columns: put it at one, or name some as arguments"
            )
    return Check(
        name=raw["name"],
        description=raw.get("description", ""),
        query=raw.get("query"),
        operator=_OPERATORS[given[0]],
        threshold=float(raw[given[0]]),
        severity=severity,
        metric=metric,
        columns=columns,
        is_percent=raw.get("unit") == "percent",
    )


def _reference(column: Mapping[str, Any]) -> tuple[tuple[str, str] | None, bool, str | None]:
    """(dataset, column) that a column refers to, whether unknown values are let in, and on which date one must be."""
    for relationship in column.get("relationships", []):
        dataset, _, name = relationship["to"].rpartition(".")
        custom = _custom(relationship)
        return (dataset, name), custom.get("onUnknown") == "infer", custom.get("inForceOn")
    return None, False, None


_HOURS = {"h": 1, "d": 24}


def _freshness(path: Path, table: str, columns: Sequence[Column], raw: Mapping[str, Any]) -> list[Check]:
    """The check that follows from the latency of a column with dates or instants."""
    _, _, name = raw.get("element", "").rpartition(".")
    if not any(column.name == name and column.physical_type in ("date", "timestamptz") for column in columns):
        return []
    if raw.get("unit") not in _HOURS:
        raise ContractError(f"{path}: the unit of a latency must be d or h, not {raw.get('unit')!r}")
    return [
        Check(
            name=f"{table}_freshness",
            description=f"Hours from the newest {name} that is known to the end of the period.",
            query=None,
            operator="<=",
            threshold=float(raw["value"]) * _HOURS[raw["unit"]],
            severity="warning",
            metric="freshness",
            columns=(name,),
        )
    ]


def _row_rule(path: Path, raw: Mapping[str, Any]) -> RowRule:
    if set(raw) != {"name", "expression"}:
        raise ContractError(
            f"{path}: a row rule has a name and an expression, not {', '.join(sorted(raw)) or 'nothing'}"
        )
    return RowRule(raw["name"], raw["expression"])


def _column(path: Path, raw: Mapping[str, Any]) -> Column:
    name = raw["name"]
    if "logicalType" not in raw or "physicalType" not in raw:
        raise ContractError(f"{path}: the column {name!r} needs a logicalType and a physicalType")
    reference, infers_unknown, in_force_on = _reference(raw)
    custom = _custom(raw)
    if unknown := set(custom) - _COLUMN_CUSTOM_PROPERTIES:
        raise ContractError(f"{path}: the column {name!r} has unknown custom properties {sorted(unknown)}")
    index = custom.get("index")
    if index not in (None, "ascending", "descending"):
        raise ContractError(f"{path}: the index of {name!r} must be ascending or descending, not {index!r}")
    physical_type = raw["physicalType"].replace(", ", ",")  # as PostgreSQL writes numeric(12,2)
    digits = numeric_digits(physical_type)
    if physical_type not in _TYPES and not (digits and digits[0] <= _MOST_DIGITS):
        raise ContractError(
            f"{path}: the physicalType of {name!r} is {physical_type!r}, which is none of {', '.join(_TYPES)} "
            f"and numeric(p,s) with p up to {_MOST_DIGITS}"
        )
    date_forms = tuple(custom.get("dateForms", Column.date_forms))
    if not date_forms or not set(date_forms) <= set(DATE_FORMS):
        raise ContractError(f"{path}: the dateForms of {name!r} must be some of {', '.join(DATE_FORMS)}")
    return Column(
        name=name,
        description=raw.get("description", ""),
        logical_type=raw["logicalType"],
        physical_type=physical_type,
        required=raw.get("required", False) or raw.get("primaryKey", False),
        unique=raw.get("unique", False),
        partitioned=raw.get("partitioned", False),
        key_position=raw.get("primaryKeyPosition", 1) if raw.get("primaryKey") else None,
        options=raw.get("logicalTypeOptions", {}),
        enum=tuple(str(value["value"]) for value in raw.get("enum", [])),
        spellings=tuple(synonym["synonym"] for synonym in raw.get("synonyms", [])),
        reference=reference,
        infers_unknown=infers_unknown,
        in_force_on=in_force_on,
        classification=raw.get("classification"),
        business_name=raw.get("businessName"),
        null_words=tuple(str(word) for word in custom.get("nullWords", [])),
        date_forms=date_forms,
        index=index,
        only_values_of=_setting(path, name, custom.get("onlyValuesOf")),
    )


def _setting(path: Path, column: str, variable: str | None) -> str | None:
    """The field of the settings that a variable sets, which must list values."""
    if variable is None:
        return None
    name = variable.removeprefix(PREFIX).lower()
    if variable != PREFIX + name.upper() or not isinstance(getattr(settings(), name, None), tuple):
        lists = [
            PREFIX + field.upper() for field in Settings.model_fields if isinstance(getattr(settings(), field), tuple)
        ]
        raise ContractError(f"{path}: the onlyValuesOf of {column!r} must be a setting with values: {', '.join(lists)}")
    return name


def _latency_days(path: Path, raw: Mapping[str, Any]) -> int | None:
    for item in raw.get("slaProperties", []):
        if item["property"] == "latency":
            if item.get("unit") != "d":
                raise ContractError(f"{path}: the latency must be in days (unit d), not {item.get('unit')!r}")
            return int(item["value"])
    return None


def _number(path: Path, custom: Mapping[str, Any], name: str, default: float = 0) -> float:
    """The value of a custom property that is a number; `default` if there is none."""
    try:
        return float(custom.get(name, default))
    except (TypeError, ValueError):
        raise ContractError(f"{path}: {name} must be a number, not {custom[name]!r}") from None


def _custom(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {item["property"]: item["value"] for item in raw.get("customProperties", [])}


def _read_yaml(path: Path, text: str | None = None) -> Any:
    try:
        return yaml.load(text or path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: not YAML: {error}") from error


def load(path: Path, *, is_proposal: bool = False) -> Contract:
    """Read one contract file; a proposal's file may have any name.

    Raises `ContractError` naming the file and the place if the text is not YAML, does not meet the
    standard's JSON schema, or lacks what Waybill needs (one schema object, types, a primary key).
    """
    if not path.is_file():
        raise ContractError(f"{path}: there is no such contract")
    return _load(path, path.read_text("utf-8"), is_proposal)


@lru_cache(maxsize=512)  # a process reads the same texts again and again
def _load(path: Path, document: str, is_proposal: bool) -> Contract:
    raw = _read_yaml(path, document)
    problems = sorted({f"{_place(problem)}: {problem.message[:200]}" for problem in _standard().iter_errors(raw)})
    if problems:
        raise ContractError(
            f"{path}: {len(problems)} departures from the Open Data Contract Standard: {'; '.join(problems[:5])}"
        )
    tables = raw.get("schema", [])
    if len(tables) != 1 or not raw.get("domain") or not (is_proposal or tables[0]["name"] == path.stem):
        raise ContractError(f"{path}: needs a domain and exactly one schema object, named {path.stem!r}")
    table = tables[0]
    custom = _custom(table)
    if unknown := set(custom) - _SCHEMA_CUSTOM_PROPERTIES:
        raise ContractError(f"{path}: unknown custom properties {sorted(unknown)}")
    columns = tuple(_column(path, item) for item in table.get("properties", []))
    frequencies = [item.get("unit") for item in raw.get("slaProperties", []) if item["property"] == "frequency"]
    if unknown := set(frequencies) - set(_CADENCES):
        raise ContractError(f"{path}: the unit of a frequency must be one of {', '.join(_CADENCES)}, not {unknown}")
    checks = [_check(path, item) for item in table.get("quality", [])]
    for column in table.get("properties", []):
        checks += [_check(path, item, column["name"]) for item in column.get("quality", [])]
    if custom.get("loadMode") in ("merge", "changes"):
        for item in raw.get("slaProperties", []):
            if item["property"] == "latency":
                checks += _freshness(path, table["name"], columns, item)
    contract = Contract(
        domain=raw["domain"],
        name=table["name"],
        version=raw["version"],
        description=" ".join(str(raw.get("description", {}).get("purpose", "")).split()),
        grain=table.get("dataGranularityDescription", ""),
        columns=columns,
        load_mode=custom.get("loadMode", "report"),
        reject_threshold_pct=_number(path, custom, "rejectThresholdPct"),
        lookback_periods=int(_number(path, custom, "lookbackPeriods")),
        checks=tuple(checks),
        row_rules=tuple(_row_rule(path, item) for item in custom.get("rowRules", [])),
        period_column=custom.get("periodColumn")
        or custom.get("landingDayColumn")
        or next((item.name for item in columns if item.partitioned), None),
        version_column=custom.get("versionColumn"),
        updated_at_column=custom.get("updatedAtColumn"),
        landing_day_column=custom.get("landingDayColumn"),
        occurrence_column=custom.get("occurrenceColumn"),
        cadences=tuple(_CADENCES[unit] for unit in frequencies),
        days_before=None if custom.get("daysBefore") == "all" else int(_number(path, custom, "daysBefore")),
        days_after=int(_number(path, custom, "daysAfter")),
        latency_days=_latency_days(path, raw),
        max_shrink_pct=_number(path, custom, "maxShrinkPct", Contract.max_shrink_pct),
        max_warnings=custom.get("maxWarnings"),
        document=document,
    )
    if problem := _problem(contract):
        raise ContractError(f"{path}: {problem}")
    return contract


def _problem(contract: Contract) -> str | None:
    """What Waybill cannot do with a contract that meets the standard."""
    mode, period_column, version_column = contract.load_mode, contract.period_column, contract.version_column
    types = {column.name: column.physical_type for column in contract.columns}
    problems = {
        "needs at least one primaryKey column": not contract.key,
        "every column needs a name of its own": len(types) < len(contract.columns),
        "names that begin with an underscore, and valid_from and valid_to of snapshots, are taken": any(
            name.startswith("_") or (mode == "snapshot" and name in HISTORY_COLUMNS) for name in contract.names
        ),
        "maxWarnings is for reports: a whole number, 0 or more": (
            contract.max_warnings is not None
            and not (mode == "report" and type(contract.max_warnings) is int and contract.max_warnings >= 0)
        ),
        f"loadMode {mode!r} must be one of {', '.join(get_args(LoadMode))}": mode not in get_args(LoadMode),
        "maxShrinkPct is for snapshots: a number from 0 to 100": (
            contract.max_shrink_pct != Contract.max_shrink_pct
            and not (mode == "snapshot" and 0 <= contract.max_shrink_pct <= 100)
        ),
        "slaProperties must name a frequency: its unit says how long a period is": (
            not contract.cadences and mode not in ("dimension", "summary")
        ),
        "periodColumn and versionColumn must be columns of the contract": (
            not {period_column, version_column} <= {*contract.names, None}
        ),
        "a merged dataset needs a period column": contract.is_merged and period_column is None,
        "the periodColumn must be a date or a timestamptz": (
            period_column is not None and types.get(period_column) not in ("date", "timestamptz")
        ),
        "the partitioned date column must be part of the primary key": (
            contract.is_partitioned and (period_column not in contract.key or types[period_column] != "date")
        ),
        "unique columns beside the key are checked in snapshots only": (
            contract.is_merged and any(column.unique for column in contract.columns)
        ),
        "every check needs a name of its own": len({check.name for check in contract.checks}) < len(contract.checks),
        "the properties of a check must be columns of the contract": any(
            not set(check.columns) <= set(contract.names) for check in contract.checks
        ),
        "the names in a row rule must be columns of the contract": any(
            not rule.words <= _SQL_WORDS.union(contract.names) for rule in contract.row_rules
        ),
        "landingDayColumn goes with the loadMode merge: a required date, and no part of the key": (
            contract.landing_day_column is not None
            and not (
                mode == "merge"
                and any(
                    column.name == contract.landing_day_column
                    and column.physical_type == "date"
                    and column.required
                    and column.key_position is None
                    for column in contract.columns
                )
            )
        ),
        "inForceOn must be a date of the contract, at a column of the type text": any(
            column.in_force_on is not None
            and (types.get(column.in_force_on) != "date" or column.physical_type != "text")
            for column in contract.columns
        ),
        "the occurrenceColumn must be an integer and part of the key": (
            contract.occurrence_column is not None
            and not (contract.occurrence_column in contract.key and types[contract.occurrence_column] == "integer")
        ),
        "a summary has a key of one column, and an updatedAtColumn of the type timestamptz": (
            mode == "summary"
            and not (len(contract.key) == 1 and types.get(contract.updated_at_column or "") == "timestamptz")
        ),
        "an index is for derived tables": contract.is_dataset and any(column.index for column in contract.columns),
        "onlyValuesOf is for one column, of the type text": any(
            column.only_values_of and (column.physical_type != "text" or column is not contract.filter_column)
            for column in contract.columns
        ),
        "dateForms are for columns of the type date": any(
            column.date_forms != Column.date_forms and column.physical_type != "date" for column in contract.columns
        ),
        "versionColumn goes with the loadMode changes, and only with it": (
            (mode == "changes") != (version_column is not None)
        ),
        "the versionColumn must be required, and no part of the key": (
            any(
                column.name == version_column and (not column.required or column.key_position)
                for column in contract.columns
            )
        ),
    }
    return next((text for text, is_so in problems.items() if is_so), None)


def load_domain(domain: str) -> dict[str, Contract]:
    """The contracts of a domain, by name."""
    folder = settings().include_dir / "contracts" / domain
    contracts = [load(path) for path in sorted(folder.glob("*.yaml"))]
    return {contract.name: contract for contract in contracts}


def references(domain: str) -> dict[str, set[str]]:
    """The datasets of a domain, each with those that its rows must refer to; light enough for a DAG file to ask.

    Raises `ContractError` for a file that is not YAML, and for what is referred to and not there or in a circle;
    whatever else may be wrong, `load` finds.
    """
    found = {}
    for path in sorted((settings().include_dir / "contracts" / domain).glob("*.yaml")):
        raw = _read_yaml(path)
        columns = [column for table in raw.get("schema", []) for column in table.get("properties", [])]
        read = [_reference(column) for column in columns]
        found[path.stem] = {target[0] for target, infers_unknown, _ in read if target and not infers_unknown}
    for name, targets in found.items():
        if unknown := targets - found.keys():
            raise ContractError(
                f"the contract of {domain}.{name} refers to {', '.join(map(repr, sorted(unknown)))}, and the domain "
                f"has no such dataset; there are {', '.join(found)}"
            )
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        raise ContractError(
            f"the contracts of {domain} refer to each other in a circle: {', '.join(error.args[1])}"
        ) from None
    return found


def load_all() -> dict[str, Contract]:
    """Every contract of the project, by `domain.name`."""
    root = settings().include_dir / "contracts"
    contracts = [load(path) for path in sorted(root.glob("*/*.yaml"))]
    return {contract.table: contract for contract in contracts}
