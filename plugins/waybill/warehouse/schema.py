"""The PostgreSQL tables, views and functions of a contract.

A snapshot dataset is a type-2 history. A merged dataset has a table of current rows and one of superseded versions; in
a dataset of changes each row is a change of a key. All datasets have a function `<table>_as_of(period_end)`, which
returns the rows as known just before that day, or fails if the retention has removed what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from waybill.contracts import Column, Contract
from waybill.contracts.classification import restricted_names, unrestricted
from waybill.warehouse.file_order import order_sql

PROVENANCE = ("_file_id", "_record")
READER_ROLE = "waybill_reader"
ANALYST_ROLE = "waybill_analyst"
"""The role that may select all columns except restricted ones. `waybill.warehouse.analysts` grants them."""
LONG_TYPES = {
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
"""The names that PostgreSQL reports for types, where contracts use a shorter one."""
LAYOUT = 4
"""The version of views, functions and grants. Raise it when they change, so that the next load makes them again."""
ON_SPARK = 0
"""What takes the place of the layout for a dataset on Spark, which has no tables in PostgreSQL."""


def relation(contract: Contract) -> sql.Identifier:
    """Return the table to which loads write."""
    return sql.Identifier(contract.domain, contract.name + _suffix(contract))


def _suffix(contract: Contract) -> str:
    return {"snapshot": "_history", "changes": "_changes"}.get(contract.load_mode, "")


def superseded_relation(contract: Contract) -> sql.Identifier:
    """Return the table of a merged dataset's superseded versions."""
    return sql.Identifier(contract.domain, f"{contract.name}_superseded")


def changed_keys_relation(contract: Contract) -> sql.Identifier:
    """Return the table of a summary's changed keys, which the next build computes again."""
    return sql.Identifier(contract.domain, f"{contract.name}_touched")


def tables_of(contract: Contract) -> list[sql.Identifier]:
    """Return the tables that hold the rows of a contract, without partitions."""
    others = {
        "summary": [changed_keys_relation(contract)],
        "feature": [sql.Identifier(contract.domain, f"{contract.name}_{one}") for one in ("log", "latest")],
    }.get(contract.load_mode, [])
    return [relation(contract), *([superseded_relation(contract)] if contract.is_merged else others)]


def as_of_function(contract: Contract) -> sql.Identifier:
    """Return the function that selects the rows as known just before a day."""
    return sql.Identifier(contract.domain, f"{contract.name}_as_of")


def unrestricted_view(contract: Contract) -> sql.Identifier:
    """Return the view of a table without its restricted columns. Only tables with restricted columns have one."""
    return sql.Identifier(contract.domain, f"{contract.name}_unrestricted")


def unrestricted_as_of_function(contract: Contract) -> sql.Identifier:
    """Return the as-of function of a dataset without its restricted columns."""
    return sql.Identifier(contract.domain, f"{contract.name}_unrestricted_as_of")


def subquery(text: str) -> sql.SQL:
    """Return the statement of an SQL file without its semicolon, for use in parentheses."""
    return sql.SQL(text.rstrip().rstrip(";"))


def columns_sql(names: list[str], alias: str | None = None) -> sql.Composed:
    """Return a comma-separated list of quoted columns."""
    quoted = (sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names)
    return sql.SQL(", ").join(quoted)


def json_sql(names: list[str], alias: str | None = None) -> sql.Composed:
    """Return the expression of a JSON array with the values of columns. PostgreSQL's functions take 100 arguments."""
    parts = [names[first : first + 100] for first in range(0, len(names), 100)] or [[]]
    arrays = (sql.SQL("jsonb_build_array({})").format(columns_sql(part, alias)) for part in parts)
    return sql.SQL("({})").format(sql.SQL(" || ").join(arrays))


def changed_sql(columns: sql.Composable, before: sql.Composable, after: sql.Composable) -> sql.Composed:
    """Return the relation `changed`: the rows, by these columns, that only one of two relations has."""
    return sql.SQL(
        """(
          (select {columns} from {before} except select {columns} from {after})
          union all
          (select {columns} from {after} except select {columns} from {before})
        ) as changed"""
    ).format(columns=columns, before=before, after=after)


def equal_sql(left: str, right: str, names: list[str]) -> sql.Composed:
    """Return the condition that two aliases have equal values in each of the columns."""
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in names
    )


def column_definition(column: Column) -> sql.Composed:
    """Return `name type [collate "C"] [not null]`.

    Text compares by bytes: indexing it is three times as fast as with the rules of a language.
    """
    parts = [sql.Identifier(column.name), sql.SQL(column.physical_type)]
    if column.physical_type == "text":
        parts.append(sql.SQL('collate "C"'))
    if column.required:
        parts.append(sql.SQL("not null"))
    return sql.SQL(" ").join(parts)


def definitions(contract: Contract) -> sql.Composed:
    """Return the definitions of the contract's columns, comma-separated."""
    return sql.SQL(", ").join(column_definition(column) for column in contract.columns)


def create_statements(contract: Contract) -> list[sql.Composed]:
    """Return the statements that create the contract's tables."""
    table, key = relation(contract), columns_sql(contract.row_key)
    body = definitions(contract)
    create = sql.SQL("create table {} ({}, primary key ({}))").format(table, body, key)
    if contract.load_mode in ("report", "feature"):
        return [create]
    if contract.load_mode == "summary":
        member = sql.SQL(", ").join(column_definition(column) for column in contract.columns if column.key_position)
        changed_keys = changed_keys_relation(contract)
        return [create, sql.SQL("create table {} ({}, primary key ({}))").format(changed_keys, member, key)]
    if contract.load_mode == "dimension":
        return [sql.SQL("create table {} ({}, primary key ({}){})").format(table, body, key, _no_overlap(contract))]
    if contract.load_mode == "snapshot":
        equal_keys = sql.SQL(", ").join(sql.SQL("{} with =").format(sql.Identifier(name)) for name in contract.key)
        return [
            sql.SQL(
                """
                create table {} (
                  {},
                  valid_from date not null,
                  valid_to date not null default 'infinity',
                  _file_id integer not null,
                  _record integer not null,
                  primary key ({}, valid_from),
                  check (valid_from < valid_to),
                  exclude using gist ({}, daterange(valid_from, valid_to) with &&)
                )
                """
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
    """Return the statements that create the contract's indexes, except that of the key."""
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
    """Return the constraint that the versions of a dimension's member do not overlap."""
    member = next((column.name for column in contract.columns if column.reference), None)
    if member is None:
        return sql.SQL("")
    return sql.SQL(
        ", check (valid_from < valid_to), exclude using gist ({} with =, tstzrange(valid_from, valid_to) with &&)"
    ).format(sql.Identifier(member))


def drop_readers(contract: Contract) -> list[sql.Composed]:
    """Return the statements that drop the views and as-of functions of a table."""
    drops = drop_unrestricted_readers(contract)
    if _suffix(contract):
        drops.append(sql.SQL("drop view if exists {}").format(sql.Identifier(contract.domain, contract.name)))
    if contract.is_dataset:
        drops.append(sql.SQL("drop function if exists {}(date)").format(as_of_function(contract)))
    return drops


def drop_unrestricted_readers(contract: Contract) -> list[sql.Composed]:
    """Return the statements that drop the view and the as-of function without restricted columns."""
    return [
        sql.SQL("drop view if exists {}").format(unrestricted_view(contract)),
        sql.SQL("drop function if exists {}(date)").format(unrestricted_as_of_function(contract)),
    ]


def _readers(contract: Contract) -> list[sql.Composed]:
    """Return the statements that create the view of current rows, if the table has others, and the as-of function."""
    if not contract.is_dataset:
        return []
    table, function = relation(contract), as_of_function(contract)
    names, types = columns_sql(contract.names), definitions_for_result(contract.columns)
    head = sql.SQL("create function {}(_period_end date) returns table ({}) language sql stable parallel safe").format(
        function, types
    )
    view = sql.Identifier(contract.domain, contract.name)
    is_kept = sql.SQL("waybill.is_kept({}, _period_end)").format(sql.Literal(contract.table))
    if contract.load_mode == "snapshot":
        return [
            sql.SQL("create view {} as select {} from {} where valid_to = 'infinity'").format(view, names, table),
            sql.SQL(
                "{} begin atomic select {} from {} as h "
                "where h.valid_from < _period_end and h.valid_to >= _period_end and {}; end"
            ).format(head, columns_sql(contract.names, "h"), table, is_kept),
        ]
    if contract.lands_any_time:
        known = current_sql(
            contract,
            sql.SQL(
                "(select * from {} as t where t._delivered < _period_end "
                "union all select * from {} as u where u._delivered < _period_end)"
            ).format(table, superseded_relation(contract)),
        )
        body = sql.SQL("select {} from ({}) as k where {}").format(columns_sql(contract.names, "k"), known, is_kept)
        return [sql.SQL("{} begin atomic {}; end").format(head, body)]
    # The current row is the last one of its key in the order of files. If it was delivered on the day or later,
    # the newest superseded version that was delivered before the day is selected instead.
    known = sql.SQL(
        """select {current} from {table} as t where t._delivered < _period_end and {is_kept}
            union all
            select {old} from (
              select distinct on ({key}) s.*
              from {superseded} as s
              inner join waybill.load_file as f on s._file_id = f.file_id
              where s._delivered < _period_end and {is_kept}
                and not exists (select from {table} as c where {equal} and c._delivered < _period_end)
              order by {key}, {newest_first}
            ) as k"""
    ).format(
        current=columns_sql(contract.names, "t"),
        old=columns_sql(contract.names, "k"),
        table=table,
        superseded=superseded_relation(contract),
        key=columns_sql(contract.row_key, "s"),
        newest_first=order_sql(contract, "f", descending=True),
        equal=equal_sql("c", "s", contract.row_key),
        is_kept=is_kept,
    )
    if contract.load_mode == "merge":
        return [sql.SQL("{} begin atomic {}; end").format(head, known)]
    return [
        sql.SQL("create view {} as {}").format(view, _latest(contract, table)),
        sql.SQL("{} begin atomic {}; end").format(head, _latest(contract, sql.SQL("({}) as known").format(known))),
    ]


def _unrestricted_readers(contract: Contract) -> list[sql.Composed]:
    """Return the statements that create the view and the as-of function without restricted columns, if there are any.

    An as-of function compares whole rows, so this one runs with the rights of its owner, as views do. It takes a date
    only, and nobody but the granted roles may call it.
    """
    kept = unrestricted(contract)
    if not kept or not restricted_names(contract):
        return []
    names = columns_sql([column.name for column in kept])
    statements = [
        sql.SQL("create view {} as select {} from {}").format(
            unrestricted_view(contract), names, sql.Identifier(contract.domain, contract.name)
        )
    ]
    if contract.is_dataset:
        function = unrestricted_as_of_function(contract)
        statements += [
            sql.SQL(
                "create function {}(_period_end date) returns table ({}) language sql stable parallel safe "
                "security definer set search_path = pg_catalog, pg_temp "
                "begin atomic select {} from {}(_period_end) as k; end"
            ).format(
                function,
                definitions_for_result(kept),
                columns_sql([one.name for one in kept], "k"),
                as_of_function(contract),
            ),
            sql.SQL("revoke all on function {}(date) from public").format(function),
            sql.SQL("grant execute on function {}(date) to {}").format(function, sql.Identifier(READER_ROLE)),
        ]
    return statements


def current_sql(contract: Contract, source: sql.Composable) -> sql.Composed:
    """Return the query for the current delivery of each key, for datasets whose files may repeat earlier rows.

    In the order of files, this is the first delivery of the last run of equal ones. `source` has the columns of the
    superseded table.
    """
    return sql.SQL(
        """select distinct on ({key}) {names}, v._file_id, v._record, v._delivered
            from (
              select s.*, row_number() over in_order as _place,
                row_number() over in_order = 1
                or {content} <> lag({content}) over in_order as _is_news
              from {source} as s
              inner join waybill.load_file as f on s._file_id = f.file_id
              window in_order as (partition by {key_of_s} order by {order})
            ) as v
            where v._is_news
            order by {key}, v._place desc"""
    ).format(
        key=columns_sql(contract.key, "v"),
        names=columns_sql(contract.names, "v"),
        content=json_sql(contract.content, "s"),
        source=source,
        order=order_sql(contract, "f"),
        key_of_s=columns_sql(contract.key, "s"),
    )


def _latest(contract: Contract, changes: sql.Composable) -> sql.Composed:
    """Return the query for the change with the greatest version of each key."""
    assert contract.version_column
    return sql.SQL("select distinct on ({key}) {names} from {changes} order by {key}, {version} desc").format(
        key=columns_sql(contract.key),
        names=columns_sql(contract.names),
        changes=changes,
        version=sql.Identifier(contract.version_column),
    )


def definitions_for_result(columns: Iterable[Column]) -> sql.Composed:
    """Return `name type` of every column, comma-separated, for the result of a function."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.physical_type)) for column in columns
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


def derived_statements(contract: Contract) -> list[sql.Composed]:
    """Return the statements for indexes, views, functions, comments and the grants to readers."""
    schema, reader = sql.Identifier(contract.domain), sql.Identifier(READER_ROLE)
    grants = [
        sql.SQL("grant usage on schema {} to {}").format(schema, reader),
        sql.SQL("grant select on all tables in schema {} to {}").format(schema, reader),
    ]
    readers = [*drop_readers(contract), *_readers(contract), *_unrestricted_readers(contract)]
    return [*_indexes(contract), *readers, *_comments(contract), *grants]
