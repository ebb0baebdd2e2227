"""What `import waybill` offers: DataFrames of tables and waybills, read by the role of readers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import waybill
from support.messaging_months import build_month, database, ingest_month, put, sample
from waybill.errors import DataError
from waybill.settings import SettingsError, settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

LAST = "2026-03"


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Iterator[str]:
    """The address, for the role of readers, of a warehouse with two months and the reports of the last one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.env().items():
            if name.startswith(("AWS_", "WAYBILL_LAKE_", "WAYBILL_MASK_KEY")):
                patch.setenv(name, value)
        patch.setenv("WAYBILL_RAW_BUCKET", "frames-small")
        settings.cache_clear()
        s3 = stack.s3()
        s3.create_bucket(Bucket="frames-small")
        put(s3, "frames-small", sample(LAST, 2, scale=0.3))
        with database(stack) as dsn:
            with connect(dsn) as connection:
                for month in ("2026-02", LAST):
                    ingest_month(connection, s3, month)
                build_month(connection, LAST)
            yield stack.database_url("waybill_reader", str(conninfo_to_dict(dsn)["dbname"]))
    settings.cache_clear()


@pytest.fixture(autouse=True)
def only_reader(reader: str, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The address of the role that may write is not set."""
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE")
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_READER", reader)
    settings.cache_clear()
    yield
    settings.cache_clear()


def rows(reader: str, query: str) -> list[Any]:
    with psycopg.connect(reader) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_a_report_has_exact_decimals(reader: str) -> None:
    found = waybill.read("messaging_report.top_customers", period=LAST)
    assert len(found) >= 20
    names = ", ".join(found.columns)
    assert [tuple(row) for row in found.itertuples(index=False)] == rows(
        reader,
        f"select {names} from messaging_report.top_customers where month = '2026-03-01' order by month, customer_id",
    )
    kinds = {str(kind) for kind in found.dtypes}
    assert {"decimal128(20, 2)[pyarrow]", "date32[day][pyarrow]"} <= kinds or any("decimal128" in one for one in kinds)
    amount = next(name for name, kind in found.dtypes.items() if "decimal" in str(kind))
    assert isinstance(found[amount].sum(), Decimal)
    assert len(waybill.read("messaging_report.top_customers")) == len(found)


def test_a_dataset_is_read_by_period_and_as_it_was_known(reader: str) -> None:
    month = waybill.read("messaging.traffic", period="2026-02")
    [(known, count)] = rows(
        reader,
        "select (select count(*) from messaging.traffic_as_of('2026-03-01')), count(*) from messaging.traffic "
        "where send_date >= '2026-02-01' and send_date < '2026-03-01'",
    )
    assert len(month) == count > 0
    assert len(waybill.read("messaging.traffic", as_of="2026-03-01")) == known
    assert len(waybill.read("messaging.traffic", as_of=date(2026, 3, 1))) == known
    for instant in (datetime(2026, 3, 1, 12, tzinfo=UTC), pd.Timestamp("2026-03-01 12:00")):
        assert len(waybill.read("messaging.traffic", as_of=instant)) == known
    day = waybill.read("messaging.traffic", period="2026-02-10")
    assert day.equals(waybill.read("messaging.traffic", period=pd.Timestamp("2026-02-10 23:59")))
    assert set(day["send_date"]) == {date(2026, 2, 10)}
    assert day.equals(waybill.read("messaging.traffic", period=date(2026, 2, 10)))
    assert waybill.read("messaging.traffic", period="2025-01").shape == (0, len(day.columns))
    assert len(waybill.read("messaging.customers")) > 0


def test_a_waybill_has_files_and_checks() -> None:
    found = waybill.trace("messaging_report.top_customers", LAST)
    assert found.facts["row_count"] == len(waybill.read("messaging_report.top_customers", period=LAST))
    assert set(found.files["dataset"]) >= {"messaging.traffic", "messaging.customers"}
    assert found.checks["passed"].all()
    assert str(found).startswith("messaging_report.top_customers for 2026-03: ")
    assert waybill.trace("top_customers").period == LAST


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: waybill.read("messaging_report.top_customer"), "there is no table 'messaging_report.top_customer'"),
        (
            lambda: waybill.read("messaging.nope"),
            "there is no table 'messaging.nope': known are messaging.channels, messaging.customers",
        ),
        (lambda: waybill.read("messaging_report.top_customers", period="2026-03-01"), "has the periods month"),
        (lambda: waybill.read("messaging_report.top_customers", period=date(2026, 3, 1)), "has the periods month"),
        (
            lambda: waybill.read("messaging_report.top_customers", period="2025-01"),
            "top_customers was not built for 2025-01; it was built for 2026-03$",
        ),
        (lambda: waybill.trace("top_customers", date(2026, 3, 1)), "was not built for 2026-03-01"),
        (lambda: waybill.trace("top_customers", pd.Timestamp("2026-03-01")), "was not built for 2026-03-01"),
        (lambda: waybill.training_set([1], "customer_orders:1"), "labels are a DataFrame, or the path"),
        (lambda: waybill.read("messaging_report.top_customers", as_of="2026-03-01"), "as_of is for datasets"),
        (lambda: waybill.read("messaging.traffic", as_of="March"), "as_of is 'March', which is no day"),
        (lambda: waybill.read("messaging.traffic", as_of=pd.NaT), "as_of is NaT, which is no day"),
        (lambda: waybill.read("messaging.customers", period=LAST), "name as_of instead of a period"),
        (lambda: waybill.read("messaging.traffic", period="March"), "'March' is not a period"),
        (lambda: waybill.read("orders.lines"), "the warehouse has no orders.lines"),
        (lambda: waybill.trace("top_customers", "2024-01"), "was not built for 2024-01"),
        (lambda: waybill.training_set(pd.DataFrame(), []), "name at least one feature view"),
        (lambda: waybill.training_set(pd.DataFrame(), [["customer_orders:1"]]), "name at least one feature view"),  # type: ignore[list-item]
        (lambda: waybill.read(["messaging.traffic"]), r"there is no table \['messaging.traffic'\]"),  # type: ignore[arg-type]
    ],
)
def test_errors_name_the_next_step(call: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


def test_a_missing_or_silent_reader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_READER", "postgresql://waybill_reader@127.0.0.1:1/warehouse")
    settings.cache_clear()
    with pytest.raises(DataError, match="The warehouse does not answer"):
        waybill.read("messaging.traffic")
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_READER")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="AIRFLOW_CONN_WAYBILL_READER is not set"):
        waybill.read("messaging.traffic")


def test_the_import_alone_costs_nothing() -> None:
    code = (
        "import sys, typing; old = {*sys.modules}; import waybill; print(*{*sys.modules} - old); print(*dir(waybill))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, names = done.stdout.splitlines()
    assert modules == "waybill"
    assert {"Trace", "read", "trace", "training_set"} <= set(names.split())
    with pytest.raises(AttributeError, match="no attribute 'write'"):
        _ = waybill.write
