"""The values of a column that a landed file has and its contract does not know."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeVar

from waybill.contracts import Column, Contract
from waybill.drafts.files import GivenFile
from waybill.drafts.profile import Rows, Texts, shape_of
from waybill.drafts.rows import reading_contract, text_column, validated
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake.validate import open_duckdb
from waybill.scratch import scratch_folder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

EXAMPLES: Final = 3
_SHARE: Final = 0.95
"""The share of its values that a column must accept to be the same under another name."""
_NAME: Final = "value"

R = TypeVar("R")


def shapes_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the most frequent forms of texts, without their content."""
    counts = Counter(shape_of(text) for text in texts)
    return tuple(sorted(counts, key=lambda shape: (-counts[shape], shape))[:EXAMPLES])


def shapes_in(s3: S3Client, landed: LandedFile, contract: Contract, header: str) -> tuple[str, ...]:
    """Return the most frequent forms of the values of a column of a file; none if the file cannot be read."""
    return _read(s3, landed, contract, header, lambda texts: shapes_of(texts.sample)) or ()


def is_accepted(s3: S3Client, landed: LandedFile, contract: Contract, header: str, column: Column) -> bool:
    """Return whether a column of the contract accepts the values of another one of a file.

    True if the file cannot be read or has no values.
    """

    def accepts(texts: Texts) -> bool:
        bad = texts.misfits(column).rows
        known = sum(text in column.enum for text in texts.sample) if column.enum else len(texts.sample)
        return bad <= (1 - _SHARE) * texts.present and known >= _SHARE * len(texts.sample)

    return _read(s3, landed, contract, header, accepts) is not False


def _read(s3: S3Client, landed: LandedFile, contract: Contract, header: str, answer: Callable[[Texts], R]) -> R | None:
    """Return the answer about the texts of a column of a file; None if the file cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with scratch_folder() as folder:
            columns, path = [text_column(_NAME, header)], folder / f"{_NAME}.parquet"
            only = reading_contract(contract.domain, contract.name, columns, contract.file_format, folder)
            validated(GivenFile(s3, landed), only, folder, path)
            with closing(open_duckdb(folder)) as duck:
                return answer(Rows(duck, [path], [_NAME]).texts_of(_NAME))
    except (DataError, BotoCoreError, ClientError) as error:
        log.warning("the values of %r were not read: %s", header, error)
        return None
