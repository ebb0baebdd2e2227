"""`waybill migrate` after an update, and after a rollback."""

from __future__ import annotations

import psycopg
from typer.testing import CliRunner

from waybill.cli import app


def test_after_a_rollback_the_schema_of_the_later_release_stays(warehouse: psycopg.Connection) -> None:
    done = CliRunner().invoke(app, ["migrate"])
    assert (done.exit_code, done.stdout) == (0, "The warehouse is at the newest version.\n")
    warehouse.execute("update waybill.alembic_version set version_num = 'later'")
    warehouse.commit()
    done = CliRunner().invoke(app, ["migrate"])
    expected = "The warehouse is at revision later of a later release. Nothing was changed.\n"
    assert (done.exit_code, done.stdout) == (0, expected)
    assert warehouse.execute("select version_num from waybill.alembic_version").fetchall() == [("later",)]
