"""Build the parts of a contract's document that do not depend on values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from waybill.contracts.file_format import NO_QUOTE, UNDECLARED, FileFormat
from waybill.contracts.member_paths import join_path

Document = dict[str, Any]


def listed(custom: Mapping[str, Any]) -> list[Document]:
    """Return custom properties as a document has them."""
    return [{"property": name, "value": value} for name, value in custom.items()]


def document_of(
    domain: str,
    dataset: str,
    columns: Sequence[Mapping[str, Any]],
    *,
    custom: Mapping[str, Any],
    file_format: FileFormat,
    purpose: str = "",
    grain: str = "",
) -> Document:
    """Return the document of a dataset's contract; `custom` are the custom properties of the schema object."""
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"{domain}.{dataset}",
        "name": dataset,
        "version": "1.0.0",
        "status": "active",
        "domain": domain,
        **({"description": {"purpose": purpose}} if purpose else {}),
        **({"servers": [server_of(file_format)]} if file_format != UNDECLARED else {}),
        "schema": [
            {
                "name": dataset,
                "physicalType": "table",
                **({"dataGranularityDescription": grain} if grain else {}),
                "customProperties": listed(custom),
                "properties": [*columns],
            }
        ],
        "slaProperties": [{"property": "frequency", "value": 1, "unit": "d"}],
    }


def server_of(file_format: FileFormat) -> Document:
    """Return the server that declares how files are written; what is the default is left out."""
    encoding = file_format.encoding if file_format.encoding != FileFormat.encoding else None
    standard = {"format": file_format.name or "csv", "encoding": encoding, "delimiter": file_format.delimiter}
    custom = {
        "quote": NO_QUOTE if file_format.quote == "" else file_format.quote,
        "escape": file_format.escape,
        "skipLines": file_format.skip_lines,
        "headerLines": file_format.header_lines,
        "ignoredLines": [*file_format.ignored_lines],
        "lineEnd": file_format.line_end,
        "repairs": [*file_format.repairs],
        "emptyFiles": "accepted" if file_format.accepts_empty else None,
        "recordPath": join_path(file_format.record_path) or None,
        "sheet": file_format.sheet,
        "cells": file_format.cells,
        "members": file_format.members,
    }
    defaults = {"quote": FileFormat.quote, "skipLines": 0, "headerLines": 1, "ignoredLines": [], "repairs": []}
    given = {name: value for name, value in custom.items() if value != defaults.get(name)}
    return {
        "server": "files",
        "type": "custom",
        **{name: value for name, value in standard.items() if value is not None},
        **({"customProperties": listed(given)} if given else {}),
    }
