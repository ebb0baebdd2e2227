"""The operators and parameters of the DAGs. Only this package and the DAG files import Airflow."""

from waybill.operators.alerting import alert_failure, deadline_alert
from waybill.operators.assets import all_reports
from waybill.operators.datasets import (
    IntakeArrivedOperator,
    LandedSensor,
    ProcessedOperator,
    QualityOperator,
    intake_tasks,
)
from waybill.operators.lake import MaintainLakeOperator
from waybill.operators.measuring import FreshnessOperator
from waybill.operators.policy import (
    ARRIVAL_ARGS,
    DEFAULT_ARGS,
    arrival_params,
    arrival_schedule,
    datasets_param,
    day_param,
    dry_run_param,
    month_param,
    owner_links,
    run_callbacks,
)
from waybill.operators.reports import (
    FeaturesOperator,
    PublishChangedOperator,
    PublishDashboardOperator,
    PublishOperator,
    PythonReportOperator,
    RefreshOperator,
    SqlReportOperator,
)
from waybill.operators.retention import RetentionOperator
from waybill.operators.spark import spark_tasks
from waybill.operators.watching import (
    DigestOperator,
    IncidentsOperator,
    QualityReportOperator,
    StreamsOperator,
    WatchOperator,
)

__all__ = [
    "ARRIVAL_ARGS",
    "DEFAULT_ARGS",
    "DigestOperator",
    "FeaturesOperator",
    "FreshnessOperator",
    "IncidentsOperator",
    "IntakeArrivedOperator",
    "LandedSensor",
    "MaintainLakeOperator",
    "ProcessedOperator",
    "PublishChangedOperator",
    "PublishDashboardOperator",
    "PublishOperator",
    "PythonReportOperator",
    "QualityOperator",
    "QualityReportOperator",
    "RefreshOperator",
    "RetentionOperator",
    "SqlReportOperator",
    "StreamsOperator",
    "WatchOperator",
    "alert_failure",
    "all_reports",
    "arrival_params",
    "arrival_schedule",
    "datasets_param",
    "day_param",
    "deadline_alert",
    "dry_run_param",
    "intake_tasks",
    "month_param",
    "owner_links",
    "run_callbacks",
    "spark_tasks",
]
