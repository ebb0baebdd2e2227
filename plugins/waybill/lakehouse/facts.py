"""The facts about a received file that the job returns and the ledger records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waybill.files.content import Content
from waybill.files.json_members import MemberNames
from waybill.files.landed_file import LandedFile
from waybill.files.received_file import ArchiveMember, ReceivedFile


def facts_of(received: ReceivedFile) -> dict[str, Any]:
    """Return the facts of a file for `LoadedFile.facts`. Call it after the records of a JSON file were read."""
    return {
        "version_id": received.content.version_id,
        "etag": received.content.etag,
        "sha256": received.content.sha256,
        "size_bytes": received.content.size_bytes,
        "rows_in": received.rows_in,
        "brought": received.brought,
        "ignored": received.ignored,
        "archive_members": [[*one] for one in received.archive_members],
        "ignored_lines": dict(received.ignored_lines),
    }


def received_from(landed: LandedFile, facts: Mapping[str, Any]) -> ReceivedFile:
    """Return the file of which a job returned these facts, as far as the ledger reads it: there is no body."""
    brought, ignored = facts["brought"], facts["ignored"]
    members = None
    if brought is None:  # JSON without records
        members = MemberNames({})
        members.unknown.update(ignored)
    return ReceivedFile(
        landed=landed,
        content=Content(facts["version_id"], facts["etag"], facts["sha256"], facts["size_bytes"], None),
        body=Path(),
        rows_in=facts["rows_in"],
        columns=[*(brought or ()), *(None for _ in ignored)],
        header=[*(brought or ()), *ignored],
        is_regular=True,
        members=members,
        archive_members=tuple(ArchiveMember(*one) for one in facts["archive_members"]),
        ignored_lines=facts["ignored_lines"],
    )
