"""The files of the lake's metadata in S3 for pyiceberg, by the client of the application.

pyiceberg's own access would import pandas, and would know nothing of Airflow's connection.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from botocore.exceptions import ClientError
from pyiceberg.io import FileIO, InputFile, OutputFile

CLIENT: Final = "waybill.s3-client"
"""The property of a catalog with the client."""


class S3FileIO(FileIO):
    """Reads and writes objects as a whole."""

    def new_input(self, location: str) -> S3File:
        """Return the object at an address."""
        return S3File(location, self.properties[CLIENT])

    def new_output(self, location: str) -> S3File:
        """Return the object at an address, which need not exist."""
        return S3File(location, self.properties[CLIENT])

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete an object, whether it exists or not."""
        address = location if isinstance(location, str) else location.location
        S3File(address, self.properties[CLIENT]).delete()


class S3File(InputFile, OutputFile):
    """An object in S3."""

    def __init__(self, location: str, s3: Any) -> None:
        super().__init__(location)
        bucket, _, key = location.partition("://")[2].partition("/")
        self._s3, self._place = s3, {"Bucket": bucket, "Key": key}

    def __len__(self) -> int:
        """Return the size in bytes."""
        return int(self._s3.head_object(**self._place)["ContentLength"])

    def exists(self) -> bool:
        """Return whether the object exists."""
        try:
            self._s3.head_object(**self._place)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def open(self, seekable: bool = True) -> BytesIO:  # noqa: ARG002  # pyiceberg's signature
        """Return the content. Raises `FileNotFoundError` if there is no object."""
        try:
            return BytesIO(self._s3.get_object(**self._place)["Body"].read())
        except self._s3.exceptions.NoSuchKey:
            raise FileNotFoundError(f"{self.location} does not exist: an expired snapshot may have had it") from None

    def create(self, overwrite: bool = False) -> BytesIO:  # noqa: ARG002  # names are unique
        """Return a stream whose content becomes the object when it is closed."""
        return _Upload(self._s3, self._place)

    def to_input_file(self) -> InputFile:
        """Return the object for reading."""
        return self

    def delete(self) -> None:
        """Delete the object, whether it exists or not."""
        self._s3.delete_object(**self._place)


class _Upload(BytesIO):
    """Bytes that are written to S3 when they are complete."""

    def __init__(self, s3: Any, place: dict[str, str]) -> None:
        super().__init__()
        self._s3, self._place = s3, place

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()

    def close(self) -> None:
        if not self.closed:
            self._s3.put_object(**self._place, Body=self.getvalue())
        super().close()
