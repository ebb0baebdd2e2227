"""Spark decides the files of other tests as one machine does.

Tests about broken, odd and repeated files run once more in a process that records what one machine decides about each
file. Spark's workers then decide the same files: the rows that are accepted, the reasons against the others, the books,
and the message about a file that is rejected as a whole.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from support.engine_cases import Decision, FileCase
from support.spark_job import SparkProcess
from waybill.settings import PROJECT_ROOT

MODULES = ("tests/integration/test_bad_input.py", "tests/integration/test_record_shapes.py")
MOST_BYTES = 500_000
"""Larger files are left out: they are about memory."""


def recorded(folder: Path) -> list[FileCase]:
    """Return what one machine decides in other tests, without files whose rows refer to those of other datasets."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "support.engine_recorder", "-p", "no:cacheprovider"]
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    done = subprocess.run(
        [*words, "--record-cases", str(folder), *MODULES],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in os.environ.items() if name in names}
        | {"PYTHONPATH": os.pathsep.join(str(PROJECT_ROOT / name) for name in ("plugins", "devtools", "tests"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    (path,) = folder.glob("*.pickle")
    return [
        case
        for case in pickle.loads(path.read_bytes())
        if len(case.body) <= MOST_BYTES and not any(column.checked_reference for column in case.contract.columns)
    ]


def test_every_file_has_the_same_rows_reasons_and_books(spark: SparkProcess, tmp_path: Path) -> None:
    cases = recorded(tmp_path)
    path = tmp_path / "cases"
    path.write_bytes(pickle.dumps(cases))
    spark.tell(str(path))
    seen: Counter[str] = Counter()
    for case, found in zip(cases, pickle.loads(path.with_suffix(".decided").read_bytes()), strict=True):
        expected, key = case.decision, case.landed.key
        assert (key, found.error) == (key, expected.error)
        assert (key, found.books) == (key, expected.books)
        assert (key, found.rows) == (key, expected.rows)
        assert found.content_hash == expected.content_hash
        assert (key, reasons(found)) == (key, reasons(expected))
        for record, (why, raw) in found.rejected.items():
            assert is_same_raw(raw, expected.rejected[record][1], why), (key, record)
        seen["rejected files" if found.error else "files"] += 1
        seen["rows"] += len(found.rows)
        seen["rejected rows"] += len(found.rejected)
    print("files:", dict(seen), file=sys.stderr)
    assert seen["files"] > 100
    assert min(seen["rejected files"], seen["rejected rows"]) > 10


def reasons(decision: Decision) -> Mapping[int, list[str]]:
    return {record: why for record, (why, _) in decision.rejected.items()}


def is_same_raw(found: str, expected: str, why: list[str]) -> bool:
    """Whether a rejected row has the same fields. Typed values of rows that repeat others may be written otherwise."""
    if why == ["conflict"] or why[0].startswith("unique:"):
        return json.loads(found).keys() == json.loads(expected).keys()
    return bool(json.loads(found) == json.loads(expected))
