"""The patterns of dates and times are found by their evidence, and read what was written."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from waybill.contracts.date_patterns import problems
from waybill.contracts.odcs import read_column
from waybill.contracts.values import cast, typed
from waybill.drafts.moments import Order, moments_of

FIRST, LAST = datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2100-01-01")
FORMS = {
    "%d.%m.%Y": "dd.MM.yyyy",
    "%d.%m.%Y %H:%M": "dd.MM.yyyy HH:mm",
    "%d/%m/%Y %H:%M:%S": "dd/MM/yyyy HH:mm:ss",
    "%Y/%m/%d": "yyyy/MM/dd",
    "%d-%b-%Y": "dd-MMM-yyyy",
    "%d %B %Y, %H:%M": "dd MMMM yyyy, HH:mm",
    "%b %d, %Y": "MMM dd, yyyy",
    "%d.%m.%Y %I:%M %p": "dd.MM.yyyy hh:mm a",
    "%Y-%m-%d %I:%M%p": "yyyy-MM-dd hh:mma",
    "%Y-%m-%dT%H:%M:%S": "iso_8601",
    "%Y-%m-%d": "iso_8601",
}


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.datetimes(FIRST, LAST), min_size=1, max_size=8))
@hypothesis_settings(max_examples=25)
def test_a_column_reads_the_moments_that_python_wrote(form: str, moments: list[datetime]) -> None:
    texts = [f"{moment:{form}}" for moment in moments]
    if "%B" in form:  # May is written in full and short alike
        texts = [text for text in texts if "May" not in text] or [f"{FIRST:{form}}"]
    found = moments_of(texts, "day first")
    assert found is not None
    assert found.forms == (FORMS[form],)
    assert [*problems(found.forms, found.kind, has_first_year=False, needs_offset=False)] == []
    options = {"format": found.forms[0]} if found.forms != ("iso_8601",) else {}
    declared = {"name": "a", "logicalType": found.kind, "physicalType": found.kind, "logicalTypeOptions": options}
    column = read_column(declared, {})
    with duckdb.connect() as connection:
        values = ", ".join(f"('{text}')" for text in texts)
        known = f", {cast(column)} as _cast_a" if cast(column) else ""
        rows = connection.execute(
            f"select {typed(column)} from (select *{known} from (values {values}) as v (_raw_a))"
        ).fetchall()
    read = [datetime.strptime(f"{text} +0000", f"{form} %z").replace(tzinfo=None) for text in texts]
    expected = [moment.date() if found.kind == "date" else moment for moment in read]
    assert [value for (value,) in rows] == expected


@pytest.mark.parametrize(
    ("texts", "order", "forms"),
    [
        (["1/2/2026", "12/11/2026"], "day first", ("d/M/yyyy",)),
        (["1/2/2026", "12/11/2026"], "month first", ("M/d/yyyy",)),
        (["01/02/26"], "month first", ("MM/dd/yy",)),
        (["2026-03-01 10:00", "2026-03-01T10:00:00.123"], "day first", ("iso_8601",)),
        (["1.2.2026 9:05", "11.12.2026 10:15"], "month first", ("d.M.yyyy H:mm",)),
        (["08:30", "23:59:59"], "day first", ("iso_8601",)),
        (["8:30 AM", "11:59 pm"], "day first", ("h:mm a",)),
    ],
)
def test_patterns(texts: list[str], order: Order, forms: tuple[str, ...]) -> None:
    found = moments_of(texts, order)
    assert found is not None
    assert found.forms == forms


@pytest.mark.parametrize("texts", [["12.05", "13.7"], ["1.2.3"], ["a", "b"], ["2026-03-01", "2026-03-01 10:00"], [""]])
def test_other_texts_are_no_moments(texts: list[str]) -> None:
    assert moments_of(texts, "day first") is None
