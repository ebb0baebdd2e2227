"""The tables that commands print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from waybill.cli.terminal import console
from waybill.contracts import Contract
from waybill.contracts.domains import load_manifest
from waybill.formatting import count, of_all, text
from waybill.intake.ledger import COUNTS, imbalance
from waybill.ops.plan import STATES, Plan
from waybill.ops.provenance import Waybill
from waybill.period import Period

if TYPE_CHECKING:
    from waybill.drafts.table import DraftTable
    from waybill.features.versions import VersionState
    from waybill.intake.conflicts import Version
    from waybill.intake.dry_run import FileDryRun
    from waybill.intake.replay import Replayed
    from waybill.ops.incidents import Incident
    from waybill.stream.counting import Counts
    from waybill.stream.lag import StreamState
    from waybill.stream.quarantine import OpenEvents
    from waybill.stream.replay import Replayed as ReplayedEvents


_TEXT_WIDTH = 30
_OUTCOMES = ("counted", "repeated", "late", "rejected")
"""What becomes of the events of a stream."""


def _table(title: str, columns: Iterable[tuple[str, bool]], text_width: int | None = None) -> Table:
    """Return an empty table; each column is (heading, whether it holds numbers)."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading, is_number in columns:
        table.add_column(
            heading.replace(" ", "\n"),
            justify="right" if is_number else "left",
            vertical="bottom",
            no_wrap=True,
            max_width=None if is_number else text_width,
        )
    return table


def print_tables(*tables: Table, console: Console = console) -> None:
    """Print tables in their full width, so that a narrow terminal wraps lines and cuts no digits."""
    for table in tables:
        natural = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        wide = Console(width=max(natural, console.width), file=console.file, force_terminal=console.is_terminal)
        wide.print(table, crop=False, no_wrap=True, overflow="ignore")


_MANY_PERIODS = 24


def books_table(domain: str, rows: Sequence[dict[str, Any]], periods: Sequence[Period]) -> Table:
    """Return the books of a domain by period and dataset, with totals and balances.

    More than 24 periods are summed up.
    """
    keys = {period.start: period.key for period in periods}
    if len(periods) > _MANY_PERIODS:
        rows = _summed(rows)
        keys = dict.fromkeys((row["period"] for row in rows), f"{periods[0]} to {periods[-1]}")
    table = _table(
        f"{load_manifest(domain).title}: every row is accounted for (rows in = the sum of the other counts)",
        [
            ("period", False),
            ("dataset", False),
            ("files", True),
            *((name.replace("_", " "), True) for name in COUNTS),
            ("balance", False),
        ],
    )
    totals = dict.fromkeys(("files", *COUNTS), 0)
    for row in rows:
        difference = imbalance(row)
        for name in totals:
            totals[name] += row[name]
        table.add_row(
            keys[row["period"]],
            row["dataset"],
            *(text(row[name]) for name in totals),
            "[green]ok[/]" if difference == 0 else f"[red]off by {difference}[/]",
        )
    table.add_section()
    table.add_row("total", "", *(text(value) for value in totals.values()))
    return table


def plan_tables(plan: Plan) -> list[Table]:
    """Return the files of a plan by period and dataset, and what would be built by table."""
    files = _table(
        f"{load_manifest(plan.domain).title}: files of {plan.first} to {plan.last}",
        [("period", False), ("dataset", False), *((name, True) for name in STATES)],
    )
    for row in plan.listed_files():
        files.add_row(row.period, row.dataset, *(text(getattr(row, name)) for name in STATES))
    builds = _table(
        "Reports and derived tables that may change",
        [("table", False), ("periods", True), ("published", True), ("first", False), ("last", False)],
    )
    for table, periods in plan.rebuilds_by_table().items():
        published = sum(one.is_published for one in periods)
        builds.add_row(table, text(len(periods)), text(published), periods[0].period, periods[-1].period)
    return [files, *([builds] if builds.row_count else [])]


def _summed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each dataset, with the first period."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        found = sums.setdefault(
            row["dataset"], row | {"period": rows[0]["period"]} | dict.fromkeys(COUNTS, 0) | {"files": 0}
        )
        for name in ("files", *COUNTS):
            found[name] += row[name]
    return list(sums.values())


def waybill_tables(waybill: Waybill) -> list[Table]:
    """Return the tables of a waybill: what built the report, its checks, its source files and their warnings."""
    head = _table(f"Waybill of {waybill.report}, {waybill.period}", [("", False), ("", False)])
    head.show_header = False
    for label, value in (
        ("rows", text(waybill.row_count)),
        ("content", f"sha256 {waybill.content_sha256}"),
        ("SQL", f"sha256 {waybill.sql_sha256}" if waybill.sql_sha256 else "computed in Python"),
        ("reads", ", ".join(waybill.inputs)),
        ("code", waybill.code_version),
        ("run", waybill.run_id),
        ("built", f"{waybill.built_at:%Y-%m-%d %H:%M:%S %Z}"),
    ):
        head.add_row(label, value)
    for one in waybill.snapshots:
        at = f", committed {one['committed_at']:%Y-%m-%d %H:%M:%S %Z}" if one["committed_at"] else ""
        head.add_row("lake", f"{one['table_name']} snapshot {one['snapshot_id']}{at}")
    if waybill.unpublished:
        head.add_row("", f"[red]{waybill.unpublished}[/]")
    if waybill.forgotten:
        head.add_row("people", waybill.forgotten)
    if waybill.is_outdated:
        head.add_row("", "[red]out of date: its inputs have changed since; the books below are current[/]")
    checks = _table("Checks", [("check", False), ("observed", True), ("must be", False), ("result", False)])
    for check in waybill.checks:
        result = "[green]passed[/]" if check["passed"] else f"[red]{check['severity']}[/]"
        checks.add_row(
            check["check_name"],
            text(check["observed"]),
            f"{check['operator']} {check['threshold']:g}",
            result,
        )
    files = _table(
        f"Built from {count(len(waybill.files), 'file')}",
        [
            ("file", False),
            ("version", False),
            ("sha256", False),
            ("rows in", True),
            ("rejected", True),
            ("contract", False),
        ],
    )
    for file in waybill.files:
        files.add_row(
            f"s3://{file['bucket']}/{file['object_key']}",
            (file["version_id"] or "")[:12],
            file["sha256"][:12],
            text(file["rows_in"]),
            text(file["rejected"]),
            file["contract_version"],
        )
    warnings = _table("Warnings about these files", [("file", False), ("warning", False)])
    for file in waybill.files:
        for warning in file["warnings"]:
            warnings.add_row(file["object_key"], Text(warning, "yellow"))
    ignored = _table("Ignored lines of these files", [("file", False), ("pattern", False), ("lines", True)])
    for file in waybill.files:
        for pattern, lines in (file["ignored_lines"] or {}).items():
            ignored.add_row(file["object_key"], Text(pattern), text(lines))
    return [head, checks, files, *(table for table in (ignored, warnings) if table.row_count)]


def quarantine_tables(
    dataset: str, counts: Sequence[tuple[Any, ...]], rows: Sequence[tuple[Any, ...]], total: int
) -> list[Table]:
    """Return the open rows in quarantine of a dataset by reason, and some of them by file and record."""
    reasons = _table(
        f"{dataset}: {count(total, 'open row')} by reason (a row may have several reasons)",
        [("reason", False), ("rows", True), ("files", True)],
    )
    for reason, number, files in counts:
        reasons.add_row(reason, text(number), text(files))
    records = _table(
        f"{of_all(len(rows), total)} rows, newest files first",
        [("file id", True), ("file", False), ("record", True), ("reasons", False), ("contract", False)],
    )
    for file_id, key, record, why, version in rows:
        records.add_row(str(file_id), key, str(record), ", ".join(why), version)
    return [reasons, records]


def rejected_events_tables(dataset: str, found: OpenEvents) -> list[Table]:
    """Return the open rejected events of a dataset by reason, and some of them by shard and sequence number."""
    reasons = _table(
        f"{dataset}: {count(found.total, 'open event')} by reason (an event may have several reasons)",
        [("reason", False), ("events", True)],
    )
    for reason, number in found.counts:
        reasons.add_row(reason, text(number))
    events = _table(
        f"{of_all(len(found.newest), found.total)} events, newest first",
        [("shard", False), ("sequence", True), ("arrived", False), ("reasons", False), ("contract", False)],
    )
    for shard, sequence, arrived_at, why, version in found.newest:
        events.add_row(shard, sequence, f"{arrived_at:%Y-%m-%d %H:%M:%S %Z}", ", ".join(why), version)
    return [reasons, events]


def conflicts_table(contract: Contract, versions: Sequence[Version], keys: int) -> Table:
    """Return the values of each file for the keys on which files of one period disagree, and which file counts."""
    listed = len({(version.period, version.key) for version in versions})
    table = _table(
        f"{contract.table}: {of_all(listed, keys)} keys on which files of the same {contract.cadence} disagree",
        [("period", False), ("key", False), ("file id", True), ("file", False), ("counts", False), ("values", False)],
    )
    for version in versions:
        period = Period.of(contract.cadence, version.period)
        counts = "yes" if version.is_current else ""
        table.add_row(period.key, version.key, str(version.file_id), version.object_key, counts, version.values)
    return table


def replay_table(replayed: Sequence[Replayed]) -> Table:
    """Return the outcome of a replay for each file."""
    table = _table(
        "Replayed",
        [("period", False), ("file", False), ("tried", True), *((name, True) for name in COUNTS[1:])],
    )
    for file in replayed:
        counts = (text(getattr(file.books, name)) for name in COUNTS)
        table.add_row(file.period.key, file.object_key, *counts)
    return table


def shards_table(state: StreamState) -> Table:
    """Return the shards of a stream: who reads them, how far, and their books."""
    numbers = ("events", *_OUTCOMES)
    table = _table(
        f"{state.dataset}: the stream {state.name}",
        [("shard", False), ("read by", False), ("lag s", True), ("newest event", False), *((n, True) for n in numbers)],
    )
    for one in state.shards:
        reader = "finished" if one.is_finished else one.owner or ("nobody" if one.is_open else "waits for its parents")
        shard = f"{one.shard} (records were lost)" if one.lost_at else one.shard
        newest = "" if one.newest is None else f"{one.newest:%Y-%m-%d %H:%M:%S %Z}"
        table.add_row(shard, reader, text(one.lag_seconds, 1), newest, *(text(getattr(one, n)) for n in numbers))
    return table


def replayed_events_table(replayed: Sequence[ReplayedEvents]) -> Table:
    """Return the outcome of a replay for each shard."""
    table = _table("Replayed events", [("shard", False), ("tried", True), *((name, True) for name in _OUTCOMES)])
    for one in replayed:
        table.add_row(one.shard, text(one.counts.events), *(text(getattr(one.counts, name)) for name in _OUTCOMES))
    return table


def stream_books_line(dataset: str, counts: Counts) -> str:
    """Return the books of a stream as a sum."""
    outcomes = " + ".join(f"{text(getattr(counts, name))} {name}" for name in _OUTCOMES)
    return f"Stream of {dataset}: {count(counts.events, 'event')} = {outcomes}"


def alerts_text(rows: Sequence[tuple[Any, ...]], deliveries: Mapping[Any, Sequence[str]], total: int) -> Text:
    """Return alerts (DAG, run, kind, time, message) with their delivery states, and how many of `total` are listed."""
    lines = Text() if rows else Text("There are no alerts.")
    for dag_id, run_id, kind, raised_at, message in rows:
        sent = "; ".join(deliveries[(dag_id, run_id, kind)]) or "not sent: no channel has a connection"
        lines.append(f"{raised_at:%Y-%m-%d %H:%M %Z}  {kind}, {sent}\n", "bold").append(f"{message}\n\n")
    if len(rows) < total:
        lines.append(f"{of_all(len(rows), total)} alerts, newest first; --limit lists more.\n")
    return lines


def incidents_table(incidents: Sequence[Incident]) -> Table:
    """Return incidents with their states."""
    table = _table(
        "Incidents",
        [
            ("number", True),
            ("domain", False),
            ("severity", False),
            ("opened", False),
            ("state", False),
            ("what", False),
        ],
    )
    for one in incidents:
        opened, state = f"{one.opened_at:%Y-%m-%d %H:%M %Z}", Text(incident_state(one))
        table.add_row(str(one.incident_id), one.domain, one.severity, opened, state, Text(one.what))
    return table


def incident_state(incident: Incident) -> str:
    """Return the state of an incident, with the person and the instant."""
    if incident.state == "closed":
        return f"closed by {incident.closed_by} at {incident.closed_at:%Y-%m-%d %H:%M %Z}"
    if incident.state == "muted":
        return f"muted by {incident.muted_by} until {incident.muted_until:%Y-%m-%d %H:%M %Z}"
    if incident.state == "acknowledged":
        return f"acknowledged by {incident.acknowledged_by}"
    return "open"


def incident_tables(events: Sequence[tuple[Any, ...]], runs: Sequence[tuple[Any, ...]]) -> list[Table]:
    """Return the history of an incident, and its failed or late runs."""
    history = _table("History", [("time", False), ("event", False), ("by", False), ("number", True)])
    for happened_at, event, by, number in events:
        history.add_row(f"{happened_at:%Y-%m-%d %H:%M %Z}", event, Text(by), text(number))
    failed = _table(
        "Runs", [("failed or late", False), ("DAG", False), ("run", False), ("task", False), ("succeeded", False)]
    )
    for dag_id, run_id, task_id, failed_at, settled_at in runs:
        settled = f"{settled_at:%Y-%m-%d %H:%M %Z}" if settled_at else ""
        failed.add_row(f"{failed_at:%Y-%m-%d %H:%M %Z}", dag_id, Text(run_id), task_id, settled)
    return [history, *([failed] if runs else [])]


def dry_run_table(proposed: Contract, results: Sequence[FileDryRun]) -> Table:
    """Return what a proposed contract would change for each file."""
    table = _table(
        f"{proposed.table} {proposed.version}: rows that it rejects and the current contract accepts",
        [("file", False), ("rows", True), ("newly rejected", True), ("newly accepted", True), ("why", False)],
    )
    for result in results:
        why = result.rejection or "; ".join(
            f"{reason} {number} (records {', '.join(map(str, result.examples[reason]))})"
            for reason, number in result.reasons.most_common()
        )
        table.add_row(
            result.key,
            text(result.rows),
            "all" if result.is_newly_rejected else text(result.rows_newly_rejected),
            text(result.rows_newly_accepted),
            why,
        )
    table.add_section()
    table.add_row(
        "total",
        text(sum(result.rows for result in results)),
        text(sum(result.rows if result.is_newly_rejected else result.rows_newly_rejected for result in results)),
        text(sum(result.rows_newly_accepted for result in results)),
    )
    return table


def draft_table(draft: DraftTable) -> Table:
    """Return the columns of a drafted contract, with what the files show and the number of doubts of each."""
    table = _table(
        f"{draft.domain}.{draft.dataset}: {count(draft.rows, 'row')}",
        [("column", False), ("type", False), ("absent", True), ("distinct", True), ("form", False), ("doubts", True)],
    )
    for column in draft.columns:
        doubts = sum(map(len, column.doubts.values()))
        table.add_row(
            Text(column.name),
            column.type.physical,
            text(column.nulls),
            text(column.distinct),
            Text("***" if column.personal else column.shape),
            text(doubts) if doubts else "",
        )
    return table


def versions_table(domain: str, states: Sequence[VersionState]) -> Table:
    """Return the versions of a domain's feature views: owner, entity, how many have values, and the newest day."""
    table = _table(
        f"{load_manifest(domain).title}: feature views",
        [("view", False), ("owner", False), ("entity", False), ("with values", True), ("newest values", False)],
    )
    for one in states:
        if one.retired_at:
            newest = "retired"
        elif one.created_at is None:
            newest = "not built yet"
        else:
            newest = f"{one.newest:%Y-%m-%d}" if one.newest else ""
        view = one.view
        table.add_row(view.name, Text(view.contract.owner), ", ".join(view.entity), text(one.entities), newest)
    return table
