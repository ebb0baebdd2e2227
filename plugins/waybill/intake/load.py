"""Load one received file: one transaction from the first row to balanced books, or nothing at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake import ledger, quarantine
from waybill.intake.landing import LandedFile
from waybill.intake.ledger import Books, Run
from waybill.intake.merge import merge, partition
from waybill.intake.receive import ReceivedFile
from waybill.intake.suspects import SeenKeys
from waybill.intake.transfer import Spool, copy_batches
from waybill.intake.validate import FastReaderFailed, Reject, judge, mend, open_duckdb
from waybill.period import Period
from waybill.warehouse.history import apply_snapshot
from waybill.warehouse.schema import (
    as_of_function,
    columns_sql,
    definitions,
    ensure,
    relation,
    superseded_relation,
)

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


def lock_table(connection: Connection, table: str) -> None:
    """Wait for every other load of the table; the lock goes with the transaction."""
    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"load {table}",))


def reference_values(
    connection: Connection, contract: Contract, contracts: Mapping[str, Contract], period_end: Any
) -> dict[str, pa.Table]:
    """For each referring column the values it may take: all that were delivered before the period's end."""
    import pyarrow as pa

    found = {}
    for column in contract.columns:
        if column.reference is None:
            continue
        dataset, name = column.reference
        target = contracts[dataset]
        since = "valid_from" if target.load_mode == "snapshot" else "_delivered"
        rows = connection.execute(
            sql.SQL("select distinct {} from {} where {} < %s").format(
                sql.Identifier(name), relation(target), sql.Identifier(since)
            ),
            (period_end,),
        ).fetchall()
        found[column.name] = pa.table(
            {name: pa.array([row[0] for row in rows], type=_arrow_type(target, name))}
        )
    return found


def _arrow_type(contract: Contract, name: str) -> Any:
    import pyarrow as pa

    physical = next(column.physical_type for column in contract.columns if column.name == name)
    return {"integer": pa.int32(), "bigint": pa.int64()}.get(physical, pa.string())


def load_file(
    connection: Connection,
    received: ReceivedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    folder: Path,
) -> Books | None:
    """Load one file into its table and return its books, or None if the ledger holds this content already.

    `contracts` are those of the domain, for references. `folder` is scratch space. Everything happens in
    one transaction. Raises `DataError` if more rows are rejected than the contract allows or no count agrees.
    """
    try:
        if received.is_text:
            return _load(connection, received, contract, contracts, run, folder, mended=False)
    except FastReaderFailed as error:
        log.info("%s is read record by record: %s", received.landed.uri, error)
    return _load(connection, received, contract, contracts, run, folder, mended=True)


def _load(
    connection: Connection,
    received: ReceivedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    folder: Path,
    *,
    mended: bool,
) -> Books | None:
    landed = received.landed
    with connection.transaction():
        lock_table(connection, contract.table)
        ensure(connection, contract)
        before = ledger.predecessor(connection, contract, landed)
        if before and before[1] == received.sha256:
            ledger.note_same_content(connection, before[0], received)
            return None
        replaces = before[0] if before else None
        file_id = ledger.open_file(connection, contract, received, run, replaces)
        malformed = mend(received, folder / "mended.csv") if mended else []
        references = reference_values(connection, contract, contracts, landed.period.end)
        loading = Loading(connection, contract, landed.period, file_id, received.rows_in, folder)
        loading.use_fresh_partition()
        with closing(open_duckdb(folder)) as duck:
            path = folder / "mended.csv" if mended else None
            loading.stream(judge(duck, received, contract, landed.period, references, path))
        books = loading.books
        books.rows_in = received.rows_in
        if loading.rows_judged + len(malformed) != received.rows_in:
            message = f"the reader found {loading.rows_judged + len(malformed)} records and the count {received.rows_in}"
            if not mended:
                raise FastReaderFailed(message)
            raise DataError(
                f"{landed.uri}: {message}; nothing was loaded. Look for stray quotes or line ends."
            )
        loading.settle_suspects()
        loading.check_unique_columns()
        if contract.load_mode == "snapshot":
            _refuse_empty_snapshot(connection, received, contract)
        apply_incoming(connection, contract, landed, file_id, replaces=replaces, is_whole=True)
        books.add_outcomes(connection)
        rejects = (reject for source in (malformed, loading.rejects()) for reject in source)
        books.rejected = quarantine.keep(connection, file_id, contract.version, rejects)
        _check_threshold(connection, received, contract, file_id, books)
        connection.execute("drop table incoming, suspect, outcome")
        ledger.close_file(connection, file_id, books)
    log.info("%s: %s", landed.uri, books)
    return books


def _check_threshold(
    connection: Connection, received: ReceivedFile, contract: Contract, file_id: int, books: Books
) -> None:
    if books.rejected * 100 <= contract.reject_threshold_pct * books.rows_in:
        return
    reasons = "; ".join(
        f"{reason} in {rows} rows (first: record {first})"
        for reason, rows, first in quarantine.reason_counts(connection, file_id)[:5]
    )
    raise DataError(
        f"{received.landed.uri}: {books.rejected} of {books.rows_in} rows do not meet the contract of {contract.table} "
        f"{contract.version}, more than the {contract.reject_threshold_pct:g} % it allows; nothing was loaded. "
        f"Reasons: {reasons}. Mend the file and send it again under the same name."
    )


def _refuse_empty_snapshot(connection: Connection, received: ReceivedFile, contract: Contract) -> None:
    if connection.execute("select from incoming limit 1").fetchone() is None:
        raise DataError(
            f"{received.landed.uri}: the snapshot has no row to load ({received.rows_in} records), it would end every "
            f"row of {contract.table}; nothing was loaded. Send the whole snapshot again under the same name."
        )


def apply_incoming(
    connection: Connection,
    contract: Contract,
    landed: LandedFile,
    file_id: int,
    *,
    replaces: int | None,
    is_whole: bool,
) -> None:
    """Bring the temporary table `incoming` into the dataset's table, and leave what became of each row in `outcome`.

    `is_whole` says that a snapshot's rows are all there, so that absent keys have ended.
    """
    if contract.load_mode == "merge":
        merge(
            connection,
            contract,
            file_id=file_id,
            period=landed.period,
            object_key=landed.key,
            replaces=replaces,
        )
        return
    newer = connection.execute(
        "select from waybill.load_file where dataset = %s and period = %s and status = 'loaded' "
        'and object_key collate "C" > %s',
        (contract.table, landed.period.start, landed.key),
    ).fetchone()
    if newer is None:
        apply_snapshot(connection, contract, file_id=file_id, period=landed.period, is_whole=is_whole)
    else:  # another snapshot of the period, with a later name, stands
        connection.execute(
            "create temp table outcome on commit drop as select _record, 'stale' as outcome from incoming"
        )


class Loading:
    """The rows of one file on their way: certain ones stream into a table, the few others wait on disk."""

    def __init__(
        self,
        connection: Connection,
        contract: Contract,
        period: Period,
        file_id: int,
        rows: int,
        folder: Path,
    ) -> None:
        self.books = Books()
        self.rows_judged = 0
        self.duplicates: list[int] = []
        """Records that repeat an earlier one."""
        self._connection = connection
        self._contract = contract
        self._period = period
        self._file_id = file_id
        self._seen = SeenKeys(rows)
        self._rejects, self._suspects, self._outside = (
            Spool(folder / name) for name in ("rejects", "suspects", "outside")
        )
        self._late_rejects: list[Reject] = []
        self._fresh: sql.Identifier | None = None
        for name in ("incoming", "suspect"):
            connection.execute(
                sql.SQL("create temp table {} ({}, _record integer not null) on commit drop").format(
                    sql.Identifier(name), definitions(contract)
                )
            )

    def use_fresh_partition(self) -> None:
        """Stream into a new table if the period has no rows yet: it takes a frozen COPY and becomes a partition."""
        contract, period = self._contract, self._period
        if contract.load_mode != "merge" or period.cadence != "month" or not contract.period_column:
            return
        table = partition(contract, period)
        found = self._connection.execute("select to_regclass(%s)", (table.as_string(None),)).fetchone()
        if found and found[0]:
            return
        day = sql.Identifier(contract.period_column)
        self._connection.execute(
            sql.SQL(
                "create table {table} ({definitions}, _file_id integer not null default {file_id}, "
                "_record integer not null, _delivered date not null default {start}, "
                "constraint period check ({day} >= {start} and {day} < {end}))"
            ).format(
                table=table,
                definitions=definitions(contract),
                file_id=sql.Literal(self._file_id),
                day=day,
                start=sql.Literal(period.start),
                end=sql.Literal(period.end),
            )
        )
        self._fresh = table

    def stream(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Send the certain rows to PostgreSQL while the file is being read, and then those that waited."""
        target = self._fresh or sql.Identifier("incoming")
        rows = copy_batches(
            self._connection, target, self._sorted_out(batches), freeze=self._fresh is not None
        )
        if self._fresh:
            self.books.inserted += rows
            self._attach(self._fresh)
        copy_batches(self._connection, sql.Identifier("incoming"), self._outside.read())
        copy_batches(self._connection, sql.Identifier("suspect"), self._suspects.read())
        self._connection.execute("analyze incoming")

    def _sorted_out(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches without bad rows, suspects and, for a fresh partition, rows of other periods."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        loaded = [*self._contract.names, "_record"]
        first_day = pa.scalar(self._period.start, pa.date32())
        for batch in batches:
            self.rows_judged += batch.num_rows
            bad = batch.column("_reasons").is_valid()
            if bad.true_count:
                self._rejects.write(batch.filter(bad).select(["_record", "_reasons", "_raw"]))
                batch = batch.filter(pc.invert(bad))
            suspect = self._seen.suspects(batch.column("_hash").to_numpy(zero_copy_only=False))
            batch = batch.select(loaded)
            waiting = suspect
            if self._fresh:
                outside = pc.less(batch.column(self._contract.period_column), first_day).to_numpy(
                    zero_copy_only=False
                )
                self._outside.write(batch.filter(pa.array(outside & ~suspect)))
                waiting = suspect | outside
            if waiting.any():
                self._suspects.write(batch.filter(pa.array(suspect)))
                batch = batch.filter(pa.array(~np.asarray(waiting)))
            yield batch

    def _attach(self, table: sql.Identifier) -> None:
        """Index the fresh table and make it a partition of the dataset's table."""
        contract, period = self._contract, self._period
        execute = self._connection.execute
        execute("set local maintenance_work_mem = '256MB'")
        execute(sql.SQL("alter table {} add primary key ({})").format(table, columns_sql(contract.key)))
        execute(
            sql.SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
                relation(contract), table, sql.Literal(period.start), sql.Literal(period.end)
            )
        )
        execute(
            sql.SQL(
                "alter table {} alter column _file_id drop default, alter column _delivered drop default, "
                "drop constraint period"
            ).format(table)
        )

    def settle_suspects(self) -> None:
        """Decide each suspect exactly: first of its key, an equal duplicate, or a contradiction (rejected)."""
        if not self._suspects.rows:
            return
        contract, connection = self._contract, self._connection
        connection.execute("analyze suspect")
        same = sql.SQL(" and ").join(
            sql.SQL("f.{0} = s.{0}").format(sql.Identifier(name)) for name in contract.key
        )
        first_rows = sql.SQL("select {}, _record from incoming").format(columns_sql(contract.names))
        if self._fresh:
            first_rows += sql.SQL(" union all select {}, _record from {}").format(
                columns_sql(contract.names), self._fresh
            )
        parts = {
            "columns": columns_sql(contract.names),
            "key": columns_sql(contract.key, "s"),
            "same": same,
            "first_rows": first_rows,
            "first_columns": columns_sql(contract.names, "f"),
            "suspect_columns": columns_sql(contract.names, "s"),
        }
        connection.execute(
            sql.SQL(
                """
                with first_rows as not materialized ({first_rows}),
                promoted as (
                  insert into incoming ({columns}, _record)
                  select distinct on ({key}) {suspect_columns}, s._record
                  from suspect as s
                  where not exists (select from first_rows as f where {same})
                  order by {key}, s._record
                  returning _record
                )
                delete from suspect using promoted where suspect._record = promoted._record
                """
            ).format(**parts)
        )
        self._sort_repeats(
            connection.execute(
                sql.SQL(
                    """
                    with first_rows as not materialized ({first_rows})
                    select s._record, ({suspect_columns}) is not distinct from ({first_columns}), (to_jsonb(s) - '_record')::text
                    from suspect as s
                    inner join first_rows as f on {same}
                    order by s._record
                    """
                ).format(**parts)
            ).fetchall()
        )

    def settle_against_file(self) -> None:
        """For rows that join a file loaded before: decide those whose key the file has already."""
        contract = self._contract
        if contract.load_mode == "snapshot":
            stored = sql.SQL("select * from {}({})").format(
                as_of_function(contract), sql.Literal(self._period.end)
            )
        else:
            stored = sql.SQL(
                "select * from {} where _file_id = {file_id} union all select * from {} where _file_id = {file_id}"
            )
            stored = stored.format(
                relation(contract), superseded_relation(contract), file_id=sql.Literal(self._file_id)
            )
        same = sql.SQL(" and ").join(
            sql.SQL("f.{0} = i.{0}").format(sql.Identifier(name)) for name in contract.key
        )
        self._sort_repeats(
            self._connection.execute(
                sql.SQL(
                    """
                    delete from incoming as i using ({stored}) as f where {same}
                    returning i._record, ({incoming_columns}) is not distinct from ({stored_columns}),
                      (to_jsonb(i) - '_record')::text
                    """
                ).format(
                    stored=stored,
                    same=same,
                    incoming_columns=columns_sql(contract.names, "i"),
                    stored_columns=columns_sql(contract.names, "f"),
                )
            ).fetchall()
        )

    def _sort_repeats(self, repeats: Sequence[tuple[int, bool, str]]) -> None:
        """Count equal repeats as duplicates and reject contradicting ones; each is (record, is equal, fields)."""
        self.duplicates += [record for record, is_equal, _ in repeats if is_equal]
        self.books.duplicate = len(self.duplicates)
        self._late_rejects += [
            Reject(record, ["conflict"], raw) for record, is_equal, raw in repeats if not is_equal
        ]

    def check_unique_columns(self) -> None:
        """Reject the second and later rows of a snapshot that repeat a unique column."""
        for column in self._contract.columns:
            if not column.unique or [column.name] == self._contract.key:
                continue
            repeats = self._connection.execute(
                sql.SQL(
                    """
                    with numbered as (
                      select i.*, row_number() over (partition by {column} order by _record) as occurrence from incoming as i
                    )
                    delete from incoming as i using numbered as n
                    where i._record = n._record and n.occurrence > 1 and n.{column} is not null
                    returning i._record, (to_jsonb(i) - '_record')::text
                    """
                ).format(column=sql.Identifier(column.name))
            ).fetchall()
            self._late_rejects += [Reject(record, [f"unique:{column.name}"], raw) for record, raw in repeats]

    def rejects(self) -> Iterator[Reject]:
        """Every rejected row with its reasons."""
        for batch in self._rejects.read():
            for row in batch.to_pylist():
                yield Reject(row["_record"], row["_reasons"], row["_raw"])
        yield from self._late_rejects
