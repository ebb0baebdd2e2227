"""The proposed change of a contract is applied, and the next run loads the files that showed the drift."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.landing import CHANNELS, Landing, channel_rows, csv_body, landing_bucket, landing_dsn
from support.messaging_months import RUN
from support.problems import landed, writer_of
from waybill.cli import app
from waybill.contracts import load_domain
from waybill.errors import DataError
from waybill.settings import PROJECT_ROOT, settings
from waybill.watch.drift import look, open_drift
from waybill_devtools.stack import Stack

__all__ = ["landed", "landing_bucket", "landing_dsn"]

MONTH = "2026-03"


@dataclass
class Own:
    """A warehouse with its own contracts."""

    landing: Landing
    root: Path

    def look(self) -> list[tuple[str, str, str]]:
        found = look(self.landing.connection, self.landing.s3, [self.landing.contracts["channels"]], RUN)
        return [(one.kind, one.column_name, one.name) for one in found]

    def number(self) -> int:
        [one] = open_drift(self.landing.connection, ["messaging.channels"])
        return one.drift_id

    def apply(self, diff: str) -> None:
        done = subprocess.run(["git", "apply", "-"], cwd=self.root, input=diff, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        self.landing.contracts = load_domain("messaging")

    def path(self) -> Path:
        return self.root / "include/contracts/messaging/channels.yaml"

    def amend(self, old: str, new: str) -> None:
        text = self.path().read_text()
        assert text.count(old) == 1
        self.path().write_text(text.replace(old, new))
        self.landing.contracts = load_domain("messaging")


@pytest.fixture
def own(landed: Landing, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    shutil.copytree(PROJECT_ROOT / "include", tmp_path / "include")
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(tmp_path / "include"))
    monkeypatch.setenv("WAYBILL_WAREHOUSE", writer_of(stack, landed))
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", writer_of(stack, landed))
    settings.cache_clear()
    return Own(landed, tmp_path)


def proposed(own: Own, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["contract", "propose", str(own.number()), *arguments])


def rows(own: Own, columns: str) -> list[tuple[Any, ...]]:
    return own.landing.all(f"select {columns} from messaging.channels_as_of('2026-04-01') order by channel_id")


def loaded(own: Own) -> None:
    """Ingest the landed file again, with the contract of now."""
    assert set(own.landing.ingest("channels", MONTH)) == {"part-1.csv"}


def test_a_renamed_required_column_becomes_a_synonym(own: Own) -> None:
    header = CHANNELS.replace("channel_type", "kind of channel")
    with pytest.raises(DataError, match="Required columns are missing: channel_type"):
        own.landing.load("channels", csv_body(header, channel_rows()), key_month=MONTH)
    assert own.look() == [("renamed column", "channel_type", "kind of channel")]
    done = proposed(own)
    assert done.exit_code == 0, done.output
    added = [line for line in done.stdout.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert added == ["+version: 1.2.0", "+        synonyms: [{synonym: type}, {synonym: kind of channel}]"]
    own.apply(done.stdout)
    checked = CliRunner().invoke(app, ["contract", "check"])
    assert checked.exit_code == 0, checked.output
    loaded(own)
    assert rows(own, "channel_id, channel_type") == [(1, "sms"), (2, "sms"), (3, "sms")]
    assert own.look() == []
    assert open_drift(own.landing.connection, ["messaging.channels"]) == []


def test_a_new_column_becomes_a_nullable_one_and_the_file_is_loaded_again(own: Own, tmp_path: Path) -> None:
    body = csv_body(f"{CHANNELS},Launched On", [f"{row},2020-01-0{n}" for n, row in enumerate(channel_rows(), 1)])
    own.landing.load("channels", body, key_month=MONTH)
    assert own.look() == [("new column", "", "Launched On")]
    target = tmp_path / "proposed.yaml"
    wrong = proposed(own, "--output", str(tmp_path / "none" / "proposed.yaml"))
    assert (wrong.exit_code, "proposed.yaml: No such file or directory. Name another" in wrong.output) == (1, True)
    done = proposed(own, "--output", str(target))
    assert done.exit_code == 0, done.output
    assert "+      - name: launched_on\n" in done.stdout
    assert "+        physicalType: date\n" in done.stdout
    tried = CliRunner().invoke(app, ["contract", "try", str(target)])
    assert tried.exit_code == 0, tried.output
    own.apply(done.stdout)
    assert own.path().read_text() == target.read_text()
    assert CliRunner().invoke(app, ["contract", "check"]).exit_code == 0
    loaded(own)
    assert rows(own, "channel_id, launched_on::text") == [(n, f"2020-01-0{n}") for n in (1, 2, 3)]
    assert own.look() == []


def test_a_new_value_becomes_an_item_of_the_enum(own: Own) -> None:
    own.amend("version: 1.1.0", "version: 1.2.0")
    own.amend(
        "description: Technical type of the channel, as written by the sending system.",
        "description: Technical type.  # of the sender\n        enum: [{value: sms}]",
    )
    values = [*channel_rows(40), *(f"{n},Channel {n},fax: old,0.05" for n in (41, 42, 43))]
    own.landing.load("channels", csv_body(CHANNELS, values), key_month=MONTH)
    assert own.look() == [("new value", "channel_type", "fax: old")]
    done = proposed(own)
    assert done.exit_code == 0, done.output
    assert "+        enum: [{value: sms}, {value: 'fax: old'}]\n" in done.stdout
    own.apply(done.stdout)
    assert "# of the sender" in own.path().read_text()
    assert CliRunner().invoke(app, ["contract", "check"]).exit_code == 0
    replayed = CliRunner().invoke(app, ["replay", "messaging.channels"])
    assert replayed.exit_code == 0, replayed.output
    assert rows(own, "channel_id, channel_type")[-3:] == [(n, "fax: old") for n in (41, 42, 43)]
    assert own.look() == []


def test_another_type_is_proposed_with_what_it_needs_besides(own: Own) -> None:
    texts = [row.replace("0.0500", "on request") for row in channel_rows()]
    with pytest.raises(DataError):
        own.landing.load("channels", csv_body(CHANNELS, texts), key_month=MONTH)
    assert own.look() == [("other type", "unit_price_eur", "")]
    done = proposed(own)
    assert done.exit_code == 1
    assert "+        physicalType: text\n" in done.stdout
    assert "+version: 2.0.0\n" in done.stdout
    assert "The change is not enough" in done.output
    assert "Migrate the table manually" in done.output


def test_a_missing_required_column_has_advice_only(own: Own) -> None:
    with pytest.raises(DataError):
        own.landing.load("channels", csv_body("channel_id,channel_name,unit_price_eur", ["1,One,0.5"]), key_month=MONTH)
    assert own.look() == [("missing column", "channel_type", "")]
    done = proposed(own)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "Nothing to propose: channel_type is required" in done.output
