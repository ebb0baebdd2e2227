"""Problems in SQL for Spark are found before any run, without Spark."""

from __future__ import annotations

from pathlib import Path

import pytest

from waybill.contracts import load_all
from waybill.ops.spark_lint import lint_spark_sql
from waybill.settings import PROJECT_ROOT

FUNNEL = "sql/clicks/funnel.sql"
EVENTS = "contracts/clicks/clickstream.yaml"


def problems() -> list[str]:
    return lint_spark_sql("clicks", [*load_all().values()])


def test_the_sql_of_the_project_has_none() -> None:
    assert problems() == []
    assert len([*(PROJECT_ROOT / "include/sql/clicks").glob("*.sql")]) == 3


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (FUNNEL, "clicks.clickstream\n", "clicks.clickstreams\n", ", line 9: unknown table clicks.clickstreams: "),
        (FUNNEL, ":ends_at", ":end_at", ", line 29: unknown parameter `:end_at`: did you mean `ends_at`?"),
        (FUNNEL, ":ends_at", "%(ends_at)s", ", line 29: Spark binds `:ends_at`, not `%(ends_at)s`"),
        (FUNNEL, "as lost_sessions_count", "as lost", ": does not return the column 'lost_sessions_count' of the "),
        (EVENTS, "_as_of\n", "_known\n", ": the query of the check clickstream_rows_pct, line 5: unknown table clicks"),
        (EVENTS, ":ends_at", ":end", ": the query of the check clickstream_rows_pct, line 6: unknown parameter `:end`"),
    ],
)  # fmt: skip
def test_unknown_names_are_problems(name: str, old: str, new: str, problem: str, include_dir: Path) -> None:
    path = include_dir / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if name == EVENTS else text.replace(old, new))
    found = problems()
    assert len(found) == 1
    assert found[0].startswith(f"{path}{problem}"), found


def test_comments_texts_and_casts_name_nothing(include_dir: Path) -> None:
    path = include_dir / FUNNEL
    quiet = (
        "-- clicks.nothing :nothing %(nothing)s\nselect ':nothing clicks.it''s', \"clicks.no :no\", 1::int /* :x */\n"
    )
    path.write_text(quiet + path.read_text())
    assert problems() == []
