"""A landed file is unpacked, its header understood, and both readers say the same of its records."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import random
import tempfile
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from landing_support import CUSTOMERS, MONTH, MemoryBucket, csv_body, customer_rows
from waybill.contracts import Column, Contract, load_domain
from waybill.errors import DataError
from waybill.intake.receive import ReceivedFile, match_header, normalise, receive
from waybill.intake.validate import LINE_FEEDS, FastReaderFailed, csv_source, judge, mend, open_duckdb
from waybill.period import Period

CONTRACT = load_domain("messaging")["customers"]
GOOD = csv_body(CUSTOMERS, customer_rows(3))


def received(body: bytes, folder: Path, name: str = "customers.csv", contract: Contract = CONTRACT) -> ReceivedFile:
    bucket = MemoryBucket()
    return receive(bucket, bucket.land("customers", MONTH, body, name), contract, folder)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Customer ID", "customer_id"),
        ("  CUSTOMER-id ", "customer_id"),
        ("customer.. __ id", "customer_id"),
        ("CUSTOMER\tID", "customer_id"),
        ("Straße", "strasse"),
        ("", ""),
    ],
)
def test_header_fields_compare_without_case_blanks_and_hyphens(spelling: str, name: str) -> None:
    assert normalise(spelling) == name


def test_columns_are_found_by_name_and_synonym_and_others_are_ignored() -> None:
    header = ["Remark", "Name", "cust-id", "ACCOUNT", "industry", "Country Code", "Created At", "segment", "Remark"]
    columns = match_header("file", header, CONTRACT)
    assert columns[1:4] == ["customer_name", "customer_id", "account_id"]
    assert columns[4:8] == ["industry", "country", "created_date", "segment"]
    assert columns[0] is columns[8] is None


def test_a_column_that_stands_twice_is_refused_even_under_two_names() -> None:
    with pytest.raises(DataError, match=r"file: the header has customer_id more than once: customer_id, .*, Cust ID"):
        match_header("file", [*CUSTOMERS.split(","), "Cust ID"], CONTRACT)


def test_every_missing_required_column_is_named() -> None:
    with pytest.raises(
        DataError, match=r"file: .*missing: customer_name, country; the header is: customer_id, account_id"
    ):
        match_header("file", ["customer_id", "account_id", "segment", "industry", "created_date"], CONTRACT)


SHAPES = {
    "plain": GOOD,
    "BOM": codecs.BOM_UTF8 + GOOD,
    "BOM and quotes": codecs.BOM_UTF8 + b'"customer_id"' + GOOD.removeprefix(b"customer_id"),
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "no line end at the end": GOOD.removesuffix(b"\n"),
    "blank lines": b"\r\n\n" + GOOD.replace(b"\n", b"\n\r\n\n"),
    "gzip": gzip.compress(GOOD),
    "gzip of two members": gzip.compress(GOOD[:40]) + gzip.compress(GOOD[40:]),
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES.keys())
def test_a_file_is_received_whole(body: bytes, tmp_path: Path) -> None:
    file = received(body, tmp_path)
    assert file.columns == CUSTOMERS.split(",")
    assert (file.rows_in, file.is_regular, file.ignored) == (3, True, [])
    assert (file.size_bytes, file.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert file.body.read_bytes().split()[0] == b"1,1,Customer"


def damaged(packed: bytes) -> bytes:
    """The middle of a gzip file overwritten."""
    middle = len(packed) // 2
    return packed[:middle] + bytes(20) + packed[middle + 20 :]


LARGE = gzip.compress(GOOD + random.Random(1).randbytes(3_000_000).hex(bytes_per_sep=32, sep="\n").encode())
REFUSED = {
    "empty": (b"", "the file is empty \\(0 bytes\\), it has not even a header; send it again"),
    "empty gzip": (gzip.compress(b""), "the file is empty \\(20 bytes\\)"),
    "blank lines only": (b"\n\r\n\n", "the file is empty \\(4 bytes\\)"),
    "BOM only": (codecs.BOM_UTF8, "the file is empty \\(3 bytes\\)"),
    "BOM and a blank line": (codecs.BOM_UTF8 + b"\n", "the file is empty \\(4 bytes\\)"),
    "Latin-1": ("größe,b\n1,2\n".encode("latin-1"), "the header is not UTF-8 \\(byte 2\\); export the file as UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "the header is not UTF-8 \\(byte 0\\)"),
    "NUL": (b"customer_id\0,account_id\n", "the first record is no CSV header: 'customer_id.x00"),
    "unclosed quote": (b'"customer_id,account_id\n1,2\n', "the first record is no CSV header"),
    "Macintosh line ends": (GOOD.replace(b"\n", b"\r"), "the first record is no CSV header: 'customer_id.*carriage"),
    "endless field": (b"x" * 3_000_000, "required .*missing"),
    "binary": (random.Random(2).randbytes(1000), "the header is not UTF-8"),
    "truncated gzip": (gzip.compress(GOOD)[:-12], "the gzip stream ends early; the upload was cut off"),
    "truncated large gzip": (LARGE[: len(LARGE) // 2], "the gzip stream ends early"),
    "damaged gzip": (damaged(gzip.compress(GOOD * 50)), "the gzip stream is damaged \\(.*\\); send the file again"),
    "damaged checksum": (gzip.compress(GOOD)[:-8] + bytes(8), "the gzip stream is damaged \\(.*\\)"),
}


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_is_refused_with_its_name(body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=f"s3://memory/raw/messaging/customers/month=2026-03/customers.csv: .*{message}"
    ):
        received(body, tmp_path)


def test_a_name_that_says_gzip_must_be_gzip(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"customers.csv.gz: the name says gzip, the content is not; export it again"):
        received(GOOD, tmp_path, "customers.csv.gz")


@pytest.mark.parametrize("first", ["", "a", "a\nb", "a\r\nb", "a\rb", '"', "\\", " é "])
def test_text_of_any_kind_is_read_back_from_a_file_written_here(first: str, tmp_path: Path) -> None:
    values = [(first,), ('c"d',), ("",), ("e,\nf",)]
    path = tmp_path / "values"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(values)
    with closing(open_duckdb(tmp_path)) as duck:
        source = csv_source(path, {"value": "varchar"}, LINE_FEEDS + "allow_quoted_nulls=false, ")
        assert duck.execute(f"from {source}").fetchall() == values


# --- the fast reader and the one that mends ---------------------------------------------------------------

TWO = Contract(
    "messaging",
    "customers",
    "1",
    "",
    "",
    (
        Column("a", "", "string", "text", required=True, key_position=1),
        Column("b", "", "string", "text", options={"maxLength": 3}),
    ),
    "snapshot",
    100,
    0,
    (),
    "",
)
Judged = dict[int, tuple[str | None, str | None, list[str] | None]]


def judged(file: ReceivedFile, folder: Path, mended: Path | None) -> Judged:
    with closing(open_duckdb(folder)) as duck:
        found = {}
        for batch in judge(duck, file, TWO, Period.of("month", date(2026, 3, 1)), {}, mended):
            for row in batch.to_pylist():
                found[row["_record"]] = (row["a"], row["b"], row["_reasons"])
        return found


LINE = st.one_of(
    st.text(st.sampled_from('ab1,"\r\té '), max_size=10),
    st.sampled_from(
        ["x,y", '"x","y"', "x,", "x,y,", 'x,""', '"q""q",y', '"x\ny",z', '"x\r\ny",z', '"x\ry",z', "x,long"]
    ),
)


@given(st.lists(LINE, max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@example(["x,y,", "u,v"], "\n", True)
@example(['"x" ,y', "u,v"], "\n", True)
@example([' "x,y",z', "u,v"], "\n", True)
@example(["x,y\r", "u,v"], "\n", True)
@example(["1,2", "3,4"], "\r", True)
@example(['"x\r\ny",z', "short", '"x\ry",z'], "\r\n", True)
@settings(max_examples=150, deadline=None)
def test_both_readers_agree_on_every_record(lines: list[str], line_end: str, final: bool) -> None:
    body = "a,b\n" + line_end.join(lines) + (line_end if final and lines else "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = received(body.encode(), folder, contract=TWO)
        malformed = list(mend(file, folder / "mended.csv"))
        slow = judged(file, folder, folder / "mended.csv")
        assert not slow.keys() & {reject.record for reject in malformed}
        assert sorted([*slow, *(reject.record for reject in malformed)]) == list(range(1, file.rows_in + 1))
        if file.is_regular:
            try:
                fast = judged(file, folder, None)
            except FastReaderFailed:
                return
            # A count that differs makes `load` fall back to the other reader.
            assert len(fast) != file.rows_in or fast == slow
