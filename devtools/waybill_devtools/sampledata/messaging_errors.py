"""Kinds of errors for the messaging files. Dates follow from the month of delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waybill_devtools.sampledata.injected_errors import Kind

if TYPE_CHECKING:
    import numpy as np

UNKNOWN_CUSTOMER = 999_999_999
UNKNOWN_CHANNEL = 99
LOOKBACK_MONTHS = 12


def customer_kinds(month: np.datetime64) -> list[Kind]:
    """Kinds for the customers' snapshot; `duplicate` and `conflict` repeat an earlier record."""
    year = str(month)[:4]
    return [
        Kind({"customer_name": ""}, ("required:customer_name",)),
        Kind({"created_date": f"{year}-02-30"}, ("type:created_date",)),
        Kind({}, (), "duplicate"),
        Kind({"segment": "S" * 101}, ("length:segment",)),
        Kind({"country": "D" * 101}, ("length:country",)),
        Kind({}, ("conflict",), "conflict"),
        Kind({"customer_name": "Caf\udce9 Central"}, ("encoding",)),
        Kind({}, ("ragged",), "short"),
        Kind({"customer_name": "X" * 201}, ("length:customer_name",)),
        Kind({"customer_id": "C-17"}, ("type:customer_id",)),
        Kind({"account_id": "0"}, ("range:account_id",)),
        Kind({}, ("ragged",), "long"),
        Kind({"segment": ""}, ("required:segment",)),
        Kind({"country": "  "}, ("required:country",)),
        Kind({"created_date": "31.12.2024"}, ("type:created_date",)),
        Kind({"customer_name": "", "segment": "V" * 101, "country": "U" * 200},
             ("required:customer_name", "length:segment", "length:country")),
        Kind({"customer_name": "   "}, ("required:customer_name",)),
        Kind({"customer_id": "2147483648"}, ("type:customer_id",)),
        Kind({"industry": "Y" * 101}, ("length:industry",)),
        Kind({"customer_name": "Acme\x00 Ltd"}, ("nul",)),
        Kind({"created_date": "2025-13-01", "account_id": "-4"}, ("type:created_date", "range:account_id")),
        Kind({"customer_id": ""}, ("required:customer_id",)),
        Kind({"industry": ""}, ("required:industry",)),
        Kind({"account_id": "12.0"}, ("type:account_id",)),
        Kind({"country": "", "created_date": ""}, ("required:country", "required:created_date")),
    ]  # fmt: skip


def traffic_kinds(month: np.datetime64, next_customer: int) -> list[Kind]:
    """Kinds for a traffic file delivered in `month`; `next_customer` comes in the next month."""
    year = str(month)[:4]
    after = str((month + 1).astype("M8[D]"))
    too_late = str((month - LOOKBACK_MONTHS).astype("M8[D]") - 1)
    unknown = {"customer_id": str(UNKNOWN_CUSTOMER), "channel_id": str(UNKNOWN_CHANNEL)}
    return [
        Kind({}, (), "duplicate"),
        Kind({"customer_id": unknown["customer_id"]}, ("reference:customer_id",)),
        Kind({"revenue_eur": "-12.50"}, ("range:revenue_eur",)),
        Kind({"send_date": f"{year}-02-30"}, ("type:send_date",)),
        Kind({}, ("conflict",), "conflict"),
        Kind({"revenue_eur": "1,234.50"}, ("type:revenue_eur",)),
        Kind({"send_date": after}, ("after_period",)),
        Kind({"send_date": too_late}, ("too_late",)),
        Kind({"channel_id": unknown["channel_id"]}, ("reference:channel_id",)),
        Kind({"revenue_eur": "NaN"}, ("type:revenue_eur",)),
        Kind({"revenue_eur": "Infinity"}, ("type:revenue_eur",)),
        Kind({"revenue_eur": "99999999999.00"}, ("type:revenue_eur",)),
        Kind({}, ("ragged",), "short"),
        Kind({}, ("ragged",), "long"),
        Kind({"revenue_eur": ""}, ("required:revenue_eur",)),
        Kind({"send_date": "31/01/2026"}, ("type:send_date",)),
        Kind({"send_date": ""}, ("required:send_date",)),
        Kind({"interactions_count": "-3"}, ("range:interactions_count",)),
        Kind({"interactions_count": "3000000000"}, ("type:interactions_count",)),
        Kind({"interactions_count": "1e3"}, ("type:interactions_count",)),
        Kind({"interactions_count": "  "}, ("required:interactions_count",)),
        Kind({"send_date": f"{year}-13-01", "customer_id": "", "revenue_eur": "NaN"},
             ("type:send_date", "required:customer_id", "type:revenue_eur")),
        Kind({**unknown, "interactions_count": "-1"},
             ("reference:customer_id", "reference:channel_id", "range:interactions_count")),
        Kind({"send_date": after, "customer_id": unknown["customer_id"], "revenue_eur": ""},
             ("after_period", "reference:customer_id", "required:revenue_eur")),
        Kind({"revenue_eur": "12,50"}, ("type:revenue_eur",)),
        Kind({"revenue_eur": "12.345"}, ("type:revenue_eur",)),
        Kind({"customer_id": "abc"}, ("type:customer_id",)),
        Kind({"customer_id": str(next_customer)}, ("reference:customer_id",)),
        Kind({"account_id": ""}, ("required:account_id",)),
        Kind({"account_id": "0"}, ("range:account_id",)),
        Kind({"traffic_id": ""}, ("required:traffic_id",)),
        Kind({"traffic_id": "9223372036854775808"}, ("type:traffic_id",)),
    ]  # fmt: skip
