"""Operators for reports: build them with SQL or Python, and publish them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperator

from waybill.checks.answers import APPROVE, REJECT
from waybill.contracts.locations import feature_schema, read_sql, report_schema
from waybill.operators.alerting import alert_approval, look_after_run
from waybill.operators.assets import emit_no_event, reports_asset
from waybill.operators.lineage_events import build_lineage, publish_lineage
from waybill.operators.measuring import measured_checks
from waybill.operators.session import (
    data_errors_fail_at_once,
    output_client,
    period_of,
    run_of,
    skip_in_dry_run,
    warehouse,
)
from waybill.operators.waits import begin_wait, end_wait

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.period import Cadence, Period


class SqlReportOperator(BaseOperator):
    """Replaces the rows of a report for the run's period with the result of its SQL file, and checks them.

    The stem of the file is the name of the report, its contract and the task.
    """

    template_fields = ("sql",)
    template_fields_renderers = {"sql": "sql"}
    ui_color = "#e7e3f4"

    def __init__(self, *, domain: str, path: Path, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(task_id=path.stem, **kwargs)
        self.domain, self.cadence = domain, cadence
        self.sql = read_sql(path)

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render nothing. The SQL is a template field only for display, and Jinja would remove its last line end."""

    def execute(self, context: Any) -> int:
        from waybill.derived.build import build_from_sql, known_files, report_contract

        with data_errors_fail_at_once(), warehouse() as connection:
            contract = report_contract(self.domain, self.task_id)
            period = period_of(context, self.cadence)
            find_inputs = partial(known_files, connection, self.domain, period, self.sql)
            with measured_checks(context, connection, [contract]):
                return build_from_sql(connection, contract, find_inputs, self.sql, period, run_of(context)).rows

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was built from what, for Airflow's OpenLineage provider."""
        return build_lineage(task_instance, [f"{report_schema(self.domain)}.{self.task_id}"])


class PythonReportOperator(BaseOperator):
    """Replaces the rows of a report for the run's period with the result of a Python function, and checks them.

    The function gets the warehouse connection and the period, and returns rows as mappings. The id of the task is the
    name of the report and its contract.
    """

    ui_color = "#e7e3f4"

    def __init__(
        self,
        *,
        domain: str,
        cadence: Cadence,
        function: Callable[[Connection, Period], Sequence[Mapping[str, Any]]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.domain, self.cadence, self.function = domain, cadence, function

    def execute(self, context: Any) -> int:
        from waybill.derived.build import build_from_rows, known_files, report_contract

        with data_errors_fail_at_once(), warehouse() as connection:
            contract = report_contract(self.domain, self.task_id)
            period = period_of(context, self.cadence)
            rows = self.function(connection, period)
            find_inputs = partial(known_files, connection, self.domain, period)
            with measured_checks(context, connection, [contract]):
                return build_from_rows(connection, contract, find_inputs, rows, period, run_of(context)).rows

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was built from what, for Airflow's OpenLineage provider."""
        return build_lineage(task_instance, [f"{report_schema(self.domain)}.{self.task_id}"])


class RefreshOperator(BaseOperator):
    """Rebuilds the stale periods of a schema's derived tables; returns the periods with new content by table."""

    ui_color = "#e7e3f4"

    def __init__(self, *, domain: str, schema: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain, self.schema = domain, schema

    def execute(self, context: Any) -> dict[str, list[str]]:
        from waybill.contracts import load_domain
        from waybill.derived.refresh import refresh

        skip_in_dry_run(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            tables = load_domain(self.schema).values()
            with measured_checks(context, connection, tables):
                return refresh(connection, self.domain, self.schema, run_of(context))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was built from what, for Airflow's OpenLineage provider."""
        from waybill.contracts import load_domain

        return build_lineage(task_instance, [contract.table for contract in load_domain(self.schema).values()])


class FeaturesOperator(BaseOperator):
    """Rebuilds the periods of a domain's feature views that need it; returns those with new content by table."""

    ui_color = "#e7e3f4"

    def __init__(self, *, domain: str, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain, self.cadence = domain, cadence

    def execute(self, context: Any) -> dict[str, list[str]]:
        from waybill.contracts import load_domain
        from waybill.contracts.domains import load_manifest
        from waybill.derived.refresh_features import refresh_features

        skip_in_dry_run(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            is_current = load_manifest(self.domain).semantics == "current"
            period = None if is_current else period_of(context, self.cadence)
            tables = load_domain(feature_schema(self.domain)).values()
            with measured_checks(context, connection, tables):
                return refresh_features(connection, self.domain, run_of(context), period)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was built from what, for Airflow's OpenLineage provider."""
        from waybill.contracts import load_domain

        return build_lineage(
            task_instance, [contract.table for contract in load_domain(feature_schema(self.domain)).values()]
        )


class _ApprovedOperator(HITLOperator, ABC):
    """Publishes reports, and asks for approval of those that exceed `maxWarnings`.

    Reports that need no approval are published at once. The task waits without occupying a worker, and sends an alert.
    A rejection is recorded and fails the run. Clearing the task asks again.
    """

    ui_color = "#f4e3e3"
    template_fields = ()

    def __init__(self, *, domain: str, execution_timeout: timedelta | None = None, **kwargs: Any) -> None:
        # The execution timeout would limit the time for an answer, so it is set afterwards: people may take their time.
        super().__init__(
            subject=f"Publish the reports of {domain}?",
            options=[APPROVE, REJECT],
            execution_timeout=None,
            task_display_name=f"Publish the reports of {domain}",
            outlets=[reports_asset(domain)],
            **kwargs,
        )
        self.execution_timeout = execution_timeout
        self.domain = domain

    def post_execute(self, context: Any, result: Any = None) -> None:  # noqa: ARG002  # Airflow's signature
        """Look at the incidents of the domain: this task ends the work of a run."""
        look_after_run(context, self.domain)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was published, for Airflow's OpenLineage provider."""
        return publish_lineage(task_instance, self.domain)

    @abstractmethod
    def publish(self, connection: Connection, context: Any) -> list[str]:
        """Export the reports that need no approval; returns the keys."""

    def _publish(self, connection: Connection, context: Any) -> list[str]:
        """Export, and emit an asset event only if the run has published new content."""
        from waybill.outputs.publish import has_published

        keys = self.publish(connection, context)
        if not has_published(connection, self.domain, run_of(context)):
            emit_no_event(self)
        return keys

    def execute(self, context: Any) -> list[str]:
        from waybill.checks.approval import held_by, question
        from waybill.derived.build import report_contracts

        with data_errors_fail_at_once(), warehouse() as connection:
            keys = self._publish(connection, context)
            waiting = held_by(connection, report_contracts(self.domain).values(), run_of(context))
        if waiting:
            self.subject = f"Publish {', '.join(map(str, waiting[:3]))}{' and others' if waiting[3:] else ''}?"
            self.body = question(waiting)
            alert_approval(context, waiting)
            begin_wait(context)
            super().execute(context)
        return keys

    def execute_complete(self, context: Any, event: dict[str, Any]) -> list[str]:
        from waybill.checks.approval import approve, held_by, reject
        from waybill.derived.build import report_contracts
        from waybill.errors import DataError

        end_wait(context)
        answer = super().execute_complete(context, event)
        who = (answer["responded_by_user"] or {}).get("name") or "somebody"
        with data_errors_fail_at_once(), warehouse() as connection:
            waiting = held_by(connection, report_contracts(self.domain).values(), run_of(context))
            if answer["chosen_options"] != [APPROVE]:
                raise DataError(reject(connection, waiting, run_of(context), who))
            approve(connection, waiting, who)
            return self._publish(connection, context)


class PublishOperator(_ApprovedOperator):
    """Exports all reports of the domain for the run's period, with a manifest; returns the keys."""

    def __init__(self, *, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cadence = cadence

    def publish(self, connection: Connection, context: Any) -> list[str]:
        from waybill.derived.build import report_contracts
        from waybill.outputs.publish import publish

        contracts, period = report_contracts(self.domain).values(), period_of(context, self.cadence)
        return publish(connection, output_client(), self.domain, contracts, period, run_of(context))


class PublishChangedOperator(_ApprovedOperator):
    """Exports the reports of any period whose content changed, with manifests; returns the keys."""

    def publish(self, connection: Connection, context: Any) -> list[str]:
        from waybill.outputs.publish import publish_changed

        return publish_changed(connection, output_client(), self.domain, run_of(context))


class PublishDashboardOperator(BaseOperator):
    """Writes the business view to the dashboard bucket as a static site; returns the number of files written."""

    ui_color = "#f4e3e3"

    def execute(self, context: Any) -> int:  # noqa: ARG002  # Airflow's signature
        from waybill.views.site import publish_dashboard

        with data_errors_fail_at_once(), warehouse() as connection:
            return len(publish_dashboard(connection, output_client()))
