"""Dropped files become reports, with the real scheduler and triggerer of Airflow."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from psycopg import Connection

from oracles.orders import EXPECTED, make_lines
from support.order_files import Line, Orders, body, lines_of
from support.waiting import eventually
from waybill.intake.upload import Dropped, announce
from waybill.settings import PROJECT_ROOT
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools import demo
from waybill_devtools.demo import Airflow
from waybill_devtools.sampledata.orders import generate
from waybill_devtools.stack import Stack

DAG_ID = "orders_reports"
PREFIX = "raw/orders/lines/"


@dataclass
class Place:
    """The running stack with the actions of a user."""

    stack: Stack
    api: Airflow
    folder: Path

    def write(self, name: str, *lines: Line) -> Path:
        (self.folder / name).write_bytes(body(*lines))
        return self.folder / name

    def put(self, name: str, text: bytes) -> None:
        """Upload a file without a notification, as if the message was lost."""
        self.stack.s3().put_object(Bucket="waybill-raw", Key=PREFIX + name, Body=text)

    def shell(self, command: str, *arguments: str) -> str:
        """Return the output of a command in a shell of the stack."""
        words = [str(Path(sys.executable).parent / command), *arguments]
        done = subprocess.run(words, env=os.environ | self.stack.env(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def drop(self, *files: Path, prefix: str = PREFIX, **options: str) -> None:
        """Run `waybill drop`."""
        options = {"domain": "orders"} | options
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        printed = self.shell("waybill", "drop", *map(str, files), *words)
        for file in files:
            assert f"s3://waybill-raw/{prefix}{file.name}" in printed

    def trigger_by_command(self, **conf: str) -> str:
        """Run `airflow dags trigger` with these parameters, and return the id of the run."""
        known = {run["dag_run_id"] for run in self.api.runs(DAG_ID)}
        self.shell("airflow", "dags", "trigger", DAG_ID, "-c", json.dumps(conf))
        [run] = [run for run in self.api.runs(DAG_ID) if run["dag_run_id"] not in known and run["run_type"] == "manual"]
        return str(run["dag_run_id"])

    def failure_of(self, run_id: str) -> str:
        """Return the alert of a run that fails."""
        assert self.end_of(run_id) == "failed"
        [(message,)] = self.all(f"select message from waybill.alert where run_id = '{run_id}'")
        return str(message)

    def trigger(self, **conf: Any) -> str:
        """Start a run like the one of every 15 minutes, and return its id."""
        run = self.api.call("POST", f"/dags/{DAG_ID}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def run(self, **conf: Any) -> str:
        """Start such a run, and return its final state."""
        return self.end_of(self.trigger(**conf))

    def end_of(self, run_id: str) -> str:
        def state() -> str:
            return str(self.api.call("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}")["state"])

        assert eventually(lambda: state() in ("success", "failed"), every=0.5)
        return state()

    def all(self, query: str) -> list[tuple[Any, ...]]:
        with closing(connect(self.stack.database_url())) as connection:
            return connection.execute(query).fetchall()

    def loaded(self) -> dict[str, str]:
        """Return the landing days of the loaded files by name."""
        rows = self.all("select object_key, period::text from waybill.load_file where dataset = 'orders.lines'")
        return {key.removeprefix(PREFIX): day for key, day in rows}

    def messages(self, name: str) -> list[tuple[str, str]]:
        """Return (kind, message) of the messages about the runs that loaded a file, without those about incidents."""
        rows = self.all(
            "select a.kind, a.message, f.object_key from waybill.alert as a "
            "inner join waybill.load_file as f on a.run_id = f.run_id "
            "where a.dag_id = 'orders_reports' and a.kind not like 'incidents %'"
        )
        return [(kind, message) for kind, message, key in rows if key == PREFIX + name]

    def report(self, name: str, day: str) -> list[dict[str, str]] | None:
        """Return the rows of a published CSV file, if it exists."""
        s3, key = self.stack.s3(), f"analytics/{day.replace('-', '/')}/{name}.csv"
        try:
            text = s3.get_object(Bucket="waybill-reports", Key=key)["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            return None
        return list(csv.DictReader(io.StringIO(text)))

    def profits(self, day: str) -> dict[str, Decimal]:
        return {row["region"]: Decimal(row["profit"]) for row in self.report("region_profit", day) or []}


@pytest.fixture(scope="module")
def place(airflow_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with closing(connect(airflow_stack.database_url())) as connection:
        upgrade(connection)
    api = Airflow(airflow_stack.airflow_address(), "admin", airflow_stack.passwords()["admin"])
    api.unpause(DAG_ID)
    yield Place(airflow_stack, api, tmp_path_factory.mktemp("orders"))
    api.call("PATCH", f"/dags/{DAG_ID}", json={"is_paused": True})


def queue_of_orders(stack: Stack) -> str:
    return str(json.loads(stack.env()["WAYBILL_QUEUE_URLS"])["*"]).replace("{domain}", "orders")


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def run_demo(stack: Stack, pipeline: demo.Pipeline = demo.ORDERS) -> demo.Outcome:
    [outcome] = demo.run(stack, step=lambda _: None, progress=lambda *_: None, pipelines=[pipeline])
    return outcome


def test_the_demos_orders_become_the_reports_of_their_landing_day(place: Place) -> None:
    outcome = run_demo(place.stack)
    assert outcome.run_seconds is not None
    assert (outcome.differences, outcome.gaps) == ([], [])
    [day] = outcome.periods
    sample = generate(demo.sample_options(place.stack.s3(), demo.ORDERS)[0].key)
    lines: dict[tuple[str, str, int], Line] = {}
    for file, entry in zip(sample.files, sample.ground_truth["files"], strict=True):
        assert place.loaded()[file.key.removeprefix(PREFIX)] == day.key
        lines = lines_of(file.body, {one["record"] for one in entry["rejected"]}) | lines
    for report, expected in EXPECTED.items():
        wanted = [{name: as_text(value) for name, value in row.items()} for row in expected(lines.values())]
        found = place.report(report, day.key)
        assert found is not None, report
        assert [{name: row[name] for name in row if name != "day"} for row in found] == wanted, report
    before = place.all("select report, exported_sha256, built_at from waybill.publication order by 1, 3")
    again = run_demo(place.stack)
    assert (again.uploaded, again.run_seconds, again.differences, again.gaps) == (0, None, [], [])
    assert place.all("select report, exported_sha256, built_at from waybill.publication order by 1, 3") == before


def test_a_dropped_file_becomes_reports_in_the_output_bucket(place: Place) -> None:
    day = today()
    place.drop(
        place.write(
            "first.csv",
            Line("1", region="North", category="Toys"),
            Line("2", region="Far", category="Toys", discount="10", quantity="3"),
        )
    )
    assert eventually(lambda: place.profits(place.loaded().get("first.csv", day)).keys() >= {"North", "Far"})
    assert place.loaded()["first.csv"] in (day, today())
    found = place.profits(place.loaded()["first.csv"])
    assert (found["North"], found["Far"]) == (Decimal(4), Decimal(9))
    categories = place.report("orders_by_category", place.loaded()["first.csv"]) or []
    assert [row["orders_count"] for row in categories if row["category"] == "Toys"] == ["2"]
    # A run of the schedule, which starts when the DAG is unpaused, may find the file before the run of the message.
    assert eventually(lambda: "asset_triggered" in {run["run_type"] for run in place.api.runs(DAG_ID)}, every=0.5), (
        "a message starts a run"
    )
    assert eventually(lambda: len(place.messages("first.csv")) == 1)
    [(kind, message)] = place.messages("first.csv")
    assert kind == "success"
    assert "loaded 1 file and updated 3 reports" in message
    assert "orders.lines: 1 file, 2 rows in = 2 inserted" in message


def test_a_lost_message_is_repaired_by_a_reconciling_run(place: Place) -> None:
    place.put("silent.csv", body(Line("3", region="Quiet")))
    assert place.run() == "success"
    assert place.profits(place.loaded()["silent.csv"])["Quiet"] == Decimal(4)


def test_a_poison_file_stops_no_other_and_raises_one_alert(place: Place) -> None:
    place.put("poison.csv", b"Order Id,Quantity\n1,2\n")
    place.put("dt=2026-05-02/venom.csv", b"Order Id\n1\n")
    place.put("good.csv", body(Line("4", region="Good")))
    place.run()
    [(run_id,)] = place.all(f"select run_id from waybill.rejected_file where object_key = '{PREFIX}poison.csv'")
    assert place.end_of(run_id) == "failed"  # the schedule's, if the quarter of an hour was over just then
    assert place.profits(place.loaded()["good.csv"])["Good"] == Decimal(4), "reported although the run failed"
    [(kind, message)] = place.all(f"select kind, message from waybill.alert where run_id = '{run_id}'")
    assert (kind, "poison.csv" in message) == ("failure", True)
    assert "files of orders.lines were rejected" in message
    assert "Required columns are missing" in message
    idle = place.trigger()
    assert place.end_of(idle) == "success", "the same content is not retried"
    for asked, conf in (  # unless somebody asks for it
        ("poison.csv", {"file": "poison.csv"}),
        ("venom.csv", {"day": "2026-04-01", "last_day": "2026-05-31"}),
    ):
        message = place.failure_of(place.trigger(**conf))
        assert "1 of 1 files of orders.lines were rejected" in message
        assert asked in message
    place.put("poison.csv", body(Line("5", region="Corrected")))
    assert place.run() == "success"
    assert place.profits(place.loaded()["poison.csv"])["Corrected"] == Decimal(4)
    assert eventually(lambda: [kind for kind, _ in place.messages("poison.csv")] == ["success"])
    assert place.all(f"select from waybill.alert where run_id = '{idle}'") == [], "it changed nothing"


def test_messages_about_known_files_change_nothing(place: Place) -> None:
    before = place.all("select max(file_id) from waybill.load_file")
    sqs = boto3.client("sqs", **_client(place.stack))
    queue = queue_of_orders(place.stack)
    runs = len(place.api.runs(DAG_ID))
    for text in ("no JSON", json.dumps({"Event": "s3:TestEvent"}), json.dumps({"Records": []})):
        sqs.send_message(QueueUrl=queue, MessageBody=text)
    assert eventually(lambda: len(place.api.runs(DAG_ID)) > runs, every=0.5)
    newest = place.api.runs(DAG_ID)[0]["dag_run_id"]
    assert place.end_of(newest) == "success"
    assert place.all("select max(file_id) from waybill.load_file") == before


def _client(stack: Stack) -> dict[str, Any]:
    environment = stack.env()
    return {
        "endpoint_url": environment["AWS_ENDPOINT_URL"],
        "region_name": environment["AWS_DEFAULT_REGION"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }


def test_dropped_purchases_become_totals_of_customers_and_a_poison_file_stops_none(place: Place) -> None:
    dag_id, day = "purchases_medallion", "2026-03-31"
    place.api.unpause(dag_id)
    poison = place.folder / "poison.csv"
    poison.write_bytes(b"purchase_id,amount\n1,2\n")
    place.drop(PROJECT_ROOT / "examples/rates.csv", prefix="raw/purchases/rates/", domain="purchases", dataset="rates")
    place.drop(
        *(poison, PROJECT_ROOT / "examples/purchases.csv"),
        prefix="datalake/bronze/year=2026/month=03/day=31/",
        domain="purchases",
        period=day,
    )
    assert eventually(lambda: len(place.report("top_purchasers", day) or []) == 5)
    assert eventually(
        lambda: not any(run["state"] in ("queued", "running") for run in place.api.runs(dag_id)), every=0.5
    )
    published = place.report("top_purchasers", day) or []
    assert sorted((row["spend_rank"], row["customer_id"], row["total_spent_aud"]) for row in published) == [
        # 99.95 and 1200.00 at 1.52345, each rounded; 75.50 at 1.497 and 410.00 at 1.52345; and so on
        ("1", "C-9006", "1980.41"),
        ("2", "C-9002", "737.63"),
        ("3", "C-9003", "562.55"),
        ("4", "C-9001", "208.07"),
        ("5", "C-9004", "126.85"),
    ]
    assert "Brooks" not in str(published), "names are published as pseudonyms"
    (named,) = place.all(
        "select full_name, total_spent_aud::text from purchases_star.customer_purchase_summary "
        "where customer_id = 'C-9002'"
    )
    assert named == ("Jonas Okafor-Reyes", "737.63")
    objects = place.stack.s3().list_objects_v2(Bucket="waybill-lake", Prefix="datalake/")["Contents"]
    there = {item["Key"].rpartition("-")[0].rpartition("-")[0] for item in objects}
    assert there >= {
        f"datalake/silver/ingestion_date={day}/fact_purchases",
        "datalake/gold/year=2026/month=03/day=31/customer_spend",
    }
    assert place.all(
        "select rows_in, inserted, filtered from waybill.load_file where dataset = 'purchases.purchases'"
    ) == [(12, 11, 1)]
    query = f"select message from waybill.alert where dag_id = '{dag_id}' and kind = 'failure'"
    (message,) = place.all(query)
    assert "poison.csv" in message[0]
    place.api.call("PATCH", f"/dags/{dag_id}", json={"is_paused": True})


def test_the_demos_purchases_land_and_their_books_match_the_ground_truth(place: Place) -> None:
    few = replace(demo.PURCHASES, seeded=3)
    outcome = run_demo(place.stack, few)
    assert outcome.run_seconds is not None
    assert (outcome.differences, outcome.gaps) == ([], [])
    assert len(outcome.periods) >= 3
    assert len(place.report("top_purchasers", outcome.periods[-1].key) or []) == 5
    again = run_demo(place.stack, few)
    assert (again.uploaded, again.run_seconds, again.differences, again.gaps) == (0, None, [], [])
    place.api.call("PATCH", f"/dags/{few.dag_id}", json={"is_paused": True})


def test_an_unknown_parameter_fails_its_run_which_loads_nothing(place: Place) -> None:
    place.put("q5.csv", body(Line("q5")))
    message = place.failure_of(place.trigger_by_command(fil="q5.csv"))
    assert "unknown parameter 'fil': orders_reports accepts day, dry_run, file, last_day." in message
    assert "Did you mean 'file' instead of 'fil'?" in message
    by = place.all(f"select run_id from waybill.load_file where object_key = '{PREFIX}q5.csv'")
    assert not any(run_id.startswith("manual") for (run_id,) in by)


FILES, REPEATED = 80, 12
ROWS = (
    "select order_id, product_id, occurrence, ship_mode, quantity, list_price, landed_on, object_key "
    "from orders.{} as t inner join waybill.load_file as f on t._file_id = f.file_id "
    "where period < '2026-04-01' order by 1, 2, 3, 8"
)


def as_text(value: Any) -> str:
    """Return a value as it is written in a published file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    return f"{value:.6f}" if isinstance(value, Decimal) else str(value)


def test_many_files_at_once_with_a_killed_scheduler_and_triggerer_equal_one_at_a_time(
    place: Place, empty_connection: Connection
) -> None:
    def march() -> list[Any]:
        return place.all("select from waybill.load_file where object_key like '%/dt=2026-03-%'")

    chance = random.Random(7)
    files: dict[tuple[str, str], list[Line]] = {}
    for n in range(FILES - REPEATED):
        lines = [replace(line, order=f"{n}-{line.order}") for line in make_lines(n, 8)]
        files[f"2026-03-{n % 3 + 1:02d}", f"{n:03d}.csv"] = lines
    landed = {day: [line for (of, _), lines in files.items() if of == day for line in lines] for day, _ in files}
    for (day, name), lines in chance.sample(sorted(files.items()), REPEATED):  # again, later, under another name
        files[f"{day[:-1]}{int(day[-1]) + 1}", f"again_{name}"] = lines
    s3, queue = place.stack.s3(), queue_of_orders(place.stack)
    sqs = boto3.client("sqs", **_client(place.stack))
    order = chance.sample(sorted(files), FILES)
    for position, (day, name) in enumerate([*order, *chance.sample(order, REPEATED)]):
        key, text = f"{PREFIX}dt={day}/{name}", body(*files[day, name])
        s3.put_object(Bucket="waybill-raw", Key=key, Body=text)
        if chance.random() < 0.9:  # the others' messages are lost
            announce(sqs, queue, Dropped("waybill-raw", key, "", len(text)))
        if position == FILES // 2:
            assert eventually(lambda: len(march()) > 0)
            for service in place.stack.status():
                if service.name in ("airflow-scheduler", "airflow-triggerer"):
                    assert service.pid
                    os.kill(service.pid, signal.SIGKILL)

    def at_rest() -> bool:
        return not any(run["state"] in ("queued", "running") for run in place.api.runs(DAG_ID))

    assert eventually(lambda: place.stack.up() is False)  # the supervisor has started both again
    place.trigger()  # as the schedule does after the last message
    assert eventually(lambda: len(march()) == FILES and at_rest(), every=0.5)

    advisory_lock = Orders(empty_connection)
    for day, name in sorted(files):
        advisory_lock.arrive(day, name, *files[day, name])
    for table in ("lines", "lines_superseded"):
        assert place.all(ROWS.format(table)) == empty_connection.execute(ROWS.format(table)).fetchall()
    assert empty_connection.execute("select count(*) from orders.lines").fetchone() == (sum(map(len, landed.values())),)
    for day in ("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"):
        for report, expected in EXPECTED.items():
            wanted = [{name: as_text(v) for name, v in row.items()} for row in expected(landed.get(day, []))]
            found = place.report(report, day)
            assert found is not None, f"{report} of {day} is published"
            assert [{name: row[name] for name in row if name != "day"} for row in found] == wanted


def test_a_report_with_too_many_warnings_waits_for_approval(place: Place) -> None:
    """More than fifty regions cause a warning, and `maxWarnings` of the report is 0."""

    def questions(day: str) -> list[dict[str, Any]]:
        asked = place.api.call("GET", f"/dags/{DAG_ID}/dagRuns/~/hitlDetails")["hitl_details"]
        return [one for one in asked if day in one["subject"]]

    runs = {}
    for day, answer, outcome in (("2026-06-01", "Approve", "success"), ("2026-06-02", "Reject", "failed")):
        place.put(f"dt={day}/wide.csv", body(*(Line(f"{day} {n}", region=f"Region {n}") for n in range(51))))
        place.trigger()
        assert eventually(lambda day=day: len(questions(day)) == 1, every=0.5)
        (question,) = questions(day)
        assert "region_profit_regions is 51, must be <= 50" in question["body"]
        assert place.report("orders_by_category", day) is None, "a day is published as a whole"
        # Nobody reads faster. An answer within the moment until Airflow hears that the process has ended looks to it
        # like a crash: it tries the task again, which asks again.
        time.sleep(3)
        task = question["task_instance"]
        runs[day] = task["dag_run_id"]
        place.api.call(
            "PATCH",
            f"/dags/{DAG_ID}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/-1/hitlDetails",
            json={"chosen_options": [answer], "params_input": {}},
        )
        assert place.end_of(runs[day]) == outcome
    assert len(place.profits("2026-06-01")) == 51
    (rejection,) = place.all("select dataset, run_id, message from waybill.rejected_file where period = '2026-06-02'")
    assert rejection[:2] == ("orders_report.region_profit", runs["2026-06-02"])
    assert "admin refused to publish it: region_profit_regions is 51" in rejection[2]
    failures = place.all("select run_id, message from waybill.alert where kind = 'failure'")
    messages = [text for run_id, text in failures if run_id in runs.values()]
    assert len(messages) == 1
    assert "admin refused to publish orders_report.region_profit 2026-06-02" in messages[0]
    assert place.run() == "success"
    assert place.report("region_profit", "2026-06-02") is None, "the next run does not publish it either"
