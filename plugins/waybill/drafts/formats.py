"""Find how files are written, as a contract declares it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from waybill.blanks import strip
from waybill.contracts.file_format import PLAIN, UNDECLARED, FileFormat
from waybill.contracts.member_paths import join_path, split_path
from waybill.drafts.draft_type import DraftType
from waybill.drafts.files import GivenFile
from waybill.drafts.names import are_ambiguous
from waybill.drafts.parquet_types import declared_types
from waybill.drafts.workbook_layout import recognise_workbook
from waybill.errors import DataError
from waybill.files.content import Download, download
from waybill.files.json_records import is_json
from waybill.files.recognise_format import HEAD_BYTES, Recognised, recognise
from waybill.files.recognise_json import Steps, arrays_of_objects


@dataclass(frozen=True)
class FoundFormat:
    """How files are written, and why."""

    format: FileFormat
    evidence: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The first names of columns in their order, if they are known."""

    is_json: bool = False
    arrays: Collection[Steps] = ()
    """The paths of the arrays of objects in the beginning of JSON."""
    types: Mapping[str, DraftType] = field(default_factory=dict)
    """The types that the file declares for its columns."""

    @property
    def is_by_order(self) -> bool:
        """Return whether the contract's columns are those of the files by their order."""
        return self.format.header_lines == 0

    def by_order(self, headers: Sequence[str]) -> FoundFormat:
        """Return the format in which columns are read by their order if names are empty or match each other."""
        form = self.format
        if form.name == "parquet" and not all(map(strip, headers)):
            return replace(self, doubts=(*self.doubts, "a column of the Parquet file has no name and is not loaded."))
        if form.name not in (None, "csv", "xlsx") or self.is_by_order or not are_ambiguous(headers):
            return self
        found = replace(form, name=form.name or "csv", skip_lines=form.skip_lines + form.header_lines, header_lines=0)
        doubt = "the header has empty or duplicate names, so columns are read by their order."
        return replace(self, format=found, doubts=(*self.doubts, doubt))


def format_of(files: Sequence[GivenFile], folder: Path, records: str | None = None) -> FoundFormat:
    """Return how files are written; `folder` is scratch space. `records` is the path of the records in JSON.

    Raises `DataError` if a file cannot be read, or if the files are written differently.
    """
    found = []
    for file in files:
        with TemporaryDirectory(dir=folder) as scratch:
            found.append(_format_of(file, Path(scratch), records))
    for file, other in zip(files, found, strict=True):
        if other.format != found[0].format:
            raise DataError(
                f"{file.landed.uri} and {files[0].landed.uri} have different formats. {' '.join(other.evidence)} "
                "All files of a dataset need the same format: draft a contract for each."
            )
    return found[0]


def _format_of(file: GivenFile, folder: Path, records: str | None) -> FoundFormat:
    parts = download(file.store, file.landed, folder, "*")
    endings = Counter(Path(part.file_name).suffix.lower() for part in parts)
    ending = endings.most_common(1)[0][0]
    part = next(part for part in parts if part.file_name.lower().endswith(ending))
    head = part.peek(HEAD_BYTES)
    recognised = recognise(head, part.file_name)
    odd = _odd_member(parts, part, ending, recognised)
    whole = folder / "whole"
    if recognised.format and recognised.format.name in ("parquet", "xlsx"):
        part.save(whole)
        if recognised.format.name == "xlsx":
            recognised = recognise_workbook(part.name, whole)
    if recognised.format is None:
        raise DataError(f"{part.name} is {recognised.what}. {' '.join(recognised.doubts)}".rstrip())
    form, evidence, doubts, names = recognised.format, recognised.evidence, recognised.doubts, recognised.names
    is_json_content, arrays = form.name == "json", dict[Steps, tuple[str, ...]]()
    if is_json_content:
        arrays = arrays_of_objects(head.decode(form.encoding, "replace").lstrip("\ufeff"))
    if records is not None:
        if not is_json_content:
            raise DataError(f"{file.landed.uri} is {recognised.what}. --records is for JSON only.")
        path = _record_path(file, records, arrays, is_whole=len(head) < HEAD_BYTES)
        form, names = replace(form, record_path=path), arrays.get(path, ())
        evidence, doubts = (), ()
    if len(parts) > 1:
        form = replace(form, members=f"*{ending}")
        doubts = (f"the archive has {len(parts)} members; *{ending} matches {endings[ending]} of them.", *odd, *doubts)
    is_plain = form.dialect == PLAIN and replace(form, name=None, delimiter=None) == UNDECLARED
    if is_plain and form.name in ("csv", "json") and (form.name == "json") == is_json(part.file_name):
        form, evidence = UNDECLARED, ()
    types = declared_types(whole) if form.name == "parquet" else {}
    return FoundFormat(form, evidence, doubts, names, is_json_content, tuple(arrays), types)


def _record_path(file: GivenFile, records: str, arrays: Collection[Steps], *, is_whole: bool) -> Steps:
    """Return the path of the records. Raises `DataError` if the file has no array of objects there."""
    path = split_path(records)
    if path not in arrays and is_whole:
        known = ", ".join(filter(None, map(join_path, arrays)))
        raise DataError(
            f"{file.landed.uri} has no array of objects at {records}. "
            + (f"Use --records with one of these paths: {known}." if known else "Leave out --records.")
        )
    return path


def _odd_member(parts: Sequence[Download], first: Download, ending: str, recognised: Recognised) -> tuple[str, ...]:
    """Return a doubt about the first member whose format seems to differ from the recognised one; none without it."""
    for part in parts:
        if part is not first and part.file_name.lower().endswith(ending):
            other = recognise(part.peek(HEAD_BYTES), part.file_name)
            if other.format != recognised.format:
                why = " ".join(other.evidence)
                return (
                    f"the format of {part.file_name} seems to differ from that of {first.file_name}. {why}".rstrip(),
                )
    return ()
