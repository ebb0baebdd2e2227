"""The Spark job loads files into the tables of the lake, with books that balance."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from support.lake import Lake
from support.spark_job import Shelf, SparkProcess, lines, run_job
from waybill.contracts import load_domain
from waybill.lakehouse.exchange import IntakeResult, address_of_rejects

DAY = date(2026, 3, 2)
LANDED_AT = datetime(2026, 3, 3, 3, tzinfo=UTC)
HEADER = "event_id,session_id,customer_id,event_type,page,product_id,timestamp,device"


def event(number: int, day: date = DAY, *, page: str = "/", kind: str = "page_view") -> str:
    one = f"00000000-0000-0000-0000-{number:012d}"
    return f"{one},{one},7,{kind},{page},,{day}T10:00:00Z,mobile"


def test_the_job_loads_a_day(lake: Lake, tmp_path: Path) -> None:
    shelf = Shelf(lake, {"clickstream": load_domain("shop")["clickstream"]})
    rows = [*(event(number) for number in range(40)), event(1), event(2, page="/other"), event(41, kind="click")]
    file = shelf.put("a.csv", lines(HEADER, rows), LANDED_AT, period=DAY)
    result = run_job(shelf, shelf.request([("clickstream", DAY, [file])]), tmp_path)
    assert isinstance(result, IntakeResult)
    (loaded,) = result.files
    assert (loaded.status, loaded.error) == ("loaded", None)
    assert {name: count for name, count in loaded.books.items() if count} == {
        "rows_in": 43, "inserted": 40, "rejected": 2, "duplicate": 1
    }  # fmt: skip
    assert loaded.changed_days == (DAY,)
    assert loaded.newest == datetime(2026, 3, 2, 10, tzinfo=UTC)
    table, quarantine = shelf.tables["clickstream"]
    found = lake.catalog.load_table(table)
    assert found.scan().to_arrow().num_rows == 40
    assert found.current_snapshot().snapshot_id == result.snapshots[table]  # type: ignore[union-attr]
    assert f"processed/shop/clickstream/dt={DAY}/" in next(iter(found.scan().plan_files())).file.file_path
    rejected = {
        row["_record"]: row["reasons"] for row in lake.catalog.load_table(quarantine).scan().to_arrow().to_pylist()
    }
    assert rejected == {42: ["conflict"], 43: ["enum:event_type"]}
    assert result.rejected_rows
    prefix = result.rejected_rows.removeprefix(f"s3://{lake.bucket}/")
    (key,) = (key for key in lake.objects() if key.startswith(prefix))
    assert f"s3://{lake.bucket}/{key}" == address_of_rejects(result.rejected_rows, "clickstream", DAY, file.key)
    for_postgres = pq.read_table(io.BytesIO(lake.s3.get_object(Bucket=lake.bucket, Key=key)["Body"].read())).to_pylist()
    assert {row["record"]: row["reasons"] for row in for_postgres} == rejected
    assert {(row["dataset"], row["period"], row["key"]) for row in for_postgres} == {("clickstream", DAY, file.key)}


def test_files_that_are_not_loaded_change_nothing(lake: Lake, spark: SparkProcess) -> None:
    """An object that changed after it was listed, and a rejected file over a loaded one, beside a good file."""
    shelf = Shelf(lake, {"clickstream": load_domain("shop")["clickstream"]})
    older = shelf.put("a.csv", lines(HEADER, [event(1), event(2)]), LANDED_AT, period=DAY)
    spark.load(shelf, shelf.request([("clickstream", DAY, [older])], "first"))
    rejected = shelf.put("a.csv", lines(HEADER, ["x"]), LANDED_AT, period=DAY, replaces=older.etag)
    listed = shelf.put("b.csv", lines(HEADER, [event(3)]), LANDED_AT, period=DAY)
    shelf.put("b.csv", lines(HEADER, [event(4), event(5)]), LANDED_AT, period=DAY)
    good = shelf.put("c.csv", lines(HEADER, [event(2), event(6, DAY - timedelta(days=1))]), LANDED_AT, period=DAY)
    result = spark.load(shelf, shelf.request([("clickstream", DAY, [rejected, listed, good])], "second"))
    assert [(file.key[-5:], file.status) for file in result.files] == [
        ("a.csv", "rejected"), ("b.csv", "changed"), ("c.csv", "loaded")
    ]  # fmt: skip
    assert "1 of 1 rows do not meet the contract" in (result.files[0].error or "")
    assert result.files[0].broken == {"ragged": 1}
    assert "the object changed after it was listed" in (result.files[1].error or "")
    assert {name: count for name, count in result.files[2].books.items() if count} == {
        "rows_in": 2, "inserted": 1, "unchanged": 1
    }  # fmt: skip
    assert result.files[2].changed_days == (DAY - timedelta(days=1),)
    rows = lake.catalog.load_table(shelf.tables["clickstream"][0]).scan().to_arrow().to_pylist()
    found = sorted((row["_object"][-5:], row["_etag"], int(row["event_id"][-2:])) for row in rows)
    assert found == [
        ("a.csv", older.etag, 1), ("a.csv", older.etag, 2), ("c.csv", good.etag, 2), ("c.csv", good.etag, 6)
    ]  # fmt: skip


def test_nothing_is_committed_if_no_file_is_loaded(lake: Lake, spark: SparkProcess) -> None:
    shelf = Shelf(lake, {"clickstream": load_domain("shop")["clickstream"]})
    file = shelf.put("a.csv", lines(HEADER, ["x"]), LANDED_AT, period=DAY)
    result = spark.load(shelf, shelf.request([("clickstream", DAY, [file])]))
    assert (result.files[0].status, result.snapshots, result.rejected_rows) == ("rejected", {}, None)
    assert all(lake.catalog.load_table(table).current_snapshot() is None for table in shelf.tables["clickstream"])
