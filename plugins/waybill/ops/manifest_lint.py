"""Find every problem between domain manifests, contracts, DAG files and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from waybill.contracts import Contract, ContractError
from waybill.contracts.classification import restricted_names
from waybill.contracts.dag_files import defined_dags, without_dag
from waybill.contracts.domains import (
    EVERY_DOMAIN,
    REQUIRED,
    Dashboard,
    Domain,
    Stream,
    domain_names,
    load_manifest,
    manifest_path,
)
from waybill.contracts.locations import processed_layout, raw_layout, report_schema, star_schema
from waybill.contracts.people import problems as problems_of_people
from waybill.contracts.standard import Problem, in_words, likeliest
from waybill.ops.spark_support import unsupported_domain
from waybill.settings import settings


def lint_manifests(contracts: Collection[Contract], unread: Collection[str]) -> list[str]:
    """Return every problem of the manifests; each names the file, the key and what is allowed.

    `unread` are the folders with contracts that cannot be read: nothing is said about what those may contain.
    """
    manifests: dict[str, Domain] = {}
    problems = []
    for domain in domain_names():
        try:
            manifests[domain] = load_manifest(domain)
        except ContractError as error:
            problems.append(str(error))
    datasets = {contract.domain for contract in contracts if contract.is_dataset}
    problems += [
        f"{settings().include_dir / 'contracts' / domain}: the domain has datasets and no manifest: "
        f"run `waybill domain new {domain}`, or write {manifest_path(domain)} with {REQUIRED}"
        for domain in sorted(datasets - {*domain_names()})
    ]
    for domain, manifest in manifests.items():
        found = [*_of_domain(domain, manifest, contracts, unread), *_of_dag(domain, manifest, manifests)]
        if found:
            problems.append(in_words(manifest_path(domain), {}, found))
    with_manifest = [one for one in contracts if one.is_dataset and one.domain in manifests]
    return [*problems, *_of_prefixes(with_manifest), *_of_queues(manifests), *_of_stream_names(manifests)]


def _of_domain(
    domain: str, manifest: Domain, contracts: Collection[Contract], unread: Collection[str]
) -> Iterator[Problem]:
    tables: dict[str, dict[str, Contract]] = {domain: {}, star_schema(domain): {}, report_schema(domain): {}}
    for contract in contracts:
        if contract.domain in tables:
            tables[contract.domain][contract.name] = contract
    if domain not in unread:
        if not tables[domain]:
            yield Problem(
                (), f"the domain has no dataset: run `waybill contract new FILE --domain {domain} --dataset NAME`"
            )
        yield from _of_raw_prefixes(manifest, tables[domain])
        yield from _of_streams(manifest, tables[domain])
        yield from (Problem(steps, text) for steps, text in problems_of_people(manifest, tables[domain]))
    if not {domain, star_schema(domain)} & {*unread}:
        stored = {one.table for schema in (domain, star_schema(domain)) for one in tables[schema].values()}
        for name in manifest.prefixes.processed:
            if name not in stored:
                yield Problem(("prefixes", "processed", name), f"unknown table: {likeliest(name, stored)}")
            elif not processed_layout(*name.split(".")).names_days:
                yield Problem(("prefixes", "processed", name), "must name a day, like dt=YYYY-MM-DD/")
    if manifest.engine == "spark" and not tables.keys() & {*unread}:
        for problem in unsupported_domain(domain):
            yield Problem(("engine",), problem)
    if report_schema(domain) not in unread:
        yield from _of_dashboard(manifest.dashboard, tables[report_schema(domain)])


def _of_raw_prefixes(manifest: Domain, datasets: Mapping[str, Contract]) -> Iterator[Problem]:
    for name, layout in manifest.prefixes.raw.items():
        place = ("prefixes", "raw", name)
        if name not in datasets:
            yield Problem(place, f"unknown dataset: {likeliest(name, {*datasets})}")
        elif layout.names_days == (datasets[name].cadence == "month"):
            form = "YYYY-MM, without a day" if layout.names_days else "YYYY-MM-DD"
            yield Problem(place, f"a file of {datasets[name].table} is for a {datasets[name].cadence}: write {form}")


def _of_streams(manifest: Domain, datasets: Mapping[str, Contract]) -> Iterator[Problem]:
    """Yield the streams that name an unknown dataset or column, or whose events cannot be checked on arrival."""
    if "kinesis" in manifest.services and not manifest.streams:
        yield Problem(("services",), "`kinesis` needs `streams`: it is the stream of each of its datasets")
    for name, stream in manifest.streams.items():
        place = ("streams", name)
        if name not in datasets:
            yield Problem(place, f"unknown dataset: {likeliest(name, {*datasets})}")
            continue
        if manifest.engine == "spark":
            yield Problem(place, "a domain with `engine: spark` cannot have a stream")
        yield from _of_events(place, datasets[name])
        yield from _of_counts(place, stream, datasets[name])
        yield from _of_amount((*place, "amount"), stream, datasets[name], datasets)


def _of_events(place: tuple[str, ...], contract: Contract) -> Iterator[Problem]:
    """Yield what keeps the events of a dataset from being checked one by one."""
    columns = {column.name: column for column in contract.columns}
    instant = columns.get(contract.period_column or "")
    if contract.load_mode != "merge":
        yield Problem(place, f"{contract.table} needs `loadMode: merge`: the archive adds files to a day")
    if len(contract.key) != 1:
        yield Problem(place, f"the primary key of {contract.table} must be one column, which identifies an event")
    if instant is None or instant.physical_type != "timestamptz":
        yield Problem(
            place, f"{contract.table} needs a `periodColumn` of the type timestamptz: the instant of an event"
        )
    for column in contract.columns:
        if column.checked_reference:
            yield Problem(place, f"{column.name!r} refers to a row: its `onUnknown` must be `infer`")
    if contract.filter_column:
        yield Problem(place, f"{contract.filter_column.name!r} has `onlyValuesOf`: a stream cannot filter events")
    if contract.file_format.name not in (None, "json"):
        yield Problem(place, f"{contract.table} must accept JSON files: the archive of the stream is JSON")


def _of_counts(place: tuple[str, ...], stream: Stream, contract: Contract) -> Iterator[Problem]:
    """Yield what is wrong with the columns by which events are counted."""
    columns = {column.name: column for column in contract.columns}
    restricted = restricted_names(contract)
    for key, name in (("kind", stream.kind), ("session", stream.session)):
        if name in columns and not columns[name].required:
            yield Problem((*place, key), f"the column {name!r} of {contract.table} must be `required`")
    for key, names in (("kind", [stream.kind]), ("session", [stream.session]), ("dimensions", stream.dimensions)):
        for name in names:
            if name not in columns:
                yield Problem((*place, key), f"{contract.table} has no column {name!r}: {likeliest(name, {*columns})}")
            elif name in restricted and key != "session":
                yield Problem((*place, key), f"{name!r} is restricted: its values would be stored and shown as counts")
    for key, named in (("dimensions", stream.dimensions), ("funnel", stream.funnel)):
        for name in _repeated(named):
            yield Problem((*place, key), f"{name!r} is named twice")
    for step in stream.funnel:
        yield from _of_kind((*place, "funnel"), step, stream, contract)


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, number in Counter(names).items() if number > 1]


def _of_kind(place: tuple[str, ...], kind: str, stream: Stream, contract: Contract) -> Iterator[Problem]:
    """Yield a kind of event that the contract does not accept."""
    kinds = next((column.enum for column in contract.columns if column.name == stream.kind), ())
    if kinds and kind not in kinds:
        yield Problem(place, f"unknown kind {kind!r}: {likeliest(kind, {*kinds})}")


def _of_amount(
    place: tuple[str, ...], stream: Stream, contract: Contract, datasets: Mapping[str, Contract]
) -> Iterator[Problem]:
    amount = stream.amount
    if amount is None:
        return
    yield from _of_kind((*place, "kind"), amount.kind, stream, contract)
    if amount.column not in stream.dimensions:
        yield Problem((*place, "column"), f"{amount.column!r} is none of the `dimensions`")
    table = datasets.get(amount.table)
    if table is None:
        yield Problem((*place, "table"), f"unknown dataset {amount.table!r}: {likeliest(amount.table, {*datasets})}")
        return
    if table.key != [amount.column]:
        yield Problem((*place, "table"), f"the key of {table.table} must be {amount.column!r}")
    yield from _of_value((*place, "value"), amount.value, table)


def _of_value(place: tuple[str, ...], name: str, table: Contract) -> Iterator[Problem]:
    """Yield what keeps a column of a table from being summed."""
    column = next((one for one in table.columns if one.name == name), None)
    if column is None:
        yield Problem(place, f"{table.table} has no column {name!r}: {likeliest(name, {*table.names})}")
    elif column.logical_type not in ("integer", "number"):
        yield Problem(place, f"the column {name!r} of {table.table} must be a number")
    elif name in restricted_names(table):
        yield Problem(place, f"{name!r} is restricted: the sum of one event would show its value")


def _of_dag(domain: str, manifest: Domain, manifests: Mapping[str, Domain]) -> Iterator[Problem]:
    others = [other for other, one in manifests.items() if one.dag == manifest.dag and other != domain]
    if others:
        yield Problem(("dag",), f"{manifest.dag} is the DAG of {', '.join(others)}, too: name one DAG for each domain")
    if manifest.dag not in (known := defined_dags()):
        yield Problem(("dag",), f"{without_dag(domain).removesuffix('.')}: {likeliest(manifest.dag, known)}")


def _of_dashboard(dashboard: Dashboard, reports: Mapping[str, Contract]) -> Iterator[Problem]:
    """Yield the entries of a dashboard that name an unknown report or column."""
    for steps, report, column in _entries(dashboard):
        place: tuple[str | int, ...] = ("dashboard", *steps)
        if report not in reports:
            yield Problem(place, f"unknown report {report!r}: {likeliest(report, {*reports})}")
        elif column is not None and column not in reports[report].names:
            known = {*reports[report].names}
            yield Problem(place, f"{reports[report].table} has no column {column!r}: {likeliest(column, known)}")


def _entries(dashboard: Dashboard) -> Iterator[tuple[tuple[str | int, ...], str, str | None]]:
    """Yield (place, report, column) for all that a dashboard names."""
    for position, kpi in enumerate(dashboard.kpis):
        yield ("kpis", position), kpi.report, None if kpi.column == "*" else kpi.column
        if kpi.per:
            yield ("kpis", position, "per"), kpi.report, kpi.per
    for position, trend in enumerate(dashboard.trends):
        yield ("trends", position), trend.report, trend.column
    for position, question in enumerate(dashboard.questions):
        for place, report in enumerate(question.reports):
            yield ("questions", position, "reports", place), report, None
    for key, columns in (("measure", dashboard.measure), ("counted", dashboard.counted)):
        for report, column in columns.items():
            yield (key, report), report, column
    for report, listed in dashboard.lines.items():
        for position, column in enumerate(listed):
            yield ("lines", report, position), report, column
    for report, matrix in dashboard.matrix.items():
        for key, column in matrix:
            yield ("matrix", report, key), report, column


def _of_prefixes(datasets: Collection[Contract]) -> Iterator[str]:
    """Yield the prefixes of files that contain each other: S3 would notify two queues, and listings would mix files.

    A domain on Spark may read the files of a domain of the warehouse, so that their reports can be compared.
    """
    roots = {one.table: raw_layout(one.domain, one.name, one.cadence).root for one in datasets}
    for table, root in roots.items():
        for other, inner in roots.items():
            if table == other or not inner.startswith(root) or (inner == root and table > other):
                continue
            if inner != root or not _on_two_engines(table, other):
                yield (
                    f"{manifest_path(table.partition('.')[0])}: the prefix {root} of {table} contains {inner} of "
                    f"{other}: change one of them under $.prefixes.raw"
                )


def _on_two_engines(*tables: str) -> bool:
    manifests = [load_manifest(table.partition(".")[0]) for table in tables]
    return len({one.engine for one in manifests}) == 2 and not any(one.queue for one in manifests)


def _of_queues(manifests: Mapping[str, Domain]) -> Iterator[str]:
    settled = {
        "WAYBILL_QUEUE_URLS": settings().queue_urls,
        "WAYBILL_DEAD_LETTER_URLS": settings().dead_letter_urls,
    }
    for variable, domain in [(name, one) for name, urls in settled.items() for one in urls if one != EVERY_DOMAIN]:
        if domain not in manifests:
            yield f"{variable}: unknown domain {domain!r}: {likeliest(domain, {*manifests})}"
        elif not manifests[domain].queue:
            yield f"{variable}: {domain} has no queue: set `queue: true` in {manifest_path(domain)}"


def _of_stream_names(manifests: Mapping[str, Domain]) -> Iterator[str]:
    known = {f"{domain}.{name}" for domain, manifest in manifests.items() for name in manifest.streams}
    for table in settings().streams:
        if table not in known:
            yield f"WAYBILL_STREAMS: no manifest has a stream of {table!r}: {likeliest(table, known)}"
