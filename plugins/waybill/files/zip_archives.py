"""Read the members of zip archives."""

from __future__ import annotations

import errno
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from waybill.errors import DataError
from waybill.files.unpacking import SENT_AGAIN, read_chunks
from waybill.warehouse.file_order import natural_key

_LISTED: Final = 10
"""How many members a message lists."""


class Member:
    """A member of a zip archive."""

    def __init__(self, archive: str, path: Path, info: zipfile.ZipInfo) -> None:
        self.name, self.size_bytes = info.filename, info.file_size
        self._full_name, self._path, self._info = f"{archive}: {info.filename}", path, info

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the member. Raises `DataError` if it is encrypted or corrupt."""
        if self._info.flag_bits & 1:
            raise DataError(f"{self._full_name} is encrypted. Pack it without a password.")
        with named_errors(self._full_name), zipfile.ZipFile(self._path) as archive, archive.open(self._info) as stream:
            yield from read_chunks(stream)


def members_of(name: str, path: Path, wanted: str | None) -> list[Member]:
    """Return the members of a zip archive that are data, in the natural order of their names.

    `wanted` is a glob for the last part of their names; None: the archive must have one member. Folders, hidden files
    and what macOS adds do not count. Raises `DataError` if the archive is corrupt or has no or too many members.
    """
    with named_errors(name), zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    found = [info for info in infos if wanted is None or _matches(info.filename, wanted)]
    listed = ", ".join(info.filename for info in infos[:_LISTED])
    listed += f" and {len(infos) - _LISTED} more" if len(infos) > _LISTED else ""
    if not infos:
        raise DataError(f"{name}: the ZIP archive is empty. {SENT_AGAIN}")
    if not found:
        raise DataError(f"{name}: no member of the ZIP archive matches `members: {wanted}` in the contract: {listed}.")
    if wanted is None and len(found) > 1:
        raise DataError(
            f"{name}: the ZIP archive has {len(found)} members: {listed}. Send one member in each archive, or declare "
            f'which members are data with the property `members` of the server in the contract, such as "*.csv" or "*".'
        )
    found.sort(key=lambda info: natural_key(info.filename))
    return [Member(name, path, info) for info in found]


def is_workbook(path: Path) -> bool:
    """Return whether a file that begins like a zip archive is an Excel workbook. Does not raise if it is corrupt."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not {"xl/workbook.xml", "xl/workbook.bin"}.isdisjoint(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        return False


def _is_hidden(name: str) -> bool:
    """Return whether a member is not data: `__MACOSX/._a.csv`, `.DS_Store`."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _matches(name: str, glob: str) -> bool:
    return fnmatchcase(name.rpartition("/")[2].lower(), glob.lower())


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Turn the errors of a corrupt archive into `DataError`."""
    try:
        yield
    except EOFError:
        raise DataError(f"{name}: the ZIP archive is truncated. {SENT_AGAIN}") from None
    except NotImplementedError as error:
        raise DataError(f"{name}: {error}. Pack it with the usual compression of ZIP (deflate).") from error
    except zipfile.BadZipFile as error:
        what = "truncated" if str(error) == "File is not a zip file" else f"corrupt ({error})"
        raise DataError(f"{name}: the ZIP archive is {what}. {SENT_AGAIN}") from error
    except (zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: the ZIP archive is corrupt ({error}). {SENT_AGAIN}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # of the disk, not of a wrong offset
            raise
        raise DataError(f"{name}: the ZIP archive is corrupt ({error}). {SENT_AGAIN}") from error
