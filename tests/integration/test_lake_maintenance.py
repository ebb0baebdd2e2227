"""Maintenance of the lake compacts, expires and removes what nothing needs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from psycopg import Connection
from pyiceberg.table.snapshots import Snapshot
from typer.testing import CliRunner

from support import shop_tables
from support.lake import RUN, Lake
from support.messaging_months import migrate
from support.shop_tables import REVIEWS, insert
from waybill.cli import app
from waybill.contracts import Contract, load_domain
from waybill.contracts.retention import Retention
from waybill.lakehouse.tables import ensure_tables
from waybill.outputs import lake_maintenance
from waybill.outputs.lake import write_changed_days
from waybill.outputs.lake_maintenance import RemovalError, described, maintain
from waybill.settings import settings
from waybill.warehouse.connection import connect

CONTRACT = load_domain("shop")["reviews"]
DAY, OTHER = date(2026, 3, 1), date(2026, 3, 5)


@pytest.fixture
def shop(warehouse_dsn: str, lake: Lake) -> Iterator[Connection]:
    """A warehouse with the shop's base tables and the operations schema."""
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        shop_tables.create(connection)
        yield connection


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def run(shop: Connection, lake: Lake, now: datetime, **options: Any) -> dict[str, list[str]]:
    """Maintain the table; returns the details of each action."""
    found = maintain(shop, lake.s3, lake.catalog, [CONTRACT], RUN, now=now, **options)
    return {one.action: one.details for one in found}


def rows(lake: Lake, snapshot: int | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.table(CONTRACT).scan(snapshot_id=snapshot).to_arrow().to_pylist()
    return sorted(found, key=lambda row: row["review_id"])


def append(lake: Lake, day: date, first: int) -> None:
    """Append a row to a day, as another engine does."""
    table = lake.table(CONTRACT)
    schema = table.schema().as_arrow()
    row = {"review_id": first, "product_id": 1, "customer_id": 1, "rating": 1, "review_date": day, "lake_day": day}
    table.append(pa.Table.from_pylist([row], schema=schema))


def test_a_lake_that_needs_nothing_is_left_alone(shop: Connection, lake: Lake) -> None:
    assert run(shop, lake, later(0)) == {}, "there is no table yet"
    lake.write(shop, CONTRACT, [DAY])
    before = lake.objects(), lake.snapshots(CONTRACT)
    assert run(shop, lake, later(400)) == {}
    assert (lake.objects(), lake.snapshots(CONTRACT)) == before
    assert shop.execute("select from waybill.lake_maintenance").fetchall() == []


def test_the_files_of_a_day_become_one(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    for number in (900, 901):
        append(lake, DAY, number)
    append(lake, OTHER, 902)
    before = rows(lake)
    assert len(lake.files(CONTRACT)) == 4
    assert run(shop, lake, later(0), dry_run=True) == {"compact": [str(DAY)]}
    assert len(lake.files(CONTRACT)) == 4
    assert run(shop, lake, later(0)) == {"compact": [str(DAY)]}
    assert len(lake.files(CONTRACT)) == 2
    assert rows(lake) == before
    assert run(shop, lake, later(0)) == {}


def test_old_snapshots_expire_and_their_files_go(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    shop.execute("update shop.reviews set rating = 1")
    lake.write(shop, CONTRACT, [DAY])
    first, last = lake.snapshots(CONTRACT)
    assert len(lake.objects()) == 2
    assert run(shop, lake, later(29)) == {}
    assert run(shop, lake, later(31), dry_run=True) == {"expire": [str(first)]}
    assert lake.snapshots(CONTRACT) == [first, last]
    found = run(shop, lake, later(31))
    assert found["expire"] == [str(first)]
    assert lake.snapshots(CONTRACT) == [last]
    assert lake.objects() == lake.files(CONTRACT)
    assert [one for one in found["remove"] if one.endswith(".parquet")]
    assert [row["rating"] for row in rows(lake)] == [1] * len(REVIEWS)
    query = "select action, objects, bytes > 0, run_id from waybill.lake_maintenance order by maintenance_id"
    assert shop.execute(query).fetchall() == [
        ("expire", 1, False, RUN.run_id),
        ("remove", len(found["remove"]), True, RUN.run_id),
    ]
    assert run(shop, lake, later(31)) == {}


def refer(shop: Connection, snapshot: int) -> None:
    shop.execute(
        "insert into waybill.published_snapshot (report, cadence, period, content_sha256, table_name, snapshot_id) "
        "values ('shop_report.daily_kpis', 'day', %s, 'a', 'shop.reviews', %s)",
        (DAY, snapshot),
    )


def test_a_snapshot_of_a_published_report_stays_readable(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    before = rows(lake)
    for rating in (1, 2):
        shop.execute("update shop.reviews set rating = %s", (rating,))
        lake.write(shop, CONTRACT, [DAY])
    first, second, last = lake.snapshots(CONTRACT)
    refer(shop, first)
    assert run(shop, lake, later(31), dry_run=True) == {"tag": [f"published-{first}"], "expire": [str(second)]}
    found = run(shop, lake, later(31))
    assert (found["tag"], found["expire"]) == ([f"published-{first}"], [str(second)])
    assert lake.snapshots(CONTRACT) == [first, last]
    assert rows(lake, first) == before
    assert len(lake.objects()) == 2
    found = run(shop, lake, later(401))
    assert (found["untag"], found["expire"]) == ([f"published-{first}"], [str(first)])
    assert lake.objects() == lake.files(CONTRACT)


def test_only_old_files_of_the_table_are_removed(shop: Connection, lake: Lake) -> None:
    """A file of a dead run is an orphan after three days. Files of others are not the table's."""
    lake.write(shop, CONTRACT, [DAY])
    folder = "processed/shop/reviews/dt=2026-03-01"
    orphan = f"{folder}/reviews-dead.parquet"
    foreign = [f"{folder}/_SUCCESS", "processed/shop/reviews/notes.parquet", "processed/shop/reviews/dt=soon/a.parquet"]
    for key in (orphan, *foreign, "processed/shop/reviews_old/dt=2026-03-01/a.parquet"):
        lake.s3.put_object(Bucket=lake.bucket, Key=key, Body=b"x")
    before = lake.objects()
    assert run(shop, lake, later(2.9)) == {}
    assert run(shop, lake, later(3.1), dry_run=True) == {"remove": [f"s3://{lake.bucket}/{orphan}"]}
    assert lake.objects() == before
    assert run(shop, lake, later(3.1)) == {"remove": [f"s3://{lake.bucket}/{orphan}"]}
    assert lake.objects() == [key for key in before if key != orphan]


def test_a_file_that_was_not_removed_is_an_error(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    lake.s3.put_object(Bucket=lake.bucket, Key="processed/shop/reviews/dt=2026-03-01/a.parquet", Body=b"x")

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(lake.s3, name)

        def delete_objects(self, **_: Any) -> dict[str, Any]:
            return {"Errors": [{"Key": "a.parquet", "Message": "Access Denied"}]}

    with pytest.raises(RemovalError, match=r"1 files of shop\.reviews were not removed, .* a\.parquet: Access Denied"):
        maintain(shop, Refusing(), lake.catalog, [CONTRACT], RUN, now=later(4))  # type: ignore[arg-type]


def test_a_day_that_differs_from_the_books_is_written_again(shop: Connection, lake: Lake) -> None:
    shop.execute("insert into waybill.table_day (table_name, day, changes) values ('shop.reviews', %s, 1)", (DAY,))

    def write() -> dict[date, int]:
        return write_changed_days(shop, lake.s3, lake.catalog, [CONTRACT], RUN)["shop.reviews"]

    assert write() == {DAY: len(REVIEWS)}
    before = rows(lake)
    lake.table(CONTRACT).delete("lake_day = '2026-03-01'")
    assert write() == {}
    assert run(shop, lake, later(0), dry_run=True) == {"rewrite": [str(DAY)]}
    assert write() == {}
    assert run(shop, lake, later(0)) == {"rewrite": [str(DAY)]}
    assert write() == {DAY: len(REVIEWS)}
    assert rows(lake) == before


def test_the_commands_list_files_and_maintain(shop: Connection, lake: Lake) -> None:
    insert(shop, "reviews", [(900, 1, 1, 1, None, OTHER)])
    lake.write(shop, CONTRACT, [DAY, OTHER])
    (first,) = lake.snapshots(CONTRACT)
    addresses = [f"s3://{lake.bucket}/{key}" for key in lake.files(CONTRACT)]
    shop.execute("update shop.reviews set rating = 1")
    lake.write(shop, CONTRACT, [DAY])
    settings.cache_clear()

    def command(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["lake", *arguments], env={"COLUMNS": "400"})
        assert result.exit_code == code, result.output
        return result.output

    listed = command("files", "shop.reviews").splitlines()
    assert [one.rpartition("/")[0] for one in listed] == [one.rpartition("/")[0] for one in addresses]
    assert listed[1] == addresses[1]
    assert command("files", "shop.reviews", "2026-03-05").splitlines() == addresses[1:]
    assert command("files", "shop.reviews", "--snapshot", str(first)).splitlines() == addresses
    assert "no snapshot 7: it has expired" in command("files", "shop.reviews", "--snapshot", "7", code=1)
    assert "did you mean `shop.reviews`?" in command("files", "shop.review", code=1)
    assert "no table of shop.products yet" in command("files", "shop.products", code=1)
    assert command("maintain", "--dry-run").splitlines() == ["0 actions would be taken."]
    append(lake, DAY, 900)
    assert command("maintain", "shop.reviews", "--dry-run").splitlines()[1:] == [
        "  2026-03-01",
        "1 action would be taken.",
    ]
    assert command("maintain").splitlines()[-1] == "1 action."


def test_an_action_reads_as_a_line(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    append(lake, DAY, 900)
    (action,) = maintain(shop, lake.s3, lake.catalog, [CONTRACT], RUN, dry_run=True)
    assert described(action) == f"shop.reviews: replace the files of 1 day by one each ({action.bytes:,} bytes)"


def test_days_before_the_retention_are_dropped_and_not_written_again(
    shop: Connection, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    today = datetime.now(UTC).date()
    old, last, first = (today - timedelta(days=number) for number in (90, 40, 20))
    days = (old, last, first)
    shop.execute("truncate shop.reviews")
    insert(shop, "reviews", [(number, 1, 1, 1, None, day) for number, day in enumerate(days)])
    for day in days:
        shop.execute("insert into waybill.table_day (table_name, day, changes) values ('shop.reviews', %s, 1)", (day,))

    def write(contract: Contract) -> list[date]:
        return [*write_changed_days(shop, lake.s3, lake.catalog, [contract], RUN)["shop.reviews"]]

    caplog.set_level("INFO")
    assert write(CONTRACT) == [*days]
    kept = replace(CONTRACT, retention=Retention(30, "d"))

    def drop(*, dry_run: bool = False) -> list[tuple[str, list[str]]]:
        found = maintain(shop, lake.s3, lake.catalog, [kept], RUN, dry_run=dry_run)
        return [(one.action, one.details) for one in found]

    before = shop.execute("select * from shop.reviews order by 1").fetchall()
    assert drop(dry_run=True) == [("drop", [str(old), str(last)])]
    assert len(rows(lake)) == 3
    assert drop() == [("drop", [str(old), str(last)])]
    assert [row["review_date"] for row in rows(lake)] == [first]
    assert drop() == []
    assert write(kept) == []
    assert "shop.reviews: 2 changed days before " in caplog.text
    shop.execute("update waybill.table_day set changes = changes + 1")  # a backfill of all days
    assert write(kept) == [first]
    assert shop.execute("select * from shop.reviews order by 1").fetchall() == before
    recorded = "select day, row_count from waybill.lake_commit where row_count = 0 order by 1"
    assert shop.execute(recorded).fetchall() == [(old, 0), (last, 0)]
    assert shop.execute("select action, objects, details from waybill.lake_maintenance").fetchall() == [
        ("drop", 2, [str(old), str(last)])
    ]
    earlier = lake.snapshots(CONTRACT)[0]
    assert len(rows(lake, earlier)) == 3, "an earlier snapshot keeps the rows"
    assert write(CONTRACT) == [old, last], "without a retention, all days come back"
    assert len(rows(lake)) == 3


def test_one_run_drops_a_bounded_number_of_days(shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_maintenance, "DROPPED_DAYS", 3)
    monkeypatch.setattr(lake_maintenance, "COMMIT_DAYS", 2)
    days = [DAY + timedelta(days=number) for number in range(5)]
    shop.execute("truncate shop.reviews")
    insert(shop, "reviews", [(number, 1, 1, 1, None, day) for number, day in enumerate(days)])
    lake.write(shop, CONTRACT, days)
    kept = replace(CONTRACT, retention=Retention(1, "d"))

    def drop() -> list[list[str]]:
        found = maintain(shop, lake.s3, lake.catalog, [kept], RUN, now=datetime(2027, 1, 1, tzinfo=UTC))
        return [one.details for one in found if one.action == "drop"]

    snapshots = len(lake.snapshots(CONTRACT))
    assert drop() == [[str(day) for day in days[:3]]]
    assert len(lake.snapshots(CONTRACT)) <= snapshots + 2
    assert drop() == [[str(day) for day in days[3:]]]
    assert rows(lake) == []
    assert drop() == []


def test_tables_of_a_dataset_on_spark_are_maintained_without_the_books(
    shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their partitions have several files, and their days are not those of the warehouse."""
    monkeypatch.setattr(lake_maintenance, "is_on_spark", lambda _: True)
    kept = replace(CONTRACT, retention=Retention(30, "d"))
    names = ensure_tables(lake.catalog, kept)
    for name in names:
        table = lake.catalog.load_table(name)
        for day in (DAY, DAY, OTHER):
            row = {"_file": "a.csv", "_record": 1, "_delivered": day}
            table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))

    def maintained(now: datetime) -> list[tuple[str, str, list[str]]]:
        found = maintain(shop, lake.s3, lake.catalog, [kept], RUN, now=now)
        return [(one.table, one.action, one.details) for one in found]

    days = datetime(2026, 3, 10, tzinfo=UTC)
    assert maintained(days) == []
    gone = [str(DAY)]
    assert maintained(days + timedelta(days=23)) == [
        ("shop.reviews", "drop", gone),
        ("shop.reviews_quarantine", "drop", gone),
    ]
    for name in names:
        assert lake.catalog.load_table(name).scan().to_arrow()["_delivered"].to_pylist() == [OTHER]


def test_a_snapshot_on_spark_expires_by_the_age_of_its_successor(
    shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry may need the rows before the commits of a dead try, however old they are."""
    monkeypatch.setattr(lake_maintenance, "is_on_spark", lambda _: True)
    name, _ = ensure_tables(lake.catalog, CONTRACT)
    table = lake.catalog.load_table(name)
    for _ in range(3):
        row = {"_object": "a.csv", "_record": 1, "_delivered": DAY}
        table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
    first, second, last = sorted(table.refresh().metadata.snapshots, key=lambda one: one.timestamp_ms)
    assert first.timestamp_ms < second.timestamp_ms < last.timestamp_ms

    def expired(young: Snapshot) -> list[str]:
        """Maintain the table when a snapshot is as old as one may be."""
        now = datetime.fromtimestamp(young.timestamp_ms / 1000, UTC) + timedelta(days=30)
        found = maintain(shop, lake.s3, lake.catalog, [CONTRACT], RUN, now=now)
        return [detail for one in found if one.action == "expire" for detail in one.details]

    assert expired(second) == []
    assert expired(last) == [str(first.snapshot_id)]
