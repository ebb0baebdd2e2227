"""A drafted contract accepts every row of any file, except the rows that it says it rejects."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from support.drafts import DATASET, DOMAIN, draft
from waybill.contracts import load
from waybill.drafts.compare import differences
from waybill.drafts.files import given_files
from waybill.drafts.rows import validated
from waybill.drafts.target import contract_path

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
KINDS = st.sampled_from(
    [
        st.integers(-(10**20), 10**20).map(str),
        st.decimals(-(10**6), 10**6, places=2).map(str),
        st.decimals(-(10**6), 10**6, places=2).map(lambda one: f"{one:,}".translate(str.maketrans(",.", ".,"))),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.dates().map(str),
        st.dates().map(lambda day: f"{day.day}/{day.month}/{day.year:04d}"),
        st.dates().map(lambda day: f"{day.month:02d}-{day.day:02d}-{day.year % 100:02d}"),
        st.datetimes().map(str),
        st.times().map(lambda time: time.strftime("%H:%M")),
        st.uuids().map(str),
        st.booleans().map(str),
        st.sampled_from(["NULL", "n/a", "NA", "-", "#N/A", "1", "0", "", " "]),
        st.sampled_from(["1", "01", "1.0", "1,0", "1e3", "+1", "(1)", "1%", "$1"]),
        st.sampled_from(['{"a": 1}', "[1]", '["x"]', "[", "{}"]),
        st.text("ab \n\r\t\",;|'", max_size=8),
        WORDS,
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    kinds = draw(st.lists(KINDS, min_size=2, max_size=4))
    cells = [st.one_of(kind, kind, kind, st.just("")) if draw(st.booleans()) else kind for kind in kinds]
    return [[*row] for row in draw(st.lists(st.tuples(*cells), min_size=1, max_size=12))]


@given(tables())
@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_contract_rejects_only_what_it_says(include_dir: Path, rows: list[list[str]]) -> None:
    stream = io.StringIO(newline="")
    header = ["Line Id", *(f"Column {place}" for place in range(len(rows[0])))]
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([header, *([n, *row] for n, row in enumerate(rows))])
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "any.csv"
        file.write_bytes(stream.getvalue().encode())
        table = draft(folder, file)
        contract = load(contract_path(DOMAIN, DATASET))
        target = folder / "rows.parquet"
        [given_file] = given_files([str(file)])
        found = validated(given_file, contract, folder, target)
        differing = differences([given_file], contract, folder)
    [said] = table.files
    assert found.rows == said.rows
    assert Counter({rule.reason: rule.rows for rule in found.broken}) == Counter(
        {rule.reason: rule.rows for rule in said.broken}
    )
    assert contract.tolerates(found.rejected, found.rows)
    for rule in said.broken:
        assert rule.reason in table.text
    assert len(differing) == len(said.broken), "no two rows have one key and other values"
