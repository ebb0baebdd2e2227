"""Recognise columns that look personal, as each load does."""

from __future__ import annotations

from waybill.drafts.profile import Texts
from waybill.files.spellings import normalise
from waybill.personal.recognise import Evidence, named_kind, recognise


def personal_evidence(texts: Texts, header: str) -> Evidence | None:
    """Return why a column looks personal; None for other columns. Without values, its name decides."""
    names = [texts.name, normalise(header)]
    if not texts.present:
        kind = named_kind(names)
        return Evidence(kind, "name", 0, 0) if kind else None
    return next(iter(recognise(names, texts.values())), None)
