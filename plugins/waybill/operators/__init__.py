"""The verbs that DAGs are made of. Only this package and the DAG files import Airflow."""

from waybill.operators.alerting import alert_failure, deadline_alert
from waybill.operators.datasets import (
    IntakeArrivedOperator,
    LandedSensor,
    ProcessedOperator,
    QualityOperator,
    intake_tasks,
)
from waybill.operators.measuring import FreshnessOperator
from waybill.operators.policy import (
    DEFAULT_ARGS,
    arrival_params,
    arrival_schedule,
    day_param,
    month_param,
    run_callbacks,
)
from waybill.operators.reports import (
    PublishChangedOperator,
    PublishOperator,
    PythonReportOperator,
    RefreshOperator,
    SqlReportOperator,
)

__all__ = [
    "DEFAULT_ARGS",
    "FreshnessOperator",
    "IntakeArrivedOperator",
    "LandedSensor",
    "ProcessedOperator",
    "PublishChangedOperator",
    "PublishOperator",
    "PythonReportOperator",
    "QualityOperator",
    "RefreshOperator",
    "SqlReportOperator",
    "alert_failure",
    "arrival_params",
    "arrival_schedule",
    "day_param",
    "deadline_alert",
    "intake_tasks",
    "month_param",
    "run_callbacks",
]
