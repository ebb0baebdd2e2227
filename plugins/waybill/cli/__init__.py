"""The command `waybill`."""

from waybill.cli import (
    contracts,
    domains,
    exports,
    features,
    files,
    forget,
    incidents,
    lake,
    lineage,
    operations,
    quarantine,
    reconciliation,
    retention,
    stream,
    training_sets,
    watch,
)
from waybill.cli.terminal import app

__all__ = [
    "app",
    "contracts",
    "domains",
    "exports",
    "features",
    "files",
    "forget",
    "incidents",
    "lake",
    "lineage",
    "operations",
    "quarantine",
    "reconciliation",
    "retention",
    "stream",
    "training_sets",
    "watch",
]
