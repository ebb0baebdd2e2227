"""The operators of the watch: search data for anomalies and drift, look at incidents, and write the quality report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from waybill.operators.alerting import look_at
from waybill.operators.searching import now
from waybill.operators.sending import send
from waybill.operators.session import output_client, run_of, s3_client, sqs_client, warehouse

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.ops.alerts import Message
    from waybill.ops.dead_letters import DeadLetters

log = logging.getLogger(__name__)

_ERRORS = 20
"""After so many runs whose state is unknown, Airflow is asked no more."""


class WatchOperator(BaseOperator):
    """Searches data that was loaded since the last search for anomalies and schema drift; returns a line for each.

    They do not fail the run. `IncidentsOperator` sends the alerts.
    """

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.watch import anomalies, drift
        from waybill.watch.search import search

        with warehouse() as connection:
            drifted, found = search(connection, s3_client(), run_of(context), now())
        lines = [*drift.described(drifted), *anomalies.described(found)]
        for line in lines:
            log.warning("%s", line)
        return lines


class IncidentsOperator(BaseOperator):
    """Compares the problems of all domains with their incidents, and sends alerts; returns the open incidents.

    Settles failed runs that have succeeded since then without one of their own tasks.
    """

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.contracts.domains import load_manifests
        from waybill.ops.dead_letters import DeadLetterCounts
        from waybill.ops.incident_updates import unsettled_runs
        from waybill.ops.incidents import domains_with_incidents, open_incidents

        domains = sorted(load_manifests())
        counts = DeadLetterCounts(sqs_client)
        letters = counts(domains)
        with warehouse() as connection:
            # Incidents may be of DAGs without a domain, and of domains that were retired.
            known = sorted({*domains, *domains_with_incidents(connection)})
            unsettled = unsettled_runs(connection)
        send(partial(self._settle, context["run_id"], _succeeded(context, unsettled)), raises=True)
        for domain in known:
            own = [one for one in letters if one.domain == domain] if counts.is_complete else None
            send(partial(self._look, context["run_id"], domain, own), raises=True)
        with warehouse() as connection:
            found = open_incidents(connection, known)
        return [f"{one.incident_id} {one.state} ({one.severity}): {one.what}" for one in found]

    def _settle(self, run_id: str, succeeded: Sequence[tuple[str, str]], connection: Connection) -> list[Message]:
        """Close the incidents of runs that have succeeded since they failed."""
        from waybill.ops.alerts import incident_messages
        from waybill.ops.incident_updates import settle_run

        events = [event for run in succeeded for event in settle_run(connection, *run, run_id)]
        return incident_messages(self.dag_id, run_id, events)

    def _look(
        self, run_id: str, domain: str, letters: Sequence[DeadLetters] | None, connection: Connection
    ) -> list[Message]:
        from waybill.ops.alerts import incident_messages

        events = look_at(connection, domain, run_id, is_watch=True, letters=letters)
        return incident_messages(self.dag_id, run_id, events)


class StreamsOperator(BaseOperator):
    """Compares the lag of all streams with their incidents, and sends alerts; returns the lag in seconds by dataset.

    No run reads a stream: `waybill stream run` does, as a service of its own.
    """

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> dict[str, float | None]:
        from waybill.ops.incidents import open_incidents
        from waybill.stream.lag import stream_states, supervised

        names = supervised()
        with warehouse() as connection:
            # Streams that are not set any more may have incidents, also in domains that were retired.
            known = {one.domain for one in open_incidents(connection, None) if one.kind == "stream"}
            states = stream_states(connection, names)
        for domain in sorted({dataset.partition(".")[0] for dataset in names} | known):
            send(partial(self._look, context["run_id"], domain), raises=True)
        return {state.dataset: state.lag_seconds for state in states}

    def _look(self, run_id: str, domain: str, connection: Connection) -> list[Message]:
        from waybill.ops.alerts import incident_messages
        from waybill.views.operations.incidents import look_at_streams

        return incident_messages(self.dag_id, run_id, look_at_streams(connection, domain, run_id))


def _succeeded(context: Any, runs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the runs, of these (DAG, run), that Airflow lists as successful."""
    found, errors = [], 0
    for dag_id, run_id in runs:
        try:
            state = context["ti"].get_dagrun_state(dag_id, run_id)
        except Exception as error:  # the run was deleted: somebody closes its incident
            log.warning("the state of the run %s of %s is unknown: %s", run_id, dag_id, error)
            errors += 1
            if errors == _ERRORS:
                log.warning("the other runs are left to the next look")
                break
            continue
        if state == "success":
            found.append((dag_id, run_id))
    return found


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

        moment = context["dag_run"].run_after
        return send(lambda connection: digests(connection, self.dag_id, context["run_id"], moment), raises=True)
