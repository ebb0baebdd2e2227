"""Connections to the warehouse: a query for one row returns it or raises an error that names the query."""

from __future__ import annotations

import pytest
from psycopg import Connection

from waybill.warehouse.connection import RowCountError, one_row


def test_one_row_is_returned(empty_connection: Connection) -> None:
    assert one_row(empty_connection, "select 1 + %s, null", (2,)) == (3, None)


@pytest.mark.parametrize("rows", [0, 2])
def test_another_number_of_rows_raises_with_the_query_and_without_its_parameters(
    rows: int, empty_connection: Connection
) -> None:
    with pytest.raises(RowCountError) as caught:
        one_row(empty_connection, "select 'one'\n  from generate_series(1, %s)", (rows,))
    assert str(caught.value) == f"expected one row and got {rows} from: select 'one' from generate_series(1, %s)"
