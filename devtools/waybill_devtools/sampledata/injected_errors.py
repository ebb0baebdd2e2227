"""Kinds of errors to inject into records of sample files, with the reasons for which validation must reject them.

A kind changes some fields of a valid record. Reasons are those of the ledger: `<rule>:<column>`, or a bare rule for the
row as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

Record = dict[str, str]


@dataclass(frozen=True)
class Kind:
    """One kind of error. `shape` describes the change of the text after the fields were changed.

    `{}` in a changed field is replaced by its original value.
    """

    fields: Record
    reasons: tuple[str, ...]
    shape: str = "plain"


def changed(kind: Kind, record: Record) -> Record:
    """Return a record with the changed fields of a kind."""
    return {**record, **{name: text.replace("{}", record[name]) for name, text in kind.fields.items()}}


def fields_with_error(kind: Kind, record: Record) -> list[str]:
    """Return the fields of a record with an error. A lone surrogate becomes a byte that is not UTF-8."""
    fields = list(changed(kind, record).values())
    if kind.shape == "short":
        return fields[:-1]
    if kind.shape == "long":
        return [*fields, "surplus"]
    return fields
