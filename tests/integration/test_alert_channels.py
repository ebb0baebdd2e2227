"""Channels that hang, reject messages or are unavailable, and processes that die: each alert is sent once."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from support.alerts import CAUSE, Queue, closed_port, of_run, of_task, queue, warehouse
from support.messaging_months import migrate_again
from support.stopping import at
from support.waiting import PATIENCE
from waybill.cli import tables
from waybill.operators import FreshnessOperator
from waybill.operators.alerting import alert_failure, alert_task_failure, notify_success
from waybill.operators.sending import send_waiting
from waybill.ops import alert_delivery
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

__all__ = ["queue", "warehouse"]

SNS, SLACK, EMAIL = (f"waybill_alerts_{name}" for name in ("sns", "slack", "email"))
ALERT = ("messaging_monthly", "scheduled__2026-11", "failure")
OVERTIME_SECONDS = 20
"""The seconds that Airflow gives a process after its task."""


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WAYBILL_ALERT_CONNECT_SECONDS", "1")
    monkeypatch.setenv("WAYBILL_ALERT_READ_SECONDS", "1")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def hanging() -> Iterator[int]:
    """The port of a server that accepts connections and never responds."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield server.getsockname()[1]


class Webhook(ThreadingHTTPServer):
    """A Slack webhook that counts messages. It responds to posts with a status, or never."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.texts: list[str] = []
        self.status: int | None = 200
        self.released = threading.Event()


class _Hook(BaseHTTPRequestHandler):
    server: Webhook

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status is None or self.server.status == 200:
            self.server.texts.append(body["text"])
        if self.server.status is None:
            self.server.released.wait(30)
            return
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"ok")


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    set_slack(monkeypatch, server.server_port)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


class Mailbox(socketserver.ThreadingTCPServer):
    """A mail server that counts messages. It may reject them, or hang after one."""

    daemon_threads = allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.messages: list[str] = []
        self.answer: bytes | None = b"250 taken"
        self.released = threading.Event()


class _Mail(socketserver.StreamRequestHandler):
    server: Mailbox
    ANSWERS: ClassVar = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            self.wfile.write(self.ANSWERS.get(command, b"250 fine") + b"\r\n")
            if command == b"DATA":
                body = b"".join(iter(self.rfile.readline, b".\r\n"))
                if self.server.answer is None or self.server.answer.startswith(b"250"):
                    self.server.messages.append(body.decode())
                if self.server.answer is None:
                    self.server.released.wait(30)
                    return
                self.wfile.write(self.server.answer + b"\r\n")


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    server = Mailbox()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    set_email(monkeypatch, server.server_address[1])
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def set_slack(patch: pytest.MonkeyPatch, port: int) -> None:
    hook = {"conn_type": "slackwebhook", "password": f"http://127.0.0.1:{port}/services/T0/B0/token-of-the-hook"}
    patch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_SLACK", json.dumps(hook))


def set_email(patch: pytest.MonkeyPatch, port: int) -> None:
    extra = {"to_email": "a@example.com", "from_email": "b@example.com", "disable_ssl": True, "disable_tls": True}
    mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    patch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_EMAIL", json.dumps(mail))


def set_sns(patch: pytest.MonkeyPatch, port: int) -> None:
    patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")


def states(dsn: str, alert: alert_delivery.Alert = ALERT) -> dict[str, str]:
    """Return the delivery state of an alert by channel."""
    with connect(dsn) as connection:
        found = alert_delivery.states(connection, [alert])[alert]
    return {channel: text for text in found for channel in (SNS, SLACK, EMAIL) if channel in text}


def test_a_hanging_channel_of_each_kind_costs_little_time_and_gets_the_alert_later(
    queue: Queue, slack: Webhook, mailbox: Mailbox, warehouse: str, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: dict[str, Callable[[], int]] = {
        SNS: lambda: len(queue.messages()),
        SLACK: lambda: len(slack.texts),
        EMAIL: lambda: len(mailbox.messages),
    }
    for number, (hung, point) in enumerate({SNS: set_sns, SLACK: set_slack, EMAIL: set_email}.items()):
        run_id = f"run {number}"
        before = {SLACK: len(slack.texts), EMAIL: len(mailbox.messages), SNS: 0}
        with monkeypatch.context() as patch:
            point(patch, hanging)
            began = time.monotonic()
            alert_task_failure(of_task("intake_traffic", f"{CAUSE} in {chr(97 + number)}.csv", run_id))
            alert_failure(of_run(run_id))
            assert time.monotonic() - began < OVERTIME_SECONDS
            found = states(warehouse, (ALERT[0], run_id, "failure"))
            assert {channel for channel, text in found.items() if text.startswith("sent over")} == {*counts} - {hung}
            assert found[hung].startswith(f"not sent over {hung} yet, will be retried: ")
            assert {channel: count() - before[channel] for channel, count in counts.items()} == {
                channel: int(channel != hung) for channel in counts
            }
        send_waiting()
        send_waiting()
        found = states(warehouse, (ALERT[0], run_id, "failure"))
        assert all(text.startswith("sent over") for text in found.values())
        assert len(slack.texts) == len(mailbox.messages) == number + 1
        assert counts[SNS]() == int(hung == SNS)
    assert CAUSE in slack.texts[0]


def test_hanging_channels_together_take_less_time_than_airflow_allows(
    queue: Queue, warehouse: str, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_ALERT_CONNECT_SECONDS", "7")
    monkeypatch.setenv("WAYBILL_ALERT_READ_SECONDS", "7")
    settings.cache_clear()
    with monkeypatch.context() as patch:
        set_sns(patch, hanging)
        set_slack(patch, hanging)
        set_email(patch, hanging)
        began = time.monotonic()
        alert_task_failure(of_task("intake_traffic"))
        assert time.monotonic() - began < OVERTIME_SECONDS
    assert all("will be retried" in text for text in states(warehouse).values())


def test_a_stopped_sns_gets_the_alert_once_when_it_continues(
    stack: Stack, queue: Queue, slack: Webhook, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = [service.pid for service in stack.status() if service.name == "aws"]
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        alert_task_failure(of_task("intake_traffic"))
        alert_failure(of_run())
        assert "ReadTimeout" in states(warehouse)[SNS]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert len(slack.texts) == 1
    time.sleep(1)  # what reached it while it was stopped
    assert queue.messages() == []
    for _ in range(2):
        alert_failure(of_run("another"))
    messages = queue.messages()
    assert len(messages) == 2, "the alert of this run and the waiting one"
    assert len(slack.texts) == 2


def test_a_late_message_names_the_time_of_its_alert(
    queue: Queue, warehouse: str, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        set_sns(patch, hanging)
        alert_task_failure(of_task("intake_traffic"))
    with connect(warehouse) as connection:
        connection.execute("update waybill.alert set raised_at = now() - interval '3 hours'")
        raised = connection.execute("select to_char(raised_at, 'YYYY-MM-DD HH24:MI') from waybill.alert").fetchone()
    notify_success("messaging")({"dag": type("Dag", (), {"dag_id": "orders_reports"}), "run_id": "nothing new"})
    [message] = queue.messages()
    assert raised
    assert f"Sent late: the alert was raised at {raised[0]}" in message["Message"]
    assert message["Subject"].startswith("messaging_monthly: the run scheduled__2026-11 failed")


def test_every_run_sends_waiting_alerts(
    queue: Queue, warehouse: str, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_METRICS", "false")
    occasions: list[Callable[[], Any]] = [
        lambda: alert_failure(of_run("another")),
        lambda: FreshnessOperator(task_id="freshness").execute({}),
        lambda: notify_success("messaging")({"dag": type("Dag", (), {"dag_id": "x"}), "run_id": "nothing new"}),
    ]
    for number, occasion in enumerate(occasions):
        with monkeypatch.context() as patch:
            set_sns(patch, hanging)
            alert_task_failure(of_task("intake_traffic", f"{CAUSE} in {chr(97 + number)}.csv", f"run {number}"))
        assert queue.messages() == []
        occasion()
        assert f"run {number}" in "".join(message["Message"] for message in queue.messages())


def test_an_alert_older_than_a_week_is_not_sent(
    queue: Queue, warehouse: str, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        set_sns(patch, hanging)
        alert_task_failure(of_task("intake_traffic"))
    with connect(warehouse) as connection:
        connection.execute("update waybill.alert set raised_at = now() - interval '8 days'")
    send_waiting()
    assert queue.messages() == []
    assert states(warehouse)[SNS].startswith(f"not sent over {SNS} within 7 days: ")


def test_a_channel_that_hangs_after_the_message_does_not_get_it_again(
    slack: Webhook, mailbox: Mailbox, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS")
    slack.status = mailbox.answer = None
    alert_failure(of_run())
    slack.status, mailbox.answer = 200, b"250 taken"
    send_waiting()
    alert_failure(of_run())
    assert (len(slack.texts), len(mailbox.messages)) == (1, 1)
    assert {text.partition(":")[0] for text in states(warehouse).values()} == {
        f"may have been sent over {SLACK}, not sent again",
        f"may have been sent over {EMAIL}, not sent again",
    }


def test_a_channel_that_rejects_the_message_gets_it_again_and_errors_hide_secrets(
    slack: Webhook,
    mailbox: Mailbox,
    warehouse: str,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slack.status, mailbox.answer = 503, b"451 come again"
    with monkeypatch.context() as patch:
        wrong = {"conn_type": "aws", "extra": {"topic_arn": queue.topic_arn + "-of-nobody"}}
        patch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS", json.dumps(wrong))
        alert_failure(of_run())
    found = states(warehouse)
    assert all("will be retried" in text for text in found.values())
    assert "NotFound" in found[SNS]
    with monkeypatch.context() as patch:
        set_slack(patch, closed_port())
        send_waiting()
    slack.status, mailbox.answer = 200, b"250 taken"
    send_waiting()
    assert (len(slack.texts), len(mailbox.messages), len(queue.messages())) == (1, 1, 1)
    with connect(warehouse) as connection:
        kept = connection.execute("select string_agg(error, ' ') from waybill.alert_delivery").fetchone()
    assert "token-of-the-hook" not in caplog.text + str(kept)


@pytest.mark.parametrize(
    ("point", "first", "later", "expected"),
    [
        ("waybill.ops.alert_delivery:record", 0, 1, "sent over"),
        ("waybill.ops.alert_delivery:lease", 0, 1, "sent over"),
        ("waybill.ops.alert_delivery:start_sending", 0, 0, "may have been sent over"),
        ("airflow.providers.slack.hooks.slack_webhook:SlackWebhookHook.send", 1, 1, "may have been sent over"),
        ("waybill.ops.alert_delivery:record_sent", 1, 1, "sent over"),
    ],
)
def test_a_process_that_is_killed_sends_at_most_once(
    point: str, first: int, later: int, expected: str, slack: Webhook, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS")
    pid = os.fork()
    if pid == 0:
        try:
            with at(point, 1, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                alert_task_failure(of_task("intake_traffic"))
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(slack.texts) == first
    if point.endswith(":lease"):
        alert_failure(of_run())
        assert slack.texts == [], "another process may hold the lease"
    with connect(warehouse) as connection:
        connection.execute("update waybill.alert_delivery set leased_until = leased_until - interval '2 minutes'")
    for _ in range(2):
        alert_failure(of_run())
    assert len(slack.texts) == later
    assert states(warehouse)[SLACK].startswith(expected)


def test_nothing_is_locked_while_a_channel_hangs_and_nothing_is_sent_twice(
    slack: Webhook, queue: Queue, warehouse: str
) -> None:
    slack.status = None
    with ThreadPoolExecutor(4) as pool, connect(warehouse) as connection:
        sending = [pool.submit(alert_task_failure, of_task(f"task_{number}")) for number in range(4)]
        deadline = time.monotonic() + PATIENCE
        while not slack.texts and time.monotonic() < deadline:
            time.sleep(0.01)
        idle = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in %'"
        while connection.execute(idle).fetchone() != (0,):  # the others record their failures meanwhile
            assert time.monotonic() < deadline
            time.sleep(0.01)
        connection.execute("set lock_timeout = '500ms'")
        connection.execute("update waybill.alert set raised_at = raised_at")
        connection.execute("update waybill.alert_delivery set error = error")
        for one in sending:
            one.result()
    assert len(slack.texts) == 1
    assert len(queue.messages()) == 1


def test_a_migrated_warehouse_sends_nothing_again(slack: Webhook, queue: Queue, warehouse: str) -> None:
    with connect(warehouse) as connection:
        connection.execute("drop table waybill.alert_delivery")
        connection.execute(
            "insert into waybill.alert (dag_id, run_id, kind, message, channels) values (%s, %s, %s, 'old', %s)",
            (*ALERT, [SNS, SLACK]),
        )
        migrate_again(connection, "0011_alert_delivery")
    send_waiting()
    assert (queue.messages(), slack.texts) == ([], [])


def test_the_command_lists_each_channel(
    slack: Webhook, queue: Queue, warehouse: str, hanging: int, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    set_sns(monkeypatch, hanging)
    with caplog.at_level(logging.ERROR):
        alert_failure(of_run())
    with connect(warehouse) as connection:
        rows = connection.execute("select dag_id, run_id, kind, raised_at, message from waybill.alert").fetchall()
        text = tables.alerts_text(rows, alert_delivery.states(connection, [row[:3] for row in rows]), 1).plain
    assert f"failure, sent over {SLACK} at 20" in text
    assert f"; not sent over {SNS} yet, will be retried: ReadTimeoutError: " in text
    assert f"the alert could not be sent over {SNS}: ReadTimeoutError" in caplog.text
