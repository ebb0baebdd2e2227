"""Sample files of the messaging domain: customers, channels and traffic by month, about 1 % with errors.

The same options give the same bytes. The ground truth is recorded while errors are injected, not computed by
validating the files. Traffic is made by numpy: a scale of 200, a million rows a month,
takes seconds.
"""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np

from waybill_devtools.sampledata.files import (
    GROUND_TRUTH_PREFIX,
    SampleBuilder,
    SampleData,
    SampleFile,
    Uploaded,
    upload,
)
from waybill_devtools.sampledata.lines import InjectedRecord, Lines, record, splice
from waybill_devtools.sampledata.messaging_customers import Customers
from waybill_devtools.sampledata.messaging_traffic import CHANNELS, Traffic, channels_of

__all__ = ["GROUND_TRUTH", "SampleData", "SampleFile", "Uploaded", "generate", "upload"]

GROUND_TRUTH = f"{GROUND_TRUTH_PREFIX}messaging.json"

# position and spelling of the columns of a snapshot of channels, in even and in odd months
HEADERS = (
    {"channel_id": 0, "channel_name": 1, "channel_type": 2, "unit_price_eur": 3},
    {"Channel-Type": 2, "Channel ID": 0, "Unit Price EUR": 3, "Channel Name": 1},
)
PRICE_CHANGES = {1: Decimal("0.0475"), 4: Decimal("0.0550")}


def generate(last_month: str, months: int = 14, seed: int = 20260101, scale: float = 1.0) -> SampleData:
    """Return files for `months` consecutive months up to `last_month` (YYYY-MM).

    Scale 1 is about 300 customers and 4,000 to 6,000 traffic rows a month; both grow with it. Raises
    ValueError for an invalid month, no months or a scale that is not positive.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", last_month):
        raise ValueError(f"last_month is {last_month!r}, expected a month as YYYY-MM")
    if months < 1 or scale <= 0:
        raise ValueError(f"months is {months} and scale {scale}, expected at least one month and a positive scale")
    first = np.datetime64(last_month, "M") - (months - 1)
    builder = SampleBuilder("messaging")
    customers = Customers(seed, first, months, scale)
    traffic = Traffic(seed, customers, builder, scale)
    for index in range(months):
        customers.advance(index, builder)
        _add_channels(index, months, str(first + index), builder)
        customers.add_snapshot(index, builder)
        traffic.add_month(index)
        traffic.add_corrections(index)
    options = {"last_month": last_month, "months": months, "seed": seed, "scale": scale}
    return SampleData(builder.domain, builder.files, builder.ground_truth(options))


def _add_channels(index: int, months: int, month: str, builder: SampleBuilder) -> None:
    """Add the month's channels: prices change half-way, one channel starts later, some rows are duplicates."""
    change = max(1, months // 2)
    header = HEADERS[index % 2]
    channels = channels_of(index, months)
    lines = []
    for channel in channels:
        name, kind, price, _ = CHANNELS[channel]
        if index >= change:
            price = PRICE_CHANGES.get(channel, price)
        fields = (str(channel), name, kind, str(price))
        lines.append(record([fields[place] for place in header.values()], b"\n"))
    known = channels_of(index - 1, months) if index else []
    updated = len(PRICE_CHANGES) if index == change else 0
    twice = [InjectedRecord(len(lines), lines[1], duplicate=True)] if index % 5 == 2 else []
    builder.add(
        "channels",
        month,
        f"channels_{month}.csv",
        splice(record(header, b"\n"), Lines.of(lines), twice),
        inserted=len(channels) - len(known),
        updated=updated,
        unchanged=len(known) - updated,
    )
    if index == change:
        builder.story(month, f"the prices of channels {' and '.join(map(str, PRICE_CHANGES))} change")
    if index and len(channels) > len(known):
        builder.story(month, f"channel {channels[-1]} is new")
