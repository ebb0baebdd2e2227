"""The slots of Airflow's pool: a backfill leaves some of them to pipelines on arrival."""

from __future__ import annotations

POOL_SLOTS = 4
"""How many slots of its pool a task takes that no file waits for; one of a pipeline on arrival takes one."""
ARRIVAL_SLOTS = POOL_SLOTS - 1
"""How many slots are always left to pipelines on arrival, if the pool has the size of `pool_size`."""


def pool_size(tasks: int) -> int:
    """The size of a pool that lets so many tasks of scheduled and backfilled runs run at once.

    The last `ARRIVAL_SLOTS` slots are too few for another one of them, so that a backfill never takes them.
    """
    return tasks * POOL_SLOTS + ARRIVAL_SLOTS
