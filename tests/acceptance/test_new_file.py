"""The commands of README bring an unknown file into rows and books of a new domain, while Airflow runs."""

from __future__ import annotations

import csv
import re
import subprocess
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx

from support.waiting import PATIENCE, eventually
from waybill.settings import PROJECT_ROOT
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools.stack import Stack

FILE = PROJECT_ROOT / "examples/invoices.csv"
[BLOCK] = [
    block
    for block in re.findall(r"(?s)```console\n(.*?)```", (PROJECT_ROOT / "README.md").read_text())
    if "domain new" in block
]
COMMANDS = re.findall(r"(?m)^\$ (.*)$", BLOCK)


def shell(stack: Stack, command: str) -> tuple[int, str]:
    """Run a command in a shell with the environment of the stack; return its exit code and output."""
    done = subprocess.run(
        ["bash", "-c", f". {stack.home}/env\n{command}"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def number(text: str) -> Decimal:
    return Decimal(text.replace(".", "").replace(",", "."))


def day(text: str) -> date:
    return datetime.strptime(text, "%d.%m.%Y").date()  # noqa: DTZ007


def test_the_commands_lead_from_an_unknown_file_to_rows_and_books(airflow_stack: Stack) -> None:
    upgrade(connect(airflow_stack.database_url()))
    assert len(COMMANDS) <= 4
    for command in COMMANDS:
        code, printed = shell(airflow_stack, command)
        assert code == 0, printed
    connection = connect(airflow_stack.database_url())

    def books() -> list[Any]:
        return connection.execute(
            "select rows_in, inserted, rejected from waybill.load_file where dataset = 'billing.invoices'"
        ).fetchall()

    assert eventually(lambda: bool(books()))
    with FILE.open(encoding="cp1252", newline="") as opened:
        lines = [*csv.DictReader(opened, delimiter=";")]
    assert books() == [(len(lines), len(lines), 0)]
    found = connection.execute(
        "select rechnungs_nr, kunde, ort, rechnungsdatum, netto_eur, brutto_eur, bezahlt_am, bemerkung "
        "from billing.invoices order by rechnungs_nr"
    ).fetchall()
    assert found == [
        (
            line["Rechnungs-Nr."],
            line["Kunde"],
            line["Ort"],
            day(line["Rechnungsdatum"]),
            number(line["Netto €"]),
            number(line["Brutto €"]),
            day(line["Bezahlt am"]) if line["Bezahlt am"] else None,
            line["Bemerkung"] or None,
        )
        for line in lines
    ]
    connection.close()

    code, printed = shell(airflow_stack, "today=$(date -u +%F); waybill books $today $today --domain billing")
    assert code == 0, printed
    assert re.search(rf"invoices +1 +{len(lines)} +{len(lines)} +0 +0 +0 +0 +0 +0 +ok", printed)
    page = data_operations(airflow_stack, "billing")
    assert "invoices" in page
    assert re.search(rf"<td[^>]*>\s*{len(lines)}\s*</td>", page), "its rows"


def data_operations(stack: Stack, domain: str) -> str:
    """Return the page of a domain in Data operations, as a browser gets it."""
    with httpx.Client(base_url=stack.airflow_address(), timeout=PATIENCE, trust_env=False) as client:
        user = {"username": "viewer", "password": stack.passwords()["viewer"]}
        client.cookies.set("_token", client.post("/auth/token", json=user).json()["access_token"])
        answer = client.get("/waybill/operations/index.html", params={"domain": domain})
        answer.raise_for_status()
        return answer.text
