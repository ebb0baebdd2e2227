"""The operator that maintains the lake."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import BaseOperator

from waybill.operators.session import is_dry_run, lake_catalog, run_of, s3_client, warehouse

log = logging.getLogger(__name__)


class MaintainLakeOperator(BaseOperator):
    """Maintains the tables of the lake; returns a line for each action. A dry run only lists the actions."""

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.contracts import load_all
        from waybill.outputs.lake_maintenance import described, maintain

        s3 = s3_client()
        with warehouse() as connection:
            found = maintain(
                connection, s3, lake_catalog(s3), load_all().values(), run_of(context), dry_run=is_dry_run(context)
            )
        lines = [described(action) for action in found]
        for line in lines:
            log.info("%s%s", "would " if is_dry_run(context) else "", line)
        return lines
