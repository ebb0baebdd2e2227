"""The page *Features*, and the JSON of the newest values of an entity."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from support.feature_views import DAY, ROWS, build_orders
from support.landing import Landing
from support.problems import landed, reader_of, writer_of
from support.views import Page, Someone, check_inert, client_of
from waybill.contracts.feature_views import FeatureView
from waybill.views.operations.features import Feature, FeatureState, feature_states
from waybill.views.operations.scope import Scope
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

__all__ = ["landed"]

NAME = "customer_orders:1"
SHOP = Scope(("shop",))


@pytest.fixture
def orders(landed: Landing) -> FeatureView:
    """A version with values of two days."""
    return build_orders(landed.connection)


@pytest.fixture
def client(stack: Stack, landed: Landing) -> TestClient:
    """A client that the server treats as a program."""
    found = client_of(reader_of(stack, landed), writer_of(stack, landed))
    found.headers["accept"] = "application/json"
    return found


def state(landed: Landing, now: datetime) -> FeatureState:
    return next(one for one in feature_states(landed.connection, SHOP, now) if one.view.name == NAME)


def feature(found: FeatureState, name: str) -> Feature:
    return next(one for one in found.features if one.column.name == name)


# The page


def test_state_of_a_version_and_its_features(landed: Landing, orders: FeatureView) -> None:
    end = datetime(2026, 4, 1, tzinfo=UTC)
    found = state(landed, end + timedelta(hours=29))
    assert (found.newest, found.event_ts, found.rows, found.late) == (DAY, end, ROWS, 0)
    assert (found.view.contract.owner, found.view.entity) == ("shop analytics", ("customer_id",))
    assert (found.ttl, found.latency) == ("3 days", "6 hours")
    assert state(landed, end + timedelta(hours=30)).late == 1  # the next day is known six hours after its end
    assert state(landed, end + timedelta(days=3, hours=5)).late == 2
    category, spend = feature(found, "preferred_category"), feature(found, "spend_90_days")
    assert (category.null_pct, category.index, category.drift) == (25, 0, "stable")
    assert (spend.null_pct, spend.unit) == (0, "€")
    assert spend.index is not None
    assert 0 < spend.index < 0.1
    assert feature(found, "days_since_order").unit == "days"
    assert feature(found, "return_share_90_days_pct").unit == "%"
    assert feature(found, "return_share_90_days_pct").null_pct == 100
    assert [one.threshold for one in found.features] == [0.25] * len(orders.features)

    for index, drift in [("0.1", "stable"), ("0.11", "changed"), ("0.25", "changed"), ("0.26", "drifted")]:
        landed.connection.execute("update waybill.feature_drift set stability_index = %s", (index,))
        assert feature(state(landed, end), "spend_7_days").drift == drift
    landed.connection.execute("delete from waybill.feature_drift")
    assert feature(state(landed, end), "spend_7_days").drift is None


def test_page_names_every_version_and_feature(landed: Landing, orders: FeatureView, client: TestClient) -> None:
    client.headers["accept"] = "text/html"
    landed.connection.execute(
        "update waybill.feature_drift set stability_index = 0.7 where column_name = 'spend_90_days'"
    )
    landed.connection.execute(
        """
        update waybill.check_result
        set passed = false, observed = 0.7
        where check_name = 'customer_orders_v1_spend_90_days_drift'
        """
    )
    for number in range(7):
        landed.connection.execute(
            """
            insert into waybill.training_set (
              name, views, is_as_of_now, location, row_count, labels_sha256, content_sha256, manifest, code_version,
              created_by
            )
            values (%s, %s, %s, 's3://lake/set.parquet', 1, '', '', '{}', 'test', 'ada')
            """,
            (f"churn {number} <b>", [orders.table], number == 6),
        )
    landed.connection.execute(
        """
        insert into waybill.training_set (
          name, views, is_as_of_now, location, row_count, labels_sha256, content_sha256, manifest, code_version,
          created_by, deleted_at, deleted_by
        )
        values ('gone', %s, false, 's3://lake/set.parquet', 1, '', '', '{}', 'test', 'ada', now(), 'ada')
        """,
        ([orders.table],),
    )
    landed.connection.execute(
        """
        insert into waybill.feature_version (
          feature_table, view, version, sql_sha256, contract_sha256, retired_at, retired_by
        )
        values ('shop_feature.gone_v1', 'gone', 1, '', '', '2026-03-01', 'ada')
        """
    )
    body = client.get("/operations/features.html?domain=shop").text
    page = Page(body)
    check_inert(page)
    text = " ".join(page.text.split())
    for name in ("customer_orders:1", "customer_sessions:1", "product_sales:1", "product_neighbours:1"):
        assert name in text
    assert "customer_revenue:1" not in text
    assert "Owner shop analytics Entity customer_id Newest values 2026-04-01 00:00 Rows 400" in text
    today = datetime.now(UTC).date()
    listed = " ".join(f"churn {number} <b>, {today}, as known" for number in (5, 4, 3, 2))
    assert f"Training sets churn 6 <b>, {today}, as of now {listed} and 2 others" in text
    assert "#customer_orders_v1" in page.links
    assert "gone:1, retired on 2026-03-01" in text
    assert "<b>" not in body
    assert "warning customer_orders_v1_spend_90_days_drift is 0.7, must be <= 0.25" in text
    assert "spend_90_days Spend in 90 days numeric(18,2) € 0.00 % 0.70 0.70 drifted" in text.replace("\xa0", " ")
    assert text.count("not built yet") == 2 * 3  # in the list of versions, too
    meters = [tag for tag, _ in page.tags if tag == "meter"]
    assert len(meters) == len(orders.features)
    assert "lineage.html?table=shop_feature.customer_orders_v1&column=orders_7_days&domain=shop" in page.links
    for link in [link for link in page.links if link.startswith("lineage.html?table")][:2]:
        assert client.get(f"/operations/{link}").status_code == 200, link
    assert "There is no feature view in this domain." in client.get("/operations/features.html?domain=orders").text
    assert "customer_revenue:1" in client.get("/operations/features.html").text
    assert client.get("/operations/features.html?domain=nobody").status_code == 404


def test_page_of_a_retired_version(landed: Landing, orders: FeatureView) -> None:
    landed.connection.execute(
        "update waybill.feature_version set retired_at = now(), retired_by = 'ada' where feature_table = %s",
        (orders.table,),
    )
    landed.connection.execute("drop table shop_feature.customer_orders_v1, shop_feature.customer_orders_v1_latest")
    found = feature_states(landed.connection, SHOP, datetime.now(UTC))
    assert found[-1].view.name == NAME
    assert (found[-1].retired_at is not None, found[-1].event_ts, found[-1].late) == (True, None, 0)


# The JSON


def test_newest_values_of_an_entity(landed: Landing, client: TestClient, orders: FeatureView) -> None:
    answer = client.get(f"/features/{NAME}?customer_id=7")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-store"
    content = answer.json()
    values = content.pop("features")
    assert content == {
        "view": NAME,
        "entity": {"customer_id": 7},
        "event_ts": "2026-04-01T00:00:00+00:00",
        "is_expired": True,
    }
    assert values == dict.fromkeys(column.name for column in orders.features)  # after the ttl, all are missing
    landed.connection.execute("update shop_feature.customer_orders_v1_latest set event_ts = now()")
    content = client.get(f"/features/{NAME}?customer_id=7&domain=shop").json()
    assert content["is_expired"] is False
    assert content["features"]["spend_90_days"] == "217.00"
    assert content["features"]["days_since_order"] == 7
    assert content["features"]["days_between_orders"] is None


ERRORS = [
    (f"{NAME}?customer_id=401", 404, "customer_orders:1 has no values of this entity"),
    ("customer_orders:9?customer_id=1", 404, "has no feature view 'customer_orders:9'"),
    (f"{NAME}?customer_id=1&domain=messaging", 404, "has no feature view"),
    (f"{NAME}?customer_id=1&domain=nobody", 404, "nobody"),
    ("customer_sessions:1?customer_id=1", 404, "not built yet"),
    (NAME, 422, "write ?customer_id=…"),
    (f"{NAME}?product_id=1", 422, "write ?customer_id=…"),
    (f"{NAME}?customer_id=1&customer_id=2", 422, "write ?customer_id=…"),
    (f"{NAME}?customer_id=1&product_id=2", 422, "write ?customer_id=…"),
    (f"{NAME}?customer_id=ada", 422, "not of this type"),
    (f"{NAME}?customer_id=99999999999", 422, "not of this type"),
    (f"{NAME}?customer_id=1%20or%201=1", 422, "not of this type"),
    (f"{NAME}?customer_id=%00", 422, "not of this type"),
]


def test_errors_say_what_is_wrong(client: TestClient, orders: FeatureView) -> None:
    for path, status, text in ERRORS:
        answer = client.get(f"/features/{path}")
        assert (path, answer.status_code) == (path, status)
        assert text in answer.json()["detail"], path
    assert orders.name == NAME


def test_restricted_features_are_left_out(
    client: TestClient, orders: FeatureView, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = tuple(
        replace(column, classification="restricted") if column.name == "spend_90_days" else column
        for column in orders.contract.columns
    )
    hidden = FeatureView.of(replace(orders.contract, columns=columns))
    monkeypatch.setattr("waybill.views.online_features.find_feature_view", lambda *_: hidden)
    values = client.get(f"/features/{NAME}?customer_id=7").json()["features"]
    assert values.keys() == {column.name for column in orders.features} - {"spend_90_days"}


def test_nobody_reads_features_without_permission(stack: Stack, landed: Landing, orders: FeatureView) -> None:
    stranger = client_of(reader_of(stack, landed), writer_of(stack, landed), Someone(may_look=False))
    stranger.headers["accept"] = "application/json"
    for path in (f"/features/{NAME}?customer_id=7", "/operations/features.html"):
        answer: Any = stranger.get(path)
        assert answer.status_code == 401
        assert orders.table not in answer.text
