"""The files of the lake's Iceberg tables: their places, their entries, and the commits that replace them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Contract
from waybill.contracts.locations import bucket_and_key
from waybill.outputs.export import PARQUET, arrow_type
from waybill.outputs.iceberg_statistics import statistics_of
from waybill.outputs.iceberg_tables import DATA_PATH, DAY, layout_of
from waybill.outputs.masking import masked_columns
from waybill.run import Run
from waybill.scratch import scratch_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.typedef import Record

DAYS: Final = "waybill.days"
"""The property of a snapshot with the days that it replaced: a JSON object with the hash of the rows of each day."""
FILE_IDS: Final = "waybill.file-ids"
RUN_ID: Final = "waybill.run-id"
CODE_VERSION: Final = "waybill.code-version"
_EPOCH: Final = date(1970, 1, 1)


def parquet_schema(table: Table, contract: Contract) -> pa.Schema:
    """Return the columns of the files of a table, with its identifiers: those of the contract, and the day."""
    import pyarrow as pa
    from pyiceberg.types import ListType

    def field(number: int, name: str, kind: Any, *, nullable: bool) -> pa.Field:
        return pa.field(name, kind, nullable, {b"PARQUET:field_id": str(number).encode()})

    found = []
    for column in masked_columns(contract):
        there = table.schema().find_field(column.name)
        kind = pa.int32() if column.physical_type == "smallint" else arrow_type(column.physical_type)
        if isinstance(there.field_type, ListType):
            kind = pa.list_(field(there.field_type.element_id, "element", pa.string(), nullable=True))
        found.append(field(there.field_id, column.name, kind, nullable=not column.required))
    day = table.schema().find_field(DAY)
    return pa.schema([*found, field(day.field_id, DAY, pa.date32(), nullable=True)])


def _root_of(table: Table) -> str:
    return table.properties.get(DATA_PATH) or f"{table.location()}/data"


def _place_of(table: Table, contract: Contract, day: date) -> str:
    """Return the address of the folder with the files of a day: `s3://lake/processed/billing/invoices/dt=2026-03-31/`."""
    return f"{_root_of(table)}/{'/'.join(layout_of(contract).folders_of(day))}/"


def data_file(table: Table, partition: Record, address: str, path: Path) -> DataFile:
    """Return the entry of a Parquet file for a commit; `path` has the content of the object at `address`."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=address,
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=path.stat().st_size,
        sort_order_id=None,
        spec_id=table.spec().spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics_of(path, table.schema()),
    )


def files_of(table: Table, days: Iterable[date]) -> dict[date, list[DataFile]]:
    """Return the files that the current snapshot has for each of some days."""
    found: dict[date, list[DataFile]] = {day: [] for day in days}
    if found:
        found |= files_by_day(table, _of_days(table, found))
    return found


def files_by_day(
    table: Table, row_filter: BooleanExpression | None = None, snapshot: int | None = None
) -> dict[date, list[DataFile]]:
    """Return the files of each day that a snapshot has, by default the current one; files of no day are left out."""
    found: dict[date, list[DataFile]] = {}
    if table.current_snapshot():
        scan = table.scan(snapshot_id=snapshot)
        for task in (scan.filter(row_filter) if row_filter else scan).plan_files():
            number = task.file.partition[0]
            if number is not None:
                found.setdefault(_EPOCH + timedelta(days=number), []).append(task.file)
    return found


def compact(table: Table, s3: S3Client, contract: Contract, day: date, files: Iterable[DataFile], run: Run) -> None:
    """Replace the files of a day by one file with the same rows, in one commit. Each file fits into memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet_schema(table, contract)
    scan = table.scan(row_filter=_of_days(table, [day]), selected_fields=tuple(schema.names))
    with scratch_folder() as folder:
        path = folder / "day.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in scan.to_arrow_batch_reader():
                writer.write_table(pa.Table.from_batches([batch]).select(schema.names).cast(schema))
        file = upload(table, s3, contract, day, path, "compacted")
        replace_files(table, [day], files, [file], {RUN_ID: run.run_id or "", CODE_VERSION: run.code_version})


def upload(table: Table, s3: S3Client, contract: Contract, day: date, path: Path, label: str) -> DataFile:
    """Write a Parquet file to a new object of a day, whose name has a label; returns its entry for a commit."""
    from pyiceberg.typedef import Record

    address = f"{_place_of(table, contract, day)}{contract.name}-{label}-{uuid.uuid4().hex[:8]}.parquet"
    bucket, key = bucket_and_key(address)
    s3.upload_file(str(path), bucket, key, {"ContentType": PARQUET})
    return data_file(table, Record((day - _EPOCH).days), address, path)


def reachable_files(table: Table) -> set[str]:
    """Return the addresses of all files of the retained snapshots, and of the metadata itself."""
    metadata = table.metadata
    found = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in metadata.snapshots:
        found.add(snapshot.manifest_list)
        manifests |= {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
    for path, manifest in manifests.items():
        found.add(path)
        found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return found


def prefixes_of(table: Table) -> list[str]:
    """Return the addresses of the folders with the data and the metadata of a table."""
    return [f"{_root_of(table)}/", f"{table.location()}/metadata/"]


def may_be_of(table: Table, contract: Contract, address: str) -> bool:
    """Return whether an object lies where the table has files: in a folder of a day, or with the metadata."""
    root = f"{_root_of(table)}/"
    if not address.startswith(root):
        return address.startswith(f"{table.location()}/metadata/")
    *folders, name = address.removeprefix(root).split("/")
    return name.endswith(".parquet") and layout_of(contract).day_of(folders) is not None


def _of_days(table: Table, days: Iterable[date]) -> BooleanExpression:
    """Return the condition for some values of the column by which a table is partitioned."""
    from pyiceberg.expressions import In

    within: Any = In  # whose arguments the types do not show
    column = table.schema().find_column_name(table.spec().fields[0].source_id)
    found: BooleanExpression = within(column, [str(day) for day in days])
    return found


def replace_files(
    table: Table,
    days: Iterable[date],
    removed: Iterable[DataFile],
    added: Iterable[DataFile],
    properties: Mapping[str, str],
) -> int:
    """Replace the files of some days in one commit; returns its snapshot.

    A commit that another writer has overtaken is tried again on the new state. It fails if the writer changed one of
    the days: the next try of the run reads the new files.
    """
    with table.transaction() as change, change.update_snapshot(dict(properties)).overwrite() as snapshot:
        snapshot.delete_by_predicate(_of_days(table, days))  # where changes of others are conflicts
        for file in removed:
            snapshot.delete_data_file(file)
        for file in added:
            snapshot.append_data_file(file)
    return snapshot.snapshot_id


def summary_of(run: Run, days: Mapping[date, str], file_ids: Iterable[int]) -> dict[str, str]:
    """Return the properties of a snapshot; `days` has the hash of the rows of each day."""
    return {
        RUN_ID: run.run_id or "",
        CODE_VERSION: run.code_version,
        FILE_IDS: _ranges(file_ids),
        DAYS: json.dumps({str(day): content for day, content in sorted(days.items())}),
    }


def days_of(snapshot: Snapshot) -> dict[date, str]:
    """Return the days that a snapshot replaced, with the hash of their rows; empty for one of another writer."""
    text = snapshot.summary.additional_properties.get(DAYS) if snapshot.summary else None
    return {date.fromisoformat(day): content for day, content in json.loads(text or "{}").items()}


def snapshot_of(table: Table, day: date, content: str) -> int | None:
    """Return the newest snapshot that wrote these rows of a day; None if it has expired."""
    for snapshot in reversed(table.metadata.snapshots):
        if (found := days_of(snapshot).get(day)) is not None:
            return snapshot.snapshot_id if found == content else None
    return None


def _ranges(numbers: Iterable[int]) -> str:
    """Return numbers in order as text, with consecutive ones together: `1-3,7`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def ids_in(text: str) -> list[int]:
    """Return the numbers that the property `FILE_IDS` of a snapshot lists."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
