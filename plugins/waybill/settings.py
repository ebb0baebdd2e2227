"""Settings from the environment and, if one is named, from a secret of AWS Secrets Manager; validated once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import AWSSecretsManagerSettingsSource, BaseSettings, NoDecode, PydanticBaseSettingsSource
from pydantic_settings import SettingsConfigDict as Config

from waybill.errors import DataError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PREFIX: Final = "WAYBILL_"
SECRET_ID: Final = "WAYBILL_SECRET_ID"  # noqa: S105  # a name, not a secret
WAREHOUSE: Final = "AIRFLOW_CONN_WAYBILL_WAREHOUSE"
READER: Final = "AIRFLOW_CONN_WAYBILL_READER"
EXPLICIT_IN_PROD = ("raw_bucket", "reports_bucket", "lake_bucket", "mask_key")
_WRONG_SECRET = ("AccessDeniedException", "DecryptionFailure", "InvalidRequestException", "ResourceNotFoundException")

Bucket = Annotated[str, Field(min_length=3, max_length=63)]
_FORMER = re.compile(PREFIX + "[A-Z0-9_]+_QUEUE_URL")


class SettingsError(DataError):
    """A setting is missing or wrong. The message names it, never a secret's value."""


class Settings(BaseSettings):
    """What differs between one machine and AWS, apart from Airflow's connections.

    The variable of a setting is its name in capitals after `WAYBILL_`.
    """

    model_config = Config(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    profile: Literal["dev", "prod"] = "dev"
    """With `prod`, the settings for the buckets and `WAYBILL_MASK_KEY` have no default."""
    raw_bucket: Bucket = "waybill-raw"
    """The bucket where files land."""
    reports_bucket: Bucket = "waybill-reports"
    """The bucket for published reports and their manifests."""
    lake_bucket: Bucket = "waybill-lake"
    """The bucket for the Parquet files of the lake."""
    lake_catalog: str | None = Field(default=None, pattern="^https?://")
    """The address of the Iceberg REST catalog of the lake, by default that of AWS Glue in the region. Requests are
    signed with SigV4, for S3 Tables if the address begins with `https://s3tables.`."""
    lake_warehouse: str = ""
    """What the catalog calls its warehouse: the account for Glue, the ARN of a table bucket for S3 Tables."""
    lake_database: str = "waybill_processed"
    """The database of the catalog that has the tables of the lake. The embedded stack or Terraform creates it."""
    training_database: str = "waybill_training"
    """The database of the catalog that has the tables of training sets. It is created like that of the lake."""
    lake_snapshot_days: int = Field(default=30, ge=1)
    """How many days snapshots of the lake are kept that no published report refers to."""
    lake_published_days: int = Field(default=400, ge=1)
    """How many days snapshots of the lake are kept that a published report refers to."""
    dashboard_bucket: Bucket = "waybill-dashboard"
    """The bucket for the static site; with the profile `prod`, the site is published only if this is set."""
    dashboard_prefix: str = ""
    """The folder in that bucket, like `figures/`."""
    queue_urls: Annotated[dict[str, str], NoDecode] = {}
    """A JSON object with the SQS queue of each domain: `{"billing": "https://…"}`. The queue receives the notifications
    of new files. The key `*` stands for all other domains whose manifest has `queue: true`, and `{domain}` in its value
    for the name of the domain. The files of a domain without a queue wait for a scheduled run that looks at them."""
    dead_letter_urls: Annotated[dict[str, str], NoDecode] = {}
    """The SQS dead-letter queue of each domain, in the same form. *Needs attention* lists queues that have messages."""
    whole_listing_hours: float = Field(default=24, ge=0, le=168)
    """How often a dataset whose files land at any time is listed as a whole, although it has many objects."""
    whole_listing_objects: int = Field(default=5000, ge=0)
    """Up to how many objects such a dataset is listed as a whole by each run."""
    recent_days: int = Field(default=3, ge=0, le=400)
    """Of how many past days each scheduled run lists the folders of such a dataset."""
    streams: Annotated[dict[str, str], NoDecode] = {}
    """A JSON object with the name of the Kinesis stream of each dataset whose events arrive in one:
    `{"billing.payments": "billing-events"}`. Its domain's manifest says how they are counted."""
    stream_lateness_minutes: float = Field(default=10, ge=0, le=1440)
    """How many minutes an event may be older than the newest one of its shard and still count in its window."""
    stream_ahead_seconds: float = Field(default=60, ge=0, le=3600)
    """How many seconds an event may be dated after its arrival. Later ones are rejected."""
    stream_keep_hours: int = Field(default=24, ge=1, le=720)
    """How many hours beyond the lateness events are kept, with their ids, by which repeated events are recognised."""
    stream_window_days: int = Field(default=7, ge=1, le=400)
    """How many days sessions, counts by dimension and resolved events are kept. Counts by kind are kept for good."""
    stream_idle_seconds: float = Field(default=60, ge=1, le=3600)
    """After how many seconds without an event a shard no longer holds up the archive."""
    stream_lag_seconds: float = Field(default=60, ge=1, le=86400)
    """How many seconds a consumer may lag behind its stream. If it does so for five minutes, an alert is sent."""
    metrics: bool = Field(default_factory=lambda read: read.get("profile") == "prod")
    """Whether metrics are sent to Amazon CloudWatch; by default in prod only."""
    notify_scheduled: bool = False
    """Whether successful runs of scheduled pipelines send a message. Runs that a file starts always do."""
    alert_connect_seconds: float = Field(default=3, ge=0.1, le=7)
    """How long a message waits for the connection to a channel."""
    alert_read_seconds: float = Field(default=4, ge=0.1, le=7)
    """How long a message waits for the answer of a channel."""
    escalate_hours: int = Field(default=24, ge=1, le=8760)
    """After how many hours an open error that nobody has acknowledged sends a second alert."""
    digest_hour: int = Field(default=7, ge=0, le=23)
    """The hour of the day, in the business time zone, at which the daily digest is sent."""
    neutralise_formulas: bool = True
    """Whether exported CSV files have an apostrophe before texts that a spreadsheet would run as formulas."""
    docs_url: str | None = Field(default=None, pattern="^https?://")
    """The address where these documents are published, like `https://docs.example.com/waybill/`. *Data operations*
    links to their runbook, or else to the page of the DAG."""
    owner_link: str | None = None
    """The link of the DAGs' owner in Airflow: an address or `mailto:`."""
    mask_key: SecretStr | None = Field(default=None, min_length=32)
    """The key of the pseudonyms, 32 characters or more. With it, guesses of pseudonymised values can be tested."""
    warehouse: SecretStr | None = Field(default=None, validation_alias=WAREHOUSE)
    """The address of the warehouse for commands outside of Airflow."""
    reader: SecretStr | None = Field(default=None, validation_alias=READER)
    """The address of the warehouse for the role that only reads, for [notebooks](../do/analyse.md)."""
    timezone: str = "UTC"
    """The business time zone. It assigns timestamps to days and months."""
    include_dir: Path = PROJECT_ROOT / "include"
    """The folder with manifests, contracts and SQL files."""
    scratch_dir: Path | None = None
    """The folder in which files are decompressed while they load; by default the temporary folder of the system."""
    max_unpack_ratio: float = Field(default=200, ge=1)
    """How many times its size an object may unpack to; content up to 1 GiB is not limited."""
    duckdb_memory_limit: str = "160MB"
    """How much memory DuckDB may use to validate a file."""
    spark: Literal["local", "glue", "emr"] = "local"
    """Where the Spark jobs of domains with `engine: spark` run: on the machine of the task (`make spark` installs
    Spark), as runs of an AWS Glue job, or on EMR Serverless."""
    spark_memory: str = Field(default="2g", pattern="^[1-9][0-9]*[gm]$")
    """How much memory the Java process of a local Spark job may use, like `2g`."""
    spark_cores: int = Field(default=2, ge=1)
    """How many files a local Spark job checks at once."""
    spark_hours: int = Field(default=8, ge=1, le=168)
    """After how many hours a Spark job is stopped, wherever it runs."""
    spark_job: str = "waybill"
    """The name of the Glue job."""
    spark_application: str = ""
    """The id of the EMR Serverless application."""
    spark_role: str = ""
    """The ARN of the role of jobs on EMR Serverless."""
    spark_script: str = ""
    """The address of `job.py` in S3, for EMR Serverless, like `s3://bucket/job.py`."""
    spark_parameters: str = ""
    """Parameters of `spark-submit` for EMR Serverless, such as the archive with this package and its memory."""
    code_version: str | None = None
    """The version of the code to record with every number; by default the git commit."""

    @field_validator("queue_urls", "dead_letter_urls", "streams", mode="before")
    @classmethod
    def _from_json(cls, value: object, info: ValidationInfo) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            example = (
                '{"billing.payments": "billing-events"}' if info.field_name == "streams" else '{"billing": "https://…"}'
            )
            raise ValueError(f"not a JSON object like {example}: {error}") from None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError(f"{value!r} is no time zone; write it like Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _explicit_in_prod(self) -> Self:
        missing = [PREFIX + name.upper() for name in EXPLICIT_IN_PROD if name not in self.model_fields_set]
        if self.profile == "prod" and missing:
            raise ValueError(f"{', '.join(missing)} must be set when WAYBILL_PROFILE is prod")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # not read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, then the environment, then the secret whose name `WAYBILL_SECRET_ID` is."""
        secret_id = os.environ.get(SECRET_ID)
        sources = (init_settings, env_settings)
        return (*sources, _secret(settings_cls, secret_id)) if secret_id else sources


def _secret(settings_cls: type[BaseSettings], secret_id: str) -> PydanticBaseSettingsSource:
    from botocore.exceptions import ClientError, NoRegionError

    try:
        return AWSSecretsManagerSettingsSource(settings_cls, secret_id, case_sensitive=False)
    except NoRegionError as error:
        raise SettingsError(f"{SECRET_ID}: {error} Set AWS_DEFAULT_REGION.") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in _WRONG_SECRET:
            raise SettingsError(f"{SECRET_ID}: the secret {secret_id!r} cannot be read: {error}") from None
        raise
    except (AttributeError, KeyError, ValueError):  # no text, no JSON, or no object
        raise SettingsError(
            f"{SECRET_ID}: the secret {secret_id!r} must be a JSON object whose keys are names of settings, "
            f"such as WAYBILL_MASK_KEY"
        ) from None


def read_settings(**given: Any) -> Settings:
    """The settings as they are now; `given` ones, by field name, win over the environment.

    Raises `SettingsError`, one for all that is missing or wrong.
    """
    _refuse_former_names()
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = [
            ": ".join([*(_variable(name) for name in problem["loc"][:1]), problem["msg"].removeprefix("Value error, ")])
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
            if problem["type"] != "default_factory_not_called"  # follows from another problem
        ]
        raise SettingsError("; ".join(problems)) from None


def _refuse_former_names() -> None:
    names = [name for name, url in sorted(os.environ.items()) if url and _FORMER.fullmatch(name)]
    if names:
        urls = {name.removeprefix(PREFIX).removesuffix("_QUEUE_URL").lower(): os.environ[name] for name in names}
        raise SettingsError(f"{', '.join(names)}: not read any more; set {PREFIX}QUEUE_URLS='{json.dumps(urls)}'")


def _variable(name: object) -> str:
    return str(name) if name in (WAREHOUSE, READER) else PREFIX + str(name).upper()


@cache
def settings() -> Settings:
    """The settings of this process, read on first use. Raises `SettingsError`."""
    return read_settings()


def read_values(variable: str, default: Sequence[str]) -> tuple[str, ...]:
    """Return the values that an environment variable lists with commas between them, else the default; in order.

    Raises `SettingsError` if the variable is set and lists no value.
    """
    text = os.environ.get(variable, "")
    values = {value.strip() for value in text.split(",") if value.strip()} if text else set(default)
    if not values:
        raise SettingsError(f"{variable}: lists no value; write values with commas between them")
    return tuple(sorted(values))


def in_project(path: Path) -> Path:
    """Return a path as messages name it: relative to the folder of `include`, if it lies there."""
    root = settings().include_dir.parent
    return path.relative_to(root) if path.is_relative_to(root) else path
