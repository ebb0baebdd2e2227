"""A difference between files and their contract, with the files that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from waybill.watch.seen_files import SeenFile

Kind = Literal["new column", "missing column", "renamed column", "new value", "other type"]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Shown:
    """A difference that files show now."""

    kind: Kind
    column: str
    """The contract's column; empty for a new one."""
    name: str
    """The name of the column in files, or a new value."""
    files: Sequence[SeenFile]
    """Those that show it, the earliest first."""
    examples: Sequence[str] = ()

    @property
    def key(self) -> Key:
        """Return what identifies the drift within its dataset."""
        return self.kind, self.column, self.name
