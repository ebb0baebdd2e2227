"""Operators for datasets: wait for files, ingest them, check them, write them to the lake."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseSensorOperator

from waybill.contracts.domains import queue_url
from waybill.operators.assets import dataset_asset, dataset_names, emit_no_event, landed_asset_name
from waybill.operators.landed_trigger import LandedTrigger
from waybill.operators.lineage_events import lake_lineage, load_lineage
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
from waybill.operators.waits import begin_wait, end_wait

if TYPE_CHECKING:
    from waybill.intake.listing_scope import Start
    from waybill.period import Cadence, Period

log = logging.getLogger(__name__)


class LandedSensor(BaseSensorOperator):
    """Waits, without occupying a worker, until each dataset has at least one file of the run's period.

    A manual run fails at once if its period is not over yet. A run that would wait also fails at once if the dataset
    has an object whose folders name no period, unless an earlier run has reported the object.
    """

    ui_color = "#e8f4f8"

    def __init__(self, *, domain: str, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain, self.cadence = domain, cadence

    def execute(self, context: Any) -> None:
        from waybill.contracts import load_domain
        from waybill.contracts.locations import raw_prefix
        from waybill.intake.ingest import reject_misplaced
        from waybill.intake.landing import has_landed, list_within
        from waybill.settings import settings

        with data_errors_fail_at_once():
            period = period_of(context, self.cadence)
            self._reject_future(period, context["dag_run"])
            contracts, bucket, s3 = load_domain(self.domain), settings().raw_bucket, s3_client()
            chosen = [contracts[name] for name in contracts if name in chosen_datasets(context, contracts)]
            waiting = [contract for contract in chosen if not has_landed(s3, bucket, contract, period)]
            if not waiting:
                return
            for contract in waiting:
                pages = list_within(s3, bucket, contract, period, period)
                if misplaced := [one for page in pages for one in page.misplaced]:
                    with warehouse() as connection:
                        reject_misplaced(connection, contract, misplaced, run_of(context), period)
        names = ", ".join(contract.name for contract in waiting)
        log.info("waiting for %s under s3://%s/%s", names, bucket, raw_prefix(self.domain, "<dataset>", period))
        begin_wait(context, since=context["dag_run"].start_date)  # earlier tries have done nothing but wait, too
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

    def landed(self, context: Any, event: dict[str, str]) -> None:
        """Continue after the trigger. Raises `RuntimeError`, which is retried, if the bucket could not be listed."""
        end_wait(context)
        if event["status"] != "success":
            raise RuntimeError(f"the bucket could not be listed: {event['message']}")

    def _reject_future(self, period: Period, run: Any) -> None:
        """Raise `DataError` for a manual run whose period is not over. Nothing else depends on the clock."""
        from waybill.errors import DataError
        from waybill.settings import settings

        _, ends = period.instants(settings().timezone)
        began = run.start_date
        if began < ends and run.run_type != "scheduled":
            raise DataError(
                f"{period} is not over: it ends at {ends:%Y-%m-%d %H:%M} UTC, and the run started at "
                f"{began:%Y-%m-%d %H:%M} UTC. Clear the task when it is over, or trigger a run for another "
                f"{self.cadence}."
            )


class IntakeOperator(BaseOperator):
    """Loads the pending files of a dataset up to the run's period; returns the books by file."""

    ui_color = "#dff0d8"

    def __init__(self, *, domain: str, dataset: str, cadence: Cadence, **kwargs: Any) -> None:
        super().__init__(task_display_name=f"Ingest {dataset}", outlets=[dataset_asset(domain, dataset)], **kwargs)
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
                log.info("%s is not among the chosen datasets: its files wait for another run", self.dataset)
                emit_no_event(self)
                return {}
            if is_dry_run(context):
                emit_no_event(self)
                return dry_run_pending(connection, s3_client(), contract, contracts, period)
            run = run_of(context)
            with measured_load(context, connection, contract), searched_if_rejected(connection, contract, run):
                done = ingest(connection, s3_client(), contract, contracts, period, run)
            if not done and not has_loaded(connection, contract.table, run):
                emit_no_event(self)
        return {key: vars(books) for key, books in done.items()}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the files that were loaded, for Airflow's OpenLineage provider."""
        return load_lineage(task_instance, [f"{self.domain}.{self.dataset}"])


class IntakeArrivedOperator(BaseOperator):
    """Loads the pending files of a dataset, whenever they landed; returns the books by file.

    Without a dataset, it loads the files of all datasets of the domain, each dataset after those that it refers to, and
    finds datasets that were added since the DAG file was parsed. The run's parameters `file`, or `day` and `last_day`,
    limit the files. A rejected file does not stop the others: the task loads them, and then fails with the names of all
    rejected files. An unexpected error in one dataset does not stop the other datasets either, and the task is retried.
    """

    ui_color = "#dff0d8"

    def __init__(self, *, domain: str, dataset: str | None = None, **kwargs: Any) -> None:
        datasets = [dataset] if dataset else dataset_names(domain)
        super().__init__(
            task_id=f"intake_{dataset}" if dataset else "intake",
            task_display_name=f"Ingest {dataset or domain}",
            outlets=[dataset_asset(domain, name) for name in datasets],
            **kwargs,
        )
        self.domain, self.dataset = domain, dataset

    def execute(self, context: Any) -> dict[str, dict[str, Any]]:
        from waybill.contracts import load_domain, loading_order
        from waybill.errors import DataError
        from waybill.intake.dry_run import dry_run_pending
        from waybill.intake.ingest import ingest_arrived
        from waybill.intake.ledger import has_loaded
        from waybill.warehouse.connection import quote_no_rows

        with data_errors_fail_at_once(), warehouse() as connection:
            contracts, params, run = load_domain(self.domain), context["params"], run_of(context)
            chosen = [contracts[name] for name in ([self.dataset] if self.dataset else loading_order(self.domain))]
            found: dict[str, dict[str, Any]] = {}
            if is_dry_run(context):
                emit_no_event(self)
                for contract in chosen:
                    found |= dry_run_pending(connection, s3_client(), contract, contracts, None)
                return found
            days, rejected = landing_days(params["day"], params["last_day"]), list[str]()
            start = start_of(context, self.domain)
            failed: Exception | None = None
            for contract in chosen:
                try:
                    with (
                        quote_no_rows(),
                        measured_load(context, connection, contract),
                        searched_if_rejected(connection, contract, run),
                    ):
                        done = ingest_arrived(
                            connection,
                            s3_client(),
                            contract,
                            contracts,
                            run,
                            name=params["file"],
                            days=days,
                            start=start,
                        )
                except DataError as error:
                    rejected.append(str(error))
                except Exception as error:
                    if connection.closed:
                        raise
                    log.exception("%s: the load failed; other datasets are loaded", contract.table)
                    rejected.append(f"{contract.table}: {type(error).__name__}: {error}")
                    failed = error
                else:
                    found |= {key: vars(books) for key, books in done.items()}
            if failed:
                raise RuntimeError("\n".join(dict.fromkeys(rejected))) from failed
            if rejected:
                raise DataError("\n".join(dict.fromkeys(rejected)))
            loaded = [contract.name for contract in chosen if has_loaded(connection, contract.table, run)]
        self.outlets = [dataset_asset(self.domain, name) for name in loaded]
        return found

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the files that were loaded, for Airflow's OpenLineage provider."""
        return load_lineage(task_instance, [f"{self.domain}.{name}" for name in dataset_names(self.domain)])


def start_of(context: Any, domain: str) -> Start:
    """Return what started a run: a person or a retry, who look at all objects, a schedule, or messages with keys."""
    from waybill.intake.listing_scope import BY_HAND, Start
    from waybill.intake.notifications import named_keys
    from waybill.settings import settings

    kind = context["dag_run"].run_type
    if kind not in ("scheduled", "asset_triggered") or context["ti"].try_number > 1:
        return BY_HAND
    named_since = partial(keys_since, domain)
    if kind == "scheduled":
        return Start(is_routine=True, named_since=named_since)
    try:
        bodies = [
            body
            for events in context["triggering_asset_events"].values()
            for event in events
            for body in _bodies(event)
        ]
    except (KeyError, TypeError):  # an event of a person or of another program
        bodies = []
    keys = named_keys(bodies, settings().raw_bucket) if bodies else None
    return Start(is_routine=True, keys=keys, named_since=named_since)


def keys_since(domain: str, instant: datetime) -> set[str] | None:
    """Return the keys that the messages of a domain's queue name since an instant; None if the messages are too many.

    Leaves out messages that cannot be read.
    """
    from airflow.sdk.execution_time.context import InletEventsAccessor

    from waybill.intake.listing_scope import LARGEST_NUMBER_OF_KEYS
    from waybill.intake.notifications import named_keys
    from waybill.settings import settings

    if queue_url(domain) is None:
        return set()
    events = InletEventsAccessor(asset_name=landed_asset_name(domain)).after(instant.isoformat())
    found = list(events.limit(LARGEST_NUMBER_OF_KEYS + 1))
    if len(found) > LARGEST_NUMBER_OF_KEYS:
        return None
    keys = set[str]()
    for event in found:
        with contextlib.suppress(KeyError, TypeError):
            for body in _bodies(event):
                keys |= named_keys([body], settings().raw_bucket) or set()
    return keys


def _bodies(event: Any) -> list[str]:
    """Return the bodies of the messages of an asset's event. Raises errors of look-ups for another kind of event."""
    return [message["Body"] for message in event.extra["payload"]["message_batch"]]


def chosen_datasets(context: Any, every: Iterable[str]) -> set[str]:
    """Return the datasets that a run ingests; by default all of them."""
    return set(context["params"].get("datasets") or every)


def landing_days(first: str | None, last: str | None) -> tuple[Period, Period] | None:
    """Return the first and last landing day in a run's parameters; None if there are none.

    Raises `DataError` if only the last day is given, or if it comes first.
    """
    from waybill.errors import DataError
    from waybill.period import Period

    if first is None:
        if last is not None:
            raise DataError(f"the parameter last_day is {last} and day is empty: name the first day as day")
        return None
    days = Period.parse("day", first).until(Period.parse("day", last or first))
    return days[0], days[-1]


def intake_tasks(domain: str, cadence: Cadence) -> list[IntakeOperator]:
    """Return one intake task for each dataset of a domain, downstream of the datasets that it refers to."""
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
    """Runs the checks of the datasets: a failed check of severity error stops the run, a failed warning is logged.

    The checks cover the run's period. Without a cadence, they cover the days for which reports will be built. All
    intake tasks have ended by then, so a run with a period also sends the warnings about its files.
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
        # The success message of a run without a period includes the warnings. For the others a callback of the DAG
        # could send them, but Airflow would parse the DAG's file for each run.
        if self.cadence and not settings().notify_scheduled:
            notify_warnings(self.domain)(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            contracts = load_domain(self.domain).values()
            periods = [period_of(context, self.cadence)] if self.cadence else stale_days(connection, self.domain)
            with measured_checks(context, connection, contracts):
                results = check_datasets(connection, contracts, periods, run_of(context))
        return {f"{result.subject}.{result.check.name} {result.period}": result.passed for result in results}


class ProcessedOperator(BaseOperator):
    """Writes the changed days of a domain's tables to the lake; returns their row counts by table.

    The domain may be one of derived tables, such as `billing_star`. Tables without days are left out.
    """

    ui_color = "#e8f4f8"

    def __init__(self, *, domain: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domain = domain

    def execute(self, context: Any) -> dict[str, dict[str, int]]:
        from waybill.contracts import load_domain
        from waybill.contracts.locations import domain_of
        from waybill.outputs.lake import write_changed_days
        from waybill.outputs.lake_references import note_references

        skip_in_dry_run(context)
        with data_errors_fail_at_once(), warehouse() as connection:
            contracts = [contract for contract in load_domain(self.domain).values() if contract.has_days]
            s3 = s3_client()
            written = write_changed_days(connection, s3, lake_catalog(s3), contracts, run_of(context))
            note_references(connection, domain_of(self.domain))
        return {name: {str(day): rows for day, rows in days.items()} for name, days in written.items()}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the tables that were copied, for Airflow's OpenLineage provider."""
        return lake_lineage(task_instance, self.domain)
