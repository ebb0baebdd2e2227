"""What a job stages for its workers in S3 is removed at its end. A session of Spark is not needed to see that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from support.lake import Lake
from waybill.lakehouse.staged import staging_folder

CLUSTER: Any = SimpleNamespace(sparkContext=SimpleNamespace(master="yarn"))


def test_staged_rows_are_removed_also_after_a_failure(lake: Lake) -> None:
    scratch = f"s3://{lake.bucket}/_spark/run"
    request: Any = SimpleNamespace(scratch=scratch)
    lake.s3.put_object(Bucket=lake.bucket, Key="_spark/run/rejected/hits.parquet", Body=b"x")
    lake.s3.put_object(Bucket=lake.bucket, Key="_spark/run2/staged/0/part-0.parquet", Body=b"x")
    kept = lake.objects()

    def fail() -> None:
        with staging_folder(CLUSTER, request) as folder:
            assert folder == f"{scratch}/staged"
            for name in ("staged/0/part.parquet", "staged/1/part.parquet", "staged_$folder$"):
                lake.s3.put_object(Bucket=lake.bucket, Key=f"_spark/run/{name}", Body=b"x")
            assert len(lake.objects()) == len(kept) + 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert lake.objects() == kept


def test_a_folder_that_is_not_removed_fails_no_job(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    request: Any = SimpleNamespace(scratch="s3://no-such-bucket/_spark/run")
    with staging_folder(CLUSTER, request):
        pass
    assert "s3://no-such-bucket/_spark/run/staged is not removed: " in caplog.text
