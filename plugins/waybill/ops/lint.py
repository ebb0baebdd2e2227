"""Find every problem of the project's contracts, manifests and SQL files before anything runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from psycopg import Connection

from waybill.contracts import Column, Contract, ContractError, load, references
from waybill.contracts.dag_files import dags_folder, functions_of
from waybill.contracts.domains import is_on_spark, load_manifest
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import (
    SCHEMAS,
    feature_schema,
    read_sql,
    report_files,
    report_schema,
    sql_folder,
    star_schema,
)
from waybill.contracts.odcs import contract_path, sql_path
from waybill.derived.build import dataset_relations, named_tables
from waybill.derived.feature import NotBuilt, built_from
from waybill.files.spellings import normalise
from waybill.intake.validate import compile_contract, pattern_problems
from waybill.ops.classification_lint import lint_classification
from waybill.ops.lineage import sql_problems
from waybill.ops.manifest_lint import lint_manifests
from waybill.ops.retention_lint import lint_retentions
from waybill.ops.spark_lint import lint_spark_sql
from waybill.ops.sql_lint import lint_sql
from waybill.settings import settings
from waybill.warehouse.evolution import is_changed_version
from waybill.warehouse.feature_tables import gone_versions

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_AS_OF_THE_PERIOD: Final = re.compile(
    r"\b\w+\.\w+_as_of\s*\([\s(]*(?:cast\s*\(\s*)?:period_(?:start|end)\b[\w\s:()-]*?\)", re.IGNORECASE
)
"""A call of a function with a day of the period, or an earlier one, after placeholders are written as `:name`."""

_OF_TODAY: Final = {
    "snapshot": "Read its `_history`, whose rows hold from valid_from until valid_to",
    "changes": "Read its `_changes` up to the end of the period",
    "summary": "Read the tables from which it is computed",
}
"""Where past rows are, by load mode."""


def lint(connection: Connection | None) -> tuple[list[Contract], list[str]]:
    """Return the valid contracts, and every problem.

    With a connection, also finds contracts that changed without a new version, and versions of feature views that are
    not what they were built from, and plans the SQL of derived tables and checks in the warehouse.
    """
    contracts, problems, unread = [], [], set()
    for path in sorted((settings().include_dir / "contracts").glob("*/*.yaml")):
        try:
            contract = load(path)
        except ContractError as error:
            problems.append(str(error))
            unread.add(path.parent.name)
            continue
        contracts.append(contract)
        if contract.domain != path.parent.name:
            problems.append(
                f"{path}: its domain is {contract.domain!r}, so it belongs in the folder {contract.domain}/"
            )
        problems += [f"{path}: {problem}" for problem in _of_feature(contract)]
        if connection and (changed := _of_version(connection, contract)):
            problems.append(changed)
        elif connection and is_changed_version(connection, contract):
            problems.append(
                f"{path}: has changed since it was applied and is still version {contract.version}: raise the version"
            )
    problems += lint_manifests(contracts, unread)
    whole = []
    for domain in sorted({contract.domain for contract in contracts if contract.is_dataset}):
        problems += _without_counterpart(domain) + _readers_of_features(domain)
        if domain not in unread:
            problems += _of_datasets({one.name: one for one in contracts if one.domain == domain})
            problems += _of_today_in_features(domain, contracts)
        schemas = {domain, *(make(domain) for make in SCHEMAS)}
        if schemas & unread:  # SQL may name a table whose contract is invalid
            continue
        of_domain = [one for one in contracts if one.domain in schemas]
        try:
            if is_on_spark(domain):
                problems += lint_spark_sql(domain, of_domain)
                problems += [
                    f"{contract_path(one.table)}: the reports of {domain} are computed by Spark, and feature views "
                    "need the warehouse: remove it"
                    for one in of_domain
                    if one.load_mode == "feature"
                ]
        except ContractError:  # the problems have its manifest, which says what runs the SQL
            continue
        whole += of_domain
    if connection:
        problems += lint_sql(connection, whole)
        problems += _without_contract(connection, contracts, unread)
    problems += [
        f"{path}{problem}"
        for path, found in sql_problems(whole).items()
        if not any(one.startswith(str(path)) for one in problems)  # a file with a problem is named once
        for problem in found
    ]
    if not problems:  # it follows values through valid contracts and SQL files
        problems += lint_classification({one.table: one for one in contracts})
        problems += lint_retentions(contracts)
    return contracts, problems


def _of_datasets(contracts: Mapping[str, Contract]) -> list[str]:
    """Return what would stop a load of a domain's datasets: broken references, and rules that cannot be computed."""
    try:
        references(next(iter(contracts.values())).domain)
    except ContractError as error:
        return [str(error)]
    problems = []
    for contract in contracts.values():
        for column in contract.columns:
            if column.reference:
                problems += _of_reference(contract, column, contracts)
        problems += _of_headers(contract)
        if patterns := pattern_problems(contract):
            problems += patterns
            continue
        try:
            compile_contract(contract)
        except ContractError as error:
            problems.append(str(error))
    return problems


def _readers_of_features(domain: str) -> list[str]:
    """Return the SQL files of a domain that read feature views, which are built after them."""
    schema = feature_schema(domain)
    return [
        f"{path}: reads a table of {schema}, but feature views are built after it"
        for make in (star_schema, report_schema)
        for path in report_files(sql_folder(domain, make))
        if re.search(rf"\b{schema}\.", read_sql(path))
    ]


def _of_today_in_features(domain: str, contracts: Sequence[Contract]) -> list[str]:
    """Return where feature views read what is known today, although their values hold from the past.

    Other rows belong to days: builds find out whether a view reads later ones.
    """
    try:
        is_current = load_manifest(domain).semantics == "current"
    except ContractError:  # the problems have its manifest
        return []
    relations = dataset_relations(domain)
    tables = {one.table: one.load_mode for one in contracts if one.domain in (domain, star_schema(domain))}
    problems = []
    for path in report_files(sql_folder(domain, feature_schema)):
        text = _AS_OF_THE_PERIOD.sub("", _PLACEHOLDER.sub(r":\1", read_sql(path)))
        for name in sorted(named_tables(text, {name: name for name in {*relations, *tables}})):
            table = relations.get(name, name)
            as_of = f"Read {table}_as_of(%(period_end)s), which has what was known at the end of the period"
            if name in relations and (not is_current or name == f"{table}_as_of"):
                problems.append(f"{path}: reads {name} as it is known later. {as_of}")
            elif tables.get(name) in _OF_TODAY:
                problems.append(f"{path}: reads {name}, which has only the rows of today. {_OF_TODAY[tables[name]]}")
    return problems


def _of_feature(contract: Contract) -> list[str]:
    """Return why a contract cannot be that of a feature view, or must be."""
    suffix = feature_schema("")
    if (contract.load_mode == "feature") != contract.domain.endswith(suffix):
        return [f"feature views have `loadMode: feature` and are in folders named <domain>{suffix}, and only they"]
    return []


def _of_version(connection: Connection, contract: Contract) -> str | None:
    """Return that a version of a feature view has values, and that its SQL or contract is not what they rest on."""
    if _of_feature(contract) or contract.load_mode != "feature" or not sql_path(contract).is_file():
        return None
    try:
        built_from(connection, FeatureView.of(contract))
    except NotBuilt:
        return None
    except ContractError as error:
        return str(error)
    return None


def _without_contract(connection: Connection, contracts: Sequence[Contract], unread: Collection[str]) -> list[str]:
    """Return the versions of feature views that the warehouse has and the project has not."""
    return [
        f"{one.table}: the warehouse has this version of a feature view, and the project has no contract of it. "
        "`waybill forget` cannot find people in its log. Restore its contract and SQL file, or run "
        f"`waybill retire {one.table}`"
        for one in gone_versions(connection, [contract.table for contract in contracts])
        if one.table.partition(".")[0] not in unread
    ]


def _of_headers(contract: Contract) -> list[str]:
    """Return the header spellings that match several columns."""
    columns: dict[str, list[str]] = {}
    for column in contract.delivered_columns:
        for spelling in {normalise(one) for one in (*column.spellings, column.name)}:
            columns.setdefault(spelling, []).append(column.name)
    return [
        f"{contract.table}: the header {spelling!r} names {' and '.join(map(repr, names))}: remove a synonym"
        for spelling, names in columns.items()
        if len(names) > 1
    ]


def _of_reference(contract: Contract, column: Column, contracts: Mapping[str, Contract]) -> list[str]:
    """Return what is wrong with a column's reference to another dataset."""
    dataset, name = column.reference or ("", "")
    target = contracts.get(dataset)
    kind = next((one.physical_type for one in target.columns if one.name == name), None) if target else None
    if kind == column.physical_type:
        return []
    where = f"{contract.table}: {column.name!r} is {column.physical_type} and refers to {dataset}.{name}"
    if kind:
        return [f"{where}, which is {kind}"]
    there = f"{contract.domain}.{dataset} has no such column" if target else "there is no such dataset"
    return [f"{where}, and {there}"]


def _without_counterpart(domain: str) -> list[str]:
    """Return the SQL files of a domain without a contract, and the contracts without SQL or a function."""
    problems, functions = [], functions_of(domain)
    for make in SCHEMAS:
        schema = make(domain)
        folder = sql_folder(domain, make)
        texts = {path.stem: path for path in report_files(folder)}
        contracts = {path.stem: path for path in (settings().include_dir / "contracts" / schema).glob("*.yaml")}
        problems += [
            f"{texts[name]}: there is no contract {schema}/{name}.yaml"
            for name in sorted(texts.keys() - contracts.keys())
        ]
        problems += [
            f"{contracts[name]}: there is no SQL file {folder}/{name}.sql "
            f"and no function {name} in {dags_folder() / domain}"
            for name in sorted(contracts.keys() - texts.keys())
            if name not in functions
        ]
    return problems
