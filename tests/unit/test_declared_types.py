"""A contract declares each type with its options, or says what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from waybill.contracts import ContractError, load
from waybill.settings import PROJECT_ROOT

LINES = (PROJECT_ROOT / "include/contracts/orders/lines.yaml").read_text("utf-8")
GOOD = [
    "L: integer, P: smallint, O: {format: i16, minimum: -32768, maximum: 5}",
    "L: integer, P: smallint, enum: [{value: 1}, {value: 2}]",
    "L: number, P: real, O: {format: f32, exclusiveMinimum: 0.1}",
    "L: number, P: double precision, O: {format: f64, maximum: 1.5e+300}",
    "L: time, P: time, O: {minimum: '06:00', maximum: '22:00:00.5'}",
    "L: time, P: time, enum: [{value: '06:00'}, {value: '07:30:00'}]",
    "L: timestamp, P: timestamp, O: {minimum: '2020-01-01T00:00', timezone: false}",
    "L: object, P: jsonb",
    "L: array, P: 'text[]', O: {minItems: 1, maxItems: 1}",
    "L: array, P: 'text[]', items: {logicalType: string, P: text}",
    "L: array, P: 'text[]', customProperties: [{property: listSeparator, value: ' | '}]",
    "L: array, P: 'text[]', customProperties: [{property: controlCharacters, value: none}]",
]
BAD = [
    ("L: number, P: smallint", "'number' does not match the physicalType smallint: write integer"),
    (
        "L: integer, P: smallint, O: {minimum: 40000}",
        "no smallint is as large as",
    ),
    ("L: integer, P: smallint, O: {format: i32}", "Write i16, or change"),
    ("L: integer, P: smallint, enum: [{value: 32768}]", "outside the limits of the column"),
    (
        "L: number, P: 'numeric(9,2)', O: {format: f64}",
        r"numeric\(9,2\) is exact",
    ),
    ("L: number, P: real, O: {format: f64}", "Write f32, or change"),
    ("L: number, P: real, O: {minimum: 1.0e+39}", "no real is as large as"),
    ("L: number, P: real, enum: [{value: 0.5}]", "an enum is not allowed for real: its values"),
    ("L: number, P: float", "unknown physicalType 'float': write double precision;"),
    ("L: number, P: float4", "write real;"),
    (
        "L: number, P: real, required: true, primaryKey: true, primaryKeyPosition: 9",
        "not allowed for",
    ),
    (
        "L: object, P: jsonb, primaryKey: true, primaryKeyPosition: 9",
        "jsonb is not allowed for a pri",
    ),
    (
        "L: array, P: 'text[]', primaryKey: true, primaryKeyPosition: 9",
        "holds several values: decl",
    ),
    (
        "L: number, P: real, relationships: [{to: lines.x}]",
        "not allowed for part of a relationship",
    ),
    ("L: time, P: time, O: {minimum: '24:00'}", "'24:00' is not a valid time"),
    ("L: time, P: time, O: {minimum: '0600'}", "write it like '08:30:00'"),
    ("L: time, P: time, O: {timezone: true}", "A time of day has none"),
    (
        "L: time, P: time, O: {minimum: '22:00', maximum: '06:00'}",
        "no value can meet",
    ),
    ("L: time, P: time, enum: [{value: '06:00Z'}]", "'06:00Z' is not a valid time"),
    ("L: time, P: time without time zone", "write time;"),
    (
        "L: timestamp, P: timestamp, O: {minimum: '2020-01-01T00:00Z'}",
        "write it like '2026-03-31T12:00:00'",
    ),
    (
        "L: timestamp, P: timestamp, O: {minimum: '2020-01-01'}",
        "not a valid timesta",
    ),
    ("L: timestamp, P: timestamp, O: {timezone: true}", "Write false, or change"),
    ("L: timestamp, P: timestamp, O: {defaultTimezone: UTC}", "has no time zone"),
    ("L: timestamp, P: datetime", "write timestamptz for instants, or timestamp for local times;"),
    ("L: string, P: jsonb", "write object"),
    ("L: object, P: json", "write jsonb;"),
    ("L: object, P: jsonb, enum: [{value: '{}'}]", "write a row rule"),
    ("L: object, P: jsonb, O: {minProperties: 1}", "Write a row rule"),
    ("L: object, P: jsonb, properties: []", "`properties` is not supported"),
    ("L: array, P: 'integer[]', items: {logicalType: integer}", "unknown physicalType 'integer"),
    ("L: array, P: 'text[]', items: {logicalType: integer}", "the items of an array are texts"),
    (
        "L: string, P: text, items: {logicalType: string}",
        "`items` is allowed for the physicalType",
    ),
    (
        "L: array, P: 'text[]', items: {logicalType: string, enum: []}",
        "`enum` is not supported: it sp",
    ),
    (
        "L: array, P: 'text[]', O: {minItems: 2, maxItems: 1}",
        "greater than maxItems",
    ),
    ("L: array, P: 'text[]', O: {uniqueItems: true}", "Write a row rule"),
    (
        "L: array, P: 'text[]', customProperties: [{property: listSeparator, value: '['}]",
        "`listSeparator` must be one or more characters other than a bracket",
    ),
    (
        "L: string, P: text, customProperties: [{property: listSeparator, value: ';'}]",
        "listSeparator is only allowed for the type text",
    ),
]


def written_out(properties: str) -> str:
    for short, long in (("L", "logicalType"), ("P", "physicalType"), ("O", "logicalTypeOptions")):
        properties = properties.replace(f"{short}: ", f"{long}: ")
    return properties


def with_column(folder: Path, properties: str) -> Path:
    """Return a contract with another column, whose properties are abbreviated."""
    properties = written_out(properties)
    path = folder / "lines.yaml"
    path.write_text(LINES.replace("    properties:\n", f"    properties:\n      - {{name: more, {properties}}}\n"))
    assert len(yaml.safe_load(path.read_text())["schema"][0]["properties"]) > 1
    return path


@pytest.mark.parametrize("properties", GOOD)
def test_a_type_is_declared_with_its_options(properties: str, tmp_path: Path) -> None:
    contract = load(with_column(tmp_path, properties))
    declared = yaml.safe_load(f"{{{written_out(properties)}}}")
    assert contract.columns[0].physical_type == declared["physicalType"]
    assert contract.columns[0].options == declared.get("logicalTypeOptions", {})


@pytest.mark.parametrize(("properties", "message"), BAD)
def test_a_mistake_in_a_type_says_what_to_write(properties: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=rf"(?s)\(more\): .*{message}"):
        load(with_column(tmp_path, properties))
