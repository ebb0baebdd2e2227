"""Broken, odd and repeated files: every record is accounted for, and a message names the next step."""

from __future__ import annotations

import codecs
import gzip
import json
import logging
from collections.abc import Sequence
from decimal import Decimal

import pytest

from support.landing import (
    CHANNELS,
    CUSTOMERS,
    MONTH,
    TRAFFIC,
    Amend,
    Landing,
    channel_rows,
    csv_body,
    customer_rows,
    total,
    traffic_rows,
)
from waybill.errors import DataError

GOOD = traffic_rows(40)
BODY = csv_body(TRAFFIC, GOOD)
BAD_RECORD = 21
Fields = Sequence[tuple[str, str, list[str]]]


def with_fields(header: str, good: list[str], fields: Fields, spacing: int) -> tuple[list[str], dict[int, list[str]]]:
    """Return good rows with one bad field in each `spacing`-th, and the expected reasons by record."""
    rows, expected, names = list(good), {}, header.split(",")
    for place, (column, text, reasons) in enumerate(fields):
        record = (place + 1) * spacing
        cells = rows[record - 1].split(",")
        cells[names.index(column)] = text
        rows[record - 1] = ",".join(cells)
        expected[record] = reasons
    return rows, expected


def wrong(rule: str, column: str, *texts: str) -> list[tuple[str, str, list[str]]]:
    return [(column, text, [f"{rule}:{column}"]) for text in texts]


# --- fields -------------------------------------------------------------------------------------------------

TRAFFIC_FIELDS: Fields = [
    *wrong("required", "traffic_id", "", "   "),
    *wrong("required", "send_date", "", '""'),
    *wrong("type", "traffic_id", "1.0", "1e3", "1_000", '"1,000"', "9223372036854775808", "0x1F", "NaN", "one"),
    *wrong("type", "account_id", "2147483648", "-", "1 2", "'1'", "1;2"),
    *wrong("type", "revenue_eur", "NaN", "Infinity", "-inf", "1e2", '"1,234.50"', "1.234,50".replace(",", "")),
    *wrong("type", "revenue_eur", "1_000.00", "1.005", "10000000000.00", "12.", ".5", "€12", "12 EUR"),
    *wrong("type", "send_date", "2026-02-30", "2026-13-01", "infinity", "-infinity", "today", "01.03.2026", "2026-3-1"),
    *wrong("type", "send_date", "2026-03-01T00:00:00", "0000-01-01", "20260301"),
    *wrong("range", "traffic_id", "0", "-5"),
    *wrong("range", "interactions_count", "-1"),
    *wrong("range", "revenue_eur", "-0.01"),
    *wrong("reference", "customer_id", "10", "2000000000"),
    *wrong("reference", "channel_id", "4"),
    ("customer_id", "0", ["range:customer_id", "reference:customer_id"]),
    ("send_date", "2026-04-01", ["after_period"]),
    ("send_date", "9999-12-31", ["after_period", "range:send_date"]),
    ("send_date", "2025-02-28", ["too_late"]),
    ("send_date", "0001-01-01", ["range:send_date", "too_late"]),
]
CUSTOMER_FIELDS: Fields = [
    *wrong("required", "customer_name", "", " ", '"  "'),
    *wrong("length", "customer_name", "x" * 201, "x" * 2**20),
    *wrong("length", "segment", "x" * 101),
    *wrong("length", "country", "x" * 101),
    *wrong("required", "country", "", "  "),
    *wrong("type", "created_date", "2023-02-29", "2020-00-10", "infinity"),
]
CHANNEL_FIELDS: Fields = [
    *wrong("type", "unit_price_eur", "0.00005", "1000000.0000", "NaN", "0,05".replace(",", "'")),
    *wrong("range", "unit_price_eur", "-0.0001"),
    *wrong("unique", "channel_name", "Channel 1"),
    *wrong("length", "channel_type", "x" * 101),
]


def test_every_bad_traffic_field_is_rejected_with_its_reason(landing: Landing) -> None:
    # A file of the months before and after shows that rejects do not depend on the rows that exist.
    good = traffic_rows(252) + [row.replace("2026-03", "2026-02") for row in traffic_rows(756)]
    good += [row.replace("2026-03", "2026-01") for row in traffic_rows(252)]
    rows, expected = with_fields(TRAFFIC, good, TRAFFIC_FIELDS, 1260 // len(TRAFFIC_FIELDS))
    key = landing.load("traffic", csv_body(TRAFFIC, rows))
    landing.check(key, 1260, expected, inserted=1260 - len(TRAFFIC_FIELDS))
    raw = landing.column(
        "select raw from waybill.quarantine where 'required:traffic_id' = any(reasons) order by record"
    )
    assert [json.loads(text)["traffic_id"] for text in raw] == [None, "   "]


@pytest.mark.parametrize(
    ("dataset", "header", "good", "fields"),
    [
        ("customers", CUSTOMERS, customer_rows(400), CUSTOMER_FIELDS),
        ("channels", CHANNELS, channel_rows(100), CHANNEL_FIELDS),
    ],
)
def test_every_bad_field_of_a_snapshot_is_rejected(
    dataset: str, header: str, good: list[str], fields: Fields, landing: Landing
) -> None:
    rows, expected = with_fields(header, good, fields, 12)
    key = landing.load(dataset, csv_body(header, rows))
    landing.check(key, len(good), expected)
    (count,) = landing.column(f"select count(*) from messaging.{dataset}_as_of('2026-04-01')")
    assert count == len(good) - len(fields)


def test_all_reasons_of_a_row_are_reported(landing: Landing) -> None:
    row = "x,2026-02-30,0,99,99,-1,NaN"
    expected = ["type:traffic_id", "type:send_date", "range:account_id", "reference:customer_id"]
    expected += ["reference:channel_id", "range:interactions_count", "type:revenue_eur"]
    key = landing.load("traffic", csv_body(TRAFFIC, [*GOOD, row]))
    landing.check(key, 41, {41: expected})


# --- records ------------------------------------------------------------------------------------------------

LINE = GOOD[BAD_RECORD - 1].encode()
CELLS = LINE.split(b",")
RECORDS: dict[str, tuple[bytes, list[str]]] = {
    "too short": (b",".join(CELLS[:-1]), ["ragged"]),
    "too long": (LINE + b",extra", ["ragged"]),
    "a comma too much": (LINE + b",", ["ragged"]),
    "one word": (b"total", ["ragged"]),
    "unclosed quote": (b'"' + LINE, ["quote"]),
    "unclosed quote in the last field": (b",".join([*CELLS[:-1], b'"12.50']), ["quote"]),
    "text after a closing quote": (b'"21"0' + LINE[2:], ["quote"]),
    "a blank before a quote": (b' "21"' + LINE[2:], ["quote"]),
    "a blank after a quote": (b'"21" ' + LINE[2:], ["quote"]),
    "a lone carriage return": (LINE + b"\r" + LINE, ["line_end"]),
    "NUL": (LINE.replace(b"12", b"1\x002"), ["nul"]),
    "invalid UTF-8": (LINE + b"\xff", ["encoding"]),
    "Latin-1": (LINE + "é".encode("latin-1"), ["encoding"]),
    "half a surrogate": (LINE + b"\xed\xa0\x80", ["encoding"]),
    "several faults": (b"\0\xff" + LINE + b",", ["encoding", "nul", "ragged"]),
}
UNFINISHED = ["Latin-1", "too short", "one word", "unclosed quote", "unclosed quote in the last field"]
"""At the end of a file without a last line end more text could complete these: é in Latin-1 may be half a character."""


@pytest.mark.parametrize("is_last", [False, True], ids=["in the middle", "at the end"])
@pytest.mark.parametrize("kind", RECORDS)
def test_a_malformed_record_is_rejected_alone(kind: str, is_last: bool, landing: Landing) -> None:
    bad, reasons = RECORDS[kind]
    if is_last and kind in UNFINISHED:
        reasons = [*reasons, "truncated"]
    lines = [TRAFFIC.encode(), *(row.encode() for row in GOOD)]
    record = len(GOOD) if is_last else BAD_RECORD
    lines[record] = bad
    key = landing.load("traffic", b"\n".join(lines) + (b"" if is_last else b"\n"))
    landing.check(key, len(GOOD), {record: reasons}, inserted=len(GOOD) - 1)
    (raw,) = landing.column("select raw from waybill.quarantine")
    assert json.loads(raw) == bad.decode("utf-8", "backslashreplace"), "the text is kept"


def test_an_unclosed_quote_rejects_no_other_record(landing: Landing) -> None:
    """Later quotes, and later unclosed ones, do not close it, and quoted line ends beside it are records still."""
    rows = [f'{row},"said ""x"",\r\nand left"' for row in traffic_rows(80)]
    rows[9], rows[79] = '"' + traffic_rows(10)[9] + ",x", traffic_rows(80)[79] + ',"never closed'
    key = landing.load("traffic", csv_body(f"{TRAFFIC},comment", rows))
    landing.check(key, 80, {10: ["quote"], 80: ["quote"]}, inserted=78)


@pytest.mark.parametrize("has_bad_line", [False, True], ids=["regular", "with a malformed line"])
def test_a_field_of_a_megabyte_is_accepted_where_nothing_limits_it(has_bad_line: bool, landing: Landing) -> None:
    rows = [f"{row},{'long,' * 200_000 if place == 5 else 'short'}" for place, row in enumerate(GOOD)]
    rows[5] = f'{GOOD[5]},"{"long," * 210_000}"'
    rows += ["ragged"] if has_bad_line else []
    key = landing.load("traffic", csv_body(f"{TRAFFIC},comment", rows))
    landing.check(key, len(rows), {41: ["ragged"]} if has_bad_line else {}, inserted=40)
    assert landing.ledger(key)["ignored_columns"] == ["comment"]


def test_quoted_line_ends_of_every_kind_reach_the_table(landing: Landing) -> None:
    names = ["a\nb", "a\r\nb", "a\rb", 'a ""b"", c', "ä😀"]
    rows = [row.replace(f"Customer {n}", f'"{names[n - 1]}"') for n, row in enumerate(customer_rows(len(names)), 1)]
    rows += [row.replace(",1,", ",2,", 1) for row in customer_rows(60)[len(names) :]]
    for malformed in ([], ["61,1"]):  # the second file is read record by record
        name = f"customers-{len(malformed)}.csv"
        key = landing.load("customers", csv_body(CUSTOMERS, rows + malformed), name)
        landing.check(key, len(rows + malformed), {61: ["ragged"]} if malformed else {})
        found = landing.column(
            "select customer_name from messaging.customers_as_of('2026-04-01') where customer_id <= 5 "
            "order by customer_id"
        )
        assert found == ["a\nb", "a\r\nb", "a\rb", 'a "b", c', "ä😀"]


# --- whole files --------------------------------------------------------------------------------------------

ORDER = [6, 2, 0, 5, 1, 4, 3]
REORDERED = [",".join(line.split(",")[place] for place in ORDER) for line in (TRAFFIC, *GOOD)]
SPELLED = " ID , Sent-On,ACCOUNT ID,Customer.Id,channel,Interactions Count,Revenue  EUR"
TEXT = BODY.decode()
ACCEPTED: dict[str, bytes] = {
    "as it should be": BODY,
    "reordered columns": csv_body(REORDERED[0], REORDERED[1:]),
    "extra columns": csv_body(f"note,{TRAFFIC},note", (f"x,{row},y" for row in GOOD)),
    "other spellings of the header": csv_body(SPELLED, GOOD),
    "BOM": codecs.BOM_UTF8 + BODY,
    "CRLF": BODY.replace(b"\n", b"\r\n"),
    "carriage returns alone": BODY.replace(b"\n", b"\r"),
    "both line ends": BODY.replace(b"\n", b"\r\n", 20),
    "everything quoted": "\n".join(f'"{line}"'.replace(",", '","') for line in TEXT.splitlines()).encode(),
    "quoted, BOM, CRLF": codecs.BOM_UTF8
    + "\r\n".join(f'"{x}"'.replace(",", '","') for x in TEXT.splitlines()).encode(),
    "no line end at the end": BODY.removesuffix(b"\n"),
    "blank lines": b"\n\r\n" + BODY.replace(b"\n", b"\n\n\r\n"),
    "lines of blanks": BODY.replace(b"\n", b"\n   \n\t, ,\r\n"),
    "blanks around values": csv_body(TRAFFIC, (f" {row} ".replace(",", " , ") for row in GOOD)),
    "gzip under a plain name": gzip.compress(BODY),
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_odd_file_with_the_right_rows_gives_the_same_table(body: bytes, landing: Landing) -> None:
    key = landing.load("traffic", body)
    landing.check(key, 40, inserted=40)
    found = landing.all(
        f"select concat_ws(',', {', '.join(TRAFFIC.split(','))}) from messaging.traffic order by traffic_id"
    )
    assert [row for (row,) in found] == GOOD


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the file is empty (0 bytes) and has no header. Send it again"),
        (b"\n\r\n", "the file is empty (3 bytes)"),
        (
            csv_body(TRAFFIC.replace("customer_id,", ""), GOOD),
            "Required columns are missing: customer_id. The header is",
        ),
        (csv_body(f"{TRAFFIC},Cust-ID", GOOD), "the header has customer_id more than once"),
        (BODY.replace(b"\n", b"\r", 20), "Lines must end in a line feed, not only in a carriage return."),
        (gzip.compress(BODY)[:-20], "the gzip stream is truncated. Send the file again"),
        (gzip.compress(BODY)[:60] + bytes(40) + gzip.compress(BODY)[100:], "the gzip stream is corrupt"),
        (csv_body(TRAFFIC, [*GOOD[:30], *["short"] * 2]), "The contract allows 5 %"),
    ],
)
def test_a_file_that_is_rejected_leaves_nothing_but_the_message(body: bytes, message: str, landing: Landing) -> None:
    assert message in landing.reject("traffic", body)


def test_a_gzip_name_on_a_plain_file_is_rejected(landing: Landing) -> None:
    assert "the name ends in .gz, but the content is not gzip" in landing.reject("traffic", BODY, "part-1.csv.gz")


def test_a_column_that_is_not_in_the_contract_is_reported(landing: Landing, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        landing.load("traffic", csv_body(TRAFFIC, GOOD), "known.csv")
        assert caplog.messages == []
        key = landing.load("traffic", csv_body(f"{TRAFFIC},Campaign", [f"{row},x" for row in GOOD]), "more.csv")
    [message] = caplog.messages
    assert message.startswith(f"s3://{landing.bucket}/{key}: ")
    assert message.endswith("the column 'Campaign' is unknown and was not loaded.")
    assert landing.ledger(key)["ignored_columns"] == ["Campaign"]


def test_a_header_alone_is_a_traffic_file_without_rows(landing: Landing) -> None:
    landing.check(landing.load("traffic", f"{TRAFFIC}\r\n".encode(), "no-rows.csv"), 0)
    landing.check(landing.load("traffic", TRAFFIC.encode(), "no-line-end.csv"), 0)
    landing.check(landing.load("traffic", BODY, "rows.csv"), 40, inserted=40)


def test_a_snapshot_without_a_row_to_load_is_rejected(landing: Landing) -> None:
    message = landing.reject("customers", csv_body(CUSTOMERS, []))
    assert "the snapshot has no valid row (0 records) and would end every row of messaging.customers" in message
    assert len(landing.column("select customer_id from messaging.customers")) == 9


def test_a_snapshot_whose_rows_are_all_rejected_is_rejected_with_their_reasons(landing: Landing, amend: Amend) -> None:
    body = csv_body(CUSTOMERS, ["x,1,Customer,Startup,Retail,DE,2020-01-31"])
    reasons = "Reasons:\n  type:customer_id in 1 row: record 1 (customer_id 'x')"
    message = landing.reject("customers", body)
    assert "1 of 1 rows do not meet the contract of messaging.customers" in message
    assert message.endswith(reasons)
    amend("customers", "property: rejectThresholdPct, value: 5", "property: rejectThresholdPct, value: 100")
    with pytest.raises(DataError) as caught:
        landing.ingest("customers", MONTH)
    assert "the snapshot has no valid row (1 record)" in str(caught.value)
    assert str(caught.value).endswith(reasons)


def test_too_many_rejects_reject_the_file_with_columns_and_numbers(landing: Landing) -> None:
    rows, _ = with_fields(TRAFFIC, GOOD, [*wrong("type", "revenue_eur", "a", "b"), ("customer_id", "99", [])], 10)
    message = landing.reject("traffic", csv_body(TRAFFIC, rows))
    assert (
        "3 of 40 rows do not meet the contract of messaging.traffic 1.0.1. The contract allows 5 % "
        "(rejectThresholdPct). Nothing was loaded. Correct the file and send it again under the same name. Reasons:\n"
        "  type:revenue_eur in 2 rows: record 10 (revenue_eur 'a'), record 20 (revenue_eur 'b')\n"
        "  reference:customer_id in 1 row: record 30 (customer_id '99')"
    ) in message
    assert landing.column("select reasons from waybill.rejected_file") == [
        [
            {
                "reason": "type:revenue_eur",
                "rows": 2,
                "first": [
                    {"record": 10, "values": {"revenue_eur": "a"}},
                    {"record": 20, "values": {"revenue_eur": "b"}},
                ],
            },
            {
                "reason": "reference:customer_id",
                "rows": 1,
                "first": [{"record": 30, "values": {"customer_id": "99"}}],
            },
        ]
    ]
    # Exactly the threshold is allowed, and a file under the same name is loaded after the rejection.
    rows[29] = GOOD[29]
    key = landing.load("traffic", csv_body(TRAFFIC, rows))
    landing.check(key, 40, {10: ["type:revenue_eur"], 20: ["type:revenue_eur"]})


# --- several files ------------------------------------------------------------------------------------------


def dearer(rows: list[str]) -> list[str]:
    return [row.replace("12.50", "99.00") for row in rows]


def test_repeats_in_a_file_are_duplicates_if_equal_and_conflicts_if_not(landing: Landing) -> None:
    rows = [*GOOD, GOOD[0], dearer(GOOD)[1], GOOD[2].replace("12.50", " 12.5 "), GOOD[1]]
    key = landing.load("traffic", csv_body(TRAFFIC, rows))
    landing.check(key, 44, {42: ["conflict"]}, duplicates=[41, 43, 44], inserted=40)
    (raw,) = landing.column("select raw from waybill.quarantine")
    assert json.loads(raw) | {"revenue_eur": "99.00"} == dict(
        zip(TRAFFIC.split(","), [2, "2026-03-02", 1, 1, 1, 10, "99.00"], strict=True)
    )


def test_a_row_that_repeats_a_rejected_one_is_loaded(landing: Landing) -> None:
    rows = [GOOD[0].replace("12.50", "NaN"), *GOOD]
    landing.check(landing.load("traffic", csv_body(TRAFFIC, rows)), 41, {1: ["type:revenue_eur"]}, inserted=40)


def test_repeats_of_a_snapshots_key(landing: Landing) -> None:
    rows = customer_rows(60)
    key = landing.load("customers", csv_body(CUSTOMERS, [*rows, rows[3], rows[4].replace("DE", "AT")]))
    landing.check(key, 62, {62: ["conflict"]}, duplicates=[61], inserted=51, unchanged=9)


def test_the_same_file_again_changes_nothing(landing: Landing) -> None:
    key = landing.load("traffic", BODY)
    assert landing.ingest("traffic", MONTH) == {}
    landing.put("traffic", MONTH, BODY)
    assert landing.ingest("traffic", MONTH) == {}
    landing.put("traffic", MONTH, gzip.compress(BODY))  # other bytes: another version
    assert landing.ingest("traffic", MONTH)["part-1.csv"].unchanged == 40
    landing.check(key, 40, unchanged=40)


def test_malformed_content_that_is_loaded_already_is_not_parsed_again(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = landing.load("traffic", csv_body(TRAFFIC, GOOD) + b'"open\n')
    assert landing.ledger(key)["rejected"] == 1
    landing.connection.execute("update waybill.load_file set etag = 'of an upload in parts'")
    monkeypatch.setattr("waybill.intake.row_source.reparse", lambda *_: 1 / 0)
    assert landing.ingest("traffic", MONTH) == {}


def test_the_same_content_under_another_name_is_unchanged(landing: Landing) -> None:
    first, second = landing.load("traffic", BODY), landing.load("traffic", BODY, "part-2.csv")
    landing.check(first, 40, inserted=40)
    landing.check(second, 40, unchanged=40)
    assert landing.column("select count(*) from messaging.traffic") == [40]


def test_new_content_under_the_same_name_withdraws_the_old_rows(landing: Landing) -> None:
    early = landing.load("traffic", csv_body(TRAFFIC, GOOD[:10]), "a.csv")
    key = landing.load("traffic", csv_body(TRAFFIC, dearer(GOOD[:30])), "b.csv")
    assert landing.ledger(key)["updated"] == 10
    landing.load("traffic", csv_body(TRAFFIC, GOOD[20:]), "b.csv")
    old, new = landing.ledger(key, "superseded"), landing.check(key, 20, inserted=10, updated=10)
    assert new["replaces_file_id"] == old["file_id"]
    assert old["rows_in"] == total(old) == 30, "the books of the old version stay"
    landing.check(early, 10)
    found = dict(landing.all("select traffic_id, revenue_eur::text from messaging.traffic"))
    assert found == dict.fromkeys([*range(1, 11), *range(21, 41)], "12.50"), "older versions are current again"
    assert landing.column("select count(*) from messaging.traffic_superseded") == [0]


def test_a_rejected_new_version_leaves_the_old_one_in_place(landing: Landing) -> None:
    key = landing.load("traffic", BODY)
    landing.reject("traffic", csv_body(TRAFFIC, ["bad"]))
    landing.check(key, 40, inserted=40)


def order_by_name(amend: Amend, dataset: str, mode: str) -> None:
    """Declare that the names of the dataset's files carry their order."""
    mode = f"- {{property: loadMode, value: {mode}}}\n"
    amend(dataset, mode, f"{mode}      - {{property: fileOrder, value: name}}\n")


def test_two_files_of_one_month_apply_by_name_in_any_order_of_arrival(landing: Landing, amend: Amend) -> None:
    order_by_name(amend, "traffic", "merge")
    landing.put("traffic", MONTH, csv_body(TRAFFIC, GOOD[:30]), "a.csv")
    landing.put("traffic", MONTH, gzip.compress(csv_body(TRAFFIC, dearer(GOOD[20:]))), "b.csv.gz")
    books = landing.ingest("traffic", MONTH)
    assert (books["a.csv"].inserted, books["b.csv.gz"].inserted, books["b.csv.gz"].updated) == (30, 10, 10)
    between = landing.load("traffic", csv_body(TRAFFIC, GOOD[10:25]), "a2.csv")
    landing.check(between, 15, unchanged=10, stale=5)
    assert landing.column("select sum(revenue_eur) from messaging.traffic") == [20 * Decimal("12.50") + 20 * 99]


def test_a_file_of_another_month_is_late_too_late_or_rejected(landing: Landing) -> None:
    assert "40 of 40 rows" in landing.reject("traffic", BODY.replace(b"2026-03", b"2026-04"), "next.csv")
    landing.clear()
    key = landing.load("traffic", BODY.replace(b"2026-03", b"2026-02"), "last.csv")
    landing.check(key, 40, inserted=40)
    assert landing.column("select count(*) from messaging.traffic_as_of('2026-03-01')") == [0]
    assert landing.column("select count(*) from messaging.traffic_as_of('2026-04-01')") == [40]


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("b.csv", "a.csv")])
def test_of_two_snapshots_of_a_month_the_later_name_applies(
    names: tuple[str, str], landing: Landing, amend: Amend
) -> None:
    order_by_name(amend, "customers", "snapshot")
    bodies = {"a.csv": customer_rows(3, segment="Enterprise"), "b.csv": customer_rows(4, segment="Mid-Market")}
    for name in names:
        landing.load("customers", csv_body(CUSTOMERS, bodies[name]), name)
    found = landing.column("select segment from messaging.customers_as_of('2026-04-01')")
    assert found == ["Mid-Market"] * 4
    keys = [f"raw/messaging/customers/month={MONTH}/{name}" for name in sorted(names)]
    if names[0] == "a.csv":
        landing.check(keys[0], 3, updated=3)
        landing.check(keys[1], 4, updated=3, inserted=1)
    else:
        landing.check(keys[0], 3, stale=3)
        landing.check(keys[1], 4, updated=4)


@pytest.mark.parametrize("bad", ["", "ragged"], ids=["regular", "with a malformed line"])
def test_a_record_beyond_the_limit_of_the_reader_rejects_the_file(bad: str, landing: Landing) -> None:
    body = csv_body(f"{TRAFFIC},comment", [*(f"{row},short" for row in GOOD), f"{GOOD[0]},{'x' * 9 * 2**20}", bad])
    message = landing.reject("traffic", body)
    assert f"records and the count {41 + bool(bad)}; nothing was loaded. Look for stray quotes or line ends." in message


def test_a_file_that_is_malformed_throughout_is_rejected_early(landing: Landing) -> None:
    message = landing.reject("traffic", csv_body(TRAFFIC, ["1,2"] * 20_000))
    assert "more than 10,000 of 20,000 records are malformed. Nothing was loaded." in message
    assert message.endswith(
        "Up to record 10001: Reasons:\n  ragged in 10,001 rows: "
        "record 1 (text '1,2'), record 2 (text '1,2'), record 3 (text '1,2')"
    )
