"""Forget people: one transaction that replaces them in the warehouse and stores the certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection, Rollback
from psycopg.types.json import Jsonb

from waybill.contracts import ContractError, load_domain
from waybill.contracts.domains import load_manifest, manifest_path
from waybill.contracts.feature_views import feature_views
from waybill.contracts.people import PersonColumns, people_of, problems, unreached
from waybill.erasure.features import erase_features
from waybill.erasure.person import Target, target_of, with_own_values, with_values
from waybill.erasure.places import IdColumn, derived_ids, left_places, value_sources, waiting_places
from waybill.erasure.records import erase_events, erase_quarantine, erase_rejected_events
from waybill.erasure.rows import Erased, erase_rows
from waybill.erasure.texts import erase_profiles, erase_texts
from waybill.errors import DataError
from waybill.intake.load import lock_table
from waybill.ops.column_sources import Source, Sources
from waybill.run import Run
from waybill.stream.declared import streams_of
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure
from waybill.warehouse.feature_tables import lock_sets
from waybill.warehouse.forgotten import check_of_key, key_of_hashes


@dataclass(frozen=True)
class Certificate:
    """What was done to forget a person. It does not say who it was."""

    erasure: int | None
    """The number of the erasure; None for a dry run, or if there was nothing to do."""
    domain: str
    kind: str
    number: int
    """The number of the person in the texts that replace values."""
    tombstone: str
    columns: list[str]
    """The columns that hold the id."""
    erased_columns: list[str]
    """The classified columns, whose values are erased in rows of the person."""
    searched_values: int
    """How many values that only the person has were searched for in records without an id."""
    erasures_before: int
    """How often something of the person was erased before."""
    shared_values: int
    """How many values of the person's rows others have, too. They were not searched for."""
    erased: dict[str, int]
    """The rows that were changed, by table."""
    days: dict[str, list[str]]
    """The business days of these rows, by dataset."""
    waiting: list[dict[str, Any]]
    """What the next run of the domain rewrites."""
    left: list[dict[str, str]]
    """What the project cannot erase, each with who removes it and when."""
    asked_by: str
    erased_at: str
    code_version: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the person was found that can be erased."""
        return not self.erased


def forget(
    connection: Connection,
    domain: str,
    ids: Sequence[tuple[str, str]],
    run: Run,
    asked_by: str,
    *,
    is_dry: bool,
    values: Sequence[str] = (),
) -> list[Certificate]:
    """Erase people, each given as (kind, id), in one transaction; return their certificates.

    `values` are texts that belong to the only person who is given, besides those in the rows with the id.

    A dry run does the same and undoes it, so that its numbers are those of the erasure. Meanwhile loads of the domain
    and consumers of its streams wait. Raises `DataError` for an unknown kind, for an id that nobody can have, and for a
    domain whose people cannot be forgotten.
    """
    people, datasets = people_of(domain), load_domain(domain)
    if not people:
        raise DataError(f"{domain} declares no people: write `people` in its manifest")
    if found := [f"{'.'.join(steps)}: {text}" for steps, text in problems(load_manifest(domain), datasets)]:
        raise ContractError("\n".join([f"{manifest_path(domain)}: people cannot be forgotten", *found]))
    if values and len({*ids}) > 1:
        raise DataError("texts of a person can be given for one person at a time")
    certificates, sources = [], value_sources(domain)
    with connection.transaction():
        lock_sets(connection, feature_views(domain), is_shared=False)  # the certificate lists every set
        for contract in sorted(datasets.values(), key=lambda one: one.table):
            lock_table(connection, contract)
            ensure(connection, contract)
        for declared in streams_of(domain):
            connection.execute("select from waybill.stream where dataset = %s for update", (declared.dataset,))
        for kind, value in dict.fromkeys(ids):
            target = with_values(target_of(connection, domain, kind, value, people), values)
            certificates.append(_forget(connection, target, people, sources, run, asked_by, is_dry=is_dry))
        if is_dry:
            raise Rollback
    return certificates


def _forget(
    connection: Connection,
    target: Target,
    people: Sequence[PersonColumns],
    sources: Mapping[Source, Sources],
    run: Run,
    asked_by: str,
    *,
    is_dry: bool,
) -> Certificate:
    erased = Erased()
    target = with_own_values(connection, target)
    erase_rows(connection, target, erased)
    erase_quarantine(connection, target, erased)
    erase_rejected_events(connection, target, erased)
    archives = erase_events(connection, target, erased)
    erase_profiles(connection, target, erased)
    erase_texts(connection, target, erased)
    derived = derived_ids(target, sources)
    erase_features(connection, target, derived, erased)
    certificate = Certificate(
        None,
        target.domain,
        target.kind,
        target.person.number,
        target.person.tombstone,
        _columns(target, derived),
        [f"{one.contract.table}.{column.name}" for one in target.columns for column in one.erased],
        len(target.values),
        target.erasures,
        target.shared,
        dict(sorted(erased.rows.items())),
        {dataset: [str(day) for day in sorted(days)] for dataset, days in sorted(erased.days.items())},
        waiting_places(connection, target, erased, derived),
        left_places(connection, target, erased, derived, archives, unreached(people, load_domain(target.domain))),
        asked_by,
        datetime.now(UTC).isoformat(timespec="seconds"),
        run.code_version,
    )
    if is_dry or (certificate.is_empty and target.erasures):
        return certificate
    return _store(connection, target, certificate)


def _columns(target: Target, derived: Sequence[IdColumn]) -> list[str]:
    of_datasets = [f"{one.contract.table}.{column.name}" for one in target.columns for column in one.ids]
    return [*of_datasets, *map(str, derived)]


def _store(connection: Connection, target: Target, certificate: Certificate) -> Certificate:
    (number,) = one_row(
        connection,
        """
        insert into waybill.erasure (
          domain, kind, declared, person, number, tombstone, key_check, asked_by, code_version, certificate
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        returning erasure_id
        """,
        (
            target.domain,
            target.kind,
            target.columns[0].declared,
            target.hash,
            target.person.number,
            target.person.tombstone,
            check_of_key(key_of_hashes()),
            certificate.asked_by,
            certificate.code_version,
            Jsonb({}),
        ),
    )
    stored = Certificate(**{**asdict(certificate), "erasure": number})
    connection.execute(
        "update waybill.erasure set certificate = %s where erasure_id = %s", (Jsonb(asdict(stored)), number)
    )
    return stored


def stored_certificate(connection: Connection, erasure: int) -> dict[str, Any]:
    """Return the certificate of an erasure. Raises `DataError` for an unknown number."""
    row = connection.execute("select certificate from waybill.erasure where erasure_id = %s", (erasure,)).fetchone()
    if row is None:
        raise DataError(f"there is no erasure {erasure}")
    return dict(row[0])
