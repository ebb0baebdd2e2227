"""After the retention of the history, every question about its horizon or a later day has the same answer as before.

A warehouse whose former states were removed is compared with one that keeps everything, for random files, corrections
and withdrawals, before and after the retention. What would change the past is refused, and skipped in the other one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from support.landing import CUSTOMERS, LANDED_AT, TRAFFIC, MemoryBucket, csv_body
from support.messaging_months import RUN
from support.order_files import LINES, Line
from support.order_files import body as body_of_lines
from support.shop_landing import LAYOUTS, SHOP
from waybill.contracts import Contract, load_domain
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest_file
from waybill.outputs.lake import _rows_of
from waybill.period import Period
from waybill.retention.history import remove_history
from waybill.retention.removal import Removal
from waybill.warehouse.connection import BEFORE_HORIZON
from waybill.warehouse.schema import as_of_function, columns_sql, relation, tables_of

Row = tuple[int, int]
"""(key, value)"""
Step = tuple[int, str, list[Row] | None, int]
"""(period, file, rows, landing); without rows, the file is withdrawn."""


@dataclass(frozen=True)
class Case:
    """A dataset of one load mode, with four periods."""

    contract: Contract
    starts: tuple[str, ...]
    body: Callable[[Period, list[Row]], bytes]

    @property
    def periods(self) -> list[Period]:
        return [Period.parse(self.contract.cadence, start) for start in self.starts]

    @property
    def questions(self) -> list[date]:
        return [day for period in self.periods for day in (period.start, period.end - timedelta(days=1), period.end)]

    @property
    def lake_days(self) -> list[date]:
        return [period.start + timedelta(days=days) for period in self.periods for days in (0, 8, 16, 24)]


MESSAGING = load_domain("messaging")
MONTHS = ("2026-01", "2026-02", "2026-03", "2026-04")
DAYS = ("2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31")
CHANGED_AT = datetime(2026, 3, 27, tzinfo=UTC)
CUSTOMER = LAYOUTS["customers"]
CASES = {
    "snapshot": Case(
        MESSAGING["customers"],
        MONTHS,
        lambda _, rows: csv_body(
            CUSTOMERS,
            [f"{key},1,Name {value},Startup,Retail,DE,2020-01-31" for key, value in dict(rows or [(1, 1)]).items()],
        ),
    ),
    "merge": Case(
        replace(MESSAGING["traffic"], reject_threshold_pct=100),
        MONTHS,
        lambda _, rows: csv_body(TRAFFIC, [f"7,2025-12-31,1,{key},1,10,{value}" for key, value in rows]),
    ),
    "changes": Case(  # the two keys are two changes of one customer
        SHOP["customers"],
        DAYS,
        lambda _, rows: csv_body(
            LAYOUTS["customers"].header,
            [LAYOUTS["customers"].line(1, CHANGED_AT + timedelta(hours=key), value) for key, value in rows],
        ),
    ),
    "monthly changes": Case(  # of several days of the month, which are days of the lake
        replace(SHOP["customers"], cadences=("month",)),
        MONTHS,
        lambda period, rows: csv_body(
            CUSTOMER.header,
            [
                CUSTOMER.line(1, datetime.combine(period.start, time(12), UTC) + timedelta(days=8 * key), value)
                for key, value in rows
            ],
        ),
    ),
    "deliveries": Case(
        LINES, DAYS, lambda _, rows: body_of_lines(*(Line(order=str(key), quantity=str(value)) for key, value in rows))
    ),
}
ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), max_size=3)
NAMES = ["a.csv", "b.csv"]
STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(NAMES), st.one_of(ROWS, ROWS, st.none()), st.integers(0, 2)),
    min_size=1,
    max_size=7,
)


@dataclass
class Warehouse:
    """The files of a dataset, and the warehouse into which they are loaded."""

    connection: Connection
    case: Case
    horizon: date | None = None
    is_removed: bool = False
    bucket: MemoryBucket = field(default_factory=MemoryBucket)
    files: dict[tuple[int, str], LandedFile] = field(default_factory=dict)

    def take(self, step: Step) -> str:
        """Do a step and what the next run would do; return the outcome, without what the horizon refuses."""
        number, name, rows, landing = step
        period = self.case.periods[number]
        is_final = self.horizon is not None and period.start < self.horizon
        if rows is None:
            return self._withdraw(number, name, is_final=is_final)
        before = self.files.get((number, name))
        landed_at = LANDED_AT + timedelta(hours=landing)
        body = self.case.body(period, rows)
        file = self._put(period, name, body, landed_at)
        if before and before.etag == file.etag:
            self._put(period, name, body, before.landed_at)
            assert self._load(before) is None, "the same content again is no load, also before the horizon"
            return "same"
        if is_final:
            if self.is_removed:
                with pytest.raises(DataError, match=f"the history of .* is kept since {self.horizon}"):
                    self._load(file)
            if before:  # its former content is put back
                self.bucket._bodies[file.key] = self.bodies[number, name]
            return "refused"
        self.files[number, name], self.bodies[number, name] = file, body
        self._load(file)
        self._load_released()
        return "loaded"

    bodies: dict[tuple[int, str], bytes] = field(default_factory=dict)

    def _put(self, period: Period, name: str, body: bytes, landed_at: datetime) -> LandedFile:
        contract = self.case.contract
        return self.bucket.put(contract.domain, contract.name, period, body, name, landed_at)

    def _load(self, file: LandedFile) -> Any:
        contract = self.case.contract
        return ingest_file(self.connection, self.bucket, file, contract, load_domain(contract.domain), RUN)

    def _withdraw(self, number: int, name: str, *, is_final: bool) -> str:
        known = self.files.get((number, name))
        if known is None or (is_final and not self.is_removed):
            return "refused" if known else "unknown"
        body = self.bodies[number, name]
        self.bucket.delete(known.key)
        file = withdrawal.find_loaded(self.connection, known.key)
        if is_final:
            with pytest.raises(DataError, match=f"cannot be withdrawn: .* kept since {self.horizon}"):
                withdrawal.withdraw(self.connection, self.bucket, self.case.contract, file)
            self.bucket._bodies[known.key] = body
            return "refused"
        withdrawal.withdraw(self.connection, self.bucket, self.case.contract, file)
        del self.files[number, name], self.bodies[number, name]
        self._load_released()
        return "withdrawn"

    def _load_released(self) -> None:
        """Load the files again that the ledger no longer holds as loaded, as the next run does."""
        loaded = {
            key
            for (key,) in self.connection.execute(
                "select object_key from waybill.load_file where dataset = %s and status = 'loaded'",
                (self.case.contract.table,),
            )
        }
        for file in self.files.values():
            if file.key not in loaded:
                self._load(file)

    def answers(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows as known at each question since the horizon, and the current ones."""
        contract = self.case.contract
        names = columns_sql(contract.names)
        found = {
            str(day): sorted(self._rows(sql.SQL("select {} from {}({})"), names, as_of_function(contract), day))
            for day in self.case.questions
            if self._is_kept(day)
        }
        current = sql.Identifier(contract.domain, contract.name)
        if contract.load_mode in ("snapshot", "changes"):
            found |= {f"lake {day}": self._in_lake(names, day) for day in self.case.lake_days if self._is_kept(day)}
        found["now"] = sorted(map(repr, self.connection.execute(sql.SQL("select {} from {}").format(names, current))))  # type: ignore[type-var]
        return found

    def _is_kept(self, day: date) -> bool:
        return self.horizon is None or day >= self.horizon

    def _in_lake(self, names: sql.Composable, day: date) -> list[Any]:
        """Return the rows that the lake would write of a day."""
        query = sql.SQL("select {} {}").format(names, _rows_of(self.case.contract, day))
        return sorted(map(repr, self.connection.execute(query).fetchall()))

    def _rows(self, query: sql.SQL, names: sql.Composable, function: sql.Composable, day: date) -> list[Any]:
        rows = self.connection.execute(query.format(names, function, sql.Literal(day))).fetchall()
        return list(map(repr, rows))

    def remove(self, horizon: date, *, dry_run: bool = False) -> list[Removal]:
        found = [*remove_history(self.connection, self.case.contract, horizon, RUN, dry_run=dry_run)]
        if not dry_run:
            horizon = Period.of(self.case.contract.cadence, horizon).start
            self.horizon, self.is_removed = horizon, True
        return found

    def sizes(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        found = {}
        for table in tables_of(self.case.contract):
            row = self.connection.execute(sql.SQL("select count(*) from {}").format(table)).fetchone()
            found[table.as_string(None).replace('"', "")] = row[0] if row else 0
        return found

    def check_books(self) -> None:
        assert (
            self.connection.execute(
                "select from waybill.load_file where rows_in <> inserted + updated + unchanged + rejected + duplicate "
                "+ stale + filtered"
            ).fetchall()
            == []
        )

    def check_refusals(self) -> None:
        """Every question before the horizon fails and names it."""
        for day in self.case.questions:
            if self.horizon and day < self.horizon:
                with (
                    pytest.raises(psycopg.DataError, match=f"kept since {self.horizon}") as error,
                    self.connection.transaction(),
                ):
                    self._rows(sql.SQL("select {} from {}({})"), sql.SQL("1"), as_of_function(self.case.contract), day)
                assert error.value.sqlstate == BEFORE_HORIZON


def one(number: int, *values: int, name: str = "a.csv") -> Step:
    """Return a file of a period with values of the first key; without one, its withdrawal."""
    return number, name, [(1, value) for value in values[:1]] if values else None, 0


@pytest.mark.parametrize("mode", CASES)
@given(before=STEPS, after=STEPS, number=st.integers(0, 3), shift=st.integers(-1, 1))
# The newest version before the horizon is current again after the withdrawal of later ones.
@example(before=[one(0, 1), one(1, 2), one(2, 1), one(3, 2)], after=[one(3), one(2)], number=2, shift=0)
# A delivery that is repeated after the horizon still belongs to the first of its run.
@example(
    before=[one(0, 1), one(1, 2), one(1, 1, name="b.csv"), one(2, 1)], after=[one(2), one(3, 1)], number=2, shift=0
)
# Two changes of one delivery are on days of the lake after the day from which the history is kept.
@example(before=[(2, "a.csv", [(1, 1), (2, 2)], 0)], after=[], number=2, shift=1)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_since_the_horizon_are_as_if_nothing_was_removed(
    landing_connection: Connection, mode: str, before: list[Step], after: list[Step], number: int, shift: int
) -> None:
    case = CASES[mode]
    horizon = case.periods[number].start + timedelta(days=shift)
    found = {}
    for is_removed in (False, True):
        with landing_connection.transaction(force_rollback=True):
            warehouse = Warehouse(landing_connection, case)
            with suppress(DataError):  # so that there are tables
                warehouse.take((0, "b.csv", [(2, 1)], 0))
            outcomes = [warehouse.take(step) for step in before]
            warehouse.horizon = Period.of(case.contract.cadence, horizon).start
            answers, sizes = warehouse.answers(), warehouse.sizes()
            if is_removed:
                warehouse.horizon = None
                planned = warehouse.remove(horizon, dry_run=True)
                assert warehouse.sizes() == sizes, "a dry run removes nothing"
                assert warehouse.remove(horizon) == planned
                left = {one.place: sizes[one.place] - one.objects for one in planned}
                assert warehouse.sizes() == sizes | left
                assert warehouse.answers() == answers
                assert [one.objects for one in warehouse.remove(horizon)] == [0] * len(planned)
                warehouse.check_refusals()
            outcomes += [warehouse.take(step) for step in after]
            warehouse.check_books()
            found[is_removed] = (outcomes, warehouse.answers())
    assert found[True] == found[False]


@pytest.mark.parametrize(
    ("mode", "removed"),
    [
        ("snapshot", {"messaging.customers_history": 10}),
        ("merge", {"messaging.traffic_superseded": 1}),
        ("changes", {"shop.customers_superseded": 1, "shop.customers_changes": 0}),
        ("deliveries", {"orders.lines_superseded": 1}),
    ],
)
def test_what_is_not_needed_is_removed(landing_connection: Connection, mode: str, removed: dict[str, int]) -> None:
    warehouse = Warehouse(landing_connection, CASES[mode])
    for step in (one(0, 1), one(1, 2), one(3, 1)):
        warehouse.take(step)
    found = {one.place: one.objects for one in warehouse.remove(CASES[mode].periods[2].start)}
    assert found == removed


def test_older_changes_of_a_key_are_removed(landing_connection: Connection) -> None:
    warehouse = Warehouse(landing_connection, CASES["changes"])
    for number in range(3):
        warehouse.take((number, "a.csv", [(number + 1, 1)], 0))
    answers = warehouse.answers()["now"]
    found = {one.place: (one.objects, one.first_day) for one in warehouse.remove(CASES["changes"].periods[2].start)}
    assert found["shop.customers_changes"] == (1, date(2026, 3, 28)), "the change of the third day is newer than both"
    assert warehouse.answers()["now"] == answers
    rows = landing_connection.execute(sql.SQL("select count(*) from {}").format(relation(SHOP["customers"])))
    assert rows.fetchone() == (2,)
