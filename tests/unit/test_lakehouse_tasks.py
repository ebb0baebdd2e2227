"""Workers of Spark get files in tasks of a bounded size, and the settings of the task that asks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.deliveries import FIRST, LANDED_AT
from waybill.files.landed_file import LandedFile
from waybill.lakehouse.exchange import IntakeRequest, Lake
from waybill.lakehouse.staged import SMALL_BYTES, SMALL_FILES, _tasks, use_variables, variables_of
from waybill.period import Period
from waybill.settings import settings

FILE = LandedFile("raw", "a.csv", "etag", 1, Period.of("day", FIRST), LANDED_AT)


@given(st.lists(st.sampled_from([0, 1, SMALL_BYTES // 2, SMALL_BYTES, 10 * SMALL_BYTES]), max_size=100))
def test_tasks_have_all_files_in_order_and_are_bounded(sizes: list[int]) -> None:
    tasks = list(_tasks([replace(FILE, size_bytes=size) for size in sizes]))
    assert [place for task in tasks for place in task] == list(range(len(sizes)))
    for task in tasks:
        assert 1 <= len(task) <= SMALL_FILES
        assert len(task) == 1 or sum(sizes[place] for place in task) <= SMALL_BYTES


def test_small_files_share_a_task() -> None:
    assert len(list(_tasks([FILE] * SMALL_FILES))) == 1


def test_workers_have_the_settings_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    request = IntakeRequest(
        domain="shop",
        lake=Lake(catalog="http://127.0.0.1", warehouse="", region="eu-central-1"),
        timezone="Europe/Berlin",
        max_unpack_ratio=7,
        duckdb_memory_limit="90MB",
        scratch="s3://lake/_spark/run",
        run_id="run",
        code_version="code",
        datasets={},
        parts=(),
    )
    variables = variables_of(request)
    for name in variables:
        monkeypatch.setenv(name, "UTC" if name.endswith("ZONE") else "1")
    settings.cache_clear()
    use_variables(variables)
    found = settings()
    assert (found.timezone, found.max_unpack_ratio, found.duckdb_memory_limit) == ("Europe/Berlin", 7, "90MB")
    monkeypatch.undo()
    settings.cache_clear()
