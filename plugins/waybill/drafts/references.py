"""Find the datasets to which a drafted dataset refers, by the names, types and values of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from psycopg import Connection

from waybill.contracts import Column, Contract
from waybill.contracts.quoting import identifier
from waybill.drafts.names import singular_forms
from waybill.drafts.profile import Rows
from waybill.formatting import count
from waybill.intake.references import reference_values
from waybill.warehouse.connection import table_exists
from waybill.warehouse.schema import relation

_GENERAL: Final = ("id", "code", "key", "name", "number", "no", "uuid")
"""Names of keys that say nothing without the name of their dataset."""


@dataclass(frozen=True)
class Reference:
    """The key of another dataset of the domain, to which a column may refer."""

    dataset: str
    key: Column
    values: int | None = None
    """Number of different values of the column; None if the warehouse did not answer."""
    missing: int = 0
    """How many of them the other dataset does not have."""

    @property
    def name(self) -> str:
        """Return `dataset.column`."""
        return f"{self.dataset}.{self.key.name}"

    @property
    def is_confirmed(self) -> bool:
        """Return whether the other dataset has every value."""
        return self.values is not None and not self.missing

    @property
    def doubt(self) -> str:
        """Return what the files show about the reference, and what to do."""
        if self.is_confirmed:
            return f"all {self.values:,} values are in {self.name}. Rows with other values will be rejected."
        missing = "" if self.values is None else f" It lacks {self.missing:,} of {count(self.values, 'value')}."
        return (
            f"{self.name} has a similar name and the same type.{missing} If it must have every value, add: "
            f"relationships: [{{to: {self.name}}}]"
        )


def reference_of(name: str, dataset: str, others: Mapping[str, Contract]) -> Reference | None:
    """Return the key whose name the column has: `customer_id` for `customers.customer_id` and `customers.id`."""
    for other in others.values():
        if not other.is_dataset or other.name == dataset or len(other.key) != 1:
            continue
        key = next(column for column in other.columns if column.name == other.key[0])
        names = {f"{one}_{key.name}" for one in singular_forms(other.name)}
        if key.name not in _GENERAL:
            names.add(key.name)
        if name in names:
            return Reference(other.name, key)
    return None


def namesake_of(name: str, kind: str, dataset: str, others: Mapping[str, Contract]) -> Column | None:
    """Return a column of another dataset with the same name and type, whose description then fits."""
    columns = (column for one in others.values() if one.name != dataset and one.is_dataset for column in one.columns)
    return next((one for one in columns if (one.name, one.physical_type) == (name, kind)), None)


def compared(
    connection: Connection, found: Reference, name: str, others: Mapping[str, Contract], rows: Rows, folder: Path
) -> Reference:
    """Return a reference with the number of values that the other dataset lacks in the warehouse."""
    target = others[found.dataset]
    if not table_exists(connection, relation(target)):
        return found
    column = replace(found.key, name=name, key_position=None, reference=(found.dataset, found.key.name))
    known = reference_values(connection, replace(target, columns=(column,)), others, None, folder)[name]
    value = identifier(name)
    values, missing = rows.one(
        f"select count(*), count(*) filter (value::varchar not in (select value::varchar from {known})) "
        f"from (select distinct {value} as value from {rows.relation} where {value} is not null)"
    )
    return replace(found, values=values, missing=missing)
