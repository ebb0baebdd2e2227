"""The content that a page shows of reports: what was built last, or only what is published.

The view within Airflow shows what was built last, and marks what is not published. The site shows what is published:
while newer content waits for an approval, its rows come from the published object.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql

from waybill.checks.unpublished import Key, Unpublished, unpublished
from waybill.contracts import Contract
from waybill.contracts.locations import report_prefix
from waybill.formatting import count
from waybill.ops.provenance import BUILT_LAST
from waybill.outputs.masking import masked_columns, masked_select, use_key
from waybill.outputs.publish import parquet_key
from waybill.period import Cadence, Period
from waybill.settings import settings
from waybill.views import catalog
from waybill.warehouse.schema import relation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

NOTICES = 5
"""How many days with unpublished reports, or unapproved periods of a line, a page names."""


@dataclass(frozen=True)
class Source:
    """The reports of a domain as a page shows them: by default the content that was built last."""

    unpublished: Mapping[Key, Unpublished]
    """The periods whose newest content is not published, newest first."""
    publications: sql.Composable = field(default_factory=lambda: BUILT_LAST)
    """The relation with a row for each report and period that is shown."""

    def contracts(self, domain: str) -> dict[str, Contract]:
        """Return the contracts of the domain's reports by name, with the columns that `rows` has."""
        return catalog.reports(domain)

    def rows(self, connection: Connection, contract: Contract) -> sql.Composable:  # noqa: ARG002
        """Return the rows of a report, for a from clause."""
        return relation(contract)

    def unpublished_at(self, contract: Contract, period: Period) -> Unpublished | None:
        """Return what is not published of a period of a report; None if its rows are published."""
        return self.unpublished.get((contract.table, period.cadence, period.start))

    def next_step(self, one: Unpublished) -> str:
        """Return what to do about a report that is not published."""
        return one.next_step

    def held_within(self, contract: Contract, period: Period) -> list[Unpublished]:
        """Return the periods of the report within a period that are not approved."""
        return [
            one
            for one in self.unpublished.values()
            if one.is_held and one.contract.table == contract.table and period.start <= one.period.start < period.end
            if len(contract.cadences) == 1 or one.period.cadence == period.cadence
        ]

    def held(self, contract: Contract, cadence: Cadence) -> list[Period]:
        """Return the periods of the report that are not approved. No line joins them to approved periods."""
        return [
            one.period
            for one in self.unpublished.values()
            if one.is_held and one.contract.table == contract.table and one.period.cadence == cadence
        ]


@dataclass(frozen=True)
class _FilteredSource(Source):
    """The content that was built last, of the rows that have these values."""

    filters: Mapping[str, str] = field(default_factory=dict)

    def rows(self, connection: Connection, contract: Contract) -> sql.Composable:
        """Return the rows of a report with the values of the filters, for a from clause."""
        conditions = [
            sql.SQL("{}::text = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in self.filters.items()
            if name in contract.names
        ]
        every = super().rows(connection, contract)
        if not conditions:
            return every
        return sql.SQL("(select * from {} as every where {})").format(every, sql.SQL(" and ").join(conditions))


def built(connection: Connection, domain: str, filters: Mapping[str, str] | None = None) -> Source:
    """Return the content of a domain's reports that was built last. `filters` are values by column."""
    waiting = unpublished(connection, catalog.reports(domain).values())
    return _FilteredSource(waiting, filters=filters) if filters else Source(waiting)


_COLUMNS = (
    "report, cadence, period, row_count, content_sha256, sql_sha256, code_version, run_id, file_ids, inputs, built_at"
)
_PUBLISHED = """(
  select {columns}
  from waybill.publication
  where exported_sha256 = content_sha256
  union all
  select {columns}
  from waybill.published
  where (report, cadence, period) in (
    select k.report, k.cadence, k.period
    from jsonb_to_recordset({earlier}) as k (report text, cadence text, period date)
  )
)"""


@dataclass(frozen=True)
class _PublishedSource(Source):
    """The published content of a domain's reports."""

    earlier: Mapping[Key, list[dict[str, Any]]] = field(default_factory=dict)
    """The published rows of periods whose newest content is not published."""

    def contracts(self, domain: str) -> dict[str, Contract]:
        """Return the contracts with their columns as published: restricted columns hold pseudonyms."""
        return {name: _as_published(contract) for name, contract in catalog.reports(domain).items()}

    def rows(self, connection: Connection, contract: Contract) -> sql.Composable:
        """Return the rows of the published periods, for a from clause."""
        origin = catalog.contracts()[contract.table]
        use_key(connection, origin)
        by_cadence = sql.SQL(" and p.cadence = r.cadence") if len(contract.cadences) > 1 else sql.SQL("")
        in_warehouse = sql.SQL(
            "select {columns} from {relation} as r where exists (select from waybill.publication as p "
            "where p.report = {table} and p.period = r.{start}{by_cadence} and p.exported_sha256 = p.content_sha256)"
        ).format(
            columns=masked_select(origin),
            relation=relation(origin),
            table=sql.Literal(contract.table),
            start=sql.Identifier(contract.key[0]),
            by_cadence=by_cadence,
        )
        earlier = [row for (table, *_), rows in self.earlier.items() if table == contract.table for row in rows]
        if not earlier:
            return sql.SQL("({})").format(in_warehouse)
        # Published objects have JSON as text.
        types = {column.name: column.physical_type for column in contract.columns}
        declared = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL("text" if kind == "jsonb" else kind))
            for name, kind in types.items()
        )
        selected = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()
        )
        return sql.SQL("({} union all select {} from jsonb_to_recordset({}) as e ({}))").format(
            in_warehouse, selected, sql.Literal(json.dumps(earlier, default=str)), declared
        )

    def unpublished_at(self, contract: Contract, period: Period) -> Unpublished | None:  # noqa: ARG002
        """Return None: all content is published."""
        return None

    def next_step(self, one: Unpublished) -> str:
        """Return what the site shows meanwhile: its readers cannot approve."""
        return "The numbers that were published before are shown." if one.key in self.earlier else ""

    def held_within(self, contract: Contract, period: Period) -> list[Unpublished]:  # noqa: ARG002
        """Return nothing: all content is published."""
        return []

    def held(self, contract: Contract, cadence: Cadence) -> list[Period]:  # noqa: ARG002
        """Return nothing: all content is published."""
        return []


def _as_published(contract: Contract) -> Contract:
    columns = (replace(column, classification=None) for column in masked_columns(contract))
    return replace(contract, columns=tuple(columns))


def published(connection: Connection, s3: S3Client, domain: str, newest: Mapping[Cadence, int]) -> Source:
    """Return the published content of a domain's reports.

    For periods whose newest content is not published, the rows come from the published object; `newest` limits these
    periods for each cadence. Objects that are missing, or that are being replaced, are left out.
    """
    waiting = unpublished(connection, catalog.reports(domain).values())
    starts: dict[str, set[date]] = {}
    for _, cadence, start in waiting:
        starts.setdefault(cadence, set()).add(start)
    shown = {
        (cadence, start)
        for cadence, number in newest.items()
        for start in sorted(starts.get(cadence, ()), reverse=True)[:number]
    }
    objects = connection.execute(
        "select report, cadence, period, object_sha256 from waybill.published where report = any(%s)",
        (sorted({table for table, *_ in waiting}),),
    ).fetchall()
    earlier = {}
    for table, cadence, start, sha256 in objects:
        one = waiting.get((table, cadence, start))
        if one and (cadence, start) in shown and (rows := _object_rows(s3, one, sha256)) is not None:
            earlier[one.key] = rows
    keys = [dict(zip(("report", "cadence", "period"), key, strict=True)) for key in earlier]
    publications = sql.SQL(_PUBLISHED).format(
        columns=sql.SQL(_COLUMNS), earlier=sql.Literal(json.dumps(keys, default=str))
    )
    return _PublishedSource(waiting, publications, earlier)


def _object_rows(s3: S3Client, one: Unpublished, sha256: str | None) -> list[dict[str, Any]] | None:
    """Return the rows of a report's published object; None if it has another hash than the recorded one."""
    import pyarrow.parquet as pq
    from botocore.exceptions import ClientError

    bucket, key = settings().reports_bucket, parquet_key(one.contract, one.period)
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        log.warning("s3://%s/%s does not exist: the site leaves it out", bucket, key)
        return None
    if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
        log.warning("s3://%s/%s has another hash than the recorded one: the site leaves it out", bucket, key)
        return None
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(body)).to_pylist()
    return rows


def notices(source: Source, period: Period) -> list[str]:
    """Return the notices of a page: about reports that are not approved, of its period and newer ones."""
    days: dict[str, list[Unpublished]] = {}
    for one in source.unpublished.values():
        if one.is_held and one.period.end > period.start:
            days.setdefault(report_prefix(one.period), []).append(one)
    return [notice(days[day], source) for day in sorted(days, reverse=True)]


def notice(held: Sequence[Unpublished], source: Source) -> str:
    """Return the notice about reports for the same day that are not published.

    It names the reports that need an approval, says since when and what to do, and counts the reports that wait too.
    """
    asking = [one for one in held if one.asks] or held
    sentences = [
        f"{catalog.heading(one.contract.name)} {one.period}, built {one.built_at:%Y-%m-%d %H:%M}, is {one.why}."
        for one in asking
    ]
    if others := len(held) - len(asking):
        sentences.append(f"{count(others, 'other report')} for the same day {'waits' if others == 1 else 'wait'} too.")
    steps = dict.fromkeys(step for one in held if (step := source.next_step(one)))
    return " ".join([*sentences, *steps])
