"""The costs in the documents are those of the settings, and budgets fit them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from waybill.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "reference" / "costs.md").read_text()


@pytest.fixture(scope="module")
def costs() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PROJECT_ROOT / "deploy"))
    yield importlib.import_module("costs")
    sys.path.pop(0)


def test_the_page_has_the_computed_figures(costs: ModuleType) -> None:
    assert costs.table() in PAGE, f"deploy/costs.py prints the table for docs/reference/costs.md:\n{costs.table()}"
    assert f"**The break-even is {costs.break_even():.0f} GB a month" in PAGE
    assert f"{costs.running(costs.settings('dev')['night']):.0%}".replace("%", " %") in PAGE


def test_dev_costs_less_than_150_dollars_a_month(costs: ModuleType) -> None:
    assert sum(costs.parts(costs.settings("dev")).values()) < 150


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_budget_alerts_above_the_figure_at_rest(costs: ModuleType, environment: str) -> None:
    values = costs.settings(environment)
    figure = sum(costs.parts(values).values())
    assert figure < 0.8 * values["budget_usd"] < 1.6 * figure


def test_a_standby_a_night_and_a_worker_have_their_price(costs: ModuleType) -> None:
    database = {"instance_class": "db.t4g.micro", "allocated_gib": 100, "multi_az": True}
    assert costs.instance(database) == pytest.approx(2 * 730 * 0.016)
    assert costs.storage(database) == pytest.approx(23)
    night = {"stop": {"hour": 18}, "start": {"hour": 6, "days": "MON,WED-FRI"}}
    assert costs.running(night) == pytest.approx(4 * 12 / 168)
    airflow = {"spot": False, "services": {"worker": {"cpu": 2048, "memory": 8192, "tasks": 1}}}
    assert f"{costs.fargate({'airflow': airflow}):.0f} in prod" in PAGE
