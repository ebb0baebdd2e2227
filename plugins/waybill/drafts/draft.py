"""Draft the contract of a dataset from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from waybill.blanks import strip
from waybill.contracts import Contract
from waybill.contracts.contract import MOST_COLUMNS
from waybill.contracts.member_paths import join_path, split_path
from waybill.drafts.column import DraftColumn
from waybill.drafts.draft_type import DraftType
from waybill.drafts.files import GivenFile
from waybill.drafts.formats import FoundFormat, format_of
from waybill.drafts.keys import confirmed_key, find_key, shared_between_files
from waybill.drafts.layout import one_line
from waybill.drafts.names import column_names
from waybill.drafts.personal import personal_evidence
from waybill.drafts.profile import Rows, Texts
from waybill.drafts.references import Reference, compared, namesake_of, reference_of
from waybill.drafts.rows import FileRows, headers_of, reading_contract, text_column, validated
from waybill.drafts.table import LANDED, DraftTable
from waybill.drafts.types import all_items_are, choose_type
from waybill.errors import DataError
from waybill.files.spellings import normalise
from waybill.formatting import count
from waybill.intake.validate import open_duckdb

_MOST_WORDS: Final = 12
"""Number of different values that may be a vocabulary."""
_ROWS_PER_WORD: Final = 10
_COMPUTED: Final = 2
"""Columns that a draft may add: the landing day and the number of equal rows."""


def draft_contract(
    files: Sequence[GivenFile],
    domain: str,
    dataset: str,
    folder: Path,
    others: Mapping[str, Contract] | None = None,
    connection: Connection | None = None,
    declared_key: Sequence[str] = (),
    records: str | None = None,
) -> DraftTable:
    """Return the drafted contract of files, of which every row is read. `folder` is scratch space.

    `others` are the domain's contracts, to whose keys columns may refer. With a connection to the warehouse, their
    values are compared. `declared_key` names the key as another contract does; it is used if no two rows have it.
    `records` is the path of the records in JSON; without it, the shallowest array of objects has them.
    Raises `DataError` if a file cannot be read or has no columns.
    """
    others = others or {}
    form = format_of(files, folder, records)
    headers = _headers(files, domain, dataset, form, folder)
    form = form.by_order(headers)
    if form.format.name == "parquet":  # no contract can name such a column
        headers = [header for header in headers if strip(header)]
    names = column_names(headers)

    def read(columns: Sequence[Mapping[str, Any]], stem: str) -> tuple[list[Path], list[FileRows]]:
        """Return a Parquet file for each file, which exists if it has valid rows, and what a load reads of each."""
        contract = reading_contract(domain, dataset, columns, form.format, folder)
        paths = [folder / f"{stem}{number}.parquet" for number in range(len(files))]
        return paths, [validated(file, contract, folder, path) for file, path in zip(files, paths, strict=True)]

    spellings = ["" if form.is_by_order else header for header in headers]
    paths, _ = read([*map(text_column, names, spellings)], "texts")
    today = files[0].landed.period.start
    with closing(open_duckdb(folder)) as duck:
        texts = Rows(duck, paths, names)
        columns = [
            _column(name, header, spelling, texts.texts_of(name), today, form, reference_of(name, dataset, others))
            for name, header, spelling in zip(names, headers, spellings, strict=True)
        ]
        orders = {order for one in columns if (order := one.type.order)}
        for column in columns:
            if column.type.is_order_unknown and len(orders) == 1:
                column.type = choose_type(texts.texts_of(column.name), today, order=next(iter(orders)))
    paths, found = read([column.reading for column in columns], "typed")
    with closing(open_duckdb(folder)) as duck:
        rows = Rows(duck, paths, names)
        nulls, days = rows.nulls(), rows.days([column.name for column in columns if column.type.is_moment])
        for column in columns:
            column.nulls, column.days = nulls[column.name], days.get(column.name, 0)
            column.namesake = namesake_of(column.name, column.type.physical, dataset, others)
            if column.reference and connection:
                column.reference = compared(connection, column.reference, column.name, others, rows, folder)
        keyed = [one for name in declared_key for one in columns if name in one.normal_names]
        is_known = rows.count > 0 and len(keyed) == len(declared_key) > 0
        key = (confirmed_key(rows, keyed) if is_known else None) or find_key(rows, columns, dataset)
        shared = shared_between_files(rows, key)
    same_landed = namesake_of(LANDED, "date", dataset, others)
    return DraftTable(domain, dataset, form, found, columns, key, shared, same_landed)


def _headers(files: Sequence[GivenFile], domain: str, dataset: str, form: FoundFormat, folder: Path) -> list[str]:
    """Return the headers of all files, each once: those of the first file in its order, then others.

    Files without a header have as many empty ones as their first record has fields, or the names that are known.
    """
    first_line = replace(form.format, header_lines=form.format.header_lines or 1)
    found: list[str] = []
    for file in files:
        headers = headers_of(file, domain, dataset, first_line, folder, is_by_order=form.is_by_order)
        if form.is_by_order:
            if found and len(headers) != len(found):
                raise DataError(
                    f"{file.landed.uri} has {count(len(headers), 'column')}, {files[0].landed.uri} has {len(found)}"
                )
            found = headers
        known = {*map(normalise, found)}
        found += [header for header in headers if normalise(header) not in known] if found else headers
    if not found:
        why = " that can be read: each must be a JSON object that has each member once" if form.is_json else ""
        raise DataError(f"{files[0].landed.uri}: the file has no {'record' if form.is_json else 'column'}{why}")
    if len(found) > MOST_COLUMNS - _COMPUTED:
        raise DataError(
            f"{files[0].landed.uri}: the file has {len(found):,} columns, but a dataset can have "
            f"{MOST_COLUMNS - _COMPUTED:,} besides computed ones. Send its columns as several files, each with the key."
        )
    if form.is_by_order and len(form.names) == len(found):
        return [*form.names]
    if form.is_json:
        places = {name: place for place, name in enumerate(form.names)}
        found.sort(key=lambda header: places.get(split_path(header)[0], len(places)))
    return found


def _column(
    name: str, header: str, spelling: str, texts: Texts, today: date, form: FoundFormat, reference: Reference | None
) -> DraftColumn:
    found = choose_type(texts, today, declared_by_file=form.types.get(header))
    if reference and reference.key.physical_type != found.physical:
        like_key = DraftType(reference.key.physical_type)
        found, reference = (found, None) if texts.misfits(like_key).rows else (like_key, reference)
    if form.is_json and found.physical == "jsonb" and any(map(_is_list_of_objects, texts.sample)):
        own = (*form.format.record_path, *split_path(header))
        path = own if own in form.arrays or split_path(header) not in form.arrays else split_path(header)
        found.doubt(
            "physicalType",
            "the values are arrays of objects. To load each object as a row, with the members around it, draft a "
            f"contract with --records {join_path(path)}.",
        )
    personal, is_text = personal_evidence(texts, header), found.physical == "text"
    if is_text and not personal and texts.distinct <= min(_MOST_WORDS, texts.present // _ROWS_PER_WORD):
        words = sorted({*texts.sample} - {*found.custom.get("nullWords", [])})
        if len(words) > 1:
            enum = one_line([{"value": word} for word in words])
            found.doubt("physicalType", f"{len(words)} different values. If no others are valid, add: enum: {enum}")
    clean = DraftType("text", custom={"controlCharacters": "none", "allowsPlaceholders": True})
    return DraftColumn(
        name,
        header,
        spelling,
        found,
        distinct=texts.distinct,
        longest=texts.longest,
        shape=texts.shape,
        personal=personal,
        is_clean=not is_text or not texts.misfits(clean).rows,
        reference=reference,
    )


def _is_list_of_objects(text: str) -> bool:
    return text.lstrip().startswith("[") and "{" in text and all_items_are(dict, text)
