"""Training sets: labels of every kind, what is refused, masked columns, and equal bytes after late data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.errors import LockNotAvailable
from typer.testing import CliRunner

import waybill
from support.feature_logs import Entry, column, create, fill, write_view
from waybill.cli import app
from waybill.contracts.feature_views import FeatureView
from waybill.errors import DataError
from waybill.features import labels as labels_module
from waybill.features import stored_sets as stored_sets_module
from waybill.features.stored_sets import store, stored_sets
from waybill.features.training_set import prepare, read_set, write_set
from waybill.features.versions import retire
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.feature_tables import lock_exclusive
from waybill.warehouse.pseudonyms import pseudonym
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
LABELS = """\
payer_id,ts,churned,note
1,2026-03-02T12:00:00+00:00,0,"a, b"
2,2026-03-02T14:00:00+02:00,1,
1,2026-03-05 00:00:00Z,0,007
,2026-03-05T00:00:00Z,1,""
9,2026-03-05T00:00:00Z,1,x
1,2026-03-02T12:00:00+00:00,0,again
"""


def entry(payer: int, event: float, known: float, amount: str | None, *, is_removed: bool = False) -> Entry:
    values = (amount and Decimal(amount), f"p{payer}@example.org")
    return Entry((payer,), FIRST + event * DAY, FIRST + known * DAY, values, is_removed)


@pytest.fixture
def declared(include_dir: Path) -> FeatureView:
    """A view with a restricted column."""
    (include_dir / "domains" / "billing.yaml").write_text("title: Billing\ndag: billing_daily\nsemantics: current\n")
    features = [column("amount", "numeric(12,2)"), column("email", "text", is_restricted=True)]
    return write_view(include_dir, "spend_v1", [column("payer_id", "bigint", 2)], features, 48 * timedelta(hours=1))


@pytest.fixture
def spend(warehouse: psycopg.Connection, declared: FeatureView) -> FeatureView:
    """The view with the values of 2 payers on 3 days."""
    create(warehouse, declared)
    fill(
        warehouse,
        declared,
        [entry(payer, day, day, f"{payer}.{day}0") for payer in (1, 2) for day in range(3)],
    )
    warehouse.commit()
    return declared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(LABELS)
    return path


def late(connection: psycopg.Connection, view: FeatureView) -> None:
    """Append what a late file changes, known on March 10.

    A value of payer 1 on March 2, one of payer 2 that is gone, and a newer one of payer 1 that equals the one before.
    """
    fill(connection, view, [entry(1, 1, 9, "99.99"), entry(2, 1, 9, None, is_removed=True), entry(1, 3, 9, "1.20")])
    connection.commit()


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


@pytest.mark.usefixtures("spend")
def test_each_label_has_the_values_of_its_time(file: Path, tmp_path: Path) -> None:
    found = write_set(prepare(file, ["spend:1"]), connect, tmp_path / "set.parquet")
    key = settings().mask_key
    assert key
    emails = {one: pseudonym(key.get_secret_value().encode(), f"p{one}@example.org") for one in (1, 2)}
    assert rows_of(tmp_path / "set.parquet") == [
        {"payer_id": payer, "ts": ts, "churned": churned, "note": note, "spend__amount": amount, "spend__email": email}
        for payer, ts, churned, note, amount, email in [
            (1, FIRST + 1.5 * DAY, 0, "a, b", Decimal("1.10"), emails[1]),
            (2, FIRST + 1.5 * DAY, 1, None, Decimal("2.10"), emails[2]),
            (1, FIRST + 4 * DAY, 0, "007", Decimal("1.20"), emails[1]),  # exactly as old as the ttl
            (None, FIRST + 4 * DAY, 1, "", None, None),
            (9, FIRST + 4 * DAY, 1, "x", None, None),
            (1, FIRST + 1.5 * DAY, 0, "again", Decimal("1.10"), emails[1]),
        ]
    ]
    [view] = found["views"]
    assert (found["rows"], view["name"], view["rows_without_value"], found["mode"]) == (6, "spend:1", 2, "as known")
    assert found["known_until"] == "2026-03-05T00:00:00+00:00"
    assert found["columns"]["churned"] == "int64"
    assert "leak" not in found


def test_a_set_has_the_same_bytes_after_late_data(
    warehouse: psycopg.Connection, spend: FeatureView, file: Path, tmp_path: Path
) -> None:
    def make(name: str, *, as_of_now: bool = False) -> dict[str, Any]:
        return write_set(prepare(file, ["spend:1"], as_of_now=as_of_now), connect, tmp_path / name)

    before, now = make("before"), make("now", as_of_now=True)
    assert now["leak"]["rows"] == 0
    late(warehouse, spend)
    after, later = make("after"), make("later", as_of_now=True)
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert before == after
    assert before["content_sha256"] == now["content_sha256"] != later["content_sha256"]
    assert later["leak"]["rows"] == 3
    assert later["leak"]["first_rows"] == [1, 2, 6]
    assert "leaks" in later["leak"]["warning"]
    amounts = [row["spend__amount"] for row in rows_of(tmp_path / "later")]
    assert amounts == [Decimal("99.99"), Decimal("2.00"), Decimal("1.20"), None, None, Decimal("99.99")]


@pytest.mark.usefixtures("spend")
def test_batches_do_not_change_the_set(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_set(prepare(file, ["spend:1"]), connect, tmp_path / "whole")
    frame = pd.read_csv(file, dtype={"payer_id": "Int64"})
    frame["ts"] = pd.to_datetime(frame["ts"], format="ISO8601", utc=True)
    monkeypatch.setattr(labels_module, "BATCH", 2)
    parts = write_set(prepare(file, ["spend:1"]), connect, tmp_path / "parts")
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")
    assert parts == whole
    pq.write_table(
        pq.read_table(tmp_path / "whole").select(["payer_id", "ts", "churned", "note"]), tmp_path / "labels.parquet"
    )
    again = write_set(prepare(tmp_path / "labels.parquet", ["spend:1"]), connect, tmp_path / "again")
    assert again["content_sha256"] == whole["content_sha256"]
    with read_set(prepare(frame.drop(columns="note"), ["spend:1"]), connect) as (tables, result, _):
        amounts = [value for table in tables for value in table["spend__amount"].to_pylist()]
    assert amounts == [row["spend__amount"] for row in rows_of(tmp_path / "whole")]
    assert result.missing == [2]


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "payer_id,ts\n1,2026-03-01T00:00:00Z\n1,2026-03-01 00:00:00\n",
            "row 2: ts is '2026-03-01 00:00:00', which has no offset",
        ),
        ("payer_id,ts\n1,yesterday\n", "row 1: ts is 'yesterday', which is no instant"),
        ("payer_id,ts\n1,2026-03-01T00:00:00Z\n1,\n", "row 2 has no ts"),
        (
            "payer_id,ts\nx,2026-03-01T00:00:00Z\n",
            "row 1: payer_id is 'x', which is no value of the type bigint",
        ),
        ("payer,at\n1,2026-03-01T00:00:00Z\n", "payer_id and ts are missing. It has payer, at"),
        ("payer_id,ts,ts\n1,2026-03-01T00:00:00Z,x\n", "several columns are called ts"),
        ("payer_id,ts,spend__amount\n1,2026-03-01T00:00:00Z,1\n", "rename spend__amount"),
        (
            "payer_id,ts\n1,2026-03-01T00:00:00Z\n1,2026-03-01T00:00:00Z,secret\n",
            "cannot be read: row 2: expected 2 columns, got 3. Write labels as CSV",
        ),
        pytest.param(
            "payer_id,ts\n" + "1,2026-03-01T00:00:00Z\n" * 60_000 + "1\n",
            "row 60001: expected 2 columns, got 1. Write",
            id="in a later block",
        ),
        pytest.param("payer_id,ts\udcff\n1,2\n", "cannot be read: 'utf-8' codec .* Write labels", id="binary"),
        ("", "cannot be read: Empty CSV file. Write labels as CSV in UTF-8"),
        ("payer_id;ts\n1;2026-03-01T00:00:00Z\n", "It has payer_id;ts. It is one column: separate columns by commas"),
        ("payer_id,at\n1,2026-03-01T00:00:00Z\n", "ts is missing.* --time-column, in Python time_column"),
        (",payer_id,ts\n0,1,2026-03-01T00:00:00Z\n", "column 1 has no name.* index=False"),
        (
            "payer_id,ts\n1,2026-03-01T00:00:00Z\n1,0000-01-01T00:00:00Z\n",
            "row 2: ts is '0000-01-01 00:00:00.000000Z', and the years are 1 to 9999",
        ),
        pytest.param("payer_id,ts,a\0b\n1,2026-03-01T00:00:00Z,1\n", "name of a column has a NUL", id="NUL in a name"),
    ],
)
def test_wrong_labels_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(DataError, match=message):
        prepare(path, ["spend:1"])


@pytest.mark.usefixtures("declared")
def test_a_day_that_postgresql_cannot_read_is_refused_by_its_row(include_dir: Path, tmp_path: Path) -> None:
    write_view(include_dir, "births_v1", [column("born", "date", 2)], [column("amount", "numeric(12,2)")])
    path = tmp_path / "labels.csv"
    path.write_text("born,ts\n0001-01-01,2026-03-01T00:00:00Z\n0000-12-31,2026-03-01T00:00:00Z\n")
    with pytest.raises(DataError, match="row 2: born is '0000-12-31', which is no value of the type date"):
        prepare(path, ["births:1"])


@pytest.mark.usefixtures("spend")
def test_labels_in_the_future_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("payer_id,ts\n1,2999-03-01T00:00:00Z\n")
    with pytest.raises(DataError, match=r"row 1 is at 2999-03-01T00:00:00\+00:00, and it is 20"):
        write_set(prepare(path, ["spend:1"]), connect, tmp_path / "set")


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame({"payer_id": [1], "ts": pd.array([-(10**12)], pd.ArrowDtype(pa.timestamp("s", "UTC")))}),
            "row 1: ts is '-29719-04-05 .*', and the years are 1 to 9999",
        ),
        (pd.DataFrame({"payer_id": [1], "ts": [pd.Timestamp("2026-03-01")]}), "row 1: ts has no offset from UTC"),
        (pd.DataFrame({"payer_id": [1], "ts": [pd.Timestamp("2026-03-01T00:00:00Z")], "x": [[1]]}), "single values"),
        (
            pd.DataFrame({"payer_id": [1.5], "ts": [pd.Timestamp("2026-03-01T00:00:00Z")]}),
            "row 1: payer_id is 1.5, which is no value of the type bigint",
        ),
        (pd.DataFrame({"payer_id": [1], "ts": [1772323200]}), "ts has the type int64, which is no instant"),
        (pd.DataFrame({"payer_id": [1], "ts": [date(2026, 3, 1)]}), "ts has the type date32"),
        (pd.DataFrame({"payer_id": [1], "ts": [FIRST], "x": [b"1"]}), "x has the type binary.* as texts"),
        (
            pd.DataFrame({"payer_id": [1], "ts": [FIRST], "x": [pd.Period("2026-03")]}),
            "x has the type extension.* as texts",
        ),
        (pd.DataFrame({"payer_id": ["y" * 999], "ts": [FIRST]}), "payer_id is 'y{79}…, which is no value"),
        (pd.DataFrame({"payer_id": [1, "x"]}), r"Conversion failed for column payer_id.* one name and one type"),
        (pd.DataFrame([[1, 2]], columns=["ts", "ts"]), "Duplicate column names"),
        (pd.DataFrame({"ts": [1]}, pd.Index([1], name="payer_id")), r"index is called payer_id.*reset_index\(\)"),
        ([1], "labels are a DataFrame, or the path of a .csv or .parquet file, and not a list"),
    ],
)
def test_wrong_frames_are_refused(frame: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(frame, ["spend:1"])


@pytest.mark.usefixtures("declared")
def test_columns_of_csv_get_the_type_of_their_spelling(tmp_path: Path) -> None:
    columns = {
        "lower": ("true", "false", pa.bool_()),
        "pandas": ("True", "False", pa.bool_()),
        "upper": ("TRUE", "FALSE", pa.bool_()),
        "psql": ("t", "f", pa.bool_()),
        "mixed": ("True", "false", pa.string()),
        "other": ("T", "F", pa.string()),
        "empty": ("", "", pa.string()),
    }
    path = tmp_path / "labels.csv"
    path.write_text(
        f"payer_id,ts,{','.join(columns)}\n"
        + "".join(f"1,2026-03-02T00:00:00Z,{','.join(one[row] for one in columns.values())}\n" for row in (0, 1))
    )
    labels = prepare(path, "spend:1").labels
    assert {name: labels.schema.field(name).type for name in columns} == {
        name: kind for name, (*_, kind) in columns.items()
    }
    [table] = labels.read()
    assert all(table[name].to_pylist() == [True, False] for name in ("lower", "pandas", "upper", "psql"))
    assert table["empty"].to_pylist() == [None, None]


@pytest.mark.usefixtures("spend")
def test_an_entity_that_only_postgresql_can_read_is_refused_by_its_row(
    warehouse: psycopg.Connection, include_dir: Path, tmp_path: Path
) -> None:
    features = [column("amount", "numeric(12,2)")]
    create(warehouse, write_view(include_dir, "visits_v1", [column("visitor", "uuid", 2)], features))
    warehouse.commit()
    path, right = tmp_path / "labels.csv", "6f1c1c1e-0000-4000-8000-000000000000"
    for wrong in ("no\0body", "nobody"):
        path.write_text(f"visitor,ts\n{right},2026-03-01T00:00:00Z\n{wrong},2026-03-01T00:00:00Z\n")
        message = f"labels.csv: row 2: visitor is {wrong!r}, which is no value of the type uuid"
        with pytest.raises(DataError, match=re.escape(message)):
            write_set(prepare(path, ["visits:1"]), connect, tmp_path / "set")
    secret = column("visitor", "uuid", 2, is_restricted=True)
    create(warehouse, write_view(include_dir, "secret_v1", [secret], features))
    warehouse.commit()
    with pytest.raises(DataError, match=r"labels.csv: row 2: visitor is no value of the type uuid"):
        write_set(prepare(path, "visits:1, secret:1"), connect, tmp_path / "set")


def test_a_view_must_be_as_it_was_built(
    warehouse: psycopg.Connection, spend: FeatureView, file: Path, tmp_path: Path, include_dir: Path
) -> None:
    path = include_dir / "sql/billing_feature/spend_v1.sql"
    text = path.read_text()
    path.write_text(text.replace("select 1", "select 2"))
    with pytest.raises(DataError, match=r"spend_v1 has values, and its SQL changed.*new-version spend:1"):
        write_set(prepare(file, ["spend:1"]), connect, tmp_path / "set")
    path.write_text(text)
    warehouse.execute("delete from waybill.feature_version")
    warehouse.commit()
    with pytest.raises(DataError, match=r"spend:1 has no values: it was not built yet. `waybill plan`"):
        write_set(prepare(file, ["spend:1"]), connect, tmp_path / "set")
    made = CliRunner().invoke(app, ["features", "training-set", "--entities", str(file), "--views", "spend:1"])
    assert (made.exit_code, made.output.count("spend:1")) == (1, 1), made.output


def test_a_file_that_changes_while_it_is_read_is_refused(spend: FeatureView, file: Path, tmp_path: Path) -> None:
    wanted = prepare(file, ["spend:1"])
    file.write_text(LABELS.replace("again", "other"))
    with pytest.raises(DataError, match=r"labels.csv was changed while it was read"):
        write_set(wanted, connect, tmp_path / "set")


@pytest.mark.usefixtures("declared")
def test_views_are_named_once_and_exist(file: Path) -> None:
    for views, message in [
        ([], "name at least one feature view"),
        (["spend:1", "spend:1"], "spend:1 is named twice"),
        (["spend:2"], "no feature view 'spend:2'"),
        ("spend:1,spend:1", "spend:1 is named twice"),
        ("", "name at least one feature view"),
    ]:
        with pytest.raises(DataError, match=message):
            prepare(file, views)


def test_an_empty_file_of_labels_gives_an_empty_set(spend: FeatureView, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("payer_id,ts\n")
    found = write_set(prepare(tmp_path / "none.csv", ["spend:1"]), connect, tmp_path / "set")
    table = pq.read_table(tmp_path / "set")
    assert (found["rows"], table.num_rows) == (0, 0)
    assert table.schema.field("spend__amount").type == pa.decimal128(12, 2)


def test_a_set_waits_for_a_build_and_sees_its_rows(
    warehouse: psycopg.Connection, spend: FeatureView, file: Path, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from support.waiting import eventually

    with ThreadPoolExecutor(1) as pool:
        with connect() as builder, builder.transaction():
            lock_exclusive(builder, spend)
            made = pool.submit(write_set, prepare(file, ["spend:1"]), connect, tmp_path / "set")
            waits = "select from pg_locks where locktype = 'advisory' and not granted"
            eventually(lambda: warehouse.execute(waits).fetchone() is not None)
            fill(builder, spend, [entry(9, 3, 3, "9.90")])
        made.result(timeout=20)
    assert rows_of(tmp_path / "set")[4]["spend__amount"] == Decimal("9.90")


def test_notebooks_read_sets_by_the_role_of_readers(
    warehouse: psycopg.Connection,
    spend: FeatureView,
    file: Path,
    tmp_path: Path,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warehouse.execute(
        "insert into billing_feature.spend_v1 values ('2026-03-01', 1, '2026-03-02', 1.10, 'p1@example.org')"
    )
    warehouse.commit()
    whole = write_set(prepare(file, ["spend:1"]), connect, tmp_path / "set")
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_READER", stack.database_url("waybill_reader", warehouse.info.dbname))
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE")
    settings.cache_clear()
    found = waybill.training_set(file, ["spend:1"])
    assert found.attrs["manifest"] == whole
    assert pa.Table.from_pandas(found).to_pylist() == rows_of(tmp_path / "set")
    [email] = waybill.read("billing_feature.spend_v1")["email"]
    assert email == found["spend__email"][0]
    assert "example" not in email


@pytest.fixture
def lake(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WAYBILL_LAKE_BUCKET", bucket)
    settings.cache_clear()
    return bucket


def test_a_set_is_stored_and_registered_once(
    warehouse: psycopg.Connection,
    spend: FeatureView,
    file: Path,
    lake: str,
    s3: S3Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(**given: Any) -> Any:
        return store(prepare(file, ["spend:1"]), connect, "ann", target=s3, **given)

    waits: list[bool] = []
    write = stored_sets_module._write_to_bucket

    def seen(*given: Any) -> str:
        with connect() as other, other.transaction(force_rollback=True):
            other.execute("set local lock_timeout = '50ms'")
            try:
                with other.transaction():
                    lock_exclusive(other, spend)
                waits.append(False)
            except LockNotAvailable:
                waits.append(True)
            with pytest.raises(LockNotAvailable):
                retire(other, spend, "ann", is_forced=True)
        return write(*given)

    monkeypatch.setattr(stored_sets_module, "_write_to_bucket", seen)
    first = make()
    late(warehouse, spend)
    assert waits == [True], "builds wait until the first set is registered"
    assert make() == first
    assert waits == [True, False]
    assert first.location == f"s3://{lake}/training/{first.name}.parquet"
    objects = {one["Key"]: one["ETag"] for one in s3.list_objects_v2(Bucket=lake)["Contents"]}
    assert sorted(objects) == [f"training/{first.name}.json", f"training/{first.name}.parquet"]
    versions = s3.list_object_versions(Bucket=lake)["Versions"]
    assert len(versions) == 2
    stored = json.loads(s3.get_object(Bucket=lake, Key=f"training/{first.name}.json")["Body"].read())
    assert stored == first.manifest
    named = make(name="churn-march")
    assert [one.name for one in stored_sets(warehouse, table=spend.table)] == ["churn-march", first.name]
    assert stored_sets(warehouse, table="billing_feature.other_v1") == []
    assert named.content_sha256 == first.content_sha256
    warehouse.execute("update waybill.training_set set location = '/earlier.parquet', manifest = manifest - 'file'")
    warehouse.commit()
    assert make() == replace(first, earlier_locations=["/earlier.parquet"])
    file.write_text(LABELS.replace("9,2026", "2,2026"))
    with pytest.raises(DataError, match=r"churn-march is another training set, made by ann on .*: 6 rows"):
        make(name="churn-march")
    with pytest.raises(DataError, match="'Churn!' is no name"):
        make(name="Churn!")


@pytest.mark.usefixtures("spend")
def test_files_that_are_not_of_the_set_stay(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(**given: Any) -> Any:
        return store(prepare(given.pop("labels", file), ["spend:1"]), connect, "ann", target=tmp_path, **given)

    first = make(name="march")
    assert make(name="march") == first, "its own files are written again"
    (tmp_path / "march.json").unlink()
    assert make(name="march") == first, "the warehouse knows the file, too"
    (tmp_path / "churn.parquet").write_bytes((tmp_path / "march.parquet").read_bytes())
    (tmp_path / "mine.json").write_text('{"name": "mine"}')
    (tmp_path / "of").mkdir()
    (tmp_path / "of.parquet").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(stored_sets_module, "read_set", lambda *_, **__: pytest.fail("rows were read"))
        for name, taken in [("churn", "churn.parquet"), ("mine", "mine.json"), ("of", "of.parquet")]:
            with pytest.raises(DataError, match=rf"{taken} exists already, and is not of the training set {name}"):
                make(name=name)
    read = stored_sets_module.manifest

    def meanwhile(*given: Any) -> Any:
        (tmp_path / "later.parquet").write_bytes(b"mine")
        return read(*given)

    monkeypatch.setattr(stored_sets_module, "manifest", meanwhile)
    with pytest.raises(DataError, match=r"later\.parquet exists already"):
        make(name="later")
    (tmp_path / f"{first.name}.json").unlink()
    (tmp_path / "later.parquet").unlink()
    before.pop(tmp_path / "march.json")
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("spend")
@pytest.mark.parametrize("place", ["copyfile", "replace", "_register"])
def test_a_set_in_a_folder_is_completed(
    place: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> Any:
        return store(prepare(file, ["spend:1"]), connect, "ann", name="march", target=tmp_path / "sets")

    def dies(source: Path, target: Any = None, *_: Any) -> None:
        if place == "copyfile":
            target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    target: Any = {"copyfile": stored_sets_module.shutil, "replace": Path, "_register": stored_sets_module}[place]
    with monkeypatch.context() as patch:
        patch.setattr(target, place, dies)
        with pytest.raises(OSError, match="No space left"):
            make()
    assert not list((tmp_path / "sets").glob("*.unfinished")), "it has rows"
    make()
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["march.json", "march.parquet"]


@pytest.mark.usefixtures("spend")
def test_commands_make_and_list_sets(file: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["features", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    folder = tmp_path / "sets"
    make: Callable[..., str] = lambda *more: run(  # noqa: E731
        "training-set", "--entities", str(file), "--views", "spend:1", "--output", str(folder), *more
    )
    said = make("--name", "march")
    assert "march: 6 rows as known" in said
    assert "spend:1: 4 rows with a value, 2 without" in said
    assert sorted(path.name for path in folder.iterdir()) == ["march.json", "march.parquet"]
    assert "0 rows of 6 have other values than in the set as known" in make("--name", "now", "--as-of-now")
    listed = run("training-sets", "spend:1")
    for line in ("march: 6 rows as known, made ", "now: 6 rows as of now, made ", f"  file:  {folder}/march.parquet"):
        assert f"\n{line}" in f"\n{listed}"
    assert listed.count("\n  views: spend:1\n") == 2
    printed = make("--name", "march", "--json")
    assert printed == (folder / "march.json").read_text()
    for options, message in [
        (["--entities", "no.csv"], "no.csv: there is no such file"),
        (["--entities", str(file), "--output", str(file)], f"--output {file}: File exists. Name a folder"),
        (
            ["--entities", str(file), "--output", "/proc/x"],
            "--output /proc/x: .* Name a folder",
        ),
        (
            ["--entities", str(file), "--output", "s3://lake/x"],
            "is an address.*goes to `training/` in the lake's bucket",
        ),
    ]:
        wrong = CliRunner().invoke(app, ["features", "training-set", "--views", "spend:1", *options])
        assert (wrong.exit_code, bool(re.search(message, wrong.output))) == (1, True), wrong.output
    assert not Path("s3:").exists()
