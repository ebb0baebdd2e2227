"""Settings from the environment, validated once; every name starts with `WAYBILL_`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """What differs between one machine and AWS, apart from Airflow's connections."""

    model_config = SettingsConfigDict(env_prefix="WAYBILL_", frozen=True)

    raw_bucket: str = "waybill-raw"
    reports_bucket: str = "waybill-reports"
    timezone: str = "UTC"
    """Business time zone: decides to which calendar day or month an instant belongs."""
    include_dir: Path = PROJECT_ROOT / "include"
    scratch_dir: Path | None = None
    """Where files are unpacked while they load; the system's temporary folder by default."""
    duckdb_memory_limit: str = "160MB"
    code_version: str | None = None
    """Version to record with every number; the git commit by default."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        ZoneInfo(value)
        return value


@cache
def settings() -> Settings:
    """The settings of this process, read on first use."""
    return Settings()
