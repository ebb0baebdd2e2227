"""The rights of analysts in the warehouse: they may select every column that is not restricted.

Rights are granted by column. A column that is added later, or whose classification is unknown, is not readable until
the next grant. Partitions, staging tables and the operations tables have no grants.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Contract, ContractError, odcs
from waybill.contracts.classification import RESTRICTED, restricted_names, unrestricted
from waybill.contracts.contract import FEATURE_LOG_COLUMNS, HISTORY_COLUMNS
from waybill.warehouse.schema import (
    ANALYST_ROLE,
    PROVENANCE,
    columns_sql,
    drop_unrestricted_readers,
    tables_of,
    unrestricted_as_of_function,
    unrestricted_view,
)

_TECHNICAL: Final = (*PROVENANCE, "_delivered")
_OF_FILES: Final = ("file_id", "period", "landed_at", "name_key")
"""The columns of the ledger that as-of functions read."""


def has_analysts(connection: Connection) -> bool:
    """Return whether the server has the role of analysts."""
    return connection.execute("select from pg_roles where rolname = %s", (ANALYST_ROLE,)).fetchone() is not None


def grant_to_analysts(connection: Connection, contract: Contract) -> None:
    """Grant analysts the columns of a contract's tables and views that are not restricted, and no others.

    Runs in the caller's transaction. Changes nothing if the server has no role of analysts.
    """
    if not has_analysts(connection):
        return
    analyst, is_readable = sql.Identifier(ANALYST_ROLE), _readable(contract).__contains__
    named = [*tables_of(contract), sql.Identifier(contract.domain, contract.name), unrestricted_view(contract)]
    relations = {one.as_string(None): one for one in named}
    columns = {name: _columns(connection, name) for name in relations}
    if not any(columns.values()):
        return
    for schema in (contract.domain, "waybill"):
        connection.execute(sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(schema), analyst))
    grant = sql.SQL("grant select ({}) on {} to {}")
    connection.execute(grant.format(columns_sql([*_OF_FILES]), sql.Identifier("waybill", "load_file"), analyst))
    for name, existing in columns.items():
        if existing:
            # This also revokes what was granted by column.
            connection.execute(sql.SQL("revoke all on {} from {}").format(relations[name], analyst))
        if readable := [*filter(is_readable, existing)]:
            connection.execute(grant.format(columns_sql(readable), relations[name], analyst))
    function = unrestricted_as_of_function(contract)
    if connection.execute("select to_regprocedure(%s)", (f"{function.as_string(None)}(date)",)).fetchone() != (None,):
        connection.execute(sql.SQL("grant execute on function {}(date) to {}").format(function, analyst))


def renew_grants(connection: Connection) -> int | None:
    """Grant analysts the columns of all tables, as the applied contracts classify them; return the number of tables.

    A column that the project's contract restricts now is revoked. One that it no longer restricts is granted by the
    next load. Returns None if the server has no role of analysts.
    """
    if not has_analysts(connection):
        return None
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('waybill.contract'))")
        applied = connection.execute(
            "select distinct on (dataset) dataset, document from waybill.contract order by dataset, contract_id desc"
        ).fetchall()
        for table, document in applied:
            _renew(connection, odcs.recorded(document), _restricted_now(table))
    return len(applied)


def _renew(connection: Connection, applied: Contract, now: set[str]) -> None:
    """Grant the columns of an applied contract, without those that are restricted now."""
    if now - restricted_names(applied):
        # They would select the columns. The next load creates them again without.
        for statement in drop_unrestricted_readers(applied):
            connection.execute(statement)
    columns = tuple(replace(one, classification=RESTRICTED) if one.name in now else one for one in applied.columns)
    grant_to_analysts(connection, replace(applied, columns=columns))


def _restricted_now(table: str) -> set[str]:
    """Return the restricted columns of a table's contract in the project; none without a valid contract."""
    path = odcs.contract_path(table)
    try:
        return restricted_names(odcs.load(path)) if path.is_file() else set()
    except ContractError:
        return set()


def _readable(contract: Contract) -> set[str]:
    """Return the names of the columns that analysts may select from the tables and views of a contract."""
    more = {"snapshot": HISTORY_COLUMNS, "feature": FEATURE_LOG_COLUMNS}.get(contract.load_mode, ())
    return {column.name for column in unrestricted(contract)} | {*_TECHNICAL, *more}


def _columns(connection: Connection, relation: str) -> list[str]:
    """Return the columns of a table or view; none if it does not exist."""
    rows = connection.execute(
        "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        (relation,),
    ).fetchall()
    return [name for (name,) in rows]
