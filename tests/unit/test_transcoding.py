"""Text of every encoding becomes UTF-8 in chunks of any size, and undefined bytes stay recognisable."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from encodings.aliases import aliases

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from waybill.contracts.file_format import encoding_named
from waybill.errors import DataError
from waybill.files.transcoding import as_readable, is_utf_8, transcode

ENCODINGS = sorted({name for alias in {*aliases, *aliases.values()} if (name := encoding_named(alias))})
OTHERS = [name for name in ENCODINGS if not is_utf_8(name)]
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def in_chunks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def transcoded(content: bytes, encoding: str, size: int = 2**20) -> bytes:
    return b"".join(transcode("file", in_chunks(content, size), encoding))


def test_every_encoding_of_text_is_known() -> None:
    assert {"cp1252", "iso8859-15", "utf-16", "utf-32-be", "shift_jis", "big5", "koi8-r", "ascii"} < {*OTHERS}


@pytest.mark.parametrize("encoding", OTHERS)
def test_letters_of_an_encoding_arrive(encoding: str) -> None:
    letters = "".join(
        chr(code) for code in [*range(32, 127), *range(0xA0, 0x250), *range(0x391, 0x460), 0x20AC, 0x3042]
    )
    text = "a,b\n" + "".join(letter for letter in letters if _encodes(letter, encoding))
    for size in (1, 7, 2**20):
        assert transcoded(text.encode(encoding), encoding, size).decode().removeprefix("\ufeff") == text


def _encodes(letter: str, encoding: str) -> bool:
    try:
        return letter.encode(encoding).decode(encoding) == letter
    except UnicodeError:
        return False


@given(st.sampled_from(OTHERS), st.binary(min_size=1, max_size=60), st.integers(1, 20))
@example("iso8859-8", b"\xc3\xbf", 1)
@example("cp1252", b"\x81\x9d", 1)
@settings(max_examples=500)
def test_any_bytes_are_decoded_or_rejected(encoding: str, content: bytes, size: int) -> None:
    assume(not content.startswith(MARKS))
    found = transcoded(content, encoding, size)
    assert found == transcoded(content, encoding)
    exact = f"{encoding}-le" if encoding in ("utf-16", "utf-32") else encoding
    if exact == encoding:
        try:
            expected = content.decode(encoding)
        except UnicodeDecodeError:
            with pytest.raises(UnicodeDecodeError):
                found.decode()
            assert "\\x" in as_readable(found, encoding)
        else:
            assert found.decode() == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["-le", "-be", ""])
def test_the_byte_order_is_found(encoding: str, order: str) -> None:
    text = "id;город\n1;Łódź\n"
    assert transcoded(text.encode(encoding + order), encoding).decode().removeprefix("\ufeff") == text


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_of_another_encoding_is_named(mark: bytes) -> None:
    with pytest.raises(DataError, match="file: the contract declares the encoding cp1252, but the file begins"):
        transcoded(mark + "a,b\n".encode("utf-16-le"), "cp1252")


def test_utf_8_stays_as_it_is() -> None:
    chunks = iter([b"\xff", b"a"])
    assert transcode("file", chunks, "utf-8") is chunks
    assert as_readable(b"\xffa\xed\xb2\x81", "utf-8") == r"\xffa\xed\xb2\x81"
