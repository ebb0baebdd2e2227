"""Read Open Data Contract Standard 3.x files.

https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from waybill.contracts import consistency, date_patterns, retention, semantics
from waybill.contracts.contract import (
    Check,
    Column,
    Contract,
    ContractError,
    ControlCharacters,
    LoadMode,
    RowRule,
    ValueFilter,
)
from waybill.contracts.custom_properties import values_of
from waybill.contracts.file_format import NO_QUOTE, UNDECLARED, FileFormat, encoding_named
from waybill.contracts.locations import SCHEMAS, domain_of, report_schema
from waybill.contracts.member_paths import split_path
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.semantics import CADENCES, HOURS, OPERATORS, normal_type
from waybill.contracts.standard import Problem, in_words, problems_of_form, unreadable
from waybill.contracts.yaml_files import parse, parse_text, read_text
from waybill.settings import read_values, settings


def _check(raw: Mapping[str, Any], column: str | None = None) -> Check:
    [comparison] = [name for name in OPERATORS if name in raw]
    return Check(
        name=raw["name"],
        description=raw.get("description", ""),
        query=raw.get("query"),
        operator=OPERATORS[comparison],
        threshold=float(raw[comparison]),
        severity=raw["severity"],
        metric=raw.get("metric", "rowCount"),
        columns=tuple(raw.get("arguments", {}).get("properties", [column] if column else [])),
        is_percent=raw.get("unit") == "percent",
    )


def _reference(column: Mapping[str, Any]) -> tuple[tuple[str, str] | None, bool, str | None]:
    """Return the referenced dataset and column, whether unknown values are accepted, and the date column, if any."""
    for relationship in column.get("relationships", []):
        dataset, _, name = relationship["to"].rpartition(".")
        custom = values_of(relationship)
        return (dataset, name), custom.get("onUnknown") == "infer", custom.get("inForceOn")
    return None, False, None


def _freshness(table: str, columns: Sequence[Column], raw: Mapping[str, Any]) -> list[Check]:
    """Return the freshness check for the latency of a column with dates or instants."""
    _, _, name = raw.get("element", "").rpartition(".")
    if not any(column.name == name and column.logical_type in ("date", "timestamp") for column in columns):
        return []
    return [
        Check(
            name=f"{table}_freshness",
            description=f"Hours from the newest {name} to the end of the period.",
            query=None,
            operator="<=",
            threshold=float(raw["value"]) * HOURS[raw["unit"]],
            severity="warning",
            metric="freshness",
            columns=(name,),
        )
    ]


DRIFT_WARN: Final = 0.25
"""A feature whose population stability index is above this threshold has drifted, by the usual rule."""


def _drift(table: str, columns: Sequence[Column], threshold: float) -> list[Check]:
    """Return the checks that compare the values of each feature with those of the previous period."""
    return [
        Check(
            name=f"{table}_{column.name}_drift",
            description=f"Population stability index of {column.name} against the previous period.",
            query=None,
            operator="<=",
            threshold=threshold,
            severity="warning",
            metric="drift",
            columns=(column.name,),
        )
        for column in columns
        if column.key_position is None and column.name != "event_ts" and column.physical_type not in ("jsonb", "text[]")
    ]


def read_column(raw: Mapping[str, Any], of_table: Mapping[str, Any]) -> Column:
    """Return a column; `of_table` are the custom properties of its table, some of which are defaults of columns."""
    reference, infers_unknown, in_force_on = _reference(raw)
    custom = values_of(raw)
    is_computed = raw["name"] in (of_table.get("occurrenceColumn"), of_table.get("landingDayColumn"))
    defaults = {} if is_computed else of_table
    is_number = raw["logicalType"] in ("integer", "number")
    signs = custom.get("numberFormat", defaults.get("numberFormat") if is_number else None)
    # Two keys must not differ only by invisible characters.
    controls: ControlCharacters = "none" if raw.get("primaryKey") or raw.get("unique") else "layout"
    return Column(
        name=raw["name"],
        description=raw.get("description", ""),
        logical_type=raw["logicalType"],
        physical_type=normal_type(raw["physicalType"]),
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
        null_words=tuple(dict.fromkeys([*custom.get("nullWords", []), *defaults.get("nullWords", [])])),
        number_format=None if signs is None else NumberFormat.of(signs),
        date_forms=_date_forms(raw, custom),
        pivot_year=custom.get("pivotYear"),
        skipped_hour=custom.get("skippedHour", Column.skipped_hour),
        doubled_hour=custom.get("doubledHour", Column.doubled_hour),
        max_years_ahead=custom.get("maxYearsAhead", Column.max_years_ahead),
        control_characters=custom.get("controlCharacters", controls),
        allows_placeholders=custom.get("allowsPlaceholders", False),
        index=custom.get("index"),
        list_separator=custom.get("listSeparator"),
        only_values_of=_value_filter(custom.get("onlyValuesOf")),
    )


def _date_forms(raw: Mapping[str, Any], custom: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the forms of a column of dates or times."""
    pattern = raw.get("logicalTypeOptions", {}).get("format")
    is_pattern = pattern is not None and normal_type(raw["physicalType"]) in date_patterns.WORDS
    return tuple(custom.get("dateForms", [pattern] if is_pattern else Column.date_forms))


def _value_filter(raw: Mapping[str, Any] | None) -> ValueFilter | None:
    return ValueFilter(raw["variable"], tuple(raw["default"])) if raw else None


def _file_format(servers: Sequence[Mapping[str, Any]]) -> FileFormat:
    """Return how files are written by the server, if there is one."""
    if not servers:
        return UNDECLARED
    [server] = servers
    custom = values_of(server)
    quote = custom.get("quote", FileFormat.quote)
    return FileFormat(
        name=server.get("format"),
        encoding=encoding_named(server.get("encoding", FileFormat.encoding)) or FileFormat.encoding,
        delimiter=server.get("delimiter"),
        quote="" if quote == NO_QUOTE else quote,
        escape=custom.get("escape"),
        skip_lines=custom.get("skipLines", FileFormat.skip_lines),
        header_lines=custom.get("headerLines", FileFormat.header_lines),
        ignored_lines=tuple(custom.get("ignoredLines", ())),
        repairs=tuple(custom.get("repairs", ())),
        accepts_empty=custom.get("emptyFiles") == "accepted",
        line_end=custom.get("lineEnd"),
        record_path=split_path(custom.get("recordPath", "")),
        sheet=custom.get("sheet"),
        cells=custom.get("cells"),
        members=custom.get("members"),
    )


def _latency_days(raw: Mapping[str, Any]) -> int | None:
    """Return the first latency, the number of days after a period within which its file lands."""
    found = [item for item in raw.get("slaProperties", []) if item["property"] == "latency"]
    return int(found[0]["value"]) if found else None


def _hours(promises: Sequence[Mapping[str, Any]], name: str) -> timedelta | None:
    """Return the first service level of a name, in hours or days, as a length of time."""
    found = next((item for item in promises if item["property"] == name), None)
    return timedelta(hours=float(found["value"]) * HOURS[found["unit"]]) if found else None


def load(path: Path, *, is_proposal: bool = False) -> Contract:
    """Return the contract of one file. A proposal may have any file name and status.

    Raises `ContractError` with every problem and its place if the text is not YAML, violates the standard's JSON
    schema, or uses properties or values that Waybill does not support.
    """
    if not path.is_file():
        raise ContractError(f"{path}: no such contract")
    contract = _load(path, read_text(path), is_proposal)
    wanted = contract.filter_column.only_values_of if contract.filter_column else None
    return replace(contract, kept=read_values(wanted.variable, wanted.default)) if wanted else contract


_DESCRIPTIONS = ("description", "dataGranularityDescription")
"""Properties that are documentation: no row, check or period depends on them."""


@lru_cache(maxsize=512)  # a process reads the same texts repeatedly
def _load(path: Path, text: str, is_proposal: bool) -> Contract:
    document = parse(path, text)
    problems = problems_of_form(document)
    if all(problem.has_form for problem in problems):
        problems += unreadable(_of_file(document, path, is_proposal))
        problems += semantics.problems(document, is_proposal=is_proposal)
    contract = _contract(document, text) if all(problem.is_readable for problem in problems) else None
    if contract:
        problems += consistency.problems(contract)
    if contract is None or problems:
        raise ContractError(in_words(path, document, problems))
    return contract


def _of_file(document: Mapping[str, Any], path: Path, is_proposal: bool) -> Iterator[Problem]:
    tables = document.get("schema", [])
    if not document.get("domain"):
        yield Problem((), "needs a domain")
    if len(tables) != 1 or not (is_proposal or tables[0]["name"] == path.stem):
        yield Problem(("schema",), f"must be exactly one schema object, named {path.stem!r}")


def _contract(document: Mapping[str, Any], text: str) -> Contract:
    [table] = document["schema"]
    custom = values_of(table)
    columns = tuple(read_column(item, custom) for item in table.get("properties", []))
    promises = document.get("slaProperties", [])
    checks = [_check(item) for item in table.get("quality", [])]
    for column in table.get("properties", []):
        checks += [_check(item, column["name"]) for item in column.get("quality", [])]
    if custom.get("loadMode") in ("merge", "changes"):
        for item in promises:
            if item["property"] == "latency":
                checks += _freshness(table["name"], columns, item)
    is_feature = custom.get("loadMode") == "feature"
    if is_feature:
        checks += _drift(table["name"], columns, float(custom.get("driftWarn", DRIFT_WARN)))
    return Contract(
        domain=document["domain"],
        name=table["name"],
        version=document["version"],
        description=" ".join(document.get("description", {}).get("purpose", "").split()),
        grain=table.get("dataGranularityDescription", ""),
        columns=columns,
        load_mode=custom.get("loadMode", "report"),
        reject_threshold_pct=float(custom.get("rejectThresholdPct", 0)),
        lookback_periods=custom.get("lookbackPeriods", None if "landingDayColumn" in custom else 0),
        checks=tuple(checks),
        file_format=_file_format(document.get("servers", [])),
        file_names=tuple(custom.get("fileNames", ())),
        row_rules=tuple(RowRule(rule["name"], rule["expression"]) for rule in custom.get("rowRules", [])),
        period_column=custom.get("periodColumn")
        or custom.get("landingDayColumn")
        or next((item.name for item in columns if item.partitioned), None),
        version_column=custom.get("versionColumn"),
        updated_at_column=custom.get("updatedAtColumn"),
        file_order=custom.get("fileOrder", "landing"),
        landing_day_column=custom.get("landingDayColumn"),
        occurrence_column=custom.get("occurrenceColumn"),
        cadences=tuple(CADENCES[item["unit"]] for item in promises if item["property"] == "frequency"),
        days_before=None if custom.get("daysBefore") == "all" else custom.get("daysBefore", 0),
        days_after=custom.get("daysAfter", 0),
        latency_days=None if is_feature else _latency_days(document),
        ttl=_hours(promises, "ttl") if is_feature else None,
        latency=(_hours(promises, "latency") if is_feature else None) or timedelta(0),
        retention=retention.declared(promises, None),
        raw_retention=retention.declared(promises, "raw"),
        quarantine_retention=retention.declared(promises, "quarantine"),
        history_retention=retention.declared(promises, "history"),
        owner=_owner(document.get("team", {})),
        max_shrink_pct=float(custom.get("maxShrinkPct", Contract.max_shrink_pct)),
        missing_columns=custom.get("missingColumns", Contract.missing_columns),
        unknown_columns=custom.get("unknownColumns", Contract.unknown_columns),
        max_warnings=custom.get("maxWarnings"),
        document=text,
    )


def _owner(team: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return the name of the team; a list of members, as in version 3.0, has none."""
    return str(team.get("name", "")) if isinstance(team, Mapping) else ""


@lru_cache(maxsize=512)
def _rules(text: str) -> Any:
    """Return the document of a contract without its descriptions."""

    def without_descriptions(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_descriptions(item) for key, item in value.items() if key not in _DESCRIPTIONS}
        return [without_descriptions(item) for item in value] if isinstance(value, list) else value

    return without_descriptions(parse_text(text))


def have_same_rules(text: str, other: str) -> bool:
    """Return whether two texts of a contract differ at most in descriptions, comments and layout."""
    return text == other or _rules(text) == _rules(other)


def load_mode_of(text: str) -> LoadMode:
    """Return the load mode that the text of a valid contract declares."""
    mode: LoadMode = values_of(parse_text(text)["schema"][0]).get("loadMode", "report")
    return mode


def recorded(text: str) -> Contract:
    """Return the contract in a text that the warehouse has recorded, which was valid when it was applied."""
    return _contract(parse_text(text), text)


def load_domain(domain: str) -> dict[str, Contract]:
    """Return the contracts of a domain, by name."""
    folder = settings().include_dir / "contracts" / domain
    contracts = [load(path) for path in sorted(folder.glob("*.yaml"))]
    return {contract.name: contract for contract in contracts}


def load_derived(domain: str) -> dict[str, Contract]:
    """Return the contracts of a domain's star schema, reports and feature views, by table."""
    return {one.table: one for make in SCHEMAS for one in load_domain(make(domain)).values()}


def references(domain: str) -> dict[str, set[str]]:
    """Return for each dataset of a domain the datasets to which its rows refer. It is fast enough for DAG files.

    Raises `ContractError` for files that are not YAML, and for missing or circular references. `load` reports all other
    problems.
    """
    found = {}
    for path in sorted((settings().include_dir / "contracts" / domain).glob("*.yaml")):
        raw = parse(path, read_text(path))
        try:
            columns = [column for table in raw.get("schema", []) for column in table.get("properties", [])]
            read = [_reference(column) for column in columns]
        except (AttributeError, KeyError, TypeError) as error:
            raise ContractError(
                f"{path}: the contract is invalid. Run `waybill contract check` for its problems."
            ) from error
        found[path.stem] = {target[0] for target, infers_unknown, _ in read if target and not infers_unknown}
    for name, targets in found.items():
        if unknown := targets - found.keys():
            raise ContractError(
                f"the contract of {domain}.{name} refers to {', '.join(map(repr, sorted(unknown)))}, but the domain "
                f"has no such dataset; known are {', '.join(found)}"
            )
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        raise ContractError(
            f"the references between the contracts of {domain} are circular: {', '.join(error.args[1])}"
        ) from None
    return found


def loading_order(domain: str) -> list[str]:
    """Return the names of a domain's datasets, each after those to which its rows refer.

    Raises `ContractError` as `references` does.
    """
    return [*TopologicalSorter(references(domain)).static_order()]


def contract_path(table: str) -> Path:
    """Return the file of the contract of a table (`domain.name`), whether it exists or not."""
    domain, _, name = table.partition(".")
    return settings().include_dir / "contracts" / domain / f"{name}.yaml"


def sql_path(contract: Contract) -> Path:
    """Return the SQL file of a derived table, whether it exists or not."""
    domain = domain_of(contract.domain)
    folder = domain if contract.domain == report_schema(domain) else contract.domain
    return settings().include_dir / "sql" / folder / f"{contract.name}.sql"


def load_all() -> dict[str, Contract]:
    """Return every contract of the project, by `domain.name`."""
    root = settings().include_dir / "contracts"
    contracts = [load(path) for path in sorted(root.glob("*/*.yaml"))]
    return {contract.table: contract for contract in contracts}
