"""Datasets of which no file has loaded: their tables hold nothing, so another contract may replace them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from psycopg import Connection, errors, sql

from waybill.contracts import Contract
from waybill.contracts.odcs import load_mode_of
from waybill.warehouse.schema import READER_ROLE, drop_readers, tables_of

_HAS_DEPENDENTS = """
with tables as (
  select c.oid, c.relowner, c.relnamespace, c.relacl
  from pg_class as c
  where c.oid = any(%(relations)s::regclass[])
),
granted as (
  select a.grantee, a.privilege_type, t.relowner, t.relnamespace
  from tables as t
  cross join aclexplode(t.relacl) as a
  where a.grantee <> t.relowner and a.grantee is distinct from to_regrole(%(reader)s)
)
select
  exists (
    select from pg_depend
    where refobjid in (select oid from tables)
      and classid in ('pg_policy'::regclass, 'pg_publication_rel'::regclass, 'pg_trigger'::regclass)
  )
  or exists (
    select from granted as g
    where not exists (
      select
      from pg_default_acl as d
      cross join aclexplode(d.defaclacl) as a
      where d.defaclrole = g.relowner and d.defaclobjtype = 'r' and d.defaclnamespace in (0, g.relnamespace)
        and a.grantee = g.grantee and a.privilege_type = g.privilege_type
    )
  )
"""
"""Whether something would vanish with the tables without an error: grants, publications, policies, triggers.

Default privileges apply to the new tables as well.
"""


def is_unloaded(connection: Connection, contract: Contract) -> bool:
    """Return whether a contract is of a dataset that has no loaded file, and whose tables, if any, are empty."""
    if not contract.is_dataset:
        return False
    query = "select from waybill.load_file where dataset = %s and status = 'loaded' limit 1"
    if connection.execute(query, (contract.table,)).fetchone() is not None:
        return False
    tables = _existing(connection, tables_of(_former(connection, contract)))
    return not any(
        connection.execute(sql.SQL("select from {} limit 1").format(table)).fetchone() is not None for table in tables
    )


def drop_unloaded(connection: Connection, contract: Contract) -> bool:
    """Drop the tables of a dataset if it is unloaded and nothing of others depends on them; return whether it did.

    Until the caller's transaction ends, no other session reads or writes the tables.
    """
    former = _former(connection, contract)
    tables = _existing(connection, tables_of(former))
    relations = _existing(connection, [*tables_of(former), sql.Identifier(contract.domain, contract.name)])
    if not contract.is_dataset or not tables:
        return False
    try:
        with connection.transaction():
            for table in tables:
                connection.execute(sql.SQL("lock table {} in access exclusive mode").format(table))
            named = {"relations": [one.as_string(None) for one in relations], "reader": READER_ROLE}
            row = connection.execute(_HAS_DEPENDENTS, named).fetchone()
            if row != (False,) or not is_unloaded(connection, contract):
                return False
            for statement in drop_readers(former):
                connection.execute(statement)
            for table in tables:
                connection.execute(sql.SQL("drop table {}").format(table))
            connection.execute("delete from waybill.processed_day where dataset = %s", (contract.table,))
    except (errors.DependentObjectsStillExist, errors.WrongObjectType, errors.InsufficientPrivilege):
        return False
    return True


def forget_contracts(connection: Connection, contract: Contract) -> None:
    """Delete the recorded contracts of an unloaded dataset that no file names, and try its rejected files again.

    A draft may then be corrected without a new version.
    """
    connection.execute(
        """
        delete from waybill.contract as c
        where c.dataset = %(dataset)s
          and not exists (
            select from waybill.load_file as f where f.dataset = c.dataset and f.contract_sha256 = c.sha256
          )
        """,
        {"dataset": contract.table},
    )
    connection.execute(
        "update waybill.rejected_file set contract_version = 'replaced' where dataset = %s", (contract.table,)
    )


def _former(connection: Connection, contract: Contract) -> Contract:
    """Return the contract with the load mode of the one that was applied last."""
    query = "select document from waybill.contract where dataset = %s order by contract_id desc limit 1"
    row = connection.execute(query, (contract.table,)).fetchone()
    return replace(contract, load_mode=load_mode_of(row[0])) if row else contract


def _existing(connection: Connection, relations: Iterable[sql.Identifier]) -> list[sql.Identifier]:
    """Return the relations that exist, each once."""
    query = "select to_regclass(%s) is not null"
    by_name = {one.as_string(None): one for one in relations}
    return [one for name, one in by_name.items() if connection.execute(query, (name,)).fetchone() == (True,)]
