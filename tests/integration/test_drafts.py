"""A drafted contract is valid, loads the very files it was drafted from, and says what is doubtful."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg import Connection

from support.draft_shapes import SHAPES
from support.drafts import Shape, counted, draft, drafted_contract, load_shape, loaded, total_of, written
from support.landing import total


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_drafted_contract_loads_its_file(
    shape: Shape, empty_connection: Connection, include_dir: Path, tmp_path: Path
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
