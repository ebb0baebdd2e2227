"""Datasets: wait for their files, take them in, check them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseSensorOperator

from waybill.operators.assets import dataset_asset, emit_no_event
from waybill.operators.landed_trigger import LandedTrigger
from waybill.operators.measuring import measured_checks, measured_load
from waybill.operators.session import (
    AWS,
    data_errors_fail_at_once,
    glue_client,
    is_dry_run,
    period_of,
    run_of,
    s3_client,
    skip_in_dry_run,
    warehouse,
)

if TYPE_CHECKING:
    from waybill.contracts import Contract
    from waybill.period import Cadence, Period

log = logging.getLogger(__name__)


class LandedSensor(BaseSensorOperator):
    """Waits, without holding a worker, until each dataset has at least one file of the run's period.

    A run that was not scheduled fails at once if its period is not over yet. A run that would wait for a dataset with
    an object whose folders name no period fails at once, too, unless an earlier one has said so.
    """

    ui_color = "#e8f4f8"

    def __init__(self, *, domain: str, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain, self.cadence = domain, cadence

    def execute(self, context: Any) -> None:
        from waybill.contracts import load_domain
        from waybill.contracts.locations import raw_prefix
        from waybill.intake.ingest import refuse_misplaced
        from waybill.intake.landing import has_landed, list_objects
        from waybill.settings import settings

        with data_errors_fail_at_once():
            period = period_of(context, self.cadence)
            self._refuse_future(period, context["dag_run"])
            contracts, bucket, s3 = load_domain(self.domain), settings().raw_bucket, s3_client()
            chosen = [contracts[name] for name in contracts if name in chosen_datasets(context, contracts)]
            waiting = [contract for contract in chosen if not has_landed(s3, bucket, contract, period)]
            if not waiting:
                return
            for contract in waiting:
                listing = list_objects(s3, bucket, contract, period, period)
                if listing.misplaced:
                    with warehouse() as connection:
                        refuse_misplaced(connection, contract, listing, run_of(context), period)
        names = ", ".join(contract.name for contract in waiting)
        log.info("waiting for %s under s3://%s/%s", names, bucket, raw_prefix(self.domain, "<dataset>", period))
        self.defer(
            timeout=timedelta(seconds=self.timeout),
            trigger=LandedTrigger(
                domain=self.domain,
                datasets=[contract.name for contract in chosen],
                cadence=self.cadence,
                period=period.key,
                bucket=bucket,
                aws_conn_id=AWS,
                poke_interval=float(self.poke_interval),
            ),
            method_name="landed",
        )

    def landed(self, context: Any, event: dict[str, str]) -> None:  # noqa: ARG002  # Airflow's signature
        """Continue after the trigger. Raises `RuntimeError`, which is retried, if it could not look."""
        if event["status"] != "success":
            raise RuntimeError(f"what has landed could not be listed: {event['message']}")

    def _refuse_future(self, period: Period, run: Any) -> None:
        """Raise `DataError` if somebody asks for a period that is not over; the clock has no say in anything else."""
        from waybill.errors import DataError
        from waybill.settings import settings

        _, ends = period.instants(settings().timezone)
        began = run.start_date
        if began < ends and run.run_type != "scheduled":
            raise DataError(
                f"{period} is not over: it ends {ends:%Y-%m-%d %H:%M} UTC and the run began "
                f"{began:%Y-%m-%d %H:%M} UTC; clear the task when it is, or trigger a run for another {self.cadence}"
            )


class IntakeOperator(BaseOperator):
    """Loads what landed for a dataset up to the run's period and is not loaded yet; returns the books by file."""

    ui_color = "#dff0d8"

    def __init__(self, *, domain: str, dataset: str, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(task_display_name=f"Take in {dataset}", outlets=[dataset_asset(domain, dataset)], **kwargs)
        self.domain, self.dataset, self.cadence = domain, dataset, cadence

    def execute(self, context: Any) -> dict[str, dict[str, Any]]:
        from waybill.contracts import load_domain
        from waybill.intake.dry_run import dry_run_pending
        from waybill.intake.ingest import ingest
        from waybill.intake.ledger import has_loaded

        with data_errors_fail_at_once(), warehouse() as connection:
            contracts = load_domain(self.domain)
            contract, period = contracts[self.dataset], period_of(context, self.cadence)
            if self.dataset not in chosen_datasets(context, contracts):
                log.info("%s was not chosen: its files wait for another run", self.dataset)
                emit_no_event(self)
                return {}
            if is_dry_run(context):
                emit_no_event(self)
                return dry_run_pending(connection, s3_client(), contract, contracts, period)
            with measured_load(context, connection, contract):
                done = ingest(connection, s3_client(), contract, contracts, period, run_of(context))
            if not done and not has_loaded(connection, contract.table, run_of(context)):
                emit_no_event(self)
        return {key: vars(books) for key, books in done.items()}


class IntakeArrivedOperator(BaseOperator):
    """Loads whatever landed for a dataset and is not loaded yet; returns the books by file.

    The run's parameters `file`, or `day` and `last_day`, limit that. A file that is refused keeps no other one out: the
    task fails at its end, and names all of them.
    """

    ui_color = "#dff0d8"

    def __init__(self, *, domain: str, dataset: str, **kwargs: Any) -> None:
        super().__init__(
            task_id=f"intake_{dataset}",
            task_display_name=f"Take in {dataset}",
            outlets=[dataset_asset(domain, dataset)],
            **kwargs,
        )
        self.domain, self.dataset = domain, dataset

    def execute(self, context: Any) -> dict[str, dict[str, Any]]:
        from waybill.contracts import load_domain
        from waybill.intake.dry_run import dry_run_pending
        from waybill.intake.ingest import ingest_arrived
        from waybill.intake.ledger import has_loaded

        with data_errors_fail_at_once(), warehouse() as connection:
            contracts, params = load_domain(self.domain), context["params"]
            if is_dry_run(context):
                emit_no_event(self)
                return dry_run_pending(connection, s3_client(), contracts[self.dataset], contracts, None)
            contract, days = contracts[self.dataset], landing_days(params["day"], params["last_day"])
            with measured_load(context, connection, contract):
                done = ingest_arrived(
                    connection, s3_client(), contract, contracts, run_of(context), name=params["file"], days=days
                )
            if not done and not has_loaded(connection, contract.table, run_of(context)):
                emit_no_event(self)
        return {key: vars(books) for key, books in done.items()}


def chosen_datasets(context: Any, every: Iterable[str]) -> set[str]:
    """The datasets that a run was asked to take in; all of them by default."""
    return set(context["params"].get("datasets") or every)


def landing_days(first: str | None, last: str | None) -> tuple[Period, Period] | None:
    """The first and last landing day that a run's parameters name; None without. Raises `DataError` if they are odd."""
    from waybill.errors import DataError
    from waybill.period import Period

    if first is None:
        if last is not None:
            raise DataError(f"the parameter last_day says {last} and day is empty: name the first day, too")
        return None
    days = Period.parse("day", first).until(Period.parse("day", last or first))
    return days[0], days[-1]


def intake_tasks(domain: str, cadence: Cadence) -> list[IntakeOperator]:
    """One intake task for each contract of the domain, after those of the datasets that its rows must refer to."""
    from waybill.contracts import references

    needed = references(domain)
    tasks = {
        name: IntakeOperator(task_id=f"intake_{name}", domain=domain, dataset=name, cadence=cadence) for name in needed
    }
    for name, targets in needed.items():
        for target in sorted(targets):
            tasks[target] >> tasks[name]
    return list(tasks.values())


class QualityOperator(BaseOperator):
    """Runs the datasets' checks for the run's period: a failed error stops the run, a failed warning is logged.

    Every intake of the run has ended by then, so a run with a period also tells the warnings about its files here.
    Without a cadence, a run has no period: then for the days of which something is to be built.
    """

    ui_color = "#fcf8e3"

    def __init__(self, *, domain: str, cadence: Cadence | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain, self.cadence = domain, cadence

    def execute(self, context: Any) -> dict[str, bool]:
        from waybill.checks.quality import check_datasets
        from waybill.contracts import load_domain
        from waybill.derived.refresh import stale_days
        from waybill.operators.alerting import notify_warnings
        from waybill.settings import settings

        skip_in_dry_run(context)
        # A run without a period tells its success, and with it the warnings. A callback of the DAG could tell those of
        # the others, but Airflow would read the DAG's file for each run.
        if self.cadence and not settings().notify_scheduled:
            notify_warnings(self.domain)(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            contracts = load_domain(self.domain).values()
            periods = [period_of(context, self.cadence)] if self.cadence else stale_days(connection, self.domain)
            with measured_checks(context, connection, contracts):
                results = check_datasets(connection, contracts, periods, run_of(context))
        return {f"{result.subject}.{result.check.name} {result.period}": result.passed for result in results}


def _has_days(contract: Contract) -> bool:
    return contract.load_mode == "snapshot" or contract.day_column is not None


class ProcessedOperator(BaseOperator):
    """Writes the days of the domain's tables that changed to the processed zone; returns their rows by table.

    The domain is that of datasets or, like `purchases_star`, of derived tables; those without days are left out.
    """

    ui_color = "#e8f4f8"

    def __init__(self, *, domain: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain = domain

    def execute(self, context: Any) -> dict[str, dict[str, int]]:
        from waybill.contracts import load_domain
        from waybill.outputs.lake import write_changed_days

        skip_in_dry_run(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            contracts = [contract for contract in load_domain(self.domain).values() if _has_days(contract)]
            written = write_changed_days(connection, s3_client(), glue_client(), contracts)
        return {name: {str(day): rows for day, rows in days.items()} for name, days in written.items()}
