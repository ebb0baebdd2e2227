"""Bring the warehouse up to date with a contract: create its tables, add new nullable columns, or widen numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from psycopg import Connection, errors, sql

from waybill.contracts import Column, Contract, ContractError, have_same_rules, odcs
from waybill.contracts.contract import HISTORY_COLUMNS
from waybill.contracts.domains import is_on_spark
from waybill.contracts.feature_views import FeatureView
from waybill.warehouse import feature_tables
from waybill.warehouse.analysts import grant_to_analysts
from waybill.warehouse.connection import one_row
from waybill.warehouse.file_order import order_sql
from waybill.warehouse.schema import (
    LAYOUT,
    LONG_TYPES,
    ON_SPARK,
    changed_keys_relation,
    column_definition,
    create_statements,
    derived_statements,
    drop_readers,
    relation,
    superseded_relation,
)
from waybill.warehouse.unloaded import drop_unloaded, forget_contracts, is_unloaded

log = logging.getLogger(__name__)

_WIDER: Final = {"smallint": ("integer", "bigint"), "integer": ("bigint",), "real": ("double precision",)}
"""The types to which a column may change, because they hold every value of its type."""
_SHORT_TYPES = {long: short for short, long in LONG_TYPES.items()}


def _existing_columns(connection: Connection, contract: Contract) -> dict[str, tuple[str, bool]]:
    """Return (type, required) of each of the contract's columns in a table, or nothing if there is no table."""
    if contract.is_dataset and is_on_spark(contract.domain):
        former = _applied(connection, contract)
        return {column.name: (column.physical_type, column.required) for column in former.columns} if former else {}
    rows = connection.execute(
        """
        select attname, format_type(atttypid, atttypmod), attnotnull
        from pg_attribute
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped and left(attname, 1) <> '_'
          and attname <> all(%s)
        """,
        (relation(contract).as_string(None), _history_columns(contract)),
    ).fetchall()
    return {name: (str(_SHORT_TYPES.get(kind, kind)), required) for name, kind, required in rows}


def _applied(connection: Connection, contract: Contract) -> Contract | None:
    """Return the contract of a dataset that was applied last. On Spark, the tables of the lake are as it says."""
    query = "select document from waybill.contract where dataset = %s order by contract_id desc limit 1"
    row = connection.execute(query, (contract.table,)).fetchone()
    return odcs.recorded(row[0]) if row else None


def _history_columns(contract: Contract) -> list[str]:
    """Return the columns that a history has in addition to the contract's. Other tables may use these names."""
    return [*HISTORY_COLUMNS] if contract.load_mode == "snapshot" else []


def _changed_columns(contract: Contract, existing: dict[str, tuple[str, bool]]) -> list[str]:
    """Return the differences in columns between contract and table, except new nullable columns and wider numbers."""
    problems = [
        f"column {name!r} is in the table and not in the contract" for name in existing.keys() - set(contract.names)
    ]
    for column in contract.columns:
        if column.name not in existing:
            if column.required:
                problems.append(f"column {column.name!r} is new and required, but existing rows have no value for it")
        elif existing[column.name] != (column.physical_type, column.required) and not _is_wider(column, existing):
            was = existing[column.name][0] + (" not null" if existing[column.name][1] else "")
            now = column.physical_type + (" not null" if column.required else "")
            problems.append(f"column {column.name!r} is {was} in the table and {now} in the contract")
    return sorted(problems)


def _is_wider(column: Column, existing: dict[str, tuple[str, bool]]) -> bool:
    """Return whether a column only changes to a type that holds every value of its present type."""
    kind, required = existing.get(column.name, ("", False))
    return column.physical_type in _WIDER.get(kind, ()) and column.required == required


def _changed_key(connection: Connection, contract: Contract) -> list[str]:
    """Return the differences in partitions and key between contract and table."""
    is_partitioned, columns = one_row(
        connection,
        """
        select
          relkind = 'p',
          array(
            select attname::text
            from pg_index
            inner join pg_attribute on attrelid = indrelid and attnum = any(indkey)
            where indrelid = c.oid and indisprimary
          )
        from pg_class as c
        where oid = to_regclass(%s)
        """,
        (relation(contract).as_string(None),),
    )
    problems = []
    if is_partitioned and not contract.is_partitioned:
        problems.append("the table is partitioned, but the contract has no partitioned column")
    if contract.is_partitioned and not is_partitioned:
        problems.append("the table is not partitioned, but the contract has a partitioned column")
    return problems + _changed_row_key(set(columns) - {*_history_columns(contract)}, contract)


def _changed_row_key(existing: Iterable[str], contract: Contract) -> list[str]:
    was, now = (", ".join(sorted(key)) for key in (existing, contract.row_key))
    return [] if was == now else [f"the key is {was} in the table and {now} in the contract"]


def _changed_order(connection: Connection, contract: Contract) -> list[str]:
    """Return the problem if a changed `fileOrder` changes the order of two loaded files of a period.

    Existing rows were merged in the previous order. The change is harmless if no two files change places.
    """
    before = connection.execute(
        """
        select file_order
        from waybill.contract
        where dataset = %s
        order by contract_id desc
        limit 1
        """,
        (contract.table,),
    ).fetchone()
    if not contract.is_dataset or before is None or before[0] == contract.file_order:
        return []
    now, then = (order_sql(replace(contract, file_order=order), "f") for order in (contract.file_order, before[0]))
    swapped = connection.execute(
        sql.SQL(
            """
            with placed as (
              select f.object_key, f.period, row_number() over (order by {now}) as now,
                row_number() over (order by {then}) as before
              from waybill.load_file as f
              where f.dataset = {dataset} and f.status = 'loaded'
            ),
            compared as (
              select p.*, lag(p.object_key) over in_order as earlier_key, lag(p.now) over in_order as earlier_now
              from placed as p
              window in_order as (order by p.before)
            )
            select earlier_key, object_key, period from compared where now < earlier_now order by before limit 1
            """
        ).format(now=now, then=then, dataset=sql.Literal(contract.table))
    ).fetchone()
    if swapped is None:
        return []
    first, second, period = swapped
    change = f"fileOrder is {contract.file_order} and was {before[0]}"
    return [f"{change}, which changes the order of two loaded files of {period}: {first}, {second}"]


def _is_of_another_mode(connection: Connection, contract: Contract) -> bool:
    """Return whether the existing tables were created for another load mode, with table and view exchanged."""
    has_view = relation(contract) != sql.Identifier(contract.domain, contract.name)
    row = connection.execute(
        """
        select relkind = 'v', to_regclass(%s) is not null
        from pg_class
        where oid = to_regclass(%s)
        """,
        (relation(contract).as_string(None), sql.Identifier(contract.domain, contract.name).as_string(None)),
    ).fetchone()
    return row is not None and row != (has_view, True)


def _problems(connection: Connection, contract: Contract) -> list[str]:
    """Return the differences between contract and tables that are more than new nullable columns and wider numbers."""
    if contract.is_dataset and is_on_spark(contract.domain):
        return _problems_on_spark(connection, contract)
    if _is_of_another_mode(connection, contract):
        return [f"the existing tables were not created for loadMode {contract.load_mode!r}"]
    existing = _existing_columns(connection, contract)
    if not existing:
        return []
    problems = _changed_columns(contract, existing) + _changed_key(connection, contract)
    return problems + _changed_order(connection, contract)


def _problems_on_spark(connection: Connection, contract: Contract) -> list[str]:
    """Return the same for a dataset on Spark. Before a file is loaded, any change is possible."""
    former = _applied(connection, contract)
    if former is None or is_unloaded(connection, contract):
        return []
    if former.load_mode != contract.load_mode:
        return [f"the existing tables were not created for loadMode {contract.load_mode!r}"]
    problems = _changed_columns(contract, _existing_columns(connection, contract))
    return problems + _changed_row_key(former.row_key, contract) + _changed_order(connection, contract)


def missing_columns(connection: Connection, contract: Contract) -> list[Column] | None:
    """Return the columns that the next load adds to the existing table, or None if it creates the table.

    Raises `ContractError` if the contract needs more than new nullable columns and wider numbers, unless the tables are
    those of a dataset without loaded files.
    """
    if problems := _problems(connection, contract):
        with connection.transaction(force_rollback=True):
            if drop_unloaded(connection, contract):
                return None
        on_spark = contract.is_dataset and is_on_spark(contract.domain)
        rename = "Rename" if on_spark else "Migrate the table manually, rename"
        raise ContractError(
            f"the contract of {contract.table} (version {contract.version}) needs more than new nullable columns "
            f"and wider numbers: {'; '.join(problems)}. {rename} the dataset, or undo the change in the contract."
        )
    existing = _existing_columns(connection, contract)
    return [column for column in contract.columns if column.name not in existing] if existing else None


def is_changed_version(connection: Connection, contract: Contract) -> bool:
    """Return whether the warehouse has a contract of the same table and version with other rules.

    A dataset without loaded files needs no new version.
    """
    if is_unloaded(connection, contract):
        return False
    others = connection.execute(
        "select distinct document from waybill.contract where dataset = %s and version = %s and sha256 <> %s",
        (contract.table, contract.version, contract.sha256),
    ).fetchall()
    return not all(have_same_rules(document, contract.document) for (document,) in others)


def equivalent_hashes(connection: Connection, contract: Contract) -> list[str]:
    """Return the hash of the contract, and those of the table's earlier contracts with the same rules.

    A table that was built under one of them is not stale.
    """
    earlier = connection.execute(
        "select distinct sha256, document from waybill.contract where dataset = %s and sha256 <> %s",
        (contract.table, contract.sha256),
    ).fetchall()
    return [contract.sha256, *(sha for sha, document in earlier if have_same_rules(document, contract.document))]


def ensure(connection: Connection, contract: Contract) -> None:
    """Create the contract's table, view and function, or add its new nullable columns.

    A column of numbers may change to a wider type. The tables of a dataset without loaded files are created again for
    any other change. Changes nothing if they are up to date. Runs in the caller's transaction. Raises `ContractError`
    for any other change. A dataset on Spark has no tables in PostgreSQL: its contract is compared with the one applied
    last, and recorded.
    """
    on_spark = contract.is_dataset and is_on_spark(contract.domain)
    layout = ON_SPARK if on_spark else LAYOUT

    def latest() -> Any:
        found = "select sha256, layout from waybill.contract where dataset = %s order by contract_id desc limit 1"
        return connection.execute(found, (contract.table,)).fetchone()

    if latest() == (contract.sha256, layout):  # without the lock, so that the usual case does not wait
        return
    connection.execute("select pg_advisory_xact_lock(hashtext('waybill.contract'))")
    before = latest()
    if before == (contract.sha256, layout):  # another run was faster
        return
    if before and contract.is_dataset and on_spark != (before[1] == ON_SPARK):
        _leave_engine(connection, contract)
    if on_spark:
        missing_columns(connection, contract)
    else:
        _ensure_tables(connection, contract)
    if is_unloaded(connection, contract):
        forget_contracts(connection, contract)
    elif is_changed_version(connection, contract):
        log.warning("the contract of %s has changed and is still version %s", contract.table, contract.version)
    connection.execute(
        """
        insert into waybill.contract (dataset, version, sha256, document, file_order, layout)
        values (%s, %s, %s, %s, %s, %s)
        """,
        (contract.table, contract.version, contract.sha256, contract.document, contract.file_order, layout),
    )


def _leave_engine(connection: Connection, contract: Contract) -> None:
    """Drop the empty tables of a dataset whose engine has changed. Raises `ContractError` if files are loaded."""
    if is_unloaded(connection, contract):
        drop_unloaded(connection, contract)
        return
    raise ContractError(
        f"{contract.table}: the manifest of {contract.domain} names another engine than the one that loaded its files, "
        "and no run would load them again. Undo the change. To move, add a domain with the other engine that reads the "
        "same prefix, compare the reports, then retire this one."
    )


def _ensure_tables(connection: Connection, contract: Contract) -> None:
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(contract.domain)))
    if _problems(connection, contract) and drop_unloaded(connection, contract):
        log.info("recreate the empty tables of %s: its contract has changed and no file has loaded", contract.table)
    added = missing_columns(connection, contract)
    if added is None:
        statements = create_statements(contract)
        if contract.load_mode == "feature":
            statements += feature_tables.create_statements(FeatureView.of(contract))
    else:
        _widen(connection, contract)
        tables = [relation(contract)] + ([superseded_relation(contract)] if contract.is_merged else [])
        statements = [
            sql.SQL("alter table {} add column {}").format(table, column_definition(column))
            for table in tables
            for column in added
        ]
    for statement in [*statements, *derived_statements(contract)]:
        connection.execute(statement)
    grant_to_analysts(connection, contract)


def _widen(connection: Connection, contract: Contract) -> None:
    """Change the types of columns that become wider. The lake then needs all days again, in the new types.

    Raises `ContractError` if other views or functions depend on such a column.
    """
    existing = _existing_columns(connection, contract)
    wider = [column for column in contract.columns if _is_wider(column, existing)]
    if not wider:
        return
    for drop in drop_readers(contract):
        connection.execute(drop)
    for column in wider:
        tables = [relation(contract)] + ([superseded_relation(contract)] if contract.is_merged else [])
        if contract.load_mode == "summary" and column.key_position:
            tables.append(changed_keys_relation(contract))
        name, kind = sql.Identifier(column.name), sql.SQL(column.physical_type)
        for table in tables:
            # By its text, a real becomes the double that the next file has for the same number.
            statement = sql.SQL("alter table {} alter column {} type {} using {}::text::{}")
            try:
                connection.execute(statement.format(table, name, kind, name, kind))
            except (errors.FeatureNotSupported, errors.DependentObjectsStillExist) as error:
                raise ContractError(
                    f"the contract of {contract.table} (version {contract.version}) changes the column {column.name!r} "
                    f"from {existing[column.name][0]} to {column.physical_type}, but PostgreSQL cannot change it: "
                    f"{error.diag.message_detail or error.diag.message_primary}. Drop what depends on the column, run "
                    "again, and create it again."
                ) from error
    connection.execute("delete from waybill.processed_day where dataset = %s", (contract.table,))
    changes = ", ".join(f"{column.name} to {column.physical_type}" for column in wider)
    log.info("changed columns of %s: %s", contract.table, changes)


def ensure_domain(connection: Connection, contracts: dict[str, Contract]) -> None:
    """Call `ensure` for each contract of a domain, datasets first, because checks of reports read them."""
    for contract in sorted(contracts.values(), key=lambda item: not item.is_dataset):
        ensure(connection, contract)
