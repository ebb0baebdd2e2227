"""The quality report: the state of all data at one moment, as a page and as JSON in the bucket of reports."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection

from waybill.ops.incidents import Incident, events_between
from waybill.outputs.export import put
from waybill.period import Period
from waybill.settings import settings
from waybill.views import catalog, pages
from waybill.views.operations.checks import CheckTable
from waybill.views.operations.freshness import Freshness
from waybill.views.operations.overview import overview
from waybill.views.operations.problem import Problem
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import set_read_only
from waybill.watch.looks import last_looks

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

PREFIX: Final = "quality/"
SLOT_HOURS: Final = 6
_VOLUMES: Final = 14
"""How many of the newest loaded periods of each dataset are shown."""
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Volume:
    """The rows of a dataset in its newest loaded periods."""

    dataset: str
    periods: Sequence[tuple[Period, int]]
    """In ascending order."""

    @property
    def bars(self) -> str:
        """A bar for each period, as characters."""
        greatest = max((rows for _, rows in self.periods), default=0) or 1
        return "".join(_BARS[rows * (len(_BARS) - 1) // greatest] for _, rows in self.periods)

    @property
    def newest(self) -> int | None:
        """The rows of the newest period."""
        return self.periods[-1][1] if self.periods else None

    @property
    def usual(self) -> float | None:
        """The median of the periods before."""
        return median(rows for _, rows in self.periods[:-1]) if len(self.periods) > 1 else None


@dataclass(frozen=True)
class QualityReport:
    """What the report says."""

    moment: datetime
    problems: Sequence[Problem]
    """With their incidents. Without runs that no incident is about."""
    opened: Sequence[Incident]
    """Incidents that were opened within six hours before the moment."""
    closed: Sequence[Incident]
    freshness: Sequence[Freshness]
    volumes: Sequence[Volume]
    checks: Sequence[CheckTable]
    searched: Mapping[str, datetime | None]
    """When all data was last searched for anomalies and drift."""

    @property
    def stale_searches(self) -> list[str]:
        """Return which searches did not end within the time between two reports."""
        since = self.moment - timedelta(hours=SLOT_HOURS + 1)
        return [what for what, ended_at in self.searched.items() if ended_at is None or ended_at < since]

    def number(self, severity: str) -> int:
        """Return how many problems have a severity."""
        return sum(problem.severity == severity for problem in self.problems)

    def late(self, dataset: str) -> int:
        """Return how many periods of a dataset are overdue."""
        return next(one.late for one in self.freshness if one.dataset == dataset)

    def failures(self) -> list[dict[str, Any]]:
        """Return the failed results of checks in the newest periods."""
        return [
            {
                "subject": row.subject,
                "check": row.check,
                "period": Period.of(cell["cadence"], cell["period"]).key,
                "severity": cell["severity"],
                "observed": None if cell["observed"] is None else str(cell["observed"]),
                "expected": row.expected,
            }
            for table in self.checks
            for row in table.rows
            for cell in row.failed
        ]


def quality_report(connection: Connection, moment: datetime) -> QualityReport:
    """Return the state of all domains. `moment` decides which datasets are late. Failed runs are those of incidents."""
    scope = Scope(tuple(catalog.domains()))
    found = overview(connection, scope, moment)
    events = events_between(connection, scope.incident_domains, moment - timedelta(hours=SLOT_HOURS), moment)
    opened, closed = (
        [*{one.incident_id: one for event, one in events if event == wanted}.values()]
        for wanted in ("opened", "closed")
    )
    return QualityReport(
        moment,
        found.problems,
        opened,
        closed,
        found.freshness,
        [*_volumes(connection, scope)],
        found.checks,
        last_looks(connection),
    )


def _volumes(connection: Connection, scope: Scope) -> Iterator[Volume]:
    rows = connection.execute(
        """
        select d.dataset, newest.period, newest.rows
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select f.period, sum(f.rows_in)::bigint as rows
          from waybill.load_file as f
          where f.dataset = d.dataset and f.status = 'loaded'
          group by f.period
          order by f.period desc
          limit %(volumes)s
        ) as newest
        order by d.dataset, newest.period
        """,
        {"datasets": scope.datasets, "volumes": _VOLUMES},
    ).fetchall()
    for table in scope.datasets:
        contract = catalog.contracts()[table]
        yield Volume(table, [(Period.of(contract.cadence, start), rows) for name, start, rows in rows if name == table])


def as_json(found: QualityReport) -> str:
    """Return the report as JSON."""
    return json.dumps(
        {
            "moment": found.moment.isoformat(),
            "searched": {what: ended_at and ended_at.isoformat() for what, ended_at in found.searched.items()},
            "problems": [
                {
                    "severity": one.severity,
                    "subject": one.subject,
                    "what": one.what,
                    "since": one.since and one.since.isoformat(),
                    "cause": one.cause,
                    "incident": one.incident and one.incident.incident_id,
                    "state": one.incident and one.incident.state,
                }
                for one in found.problems
            ],
            "incidents_opened": [_as_data(one) for one in found.opened],
            "incidents_closed": [_as_data(one) for one in found.closed],
            "datasets": [
                {
                    "dataset": one.dataset,
                    "newest_period": one.periods[-1][0].key if one.periods else None,
                    "periods_late": found.late(one.dataset),
                    "rows": {period.key: rows for period, rows in one.periods},
                }
                for one in found.volumes
            ],
            "failed_checks": found.failures(),
        },
        indent=2,
        ensure_ascii=False,
    )


def _as_data(incident: Incident) -> dict[str, Any]:
    """Return the parts of an incident that JSON states."""
    return {
        "incident": incident.incident_id,
        "kind": incident.kind,
        "domain": incident.domain,
        "severity": incident.severity,
        "what": incident.what,
        "state": incident.state,
        "opened_at": incident.opened_at.isoformat(),
        "closed_at": incident.closed_at and incident.closed_at.isoformat(),
        "closed_by": incident.closed_by,
    }


def name_of(moment: datetime) -> str:
    """Return the name of a report without its ending: `quality/2026/03/31/06`, the last six hours that have begun."""
    utc = moment.astimezone(UTC)
    return f"{PREFIX}{utc:%Y/%m/%d}/{utc.hour // SLOT_HOURS * SLOT_HOURS:02d}"


def publish(connection: Connection, s3: S3Client, moment: datetime) -> str:
    """Write the report as HTML and JSON, and the page of its day; return the address of the report.

    A later report of the same six hours replaces it. The page of the day is its newest report, with links to all.
    """
    set_read_only(connection)
    bucket, name = settings().reports_bucket, name_of(moment)
    found = quality_report(connection, moment)
    _put(s3, bucket, f"{name}.json", as_json(found), "application/json")
    _put(s3, bucket, f"{name}.html", pages.quality(found, []), "text/html; charset=utf-8")
    folder = name.rpartition("/")[0]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/").get("Contents", [])
    hours = sorted(
        stem
        for item in listed
        if (stem := item["Key"].rpartition("/")[2].removesuffix(".html")).isdigit() and item["Key"].endswith(".html")
    )
    if hours[-1:] == [name.rpartition("/")[2]]:  # an older report does not replace the newest one
        _put(s3, bucket, f"{folder}/index.html", pages.quality(found, hours), "text/html; charset=utf-8")
    return f"s3://{bucket}/{name}.html"


def newest_day(s3: S3Client) -> str | None:
    """Return the folder of the newest day with a report: `quality/2026/03/31/`; None without any."""
    folder = PREFIX
    for _ in ("year", "month", "day"):
        listed = s3.list_objects_v2(Bucket=settings().reports_bucket, Prefix=folder, Delimiter="/")
        found = [one["Prefix"] for one in listed.get("CommonPrefixes", [])]
        if not found:
            return None
        folder = max(found)
    return folder


def stored(s3: S3Client, key: str) -> bytes | None:
    """Return a page as it was written, by its key; None if there is none."""
    from botocore.exceptions import ClientError

    try:
        return s3.get_object(Bucket=settings().reports_bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return None
        raise


def _put(s3: S3Client, bucket: str, key: str, body: str, kind: str) -> None:
    put(s3, bucket, key, io.BytesIO(body.encode()), kind)
