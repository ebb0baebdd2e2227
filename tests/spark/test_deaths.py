"""A job that is killed, or that runs twice at once, leaves nothing that the next try does not repair."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from support.deliveries import FIRST, LANDED_AT, Kind
from support.lake import Lake
from support.spark_job import Shelf, SparkProcess, lines, start_job
from waybill.lakehouse.exchange import IntakeRequest, IntakeResult, Landed

KIND = Kind(has_day_in_key=False)
HEADER = "id,at,value,code"
SECOND = FIRST + timedelta(days=1)
FORMER = [f"{number},{FIRST},1,A" for number in range(1, 9)]
LATER = [*(f"{number},{FIRST},{number},A" for number in range(1, 7)), f"9,{FIRST},x,A", f"1,{FIRST},7,A"]
OTHERS = [f"{number},{SECOND},5,B" for number in range(4, 12)]


def shelf_of(lake: Lake, *names: str) -> Shelf:
    return Shelf(lake, {name: KIND.contract(name) for name in names})


def put(shelf: Shelf, name: str, day: date, rows: list[str], at: datetime, replaces: Landed | None = None) -> Landed:
    etag = replaces.etag if replaces else None
    return shelf.put("a.csv", lines(HEADER, rows), at, period=day, dataset=name, replaces=etag)


def second_deliveries(shelf: Shelf, spark: SparkProcess) -> dict[str, IntakeRequest]:
    """Load a day of each dataset, and return the requests to load a new version of its file and the next day."""
    former = {name: put(shelf, name, FIRST, FORMER, LANDED_AT) for name in shelf.contracts}
    spark.load(shelf, shelf.request([(name, FIRST, [file]) for name, file in former.items()], "first"))
    found = {}
    for name, file in former.items():
        later = put(shelf, name, FIRST, LATER, LANDED_AT + timedelta(hours=1), file)
        others = put(shelf, name, SECOND, OTHERS, LANDED_AT)
        found[name] = shelf.request([(name, FIRST, [later]), (name, SECOND, [others])], f"{name}-2")
    return found


def state(shelf: Shelf, name: str, result: IntakeResult) -> Any:
    """Return the rows of both tables and the result, without what differs between two datasets."""
    rows = [
        sorted(
            str({column: value for column, value in row.items() if column not in ("_object", "_name_key")})
            for row in shelf.lake.catalog.load_table(table).scan().to_arrow().to_pylist()
        )
        for table in shelf.tables[name]
    ]
    files = [
        (file.period, file.status, file.books, file.changed_days, file.newest, file.warnings) for file in result.files
    ]
    return rows, files


def snapshots(shelf: Shelf, name: str) -> int:
    return len(shelf.lake.catalog.load_table(shelf.tables[name][0]).metadata.snapshots)


def data_files(shelf: Shelf, name: str) -> int:
    return sum(f"processed/shop/{name}/" in key for key in shelf.lake.objects())


STATES: dict[str, Callable[[Shelf, str, str], bool]] = {
    "before_the_write": lambda _, __, log: "files are checked" in log,
    "after_data_files": lambda shelf, name, _: data_files(shelf, name) > 1,
    "after_a_commit": lambda shelf, name, _: snapshots(shelf, name) > 1,
    "before_the_result": lambda shelf, name, _: snapshots(shelf, name) > 2,
}


def test_a_killed_job_is_repeated(lake: Lake, spark: SparkProcess, tmp_path: Path) -> None:
    shelf = shelf_of(lake, *STATES, "whole")
    requests = second_deliveries(shelf, spark)
    logs = {name: tmp_path / f"{name}.log" for name in STATES}
    jobs = {name: start_job(shelf.sent(requests[name]), log) for name, log in logs.items()}
    killed: set[str] = set()
    while len(killed) < len(jobs):
        for name, job in jobs.items():
            if name not in killed and STATES[name](shelf, name, logs[name].read_text()):
                assert job.poll() is None, logs[name].read_text()[-3000:]
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
                killed.add(name)
            assert name in killed or job.poll() is None, logs[name].read_text()[-3000:]
        time.sleep(0.02)
    whole = state(shelf, "whole", spark.load(shelf, requests["whole"]))
    for name in STATES:
        assert state(shelf, name, spark.load(shelf, requests[name])) == whole
    books = [{name: count for name, count in books.items() if count} for _, _, books, *_ in whole[1]]
    assert books == [
        {"rows_in": 8, "updated": 5, "unchanged": 1, "rejected": 2},
        {"rows_in": 8, "inserted": 5, "updated": 3},
    ]
    assert [days for _, _, _, days, *_ in whole[1]] == [(FIRST,), (FIRST, SECOND)]


def again(shelf: Shelf, name: str, request: IntakeRequest) -> IntakeRequest:
    """Return the request of another run for the same files, from the same recorded snapshots."""
    dataset = request.datasets[name]
    found = shelf.snapshot(dataset.table), shelf.snapshot(dataset.quarantine)
    datasets = request.datasets | {name: dataset.model_copy(update={"found": found})}
    return request.model_copy(update={"scratch": f"{request.scratch}-again", "run_id": "again", "datasets": datasets})


def test_another_run_repairs_what_was_committed_and_not_recorded(
    lake: Lake, spark: SparkProcess, tmp_path: Path
) -> None:
    """A run that another one overtakes fails at its commit, and one with an old request fails when it begins."""
    shelf = shelf_of(lake, "died", "overtaken", "whole")
    requests = second_deliveries(shelf, spark)
    spark.load(shelf, requests["died"])
    path = tmp_path / "late.json"
    path.write_text(json.dumps({"request": requests["overtaken"].model_dump(mode="json")}))
    spark.tell(str(path))
    assert "conflict" in json.loads(path.with_suffix(".rows").read_text()).lower()
    whole = state(shelf, "whole", spark.load(shelf, requests["whole"]))
    for name in ("died", "overtaken"):
        assert state(shelf, name, spark.load(shelf, again(shelf, name, requests[name]))) == whole
        old = requests[name].model_copy(update={"scratch": "s3://lake/_spark/old"})
        path.write_text(json.dumps({"request": old.model_dump(mode="json")}))
        spark.tell(str(path))
        assert "conflict: another writer has changed" in json.loads(path.with_suffix(".rows").read_text())
        assert state(shelf, name, spark.load(shelf, again(shelf, name, requests[name]))) == whole
