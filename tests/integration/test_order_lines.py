"""Order lines are distinguished without line numbers, read in all spellings, and counted once if files repeat them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import LANDED_AT, csv_body, reported_conflicts, total
from support.messaging_months import RUN
from support.order_files import CONTRACTS, HEADER, LINES, Line, Orders, body, day
from waybill.contracts import Contract, ContractError, load
from waybill.contracts.file_format import FileFormat
from waybill.errors import DataError
from waybill.intake.comparison import pending
from waybill.intake.ingest import ingest_arrived, ingest_file
from waybill.intake.landing import list_landed
from waybill.intake.replay import replay
from waybill.run import Run
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.evolution import ensure

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]
Row = tuple[str, int]
"""(order, quantity): the columns of a line that differ."""
NAME = st.tuples(st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"]))
ROWS = st.lists(st.tuples(st.sampled_from("12"), st.integers(1, 2)), max_size=4)
ARRIVALS = st.lists(st.tuples(NAME, ROWS, st.integers(0, 2)), min_size=2, max_size=8)
Delivery = tuple[str, str, int]
"""(landing day, file name, quantity)"""


@dataclass
class Model:
    """The expected rows of the tables for a set of files, computed in plain Python."""

    files: dict[tuple[str, str], list[Row]] = field(default_factory=dict)
    landings: dict[tuple[str, str], int] = field(default_factory=dict)
    """The landing hour of the current content, by file."""

    def deliveries(self, before: str = "9999") -> dict[tuple[str, int], list[Delivery]]:
        """Return by (order, occurrence) the deliveries of files that landed before a day, in file order."""
        found: dict[tuple[str, int], list[Delivery]] = {}
        for landed, name in sorted(self.files, key=lambda file: (file[0], self.landings[file], file[1])):
            rows = self.files[landed, name]
            seen: Counter[str] = Counter()
            for order, quantity in rows:
                seen[order] += 1
                if landed < before:
                    found.setdefault((order, seen[order]), []).append((landed, name, quantity))
        return found

    def conflicts(self, landed: str, name: str) -> dict[str, int]:
        """Return the number of lines with another quantity in each other file of the day, by name."""
        delivered: dict[str, dict[tuple[str, int], int]] = {}
        for key, found in self.deliveries().items():
            for day_of, file, quantity in found:
                if day_of == landed:
                    delivered.setdefault(file, {})[key] = quantity
        own = delivered.pop(name, {})
        counts = {
            file: sum(own.get(key, value) != value for key, value in rows.items()) for file, rows in delivered.items()
        }
        return {file: rows for file, rows in counts.items() if rows}

    @staticmethod
    def current(deliveries: list[Delivery]) -> Delivery:
        """Return the first of the last run of equal quantities."""
        runs = [list(run) for _, run in itertools.groupby(deliveries, key=lambda one: one[2])]
        return runs[-1][0]


def stored(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        "select order_id, occurrence, to_char(landed_on, 'YYYY-MM-DD'), "
        "split_part(object_key, '/', 5), quantity, _delivered = landed_on and landed_on = period "
        f"from orders.{table} as t inner join waybill.load_file as f on t._file_id = f.file_id "
        "where status = 'loaded' order by 1, 2, 3, 4"
    )
    return rows.fetchall()


def check(connection: Connection, model: Model) -> None:
    current = {key: model.current(found) for key, found in model.deliveries().items()}
    others = [(*key, *one, True) for key, found in model.deliveries().items() for one in found if one != current[key]]
    assert stored(connection, "lines") == sorted((*key, *one, True) for key, one in current.items())
    assert stored(connection, "lines_superseded") == sorted(others)
    for bound in [*DAYS, "2026-03-04"]:
        known = connection.execute(
            "select order_id, occurrence, landed_on, quantity from orders.lines_as_of(%s) order by 1, 2", (bound,)
        ).fetchall()
        wanted = {key: model.current(found) for key, found in model.deliveries(before=bound).items()}
        assert known == sorted(
            (*key, date.fromisoformat(landed), quantity) for key, (landed, _, quantity) in wanted.items()
        )


def one(key: str, name: str, quantity: int | None, landing: int = 0) -> tuple[tuple[str, str], list[Row], int]:
    """Return a file with one line of one order, or with none."""
    return (key, name), [] if quantity is None else [("1", quantity)], landing


@given(ARRIVALS)
# Of two files of one day the one that landed later counts, with any name and in any order of loads.
@example([one(DAYS[0], "b.csv", 1, 0), one(DAYS[0], "a.csv", 2, 1)])
@example([one(DAYS[0], "a.csv", 2, 1), one(DAYS[0], "b.csv", 1, 0)])
# The first delivery comes last: it takes the line over, and its landing day with it.
@example([one(DAYS[1], "a.csv", 1), one(DAYS[2], "a.csv", 1), one(DAYS[0], "a.csv", 1)])
# The delivery between two equal ones is withdrawn: the earlier of them is current again.
@example([one(DAYS[0], "a.csv", 1), one(DAYS[1], "a.csv", 2), one(DAYS[2], "a.csv", 1), one(DAYS[1], "a.csv", None)])
# The first delivery is withdrawn: the line belongs to the file that repeated it.
@example([one(DAYS[0], "a.csv", 1), one(DAYS[1], "a.csv", 1), one(DAYS[0], "a.csv", None)])
@hypothesis_settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_tables_depend_on_the_files_and_not_on_their_arrival(
    empty_connection: Connection, arrivals: list[tuple[tuple[str, str], list[Row], int]]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        orders, model = Orders(empty_connection), Model()
        orders.arrive("2026-03-01", "none.csv")  # so that there are tables
        for name, rows, landing in [*arrivals, *arrivals[-1:]]:
            lines = [Line(order=order, quantity=str(quantity)) for order, quantity in rows]
            is_new = model.files.get(name) != rows
            before = stored(empty_connection, "lines")
            changes = empty_connection.execute("select count(*) from waybill.change").fetchone()
            books = orders.arrive(*name, *lines, landed_at=LANDED_AT + timedelta(hours=landing))
            assert (books is not None) == is_new, "the same content again is no load"
            if books is not None:
                assert books.rows_in == len(rows) == total(books)
                assert books.rejected == 0
            after = stored(empty_connection, "lines")
            # A day is recorded if its rows changed; the file of a row is no part of the row.
            differs = {row[:3] + row[4:] for row in before} != {row[:3] + row[4:] for row in after}
            assert (empty_connection.execute("select count(*) from waybill.change").fetchone() != changes) == differs
            model.files[name] = rows
            if is_new:
                model.landings[name] = landing
                assert reported_conflicts(empty_connection) == model.conflicts(*name)
        check(empty_connection, model)


@given(ARRIVALS, st.sets(NAME, max_size=3))
@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_withdrawn_files_leave_the_tables_as_if_they_had_never_been_loaded(
    empty_connection: Connection, arrivals: list[tuple[tuple[str, str], list[Row], int]], names: set[tuple[str, str]]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        orders, model = Orders(empty_connection), Model()
        orders.arrive("2026-03-01", "none.csv")
        for name, rows, landing in arrivals:
            if model.files.get(name) != rows:
                model.files[name], model.landings[name] = rows, landing
            lines = [Line(order=order, quantity=str(quantity)) for order, quantity in rows]
            orders.arrive(*name, *lines, landed_at=LANDED_AT + timedelta(hours=landing))
        for name in sorted(names & model.files.keys()):
            before = stored(empty_connection, "lines")
            days = orders.withdraw(*name).days
            after = stored(empty_connection, "lines")
            del model.files[name]
            check(empty_connection, model)
            differs = {row[:3] + row[4:] for row in before} != {row[:3] + row[4:] for row in after}
            assert bool(days) == differs


def test_files_in_any_order_and_twice_equal_files_in_order(empty_connection: Connection) -> None:
    files = [
        (DAYS[0], "a.csv", [("1", 1), ("1", 2), ("2", 1)]),
        (DAYS[0], "b.csv", [("1", 1), ("3", 1)]),
        (DAYS[1], "a.csv", [("1", 1), ("1", 2), ("2", 2)]),
        (DAYS[2], "a.csv", [("2", 2), ("3", 1), ("1", 1)]),
    ]
    found = []
    for order in itertools.permutations(files):
        with empty_connection.transaction(force_rollback=True):
            orders = Orders(empty_connection)
            for key, name, rows in (*order, *order):
                orders.arrive(key, name, *(Line(order=number, quantity=str(quantity)) for number, quantity in rows))
            found.append((stored(empty_connection, "lines"), stored(empty_connection, "lines_superseded")))
    assert [found[0]] * len(found) == found
    assert found[0][0] == [
        ("1", 1, DAYS[0], "a.csv", 1, True),
        ("1", 2, DAYS[0], "a.csv", 2, True),
        ("2", 1, DAYS[1], "a.csv", 2, True),
        ("3", 1, DAYS[0], "b.csv", 1, True),
    ]


def test_the_books_count_repeated_lines_by_outcome(empty_connection: Connection) -> None:
    orders, line = Orders(empty_connection), Line()
    other = replace(line, quantity="9")

    def outcome(key: str, name: str, *lines: Line) -> dict[str, int]:
        books = orders.arrive(key, name, *lines)
        assert books
        return {count: rows for count, rows in vars(books).items() if rows and count != "rows_in"}

    assert outcome(DAYS[1], "a.csv", line, other) == {"inserted": 2}
    assert outcome(DAYS[2], "a.csv", line, other) == {"duplicate": 2}
    assert outcome(DAYS[0], "a.csv", line) == {"unchanged": 1}, "the earlier file now holds the line"
    assert outcome(DAYS[2], "b.csv", other) == {"updated": 1}
    assert outcome(DAYS[2], "a2.csv", line) == {"stale": 1}, "a later file changes the line"
    assert outcome(DAYS[2], "b.csv", line, other) == {"duplicate": 2}, "corrected: the line is as before"


def test_dates_and_null_words_are_read_as_the_contract_lists(empty_connection: Connection) -> None:
    dates = ["2026-03-01", "3/1/2026", " 03/01/2026 ", "12/31/2025", "2/29/2024"]
    wrong = ["13/13/2026", "2/29/2026", "1.3.2026", "3/1/26", "2026/03/01", "0/1/2026", "3/1/0000"]
    implausible = ["3/1/0026", "3/1/0207", "1899-12-31", "3/1/2126"]
    modes = ["First Class", " first class ", "", "Not Available", "NOT AVAILABLE", " unknown", "unknown mode"]
    lines = [Line(order=f"d{n}", date=text) for n, text in enumerate(dates)]
    lines += [Line(order=f"w{n}", date=text) for n, text in enumerate(wrong)]
    lines += [Line(order=f"i{n}", date=text) for n, text in enumerate(implausible)]
    lines += [Line(order=f"m{n}", ship_mode=text) for n, text in enumerate(modes)]
    books = Orders(empty_connection).arrive(DAYS[0], "a.csv", *lines)
    assert books
    assert (books.inserted, books.rejected) == (len(dates) + len(modes), len(wrong) + len(implausible))
    rows = empty_connection.execute("select order_id, order_date, ship_mode from orders.lines").fetchall()
    found = {order: (on, mode) for order, on, mode in rows}
    assert [found[f"d{n}"][0] for n in range(len(dates))] == [
        *[date(2026, 3, 1)] * 3,
        date(2025, 12, 31),
        date(2024, 2, 29),
    ]
    assert [found[f"m{n}"][1] for n in range(len(modes))] == [
        *("First Class", "first class", None, None, None, None, "unknown mode")
    ]
    reasons = dict(empty_connection.execute("select reasons[1], count(*) from waybill.quarantine group by reasons"))
    assert reasons == {"type:order_date": len(wrong), "range:order_date": len(implausible)}


def test_headers_match_in_any_spelling_and_delivered_computed_columns_are_ignored(
    empty_connection: Connection,
) -> None:
    orders, line = Orders(empty_connection), Line(order="1")
    for n, header in enumerate([HEADER.replace(" ", "-"), HEADER.replace(" ", "_").upper(), HEADER.title()]):
        file = orders.land(DAYS[0], f"{n}.csv", csv_body(header, [str(replace(line, order=str(n)))]))
        assert ingest_file(empty_connection, orders.bucket, file, LINES, CONTRACTS, RUN)
    assert [row[0] for row in stored(empty_connection, "lines")] == ["0", "1", "2"]
    rows = [f"{replace(line, order='9')},7,2020-01-01"] * 2
    file = orders.land(DAYS[1], "a.csv", csv_body(f"{HEADER},occurrence,landed_on", rows))
    assert ingest_file(empty_connection, orders.bucket, file, LINES, CONTRACTS, RUN)
    found = empty_connection.execute("select occurrence, landed_on from orders.lines where order_id = '9' order by 1")
    assert found.fetchall() == [(1, date(2026, 3, 2)), (2, date(2026, 3, 2))]


def test_a_replayed_line_keeps_its_place_in_the_file(empty_connection: Connection) -> None:
    orders, line = Orders(empty_connection), Line()
    bad = replace(line, quantity="0")
    books = orders.arrive(DAYS[0], "a.csv", line, bad, replace(line, quantity="3"), bad)
    assert books
    assert books.rejected == 2
    allowing = replace(
        LINES,
        version="1.0.1",
        document=f"{LINES.document}#",
        columns=tuple(replace(c, options={}) if c.name == "quantity" else c for c in LINES.columns),
    )
    (replayed,) = replay(empty_connection, allowing, CONTRACTS, RUN)
    assert (replayed.books.rows_in, replayed.books.inserted) == (2, 2)
    rows = empty_connection.execute("select occurrence, quantity, landed_on from orders.lines order by 1").fetchall()
    assert rows == [(n, quantity, date(2026, 3, 1)) for n, quantity in ((1, 1), (2, 0), (3, 3), (4, 0))]


@pytest.fixture
def raw_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Pacific/Kiritimati")  # 14 hours ahead: mostly another day than in UTC
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


def test_a_corrected_file_keeps_the_landing_day_of_its_first_upload(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    key, contract = "raw/orders/lines/mine.csv", CONTRACTS["lines"]
    s3.put_object(Bucket=raw_bucket, Key=key, Body=body(Line()))
    at = s3.head_object(Bucket=raw_bucket, Key=key)["LastModified"]
    (file,) = list_landed(s3, raw_bucket, contract, None, None)
    assert file.period.start == at.astimezone(ZoneInfo("Pacific/Kiritimati")).date()
    (books,) = ingest_arrived(empty_connection, s3, contract, CONTRACTS, RUN).values()
    assert books.inserted == 1
    # As if the first version had landed two days before.
    earlier = file.period.start - timedelta(days=2)
    empty_connection.execute("update waybill.load_file set period = %s", (earlier,))
    s3.put_object(Bucket=raw_bucket, Key=key, Body=body(Line(), Line(order="2")))
    (corrected,) = pending(empty_connection, contract, list_landed(s3, raw_bucket, contract, None, None))
    assert corrected.period.start == earlier
    assert [*ingest_arrived(empty_connection, s3, contract, CONTRACTS, RUN)] == [key]
    days = empty_connection.execute("select distinct landed_on from orders.lines").fetchall()
    assert days == [(earlier,)]


def test_a_rejected_file_is_retried_under_a_new_version_of_the_contract(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    contract = CONTRACTS["lines"]
    key = "raw/orders/lines/semicolons.csv"
    s3.put_object(Bucket=raw_bucket, Key=key, Body=body(Line()).replace(b",", b";"))

    def ingest(run_id: str, contract: Contract) -> list[str]:
        return [*ingest_arrived(empty_connection, s3, contract, CONTRACTS, Run(run_id, "abc123"))]

    later = replace(contract, version="9.0.0")
    for run_id, version in (("first", contract), ("second", later)):
        with pytest.raises(DataError, match="1 of 1 files"):
            ingest(run_id, version)
        assert ingest(f"after {run_id}", version) == []
    assert empty_connection.execute("select contract_version from waybill.rejected_file").fetchall() == [("9.0.0",)]
    declared = replace(later, version="9.1.0", file_format=FileFormat("csv", delimiter=";"))
    assert ingest("third", declared) == [key]


def test_a_file_that_a_draft_rejects_is_retried_under_the_corrected_draft_of_the_same_version(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    draft, key = CONTRACTS["lines"], "raw/orders/lines/semicolons.csv"
    s3.put_object(Bucket=raw_bucket, Key=key, Body=body(Line()).replace(b",", b";"))
    ensure(empty_connection, draft)
    with pytest.raises(DataError, match="1 of 1 files"):
        ingest_arrived(empty_connection, s3, draft, CONTRACTS, Run("first", "abc123"))
    assert ingest_arrived(empty_connection, s3, draft, CONTRACTS, Run("second", "abc123")) == {}
    corrected = replace(
        draft, file_format=FileFormat("csv", delimiter=";"), document=f"{draft.document}\n# delimiter: ;\n"
    )
    assert [*ingest_arrived(empty_connection, s3, corrected, CONTRACTS, Run("third", "abc123"))] == [key]


def test_a_rejected_file_stops_no_other_and_is_retried_only_if_changed_or_requested(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    contract, prefix = CONTRACTS["lines"], "raw/orders/lines/"
    bodies = {"a.csv": body(Line(order="a")), "b.csv": b"nonsense\n1\n", "c.csv": body(Line(order="c"))}
    for name, text in bodies.items():
        s3.put_object(Bucket=raw_bucket, Key=prefix + name, Body=text)

    def ingest(run_id: str, **limits: Any) -> list[str]:
        done = ingest_arrived(empty_connection, s3, contract, CONTRACTS, Run(run_id, "abc123"), **limits)
        return sorted(key.removeprefix(prefix) for key in done)

    others = (
        r"^1 of 3 files of orders.lines were rejected; the others are loaded:\n"
        r"\S+b\.csv: no field of the header .* Required columns"
    )
    with pytest.raises(DataError, match=others) as caught:
        ingest("first")
    assert "a.csv" not in str(caught.value)
    assert [row[0] for row in stored(empty_connection, "lines")] == ["a", "c"]
    with pytest.raises(DataError, match="1 of 1 files"):
        ingest("first")  # a retry of the same run says again what is wrong
    assert ingest("second") == []
    s3.put_object(Bucket=raw_bucket, Key=f"{prefix}d.csv", Body=body(Line(order="d")))
    today = datetime.now(UTC).astimezone(ZoneInfo("Pacific/Kiritimati")).date()
    span = (day(str(today - timedelta(days=1))), day(str(today + timedelta(days=1))))
    for limits in ({"name": "b.csv"}, {"name": f"{prefix}b.csv"}, {"name": f"s3://{raw_bucket}/{prefix}b.csv"}):
        with pytest.raises(DataError, match=r"^1 of 1 files of orders\.lines were rejected:\n\S+b\.csv"):
            ingest("asked for", **limits)
    assert ingest("another day", days=(day("2026-03-01"), day("2026-03-02"))) == []
    with pytest.raises(DataError, match=r"1 of 2 files.*:\n\S+b\.csv"):
        ingest("its day", days=span)
    with pytest.raises(DataError, match=r"'e\.csv' has not landed"):
        ingest("asked for", name="e.csv")
    s3.put_object(Bucket=raw_bucket, Key=f"{prefix}b.csv", Body=body(Line(order="b")))
    assert ingest("third") == ["b.csv"]
    assert [row[0] for row in stored(empty_connection, "lines")] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value: landed_on", "value: order_id", "periodColumn must be a date"),
        (
            "{property: landingDayColumn, value: landed_on}",
            "{property: landingDayColumn, value: landed_on}\n      - {property: lookbackPeriods, value: 7}",
            "lookbackPeriods has no effect beside landingDayColumn: rows of any period are accepted. Remove one",
        ),
        ("value: occurrence", "value: quantity", "occurrenceColumn must be an integer and part of the key"),
        (
            "loadMode, value: merge",
            "loadMode, value: snapshot",
            "`landingDayColumn` is allowed for the loadMode merge, not .snapshot.",
        ),
        ("[YYYY-MM-DD, M/D/YYYY]", "[D.M.YYYY]", r"\(order_date\): the pattern 'D.M.YYYY' has the letter D"),
        ("property: nullWords", "property: nullwords", "unknown custom property `nullwords`.*did you mean `nullWords`"),
        (
            "property: nullWords, value: [Not Available, unknown]",
            "property: dateForms, value: [M/D/YYYY]",
            "`dateForms` is only allowed for dates and times",
        ),
        (
            "property: nullWords, value: [Not Available, unknown]",
            "property: onlyValuesOf, value: WAYBILL_RAW_BUCKET",
            "an environment variable and the values without it, like {variable: WAYBILL_REGIONS, default: .north.}",
        ),
        (
            "property: dateForms, value: [YYYY-MM-DD, M/D/YYYY]",
            "property: onlyValuesOf, value: {variable: WAYBILL_REGIONS, default: [north]}",
            "onlyValuesOf is allowed for one column of the type text",
        ),
    ],
)
def test_an_impossible_contract_is_rejected(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (PROJECT_ROOT / "include/contracts/orders/lines.yaml").read_text()
    assert old in text
    (tmp_path / "lines.yaml").write_text(text.replace(old, new))
    with pytest.raises(ContractError, match=message):
        load(tmp_path / "lines.yaml")
