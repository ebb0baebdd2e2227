"""Domain manifests: the properties of a domain that its contracts and SQL do not have.

A manifest is `include/domains/<domain>.yaml`. It names the domain's DAG, the meaning of its reports, its queue,
prefixes that differ from the default, and the order of its dashboard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StrictBool, StringConstraints, ValidationError

from waybill.contracts.contract import ContractError
from waybill.contracts.layout import Layout
from waybill.contracts.standard import Problem, in_words, likeliest
from waybill.contracts.yaml_files import parse, read_text
from waybill.settings import settings

Semantics = Literal["as of", "current"]
Severity = Literal["error", "warning"]
Channel = Literal["sns", "slack", "email"]
ALL_CHANNELS: Final[tuple[Channel, ...]] = ("sns", "slack", "email")
Service = Literal["crawler", "kinesis"]
Engine = Literal["warehouse", "spark"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Prefix = Annotated[Layout, PlainValidator(lambda value: Layout.parse(str(value)))]


class _Part(BaseModel):
    """A part of a manifest. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kpi(_Part):
    """A number of a period: the sum of a column over the report's rows in it, or a ratio of two sums."""

    label: Text
    """The heading."""
    report: Text
    """The name of the report."""
    column: Text
    """The column to sum; `*` counts rows."""
    per: Text | None = None
    """The column whose sum is the divisor."""
    percent: StrictBool = False
    """Whether the ratio is shown as a percentage."""


class Trend(_Part):
    """A line over the periods: the sum of a column of a report in each."""

    label: Text
    """The heading."""
    report: Text
    """The name of the report."""
    column: Text
    """The column to sum."""


class Question(_Part):
    """A question of the people who read the reports, and the reports that answer it."""

    ask: Text
    """The heading."""
    reports: tuple[Text, ...]
    """The names of the reports in the order in which they are shown."""


class Matrix(_Part):
    """A table of shades: the percentages of a report's rows of several periods, by two of its columns."""

    row: Text
    """A date of the key: a line for each of the newest."""
    column: Text
    """An integer from 0 on."""
    value: Text
    """A percentage."""


class Dashboard(_Part):
    """The order and the charts of a domain. The view draws everything else from the contracts alone."""

    kpis: tuple[Kpi, ...] = ()
    """Numbers at the top."""
    trends: tuple[Trend, ...] = ()
    """Lines over the periods, below the numbers."""
    questions: tuple[Question, ...] = ()
    """Questions with their reports, in the order in which they are shown; the other reports follow by name."""
    measure: dict[Text, Text] = {}
    """By report, the column that its bars or line show. Without an entry, the first measure."""
    units: dict[Text, Text] = {}
    """By column, the unit of its values, such as `EUR`, if its name does not end with one."""
    lines: dict[Text, tuple[Text, ...]] = {}
    """By report with one row for each period, the columns that have a small line each; by default the measure."""
    matrix: dict[Text, Matrix] = {}
    """By report, the columns of a table of shades over the periods up to the shown one."""
    counted: dict[Text, Text] = {}
    """By report, the column whose values are counted, instead of drawing each row."""


class Amount(_Part):
    """What events of one kind are worth: the number of a referenced table's row for each of them."""

    label: Text
    """The heading."""
    kind: Text
    """The kind of event that counts, such as `payment`."""
    column: Text
    """The dimension that refers to a row of the table."""
    table: Text
    """A dataset of the domain whose key is that column."""
    value: Text
    """The column of the table that is summed."""
    unit: Text
    """The unit of the sum, such as `EUR`."""


class Stream(_Part):
    """How the events of a dataset are counted while they arrive in a stream."""

    kind: Text
    """The column that says what happened: events are counted by it."""
    dimensions: tuple[Text, ...] = ()
    """Columns by whose values the events of each kind are counted, too."""
    session: Text
    """The column that identifies who acts. A session is a series of its events without a longer pause."""
    pause_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    """After how many minutes without an event a session ends."""
    funnel: tuple[Text, ...] = ()
    """Kinds of events in the order of the funnel."""
    amount: Amount | None = None
    """What events of one kind are worth."""


class Prefixes(_Part):
    """Prefixes that differ from `raw/<domain>/<dataset>/` and `processed/<schema>/<table>/`."""

    raw: dict[Text, Prefix] = {}
    """By dataset, the prefix where its files land. The last folders name the day or month, as in
    `lake/invoices/dt=YYYY-MM-DD/`."""
    processed: dict[Text, Prefix] = {}
    """By `schema.table`, the prefix of its Parquet files. The last folders name the day."""


class Alerts(_Part):
    """The channels of messages, by severity. Without an entry, every channel that has a connection."""

    error: tuple[Channel, ...] = ALL_CHANNELS
    """Channels of failed and late runs, and of incidents that are errors."""
    warning: tuple[Channel, ...] = ALL_CHANNELS
    """Channels of all other messages."""


class Domain(_Part):
    """The content of a manifest."""

    title: Text
    """The name in headings."""
    dag: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
    """The id of the DAG that ingests the domain's files."""
    semantics: Semantics
    """`as of`: a report states what was known at the end of its period. `current`: a report is rebuilt when its inputs
    change."""
    engine: Engine = "warehouse"
    """What loads the files and computes the reports: `warehouse` is one machine and PostgreSQL. With `spark`, the rows
    are in Iceberg tables of the lake, and the books and the reports in PostgreSQL."""
    owner: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")] | None = None
    """The team that gets the messages: over `waybill_alerts_slack_finance`, for the owner `finance`, if there is such a
    connection, and else over `waybill_alerts_slack`."""
    alerts: Alerts = Alerts()
    """The channels of messages."""
    queue: StrictBool = False
    """Whether an SQS queue receives the notifications of new files. `WAYBILL_QUEUE_URLS` has its address."""
    services: tuple[Service, ...] = ()
    """Services that `terraform/` builds only for domains that list them: `crawler` describes the domain's raw files in
    the Glue catalog, and `kinesis` is a stream for each dataset of `streams`, with its consumers."""
    streams: dict[Text, Stream] = {}
    """By dataset, how its events are counted as they arrive. `WAYBILL_STREAMS` names the stream in Kinesis. Terraform
    builds it if `services` lists `kinesis`, because it costs money."""
    people: dict[Text, Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+[.][A-Za-z0-9_]+$")]] = {}
    """By kind of person, the column that identifies one, such as `customer: customers.customer_id`. All columns that
    refer to it hold the id, too. `waybill forget --customer ID` then erases a person."""
    prefixes: Prefixes = Prefixes()
    """Prefixes that differ from the default."""
    dashboard: Dashboard = Dashboard()
    """The order and the charts of the business view."""


EVERY_DOMAIN: Final = "*"
"""The key of `WAYBILL_QUEUE_URLS` and `WAYBILL_DEAD_LETTER_URLS` for domains that it does not name."""
REQUIRED: Final = ", ".join(f"`{name}`" for name, field in Domain.model_fields.items() if field.is_required())
"""The keys that every manifest has."""


def manifest_path(domain: str) -> Path:
    """Return the path of a domain's manifest."""
    return settings().include_dir / "domains" / f"{domain}.yaml"


def domain_names() -> list[str]:
    """Return the names of the domains that have a manifest, in order."""
    return sorted(path.stem for path in manifest_path("*").parent.glob("*.yaml"))


def load_manifest(domain: str) -> Domain:
    """Return the manifest of a domain.

    Raises `ContractError` with the file, every problem and its place if the manifest is missing or not valid.
    """
    path = manifest_path(domain)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ContractError(
            f"There is no domain {domain!r} ({likeliest(domain, {*domain_names()})}). "
            f"To add the domain, run `waybill domain new {domain}`."
        ) from None
    return _load(path, found.st_mtime_ns, found.st_size)


def load_manifests() -> dict[str, Domain]:
    """Return the manifests of all domains, by domain. Raises `ContractError` for the first one that is not valid."""
    return {domain: load_manifest(domain) for domain in domain_names()}


def is_on_spark(domain: str) -> bool:
    """Return whether Spark loads the files of a domain; False without a manifest. Raises `ContractError`."""
    return manifest_path(domain).exists() and load_manifest(domain).engine == "spark"


def domain_of_dag(dag_id: str) -> str | None:
    """Return the domain whose manifest names a DAG, or None. Raises `ContractError` as `load_manifests` does."""
    return next((domain for domain, manifest in load_manifests().items() if manifest.dag == dag_id), None)


def title_of(domain: str) -> str:
    """Return the title of a domain, or its name if it has no valid manifest."""
    try:
        return load_manifest(domain).title
    except ContractError:
        return domain


def channels_of(domain: str, severity: Severity) -> tuple[str | None, tuple[Channel, ...]]:
    """Return (owner, channels) of a domain's messages. Raises `ContractError` as `load_manifest` does."""
    manifest = load_manifest(domain)
    return manifest.owner, getattr(manifest.alerts, severity)


def queue_url(domain: str) -> str | None:
    """Return the queue that receives the notifications of a domain's new files, or None.

    Raises `ContractError` as `load_manifest` does.
    """
    return _address(domain, settings().queue_urls)


def dead_letter_url(domain: str) -> str | None:
    """Return the dead-letter queue of a domain, or None. Raises `ContractError` as `load_manifest` does."""
    return _address(domain, settings().dead_letter_urls)


def _address(domain: str, urls: Mapping[str, str]) -> str | None:
    if domain in urls:
        return urls[domain]
    return (
        urls[EVERY_DOMAIN].replace("{domain}", domain) if EVERY_DOMAIN in urls and load_manifest(domain).queue else None
    )


@lru_cache(maxsize=64)  # read again only when the file has changed
def _load(path: Path, _modified: int, _size: int) -> Domain:
    document = parse(path, read_text(path))
    try:
        return Domain.model_validate(document)
    except ValidationError as error:
        raise ContractError(in_words(path, document, [*_problems(error)])) from None


_KINDS: Final = {
    "bool_type": "true or false, without quotes",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "tuple_type": "a list",
}


def _problems(error: ValidationError) -> Iterator[Problem]:
    for one in error.errors(include_url=False):
        steps, value = tuple(step for step in one["loc"] if step != "[key]"), one["input"]
        match one["type"]:
            case "extra_forbidden":
                text = f"unknown key `{steps[-1]}`: {likeliest(str(steps[-1]), _keys_at(steps[:-1]))}"
            case "missing":
                steps, text = steps[:-1], f"needs `{steps[-1]}`"
            case "literal_error":
                text = f"must be {one['ctx']['expected'].replace(chr(39), '`')}, not {value!r}"
            case "string_pattern_mismatch":
                text = f"must be an id of letters, digits, `_`, `-` and `.`, not {value!r}"
            case "value_error":
                text = f"{one['ctx']['error']}, not {value!r}"
            case kind:
                text = f"must be {_KINDS[kind]}, not {value!r}" if kind in _KINDS else one["msg"]
        yield Problem(steps, text)


def _keys_at(steps: tuple[str | int, ...]) -> frozenset[str]:
    """Return the keys that the part of a manifest at this place may have."""
    part: type[BaseModel] = Domain
    for step in steps:
        if field := part.model_fields.get(str(step)):
            held = [field.annotation, *get_args(field.annotation)]
            part = next((one for one in held if isinstance(one, type) and issubclass(one, BaseModel)), part)
    return frozenset(part.model_fields)
