"""Kinds of errors for the files of the shop. Dates follow from the day of delivery.

Changed fields are texts of CSV or of JSON, where an empty text removes the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from waybill_devtools.sampledata.injected_errors import Kind

if TYPE_CHECKING:
    import numpy as np

LOOKBACK_DAYS = 7


def customer_kinds(day: np.datetime64) -> list[Kind]:
    """Kinds for the changed rows of customers."""
    return [
        Kind({}, (), "duplicate"),
        Kind({"email": "not-an-address"}, ("pattern:email",)),
        Kind({"name": ""}, ("required:name",)),
        Kind({"updated_at": f"{day - LOOKBACK_DAYS - 1}T23:59:59Z"}, ("too_late",)),
        Kind({"country": "ZZ"}, ("conflict",), "conflict"),
        Kind({"updated_at": f"{day + 1}T00:00:00Z"}, ("after_period",)),
        Kind({"country": "Germany"}, ("pattern:country",)),
        Kind({"registration_date": "2025-02-30"}, ("type:registration_date",)),
        Kind({"customer_id": "C-17"}, ("type:customer_id",)),
        Kind({"email": ""}, ("required:email",)),
        Kind({"customer_id": "0"}, ("range:customer_id",)),
        Kind({}, ("ragged",), "short"),
        Kind({"name": "X" * 201}, ("length:name",)),
        Kind({"updated_at": f"{day}"}, ("type:updated_at",)),
        Kind({"customer_id": " {} ", "country": "{} "}, (), "duplicate"),
        Kind({"name": "Andr\udce9"}, ("encoding",)),
        Kind({"updated_at": ""}, ("required:updated_at",)),
        Kind({"country": "", "email": "a b@example.com", "registration_date": "01.05.2026"},
             ("required:country", "pattern:email", "type:registration_date")),
        Kind({}, ("ragged",), "long"),
        Kind({"email": "x" * 250 + "@example.com"}, ("length:email",)),
        Kind({"country": "uk"}, ("pattern:country",)),
        Kind({"customer_id": ""}, ("required:customer_id",)),
        Kind({"registration_date": "", "name": "  "}, ("required:registration_date", "required:name")),
    ]  # fmt: skip


def product_kinds() -> list[Kind]:
    """Kinds for the snapshot of products, as JSON."""
    return [
        Kind({}, (), "duplicate"),
        Kind({"price": "-{}"}, ("range:price",)),
        Kind({"stock": "-1"}, ("range:stock",)),
        Kind({"supplier": '"Somebody else"'}, ("conflict",), "conflict"),
        Kind({"price": "null"}, ("required:price",)),
        Kind({"price": '"cheap"'}, ("type:price",)),
        Kind({"stock": "2.5"}, ("type:stock",)),
        Kind({"name": '""'}, ("required:name",)),
        Kind({"price": '"{}"'}, (), "duplicate"),
        Kind({"price": "0"}, ("range:price",)),
        Kind({"category": ""}, ("required:category",)),
        Kind({"price": '"12,50"'}, ("type:price",)),
        Kind({"product_id": '"P-17"'}, ("type:product_id",)),
        Kind({"price": "19.999"}, ("type:price",)),
        Kind({"stock": "true"}, ("type:stock",)),
        Kind({"name": f'"{"X" * 201}"'}, ("length:name",)),
        Kind({"product_id": "null"}, ("required:product_id",)),
        Kind({"brand": '"   "'}, ("required:brand",)),
        Kind({"product_id": "0"}, ("range:product_id",)),
        Kind({"stock": "3000000000"}, ("type:stock",)),
        Kind({"price": "", "stock": '"many"', "name": "null"}, ("required:price", "type:stock", "required:name")),
        Kind({"supplier": "null"}, ("required:supplier",)),
        Kind({"stock": "null"}, ("required:stock",)),
    ]


def transaction_kinds(day: np.datetime64) -> list[Kind]:
    """Kinds for transactions."""
    after, too_late = f"{day + 1}T00:00:00Z", f"{day - LOOKBACK_DAYS - 1}T23:59:59Z"
    return [
        Kind({}, (), "duplicate"),
        Kind({"total_amount": "9999999.99"}, ("rule:total_amount",)),
        Kind({"quantity": "0"}, ("range:quantity", "rule:total_amount")),
        Kind({"transaction_ts": too_late}, ("too_late",)),
        Kind({"payment_method": "voucher"}, ("conflict",), "conflict"),
        Kind({"transaction_ts": after}, ("after_period",)),
        Kind({"status": "cancelled"}, ("enum:status",)),
        Kind({"price": ""}, ("required:price",)),
        Kind({"transaction_ts": f"{str(day)[:4]}-02-30T10:00:00Z"}, ("type:transaction_ts",)),
        Kind({"customer_id": "C-17"}, ("type:customer_id",)),
        Kind({"quantity": "+{}", "price": " {} ", "total_amount": "{} "}, (), "duplicate"),
        Kind({"price": "-{}"}, ("range:price", "rule:total_amount")),
        Kind({"quantity": "two"}, ("type:quantity",)),
        Kind({"price": "12,50"}, ("type:price",)),
        Kind({"product_id": ""}, ("required:product_id",)),
        Kind({"total_amount": "0.00"}, ("range:total_amount", "rule:total_amount")),
        Kind({"quantity": "1.5"}, ("type:quantity",)),
        Kind({"price": "NaN"}, ("type:price",)),
        Kind({"status": "Completed"}, ("enum:status",)),
        Kind({"transaction_id": ""}, ("required:transaction_id",)),
        Kind({"transaction_ts": "31/01/2026 10:00"}, ("type:transaction_ts",)),
        Kind({"quantity": "-1", "status": "lost", "transaction_ts": after, "customer_id": ""},
             ("range:quantity", "rule:total_amount", "enum:status", "after_period", "required:customer_id")),
        Kind({"customer_id": "0"}, ("range:customer_id",)),
        Kind({"total_amount": ""}, ("required:total_amount",)),
        Kind({"price": "19.999"}, ("type:price",)),
        Kind({"transaction_id": "9223372036854775808"}, ("type:transaction_id",)),
        Kind({"payment_method": " "}, ("required:payment_method",)),
        Kind({"product_id": "-5"}, ("range:product_id",)),
        Kind({"transaction_ts": ""}, ("required:transaction_ts",)),
        Kind({"price": "0.00"}, ("range:price", "rule:total_amount")),
        Kind({"status": "", "quantity": ""}, ("required:status", "required:quantity")),
        Kind({"quantity": "3000000000"}, ("type:quantity",)),
        Kind({"transaction_ts": f"{day}"}, ("type:transaction_ts",)),
        Kind({"transaction_id": "0"}, ("range:transaction_id",)),
        Kind({"product_id": "SKU-5"}, ("type:product_id",)),
        Kind({"total_amount": "Infinity"}, ("type:total_amount",)),
    ]  # fmt: skip


def click_kinds(day: np.datetime64) -> list[Kind]:
    """Kinds for the clickstream, as JSON."""
    return [
        Kind({}, (), "duplicate"),
        Kind({}, ("json",), "cut"),
        Kind({"event_type": '"click"'}, ("enum:event_type",)),
        Kind({"ts": f'"{day - LOOKBACK_DAYS - 1}T23:59:59Z"'}, ("too_late",)),
        Kind({"session_id": "null"}, ("required:session_id",)),
        Kind({"page": '"/elsewhere"'}, ("conflict",), "conflict"),
        Kind({"ts": f'"{day + 1}T00:00:00Z"'}, ("after_period",)),
        Kind({"event_id": '"1234"'}, ("type:event_id",)),
        Kind({}, ("json",), "comma"),
        Kind({"device": f'"{"w" * 51}"'}, ("length:device",)),
        Kind({"customer_id": '"guest"'}, ("type:customer_id",)),
        Kind({"customer_id": "0"}, ("range:customer_id",)),
        Kind({"device": ""}, ("required:device",)),
        Kind({"ts": '"yesterday"'}, ("type:ts",)),
        Kind({}, ("json",), "quotes"),
        Kind({"product_id": "-4"}, ("range:product_id",)),
        Kind({"product_id": "1.5"}, ("type:product_id",)),
        Kind({"page": '""'}, ("required:page",)),
        Kind({"event_type": '"Page_View"'}, ("enum:event_type",)),
        Kind({"ts": "1767225600"}, ("type:ts",)),
        Kind({"event_id": ""}, ("required:event_id",)),
        Kind({"session_id": '"none"', "event_type": "null", "product_id": '"SKU-1"'},
             ("type:session_id", "required:event_type", "type:product_id")),
        Kind({"ts": "null"}, ("required:ts",)),
        Kind({"customer_id": "2147483648"}, ("type:customer_id",)),
    ]  # fmt: skip


def review_kinds(day: np.datetime64) -> list[Kind]:
    """Kinds for reviews."""
    return [
        Kind({}, (), "duplicate"),
        Kind({"rating": "6"}, ("range:rating",)),
        Kind({"rating": "five"}, ("type:rating",)),
        Kind({"review_text": "A second opinion"}, ("conflict",), "conflict"),
        Kind({"review_date": f"{day - LOOKBACK_DAYS - 1}"}, ("too_late",)),
        Kind({"review_date": f"{day + 1}"}, ("after_period",)),
        Kind({"rating": ""}, ("required:rating",)),
        Kind({"review_date": f"{str(day)[:4]}-02-30"}, ("type:review_date",)),
        Kind({"rating": "0"}, ("range:rating",)),
        Kind({"product_id": ""}, ("required:product_id",)),
        Kind({"rating": "4.5"}, ("type:rating",)),
        Kind({"customer_id": "-3"}, ("range:customer_id",)),
        Kind({"review_text": "Y" * 10_001}, ("length:review_text",)),
        Kind({}, ("ragged",), "long"),
        Kind({"review_date": "", "rating": "11", "product_id": "SKU-5"},
             ("required:review_date", "range:rating", "type:product_id")),
        Kind({"review_text": "Tr\udce8s bien"}, ("encoding",)),
        Kind({"review_id": ""}, ("required:review_id",)),
        Kind({"review_text": "good\x00bad"}, ("nul",)),
        Kind({"review_id": "R-1"}, ("type:review_id",)),
    ]  # fmt: skip
