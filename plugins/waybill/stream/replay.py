"""Replay the rejected events of a stream: check them again, and count those that pass.

An event may pass now because the contract was corrected. It is late if it was late when it arrived. The books of its
shard then have one rejected event less and one counted, repeated or late event more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import Connection

from waybill.errors import DataError
from waybill.formatting import count
from waybill.intake.validate import open_duckdb
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.stream import quarantine
from waybill.stream.counting import CONFLICT, Counts, count_events, having, lock
from waybill.stream.declared import Declared
from waybill.stream.events import check_again
from waybill.warehouse.forgotten import forgotten_people

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """The result of a replay for one shard."""

    shard: str
    counts: Counts
    """`events` were replayed; `rejected` of them still do not meet the contract."""


def replay(
    connection: Connection,
    declared: Declared,
    run: Run,
    *,
    shard: str | None = None,
    sequences: Sequence[str] | None = None,
    admit_late: bool = False,
) -> list[Replayed]:
    """Check the open events of a stream again, optionally of one shard or some of its sequence numbers.

    With `admit_late`, events of days before the contract's lookback pass, too. Events that pass are counted and marked
    as resolved by this run. The others stay open with their new reasons; records without fields stay as they are.
    The connection is in autocommit mode: each transaction has at most 1,000 events of a shard, or few long ones. Raises
    `DataError` if the retention has removed the text of all chosen events.
    """
    if admit_late:
        declared = replace(declared, contract=replace(declared.contract, lookback_periods=None))
    done = []
    with scratch_folder() as folder, closing(open_duckdb(folder)) as duck:
        for name in quarantine.open_shards(connection, declared.dataset, shard, sequences):
            counts = _replay_shard(connection, duck, folder, declared, run, name, sequences)
            if counts.events:
                done.append(Replayed(name, counts))
                log.info("replayed %s of %s: %s", name, declared.dataset, counts)
    if sequences and not done and (removed := quarantine.removed_texts(connection, declared.dataset, shard, sequences)):
        raise DataError(
            f"{count(removed, 'event')} of {shard} cannot be replayed: the retention of the quarantine has removed "
            f"their text. Send the corrected events to the stream of {declared.dataset} again."
        )
    return done


def _replay_shard(
    connection: Connection,
    duck: Any,
    folder: Path,
    declared: Declared,
    run: Run,
    shard: str,
    sequences: Sequence[str] | None,
) -> Counts:
    counts, after = Counts(), "-1"
    while chosen := quarantine.next_open(connection, declared.dataset, shard, after, sequences):
        after = chosen[-1]
        with connection.transaction():
            # `waybill forget` locks the stream before its rejected events, too. Consumers wait meanwhile.
            dropped_until = lock(connection, declared.dataset)
            kept = quarantine.open_events(connection, declared.dataset, shard, chosen)
            forgotten = forgotten_people(connection, declared.contract)
            events, rejected = check_again(duck, folder, declared, kept, forgotten)
            outcomes = count_events(connection, declared, shard, events, dropped_until)
            conflicts = [event.as_rejected(CONFLICT) for event in having(outcomes, events, CONFLICT)]
            quarantine.still_rejected(connection, declared, shard, [*rejected, *conflicts])
            passed = [
                (event.record.sequence, outcome)
                for event, outcome in zip(events, outcomes, strict=True)
                if outcome != CONFLICT
            ]
            quarantine.resolve(connection, declared.dataset, shard, run.run_id or "command line", passed)
        counts += Counts.of(outcomes, len(rejected))
    return counts
