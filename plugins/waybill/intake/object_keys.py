"""Interpret the keys of objects: whether an object is data, and the period to which it belongs.

The sensor, the intake, the books and `waybill drop` share these rules.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from time import monotonic
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from waybill.contracts import Contract
from waybill.contracts.layout import Layout
from waybill.contracts.locations import raw_layout
from waybill.errors import DataError
from waybill.period import Cadence, Period
from waybill.settings import settings

UNFINISHED = (
    ".filepart",
    ".part",
    ".partial",
    ".tmp",
    ".temp",
    ".crdownload",
    ".download",
    ".inprogress",
    ".uploading",
)
"""Endings of incomplete uploads."""
SIDECARS = (
    *(".md5", ".sha1", ".sha256", ".sha512", ".crc", ".sig", ".asc"),
    *(".ok", ".done", ".ctl", ".trg", ".manifest"),
)
"""Endings of files with checksums, signatures or signals about another file."""
BACKUPS = (".bak", "~")
"""Endings of backup copies."""
_FOLDER_MARK = "_$folder$"
_IGNORED = UNFINISHED + SIDECARS + BACKUPS
_MANIFEST = "manifest.json"

_TIME_WORDS = frozenset(
    [
        *("y", "yy", "yyyy", "yr", "year", "years"),
        *("q", "qtr", "quarter", "quarters"),
        *("m", "mm", "mon", "mth", "month", "months", "ym", "yyyymm", "yearmonth"),
        *("w", "wk", "week", "weeks"),
        *("d", "dd", "day", "days", "dt", "ds", "date", "ymd", "yyyymmdd", "period", "time", "timestamp", "ts"),
        *("jahr", "quartal", "monat", "woche", "datum", "annee", "trimestre", "mois", "semaine", "jour"),
    ]
)
_MONTHS = (
    "jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|"
    "dec(ember)?|"
    "januar|j\u00e4nner|februar|m\u00e4r|m(\u00e4|ae)rz|mai|juni|juli|okt(ober)?|dez(ember)?|"
    "janvier|f[e\u00e9]vrier|mars|avril|juin|juillet|ao[u\u00fb]t|septembre|octobre|novembre|d[e\u00e9]cembre"
)
_DATE_LIKE = re.compile(
    r"(?<![^\W_])(19|20|21)\d\d(?!\d)"  # a separate year: 2026, 2026-03-05, 05.03.2026, 2026W13
    r"|(?<!\d)(19|20|21)\d{4}(\d\d){0,4}(?!\d)"  # 202603, 20260305, 2026030507
    r"|(?<!\d)\d{4}(19|20|21)\d\d(?!\d)"  # 05032026
    r"|(?<!\d)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?!\d)"  # 260305
    r"|(?<!\d)(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])\d\d(?!\d)"  # 050326
    r"|(?<![^\W_])\d{1,4}[-._: ]\d{1,2}[-._: ]\d{1,4}(?!\d)"  # 5-3-26
    r"|^(years?|yr|months?|mon|days?|dt|date|weeks?|wk|quarters?|qtr|period)[\W_]*\d"  # Month03, day-5
    r"|^(w|kw|cw|q|fy|gj)[\W_]?\d{1,2}$"  # W13, Q1, FY26
    r"|^(fy|gj)[\W_]?(19|20|21)\d\d$"  # FY2026
    rf"|^[\d\W_]*({_MONTHS})[\d\W_]*$",  # 03-March, Mar26
    re.IGNORECASE,
)
_SHORT_NUMBER = re.compile(r"\d{1,2}")
_COMPACT = re.compile(r"(?<!\d)((?:19|20|21)\d\d)(\d\d)(\d\d)?(?!\d)")
_CAMEL_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def ignore_reason(contract: Contract, key: str) -> str | None:
    """Return why an object below the prefix of a dataset is ignored, or None if it is data."""
    if "\0" in key:
        return "the key contains a NUL character, which PostgreSQL cannot store"
    below = key.removeprefix(_layout(contract).root)
    name = below.rpartition("/")[2]
    if not name or name.endswith(_FOLDER_MARK):
        return f"a key that ends with {_FOLDER_MARK if name else 'a slash'} marks a folder"
    if below[0] in "._" or "/." in below or "/_" in below:
        part = next(part for part in below.split("/") if part.startswith((".", "_")))
        return f"{part!r} begins with {part[0]!r}"
    lower = name.lower()
    if rule := _ignored_name(lower):
        return rule
    if contract.file_names and not any(fnmatchcase(lower, pattern.lower()) for pattern in contract.file_names):
        return f"the contract's fileNames allow only {', '.join(contract.file_names)}"
    return None


def _ignored_name(lower: str) -> str | None:
    """Return why every dataset ignores objects of a name in lower case, or None."""
    if lower.endswith(_IGNORED):
        ending = next(ending for ending in _IGNORED if lower.endswith(ending))
        kinds = {"an incomplete upload": UNFINISHED, "a file about another file": SIDECARS, "a backup": BACKUPS}
        what = next(what for what, endings in kinds.items() if ending in endings)
        return f"the ending {ending} marks {what}"
    if lower == _MANIFEST:
        return f"{_MANIFEST} describes other files"
    return None


def period_of(contract: Contract, bucket: str, key: str, landed_at: datetime) -> Period:
    """Return the period of an object, which its folders name in the exact form of the dataset's layout.

    If files land at any time and no folder looks like a period, it is the day of the instant `landed_at` in the
    business time zone. Raises `DataError` if folders look like a period but do not name exactly one period of the
    layout, or if a dataset with periods has no such folder.
    """
    layout, cadence = _layout(contract), contract.cadence
    folders = key.removeprefix(layout.root).rpartition("/")[0]
    found = _read(layout, cadence, folders, contract.lands_any_time)
    if isinstance(found, Period):
        return found
    if found is None and contract.lands_any_time:
        return Period.of(cadence, landed_at.astimezone(ZoneInfo(settings().timezone)).date())
    problem = found or f"no folder names the {cadence}"
    place = "there, or under no folder that looks like a date," if contract.lands_any_time else "there"
    raise DataError(
        f"s3://{bucket}/{key}: {problem}; files of {contract.table} land under {layout.pattern}. "
        f"Move the object {place} or delete it."
    )


def may_belong_to(contract: Contract, key: str, period: Period) -> bool:
    """Return whether misspelled folders contain the numbers of a period: `month=2026-9` those of 2026-09."""
    folders = unicodedata.normalize("NFKC", key.removeprefix(_layout(contract).root).rpartition("/")[0])
    numbers = [int(number) for number in re.findall(r"\d+", _COMPACT.sub(r"\1-\2-\3", folders))]
    start = period.start
    wanted = [start.year, start.month] if period.cadence == "month" else [start.year, start.month, start.day]
    return any(numbers[at : at + len(wanted)] == wanted for at in range(len(numbers)))


def _layout(contract: Contract) -> Layout:
    return _layout_now(contract.domain, contract.name, contract.cadence, settings().include_dir, int(monotonic()))


@lru_cache(maxsize=64)  # a listing asks for each object; a changed manifest is seen after a second
def _layout_now(domain: str, name: str, cadence: Cadence, _include_dir: Path, _second: int) -> Layout:
    return raw_layout(domain, name, cadence)


@lru_cache(maxsize=4096)  # many objects have the same folders
def _read(layout: Layout, cadence: Cadence, path: str, is_anywhere: bool) -> Period | str | None:
    """Return the period of a path of folders, or the problem with it; None if no folder looks like a period.

    The folders of the layout must be adjacent, and first unless `is_anywhere`.
    """
    folders = path.split("/") if path else []
    positions = _like_a_period(folders)
    if not positions:
        return None
    named = [folders[position] for position in positions]
    first, day = positions[0], layout.day_of(named)
    together = positions == list(range(first, first + len(layout.folders)))
    with contextlib.suppress(OverflowError):  # the calendar's last period has no end
        if day is not None and together and (is_anywhere or first == 0):
            period = Period.of(cadence, day)
            if period.start == day:
                return period
    text = "/".join(named)
    return f"{text!r} must precede other folders" if together and day else f"{text!r} is not read as a {cadence}"


def _like_a_period(folders: Sequence[str]) -> list[int]:
    """Return the positions of the folders that look like a part of a period."""
    plain = [unicodedata.normalize("NFKC", unquote(folder)).strip() for folder in folders]
    short = [_SHORT_NUMBER.fullmatch(folder) is not None for folder in plain]
    return [
        position
        for position, folder in enumerate(plain)
        if _looks_like_a_period(folder)
        or (short[position] and (any(short[position - 1 : position]) or any(short[position + 1 : position + 2])))
    ]


def _looks_like_a_period(folder: str) -> bool:
    """Return whether a folder looks like a date or a part of one: `dt=…`, `2026-03`, `Month03`; not `region=eu`."""
    name, equals, _ = folder.partition("=")
    words = {word.lower() for word in _CAMEL_WORD.findall(name)}
    return (bool(equals) and not words.isdisjoint(_TIME_WORDS)) or _DATE_LIKE.search(folder) is not None
