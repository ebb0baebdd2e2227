"""The application and Terraform name the same measurements."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.ops import metrics
from waybill.ops.metrics import Measurement
from waybill.settings import PROJECT_ROOT

MONITORING = PROJECT_ROOT / "terraform" / "modules" / "monitoring"


def block(text: str, name: str) -> dict[str, str]:
    """Return the names and texts of an object of `locals`."""
    found = re.search(rf"^  {name}\s*= \{{(.*?)\}}", text, re.MULTILINE | re.DOTALL)
    assert found, name
    return dict(re.findall(r'(\w+)\s*= "(\w+)"', found[1]))


def unit(name: str) -> str:
    """Return the unit that a name in Terraform implies. CloudWatch has none for hours."""
    return {"seconds": "Seconds", "hours": "None"}.get(name.rpartition("_")[2], "Count")


def test_names_units_and_dimensions_are_those_of_terraform() -> None:
    text = (MONITORING / "metrics.tf").read_text()
    assert re.findall(r'^  namespace\s*= "(.+)"', text, re.MULTILINE) == [metrics.NAMESPACE]
    assert {value: unit(name) for name, value in block(text, "metrics").items()} == metrics.UNITS
    assert set(metrics.UNITS) == set(get_args(metrics.Name))
    whole = Measurement("RowsIn", 1, "some_dag", "some_dataset")
    assert sorted(block(text, "dimensions").values()) == sorted(whole.dimensions)


def test_alarms_and_dashboards_use_no_other_name() -> None:
    known = set(metrics.UNITS)
    for name in ("alarms.tf", "dashboards.tf"):
        text = (MONITORING / name).read_text()
        assert not [one for one in known if re.search(rf"\b{one}\b", text)], f"{name} takes names from metrics.tf"
        keys = set(re.findall(r"local\.(?:metrics|search)\.(\w+)", text))
        assert keys <= set(block((MONITORING / "metrics.tf").read_text(), "metrics")), name
        assert keys


@pytest.mark.parametrize("failed", [True, False])
def test_a_run_has_no_dataset(failed: bool) -> None:
    took, worked, outcome = metrics.of_run("shop_daily", 12.5, 2.5, failed=failed)
    for one, name, seconds in ((took, "RunSeconds", 12.5), (worked, "WorkSeconds", 2.5)):
        assert one.datum == {
            "MetricName": name,
            "Dimensions": [{"Name": "Pipeline", "Value": "shop_daily"}],
            "Value": seconds,
            "Unit": "Seconds",
        }
    assert (outcome.name, outcome.value, outcome.dimensions) == ("RunFailed", failed, {"Pipeline": "shop_daily"})
    assert [one.name for one in metrics.of_run("shop_daily", None, None, failed=failed)] == ["RunFailed"]


BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
INSTANTS = st.integers(-5, 35).map(lambda second: BEGAN + timedelta(seconds=second))


@given(st.integers(0, 30), st.lists(st.tuples(INSTANTS, INSTANTS), max_size=5))
def test_work_is_every_second_of_the_run_that_no_wait_covers(
    seconds: int, waits: list[tuple[datetime, datetime]]
) -> None:
    run = [BEGAN + timedelta(seconds=second) for second in range(seconds)]
    worked = [second for second in run if not any(since <= second < until for since, until in waits)]
    assert metrics.work_seconds(BEGAN, BEGAN + timedelta(seconds=seconds), waits) == len(worked)
