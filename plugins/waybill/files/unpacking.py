"""Unpack gzip, bzip2 and zstd streams. The first bytes of a file say how it is packed."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from waybill.errors import DataError
from waybill.files.formats import signature
from waybill.formatting import count
from waybill.settings import PREFIX, settings

CHUNK_BYTES: Final = 2**20
SENT_AGAIN: Final = "Send the file again."
_SMALL_BYTES: Final = 2**30
"""Content up to this size may be packed at any ratio."""

_MAGIC: Final = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # the second is a frame to skip
    "zip": re.compile(rb"PK(?:\x03\x04|\x05\x06)"),
}
_ENDINGS: Final = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".zip": "zip"}


def packing_of(head: bytes) -> str | None:
    """Return how a file with these first bytes is packed: `gzip`, `bzip2`, `zstd`, `zip` or None."""
    return next((packing for packing, magic in _MAGIC.items() if magic.match(head)), None)


def unpacked_name(name: str) -> str:
    """Return a name without the ending of its packing: `a.csv` for `a.csv.gz`."""
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def check_packing(name: str, head: bytes) -> str | None:
    """Return how a file is packed. Raises `DataError` if its name has the ending of another packing."""
    packing = packing_of(head)
    expected = next((packing for ending, packing in _ENDINGS.items() if name.lower().endswith(ending)), packing)
    if packing != expected and head:
        what = signature(head)
        advice = f"It is {what}." if what else "Export it again."
        raise DataError(
            f"{name}: the name ends in .{name.rpartition('.')[2]}, but the content is not {expected}. {advice}"
        )
    return packing


def unpack(name: str, packing: str | None, stream: io.BufferedReader[Any]) -> Iterator[bytes]:
    """Yield the bytes of a stream, unpacked; a stream may consist of several packed one after another.

    Raises `DataError` if it is truncated or corrupt, or if other bytes follow it.
    """
    if packing is None:
        return read_chunks(stream)
    read = {"gzip": _read_gzip, "bzip2": _read_bzip2, "zstd": _read_zstd}[packing]
    return read(name, stream)


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


def read_chunks(stream: Readable) -> Iterator[bytes]:
    """Yield the bytes of a stream in chunks."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def read_file(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in chunks."""
    with path.open("rb") as stream:
        yield from read_chunks(stream)


def _broken(name: str, packing: str, reason: str) -> DataError:
    return DataError(f"{name}: the {packing} stream is {reason}. {SENT_AGAIN}")


def _followed(name: str, packing: str) -> DataError:
    return DataError(f"{name}: other bytes follow the end of the {packing} stream. {SENT_AGAIN}")


def _read_gzip(name: str, stream: io.BufferedReader[Any]) -> Iterator[bytes]:
    try:
        yield from read_chunks(gzip.GzipFile(fileobj=stream))
    except EOFError:
        raise _broken(name, "gzip", "truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        if str(error).startswith("Not a gzipped file"):  # bytes after the first member
            raise _followed(name, "gzip") from None
        raise _broken(name, "gzip", f"corrupt ({error})") from error


def _read_bzip2(name: str, stream: io.BufferedReader[Any]) -> Iterator[bytes]:
    """Yield the bytes of a bzip2 stream. The standard library's file object ignores bytes after it."""
    packed = b""
    while packed or stream.peek():
        if packed and not packed.startswith(b"BZh"[: len(packed)]):
            raise _followed(name, "bzip2")
        decompressor = bz2.BZ2Decompressor()
        while not decompressor.eof:
            if decompressor.needs_input and not (packed := packed or stream.read(CHUNK_BYTES)):
                raise _broken(name, "bzip2", "truncated")
            try:
                chunk = decompressor.decompress(packed, CHUNK_BYTES)
            except OSError as error:
                raise _broken(name, "bzip2", f"corrupt ({error})") from error
            packed = b""
            if chunk:
                yield chunk
        packed = decompressor.unused_data


def _read_zstd(name: str, stream: io.BufferedReader[Any]) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd") as plain:
        while True:
            try:
                chunk = plain.read(CHUNK_BYTES)
            except OSError as error:
                if error.errno is not None:  # of the download
                    raise
                if "Truncated" in str(error):
                    raise _broken(name, "zstd", "truncated") from None
                if "Unknown frame descriptor" in str(error):
                    raise _followed(name, "zstd") from None
                raise _broken(name, "zstd", f"corrupt ({error})") from error
            if not chunk:
                return
            yield chunk


def limited(name: str, size_bytes: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks that an object of `size_bytes` unpacks to.

    Raises `DataError` if they exceed both 1 GiB and the object's size times `WAYBILL_MAX_UNPACK_RATIO`.
    """
    ratio = settings().max_unpack_ratio
    allowed, found = max(_SMALL_BYTES, int(ratio * size_bytes)), 0
    for chunk in chunks:
        found += len(chunk)
        if found > allowed:
            raise DataError(
                f"{name}: it unpacks to more than {allowed / 2**30:,.1f} GiB, over {ratio:g} times its size of "
                f"{count(size_bytes, 'byte')}. Send it unpacked, or raise {PREFIX}MAX_UNPACK_RATIO."
            )
        yield chunk
