"""One Spark session that answers requests, beside the tests.

Each line of the input is the address of a request, or the path of a question. The arguments are the domain, whose
schema has the views that SQL reads, and the lake.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from support.engine_cases import canonical_row, decide_on_spark
from waybill.contracts import odcs
from waybill.lakehouse.commits import last_snapshot, replace_partition, rows_at
from waybill.lakehouse.exchange import IntakeRequest, Lake, receive_request, send
from waybill.lakehouse.job import answer
from waybill.lakehouse.session import open_session
from waybill.lakehouse.views import register_views


def write_rows(spark: Any, path: Path) -> None:
    """Write the rows of a dataset's view beside a question about it."""
    asked = json.loads(path.read_text())
    contract, as_of = odcs.recorded(asked["contract"]), asked["as_of"] and date.fromisoformat(asked["as_of"])
    deliveries = rows_at(spark, asked["table"], last_snapshot(spark, asked["table"]))
    register_views(spark, contract.domain, contract.name, contract, deliveries, as_of)
    view = f"{contract.domain}.{contract.name}{'_as_of' if as_of else ''}"
    rows = [canonical_row(contract, row) for row in spark.table(view).collect()]
    path.with_suffix(".rows").write_text(json.dumps(rows))


def overwrite_late(spark: Any, path: Path) -> None:
    """Answer a request, and then try to replace a partition as if the answer were of another run.

    The error is written beside the question.
    """
    asked = json.loads(path.read_text())
    request = IntakeRequest.model_validate(asked["request"])
    part = request.parts[0]
    table = request.datasets[part.dataset].table
    base = last_snapshot(spark, table)
    try:
        answer(spark, request)
        replace_partition(rows_at(spark, table, base), table, part.period, base, request)
    except Exception as error:
        path.with_suffix(".rows").write_text(json.dumps(str(error)[:2000]))


def main() -> None:
    import boto3

    s3 = boto3.client("s3")
    domain, lake = sys.argv[1:]
    spark = open_session(domain, Lake.model_validate_json(lake))
    for line in sys.stdin:
        address = line.strip()
        if address.startswith("s3://"):
            request = receive_request(s3, address)
            send(s3, f"{address.rpartition('/')[0]}/result.json", answer(spark, request))
        elif address.endswith("late.json"):
            overwrite_late(spark, Path(address))
        elif address.endswith(".json"):
            write_rows(spark, Path(address))
        else:
            decide_on_spark(spark, Path(address))
        print(address, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
