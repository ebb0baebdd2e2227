"""Names of columns and objects that mean something in Spark SQL are names and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.deliveries import CONTRACT, FIRST, LANDED_AT, Kind
from support.lake import Lake
from support.spark_job import Shelf, SparkProcess, lines
from waybill.contracts import odcs

HEADER = "one,at,own,code,run"
FILES = {"a${env:HOME}.csv": [1, 2], "b${spark.app.id}.csv": [2, 3]}


@pytest.fixture
def shelf(lake: Lake) -> Shelf:
    text = CONTRACT.replace("name: id", "name: one").replace("name: value", "name: own")
    kind = Kind()
    contract = odcs.recorded(
        text.format(
            name="events",
            at=kind.at,
            order=kind.order,
            lookback=kind.lookback,
            threshold=kind.threshold,
            key="primaryKey: true\n        primaryKeyPosition: 2",
            unique="description: Code.",
        )
    )
    return Shelf(lake, {"events": contract})


def test_names_of_columns_and_objects_are_only_names(shelf: Shelf, spark: SparkProcess) -> None:
    """Two files with a key in common, then a correction of the first one."""
    files = [
        shelf.put(name, lines(HEADER, [f"{row},{FIRST},1,," for row in rows]), at, period=FIRST, dataset="events")
        for at, (name, rows) in zip((LANDED_AT, LANDED_AT + timedelta(hours=1)), FILES.items(), strict=True)
    ]
    found = spark.load(shelf, shelf.request([("events", FIRST, files)], "first"))
    assert [(file.books["inserted"], file.books.get("unchanged", 0)) for file in found.files] == [(2, 0), (1, 1)]

    body = lines(HEADER, [f"{row},{FIRST},2,," for row in (1, 4)])
    corrected = shelf.put(
        "a${env:HOME}.csv",
        body,
        LANDED_AT + timedelta(hours=2),
        period=FIRST,
        dataset="events",
        replaces=files[0].etag,
    )
    (file,) = spark.load(shelf, shelf.request([("events", FIRST, [corrected])], "second")).files
    assert {name: rows for name, rows in file.books.items() if rows} == {"rows_in": 2, "inserted": 1, "updated": 1}
    table = shelf.lake.catalog.load_table(shelf.tables["events"][0]).scan().to_arrow().to_pylist()
    assert sorted((row["_object"].rpartition("/")[2], row["one"]) for row in table) == [
        ("a${env:HOME}.csv", 1),
        ("a${env:HOME}.csv", 4),
        ("b${spark.app.id}.csv", 2),
        ("b${spark.app.id}.csv", 3),
    ]
