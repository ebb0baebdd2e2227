"""The tasks of domains on Spark, where the settings say that the job runs. AWS is played by stubs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import pytest
from airflow.sdk import DAG, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from botocore.stub import Stubber

from waybill.operators import spark, spark_tasks
from waybill.operators.spark import LocalSparkOperator, variables_of_job
from waybill.operators.spark_on_aws import EmrSparkOperator, GlueSparkOperator
from waybill.settings import settings

REQUEST = "s3://waybill-lake/_spark/shop/run/1/request.json"
ARN = "arn:aws:emr-serverless:eu-central-1:123456789012:/applications/00f1abcdefgh"
PULL = "{{ ti.xcom_pull(task_ids='prepare_intake') }}"


class _Store(dict[str, Any]):
    """The store of a task's state."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context_of(request: Any, store: _Store | None = None) -> dict[str, Any]:
    ti = mock.MagicMock()
    ti.xcom_pull.return_value = request
    ti.stats_tags = {}
    return {"ti": ti, "task_state_store": store if store is not None else _Store()}


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    monkeypatch.setattr(spark, "has_turn", lambda _: True)
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def tasks_with(monkeypatch: pytest.MonkeyPatch, **given: str) -> dict[str, Any]:
    for name, value in given.items():
        monkeypatch.setenv(f"WAYBILL_{name.upper()}", value)
    settings.cache_clear()
    with DAG("test", schedule=None):
        return {task.task_id: task for task in spark_tasks("shop", "day")}


def test_the_tasks_follow_each_other_and_record_runs_without_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = tasks_with(monkeypatch)
    assert [*tasks] == [
        f"{step}_{what}" for what in ("intake", "reports") for step in ("prepare", "spark", "record")
    ]  # fmt: skip
    for before, after in zip([*tasks], [*tasks][1:], strict=False):
        assert tasks[after].upstream_task_ids == {before}
    assert {name for name, task in tasks.items() if task.trigger_rule == TriggerRule.NONE_FAILED} == {
        "record_intake", "record_reports"
    }  # fmt: skip
    assert isinstance(tasks["spark_intake"], LocalSparkOperator)
    assert tasks["spark_intake"].max_active_tis_per_dag == 1


@pytest.mark.parametrize("where", ["local", "glue", "emr"])
def test_one_setting_limits_the_job_wherever_it_runs(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    given = {"spark": where, "spark_application": "a", "spark_role": "r", "spark_hours": "3"}
    tasks = tasks_with(monkeypatch, **given)
    assert {tasks[f"spark_{what}"].execution_timeout for what in ("intake", "reports")} == {timedelta(hours=3)}
    task = tasks["spark_intake"]
    if where == "glue":
        assert task.run_job_kwargs == {"Timeout": 180}
    if where == "emr":
        assert task.config == {"executionTimeoutMinutes": 180}
        assert task.waiter_max_attempts * task.waiter_delay == 3 * 3600


def test_the_job_gets_keys_that_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://own:secret@/?region_name=eu-central-1")
    found = variables_of_job()
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("own", "secret")
    assert found["AWS_REGION"] == "eu-central-1"


def test_the_job_gets_no_keys_of_a_session_because_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of a session")
    assert {name for name in variables_of_job() if name != "AWS_ENDPOINT_URL_S3"} == {"AWS_REGION"}


@pytest.mark.parametrize("found", [None, {"raw/a.csv": {"size_bytes": 1}}])
@pytest.mark.parametrize("where", ["local", "glue", "emr"])
def test_without_a_request_no_job_runs(monkeypatch: pytest.MonkeyPatch, where: str, found: Any) -> None:
    task = tasks_with(monkeypatch, spark=where, spark_application="a", spark_role="r")["spark_intake"]
    with pytest.raises(AirflowSkipException, match="prepare_intake has found nothing to do"):
        task.execute(context_of(found))


@pytest.mark.parametrize("where", ["local", "glue", "emr"])
def test_no_job_runs_for_a_request_that_another_run_has_overtaken(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    task = tasks_with(monkeypatch, spark=where, spark_application="a", spark_role="r")["spark_intake"]
    monkeypatch.setattr(spark, "has_turn", lambda _: False)
    with pytest.raises(AirflowFailException, match="Clear prepare_intake and the tasks after it"):
        task.execute(context_of(REQUEST))


def _glue(monkeypatch: pytest.MonkeyPatch) -> tuple[GlueSparkOperator, Stubber]:
    task = tasks_with(monkeypatch, spark="glue", spark_job="waybill-prod")["spark_intake"]
    assert isinstance(task, GlueSparkOperator)
    assert task.script_args == {"--request": PULL}
    assert "script_args" in task.template_fields
    task.script_args = {"--request": REQUEST}  # as rendered
    client = boto3.client("glue")
    monkeypatch.setattr(type(task.hook), "conn", client)
    monkeypatch.setattr(type(task.hook), "get_conn", lambda _: client)
    return task, Stubber(client)


def test_glue_runs_the_job_of_the_settings_with_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    task, glue = _glue(monkeypatch)
    glue.add_response("get_job", {"Job": {"Name": "waybill-prod"}}, {"JobName": "waybill-prod"})
    start = {"JobName": "waybill-prod", "Arguments": {"--request": REQUEST}, "Timeout": 480}
    glue.add_response("start_job_run", {"JobRunId": "jr_1"}, start)
    for _ in range(2):
        run = {"JobRun": {"Id": "jr_1", "JobRunState": "SUCCEEDED"}}
        glue.add_response(
            "get_job_run", run, {"JobName": "waybill-prod", "RunId": "jr_1", "PredecessorsIncluded": True}
        )
    store = _Store()
    with glue:
        assert task.execute(context_of(REQUEST, store)) == "jr_1"
    assert store == {f"glue_job_run_id of {REQUEST}": "jr_1"}
    assert task.stop_job_run_on_kill


def test_a_retry_reattaches_to_the_run_of_its_request_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    task, glue = _glue(monkeypatch)
    store = _Store({f"glue_job_run_id of {REQUEST}": "jr_1", "glue_job_run_id of s3://other": "jr_0"})
    run = {"JobRun": {"Id": "jr_1", "JobRunState": "SUCCEEDED"}}
    glue.add_response("get_job_run", run, None)
    with glue:
        assert task.execute(context_of(REQUEST, store)) == "jr_1"
    glue.assert_no_pending_responses()


def test_emr_serverless_runs_the_script_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "spark_application": "00f1", "spark_role": "arn:aws:iam::1:role/spark", "spark_script": "s3://code/job.py",
        "spark_parameters": "--py-files s3://code/waybill.zip",
    }  # fmt: skip
    task = tasks_with(monkeypatch, spark="emr", **given)["spark_intake"]
    assert isinstance(task, EmrSparkOperator)
    driver = {
        "sparkSubmit": {
            "entryPoint": "s3://code/job.py",
            "entryPointArguments": ["--request", PULL],
            "sparkSubmitParameters": "--py-files s3://code/waybill.zip",
        }
    }
    assert task.job_driver == driver
    assert "job_driver" in task.template_fields
    driver["sparkSubmit"]["entryPointArguments"] = ["--request", REQUEST]
    task.job_driver = driver
    client = boto3.client("emr-serverless")
    emr = Stubber(client)
    application = {
        "applicationId": "00f1", "arn": ARN, "releaseLabel": "emr-7.13.0", "type": "Spark",
        "state": "STARTED", "createdAt": 0, "updatedAt": 0,
    }  # fmt: skip
    emr.add_response("get_application", {"application": application}, {"applicationId": "00f1"})
    emr.add_response(
        "start_job_run",
        {"applicationId": "00f1", "jobRunId": "run1", "arn": ARN, "ResponseMetadata": {"HTTPStatusCode": 200}},
        {
            "clientToken": task.client_request_token,
            "applicationId": "00f1",
            "executionRoleArn": "arn:aws:iam::1:role/spark",
            "jobDriver": driver,
            "name": "waybill spark_intake",
            "executionTimeoutMinutes": 480,
        },
    )
    monkeypatch.setattr(type(task.hook), "conn", client)
    monkeypatch.setattr(task, "persist_links", lambda _: None)
    monkeypatch.setattr(task.hook, "get_waiter", lambda _: SimpleNamespace(wait=lambda **_: None))
    with emr:
        assert task.execute(context_of(REQUEST)) == "run1"
    emr.assert_no_pending_responses()
