"""Training sets as tables of the lake: other engines read them, dead runs are completed, deletions leave nothing."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from click.testing import Result
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import ServerError
from pyiceberg.table import Table
from typer.testing import CliRunner

from integration.test_lake_tables import duckdb_engine
from support.feature_logs import Entry, column, create, fill, write_view
from support.lake import lake_in
from waybill.cli import app
from waybill.cli.terminal import operating_system_user
from waybill.contracts import load_all
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import bucket_and_key
from waybill.errors import CommandFailed, DataError
from waybill.features import deleted_sets as deleted_sets_module
from waybill.features import set_tables
from waybill.features import stored_sets as stored_sets_module
from waybill.features.deleted_sets import delete
from waybill.features.stored_sets import StoredSet, store, stored_sets
from waybill.features.training_set import prepare
from waybill.features.versions import retire
from waybill.outputs.lake_maintenance import maintain
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.feature_tables import is_history_over, training_sets

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
LABELS = """\
payer_id,ts,churned,note
1,2026-03-02T12:00:00+00:00,0,"a, b"
2,2026-03-02T12:00:00+00:00,1,
,2026-03-05T00:00:00Z,1,""
"""


@dataclass(frozen=True)
class Sets:
    """A bucket with a catalog, and a view with values of two payers."""

    connection: psycopg.Connection
    s3: S3Client
    bucket: str
    catalog: Catalog
    view: FeatureView
    labels: Path

    def make(self, name: str | None = None, **given: Any) -> StoredSet:
        wanted = prepare(given.pop("labels", self.labels), ["spend:1"])
        catalog = given.pop("catalog", self.catalog)
        return store(wanted, connect, "ann", name=name, target=self.s3, catalog=catalog)

    def table(self, one: StoredSet) -> Table:
        assert one.lake_table
        return self.catalog.load_table(one.lake_table)

    def body(self, one: StoredSet) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=f"training/{one.name}.parquet")["Body"].read()

    def keys(self) -> list[str]:
        return sorted(item["Key"] for item in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", []))


@pytest.fixture
def sets(
    warehouse: psycopg.Connection,
    include_dir: Path,
    tmp_path: Path,
    bucket: str,
    s3: S3Client,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sets]:
    (include_dir / "domains" / "billing.yaml").write_text("title: Billing\ndag: billing_daily\nsemantics: current\n")
    features = [
        column("amount", "numeric(12,2)"),
        column("email", "text", is_restricted=True),
        column("days", "integer"),
        column("share", "double precision"),
        column("is_new", "boolean"),
        column("since", "date"),
        column("seen_at", "timestamptz"),
        column("tags", "text[]"),
    ]
    view = write_view(include_dir, "spend_v1", [column("payer_id", "bigint", 2)], features)
    create(warehouse, view)
    entries = [
        Entry(
            (payer,),
            FIRST + day * timedelta(days=1),
            FIRST + day * timedelta(days=1),
            (
                Decimal(f"{payer}.{day}0"),
                f"p{payer}@example.org",
                day,
                day / 4,
                payer == 1,
                date(2026, 1, payer),
                FIRST - timedelta(microseconds=payer),
                ["a", "b"] if payer == 1 else None,
            ),
        )
        for payer in (1, 2)
        for day in range(2)
    ]
    fill(warehouse, view, entries)
    warehouse.commit()
    labels = tmp_path / "labels.csv"
    labels.write_text(LABELS)
    database = f"sets_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("WAYBILL_TRAINING_DATABASE", database)
    with lake_in(bucket, s3, monkeypatch) as lake:
        lake.catalog.create_namespace(database)
        catalog = set_tables.find_catalog(boto3.Session(), s3)
        assert catalog
        yield Sets(warehouse, s3, bucket, catalog, view, labels)


def test_a_set_in_the_bucket_is_a_table_for_other_engines(sets: Sets) -> None:
    made = sets.make("churn-march")
    assert made.lake_table == f"{settings().training_database}.churn_march"
    table = sets.table(made)
    assert made.snapshot_id == table.metadata.current_snapshot_id
    assert (made.manifest["table"], made.manifest["snapshot_id"]) == (made.lake_table, made.snapshot_id)
    assert (
        json.loads(sets.s3.get_object(Bucket=sets.bucket, Key="training/churn-march.json")["Body"].read())
        == made.manifest
    )
    (task,) = table.scan().plan_files()
    assert task.file.file_path == made.location, "the file itself, not a copy"
    body = sets.body(made)
    rows = pq.read_table(pa.BufferReader(body)).to_pylist()
    assert len(rows) == 3
    assert rows[0]["spend__amount"] == Decimal("1.10")
    assert table.scan().to_arrow().to_pylist() == rows
    assert table.scan(row_filter="payer_id = 2").to_arrow().to_pylist() == rows[1:2]
    with duckdb_engine() as engine:
        found = engine.execute(f"select * from lake.{made.lake_table}").fetchall()
        assert found == [tuple(row.values()) for row in rows]
        query = f"select note from lake.{made.lake_table} at (version => {made.snapshot_id}) where spend__amount = 2.10"
        assert engine.execute(query).fetchall() == [(None,)]


def test_the_same_set_again_is_the_same_table(sets: Sets) -> None:
    assert sets.make("churn-march", catalog=None).lake_table is None
    first = sets.make("churn-march")
    assert sets.make("churn-march") == first
    said = run("training-set", "--entities", str(sets.labels), "--views", "spend:1", "--name", "churn-march").output
    assert f"Table in the lake: {first.lake_table}, snapshot {first.snapshot_id}\n" in said
    folder = store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn-march", target=sets.labels.parent)
    assert (folder.lake_table, folder.snapshot_id) == (first.lake_table, first.snapshot_id)
    assert "table" not in folder.manifest
    assert [one.snapshot_id for one in sets.table(first).metadata.snapshots] == [first.snapshot_id]
    assert sets.table(first).scan().to_arrow().num_rows == 3


class Dies(Exception):
    """The process ends here."""


def dies(*_: Any, **__: Any) -> Any:
    raise Dies


@pytest.mark.parametrize(
    ("target", "name"),
    [(set_tables, "write"), (set_tables, "data_file"), (stored_sets_module, "_register")],
    ids=["before the table", "before the file is in the table", "before it is registered"],
)
def test_a_second_run_completes_what_a_dead_one_left(
    target: Any, name: str, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it has other rows: nobody has seen those of the dead run."""
    for one in ("same", "other"):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, dies)
            with pytest.raises(Dies):
                sets.make(one)
    assert stored_sets(sets.connection, with_deleted=True) == []
    for one, of_first in (("same", 1), ("other", 0)):
        if one == "other":
            sets.labels.write_text(LABELS.replace("\n1,", "\n2,"))
        made = sets.make(one)
        table = sets.table(made)
        assert [snapshot.snapshot_id for snapshot in table.metadata.snapshots] == [made.snapshot_id]
        assert table.scan().to_arrow().to_pylist() == pq.read_table(pa.BufferReader(sets.body(made))).to_pylist()
        assert table.scan(row_filter="payer_id = 1").to_arrow().num_rows == of_first


def test_a_file_with_other_bytes_gets_a_new_table(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of pyarrow may write other bytes. The former entry of the file would not fit them."""

    def otherwise(wanted: Any, tables: Any, target: Path) -> None:
        pq.write_table(pa.concat_tables(tables), target, compression="none", data_page_size=8)

    with monkeypatch.context() as patch:
        patch.setattr(stored_sets_module, "write_tables", otherwise)
        former = sets.make("churn")
    made = sets.make("churn")
    assert made.content_sha256 == former.content_sha256
    assert made.manifest["file_sha256"] != former.manifest["file_sha256"]
    assert made.snapshot_id != former.snapshot_id
    (task,) = sets.table(made).scan().plan_files()
    assert task.file.file_size_in_bytes == len(sets.body(made))
    with duckdb_engine() as engine:
        assert engine.execute(f"select count(note) from lake.{made.lake_table}").fetchall() == [(2,)]


def test_labels_that_no_table_can_have_are_refused_before_rows_are_read(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_sets_module, "read_set", dies)
    path, instants = sets.labels.with_suffix(".parquet"), pa.array([FIRST], pa.timestamp("us", "UTC"))
    plain = {"payer_id": pa.array([1]), "ts": instants}
    for more, message in [
        ({"at": instants.cast(pa.timestamp("ns", "UTC"))}, r"at has the type timestamp\[ns, tz=UTC\], which tables"),
        ({"at": instants.cast(pa.timestamp("us", "Europe/Berlin"))}, "at has the type timestamp"),
        ({"size": pa.array([1], pa.uint64())}, "size has the type uint64"),
        ({"Payer_id": pa.array([1])}, "rename payer_id or Payer_id: the names differ by case only"),
    ]:
        pq.write_table(pa.table(plain | more), path)
        with pytest.raises(DataError, match=f"labels.parquet: {message}"):
            sets.make(labels=path)
        with pytest.raises(Dies):
            sets.make(labels=path, catalog=None)


def test_labels_of_all_types_and_no_labels_give_a_table(sets: Sets) -> None:
    path = sets.labels.with_suffix(".parquet")
    columns = {
        "payer_id": pa.array([1, 2]),
        "ts": pa.array([FIRST] * 2, pa.timestamp("us", "UTC")),
        "tiny": pa.array([-3, None], pa.int8()),
        "small": pa.array([-3, 4], pa.int16()),
        "real": pa.array([0.5, float("nan")], pa.float32()),
        "local": pa.array([3_600_000_000, None], pa.timestamp("us")),
        "Large": pa.array(["ä" * 40, None], pa.large_string()),
        "a.b": pa.array([Decimal("-12.345"), None], pa.decimal128(38, 3)),
        "none": pa.array([None, None], pa.string()),
        "category": pa.array(["x", "y"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), path)
    made = sets.make("types", labels=path)
    table = sets.table(made)
    rows = pq.read_table(pa.BufferReader(sets.body(made))).to_pylist()
    assert repr(table.scan().to_arrow().to_pylist()) == repr(rows), "NaN is none of its equals"
    assert table.scan(row_filter="tiny = -3").to_arrow()["payer_id"].to_pylist() == [1]
    pq.write_table(pa.table(columns).slice(0, 0), path)
    empty = sets.make("none", labels=path)
    assert sets.table(empty).scan().to_arrow().num_rows == 0
    with duckdb_engine() as engine:
        found = engine.execute(f"select * from lake.{made.lake_table}").fetchall()
        assert engine.execute(f"select * from lake.{empty.lake_table}").fetchall() == []
    assert [tuple(map(comparable, row)) for row in found] == [tuple(map(comparable, row.values())) for row in rows]


def comparable(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def test_names_with_one_table_are_refused_before_rows_are_read(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.make("churn-march")
    database = settings().training_database
    sets.catalog.create_table(f"{database}.mine", sets.table(sets.make("churn-march")).schema())
    monkeypatch.setattr(stored_sets_module, "read_set", dies)
    with pytest.raises(DataError, match=r"churn_march would have the table .*, which is that of churn-march: - and _"):
        sets.make("churn_march")
    with pytest.raises(
        DataError, match=rf"mine needs the table {database}.mine in the lake, which is none of a training"
    ):
        sets.make("mine")
    with pytest.raises(Dies):
        sets.make("churn_march", catalog=None)


def run(*arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(app, ["features", *arguments], input=said)


def test_without_its_catalog_the_command_does_nothing(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_sets_module, "read_set", dies)
    command = ("training-set", "--entities", str(sets.labels), "--views", "spend:1", "--name", "churn")
    monkeypatch.setenv("WAYBILL_TRAINING_DATABASE", "nowhere")
    settings.cache_clear()
    done = run(*command)
    assert done.exit_code == 1
    assert (
        "has no database nowhere for training sets. Run `terraform apply`, or start the embedded stack" in done.output
    )
    monkeypatch.setenv("WAYBILL_LAKE_CATALOG", "http://127.0.0.1:9")
    settings.cache_clear()
    done = run(*command)
    assert done.exit_code == 1
    assert "The catalog of the lake, http://127.0.0.1:9, does not answer: ConnectionError." in done.output
    assert "--output FOLDER" in done.output
    assert sets.keys() == []
    assert stored_sets(sets.connection) == []


def test_a_catalog_that_fails_meanwhile_registers_nothing(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise ServerError("out of order")

    with monkeypatch.context() as patch:
        patch.setattr(sets.catalog, "create_table", refuses)
        with pytest.raises(CommandFailed, match=r"refused the request: ServerError\. .*Then run the command again"):
            sets.make("churn")
    assert stored_sets(sets.connection) == []
    assert sets.table(sets.make("churn")).scan().to_arrow().num_rows == 3


def test_without_the_lake_a_set_is_parquet_only(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_LAKE_DATABASE", "nowhere")
    settings.cache_clear()
    done = run("training-set", "--entities", str(sets.labels), "--views", "spend:1", "--name", "plain")
    assert done.exit_code == 0, done.output
    [made] = stored_sets(sets.connection)
    assert (made.lake_table, made.snapshot_id) == (None, None)
    assert sets.keys() == ["training/plain.json", "training/plain.parquet"]
    assert run("delete-set", "plain", "--yes").exit_code == 0
    assert sets.keys() == []


def test_the_lake_is_maintained_without_training_sets(sets: Sets) -> None:
    made = sets.make("churn")
    later = datetime.now(UTC) + timedelta(days=1000)
    contracts = load_all().values()
    found = maintain(sets.connection, sets.s3, sets.catalog, contracts, Run("r", "c"), now=later)
    assert found == []
    assert sets.table(made).scan().to_arrow().num_rows == 3
    assert sets.table(made).properties["gc.enabled"] == "false"


# Deletions


def listed(sets: Sets, bucket: str, prefix: str) -> list[str]:
    return [item["Key"] for item in sets.s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])]


def test_a_deleted_set_leaves_its_record_and_nothing_else(sets: Sets, tmp_path: Path) -> None:
    kept = sets.make("kept")
    made = sets.make("churn-march")
    place = bucket_and_key(sets.table(made).location())
    assert listed(sets, *place)
    store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn-march", target=tmp_path / "here")
    store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn-march", target=tmp_path / "changed")
    (tmp_path / "changed" / "churn-march.parquet").write_bytes(b"mine")
    sets.connection.execute(
        "update waybill.training_set set earlier_locations = earlier_locations || %s::text where name = 'churn-march'",
        ("/elsewhere/churn-march.parquet",),
    )
    sets.connection.commit()
    refused = run("delete-set", "churn-march", said="n\n")
    assert refused.exit_code == 1
    lines = refused.output.splitlines()
    assert lines[: lines.index("Leaves:")] == [
        "Deletes:",
        f"  s3://{sets.bucket}/training/churn-march.parquet",
        f"  s3://{sets.bucket}/training/churn-march.json",
        f"  {tmp_path}/here/churn-march.parquet",
        f"  {made.lake_table}, the table in the lake",
    ]
    assert (
        f"  {tmp_path}/changed/churn-march.parquet: another file than that of churn-march is there now"
        in refused.output
    )
    assert "  /elsewhere/churn-march.parquet: not on this machine\n" in refused.output
    assert sets.table(made).scan().to_arrow().num_rows == 3
    assert run("delete-set", "churn-march", "--yes").exit_code == 0
    assert sets.keys() == ["training/kept.json", "training/kept.parquet"]
    assert sets.catalog.list_tables(settings().training_database) == [
        tuple(str(kept.lake_table).split(".")),
    ]
    assert listed(sets, *place) == []
    assert not list((tmp_path / "here").iterdir())
    assert sorted(path.name for path in (tmp_path / "changed").iterdir()) == ["churn-march.json", "churn-march.parquet"]
    [gone] = stored_sets(sets.connection, name="churn-march", with_deleted=True)
    assert gone.deleted_by == operating_system_user()
    assert (gone.created_by, gone.content_sha256, gone.lake_table) == ("ann", made.content_sha256, made.lake_table)
    assert sorted(gone.left_locations) == ["/elsewhere/churn-march.parquet", f"{tmp_path}/changed/churn-march.parquet"]
    assert "churn-march" not in run("training-sets").output
    assert (
        f"  deleted {gone.deleted_at:%Y-%m-%d %H:%M} by {gone.deleted_by}\n" in run("training-sets", "--deleted").output
    )
    with pytest.raises(DataError, match=r"churn-march was deleted by .*, and its name stays taken\. Choose another"):
        sets.make("churn-march")
    with pytest.raises(DataError, match="there is no training set nobody"):
        delete(connect, sets.s3, sets.catalog, "nobody", "ann")


def test_copies_that_died_are_deleted_and_files_of_others_stay(sets: Sets, tmp_path: Path) -> None:
    for name in ("here", "away"):
        store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn", target=tmp_path / name)
        (tmp_path / name / "churn.unfinished").write_bytes(b"half")
    (tmp_path / "here" / "churn.json").write_text('{"mine": true}')
    (tmp_path / "away" / "churn.parquet").unlink()
    assert f"  {tmp_path}/away/churn.unfinished\n" in run("delete-set", "churn", "--yes").output
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["churn.json"]
    assert [path.name for path in (tmp_path / "away").iterdir()] == ["churn.json"]


def test_a_set_that_is_deleted_while_it_is_made_again_stays_deleted(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets.make("churn")
    read = stored_sets_module.manifest

    def deleted_meanwhile(*given: Any) -> Any:
        delete(connect, sets.s3, sets.catalog, "churn", "bob")
        return read(*given)

    monkeypatch.setattr(stored_sets_module, "manifest", deleted_meanwhile)
    with pytest.raises(DataError, match="churn was deleted by bob on "):
        sets.make("churn")
    assert sets.keys() == []
    assert sets.catalog.list_tables(settings().training_database) == []


def test_a_second_deletion_takes_what_the_first_one_did_not_reach(sets: Sets, tmp_path: Path) -> None:
    folder, away = tmp_path / "sets", tmp_path / "away"
    store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn", target=folder)
    folder.rename(away)
    first = delete(connect, sets.s3, sets.catalog, "churn", "ann")
    assert [one.address for one in first.left] == [f"{folder}/churn.parquet"]
    [before] = stored_sets(sets.connection, with_deleted=True)
    sets.connection.commit()
    away.rename(folder)
    said = run("delete-set", "churn", "--yes").output
    assert "churn was deleted by ann on 20" in said
    assert not list(folder.iterdir())
    [after] = stored_sets(sets.connection, with_deleted=True)
    assert (after.deleted_by, after.deleted_at, after.left_locations) == ("ann", before.deleted_at, [])


def test_objects_that_are_not_found_are_left(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint may be another one."""
    made = sets.make("churn", catalog=None)

    def nothing(*_: Any) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(deleted_sets_module, "exists", nothing)
        said = run("delete-set", "churn", "--yes").output
    assert said.count(f"  {made.location}: not found\n") == 2
    [gone] = stored_sets(sets.connection, with_deleted=True)
    assert gone.left_locations == [made.location]
    assert delete(connect, sets.s3, sets.catalog, "churn", "ann").left == []
    assert sets.keys() == []


def test_what_is_gone_is_said_once(sets: Sets, tmp_path: Path) -> None:
    sets.make("churn")
    for name in ("here", "away", "lost"):
        store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn", target=tmp_path / name)
    (tmp_path / "lost" / "churn.parquet").unlink()
    (tmp_path / "away" / "churn.parquet").write_bytes(b"mine")
    here, away, lost = (str(tmp_path / name / "churn.parquet") for name in ("here", "away", "lost"))
    for address, message in [("/x", f"churn has no file /x left. It has: {away}"), (here, f"{here} is there")]:
        refused = run("delete-set", "churn", "--yes", "--gone", address)
        assert (refused.exit_code, message in refused.output) == (1, True), refused.output
    assert len(stored_sets(sets.connection)) == 1
    sets.connection.commit()
    said = run("delete-set", "churn", "--yes", "--gone", lost).output
    assert f"\nRecords as gone:\n  {lost}\n" in said
    assert said.endswith(
        f"churn is deleted. Left:\n  {away}: another file than that of churn is there now\n"
        "  Run the command again where these are. If one is gone, add --gone with its address\n"
    )
    assert run("delete-set", "churn", "--yes", "--gone", away).exit_code == 0
    [gone] = stored_sets(sets.connection, with_deleted=True)
    assert gone.left_locations == []
    assert [(one["address"], one["by"]) for one in gone.gone_locations] == [
        (lost, operating_system_user()),
        (away, operating_system_user()),
    ]


def test_what_s3_refuses_is_named(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sets.make("churn")

    def refuses(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject")

    for target, name, what in [
        (deleted_sets_module, "exists", made.location),
        (set_tables, "_remove", f"files of the table {made.lake_table}"),
        (deleted_sets_module, "remove", made.location),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(target, name, refuses)
            done = run("delete-set", "churn", "--yes")
        assert f"S3 refused DeleteObject of {what}: AccessDenied. The set is not deleted. Check" in done.output
        assert done.exit_code == 1
    assert len(stored_sets(sets.connection)) == 1

    # A real server refuses a store with unknown credentials.
    wrong = boto3.client("s3", aws_access_key_id="nobody", aws_secret_access_key="nothing")
    with pytest.raises(
        CommandFailed, match=r"S3 refused HeadObject of s3://.*/training/other\.parquet: 403\. .* again"
    ):
        store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="other", target=wrong)
    assert len(stored_sets(sets.connection)) == 1


def test_a_set_in_a_folder_needs_no_database_of_sets(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets.make("lake")
    store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn", target=tmp_path / "sets")
    sets.connection.execute("update waybill.training_set set lake_table = 'none.lake' where name = 'lake'")
    sets.connection.commit()
    monkeypatch.setenv("WAYBILL_TRAINING_DATABASE", "nowhere")
    settings.cache_clear()
    assert run("delete-set", "churn", "--yes").exit_code == 0
    assert not list((tmp_path / "sets").iterdir())
    done = run("delete-set", "lake", "--yes")
    assert "lake has the table none.lake, and the catalog of the lake has no such database. Set" in done.output
    assert sets.keys() == ["training/lake.json", "training/lake.parquet"]


@pytest.mark.parametrize("place", ["metadata", "files", "record"])
def test_a_deletion_that_dies_is_completed(place: str, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sets.make("churn")
    root = bucket_and_key(sets.table(made).location())
    target, name = {
        "metadata": (sets.catalog, "drop_table"),
        "files": (deleted_sets_module, "remove"),
        "record": (Path, "unlink"),
    }[place]
    if place == "record":
        store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn", target=sets.labels.parent / "sets")
    with monkeypatch.context() as patch:
        patch.setattr(target, name, dies)
        with pytest.raises(Dies):
            delete(connect, sets.s3, sets.catalog, "churn", "ann")
    [still] = stored_sets(sets.connection)
    sets.connection.commit()
    assert still.deleted_at is None
    delete(connect, sets.s3, sets.catalog, "churn", "ann")
    assert listed(sets, *root) == []
    assert sets.keys() == []
    assert not sets.catalog.table_exists(made.lake_table or "")
    assert stored_sets(sets.connection) == []


def test_without_its_catalog_nothing_is_deleted(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.make("churn")
    monkeypatch.setenv("WAYBILL_LAKE_CATALOG", "http://127.0.0.1:9")
    settings.cache_clear()
    done = run("delete-set", "churn", "--yes")
    assert (done.exit_code, "does not answer" in done.output, "training-set" in done.output) == (1, True, False)
    assert sets.keys() == ["training/churn.json", "training/churn.parquet"]
    assert len(stored_sets(sets.connection)) == 1


def test_a_set_whose_table_is_out_of_reach_is_not_deleted(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sets.make("churn")
    with monkeypatch.context() as patch:
        patch.setenv("WAYBILL_LAKE_DATABASE", "nowhere")
        settings.cache_clear()
        done = run("delete-set", "churn", "--yes")
        assert done.exit_code == 1
        assert f"churn has the table {made.lake_table}, and the catalog of the lake is not in use" in done.output
        assert len(sets.keys()) == 2
    monkeypatch.setenv("WAYBILL_TRAINING_DATABASE", "another")
    settings.cache_clear()
    assert delete(connect, sets.s3, sets.catalog, "churn", "ann").table == made.lake_table
    assert not sets.catalog.table_exists(str(made.lake_table))


def test_a_file_that_must_not_be_deleted_is_left(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    store(prepare(sets.labels, ["spend:1"]), connect, "ann", name="churn", target=tmp_path)
    for name in ("open", "unlink"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuses)
            found = delete(connect, sets.s3, sets.catalog, "churn", "ann")
        assert [(one.address, "Permission denied" in one.why) for one in found.left] == [
            (f"{tmp_path}/churn.parquet", True)
        ]
    [gone] = stored_sets(sets.connection, with_deleted=True)
    assert gone.left_locations == [f"{tmp_path}/churn.parquet"]


def test_the_table_of_another_set_is_not_deleted(sets: Sets) -> None:
    made = sets.make("a-b")
    sets.make("a_b", catalog=None)
    delete(connect, sets.s3, sets.catalog, "a_b", "ann")
    assert sets.table(made).scan().to_arrow().num_rows == 3
    assert sets.keys() == ["training/a-b.json", "training/a-b.parquet"]


def test_a_deleted_set_keeps_the_history_closed_and_lets_a_version_retire(sets: Sets) -> None:
    sets.make("churn")
    with pytest.raises(DataError, match="1 training set rests on spend:1: churn"):
        retire(sets.connection, sets.view, "ann")
    delete(connect, sets.s3, sets.catalog, "churn", "ann")
    assert is_history_over(sets.connection, sets.view)
    assert training_sets(sets.connection, sets.view) == []
    retire(sets.connection, sets.view, "ann")
