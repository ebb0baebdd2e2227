"""Which content of the reports a page shows: what was built last, or only what was published.

Within Airflow people see what was built last, with a mark on what is not published. The site shows what was published:
where newer content waits for an approval, the rows come from the published object.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

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
from waybill.warehouse.schema import columns_sql, relation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """What a page shows of a domain's reports: by default the content that was built last."""

    unpublished: Mapping[Key, Unpublished]
    """The periods whose newest content is not published, newest first."""
    heads: sql.Composable = field(default_factory=lambda: BUILT_LAST)
    """Where it stands what is known of each report and period that is shown."""

    def contracts(self, domain: str) -> dict[str, Contract]:
        """The contracts of the domain's reports as `rows` has their columns, by name."""
        return catalog.reports(domain)

    def rows(self, connection: Connection, contract: Contract) -> sql.Composable:  # noqa: ARG002
        """The rows of a report, for the from clause."""
        return relation(contract)

    def mark(self, contract: Contract, period: Period) -> str:
        """Why a period's numbers are not published; empty if they are."""
        found = self.unpublished.get((contract.table, period.cadence, period.start))
        return found.why if found else ""

    def shows_earlier(self, one: Unpublished) -> bool:  # noqa: ARG002
        """Whether it shows the content that was published before instead."""
        return False

    def held_within(self, contract: Contract, period: Period) -> list[Unpublished]:
        """The report's own periods within a period that nobody has approved yet."""
        return [
            one
            for one in self.unpublished.values()
            if one.is_held and one.contract.table == contract.table and period.start <= one.period.start < period.end
            if len(contract.cadences) == 1 or one.period.cadence == period.cadence
        ]

    def held(self, contract: Contract, cadence: Cadence) -> list[Period]:
        """The report's periods of a cadence that nobody has approved yet: no line joins them to approved ones."""
        return [
            one.period
            for one in self.unpublished.values()
            if one.is_held and one.contract.table == contract.table and one.period.cadence == cadence
        ]


def built(connection: Connection, domain: str) -> Source:
    """What was built last of a domain's reports, with marks on what is not published."""
    return Source(unpublished(connection, catalog.reports(domain).values()))


_HEAD = (
    "report, cadence, period, row_count, content_sha256, sql_sha256, code_version, run_id, file_ids, inputs, built_at"
)
_PUBLISHED_HEADS = """(
  select {head}
  from waybill.publication
  where exported_sha256 = content_sha256
  union all
  select {head}
  from waybill.published
  where (report, cadence, period) in (
    select k.report, k.cadence, k.period
    from jsonb_to_recordset({earlier}) as k (report text, cadence text, period date)
  )
)"""


@dataclass(frozen=True)
class _PublishedSource(Source):
    """What was published of a domain's reports."""

    earlier: Mapping[Key, list[dict[str, Any]]] = field(default_factory=dict)
    """The published rows of periods whose newest content is not published."""

    def contracts(self, domain: str) -> dict[str, Contract]:
        """The contracts with their columns as they are published: a restricted one holds pseudonyms."""
        return {name: _as_published(contract) for name, contract in catalog.reports(domain).items()}

    def rows(self, connection: Connection, contract: Contract) -> sql.Composable:
        """The rows of the published periods alone."""
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
        types = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.physical_type))
            for column in contract.columns
        )
        return sql.SQL("({} union all select {} from jsonb_to_recordset({}) as e ({}))").format(
            in_warehouse, columns_sql(contract.names), sql.Literal(json.dumps(earlier, default=str)), types
        )

    def mark(self, contract: Contract, period: Period) -> str:  # noqa: ARG002  # all that it shows is published
        """Empty: all that is shown is published."""
        return ""

    def shows_earlier(self, one: Unpublished) -> bool:
        """Whether it shows the content that was published before instead."""
        return one.key in self.earlier

    def held_within(self, contract: Contract, period: Period) -> list[Unpublished]:  # noqa: ARG002
        """None: all that is shown is published."""
        return []

    def held(self, contract: Contract, cadence: Cadence) -> list[Period]:  # noqa: ARG002
        """None: all that is shown is published."""
        return []


def _as_published(contract: Contract) -> Contract:
    columns = (replace(column, classification=None) for column in masked_columns(contract))
    return replace(contract, columns=tuple(columns))


def published(connection: Connection, s3: Any, domain: str, newest: Mapping[Cadence, int]) -> Source:
    """What was published of a domain's reports.

    Where newer content is not published, the rows come from the report's object, for so many of the newest periods of
    each cadence. One that is gone, or is being written, is left out.
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
    heads = sql.SQL(_PUBLISHED_HEADS).format(head=sql.SQL(_HEAD), earlier=sql.Literal(json.dumps(keys, default=str)))
    return _PublishedSource(waiting, heads, earlier)


def _object_rows(s3: Any, one: Unpublished, sha256: str | None) -> list[dict[str, Any]] | None:
    """The rows of a report's published object; None if it is not the one that was noted when it was published."""
    import pyarrow.parquet as pq
    from botocore.exceptions import ClientError

    bucket, key = settings().reports_bucket, parquet_key(one.contract, one.period)
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        log.warning("s3://%s/%s is gone: the site leaves it out", bucket, key)
        return None
    if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
        log.warning("s3://%s/%s is another object than was noted: the site leaves it out", bucket, key)
        return None
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(body)).to_pylist()
    return rows


def notices(source: Source, period: Period) -> list[str]:
    """What a page of a period says of reports that wait: those within the period, and newer ones."""
    days: dict[str, list[Unpublished]] = {}
    for one in source.unpublished.values():
        if one.is_held and one.period.end > period.start:
            days.setdefault(report_prefix(one.period), []).append(one)
    return [notice(days[day], source) for day in sorted(days, reverse=True)]


def notice(held: Sequence[Unpublished], source: Source) -> str:
    """What is said of reports that wait, all of the same day: which ask, and how many wait with them."""
    told = [
        f"{catalog.in_words(one.contract.name)} {one.period}: {one.why}"
        for one in [one for one in held if one.asks] or held
    ]
    beside = len(held) - len(told)
    others = f"; {count(beside, 'other report')} of the same day wait{'s' if beside == 1 else ''} with it"
    shown = "; shown is what was published before" if any(source.shows_earlier(one) for one in held) else ""
    return "; ".join(told) + (others if beside else "") + shown
