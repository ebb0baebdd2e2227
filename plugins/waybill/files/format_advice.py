"""Say what the contract must declare so that a file whose header does not match can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from waybill.contracts import Contract, member_paths
from waybill.contracts.file_format import NO_QUOTE, UNDECLARED, FileFormat
from waybill.errors import DataError
from waybill.files.csv_files import columns_in
from waybill.files.json_records import is_json
from waybill.files.recognise_format import FIXED_WIDTH, in_words, recognise
from waybill.formatting import in_series

_DECIMAL_COMMA: Final = re.compile(r"(?<![0-9])-?[0-9]+,[0-9]+(?![0-9,])")
_PROPERTIES: Final = ("encoding", "delimiter", "quote", "escape", "skip_lines", "header_lines", "line_end")


def advice(head: bytes, name: str, contract: Contract) -> str | None:
    """Return sentences on how to declare a file that begins with `head`; None if no declaration helps.

    The proposed declaration was tried: with it, the header matches the contract.
    """
    recognised = recognise(head, name)
    found = recognised.format
    if recognised.what == FIXED_WIDTH:
        return f"it is {FIXED_WIDTH}. {' '.join(recognised.doubts)}"
    if found is None or found.name not in ("csv", "json"):
        return None
    declared = contract.file_format
    if found.name == "json":
        return _as_json(found, declared, name)
    may_be_damaged_header = found.header_lines == 0 and found.skip_lines != declared.skip_lines
    is_blank_in_text = found.delimiter == " " and not (recognised.is_even and all(recognised.names))
    if may_be_damaged_header or is_blank_in_text:
        return None
    comments = [pattern for pattern in found.ignored_lines if pattern not in declared.ignored_lines]
    proposed = replace(declared, **{one: getattr(found, one) for one in _PROPERTIES})
    for proposal in (proposed, replace(proposed, ignored_lines=(*declared.ignored_lines, *comments))):
        differences = [*_differences(proposal, declared)]
        if differences and _fits(head, replace(contract, file_format=proposal)):
            return _sentences(differences, head, proposal, declared)
    return None


def _as_json(found: FileFormat, declared: FileFormat, name: str) -> str | None:
    """Return the sentences about a file with JSON; None if it is read as such."""
    is_read_as_json = declared.name == "json" or (declared.name is None and is_json(name))
    declarations = [] if is_read_as_json else ["`format: json`"]
    if found.encoding != declared.encoding:
        declarations.append(f"`encoding: {found.encoding}`")
    if not declarations:
        return None
    if found.record_path and not declared.record_path:
        declarations.append(f"`{member_paths.declared(found.record_path)}`")
    what = "the content looks like JSON" + (f" in {found.encoding}" if found.encoding != FileFormat.encoding else "")
    instead = ", or give the file a name that ends in .json or .jsonl" if declarations == ["`format: json`"] else ""
    return f"{what}. Declare {in_series(declarations)} in the server of the contract{instead}."


def _fits(head: bytes, contract: Contract) -> bool:
    try:
        columns_in("", head, contract)
    except DataError:
        return False
    return True


def _differences(proposed: FileFormat, declared: FileFormat) -> Iterator[tuple[str, str]]:
    """Yield what a proposed format says of a file, and its declaration, where it differs from the declared one."""
    ours, theirs = declared.dialect, proposed.dialect
    if proposed.encoding != declared.encoding:
        yield f"the text is in {proposed.encoding}", f"encoding: {proposed.encoding}"
    if theirs.delimiter != ours.delimiter:
        yield f"{in_words(theirs.delimiter)} separate the fields", f"delimiter: {_quoted(theirs.delimiter)}"
    if theirs.quote != ours.quote:
        what = f"{in_words(theirs.quote)} enclose fields" if theirs.quote else "quotes belong to the values"
        yield what, f"quote: {_quoted(theirs.quote) if theirs.quote else NO_QUOTE}"
    if proposed.escape != declared.escape and proposed.escape:
        yield f"{in_words(proposed.escape)} escape quotes", f"escape: {_quoted(proposed.escape)}"
    if proposed.line_end != declared.line_end and proposed.line_end:
        yield "records end in another character", f"lineEnd: {_quoted(proposed.line_end)}"
    if proposed.skip_lines != declared.skip_lines:
        what = "header is line" if proposed.header_lines else "first record is in line"
        yield f"the {what} {proposed.skip_lines + 1}", f"skipLines: {proposed.skip_lines}"
    if proposed.header_lines != declared.header_lines:
        what = f"the header has {proposed.header_lines} lines" if proposed.header_lines else "there is no header"
        yield what, f"headerLines: {proposed.header_lines}"
    if proposed.ignored_lines != declared.ignored_lines:
        yield "some lines are comments", f"ignoredLines: {json.dumps(proposed.ignored_lines, ensure_ascii=False)}"


def _quoted(characters: str) -> str:
    """Return characters as YAML has them between double quotes."""
    return "'\"'" if characters == '"' else json.dumps(characters)


def _sentences(differences: Sequence[tuple[str, str]], head: bytes, proposed: FileFormat, declared: FileFormat) -> str:
    said = in_series([what for what, _ in differences])
    declarations = in_series([f"`{declaration}`" for _, declaration in differences])
    export = "as CSV with commas in UTF-8" if declared == UNDECLARED else "as the contract declares"
    numbers = ""
    if proposed.delimiter != declared.dialect.delimiter and _DECIMAL_COMMA.search(
        head.decode(proposed.encoding, "replace")
    ):
        numbers = " Numbers appear to have decimal commas: declare `numberFormat`, too."
    return (
        f"it appears that {said}. Declare {declarations} in the server of the contract, or export the file {export}."
        f"{numbers}"
    )
