"""The statistics of files are those of pyiceberg, and no reader skips a row because of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.expressions import EqualTo
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from waybill.outputs.iceberg_statistics import statistics_of

Column = tuple[IcebergType, pa.DataType, st.SearchStrategy[Any]]
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001
COLUMNS: dict[str, Column] = {
    "boolean": (BooleanType(), pa.bool_(), st.booleans()),
    "int": (IntegerType(), pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "long": (LongType(), pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (FloatType(), pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "double": (DoubleType(), pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "decimal": (DecimalType(38, 2), pa.decimal128(38, 2), st.decimals(-(10**30), 10**30, places=2)),
    "short": (DecimalType(5, 3), pa.decimal128(5, 3), st.decimals(-99, 99, places=3)),
    "date": (DateType(), pa.date32(), st.dates()),
    "moment": (TimestampType(), pa.timestamp("us"), INSTANTS),
    "instant": (TimestamptzType(), pa.timestamp("us", "UTC"), INSTANTS.map(lambda one: one.replace(tzinfo=UTC))),
    "text": (StringType(), pa.string(), st.text(max_size=40)),
}
SCHEMA = Schema(
    *(NestedField(number, name, kind) for number, (name, (kind, *_)) in enumerate(COLUMNS.items(), start=1)),
    NestedField(50, "items", ListType(51, StringType(), element_required=False)),
)
ROWS = st.fixed_dictionaries(
    {name: st.none() | values for name, (*_, values) in COLUMNS.items()}
    | {"items": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3)}
)
ARROW = pa.schema([*((name, kind) for name, (_, kind, _) in COLUMNS.items()), ("items", pa.list_(pa.string()))])


def written(path: Path, groups: list[list[dict[str, Any]]], schema: pa.Schema = ARROW) -> Path:
    with pq.ParquetWriter(path, schema) as writer:
        for rows in groups:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return path


def entry(path: Path, schema: Schema) -> DataFile:
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path="a",
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=1,
        spec_id=0,
        **statistics_of(path, schema),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(groups=st.lists(st.lists(ROWS, min_size=1, max_size=6), min_size=1, max_size=3))
def test_statistics_are_those_of_pyiceberg_and_find_every_value(
    groups: list[list[dict[str, Any]]], tmp_path: Path
) -> None:
    path = written(tmp_path / "a.parquet", groups)
    found = statistics_of(path, SCHEMA)
    for row in (row for rows in groups for row in rows):
        for name in COLUMNS:
            if row[name] is not None:
                evaluator = _InclusiveMetricsEvaluator(SCHEMA, EqualTo(name, literal_of(row[name])))  # type: ignore[call-arg,arg-type,misc]
                assert evaluator.eval(entry(path, SCHEMA)), (name, row[name])
    try:
        expected = data_file_statistics_from_parquet_metadata(
            pq.read_metadata(path), compute_statistics_plan(SCHEMA, {}), parquet_path_to_id_mapping(SCHEMA)
        ).to_serialized_dict()
    except UnicodeEncodeError:  # the bound of a text ends with half a character
        return
    for name in ("record_count", "column_sizes", "value_counts", "null_value_counts", "split_offsets"):
        assert found[name] == expected[name], name
    for name in ("lower_bounds", "upper_bounds"):
        expected[name].pop(51, None)  # no reader uses bounds of elements
        assert found[name] == expected[name], name


def literal_of(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("short", "short"),
        ("x" * 16, "x" * 16),
        ("x" * 17, "x" * 15 + "y"),
        ("x" * 15 + "\ud7ff" + "y", "x" * 15 + "\ue000"),
        ("x" * 15 + "\U0010ffff" + "y", "x" * 14 + "y"),
        ("\U0010ffff" * 17, None),
    ],
)
def test_an_upper_bound_is_short_and_not_less_than_the_text(text: str, bound: str | None, tmp_path: Path) -> None:
    schema, arrow = Schema(NestedField(1, "text", StringType())), pa.schema([("text", pa.string())])
    found = statistics_of(written(tmp_path / "a.parquet", [[{"text": text}]], arrow), schema)
    assert found["upper_bounds"] == ({} if bound is None else {1: bound.encode()})
    assert bound is None or bound >= text


def test_a_column_with_a_text_too_long_for_statistics_has_no_bounds(tmp_path: Path) -> None:
    """The writer leaves such a text out of the statistics of its row group. Bounds of the other group would hide it."""
    schema, arrow = Schema(NestedField(1, "text", StringType())), pa.schema([("text", pa.string())])
    path = written(tmp_path / "a.parquet", [[{"text": "a"}], [{"text": "z" * 10_000}], [{"text": None}]], arrow)
    found = statistics_of(path, schema)
    assert (found["lower_bounds"], found["upper_bounds"]) == ({}, {})
    assert (found["value_counts"], found["null_value_counts"]) == ({1: 3}, {1: 1})


def test_decimals_of_another_size_keep_their_sign(tmp_path: Path) -> None:
    schema, arrow = Schema(NestedField(1, "n", DecimalType(9, 2))), pa.schema([("n", pa.decimal128(9, 2))])
    path = written(tmp_path / "a.parquet", [[{"n": Decimal("-1.50")}], [{"n": Decimal("300.00")}]], arrow)
    found = statistics_of(path, schema)
    assert int.from_bytes(found["lower_bounds"][1], "big", signed=True) == -150
    assert int.from_bytes(found["upper_bounds"][1], "big", signed=True) == 30_000


def test_statistics_do_not_import_pandas(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", [[dict.fromkeys(ARROW.names) | {"date": date(2026, 3, 1), "text": "a"}]])
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pyiceberg.schema import Schema\n"
        "from waybill.outputs.iceberg_statistics import statistics_of\n"
        f"schema = Schema.model_validate_json('''{SCHEMA.model_dump_json()}''')\n"
        f"assert statistics_of(Path({str(tmp_path / 'a.parquet')!r}), schema)['lower_bounds']\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
