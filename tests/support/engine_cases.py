"""Files that both engines decide, with what one machine decided."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from waybill.contracts import Contract
from waybill.files.landed_file import LandedFile
from waybill.settings import PREFIX


@dataclass
class Decision:
    """What an engine decided about a file."""

    rows: dict[int, list[str | None]] = field(default_factory=dict)
    """The accepted rows by record, as canonical texts in the order of the contract's columns."""
    rejected: dict[int, tuple[list[str], str]] = field(default_factory=dict)
    """The reasons and the raw text of rejected rows, by record."""
    books: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    """Why the whole file is rejected."""

    @property
    def content_hash(self) -> str:
        """Return the hash of the accepted rows without their order."""
        lines = sorted(json.dumps(row) for row in self.rows.values())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass
class FileCase:
    """A file of a dataset."""

    contract: Contract
    landed: LandedFile
    body: bytes
    timezone: str
    decision: Decision = field(default_factory=Decision)


def canonical(physical_type: str, value: Any) -> str | None:
    """Return the one text of a value, whichever reader it comes from."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if physical_type == "timestamptz":
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        return value.strftime("%Y-%m-%d %H:%M:%S.%f").zfill(26)
    if physical_type == "jsonb":
        return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)
    if physical_type == "real":
        return f"{value:.6g}"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def canonical_row(contract: Contract, values: Iterable[Any]) -> list[str | None]:
    return [canonical(column.physical_type, value) for column, value in zip(contract.columns, values, strict=True)]


def decide(case: FileCase, folder: Path) -> Decision:
    """Return what the code of Spark's workers decides about a file."""
    from waybill.lakehouse.checking import CheckedFile
    from waybill.lakehouse.staged import use_variables

    use_variables({f"{PREFIX}TIMEZONE": case.timezone})
    checked = CheckedFile(case.contract, case.landed, folder)
    checked.check(_Body(case))  # type: ignore[arg-type]
    summary = checked.summary()
    found = Decision(error=summary.error)
    names = case.contract.names
    for batch in checked.valid_rows():
        for row in batch.to_pylist():
            found.rows[row["_record"]] = canonical_row(case.contract, [row[name] for name in names])
    for batch in checked.rejected_rows():
        found.rejected |= {row["_record"]: (row["_reasons"], row["_raw"]) for row in batch.to_pylist()}
    kept = ("rows_in", "inserted", "rejected", "duplicate", "filtered")
    found.books = {name: summary.books[name] for name in kept} if summary.books else {}
    return found


class _Body:
    """As much of an S3 client as `receive` needs."""

    def __init__(self, case: FileCase) -> None:
        self._case = case

    def get_object(self, **_: str) -> dict[str, Any]:
        body = self._case.body
        return {"Body": io.BytesIO(body), "ETag": f'"{self._case.landed.etag}"', "ContentLength": len(body)}


def decide_on_spark(spark: Any, path: Path) -> None:
    """Decide all cases in a file, in one job of Spark; the decisions are written beside it."""
    from waybill.scratch import scratch_folder

    cases: list[FileCase] = pickle.loads(path.read_bytes())

    def work(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            for place in batch["id"].to_pylist():
                with scratch_folder() as folder:
                    decided = pickle.dumps(decide(cases[place], folder))
                yield pa.RecordBatch.from_pydict({"id": pa.array([place], pa.int64()), "decided": [decided]})

    rows = spark.range(0, len(cases), 1, 8).mapInArrow(work, "id bigint, decided binary").collect()
    decided = {row["id"]: pickle.loads(row["decided"]) for row in rows}
    path.with_suffix(".decided").write_bytes(pickle.dumps([decided[place] for place in range(len(cases))]))


def case_file(folder: Path) -> Path:
    return folder / f"{uuid.uuid4().hex}.pickle"
