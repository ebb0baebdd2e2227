"""Draft the contract of a dataset from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.member_paths import join_path, split_path
from waybill.drafts.declarations import declare
from waybill.drafts.files import GivenFile
from waybill.drafts.formats import FoundFormat, format_of
from waybill.drafts.keys import MOMENTS, confirmed_key, find_key, repeated_between_files
from waybill.drafts.names import column_names
from waybill.drafts.personal import personal_kind
from waybill.drafts.profile import Rows, Texts
from waybill.drafts.references import Reference, compared, namesake_of, reference_of
from waybill.drafts.rows import FileRows, headers_of, reading_contract, text_column, validated
from waybill.drafts.table import LANDED, DraftColumn, DraftTable
from waybill.drafts.types import Choice, choose_type
from waybill.errors import DataError
from waybill.files.spellings import normalise
from waybill.intake.validate import open_duckdb

_MOST_WORDS: Final = 12
"""Number of different values that may be a vocabulary."""
_ROWS_PER_WORD: Final = 10


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
    form, names = form.by_order(headers), column_names(headers)

    def contract_with(columns: Sequence[Mapping[str, Any]]) -> Contract:
        return reading_contract(domain, dataset, columns, form.format, folder)

    spellings = ["" if form.is_by_order else header for header in headers]
    texts = [text_column(name, header) for name, header in zip(names, spellings, strict=True)]
    paths, _ = _read(files, contract_with(texts), folder, "texts")
    today = files[0].landed.period.start
    with closing(open_duckdb(folder)) as duck:
        rows = Rows(duck, paths, names)
        columns = [
            _column(name, header, spelling, rows.texts_of(name), today, form, reference_of(name, dataset, others))
            for name, header, spelling in zip(names, headers, spellings, strict=True)
        ]
        orders = {order for one in columns if (order := one.choice.order)}
        for column in columns:
            if column.choice.is_order_unknown and len(orders) == 1:
                column.choice = choose_type(rows.texts_of(column.name), today, order=next(iter(orders)))
    declared = [{"name": one.name, **one.synonyms, **one.choice.declared} for one in columns]
    paths, found = _read(files, contract_with(declared), folder, "typed")
    with closing(open_duckdb(folder)) as duck:
        typed = Rows(duck, paths, names)
        nulls = typed.nulls(names)
        days = typed.days([column.name for column in columns if column.choice.kind in MOMENTS])
        for column in columns:
            column.nulls, column.days = nulls[column.name], days.get(column.name, 0)
            column.namesake = namesake_of(column.name, column.choice.kind, dataset, others)
            if column.reference and connection:
                column.reference = compared(connection, column.reference, column.name, others, typed, folder)
        keyed = [one.candidate for name in declared_key for one in columns if name in one.normal_names]
        key = None
        if typed.count:
            key = confirmed_key(typed, keyed, names) if len(keyed) == len(declared_key) > 0 else None
            key = key or find_key(typed, [one.candidate for one in columns], names, dataset)
        shared = repeated_between_files(typed, key) if key else None
    same_landed = namesake_of(LANDED, "date", dataset, others)
    return DraftTable(domain, dataset, form, found, columns, key, shared, same_landed)


def _headers(files: Sequence[GivenFile], domain: str, dataset: str, form: FoundFormat, folder: Path) -> list[str]:
    """Return the headers of all files, each once: those of the first file in its order, then others.

    Files without a header have as many empty ones as their first record has fields.
    """
    first_line = replace(form.format, header_lines=form.format.header_lines or 1)
    found: list[str] = []
    for file in files:
        headers = headers_of(file, domain, dataset, first_line, folder, is_by_order=form.is_by_order)
        if form.is_by_order:
            if found and len(headers) != len(found):
                raise DataError(f"{file.landed.uri} has {len(headers)} columns, {files[0].landed.uri} has {len(found)}")
            found = headers
        known = {*map(normalise, found)}
        found += [header for header in headers if normalise(header) not in known] if found else headers
    if not found:
        raise DataError(f"{files[0].landed.uri}: the file has no column")
    if form.is_json:
        places = {name: place for place, name in enumerate(form.names)}
        found.sort(key=lambda header: places.get(split_path(header)[0], len(places)))
    return found


def _read(files: Sequence[GivenFile], contract: Contract, folder: Path, stem: str) -> tuple[list[Path], list[FileRows]]:
    """Return a Parquet file for each given file, which exists if it has valid rows, and what a load reads of each."""
    paths = [folder / f"{stem}{number}.parquet" for number in range(len(files))]
    return paths, [validated(file, contract, folder, path) for file, path in zip(files, paths, strict=True)]


def _is_list_of_objects(text: str) -> bool:
    """Return whether a text is an array with an object."""
    if not text.lstrip().startswith("["):
        return False
    try:
        return any(isinstance(item, dict) for item in json.loads(text))
    except ValueError:
        return False


def _column(
    name: str, header: str, spelling: str, texts: Texts, today: date, form: FoundFormat, reference: Reference | None
) -> DraftColumn:
    choice = choose_type(texts, today, declared_by_file=form.types.get(header))
    if reference and reference.key.physical_type != choice.kind:
        like_key = Choice(declare(reference.key.logical_type, reference.key.physical_type))
        choice, reference = (choice, None) if texts.misfits(like_key.declared).rows else (like_key, reference)
    if form.is_json and choice.kind == "jsonb" and any(map(_is_list_of_objects, texts.sample)):
        own = (*form.format.record_path, *split_path(header))
        path = own if own in form.arrays or split_path(header) not in form.arrays else split_path(header)
        choice.doubt(
            "physicalType",
            "the values are arrays of objects. To load each object as a row, with the members around it, draft a "
            f"contract with --records {join_path(path)}.",
        )
    personal = personal_kind(texts)
    clean = declare("string", "text", controlCharacters="none", allowsPlaceholders=True)
    has_few = 1 < texts.distinct <= min(_MOST_WORDS, texts.present // _ROWS_PER_WORD)
    return DraftColumn(
        name,
        header,
        spelling,
        choice,
        distinct=texts.distinct,
        longest=texts.longest,
        shape=texts.shape,
        personal=personal,
        reference=reference,
        vocabulary=sorted(texts.sample) if has_few and choice.kind == "text" and not personal else [],
        is_clean=choice.kind != "text" or not texts.misfits(clean).rows,
    )
