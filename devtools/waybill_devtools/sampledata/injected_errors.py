"""What can be wrong in a record of a sample file: the changed fields, and all reasons it must get.

A kind changes some fields of a record that is otherwise right. Reasons are those of the kernel:
`<rule>:<column>`, or a bare rule for the row as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

Record = dict[str, str]


@dataclass(frozen=True)
class Kind:
    """One kind of dirt; `shape` says what happens to the record as text after its fields were changed.

    `{}` in a changed field stands for what was there.
    """

    fields: Record
    reasons: tuple[str, ...]
    shape: str = "plain"


def changed(kind: Kind, record: Record) -> Record:
    """The record with the fields that the kind changes."""
    return {**record, **{name: text.replace("{}", record[name]) for name, text in kind.fields.items()}}


def dirty_fields(kind: Kind, record: Record) -> list[str]:
    """Change the record as the kind says; a lone surrogate in a field stands for a byte that is not UTF-8."""
    fields = list(changed(kind, record).values())
    if kind.shape == "short":
        return fields[:-1]
    if kind.shape == "long":
        return [*fields, "surplus"]
    return fields
