"""Read a table of the lake by Spark: addresses of the lake as JSON, a table and a condition; prints JSON.

The JSON has the rows, the numbers of files that the scan read and skipped, and the plan.
"""

from __future__ import annotations

import json
import sys

from waybill.lakehouse.exchange import Lake
from waybill.lakehouse.session import CATALOG, open_session


def main() -> None:
    lake, table, condition = sys.argv[1:]
    spark = open_session("shop", Lake.model_validate_json(lake))
    rows = spark.table(f"{CATALOG}.{table}").where(condition)
    found = [row.asDict() for row in rows.collect()]
    plan = rows._jdf.queryExecution().executedPlan()
    metrics = plan.collectLeaves().apply(0).metrics()
    files = {name: metrics.apply(f"{name}DataFiles").value() for name in ("result", "skipped")}
    print(json.dumps({"rows": found, "files": files, "plan": plan.toString()}, default=str))
    spark.stop()


if __name__ == "__main__":
    main()
