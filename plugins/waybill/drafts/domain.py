"""Write the files of a new domain: the manifest, the DAG file, and folders for contracts and SQL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from waybill.contracts.dag_files import dags_folder, defined_dags
from waybill.contracts.domains import domain_names, manifest_path
from waybill.contracts.locations import OPERATIONS_SCHEMA, SCHEMAS, report_schema
from waybill.drafts.names import require_identifier
from waybill.errors import DataError
from waybill.settings import settings

_MOST_CHARACTERS: Final = 40
"""PostgreSQL has 63 for a name, S3 has 63 for a queue's name with its prefix."""
_TITLE: Final = re.compile(r'[^"\\\x00-\x1f\x7f-\x9f\u2028\u2029]{1,60}')
_SUFFIXES: Final = tuple(make("") for make in SCHEMAS)

_MANIFEST: Final = """\
title: "{title}"
dag: {dag_id}
semantics: current
queue: true
"""
_DAG: Final = '''\
"""### {title}: reports on arrival

**What it does.** Ingests every pending file of the domain's datasets, checks the rows, refreshes the reports of the
landing days that changed, and publishes the reports whose content changed, as CSV and Parquet with a manifest.
Datasets and reports are the files in `include/contracts/{name}`, `include/contracts/{name}_report` and
`include/sql/{name}`. This file does not change when they do.

**Period.** Rows belong to their landing day: the day on which S3 received the first version of their file. A run has
no period of its own, because it lists the bucket. A notification starts a run within seconds if the domain has a
queue. Another run starts every 15 minutes. With more than 5,000 objects, the runs look at new ones, and once
a day at all. To run it by hand, use *Trigger*: it looks at all. The parameter `file`, or `day` and `last_day`, limits
the run, and tries rejected files again.

**When it fails.** Tasks retry errors of the infrastructure. Errors of the data fail at once:
* `intake` fails if files are invalid. The other files are loaded and published. Upload corrected files under the same
  names. Unchanged invalid files are skipped and raise no further alert.
* `quality` fails if a check of a dataset does not pass. Nothing is published until it passes.
* `reports` fails if a check of a report does not pass. Days that passed are up to date. The next run tries the others
  again. `select * from waybill.check_result where not passed` lists the checks of both tasks.
* `publish` waits for approval if a report exceeds `maxWarnings`. Users who may run the DAG answer under *Browse →
  Required Actions*. New files wait until then. A rejection fails the run; clear the task to be asked again.
* `complete` fails if one of the tasks before it failed.

**Alerts.** One for a failed run, one for a pending approval, and one if the run has not finished 2 hours after its
start. A successful run that changed data sends a message with the files and reports.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule

from waybill.contracts.locations import report_schema
from waybill.operators import (
    ARRIVAL_ARGS,
    IntakeArrivedOperator,
    PublishChangedOperator,
    QualityOperator,
    RefreshOperator,
    arrival_params,
    arrival_schedule,
    deadline_alert,
    owner_links,
    run_callbacks,
)

with DAG(
    dag_id="{dag_id}",
    dag_display_name="{title}: reports on arrival",
    description="Load files of the domain {name} as they land, and publish reports by landing day.",
    doc_md=__doc__,
    tags=["{name}", "on arrival"],
    schedule=arrival_schedule("{name}"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params=arrival_params(),
    default_args=ARRIVAL_ARGS,
    owner_links=owner_links(),
    deadline=deadline_alert(hours=2),
    **run_callbacks("{name}", on_arrival=True),
):
    intake = IntakeArrivedOperator(domain="{name}")
    # A rejected file does not stop the others.
    quality = QualityOperator(task_id="quality", domain="{name}", trigger_rule=TriggerRule.ALL_DONE)
    reports = RefreshOperator(task_id="reports", domain="{name}", schema=report_schema("{name}"))
    publish = PublishChangedOperator(task_id="publish", domain="{name}")
    # The last task decides the state of a run. Without this task, a run with a rejected file would be successful.
    complete = EmptyOperator(task_id="complete")

    intake >> quality >> reports >> publish >> complete
    intake >> complete
'''


def write_domain(name: str, title: str | None = None) -> list[Path]:
    """Create a domain whose files land at any time; returns the written files and created folders.

    Raises `DataError` if the name or title is not possible, or if the domain or its DAG exists. Overwrites nothing.
    """
    _require_name(name)
    title = (title or "").strip() or name.replace("_", " ").capitalize()
    if _TITLE.fullmatch(title) is None:
        raise DataError(
            f"the title {title!r} must be one line of up to 60 characters without quotation marks and backslashes"
        )
    dag_id, include = f"{name}_reports", settings().include_dir
    texts = {
        manifest_path(name): _MANIFEST.format(title=title, dag_id=dag_id),
        dags_folder() / name / f"{dag_id}.py": _DAG.format(name=name, title=title, dag_id=dag_id),
    }
    if existing := [str(path) for path in texts if path.exists()]:
        raise DataError(f"the domain {name!r} exists: {' and '.join(existing)}. Nothing was written.")
    if dag_id in defined_dags():
        raise DataError(f"a file in {dags_folder()} defines the DAG {dag_id}: choose another name for the domain")
    folders = [include / "contracts" / name, include / "contracts" / report_schema(name), include / "sql" / name]
    for folder in (*folders, *(path.parent for path in texts)):
        folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return [*texts, *folders]


def _require_name(name: str) -> None:
    """Raise `DataError` unless the name is possible for schemas, prefixes and a folder of Python files."""
    from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

    require_identifier("the domain", name, _MOST_CHARACTERS)
    if name in RESERVED_WORDS:
        raise DataError(f"{name!r} is a reserved word of SQL: choose another name, such as {name}_data")
    if name in (OPERATIONS_SCHEMA, "public", "information_schema") or name.startswith("pg_"):
        raise DataError(f"{name!r} is a schema of PostgreSQL or Waybill: choose another name")
    if name.endswith(_SUFFIXES):
        raise DataError(
            f"{name!r} ends like a schema of derived tables ({', '.join(_SUFFIXES)}): choose another name. "
            f"The domains are {', '.join(domain_names())}"
        )
