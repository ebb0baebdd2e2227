"""The rows of one file on their way into the warehouse, in temporary tables of the load's transaction.

Certain rows stream on; the few that must wait (bad rows, suspected repeats, rows of other periods) are
spooled to disk and settled exactly when the stream has ended.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.intake.duplicate_candidates import SeenKeys
from waybill.intake.ledger import Books
from waybill.intake.merge import partition
from waybill.intake.prefetch import ahead
from waybill.intake.transfer import SpillFile, copy_batches
from waybill.intake.validate import Reject
from waybill.period import Period
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import as_of_function, columns_sql, definitions, equal_sql, relation, superseded_relation

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Staging:
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
        self.filtered = array("i")
        """Records with a value that nobody asked for."""
        self.good_rows = self.first_rows = 0
        """Where an occurrence tells rows apart: the rows that meet the contract, and those of occurrence 1."""
        self._connection = connection
        self._contract = contract
        self._period = period
        self._file_id = file_id
        self._seen = SeenKeys(rows)
        self._rejects, self._suspects, self._outside = (
            SpillFile(folder / name) for name in ("rejects", "suspects", "outside")
        )
        self.late_rejects: list[Reject] = []
        """Rows that are good by themselves and contradict others."""
        self.fresh: sql.Identifier | None = None
        """The new partition that rows stream into, if there is one."""
        for name in ("incoming", "suspect"):
            connection.execute(
                sql.SQL("create temp table {} ({}, _record integer not null) on commit drop").format(
                    sql.Identifier(name), definitions(contract)
                )
            )

    @property
    def places(self) -> list[sql.Identifier]:
        """The tables that the file's rows are in, the first of each key."""
        return [sql.Identifier("incoming"), *([self.fresh] if self.fresh else [])]

    def use_fresh_partition(self) -> None:
        """Stream into a new table if the period has no rows yet: it takes a frozen COPY and becomes a partition."""
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
                "create table {table} ({definitions}, _record integer not null, "
                "constraint period check ({day} >= {start} and {day} < {end}))"
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
        """Send the certain rows to PostgreSQL while the file is being read, and then those that waited."""
        target = self.fresh or sql.Identifier("incoming")
        rows = copy_batches(self._connection, target, self._sorted_out(batches), freeze=self.fresh is not None)
        if self.fresh:
            self.books.inserted += rows
            self._attach(self.fresh)
        self.books.filtered = len(self.filtered)
        copy_batches(self._connection, sql.Identifier("incoming"), self._outside.read())
        copy_batches(self._connection, sql.Identifier("suspect"), self._suspects.read())
        self._connection.execute("analyze incoming, suspect")

    def _sorted_out(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches without bad rows, suspects and, for a fresh partition, rows of other periods."""
        import numpy as np

        loaded = [*self._contract.names, "_record"]
        first_day = np.datetime64(self._period.start, "D").astype(np.int32)
        for batch in ahead(batches):
            self.rows_judged += batch.num_rows
            bad = _bits(batch.column("_reasons").is_valid())
            suspect = self._seen.suspects(_numbers(batch.column("_hash"), np.uint64)) & ~bad
            if self._contract.occurrence_column:
                occurrence = _numbers(batch.column(self._contract.occurrence_column), np.int32)
                self.good_rows += int(np.count_nonzero(~bad))
                self.first_rows += int(np.count_nonzero((occurrence == 1) & ~bad))
            rows, waiting = batch.select(loaded), bad | suspect
            if self._contract.filter_column:
                filtered = _bits(batch.column("_is_filtered"))
                self.filtered.frombytes(_numbers(batch.column("_record"), np.int32)[filtered].tobytes())
                suspect, waiting = suspect & ~filtered, waiting | filtered
            if self.fresh:
                days = _numbers(rows.column(self._contract.period_column), np.int32)
                outside = (days < first_day) & ~waiting
                self._outside.write(_where(outside, rows))
                waiting |= outside
            self._suspects.write(_where(suspect, rows))
            self._rejects.write(_where(bad, batch.select(["_record", "_reasons", "_raw"])))
            yield _where(~waiting, rows) if np.any(waiting) else rows

    def _attach(self, table: sql.Identifier) -> None:
        """Index the fresh table and make it a partition of the dataset's table."""
        contract, period = self._contract, self._period
        for statement in (
            # What is the same in every row is added after the COPY: a constant default rewrites nothing.
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

    def settle_suspects(self) -> None:
        """Decide each suspect exactly: first of its key, an equal duplicate, or a contradiction (rejected)."""
        if not self._suspects.rows:
            return
        contract, connection = self._contract, self._connection
        # The rows to compare with were written a moment ago: looking few of them up is cheap.
        connection.execute("set local random_page_cost = 1.1")
        parts = {
            "columns": columns_sql(contract.names),
            "key": columns_sql(contract.row_key, "s"),
            "same": equal_sql("f", "s", contract.row_key),
            "first_columns": columns_sql(contract.names, "f"),
            "suspect_columns": columns_sql(contract.names, "s"),
        }

        def in_each_place(statement: str, joint: str) -> sql.Composed:
            """The statement for each table that first rows are in: apart, each can use its own index."""
            return sql.SQL(joint).join(sql.SQL(statement).format(**parts, place=place) for place in self.places)

        connection.execute(
            sql.SQL(
                """
                with promoted as (
                  insert into incoming ({columns}, _record)
                  select distinct on ({key}) {suspect_columns}, s._record
                  from suspect as s
                  where {is_first}
                  order by {key}, s._record
                  returning _record
                )
                delete from suspect using promoted where suspect._record = promoted._record
                """
            ).format(**parts, is_first=in_each_place("not exists (select from {place} as f where {same})", " and "))
        )
        connection.execute("analyze incoming")
        repeats = in_each_place(
            "select s._record, ({suspect_columns}) is not distinct from ({first_columns}), "
            "(to_jsonb(s) - '_record')::text from suspect as s inner join {place} as f on {same}",
            " union all ",
        )
        self._sort_repeats(connection.execute(repeats).fetchall())

    def settle_against_file(self) -> None:
        """For rows that join a file loaded before: decide those whose key or unique value the file has already."""
        contract = self._contract
        if contract.load_mode == "snapshot":
            stored = sql.SQL("select * from {}({})").format(as_of_function(contract), sql.Literal(self._period.end))
        else:
            stored = sql.SQL(
                "select {names} from {} where _file_id = {file_id} union all "
                "select {names} from {} where _file_id = {file_id}"
            ).format(
                relation(contract),
                superseded_relation(contract),
                names=columns_sql(contract.names),
                file_id=sql.Literal(self._file_id),
            )
        same = equal_sql("f", "i", contract.row_key)
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
        for name in self._unique_columns():
            repeats = self._connection.execute(
                sql.SQL(
                    "delete from incoming as i using ({stored}) as f where f.{column} = i.{column} "
                    "returning i._record, (to_jsonb(i) - '_record')::text"
                ).format(stored=stored, column=sql.Identifier(name))
            ).fetchall()
            self.late_rejects += [Reject(record, [f"unique:{name}"], raw) for record, raw in repeats]

    def _sort_repeats(self, repeats: Sequence[tuple[int, bool, str]]) -> None:
        """Count equal repeats as duplicates and reject contradicting ones; each is (record, is equal, fields)."""
        self.duplicates += [record for record, is_equal, _ in repeats if is_equal]
        self.books.duplicate = len(self.duplicates)
        self.late_rejects += [Reject(record, ["conflict"], raw) for record, is_equal, raw in repeats if not is_equal]

    def check_unique_columns(self) -> None:
        """Reject the second and later rows of a snapshot that repeat a unique column."""
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
                    returning i._record, (to_jsonb(i) - '_record')::text
                    """
                ).format(column=sql.Identifier(name))
            ).fetchall()
            self.late_rejects += [Reject(record, [f"unique:{name}"], raw) for record, raw in repeats]

    def _unique_columns(self) -> list[str]:
        """Names of the unique columns beside the key."""
        contract = self._contract
        return [column.name for column in contract.columns if column.unique and [column.name] != contract.key]

    def judged_rejects(self) -> Iterator[pa.RecordBatch]:
        """The rows that do not meet the contract, as `_record`, `_reasons` and `_raw`; to be asked for once."""
        return self._rejects.read()

    def rejects(self) -> Iterator[Reject]:
        """Every rejected row with its reasons; to be asked for once."""
        for batch in self.judged_rejects():
            for row in batch.to_pylist():
                yield Reject(row["_record"], row["_reasons"], row["_raw"])
        yield from self.late_rejects


# Between Arrow and numpy by their buffers: pyarrow's own ways import pandas, which takes time and tens of MiB.


def _numbers(values: pa.Array, kind: type[np.generic]) -> np.ndarray:
    """An Arrow array of numbers or dates as numpy; where it is null, any number."""
    import numpy as np

    return np.frombuffer(values.buffers()[1], kind)[values.offset : values.offset + len(values)]


def _bits(values: pa.Array) -> np.ndarray:
    """An Arrow array of booleans as numpy."""
    import numpy as np

    bits = np.unpackbits(np.frombuffer(values.buffers()[1], np.uint8), bitorder="little")
    return bits[values.offset : values.offset + len(values)].view(np.bool_)


def _where(mask: np.ndarray, rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows whose mask is true."""
    import numpy as np
    import pyarrow as pa

    bits = pa.py_buffer(np.packbits(mask, bitorder="little"))
    return rows.filter(pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits]))
