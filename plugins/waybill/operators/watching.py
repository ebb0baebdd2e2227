"""The operators of the watch: search data for anomalies and drift, look at incidents, and write the quality report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from waybill.operators.alerting import look_at, now
from waybill.operators.sending import send
from waybill.operators.session import output_client, run_of, s3_client, sqs_client, warehouse

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.ops.alerts import Message
    from waybill.ops.dead_letters import DeadLetters
    from waybill.ops.incidents import Event

log = logging.getLogger(__name__)


class WatchOperator(BaseOperator):
    """Searches data that was loaded since the last search for anomalies and schema drift; returns a line for each.

    They do not fail the run. `IncidentsOperator` sends the alerts.
    """

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.watch import drift, looks, subjects
        from waybill.watch.anomalies import described, watch

        datasets, run = subjects.datasets(), run_of(context)
        with warehouse() as connection:
            found = drift.described(drift.look(connection, s3_client(), datasets, run))
            looks.note(connection, "drift")
            found += described(watch(connection, [*datasets, *subjects.reports()], run, now()))
            looks.note(connection, "anomalies")
        for line in found:
            log.warning("%s", line)
        return found


class IncidentsOperator(BaseOperator):
    """Compares the problems of all domains with their incidents, and sends alerts; returns the open incidents.

    Settles failed runs that have succeeded since then without one of their own tasks.
    """

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.contracts.domains import load_manifests
        from waybill.ops.dead_letters import DeadLetterCounts
        from waybill.ops.incidents import domains_with_incidents, open_incidents

        domains = sorted(load_manifests())
        letters = DeadLetterCounts(sqs_client)(domains)
        with warehouse() as connection:
            # Incidents may be of DAGs without a domain, and of domains that were retired.
            known = sorted({*domains, *domains_with_incidents(connection)})
        send(partial(self._settle, context))
        for domain in known:
            send(partial(self._look, context, domain, [one for one in letters if one.domain == domain]))
        with warehouse() as connection:
            found = open_incidents(connection, known)
        return [f"{one.incident_id} {one.state} ({one.severity}): {one.what}" for one in found]

    def _settle(self, context: Any, connection: Connection) -> list[Message]:
        """Close the incidents of runs that have succeeded since they failed."""
        from waybill.ops.alerts import incident_messages
        from waybill.ops.incident_updates import settle_run, unsettled_runs

        events: list[Event] = []
        for dag_id, run_id in unsettled_runs(connection):
            try:
                state = context["ti"].get_dagrun_state(dag_id, run_id)
            except Exception as error:  # the run was deleted: somebody closes the incident
                log.warning("the state of the run %s of %s is unknown: %s", run_id, dag_id, error)
                continue
            if state == "success":
                events += settle_run(connection, dag_id, run_id, context["run_id"])
        return [
            message
            for domain in sorted({one.incident.domain for one in events})
            for message in incident_messages(
                self.dag_id, context["run_id"], [one for one in events if one.incident.domain == domain]
            )
        ]

    def _look(self, context: Any, domain: str, letters: Sequence[DeadLetters], connection: Connection) -> list[Message]:
        from waybill.ops.alerts import incident_messages

        events = look_at(connection, domain, context["run_id"], is_watch=True, letters=letters)
        return incident_messages(self.dag_id, context["run_id"], events)


class QualityReportOperator(BaseOperator):
    """Writes the quality report to the bucket of reports; returns its address."""

    ui_color = "#f4e3e3"

    def execute(self, context: Any) -> str:  # noqa: ARG002  # Airflow's signature
        from waybill.views.quality_report import publish

        with warehouse() as connection:
            return publish(connection, output_client(), now())


class DigestOperator(BaseOperator):
    """Sends the daily digest of incidents and loads, one message for each team; returns the number of messages."""

    ui_color = "#f4e3e3"

    def execute(self, context: Any) -> int:
        from waybill.ops.digest import digests

        sent = 0

        def compose(connection: Connection) -> list[Message]:
            nonlocal sent
            found = digests(connection, self.dag_id, context["run_id"], context["dag_run"].run_after)
            sent = len(found)
            return found

        send(compose)
        return sent
