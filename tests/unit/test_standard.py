"""Every property of the standard is supported, documentation or unsupported, and any other property is an error."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill.contracts import ContractError, load
from waybill.contracts.file_format import Dialect, FileFormat
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.standard import PLACES, place_of, schema
from waybill.settings import PROJECT_ROOT

OWN = sorted((PROJECT_ROOT / "include/contracts").glob("*/*.yaml"))
LINES = (PROJECT_ROOT / "include/contracts/orders/lines.yaml").read_text("utf-8")

# --- contracts as people write them -------------------------------------------------------------------------

ORDER_DATE = "        physicalType: date\n        required: true\n"
FORMS = "        customProperties:\n          - {property: dateForms, value: [YYYY-MM-DD, M/D/YYYY]}\n"
TEXT_50 = "physicalType: text\n        logicalTypeOptions: {maxLength: 50}"
PIECES = "        physicalType: integer\n        logicalTypeOptions: {minimum: 1}\n        required: true\n"
SERVER = "servers:\n  - {server: files, type: custom, %s}\nschema:\n"
PROPERTY = "format: %s, customProperties: [{property: %s}]"
REJECTED = [
    (
        "value: [YYYY-MM-DD, M/D/YYYY]",
        "value: [DD/MM/YYYY]",
        (
            r"properties\[3\].customProperties\[0\].value \(order_date\): the pattern 'DD/MM/YYYY' has the letter D, "
            "which is not supported. Write d for the day of the month. Supported are yyyy, yy, MMMM,"
        ),
    ),
    (
        ORDER_DATE + FORMS,
        ORDER_DATE + "        logicalTypeOptions: {format: dd/MM/yy EEE}\n",
        (
            r"\$.schema\[0\].properties\[3\].logicalTypeOptions.format \(order_date\): the pattern 'dd/MM/yy EEE' has "
            "the letter E, which is not supported"
        ),
    ),
    (
        ORDER_DATE,
        ORDER_DATE + "        logicalTypeOptions: {format: dd/MM/yyyy}\n",
        r"logicalTypeOptions.format \(order_date\): has no effect beside `dateForms`: write all patterns there",
    ),
    (
        "value: [YYYY-MM-DD, M/D/YYYY]",
        "value: [dd/MM/yyyy, M/D/YYYY]",
        r"value \(order_date\): 'dd/MM/yyyy' and 'M/D/YYYY' read the same text differently: declare one of them",
    ),
    (
        "value: [YYYY-MM-DD, M/D/YYYY]",
        "value: [dd.MM.yy]",
        r"value \(order_date\): the year yy needs the custom property `pivotYear`",
    ),
    (
        PIECES,
        PIECES.replace("{minimum: 1}", "{minimum: 1, multipleOf: 6}"),
        (
            r"\$.schema\[0\].properties\[15\].logicalTypeOptions.multipleOf \(quantity\): `multipleOf` "
            "is not supported: .* Write a row rule"
        ),
    ),
    (
        "numeric(12,2)",
        "decimal(12,2)",
        r"properties\[13\].physicalType \(cost_price\): .*'decimal\(12,2\)': write numeric\(12,2\);",
    ),
    (
        "schema:\n",
        "servers:\n  - {server: raw, type: s3, location: 's3://raw/orders/*.csv'}\nschema:\n",
        r"2 problems:\n  \$.servers\[0\].location: `location` is not supported",
    ),
    *(
        ("schema:\n", SERVER % given, rf"\$.servers\[0\].{message}")
        for given, message in (
            ("delimiter: ''", "delimiter: must be 1 to 4 bytes"),
            ("delimiter: '\"'", ".*delimiter and quote must not share a character"),
            (
                "delimiter: '|', customProperties: [{property: lineEnd, value: \"|\\n\"}]",
                ".*delimiter and lineEnd must not share a character",
            ),
            ("delimiter: tab, format: json", "delimiter: of JSON must be new_line or array, not 'tab'"),
            ("delimiter: ';', format: parquet", "delimiter: is not a property of parquet files"),
            ("encoding: utf-88", "encoding: unknown encoding 'utf-88'"),
            ("encoding: base64", "encoding: unknown encoding 'base64'"),
            ("encoding: cp1252, format: xlsx", "encoding: is not a property of xlsx files"),
            ("format: exel", "format: 'exel' is not a format that Waybill reads"),
            ("port: 5432", "port: `port` is not supported: it specifies a server of another kind"),
            (PROPERTY % ("csv", "quote, value: ab"), r"customProperties\[0\].value: `quote` must be one character, or"),
            (PROPERTY % ("csv", "ignoredLines, value: ['(']"), r"customProperties\[0\].value: `ignoredLines` must be"),
            (PROPERTY % ("csv", "repairs, value: [quotes]"), r".*`repairs` must be a list of different words of"),
            (PROPERTY % ("json", "quote, value: x"), r".*`quote` is allowed for the format csv, not 'json'"),
            (PROPERTY % ("csv", "sheet, value: x"), r".*`sheet` is allowed for the format xlsx, not 'csv'"),
            (PROPERTY % ("xlsx", "cells, value: b2"), r".*`cells` must be a range of cells"),
            (PROPERTY % ("json", "recordPath, value: a..b"), r".*`recordPath` must be names of members, separated by"),
            (PROPERTY % ("csv", "recordPath, value: a"), r".*`recordPath` is allowed for the format json, not 'csv'"),
            (PROPERTY % ("csv", "seperator, value: x"), r".*unknown custom property `seperator`"),
        )
    ),
    (
        "schema:\n",
        "servers: [{server: a, type: custom}, {server: b, type: custom}]\nschema:\n",
        r"\$.servers: must be one server, which describes the files, not 2",
    ),
    (
        TEXT_50,
        "physicalType: varchar(50)",
        r"properties\[0\].physicalType \(order_id\): .*'varchar\(50\)': write text, with `maxLength`",
    ),
]
READ = [
    (ORDER_DATE, ORDER_DATE + "        logicalTypeOptions: {minimum: '2020-01-01'}\n"),
    ("{maxLength: 50}", "{maxLength: 50, pattern: '[A-Z0-9-]+'}"),
    (
        "    quality:\n",
        (
            "      - {property: rowRules, value: [{name: order_date_sane, expression: "
            "\"order_date between date '2000-01-01' and landed_on\"}]}\n    quality:\n"
        ),
    ),
    ("apiVersion: v3.1.0", "apiVersion: v3.2.0"),
]


@pytest.mark.parametrize(("old", "new", "message"), REJECTED)
def test_an_unsupported_property_is_an_error_with_place_and_remedy(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in LINES
    path = written(tmp_path, LINES.replace(old, new, 1))
    with pytest.raises(ContractError, match=f"{re.escape(str(path))}: .*{message}"):
        load(path)


@pytest.mark.parametrize(("old", "new"), READ)
def test_supported_properties_are_read(old: str, new: str, tmp_path: Path) -> None:
    assert old in LINES
    assert load(written(tmp_path, LINES.replace(old, new, 1))).table == "orders.lines"


COLUMN = "      - name: quantity\n"
EDITS = [
    ("status: active", "status: activ", r"\$.status: 'activ' is not a status of a contract: did you mean `active`"),
    ("status: active", "status: retired", r"\$.status: a contract of the project must not be 'retired'"),
    ("  purpose:", "  purpos:", r"\$.description.purpos: unknown property `purpos` .*: did you mean `purpose`"),
    ("apiVersion: v3.1.0", "apiVersion: v2.2.2", r"\$.apiVersion: 'v2.2.2' is too old"),
    ("apiVersion: v3.1.0", "apiVersion: v4.0.0", r"\$.apiVersion: 'v4.0.0' is not one of v3.2.0, v3.1.0"),
    ("        physicalType: text", "        physcalType: text", r"physcalType \(\w+\): .* did you mean `physicalType`"),
    ("kind: DataContract", "kind: DataContract\nroles: [{role: reader}]", r"\$.roles: `roles` is not supported"),
    (
        "kind: DataContract",
        "kind: DataContract\nteam: {members: [{usrname: x}]}",
        r"\$.team.members\[0\].usrname: .*`user",
    ),
    ("kind: DataContract", "kind: DataContract\nkind: DataContract", "not YAML: 'kind' occurs twice"),
    ("{minimum: 1}", "{minimum: 3, maximum: 2}", "no value can meet minimum 3 and maximum 2"),
    ("{maxLength: 100}", "{maxLength: 100, minLength: 101}", "minLength .*: 101 is greater than maxLength 100"),
    ("{minimum: 1}", "{minLength: 1}", r"minLength \(occurrence\): unknown property `minLength` of the options of the"),
    ("{minimum: 1}", "{exclusiveMinimum: 4, exclusiveMaximum: 4}", "no value can meet exclusiveMinimum 4 and"),
    ("{minimum: 1}", "{minimum: 3000000000}", "no integer is as large as 3000000000"),
    ("{minimum: 1}", "{minimum: .inf}", "minimum .*: must be of the type number, not .inf."),
    (
        "        physicalType: numeric(12,2)",
        "        physicalType: text",
        "'number' does not match the physicalType text",
    ),
    ("rejectThresholdPct, value: 5", "rejectThresholdPct, value: 101", "from 0 to 100, not 101"),
    ("rejectThresholdPct, value: 5", "rejectThresholdPct, value: '5'", "from 0 to 100, not '5'"),
    ("rejectThresholdPct, value: 5", "rejectThresholdPct, value: true", "from 0 to 100, not True"),
    (
        "rejectThresholdPct, value: 5",
        "rejectThresholdPct, value: .nan",
        r"customProperties\[3\].value: 'nan' does not match any form",
    ),
    ("property: rejectThresholdPct, value: 5", "property: loadMode, value: merge", "`loadMode` occurs twice"),
    (
        "value: landed_on",
        "value: landed",
        "`landingDayColumn` must be the name of a column .*: did you mean `landed_on`",
    ),
    ("[Not Available, unknown]", "[NULL, unknown]", "`nullWords` must be a list of different texts"),
    ("[Not Available, unknown]", "[]", "`nullWords` must be a list"),
    (
        "rejectThresholdPct, value: 5",
        "numberFormat, value: {decimal: ',', thousands: ','}",
        r"customProperties\[3\].value: `numberFormat` has ',' both as the decimal and as a thousands sign",
    ),
    (
        "[Not Available, unknown]}",
        "[x]}\n          - {property: numberFormat, value: {decimal: ','}}",
        r"properties\[4\] \(ship_mode\): numberFormat is only allowed for columns of numbers",
    ),
    (
        COLUMN,
        COLUMN + "        customProperties: [{property: numberFormat, value: {percent: fraction}}]\n",
        r"\(quantity\): the numberFormat reads 12% as 0.12, which is no integer: write `percent: number`",
    ),
    (
        COLUMN,
        COLUMN + "        enum: [{value: 7}]\n        customProperties: [{property: nullWords, value: ['7']}]\n",
        r"enum\[0\].value \(quantity\): '7' is also one of the nullWords, so no row can have it",
    ),
    ("        mustBe: 0", "        mustBe: ten", r"quality\[0\].mustBe: must be a number, not 'ten'"),
    ("        mustBe: 0", "        mustBe: true", r"quality\[0\].mustBe: must be a number, not True"),
    ("        mustBe: 0", "        mustBeBetween: [0, 1]", r"quality\[0\].mustBeBetween: .* not supported"),
    (
        "        mustBe: 0",
        "        mustBe: 0\n        mustNotBe: 1",
        "needs exactly one comparison, not mustBe, mustNotBe",
    ),
    ("dimension: consistency", "dimension: consistence", "'consistence' is not one of accuracy, completeness"),
    ("metric: nullValues", "metric: invalidValues", "must be of type sql, or have a metric: .*not 'invalidValues'"),
    (
        "metric: nullValues\n            unit: percent",
        "metric: nullValues\n            unit: precent",
        "unit .*: must be rows or percent, not 'precent'",
    ),
    ("unit: d}", "unit: fortnight}", "unit: the unit of a frequency must be one of d, w, months, not 'fortnight'"),
    ("frequency, value: 1", "frequency, value: 2", "slaProperties.*value: must be 1, not 2"),
    ("property: frequency", "property: frequancy", "unknown service level 'frequancy': did you mean `frequency`"),
    (COLUMN, COLUMN + "        classification: restrcted\n", "classification .*'restrcted' is not one of public,"),
    (COLUMN, COLUMN + "        physicalName: qty\n", "physicalName .*: `physicalName` is not supported"),
    (
        COLUMN,
        COLUMN + "        enum: [{value: 1}, {value: x}]\n",
        r"enum\[1\].value \(quantity\): 'x' is not a valid integer",
    ),
    (COLUMN, COLUMN + "        enum: [{value: 0}]\n", r"enum\[0\].value .*: 0 is outside the limits of the column"),
    (COLUMN, COLUMN + "        relationships: [{to: a.b}, {to: c.d}]\n", "can refer to one other column, not 2"),
    (
        COLUMN,
        COLUMN + "        relationships: [{to: b}]\n",
        "must be `dataset.column` of the same domain, not 'b'|form that",
    ),
    (
        COLUMN,
        COLUMN + "        customProperties: [{property: skippedHour, value: forward}]\n",
        r"\(quantity\): `skippedHour` has no effect without a `defaultTimezone` other than UTC at a timestamptz",
    ),
    (COLUMN, COLUMN + "        unique: true\n", "unique columns besides the key are supported in snapshots only"),
    (COLUMN, COLUMN + "        primaryKeyPosition: 4\n", r"primaryKeyPosition .*: requires `primaryKey: true`"),
    (
        COLUMN,
        COLUMN + "        customProperties: [{property: index, value: ascending}]\n",
        "`index` is allowed for the loadMode dim",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), EDITS, ids=[new.strip()[:60] for _, new, _ in EDITS])
def test_a_mistake_is_reported_with_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in LINES
    with pytest.raises(ContractError, match=f"(?s){message}"):
        load(written(tmp_path, LINES.replace(old, new)))


def written(folder: Path, text: str) -> Path:
    path = folder / "lines.yaml"
    path.write_text(text, "utf-8")
    return path


def test_a_server_says_how_files_are_written(tmp_path: Path) -> None:
    server = """servers:
  - server: files
    type: custom
    format: csv
    encoding: Windows-1252
    delimiter: ";"
    customProperties:
      - {property: quote, value: none}
      - {property: headerLines, value: 0}
      - {property: ignoredLines, value: ['^#']}
      - {property: repairs, value: [emptyFields]}
      - {property: emptyFiles, value: accepted}
schema:
"""
    found = load(written(tmp_path, LINES.replace("schema:\n", server, 1))).file_format
    expected = FileFormat("csv", "cp1252", ";", "", header_lines=0, ignored_lines=("^#",))
    assert found == replace(expected, repairs=("emptyFields",), accepts_empty=True)
    assert found.dialect == Dialect(";", "", "")
    assert load(written(tmp_path, LINES)).file_format == FileFormat()
    server = SERVER % PROPERTY % ("json", """recordPath, value: 'orders."a.b"'""")
    found = load(written(tmp_path, LINES.replace("schema:\n", server, 1))).file_format
    assert found == FileFormat("json", record_path=("orders", "a.b"))


def test_the_dataset_has_defaults_for_the_values_of_its_columns(tmp_path: Path) -> None:
    defaults = (
        "      - {property: nullWords, value: [unknown, n/a]}\n"
        "      - {property: numberFormat, value: {decimal: ',', thousands: ['.', ' ']}}\n    quality:\n"
    )
    own = COLUMN + "        customProperties: [{property: numberFormat, value: {currency: $}}]\n"
    text = LINES.replace("    quality:\n", defaults, 1).replace(COLUMN, own)
    columns = {column.name: column for column in load(written(tmp_path, text)).columns}
    assert columns["list_price"].number_format == NumberFormat(",", (".", " "))
    assert columns["quantity"].number_format == NumberFormat(currency=("$",))
    assert columns["ship_mode"].null_words == ("Not Available", "unknown", "n/a")
    assert (columns["region"].number_format, columns["region"].null_words) == (None, ("unknown", "n/a"))
    assert (columns["occurrence"].number_format, columns["landed_on"].null_words) == (None, ())


@pytest.mark.parametrize(
    ("file_format", "signs", "message"),
    [
        ("json", "{decimal: ','}", "numbers in files of the format json have a decimal point"),
        ("parquet", "{decimal: ',', thousands: .}", "numbers in files of the format parquet have a decimal point"),
        ("xlsx", "{percent: number}", "a cell that shows 12% holds the number 0.12"),
        ("xlsx", "{currency: $, parentheses: true}", None),
        ("csv", "{decimal: ',', percent: number}", None),
    ],
)
def test_files_with_numbers_have_a_decimal_point(
    file_format: str, signs: str, message: str | None, tmp_path: Path
) -> None:
    own = COLUMN + f"        customProperties: [{{property: numberFormat, value: {signs}}}]\n"
    server = f"servers: [{{server: files, type: custom, format: {file_format}}}]\nschema:\n"
    path = written(tmp_path, LINES.replace(COLUMN, own).replace("schema:\n", server, 1))
    if message is None:
        assert load(path).file_format.name == file_format
    else:
        with pytest.raises(ContractError, match=f"quantity.*{message}"):
            load(path)


def test_a_column_declares_the_pattern_of_its_dates(tmp_path: Path) -> None:
    pattern = ORDER_DATE + "        logicalTypeOptions: {format: dd/MM/yyyy}\n"
    [order_date] = [
        column
        for column in load(written(tmp_path, LINES.replace(ORDER_DATE + FORMS, pattern))).columns
        if column.name == "order_date"
    ]
    assert order_date.date_forms == ("dd/MM/yyyy",)
    pivot = FORMS.replace("[YYYY-MM-DD, M/D/YYYY]", "[dd.MM.yy, excel]") + (
        "          - {property: pivotYear, value: 1970}\n"
    )
    [order_date] = [
        column for column in load(written(tmp_path, LINES.replace(FORMS, pivot))).columns if column.name == "order_date"
    ]
    assert (order_date.date_forms, order_date.pivot_year) == (("dd.MM.yy", "excel"), 1970)


def test_a_derived_table_has_no_files(tmp_path: Path) -> None:
    sales = next(path for path in OWN if path.stem == "sales_by_region" or "report" in path.read_text("utf-8"))
    path = tmp_path / sales.name
    path.write_text(sales.read_text("utf-8").replace("schema:\n", SERVER % "format: csv", 1), "utf-8")
    with pytest.raises(ContractError, match=r"\$.servers: describes files, but the rows of a derived table"):
        load(path)


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    text = LINES.replace("status: active", "status: activ\nservers: [{server: raw, type: s3, location: 's3://raw'}]")
    text = text.replace("  purpose:", "  purpos:").replace("        mustBe: 0", "        mustBe: zero")
    text = text.replace("{maxLength: 50}", "{maxLength: 50, format: email}").replace(
        "value: occurrence", "value: quantity"
    )
    with pytest.raises(ContractError) as found:
        load(written(tmp_path, text))
    first, *lines = str(found.value).splitlines()
    assert first.endswith("lines.yaml: 7 problems:")
    assert [line.split(":")[0].strip() for line in lines] == [
        "$.servers[0].location",
        "$.description.purpos",
        "$.status",
        "$.servers[0].type",
        "$.schema[0].properties[0].logicalTypeOptions.format (order_id)",
        "$.schema[0].properties[1].logicalTypeOptions.format (product_id)",
        "$.schema[0].quality[0].mustBe",
    ]


def test_a_problem_of_one_value_hides_no_problem_of_the_document(tmp_path: Path) -> None:
    text = LINES.replace("status: active", "status: activ").replace("value: occurrence", "value: quantity")
    with pytest.raises(
        ContractError, match=r"(?s)2 problems:.*\$.status: .*occurrenceColumn must be an integer and part"
    ):
        load(written(tmp_path, text))


def test_dates_need_no_quotes_and_are_checked(tmp_path: Path) -> None:
    old = "        logicalType: date\n        physicalType: date\n"
    for limit in ("2026-01-01", "'2026-01-01'"):
        options = f"        logicalTypeOptions: {{minimum: {limit}}}\n"
        found = load(written(tmp_path, LINES.replace(old, old + options)))
        assert found.columns[3].options == {"minimum": "2026-01-01"}
    with pytest.raises(
        ContractError, match=r"minimum \(order_date\): '2026-02-30' is not a valid date; write it like '2026-03-31'"
    ):
        load(written(tmp_path, LINES.replace(old, old + "        logicalTypeOptions: {minimum: 2026-02-30}\n")))


# --- the standard's own JSON schema -------------------------------------------------------------------------


def objects(node: Any, defs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (property, its schema) of an object of the JSON schema, also by reference or condition."""
    if "$ref" in node:
        yield from objects(resolved(node, defs), defs)
    yield from node.get("properties", {}).items()
    for word in ("allOf", "anyOf", "oneOf"):
        for part in node.get(word, []):
            yield from objects(part, defs)
    for word in ("then", "else"):
        if word in node:
            yield from objects(node[word], defs)


def resolved(node: Any, defs: Mapping[str, Any]) -> Any:
    if "$ref" not in node:
        return node
    return reduce(getitem, node["$ref"].removeprefix("#/$defs/").split("/"), defs)


def held(node: Any, defs: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Yield (schema, whether in a list) of the objects that a property may hold."""
    node = {**node, **resolved(node, defs)}
    if isinstance(node.get("items"), dict):
        for item, _ in held(node["items"], defs):
            yield item, True
    if any(objects(node, defs)) and node.get("type") != "array":
        yield node, False
    for word in ("oneOf", "anyOf"):
        for part in node.get(word, []):
            if part.get("type") == "array" or "items" in resolved(part, defs):
                yield from held(part, defs)


def unanswered(node: Any, kind: str, defs: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """Return the unclassified properties of an object of the standard and of its nested objects."""
    place = PLACES[kind]
    for name, value in objects(node, defs):
        if name in place.unsupported:
            continue
        if name not in place.known:
            yield f"{kind}.{name}"
        for item, is_list in held(value, defs):
            for parent in parents(node, name):
                below = place_of(kind, name, parent, [] if is_list else {})
                if below is None:
                    yield f"{kind}.{name}: its properties"
                elif (key := f"{below} {sorted(item)} {sorted(item.get('properties', {}))}") not in seen:
                    seen.add(key)
                    yield from unanswered(item, below, defs, seen)


def parents(node: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the possible parents of a property: for options, the logical types that have any."""
    if name != "logicalTypeOptions":
        yield {}


def options(defs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each (logical type, option) that the standard declares."""
    for rule in defs["SchemaBaseProperty"]["allOf"]:
        if "if" in rule:
            conditions = rule["if"].get("anyOf", [rule["if"]])
            names = rule["then"].get("properties", {}).get("logicalTypeOptions", {}).get("properties", {})
            for condition in conditions:
                for name in names:
                    yield condition["properties"]["logicalType"]["const"], name


def test_every_property_of_the_standard_is_supported_documentation_or_unsupported() -> None:
    document = schema()
    seen: set[str] = set()
    assert list(unanswered(document, "contract", document["$defs"], seen)) == []
    assert len(seen) > 15  # it went down into the places


LOGICAL = {"string", "date", "time", "timestamp", "integer", "number", "boolean", "array", "object"}


def test_every_option_of_a_logical_type_is_supported_or_unsupported() -> None:
    found = set(options(schema()["$defs"]))
    assert len(found) > 30
    for logical, name in found:
        if logical in LOGICAL:
            place = PLACES[f"options of the logicalType {logical}"]
            assert name in place.known or name in place.unsupported, (logical, name)


def test_an_unsupported_logical_type_is_rejected(tmp_path: Path) -> None:
    declared = set(schema()["$defs"]["SchemaBaseProperty"]["properties"]["logicalType"]["enum"])
    for logical in declared - LOGICAL:
        with pytest.raises(ContractError, match=r"the logicalType .* is not supported: write one of array, boolean"):
            load(written(tmp_path, LINES.replace("logicalType: integer", f"logicalType: {logical}")))


def test_a_property_that_a_later_standard_adds_is_found() -> None:
    document = copy.deepcopy(schema())
    document["properties"]["pledge"] = {"type": "string"}
    document["$defs"]["SchemaBaseProperty"]["properties"]["unit"] = {"type": "string"}
    document["$defs"]["Team"]["properties"]["access"] = {"type": "string"}
    document["$defs"]["Synonym"]["properties"]["pattern"] = {"type": "string"}
    found = set(unanswered(document, "contract", document["$defs"], set()))
    assert found == {"contract.pledge", "column.unit", "items of an array.unit", "team.access", "synonym.pattern"}


def test_each_property_is_supported_or_documentation_or_unsupported() -> None:
    for kind, place in PLACES.items():
        three = [set(place.supported.split()), set(place.documentation.split()), set(place.unsupported)]
        assert sum(map(len, three)) == len(set().union(*three)), kind
        assert set(place.nested) <= place.known, kind


# --- misspelling anything -----------------------------------------------------------------------------------


def keys(node: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each key of a document."""
    for step, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(node, dict):
            yield (*steps, step)
        yield from keys(value, (*steps, step))


def misspelt(document: Any, steps: tuple[str | int, ...], spelling: Callable[[str], str]) -> Any:
    """Return the document with one key misspelt in place."""
    document = copy.deepcopy(document)
    parent = document
    for step in steps[:-1]:
        parent = parent[step]
    items = [(spelling(name) if name == steps[-1] else name, value) for name, value in parent.items()]
    parent.clear()
    parent.update(items)
    return document


@pytest.mark.parametrize("path", OWN, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_misspelling_any_kind_of_key_of_the_projects_contracts_is_an_error(path: Path, tmp_path: Path) -> None:
    """Of the same key at the same kind of place one is enough: a hundred columns have `description`."""
    document = yaml.safe_load(path.read_text("utf-8"))
    places = {tuple(step for step in steps if isinstance(step, str)): steps for steps in keys(document)}
    copied = tmp_path / path.name
    for steps in places.values():
        copied.write_text(yaml.safe_dump(misspelt(document, steps, lambda name: name[:-1])), "utf-8")
        with pytest.raises(ContractError):
            load(copied)


@given(st.data())
@settings(max_examples=150)
def test_misspelling_any_key_anyhow_is_an_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(OWN))
    document = yaml.safe_load(path.read_text("utf-8"))
    steps = data.draw(st.sampled_from(list(keys(document))))
    name = str(steps[-1])
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcxyzABC_ "))
    spelling = data.draw(
        st.sampled_from([name[:place] + name[place + 1 :], name[:place] + letter + name[place:], name.swapcase()])
    )
    if spelling == name:
        return
    copied = tmp_path_factory.mktemp("contract") / path.name
    copied.write_text(yaml.safe_dump(misspelt(document, steps, lambda _: spelling)), "utf-8")
    with pytest.raises(ContractError):
        load(copied)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(),
    st.sampled_from(
        ["", " ", "a", "2026-02-30", "v9", "active", "sql", "numeric(99,100)", "numeric(0,0)", "a.b.c", "["]
    ),
    st.sampled_from([[], {}, [None], [[]], [{}], {"a": 1}, [{"property": "loadMode", "value": []}], [1, "a"]]),
)


@given(st.data(), VALUES)
@settings(max_examples=300)
def test_any_value_at_any_place_loads_or_raises_a_contract_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: object
) -> None:
    path = data.draw(st.sampled_from(OWN))
    document = yaml.safe_load(path.read_text("utf-8"))
    steps = data.draw(st.sampled_from(list(keys(document))))
    parent = document
    for step in steps[:-1]:
        parent = parent[step]
    parent[steps[-1]] = value
    copied = tmp_path_factory.mktemp("contract") / path.name
    copied.write_text(yaml.safe_dump(document), "utf-8")
    with suppress(ContractError):
        load(copied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"\$: must be of the type object, not .None."),
        (b"- a\n", r"\$: must be of the type object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"? [a]\n: b\n", "not YAML: a key must be a text"),
        (b"a: &x\n  b: *x\n", "cannot be checked: Recursion limit reached"),
        (b"a: 1\n---\nb: 2\n", "not YAML: expected a single document"),
        (b"yes: 1\n", "unknown property `True`"),
    ],
)
def test_a_file_that_is_no_contract_raises_a_contract_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.yaml"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=message):
        load(path)


def test_a_draft_loads_as_a_proposal(tmp_path: Path) -> None:
    path = written(tmp_path, LINES.replace("status: active", "status: draft"))
    assert load(path, is_proposal=True).table == "orders.lines"


def test_the_manual_names_every_property_of_a_contract() -> None:
    text = "".join(path.read_text("utf-8") for path in (PROJECT_ROOT / "docs/reference/contracts").glob("*.md"))
    nested = {"context", "custom property", "definition", "member", "price", "statement", "support", "team"}
    for kind, place in PLACES.items():
        if kind not in nested:  # documentation as a whole
            missing = [
                name for name in sorted({*place.known, *place.unsupported}) if not re.search(rf"`{name}\b", text)
            ]
            assert missing == [], kind
