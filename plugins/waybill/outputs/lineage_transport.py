"""Sends events of OpenLineage with names and numbers only, and never waits long.

Airflow's provider puts more into an event than a lineage needs: the text of errors, the parameters of the run, the
attributes of the task. These may contain values of rows. This transport keeps listed facets and hands the event to
another transport, which its configuration names.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import attr
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import error_message_run
from openlineage.client.transport.transport import Config, Transport

if TYPE_CHECKING:
    from openlineage.client.client import Event

log = logging.getLogger(__name__)

LONGEST_SECONDS: Final = 2.0
"""How long a task waits for an event to be sent. Then the event is lost."""
PAUSE_SECONDS: Final = 60
"""For how long after a lost event the tasks of a machine send none, so that a broken receiver does not slow them."""
RUN_FACETS: Final = frozenset({"nominalTime", "parent", "processing_engine", "tags"})
JOB_FACETS: Final = frozenset({"documentation", "jobType", "ownership", "tags"})
DATASET_FACETS: Final = frozenset({"columnLineage", "schema", "version"})
INPUT_FACETS: Final = frozenset({"inputStatistics"})
OUTPUT_FACETS: Final = frozenset({"outputStatistics"})
FAILED: Final = "The task failed. Its log in Airflow says why."


@attr.define
class NamesOnlyConfig(Config):
    """The configuration of the other transport, as for OpenLineage."""

    to: dict[str, Any]

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> NamesOnlyConfig:
        """Return the configuration. Raises `ValueError` without the other transport."""
        if not isinstance(params.get("to"), dict):
            raise ValueError(
                'the transport needs another one under "to", such as {"type": "http", "url": "https://..."}'
            )
        return cls(to=params["to"])


class NamesOnlyTransport(Transport):
    """Keeps the listed facets of an event, and sends it by another transport within two seconds or not at all.

    After a lost event, the next minute's events are lost at once.
    """

    kind = "names_only"
    config_class = NamesOnlyConfig

    def __init__(self, config: NamesOnlyConfig) -> None:
        from openlineage.client.transport import get_default_factory

        chosen = dict(config.to)
        receiver = sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]
        self.lost = Path(tempfile.gettempdir(), f"waybill-lineage-{os.getuid()}-{receiver}")
        """An empty file with the time of the last lost event, for all tasks of the machine."""
        if chosen.get("type") == "http":
            chosen = {"timeout": LONGEST_SECONDS, "retry": {"total": 0}} | chosen
        self.transport = get_default_factory().create(chosen)

    def emit(self, event: Event) -> None:
        """Send an event. An error and a delay are logged; neither reaches the task."""
        if not isinstance(event, RunEvent):  # datasets and jobs without a run are not ours
            return
        if self._is_paused():
            log.info("the lineage event of %s is lost: an earlier event was lost within a minute", event.job.name)
            return
        kept, failures = names_only(event), list[str]()

        def send() -> None:
            try:
                self.transport.emit(kept)
            except Exception as error:
                failures.append(type(error).__name__)

        sending = Thread(target=send, name="openlineage", daemon=True)
        sending.start()
        sending.join(LONGEST_SECONDS)
        if sending.is_alive() or failures:
            reason = failures[0] if failures else f"no answer within {LONGEST_SECONDS:g} seconds"
            log.warning("the lineage event of %s is lost: %s", event.job.name, reason)
            with suppress(OSError):
                self.lost.touch()

    def _is_paused(self) -> bool:
        try:
            return time.time() - self.lost.lstat().st_mtime < PAUSE_SECONDS
        except OSError:
            return False


def names_only(event: RunEvent) -> RunEvent:
    """Return an event with the listed facets of its run, job and datasets, and a fixed text in place of an error."""
    run_facets = _kept(event.run.facets, RUN_FACETS)
    if "errorMessage" in (event.run.facets or {}):
        run_facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(FAILED, programmingLanguage="python")
    return attr.evolve(
        event,
        run=attr.evolve(event.run, facets=run_facets),
        job=attr.evolve(event.job, facets=_kept(event.job.facets, JOB_FACETS)),
        inputs=[
            attr.evolve(one, facets=_kept(one.facets, DATASET_FACETS), inputFacets=_kept(one.inputFacets, INPUT_FACETS))
            for one in event.inputs or ()
        ],
        outputs=[
            attr.evolve(
                one, facets=_kept(one.facets, DATASET_FACETS), outputFacets=_kept(one.outputFacets, OUTPUT_FACETS)
            )
            for one in event.outputs or ()
        ],
    )


def _kept(facets: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {name: facet for name, facet in (facets or {}).items() if name in names}
