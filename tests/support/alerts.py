"""Alerts in tests: a queue that subscribes to their topic, a warehouse, and the contexts of callbacks."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest

from support.messaging_months import migrate
from waybill.errors import DataError

DAG = SimpleNamespace(dag_id="messaging_monthly")
CAUSE = "s3://raw/traffic.csv: 900 of 1000 rows do not meet the contract"


class Queue:
    """A queue that is subscribed to the topic of the alerts."""

    def __init__(self) -> None:
        name = f"alerts-{uuid4().hex[:8]}"
        sns, self._sqs = boto3.client("sns"), boto3.client("sqs")
        self.topic_arn = sns.create_topic(Name=name)["TopicArn"]
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=self.topic_arn, Protocol="sqs", Endpoint=queue["Attributes"]["QueueArn"])

    def messages(self) -> list[dict[str, str]]:
        """Return subject and message of each notification since the last call."""
        found = []
        while batch := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                found.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture
def queue(stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    connection = {"conn_type": "aws", "extra": {"topic_arn": queue.topic_arn}}
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS", json.dumps(connection))
    return queue


@pytest.fixture
def warehouse(warehouse_dsn: str) -> str:
    """The address of a warehouse; Airflow's connection `waybill_warehouse` is it."""
    migrate(warehouse_dsn)
    return warehouse_dsn


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def of_task(task_id: str, cause: str = CAUSE, run_id: str = "scheduled__2026-11") -> dict[str, Any]:
    task = SimpleNamespace(task_id=task_id, log_url=f"http://airflow/{task_id}")
    return {"dag": DAG, "run_id": run_id, "ti": task, "exception": DataError(cause)}


def of_run(run_id: str = "scheduled__2026-11") -> dict[str, Any]:
    return {"dag": DAG, "run_id": run_id, "reason": "task_failure"}
