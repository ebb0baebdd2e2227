"""Operators of domains with `engine: spark`: a request, the job that answers it, and the record of the answer."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from uuid import uuid4

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from waybill.operators.assets import dataset_asset, dataset_names, emit_no_event
from waybill.operators.datasets import chosen_datasets
from waybill.operators.lineage_events import build_lineage, load_lineage
from waybill.operators.measuring import measured_checks, measured_load
from waybill.operators.searching import searched_if_rejected
from waybill.operators.session import (
    AWS,
    data_errors_fail_at_once,
    is_dry_run,
    lake_catalog,
    period_of,
    run_of,
    s3_client,
    skip_in_dry_run,
    warehouse,
)
from waybill.settings import settings

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.lakehouse.recorded import Holder
    from waybill.lakehouse.submit import LocalJob
    from waybill.period import Cadence

log = logging.getLogger(__name__)
_ENDED: Final = ("success", "failed")
_WAIT_SECONDS: Final = 15
"""How often a run asks whether it may load files."""


def spark_tasks(domain: str, cadence: Cadence) -> list[BaseOperator]:
    """Return the tasks that load the files of a domain by Spark and then compute its reports, one after the other."""
    of_period: dict[str, Any] = {"domain": domain, "cadence": cadence}
    steps: list[BaseOperator] = []
    for what, prepare, record in (
        ("intake", PrepareIntakeOperator, RecordIntakeOperator),
        ("reports", PrepareReportsOperator, RecordReportsOperator),
    ):
        steps += [
            prepare(task_id=f"prepare_{what}", **of_period),
            spark_task(what, domain),
            record(task_id=f"record_{what}", request=f"prepare_{what}", **of_period),
        ]
    for upstream, downstream in pairwise(steps):
        upstream >> downstream
    return steps


def spark_task(what: str, domain: str) -> BaseOperator:
    """Return the task that runs the job for the request of the task `prepare_<what>`, where the settings say."""
    operator: Callable[..., BaseOperator] = LocalSparkOperator
    if settings().spark != "local":  # the operators of AWS take a while to import
        from waybill.operators.spark_on_aws import EmrSparkOperator, GlueSparkOperator

        operator = GlueSparkOperator if settings().spark == "glue" else EmrSparkOperator
    name = f"Spark: {what} of {domain}"
    limit = timedelta(hours=settings().spark_hours)
    return operator(task_id=f"spark_{what}", task_display_name=name, request=f"prepare_{what}", execution_timeout=limit)


class _PrepareOperator(BaseOperator):
    """Writes a request to the bucket of the lake; returns its address, or None if there is nothing to do."""

    ui_color = "#e8f4f8"

    def __init__(self, *, domain: str, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain, self.cadence = domain, cadence

    def scratch(self, context: Any) -> str:
        """Return the address of a new folder for this try of the task.

        Glue reattaches to the run of the same request, so that each request needs an address of its own.
        """
        return f"s3://{settings().lake_bucket}/_spark/{self.domain}/{quote(context['run_id'], safe='')}/{uuid4().hex}"


class PrepareIntakeOperator(_PrepareOperator):
    """Writes the request to load the pending files up to the run's period. A dry run returns the files instead.

    One run at a time does this and the following tasks, to `record_reports`. The others wait here, and then find what
    the first one has left to do.
    """

    def execute(self, context: Any) -> Any:
        from waybill.lakehouse.prepare import list_pending, prepare_intake
        from waybill.lakehouse.recorded import take

        with data_errors_fail_at_once(), warehouse() as connection:
            s3, period = s3_client(), period_of(context, self.cadence)
            names = chosen_datasets(context, dataset_names(self.domain))
            if is_dry_run(context):
                return list_pending(connection, s3, self.domain, period, names=names)
            run = run_of(context)
            if other := take(connection, self.domain, self.dag_id, run, partial(_is_active, context["ti"])):
                log.info("the run %s loads files of %s; this run waits for it", other, self.domain)
                at = datetime.now(UTC) + timedelta(seconds=_WAIT_SECONDS)
                raise AirflowRescheduleException(at)  # type: ignore[no-untyped-call]
            return prepare_intake(
                connection,
                s3,
                lake_catalog(s3),
                self.domain,
                period,
                run,
                self.scratch(context),
                names=names,
            )


def _is_active(task: Any, holder: Holder) -> bool:
    """Return whether a run has not ended."""
    try:
        return task.get_dagrun_state(holder.dag_id, holder.run_id) not in _ENDED
    except Exception as error:  # the run was deleted
        log.warning("the state of the run %s of %s is unknown: %s", holder.run_id, holder.dag_id, error)
        return False


class PrepareReportsOperator(_PrepareOperator):
    """Writes the request to compute the stale reports and the checks of the run's period.

    All files are loaded by then, so this task also sends the warnings about them.
    """

    def execute(self, context: Any) -> str | None:
        from waybill.lakehouse.reports import prepare_reports
        from waybill.operators.alerting import notify_warnings

        skip_in_dry_run(context)
        if not settings().notify_scheduled:
            notify_warnings(self.domain)(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            period = period_of(context, self.cadence)
            return prepare_reports(connection, s3_client(), self.domain, run_of(context), self.scratch(context), period)


def _address(context: Any, request: str) -> str | None:
    """Return the address of the request that a task wrote; None if it wrote none."""
    found = context["ti"].xcom_pull(task_ids=request)
    return found if isinstance(found, str) else None


def address_or_skip(context: Any, request: str) -> str:
    """Return the address of a request. Raises `AirflowSkipException` without one.

    Fails the task if another run has begun to load files since the request was written: the job would undo its work.
    """
    from waybill.errors import DataError

    found = _address(context, request)
    if found is None:
        raise AirflowSkipException(f"{request} has found nothing to do, so that no Spark is needed")
    with data_errors_fail_at_once():
        if request == "prepare_intake" and not has_turn(context):
            raise DataError(
                "Another run has begun to load files since the request of this run was written. Clear prepare_intake "
                "and the tasks after it."
            )
    return found


def has_turn(context: Any) -> bool:
    """Return whether a run is the one that loads files of its domain."""
    from waybill.lakehouse.recorded import holds

    with warehouse() as connection:
        return holds(connection, context["dag"].dag_id, run_of(context))


class LocalSparkOperator(BaseOperator):
    """Runs the job on this machine. The job ends when the task is stopped or dies."""

    ui_color = "#f9e0c7"

    def __init__(self, *, request: str, **kwargs: Any) -> None:
        super().__init__(max_active_tis_per_dag=1, **kwargs)  # each needs the memory of a Java process
        self.request = request
        self._job: LocalJob | None = None

    def execute(self, context: Any) -> None:
        from waybill.lakehouse.submit import LocalJob

        address = address_or_skip(context, self.request)
        with data_errors_fail_at_once():
            self._job = LocalJob(address, variables_of_job())
            self._job.run()

    def on_kill(self) -> None:
        """End the job."""
        if self._job:
            self._job.stop()


def variables_of_job() -> dict[str, str]:
    """Return the variables with which a process reaches S3 and the catalog as Airflow's connection does.

    Keys of a session end before a long job does, and nothing would renew them there. Without keys, the job finds those
    of its environment, such as the role of the machine, and renews them.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    s3, session = s3_client(), AwsGenericHook(AWS, client_type="s3").get_session()
    found = session.get_credentials()
    keys = found and found.get_frozen_credentials()
    variables: dict[str, str | None] = {
        "AWS_REGION": s3.meta.region_name,
        "AWS_ENDPOINT_URL_S3": s3.meta.endpoint_url,
    }
    if keys and not keys.token:
        variables |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    return {name: value for name, value in variables.items() if value}


class _RecordOperator(BaseOperator):
    """Records the answer of the job. Runs also if there was no request."""

    ui_color = "#dff0d8"

    def __init__(self, *, domain: str, cadence: Cadence, request: str, **kwargs: Any) -> None:
        super().__init__(trigger_rule="none_failed", **kwargs)
        self.domain, self.cadence, self.request = domain, cadence, request

    def execute(self, context: Any) -> Any:
        from waybill.lakehouse.exchange import RESULT, beside

        skip_in_dry_run(context)
        address = _address(context, self.request)
        with data_errors_fail_at_once(), warehouse() as connection:
            return self.record(connection, address and beside(address, RESULT), context)

    @abstractmethod
    def record(self, connection: Connection, result: str | None, context: Any) -> Any:
        """Record the result at an address; None if there was nothing to do."""


class RecordIntakeOperator(_RecordOperator):
    """Records the files that the job loaded or rejected; returns the books by file."""

    def __init__(self, *, domain: str, **kwargs: Any) -> None:
        outlets = [dataset_asset(domain, name) for name in dataset_names(domain)]
        super().__init__(domain=domain, outlets=outlets, **kwargs)

    def record(self, connection: Connection, result: str | None, context: Any) -> dict[str, dict[str, Any]]:
        """Record the files."""
        from waybill.contracts import load_domain
        from waybill.intake.ledger import has_loaded
        from waybill.lakehouse.record import record_intake

        contracts, run, s3 = load_domain(self.domain), run_of(context), s3_client()
        done = {}
        if result is not None:
            with ExitStack() as around:
                for contract in contracts.values():
                    around.enter_context(measured_load(context, connection, contract))
                    around.enter_context(searched_if_rejected(connection, contract, run))
                done = record_intake(connection, s3, lake_catalog(s3), result, self.domain, run)
        loaded = [name for name, contract in contracts.items() if has_loaded(connection, contract.table, run)]
        if loaded:
            self.outlets = [dataset_asset(self.domain, name) for name in loaded]
        else:
            emit_no_event(self)
        return {key: vars(books) for key, books in done.items()}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the files that were loaded, for Airflow's OpenLineage provider."""
        return load_lineage(task_instance, [f"{self.domain}.{name}" for name in dataset_names(self.domain)])


class RecordReportsOperator(_RecordOperator):
    """Records the checks and the computed reports; returns the periods with new content by table.

    Then the next run may load files of the domain.
    """

    def record(self, connection: Connection, result: str | None, context: Any) -> dict[str, list[str]]:
        """Record the reports."""
        from waybill.contracts import load_domain
        from waybill.derived.build import report_contracts
        from waybill.lakehouse.recorded import give_back
        from waybill.lakehouse.reports import record_reports

        done, run = dict[str, list[str]](), run_of(context)
        if result is not None:
            tables = [*load_domain(self.domain).values(), *report_contracts(self.domain).values()]
            with measured_checks(context, connection, tables):
                done = record_reports(connection, s3_client(), result, self.domain, run)
        give_back(connection, self.domain, run)
        return done

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was built from what, for Airflow's OpenLineage provider."""
        from waybill.derived.build import report_contracts

        return build_lineage(task_instance, [contract.table for contract in report_contracts(self.domain).values()])
