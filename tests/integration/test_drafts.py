"""A drafted contract is valid, loads the very files it was drafted from, and says what is doubtful."""

from __future__ import annotations

import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg import Connection

from support.draft_shapes import SHAPES
from support.drafts import (
    DATASET,
    DOMAIN,
    Shape,
    counted,
    draft,
    drafted_contract,
    load_shape,
    loaded,
    total_of,
    written,
)
from support.landing import total
from waybill.drafts.draft import draft_contract
from waybill.drafts.files import given_files
from waybill.errors import DataError
from waybill_devtools.stack import Stack


@pytest.fixture
def one_domain(include_dir: Path) -> Path:
    """Leave only one domain, so that the linter reads few contracts."""
    for kind in ("contracts", "sql"):
        for folder in (include_dir / kind).iterdir():
            if not folder.name.startswith(DOMAIN):
                shutil.rmtree(folder)
    for manifest in (include_dir / "domains").iterdir():
        if manifest.stem != DOMAIN:
            manifest.unlink()
    return include_dir


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_drafted_contract_loads_its_file(
    shape: Shape, empty_connection: Connection, one_domain: Path, tmp_path: Path
) -> None:
    table = draft(tmp_path, written(shape, tmp_path))
    contract = drafted_contract()
    rows = len(next(iter(shape.values.values())))
    expected = {column.name: column.physical_type for column in contract.columns if column.name in shape.types}
    assert expected == dict(shape.types)
    assert shape.key in (None, tuple(contract.key))
    unwrapped = re.sub(r"\s*\n\s*# ", " ", table.text)
    for text in shape.texts:
        assert text in unwrapped
    books = load_shape(empty_connection, shape, contract)
    assert books.rows_in == total(books) == (rows if shape.rows_in is None else shape.rows_in)
    assert books.inserted == rows
    assert books.rejected == sum(file.rejected for file in table.files)
    delivered = {column.name for column in contract.delivered_columns}
    assert delivered == set(shape.values)
    for name, values in shape.values.items():
        found = loaded(empty_connection, name)
        assert counted(found) == counted(values), name
        if any(isinstance(value, Decimal) for value in values):
            assert total_of(found) == total_of(values)


def test_a_contract_is_drafted_from_objects_in_s3(
    landing_bucket: str, stack: Stack, stack_environment: dict[str, str], include_dir: Path, tmp_path: Path
) -> None:
    shape = next(one for one in SHAPES if one.name == "packed.csv.gz")
    stack.s3().put_object(Bucket=landing_bucket, Key="anywhere/packed.csv.gz", Body=shape.body)
    table = draft_contract(given_files([f"s3://{landing_bucket}/anywhere/packed.csv.gz"]), DOMAIN, DATASET, tmp_path)
    local = draft_contract(given_files([str(written(shape, tmp_path))]), DOMAIN, DATASET, tmp_path)
    assert table.text == local.text
    with pytest.raises(DataError, match=r"s3://\S+/anywhere/none.csv: S3 has no such object"):
        given_files([f"s3://{landing_bucket}/anywhere/none.csv"])
