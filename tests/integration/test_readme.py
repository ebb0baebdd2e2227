"""The commands in README and the pages work unchanged on data as `make demo` makes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from support.lake import lake_in
from support.messaging_months import RUN, build_month, database, ingest_month, put
from waybill.contracts import load_domain
from waybill.contracts.domains import queue_url
from waybill.contracts.locations import report_schema, star_schema
from waybill.derived.refresh import refresh
from waybill.derived.refresh_features import refresh_features
from waybill.intake.ingest import ingest, ingest_arrived
from waybill.outputs.iceberg_tables import open_catalog
from waybill.outputs.lake import write_changed_days
from waybill.outputs.publish import publish_changed
from waybill.period import Period
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect, one_row
from waybill_devtools import demo
from waybill_devtools.commands.demo import print_screen
from waybill_devtools.sampledata import messaging, shop
from waybill_devtools.stack import Stack

BUCKET = "readme"
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/start/{name}.md" for name in ("installation", "first-run")),
    *(f"docs/do/{name}.md" for name in ("add-dataset", "add-report", "backfill", "trace")),
)
"""Pages whose commands work on the data of the demo. Blocks marked `console` need files of a reader."""
BLOCKS = re.findall(r"(?s)```sh\n(.*?)```", "".join((PROJECT_ROOT / page).read_text() for page in PAGES))
LINES = [*dict.fromkeys(line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line)]
VARIABLES = "\n".join(line for line in LINES if re.match(r"\w+=", line))
ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"
ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def commands(program: str) -> list[str]:
    return [line for line in LINES if line.startswith(f"{program} ")]


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[dict[str, str]]:
    """The environment of a shell, and a warehouse with the newest two months of messaging and days of the shop."""
    patch = pytest.MonkeyPatch()
    with database(stack) as dsn:
        found = {
            name: value
            for name, value in stack.env().items()
            if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "WAYBILL_"))
        }
        found |= {"AIRFLOW_CONN_WAYBILL_WAREHOUSE": dsn, "WAYBILL_RAW_BUCKET": BUCKET, "WAYBILL_REPORTS_BUCKET": BUCKET}
        for name, value in found.items():
            patch.setenv(name, value)
        stack.s3().create_bucket(Bucket=BUCKET)
        with lake_in(BUCKET, stack.s3(), patch):
            path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            # Once, so that all commands and the data agree on the day.
            done = shell(f"set -a\n{VARIABLES}\npython -c '{ENVIRONMENT}'", os.environ | path)
            variables: dict[str, str] = json.loads(done.stdout)
            fill(stack, dsn, date.fromisoformat(variables["today"]))
            yield variables
        for domain in ("orders", "purchases"):
            if address := queue_url(domain):
                boto3.client("sqs").purge_queue(QueueUrl=address)
    patch.undo()
    settings.cache_clear()


def fill(stack: Stack, dsn: str, today: date) -> None:
    s3 = stack.s3()
    month, day = Period.of("month", today).shift(-1), Period.of("day", today).shift(-1)
    put(s3, BUCKET, messaging.generate(month.key, 2))
    put(s3, BUCKET, shop.generate(day.key, 3, 20260101, 0.3))
    with connect(dsn) as connection:
        for one in (month.shift(-1), month):
            ingest_month(connection, s3, one.key)
            build_month(connection, one.key)
        contracts = load_domain("shop")
        for contract in contracts.values():
            ingest(connection, s3, contract, contracts, day, RUN)
        derive(connection, "shop")


def derive(connection: psycopg.Connection, domain: str) -> None:
    """Build what is out of date, as the domain's DAG does."""
    for schema in (star_schema(domain), report_schema(domain)):
        refresh(connection, domain, schema, RUN)
    refresh_features(connection, domain, RUN)


def publish(connection: psycopg.Connection, domain: str) -> None:
    """Write the derived tables with days to the lake, and publish the reports, as the domain's DAG does."""
    s3 = boto3.client("s3")
    contracts = [contract for contract in load_domain(star_schema(domain)).values() if contract.day_column]
    write_changed_days(connection, s3, open_catalog(boto3.Session(), s3), contracts, RUN)
    publish_changed(connection, s3, domain, RUN)


def arrive(environment: dict[str, str], domain: str) -> None:
    """Ingest the dropped files, as the DAG of the domain does."""
    with connect(environment["AIRFLOW_CONN_WAYBILL_WAREHOUSE"]) as connection:
        contracts = load_domain(domain)
        for contract in contracts.values():
            ingest_arrived(connection, boto3.client("s3"), contract, contracts, RUN)
        derive(connection, domain)
        if domain == "purchases":
            publish(connection, domain)


def shell(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = f"set -eu\n{command}\n"
    return subprocess.run(
        ["bash", "-c", script], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )


def arguments(line: str, environment: dict[str, str]) -> list[str]:
    """Return the arguments that the shell passes to the program of a line."""
    found: list[str] = json.loads(shell(f"python -c '{ARGUMENTS}' {line.partition(' ')[2]}", environment).stdout)
    return found


def test_every_waybill_command_and_query_works_in_order(environment: dict[str, str]) -> None:
    outputs: dict[str, str] = {}
    assert len(commands("waybill")) > 10
    assert len(commands("psql")) > 2
    with connect(environment["AIRFLOW_CONN_WAYBILL_WAREHOUSE"]) as connection:
        for line in LINES:
            if line.startswith("psql "):
                _, query = arguments(line, environment)
                assert connection.execute(query).fetchall(), query
            elif line.startswith("waybill "):
                done = shell(line, environment)
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                outputs[line.partition("#")[0].strip()] = done.stdout
            if line.startswith("waybill drop"):
                environment = environment | {"today": f"{datetime.now(UTC):%Y-%m-%d}"}  # the day of landing
                arrive(environment, "purchases" if "purchases" in line else "orders")
    assert "Complete: " in outputs["waybill books $month $month"]
    assert "Complete: " in outputs["waybill books $day $day --domain shop"]
    assert "Built for " in outputs["waybill trace revenue_trend"]
    assert "-W" in outputs["waybill trace revenue_trend $week"]
    assert "purchases_star.fact_purchases" in outputs["waybill trace top_purchasers 2026-03-31 --as-of-snapshot"]


def test_every_airflow_command_names_a_dag_and_parameters_that_it_has(environment: dict[str, str]) -> None:
    dags = {
        re.findall(r'dag_id="(\w+)"', text)[0]: text
        for text in (path.read_text() for path in (PROJECT_ROOT / "dags").rglob("*.py"))
        if "dag_id=" in text
    }
    assert len(commands("airflow")) > 4
    for line in commands("airflow"):
        words = arguments(line, environment)
        dag = words[words.index("--dag-id") + 1] if "--dag-id" in words else words[2]
        assert dag in dags, line
        conf: dict[str, Any] = json.loads(words[words.index("-c") + 1]) if "-c" in words else {}
        named = r'"(\w+)": \w+_param\('
        known = {"file", "day", "last_day"} if "arrival_params" in dags[dag] else {*re.findall(named, dags[dag])}
        assert conf.keys() <= known, line
        for name in conf.keys() & {"month", "day", "last_day"}:
            assert Period.named(conf[name])


def test_every_target_of_make_is_there() -> None:
    targets = re.findall(r"(?m)^([\w-]+):", (PROJECT_ROOT / "Makefile").read_text())
    assert commands("make")
    assert {line.split()[1] for line in commands("make")} <= set(targets)


def test_labels_and_training_set_of_the_page_about_them(environment: dict[str, str], tmp_path: Path) -> None:
    page = (PROJECT_ROOT / "docs/do/training-sets.md").read_text()
    [query] = re.findall(r'(?s)\$ psql --csv -c "(.*?)" > labels.csv', page)
    [command] = re.findall(r"(?m)^\$ (waybill features training-set .*\\\n.*)$", page)
    query = query.replace("current_date - 7", "current_date - 1")  # there are three days
    file = tmp_path / "labels.csv"
    with (
        connect(environment["AIRFLOW_CONN_WAYBILL_WAREHOUSE"]) as connection,
        connection.cursor().copy(f"copy ({query}) to stdout (format csv, header)") as rows,
        file.open("wb") as out,
    ):
        out.writelines(rows)
    done = shell(f"{command.replace('labels.csv', str(file))} --output {tmp_path}", environment)
    assert done.returncode == 0, done.stderr
    labels = len(file.read_text().splitlines()) - 1
    assert labels > 10
    assert f"buys-again: {labels} rows as known, in {tmp_path}/buys-again.parquet\n" in done.stdout
    [with_values] = re.findall(r"customer_orders:1: (\d+) rows with a value", done.stdout)
    assert int(with_values) > labels / 2


def test_the_last_screen_of_the_demo_is_short_and_right(
    environment: dict[str, str], stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    today = date.fromisoformat(environment["today"])
    month, day = Period.of("month", today).shift(-1), Period.of("day", today).shift(-1)
    latest = {pipeline: month if pipeline.cadence == "month" else day for pipeline in demo.PIPELINES}
    arrive(environment, "orders")
    arrive(environment, "purchases")
    outcomes = [demo.Outcome(pipeline, [period], 0, 1.0) for pipeline, period in latest.items()]
    with connect(environment["AIRFLOW_CONN_WAYBILL_WAREHOUSE"]) as connection:
        print_screen(connection, stack, outcomes)
        best = connection.execute(
            "select industry from messaging_report.industry_exposure where month = %s "
            "order by revenue_eur desc limit 1",
            (month.start,),
        ).fetchone()
        [inserted] = one_row(
            connection,
            "select sum(inserted)::int from waybill.load_file where dataset like 'messaging.%%' and period = %s",
            (month.start,),
        )
    screen = capsys.readouterr().out
    assert best
    [command] = re.findall(r"(?m)^  (waybill features get \S+ --key \S+) ", screen)
    done = shell(command, environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["features"]["spend_90_days"]
    assert re.search(rf"(?m)^  buckets +{settings().raw_bucket}, .*, {settings().lake_bucket} *$", screen)
    assert len(screen.splitlines()) <= 38  # two more say how long it took
    assert max(map(len, screen.splitlines())) <= 160
    assert f"{best[0]}, " in screen
    [books] = re.findall(r"(?m)^messaging_monthly .*", screen)
    assert f" {inserted:,} " in books
    assert "ok" in books
