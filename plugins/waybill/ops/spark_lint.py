"""Find problems in the SQL of domains on Spark, without Spark: its tables, its parameters and its columns.

Spark itself finds all other problems when it runs the SQL.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Final

from waybill.contracts import Contract
from waybill.contracts.locations import read_sql, report_files, report_schema
from waybill.contracts.standard import likeliest
from waybill.period import Period
from waybill.settings import settings

_UNREAD: Final = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
"""Comments and texts."""
_TABLE: Final = re.compile(r"(?<![\w.])([a-z_]\w*)\.([a-z_]\w*)")
_PARAMETER: Final = re.compile(r"(?<![\w:]):([a-z_]\w*)", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
PARAMETERS: Final = frozenset(Period.of("day", date(2026, 1, 1)).parameters("UTC"))
"""The names of the parameters that SQL may bind."""


def lint_spark_sql(domain: str, contracts: Collection[Contract]) -> list[str]:
    """Return every problem in the SQL of a domain on Spark: its reports, and the checks of its datasets.

    `contracts` include those of the domain and of its reports.
    """
    datasets = [contract for contract in contracts if contract.domain == domain and contract.is_dataset]
    tables = {f"{contract.table}{suffix}" for contract in datasets for suffix in ("", "_as_of")}
    tables |= {f"{contract.table}_changes" for contract in datasets if contract.version_column}
    reports = {contract.name: contract for contract in contracts if contract.domain == report_schema(domain)}
    problems = []
    for path in report_files(domain):
        text = read_sql(path)
        problems += [f"{path}{problem}" for problem in _of_text(text, domain, tables)]
        if report := reports.get(path.stem):
            problems += [f"{path}{problem}" for problem in _missing_columns(text, report)]
    for contract in datasets:
        for check in contract.checks:
            if check.query is not None:
                where = f"{_file(contract)}: the query of the check {check.name}"
                problems += [f"{where}{problem}" for problem in _of_text(check.query, domain, tables)]
    return problems


def _file(contract: Contract) -> Path:
    return settings().include_dir / "contracts" / contract.domain / f"{contract.name}.yaml"


def _of_text(text: str, domain: str, tables: Collection[str]) -> Iterator[str]:
    code = _UNREAD.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in _PLACEHOLDER.finditer(code):
        yield f"{_line(code, found)}: Spark binds `:{found[1]}`, not `{found[0]}`"
    for found in _PARAMETER.finditer(code):
        if found[1] not in PARAMETERS:
            yield f"{_line(code, found)}: unknown parameter `{found[0]}`: {likeliest(found[1], PARAMETERS)}"
    for found in _TABLE.finditer(code):
        if found[1] == domain and found[0] not in tables:
            yield f"{_line(code, found)}: unknown table {found[0]}: {likeliest(found[0], {*tables})}"


def _missing_columns(text: str, contract: Contract) -> Iterator[str]:
    words = {word.lower() for word in re.findall(r"\w+", _UNREAD.sub(" ", text))}
    for column in contract.columns:
        if column.name not in words:
            yield f": does not return the column {column.name!r} of the contract ({column.physical_type})"


def _line(code: str, found: re.Match[str]) -> str:
    return f", line {code.count(chr(10), 0, found.start()) + 1}"
