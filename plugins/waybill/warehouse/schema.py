"""Tables, views and functions of a contract in PostgreSQL, and their additive evolution.

A snapshot dataset is kept as a type-2 history, a merged dataset as its current rows and the versions that
newer files superseded; of a dataset of changes the rows are the changes of each key. All offer
`<table>_as_of(period_end)`: the rows as known just before that day.
"""

from __future__ import annotations

import logging

from psycopg import Connection, sql

from waybill.contracts import Column, Contract, ContractError
from waybill.contracts.contract import HISTORY_COLUMNS

log = logging.getLogger(__name__)

PROVENANCE = ("_file_id", "_record")
READER_ROLE = "waybill_reader"


def relation(contract: Contract) -> sql.Identifier:
    """The table that loads write to."""
    return sql.Identifier(contract.domain, contract.name + _suffix(contract))


def _suffix(contract: Contract) -> str:
    return {"snapshot": "_history", "changes": "_changes"}.get(contract.load_mode, "")


def superseded_relation(contract: Contract) -> sql.Identifier:
    """The table of a merged dataset's older versions."""
    return sql.Identifier(contract.domain, f"{contract.name}_superseded")


def touched_relation(contract: Contract) -> sql.Identifier:
    """The table of a summary's members that are to be computed again."""
    return sql.Identifier(contract.domain, f"{contract.name}_touched")


def as_of_function(contract: Contract) -> sql.Identifier:
    """The function that gives the rows as known just before a day."""
    return sql.Identifier(contract.domain, f"{contract.name}_as_of")


def subquery(text: str) -> sql.SQL:
    """The statement of a SQL file, to be put between parentheses."""
    return sql.SQL(text.rstrip().rstrip(";"))


def columns_sql(names: list[str], alias: str | None = None) -> sql.Composed:
    """A comma-separated list of quoted columns."""
    quoted = (sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names)
    return sql.SQL(", ").join(quoted)


def changed_sql(columns: sql.Composable, before: sql.Composable, after: sql.Composable) -> sql.Composed:
    """The relation `changed`: the rows, by these columns, of which one of two relations has more than the other."""
    return sql.SQL(
        "((select {columns} from {before} except select {columns} from {after}) "
        "union all (select {columns} from {after} except select {columns} from {before})) as changed"
    ).format(columns=columns, before=before, after=after)


def equal_sql(left: str, right: str, names: list[str]) -> sql.Composed:
    """The condition that two aliases agree in each of the columns."""
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in names
    )


def column_definition(column: Column) -> sql.Composed:
    """`name type [collate "C"] [not null]`: text compares by bytes, three times faster to index than by language."""
    parts = [sql.Identifier(column.name), sql.SQL(column.physical_type)]
    if column.physical_type == "text":
        parts.append(sql.SQL('collate "C"'))
    if column.required:
        parts.append(sql.SQL("not null"))
    return sql.SQL(" ").join(parts)


def definitions(contract: Contract) -> sql.Composed:
    """The business columns' definitions, comma-separated."""
    return sql.SQL(", ").join(column_definition(column) for column in contract.columns)


def _create(contract: Contract) -> list[sql.Composed]:
    table, key = relation(contract), columns_sql(contract.row_key)
    body = definitions(contract)
    create = sql.SQL("create table {} ({}, primary key ({}))").format(table, body, key)
    if contract.load_mode == "report":
        return [create]
    if contract.load_mode == "summary":
        member = sql.SQL(", ").join(column_definition(column) for column in contract.columns if column.key_position)
        touched = sql.SQL("create table {} ({}, primary key ({}))").format(touched_relation(contract), member, key)
        return [create, touched]
    if contract.load_mode == "dimension":
        return [sql.SQL("create table {} ({}, primary key ({}){})").format(table, body, key, _no_overlap(contract))]
    if contract.load_mode == "snapshot":
        equal_keys = sql.SQL(", ").join(sql.SQL("{} with =").format(sql.Identifier(name)) for name in contract.key)
        return [
            sql.SQL(
                "create table {} ({}, valid_from date not null, valid_to date not null default 'infinity', "
                "_file_id integer not null, _record integer not null, primary key ({}, valid_from), "
                "check (valid_from < valid_to), "
                "exclude using gist ({}, daterange(valid_from, valid_to) with &&))"
            ).format(table, body, key, equal_keys)
        ]
    assert contract.period_column
    period_column = sql.Identifier(contract.period_column)
    provenance = sql.SQL("_file_id integer not null, _record integer not null, _delivered date not null")
    superseded = superseded_relation(contract)
    create = sql.SQL("create table {} ({}, {}, primary key ({}))").format(table, body, provenance, key)
    if contract.is_partitioned:
        statements = [sql.SQL("{} partition by range ({})").format(create, period_column)]
    else:
        statements = [create, sql.SQL("create index on {} ({})").format(table, period_column)]
    return [
        *statements,
        sql.SQL("create table {} ({}, {}, primary key ({}, _file_id))").format(superseded, body, provenance, key),
        sql.SQL("create index on {} (_file_id)").format(superseded),
    ]


def _indexes(contract: Contract) -> list[sql.Composed]:
    """The indexes that the contract asks for beside that of the key."""
    return [
        sql.SQL("create index if not exists {} on {} ({} {})").format(
            sql.Identifier(f"{contract.name}_{column.name}_{column.index}"),
            relation(contract),
            sql.Identifier(column.name),
            sql.SQL("desc" if column.index == "descending" else "asc"),
        )
        for column in contract.columns
        if column.index
    ]


def _no_overlap(contract: Contract) -> sql.Composable:
    """The constraint that no two versions of a dimension's member are valid at once."""
    member = next((column.name for column in contract.columns if column.reference), None)
    if member is None:
        return sql.SQL("")
    return sql.SQL(
        ", check (valid_from < valid_to), exclude using gist ({} with =, tstzrange(valid_from, valid_to) with &&)"
    ).format(sql.Identifier(member))


def _readers(contract: Contract) -> list[sql.Composed]:
    """The view of current rows (if the table holds others, too) and the as-of function; replaced with the contract."""
    if not contract.is_dataset:
        return []
    table, function = relation(contract), as_of_function(contract)
    names, types = columns_sql(contract.names), definitions_for_result(contract)
    drop = sql.SQL("drop function if exists {}(date)").format(function)
    head = sql.SQL("create function {}(period_end date) returns table ({}) language sql stable parallel safe").format(
        function, types
    )
    view = sql.Identifier(contract.domain, contract.name)
    drop_view = sql.SQL("drop view if exists {}").format(view)
    if contract.load_mode == "snapshot":
        return [
            drop_view,
            sql.SQL("create view {} as select {} from {} where valid_to = 'infinity'").format(view, names, table),
            drop,
            sql.SQL(
                "{} begin atomic select {} from {} as h "
                "where h.valid_from < period_end and h.valid_to >= period_end; end"
            ).format(head, columns_sql(contract.names, "h"), table),
        ]
    if contract.lands_any_time:
        known = standing_sql(
            contract,
            sql.SQL(
                "(select * from {} as t where t._delivered < period_end "
                "union all select * from {} as u where u._delivered < period_end)"
            ).format(table, superseded_relation(contract)),
        )
        body = sql.SQL("select {} from ({}) as k").format(columns_sql(contract.names, "k"), known)
        return [drop, sql.SQL("{} begin atomic {}; end").format(head, body)]
    # The current row has the greatest order of its key. Where it was delivered too late to be known,
    # the newest of the superseded versions that were known stands for it.
    known = sql.SQL(
        """select {current} from {table} as t where t._delivered < period_end
            union all
            select {old} from (
              select distinct on ({key}) s.*
              from {superseded} as s
              inner join waybill.load_file as f on s._file_id = f.file_id
              where s._delivered < period_end
                and not exists (select from {table} as c where {equal} and c._delivered < period_end)
              order by {key}, f.period desc, f.object_key collate "C" desc
            ) as k"""
    ).format(
        current=columns_sql(contract.names, "t"),
        old=columns_sql(contract.names, "k"),
        table=table,
        superseded=superseded_relation(contract),
        key=columns_sql(contract.row_key, "s"),
        equal=equal_sql("c", "s", contract.row_key),
    )
    if contract.load_mode == "merge":
        return [drop, sql.SQL("{} begin atomic {}; end").format(head, known)]
    return [
        drop_view,
        sql.SQL("create view {} as {}").format(view, _latest(contract, table)),
        drop,
        sql.SQL("{} begin atomic {}; end").format(head, _latest(contract, sql.SQL("({}) as known").format(known))),
    ]


def standing_sql(contract: Contract, source: sql.Composable) -> sql.Composed:
    """Of all deliveries of each key the one that stands, if files may repeat what an earlier one brought.

    In the order of files that is the first of the last run of equal ones: a repetition changes nothing, and a row with
    another content takes over. `source` has the columns of the superseded table.
    """
    return sql.SQL(
        """select distinct on ({key}) {names}, v._file_id, v._record, v._delivered
            from (
              select s.*, f.period, f.object_key,
                row_number() over in_order = 1
                or jsonb_build_array({content}) <> lag(jsonb_build_array({content})) over in_order as is_news
              from {source} as s
              inner join waybill.load_file as f on s._file_id = f.file_id
              window in_order as (partition by {key_of_s} order by f.period, f.object_key collate "C")
            ) as v
            where v.is_news
            order by {key}, v.period desc, v.object_key collate "C" desc"""
    ).format(
        key=columns_sql(contract.key, "v"),
        names=columns_sql(contract.names, "v"),
        content=columns_sql(contract.content, "s"),
        source=source,
        key_of_s=columns_sql(contract.key, "s"),
    )


def _latest(contract: Contract, changes: sql.Composable) -> sql.Composed:
    """Of several changes of a key the one with the greatest version."""
    assert contract.version_column
    return sql.SQL("select distinct on ({key}) {names} from {changes} order by {key}, {version} desc").format(
        key=columns_sql(contract.key),
        names=columns_sql(contract.names),
        changes=changes,
        version=sql.Identifier(contract.version_column),
    )


def definitions_for_result(contract: Contract) -> sql.Composed:
    """`name type` of every column, as a function's result."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.physical_type))
        for column in contract.columns
    )


def _comments(contract: Contract) -> list[sql.Composed]:
    table = relation(contract)
    comments = [sql.SQL("comment on table {} is {}").format(table, sql.Literal(contract.grain or contract.description))]
    comments += [
        sql.SQL("comment on column {} is {}").format(
            sql.Identifier(*table._obj, column.name),
            sql.Literal(column.description),
        )
        for column in contract.columns
    ]
    return comments


def _existing_columns(connection: Connection, contract: Contract) -> dict[str, tuple[str, bool]]:
    """(type, required) of each business column of a table; empty if there is no table."""
    rows = connection.execute(
        "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute "
        "where attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) and attnum > 0 and not attisdropped "
        "and left(attname, 1) <> '_' and attname <> all(%s)",
        (contract.domain, contract.name + _suffix(contract), _history_columns(contract)),
    ).fetchall()
    return {name: (kind.replace("timestamp with time zone", "timestamptz"), required) for name, kind, required in rows}


def _history_columns(contract: Contract) -> list[str]:
    """What a history has beside the contract's columns; elsewhere these names are the contract's own."""
    return [*HISTORY_COLUMNS] if contract.load_mode == "snapshot" else []


def _changed_columns(contract: Contract, existing: dict[str, tuple[str, bool]]) -> list[str]:
    """What the contract says otherwise about columns than the table has it, but for new nullable ones."""
    problems = [
        f"column {name!r} is in the table and not in the contract" for name in existing.keys() - set(contract.names)
    ]
    for column in contract.columns:
        if column.name not in existing:
            if column.required:
                problems.append(f"column {column.name!r} is new and required, so rows that are there cannot have it")
        elif existing[column.name] != (column.physical_type, column.required):
            was = existing[column.name][0] + (" not null" if existing[column.name][1] else "")
            now = column.physical_type + (" not null" if column.required else "")
            problems.append(f"column {column.name!r} is {was} in the table and {now} in the contract")
    return sorted(problems)


def _changed_key(connection: Connection, contract: Contract) -> list[str]:
    """What the contract says otherwise about partitions and key than the table has it."""
    row = connection.execute(
        "select relkind = 'p', array(select attname::text from pg_index inner join pg_attribute "
        "on attrelid = indrelid and attnum = any(indkey) where indrelid = c.oid and indisprimary) "
        "from pg_class as c where oid = to_regclass(format('%%I.%%I', %s::text, %s::text))",
        (contract.domain, contract.name + _suffix(contract)),
    ).fetchone()
    assert row
    is_partitioned, columns = row
    problems = []
    if is_partitioned and not contract.is_partitioned:
        problems.append("the table has partitions, and the contract names no partitioned column")
    if contract.is_partitioned and not is_partitioned:
        problems.append("the table has no partitions, and the contract names a partitioned column")
    was, now = (", ".join(sorted(key)) for key in (set(columns) - {*_history_columns(contract)}, contract.row_key))
    if was != now:
        problems.append(f"the key is {was} in the table and {now} in the contract")
    return problems


def _is_of_another_mode(connection: Connection, contract: Contract) -> bool:
    """Whether the tables that are there were made for another load mode: table and view have changed places."""
    rows = connection.execute(
        "select relname, relkind = 'v' from pg_class inner join pg_namespace as n on n.oid = relnamespace "
        "where nspname = %s and relname = any(%s)",
        (contract.domain, [contract.name, contract.name + _suffix(contract)]),
    ).fetchall()
    is_view: dict[str, bool] = dict(rows)
    if contract.name not in is_view:
        return False
    return is_view.get(contract.name + _suffix(contract), True) or is_view[contract.name] != bool(_suffix(contract))


def missing_columns(connection: Connection, contract: Contract) -> list[Column] | None:
    """The columns that the next load adds to the table that is there; None if there is none. Nothing is changed.

    Raises `ContractError` if the contract needs more than new nullable columns.
    """
    existing: dict[str, tuple[str, bool]] = {}
    if _is_of_another_mode(connection, contract):
        problems = [f"the tables that are there were not made for the loadMode {contract.load_mode!r}"]
    else:
        existing = _existing_columns(connection, contract)
        if not existing:
            return None
        problems = _changed_columns(contract, existing) + _changed_key(connection, contract)
    if problems:
        raise ContractError(
            f"the contract of {contract.table} (version {contract.version}) needs more than new nullable columns: "
            f"{'; '.join(problems)}. Migrate the table by hand, or give the dataset a new name, "
            f"or undo the change in the contract."
        )
    return [column for column in contract.columns if column.name not in existing]


def is_changed_version(connection: Connection, contract: Contract) -> bool:
    """Whether the warehouse knows another contract of the same table and version."""
    other = connection.execute(
        "select from waybill.contract where dataset = %s and version = %s and sha256 <> %s limit 1",
        (contract.table, contract.version, contract.sha256),
    ).fetchone()
    return other is not None


def ensure(connection: Connection, contract: Contract) -> None:
    """Create the contract's table, view and function, or add its new nullable columns; else change nothing.

    Runs in the caller's transaction. Raises `ContractError` for any change that is not additive.
    """

    def is_there() -> bool:
        latest = "select sha256 from waybill.contract where dataset = %s order by contract_id desc limit 1"
        return connection.execute(latest, (contract.table,)).fetchone() == (contract.sha256,)

    if is_there():  # without the lock: the every-day case is free of waiting
        return
    connection.execute("select pg_advisory_xact_lock(hashtext('waybill.contract'))")
    if is_there():  # another run was quicker
        return
    schema = sql.Identifier(contract.domain)
    connection.execute(sql.SQL("create schema if not exists {}").format(schema))
    added = missing_columns(connection, contract)
    if added is None:
        statements = _create(contract)
    else:
        tables = [relation(contract)] + ([superseded_relation(contract)] if contract.is_merged else [])
        statements = [
            sql.SQL("alter table {} add column {}").format(table, column_definition(column))
            for table in tables
            for column in added
        ]
    grants = [
        sql.SQL("grant usage on schema {} to {}").format(schema, sql.Identifier(READER_ROLE)),
        sql.SQL("grant select on all tables in schema {} to {}").format(schema, sql.Identifier(READER_ROLE)),
    ]
    for statement in [*statements, *_indexes(contract), *_readers(contract), *_comments(contract), *grants]:
        connection.execute(statement)
    if is_changed_version(connection, contract):
        log.warning("the contract of %s has changed and is still version %s", contract.table, contract.version)
    connection.execute(
        "insert into waybill.contract (dataset, version, sha256, document) values (%s, %s, %s, %s)",
        (contract.table, contract.version, contract.sha256, contract.document),
    )


def ensure_domain(connection: Connection, contracts: dict[str, Contract]) -> None:
    """`ensure` each contract of a domain; datasets first, because reports' checks read them."""
    for contract in sorted(contracts.values(), key=lambda item: not item.is_dataset):
        ensure(connection, contract)
