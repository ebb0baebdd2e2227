"""Operators that run the Spark job on AWS: as runs of a Glue job, or on EMR Serverless."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from airflow.providers.amazon.aws.operators.emr import EmrServerlessStartJobOperator
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator

from waybill.operators.session import AWS
from waybill.operators.spark import address_or_skip
from waybill.settings import settings

EMR_POLL_SECONDS: Final = 30


class GlueSparkOperator(GlueJobOperator):
    """Runs the job as a run of the AWS Glue job that the settings name. A retry reattaches to it."""

    def __init__(self, *, request: str, **kwargs: Any) -> None:
        super().__init__(
            job_name=settings().spark_job,
            script_args={"--request": _template(request)},
            run_job_kwargs={"Timeout": _limit() // timedelta(minutes=1)},
            aws_conn_id=AWS,
            stop_job_run_on_kill=True,
            **kwargs,
        )
        self.request = request

    def execute(self, context: Any) -> str | None:
        """Run the job, unless there is no request."""
        # A cleared run has another request: the finished run of the earlier one does not answer it.
        self.external_id_key = f"glue_job_run_id of {address_or_skip(context, self.request)}"
        return super().execute(context)


class EmrSparkOperator(EmrServerlessStartJobOperator):
    """Runs the job on the application of EMR Serverless that the settings name."""

    def __init__(self, *, request: str, **kwargs: Any) -> None:
        driver = {
            "entryPoint": settings().spark_script,
            "entryPointArguments": ["--request", _template(request)],
            "sparkSubmitParameters": settings().spark_parameters,
        }
        super().__init__(
            application_id=settings().spark_application,
            execution_role_arn=settings().spark_role,
            job_driver={"sparkSubmit": {name: value for name, value in driver.items() if value}},
            config={"executionTimeoutMinutes": _limit() // timedelta(minutes=1)},
            name=f"waybill {kwargs['task_id']}",
            aws_conn_id=AWS,
            waiter_delay=EMR_POLL_SECONDS,
            waiter_max_attempts=_limit() // timedelta(seconds=EMR_POLL_SECONDS),
            **kwargs,
        )
        self.request = request

    def execute(self, context: Any, event: dict[str, Any] | None = None) -> str | None:
        """Run the job, unless there is no request."""
        address_or_skip(context, self.request)
        return super().execute(context, event)


def _limit() -> timedelta:
    return timedelta(hours=settings().spark_hours)


def _template(request: str) -> str:
    return f"{{{{ ti.xcom_pull(task_ids='{request}') }}}}"
