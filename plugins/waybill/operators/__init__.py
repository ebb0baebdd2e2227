"""The verbs that DAGs are made of. Only this package and the DAG files import Airflow."""

from waybill.operators.alerting import alert_failure, deadline_alert
from waybill.operators.datasets import IntakeOperator, LandedSensor, QualityOperator
from waybill.operators.policy import DEFAULT_ARGS, month_param
from waybill.operators.reports import PublishOperator, PythonReportOperator, SqlReportOperator

__all__ = [
    "DEFAULT_ARGS",
    "IntakeOperator",
    "LandedSensor",
    "PublishOperator",
    "PythonReportOperator",
    "QualityOperator",
    "SqlReportOperator",
    "alert_failure",
    "deadline_alert",
    "month_param",
]
