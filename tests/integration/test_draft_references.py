"""Drafted columns refer to datasets of the domain whose keys have their values."""

from __future__ import annotations

from pathlib import Path

from psycopg import Connection

from support.drafts import DOMAIN
from support.landing import MemoryBucket
from support.messaging_months import RUN
from waybill.contracts import load_domain
from waybill.contracts.namesakes import namesake_warnings
from waybill.drafts.draft import draft_contract
from waybill.drafts.files import given_files
from waybill.drafts.target import contract_path
from waybill.intake.ingest import ingest_file
from waybill.period import Period

PARTS = b"part_id,title\n" + b"".join(b"%d,Part %d\n" % (n, n) for n in range(10**9, 10**9 + 150))
ORDERS = b"id,part_id,pieces\n" + b"".join(b"%d,%d,%d\n" % (n, 10**9 + n % 150, n % 7) for n in range(1, 200))


def test_references_are_declared_if_the_warehouse_has_every_value(
    empty_connection: Connection, include_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    parts, orders = tmp_path / "parts.csv", tmp_path / "sold.csv"
    parts.write_bytes(PARTS)
    orders.write_bytes(ORDERS)
    path = contract_path(DOMAIN, "parts")
    path.write_text(draft_contract(given_files([str(parts)]), DOMAIN, "parts", folder, load_domain(DOMAIN)).text)
    contracts = load_domain(DOMAIN)
    assert contracts["parts"].key == ["part_id"]

    def drafted(connection: Connection | None = None, file: Path = orders) -> str:
        table = draft_contract(given_files([str(file)]), DOMAIN, "sold", folder, contracts, connection)
        contract_path(DOMAIN, "sold").write_text(table.text)
        return " ".join(table.text.replace("# ", "").split())

    advice = "If it must have every value, add: relationships: [{to: parts.part_id}]"
    assert f"parts.part_id has a similar name and the same type. {advice}" in drafted()
    assert advice in drafted(empty_connection), "the table does not exist"
    bucket = MemoryBucket()

    def load(dataset: str, body: bytes) -> None:
        landed = bucket.put(DOMAIN, dataset, Period.parse("day", "2026-03-01"), body, f"{dataset}.csv")
        domain = load_domain(DOMAIN)
        books = ingest_file(empty_connection, bucket, landed, domain[dataset], domain, RUN)
        assert books
        assert (books.inserted, books.rejected) == (books.rows_in, 0)

    load("parts", PARTS)
    assert "all 150 values are in parts.part_id" in drafted(empty_connection)
    contract = load_domain(DOMAIN)["sold"]
    column = next(one for one in contract.columns if one.name == "part_id")
    assert (column.reference, column.physical_type) == (("parts", "part_id"), "bigint")
    assert namesake_warnings(DOMAIN, [contract, contracts["parts"]]) == []
    load("sold", ORDERS)
    other = tmp_path / "other.csv"
    other.write_bytes(ORDERS + b"900,5,1\n")
    assert f"It lacks 1 of 151 values. {advice}" in drafted(empty_connection, other)
