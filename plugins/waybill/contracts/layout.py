"""Prefixes of S3: a root, and below it folders that name a month or a day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

FORMS: Final = {"YYYY": "%Y", "MM": "%m", "DD": "%d"}
EXAMPLE: Final = "raw/billing/invoices/dt=YYYY-MM-DD/"

_PATTERN: Final = re.compile(r"(?P<root>(?:[\w.-]+/)+)(?P<folders>(?:\w+=(?:YYYY|MM|DD|-)+/)+)")


@dataclass(frozen=True)
class Layout:
    """Where the objects of a table lie: a prefix, and below it folders that name a month or day."""

    root: str
    folders: tuple[tuple[str, str], ...]
    """For each folder its name and the `strftime` form of its value: `dt=2026-03-31/`."""

    @classmethod
    def parse(cls, pattern: str) -> Layout:
        """Return the layout that a pattern like `raw/billing/invoices/dt=YYYY-MM-DD/` describes.

        Raises `ValueError` for any other text.
        """
        found = _PATTERN.fullmatch(pattern)
        parts = re.findall("YYYY|MM|DD", found["folders"]) if found else []
        if found is None or sorted(parts) not in (["MM", "YYYY"], ["DD", "MM", "YYYY"]):
            raise ValueError(f"must be a prefix whose last folders name a day or a month, like {EXAMPLE}")
        folders = (folder.split("=") for folder in found["folders"].rstrip("/").split("/"))
        return cls(found["root"], tuple((name, re.sub("YYYY|MM|DD", _form, value)) for name, value in folders))

    @property
    def names_days(self) -> bool:
        """Whether the folders name a day, not only a month."""
        return any("%d" in form for _, form in self.folders)

    def values(self, start: date) -> list[str]:
        """Return the folders' values for a period by its first day."""
        return [start.strftime(form) for _, form in self.folders]

    def prefix(self, start: date | None = None) -> str:
        """Return the prefix of a period's objects, by its first day; without one, the prefix of all objects."""
        if start is None:
            return self.root
        return self.root + "".join(f"{folder}/" for folder in self.folders_of(start))

    @property
    def pattern(self) -> str:
        """The prefix as messages write it: `raw/billing/invoices/dt=YYYY-MM-DD/`."""
        letters = {form: text for text, form in FORMS.items()}
        return self.root + "".join(
            f"{name}={re.sub('%.', lambda found: letters[found[0]], form)}/" for name, form in self.folders
        )

    def folders_of(self, start: date) -> list[str]:
        """Return the folders of a period by its first day: `["dt=2026-03-31"]`."""
        return [f"{name}={value}" for (name, _), value in zip(self.folders, self.values(start), strict=True)]

    def day_of(self, folders: Sequence[str]) -> date | None:
        """Return the first day of the period that folders name; None unless `folders_of` writes them so."""
        values = "/".join(folder.partition("=")[2] for folder in folders)
        try:
            day = datetime.strptime(values, "/".join(form for _, form in self.folders)).date()  # noqa: DTZ007
        except ValueError:
            return None
        return day if self.folders_of(day) == [*folders] else None

    def begins_period(self, folders: Sequence[str]) -> bool:
        """Return whether folders name a period, or are the first ones of folders that do."""
        if len(folders) == len(self.folders):
            return self.day_of(folders) is not None
        return all(
            Layout(self.root, (form,)).day_of([folder]) is not None
            for form, folder in zip(self.folders, folders, strict=False)
        )


def _form(found: re.Match[str]) -> str:
    return FORMS[found[0]]
