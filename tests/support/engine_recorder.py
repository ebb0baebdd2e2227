"""A plugin of pytest that records what one machine decides about the files of other tests, for a comparison with Spark.

The cases are written to the folder of `--record-cases` at the end of the session.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from support.engine_cases import Decision, FileCase, canonical_row, case_file
from waybill.errors import DataError
from waybill.files.content import ObjectChanged
from waybill.intake import ingest, load
from waybill.settings import settings
from waybill.warehouse.schema import columns_sql

CASES: list[FileCase] = []
current: list[FileCase] = []
"""The case of the file that is being ingested."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-cases", type=Path, required=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    case_file(session.config.getoption("--record-cases")).write_bytes(pickle.dumps(CASES))


@pytest.fixture(autouse=True)
def record_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Record the files that a test ingests, with the decisions that do not depend on other files."""
    receive, load_file, load_rows = ingest.receive, ingest.load_file, load.load_rows
    check_snapshot = load._check_snapshot

    def recorded_receive(s3: Any, file: Any, contract: Any, folder: Path) -> Any:
        body = s3.get_object(Bucket=file.bucket, Key=file.key)["Body"].read()
        current[:] = [FileCase(contract, file, body, settings().timezone)]
        with _errors():
            return receive(s3, file, contract, folder)

    def recorded_load_file(*arguments: Any) -> Any:
        with _errors():
            books = load_file(*arguments)
        if current and books is not None and current[0].decision.books:
            CASES.append(current.pop())
        current.clear()
        return books

    def recorded_load_rows(
        connection: Any,
        contract: Any,
        contracts: Any,
        source: Any,
        file_id: int,
        folder: Path,
        store: Any,
        *more: Any,
        **options: Any,
    ) -> Any:
        def store_and_note(staging: Any) -> int:
            rejected: int = store(staging)
            if current:
                current[0].decision = _decision(connection, contract, staging, file_id, rejected)
            return rejected

        return load_rows(connection, contract, contracts, source, file_id, folder, store_and_note, *more, **options)

    def compared_with_earlier_files(*arguments: Any) -> None:
        kept = [*current]
        current.clear()  # an error is not about the file alone
        check_snapshot(*arguments)
        current[:] = kept

    monkeypatch.setattr(ingest, "receive", recorded_receive)
    monkeypatch.setattr(ingest, "load_file", recorded_load_file)
    monkeypatch.setattr(load, "load_rows", recorded_load_rows)
    monkeypatch.setattr(load, "_check_snapshot", compared_with_earlier_files)
    yield
    current.clear()


class _errors:  # noqa: N801  # a context manager
    """Records the error against the current file as its decision."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if current and isinstance(error, DataError) and not isinstance(error, ObjectChanged):
            current[0].decision = Decision(error=str(error))
            CASES.append(current.pop())


def _decision(connection: Any, contract: Any, staging: Any, file_id: int, rejected: int) -> Decision:
    """Return what was decided about the rows, before they are merged with those of other files."""
    rows = {}
    for place in staging.places:
        query = sql.SQL("select _record, {} from {}").format(columns_sql(contract.names), place)
        rows |= {record: canonical_row(contract, values) for record, *values in connection.execute(query).fetchall()}
    rejects = connection.execute(
        "select record, reasons, raw from waybill.quarantine where file_id = %s", (file_id,)
    ).fetchall()
    books = {
        "rows_in": staging.books.rows_in,
        "inserted": len(rows),
        "rejected": rejected,
        "duplicate": staging.books.duplicate,
        "filtered": staging.books.filtered,
    }
    return Decision(rows, {record: (reasons, raw) for record, reasons, raw in rejects}, books)
