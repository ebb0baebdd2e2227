"""Files with the vocabulary of another system load and appear in reports unchanged if no contract restricts it."""

from __future__ import annotations

from functools import partial

from support.landing import MONTH, Landing
from support.messaging_months import RUN, month
from waybill.contracts.locations import report_files
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.settings import PROJECT_ROOT

FIELD = PROJECT_ROOT / "tests/field/34_vocabulary"


def test_segments_countries_and_channel_types_of_another_system_load(landing: Landing) -> None:
    landing.check(landing.load("customers", (FIELD / "customers.csv").read_bytes()), 3, updated=3)
    landing.check(landing.load("channels", (FIELD / "channels.csv").read_bytes()), 3, updated=3)
    assert landing.all("select segment, country from messaging.customers order by customer_id") == [
        ("SMB", "United States"),
        ("Enterprise", "Denmark"),
        ("Startup", "United Kingdom"),
    ]
    assert landing.column("select channel_type from messaging.channels order by channel_id") == [
        "SMS",
        "Push",
        "Messenger",
    ]
    [path] = [path for path in report_files("messaging") if path.stem == "segment_share"]
    contract = report_contracts("messaging")["segment_share"]
    text, period = path.read_text(), month(MONTH)
    inputs = partial(known_files, landing.connection, "messaging", period, text)
    build_from_sql(landing.connection, contract, inputs, text, period, RUN)
    shares = landing.all("select segment, customers_count from messaging_report.segment_share order by segment")
    assert shares == [("Enterprise", 1), ("SMB", 1), ("Startup", 1)]
