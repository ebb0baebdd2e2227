"""Columns that appear, vanish or are renamed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from waybill.contracts import Contract
from waybill.intake.columns import likely_renames
from waybill.watch.landed_values import is_accepted
from waybill.watch.seen_files import Columns, SeenFile, columns_of
from waybill.watch.shown import Key, Shown

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def column_drift(
    s3: S3Client, contract: Contract, files: Sequence[SeenFile], known: Collection[Key]
) -> Iterator[Shown]:
    """Yield the drift of columns that files show; `known` is the drift that is open.

    Columns that every earlier period lacked, or had beside those of the contract, are no drift. The contract can
    ignore missing and unknown columns.
    """
    seen = columns_of(contract, files)
    columns = {column.name: column for column in contract.delivered_columns}
    names: dict[str, str] = {}
    for one in seen:
        names = {**one.unknown, **names}  # as the earliest file writes it
    known_columns = {column for kind, column, _ in known if kind in ("missing column", "renamed column")}
    known_names = {name for kind, _, name in known if kind in ("new column", "renamed column")}
    missing = _drifted(seen, columns, lambda one, name: name not in one.brought, known_columns)
    new = _drifted(
        seen, names, lambda one, key: key in one.unknown, {key for key, name in names.items() if name in known_names}
    )
    renamed = {}
    absent = {name: column for name, column in columns.items() if name in missing}
    for name, header in likely_renames(absent, [*missing], [names[key] for key in new]).items():
        [key] = [key for key in new if names[key] == header]
        both = [one.file for one in missing[name] if key in one.unknown]
        is_known = ("renamed column", name, header) in known
        had_both = any(name in one.brought and key in one.unknown for one in seen)
        is_settled = {("missing column", name, ""), ("new column", "", header)} <= {*known}  # by an earlier look
        if (
            both
            and not is_settled
            and not had_both
            and (is_known or is_accepted(s3, both[-1].landed(contract), contract, header, columns[name]))
        ):
            renamed[name] = key
            yield Shown("renamed column", name, header, both)
    for name, showing in missing.items():
        if name not in renamed and (columns[name].required or contract.missing_columns != "ignore"):
            yield Shown("missing column", name, "", [one.file for one in showing])
    if contract.unknown_columns != "ignore":
        for key, showing in new.items():
            if key not in renamed.values():
                yield Shown("new column", "", names[key], [one.file for one in showing])


def _drifted(
    seen: Sequence[Columns], names: Collection[str], shows: Callable[[Columns, str], bool], known: Collection[str]
) -> dict[str, list[Columns]]:
    """Return the files that show a difference, for each name for which the newest ones do.

    These are files of the newest loaded period, and rejected ones. An earlier period must be without the difference,
    unless it is `known`; the files since the last such period and all rejected ones count.
    """
    loaded = [one for one in seen if not one.file.is_rejected]
    newest = max((one.file.period for one in loaded), default=None)
    found = {}
    for name in names:
        showing = [one for one in seen if shows(one, name)]
        current = [one.file.period for one in showing if one.file.is_rejected or one.file.period == newest]
        if not current:
            continue
        without = {one.file.period for one in loaded} - {one.file.period for one in loaded if shows(one, name)}
        before = [period for period in without if period <= max(current)]
        if before or name in known:
            since = max(before, default=date.min)
            found[name] = [one for one in showing if one.file.is_rejected or one.file.period >= since]
    return found
