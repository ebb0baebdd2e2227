"""Contracts are read strictly; their compiled query validates each row as plain Python does."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from waybill.contracts import Column, Contract, ContractError, RowRule, load, load_all
from waybill.contracts.consistency import problems
from waybill.contracts.custom_properties import OF_COLUMN, OF_RELATIONSHIP, OF_TABLE
from waybill.contracts.retention import Retention
from waybill.contracts.spark_engine import unsupported
from waybill.contracts.validation import compile_query
from waybill.intake.validate import pattern_problems
from waybill.ops.lint import lint
from waybill.period import Cadence, Period
from waybill.settings import PROJECT_ROOT
from waybill.settings import settings as project_settings

PERIOD = Period.parse("month", "2026-03")
COLUMNS = (
    Column("day", "", "date", "date", required=True, key_position=1, partitioned=True),
    Column("small", "", "integer", "integer", required=True, options={"minimum": -5, "maximum": 2_000_000_000}),
    Column("large", "", "integer", "bigint", options={"exclusiveMinimum": 0, "exclusiveMaximum": 10}),
    Column("amount", "", "number", "numeric(12,2)", options={"minimum": 0}),
    Column("rate", "", "number", "numeric(4,0)"),
    Column("born", "", "date", "date"),
    Column("name", "", "string", "text", required=True, options={"minLength": 2, "maxLength": 4}),
    Column("code", "", "string", "text", options={"pattern": "[A-Z]{2}"}),
    Column("kind", "", "string", "text", enum=("it's", "B")),
    Column("customer", "", "integer", "integer", reference=("customers", "customer_id")),
)
CONTRACT = Contract("test", "rows", "1", "", "", COLUMNS, "merge", 100, 2, (), "", ("month",), period_column="day")
KNOWN_CUSTOMERS = (1, 7)

# --- the rules again, in plain Python -----------------------------------------------------------------------

BLANKS = "\t\n\v\f\r\u0085\u200b\u200c\u200d\u2060\ufeff"
WRITTEN_BY_PROGRAMS = {"NULL", "null", "nan", "NaN", "N/A", "#N/A", "#NA", "<NA>", "#NUM!", "#NULL!", r"\N"}


def trimmed(text: str | None) -> str:
    separators = {char for char in text or "" if unicodedata.category(char) in ("Zs", "Zl", "Zp")}
    return (text or "").strip(BLANKS + "".join(sorted(separators)))


def as_text(text: str) -> str | None:
    controls = {char for char in text if unicodedata.category(char) == "Cc"}
    return text if controls <= set("\t\n\r") else None


def as_integer(text: str, bits: int) -> int | None:
    if not re.fullmatch("[+-]?[0-9]+", text):
        return None
    value = int(text)
    return value if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None


def as_decimal(text: str, precision: int, scale: int) -> Decimal | None:
    fraction = f"([.][0-9]{{1,{scale}}})?" if scale else ""
    if not re.fullmatch(f"[+-]?[0-9]+{fraction}", text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if abs(value) < 10 ** (precision - scale) else None


def as_date(text: str) -> date | None:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


READ: dict[str, Callable[[str], Any]] = {
    "integer": lambda text: as_integer(text, 32),
    "bigint": lambda text: as_integer(text, 64),
    "numeric(12,2)": lambda text: as_decimal(text, 12, 2),
    "numeric(4,0)": lambda text: as_decimal(text, 4, 0),
    "date": as_date,
    "text": as_text,
}
BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}


def validate_field(column: Column, text: str | None) -> tuple[Any, list[str]]:
    """Return the value and its reject reasons."""
    if not trimmed(text):
        return None, [f"required:{column.name}"] if column.required else []
    value = READ[column.physical_type](trimmed(text))
    if value is None:
        return None, [f"control:{column.name}" if column.physical_type == "text" else f"type:{column.name}"]
    options, broken = column.options, []
    if any(not BOUNDS[name](value, options[name]) for name in BOUNDS if name in options):
        broken.append("range")
    if column.physical_type == "date" and not date(1900, 1, 1) <= value < date(2036, 4, 1):
        broken.append("range")
    if "maxLength" in options and not options["minLength"] <= len(value) <= options["maxLength"]:
        broken.append("length")
    if "pattern" in options and not re.fullmatch(options["pattern"], value):
        broken.append("pattern")
    if column.enum and value not in column.enum:
        broken.append("enum")
    if column.physical_type == "text" and not column.enum and value in WRITTEN_BY_PROGRAMS:
        broken.append("placeholder")
    if column.reference and value not in KNOWN_CUSTOMERS:
        broken.append("reference")
    return value, [f"{rule}:{column.name}" for rule in broken]


def validate_row(texts: list[str | None]) -> tuple[list[Any], list[str]]:
    validated = [validate_field(column, text) for column, text in zip(COLUMNS, texts, strict=True)]
    reasons = [reason for _, reasons in validated for reason in reasons]
    day = validated[0][0]
    if day and day >= date(2026, 4, 1):
        reasons.append("after_period")
    if day and day < date(2026, 1, 1):
        reasons.append("too_late")
    return [value for value, _ in validated], reasons


def validate_with_duckdb(rows: list[list[str | None]]) -> list[dict[str, Any]]:
    fields = {f"_raw_{column.name}": [row[place] for row in rows] for place, column in enumerate(COLUMNS)}
    arrow = {name: pa.array(texts, pa.string()) for name, texts in fields.items()}
    with closing(duckdb.connect()) as connection:
        connection.register("source", pa.table({"_record": pa.array(range(1, len(rows) + 1)), **arrow}))
        connection.register("reference_customer", pa.table({"customer_id": pa.array(KNOWN_CUSTOMERS, pa.int32())}))
        query = compile_query(CONTRACT, PERIOD, "source", lambda _: True, "UTC")
        return sorted(connection.execute(query).to_arrow_table().to_pylist(), key=lambda row: row["_record"])


NUMBERS = st.one_of(
    st.integers(-(10**4), 10**4).map(str),
    st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, 10**10 - 1, 10**10, 10**40]).map(str),
    st.decimals(-100, 10**10, places=2).map(str),
    st.text(st.sampled_from("0123456789+-.,_eE "), max_size=6),
    st.sampled_from(
        ["1,234.50", "1 234", "NaN", "Infinity", "-inf", "1e3", "1_000", "0x10", "+7", "-0", "007", "1.234"]
    ),
    st.sampled_from(
        [" 7 ", "\t7", "7\r\n", "7.", ".5", "9999999999.99", "9999999999.995", "--1", "+ 1", "١٢", "1\v", "½"]
    ),
)
DATES = st.one_of(
    st.dates(date(2025, 11, 1), date(2026, 5, 1)).map(str),
    st.dates().map(str),
    st.tuples(st.sampled_from(["2026", "2024", "0000", "26"]), st.integers(0, 13), st.integers(0, 32)).map(
        lambda parts: f"{parts[0]}-{parts[1]:02d}-{parts[2]:02d}"
    ),
    st.sampled_from(
        ["infinity", "-infinity", "epoch", "today", "2026-3-1", "20260301", "2026-03-01T00:00", "01.03.2026"]
    ),
    st.sampled_from(
        [
            " 2026-03-01 ",
            "2026-03-01 (BC)",
            "2026/03/01",
            "10000-01-01",
            "9999-12-31",
            "0001-01-01",
            "0001-01-01 (BC)",
            "2026-03-01\n",
            "-2026-03-01",
        ]
    ),
)
WORDS = st.one_of(
    st.text(st.sampled_from("ABab'é\u0301😀 \u00a0\u2003\t\n\""), max_size=7),
    st.sampled_from(["AB", " AB ", "A\u00e9", "it's", "B", " B", "b", "NULL", "x" * 1000]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
)
TEXTS = st.one_of(st.none(), st.sampled_from(["", " ", "  ", "\u00a0", "\t", "\u200b\ufeff"]), NUMBERS, DATES, WORDS)
GOOD: list[str | None] = ["2026-03-01", "1", "1", "1", "1", "2000-01-01", "abc", "AB", "B", "7"]
FITTING = [DATES, NUMBERS, NUMBERS, NUMBERS, NUMBERS, DATES, WORDS, WORDS, WORDS, NUMBERS]


def fields(place: int) -> st.SearchStrategy[str | None]:
    return st.one_of(st.just(GOOD[place]), FITTING[place], TEXTS)


@given(st.lists(st.tuples(*map(fields, range(len(COLUMNS)))).map(list), min_size=1, max_size=60))
@example(
    [[*GOOD[:5], text, *GOOD[6:]] for text in ("9999-12-31", "0001-01-01", "0000-12-31", "infinity", "10000-01-01")]
)
@example([GOOD, [None] * len(GOOD), [text and f" {text} " for text in GOOD]])
@settings(max_examples=60)
def test_rows_are_validated_as_plain_python_validates_them(rows: list[list[str | None]]) -> None:
    for row, found in zip(rows, validate_with_duckdb(rows), strict=True):
        values, reasons = validate_row(row)
        assert (row, found["_reasons"] or []) == (row, reasons)
        assert (found["_reasons"] is None) == (found["_raw"] is None) == (not reasons)
        if reasons:
            raw = {column.name: text for column, text in zip(COLUMNS, row, strict=True)}
            assert json.loads(found["_raw"]) == raw
        else:
            assert (row, [found[column.name] for column in COLUMNS]) == (row, values)


def test_an_absent_optional_column_is_null_and_not_in_the_fields_of_a_reject() -> None:
    with closing(duckdb.connect()) as connection:
        texts = {f"_raw_{column.name}": [GOOD[place], GOOD[place]] for place, column in enumerate(COLUMNS)}
        del texts["_raw_code"], texts["_raw_born"]
        texts["_raw_small"][1] = "x"
        connection.register("source", pa.table({"_record": [1, 2], **texts}))
        connection.register("reference_customer", pa.table({"customer_id": pa.array(KNOWN_CUSTOMERS, pa.int32())}))
        query = compile_query(CONTRACT, PERIOD, "source", lambda name: name not in ("code", "born"), "UTC")
        good, bad = connection.execute(query).to_arrow_table().to_pylist()
    assert (good["code"], good["born"], good["_reasons"]) == (None, None, None)
    assert bad["_reasons"] == ["type:small"]
    assert list(json.loads(bad["_raw"])) == [name for name in CONTRACT.names if name not in ("code", "born")]


def test_many_columns_need_no_deep_expressions() -> None:
    columns = tuple(replace(COLUMNS[6], name=f"code_{place}") for place in range(80))
    with closing(duckdb.connect(config={"max_expression_depth": 40})) as connection:
        texts = {f"_raw_{column.name}": ["abc", column.name] for column in columns}
        connection.register("source", pa.table({"_record": [1, 2], **texts}))
        contract = replace(CONTRACT, columns=(*COLUMNS, *columns))
        connection.register("reference_customer", pa.table({"customer_id": pa.array(KNOWN_CUSTOMERS, pa.int32())}))
        names = {column.name for column in columns}
        query = compile_query(contract, PERIOD, "source", lambda name: name in names, "UTC", names)
        assert connection.execute(query).to_arrow_table()["_may_be_header"].to_pylist() == [False, True]


def test_a_dataset_has_no_more_columns_than_postgresql_joins() -> None:
    columns = tuple(replace(COLUMNS[6], name=f"code_{place}") for place in range(801 - len(COLUMNS)))
    most = replace(CONTRACT, columns=(*COLUMNS, *columns[1:]))
    found = [problem.text for problem in problems(replace(most, columns=(*COLUMNS, *columns)))]
    expected = "has 801 columns, but a dataset can have 800: remove some"
    assert {*found} - {problem.text for problem in problems(most)} == {expected}


def test_a_reference_that_infers_needs_no_values_and_rejects_nothing() -> None:
    customer = replace(COLUMNS[-1], infers_unknown=True)
    contract = replace(CONTRACT, columns=(*COLUMNS[:-1], customer))
    with closing(duckdb.connect()) as connection:
        texts = {f"_raw_{column.name}": GOOD[place] for place, column in enumerate(COLUMNS)}
        connection.register("source", pa.table({"_record": [1], **{name: [text] for name, text in texts.items()}}))
        query = compile_query(
            contract, PERIOD, "(select * replace ('5' as _raw_customer) from source)", lambda _: True, "UTC"
        )
        [row] = connection.execute(query).to_arrow_table().to_pylist()
    assert (row["customer"], row["_reasons"]) == (5, None)


RULES = {
    "small + large = 3": {(1, 2): True, (2, 2): False, (1, None): True},
    "large is null or small < large": {(1, 2): True, (2, 2): False, (5, None): True},
    "name <> 'small' and small between 0 and 3": {(1, 2): True, (5, 2): False},
    "cast(name as integer) > small": {(1, 2): False},  # 'abc' cannot be computed
}


@pytest.mark.parametrize("expression", RULES)
def test_a_row_rule_passes_null_inputs_and_rejects_evaluation_errors(expression: str) -> None:
    contract = replace(CONTRACT, row_rules=(RowRule("sum", expression),))
    for (small, large), is_good in RULES[expression].items():
        texts = {f"_raw_{column.name}": GOOD[place] for place, column in enumerate(COLUMNS)}
        texts |= {"_raw_small": str(small), "_raw_large": str(large or "")}
        with closing(duckdb.connect()) as connection:
            connection.register("source", pa.table({"_record": [1], **{name: [text] for name, text in texts.items()}}))
            connection.register("reference_customer", pa.table({"customer_id": pa.array(KNOWN_CUSTOMERS, pa.int32())}))
            query = compile_query(contract, PERIOD, "source", lambda _: True, "UTC")
            [row] = connection.execute(query).to_arrow_table().to_pylist()
        assert row["_reasons"] == (None if is_good else ["rule:sum"])


def test_a_row_rule_lists_its_words_without_texts_and_functions() -> None:
    rule = RowRule("x", """round(a * "Big B", 2) = C and d in ('no name', 'it''s') and e is not null""")
    assert rule.words == {"a", "Big B", "c", "d", "e", "and", "is", "not", "null"}


# --- contract files -----------------------------------------------------------------------------------------

QUALITY = "    quality:\n"
MORE_QUALITY = QUALITY + "      - {{name: x, {}, mustBe: 0, severity: error}}\n"
SOURCE = (PROJECT_ROOT / "include/contracts/messaging/traffic.yaml").read_text()


def test_every_contract_of_the_project_is_valid() -> None:
    assert {"messaging.customers", "messaging.channels", "messaging.traffic"} < set(load_all())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "version: 1.0.1",
            "versoin: 1.0.1",
            r"\$.versoin: unknown property `versoin` of the contract: did you mean `version`",
        ),
        ("kind: DataContract", "kind: Contract", r"\$.kind: .Contract. is not one of|\$.kind: .*DataContract"),
        (
            "        required: true",
            "        requried: true",
            r"\$.schema\[0\].properties\[0\].requried \(traffic_id\): unknown property .*: did you mean `required`",
        ),
        (
            "logicalType: date",
            "logicalType: datum",
            r"\$.schema\[0\].properties\[1\].logicalType \(send_date\): .datum. is not one of string, date,",
        ),
        ("minimum: 1, format: i64", "minimun: 1", r"\$.schema\[0\].properties\[0\].*minimun.*did you mean `minimum`"),
        ("mustBeGreaterThan: 0", "mustBeMoreThan: 0", r"\$.schema\[0\].quality\[0\].mustBeMoreThan: .*`mustBe"),
        ("description:\n  purpose", "description: [\n  purpose", "not YAML: "),
        ("loadMode", "loadmode", r"unknown custom property `loadmode` here: did you mean `loadMode`"),
        ("value: merge", "value: append", "`loadMode` must be snapshot, changes, merge, .* or feature, not 'append'"),
        ("  - name: traffic\n    phys", "  - name: trafic\n    phys", "exactly one schema object, named 'traffic'"),
        ("        physicalType: bigint\n", "", "the column 'traffic_id' needs a physicalType"),
        (
            "physicalType: bigint",
            "physicalType: varchar(20)",
            (
                r"unknown physicalType 'varchar\(20\)': write text, with `maxLength` .*supported are smallint, "
                r".*numeric\(p,s\)"
            ),
        ),
        (
            "numeric(12,2)",
            "numeric(39,2)",
            r"\(revenue_eur\): unknown physicalType 'numeric\(39,2\)'.* with p up to 38",
        ),
        ("name: interactions_count", "name: channel_id", "column names must be unique"),
        ("name: account_id", "name: xmin", "reserved names: .*tableoid, xmin"),
        ("name: account_id", "name: _account", "reserved names: those with a leading underscore"),
        (
            "rejectThresholdPct, value: 5",
            "rejectThresholdPct, value: 5 %",
            "`rejectThresholdPct` must be a number from 0 to 100, not '5 %'",
        ),
        (
            "lookbackPeriods, value: 12",
            "lookbackPeriods, value: a year",
            "`lookbackPeriods` must be a whole number, 0 or more, not 'a year'",
        ),
        (
            "    severity: error\n",
            "    severity: fatal\n",
            "the check 'traffic_present' needs a severity of error or warning, not 'fatal'",
        ),
        (QUALITY, MORE_QUALITY.format("metric: missingValues"), "the check 'x' must be of type sql, or have a metric"),
        (QUALITY, MORE_QUALITY.format("metric: nullValues"), "the check 'x' needs columns"),
        (
            QUALITY,
            MORE_QUALITY.format("metric: nullValues, arguments: {properties: [revenue]}"),
            "the properties of a check must be columns of the contract",
        ),
        ("name: traffic_account_mismatch_pct", "name: traffic_present", "names of checks must be unique"),
        ("latency, value: 1, unit: d", "latency, value: 1, unit: weeks", "the unit of a latency must be d or h"),
        (
            "latency, value: 1, unit: d",
            "retention, value: 1, unit: m",
            "the unit of a retention must be d, months or y",
        ),
        ("latency, value: 1, unit: d", "retention, value: 0, unit: y", "must be a whole number, 1 or more, not 0"),
        (
            "latency, value: 1, unit: d, element: traffic.send_date",
            "retention, value: 1, unit: d, element: quarantined",
            "the element of a retention must be the table or one of raw, quarantine, history, not 'quarantined'",
        ),
        (
            "latency, value: 1, unit: d",
            "retention, value: 1, unit: d",
            "the element of a retention must be the table",
        ),
        (
            "latency, value: 1, unit: d, element: traffic.send_date",
            "retention, value: 1, unit: months, element: raw",
            "the lifecycle of a bucket counts days: write unit d, not 'months'",
        ),
        (
            "latency, value: 1, unit: d, element: traffic.send_date",
            "retention, value: 1, unit: d}\n  - {property: retention, value: 2, unit: d, element: traffic",
            "a second retention of traffic: remove one",
        ),
        ("partitioned: true", "partitioned: false", "a merged dataset needs a period column"),
        ("synonyms: [{synonym: id}]", "unique: true", "unique columns besides the key are supported in snapshots only"),
        ("primaryKey: true", "primaryKey: false", "needs at least one primaryKey column"),
        (
            "value: merge}",
            "value: merge}\n      - {property: rowRules, value: [{name: x, expression: revenue_eur > interaction}]}",
            "the names in a row rule must be columns of the contract",
        ),
        (
            "value: merge}",
            "value: merge}\n      - {property: rowRules, value: [{name: x, rule: revenue_eur > 0}]}",
            "`rowRules` must be a list of rules, each with a name and an expression, not .*'rule'",
        ),
        (
            "value: merge}",
            "value: report}\n      - {property: maxWarnings, value: -1}",
            "`maxWarnings` must be a whole number, 0 or more, not -1",
        ),
        (
            "value: merge}",
            "value: merge}\n      - {property: maxWarnings, value: 1}",
            "`maxWarnings` is allowed for the loadMode report, not .merge.",
        ),
        ("physicalType: date\n", "physicalType: text\n", "the periodColumn must be a date, a timestamp or"),
        ("value: merge", "value: changes", "versionColumn is required for the loadMode changes and not allowed"),
        (
            "value: merge}",
            "value: changes}\n      - {property: versionColumn, value: send_date}",
            "the versionColumn must be required and not part of the key",
        ),
    ],
)
def test_a_mistake_in_a_contract_names_the_file_and_the_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    assert old in SOURCE
    path.write_text(SOURCE.replace(old, new))
    with pytest.raises(ContractError, match=f"(?s){re.escape(str(path))}: .*{message}"):
        load(path)


def test_yaml_is_read_by_the_rules_of_the_standard(tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    path.write_text(SOURCE)
    contract = load(path)
    assert contract.key == ["send_date", "account_id", "customer_id", "channel_id"]
    assert (contract.period_column, contract.lookback_periods, contract.reject_threshold_pct) == ("send_date", 12, 5)
    assert contract.names == [item["name"] for item in yaml.safe_load(SOURCE)["schema"][0]["properties"]]
    assert all(column.required for column in contract.columns)


def test_a_latency_becomes_a_check_of_freshness() -> None:
    contracts = load_all()
    for table, column in {"shop.transactions": "transaction_ts", "messaging.traffic": "send_date"}.items():
        check = contracts[table].checks[-1]
        assert (check.name, check.metric, check.columns) == (f"{table.split('.')[1]}_freshness", "freshness", (column,))
        assert (check.operator, check.threshold, check.severity) == ("<=", 24, "warning")
    assert not any(check.metric == "freshness" for check in contracts["messaging.customers"].checks)


def test_a_pattern_is_supported_and_allows_the_values_of_the_enum() -> None:
    def problems_of(**options: str) -> list[str]:
        code = Column("code", "", "string", "text", options=options, enum=("AB", "ab"))
        return pattern_problems(replace(CONTRACT, columns=(*COLUMNS, code)))

    assert problems_of(pattern="[A-Za-z]{2}") == problems_of() == []
    [problem] = problems_of(pattern="[A-Z]+")
    assert problem == (
        "test.rows: the enum of 'code' has values that its pattern excludes: 'ab'. "
        "Correct the pattern, or remove the values."
    )
    [problem] = problems_of(pattern="(?=a)b")
    assert problem.startswith("test.rows: the pattern of 'code' is invalid: ")


# --- the manual and the review ------------------------------------------------------------------------------


def test_the_contracts_of_the_manual_are_valid(tmp_path: Path) -> None:
    text = "".join((PROJECT_ROOT / f"docs/do/add-{kind}.md").read_text() for kind in ("dataset", "report"))
    found = re.findall(r"`include/contracts/([a-z_/]+)\.yaml`.*?```yaml\n(.*?)```", text, re.DOTALL)
    assert len(found) == 2
    for name, document in found:
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir()
        path.write_text(document)
        assert load(path).table == name.replace("/", ".")


def test_the_manual_has_a_heading_for_every_custom_property() -> None:
    text = (PROJECT_ROOT / "docs/reference/contracts/custom-properties.md").read_text()
    headings = re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^### .*$", text)))
    assert sorted(headings) == sorted({*OF_TABLE, *OF_COLUMN, *OF_RELATIONSHIP})


def test_lint_finds_every_problem_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    include = tmp_path / "include"
    shutil.copytree(PROJECT_ROOT / "include", include)
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    project_settings.cache_clear()
    contracts, problems = lint(None)
    assert problems == []
    assert {contract.table for contract in contracts} == set(load_all())
    folder = include / "contracts/messaging_report"
    (include / "sql/messaging/top_customers.sql").unlink()
    (include / "sql/messaging/lonely.sql").write_text("select 1")
    (folder / "segment_share.yaml").write_text("a: [")
    (folder / "segment_changes.yaml").write_text("kind: Nonsense")
    contracts, problems = lint(None)
    monkeypatch.undo()
    project_settings.cache_clear()
    assert [problem.split(":")[0].rsplit("/", 1)[1] for problem in problems] == [
        "segment_changes.yaml",
        "segment_share.yaml",
        "lonely.sql",
        "top_customers.yaml",
    ]


def test_a_retention_says_how_long_the_lake_keeps_days(tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    promise = "  - {property: retention, value: 24, unit: months}\n"
    path.write_text(SOURCE.replace("slaProperties:\n", f"slaProperties:\n{promise}"))
    assert load(path).retention == Retention(24, "months")
    without_days = replace(load(path), load_mode="dimension")
    assert any(
        "this table has no days there" in str(one) for one in problems(replace(without_days, period_column=None))
    )


def test_one_contract_says_how_long_each_element_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    promises = "".join(
        f"  - {{property: retention, value: {value}, unit: d, element: {element}}}\n"
        for value, element in enumerate(("traffic", "raw", "quarantine", "history"), start=401)
    )
    path.write_text(SOURCE.replace("slaProperties:\n", f"slaProperties:\n{promises}"))
    found = load(path)
    kept = (found.retention, found.raw_retention, found.quarantine_retention, found.history_retention)
    assert kept == tuple(Retention(value, "d") for value in (401, 402, 403, 404))
    report = [str(one) for one in problems(replace(found, load_mode="report"))]
    assert any("a retention of raw, quarantine, history is for datasets" in one for one in report)
    refused = [one for one in unsupported(found) if "a retention with `element: " in one]
    assert len(refused) == 2, "Spark refuses what it cannot do"
    snapshot = replace(found, load_mode="snapshot")
    assert not any("the lake makes its days" in str(one) for one in problems(snapshot))
    for other in (None, Retention(405, "d")):
        texts = map(str, problems(replace(snapshot, retention=other)))
        assert any("the lake makes its days from the history, which is kept for 404 days" in one for one in texts)


@pytest.mark.parametrize(
    ("cadence", "lookback", "latency", "kept", "needed"),
    [
        ("month", 0, None, Retention(30, "d"), "1 month or longer"),
        ("month", 0, None, Retention(31, "d"), None),
        ("month", 0, 5, Retention(31, "d"), "1 month and 5 days or longer"),
        ("month", 2, 5, Retention(3, "months"), "3 months and 5 days or longer"),
        ("month", 2, 5, Retention(4, "months"), None),
        ("week", 1, None, Retention(13, "d"), "14 days or longer"),
        ("day", 7, None, Retention(7, "d"), "8 days or longer"),
        ("day", 7, None, Retention(8, "d"), None),
        ("day", None, None, Retention(1, "d"), None),
    ],
)
def test_the_history_is_kept_while_files_land_in_time(
    cadence: Cadence, lookback: int | None, latency: int | None, kept: Retention, needed: str | None
) -> None:
    contract = replace(
        load(PROJECT_ROOT / "include/contracts/messaging/traffic.yaml"),
        cadences=(cadence,),
        lookback_periods=lookback,
        latency_days=latency,
        history_retention=kept,
    )
    found = [str(one) for one in problems(contract) if "the history is kept for" in str(one)]
    assert [needed in one for one in found if needed] == [True] * bool(needed)
    assert bool(found) == bool(needed)


def test_a_latency_in_hours_is_no_latency_in_days(tmp_path: Path) -> None:
    """The first latency in days states when files land; the freshness of a column may be in hours."""
    path = tmp_path / "traffic.yaml"
    days, landing = (
        "{property: latency, value: 1, unit: d, element: traffic.send_date,",
        "{property: latency, value: 1, unit: d}",
    )
    assert days in SOURCE
    hours = "{property: latency, value: 6, unit: h, element: traffic.send_date,"
    path.write_text(SOURCE.replace(days, f"{landing}\n  - {hours}"))
    contract = load(path)
    assert contract.latency_days == 1
    assert [check.threshold for check in contract.checks if check.metric == "freshness"] == [6]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "to: channels.channel_id",
            "to: chanels.channel_id",
            "messaging.traffic refers to 'chanels', but the domain has no",
        ),
        ("to: channels.channel_id", "to: traffic.traffic_id", "are circular: traffic, traffic"),
        (
            "to: channels.channel_id",
            "to: channels.id",
            "'channel_id' is integer and refers to channels.id, and messaging.channels has no such column",
        ),
        (
            "to: channels.channel_id",
            "to: channels.channel_name",
            "'channel_id' is integer and refers to channels.channel_name, which is text",
        ),
        (
            "value: merge}",
            "value: merge}\n      - {property: rowRules, value: [{name: x, expression: revenue_eur >}]}",
            "the contract of messaging.traffic .* cannot be compiled: ",
        ),
        (
            "merge}",
            "merge}\n      - {property: rowRules, value: [{name: x, expression: \"'a' ~ '['\"}]}",
            "the contract of messaging.traffic .* cannot be compiled: .*missing ]",
        ),
        (
            "synonyms: [{synonym: id}]",
            "synonyms: [{synonym: Customer-ID}]",
            "messaging.traffic: the header 'customer_id' names 'traffic_id' and 'customer_id': remove a synonym",
        ),
    ],
    ids=["dataset", "circle", "column", "type", "rule", "pattern", "header"],
)
def test_lint_finds_problems_that_would_fail_a_load(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    include = tmp_path / "include"
    shutil.copytree(PROJECT_ROOT / "include", include)
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    project_settings.cache_clear()
    path = include / "contracts/messaging/traffic.yaml"
    assert old in SOURCE
    path.write_text(SOURCE.replace(old, new))
    _, problems = lint(None)
    monkeypatch.undo()
    project_settings.cache_clear()
    assert len(problems) == 1
    assert re.search(message, problems[0])


@pytest.mark.parametrize("name", ["record", "is_valid", "raw_note", "cast_note", "known_note", "fields", "select"])
def test_a_column_may_have_any_name_that_is_not_reserved(name: str) -> None:
    columns = (
        Column(name, "", "string", "text", required=True, key_position=1),
        Column("note", "", "integer", "integer"),
    )
    contract = Contract("d", "t", "1", "", "", columns, "merge", 100, None, (), "", cadences=("day",))
    with closing(duckdb.connect()) as connection:
        fields = {f"_raw_{name}": ["one"], "_raw_note": ["2"]}
        connection.register("source", pa.table({"_record": [7], **fields}))
        query = compile_query(contract, Period.parse("day", "2026-11-02"), "source", lambda _: True, "UTC")
        [row] = connection.execute(query).to_arrow_table().to_pylist()
    assert (row["_record"], row[name], row["note"], row["_reasons"]) == (7, "one", 2, None)
