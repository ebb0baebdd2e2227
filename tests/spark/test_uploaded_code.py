"""The job runs from the files that are uploaded for AWS, without the project's folder."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from support.lake import Lake
from support.spark_job import SPARK, Shelf, lines, spark_environment
from waybill.contracts import load_domain
from waybill.lakehouse.exchange import IntakeResult
from waybill.settings import PROJECT_ROOT

DAY = date(2026, 3, 2)
HEADER = "event_id,session_id,customer_id,event_type,page,product_id,timestamp,device"


def test_the_job_loads_a_file_from_the_archive(lake: Lake, tmp_path: Path) -> None:
    code = tmp_path / "code"
    subprocess.run([sys.executable, PROJECT_ROOT / "deploy" / "spark_code.py", code], check=True)
    shelf = Shelf(lake, {"clickstream": load_domain("shop")["clickstream"]})
    one = "00000000-0000-0000-0000-000000000001"
    row = f"{one},{one},7,page_view,/,,{DAY}T10:00:00Z,mobile"
    file = shelf.put("a.csv", lines(HEADER, [row]), datetime(2026, 3, 3, tzinfo=UTC), period=DAY)
    address = shelf.sent(shelf.request([("clickstream", DAY, [file])]))
    done = subprocess.run(
        [SPARK / "bin/python", code / "job.py", "--JOB_NAME", "waybill-dev-spark", "--request", address],
        env=spark_environment() | {"PYTHONPATH": str(code / "waybill.zip")},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = shelf.result(address)
    assert isinstance(result, IntakeResult)
    assert [(file.status, file.books["inserted"]) for file in result.files] == [("loaded", 1)]
