"""Objects that are no data or lie under folders without a period, ingested as by a run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.landing import Landing, csv_body, traffic_rows
from waybill.cli.terminal import app
from waybill.contracts import load_domain
from waybill.errors import DataError
from waybill.intake.dry_run import dry_run_pending
from waybill.intake.ingest import ingest, ingest_arrived
from waybill.ops.books import incomplete
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIELD = Path(__file__).resolve().parents[1] / "field"
ORDERS = load_domain("orders")
PURCHASES = load_domain("purchases")
LINES = "raw/orders/lines/"
TRAFFIC = "traffic_id,send_date,account_id,customer_id,channel_id,interactions_count,revenue_eur"


@pytest.fixture
def raw(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    monkeypatch.undo()
    settings.cache_clear()


def put(s3: S3Client, bucket: str, file: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=(FIELD / file).read_bytes())


def arrived(connection: Connection, s3: S3Client, run_id: str, **limits: Any) -> list[str]:
    done = ingest_arrived(connection, s3, ORDERS["lines"], ORDERS, Run(run_id, "abc123"), **limits)
    return [key.removeprefix(LINES) for key in done]


def gaps(connection: Connection, s3: S3Client, domain: str, period: str) -> list[str]:
    [*wanted] = incomplete(connection, s3, domain, [Period.named(period)])
    return [gap.what for gap in wanted if "s3://" in gap.what]


def test_an_upload_that_has_not_ended_is_not_loaded_before_the_whole_file(
    empty_connection: Connection, s3: S3Client, raw: str
) -> None:
    put(s3, raw, "03_filepart/store7.csv.filepart", f"{LINES}store7.csv.filepart")
    assert arrived(empty_connection, s3, "first") == []
    put(s3, raw, "03_filepart/store7.csv", f"{LINES}store7.csv")
    assert arrived(empty_connection, s3, "second") == ["store7.csv"]
    rows = empty_connection.execute("select order_id, discount_percent::text from orders.lines order by 1").fetchall()
    assert rows == [("C03a", "10.00"), ("C03b", "15.00")]
    for name in ("store7.csv.filepart", f"{LINES}store7.csv.filepart", f"s3://{raw}/{LINES}store7.csv.filepart"):
        with pytest.raises(DataError) as caught:
            arrived(empty_connection, s3, "asked for", name=name)
        assert str(caught.value) == (
            f"s3://{raw}/{LINES}store7.csv.filepart is ignored: the ending .filepart marks an incomplete upload"
        )


def test_objects_load_under_their_own_names_and_an_ignored_one_is_reported(
    empty_connection: Connection, s3: S3Client, raw: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = sorted(path.name for path in (FIELD / "19_key_names").iterdir())
    for name in names:
        put(s3, raw, f"19_key_names/{name}", LINES + name)
    with caplog.at_level("INFO"):
        assert sorted(arrived(empty_connection, s3, "run")) == [name for name in names if name != "_late.csv"]
    assert f"1 object ignored: {LINES}_late.csv: '_late.csv' begins with '_'" in caplog.text
    orders = empty_connection.execute("select order_id from orders.lines order by 1").fetchall()
    assert orders == [("C19a",), ("C19b",), ("C19c",)]
    with pytest.raises(DataError, match=r"_late\.csv is ignored: '_late\.csv' begins with '_'"):
        arrived(empty_connection, s3, "asked for", name="_late.csv")


def test_a_malformed_prefix_is_rejected_alone_once_and_named_by_the_books(
    empty_connection: Connection, s3: S3Client, raw: str
) -> None:
    put(s3, raw, "05_prefix_not_understood/o.csv", f"{LINES}dt=20260305/o.csv")
    put(s3, raw, "03_filepart/store7.csv", f"{LINES}store7/good.csv")
    message = (
        f"s3://{raw}/{LINES}dt=20260305/o.csv: 'dt=20260305' is not read as a day; files of orders.lines land under "
        f"{LINES}dt=YYYY-MM-DD/. Move the object there, or under no folder that looks like a date, or delete it."
    )
    outcomes = dry_run_pending(empty_connection, s3, ORDERS["lines"], ORDERS, None)
    assert outcomes[f"{LINES}dt=20260305/o.csv"] == {"file_rejected": message}
    for _ in range(2):  # a retry says it again
        with pytest.raises(DataError) as caught:
            arrived(empty_connection, s3, "first")
        assert message in str(caught.value)
    assert empty_connection.execute("select order_id from orders.lines order by 1").fetchall() == [("C03a",), ("C03b",)]
    assert arrived(empty_connection, s3, "second") == [], "it is reported once"
    with pytest.raises(DataError, match=r"^1 of 1 files of orders\.lines were rejected:\n.*dt=20260305"):
        arrived(empty_connection, s3, "asked for", name="o.csv")
    recorded = empty_connection.execute(
        "select dataset, object_key, message, run_id from waybill.rejected_file"
    ).fetchall()
    assert recorded == [("orders.lines", f"{LINES}dt=20260305/o.csv", message, "first")]
    assert gaps(empty_connection, s3, "orders", "2020-01-01") == [f"rejected: {message}"], "for any requested day"
    s3.copy_object(
        Bucket=raw, Key=f"{LINES}dt=2026-03-05/o.csv", CopySource={"Bucket": raw, "Key": f"{LINES}dt=20260305/o.csv"}
    )
    s3.delete_object(Bucket=raw, Key=f"{LINES}dt=20260305/o.csv")
    assert arrived(empty_connection, s3, "third") == ["dt=2026-03-05/o.csv"]
    [(landed_on,)] = empty_connection.execute("select landed_on::text from orders.lines where order_id = 'C05'")
    assert landed_on == "2026-03-05"
    assert gaps(empty_connection, s3, "orders", "2026-03-05") == []


@pytest.mark.parametrize(
    "folders", ["2026/03/05/", "year=2026/month=02/day=30/", "year=2026/month=3/day=5/", "dt=2026-03-05/"]
)
def test_purchases_under_folders_of_another_form_do_not_count_on_the_day_of_landing(
    folders: str, empty_connection: Connection, s3: S3Client, raw: str
) -> None:
    key = f"datalake/bronze/{folders}p.csv"
    put(s3, raw, "05_prefix_not_understood/p.csv", key)
    with pytest.raises(DataError, match=r"land under datalake/bronze/year=YYYY/month=MM/day=DD/\. Move"):
        ingest_arrived(empty_connection, s3, PURCHASES["purchases"], PURCHASES, Run("run", "abc123"))
    assert empty_connection.execute("select count(*) from waybill.load_file").fetchone() == (0,)
    today = datetime.now(UTC).date().isoformat()
    assert len(gaps(empty_connection, s3, "purchases", today)) == 1


def test_sidecar_files_stop_no_day(empty_connection: Connection, s3: S3Client, raw: str) -> None:
    shop, day = load_domain("shop"), Period.parse("day", "2026-10-25")
    for name in ("tx.csv.md5", "manifest.json"):
        put(s3, raw, f"29_sidecar_files/{name}", f"raw/shop/transactions/dt={day}/{name}")
    assert ingest(empty_connection, s3, shop["transactions"], shop, day, Run("run", "abc123")) == {}
    assert empty_connection.execute("select count(*) from waybill.rejected_file").fetchone() == (0,)
    assert gaps(empty_connection, s3, "shop", str(day)) == []


def test_an_object_under_a_folder_that_names_no_month_fails_the_first_run_and_stops_no_later_one(
    landing: Landing, caplog: pytest.LogCaptureFixture
) -> None:
    key = "raw/messaging/traffic/month=2026-9/unpadded.csv"
    landing.s3.put_object(Bucket=landing.bucket, Key=key, Body=b"x")
    landing._keys.append(key)
    landing.put("traffic", "2026-03", csv_body(TRAFFIC, traffic_rows(3)))
    traffic = landing.contracts["traffic"]

    def load(run_id: str, month: str = "2026-03") -> list[str]:
        period, run = Period.parse("month", month), Run(run_id, "abc123")
        return [*ingest(landing.connection, landing.s3, traffic, landing.contracts, period, run)]

    for _ in range(2):
        with pytest.raises(DataError) as caught:
            load("first")
        assert str(caught.value).startswith(f"s3://{landing.bucket}/{key}: 'month=2026-9' is not read as a month; ")
    assert landing.column("select count(*) from messaging.traffic") == [3], "the files of the month are loaded"
    landing.put("traffic", "2026-03", csv_body(TRAFFIC, traffic_rows(4)), "more.csv")
    with caplog.at_level("WARNING"):
        assert load("second") == ["raw/messaging/traffic/month=2026-03/more.csv"]
    assert f"not loaded, rejected by an earlier run: {caught.value}" in caplog.text
    with pytest.raises(DataError, match="month=2026-9"):  # the month that it may be of is never complete without a word
        load("third", "2026-09")
    assert landing.column("select count(*) from waybill.rejected_file") == [1]
    assert f"rejected: {caught.value}" in gaps(landing.connection, landing.s3, "messaging", "2026-03")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv.filepart", "the ending .filepart marks an incomplete upload"),
        ("_late.csv", "'_late.csv' begins with '_'"),
        ("manifest.json", "manifest.json describes other files"),
    ],
)
def test_drop_uploads_nothing_if_one_of_the_files_would_be_ignored(
    name: str, expected: str, s3: S3Client, raw: str, tmp_path: Path
) -> None:
    for one in ("a.csv", name):
        (tmp_path / one).write_bytes(b"x")
    done = CliRunner().invoke(app, ["drop", "--domain", "orders", str(tmp_path / "a.csv"), str(tmp_path / name)])
    assert done.exit_code == 1
    assert f"{name}: the object would be ignored: {expected}. Rename the file if it is data." in done.output
    assert "Contents" not in s3.list_objects_v2(Bucket=raw)
