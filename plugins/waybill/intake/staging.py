"""Stage the rows of one file in temporary tables of the load's transaction.

Most rows stream straight into a table. Rejected rows, duplicate candidates and rows of other periods are few. They
are written to spill files and settled when the stream has ended.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.files.prefetch import prefetch
from waybill.intake.arrow_buffers import bits_of, numbers_of, rows_where
from waybill.intake.duplicate_candidates import SeenKeys
from waybill.intake.ledger import Books
from waybill.intake.merge import partition
from waybill.intake.profile import FileProfile
from waybill.intake.transfer import SpillFile, copy_batches
from waybill.intake.validate import Reject
from waybill.intake.written_values import fields_sql
from waybill.period import Period
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import as_of_function, columns_sql, definitions, equal_sql, relation, superseded_relation

if TYPE_CHECKING:
    import pyarrow as pa


class Staging:
    """The staged rows of one file, in the temporary tables `incoming` and `candidate`, and in a fresh partition."""

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
        self.rows_read = 0
        self.duplicates: list[int] = []
        """Numbers of the records that repeat an earlier one."""
        self.filtered = array("i")
        """Numbers of the records that the contract's filter leaves out."""
        self.profile = FileProfile(contract, rows)
        """The profile of the valid rows that are not filtered, with those that repeat others."""
        self.good_rows = self.first_rows = 0
        """For contracts with an occurrence column: the valid rows, and those of them with occurrence 1."""
        self._connection = connection
        self._contract = contract
        self._period = period
        self._file_id = file_id
        self._seen = SeenKeys(rows)
        self._rejects, self._candidates, self._outside = (
            SpillFile(folder / name) for name in ("rejects", "candidates", "outside")
        )
        self.late_rejects: list[Reject] = []
        """Valid rows that contradict other rows."""
        self.fresh: sql.Identifier | None = None
        """The new partition into which rows stream, if there is one."""
        for name in ("incoming", "candidate"):
            connection.execute(
                sql.SQL("create temp table {} ({}, _record integer not null) on commit drop").format(
                    sql.Identifier(name), definitions(contract)
                )
            )

    @property
    def places(self) -> list[sql.Identifier]:
        """The tables that hold the first row of each key of the file."""
        return [sql.Identifier("incoming"), *([self.fresh] if self.fresh else [])]

    def use_fresh_partition(self) -> None:
        """Stream into a new table if the period has none: it can take a frozen COPY and then become a partition."""
        contract, period = self._contract, self._period
        if not contract.is_partitioned or period.cadence != "month":
            return
        assert contract.period_column
        table = partition(contract, period)
        (existing,) = one_row(self._connection, "select to_regclass(%s)", (table.as_string(None),))
        if existing:
            return
        day = sql.Identifier(contract.period_column)
        self._connection.execute(
            sql.SQL(
                """
                create table {table} (
                  {definitions},
                  _record integer not null,
                  constraint period check ({day} >= {start} and {day} < {end})
                )
                """
            ).format(
                table=table,
                definitions=definitions(contract),
                day=day,
                start=sql.Literal(period.start),
                end=sql.Literal(period.end),
            )
        )
        self.fresh = table

    def stream(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Copy the rows to PostgreSQL while the file is read, then the rows of the spill files."""
        target = self.fresh or sql.Identifier("incoming")
        rows = copy_batches(self._connection, target, self._routed(batches), freeze=self.fresh is not None)
        if self.fresh:
            self.books.inserted += rows
            self._attach(self.fresh)
        self.books.filtered = len(self.filtered)
        copy_batches(self._connection, sql.Identifier("incoming"), self._outside.read())
        copy_batches(self._connection, sql.Identifier("candidate"), self._candidates.read())
        self._connection.execute("analyze incoming, candidate")

    def _routed(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches without the rows that are routed to spill files.

        These are rejected rows, duplicate candidates and, for a fresh partition, rows of other periods.
        """
        import numpy as np

        loaded = [*self._contract.names, "_record"]
        first_day = np.datetime64(self._period.start, "D").astype(np.int32)
        for batch in prefetch(batches):
            self.rows_read += batch.num_rows
            bad = bits_of(batch.column("_reasons").is_valid())
            candidate = self._seen.candidates(numbers_of(batch.column("_hash"), np.uint64)) & ~bad
            if self._contract.occurrence_column:
                occurrence = numbers_of(batch.column(self._contract.occurrence_column), np.int32)
                self.good_rows += int(np.count_nonzero(~bad))
                self.first_rows += int(np.count_nonzero((occurrence == 1) & ~bad))
            rows, waiting = batch.select(loaded), bad | candidate
            if self._contract.filter_column:
                filtered = bits_of(batch.column("_is_filtered"))
                self.filtered.frombytes(numbers_of(batch.column("_record"), np.int32)[filtered].tobytes())
                candidate, waiting = candidate & ~filtered, waiting | filtered
            if self.fresh:
                days = numbers_of(rows.column(self._contract.period_column), np.int32)
                outside = (days < first_day) & ~waiting
                self._put_aside(self._outside, rows_where(outside, rows))
                waiting |= outside
            self._put_aside(self._candidates, rows_where(candidate, rows))
            self._rejects.write(rows_where(bad, batch.select(["_record", "_reasons", "_raw"])))
            direct = rows_where(~waiting, rows) if np.any(waiting) else rows
            self.profile.add(direct)
            yield direct

    def _put_aside(self, spill: SpillFile, rows: pa.RecordBatch) -> None:
        """Write valid rows to a spill file."""
        spill.write(rows)
        self.profile.add(rows)

    def _attach(self, table: sql.Identifier) -> None:
        """Index the fresh table and attach it to the dataset's table as a partition."""
        contract, period = self._contract, self._period
        for statement in (
            # Columns with the same value in every row are added after the COPY: a constant default rewrites no row.
            "alter table {table} add column _file_id integer not null default {file_id}",
            "alter table {table} add column _delivered date not null default {start}",
            "alter table {table} alter column _file_id drop default, alter column _delivered drop default",
            "set local maintenance_work_mem = '256MB'",
            "alter table {table} add primary key ({key})",
            "alter table {parent} attach partition {table} for values from ({start}) to ({end})",
            "alter table {table} drop constraint period",
            "analyze {table}",
        ):
            self._connection.execute(
                sql.SQL(statement).format(
                    table=table,
                    parent=relation(contract),
                    key=columns_sql(contract.row_key),
                    file_id=sql.Literal(self._file_id),
                    start=sql.Literal(period.start),
                    end=sql.Literal(period.end),
                )
            )

    def settle_candidates(self) -> None:
        """Find out whether each duplicate candidate is the first row of its key, a duplicate, or a contradiction."""
        if not self._candidates.rows:
            return
        contract, connection = self._contract, self._connection
        # The rows to compare with were just written and are cached, so that looking up a few of them is cheap.
        connection.execute("set local random_page_cost = 1.1")
        parts = {
            "columns": columns_sql(contract.names),
            "key": columns_sql(contract.row_key, "s"),
            "same": equal_sql("f", "s", contract.row_key),
            "first_columns": columns_sql(contract.names, "f"),
            "candidate_columns": columns_sql(contract.names, "s"),
            "fields": fields_sql(contract, "s"),
        }

        def in_each_place(statement: str, joint: str) -> sql.Composed:
            """Return the statement for each table that holds first rows, so that each can use its own index."""
            return sql.SQL(joint).join(sql.SQL(statement).format(**parts, place=place) for place in self.places)

        connection.execute(
            sql.SQL(
                """
                with promoted as (
                  insert into incoming ({columns}, _record)
                  select distinct on ({key}) {candidate_columns}, s._record
                  from candidate as s
                  where {is_first}
                  order by {key}, s._record
                  returning _record
                )
                delete from candidate using promoted where candidate._record = promoted._record
                """
            ).format(**parts, is_first=in_each_place("not exists (select from {place} as f where {same})", " and "))
        )
        connection.execute("analyze incoming")
        repeats = in_each_place(
            """
            select
              s._record,
              ({candidate_columns}) is not distinct from ({first_columns}),
              {fields}
            from candidate as s
            inner join {place} as f on {same}
            """,
            " union all ",
        )
        self._settle_repeats(connection.execute(repeats).fetchall())

    def settle_against_file(self) -> None:
        """Settle replayed rows whose key or unique value the loaded file already has."""
        contract = self._contract
        if contract.load_mode == "snapshot":
            stored = sql.SQL("select * from {}({})").format(as_of_function(contract), sql.Literal(self._period.end))
        else:
            stored = sql.SQL(
                """
                select {names} from {} where _file_id = {file_id}
                union all
                select {names} from {} where _file_id = {file_id}
                """
            ).format(
                relation(contract),
                superseded_relation(contract),
                names=columns_sql(contract.names),
                file_id=sql.Literal(self._file_id),
            )
        same = equal_sql("f", "i", contract.row_key)
        self._settle_repeats(
            self._connection.execute(
                sql.SQL(
                    """
                    delete from incoming as i using ({stored}) as f
                    where {same}
                    returning
                      i._record,
                      ({incoming_columns}) is not distinct from ({stored_columns}),
                      {fields}
                    """
                ).format(
                    stored=stored,
                    fields=fields_sql(contract, "i"),
                    same=same,
                    incoming_columns=columns_sql(contract.names, "i"),
                    stored_columns=columns_sql(contract.names, "f"),
                )
            ).fetchall()
        )
        for name in self._unique_columns():
            repeats = self._connection.execute(
                sql.SQL(
                    """
                    delete from incoming as i using ({stored}) as f
                    where f.{column} = i.{column}
                    returning i._record, {fields}
                    """
                ).format(stored=stored, column=sql.Identifier(name), fields=fields_sql(contract, "i"))
            ).fetchall()
            self.late_rejects += [Reject(record, [f"unique:{name}"], raw) for record, raw in repeats]

    def _settle_repeats(self, repeats: Sequence[tuple[int, bool, str]]) -> None:
        """Count equal repeats as duplicates and reject contradictions; each is (record, is equal, fields)."""
        self.duplicates += [record for record, is_equal, _ in repeats if is_equal]
        self.books.duplicate = len(self.duplicates)
        self.late_rejects += [Reject(record, ["conflict"], raw) for record, is_equal, raw in repeats if not is_equal]

    def check_unique_columns(self) -> None:
        """Reject rows that repeat the value of a unique column in an earlier row."""
        for name in self._unique_columns():
            repeats = self._connection.execute(
                sql.SQL(
                    """
                    with numbered as (
                      select i.*, row_number() over (partition by {column} order by _record) as occurrence
                      from incoming as i
                    )
                    delete from incoming as i using numbered as n
                    where i._record = n._record and n.occurrence > 1 and n.{column} is not null
                    returning i._record, {fields}
                    """
                ).format(column=sql.Identifier(name), fields=fields_sql(self._contract, "i"))
            ).fetchall()
            self.late_rejects += [Reject(record, [f"unique:{name}"], raw) for record, raw in repeats]

    def _unique_columns(self) -> list[str]:
        """Return the names of the unique columns, except the key."""
        contract = self._contract
        return [column.name for column in contract.columns if column.unique and [column.name] != contract.key]

    def rejected_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that do not meet the contract, as `_record`, `_reasons` and `_raw`. Call it once."""
        return self._rejects.read()

    def rejects(self) -> Iterator[Reject]:
        """Yield every rejected row with its reasons. Call it once."""
        for batch in self.rejected_batches():
            for row in batch.to_pylist():
                yield Reject(row["_record"], row["_reasons"], row["_raw"])
        yield from self.late_rejects

    def drop_tables(self) -> None:
        """Drop the temporary tables, with the table `outcome` of the merge."""
        self._connection.execute("drop table incoming, candidate, outcome")
