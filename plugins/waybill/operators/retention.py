"""The operator that enforces the retentions of datasets."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import BaseOperator

from waybill.operators.session import data_errors_fail_at_once, is_dry_run, run_of, s3_client, warehouse

log = logging.getLogger(__name__)


class RetentionOperator(BaseOperator):
    """Removes what the retentions of contracts no longer keep; returns a line for each removal."""

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.contracts import load_all
        from waybill.retention.enforce import enforce

        with data_errors_fail_at_once(), warehouse() as connection:
            found = enforce(connection, s3_client(), load_all().values(), run_of(context), dry_run=is_dry_run(context))
        return [str(removal) for removal in found]
