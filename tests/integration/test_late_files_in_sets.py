"""A late file changes what is known now. A training set as known keeps its bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.landing import LANDED_AT, csv_body
from support.messaging_months import RUN
from support.shop_landing import LAYOUTS, Shop
from waybill.derived.refresh import refresh
from waybill.derived.refresh_features import refresh_features
from waybill.features.stored_sets import store
from waybill.features.training_set import prepare
from waybill.warehouse.connection import connect

LABELS = """\
customer_id,ts,bought_again
2,2026-03-30T12:00:00Z,false
1,2026-03-30T12:00:00Z,true
1,2026-03-28T12:00:00Z,true
3,2026-03-30T12:00:00Z,false
"""


def sell(shop: Shop, day: str, sales: list[tuple[int, int, int]], name: str, landed_at: datetime) -> None:
    """Load a file of completed sales at noon, each a number, a customer and an amount."""
    lines = [
        f"{number},{customer},1,1,{value}.00,{value}.00,{day}T12:00:00Z,completed,card"
        for number, customer, value in sales
    ]
    shop.load("transactions", day, csv_body(LAYOUTS["transactions"].header, lines), name, landed_at)


@pytest.mark.usefixtures("warehouse_dsn")
def test_a_late_file_changes_only_the_set_as_of_now(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(LABELS)

    def make(name: str, *, as_of_now: bool = False) -> tuple[dict[str, Any], bytes]:
        wanted = prepare(tmp_path / "labels.csv", ["customer_orders:1"], as_of_now=as_of_now)
        stored = store(wanted, connect, "ann", name=name, target=tmp_path)
        kept = {key: value for key, value in stored.manifest.items() if key not in ("name", "file")}
        return kept, (tmp_path / f"{name}.parquet").read_bytes()

    with connect() as connection:
        shop = Shop(connection)
        sell(shop, "2026-03-28", [(1, 1, 10), (2, 2, 20)], "a.csv", LANDED_AT)
        sell(shop, "2026-03-29", [(3, 2, 5)], "a.csv", LANDED_AT)
        refresh(connection, "shop", "shop_star", RUN)
        refresh_features(connection, "shop", RUN)
        known, now = make("known"), make("now", as_of_now=True)
        assert now[1] == known[1]
        assert now[0]["leak"]["rows"] == 0

        sell(shop, "2026-03-28", [(4, 1, 99), (5, 3, 1)], "late.csv", datetime.now(UTC))
        refresh(connection, "shop", "shop_star", RUN)
        assert refresh_features(connection, "shop", RUN)
        again, later = make("again"), make("later", as_of_now=True)

    assert again == known
    assert later[0]["content_sha256"] != known[0]["content_sha256"]
    assert (later[0]["leak"]["rows"], later[0]["leak"]["first_rows"]) == (2, [2, 4])

    def spend(name: str) -> list[Any]:
        found = pq.read_table(tmp_path / f"{name}.parquet")["customer_orders__spend_7_days"].to_pylist()
        return [None if one is None else int(one) for one in found]

    assert spend("known") == [25, 10, None, None]
    assert spend("later") == [25, 109, None, 1]
