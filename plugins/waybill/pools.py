"""Divide the slots of Airflow's pool so that a backfill leaves some to pipelines that start on arrival of files."""

from __future__ import annotations

POOL_SLOTS = 4
"""Slots of a task in a scheduled or backfilled run; a task of a pipeline on arrival takes one slot."""
ARRIVAL_SLOTS = POOL_SLOTS - 1
"""Slots that always remain for pipelines on arrival in a pool of the size `pool_size`."""


def pool_size(tasks: int) -> int:
    """Return the pool size for a number of concurrent tasks of scheduled and backfilled runs.

    The remaining `ARRIVAL_SLOTS` slots are too few for another such task, so a backfill never takes them.
    """
    return tasks * POOL_SLOTS + ARRIVAL_SLOTS
