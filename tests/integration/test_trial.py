"""A proposed contract is tried on files that have landed: what it would newly reject or accept, and why."""

from __future__ import annotations

from pathlib import Path

from landing_support import MONTH, TRAFFIC, Landing, csv_body, traffic_rows
from messaging_months import month
from waybill.contracts import load
from waybill.intake.landing import list_landed
from waybill.intake.trial import FileTrial, try_contract
from waybill.settings import PROJECT_ROOT

TODAY = (PROJECT_ROOT / "include/contracts/messaging/traffic.yaml").read_text()
INTERACTIONS = "logicalTypeOptions: {minimum: 0}\n        required: true\n        synonyms: [{synonym: interactions}]"


def tried(landing: Landing, folder: Path, *changes: tuple[str, str]) -> list[FileTrial]:
    text = TODAY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "traffic.yaml").write_text(text)
    landed = list_landed(landing.s3, landing.bucket, landing.contracts["traffic"], None, month(MONTH))
    proposed = load(folder / "traffic.yaml")
    today = landing.contracts["traffic"]
    return try_contract(landing.connection, landing.s3, today, proposed, landing.contracts, landed)


def test_what_a_tighter_rule_rejects_is_counted_with_reasons_and_records(landing: Landing, tmp_path: Path) -> None:
    rows = [*traffic_rows(20), "21,2026-03-21,1,1,1,-5,1.00", '22,2026-03-22,1,1,1,"7",1.00', "23,2026-03-23,1,1,1,7"]
    landing.put("traffic", MONTH, csv_body(TRAFFIC, rows))
    [trial] = tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: 8")))
    # Records 21 (negative) and 23 (ragged) are rejected today as well.
    assert (trial.rows, trial.newly_rejected, trial.newly_accepted) == (23, 1, 0)
    assert trial.reasons == {"range:interactions_count": 1}
    assert trial.examples == {"range:interactions_count": [22]}


def test_what_a_looser_rule_accepts_is_counted(landing: Landing, tmp_path: Path) -> None:
    landing.put("traffic", MONTH, csv_body(TRAFFIC, [*traffic_rows(20), "21,2026-03-21,1,1,1,-5,1.00"]))
    [trial] = tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: -9")))
    assert (trial.newly_rejected, trial.newly_accepted) == (0, 1)


def test_a_file_without_a_newly_required_column_would_be_refused(landing: Landing, tmp_path: Path) -> None:
    landing.put("traffic", MONTH, csv_body(TRAFFIC, traffic_rows(3)))
    [trial] = tried(landing, tmp_path, ("      - name: traffic_id\n", "      - name: batch_id\n"))
    assert trial.refusal is not None
    assert "batch_id" in trial.refusal


def test_a_trial_writes_nothing(landing: Landing, tmp_path: Path) -> None:
    landing.put("traffic", MONTH, csv_body(TRAFFIC, traffic_rows(3)))
    before = landing.row_counts()
    tried(landing, tmp_path, (INTERACTIONS, INTERACTIONS.replace("minimum: 0", "minimum: 11")))
    assert landing.row_counts() == before
