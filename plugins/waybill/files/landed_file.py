"""The model of an object in the raw bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from waybill.period import Period
from waybill.warehouse.file_order import natural_key


@dataclass(frozen=True)
class LandedFile:
    """An object of the raw zone."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    period: Period
    landed_at: datetime
    """When the content was uploaded."""

    @property
    def uri(self) -> str:
        """Return the address of the object for messages."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def name_key(self) -> str:
        """Return a sort key for the natural order of names."""
        return natural_key(self.key)
