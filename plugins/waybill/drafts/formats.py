"""Find how files are written, as a contract declares it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from waybill.contracts.file_format import PLAIN, UNDECLARED, FileFormat
from waybill.drafts.declarations import Declared
from waybill.drafts.files import GivenFile
from waybill.drafts.names import are_ambiguous
from waybill.drafts.parquet_types import declared_types
from waybill.drafts.workbook_layout import recognise_workbook
from waybill.errors import DataError
from waybill.files.content import Download, download
from waybill.files.json_records import is_json
from waybill.files.recognise_format import HEAD_BYTES, Recognised, recognise


@dataclass(frozen=True)
class FoundFormat:
    """How files are written, and why."""

    format: FileFormat
    evidence: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The first names of columns in their order, if they are known."""

    is_json: bool = False
    types: Mapping[str, Declared] = field(default_factory=dict)
    """The declarations of columns by the types in the file."""

    @property
    def is_by_order(self) -> bool:
        """Return whether the contract's columns are those of the files by their order."""
        return self.format.header_lines == 0

    def by_order(self, headers: Sequence[str]) -> FoundFormat:
        """Return the format in which columns are read by their order if names are empty or match each other."""
        form = self.format
        if form.name not in (None, "csv", "xlsx") or self.is_by_order or not are_ambiguous(headers):
            return self
        found = replace(form, name=form.name or "csv", skip_lines=form.skip_lines + form.header_lines, header_lines=0)
        doubt = "the header has empty or equal names, so columns are read by their order."
        return replace(self, format=found, doubts=(*self.doubts, doubt))


def format_of(files: Sequence[GivenFile], folder: Path) -> FoundFormat:
    """Return how files are written; `folder` is scratch space.

    Raises `DataError` if a file cannot be read, or if the files are written differently.
    """
    found = [_format_of(file, folder) for file in files]
    for file, other in zip(files, found, strict=True):
        if other.format != found[0].format:
            raise DataError(
                f"{file.landed.uri} is written in another way than {files[0].landed.uri}. {' '.join(other.evidence)} "
                "Files of a dataset are written in one way: draft a contract for each."
            )
    return found[0]


def _format_of(file: GivenFile, folder: Path) -> FoundFormat:
    with TemporaryDirectory(dir=folder) as scratch:
        return _recognised(file, Path(scratch))


def _recognised(file: GivenFile, folder: Path) -> FoundFormat:
    parts = download(file.store, file.landed, folder, "*")
    names = [part.file_name for part in parts]
    endings = Counter(Path(name).suffix.lower() for name in names)
    ending = endings.most_common(1)[0][0]
    part = next(part for part in parts if part.file_name.lower().endswith(ending))
    head = _head(part.chunks)
    recognised = recognise(head, part.file_name)
    odd = _odd_member(parts, part, ending, recognised)
    path = folder / "whole"
    if recognised.format and recognised.format.name in ("parquet", "xlsx"):
        with path.open("wb") as target:
            target.writelines(chain((head,), part.chunks))
        if recognised.format.name == "xlsx":
            recognised = recognise_workbook(part.name, path)
    if recognised.format is None:
        raise DataError(f"{file.landed.uri}: it is {recognised.what}. {' '.join(recognised.doubts)}".rstrip())
    form, evidence, doubts = recognised.format, recognised.evidence, recognised.doubts
    if len(parts) > 1:
        form = replace(form, members=f"*{ending}")
        doubts = (f"the archive has {len(parts)} members, of which {endings[ending]} match *{ending}.", *odd, *doubts)
    is_plain = form.dialect == PLAIN and replace(form, name=None, delimiter=None) == UNDECLARED
    if is_plain and form.name in ("csv", "json") and (form.name == "json") == is_json(part.file_name):
        form, evidence = UNDECLARED, ()
    types = declared_types(path) if form.name == "parquet" else {}
    return FoundFormat(form, evidence, doubts, recognised.names, recognised.format.name == "json", types)


def _odd_member(parts: Sequence[Download], first: Download, ending: str, recognised: Recognised) -> tuple[str, ...]:
    """Return a doubt about the first member that looks written in another way than the recognised one; else nothing."""
    for part in parts:
        if part is not first and part.file_name.lower().endswith(ending):
            other = recognise(_head(part.chunks), part.file_name)
            if other.format != recognised.format:
                why = " ".join(other.evidence)
                return (f"{part.file_name} looks written in another way than {first.file_name}. {why}".rstrip(),)
    return ()


def _head(chunks: Iterator[bytes]) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    return head
