"""Packed files are unpacked whole, or rejected with the name of what is wrong; members of archives are joined."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from support.landing import CUSTOMERS, MONTH, MemoryBucket, csv_body, customer_rows
from waybill.contracts import Contract, load_domain
from waybill.contracts.file_format import FileFormat
from waybill.errors import DataError
from waybill.files import unpacking
from waybill.files.json_records import is_json
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.files.unpacking import unpacked_name
from waybill.settings import read_settings
from waybill.warehouse.file_order import natural_key

CONTRACT = load_domain("messaging")["customers"]
GOOD = csv_body(CUSTOMERS, customer_rows(3))


def with_members(glob: str) -> Contract:
    return replace(CONTRACT, file_format=FileFormat(members=glob))


def received(body: bytes, folder: Path, name: str = "customers.csv", contract: Contract = CONTRACT) -> ReceivedFile:
    bucket = MemoryBucket()
    return receive(bucket, bucket.land("customers", MONTH, body, name), contract, folder)


def zstd(text: bytes) -> bytes:
    packed: bytes = pa.compress(text, codec="zstd", asbytes=True)
    return packed


def archive(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as opened:
        for name, body in members.items():
            opened.writestr(name, body)
    return target.getvalue()


def zipped(text: bytes) -> bytes:
    return archive({"customers.csv": text})


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
    "zip": zipped,
}
STREAMS = {name: pack for name, pack in PACKINGS.items() if name != "zip"}
LARGE = GOOD + b"".join(b"%d,1,%s,SMB,Retail,DE,2020-01-31\n" % (n, random.Random(n).randbytes(9).hex().encode())
                        for n in range(4, 30_000))  # fmt: skip


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
@pytest.mark.parametrize("text", [GOOD, LARGE], ids=["small", "large"])
def test_a_packed_file_is_read_whole(pack: Callable[[bytes], bytes], text: bytes, tmp_path: Path) -> None:
    packed = pack(text)
    file = received(packed, tmp_path)
    assert CUSTOMERS.encode() + b"\n" + file.body.read_bytes() == text
    assert file.rows_in == text.count(b"\n") - 1
    assert (file.content.size_bytes, file.content.sha256) == (len(packed), hashlib.sha256(packed).hexdigest())


@given(
    st.sampled_from(list(STREAMS.values())),
    st.lists(st.text(max_size=30).map(str.encode), max_size=5),
    st.integers(1, 64),
)
@hypothesis_settings(max_examples=150)
def test_streams_one_after_another_are_read(pack: Callable[[bytes], bytes], texts: list[bytes], size: int) -> None:
    packed = b"".join(map(pack, texts))
    stream = io.BufferedReader(io.BytesIO(packed), size)
    assert b"".join(unpacking.unpack("x", unpacking.packing_of(packed), stream)) == b"".join(texts)


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_truncated_file_is_rejected(packing: str, tmp_path: Path) -> None:
    packed = PACKINGS[packing](GOOD)
    for size in range(len(packed) - 1, 10, -1):
        with pytest.raises(DataError, match=f"customers.csv: the (?i:{packing}) (stream|archive) is truncated"):
            received(packed[:size], tmp_path)


@pytest.mark.parametrize("packing", STREAMS)
@pytest.mark.parametrize("rest", [b"E", b"EXTRA", b"\n"])
def test_other_bytes_after_the_end_are_rejected(packing: str, rest: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"other bytes follow the end of the {packing} stream. Send the file again"):
        received(STREAMS[packing](GOOD) + rest, tmp_path)


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "zip"])  # zstd has a checksum only if its writer adds one
def test_no_changed_byte_is_read_as_another_value(packing: str, tmp_path: Path) -> None:
    packed = bytearray(PACKINGS[packing](GOOD))
    for place in range(10, len(packed)):
        packed[place] ^= 0x11
        try:
            file = received(bytes(packed), tmp_path)
            assert file.body.read_bytes() == GOOD.split(b"\n", 1)[1]  # the byte is of a time or an attribute
        except DataError:
            pass
        packed[place] ^= 0x11


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
def test_a_file_that_unpacks_to_too_much_is_rejected(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_SMALL_BYTES", 2**20)
    bomb = pack(GOOD + bytes(30 * 2**20))
    with pytest.raises(DataError, match=r"unpacks to more than .* GiB, over 200 times its size of .* bytes\. Send"):
        received(bomb, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) < 16 * 2**20
    larger = read_settings(max_unpack_ratio=1e8)
    monkeypatch.setattr(unpacking, "settings", lambda: larger)
    assert received(bomb, tmp_path).rows_in == 4


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("gzip", "gzip"), ("gzip", "bzip2"), ("bzip2", "zstd"), ("zstd", "zip"), ("zip", "gzip"), ("zip", "zip")],
)
def test_a_file_that_is_packed_twice_is_named(outer: str, inner: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"it is a {inner} file within a {outer} file. Pack it once"):
        received(PACKINGS[outer](PACKINGS[inner](GOOD)), tmp_path)


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst", "zip", "ZIP"])
def test_a_name_must_not_claim_another_packing(ending: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"customers.csv.{ending}: the name ends in .{ending}, but the content is not"):
        received(GOOD, tmp_path, f"customers.csv.{ending}")


@pytest.mark.parametrize("name", ["a.json", "a.JSONL.gz", "a.ndjson.bz2", "a.json.zst", "a.json.ZIP"])
def test_names_of_packed_json_are_those_of_json(name: str) -> None:
    assert is_json(name)
    assert not is_json(name + ".txt")
    assert is_json(unpacked_name(name))


def test_names_compare_before_the_endings_of_their_packing() -> None:
    names = ["w.csv", "w.csv.bz2", "w.csv.gz", "w.CSV.zip", "w.parquet", "w.xlsx", "w (1).csv.zip", "w (2).csv"]
    assert sorted(names, key=natural_key) == sorted(names[:6], key=natural_key) + names[6:]


# --- zip archives ---------------------------------------------------------------------------------------------


def part(first: int, last: int, header: str = CUSTOMERS) -> bytes:
    return csv_body(header, customer_rows(last)[first - 1 :])


def test_a_single_member_is_read_whatever_else_a_computer_packs(tmp_path: Path) -> None:
    body = archive(
        {
            "data/": b"",
            "__MACOSX/data/._c.csv": b"\0\5",
            "data/.DS_Store": b"\0\1",
            "data/c.csv": GOOD,
            "__MACOSX/": b"",
        }
    )
    file = received(body, tmp_path, "customers.zip")
    assert (file.rows_in, file.archive_members) == (3, ())


def test_the_name_of_the_member_says_whether_it_is_json(tmp_path: Path) -> None:
    line = b'{"customer_id": 1, "customer_name": "A", "country": "DE"}\n'
    file = received(archive({"c.jsonl": line}), tmp_path, "customers.zip")
    assert (file.rows_in, len(file.json)) == (1, 1)


def test_members_are_one_file_in_the_natural_order_of_their_names(tmp_path: Path) -> None:
    members = {
        "c (10).csv": part(6, 9),
        "c (2).csv": part(3, 5).removesuffix(b"\n"),
        "c.csv": part(1, 2),
        "r.txt": b"?",
    }
    file = received(archive(members), tmp_path, contract=with_members("*.CSV"))
    assert file.body.read_bytes() == part(1, 9).split(b"\n", 1)[1]
    assert (file.rows_in, file.is_regular, file.lacks_line_end) == (9, True, False)
    assert file.archive_members == (("c.csv", 1, 2), ("c (2).csv", 3, 3), ("c (10).csv", 6, 4))
    assert file.hint == " Members: c.csv from record 1, c (2).csv from record 3, c (10).csv from record 6."
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["object.zip", "body.csv"]


def test_members_may_be_written_in_a_declared_dialect(tmp_path: Path) -> None:
    form = FileFormat("csv", "utf-16", delimiter=";", skip_lines=1, line_end="|", members="*")
    bodies = [
        f"Title|{text.replace(',', ';').replace(chr(10), '|').removesuffix('|')}".encode("utf-16")
        for text in (part(1, 2).decode(), part(3, 4).decode())
    ]
    body = archive({"1.csv": bodies[0], "2.csv": bodies[1]})
    file = received(body, tmp_path, contract=replace(CONTRACT, file_format=form))
    wanted = part(1, 4).split(b"\n", 1)[1].replace(b",", b";").replace(b"\n", b"|").removesuffix(b"|")
    assert (file.rows_in, file.body.read_bytes()) == (4, wanted)


def test_members_of_json_are_one_file(tmp_path: Path) -> None:
    line = '{"customer_id": %d, "customer_name": "A", "country": "DE"}'
    members = {f"{n}.json": f"[{line % n}, {line % (n + 1)}]".encode() for n in (1, 3)}
    file = received(archive(members), tmp_path, contract=with_members("*"))
    lines = [line for body in file.json for line in body.path.read_text().splitlines()]
    assert [json.loads(line)["customer_id"] for line in lines] == [1, 2, 3, 4]
    assert file.rows_in == 4


def test_members_without_a_header_name_the_declaration(tmp_path: Path) -> None:
    contract = replace(with_members("*"), missing_columns="warn", columns=CONTRACT.columns[:0])
    with pytest.raises(DataError, match=r"If the members have no header, declare `headerLines: 0`"):
        received(archive({"a.csv": b"1,Ann\n2,Bob\n", "b.csv": b"3,Cid\n4,Dee\n"}), tmp_path, contract=contract)


def test_a_header_may_be_spelled_differently_in_each_member(tmp_path: Path) -> None:
    members = {"a.csv": part(1, 2), "b.csv": part(3, 4, CUSTOMERS.replace("customer_id", "Cust ID"))}
    assert received(archive(members), tmp_path, contract=with_members("*")).rows_in == 4


ARCHIVES = {
    "several members": (
        archive({"b.csv": GOOD, "a.csv": GOOD}),
        None,
        "the ZIP archive has 2 members: b.csv, a.csv. Send one member in each archive, or declare",
    ),
    "no member": (archive({}), None, "the ZIP archive is empty"),
    "only a folder": (archive({"a/": b""}), "*", "the ZIP archive is empty"),
    "no match": (archive({"a.csv": GOOD}), "*.tsv", "no member of the ZIP archive matches `members: *.tsv`"),
    "other columns": (
        archive({"a.csv": GOOD, "b.csv": GOOD.replace(b"\n", b",\n")}),
        "*",
        "the members have different columns. a.csv has customer_id, account_id",
    ),
    "other order": (
        archive({"a.csv": GOOD, "b.csv": GOOD.replace(b"customer_id,account_id", b"account_id,customer_id")}),
        "*",
        "Export them with equal columns in the same order",
    ),
    "two formats": (
        archive({"a.csv": GOOD, "b.json": b'{"customer_id": 1}'}),
        "*",
        "b.json and a.csv are written in different formats",
    ),
    "a bad member": (archive({"a.csv": GOOD, "b.csv": b""}), "*", "customers.csv: b.csv: the file is empty (0 bytes)"),
    "a blank member": (archive({"a.csv": b"\n"}), None, "customers.csv: a.csv: the file is empty (1 byte)"),
    "a workbook within": (
        archive({"a.xlsx": archive({"[Content_Types].xml": b"", "xl/workbook.xml": b""})}),
        None,
        "customers.csv: a.xlsx: it is an Excel workbook",
    ),
}


@pytest.mark.parametrize(("body", "glob", "message"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_in_doubt_is_rejected(body: bytes, glob: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        received(body, tmp_path, contract=with_members(glob) if glob else CONTRACT)
    assert message in str(caught.value)


def test_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    body = archive({"a.csv": GOOD}, zipfile.ZIP_STORED).replace(b"Customer 2", b"Customer 7")
    with pytest.raises(DataError, match=r"a.csv: the ZIP archive is corrupt \(Bad CRC-32 for file 'a.csv'\)"):
        received(body, tmp_path)


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    body = bytearray(archive({"a.csv": GOOD}))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        body[body.index(magic) + offset] |= 1
    with pytest.raises(DataError, match=r"a.csv is encrypted. Pack it without a password"):
        received(bytes(body), tmp_path)


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    body = bytearray(archive({"a.csv": GOOD}))
    for magic, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        struct.pack_into("<H", body, body.index(magic) + offset, 9)  # deflate64
    with pytest.raises(DataError, match=r"a.csv: .*compression.*Pack it with the usual compression of ZIP"):
        received(bytes(body), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_large_archive_of_each_method_is_read(method: int, tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as opened, opened.open("c.csv", "w", force_zip64=True) as member:
        member.write(LARGE)
    assert received(target.getvalue(), tmp_path).rows_in == LARGE.count(b"\n") - 1
