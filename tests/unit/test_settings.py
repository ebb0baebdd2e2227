"""A missing or wrong setting is one message that names it; a production run has no defaults to fall back on."""

from __future__ import annotations

import pytest

from waybill.errors import DataError
from waybill.settings import Settings, SettingsError, read_settings, read_values

KEY = "k" * 32
PROD = {
    "WAYBILL_PROFILE": "prod",
    "WAYBILL_RAW_BUCKET": "acme-raw",
    "WAYBILL_REPORTS_BUCKET": "acme-reports",
    "WAYBILL_LAKE_BUCKET": "acme-lake",
    "WAYBILL_MASK_KEY": KEY,
}


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def test_dev_needs_nothing() -> None:
    found = read_settings()
    assert (found.profile, found.lake_bucket, found.mask_key) == ("dev", "waybill-lake", None)


@pytest.mark.parametrize("text", ["EUR,USD", " USD ,,EUR,USD"])
def test_values_are_written_with_commas_and_have_no_order(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_REGIONS", text)
    assert read_values("WAYBILL_REGIONS", ["GBP"]) == ("EUR", "USD")


@pytest.mark.parametrize("text", [None, ""])
def test_without_values_the_default_counts(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if text is not None:
        monkeypatch.setenv("WAYBILL_REGIONS", text)
    assert read_values("WAYBILL_REGIONS", ["south", "north"]) == ("north", "south")


def test_an_empty_list_of_values_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_REGIONS", " , ")
    with pytest.raises(SettingsError, match="WAYBILL_REGIONS: lists no value"):
        read_values("WAYBILL_REGIONS", ["north"])


def test_queues_are_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().queue_urls == {}
    assert read(monkeypatch, WAYBILL_QUEUE_URLS='{"billing": "http://b"}').queue_urls == {"billing": "http://b"}
    with pytest.raises(SettingsError, match=r"^WAYBILL_QUEUE_URLS: not a JSON object like .*: Expecting value"):
        read(monkeypatch, WAYBILL_QUEUE_URLS="http://b")


def test_the_former_name_of_a_queue_is_answered_with_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, WAYBILL_BILLING_QUEUE_URL="http://b", WAYBILL_CLAIMS_QUEUE_URL="http://c")
    assert str(caught.value) == (
        "WAYBILL_BILLING_QUEUE_URL, WAYBILL_CLAIMS_QUEUE_URL: not read any more; "
        """set WAYBILL_QUEUE_URLS='{"billing": "http://b", "claims": "http://c"}'"""
    )
    monkeypatch.delenv("WAYBILL_BILLING_QUEUE_URL")
    assert read(monkeypatch, WAYBILL_CLAIMS_QUEUE_URL="").queue_urls == {}


def test_prod_uses_the_given_values(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, **PROD)
    assert (found.raw_bucket, found.reports_bucket, found.lake_bucket) == ("acme-raw", "acme-reports", "acme-lake")
    assert found.mask_key
    assert found.mask_key.get_secret_value() == KEY


@pytest.mark.parametrize("name", sorted(PROD.keys() - {"WAYBILL_PROFILE"}))
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_prod_names_a_missing_setting(name: str, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting is required in prod although it has a default elsewhere."""
    given = PROD | ({} if value is None else {name: value})
    if value is None:
        del given[name]
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, **given)
    assert str(caught.value) == f"{name} must be set when WAYBILL_PROFILE is prod"
    assert isinstance(caught.value, DataError)  # a retry does not help


def test_prod_names_all_missing_settings_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, WAYBILL_PROFILE="prod")
    assert all(name in str(caught.value) for name in PROD)


def test_a_given_value_equal_to_the_default_is_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, **PROD, WAYBILL_TIMEZONE="UTC").raw_bucket == "acme-raw"
    assert read(monkeypatch, WAYBILL_RAW_BUCKET="waybill-raw").profile == "prod"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WAYBILL_TIMEZONE", "Europe/Berln", "'Europe/Berln' is no time zone; write it like Europe/Berlin"),
        ("WAYBILL_TIMEZONE", "../etc/passwd", "is no time zone"),
        ("WAYBILL_TIMEZONE", "/", "is no time zone"),
        ("WAYBILL_PROFILE", "production", "'dev' or 'prod'"),
        ("WAYBILL_LAKE_BUCKET", "x", "at least 3"),
        ("WAYBILL_MASK_KEY", "too-short-to-be-a-key", "at least 32"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, **{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert message in str(caught.value)


def test_two_wrong_settings_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, WAYBILL_TIMEZONE="Mars", WAYBILL_PROFILE="test")
    assert "WAYBILL_TIMEZONE: " in str(caught.value)
    assert "WAYBILL_PROFILE: " in str(caught.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, WAYBILL_MASK_KEY="hunter2", AIRFLOW_CONN_WAYBILL_WAREHOUSE="postgresql://etl:hunter2@db/x")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    monkeypatch.setenv("WAYBILL_MASK_KEY", "hunter2" * 5)
    assert "hunter2" not in repr(read_settings())


def test_given_values_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_PROFILE", "prod")
    assert read_settings(profile="dev").profile == "dev"
