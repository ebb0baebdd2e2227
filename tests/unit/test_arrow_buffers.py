"""Arrow arrays are converted by their buffers."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from waybill.intake.arrow_buffers import texts_of_uuids

UUIDS = st.lists(st.none() | st.uuids(), max_size=40)


@given(UUIDS, st.integers(0, 40), st.integers(0, 40))
def test_uuids_become_their_texts_also_in_a_slice(values: list[UUID | None], start: int, length: int) -> None:
    array = pa.array([one.bytes if one else None for one in values], pa.binary()).slice(start, length)
    found = texts_of_uuids(array)
    found.validate(full=True)
    assert found.to_pylist() == [str(one) if one else None for one in values[start : start + length]]
