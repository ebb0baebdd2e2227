"""Make moto's Kinesis behave as the real one where a consumer depends on it.

moto moves records when shards are split or merged, still puts records into closed shards, never ends their iterators,
numbers the records of each shard from 1, looks through all records for each request, and is not safe for concurrent
puts. Here, a closed shard keeps its records and ends, and only its children take new ones. Sequence numbers are
instants, so they grow across shards and streams. Records lie in a temporary file, because a stream that runs for hours
would fill the memory.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from array import array
from base64 import b64decode
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from moto.kinesis import models
from moto.kinesis.exceptions import InvalidArgumentError
from moto.kinesis.utils import decompose_shard_iterator
from moto.utilities.utils import md5_hash

_FIRST: Final = 49 * 10**54
"""Real sequence numbers have 56 digits, too: no integer of PostgreSQL or JSON holds them."""
_NANOSECOND: Final = 10**18
MOST_RECORDS: Final = 10_000
"""The most records in an answer, unless the request sets a lower limit."""
_LOCKED: Final = (
    *("create_stream", "delete_stream", "describe_stream", "split_shard", "merge_shards", "update_shard_count"),
    *("list_shards", "get_shard_iterator", "put_record", "put_records", "get_records"),
)

_lock = threading.RLock()


class _Clock:
    """The time in nanoseconds, later at each call."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        self._last = max(time.time_ns(), self._last + 1)
        return self._last


_next_ns = _Clock()


def _number(ns: int) -> int:
    return _FIRST + ns * _NANOSECOND


@dataclass(frozen=True)
class Record:
    """A record as an answer has it. moto would keep each object of its own class for good."""

    ns: int
    line: bytes

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the answer."""
        key, data = json.loads(self.line)
        return {
            "Data": b64decode(data),
            "PartitionKey": key,
            "SequenceNumber": str(_number(self.ns)),
            "ApproximateArrivalTimestamp": datetime.fromtimestamp(self.ns // 10**6 / 1000, UTC),
        }


class Shard(models.Shard):
    """A shard whose records lie in a file. It keeps the instant and the place of each of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began_ns, self._ended_ns = _next_ns(), 0
        self._instants, self._offsets = array("Q"), array("Q", [0])
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def close(self) -> None:
        """Take no more records."""
        self.is_open, self._ended_ns = False, _next_ns()

    def delete(self) -> None:
        """Delete the records. moto keeps the shard."""
        self._file.close()

    def put_record(self, partition_key: str, data: str, _: str) -> str:
        """Append a record and return its sequence number."""
        line = json.dumps([partition_key, data]).encode() + b"\n"
        self._file.write(line)
        self._offsets.append(self._offsets[-1] + len(line))
        self._instants.append(_next_ns())
        return str(_number(self._instants[-1]))

    def get_records(self, last_sequence_id: str, limit: int | None) -> tuple[list[Any], int, int]:
        """Return records after a sequence number, the last one's number, and the age of the last in milliseconds.

        The age is 0 if no record follows.
        """
        first = self._after(int(last_sequence_id))
        end = min(first + (limit or MOST_RECORDS), len(self._instants))
        if first == end:
            return [], int(last_sequence_id), 0
        self._file.seek(self._offsets[first])
        lines = self._file.read(self._offsets[end] - self._offsets[first]).splitlines()
        self._file.seek(0, 2)
        found = [Record(ns, line) for ns, line in zip(self._instants[first:end], lines, strict=True)]
        behind = 0 if end == len(self._instants) else (time.time_ns() - self._instants[end - 1]) // 10**6
        return found, _number(self._instants[end - 1]), behind

    def is_read(self, last_sequence_id: int) -> bool:
        """Whether no record can follow a sequence number."""
        return not self.is_open and self._after(last_sequence_id) == len(self._instants)

    def get_min_sequence_number(self) -> int:
        """Return the number with which the shard begins."""
        return _number(self._began_ns)

    def get_max_sequence_number(self) -> int:
        """Return the number with which a closed shard ends; of an open one, that of the newest record."""
        return _number(self._ended_ns or (self._instants[-1] if self._instants else self._began_ns))

    def get_sequence_number_at(self, at_timestamp: float) -> int:
        """Return the number of the last record before an instant; 0 if there is none."""
        place = bisect_left(self._instants, int(at_timestamp * 10**9))
        return _number(self._instants[place - 1]) if place else 0

    def _after(self, number: int) -> int:
        return bisect_right(self._instants, (number - _FIRST) // _NANOSECOND)


class Stream(models.Stream):
    """A stream whose open shards share the hash keys."""

    shards: dict[str, Shard]  # type: ignore[assignment]

    def get_shard_for_key(self, partition_key: str, explicit_hash_key: str) -> Shard:
        """Return the open shard of a key. Raises `InvalidArgumentError` for a key that is not valid."""
        # moto checks the keys, and finds a shard that may be closed.
        super().get_shard_for_key(partition_key, explicit_hash_key)
        key = int(explicit_hash_key or int.from_bytes(md5_hash(partition_key.encode()).digest()))
        return next(
            shard for shard in self.shards.values() if shard.is_open and shard.starting_hash <= key <= shard.ending_hash
        )

    def split_shard(self, shard_to_split: str, new_starting_hash_key: str) -> None:
        """Close a shard and open two children. Raises `InvalidArgumentError` if that is impossible."""
        shard, middle = self.shards[shard_to_split], int(new_starting_hash_key)
        if not shard.is_open or not shard.starting_hash < middle < shard.ending_hash:
            raise InvalidArgumentError(f"{shard_to_split} cannot be split at {middle}")
        shard.close()
        for first, last in ((shard.starting_hash, middle - 1), (middle, shard.ending_hash)):
            self._open(Shard(len(self.shards), first, last, parent=shard.shard_id))
        assert self.shard_count
        self.shard_count += 1

    def merge_shards(self, shard_to_merge: str, adjacent_shard_to_merge: str) -> None:
        """Close two neighbours and open their child. Raises `InvalidArgumentError` if that is impossible."""
        one, other = self.shards[shard_to_merge], self.shards[adjacent_shard_to_merge]
        first, last = sorted((one, other), key=lambda shard: shard.starting_hash)
        if not (one.is_open and other.is_open) or first.ending_hash + 1 != last.starting_hash:
            raise InvalidArgumentError(f"{shard_to_merge} and {adjacent_shard_to_merge} cannot be merged")
        one.close()
        other.close()
        self._open(
            Shard(
                len(self.shards),
                first.starting_hash,
                last.ending_hash,
                parent=one.shard_id,
                adjacent_parent=other.shard_id,
            )
        )
        assert self.shard_count
        self.shard_count -= 1

    def _open(self, shard: Shard) -> None:
        self.shards[shard.shard_id] = shard


def install() -> None:
    """Change moto in this process, before its server starts."""
    backend: Any = models.KinesisBackend
    get_records, delete_stream = backend.get_records, backend.delete_stream

    def until_the_end(self: Any, stream_arn: str | None, shard_iterator: str, limit: int | None) -> Any:
        following, records, behind = get_records(self, stream_arn, shard_iterator, limit)
        name, shard_id, last = decompose_shard_iterator(following)
        is_read = self.describe_stream(stream_arn, name).shards[shard_id].is_read(int(last))
        return None if is_read else following, records, behind

    def with_its_files(self: Any, stream_arn: str | None, stream_name: str | None) -> Any:
        stream = delete_stream(self, stream_arn, stream_name)
        for shard in stream.shards.values():
            shard.delete()
        return stream

    patched: Any = models
    patched.Shard, patched.Stream = Shard, Stream
    backend.get_records, backend.delete_stream = until_the_end, with_its_files
    backend._send_stream_metrics = lambda *_, **__: None  # moto would keep two metrics for each request
    for name in _LOCKED:
        setattr(backend, name, _one_at_a_time(getattr(backend, name)))


def _one_at_a_time(method: Any) -> Any:
    def locked(*args: Any, **kwargs: Any) -> Any:
        with _lock:
            return method(*args, **kwargs)

    return locked
