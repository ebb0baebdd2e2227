"""A landed file is unpacked, its header is matched, and both readers return the same records."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import lzma
import random
import tarfile
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.landing import CUSTOMERS, MONTH, MemoryBucket, csv_body, customer_rows
from waybill.contracts import Column, Contract, load_domain
from waybill.errors import DataError
from waybill.files.csv_files import match_header
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.files.spellings import normalise
from waybill.intake.row_source import RowSource, as_received, reparse
from waybill.intake.validate import LINE_FEEDS, FastReaderFailed, csv_source, open_duckdb, validate_rows

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


def test_a_column_that_occurs_twice_is_rejected_even_under_two_names() -> None:
    with pytest.raises(
        DataError, match=r"file: the header has customer_id more than once. The header is: customer_id, .*, Cust ID"
    ):
        match_header("file", [*CUSTOMERS.split(","), "Cust ID"], CONTRACT)


def test_a_header_without_any_name_is_shown_and_may_be_missing() -> None:
    with pytest.raises(DataError, match=r"^file: no field of the header is the name of a column.*is: 1, 1, A$"):
        match_header("file", ["1", "1", "A"], CONTRACT)


def test_every_missing_required_column_is_named() -> None:
    with pytest.raises(
        DataError, match=r"file: .*missing: customer_name, country. The header is: customer_id, account_id"
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
    assert (file.content.size_bytes, file.content.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert file.body.read_bytes().split()[0] == b"1,1,Customer"


def damaged(packed: bytes) -> bytes:
    """Return the gzip file with its middle overwritten."""
    middle = len(packed) // 2
    return packed[:middle] + bytes(20) + packed[middle + 20 :]


LARGE = gzip.compress(GOOD + random.Random(1).randbytes(3_000_000).hex(bytes_per_sep=32, sep="\n").encode())
REJECTED = {
    "empty": (b"", "the file is empty \\(0 bytes\\) and has no header. Send it again"),
    "empty gzip": (gzip.compress(b""), "the file is empty \\(20 bytes\\)"),
    "blank lines only": (b"\n\r\n\n", "the file is empty \\(4 bytes\\)"),
    "BOM only": (codecs.BOM_UTF8, "the file is empty \\(3 bytes\\)"),
    "BOM and a blank line": (codecs.BOM_UTF8 + b"\n", "the file is empty \\(4 bytes\\)"),
    "Latin-1": (
        "größe,b\n1,2\n".encode("latin-1"),
        "the text appears to be in cp1252. Declare `encoding: cp1252` in the server .* The header is: größe,b",
    ),
    "UTF-16": (
        GOOD.decode().encode("utf-16"),
        "the text is in utf-16. Declare `encoding: utf-16` in the server",
    ),
    "NUL": (b"customer_id\0,account_id\n", "the first record is not a CSV header: 'customer_id.x00"),
    "unclosed quote": (b'"customer_id,account_id\n1,2\n', "the first record is not a CSV header"),
    "mixed line ends": (GOOD.replace(b"\n", b"\r", 1), "the first record is not a CSV header: 'customer_id.*carriage"),
    "endless field": (b"x" * 3_000_000, "Required columns are missing"),
    "binary": (random.Random(2).randbytes(1000), "the content is not text. Export the file as CSV or JSON"),
    "truncated gzip": (gzip.compress(GOOD)[:-12], "the gzip stream is truncated. Send the file again"),
    "truncated large gzip": (LARGE[: len(LARGE) // 2], "the gzip stream is truncated"),
    "damaged gzip": (damaged(gzip.compress(GOOD * 50)), "the gzip stream is corrupt \\(.*\\). Send the file again"),
    "damaged checksum": (gzip.compress(GOOD)[:-8] + bytes(8), "the gzip stream is corrupt \\(.*\\)"),
}


@pytest.mark.parametrize(("body", "message"), REJECTED.values(), ids=REJECTED.keys())
def test_what_cannot_be_read_is_rejected_with_its_name(body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=f"s3://memory/raw/messaging/customers/month=2026-03/customers.csv: .*{message}"
    ):
        received(body, tmp_path)


ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("orders.csv", GOOD)
WORKBOOK = io.BytesIO()
with zipfile.ZipFile(WORKBOOK, "w") as archive:
    archive.writestr("[Content_Types].xml", "<Types/>")
    archive.writestr("xl/workbook.xml", "<workbook/>")
TAR = io.BytesIO()
with tarfile.open(fileobj=TAR, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("orders.csv"))
FORMATS = {
    "xlsx": (WORKBOOK.getvalue(), "it is an Excel workbook (.xlsx). Declare `format: xlsx`"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "it is an Excel workbook (.xls)"),
    "empty bzip2": (bz2.compress(b""), "the file is empty (14 bytes)"),
    "xz": (lzma.compress(GOOD), "it is packed with xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00rest", "the zstd stream is corrupt"),
    "tar": (TAR.getvalue(), "it is a tar archive. Unpack it"),
    "gzip twice": (gzip.compress(gzip.compress(GOOD)), "it is a gzip file within a gzip file. Pack it once"),
    "zip in gzip": (gzip.compress(ZIP.getvalue()), "it is a zip file within a gzip file. Pack it once"),
    "Parquet": (b"PAR1\x15\x04\x15\x10rest", "it is a Parquet file. Declare `format: parquet`"),
    "Avro": (b"Obj\x01\x04rest", "it is an Avro file"),
    "PDF": (b"%PDF-1.7\n", "it is a PDF document"),
    "UTF-16 with BOM": (
        GOOD.decode().encode("utf-16"),
        "the text is in utf-16. Declare `encoding: utf-16` in the server",
    ),
    "UTF-16, big end first": (codecs.BOM_UTF16_BE + GOOD.decode().encode("utf-16-be"), "the text is in utf-16"),
    "UTF-16 without BOM": (GOOD.decode().encode("utf-16-le"), "the text is in utf-16"),
    "UTF-16 without BOM, big end first": (GOOD.decode().encode("utf-16-be"), "the text is in utf-16"),
    "UTF-32": (GOOD.decode().encode("utf-32"), "the text is in utf-32"),
    "HTML": (b"\n<!DOCTYPE html><html>", "it is an HTML page. Export its table as CSV"),
    "XML": (b'<?xml version="1.0"?><orders/>', "it is XML. Export it as CSV or JSON"),
    "JSON": (
        b'[{"customer_id": 1}]',
        "the content looks like JSON. Declare `format: json` in the server of the contract, or give the file a name",
    ),
    "JSON lines": (b'{"customer_id": 1}\n', "the content looks like JSON"),
    "semicolons": (
        GOOD.replace(b",", b";"),
        ': it appears that semicolons separate the fields. Declare `delimiter: ";"` in the server of the contract',
    ),
    "tabs": (GOOD.replace(b",", b"\t"), ': it appears that tabs separate the fields. Declare `delimiter: "\\t"`'),
    "pipes": (GOOD.replace(b",", b"|"), ': it appears that pipes separate the fields. Declare `delimiter: "|"`'),
    "quoted, with semicolons": (
        ("\n".join(f'"{line}"'.replace(",", '";"') for line in GOOD.decode().splitlines())).encode(),
        ': it appears that semicolons separate the fields. Declare `delimiter: ";"`',
    ),
    "decimal commas": (
        GOOD.replace(b",", b";").replace(b"Customer 1", b"80,5"),
        (
            ': it appears that semicolons separate the fields. Declare `delimiter: ";"` in the server of the contract, '
            "or export the file as CSV with commas in UTF-8. Numbers appear to have decimal commas: declare "
            "`numberFormat`, too."
        ),
    ),
    "a line for spreadsheets": (
        b"sep=;\n" + GOOD,
        "the first line declares the delimiter ';', but the contract declares ','. Export the file as the contract",
    ),
    "a title": (b"Customers of March\n\n" + GOOD, ": it appears that the header is line 3. Declare `skipLines: 2`"),
    "Windows-1252": (
        GOOD.replace(b"created_date", b"f\xfcr"),
        "the text appears to be in cp1252. Declare `encoding: cp1252` in the server of the contract",
    ),
    "single quotes": (
        GOOD.replace(b"industry", b"'industry'"),
        ': it appears that single quotes enclose fields. Declare `quote: "\'"`',
    ),
    "record separators": (
        GOOD.replace(b"\n", b"\x1e"),
        'it appears that records end in another character. Declare `lineEnd: "\\u001e"` in the server of the contract',
    ),
    "form feeds": (
        GOOD.replace(b"\n", b"\f"),
        'the file has no line feed, but U+000C. If it ends the records, declare `lineEnd: "\\f"` in the server',
    ),
    "JSON in UTF-16, below a name with a dot": (
        '{"a.b": [{"customer_id": 1}]}'.encode("utf-16"),
        (
            "the content looks like JSON in utf-16. Declare `format: json`, `encoding: utf-16` and `recordPath: "
            "'\"a.b\"'` in the server of the contract."
        ),
    ),
    "fixed width": (
        b"".join(
            b"%-12s%-20s%12s\n" % row for row in ((b"customer_id", b"name", b"n"), *[(b"1", b"Ann of Ely", b"7")] * 9)
        ),
        "it is most likely fixed-width text, which cannot be declared. Export it as CSV.",
    ),
    "only blanks": (b"   \n\n", "the file is empty (5 bytes) and has no header"),
    "no-break spaces": ("\u00a0\ufeff\n".encode(), "the file is empty (6 bytes)"),
    "garbage behind gzip": (gzip.compress(GOOD) + b"EXTRA", "other bytes follow the end of the gzip stream"),
}


@pytest.mark.parametrize(("body", "message"), FORMATS.values(), ids=FORMATS.keys())
def test_the_message_names_the_format(body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        received(body, tmp_path)
    assert str(caught.value).startswith("s3://memory/raw/messaging/customers/month=2026-03/customers.csv: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_the_message_names_the_encoding_of_json(encoding: str, tmp_path: Path) -> None:
    body = '[{"customer_id": 1, "name": "Zoë"}]'.encode(encoding)
    with pytest.raises(DataError, match=f"looks like JSON in {encoding}. Declare `encoding: {encoding}` in the server"):
        received(body, tmp_path, "customers.json")


def test_json_may_begin_with_two_byte_order_marks(tmp_path: Path) -> None:
    assert received(codecs.BOM_UTF8 * 2 + b'[{"customer_id": 1}]\n', tmp_path, "customers.json").rows_in == 1


@pytest.mark.parametrize("name", ["PAR1", "ORC", "ARROW1", "BZh9", "PK", "7z", "Rar!", "sep=", "xl/"])
def test_a_header_may_begin_like_another_format(name: str, tmp_path: Path) -> None:
    file = received(GOOD.replace(b"customer_id", name.encode() + b",customer_id").replace(b"\n", b"\n,"), tmp_path)
    assert file.ignored == [name]


READ = {
    "two byte order marks": codecs.BOM_UTF8 * 2 + GOOD,
    "a line for spreadsheets": b"sep=,\r\n" + GOOD,
    "blanks around names": GOOD.replace(b"customer_id", "\u00a0\u200bcustomer_id\t\ufeff".encode()),
    "a line break in a name": GOOD.replace(b"customer_id", b'"Customer\r\nID"'),
    "camel case": GOOD.replace(b"customer_id", b"customerId").replace(b"created_date", b"CreatedDate"),
    "commas above": b",,,\n,,,\r\n" + GOOD,
    "zeros behind gzip": gzip.compress(GOOD) + bytes(512),
}


@pytest.mark.parametrize("body", READ.values(), ids=READ.keys())
def test_an_odd_beginning_or_end_is_read(body: bytes, tmp_path: Path) -> None:
    file = received(body, tmp_path)
    assert (file.columns, file.rows_in, file.is_regular) == (CUSTOMERS.split(","), 3, True)


@pytest.mark.parametrize("name", ["A.CSV", "A.CSV.GZ", "a.csv.Gz"])
def test_names_are_read_in_any_case(name: str, tmp_path: Path) -> None:
    assert received(gzip.compress(GOOD), tmp_path, name).rows_in == 3


@pytest.mark.parametrize(
    ("ending", "lacks_line_end"), [(b"\n", False), (b"\r\n", False), (b"", True), (b"\r", True), (b"\n,,", False)]
)
def test_a_last_record_without_line_end_is_noticed(ending: bytes, lacks_line_end: bool, tmp_path: Path) -> None:
    file = received(GOOD.removesuffix(b"\n") + ending, tmp_path)
    assert (file.rows_in, file.lacks_line_end) == (3, lacks_line_end)


def test_a_header_alone_may_end_without_a_line_end(tmp_path: Path) -> None:
    assert not received(CUSTOMERS.encode(), tmp_path).lacks_line_end


def test_a_file_with_the_extension_of_gzip_must_be_gzip(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"customers.csv.gz: the name ends in .gz, but the content is not gzip. Export it again"
    ):
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


# --- the fast reader and the one that reparses ---------------------------------------------------------------

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
Rows = dict[int, tuple[str | None, str | None, list[str] | None]]


def validated(source: RowSource, folder: Path) -> Rows:
    with closing(open_duckdb(folder)) as duck:
        found = {}
        for batch in validate_rows(duck, source, TWO, {}):
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
@settings(max_examples=150)
def test_both_readers_agree_on_every_record(lines: list[str], line_end: str, final: bool) -> None:
    body = "a,b\n" + line_end.join(lines) + (line_end if final and lines else "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = received(body.encode(), folder, contract=TWO)
        reparsed, malformed = reparse(file, TWO, folder / "reparsed.csv")
        slow = validated(reparsed, folder)
        assert not slow.keys() & {reject.record for reject in malformed}
        assert sorted([*slow, *(reject.record for reject in malformed)]) == list(range(1, file.rows_in + 1))
        if file.is_regular:
            try:
                fast = validated(as_received(file), folder)
            except FastReaderFailed:
                return
            # A count that differs makes `load` fall back to the other reader.
            assert len(fast) != file.rows_in or fast == slow
