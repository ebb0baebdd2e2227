"""The plan for a large domain is that of its inputs, and the page has both."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from types import ModuleType

import pytest

from waybill.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "reference" / "scale.md").read_text()


@pytest.fixture(scope="module")
def scale() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("scale_plan", PROJECT_ROOT / "benchmarks" / "scale_plan.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_plan"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scale_plan"]


def numbers(scale: ModuleType, **changed: float) -> dict[str, float]:
    """Return the first number of each line of the plan."""
    lines = scale.plan(replace(scale.Inputs(), **changed))
    return {line.name: float(line.value.split()[0].rstrip(",").replace(",", "")) for line in lines}


def test_the_page_has_the_table_and_the_inputs(scale: ModuleType) -> None:
    assert scale.table(scale.plan(scale.Inputs())) in PAGE
    options = dict[str, str]()
    for names, values in re.findall(r"(?m)^\| ((?:`--[a-z0-9-]+`(?:, )?)+) \| ([\d., ]+) \|", PAGE):
        options |= zip(re.findall(r"--([a-z0-9-]+)", names), values.split(", "), strict=True)
    assert {name.replace("-", "_"): float(value) for name, value in options.items()} == {
        field.name: field.default for field in fields(scale.Inputs)
    }
    for rate, hours, dollars in re.findall(r"(?m)^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE):
        found = numbers(scale, loaded_rows=float(rate.replace(",", "")))
        assert (found["DPU hours on Glue"], found["Glue, US dollars"]) == (float(hours), float(dollars))


def test_the_arithmetic(scale: ModuleType) -> None:
    found = numbers(scale)
    assert found["Rows"] == 1e12 / 250
    assert found["Files, each a task of the check"] == 3726  # 1e12 / (256 * 2**20) = 3725.3
    assert found["Rows of the lookback that are compared"] == 7 * found["Rows"]
    seconds = 4e9 / 50_000 + 28e9 / 250_000
    assert found["Hours of a core"] == pytest.approx(seconds / 3600, abs=0.05)
    assert found["DPU hours on Glue"] == pytest.approx(seconds / 3600 / 4 / 0.8, abs=0.05)
    assert found["Glue, US dollars"] == pytest.approx(seconds / 3600 / 4 / 0.8 * 0.44, abs=0.005)
    assert found["G.1X workers by disk"] == 52  # 8 * 4e9 * 150 / 94e9 = 51.1
    assert found["PostgreSQL: rows of the ledger"] == 3726


def test_more_deliveries_compare_more_and_more_bytes_need_more(scale: ModuleType) -> None:
    once, often = numbers(scale), numbers(scale, deliveries=24)
    assert often["Rows of the lookback that are compared"] == 24 * once["Rows of the lookback that are compared"]
    assert often["Commits"] == 48
    half = numbers(scale, gb_a_day=500)
    for name in ("Rows", "Hours of a core", "Glue, US dollars", "Lake, GB"):
        assert half[name] == pytest.approx(once[name] / 2, rel=0.02)


def test_few_files_bound_the_quarantine(scale: ModuleType) -> None:
    found = numbers(scale, gb_a_day=25, file_mib=100_000, rejected_pct=50)
    assert found["PostgreSQL: rows of the quarantine"] == 100_000


def test_the_options_are_the_inputs(scale: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    scale.main(["--gb-a-day", "1", "--lookback", "0"])
    assert "| Rows | 4,000,000 |" in capsys.readouterr().out
