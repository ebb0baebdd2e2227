"""Data files and the periods of their keys: by example, and for any string of folders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waybill.contracts import Contract, ContractError, load, load_domain
from waybill.contracts.locations import raw_layout
from waybill.errors import DataError
from waybill.intake.landing import has_landed, list_landed, list_pages
from waybill.intake.object_keys import ignore_reason, may_belong_to, period_of
from waybill.period import Period
from waybill.settings import PROJECT_ROOT

LINES = load_domain("orders")["lines"]
PURCHASES = load_domain("purchases")["purchases"]
TRAFFIC = load_domain("messaging")["traffic"]
REVIEWS = load_domain("shop")["reviews"]
CONTRACTS = (LINES, PURCHASES, TRAFFIC, REVIEWS)
LANDED_AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


def root(contract: Contract) -> str:
    return raw_layout(contract.domain, contract.name, contract.cadence).root


def read(contract: Contract, folders: str) -> str | None:
    """Return the period that the folders name, or None if the key is rejected."""
    try:
        return period_of(contract, "bucket", f"{root(contract)}{folders}x.csv", LANDED_AT).key
    except DataError:
        return None


@pytest.mark.parametrize(
    ("contract", "folders", "period"),
    [
        (LINES, "", "2026-11-28"),
        (LINES, "store7/", "2026-11-28"),
        (LINES, "7/", "2026-11-28"),
        (LINES, "region=eu/store7/", "2026-11-28"),
        (LINES, "v1.2.3/", "2026-11-28"),
        (LINES, "Mayer/", "2026-11-28"),
        (LINES, "dt=2026-03-05/", "2026-03-05"),
        (LINES, "store7/dt=2026-03-05/", "2026-03-05"),
        (LINES, "dt=2026-03-05/region=eu/", "2026-03-05"),
        (PURCHASES, "", "2026-11-28"),
        (PURCHASES, "year=2026/month=03/day=05/", "2026-03-05"),
        (TRAFFIC, "month=2026-09/", "2026-09"),
        (TRAFFIC, "month=2026-09/part7/", "2026-09"),
        (REVIEWS, "dt=2024-02-29/", "2024-02-29"),
    ],
)
def test_folders_that_name_a_period_or_nothing_like_one(contract: Contract, folders: str, period: str) -> None:
    assert read(contract, folders) == period


MALFORMED = [
    *("dt=20261105/", "dt=2026-3-5/", "dt=2026-02-30/", "dt=/", "dt/2026-03-05/", "DT=2026-03-05/", "Dt=2026-03-05/"),
    *("date=2026-03-05/", "day=2026-03-05/", "ds=2026-03-05/", "load_date=2026-03-05/", "ingestionDate=latest/"),
    *("2026/03/05/", "26/03/05/", "03/05/", "2026-03-05/", "20260305/", "260305/", "05032026/", "05.03.26/", "2026/"),
    *(
        "202603/",
        "2026-W13/",
        "W13/",
        "Q1/",
        "2026Q1/",
        "March/",
        "M\u00e4rz/",
        "Ma\u0308rz 26/",
        "Dez/",
        "03_f\u00e9vrier/",
        "monat=03/",
        "mois=3/",
        "FY2026/",
        "05-Mar-26/",
        "Month03/",
        "year2026/",
        "archive-2025/",
    ),
    *("month=2026-03/", "year=2026/", "Year=2026/Month=03/Day=05/", "year=2026/month=03/day=30/x=1/day=05/"),
    *("dt=2026-03-05/dt=2026-03-05/", "dt=2026-03-05/dt=2026-03-06/", "dt=2026-03-05/month=2026-03/"),
    *(
        "dt=2026-03-05T00/",
        "dt= 2026-03-05/",
        "dt =2026-03-05/",
        "dt=2026-03-05 /",
        "dt%3D2026-03-05/",
        "dt:2026-03-05/",
    ),
    *(
        "dt=\uff12\uff10\uff12\uff16-03-05/",
        "dt=0026-03-05/",
        "dt=9999-12-31/",
        "dt=__HIVE_DEFAULT_PARTITION__/",
        "datum=2026-03-05/",
    ),
    *("store7/dt=2026-3-5/", "year=2026/month=3/day=5/", "year=2026/month=02/day=30/", "year=2026/month=03/"),
    *("month=2026-9/", "month=2026-13/", "month=2026-00/", "month=202609/", "month=/", "month=2026-03/dt=2026-03-05/"),
    *("year=2026/store7/month=03/day=05/", "day=05/month=03/year=2026/", "=2026-03-05/"),
]


@pytest.mark.parametrize("folders", MALFORMED)
def test_folders_that_try_to_name_a_period_and_fail_are_rejected(folders: str) -> None:
    accepting = {contract.table for contract in CONTRACTS if read(contract, folders)}
    assert accepting == ({"messaging.traffic"} if folders == "month=2026-03/" else set())
    with pytest.raises(DataError, match=r"^s3://bucket/raw/orders/lines/.* land under raw/orders/lines/dt=YYYY-MM-DD/"):
        period_of(LINES, "bucket", f"{root(LINES)}{folders}x.csv", LANDED_AT)


def test_a_dataset_of_periods_needs_one_before_all_other_folders() -> None:
    for folders, problem in (
        ("", "no folder names the month"),
        ("store7/", "no folder names the month"),
        ("store7/month=2026-03/", "'month=2026-03' must precede other folders"),
        ("dt=2026-03-05/", "'dt=2026-03-05' is not read as a month"),
    ):
        with pytest.raises(DataError) as caught:
            period_of(TRAFFIC, "bucket", f"{root(TRAFFIC)}{folders}x.csv", LANDED_AT)
        assert str(caught.value) == (
            f"s3://bucket/raw/messaging/traffic/{folders}x.csv: {problem}; files of messaging.traffic land under "
            "raw/messaging/traffic/month=YYYY-MM/. Move the object there or delete it."
        )


@pytest.mark.parametrize(
    ("contract", "folders", "periods"),
    [
        (TRAFFIC, "month=2026-9/", ["2026-09"]),
        (TRAFFIC, "month=202609/", ["2026-09"]),
        (TRAFFIC, "dt=2026-09-15/", ["2026-09"]),
        (TRAFFIC, "store7/month=2026-09/", ["2026-09"]),
        (TRAFFIC, "month=2026-03/month=2026-04/", ["2026-03", "2026-04"]),
        (TRAFFIC, "month=2026-13/", []),
        (TRAFFIC, "store7/", []),
        (REVIEWS, "dt=20260305/", ["2026-03-05"]),
        (REVIEWS, "2026/03/05/", ["2026-03-05"]),
        (REVIEWS, "dt=2026-3-5/", ["2026-03-05"]),
        (REVIEWS, "year=2026/month=3/day=5/", ["2026-03-05"]),
        (REVIEWS, "dt=2026-02-30/", []),
    ],
)
def test_the_periods_that_an_object_under_malformed_folders_may_be_of(
    contract: Contract, folders: str, periods: list[str]
) -> None:
    key = f"{root(contract)}{folders}x20260101.csv"
    every = Period.of(contract.cadence, date(2026, 1, 1)).until(Period.of(contract.cadence, date(2026, 12, 31)))
    assert [period.key for period in every if may_belong_to(contract, key, period)] == periods


class Bucket:
    """As much of an S3 client as listing needs."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(set(keys))

    def get_paginator(self, _: str) -> Bucket:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: ARG002, N803  # boto3's names
        item = {"ETag": '"e"', "Size": 1, "LastModified": LANDED_AT}
        return [{"Contents": [{"Key": key, **item} for key in self.keys if key.startswith(Prefix)]}]


DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))
FOLDER = st.one_of(
    DAYS.map("dt={}".format),
    DAYS.map("month={:%Y-%m}".format),
    DAYS.map(lambda day: f"year={day:%Y}/month={day:%m}/day={day:%d}"),
    DAYS.map(lambda day: f"dt={day.year}-{day.month}-{day.day}"),
    DAYS.map("{:%Y/%m/%d}".format),
    DAYS.map("{:%Y%m%d}".format),
    st.sampled_from([folder.strip("/") for folder in MALFORMED]),
    st.sampled_from(["store7", "region=eu", "", "_temporary", ".hidden", "dt=", "month=2026-9"]),
    st.text(st.characters(exclude_characters="/", codec="utf-8"), max_size=12),
)
KEYS = st.lists(FOLDER, max_size=4).map(lambda folders: "".join(f"{folder}/" for folder in folders) + "x.csv")


@given(st.sampled_from(CONTRACTS), KEYS)
@example(TRAFFIC, "month=2026-9/x.csv")
@example(REVIEWS, "dt=2026-03-05/dt=2026-03-05/x.csv")
def test_sensor_intake_and_books_agree_and_a_key_has_one_period_or_is_rejected(contract: Contract, below: str) -> None:
    bucket = Bucket([root(contract) + below])
    [listing] = list_pages(bucket, "bucket", contract, None, None)
    assert len(listing.landed) + len(listing.misplaced) + len(listing.ignored) == 1
    for file in listing.landed:
        assert list_landed(bucket, "bucket", contract, file.period, file.period) == [file]
        assert list_landed(bucket, "bucket", contract, file.period.shift(1), None) == []
        prefix = raw_layout(contract.domain, contract.name, contract.cadence).prefix(file.period.start)
        if not contract.lands_any_time:
            assert file.key.startswith(prefix)
            assert has_landed(bucket, "bucket", contract, file.period)
            assert not has_landed(bucket, "bucket", contract, file.period.shift(-1))
        else:
            named = prefix.removeprefix(root(contract))
            assert f"/{named}" in f"/{below}" or file.period == Period.of("day", LANDED_AT.date())
    if not listing.landed:
        for offset in range(-400, 400, 27):
            period = Period.of(contract.cadence, LANDED_AT.date() + timedelta(days=offset))
            assert not has_landed(bucket, "bucket", contract, period)


@given(st.sampled_from(CONTRACTS), DAYS)
def test_every_period_is_read_from_the_prefix_that_is_written_for_it(contract: Contract, day: date) -> None:
    period = Period.of(contract.cadence, day)
    layout = raw_layout(contract.domain, contract.name, contract.cadence)
    assert period_of(contract, "bucket", layout.prefix(period.start) + "x.csv", LANDED_AT) == period


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("x.csv", None),
        ("Orders März + final 100%.csv", None),
        ("part-00000.csv", None),
        ("manifest.csv", None),
        ("a_b.c_d.csv", None),
        ("X.CSV.GZ", None),
        ("store7.csv.filepart", "the ending .filepart marks an incomplete upload"),
        ("store7.csv.uploading", "the ending .uploading marks an incomplete upload"),
        ("store7.csv.SHA1", "the ending .sha1 marks a file about another file"),
        ("store7.csv~", "the ending ~ marks a backup"),
        ("dt=2026-03-05_$folder$", "a key that ends with _$folder$ marks a folder"),
        ("x.csv.Part", "the ending .part marks an incomplete upload"),
        *((f"x.csv{ending}", f"the ending {ending} marks ") for ending in (".partial", ".tmp", ".crdownload")),
        ("x.csv.inprogress", "the ending .inprogress marks "),
        ("tx.csv.md5", "the ending .md5 marks a file about another file"),
        *((f"x.csv{ending}", f"the ending {ending.lower()} marks ") for ending in (".SHA256", ".crc", ".ok", ".done")),
        ("manifest.json", "manifest.json describes other files"),
        ("Manifest.JSON", "manifest.json describes other files"),
        ("_SUCCESS", "'_SUCCESS' begins with '_'"),
        ("_late.csv", "'_late.csv' begins with '_'"),
        (".x.csv", "'.x.csv' begins with '.'"),
        ("dt=2026-03-05/_temporary/0/x.csv", "'_temporary' begins with '_'"),
        (".spark-staging/x.csv", "'.spark-staging' begins with '.'"),
        ("folder/", "a key that ends with a slash marks a folder"),
        ("", "a key that ends with a slash marks a folder"),
    ],
)
def test_names_that_are_no_data(name: str, rule: str | None) -> None:
    for contract in CONTRACTS:
        found = ignore_reason(contract, root(contract) + name)
        assert found == rule if rule is None else str(found).startswith(rule)


def test_a_contract_may_declare_which_names_are_data() -> None:
    contract = replace(LINES, file_names=("orders_*.csv", "*.csv.gz"))
    for name, is_data in {
        "orders_1.csv": True,
        "store7/Orders_1.CSV": True,
        "x.csv.gz": True,
        "x.csv": False,
        "orders_1.csv.bak": False,
        "_orders_1.csv": False,
    }.items():
        assert (ignore_reason(contract, root(contract) + name) is None) == is_data, name
    reason = ignore_reason(contract, root(contract) + "x.csv")
    assert reason == "the contract's fileNames allow only orders_*.csv, *.csv.gz"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('["*.csv", "*.csv.gz"]', None),
        ('"*.csv"', "`fileNames` must be a list of different globs"),
        ("[]", "`fileNames` must be a list of different globs"),
        ("[7]", "`fileNames` must be a list of different globs"),
        ('["a/*.csv"]', "without a slash"),
    ],
)
def test_the_names_in_a_contract_are_checked(tmp_path: Any, value: str, message: str | None) -> None:
    path = tmp_path / "lines.yaml"
    text = (PROJECT_ROOT / "include/contracts/orders/lines.yaml").read_text()
    path.write_text(
        text.replace("customProperties:\n", f"customProperties:\n      - {{property: fileNames, value: {value}}}\n", 1)
    )
    if message is None:
        assert load(path).file_names == ("*.csv", "*.csv.gz")
    else:
        with pytest.raises(ContractError, match=message):
            load(path)
