"""The point-in-time join against its definition in plain Python, on logs with late corrections and removals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.feature_logs import Entry, column, create, fill, value_at, write_view
from waybill.contracts.feature_views import FeatureView
from waybill.errors import DataError
from waybill.features.point_in_time import Join, array_text, look_up

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAYERS, PRODUCTS = (1, 2), ("a", 'x"{},\\', "", "NULL")


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("include")


def views(include: Path) -> tuple[FeatureView, ...]:
    payer, product = column("payer_id", "bigint", 2), column("product", "text", 2)
    return (
        write_view(include, "plain_v1", [payer], [column("amount", "numeric(12,2)"), column("tags", "text[]")]),
        write_view(include, "short_v2", [payer], [column("is_new", "boolean")], 2 * HOUR),
        write_view(include, "pair_v1", [payer, column("product", "text", 3)], [column("note", "text")], 3 * HOUR),
        write_view(include, "item_v1", [product], [column("units", "bigint")]),
    )


VALUES = {
    "plain_v1": st.tuples(
        st.none() | st.decimals(-99, 99, places=2),
        st.none() | st.lists(st.sampled_from(["", "a,b", '"', "ü\n"]), max_size=2),
    ),
    "short_v2": st.tuples(st.none() | st.booleans()),
    "pair_v1": st.tuples(st.none() | st.sampled_from(["", "NULL", 'a"b', "x,\ny"])),
    "item_v1": st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1)),
}
ENTITIES: dict[str, Any] = {
    "plain_v1": st.tuples(st.sampled_from(PAYERS)),
    "short_v2": st.tuples(st.sampled_from(PAYERS)),
    "pair_v1": st.tuples(st.sampled_from(PAYERS), st.sampled_from(PRODUCTS)),
    "item_v1": st.tuples(st.sampled_from(PRODUCTS)),
}


def instants(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Hours around noon, of which ties are frequent, and a microsecond before and after them."""
    return st.builds(
        lambda hour, micro: NOON + hour * HOUR + timedelta(microseconds=micro),
        st.integers(first, last),
        st.sampled_from([0, 0, 0, -1, 1]),
    )


def log_of(name: str) -> st.SearchStrategy[list[Entry]]:
    entries = st.builds(
        Entry, ENTITIES[name], instants(0, 4), instants(0, 8), VALUES[name], st.sampled_from([False, False, True])
    )
    return st.lists(entries, max_size=14, unique_by=lambda one: (one.entity, one.event_ts, one.known_ts))


LABELS = st.lists(
    st.tuples(
        st.none() | st.sampled_from([*PAYERS, 3]), st.none() | st.sampled_from([*PRODUCTS, "b"]), instants(-1, 9)
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture
def tables(warehouse: psycopg.Connection, include: Path) -> tuple[psycopg.Connection, tuple[FeatureView, ...]]:
    found = views(include)
    for view in found:
        create(warehouse, view)
    warehouse.commit()
    return warehouse, found


def joined(
    connection: psycopg.Connection, join: Join, labels: list[tuple[int | None, str | None, datetime]]
) -> list[dict[str, Any]]:
    payers, products, instants = (
        pa.array(values, pa.string())
        for values in (
            [None if payer is None else str(payer) for payer, _, _ in labels],
            [product for _, product, _ in labels],
            [at.isoformat() for *_, at in labels],
        )
    )
    found = look_up(connection, join, [array_text(payers), array_text(products)], array_text(instants))
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def entities_of(found: tuple[FeatureView, ...]) -> tuple[Any, ...]:
    columns = {one.name: one for view in found for one in view.contract.columns if one.name in view.entity}
    return columns["payer_id"], columns["product"]


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs=st.fixed_dictionaries({name: log_of(name) for name in VALUES}), labels=LABELS)
@example(  # exactly as old as the ttl allows, and a microsecond older
    logs={
        "plain_v1": [],
        "pair_v1": [],
        "item_v1": [],
        "short_v2": [Entry((1,), NOON, NOON, (True,))],
    },
    labels=[(1, None, NOON + 2 * HOUR), (1, None, NOON + 2 * HOUR + timedelta(microseconds=1))],
)
def test_values_are_those_of_the_definition(
    tables: tuple[psycopg.Connection, tuple[FeatureView, ...]],
    logs: dict[str, list[Entry]],
    labels: list[tuple[int | None, str | None, datetime]],
) -> None:
    connection, found = tables
    with connection.transaction(force_rollback=True):
        for view in found:
            fill(connection, view, logs[view.contract.name])
        results = {
            as_of_now: joined(connection, Join(found, entities_of(found), as_of_now), labels)
            for as_of_now in (False, True)
        }
    for as_of_now, rows in results.items():
        assert len(rows) == len(labels)
        for (payer, product, at), row in zip(labels, rows, strict=True):
            given_values: dict[str, Any] = {"payer_id": payer, "product": product}
            leaks = False
            for place, view in enumerate(found):
                entity = tuple(given_values[name] for name in view.entity)
                entries = logs[view.contract.name]
                known = value_at(entries, entity, at, view.ttl, at)
                wanted = value_at(entries, entity, at, view.ttl, NEVER) if as_of_now else known
                values, as_known = (list(one.values if one else [None] * len(view.features)) for one in (wanted, known))
                leaks |= values != as_known
                assert [row[f"{view.view}__{one.name}"] for one in view.features] == values
                assert row[f"found {place}"] == (wanted is not None)
            assert row["leaks"] == leaks


def test_two_versions_of_a_view_have_columns_of_their_own(include: Path) -> None:
    payer = column("payer_id", "bigint", 2)
    versions = tuple(write_view(include, f"spend_v{one}", [payer], [column("amount", "bigint")]) for one in (1, 2))
    assert [name for *_, name in Join(versions, (), False).features()] == ["spend_v1__amount", "spend_v2__amount"]
    assert [name for *_, name in Join(versions[:1], (), False).features()] == ["spend__amount"]


def test_a_value_of_another_type_is_refused(tables: tuple[psycopg.Connection, tuple[FeatureView, ...]]) -> None:
    connection, found = tables
    with pytest.raises(DataError, match="the point-in-time join failed: invalid input syntax for type bigint"):
        look_up(connection, Join(found, entities_of(found), False), ['{"x"}', '{"a"}'], f'{{"{NOON.isoformat()}"}}')
